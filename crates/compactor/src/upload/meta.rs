//! What a `meta.json` that comes from outside must be like. Pure functions; the words are Mimir's.

use axum::http::StatusCode;
use config::PromDuration;
use model::TimestampMs;
use tsdb::compact::SHARD_LABEL;
use tsdb::meta::{BlockMeta, META_VERSION};
use ulid::Ulid;

use super::UploadError;

/// Labels of old versions, which are dropped.
const OLD_LABELS: [&str; 3] = ["__org_id__", "__ingester_id__", "__shard_id__"];
/// What stands as the source of an uploaded block.
const SOURCE: &str = "upload";

/// Checks the meta and makes it that of block `id`.
pub(super) fn sanitize(
    meta: &mut BlockMeta,
    id: Ulid,
    now_ms: TimestampMs,
) -> Result<(), UploadError> {
    let thanos = meta.thanos.get_or_insert_default();
    if thanos.downsample.resolution > 0 {
        return Err(UploadError::bad_request("block contains downsampled data"));
    }
    thanos.labels.retain(|name, value| {
        !(OLD_LABELS.contains(&name.as_str()) || name == SHARD_LABEL && value.is_empty())
    });
    if let Some(name) = thanos.labels.keys().find(|name| *name != SHARD_LABEL) {
        return Err(UploadError::bad_request(format!("unsupported external label: {name}")));
    }
    if let Some(shard) = thanos.labels.get(SHARD_LABEL).filter(|shard| !is_shard(shard)) {
        let message = format!("invalid {SHARD_LABEL} external label: {shard:?}");
        return Err(UploadError::bad_request(message));
    }
    for file in thanos.files.iter().filter(|file| file.rel_path != bucket::META_FILE) {
        if !is_path(&file.rel_path) {
            let message = format!("file with invalid path: {}", file.rel_path);
            return Err(UploadError::bad_request(message));
        }
        if file.size_bytes == 0 {
            let message = format!("file with invalid size: {}", file.rel_path);
            return Err(UploadError::bad_request(message));
        }
    }
    thanos.source = SOURCE.to_owned();
    meta.ulid = id;
    meta.compaction.parents.clear();
    meta.compaction.sources = vec![id];
    if meta.version != META_VERSION {
        return Err(UploadError::bad_request(format!("version must be {META_VERSION}")));
    }
    check_sanity_of_times(meta, now_ms)
}

fn check_sanity_of_times(meta: &BlockMeta, now_ms: TimestampMs) -> Result<(), UploadError> {
    let (min, max) = (meta.min_time_ms, meta.max_time_ms);
    if min < 0 || max < min {
        let message = format!("invalid minTime/maxTime: minTime={min}, maxTime={max}");
        return Err(UploadError::bad_request(message));
    }
    if max > now_ms {
        let message = format!(
            "block time(s) greater than the present: minTime={min} ({}), maxTime={max} ({})",
            utc(min),
            utc(max)
        );
        return Err(UploadError::bad_request(message));
    }
    Ok(())
}

/// Checks the block's times against the retention and the largest range of the compactor.
pub(super) fn check_times(
    meta: &BlockMeta,
    (now_ms, retention_ms): (TimestampMs, i64),
    max_range_ms: i64,
) -> Result<(), UploadError> {
    let refused = |message: String| UploadError::refused(StatusCode::UNPROCESSABLE_ENTITY, message);
    let (min, max) = (meta.min_time_ms, meta.max_time_ms);
    if retention_ms > 0 && max < now_ms.saturating_sub(retention_ms) {
        let max = utc(max);
        return Err(refused(format!("block max time ({max}) older than retention period")));
    }
    if max_range_ms <= 0 {
        return Ok(());
    }
    let range = PromDuration::from_millis(max_range_ms);
    if max - min > max_range_ms {
        let duration = PromDuration::from_millis(max - min);
        return Err(refused(format!(
            "block duration ({duration}) is larger than max configured compactor time range ({range})"
        )));
    }
    let end = (min - min.rem_euclid(max_range_ms)).saturating_add(max_range_ms);
    if max > end {
        return Err(refused(format!(
            "block time range crosses boundary of configured compactor time range ({range})"
        )));
    }
    Ok(())
}

/// Checks the sum of the sizes of the files; `limit_bytes` 0 = no limit.
pub(super) fn check_size(meta: &BlockMeta, limit_bytes: u64) -> Result<(), UploadError> {
    let files = meta.thanos.iter().flat_map(|thanos| &thanos.files);
    let size_bytes = files.fold(0, |sum: u64, file| sum.saturating_add(file.size_bytes));
    if limit_bytes == 0 || size_bytes <= limit_bytes {
        return Ok(());
    }
    let message = format!("block exceeds the maximum block size limit of {limit_bytes} bytes");
    Err(UploadError::bad_request(message))
}

/// Checks the name of a file that a client sends.
pub(super) fn check_path(path: &str) -> Result<(), UploadError> {
    if path.is_empty() {
        return Err(UploadError::bad_request("missing or invalid file path"));
    }
    if path.rsplit('/').next() == Some(bucket::META_FILE) {
        let message = format!("{} is not allowed", bucket::META_FILE);
        return Err(UploadError::bad_request(message));
    }
    if !is_path(path) {
        return Err(UploadError::bad_request(format!("invalid path: {path:?}")));
    }
    Ok(())
}

