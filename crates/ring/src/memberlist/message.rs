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

use super::lzw;
use super::msgpack::{ReadError, Reader, Writer};

/// The most that a packet or a stream may unpack to, bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The members that one push/pull may name.
const MAX_PUSHED_NODES: usize = 100_000;
/// Compressed and compound messages in each other.
const MAX_NESTING: usize = 4;
const MAX_LABEL_BYTES: usize = 255;

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

impl Message {
    /// The message with its type.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Ping(ping) => {
                out.0.push(kind::PING);
                out.map(5).text("SeqNo").number(u64::from(ping.seq)).text("Node").text(&ping.node);
                write_source(&mut out, &ping.source);
            }
            Self::IndirectPing(ping) => {
                out.0.push(kind::INDIRECT_PING);
                out.map(8).text("SeqNo").number(u64::from(ping.seq)).text("Node").text(&ping.node);
                out.text("Target").raw(&ping.target).text("Port").number(u64::from(ping.port));
                out.text("Nack").boolean(ping.nack);
                write_source(&mut out, &ping.source);
            }
            Self::Ack(seq) => {
                out.0.push(kind::ACK);
                out.map(2).text("SeqNo").number(u64::from(*seq)).text("Payload").raw(&[]);
            }
            Self::Nack(seq) => {
                out.0.push(kind::NACK);
                out.map(1).text("SeqNo").number(u64::from(*seq));
            }
            Self::Suspect(accusation) => write_accusation(&mut out, kind::SUSPECT, accusation),
            Self::Dead(accusation) => write_accusation(&mut out, kind::DEAD, accusation),
            Self::Alive(alive) => {
                out.0.push(kind::ALIVE);
                out.map(6).text("Incarnation").number(u64::from(alive.incarnation));
                out.text("Node").text(&alive.node);
                write_member(&mut out, alive);
            }
            Self::User(bytes) => {
                out.0.push(kind::USER);
                out.0.extend_from_slice(bytes);
            }
        }
        out.0
    }
}

fn write_source(out: &mut Writer, source: &Source) {
    out.text("SourceAddr").raw(&source.addr).text("SourcePort").number(u64::from(source.port));
    out.text("SourceNode").text(&source.node);
}

fn write_accusation(out: &mut Writer, kind: u8, accusation: &Accusation) {
    out.0.push(kind);
    out.map(3).text("Incarnation").number(u64::from(accusation.incarnation));
    out.text("Node").text(&accusation.node).text("From").text(&accusation.from);
}

/// The four fields that `alive` and a pushed member share.
fn write_member(out: &mut Writer, alive: &Alive) {
    out.text("Addr").raw(&alive.addr).text("Port").number(u64::from(alive.port));
    out.text("Meta").raw(&alive.meta).text("Vsn").raw(&alive.versions);
}

/// Puts messages together, 255 at most; longer ones than 64 KiB stand alone.
pub(crate) fn compound(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let (mut out, mut small) = (Vec::new(), Vec::new());
    for message in messages {
        match u16::try_from(message.len()) {
            Ok(_) => small.push(message),
            Err(_) => out.push(message),
        }
    }
    for group in small.chunks(255) {
        if let [only] = group {
            out.push(only.clone());
            continue;
        }
        let mut packet = vec![kind::COMPOUND, group.len() as u8];
        for message in group {
            packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
        }
        group.iter().for_each(|message| packet.extend_from_slice(message));
        out.push(packet);
    }
    out
}

/// How messages leave this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The cluster's label; empty for none.
    pub label: String,
    /// Whether what comes in with another label is taken as well.
    pub accepts_any_label: bool,
    /// Whether what goes out is compressed.
    pub compression: bool,
}

impl Envelope {
    /// A packet around a message.
    pub fn packet(&self, message: Vec<u8>) -> Vec<u8> {
        let mut body = message;
        if self.compression {
            let packed = compressed(&body);
            if packed.len() < body.len() {
                body = packed;
            }
        }
        let mut packet = self.stream_header();
        packet.push(kind::CHECKSUM);
        packet.extend_from_slice(&crc32(&body).to_be_bytes());
        packet.extend_from_slice(&body);
        packet
    }

    /// What a stream of this side begins with. Answers on a stream do without.
    pub fn stream_header(&self) -> Vec<u8> {
        let label = &self.label.as_bytes()[..self.label.len().min(MAX_LABEL_BYTES)];
        if label.is_empty() {
            return Vec::new();
        }
        [&[kind::LABEL, label.len() as u8], label].concat()
    }

    /// The messages of a packet.
    pub fn open_packet(&self, packet: &[u8]) -> Result<Vec<Message>, MessageError> {
        let mut body = self.without_label(packet)?;
        if let [kind::CHECKSUM, a, b, c, d, rest @ ..] = body {
            if crc32(rest) != u32::from_be_bytes([*a, *b, *c, *d]) {
                return Err(MessageError::Invalid("checksum mismatch"));
            }
            body = rest;
        }
        let mut messages = Vec::new();
        open_message(body, 0, &mut messages)?;
        Ok(messages)
    }

