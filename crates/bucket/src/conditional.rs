//! Reading an object only when it has changed and writing it only when nobody else has: storages
//! do both by ETags; in a directory the write is done under a lock. Called by readers and writers
//! of the bucket index.

use bytes::Bytes;
use object_store::{
    GetOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutResult, UpdateVersion,
};

use crate::backend::lock_directory;
use crate::{Bucket, BucketError};

/// Which version of an object somebody has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    e_tag: Option<String>,
    version: Option<String>,
}

/// An object and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// What the object holds.
    pub data: Bytes,
    /// Which version that is.
    pub version: ObjectVersion,
}

/// What must stand there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Nothing.
    Absent,
    /// This version.
    Version(&'a ObjectVersion),
}

/// What a conditional read has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conditional {
    /// The object is what it was.
    Unchanged,
    /// The object, and its entity tag where the storage has such.
    Changed(Bytes, Option<String>),
}

impl ObjectVersion {
    /// The entity tag, where the storage has such.
    pub fn e_tag(&self) -> Option<&str> {
        self.e_tag.as_deref()
    }
}

impl Bucket {
    /// The object, unless its entity tag is still `known`.
    pub async fn get_if_changed(
        &self,
        key: &str,
        known: Option<&str>,
    ) -> Result<Conditional, BucketError> {
        let path = self.path(key)?;
        let options =
            GetOptions { if_none_match: known.map(str::to_owned), ..GetOptions::default() };
        let store = &self.backend().store;
        let read = async {
            match store.get_opts(&path, options).await {
                Ok(found) => {
                    let tag = found.meta.e_tag.clone();
                    // Not everything that speaks S3 knows the condition.
                    if known.is_some() && tag.as_deref() == known {
                        return Ok(Conditional::Unchanged);
                    }
                    Ok(Conditional::Changed(found.bytes().await?, tag))
                }
                Err(object_store::Error::NotModified { .. }) => Ok(Conditional::Unchanged),
                Err(error) => Err(error),
            }
        };
        self.measured("get", key, read).await
    }

    /// Fails when there is no bucket. A listing cannot tell: of a directory that is gone it is
    /// empty.
    pub async fn check_reachable(&self) -> Result<(), BucketError> {
        let Some(dir) = &self.backend().directory else {
            return self.read_dirs("").await.map(drop);
        };
        match tokio::fs::metadata(dir).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(BucketError::Malformed {
                key: dir.display().to_string(),
                reason: "the bucket is no directory".to_owned(),
            }),
            Err(source) => Err(BucketError::LocalFile { path: dir.clone(), source }),
        }
    }

    /// The whole object with its version; caches are not asked.
    pub async fn get_versioned(&self, key: &str) -> Result<Versioned, BucketError> {
        let path = self.path(key)?;
        let get = async {
            let found = self.backend().store.get(&path).await?;
            let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
            let version = ObjectVersion { e_tag, version };
            Ok(Versioned { data: found.bytes().await?, version })
        };
        let found = self.measured("get", key, get).await?;
        self.metrics().fetched("get", found.data.len());
        Ok(found)
    }

    /// Writes the object as a whole if what stands there is what was expected; otherwise it fails
    /// with [`BucketError::Conflict`] and nothing is written.
    pub async fn put_if(
        &self,
        key: &str,
        data: Bytes,
        expected: Expected<'_>,
    ) -> Result<ObjectVersion, BucketError> {
        let result = match (&self.backend().directory, expected) {
            (_, Expected::Absent) => self.put_mode(key, data, PutMode::Create).await?,
            (None, Expected::Version(version)) => {
                let ObjectVersion { e_tag, version } = version.clone();
                self.put_mode(key, data, PutMode::Update(UpdateVersion { e_tag, version })).await?
            }
            (Some(dir), Expected::Version(version)) => {
                let _lock = lock_directory(dir).await?;
                self.compare(key, version).await?;
                self.put_mode(key, data, PutMode::Overwrite).await?
            }
        };
        let PutResult { e_tag, version, .. } = result;
        Ok(ObjectVersion { e_tag, version })
    }

    async fn compare(&self, key: &str, expected: &ObjectVersion) -> Result<(), BucketError> {
        let path = self.path(key)?;
        let head = self.measured("attributes", key, self.backend().store.head(&path)).await;
        match head {
            Ok(meta) if meta.e_tag.is_some() && meta.e_tag == expected.e_tag => Ok(()),
            Err(error) if !error.is_not_found() => Err(error),
            _ => Err(BucketError::Conflict { operation: "upload", key: key.to_owned() }),
        }
    }
}
