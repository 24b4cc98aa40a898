//! Writing histogram chunks: the decision whether a sample fits the open chunk, and the bytes.

use model::{CounterResetHint, Span, TimestampMs};

use super::super::ChunkEncoding;
use super::super::bits::BitWriter;
use super::super::field::{Field, XorField};
use super::super::start_time::StartTimes;
use super::super::varbit::put_varbit_int;
use super::CounterResetHeader;
use super::kind::HistogramKind;
use super::layout::Layout;
use super::read::{HEADER_LEN, HistogramReader, MAX_SPAN_COPIES};
use super::sample::Sample;
use super::spans::{Difference, Side, bucket_count, compare, union};
use crate::error::DecodeError;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It stands at the end of the chunk.
    Appended,
    /// It stands at the end of the chunk, whose bytes before it were written anew because the
    /// sample has buckets that the chunk did not have.
    Recoded,
    /// It does not fit and nothing has changed: a new chunk with this header must be started.
    Cut(CounterResetHeader),
}

/// An open histogram chunk.
#[derive(Debug, Clone)]
pub struct HistogramAppender<K: HistogramKind> {
    writer: BitWriter,
    header: CounterResetHeader,
    starts: Option<StartTimes>,
    layout: Layout,
    count: u16,
    t: TimestampMs,
    t_delta: i64,
    observations: K::Field,
    zero_count: K::Field,
    sum: XorField,
    buckets: Vec<K::Field>,
}

/// In which buckets a sample and an open chunk differ.
#[derive(Debug, Clone, Copy, Default)]
struct Differences {
    positive: Difference,
    negative: Difference,
}

impl Differences {
    fn only_in_new(self) -> bool {
        self.positive.only_in_new || self.negative.only_in_new
    }

    fn only_in_old(self) -> bool {
        self.positive.only_in_old || self.negative.only_in_old
    }
}

/// Whether a sample fits an open chunk.
enum Fit {
    Append(Differences),
    Cut(CounterResetHeader),
}

impl<K: HistogramKind> HistogramAppender<K> {
    /// An empty chunk: of the encodings 2 and 3, or of 5 and 6 with start timestamps.
    pub fn new(header: CounterResetHeader, with_start_times: bool) -> Self {
        Self {
            writer: BitWriter::new(vec![0; HEADER_LEN]),
            header,
            starts: with_start_times.then(StartTimes::default),
            layout: Layout::default(),
            count: 0,
            t: 0,
            t_delta: 0,
            observations: K::Field::default(),
            zero_count: K::Field::default(),
            sum: XorField::default(),
            buckets: Vec::new(),
        }
    }

    /// The header of a chunk that begins with `histogram` and was cut for another reason than
    /// the sample itself (time, size). `previous` is the chunk of the same kind before it.
    pub fn header_after(
        previous: Option<&Self>,
        histogram: &K::Histogram,
    ) -> Result<CounterResetHeader, DecodeError> {
        let sample = K::sample(histogram);
        sample.check()?;
        Ok(match (sample.hint, previous) {
            (CounterResetHint::Gauge, _) => CounterResetHeader::Gauge,
            (CounterResetHint::CounterReset, _) => CounterResetHeader::CounterReset,
            (_, None) => CounterResetHeader::Unknown,
            (_, Some(previous)) => previous.header_by_comparison(&sample),
        })
    }

    fn header_by_comparison(&self, sample: &Sample<'_>) -> CounterResetHeader {
        match self.fit_counter(sample) {
            Fit::Cut(CounterResetHeader::Unknown) if !K::IS_INTEGER => {
                CounterResetHeader::NotCounterReset
            }
            Fit::Cut(header) => header,
            Fit::Append(_) => CounterResetHeader::NotCounterReset,
        }
    }

    /// Appends a sample, later than the last one, if it fits; `start` is its start timestamp or
    /// 0. The first sample of a chunk always fits. Fails where spans and buckets do not match.
    pub fn append(
        &mut self,
        t: TimestampMs,
        histogram: &K::Histogram,
        start: TimestampMs,
    ) -> Result<AppendOutcome, DecodeError> {
        let mut sample = K::sample(histogram);
        if sample.is_stale() {
            sample = Sample { hint: sample.hint, ..Sample::stale(sample.sum) };
        }
        sample.check()?;
        if self.count == 0 {
            self.put_sample(t, &sample, start);
            return Ok(AppendOutcome::Appended);
        }
        let is_gauge = sample.hint == CounterResetHint::Gauge;
        let fit = if is_gauge { self.fit_gauge(&sample) } else { self.fit_counter(&sample) };
        let differences = match fit {
            Fit::Cut(header) => return Ok(AppendOutcome::Cut(header)),
            Fit::Append(_) if self.is_full(&sample) => {
                return Ok(AppendOutcome::Cut(if is_gauge {
                    CounterResetHeader::Gauge
                } else {
                    CounterResetHeader::NotCounterReset
                }));
            }
            Fit::Append(differences) => differences,
        };
        self.reconcile(&mut sample, differences, is_gauge)?;
        self.put_sample(t, &sample, start);
        let recoded = differences.only_in_new();
        Ok(if recoded { AppendOutcome::Recoded } else { AppendOutcome::Appended })
    }

