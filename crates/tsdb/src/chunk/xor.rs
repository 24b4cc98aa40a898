//! XOR chunks: encoding 1, floats.
//!
//! The head appends through [`XorState`], which keeps next to nothing and writes into memory that
//! the caller owns. Readers call [`decode`].
//!
//! ```text
//! count be16 | t0 varint | v0 64 bits | t1-t0 uvarint | xor(v1) | { dod | xor(v) }*
//! dod: 0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64          (asymmetric ranges)
//! xor: 0 same | 10 + bits in the window before | 11 + 5 leading + 6 size + bits
//! ```

mod decode;
mod resume;

pub use decode::decode;
pub use resume::Resumed;

use model::TimestampMs;

use super::bits::fits_asymmetric;
use crate::encoding::{MAX_VARINT_LEN64, write_uvarint, zigzag};
use crate::error::DecodeError;

/// The most bytes by which one [`XorState::append`] lengthens a chunk.
pub const MAX_APPEND_BYTES: usize = 20;

/// The most samples of one chunk.
pub const MAX_SAMPLES: u16 = u16::MAX;

/// The leading zeros of a writer that has written no window yet.
const NO_WINDOW: u8 = 0xff;

/// Length of the sample count at the start of a chunk, bytes.
const COUNT_LEN: usize = 2;

/// What appending to an open XOR chunk needs to know; 32 bytes. The chunk's bytes belong to the
/// caller, who hands the same memory (or a copy of it) to each call.
///
/// The sample count at the start of the chunk is not kept up to date, so that an append touches
/// only the end of the chunk: see [`XorState::write_count`].
#[derive(Debug, Clone, Copy)]
pub struct XorState {
    t: TimestampMs,
    t_delta: u64,
    value_bits: u64,
    /// Length of the chunk in bits.
    bit_len: u32,
    count: u16,
    leading: u8,
    trailing: u8,
}

/// Why a sample was not appended; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The memory is too small: hand in at least this many bytes, the chunk at their start.
    Bytes(usize),
    /// The chunk holds [`MAX_SAMPLES`].
    Samples,
}

impl Default for XorState {
    fn default() -> Self {
        Self::new()
    }
}

impl XorState {
    /// The state of a chunk without samples.
    pub fn new() -> Self {
        Self {
            t: 0,
            t_delta: 0,
            value_bits: 0,
            bit_len: COUNT_LEN as u32 * 8,
            count: 0,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    /// The number of samples.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The length of the chunk in bytes.
    pub fn byte_len(&self) -> usize {
        self.bit_len.div_ceil(8) as usize
    }

    /// The time of the last sample; 0 where there is none.
    pub fn last_time(&self) -> TimestampMs {
        self.t
    }

    /// The value of the last sample; 0 where there is none.
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }

    /// Appends a sample, later than the last one, to the chunk at the start of `memory`, and
    /// returns the new length of the chunk in bytes. Bytes behind the chunk may be overwritten.
    #[inline]
    pub fn append(
        &mut self,
        memory: &mut [u8],
        t: TimestampMs,
        value: f64,
    ) -> Result<usize, NoRoom> {
        if self.count < 2 {
            return self.append_first_two(memory, t, value.to_bits());
        }
        debug_assert!(t > self.t, "samples must ascend in time");
        let t_delta = t.wrapping_sub(self.t).cast_unsigned();
        let dod = t_delta.wrapping_sub(self.t_delta).cast_signed();
        let field = ValueField::new(self, value.to_bits());
        let (prefix, prefix_len) = dod_prefix(dod);
        let bit_len = self.bit_len + prefix_len + field.len();
        let byte_len = bit_len.div_ceil(8) as usize;
        if byte_len > memory.len() {
            return Err(NoRoom::Bytes(byte_len));
        }
        if self.count == MAX_SAMPLES {
            return Err(NoRoom::Samples);
        }
        let position = self.bit_len as usize;
        if prefix_len + field.len() <= 56 {
            let bits = prefix << field.len() | field.head << field.tail_len | field.tail;
            put_bits(memory, position, bits, prefix_len + field.len());
        } else {
            self.put_long(memory, (prefix, prefix_len, dod), &field);
        }
        self.t = t;
        self.t_delta = t_delta;
        self.commit(value.to_bits(), &field, bit_len);
        Ok(byte_len)
    }

    /// Writes fields that do not fit one word together. `dod` is the prefix with its bits if they
    /// fit 64, their length, and the number itself.
    fn put_long(&self, memory: &mut [u8], dod: (u64, u32, i64), field: &ValueField) {
        let (prefix, prefix_len, dod) = dod;
        let mut position = self.bit_len as usize;
        if prefix_len > 64 {
            put_bits(memory, position, 0b1111, 4);
            put_bits(memory, position + 4, dod.cast_unsigned(), 64);
        } else {
            put_bits(memory, position, prefix, prefix_len);
        }
        position += prefix_len as usize;
        field.put(memory, position);
    }

    #[cold]
    fn append_first_two(
        &mut self,
        memory: &mut [u8],
        t: TimestampMs,
        bits: u64,
    ) -> Result<usize, NoRoom> {
        let first = self.count == 0;
        let t_delta = if first { 0 } else { t.wrapping_sub(self.t).cast_unsigned() };
        let mut varint = [0u8; MAX_VARINT_LEN64];
        let len = write_uvarint(&mut varint, if first { zigzag(t) } else { t_delta });
        let field = if first { ValueField::whole(bits) } else { ValueField::new(self, bits) };
        let bit_len = self.bit_len + len as u32 * 8 + field.len();
        let byte_len = bit_len.div_ceil(8) as usize;
        if byte_len > memory.len() {
            return Err(NoRoom::Bytes(byte_len));
        }
        let start = self.byte_len();
        memory[start..start + len].copy_from_slice(&varint[..len]);
        field.put(memory, (start + len) * 8);
        self.t = t;
        self.t_delta = t_delta;
        self.commit(bits, &field, bit_len);
        Ok(byte_len)
    }

    #[inline]
    fn commit(&mut self, value_bits: u64, field: &ValueField, bit_len: u32) {
        self.value_bits = value_bits;
        self.leading = field.leading;
        self.trailing = field.trailing;
        self.bit_len = bit_len;
        self.count += 1;
    }

    /// Writes the sample count to the start of the chunk, which completes its bytes:
    /// `memory[..byte_len]` can be stored and decoded then, and further samples be appended.
    pub fn write_count(&self, memory: &mut [u8]) {
        if let Some(start) = memory.first_chunk_mut::<COUNT_LEN>() {
            *start = self.count.to_be_bytes();
        }
    }

    /// Appends a copy of the complete chunk to `out`. `memory` is what was appended to.
    pub fn copy_to(&self, memory: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&memory[..self.byte_len()]);
        self.write_count(&mut out[start..]);
    }
}

