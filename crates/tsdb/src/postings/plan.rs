//! From matchers to series, with a plan: what is known by look-ups comes first, smallest list
//! first; matchers that must try all values of a label come last. Where so few series are left
//! that reading their labels is cheaper, such a matcher is handed back untested.

use model::regex::Regex;
use model::{MatchOp, Matcher};

use super::ops::{intersect_any, subtract_any, union};
use super::{IndexPostings, PostingsList, SeriesLabels};
use crate::error::TsdbError;

/// Testing one series costs about as much as trying so many label values.
pub(super) const SERIES_COST_IN_VALUES: usize = 4;
/// Up to so many values of a regular expression are looked up before anything else is known.
const MAX_EAGER_VALUES: usize = 16;

/// What [`find_series`] has found.
#[derive(Debug)]
pub struct Found<'m> {
    /// Series, ascending.
    pub series: Vec<u32>,
    /// What they have to be tested for still.
    pub untested: Vec<&'m Matcher>,
}

/// What a matcher asks of the index. `add`: the series must be in the lists; otherwise it must
/// not be in them.
enum Condition<'i, 'm> {
    /// Every series satisfies it.
    Always,
    /// No series satisfies it.
    Never,
    /// The lists are known.
    Known { add: bool, lists: Vec<PostingsList<'i>> },
    /// The lists have to be found.
    Deferred(Deferred<'m>),
}

/// A matcher whose lists are dear to find.
struct Deferred<'m> {
    add: bool,
    matcher: &'m Matcher,
    values: Values<'m>,
    /// How many values have to be looked at.
    cost: usize,
}

/// The values whose lists a deferred matcher needs.
enum Values<'m> {
    /// These.
    Fixed(&'m [String]),
    /// All of the label.
    All,
    /// Those that the matcher tells apart.
    Scan,
}

/// Finds the series that satisfy all `matchers`. Without matchers: all series.
///
/// A series without a label has the value "" there, so a matcher that matches "" also selects
/// series without the label.
pub fn find_series<'m>(
    index: &dyn IndexPostings,
    matchers: &'m [Matcher],
) -> Result<Found<'m>, TsdbError> {
    let mut plan = Plan::default();
    for matcher in matchers {
        match condition(index, matcher)? {
            Condition::Always => {}
            Condition::Known { add: true, lists } if total_len(&lists) > 0 => plan.add.push(lists),
            Condition::Never | Condition::Known { add: true, .. } => return Ok(Found::nothing()),
            Condition::Known { add: false, lists } => plan.subtract.extend(lists),
            Condition::Deferred(deferred) => plan.deferred.push(deferred),
        }
    }
    plan.run(index)
}

/// Whether every series satisfies all `matchers`, as far as that is cheap to say.
pub fn selects_all(index: &dyn IndexPostings, matchers: &[Matcher]) -> Result<bool, TsdbError> {
    for matcher in matchers {
        if !matches!(condition(index, matcher)?, Condition::Always) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The series that satisfy all `matchers`, ascending; as [`find_series`], with all tests done.
pub fn postings_for_matchers(
    index: &dyn SeriesLabels,
    matchers: &[Matcher],
) -> Result<Vec<u32>, TsdbError> {
    let Found { mut series, untested } = find_series(index, matchers)?;
    for matcher in untested {
        test_each(index, matcher, &mut series)?;
    }
    Ok(series)
}

impl Found<'_> {
    fn nothing() -> Self {
        Self { series: Vec::new(), untested: Vec::new() }
    }
}

#[derive(Default)]
struct Plan<'i, 'm> {
    add: Vec<Vec<PostingsList<'i>>>,
    subtract: Vec<PostingsList<'i>>,
    deferred: Vec<Deferred<'m>>,
}

impl<'i, 'm> Plan<'i, 'm> {
    fn run(mut self, index: &'i dyn IndexPostings) -> Result<Found<'m>, TsdbError> {
        self.add.sort_by_key(|lists| total_len(lists));
        self.deferred.sort_by_key(|deferred| deferred.cost);
        let mut series = self.smallest(index)?;
        for lists in self.add {
            intersect_any(&mut series, lists);
        }
        subtract_any(&mut series, self.subtract);
        let mut found = Found { series, untested: Vec::new() };
        for deferred in self.deferred {
            if found.series.is_empty() {
                return Ok(Found::nothing());
            }
            if found.series.len() * SERIES_COST_IN_VALUES < deferred.cost {
                found.untested.push(deferred.matcher);
                continue;
            }
            let lists = deferred.lists(index)?;
            if deferred.add {
                intersect_any(&mut found.series, lists);
            } else {
                subtract_any(&mut found.series, lists);
            }
        }
        Ok(found)
    }

    /// What to begin with; taken out of the plan.
    fn smallest(&mut self, index: &'i dyn IndexPostings) -> Result<Vec<u32>, TsdbError> {
        if !self.add.is_empty() {
            return Ok(union(self.add.remove(0)).into_vec());
        }
        match self.deferred.iter().position(|deferred| deferred.add) {
            Some(position) => Ok(union(self.deferred.remove(position).lists(index)?).into_vec()),
            None => Ok(index.all_postings()?.into_vec()),
        }
    }
}

impl Deferred<'_> {
    fn lists<'i>(&self, index: &'i dyn IndexPostings) -> Result<Vec<PostingsList<'i>>, TsdbError> {
        let name = self.matcher.name();
        match self.values {
            Values::Fixed(values) => {
                values.iter().map(|value| index.postings(name, value)).collect()
            }
            Values::All => index.postings_where(name, "", &mut |_| true),
            Values::Scan => {
                let mut keep = |value: &str| self.matcher.matches(value) == self.add;
                index.postings_where(name, prefix(self.matcher, self.add), &mut keep)
            }
        }
    }
}

