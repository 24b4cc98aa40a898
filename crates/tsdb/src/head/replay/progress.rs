//! How far a replay is; read by other threads for logs, metrics and pages.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ReplayStage {
    /// Nothing yet.
    Waiting = 0,
    /// The head chunk files are being looked through.
    HeadChunks = 1,
    /// A snapshot is being loaded.
    Snapshot = 2,
    /// Checkpoint and segments of the log are being read.
    Log = 3,
    /// The index over the series is being built.
    Index = 4,
    /// The database is open.
    Done = 5,
}

impl ReplayStage {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::HeadChunks => "head chunk files",
            Self::Snapshot => "snapshot",
            Self::Log => "write-ahead log",
            Self::Index => "index",
            Self::Done => "done",
        }
    }
}

/// The progress of one replay.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    stage: AtomicU8,
    total_bytes: AtomicU64,
    read_bytes: AtomicU64,
    total_segments: AtomicU64,
    read_segments: AtomicU64,
}

impl ReplayProgress {
    /// What is being done.
    pub fn stage(&self) -> ReplayStage {
        match self.stage.load(Ordering::Relaxed) {
            0 => ReplayStage::Waiting,
            1 => ReplayStage::HeadChunks,
            2 => ReplayStage::Snapshot,
            3 => ReplayStage::Log,
            4 => ReplayStage::Index,
            _ => ReplayStage::Done,
        }
    }

    /// Bytes that were read of snapshot and log, and bytes there are.
    pub fn bytes(&self) -> (u64, u64) {
        let total = self.total_bytes.load(Ordering::Relaxed);
        (self.read_bytes.load(Ordering::Relaxed).min(total), total)
    }

    /// Segments that were read, of checkpoint and log, and segments there are.
    pub fn segments(&self) -> (u64, u64) {
        let total = self.total_segments.load(Ordering::Relaxed);
        (self.read_segments.load(Ordering::Relaxed).min(total), total)
    }

    pub(crate) fn enter(&self, stage: ReplayStage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Begins with what is to be read in this stage; what was read before counts no more.
    pub(super) fn expect(&self, segments: usize, bytes: u64) {
        self.read_segments.store(0, Ordering::Relaxed);
        self.read_bytes.store(0, Ordering::Relaxed);
        self.total_segments.store(segments as u64, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn finish_segment(&self) {
        self.read_segments.fetch_add(1, Ordering::Relaxed);
    }
}
