//! Which heads are cut early, to have fewer series in memory: pure decisions, carried out by
//! `crate::early`.

use model::TimestampMs;

/// What cutting the head of one tenant early would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reduction {
    /// Series in the head.
    pub(crate) series: u64,
    /// Those that would be gone.
    pub(crate) removable: u64,
}

impl Reduction {
    /// The part of the series that would be gone, percent, rounded down.
    fn percentage(self) -> u64 {
        percentage(self.removable, self.series)
    }
}

/// When the process has too many series in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessPolicy {
    /// From how many series on; 0 = never.
    pub(crate) min_series: u64,
    /// The part of the series that must be gone afterwards, percent.
    pub(crate) min_reduction_percentage: u64,
}

/// The tenants whose heads are cut early when the process has `series` in memory: as many as it
/// takes to come below the threshold, and all others whose heads would shrink well. None where
/// all together would not bring enough. `reductions` is of all tenants.
pub(crate) fn tenants_to_cut<T>(
    series: u64,
    policy: ProcessPolicy,
    mut reductions: Vec<(T, Reduction)>,
) -> Vec<T> {
    if policy.min_series == 0 || series < policy.min_series {
        return Vec::new();
    }
    let removable: u64 = reductions.iter().map(|(_, reduction)| reduction.removable).sum();
    if percentage(removable, series) < policy.min_reduction_percentage {
        return Vec::new();
    }
    reductions.sort_by_key(|(_, reduction)| std::cmp::Reverse(reduction.removable));
    let target = series - policy.min_series;
    let mut removed = 0;
    let mut chosen = Vec::new();
    for (tenant, reduction) in reductions.into_iter().filter(|(_, r)| r.series > 0) {
        if removed < target || policy.min_reduction_percentage <= reduction.percentage() {
            removed += reduction.removable;
            chosen.push(tenant);
        }
    }
    chosen
}

/// When one tenant has too many series in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantPolicy {
    /// From how many owned series on; 0 = never.
    pub(crate) min_owned_series: u64,
    /// The part of the series that must be gone afterwards, percent.
    pub(crate) min_reduction_percentage: u64,
    /// How long after an early cut there is no further one, ms.
    pub(crate) cooldown_ms: i64,
}

impl TenantPolicy {
    /// Whether a tenant with so many owned series is worth a closer look.
    pub(crate) fn is_above(
        self,
        owned_series: u64,
        last_ms: Option<TimestampMs>,
        now_ms: TimestampMs,
    ) -> bool {
        let rests = last_ms.is_some_and(|last| now_ms.saturating_sub(last) < self.cooldown_ms);
        self.min_owned_series > 0 && self.min_owned_series <= owned_series && !rests
    }

    /// Whether the head is cut early.
    pub(crate) fn is_worth_it(self, reduction: Reduction) -> bool {
        reduction.series > 0 && self.min_reduction_percentage <= reduction.percentage()
    }
}

fn percentage(part: u64, of: u64) -> u64 {
    (u128::from(part) * 100).checked_div(u128::from(of)).map_or(0, |percent| percent as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduction(removable: u64, series: u64) -> Reduction {
        Reduction { series, removable }
    }

    fn chosen(
        series: u64,
        (min_series, min_reduction_percentage): (u64, u64),
        all: &[(char, u64, u64)],
    ) -> String {
        let reductions = all.iter().map(|&(name, removable, of)| (name, reduction(removable, of)));
        let policy = ProcessPolicy { min_series, min_reduction_percentage };
        tenants_to_cut(series, policy, reductions.collect()).into_iter().collect()
    }

    #[test]
    fn the_process_cuts_what_brings_it_below_its_threshold_and_what_shrinks_well() {
        let all = [('a', 10, 400), ('b', 300, 1000), ('c', 50, 100), ('d', 0, 0)];
        assert_eq!(chosen(1500, (0, 10), &all), "", "switched off");
        assert_eq!(chosen(1500, (1501, 10), &all), "", "below the threshold");
        assert_eq!(chosen(1500, (1500, 25), &all), "", "24 % of all are too few");
        assert_eq!(chosen(1500, (1500, 24), &all), "bc", "no need, but they shrink by 24 %");
        assert_eq!(chosen(1500, (1500, 0), &all), "bca");
        assert_eq!(chosen(1500, (1201, 24), &all), "bc");
        assert_eq!(chosen(1500, (1100, 24), &all), "bca", "b and c are not enough");
    }

    #[test]
    fn a_tenant_is_cut_above_its_threshold_not_too_often_and_when_it_shrinks() {
        let policy =
            TenantPolicy { min_owned_series: 100, min_reduction_percentage: 15, cooldown_ms: 50 };
        assert!(policy.is_above(100, None, 0));
        assert!(!policy.is_above(99, None, 0));
        assert!(!policy.is_above(100, Some(1000), 1049));
        assert!(policy.is_above(100, Some(1000), 1050));
        assert!(!TenantPolicy { min_owned_series: 0, ..policy }.is_above(100, None, 0));
        assert!(policy.is_worth_it(reduction(15, 100)));
        assert!(!policy.is_worth_it(reduction(158, 1060)));
        assert!(!policy.is_worth_it(reduction(0, 0)));
    }
}
