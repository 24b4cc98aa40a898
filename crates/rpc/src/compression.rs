//! Messages compressed with snappy or S2, as Mimir's processes send them to each other with
//! `-*.grpc-compression=snappy` or `s2`, and which tonic does not know. This is the framing that
//! both sides share; [`server`] unpacks requests, [`client`] packs them and unpacks answers.
//!
//! ```text
//! +------+----------------+--------------------------------------+
//! | flag | length, BE u32 | message; with flag 1 a snappy stream |
//! +------+----------------+--------------------------------------+
//! ```

pub(crate) mod client;
mod s2;
pub(crate) mod server;

use std::io::Write as _;

use bytes::Bytes;
use http::HeaderMap;
use snap::write::FrameEncoder;
use tonic::Status;

/// Tells how messages are compressed.
const ENCODING: &str = "grpc-encoding";
/// A flag and a length stand before each message.
const HEAD_BYTES: usize = 5;

/// How a client compresses the messages that it sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By tonic.
    Gzip,
    /// In the framing of snappy.
    Snappy,
    /// In the same, which readers of S2 take: what S2 has beyond snappy is for readers here.
    S2,
}

impl Compression {
    /// By the names of `-*.grpc-compression`; empty is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            "s2" => Some(Self::S2),
            _ => None,
        }
    }
}

/// Both are framed alike, and what s2 has beyond snappy is an error in snappy.
fn is_packed(headers: &HeaderMap) -> bool {
    headers.get(ENCODING).is_some_and(|encoding| encoding == "snappy" || encoding == "s2")
}

/// What stands before a message.
struct Head {
    is_packed: bool,
    /// Of the message as it is sent, bytes.
    length: usize,
}

impl Head {
    /// Reads the head that `data` starts with; `None` while it is not complete.
    fn read(data: &[u8]) -> Result<Option<Self>, Status> {
        let Some(&[flag, a, b, c, d]) = data.first_chunk() else { return Ok(None) };
        let is_packed = match flag {
            0 => false,
            1 => true,
            _ => {
                let text = format!("grpc: received unexpected payload format {flag}");
                return Err(Status::internal(text));
            }
        };
        Ok(Some(Self { is_packed, length: u32::from_be_bytes([a, b, c, d]) as usize }))
    }
}

/// A packed message without its head, as an unpacked one with a head.
fn unpack(data: &[u8], max_bytes: usize) -> Result<Bytes, Status> {
    let mut plain = vec![0; HEAD_BYTES];
    s2::unpack(data, max_bytes, &mut plain).map_err(|error| match error {
        s2::UnpackError::TooLarge => too_large(max_bytes),
        s2::UnpackError::Broken(text) => broken(text),
    })?;
    with_length(plain, max_bytes)
}

/// A message without its head, as a packed one with a head.
fn pack(message: &[u8]) -> Result<Bytes, Status> {
    let mut packed = Vec::with_capacity(HEAD_BYTES + message.len() / 2);
    packed.extend_from_slice(&[1, 0, 0, 0, 0]);
    let mut writer = FrameEncoder::new(&mut packed);
    let done = writer.write_all(message).and_then(|()| writer.flush());
    drop(writer);
    done.map_err(|error| Status::internal(format!("grpc: error while compressing: {error}")))?;
    with_length(packed, u32::MAX as usize)
}

/// Fills in the length in the head of a message.
fn with_length(mut message: Vec<u8>, max_bytes: usize) -> Result<Bytes, Status> {
    let length = u32::try_from(message.len() - HEAD_BYTES).map_err(|_| too_large(max_bytes))?;
    message[1..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(message.into())
}

fn broken(text: &str) -> Status {
    Status::internal(format!("a compressed message: {text}"))
}

fn too_large(max_bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "grpc: received message after decompression larger than max {max_bytes}"
    ))
}
