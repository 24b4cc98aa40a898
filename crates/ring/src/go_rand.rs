//! The sequence of Go's `math/rand` source, which shuffle sharding is defined by.
//!
//! Called by `shuffle` alone. Not a source of randomness: the same seed gives the same numbers on
//! every machine, for ever.
//!
//! The generator adds two of the last 607 numbers: `x[n] = x[n-607] + x[n-273]` modulo 2^64. Go
//! begins it with a seeded vector xor-ed with a constant one: the generator's own state after
//! 7.8e12 steps from seed 1. That state is found here by jumping ahead, not kept as a table:
//! `x[N]` is a linear combination of the first 607 numbers, whose coefficients are those of
//! `y^N mod (y^607 - y^334 - 1)`.

use std::sync::OnceLock;

const LENGTH: usize = 607;
/// How far back the nearer of both summands stands.
const TAP: usize = 273;
/// Steps that the constant vector was advanced by.
const COOKED_STEPS: u64 = 7_800_000_000_000;
/// The modulus of the small generator that seeds the large one.
const SMALL_MODULUS: i64 = (1 << 31) - 1;

/// What `rand.New(rand.NewSource(seed))` of Go is.
#[derive(Debug, Clone)]
pub(crate) struct GoRand {
    state: Vec<u64>,
    tap: usize,
    feed: usize,
}

impl GoRand {
    /// The generator with a seed.
    pub(crate) fn new(seed: i64) -> Self {
        let state = seeded(seed, [40, 20, 0]);
        let state = state.iter().zip(cooked()).map(|(seeded, cooked)| seeded ^ cooked).collect();
        Self { state, tap: 0, feed: LENGTH - TAP }
    }

    /// Go's `Uint64`.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.tap = before(self.tap);
        self.feed = before(self.feed);
        let next = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = next;
        next
    }

    /// Go's `Uint32`: the upper half of the 63 bits of its `Int63`.
    pub(crate) fn next_u32(&mut self) -> u32 {
        ((self.next_u64() & (u64::MAX >> 1)) >> 31) as u32
    }
}

fn before(index: usize) -> usize {
    index.checked_sub(1).unwrap_or(LENGTH - 1)
}

/// The start of the large generator: three numbers of the small one in each place.
fn seeded(seed: i64, shifts: [u32; 3]) -> Vec<u64> {
    let mut small = seed % SMALL_MODULUS;
    if small < 0 {
        small += SMALL_MODULUS;
    }
    if small == 0 {
        small = 89_482_311;
    }
    let mut next = || {
        small = small * 48_271 % SMALL_MODULUS;
        small as u64
    };
    for _ in 0..20 {
        next();
    }
    let mut place = || shifts.iter().fold(0, |bits, shift| bits ^ (next() << shift));
    (0..LENGTH).map(|_| place()).collect()
}

/// The constant vector.
fn cooked() -> &'static [u64] {
    static COOKED: OnceLock<Vec<u64>> = OnceLock::new();
    COOKED.get_or_init(|| advance(&seeded(1, [20, 10, 0]), COOKED_STEPS))
}

/// The state vector after so many steps.
fn advance(state: &[u64], steps: u64) -> Vec<u64> {
    // The place of the n-th number, counted from the oldest at the start.
    let place = |n: u64| (LENGTH - TAP + LENGTH - 1 - (n % LENGTH as u64) as usize) % LENGTH;
    let mut numbers: Vec<u64> = (0..LENGTH as u64).map(|n| state[place(n)]).collect();
    for n in LENGTH..2 * LENGTH {
        numbers.push(numbers[n - LENGTH].wrapping_add(numbers[n - TAP]));
    }
    let coefficients = power_of_y(steps);
    let mut advanced = vec![0; LENGTH];
    for ahead in 0..LENGTH {
        let terms = coefficients.iter().zip(&numbers[ahead..]);
        let number = terms.fold(0u64, |sum, (c, x)| sum.wrapping_add(c.wrapping_mul(*x)));
        advanced[place(steps + ahead as u64)] = number;
    }
    // The state's window turns with the steps; Go keeps the vector and starts again at the tap.
    advanced
}

/// `y^exponent` modulo the characteristic polynomial, lowest coefficient first.
fn power_of_y(exponent: u64) -> Vec<u64> {
    let mut power = vec![0u64; LENGTH];
    power[0] = 1;
    for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
        power = square(&power);
        if exponent >> bit & 1 == 1 {
            power.insert(0, 0);
            reduce(&mut power);
        }
    }
    power
}

fn square(a: &[u64]) -> Vec<u64> {
    let mut product = vec![0u64; 2 * LENGTH - 1];
    for (i, &x) in a.iter().enumerate() {
        if x != 0 {
            for (place, &y) in product[i..].iter_mut().zip(a) {
                *place = place.wrapping_add(x.wrapping_mul(y));
            }
        }
    }
    reduce(&mut product);
    product
}

/// Replaces `y^n` by `y^(n-273) + y^(n-607)` from the highest power on.
fn reduce(polynomial: &mut Vec<u64>) {
    for n in (LENGTH..polynomial.len()).rev() {
        let highest = polynomial[n];
        polynomial[n - TAP] = polynomial[n - TAP].wrapping_add(highest);
        polynomial[n - LENGTH] = polynomial[n - LENGTH].wrapping_add(highest);
    }
    polynomial.truncate(LENGTH);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed, two `Uint64`, a `Uint32` and an `Int63` in a row, and a `Uint64` after 2,000 more:
    /// printed by Go.
    const PRINTED_BY_GO: &[(i64, [u64; 2], u32, u64, u64)] = &[
        (
            0,
            [8717895732742165505, 2259404117704393152],
            2817310706,
            501233450539197794,
            11679646576618234358,
        ),
        (
            1,
            [5577006791947779410, 8674665223082153551],
            2854263694,
            4037200794235010051,
            126201787089217298,
        ),
        (
            42,
            [12663951391086054483, 9832119173398632219],
            2594563336,
            1926012586526624009,
            11483818439564878699,
        ),
        (
            -7,
            [9970479060831305739, 16308104968817794534],
            3257634980,
            814608651260322299,
            15777835162589168984,
        ),
        (
            -4611686018427387904,
            [12868334305193165484, 9773543399016688047],
            1440782448,
            5185619287625335803,
            18300486104181577925,
        ),
    ];

    #[test]
    fn the_sequence_is_that_of_go() {
        for &(seed, first, uint32, int63, later) in PRINTED_BY_GO {
            let mut random = GoRand::new(seed);
            assert_eq!([random.next_u64(), random.next_u64()], first, "seed {seed}");
            assert_eq!(random.next_u32(), uint32, "seed {seed}");
            assert_eq!(random.next_u64() & (u64::MAX >> 1), int63, "seed {seed}");
            for _ in 0..2000 {
                random.next_u64();
            }
            assert_eq!(random.next_u64(), later, "seed {seed}");
        }
    }

    #[test]
    fn jumping_ahead_is_stepping() {
        let start = seeded(1, [20, 10, 0]);
        for steps in [0u64, 1, 606, 607, 608, 5000] {
            let mut stepped = GoRand { state: start.clone(), tap: 0, feed: LENGTH - TAP };
            for _ in 0..steps {
                stepped.next_u64();
            }
            assert_eq!(advance(&start, steps), stepped.state, "{steps} steps");
        }
    }
}
