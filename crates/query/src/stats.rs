//! What was done for a query, as the parameter `stats` asks for it: Prometheus' names.

use std::time::Duration;

use model::TimestampMs;
use promql::engine::QueryStats;

/// What a client wants to know of what was done for its query: the parameter `stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WantedStats {
    /// Nothing.
    None,
    /// Sums over the whole query.
    Totals,
    /// Each step's numbers as well.
    All,
}

impl WantedStats {
    /// The value of the parameter.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "" => Self::None,
            "all" => Self::All,
            _ => Self::Totals,
        }
    }
}

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
    /// Each step, ms, and its samples; not told if empty.
    pub(crate) samples_per_step: Vec<(TimestampMs, u64)>,
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
    pub(crate) fn new(stats: QueryStats, wanted: WantedStats) -> Self {
        let steps = if wanted == WantedStats::All { stats.samples_per_step } else { Vec::new() };
        Self {
            timings: PartSeconds::default(),
            total_samples: stats.total_samples,
            peak_samples: stats.peak_samples,
            samples_per_step: steps,
        }
    }

    /// The JSON object.
    pub(crate) fn to_json(&self) -> String {
        let PartSeconds { queue, preparation, evaluation } = self.timings;
        let steps = self.steps_json();
        format!(
            "{{\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":0,\
             \"queryPreparationTime\":{preparation},\"innerEvalTime\":{evaluation},\
             \"execQueueTime\":{queue},\"execTotalTime\":{}}},\"samples\":{{{steps}\
             \"totalQueryableSamples\":{},\"peakSamples\":{}}}}}",
            preparation + evaluation,
            queue + preparation + evaluation,
            self.total_samples,
            self.peak_samples,
        )
    }

    fn steps_json(&self) -> String {
        if self.samples_per_step.is_empty() {
            return String::new();
        }
        let pairs = self.samples_per_step.iter();
        let pairs: Vec<String> =
            pairs.map(|(ms, samples)| format!("[{},{samples}]", *ms as f64 / 1000.0)).collect();
        format!("\"totalQueryableSamplesPerStep\":[{}],", pairs.join(","))
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
        let samples_per_step = vec![(1500, 3), (2500, 4)];
        let stats = QueryStats { total_samples: 7, samples_per_step, peak_samples: 3 };
        let answer = AnswerStats {
            timings: timings.until(Duration::from_secs(8)),
            ..AnswerStats::new(stats.clone(), WantedStats::parse("all"))
        };
        let json: serde_json::Value = serde_json::from_str(&answer.to_json()).unwrap();
        assert_eq!(json["timings"]["execTotalTime"], 7.0);
        assert_eq!(json["timings"]["evalTotalTime"], 6.0);
        assert_eq!(json["timings"]["execQueueTime"], 1.0);
        assert_eq!(json["samples"]["totalQueryableSamples"], 7);
        let steps = &json["samples"]["totalQueryableSamplesPerStep"];
        assert_eq!(*steps, serde_json::json!([[1.5, 3], [2.5, 4]]));
        let json = AnswerStats::new(stats, WantedStats::parse("1")).to_json();
        assert!(json.contains("Samples\":7") && !json.contains("PerStep"), "{json}");
        assert_eq!(WantedStats::parse(""), WantedStats::None);
    }
}