/// What all values start with that satisfy the matcher (`wanted`) or that do not.
pub(super) fn prefix(matcher: &Matcher, wanted: bool) -> &str {
    let wants_regex_hits = wanted == (matcher.op() == MatchOp::Regex);
    matcher.regex().filter(|_| wants_regex_hits).and_then(Regex::prefix).unwrap_or_default()
}

fn total_len(lists: &[PostingsList<'_>]) -> usize {
    lists.iter().map(PostingsList::len).sum()
}

fn test_each(
    index: &dyn SeriesLabels,
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

fn condition<'i, 'm>(
    index: &'i dyn IndexPostings,
    matcher: &'m Matcher,
) -> Result<Condition<'i, 'm>, TsdbError> {
    let name = matcher.name();
    let add = !matcher.matches_empty();
    match (matcher.op(), matcher.regex()) {
        // The index's own name for all its series.
        (MatchOp::Equal, _) if name.is_empty() && matcher.value().is_empty() => {
            Ok(Condition::Always)
        }
        (MatchOp::Equal | MatchOp::NotEqual, _) if matcher.value().is_empty() => {
            presence(index, matcher)
        }
        (MatchOp::Equal | MatchOp::NotEqual, _) => match std::str::from_utf8(matcher.value()) {
            Ok(value) => Ok(Condition::Known { add, lists: vec![index.postings(name, value)?] }),
            // No label value has these bytes.
            Err(_) if matcher.op() == MatchOp::Equal => Ok(Condition::Never),
            Err(_) => Ok(Condition::Always),
        },
        (op, Some(regex)) if regex.matches_everything() => Ok(match op {
            MatchOp::Regex => Condition::Always,
            _ => Condition::Never,
        }),
        (_, Some(regex)) if regex.matches_all_but_empty() => presence(index, matcher),
        (_, Some(regex)) => match regex.set_matches() {
            Some(values) if values.iter().all(|v| !v.is_empty()) => {
                one_of(index, matcher, (add, values))
            }
            _ => Ok(deferred(index, matcher, Values::Scan)),
        },
        (_, None) => Ok(deferred(index, matcher, Values::Scan)),
    }
}

/// The values that a regular expression consists of.
fn one_of<'i, 'm>(
    index: &'i dyn IndexPostings,
    matcher: &'m Matcher,
    (add, values): (bool, &'m [String]),
) -> Result<Condition<'i, 'm>, TsdbError> {
    if values.len() > MAX_EAGER_VALUES {
        let cost = values.len();
        let values = Values::Fixed(values);
        return Ok(Condition::Deferred(Deferred { add, matcher, values, cost }));
    }
    let lists = values.iter().map(|value| index.postings(matcher.name(), value));
    Ok(Condition::Known { add, lists: lists.collect::<Result<_, _>>()? })
}

/// The label must be there, or must not be.
fn presence<'i, 'm>(
    index: &'i dyn IndexPostings,
    matcher: &'m Matcher,
) -> Result<Condition<'i, 'm>, TsdbError> {
    let must_be_there = !matcher.matches_empty();
    let verdict = |is_satisfied| if is_satisfied { Condition::Always } else { Condition::Never };
    if index.value_count(matcher.name()) == 0 {
        return Ok(verdict(!must_be_there));
    }
    if let Some(count) = index.series_count_with(matcher.name())
        && count == index.all_postings()?.len()
    {
        return Ok(verdict(must_be_there));
    }
    Ok(deferred(index, matcher, Values::All))
}

fn deferred<'i, 'm>(
    index: &'i dyn IndexPostings,
    matcher: &'m Matcher,
    values: Values<'m>,
) -> Condition<'i, 'm> {
    let cost = index.value_count(matcher.name());
    Condition::Deferred(Deferred { add: !matcher.matches_empty(), matcher, values, cost })
}

#[cfg(test)]
mod tests;
