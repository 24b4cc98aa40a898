//! XOR2 chunks: encoding 4, floats with cheap stale markers and start timestamps.
//!
//! ```text
//! count be16 | start time header | t0 varint | v0 64 bits | [st] |
//! t1-t0 uvarint | value(v1) | [st] | { joint | [st] }*
//! joint: 0        distance and value as before
//!        10       distance as before, then 0 + bits | 1 + 5 + 6 + bits
//!        110      13 bits delta of deltas, then value
//!        1110     20 bits delta of deltas, then value
//!        11110    64 bits delta of deltas, then value
//!        11111    distance as before, stale
//! value: 0 same | 10 + bits | 110 + 5 + 6 + bits | 111 stale
//! ```
//!
//! Values are compared with the last one that was no stale marker. Deltas of deltas are two's
//! complement. Written where the configuration asks for it, read always.

use model::sample::STALE_NAN_BITS;
use model::{SampleBuffer, TimestampMs};

use super::bits::{BitReader, BitWriter};
use super::field::Window;
use super::start_time::StartTimes;
use crate::error::DecodeError;

/// The most samples of one chunk.
pub const MAX_SAMPLES: u16 = u16::MAX;
/// Bytes before the bit stream: count and start time header.
const HEADER_LEN: usize = 3;

/// Appends the samples of an XOR2 chunk to `out`; see [`super::decode`].
pub fn decode(data: &[u8], out: &mut SampleBuffer) -> Result<(), DecodeError> {
    let (header, body) = data.split_first_chunk::<HEADER_LEN>().ok_or(DecodeError::Truncated)?;
    let [high, low, start_header] = *header;
    let count = u16::from_be_bytes([high, low]);
    let mut cursor = Cursor {
        reader: BitReader::new(body),
        starts: StartTimes::from_header(start_header),
        t: 0,
        delta: 0,
        baseline: 0,
        stale: false,
        window: Window::default(),
    };
    // A sample takes one bit at least.
    if usize::from(count) > cursor.reader.remaining() {
        return Err(DecodeError::Truncated);
    }
    let last_time = out.float_times.last().copied();
    for index in 0..count {
        let (t, bits, start) = cursor.next(index)?;
        super::check_order(last_time, t)?;
        out.push_float_with_start(t, f64::from_bits(bits), start);
    }
    Ok(())
}

struct Cursor<'a> {
    reader: BitReader<'a>,
    starts: StartTimes,
    t: TimestampMs,
    delta: u64,
    /// The last value that was no stale marker.
    baseline: u64,
    stale: bool,
    window: Window,
}

impl Cursor<'_> {
    fn next(&mut self, index: u16) -> Result<(TimestampMs, u64, TimestampMs), DecodeError> {
        if index == 0 {
            return self.first();
        }
        let previous = self.t;
        if index == 1 {
            self.delta = self.reader.uvarint()?;
            self.value()?;
        } else {
            self.joint()?;
        }
        self.t = previous.wrapping_add_unsigned(self.delta);
        if self.t <= previous {
            return Err(DecodeError::Invalid("timestamps do not ascend"));
        }
        let start = self.starts.read(&mut self.reader, index, previous)?;
        Ok((self.t, if self.stale { STALE_NAN_BITS } else { self.baseline }, start))
    }

    fn first(&mut self) -> Result<(TimestampMs, u64, TimestampMs), DecodeError> {
        self.t = self.reader.varint()?;
        let bits = self.reader.bits(64)?;
        if bits != STALE_NAN_BITS {
            self.baseline = bits;
        }
        let start = self.starts.read_first(&mut self.reader, self.t)?;
        Ok((self.t, bits, start))
    }

    fn joint(&mut self) -> Result<(), DecodeError> {
        let width = match self.reader.ones(5)? {
            0 => {
                self.stale = false;
                return Ok(());
            }
            1 => {
                self.stale = false;
                let opens_window = self.reader.bit()?;
                return self.changed(opens_window);
            }
            5 => {
                self.stale = true;
                return Ok(());
            }
            2 => 13,
            3 => 20,
            _ => 64,
        };
        let bits = self.reader.bits(width)?;
        let dod = (bits << (64 - width)).cast_signed() >> (64 - width);
        self.delta = self.delta.wrapping_add_signed(dod);
        self.value()
    }

    fn value(&mut self) -> Result<(), DecodeError> {
        let ones = self.reader.ones(3)?;
        self.stale = ones == 3;
        match ones {
            0 | 3 => Ok(()),
            1 => self.changed(false),
            _ => self.changed(true),
        }
    }

    fn changed(&mut self, opens_window: bool) -> Result<(), DecodeError> {
        if opens_window {
            self.window = Window::read(&mut self.reader)?;
        }
        self.baseline ^= self.window.read_bits(&mut self.reader)?;
        Ok(())
    }
}

