//! Writing an object only when nobody else has: storages do it by ETags; in a directory it is done
//! under a lock.

use bytes::Bytes;
use object_store::UpdateVersion;
use object_store::{ObjectStoreExt as _, PutMode, PutResult};

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

impl ObjectVersion {
    /// The entity tag, where the storage has such.
    pub fn e_tag(&self) -> Option<&str> {
        self.e_tag.as_deref()
    }
}

impl Bucket {
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
