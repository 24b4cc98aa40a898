//! Reading an object only when it has changed, and asking whether the bucket is there at all.
//! Called by readers of the bucket index.

use bytes::Bytes;
use object_store::{GetOptions, ObjectStore as _};

use super::Bucket;
use crate::BucketError;

/// What a conditional read has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conditional {
    /// The object is what it was.
    Unchanged,
    /// The object, and its entity tag where the storage has such.
    Changed(Bytes, Option<String>),
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
        let store = &self.backend.store;
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
        let Some(dir) = &self.backend.directory else {
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
}
