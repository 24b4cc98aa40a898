//! One symbol table of many: the symbols of all blocks merged, and for each block the numbers
//! that its own symbols have in the merged table. Numbers ascend with texts, so that label sets
//! are compared without their texts.

use std::sync::Arc;

use super::SERIES_PER_REPORT;
use super::heap::Heap;
use super::input::Input;
use super::progress::Progress;
use super::series_merge::SeriesMerge;
use crate::block::Block;
use crate::error::{DecodeError, TsdbError};
use crate::index::{SymbolMarks, SymbolSet, Symbols};

/// The merged table.
pub(super) struct Merged {
    pub(super) set: Arc<SymbolSet>,
    /// For each block the merged numbers of its symbols.
    pub(super) maps: Vec<SymbolMap>,
}

/// The merged numbers of the symbols of one block.
pub(super) struct SymbolMap {
    numbers: Vec<u32>,
    /// What series of an index of version 1 call their symbols; empty for other versions.
    references: Vec<u32>,
}

impl SymbolMap {
    /// The merged number of the symbol that a series calls `reference`.
    #[inline]
    pub(super) fn get(&self, reference: u32) -> Result<u64, DecodeError> {
        let place = if self.references.is_empty() {
            reference as usize
        } else {
            self.references.binary_search(&reference).unwrap_or(usize::MAX)
        };
        let number = self.numbers.get(place).ok_or(DecodeError::Invalid("unknown symbol"))?;
        Ok(u64::from(*number))
    }
}

impl Merged {
    /// Prometheus' `StableHash` of a label set in merged numbers.
    pub(super) fn stable_hash(&self, labels: &[u64]) -> u64 {
        let mut text = Vec::with_capacity(512);
        for label in labels {
            for number in [(label >> 32) as u32, (label & 0xffff_ffff) as u32] {
                text.extend_from_slice(self.set.get(number).as_bytes());
                text.push(0xff);
            }
        }
        xxhash_rust::xxh64::xxh64(&text, 0)
    }
}

/// Merges the symbol tables of all blocks.
pub(super) fn merge(blocks: &[&Block]) -> Result<Merged, TsdbError> {
    let mut sources: Vec<_> = blocks.iter().map(|block| block.index().symbols()).collect();
    let mut next: Vec<Option<&str>> = Vec::with_capacity(sources.len());
    for source in &mut sources {
        next.push(source.next().transpose()?);
    }
    let mut maps: Vec<SymbolMap> = blocks.iter().map(|block| SymbolMap::empty(block)).collect();
    let mut set = SymbolSet::default();
    let mut heap = Heap::default();
    for source in 0..next.len() {
        if next[source].is_some() {
            heap.push(source, &|a, b| next[a] < next[b]);
        }
    }
    while let Some(source) = heap.pop(&|a, b| next[a] < next[b]) {
        let Some(symbol) = next[source] else { continue };
        let is_new = set.is_empty() || set.get(set.len() - 1) != symbol;
        if is_new {
            set.push(symbol)?;
        }
        maps[source].numbers.push(set.len() - 1);
        next[source] = sources[source].next().transpose()?;
        if next[source].is_some_and(|next| next <= symbol) {
            let error = DecodeError::Invalid("symbols are not sorted");
            return Err(TsdbError::corrupt(blocks[source].dir().display(), error));
        }
        if next[source].is_some() {
            heap.push(source, &|a, b| next[a] < next[b]);
        }
    }
    Ok(Merged { set: Arc::new(set), maps })
}

impl SymbolMap {
    fn empty(block: &Block) -> Self {
        let count = block.index().symbol_count() as usize;
        Self { numbers: Vec::with_capacity(count), references: block.index().symbol_references() }
    }
}

/// The symbols of each shard's block: all where there is one shard, otherwise those that its
/// series use, and "" as in every block of a head.
pub(super) fn for_shards(
    blocks: &[&Block],
    merged: &Merged,
    shards: usize,
    progress: &Progress,
) -> Result<Vec<Symbols>, TsdbError> {
    if shards == 1 {
        return Ok(vec![Symbols::all(merged.set.clone())]);
    }
    let mut marks = vec![SymbolMarks::new(merged.set.len()); shards];
    if !merged.set.is_empty() && merged.set.get(0).is_empty() {
        marks.iter_mut().for_each(|marks| marks.mark(0));
    }
    let inputs: Result<Vec<_>, _> =
        blocks.iter().zip(&merged.maps).map(|(block, map)| Input::new(block, map)).collect();
    let mut series = SeriesMerge::new(inputs?);
    let mut count = 0u64;
    while let Some(labels) = series.next(&mut |_| Ok(()))? {
        let shard = merged.stable_hash(labels) % shards as u64;
        for label in labels {
            marks[shard as usize].mark((label >> 32) as u32);
            marks[shard as usize].mark((label & 0xffff_ffff) as u32);
        }
        count += 1;
        if count.is_multiple_of(SERIES_PER_REPORT) {
            progress.check()?;
        }
    }
    Ok(marks.into_iter().map(|marks| Symbols::marked(merged.set.clone(), marks)).collect())
}
