//! The merge of random blocks equals the merge of their samples.

use std::path::Path;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tsdb::block::{Block, write_tombstones};
use tsdb::tombstones::{Interval, Tombstones};

use super::support::*;

#[derive(Debug, Clone)]
struct Source {
    data: Data,
    max_samples: u16,
    /// Series and interval.
    deleted: Vec<(u32, i64, i64)>,
}

fn kind_of(series: u32, t: i64) -> Kind {
    // A series changes its type now and then, in all blocks at the same time.
    match (i64::from(series) + t / 40) % 5 {
        0..3 => Kind::Float,
        3 => Kind::Int,
        _ => Kind::FloatHistogram,
    }
}

fn source() -> impl Strategy<Value = Source> {
    let times = (0i64..200, 1i64..4, 1usize..90).prop_map(|(start, step, count)| {
        (0..count as i64).map(|i| start + i * step).collect::<Vec<i64>>()
    });
    let data = btree_map(0u32..8, times, 1..6).prop_map(|series| {
        let samples = |(series, times): (u32, Vec<i64>)| {
            (series, times.into_iter().map(|t| (t, kind_of(series, t))).collect())
        };
        series.into_iter().map(samples).collect::<Data>()
    });
    let deleted = vec((0u32..8, 0i64..300, 0i64..120), 0..3);
    (data, 1u16..40, deleted).prop_map(|(data, max_samples, deleted)| Source {
        data,
        max_samples,
        deleted,
    })
}

impl Source {
    fn write(&self, world: &World, id: u64) -> Block {
        let block = write_block(&world.fs, &self.data, (id, self.max_samples));
        let mut tombstones = Tombstones::default();
        let rows = tsdb::postings::postings_for_matchers(block.index(), &[]).unwrap();
        let mut sorted: Vec<_> = self.data.keys().map(|&s| (labels(s), s)).collect();
        sorted.sort_unstable();
        for (row, (_, series)) in rows.iter().zip(sorted) {
            for (_, min_ms, len) in self.deleted.iter().filter(|deleted| deleted.0 == series) {
                let interval = Interval { min_ms: *min_ms, max_ms: min_ms + len };
                tombstones.add(u64::from(*row), interval);
            }
        }
        write_tombstones(&world.fs, block.dir(), &tombstones).unwrap();
        Block::open(&*world.fs, block.dir()).unwrap()
    }

    fn is_deleted(&self, series: u32, t: i64) -> bool {
        self.deleted.iter().any(|&(s, min, len)| s == series && (min..=min + len).contains(&t))
    }
}

fn union(sources: &[Source]) -> Content {
    let mut content = Content::new();
    for source in sources {
        for (&series, samples) in &source.data {
            for (&t, &kind) in samples.iter().filter(|(t, _)| !source.is_deleted(series, **t)) {
                let row = content.entry(labels(series).to_string()).or_default();
                row.insert(t, expected(series, t, kind));
            }
        }
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn compacted_blocks_hold_the_union_of_samples(
        sources in vec(source(), 1..5),
        shards in 1u64..4,
    ) {
        let world = World::new();
        let blocks: Vec<Block> =
            sources.iter().enumerate().map(|(i, source)| source.write(&world, i as u64)).collect();
        let results = world.compact(&blocks, shards);
        let mut got = Content::new();
        for (shard, block) in results.iter().enumerate() {
            let Some(block) = block else { continue };
            for (labels, samples) in read_block(block) {
                let series = (0..8).find(|&s| super::support::labels(s).to_string() == labels);
                let hash = super::support::labels(series.unwrap()).stable_hash();
                prop_assert_eq!(hash % shards, shard as u64);
                prop_assert!(got.insert(labels, samples).is_none());
            }
        }
        prop_assert_eq!(got, union(&sources));

        // The same again, in another order of the sources: the same bytes.
        let first = world.files(Path::new(RESULTS));
        world.fs.remove_dir_all(Path::new(RESULTS)).unwrap();
        world.fs.create_dir_all(Path::new(RESULTS)).unwrap();
        let reversed: Vec<Block> = blocks.into_iter().rev().collect();
        world.compact(&reversed, shards);
        prop_assert_eq!(world.files(Path::new(RESULTS)), first);
    }
}
