//! Series of a request whose labels are not UTF-8: they cannot be stored, and the rest of the
//! request can.
//!
//! Filled by the decoder of `wire`. Whoever takes a batch refuses these series and says why; never
//! may they be passed over silently.

use super::BatchRange;
use crate::Label;

/// The series of one request that cannot be stored.
#[derive(Debug, Default)]
pub struct Undecodable<'a> {
    /// The series, in the order of the request.
    pub series: Vec<UndecodableSeries>,
    /// All their labels. Those of one series are sorted by name; empty values are left out.
    pub labels: Vec<RawLabel<'a>>,
}

/// A series with at least one label that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndecodableSeries {
    /// How many of the batch's series stand before it in the request.
    pub position: u32,
    /// How many float and histogram samples it has. They stand in the batch's vectors, where no
    /// series names them.
    pub sample_count: u32,
    /// Its labels in [`Undecodable::labels`].
    pub labels: BatchRange,
}

/// A label as a sender wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawLabel<'a> {
    /// The label's name.
    pub name: &'a [u8],
    /// The label's value.
    pub value: &'a [u8],
}

impl<'a> RawLabel<'a> {
    /// The label, if both of its parts are UTF-8.
    pub fn label(self) -> Option<Label<'a>> {
        let name = std::str::from_utf8(self.name).ok()?;
        Some(Label { name, value: std::str::from_utf8(self.value).ok()? })
    }
}

impl<'a> Undecodable<'a> {
    /// Whether there are none, as nearly always.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The labels of one of the series.
    pub fn labels_of(&self, series: &UndecodableSeries) -> &[RawLabel<'a>] {
        &self.labels[series.labels.range()]
    }

    /// Memory that the series take, bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.series.len() * size_of::<UndecodableSeries>()
            + self.labels.len() * size_of::<RawLabel<'_>>()
    }
}
