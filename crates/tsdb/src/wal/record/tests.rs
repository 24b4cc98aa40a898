//! The records beyond the vectors: random round trips, bytes that make no sense, other schemas.

use model::{FloatHistogram, Histogram, Span};
use proptest::prelude::*;

use super::*;

/// Walks through a record to its end. Returns the number of items and whether the last one was
/// an error.
fn walk(record: &[u8]) -> (usize, bool) {
    fn count<T>(items: impl Iterator<Item = Result<T, DecodeError>>) -> (usize, bool) {
        let outcomes: Vec<bool> = items.map(|item| item.is_err()).collect();
        assert!(!outcomes.iter().rev().skip(1).any(|&e| e), "an item after an error");
        (outcomes.len(), outcomes.last().copied().unwrap_or(false))
    }
    match Record::decode(record) {
        Ok(Record::Series(mut items)) => {
            count(std::iter::from_fn(|| items.next_item().map(|s| s.map(|_| ()))))
        }
        Ok(Record::Exemplars(mut items)) => {
            count(std::iter::from_fn(|| items.next_item().map(|s| s.map(|_| ()))))
        }
        Ok(Record::Samples(items)) => count(items),
        Ok(Record::Tombstones(items)) => count(items),
        Ok(Record::MmapMarkers(items)) => count(items),
        Ok(Record::Metadata(items)) => count(items),
        Ok(Record::Histograms(items)) => count(items),
        Ok(Record::FloatHistograms(items)) => count(items),
        Ok(Record::Unknown(_)) => (0, false),
        Err(_) => (0, true),
    }
}

/// One record of each type that is written.
fn one_of_each() -> Vec<Vec<u8>> {
    let (mut series, mut samples) = (SeriesEncoder::default(), SamplesEncoder::default());
    let (mut tombstones, mut exemplars) =
        (TombstonesEncoder::default(), ExemplarsEncoder::default());
    let (mut markers, mut metadata) = (MmapMarkersEncoder::default(), MetadataEncoder::default());
    let (mut integers, mut floats) =
        (HistogramsEncoder::default(), FloatHistogramsEncoder::default());
    for i in 1..4u64 {
        let t = i.cast_signed() * 1000;
        series.push(i, [("a", "b"), ("é", "x")]);
        samples.push(i, t, 1.5);
        tombstones.push(i, -t, t);
        exemplars.push(i, (t, 0.5), [("trace", "x")]);
        markers.push(i, 99);
        metadata.push(i, MetricType::Counter, "u", "help");
        let spans = vec![Span { offset: -2, length: 2 }];
        for schema in [3, -53] {
            integers.push(
                i,
                t,
                &Histogram {
                    schema,
                    positive_spans: spans.clone(),
                    positive_buckets: vec![3, -1],
                    custom_values: [1.0, 2.0].into(),
                    ..Default::default()
                },
            );
            floats.push(
                i,
                t,
                &FloatHistogram {
                    schema,
                    negative_spans: spans.clone(),
                    negative_buckets: vec![3.0, 1.0],
                    custom_values: [1.0, 2.0].into(),
                    ..Default::default()
                },
            );
        }
    }
    let mut records = vec![series.record(), samples.record(), tombstones.record()];
    records.extend([exemplars.record(), markers.record(), metadata.record()]);
    records.extend(integers.records());
    records.extend(floats.records());
    records.into_iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn every_prefix_gives_items_or_an_error() {
    for record in one_of_each() {
        assert_eq!(walk(&record), (3, false));
        for length in 0..record.len() {
            let (items, _) = walk(&record[..length]);
            assert!(items <= 3);
        }
    }
    assert_eq!(walk(&[]), (0, true), "a record without bytes");
    assert_eq!(walk(&[200, 1, 2]), (0, false), "a type of the future");
    assert_eq!(walk(&[RecordType::Samples as u8]), (0, false), "an empty list");
}

#[test]
fn a_count_beyond_the_record_reserves_nothing() {
    // A series with 2^62 labels, a histogram with as many spans.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    let mut series = vec![RecordType::Series as u8];
    series.extend([0; 8]);
    series.extend(huge);
    assert_eq!(walk(&series), (1, true));
    let mut histogram = vec![RecordType::Histograms as u8];
    // The header; hint, schema and threshold; counts and sum.
    histogram.extend([0; 16 + 2 + 10 + 10]);
    histogram.extend(huge);
    assert_eq!(walk(&histogram), (1, true));
}

#[test]
fn labels_that_are_not_text_are_an_error() {
    let mut series = vec![RecordType::Series as u8];
    series.extend([0; 8]);
    series.extend([1, 1, 0xff, 0]);
    assert_eq!(walk(&series), (1, true));
}

#[test]
fn many_labels_are_counted_in_two_bytes() {
    let names: Vec<String> = (0..300).map(|i| format!("n{i:03}")).collect();
    let mut encoder = SeriesEncoder::default();
    encoder.push(5, names.iter().map(|n| (n.as_str(), "v")));
    encoder.push(6, []);
    let Ok(Record::Series(mut items)) = Record::decode(encoder.record()) else { panic!() };
    let first = items.next_item().unwrap().unwrap();
    assert_eq!((first.series_ref, first.labels.len()), (5, 300));
    assert_eq!(first.labels[299], ("n299", "v"));
    assert_eq!(items.next_item().unwrap().unwrap().labels, []);
}

/// The schemas that come back of histograms with these schemas.
fn schemas_read(schemas: &[i32]) -> (Vec<i32>, Vec<i32>) {
    let (mut integers, mut floats) =
        (HistogramsEncoder::default(), FloatHistogramsEncoder::default());
    for &schema in schemas {
        let spans = vec![Span { offset: 0, length: 4 }];
        integers.push(
            1,
            1,
            &Histogram {
                schema,
                positive_spans: spans.clone(),
                positive_buckets: vec![1, 0, 0, 0],
                ..Default::default()
            },
        );
        floats.push(
            1,
            1,
            &FloatHistogram {
                schema,
                positive_spans: spans,
                positive_buckets: vec![1.0; 4],
                ..Default::default()
            },
        );
    }
    let Ok(Record::Histograms(items)) = Record::decode(integers.records()[0]) else { panic!() };
    let integers: Vec<_> = items.map(|h| h.unwrap().histogram).collect();
    let Ok(Record::FloatHistograms(items)) = Record::decode(floats.records()[0]) else { panic!() };
    let floats: Vec<_> = items.map(|h| h.unwrap().histogram).collect();
    let all_counted = |h: &FloatHistogram| h.positive_buckets.iter().sum::<f64>() == 4.0;
    assert!(floats.iter().all(all_counted));
    (integers.iter().map(|h| h.schema).collect(), floats.iter().map(|h| h.schema).collect())
}

#[test]
fn finer_schemas_are_reduced_and_unknown_ones_left_out() {
    let read = schemas_read(&[8, 9, 52, 53, -4, -5, 0]);
    let expected = vec![8, 8, 8, -4, 0];
    assert_eq!(read, (expected.clone(), expected));
}

#[test]
fn spans_that_do_not_match_their_buckets_are_an_error_where_it_matters() {
    let mut encoder = HistogramsEncoder::default();
    let spans = vec![Span { offset: 0, length: 9 }];
    encoder.push(1, 1, &Histogram { schema: 20, positive_spans: spans, ..Default::default() });
    assert_eq!(walk(encoder.records()[0]), (1, true));
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let spans = || {
        let span = (any::<i32>(), 0u32..5);
        prop::collection::vec(span.prop_map(|(offset, length)| Span { offset, length }), 0..4)
    };
    let buckets = || prop::collection::vec(any::<i64>(), 0..6);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), 0u8..4);
    (numbers, spans(), spans(), buckets(), buckets(), prop::option::of(-4i32..9)).prop_map(
        |((count, zero_count, sum, hint), positive, negative, pos, neg, schema)| Histogram {
            counter_reset_hint: model::CounterResetHint::from_number(hint).unwrap_or_default(),
            schema: schema.unwrap_or(-53),
            zero_threshold: 0.25,
            zero_count,
            count,
            sum: f64::from_bits(sum),
            positive_spans: positive,
            negative_spans: negative,
            positive_buckets: pos,
            negative_buckets: neg,
            custom_values: if schema.is_some() { [].into() } else { [0.5, 7.0].into() },
        },
    )
}

