//! Object storage: the tenant layout of a blocks bucket, block uploads and reads.
//!
//! Called by `ingester` (uploads) and `store_gateway` (reads). Everything is a key below the
//! tenant's id, exactly as Mimir lays it out, so that both can work on one bucket:
//!
//! ```text
//! <tenant>/<block>/meta.json      written last on upload: a block without it does not exist
//! <tenant>/<block>/index
//! <tenant>/<block>/chunks/000001 ...
//! <tenant>/markers/...            tenant-wide copies of deletion marks
//! ```

mod blocks;
mod error;
mod metrics;
mod store;
mod upload;

pub use blocks::{BlockPaths, META_FILE, TenantBucket};
pub use error::BucketError;
pub use metrics::BucketMetrics;
pub use store::{Bucket, BucketOptions, ObjectInfo};
pub use upload::{UploadedFile, upload_block};
