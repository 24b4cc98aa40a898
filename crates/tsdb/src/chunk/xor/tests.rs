//! XOR chunks against a naive twin and against damaged bytes.

use model::SampleBuffer;
use proptest::prelude::*;

use super::*;
use crate::chunk::bits::{BitReader, BitWriter, sign_asymmetric};

/// The encoder as the format describes it, bit by bit.
fn naive_encode(samples: &[(i64, u64)]) -> Vec<u8> {
    let mut w = BitWriter::default();
    w.bits(samples.len() as u64, 16);
    let (mut t_before, mut delta_before, mut bits_before) = (0i64, 0i64, 0u64);
    let (mut leading, mut trailing) = (0xff, 0);
    for (i, &(t, bits)) in samples.iter().enumerate() {
        let delta = t.wrapping_sub(t_before);
        match i {
            0 => w.varint(t),
            1 => w.uvarint(delta.cast_unsigned()),
            _ => naive_dod(&mut w, delta.wrapping_sub(delta_before)),
        }
        let xor = bits ^ bits_before;
        if i == 0 {
            w.bits(bits, 64);
        } else if xor == 0 {
            w.bit(false);
        } else {
            let (lead, trail) = (xor.leading_zeros().min(31), xor.trailing_zeros());
            w.bit(true);
            if leading != 0xff && lead >= leading && trail >= trailing {
                w.bit(false);
            } else {
                (leading, trailing) = (lead, trail);
                w.bit(true);
                w.bits(u64::from(leading), 5);
                w.bits(u64::from(64 - leading - trailing) % 64, 6);
            }
            w.bits(xor >> trailing, 64 - leading - trailing);
        }
        (t_before, delta_before, bits_before) = (t, delta, bits);
    }
    w.into_bytes()
}

fn naive_dod(w: &mut BitWriter, dod: i64) {
    let bits = dod.cast_unsigned();
    match dod {
        0 => w.bits(0, 1),
        -8191..=8192 => {
            w.bits(0b10, 2);
            w.bits(bits, 14);
        }
        -65535..=65536 => {
            w.bits(0b110, 3);
            w.bits(bits, 17);
        }
        -524_287..=524_288 => {
            w.bits(0b1110, 4);
            w.bits(bits, 20);
        }
        _ => {
            w.bits(0b1111, 4);
            w.bits(bits, 64);
        }
    }
}

/// The decoder as the format describes it, bit by bit.
fn naive_decode(data: &[u8]) -> Result<Vec<(i64, u64)>, DecodeError> {
    let mut r = BitReader::new(data);
    let count = r.bits(16)?;
    let mut samples: Vec<(i64, u64)> = Vec::new();
    let (mut t, mut delta, mut value) = (0i64, 0u64, 0u64);
    let (mut leading, mut size) = (0u32, 0u32);
    for i in 0..count {
        match i {
            0 => t = r.varint()?,
            1 => delta = r.uvarint()?,
            _ => {
                let width = [0, 14, 17, 20, 64][r.ones(4)? as usize];
                delta = delta.wrapping_add_signed(sign_asymmetric(r.bits(width)?, width.max(1)));
            }
        }
        let previous = t;
        t = t.wrapping_add_unsigned(delta);
        if i == 0 {
            value = r.bits(64)?;
        } else if r.bit()? {
            if r.bit()? {
                leading = r.bits(5)? as u32;
                size = r.bits(6)? as u32;
                size = if size == 0 { 64 } else { size };
            }
            if leading + size > 64 {
                return Err(DecodeError::Invalid("window"));
            }
            let bits = r.bits(size)?;
            value ^= if size == 0 { 0 } else { bits << (64 - leading - size) };
        }
        if i > 0 && t <= previous {
            return Err(DecodeError::Invalid("order"));
        }
        samples.push((t, value));
    }
    Ok(samples)
}

fn fast_decode(data: &[u8]) -> Result<Vec<(i64, u64)>, DecodeError> {
    let mut out = SampleBuffer::default();
    let result = decode(data, &mut out);
    let times = out.float_times.iter().copied();
    let samples: Vec<_> = times.zip(out.float_values.iter().map(|v| v.to_bits())).collect();
    if result.is_err() {
        assert!(samples.is_empty(), "an error leaves nothing behind");
    }
    result.map(|()| samples)
}

