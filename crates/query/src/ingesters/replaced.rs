//! A stream of series that goes on in another replica where it breaks off.
//!
//! Every stream that is merged comes from a group without which a sample might be missing. When
//! one fails half-way, a group that was not needed before takes its place: its series behind the
//! last one that was handed out. Without such a group the query fails.

use std::sync::Arc;

use model::{Labels, SeriesEntry, SeriesSet, StorageError};
use parking_lot::Mutex;

type Open = Box<dyn Fn(&[String]) -> Result<Box<dyn SeriesSet>, StorageError> + Send + Sync>;

/// Groups that can stand in for others, each once.
pub(super) struct Spares {
    groups: Mutex<Vec<Vec<String>>>,
    open: Open,
}

impl Spares {
    /// These groups, whose series `open` opens.
    pub(super) fn new(groups: Vec<Vec<String>>, open: Open) -> Self {
        Self { groups: Mutex::new(groups), open }
    }

    /// The series of the next group that can be opened; `None` when there is none.
    fn take(&self) -> Option<Box<dyn SeriesSet>> {
        loop {
            let group = self.groups.lock().pop()?;
            match (self.open)(&group) {
                Ok(set) => return Some(set),
                Err(error) => tracing::warn!(%error, "a replica cannot stand in for another one"),
            }
        }
    }
}

/// A stream that others can replace.
pub(super) struct ReplacedSet {
    current: Box<dyn SeriesSet>,
    /// The labels that were handed out last.
    last: Option<Labels>,
    spares: Arc<Spares>,
}

impl ReplacedSet {
    /// `set`, which groups of `spares` replace when it fails.
    pub(super) fn new(set: Box<dyn SeriesSet>, spares: Arc<Spares>) -> Self {
        Self { current: set, last: None, spares }
    }
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
                Err(error @ (StorageError::Unavailable(_) | StorageError::Internal(_))) => {
                    tracing::warn!(%error, "an ingester broke off");
                    let Some(next) = self.spares.take() else { return Err(error) };
                    self.current = next;
                }
                Err(other) => return Err(other),
            }
        }
    }
}
