//! One block as the source of a compaction: its series one after the other.

use super::symbols::SymbolMap;
use crate::block::Block;
use crate::error::{DecodeError, TsdbError};
use crate::index::{ChunkMeta, SeriesRow};
use crate::postings::{IndexPostings, PostingsList};
use crate::tombstones::Interval;

/// A block, standing at one of its series or behind the last one.
pub(super) struct Input<'a> {
    block: &'a Block,
    map: &'a SymbolMap,
    series: PostingsList<'a>,
    /// The place of the next series in the list.
    next: usize,
    row: SeriesRow,
    /// `name << 32 | value` in merged numbers; `None` behind the last series.
    labels: Option<Vec<u64>>,
    before: Vec<u64>,
    number: u32,
}

impl<'a> Input<'a> {
    /// Stands at the first series.
    pub(super) fn new(block: &'a Block, map: &'a SymbolMap) -> Result<Self, TsdbError> {
        let series = block.index().all_postings()?;
        let mut input = Self {
            block,
            map,
            series,
            next: 0,
            row: SeriesRow::default(),
            labels: Some(Vec::new()),
            before: Vec::new(),
            number: 0,
        };
        input.read()?;
        Ok(input)
    }

    /// The block.
    pub(super) fn block(&self) -> &'a Block {
        self.block
    }

    /// The labels of the series; `None` behind the last one.
    #[inline]
    pub(super) fn labels(&self) -> Option<&[u64]> {
        self.labels.as_deref()
    }

    /// The chunks of the series.
    #[inline]
    pub(super) fn chunks(&self) -> &[ChunkMeta] {
        &self.row.chunks
    }

    /// The deleted ranges of the series.
    #[inline]
    pub(super) fn deleted(&self) -> &'a [Interval] {
        self.block.tombstones().get(u64::from(self.number))
    }

    /// Moves on to the next series.
    pub(super) fn advance(&mut self) -> Result<(), TsdbError> {
        if let Some(labels) = &mut self.labels {
            std::mem::swap(labels, &mut self.before);
        }
        self.read()?;
        if self.labels.as_ref().is_some_and(|labels| *labels <= self.before) {
            return Err(self.corrupt(DecodeError::Invalid("series are not in label order")));
        }
        Ok(())
    }

    /// Reads the next series of which something is left.
    #[inline]
    fn read(&mut self) -> Result<(), TsdbError> {
        loop {
            let Some(number) = self.series.get(self.next) else {
                self.labels = None;
                return Ok(());
            };
            self.next += 1;
            self.number = number;
            self.block.index().series(number, &mut self.row)?;
            if !self.is_deleted() {
                return self.read_labels();
            }
        }
    }

    fn is_deleted(&self) -> bool {
        let deleted = self.deleted();
        let is_deleted = |chunk: &ChunkMeta| {
            deleted.iter().any(|i| i.contains(chunk.min_time_ms) && i.contains(chunk.max_time_ms))
        };
        self.row.chunks.iter().all(is_deleted)
    }

    #[inline]
    fn read_labels(&mut self) -> Result<(), TsdbError> {
        let Some(labels) = &mut self.labels else { return Ok(()) };
        labels.clear();
        for &(name, value) in &self.row.labels {
            let number = |reference| self.map.get(reference);
            match number(name).and_then(|name| Ok(name << 32 | number(value)?)) {
                Ok(label) => labels.push(label),
                Err(e) => return Err(self.corrupt(e)),
            }
        }
        Ok(())
    }

    fn corrupt(&self, error: DecodeError) -> TsdbError {
        let dir = self.block.dir().display();
        TsdbError::corrupt(format_args!("{dir}: series {}", self.number), error)
    }
}
