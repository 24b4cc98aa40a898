//! The kinds of object storage that a bucket can be in, and opening them. Called by [`crate::Bucket`]
//! alone; nothing behind it knows which kind it is, but for what [`Backend`] says.

mod azure;
mod directory;
mod gcs;
mod http;
mod s3;
mod s3_uploads;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::{Attributes, BackoffConfig, ObjectStore, RetryConfig};

use crate::BucketError;

pub use azure::AzureOptions;
pub(crate) use directory::{lock as lock_directory, remove_staged};
pub use gcs::GcsOptions;
pub use http::HttpOptions;
pub use s3::{BucketLookup, S3Options, Sse};
pub(crate) use s3_uploads::UnfinishedUploads;

/// Where a bucket is.
#[derive(Debug, Clone)]
pub enum BucketOptions {
    /// A directory; made where it is missing. Writes are synced to the disk.
    Filesystem {
        /// The directory.
        dir: PathBuf,
        /// Stands before every key; empty for none.
        storage_prefix: String,
    },
    /// Amazon S3 and what speaks its protocol.
    S3 {
        /// Which bucket and how it is reached.
        s3: Box<S3Options>,
        /// Stands before every key; empty for none.
        storage_prefix: String,
    },
    /// Google Cloud Storage.
    Gcs {
        /// Which bucket and how it is reached.
        gcs: Box<GcsOptions>,
        /// Stands before every key; empty for none.
        storage_prefix: String,
    },
    /// Azure Blob Storage.
    Azure {
        /// Which container and how it is reached.
        azure: Box<AzureOptions>,
        /// Stands before every key; empty for none.
        storage_prefix: String,
    },
}

/// An opened storage and what differs between kinds.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Go with every object that is written.
    pub(crate) attributes: Attributes,
    /// Objects above this are uploaded in parts of this size.
    pub(crate) part_bytes: usize,
    /// The directory that is locked for conditional writes, where files are the storage.
    pub(crate) directory: Option<PathBuf>,
    /// Whether every operation is logged.
    pub(crate) is_traced: bool,
    /// Finds the parts of uploads that nobody has finished, where the storage has such.
    pub(crate) unfinished: Option<UnfinishedUploads>,
}

/// The size of parts where no option says otherwise, bytes.
const PART_BYTES: usize = 8 << 20;
/// Retries of a request where no option says otherwise.
const RETRIES: usize = 10;

impl Backend {
    /// A storage without anything special.
    pub(crate) fn plain(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            attributes: Attributes::new(),
            part_bytes: PART_BYTES,
            directory: None,
            is_traced: false,
            unfinished: None,
        }
    }
}

impl BucketOptions {
    /// What stands before every key.
    pub(crate) fn storage_prefix(&self) -> &str {
        match self {
            Self::Filesystem { storage_prefix, .. }
            | Self::S3 { storage_prefix, .. }
            | Self::Gcs { storage_prefix, .. }
            | Self::Azure { storage_prefix, .. } => storage_prefix,
        }
    }

    /// Opens the storage. Nothing is asked of it yet.
    pub(crate) fn open(&self) -> Result<Backend, BucketError> {
        match self {
            Self::Filesystem { dir, .. } => directory::open(dir),
            Self::S3 { s3, .. } => s3::open(s3),
            Self::Gcs { gcs, .. } => gcs::open(gcs),
            Self::Azure { azure, .. } => azure::open(azure),
        }
    }
}

/// A text that must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides `text`.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "\"\"" } else { "\"********\"" })
    }
}

fn retries(max_retries: usize) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(3 * 60) }
}

fn cannot_open(what: &str) -> impl FnOnce(object_store::Error) -> BucketError {
    let key = what.to_owned();
    move |source| BucketError::Storage { operation: "open", key, source }
}
