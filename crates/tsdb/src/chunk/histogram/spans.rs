//! Bucket numbers of spans, and bringing buckets from one set of spans to another.

use std::iter::Peekable;

use model::Span;

/// The number of buckets of all spans; `None` where it does not fit.
pub(super) fn bucket_count(spans: &[Span]) -> Option<usize> {
    spans.iter().try_fold(0usize, |sum, span| sum.checked_add(span.length as usize))
}

/// The bucket numbers of spans, ascending where the spans are valid.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    })
}

/// Which side has buckets that the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Difference {
    /// The new sample has buckets that the chunk lacks.
    pub(super) only_in_new: bool,
    /// The chunk has buckets that the new sample lacks.
    pub(super) only_in_old: bool,
}

/// Buckets of one side: spans and absolute counts.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) spans: &'a [Span],
    pub(super) buckets: &'a [u64],
}

impl Side<'_> {
    fn iter(&self) -> Peekable<impl Iterator<Item = (i64, u64)>> {
        indexes(self.spans).zip(self.buckets.iter().copied()).peekable()
    }
}

/// Compares two samples bucket by bucket. `reset(old, new)` says whether counts cannot belong to
/// one counter; a bucket that is missing counts as `None`. Returns `None` after a reset.
pub(super) fn compare(
    old: Side<'_>,
    new: Side<'_>,
    mut reset: impl FnMut(u64, Option<u64>) -> bool,
) -> Option<Difference> {
    let mut difference = Difference::default();
    let (mut olds, mut news) = (old.iter(), new.iter());
    loop {
        match (olds.peek().copied(), news.peek().copied()) {
            (None, None) => return Some(difference),
            (Some((i, a)), Some((j, b))) if i == j => {
                if reset(a, Some(b)) {
                    return None;
                }
                olds.next();
                news.next();
            }
            (Some((i, a)), new) if new.is_none_or(|(j, _)| i < j) => {
                if reset(a, None) {
                    return None;
                }
                difference.only_in_old = true;
                olds.next();
            }
            _ => {
                difference.only_in_new = true;
                news.next();
            }
        }
    }
}

/// The spans of all buckets that are in `a` or in `b`; neighbours share a span.
pub(super) fn union(a: &[Span], b: &[Span]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let (mut a, mut b) = (indexes(a).peekable(), indexes(b).peekable());
    let mut end = 0i64;
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(&i), Some(&j)) => i.min(j),
            (Some(&i), None) | (None, Some(&i)) => i,
            (None, None) => return spans,
        };
        a.next_if_eq(&next);
        b.next_if_eq(&next);
        match spans.last_mut() {
            Some(span) if next == end => span.length += 1,
            _ => {
                // Both ends are numbers of buckets of valid spans.
                let offset = i32::try_from(next - end).unwrap_or(i32::MAX);
                spans.push(Span { offset, length: 1 });
            }
        }
        end = next + 1;
    }
}

/// The buckets of `side` laid out by `spans`, 0 where `side` has none.
pub(super) fn widen(side: Side<'_>, spans: &[Span]) -> Vec<u64> {
    let mut buckets = side.iter();
    indexes(spans)
        .map(|index| {
            while buckets.next_if(|&(i, _)| i < index).is_some() {}
            buckets.next_if(|&(i, _)| i == index).map_or(0, |(_, count)| count)
        })
        .collect()
}
