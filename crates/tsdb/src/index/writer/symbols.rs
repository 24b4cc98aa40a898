//! The symbols of an index that is being written.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::error::TsdbError;

/// A sorted set of texts with their numbers, in one buffer.
#[derive(Default)]
pub struct SymbolSet {
    text: String,
    /// Where each symbol ends.
    ends: Vec<u32>,
    /// Numbers by text.
    table: HashTable<u32>,
}

fn hash(symbol: &str) -> u64 {
    FixedState::default().hash_one(symbol)
}

impl SymbolSet {
    /// A set of symbols that are sorted and unique already.
    pub fn from_sorted<'a>(symbols: impl IntoIterator<Item = &'a str>) -> Result<Self, TsdbError> {
        let mut set = Self::default();
        for symbol in symbols {
            set.push(symbol)?;
        }
        let Self { text, ends, table } = &mut set;
        table.reserve(ends.len(), |_| unreachable!("the table is empty"));
        for number in 0..ends.len() as u32 {
            let symbol = slice(text, ends, number);
            table.insert_unique(hash(symbol), number, |&n| hash(slice(text, ends, n)));
        }
        Ok(set)
    }

    /// The set of symbols that come in any order and any number of times.
    pub fn collect<'a>(symbols: impl IntoIterator<Item = &'a str>) -> Result<Self, TsdbError> {
        let mut seen = hashbrown::HashSet::<&str, FixedState>::default();
        seen.extend(symbols);
        let mut sorted: Vec<&str> = seen.into_iter().collect();
        sorted.sort_unstable();
        Self::from_sorted(sorted)
    }

    fn push(&mut self, symbol: &str) -> Result<(), TsdbError> {
        let last = (!self.is_empty()).then(|| self.get(self.len() - 1));
        if last.is_some_and(|last| last >= symbol) {
            return Err(TsdbError::Invalid(format!("symbol {symbol:?} is not in order")));
        }
        self.text.push_str(symbol);
        let end = u32::try_from(self.text.len())
            .map_err(|_| TsdbError::TooLarge("symbols take more than 4 GiB".to_owned()))?;
        self.ends.push(end);
        Ok(())
    }

    /// The number of symbols.
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Whether there is no symbol.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The symbol with this number, which must be one of the set's.
    pub fn get(&self, number: u32) -> &str {
        slice(&self.text, &self.ends, number)
    }

    /// The number of a symbol.
    pub fn find(&self, symbol: &str) -> Option<u32> {
        self.table.find(hash(symbol), |&n| self.get(n) == symbol).copied()
    }

    /// All symbols in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|number| self.get(number))
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before] as usize);
    &text[start..ends[number] as usize]
}
