//! 32-bit FNV-1, the hash of Mimir's ring tokens (multiply first, then xor).

const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// An FNV-1 state; feed it with [`Fnv1::write`].
#[derive(Debug, Clone, Copy)]
pub struct Fnv1(u32);

impl Default for Fnv1 {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Fnv1 {
    /// Adds `bytes` to the hash.
    #[must_use]
    pub fn write(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.0 = self.0.wrapping_mul(PRIME) ^ u32::from(byte);
        }
        self
    }

    /// The hash of all that was written.
    pub fn finish(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the FNV authors' published test suite for FNV-1 32.
    #[test]
    fn published_vectors() {
        for (input, want) in [("", 0x811c_9dc5), ("a", 0x050c_5d7e), ("foobar", 0x31f0_b262)] {
            assert_eq!(Fnv1::default().write(input.as_bytes()).finish(), want, "{input:?}");
        }
    }
}
