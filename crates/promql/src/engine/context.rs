//! What all operators of one query share: options, storage, limits, annotations.
//!
//! Made by the engine for one query, lent to operators and to the jobs that they spread over the
//! executor.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Executor, Querier, QueryContext};

use super::account::{Meter, SampleAccount};
use super::batch::SeriesBatch;
use super::narrowing::Narrowings;
use super::pace::{Pace, Pieces};
use super::plan::Plan;
use super::profile::{Measured, Profile};
use super::recorder::Recorder;
use super::sample_counts::SampleCounts;
use super::select::LeftSamples;
use super::{EngineOptions, QueryError, QueryStats};
use crate::annotations::{Annotation, Annotations};
use crate::position::PositionRange;

/// The surroundings of a running query.
pub(crate) struct EvalContext<'q> {
    /// The engine's options.
    pub(crate) options: &'q EngineOptions,
    /// Limits, deadline and cancellation.
    query: &'q QueryContext,
    /// Storage; `None` if the query selects no series.
    pub(crate) querier: Option<Box<dyn Querier>>,
    /// What is held.
    pub(crate) account: Arc<SampleAccount>,
    /// Of each pair of selectors, what the first one left for the other one.
    pub(crate) left_samples: Vec<Arc<LeftSamples>>,
    /// What left sides of joins say about right sides.
    pub(crate) narrowings: Narrowings,
    /// What nodes do, if that is measured.
    pub(crate) profile: Option<Profile>,
    /// What each step looks at, if that is counted.
    pub(crate) sample_counts: Option<SampleCounts>,
    recorder: Option<Recorder>,
    annotations: Mutex<Annotations>,
    total_samples: AtomicU64,
}

/// The place of an expression in the query, for its annotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    /// When it is evaluated: its number among the nodes of the plan.
    pub(crate) order: usize,
    /// Where it stands.
    pub(crate) pos: PositionRange,
}

impl<'q> EvalContext<'q> {
    /// The surroundings of a query that begins to carry out `plan`.
    pub(crate) fn new(
        options: &'q EngineOptions,
        query: &'q Arc<QueryContext>,
        querier: Option<Box<dyn Querier>>,
        plan: &Plan,
    ) -> Self {
        let account = Arc::new(SampleAccount::new(options.max_samples, Arc::clone(query)));
        let has_aliases = plan.nodes.iter().any(|node| node.marks.alias.is_some());
        let left_samples = || LeftSamples::new(Arc::clone(&account));
        Self {
            options,
            query,
            querier,
            left_samples: std::iter::repeat_with(left_samples).take(plan.pairs).collect(),
            narrowings: Narrowings::default(),
            profile: None,
            sample_counts: None,
            recorder: has_aliases.then(Recorder::default),
            account,
            annotations: Mutex::default(),
            total_samples: AtomicU64::new(0),
        }
    }

    /// Fails when the query must stop.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.query.check().map_err(QueryError::from)
    }

    /// Asks now and then whether the query must stop.
    pub(crate) fn pace(&self) -> Pace<'_> {
        Pace::new(self)
    }

    /// A long loop in parts, with a question between them; ends early when the query must stop,
    /// so that who looks at the result must ask once more.
    pub(crate) fn pieces(&self, all: Range<usize>) -> Pieces<'_> {
        Pieces::new(self, all)
    }

    /// Counts the memory of something that grows.
    pub(crate) fn meter(&self) -> Meter {
        Meter::new(&self.account)
    }

    /// Where independent series are worked on.
    pub(crate) fn executor(&self) -> &dyn Executor {
        &*self.options.executor
    }

    /// Names are removed at the end of the query.
    pub(crate) fn delays_name_removal(&self) -> bool {
        self.options.enable_delayed_name_removal
    }

    /// Counts samples that a function looked at.
    pub(crate) fn count_samples(&self, count: u64) {
        self.total_samples.fetch_add(count, Ordering::Relaxed);
        self.query.add_samples(count);
    }

    /// Samples that functions have looked at.
    pub(crate) fn total_samples(&self) -> u64 {
        self.total_samples.load(Ordering::Relaxed)
    }

    /// Takes the values of `batch` into account for as long as it lives. Cells without a value
    /// take room as well, so that of many of them some count as samples.
    pub(crate) fn hold(&self, batch: &mut SeriesBatch) -> Result<(), QueryError> {
        const CELLS_PER_SAMPLE: u64 = 4;
        batch.reservation = None;
        batch.shrink();
        let cells = batch.floats.len() as u64;
        let samples = batch.sample_count().max(cells / CELLS_PER_SAMPLE);
        let reservation = self.account.reserve(samples, batch.held_bytes())?;
        batch.reservation = Some(reservation);
        Ok(())
    }

    /// No series, with room for `series` of them that is taken into account.
    pub(crate) fn new_batch(&self, series: usize, steps: usize) -> Result<SeriesBatch, QueryError> {
        let bytes = series.saturating_mul(steps).saturating_mul(size_of::<f64>());
        let room = self.account.reserve(0, bytes as u64)?;
        let batch = SeriesBatch::with_capacity(series, steps);
        Ok(SeriesBatch { reservation: Some(room), ..batch })
    }

    /// Adds a warning or an info.
    pub(crate) fn annotate(&self, site: Site, annotation: Annotation) {
        if let Some(recorder) = &self.recorder {
            recorder.record(site, annotation.clone());
        }
        self.add_annotation(site, annotation);
    }

    /// Repeats the annotations of places for the corresponding other places.
    pub(crate) fn repeat_annotations(&self, sites: &[(Site, Site)]) {
        let Some(recorder) = &self.recorder else { return };
        for (from, to) in sites {
            for annotation in recorder.of(*from) {
                self.add_annotation(*to, annotation);
            }
        }
    }

    fn add_annotation(&self, site: Site, annotation: Annotation) {
        let mut annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.add(site.order, site.pos, annotation);
    }

    /// What the query gathered besides its value.
    pub(crate) fn finish(self) -> (Annotations, QueryStats, Vec<Measured>) {
        let annotations = self.annotations.into_inner().unwrap_or_else(PoisonError::into_inner);
        let samples_per_step = self.sample_counts.map(SampleCounts::into_steps).unwrap_or_default();
        let total_samples = match &samples_per_step[..] {
            [] => self.total_samples.into_inner(),
            steps => steps.iter().map(|(_, samples)| samples).sum(),
        };
        let stats =
            QueryStats { total_samples, samples_per_step, peak_samples: self.account.peak() };
        let measured = self.profile.map(Profile::into_measured).unwrap_or_default();
        (annotations, stats, measured)
    }
}
