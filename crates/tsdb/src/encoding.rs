//! Numbers and strings as every file of the TSDB stores them: fixed integers big-endian,
//! `uvarint` = LEB128, `varint` = zigzag LEB128, CRC-32C big-endian.
//!
//! Used by all codecs of this crate. Decoding never panics and never reads outside its slice.

use crate::error::DecodeError;

/// The longest `uvarint` or `varint` of 64 bits, bytes.
pub const MAX_VARINT_LEN64: usize = 10;
/// The longest `uvarint` of 32 bits, bytes.
pub const MAX_VARINT_LEN32: usize = 5;

/// CRC-32C (Castagnoli) of `data`, as all files of the TSDB store it.
#[inline]
pub fn crc32c(data: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(data)
}

/// CRC-32C of data that comes in pieces.
#[derive(Debug, Clone)]
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Adds the next piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The checksum of all pieces so far.
    pub fn value(&self) -> u32 {
        // A 32-bit checksum stands in the low half.
        (self.0.finalize() & 0xffff_ffff) as u32
    }
}

/// Fails unless `expected` is the checksum of `data`.
#[inline]
pub fn check_crc(expected: u32, data: &[u8]) -> Result<(), DecodeError> {
    let actual = crc32c(data);
    // A fuzzer cannot guess checksums, and what stands behind them is what it is to look at.
    if actual == expected || cfg!(fuzzing) {
        Ok(())
    } else {
        Err(DecodeError::Checksum { expected, actual })
    }
}

/// Zigzag: small numbers of either sign become small unsigned ones.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends `value` as `uvarint`.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` as `varint`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// Appends `text` after its length as `uvarint`.
#[inline]
pub fn put_uvarint_bytes(out: &mut Vec<u8>, text: &[u8]) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends four bytes big-endian.
#[inline]
pub fn put_be32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends eight bytes big-endian.
#[inline]
pub fn put_be64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// The number of bytes of `value` as `uvarint`.
#[inline]
pub const fn uvarint_len(value: u64) -> usize {
    // A zero still takes one byte.
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// Writes `value` as `uvarint` to the start of `out` and returns its length.
#[inline]
pub fn write_uvarint(out: &mut [u8; MAX_VARINT_LEN64], mut value: u64) -> usize {
    let mut len = 0;
    while value >= 0x80 && len < MAX_VARINT_LEN64 - 1 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}

/// Reads values from the front of a byte slice. After an error its position is not defined.
#[derive(Debug, Clone, Copy)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte of `data`.
    #[inline]
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// What was not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of bytes that were not read yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Leaves out the next `count` bytes.
    #[inline]
    pub fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.bytes(count).map(|_| ())
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes big-endian.
    #[inline]
    pub fn be16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes big-endian.
    #[inline]
    pub fn be32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes big-endian.
    #[inline]
    pub fn be64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes big-endian, the bits of a float.
    #[inline]
    pub fn be64_float(&mut self) -> Result<f64, DecodeError> {
        self.be64().map(f64::from_bits)
    }

    /// A `uvarint` of at most 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, DecodeError> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.uvarint_long()
    }

    fn uvarint_long(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(MAX_VARINT_LEN64).enumerate() {
            if i == MAX_VARINT_LEN64 - 1 && byte > 1 {
                return Err(DecodeError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        let too_long = self.rest.len() >= MAX_VARINT_LEN64;
        Err(if too_long { DecodeError::VarintOverflow } else { DecodeError::Truncated })
    }

    /// A `uvarint` that fits 32 bits.
    #[inline]
    pub fn uvarint32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.uvarint()?).map_err(|_| DecodeError::VarintOverflow)
    }

    /// A `uvarint` that is a length or a count in memory.
    #[inline]
    pub fn uvarint_len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.uvarint()?).map_err(|_| DecodeError::VarintOverflow)
    }

    /// A `varint` of at most 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i64, DecodeError> {
        self.uvarint().map(unzigzag)
    }

    /// Bytes after their length as `uvarint`.
    #[inline]
    pub fn uvarint_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.uvarint_len()?;
        self.bytes(len)
    }

    /// UTF-8 text after its length as `uvarint`.
    #[inline]
    pub fn uvarint_str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.uvarint_bytes()?).map_err(|_| DecodeError::InvalidUtf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crc_is_castagnoli() {
        // The check value of CRC-32C in the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut digest = Crc32c::default();
        digest.update(b"1234");
        digest.update(b"56789");
        assert_eq!(digest.value(), 0xe306_9283);
    }

    #[test]
    fn varints_are_those_of_the_format() {
        let mut out = Vec::new();
        put_uvarint(&mut out, 300);
        put_varint(&mut out, -1);
        assert_eq!(out, [0xac, 0x02, 0x01]);
    }

    #[test]
    fn overlong_and_truncated_varints_are_errors() {
        assert_eq!(Decoder::new(&[0x80; 9]).uvarint(), Err(DecodeError::Truncated));
        assert_eq!(Decoder::new(&[0x80; 10]).uvarint(), Err(DecodeError::VarintOverflow));
        let mut two_bits_too_many = [0xff; 10];
        two_bits_too_many[9] = 2;
        assert_eq!(Decoder::new(&two_bits_too_many).uvarint(), Err(DecodeError::VarintOverflow));
        assert_eq!(Decoder::new(&[]).uvarint(), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            prop_assert_eq!(out.len(), uvarint_len(value));
            let mut fixed = [0; MAX_VARINT_LEN64];
            let len = write_uvarint(&mut fixed, value);
            prop_assert_eq!(&fixed[..len], &out[..]);
            put_varint(&mut out, value.cast_signed());
            put_varint(&mut out, value.cast_signed().wrapping_neg());
            let mut decoder = Decoder::new(&out);
            prop_assert_eq!(decoder.uvarint(), Ok(value));
            prop_assert_eq!(decoder.varint(), Ok(value.cast_signed()));
            prop_assert_eq!(decoder.varint(), Ok(value.cast_signed().wrapping_neg()));
            prop_assert!(decoder.is_empty());
        }
    }
}
