//! The way of a block: cut from the head, uploaded, deleted locally; and of a TSDB that is idle.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bucket::testing::{Fault, Operation, S3Server};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::Value;
use ulid::Ulid;

use super::fixture::{Fixture, HOUR_MS, START_MS, samples, tenant};

impl Fixture {
    fn local_blocks(&self, user: &str) -> Vec<Ulid> {
        let tenant = self.ingester.tenants.get(&tenant(user)).unwrap();
        tenant.db().blocks().iter().map(|block| block.ulid).collect()
    }

    fn tenant_dir(&self, user: &str) -> std::path::PathBuf {
        self.dir.path().join("tsdb").join(user)
    }

    /// A sample every ten minutes of `hours` hours, pushed as time goes by.
    fn push_hours(&self, user: &str, hours: i64) {
        for i in 0..hours * 6 {
            self.clock.set(START_MS + i * HOUR_MS / 6);
            self.push(user, START_MS + i * HOUR_MS / 6, &[("up", i as f64)]).unwrap();
        }
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_head_is_cut_after_one_and_a_half_ranges_shipped_and_dropped_after_the_retention() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 3);
    f.ingester.cut_heads().await;
    assert!(f.local_blocks("a").is_empty(), "three hours are not more than one and a half ranges");
    f.push("a", START_MS + 3 * HOUR_MS + 1, &[("up", 99.0)]).unwrap();
    let everything = f.query("a");
    f.ingester.cut_heads().await;
    let blocks = f.local_blocks("a");
    assert_eq!(blocks.len(), 1);
    assert_eq!(f.query("a"), everything, "a block and the head together");
    assert_eq!(f.metric("cortex_ingester_tsdb_compactions_total"), 1.0);
    assert!(f.metric("cortex_ingester_tsdb_storage_blocks_bytes{user=\"a\"}") > 0.0);
    assert!(f.metric("cortex_ingester_oldest_unshipped_block_timestamp_seconds") > 0.0);

    // Not shipped, it stays for ever.
    f.clock.advance(1000 * HOUR_MS);
    f.ingester.cut_heads().await;
    assert!(f.local_blocks("a").contains(&blocks[0]));

    f.ingester.ship_blocks().await;
    assert_eq!(f.metric("cortex_ingester_oldest_unshipped_block_timestamp_seconds"), 0.0);
    assert!(f.bucket("a").has_block(blocks[0]).await.unwrap());
    f.clock.advance(13 * HOUR_MS);
    f.ingester.cut_heads().await;
    assert!(f.local_blocks("a").contains(&blocks[0]));
    f.clock.advance(1);
    f.ingester.cut_heads().await;
    assert!(!f.local_blocks("a").contains(&blocks[0]));
    assert!(!f.tenant_dir("a").join(blocks[0].to_string()).is_dir());
    assert!(f.bucket("a").has_block(blocks[0]).await.unwrap());
}

#[tokio::test]
async fn a_shipped_block_is_whole_and_described_as_mimir_wants_it() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 2);
    f.ingester.flush(None).await.unwrap();
    let id = f.local_blocks("a")[0];
    let bucket = f.bucket("a");
    let local = f.tenant_dir("a").join(id.to_string());
    for file in ["index", "chunks/000001"] {
        let uploaded = bucket.bucket().get(&bucket.block(id).file(file)).await.unwrap();
        assert_eq!(uploaded, std::fs::read(local.join(file)).unwrap(), "{file}");
    }
    let meta: Value =
        serde_json::from_slice(&bucket.meta_json(id).await.unwrap().unwrap()).unwrap();
    assert_eq!(meta["ulid"], id.to_string());
    assert_eq!((&meta["version"], &meta["stats"]["numSamples"]), (&1.into(), &12.into()));
    assert_eq!(meta["compaction"]["level"], 1);
    let thanos = &meta["thanos"];
    assert_eq!((&thanos["version"], &thanos["source"]), (&1.into(), &"receive".into()));
    assert_eq!(thanos["segment_files"], serde_json::json!(["000001"]));
    let index_bytes = std::fs::metadata(local.join("index")).unwrap().len();
    let index = serde_json::json!({"rel_path": "index", "size_bytes": index_bytes});
    assert_eq!(thanos["files"][1], index);
    let local_meta: Value =
        serde_json::from_slice(&std::fs::read(local.join("meta.json")).unwrap()).unwrap();
    assert_eq!(local_meta.get("thanos"), None);

    let state = std::fs::read(f.tenant_dir("a").join("mimir.shipper.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let shipped_seconds = f.ingester.clock.now_ms() as f64 / 1000.0;
    let want = serde_json::json!({"version": 1, "shipped": {id.to_string(): shipped_seconds}});
    assert_eq!(state, want);
    assert_eq!(f.metric("cortex_ingester_shipper_uploads_total"), 1.0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_anywhere_is_done_again() {
    for writes in 0..3 {
        break_off_and_do_again(writes, Arc::new(InMemory::new())).await;
    }
}

#[tokio::test]
async fn an_upload_to_s3_that_breaks_off_anywhere_is_done_again() {
    for writes in 0..3 {
        let server = S3Server::start().await.unwrap();
        break_off_and_do_again(writes, server.object_store().unwrap()).await;
    }
}

/// A block is three writes: a chunk segment, the index, `meta.json`.
async fn break_off_and_do_again(writes: u64, objects: Arc<dyn ObjectStore>) {
    let f = Fixture::running(|setup| setup.objects = objects).await;
    f.push_hours("a", 2);
    f.store.allow_changes(writes);
    f.ingester.flush(None).await.unwrap_err();
    assert_eq!(f.metric("cortex_ingester_shipper_upload_failures_total"), 1.0);
    let id = f.local_blocks("a")[0];
    assert!(!f.bucket("a").has_block(id).await.unwrap(), "{writes}");
    assert!(!f.tenant_dir("a").join("mimir.shipper.json").is_file());

    let f = f.killed_and_restarted().await;
    f.store.allow_changes(u64::MAX);
    f.ingester.ship_blocks().await;
    assert!(f.bucket("a").has_block(id).await.unwrap(), "{writes}");
    assert_eq!(f.bucket("a").block_ids().await.unwrap(), [id]);
    assert_eq!(f.query("a")["up"].len(), 12);
}

#[tokio::test]
async fn an_upload_whose_answer_got_lost_is_not_done_again() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 2);
    f.store.inject(Operation::Put, Fault::Delay(Duration::ZERO), 2);
    f.store.inject(Operation::Put, Fault::LostAnswer, 1);
    f.ingester.flush(None).await.unwrap_err();
    let writes = f.store.changes();
    f.ingester.ship_blocks().await;
    assert_eq!(f.store.changes(), writes, "it is found in the bucket");
    assert_eq!(f.metric("cortex_ingester_oldest_unshipped_block_timestamp_seconds"), 0.0);
    assert!(f.tenant_dir("a").join("mimir.shipper.json").is_file());
}

#[tokio::test]
async fn a_block_that_is_in_the_bucket_is_not_uploaded_again() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 2);
    f.ingester.flush(None).await.unwrap();
    let writes = f.store.changes();
    assert_eq!(writes, 3);
    f.ingester.ship_blocks().await;
    assert_eq!(f.store.changes(), writes);
    // As after a crash between the upload and the note of it.
    std::fs::remove_file(f.tenant_dir("a").join("mimir.shipper.json")).unwrap();
    let f = f.killed_and_restarted().await;
    assert!(f.metric("cortex_ingester_oldest_unshipped_block_timestamp_seconds") > 0.0);
    f.ingester.ship_blocks().await;
    assert_eq!(f.store.changes(), writes);
    assert_eq!(f.metric("cortex_ingester_oldest_unshipped_block_timestamp_seconds"), 0.0);
    assert_eq!(f.metric("cortex_ingester_shipper_uploads_total"), 0.0);
}

