//! gzip for answers, where the client takes it. The body is compressed piece by piece as it is
//! sent, so that a streamed answer stays a stream.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, VARY,
};
use http::{Method, StatusCode};
use http_body::{Body as HttpBody, Frame};

/// Answers that are known to be smaller are sent as they are.
const MIN_BYTES: u64 = 1400;

/// How much is compressed before other tasks of the thread get their turn.
const SLICE_BYTES: usize = 64 * 1024;

/// Middleware.
pub async fn compress(request: Request, next: Next) -> Response {
    let is_head = request.method() == Method::HEAD;
    let takes_gzip = request
        .headers()
        .get_all(ACCEPT_ENCODING)
        .iter()
        .any(|value| value.to_str().is_ok_and(accepts_gzip));
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !takes_gzip || is_head || !is_worth_it(&response) {
        return response;
    }
    set_headers(response.headers_mut());
    response.map(|body| Body::new(GzipBody::new(body)))
}

/// Whether an `Accept-Encoding` names gzip (or anything) with a weight above zero.
fn accepts_gzip(value: &str) -> bool {
    let weight_of = |wanted: &str| {
        value.split(',').find_map(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            let weight = parameters.trim().strip_prefix("q=");
            is_it.then(|| weight.and_then(|q| q.trim().parse::<f32>().ok()).unwrap_or(1.0))
        })
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}

fn is_worth_it(response: &Response) -> bool {
    let has_body = !response.status().is_informational()
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_small = response.body().size_hint().upper().is_some_and(|bytes| bytes < MIN_BYTES);
    has_body && !is_small && !response.headers().contains_key(CONTENT_ENCODING)
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ETAG); // It names the other bytes.
}

struct GzipBody {
    body: Body,
    /// What was read and is not compressed yet.
    pending: Bytes,
    /// `None` after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    is_flushed: bool,
}

impl GzipBody {
    fn new(body: Body) -> Self {
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Self { body, pending: Bytes::new(), encoder, is_flushed: true }
    }

    /// Compresses the next slice; the bytes that came out, if any.
    fn compress_slice(&mut self) -> std::io::Result<Bytes> {
        let slice = self.pending.split_to(self.pending.len().min(SLICE_BYTES));
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        encoder.write_all(&slice)?;
        self.is_flushed = false;
        Ok(std::mem::take(encoder.get_mut()).into())
    }

    /// What is compressed so far: called when there is nothing more to read at the moment.
    fn flush(&mut self) -> std::io::Result<Bytes> {
        self.is_flushed = true;
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        encoder.flush()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }
}

impl HttpBody for GzipBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if this.encoder.is_none() {
                return Poll::Ready(None);
            }
            if !this.pending.is_empty() {
                match this.compress_slice() {
                    Ok(out) if out.is_empty() => continue,
                    out => return frame(out),
                }
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(read))) => {
                    if let Ok(data) = read.into_data() {
                        this.pending = data;
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    let Some(encoder) = this.encoder.take() else { return Poll::Ready(None) };
                    return frame(encoder.finish().map(Bytes::from));
                }
                Poll::Pending if this.is_flushed => return Poll::Pending,
                Poll::Pending => return frame(this.flush()),
            }
        }
    }
}

fn frame(out: std::io::Result<Bytes>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
    Poll::Ready(Some(out.map(Frame::data).map_err(axum::Error::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_by_the_http_specification() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(value), want, "{value}");
        }
    }
}
