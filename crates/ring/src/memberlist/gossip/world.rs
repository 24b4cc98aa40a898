//! Many members of the gossip in one thread: time, network and randomness are made here, so that
//! the same seed gives the same run. Used by the tests and by the benchmark of the gossip.

use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::Random;
use model::env::SeededRandom;

use super::{
    Command, Desc, Gossip, GossipOptions, InstanceDesc, InstanceState, Now, RingCodec,
    StreamMessage, name_token, open_stream,
};

pub(crate) const KEY: &str = "collectors/ring";

/// A packet under way: when it arrives, in which order it was sent, between whom.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: std::cmp::Reverse<(u64, u64)>,
    from: usize,
    to: usize,
    packet: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) members: Vec<Gossip>,
    flights: BinaryHeap<Flight>,
    random: Arc<SeededRandom>,
    pub(crate) now_ms: u64,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    /// Members before this one cannot reach the others.
    pub(crate) cut: usize,
    /// The tokens of each member's instance.
    tokens: Vec<Vec<u32>>,
}

/// Tokens of one instance, spread over the whole ring.
fn tokens(count: u32, index: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..count).map(|i| name_token(&format!("{i} {index}"))).collect();
    tokens.sort_unstable();
    tokens
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000 + index as u16))
}

impl World {
    pub(crate) fn new(count: usize, tokens_each: u32, seed: u64) -> Self {
        let random = Arc::new(SeededRandom::new(seed));
        let member = |index: usize| {
            let mut options = GossipOptions::new(&format!("m{index:03}"), address(index));
            options.envelope.compression = false;
            let random = Arc::clone(&random) as Arc<dyn Random>;
            Gossip::new(options, vec![Arc::new(RingCodec)], random, Now::default())
        };
        let members = (0..count).map(member).collect();
        let flights = BinaryHeap::new();
        let tokens = (0..count).map(|index| tokens(tokens_each, index)).collect();
        let mut world =
            Self { members, flights, random, now_ms: 0, sent: 0, bytes: 0, cut: 0, tokens };
        (1..count).for_each(|index| world.push_pull(index, 0));
        world
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, wall_ms: 1_700_000_000_000 + self.now_ms as i64 }
    }

    fn can_reach(&self, from: usize, to: usize) -> bool {
        (from < self.cut) == (to < self.cut)
    }

    pub(crate) fn push_pull(&mut self, from: usize, to: usize) {
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
    pub(crate) fn heartbeat(&mut self, index: usize) {
        let now = self.now();
        let (value, version) = self.members[index].get(KEY);
        let old = value.and_then(|value| value.as_any().downcast_ref::<Desc>().cloned());
        let mut desc = old.unwrap_or_default();
        let instance = InstanceDesc {
            timestamp: now.wall_ms / 1000,
            tokens: self.tokens[index].clone(),
            state: InstanceState::Active as i32,
            ..InstanceDesc::default()
        };
        desc.ingesters.insert(format!("i{index:03}"), instance);
        self.members[index].set(now, KEY, Box::new(desc), version);
    }

    pub(crate) fn run(&mut self, ms: u64) {
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
    pub(crate) fn known(&self) -> (usize, usize) {
        let count = |gossip: &Gossip| gossip.get(KEY).0.map_or(0, |value| value.content().len());
        let counts: Vec<usize> = self.members.iter().map(count).collect();
        (counts.iter().copied().min().unwrap_or(0), counts.iter().copied().max().unwrap_or(0))
    }

    pub(crate) fn fewest_members(&self) -> usize {
        self.members.iter().map(Gossip::member_count).min().unwrap_or(0)
    }

    /// The age of the oldest heartbeat that any member knows of any instance, seconds.
    pub(crate) fn oldest_heartbeat_s(&self) -> i64 {
        let now_s = self.now().wall_ms / 1000;
        let of_member = |gossip: &Gossip| {
            let value = gossip.get(KEY).0?;
            let desc = value.as_any().downcast_ref::<Desc>()?;
            desc.ingesters.values().map(|instance| now_s - instance.timestamp).max()
        };
        self.members.iter().filter_map(of_member).max().unwrap_or(0)
    }
}
