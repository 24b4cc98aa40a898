//! What to compact: pure functions from the metas of blocks and a time to jobs. They touch no
//! disk and know no clock; a shell carries the jobs out.
//!
//! [`leveled`] is Prometheus' way, for the blocks of one database. [`split_merge`] is Mimir's, for
//! the blocks of a tenant in a bucket; [`order`] says which of its jobs come first, [`obsolete`]
//! which blocks are part of others already.

pub mod leveled;
pub mod obsolete;
pub mod order;
pub mod split_merge;

use crate::meta::BlockMeta;

/// The start of the aligned range of length `range_ms` that holds `t`.
fn range_start(t: i64, range_ms: i64) -> i64 {
    t.div_euclid(range_ms).saturating_mul(range_ms)
}

fn max_time(blocks: &[&BlockMeta]) -> i64 {
    blocks.iter().map(|meta| meta.max_time_ms).max().unwrap_or(i64::MIN)
}

fn min_time(blocks: &[&BlockMeta]) -> i64 {
    blocks.iter().map(|meta| meta.min_time_ms).min().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
