//! Reading many small parts of an index file: through pages that are kept in the cache, with as
//! few requests as there are far-apart runs of missing pages.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use hashbrown::HashMap;
use model::StorageError;

use crate::block::Block;
use crate::ranges::merge;
use crate::request::{Request, Reservation};

/// The size of a page; the last one of a file is shorter.
const PAGE_BYTES: u64 = 64 << 10;
/// So many pages are held at once, unless a single range has more.
const MAX_HELD_PAGES: usize = 256;
/// The most memory that is allocated before anything has been read.
const MAX_EAGER_BYTES: u64 = 16 << 20;
/// So many requests of one query run at the same time.
const CONCURRENT_READS: usize = 4;

/// The index file of a block, of this size.
#[derive(Clone, Copy)]
pub(crate) struct IndexFile<'a> {
    pub(crate) block: &'a Block,
    pub(crate) size_bytes: u64,
}

/// Parts of a file one after another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    /// The parts in the order in which they were asked for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.data[start..end])
    }
}

type Pages = HashMap<u32, Bytes>;

impl Request {
    /// The bytes of all `ranges`, which must lie within the file. The caller has reserved memory
    /// for the result; what is fetched on the way is reserved here.
    pub(crate) fn read_pieces(
        &self,
        file: IndexFile<'_>,
        ranges: &[Range<u64>],
    ) -> Result<Pieces, StorageError> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let ends = Vec::with_capacity(ranges.len());
        let capacity = total.min(MAX_EAGER_BYTES) as usize;
        let mut pieces = Pieces { data: Vec::with_capacity(capacity), ends };
        let mut rest = ranges;
        while !rest.is_empty() {
            let (count, numbers) = next_group(rest);
            let (group, later) = rest.split_at(count);
            let (pages, _held) = self.pages(file, &numbers)?;
            group.iter().for_each(|range| append(&mut pieces, range, &pages));
            rest = later;
        }
        let metrics = &self.store.metrics;
        metrics.index_touched.observe(total as f64);
        Ok(pieces)
    }

    /// The pages with these numbers, which ascend, and the memory that they take.
    fn pages(
        &self,
        file: IndexFile<'_>,
        numbers: &[u32],
    ) -> Result<(Pages, Reservation), StorageError> {
        let store = &self.store;
        // Pages that come from elsewhere take memory that the cache does not account for.
        let taken = if store.cache.is_shared() { numbers.len() as u64 * PAGE_BYTES } else { 0 };
        let mut held = self.reserve(taken)?;
        let found = match store.cache.is_shared() {
            true => self.wait(async { Ok(store.cache.pages(file.block, numbers).await) })?,
            false => store.cache.pages_in_memory(file.block, numbers),
        };
        let mut pages = Pages::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for (&number, page) in numbers.iter().zip(found) {
            let range = page_range(number, file.size_bytes);
            match page.filter(|page| page.len() as u64 == range.end - range.start) {
                Some(page) => _ = pages.insert(number, page),
                None => missing.push(range),
            }
        }
        if missing.is_empty() {
            self.context.check()?;
            return Ok((pages, held));
        }
        let reads = merge(missing, store.config.partitioner_max_gap_bytes);
        let fetched_bytes: u64 = reads.iter().map(|read| read.end - read.start).sum();
        held.grow(fetched_bytes)?;
        let fetched = self.wait(fetch(file.block, &reads))?;
        store.metrics.index_fetched.observe(fetched_bytes as f64);
        store.cache.put_pages(file.block, &fetched);
        pages.extend(fetched);
        Ok((pages, held))
    }
}

