//! Series in columns: labels, and for every series one row of values over the steps.
//!
//! What operators hand to each other. A float that is absent is the bit pattern of the stale
//! marker: storage's stale markers never get into a row, and no arithmetic makes that pattern
//! (it is a signalling NaN, arithmetic gives quiet ones), so no separate validity is needed.
//! At a step a series has a float, a histogram or nothing.

use std::sync::Arc;

use model::sample::STALE_NAN_BITS;
use model::{FloatHistogram, Labels};

use super::account::Reservation;

/// The value of a cell that holds no float.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether a cell holds no float.
#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A shared histogram.
pub(crate) type HistogramRef = Arc<FloatHistogram>;

/// What identifies a series of a batch.
#[derive(Debug, Clone)]
pub(crate) struct SeriesHead {
    /// Its labels.
    pub(crate) labels: Labels,
    /// Its metric name (with type and unit) is to be removed: at the end of the query with
    /// delayed name removal, else before anybody looks at the labels (see `naming.rs`).
    pub(crate) drop_name: bool,
}

impl SeriesHead {
    /// A series that keeps its labels.
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels, drop_name: false }
    }
}

/// A few series over the same steps.
#[derive(Debug, Default)]
pub(crate) struct SeriesBatch {
    /// One for each row.
    pub(crate) heads: Vec<SeriesHead>,
    /// Cells of a row.
    pub(crate) steps: usize,
    /// All rows, one after another; [`ABSENT`] where there is no float.
    pub(crate) floats: Vec<f64>,
    /// All rows, as `floats`; `None` where no row holds a histogram.
    pub(crate) histograms: Option<Vec<Option<HistogramRef>>>,
    /// Keeps the account of the samples in this batch.
    pub(crate) reservation: Option<Reservation>,
}

/// The value of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// Nothing.
    Absent,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(&'a HistogramRef),
}