#[tokio::test]
async fn only_the_tenants_that_are_named_are_flushed() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 1);
    f.push_hours("b", 1);
    f.ingester.flush(Some(&[tenant("b"), tenant("nobody")])).await.unwrap();
    assert_eq!((f.local_blocks("a").len(), f.local_blocks("b").len()), (0, 1));
    f.push("b", START_MS + HOUR_MS, &[("up", 1.0)]).unwrap();
    assert_eq!(f.query("b")["up"].len(), 7);
}

#[tokio::test]
async fn without_uploads_blocks_age_from_when_they_were_made() {
    let f = Fixture::running(|s| s.tsdb.ship_interval = config::GoDuration::ZERO).await;
    f.push_hours("a", 2);
    f.ingester.flush(None).await.unwrap();
    assert_eq!((f.local_blocks("a").len(), f.store.changes()), (1, 0));
    f.push("a", START_MS + 13 * HOUR_MS, &[("up", 1.0)]).unwrap();
    f.ingester.flush(None).await.unwrap();
    assert_eq!(f.local_blocks("a").len(), 2);
    f.clock.advance(14 * HOUR_MS);
    f.ingester.cut_heads().await;
    assert!(f.local_blocks("a").len() < 2);
    f.clock.advance(1000 * HOUR_MS);
    f.ingester.close_idle_tenants().await;
    assert!(f.tenant_dir("a").is_dir(), "what is nowhere else is not deleted as idle");
}

#[tokio::test]
async fn an_idle_tsdb_is_cut_shipped_closed_and_deleted_and_comes_back() {
    let f = Fixture::running(|_| {}).await;
    f.push_hours("a", 1);
    f.push_hours("b", 1);
    f.clock.advance(HOUR_MS * 5 / 4);
    f.push("b", START_MS + 2 * HOUR_MS, &[("up", 1.0)]).unwrap();
    f.ingester.cut_heads().await;
    assert_eq!((f.local_blocks("a").len(), f.local_blocks("b").len()), (1, 0));
    assert_eq!(f.query("a")["up"].len(), 6);

    f.clock.advance(13 * HOUR_MS);
    f.ingester.close_idle_tenants().await;
    assert_eq!(f.metric("cortex_ingester_memory_users"), 2.0, "not shipped yet");
    f.ingester.ship_blocks().await;
    f.ingester.close_idle_tenants().await;
    assert_eq!(f.metric("cortex_ingester_memory_users"), 1.0);
    assert_eq!(entries(&f.dir.path().join("tsdb")), ["b", "~lock"]);
    assert!(f.query("a").is_empty());
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);

    f.push("a", START_MS + 20 * HOUR_MS, &[("up", 1.0)]).unwrap();
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS + 20 * HOUR_MS, 1.0)])]));
    let f = f.killed_and_restarted().await;
    assert_eq!(f.metric("cortex_ingester_memory_users"), 2.0);
}
