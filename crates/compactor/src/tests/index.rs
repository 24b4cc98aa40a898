//! Several writers of one bucket index: what any of them has seen stays in it.

use bucket::BucketIndex;
use bucket::testing::Operation;

use super::*;

const RANGE: (i64, i64) = (DAY_MS, DAY_MS + 2 * HOUR_MS);

async fn indexed(world: &World) -> Vec<Ulid> {
    let index = world.tenant().bucket_index().await.unwrap();
    index.iter().flat_map(|index| &index.blocks).map(|block| block.id).collect()
}

/// Starts a cleaning and stops it where it writes (or deletes, with `Delete`) the index.
async fn stopped_at<'a>(
    world: &'a World,
    operation: Operation,
) -> (bucket::testing::Held, std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>) {
    let mut held = world.store.hold(operation);
    let mut cleaning: std::pin::Pin<Box<dyn Future<Output = ()>>> = Box::pin(world.clean());
    tokio::select! {
        () = held.arrived() => {}
        () = &mut cleaning => panic!("it did not come so far"),
    }
    (held, cleaning)
}

#[tokio::test]
async fn an_older_index_never_replaces_a_newer_one() {
    let world = World::new();
    world.add_block(1, RANGE, &data(0..2, RANGE)).await;
    for (has_index, new) in [(false, 2), (true, 3)] {
        assert_eq!(world.tenant().bucket_index().await.unwrap().is_some(), has_index);
        let (held, cleaning) = stopped_at(&world, Operation::Put).await;
        // What the first cleaner will write does not have this block.
        world.add_block(new, RANGE, &data(0..2, RANGE)).await;
        world.clean().await;
        let want: Vec<Ulid> = (1..=new).map(Ulid).collect();
        assert_eq!(indexed(&world).await, want);
        held.release();
        cleaning.await;
        assert_eq!(indexed(&world).await, want);
    }
    let text = world.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(text.contains("cortex_compactor_block_cleanup_failed_total 0"), "{text}");
}

#[tokio::test]
async fn an_index_that_is_removed_while_a_block_comes_is_written_again() {
    let world = World::new();
    world.tenant().put_bucket_index(&BucketIndex::empty(5)).await.unwrap();
    let (held, cleaning) = stopped_at(&world, Operation::Delete).await;
    world.add_block(1, RANGE, &data(0..2, RANGE)).await;
    world.clean().await;
    assert_eq!(indexed(&world).await, [Ulid(1)]);
    held.release();
    cleaning.await;
    assert_eq!(indexed(&world).await, [Ulid(1)]);
}

#[tokio::test]
async fn cleanings_of_one_process_take_turns() {
    let world = World::new();
    let compactor = world.compactor();
    for id in 1..=6 {
        world.add_block(id, RANGE, &data(0..2, RANGE)).await;
        let bucket = world.tenant();
        let (first, second) =
            tokio::join!(compactor.clean_blocks(&bucket), compactor.clean_blocks(&bucket));
        first.unwrap();
        second.unwrap();
        assert_eq!(indexed(&world).await.len() as u128, id);
    }
}