    /// Whether the chunk cannot hold the sample whatever its layout is.
    fn is_full(&self, sample: &Sample<'_>) -> bool {
        let max_samples = if self.starts.is_some() { 0x3fff } else { u16::MAX };
        let spans = sample.positive_spans.len() + sample.negative_spans.len();
        // Both layouts together are as large as what joining them can give.
        let spans = spans + self.layout.span_count();
        self.count == max_samples || spans * (usize::from(self.count) + 1) > MAX_SPAN_COPIES
    }

    fn is_stale(&self) -> bool {
        model::is_stale(f64::from_bits(self.sum.bits()))
    }

    /// Whether a counter sample fits; the order of the questions is Prometheus'.
    fn fit_counter(&self, sample: &Sample<'_>) -> Fit {
        let reset = Fit::Cut(CounterResetHeader::CounterReset);
        let unknown = Fit::Cut(CounterResetHeader::Unknown);
        if self.header == CounterResetHeader::Gauge {
            return match K::IS_INTEGER {
                true => Fit::Cut(CounterResetHeader::NotCounterReset),
                false => unknown,
            };
        }
        if sample.hint == CounterResetHint::CounterReset {
            return reset;
        }
        if sample.is_stale() {
            return Fit::Append(Differences::default());
        }
        if self.is_stale() {
            return unknown;
        }
        if K::is_smaller(sample.count, self.observations.bits()) {
            return reset;
        }
        if self.differs_in_resolution(sample) {
            return unknown;
        }
        if self.differs_in_bounds(sample)
            || K::is_smaller(sample.zero_count, self.zero_count.bits())
        {
            return reset;
        }
        self.compare_sides(sample, |old, new| match new {
            Some(new) => K::is_smaller(new, old),
            None => K::to_float(old) != 0.0,
        })
        .map_or(reset, Fit::Append)
    }

    fn fit_gauge(&self, sample: &Sample<'_>) -> Fit {
        let cut = Fit::Cut(CounterResetHeader::Gauge);
        if self.header != CounterResetHeader::Gauge {
            return cut;
        }
        if sample.is_stale() {
            return Fit::Append(Differences::default());
        }
        if self.is_stale() || self.differs_in_resolution(sample) || self.differs_in_bounds(sample) {
            return cut;
        }
        self.compare_sides(sample, |_, _| false).map_or(cut, Fit::Append)
    }

    fn differs_in_resolution(&self, sample: &Sample<'_>) -> bool {
        sample.schema != self.layout.schema || sample.zero_threshold != self.layout.zero_threshold
    }

    fn differs_in_bounds(&self, sample: &Sample<'_>) -> bool {
        let bits = |bounds: &[f64]| bounds.iter().map(|b| b.to_bits()).collect::<Vec<_>>();
        bits(&sample.custom_values) != bits(&self.layout.custom_values)
    }

    fn compare_sides(
        &self,
        sample: &Sample<'_>,
        mut reset: impl FnMut(u64, Option<u64>) -> bool,
    ) -> Option<Differences> {
        let (positive, negative) = self.last_buckets();
        let old = Side { spans: &self.layout.positive_spans, buckets: &positive };
        let new = sample.positive_side();
        let positive = compare(old, new, &mut reset)?;
        let old = Side { spans: &self.layout.negative_spans, buckets: &negative };
        let new = sample.negative_side();
        Some(Differences { positive, negative: compare(old, new, &mut reset)? })
    }

    /// The absolute buckets of the last sample. After a first sample that is stale there are none.
    fn last_buckets(&self) -> (Vec<u64>, Vec<u64>) {
        let mut positive: Vec<u64> = self.buckets.iter().map(Field::bits).collect();
        let positive_count = bucket_count(&self.layout.positive_spans).unwrap_or(0);
        let mut negative = positive.split_off(positive_count.min(positive.len()));
        K::to_absolute(&mut positive);
        K::to_absolute(&mut negative);
        (positive, negative)
    }

    /// Gives sample and chunk the same spans.
    fn reconcile(
        &mut self,
        sample: &mut Sample<'_>,
        differences: Differences,
        is_gauge: bool,
    ) -> Result<(), DecodeError> {
        if differences.only_in_old() {
            let (positive, negative) = self.target_spans(sample, differences, is_gauge);
            sample.widen(positive.into(), negative.into());
        }
        if differences.only_in_new() {
            self.recode(sample)?;
        }
        Ok(())
    }

    /// The spans for a sample that lacks buckets of the chunk.
    fn target_spans(
        &self,
        sample: &Sample<'_>,
        differences: Differences,
        is_gauge: bool,
    ) -> (Vec<Span>, Vec<Span>) {
        if !differences.only_in_new() {
            return (self.layout.positive_spans.clone(), self.layout.negative_spans.clone());
        }
        // A counter's spans stay as they came on a side where the sample lacks nothing.
        let join = |difference: Difference, old: &[Span], new: &[Span]| {
            if is_gauge || difference.only_in_old { union(old, new) } else { new.to_vec() }
        };
        let Layout { positive_spans, negative_spans, .. } = &self.layout;
        (
            join(differences.positive, positive_spans, &sample.positive_spans),
            join(differences.negative, negative_spans, &sample.negative_spans),
        )
    }

