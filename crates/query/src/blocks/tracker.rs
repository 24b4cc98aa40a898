//! Which blocks a query has still to be answered from. Pure; the querier carries it out.

use hashbrown::HashSet;
use model::StorageError;
use ulid::Ulid;
use wire::client::{TriedGateways, WantedBlock};

use super::finder::FoundBlock;

/// The most store-gateways that are asked for one block.
const MAX_ATTEMPTS: usize = 3;

/// What was asked and what is missing.
pub(super) struct Tracker {
    /// In the order of the bucket index.
    missing: Vec<FoundBlock>,
    tried: TriedGateways,
    /// Blocks that a store-gateway has and could not read, or whose store-gateway did not answer:
    /// for these nothing is excused.
    failed: HashSet<Ulid>,
    attempts_left: usize,
}

impl Tracker {
    /// Of `blocks` none has been asked for.
    pub(super) fn new(blocks: Vec<FoundBlock>, replication_factor: usize) -> Self {
        let attempts_left = replication_factor.clamp(1, MAX_ATTEMPTS);
        Self { missing: blocks, tried: TriedGateways::new(), failed: HashSet::new(), attempts_left }
    }

    /// The blocks to ask for now; `None` when there are none or it has been tried often enough.
    pub(super) fn next(&mut self) -> Option<Vec<WantedBlock>> {
        let is_first = self.tried.is_empty();
        // What is best effort is asked for once, unless it is known to be there.
        let wanted = self.missing.iter().filter(|block| is_first || self.is_needed(block));
        let wanted = wanted.map(|it| WantedBlock { id: it.id, max_time_ms: it.max_time_ms });
        let wanted: Vec<WantedBlock> = wanted.collect();
        if wanted.is_empty() || self.attempts_left == 0 {
            return None;
        }
        self.attempts_left -= 1;
        Some(wanted)
    }

    fn is_needed(&self, block: &FoundBlock) -> bool {
        !block.is_best_effort || self.failed.contains(&block.id)
    }

    /// Who was asked for which block.
    pub(super) fn tried(&self) -> &TriedGateways {
        &self.tried
    }

    /// A store-gateway was asked for these blocks.
    pub(super) fn asked(&mut self, address: &str, blocks: &[Ulid]) {
        for &id in blocks {
            self.tried.entry(id).or_default().push(address.to_owned());
        }
    }

    /// A store-gateway has answered.
    pub(super) fn answered(&mut self, queried: &[Ulid], failed: &[Ulid]) {
        self.failed.extend(failed);
        let queried: HashSet<Ulid> = queried.iter().copied().collect();
        self.missing.retain(|block| !queried.contains(&block.id));
    }

    /// A store-gateway could not answer.
    pub(super) fn did_not_answer(&mut self, blocks: &[Ulid]) {
        self.failed.extend(blocks);
    }

    /// Whether everything was answered that must be.
    pub(super) fn finish(&self) -> Result<(), StorageError> {
        let missing = self.missing.iter().filter(|block| self.is_needed(block));
        let mut missing: Vec<Ulid> = missing.map(|block| block.id).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        let missing: Vec<String> = missing.iter().map(Ulid::to_string).collect();
        Err(StorageError::Internal(format!(
            "failed to fetch some blocks (err-mimir-store-consistency-check-failed). The failed \
             blocks are: {}",
            missing.join(" ")
        )))
    }
}
