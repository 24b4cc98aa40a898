//! Many members in one thread: they agree, find each other again, and run the same by the same seed.

use super::*;
use crate::hash::name_token;
use crate::memberlist::message::StreamMessage;
use crate::memberlist::open_stream;
use crate::{Desc, InstanceDesc, InstanceState, RingCodec};

#[path = "world.rs"]
mod world;

use world::{KEY, World};

#[test]
fn all_members_know_all_instances_within_seconds() {
    let mut world = World::new(30, 128, 7);
    (0..30).for_each(|index| world.heartbeat(index));
    world.run(5000);
    assert_eq!((world.known(), world.fewest_members()), ((30, 30), 30));
    let rate = world.bytes / 5 / 30;
    assert!(rate < 50_000, "{rate} bytes a second and member");
    // Not every heartbeat reaches everybody at once, but nobody is taken for gone.
    for second in 0..60 {
        (0..30).filter(|index| index % 15 == second % 15).for_each(|index| world.heartbeat(index));
        world.run(1000);
        assert!(world.oldest_heartbeat_s() <= 45, "{} s", world.oldest_heartbeat_s());
    }
}

#[test]
fn parts_that_lost_each_other_meet_again() {
    let mut world = World::new(8, 128, 9);
    (0..8).for_each(|index| world.heartbeat(index));
    world.run(3000);
    world.cut = 3;
    // Long enough for everybody to be declared dead, not to be forgotten.
    world.run(130_000);
    assert!(world.fewest_members() <= 3, "the cut was noticed: {}", world.fewest_members());
    world.heartbeat(0);
    world.heartbeat(7);
    world.run(2000);
    world.cut = 0;
    world.push_pull(0, 7);
    world.run(20_000);
    assert_eq!(world.fewest_members(), 8);
    let version = |index: usize| world.members[index].get(KEY).0.map(|value| value.encode());
    assert!((1..8).all(|index| version(index) == version(0)), "all have the same ring");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u64| {
        let mut world = World::new(10, 128, seed);
        (0..10).for_each(|index| world.heartbeat(index));
        world.run(2000);
        (world.sent, world.bytes)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
