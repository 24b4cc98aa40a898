//! What becomes of blocks.

use super::*;

/// Twelve hours of blocks of two hours, each from two replicas that hold parts of the series.
async fn add_replicas(world: &World) -> Data {
    let mut all = Vec::new();
    for i in 0..6 {
        let range = (DAY_MS + 2 * i * HOUR_MS, DAY_MS + 2 * (i + 1) * HOUR_MS);
        for (replica, series) in [(0, 0..12), (1, 4..16)] {
            let data = data(series, range);
            world.add_block((100 * (i + 1) + replica) as u128, range, &data).await;
            all.push(data);
        }
    }
    union(&all)
}

#[tokio::test]
async fn replicas_are_merged_and_ranges_filled() {
    let world = World::new();
    let want = add_replicas(&world).await;
    world.compact().await;
    let metas = world.visible().await;
    let ranges: Vec<_> = metas.iter().map(|m| (m.min_time_ms, m.max_time_ms)).collect();
    assert_eq!(ranges, [(DAY_MS, DAY_MS + 12 * HOUR_MS)]);
    assert_eq!(metas[0].compaction.sources.len(), 12);
    assert_eq!(metas[0].compaction.level, 3);
    let thanos = metas[0].thanos.as_ref().unwrap();
    assert_eq!(thanos.source, "compactor");
    let files: Vec<&str> = thanos.files.iter().map(|file| file.rel_path.as_str()).collect();
    assert_eq!(files, ["chunks/000001", "index", "meta.json"]);
    assert_eq!(world.data_of(&metas, false).await, want);
    // The sources stay for readers that have not seen the new block.
    let id = Ulid(100);
    assert!(world.tenant().has_block(id).await.unwrap());
    assert!(
        std::fs::read_dir(world.local.path().join("work/compact/team")).unwrap().next().is_none()
    );
}

#[tokio::test]
async fn series_are_split_into_shards_once() {
    let mut world = World::new();
    world.limits.compactor_split_and_merge_shards = 3;
    let want = add_replicas(&world).await;
    world.compact().await;
    let metas = world.visible().await;
    let shard =
        |meta: &BlockMeta| meta.thanos.as_ref().unwrap().labels["__compactor_shard_id__"].clone();
    let mut shards: Vec<String> = metas.iter().map(shard).collect();
    shards.sort();
    assert_eq!(shards, ["1_of_3", "2_of_3", "3_of_3"]);
    for meta in &metas {
        let number = shard(meta)[..1].parse::<u64>().unwrap() - 1;
        for name in world.data_of(std::slice::from_ref(meta), false).await.keys() {
            let labels = Labels::from_pairs([("__name__", name.as_str())]);
            assert_eq!(labels.stable_hash() % 3, number, "{name}");
        }
    }
    assert_eq!(world.data_of(&metas, false).await, want);
}

#[tokio::test]
async fn fresh_blocks_wait_for_their_replicas_and_marked_ones_are_left_alone() {
    let world = World::new();
    let range = (DAY_MS, DAY_MS + 2 * HOUR_MS);
    for id in [1, 2, 3] {
        world.add_block(id, range, &data(0..3, range)).await;
    }
    let reason = (bucket::NoCompactReason::Manual, "");
    let mark = bucket::NoCompactMark::new(Ulid(3), NOW_MS, reason);
    world.tenant().put_mark(Ulid(3), &mark).await.unwrap();
    let uploaded = world.bucket().info(&world.tenant().block(Ulid(1)).meta()).await.unwrap();
    world.clock.set(uploaded.last_modified_ms + 24 * 60 * 1000);
    world.compact().await;
    assert_eq!(world.visible().await.len(), 3);
    world.clock.set(uploaded.last_modified_ms + 26 * 60 * 1000);
    world.compact().await;
    let metas = world.visible().await;
    let ids: Vec<bool> = metas.iter().map(|meta| meta.ulid == Ulid(3)).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&true) && ids.contains(&false));
}

#[tokio::test]
async fn a_damaged_block_fails_its_job_and_nothing_is_marked() {
    let world = World::new();
    let range = (DAY_MS, DAY_MS + 2 * HOUR_MS);
    for id in [1, 2] {
        world.add_block(id, range, &data(0..3, range)).await;
    }
    let index = world.tenant().block(Ulid(2)).index();
    world.bucket().put(&index, Bytes::from_static(b"no index")).await.unwrap();
    world.compact().await;
    assert_eq!(world.visible().await.len(), 2);
    let text = world.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(text.contains("cortex_compactor_runs_failed_total{reason=\"error\"} 1"), "{text}");
}

