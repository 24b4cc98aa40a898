//! Which blocks are found, used and given up.

use model::{QueryLimits, SelectHints, TimeRange};
use ulid::Ulid;
use wire::client::BlockStore as _;

use crate::testing::{ALL_TIME, BlockSpec, Data, NOW_MS, World, mark_json, series};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// A block with one sample of the series `block="<id>"`.
fn block(id: u128, t: i64) -> BlockSpec {
    BlockSpec::new(id, [series(&[("block", &id.to_string())], [t])].into())
}

/// The ids of the blocks that a query sees.
fn seen(world: &World) -> Vec<String> {
    seen_in(world, ALL_TIME)
}

fn seen_in(world: &World, range: TimeRange) -> Vec<String> {
    let all = world.select(range, &[], &SelectHints::default()).unwrap();
    all.iter().map(|(labels, _)| labels.value("block").to_owned()).collect()
}

#[test]
fn the_first_query_syncs_and_later_ones_do_not() {
    let world = World::new();
    world.add_block(&block(1, 10));
    world.add_block(&block(2, 20));
    assert_eq!(seen(&world), ["1", "2"]);
    let before = (world.operations("iter"), world.operations("get"));
    assert_eq!(seen(&world), ["1", "2"]);
    world.add_block(&block(3, 30));
    assert_eq!(seen(&world), ["1", "2"], "before the next sync");
    assert_eq!((world.operations("iter"), world.operations("get")), before);
}

#[test]
fn a_sync_reads_new_blocks_only_and_sees_them_go() {
    let world = World::new();
    world.add_block(&block(1, 10));
    world.add_block(&block(2, 20));
    assert_eq!(seen(&world), ["1", "2"]);
    world.add_block(&block(3, 30));
    let before = world.operations("get");
    world.sync();
    // One meta.json, and the look for a mark.
    assert_eq!(world.operations("get") - before, 2);
    assert_eq!(seen(&world), ["1", "2", "3"]);
    for file in ["meta.json", "index", "chunks/000001"] {
        world.delete(&world.key(2, file));
    }
    world.sync();
    assert_eq!(seen(&world), ["1", "3"]);
    assert_eq!(world.metric("cortex_bucket_store_blocks_loaded", &[]), 2.0);
    assert_eq!(world.metric("cortex_bucket_store_block_loads_total", &[]), 3.0);
    assert_eq!(world.metric("cortex_bucket_store_block_drops_total", &[]), 1.0);
    assert_eq!(world.metric("cortex_bucket_stores_tenants_synced", &[]), 1.0);
}

#[test]
fn a_tenant_without_blocks_is_nothing_to_ask() {
    let world = World::new();
    assert_eq!(seen(&world), [""; 0]);
    assert!(world.gateway.queryable(&world.tenant()).unwrap().is_none());
    world.add_block(&block(1, 10));
    world.sync();
    assert_eq!(seen(&world), ["1"]);
}

#[test]
fn blocks_that_are_not_complete_do_not_exist() {
    let world = World::new();
    world.add_block(&block(1, 10));
    world.add_block(&block(2, 20));
    world.add_block(&block(3, 30));
    world.add_block(&block(4, 40));
    let meta = world.get(&world.key(2, "meta.json"));
    world.delete(&world.key(2, "meta.json"));
    world.put(&world.key(3, "meta.json"), "{ no json");
    // That of another block.
    world.put(&world.key(4, "meta.json"), meta.clone());
    assert_eq!(seen(&world), ["1"]);
    let count = |state| world.metric("cortex_blocks_meta_synced", &[("state", state)]);
    assert_eq!(["loaded", "no-meta-json", "corrupted-meta-json"].map(count), [1.0, 1.0, 2.0]);
    world.put(&world.key(2, "meta.json"), meta);
    world.sync();
    assert_eq!(seen(&world), ["1", "2"]);
    assert_eq!(["loaded", "no-meta-json", "corrupted-meta-json"].map(count), [2.0, 0.0, 2.0]);
}

