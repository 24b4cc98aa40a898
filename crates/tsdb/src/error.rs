//! The errors of this crate: [`DecodeError`] for bytes that are not what they should be (small,
//! made in hot decoders) and [`TsdbError`] for everything that leaves a module.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why bytes could not be decoded. Cheap to make and to pass on; where it happened is added by
/// [`TsdbError::corrupt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The data ends inside a value.
    #[error("unexpected end of data")]
    Truncated,
    /// A variable-length number does not fit its type.
    #[error("a variable-length number is too large")]
    VarintOverflow,
    /// A checksum does not match its data.
    #[error("checksum mismatch: expected {expected:08x}, actual {actual:08x}")]
    Checksum {
        /// The stored checksum.
        expected: u32,
        /// The checksum of the data.
        actual: u32,
    },
    /// A text is not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// Anything else that the format does not allow.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Why an operation of the TSDB failed.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// A file operation failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, for example `open`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Stored data is damaged.
    #[error("corrupt {what}: {source}")]
    Corrupt {
        /// Which piece of data: file, block, position.
        what: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The caller broke a rule of the format (order, size, range).
    #[error("{0}")]
    Invalid(String),
    /// A bound of the format or of the configuration was reached.
    #[error("{0}")]
    TooLarge(String),
    /// The table of postings offsets of an index would be larger than its format allows: there
    /// are too many label values.
    #[error("postings offsets of an index take more than 4 GiB")]
    PostingsOffsetsTooLarge,
}

impl TsdbError {
    /// A failed file operation.
    pub fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    /// Damaged data; `what` says where.
    pub fn corrupt(what: impl fmt::Display, source: DecodeError) -> Self {
        Self::Corrupt { what: what.to_string(), source }
    }

    /// Whether damaged data is the reason.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

impl From<TsdbError> for model::StorageError {
    fn from(error: TsdbError) -> Self {
        match error {
            TsdbError::Corrupt { what, source } => Self::Corrupted(format!("{what}: {source}")),
            TsdbError::Io { .. }
            | TsdbError::Invalid(_)
            | TsdbError::TooLarge(_)
            | TsdbError::PostingsOffsetsTooLarge => Self::Internal(error.to_string()),
        }
    }
}
