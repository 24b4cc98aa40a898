//! Series that come while others are being counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::batch::SeriesHasher;
use model::{Label, MatchOp, Matcher, Querier, QueryContext, SelectHints, SeriesSet, TimeRange};

use super::super::floats::{FloatSample, push_float};
use super::super::{Head, HeadOptions, HeadQuerier};
use super::RUN;

/// Adds a series with one sample.
fn add(head: &Head, name: &str, value: &str) {
    let labels = [Label { name, value }];
    let hash = head.hasher.hash(&labels);
    let index = head.shards.index_of(hash);
    let mut shard = head.shards.lock(index);
    let slot = head.create_in(&mut shard, (hash, &labels), None).unwrap();
    let sample = FloatSample { t: 1_000, start_t: 0, value: 1.0 };
    push_float(&mut shard, slot, sample, &head.chunk_sink());
    head.number(index, &mut shard, std::iter::once(slot));
}

fn count_rest(set: &mut dyn SeriesSet) -> usize {
    std::iter::from_fn(|| set.next_series().unwrap()).count()
}

/// Counts the series with a label; after the first of them a series with the label comes, and one
/// without it.
fn count(renumbers: bool) -> usize {
    let options = HeadOptions {
        block_range_ms: 7_200_000,
        shards: 1,
        hasher: SeriesHasher::new(3),
        out_of_order_capacity: 32,
        encodings: Default::default(),
        start_times: false,
        chunk_end_time_variance: 0.0,
        unlimited_metrics: [].into(),
    };
    let head = Arc::new(Head::new(options, None));
    (0..3 * RUN).for_each(|i| add(&head, "a", &i.to_string()));
    let context = Arc::new(QueryContext::unlimited());
    let querier = HeadQuerier::new(head.clone(), TimeRange::new(0, 2_000), context);
    let hints = SelectHints { without_labels: true, ..SelectHints::default() };
    let has_label = Matcher::new(MatchOp::Regex, "a", ".+").unwrap();
    let mut set = querier.select(&[has_label], &hints).unwrap();
    assert!(set.next_series().unwrap().unwrap().labels.is_empty());
    add(&head, "a", "new");
    add(&head, "b", "new");
    if renumbers {
        // Numbers no longer tell what is new.
        head.order.renumbered.fetch_add(1, Ordering::AcqRel);
    }
    1 + count_rest(&mut *set)
}

#[test]
fn series_that_come_later_are_not_counted() {
    assert_eq!(count(false), 3 * RUN);
}

#[test]
fn what_is_renumbered_meanwhile_is_told_apart_by_its_labels() {
    assert_eq!(count(true), 3 * RUN + 1, "the one with the label may be seen");
}
