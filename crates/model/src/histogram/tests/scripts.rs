//! Single cases. Numbers are those of Prometheus' test scripts where such a case is in them.

use super::*;

fn added(a: &str, b: &str) -> (FloatHistogram, AddOutcome) {
    let mut sum = parse(a);
    let outcome = sum.add(&parse(b)).unwrap();
    sum.compact(0);
    (sum, outcome)
}

#[track_caller]
fn check_add(a: &str, b: &str, expected: &str) {
    assert_eq!(added(a, b).0.test_expression(), expected);
}

#[test]
fn schemas_and_offsets_are_reconciled() {
    check_add(
        "{{schema:0 sum:4 count:4 buckets:[1 2 1]}}",
        "{{sum:2 count:1 buckets:[1] offset:1}}",
        "{{count:5 sum:6 buckets:[1 3 1]}}",
    );
    check_add(
        "{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}",
        "{{schema:0 sum:4 count:4 buckets:[2 2] offset:1}}",
        "{{schema:-1 count:5 sum:8 offset:1 buckets:[5]}}",
    );
    check_add(
        "{{schema:0 sum:4 count:4 buckets:[2 2] offset:1}}",
        "{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}",
        "{{schema:-1 count:5 sum:8 offset:1 buckets:[5]}}",
    );
}

/// The zero bucket up to 0.5 takes in (0.25,0.5] whole; one up to 0.4 would cut it, and so
/// reaches to 0.5 as well.
#[test]
fn the_narrower_zero_bucket_is_widened_to_a_bucket_border() {
    let narrow = "{{count:9 z_bucket:1 z_bucket_w:0.125 offset:-2 buckets:[1 2 4] n_buckets:[1]}}";
    check_add(
        narrow,
        "{{count:1 z_bucket:1 z_bucket_w:0.5}}",
        "{{count:10 z_bucket:5 z_bucket_w:0.5 buckets:[4] n_buckets:[1]}}",
    );
    check_add(
        "{{count:1 z_bucket:1 z_bucket_w:0.4}}",
        narrow,
        "{{count:10 z_bucket:5 z_bucket_w:0.5 buckets:[4] n_buckets:[1]}}",
    );
    check_add(
        "{{count:3 z_bucket:1 z_bucket_w:0.3 offset:-1 buckets:[2]}}",
        "{{count:4 z_bucket:1 z_bucket_w:0.1 offset:-2 buckets:[2] n_offset:-1 n_buckets:[1]}}",
        "{{count:7 z_bucket:7 z_bucket_w:0.5}}",
    );
}

/// Here the finer histogram's buckets up to the other's zero threshold must not be counted
/// again when they are joined with those above it.
#[test]
fn widening_before_joining_counts_nothing_twice() {
    let (sum, _) = added(
        "{{schema:0 count:1 z_bucket:1 z_bucket_w:1}}",
        "{{schema:1 count:6 z_bucket:1 z_bucket_w:0.5 buckets:[2 3]}}",
    );
    assert_eq!(sum.test_expression(), "{{count:7 z_bucket:4 z_bucket_w:1 offset:1 buckets:[3]}}");
}

#[test]
fn custom_bounds_are_cut_to_the_common_ones() {
    let (mut now, outcome) = (
        parse(
            "{{schema:-53 sum:555 count:450 custom_values:[1 2 3 4 5 6 7 8] \
             buckets:[10 20 30 40 50 60 70 80 90]}}",
        ),
        AddOutcome { nhcb_bounds_reconciled: true, ..AddOutcome::default() },
    );
    let before = parse("{{schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]}}");
    assert_eq!(now.sub(&before), Ok(outcome));
    assert_eq!(
        now.test_expression(),
        "{{schema:-53 count:435 sum:500 custom_values:[2 4 6] buckets:[29 68 105 233]}}"
    );
    let (sum, outcome) = added(
        "{{schema:-53 sum:1 count:1 custom_values:[2] buckets:[1]}}",
        "{{schema:-53 sum:1 count:3 custom_values:[5 10] buckets:[1 2]}}",
    );
    assert!(outcome.nhcb_bounds_reconciled);
    assert_eq!(sum.test_expression(), "{{schema:-53 count:4 sum:2 custom_values:[] buckets:[4]}}");
}

