//! The fast decoder of XOR chunks.
//!
//! Two loops share one state. [`Cursor::grid`] guesses that the distance of samples stays the
//! same: the position of the next sample then depends only on the window, so that the processor
//! works on several samples at once. [`Cursor::jitter`] takes the next most frequent class of
//! distances, without a branch that could be mispredicted. All else goes through [`Cursor::rare`].
//! The last bytes of a chunk are decoded from a padded copy, so that the loops can always load
//! eight bytes. Measured by `benches/chunks.rs`.

use model::SampleBuffer;

use super::super::bits::{BitReader, sign_asymmetric};
use crate::error::DecodeError;

/// The most bits that one sample takes: dod 4 + 64, value 13 + 64.
const MAX_SAMPLE_BITS: usize = 145;
/// A sample that starts so many bytes before the end can be decoded without looking at the end:
/// its own bytes and a load of eight bytes at its last bit.
const MARGIN: usize = MAX_SAMPLE_BITS / 8 + 1 + 16;
/// Bytes of the padded copy of the end of a chunk.
const TAIL_LEN: usize = 3 * MARGIN;
/// After so many equal distances in a row [`Cursor::jitter`] gives up.
const GRID_RUN: u32 = 8;

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
    super::super::check_order(out.float_times.last().copied(), t)?;
    out.float_times.push(t);
    out.float_values.push(f64::from_bits(value));
    if count == 1 {
        return Ok(());
    }
    let delta = reader.uvarint()?;
    if count - 2 > reader.remaining() / 2 {
        return Err(DecodeError::Truncated);
    }
    let mut cursor = Cursor {
        position: body.len() * 8 - reader.remaining(),
        t: t.wrapping_add_unsigned(delta),
        delta,
        value,
        window: Window::default(),
        disorder: delta.cast_signed() <= 0 || t.checked_add_unsigned(delta).is_none(),
    };
    cursor.second(body)?;
    let base = out.float_times.len();
    out.float_times.resize(base + count - 1, 0);
    out.float_values.resize(base + count - 1, 0.0);
    let (times, values) = (&mut out.float_times[base..], &mut out.float_values[base..]);
    times[0] = cursor.t;
    values[0] = f64::from_bits(cursor.value);
    cursor.rest(body, &mut times[1..], &mut values[1..])?;
    if cursor.disorder {
        return Err(DecodeError::Invalid("timestamps do not ascend"));
    }
    Ok(())
}

/// Which bits of a value differ from the value before.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// The number of bits. 0 before the first window: nothing differs then.
    size: u32,
    trailing: u32,
}

/// Where the decoder stands: the position of the next sample in bits, and the sample before it.
struct Cursor {
    position: usize,
    t: i64,
    delta: u64,
    value: u64,
    window: Window,
    /// Whether a timestamp was not later than the one before.
    disorder: bool,
}

/// The 57 or more bits at `position`, from the highest bit on. There must be eight bytes.
#[inline]
fn load(data: &[u8], position: usize) -> u64 {
    let start = position / 8;
    let bytes: [u8; 8] = data[start..start + 8].try_into().expect("the slice has 8 bytes");
    u64::from_be_bytes(bytes) << (position % 8)
}

/// The `count` bits (1 to 64) at `position`.
#[inline]
fn load_bits(data: &[u8], position: usize, count: u32) -> u64 {
    if count <= 57 {
        return load(data, position) >> (64 - count);
    }
    let high = load(data, position) >> 32;
    let low = load(data, position + 32) >> 32;
    (high << 32 | low) >> (64 - count)
}

