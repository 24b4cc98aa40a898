//! Start timestamps of samples in XOR2 chunks and in the histogram encodings 5 and 6.
//!
//! ```text
//! header byte: bit 7 the first sample has a start timestamp; bits 0-6 k, the first sample with
//!              a field of its own (0 = none)
//! sample 0:    varint t(0) - st(0), only with bit 7
//! sample k:    varbit_int t(k-1) - st(k)
//! sample i>k:  varbit_int change of that distance
//! ```
//!
//! Samples before k have the start timestamp of sample 0. Unknown is 0.

use model::TimestampMs;

use super::bits::{BitReader, BitWriter};
use super::varbit::{put_varbit_int, read_varbit_int};
use crate::error::DecodeError;

const FIRST_KNOWN: u8 = 0x80;
/// The sample that has a field even where nothing changes.
const LATEST_FIELD: u16 = 0x7f;

/// Follows the start timestamps of one chunk, for writing or for reading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StartTimes {
    header: u8,
    first: TimestampMs,
    /// Distance from the start timestamp to the time of the sample before.
    distance: i64,
}

impl StartTimes {
    /// Begins to read a chunk with this header byte.
    pub(crate) fn from_header(header: u8) -> Self {
        Self { header, ..Self::default() }
    }

    /// The header byte as it must stand after the last sample.
    pub(crate) fn header(self) -> u8 {
        self.header
    }

    fn first_field(self) -> u16 {
        u16::from(self.header & !FIRST_KNOWN)
    }

    /// Appends the field of sample 0, whose time is `t`.
    pub(crate) fn put_first(&mut self, writer: &mut BitWriter, t: TimestampMs, start: TimestampMs) {
        self.first = start;
        if start != 0 {
            self.header |= FIRST_KNOWN;
            writer.varint(t.wrapping_sub(start));
        }
    }

    /// Appends the field of sample `index` (from 1); `previous` is the time of the sample before.
    pub(crate) fn put(
        &mut self,
        writer: &mut BitWriter,
        index: u16,
        previous: TimestampMs,
        start: TimestampMs,
    ) {
        let distance = previous.wrapping_sub(start);
        if self.first_field() != 0 {
            put_varbit_int(writer, distance.wrapping_sub(self.distance));
        } else if start != self.first || index == LATEST_FIELD {
            self.header |= index as u8;
            put_varbit_int(writer, distance);
        }
        self.distance = distance;
    }

    /// Reads the start timestamp of sample 0, whose time is `t`.
    pub(crate) fn read_first(
        &mut self,
        reader: &mut BitReader<'_>,
        t: TimestampMs,
    ) -> Result<TimestampMs, DecodeError> {
        if self.header & FIRST_KNOWN != 0 {
            self.first = t.wrapping_sub(reader.varint()?);
        }
        Ok(self.first)
    }

    /// Reads the start timestamp of sample `index` (from 1); `previous` is the time of the sample
    /// before.
    pub(crate) fn read(
        &mut self,
        reader: &mut BitReader<'_>,
        index: u16,
        previous: TimestampMs,
    ) -> Result<TimestampMs, DecodeError> {
        let first_field = self.first_field();
        if first_field == 0 || index < first_field {
            return Ok(self.first);
        }
        let field = read_varbit_int(reader)?;
        let base = if index == first_field { 0 } else { self.distance };
        self.distance = base.wrapping_add(field);
        Ok(previous.wrapping_sub(self.distance))
    }
}
