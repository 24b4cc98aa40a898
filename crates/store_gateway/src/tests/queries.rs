//! Answers, against what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::env::SeededRandom;
use model::{
    EncodedChunk, LimitKind, MatchOp, Matcher, QueryLimits, Random, SampleBuffer, SelectHints,
    Shard, StorageError, TimeRange,
};
use tsdb::chunk::{ChunkEncoding, decode};

use crate::StoreOptions;
use crate::testing::{ALL_TIME, BlockSpec, Data, World, labels, read_all, series, to_data};

/// Four overlapping blocks with some of the same series and some of the same samples.
pub(super) fn random_blocks(random: &SeededRandom, series_count: u64) -> Vec<Data> {
    let block = |index: u64| {
        let mut data = Data::new();
        for number in 0..series_count {
            if random.below(3) == 0 {
                continue;
            }
            let job = format!("job-{}", number % 7);
            let pod = format!("pod-{number:05}");
            let pairs = [("__name__", "m"), ("job", job.as_str()), ("pod", pod.as_str())];
            let odd = [("__name__", "m"), ("odd", "yes"), ("pod", pod.as_str())];
            let pairs = if number % 5 == 0 { &odd } else { &pairs };
            let start = index as i64 * 50_000 + random.below(20_000) as i64;
            // The value hangs on series and time, so that copies agree.
            let samples = (0..random.below(300) + 1).map(|i| {
                let t = start - start % 100 + i as i64 * 100;
                (t, (number * 1000) as f64 + (t as f64).sin())
            });
            data.insert(labels(pairs), samples.collect());
        }
        data
    };
    (0..4).map(block).collect()
}

/// What a database with all blocks would answer.
fn expected(blocks: &[Data], range: TimeRange, matchers: &[Matcher]) -> Data {
    let mut all = Data::new();
    for (labels, samples) in blocks.iter().flatten() {
        let matches = matchers.iter().all(|m| m.matches(labels.value(m.name())));
        let inside = samples.range(range.start_ms_incl..=range.end_ms_incl);
        if matches && inside.clone().next().is_some() {
            all.entry(labels.clone()).or_default().extend(inside);
        }
    }
    all
}

/// Without the samples outside the range, which a reader may return, and without series that
/// have none inside.
fn inside(data: Data, range: TimeRange) -> Data {
    let mut all = Data::new();
    for (labels, samples) in data {
        let inside: BTreeMap<i64, f64> =
            samples.range(range.start_ms_incl..=range.end_ms_incl).map(|(&t, &v)| (t, v)).collect();
        if !inside.is_empty() {
            all.insert(labels, inside);
        }
    }
    all
}

pub(super) fn add_blocks(world: &World, blocks: &[Data], samples_per_chunk: usize) {
    for (index, data) in blocks.iter().enumerate() {
        let mut spec = BlockSpec::new(index as u128 + 1, data.clone());
        spec.samples_per_chunk = samples_per_chunk;
        spec.segment_bytes = 50_000;
        world.add_block(&spec);
    }
}

fn matchers() -> Vec<Vec<Matcher>> {
    let of = |op, name, value| Matcher::new(op, name, value).unwrap();
    vec![
        vec![],
        vec![of(MatchOp::Equal, "job", "job-3")],
        vec![of(MatchOp::Equal, "pod", "pod-00012"), of(MatchOp::Equal, "__name__", "m")],
        vec![of(MatchOp::Regex, "pod", "pod-0.*7"), of(MatchOp::NotEqual, "job", "job-1")],
        vec![of(MatchOp::Regex, "job", "job-1|job-2"), of(MatchOp::NotRegex, "pod", ".*[13579]")],
        vec![of(MatchOp::Equal, "odd", "")],
        vec![of(MatchOp::NotEqual, "odd", "")],
        vec![of(MatchOp::Equal, "job", "none")],
        vec![of(MatchOp::Equal, "no_such_label", "x")],
    ]
}

fn ranges() -> Vec<TimeRange> {
    let within = |start, end| TimeRange::new(start, end);
    vec![ALL_TIME, within(60_000, 70_000), within(0, 0), within(151_000, i64::MAX)]
}

/// Asks for everything in each of the ranges.
fn check_against_naive(world: &World, series_count: u64, ranges: &[TimeRange]) {
    let random = SeededRandom::new(series_count);
    let blocks = random_blocks(&random, series_count);
    add_blocks(world, &blocks, 50);
    for &range in ranges {
        for matchers in matchers() {
            let found = world.select(range, &matchers, &SelectHints::default()).unwrap();
            assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let found = inside(to_data(found), range);
            assert_eq!(found, expected(&blocks, range, &matchers), "{range:?} {matchers:?}");
        }
    }
}

