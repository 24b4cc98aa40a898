//! The postings of an index that is being written: gathered by label name while series come,
//! sorted by value at the end.
//!
//! Above a bound they go to a temporary file as sorted runs, which are merged at the end, so
//! that memory does not grow with the number of series. A run holds, for each name, entries
//! `value | series` of eight bytes little-endian.

use std::path::PathBuf;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::error::TsdbError;
use crate::fs::{FileHandle, SharedFs};

/// Entries of one run are read in pieces of so many.
const RUN_BUFFER_ENTRIES: usize = 8 << 10;
/// Bits that one pass of the sort looks at.
const RADIX_BITS: u32 = 11;

/// Where postings go that are too many for memory, and from how many on.
#[derive(Clone)]
pub struct PostingsSpill {
    /// The disk.
    pub fs: SharedFs,
    /// The temporary file; created when it is needed and deleted at the end.
    pub path: PathBuf,
    /// So many entries (one for each label of each series, eight bytes) are held in memory.
    pub max_entries: usize,
}

/// Takes name and value (`None` for the list of all series) and the series.
type VisitLists<'a> = dyn FnMut(Option<(u32, u32)>, &[u32]) -> Result<(), TsdbError> + 'a;
/// Takes the lists of one name: the value and the series.
type VisitColumn<'a> = dyn FnMut(u32, &[u32]) -> Result<(), TsdbError> + 'a;

/// All postings so far.
#[derive(Default)]
pub(super) struct Postings {
    all: Column,
    columns: Vec<Column>,
    /// Numbers of `columns` by label name.
    by_name: HashMap<u32, u32, FixedState>,
    /// Names and columns of the labels of the series before, by position.
    memo: Vec<(u32, u32)>,
    entries: usize,
    spill: Option<PostingsSpill>,
    file: Option<SpillFile>,
}

/// The postings of one label name.
#[derive(Default)]
struct Column {
    name: u32,
    /// `value << 32 | series`; series ascend.
    entries: Vec<u64>,
    /// Where runs of it lie in the temporary file.
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    offset: u64,
    entries: u64,
}

impl Postings {
    pub(super) fn new(spill: Option<PostingsSpill>) -> Self {
        Self { spill, ..Self::default() }
    }

    /// Adds a series, greater than all before, with its labels as `name << 32 | value`.
    pub(super) fn add(&mut self, labels: &[u64], series: u32) -> Result<(), TsdbError> {
        self.all.entries.push(u64::from(series));
        for (position, label) in labels.iter().enumerate() {
            let name = (label >> 32) as u32;
            let column = match self.memo.get(position) {
                Some(memo) if memo.0 == name => memo.1,
                _ => self.find_column(position, name),
            };
            self.columns[column as usize].entries.push(label << 32 | u64::from(series));
        }
        self.entries += labels.len() + 1;
        match &self.spill {
            Some(spill) if self.entries >= spill.max_entries => self.spill_all(),
            _ => Ok(()),
        }
    }

    #[cold]
    fn find_column(&mut self, position: usize, name: u32) -> u32 {
        let columns = &mut self.columns;
        let column = *self.by_name.entry(name).or_insert_with(|| {
            columns.push(Column { name, ..Column::default() });
            columns.len() as u32 - 1
        });
        if self.memo.len() <= position {
            self.memo.resize(position + 1, (u32::MAX, 0));
        }
        self.memo[position] = (name, column);
        column
    }

    fn spill_all(&mut self) -> Result<(), TsdbError> {
        let Some(spill) = &self.spill else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::create(spill.clone())?),
        };
        let mut scratch = Vec::new();
        for column in std::iter::once(&mut self.all).chain(&mut self.columns) {
            sort_by_value(&mut column.entries, &mut scratch);
            column.runs.extend(file.append(&column.entries)?);
            column.entries.clear();
        }
        self.entries = 0;
        Ok(())
    }

    /// Hands all lists to `visit`, names and values ascending, the list of all series first: its
    /// name, its value and its series.
    pub(super) fn for_each(mut self, visit: &mut VisitLists<'_>) -> Result<(), TsdbError> {
        self.columns.sort_unstable_by_key(|column| column.name);
        let mut scratch = Vec::new();
        let file = self.file.as_ref();
        self.all.for_each(file, &mut scratch, &mut |_, series| visit(None, series))?;
        for column in self.columns {
            let name = column.name;
            let mut visit = |value, series: &[u32]| visit(Some((name, value)), series);
            column.for_each(file, &mut scratch, &mut visit)?;
        }
        self.file.map_or(Ok(()), SpillFile::remove)
    }
}

