//! Prometheus' JSON answers, written straight into response buffers: a result is never a tree of
//! JSON values, and a large one is never in memory as text as a whole.

mod float;
mod histogram;
mod result;
mod text;

pub(crate) use float::{push_quoted_float, push_timestamp};
pub(crate) use result::{Answer, AnswerChunks, PIECE_BYTES, push_labels};
pub(crate) use text::push_string;
