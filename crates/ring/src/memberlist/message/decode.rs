//! Messages read. Everything comes from the network: what one packet or stream may unpack to is
//! bounded as a whole, however its parts lie in each other.

use super::{
    Accusation, Alive, IndirectPing, MAX_MESSAGE_BYTES, Message, MessageError, NodeState, Ping,
    PushPull, PushedNode, Source, StreamMessage, kind,
};
use crate::memberlist::lzw::{self, LzwError};
use crate::memberlist::msgpack::{ReadError, Reader};

/// The members that one push/pull may name.
const MAX_PUSHED_NODES: usize = 100_000;
/// Compressed and compound messages in each other.
const MAX_NESTING: usize = 4;

/// The message of a stream, after its label. [`MessageError::Truncated`] asks for more bytes.
pub fn open_stream(bytes: &[u8]) -> Result<StreamMessage, MessageError> {
    let plain;
    let mut reader = Reader::new(bytes);
    let mut kind = reader.byte()?;
    if kind == kind::COMPRESSED {
        plain = read_compressed(&mut reader, MAX_MESSAGE_BYTES)?;
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

/// The messages of a packet, without its label and checksum.
pub(super) fn open_messages(packet: &[u8]) -> Result<Vec<Message>, MessageError> {
    let mut opening = Opening { messages: Vec::new(), room: MAX_MESSAGE_BYTES };
    opening.open(packet, 0)?;
    Ok(opening.messages)
}

/// A packet that is being opened.
struct Opening {
    messages: Vec<Message>,
    /// The bytes that its compressed parts may still unpack to, all together.
    room: usize,
}

impl Opening {
    fn open(&mut self, bytes: &[u8], depth: usize) -> Result<(), MessageError> {
        if MAX_NESTING < depth {
            return Err(MessageError::Invalid("nested too deeply"));
        }
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        self.messages.push(match reader.byte()? {
            kind::COMPOUND => return self.open_compound(reader, depth),
            kind::COMPRESSED => {
                let plain = read_compressed(reader, self.room)?;
                self.room -= plain.len();
                return self.open(&plain, depth + 1);
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

    fn open_compound(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), MessageError> {
        let count = usize::from(reader.byte()?);
        let lengths = reader.take(2 * count)?;
        for length in lengths.chunks_exact(2) {
            let part = reader.take(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
            self.open(part, depth + 1)?;
        }
        Ok(())
    }
}

/// The bytes of a compressed message, `room` of them at most.
fn read_compressed(reader: &mut Reader<'_>, room: usize) -> Result<Vec<u8>, MessageError> {
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
    lzw::decompress(packed, room).map_err(|error| match error {
        LzwError::TooLarge => MessageError::Invalid("too large"),
        LzwError::Truncated | LzwError::InvalidCode => MessageError::Invalid("compression"),
    })
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
