//! Object storage: the tenant layout of a blocks bucket, block uploads and reads.
//!
//! Called by `ingester` (uploads), `store_gateway` (reads) and `compactor` (both, marks, deletion). Everything is a key below the
//! tenant's id, exactly as Mimir lays it out, so that both can work on one bucket:
//!
//! ```text
//! <tenant>/<block>/meta.json      written last on upload: a block without it does not exist
//! <tenant>/<block>/index
//! <tenant>/<block>/chunks/000001 ...
//! <tenant>/<block>/deletion-mark.json, no-compact-mark.json
//! <tenant>/markers/...            tenant-wide copies of the marks, the tenant's own mark
//! <tenant>/bucket-index.json.gz   what stands there, kept up to date by the compactor
//! ```

mod backend;
mod blocks;
pub mod cache;
pub mod caching;
mod conditional;
mod error;
mod index;
mod index_loader;
mod marks;
mod metrics;
mod store;
mod upload;

pub mod testing;

pub use backend::{
    AzureOptions, BucketLookup, BucketOptions, GcsOptions, Hidden, HttpOptions, S3Options, Sse,
};
pub use blocks::{BlockPaths, META_FILE, TenantBucket};
pub use conditional::{Conditional, Expected, ObjectVersion, Versioned};
pub use error::BucketError;
pub use index::{BUCKET_INDEX_FILE, BlockDeletionMark, BucketIndex, IndexedBlock, SegmentsFormat};
pub use index_loader::{IndexError, IndexLoader, IndexLoaderOptions};
pub use marks::{
    BlockMarks, DeletionMark, MarkKind, NoCompactMark, NoCompactReason, TenantDeletionMark,
};
pub use metrics::BucketMetrics;
pub use store::{Bucket, ObjectInfo};
pub use upload::{UploadedFile, upload_block};
