//! Random data in the generator's schema: gaps, jitter, resets, stale markers, native histograms.

use std::sync::Arc;

use model::{FloatHistogram, Labels, SampleBuffer, Span, stale_nan};
use promql::memstore::MemoryStorage;

use crate::generate::Dice;
use crate::value::{Data, Value};

/// Of all series; so many scrapes at most.
const SCRAPES: i64 = 60;
const INTERVAL_MS: i64 = 15_000;

/// Random series. A number of them is left out, so that sides of an operation differ.
pub(crate) fn random(dice: &mut Dice) -> Data {
    let mut data = Data::default();
    for job in ["api", "web"] {
        for instance in ["a", "b", "c"] {
            for name in
                ["requests_total", "bytes_total", "temperature", "queue", "rpc", "mixed", "custom"]
            {
                let codes: &[&str] = if name == "requests_total" { &["200", "500"] } else { &[""] };
                for code in codes {
                    let labels =
                        [("__name__", name), ("job", job), ("instance", instance), ("code", code)];
                    add(&mut data, dice, &labels, name);
                }
            }
            for le in ["0.1", "1", "+Inf"] {
                let labels = [
                    ("__name__", "latency_bucket"),
                    ("job", job),
                    ("instance", instance),
                    ("le", le),
                ];
                add(&mut data, dice, &labels, "latency_bucket");
            }
        }
    }
    for (instance, zone) in [("a", "north"), ("b", "south"), ("c", "south")] {
        let labels = [("__name__", "target"), ("instance", instance), ("zone", zone)];
        add(&mut data, dice, &labels, "target");
    }
    for job in ["api", "web"] {
        for instance in ["a", "b", "c"] {
            add_info(&mut data, dice, ("target_info", job, instance), "version");
            add_info(&mut data, dice, ("build_info", job, instance), "zone");
        }
    }
    data.series.sort_by(|a, b| a.0.cmp(&b.0));
    data
}

fn add(data: &mut Data, dice: &mut Dice, labels: &[(&str, &str)], name: &str) {
    if dice.one_in(6) {
        return;
    }
    let labels = labels.iter().copied().filter(|(_, value)| !value.is_empty());
    data.series.push((Labels::from_pairs(labels), samples(dice, name)));
}

/// An info metric of a target: now and then another series takes its place, because a label has
/// changed; of the older one a stale marker may tell, or not.
fn add_info(data: &mut Data, dice: &mut Dice, (name, job, instance): (&str, &str, &str), by: &str) {
    let change = dice.below(2 * SCRAPES as usize) as i64;
    for (value, scrapes) in [("north", 0..change.min(SCRAPES)), ("v2", change..SCRAPES)] {
        let mut samples: Vec<(i64, Value)> =
            scrapes.clone().map(|scrape| (scrape * INTERVAL_MS, Value::Float(1.0))).collect();
        if scrapes.end < SCRAPES && dice.one_in(2) {
            samples.push((scrapes.end * INTERVAL_MS, Value::Float(stale_nan())));
        }
        let labels = [("__name__", name), ("job", job), ("instance", instance), (by, value)];
        if !samples.is_empty() && !dice.one_in(5) {
            data.series.push((Labels::from_pairs(labels), samples));
        }
    }
}

fn samples(dice: &mut Dice, name: &str) -> Vec<(i64, Value)> {
    let mut samples = Vec::new();
    let mut total = dice.below(100) as f64;
    let (mut schema, mut silent) = (dice.below(4) as i32 - 1, 0);
    let jitters = dice.one_in(3);
    for scrape in 0..SCRAPES {
        let jitter = if jitters { dice.below(700) as i64 } else { 0 };
        let time = scrape * INTERVAL_MS + jitter;
        if silent > 0 {
            silent -= 1;
            continue;
        }
        match dice.below(40) {
            0 => silent = dice.below(12),
            1 => {
                samples.push((time, Value::Float(stale_nan())));
                silent = dice.below(4);
                continue;
            }
            2 => total = 0.0,
            3 => schema = dice.below(4) as i32 - 1,
            _ => {}
        }
        total += dice.below(20) as f64;
        samples.push((time, value(dice, name, total, (schema, scrape))));
    }
    samples
}

