//! Counts of series, values and names of the head, and its active series; by the database's
//! clock.

use std::time::Duration;

use model::Matcher;

use super::Db;
use crate::error::TsdbError;
use crate::head::{ActiveCounts, CountedSeries, SeriesVisitor};

impl Db {
    /// Sets after what time without a sample a series is idle (20 minutes where it is not set).
    /// To be called before any append.
    pub fn set_active_timeout(&self, timeout: Duration) {
        self.head.set_active_timeout(timeout);
    }

    /// The series that took a sample within the idle timeout.
    pub fn active_now(&self) -> CountedSeries {
        CountedSeries::Active(self.env.clock.monotonic())
    }

    /// Counts the active series: all of them, and those that satisfy each of `trackers`. To be
    /// called at least once an idle timeout, or series that are idle for longer than twice of it
    /// count as active again.
    pub fn count_active_series(
        &self,
        trackers: &[Vec<Matcher>],
    ) -> Result<(ActiveCounts, Vec<ActiveCounts>), TsdbError> {
        self.head.count_active_series(self.env.clock.monotonic(), trackers)
    }

    /// Visits the active series that satisfy `matchers` in label order, each with its number of
    /// buckets where it is one of native histograms.
    pub fn visit_active_series(
        &self,
        matchers: &[Matcher],
        visit: SeriesVisitor<'_>,
    ) -> Result<(), TsdbError> {
        self.head.visit_active_series(matchers, self.env.clock.monotonic(), visit)
    }
}
