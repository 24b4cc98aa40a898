//! What is wrong with a request, by Mimir's rules and in Mimir's words: every series and sample
//! that is not valid is taken out of the batch, and the first error is kept.
//!
//! Called by [`crate::Distributor`]. Never fails a request as a whole: the valid rest goes on.

mod exemplars;
mod histograms;
mod labels;
mod message;
mod metadata;
mod name_lists;
mod samples;
mod undecodable;

use config::Limits;
use model::batch::{BatchRange, BatchSeries};
use model::{TimestampMs, WriteBatch};

use name_lists::NameLists;
use undecodable::Refusals;

/// The limits of a tenant in the form that the checks read.
#[derive(Debug, Clone)]
pub(crate) struct ValidationLimits {
    max_label_names: usize,
    max_label_names_info: usize,
    max_label_name_bytes: usize,
    max_label_value_bytes: usize,
    max_metadata_bytes: usize,
    enforce_metadata_metric_name: bool,
    utf8_names: bool,
    creation_grace_ms: i64,
    past_grace_ms: Option<i64>,
    max_histogram_buckets: usize,
    reduce_histograms: bool,
    histograms_enabled: bool,
    exemplars_enabled: bool,
    max_exemplars_per_series: usize,
}

impl ValidationLimits {
    pub(crate) fn new(limits: &Limits) -> Self {
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let past_grace_ms = limits.past_grace_period.millis();
        Self {
            max_label_names: bytes(limits.max_label_names_per_series),
            max_label_names_info: bytes(limits.max_label_names_per_info_series),
            max_label_name_bytes: bytes(limits.max_label_name_length),
            max_label_value_bytes: bytes(limits.max_label_value_length),
            max_metadata_bytes: bytes(limits.max_metadata_length),
            enforce_metadata_metric_name: limits.enforce_metadata_metric_name,
            utf8_names: limits.name_validation_scheme == config::NameScheme::Utf8,
            creation_grace_ms: limits.creation_grace_period.millis(),
            past_grace_ms: (past_grace_ms > 0)
                .then(|| past_grace_ms + limits.out_of_order_time_window.millis()),
            max_histogram_buckets: bytes(limits.max_native_histogram_buckets),
            reduce_histograms: limits.reduce_native_histogram_over_max_buckets,
            histograms_enabled: limits.native_histograms_ingestion_enabled,
            exemplars_enabled: limits.max_global_exemplars_per_user > 0,
            max_exemplars_per_series: bytes(limits.max_exemplars_per_series_per_request),
        }
    }
}

/// Why a sample, series or metadata was discarded; the label `reason` of
/// `cortex_discarded_samples_total` is Mimir's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reason(pub(crate) &'static str);

/// What the checks have found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The text of the first error.
    pub(crate) first_error: Option<String>,
    /// How many samples were discarded for what.
    pub(crate) discarded_samples: Vec<(Reason, u64)>,
    /// How many pieces of metadata were discarded for what.
    pub(crate) discarded_metadata: Vec<(Reason, u64)>,
    /// How many exemplars were discarded for what; the sender is not told.
    pub(crate) discarded_exemplars: Vec<(Reason, u64)>,
}

impl Findings {
    fn discard_samples(&mut self, error: Rejection, count: u64) {
        add(&mut self.discarded_samples, error.reason, count);
        self.first_error.get_or_insert(error.message);
    }

    fn discard_metadata(&mut self, error: Rejection) {
        add(&mut self.discarded_metadata, error.reason, 1);
        self.first_error.get_or_insert(error.message);
    }
}

fn add(counts: &mut Vec<(Reason, u64)>, reason: Reason, count: u64) {
    match counts.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, sum)) => *sum += count,
        None => counts.push((reason, count)),
    }
}

/// Something was rejected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    reason: Reason,
    message: String,
}

/// Takes everything that is not valid out of `batch`.
pub(crate) fn validate(
    batch: &mut WriteBatch<'_>,
    limits: &ValidationLimits,
    now_ms: TimestampMs,
) -> Findings {
    let mut findings = Findings::default();
    if !limits.exemplars_enabled {
        batch.exemplars.clear();
        batch.series.iter_mut().for_each(|s| s.exemplars = BatchRange::default());
    }
    let cx = Cx { limits, now_ms };
    let mut names = NameLists::default();
    let mut series = std::mem::take(&mut batch.series);
    if !batch.exemplars.is_empty() {
        let times = exemplars::times(batch, &cx);
        for s in &mut series {
            exemplars::retain_valid(batch, s, (&cx, &times), &mut findings);
        }
    }
    let undecodable = std::mem::take(&mut batch.undecodable);
    let mut refusals = Refusals::new(&undecodable);
    let mut index = 0;
    series.retain_mut(|s| {
        refusals.before(index, limits, &mut findings);
        index += 1;
        if s.labels.is_empty() {
            // Some senders send empty series; nobody is told, as in Mimir.
            return false;
        }
        let is_known = names.have_valid_labels(batch, s, limits);
        (is_known || has_valid_labels(batch, s, limits, &mut findings))
            && has_valid_samples(batch, s, &cx, &mut findings)
    });
    refusals.before(usize::MAX, limits, &mut findings);
    batch.series = series;
    batch.metadata.retain_mut(|m| match metadata::check(m, limits) {
        Ok(()) => true,
        Err(error) => {
            findings.discard_metadata(error);
            false
        }
    });
    findings
}

/// What every check is given.
pub(crate) struct Cx<'a> {
    limits: &'a ValidationLimits,
    now_ms: TimestampMs,
}

/// Checks labels one by one, and says what is wrong.
fn has_valid_labels(
    batch: &WriteBatch<'_>,
    series: &BatchSeries,
    limits: &ValidationLimits,
    findings: &mut Findings,
) -> bool {
    let sample_count = (series.samples.len() + series.histograms.len()) as u64;
    let checked = labels::check(batch.labels_of(series), limits);
    checked.map_err(|error| findings.discard_samples(error, sample_count.max(1))).is_ok()
}

/// Checks samples; false when nothing of the series is left.
fn has_valid_samples(
    batch: &mut WriteBatch<'_>,
    series: &mut BatchSeries,
    cx: &Cx<'_>,
    findings: &mut Findings,
) -> bool {
    samples::retain_valid(batch, series, cx, findings);
    if !series.histograms.is_empty() {
        histograms::retain_valid(batch, series, cx, findings);
    }
    !(series.samples.is_empty() && series.histograms.is_empty() && series.exemplars.is_empty())
}

#[cfg(test)]
mod tests;