#[test]
fn selections_are_those_of_a_naive_database() {
    check_against_naive(&World::new(), 60, &ranges());
}

#[test]
fn selections_are_right_over_many_pages_and_batches() {
    let world = World::with(StoreOptions { select_chunk_bytes: 0 });
    check_against_naive(&world, 3000, &ranges()[1..2]);
}

#[test]
fn selections_are_right_without_room_in_the_cache() {
    let world = World::configured(|config| config.index_cache.inmemory.max_size_bytes = 0);
    check_against_naive(&world, 300, &ranges());
}

#[test]
fn selections_are_right_whatever_is_fetched_rather() {
    for preference in [1e-9, 1e9] {
        let world = World::configured(|config| config.series_fetch_preference = preference);
        check_against_naive(&world, 300, &ranges()[..2]);
    }
}

#[test]
fn long_lists_are_not_read_for_few_series() {
    let pod = |i: u32| series(&[("__name__", "m"), ("pod", &format!("{i:06}"))], [10]);
    let data: Data = (0..20_000).map(pod).collect();
    let [few, many] = [0.75, 1e-9].map(|preference| {
        let world = World::configured(|config| config.series_fetch_preference = preference);
        add_blocks(&world, std::slice::from_ref(&data), 120);
        let one = [Matcher::equal("__name__", "m"), Matcher::equal("pod", "000007")];
        let found = world.select(ALL_TIME, &one, &SelectHints::default()).unwrap();
        assert_eq!(found.len(), 1);
        let touched = "cortex_bucket_store_series_data_size_touched_bytes_sum";
        world.metric(touched, &[("data_type", "index")])
    });
    assert!(few < 2000.0 && many > 4.0 * 20_000.0, "{few} {many}");
}

#[test]
fn chunks_that_are_longer_than_guessed_are_fetched_again() {
    // Values without pattern: about 9 bytes a sample.
    let random = SeededRandom::new(1);
    let noise = |t: i64| (t * 1000, f64::from_bits(random.next_u64() >> 2));
    let data: Data = [(labels(&[("__name__", "m")]), (1..5000).map(noise).collect())].into();
    let world = World::new();
    add_blocks(&world, std::slice::from_ref(&data), 4000);
    let before = world.operations("get_range");
    assert_eq!(world.all().unwrap(), data);
    // The index; both chunks; the first of them again.
    assert_eq!(world.operations("get_range") - before, 3 + 1);
}

#[test]
fn labels_come_from_the_index() {
    let random = SeededRandom::new(5);
    let blocks = random_blocks(&random, 200);
    let world = World::new();
    add_blocks(&world, &blocks, 120);
    for range in [ALL_TIME, TimeRange::new(0, 30_000)] {
        let whole: Vec<Data> = blocks
            .iter()
            .filter(|b| b.values().flat_map(|s| s.keys()).min() <= Some(&range.end_ms_incl))
            .cloned()
            .collect();
        let querier = world.querier(range, &world.context(QueryLimits::default()));
        let querier = querier.unwrap().unwrap();
        for matchers in matchers() {
            let series = expected(&whole, ALL_TIME, &matchers);
            let names: BTreeSet<&str> =
                series.keys().flat_map(|l| l.iter().map(|l| l.name)).collect();
            let found = querier.label_names(&matchers, 0).unwrap();
            assert!(found.iter().map(String::as_str).eq(names.iter().copied()), "{matchers:?}");
            for name in ["job", "pod", "none"] {
                let values: BTreeSet<&str> = series.keys().filter_map(|l| l.get(name)).collect();
                let found = querier.label_values(name, &matchers, 0).unwrap();
                assert!(found.iter().map(String::as_str).eq(values.iter().copied()), "{name}");
                let three = querier.label_values(name, &matchers, 3).unwrap();
                assert_eq!(three, found[..found.len().min(3)]);
            }
        }
    }
    assert_eq!(world.metric("cortex_bucket_store_series_blocks_queried_count", &[]), 0.0);
}