/// How many of `ranges` are read together, and the pages they lie on, ascending.
fn next_group(ranges: &[Range<u64>]) -> (usize, Vec<u32>) {
    let mut numbers: Vec<u32> = Vec::new();
    for (count, range) in ranges.iter().enumerate() {
        let on = page_numbers(range);
        if count > 0 && numbers.len() + on.len() > MAX_HELD_PAGES {
            return (count, sorted(numbers));
        }
        // Ranges mostly ascend, so this keeps the list short; the rest is done at the end.
        numbers.extend(on.filter(|&number| numbers.last() != Some(&number)).collect::<Vec<_>>());
    }
    (ranges.len(), sorted(numbers))
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The numbers of the pages that a range lies on. Index files are far below the 256 TiB that
/// fit 32 bits.
fn page_numbers(range: &Range<u64>) -> Range<u32> {
    if range.is_empty() {
        return 0..0;
    }
    (range.start / PAGE_BYTES) as u32..(range.end.div_ceil(PAGE_BYTES)) as u32
}

fn page_range(number: u32, file_bytes: u64) -> Range<u64> {
    let start = u64::from(number) * PAGE_BYTES;
    start..(start + PAGE_BYTES).min(file_bytes)
}

/// Fetches the ranges, each a run of pages, and cuts them.
async fn fetch(block: &Block, reads: &[Range<u64>]) -> Result<Vec<(u32, Bytes)>, StorageError> {
    let fetches = reads.iter().map(|read| async move {
        let bytes = block.read_index(read.clone()).await?;
        let first = (read.start / PAGE_BYTES) as u32;
        // Copied, so that a page that stays holds no more than itself.
        let pages = bytes.chunks(PAGE_BYTES as usize).map(Bytes::copy_from_slice);
        Ok::<_, StorageError>((first..).zip(pages).collect::<Vec<_>>())
    });
    let runs = futures::stream::iter(fetches).buffered(CONCURRENT_READS);
    Ok(runs.try_collect::<Vec<_>>().await?.concat())
}

/// Appends the bytes of a range whose pages are all there.
fn append(pieces: &mut Pieces, range: &Range<u64>, pages: &Pages) {
    for number in page_numbers(range) {
        let at = u64::from(number) * PAGE_BYTES;
        let page = &pages[&number];
        let from = range.start.saturating_sub(at) as usize;
        let to = ((range.end - at) as usize).min(page.len());
        pieces.data.extend_from_slice(&page[from..to]);
    }
    pieces.ends.push(pieces.data.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_BYTES;

    /// A file of three and a half pages of which each byte tells its place.
    fn file() -> (Vec<u8>, Pages) {
        let data: Vec<u8> = (0..PAGE * 7 / 2).map(|i| (i * 31 % 251) as u8).collect();
        let cut = data.chunks(PAGE as usize).map(Bytes::copy_from_slice);
        let pages = (0..).zip(cut).collect();
        (data, pages)
    }

    #[test]
    fn pieces_are_cut_out_of_pages() {
        let (data, pages) = file();
        let end = data.len() as u64;
        let ranges = [5..10, PAGE - 3..PAGE + 4, 0..end, PAGE..2 * PAGE, end - 1..end, 7..7, 3..4];
        let mut pieces = Pieces::default();
        ranges.iter().for_each(|range| append(&mut pieces, range, &pages));
        let expected: Vec<&[u8]> =
            ranges.iter().map(|r| &data[r.start as usize..r.end as usize]).collect();
        assert_eq!(pieces.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn groups_hold_a_bounded_number_of_pages() {
        let far: Vec<_> = (0..600u64).map(|i| i * 3 * PAGE..i * 3 * PAGE + 10).collect();
        let (count, numbers) = next_group(&far);
        assert_eq!((count, numbers.len()), (MAX_HELD_PAGES, MAX_HELD_PAGES));
        let near: Vec<_> = (0..600u64).map(|i| i * 10..i * 10 + 10).collect();
        assert_eq!(next_group(&near), (600, vec![0]));
        let (one_and_a_half, huge) = (PAGE / 2..2 * PAGE, 0..1000 * PAGE);
        assert_eq!(next_group(std::slice::from_ref(&one_and_a_half)), (1, vec![0, 1]));
        assert_eq!(next_group(&[huge, one_and_a_half]).0, 1);
    }
}
