//! XOR2 chunks: round trips and damaged bytes.

use proptest::prelude::*;

use super::*;

type Sample = (i64, u64, i64);

fn read(data: &[u8]) -> Result<Vec<Sample>, DecodeError> {
    let mut out = SampleBuffer::default();
    super::super::decode(super::super::ChunkEncoding::Xor2, data, &mut out)?;
    let start = |i: usize| out.float_start_times.get(i).copied().unwrap_or(0);
    let samples = out.float_times.iter().zip(&out.float_values).enumerate();
    Ok(samples.map(|(i, (&t, v))| (t, v.to_bits(), start(i))).collect())
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let delta = prop_oneof![
        6 => Just(15_000i64),
        3 => 14_000i64..16_000,
        1 => 1i64..1_000_000,
        1 => 1i64..(1 << 40),
    ];
    let bits = prop_oneof![
        4 => (0u32..100).prop_map(|v| f64::from(v).to_bits()),
        2 => Just(STALE_NAN_BITS),
        1 => any::<u64>(),
    ];
    let start = prop_oneof![4 => Just(0i64), 4 => Just(1_000i64), 1 => 1i64..1_000_000];
    (any::<i32>(), prop::collection::vec((delta, bits, start), 0..300)).prop_map(|(t, steps)| {
        let mut t = i64::from(t);
        let step = |(delta, bits, start)| {
            t += delta;
            (t, bits, start)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #[test]
    fn round_trip(samples in samples()) {
        let mut appender = Xor2Appender::default();
        for &(t, bits, start) in &samples {
            prop_assert!(appender.append(t, f64::from_bits(bits), start));
        }
        prop_assert_eq!(read(appender.bytes()), Ok(samples));
    }

    #[test]
    fn damaged_chunks_do_not_panic(
        samples in samples(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut appender = Xor2Appender::default();
        samples.iter().for_each(|&(t, bits, start)| {
            appender.append(t, f64::from_bits(bits), start);
        });
        let mut data = appender.bytes().to_vec();
        for (at, flip) in flips {
            let at = at.index(data.len());
            data[at] ^= flip;
        }
        let _ = read(&data);
        let _ = read(&data[..cut.index(data.len())]);
    }
}
