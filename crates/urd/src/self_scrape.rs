//! The service that stores the node's own metrics, as a Prometheus that scrapes it would: with
//! `job` and `instance`, `up`, and stale markers for series that are gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::batch::{BatchSample, MetricMetadata, MetricType, SeriesHasher};
use model::{Clock, Label, METRIC_NAME_LABEL, TenantId, TimestampMs, WriteBatch, stale_nan};
use parking_lot::Mutex;
use rt::metrics::{GatheredFamily, GatheredSample};
use rt::{BoxError, CancellationToken, ComputePool, Metrics, Service};
use wire::client::IngesterPush;

/// What the service is made of.
pub(crate) struct SelfScrape {
    /// How often it scrapes.
    pub(crate) interval: Duration,
    /// The registry.
    pub(crate) metrics: Metrics,
    /// Where the samples go.
    pub(crate) ingester: Arc<dyn IngesterPush>,
    /// Whose they are.
    pub(crate) tenant: TenantId,
    /// The value of the label `instance`.
    pub(crate) instance: String,
    /// Hashes series.
    pub(crate) hasher: SeriesHasher,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Threads to push on.
    pub(crate) pool: ComputePool,
}

/// The value of the label `job`.
const JOB: &str = "urd";

/// The labels of a series, sorted, with its name among them.
type SeriesLabels = Vec<(String, String)>;

/// What is kept from one scrape to the next: the series of the last one.
type Seen = Arc<Mutex<HashSet<SeriesLabels>>>;

/// The service.
pub(crate) struct SelfScrapeService {
    scrape: Arc<SelfScrape>,
    seen: Seen,
}

impl SelfScrapeService {
    pub(crate) fn new(scrape: SelfScrape) -> Self {
        Self { scrape: Arc::new(scrape), seen: Seen::default() }
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), BoxError> {
        let mut ticks = rt::time::interval(self.scrape.interval);
        loop {
            let (scrape, seen) = (Arc::clone(&self.scrape), Arc::clone(&self.seen));
            let pushed = self.scrape.pool.run(move || scrape.scrape(&mut seen.lock()));
            match pushed.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "could not store the own metrics"),
                Err(error) => tracing::warn!(%error, "could not store the own metrics"),
            }
            if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                return Ok(());
            }
        }
    }
}

impl Service for SelfScrapeService {
    fn name(&self) -> &'static str {
        "self-scrape"
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        self.run(stop).boxed()
    }
}

impl SelfScrape {
    /// One scrape, on a compute thread.
    fn scrape(&self, seen: &mut HashSet<SeriesLabels>) -> Result<(), BoxError> {
        let started = self.clock.monotonic();
        let now_ms = self.clock.now_ms();
        let gathered = self.metrics.gather()?;
        let seconds = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        let own = [
            ("up", 1.0),
            ("scrape_duration_seconds", seconds),
            ("scrape_samples_scraped", gathered.samples.len() as f64),
        ];
        let own = own.map(|(name, value)| GatheredSample {
            name: name.to_owned(),
            labels: Vec::new(),
            value,
        });
        let samples = gathered.samples.into_iter().chain(own);
        let series: Vec<(SeriesLabels, f64)> =
            samples.map(|sample| self.with_target_labels(sample)).collect();
        let current: HashSet<SeriesLabels> =
            series.iter().map(|(labels, _)| labels.clone()).collect();
        let mut batch = WriteBatch::new(self.hasher);
        for (labels, value) in &series {
            push(&mut batch, labels, BatchSample { timestamp_ms: now_ms, value: *value });
        }
        for gone in seen.difference(&current) {
            push(&mut batch, gone, stale(now_ms));
        }
        batch.metadata = gathered.families.iter().map(metadata).collect();
        self.ingester.push(&self.tenant, &batch)?;
        *seen = current;
        Ok(())
    }

    fn with_target_labels(&self, sample: GatheredSample) -> (SeriesLabels, f64) {
        let mut labels = sample.labels;
        labels.retain(|(name, _)| name != "job" && name != "instance");
        labels.push((METRIC_NAME_LABEL.to_owned(), sample.name));
        labels.push(("instance".to_owned(), self.instance.clone()));
        labels.push(("job".to_owned(), JOB.to_owned()));
        labels.sort_unstable();
        (labels, sample.value)
    }
}

fn push<'a>(batch: &mut WriteBatch<'a>, labels: &'a [(String, String)], sample: BatchSample) {
    // An empty label is no label.
    let labels = labels.iter().filter(|(_, value)| !value.is_empty());
    let labels: Vec<Label<'a>> = labels.map(|(name, value)| Label { name, value }).collect();
    batch.push_float(&labels, sample);
}

fn stale(timestamp_ms: TimestampMs) -> BatchSample {
    BatchSample { timestamp_ms, value: stale_nan() }
}

fn metadata(family: &GatheredFamily) -> MetricMetadata<'_> {
    let metric_type = match family.kind.as_str() {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "info" => MetricType::Info,
        _ => MetricType::Unknown,
    };
    MetricMetadata { family: &family.name, metric_type, help: &family.help, unit: "" }
}

#[cfg(test)]
mod tests {
    use model::env::ManualClock;
    use rt::ComputeOptions;
    use wire::client::PushError;

    use super::*;

    /// Keeps what is pushed, as text: labels, value, time.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl IngesterPush for Recorder {
        fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
            let mut lines = self.0.lock();
            for series in &batch.series {
                let labels = batch.labels_of(series).iter();
                let labels: Vec<String> =
                    labels.map(|label| format!("{}={}", label.name, label.value)).collect();
                for sample in batch.samples_of(series) {
                    let value = if model::is_stale(sample.value) {
                        "stale".to_owned()
                    } else {
                        sample.value.to_string()
                    };
                    let time = sample.timestamp_ms;
                    lines.push(format!("{tenant} {} {value} @{time}", labels.join(",")));
                }
            }
            for item in &batch.metadata {
                lines.push(format!("{} {}", item.family, item.metric_type.as_str()));
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_counted_is_stored_and_what_is_gone_is_marked() {
        let (metrics, recorder) = (Metrics::new(), Arc::new(Recorder::default()));
        let clock = Arc::new(ManualClock::new(1000));
        let requests = metrics.counter_vec("requests_total", "Requests", &["user"]);
        requests.with(&["a"]).inc_by(3);
        let options = ComputeOptions { name: "t", threads: 1, queue_capacity: 1 };
        let scrape = SelfScrape {
            interval: Duration::from_secs(15),
            metrics,
            ingester: recorder.clone(),
            tenant: TenantId::new("anonymous").unwrap(),
            instance: "host:1".to_owned(),
            hasher: SeriesHasher::default(),
            clock: clock.clone(),
            pool: ComputePool::new(options).unwrap(),
        };
        let mut seen = HashSet::new();
        scrape.scrape(&mut seen).unwrap();
        let target = "instance=host:1,job=urd";
        let series = format!("anonymous __name__=requests_total,{target},user=a");
        assert_eq!(
            *recorder.0.lock(),
            [
                format!("{series} 3 @1000"),
                format!("anonymous __name__=up,{target} 1 @1000"),
                format!("anonymous __name__=scrape_duration_seconds,{target} 0 @1000"),
                format!("anonymous __name__=scrape_samples_scraped,{target} 1 @1000"),
                "requests_total counter".to_owned(),
            ]
        );
        recorder.0.lock().clear();
        clock.set(2000);
        requests.clear();
        scrape.scrape(&mut seen).unwrap();
        assert!(recorder.0.lock().contains(&format!("{series} stale @2000")));
    }
}
