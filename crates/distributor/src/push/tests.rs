//! Tests of pushes against an ingester that only remembers what it was given.

use std::time::Duration;

use config::{Config, Limits};
use futures::FutureExt as _;
use model::env::ManualClock;
use model::{Label, TimestampMs};

use super::*;

const NOW_MS: TimestampMs = 1_700_000_000_000;

/// Remembers names and values, and answers with a prepared error.
#[derive(Default)]
struct Recorder {
    pushed: Mutex<Vec<(String, f64)>>,
    error: Mutex<Option<PushError>>,
}

impl IngesterPush for Recorder {
    fn push(&self, _: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        for series in &batch.series {
            let name = batch.labels_of(series)[0].value.to_owned();
            let values = batch.samples_of(series).iter().map(|s| (name.clone(), s.value));
            self.pushed.lock().extend(values);
        }
        self.error.lock().clone().map_or(Ok(()), Err)
    }
}

struct Fixture {
    distributor: Distributor,
    recorder: Arc<Recorder>,
    clock: Arc<ManualClock>,
    metrics: Metrics,
}

fn fixture(change: impl FnOnce(&mut Limits)) -> Fixture {
    let config = Config::default();
    let mut limits = config.limits.clone();
    change(&mut limits);
    let (recorder, metrics) = (Arc::new(Recorder::default()), Metrics::new());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let distributor = Distributor::new(Dependencies {
        config: config.distributor,
        overrides: Arc::new(Overrides::fixed(limits)),
        ingester: Arc::clone(&recorder) as Arc<dyn IngesterPush>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        hasher: SeriesHasher::new(3),
        metrics: metrics.clone(),
    });
    Fixture { distributor, recorder, clock, metrics }
}

/// Pushes as the handler does it, to an ingester that does not make anybody wait.
impl Distributor {
    fn push(&self, tenant: &TenantId, batch: &mut WriteBatch<'_>) -> Result<(), PushError> {
        ended(self.begin_batch(tenant, batch, (Round::First, Arc::new(())))?)
    }

    fn push_body(&self, tenant: &TenantId, body: &[u8]) -> Result<(), PushError> {
        let inflight = Arc::new(self.admit(tenant, body.len() as u64)?);
        let body = Bytes::copy_from_slice(body);
        let request = PushRequest { tenant: tenant.clone(), body, inflight };
        ended(self.begin(&request, Round::First)?)
    }
}

fn ended(begun: Begun) -> Result<(), PushError> {
    match begun {
        Begun::Sent(sent) => sent.ended().now_or_never().expect("nobody waits"),
        Begun::Elects(election) => panic!("{election:?}"),
    }
}

fn tenant() -> TenantId {
    TenantId::new("team").unwrap()
}

fn batch<'a>(names: &[&'a str]) -> WriteBatch<'a> {
    let mut batch = WriteBatch::default();
    for (i, name) in names.iter().enumerate() {
        let sample = model::batch::BatchSample { timestamp_ms: NOW_MS, value: i as f64 };
        batch.push_float(&[Label { name: "__name__", value: name }], sample);
    }
    batch
}

/// A remote-write body with one series `m` of the value 1, written by hand.
fn body() -> Vec<u8> {
    let label = b"\x0a\x0d\x0a\x08__name__\x12\x01m";
    let mut sample = b"\x12\x10\x09".to_vec();
    sample.extend(1f64.to_le_bytes());
    sample.extend(b"\x10\x80\xd0\x95\xff\xbc\x31"); // NOW_MS as a varint
    sample[1] = (sample.len() - 2) as u8;
    let series = [&label[..], &sample].concat();
    let message = [&[0x0a, series.len() as u8][..], &series].concat();
    snap::raw::Encoder::new().compress_vec(&message).unwrap()
}

