//! What each node of a plan did: measured while a query runs, for `analyze`.
//!
//! A query is driven by one thread: the stack of nodes that are at work on it says which of them
//! time and samples belong to. Jobs on other threads end before the node that waits for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Clock;

use super::QueryError;
use super::batch::SeriesBatch;
use super::context::EvalContext;
use super::operand::Operand;
use super::plan::NodeId;
use super::stream::{SeriesMap, SeriesSource, VectorStream, apply_maps};

/// What a node did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Series that it gave.
    pub series: u64,
    /// Samples that it gave: values of all series at all steps.
    pub samples: u64,
    /// Samples that it looked at itself.
    pub samples_read: u64,
    /// Wall-clock time that it took, without its operands.
    pub time: Duration,
    /// The most memory that the query held at the end of a piece of its work, bytes.
    pub peak_memory_bytes: u64,
    /// Whether it was carried out at all.
    pub was_run: bool,
}

/// The measurements of a running query.
pub(crate) struct Profile {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    nodes: Vec<Measured>,
    at_work: Vec<NodeId>,
    since: Duration,
    samples_then: u64,
}

impl Profile {
    /// Nothing is measured yet.
    pub(crate) fn new(nodes: usize, clock: Arc<dyn Clock>) -> Self {
        let since = clock.monotonic();
        let nodes = vec![Measured::default(); nodes];
        let state = State { nodes, at_work: Vec::new(), since, samples_then: 0 };
        Self { clock, state: Mutex::new(state) }
    }

    /// `work` belongs to `node`.
    fn measure<T>(&self, node: NodeId, cx: &EvalContext<'_>, work: impl FnOnce() -> T) -> T {
        self.switch(cx, |at_work| at_work.push(node));
        let result = work();
        self.switch(cx, |at_work| {
            at_work.pop();
        });
        result
    }

    /// Charges what was done since the last change to the node that did it.
    fn switch(&self, cx: &EvalContext<'_>, change: impl FnOnce(&mut Vec<NodeId>)) {
        let now = self.clock.monotonic();
        let samples = cx.total_samples();
        let memory = cx.account.current_bytes();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { nodes, at_work, since, samples_then } = &mut *state;
        if let Some(node) = at_work.last().and_then(|id| nodes.get_mut(*id)) {
            node.time += now.saturating_sub(*since);
            node.samples_read += samples.saturating_sub(*samples_then);
            node.peak_memory_bytes = node.peak_memory_bytes.max(memory);
            node.was_run = true;
        }
        (*since, *samples_then) = (now, samples);
        change(at_work);
    }

    fn count(&self, node: NodeId, series: u64, samples: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = state.nodes.get_mut(node) {
            node.series += series;
            node.samples += samples;
        }
    }

    /// What each node did.
    pub(crate) fn into_measured(self) -> Vec<Measured> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).nodes
    }
}

/// Carries out a node; measured if the query is.
pub(crate) fn run_measured(
    node: NodeId,
    steps: usize,
    cx: &EvalContext<'_>,
    work: impl FnOnce() -> Result<Operand, QueryError>,
) -> Result<Operand, QueryError> {
    let Some(profile) = &cx.profile else { return work() };
    match profile.measure(node, cx, work)? {
        Operand::Vector(stream) => {
            let (steps, unique) = (stream.steps, stream.unique_without_name);
            let measured = VectorStream::new(Box::new(MeasuredSource { node, stream }), steps);
            Ok(Operand::Vector(measured.with_unique_series(unique)))
        }
        Operand::Matrix(series) => {
            let samples = series.iter().map(|s| s.floats.len() + s.histograms.len()).sum::<usize>();
            profile.count(node, series.len() as u64, samples as u64);
            Ok(Operand::Matrix(series))
        }
        Operand::Scalar(column) => {
            profile.count(node, 1, steps as u64);
            Ok(Operand::Scalar(column))
        }
        Operand::Text(text) => Ok(Operand::Text(text)),
    }
}

/// The series of a node, measured on their way.
struct MeasuredSource {
    node: NodeId,
    stream: VectorStream,
}

impl SeriesSource for MeasuredSource {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        let next = match &cx.profile {
            Some(profile) => profile.measure(self.node, cx, || self.stream.next_batch(cx)),
            None => self.stream.next_batch(cx),
        };
        let Some(mut batch) = next? else { return Ok(None) };
        if let Some(profile) = &cx.profile {
            profile.count(self.node, batch.len() as u64, batch.sample_count());
        }
        apply_maps(maps, &mut batch, cx)?;
        Ok(Some(batch))
    }
}
