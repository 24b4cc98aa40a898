//! Why a query has no result, in the classes of Prometheus' HTTP API.

use model::{Interrupted, LimitError, StorageError};
use thiserror::Error;

/// Why a query has no result.
#[derive(Debug, Clone, Error)]
pub enum QueryError {
    /// The query makes no sense as it is asked.
    #[error("{0}")]
    BadData(String),
    /// The query makes sense, but not with this data or these parameters.
    #[error("{0}")]
    Execution(String),
    /// More samples at one time than the engine allows.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The query was cancelled, usually because its client went away.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The query's time was up.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// A limit of the query was reached.
    #[error(transparent)]
    Limit(LimitError),
    /// Storage failed.
    #[error("expanding series: {0}")]
    Storage(StorageError),
    /// A fault of the engine itself.
    #[error("{0}")]
    Internal(String),
}

/// Prometheus' `errorType` of a failed query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `bad_data`
    BadData,
    /// `execution`
    Execution,
    /// `canceled`
    Canceled,
    /// `timeout`
    Timeout,
    /// `internal`
    Internal,
}

impl ErrorKind {
    /// As it stands in the JSON answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

impl QueryError {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadData(_) | Self::Storage(StorageError::BadRequest(_)) => ErrorKind::BadData,
            Self::Execution(_)
            | Self::TooManySamples
            | Self::Limit(_)
            | Self::Storage(StorageError::Refused(_)) => ErrorKind::Execution,
            Self::Canceled => ErrorKind::Canceled,
            Self::TimedOut => ErrorKind::Timeout,
            Self::Storage(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution(message.into())
    }
}

impl From<Interrupted> for QueryError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Cancelled => Self::Canceled,
            Interrupted::TimedOut => Self::TimedOut,
        }
    }
}

impl From<LimitError> for QueryError {
    fn from(limit: LimitError) -> Self {
        Self::Limit(limit)
    }
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Limit(limit) => Self::Limit(limit),
            StorageError::Interrupted(interrupted) => interrupted.into(),
            other => Self::Storage(other),
        }
    }
}
