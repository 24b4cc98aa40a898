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
use super::postings::Postings;
use super::series::Series;
use super::shards::{Location, Shard};
use super::symbols::{Symbol, Symbols};
use crate::error::TsdbError;
use crate::postings::{Found, IndexPostings, PostingsList, find_series};

/// So many series are looked at together.
const PIECE: usize = 4096;

/// A series that a select has found. The reference tells whether it is still there: slots are
/// used again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) location: Location,
    ref_low: u32,
}

impl Row {
    pub(super) fn new(location: Location, series: &Series) -> Self {
        Self { location, ref_low: series.series_ref() as u32 }
    }

    /// The series, if it is still there.
    pub(super) fn series<'s>(&self, shard: &'s Shard) -> Option<&'s Series> {
        let series = shard.series.get(self.location.slot() as usize)?;
        (series.is_live() && series.series_ref() as u32 == self.ref_low).then_some(series)
    }
}

/// Where one of several series is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    location: Location,
    /// Which one of them it is.
    pub(super) index: usize,
}

impl At {
    /// Its slot in the shard.
    pub(super) fn slot(&self) -> usize {
        self.location.slot() as usize
    }
}

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
        self.visit_series(&series, |shard, part| {
            let symbols = self.symbols.read();
            let accepted = part.iter().filter(|at| rest.accepts(shard, at.slot(), &symbols));
            kept.extend(accepted.map(|at| series[at.index]));
        });
        kept.sort_unstable();
        Ok(kept)
    }

    /// Calls `visit` with shards, locked, and those of the series that are in them; some
    /// thousands of series at a time, so that the memory that takes is bounded.
    pub(super) fn visit_series(&self, numbers: &[u32], mut visit: impl FnMut(&Shard, &[At])) {
        let mut places = Vec::with_capacity(numbers.len().min(PIECE));
        for (piece, numbers) in numbers.chunks(PIECE).enumerate() {
            self.places(numbers, piece * PIECE, &mut places);
            for part in places.chunk_by(|a, b| a.location.shard() == b.location.shard()) {
                visit(&self.shards.lock(part[0].location.shard()), part);
            }
        }
    }

    /// Where series are, in the order of their places. `first` is the index of the first one.
    fn places(&self, numbers: &[u32], first: usize, places: &mut Vec<At>) {
        places.clear();
        {
            let postings = self.postings.read();
            let at = |(i, &number)| At { location: postings.location(number), index: first + i };
            places.extend(numbers.iter().enumerate().map(at));
        }
        places.sort_unstable_by_key(|at| at.location);
    }

    /// The rows of the series that `keep` accepts, in the order of the numbers.
    pub(super) fn rows(
        &self,
        numbers: &[u32],
        mut keep: impl FnMut(&Shard, u32) -> bool,
    ) -> Vec<Row> {
        let mut rows = Vec::with_capacity(numbers.len());
        let mut found = Vec::new();
        for piece in numbers.chunks(PIECE) {
            found.clear();
            found.resize(piece.len(), None);
            self.visit_series(piece, |shard, part| {
                for at in part.iter().filter(|at| keep(shard, at.location.slot())) {
                    found[at.index] = Some(Row::new(at.location, &shard.series[at.slot()]));
                }
            });
            rows.extend(found.iter().flatten());
        }
        rows
    }

    /// The values of a label of some series.
    pub(super) fn values_of(&self, name: &str, numbers: &[u32]) -> BTreeSet<Symbol> {
        let mut values = BTreeSet::new();
        let Some(name) = self.symbols.read().find(name) else { return values };
        self.visit_series(numbers, |shard, part| {
            let symbols = self.symbols.read();
            values.extend(part.iter().filter_map(|at| value_of(shard, at.slot(), name, &symbols)));
        });
        values
    }

    /// The label names of some series.
    pub(super) fn names_of(&self, numbers: &[u32]) -> BTreeSet<Symbol> {
        let mut shapes = BTreeSet::new();
        self.visit_series(numbers, |shard, part| {
            let series = part.iter().map(|at| &shard.series[at.slot()]);
            let live = series.filter(|series| series.is_live());
            shapes.extend(live.map(|series| shard.labels.shape(series.labels)));
        });
        let symbols = self.symbols.read();
        shapes.iter().flat_map(|&shape| symbols.shape(shape)).copied().collect()
    }
}

/// The value of a label of a series; `None` where it has none.
fn value_of(shard: &Shard, slot: usize, name: Symbol, symbols: &Symbols) -> Option<Symbol> {
    let series = &shard.series[slot];
    if !series.is_live() {
        return None;
    }
    let shape = shard.labels.shape(series.labels);
    let position = symbols.shape(shape).iter().position(|&n| n == name)?;
    shard.labels.values(series.labels, position + 1).last().copied()
}

/// Matchers that a plan has left.
pub(super) struct Rest<'m>(Vec<(Option<Symbol>, &'m Matcher)>);

impl<'m> Rest<'m> {
    pub(super) fn new(symbols: &Symbols, matchers: &[&'m Matcher]) -> Self {
        Self(matchers.iter().map(|&matcher| (symbols.find(matcher.name()), matcher)).collect())
    }

    /// Whether the series in a slot satisfies all of them.
    pub(super) fn accepts(&self, shard: &Shard, slot: usize, symbols: &Symbols) -> bool {
        self.0.iter().all(|&(name, matcher)| {
            let value = name.and_then(|name| value_of(shard, slot, name, symbols));
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
