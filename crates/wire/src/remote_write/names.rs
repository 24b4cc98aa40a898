//! Lists of label names that the series of a request share.
//!
//! Neighbours in a request nearly always have the same label names. Comparing them with those of
//! a series before costs less than checking their order, and what comes later (validation, the
//! look-up in the head) then asks about names once a list. Used by `labels.rs` alone.

use model::batch::{BatchRange, NameListId};
use model::bytes::same_bytes;
use model::{Label, WriteBatch};

/// A request has at most this many lists; series with other names have none.
const MAX_LISTS: usize = 64;
/// How many of the last lists a series is compared with.
const TRIED: usize = 8;

/// The lists that were used last, the newest first.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    recent: [Option<NameListId>; TRIED],
}

impl KnownNames {
    /// The recent list that has exactly the names of `labels`.
    #[inline]
    pub(super) fn find(
        &mut self,
        labels: &[Label<'_>],
        batch: &WriteBatch<'_>,
    ) -> Option<NameListId> {
        for position in 0..TRIED {
            let list = self.recent[position]?;
            if has_names(batch, list, labels) {
                self.recent[..=position].rotate_right(1);
                return Some(list);
            }
        }
        None
    }

    /// Makes the names of the labels at `labels` of `batch`, which are ascending, a list;
    /// `None` when there are too many.
    #[cold]
    pub(super) fn add(
        &mut self,
        labels: BatchRange,
        batch: &mut WriteBatch<'_>,
    ) -> Option<NameListId> {
        if batch.name_lists.len() >= MAX_LISTS {
            return None;
        }
        let list = NameListId::new(batch.name_lists.len())?;
        batch.name_lists.push(labels);
        self.recent.rotate_right(1);
        self.recent[0] = Some(list);
        Some(list)
    }

    /// The labels of `batch` from index `start` on are going to be removed.
    #[cold]
    pub(super) fn forget(&mut self, start: u32, batch: &mut WriteBatch<'_>) {
        if batch.name_lists.last().is_some_and(|labels| labels.start >= start) {
            batch.name_lists.pop();
            self.recent = Default::default();
        }
    }
}

#[inline]
fn has_names(batch: &WriteBatch<'_>, list: NameListId, labels: &[Label<'_>]) -> bool {
    let known = &batch.labels[batch.name_lists[list.index()].range()];
    let same = |(known, label): (&Label<'_>, &Label<'_>)| {
        same_bytes(known.name.as_bytes(), label.name.as_bytes())
    };
    known.len() == labels.len() && known.iter().zip(labels).all(same)
}
