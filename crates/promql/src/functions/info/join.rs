//! The join itself: for each series and step the newest info series of each info metric.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder, METRIC_NAME_LABEL};

use super::{Conditions, IDENTIFYING_LABELS};
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::{SeriesBatch, SeriesHead, is_absent};
use crate::engine::naming::duplicate_labelset;
use crate::functions::CallContext;

/// Values of the identifying labels.
type Identity = [String; 2];

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// The series of `base` with the labels of their info series.
pub(super) fn join(
    call: &CallContext<'_>,
    conditions: &Conditions,
    base: &SeriesBatch,
    is_info: &[bool],
    info: &SeriesBatch,
) -> Result<SeriesBatch, QueryError> {
    let mut by_identity: FixedMap<Identity, Vec<usize>> = FixedMap::default();
    for (row, head) in info.heads.iter().enumerate() {
        by_identity.entry(identity(&head.labels)).or_default().push(row);
    }
    let mut pace = call.cx.pace();
    for rows in by_identity.values() {
        pace.tick(rows.len().saturating_mul(info.steps))?;
        check_unique(info, rows)?;
    }
    let mut out = Joined {
        meter: call.cx.meter(),
        batch: SeriesBatch::with_capacity(base.len(), call.grid.count),
        rows: FixedMap::default(),
    };
    for (row, head) in base.heads.iter().enumerate() {
        call.cx.check()?;
        let partners = if is_info[row] {
            Partners::itself(head)
        } else {
            let candidates = by_identity.get(&identity(&head.labels)).map(Vec::as_slice);
            Partners::new(head, candidates.unwrap_or_default(), info, conditions)
        };
        out.add(base, row, partners)?;
        call.cx.account.check_size(out.batch.floats.len())?;
    }
    let Joined { mut batch, rows, meter } = out;
    drop((rows, meter));
    batch.prune();
    call.cx.hold(&mut batch)?;
    Ok(batch)
}

/// The labels of one series with those of its info series, which may change from step to step.
struct Partners<'a> {
    head: &'a SeriesHead,
    candidates: &'a [usize],
    /// The info series and what is asked of them; `None` for a series that stays as it is.
    info: Option<(&'a SeriesBatch, &'a Conditions)>,
    /// By the info series of a step; `None` if the series does not stay.
    known: FixedMap<Vec<usize>, Option<Labels>>,
}

impl<'a> Partners<'a> {
    fn itself(head: &'a SeriesHead) -> Self {
        Self { head, candidates: &[], info: None, known: FixedMap::default() }
    }

    fn new(
        head: &'a SeriesHead,
        candidates: &'a [usize],
        info: &'a SeriesBatch,
        conditions: &'a Conditions,
    ) -> Self {
        Self { head, candidates, info: Some((info, conditions)), known: FixedMap::default() }
    }

    fn labels_at(&mut self, step: usize) -> Result<Option<Labels>, QueryError> {
        let Some((info, conditions)) = self.info else {
            return Ok(Some(self.head.labels.clone()));
        };
        let newest = newest_by_name(info, self.candidates, step)?;
        if let Some(labels) = self.known.get(&newest) {
            return Ok(labels.clone());
        }
        let labels = combine(conditions, &self.head.labels, info, &newest)?;
        self.known.insert(newest, labels.clone());
        Ok(labels)
    }
}

struct Joined {
    batch: SeriesBatch,
    rows: FixedMap<Labels, usize>,
    meter: Meter,
}

impl Joined {
    fn add(
        &mut self,
        base: &SeriesBatch,
        row: usize,
        mut partners: Partners<'_>,
    ) -> Result<(), QueryError> {
        for step in 0..base.steps {
            let cell = base.cell(row, step);
            if cell.is_absent() {
                continue;
            }
            let Some(labels) = partners.labels_at(step)? else { continue };
            let target = self.row(SeriesHead { labels, ..base.heads[row] })?;
            if !self.batch.cell(target, step).is_absent() {
                return Err(duplicate_labelset());
            }
            self.batch.set(target, step, cell);
        }
        Ok(())
    }

    fn row(&mut self, head: SeriesHead) -> Result<usize, QueryError> {
        const ENTRY_BYTES: usize = 48;
        if let Some(row) = self.rows.get(&head.labels) {
            return Ok(*row);
        }
        self.meter.add(ENTRY_BYTES)?;
        let labels = head.labels.clone();
        let row = self.batch.push_metered(head, &mut self.meter)?;
        self.rows.insert(labels, row);
        Ok(row)
    }
}

fn identity(labels: &Labels) -> Identity {
    IDENTIFYING_LABELS.map(|name| labels.value(name).to_owned())
}

/// Of several info series of one metric the newest counts; two that are equally new are an error,
/// whether a series belongs to them or not.
fn check_unique(info: &SeriesBatch, rows: &[usize]) -> Result<(), QueryError> {
    for step in 0..info.steps {
        newest_by_name(info, rows, step)?;
    }
    Ok(())
}

fn newest_by_name(
    info: &SeriesBatch,
    rows: &[usize],
    step: usize,
) -> Result<Vec<usize>, QueryError> {
    let mut newest: Vec<usize> = Vec::new();
    for &row in rows {
        let time = info.floats_of(row)[step];
        if is_absent(time) {
            continue;
        }
        let name = info.heads[row].labels.metric_name();
        let same = newest.iter_mut().find(|r| info.heads[**r].labels.metric_name() == name);
        let Some(existing) = same else {
            newest.push(row);
            continue;
        };
        let existing_time = info.floats_of(*existing)[step];
        if existing_time == time {
            let (a, b) = (&info.heads[*existing].labels, &info.heads[row].labels);
            return Err(QueryError::execution(format!(
                "found duplicate series for info metric: existing {a} @ {existing_time}, new {b} \
                 @ {time}"
            )));
        }
        if existing_time < time {
            *existing = row;
        }
    }
    Ok(newest)
}

/// The labels of a series with those of its info series; `None` if the series does not stay.
fn combine(
    conditions: &Conditions,
    labels: &Labels,
    info: &SeriesBatch,
    newest: &[usize],
) -> Result<Option<Labels>, QueryError> {
    if newest.is_empty() {
        return Ok(conditions.accepts_nothing().then(|| labels.clone()));
    }
    let mut added = LabelsBuilder::default();
    for &row in newest {
        for label in info.heads[row].labels.iter() {
            if label.name == METRIC_NAME_LABEL || !conditions.asks_for(label.name) {
                continue;
            }
            if added.get(label.name).is_some_and(|v| v != label.value) {
                let name = label.name;
                return Err(QueryError::execution(format!("conflicting label: {name}")));
            }
            if labels.get(label.name).is_none() {
                added.set(label.name, label.value);
            }
        }
    }
    let mut builder = LabelsBuilder::new(labels);
    for label in added.build().iter() {
        builder.set(label.name, label.value);
    }
    Ok(Some(builder.build()))
}
