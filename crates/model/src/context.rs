//! What one query may use: limits that are counted as it goes, cancellation and a deadline.
//!
//! Made by the query layer, handed to storage and engine. Cheap to ask from hot loops.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Labels;
use crate::env::Clock;

/// Upper bounds of one query; 0 = no bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueryLimits {
    /// Series fetched from storage, each once however often it is fetched.
    pub max_series: u64,
    /// Chunks fetched from storage.
    pub max_chunks: u64,
    /// Chunks that are to be fetched, as indices tell before anything is read.
    pub max_estimated_chunks: u64,
    /// Bytes of chunks fetched from storage.
    pub max_chunk_bytes: u64,
    /// Estimated memory that the query holds at one time, bytes.
    pub max_memory_bytes: u64,
    /// Time until the query fails with a timeout.
    pub timeout: Option<Duration>,
}

/// The limit that a query has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// [`QueryLimits::max_series`].
    Series,
    /// [`QueryLimits::max_chunks`].
    Chunks,
    /// [`QueryLimits::max_estimated_chunks`].
    EstimatedChunks,
    /// [`QueryLimits::max_chunk_bytes`].
    ChunkBytes,
    /// [`QueryLimits::max_memory_bytes`].
    Memory,
    /// What one request may take of a store-gateway's memory.
    StoreRequestMemory,
    /// What all requests together may take of a store-gateway's memory.
    StoreMemory,
}

/// A query went over one of its limits. Prints Mimir's text with its error id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct LimitError {
    /// Which limit.
    pub kind: LimitKind,
    /// Its value.
    pub limit: u64,
}

/// Every limit with its error id.
const LIMIT_IDS: &[(LimitKind, &str)] = &[
    (LimitKind::Series, "max-series-per-query"),
    (LimitKind::Chunks, "max-chunks-per-query"),
    (LimitKind::EstimatedChunks, "max-estimated-chunks-per-query"),
    (LimitKind::ChunkBytes, "max-chunks-bytes-per-query"),
    (LimitKind::Memory, "max-estimated-memory-consumption-per-query"),
    (LimitKind::StoreRequestMemory, "max-store-request-memory"),
    (LimitKind::StoreMemory, "max-store-memory"),
];

impl LimitKind {
    /// The limit's error id behind `err-mimir-`.
    fn id(self) -> &'static str {
        LIMIT_IDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, id)| id)
    }
}

impl LimitError {
    /// The error whose text this is, as it arrives from another process.
    pub fn from_text(text: &str) -> Option<Self> {
        let is_named = |id: &str| text.contains(&format!("(err-mimir-{id})"));
        let (kind, _) = LIMIT_IDS.iter().find(|(_, id)| is_named(id))?;
        let (_, number) = text.split_once("limit")?.1.split_once(": ")?;
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        Some(Self { kind: *kind, limit: number[..digits].parse().ok()? })
    }

    fn message(&self) -> String {
        match self.kind {
            LimitKind::StoreRequestMemory => format!(
                "the query exceeded the memory that a request to a store-gateway may take (limit: \
                 {} bytes) (err-mimir-max-store-request-memory). Consider reducing the time range \
                 and/or number of series selected by the query. Otherwise, to adjust the limit, \
                 configure -blocks-storage.bucket-store.max-request-memory-bytes, or contact your \
                 service administrator.",
                self.limit
            ),
            LimitKind::StoreMemory => format!(
                "the store-gateway has no memory left for the query (limit of all queries: {} \
                 bytes) (err-mimir-max-store-memory). Try again later, or reduce the time range \
                 and/or number of series selected by the query. Otherwise, to adjust the limit, \
                 configure -blocks-storage.bucket-store.max-inflight-memory-bytes, or contact \
                 your service administrator.",
                self.limit
            ),
            _ => self.query_message(),
        }
    }

    /// The message for a limit of the tenant.
    fn query_message(&self) -> String {
        let (what, unit, flag) = match self.kind {
            LimitKind::Series => (
                "the query exceeded the maximum number of series",
                "series",
                "max-fetched-series-per-query",
            ),
            LimitKind::Chunks => (
                "the query exceeded the maximum number of chunks",
                "chunks",
                "max-fetched-chunks-per-query",
            ),
            LimitKind::EstimatedChunks => (
                "the estimated number of chunks for the query exceeded the maximum allowed",
                "chunks",
                "max-estimated-fetched-chunks-per-query-multiplier",
            ),
            LimitKind::ChunkBytes => (
                "the query exceeded the aggregated chunks size limit",
                "bytes",
                "max-fetched-chunk-bytes-per-query",
            ),
            LimitKind::Memory | LimitKind::StoreRequestMemory | LimitKind::StoreMemory => (
                "the query exceeded the maximum allowed estimated amount of memory consumed by a \
                 single query",
                "bytes",
                "max-estimated-memory-consumption-per-query",
            ),
        };
        let id = self.kind.id();
        format!(
            "{what} (limit: {} {unit}) (err-mimir-{id}). Consider reducing the time range and/or \
             number of series selected by the query. One way to reduce the number of selected \
             series is to add more label matchers to the query. Otherwise, to adjust the related \
             per-tenant limit, configure -querier.{flag}, or contact your service administrator.",
            self.limit
        )
    }
}

