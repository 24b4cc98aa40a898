//! Servers and clients of both services over a real connection: what the client sees equals what
//! the component itself answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the servers of a test end with its runtime")]

mod compressed;
mod pool;
mod support;
mod times;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::batch::BatchSample;
use model::{
    Label, Labels, MatchOp, Matcher, QueryContext, QueryLimits, Queryable, SampleBuffer,
    SelectHints, SeriesSet, StorageError, TenantId, TimeRange, WriteBatch,
};
use rpc::ingester::IngesterClient;
use rpc::store_gateway::RemoteStoreGateway;
use rt::BlockingHandle;
use ulid::Ulid;
use wire::client::{
    ActiveSeries, BlocksRequest, CardinalityQuery, CountMethod, IngesterPush as _,
    IngesterQuery as _, PushErrorCause, SeriesVisitor, StoreGatewayClient as _,
};

use support::{ACTIVE_SERIES, FakeGateway, FakeIngester, OPTIONS, hasher, serve};

type Contents = BTreeMap<Labels, Vec<(i64, u64)>>;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Series with many chunks, more of them than go into one message.
fn fill(push: &dyn Fn(&WriteBatch<'_>), series: usize) {
    for t in 0..250 {
        let names: Vec<String> = (0..series).map(|i| format!("host-{i:04}")).collect();
        let mut batch = WriteBatch::new(hasher());
        for (i, name) in names.iter().enumerate() {
            let labels =
                [Label { name: "__name__", value: "up" }, Label { name: "instance", value: name }];
            let sample = BatchSample { timestamp_ms: t * 15_000, value: (i as i64 * t) as f64 };
            batch.push_float(&labels, sample);
        }
        push(&batch);
    }
}

fn read(mut set: Box<dyn SeriesSet>) -> Result<Contents, StorageError> {
    let mut contents = Contents::new();
    while let Some(mut series) = set.next_series()? {
        let mut samples = SampleBuffer::default();
        series.samples.read_all(&mut samples)?;
        let values = samples.float_values.iter().map(|v| v.to_bits());
        contents.insert(series.labels, samples.float_times.iter().copied().zip(values).collect());
    }
    Ok(contents)
}

fn select(
    data: &dyn Queryable,
    matchers: &[Matcher],
    context: &Arc<QueryContext>,
) -> Result<Contents, StorageError> {
    let range = TimeRange::new(0, 4_000_000);
    let hints = SelectHints { end_ms_incl: 4_000_000, ..SelectHints::default() };
    read(data.querier(range, context)?.select(matchers, &hints)?)
}

/// Runs `job` where a component would call its clients: on a thread that may block.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(job).await.unwrap()
}