    /// The bytes after the label, which must be the right one.
    pub fn without_label<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], MessageError> {
        let (label, rest) = split_label(bytes)?;
        if self.accepts_any_label || label == self.label.as_bytes() {
            return Ok(rest);
        }
        Err(MessageError::Label(String::from_utf8_lossy(label).into_owned()))
    }

    /// A push/pull for a stream, without its header.
    pub fn push_pull(&self, state: &PushPull) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.push(kind::PUSH_PULL);
        out.map(3).text("Nodes").number(state.nodes.len() as u64);
        out.text("UserStateLen").number(state.user.len() as u64);
        out.text("Join").boolean(state.join);
        for node in &state.nodes {
            out.map(7).text("Name").text(&node.alive.node);
            write_member(&mut out, &node.alive);
            out.text("Incarnation").number(u64::from(node.alive.incarnation));
            out.text("State").number(node.state as u64);
        }
        out.0.extend_from_slice(&state.user);
        if self.compression { compressed(&out.0) } else { out.0 }
    }
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

/// The message of a stream, after its label. [`MessageError::Truncated`] asks for more bytes.
pub fn open_stream(bytes: &[u8]) -> Result<StreamMessage, MessageError> {
    let plain;
    let mut reader = Reader::new(bytes);
    let mut kind = reader.byte()?;
    if kind == kind::COMPRESSED {
        plain = read_compressed(&mut reader)?;
        reader = Reader::new(&plain);
        kind = reader.byte().map_err(|_| MessageError::Invalid("empty stream"))?;
        // A compressed message is complete.
        return match open_plain_stream(kind, &mut reader) {
            Err(MessageError::Truncated) => Err(MessageError::Invalid("truncated inside")),
            other => other,
        };
    }
    open_plain_stream(kind, &mut reader)
}

