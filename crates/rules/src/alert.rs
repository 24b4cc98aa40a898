//! The states of alerts: a pure machine from the results of a rule, at one time after the other, to
//! what is pending, firing and resolved.

use std::collections::BTreeMap;

use model::{Labels, TimestampMs};

/// How long a resolved alert is kept, so that its end can still be sent, ms.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1000;

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// Resolved.
    Inactive,
    /// Not for long enough yet.
    Pending,
    /// It fires.
    Firing,
}

impl AlertState {
    /// The value of the label `alertstate`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Where it is in its life.
    pub state: AlertState,
    /// Its labels, `alertname` included.
    pub labels: Labels,
    /// Its annotations, filled in.
    pub annotations: Labels,
    /// The value of its sample.
    pub value: f64,
    /// Since when there is a result, ms.
    pub active_at_ms: TimestampMs,
    /// Since when it fires, ms.
    pub fired_at_ms: Option<TimestampMs>,
    /// Since when it is resolved, ms.
    pub resolved_at_ms: Option<TimestampMs>,
    /// Since when it fires without a result, ms.
    pub keep_firing_since_ms: Option<TimestampMs>,
}

/// A result of an alerting rule.
#[derive(Debug, Clone)]
pub(crate) struct Result {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) value: f64,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) for_ms: i64,
    pub(crate) keep_firing_for_ms: i64,
}

/// The alerts of one rule, by their labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts(BTreeMap<Labels, Alert>);

impl Alerts {
    /// All alerts in label order, resolved ones included.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Alert> {
        self.0.values()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in the results of an evaluation at `now_ms`. Returns the alerts that are pending or
    /// firing now.
    pub(crate) fn update(
        &mut self,
        results: BTreeMap<Labels, Result>,
        timing: Timing,
        now_ms: TimestampMs,
    ) -> Vec<Alert> {
        let seen: Vec<Labels> = results.keys().cloned().collect();
        for (labels, result) in results {
            match self.0.get_mut(&labels) {
                Some(alert) if alert.state != AlertState::Inactive => {
                    alert.value = result.value;
                    alert.annotations = result.annotations;
                }
                _ => _ = self.0.insert(labels, begin(result, now_ms)),
            }
        }
        let mut active = Vec::new();
        self.0.retain(|labels, alert| {
            let is_kept = if seen.binary_search(labels).is_ok() {
                alert.keep_firing_since_ms = None;
                true
            } else {
                match without_result(alert, timing, now_ms) {
                    WithoutResult::Remove => return false,
                    WithoutResult::Resolved => false,
                    WithoutResult::KeepsFiring => true,
                }
            };
            if is_kept {
                if alert.state == AlertState::Pending
                    && now_ms.saturating_sub(alert.active_at_ms) >= timing.for_ms
                {
                    alert.state = AlertState::Firing;
                    alert.fired_at_ms = Some(now_ms);
                }
                active.push(alert.clone());
            }
            true
        });
        active
    }
}

fn begin(result: Result, now_ms: TimestampMs) -> Alert {
    Alert {
        state: AlertState::Pending,
        labels: result.labels,
        annotations: result.annotations,
        value: result.value,
        active_at_ms: now_ms,
        fired_at_ms: None,
        resolved_at_ms: None,
        keep_firing_since_ms: None,
    }
}

enum WithoutResult {
    Remove,
    Resolved,
    KeepsFiring,
}

fn without_result(alert: &mut Alert, timing: Timing, now_ms: TimestampMs) -> WithoutResult {
    if alert.state == AlertState::Firing && timing.keep_firing_for_ms > 0 {
        let since = *alert.keep_firing_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) < timing.keep_firing_for_ms {
            return WithoutResult::KeepsFiring;
        }
    }
    let resolved_long_ago = alert
        .resolved_at_ms
        .is_some_and(|resolved| now_ms.saturating_sub(resolved) > RESOLVED_RETENTION_MS);
    if alert.state == AlertState::Pending || resolved_long_ago {
        return WithoutResult::Remove;
    }
    if alert.state != AlertState::Inactive {
        alert.state = AlertState::Inactive;
        alert.resolved_at_ms = Some(now_ms);
    }
    WithoutResult::Resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn results(present: bool) -> BTreeMap<Labels, Result> {
        let labels = Labels::from_pairs([("alertname", "X")]);
        let result = Result { labels: labels.clone(), annotations: Labels::empty(), value: 1.0 };
        if present { BTreeMap::from([(labels, result)]) } else { BTreeMap::new() }
    }

    /// One letter for each minute: whether there is a result; and the states that follow.
    fn check(timing: Timing, present: &str, want: &str) {
        let mut alerts = Alerts::default();
        let mut states = String::new();
        for (minute, letter) in present.chars().enumerate() {
            alerts.update(results(letter == '1'), timing, minute as i64 * MINUTE);
            let state = alerts.all().next().map(|alert| alert.state);
            states.push(match state {
                None => '.',
                Some(AlertState::Inactive) => 'r',
                Some(AlertState::Pending) => 'p',
                Some(AlertState::Firing) => 'f',
            });
        }
        assert_eq!(states, want);
    }

    #[test]
    fn an_alert_is_pending_then_fires_then_is_resolved() {
        let timing = Timing { for_ms: 2 * MINUTE, keep_firing_for_ms: 0 };
        check(timing, "0110111100011", ".pp.ppffrrrpp");
        let at_once = Timing { for_ms: 0, keep_firing_for_ms: 0 };
        check(at_once, "101", "frf");
    }

    #[test]
    fn it_keeps_firing_for_a_while_without_a_result() {
        let timing = Timing { for_ms: 0, keep_firing_for_ms: 2 * MINUTE };
        check(timing, "1001000", "ffffffr");
    }

    #[test]
    fn a_resolved_alert_is_forgotten_after_a_quarter_of_an_hour() {
        let timing = Timing { for_ms: 0, keep_firing_for_ms: 0 };
        check(timing, &format!("1{}", "0".repeat(18)), &format!("f{}..", "r".repeat(16)));
    }
}
