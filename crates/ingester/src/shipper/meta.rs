//! The `meta.json` that stands in the bucket: the local one with the `thanos` section that
//! Mimir's compactor and store-gateway read.
//!
//! ```json
//! "thanos": {"version": 1, "labels": {}, "downsample": {"resolution": 0}, "source": "receive",
//!   "segment_files": ["000001"],
//!   "files": [{"rel_path": "chunks/000001", "size_bytes": 9}, ..., {"rel_path": "meta.json"}]}
//! ```

use bucket::{BucketError, META_FILE, UploadedFile};
use bytes::Bytes;
use serde_json::{Value, json};
use tsdb::meta::HINT_OUT_OF_ORDER;
use ulid::Ulid;

/// The bytes of the bucket's `meta.json` for the block `id`, whose `files` are uploaded.
pub(crate) fn for_bucket(
    id: Ulid,
    local_json: &[u8],
    (files, labels_out_of_order): (&[UploadedFile], bool),
) -> Result<Bytes, BucketError> {
    let malformed =
        |reason: String| BucketError::Malformed { key: format!("{id}/meta.json"), reason };
    let mut meta: serde_json::Map<String, Value> =
        serde_json::from_slice(local_json).map_err(|error| malformed(error.to_string()))?;
    if meta.get("ulid").and_then(Value::as_str) != Some(&id.to_string()) {
        return Err(malformed(format!("is of another block: {:?}", meta.get("ulid"))));
    }
    let mut labels = serde_json::Map::new();
    if labels_out_of_order && is_out_of_order(&meta) {
        labels.insert(OUT_OF_ORDER_LABEL.to_owned(), json!("true"));
    }
    meta.insert("thanos".to_owned(), thanos(files, labels));
    let json = serde_json::to_vec_pretty(&meta).map_err(|error| malformed(error.to_string()))?;
    Ok(json.into())
}

/// Keeps blocks of out-of-order samples apart from others in compactions.
const OUT_OF_ORDER_LABEL: &str = "__out_of_order__";

fn is_out_of_order(meta: &serde_json::Map<String, Value>) -> bool {
    let hints = meta.get("compaction").and_then(|compaction| compaction.get("hints"));
    let hints = hints.and_then(Value::as_array);
    hints.is_some_and(|hints| hints.iter().any(|hint| hint == HINT_OUT_OF_ORDER))
}

fn thanos(files: &[UploadedFile], labels: serde_json::Map<String, Value>) -> Value {
    let segments = files.iter().filter_map(|file| file.relative_path.strip_prefix("chunks/"));
    let segments: Vec<&str> = segments.collect();
    let mut listed: Vec<Value> = files
        .iter()
        .map(|file| json!({"rel_path": file.relative_path, "size_bytes": file.size_bytes}))
        .collect();
    listed.push(json!({ "rel_path": META_FILE }));
    json!({
        "version": 1,
        "labels": labels,
        "downsample": {"resolution": 0},
        "source": "receive",
        "segment_files": segments,
        "files": listed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_added_and_the_rest_kept() {
        let local = br#"{"ulid":"00000000000000000000000007","minTime":1,"maxTime":2,"version":1}"#;
        let file =
            |path: &str, size_bytes| UploadedFile { relative_path: path.to_owned(), size_bytes };
        let files = [file("chunks/000001", 12), file("chunks/000002", 3), file("index", 4)];
        let bytes = for_bucket(Ulid(7), local, (&files, true)).unwrap();
        let meta: Value = serde_json::from_slice(&bytes).unwrap();
        let want = json!({
            "ulid": "00000000000000000000000007", "minTime": 1, "maxTime": 2, "version": 1,
            "thanos": {
                "version": 1, "labels": {}, "downsample": {"resolution": 0}, "source": "receive",
                "segment_files": ["000001", "000002"],
                "files": [
                    {"rel_path": "chunks/000001", "size_bytes": 12},
                    {"rel_path": "chunks/000002", "size_bytes": 3},
                    {"rel_path": "index", "size_bytes": 4},
                    {"rel_path": "meta.json"},
                ],
            },
        });
        assert_eq!(meta, want);
        assert!(for_bucket(Ulid(8), local, (&files, true)).is_err(), "of another block");
        assert!(for_bucket(Ulid(7), b"{", (&files, true)).is_err());
    }

    #[test]
    fn out_of_order_blocks_get_a_label_where_the_tenant_wants_it() {
        let late = br#"{"ulid":"00000000000000000000000007","minTime":1,"maxTime":2,"version":1,
            "compaction":{"level":1,"hints":["from-out-of-order"]}}"#;
        for (is_wanted, want) in [(true, json!({"__out_of_order__": "true"})), (false, json!({}))] {
            let bytes = for_bucket(Ulid(7), late, (&[], is_wanted)).unwrap();
            let meta: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(meta["thanos"]["labels"], want);
        }
    }
}
