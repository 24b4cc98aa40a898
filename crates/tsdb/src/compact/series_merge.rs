//! The series of all inputs in label order, each once.

use super::heap::Heap;
use super::input::Input;
use crate::error::TsdbError;

/// See the module.
pub(super) struct SeriesMerge<'a> {
    inputs: Vec<Input<'a>>,
    heap: Heap,
    /// The inputs that stand at the current series, in the order in which they were visited.
    current: Vec<usize>,
    labels: Vec<u64>,
    rows_read: u64,
}

/// Inputs that have ended are in no heap.
fn less<'a>(inputs: &'a [Input<'_>]) -> impl Fn(usize, usize) -> bool + 'a {
    |a, b| inputs[a].labels() < inputs[b].labels()
}

impl<'a> SeriesMerge<'a> {
    pub(super) fn new(inputs: Vec<Input<'a>>) -> Self {
        let mut heap = Heap::default();
        for (i, input) in inputs.iter().enumerate() {
            if input.labels().is_some() {
                heap.push(i, &less(&inputs));
            }
        }
        Self { inputs, heap, current: Vec::new(), labels: Vec::new(), rows_read: 0 }
    }

    /// Moves on to the next series and hands every input that has it to `visit`, in Prometheus'
    /// order. Returns the series' labels; `None` at the end.
    pub(super) fn next(
        &mut self,
        visit: &mut dyn FnMut(&Input<'a>) -> Result<(), TsdbError>,
    ) -> Result<Option<&[u64]>, TsdbError> {
        for &i in &self.current {
            self.inputs[i].advance()?;
            if self.inputs[i].labels().is_some() {
                self.heap.push(i, &less(&self.inputs));
            }
        }
        self.current.clear();
        let first = self.heap.first().and_then(|i| self.inputs[i].labels());
        let Some(labels) = first else { return Ok(None) };
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        while let Some(i) = self.heap.first() {
            if self.inputs[i].labels() != Some(&self.labels[..]) {
                break;
            }
            self.heap.pop(&less(&self.inputs));
            visit(&self.inputs[i])?;
            self.current.push(i);
        }
        self.rows_read += self.current.len() as u64;
        Ok(Some(&self.labels))
    }

    /// How many series of inputs were read.
    pub(super) fn rows_read(&self) -> u64 {
        self.rows_read
    }
}
