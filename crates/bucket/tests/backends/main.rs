//! One suite that every kind of object storage runs: a directory, memory, an S3 server, Azurite,
//! and a fake of Google Cloud Storage's XML API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod azure;
mod gcs;
mod suite;
mod tls;

use std::sync::Arc;

use bucket::testing::S3Server;
use bucket::{Bucket, BucketMetrics, BucketOptions};
use object_store::memory::InMemory;
use rt::{Metrics, SystemClock};

fn metrics() -> BucketMetrics {
    BucketMetrics::new(&Metrics::new(), "test")
}

fn open(options: &BucketOptions) -> Bucket {
    Bucket::open(options, Arc::new(SystemClock::new()), metrics()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let options = BucketOptions::Filesystem {
        dir: dir.path().join("bucket"),
        storage_prefix: "pre".to_owned(),
    };
    suite::run(&open(&options)).await;
    let mut names: Vec<_> = std::fs::read_dir(dir.path().join("bucket")).unwrap().collect();
    assert_eq!(names.pop().unwrap().unwrap().file_name(), "pre");
    assert!(names.is_empty(), "the lock leaves nothing among the objects");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let store = Arc::new(InMemory::new());
    suite::run(&Bucket::over(store, "pre", Arc::new(SystemClock::new()), metrics())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_server() {
    for prefix in ["pre", ""] {
        let server = S3Server::start().await.unwrap();
        suite::run(&open(&server.options(prefix))).await;
    }
}