#[test]
fn exponential_and_custom_buckets_do_not_mix() {
    let custom = parse("{{schema:-53 custom_values:[5 10] buckets:[1]}}");
    let mut exponential = parse("{{count:1 buckets:[1]}}");
    let before = exponential.clone();
    assert_eq!(exponential.add(&custom), Err(IncompatibleSchemas));
    assert_eq!(exponential.sub(&custom), Err(IncompatibleSchemas));
    assert_eq!(exponential, before);
    assert!(custom.detect_reset(&exponential));
    assert!(exponential.detect_reset(&custom));
}

#[test]
fn hints_of_sums() {
    use CounterResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
    for (a, b, expected, collision) in [
        (Unknown, Unknown, Unknown, false),
        (Gauge, CounterReset, Gauge, false),
        (NotCounterReset, Gauge, Gauge, false),
        (Unknown, Gauge, Gauge, false),
        (Unknown, NotCounterReset, Unknown, false),
        (CounterReset, Unknown, Unknown, false),
        (CounterReset, CounterReset, CounterReset, false),
        (CounterReset, NotCounterReset, Unknown, true),
        (NotCounterReset, CounterReset, Unknown, true),
    ] {
        let mut sum = FloatHistogram { counter_reset_hint: a, ..FloatHistogram::default() };
        let other = FloatHistogram { counter_reset_hint: b, ..FloatHistogram::default() };
        let outcome = sum.add(&other).unwrap();
        assert_eq!(
            (sum.counter_reset_hint, outcome.counter_reset_collision),
            (expected, collision)
        );
    }
}

#[test]
fn scaling() {
    let h = parse(
        "{{schema:0 count:30 sum:33 z_bucket:3 z_bucket_w:0.001 buckets:[3 3 3] n_buckets:[6 6 6]}}",
    );
    let mut third = h.clone();
    third.div(3.0);
    assert_eq!(
        third.test_expression(),
        "{{count:10 sum:11 z_bucket:1 z_bucket_w:0.001 buckets:[1 1 1] n_buckets:[2 2 2]}}"
    );
    let mut negated = h.clone();
    negated.neg();
    assert_eq!(
        negated.test_expression(),
        "{{count:-30 sum:-33 z_bucket:-3 z_bucket_w:0.001 counter_reset_hint:gauge \
         buckets:[-3 -3 -3] n_buckets:[-6 -6 -6]}}"
    );
    let mut infinite = h.clone();
    infinite.div(0.0);
    assert_eq!(
        infinite.test_expression(),
        "{{count:+Inf sum:+Inf z_bucket:+Inf z_bucket_w:0.001}}"
    );
    assert!(infinite.has_overflow() && !h.has_overflow());
    let mut nothing = h;
    nothing.mul(0.0);
    nothing.div(0.0);
    assert_eq!(nothing.test_expression(), "{{count:NaN sum:NaN z_bucket:NaN z_bucket_w:0.001}}");
}

fn close(a: f64, b: f64) -> bool {
    equality::almost_equal(a, b, 1e-6)
}

#[track_caller]
fn check_quantiles(h: &str, cases: &[(f64, f64)]) {
    let h = parse(h);
    for (q, expected) in cases {
        let (value, _) = h.quantile(*q);
        assert!(close(value, *expected), "quantile {q}: {value}, not {expected}");
    }
}

#[test]
fn quantiles() {
    check_quantiles(
        "{{schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]}}",
        &[
            (1.001, f64::INFINITY),
            (1.0, 16.0),
            (0.99, 15.67072476139083),
            (0.6, 4.594793419988138),
            (0.5, 1.5874010519681994),
            (0.1, 0.0006),
            (0.0, 0.0),
            (-1.0, f64::NEG_INFINITY),
            (f64::NAN, f64::NAN),
        ],
    );
    check_quantiles(
        "{{schema:0 count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] \
         n_buckets:[2 3 0 1 4]}}",
        &[
            (0.9, 10.556063286183155),
            (0.7, 1.2030250360821164),
            (0.55, 0.0006),
            (0.5, 0.0),
            (0.45, -0.0006),
            (0.3, -1.2030250360821169),
            (0.01, -15.34822590920423),
            (0.0, -16.0),
        ],
    );
    check_quantiles(
        "{{schema:-53 sum:5 count:4 custom_values:[5 10] buckets:[1 2 1]}}",
        &[(0.5, 7.5), (0.9, 10.0), (0.125, 2.5)],
    );
    check_quantiles("{{}}", &[(0.5, f64::NAN)]);
}

