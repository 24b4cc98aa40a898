//! Chunks of one series that are not in order of time, or overlap: divided into layers, each of
//! which is in order and without overlaps, so that readers of the layers can be merged.
//!
//! Prometheus and Mimir read blocks that hold such chunks, and a store-gateway that answers for
//! several blocks sends them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::{SampleReader, TimestampMs};

use super::MergeSamples;

/// Whether each chunk begins after the one before has ended. `times` are of the first and the
/// last sample of a chunk.
pub fn are_in_order<T>(chunks: &[T], times: impl Fn(&T) -> (TimestampMs, TimestampMs)) -> bool {
    chunks.windows(2).all(|pair| times(&pair[0]).1 < times(&pair[1]).0)
}

/// A reader of all samples of `chunks`, in order of time: `reader` makes one of chunks that are in
/// order. Of samples with the same time any one counts.
pub fn read_in_order<T, E>(
    chunks: Vec<T>,
    times: impl Fn(&T) -> (TimestampMs, TimestampMs),
    mut reader: impl FnMut(Vec<T>) -> Result<Box<dyn SampleReader>, E>,
) -> Result<Box<dyn SampleReader>, E> {
    if are_in_order(&chunks, &times) {
        return reader(chunks);
    }
    let layers = layers(chunks, times).into_iter();
    Ok(Box::new(MergeSamples::new(layers.map(reader).collect::<Result<_, _>>()?)))
}

/// The chunks in as few layers as there are.
fn layers<T>(mut chunks: Vec<T>, times: impl Fn(&T) -> (TimestampMs, TimestampMs)) -> Vec<Vec<T>> {
    chunks.sort_by_key(&times);
    let mut layers: Vec<Vec<T>> = Vec::new();
    // When each layer ends; the one that ends first is on top.
    let mut ends: BinaryHeap<Reverse<(TimestampMs, usize)>> = BinaryHeap::new();
    for chunk in chunks {
        let (min, max) = times(&chunk);
        match ends.peek() {
            Some(&Reverse((end, layer))) if end < min => {
                ends.pop();
                ends.push(Reverse((max, layer)));
                layers[layer].push(chunk);
            }
            _ => {
                ends.push(Reverse((max, layers.len())));
                layers.push(vec![chunk]);
            }
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[(i64, i64)], want: &[&[(i64, i64)]]) {
        assert_eq!(layers(chunks.to_vec(), |chunk| *chunk), want, "{chunks:?}");
    }

    #[test]
    fn layers_are_in_order_and_as_few_as_possible() {
        check(&[], &[]);
        check(&[(1, 5), (6, 9)], &[&[(1, 5), (6, 9)]]);
        check(&[(6, 9), (1, 5)], &[&[(1, 5), (6, 9)]]);
        check(&[(1, 5), (5, 9)], &[&[(1, 5)], &[(5, 9)]]);
        let nested = [(0, 100), (1, 5), (6, 9), (10, 200), (101, 102)];
        check(&nested, &[&[(0, 100), (101, 102)], &[(1, 5), (6, 9), (10, 200)]]);
        assert!(are_in_order(&[(1, 5), (6, 9)], |chunk| *chunk));
        assert!(!are_in_order(&[(1, 6), (6, 9)], |chunk| *chunk));
    }
}
