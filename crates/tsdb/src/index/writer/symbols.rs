//! The symbols of an index that is being written.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use crate::error::TsdbError;

/// A sorted set of texts with their numbers, in one buffer.
#[derive(Default)]
pub struct SymbolSet {
    text: String,
    /// Where each symbol ends.
    ends: Vec<u32>,
    /// Numbers by text; made when the first text is looked up.
    table: OnceLock<HashTable<u32>>,
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

    /// Appends a symbol that is greater than all before.
    pub(crate) fn push(&mut self, symbol: &str) -> Result<(), TsdbError> {
        let last = (!self.is_empty()).then(|| self.get(self.len() - 1));
        if last.is_some_and(|last| last >= symbol) {
            return Err(TsdbError::Invalid(format!("symbol {symbol:?} is not in order")));
        }
        self.text.push_str(symbol);
        let end = u32::try_from(self.text.len())
            .map_err(|_| TsdbError::TooLarge("symbols take more than 4 GiB".to_owned()))?;
        self.ends.push(end);
        self.table = OnceLock::new();
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
        let table = self.table.get_or_init(|| self.make_table());
        table.find(hash(symbol), |&n| self.get(n) == symbol).copied()
    }

    fn make_table(&self) -> HashTable<u32> {
        let mut table = HashTable::with_capacity(self.ends.len());
        for number in 0..self.len() {
            table.insert_unique(hash(self.get(number)), number, |&n| hash(self.get(n)));
        }
        table
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

/// The symbols of one index: all of a set, or some of one that several indices share. Numbers
/// are those of the set; in the file they become `stored` ones.
#[derive(Clone, Default)]
pub struct Symbols {
    set: Arc<SymbolSet>,
    used: Option<SymbolMarks>,
}

impl From<SymbolSet> for Symbols {
    fn from(set: SymbolSet) -> Self {
        Self { set: Arc::new(set), used: None }
    }
}

impl Symbols {
    /// All symbols of a shared set.
    pub fn all(set: Arc<SymbolSet>) -> Self {
        Self { set, used: None }
    }

    /// The marked symbols of a shared set.
    pub fn marked(set: Arc<SymbolSet>, mut used: SymbolMarks) -> Self {
        used.count_ranks();
        Self { set, used: Some(used) }
    }

    /// The set that numbers are of.
    pub(super) fn set(&self) -> &SymbolSet {
        &self.set
    }

    /// How many symbols the index has.
    pub(super) fn len(&self) -> u32 {
        self.used.as_ref().map_or(self.set.len(), SymbolMarks::len)
    }

    /// The symbols of the index in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let is_used = |n: &u32| self.used.as_ref().is_none_or(|used| used.contains(*n));
        (0..self.set.len()).filter(is_used).map(|n| self.set.get(n))
    }

    /// The number in the file of a symbol of the set.
    #[inline]
    pub(super) fn stored(&self, number: u32) -> u32 {
        self.used.as_ref().map_or(number, |used| used.rank(number))
    }
}

/// Marks some symbols of a set; a bit for each symbol, and another half for their ranks.
#[derive(Clone, Default)]
pub struct SymbolMarks {
    words: Vec<u64>,
    /// Marked symbols before each word.
    ranks: Vec<u32>,
    len: u32,
}

impl SymbolMarks {
    /// No mark, for a set of `len` symbols.
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len as usize / 64 + 1], ranks: Vec::new(), len: 0 }
    }

    /// Marks a symbol of the set.
    #[inline]
    pub fn mark(&mut self, number: u32) {
        self.words[number as usize / 64] |= 1 << (number % 64);
    }

    fn contains(&self, number: u32) -> bool {
        self.words[number as usize / 64] >> (number % 64) & 1 == 1
    }

    fn count_ranks(&mut self) {
        self.ranks.clear();
        self.len = 0;
        for word in &self.words {
            self.ranks.push(self.len);
            self.len += word.count_ones();
        }
    }

    fn len(&self) -> u32 {
        self.len
    }

    /// How many marked symbols are smaller.
    fn rank(&self, number: u32) -> u32 {
        let word = number as usize / 64;
        let below = self.words[word] & ((1 << (number % 64)) - 1);
        self.ranks[word] + below.count_ones()
    }
}
