//! Databases on a disk in memory, batches, and what a database holds as plain maps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::batch::{BatchHistogram, BatchSample, HistogramValue, SeriesHasher};
use model::env::{Inline, ManualClock, SeededRandom};
use model::{
    FloatHistogram, Label, Labels, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints,
    TimeRange, WriteBatch,
};
use tsdb::db::{Db, DbEnv, DbOptions};
use tsdb::fs::FaultFs;
use tsdb::head::{AppendLimits, AppendOutcome};

/// Where the databases of the tests lie.
pub(crate) const DIR: &str = "/tenant";

pub(crate) const HOUR: i64 = 3_600_000;

/// A value as it was stored: the bits of a float, or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Float(u64),
    Histogram(Box<FloatHistogram>),
}

pub(crate) type Samples = BTreeMap<i64, Value>;

/// A disk, and what does not change when a database is opened again.
pub(crate) struct World {
    pub(crate) fs: FaultFs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) options: DbOptions,
    starts: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        Self { fs: FaultFs::new(), clock, options: DbOptions::default(), starts: AtomicU64::new(0) }
    }

    pub(crate) fn open(&self) -> Db {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Db, tsdb::error::TsdbError> {
        let env = DbEnv {
            clock: self.clock.clone(),
            // Another one at each start, as block ids must differ.
            random: Arc::new(SeededRandom::new(self.starts.fetch_add(1, Ordering::Relaxed))),
            executor: Arc::new(Inline),
            fs: Arc::new(self.fs.clone()),
            hasher: SeriesHasher::new(77),
        };
        Db::open(Path::new(DIR), self.options.clone(), env)
    }
}

pub(crate) fn hasher() -> SeriesHasher {
    SeriesHasher::new(77)
}

/// The labels of test series `i`, sorted.
pub(crate) fn label_strings(i: usize) -> Vec<(String, String)> {
    let pairs = [
        ("__name__", format!("metric_{}", i % 7)),
        ("instance", format!("host-{i:04}")),
        ("job", if i.is_multiple_of(2) { "even".to_owned() } else { "odd".to_owned() }),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) fn labels(i: usize) -> Labels {
    let strings = label_strings(i);
    Labels::from_pairs(strings.iter().map(|(n, v)| (n.as_str(), v.as_str())))
}

/// A sample of test series `series` at `t`.
#[derive(Debug, Clone)]
pub(crate) struct TestSample {
    pub(crate) series: usize,
    pub(crate) t: i64,
    pub(crate) value: TestValue,
}

#[derive(Debug, Clone)]
pub(crate) enum TestValue {
    Float(f64),
    Histogram(HistogramValue),
}

pub(crate) fn float(series: usize, t: i64, value: f64) -> TestSample {
    TestSample { series, t, value: TestValue::Float(value) }
}

pub(crate) fn append(db: &Db, samples: &[TestSample]) -> AppendOutcome {
    try_append(db, samples, &AppendLimits::default()).unwrap()
}

pub(crate) fn try_append(
    db: &Db,
    samples: &[TestSample],
    limits: &AppendLimits,
) -> Result<AppendOutcome, tsdb::error::TsdbError> {
    let strings: Vec<_> = samples.iter().map(|s| label_strings(s.series)).collect();
    let mut batch = WriteBatch::new(hasher());
    for (sample, pairs) in samples.iter().zip(&strings) {
        let labels: Vec<Label<'_>> =
            pairs.iter().map(|(name, value)| Label { name, value }).collect();
        match &sample.value {
            TestValue::Float(value) => {
                let sample = BatchSample { timestamp_ms: sample.t, value: *value };
                batch.push_float(&labels, sample);
            }
            TestValue::Histogram(value) => {
                let sample = BatchHistogram { timestamp_ms: sample.t, value: value.clone() };
                batch.push_histogram(&labels, sample);
            }
        }
    }
    db.append(&batch, limits)
}

/// All that the database holds between two times, both included.
pub(crate) fn contents_between(
    db: &dyn Queryable,
    start: i64,
    end: i64,
) -> BTreeMap<Labels, Samples> {
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(start, end), &context).unwrap();
    let all = [Matcher::new(model::MatchOp::Regex, "__name__", ".+").unwrap()];
    let hints = SelectHints { start_ms_incl: start, end_ms_incl: end, ..SelectHints::default() };
    let mut set = querier.select(&all, &hints).unwrap();
    let mut contents = BTreeMap::new();
    let mut previous: Option<Labels> = None;
    while let Some(mut entry) = set.next_series().unwrap() {
        assert!(previous.as_ref().is_none_or(|p| *p < entry.labels), "label order");
        previous = Some(entry.labels.clone());
        let mut buffer = SampleBuffer::default();
        entry.samples.read_all(&mut buffer).unwrap();
        contents.insert(entry.labels, to_map(&buffer, start, end));
    }
    contents.retain(|_, samples: &mut Samples| !samples.is_empty());
    contents
}

pub(crate) fn contents(db: &dyn Queryable) -> BTreeMap<Labels, Samples> {
    contents_between(db, i64::MIN, i64::MAX)
}

fn to_map(buffer: &SampleBuffer, start: i64, end: i64) -> Samples {
    assert!(buffer.float_times.is_sorted_by(|a, b| a < b), "times ascend");
    assert!(buffer.histogram_times.is_sorted_by(|a, b| a < b), "times ascend");
    let floats = buffer.float_times.iter().zip(&buffer.float_values);
    let floats = floats.map(|(&t, v)| (t, Value::Float(v.to_bits())));
    let histograms = buffer.histogram_times.iter().zip(&buffer.histograms);
    let histograms = histograms.map(|(&t, h)| (t, Value::Histogram(Box::new((**h).clone()))));
    floats.chain(histograms).filter(|(t, _)| (start..=end).contains(t)).collect()
}

/// Adds a record to the first segment of the log, with the right checksum.
pub(crate) fn add_to_log(world: &World, record: &[u8]) {
    let path = Path::new(DIR).join("wal/00000000");
    world.fs.corrupt(&path, |bytes| {
        bytes.push(1);
        bytes.extend_from_slice(&(record.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&tsdb::encoding::crc32c(record).to_be_bytes());
        bytes.extend_from_slice(record);
    });
}
