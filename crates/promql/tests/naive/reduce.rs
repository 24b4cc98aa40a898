//! Makes a case that differs smaller: fewer steps, series and samples, as long as it differs.

use crate::compare::{Case, Verdict};

/// The smallest case found that still differs.
pub(crate) fn smallest(mut case: Case) -> Case {
    loop {
        let candidates = smaller(&case);
        match candidates.into_iter().find(differs) {
            Some(next) => case = next,
            None => return case,
        }
    }
}

fn differs(case: &Case) -> bool {
    std::panic::catch_unwind(|| matches!(case.verdict(), Verdict::Differ(_))).unwrap_or(true)
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    if case.step > 0 && case.end > case.start {
        let steps = (case.end - case.start) / case.step;
        cases.push(Case { end: case.start + steps / 2 * case.step, ..case.clone() });
        cases.push(Case { start: case.start + case.step, ..case.clone() });
    }
    for index in 0..case.data.series.len() {
        let mut next = case.clone();
        next.data.series.remove(index);
        cases.push(next);
    }
    for (index, (_, samples)) in case.data.series.iter().enumerate() {
        let half = samples.len().div_ceil(2);
        for keep in [0..half, half..samples.len(), 1..samples.len()] {
            if keep.len() < samples.len() && !keep.is_empty() {
                let mut next = case.clone();
                next.data.series[index].1 = samples[keep].to_vec();
                cases.push(next);
            }
        }
    }
    cases
}
