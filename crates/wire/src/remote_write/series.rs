//! `TimeSeries` of remote write 1.0: the hot loop of the write path.
//!
//! The labels are read by `labels.rs` where they stand as senders write them, and are hashed as
//! they stand (see [`model::batch::SeriesHasher`]). Whatever deviates takes [`slow_labels`].

use model::batch::{BatchExemplar, BatchRange, BatchSample, BatchSeries};
use model::{Label, WriteBatch};

use super::labels::LabelReader;
use super::protobuf::{Reader, WireType};
use super::{DecodeError, histogram};

const NAME: &str = "TimeSeries";

/// Decodes series one after another; keeps scratch memory between them.
#[derive(Debug, Default)]
pub(super) struct SeriesDecoder<'a> {
    labels: LabelReader<'a>,
    bucket_count: usize,
}

impl<'a> SeriesDecoder<'a> {
    /// Memory that the buckets and spans of all histograms so far take.
    pub(super) fn bucket_bytes(&self) -> usize {
        self.bucket_count * size_of::<f64>()
    }

    /// Appends the series in `message` to `batch`.
    pub(super) fn decode(
        &mut self,
        message: &'a [u8],
        batch: &mut WriteBatch<'a>,
    ) -> Result<(), DecodeError> {
        let starts = Starts::of(batch);
        let canonical = self.labels.read(message, batch);
        let rest = decode_rest(&message[canonical.as_ref().map_or(0, |c| c.run_len)..], batch)?;
        let (hash, name_list) = match canonical {
            Some(canonical) if !rest.has_labels => (canonical.hash, canonical.name_list),
            _ => {
                self.labels.forget(starts.labels, batch);
                batch.labels.truncate(starts.labels as usize);
                (slow_labels(message, batch)?, None)
            }
        };
        let histograms = &batch.histograms[starts.histograms as usize..];
        self.bucket_count += histograms.iter().map(histogram::bucket_count).sum::<usize>();
        batch.series.push(BatchSeries {
            hash,
            labels: range(starts.labels, batch.labels.len()),
            name_list,
            samples: range(starts.samples, batch.samples.len()),
            histograms: range(starts.histograms, batch.histograms.len()),
            exemplars: range(starts.exemplars, batch.exemplars.len()),
            created_timestamp_ms: rest.created_timestamp_ms,
        });
        Ok(())
    }
}

/// Collects the labels of a message wherever they stand, drops those with an empty value, sorts
/// them and hashes them. Repeated names are kept, next to each other: a check of its own
/// reports them.
#[cold]
fn slow_labels<'a>(message: &'a [u8], batch: &mut WriteBatch<'a>) -> Result<u64, DecodeError> {
    let start = batch.labels.len();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        if field != 1 {
            reader.skip(wire_type)?;
            continue;
        }
        wire_type.expect(WireType::Bytes, NAME, field)?;
        let label = decode_label(reader.bytes()?)?;
        if !label.value.is_empty() {
            batch.labels.push(label);
        }
    }
    let labels = &mut batch.labels[start..];
    labels.sort_by_key(|label| label.name);
    Ok(batch.hasher.hash(labels))
}

fn decode_label(message: &[u8]) -> Result<Label<'_>, DecodeError> {
    let mut label = Label { name: "", value: "" };
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "Label", field)?;
                label.name = reader.string("label name")?;
            }
            2 => {
                wire_type.expect(WireType::Bytes, "Label", field)?;
                label.value = reader.string("label value")?;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(label)
}

/// What [`decode_rest`] found besides samples.
#[derive(Default)]
struct Rest {
    created_timestamp_ms: i64,
    has_labels: bool,
}

/// Decodes everything but the labels, and tells whether there are any.
fn decode_rest<'a>(message: &'a [u8], batch: &mut WriteBatch<'a>) -> Result<Rest, DecodeError> {
    let mut rest = Rest::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            2 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                batch.samples.push(decode_sample(reader.bytes()?)?);
            }
            3 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                let exemplar = decode_exemplar(reader.bytes()?, batch)?;
                batch.exemplars.push(exemplar);
            }
            4 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                batch.histograms.push(histogram::decode(reader.bytes()?)?);
            }
            6 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                rest.created_timestamp_ms = reader.varint()? as i64;
            }
            _ => {
                rest.has_labels |= field == 1;
                reader.skip(wire_type)?;
            }
        }
    }
    Ok(rest)
}

#[inline]
fn decode_sample(message: &[u8]) -> Result<BatchSample, DecodeError> {
    let mut sample = BatchSample { timestamp_ms: 0, value: 0.0 };
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Fixed64, "Sample", field)?;
                sample.value = reader.double()?;
            }
            2 => {
                wire_type.expect(WireType::Varint, "Sample", field)?;
                sample.timestamp_ms = reader.varint()? as i64;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(sample)
}

fn decode_exemplar<'a>(
    message: &'a [u8],
    batch: &mut WriteBatch<'a>,
) -> Result<BatchExemplar, DecodeError> {
    let start = batch.exemplar_labels.len();
    let mut exemplar = BatchExemplar { timestamp_ms: 0, value: 0.0, labels: BatchRange::default() };
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "Exemplar", field)?;
                batch.exemplar_labels.push(decode_label(reader.bytes()?)?);
            }
            2 => {
                wire_type.expect(WireType::Fixed64, "Exemplar", field)?;
                exemplar.value = reader.double()?;
            }
            3 => {
                wire_type.expect(WireType::Varint, "Exemplar", field)?;
                exemplar.timestamp_ms = reader.varint()? as i64;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    exemplar.labels = range(index(start), batch.exemplar_labels.len());
    Ok(exemplar)
}

/// Lengths of the arenas before a series.
struct Starts {
    labels: u32,
    samples: u32,
    histograms: u32,
    exemplars: u32,
}

impl Starts {
    fn of(batch: &WriteBatch<'_>) -> Self {
        Self {
            labels: index(batch.labels.len()),
            samples: index(batch.samples.len()),
            histograms: index(batch.histograms.len()),
            exemplars: index(batch.exemplars.len()),
        }
    }
}

fn range(start: u32, end: usize) -> BatchRange {
    BatchRange { start, end: index(end) }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("the arenas are bounded far below 4 G items")
}