#[test]
fn hints_narrow_what_is_read() {
    let world = World::new();
    let data: Data = (0..20)
        .map(|i| series(&[("__name__", "m"), ("i", &format!("{i:02}"))], (0..1000).map(|t| t * 10)))
        .collect();
    add_blocks(&world, std::slice::from_ref(&data), 100);
    let range = TimeRange::new(0, 4_505);
    let select = |hints: &SelectHints| world.select(range, &[], hints).unwrap();

    let newest = SelectHints { newest_only: true, end_ms_incl: 4_505, ..SelectHints::default() };
    for (_, samples) in select(&newest) {
        assert_eq!(samples.float_times, (400..500).map(|t| t * 10).collect::<Vec<i64>>());
    }
    let other_end = SelectHints { end_ms_incl: 4_506, ..newest };
    assert!(select(&other_end).iter().all(|(_, samples)| samples.len() == 500));

    let limited = select(&SelectHints { limit: 3, ..SelectHints::default() });
    assert!(limited.iter().map(|(labels, _)| labels).eq(data.keys().take(3)));

    let labels_only = select(&SelectHints { labels_only: true, ..SelectHints::default() });
    assert!(labels_only.iter().map(|(labels, _)| labels).eq(data.keys()));
    assert!(labels_only.iter().all(|(_, samples)| samples.is_empty()));

    let mut of_shards = Vec::new();
    for index in 0..3 {
        let shard = Some(Shard { index, count: 3 });
        let series = select(&SelectHints { shard, ..SelectHints::default() });
        assert!(series.iter().all(|(labels, _)| labels.stable_hash() % 3 == index));
        of_shards.extend(series.into_iter().map(|(labels, _)| labels));
    }
    of_shards.sort();
    assert!(of_shards.iter().eq(data.keys()));
    // The first shard has asked for the hashes of all series.
    let metric = |name: &str| {
        world.metric(&format!("cortex_bucket_store_series_hash_cache_{name}_total"), &[])
    };
    assert_eq!((metric("requests"), metric("hits")), (60.0, 40.0));
}

#[test]
fn chunks_can_be_handed_on_as_they_are() {
    let world = World::new();
    let data: Data = [series(&[("__name__", "m")], (0..300).map(|t| t * 10))].into();
    add_blocks(&world, std::slice::from_ref(&data), 100);
    let querier = world.querier(TimeRange::new(500, 1500), &world.context(Default::default()));
    let set = querier.unwrap().unwrap().select(&[], &SelectHints::default());
    let mut entry = set.unwrap().next_series().unwrap().unwrap();
    let chunks: Vec<EncodedChunk> = entry.samples.encoded_chunks().unwrap().unwrap();
    let times: Vec<(i64, i64)> = chunks.iter().map(|c| (c.min_time_ms, c.max_time_ms)).collect();
    assert_eq!(times, [(0, 990), (1000, 1990)]);
    let mut samples = SampleBuffer::default();
    for chunk in &chunks {
        let encoding = ChunkEncoding::from_number(chunk.encoding).unwrap();
        decode(encoding, &chunk.data, &mut samples).unwrap();
    }
    assert_eq!(samples.float_times, (0..200).map(|t| t * 10).collect::<Vec<i64>>());
}

/// Series with 40 chunks each, of which four are in the range that is asked for.
#[test]
fn what_has_too_many_chunks_is_refused_before_any_is_fetched() {
    let data: Data = (0..100)
        .map(|i| series(&[("__name__", "m"), ("i", &format!("{i:03}"))], (0..400).map(|t| t * 10)))
        .collect();
    let range = TimeRange::new(1000, 1399);
    let m = [Matcher::equal("__name__", "m")];
    let ask = |max_chunks: u64, matchers: &[Matcher], hints: &SelectHints| {
        let world = World::new();
        add_blocks(&world, &[data.clone(), data.clone()], 10);
        let context = world.context(QueryLimits { max_chunks, ..QueryLimits::default() });
        let set = world.querier(range, &context).unwrap().unwrap().select(matchers, hints);
        let found = set.and_then(|mut set| read_all(&mut *set));
        let chunk_bytes = [("data_type", "chunks")];
        let fetched = "cortex_bucket_store_series_data_size_fetched_bytes_sum";
        (found.map(|series| series.len()), world.metric(fetched, &chunk_bytes), context.usage())
    };
    let hints = SelectHints::default();
    let is_refused = |result: &Result<usize, StorageError>| matches!(result, Err(StorageError::Limit(error)) if error.kind == LimitKind::Chunks);
    for matchers in [&[][..], &m] {
        // Two blocks of a hundred series are more than 150, so that the indexes are asked.
        let (refused, fetched_bytes, usage) = ask(150, matchers, &hints);
        assert!(is_refused(&refused), "{refused:?}");
        assert_eq!((fetched_bytes, usage.chunks), (0.0, 0));
        let (found, _, usage) = ask(800, matchers, &hints);
        assert_eq!((found.unwrap(), usage.chunks), (100, 800));
    }
    // What is wanted of each series, and of which series, counts alone.
    let newest = SelectHints { newest_only: true, end_ms_incl: 1399, ..SelectHints::default() };
    assert_eq!(ask(199, &m, &newest).2.chunks, 0);
    assert_eq!(ask(200, &m, &newest).0.unwrap(), 100);
    let shards = [0, 1].map(|index| SelectHints {
        shard: Some(Shard { index, count: 2 }),
        ..SelectHints::default()
    });
    let of_shards = shards.map(|hints| ask(199, &[], &hints).0);
    assert!(of_shards.iter().all(is_refused));
    let halves = [0, 1].map(|index| {
        let shard = Some(Shard { index, count: 2 });
        ask(700, &[], &SelectHints { shard, ..SelectHints::default() }).0.unwrap()
    });
    assert_eq!(halves.iter().sum::<usize>(), 100);
    // Where the selection ends early or wants no chunks there is nothing to refuse.
    assert_eq!(ask(8, &m, &SelectHints { limit: 1, ..SelectHints::default() }).0.unwrap(), 1);
    assert_eq!(ask(1, &m, &SelectHints { labels_only: true, ..hints }).0.unwrap(), 100);
}

