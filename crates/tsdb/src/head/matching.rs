//! From label matchers to the numbers of the series that satisfy all of them.
//!
//! Matchers that a missing label cannot satisfy select: their lists are intersected, the
//! shortest first. The others also accept series without the label, so they can only take away.

use model::regex::Regex;
use model::{MatchOp, Matcher};

use super::postings::Postings;
use super::symbols::{Symbol, Symbols};

/// Numbers of series, ascending: a list of the postings or an own one.
enum Numbers<'a> {
    Borrowed(&'a [u32]),
    Owned(Vec<u32>),
}

impl Numbers<'_> {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::Borrowed(numbers) => numbers,
            Self::Owned(numbers) => numbers,
        }
    }
}

/// The numbers of the series that satisfy all matchers, ascending.
pub(super) fn matching_numbers(
    symbols: &Symbols,
    postings: &Postings,
    matchers: &[Matcher],
) -> Vec<u32> {
    let mut selecting = Vec::new();
    let mut excluding = Vec::new();
    for matcher in matchers {
        if matcher.matches_empty() {
            excluding.push(excluded(symbols, postings, matcher));
        } else {
            selecting.push(selected(symbols, postings, matcher));
        }
        if selecting.last().is_some_and(|numbers| numbers.as_slice().is_empty()) {
            return Vec::new();
        }
    }
    selecting.sort_by_key(|numbers| numbers.as_slice().len());
    let mut selecting = selecting.into_iter();
    let mut result = match selecting.next() {
        Some(Numbers::Owned(numbers)) => numbers,
        Some(Numbers::Borrowed(numbers)) => numbers.to_vec(),
        None => (0..postings.len() as u32).collect(),
    };
    for other in selecting {
        keep_common(&mut result, other.as_slice());
    }
    for other in &excluding {
        remove_common(&mut result, other.as_slice());
    }
    result
}

/// The series whose label satisfies a matcher.
fn selected<'a>(symbols: &Symbols, postings: &'a Postings, matcher: &Matcher) -> Numbers<'a> {
    let Some(name) = symbols.find(matcher.name()) else { return Numbers::Owned(Vec::new()) };
    if let Some(values) = fixed_values(matcher) {
        let values = values.iter().filter_map(|value| symbols.find(value));
        return union(values.map(|value| postings.list(name, value)).collect(), postings.len());
    }
    let takes_all =
        matcher.op() == MatchOp::Regex && matcher.regex().is_some_and(Regex::matches_all_but_empty);
    let accept = |value: &str| takes_all || matcher.matches(value);
    union(lists_where(symbols, postings, name, accept), postings.len())
}

/// The series whose label does not satisfy a matcher which a missing label satisfies.
fn excluded<'a>(symbols: &Symbols, postings: &'a Postings, matcher: &Matcher) -> Numbers<'a> {
    let Some(name) = symbols.find(matcher.name()) else { return Numbers::Owned(Vec::new()) };
    if matcher.op() == MatchOp::NotEqual {
        let value = std::str::from_utf8(matcher.value()).ok();
        let value = value.and_then(|value| symbols.find(value));
        return Numbers::Borrowed(value.map_or(&[], |value| postings.list(name, value)));
    }
    if matcher.op() == MatchOp::Regex && matcher.regex().is_some_and(Regex::matches_everything) {
        return Numbers::Borrowed(&[]);
    }
    let lists = lists_where(symbols, postings, name, |value| !matcher.matches(value));
    union(lists, postings.len())
}

/// The only values that a matcher accepts, where it tells.
fn fixed_values(matcher: &Matcher) -> Option<Vec<&str>> {
    match matcher.op() {
        MatchOp::Equal => Some(std::str::from_utf8(matcher.value()).into_iter().collect()),
        MatchOp::Regex => {
            let values = matcher.regex()?.set_matches()?;
            Some(values.iter().map(String::as_str).collect())
        }
        MatchOp::NotEqual | MatchOp::NotRegex => None,
    }
}

fn lists_where<'a>(
    symbols: &Symbols,
    postings: &'a Postings,
    name: Symbol,
    accept: impl Fn(&str) -> bool,
) -> Vec<&'a [u32]> {
    let values = postings.values(name).filter(|(value, _)| accept(symbols.get(*value)));
    values.map(|(_, numbers)| numbers).collect()
}

/// All numbers of disjoint lists, ascending. There are `total` numbers in all.
fn union(mut lists: Vec<&[u32]>, total: usize) -> Numbers<'_> {
    lists.retain(|list| !list.is_empty());
    let count: usize = lists.iter().map(|list| list.len()).sum();
    match lists.len() {
        0 => Numbers::Borrowed(&[]),
        1 => Numbers::Borrowed(lists[0]),
        _ if count == total => Numbers::Owned((0..total as u32).collect()),
        _ => {
            let mut all = lists.concat();
            all.sort_unstable();
            Numbers::Owned(all)
        }
    }
}

/// How much longer a list must be for looking numbers up in it instead of walking through it.
const GALLOP_FACTOR: usize = 16;

/// Keeps the numbers that `other` has too. Both are ascending.
fn keep_common(numbers: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    if other.len() / GALLOP_FACTOR > numbers.len() {
        numbers.retain(|&number| gallop_to(&mut rest, number));
    } else {
        numbers.retain(|&number| walk_to(&mut rest, number));
    }
}

/// Removes the numbers that `other` has. Both are ascending.
fn remove_common(numbers: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    if other.len() / GALLOP_FACTOR > numbers.len() {
        numbers.retain(|&number| !gallop_to(&mut rest, number));
    } else {
        numbers.retain(|&number| !walk_to(&mut rest, number));
    }
}

/// Drops what is below `number` from `rest`; whether `number` is next.
fn walk_to(rest: &mut &[u32], number: u32) -> bool {
    while let Some((&first, after)) = rest.split_first() {
        if first >= number {
            return first == number;
        }
        *rest = after;
    }
    false
}

/// As [`walk_to`], by doubling steps.
fn gallop_to(rest: &mut &[u32], number: u32) -> bool {
    let mut step = 1;
    while step < rest.len() && rest[step] < number {
        step *= 2;
    }
    let window = &rest[..rest.len().min(step + 1)];
    let below = window.partition_point(|&other| other < number);
    *rest = &rest[below..];
    rest.first() == Some(&number)
}

#[cfg(test)]
mod tests;