#[test]
fn observations_of_nan() {
    let all = parse("{{schema:0 count:3 sum:NaN}}");
    let some = parse("{{schema:0 count:15 sum:NaN buckets:[12]}}");
    assert_eq!(all.quantile(0.4).1, NanObservations::ResultIsNan);
    assert_eq!(some.quantile(0.81).1, NanObservations::ResultIsNan);
    assert_eq!(some.quantile(0.8), (1.0, NanObservations::ResultIsSkewed));
    let (value, note) = some.quantile(0.4);
    assert!(close(value, 0.7071067811865475) && note == NanObservations::ResultIsSkewed);
    let (fraction, nans) = some.fraction(f64::NEG_INFINITY, 0.7071067811865475);
    assert!(close(fraction, 0.4) && nans);
    assert_eq!(all.fraction(f64::NEG_INFINITY, f64::INFINITY), (0.0, true));
    // +Inf and -Inf make the sum NaN as well, but all observations are in buckets.
    let none = parse("{{schema:0 count:12 sum:NaN buckets:[12]}}");
    assert_eq!(none.quantile(0.4).1, NanObservations::None);
    assert!(!none.fraction(0.0, 1.0).1);
}

#[test]
fn fractions() {
    let h = parse(
        "{{schema:0 count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] \
         n_buckets:[2 3 0 1 4]}}",
    );
    for (lower, upper, expected) in [
        (0.0, f64::INFINITY, 0.5),
        (-0.0005, 0.0005, 0.08333333333333333),
        (f64::NEG_INFINITY, 0.0005, 0.5416666666666666),
        (1.5, 2.0, 0.051879687409855414),
        (-6.0, -1.5, 0.07625312493990362),
        (42.0, 3.5, 0.0),
        (42.0, 42.0, 0.0),
        (f64::NAN, 1.0, f64::NAN),
    ] {
        let (fraction, _) = h.fraction(lower, upper);
        assert!(close(fraction, expected), "{lower} to {upper}: {fraction}");
    }
    assert!(parse("{{}}").fraction(0.0, 1.0).0.is_nan());
}

#[test]
fn deviations() {
    let h = parse("{{schema:2 count:4 sum:10 buckets:[1 0 0 0 1 0 0 1 1]}}");
    assert!(close(h.stddev(), 1.0787993180043811) && close(h.stdvar(), 1.163807968526718));
    let h = parse("{{schema:0 count:10 sum:-100 n_buckets:[0 0 0 0 10]}}");
    assert!(close(h.stdvar(), 1.725830020304794));
    assert!(parse("{{}}").stddev().is_nan() && parse("{{}}").avg().is_nan());
}

#[track_caller]
fn check_trim(h: &str, upper: bool, value: f64, expected: &str) {
    let mut trimmed = parse(h);
    if upper {
        trimmed.trim_upper(value);
    } else {
        trimmed.trim_lower(value);
    }
    trimmed.compact(0);
    let mut expected = parse(expected);
    expected.compact(0);
    assert!(trimmed.almost_equals(&expected, 1e-6), "{}", trimmed.test_expression());
}

#[test]
fn trims() {
    let h =
        "{{sum:123.75 count:34 z_bucket:1 z_bucket_w:0.001 buckets:[2 4 8 16] n_buckets:[1 2]}}";
    check_trim(
        h,
        true,
        std::f64::consts::SQRT_2,
        "{{count:8 sum:0.2570938865989847 z_bucket:1 z_bucket_w:0.001 buckets:[2 2] n_buckets:[1 2]}}",
    );
    check_trim(
        h,
        false,
        0.0,
        "{{sum:120.20840280171308 count:30.5 z_bucket:0.5 z_bucket_w:0.001 buckets:[2 4 8 16]}}",
    );
    check_trim(h, false, f64::INFINITY, "{{z_bucket_w:0.001}}");
    check_trim(h, true, f64::INFINITY, h);
    check_trim("{{z_bucket_w:0.5 count:1 z_bucket:1}}", true, -0.5, "{{z_bucket_w:0.5}}");
    let c = "{{schema:-53 sum:172.5 count:15 custom_values:[5 10 15 20] buckets:[1 6 4 3 1]}}";
    check_trim(
        c,
        true,
        13.0,
        "{{schema:-53 count:9.4 sum:75.1 custom_values:[5 10 15 20] buckets:[1 6 2.4]}}",
    );
    check_trim(
        c,
        true,
        50.0,
        "{{schema:-53 count:14 sum:150 custom_values:[5 10 15 20] buckets:[1 6 4 3]}}",
    );
    let split = "{{schema:-53 sum:33 count:101 custom_values:[5] buckets:[1 100]}}";
    check_trim(
        split,
        false,
        2.0,
        "{{schema:-53 sum:502.1 count:100.6 custom_values:[5] buckets:[0.6 100]}}",
    );
    check_trim(
        split,
        true,
        2.0,
        "{{schema:-53 sum:0.4 count:0.4 custom_values:[5] buckets:[0.4]}}",
    );
    let negative = "{{schema:-53 sum:33 count:101 custom_values:[-5] buckets:[1 100]}}";
    check_trim(
        negative,
        true,
        -10.0,
        "{{schema:-53 sum:-10 count:1 custom_values:[-5] buckets:[1]}}",
    );
}

