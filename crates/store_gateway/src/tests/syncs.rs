//! What is kept on local disk and in memory: when it comes, when it goes, what a restart finds,
//! and the bounds of requests.

use std::sync::Arc;
use std::time::Duration;

use bucket::DeletionMark;
use config::{AllowedTenants, CommaList, GoDuration};
use model::{LimitKind, Matcher, QueryLimits, SelectHints, StorageError, TenantId};
use ulid::Ulid;
use wire::client::{BlocksRequest, StoreGatewayClient as _};

use crate::testing::{ALL_TIME, BlockSpec, Data, World, read_all, series};
use crate::{BlockOwner, BlockSharding};

const HOUR_MS: i64 = 3_600_000;
const LOADS: &str = "cortex_bucket_store_indexheader_lazy_load_total";
const BOTH_FILES: [&str; 2] = ["index-header", "sparse-index-header"];

fn data(series_count: usize) -> Data {
    let one = |i| {
        let number = format!("{i:04}");
        series(&[("__name__", "m"), ("i", &number)], (0..10).map(|t| t * 10))
    };
    (0..series_count).map(one).collect()
}

/// Two blocks, of 5 and 50 series, that everybody knows.
fn world() -> World {
    let world = World::new();
    world.add_block(&BlockSpec::new(1, data(5)));
    world.add_block(&BlockSpec::new(2, data(50)));
    world.sync();
    world
}

#[test]
fn index_headers_come_with_a_sync_and_are_loaded_by_queries() {
    let world = world();
    assert_eq!(
        (world.local_files(1), world.local_files(2)),
        (BOTH_FILES.map(str::to_owned).to_vec(), BOTH_FILES.map(str::to_owned).to_vec())
    );
    assert_eq!(world.metric(LOADS, &[]), 0.0);
    assert_eq!(world.all().unwrap(), data(50));
    assert_eq!(world.metric(LOADS, &[]), 2.0);
    let size = world.metric("cortex_bucket_store_blocks_loaded_size_bytes", &[("user", "team")]);
    let file = |block, name| world.sync_dir.path().join(format!("team/{}/{name}", Ulid(block)));
    let length = |(block, name)| std::fs::metadata(file(block, name)).unwrap().len();
    let files = [1, 2].into_iter().flat_map(|block| BOTH_FILES.map(|name| (block, name)));
    assert_eq!(size, files.map(length).sum::<u64>() as f64);
    assert_eq!(world.metric("cortex_bucket_store_blocks_loaded", &[]), 2.0);
    assert_eq!(world.metric("cortex_bucket_stores_tenants_discovered", &[]), 1.0);
}

/// Newer compactors write it; what makes no sense is not used.
#[test]
fn the_sparse_header_comes_from_the_bucket_where_it_is_there() {
    let world = world();
    let local = |world: &World| {
        let dir = world.sync_dir.path().join("team").join(Ulid(2).to_string());
        std::fs::read(dir.join("sparse-index-header")).unwrap()
    };
    let own = local(&world);
    // The same with the name of a file, so that it can be told from what is made here.
    let mut named = flate2::GzBuilder::new()
        .filename("from the bucket")
        .write(Vec::new(), flate2::Compression::fast());
    let mut plain = flate2::read::GzDecoder::new(&*own);
    std::io::copy(&mut plain, &mut named).unwrap();
    let named = named.finish().unwrap();
    world.put(&world.key(2, "sparse-index-header"), named.clone());
    let fetching = world.again();
    fetching.sync();
    assert_eq!(local(&fetching), named);
    assert_eq!(fetching.all().unwrap(), data(50));
    world.put(&world.key(2, "sparse-index-header"), "no sparse header");
    let fetching = world.again();
    fetching.sync();
    assert_eq!(fetching.all().unwrap(), data(50));
    assert_eq!(local(&fetching), own);
}