#[test]
fn a_body_is_decoded_and_handed_on_again_and_again() {
    let f = fixture(|_| {});
    for _ in 0..3 {
        f.distributor.push_body(&tenant(), &body()).unwrap();
    }
    assert_eq!(*f.recorder.pushed.lock(), vec![("m".to_owned(), 1.0); 3]);
    let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(text.contains("cortex_distributor_received_samples_total{user=\"team\"} 3"), "{text}");
}

#[test]
fn a_label_value_that_is_not_utf8_does_not_lose_the_rest_of_its_request() {
    let f = fixture(|_| {});
    let good = snap::raw::Decoder::new().decompress_vec(&body()).unwrap();
    let mut bad = good.clone();
    let name_value = bad.windows(3).position(|w| w == b"\x12\x01m").unwrap() + 2;
    bad[name_value] = 0xff;
    let both = snap::raw::Encoder::new().compress_vec(&[bad, good].concat()).unwrap();
    let error = f.distributor.push_body(&tenant(), &both).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::BadData, true));
    assert!(error.message.contains("(err-mimir-metric-name-invalid)"), "{}", error.message);
    assert_eq!(*f.recorder.pushed.lock(), [("m".to_owned(), 1.0)]);
    let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(text.contains("cortex_distributor_samples_in_total{user=\"team\"} 2"), "{text}");
}

#[test]
fn damaged_and_oversized_bodies_are_bad_data() {
    let f = fixture(|_| {});
    let error = f.distributor.push_body(&tenant(), b"\xff\xff").unwrap_err();
    assert_eq!(error.cause, PushErrorCause::BadData);
    let huge = snap::raw::Encoder::new().compress_vec(&vec![0; 101 << 20]).unwrap();
    let error = f.distributor.push_body(&tenant(), &huge).unwrap_err();
    assert!(error.message.contains(
        "because its message size of 105906176 bytes is larger than the allowed limit of \
         104857600 bytes (err-mimir-distributor-max-write-message-size)"
    ));
    let garbage = snap::raw::Encoder::new().compress_vec(b"\x0a\x05\x0a").unwrap();
    let error = f.distributor.push_body(&tenant(), &garbage).unwrap_err();
    assert!(error.message.contains("unexpected end of protobuf message"));
    assert!(f.recorder.pushed.lock().is_empty());
}

/// Pushes a body by HTTP, with a length or in chunks, where the bytes under way have a bound; the
/// status.
async fn post(mut f: Fixture, max_bytes: u64, has_length: bool) -> u16 {
    use axum::body::Body;
    use tower::ServiceExt as _;

    f.distributor.config.instance_limits.max_inflight_push_requests_bytes = max_bytes;
    let options = rt::ComputeOptions { name: "t", threads: 1, queue_capacity: 4 };
    let pool = rt::ComputePool::new(options).unwrap();
    let random = Arc::new(model::env::SeededRandom::new(1));
    let router = crate::http::routes(Arc::new(f.distributor), pool, random);
    let body = Bytes::from(body());
    let mut request = http::Request::post("/api/v1/push").extension(tenant());
    if has_length {
        request = request.header("Content-Length", body.len());
    }
    let chunks: Vec<_> = body.chunks(7).map(Bytes::copy_from_slice).map(Ok::<_, String>).collect();
    let chunks = futures::stream::iter(chunks);
    let request = request.body(Body::from_stream(chunks)).unwrap();
    router.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_bytes_of_a_request_count_as_they_came_and_decoded() {
    let body = body();
    let decoded = remote_write::decompressed_len(&body, 1000).unwrap();
    let all = (body.len() + decoded) as u64;
    for has_length in [true, false] {
        assert_eq!(post(fixture(|_| {}), all, has_length).await, 200, "{has_length}");
        assert_eq!(post(fixture(|_| {}), all - 1, has_length).await, 503, "{has_length}");
        let half = body.len() as u64 - 1;
        assert_eq!(post(fixture(|_| {}), half, has_length).await, 503, "{has_length}");
    }
}

#[test]
fn the_valid_part_is_stored_and_the_first_error_told() {
    let f = fixture(|_| {});
    let error = f.distributor.push(&tenant(), &mut batch(&["a", "b-c", "d-e"])).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::BadData, true));
    assert!(error.message.contains("'b-c'"));
    assert_eq!(*f.recorder.pushed.lock(), [("a".to_owned(), 0.0)]);
    let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
    let discarded = "cortex_discarded_samples_total{reason=\"metric_name_invalid\",user=\"team\"";
    assert!(text.contains(discarded), "{text}");
}