#[test]
fn resets() {
    let custom = parse("{{schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]}}");
    let finer = parse("{{schema:-53 sum:56 count:15 custom_values:[2 3 4 6] buckets:[1 0 1 5 8]}}");
    assert!(finer.detect_reset(&custom));
    let grown = parse("{{schema:-53 sum:56 count:16 custom_values:[2 3 4 6] buckets:[1 1 1 5 8]}}");
    assert!(!grown.detect_reset(&custom));
    let h = parse("{{schema:0 count:4 z_bucket:1 z_bucket_w:0.1 buckets:[1 2]}}");
    let finer = parse("{{schema:1 count:9 z_bucket:1 z_bucket_w:0.1 buckets:[3 5]}}");
    assert!(finer.detect_reset(&h), "finer schema");
    let narrower = parse("{{schema:0 count:9 z_bucket:1 z_bucket_w:0.01 buckets:[3 5]}}");
    assert!(narrower.detect_reset(&h), "narrower zero bucket");
    let wider = parse("{{schema:0 count:9 z_bucket:3 z_bucket_w:1 offset:1 buckets:[6]}}");
    assert!(!wider.detect_reset(&h), "wider zero bucket at a border");
    let cutting = parse("{{schema:0 count:9 z_bucket:3 z_bucket_w:0.7 buckets:[6]}}");
    assert!(cutting.detect_reset(&h), "zero bucket that cuts a bucket");
    let coarser = parse("{{schema:-1 count:9 z_bucket:1 z_bucket_w:0.1 buckets:[1 2]}}");
    assert!(!coarser.detect_reset(&h));
    assert!(parse("{{count:3}}").detect_reset(&h), "lower count");
}

#[test]
fn averages_change_over_before_they_overflow() {
    let parts = ["5.3", "1e100", "-1e100", "1", "1e50", "-1e50", "0"].map(|sum| {
        parse(&format!("{{{{count:1e308 sum:{sum} z_bucket:1 z_bucket_w:0.001 buckets:[1]}}}}"))
    });
    let mut mean = HistogramMean::new(&parts[0]);
    let mut sum = HistogramSum::new(&parts[0]);
    for part in &parts[1..] {
        mean.add(part).unwrap();
        sum.add(part).unwrap();
    }
    let mean = mean.finish();
    assert!(close(mean.count, 1e308) && close(mean.sum, 0.9), "{mean}");
    assert!(close(mean.zero_count, 1.0) && close(mean.positive_buckets[0], 1.0), "{mean}");
    let sum = sum.finish();
    assert!(sum.count == f64::INFINITY && close(sum.sum, 6.3), "{sum}");
}

#[test]
fn aggregation_tells_of_collisions() {
    let mut h = parse("{{count:1 buckets:[1] counter_reset_hint:reset}}");
    let mut sum = HistogramSum::new(&h);
    let mut mean = HistogramMean::new(&h);
    h.counter_reset_hint = CounterResetHint::Gauge;
    sum.add(&h).unwrap();
    assert!(!sum.notes().counter_reset_collision());
    h.counter_reset_hint = CounterResetHint::NotCounterReset;
    sum.add(&h).unwrap();
    mean.add(&h).unwrap();
    assert!(sum.notes().counter_reset_collision() && mean.notes().counter_reset_collision());
    assert_eq!(sum.finish().counter_reset_hint, CounterResetHint::Gauge);
}

