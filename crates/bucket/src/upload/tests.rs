//! Tests of uploads over a directory and over memory.

use std::sync::Arc;

use model::TenantId;
use model::env::ManualClock;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rt::Metrics;

use super::*;
use crate::{Bucket, BucketMetrics, BucketOptions};

fn over(store: Arc<dyn ObjectStore>) -> Bucket {
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    Bucket::over(store, "prefix", Arc::new(ManualClock::new(5_000)), metrics)
}

fn local_block(chunk_bytes: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("chunks")).unwrap();
    let chunk: Vec<u8> = (0..chunk_bytes).map(|i| i as u8).collect();
    std::fs::write(dir.path().join("chunks/000001"), &chunk).unwrap();
    std::fs::write(dir.path().join("chunks/000002"), b"second").unwrap();
    std::fs::write(dir.path().join("index"), b"index").unwrap();
    std::fs::write(dir.path().join("tombstones"), b"stones").unwrap();
    std::fs::write(dir.path().join("meta.json"), b"local").unwrap();
    dir
}

async fn upload(bucket: &TenantBucket, dir: &Path) -> Result<(), BucketError> {
    upload_block(bucket, (Ulid(7), dir), 2, |files| {
        let names: Vec<&str> = files.iter().map(|f| f.relative_path.as_str()).collect();
        assert_eq!(names, ["chunks/000001", "chunks/000002", "index"]);
        Ok(Bytes::from_static(b"{}"))
    })
    .await
}

#[tokio::test]
async fn a_block_is_in_the_bucket_file_by_file_with_its_meta() {
    let dir = tempfile::tempdir().unwrap();
    let options = BucketOptions::Filesystem {
        dir: dir.path().join("bucket"),
        storage_prefix: "pre".to_owned(),
    };
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    let directory = Bucket::open(&options, Arc::new(ManualClock::new(0)), metrics).unwrap();
    for bucket in [directory, over(Arc::new(InMemory::new()))] {
        let tenant = TenantBucket::new(bucket, TenantId::new("team*1").unwrap());
        assert_eq!(tenant.block_ids().await.unwrap(), []);
        let local = local_block(20 << 20);
        upload(&tenant, local.path()).await.unwrap();
        upload(&tenant, local.path()).await.unwrap();
        assert_eq!(tenant.block_ids().await.unwrap(), [Ulid(7)]);
        assert_eq!(&tenant.meta_json(Ulid(7)).await.unwrap().unwrap()[..], b"{}");
        let chunks = tenant.bucket().get(&tenant.block(Ulid(7)).chunks(0)).await.unwrap();
        assert_eq!(chunks, std::fs::read(local.path().join("chunks/000001")).unwrap());
        let part = tenant.read(&tenant.block(Ulid(7)).chunks(1), 1..4).await.unwrap();
        assert_eq!(&part[..], b"eco");
        let listed = tenant.bucket().list(&format!("team*1/{}", Ulid(7))).await.unwrap();
        let keys: Vec<&str> = listed.iter().map(|o| o.key.as_str()).collect();
        assert_eq!(keys, ["chunks/000001", "chunks/000002", "index", "meta.json"]);
    }
    assert!(dir.path().join("bucket/pre/team*1").is_dir(), "keys are not escaped");
}

#[tokio::test]
async fn a_block_whose_upload_failed_does_not_exist() {
    let tenant = TenantBucket::new(over(Arc::new(InMemory::new())), TenantId::new("t").unwrap());
    let local = local_block(10);
    std::fs::remove_file(local.path().join("index")).unwrap();
    assert!(matches!(upload(&tenant, local.path()).await, Err(BucketError::LocalFile { .. })));
    assert_eq!(tenant.meta_json(Ulid(7)).await.unwrap(), None);
    assert!(!tenant.has_block(Ulid(7)).await.unwrap());
}
