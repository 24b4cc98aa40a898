//! Remote read: the request, and its two kinds of answers.
//!
//! Used by `query`. Decoding takes foreign bytes; encoding appends to a buffer of the caller.
//!
//! ```text
//! ReadRequest          1 queries*  2 accepted_response_types*
//! Query                1 start_timestamp_ms  2 end_timestamp_ms  3 matchers*  4 hints
//! LabelMatcher         1 type  2 name  3 value
//! ReadHints            1 step_ms  2 func  3 start_ms  4 end_ms  5 grouping*  6 by  7 range_ms
//! ReadResponse         1 results*          QueryResult    1 timeseries*
//! ChunkedReadResponse  1 chunked_series*  2 query_index
//! ChunkedSeries        1 labels*  2 chunks*
//! Chunk                1 min_time_ms  2 max_time_ms  3 type  4 data
//! frame                uvarint length of the message | be32 CRC-32C of it | ChunkedReadResponse
//! ```
//! Source of the numbers: prometheus/prompb/remote.proto and types.proto.

mod chunked;
mod request;
mod samples;

pub use chunked::{FrameBuilder, STREAMED_CONTENT_TYPE};
pub use request::{ReadMatcher, ReadQuery, ReadRequest, ResponseType, decode_request};
pub(crate) use samples::put_histogram;
pub use samples::{end_result, put_series};

/// A finished `ReadResponse` as the snappy block that is sent; `None` when it is too large for
/// one.
pub fn compress_response(message: &[u8]) -> Option<Vec<u8>> {
    snap::raw::Encoder::new().compress_vec(message).ok()
}

#[cfg(test)]
mod tests;
