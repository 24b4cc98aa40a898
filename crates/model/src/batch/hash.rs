//! The hash that finds a series in memory: XXH3 over the labels as remote write 1.0 encodes them.
//!
//! A request holds the labels of a series as one run of bytes already (`0A len {0A len name 12
//! len value}` for each label). Where that run is canonical (sorted, shortest varints, no unknown
//! fields) it is hashed as it stands; in all other cases the same bytes are put together first.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Label;

/// Hashes label sets. All hashes of one store must come from hashers with one seed. The seed is
/// random in a server, so that a client cannot aim for collisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesHasher {
    seed: u64,
}

impl SeriesHasher {
    /// A hasher with a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The hash of labels sorted by name.
    pub fn hash(&self, labels: &[Label<'_>]) -> u64 {
        let mut bytes = Vec::with_capacity(512);
        for label in labels {
            push_canonical(&mut bytes, label);
        }
        self.hash_canonical(&bytes)
    }

    /// The hash of labels that are encoded canonically already.
    pub fn hash_canonical(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }
}

/// Appends one label in the canonical encoding: the `labels` field of remote write 1.0's
/// `TimeSeries`.
pub fn push_canonical(out: &mut Vec<u8>, label: &Label<'_>) {
    let body = field_len(label.name.len()) + field_len(label.value.len());
    out.push(0x0a);
    push_varint(out, body);
    out.push(0x0a);
    push_varint(out, label.name.len());
    out.extend_from_slice(label.name.as_bytes());
    out.push(0x12);
    push_varint(out, label.value.len());
    out.extend_from_slice(label.value.as_bytes());
}

/// Bytes of a length-delimited field with a one-byte tag.
fn field_len(payload: usize) -> usize {
    1 + varint_len(payload) + payload
}

fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.max(1).div_ceil(7) as usize
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_protobuf() {
        // Written by hand from the protobuf encoding rules.
        let mut bytes = Vec::new();
        push_canonical(&mut bytes, &Label { name: "a", value: "bc" });
        assert_eq!(bytes, [0x0a, 7, 0x0a, 1, b'a', 0x12, 2, b'b', b'c']);
        let long = "v".repeat(300);
        bytes.clear();
        push_canonical(&mut bytes, &Label { name: "n", value: &long });
        assert_eq!(bytes[..9], [0x0a, 0xb2, 0x02, 0x0a, 1, b'n', 0x12, 0xac, 0x02]);
        assert_eq!(bytes.len(), 3 + 0x132);
    }

    #[test]
    fn labels_and_their_bytes_hash_alike_and_seeds_differ() {
        let labels = [Label { name: "__name__", value: "up" }, Label { name: "job", value: "x" }];
        let mut bytes = Vec::new();
        labels.iter().for_each(|l| push_canonical(&mut bytes, l));
        let hasher = SeriesHasher::new(7);
        assert_eq!(hasher.hash(&labels), hasher.hash_canonical(&bytes));
        assert_ne!(hasher.hash(&labels), SeriesHasher::new(8).hash(&labels));
    }
}
