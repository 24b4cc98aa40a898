//! What all tests start from: an ingester over a temporary directory, and a way to kill it and
//! start another one on what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bucket::testing::FaultyStore;
use bucket::{Bucket, BucketMetrics, TenantBucket};
use config::{Config, IngesterConfig, Limits, Overrides, TsdbConfig};
use model::batch::BatchSample;
use model::env::{Inline, ManualClock, SeededRandom};
use model::{
    Clock, Label, MatchOp, Matcher, QueryContext, SampleBuffer, SelectHints, TenantId, TimeRange,
    TimestampMs, WriteBatch,
};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rt::{ComputeOptions, ComputePool, Metrics};
use tempfile::TempDir;
use tsdb::fs::{OsFs, SharedFs};
use wire::client::{IngesterPush, IngesterQuery, PushError};

use crate::{Dependencies, Ingester};

pub(super) const HOUR_MS: i64 = 3_600_000;
/// A multiple of two hours.
pub(super) const START_MS: TimestampMs = 1_699_999_200_000 - 1_699_999_200_000 % (2 * HOUR_MS);

/// Options of a fixture.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) config: IngesterConfig,
    pub(super) tsdb: TsdbConfig,
    pub(super) limits: Limits,
    pub(super) fs: SharedFs,
    /// Where the bucket is.
    pub(super) objects: Arc<dyn ObjectStore>,
}

impl Default for Setup {
    fn default() -> Self {
        let defaults = Config::default();
        let mut tsdb = defaults.blocks_storage.tsdb;
        // The smallest segment: a new one is made for every tenant of every test.
        tsdb.wal_segment_size_bytes = 32 << 10;
        Self {
            config: defaults.ingester,
            tsdb,
            limits: defaults.limits,
            fs: Arc::new(OsFs),
            objects: Arc::new(InMemory::new()),
        }
    }
}

/// An ingester and the world around it.
pub(super) struct Fixture {
    pub(super) ingester: Arc<Ingester>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<FaultyStore>,
    pub(super) metrics: Metrics,
    pub(super) dir: Arc<TempDir>,
    setup: Setup,
}

/// Samples by series, as `name{labels}`.
pub(super) type Samples = BTreeMap<String, Vec<(TimestampMs, f64)>>;

impl Fixture {
    /// A running ingester.
    pub(super) async fn running(change: impl FnOnce(&mut Setup)) -> Self {
        let fixture = Self::new(change);
        fixture.ingester.start().await.unwrap();
        fixture
    }

    /// An ingester that is not started.
    pub(super) fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::new(START_MS));
        let store = Arc::new(FaultyStore::over(Arc::clone(&setup.objects)));
        Self::build(setup, dir, clock, store)
    }

    fn build(
        mut setup: Setup,
        dir: Arc<TempDir>,
        clock: Arc<ManualClock>,
        store: Arc<FaultyStore>,
    ) -> Self {
        setup.tsdb.dir = dir.path().join("tsdb").to_str().unwrap().to_owned();
        let metrics = Metrics::new();
        let bucket = Bucket::over(
            Arc::clone(&store) as Arc<dyn ObjectStore>,
            "",
            Arc::clone(&clock) as Arc<dyn Clock>,
            BucketMetrics::new(&metrics, "ingester"),
        );
        let options = ComputeOptions { name: "background", threads: 4, queue_capacity: 100 };
        let ingester = Ingester::new(Dependencies {
            config: setup.config.clone(),
            tsdb_config: setup.tsdb.clone(),
            overrides: Arc::new(Overrides::fixed(setup.limits.clone())),
            bucket,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(7)),
            executor: Arc::new(Inline),
            pool: ComputePool::new(options).unwrap(),
            fs: Arc::clone(&setup.fs),
            metrics: metrics.clone(),
        });
        Self { ingester, clock, store, metrics, dir, setup }
    }

    /// The same over another directory, not started.
    pub(super) fn over(self, dir: Arc<TempDir>) -> Self {
        Self::build(self.setup, dir, self.clock, self.store)
    }

    /// Drops the ingester as it is, and starts another one on its directory and its bucket.
    pub(super) async fn killed_and_restarted(self) -> Self {
        let Self { ingester, clock, store, metrics, dir, setup } = self;
        drop((ingester, metrics));
        let fixture = Self::build(setup, dir, clock, store);
        fixture.ingester.start().await.unwrap();
        fixture
    }

    /// Pushes one sample for each series `(name, value)`.
    pub(super) fn push(
        &self,
        user: &str,
        time_ms: TimestampMs,
        series: &[(&str, f64)],
    ) -> Result<(), PushError> {
        let mut batch = WriteBatch::new(self.ingester.hasher());
        for (name, value) in series {
            let sample = BatchSample { timestamp_ms: time_ms, value: *value };
            batch.push_float(&[Label { name: "__name__", value: name }], sample);
        }
        self.ingester.push(&tenant(user), &batch)
    }

    /// Everything that a query of all time finds.
    pub(super) fn query(&self, user: &str) -> Samples {
        let Some(queryable) = self.ingester.queryable(&tenant(user)).unwrap() else {
            return Samples::new();
        };
        let range = TimeRange::new(0, i64::MAX / 2);
        let context = Arc::new(QueryContext::unlimited());
        let querier = queryable.querier(range, &context).unwrap();
        let matcher = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
        let hints = SelectHints {
            start_ms_incl: range.start_ms_incl,
            end_ms_incl: range.end_ms_incl,
            ..SelectHints::default()
        };
        let mut set = querier.select(&[matcher], &hints).unwrap();
        let mut samples = Samples::new();
        while let Some(mut series) = set.next_series().unwrap() {
            let mut buffer = SampleBuffer::default();
            series.samples.read_all(&mut buffer).unwrap();
            let pairs = buffer.float_times.into_iter().zip(buffer.float_values).collect();
            samples.insert(series.labels.value("__name__").to_owned(), pairs);
        }
        samples
    }

    /// The tenant's part of the bucket.
    pub(super) fn bucket(&self, user: &str) -> TenantBucket {
        TenantBucket::new(self.ingester.bucket.clone(), tenant(user))
    }

    /// The value of a metric, found by its name with labels as in an exposition.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.encode(rt::metrics::TextFormat::Prometheus);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

pub(super) fn tenant(user: &str) -> TenantId {
    TenantId::new(user).unwrap()
}

/// Samples as `Fixture::query` returns them.
pub(super) fn samples(series: &[(&str, &[(TimestampMs, f64)])]) -> Samples {
    series.iter().map(|(name, pairs)| ((*name).to_owned(), pairs.to_vec())).collect()
}
