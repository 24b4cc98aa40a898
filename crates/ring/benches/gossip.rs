//! How soon a ring of many members agrees, and how much each of them sends: simulated time and
//! network, so that only the protocol counts. `cargo bench -p ring@0.1.0 --bench gossip`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use ring::hash::name_token;
use ring::memberlist::{Command, Gossip, GossipOptions, Now, StreamMessage, open_stream};
use ring::{Desc, InstanceDesc, InstanceState, RingCodec};

#[path = "../src/memberlist/gossip/world.rs"]
mod world;

use world::World;

/// Seconds between heartbeats, as by default.
const HEARTBEAT_S: usize = 15;
/// Simulated time of which the bytes are counted.
const SECONDS: usize = 120;

fn main() {
    println!(
        "members tokens  agree after  sent by each until then  and then a second  oldest heartbeat"
    );
    for (count, tokens) in [(10, 128), (100, 128), (100, 512)] {
        let mut world = World::new(count, tokens, 11);
        (0..count).for_each(|index| world.heartbeat(index));
        while world.known() != (count, count) || world.fewest_members() != count {
            world.run(100);
        }
        let (agreed_ms, until_then) = (world.now_ms, world.bytes);
        let mut oldest_s = 0;
        for second in 0..SECONDS {
            let due = (0..count).filter(|index| index % HEARTBEAT_S == second % HEARTBEAT_S);
            due.for_each(|index| world.heartbeat(index));
            world.run(1000);
            oldest_s = oldest_s.max(world.oldest_heartbeat_s());
        }
        let seconds = (world.now_ms - agreed_ms) / 1000;
        println!(
            "{count:7} {tokens:6} {:9.1} s {:19} KB {:13.1} KB {oldest_s:15} s",
            agreed_ms as f64 / 1000.0,
            until_then / 1000 / count as u64,
            (world.bytes - until_then) as f64 / 1000.0 / seconds as f64 / count as f64,
        );
    }
}
