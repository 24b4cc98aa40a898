//! Why the bucket could not do what it was asked to.

/// An operation on the bucket failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is no such object.
    #[error("{operation} {key}: object not found")]
    NotFound {
        /// What was attempted.
        operation: &'static str,
        /// On which key.
        key: String,
    },
    /// Somebody else changed the object meanwhile; nothing was written.
    #[error("{operation} {key}: the object has changed meanwhile")]
    Conflict {
        /// What was attempted.
        operation: &'static str,
        /// On which key.
        key: String,
    },
    /// A key that the bucket cannot hold.
    #[error("invalid object key {0:?}")]
    InvalidKey(String),
    /// Anything else that the storage says.
    #[error("{operation} {key}: {source}")]
    Storage {
        /// What was attempted.
        operation: &'static str,
        /// On which key.
        key: String,
        /// What the storage says.
        source: object_store::Error,
    },
    /// A local file could not be read for an upload.
    #[error("read {path}: {source}")]
    LocalFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS cannot be spoken as the options say.
    #[error(transparent)]
    Tls(#[from] rt::tls::TlsError),
    /// An object does not hold what it should.
    #[error("{key}: {reason}")]
    Malformed {
        /// The object.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl BucketError {
    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether nothing was written because somebody else changed the object meanwhile.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the storage does not know how to do it.
    pub fn is_not_implemented(&self) -> bool {
        use object_store::Error;
        let Self::Storage { source, .. } = self else { return false };
        match source {
            Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
            // What the servers of S3's protocol say; there is no variant for it.
            other => other.to_string().contains("<Code>NotImplemented</Code>"),
        }
    }
}
