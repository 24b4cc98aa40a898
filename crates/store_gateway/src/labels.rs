//! Label names and values of one block. Values are never all in memory: they are looked up in the
//! index-header one after the other, and where matchers narrow them, their lists are read so many
//! at a time, or, where there are few series, the values' numbers are collected from these.

use std::collections::VecDeque;

use hashbrown::HashSet;
use model::storage::{TextSet, Texts};
use model::{MatchOp, Matcher, StorageError};
use tsdb::index::ValueCursor;
use tsdb::postings::{PostingsList, intersects, is_cheaper_by_series};

use crate::index::{BlockIndex, Matched};
use crate::request::Reservation;

/// So many values are tried together.
const VALUES_PER_BATCH: usize = 1024;
/// So many series entries are read together.
const ROWS_PER_BATCH: usize = 4096;
/// So many series are asked for their label names before the lists of the names that were not
/// seen yet are looked at.
const SERIES_TO_SAMPLE: usize = 4096;
/// Every so many values it is checked whether the query should go on.
const CHECK_EVERY: u32 = 4096;

/// The label names, of all series or of those that satisfy the matchers.
pub(crate) fn name_set(index: &BlockIndex, matchers: &[Matcher]) -> Result<Texts, StorageError> {
    let mut names: Vec<String> = index.header().offsets().0.names().map(str::to_owned).collect();
    let Matched::Some(series, _held) = index.matching(matchers)? else {
        return Ok(Texts::new(names));
    };
    let sample = &series[..series.len().min(SERIES_TO_SAMPLE)];
    let mut seen: HashSet<u32> = HashSet::new();
    index.for_each_row(sample, |row| {
        seen.extend(row.labels.iter().map(|label| label.0));
        Ok(())
    })?;
    let rest = PostingsList::numbers(&series[sample.len()..]);
    let mut kept = Vec::with_capacity(names.len());
    for name in names.drain(..) {
        let number = index.header().symbol_number(&name).map_err(|e| index.corrupt(e))?;
        let is_seen = number.is_some_and(|number| seen.contains(&number));
        if is_seen || (!rest.is_empty() && has_any(index, &name, &series[sample.len()..])?) {
            kept.push(name);
        }
    }
    Ok(Texts::new(kept))
}

/// Whether any of `series` has the label.
fn has_any(index: &BlockIndex, name: &str, series: &[u32]) -> Result<bool, StorageError> {
    let mut values = Values::new(index, name, "")?;
    loop {
        let batch = values.next_batch(index, |_| true)?;
        if batch.is_empty() {
            return Ok(false);
        }
        let offsets: Vec<u64> = batch.iter().map(|value| value.1).collect();
        let (lists, _held) = index.lists(&offsets)?;
        if lists.iter().any(|list| intersects(series, list)) {
            return Ok(true);
        }
    }
}

/// The values of a label, of all series or of those that satisfy the matchers.
pub(crate) fn value_set(
    index: BlockIndex,
    name: &str,
    matchers: &[Matcher],
) -> Result<Box<dyn TextSet>, StorageError> {
    let (on_value, others): (Vec<Matcher>, Vec<Matcher>) =
        matchers.iter().cloned().partition(|matcher| matcher.name() == name);
    let prefix = on_value.iter().map(prefix).max_by_key(|prefix| prefix.len());
    let prefix = prefix.unwrap_or_default().to_owned();
    let series = match index.matching(&others)? {
        Matched::All => None,
        Matched::Some(series, held) => Some((series, held)),
    };
    if let Some((series, _held)) = &series
        && is_cheaper_by_series(&index, name, series.len())
    {
        let numbers = value_numbers(&index, name, series)?;
        return Ok(Box::new(NumberedValues::new(index, on_value, numbers)?));
    }
    let values = Values::new(&index, name, &prefix)?;
    let filter = Filter { on_value, prefix };
    Ok(Box::new(ListedValues {
        index,
        values,
        filter,
        series,
        ready: VecDeque::new(),
        current: String::new(),
    }))
}

/// What every value that satisfies the matcher begins with.
fn prefix(matcher: &Matcher) -> &str {
    match (matcher.op(), matcher.regex()) {
        (MatchOp::Equal, _) => std::str::from_utf8(matcher.value()).unwrap_or_default(),
        (MatchOp::Regex, Some(regex)) => regex.prefix().unwrap_or_default(),
        _ => "",
    }
}

