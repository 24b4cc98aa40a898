//! Deterministic mutations of seeds, for runs without coverage. The same number gives the same
//! input. Called by the smoke test.

/// A small generator of random numbers (splitmix64): the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, below)`; 0 where `below` is 0.
    pub fn below(&mut self, below: usize) -> usize {
        if below == 0 { 0 } else { (self.next_bits() % below as u64) as usize }
    }
}

/// Values that decoders have trouble with.
const HARD_BYTES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, b'(', b'"', 0xc0];

/// One of `seeds` (or nothing, if there are none) after a few random changes.
#[must_use]
pub fn mutated(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seeds.get(numbers.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..numbers.below(4) + 1 {
        change(&mut data, seeds, numbers);
    }
    data
}

fn change(data: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    let at = numbers.below(data.len() + 1);
    match numbers.below(8) {
        0 | 1 if at < data.len() => data[at] ^= 1 << numbers.below(8),
        2 if at < data.len() => data[at] = HARD_BYTES[numbers.below(HARD_BYTES.len())],
        3 => data.insert(at, numbers.next_bits() as u8),
        4 => data.truncate(at),
        5 => {
            let end = (at + numbers.below(16)).min(data.len());
            data.drain(at..end);
        }
        6 => {
            let end = (at + numbers.below(64)).min(data.len());
            let copy = data[at..end].to_vec();
            let to = numbers.below(data.len() + 1);
            data.splice(to..to, copy);
        }
        _ => {
            let other = seeds.get(numbers.below(seeds.len())).map_or(&[][..], Vec::as_slice);
            let from = numbers.below(other.len());
            let end = (from + numbers.below(64)).min(other.len());
            data.splice(at..at, other[from..end].iter().copied());
        }
    }
}