#[test]
fn blocks_marked_for_deletion_are_left_out_after_an_hour() {
    let world = World::new();
    for id in 1..=4 {
        world.add_block(&block(id, 10));
    }
    world.mark(1, NOW_MS - HOUR_MS / 2);
    world.mark(2, NOW_MS - HOUR_MS * 2);
    world.put(&world.key(3, "deletion-mark.json"), mark_json(3, NOW_MS - HOUR_MS * 2));
    world.put(&format!("{}/markers/{}-deletion-mark.json", world.tenant(), Ulid(4)), "[]");
    world.put(&format!("{}/markers/{}-no-compact-mark.json", world.tenant(), Ulid(4)), "{}");
    assert_eq!(seen(&world), ["1", "4"]);
    world.clock.advance(HOUR_MS);
    world.sync();
    assert_eq!(seen(&world), ["4"]);
    // Marks can be taken back where they stand as copies.
    world.delete(&format!("{}/markers/{}-deletion-mark.json", world.tenant(), Ulid(1)));
    world.sync();
    assert_eq!(seen(&world), ["1", "4"]);
}

#[test]
fn young_blocks_are_left_to_the_ingesters() {
    let world = World::new();
    world.add_block(&block(1, NOW_MS - 11 * HOUR_MS));
    world.add_block(&block(2, NOW_MS - 9 * HOUR_MS));
    // It begins early enough.
    let times = [NOW_MS - 11 * HOUR_MS, NOW_MS - HOUR_MS];
    world.add_block(&BlockSpec::new(3, [series(&[("block", "3")], times)].into()));
    assert_eq!(seen(&world), ["1", "3"]);
    world.clock.advance(2 * HOUR_MS);
    assert_eq!(seen(&world), ["1", "2", "3"]);
}

#[test]
fn blocks_outside_the_range_are_not_read() {
    let world = World::new();
    world.add_block(&block(1, 10));
    world.add_block(&block(2, 20));
    world.delete(&world.key(2, "index"));
    // The end of a block's range is exclusive.
    assert_eq!(seen_in(&world, TimeRange::new(0, 19)), ["1"]);
    assert_eq!(seen_in(&world, TimeRange::new(21, 30)), [""; 0]);
    assert!(world.select(TimeRange::new(20, 20), &[], &SelectHints::default()).is_err());
}

#[test]
fn a_compacted_block_takes_the_place_of_its_sources() {
    let world = World::new();
    let parts: Vec<Data> = (1..=2).map(|id| block(id, 10).data).collect();
    world.add_block(&block(1, 10));
    world.add_block(&block(2, 10));
    let mut compacted = BlockSpec::new(3, parts.into_iter().flatten().collect());
    compacted.meta.compaction.level = 2;
    compacted.meta.compaction.sources = vec![Ulid(1), Ulid(2)];
    world.add_block(&compacted);
    // What is replaced need not be readable.
    world.delete(&world.key(1, "index"));
    world.delete(&world.key(2, "chunks/000001"));
    assert_eq!(seen(&world), ["1", "2"]);
    assert_eq!(world.metric("cortex_blocks_meta_synced", &[("state", "duplicate")]), 2.0);
}

#[test]
fn an_old_list_is_renewed_by_the_query_that_needs_it() {
    let world = World::new();
    world.add_block(&block(1, 10));
    assert_eq!(seen(&world), ["1"]);
    world.add_block(&block(2, 20));
    world.clock.advance(HOUR_MS);
    assert_eq!(seen(&world), ["1"]);
    world.clock.advance(1);
    assert_eq!(seen(&world), ["1", "2"]);
}

#[test]
fn tenants_that_nobody_asks_for_are_forgotten() {
    let world = World::new();
    world.add_block(&block(1, 10));
    assert_eq!(seen(&world), ["1"]);
    world.clock.advance(HOUR_MS + 1);
    let before = world.operations("iter");
    world.sync();
    assert_eq!(world.operations("iter"), before);
    assert_eq!(world.metric("cortex_bucket_stores_tenants_synced", &[]), 0.0);
    assert_eq!(world.metric("cortex_bucket_store_blocks_loaded", &[]), 0.0);
    assert_eq!(seen(&world), ["1"]);
}

#[test]
fn tenants_see_their_own_blocks() {
    let world = World::new();
    world.add_block(&block(1, 10));
    assert_eq!(seen(&world), ["1"]);
    let other = model::TenantId::new("other").unwrap();
    let queryable = world.gateway.queryable(&other).unwrap().unwrap();
    let querier = queryable.querier(ALL_TIME, &world.context(QueryLimits::default())).unwrap();
    assert!(querier.label_names(&[], 0).unwrap().is_empty());
    let set = querier.select(&[], &SelectHints::default());
    assert!(set.unwrap().next_series().unwrap().is_none());
}
