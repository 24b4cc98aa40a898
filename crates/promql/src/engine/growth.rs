//! Columns that grow to an unknown length, within the query's memory.
//!
//! A long column that must move to grow stands in memory twice for a moment, and has room for
//! twice of what is in it afterwards; both is taken into account here, before it is allocated.

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
    let _copy = match bytes < SMALL_BYTES {
        true => None,
        false => Some(account.reserve(0, bytes as u64)?),
    };
    column.reserve(more);
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
    use model::env::ManualClock;
    use model::{Labels, QueryContext, QueryLimits};

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
    fn a_long_column_counts_twice_while_it_is_copied() {
        let account = account();
        let mut meter = Meter::new(&account);
        let mut batch = SeriesBatch::with_capacity(0, 1 << 14);
        let mut pushed = Ok(0);
        while pushed.is_ok() {
            pushed = batch.push_metered(head(), &mut meter);
        }
        assert!(matches!(pushed, Err(QueryError::Limit(_))), "{pushed:?}");
        let bytes = (batch.floats.len() * size_of::<f64>()) as u64;
        assert!((LIMIT / 4..=LIMIT / 2 + (1 << 18)).contains(&bytes), "{bytes}");
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
