//! Warnings and infos of a query: what made them, where in the query, and their texts.
//!
//! Collected by the engine, shown by the HTTP API (with the query's text, from which the
//! positions are counted) and compared by the test-script runner. Never an error: a query with
//! annotations has a result.

mod kind;

use std::collections::BTreeMap;

pub use kind::{Annotation, ForcedMonotonicity, HistogramOperation};

use crate::position::PositionRange;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The result may be wrong or a part of the input was dropped.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    fn prefix(self) -> &'static str {
        match self {
            Self::Warning => "PromQL warning: ",
            Self::Info => "PromQL info: ",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// The annotations of one query, one for each text; of several with one text the place that is
/// evaluated last counts.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    entries: BTreeMap<(Severity, String), Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    annotation: Annotation,
    pos: PositionRange,
    order: usize,
}

impl Annotations {
    /// Adds `annotation` for the expression at `pos`, which is evaluated as number `order`.
    pub(crate) fn add(&mut self, order: usize, pos: PositionRange, annotation: Annotation) {
        let key = (annotation.severity(), annotation.key());
        match self.entries.entry(key) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry { annotation, pos, order });
            }
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                let entry = occupied.get_mut();
                if order >= entry.order {
                    (entry.pos, entry.order) = (pos, order);
                }
                entry.annotation.merge(&annotation);
            }
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Annotation> {
        self.entries.values().map(|entry| &entry.annotation)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The texts of one severity with their positions in `query`, in order of the texts. Of more
    /// than `max` the rest is counted in a last line; 0 = all.
    #[must_use]
    pub fn texts(&self, severity: Severity, query: &str, max: usize) -> Vec<String> {
        let of_severity = self.entries.iter().filter(|((s, _), _)| *s == severity);
        let mut texts: Vec<String> = of_severity
            .map(|(_, entry)| {
                let at = entry.pos.start_in(query.as_bytes());
                format!("{}{} ({at})", severity.prefix(), entry.annotation)
            })
            .collect();
        if max != 0 && texts.len() > max {
            let omitted = texts.len() - max;
            texts.truncate(max);
            texts.push(format!("{omitted} more {} annotations omitted", severity.plural()));
        }
        texts
    }
}
