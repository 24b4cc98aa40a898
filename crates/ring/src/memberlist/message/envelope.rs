//! What is around a message: label, checksum, compression.

use super::decode::open_messages;
use super::encode::push_pull_message;
use super::{Message, MessageError, PushPull, kind};
use crate::memberlist::lzw;
use crate::memberlist::msgpack::Writer;

const MAX_LABEL_BYTES: usize = 255;

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
        open_messages(body)
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
        let plain = push_pull_message(state);
        if self.compression { compressed(&plain) } else { plain }
    }
}

/// A message in its compressed form.
pub(super) fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut out = Writer(vec![kind::COMPRESSED]);
    out.map(2).text("Algo").number(0).text("Buf").raw(&lzw::compress(plain));
    out.0
}

fn split_label(bytes: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let [kind::LABEL, rest @ ..] = bytes else { return Ok((&[], bytes)) };
    let (&length, rest) = rest.split_first().ok_or(MessageError::Truncated)?;
    if length == 0 {
        return Err(MessageError::Invalid("empty label"));
    }
    rest.split_at_checked(usize::from(length)).ok_or(MessageError::Truncated)
}

/// CRC-32 of IEEE.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iso_hdlc(bytes)
}