/// Deltas of the shapes that real series have, and of all classes.
fn deltas() -> impl Strategy<Value = Vec<i64>> {
    let one = prop_oneof![
        8 => Just(15_000i64),
        4 => 14_990i64..15_010,
        2 => 1i64..20_000,
        1 => 1i64..200_000,
        1 => 1i64..3_000_000,
        1 => 1i64..(1 << 50),
    ];
    let run = (one.clone(), 1usize..30).prop_map(|(d, n)| vec![d; n]);
    let mixed = prop::collection::vec(one, 1..20);
    prop::collection::vec(prop_oneof![run, mixed], 0..8).prop_map(|v| v.concat())
}

fn values(count: usize) -> impl Strategy<Value = Vec<u64>> {
    let one = prop_oneof![
        4 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
        2 => Just(42f64.to_bits()),
        2 => any::<u64>(),
        1 => Just(model::sample::STALE_NAN_BITS),
        2 => (0u32..100_000).prop_map(|v| (f64::from(v) / 100.0).to_bits()),
    ];
    prop::collection::vec(one, count)
}

fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    (any::<i32>(), deltas()).prop_flat_map(|(start, deltas)| {
        values(deltas.len() + 1).prop_map(move |values| {
            let mut t = i64::from(start) * 1000;
            let times = std::iter::once(t).chain(deltas.iter().map(|d| {
                t += d;
                t
            }));
            times.zip(values).collect()
        })
    })
}

proptest! {
    #[test]
    fn encoder_and_decoder_equal_their_naive_twins(samples in samples()) {
        let expected = naive_encode(&samples);
        let floats = samples.iter().map(|&(t, bits)| (t, f64::from_bits(bits)));
        prop_assert_eq!(&encode(floats).unwrap(), &expected);
        prop_assert_eq!(naive_decode(&expected), Ok(samples.clone()));
        prop_assert_eq!(fast_decode(&expected), Ok(samples));
    }

    #[test]
    fn damaged_chunks_decode_as_by_the_naive_twin(
        samples in samples(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut data = naive_encode(&samples);
        for (at, flip) in flips {
            let at = at.index(data.len());
            data[at] ^= flip;
        }
        let fast = fast_decode(&data);
        let naive = naive_decode(&data);
        prop_assert_eq!(fast.is_ok(), naive.is_ok(), "{:?} {:?}", fast, naive);
        if naive.is_ok() {
            prop_assert_eq!(fast, naive);
        }
        let cut = &data[..cut.index(data.len())];
        prop_assert_eq!(fast_decode(cut).is_ok(), naive_decode(cut).is_ok());
    }

    #[test]
    fn exact_memory_is_enough_and_less_changes_nothing(samples in samples()) {
        let mut state = XorState::new();
        let mut memory = Vec::new();
        for &(t, bits) in &samples {
            let before = (state.count(), state.byte_len());
            let Err(NoRoom::Bytes(needed)) = state.append(&mut memory, t, f64::from_bits(bits)) else {
                // The sample fits the bits that were left in the last byte.
                prop_assert_eq!(state.byte_len(), before.1);
                continue;
            };
            prop_assert_eq!((state.count(), state.byte_len()), before);
            prop_assert!(needed <= before.1 + MAX_APPEND_BYTES);
            memory.resize(needed, 0xaa);
            prop_assert_eq!(state.append(&mut memory, t, f64::from_bits(bits)), Ok(needed));
        }
        let mut chunk = Vec::new();
        state.copy_to(&memory, &mut chunk);
        prop_assert_eq!(fast_decode(&chunk), Ok(samples));
    }
}

#[test]
fn a_chunk_of_the_largest_size_decodes() {
    let samples: Vec<_> = (0..65_535).map(|i| (i * 15_000, 1.5f64)).collect();
    let data = encode(samples.iter().copied()).unwrap();
    let decoded = fast_decode(&data).unwrap();
    assert_eq!(decoded.len(), 65_535);
    assert_eq!(decoded.last(), Some(&(65_534 * 15_000, 1.5f64.to_bits())));
    assert!(encode(samples.into_iter().chain([(i64::MAX, 1.0)])).is_err());
}

#[test]
fn an_impossible_count_is_refused_before_memory_is_taken() {
    let mut data = naive_encode(&[(0, 0), (1, 1), (2, 2)]);
    data[0] = 0xff;
    assert_eq!(fast_decode(&data), Err(DecodeError::Truncated));
}
