//! Reads of chunk files through a cache of aligned parts of [`SUBRANGE_BYTES`].
//!
//! ```text
//! file     |----0----|----1----|----2----|----3--|      the last one ends with the file
//! wanted         |===============|
//! looked up |----0----|----1----|----2----|              what is missing is read and kept
//! ```
//!
//! Chunk files never change, so that a part that was right once stays right. Anything that does
//! not fit together sends the read to the bucket as it was asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesUnordered, TryStreamExt as _};

use super::{BucketCaches, CachingMetrics, Chunks, values};
use crate::cache::CacheKey;
use crate::{Bucket, BucketError};

/// The size of a part, bytes.
pub(super) const SUBRANGE_BYTES: u64 = 16 << 10;

/// A read of one chunk file.
pub(super) struct Read<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) key: &'a str,
    pub(super) chunks: &'a Chunks,
    pub(super) metrics: &'a CachingMetrics,
}

/// Parts by their start in the file.
type Parts = BTreeMap<u64, Bytes>;

impl Read<'_> {
    pub(super) async fn range(
        &self,
        wanted: Range<u64>,
        caches: &BucketCaches,
    ) -> Result<Bytes, BucketError> {
        if self.chunks.options.subrange_ttl.is_zero() {
            return self.bucket.read_range(self.key, wanted).await;
        }
        let size_bytes = caches.info(self.bucket, self.key).await?.size_bytes;
        let end = wanted.end.min(size_bytes);
        if wanted.start >= end {
            return self.bucket.read_range(self.key, wanted).await;
        }
        let range = wanted.start..end;
        let mut parts = self.cached(&range, size_bytes).await;
        self.metrics.asked("getrange", "chunks", parts.len() == starts(&range).count());
        for read in self.fetch(&missing(&range, &parts), size_bytes).await? {
            parts.extend(read);
        }
        match assemble(&range, &parts) {
            Some(bytes) => Ok(bytes),
            None => self.bucket.read_range(self.key, wanted).await,
        }
    }

    /// The parts of `range` that the cache has.
    async fn cached(&self, range: &Range<u64>, size_bytes: u64) -> Parts {
        let starts: Vec<u64> = starts(range).collect();
        let keys: Vec<CacheKey> = starts.iter().map(|&start| self.cache_key(start)).collect();
        let found = self.chunks.cache.get_multi(&keys).await;
        let part = |((start, key), value): ((u64, &CacheKey), Option<Bytes>)| {
            let content = values::open(key, &value?)?;
            (content.len() as u64 == part_end(start, size_bytes) - start)
                .then_some((start, content))
        };
        starts.into_iter().zip(&keys).zip(found).filter_map(part).collect()
    }

    /// Reads the parts that begin at `missing`, in few requests, and keeps them.
    async fn fetch(&self, missing: &[u64], size_bytes: u64) -> Result<Vec<Parts>, BucketError> {
        let reads = merge(missing, self.chunks.options.max_get_range_requests);
        let fetches: FuturesUnordered<_> = reads
            .into_iter()
            .map(|read| async move {
                let read = read.start..read.end.min(size_bytes);
                let bytes = self.bucket.read_range(self.key, read.clone()).await?;
                Ok::<Parts, BucketError>(self.keep(&read, &bytes, size_bytes))
            })
            .collect();
        fetches.try_collect().await
    }

    /// Cuts what was read into parts and keeps them in the cache. A read that came too short is
    /// cut into nothing.
    fn keep(&self, read: &Range<u64>, bytes: &Bytes, size_bytes: u64) -> Parts {
        let mut parts = Parts::new();
        if bytes.len() as u64 != read.end - read.start {
            return parts;
        }
        for start in starts(read) {
            let (from, to) = (start - read.start, part_end(start, size_bytes) - read.start);
            let part = bytes.slice(from as usize..to as usize);
            let ttl = self.chunks.options.subrange_ttl;
            values::put(&self.chunks.cache, &self.cache_key(start), &part, ttl);
            parts.insert(start, part);
        }
        parts
    }

    fn cache_key(&self, start: u64) -> CacheKey {
        CacheKey::new("subrange", &format!("{}:{start}", self.bucket.full_key(self.key)))
    }
}

/// Where the parts begin that `range` touches.
fn starts(range: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let first = range.start / SUBRANGE_BYTES;
    (first..range.end.div_ceil(SUBRANGE_BYTES)).map(|i| i * SUBRANGE_BYTES)
}

fn part_end(start: u64, size_bytes: u64) -> u64 {
    (start + SUBRANGE_BYTES).min(size_bytes)
}

fn missing(range: &Range<u64>, parts: &Parts) -> Vec<u64> {
    starts(range).filter(|start| !parts.contains_key(start)).collect()
}

/// Requests for the parts that begin at `missing`, in ascending order: neighbours go together, and
/// then the closest ones, until there are no more than `max_requests` (0 is any number).
fn merge(missing: &[u64], max_requests: usize) -> Vec<Range<u64>> {
    let mut reads: Vec<Range<u64>> = Vec::new();
    for &start in missing {
        match reads.last_mut() {
            Some(read) if read.end == start => read.end = start + SUBRANGE_BYTES,
            _ => reads.push(start..start + SUBRANGE_BYTES),
        }
    }
    while max_requests > 0 && reads.len() > max_requests {
        let gap = |i: &usize| reads[*i + 1].start - reads[*i].end;
        let Some(closest) = (0..reads.len() - 1).min_by_key(gap) else { break };
        reads[closest].end = reads[closest + 1].end;
        reads.remove(closest + 1);
    }
    reads
}

/// The bytes of `range`, if all of its parts are there. Where it is one part it is not copied.
fn assemble(range: &Range<u64>, parts: &Parts) -> Option<Bytes> {
    let slice = |start: u64| {
        let part = parts.get(&start)?;
        let from = range.start.saturating_sub(start);
        let to = (range.end - start).min(part.len() as u64);
        (from < to).then(|| part.slice(from as usize..to as usize))
    };
    if starts(range).count() == 1 {
        return starts(range).next().and_then(slice);
    }
    let mut bytes = BytesMut::with_capacity((range.end - range.start) as usize);
    for start in starts(range) {
        bytes.extend_from_slice(&slice(start)?);
    }
    (bytes.len() as u64 == range.end - range.start).then(|| bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = SUBRANGE_BYTES;

    #[test]
    fn the_closest_reads_are_merged_first() {
        let missing = [0, S, 3 * S, 10 * S, 12 * S, 13 * S];
        let all = vec![0..2 * S, 3 * S..4 * S, 10 * S..11 * S, 12 * S..14 * S];
        assert_eq!(merge(&missing, 0), all);
        assert_eq!(merge(&missing, 4), all);
        assert_eq!(merge(&missing, 3), [0..4 * S, 10 * S..11 * S, 12 * S..14 * S]);
        assert_eq!(merge(&missing, 2), [0..4 * S, 10 * S..14 * S]);
        assert_eq!(merge(&missing, 1), vec![0..14 * S]);
        assert_eq!(merge(&[], 1), []);
    }
}
