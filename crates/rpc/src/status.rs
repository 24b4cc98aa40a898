//! Errors as gRPC statuses and back. Codes and details are those of Mimir's ingester.

use bytes::Bytes;
use model::{LimitError, StorageError, TenantId};
use prost::Message as _;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};
use wire::client::{PushError, PushErrorCause};

use crate::messages::common::{Any, ErrorDetails, RpcStatus};

/// Names the tenant in a request's metadata.
const TENANT_KEY: &str = "x-scope-orgid";
/// The same once more: what Mimir's store-gateway goes by.
const BLOCKS_TENANT_KEY: &str = "__org_id__";
const DETAILS_TYPE: &str = "type.googleapis.com/cortexpb.ErrorDetails";
/// What stands in the place of gRPC's code where asking another store-gateway would be no use.
pub(crate) const UNPROCESSABLE: i32 = 422;

/// The tenant of a request.
pub(crate) fn tenant_of(metadata: &MetadataMap) -> Result<TenantId, Status> {
    let value = metadata.get(TENANT_KEY).and_then(|value| value.to_str().ok());
    let value = value.ok_or_else(|| Status::unauthenticated("no org id"))?;
    TenantId::new(value).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A request in the tenant's name.
pub(crate) fn for_tenant<T>(tenant: &TenantId, message: T) -> Result<tonic::Request<T>, Status> {
    let mut request = tonic::Request::new(message);
    let value: Result<AsciiMetadataValue, _> = tenant.as_str().parse();
    let value = value.map_err(|_| Status::invalid_argument("the tenant id cannot be sent"))?;
    request.metadata_mut().insert(BLOCKS_TENANT_KEY, value.clone());
    request.metadata_mut().insert(TENANT_KEY, value);
    Ok(request)
}

/// A failed push as a status.
pub(crate) fn push_status(error: &PushError) -> Status {
    use PushErrorCause as Cause;
    let code = match error.cause {
        Cause::BadData => Code::InvalidArgument,
        Cause::TenantLimit => Code::FailedPrecondition,
        Cause::ServiceUnavailable | Cause::InstanceLimit | Cause::CircuitBreakerOpen => {
            Code::Unavailable
        }
        Cause::MethodNotAllowed => Code::Unimplemented,
        _ => Code::Internal,
    };
    let details = ErrorDetails { cause: error.cause as i32, soft: error.is_soft };
    let details =
        Any { type_url: DETAILS_TYPE.to_owned(), value: Bytes::from(details.encode_to_vec()) };
    let message = error.message.to_string();
    let status = RpcStatus { code: code as i32, message: message.clone(), details: vec![details] };
    Status::with_details(code, message, Bytes::from(status.encode_to_vec()))
}

/// A status as a failed push. Without Mimir's details it is a failure of the server.
pub(crate) fn push_error(status: &Status) -> PushError {
    let decoded = details_of(status).unwrap_or_default();
    let details = decoded.details.iter().find(|any| any.type_url == DETAILS_TYPE);
    let details = details.and_then(|any| ErrorDetails::decode(&any.value[..]).ok());
    let message = status.message().to_owned();
    match details {
        Some(ErrorDetails { cause, soft }) => PushError {
            cause: PushErrorCause::from_number(cause),
            is_soft: soft,
            message: message.into(),
        },
        None if status.code() == Code::Unavailable => {
            PushError::hard(PushErrorCause::ServiceUnavailable, message)
        }
        None => PushError::hard(PushErrorCause::Unknown, message),
    }
}

/// A failed query as a status. Limits keep their text, which names the limit's error id.
pub(crate) fn storage_status(error: &StorageError) -> Status {
    let code = match error {
        StorageError::Limit(_) | StorageError::Refused(_) => Code::ResourceExhausted,
        StorageError::Interrupted(_) => Code::Cancelled,
        StorageError::BadRequest(_) => Code::InvalidArgument,
        StorageError::Unavailable(_) => Code::Unavailable,
        StorageError::Corrupted(_) | StorageError::Internal(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// The details of a status, where there are any.
pub(crate) fn details_of(status: &Status) -> Option<RpcStatus> {
    let details = Some(status.details()).filter(|details| !details.is_empty())?;
    RpcStatus::decode(details).ok()
}

/// A status as a failed query.
pub(crate) fn storage_error(status: &Status) -> StorageError {
    let message = status.message().to_owned();
    if let Some(limit) = LimitError::from_text(&message) {
        return StorageError::Limit(limit);
    }
    if details_of(status).is_some_and(|details| details.code == UNPROCESSABLE) {
        return StorageError::Refused(message);
    }
    match status.code() {
        Code::InvalidArgument => StorageError::BadRequest(message),
        Code::Internal | Code::DataLoss => StorageError::Internal(message),
        _ => StorageError::Unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    use model::LimitKind;

    use super::*;

    /// Mimir's ingester goes by the one name, its store-gateway by the other.
    #[test]
    fn a_request_names_its_tenant_for_both_kinds_of_servers() {
        let request = for_tenant(&TenantId::new("team").unwrap(), ()).unwrap();
        for key in ["x-scope-orgid", "__org_id__"] {
            assert_eq!(request.metadata().get(key).unwrap(), "team", "{key}");
        }
    }

    #[test]
    fn a_failed_push_comes_back_as_it_was() {
        for cause in 0..=13 {
            let error = PushError {
                cause: PushErrorCause::from_number(cause),
                is_soft: cause % 2 == 0,
                message: "some text".into(),
            };
            assert_eq!(push_error(&push_status(&error)), error);
        }
        let foreign = Status::unavailable("gone");
        assert_eq!(push_error(&foreign).cause, PushErrorCause::ServiceUnavailable);
    }

    #[test]
    fn a_limit_comes_back_as_the_same_limit() {
        for kind in [
            LimitKind::Series,
            LimitKind::Chunks,
            LimitKind::EstimatedChunks,
            LimitKind::ChunkBytes,
            LimitKind::Memory,
            LimitKind::StoreRequestMemory,
            LimitKind::StoreMemory,
        ] {
            let error = StorageError::Limit(LimitError { kind, limit: 12_345 });
            let back = storage_error(&storage_status(&error));
            assert_eq!(back.to_string(), error.to_string());
            assert!(matches!(back, StorageError::Limit(_)));
        }
    }
}
