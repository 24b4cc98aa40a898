//! The bucket itself: few operations on keys, over any object storage, each counted and timed.

use std::future::Future;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{BoxStream, FuturesUnordered};
use model::{Clock, TimestampMs};
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use rt::files::{FileReader, Files, OsFiles};
use tokio::io::AsyncWriteExt as _;

use crate::backend::{Backend, BucketOptions, remove_staged};
use crate::caching::BucketCaches;
use crate::{BucketError, BucketMetrics};

/// So many parts of a file are uploaded at once.
const CONCURRENT_PARTS: usize = 3;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A bucket. Clones share it.
#[derive(Clone)]
pub struct Bucket {
    backend: Arc<Backend>,
    storage_prefix: String,
    clock: Arc<dyn Clock>,
    metrics: BucketMetrics,
    caches: Option<Arc<BucketCaches>>,
    /// Where files come from that are uploaded, and go to that are downloaded.
    files: Arc<dyn Files>,
}

/// What a listing tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written, ms.
    pub last_modified_ms: TimestampMs,
}

impl Bucket {
    /// Opens a bucket. Nothing is asked of it yet.
    pub fn open(
        options: &BucketOptions,
        clock: Arc<dyn Clock>,
        metrics: BucketMetrics,
    ) -> Result<Self, BucketError> {
        let backend = Arc::new(options.open()?);
        let storage_prefix = options.storage_prefix().to_owned();
        let files = OsFiles::shared();
        Ok(Self { backend, storage_prefix, clock, metrics, caches: None, files })
    }

    /// A bucket over any object store; for tests and tools.
    pub fn over(
        store: Arc<dyn ObjectStore>,
        storage_prefix: &str,
        clock: Arc<dyn Clock>,
        metrics: BucketMetrics,
    ) -> Self {
        let (backend, storage_prefix) =
            (Arc::new(Backend::plain(store)), storage_prefix.to_owned());
        let files = OsFiles::shared();
        Self { backend, storage_prefix, clock, metrics, caches: None, files }
    }

    /// The same bucket, whose small objects, lists and parts of chunk files are looked for in
    /// caches first.
    pub fn with_caches(self, caches: BucketCaches) -> Self {
        Self { caches: Some(Arc::new(caches)), ..self }
    }

    /// The same bucket without caches: what it says is what stands there now.
    pub fn uncached(&self) -> Self {
        Self { caches: None, ..self.clone() }
    }

    /// The same bucket, whose uploads and downloads are files of another disk than the system's.
    pub fn with_files(self, files: Arc<dyn Files>) -> Self {
        Self { files, ..self }
    }

    /// The local disk of uploads and downloads.
    pub fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(crate) fn metrics(&self) -> &BucketMetrics {
        &self.metrics
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The key as caches know it, which may be shared with other buckets.
    pub(crate) fn full_key(&self, key: &str) -> String {
        match (self.storage_prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    /// The whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, BucketError> {
        match &self.caches {
            Some(caches) => caches.get(self, key).await,
            None => self.read(key).await,
        }
    }

    /// A part of the object; its end is cut to that of the object.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        match &self.caches {
            Some(caches) => caches.get_range(self, key, range).await,
            None => self.read_range(key, range).await,
        }
    }

    /// Size and time of the object.
    pub async fn info(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        match &self.caches {
            Some(caches) => caches.info(self, key).await,
            None => self.read_info(key).await,
        }
    }

    /// Whether the object is there.
    pub async fn exists(&self, key: &str) -> Result<bool, BucketError> {
        match &self.caches {
            Some(caches) => caches.exists(self, key).await,
            None => self.read_exists(key).await,
        }
    }

