//! Pools: whose connections they keep, and what the ingesters tell of all tenants.

use std::sync::Arc;
use std::time::Duration;

use rpc::HealthCheck;
use rpc::ingester::IngesterPool;
use rt::BlockingHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use wire::client::IngesterReads as _;

use crate::support::{FakeIngester, OPTIONS, serve};

const CHECK: HealthCheck =
    HealthCheck { timeout: Duration::from_secs(10), grace_period: Duration::from_secs(60) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pool() -> IngesterPool {
    IngesterPool::new(OPTIONS, Duration::from_secs(10), BlockingHandle::current())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_instances_that_left_are_dropped() {
    let pool = pool();
    for address in ["127.0.0.1:1", "127.0.0.1:2"] {
        assert!(pool.ingester(address).is_ok());
    }
    assert_eq!(pool.len(), 2);
    pool.tend(&["127.0.0.1:2".to_owned()], at(0), None).await;
    assert_eq!(pool.len(), 1);
    pool.tend(&[], at(0), None).await;
    assert!(pool.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_dropped_after_the_grace_period_of_a_failing_health() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let (pool, known) = (pool(), [address.clone()]);
    let first = pool.ingester(&address).unwrap();
    let says = async |status| reporter.set_service_status("", status).await;
    let tended = async |seconds| {
        pool.tend(&known, at(seconds), Some(CHECK)).await;
        pool.len()
    };
    assert_eq!(tended(0).await, 1);
    says(ServingStatus::NotServing).await;
    assert_eq!(tended(100).await, 1);
    // It served meanwhile: the time begins anew.
    says(ServingStatus::Serving).await;
    assert_eq!(tended(110).await, 1);
    says(ServingStatus::NotServing).await;
    assert_eq!(tended(120).await, 1);
    assert_eq!(tended(179).await, 1);
    assert!(Arc::ptr_eq(&first, &pool.ingester(&address).unwrap()));
    assert_eq!(tended(180).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_tenants_of_an_ingester_are_told() {
    let address = serve(Some(Arc::new(FakeIngester::new())), None).await;
    let pool = pool();
    let ingester = pool.ingester(&address).unwrap();
    let asked = BlockingHandle::current().spawn(move || ingester.all_user_stats());
    let all = asked.await.unwrap().unwrap();
    let told = all.iter().map(|(tenant, stats)| (tenant.as_str(), stats.num_series));
    assert_eq!(told.collect::<Vec<_>>(), [("a", 0), ("b", 7)]);
}
