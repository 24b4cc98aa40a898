//! The fast decoder of XOR chunks.
//!
//! The loop in [`Cursor::run`] works on a copy of the cursor in registers and follows the
//! frequent classes by branches: where the processor guesses them right, the position of the next
//! sample depends on the window alone and several samples are decoded at once. Computing all
//! classes and selecting among them was slower, also for timestamps that jitter. Order of time
//! and validity of windows are gathered as bits and looked at once, at the end. The last bytes of
//! a chunk are decoded from a padded copy, so that the loop can always load eight bytes. Measured
//! by `benches/chunks.rs`.

use model::SampleBuffer;

use super::super::bits::{BitReader, sign_asymmetric};
use super::super::check_order;
use crate::error::DecodeError;

/// The most bits that one sample takes: dod 4 + 64, value 13 + 64.
const MAX_SAMPLE_BITS: usize = 145;
/// A sample that starts so many bytes before the end can be decoded without looking at the end:
/// its own bytes and a load of eight bytes at its last bit.
const MARGIN: usize = MAX_SAMPLE_BITS / 8 + 1 + 16;
/// Bytes of the padded copy of the end of a chunk.
const TAIL_LEN: usize = 3 * MARGIN;
/// Distances below this cannot make times overflow: 65,535 of them and a start below it.
const SAFE_BITS: u32 = 46;

/// Appends the samples of an XOR chunk to `out`; see [`super::super::decode`].
pub fn decode(data: &[u8], out: &mut SampleBuffer) -> Result<(), DecodeError> {
    let base = out.float_times.len();
    let result = decode_columns(data, out);
    if result.is_err() {
        out.float_times.truncate(base);
        out.float_values.truncate(base);
    } else if !out.float_start_times.is_empty() {
        out.float_start_times.resize(out.float_times.len(), 0);
    }
    result
}

fn decode_columns(data: &[u8], out: &mut SampleBuffer) -> Result<(), DecodeError> {
    let (header, body) = data.split_first_chunk::<2>().ok_or(DecodeError::Truncated)?;
    let count = usize::from(u16::from_be_bytes(*header));
    if count == 0 {
        return Ok(());
    }
    let mut reader = BitReader::new(body);
    let t = reader.varint()?;
    let value = reader.bits(64)?;
    check_order(out.float_times.last().copied(), t)?;
    let base = out.float_times.len();
    out.float_times.push(t);
    out.float_values.push(f64::from_bits(value));
    if count == 1 {
        return Ok(());
    }
    let delta = reader.uvarint()?;
    if count - 2 > reader.remaining() / 2 {
        return Err(DecodeError::Truncated);
    }
    let mut cursor = Cursor::new(body.len() * 8 - reader.remaining(), (t, delta), value);
    cursor.second(body)?;
    out.float_times.resize(base + count, 0);
    out.float_values.resize(base + count, 0.0);
    let (times, values) = (&mut out.float_times[base + 1..], &mut out.float_values[base + 1..]);
    times[0] = cursor.t;
    values[0] = f64::from_bits(cursor.value);
    cursor.rest(body, &mut times[1..], &mut values[1..])?;
    cursor.check(&out.float_times[base..])
}

/// Where the decoder stands: the position of the next sample in bits, and the sample before it.
#[derive(Clone, Copy)]
struct Cursor {
    position: usize,
    t: i64,
    delta: u64,
    value: u64,
    /// Bits of a value that differ from the value before. 0 before the first window.
    size: u32,
    /// Bits behind them.
    trailing: u32,
    /// All `trailing`s joined: above 64 where one of them was negative.
    all_trailing: u32,
    /// All distances, less 1, joined: no high bit is set where all were positive and small.
    all_deltas: u64,
}

/// The 57 or more bits at `position`, from the highest bit on. There must be eight bytes.
#[inline(always)]
fn load(data: &[u8], position: usize) -> u64 {
    let start = position / 8;
    let bytes: [u8; 8] = data[start..start + 8].try_into().expect("the slice has 8 bytes");
    u64::from_be_bytes(bytes) << (position % 8)
}

/// The `count` bits (0 to 64) at `position`.
#[inline(always)]
fn load_bits(data: &[u8], position: usize, count: u32) -> u64 {
    if count <= 57 {
        return load(data, position) >> 1 >> (63 - count);
    }
    let high = load(data, position) >> 32;
    let low = load(data, position + 32) >> 32;
    (high << 32 | low) >> (64 - count)
}

impl Cursor {
    /// Before the value of the second sample, which is `delta` later than the first one.
    fn new(position: usize, (t, delta): (i64, u64), value: u64) -> Self {
        // A start far from 0 is treated like a large distance: times are compared one by one.
        let far = t.unsigned_abs() >> (SAFE_BITS + 16) << SAFE_BITS;
        Self {
            position,
            t: t.wrapping_add_unsigned(delta),
            delta,
            value,
            size: 0,
            trailing: 0,
            all_trailing: 0,
            all_deltas: delta.wrapping_sub(1) | far,
        }
    }

