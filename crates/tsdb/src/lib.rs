//! A single-tenant Prometheus TSDB: chunks, index, blocks, write-ahead log, head, compaction, queries.

pub mod chunk;
pub mod encoding;
pub mod error;
pub mod fs;
pub mod head_chunks;
pub mod wal;
