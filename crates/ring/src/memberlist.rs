//! Gossip as Mimir's processes speak it: HashiCorp's memberlist over dskit's TCP transport, with
//! keys and values that every member holds and merges.
//!
//! ```text
//! tcp (packets, streams) ── shell ──> Gossip: messages and time in, commands out ──> shell
//! ```
//!
//! [`Gossip`] is pure: it is given the time and what came in, and returns what to send. The
//! [`MemberlistKv`] service carries that out on a [`Network`]: on real sockets, or on those of a
//! simulation.

mod gossip;
mod lzw;
mod members;
mod message;
mod metrics;
mod msgpack;
mod probe;
mod queue;
mod service;
mod store;
mod transport;

pub use gossip::{Command, Gossip, GossipOptions, GossipStats, MemberView, SetOutcome, ValueView};
pub use lzw::LzwError;
pub use message::{
    Accusation, Alive, Envelope, IndirectPing, Message, MessageError, NodeState, Ping, PushPull,
    PushedNode, Source, StreamMessage, open_stream,
};
pub use msgpack::ReadError;
pub use service::{JoinOptions, MemberlistKv, MemberlistOptions, ServiceParts, StatusPage};
pub use store::{KeyValuePair, PairError};
pub use transport::{Accepted, Connection, Listener, Network, TransportOptions};

/// A moment, as the gossip needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since an arbitrary moment; never goes back.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

impl Now {
    /// The moment on a clock.
    pub fn of(clock: &dyn model::Clock) -> Self {
        let monotonic_ms = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        Self { monotonic_ms, wall_ms: clock.now_ms() }
    }
}

/// The address that bytes of a message stand for; `None` for anything else than 4 or 16 bytes.
pub(crate) fn ip_of(bytes: &[u8]) -> Option<std::net::IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    let v6: [u8; 16] = bytes.try_into().ok()?;
    Some(std::net::IpAddr::from(v6).to_canonical())
}