impl Cell<'_> {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl SeriesBatch {
    /// No series, with room for `series` of them.
    pub(crate) fn with_capacity(series: usize, steps: usize) -> Self {
        Self {
            heads: Vec::with_capacity(series),
            steps,
            floats: Vec::with_capacity(series.saturating_mul(steps)),
            histograms: None,
            reservation: None,
        }
    }

    /// The same series once more, not taken into account yet.
    pub(crate) fn copy(&self) -> Self {
        Self {
            heads: self.heads.clone(),
            steps: self.steps,
            floats: self.floats.clone(),
            histograms: self.histograms.clone(),
            reservation: None,
        }
    }

    /// One series with a float at every step.
    pub(crate) fn single(head: SeriesHead, floats: Vec<f64>) -> Self {
        Self { heads: vec![head], steps: floats.len(), floats, histograms: None, reservation: None }
    }

    /// The number of series.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no series.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Appends a series without values and gives its number.
    pub(crate) fn push(&mut self, head: SeriesHead) -> usize {
        self.heads.push(head);
        self.floats.resize(self.heads.len() * self.steps, ABSENT);
        if let Some(histograms) = &mut self.histograms {
            histograms.resize(self.heads.len() * self.steps, None);
        }
        self.heads.len() - 1
    }

    /// Takes the last series away.
    pub(crate) fn pop(&mut self) {
        self.heads.pop();
        let cells = self.heads.len() * self.steps;
        self.floats.truncate(cells);
        if let Some(histograms) = &mut self.histograms {
            histograms.truncate(cells);
        }
    }

    fn cells(&self, row: usize) -> std::ops::Range<usize> {
        row * self.steps..(row + 1) * self.steps
    }

    /// The floats of a series.
    pub(crate) fn floats_of(&self, row: usize) -> &[f64] {
        &self.floats[self.cells(row)]
    }

    /// The floats of a series, to be changed.
    pub(crate) fn floats_of_mut(&mut self, row: usize) -> &mut [f64] {
        let cells = self.cells(row);
        &mut self.floats[cells]
    }

    /// The histograms of a series; `None` if no series of the batch has one.
    pub(crate) fn histograms_of(&self, row: usize) -> Option<&[Option<HistogramRef>]> {
        let cells = self.cells(row);
        self.histograms.as_ref().map(|all| &all[cells])
    }

    /// One cell.
    pub(crate) fn cell(&self, row: usize, step: usize) -> Cell<'_> {
        let at = row * self.steps + step;
        let float = self.floats[at];
        if !is_absent(float) {
            return Cell::Float(float);
        }
        match self.histograms.as_ref().and_then(|all| all[at].as_ref()) {
            Some(histogram) => Cell::Histogram(histogram),
            None => Cell::Absent,
        }
    }

    /// Puts `cell` into a cell that may hold something.
    pub(crate) fn set(&mut self, row: usize, step: usize, cell: Cell<'_>) {
        match cell {
            Cell::Absent => self.clear_cell(row, step),
            Cell::Float(float) => {
                self.clear_cell(row, step);
                self.floats[row * self.steps + step] = float;
            }
            Cell::Histogram(histogram) => self.set_histogram(row, step, Arc::clone(histogram)),
        }
    }

    /// Puts a histogram into a cell.
    pub(crate) fn set_histogram(&mut self, row: usize, step: usize, histogram: HistogramRef) {
        let cells = self.floats.len();
        let at = row * self.steps + step;
        self.floats[at] = ABSENT;
        self.histograms.get_or_insert_with(|| vec![None; cells])[at] = Some(histogram);
    }

    /// Empties a cell.
    pub(crate) fn clear_cell(&mut self, row: usize, step: usize) {
        let at = row * self.steps + step;
        self.floats[at] = ABSENT;
        if let Some(histograms) = &mut self.histograms {
            histograms[at] = None;
        }
    }

    /// Whether a series has any value.
    pub(crate) fn has_values(&self, row: usize) -> bool {
        self.floats_of(row).iter().any(|v| !is_absent(*v))
            || self.histograms_of(row).is_some_and(|all| all.iter().any(Option::is_some))
    }

    /// The number of cells with a value; a histogram counts as its size in floats.
    pub(crate) fn sample_count(&self) -> u64 {
        let floats = self.floats.iter().filter(|v| !is_absent(**v)).count();
        let histograms = self.histograms.iter().flatten().flatten();
        floats as u64 + histograms.map(|h| histogram_size(h)).sum::<u64>()
    }

    /// The bytes that the series take, an estimate: labels and histograms count in full, though
    /// they may be shared.
    pub(crate) fn held_bytes(&self) -> u64 {
        let heads = self.heads.capacity() * size_of::<SeriesHead>();
        let labels: usize = self.heads.iter().map(|head| label_bytes(&head.labels)).sum();
        let floats = self.floats.capacity() * size_of::<f64>();
        let histograms = self.histograms.as_ref().map_or(0, |all| {
            all.capacity() * size_of::<Option<HistogramRef>>() + histogram_bytes(all)
        });
        (heads + labels + floats + histograms) as u64
    }

    /// The bytes that one more series of floats takes.
    pub(crate) fn row_bytes(&self, head: &SeriesHead) -> usize {
        size_of::<SeriesHead>() + label_bytes(&head.labels) + self.steps * size_of::<f64>()
    }

    /// Keeps the series that `keep` accepts, in their order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Self, usize) -> bool) {
        let kept: Vec<bool> = (0..self.len()).map(|row| keep(self, row)).collect();
        if kept.iter().all(|k| *k) {
            return;
        }
        let mut to = 0;
        for (from, _) in kept.iter().enumerate().filter(|(_, k)| **k) {
            if from != to {
                self.move_row(from, to);
            }
            to += 1;
        }
        self.heads.truncate(to);
        self.floats.truncate(to * self.steps);
        if let Some(histograms) = &mut self.histograms {
            histograms.truncate(to * self.steps);
        }
    }

    fn move_row(&mut self, from: usize, to: usize) {
        self.heads.swap(from, to);
        let (source, target) = (self.cells(from), self.cells(to));
        self.floats.copy_within(source.clone(), target.start);
        if let Some(histograms) = &mut self.histograms {
            for (a, b) in source.zip(target) {
                histograms.swap(a, b);
            }
        }
    }

    /// Keeps the series that have values.
    pub(crate) fn prune(&mut self) {
        self.retain(Self::has_values);
    }

    /// Appends the series of `other`, which has the same steps.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert_eq!(self.steps, other.steps);
        let before = self.floats.len();
        self.floats.append(&mut other.floats);
        let after = self.floats.len();
        match (&mut self.histograms, other.histograms.take()) {
            (Some(mine), Some(mut theirs)) => mine.append(&mut theirs),
            (Some(mine), None) => mine.resize(after, None),
            (None, Some(mut theirs)) => {
                let mut mine = vec![None; before];
                mine.append(&mut theirs);
                self.histograms = Some(mine);
            }
            (None, None) => {}
        }
        self.heads.append(&mut other.heads);
    }

    /// The series in the order of `order`, each number once.
    pub(crate) fn reordered(&self, order: &[usize]) -> Self {
        let mut out = Self::with_capacity(order.len(), self.steps);
        for &row in order {
            out.push_copy(self, row, self.heads[row].clone());
        }
        out
    }

    /// Appends a copy of the values of a series of `other` under `head`; gives its number.
    pub(crate) fn push_copy(&mut self, other: &Self, row: usize, head: SeriesHead) -> usize {
        self.heads.push(head);
        self.floats.extend_from_slice(other.floats_of(row));
        match (&mut self.histograms, other.histograms_of(row)) {
            (Some(mine), Some(theirs)) => mine.extend_from_slice(theirs),
            (Some(mine), None) => mine.resize(self.floats.len(), None),
            (None, Some(theirs)) if theirs.iter().any(Option::is_some) => {
                let mut mine = vec![None; self.floats.len() - theirs.len()];
                mine.extend_from_slice(theirs);
                self.histograms = Some(mine);
            }
            (None, _) => {}
        }
        self.heads.len() - 1
    }

    /// The cells of one series, to be written by a kernel.
    pub(crate) fn row_mut(&mut self, row: usize) -> RowMut<'_> {
        let cells = self.cells(row);
        let all_cells = self.floats.len();
        RowMut {
            floats: &mut self.floats[cells.clone()],
            histograms: &mut self.histograms,
            first_cell: cells.start,
            all_cells,
        }
    }
}

