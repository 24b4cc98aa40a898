//! Which blocks a query has still to be answered from. Pure; the querier carries it out.

use hashbrown::{HashMap, HashSet};
use model::{StorageError, TimeRange};
use tsdb::meta::Parent;
use ulid::Ulid;
use wire::client::{TriedGateways, WantedBlock};

use super::finder::FoundBlock;

/// The most store-gateways that are asked for one block.
const MAX_ATTEMPTS: usize = 3;

/// What blocks were made of.
pub(super) type Parents = HashMap<Ulid, Vec<Parent>>;

/// What was asked and what is missing.
pub(super) struct Tracker {
    /// All blocks, in the order of the bucket index.
    blocks: Vec<FoundBlock>,
    /// Those that nobody has answered from.
    missing: Vec<FoundBlock>,
    /// Blocks whose samples are in the answers.
    present: HashSet<Ulid>,
    tried: TriedGateways,
    /// Blocks that a store-gateway has and could not read, or whose store-gateway did not answer:
    /// for these nothing is excused.
    failed: HashSet<Ulid>,
    attempts_left: usize,
    /// How many store-gateways are asked for one block.
    max_attempts: usize,
}

impl Tracker {
    /// Of `blocks` none has been asked for.
    pub(super) fn new(blocks: Vec<FoundBlock>, replication_factor: usize) -> Self {
        let max_attempts = replication_factor.clamp(1, MAX_ATTEMPTS);
        let (tried, present, failed) = (TriedGateways::new(), HashSet::new(), HashSet::new());
        let missing = blocks.clone();
        let attempts_left = max_attempts;
        Self { blocks, missing, present, tried, failed, attempts_left, max_attempts }
    }

    /// For those of its blocks that turn out not to have been answered from. Who was asked is not
    /// asked again, and all of them are needed.
    pub(super) fn without_answer(&self, blocks: &[Ulid]) -> Self {
        let failed: HashSet<Ulid> = blocks.iter().copied().collect();
        let missing = self.blocks.iter().filter(|it| failed.contains(&it.id));
        let missing: Vec<FoundBlock> = missing.cloned().collect();
        let tried = self.tried.iter().filter(|(id, _)| failed.contains(*id));
        let tried: TriedGateways = tried.map(|(id, addresses)| (*id, addresses.clone())).collect();
        let most = tried.values().map(Vec::len).max().unwrap_or_default();
        Self {
            blocks: missing.clone(),
            present: HashSet::new(),
            attempts_left: self.max_attempts.saturating_sub(most),
            max_attempts: self.max_attempts,
            missing,
            tried,
            failed,
        }
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

    /// Whether each block has one store-gateway that is asked for it.
    pub(super) fn is_for_one(&self) -> bool {
        self.max_attempts == 1
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
        self.present.extend(queried);
        self.missing.retain(|block| !self.present.contains(&block.id));
    }

    /// Missing blocks that may be excused by what they were made of.
    pub(super) fn young_compactions(&self) -> Vec<Ulid> {
        let may_be = |it: &&FoundBlock| it.is_young_compaction && !self.failed.contains(&it.id);
        self.missing.iter().filter(may_be).map(|block| block.id).collect()
    }

    /// Excuses such blocks of which every parent that can hold samples of `range` was answered
    /// from, or is excused itself.
    pub(super) fn excuse(&mut self, parents: &Parents, range: TimeRange) {
        let of_ingesters = self.missing.iter().filter(|block| !self.is_needed(block));
        let mut present = self.present.clone();
        present.extend(of_ingesters.map(|block| block.id));
        let candidates = self.young_compactions();
        loop {
            let is_excused =
                |id: &Ulid| !present.contains(id) && is_covered(parents, *id, range, &present);
            let Some(&id) = candidates.iter().find(|&id| is_excused(id)) else { break };
            present.insert(id);
        }
        let excused: HashSet<Ulid> =
            candidates.into_iter().filter(|id| present.contains(id)).collect();
        self.missing.retain(|block| !excused.contains(&block.id));
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

/// Whether all samples of a block in `range` are in blocks that are `present`.
fn is_covered(parents: &Parents, id: Ulid, range: TimeRange, present: &HashSet<Ulid>) -> bool {
    let parents = parents.get(&id).map(Vec::as_slice).unwrap_or_default();
    let mut needed = parents
        .iter()
        .filter(|it| range.overlaps(it.min_time_ms, it.max_time_ms.saturating_sub(1)))
        .peekable();
    needed.peek().is_some() && needed.all(|parent| present.contains(&parent.ulid))
}
