//! Decoder of the framing of snappy and of S2, which extends snappy: larger chunks, and copies that
//! repeat the offset of the one before. Formats: `framing_format.txt` and `format_description.txt`
//! of snappy, and the section "Format extensions" of S2's documentation.
//!
//! Own code since no library knows S2.

/// Why data cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnpackError {
    /// It would be more than what is taken.
    TooLarge,
    /// It is not what it should be.
    Broken(&'static str),
}

use UnpackError::{Broken, TooLarge};

/// The stream's identifiers.
const IDENTIFIERS: [&[u8]; 2] = [b"sNaPpY", b"S2sTwO"];
const COMPRESSED: u8 = 0x00;
const PLAIN: u8 = 0x01;
const FIRST_SKIPPABLE: u8 = 0x80;
const IDENTIFIER: u8 = 0xff;

/// Appends what a stream holds to `out`: at most `max_bytes`.
pub(super) fn unpack(
    mut data: &[u8],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), UnpackError> {
    let end = out.len().saturating_add(max_bytes);
    let mut is_identified = false;
    while let Some((&[kind, a, b, c], rest)) = data.split_first_chunk() {
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        let (chunk, rest) = rest.split_at_checked(length).ok_or(Broken("a chunk is torn"))?;
        data = rest;
        match kind {
            IDENTIFIER if IDENTIFIERS.contains(&chunk) => is_identified = true,
            IDENTIFIER => return Err(Broken("an unknown identifier")),
            _ if !is_identified => return Err(Broken("no identifier")),
            COMPRESSED | PLAIN => add_chunk(kind, chunk, (out, end))?,
            FIRST_SKIPPABLE.. => {}
            _ => return Err(Broken("an unknown kind of chunk")),
        }
    }
    if data.is_empty() { Ok(()) } else { Err(Broken("the head of a chunk is torn")) }
}

/// Appends a chunk, at most up to the length `end`.
fn add_chunk(kind: u8, chunk: &[u8], (out, end): (&mut Vec<u8>, usize)) -> Result<(), UnpackError> {
    let (checksum, data) = chunk.split_first_chunk().ok_or(Broken("a chunk has no checksum"))?;
    let start = out.len();
    let room = end - start;
    if kind == COMPRESSED {
        unpack_block(data, (out, room))?;
    } else if room < data.len() {
        return Err(TooLarge);
    } else {
        out.extend_from_slice(data);
    }
    let crc = tsdb::encoding::crc32c(&out[start..]);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    if masked == u32::from_le_bytes(*checksum) { Ok(()) } else { Err(Broken("wrong checksum")) }
}

/// What is left of a block.
struct Block<'a>(&'a [u8]);

impl Block<'_> {
    /// A number of `bytes` bytes, the lowest first.
    fn number(&mut self, bytes: usize) -> Result<usize, UnpackError> {
        let (number, rest) = self.0.split_at_checked(bytes).ok_or(Broken("a block is torn"))?;
        self.0 = rest;
        Ok(number.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn varint(&mut self) -> Result<usize, UnpackError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.number(1)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("a length is too long"))
    }
}

/// Appends what a block holds: at most `room` bytes.
fn unpack_block(data: &[u8], (out, room): (&mut Vec<u8>, usize)) -> Result<(), UnpackError> {
    let mut block = Block(data);
    let length = block.varint()?;
    if room < length {
        return Err(TooLarge);
    }
    let start = out.len();
    let end = start + length;
    // No copy goes before the block, and none may go on from the block before.
    let mut offset = 0;
    while !block.0.is_empty() {
        let tag = block.number(1)?;
        let count = match tag & 3 {
            0 => {
                let count = literal_length(tag >> 2, &mut block)?;
                let (literal, rest) =
                    block.0.split_at_checked(count).ok_or(Broken("a literal is torn"))?;
                block.0 = rest;
                if end - out.len() < count {
                    return Err(Broken("a block is longer than it says"));
                }
                out.extend_from_slice(literal);
                continue;
            }
            1 => short_copy(tag, &mut block, &mut offset)?,
            kind => {
                offset = block.number(if kind == 2 { 2 } else { 4 })?;
                (tag >> 2) + 1
            }
        };
        if offset == 0 || out.len() - start < offset || end - out.len() < count {
            return Err(Broken("a copy leaves its block"));
        }
        copy(out, offset, count);
    }
    if out.len() == end { Ok(()) } else { Err(Broken("a block is shorter than it says")) }
}

