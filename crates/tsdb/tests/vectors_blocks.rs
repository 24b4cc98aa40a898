//! Chunks, index, blocks and tombstones against files that Prometheus wrote
//! (`conformance/tsdb-vectors`). Skipped, loudly, where the folder is missing.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail and may say so")]

#[path = "vectors_blocks/block.rs"]
mod block;
#[path = "vectors_blocks/chunks.rs"]
mod chunks;

use std::path::PathBuf;

/// A file or directory of the vectors.
fn vector_path(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/tsdb-vectors");
    let path = PathBuf::from(root).join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is missing", path.display());
        return None;
    }
    Some(path)
}
