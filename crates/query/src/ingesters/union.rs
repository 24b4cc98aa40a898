//! What several ingesters know together, put together while their answers come in: what two of them
//! say takes memory once, and the tenant's bound on the size ends the question before everything is
//! there.
//!
//! Answers of ingesters that fail later stay in, as in Mimir: what they said was true.

use std::collections::{BTreeMap, BTreeSet};

use config::Limits;
use hashbrown::HashMap;
use model::{Interrupted, Labels, StorageError};
use parking_lot::Mutex;
use wire::client::ActiveSeries;

use crate::size::SizeBound;

/// What was found so far, by all ingesters that are asked.
pub(super) struct Union<T>(Mutex<Option<T>>);

impl<T> Union<T> {
    pub(super) fn new(empty: T) -> Self {
        Self(Mutex::new(Some(empty)))
    }

    /// Adds something. Fails when nobody waits for it any more.
    pub(super) fn add(
        &self,
        add: impl FnOnce(&mut T) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut found = self.0.lock();
        add(found.as_mut().ok_or(Interrupted::Cancelled)?)
    }

    /// Takes what was found; whoever adds to it later is stopped.
    pub(super) fn close(&self) -> Option<T> {
        self.0.lock().take()
    }
}

/// Label names with their values.
pub(super) struct LabelValues {
    pub(super) names: BTreeMap<String, BTreeSet<String>>,
    bound: SizeBound,
}

impl LabelValues {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { names: BTreeMap::new(), bound: SizeBound::of_label_values(limits) }
    }

    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), StorageError> {
        if !self.names.contains_key(name) {
            self.bound.add(name.len())?;
            self.names.insert(name.to_owned(), BTreeSet::new());
        }
        let Some(values) = self.names.get_mut(name) else { return Ok(()) };
        if !values.contains(value) {
            self.bound.add(value.len())?;
            values.insert(value.to_owned());
        }
        Ok(())
    }
}

/// Series, each once.
pub(super) struct SeriesUnion {
    series: HashMap<Labels, Option<u32>>,
    bound: SizeBound,
}

impl SeriesUnion {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { series: HashMap::new(), bound: SizeBound::of_active_series(limits) }
    }

    pub(super) fn add(&mut self, series: ActiveSeries) -> Result<(), StorageError> {
        let ActiveSeries { labels, bucket_count } = series;
        if self.series.contains_key(&labels) {
            return Ok(());
        }
        self.bound.add(labels.packed().len())?;
        self.series.insert(labels, bucket_count);
        Ok(())
    }

    /// The series in label order.
    pub(super) fn sorted(self) -> Vec<ActiveSeries> {
        let series = self.series.into_iter();
        let series = series.map(|(labels, bucket_count)| ActiveSeries { labels, bucket_count });
        let mut series: Vec<ActiveSeries> = series.collect();
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        series
    }
}
