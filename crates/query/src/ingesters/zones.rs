//! In how many zones ingesters may be left out of a query.

/// `by_ring` is what the ring allows: a minority of the `zones` that are in it, less those that are
/// not healthy. That is too much while whole zones have left it: an acknowledged sample is in a
/// majority of as many zones as there are copies, and zones that have left may have been among
/// them. `None` when a sample can be missing already.
pub(super) fn unavailable(by_ring: usize, zones: usize, factor: usize) -> Option<usize> {
    let replicated = zones.min(factor);
    let unhealthy = (replicated / 2).checked_sub(by_ring)?;
    let left = factor - replicated;
    let allowed = (factor / 2).saturating_sub(left);
    allowed.checked_sub(unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether leaving out any so many of the zones that are there still finds every sample,
    /// wherever its copies are.
    fn finds_all(missing: usize, zones: usize, factor: usize) -> bool {
        let all = zones.max(factor);
        let (there, must_hit) = (zones - missing, factor / 2 + 1);
        // The copies are in the worst zones: those that have left and those that are left out.
        all.min(factor).min(all - there) < must_hit
    }

    #[test]
    fn as_many_zones_as_no_sample_can_be_missing_from() {
        for factor in 1..=5 {
            for zones in 1..=6 {
                let replicated = zones.min(factor);
                for unhealthy in 0..=replicated / 2 {
                    let Some(more) = unavailable(replicated / 2 - unhealthy, zones, factor) else {
                        assert!(
                            !finds_all(unhealthy, zones, factor),
                            "{factor} {zones} {unhealthy}"
                        );
                        continue;
                    };
                    let most = unhealthy + more;
                    // A ring that never had enough zones for a quorum is read as it is.
                    assert!(most == 0 || finds_all(most, zones, factor), "{factor} {zones} {most}");
                }
            }
        }
        assert_eq!(unavailable(1, 3, 3), Some(1));
        assert_eq!(unavailable(0, 3, 3), Some(0));
        assert_eq!(unavailable(1, 2, 3), Some(0), "one zone has left: both others are asked");
        assert_eq!(unavailable(0, 2, 3), None, "one has left, one is not healthy");
        assert_eq!(unavailable(0, 1, 3), Some(0));
    }
}
