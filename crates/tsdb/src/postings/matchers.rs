//! From matchers to series, with a plan: what is known by look-ups comes first, smallest list
//! first; matchers that must try all values of a label come last and only test the few series
//! that are left where that is cheaper.

use hashbrown::HashSet;
use model::regex::Regex;
use model::{MatchOp, Matcher};

use super::ops::{intersect_any, intersects, subtract, union};
use super::{IndexPostings, PostingsList};
use crate::error::TsdbError;

/// Testing one series costs about as much as trying so many label values.
const SERIES_COST_IN_VALUES: usize = 4;
/// So many series are asked for their label names before the lists of the names that were not
/// seen yet are looked at.
const SERIES_TO_SAMPLE: usize = 4096;

/// What a matcher asks of the index. `add`: the series must be in the lists; otherwise it must
/// not be in them.
enum Condition<'i, 'm> {
    /// Every series satisfies it.
    Always,
    /// No series satisfies it.
    Never,
    /// The lists are known.
    Known { add: bool, lists: Vec<PostingsList<'i>> },
    /// The values of the label have to be tried.
    Scan { add: bool, matcher: &'m Matcher },
}

/// The series that satisfy all `matchers`, ascending. Without matchers: all series.
///
/// A series without a label has the value "" there, so a matcher that matches "" also selects
/// series without the label.
pub fn postings_for_matchers(
    index: &dyn IndexPostings,
    matchers: &[Matcher],
) -> Result<Vec<u32>, TsdbError> {
    let mut plan = Plan::default();
    for matcher in matchers {
        match condition(index, matcher)? {
            Condition::Always => {}
            Condition::Never => return Ok(Vec::new()),
            Condition::Known { add: true, lists } if total_len(&lists) == 0 => {
                return Ok(Vec::new());
            }
            Condition::Known { add: true, lists } => plan.add.push(lists),
            Condition::Known { add: false, lists } => plan.subtract.extend(lists),
            Condition::Scan { add: true, matcher } => plan.add_scans.push(matcher),
            Condition::Scan { add: false, matcher } => plan.subtract_scans.push(matcher),
        }
    }
    plan.run(index)
}

#[derive(Default)]
struct Plan<'i, 'm> {
    add: Vec<Vec<PostingsList<'i>>>,
    subtract: Vec<PostingsList<'i>>,
    add_scans: Vec<&'m Matcher>,
    subtract_scans: Vec<&'m Matcher>,
}

impl<'i> Plan<'i, '_> {
    fn run(mut self, index: &'i dyn IndexPostings) -> Result<Vec<u32>, TsdbError> {
        self.add.sort_by_key(|lists| total_len(lists));
        self.add_scans.sort_by_key(|m| index.value_count(m.name()));
        self.subtract_scans.sort_by_key(|m| index.value_count(m.name()));
        let mut adds = self.add.into_iter();
        let mut scans = self.add_scans.into_iter();
        let mut base = match (adds.next(), scans.len()) {
            (Some(smallest), _) => union(smallest).into_vec(),
            (None, 0) => index.all_postings()?.into_vec(),
            (None, _) => {
                let matcher = scans.next().expect("there is a scan");
                union(scan(index, matcher, true)?).into_vec()
            }
        };
        for lists in adds {
            intersect_any(&mut base, lists);
        }
        for list in self.subtract {
            subtract(&mut base, &list);
        }
        for matcher in scans {
            narrow(index, matcher, true, &mut base)?;
        }
        for matcher in self.subtract_scans {
            narrow(index, matcher, false, &mut base)?;
        }
        Ok(base)
    }
}

fn total_len(lists: &[PostingsList<'_>]) -> usize {
    lists.iter().map(PostingsList::len).sum()
}

/// Drops the series that do not satisfy `matcher`.
fn narrow(
    index: &dyn IndexPostings,
    matcher: &Matcher,
    add: bool,
    base: &mut Vec<u32>,
) -> Result<(), TsdbError> {
    if base.is_empty() {
        return Ok(());
    }
    if base.len() * SERIES_COST_IN_VALUES < index.value_count(matcher.name()) {
        return test_each(index, matcher, base);
    }
    let lists = scan(index, matcher, add)?;
    if add {
        intersect_any(base, lists);
    } else {
        lists.iter().for_each(|list| subtract(base, list));
    }
    Ok(())
}

fn test_each(
    index: &dyn IndexPostings,
    matcher: &Matcher,
    base: &mut Vec<u32>,
) -> Result<(), TsdbError> {
    let mut kept = Vec::with_capacity(base.len());
    for &series in &*base {
        index.series_label(series, matcher.name(), &mut |value| {
            if matcher.matches(value) {
                kept.push(series);
            }
        })?;
    }
    *base = kept;
    Ok(())
}

/// The lists of the values that satisfy the matcher (`add`) or that do not.
fn scan<'i>(
    index: &'i dyn IndexPostings,
    matcher: &Matcher,
    add: bool,
) -> Result<Vec<PostingsList<'i>>, TsdbError> {
    let wants_regex_hits = add == (matcher.op() == MatchOp::Regex);
    let prefix = matcher.regex().filter(|_| wants_regex_hits).and_then(Regex::prefix);
    let mut keep = |value: &str| matcher.matches(value) == add;
    index.postings_where(matcher.name(), prefix.unwrap_or_default(), &mut keep)
}

