//! Series of histograms, put together for `histogram_quantile` and its kin: the classic buckets
//! of one histogram become a group, and native histograms stand by themselves.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};

use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::{SeriesBatch, is_absent, label_bytes};
use crate::engine::context::{EvalContext, Site};

const BUCKET_LABEL: &str = "le";

/// The histograms of a vector.
pub(super) struct BucketGroups {
    /// The vector.
    pub(super) batch: SeriesBatch,
    /// Classic histograms, in the order of their first bucket.
    pub(super) classic: Vec<ClassicGroup>,
    /// Series with native histograms, and the classic group with the same labels.
    pub(super) native: Vec<NativeRow>,
    meter: Option<Meter>,
}

/// A bucket in its group, and its share of what a group takes.
const BUCKET_BYTES: usize = 32;

/// The buckets of one classic histogram.
pub(super) struct ClassicGroup {
    /// The labels without `le`.
    pub(super) labels: Labels,
    /// Upper bounds and rows, ascending.
    pub(super) buckets: Vec<(f64, usize)>,
    /// The native histogram series with the same labels.
    pub(super) native_row: Option<usize>,
}

/// A series with native histograms.
pub(super) struct NativeRow {
    /// Its row.
    pub(super) row: usize,
    /// The classic group with the same labels.
    pub(super) classic: Option<usize>,
}

impl BucketGroups {
    /// Sorts the series of `batch`, the argument at `site`.
    pub(super) fn new(
        batch: SeriesBatch,
        site: Site,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        const LABELS: usize = 32;
        let (mut pace, mut meter) = (cx.pace(), cx.meter());
        let mut groups = Self { batch, classic: Vec::new(), native: Vec::new(), meter: None };
        let mut by_labels: HashMap<Labels, usize, foldhash::fast::FixedState> = HashMap::default();
        for row in 0..groups.batch.len() {
            pace.tick(LABELS)?;
            if groups.batch.floats_of(row).iter().any(|v| !is_absent(*v)) {
                let before = groups.classic.len();
                groups.add_bucket(row, &mut by_labels, site, cx);
                let is_new = groups.classic.len() > before;
                let labels = if is_new { label_bytes(&groups.batch.heads[row].labels) } else { 0 };
                meter.add(labels + BUCKET_BYTES)?;
            }
        }
        for group in &mut groups.classic {
            group.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        for row in 0..groups.batch.len() {
            let histograms = groups.batch.histograms_of(row);
            if histograms.is_some_and(|all| all.iter().any(Option::is_some)) {
                let classic = by_labels.get(&groups.batch.heads[row].labels).copied();
                if let Some(classic) = classic {
                    groups.classic[classic].native_row = Some(row);
                }
                groups.native.push(NativeRow { row, classic });
            }
        }
        groups.meter = Some(meter);
        Ok(groups)
    }

    fn add_bucket(
        &mut self,
        row: usize,
        by_labels: &mut HashMap<Labels, usize, foldhash::fast::FixedState>,
        site: Site,
        cx: &EvalContext<'_>,
    ) {
        let labels = &self.batch.heads[row].labels;
        let text = labels.value(BUCKET_LABEL);
        let Some(bound) = parse_bound(text) else {
            let metric = shown_metric(labels, cx);
            cx.annotate(site, Annotation::BadBucketLabel { metric, value: text.to_owned() });
            return;
        };
        let mut builder = LabelsBuilder::new(labels);
        let labels = builder.remove(BUCKET_LABEL).build();
        let group = *by_labels.entry(labels.clone()).or_insert_with(|| {
            self.classic.push(ClassicGroup { labels, buckets: Vec::new(), native_row: None });
            self.classic.len() - 1
        });
        self.classic[group].buckets.push((bound, row));
    }

    /// Whether a classic histogram has a bucket at a step.
    pub(super) fn has_classic(&self, group: usize, step: usize) -> bool {
        let mut buckets = self.classic[group].buckets.iter();
        buckets.any(|&(_, row)| !is_absent(self.batch.floats_of(row)[step]))
    }
}

/// The metric's name as annotations show it: nothing where it went already.
pub(super) fn shown_metric(labels: &Labels, cx: &EvalContext<'_>) -> String {
    if cx.delays_name_removal() {
        labels.metric_name().unwrap_or_default().to_owned()
    } else {
        String::new()
    }
}

/// A bound as Go's `strconv.ParseFloat` reads it, as far as bounds are written: decimal numbers
/// and infinity.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok().filter(|bound: &f64| !bound.is_nan())
}