fn literal_length(code: usize, block: &mut Block<'_>) -> Result<usize, UnpackError> {
    Ok(match code {
        0..60 => code + 1,
        _ => block.number(code - 59)? + 1,
    })
}

/// The length of a copy with 11 bits of offset; without any it repeats the one before, and longer.
fn short_copy(tag: usize, block: &mut Block<'_>, offset: &mut usize) -> Result<usize, UnpackError> {
    let new = (tag & 0xe0) << 3 | block.number(1)?;
    let code = tag >> 2 & 7;
    if new != 0 {
        *offset = new;
        return Ok(code + 4);
    }
    Ok(match code {
        5 => block.number(1)? + 8,
        6 => block.number(2)? + (1 << 8) + 4,
        7 => block.number(3)? + (1 << 16) + 4,
        _ => code + 4,
    })
}

/// Appends `count` bytes from `offset` before the end; what is copied may come to be as it goes.
fn copy(out: &mut Vec<u8>, offset: usize, count: usize) {
    let from = out.len() - offset;
    let mut left = count;
    while left > 0 {
        // All that is there already can go at once, and doubles what is there.
        let length = left.min(out.len() - from);
        out.extend_from_within(from..from + length);
        left -= length;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, UnpackError> {
        let mut out = b"before".to_vec();
        unpack(data, max_bytes, &mut out).map(|()| out.split_off(6))
    }

    fn block(data: &[u8], room: usize) -> Result<Vec<u8>, UnpackError> {
        let mut out = vec![9];
        unpack_block(data, (&mut out, room)).map(|()| out[1..].to_vec())
    }

    /// Made by hand from the description of the format.
    #[test]
    fn repeats_of_s2_are_copied_with_the_offset_before() {
        // 4 literals, a copy of 4 from 4 before, repeats of 4, of 2 + 8 and of 1 + 260.
        let parts: [&[u8]; 6] =
            [&[0x9b, 2, 0x0c], b"abcd", &[0x01, 4], &[0x01, 0], &[0x15, 0, 2], &[0x19, 0, 1, 0]];
        let data = parts.concat();
        let expected: Vec<u8> = b"abcd".iter().copied().cycle().take(0x1b + (2 << 7)).collect();
        assert_eq!(expected.len(), 4 + 4 + 4 + 10 + 261);
        assert_eq!(block(&data, 1000), Ok(expected));
        assert_eq!(block(&data, 282), Err(TooLarge));
        let mut short = data;
        short[0] -= 1;
        assert_eq!(block(&short, 1000), Err(Broken("a copy leaves its block")));
        assert_eq!(
            block(&[4, 0x01, 0], 10),
            Err(Broken("a copy leaves its block")),
            "nothing before"
        );
    }

    proptest! {
        #[test]
        fn what_snappy_packs_is_unpacked(runs in prop::collection::vec((any::<u8>(), 1_usize..90), 0..400)) {
            let data: Vec<u8> =
                runs.iter().flat_map(|(byte, count)| std::iter::repeat_n(*byte, *count)).collect();
            let mut writer = snap::write::FrameEncoder::new(Vec::new());
            writer.write_all(&data).unwrap();
            let packed = writer.into_inner().unwrap();
            prop_assert_eq!(unpacked(&packed, data.len()), Ok(data.clone()));
            if !data.is_empty() {
                prop_assert_eq!(unpacked(&packed, data.len() - 1), Err(TooLarge));
                prop_assert!(unpacked(&packed[..packed.len() - 1], data.len()).is_err());
            }
        }

        #[test]
        fn nothing_is_read_beyond_what_is_there(data in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(out) = block(&data, 5000) {
                prop_assert!(out.len() <= 5000);
            }
        }
    }
}