    /// The names directly below `prefix` that have something below them ("directories").
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        match &self.caches {
            Some(caches) => caches.list_dirs(self, prefix).await,
            None => self.read_dirs(prefix).await,
        }
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        let get = async { self.backend.store.get(&path).await?.bytes().await };
        let bytes = self.measured("get", key, get).await?;
        self.metrics.fetched("get", bytes.len());
        Ok(bytes)
    }

    pub(crate) async fn read_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        let get = self.backend.store.get_range(&path, range);
        let bytes = self.measured("get_range", key, get).await?;
        self.metrics.fetched("get_range", bytes.len());
        Ok(bytes)
    }

    pub(crate) async fn read_info(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        let path = self.path(key)?;
        let meta = self.measured("attributes", key, self.backend.store.head(&path)).await?;
        Ok(object_info(key.to_owned(), &meta))
    }

    pub(crate) async fn read_exists(&self, key: &str) -> Result<bool, BucketError> {
        let path = self.path(key)?;
        match self.measured("exists", key, self.backend.store.head(&path)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn read_dirs(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let path = self.path(prefix)?;
        let listed = self.backend.store.list_with_delimiter(Some(&path));
        let prefixes = self.measured("iter", prefix, listed).await?.common_prefixes;
        let mut names: Vec<String> =
            prefixes.iter().filter_map(|p| Some(p.filename()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Writes the object as a whole; readers see the old one or the new one.
    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), BucketError> {
        self.put_mode(key, data, PutMode::Overwrite).await.map(drop)
    }

    pub(crate) async fn put_mode(
        &self,
        key: &str,
        data: Bytes,
        mode: PutMode,
    ) -> Result<PutResult, BucketError> {
        let path = self.path(key)?;
        let attributes = self.backend.attributes.clone();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let put = self.backend.store.put_opts(&path, PutPayload::from(data), options);
        let result = self.measured("upload", key, put).await?;
        self.has_changed(key).await;
        self.metrics.uploaded(self.clock.now_ms());
        Ok(result)
    }

    /// Writes a local file as an object, with bounded memory: a large one in parts. Readers see
    /// the old object or the whole new one.
    pub async fn put_file(&self, key: &str, file: &FilePath) -> Result<u64, BucketError> {
        let local = |source| BucketError::LocalFile { path: file.to_owned(), source };
        let mut reader = self.files.open(file).await.map_err(local)?;
        let first = read_part(&mut reader, self.backend.part_bytes).await.map_err(local)?;
        if first.len() < self.backend.part_bytes {
            let size_bytes = first.len() as u64;
            self.put(key, first).await?;
            return Ok(size_bytes);
        }
        let path = self.path(key)?;
        let attributes = self.backend.attributes.clone();
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let start = self.backend.store.put_multipart_opts(&path, options);
        let mut upload = self.measured("upload", key, start).await?;
        let parts = async {
            let size_bytes = self.put_parts(&mut *upload, (key, file), first, reader).await?;
            self.measured("upload_finish", key, upload.complete()).await?;
            Ok(size_bytes)
        };
        let result = parts.await;
        if result.is_err() {
            // What was uploaded is not visible, but it takes room. The first error counts.
            let _ = self.measured("upload_abort", key, upload.abort()).await;
        } else {
            self.has_changed(key).await;
            self.metrics.uploaded(self.clock.now_ms());
        }
        result
    }

    /// Uploads the parts of a file, [`CONCURRENT_PARTS`] at a time.
    async fn put_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        (key, file): (&str, &FilePath),
        first: Bytes,
        mut reader: FileReader,
    ) -> Result<u64, BucketError> {
        let local = |source| BucketError::LocalFile { path: file.to_owned(), source };
        let (mut part, mut size_bytes) = (first, 0);
        let mut under_way = FuturesUnordered::new();
        while !part.is_empty() {
            size_bytes += part.len() as u64;
            let put = upload.put_part(PutPayload::from(part));
            under_way.push(self.measured("upload_part", key, put));
            while under_way.len() >= CONCURRENT_PARTS {
                under_way.next().await.transpose()?;
            }
            part = read_part(&mut reader, self.backend.part_bytes).await.map_err(local)?;
        }
        while under_way.next().await.transpose()?.is_some() {}
        Ok(size_bytes)
    }

    /// Writes the object to a local file, whose directories are made, with bounded memory.
    /// Returns its size. After an error a part of the file may be there.
    pub async fn get_file(&self, key: &str, file: &FilePath) -> Result<u64, BucketError> {
        let path = self.path(key)?;
        let local = |source| BucketError::LocalFile { path: file.to_owned(), source };
        if let Some(dir) = file.parent() {
            self.files.create_dir_all(dir).await.map_err(local)?;
        }
        let mut writer = self.files.create(file).await.map_err(local)?;
        let object = self.measured("get", key, self.backend.store.get(&path)).await?;
        let expected_bytes = object.meta.size;
        let mut parts = object.into_stream();
        let mut size_bytes = 0;
        while let Some(part) = self.next_part(key, &mut parts).await? {
            size_bytes += part.len() as u64;
            self.metrics.fetched("get", part.len());
            writer.write_all(&part).await.map_err(local)?;
        }
        writer.flush().await.map_err(local)?;
        if size_bytes != expected_bytes {
            let reason = format!("{size_bytes} bytes came of {expected_bytes}");
            return Err(BucketError::Malformed { key: key.to_owned(), reason });
        }
        Ok(size_bytes)
    }

    async fn next_part(
        &self,
        key: &str,
        parts: &mut BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Option<Bytes>, BucketError> {
        let failed = |source| {
            let key = key.to_owned();
            BucketError::Storage { operation: "get", key, source }
        };
        parts.next().await.transpose().map_err(failed)
    }

    /// Removes the object; one that is not there is no error.
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let path = self.path(key)?;
        let result = self.measured("delete", key, self.backend.store.delete(&path)).await;
        self.has_changed(key).await;
        match result {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Removes, below `prefix`, what uploads that died have left and no list shows, if nothing was
    /// written to it since `before_ms`: files of a directory, and in S3 uploads in parts that began
    /// a day before that. Azure removes such parts by itself after a week; the other storages by
    /// rules of the bucket. Returns how many.
    pub async fn remove_staged(
        &self,
        prefix: &str,
        before_ms: TimestampMs,
    ) -> Result<u64, BucketError> {
        if let Some(unfinished) = &self.backend.unfinished {
            let before_ms = before_ms.saturating_sub(DAY_MS);
            let path = self.path(prefix)?;
            let abort = unfinished.abort(&path, before_ms);
            return self.measured("iter", prefix, abort).await;
        }
        let Some(dir) = &self.backend.directory else { return Ok(0) };
        let dir = dir.join(self.path(prefix)?.as_ref());
        let before = Duration::from_millis(u64::try_from(before_ms).unwrap_or(0));
        remove_staged(&dir, UNIX_EPOCH + before).await
    }

    async fn has_changed(&self, key: &str) {
        if let Some(caches) = &self.caches {
            caches.forget(self, key).await;
        }
    }

    /// All objects below `prefix`, in order of their keys relative to it.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, BucketError> {
        let path = self.path(prefix)?;
        let collect = async {
            let mut objects = Vec::new();
            let mut stream = self.backend.store.list(Some(&path));
            while let Some(meta) = stream.next().await {
                let meta = meta?;
                let below = meta.location.prefix_match(&path).into_iter().flatten();
                let key: Vec<String> = below.map(|part| part.as_ref().to_owned()).collect();
                objects.push(object_info(key.join("/"), &meta));
            }
            Ok(objects)
        };
        let mut objects = self.measured("iter", prefix, collect).await?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path, BucketError> {
        let full = self.full_key(key);
        // `parse` keeps characters such as `*`, which tenant ids may hold; `from` would escape.
        Path::parse(&full).map_err(|_| BucketError::InvalidKey(full))
    }

    pub(crate) async fn measured<T>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, BucketError> {
        let start = self.clock.monotonic();
        let result = work.await;
        let took = self.clock.monotonic().saturating_sub(start);
        if self.backend.is_traced {
            let is_ok = result.is_ok();
            tracing::info!(operation, key, ?took, is_ok, "operation on object storage");
        }
        let is_missing = matches!(&result, Err(Error::NotFound { .. }));
        let is_refused = matches!(
            &result,
            Err(Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. })
        );
        self.metrics.observe(operation, took, result.is_err() && !is_missing && !is_refused);
        result.map_err(|source| {
            let key = key.to_owned();
            match source {
                Error::NotFound { .. } => BucketError::NotFound { operation, key },
                Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                    BucketError::Conflict { operation, key }
                }
                source => BucketError::Storage { operation, key, source },
            }
        })
    }
}

/// Up to `part_bytes` of a file; empty at its end.
async fn read_part(reader: &mut FileReader, part_bytes: usize) -> std::io::Result<Bytes> {
    use tokio::io::AsyncReadExt as _;
    let mut part = Vec::new();
    let mut limited = reader.take(part_bytes as u64);
    limited.read_to_end(&mut part).await?;
    Ok(part.into())
}

pub(crate) fn object_info(key: String, meta: &object_store::ObjectMeta) -> ObjectInfo {
    ObjectInfo {
        key,
        size_bytes: meta.size,
        last_modified_ms: meta.last_modified.timestamp_millis(),
    }
}
