//! Asking now and then, within long loops, whether the query must stop.

use std::cmp::Ordering;
use std::ops::Range;

use super::QueryError;
use super::context::EvalContext;

/// How much work is done between two questions: well below a millisecond.
const WORK: usize = 1 << 14;

/// Counts work.
pub(crate) struct Pace<'a> {
    cx: &'a EvalContext<'a>,
    left: usize,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(cx: &'a EvalContext<'a>) -> Self {
        Self { cx, left: WORK }
    }

    /// After `work` cells or series; fails when the query must stop.
    #[inline]
    pub(crate) fn tick(&mut self, work: usize) -> Result<(), QueryError> {
        match self.left.checked_sub(work.max(1)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = WORK;
                self.cx.check()
            }
        }
    }
}

/// The parts of a long loop, with a question between two of them. Ends early when the query must
/// stop: whoever looks at the result asks once more.
pub(crate) struct Pieces<'a> {
    cx: &'a EvalContext<'a>,
    rest: Range<usize>,
    is_first: bool,
}

impl<'a> Pieces<'a> {
    /// Items of one part: well below a millisecond where one takes a few nanoseconds.
    pub(crate) const LEN: usize = 1 << 16;

    pub(crate) fn new(cx: &'a EvalContext<'a>, all: Range<usize>) -> Self {
        Self { cx, rest: all, is_first: true }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        if self.rest.is_empty() {
            return None;
        }
        if !std::mem::take(&mut self.is_first) && self.cx.check().is_err() {
            return None;
        }
        let end = self.rest.end.min(self.rest.start.saturating_add(Self::LEN));
        let piece = self.rest.start..end;
        self.rest.start = end;
        Some(piece)
    }
}

/// Sorts `items`, equal ones in their order; can be stopped.
pub(crate) fn sort<T: Copy>(
    items: &mut Vec<T>,
    cx: &EvalContext<'_>,
    mut compare: impl FnMut(&T, &T) -> Ordering,
) -> Result<(), QueryError> {
    /// Comparisons of labels take about 50 ns.
    const RUN: usize = 1 << 10;
    for run in items.chunks_mut(RUN) {
        cx.check()?;
        run.sort_by(&mut compare);
    }
    let mut pace = Pace::new(cx);
    let mut merged = Vec::with_capacity(items.len());
    let mut width = RUN;
    while width < items.len() {
        merged.clear();
        for pair in items.chunks(width.saturating_mul(2)) {
            let (a, b) = pair.split_at(width.min(pair.len()));
            merge((a, b), &mut merged, &mut compare, &mut pace)?;
        }
        std::mem::swap(items, &mut merged);
        width = width.saturating_mul(2);
    }
    Ok(())
}

fn merge<T: Copy>(
    (mut a, mut b): (&[T], &[T]),
    merged: &mut Vec<T>,
    compare: &mut impl FnMut(&T, &T) -> Ordering,
    pace: &mut Pace<'_>,
) -> Result<(), QueryError> {
    const COMPARISON: usize = 16;
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        pace.tick(COMPARISON)?;
        if compare(first_b, first_a) == Ordering::Less {
            merged.push(*first_b);
            b = rest_b;
        } else {
            merged.push(*first_a);
            a = rest_a;
        }
    }
    merged.extend_from_slice(a);
    merged.extend_from_slice(b);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;
    use model::QueryContext;

    #[test]
    fn pieces_cover_all_and_end_when_the_query_must_stop() {
        let (options, query) = (EngineOptions::default(), Arc::new(QueryContext::unlimited()));
        let cx = EvalContext::new(&options, &query, None, &planned("1", Passes::NONE));
        for len in [0, 1, Pieces::LEN, Pieces::LEN + 1, 3 * Pieces::LEN] {
            assert!(cx.pieces(7..7 + len).flatten().eq(7..7 + len), "{len}");
        }
        let mut pieces = cx.pieces(0..3 * Pieces::LEN);
        assert_eq!(pieces.next(), Some(0..Pieces::LEN));
        query.cancel();
        assert_eq!(pieces.next(), None);
    }

    #[test]
    fn sorts_as_the_standard_library_does_and_can_be_stopped() {
        let (options, query) = (EngineOptions::default(), Arc::new(QueryContext::unlimited()));
        let cx = EvalContext::new(&options, &query, None, &planned("1", Passes::NONE));
        for len in [0_usize, 1, 1023, 1024, 1025, 5000] {
            let items: Vec<(usize, usize)> = (0..len).map(|i| (i * 7919 % 101, i)).collect();
            let (mut sorted, mut want) = (items.clone(), items);
            want.sort_by_key(|item| item.0);
            sort(&mut sorted, &cx, |a, b| a.0.cmp(&b.0)).unwrap();
            assert_eq!(sorted, want);
        }
        query.cancel();
        let cancelled = sort(&mut vec![2, 1], &cx, i32::cmp);
        assert!(matches!(cancelled, Err(QueryError::Canceled)));
    }
}
