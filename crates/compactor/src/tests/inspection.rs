//! What the tool finds in a bucket, and what it does not.

use super::*;
use crate::inspect::Inspection;

const RANGE: (i64, i64) = (DAY_MS, DAY_MS + 2 * HOUR_MS);

async fn damage(world: &World) -> Vec<String> {
    Inspection::of(world.tenant()).await.unwrap().damage().await.unwrap()
}

/// Replaces one byte of a file by another.
async fn flip(world: &World, key: &str, at: usize) {
    let mut bytes = world.bucket().get(key).await.unwrap().to_vec();
    bytes[at] ^= 0x40;
    world.bucket().put(key, bytes.into()).await.unwrap();
}

#[tokio::test]
async fn every_flipped_byte_that_a_checksum_covers_is_found() {
    let world = World::new();
    world.add_block(1, RANGE, &data(0..5, RANGE)).await;
    assert_eq!(damage(&world).await, [""; 0]);
    let paths = world.tenant().block(Ulid(1));
    for (key, padding) in [(paths.file("chunks/000001"), 5..8), (paths.index(), 0..0)] {
        let content = world.bucket().get(&key).await.unwrap();
        let mut missed = Vec::new();
        for at in (0..content.len()).filter(|at| !padding.contains(at)) {
            flip(&world, &key, at).await;
            if damage(&world).await.is_empty() {
                missed.push(at);
            }
            flip(&world, &key, at).await;
        }
        // Padding between the parts of an index is no part of it.
        assert!(missed.iter().all(|&at| content[at] == 0), "{key}: {missed:?}");
        assert!(missed.len() < content.len() / 8, "{key}: {missed:?}");
    }
    assert_eq!(damage(&world).await, [""; 0]);
}

#[tokio::test]
async fn what_is_cut_off_is_found_and_described() {
    let world = World::new();
    world.add_block(1, RANGE, &data(0..5, RANGE)).await;
    let paths = world.tenant().block(Ulid(1));
    let id = Ulid(1);
    for (key, name) in [(paths.file("chunks/000001"), "chunks/000001"), (paths.index(), "index")] {
        let content = world.bucket().get(&key).await.unwrap();
        for length in [0, 4, content.len() / 2, content.len() - 1] {
            world.bucket().put(&key, content.slice(..length)).await.unwrap();
            let found = damage(&world).await;
            let start = format!("block {id}: {name}: damaged at ");
            assert!(found.len() == 1 && found[0].starts_with(&start), "{length}: {found:?}");
        }
        world.bucket().put(&key, content).await.unwrap();
    }
    let mut meta = BlockMeta::decode(&world.bucket().get(&paths.meta()).await.unwrap()).unwrap();
    meta.stats.num_series += 1;
    world.bucket().put(&paths.meta(), meta.encode().into()).await.unwrap();
    let found = damage(&world).await;
    assert!(found.len() == 1 && found[0].contains("says meta.json"), "{found:?}");
}
