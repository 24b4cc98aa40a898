//! Refusing a selection before anything of it is fetched: where the blocks have more series than
//! the query may fetch chunks, its chunks are counted by the indexes alone. Called by `answer`.
//!
//! Fetching, merging and decoding chunks up to the limit costs some 2 us a chunk in an optimised
//! build; counting them reads entries of indexes alone. Twenty selections of everything over a
//! hundred blocks of a million series: `docs/benchmarks.md`.

use model::StorageError;

use crate::series::BlockSeriesSet;

/// Fails where the series of `sets` have more chunks than the query may still fetch.
pub(crate) fn refuse_too_many_chunks(sets: &[BlockSeriesSet]) -> Result<(), StorageError> {
    let Some(first) = sets.first() else { return Ok(()) };
    let context = first.context();
    let candidates = sets.iter().map(BlockSeriesSet::candidates).sum();
    if context.check_more_chunks(candidates).is_ok() {
        return Ok(());
    }
    let mut count = 0;
    for set in sets {
        set.count_chunks(|chunks| {
            count += chunks;
            Ok(context.check_more_chunks(count)?)
        })?;
    }
    Ok(())
}
