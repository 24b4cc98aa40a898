//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, over classic buckets
//! and over native histograms.

use model::histogram::NanObservations;
use model::histogram::classic::{ClassicBucket, bucket_fraction, bucket_quantile};
use model::{FloatHistogram, Labels, LabelsBuilder};

use super::CallContext;
use super::args::Args;
use super::bucket_groups::{BucketGroups, ClassicGroup, shown_metric};
use crate::annotations::{Annotation, ForcedMonotonicity};
use crate::engine::QueryError;
use crate::engine::account::Meter;
use crate::engine::batch::{SeriesBatch, SeriesHead, is_absent};
use crate::engine::context::Site;
use crate::engine::naming::{Duplicates, merge_duplicates, remove_names, settle_names};
use crate::engine::operand::{Operand, ScalarColumn};
use crate::engine::stream::VectorStream;
use crate::gofmt::format_openmetrics;

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let (measures, vector_at) = match call.name {
        "histogram_fraction" => {
            let (lower, upper) = (args.scalar(0)?, args.scalar(1)?);
            (vec![Measure { kind: MeasureKind::Fraction { lower, upper }, label: None }], 2)
        }
        "histogram_quantile" => {
            let q = args.scalar(0)?;
            validate_quantiles(call, args.site(0, call.site), &q);
            (vec![Measure { kind: MeasureKind::Quantile(q), label: None }], 1)
        }
        _ => (labelled_quantiles(call, args)?, 0),
    };
    let site = args.site(vector_at, call.site);
    let mut batch = args.vector(vector_at)?.collect(call.cx)?;
    settle_names(&mut batch, call.cx);
    let groups = BucketGroups::new(batch, site, call.cx)?;
    let evaluation = Evaluation { call, site, groups: &groups };
    let batch = SeriesBatch::with_capacity(0, call.grid.count);
    let mut out = Results { batch, meter: call.cx.meter() };
    for measure in &measures {
        evaluation.native(measure, &mut out)?;
        evaluation.classic(measure, &mut out)?;
    }
    finish(call, out.batch)
}

fn finish(call: &CallContext<'_>, mut out: SeriesBatch) -> Result<Operand, QueryError> {
    out.prune();
    if !call.cx.delays_name_removal() {
        remove_names(&mut out);
    }
    // With delayed removal an instant query looks for series that are alike at its end only.
    if !(call.cx.delays_name_removal() && call.grid.is_instant()) {
        out = merge_duplicates(out, Duplicates::Merge, call.cx)?;
    }
    call.cx.hold(&mut out)?;
    Ok(Operand::Vector(VectorStream::of(out)))
}

/// What is asked of a histogram.
struct Measure {
    kind: MeasureKind,
    /// A label that tells the results of several quantiles apart.
    label: Option<(String, Vec<String>)>,
}

enum MeasureKind {
    Quantile(ScalarColumn),
    Fraction { lower: ScalarColumn, upper: ScalarColumn },
}

fn validate_quantiles(call: &CallContext<'_>, site: Site, q: &ScalarColumn) {
    for q in q.distinct(call.grid.count) {
        if !(0.0..=1.0).contains(q) {
            call.cx.annotate(site, Annotation::InvalidQuantile(*q));
        }
    }
}

fn labelled_quantiles(call: &CallContext<'_>, args: &mut Args) -> Result<Vec<Measure>, QueryError> {
    let name = String::from_utf8_lossy(&args.text(1)?).into_owned();
    let mut measures = Vec::new();
    for index in 2..args.len() {
        let q = args.scalar(index)?;
        validate_quantiles(call, args.site(index, call.site), &q);
        let values = q.distinct(call.grid.count).iter().map(|q| format_openmetrics(*q)).collect();
        measures
            .push(Measure { kind: MeasureKind::Quantile(q), label: Some((name.clone(), values)) });
    }
    Ok(measures)
}

impl Measure {
    /// The labels of the result at a step.
    fn labels(&self, labels: &Labels, step: usize) -> Labels {
        let Some((name, values)) = &self.label else { return labels.clone() };
        let value = if values.len() == 1 { &values[0] } else { &values[step] };
        let mut builder = LabelsBuilder::new(labels);
        builder.set(name, value);
        builder.build()
    }

    /// Whether all steps have the same labels.
    fn has_fixed_labels(&self) -> bool {
        self.label.as_ref().is_none_or(|(_, values)| values.len() == 1)
    }
}

struct Evaluation<'a> {
    call: &'a CallContext<'a>,
    site: Site,
    groups: &'a BucketGroups,
}

