//! `meta.json` of a new block from those of its sources.

use std::collections::BTreeSet;

use ulid::Ulid;

use crate::error::TsdbError;
use crate::meta::{
    BlockMeta, BlockStats, Compaction, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES,
    META_VERSION, Parent, ThanosMeta,
};

/// External label of a block that holds one shard of the series; see [`shard_label`].
pub const SHARD_LABEL: &str = "__compactor_shard_id__";

/// Whose rules `meta.json` follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaRules {
    /// Prometheus': no section `thanos`.
    Prometheus,
    /// Mimir's: the external labels and the resolution of the sources, which must be the same in
    /// all of them, and the shard of the block.
    Mimir {
        /// Which component makes the block, for example `compactor`.
        source: String,
        /// Whether the blocks are shards of their sources and get [`SHARD_LABEL`], also when
        /// there is only one. Otherwise the label stays as it is.
        is_split: bool,
    },
}

/// The value of [`SHARD_LABEL`] for a shard, counted from 0.
pub fn shard_label(shard: usize, count: usize) -> String {
    format!("{}_of_{count}", shard + 1)
}

impl MetaRules {
    /// The meta of shard `shard` of the new blocks `ulids`, made from blocks with these metas, in
    /// their order. Stats are left at 0.
    pub fn merge(
        &self,
        metas: &[&BlockMeta],
        (shard, ulids): (usize, &[Ulid]),
    ) -> Result<BlockMeta, TsdbError> {
        let ulid = *ulids
            .get(shard)
            .ok_or_else(|| TsdbError::Invalid(format!("shard {shard} has no id")))?;
        let thanos = match self {
            Self::Prometheus => None,
            Self::Mimir { source, is_split } => {
                let mut section = thanos(metas, source)?;
                if *is_split {
                    let label = shard_label(shard, ulids.len());
                    section.labels.insert(SHARD_LABEL.to_owned(), label);
                }
                Some(section)
            }
        };
        let out_of_order = metas.iter().all(|meta| meta.is_out_of_order());
        Ok(BlockMeta {
            ulid,
            min_time_ms: metas.iter().map(|meta| meta.min_time_ms).min().unwrap_or(0),
            max_time_ms: metas.iter().map(|meta| meta.max_time_ms).max().unwrap_or(0),
            stats: BlockStats::default(),
            compaction: compaction(metas, out_of_order),
            version: META_VERSION,
            out_of_order: out_of_order && metas.iter().any(|meta| meta.out_of_order),
            thanos,
            unknown: serde_json::Map::new(),
        })
    }
}

fn compaction(metas: &[&BlockMeta], out_of_order: bool) -> Compaction {
    let sources = metas.iter().flat_map(|meta| meta.compaction.sources.iter().copied());
    let sources: BTreeSet<Ulid> = sources.collect();
    let parent = |meta: &&BlockMeta| Parent {
        ulid: meta.ulid,
        min_time_ms: meta.min_time_ms,
        max_time_ms: meta.max_time_ms,
    };
    let has = |hint: &str| metas.iter().any(|meta| meta.compaction.hints.iter().any(|h| h == hint));
    let hints = [
        (HINT_OUT_OF_ORDER, out_of_order && has(HINT_OUT_OF_ORDER)),
        (HINT_STALE_SERIES, has(HINT_STALE_SERIES)),
        (HINT_SELECTED_SERIES, has(HINT_SELECTED_SERIES)),
    ];
    let hints = hints.iter().filter(|hint| hint.1).map(|hint| hint.0.to_owned());
    Compaction {
        level: metas.iter().map(|meta| meta.compaction.level).max().unwrap_or(0) + 1,
        sources: sources.into_iter().collect(),
        parents: metas.iter().map(parent).collect(),
        hints: hints.collect(),
        ..Compaction::default()
    }
}

fn thanos(metas: &[&BlockMeta], source: &str) -> Result<ThanosMeta, TsdbError> {
    let section = |meta: &BlockMeta| meta.thanos.clone().unwrap_or_default();
    let first = metas.first().map(|meta| section(meta)).unwrap_or_default();
    let differs = |meta: &&&BlockMeta| {
        let other = section(meta);
        other.labels != first.labels || other.downsample != first.downsample
    };
    if let Some(other) = metas.iter().find(differs) {
        return Err(TsdbError::Invalid(format!(
            "block {} has other external labels or another resolution than block {}",
            other.ulid, metas[0].ulid
        )));
    }
    Ok(ThanosMeta {
        version: 1,
        labels: first.labels,
        downsample: first.downsample,
        source: source.to_owned(),
        ..ThanosMeta::default()
    })
}
