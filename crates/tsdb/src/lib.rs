//! A single-tenant Prometheus TSDB: chunks, index, blocks, write-ahead log, head, compaction, queries.

pub mod block;
pub mod chunk;
pub mod compact;
pub mod db;
pub mod encoding;
pub mod error;
pub mod fs;
pub mod head;
pub mod head_chunks;
pub mod index;
pub mod merge;
pub mod meta;
pub mod postings;
pub mod tombstones;
pub mod wal;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
