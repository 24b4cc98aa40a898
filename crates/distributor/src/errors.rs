//! The texts of the errors that concern a request as a whole, and the one mapping from a push
//! error to an HTTP status.

use http::StatusCode;
use wire::client::{PushError, PushErrorCause};
use wire::remote_write::{DecodeError, SnappyError};

use crate::tenant::Prepared;

/// The status that a client gets for a push error.
pub(crate) fn status_of(error: &PushError) -> StatusCode {
    match error.cause {
        PushErrorCause::ReplicasDidNotMatch => StatusCode::ACCEPTED,
        PushErrorCause::TooManyClusters | PushErrorCause::BadData | PushErrorCause::TenantLimit => {
            StatusCode::BAD_REQUEST
        }
        PushErrorCause::IngestionRateLimited
        | PushErrorCause::RequestRateLimited
        | PushErrorCause::ActiveSeriesLimited => StatusCode::TOO_MANY_REQUESTS,
        PushErrorCause::InstanceLimit
        | PushErrorCause::TsdbUnavailable
        | PushErrorCause::CircuitBreakerOpen => StatusCode::SERVICE_UNAVAILABLE,
        PushErrorCause::MethodNotAllowed => StatusCode::NOT_IMPLEMENTED,
        PushErrorCause::Unknown | PushErrorCause::ServiceUnavailable | PushErrorCause::TooBusy => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// A body that is too large, before or after decompression.
pub(crate) fn body_too_large(size_bytes: Option<usize>, limit_bytes: usize) -> PushError {
    let size = size_bytes.map(|size| format!(" of {size} bytes")).unwrap_or_default();
    PushError::hard(
        PushErrorCause::BadData,
        format!(
            "the incoming push request has been rejected because its message size{size} is larger \
             than the allowed limit of {limit_bytes} bytes \
             (err-mimir-distributor-max-write-message-size). To adjust the related limit, \
             configure -distributor.max-recv-msg-size, or contact your service administrator."
        ),
    )
}

pub(crate) fn snappy(error: &SnappyError, limit_bytes: usize) -> PushError {
    match error {
        SnappyError::TooLarge { size_bytes, .. } => body_too_large(Some(*size_bytes), limit_bytes),
        SnappyError::Corrupt => PushError::hard(PushErrorCause::BadData, error.to_string()),
    }
}

pub(crate) fn decode(error: &DecodeError) -> PushError {
    let message = format!("failed to decode the remote write request: {error}");
    PushError::hard(PushErrorCause::BadData, message)
}

pub(crate) fn request_rate(prepared: &Prepared) -> PushError {
    let rate =
        prepared.request_rate.map_or((0.0, 0.0), |rate| (rate.per_second, rate.burst_tokens()));
    PushError::hard(
        PushErrorCause::RequestRateLimited,
        format!(
            "the request has been rejected because the tenant exceeded the request rate limit, \
             set to {} requests/s across all distributors with a maximum allowed burst of {} \
             (err-mimir-tenant-max-request-rate). To adjust the related per-tenant limits, \
             configure -distributor.request-rate-limit and -distributor.request-burst-size, or \
             contact your service administrator.",
            rate.0, rate.1
        ),
    )
}

/// More items in one request than fit into the bucket of this distributor.
pub(crate) fn ingestion_burst(burst: f64, items: usize) -> PushError {
    PushError::hard(
        PushErrorCause::IngestionRateLimited,
        format!(
            "the request has been rejected because the tenant exceeded the ingestion burst size \
             limit, set to {burst}, with {items} items. This limit is applied on the total number \
             of samples, exemplars and metadata received across all distributors \
             (err-mimir-tenant-max-ingestion-rate). To adjust the related per-tenant limit, \
             configure -distributor.ingestion-burst-size, or contact your service administrator."
        ),
    )
}

pub(crate) fn ingestion_rate(prepared: &Prepared) -> PushError {
    PushError::hard(
        PushErrorCause::IngestionRateLimited,
        format!(
            "the request has been rejected because the tenant exceeded the ingestion rate limit, \
             set to {} items/s with a maximum allowed burst of {}. This limit is applied on the \
             total number of samples, exemplars and metadata received across all distributors \
             (err-mimir-tenant-max-ingestion-rate). To adjust the related per-tenant limits, \
             configure -distributor.ingestion-rate-limit and -distributor.ingestion-burst-size, \
             or contact your service administrator.",
            prepared.item_rate.per_second,
            prepared.item_rate.burst_tokens()
        ),
    )
}

pub(crate) fn instance_ingestion_rate() -> PushError {
    PushError::hard(
        PushErrorCause::InstanceLimit,
        "the write request has been rejected because the distributor exceeded the ingestion rate \
         limit (err-mimir-distributor-max-ingestion-rate). To adjust the related limit, configure \
         -distributor.instance-limits.max-ingestion-rate, or contact your service administrator.",
    )
}

pub(crate) fn too_many_inflight() -> PushError {
    PushError::hard(
        PushErrorCause::InstanceLimit,
        "the write request has been rejected because the distributor exceeded the allowed number \
         of inflight push requests (err-mimir-distributor-max-inflight-push-requests). To adjust \
         the related limit, configure -distributor.instance-limits.max-inflight-push-requests, \
         or contact your service administrator.",
    )
}

pub(crate) fn too_many_inflight_bytes() -> PushError {
    PushError::hard(
        PushErrorCause::InstanceLimit,
        "the write request has been rejected because the distributor exceeded the allowed total \
         size in bytes of inflight push requests \
         (err-mimir-distributor-max-inflight-push-requests-bytes). To adjust the related limit, \
         configure -distributor.instance-limits.max-inflight-push-requests-bytes, or contact \
         your service administrator.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the reference: cause to status.
    #[test]
    fn statuses_by_cause() {
        for (cause, want) in [
            (PushErrorCause::ReplicasDidNotMatch, 202),
            (PushErrorCause::BadData, 400),
            (PushErrorCause::TenantLimit, 400),
            (PushErrorCause::TooManyClusters, 400),
            (PushErrorCause::IngestionRateLimited, 429),
            (PushErrorCause::RequestRateLimited, 429),
            (PushErrorCause::InstanceLimit, 503),
            (PushErrorCause::TsdbUnavailable, 503),
            (PushErrorCause::MethodNotAllowed, 501),
            (PushErrorCause::TooBusy, 500),
            (PushErrorCause::Unknown, 500),
        ] {
            assert_eq!(status_of(&PushError::hard(cause, "x")).as_u16(), want, "{cause:?}");
        }
    }
}