async fn ingester() -> (Arc<FakeIngester>, IngesterClient) {
    let ingester = Arc::new(FakeIngester::new());
    let address = serve(Some(Arc::clone(&ingester)), None).await;
    let options = (OPTIONS, Duration::from_secs(10));
    let client =
        IngesterClient::new(&address, (&options.0, options.1), BlockingHandle::current()).unwrap();
    (ingester, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_to_an_ingester_is_read_from_it() {
    let (ingester, client) = ingester().await;
    blocking(move || {
        let tenant = tenant("team-a");
        fill(&|batch| client.push(&tenant, batch).unwrap(), 700);
        let context = Arc::new(QueryContext::unlimited());
        let regex = |v: &str| Matcher::new(MatchOp::Regex, "instance", v).unwrap();
        let remote = client.queryable(&tenant).unwrap().unwrap();
        for matchers in [vec![regex(".+")], vec![regex("host-00[0-4].")], vec![regex("none")]] {
            let want = select(&*ingester.db, &matchers, &context).unwrap();
            assert_eq!(select(&*remote, &matchers, &context).unwrap(), want);
        }
        let all = select(&*remote, &[regex(".+")], &context).unwrap();
        assert_eq!((all.len(), all.values().map(Vec::len).sum::<usize>()), (700, 700 * 250));
        let (range, own) = (TimeRange::new(0, 4_000_000), &ingester.db);
        let (near, far) =
            (own.querier(range, &context).unwrap(), remote.querier(range, &context).unwrap());
        let few = [regex("host-000.")];
        assert_eq!(far.label_names(&few, 0).unwrap(), near.label_names(&few, 0).unwrap());
        let values = far.label_values("instance", &few, 3).unwrap();
        assert_eq!(values, ["host-0000", "host-0001", "host-0002"]);
        let hints = SelectHints { labels_only: true, ..SelectHints::default() };
        assert_eq!(read(far.select(&few, &hints).unwrap()).unwrap().len(), 10);
        assert_eq!(client.user_stats(&tenant).unwrap().num_series, 700);
        let counted = CountMethod::Active;
        let query = CardinalityQuery { tenant: &tenant, matchers: &[], counted };
        assert_eq!(client.series_count(query).unwrap(), 3, "the active ones");
        assert_eq!(ingester.tenants.lock().iter().collect::<Vec<_>>(), ["team-a"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_not_admitted_is_not_read() {
    let (ingester, client) = ingester().await;
    blocking(move || {
        let mut batch = WriteBatch::new(hasher());
        let labels = [Label { name: "__name__", value: "up" }];
        batch.push_float(&labels, BatchSample { timestamp_ms: 1, value: 1.0 });
        ingester.is_full.store(true, Ordering::Relaxed);
        let error = client.push(&tenant("a"), &batch).unwrap_err();
        assert_eq!((error.cause, error.is_soft), (PushErrorCause::InstanceLimit, false));
        assert_eq!(ingester.read_bytes.load(Ordering::Relaxed), 0);
        ingester.is_full.store(false, Ordering::Relaxed);
        client.push(&tenant("a"), &batch).unwrap();
        assert_ne!(ingester.read_bytes.load(Ordering::Relaxed), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_a_push_come_back_with_their_cause() {
    let (_, client) = ingester().await;
    blocking(move || {
        let mut batch = WriteBatch::new(hasher());
        let labels = [Label { name: "__name__", value: "refused" }];
        batch.push_float(&labels, BatchSample { timestamp_ms: 1, value: 1.0 });
        let error = client.push(&tenant("a"), &batch).unwrap_err();
        assert_eq!((error.cause, error.is_soft), (PushErrorCause::TenantLimit, true));
        assert_eq!(error.message, "no more series");
    })
    .await;
}

/// `cardinality/active_native_histogram_metrics` was empty where ingesters were asked over gRPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_series_of_native_histograms_come_with_their_buckets() {
    let (ingester, client) = ingester().await;
    blocking(move || {
        let tenant = tenant("a");
        let matchers = [Matcher::equal("job", "x")];
        let counted = CountMethod::Active;
        let query = CardinalityQuery { tenant: &tenant, matchers: &matchers, counted };
        let listed = |of: &dyn Fn(SeriesVisitor<'_>) -> Result<(), StorageError>| {
            let mut all = Vec::new();
            of(&mut |series| {
                all.push(series);
                Ok(())
            })
            .unwrap();
            all
        };
        let mut want = listed(&|visit| ingester.active_series(query, visit));
        let labels = |all: &[ActiveSeries]| {
            all.iter().map(|series| series.labels.clone()).collect::<Vec<Labels>>()
        };
        let all = listed(&|visit| client.active_series(query, visit));
        assert_eq!(labels(&all), labels(&want));
        want.retain(|series| series.bucket_count.is_some());
        assert_eq!(want.len(), ACTIVE_SERIES as usize / 3);
        assert_eq!(listed(&|visit| client.active_histogram_series(query, visit)), want);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_must_stop_stops_and_limits_count() {
    let (_, client) = ingester().await;
    blocking(move || {
        let tenant = tenant("a");
        fill(&|batch| client.push(&tenant, batch).unwrap(), 50);
        let remote = client.queryable(&tenant).unwrap().unwrap();
        let any = [Matcher::equal("__name__", "up")];
        let limits = QueryLimits { max_series: 49, ..QueryLimits::default() };
        let clock = Arc::new(model::env::ManualClock::new(0));
        let context = Arc::new(QueryContext::new(limits, clock));
        let error = select(&*remote, &any, &context).unwrap_err();
        assert!(error.to_string().contains("err-mimir-max-series-per-query"), "{error}");
        let context = Arc::new(QueryContext::unlimited());
        context.cancel();
        assert!(matches!(select(&*remote, &any, &context), Err(StorageError::Interrupted(_))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_address_is_an_error_that_another_replica_may_mend() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = (OPTIONS, Duration::from_secs(10));
    let client =
        IngesterClient::new(&address, (&options.0, options.1), BlockingHandle::current()).unwrap();
    blocking(move || {
        let error = client.user_stats(&tenant("a")).unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error}");
        let batch = WriteBatch::new(hasher());
        let error = client.push(&tenant("a"), &batch).unwrap_err();
        assert_eq!(error.cause, PushErrorCause::ServiceUnavailable);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_gateway_answers_over_named_blocks_and_says_which() {
    let gateway = Arc::new(FakeGateway::new());
    fill(&|batch| gateway.ingester.push(&tenant("a"), batch).unwrap(), 300);
    let address = serve(None, Some(Arc::clone(&gateway))).await;
    let client = RemoteStoreGateway::new(&address, &OPTIONS, BlockingHandle::current()).unwrap();
    blocking(move || {
        let context = Arc::new(QueryContext::unlimited());
        let unknown = Ulid::from_bytes([9; 16]);
        let blocks = [gateway.block, unknown];
        let tenant = tenant("a");
        let range = TimeRange::new(0, 4_000_000);
        let request = BlocksRequest { tenant: &tenant, blocks: &blocks, range, context: &context };
        let any = [Matcher::equal("__name__", "up")];
        let hints = SelectHints { end_ms_incl: 4_000_000, ..SelectHints::default() };
        let answer = client.select(request, &any, &hints).unwrap();
        assert_eq!(answer.queried, [gateway.block]);
        let want = select(&*gateway.ingester.db, &any, &context).unwrap();
        assert_eq!(read(answer.value).unwrap(), want);
        assert_eq!(want.len(), 300);
        let hints = SelectHints { labels_only: true, ..SelectHints::default() };
        let answer = client.select(request, &any, &hints).unwrap();
        assert_eq!(read(answer.value).unwrap().len(), 300);
        let mut names = client.label_names(request, &any, 0).unwrap();
        assert_eq!(names.queried, [gateway.block]);
        assert_eq!(names.value.next_text().unwrap(), Some("__name__"));
        let mut values = client.label_values(request, "instance", &any, 2).unwrap();
        assert_eq!(values.value.next_text().unwrap(), Some("host-0000"));
        assert_eq!(values.value.next_text().unwrap(), Some("host-0001"));
        assert_eq!(values.value.next_text().unwrap(), None);
    })
    .await;
}

/// Mimir's store-gateways count by request too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_gateway_keeps_to_the_limits_of_the_tenant() {
    let gateway = Arc::new(FakeGateway::new());
    fill(&|batch| gateway.ingester.push(&tenant("a"), batch).unwrap(), 30);
    let address = serve(None, Some(Arc::clone(&gateway))).await;
    let client = RemoteStoreGateway::new(&address, &OPTIONS, BlockingHandle::current()).unwrap();
    blocking(move || {
        let context = Arc::new(QueryContext::unlimited());
        let (any, blocks) = ([Matcher::equal("__name__", "up")], [gateway.block]);
        let range = TimeRange::new(0, 4_000_000);
        let hints = SelectHints { end_ms_incl: 4_000_000, ..SelectHints::default() };
        let of = |series: &str| {
            let tenant = tenant(series);
            let (blocks, context) = (&blocks[..], &context);
            let request = BlocksRequest { tenant: &tenant, blocks, range, context };
            read(client.select(request, &any, &hints)?.value)
        };
        assert_eq!(of("30").unwrap().len(), 30);
        let error = of("29").unwrap_err();
        let want = model::LimitError { kind: model::LimitKind::Series, limit: 29 };
        assert!(matches!(error, StorageError::Limit(limit) if limit == want), "{error}");
    })
    .await;
}