/// Writes an XOR2 chunk.
#[derive(Debug, Clone)]
pub struct Xor2Appender {
    writer: BitWriter,
    starts: StartTimes,
    count: u16,
    t: TimestampMs,
    delta: u64,
    baseline: u64,
    window: Window,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self {
            writer: BitWriter::new(vec![0; HEADER_LEN]),
            starts: StartTimes::default(),
            count: 0,
            t: 0,
            delta: 0,
            baseline: 0,
            window: Window::default(),
        }
    }
}

impl Xor2Appender {
    /// Appends a sample, later than the last one; `start` is its start timestamp or 0. Returns
    /// false, and changes nothing, where the chunk holds [`MAX_SAMPLES`].
    pub fn append(&mut self, t: TimestampMs, value: f64, start: TimestampMs) -> bool {
        if self.count == MAX_SAMPLES {
            return false;
        }
        let (bits, previous) = (value.to_bits(), self.t);
        let delta = t.wrapping_sub(previous).cast_unsigned();
        match self.count {
            0 => {
                self.writer.varint(t);
                self.writer.bits(bits, 64);
                if bits != STALE_NAN_BITS {
                    self.baseline = bits;
                }
                self.starts.put_first(&mut self.writer, t, start);
            }
            1 => {
                self.writer.uvarint(delta);
                self.put_value(bits);
            }
            _ => self.put_joint(delta.wrapping_sub(self.delta).cast_signed(), bits),
        }
        if self.count > 0 {
            self.delta = delta;
            self.starts.put(&mut self.writer, self.count, previous, start);
        }
        self.t = t;
        self.count += 1;
        let [high, low] = self.count.to_be_bytes();
        let header = [high, low, self.starts.header()];
        self.writer.bytes_mut()[..HEADER_LEN].copy_from_slice(&header);
        true
    }

    fn put_joint(&mut self, dod: i64, bits: u64) {
        if dod == 0 {
            let xor = bits ^ self.baseline;
            if bits == STALE_NAN_BITS {
                self.writer.bits(0b11111, 5);
            } else if xor == 0 {
                self.writer.bit(false);
            } else {
                self.writer.bits(0b10, 2);
                let fits = self.window.fit(xor);
                self.writer.bit(!fits);
                self.put_changed(bits, fits);
            }
            return;
        }
        let (prefix, prefix_len, width) = match dod {
            -0x1000..0x1000 => (0b110, 3, 13),
            -0x8_0000..0x8_0000 => (0b1110, 4, 20),
            _ => (0b11110, 5, 64),
        };
        self.writer.bits(prefix, prefix_len);
        self.writer.bits(dod.cast_unsigned(), width);
        self.put_value(bits);
    }

    fn put_value(&mut self, bits: u64) {
        let xor = bits ^ self.baseline;
        if bits == STALE_NAN_BITS {
            self.writer.bits(0b111, 3);
        } else if xor == 0 {
            self.writer.bit(false);
        } else {
            let fits = self.window.fit(xor);
            let (prefix, prefix_len) = if fits { (0b10, 2) } else { (0b110, 3) };
            self.writer.bits(prefix, prefix_len);
            self.put_changed(bits, fits);
        }
    }

    fn put_changed(&mut self, bits: u64, fits: bool) {
        if !fits {
            self.window.put(&mut self.writer);
        }
        self.window.put_bits(&mut self.writer, bits ^ self.baseline);
        self.baseline = bits;
    }

    /// The number of samples.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The time of the last sample; 0 where there is none.
    pub fn last_time(&self) -> TimestampMs {
        self.t
    }

    /// The complete chunk as it stands.
    pub fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }
}

#[cfg(test)]
mod tests;
