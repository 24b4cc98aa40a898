//! Errors of the query API, and the one mapping to Prometheus' error types and HTTP statuses.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::StorageError;
use promql::{ErrorKind, QueryError};

use crate::json::push_string;

/// Prometheus' `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorType {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    TooManyRequests,
    TooLargeEntry,
    Unavailable,
}

impl ErrorType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::TooManyRequests => "too_many_requests",
            Self::TooLargeEntry => "too_large_entry",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // 499, "client closed request": the client does not see it, logs and metrics do.
            Self::Canceled => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLargeEntry => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A request of the query API failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) error_type: ErrorType,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// A parameter with a value that cannot be used.
    pub(crate) fn invalid_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.error_type.status()
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let error_type = match (&error, error.kind()) {
            (QueryError::Storage(StorageError::Unavailable(_)), _) => ErrorType::Unavailable,
            (_, ErrorKind::BadData) => ErrorType::BadData,
            (_, ErrorKind::Execution) => ErrorType::Execution,
            (_, ErrorKind::Canceled) => ErrorType::Canceled,
            (_, ErrorKind::Timeout) => ErrorType::Timeout,
            (_, ErrorKind::Internal) => ErrorType::Internal,
        };
        // What the engine finds wrong with an expression, after the parser took it.
        if matches!(error, QueryError::BadData(_)) {
            return Self::invalid_parameter("query", error);
        }
        Self::new(error_type, error.to_string())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        QueryError::from(error).into()
    }
}

impl From<rt::ComputeError> for ApiError {
    fn from(error: rt::ComputeError) -> Self {
        let error_type = match error {
            rt::ComputeError::QueueFull { .. } => ErrorType::TooManyRequests,
            rt::ComputeError::Stopped(_) => ErrorType::Unavailable,
            rt::ComputeError::Panicked(_) => ErrorType::Internal,
        };
        let message = match error {
            rt::ComputeError::QueueFull { .. } => "too many outstanding requests".to_owned(),
            other => other.to_string(),
        };
        Self::new(error_type, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(self.message.len() + 64);
        body.extend_from_slice(br#"{"status":"error","errorType":"#);
        push_string(&mut body, self.error_type.as_str());
        body.extend_from_slice(br#","error":"#);
        push_string(&mut body, &self.message);
        body.push(b'}');
        let mut response = (self.status(), Body::from(body)).into_response();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
