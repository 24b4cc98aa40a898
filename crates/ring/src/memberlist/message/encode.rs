//! Messages written.

use super::{Accusation, Alive, Message, PushPull, Source, kind};
use crate::memberlist::msgpack::Writer;

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

/// A push/pull with its type.
pub(super) fn push_pull_message(state: &PushPull) -> Vec<u8> {
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
    out.0
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
