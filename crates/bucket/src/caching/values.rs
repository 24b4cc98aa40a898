//! How what is known of objects stands in a cache: names of a list, size and time. Every value is
//! sealed, see `cache/sealed.rs`.

use bytes::BufMut as _;

use crate::ObjectInfo;
pub(super) use crate::cache::sealed::{get, open, put};

/// Names of a list are kept one a line; no key holds a line's end.
const SEPARATOR: char = '\n';

pub(super) fn encode_info(info: &ObjectInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.put_u64_le(info.size_bytes);
    bytes.put_i64_le(info.last_modified_ms);
    bytes
}

pub(super) fn decode_info(key: &str, bytes: &[u8]) -> Option<ObjectInfo> {
    let (size, time) = bytes.split_first_chunk::<8>()?;
    let last_modified_ms = i64::from_le_bytes(time.try_into().ok()?);
    Some(ObjectInfo {
        key: key.to_owned(),
        size_bytes: u64::from_le_bytes(*size),
        last_modified_ms,
    })
}

pub(super) fn encode_names(names: &[String]) -> Vec<u8> {
    names.join(SEPARATOR.encode_utf8(&mut [0; 4])).into_bytes()
}

pub(super) fn decode_names(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.split(SEPARATOR).map(str::to_owned).collect())
}
