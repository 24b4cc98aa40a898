//! One block in the bucket: what its `meta.json` says, its files, and its index header, which is
//! loaded when a query asks for it, by one query at a time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bucket::{BlockPaths, BucketError, TenantBucket};
use bytes::Bytes;
use futures::future::try_join;
use model::{StorageError, TimeRange};
use tsdb::error::DecodeError;
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::cache::ObjectId;
use crate::header::{IndexHeader, Layout, TAIL_BYTES};
use crate::request::Request;

/// A block whose `meta.json` has been read.
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    /// The number of its index in the cache.
    pub(crate) object: ObjectId,
    bucket: TenantBucket,
    paths: BlockPaths,
    loading: tokio::sync::Mutex<()>,
    is_gone: AtomicBool,
}

impl Block {
    pub(crate) fn new(bucket: TenantBucket, meta: BlockMeta, object: ObjectId) -> Self {
        let paths = bucket.block(meta.ulid);
        let (loading, is_gone) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        Self { meta, object, bucket, paths, loading, is_gone }
    }

    pub(crate) fn id(&self) -> Ulid {
        self.meta.ulid
    }

    /// Whether samples of `range` can be in the block.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.meta.min_time_ms, self.meta.max_time_ms.saturating_sub(1))
    }

    /// Whether a file of the block turned out to be missing: the block may have been deleted, and
    /// what is known about it must be asked for again.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// The index header, from the cache or the bucket.
    pub(crate) async fn header(&self, request: &Request) -> Result<Arc<IndexHeader>, StorageError> {
        let cache = &request.store.cache;
        if let Some(header) = cache.header(self.object) {
            return Ok(header);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(header) = cache.header(self.object) {
            return Ok(header);
        }
        let start = request.store.clock.monotonic();
        let loaded = self.load_header(request).await;
        let seconds = request.store.seconds_since(start);
        request.store.metrics.headers.loaded(seconds, loaded.is_ok());
        let header = Arc::new(loaded?);
        cache.put_header(self.object, &header);
        Ok(header)
    }

    async fn load_header(&self, request: &Request) -> Result<IndexHeader, StorageError> {
        let key = self.paths.index();
        let info = self.bucket.bucket().info(&key).await.map_err(|e| self.unavailable(&e))?;
        let size_bytes = info.size_bytes;
        let end_at = size_bytes.saturating_sub(TAIL_BYTES);
        let end = self.read_index(end_at..size_bytes).await?;
        let corrupt = |e: DecodeError| self.corrupt("index", &e);
        let layout = Layout::decode(size_bytes, &end).map_err(corrupt)?;
        let header_bytes = layout.head.end + (layout.tail.end - layout.tail.start);
        let _reserved = request.reserve(header_bytes)?;
        let head = self.read_unless_there(layout.head.clone(), (end_at, &end));
        let tail = self.read_unless_there(layout.tail.clone(), (end_at, &end));
        let (head, tail) = try_join(head, tail).await?;
        IndexHeader::decode(&layout, head, tail).map_err(corrupt)
    }

    /// A part of the index, of which everything from `end_at` on is there as `end`.
    async fn read_unless_there(
        &self,
        range: Range<u64>,
        (end_at, end): (u64, &Bytes),
    ) -> Result<Bytes, StorageError> {
        if range.start < end_at {
            return self.read_index(range).await;
        }
        let (from, to) = (range.start - end_at, range.end - end_at);
        // Both are within `end`, whose length came from memory.
        Ok(end.slice(from as usize..to as usize))
    }

    /// A part of the index file.
    pub(crate) async fn read_index(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.read(&self.paths.index(), range.clone()).await.and_then(|bytes| {
            let is_whole = bytes.len() as u64 == range.end - range.start;
            is_whole.then_some(bytes).ok_or_else(|| self.corrupt("index", &DecodeError::Truncated))
        })
    }

    /// A part of a chunk file, less where the file ends before.
    pub(crate) async fn read_chunks(
        &self,
        segment: u32,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        self.read(&self.paths.chunks(segment), range).await
    }

    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.bucket.read(key, range).await.map_err(|e| self.unavailable(&e))
    }

    fn unavailable(&self, error: &BucketError) -> StorageError {
        if error.is_not_found() {
            self.is_gone.store(true, Ordering::Relaxed);
        }
        StorageError::Unavailable(format!("read block {}: {error}", self.id()))
    }

    /// `what` of the block is damaged.
    pub(crate) fn corrupt(
        &self,
        what: impl fmt::Display,
        error: &dyn fmt::Display,
    ) -> StorageError {
        StorageError::Corrupted(format!("block {}: {what}: {error}", self.id()))
    }
}
