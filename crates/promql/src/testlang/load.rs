//! `load` and `load_with_nhcb`: series into the storage.

use model::{FloatHistogram, Labels, TimestampMs};

use super::nhcb;
use super::script::Reader;
use crate::duration::parse_duration;
use crate::memstore::MemoryStorage;
use crate::series_desc::{MAX_VALUES, SequenceValue, parse_series_desc};

/// Samples to be stored.
#[derive(Debug)]
pub(super) struct Load {
    /// From 1.
    pub(super) line: usize,
    /// Also store classic histograms as native ones with custom buckets.
    with_nhcb: bool,
    series: Vec<LoadedSeries>,
}

/// The samples of one series.
#[derive(Debug)]
pub(super) struct LoadedSeries {
    pub(super) labels: Labels,
    pub(super) samples: Vec<LoadedSample>,
}

/// One sample.
#[derive(Debug)]
pub(super) struct LoadedSample {
    pub(super) time_ms: TimestampMs,
    /// 0 = unknown.
    pub(super) start_ms: TimestampMs,
    pub(super) value: LoadedValue,
}

/// A value.
#[derive(Debug)]
pub(super) enum LoadedValue {
    Float(f64),
    Histogram(FloatHistogram),
}

/// Start times, relative to the samples; `None` where there is none.
type StartOffsets = Vec<Option<i64>>;

/// The command whose head is `head`.
pub(super) fn parse(reader: &mut Reader<'_>, line: usize, head: &str) -> Result<Load, String> {
    let mut words = head.split_whitespace();
    let with_nhcb = match words.next() {
        Some("load") => false,
        Some("load_with_nhcb") => true,
        _ => return Err("invalid load command. (load[_with_nhcb] <step:duration>)".to_owned()),
    };
    let gap = words.next().unwrap_or_default();
    let gap_ms =
        parse_duration(gap).map_err(|e| format!("invalid step definition {gap:?}: {e}"))?;
    let mut load = Load { line, with_nhcb, series: Vec::new() };
    let mut starts: Option<(Labels, StartOffsets)> = None;
    while let Some((_, line)) = reader.next_of_body() {
        if let Some((metric, items)) = split_start_line(line) {
            if starts.is_some() {
                return Err("@st line has no following sample line".to_owned());
            }
            let metric = parse_series_desc(format!("{metric} _")).map_err(|e| e.to_string())?;
            starts = Some((metric.labels, parse_start_items(items)?));
            continue;
        }
        let described = parse_series_desc(line).map_err(|e| format!("{line:?}: {e}"))?;
        let offsets = match starts.take() {
            None => Vec::new(),
            Some((labels, _)) if labels != described.labels => {
                return Err("@st metric does not match the following sample line metric".to_owned());
            }
            Some((_, offsets)) if offsets.len() != described.values.len() => {
                return Err(format!(
                    "@st line has {} values but sample line has {}",
                    offsets.len(),
                    described.values.len()
                ));
            }
            Some((_, offsets)) => offsets,
        };
        load.set(described.labels, samples(described.values, &offsets, gap_ms));
    }
    if starts.is_some() {
        return Err("@st line has no following sample line".to_owned());
    }
    Ok(load)
}

/// `metric{labels}@st items`, without blanks in front of the items.
fn split_start_line(line: &str) -> Option<(&str, &str)> {
    let end = line.find([' ', '\t'])?;
    Some((line[..end].strip_suffix("@st")?, &line[end..]))
}

fn parse_start_items(items: &str) -> Result<StartOffsets, String> {
    let mut offsets = Vec::new();
    for item in items.split_whitespace() {
        parse_start_item(item, &mut offsets)
            .ok_or_else(|| format!("invalid @st sequence: invalid ST item {item:?}"))?;
    }
    Ok(offsets)
}

/// `_`, `_xN`, `<dur>`, `<dur>xN`, `<dur>+<dur>xN`, `<dur>-<dur>xN`.
fn parse_start_item(item: &str, offsets: &mut StartOffsets) -> Option<()> {
    let (item, repeat) = match item.rsplit_once('x') {
        Some((item, repeat)) => (item, repeat.parse::<usize>().ok()?),
        None => (item, 0),
    };
    if repeat > MAX_VALUES {
        return None;
    }
    if item == "_" {
        offsets.extend(std::iter::repeat_n(None, repeat.max(1)));
        return Some(());
    }
    let sign_at = item.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
    let (first, step) = match sign_at {
        Some((at, _)) => (&item[..at], signed_duration(&item[at..])?),
        None => (item, 0),
    };
    let mut offset = signed_duration(first)?;
    for _ in 0..=repeat {
        offsets.push(Some(offset));
        offset = offset.checked_add(step)?;
    }
    Some(())
}

fn signed_duration(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(text) => parse_duration(text).ok().map(|ms| -ms),
        None => parse_duration(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

fn samples(values: Vec<SequenceValue>, starts: &StartOffsets, gap_ms: i64) -> Vec<LoadedSample> {
    let mut samples = Vec::new();
    let mut time_ms = 0;
    for (index, value) in values.into_iter().enumerate() {
        let value = match value {
            SequenceValue::Omitted => None,
            SequenceValue::Float(value) => Some(LoadedValue::Float(value)),
            SequenceValue::Histogram { histogram, .. } => {
                Some(LoadedValue::Histogram((*histogram).clone()))
            }
        };
        if let Some(value) = value {
            let start = starts.get(index).copied().flatten();
            let start_ms = start.map_or(0, |offset| time_ms + offset);
            samples.push(LoadedSample { time_ms, start_ms, value });
        }
        time_ms += gap_ms;
    }
    samples
}

impl Load {
    /// A series that is given twice in one command counts as given last.
    fn set(&mut self, labels: Labels, samples: Vec<LoadedSample>) {
        match self.series.iter_mut().find(|series| series.labels == labels) {
            Some(series) => series.samples = samples,
            None => self.series.push(LoadedSeries { labels, samples }),
        }
    }

    /// Stores the samples.
    pub(super) fn append_to(&self, storage: &mut MemoryStorage) -> Result<(), String> {
        for series in &self.series {
            append(series, storage)?;
        }
        if self.with_nhcb {
            for series in nhcb::convert(&self.series)? {
                append(&series, storage)?;
            }
        }
        Ok(())
    }
}

fn append(series: &LoadedSeries, storage: &mut MemoryStorage) -> Result<(), String> {
    for sample in &series.samples {
        let times = (sample.time_ms, sample.start_ms);
        let appended = match &sample.value {
            LoadedValue::Float(value) => storage.append_float(&series.labels, times, *value),
            LoadedValue::Histogram(histogram) => {
                histogram.validate().map_err(|e| e.to_string())?;
                storage.append_histogram(&series.labels, times, histogram.clone())
            }
        };
        appended.map_err(|e| format!("{e}: {} at {}", series.labels, sample.time_ms))?;
    }
    Ok(())
}
