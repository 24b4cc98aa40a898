//! Label names and values of the series that satisfy matchers, without looking at all of them: a
//! value counts when its list and the series found have a number in common, and the search for
//! one ends at the first.

use hashbrown::HashSet;
use model::{MatchOp, Matcher};

use super::ops::intersects;
use super::plan::{SERIES_COST_IN_VALUES, postings_for_matchers, prefix};
use super::{IndexPostings, PostingsList, SeriesLabels};
use crate::error::TsdbError;

/// So many series are asked for their label names before the lists of the names that were not
/// seen yet are looked at.
pub(crate) const SERIES_TO_SAMPLE: usize = 4096;

/// Matchers of a question for the values of one label: those on the label itself are about the
/// value alone.
#[derive(Debug)]
pub struct Narrowed<'m> {
    name: &'m str,
    on_value: Vec<&'m Matcher>,
    /// What the series have to satisfy besides; empty = nothing.
    pub others: Vec<Matcher>,
}

/// Separates what `matchers` say about the values of the label `name`.
pub fn narrow<'m>(name: &'m str, matchers: &'m [Matcher]) -> Narrowed<'m> {
    let on_value = matchers.iter().filter(|matcher| matcher.name() == name).collect();
    let others = matchers.iter().filter(|matcher| matcher.name() != name).cloned().collect();
    Narrowed { name, on_value, others }
}

impl Narrowed<'_> {
    /// Whether a series with this value can be meant.
    pub fn accepts(&self, value: &str) -> bool {
        !value.is_empty() && self.on_value.iter().all(|matcher| matcher.matches(value))
    }

    fn prefix(&self) -> &str {
        let prefixes = self.on_value.iter().map(|matcher| prefix(matcher, true));
        prefixes.max_by_key(|prefix| prefix.len()).unwrap_or_default()
    }

    /// The only value that can be meant.
    fn only(&self) -> Option<&str> {
        let equal = self.on_value.iter().find(|matcher| matcher.op() == MatchOp::Equal)?;
        std::str::from_utf8(equal.value()).ok()
    }

    /// The values that occur, sorted, at most `limit` (0 = all): in any of `series`, or in any
    /// series at all.
    pub fn values(
        &self,
        index: &dyn IndexPostings,
        series: Option<&[u32]>,
        limit: usize,
    ) -> Result<Vec<String>, TsdbError> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        match (self.only(), series) {
            (Some(value), _) => self.only_value(index, value, series),
            (None, None) => self.all_values(index, limit),
            (None, Some(series)) => self.common_values(index, series, limit),
        }
    }

    fn only_value(
        &self,
        index: &dyn IndexPostings,
        value: &str,
        series: Option<&[u32]>,
    ) -> Result<Vec<String>, TsdbError> {
        if !self.accepts(value) {
            return Ok(Vec::new());
        }
        let list = index.postings(self.name, value)?;
        let occurs = series.map_or(!list.is_empty(), |series| intersects(series, &list));
        Ok(if occurs { vec![value.to_owned()] } else { Vec::new() })
    }

    fn all_values(
        &self,
        index: &dyn IndexPostings,
        limit: usize,
    ) -> Result<Vec<String>, TsdbError> {
        let mut values = Vec::new();
        // No list is wanted.
        index.postings_where(self.name, self.prefix(), &mut |value| {
            if self.accepts(value) {
                values.push(value.to_owned());
            }
            false
        })?;
        keep_lowest(&mut values, limit);
        Ok(values)
    }

    fn common_values(
        &self,
        index: &dyn IndexPostings,
        series: &[u32],
        limit: usize,
    ) -> Result<Vec<String>, TsdbError> {
        let mut values = Vec::new();
        let lists = index.postings_where(self.name, self.prefix(), &mut |value| {
            let is_accepted = self.accepts(value);
            if is_accepted {
                values.push(value.to_owned());
            }
            is_accepted
        })?;
        let mut pairs: Vec<(String, PostingsList<'_>)> = values.into_iter().zip(lists).collect();
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let common = pairs.into_iter().filter(|(_, list)| intersects(series, list));
        Ok(common.map(|(value, _)| value).take(limit).collect())
    }
}

/// Sorts the `limit` lowest and drops the others.
fn keep_lowest(values: &mut Vec<String>, limit: usize) {
    if values.len() > limit {
        values.select_nth_unstable(limit);
        values.truncate(limit);
    }
    values.sort_unstable();
}

/// Whether reading the labels of so many series is cheaper than trying the values of a label.
pub fn is_cheaper_by_series(index: &dyn IndexPostings, name: &str, series_count: usize) -> bool {
    series_count * SERIES_COST_IN_VALUES < index.value_count(name)
}

/// The values of the label `name` in the series that satisfy `matchers`: sorted, each once, at
/// most `limit` (0 = all).
pub fn label_values_for_matchers(
    index: &dyn SeriesLabels,
    name: &str,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, TsdbError> {
    let narrowed = narrow(name, matchers);
    if narrowed.others.is_empty() {
        return narrowed.values(index, None, limit);
    }
    let series = postings_for_matchers(index, &narrowed.others)?;
    if !is_cheaper_by_series(index, name, series.len()) {
        return narrowed.values(index, Some(&series), limit);
    }
    let mut seen = HashSet::new();
    for series in series {
        index.series_label(series, name, &mut |value| {
            if !seen.contains(value) && narrowed.accepts(value) {
                seen.insert(value.to_owned());
            }
        })?;
    }
    let mut values: Vec<String> = seen.into_iter().collect();
    keep_lowest(&mut values, if limit == 0 { usize::MAX } else { limit });
    Ok(values)
}

/// The label names of the series that satisfy `matchers`: sorted, each once, at most `limit` (0 =
/// all).
pub fn label_names_for_matchers(
    index: &dyn SeriesLabels,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, TsdbError> {
    let mut names = index.label_names()?;
    if !matchers.is_empty() {
        let series = postings_for_matchers(index, matchers)?;
        let (sample, rest) = series.split_at(series.len().min(SERIES_TO_SAMPLE));
        let mut seen = HashSet::new();
        for &series in sample {
            index.series_labels(series, &mut |name, _| {
                if !seen.contains(name) {
                    seen.insert(name.to_owned());
                }
            })?;
            if seen.len() == names.len() {
                break;
            }
        }
        add_names(index, rest, &names, &mut seen)?;
        names.retain(|name| seen.contains(name));
    }
    if limit != 0 {
        names.truncate(limit);
    }
    Ok(names)
}

/// Adds to `seen` those of `names` that any of `series` has.
pub(crate) fn add_names(
    index: &dyn IndexPostings,
    series: &[u32],
    names: &[String],
    seen: &mut HashSet<String>,
) -> Result<(), TsdbError> {
    if series.is_empty() {
        return Ok(());
    }
    for name in names {
        if seen.contains(name) {
            continue;
        }
        let lists = index.postings_where(name, "", &mut |_| true)?;
        if lists.iter().any(|list| intersects(series, list)) {
            seen.insert(name.clone());
        }
    }
    Ok(())
}