/// A time as people read it.
fn utc(ms: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |t| t.to_string())
}

/// `index` or `chunks/` and six digits.
fn is_path(path: &str) -> bool {
    path == "index"
        || path.strip_prefix("chunks/").is_some_and(|number| {
            number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// `1_of_4`, counted from 1.
fn is_shard(label: &str) -> bool {
    let Some((index, count)) = label.split_once("_of_") else { return false };
    match (index.parse::<u64>(), count.parse::<u64>()) {
        (Ok(index), Ok(count)) => 1 <= index && index <= count,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::meta::ThanosFile;

    const HOUR_MS: i64 = 3_600_000;
    const NOW_MS: i64 = 1_000_000 * HOUR_MS;

    fn meta(change: impl FnOnce(&mut BlockMeta)) -> BlockMeta {
        let mut meta = BlockMeta::new(Ulid(1), 48 * HOUR_MS, 50 * HOUR_MS);
        let file = |path: &str, size_bytes| ThanosFile { rel_path: path.into(), size_bytes };
        let files = vec![file("meta.json", 0), file("index", 10), file("chunks/000001", 20)];
        meta.thanos.get_or_insert_default().files = files;
        change(&mut meta);
        meta
    }

    fn refusal(result: Result<(), UploadError>) -> (u16, String) {
        match result {
            Err(UploadError::Refused(status, message)) => (status.as_u16(), message),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_is_fine_becomes_the_block_of_the_path() {
        let mut fine = meta(|meta| {
            let thanos = meta.thanos.as_mut().unwrap();
            thanos.labels.insert("__org_id__".into(), "x".into());
            thanos.labels.insert(SHARD_LABEL.into(), "2_of_3".into());
            meta.compaction.sources = vec![Ulid(5), Ulid(6)];
        });
        sanitize(&mut fine, Ulid(9), NOW_MS).unwrap();
        assert_eq!((fine.ulid, &fine.compaction.sources), (Ulid(9), &vec![Ulid(9)]));
        let thanos = fine.thanos.unwrap();
        assert_eq!(thanos.source, "upload");
        assert_eq!(
            thanos.labels.into_iter().collect::<Vec<_>>(),
            [(SHARD_LABEL.to_owned(), "2_of_3".to_owned())]
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        type Change = fn(&mut BlockMeta);
        let cases: [(Change, &str); 8] = [
            (
                |m| m.thanos.as_mut().unwrap().downsample.resolution = 1,
                "block contains downsampled data",
            ),
            (
                |m| _ = m.thanos.as_mut().unwrap().labels.insert("a".into(), "b".into()),
                "unsupported external label: a",
            ),
            (
                |m| {
                    _ = m
                        .thanos
                        .as_mut()
                        .unwrap()
                        .labels
                        .insert(SHARD_LABEL.into(), "4_of_3".into())
                },
                "invalid __compactor_shard_id__ external label: \"4_of_3\"",
            ),
            (
                |m| m.thanos.as_mut().unwrap().files[1].rel_path = "../x".into(),
                "file with invalid path: ../x",
            ),
            (
                |m| m.thanos.as_mut().unwrap().files[2].size_bytes = 0,
                "file with invalid size: chunks/000001",
            ),
            (|m| m.version = 2, "version must be 1"),
            (|m| m.max_time_ms = 1, "invalid minTime/maxTime: minTime=172800000, maxTime=1"),
            (
                |m| m.max_time_ms = NOW_MS + 1,
                "block time(s) greater than the present: minTime=172800000 (1970-01-03T00:00:00Z), \
                 maxTime=3600000000001 (2084-01-29T16:00:00.001Z)",
            ),
        ];
        for (change, message) in cases {
            let refused = refusal(sanitize(&mut meta(change), Ulid(9), NOW_MS));
            assert_eq!(refused, (400, message.to_owned()));
        }
    }

    #[test]
    fn times_fit_the_retention_and_the_ranges() {
        let day = 24 * HOUR_MS;
        check_times(&meta(|_| ()), (NOW_MS, 0), day).unwrap();
        let old = refusal(check_times(&meta(|_| ()), (NOW_MS, day), day));
        assert_eq!(
            old,
            (422, "block max time (1970-01-03T02:00:00Z) older than retention period".into())
        );
        let long = meta(|m| m.max_time_ms += day);
        assert_eq!(
            refusal(check_times(&long, (NOW_MS, 0), day)).1,
            "block duration (26h) is larger than max configured compactor time range (1d)"
        );
        let crossing = meta(|m| m.min_time_ms -= HOUR_MS);
        assert_eq!(
            refusal(check_times(&crossing, (NOW_MS, 0), day)).1,
            "block time range crosses boundary of configured compactor time range (1d)"
        );
        check_size(&meta(|_| ()), 30).unwrap();
        assert_eq!(
            refusal(check_size(&meta(|_| ()), 29)).1,
            "block exceeds the maximum block size limit of 29 bytes"
        );
    }

    #[test]
    fn only_files_of_blocks_are_taken() {
        check_path("chunks/000012").unwrap();
        for (path, message) in [
            ("", "missing or invalid file path"),
            ("chunks/meta.json", "meta.json is not allowed"),
            ("chunks/00001", "invalid path: \"chunks/00001\""),
            ("chunks/../index", "invalid path: \"chunks/../index\""),
        ] {
            assert_eq!(refusal(check_path(path)).1, message);
        }
    }
}
