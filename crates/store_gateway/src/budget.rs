//! The memory that requests may take, one by one and all together, so that no tenant takes the
//! process down.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{LimitError, LimitKind};

/// Memory of all requests.
pub(crate) struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Budget {
    /// At most so many bytes; 0 = no bound.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: AtomicU64::new(0) }
    }

    /// What is taken now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing when that would be too much.
    pub(crate) fn take(&self, bytes: u64, kind: LimitKind) -> Result<(), LimitError> {
        let now = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.limit_bytes == 0 || now <= self.limit_bytes {
            return Ok(());
        }
        self.give_back(bytes);
        Err(LimitError { kind, limit: self.limit_bytes })
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_taken() {
        let budget = Budget::new(100);
        assert!(budget.take(60, LimitKind::StoreMemory).is_ok());
        let error = budget.take(41, LimitKind::StoreMemory).unwrap_err();
        assert_eq!((error.kind, error.limit), (LimitKind::StoreMemory, 100));
        assert!(budget.take(40, LimitKind::StoreMemory).is_ok());
        budget.give_back(100);
        assert_eq!(budget.used_bytes(), 0);
        assert!(Budget::new(0).take(u64::MAX / 2, LimitKind::StoreMemory).is_ok());
    }
}
