//! The messages of HashiCorp's memberlist, and how packets and streams wrap them.
//!
//! ```text
//! packet  = [label] [checksum] message           label    = F4 length text
//! stream  = [label] message                      checksum = 0C crc32(rest), big endian
//! message = type msgpack | compound | compressed | 08 user bytes
//! ```
//!
//! Pure: bytes in, messages out. Everything that is read comes from the network; sizes are
//! bounded before anything is allocated.

use super::msgpack::ReadError;

mod decode;
mod encode;
mod envelope;

pub use self::decode::open_stream;
pub(crate) use self::encode::compound;
pub use self::envelope::Envelope;

/// The most that a packet or a stream may unpack to, bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The types of messages. On the wire: never change.
mod kind {
    pub(super) const PING: u8 = 0;
    pub(super) const INDIRECT_PING: u8 = 1;
    pub(super) const ACK: u8 = 2;
    pub(super) const SUSPECT: u8 = 3;
    pub(super) const ALIVE: u8 = 4;
    pub(super) const DEAD: u8 = 5;
    pub(super) const PUSH_PULL: u8 = 6;
    pub(super) const COMPOUND: u8 = 7;
    pub(super) const USER: u8 = 8;
    pub(super) const COMPRESSED: u8 = 9;
    pub(super) const NACK: u8 = 11;
    pub(super) const CHECKSUM: u8 = 12;
    pub(super) const ERROR: u8 = 13;
    pub(super) const LABEL: u8 = 244;
}

/// Why a packet or stream is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// More bytes are needed; for a packet: it was cut.
    #[error("truncated message")]
    Truncated,
    /// Not what it should be.
    #[error("invalid message: {0}")]
    Invalid(&'static str),
    /// The label is that of another cluster.
    #[error("unacceptable cluster label \"{0}\"")]
    Label(String),
    /// The other side said so.
    #[error("remote error: {0}")]
    Remote(String),
}

impl From<ReadError> for MessageError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Truncated => Self::Truncated,
            ReadError::Invalid(what) => Self::Invalid(what),
        }
    }
}

/// Where to send an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The bytes of an IP address.
    pub addr: Vec<u8>,
    /// The port; 0 when unset.
    pub port: u16,
    /// The member's name.
    pub node: String,
}

/// Is a member there?
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ping {
    /// Comes back in the answer.
    pub seq: u32,
    /// Who is meant; empty for anybody.
    pub node: String,
    /// Who asks.
    pub source: Source,
}

/// Is a member there, as seen from you?
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndirectPing {
    /// Comes back in the answer.
    pub seq: u32,
    /// The bytes of the member's address.
    pub target: Vec<u8>,
    /// Its port.
    pub port: u16,
    /// Its name.
    pub node: String,
    /// Whether "no" shall be said as well.
    pub nack: bool,
    /// Who asks.
    pub source: Source,
}

/// A member is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alive {
    /// Orders what is said about a member.
    pub incarnation: u32,
    /// Its name.
    pub node: String,
    /// The bytes of its address: 4 or 16.
    pub addr: Vec<u8>,
    /// Its port.
    pub port: u16,
    /// What it says about itself.
    pub meta: Vec<u8>,
    /// Protocol versions: lowest, highest, current; and the same of what is carried.
    pub versions: Vec<u8>,
}

/// Somebody thinks that a member is gone (`Suspect`), or knows it (`Dead`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accusation {
    /// The incarnation that is accused.
    pub incarnation: u32,
    /// Who is accused.
    pub node: String,
    /// By whom; by itself when it leaves.
    pub from: String,
}

/// The states of members in a push/pull. On the wire: never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeState {
    /// Answers.
    Alive = 0,
    /// Did not answer lately.
    Suspect = 1,
    /// Is gone.
    Dead = 2,
    /// Said that it goes.
    Left = 3,
}

impl NodeState {
    fn from_number(number: u64) -> Result<Self, MessageError> {
        Ok(match number {
            0 => Self::Alive,
            1 => Self::Suspect,
            2 => Self::Dead,
            3 => Self::Left,
            _ => return Err(MessageError::Invalid("state of a member")),
        })
    }
}

/// A member as one side of a push/pull sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedNode {
    /// What it said about itself.
    pub alive: Alive,
    /// Its state.
    pub state: NodeState,
}

/// Everything that one side knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushPull {
    /// Whether the sender is new.
    pub join: bool,
    /// All members.
    pub nodes: Vec<PushedNode>,
    /// All keys and values.
    pub user: Vec<u8>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// See [`Ping`].
    Ping(Ping),
    /// See [`IndirectPing`].
    IndirectPing(IndirectPing),
    /// The answer to a ping with this number.
    Ack(u32),
    /// No answer came to the indirect ping with this number.
    Nack(u32),
    /// See [`Accusation`].
    Suspect(Accusation),
    /// See [`Alive`].
    Alive(Alive),
    /// See [`Accusation`].
    Dead(Accusation),
    /// A key and its value.
    User(Vec<u8>),
}

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamMessage {
    /// Everything that the other side knows.
    PushPull(PushPull),
    /// A ping over a stream.
    Ping(Ping),
    /// A key and its value.
    User(Vec<u8>),
}

#[cfg(test)]
mod tests;
