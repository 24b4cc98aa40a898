//! Blocks that a compaction would choke on are marked and do not hold up the others.

use bucket::{BlockMarks, NoCompactMark, NoCompactReason};
use tsdb::error::TsdbError;

use super::*;
use crate::jobs::{JobError, planned_jobs, told_by};

const RANGE: (i64, i64) = (DAY_MS, DAY_MS + 2 * HOUR_MS);

async fn marks(world: &World) -> BlockMarks<NoCompactMark> {
    world.tenant().marks::<NoCompactMark>(&BlockMarks::new()).await.unwrap()
}

/// Three blocks, the last of which is not as it should be; the others are compacted.
async fn check(spoil: impl FnOnce(&Path), reason: NoCompactReason, details: &str) {
    let world = World::new();
    let mut all = Vec::new();
    for (id, series) in [(1, 0..3), (2, 2..5)] {
        all.push(data(series, RANGE));
        world.add_block(id, RANGE, &all[all.len() - 1]).await;
    }
    let dir = write_block(&world.local.path().join("sources"), (3, RANGE), &data(0..3, RANGE));
    spoil(&dir);
    let meta = Bytes::from(std::fs::read(dir.join("meta.json")).unwrap());
    upload_block(&world.tenant(), (Ulid(3), &dir), 1, |_| Ok(meta)).await.unwrap();
    world.compact().await;
    let marks = marks(&world).await;
    assert_eq!(marks.keys().collect::<Vec<_>>(), [&Ulid(3)]);
    let mark = &marks[&Ulid(3)];
    assert_eq!((mark.reason, mark.details.as_str()), (reason, details));
    assert_eq!(mark.no_compact_time, NOW_MS / 1000);
    let metas = world.visible().await;
    let compacted: Vec<BlockMeta> =
        metas.iter().filter(|meta| meta.ulid != Ulid(3)).cloned().collect();
    assert_eq!((metas.len(), compacted.len()), (2, 1), "it is still there");
    assert_eq!(world.data_of(&compacted, false).await, union(&all));
    let text = world.metrics.encode(rt::metrics::TextFormat::Prometheus);
    let counted = format!(
        "cortex_compactor_blocks_marked_for_no_compaction_total{{reason=\"{}\"}} 1",
        reason.as_str()
    );
    assert!(text.contains(&counted), "{text}");
    assert!(text.contains("cortex_compactor_runs_completed_total 1"), "{text}");
}

#[tokio::test]
async fn a_block_with_chunks_outside_of_its_range() {
    let shorten = |dir: &Path| {
        let path = dir.join("meta.json");
        let mut meta = BlockMeta::decode(&std::fs::read(&path).unwrap()).unwrap();
        meta.max_time_ms -= HOUR_MS;
        std::fs::write(path, meta.encode()).unwrap();
    };
    let details = "3 chunks outside the block's time range";
    check(shorten, NoCompactReason::Critical, details).await;
}

#[tokio::test]
async fn a_block_with_chunks_out_of_order() {
    let details = "1 of 3 series have out-of-order chunks, 1 in all";
    check(overlap_a_chunk, NoCompactReason::BlockIndexOutOfOrderChunk, details).await;
}

/// Writes the block anew with a second chunk in its last series, which begins 1 ms after the end
/// of the first one, and then lets the index say that it begins at that very moment.
fn overlap_a_chunk(dir: &Path) {
    let names: Vec<String> = data(0..3, RANGE).into_keys().collect();
    let strings = names.iter().flat_map(|name| ["__name__", name.as_str()]);
    let symbols = SymbolSet::collect(strings).unwrap();
    let meta = BlockMeta::new(Ulid(3), RANGE.0, RANGE.1);
    std::fs::remove_dir_all(dir).unwrap();
    let parent = dir.parent().unwrap();
    let mut writer = BlockWriter::create(OsFs::shared(), parent, meta, symbols).unwrap();
    let bytes = |t: i64| xor::encode([(t, 1.0)]).unwrap();
    let (first, second) = (bytes(RANGE.0), bytes(RANGE.0 + 1));
    let chunk =
        |t, data| BlockChunk { min_time_ms: t, max_time_ms: t, encoding: ChunkEncoding::Xor, data };
    for (i, name) in names.iter().enumerate() {
        let chunks = [chunk(RANGE.0, first.as_ref()), chunk(RANGE.0 + 1, second.as_ref())];
        let labels = Labels::from_pairs([("__name__", name.as_str())]);
        writer.add_series(&labels, &chunks[..if i == 2 { 2 } else { 1 }]).unwrap();
    }
    writer.finish().unwrap().unwrap();
    spoil_last_series(&dir.join("index"));
}

/// The second chunk of the last series gets a length of 1 ms and ends where it ended: the distance
/// from the first one (1 ms) and its own length (0) are one byte each and change places.
fn spoil_last_series(path: &Path) {
    let mut index = std::fs::read(path).unwrap();
    let toc = tsdb::index::Toc::decode(&index[index.len() - tsdb::index::Toc::LEN..]).unwrap();
    let entries: Vec<usize> =
        (toc.series as usize..toc.postings as usize).filter(|at| at % 16 == 0).collect();
    let at = *entries.iter().rfind(|&&at| index[at] != 0 && row(&index[at..]).is_some()).unwrap();
    let length = usize::from(index[at]);
    let body = at + 1..at + 1 + length;
    let swap = body.clone().find(|&i| {
        let mut entry = index[at..].to_vec();
        entry.swap(i - at, i - at + 1);
        let crc = tsdb::encoding::crc32c(&entry[1..=length]);
        entry[1 + length..5 + length].copy_from_slice(&crc.to_be_bytes());
        row(&entry).is_some_and(|(first_max, second)| second == (first_max, first_max + 1))
    });
    let swap = swap.unwrap();
    index.swap(swap, swap + 1);
    let crc = tsdb::encoding::crc32c(&index[body.clone()]);
    index[body.end..body.end + 4].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(path, index).unwrap();
}

/// The end of the first chunk and the times of the second one.
fn row(entry: &[u8]) -> Option<(i64, (i64, i64))> {
    let mut row = SeriesRow::default();
    tsdb::index::decode_series(entry, &mut row).ok()?;
    let [first, second] = row.chunks.as_slice() else { return None };
    Some((first.max_time_ms, (second.min_time_ms, second.max_time_ms)))
}

#[tokio::test]
async fn blocks_that_together_become_too_large_are_all_left_alone() {
    let world = World::new();
    for id in [1, 2] {
        world.add_block(id, RANGE, &data(0..2, RANGE)).await;
    }
    let compactor = world.compactor();
    let tenant = TenantId::new("team").unwrap();
    let catalog = compactor.sync_catalog(&world.tenant()).await.unwrap();
    let jobs =
        planned_jobs(&tenant, &catalog, (&compactor.config, &world.limits), world.clock.now_ms());
    let told = |error: JobError| -> Vec<(Ulid, NoCompactReason)> {
        told_by(&error, &jobs[0]).into_iter().map(|(id, (reason, _))| (id, reason)).collect()
    };
    let both = |reason| [(Ulid(1), reason), (Ulid(2), reason)];
    let postings = told(TsdbError::PostingsOffsetsTooLarge.into());
    assert_eq!(postings, both(NoCompactReason::PostingsOffsetTableTooLarge));
    let index = told(TsdbError::TooLarge("the series take more than 64 GiB".into()).into());
    assert_eq!(index, both(NoCompactReason::IndexSizeExceeding));
    assert_eq!(told(JobError::Stopping), []);
    assert_eq!(told(JobError::DiskFull { needed: 2, free: 1 }), []);
}
