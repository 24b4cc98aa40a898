//! Every operation against a plain map from bucket index to count.

use super::*;

/// Buckets of one side as a map; empty ones are left out.
fn map_of(spans: &[Span], buckets: &[f64]) -> BTreeMap<i64, f64> {
    let mut map = BTreeMap::new();
    let mut index = 0_i64;
    let mut counts = buckets.iter();
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            *map.entry(index).or_insert(0.0) += counts.next().unwrap();
            index += 1;
        }
    }
    assert!(counts.next().is_none(), "buckets that no span describes");
    map.retain(|_, count| *count != 0.0);
    map
}

fn positive(h: &FloatHistogram) -> BTreeMap<i64, f64> {
    map_of(&h.positive_spans, &h.positive_buckets)
}

fn negative(h: &FloatHistogram) -> BTreeMap<i64, f64> {
    map_of(&h.negative_spans, &h.negative_buckets)
}

fn coarser(map: &BTreeMap<i64, f64>, steps: i32) -> BTreeMap<i64, f64> {
    let mut coarse = BTreeMap::new();
    for (index, count) in map {
        // A bucket (2^(i-1), 2^i] of the finer schema lies in bucket ceil(i / 2^steps).
        let width = 1_i64 << steps;
        *coarse
            .entry(index.div_euclid(width) + i64::from(index.rem_euclid(width) != 0))
            .or_insert(0.0) += count;
    }
    coarse
}

fn plus(a: &BTreeMap<i64, f64>, b: &BTreeMap<i64, f64>, sign: f64) -> BTreeMap<i64, f64> {
    let mut sum = a.clone();
    for (index, count) in b {
        *sum.entry(*index).or_insert(0.0) += sign * count;
    }
    sum.retain(|_, count| *count != 0.0);
    sum
}

fn total(h: &FloatHistogram) -> f64 {
    h.zero_count + h.positive_buckets.iter().chain(&h.negative_buckets).sum::<f64>()
}

/// Spans and whole-number buckets, so that sums are exact in any order.
fn side() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let span = (0..4_i32, 0..5_u32).prop_map(|(offset, length)| Span { offset, length });
    (-20..20_i32, prop::collection::vec(span, 0..5)).prop_flat_map(|(first, mut spans)| {
        if let Some(span) = spans.first_mut() {
            span.offset = first;
        }
        let length = spans.iter().map(|span| span.length as usize).sum::<usize>();
        let buckets = prop::collection::vec((0..6_u32).prop_map(f64::from), length);
        (Just(spans), buckets)
    })
}

fn exponential() -> impl Strategy<Value = FloatHistogram> {
    let zero = prop::sample::select(vec![0.0, 1e-6, 0.03, 0.25, 0.7, 1.0, 3.0]);
    (side(), side(), -2..4_i32, zero, 0..5_u32).prop_map(
        |(positive, negative, schema, zero_threshold, zero_count)| {
            let mut h = FloatHistogram {
                schema,
                zero_threshold,
                zero_count: f64::from(zero_count),
                positive_spans: positive.0,
                positive_buckets: positive.1,
                negative_spans: negative.0,
                negative_buckets: negative.1,
                ..FloatHistogram::default()
            };
            h.count = total(&h);
            h.sum = h.count * 3.0;
            h
        },
    )
}

fn custom() -> impl Strategy<Value = FloatHistogram> {
    let bounds = prop::collection::btree_set(-5..12_i32, 0..8);
    (bounds, prop::collection::vec((0..6_u32).prop_map(f64::from), 9)).prop_map(
        |(bounds, mut buckets)| {
            buckets.truncate(bounds.len() + 1);
            let length = buckets.len() as u32;
            FloatHistogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: buckets.iter().sum(),
                sum: 7.0,
                custom_values: bounds.into_iter().map(f64::from).collect(),
                positive_spans: vec![Span { offset: 0, length }],
                positive_buckets: buckets,
                ..FloatHistogram::default()
            }
        },
    )
}

