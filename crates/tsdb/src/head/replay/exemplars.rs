//! The exemplars of the log, back into the ring of the head.

use model::{Exemplar, Labels};

use super::super::shards::Location;
use super::Replay;
use super::refs::RefTable;
use crate::error::DecodeError;
use crate::wal::record::ExemplarIter;

/// An exemplar of a series that is known.
#[derive(Debug)]
pub(super) struct ExemplarItem {
    location: Location,
    series_ref: u64,
    exemplar: Exemplar,
}

/// Decodes a record of exemplars; those of unknown series are left out.
pub(super) fn decode(
    mut items: ExemplarIter<'_>,
    refs: &RefTable,
    out: &mut Vec<ExemplarItem>,
) -> Result<(), DecodeError> {
    while let Some(item) = items.next_item() {
        let item = item?;
        let Some(location) = refs.get(item.series_ref) else { continue };
        let labels = Labels::from_pairs(item.labels.iter().copied());
        let exemplar = Exemplar { labels, value: item.value, timestamp_ms: item.t };
        out.push(ExemplarItem { location, series_ref: item.series_ref, exemplar });
    }
    Ok(())
}

impl Replay<'_> {
    /// Stores exemplars in order of the log.
    pub(super) fn restore_exemplars(&self, items: &[ExemplarItem]) {
        for item in items {
            let labels = {
                let shard = self.head.shards.lock(item.location.shard());
                let start = shard.series[item.location.slot() as usize].labels;
                let symbols = self.head.symbols.read();
                let pairs = shard.labels.pairs(start, &symbols);
                Labels::from_sorted(
                    pairs.map(|(name, value)| (symbols.get(name), symbols.get(value))),
                )
            };
            self.head.restore_exemplar(item.series_ref, &labels, item.exemplar.clone());
        }
    }
}