fn value(dice: &mut Dice, name: &str, total: f64, (schema, scrape): (i32, i64)) -> Value {
    match name {
        "temperature" => Value::Float((dice.below(4_000_001) as f64 - 2e6) / 65_536.0),
        "queue" if dice.one_in(30) => Value::Float([f64::NAN, f64::INFINITY, -0.0][dice.below(3)]),
        "queue" => Value::Float(dice.below(7) as f64 - 3.0),
        "target" => Value::Float(1.0),
        "rpc" => Value::Histogram(Arc::new(exponential(dice, total, schema))),
        "mixed" if scrape % 14 < 5 => Value::Histogram(Arc::new(exponential(dice, total, 2))),
        "custom" => Value::Histogram(Arc::new(custom(dice, total, scrape))),
        _ => Value::Float(total),
    }
}

fn exponential(dice: &mut Dice, total: f64, schema: i32) -> FloatHistogram {
    let counts = [total, 2.0 * total, total + 1.0];
    let length = 2 + dice.below(2) as u32;
    let negative = if dice.one_in(2) { vec![total] } else { Vec::new() };
    FloatHistogram {
        schema,
        zero_threshold: if dice.one_in(9) { 0.01 } else { 0.001 },
        zero_count: total,
        count: total + counts[..length as usize].iter().sum::<f64>() + negative.iter().sum::<f64>(),
        sum: total * 2.5,
        positive_spans: vec![
            Span { offset: -1, length: 1 },
            Span { offset: 2, length: length - 1 },
        ],
        positive_buckets: counts[..length as usize].to_vec(),
        negative_spans: negative.iter().map(|_| Span { offset: 1, length: 1 }).collect(),
        negative_buckets: negative,
        ..FloatHistogram::default()
    }
}

fn custom(dice: &mut Dice, total: f64, scrape: i64) -> FloatHistogram {
    let bounds: &[f64] =
        if scrape < 30 || dice.one_in(20) { &[1.0, 2.0, 5.0] } else { &[1.0, 5.0] };
    let length = bounds.len() as u32;
    FloatHistogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: total * f64::from(length),
        sum: total * 3.0,
        positive_spans: vec![Span { offset: 0, length }],
        positive_buckets: vec![total; length as usize],
        custom_values: bounds.into(),
        ..FloatHistogram::default()
    }
}

/// The same data for the engine, and for the naive evaluator as that storage reads it (counter
/// reset hints are made when samples are stored).
pub(crate) fn stored(data: &Data) -> (MemoryStorage, Data) {
    let mut storage = MemoryStorage::new();
    let mut read = Data::default();
    for (labels, samples) in &data.series {
        let mut one = MemoryStorage::new();
        for (time, value) in samples {
            let outcome = match value {
                Value::Float(value) => one.append_float(labels, (*time, 0), *value),
                Value::Histogram(h) => one.append_histogram(labels, (*time, 0), (**h).clone()),
            };
            outcome.expect("times ascend");
        }
        let buffer = read_back(&one);
        let floats = buffer.float_times.iter().zip(&buffer.float_values);
        let mut samples: Vec<(i64, Value)> = floats.map(|(t, v)| (*t, Value::Float(*v))).collect();
        let histograms = buffer.histogram_times.iter().zip(&buffer.histograms);
        samples.extend(histograms.map(|(t, h)| (*t, Value::Histogram(h.clone()))));
        samples.sort_by_key(|(time, _)| *time);
        if !samples.is_empty() {
            storage.insert(labels.clone(), buffer);
            read.series.push((labels.clone(), samples));
        }
    }
    (storage, read)
}

/// The samples of the only series.
fn read_back(storage: &MemoryStorage) -> SampleBuffer {
    use model::{Matcher, QueryContext, Queryable as _, SelectHints, TimeRange};
    let context = Arc::new(QueryContext::unlimited());
    let range = TimeRange::new(i64::MIN, i64::MAX);
    let querier = storage.querier(range, &context).expect("it is in memory");
    let any = Matcher::new(model::MatchOp::Regex, "__name__", ".*").expect("a valid pattern");
    let mut set = querier.select(&[any], &SelectHints::default()).expect("it is in memory");
    let mut samples = SampleBuffer::default();
    if let Some(mut entry) = set.next_series().expect("it is in memory") {
        entry.samples.read_all(&mut samples).expect("it is in memory");
    }
    samples
}
