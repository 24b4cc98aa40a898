//! Records on their way into the log: compressed on the caller's thread, gathered for one write.
//!
//! [`LogScratch`] belongs to a caller of [`super::Wal::log`]; [`Batch`] is the queue of those
//! who wait. No locks here.

use super::page::{FLAG_SNAPPY, FLAG_ZSTD, Payload};
use super::{Compression, MAX_RECORD_BYTES, WalError};

/// Buffers that stay allocated between uses are no larger than this, bytes: a log is held by
/// every tenant, busy or not.
const RETAINED_BYTES: usize = 64 * 1024;

/// The level of Zstandard: the fastest.
const ZSTD_LEVEL: i32 = 1;

/// Records, one behind the other in one buffer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    records: Vec<(u8, usize)>,
}

impl Batch {
    pub(super) fn push(&mut self, payload: Payload<'_>) {
        self.bytes.extend_from_slice(payload.data);
        self.records.push((payload.flags, payload.data.len()));
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = Payload<'_>> {
        let mut rest = &self.bytes[..];
        self.records.iter().map(move |&(flags, length)| {
            let (data, after) = rest.split_at(length);
            rest = after;
            Payload { flags, data }
        })
    }

    /// Empties the batch and gives memory beyond the usual back.
    pub(super) fn reset(&mut self) {
        self.records.clear();
        self.records.shrink_to(RETAINED_BYTES / 64);
        reset_buffer(&mut self.bytes);
    }
}

/// Empties a buffer and gives memory beyond the usual back.
pub(super) fn reset_buffer(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(RETAINED_BYTES);
}

/// What a caller of [`super::Wal::log`] keeps between calls: buffers and compressors. One per
/// thread or per request; it carries nothing from one call to the next.
#[derive(Default)]
pub struct LogScratch {
    batch: Batch,
    compressed: Vec<u8>,
    snappy: Option<Box<snap::raw::Encoder>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for LogScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogScratch").field("batch", &self.batch).finish_non_exhaustive()
    }
}

impl LogScratch {
    /// Compresses `records` where that makes them smaller; those without bytes are left out.
    pub(super) fn compress(
        &mut self,
        compression: Compression,
        records: &[&[u8]],
    ) -> Result<&Batch, WalError> {
        self.batch.reset();
        for record in records.iter().filter(|r| !r.is_empty()) {
            check_length(record)?;
            let flags = self.compress_one(compression, record);
            let is_smaller = flags != 0 && self.compressed.len() < record.len();
            self.batch.push(if is_smaller {
                Payload { flags, data: &self.compressed }
            } else {
                Payload { flags: 0, data: record }
            });
        }
        Ok(&self.batch)
    }

    /// Compresses into `self.compressed` and returns the flag; 0 when that failed, which loses
    /// nothing: the record then goes as it is.
    fn compress_one(&mut self, compression: Compression, record: &[u8]) -> u8 {
        match compression {
            Compression::None => 0,
            Compression::Snappy => {
                self.compressed.resize(snap::raw::max_compress_len(record.len()), 0);
                let encoder =
                    self.snappy.get_or_insert_with(|| Box::new(snap::raw::Encoder::new()));
                let Ok(length) = encoder.compress(record, &mut self.compressed) else { return 0 };
                self.compressed.truncate(length);
                FLAG_SNAPPY
            }
            Compression::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                let Some(encoder) = &mut self.zstd else { return 0 };
                let Ok(compressed) = encoder.compress(record) else { return 0 };
                self.compressed = compressed;
                FLAG_ZSTD
            }
        }
    }
}

/// Fails for a record that readers would refuse.
pub(super) fn check_length(record: &[u8]) -> Result<(), WalError> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(WalError::RecordTooLarge(record.len()));
    }
    Ok(())
}
