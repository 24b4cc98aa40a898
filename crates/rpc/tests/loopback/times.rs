//! How long calls take, as their callers tell it.

use std::sync::Arc;
use std::time::Duration;

use model::batch::BatchSample;
use model::env::ManualClock;
use model::{Clock, Label, Matcher, QueryContext, SelectHints, TimeRange, WriteBatch};
use rpc::ingester::IngesterClient;
use rpc::store_gateway::RemoteStoreGateway;
use rpc::{CallTimes, ClientOptions};
use rt::metrics::TextFormat;
use rt::{BlockingHandle, Metrics};
use wire::client::{BlocksRequest, IngesterPush as _, IngesterQuery as _, StoreGatewayClient as _};

use crate::support::{FakeGateway, FakeIngester, OPTIONS, hasher, serve};
use crate::{blocking, fill, read, select, tenant};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(0))
}

/// Counts of calls: the labels of each.
fn counts(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.encode(TextFormat::Prometheus);
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("_count"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_ingesters_are_timed_by_their_method_and_status() {
    let address = serve(Some(Arc::new(FakeIngester::new())), None).await;
    let metrics = Metrics::new();
    let times = Some(CallTimes::of_ingesters(&metrics, clock()));
    let options = (ClientOptions { times, ..OPTIONS }, Duration::from_secs(10));
    let client =
        IngesterClient::new(&address, (&options.0, options.1), BlockingHandle::current()).unwrap();
    blocking(move || {
        fill(&|batch| client.push(&tenant("a"), batch).unwrap(), 10);
        let mut batch = WriteBatch::new(hasher());
        let labels = [Label { name: "__name__", value: "refused" }];
        batch.push_float(&labels, BatchSample { timestamp_ms: 1, value: 1.0 });
        client.push(&tenant("a"), &batch).unwrap_err();
        let data = client.queryable(&tenant("a")).unwrap().unwrap();
        let any = [Matcher::equal("__name__", "up")];
        let context = Arc::new(QueryContext::unlimited());
        assert_eq!(select(&*data, &any, &context).unwrap().len(), 10);
        client.user_stats(&tenant("a")).unwrap();
    })
    .await;
    let want = [
        ("Push", "FailedPrecondition", 1),
        ("Push", "OK", 250),
        ("QueryStream", "OK", 1),
        ("UserStats", "OK", 1),
    ];
    let want = want.map(|(method, status, count)| {
        format!("{{operation=\"/cortex.Ingester/{method}\",status_code=\"{status}\"}} {count}")
    });
    assert_eq!(counts(&metrics, "cortex_ingester_client_request_duration_seconds"), want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_store_gateways_are_timed_by_their_method_and_class() {
    let gateway = Arc::new(FakeGateway::new());
    fill(&|batch| gateway.ingester.push(&tenant("a"), batch).unwrap(), 10);
    let address = serve(None, Some(Arc::clone(&gateway))).await;
    let metrics = Metrics::new();
    let times = Some(CallTimes::of_gateways(&metrics, clock()));
    let options = ClientOptions { times, ..OPTIONS };
    let client = RemoteStoreGateway::new(&address, &options, BlockingHandle::current()).unwrap();
    blocking(move || {
        let context = Arc::new(QueryContext::unlimited());
        let (tenant, range) = (tenant("a"), TimeRange::new(0, 4_000_000));
        let blocks = [gateway.block];
        let request = BlocksRequest { tenant: &tenant, blocks: &blocks, range, context: &context };
        let any = [Matcher::equal("__name__", "up")];
        let answer = client.select(request, &any, &SelectHints::default()).unwrap();
        assert_eq!(read(answer.value).unwrap().len(), 10);
        let none = BlocksRequest { blocks: &[], ..request };
        assert!(client.label_names(none, &any, 0).is_err());
    })
    .await;
    let want = [("LabelNames", "error"), ("Series", "2xx")].map(|(method, class)| {
        let operation = format!("operation=\"/gatewaypb.StoreGateway/{method}\"");
        format!("{{client=\"querier\",{operation},status_code=\"{class}\"}} 1")
    });
    assert_eq!(counts(&metrics, "cortex_storegateway_client_request_duration_seconds"), want);
}
