//! Comparing short strings without a call: label names and values on the write path. Called for
//! every label of a request by `wire` and `tsdb`.

/// Whether both are the same; label strings are short, and a call of `memcmp` costs more
/// than comparing them does (14 % of an append to a series that exists).
#[inline]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let length = a.len();
    if length > 32 || b.len() != length {
        return a == b;
    }
    if length >= 16 {
        return word::<16>(a, 0) == word::<16>(b, 0)
            && word::<16>(a, length - 16) == word::<16>(b, length - 16);
    }
    if length >= 8 {
        return word::<8>(a, 0) == word::<8>(b, 0)
            && word::<8>(a, length - 8) == word::<8>(b, length - 8);
    }
    if length >= 4 {
        return word::<4>(a, 0) == word::<4>(b, 0)
            && word::<4>(a, length - 4) == word::<4>(b, length - 4);
    }
    a.iter().eq(b)
}

#[inline]
fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_at_every_length() {
        for length in 0..70 {
            let a: Vec<u8> = (0..length).map(|i| i as u8).collect();
            assert!(same_bytes(&a, &a.clone()));
            for changed in 0..length {
                let mut b = a.clone();
                b[changed] ^= 1;
                assert!(!same_bytes(&a, &b), "length {length}, byte {changed}");
            }
        }
    }
}
