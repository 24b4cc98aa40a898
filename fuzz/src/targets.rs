//! The table of targets. A decoder that is added to the project gets a row here.

mod blocks;
mod chunks;
mod evaluate;
mod gossip;
mod language;
mod text;
mod wal;
mod write;

use crate::seeds::{self, Seeds};

/// A decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes any bytes; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn(&Seeds) -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "chunk_xor", run: chunks::xor, seeds: |s| s.chunks(1) },
    Target { name: "chunk_histogram", run: chunks::histogram, seeds: |s| s.chunks(2) },
    Target { name: "chunk_float_histogram", run: chunks::float_histogram, seeds: |s| s.chunks(3) },
    Target { name: "chunk_xor2", run: chunks::xor2, seeds: |s| s.chunks(4) },
    Target { name: "chunk_histogram_st", run: chunks::histogram_st, seeds: |s| s.chunks(5) },
    Target {
        name: "chunk_float_histogram_st",
        run: chunks::float_histogram_st,
        seeds: |s| s.chunks(6),
    },
    Target { name: "index", run: blocks::index, seeds: |s| s.block_files("index") },
    Target { name: "index_v1", run: blocks::index, seeds: seeds::old_indexes },
    Target { name: "index_sections", run: blocks::index_sections, seeds: seeds::index_sections },
    Target {
        name: "block_chunks",
        run: blocks::chunk_file,
        seeds: |s| s.block_files("chunks/000001"),
    },
    Target { name: "tombstones", run: blocks::tombstones, seeds: Seeds::tombstones },
    Target { name: "block_meta", run: blocks::meta, seeds: |s| s.block_files("meta.json") },
    Target { name: "bucket_index", run: blocks::bucket_index, seeds: seeds::bucket_indexes },
    Target { name: "bucket_marks", run: blocks::marks, seeds: seeds::marks },
    Target { name: "wal_record", run: wal::record, seeds: Seeds::records },
    Target { name: "wal_segment", run: wal::segment, seeds: Seeds::segments },
    Target { name: "wal_checkpoint", run: wal::checkpoint, seeds: Seeds::segments },
    Target { name: "wal_replay", run: wal::replay, seeds: Seeds::segments },
    Target { name: "wbl_replay", run: wal::wbl, seeds: seeds::late_logs },
    Target { name: "head_snapshot", run: wal::snapshot, seeds: Seeds::segments },
    Target { name: "head_chunks", run: wal::head_chunks, seeds: Seeds::head_chunks },
    Target { name: "remote_write", run: write::remote_write, seeds: seeds::write_requests },
    Target { name: "snappy", run: write::snappy, seeds: seeds::snappy_blocks },
    Target { name: "gossip_packet", run: gossip::packet, seeds: |_| gossip::seeds() },
    Target { name: "gossip_stream", run: gossip::stream, seeds: |_| gossip::seeds() },
    Target { name: "ring_desc", run: gossip::desc, seeds: |_| gossip::seeds() },
    Target { name: "promql_parse", run: language::parse, seeds: Seeds::queries },
    Target { name: "series_description", run: language::series, seeds: Seeds::descriptions },
    Target { name: "test_script", run: evaluate::script, seeds: Seeds::scripts },
    Target { name: "promql_evaluate", run: evaluate::query, seeds: Seeds::programs },
    Target { name: "regex", run: text::regex, seeds: seeds::patterns },
    Target { name: "runtime_config", run: text::runtime_config, seeds: seeds::runtime_files },
    Target { name: "config_values", run: text::config_values, seeds: seeds::config_lines },
];

/// The target with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