fn open_plain_stream(kind: u8, reader: &mut Reader<'_>) -> Result<StreamMessage, MessageError> {
    match kind {
        kind::PUSH_PULL => read_push_pull(reader).map(StreamMessage::PushPull),
        kind::PING => read_ping(reader).map(StreamMessage::Ping),
        kind::USER => {
            let mut length = 0usize;
            fields(reader, |name, reader| {
                match name {
                    "UserMsgLen" => length = reader.small()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            Ok(StreamMessage::User(reader.take(bounded(length)?)?.to_vec()))
        }
        kind::ERROR => {
            let mut message = String::new();
            fields(reader, |name, reader| {
                match name {
                    "Error" => message = reader.text()?.to_owned(),
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            Err(MessageError::Remote(message))
        }
        _ => Err(MessageError::Invalid("type of a stream")),
    }
}

fn bounded(length: usize) -> Result<usize, MessageError> {
    if MAX_MESSAGE_BYTES < length { Err(MessageError::Invalid("too large")) } else { Ok(length) }
}

fn split_label(bytes: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let [kind::LABEL, rest @ ..] = bytes else { return Ok((&[], bytes)) };
    let (&length, rest) = rest.split_first().ok_or(MessageError::Truncated)?;
    if length == 0 {
        return Err(MessageError::Invalid("empty label"));
    }
    rest.split_at_checked(usize::from(length)).ok_or(MessageError::Truncated)
}

fn open_message(
    bytes: &[u8],
    depth: usize,
    messages: &mut Vec<Message>,
) -> Result<(), MessageError> {
    if MAX_NESTING < depth {
        return Err(MessageError::Invalid("nested too deeply"));
    }
    let mut reader = Reader::new(bytes);
    let reader = &mut reader;
    messages.push(match reader.byte()? {
        kind::COMPOUND => return open_compound(reader, depth, messages),
        kind::COMPRESSED => {
            let plain = read_compressed(reader)?;
            return open_message(&plain, depth + 1, messages);
        }
        kind::PING => Message::Ping(read_ping(reader)?),
        kind::INDIRECT_PING => Message::IndirectPing(read_indirect_ping(reader)?),
        kind::ACK => Message::Ack(read_seq(reader)?),
        kind::NACK => Message::Nack(read_seq(reader)?),
        kind::SUSPECT => Message::Suspect(read_accusation(reader)?),
        kind::DEAD => Message::Dead(read_accusation(reader)?),
        kind::ALIVE => Message::Alive(read_alive(reader)?.0),
        kind::USER => Message::User(bytes[1..].to_vec()),
        _ => return Err(MessageError::Invalid("type of a message")),
    });
    Ok(())
}

fn open_compound(
    reader: &mut Reader<'_>,
    depth: usize,
    messages: &mut Vec<Message>,
) -> Result<(), MessageError> {
    let count = usize::from(reader.byte()?);
    let lengths = reader.take(2 * count)?;
    for length in lengths.chunks_exact(2) {
        let part = reader.take(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        open_message(part, depth + 1, messages)?;
    }
    Ok(())
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut out = Writer(vec![kind::COMPRESSED]);
    out.map(2).text("Algo").number(0).text("Buf").raw(&lzw::compress(plain));
    out.0
}

fn read_compressed(reader: &mut Reader<'_>) -> Result<Vec<u8>, MessageError> {
    let (mut algorithm, mut packed) = (0u64, &[][..]);
    for _ in 0..reader.map()? {
        match reader.text()? {
            "Algo" => algorithm = reader.unsigned()?,
            "Buf" => packed = reader.raw()?,
            _ => reader.skip()?,
        }
    }
    if algorithm != 0 {
        return Err(MessageError::Invalid("unknown compression"));
    }
    lzw::decompress(packed, MAX_MESSAGE_BYTES).map_err(|_| MessageError::Invalid("compression"))
}

/// Reads a map, field by field.
fn fields<'a>(
    reader: &mut Reader<'a>,
    mut field: impl FnMut(&'a str, &mut Reader<'a>) -> Result<(), ReadError>,
) -> Result<(), MessageError> {
    for _ in 0..reader.map()? {
        let name = reader.text()?;
        field(name, reader)?;
    }
    Ok(())
}

fn read_seq(reader: &mut Reader<'_>) -> Result<u32, MessageError> {
    let mut seq = 0;
    fields(reader, |name, reader| {
        match name {
            "SeqNo" => seq = reader.small()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(seq)
}

fn read_source(name: &str, source: &mut Source, reader: &mut Reader<'_>) -> Result<(), ReadError> {
    match name {
        "SourceAddr" => source.addr = reader.raw()?.to_vec(),
        "SourcePort" => source.port = reader.small()?,
        "SourceNode" => source.node = reader.text()?.to_owned(),
        _ => reader.skip()?,
    }
    Ok(())
}

fn read_ping(reader: &mut Reader<'_>) -> Result<Ping, MessageError> {
    let mut ping = Ping::default();
    fields(reader, |name, reader| {
        match name {
            "SeqNo" => ping.seq = reader.small()?,
            "Node" => ping.node = reader.text()?.to_owned(),
            name => read_source(name, &mut ping.source, reader)?,
        }
        Ok(())
    })?;
    Ok(ping)
}

fn read_indirect_ping(reader: &mut Reader<'_>) -> Result<IndirectPing, MessageError> {
    let mut ping = IndirectPing::default();
    fields(reader, |name, reader| {
        match name {
            "SeqNo" => ping.seq = reader.small()?,
            "Node" => ping.node = reader.text()?.to_owned(),
            "Target" => ping.target = reader.raw()?.to_vec(),
            "Port" => ping.port = reader.small()?,
            "Nack" => ping.nack = reader.boolean()?,
            name => read_source(name, &mut ping.source, reader)?,
        }
        Ok(())
    })?;
    Ok(ping)
}

fn read_accusation(reader: &mut Reader<'_>) -> Result<Accusation, MessageError> {
    let mut accusation = Accusation::default();
    fields(reader, |name, reader| {
        match name {
            "Incarnation" => accusation.incarnation = reader.small()?,
            "Node" => accusation.node = reader.text()?.to_owned(),
            "From" => accusation.from = reader.text()?.to_owned(),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(accusation)
}

/// A member, and its state where one is given.
fn read_alive(reader: &mut Reader<'_>) -> Result<(Alive, u64), MessageError> {
    let (mut alive, mut state) = (Alive::default(), 0);
    fields(reader, |name, reader| {
        match name {
            "Incarnation" => alive.incarnation = reader.small()?,
            "Node" | "Name" => alive.node = reader.text()?.to_owned(),
            "Addr" => alive.addr = reader.raw()?.to_vec(),
            "Port" => alive.port = reader.small()?,
            "Meta" => alive.meta = reader.raw()?.to_vec(),
            "Vsn" => alive.versions = reader.raw()?.to_vec(),
            "State" => state = reader.unsigned()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok((alive, state))
}

fn read_push_pull(reader: &mut Reader<'_>) -> Result<PushPull, MessageError> {
    let (mut nodes, mut user, mut join) = (0usize, 0usize, false);
    fields(reader, |name, reader| {
        match name {
            "Nodes" => nodes = reader.small()?,
            "UserStateLen" => user = reader.small()?,
            "Join" => join = reader.boolean()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if MAX_PUSHED_NODES < nodes {
        return Err(MessageError::Invalid("too many members"));
    }
    let mut state = PushPull { join, ..PushPull::default() };
    for _ in 0..nodes {
        let (alive, number) = read_alive(reader)?;
        state.nodes.push(PushedNode { alive, state: NodeState::from_number(number)? });
    }
    state.user = reader.take(bounded(user)?)?.to_vec();
    Ok(state)
}

/// CRC-32 of IEEE.
fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iso_hdlc(bytes)
}

#[cfg(test)]
mod tests;
