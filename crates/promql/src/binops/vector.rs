//! Arithmetic, comparisons and trims between two vectors, with one-to-one, many-to-one and
//! one-to-many matching and fill values.
//!
//! The "one" side stands right in here and the "many" side left, however they are written. Pairs
//! are worked on signature by signature, each over all steps.

mod errors;
mod result;

use std::collections::BTreeMap;

use errors::{duplicate_on_one_side, grouping_not_unique, many_to_one_not_explicit};
use result::{Output, PairRows, ResultLabels};

use super::VectorOperator;
use super::element::{self, Outcome};
use super::matching::{SignatureGroup, SignatureLabels, Signatures, steps_with_values};
use crate::annotations::Annotation;
use crate::ast::Cardinality;
use crate::engine::QueryError;
use crate::engine::batch::{Cell, SeriesBatch};
use crate::engine::naming::settle_names;
use crate::engine::pace::Pace;
use crate::engine::stream::VectorStream;

/// The pairs' results.
pub(super) fn combine(
    operator: &VectorOperator<'_>,
    lhs: VectorStream,
    rhs: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = operator.cx;
    let mut left = lhs.collect(cx)?;
    settle_names(&mut left, cx);
    let mut right = rhs.collect(cx)?;
    settle_names(&mut right, cx);
    let swapped = operator.matching.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let signatures = Signatures::new(operator, &many, &one)?;
    // As in Prometheus: `fill_left` stands in on the "many" side and `fill_right` on the "one"
    // side also where `group_right` makes the right side the "many" one.
    let fill = operator.matching.fill;
    let mut join = Join {
        operator,
        labels: SignatureLabels::new(&operator.matching),
        results: ResultLabels::new(operator),
        many: &many,
        one: &one,
        fill_many: fill.lhs,
        fill_one: fill.rhs,
        swapped,
        out: Output::new(operator.grid.count, cx),
        pace: cx.pace(),
        notes: BTreeMap::new(),
        both_present: None,
    };
    for group in &signatures.groups {
        join.signature(group)?;
    }
    let Join { out, notes, .. } = join;
    for annotation in notes.into_values() {
        cx.annotate(operator.site, annotation);
    }
    let mut batch = out.finish();
    cx.hold(&mut batch)?;
    Ok(VectorStream::of(batch))
}

/// The state of an operation between two vectors.
struct Join<'a> {
    operator: &'a VectorOperator<'a>,
    labels: SignatureLabels,
    results: ResultLabels<'a>,
    many: &'a SeriesBatch,
    one: &'a SeriesBatch,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    swapped: bool,
    out: Output<'a>,
    pace: Pace<'a>,
    /// What was last to be told at each step; one note a step is enough.
    notes: BTreeMap<usize, Annotation>,
    /// For each step whether both sides have any value: only then does it matter whether series
    /// can be told apart. Found when it is needed.
    both_present: Option<Vec<bool>>,
}

/// What a side has for a signature at a step.
#[derive(Clone, Copy)]
enum Side<'a> {
    /// A row's value.
    Row(usize, Cell<'a>),
    /// The fill value.
    Fill(f64),
}

impl<'a> Side<'a> {
    fn cell(self) -> Cell<'a> {
        match self {
            Self::Row(_, cell) => cell,
            Self::Fill(value) => Cell::Float(value),
        }
    }

    fn row(self) -> Option<usize> {
        match self {
            Self::Row(row, _) => Some(row),
            Self::Fill(_) => None,
        }
    }
}

impl<'a> Join<'a> {
    fn signature(&mut self, group: &SignatureGroup) -> Result<(), QueryError> {
        self.check_one_side(&group.right)?;
        if group.left.is_empty() && self.fill_many.is_none() {
            return Ok(());
        }
        if group.right.is_empty() && self.fill_one.is_none() {
            return Ok(());
        }
        if let Some(rows) = self.plain_rows(group)? {
            return self.out.zip_rows(self.operator, (self.many, self.one), &rows, self.swapped);
        }
        let mut seen = Seen::default();
        for step in 0..self.operator.grid.count {
            seen.clear();
            self.pace.tick(group.left.len() + group.right.len())?;
            let one = self.one_at(&group.right, step);
            for &row in &group.left {
                let cell = self.many.cell(row, step);
                if cell.is_absent() {
                    continue;
                }
                let partner = match (one, self.fill_one) {
                    (Some(side), _) => side,
                    (None, Some(value)) => Side::Fill(value),
                    (None, None) => continue,
                };
                self.pair(Side::Row(row, cell), partner, step, &mut seen)?;
            }
            if let (Some(one), Some(value)) = (one, self.fill_many)
                && seen.is_empty()
            {
                self.pair(Side::Fill(value), one, step, &mut seen)?;
            }
        }
        Ok(())
    }

