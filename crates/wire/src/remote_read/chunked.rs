//! The streamed answer: frames of at most one series each, with its chunks as they are stored.

use model::{EncodedChunk, Labels};

use super::samples::put_labels;
use crate::protobuf_writer::{put_bytes, put_message, put_number, put_varint, varint_len};

/// The content type of the streamed answer.
pub const STREAMED_CONTENT_TYPE: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Puts the frames of one query together. A series with many chunks stands in several frames,
/// each with its labels; a frame is over the bound by one chunk at most.
#[derive(Debug)]
pub struct FrameBuilder {
    query_index: u64,
    max_frame_bytes: usize,
}

impl FrameBuilder {
    /// Frames of query number `query_index` of about `max_frame_bytes` at most.
    pub fn new(query_index: usize, max_frame_bytes: usize) -> Self {
        Self { query_index: query_index as u64, max_frame_bytes }
    }

    /// Appends the frames of one series to `out`; none for a series without chunks. The chunks
    /// must be in order of time and in encodings that the wire has: 1, 2 and 3.
    pub fn push_series(&self, out: &mut Vec<u8>, labels: &Labels, chunks: &[EncodedChunk]) {
        let mut label_bytes = Vec::new();
        put_labels(&mut label_bytes, labels);
        let room = self.max_frame_bytes.saturating_sub(label_bytes.len());
        let mut rest = chunks;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(frame_len(rest, room));
            rest = after;
            self.push_frame(out, &label_bytes, part);
        }
    }

    fn push_frame(&self, out: &mut Vec<u8>, label_bytes: &[u8], chunks: &[EncodedChunk]) {
        let mut message = Vec::new();
        put_message(&mut message, 1, |out| {
            out.extend_from_slice(label_bytes);
            chunks.iter().for_each(|chunk| put_chunk(out, chunk));
        });
        put_number(&mut message, 2, self.query_index);
        put_varint(out, message.len() as u64);
        out.extend_from_slice(&crc32c(&message).to_be_bytes());
        out.append(&mut message);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// How many chunks go into a frame; at least one.
fn frame_len(chunks: &[EncodedChunk], room: usize) -> usize {
    let mut bytes = 0;
    let fits = chunks.iter().take_while(|chunk| {
        let has_room = bytes < room;
        bytes += chunk_len(chunk);
        has_room
    });
    fits.count().max(1)
}

fn put_chunk(out: &mut Vec<u8>, chunk: &EncodedChunk) {
    put_message(out, 2, |out| {
        put_number(out, 1, chunk.min_time_ms.cast_unsigned());
        put_number(out, 2, chunk.max_time_ms.cast_unsigned());
        put_number(out, 3, u64::from(chunk.encoding));
        put_bytes(out, 4, &chunk.data);
    });
}

/// About what a chunk takes in a frame, bytes.
fn chunk_len(chunk: &EncodedChunk) -> usize {
    let times = [chunk.min_time_ms, chunk.max_time_ms].map(|t| varint_len(t.cast_unsigned()) + 1);
    times[0] + times[1] + 2 + 1 + varint_len(chunk.data.len() as u64) + chunk.data.len()
}
