//! `count_values`: how many series have each value, the value as a label.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};

use super::Aggregation;
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::{Cell, SeriesBatch, SeriesHead, is_absent};
use crate::engine::naming::settle_names;
use crate::engine::stream::VectorStream;
use crate::gofmt::format_f;

/// One series for each value of a group.
pub(super) fn count_values(
    aggregation: &Aggregation<'_>,
    label: &[u8],
    mut input: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = aggregation.cx;
    let label =
        std::str::from_utf8(label).ok().filter(|label| !label.is_empty()).ok_or_else(|| {
            let label = model::quote::quote(label);
            QueryError::execution(format!("invalid label name {label}"))
        })?;
    /// A text and a label set for each step; a new row is as long as there are steps.
    const TEXT: usize = 32;
    let grouping = aggregation.grouping.and_by(label);
    let mut pace = cx.pace();
    let mut counts = Counts {
        batch: SeriesBatch::with_capacity(0, aggregation.grid.count),
        rows: HashMap::default(),
        meter: cx.meter(),
    };
    while let Some(mut batch) = input.next_batch(cx)? {
        settle_names(&mut batch, cx);
        for row in 0..batch.len() {
            cx.check()?;
            let mut builder = LabelsBuilder::new(&batch.heads[row].labels);
            let mut last: Option<(String, usize)> = None;
            for step in 0..batch.steps {
                let Some(value) = text_of(batch.cell(row, step)) else { continue };
                pace.tick(TEXT)?;
                let target = match &last {
                    Some((text, target)) if *text == value => *target,
                    _ => {
                        let labels = builder.set(label, &value).build();
                        let before = counts.batch.len();
                        let target = counts.row(grouping.labels_of(&labels))?;
                        pace.tick(if target < before { TEXT } else { batch.steps })?;
                        cx.account.check_size(counts.batch.floats.len())?;
                        last = Some((value, target));
                        target
                    }
                };
                counts.count(target, step);
            }
        }
    }
    let Counts { mut batch, rows, meter } = counts;
    drop((rows, meter));
    cx.hold(&mut batch)?;
    Ok(VectorStream::of(batch))
}

fn text_of(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Absent => None,
        Cell::Float(value) => Some(format_f(value)),
        Cell::Histogram(histogram) => Some(histogram.to_string()),
    }
}

struct Counts {
    batch: SeriesBatch,
    rows: HashMap<Labels, usize, foldhash::fast::FixedState>,
    meter: Meter,
}

impl Counts {
    fn row(&mut self, labels: Labels) -> Result<usize, QueryError> {
        /// A row's entry in the table.
        const ENTRY_BYTES: usize = 48;
        if let Some(row) = self.rows.get(&labels) {
            return Ok(*row);
        }
        let head = SeriesHead::new(labels.clone());
        self.meter.add(ENTRY_BYTES)?;
        let row = self.batch.push_metered(head, &mut self.meter)?;
        self.rows.insert(labels, row);
        Ok(row)
    }

    fn count(&mut self, row: usize, step: usize) {
        let count = &mut self.batch.floats_of_mut(row)[step];
        *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
    }
}
