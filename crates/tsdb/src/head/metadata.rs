//! Type, unit and help of series, as Prometheus keeps them with its series: in memory and in the
//! write-ahead log, where the checkpoint keeps the latest of each series.
//!
//! For users of the library. The ingester keeps metadata by metric and not here, as Mimir does.

use std::collections::HashMap;

use model::Label;
use model::batch::MetricType;
use parking_lot::RwLock;

use super::Head;
use super::shards::Location;
use crate::error::TsdbError;
use crate::wal::LogScratch;
use crate::wal::record::{MetadataEncoder, SeriesEncoder};

/// The longest unit or help text that is taken, bytes.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What is known about a series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// Its unit, often empty.
    pub unit: String,
    /// Its help text.
    pub help: String,
}

/// Metadata for a series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesMetadata<'a> {
    /// The series' labels, sorted by name.
    pub labels: &'a [Label<'a>],
    /// Its type.
    pub metric_type: MetricType,
    /// Its unit.
    pub unit: &'a str,
    /// Its help text.
    pub help: &'a str,
}

impl SeriesMetadata<'_> {
    fn is_same(&self, known: &Metadata) -> bool {
        known.metric_type == self.metric_type && known.unit == self.unit && known.help == self.help
    }

    fn is_short(&self) -> bool {
        self.unit.len() <= MAX_TEXT_BYTES && self.help.len() <= MAX_TEXT_BYTES
    }
}

/// The metadata of a head by the references of its series.
pub(super) type MetadataTable = RwLock<HashMap<u64, Metadata>>;

impl Head {
    /// Stores metadata of series that exist, and logs what is new. Returns how many were new.
    /// Metadata of other series, and texts of more than 64 KiB, are passed over.
    pub fn append_metadata(&self, items: &[SeriesMetadata<'_>]) -> Result<usize, TsdbError> {
        self.log.recover(self)?;
        let (mut series, mut metadata) = (SeriesEncoder::default(), MetadataEncoder::default());
        let mut changed = Vec::new();
        for item in items.iter().filter(|item| item.is_short()) {
            let Some(series_ref) = self.find_ref(item.labels) else { continue };
            if self.metadata.read().get(&series_ref).is_some_and(|known| item.is_same(known)) {
                continue;
            }
            // Whether the log has the labels already does not matter: twice is once.
            series.push(series_ref, item.labels.iter().map(|label| (label.name, label.value)));
            metadata.push(series_ref, item.metric_type, item.unit, item.help);
            let (unit, help) = (item.unit.to_owned(), item.help.to_owned());
            changed.push((series_ref, Metadata { metric_type: item.metric_type, unit, help }));
        }
        if changed.is_empty() {
            return Ok(0);
        }
        if let Some(wal) = self.log.wal() {
            wal.log(&mut LogScratch::default(), &[series.record(), metadata.record()])?;
        }
        let count = changed.len();
        self.metadata.write().extend(changed);
        Ok(count)
    }

    /// The metadata of the series with these labels, sorted by name.
    pub fn metadata(&self, labels: &[Label<'_>]) -> Option<Metadata> {
        let series_ref = self.find_ref(labels)?;
        self.metadata.read().get(&series_ref).cloned()
    }

    fn find_ref(&self, labels: &[Label<'_>]) -> Option<u64> {
        let hash = self.hasher.hash(labels);
        let shard = self.shards.lock(self.shards.index_of(hash));
        let slot = shard.find(hash, labels, &self.symbols.read())?;
        Some(shard.series[slot as usize].series_ref())
    }

    /// Puts metadata of the log back.
    pub(super) fn restore_metadata(&self, location: Location, metadata: Metadata) {
        let shard = self.shards.lock(location.shard());
        let series_ref = shard.series[location.slot() as usize].series_ref();
        drop(shard);
        self.metadata.write().insert(series_ref, metadata);
    }

    /// Forgets the metadata of series that are gone.
    pub(super) fn forget_metadata(&self, refs: &[u64]) {
        let mut table = self.metadata.write();
        if !table.is_empty() {
            refs.iter().for_each(|series_ref| _ = table.remove(series_ref));
        }
    }
}
