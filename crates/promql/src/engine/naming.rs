//! Metric names that go: what belongs to a name, when it is removed, and what becomes of series
//! that are alike without it.

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use model::{Labels, METRIC_NAME_LABEL};

use super::QueryError;
use super::account::Meter;
use super::batch::SeriesBatch;
use super::context::EvalContext;
use super::stream::{SeriesMap, SeriesSource, Sink, VectorStream, apply_maps};

/// Whether `name` is a label that goes with the metric's name.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, METRIC_NAME_LABEL | "__type__" | "__unit__")
}

/// `labels` without the metric's name, type and unit.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|label| is_metadata_label(label.name)) {
        labels.retain(|name| !is_metadata_label(name))
    } else {
        labels.clone()
    }
}

/// The error of two series that are alike at one step.
pub(crate) fn duplicate_labelset() -> QueryError {
    QueryError::execution("vector cannot contain metrics with the same labelset")
}

/// Removes the names that are to go, unless names go at the end of the query only. To be called
/// by whoever looks at labels.
pub(crate) fn settle_names(batch: &mut SeriesBatch, cx: &EvalContext<'_>) {
    if !cx.delays_name_removal() {
        remove_names(batch);
    }
}

/// Removes the names that are to go.
pub(crate) fn remove_names(batch: &mut SeriesBatch) {
    for head in batch.heads.iter_mut().filter(|head| head.drop_name) {
        head.labels = without_metadata(&head.labels);
        head.drop_name = false;
    }
}

/// What to do with series that are alike after their names went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The query fails.
    Fail,
    /// They become one series; the query fails where both have a value.
    Merge,
}

/// Treats series that are alike because their names went right here (not with delayed removal).
pub(crate) fn after_name_removal(
    stream: VectorStream,
    duplicates: Duplicates,
    cx: &EvalContext<'_>,
) -> Result<VectorStream, QueryError> {
    if cx.delays_name_removal() || stream.unique_without_name {
        return Ok(stream);
    }
    let steps = stream.steps;
    // At a single step two series that are alike cannot be merged.
    if duplicates == Duplicates::Fail || steps == 1 {
        let source = UniqueSource { stream, seen: SeenSeries::new(cx) };
        return Ok(VectorStream::new(Box::new(source), steps).with_unique_series(true));
    }
    let mut batch = stream.collect(cx)?;
    remove_names(&mut batch);
    let merged = merge_duplicates(batch, duplicates, cx)?;
    Ok(VectorStream::of(merged).with_unique_series(true))
}

/// Series on their way, of which no two may be alike without their names.
struct UniqueSource {
    stream: VectorStream,
    seen: SeenSeries,
}

/// A fingerprint of each series that went by, not the series.
struct SeenSeries {
    fingerprints: HashSet<u128, foldhash::fast::FixedState>,
    key: Vec<u8>,
    meter: Meter,
}

impl SeriesSource for UniqueSource {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        let Some(mut batch) = self.stream.next_batch(cx)? else { return Ok(None) };
        self.seen.check(&batch, cx)?;
        apply_maps(maps, &mut batch, cx)?;
        Ok(Some(batch))
    }

    fn drive(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let seen = &mut self.seen;
        self.stream.drive(cx, &mut |mut batch| {
            seen.check(&batch, cx)?;
            apply_maps(maps, &mut batch, cx)?;
            sink(batch)
        })
    }
}

impl SeenSeries {
    fn new(cx: &EvalContext<'_>) -> Self {
        Self { fingerprints: HashSet::default(), key: Vec::new(), meter: cx.meter() }
    }

    /// Apart from reading the series, so that nested functions need little stack.
    #[inline(never)]
    fn check(&mut self, batch: &SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        const LABELS: usize = 16;
        /// A fingerprint in a table that is filled to a good half.
        const FINGERPRINT_BYTES: usize = 28;
        let mut pace = cx.pace();
        for head in &batch.heads {
            pace.tick(LABELS)?;
            self.key.clear();
            let kept = |name: &str| !(head.drop_name && is_metadata_label(name));
            for label in head.labels.iter().filter(|label| kept(label.name)) {
                for part in [label.name, label.value] {
                    self.key.extend_from_slice(part.as_bytes());
                    // No UTF-8 text holds this byte.
                    self.key.push(0xff);
                }
            }
            if !self.fingerprints.insert(xxhash_rust::xxh3::xxh3_128(&self.key)) {
                return Err(duplicate_labelset());
            }
            self.meter.add(FINGERPRINT_BYTES)?;
        }
        Ok(())
    }
}

/// Makes one series of those that have the same labels.
pub(crate) fn merge_duplicates(
    batch: SeriesBatch,
    duplicates: Duplicates,
    cx: &EvalContext<'_>,
) -> Result<SeriesBatch, QueryError> {
    if !has_duplicates(&batch, cx)? {
        return Ok(batch);
    }
    if duplicates == Duplicates::Fail {
        return Err(duplicate_labelset());
    }
    let mut merged = SeriesBatch::with_capacity(batch.len(), batch.steps);
    let mut rows: HashMap<Labels, usize, foldhash::fast::FixedState> = HashMap::default();
    let (mut pace, mut meter) = (cx.pace(), cx.meter());
    for (row, head) in batch.heads.iter().enumerate() {
        pace.tick(batch.steps)?;
        meter.add(batch.row_bytes(head))?;
        match rows.entry(head.labels.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(merged.push_copy(&batch, row, head.clone()));
            }
            Entry::Occupied(occupied) => merge_row(&mut merged, *occupied.get(), &batch, row)?,
        }
    }
    drop(meter);
    cx.hold(&mut merged)?;
    Ok(merged)
}

fn has_duplicates(batch: &SeriesBatch, cx: &EvalContext<'_>) -> Result<bool, QueryError> {
    const LABELS: usize = 16;
    let mut seen: HashSet<&Labels, foldhash::fast::FixedState> = HashSet::default();
    let (mut pace, mut meter) = (cx.pace(), cx.meter());
    for head in &batch.heads {
        pace.tick(LABELS)?;
        meter.add(2 * size_of::<&Labels>())?;
        if !seen.insert(&head.labels) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn merge_row(
    into: &mut SeriesBatch,
    target: usize,
    from: &SeriesBatch,
    row: usize,
) -> Result<(), QueryError> {
    for step in 0..from.steps {
        let cell = from.cell(row, step);
        if cell.is_absent() {
            continue;
        }
        if !into.cell(target, step).is_absent() {
            return Err(duplicate_labelset());
        }
        into.set(target, step, cell);
    }
    Ok(())
}