impl Column {
    fn for_each(
        mut self,
        file: Option<&SpillFile>,
        scratch: &mut Vec<u64>,
        visit: &mut VisitColumn<'_>,
    ) -> Result<(), TsdbError> {
        sort_by_value(&mut self.entries, scratch);
        let mut lists = Lists { visit, value: 0, series: Vec::new() };
        match file {
            Some(file) if !self.runs.is_empty() => {
                file.merge(&self.runs, &self.entries, &mut |entry| lists.push(entry))?;
            }
            _ => {
                for &entry in &self.entries {
                    lists.push(entry)?;
                }
            }
        }
        lists.finish()
    }
}

/// Cuts sorted entries into lists.
struct Lists<'a> {
    visit: &'a mut VisitColumn<'a>,
    value: u32,
    series: Vec<u32>,
}

impl Lists<'_> {
    #[inline]
    fn push(&mut self, entry: u64) -> Result<(), TsdbError> {
        let value = (entry >> 32) as u32;
        if value != self.value {
            self.finish()?;
            self.series.clear();
            self.value = value;
        }
        self.series.push((entry & 0xffff_ffff) as u32);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TsdbError> {
        if self.series.is_empty() { Ok(()) } else { (self.visit)(self.value, &self.series) }
    }
}

/// Sorts entries by value, those of one value as they come: a radix sort from the lowest digit
/// on. It takes a fifth of the time of a comparing sort.
fn sort_by_value(entries: &mut Vec<u64>, scratch: &mut Vec<u64>) {
    let values = entries.iter().map(|entry| entry >> 32);
    let (low, high) = values.fold((u64::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
    let span = high.saturating_sub(low);
    if entries.is_sorted() {
        return;
    }
    scratch.clear();
    scratch.resize(entries.len(), 0);
    let mut shift = 0;
    while span >> shift > 0 {
        let digit =
            |entry: u64| (((entry >> 32) - low) >> shift) as usize & ((1 << RADIX_BITS) - 1);
        let mut starts = [0usize; 1 << RADIX_BITS];
        entries.iter().for_each(|&entry| starts[digit(entry)] += 1);
        let mut start = 0;
        for place in &mut starts {
            start += std::mem::replace(place, start);
        }
        for &entry in entries.iter() {
            let place = &mut starts[digit(entry)];
            scratch[*place] = entry;
            *place += 1;
        }
        std::mem::swap(entries, scratch);
        shift += RADIX_BITS;
    }
}

/// The temporary file with sorted runs.
struct SpillFile {
    spill: PostingsSpill,
    file: Arc<dyn FileHandle>,
    end: u64,
}

impl SpillFile {
    fn create(spill: PostingsSpill) -> Result<Self, TsdbError> {
        let file =
            spill.fs.create(&spill.path).map_err(|e| TsdbError::io("create", &spill.path, e))?;
        Ok(Self { spill, file, end: 0 })
    }

    fn append(&mut self, entries: &[u64]) -> Result<Option<Run>, TsdbError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let run = Run { offset: self.end, entries: entries.len() as u64 };
        let mut bytes = Vec::with_capacity(RUN_BUFFER_ENTRIES * 8);
        for piece in entries.chunks(RUN_BUFFER_ENTRIES) {
            bytes.clear();
            piece.iter().for_each(|entry| bytes.extend_from_slice(&entry.to_le_bytes()));
            self.file
                .write_all_at(&bytes, self.end)
                .map_err(|e| TsdbError::io("write", &self.spill.path, e))?;
            self.end += bytes.len() as u64;
        }
        Ok(Some(run))
    }

    /// Hands the entries of all runs and of `last`, which holds the greatest series, to `visit`.
    fn merge(
        &self,
        runs: &[Run],
        last: &[u64],
        visit: &mut dyn FnMut(u64) -> Result<(), TsdbError>,
    ) -> Result<(), TsdbError> {
        let mut cursors = Vec::with_capacity(runs.len() + 1);
        for &run in runs {
            let mut cursor = RunCursor { run, buffer: Vec::new(), next: 0 };
            self.refill(&mut cursor)?;
            cursors.push(cursor);
        }
        let nothing = Run { offset: 0, entries: 0 };
        cursors.push(RunCursor { run: nothing, buffer: last.to_vec(), next: 0 });
        // Entries are unique: of two with the same value the earlier run has the smaller series.
        let firsts = cursors.iter().enumerate();
        let firsts = firsts.filter_map(|(i, c)| Some(std::cmp::Reverse((c.first()?, i))));
        let mut heap: std::collections::BinaryHeap<_> = firsts.collect();
        while let Some(std::cmp::Reverse((entry, i))) = heap.pop() {
            visit(entry)?;
            let cursor = &mut cursors[i];
            cursor.next += 1;
            if cursor.first().is_none() {
                self.refill(cursor)?;
            }
            heap.extend(cursor.first().map(|entry| std::cmp::Reverse((entry, i))));
        }
        Ok(())
    }

    fn refill(&self, cursor: &mut RunCursor) -> Result<(), TsdbError> {
        let count = cursor.run.entries.min(RUN_BUFFER_ENTRIES as u64);
        let mut bytes = vec![0; count as usize * 8];
        let read = self
            .file
            .read_at(&mut bytes, cursor.run.offset)
            .map_err(|e| TsdbError::io("read", &self.spill.path, e))?;
        if read < bytes.len() {
            return Err(TsdbError::Invalid("temporary postings file became shorter".to_owned()));
        }
        let (entries, _) = bytes.as_chunks();
        cursor.buffer = entries.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        cursor.next = 0;
        cursor.run.offset += count * 8;
        cursor.run.entries -= count;
        Ok(())
    }

    fn remove(self) -> Result<(), TsdbError> {
        let PostingsSpill { fs, path, .. } = &self.spill;
        fs.remove_file(path).map_err(|e| TsdbError::io("delete", path, e))
    }
}

struct RunCursor {
    /// What is not in the buffer yet.
    run: Run,
    buffer: Vec<u64>,
    next: usize,
}

impl RunCursor {
    fn first(&self) -> Option<u64> {
        self.buffer.get(self.next).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FaultFs;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Pair = Option<(u32, u32)>;
    type Got = BTreeMap<Pair, Vec<u32>>;

    fn lists(rows: &[Vec<(u32, u32)>], max_entries: Option<usize>) -> Vec<(Pair, Vec<u32>)> {
        let fs: SharedFs = Arc::new(FaultFs::new());
        fs.create_dir_all(std::path::Path::new("/block")).unwrap();
        let path = PathBuf::from("/block/postings");
        let spill = max_entries.map(|max_entries| PostingsSpill {
            fs: fs.clone(),
            path: path.clone(),
            max_entries,
        });
        let mut postings = Postings::new(spill);
        for (i, row) in rows.iter().enumerate() {
            let labels: Vec<u64> =
                row.iter().map(|&(n, v)| u64::from(n) << 32 | u64::from(v)).collect();
            postings.add(&labels, i as u32 * 3 + 1).unwrap();
        }
        let mut got = Vec::new();
        postings
            .for_each(&mut |pair, series| {
                got.push((pair, series.to_vec()));
                Ok(())
            })
            .unwrap();
        assert!(!crate::fs::exists(&*fs, &path).unwrap(), "the temporary file is gone");
        got
    }

    proptest! {
        #[test]
        fn lists_are_those_of_a_map_with_and_without_a_file(
            rows in prop::collection::vec(
                prop::collection::btree_map(0u32..6, prop_oneof![0u32..9, 0u32..5_000_000], 0..5), 0..80),
            max_entries in 1usize..100,
        ) {
            let rows: Vec<Vec<(u32, u32)>> =
                rows.into_iter().map(|row| row.into_iter().collect()).collect();
            let mut want = Got::new();
            for (i, row) in rows.iter().enumerate() {
                want.entry(None).or_default().push(i as u32 * 3 + 1);
                for &pair in row {
                    want.entry(Some(pair)).or_default().push(i as u32 * 3 + 1);
                }
            }
            let want: Vec<_> = want.into_iter().collect();
            prop_assert_eq!(&lists(&rows, None), &want);
            prop_assert_eq!(&lists(&rows, Some(max_entries)), &want);
        }
    }
}
