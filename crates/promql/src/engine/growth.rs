//! Columns that grow to an unknown length, within the query's memory.
//!
//! A long column that must move to grow stands in memory twice for a moment; that is taken into
//! account here, before it is allocated.

use std::sync::Arc;

use super::QueryError;
use super::account::{Meter, SampleAccount};
use super::batch::{SeriesBatch, SeriesHead};

/// Columns shorter than this are not worth counting copies of.
const SMALL_BYTES: usize = 1 << 20;

/// Makes room for `more` items; fails where the copy would be too much.
fn reserve<T>(
    column: &mut Vec<T>,
    more: usize,
    account: &Arc<SampleAccount>,
) -> Result<(), QueryError> {
    if column.capacity() - column.len() >= more {
        return Ok(());
    }
    let bytes = column.len().saturating_mul(size_of::<T>());
    if bytes < SMALL_BYTES {
        column.reserve(more);
        return Ok(());
    }
    let _copy = account.reserve(0, bytes as u64)?;
    move_to(column, larger::<T>(column.len(), more, account.memory_left()), account)
}

/// The capacity of a column that must have room for `more` items: at most as much as the query
/// may take. Room that is not written to takes no memory, and a column that moves seldom leaves
/// little behind that the allocator has to give back.
fn larger<T>(len: usize, more: usize, bytes_left: Option<u64>) -> usize {
    /// With a limit; without one nothing says that the addresses are there.
    const MAX_FACTOR: usize = 16;
    let Some(left) = bytes_left else { return len.saturating_add(more.max(len)) };
    // The room of the copy becomes free again.
    let left = usize::try_from(left).unwrap_or(usize::MAX) / size_of::<T>();
    let useful = left.saturating_add(len.saturating_mul(2));
    useful.min(len.saturating_mul(MAX_FACTOR)).max(len.saturating_add(more))
}

/// Moves a column to where there is more room, and stops on the way when the query must stop: a
/// copy of half a gigabyte takes a tenth of a second.
fn move_to<T>(
    column: &mut Vec<T>,
    capacity: usize,
    account: &SampleAccount,
) -> Result<(), QueryError> {
    /// Bytes that are moved at one go.
    const PIECE_BYTES: usize = 8 << 20;
    let piece = PIECE_BYTES / size_of::<T>();
    let mut moved = Vec::with_capacity(capacity);
    let mut items = std::mem::take(column).into_iter();
    while items.len() > 0 {
        account.check()?;
        moved.extend(items.by_ref().take(piece));
    }
    *column = moved;
    Ok(())
}

fn shrink<T>(column: &mut Vec<T>) {
    let unused = column.capacity() - column.len();
    if unused.saturating_mul(size_of::<T>()) >= SMALL_BYTES {
        column.shrink_to_fit();
    }
}

impl SeriesBatch {
    /// As [`SeriesBatch::push`], with the new row counted by `meter`.
    pub(crate) fn push_metered(
        &mut self,
        head: SeriesHead,
        meter: &mut Meter,
    ) -> Result<usize, QueryError> {
        meter.add(self.row_bytes(&head))?;
        self.make_room(self.steps, meter.account())?;
        Ok(self.push(head))
    }

    /// As [`SeriesBatch::append`]; the series of `other` are taken into account by whoever calls.
    pub(crate) fn append_within(
        &mut self,
        other: Self,
        account: &Arc<SampleAccount>,
    ) -> Result<(), QueryError> {
        self.make_room(other.floats.len(), account)?;
        self.append(other);
        Ok(())
    }

    fn make_room(&mut self, cells: usize, account: &Arc<SampleAccount>) -> Result<(), QueryError> {
        reserve(&mut self.floats, cells, account)?;
        match &mut self.histograms {
            Some(histograms) => reserve(histograms, cells, account),
            None => Ok(()),
        }
    }

    /// Gives back room that growing has left over.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.floats);
        self.histograms.iter_mut().for_each(shrink);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use model::env::ManualClock;
    use model::{Clock, Labels, QueryContext, QueryLimits, TimestampMs};

    use super::*;

    const LIMIT: u64 = 8 << 20;

    fn account() -> Arc<SampleAccount> {
        let limits = QueryLimits { max_memory_bytes: LIMIT, ..QueryLimits::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::new(0)));
        Arc::new(SampleAccount::new(0, Arc::new(context)))
    }

    fn head() -> SeriesHead {
        SeriesHead::new(Labels::from_pairs([("a", "b")]))
    }

    #[test]
    fn a_long_column_grows_into_all_that_the_query_may_take() {
        let account = account();
        let mut meter = Meter::new(&account);
        let mut batch = SeriesBatch::with_capacity(0, 1 << 14);
        let mut pushed = Ok(0);
        while pushed.is_ok() {
            assert!(batch.floats.capacity() as u64 <= LIMIT / 8, "more than could be used");
            pushed = batch.push_metered(head(), &mut meter);
        }
        assert!(matches!(pushed, Err(QueryError::Limit(_))), "{pushed:?}");
        let bytes = (batch.floats.len() * size_of::<f64>()) as u64;
        assert!((LIMIT / 4 * 3..=LIMIT).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_long_column_counts_twice_while_it_is_copied() {
        for (eighths, is_room) in [(3, true), (5, false)] {
            let account = account();
            let cells = LIMIT / 8 / 8 * eighths;
            let _held = account.reserve(0, cells * 8).unwrap();
            let mut column: Vec<f64> = vec![1.0; cells as usize];
            let moved = reserve(&mut column, 1, &account);
            assert_eq!(moved.is_ok(), is_room, "{moved:?}");
            assert!(column.capacity() as u64 <= LIMIT / 8);
        }
    }

    /// The time is up at the third question.
    #[derive(Default)]
    struct Questions(AtomicU64);

    impl Clock for Questions {
        fn now_ms(&self) -> TimestampMs {
            0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(if self.0.fetch_add(1, Ordering::Relaxed) > 1 { 10 } else { 0 })
        }
    }

    #[test]
    fn a_long_column_is_moved_in_pieces() {
        let long: Vec<f64> = (0_i32..3 << 20).map(f64::from).collect();
        let mut column = long.clone();
        move_to(&mut column, long.len() + 5, &account()).unwrap();
        assert!(column == long && column.capacity() >= long.len() + 5);
        let limits =
            QueryLimits { timeout: Some(Duration::from_secs(1)), ..QueryLimits::default() };
        // The first question is when the time began, the second one before the first piece.
        let context = QueryContext::new(limits, Arc::new(Questions::default()));
        let account = SampleAccount::new(0, Arc::new(context));
        let stopped = move_to(&mut column, long.len() + 5, &account);
        assert!(matches!(stopped, Err(QueryError::TimedOut)), "{stopped:?}");
    }

    #[test]
    fn room_that_is_left_over_is_given_back() {
        let account = account();
        let mut batch = SeriesBatch::with_capacity(0, 1 << 15);
        for _ in 0..9 {
            batch.append_within(SeriesBatch::single(head(), vec![1.0; 1 << 15]), &account).unwrap();
        }
        batch.shrink();
        assert!(batch.floats.capacity() < batch.floats.len() + (1 << 14));
        assert_eq!(batch.len(), 9);
        // Not more than what was copied is taken for good.
        assert_eq!(account.current_bytes(), 0);
    }
}
