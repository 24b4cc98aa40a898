//! Sparse buckets: spans say at which indexes the buckets of one side stand. Here they become
//! pairs of index and count, and such pairs become spans and buckets again. All arithmetic on
//! whole sides goes through these pairs.
//!
//! Indexes are `i64` so that no sequence of spans can overflow them.

use super::types::Span;

/// A count that buckets can hold.
pub(super) trait Cell: Copy + Default {
    /// Whether the bucket is empty.
    fn is_empty(self) -> bool;
    /// Adds another bucket to this one.
    fn merge(&mut self, other: Self);
}

impl Cell for f64 {
    fn is_empty(self) -> bool {
        self == 0.0
    }

    fn merge(&mut self, other: Self) {
        *self += other;
    }
}

/// Absolute integer counts (not the differences that [`super::Histogram`] holds).
impl Cell for i64 {
    fn is_empty(self) -> bool {
        self == 0
    }

    fn merge(&mut self, other: Self) {
        *self = self.wrapping_add(other);
    }
}

/// The indexes of the buckets that `spans` describe, in order, from either end. Endless spans
/// are no danger as long as the caller stops at the end of its buckets.
#[derive(Clone)]
pub(super) struct Indexes<'a> {
    spans: &'a [Span],
    front_span: usize,
    front_left: u32,
    front: i64,
    back_span: usize,
    back_left: u32,
    back: i64,
}

impl<'a> Indexes<'a> {
    /// All indexes of `spans`.
    pub(super) fn new(spans: &'a [Span]) -> Self {
        let end = spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
        Self {
            spans,
            front_span: 0,
            front_left: 0,
            front: 0,
            back_span: spans.len(),
            back_left: 0,
            back: end,
        }
    }

    /// The next index from the front.
    pub(super) fn next_front(&mut self) -> Option<i64> {
        while self.front_left == 0 {
            let span = self.spans.get(self.front_span)?;
            self.front_span += 1;
            self.front += i64::from(span.offset);
            self.front_left = span.length;
        }
        self.front_left -= 1;
        self.front += 1;
        Some(self.front - 1)
    }

    /// The next index from the back. The caller knows how many there are.
    pub(super) fn next_back(&mut self) -> Option<i64> {
        while self.back_left == 0 {
            if let Some(done) = self.spans.get(self.back_span) {
                self.back -= i64::from(done.offset);
            }
            self.back_span = self.back_span.checked_sub(1)?;
            self.back_left = self.spans[self.back_span].length;
        }
        self.back_left -= 1;
        self.back -= 1;
        Some(self.back)
    }
}

/// Index and count of each bucket of one side, ascending in index.
pub(super) fn cells<'a, T: Cell>(
    spans: &'a [Span],
    buckets: &'a [T],
) -> impl Iterator<Item = (i64, T)> + 'a {
    let mut indexes = Indexes::new(spans);
    buckets.iter().map_while(move |&bucket| Some((indexes.next_front()?, bucket)))
}

/// Finds the spans of `inner` within those of `outer`: `visit` is called with the position of
/// each one's first bucket among the buckets of `outer`, and its length. False, perhaps after
/// some calls, if one is not within a single span.
pub(super) fn place_within(
    outer: &[Span],
    inner: &[Span],
    mut visit: impl FnMut(usize, usize),
) -> bool {
    let mut spans = outer.iter();
    // Indexes of the current span of `outer`, and the position of its first bucket.
    let (mut start, mut end, mut position) = (0_i64, 0_i64, 0_usize);
    let mut index = 0_i64;
    for span in inner.iter() {
        index += i64::from(span.offset);
        let length = i64::from(span.length);
        while index + length > end {
            let Some(next) = spans.next() else {
                return length == 0;
            };
            position += usize::try_from(end - start).unwrap_or_default();
            start = end + i64::from(next.offset);
            end = start + i64::from(next.length);
        }
        let Ok(offset) = usize::try_from(index - start) else {
            return false;
        };
        visit(position + offset, span.length as usize);
        index += length;
    }
    true
}

/// Spans and buckets under construction.
#[derive(Debug)]
pub(super) struct Layout<T> {
    /// The spans so far; neighbouring buckets always share one.
    pub(super) spans: Vec<Span>,
    /// The buckets so far.
    pub(super) buckets: Vec<T>,
    /// The index behind the last bucket.
    end: i64,
}

impl<T: Cell> Layout<T> {
    /// An empty layout with room for `buckets` buckets.
    pub(super) fn with_capacity(buckets: usize) -> Self {
        Self { spans: Vec::new(), buckets: Vec::with_capacity(buckets), end: 0 }
    }

    /// The index behind the last bucket; `None` while there is no bucket.
    pub(super) fn end(&self) -> Option<i64> {
        (!self.buckets.is_empty()).then_some(self.end)
    }

    /// Adds a bucket. One at the index of the last bucket is merged into it.
    pub(super) fn push(&mut self, index: i64, value: T) {
        if let Some(last) = self.buckets.last_mut() {
            if index + 1 == self.end {
                return last.merge(value);
            }
            if index == self.end {
                self.extend_last_span();
                self.buckets.push(value);
                self.end += 1;
                return;
            }
        }
        self.start_span(index - self.end);
        self.buckets.push(value);
        self.end = index + 1;
    }

    fn extend_last_span(&mut self) {
        match self.spans.last_mut() {
            Some(span) => span.length += 1,
            None => self.spans.push(Span { offset: 0, length: 1 }),
        }
    }

    /// Spans hold 32-bit offsets: a longer gap gets empty spans as stepping stones.
    fn start_span(&mut self, mut gap: i64) {
        while let Err(step) =
            i32::try_from(gap).map_err(|_| if gap < 0 { i32::MIN } else { i32::MAX })
        {
            self.spans.push(Span { offset: step, length: 0 });
            gap -= i64::from(step);
        }
        let offset = i32::try_from(gap).unwrap_or_default();
        self.spans.push(Span { offset, length: 1 });
    }
}

/// The union of two sequences of buckets, both ascending in index; where both have a bucket
/// `b`'s is merged into `a`'s.
pub(super) fn union<T: Cell>(
    a: impl Iterator<Item = (i64, T)>,
    b: impl Iterator<Item = (i64, T)>,
    capacity: usize,
) -> Layout<T> {
    let mut out = Layout::with_capacity(capacity);
    let (mut a, mut b) = (a.peekable(), b.peekable());
    loop {
        let from_a = match (a.peek(), b.peek()) {
            (Some(left), Some(right)) => left.0 <= right.0,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        let next = if from_a { a.next() } else { b.next() };
        if let Some((index, value)) = next {
            out.push(index, value);
        }
    }
}
