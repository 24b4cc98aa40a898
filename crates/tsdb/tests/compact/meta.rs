//! `meta.json` of compacted blocks.

use std::path::Path;

use tsdb::compact::{Compaction, MetaRules, Progress};
use tsdb::meta::{BlockMeta, Downsample, HINT_OUT_OF_ORDER, HINT_STALE_SERIES, Parent, ThanosMeta};
use ulid::Ulid;

use super::support::*;

fn meta(id: u64, range: (i64, i64), level: u32, hints: &[&str]) -> BlockMeta {
    let mut meta = BlockMeta::new(Ulid::from_parts(id, 0), range.0, range.1);
    meta.compaction.level = level;
    meta.compaction.hints = hints.iter().map(|hint| (*hint).to_owned()).collect();
    meta
}

fn external(labels: &[(&str, &str)]) -> Option<ThanosMeta> {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let source = "receive".to_owned();
    Some(ThanosMeta { version: 1, labels, source, ..ThanosMeta::default() })
}

fn one() -> Vec<Ulid> {
    vec![Ulid::from_parts(99, 99)]
}

#[test]
fn level_sources_and_parents_are_those_of_all_sources() {
    let mut a = meta(1, (0, 10), 3, &[]);
    a.compaction.sources = vec![Ulid::from_parts(8, 0), Ulid::from_parts(9, 0)];
    let mut b = meta(2, (10, 25), 1, &[]);
    b.compaction.sources = vec![Ulid::from_parts(7, 0), Ulid::from_parts(8, 0)];
    let merged = MetaRules::Prometheus.merge(&[&a, &b], (0, &one())).unwrap();
    assert_eq!((merged.min_time_ms, merged.max_time_ms), (0, 25));
    assert_eq!(merged.compaction.level, 4);
    assert_eq!(merged.compaction.sources, [7, 8, 9].map(|id| Ulid::from_parts(id, 0)));
    let parent = |m: &BlockMeta| Parent {
        ulid: m.ulid,
        min_time_ms: m.min_time_ms,
        max_time_ms: m.max_time_ms,
    };
    assert_eq!(merged.compaction.parents, [parent(&a), parent(&b)]);
    assert!(merged.thanos.is_none());
}

#[test]
fn a_block_is_out_of_order_if_all_sources_are() {
    let regular = meta(1, (0, 10), 1, &[]);
    let late = meta(2, (0, 10), 1, &[HINT_OUT_OF_ORDER]);
    let stale = meta(3, (0, 10), 1, &[HINT_STALE_SERIES]);
    let hints = |metas: &[&BlockMeta]| {
        MetaRules::Prometheus.merge(metas, (0, &one())).unwrap().compaction.hints
    };
    assert_eq!(hints(&[&late, &late]), [HINT_OUT_OF_ORDER]);
    assert!(hints(&[&late, &regular]).is_empty());
    // Whereas the mark of stale series is taken from any source.
    assert_eq!(hints(&[&stale, &regular]), [HINT_STALE_SERIES]);
}

#[test]
fn external_labels_are_kept_and_shards_are_named() {
    let world = World::new();
    let data: Data = (0..40).map(|s| (s, [(1, Kind::Float)].into_iter().collect())).collect();
    let mut source = meta(5, (0, 2), 1, &[]);
    source.thanos = external(&[("cluster", "eu")]);
    let block = write_block_as(&world.fs, &data, (source, 10));
    let rules = MetaRules::Mimir { source: "compactor".to_owned(), is_split: true };
    let ulids = ulids(2);
    let compaction =
        Compaction { rules: &rules, ..Compaction::new(&world.fs, Path::new(RESULTS), &ulids) };
    let metas = compaction.run(&[block], &Progress::default()).unwrap();
    for (meta, shard) in metas.iter().zip(["1_of_2", "2_of_2"]) {
        let thanos = meta.as_ref().unwrap().thanos.as_ref().unwrap();
        assert_eq!(thanos.labels["cluster"], "eu");
        assert_eq!(thanos.labels["__compactor_shard_id__"], shard);
        assert_eq!((thanos.source.as_str(), thanos.version), ("compactor", 1));
        assert_eq!(thanos.segment_files, ["000001"]);
    }
}

#[test]
fn blocks_with_other_external_labels_or_resolution_are_refused() {
    let rules = MetaRules::Mimir { source: "compactor".to_owned(), is_split: false };
    let with = |id, thanos| BlockMeta { thanos, ..meta(id, (0, 10), 1, &[]) };
    let a = with(1, external(&[("cluster", "eu")]));
    let b = with(2, external(&[("cluster", "us")]));
    assert!(rules.merge(&[&a, &b], (0, &one())).is_err());
    let mut coarse = external(&[("cluster", "eu")]).unwrap();
    coarse.downsample = Downsample { resolution: 300_000 };
    let c = with(3, Some(coarse));
    assert!(rules.merge(&[&a, &c], (0, &one())).is_err());
    // A shard stays a shard when its blocks are merged.
    let shard = [("__compactor_shard_id__", "2_of_3")];
    let (d, e) = (with(4, external(&shard)), with(5, external(&shard)));
    let merged = rules.merge(&[&d, &e], (0, &one())).unwrap();
    assert_eq!(merged.thanos.unwrap().labels["__compactor_shard_id__"], "2_of_3");
}
