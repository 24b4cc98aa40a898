//! The protobuf wire format, written by appending to a buffer. Used by the encoders of this crate;
//! decides nothing about messages.
//!
//! Fields with the default value of their type are left out, as proto3 does.

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of bytes of a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    put_varint(out, u64::from(field) << 3 | u64::from(wire_type));
}

/// A number field that is not 0.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_tag(out, field, 0);
        put_varint(out, value);
    }
}

/// A number field of a `oneof`, which stands there although it is 0.
pub(crate) fn put_chosen_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_tag(out, field, 0);
    put_varint(out, value);
}

/// A `sint32` or `sint64` field that is not 0.
pub(crate) fn put_zigzag(out: &mut Vec<u8>, field: u32, value: i64) {
    put_number(out, field, zigzag(value));
}

/// A `double` field whose bits are not 0.
pub(crate) fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        put_chosen_double(out, field, value);
    }
}

/// A `double` field of a `oneof`.
pub(crate) fn put_chosen_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_tag(out, field, 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// A string, bytes or message field, also an empty one.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_tag(out, field, 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A string field that is not empty.
pub(crate) fn put_string(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        put_bytes(out, field, value.as_bytes());
    }
}

/// A message field whose content `write` appends.
pub(crate) fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, field, 2);
    let length_at = out.len();
    // Nearly all messages are shorter than 128 bytes; others are moved by the rest of their
    // length.
    out.push(0);
    write(out);
    let length = out.len() - length_at - 1;
    if length < 0x80 {
        out[length_at] = length as u8;
        return;
    }
    let mut bytes = Vec::with_capacity(10);
    put_varint(&mut bytes, length as u64);
    out.splice(length_at..=length_at, bytes);
}

/// A packed repeated `sint64` that is not empty.
pub(crate) fn put_packed_zigzags(out: &mut Vec<u8>, field: u32, values: &[i64]) {
    if !values.is_empty() {
        put_message(out, field, |out| {
            values.iter().for_each(|&value| put_varint(out, zigzag(value)));
        });
    }
}

/// A packed repeated `double` that is not empty.
pub(crate) fn put_packed_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if !values.is_empty() {
        put_message(out, field, |out| {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        });
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_write::protobuf::Reader;

    #[test]
    fn numbers_of_all_lengths_are_read_again() {
        for value in (0..64).flat_map(|bit| [1u64 << bit, (1u64 << bit) - 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            assert_eq!(Reader::new(&out).varint().unwrap(), value);
            let signed = value as i64;
            out.clear();
            put_varint(&mut out, zigzag(signed));
            assert_eq!(Reader::new(&out).zigzag().unwrap(), signed);
        }
    }

    #[test]
    fn long_messages_get_a_longer_length() {
        for length in [0, 1, 127, 128, 20_000] {
            let mut out = Vec::new();
            put_message(&mut out, 3, |out| out.resize(out.len() + length, 7));
            let mut reader = Reader::new(&out);
            assert_eq!(reader.next_tag().unwrap().map(|(field, _)| field), Some(3));
            assert_eq!(reader.bytes().unwrap(), vec![7; length]);
            assert!(reader.rest().is_empty());
        }
    }
}
