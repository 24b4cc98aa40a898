//! Groups of ingesters that were not needed for an answer, and can stand in for others.

use std::sync::Arc;

use model::{SeriesSet, StorageError};
use parking_lot::Mutex;

use crate::replaced::{Substitutes, may_replace};

type Open = Box<dyn Fn(&[String]) -> Result<Box<dyn SeriesSet>, StorageError> + Send + Sync>;

/// Groups that can stand in for others, each once.
pub(super) struct Spares {
    groups: Mutex<Vec<Vec<String>>>,
    open: Open,
}

impl Spares {
    /// These groups, whose series `open` opens.
    pub(super) fn new(groups: Vec<Vec<String>>, open: Open) -> Arc<Self> {
        Arc::new(Self { groups: Mutex::new(groups), open })
    }

    /// What one stream is replaced by. All streams share the groups.
    pub(super) fn substitutes(self: &Arc<Self>) -> Substitutes {
        let this = Arc::clone(self);
        Box::new(move || this.take())
    }

    /// The series of the next group that can be opened; `None` when there is none.
    fn take(&self) -> Result<Option<Box<dyn SeriesSet>>, StorageError> {
        loop {
            let Some(group) = self.groups.lock().pop() else { return Ok(None) };
            match (self.open)(&group) {
                Ok(set) => return Ok(Some(set)),
                Err(error) if may_replace(&error) => {
                    tracing::warn!(%error, "a replica cannot stand in for another one");
                }
                Err(other) => return Err(other),
            }
        }
    }
}