impl Evaluation<'_> {
    fn native(&self, measure: &Measure, out: &mut Results) -> Result<(), QueryError> {
        const HISTOGRAM: usize = 64;
        let mut pace = self.call.cx.pace();
        for native in &self.groups.native {
            let labels = &self.groups.batch.heads[native.row].labels;
            let mut target = Target::new(measure, labels);
            let histograms = self.groups.batch.histograms_of(native.row).unwrap_or_default();
            for (step, histogram) in histograms.iter().enumerate() {
                let Some(histogram) = histogram else { continue };
                pace.tick(HISTOGRAM)?;
                if native.classic.is_some_and(|group| self.groups.has_classic(group, step)) {
                    let metric = shown_metric(labels, self.call.cx);
                    self.annotate(Annotation::MixedClassicNativeHistograms(metric));
                    continue;
                }
                let value = self.native_value(measure, histogram, step, labels);
                target.set(step, value, out)?;
                self.call.cx.account.check_size(out.batch.floats.len())?;
            }
            self.call.cx.check()?;
        }
        Ok(())
    }

    fn native_value(
        &self,
        measure: &Measure,
        histogram: &FloatHistogram,
        step: usize,
        labels: &Labels,
    ) -> f64 {
        let metric = || shown_metric(labels, self.call.cx);
        match &measure.kind {
            MeasureKind::Quantile(q) => {
                let (value, nans) = histogram.quantile(q.at(step));
                match nans {
                    NanObservations::None => {}
                    NanObservations::ResultIsNan => {
                        self.annotate(Annotation::QuantileNanResult(metric()));
                    }
                    NanObservations::ResultIsSkewed => {
                        self.annotate(Annotation::QuantileNanSkew(metric()));
                    }
                }
                value
            }
            MeasureKind::Fraction { lower, upper } => {
                let (value, has_nans) = histogram.fraction(lower.at(step), upper.at(step));
                if has_nans {
                    self.annotate(Annotation::FractionNans(metric()));
                }
                value
            }
        }
    }

    fn classic(&self, measure: &Measure, out: &mut Results) -> Result<(), QueryError> {
        let (mut buckets, mut pace) = (Vec::new(), self.call.cx.pace());
        for group in &self.groups.classic {
            let mut target = Target::new(measure, &group.labels);
            for step in 0..self.call.grid.count {
                pace.tick(group.buckets.len())?;
                if self.has_native(group, step) {
                    continue;
                }
                self.gather(group, step, &mut buckets);
                if buckets.is_empty() {
                    continue;
                }
                let value = self.classic_value(measure, group, &mut buckets, step);
                target.set(step, value, out)?;
                self.call.cx.account.check_size(out.batch.floats.len())?;
            }
            self.call.cx.check()?;
        }
        Ok(())
    }

    fn has_native(&self, group: &ClassicGroup, step: usize) -> bool {
        let histograms = group.native_row.and_then(|row| self.groups.batch.histograms_of(row));
        histograms.is_some_and(|all| all[step].is_some())
    }

    fn gather(&self, group: &ClassicGroup, step: usize, buckets: &mut Vec<ClassicBucket>) {
        buckets.clear();
        for &(upper_bound, row) in &group.buckets {
            let count = self.groups.batch.floats[row * self.groups.batch.steps + step];
            if !is_absent(count) {
                buckets.push(ClassicBucket { upper_bound, count });
            }
        }
    }

    fn classic_value(
        &self,
        measure: &Measure,
        group: &ClassicGroup,
        buckets: &mut Vec<ClassicBucket>,
        step: usize,
    ) -> f64 {
        match &measure.kind {
            MeasureKind::Quantile(q) => {
                let result = bucket_quantile(q.at(step), buckets);
                if let Some(forced) = result.forced_monotonic {
                    let time = self.call.grid.time(step);
                    self.annotate(Annotation::ForcedMonotonicity(ForcedMonotonicity {
                        metric: shown_metric(&group.labels, self.call.cx),
                        times_ms: (time, time),
                        buckets: (forced.min_bucket, forced.max_bucket),
                        max_diff: forced.max_diff,
                        count: 1,
                    }));
                }
                result.value
            }
            MeasureKind::Fraction { lower, upper } => {
                bucket_fraction(lower.at(step), upper.at(step), buckets)
            }
        }
    }

    fn annotate(&self, annotation: Annotation) {
        self.call.cx.annotate(self.site, annotation);
    }
}

/// The results, and what they take.
struct Results {
    batch: SeriesBatch,
    meter: Meter,
}

/// Where the results of one histogram go: one row, or one for each quantile's label.
struct Target<'a> {
    measure: &'a Measure,
    labels: &'a Labels,
    row: Option<usize>,
}

impl<'a> Target<'a> {
    fn new(measure: &'a Measure, labels: &'a Labels) -> Self {
        Self { measure, labels, row: None }
    }

    fn set(&mut self, step: usize, value: f64, out: &mut Results) -> Result<(), QueryError> {
        let row = match self.row {
            Some(row) if self.measure.has_fixed_labels() => row,
            _ => {
                let labels = self.measure.labels(self.labels, step);
                out.batch.push_metered(SeriesHead { labels, drop_name: true }, &mut out.meter)?
            }
        };
        self.row = Some(row);
        out.batch.floats_of_mut(row)[step] = value;
        Ok(())
    }
}