#[test]
fn a_hard_error_of_the_ingester_wins_over_a_validation_error() {
    let f = fixture(|_| {});
    let hard = PushError::hard(PushErrorCause::Unknown, "no space left");
    *f.recorder.error.lock() = Some(hard.clone());
    assert_eq!(f.distributor.push(&tenant(), &mut batch(&["a", "b-c"])), Err(hard));
    let soft = PushError::soft(PushErrorCause::BadData, "out of order");
    *f.recorder.error.lock() = Some(soft.clone());
    let error = f.distributor.push(&tenant(), &mut batch(&["a", "b-c"])).unwrap_err();
    assert!(error.message.contains("'b-c'"), "the first error of the request");
    assert_eq!(f.distributor.push(&tenant(), &mut batch(&["a"])), Err(soft));
}

#[test]
fn the_rates_of_a_tenant_refuse_whole_requests() {
    let f = fixture(|l| {
        l.ingestion_rate = 1.0;
        l.ingestion_burst_size = 2;
        l.request_rate = 1.0;
        l.request_burst_size = 1;
    });
    let error = f.distributor.push(&tenant(), &mut batch(&["a", "b", "c"])).unwrap_err();
    assert_eq!(error.cause, PushErrorCause::IngestionRateLimited);
    let burst = "exceeded the ingestion burst size limit, set to 2, with 3 items. This limit";
    assert!(error.message.contains(burst), "{}", error.message);
    assert!(error.message.contains("(err-mimir-tenant-max-ingestion-rate)"));
    assert!(f.recorder.pushed.lock().is_empty());
    f.distributor.push(&tenant(), &mut batch(&["a", "b"])).unwrap();
    let error = f.distributor.push(&tenant(), &mut batch(&["a"])).unwrap_err();
    assert!(error.message.contains("set to 1 items/s with a maximum allowed burst of 2."));
    assert!(error.message.contains("(err-mimir-tenant-max-ingestion-rate)"));
    f.clock.advance(Duration::from_secs(1).as_millis() as i64);
    f.distributor.push(&tenant(), &mut batch(&["a"])).unwrap();

    drop(f.distributor.admit(&tenant(), 1).unwrap());
    let error = f.distributor.admit(&tenant(), 1).unwrap_err();
    assert!(error.message.contains("(err-mimir-tenant-max-request-rate)"));
    assert!(f.distributor.admit(&TenantId::new("other").unwrap(), 1).is_ok());
}

#[test]
fn a_request_rate_without_a_burst_size_is_no_limit() {
    let f = fixture(|l| l.request_rate = 1.0);
    for _ in 0..100 {
        drop(f.distributor.admit(&tenant(), 1).unwrap());
    }
}

