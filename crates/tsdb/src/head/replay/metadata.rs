//! The metadata of the log, back into the table of the head.

use super::super::metadata::Metadata;
use super::super::shards::Location;
use super::Replay;
use super::refs::RefTable;
use crate::error::DecodeError;
use crate::wal::record::MetadataIter;

/// Metadata of a series that is known.
pub(super) type MetadataItem = (Location, Metadata);

/// Decodes a record of metadata; those of unknown series are left out.
pub(super) fn decode(
    items: MetadataIter<'_>,
    refs: &RefTable,
    out: &mut Vec<MetadataItem>,
) -> Result<(), DecodeError> {
    for item in items {
        let item = item?;
        let Some(location) = refs.get(item.series_ref) else { continue };
        let (unit, help) = (item.unit.to_owned(), item.help.to_owned());
        out.push((location, Metadata { metric_type: item.metric_type, unit, help }));
    }
    Ok(())
}

impl Replay<'_> {
    /// Stores metadata in order of the log: the latest counts.
    pub(super) fn restore_metadata(&self, items: Vec<MetadataItem>) {
        for (location, metadata) in items {
            self.head.restore_metadata(location, metadata);
        }
    }
}
