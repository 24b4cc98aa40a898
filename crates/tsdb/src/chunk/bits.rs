//! Bit streams, most significant bit first, the last byte padded with zeros.
//!
//! The general reader and writer of all chunk codecs; the hot loops of XOR have their own in
//! `xor/decode.rs`.

use crate::encoding::{MAX_VARINT_LEN64, unzigzag};
use crate::error::DecodeError;

/// Reads bits from a byte slice; never past its end.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// Position of the next bit from the start of `data`.
    position: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// The number of bits that were not read yet.
    pub fn remaining(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    /// The next 57 or more bits, from the highest bit on; zeros after the end.
    #[inline]
    fn peek(&self) -> u64 {
        let start = self.position / 8;
        let word = match self.data.get(start..start + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("the slice has 8 bytes")),
            None => self.peek_tail(start),
        };
        word << (self.position % 8)
    }

    #[cold]
    fn peek_tail(&self, start: usize) -> u64 {
        let mut padded = [0u8; 8];
        let tail = self.data.get(start..).unwrap_or_default();
        padded[..tail.len()].copy_from_slice(tail);
        u64::from_be_bytes(padded)
    }

    #[inline]
    fn advance(&mut self, count: usize) -> Result<(), DecodeError> {
        if count > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        self.position += count;
        Ok(())
    }

    /// The next bit.
    #[inline]
    pub fn bit(&mut self) -> Result<bool, DecodeError> {
        let word = self.peek();
        self.advance(1)?;
        Ok(word >> 63 == 1)
    }

    /// The next `count` bits (0 to 64) as the low bits of a number.
    #[inline]
    pub fn bits(&mut self, count: u32) -> Result<u64, DecodeError> {
        debug_assert!(count <= 64);
        if count == 0 {
            return Ok(0);
        }
        if count > 56 {
            let high = self.bits(count - 32)?;
            return Ok(high << 32 | self.bits(32)?);
        }
        let word = self.peek();
        self.advance(count as usize)?;
        Ok(word >> (64 - count))
    }

    /// How many of the next `max` bits are ones before the first zero; reads the zero too, if it
    /// is one of them. `max` is at most 32.
    #[inline]
    pub fn ones(&mut self, max: u32) -> Result<u32, DecodeError> {
        let ones = self.peek().leading_ones().min(max);
        self.advance(ones as usize + usize::from(ones < max))?;
        Ok(ones)
    }

    /// A number of `count` bits in the asymmetric range `-(2^(count-1)-1) ..= 2^(count-1)`.
    #[inline]
    pub fn asymmetric(&mut self, count: u32) -> Result<i64, DecodeError> {
        Ok(sign_asymmetric(self.bits(count)?, count))
    }

    /// Eight bits.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.bits(8).map(|bits| (bits & 0xff) as u8)
    }

    /// A `uvarint` whose bytes need not be aligned.
    pub fn uvarint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for i in 0..MAX_VARINT_LEN64 {
            let byte = self.byte()?;
            if i == MAX_VARINT_LEN64 - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintOverflow)
    }

    /// A `varint` whose bytes need not be aligned.
    pub fn varint(&mut self) -> Result<i64, DecodeError> {
        self.uvarint().map(unzigzag)
    }
}

/// The number whose low `count` bits in the asymmetric range are `bits`.
#[inline]
pub(crate) fn sign_asymmetric(bits: u64, count: u32) -> i64 {
    if count < 64 && bits > 1 << (count - 1) {
        bits.wrapping_sub(1 << count).cast_signed()
    } else {
        bits.cast_signed()
    }
}

/// Whether `value` lies in the asymmetric range of `count` bits (1 to 63).
#[inline]
pub(crate) fn fits_asymmetric(value: i64, count: u32) -> bool {
    let half = 1i64 << (count - 1);
    -(half - 1) <= value && value <= half
}

/// Appends bits to a byte vector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Unused bits of the last byte, 0 to 7.
    free: u32,
}

impl BitWriter {
    /// Continues after whole bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// What was written so far, the last byte padded with zeros.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For changing header bytes in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The memory that is held, bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends one bit.
    #[inline]
    pub fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// Appends the low `count` bits (0 to 64) of `value`.
    #[inline]
    pub fn bits(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64);
        if count == 0 {
            return;
        }
        let aligned = value << (64 - count);
        let mut rest = aligned;
        let mut left = count;
        if self.free > 0 {
            if let Some(last) = self.bytes.last_mut() {
                *last |= (aligned >> (64 - self.free)) as u8;
            }
            if left <= self.free {
                self.free -= left;
                return;
            }
            rest = aligned << self.free;
            left -= self.free;
        }
        let whole = left.div_ceil(8);
        self.bytes.extend_from_slice(&rest.to_be_bytes()[..whole as usize]);
        self.free = whole * 8 - left;
    }

    /// Appends eight bits.
    pub fn byte(&mut self, byte: u8) {
        self.bits(u64::from(byte), 8);
    }

    /// Appends a `uvarint` without aligning it.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Appends a `varint` without aligning it.
    pub fn varint(&mut self, value: i64) {
        self.uvarint(crate::encoding::zigzag(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reading_past_the_end_is_an_error() {
        let mut reader = BitReader::new(&[0xff, 0x00]);
        assert_eq!(reader.bits(12), Ok(0xff0));
        assert_eq!(reader.bits(5), Err(DecodeError::Truncated));
        assert_eq!(reader.bits(4), Ok(0));
        assert_eq!(reader.bit(), Err(DecodeError::Truncated));
        assert_eq!(BitReader::new(&[0xff]).ones(32), Err(DecodeError::Truncated));
        assert_eq!(BitReader::new(&[0xff]).ones(8), Ok(8));
    }

    #[test]
    fn the_asymmetric_range_has_its_upper_end() {
        for count in [3, 14, 63] {
            let half = 1i64 << (count - 1);
            assert!(fits_asymmetric(half, count) && fits_asymmetric(1 - half, count));
            assert!(!fits_asymmetric(half + 1, count) && !fits_asymmetric(-half, count));
            let mask = (1u64 << count) - 1;
            for value in [half, 1 - half, 0, 1, -1] {
                assert_eq!(sign_asymmetric(value.cast_unsigned() & mask, count), value);
            }
        }
        assert_eq!(sign_asymmetric(u64::MAX, 64), -1);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..50)) {
            let mut writer = BitWriter::default();
            for &(value, count) in &fields {
                writer.bits(value, count);
            }
            let bits: u32 = fields.iter().map(|f| f.1).sum();
            prop_assert_eq!(writer.bytes().len(), bits.div_ceil(8) as usize);
            let mut reader = BitReader::new(writer.bytes());
            for &(value, count) in &fields {
                let mask = if count == 64 { u64::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(reader.bits(count), Ok(value & mask));
            }
            prop_assert!(reader.remaining() < 8);
            prop_assert_eq!(reader.bits(reader.remaining() as u32), Ok(0));
        }
    }
}
