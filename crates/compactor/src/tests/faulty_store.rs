//! An object store in memory whose changes fail from a certain one on.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The store. Every object that is written or deleted counts as one change.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: InMemory,
    changes: AtomicU64,
    allowed: AtomicU64,
}

impl Default for FaultyStore {
    fn default() -> Self {
        let (changes, allowed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { inner: InMemory::new(), changes, allowed }
    }
}

impl FaultyStore {
    /// Lets this many more changes succeed.
    pub(super) fn allow_changes(&self, count: u64) {
        let done = self.changes.load(Ordering::Relaxed);
        self.allowed.store(done.saturating_add(count), Ordering::Relaxed);
    }

    /// How many changes succeeded.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn count(&self) -> Result<()> {
        if self.allowed.load(Ordering::Relaxed) <= self.changes.load(Ordering::Relaxed) {
            return Err(Error::Generic { store: "faulty", source: "no more changes".into() });
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, to: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.count()?;
        self.inner.put_opts(to, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count()?;
        self.inner.put_multipart_opts(to, opts).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // One object a call: that is how the bucket deletes.
        match self.count() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