/// The query must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// Its client went away or it was cancelled.
    #[error("query was canceled")]
    Cancelled,
    /// Its time is up.
    #[error("query timed out")]
    TimedOut,
}

/// The running account of one query; shared by all that work for it.
pub struct QueryContext {
    limits: QueryLimits,
    clock: Option<Arc<dyn Clock>>,
    deadline: Option<Duration>,
    cancelled: AtomicBool,
    series: AtomicU64,
    /// The hashes of the series that were fetched, where their number is limited.
    distinct_series: Mutex<HashSet<u64>>,
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    memory_bytes: AtomicU64,
    peak_memory_bytes: AtomicU64,
    samples: AtomicU64,
}

/// Cancels a query when it is dropped: when the answer is there, or nobody waits for it.
pub struct CancelOnDrop(pub Arc<QueryContext>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryContext {
    /// An account that starts now.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>) -> Self {
        let deadline = limits.timeout.map(|timeout| clock.monotonic() + timeout);
        Self { clock: Some(clock), deadline, ..Self::with_limits(limits) }
    }

    /// An account without limits and without a deadline; for tests and tools.
    pub fn unlimited() -> Self {
        Self::with_limits(QueryLimits::default())
    }

    /// An account with limits and without a deadline: for a part of a query that another process
    /// asks for, and ends by going away.
    pub fn with_limits(limits: QueryLimits) -> Self {
        Self {
            limits,
            clock: None,
            deadline: None,
            cancelled: AtomicBool::new(false),
            series: AtomicU64::new(0),
            distinct_series: Mutex::default(),
            chunks: AtomicU64::new(0),
            chunk_bytes: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            peak_memory_bytes: AtomicU64::new(0),
            samples: AtomicU64::new(0),
        }
    }

    /// Makes every later [`QueryContext::check`] fail.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails when the query should stop. Call it at least once a series or a few thousand samples.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Interrupted::Cancelled);
        }
        match (&self.clock, self.deadline) {
            (Some(clock), Some(deadline)) if clock.monotonic() >= deadline => {
                Err(Interrupted::TimedOut)
            }
            _ => Ok(()),
        }
    }

    /// Whether the number of distinct series is limited: they must be told apart then.
    pub fn limits_series(&self) -> bool {
        self.limits.max_series > 0
    }

    /// Counts a fetched series. One that was fetched before does not count again for the limit.
    pub fn add_series(&self, labels: &Labels) -> Result<(), LimitError> {
        self.series.fetch_add(1, Ordering::Relaxed);
        let limit = self.limits.max_series;
        if limit == 0 {
            return Ok(());
        }
        let mut distinct = self.distinct_series.lock().unwrap_or_else(PoisonError::into_inner);
        distinct.insert(labels.stable_hash());
        if distinct.len() as u64 > limit {
            return Err(LimitError { kind: LimitKind::Series, limit });
        }
        Ok(())
    }

    /// Counts chunks and their bytes, before they are fetched where the index tells.
    pub fn add_chunks(&self, count: u64, bytes: u64) -> Result<(), LimitError> {
        self.limit_chunks(self.chunks.fetch_add(count, Ordering::Relaxed) + count)?;
        let limit = self.limits.max_chunk_bytes;
        count_up(&self.chunk_bytes, bytes, limit, LimitKind::ChunkBytes)
    }

    /// Takes back what was counted of a source that failed: another one has the same chunks.
    pub fn forget_chunks(&self, count: u64, bytes: u64) {
        self.chunks.fetch_sub(count, Ordering::Relaxed);
        self.chunk_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Fails where so many more chunks would be too many; counts nothing.
    pub fn check_more_chunks(&self, count: u64) -> Result<(), LimitError> {
        self.limit_chunks(self.chunks.load(Ordering::Relaxed).saturating_add(count))
    }

    fn limit_chunks(&self, count: u64) -> Result<(), LimitError> {
        let estimated = self.limits.max_estimated_chunks;
        for (limit, kind) in
            [(estimated, LimitKind::EstimatedChunks), (self.limits.max_chunks, LimitKind::Chunks)]
        {
            if limit != 0 && count > limit {
                return Err(LimitError { kind, limit });
            }
        }
        Ok(())
    }

    /// Counts samples that were looked at (statistics, no limit).
    pub fn add_samples(&self, count: u64) {
        self.samples.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes `bytes` of the query's memory before they are allocated. An eighth of the limit is
    /// left to the allocator, which rounds sizes up and keeps for a moment what was freed.
    pub fn reserve_memory(&self, bytes: u64) -> Result<(), LimitError> {
        let now = self.memory_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak_memory_bytes.fetch_max(now, Ordering::Relaxed);
        if self.memory_limit().is_some_and(|limit| now > limit) {
            let limit = self.limits.max_memory_bytes;
            return Err(LimitError { kind: LimitKind::Memory, limit });
        }
        Ok(())
    }

    /// How many bytes more could be taken now; `None` where there is no limit.
    pub fn memory_left(&self) -> Option<u64> {
        let now = self.memory_bytes.load(Ordering::Relaxed);
        self.memory_limit().map(|limit| limit.saturating_sub(now))
    }

    /// Without the allocator's share.
    fn memory_limit(&self) -> Option<u64> {
        let limit = self.limits.max_memory_bytes;
        (limit != 0).then(|| limit - limit / 8)
    }

    /// Gives back what [`QueryContext::reserve_memory`] took (also after it failed).
    pub fn release_memory(&self, bytes: u64) {
        self.memory_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn usage(&self) -> QueryUsage {
        QueryUsage {
            series: self.series.load(Ordering::Relaxed),
            chunks: self.chunks.load(Ordering::Relaxed),
            chunk_bytes: self.chunk_bytes.load(Ordering::Relaxed),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            peak_memory_bytes: self.peak_memory_bytes.load(Ordering::Relaxed),
            samples: self.samples.load(Ordering::Relaxed),
        }
    }
}

/// What a query has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryUsage {
    /// Series fetched.
    pub series: u64,
    /// Chunks fetched.
    pub chunks: u64,
    /// Bytes of the chunks.
    pub chunk_bytes: u64,
    /// The memory that is reserved now, bytes.
    pub memory_bytes: u64,
    /// The most memory that was reserved at one time, bytes.
    pub peak_memory_bytes: u64,
    /// Samples looked at.
    pub samples: u64,
}

fn count_up(
    counter: &AtomicU64,
    count: u64,
    limit: u64,
    kind: LimitKind,
) -> Result<(), LimitError> {
    let now = counter.fetch_add(count, Ordering::Relaxed) + count;
    if limit != 0 && now > limit { Err(LimitError { kind, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::ManualClock;

    #[test]
    fn limits_count_up_and_name_their_id() {
        let limits = QueryLimits { max_chunks: 10, ..QueryLimits::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::new(0)));
        assert!(context.add_chunks(10, 1 << 40).is_ok());
        let error = context.add_chunks(1, 1).unwrap_err();
        assert_eq!(error, LimitError { kind: LimitKind::Chunks, limit: 10 });
        assert!(error.to_string().contains("(limit: 10 chunks) (err-mimir-max-chunks-per-query)"));
    }

    #[test]
    fn a_series_that_is_fetched_again_counts_once() {
        let limits = QueryLimits { max_series: 2, ..QueryLimits::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::new(0)));
        let series = |name: &str| Labels::from_pairs([("__name__", name)]);
        for name in ["a", "b", "a", "b"] {
            assert_eq!(context.add_series(&series(name)), Ok(()));
        }
        let error = context.add_series(&series("c")).unwrap_err();
        assert_eq!(error, LimitError { kind: LimitKind::Series, limit: 2 });
        assert_eq!(context.usage().series, 5);
    }

    #[test]
    fn an_estimate_is_checked_before_the_number_of_chunks() {
        let limits =
            QueryLimits { max_chunks: 5, max_estimated_chunks: 5, ..QueryLimits::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::new(0)));
        let error = context.add_chunks(6, 0).unwrap_err();
        assert_eq!(error.kind, LimitKind::EstimatedChunks);
        let text = "the estimated number of chunks for the query exceeded the maximum allowed \
                    (limit: 5 chunks) (err-mimir-max-estimated-chunks-per-query)";
        assert!(error.to_string().starts_with(text), "{error}");
    }

    #[test]
    fn memory_is_given_back_and_the_peak_stays() {
        let limits = QueryLimits { max_memory_bytes: 100, ..QueryLimits::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::new(0)));
        assert!(context.reserve_memory(80).is_ok());
        context.release_memory(80);
        assert_eq!(context.memory_left(), Some(88));
        assert!(context.reserve_memory(88).is_ok());
        assert!(context.reserve_memory(1).is_err(), "an eighth is the allocator's");
        assert_eq!(context.usage().peak_memory_bytes, 89);
    }

    #[test]
    fn a_query_ends_at_its_deadline_or_when_cancelled() {
        let clock = Arc::new(ManualClock::new(0));
        let limits =
            QueryLimits { timeout: Some(Duration::from_secs(1)), ..QueryLimits::default() };
        let context = QueryContext::new(limits, clock.clone());
        clock.advance(999);
        assert_eq!(context.check(), Ok(()));
        clock.advance(1);
        assert_eq!(context.check(), Err(Interrupted::TimedOut));
        context.cancel();
        assert_eq!(context.check(), Err(Interrupted::Cancelled));
    }
}
