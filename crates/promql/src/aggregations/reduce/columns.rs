//! Accumulators of floats over the steps.

use crate::engine::batch::{ABSENT, is_absent};

/// What becomes of the floats of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Average,
    Count,
    Min,
    Max,
    Group,
    /// Variance, or its root.
    Deviation {
        root: bool,
    },
}

/// The accumulators of one group.
pub(super) struct Column {
    kind: Kind,
    /// The running value; [`ABSENT`] where nothing was added. Of an average that left the sum
    /// for a running mean, the mean; of a deviation, the sum of squares.
    values: Vec<f64>,
    /// What rounding dropped, for sums; the running mean, for deviations.
    seconds: Vec<f64>,
    /// How many were added, where that is needed.
    counts: Vec<f64>,
    /// Where an average is a running mean; empty if nowhere.
    incremental: Vec<bool>,
}

impl Column {
    /// The bytes of the accumulators.
    pub(super) fn bytes(kind: Kind, steps: usize) -> usize {
        let columns = match kind {
            Kind::Sum => 2,
            Kind::Average | Kind::Deviation { .. } => 3,
            Kind::Count | Kind::Min | Kind::Max | Kind::Group => 1,
        };
        size_of::<Self>() + columns * steps * size_of::<f64>()
    }

    pub(super) fn new(kind: Kind, steps: usize) -> Self {
        let has_second = matches!(kind, Kind::Sum | Kind::Average | Kind::Deviation { .. });
        let has_count = matches!(kind, Kind::Average | Kind::Deviation { .. });
        let column = |has: bool| if has { vec![0.0; steps] } else { Vec::new() };
        Self {
            kind,
            values: vec![ABSENT; steps],
            seconds: column(has_second),
            counts: column(has_count),
            incremental: Vec::new(),
        }
    }

    /// Adds the floats of one series for the steps from `first` on.
    pub(super) fn add(&mut self, first: usize, row: &[f64]) {
        let at = (first, row);
        match self.kind {
            Kind::Sum => self.add_to_sum(at),
            Kind::Average => self.add_to_average(at),
            Kind::Count => self.each(at, |count, _| count + 1.0, |_| 1.0),
            Kind::Group => self.each(at, |one, _| one, |_| 1.0),
            Kind::Min => {
                self.each(at, |min, v| if min > v || min.is_nan() { v } else { min }, |v| v);
            }
            Kind::Max => {
                self.each(at, |max, v| if max < v || max.is_nan() { v } else { max }, |v| v);
            }
            Kind::Deviation { .. } => self.add_to_deviation(at),
        }
    }

    fn each(
        &mut self,
        (at, row): (usize, &[f64]),
        next: impl Fn(f64, f64) -> f64,
        first: impl Fn(f64) -> f64,
    ) {
        for (value, v) in self.values[at..].iter_mut().zip(row) {
            if is_absent(*v) {
                continue;
            }
            *value = if is_absent(*value) { first(*v) } else { next(*value, *v) };
        }
    }

    /// Without branches, so that several steps are added at a time.
    fn add_to_sum(&mut self, (at, row): (usize, &[f64])) {
        let sums = self.values[at..].iter_mut().zip(&mut self.seconds[at..]);
        for ((sum, compensation), v) in sums.zip(row) {
            let (total, rest) = kahan_add(*v, *sum, *compensation);
            let next = if is_absent(*sum) { (*v, 0.0) } else { (total, rest) };
            (*sum, *compensation) = if is_absent(*v) { (*sum, *compensation) } else { next };
        }
    }

    fn add_to_average(&mut self, (at, row): (usize, &[f64])) {
        for (step, v) in (at..).zip(row).filter(|(_, v)| !is_absent(**v)) {
            self.counts[step] += 1.0;
            if is_absent(self.values[step]) {
                self.values[step] = *v;
                continue;
            }
            if !self.is_incremental(step) {
                let (sum, compensation) = kahan_add(*v, self.values[step], self.seconds[step]);
                if !sum.is_infinite() {
                    (self.values[step], self.seconds[step]) = (sum, compensation);
                    continue;
                }
                self.make_incremental(step);
            }
            let count = self.counts[step];
            let share = (count - 1.0) / count;
            let (mean, compensation) =
                kahan_add(v / count, share * self.values[step], share * self.seconds[step]);
            (self.values[step], self.seconds[step]) = (mean, compensation);
        }
    }

    fn is_incremental(&self, step: usize) -> bool {
        self.incremental.get(step).copied().unwrap_or(false)
    }

    /// The sum would overflow: from here on the mean is updated value by value.
    fn make_incremental(&mut self, step: usize) {
        self.incremental.resize(self.values.len(), false);
        self.incremental[step] = true;
        let before = self.counts[step] - 1.0;
        self.values[step] /= before;
        self.seconds[step] /= before;
    }

    fn add_to_deviation(&mut self, (at, row): (usize, &[f64])) {
        for (step, v) in (at..).zip(row).filter(|(_, v)| !is_absent(**v)) {
            self.counts[step] += 1.0;
            if is_absent(self.values[step]) {
                self.values[step] = if v.is_finite() { 0.0 } else { f64::NAN };
                self.seconds[step] = *v;
                continue;
            }
            let delta = v - self.seconds[step];
            self.seconds[step] += delta / self.counts[step];
            self.values[step] += delta * (v - self.seconds[step]);
        }
    }

    /// The values of the group.
    pub(super) fn finish(mut self) -> Vec<f64> {
        for step in 0..self.values.len() {
            let value = self.values[step];
            if is_absent(value) {
                continue;
            }
            self.values[step] = match self.kind {
                Kind::Sum => value + self.seconds[step],
                Kind::Average if self.is_incremental(step) => value + self.seconds[step],
                Kind::Average => value / self.counts[step] + self.seconds[step] / self.counts[step],
                Kind::Deviation { root } => {
                    let variance = value / self.counts[step];
                    if root { variance.sqrt() } else { variance }
                }
                Kind::Count | Kind::Min | Kind::Max | Kind::Group => value,
            };
        }
        self.values
    }
}

/// One step of a compensated sum; as `model::histogram::Kahan`, over two columns.
#[inline]
fn kahan_add(v: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + v;
    let (larger, smaller) = if sum.abs() >= v.abs() { (sum, v) } else { (v, sum) };
    let dropped = (larger - total) + smaller;
    (total, if total.is_infinite() { 0.0 } else { compensation + dropped })
}
