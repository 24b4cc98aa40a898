//! Which series of two vectors belong together: signatures by `on` or `ignoring`.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME_LABEL};

use super::VectorOperator;
use crate::ast::VectorMatching;
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::SeriesBatch;

/// The series of both sides by their signatures.
pub(super) struct Signatures {
    /// For each signature the rows of the left and of the right side.
    pub(super) groups: Vec<SignatureGroup>,
    _meter: Meter,
}

/// The rows with one signature.
#[derive(Debug, Default)]
pub(super) struct SignatureGroup {
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
}

impl Signatures {
    /// Held in memory until the result is there.
    pub(super) fn new(
        operator: &VectorOperator<'_>,
        left: &SeriesBatch,
        right: &SeriesBatch,
    ) -> Result<Self, QueryError> {
        const LABELS: usize = 16;
        let cx = operator.cx;
        let (mut pace, mut meter) = (cx.pace(), cx.meter());
        let names = SignatureLabels::new(&operator.matching);
        let mut numbers: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState> = HashMap::default();
        let mut groups: Vec<SignatureGroup> = Vec::new();
        let mut key = Vec::new();
        let mut number_of = |labels: &Labels, groups: &mut Vec<SignatureGroup>| {
            pace.tick(LABELS)?;
            names.write_key(labels, &mut key);
            meter.add(size_of::<usize>())?;
            if let Some(number) = numbers.get(&key[..]) {
                return Ok::<usize, QueryError>(*number);
            }
            meter.add(key.len() + GROUP_BYTES)?;
            groups.push(SignatureGroup::default());
            numbers.insert(key.as_slice().into(), groups.len() - 1);
            Ok(groups.len() - 1)
        };
        for (row, head) in left.heads.iter().enumerate() {
            let number = number_of(&head.labels, &mut groups)?;
            groups[number].left.push(row);
        }
        for (row, head) in right.heads.iter().enumerate() {
            let number = number_of(&head.labels, &mut groups)?;
            groups[number].right.push(row);
        }
        Ok(Self { groups, _meter: meter })
    }
}

/// What a group takes besides its key: its entry, and two vectors with their first rows.
const GROUP_BYTES: usize = 160;

/// The labels of `on` or `ignoring`, quick to ask.
pub(super) struct SignatureLabels {
    /// Sorted.
    names: Vec<String>,
    on: bool,
}

impl SignatureLabels {
    pub(super) fn new(matching: &VectorMatching) -> Self {
        let mut names = matching.labels.clone();
        names.sort_unstable();
        Self { names, on: matching.on }
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
    }

    fn keeps(&self, name: &str) -> bool {
        if self.on {
            self.is_named(name)
        } else {
            name != METRIC_NAME_LABEL && !self.is_named(name)
        }
    }

    /// The labels that two series must have in common.
    pub(super) fn matched(&self, labels: &Labels) -> Labels {
        labels.retain(|name| self.keeps(name))
    }

    /// The labels of a one-to-one result.
    pub(super) fn keep_for_one_to_one(&self, name: &str) -> bool {
        self.is_named(name) == self.on
    }

    fn write_key(&self, labels: &Labels, key: &mut Vec<u8>) {
        key.clear();
        for label in labels.iter().filter(|label| self.keeps(label.name)) {
            for part in [label.name, label.value] {
                key.extend_from_slice(&part.len().to_le_bytes());
                key.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// For each step whether any series has a value.
pub(super) fn steps_with_values(batch: &SeriesBatch) -> Vec<bool> {
    let mut any = vec![false; batch.steps];
    for row in 0..batch.len() {
        for (step, any) in any.iter_mut().enumerate() {
            *any |= !batch.cell(row, step).is_absent();
        }
    }
    any
}