#[test]
fn limits_stop_a_query_and_memory_is_given_back() {
    let world = World::new();
    let data: Data = (0..100)
        .map(|i| series(&[("__name__", "m"), ("i", &format!("{i:03}"))], (0..400).map(|t| t * 10)))
        .collect();
    // The same series in two blocks count once.
    add_blocks(&world, &[data.clone(), data], 100);
    let none = QueryLimits::default();
    let cases = [
        (LimitKind::Series, QueryLimits { max_series: 99, ..none }),
        (LimitKind::Chunks, QueryLimits { max_chunks: 799, ..none }),
        (LimitKind::ChunkBytes, QueryLimits { max_chunk_bytes: 50_000, ..none }),
        (LimitKind::Memory, QueryLimits { max_memory_bytes: 10_000, ..none }),
    ];
    for (kind, limits) in cases {
        let context = world.context(limits);
        let querier = world.querier(ALL_TIME, &context).unwrap().unwrap();
        let result = querier
            .select(&[], &SelectHints::default())
            .and_then(|mut set| read_all(&mut *set).map(drop));
        match result {
            Err(StorageError::Limit(error)) => assert_eq!(error.kind, kind),
            other => panic!("{kind:?}: {other:?}"),
        }
    }
    let context = world.context(QueryLimits { max_series: 100, max_chunks: 800, ..none });
    let querier = world.querier(ALL_TIME, &context).unwrap().unwrap();
    let mut set = querier.select(&[], &SelectHints::default()).unwrap();
    assert_eq!(read_all(&mut *set).unwrap().len(), 100);
    drop((set, querier));
    let usage = context.usage();
    assert_eq!((usage.series, usage.chunks, usage.samples), (100, 800, 80_000));
    // All memory was given back: a reservation of the peak alone does not raise the peak.
    context.reserve_memory(usage.peak_memory_bytes).unwrap();
    assert_eq!(context.usage().peak_memory_bytes, usage.peak_memory_bytes);
}

#[test]
fn a_stopped_query_reads_no_further() {
    let world = World::with(StoreOptions { select_chunk_bytes: 0 });
    let data: Data = (0..2000)
        .map(|i| series(&[("__name__", "m"), ("i", &format!("{i:04}"))], (0..400).map(|t| t * 10)))
        .collect();
    add_blocks(&world, std::slice::from_ref(&data), 100);
    let context = world.context(QueryLimits::default());
    let querier = world.querier(ALL_TIME, &context).unwrap().unwrap();
    let mut set = querier.select(&[], &SelectHints::default()).unwrap();
    assert!(set.next_series().unwrap().is_some());
    context.cancel();
    let before = world.operations("get_range");
    assert!(matches!(set.next_series(), Err(StorageError::Interrupted(_))));
    assert!(matches!(
        querier.select(&[], &SelectHints::default()).map(drop),
        Err(StorageError::Interrupted(_))
    ));
    assert!(querier.label_names(&[], 0).is_err());
    assert_eq!(world.operations("get_range"), before);
}

#[test]
fn several_queries_at_once_load_a_header_once() {
    let world = World::new();
    let data: Data = [series(&[("__name__", "m")], 0..100)].into();
    add_blocks(&world, std::slice::from_ref(&data), 100);
    let all: Vec<Data> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| world.all().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|answer| *answer == data));
    let loads = world.metric("cortex_bucket_store_indexheader_lazy_load_total", &[]);
    assert_eq!(loads, 1.0);
    assert_eq!(Arc::strong_count(&world.context(QueryLimits::default())), 1);
}
