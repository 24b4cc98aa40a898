//! Which chunks keep their bytes, and what becomes of those that do not.

use tsdb::block::Block;
use tsdb::chunk::sample_count;
use tsdb::index::SeriesRow;
use tsdb::postings::IndexPostings;

use super::support::*;

fn data(series: u32, times: impl Iterator<Item = i64>, kind: Kind) -> Data {
    Data::from([(series, times.map(|t| (t, kind)).collect())])
}

/// Encoding, samples and bytes of all chunks.
fn chunks(block: &Block) -> Vec<(u8, usize, Vec<u8>)> {
    let mut row = SeriesRow::default();
    let mut all = Vec::new();
    for series in block.index().all_postings().unwrap().into_vec() {
        block.index().series(series, &mut row).unwrap();
        for chunk in &row.chunks {
            let record = block.chunk(chunk.reference).unwrap();
            let count = sample_count(record.encoding, record.data).unwrap();
            all.push((record.encoding.number(), count, record.data.to_vec()));
        }
    }
    all
}

fn compacted(sources: &[(Data, u16)]) -> (Vec<Block>, Block) {
    let world = World::new();
    let blocks: Vec<Block> = sources
        .iter()
        .enumerate()
        .map(|(i, (data, max))| write_block(&world.fs, data, (i as u64, *max)))
        .collect();
    let result = world.compact(&blocks, 1).pop().unwrap().unwrap();
    (blocks, result)
}

#[test]
fn chunks_that_do_not_overlap_keep_their_bytes() {
    let first = data(1, (0..500).step_by(2), Kind::Float);
    let second = data(1, 500..700, Kind::Float);
    let (blocks, result) = compacted(&[(second, 200), (first, 50)]);
    let want: Vec<_> = chunks(&blocks[1]).into_iter().chain(chunks(&blocks[0])).collect();
    assert_eq!(chunks(&result), want);
}

#[test]
fn replicas_with_the_same_chunks_become_one_without_changing_them() {
    let replica = data(1, 0..500, Kind::Float);
    let (blocks, result) =
        compacted(&[(replica.clone(), 130), (replica.clone(), 130), (replica, 130)]);
    assert_eq!(chunks(&result), chunks(&blocks[0]));
}

#[test]
fn overlapping_floats_are_cut_after_120_samples() {
    let even = data(1, (0..600).step_by(2), Kind::Float);
    let odd = data(1, (1..600).step_by(2), Kind::Float);
    let (_, result) = compacted(&[(even, 300), (odd, 300)]);
    let counts: Vec<_> = chunks(&result).into_iter().map(|c| (c.0, c.1)).collect();
    assert_eq!(counts, [(1, 120), (1, 120), (1, 120), (1, 120), (1, 120)]);
    assert_eq!(read_block(&result).values().map(|s| s.len()).sum::<usize>(), 600);
}

#[test]
fn merged_histograms_do_not_claim_that_there_was_no_reset() {
    // Counts grow within 50 ms. Samples come from both replicas in turn.
    let even = data(1, (0..40).step_by(2), Kind::Int);
    let odd = data(1, (1..40).step_by(2), Kind::Int);
    let (_, result) = compacted(&[(even, 100), (odd, 100)]);
    let chunks = chunks(&result);
    assert_eq!(chunks.iter().map(|c| c.1).sum::<usize>(), 40);
    // The header of a first chunk, in the two high bits of the third byte: nothing known.
    assert_eq!((chunks[0].0, chunks[0].2[2]), (2, 0));
}

#[test]
fn of_a_float_and_a_histogram_at_one_time_one_is_kept() {
    let floats = data(1, 0..100, Kind::Float);
    let histograms = data(1, 50..150, Kind::Int);
    let (_, result) = compacted(&[(floats, 200), (histograms, 200)]);
    let stats = result.meta().stats;
    assert_eq!(stats.num_samples, 150);
    // Prometheus' chain leaves a chunk when another one has the same time, and gets back to it
    // only to find that time known: the chunk that begins later wins at every sample.
    assert_eq!((stats.num_float_samples, stats.num_histogram_samples), (50, 100));
}

#[test]
fn large_counts_of_sources_are_merged() {
    let sources: Vec<(Data, u16)> = (0..40)
        .map(|i| {
            let series = (i % 9)..(i % 9 + 4);
            let samples = |s: u32| {
                (s, (i64::from(i) * 3..i64::from(i) * 3 + 30).map(|t| (t, Kind::Float)).collect())
            };
            (series.map(samples).collect(), 7)
        })
        .collect();
    let (_, result) = compacted(&sources);
    let mut want = Content::new();
    for (data, _) in &sources {
        for (&series, samples) in data {
            let row = want.entry(labels(series).to_string()).or_default();
            row.extend(samples.iter().map(|(&t, &kind)| (t, expected(series, t, kind))));
        }
    }
    assert_eq!(read_block(&result), want);
}
