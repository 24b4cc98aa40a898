//! One block in the bucket: what the bucket index says, its files, and its index-header, which is
//! fetched to local disk once, loaded when a query asks for it, by one query at a time, and
//! unloaded when none did for a while.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bucket::{BlockPaths, BucketError, IndexedBlock, TenantBucket};
use bytes::Bytes;
use model::{StorageError, TenantId, TimestampMs};
use parking_lot::RwLock;
use tsdb::error::DecodeError;
use tsdb::fs::{exists, write_atomically};
use ulid::Ulid;

use crate::cache::ObjectId;
use crate::header::{
    HEADER_FILE, HeaderSource, IndexHeader, LoadOptions, SPARSE_FILE, fetch_header,
};
use crate::hedging::Hedging;
use crate::sharding::BlockOwner;
use crate::store::Store;

/// A block of the bucket index.
pub(crate) struct Block {
    pub(crate) entry: IndexedBlock,
    /// The number of its index in the cache.
    pub(crate) object: ObjectId,
    bucket: TenantBucket,
    paths: BlockPaths,
    /// Where its index-header is.
    dir: PathBuf,
    header: RwLock<Option<Arc<IndexHeader>>>,
    hedging: Arc<Hedging>,
    loading: tokio::sync::Mutex<()>,
    last_used_ms: AtomicI64,
}

impl Block {
    pub(crate) fn new(bucket: TenantBucket, entry: IndexedBlock, store: &Store) -> Self {
        let paths = bucket.block(entry.id);
        let dir = store.sync_dir().join(bucket.tenant().as_str()).join(entry.id.to_string());
        Self {
            object: store.next_object(),
            entry,
            bucket,
            paths,
            dir,
            header: RwLock::default(),
            hedging: Arc::clone(&store.hedging),
            loading: tokio::sync::Mutex::default(),
            last_used_ms: AtomicI64::new(0),
        }
    }

    pub(crate) fn id(&self) -> Ulid {
        self.entry.id
    }

    pub(crate) fn belongs_to(&self, owns: &BlockOwner) -> bool {
        owns(self.entry.id, self.entry.max_time_ms)
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        self.bucket.tenant()
    }

