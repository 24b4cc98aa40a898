//! Checks of label names once a list of names instead of once a series.
//!
//! Only ever says that all labels of a series are valid; otherwise `labels.rs` looks at them one
//! by one and finds the words.

use model::batch::{BatchSeries, NameListId};
use model::labels::is_legacy_metric_name;
use model::{Label, METRIC_NAME_LABEL, WriteBatch};

use super::{ValidationLimits, labels};

/// What is known about the name lists of a request.
#[derive(Debug, Default)]
pub(super) struct NameLists<'a> {
    lists: Vec<State>,
    /// The last metric name that was found to be valid.
    last_metric: &'a str,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Unknown,
    /// All names are valid and not too many; the metric name is the label at this index.
    Valid(usize),
    Invalid,
}

impl<'a> NameLists<'a> {
    /// Whether the labels of a series are known to be valid.
    #[inline]
    pub(super) fn have_valid_labels(
        &mut self,
        batch: &WriteBatch<'a>,
        series: &BatchSeries,
        limits: &ValidationLimits,
    ) -> bool {
        let Some(list) = series.name_list else { return false };
        let labels = batch.labels_of(series);
        let State::Valid(metric) = self.state(list, labels, limits) else { return false };
        let metric = labels[metric].value;
        if metric != self.last_metric {
            if !limits.utf8_names && !is_legacy_metric_name(metric) {
                return false;
            }
            self.last_metric = metric;
        }
        labels.iter().all(|label| label.value.len() <= limits.max_label_value_bytes)
    }

    #[inline]
    fn state(
        &mut self,
        list: NameListId,
        labels: &[Label<'_>],
        limits: &ValidationLimits,
    ) -> State {
        match self.lists.get(list.index()) {
            Some(&state @ (State::Valid(_) | State::Invalid)) => state,
            Some(State::Unknown) | None => self.check(list, labels, limits),
        }
    }

    #[cold]
    fn check(
        &mut self,
        list: NameListId,
        labels: &[Label<'_>],
        limits: &ValidationLimits,
    ) -> State {
        let metric = labels.iter().position(|label| label.name == METRIC_NAME_LABEL);
        let state = match metric {
            Some(metric) if labels::are_valid_names(labels, limits) => State::Valid(metric),
            _ => State::Invalid,
        };
        if self.lists.len() <= list.index() {
            self.lists.resize(list.index() + 1, State::Unknown);
        }
        self.lists[list.index()] = state;
        state
    }
}
