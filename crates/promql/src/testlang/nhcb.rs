//! Classic histograms of a `load_with_nhcb` as native histograms with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{FloatHistogram, Labels, LabelsBuilder, METRIC_NAME_LABEL, Span, TimestampMs};

use super::load::{LoadedSample, LoadedSeries, LoadedValue};

/// What is known of one histogram at one time.
#[derive(Debug, Default)]
struct Parts {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// The native histograms of all classic ones.
pub(super) fn convert(series: &[LoadedSeries]) -> Result<Vec<LoadedSeries>, String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<TimestampMs, Parts>> = BTreeMap::new();
    for one in series {
        let Some((labels, part)) = part_of(&one.labels) else { continue };
        let by_time = histograms.entry(labels).or_default();
        for sample in &one.samples {
            if let LoadedValue::Float(value) = sample.value {
                by_time.entry(sample.time_ms).or_default().set(part, value);
            }
        }
    }
    let mut converted = Vec::new();
    for (labels, by_time) in histograms {
        let mut samples = Vec::new();
        for (time_ms, parts) in by_time {
            let value = LoadedValue::Histogram(parts.build()?);
            samples.push(LoadedSample { time_ms, start_ms: 0, value });
        }
        converted.push(LoadedSeries { labels, samples });
    }
    Ok(converted)
}

/// The histogram that a series is a part of.
fn part_of(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name()?;
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound: f64 = labels.value("le").parse().ok()?;
        (base, if bound.is_nan() { return None } else { Part::Bucket(bound) })
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = LabelsBuilder::new(labels);
    builder.set(METRIC_NAME_LABEL, base).remove("le");
    Some((builder.build(), part))
}

impl Parts {
    fn set(&mut self, part: Part, value: f64) {
        match part {
            Part::Bucket(bound) => self.buckets.push((bound, value)),
            Part::Count => self.count = Some(value),
            Part::Sum => self.sum = value,
        }
    }

    fn build(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|later, first| later.0 == first.0);
        let total = self.count.or_else(|| self.buckets.last().map(|b| b.1)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|last| last.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, total));
        }
        let mut counts = Vec::with_capacity(self.buckets.len());
        let mut before = 0.0;
        for (_, cumulative) in &self.buckets {
            if *cumulative < before {
                return Err("histogram buckets are not cumulative".to_owned());
            }
            counts.push(cumulative - before);
            before = *cumulative;
        }
        let bounds = self.buckets.iter().map(|b| b.0).filter(|b| *b != f64::INFINITY);
        let length = u32::try_from(counts.len()).map_err(|e| e.to_string())?;
        let is_whole = self.buckets.iter().all(|b| b.1.fract() == 0.0) && total.fract() == 0.0;
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: total,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets: counts,
            custom_values: bounds.collect::<Arc<[f64]>>(),
            ..FloatHistogram::default()
        };
        histogram.compact(if is_whole { 2 } else { 0 });
        Ok(histogram)
    }
}
