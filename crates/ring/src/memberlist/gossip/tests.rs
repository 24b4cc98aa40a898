//! Many members in one thread: time, network and randomness are made here, so that the same seed
//! gives the same run.

use std::collections::BinaryHeap;

use model::env::SeededRandom;

use super::*;
use crate::desc::{Desc, InstanceDesc};
use crate::memberlist::message::StreamMessage;
use crate::memberlist::open_stream;
use crate::{InstanceState, RingCodec};

const KEY: &str = "collectors/ring";

/// A packet under way: when it arrives, in which order it was sent, between whom.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: std::cmp::Reverse<(u64, u64)>,
    from: usize,
    to: usize,
    packet: Vec<u8>,
}

struct World {
    members: Vec<Gossip>,
    flights: BinaryHeap<Flight>,
    random: Arc<SeededRandom>,
    now_ms: u64,
    sent: u64,
    bytes: u64,
    /// Members before this one cannot reach the others.
    cut: usize,
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000 + index as u16))
}

impl World {
    fn new(count: usize, seed: u64) -> Self {
        let random = Arc::new(SeededRandom::new(seed));
        let member = |index: usize| {
            let mut options = GossipOptions::new(&format!("m{index:03}"), address(index));
            options.envelope.compression = false;
            let random = Arc::clone(&random) as Arc<dyn Random>;
            Gossip::new(options, vec![Arc::new(RingCodec)], random, Now::default())
        };
        let members = (0..count).map(member).collect();
        let flights = BinaryHeap::new();
        let mut world = Self { members, flights, random, now_ms: 0, sent: 0, bytes: 0, cut: 0 };
        (1..count).for_each(|index| world.push_pull(index, 0));
        world
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, wall_ms: 1_700_000_000_000 + self.now_ms as i64 }
    }

    fn can_reach(&self, from: usize, to: usize) -> bool {
        (from < self.cut) == (to < self.cut)
    }

    fn push_pull(&mut self, from: usize, to: usize) {
        if !self.can_reach(from, to) {
            return;
        }
        let now = self.now();
        let states = [from, to].map(|index| self.members[index].local_state(false));
        for (state, index) in states.into_iter().zip([to, from]) {
            self.bytes += state.len() as u64;
            let Ok(StreamMessage::PushPull(state)) = open_stream(&state) else {
                panic!("a member's own state cannot be read");
            };
            self.members[index].merge_remote_state(now, state);
        }
    }

    /// Adds or renews an instance of the ring, as its lifecycler does.
    fn heartbeat(&mut self, index: usize) {
        let now = self.now();
        let (value, version) = self.members[index].get(KEY);
        let old = value.and_then(|value| value.as_any().downcast_ref::<Desc>().cloned());
        let mut desc = old.unwrap_or_default();
        let instance = InstanceDesc {
            timestamp: now.wall_ms / 1000,
            tokens: (0..128).map(|token| token * 1000 + index as u32).collect(),
            state: InstanceState::Active as i32,
            ..InstanceDesc::default()
        };
        desc.ingesters.insert(format!("i{index:03}"), instance);
        self.members[index].set(now, KEY, Box::new(desc), version);
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.now_ms += 10;
            self.deliver();
            for index in 0..self.members.len() {
                if self.members[index].next_tick_ms() <= self.now_ms {
                    let now = self.now();
                    self.members[index].tick(now);
                }
                self.carry_out(index);
            }
        }
    }

    fn carry_out(&mut self, from: usize) {
        for command in self.members[from].take_commands() {
            match command {
                Command::Send { to, packet } => {
                    let to = usize::from(to.port() - 7000);
                    self.bytes += packet.len() as u64;
                    self.sent += 1;
                    let arrives = self.now_ms + 1 + self.random.below(40);
                    let at = std::cmp::Reverse((arrives, self.sent));
                    self.flights.push(Flight { at, from, to, packet });
                }
                Command::PushPull { to } => self.push_pull(from, usize::from(to.port() - 7000)),
                Command::Changed { .. } => {}
            }
        }
    }

    fn deliver(&mut self) {
        while self.flights.peek().is_some_and(|flight| flight.at.0.0 <= self.now_ms) {
            let Some(flight) = self.flights.pop() else { return };
            if self.can_reach(flight.from, flight.to) {
                let now = self.now();
                let member = &mut self.members[flight.to];
                let taken = member.handle_packet(now, &flight.packet, address(flight.from));
                assert_eq!(taken, Ok(()));
                self.carry_out(flight.to);
            }
        }
    }

    /// How many instances each member knows, least and most.
    fn known(&self) -> (usize, usize) {
        let count = |gossip: &Gossip| gossip.get(KEY).0.map_or(0, |value| value.content().len());
        let counts: Vec<usize> = self.members.iter().map(count).collect();
        (counts.iter().copied().min().unwrap_or(0), counts.iter().copied().max().unwrap_or(0))
    }

    fn fewest_members(&self) -> usize {
        self.members.iter().map(Gossip::member_count).min().unwrap_or(0)
    }
}

#[test]
fn all_members_know_all_instances_within_seconds() {
    let mut world = World::new(30, 7);
    (0..30).for_each(|index| world.heartbeat(index));
    world.run(5000);
    assert_eq!((world.known(), world.fewest_members()), ((30, 30), 30));
    let rate = world.bytes / 5 / 30;
    assert!(rate < 50_000, "{rate} bytes a second and member");
}

#[test]
fn parts_that_lost_each_other_meet_again() {
    let mut world = World::new(8, 9);
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
        let mut world = World::new(10, seed);
        (0..10).for_each(|index| world.heartbeat(index));
        world.run(2000);
        (world.sent, world.bytes)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
