//! Fetching chunks: few merged requests a wave, every checksum checked, only the chunks
//! themselves kept.
//!
//! An index tells where a chunk begins, not how long it is: lengths are guessed, and what was
//! guessed too short is fetched again with the length that its beginning tells.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use model::StorageError;
use tsdb::block::{CHUNK_FILE_HEADER_LEN, chunk_record_len, decode_chunk_record};
use tsdb::chunk::ChunkEncoding;
use tsdb::error::DecodeError;

use crate::block::Block;
use crate::ranges::merge;
use crate::request::Request;

/// So many requests make a wave: they run at the same time, and what they brought is held in
/// memory until its chunks are cut out.
const WAVE_READS: usize = 4;
/// The longest chunk that is believed; writers stay far below.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// A chunk that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedChunk {
    /// Number of the chunk file and offset in it.
    pub(crate) reference: u64,
    /// How many bytes it probably has with everything around it; at least 1.
    pub(crate) guess_bytes: u64,
}

/// A chunk as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    pub(crate) encoding: ChunkEncoding,
    pub(crate) data: Arc<[u8]>,
}

/// A wanted chunk by its place.
#[derive(Clone)]
struct Job {
    segment: u32,
    range: Range<u64>,
    /// Where it stands in the result.
    index: usize,
}

/// One request and the jobs that it serves.
struct Read<'a> {
    segment: u32,
    range: Range<u64>,
    jobs: &'a [Job],
}

/// Fetches chunks, in the order of `wanted`.
pub(crate) fn fetch_chunks(
    request: &Request,
    block: &Block,
    wanted: &[WantedChunk],
) -> Result<Vec<StoredChunk>, StorageError> {
    let mut found = vec![None; wanted.len()];
    let mut too_short = Vec::new();
    let jobs = jobs(wanted).map_err(|e| block.corrupt("index", &e))?;
    for_each_record(request, block, jobs, |job, bytes| {
        let length = chunk_record_len(bytes)?;
        if length > MAX_RECORD_BYTES {
            return Err(DecodeError::Invalid("chunk is larger than 16 MiB"));
        }
        if bytes.len() < length {
            let end = job.range.start + length as u64;
            too_short.push(Job { range: job.range.start..end, ..*job });
        } else {
            found[job.index] = Some(decode(bytes)?);
        }
        Ok(())
    })?;
    for_each_record(request, block, too_short, |job, bytes| {
        found[job.index] = Some(decode(bytes)?);
        Ok(())
    })?;
    let all: Option<Vec<StoredChunk>> = found.into_iter().collect();
    all.ok_or_else(|| StorageError::Internal("a chunk was not fetched".to_owned()))
}

fn jobs(wanted: &[WantedChunk]) -> Result<Vec<Job>, DecodeError> {
    let job = |(index, chunk): (usize, &WantedChunk)| {
        let (segment, offset) = ((chunk.reference >> 32) as u32, chunk.reference & 0xffff_ffff);
        if offset < CHUNK_FILE_HEADER_LEN as u64 {
            return Err(DecodeError::Invalid("reference of a chunk is out of range"));
        }
        Ok(Job { segment, range: offset..offset + chunk.guess_bytes.max(1), index })
    };
    wanted.iter().enumerate().map(job).collect()
}

fn decode(bytes: &[u8]) -> Result<StoredChunk, DecodeError> {
    let record = decode_chunk_record(bytes)?;
    Ok(StoredChunk { encoding: record.encoding, data: record.data.into() })
}

/// Calls `visit` with the bytes at each job's place: as many as asked for, less where the file
/// ends before.
fn for_each_record(
    request: &Request,
    block: &Block,
    mut jobs: Vec<Job>,
    mut visit: impl FnMut(&Job, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), StorageError> {
    jobs.sort_unstable_by_key(|job| (job.segment, job.range.start));
    let max_gap_bytes = request.store.config.partitioner_max_gap_bytes;
    for wave in reads(&jobs, max_gap_bytes).chunks(WAVE_READS) {
        let bytes = wave.iter().map(|read| read.range.end - read.range.start).sum();
        let _reserved = request.reserve(bytes)?;
        let fetched = request.wait(fetch(block, wave))?;
        request.store.metrics.chunks_fetched.observe(bytes as f64);
        for (read, bytes) in wave.iter().zip(&fetched) {
            for job in read.jobs {
                let from = (job.range.start - read.range.start) as usize;
                let to = ((job.range.end - read.range.start) as usize).min(bytes.len());
                let record = bytes.get(from..to).ok_or(DecodeError::Truncated);
                let visited = record.and_then(|record| visit(job, record));
                let (segment, offset) = (job.segment, job.range.start);
                let place = format_args!("chunk at {segment}:{offset}");
                visited.map_err(|e| block.corrupt(place, &e))?;
            }
        }
    }
    Ok(())
}

/// The requests for jobs that are sorted by their place.
fn reads(jobs: &[Job], max_gap_bytes: u64) -> Vec<Read<'_>> {
    let mut reads = Vec::new();
    for in_segment in jobs.chunk_by(|a, b| a.segment == b.segment) {
        let mut rest = in_segment;
        for range in merge(in_segment.iter().map(|job| job.range.clone()), max_gap_bytes) {
            let served = rest.iter().take_while(|job| job.range.end <= range.end).count();
            let (jobs, later) = rest.split_at(served);
            reads.push(Read { segment: in_segment[0].segment, range, jobs });
            rest = later;
        }
    }
    reads
}

async fn fetch(block: &Block, wave: &[Read<'_>]) -> Result<Vec<Bytes>, StorageError> {
    let fetches = wave.iter().map(|read| block.read_chunks(read.segment, read.range.clone()));
    futures::stream::iter(fetches).buffered(WAVE_READS).try_collect().await
}