    /// The value of the second sample, which has no control bits for its time.
    fn second(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let start = self.position / 8;
        let mut padded = [0u8; TAIL_LEN];
        let len = (body.len() - start).min(TAIL_LEN / 2);
        padded[..len].copy_from_slice(&body[start..start + len]);
        let moved = start * 8;
        self.position -= moved;
        self.step_value::<56>(&padded, load(&padded, self.position));
        self.position += moved;
        if self.position > body.len() * 8 { Err(DecodeError::Truncated) } else { Ok(()) }
    }

    /// Decodes the third and all later samples.
    fn rest(
        &mut self,
        body: &[u8],
        times: &mut [i64],
        values: &mut [f64],
    ) -> Result<(), DecodeError> {
        let mut done = 0;
        if body.len() > MARGIN {
            let end = (body.len() - MARGIN) * 8;
            done = self.run(body, end, times, values);
            if done == times.len() {
                return Ok(());
            }
        }
        let (times, values) = (&mut times[done..], &mut values[done..]);
        let start = self.position / 8;
        let mut padded = [0u8; TAIL_LEN];
        let len = body.len() - start;
        debug_assert!(len <= MARGIN, "the rest fits the padded copy with a margin behind");
        padded[..len].copy_from_slice(&body[start..]);
        self.position %= 8;
        let end = len * 8;
        let done = self.run(&padded, end, times, values);
        if done < times.len() || self.position > end {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Decodes samples that start before bit `end`, as many as there is place for, and returns
    /// their number.
    fn run(&mut self, data: &[u8], end: usize, times: &mut [i64], values: &mut [f64]) -> usize {
        let mut cursor = *self;
        let mut done = 0;
        for (time, value) in times.iter_mut().zip(values) {
            if cursor.position >= end {
                break;
            }
            let word = load(data, cursor.position);
            if word >> 63 == 0 {
                cursor.position += 1;
                cursor.t = cursor.t.wrapping_add_unsigned(cursor.delta);
                cursor.step_value::<56>(data, word << 1);
            } else if word >> 62 == 0b10 {
                cursor.position += 16;
                cursor.step_time(word << 2 >> 50, 14);
                cursor.step_value::<41>(data, word << 16);
            } else {
                cursor = cursor.rare_time(data, word);
                cursor.step_value::<56>(data, load(data, cursor.position));
            }
            *time = cursor.t;
            *value = f64::from_bits(cursor.value);
            done += 1;
        }
        *self = cursor;
        done
    }

    /// A distance that changes by the number that `bits` are in the asymmetric range of `width`.
    #[inline(always)]
    fn step_time(&mut self, bits: u64, width: u32) {
        self.delta = self.delta.wrapping_add_signed(sign_asymmetric(bits, width));
        self.all_deltas |= self.delta.wrapping_sub(1);
        self.t = self.t.wrapping_add_unsigned(self.delta);
    }

    /// A distance that changes by more than 14 bits.
    #[cold]
    fn rare_time(mut self, data: &[u8], word: u64) -> Self {
        let (prefix_len, width) = match word >> 60 {
            0b1100 | 0b1101 => (3, 17),
            0b1110 => (4, 20),
            _ => (4, 64),
        };
        let bits = load_bits(data, self.position + prefix_len, width);
        self.position += prefix_len + width as usize;
        self.step_time(bits, width);
        self
    }

    /// The value at the current position; `word` holds `IN_WORD` or more of its bits.
    #[inline(always)]
    fn step_value<const IN_WORD: u32>(&mut self, data: &[u8], word: u64) {
        if word >> 63 == 0 {
            self.position += 1;
            return;
        }
        let bits = if word >> 62 == 0b10 {
            self.position += 2;
            if self.size <= IN_WORD - 2 {
                // A size of 0, which no writer makes, gives 0.
                word << 2 >> 1 >> (63 - self.size)
            } else {
                load_bits(data, self.position, self.size)
            }
        } else {
            let leading = (word >> 57 & 31) as u32;
            // A size of 64 is stored as 0.
            self.size = ((word >> 51) as u32).wrapping_sub(1) % 64 + 1;
            self.trailing = 64u32.wrapping_sub(leading + self.size);
            self.all_trailing |= self.trailing;
            self.position += 13;
            load_bits(data, self.position, self.size)
        };
        self.position += self.size as usize;
        self.value ^= bits.wrapping_shl(self.trailing);
    }

    /// Whether all that was decoded is valid; `times` are all times of the chunk.
    fn check(&self, times: &[i64]) -> Result<(), DecodeError> {
        if self.all_trailing > 64 {
            return Err(DecodeError::Invalid("value window is wider than a value"));
        }
        if self.all_deltas >> SAFE_BITS != 0 && !times.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid("timestamps do not ascend"));
        }
        Ok(())
    }
}