#[test]
fn text() {
    let h = parse(
        "{{schema:0 count:9 sum:5 z_bucket:1 z_bucket_w:0.5 buckets:[0 2 1] n_buckets:[3 2]}}",
    );
    assert_eq!(
        h.to_string(),
        "{count:9, sum:5, [-2,-1):2, [-1,-0.5):3, [-0.5,0.5]:1, (1,2]:2, (2,4]:1}"
    );
    let custom = parse("{{schema:-53 sum:1e+21 count:1e-07 custom_values:[-2 3] buckets:[1 2 4]}}");
    assert_eq!(custom.to_string(), "{count:1e-07, sum:1e+21, [-Inf,-2]:1, (-2,3]:2, (3,+Inf]:4}");
    let rules: Vec<u8> = h.all_buckets().map(|bucket| bucket.boundary_rule()).collect();
    assert_eq!(rules, [1, 1, 3, 0, 0, 0]);
}

#[test]
fn equality_is_of_bits_and_layouts() {
    let h = parse("{{count:3 sum:NaN buckets:[1 2]}}");
    assert!(h.equals(&h.clone()));
    let mut split = h.clone();
    split.positive_spans.insert(0, Span { offset: 3, length: 0 });
    split.positive_spans[1].offset = -3;
    split.positive_spans.push(Span { offset: 5, length: 0 });
    assert!(h.equals(&split));
    let mut zero = h.clone();
    zero.zero_count = -0.0;
    assert!(!h.equals(&zero));
    let mut moved = h.clone();
    moved.positive_spans[0].offset = 1;
    assert!(!h.equals(&moved));
}

fn valid() -> Histogram {
    Histogram {
        count: 7,
        zero_count: 1,
        positive_spans: vec![Span { offset: -3, length: 2 }],
        positive_buckets: vec![2, 2],
        ..Histogram::default()
    }
}

#[test]
fn faults() {
    assert_eq!(valid().validate(), Ok(()));
    let fault = |change: fn(&mut Histogram)| {
        let mut changed = valid();
        change(&mut changed);
        changed.validate().unwrap_err().to_string()
    };
    assert_eq!(
        fault(|h| h.count = 8),
        "7 observations found in buckets, but the Count field is 8: histogram's observation \
         count should equal the number of observations found in the buckets (in absence of NaN)"
    );
    assert_eq!(
        fault(|h| (h.count, h.sum) = (6, f64::NAN)),
        "7 observations found in buckets, but the Count field is 6: histogram's observation \
         count should be at least the number of observations found in the buckets"
    );
    assert_eq!(
        fault(|h| h.positive_buckets = vec![2, -3]),
        "positive side: bucket number 2 has observation count of -1: histogram has a bucket \
         whose observation count is negative"
    );
    assert_eq!(
        fault(|h| h.negative_spans = vec![Span { offset: 0, length: 1 }]),
        "negative side: spans need 1 buckets, have 0 buckets: histogram spans specify different \
         number of buckets than provided"
    );
    assert_eq!(
        fault(|h| h.positive_spans =
            vec![Span { offset: 0, length: 1 }, Span { offset: -1, length: 1 }]),
        "positive side: span number 2 with offset -1: histogram has a span whose offset is \
         negative"
    );
    assert_eq!(
        fault(|h| h.schema = 9),
        "histogram has an invalid schema, which must be between -4 and 8 for exponential \
         buckets, or -53 for custom buckets, got schema 9"
    );
}

#[test]
fn faults_of_custom_bounds() {
    let fault = |bounds: &[f64]| {
        let mut changed = valid();
        changed.schema = CUSTOM_BUCKETS_SCHEMA;
        (changed.zero_count, changed.count) = (0, 6);
        changed.positive_spans[0].offset = 0;
        changed.custom_values = bounds.into();
        changed.validate().unwrap_err().fault
    };
    assert_eq!(fault(&[]), Fault::CustomBucketsMismatch { bounds: 0, span_length: 2 });
    assert_eq!(fault(&[2.0, 2.0]), Fault::CustomBucketsInvalid { previous: 2.0, current: 2.0 });
    assert_eq!(fault(&[2.0, f64::INFINITY]), Fault::CustomBucketsInfinite);
    assert_eq!(fault(&[2.0, f64::NAN]), Fault::CustomBucketsNan);
}

