//! Compaction of blocks: against the merge of their samples in plain maps, its bytes, its
//! `meta.json`, and what is left after failures.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "compact/bytes.rs"]
mod bytes;
#[path = "compact/failures.rs"]
mod failures;
#[path = "compact/meta.rs"]
mod meta;
#[path = "compact/model.rs"]
mod model_twin;
#[path = "compact/prometheus.rs"]
mod prometheus;
#[path = "compact/support.rs"]
mod support;
