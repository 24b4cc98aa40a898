//! Why a push failed, in the classes that Mimir's `ErrorDetails` knows.

use std::borrow::Cow;

/// The class of a push error. Numbers are those of Mimir's wire: persisted, keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum PushErrorCause {
    /// Not classified: a 5xx.
    Unknown = 0,
    /// A sample of a replica that is not the elected one.
    ReplicasDidNotMatch = 1,
    /// Too many HA clusters.
    TooManyClusters = 2,
    /// A sample, series or request that is not valid: 400.
    BadData = 3,
    /// The tenant's ingestion rate: 429.
    IngestionRateLimited = 4,
    /// The tenant's request rate: 429.
    RequestRateLimited = 5,
    /// A limit of this process: 503.
    InstanceLimit = 6,
    /// The service is not running: 5xx.
    ServiceUnavailable = 7,
    /// The tenant's TSDB is closing: 503.
    TsdbUnavailable = 8,
    /// Too much work at the moment: 5xx.
    TooBusy = 9,
    /// The circuit breaker is open: 503.
    CircuitBreakerOpen = 10,
    /// The call is not allowed: 501.
    MethodNotAllowed = 11,
    /// A limit of the tenant (series, metadata): 400.
    TenantLimit = 12,
    /// The limit of active series: 429.
    ActiveSeriesLimited = 13,
}

impl PushErrorCause {
    const ALL: [Self; 14] = [
        Self::Unknown,
        Self::ReplicasDidNotMatch,
        Self::TooManyClusters,
        Self::BadData,
        Self::IngestionRateLimited,
        Self::RequestRateLimited,
        Self::InstanceLimit,
        Self::ServiceUnavailable,
        Self::TsdbUnavailable,
        Self::TooBusy,
        Self::CircuitBreakerOpen,
        Self::MethodNotAllowed,
        Self::TenantLimit,
        Self::ActiveSeriesLimited,
    ];

    /// The class of a number on the wire; numbers that are not known are not classified.
    pub fn from_number(number: i32) -> Self {
        Self::ALL.into_iter().find(|cause| *cause as i32 == number).unwrap_or(Self::Unknown)
    }
}

/// A push failed. The text is what the client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PushError {
    /// Its class.
    pub cause: PushErrorCause,
    /// Whether the valid rest of the request was stored.
    pub is_soft: bool,
    /// The text, with its `err-mimir-*` id where there is one.
    pub message: Cow<'static, str>,
}

impl PushError {
    /// An error that left the rest of the request stored.
    pub fn soft(cause: PushErrorCause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, is_soft: true, message: message.into() }
    }

    /// An error after which the request must be taken as not stored.
    pub fn hard(cause: PushErrorCause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, is_soft: false, message: message.into() }
    }
}
