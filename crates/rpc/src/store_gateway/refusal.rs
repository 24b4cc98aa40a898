//! Refusals that no other store-gateway would mend, in Mimir's way: with the status of HTTP that
//! they end as in the place of gRPC's code. Mimir's queriers ask another replica after any other
//! code, and may then answer without the block. Wrapped around the answers of the server.
//!
//! ```text
//! storage error -> Status, 422 in its details -> headers or trailers with `grpc-status: 422`
//! ```
//!
//! `tonic` knows gRPC's own codes alone, so the number is put in where the answer leaves. Clients in
//! Go refuse details whose code is not that of the trailer; here both are the same.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use model::StorageError;
use prost::Message as _;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::messages::common::RpcStatus;
use crate::service::HttpAnswer;
use crate::status::{UNPROCESSABLE, details_of, storage_status};

/// A failed query as a status.
pub(super) fn blocks_status(error: &StorageError) -> Status {
    if !matches!(error, StorageError::Limit(_) | StorageError::Refused(_)) {
        return storage_status(error);
    }
    let message = error.to_string();
    let details = RpcStatus { code: UNPROCESSABLE, message: message.clone(), details: Vec::new() };
    Status::with_details(Code::ResourceExhausted, message, Bytes::from(details.encode_to_vec()))
}

/// The answer with the number in the place of the code.
pub(super) fn numbered(mut answer: HttpAnswer) -> HttpAnswer {
    number(answer.headers_mut());
    answer.map(|body| {
        Body::new(body.map_frame(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                number(trailers);
            }
            frame
        }))
    })
}

fn number(headers: &mut HeaderMap) {
    let status = Status::from_header_map(headers);
    if status.and_then(|status| details_of(&status)).is_some_and(|it| it.code == UNPROCESSABLE) {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(UNPROCESSABLE));
    }
}

#[cfg(test)]
mod tests {
    use model::{LimitError, LimitKind};

    use super::*;
    use crate::status::storage_error;

    /// As it is sent where nothing was sent before, and behind messages.
    async fn sent(error: &StorageError) -> [HeaderMap; 2] {
        let status = blocks_status(error);
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        let messages = http_body_util::Full::new(Bytes::from_static(b"messages"));
        let messages = messages.with_trailers(std::future::ready(Some(Ok(trailers))));
        let streamed = numbered(http::Response::new(Body::new(messages)));
        let collected = streamed.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        assert_eq!(collected.to_bytes(), "messages");
        [numbered(status.into_http()).headers().clone(), trailers]
    }

    #[tokio::test]
    async fn a_refusal_that_no_other_store_gateway_mends_is_sent_as_422() {
        let limit = LimitError { kind: LimitKind::StoreRequestMemory, limit: 5 };
        for (error, want) in [
            (StorageError::Limit(limit), "422"),
            (StorageError::Refused("too long".to_owned()), "422"),
            (StorageError::Unavailable("gone".to_owned()), "14"),
            (StorageError::Internal("broken".to_owned()), "13"),
        ] {
            for headers in sent(&error).await {
                assert_eq!(headers[Status::GRPC_STATUS], want, "{error}");
                let back = storage_error(&Status::from_header_map(&headers).unwrap());
                assert_eq!(std::mem::discriminant(&back), std::mem::discriminant(&error));
                assert_eq!(back.to_string(), error.to_string());
            }
        }
    }

    /// Clients in Go take a code that is not that of the details for an error of the server.
    #[tokio::test]
    async fn the_details_have_the_number_of_the_status() {
        for headers in sent(&StorageError::Refused("no".to_owned())).await {
            let details = details_of(&Status::from_header_map(&headers).unwrap()).unwrap();
            assert_eq!((details.code, &*details.message), (422, "no"));
        }
    }

    /// Mimir's store-gateway sends no details.
    #[test]
    fn a_limit_of_a_mimir_is_known_by_its_text() {
        let mut headers = HeaderMap::new();
        headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("422"));
        let text = LimitError { kind: LimitKind::Series, limit: 20 }.to_string();
        let text = format!("rpc error: code = Code(422) desc = {text}");
        headers.insert("grpc-message", HeaderValue::from_str(&text).unwrap());
        let back = storage_error(&Status::from_header_map(&headers).unwrap());
        let want = LimitError { kind: LimitKind::Series, limit: 20 };
        assert!(matches!(back, StorageError::Limit(limit) if limit == want), "{back}");
    }
}
