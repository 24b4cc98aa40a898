//! `meta.json`: what a block is, where it comes from.
//!
//! Keys that are not known here survive reading and writing; so does Thanos' and Mimir's section
//! `thanos`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ulid::Ulid;

use crate::error::TsdbError;

/// The version of `meta.json` that is written and read.
pub const META_VERSION: u32 = 1;

/// [`Compaction::hints`]: all data came out of order.
pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// [`Compaction::hints`]: made from stale series.
pub const HINT_STALE_SERIES: &str = "from-stale-series";
/// [`Compaction::hints`]: made from selected series.
pub const HINT_SELECTED_SERIES: &str = "from-selected-series";

/// The content of `meta.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block's id, also the name of its directory.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// Start of the block's range, ms, inclusive.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// End of the block's range, ms, exclusive.
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
    /// Counts.
    #[serde(default)]
    pub stats: BlockStats,
    /// Where the block comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// [`META_VERSION`].
    pub version: u32,
    /// Mimir's mark of blocks with out-of-order data.
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_of_order: bool,
    /// The section of Thanos and Mimir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    /// Keys that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Counts of a block; those that are 0 are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of both kinds.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Histogram samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Tombstones.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How often and from what a block was compacted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block of the head, else one more than the highest level of its parents.
    pub level: u32,
    /// The level 1 blocks whose data is in this block, sorted.
    #[serde(with = "ulid_texts", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// Whether the block can be deleted because nothing of it is left.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that this one was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Whether a compaction of this block failed.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// [`HINT_OUT_OF_ORDER`] and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Keys that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A block that another one was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// Start of its range, ms, inclusive.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// End of its range, ms, exclusive.
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
}

/// The section of Thanos and Mimir.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    /// Version of the section; 0 and 1 are the same.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: u64,
    /// External labels, for example the shard of a split block; `null` is none.
    #[serde(deserialize_with = "null_as_none")]
    pub labels: BTreeMap<String, String>,
    /// Downsampling.
    pub downsample: Downsample,
    /// Which component made the block.
    pub source: String,
    /// Names of the chunk files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segment_files: Vec<String>,
    /// All files of the block with their sizes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ThanosFile>,
    /// Keys that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// [`ThanosMeta::downsample`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Downsample {
    /// Resolution in ms; 0 = raw samples.
    pub resolution: i64,
}

/// [`ThanosMeta::files`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThanosFile {
    /// Path relative to the block's directory.
    pub rel_path: String,
    /// Bytes; left out for `meta.json` itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
}

impl BlockMeta {
    /// The meta of a block that comes from the head.
    pub fn new(ulid: Ulid, min_time_ms: i64, max_time_ms: i64) -> Self {
        let compaction = Compaction { level: 1, sources: vec![ulid], ..Compaction::default() };
        Self {
            ulid,
            min_time_ms,
            max_time_ms,
            stats: BlockStats::default(),
            compaction,
            version: META_VERSION,
            out_of_order: false,
            thanos: None,
            unknown: Map::new(),
        }
    }

    /// Reads the content of `meta.json`.
    pub fn decode(json: &[u8]) -> Result<Self, TsdbError> {
        let meta: Self = serde_json::from_slice(json)
            .map_err(|e| TsdbError::Invalid(format!("read meta.json: {e}")))?;
        if meta.version != META_VERSION {
            return Err(TsdbError::Invalid(format!(
                "unexpected meta.json version {}",
                meta.version
            )));
        }
        Ok(meta)
    }

    /// The content of `meta.json`, indented with tabs as Prometheus does.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
        self.serialize(&mut serializer).expect("writing to memory, and all keys are strings");
        out
    }

    /// Whether all data of the block came out of order.
    pub fn is_out_of_order(&self) -> bool {
        self.out_of_order || self.compaction.hints.iter().any(|hint| hint == HINT_OUT_OF_ORDER)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Go writes `null` for a map that was never made.
fn null_as_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A ULID as its text.
mod ulid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulid: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ulid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(D::Error::custom)
    }
}

/// A list of ULIDs as texts; `null` is the empty list.
mod ulid_texts {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(
        ulids: &[Ulid],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ulids.iter().map(Ulid::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Ulid>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        texts.iter().map(|text| Ulid::from_string(text).map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIMIR: &str = r#"{
	"ulid": "01M7ZPQCKZY96HW8E6K6G4X4M9",
	"minTime": 1699999200000,
	"maxTime": 1700002185001,
	"stats": {
		"numSamples": 14050,
		"numSeries": 71
	},
	"compaction": {
		"level": 2,
		"sources": [
			"01M7ZPQCKZY96HW8E6K6G4X4M9"
		],
		"parents": [
			{
				"ulid": "01M7ZPQCKZY96HW8E6K6G4X4M9",
				"minTime": 1,
				"maxTime": 2
			}
		],
		"hints": [
			"from-out-of-order"
		],
		"later": 7
	},
	"version": 1,
	"thanos": {
		"version": 1,
		"labels": {
			"__compactor_shard_id__": "1_of_4"
		},
		"downsample": {
			"resolution": 0
		},
		"source": "compactor",
		"segment_files": [
			"000001"
		],
		"files": [
			{
				"rel_path": "chunks/000001",
				"size_bytes": 123
			},
			{
				"rel_path": "meta.json"
			}
		],
		"index_stats": {
			"series_max_size": 96
		}
	},
	"from_elsewhere": {
		"a": [
			1
		]
	}
}"#;

    #[test]
    fn known_and_unknown_keys_survive() {
        let meta = BlockMeta::decode(MIMIR.as_bytes()).unwrap();
        assert_eq!(meta.stats.num_series, 71);
        assert!(meta.is_out_of_order());
        assert_eq!(meta.thanos.as_ref().unwrap().labels["__compactor_shard_id__"], "1_of_4");
        assert_eq!(String::from_utf8(meta.encode()).unwrap(), MIMIR);
    }

    #[test]
    fn missing_and_null_sections_are_empty() {
        let json = r#"{"ulid":"01M7ZPQCKZY96HW8E6K6G4X4M9","minTime":1,"maxTime":2,"version":1,
            "compaction":{"level":1,"sources":null},"thanos":{"labels":null}}"#;
        let meta = BlockMeta::decode(json.as_bytes()).unwrap();
        assert_eq!((meta.compaction.level, meta.compaction.sources.len()), (1, 0));
    }

    #[test]
    fn other_versions_and_no_json_are_errors() {
        assert!(
            BlockMeta::decode(
                &MIMIR
                    .replace("\"version\": 1,\n\t\"thanos", "\"version\": 3,\n\t\"thanos")
                    .into_bytes()
            )
            .is_err()
        );
        assert!(BlockMeta::decode(b"{").is_err());
    }
}
