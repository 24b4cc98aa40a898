//! How many there are of something that several ingesters hold: what they count, put together.

use std::collections::BTreeSet;

use ring::ReplicationSet;

/// How counts of ingesters become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Zones that ingesters are in; 0 where the ring has none.
    zones: usize,
    /// How many ingesters hold each sample.
    replication_factor: usize,
}

impl Estimate {
    /// Of the ingesters of `set`. Without zones each of them holds a part that nobody else tells
    /// apart: then all must answer, and `set` says so afterwards.
    pub(super) fn of(set: &mut ReplicationSet, replication_factor: usize) -> Self {
        let zones: BTreeSet<&str> = set.instances.iter().map(|i| i.zone.as_str()).collect();
        let zones = if set.zone_awareness && zones.len() > 1 { zones.len() } else { 0 };
        if zones == 0 {
            (set.max_errors, set.max_unavailable_zones) = (0, 0);
        }
        Self { zones, replication_factor: replication_factor.max(1) }
    }

    /// From the sums of those that have answered: of each zone, or of each ingester. A zone holds
    /// everything once, or its share where there are more zones than replicas; one that says less
    /// has missed something.
    pub(super) fn total(self, sums: impl IntoIterator<Item = f64>) -> f64 {
        let factor = self.replication_factor as f64;
        if self.zones == 0 {
            return (sums.into_iter().sum::<f64>() / factor).round();
        }
        let largest = sums.into_iter().fold(0.0, f64::max);
        if self.zones <= self.replication_factor {
            return largest;
        }
        (largest * self.zones as f64 / factor).round()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::InstanceDesc;

    use super::*;

    fn set(zones: &[&str], zone_awareness: bool) -> ReplicationSet {
        let instance = |zone: &&str| {
            Arc::new(InstanceDesc { zone: (*zone).to_owned(), ..InstanceDesc::default() })
        };
        let instances = zones.iter().map(instance).collect();
        let (max_errors, max_unavailable_zones) = if zone_awareness { (0, 1) } else { (1, 0) };
        ReplicationSet { instances, max_errors, max_unavailable_zones, zone_awareness }
    }

    #[test]
    fn without_zones_all_are_asked_and_the_sum_is_divided_by_the_replicas() {
        let mut of_three = set(&["", "", ""], false);
        let estimate = Estimate::of(&mut of_three, 3);
        assert_eq!(of_three.max_errors, 0);
        assert_eq!(estimate.total([10.0, 11.0, 11.0]), 11.0);
        let mut of_one_zone = set(&["a", "a", "a"], true);
        assert_eq!(Estimate::of(&mut of_one_zone, 3), estimate);
        assert_eq!(of_one_zone.max_unavailable_zones, 0);
    }

    #[test]
    fn of_zones_the_one_with_the_most_is_right() {
        let mut of_three = set(&["a", "a", "b", "b", "c"], true);
        let estimate = Estimate::of(&mut of_three, 3);
        assert_eq!(of_three.max_unavailable_zones, 1, "one may be missing");
        assert_eq!(estimate.total([10.0, 12.0]), 12.0);
        let of_four = Estimate::of(&mut set(&["a", "b", "c", "d"], true), 3);
        assert_eq!(of_four.total([10.0, 11.0]), 15.0, "four thirds of 11");
    }
}