/// Compacts and deletes with a store that takes only so many changes; whatever was done, the next
/// process loses nothing and leaves nothing that is not needed.
#[tokio::test]
async fn a_crash_between_any_two_changes_of_the_bucket_is_made_good() {
    let mut crashes = 0;
    for allowed in 0.. {
        let mut world = World::new();
        world.limits.compactor_split_and_merge_shards = 2;
        let mut all = Vec::new();
        for i in 0..2 {
            let range = (DAY_MS + 2 * i * HOUR_MS, DAY_MS + 2 * (i + 1) * HOUR_MS);
            for (replica, series) in [(0, 0..6), (1, 3..9)] {
                all.push(data(series, range));
                world.add_block((10 * i + replica + 1) as u128, range, &all[all.len() - 1]).await;
            }
        }
        let want = union(&all);
        world.store.allow_changes(allowed);
        let before = world.store.changes();
        world.compact().await;
        world.clean().await;
        world.clock.advance(13 * HOUR_MS);
        world.clean().await;
        let was_enough = world.store.changes() - before < allowed;
        world.store.allow_changes(u64::MAX);
        // What readers see at this moment is complete.
        let seen = world.visible().await;
        assert_eq!(world.data_of(&seen, true).await, want, "after {allowed} changes");
        recover(&world).await;
        let metas = world.visible().await;
        assert_eq!(world.data_of(&metas, false).await, want, "after {allowed} changes");
        assert_no_orphans(&world, &metas).await;
        if was_enough {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 40, "{crashes}");
}

/// The next processes, over the delays of partial and of marked blocks.
pub(super) async fn recover(world: &World) {
    for _ in 0..3 {
        world.compact().await;
        world.clean().await;
        world.clock.advance(25 * HOUR_MS);
    }
    world.clean().await;
}

/// Nothing but whole blocks and their index is left.
pub(super) async fn assert_no_orphans(world: &World, metas: &[BlockMeta]) {
    let mut want: Vec<String> = metas
        .iter()
        .flat_map(|meta| {
            ["chunks/000001", "index", "meta.json"].map(|file| format!("{}/{file}", meta.ulid))
        })
        .chain(["bucket-index.json.gz".to_owned()])
        .collect();
    want.sort();
    assert_eq!(world.keys().await, want);
    let index = world.tenant().bucket_index().await.unwrap().unwrap();
    let mut ids: Vec<Ulid> = metas.iter().map(|meta| meta.ulid).collect();
    ids.sort();
    assert_eq!(index.blocks.iter().map(|block| block.id).collect::<Vec<_>>(), ids);
    assert!(index.block_deletion_marks.is_empty());
}

/// One of several compactors.
struct Share {
    cleans: bool,
    compacts: bool,
    runs: fn(&str) -> bool,
}

impl JobSharding for Share {
    fn cleans(&self, tenant: &TenantId) -> bool {
        assert_eq!(tenant.as_str(), "team");
        self.cleans
    }

    fn compacts(&self, _: &TenantId) -> bool {
        self.compacts
    }

    fn runs(&self, _: &TenantId, job: &str) -> bool {
        (self.runs)(job)
    }
}

#[tokio::test]
async fn tenants_of_another_compactor_are_left_alone() {
    let mut world = World::new();
    add_replicas(&world).await;
    let before = world.visible().await.len();
    world.sharding = Arc::new(Share { cleans: false, compacts: false, runs: |_| true });
    world.compact().await;
    world.clean().await;
    assert_eq!(world.visible().await.len(), before);
    assert!(world.tenant().bucket_index().await.unwrap().is_none());
}

#[tokio::test]
async fn jobs_of_a_tenant_are_shared_by_their_keys() {
    let mut world = World::new();
    add_replicas(&world).await;
    let before = world.visible().await.len();
    world.sharding = Arc::new(Share { cleans: false, compacts: true, runs: |_| false });
    world.compact().await;
    assert_eq!(world.visible().await.len(), before, "all jobs are another's");
    // Tenant, stage, range and shard: the keys by which Mimir shares jobs.
    let is_merge = |job: &str| job.starts_with("team-merge-") && job.split('-').count() >= 5;
    world.sharding = Arc::new(Share { cleans: false, compacts: true, runs: is_merge });
    world.compact().await;
    assert!(world.visible().await.len() < before, "the jobs are this one's");
    assert!(world.tenant().bucket_index().await.unwrap().is_none(), "another one cleans");
}
