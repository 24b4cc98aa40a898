//! Active series: which of a tenant's series took a sample lately, counted again and again, all
//! of them and those of each custom tracker.
//!
//! The TSDB knows the time of each series' last sample; nothing is kept a series here. The counts
//! are read by the collector of the metrics (`metrics/active.rs`).

use std::sync::Arc;

use config::{GoDuration, Limits};
use model::Matcher;
use model::matcher::parse_matcher_list;
use tsdb::head::ActiveCounts;

use crate::Ingester;
use crate::tenant::Tenant;

/// The counts of one tenant, as they were at the last update.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ActiveFigures {
    pub(crate) all: ActiveCounts,
    /// By the name of the tracker, ascending.
    pub(crate) trackers: Vec<(String, ActiveCounts)>,
}

/// A custom tracker.
type Tracker = (String, Vec<Matcher>);

/// The trackers of a tenant: the additional ones add to the others or take their place.
fn trackers(limits: &Limits) -> Vec<Tracker> {
    let mut merged = limits.active_series_custom_trackers.0.clone();
    merged.extend(limits.active_series_additional_custom_trackers.0.clone());
    let parse = |(name, matchers): (String, String)| match parse_matcher_list(&matchers) {
        Ok(matchers) => Some((name, matchers)),
        Err(error) => {
            tracing::warn!(name, %error, "a custom tracker was left out");
            None
        }
    };
    merged.into_iter().filter_map(parse).collect()
}

impl Ingester {
    /// How often active series are counted: as configured, and often enough for the TSDB to know
    /// which ones are idle. `None` where they are not.
    pub(crate) fn active_update_period(&self) -> Option<GoDuration> {
        let configured = self.config.active_series_metrics_update_period;
        if !self.config.active_series_metrics_enabled || !configured.is_positive() {
            return None;
        }
        let quarter = self.config.active_series_metrics_idle_timeout.millis() / 4;
        Some(GoDuration::from_millis(configured.millis().min(quarter).max(1)))
    }

    /// Counts the active series of all tenants.
    pub(crate) async fn update_active_series(self: &Arc<Self>) {
        let counted = self.blocking(|i| {
            for tenant in i.tenants.all() {
                i.count_active_series(&tenant);
            }
        });
        if let Err(error) = counted.await {
            tracing::error!(%error, "could not count active series");
        }
    }

    fn count_active_series(&self, tenant: &Tenant) {
        let limits = self.overrides.limits(tenant.id());
        let (names, matchers): (Vec<_>, Vec<_>) = trackers(&limits).into_iter().unzip();
        match tenant.db().count_active_series(&matchers) {
            Ok((all, counts)) => {
                let trackers = names.into_iter().zip(counts).collect();
                tenant.set_active(ActiveFigures { all, trackers });
            }
            Err(error) => {
                tracing::error!(user = %tenant.id(), %error, "could not count active series");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_trackers_add_and_replace() {
        let mut limits = config::Config::default().limits;
        let map = |pairs: &[(&str, &str)]| {
            config::TrackerMap(pairs.iter().map(|&(n, m)| (n.to_owned(), m.to_owned())).collect())
        };
        limits.active_series_custom_trackers = map(&[("a", "x=1"), ("b", "x=2")]);
        limits.active_series_additional_custom_trackers = map(&[("b", "{x=3}"), ("c", "x!=4")]);
        let shown = trackers(&limits);
        let shown: Vec<_> = shown.iter().map(|(n, m)| format!("{n} {}", m[0])).collect();
        assert_eq!(shown, [r#"a x="1""#, r#"b x="3""#, r#"c x!="4""#]);
    }
}
