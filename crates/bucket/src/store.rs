//! The bucket itself: few operations on keys, over any object storage, each counted and timed.

mod conditional;

pub use conditional::Conditional;

use std::future::Future;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use model::{Clock, TimestampMs};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use tokio::io::AsyncWriteExt as _;

use crate::{BucketError, BucketMetrics};

/// Objects larger than this are uploaded in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Where a bucket is.
#[derive(Debug, Clone)]
pub enum BucketOptions {
    /// A directory; made where it is missing. Writes are synced to the disk.
    Filesystem {
        /// The directory.
        dir: std::path::PathBuf,
        /// Stands before every key; empty for none.
        storage_prefix: String,
    },
}

/// A bucket. Clones share it.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    storage_prefix: String,
    clock: Arc<dyn Clock>,
    metrics: BucketMetrics,
    /// The directory that the bucket is, where it is one.
    root_dir: Option<std::path::PathBuf>,
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
    /// Opens a bucket.
    pub fn open(
        options: &BucketOptions,
        clock: Arc<dyn Clock>,
        metrics: BucketMetrics,
    ) -> Result<Self, BucketError> {
        let BucketOptions::Filesystem { dir, storage_prefix } = options;
        let store = open_filesystem(dir)?;
        let bucket = Self::over(Arc::new(store), storage_prefix, clock, metrics);
        Ok(Self { root_dir: Some(dir.clone()), ..bucket })
    }

    /// A bucket over any object store; for tests and tools.
    pub fn over(
        store: Arc<dyn ObjectStore>,
        storage_prefix: &str,
        clock: Arc<dyn Clock>,
        metrics: BucketMetrics,
    ) -> Self {
        let storage_prefix = storage_prefix.to_owned();
        Self { store, storage_prefix, clock, metrics, root_dir: None }
    }

    /// The whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        self.measured("get", key, async { self.store.get(&path).await?.bytes().await }).await
    }

    /// A part of the object.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let path = self.path(key)?;
        self.measured("get_range", key, self.store.get_range(&path, range)).await
    }

    /// Size and time of the object.
    pub async fn info(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        let path = self.path(key)?;
        let meta = self.measured("attributes", key, self.store.head(&path)).await?;
        Ok(object_info(key.to_owned(), &meta))
    }

    /// Writes the object as a whole; readers see the old one or the new one.
    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), BucketError> {
        let path = self.path(key)?;
        self.measured("upload", key, self.store.put(&path, PutPayload::from(data))).await?;
        self.metrics.uploaded(self.clock.now_ms());
        Ok(())
    }

    /// Writes a local file as an object, in parts, with bounded memory.
    pub async fn put_file(&self, key: &str, file: &FilePath) -> Result<u64, BucketError> {
        let path = self.path(key)?;
        let local = |source| BucketError::LocalFile { path: file.to_owned(), source };
        let mut reader = tokio::fs::File::open(file).await.map_err(local)?;
        let start = self.measured("upload", key, self.store.put_multipart(&path));
        let mut upload = WriteMultipart::new_with_chunk_size(start.await?, PART_BYTES);
        let mut size_bytes = 0;
        loop {
            let part = read_part(&mut reader).await.map_err(local)?;
            if part.is_empty() {
                break;
            }
            size_bytes += part.len() as u64;
            upload.put(part);
            self.measured("upload_part", key, upload.wait_for_capacity(2)).await?;
        }
        self.measured("upload_finish", key, upload.finish()).await?;
        self.metrics.uploaded(self.clock.now_ms());
        Ok(size_bytes)
    }

    /// Writes the object to a local file, whose directories are made, with bounded memory.
    /// Returns its size. After an error a part of the file may be there.
    pub async fn get_file(&self, key: &str, file: &FilePath) -> Result<u64, BucketError> {
        let path = self.path(key)?;
        let local = |source| BucketError::LocalFile { path: file.to_owned(), source };
        if let Some(dir) = file.parent() {
            tokio::fs::create_dir_all(dir).await.map_err(local)?;
        }
        let mut writer = tokio::fs::File::create(file).await.map_err(local)?;
        let object = self.measured("get", key, self.store.get(&path)).await?;
        let expected_bytes = object.meta.size;
        let mut parts = object.into_stream();
        let mut size_bytes = 0;
        while let Some(part) = self.next_part(key, &mut parts).await? {
            size_bytes += part.len() as u64;
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
        match self.measured("delete", key, self.store.delete(&path)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// The names directly below `prefix` that have something below them ("directories").
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let path = self.path(prefix)?;
        let listed = self.measured("iter", prefix, self.store.list_with_delimiter(Some(&path)));
        let prefixes = listed.await?.common_prefixes;
        let mut names: Vec<String> =
            prefixes.iter().filter_map(|p| Some(p.filename()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// All objects below `prefix`, in order of their keys relative to it.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, BucketError> {
        let path = self.path(prefix)?;
        let collect = async {
            let mut objects = Vec::new();
            let mut stream = self.store.list(Some(&path));
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

    fn path(&self, key: &str) -> Result<Path, BucketError> {
        let full = match (self.storage_prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        };
        // `parse` keeps characters such as `*`, which tenant ids may hold; `from` would escape.
        Path::parse(&full).map_err(|_| BucketError::InvalidKey(full))
    }

    async fn measured<T>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, BucketError> {
        let start = self.clock.monotonic();
        let result = work.await;
        let took = self.clock.monotonic().saturating_sub(start);
        let is_missing = matches!(&result, Err(object_store::Error::NotFound { .. }));
        self.metrics.observe(operation, took, result.is_err() && !is_missing);
        result.map_err(|source| {
            let key = key.to_owned();
            if is_missing {
                BucketError::NotFound { operation, key }
            } else {
                BucketError::Storage { operation, key, source }
            }
        })
    }
}

fn open_filesystem(dir: &FilePath) -> Result<LocalFileSystem, BucketError> {
    let local = |source| BucketError::LocalFile { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(local)?;
    let store = LocalFileSystem::new_with_prefix(dir).map_err(|source| BucketError::Storage {
        operation: "open",
        key: dir.display().to_string(),
        source,
    })?;
    Ok(store.with_fsync(true).with_automatic_cleanup(true))
}

/// Up to [`PART_BYTES`] of a file; empty at its end.
async fn read_part(reader: &mut tokio::fs::File) -> std::io::Result<Bytes> {
    use tokio::io::AsyncReadExt as _;
    let mut part = Vec::new();
    let mut limited = reader.take(PART_BYTES as u64);
    limited.read_to_end(&mut part).await?;
    Ok(part.into())
}

fn object_info(key: String, meta: &object_store::ObjectMeta) -> ObjectInfo {
    ObjectInfo {
        key,
        size_bytes: meta.size,
        last_modified_ms: meta.last_modified.timestamp_millis(),
    }
}