/// The value of a sample as it is going to be written: `head` (control bits and window), then
/// `tail` (the bits that differ), and the window afterwards.
struct ValueField {
    head: u64,
    head_len: u32,
    tail: u64,
    tail_len: u32,
    leading: u8,
    trailing: u8,
}

impl ValueField {
    #[inline]
    fn new(state: &XorState, bits: u64) -> Self {
        let (leading, trailing) = (state.leading, state.trailing);
        let xor = bits ^ state.value_bits;
        if xor == 0 {
            return Self { head: 0, head_len: 1, tail: 0, tail_len: 0, leading, trailing };
        }
        let new_leading = (xor.leading_zeros() as u8).min(31);
        let new_trailing = xor.trailing_zeros() as u8;
        if new_leading >= leading && new_trailing >= trailing && leading != NO_WINDOW {
            let tail_len = 64 - u32::from(leading) - u32::from(trailing);
            return Self {
                head: 0b10,
                head_len: 2,
                tail: xor >> trailing,
                tail_len,
                leading,
                trailing,
            };
        }
        let tail_len = 64 - u32::from(new_leading) - u32::from(new_trailing);
        Self {
            // A size of 64 is stored as 0.
            head: 0b11 << 11 | u64::from(new_leading) << 6 | u64::from(tail_len & 63),
            head_len: 13,
            tail: xor >> new_trailing,
            tail_len,
            leading: new_leading,
            trailing: new_trailing,
        }
    }

    /// The 64 bits of the first value.
    fn whole(bits: u64) -> Self {
        Self { head: 0, head_len: 0, tail: bits, tail_len: 64, leading: NO_WINDOW, trailing: 0 }
    }

    #[inline]
    fn len(&self) -> u32 {
        self.head_len + self.tail_len
    }

    fn put(&self, memory: &mut [u8], position: usize) {
        put_bits(memory, position, self.head, self.head_len);
        put_bits(memory, position + self.head_len as usize, self.tail, self.tail_len);
    }
}

/// The prefix code of a delta of deltas together with its bits, and the length of both; for the
/// longest class (length 68) the bits do not fit and are left to the caller.
#[inline]
fn dod_prefix(dod: i64) -> (u64, u32) {
    let bits = dod.cast_unsigned();
    if dod == 0 {
        (0, 1)
    } else if fits_asymmetric(dod, 14) {
        (0b10 << 14 | bits & 0x3fff, 16)
    } else if fits_asymmetric(dod, 17) {
        (0b110 << 17 | bits & 0x1_ffff, 20)
    } else if fits_asymmetric(dod, 20) {
        (0b1110 << 20 | bits & 0xf_ffff, 24)
    } else {
        (0b1111, 68)
    }
}

/// Writes the low `count` bits (0 to 64) of `value` at bit `position` of `memory`, which is long
/// enough for them. Bits before stay, bits behind in the same byte become 0.
#[inline]
fn put_bits(memory: &mut [u8], position: usize, value: u64, count: u32) {
    if count == 0 {
        return;
    }
    let (byte, offset) = (position / 8, (position % 8) as u32);
    let kept = u64::from(memory[byte] & !(0xff >> offset)) << 56;
    let aligned = value << (64 - count);
    let word = kept | aligned >> offset;
    if offset + count <= 64
        && let Some(place) = memory.get_mut(byte..byte + 8)
    {
        place.copy_from_slice(&word.to_be_bytes());
        return;
    }
    let whole = (offset + count).div_ceil(8) as usize;
    memory[byte..byte + whole.min(8)].copy_from_slice(&word.to_be_bytes()[..whole.min(8)]);
    if whole > 8 {
        memory[byte + 8] = (aligned << (8 - offset)) as u8;
    }
}

/// Encodes `samples`, ascending in time, as one chunk; for compaction, tools and tests.
pub fn encode(
    samples: impl IntoIterator<Item = (TimestampMs, f64)>,
) -> Result<Vec<u8>, DecodeError> {
    let mut state = XorState::new();
    let mut memory = vec![0u8; 128];
    for (t, value) in samples {
        if memory.len() < state.byte_len() + MAX_APPEND_BYTES {
            memory.resize(memory.len() * 2, 0);
        }
        state
            .append(&mut memory, t, value)
            .map_err(|_| DecodeError::Invalid("too many samples for one chunk"))?;
    }
    memory.truncate(state.byte_len());
    state.write_count(&mut memory);
    Ok(memory)
}

#[cfg(test)]
mod tests;
