//! Which group a series belongs to: found once for each series, not once for each step.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME_LABEL};

use crate::engine::QueryError;
use crate::engine::batch::{SeriesBatch, SeriesHead, label_bytes};
use crate::engine::context::EvalContext;
use crate::engine::naming::is_metadata_label;

/// The clause `by (…)` or `without (…)`.
pub(super) struct Grouping {
    /// Sorted, each once.
    labels: Vec<String>,
    without: bool,
}

impl Grouping {
    pub(super) fn new(mut labels: Vec<String>, without: bool) -> Self {
        labels.dedup();
        Self { labels, without }
    }

    /// The same clause with `label` among those of `by`.
    pub(super) fn and_by(&self, label: &str) -> Self {
        let mut labels = self.labels.clone();
        if !self.without {
            labels.push(label.to_owned());
            labels.sort_unstable();
        }
        Self::new(labels, self.without)
    }

    /// Whether all series are in the same group.
    fn is_one_group(&self) -> bool {
        !self.without && self.labels.is_empty()
    }

    /// Whether groups keep metric names.
    pub(super) fn keeps_names(&self) -> bool {
        !self.without && self.labels.iter().any(|name| is_metadata_label(name))
    }

    fn keeps(&self, name: &str) -> bool {
        let named = self.labels.binary_search_by(|label| label.as_str().cmp(name)).is_ok();
        if self.without { !named && name != METRIC_NAME_LABEL } else { named }
    }

    /// The labels of the group of a series.
    pub(super) fn labels_of(&self, labels: &Labels) -> Labels {
        labels.retain(|name| self.keeps(name))
    }

    /// Writes what tells the group of a series from others.
    fn write_key(&self, head: &SeriesHead, settle: bool, key: &mut Vec<u8>) {
        key.clear();
        let drops_metadata = settle && head.drop_name;
        for label in &head.labels {
            if self.keeps(label.name) && !(drops_metadata && is_metadata_label(label.name)) {
                for part in [label.name, label.value] {
                    key.extend_from_slice(&part.len().to_le_bytes());
                    key.extend_from_slice(part.as_bytes());
                }
            }
        }
    }
}

/// The groups that have been seen.
pub(super) struct Groups<'a> {
    grouping: &'a Grouping,
    numbers: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState>,
    key: Vec<u8>,
    settle: bool,
    /// For each group its labels, and whether the name of one of its series is to go.
    pub(super) heads: Vec<SeriesHead>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(grouping: &'a Grouping, cx: &EvalContext<'_>) -> Self {
        Self {
            grouping,
            numbers: HashMap::default(),
            key: Vec::new(),
            settle: !cx.delays_name_removal(),
            heads: Vec::new(),
        }
    }

    /// The number of the group of a series; counted from 0 in the order of their first series.
    pub(super) fn number_of(&mut self, head: &SeriesHead) -> usize {
        // Without looking at the labels: another thread has made them, and they are far away.
        if self.grouping.is_one_group() && !self.heads.is_empty() {
            self.heads[0].drop_name |= head.drop_name && !self.settle;
            return 0;
        }
        self.grouping.write_key(head, self.settle, &mut self.key);
        if let Some(number) = self.numbers.get(&self.key[..]) {
            self.heads[*number].drop_name |= head.drop_name && !self.settle;
            return *number;
        }
        let number = self.heads.len();
        self.numbers.insert(self.key.as_slice().into(), number);
        let labels = if self.settle && head.drop_name {
            self.grouping.labels_of(&crate::engine::naming::without_metadata(&head.labels))
        } else {
            self.grouping.labels_of(&head.labels)
        };
        self.heads.push(SeriesHead { labels, drop_name: head.drop_name && !self.settle });
        number
    }

    /// The bytes that a group takes here: its key and its labels.
    pub(super) fn bytes_of(&self, number: usize) -> usize {
        const ENTRY_BYTES: usize = 40;
        ENTRY_BYTES + size_of::<SeriesHead>() + 3 * label_bytes(&self.heads[number].labels)
    }

    /// The rows of a batch by their groups.
    pub(super) fn rows_by_group(
        &mut self,
        batch: &SeriesBatch,
        cx: &EvalContext<'_>,
    ) -> Result<Vec<Vec<usize>>, QueryError> {
        const LABELS: usize = 16;
        let (mut pace, mut meter) = (cx.pace(), cx.meter());
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for (row, head) in batch.heads.iter().enumerate() {
            pace.tick(LABELS)?;
            let number = self.number_of(head);
            if number == rows.len() {
                meter.add(self.bytes_of(number) + size_of::<Vec<usize>>())?;
                rows.push(Vec::new());
            }
            meter.add(size_of::<usize>())?;
            rows[number].push(row);
        }
        Ok(rows)
    }
}