fn any() -> impl Strategy<Value = FloatHistogram> {
    prop_oneof![exponential(), custom()]
}

/// Observations at or below each of some values that are bucket bounds in every schema.
fn cumulative(h: &FloatHistogram, bound: f64) -> f64 {
    h.all_buckets().filter(|b| b.upper <= bound).map(|b| b.count).sum()
}

proptest! {
    #[test]
    fn addition_commutes(a in any(), b in any()) {
        let (mut left, mut right) = (a.clone(), b.clone());
        let outcome = left.add(&b);
        prop_assert_eq!(outcome, right.add(&a));
        prop_assert_eq!(outcome.is_err(), a.uses_custom_buckets() != b.uses_custom_buckets());
        if outcome.is_ok() {
            left.compact(0);
            right.compact(0);
            prop_assert_eq!(left, right);
        }
    }

    #[test]
    fn addition_keeps_every_observation(a in any(), b in any()) {
        let mut sum = a.clone();
        if sum.add(&b).is_ok() {
            prop_assert_eq!(total(&sum), total(&a) + total(&b));
            prop_assert_eq!(sum.count, a.count + b.count);
            prop_assert_eq!(sum.sum, a.sum + b.sum);
            prop_assert!(sum.validate().is_ok(), "{:?}", sum);
        }
    }

    #[test]
    fn addition_is_that_of_maps(a in exponential(), b in exponential()) {
        let b = FloatHistogram { zero_threshold: a.zero_threshold, ..b };
        // Buckets within the zero bucket are not a valid input.
        prop_assume!(clear_of_zero(&a) && clear_of_zero(&b));
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        let schema = a.schema.min(b.schema);
        let expected = plus(
            &coarser(&positive(&a), a.schema - schema),
            &coarser(&positive(&b), b.schema - schema),
            1.0,
        );
        prop_assert_eq!(sum.schema, schema);
        prop_assert_eq!(positive(&sum), expected);
        let expected = plus(
            &coarser(&negative(&a), a.schema - schema),
            &coarser(&negative(&b), b.schema - schema),
            1.0,
        );
        prop_assert_eq!(negative(&sum), expected);
        prop_assert_eq!(sum.zero_count, a.zero_count + b.zero_count);
    }

    #[test]
    fn subtraction_undoes_addition(a in any(), b in any()) {
        let mut round_trip = a.clone();
        if round_trip.add(&b).is_ok() {
            round_trip.sub(&b).unwrap();
            // What is left is `a` in the shape of the sum.
            let mut nothing = b.clone();
            nothing.mul(0.0);
            let mut expected = a.clone();
            expected.add(&nothing).unwrap();
            if b.zero_threshold == a.zero_threshold {
                expected.compact(0);
                round_trip.compact(0);
                prop_assert_eq!(&round_trip, &expected);
            }
            prop_assert_eq!(total(&round_trip), total(&a));
        }
    }

    #[test]
    fn compensated_addition_is_plain_addition_on_whole_numbers(a in any(), b in any()) {
        let mut plain = a.clone();
        let mut compensated = KahanHistogram::new(&a);
        let outcome = plain.add(&b);
        prop_assert_eq!(outcome, compensated.add(&b));
        if outcome.is_ok() {
            prop_assert_eq!(compensated.into_histogram(), plain);
        }
    }

    #[test]
    fn compaction_keeps_the_meaning(h in any(), max_empty in 0..4_usize) {
        let mut compact = h.clone();
        compact.compact(max_empty);
        prop_assert_eq!(positive(&compact), positive(&h));
        prop_assert_eq!(negative(&compact), negative(&h));
        for (spans, buckets) in [
            (&compact.positive_spans, &compact.positive_buckets),
            (&compact.negative_spans, &compact.negative_buckets),
        ] {
            prop_assert!(spans.iter().all(|span| span.length > 0));
            prop_assert!(spans.iter().skip(1).all(|span| span.offset as usize > max_empty));
            prop_assert!(buckets.first().is_none_or(|bucket| *bucket != 0.0));
            prop_assert!(buckets.last().is_none_or(|bucket| *bucket != 0.0));
            let empty_run = buckets.split(|bucket| *bucket != 0.0).map(<[f64]>::len).max();
            prop_assert!(empty_run.unwrap_or(0) <= max_empty);
        }
        let mut again = compact.clone();
        again.compact(max_empty);
        prop_assert_eq!(again, compact);
    }

    #[test]
    fn integer_operations_are_those_of_floats(h in exponential(), max_empty in 0..3_usize) {
        let integer = integers(&h);
        prop_assert_eq!(&integer.to_float(), &h);
        let (mut a, mut b) = (integer.clone(), h.clone());
        a.compact(max_empty);
        b.compact(max_empty);
        prop_assert_eq!(a.to_float(), b);
        let (mut a, mut b) = (integer, h);
        prop_assert_eq!(a.reduce_resolution(-3), b.reduce_resolution(-3));
        prop_assert_eq!(a.to_float(), b);
        prop_assert!(a.validate().is_ok());
    }

    #[test]
    fn a_coarser_schema_keeps_the_counts(h in exponential(), steps in 1..4_i32) {
        let mut coarse = h.clone();
        coarse.reduce_resolution(h.schema - steps).unwrap();
        prop_assert_eq!(positive(&coarse), coarser(&positive(&h), steps));
        prop_assert_eq!(negative(&coarse), coarser(&negative(&h), steps));
        prop_assert_eq!(coarse.zero_count, h.zero_count);
        let copy = h.copy_to_schema(h.schema - steps);
        prop_assert_eq!(copy, coarse);
    }

    #[test]
    fn a_counter_that_grows_has_no_reset(a in any(), b in any()) {
        let mut later = a.clone();
        if later.add(&b).is_ok() {
            prop_assert!(!later.detect_reset(&a), "{} after {}", later, a);
            later.compact(0);
            prop_assert!(!later.detect_reset(&a), "{} after {}", later, a);
        }
    }

    #[test]
    fn a_bucket_that_falls_is_a_reset(h in any(), which in prop::arbitrary::any::<prop::sample::Index>()) {
        prop_assume!(!h.positive_buckets.is_empty());
        let at = which.index(h.positive_buckets.len());
        prop_assume!(h.positive_buckets[at] > 0.0 && clear_of_zero(&h));
        let mut later = h.clone();
        later.positive_buckets[at] -= 1.0;
        prop_assert!(later.detect_reset(&h));
        later.positive_buckets[at] = 0.0;
        later.compact(0);
        prop_assert!(later.detect_reset(&h));
        later.counter_reset_hint = CounterResetHint::NotCounterReset;
        prop_assert!(!later.detect_reset(&h));
    }

    #[test]
    fn buckets_come_in_order_and_reversed(h in any()) {
        let forward: Vec<Bucket> = h.all_buckets().collect();
        let mut backward: Vec<Bucket> = h.all_buckets().rev().collect();
        backward.reverse();
        prop_assert_eq!(&forward, &backward);
        if clear_of_zero(&h) {
            prop_assert!(forward.windows(2).all(|pair| pair[0].upper <= pair[1].lower));
        }
        prop_assert_eq!(forward.iter().map(|b| b.count).sum::<f64>(), h.count);
    }

    #[test]
    fn a_fraction_is_the_inverse_of_a_quantile(h in exponential(), q in 0.01..0.99_f64) {
        prop_assume!(h.count > 0.0 && clear_of_zero(&h) && h.zero_threshold > 0.0);
        let (value, _) = h.quantile(q);
        let (fraction, nans) = h.fraction(f64::NEG_INFINITY, value);
        prop_assert!(!nans);
        // Between two populated buckets every value has the same fraction.
        prop_assert!((fraction - q).abs() < 1e-6 || cumulative(&h, value) / h.count >= q - 1e-6);
    }

    #[test]
    fn both_trims_share_out_all_observations(h in any(), value in -20.0..20.0_f64) {
        prop_assume!(clear_of_zero(&h) && !h.uses_custom_buckets());
        let (mut below, mut above) = (h.clone(), h.clone());
        below.trim_upper(value);
        above.trim_lower(value);
        prop_assert!((below.count + above.count - h.count).abs() < 1e-9 * h.count.max(1.0));
        let (expected, _) = h.fraction(f64::NEG_INFINITY, value);
        if h.count > 0.0 && h.zero_threshold > 0.0 && one_kind(&h) {
            prop_assert!((below.count - expected * h.count).abs() < 1e-6, "{} {}", below, expected);
        }
    }

    #[test]
    fn damaged_histograms_end_nothing(h in damaged(), other in damaged()) {
        let _ = h.validate();
        let mut sum = h.clone();
        let _ = sum.add(&other);
        let mut compensated = KahanHistogram::new(&h);
        let _ = compensated.add(&other);
        sum = h.clone();
        sum.compact(2);
        let _ = h.clone().reduce_resolution(-4);
        let _ = h.copy_to_schema(-4);
        let _ = h.detect_reset(&other);
        let _ = (h.quantile(0.3), h.quantile(0.9), h.fraction(-1.0, 1.0), h.stdvar());
        sum.trim_lower(0.5);
        let _ = (h.to_string(), h.equals(&other));
    }
}