/// The numbers of the values that these series have, ascending: as the values do.
fn value_numbers(index: &BlockIndex, name: &str, series: &[u32]) -> Result<Vec<u32>, StorageError> {
    let name = index.header().symbol_number(name).map_err(|e| index.corrupt(e))?;
    let mut numbers: HashSet<u32> = HashSet::new();
    for some in series.chunks(ROWS_PER_BATCH) {
        index.request().context.check()?;
        index.for_each_row(some, |row| {
            let value = row.labels.iter().find(|label| Some(label.0) == name);
            numbers.extend(value.map(|label| label.1));
            Ok(())
        })?;
    }
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a value must satisfy by itself.
struct Filter {
    on_value: Vec<Matcher>,
    prefix: String,
}

impl Filter {
    fn accepts(&self, value: &str) -> bool {
        !value.is_empty()
            && value.starts_with(&self.prefix)
            && self.on_value.iter().all(|matcher| matcher.matches(value))
    }
}

/// Values by their numbers.
struct NumberedValues {
    index: BlockIndex,
    on_value: Vec<Matcher>,
    numbers: std::vec::IntoIter<u32>,
    _held: Reservation,
    current: String,
}

impl NumberedValues {
    fn new(
        index: BlockIndex,
        on_value: Vec<Matcher>,
        numbers: Vec<u32>,
    ) -> Result<Self, StorageError> {
        let held = index.request().reserve(size_of_val(&*numbers) as u64)?;
        let numbers = numbers.into_iter();
        Ok(Self { index, on_value, numbers, _held: held, current: String::new() })
    }
}

impl TextSet for NumberedValues {
    fn next_text(&mut self) -> Result<Option<&str>, StorageError> {
        for number in self.numbers.by_ref() {
            let value = self.index.symbol(number)?;
            if self.on_value.iter().all(|matcher| matcher.matches(value)) {
                self.current.clear();
                self.current.push_str(value);
                return Ok(Some(&self.current));
            }
        }
        Ok(None)
    }
}

/// Values as the index-header lists them, with those of certain series only where these are given.
struct ListedValues {
    index: BlockIndex,
    values: Values,
    filter: Filter,
    series: Option<(Vec<u32>, Reservation)>,
    ready: VecDeque<String>,
    current: String,
}

impl TextSet for ListedValues {
    fn next_text(&mut self) -> Result<Option<&str>, StorageError> {
        let Some((series, _)) = &self.series else {
            let filter = &self.filter;
            let found =
                self.values.next(&self.index, |value| filter.accepts(value), &mut self.current)?;
            return Ok(found.is_some().then_some(&self.current));
        };
        while self.ready.is_empty() {
            let filter = &self.filter;
            let batch = self.values.next_batch(&self.index, |value| filter.accepts(value))?;
            if batch.is_empty() {
                return Ok(None);
            }
            let offsets: Vec<u64> = batch.iter().map(|value| value.1).collect();
            let (lists, _held) = self.index.lists(&offsets)?;
            let pairs = batch.into_iter().zip(&lists);
            let common = pairs.filter(|(_, list)| intersects(series, list));
            self.ready.extend(common.map(|((value, _), _)| value));
        }
        self.current = self.ready.pop_front().unwrap_or_default();
        Ok(Some(&self.current))
    }
}

/// A walk through the values of a label from a prefix on, as long as they begin with it.
struct Values {
    cursor: Option<ValueCursor>,
    prefix: String,
    until_check: u32,
}

impl Values {
    fn new(index: &BlockIndex, name: &str, prefix: &str) -> Result<Self, StorageError> {
        let (offsets, section) = index.header().offsets();
        let cursor = offsets.values_from(section, name, prefix).map_err(|e| index.corrupt(e))?;
        Ok(Self { cursor, prefix: prefix.to_owned(), until_check: CHECK_EVERY })
    }

    /// Puts the next value that is accepted into `value`; returns where its list is.
    fn next(
        &mut self,
        index: &BlockIndex,
        accepts: impl Fn(&str) -> bool,
        value: &mut String,
    ) -> Result<Option<u64>, StorageError> {
        let (_, section) = index.header().offsets();
        while let Some(cursor) = &mut self.cursor {
            self.until_check -= 1;
            if self.until_check == 0 {
                index.request().context.check()?;
                self.until_check = CHECK_EVERY;
            }
            let Some((text, offset)) = cursor.next(section).map_err(|e| index.corrupt(e))? else {
                self.cursor = None;
                break;
            };
            if accepts(text) {
                value.clear();
                value.push_str(text);
                return Ok(Some(offset));
            }
            if text > self.prefix.as_str() && !text.starts_with(&self.prefix) {
                self.cursor = None;
            }
        }
        Ok(None)
    }

    /// The next values that are accepted, with their lists; none at the end.
    fn next_batch(
        &mut self,
        index: &BlockIndex,
        accepts: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, u64)>, StorageError> {
        let (mut batch, mut value) = (Vec::new(), String::new());
        while batch.len() < VALUES_PER_BATCH {
            let Some(offset) = self.next(index, &accepts, &mut value)? else { break };
            batch.push((value.clone(), offset));
        }
        Ok(batch)
    }
}