    /// The index-header, loaded now where it is not.
    pub(crate) async fn header(&self, store: &Store) -> Result<Arc<IndexHeader>, StorageError> {
        self.last_used_ms.store(store.clock.now_ms(), Ordering::Relaxed);
        if let Some(header) = self.loaded() {
            return Ok(header);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(header) = self.loaded() {
            return Ok(header);
        }
        let _turn = store.header_loads.enter().await?;
        let start = store.clock.monotonic();
        let loaded = self.load_header(store).await;
        store.metrics.headers.loaded(store.seconds_since(start), loaded.is_ok());
        let header = Arc::new(loaded?);
        *self.header.write() = Some(Arc::clone(&header));
        Ok(header)
    }

    fn loaded(&self) -> Option<Arc<IndexHeader>> {
        self.header.read().clone()
    }

    /// When a query last needed the header, ms; `None` where it is not loaded.
    pub(crate) fn loaded_and_used_ms(&self) -> Option<TimestampMs> {
        self.loaded().map(|_| self.last_used_ms.load(Ordering::Relaxed))
    }

    /// Gives the header up, if no query needed it since `used_since_ms`.
    pub(crate) fn unload_unless_used(&self, used_since_ms: TimestampMs) -> bool {
        let is_idle = self.loaded_and_used_ms().is_some_and(|used_ms| used_ms < used_since_ms);
        is_idle && self.header.write().take().is_some()
    }

    async fn load_header(&self, store: &Store) -> Result<IndexHeader, StorageError> {
        self.fetch_unless_there(store).await?;
        let options = store.load_options();
        let error = match IndexHeader::load(&*store.fs, &self.dir, options) {
            Ok(header) => return Ok(header),
            Err(error) => error,
        };
        // What is on local disk can be had again.
        tracing::warn!(block = %self.id(), %error, "could not load an index-header, fetching it");
        fetch_header(&*store.fs, &self.dir, self).await?;
        IndexHeader::load(&*store.fs, &self.dir, LoadOptions { verify: true, ..options })
            .map_err(|error| self.corrupt("index-header", &error))
    }

    /// Brings the index-header to local disk, with the file beside it, so that the first query
    /// that needs it scans nothing.
    pub(crate) async fn fetch_header(&self, store: &Store) -> Result<(), StorageError> {
        let _one_at_a_time = self.loading.lock().await;
        self.fetch_unless_there(store).await?;
        if exists(&*store.fs, &self.dir.join(SPARSE_FILE)).map_err(|error| self.local(&error))? {
            return Ok(());
        }
        // Loading writes it; what is wrong with the header is told by the query that needs it.
        if let Err(error) = IndexHeader::load(&*store.fs, &self.dir, store.load_options()) {
            tracing::warn!(block = %self.id(), %error, "could not look through an index-header");
        }
        Ok(())
    }

    /// Bytes of what is kept on local disk.
    pub(crate) fn local_bytes(&self, store: &Store) -> u64 {
        let size = |file| store.fs.metadata(&self.dir.join(file)).map_or(0, |found| found.length);
        [HEADER_FILE, SPARSE_FILE].map(size).iter().sum()
    }

    async fn fetch_unless_there(&self, store: &Store) -> Result<(), StorageError> {
        match exists(&*store.fs, &self.dir.join(HEADER_FILE)) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.fetch_sparse(store).await;
                let fetched = fetch_header(&*store.fs, &self.dir, self).await;
                store.metrics.lists.header_fetched(fetched.is_ok());
                fetched
            }
            Err(error) => Err(self.local(&error)),
        }
    }

    /// Brings the file beside the index-header to local disk, where the bucket has it; that saves
    /// scanning. Newer compactors of Mimir write it into each block.
    async fn fetch_sparse(&self, store: &Store) {
        let fetched = self.bucket.bucket().get(&self.paths.file(SPARSE_FILE)).await;
        let error: Box<dyn fmt::Display> = match fetched {
            Ok(bytes) => {
                let (fs, file) = (&*store.fs, self.dir.join(SPARSE_FILE));
                let written = fs.create_dir_all(&self.dir);
                let Err(error) = written.and_then(|()| write_atomically(fs, &file, &bytes)) else {
                    return;
                };
                Box::new(error)
            }
            Err(error) if error.is_not_found() => return,
            Err(error) => Box::new(error),
        };
        // Without it loading takes longer, and that is all.
        tracing::debug!(block = %self.id(), %error, "could not fetch a sparse index-header");
    }

    /// A part of the index file.
    pub(crate) async fn read_index(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.read_from(&self.paths.index(), range.clone()).await.and_then(|bytes| {
            let is_whole = bytes.len() as u64 == range.end - range.start;
            is_whole
                .then_some(bytes)
                .ok_or_else(|| Self::corrupt(self, "index", &DecodeError::Truncated))
        })
    }

    /// A part of a chunk file, less where the file ends before.
    pub(crate) async fn read_chunks(
        &self,
        segment: u32,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        self.read_from(&self.paths.chunks(segment), range).await
    }

    async fn read_from(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let read = || self.bucket.read(key, range.clone());
        self.hedging.run(read).await.map_err(|e| self.unavailable(&e))
    }

    fn unavailable(&self, error: &BucketError) -> StorageError {
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

impl HeaderSource for Block {
    async fn size_bytes(&self) -> Result<u64, StorageError> {
        let info = self.bucket.bucket().info(&self.paths.index()).await;
        info.map(|info| info.size_bytes).map_err(|e| self.unavailable(&e))
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.read_index(range).await
    }

    fn corrupt(&self, error: DecodeError) -> StorageError {
        Self::corrupt(self, "index", &error)
    }

    fn local(&self, error: &std::io::Error) -> StorageError {
        let dir = self.dir.display();
        StorageError::Unavailable(format!("block {}: index-header in {dir}: {error}", self.id()))
    }
}
