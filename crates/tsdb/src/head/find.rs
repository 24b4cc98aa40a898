//! From matchers to the series of the head, and names and values of labels, by the plans that
//! blocks use too (`crate::postings`).
//!
//! The plans see postings and strings ([`HeadIndex`]). Labels of series stand behind the locks of
//! the shards, which must be taken before those of postings and strings: what a plan leaves
//! untested is tested afterwards, shard by shard ([`Rest`]).

use std::collections::BTreeSet;

use model::Matcher;
use parking_lot::RwLockReadGuard;

use super::Head;
use super::order::Row;
use super::postings::Postings;
use super::shards::Shard;
use super::symbols::{Symbol, Symbols};
use crate::error::TsdbError;
use crate::postings::{Found, IndexPostings, PostingsList, find_series};

/// Strings and postings at one moment. While it lives, no lock of a shard may be taken.
pub(super) struct HeadIndex<'h> {
    pub(super) symbols: RwLockReadGuard<'h, Symbols>,
    pub(super) postings: RwLockReadGuard<'h, Postings>,
}

impl Head {
    pub(super) fn index(&self) -> HeadIndex<'_> {
        HeadIndex { symbols: self.symbols.read(), postings: self.postings.read() }
    }

    /// The numbers of the series that satisfy all matchers, ascending. The caller holds
    /// `Head::selects`.
    pub(super) fn matching(&self, matchers: &[Matcher]) -> Result<Vec<u32>, TsdbError> {
        let (Found { series, untested }, rest) = {
            let index = self.index();
            let found = find_series(&index, matchers)?;
            let rest = Rest::new(&index.symbols, &found.untested);
            (found, rest)
        };
        if untested.is_empty() {
            return Ok(series);
        }
        let mut kept = Vec::with_capacity(series.len());
        self.visit_rows(&mut self.rows(&series), |shard, rows| {
            let symbols = self.symbols.read();
            let accepted = rows.iter().filter(|row| rest.accepts(shard, row, &symbols));
            kept.extend(accepted.map(|row| row.number));
        });
        kept.sort_unstable();
        Ok(kept)
    }

    /// Where series are, in order of their places.
    pub(super) fn rows(&self, numbers: &[u32]) -> Vec<Row> {
        let postings = self.postings.read();
        let row = |&number| Row { location: postings.location(number), number, series_ref: 0 };
        let mut rows: Vec<Row> = numbers.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| row.location);
        rows
    }

    /// Calls `visit` with each shard, locked, and its part of the rows.
    pub(super) fn visit_rows(&self, rows: &mut [Row], mut visit: impl FnMut(&Shard, &mut [Row])) {
        for part in rows.chunk_by_mut(|a, b| a.location.shard() == b.location.shard()) {
            visit(&self.shards.lock(part[0].location.shard()), part);
        }
    }

    /// The values of a label of some series.
    pub(super) fn values_of(&self, name: &str, numbers: &[u32]) -> BTreeSet<Symbol> {
        let mut values = BTreeSet::new();
        let Some(name) = self.symbols.read().find(name) else { return values };
        self.visit_rows(&mut self.rows(numbers), |shard, rows| {
            let symbols = self.symbols.read();
            values.extend(rows.iter().filter_map(|row| value_of(shard, row, name, &symbols)));
        });
        values
    }

    /// The label names of some series.
    pub(super) fn names_of(&self, numbers: &[u32]) -> BTreeSet<Symbol> {
        let mut shapes = BTreeSet::new();
        self.visit_rows(&mut self.rows(numbers), |shard, rows| {
            let series = rows.iter().map(|row| &shard.series[row.location.slot() as usize]);
            let live = series.filter(|series| series.is_live());
            shapes.extend(live.map(|series| shard.labels.shape(series.labels)));
        });
        let symbols = self.symbols.read();
        shapes.iter().flat_map(|&shape| symbols.shape(shape)).copied().collect()
    }
}

/// The value of a label of a series; `None` where it has none.
fn value_of(shard: &Shard, row: &Row, name: Symbol, symbols: &Symbols) -> Option<Symbol> {
    let series = &shard.series[row.location.slot() as usize];
    if !series.is_live() {
        return None;
    }
    let shape = shard.labels.shape(series.labels);
    let position = symbols.shape(shape).iter().position(|&n| n == name)?;
    shard.labels.values(series.labels, position + 1).last().copied()
}

/// Matchers that a plan has left.
struct Rest<'m>(Vec<(Option<Symbol>, &'m Matcher)>);

impl<'m> Rest<'m> {
    fn new(symbols: &Symbols, matchers: &[&'m Matcher]) -> Self {
        Self(matchers.iter().map(|&matcher| (symbols.find(matcher.name()), matcher)).collect())
    }

    fn accepts(&self, shard: &Shard, row: &Row, symbols: &Symbols) -> bool {
        self.0.iter().all(|&(name, matcher)| {
            let value = name.and_then(|name| value_of(shard, row, name, symbols));
            matcher.matches(value.map_or("", |value| symbols.get(value)))
        })
    }
}

impl HeadIndex<'_> {
    fn symbol(&self, text: &str) -> Option<Symbol> {
        self.symbols.find(text)
    }
}

impl IndexPostings for HeadIndex<'_> {
    fn all_postings(&self) -> Result<PostingsList<'_>, TsdbError> {
        Ok(PostingsList::Below(self.postings.len() as u32))
    }

    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError> {
        let list = match (self.symbol(name), self.symbol(value)) {
            (Some(name), Some(value)) => self.postings.list(name, value),
            _ => None,
        };
        Ok(list.map_or_else(PostingsList::empty, PostingsList::Packed))
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<PostingsList<'_>>, TsdbError> {
        let Some(name) = self.symbol(name) else { return Ok(Vec::new()) };
        let values = self.postings.values(name).filter(|&(value, _)| {
            let value = self.symbols.get(value);
            value.starts_with(prefix) && keep(value)
        });
        Ok(values.map(|(_, list)| PostingsList::Packed(list)).collect())
    }

    fn value_count(&self, name: &str) -> usize {
        self.symbol(name).map_or(0, |name| self.postings.counts(name).0)
    }

    fn series_count_with(&self, name: &str) -> Option<usize> {
        Some(self.symbol(name).map_or(0, |name| self.postings.counts(name).1))
    }

    fn label_names(&self) -> Result<Vec<String>, TsdbError> {
        let names = self.postings.names().map(|name| self.symbols.get(name).to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        Ok(names)
    }
}
