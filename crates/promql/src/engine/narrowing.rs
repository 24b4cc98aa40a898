//! The label values of the left side of a join, as matchers of selectors on its right side.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use model::{MatchOp, Matcher};

use super::batch::SeriesBatch;
use super::naming::is_metadata_label;
use super::plan::{NodeId, SelectPlan};

/// More values are no longer a cheap condition.
const MAX_VALUES: usize = 128;

/// The values that series on left sides have in labels.
#[derive(Default)]
pub(crate) struct Narrowings(Mutex<HashMap<(NodeId, String), Vec<String>>>);

impl Narrowings {
    /// Remembers the values of the series of `node` in `labels`, where there are not too many.
    pub(crate) fn remember(&self, node: NodeId, labels: &[String], batch: &SeriesBatch) {
        for label in labels.iter().filter(|label| !is_metadata_label(label)) {
            if let Some(values) = values(batch, label) {
                let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert((node, label.clone()), values);
            }
        }
    }

    /// The matchers of `select`, narrowed; `None` if it can select nothing that is needed.
    pub(crate) fn matchers(&self, select: &SelectPlan) -> Option<Vec<Matcher>> {
        let mut matchers = select.matchers.clone();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, label) in &select.narrowed_by {
            match known.get(&(*node, label.clone())).map(Vec::as_slice) {
                None => {}
                Some([]) => return None,
                Some([value]) => matchers.push(Matcher::equal(label, value)),
                Some(values) => {
                    let values: Vec<String> =
                        values.iter().map(|value| quote_regex(value)).collect();
                    matchers.extend(Matcher::new(MatchOp::Regex, label, values.join("|")));
                }
            }
        }
        Some(matchers)
    }
}

/// The values of a label; `None` if there are too many or a series lacks the label.
fn values(batch: &SeriesBatch, label: &str) -> Option<Vec<String>> {
    let mut values = BTreeSet::new();
    for head in &batch.heads {
        let value = head.labels.value(label);
        if value.is_empty() {
            return None;
        }
        values.insert(value);
        if values.len() > MAX_VALUES {
            return None;
        }
    }
    Some(values.into_iter().map(str::to_owned).collect())
}

/// A regular expression that matches `text` alone.
pub(crate) fn quote_regex(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::SeriesHead;
    use model::Labels;

    fn batch(values: &[&str]) -> SeriesBatch {
        let mut batch = SeriesBatch::with_capacity(values.len(), 1);
        for value in values {
            batch.push(SeriesHead::new(Labels::from_pairs([("a", *value)])));
        }
        batch
    }

    #[test]
    fn values_are_sorted_and_each_once() {
        assert_eq!(values(&batch(&["y", "x.", "y"]), "a").unwrap(), ["x.", "y"]);
        assert_eq!(values(&batch(&["x", ""]), "a"), None);
        assert_eq!(values(&batch(&[]), "a").unwrap(), [""; 0]);
        let many: Vec<String> = (0..=MAX_VALUES).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(values(&batch(&many), "a"), None);
    }

    #[test]
    fn quoted_text_matches_itself_alone() {
        for text in ["a.b", "x|y", "^$", "(a)[b]{c}", "\\", "plain", "a+b*c?"] {
            let matcher = Matcher::new(MatchOp::Regex, "a", quote_regex(text)).unwrap();
            assert!(matcher.matches(text) && !matcher.matches("ab") && !matcher.matches("axb"));
        }
    }
}
