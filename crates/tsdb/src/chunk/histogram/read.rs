//! Reading histogram chunks sample by sample.

use std::borrow::Cow;

use model::histogram::MAX_EXPONENTIAL_SCHEMA;
use model::{FloatHistogram, TimestampMs};

use super::super::bits::BitReader;
use super::super::field::{Field, XorField};
use super::super::start_time::StartTimes;
use super::super::varbit::read_varbit_int;
use super::CounterResetHeader;
use super::kind::HistogramKind;
use super::layout::Layout;
use super::sample::Sample;
use super::spans::bucket_count;
use crate::error::DecodeError;

/// Each sample gets a copy of the chunk's spans: so many spans of all samples together at most,
/// so that a damaged chunk cannot take all memory. [`super::HistogramAppender`] begins a new chunk
/// before; the size at which the head begins one comes earlier still.
pub(super) const MAX_SPAN_COPIES: usize = 1 << 24;

/// Bytes before the bit stream.
pub(super) const HEADER_LEN: usize = 3;

/// Reads the samples of a histogram chunk one after the other.
pub struct HistogramReader<'a, K: HistogramKind> {
    bits: BitReader<'a>,
    header: CounterResetHeader,
    starts: Option<StartTimes>,
    layout: Layout,
    count: u16,
    /// Samples that were read.
    index: u16,
    t: TimestampMs,
    t_delta: i64,
    observations: K::Field,
    zero_count: K::Field,
    sum: XorField,
    /// Positive buckets, then negative ones; empty before the first sample that is not stale.
    buckets: Vec<K::Field>,
}

impl<'a, K: HistogramKind> HistogramReader<'a, K> {
    /// Starts before the first sample; `has_start_times` for the encodings 5 and 6.
    pub fn new(data: &'a [u8], has_start_times: bool) -> Result<Self, DecodeError> {
        let (header, body) =
            data.split_first_chunk::<HEADER_LEN>().ok_or(DecodeError::Truncated)?;
        let [a, b, c] = *header;
        let mut bits = BitReader::new(body);
        let count = u16::from_be_bytes([a, b]) & if has_start_times { 0x3fff } else { u16::MAX };
        let layout = if count == 0 { Layout::default() } else { Layout::read(&mut bits)? };
        if layout.span_count().saturating_mul(usize::from(count)) > MAX_SPAN_COPIES {
            return Err(DecodeError::Invalid("too many histogram spans"));
        }
        Ok(Self {
            bits,
            header: CounterResetHeader::from_byte(if has_start_times { a } else { c }),
            starts: has_start_times.then(|| StartTimes::from_header(c)),
            layout,
            count,
            index: 0,
            t: 0,
            t_delta: 0,
            observations: K::Field::default(),
            zero_count: K::Field::default(),
            sum: XorField::default(),
            buckets: Vec::new(),
        })
    }

    /// What the header says about the first sample.
    pub fn header(&self) -> CounterResetHeader {
        self.header
    }

    /// The number of samples of the chunk.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Reads the next sample and returns its time and its start timestamp (0 = unknown); `None`
    /// after the last one. After an error only dropping is legal.
    pub fn advance(&mut self) -> Result<Option<(TimestampMs, TimestampMs)>, DecodeError> {
        if self.index == self.count {
            return Ok(None);
        }
        let (previous, first) = (self.t, self.index == 0);
        let bits = &mut self.bits;
        if first {
            self.t = read_varbit_int(bits)?;
            self.observations.read_first_count(bits)?;
            self.zero_count.read_first_count(bits)?;
            self.sum.read_first_count(bits)?;
        } else {
            self.t_delta = self.t_delta.wrapping_add(read_varbit_int(bits)?);
            self.t = self.t.wrapping_add(self.t_delta);
            if self.t <= previous {
                return Err(DecodeError::Invalid("timestamps do not ascend"));
            }
            self.observations.read_next(bits)?;
            self.zero_count.read_next(bits)?;
            self.sum.read_next(bits)?;
        }
        if !self.is_stale() {
            self.read_buckets()?;
        }
        let start = match &mut self.starts {
            None => 0,
            Some(starts) if first => starts.read_first(&mut self.bits, self.t)?,
            Some(starts) => starts.read(&mut self.bits, self.index, previous)?,
        };
        self.index += 1;
        Ok(Some((self.t, start)))
    }

    fn is_stale(&self) -> bool {
        model::is_stale(f64::from_bits(self.sum.bits()))
    }

    fn read_buckets(&mut self) -> Result<(), DecodeError> {
        let first = self.buckets.is_empty();
        if first {
            let positive = bucket_count(&self.layout.positive_spans);
            let negative = bucket_count(&self.layout.negative_spans);
            let count = positive.zip(negative).and_then(|(a, b)| a.checked_add(b));
            // A bucket takes one bit at least.
            let count = count.filter(|&count| count <= self.bits.remaining());
            self.buckets.resize(count.ok_or(DecodeError::Truncated)?, K::Field::default());
        }
        for bucket in &mut self.buckets {
            if first {
                bucket.read_first_bucket(&mut self.bits)?;
            } else {
                bucket.read_next(&mut self.bits)?;
            }
        }
        Ok(())
    }

    pub(super) fn sample(&self) -> Sample<'_> {
        let sum = f64::from_bits(self.sum.bits());
        if self.index == 0 || self.is_stale() {
            return Sample::stale(sum);
        }
        // Both fit: the buckets were allocated.
        let positive_count = bucket_count(&self.layout.positive_spans).unwrap_or(0);
        let mut positive: Vec<u64> = self.buckets.iter().map(Field::bits).collect();
        let mut negative = positive.split_off(positive_count.min(positive.len()));
        K::to_absolute(&mut positive);
        K::to_absolute(&mut negative);
        Sample {
            hint: self.header.hint(self.index - 1),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            sum,
            count: self.observations.bits(),
            zero_count: self.zero_count.bits(),
            positive_spans: Cow::Borrowed(&self.layout.positive_spans),
            negative_spans: Cow::Borrowed(&self.layout.negative_spans),
            positive,
            negative,
            custom_values: self.layout.custom_values.clone(),
        }
    }

    /// The sample that was read last, in its own kind and in the schema that is stored.
    pub fn histogram(&self) -> K::Histogram {
        K::histogram(self.sample())
    }

    /// The sample that was read last, as queries see it: schemas above 8 are reduced to 8.
    pub fn float_histogram(&self) -> Result<FloatHistogram, DecodeError> {
        let mut histogram = self.sample().into_float::<K>();
        if histogram.schema > MAX_EXPONENTIAL_SCHEMA {
            histogram
                .reduce_resolution(MAX_EXPONENTIAL_SCHEMA)
                .map_err(|_| DecodeError::Invalid("histogram cannot be reduced"))?;
        }
        Ok(histogram)
    }
}