fn condition<'i, 'm>(
    index: &'i dyn IndexPostings,
    matcher: &'m Matcher,
) -> Result<Condition<'i, 'm>, TsdbError> {
    let name = matcher.name();
    let by_scan = Condition::Scan { add: !matcher.matches_empty(), matcher };
    let known = |lists| Condition::Known { add: !matcher.matches_empty(), lists };
    match (matcher.op(), matcher.regex()) {
        // The index's own name for all its series.
        (MatchOp::Equal, _) if name.is_empty() && matcher.value().is_empty() => {
            Ok(Condition::Always)
        }
        (MatchOp::Equal | MatchOp::NotEqual, _) if matcher.value().is_empty() => Ok(by_scan),
        (MatchOp::Equal | MatchOp::NotEqual, _) => match std::str::from_utf8(matcher.value()) {
            Ok(value) => Ok(known(vec![index.postings(name, value)?])),
            // No label value has these bytes.
            Err(_) if matcher.op() == MatchOp::Equal => Ok(Condition::Never),
            Err(_) => Ok(Condition::Always),
        },
        (op, Some(regex)) if regex.matches_everything() => Ok(match op {
            MatchOp::Regex => Condition::Always,
            _ => Condition::Never,
        }),
        (_, Some(regex)) => match regex.set_matches() {
            Some(values) if values.iter().all(|v| !v.is_empty()) => {
                let lists = values.iter().map(|value| index.postings(name, value));
                Ok(known(lists.collect::<Result<_, _>>()?))
            }
            _ => Ok(by_scan),
        },
        (_, None) => Ok(by_scan),
    }
}

/// The values of the label `name` in the series that satisfy `matchers`: sorted, each once, at
/// most `limit` (0 = all).
pub fn label_values_for_matchers(
    index: &dyn IndexPostings,
    name: &str,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, TsdbError> {
    let mut values = if matchers.is_empty() {
        let mut values = Vec::new();
        visit_values(index, name, &mut values)?;
        values
    } else {
        values_of_series(index, name, &postings_for_matchers(index, matchers)?)?
    };
    values.sort_unstable();
    values.dedup();
    if limit != 0 {
        values.truncate(limit);
    }
    Ok(values)
}

fn visit_values<'i>(
    index: &'i dyn IndexPostings,
    name: &str,
    values: &mut Vec<String>,
) -> Result<Vec<PostingsList<'i>>, TsdbError> {
    index.postings_where(name, "", &mut |value| {
        values.push(value.to_owned());
        true
    })
}

fn values_of_series(
    index: &dyn IndexPostings,
    name: &str,
    series: &[u32],
) -> Result<Vec<String>, TsdbError> {
    let mut values = Vec::new();
    if series.len() * SERIES_COST_IN_VALUES >= index.value_count(name) {
        let lists = visit_values(index, name, &mut values)?;
        let mut hits = lists.iter().map(|list| intersects(series, list));
        values.retain(|_| hits.next().unwrap_or(false));
        return Ok(values);
    }
    let mut seen = HashSet::new();
    for &series in series {
        index.series_label(series, name, &mut |value| {
            if !value.is_empty() && !seen.contains(value) {
                seen.insert(value.to_owned());
            }
        })?;
    }
    values.extend(seen);
    Ok(values)
}

/// The label names of the series that satisfy `matchers`: sorted, each once, at most `limit` (0 =
/// all).
pub fn label_names_for_matchers(
    index: &dyn IndexPostings,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, TsdbError> {
    let mut names = index.label_names()?;
    if !matchers.is_empty() {
        let series = postings_for_matchers(index, matchers)?;
        let seen = names_of_series(index, &names, &series)?;
        names.retain(|name| seen.contains(name));
    }
    if limit != 0 {
        names.truncate(limit);
    }
    Ok(names)
}

/// Asks some series for their names, then the lists for the names that are left.
fn names_of_series(
    index: &dyn IndexPostings,
    names: &[String],
    series: &[u32],
) -> Result<HashSet<String>, TsdbError> {
    let mut seen = HashSet::new();
    let (sample, rest) = series.split_at(series.len().min(SERIES_TO_SAMPLE));
    for &series in sample {
        index.series_labels(series, &mut |name, _| {
            if !seen.contains(name) {
                seen.insert(name.to_owned());
            }
        })?;
        if seen.len() == names.len() {
            return Ok(seen);
        }
    }
    if rest.is_empty() {
        return Ok(seen);
    }
    for name in names {
        if !seen.contains(name)
            && index
                .postings_where(name, "", &mut |_| true)?
                .iter()
                .any(|list| intersects(rest, list))
        {
            seen.insert(name.clone());
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
