//! `TimeSeries` of remote write 1.0: the hot loop of the write path.
//!
//! The labels are read by `labels.rs` where they stand as senders write them, and are hashed as
//! they stand (see [`model::batch::SeriesHasher`]). Whatever deviates takes [`slow_labels`].

use model::WriteBatch;
use model::batch::{
    BatchExemplar, BatchRange, BatchSample, BatchSeries, RawLabel, UndecodableSeries,
};

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
        let histograms = &batch.histograms[starts.histograms as usize..];
        self.bucket_count += histograms.iter().map(histogram::bucket_count).sum::<usize>();
        let (hash, name_list) = match canonical {
            Some(canonical) if !rest.has_labels => (canonical.hash, canonical.name_list),
            _ => {
                self.labels.forget(starts.labels, batch);
                batch.labels.truncate(starts.labels as usize);
                match slow_labels(message, batch)? {
                    Some(hash) => (hash, None),
                    None => return push_undecodable(message, &starts, batch),
                }
            }
        };
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
/// reports them. `None`, and nothing collected, where one of them is not UTF-8.
#[cold]
fn slow_labels<'a>(
    message: &'a [u8],
    batch: &mut WriteBatch<'a>,
) -> Result<Option<u64>, DecodeError> {
    let start = batch.labels.len();
    let mut is_text = true;
    for_each_label(message, |raw| match raw.label() {
        Some(label) => batch.labels.push(label),
        None => is_text = false,
    })?;
    if !is_text {
        batch.labels.truncate(start);
        return Ok(None);
    }
    let labels = &mut batch.labels[start..];
    labels.sort_by_key(|label| label.name);
    Ok(Some(batch.hasher.hash(labels)))
}

/// Notes a series with labels that are not UTF-8, whose samples begin at `starts`.
#[cold]
fn push_undecodable<'a>(
    message: &'a [u8],
    starts: &Starts,
    batch: &mut WriteBatch<'a>,
) -> Result<(), DecodeError> {
    let all = &mut batch.undecodable;
    let start = all.labels.len();
    for_each_label(message, |label| all.labels.push(label))?;
    all.labels[start..].sort_by_key(|label| label.name);
    let samples = range(starts.samples, batch.samples.len()).len();
    let histograms = range(starts.histograms, batch.histograms.len()).len();
    all.series.push(UndecodableSeries {
        position: index(batch.series.len()),
        sample_count: index(samples + histograms),
        labels: range(index(start), all.labels.len()),
    });
    Ok(())
}

/// Gives the labels of a message that have a value, wherever they stand.
fn for_each_label<'a>(
    message: &'a [u8],
    mut take: impl FnMut(RawLabel<'a>),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        if field != 1 {
            reader.skip(wire_type)?;
            continue;
        }
        wire_type.expect(WireType::Bytes, NAME, field)?;
        let label = decode_label(reader.bytes()?)?;
        if !label.value.is_empty() {
            take(label);
        }
    }
    Ok(())
}

fn decode_label(message: &[u8]) -> Result<RawLabel<'_>, DecodeError> {
    let mut label = RawLabel::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "Label", field)?;
                label.name = reader.bytes()?;
            }
            2 => {
                wire_type.expect(WireType::Bytes, "Label", field)?;
                label.value = reader.bytes()?;
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
    let mut is_text = true;
    let mut exemplar = BatchExemplar { timestamp_ms: 0, value: 0.0, labels: BatchRange::default() };
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "Exemplar", field)?;
                match decode_label(reader.bytes()?)?.label() {
                    Some(label) => batch.exemplar_labels.push(label),
                    None => is_text = false,
                }
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
    if !is_text {
        // An exemplar without labels is one that the checks leave out and count.
        batch.exemplar_labels.truncate(start);
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
