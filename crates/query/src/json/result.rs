//! The answer to a query, handed out in pieces of bounded size.
//!
//! ```text
//! {"status":"success","data":{"resultType":"matrix","result":[
//!   {"metric":{...},"values":[[t,"v"],...],"histograms":[[t,{...}],...]},...]},
//!  "warnings":[...],"infos":[...]}
//! ```

use bytes::Bytes;
use model::Labels;
use promql::value::{MatrixSeries, SampleValue, Value, VectorSample};

use super::float::{push_quoted_float, push_timestamp};
use super::histogram::push_histogram;
use super::text::push_string;
use crate::stats::AnswerStats;

/// A piece of an answer is handed out when it has grown to this.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// A result with its annotations.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The value.
    pub(crate) value: Value,
    /// Warnings, as they are shown.
    pub(crate) warnings: Vec<String>,
    /// Infos, as they are shown.
    pub(crate) infos: Vec<String>,
    /// What was done for it, if that is asked for.
    pub(crate) stats: Option<AnswerStats>,
}

/// The pieces of an answer.
pub(crate) struct AnswerChunks {
    answer: Answer,
    position: Position,
    buffer: Vec<u8>,
}

/// What is to be written next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Position {
    Head,
    Item(usize),
    /// Points of a series of a matrix: its number, and how many points are written.
    Points(usize, usize),
    Tail,
    End,
}

impl AnswerChunks {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer, position: Position::Head, buffer: Vec::new() }
    }

    /// Writes a little and moves on.
    fn step(&mut self) {
        let (out, value) = (&mut self.buffer, &self.answer.value);
        self.position = match self.position {
            Position::Head => {
                push_head(out, value);
                Position::Item(0)
            }
            Position::Item(i) => push_item(out, value, i),
            Position::Points(i, done) => push_points(out, value, (i, done)),
            Position::Tail => {
                push_tail(out, &self.answer);
                Position::End
            }
            Position::End => Position::End,
        };
    }
}

impl Iterator for AnswerChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.position != Position::End && self.buffer.len() < PIECE_BYTES {
            self.step();
        }
        let chunk = std::mem::take(&mut self.buffer);
        (!chunk.is_empty()).then(|| Bytes::from(chunk))
    }
}

fn push_head(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(br#"{"status":"success","data":{"resultType":""#);
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(br#"","result":["#);
}

fn push_tail(out: &mut Vec<u8>, answer: &Answer) {
    out.push(b']');
    if let Some(stats) = &answer.stats {
        out.extend_from_slice(b",\"stats\":");
        out.extend_from_slice(stats.to_json().as_bytes());
    }
    out.push(b'}');
    for (name, texts) in [("warnings", &answer.warnings), ("infos", &answer.infos)] {
        if texts.is_empty() {
            continue;
        }
        out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
        for (i, text) in texts.iter().enumerate() {
            push_comma(out, i);
            push_string(out, text);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// Writes the item number `i` of the result, or the beginning of it.
fn push_item(out: &mut Vec<u8>, value: &Value, i: usize) -> Position {
    match value {
        Value::Scalar(point) => {
            push_timestamp(out, point.timestamp_ms);
            out.push(b',');
            push_quoted_float(out, point.value);
            Position::Tail
        }
        Value::String { timestamp_ms, value } => {
            push_timestamp(out, *timestamp_ms);
            out.push(b',');
            push_string(out, &String::from_utf8_lossy(value));
            Position::Tail
        }
        Value::Vector(samples) => {
            let Some(sample) = samples.get(i) else { return Position::Tail };
            push_comma(out, i);
            push_vector_sample(out, sample);
            Position::Item(i + 1)
        }
        Value::Matrix(series) => {
            let Some(series) = series.get(i) else { return Position::Tail };
            push_comma(out, i);
            push_metric(out, &series.labels);
            Position::Points(i, 0)
        }
    }
}

fn push_vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    push_metric(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(br#","value":["#);
            push_timestamp(out, sample.timestamp_ms);
            out.push(b',');
            push_quoted_float(out, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(br#","histogram":["#);
            push_timestamp(out, sample.timestamp_ms);
            out.push(b',');
            push_histogram(out, histogram);
        }
    }
    out.extend_from_slice(b"]}");
}

/// Writes points of a series until the piece is full.
fn push_points(out: &mut Vec<u8>, value: &Value, (i, mut done): (usize, usize)) -> Position {
    let Value::Matrix(matrix) = value else { return Position::Tail };
    let Some(series) = matrix.get(i) else { return Position::Tail };
    while out.len() < PIECE_BYTES {
        if done == series.floats.len() + series.histograms.len() {
            out.extend_from_slice(if done == 0 { b"}" } else { b"]}" });
            return Position::Item(i + 1);
        }
        push_point(out, series, done);
        done += 1;
    }
    Position::Points(i, done)
}

/// Writes the point number `at`: all floats come before the histograms.
fn push_point(out: &mut Vec<u8>, series: &MatrixSeries, at: usize) {
    if let Some(point) = series.floats.get(at) {
        out.extend_from_slice(if at == 0 { br#","values":[["# } else { b",[" });
        push_timestamp(out, point.timestamp_ms);
        out.push(b',');
        push_quoted_float(out, point.value);
    } else if let Some(point) = series.histograms.get(at - series.floats.len()) {
        if at == series.floats.len() {
            out.extend_from_slice(if at == 0 { b"" } else { b"]" });
            out.extend_from_slice(br#","histograms":[["#);
        } else {
            out.extend_from_slice(b",[");
        }
        push_timestamp(out, point.timestamp_ms);
        out.push(b',');
        push_histogram(out, &point.histogram);
    }
    out.push(b']');
}

fn push_metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, labels);
}

/// Appends a label set as an object.
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, label) in labels.iter().enumerate() {
        push_comma(out, i);
        push_string(out, label.name);
        out.push(b':');
        push_string(out, label.value);
    }
    out.push(b'}');
}

fn push_comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests;
