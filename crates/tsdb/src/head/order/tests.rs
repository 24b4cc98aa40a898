//! Label order against sorting label sets as strings.

use model::batch::SeriesHasher;
use model::{Label, Labels};
use proptest::prelude::*;

use super::super::{Head, HeadOptions};

fn head() -> Head {
    let hasher = SeriesHasher::new(3);
    let options = HeadOptions {
        block_range_ms: 7_200_000,
        shards: 4,
        hasher,
        out_of_order_capacity: 32,
        encodings: Default::default(),
        start_times: false,
        chunk_end_time_variance: 0.0,
        unlimited_metrics: [].into(),
    };
    Head::new(options, None)
}

fn create(head: &Head, labels: &[(String, String)]) {
    let labels: Vec<Label<'_>> = labels.iter().map(|(name, value)| Label { name, value }).collect();
    let hash = head.hasher.hash(&labels);
    let index = head.shards.index_of(hash);
    let mut shard = head.shards.lock(index);
    if shard.find(hash, &labels, &head.symbols.read()).is_some() {
        return;
    }
    let slot = head.create_in(&mut shard, (hash, &labels), None).unwrap();
    head.number(index, &mut shard, std::iter::once(slot));
}

fn labels_of(head: &Head, number: u32) -> Labels {
    let location = head.postings.read().location(number);
    let shard = head.shards.lock(location.shard());
    let symbols = head.symbols.read();
    let start = shard.series[location.slot() as usize].labels;
    let pairs = shard.labels.pairs(start, &symbols);
    Labels::from_sorted(pairs.map(|(name, value)| (symbols.get(name), symbols.get(value))))
}

fn check_sorted(head: &Head, numbers: impl Iterator<Item = u32>) {
    let mut numbers: Vec<u32> = numbers.collect();
    let mut want = numbers.clone();
    head.sort_by_labels(&mut numbers);
    let labels: Vec<Labels> = numbers.iter().map(|&number| labels_of(head, number)).collect();
    for (pair, numbers) in labels.windows(2).zip(numbers.windows(2)) {
        assert!(pair[0] < pair[1], "{:?} {:?} {numbers:?}", pair[0], pair[1]);
    }
    numbers.sort_unstable();
    want.sort_unstable();
    assert_eq!(numbers, want);
}

/// Label sets of which many begin alike, some are the beginning of others, and names differ.
fn some_labels(i: u32) -> Vec<(String, String)> {
    let mut labels = vec![("__name__".to_owned(), format!("m{}", i % 3))];
    if !i.is_multiple_of(7) {
        labels.push(("a".to_owned(), format!("{}", i / 900 % 5)));
    }
    if i.is_multiple_of(5) {
        labels.push(("aa".to_owned(), "x".repeat((i % 11) as usize + 1)));
    }
    labels.push(("n".to_owned(), format!("{i:x}")));
    if i.is_multiple_of(2) {
        labels.push(("z".to_owned(), format!("a-long-beginning-{}", i % 13)));
    }
    labels
}

#[test]
fn many_series_are_ranked_like_their_labels() {
    let head = head();
    (0..9_000).for_each(|i| create(&head, &some_labels(i)));
    let all = head.postings.read().len() as u32;
    check_sorted(&head, 0..all);
    assert_eq!(head.order.ranked.read().sorted.len(), all as usize, "the first select ranks");
    // Few new ones are found a place among the others, at first without a rank.
    (9_000..9_200).for_each(|i| create(&head, &some_labels(i)));
    let more = head.postings.read().len() as u32;
    check_sorted(&head, (0..more).filter(|n| n % 3 == 0));
    assert_eq!(head.order.ranked.read().sorted.len(), all as usize);
    check_sorted(&head, 0..more);
    assert_eq!(head.order.ranked.read().sorted.len(), more as usize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_label_sets_are_in_order(sets in prop::collection::vec(
        prop::collection::btree_map("[a-c]{1,2}", "[a-c]{1,3}|abcdefgh.{0,2}", 1..5), 1..60,
    ), first in 0usize..60) {
        let head = head();
        let sets: Vec<Vec<(String, String)>> =
            sets.into_iter().map(|set| set.into_iter().collect()).collect();
        let (before, after) = sets.split_at(first.min(sets.len()));
        before.iter().for_each(|set| create(&head, set));
        let count = head.postings.read().len() as u32;
        check_sorted(&head, 0..count);
        after.iter().for_each(|set| create(&head, set));
        let count = head.postings.read().len() as u32;
        check_sorted(&head, (0..count).filter(|n| n % 2 == 0));
        check_sorted(&head, 0..count);
    }
}