    /// Writes the chunk again with the spans of `sample`, which has all buckets of the chunk.
    fn recode(&mut self, sample: &Sample<'_>) -> Result<(), DecodeError> {
        let mut wider = Self::new(self.header, self.starts.is_some());
        let mut reader = HistogramReader::<K>::new(self.bytes(), self.starts.is_some())?;
        while let Some((t, start)) = reader.advance()? {
            let mut old = reader.sample();
            old.widen(sample.positive_spans.clone(), sample.negative_spans.clone());
            wider.put_sample(t, &old, start);
        }
        *self = wider;
        Ok(())
    }

    /// Appends a sample whose spans are those of the chunk.
    fn put_sample(&mut self, t: TimestampMs, sample: &Sample<'_>, start: TimestampMs) {
        let (previous, first) = (self.t, self.count == 0);
        let writer = &mut self.writer;
        if first {
            self.layout = sample.layout();
            self.layout.put(writer);
            put_varbit_int(writer, t);
            self.observations.put_first_count(writer, sample.count);
            self.zero_count.put_first_count(writer, sample.zero_count);
            self.sum.put_first_count(writer, sample.sum.to_bits());
        } else {
            let t_delta = t.wrapping_sub(previous);
            put_varbit_int(writer, t_delta.wrapping_sub(self.t_delta));
            self.t_delta = t_delta;
            if sample.is_stale() {
                self.observations.put_stale(writer);
                self.zero_count.put_stale(writer);
            } else {
                self.observations.put_next(writer, sample.count);
                self.zero_count.put_next(writer, sample.zero_count);
            }
            self.sum.put_next(writer, sample.sum.to_bits());
        }
        if !sample.is_stale() {
            self.put_buckets(sample, first);
        }
        match &mut self.starts {
            None => {}
            Some(starts) if first => starts.put_first(&mut self.writer, t, start),
            Some(starts) => starts.put(&mut self.writer, self.count, previous, start),
        }
        self.t = t;
        self.count += 1;
        self.write_header();
    }

    fn put_buckets(&mut self, sample: &Sample<'_>, first: bool) {
        let mut positive = sample.positive.clone();
        let mut negative = sample.negative.clone();
        K::to_stored(&mut positive);
        K::to_stored(&mut negative);
        positive.append(&mut negative);
        self.buckets.resize(positive.len(), K::Field::default());
        for (bucket, bits) in self.buckets.iter_mut().zip(positive) {
            if first {
                bucket.put_first_bucket(&mut self.writer, bits);
            } else {
                bucket.put_next(&mut self.writer, bits);
            }
        }
    }

    fn write_header(&mut self) {
        let [high, low] = self.count.to_be_bytes();
        let flags = self.header as u8;
        let header = match self.starts {
            None => [high, low, flags],
            Some(starts) => [high | flags, low, starts.header()],
        };
        self.writer.bytes_mut()[..HEADER_LEN].copy_from_slice(&header);
    }

    /// The number of samples.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// How the chunk is encoded.
    pub fn encoding(&self) -> ChunkEncoding {
        match (K::IS_INTEGER, self.starts.is_some()) {
            (true, false) => ChunkEncoding::Histogram,
            (true, true) => ChunkEncoding::HistogramSt,
            (false, false) => ChunkEncoding::FloatHistogram,
            (false, true) => ChunkEncoding::FloatHistogramSt,
        }
    }

    /// The header that the chunk was started with.
    pub fn header(&self) -> CounterResetHeader {
        self.header
    }

    /// The time of the last sample; 0 where there is none.
    pub fn last_time(&self) -> TimestampMs {
        self.t
    }

    /// The last sample; an empty stale-less histogram where there is none.
    pub fn last_histogram(&self) -> K::Histogram {
        K::histogram(self.last_sample())
    }

    fn last_sample(&self) -> Sample<'_> {
        let sum = f64::from_bits(self.sum.bits());
        if self.count == 0 || self.is_stale() {
            return Sample::stale(sum);
        }
        let (positive, negative) = self.last_buckets();
        Sample {
            hint: self.header.hint(self.count - 1),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            sum,
            count: self.observations.bits(),
            zero_count: self.zero_count.bits(),
            positive_spans: (&self.layout.positive_spans).into(),
            negative_spans: (&self.layout.negative_spans).into(),
            positive,
            negative,
            custom_values: self.layout.custom_values.clone(),
        }
    }

    /// The number of buckets of the last sample, as the chunk lays them out.
    pub fn bucket_count(&self) -> usize {
        if self.is_stale() { 0 } else { self.buckets.len() }
    }

    /// The complete chunk as it stands.
    pub fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// The memory that is held beside the value itself, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.writer.capacity()
            + self.buckets.capacity() * size_of::<K::Field>()
            + (self.layout.positive_spans.capacity() + self.layout.negative_spans.capacity())
                * size_of::<Span>()
    }
}