    /// The pairs of a signature where nothing can collide: one row of the "one" side, for each
    /// row of the "many" side a result row of its own, and floats everywhere.
    fn plain_rows(&mut self, group: &SignatureGroup) -> Result<Option<Vec<PairRows>>, QueryError> {
        let one_to_one = self.operator.matching.card == Cardinality::OneToOne;
        let ([one], false) = (&group.right[..], one_to_one && group.left.len() > 1) else {
            return Ok(None);
        };
        let has_fill = self.fill_many.is_some() || self.fill_one.is_some();
        let has_histograms = self.many.histograms.is_some() || self.one.histograms.is_some();
        if has_fill || has_histograms || self.operator.op.is_trim() {
            return Ok(None);
        }
        let mut rows = Vec::with_capacity(group.left.len());
        for many in &group.left {
            let before = self.out.len();
            let side = |row: usize| Side::Row(row, Cell::Absent);
            self.pace.tick(1)?;
            let target = self.result_row(side(*many), side(*one))?;
            if target < before {
                return Ok(None);
            }
            rows.push(PairRows { many: *many, one: *one, target });
        }
        Ok(Some(rows))
    }

    /// The value of the "one" side, of which at most one row has one.
    fn one_at(&self, rows: &[usize], step: usize) -> Option<Side<'a>> {
        let one = self.one;
        let mut cells = rows.iter().map(|row| Side::Row(*row, one.cell(*row, step)));
        cells.find(|side| !side.cell().is_absent())
    }

    /// Fails where two series of the "one" side have the same signature at a step.
    fn check_one_side(&mut self, rows: &[usize]) -> Result<(), QueryError> {
        if rows.len() < 2 {
            return Ok(());
        }
        let (many, one) = (self.many, self.one);
        let has_fill = self.fill_many.is_some() || self.fill_one.is_some();
        let both_present = self.both_present.get_or_insert_with(|| {
            let sides = steps_with_values(many).into_iter().zip(steps_with_values(one));
            sides.map(|(many, one)| one && (many || has_fill)).collect()
        });
        for step in (0..one.steps).filter(|step| both_present[*step]) {
            self.pace.tick(rows.len())?;
            let mut present = rows.iter().filter(|row| !one.cell(**row, step).is_absent());
            if let (Some(first), Some(second)) = (present.next(), present.next()) {
                let pair = [first, second].map(|row| &one.heads[*row].labels);
                let matched = self.labels.matched(pair[0]);
                return Err(duplicate_on_one_side(&matched, self.swapped, pair));
            }
        }
        Ok(())
    }

    fn pair(
        &mut self,
        many: Side<'a>,
        one: Side<'a>,
        step: usize,
        seen: &mut Seen,
    ) -> Result<(), QueryError> {
        let (a, b) = if self.swapped { (one, many) } else { (many, one) };
        let outcome = element::values(self.operator.op, a.cell(), b.cell());
        let kept = match outcome {
            Outcome::Failed(annotation) => {
                self.notes.insert(step, annotation);
                return Ok(());
            }
            Outcome::Float(result) => Kept::Float(result.value, result.keep),
            Outcome::Histogram { value, keep, info } => {
                if let Some(info) = info {
                    self.notes.insert(step, info);
                }
                Kept::Histogram(value, keep)
            }
        };
        let labels = self.result_row(many, one)?;
        if self.operator.matching.card == Cardinality::OneToOne {
            if !seen.is_empty() {
                return Err(many_to_one_not_explicit());
            }
        } else if seen.contains(labels) {
            return Err(grouping_not_unique());
        }
        seen.push(labels);
        let value = match (kept, self.operator.return_bool) {
            (Kept::Float(_, keep) | Kept::Histogram(_, keep), true) => {
                Kept::Float(f64::from(u8::from(keep)), true)
            }
            (kept, false) => kept,
        };
        match value {
            Kept::Float(value, true) => self.out.set(labels, step, Cell::Float(value)),
            Kept::Histogram(value, true) => self.out.set(labels, step, Cell::Histogram(&value)),
            _ => Ok(()),
        }
    }

    /// The row of the result of two series.
    fn result_row(&mut self, many: Side<'a>, one: Side<'a>) -> Result<usize, QueryError> {
        let key = (many.row(), one.row());
        if let Some(row) = self.results.known(key) {
            return Ok(row);
        }
        let matched = |labels| self.labels.matched(labels);
        let (many_labels, one_labels) = match key {
            (Some(many), Some(one)) => {
                (self.many.heads[many].labels.clone(), self.one.heads[one].labels.clone())
            }
            (Some(many), None) => {
                let labels = self.many.heads[many].labels.clone();
                let one = matched(&labels);
                (labels, one)
            }
            (None, Some(one)) => {
                let labels = self.one.heads[one].labels.clone();
                (matched(&labels), labels)
            }
            (None, None) => return Err(QueryError::Internal("a pair of nothing".to_owned())),
        };
        let head = self.results.make(&self.labels, &many_labels, &one_labels);
        let row = self.out.row(head)?;
        self.operator.cx.account.check_size(self.out.cells())?;
        self.results.remember(key, row);
        Ok(row)
    }
}

enum Kept {
    Float(f64, bool),
    Histogram(crate::engine::batch::HistogramRef, bool),
}

/// The rows that pairs of one signature went to at a step.
#[derive(Default)]
struct Seen(Vec<usize>);

impl Seen {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, row: usize) -> bool {
        self.0.contains(&row)
    }

    fn push(&mut self, row: usize) {
        self.0.push(row);
    }
}
