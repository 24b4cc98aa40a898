//! The series that a select has found, in label order.

use model::Labels;
use parking_lot::RwLock;

use super::shards::Location;
use super::symbols::{ShapeId, Symbols};

/// A series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) location: Location,
    pub(super) series_ref: u64,
    /// Where its labels start in the words: shape, then values.
    pub(super) words: u32,
}

/// Series with their labels as numbers.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    words: Vec<u32>,
}

impl Rows {
    /// Adds a series. `values` starts with its values.
    pub(super) fn push(
        &mut self,
        row: Row,
        shape: ShapeId,
        values: &[u32],
        symbols: &RwLock<Symbols>,
    ) {
        let count = symbols.read().shape(shape).len();
        self.rows.push(Row { words: self.words.len() as u32, ..row });
        self.words.push(shape);
        self.words.extend_from_slice(&values[..count]);
    }

    /// The number of series.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// One series.
    pub(super) fn row(&self, index: usize) -> &Row {
        &self.rows[index]
    }

    /// Keeps the first `count` series.
    pub(super) fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// The labels of one series.
    pub(super) fn labels(&self, index: usize, symbols: &Symbols) -> Labels {
        let pairs = pairs(&self.words, self.rows[index].words, symbols);
        Labels::from_sorted(pairs.map(|(name, value)| (symbols.get(name), symbols.get(value))))
    }

    /// Puts the series in label order.
    pub(super) fn sort(&mut self, symbols: &Symbols) {
        let words = &self.words;
        self.rows.sort_unstable_by(|a, b| compare(words, a.words, b.words, symbols));
    }
}

fn pairs<'a>(
    words: &'a [u32],
    start: u32,
    symbols: &'a Symbols,
) -> impl Iterator<Item = (u32, u32)> + 'a {
    let start = start as usize;
    let names = symbols.shape(words[start]);
    names.iter().copied().zip(words[start + 1..].iter().copied())
}

/// Label by label: equal numbers are equal strings, so that only the first difference is looked
/// up.
fn compare(words: &[u32], a: u32, b: u32, symbols: &Symbols) -> std::cmp::Ordering {
    let mut left = pairs(words, a, symbols);
    let mut right = pairs(words, b, symbols);
    loop {
        match (left.next(), right.next()) {
            (Some(x), Some(y)) if x == y => {}
            (Some((name, _)), Some((other, _))) if name != other => {
                return symbols.get(name).cmp(symbols.get(other));
            }
            (Some((_, value)), Some((_, other))) => {
                return symbols.get(value).cmp(symbols.get(other));
            }
            (Some(_), None) => return std::cmp::Ordering::Greater,
            (None, Some(_)) => return std::cmp::Ordering::Less,
            (None, None) => return std::cmp::Ordering::Equal,
        }
    }
}