/// The cells of one series. Cells of the floats are [`ABSENT`] at first.
pub(crate) struct RowMut<'a> {
    /// One for each step.
    pub(crate) floats: &'a mut [f64],
    histograms: &'a mut Option<Vec<Option<HistogramRef>>>,
    first_cell: usize,
    all_cells: usize,
}

impl RowMut<'_> {
    /// Puts a histogram into the cell of `step`, which holds nothing.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: HistogramRef) {
        let all_cells = self.all_cells;
        let histograms = self.histograms.get_or_insert_with(|| vec![None; all_cells]);
        histograms[self.first_cell + step] = Some(histogram);
    }
}

/// The bytes of a label set.
pub(crate) fn label_bytes(labels: &Labels) -> usize {
    const COUNTS_BYTES: usize = 16;
    labels.packed().len() + COUNTS_BYTES
}

/// The bytes of histograms; one that fills neighbouring cells counts once.
fn histogram_bytes(cells: &[Option<HistogramRef>]) -> usize {
    let mut previous: Option<&HistogramRef> = None;
    let mut bytes = 0;
    for histogram in cells.iter().flatten() {
        if previous.is_none_or(|previous| !Arc::ptr_eq(previous, histogram)) {
            bytes += histogram.size_bytes();
        }
        previous = Some(histogram);
    }
    bytes
}

/// How many floats a histogram is worth in the count of samples, as Prometheus counts.
pub(crate) fn histogram_size(histogram: &FloatHistogram) -> u64 {
    const TIMESTAMP_BYTES: usize = 8;
    const POINT_BYTES: usize = 16;
    ((histogram.size_bytes() + TIMESTAMP_BYTES) / POINT_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str) -> SeriesHead {
        SeriesHead::new(Labels::from_pairs([("a", name)]))
    }

    #[test]
    fn no_arithmetic_makes_an_absent_value() {
        for v in [ABSENT, f64::NAN, f64::INFINITY, 0.0, -1.0] {
            for w in [ABSENT, 1.0, f64::INFINITY] {
                for result in [v + w, v - w, v * w, v / w, -v.abs().sqrt(), v % w, v.powf(w)] {
                    assert!(!is_absent(std::hint::black_box(result)), "{v} {w}");
                }
            }
        }
    }

    #[test]
    fn pruning_keeps_rows_with_their_values() {
        let mut batch = SeriesBatch::with_capacity(4, 2);
        for name in ["a", "b", "c", "d"] {
            batch.push(head(name));
        }
        batch.set(1, 1, Cell::Float(1.5));
        batch.set_histogram(3, 0, Arc::new(FloatHistogram::default()));
        batch.prune();
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.heads[1].labels.value("a"), "d");
        assert!(matches!(batch.cell(0, 1), Cell::Float(v) if v == 1.5));
        assert!(matches!(batch.cell(1, 0), Cell::Histogram(_)));
        assert!(batch.cell(1, 1).is_absent() && batch.cell(0, 0).is_absent());
    }

    #[test]
    fn appending_pads_missing_histograms() {
        let mut floats = SeriesBatch::single(head("a"), vec![1.0, 2.0]);
        let mut histograms = SeriesBatch::with_capacity(1, 2);
        histograms.push(head("b"));
        histograms.set_histogram(0, 1, Arc::new(FloatHistogram::default()));
        floats.append(histograms);
        floats.append(SeriesBatch::single(head("c"), vec![3.0, ABSENT]));
        assert!(matches!(floats.cell(1, 1), Cell::Histogram(_)));
        assert!(matches!(floats.cell(2, 0), Cell::Float(_)));
        assert_eq!(floats.histograms.as_ref().map(Vec::len), Some(6));
    }
}