/// Anything that the types allow.
fn damaged() -> impl Strategy<Value = FloatHistogram> {
    let span = (prop::num::i32::ANY, 0..4_u32).prop_map(|(offset, length)| Span { offset, length });
    let spans = || {
        let span = prop_oneof![
            span.clone(),
            (-3..3_i32, 0..3_u32).prop_map(|(offset, length)| Span { offset, length }),
            Just(Span { offset: 0, length: u32::MAX }),
        ];
        prop::collection::vec(span, 0..4)
    };
    let float = || prop_oneof![prop::num::f64::ANY, Just(f64::NAN), Just(1.0)];
    let floats = move || prop::collection::vec(float(), 0..6);
    let schema = prop_oneof![-60..60_i32, Just(CUSTOM_BUCKETS_SCHEMA), Just(3)];
    (schema, float(), float(), spans(), spans(), floats(), floats(), floats()).prop_map(
        |(schema, zero_threshold, count, p_spans, n_spans, p, n, bounds)| FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema,
            zero_threshold,
            zero_count: count,
            count,
            sum: count,
            positive_spans: p_spans,
            negative_spans: n_spans,
            positive_buckets: p,
            negative_buckets: n,
            custom_values: Arc::from(bounds),
        },
    )
}

/// Whether no bucket begins within the zero bucket.
fn clear_of_zero(h: &FloatHistogram) -> bool {
    h.uses_custom_buckets()
        || h.positive_bucket_iter().all(|b| b.lower >= h.zero_threshold)
            && h.negative_bucket_iter().all(|b| b.upper <= -h.zero_threshold)
}

/// Whether trims and fractions see the same sides: those ask for populated buckets, these for
/// any.
fn one_kind(h: &FloatHistogram) -> bool {
    let populated = |buckets: &[f64]| buckets.iter().any(|count| *count != 0.0);
    populated(&h.positive_buckets) != h.positive_buckets.is_empty()
        && populated(&h.negative_buckets) != h.negative_buckets.is_empty()
}

fn integers(h: &FloatHistogram) -> Histogram {
    let deltas = |buckets: &[f64]| {
        let mut previous = 0;
        buckets.iter().map(|b| *b as i64 - std::mem::replace(&mut previous, *b as i64)).collect()
    };
    Histogram {
        counter_reset_hint: h.counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_buckets: deltas(&h.positive_buckets),
        negative_buckets: deltas(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}
