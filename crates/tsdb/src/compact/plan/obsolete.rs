//! Blocks whose data is in other blocks already: their compaction is done, but they were not
//! deleted yet.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use crate::compact::SHARD_LABEL;
use crate::meta::BlockMeta;

/// A block as this module sees it.
struct Node<'a> {
    meta: &'a BlockMeta,
    sources: BTreeSet<Ulid>,
    shard: &'a str,
    resolution: i64,
}

/// The ids of the blocks that others replace: all sources of the block are sources of the others,
/// and they are not sharded, or of the same shard, or all shards are there. Of blocks with the
/// same sources the newest one stays.
pub fn obsolete(blocks: &[BlockMeta]) -> BTreeSet<Ulid> {
    let mut nodes: Vec<Node<'_>> = blocks.iter().map(Node::new).collect();
    nodes.sort_by_key(|node| (node.sources.len(), node.meta.ulid));
    let by_source = index_by_source(&nodes);
    let is_obsolete = |(i, node): &(usize, &Node<'_>)| {
        // Whatever replaces the block has its first source.
        let first = node.sources.first().and_then(|source| by_source.get(source));
        let later = first.map_or(&[][..], Vec::as_slice).iter().filter(|j| *j > i);
        is_replaced(node, later.map(|&j| &nodes[j]))
    };
    nodes.iter().enumerate().filter(is_obsolete).map(|(_, node)| node.meta.ulid).collect()
}

fn index_by_source(nodes: &[Node<'_>]) -> BTreeMap<Ulid, Vec<usize>> {
    let mut index: BTreeMap<Ulid, Vec<usize>> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for &source in &node.sources {
            index.entry(source).or_default().push(i);
        }
    }
    index
}

impl<'a> Node<'a> {
    fn new(meta: &'a BlockMeta) -> Self {
        let thanos = meta.thanos.as_ref();
        let shard = thanos.and_then(|thanos| thanos.labels.get(SHARD_LABEL));
        Self {
            meta,
            sources: meta.compaction.sources.iter().copied().collect(),
            shard: shard.map_or("", String::as_str),
            resolution: thanos.map_or(0, |thanos| thanos.downsample.resolution),
        }
    }

    fn is_part_of(&self, other: &Self) -> bool {
        self.resolution == other.resolution
            && (self.shard.is_empty() || self.shard == other.shard)
            && self.sources.is_subset(&other.sources)
    }
}

fn is_replaced<'b, 'a: 'b>(node: &Node<'a>, others: impl Iterator<Item = &'b Node<'a>>) -> bool {
    // Shards that are there, by their number.
    let mut shards: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for other in others.filter(|other| node.is_part_of(other)) {
        if other.shard == node.shard || other.shard.is_empty() {
            return true;
        }
        if let Some((shard, count)) = parse_shard(other.shard) {
            let there = shards.entry(count).or_default();
            there.insert(shard);
            if there.len() as u64 == count {
                return true;
            }
        }
    }
    false
}

/// Number, from 1, and count of shards.
fn parse_shard(text: &str) -> Option<(u64, u64)> {
    let (shard, count) = text.split_once("_of_")?;
    let (shard, count) = (shard.parse().ok()?, count.parse().ok()?);
    (1..=count).contains(&shard).then_some((shard, count))
}
