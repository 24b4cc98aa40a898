//! One 64-bit quantity of a histogram sample as a chunk follows it from sample to sample: XORed
//! with its predecessor ([`XorField`], bits of a float) or as delta of deltas ([`DeltaField`],
//! an integer).

use super::bits::{BitReader, BitWriter};
use super::varbit::{put_varbit_int, put_varbit_uint, read_varbit_int, read_varbit_uint};
use crate::error::DecodeError;

/// The leading zeros of a window that was not written yet.
const NO_WINDOW: u8 = 0xff;

/// The window of bits that differ between values: the part of XOR coding that XOR, XOR2 and
/// histogram chunks share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    leading: u8,
    trailing: u8,
}

impl Default for Window {
    fn default() -> Self {
        Self { leading: NO_WINDOW, trailing: 0 }
    }
}

impl Window {
    /// Whether the bits of `xor` (not 0) fit this window; otherwise the window that has them.
    pub(crate) fn fit(&mut self, xor: u64) -> bool {
        let leading = (xor.leading_zeros() as u8).min(31);
        let trailing = xor.trailing_zeros() as u8;
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            return true;
        }
        *self = Self { leading, trailing };
        false
    }

    fn size(self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
    }

    /// Appends the window itself: 5 bits of leading zeros, 6 bits of size.
    pub(crate) fn put(self, writer: &mut BitWriter) {
        writer.bits(u64::from(self.leading), 5);
        // A size of 64 is stored as 0.
        writer.bits(u64::from(self.size() & 63), 6);
    }

    /// Appends the bits of `xor`, which fits.
    pub(crate) fn put_bits(self, writer: &mut BitWriter, xor: u64) {
        writer.bits(xor >> self.trailing, self.size());
    }

    /// Reads what [`Window::put`] wrote.
    pub(crate) fn read(reader: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let leading = reader.bits(5)? as u8;
        let size = match reader.bits(6)? as u8 {
            0 => 64,
            size => size,
        };
        let trailing = 64u8
            .checked_sub(leading + size)
            .ok_or(DecodeError::Invalid("value window is wider than a value"))?;
        Ok(Self { leading, trailing })
    }

    /// Reads what [`Window::put_bits`] wrote.
    pub(crate) fn read_bits(self, reader: &mut BitReader<'_>) -> Result<u64, DecodeError> {
        if self.leading == NO_WINDOW {
            return Err(DecodeError::Invalid("a value window is used before it is set"));
        }
        Ok(reader.bits(self.size())? << self.trailing)
    }
}

/// A quantity of histogram samples, in the form of its bits.
pub trait Field: Copy + Default {
    /// Appends a count of the first sample.
    fn put_first_count(&mut self, writer: &mut BitWriter, bits: u64);
    /// Appends a bucket of the first sample.
    fn put_first_bucket(&mut self, writer: &mut BitWriter, bits: u64);
    /// Appends a quantity of a later sample.
    fn put_next(&mut self, writer: &mut BitWriter, bits: u64);
    /// Appends a count of a stale marker.
    fn put_stale(&mut self, writer: &mut BitWriter);
    /// Reads what [`Field::put_first_count`] wrote.
    fn read_first_count(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError>;
    /// Reads what [`Field::put_first_bucket`] wrote.
    fn read_first_bucket(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError>;
    /// Reads what [`Field::put_next`] or [`Field::put_stale`] wrote.
    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError>;
    /// The bits of the last sample.
    fn bits(&self) -> u64;
}

/// The bits of a float, XORed with those before.
#[derive(Debug, Clone, Copy, Default)]
pub struct XorField {
    bits: u64,
    window: Window,
}

impl Field for XorField {
    fn put_first_count(&mut self, writer: &mut BitWriter, bits: u64) {
        self.bits = bits;
        writer.bits(bits, 64);
    }

    fn put_first_bucket(&mut self, writer: &mut BitWriter, bits: u64) {
        self.put_first_count(writer, bits);
    }

    fn put_next(&mut self, writer: &mut BitWriter, bits: u64) {
        let xor = bits ^ self.bits;
        self.bits = bits;
        if xor == 0 {
            writer.bit(false);
            return;
        }
        if self.window.fit(xor) {
            writer.bits(0b10, 2);
        } else {
            writer.bits(0b11, 2);
            self.window.put(writer);
        }
        self.window.put_bits(writer, xor);
    }

    fn put_stale(&mut self, writer: &mut BitWriter) {
        self.put_next(writer, 0);
    }

    fn read_first_count(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.bits = reader.bits(64)?;
        Ok(())
    }

    fn read_first_bucket(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.read_first_count(reader)
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        match reader.ones(2)? {
            0 => return Ok(()),
            1 => {}
            _ => self.window = Window::read(reader)?,
        }
        self.bits ^= self.window.read_bits(reader)?;
        Ok(())
    }

    fn bits(&self) -> u64 {
        self.bits
    }
}

/// A 64-bit integer as delta of deltas, modulo 2^64. Counts are unsigned, buckets signed.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeltaField {
    value: u64,
    delta: u64,
}

impl Field for DeltaField {
    fn put_first_count(&mut self, writer: &mut BitWriter, bits: u64) {
        self.value = bits;
        put_varbit_uint(writer, bits);
    }

    fn put_first_bucket(&mut self, writer: &mut BitWriter, bits: u64) {
        self.value = bits;
        put_varbit_int(writer, bits.cast_signed());
    }

    fn put_next(&mut self, writer: &mut BitWriter, bits: u64) {
        let delta = bits.wrapping_sub(self.value);
        put_varbit_int(writer, delta.wrapping_sub(self.delta).cast_signed());
        *self = Self { value: bits, delta };
    }

    fn put_stale(&mut self, writer: &mut BitWriter) {
        put_varbit_int(writer, 0);
    }

    fn read_first_count(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.value = read_varbit_uint(reader)?;
        Ok(())
    }

    fn read_first_bucket(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.value = read_varbit_int(reader)?.cast_unsigned();
        Ok(())
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.delta = self.delta.wrapping_add_signed(read_varbit_int(reader)?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }

    fn bits(&self) -> u64 {
        self.value
    }
}
