//! Randomness seeded by the operating system. Not for secrets.

use model::Random;
use model::env::SeededRandom;
use rand::TryRngCore;

/// A fast generator whose seed comes from the operating system.
#[derive(Debug)]
pub struct SystemRandom(SeededRandom);

impl SystemRandom {
    /// A generator with a seed of its own; fails where the system has no randomness.
    pub fn new() -> Result<Self, std::io::Error> {
        let seed = rand::rngs::OsRng.try_next_u64().map_err(std::io::Error::other)?;
        Ok(Self(SeededRandom::new(seed)))
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        self.0.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generators_differ() {
        let draw = || SystemRandom::new().unwrap().next_u64();
        assert!((0..4).any(|_| draw() != draw()));
    }
}