#[test]
fn a_restart_finds_the_files_and_loads_what_was_loaded() {
    let world = world();
    let early = model::TimeRange::new(0, 0);
    world.select(early, &[Matcher::equal("i", "0049")], &SelectHints::default()).unwrap();
    world.gateway.unload_idle();
    let noted = std::fs::read_to_string(world.sync_dir.path().join("team/lazy-loaded.json"));
    assert!(noted.unwrap().contains(r#""00000000000000000000000002":"#));
    let before = world.operations("get_range");
    let again = world.restarted();
    again.sync();
    assert_eq!(again.metric(LOADS, &[]), 2.0);
    assert_eq!(world.operations("get_range"), before);
    assert_eq!(again.all().unwrap(), data(50));
    assert_eq!(again.metric(LOADS, &[]), 2.0);
}

#[test]
fn idle_index_headers_are_unloaded() {
    let world = world();
    assert_eq!(world.all().unwrap(), data(50));
    world.clock.advance(HOUR_MS);
    world.gateway.unload_idle();
    let unloads = "cortex_bucket_store_indexheader_lazy_unload_total";
    assert_eq!(world.metric(unloads, &[]), 0.0);
    world.clock.advance(1);
    world.gateway.unload_idle();
    assert_eq!(world.metric(unloads, &[]), 2.0);
    assert!(!world.sync_dir.path().join("team/lazy-loaded.json").exists());
    assert_eq!(world.all().unwrap(), data(50));
    assert_eq!(world.metric(LOADS, &[]), 4.0);
}

#[test]
fn what_is_damaged_on_local_disk_is_fetched_again() {
    let world = world();
    assert_eq!(world.all().unwrap(), data(50));
    let dir = world.sync_dir.path().join("team").join(Ulid(2).to_string());
    for file in BOTH_FILES {
        let whole = std::fs::read(dir.join(file)).unwrap();
        for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
            // A file of its own: the old one is still mapped.
            std::fs::remove_file(dir.join(file)).unwrap();
            std::fs::write(dir.join(file), &whole[..cut]).unwrap();
            let again = world.restarted();
            assert_eq!(again.all().unwrap(), data(50), "{file} {cut}");
            assert_eq!(std::fs::read(dir.join(file)).unwrap(), whole, "{file} {cut}");
        }
    }
}

#[test]
fn blocks_that_are_gone_or_marked_long_ago_are_given_up() {
    let world = world();
    let marked_ms = crate::testing::NOW_MS;
    world
        .run(world.tenant_bucket().put_mark(Ulid(2), &DeletionMark::new(Ulid(2), marked_ms, "")))
        .unwrap();
    world.sync();
    assert_eq!(world.local_files(2).len(), 2);
    world.clock.advance(HOUR_MS + 1000);
    world.sync();
    assert_eq!((world.local_files(1).len(), world.local_files(2).len()), (2, 0));
    assert_eq!(world.metric("cortex_bucket_store_blocks_loaded", &[]), 1.0);
    for file in ["meta.json", "index", "chunks/000001"] {
        world.delete(&world.key(1, file));
    }
    world.sync();
    assert_eq!(world.local_files(1).len(), 0);
    assert_eq!(world.metric("cortex_bucket_store_block_drops_total", &[]), 2.0);
}

#[test]
fn young_blocks_are_fetched_only_when_they_are_asked_for() {
    let world = World::new();
    let now_ms = crate::testing::NOW_MS;
    let young: Data = [series(&[("__name__", "m")], [now_ms - HOUR_MS, now_ms])].into();
    world.add_block(&BlockSpec::new(1, young.clone()));
    world.sync();
    assert_eq!(world.local_files(1).len(), 0);
    assert_eq!(world.all().unwrap(), young);
    assert_eq!(world.local_files(1).len(), 2);
}

/// The limit that reading everything reaches.
fn limit_reached(world: &World) -> Option<LimitKind> {
    let context = world.context(QueryLimits::default());
    let querier = world.querier(ALL_TIME, &context).unwrap().unwrap();
    let read = querier.select(&[], &SelectHints::default());
    let read = read.and_then(|mut set| read_all(&mut *set));
    drop(querier);
    assert_eq!(world.gateway.store.budget.used_bytes(), 0);
    match read {
        Ok(_) => None,
        Err(StorageError::Limit(error)) => Some(error.kind),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_memory_of_requests_is_bounded() {
    for (one, all, reached) in [
        (10_000, 0, Some(LimitKind::StoreRequestMemory)),
        (0, 10_000, Some(LimitKind::StoreMemory)),
        (10_000_000, 10_000_000, None),
    ] {
        let world = World::configured(|config| {
            config.max_request_memory_bytes = one;
            config.max_inflight_memory_bytes = all;
        });
        world.add_block(&BlockSpec::new(1, data(500)));
        assert_eq!(limit_reached(&world), reached);
    }
}

#[test]
fn requests_wait_for_their_turn_and_give_up_in_time() {
    let world = World::configured(|config| {
        config.max_concurrent = 1;
        config.max_concurrent_queue_timeout = GoDuration::from_millis(20);
    });
    world.add_block(&BlockSpec::new(1, data(5)));
    let context = world.context(QueryLimits::default());
    let querier = world.querier(ALL_TIME, &context).unwrap().unwrap();
    let first = querier.select(&[], &SelectHints::default()).unwrap();
    match querier.select(&[], &SelectHints::default()).map(drop) {
        Err(StorageError::Unavailable(message)) => assert!(message.contains("busy"), "{message}"),
        other => panic!("{other:?}"),
    }
    // Whoever waits comes in as soon as the other has gone.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            for _ in 0..100 {
                if querier.select(&[], &SelectHints::default()).is_ok() {
                    return true;
                }
            }
            false
        });
        drop(first);
        assert!(waiting.join().unwrap());
    });
    assert!(Duration::ZERO < world.gateway.store.config.max_concurrent_queue_timeout.std());
}