#[test]
fn a_resolution_is_only_reduced() {
    let mut h = parse("{{schema:2 count:3 buckets:[1 2]}}");
    assert_eq!(h.reduce_resolution(2), Err(ReduceError::NotCoarser { from: 2, to: 2 }));
    h.positive_spans[0].length = 3;
    assert!(matches!(h.reduce_resolution(1), Err(ReduceError::Damaged(_))));
    assert!(is_exponential_schema(-4) && !is_exponential_schema(9) && !is_exponential_schema(-5));
    assert!(needs_reduction(9) && needs_reduction(52) && !needs_reduction(8));
}

mod classic_buckets {
    use super::super::super::classic::*;

    fn buckets(counts: &[(f64, f64)]) -> Vec<ClassicBucket> {
        counts.iter().map(|&(upper_bound, count)| ClassicBucket { upper_bound, count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    /// The script's `nonmonotonic_bucket` at 1m.
    #[test]
    fn falling_counts_are_raised() {
        let falling =
            [(0.1, 2.0), (1.0, 1.0), (10.0, 5.0), (100.0, 4.0), (1000.0, 9.0), (INF, 8.0)];
        let quantile = bucket_quantile(0.5, &mut buckets(&falling));
        assert_eq!(quantile.value, 8.5);
        assert_eq!(
            quantile.forced_monotonic,
            Some(ForcedMonotonic { min_bucket: 1.0, max_bucket: INF, max_diff: 1.0 })
        );
        assert!(!quantile.fixed_precision);
    }

    #[test]
    fn quantiles_and_fractions() {
        let good = [(INF, 10.0), (1.0, 2.0), (3.0, 4.0), (3.0, 4.0)];
        assert_eq!(bucket_quantile(0.5, &mut buckets(&good)).value, 2.0);
        assert_eq!(bucket_quantile(0.1, &mut buckets(&good)).value, 0.5);
        assert_eq!(bucket_quantile(0.9, &mut buckets(&good)).value, 3.0);
        assert_eq!(bucket_quantile(2.0, &mut buckets(&good)).value, INF);
        assert_eq!(bucket_fraction(0.5, 2.0, &mut buckets(&good)), 0.4);
        assert_eq!(bucket_fraction(2.0, INF, &mut buckets(&good)), 0.5);
        let negative = [(-1.0, 5.0), (INF, 5.0)];
        assert_eq!(bucket_quantile(0.5, &mut buckets(&negative)).value, -1.0);
    }

    #[test]
    fn nothing_comes_of_too_few_buckets() {
        for few in [&[][..], &[(INF, 3.0)], &[(1.0, 3.0), (2.0, 4.0)], &[(1.0, 0.0), (INF, 0.0)]] {
            assert!(bucket_quantile(0.5, &mut buckets(few)).value.is_nan(), "{few:?}");
        }
        assert!(bucket_fraction(0.0, 1.0, &mut buckets(&[])).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut buckets(&[(1.0, 3.0)])).is_nan());
    }

    #[test]
    fn rounding_is_smoothed_silently() {
        let rounded = [(1.0, 1e15), (2.0, 1e15 - 1.0), (INF, 1e15 + 1.0)];
        let quantile = bucket_quantile(0.5, &mut buckets(&rounded));
        assert!(quantile.fixed_precision && quantile.forced_monotonic.is_none());
    }
}

/// Every histogram of the parser corpus' series prints as written there.
#[test]
fn test_expressions_of_the_corpus() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/conformance/parser/series-desc.jsonl"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: {path} is missing");
        return;
    };
    let mut seen = 0;
    for literal in text.split('"').filter(|part| part.starts_with("{{")) {
        let literal = literal.strip_suffix("!hint").unwrap_or(literal);
        assert_eq!(parse(literal).test_expression(), literal);
        seen += 1;
    }
    assert!(seen > 500, "{seen} histograms");
}

/// With NaNs, too, a quantile is looked for in the bucket that it falls into.
#[test]
fn a_quantile_beside_nans_stays_in_its_bucket() {
    let h = parse("{{schema:0 count:12 sum:NaN offset:1 buckets:[4 4 2]}}");
    let (value, note) = h.quantile(0.5);
    assert!(close(value, 2.0 * std::f64::consts::SQRT_2), "{value}");
    assert_eq!(note, NanObservations::ResultIsSkewed);
}
