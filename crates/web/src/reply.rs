//! Small answers that several modules give.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

/// An error as plain text with a line break, as Go's `http.Error` writes it.
pub fn text_error(status: StatusCode, message: &str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    (status, headers, format!("{message}\n")).into_response()
}

/// A body with a content type.
pub fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}

/// An HTML page around `content`, which is HTML already.
pub fn page(title: &str, content: &str) -> Response {
    typed("text/html; charset=utf-8", model::html::page(title, content))
}

/// Whether the client asks for JSON.
pub fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}
