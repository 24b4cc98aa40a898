//! Where the objects of a tenant's blocks stand, and reading them.

use bytes::Bytes;
use model::TenantId;
use std::ops::Range;
use ulid::Ulid;

use crate::{Bucket, BucketError};

/// The file that makes a block exist.
pub const META_FILE: &str = "meta.json";

/// The part of a bucket that belongs to one tenant.
#[derive(Clone)]
pub struct TenantBucket {
    bucket: Bucket,
    tenant: TenantId,
}

/// The keys of one block.
#[derive(Debug, Clone)]
pub struct BlockPaths {
    prefix: String,
}

impl BlockPaths {
    /// The block's description.
    pub fn meta(&self) -> String {
        self.file(META_FILE)
    }

    /// The block's index.
    pub fn index(&self) -> String {
        self.file("index")
    }

    /// A chunk segment file by its number in references, from 0.
    pub fn chunks(&self, segment: u32) -> String {
        self.file(&format!("chunks/{:06}", u64::from(segment) + 1))
    }

    /// Any file of the block.
    pub fn file(&self, relative: &str) -> String {
        format!("{}/{relative}", self.prefix)
    }
}

impl TenantBucket {
    /// The part of `bucket` below the tenant's id.
    pub fn new(bucket: Bucket, tenant: TenantId) -> Self {
        Self { bucket, tenant }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The whole bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The keys of a block.
    pub fn block(&self, id: Ulid) -> BlockPaths {
        BlockPaths { prefix: format!("{}/{id}", self.tenant) }
    }

    /// The ids of everything that looks like a block, complete or not.
    pub async fn block_ids(&self) -> Result<Vec<Ulid>, BucketError> {
        let names = self.bucket.list_dirs(self.tenant.as_str()).await?;
        Ok(names.iter().filter_map(|name| Ulid::from_string(name).ok()).collect())
    }

    /// The bytes of a block's `meta.json`; `None` for a block whose upload is not complete.
    pub async fn meta_json(&self, id: Ulid) -> Result<Option<Bytes>, BucketError> {
        match self.bucket.get(&self.block(id).meta()).await {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the block is complete in the bucket.
    pub async fn has_block(&self, id: Ulid) -> Result<bool, BucketError> {
        self.bucket.exists(&self.block(id).meta()).await
    }

    /// A part of one of a block's files.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        self.bucket.get_range(key, range).await
    }
}
