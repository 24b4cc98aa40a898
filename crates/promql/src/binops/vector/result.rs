//! The series that results of pairs go to.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};

use crate::ast::{BinaryOp, Cardinality};
use crate::binops::matching::SignatureLabels;
use crate::binops::{VectorOperator, changes_metric, element};
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::{ABSENT, Cell, SeriesBatch, SeriesHead, is_absent};
use crate::engine::context::EvalContext;
use crate::engine::naming::{duplicate_labelset, is_metadata_label};
use crate::engine::pace::Pace;

/// `function` where both have a value.
#[inline]
fn zip(out: &mut [f64], a: &[f64], b: &[f64], function: impl Fn(f64, f64) -> f64) {
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        if !is_absent(*a) && !is_absent(*b) {
            *out = function(*a, *b);
        }
    }
}

/// A left and a right row; `None` where a fill value stands in.
type PairKey = (Option<usize>, Option<usize>);

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Makes the labels of results, once for each pair of series.
pub(super) struct ResultLabels<'a> {
    operator: &'a VectorOperator<'a>,
    known: FixedMap<PairKey, usize>,
    last: Option<(PairKey, usize)>,
}

impl<'a> ResultLabels<'a> {
    pub(super) fn new(operator: &'a VectorOperator<'a>) -> Self {
        Self { operator, known: FixedMap::default(), last: None }
    }

    /// The row that a pair's results go to, if that was asked before.
    pub(super) fn known(&mut self, key: PairKey) -> Option<usize> {
        match self.last {
            Some((last, row)) if last == key => Some(row),
            _ => {
                let row = *self.known.get(&key)?;
                self.last = Some((key, row));
                Some(row)
            }
        }
    }

    pub(super) fn remember(&mut self, key: PairKey, row: usize) {
        self.known.insert(key, row);
        self.last = Some((key, row));
    }

    /// The labels of a result: those of the "many" side, for one-to-one only the matched ones,
    /// and the included ones of the "one" side.
    pub(super) fn make(
        &self,
        signature: &SignatureLabels,
        many: &Labels,
        one: &Labels,
    ) -> SeriesHead {
        let operator = self.operator;
        let drop_name = operator.return_bool && !operator.cx.delays_name_removal();
        let drop_name = drop_name || changes_metric(operator.op);
        let one_to_one = operator.matching.card == Cardinality::OneToOne;
        let mut builder = LabelsBuilder::new(many);
        builder.retain(|name| {
            !(drop_name && is_metadata_label(name))
                && (!one_to_one || signature.keep_for_one_to_one(name))
        });
        for name in &operator.matching.include {
            builder.set(name, one.value(name));
        }
        SeriesHead { labels: builder.build(), drop_name: operator.return_bool }
    }
}

/// A pair of series and the row of its results.
pub(super) struct PairRows {
    pub(super) many: usize,
    pub(super) one: usize,
    pub(super) target: usize,
}

/// The results.
pub(super) struct Output<'a> {
    batch: SeriesBatch,
    rows: FixedMap<Labels, usize>,
    meter: Meter,
    pace: Pace<'a>,
}

impl<'a> Output<'a> {
    pub(super) fn new(steps: usize, cx: &'a EvalContext<'a>) -> Self {
        let batch = SeriesBatch::with_capacity(0, steps);
        Self { batch, rows: FixedMap::default(), meter: cx.meter(), pace: cx.pace() }
    }

    /// The row of a series.
    pub(super) fn row(&mut self, head: SeriesHead) -> Result<usize, QueryError> {
        /// A row's entries here and among the pairs.
        const ENTRY_BYTES: usize = 112;
        if let Some(row) = self.rows.get(&head.labels) {
            return Ok(*row);
        }
        self.meter.add(ENTRY_BYTES)?;
        let labels = head.labels.clone();
        let row = self.batch.push_metered(head, &mut self.meter)?;
        self.rows.insert(labels, row);
        Ok(row)
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    /// The number of cells of all rows.
    pub(super) fn cells(&self) -> usize {
        self.batch.floats.len()
    }

    /// The fast path: the results of whole rows of floats, into rows that are empty. The
    /// operator is chosen once, not for each value.
    pub(super) fn zip_rows(
        &mut self,
        operator: &VectorOperator<'_>,
        (many, one): (&SeriesBatch, &SeriesBatch),
        rows: &[PairRows],
        swapped: bool,
    ) -> Result<(), QueryError> {
        let op = operator.op;
        for pair in rows {
            self.pace.tick(self.batch.steps)?;
            let (many, one) = (many.floats_of(pair.many), one.floats_of(pair.one));
            let (a, b) = if swapped { (one, many) } else { (many, one) };
            let out = self.batch.floats_of_mut(pair.target);
            match op {
                BinaryOp::Add => zip(out, a, b, |a, b| a + b),
                BinaryOp::Sub => zip(out, a, b, |a, b| a - b),
                BinaryOp::Mul => zip(out, a, b, |a, b| a * b),
                BinaryOp::Div => zip(out, a, b, |a, b| a / b),
                _ if operator.return_bool => {
                    zip(out, a, b, |a, b| f64::from(u8::from(element::floats(op, a, b).keep)));
                }
                _ => zip(out, a, b, |a, b| {
                    let result = element::floats(op, a, b);
                    if result.keep { result.value } else { ABSENT }
                }),
            }
        }
        Ok(())
    }

    /// Puts a value into a cell, which must be empty.
    pub(super) fn set(
        &mut self,
        row: usize,
        step: usize,
        cell: Cell<'_>,
    ) -> Result<(), QueryError> {
        if !self.batch.cell(row, step).is_absent() {
            return Err(duplicate_labelset());
        }
        self.batch.set(row, step, cell);
        Ok(())
    }

    /// The series that have values.
    pub(super) fn finish(mut self) -> SeriesBatch {
        self.batch.prune();
        self.batch
    }
}