/// Owns one block of one tenant.
struct One(Ulid);

impl BlockSharding for One {
    fn is_known(&self) -> bool {
        true
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        let own = self.0;
        (tenant.as_str() == "team").then(|| Box::new(move |block, _| block == own) as BlockOwner)
    }
}

#[test]
fn index_headers_of_others_blocks_are_fetched_only_when_somebody_asks() {
    let world = world();
    let headers = |world: &World| -> Vec<String> {
        let entries = std::fs::read_dir(world.sync_dir.path().join("team")).unwrap();
        let dirs = entries.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> = dirs.map(|dir| dir.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let (first, second) = (Ulid(1).to_string(), Ulid(2).to_string());
    assert_eq!(headers(&world), [first.clone(), second.clone()]);
    let one_of_two = world.restarted_with(Arc::new(One(Ulid(2))));
    one_of_two.sync();
    assert_eq!(headers(&one_of_two), std::slice::from_ref(&second), "the other one's is removed");
    assert_eq!(one_of_two.all().unwrap(), data(50), "but it is answered for");
    one_of_two.sync();
    assert_eq!(headers(&one_of_two), [first, second], "what a query needed stays while it is used");
}

/// A querier that has read a newer bucket index names blocks that compactors have just written: no
/// other store-gateway would have them either, and the query would fail.
#[test]
fn a_block_of_a_newer_bucket_index_is_found_at_once() {
    let world = World::new();
    world.add_block(&BlockSpec::new(1, data(5)));
    let old = world.index().unwrap();
    world.add_block(&BlockSpec::new(2, data(50)));
    let new = world.again().index().unwrap();
    let write = |index| world.run(world.tenant_bucket().put_bucket_index(index)).unwrap();
    write(&old);
    let gateway = world.again();
    gateway.sync();
    let context = gateway.context(QueryLimits::default());
    let count = |ids: &[u128]| {
        gateway.select_blocks(ids, &context).and_then(|mut set| read_all(&mut *set)).unwrap().len()
    };
    assert_eq!(count(&[1]), 5);
    write(&new);
    assert_eq!(count(&[2]), 50);
}

#[test]
fn tenants_that_are_left_out_have_nothing_here_and_are_not_answered_for() {
    let world = world();
    let without = AllowedTenants::new(&CommaList::default(), &CommaList(vec!["team".to_owned()]));
    let without = world.restarted_for(without);
    without.sync();
    assert!(!without.sync_dir.path().join("team").exists(), "what was kept of it is removed");
    let (team, blocks) = (TenantId::new("team").unwrap(), [Ulid(1)]);
    let context = without.context(QueryLimits::default());
    let request =
        BlocksRequest { tenant: &team, blocks: &blocks, range: ALL_TIME, context: &context };
    let answer = without.gateway.label_names(request, &[], 0).unwrap();
    assert_eq!((answer.queried, answer.failed), (vec![], vec![]), "the querier asks others");
}
