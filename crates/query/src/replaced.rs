//! A stream of series that goes on elsewhere where it breaks off.
//!
//! Every stream that is merged is one without which a sample might be missing. When it fails
//! half-way, another source of the same series takes its place: with its series behind the last one
//! that was handed out. Without such a source the query fails.

use model::storage::EmptySeriesSet;
use model::{Labels, SeriesEntry, SeriesSet, StorageError};

/// Opens what takes the place of a stream; `None` where there is nothing (more). An error ends the
/// query: it has reached a limit, or nobody waits for it.
pub(crate) type Substitutes =
    Box<dyn FnMut() -> Result<Option<Box<dyn SeriesSet>>, StorageError> + Send>;

/// A stream that others can replace.
pub(crate) struct ReplacedSet {
    current: Box<dyn SeriesSet>,
    /// The labels that were handed out last.
    last: Option<Labels>,
    substitutes: Substitutes,
}

impl ReplacedSet {
    /// `set`, in whose place the next one of `substitutes` comes when it fails.
    pub(crate) fn new(set: Box<dyn SeriesSet>, substitutes: Substitutes) -> Self {
        Self { current: set, last: None, substitutes }
    }
}

/// Whether another source may have an answer where one has failed in this way.
pub(crate) fn may_replace(error: &StorageError) -> bool {
    matches!(error, StorageError::Unavailable(_) | StorageError::Internal(_))
}

impl SeriesSet for ReplacedSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        loop {
            match self.current.next_series() {
                Ok(Some(series)) if self.last.as_ref().is_some_and(|l| series.labels <= *l) => {}
                Ok(Some(series)) => {
                    self.last = Some(series.labels.clone());
                    return Ok(Some(series));
                }
                Ok(None) => return Ok(None),
                Err(error) if may_replace(&error) => {
                    tracing::warn!(%error, "a stream of series broke off");
                    // What it holds is not counted on the query any more.
                    self.current = Box::new(EmptySeriesSet);
                    let Some(next) = (self.substitutes)()? else { return Err(error) };
                    self.current = next;
                }
                Err(other) => return Err(other),
            }
        }
    }
}
