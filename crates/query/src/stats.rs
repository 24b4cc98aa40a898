//! What was done for a query, as the parameter `stats` asks for it: Prometheus' names.

use std::time::Duration;

use model::TimestampMs;
use promql::QueryKind;
use promql::engine::QueryStats;

/// When the parts of a query began, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timings {
    asked: Duration,
    /// A thread has taken it.
    pub(crate) started: Duration,
    /// It is parsed and checked.
    pub(crate) parsed: Duration,
}

/// How long the parts of a query took, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PartSeconds {
    pub(crate) queue: f64,
    pub(crate) preparation: f64,
    pub(crate) evaluation: f64,
}

/// The statistics of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AnswerStats {
    pub(crate) timings: PartSeconds,
    pub(crate) total_samples: u64,
    pub(crate) peak_samples: u64,
    /// The moment of an instant query, whose samples are all of one step, ms.
    pub(crate) only_step_ms: Option<TimestampMs>,
}

impl Timings {
    /// A query that was asked at `now`.
    pub(crate) fn new(now: Duration) -> Self {
        Self { asked: now, started: now, parsed: now }
    }

    /// How long everything took that ends at `now`.
    pub(crate) fn until(&self, now: Duration) -> PartSeconds {
        let between = |a: Duration, b: Duration| b.saturating_sub(a).as_secs_f64();
        PartSeconds {
            queue: between(self.asked, self.started),
            preparation: between(self.started, self.parsed),
            evaluation: between(self.parsed, now),
        }
    }
}

impl AnswerStats {
    /// What the engine has counted.
    pub(crate) fn new(stats: &QueryStats, kind: QueryKind) -> Self {
        let only_step_ms = match kind {
            QueryKind::Instant { time_ms } => Some(time_ms),
            QueryKind::Range { .. } => None,
        };
        Self {
            timings: PartSeconds::default(),
            total_samples: stats.total_samples,
            peak_samples: stats.peak_samples,
            only_step_ms,
        }
    }

    /// The JSON object.
    pub(crate) fn to_json(&self) -> String {
        let PartSeconds { queue, preparation, evaluation } = self.timings;
        let step = match self.only_step_ms {
            Some(ms) => {
                let seconds = ms as f64 / 1000.0;
                format!("\"totalQueryableSamplesPerStep\":[[{seconds},{}]],", self.total_samples)
            }
            None => String::new(),
        };
        format!(
            "{{\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":0,\
             \"queryPreparationTime\":{preparation},\"innerEvalTime\":{evaluation},\
             \"execQueueTime\":{queue},\"execTotalTime\":{}}},\"samples\":{{{step}\
             \"totalQueryableSamples\":{},\"peakSamples\":{}}}}}",
            preparation + evaluation,
            queue + preparation + evaluation,
            self.total_samples,
            self.peak_samples,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_have_the_names_of_prometheus() {
        let timings = Timings {
            asked: Duration::from_secs(1),
            started: Duration::from_secs(2),
            parsed: Duration::from_secs(4),
        };
        let stats = QueryStats { total_samples: 7, peak_samples: 3 };
        let stats = AnswerStats {
            timings: timings.until(Duration::from_secs(8)),
            ..AnswerStats::new(&stats, QueryKind::Instant { time_ms: 1500 })
        };
        let json: serde_json::Value = serde_json::from_str(&stats.to_json()).unwrap();
        assert_eq!(json["timings"]["execTotalTime"], 7.0);
        assert_eq!(json["timings"]["evalTotalTime"], 6.0);
        assert_eq!(json["timings"]["execQueueTime"], 1.0);
        assert_eq!(json["samples"]["totalQueryableSamples"], 7);
        assert_eq!(json["samples"]["totalQueryableSamplesPerStep"], serde_json::json!([[1.5, 7]]));
    }
}