impl Cursor {
    /// The value of the second sample, which has no control bits for its time.
    fn second(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let start = self.position / 8;
        let mut padded = [0u8; TAIL_LEN];
        let len = (body.len() - start).min(TAIL_LEN / 2);
        padded[..len].copy_from_slice(&body[start..start + len]);
        let moved = start * 8;
        self.position -= moved;
        self.value_at(&padded)?;
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
            done = self.run(body, end, times, values)?;
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
        let done = self.run(&padded, end, times, values)?;
        if done < times.len() || self.position > end {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Decodes samples that start before bit `end`, as many as there is place for, and returns
    /// their number.
    fn run(
        &mut self,
        data: &[u8],
        end: usize,
        times: &mut [i64],
        values: &mut [f64],
    ) -> Result<usize, DecodeError> {
        let count = times.len();
        let mut done = 0;
        loop {
            done += self.grid(data, end, &mut times[done..], &mut values[done..])?;
            if done == count || self.position >= end {
                return Ok(done);
            }
            done += self.jitter(data, end, &mut times[done..], &mut values[done..])?;
        }
    }

    /// Decodes samples as long as their distance stays the same.
    #[inline]
    fn grid(
        &mut self,
        data: &[u8],
        end: usize,
        times: &mut [i64],
        values: &mut [f64],
    ) -> Result<usize, DecodeError> {
        let mut done = 0;
        for (time, value) in times.iter_mut().zip(values) {
            if self.position >= end {
                break;
            }
            let word = load(data, self.position);
            if word >> 63 != 0 {
                break;
            }
            self.position += 1;
            self.step_time();
            self.step_value(data, word << 1)?;
            *time = self.t;
            *value = f64::from_bits(self.value);
            done += 1;
        }
        Ok(done)
    }

    /// Decodes samples whose distance changes by at most 14 bits; other changes through
    /// [`Cursor::rare`].
    #[inline]
    fn jitter(
        &mut self,
        data: &[u8],
        end: usize,
        times: &mut [i64],
        values: &mut [f64],
    ) -> Result<usize, DecodeError> {
        let mut done = 0;
        let mut equal_run = 0;
        for (time, value) in times.iter_mut().zip(values) {
            if self.position >= end || equal_run == GRID_RUN {
                break;
            }
            let word = load(data, self.position);
            if word >> 62 == 0b11 {
                self.rare(data, word);
                self.value_at(data)?;
            } else {
                let changed = word >> 63;
                let mask = changed.wrapping_neg();
                let bits = word << 2 >> 50;
                let dod = (bits.wrapping_sub(1) << 50).cast_signed() >> 50;
                self.delta = self.delta.wrapping_add((dod + 1).cast_unsigned() & mask);
                let width = 1 + (mask & 15);
                self.position += width as usize;
                self.step_time();
                self.step_value_after_dod(data, word << width)?;
                equal_run = (equal_run + 1) & !(mask as u32);
            }
            *time = self.t;
            *value = f64::from_bits(self.value);
            done += 1;
        }
        Ok(done)
    }

    #[inline]
    fn step_time(&mut self) {
        let t = self.t.wrapping_add_unsigned(self.delta);
        self.disorder |= t <= self.t;
        self.t = t;
    }

    /// A distance that changes by more than 14 bits; the value is left to the caller.
    #[cold]
    fn rare(&mut self, data: &[u8], word: u64) {
        let (prefix_len, width) = match word >> 60 {
            0b1100 | 0b1101 => (3, 17),
            0b1110 => (4, 20),
            _ => (4, 64),
        };
        let bits = load_bits(data, self.position + prefix_len, width);
        self.position += prefix_len + width as usize;
        self.delta = self.delta.wrapping_add_signed(sign_asymmetric(bits, width));
        self.step_time();
    }

    /// The value at the current position.
    #[inline]
    fn value_at(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        self.step_value(data, load(data, self.position))
    }

    /// The value at the current position; `word` holds 56 or more of its bits.
    #[inline]
    fn step_value(&mut self, data: &[u8], word: u64) -> Result<(), DecodeError> {
        self.step_value_in::<54>(data, word)
    }

    /// The value at the current position; `word` holds 41 or more of its bits.
    #[inline]
    fn step_value_after_dod(&mut self, data: &[u8], word: u64) -> Result<(), DecodeError> {
        self.step_value_in::<39>(data, word)
    }

    /// The value at the current position; `word` holds the control bits and `IN_WORD` more.
    #[inline]
    fn step_value_in<const IN_WORD: u32>(
        &mut self,
        data: &[u8],
        word: u64,
    ) -> Result<(), DecodeError> {
        if word >> 63 == 0 {
            self.position += 1;
            return Ok(());
        }
        if word >> 62 == 0b11 {
            return self.new_window(data);
        }
        let Window { size, trailing } = self.window;
        let bits = if size <= IN_WORD {
            // A size of 0, which no writer makes, gives 0.
            (word << 2) >> 1 >> (63 - size)
        } else {
            load_bits(data, self.position + 2, size)
        };
        self.position += 2 + size as usize;
        self.value ^= bits << trailing;
        Ok(())
    }

    fn new_window(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        let word = load(data, self.position);
        let leading = (word >> 57 & 31) as u32;
        let size = match (word >> 51 & 63) as u32 {
            0 => 64,
            size => size,
        };
        let trailing = (64u32.checked_sub(leading + size))
            .ok_or(DecodeError::Invalid("value window is wider than a value"))?;
        self.window = Window { size, trailing };
        self.value ^= load_bits(data, self.position + 13, size) << trailing;
        self.position += 13 + size as usize;
        Ok(())
    }
}
