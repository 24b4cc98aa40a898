//! Going on with a finished XOR chunk: finds out what an appender must know by reading it.
//!
//! Used when the head takes open chunks over from a snapshot of an earlier process.

use model::TimestampMs;

use super::super::bits::BitReader;
use super::{COUNT_LEN, NO_WINDOW, XorState};
use crate::error::DecodeError;

/// Bits of the classes of deltas of deltas, by the number of ones in front.
const DOD_BITS: [u32; 4] = [0, 14, 17, 20];

/// A chunk that can be appended to.
#[derive(Debug, Clone, Copy)]
pub struct Resumed {
    /// Its state; the chunk's bytes are the first [`XorState::byte_len`] ones.
    pub state: XorState,
    /// The time of its first sample, ms.
    pub first_time: TimestampMs,
    /// The time of the sample whose number (from 1) was asked for; the last one's where there
    /// are fewer, ms.
    pub nth_time: TimestampMs,
}

impl XorState {
    /// The state in which the appender was that finished `chunk`. `nth` asks for the time of one
    /// of its samples. Fails for a chunk that is empty, cut short, or not ascending in time.
    pub fn resume(chunk: &[u8], nth: u16) -> Result<Resumed, DecodeError> {
        let (count, body) = chunk.split_first_chunk::<COUNT_LEN>().ok_or(DecodeError::Truncated)?;
        let count = u16::from_be_bytes(*count);
        if count == 0 {
            return Err(DecodeError::Invalid("a chunk without samples"));
        }
        let mut reader = BitReader::new(body);
        let mut state = Self::new();
        state.t = reader.varint()?;
        state.value_bits = reader.bits(64)?;
        state.count = 1;
        let (first_time, mut nth_time) = (state.t, state.t);
        while state.count < count {
            let t = state.read_time(&mut reader)?;
            if t <= state.t {
                return Err(DecodeError::Invalid("samples of a chunk are out of order"));
            }
            state.t = t;
            state.read_value(&mut reader)?;
            state.count += 1;
            if state.count <= nth {
                nth_time = t;
            }
        }
        let bit_len = chunk.len() * 8 - reader.remaining();
        state.bit_len = u32::try_from(bit_len).map_err(|_| DecodeError::Invalid("chunk size"))?;
        Ok(Resumed { state, first_time, nth_time })
    }

    fn read_time(&mut self, reader: &mut BitReader<'_>) -> Result<TimestampMs, DecodeError> {
        if self.count == 1 {
            self.t_delta = reader.uvarint()?;
        } else {
            let dod = match reader.ones(4)? {
                0 => 0,
                4 => reader.bits(64)?.cast_signed(),
                class => reader.asymmetric(DOD_BITS[class as usize])?,
            };
            self.t_delta = self.t_delta.wrapping_add_signed(dod);
        }
        Ok(self.t.wrapping_add_unsigned(self.t_delta))
    }

    fn read_value(&mut self, reader: &mut BitReader<'_>) -> Result<(), DecodeError> {
        if !reader.bit()? {
            return Ok(());
        }
        if reader.bit()? {
            self.leading = reader.bits(5)? as u8;
            let size = match reader.bits(6)? as u8 {
                0 => 64,
                size => size,
            };
            let trailing = 64u8.checked_sub(self.leading + size);
            self.trailing =
                trailing.ok_or(DecodeError::Invalid("value window is wider than a value"))?;
        }
        if self.leading == NO_WINDOW {
            return Err(DecodeError::Invalid("a value window is used before it is set"));
        }
        let size = 64 - u32::from(self.leading) - u32::from(self.trailing);
        self.value_bits ^= reader.bits(size)? << self.trailing;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{MAX_APPEND_BYTES, encode};
    use super::*;

    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let step = prop_oneof![Just(15_000i64), 1i64..20_000, 1i64..(1 << 40)];
        let value = prop_oneof![Just(1.0f64), (0u32..1000).prop_map(f64::from), any::<f64>()];
        (-1000i64..1 << 41, prop::collection::vec((step, value), 1..200)).prop_map(
            |(start, rest)| {
                let mut t = start;
                rest.into_iter()
                    .map(|(step, value)| {
                        t += step;
                        (t, value)
                    })
                    .collect()
            },
        )
    }

    proptest! {
        #[test]
        fn a_resumed_chunk_goes_on_as_if_it_had_never_ended(samples in samples(), cut in any::<prop::sample::Index>(), nth in 1u16..40) {
            let cut = cut.index(samples.len()) + 1;
            let whole = encode(samples.iter().copied()).unwrap();
            let begun = encode(samples[..cut].iter().copied()).unwrap();
            let resumed = XorState::resume(&begun, nth).unwrap();
            prop_assert_eq!(resumed.first_time, samples[0].0);
            prop_assert_eq!(resumed.nth_time, samples[(nth as usize).min(cut) - 1].0);
            let mut state = resumed.state;
            prop_assert_eq!(state.byte_len(), begun.len());
            prop_assert_eq!(state.last_value().to_bits(), samples[cut - 1].1.to_bits());
            let mut memory = begun;
            for &(t, value) in &samples[cut..] {
                memory.resize(state.byte_len() + MAX_APPEND_BYTES, 0);
                state.append(&mut memory, t, value).unwrap();
            }
            memory.truncate(state.byte_len());
            state.write_count(&mut memory);
            prop_assert_eq!(memory, whole);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(resumed) = XorState::resume(&bytes, 30) {
                prop_assert!(resumed.state.byte_len() <= bytes.len());
            }
        }
    }
}
