//! One window of float samples, and what functions of range vectors make of it by their
//! definitions: every window is looked at as a whole. Used by both naive twins.

/// A sample: time, ms, and value.
pub(crate) type Sample = (i64, f64);

#[derive(Debug)]
pub(crate) struct Window {
    /// Ascending in time, without stale markers.
    pub(crate) samples: Vec<Sample>,
    /// Not inside.
    pub(crate) start: i64,
    /// Inside.
    pub(crate) end: i64,
}

pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

pub(crate) fn kahan(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost = if next.is_infinite() {
            0.0
        } else if sum.abs() >= value.abs() {
            lost + ((sum - next) + value)
        } else {
            lost + ((value - next) + sum)
        };
        sum = next;
    }
    (sum, lost)
}

impl Window {
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.samples.iter().map(|s| s.1)
    }

    pub(crate) fn rate(&self, is_counter: bool, is_rate: bool) -> Option<f64> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        if self.samples.len() < 2 {
            return None;
        }
        let mut increase = last.1 - first.1;
        for pair in self.samples.windows(2).filter(|_| is_counter) {
            if pair[1].1 < pair[0].1 {
                increase += pair[0].1;
            }
        }
        let sampled = seconds(last.0 - first.0);
        let average = sampled / (self.samples.len() - 1) as f64;
        let limit = average * 1.1;
        let mut before = seconds(first.0 - self.start);
        if before >= limit {
            before = average / 2.0;
        }
        if is_counter {
            let mut to_zero = before;
            if increase > 0.0 && first.1 >= 0.0 {
                to_zero = sampled * (first.1 / increase);
            }
            if to_zero < before {
                before = to_zero;
            }
        }
        let mut after = seconds(self.end - last.0);
        if after >= limit {
            after = average / 2.0;
        }
        let mut factor = (sampled + before + after) / sampled;
        if is_rate {
            factor /= seconds(self.end - self.start);
        }
        Some(increase * factor)
    }

    pub(crate) fn instant_delta(&self, is_rate: bool) -> Option<f64> {
        let [.., a, b] = &self.samples[..] else { return None };
        let delta = if is_rate && b.1 < a.1 { b.1 } else { b.1 - a.1 };
        Some(if is_rate { delta / seconds(b.0 - a.0) } else { delta })
    }

    pub(crate) fn average(&self) -> f64 {
        let (mut sum, mut lost, mut count) = (self.samples[0].1, 0.0_f64, 1.0_f64);
        let (mut mean, mut incremental) = (0.0, false);
        for value in self.values().skip(1) {
            count += 1.0;
            if !incremental {
                let (next, next_lost) = step(value, sum, lost);
                if !next.is_infinite() {
                    (sum, lost) = (next, next_lost);
                    continue;
                }
                incremental = true;
                mean = sum / (count - 1.0);
                lost /= count - 1.0;
            }
            let share = (count - 1.0) / count;
            (mean, lost) = step(value / count, share * mean, share * lost);
        }
        if incremental { mean + lost } else { sum / count + lost / count }
    }

    pub(crate) fn extreme(&self, better: impl Fn(f64, f64) -> bool) -> f64 {
        let mut best = self.samples[0].1;
        for value in self.values() {
            if better(value, best) || best.is_nan() {
                best = value;
            }
        }
        best
    }

    pub(crate) fn variance(&self) -> f64 {
        let (mut count, mut mean, mut mean_lost) = (0.0, 0.0, 0.0);
        let (mut squares, mut squares_lost) = (0.0, 0.0);
        for value in self.values() {
            count += 1.0;
            let delta = value - (mean + mean_lost);
            (mean, mean_lost) = step(delta / count, mean, mean_lost);
            let square = delta * (value - (mean + mean_lost));
            (squares, squares_lost) = step(square, squares, squares_lost);
        }
        (squares + squares_lost) / count
    }

    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let mut sorted: Vec<f64> = self.values().collect();
        sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).expect("neither is NaN"),
            (a, b) => b.cmp(&a),
        });
        let rank = q * (sorted.len() - 1) as f64;
        let low = rank.floor() as usize;
        let high = (low + 1).min(sorted.len() - 1);
        let weight = rank - rank.floor();
        sorted[low] * (1.0 - weight) + sorted[high] * weight
    }

    pub(crate) fn changes(&self) -> f64 {
        let changed = |p: &&[Sample]| p[0].1 != p[1].1 && !(p[0].1.is_nan() && p[1].1.is_nan());
        self.samples.windows(2).filter(changed).count() as f64
    }

    pub(crate) fn resets(&self) -> f64 {
        self.samples.windows(2).filter(|p| p[1].1 < p[0].1).count() as f64
    }

    pub(crate) fn line(&self, at: i64) -> Option<(f64, f64)> {
        let first = self.samples[0].1;
        if self.samples.len() < 2 {
            return None;
        }
        if self.values().all(|v| v == first) {
            return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
        }
        let n = self.samples.len() as f64;
        let sum = |term: &dyn Fn(f64, f64) -> f64| {
            let terms = self.samples.iter().map(|s| term(seconds(s.0 - at), s.1));
            let (sum, lost) = kahan(terms);
            sum + lost
        };
        let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
        let (xy, xx) = (sum(&|x, y| x * y), sum(&|x, _| x * x));
        let slope = (xy - x * y / n) / (xx - x * x / n);
        Some((slope, y / n - slope * x / n))
    }
}

pub(crate) fn step(value: f64, sum: f64, lost: f64) -> (f64, f64) {
    let next = sum + value;
    if next.is_infinite() {
        (next, 0.0)
    } else if sum.abs() >= value.abs() {
        (next, lost + ((sum - next) + value))
    } else {
        (next, lost + ((value - next) + sum))
    }
}