#[test]
fn requests_are_counted_under_mimirs_labels_whatever_becomes_of_them() {
    let f = fixture(|l| {
        l.ingestion_rate = 1.0;
        l.ingestion_burst_size = 2;
        l.request_rate = 1.0;
        l.request_burst_size = 1;
    });
    f.distributor.push(&tenant(), &mut batch(&["a", "b"])).unwrap();
    let mut late = batch(&["a"]);
    late.samples[0].timestamp_ms = NOW_MS - 5_000;
    f.distributor.push(&tenant(), &mut late).unwrap_err();
    drop(f.distributor.admit(&tenant(), 1).unwrap());
    f.distributor.admit(&tenant(), 1).unwrap_err();
    let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
    for line in [
        "cortex_distributor_requests_in_total{user=\"team\",version=\"1.0\"} 2",
        "cortex_distributor_received_requests_total{user=\"team\"} 2",
        "cortex_distributor_received_samples_total{user=\"team\"} 2",
        "cortex_distributor_latest_seen_sample_timestamp_seconds{user=\"team\"} 1699999995.0",
        "cortex_discarded_requests_total{reason=\"rate_limited\",user=\"team\"} 1",
        "cortex_distributor_instance_rejected_requests_total{\
         reason=\"distributor_max_ingestion_rate\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_tenant_that_sends_nothing_any_more_is_forgotten_with_its_metrics() {
    let f = fixture(|l| {
        l.ingestion_rate = 1.0;
        l.ingestion_burst_size = 2;
        l.request_rate = 1.0;
        l.request_burst_size = 1;
    });
    let (gone, stays) = (TenantId::new("gone").unwrap(), TenantId::new("stays").unwrap());
    for tenant in [&gone, &stays] {
        f.distributor.push(tenant, &mut batch(&["a", "b-c"])).unwrap_err();
        f.distributor.push(tenant, &mut batch(&["a", "b", "c"])).unwrap_err();
        drop(f.distributor.admit(tenant, 1).unwrap());
        f.distributor.admit(tenant, 1).unwrap_err();
    }
    f.distributor.forget_idle_tenants();
    let series_of = |tenant: &str| {
        let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
        text.lines().filter(|line| line.contains(&format!("user=\"{tenant}\""))).count()
    };
    let count = series_of("gone");
    assert!(count > 10, "{count}");
    f.clock.advance(10 * 60_000);
    f.distributor.push(&stays, &mut batch(&["a"])).unwrap();
    f.clock.advance(5 * 60_000 + 1);
    f.distributor.forget_idle_tenants();
    assert_eq!((series_of("gone"), series_of("stays")), (0, count));
    f.distributor.push(&gone, &mut batch(&["a"])).unwrap();
    assert!(series_of("gone") > 0);
}

/// A ring of distributors with these ages of their heartbeats, seconds, and one that leaves.
fn distributors(ages_s: &[i64]) -> RingView {
    let instance = |(i, age_s): (usize, &i64)| {
        let timestamp = NOW_MS / 1000 - age_s;
        (format!("d{i}"), InstanceDesc { timestamp, ..Default::default() })
    };
    let mut desc = ring::Desc { ingesters: ages_s.iter().enumerate().map(instance).collect() };
    let leaving = InstanceDesc {
        timestamp: NOW_MS / 1000,
        state: InstanceState::Leaving as i32,
        ..Default::default()
    };
    desc.ingesters.insert("leaving".to_owned(), leaving);
    let ring = Arc::new(ring::Ring::new(desc, ring::RingRules::default()));
    Arc::new(move || Arc::clone(&ring))
}

#[test]
fn rates_are_shared_among_the_distributors_that_are_there() {
    let mut f = fixture(|l| {
        l.ingestion_rate = 4.0;
        l.ingestion_burst_size = 4;
        l.request_rate = 4.0;
        l.request_burst_size = 1;
    });
    // The third one has been silent for longer than a minute.
    f.distributor = f.distributor.with_ring(distributors(&[0, 60, 61]));
    f.distributor.push(&tenant(), &mut batch(&["a", "b", "c", "d"])).unwrap();
    assert!(f.distributor.push(&tenant(), &mut batch(&["a"])).is_err(), "the burst is not shared");
    drop(f.distributor.admit(&tenant(), 1).unwrap());
    f.clock.advance(500);
    f.distributor.push(&tenant(), &mut batch(&["a"])).unwrap();
    let error = f.distributor.push(&tenant(), &mut batch(&["a"])).unwrap_err();
    assert!(error.message.contains("set to 4 items/s"), "{}", error.message);
    f.clock.advance(-1);
    assert!(f.distributor.admit(&tenant(), 1).is_err());
    f.clock.advance(2);
    assert!(f.distributor.admit(&tenant(), 1).is_ok());
}
