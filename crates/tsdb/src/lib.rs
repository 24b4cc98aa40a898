//! A single-tenant Prometheus TSDB: chunks, index, blocks, write-ahead log, head, compaction, queries.

pub mod chunk;
pub mod db;
pub mod encoding;
pub mod error;
pub mod fs;
pub mod head;
pub mod head_chunks;
pub mod merge;
pub mod postings;
pub mod wal;