proptest! {
    #[test]
    fn samples_round_trip(
        samples in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 1..50),
    ) {
        let mut encoder = SamplesEncoder::default();
        encoder.push(1, 2, 3.0);
        encoder.clear();
        for &(series_ref, t, bits) in &samples {
            encoder.push(series_ref, t, f64::from_bits(bits));
        }
        let Ok(Record::Samples(items)) = Record::decode(encoder.record()) else { panic!() };
        let decoded: Vec<_> =
            items.flatten().map(|s| (s.series_ref, s.t, s.value.to_bits())).collect();
        prop_assert_eq!(decoded, samples);
    }

    #[test]
    fn histograms_round_trip(histograms in prop::collection::vec(histogram(), 1..8)) {
        let mut encoder = HistogramsEncoder::default();
        for (i, h) in histograms.iter().enumerate() {
            encoder.push(i as u64, 7, h);
        }
        let mut decoded = Vec::new();
        for record in encoder.records().into_iter().filter(|r| !r.is_empty()) {
            let Ok(Record::Histograms(items)) = Record::decode(record) else { panic!() };
            decoded.extend(items.flatten());
        }
        decoded.sort_by_key(|h| h.series_ref);
        // Sums are compared as text, which tells NaNs from numbers and not from each other;
        // their bits are compared beside it.
        let bits = |h: &Histogram| h.sum.to_bits();
        let found: Vec<_> = decoded.iter().map(|h| bits(&h.histogram)).collect();
        prop_assert_eq!(found, histograms.iter().map(bits).collect::<Vec<_>>());
        let found: Vec<_> = decoded.iter().map(|h| format!("{:?}", h.histogram)).collect();
        let expected: Vec<_> = histograms.iter().map(|h| format!("{h:?}")).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        record_type in 0u8..16,
    ) {
        walk(&bytes);
        let mut typed = vec![record_type];
        typed.extend(bytes);
        walk(&typed);
    }

    #[test]
    fn no_change_makes_the_decoder_panic(which in 0usize..10, at: usize, bit in 0u32..8) {
        let mut record = one_of_each().swap_remove(which);
        let at = at % record.len();
        record[at] ^= 1 << bit;
        walk(&record);
    }
}
