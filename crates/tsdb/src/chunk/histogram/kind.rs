//! What integer and float histogram chunks do differently.

use model::{FloatHistogram, Histogram};

use super::super::field::{DeltaField, Field, XorField};
use super::sample::Sample;

mod sealed {
    pub trait Sealed {}
}

/// Integer or float counts. Implemented by [`Integers`] and [`Floats`] alone.
///
/// Counts and buckets are handled as 64 bits: of an integer or of a float.
pub trait HistogramKind: sealed::Sealed + Sized {
    /// The type of one sample.
    type Histogram;
    /// How a chunk follows one count.
    type Field: Field;

    /// Whether counts are integers.
    const IS_INTEGER: bool;

    /// The sample in the form that the codec works with.
    fn sample(histogram: &Self::Histogram) -> Sample<'_>;
    /// The sample of the codec as a histogram.
    fn histogram(sample: Sample<'_>) -> Self::Histogram;
    /// Whether the absolute count `a` is smaller than `b`.
    fn is_smaller(a: u64, b: u64) -> bool;
    /// Turns absolute bucket counts of one side into what the chunk stores.
    fn to_stored(buckets: &mut [u64]);
    /// The inverse of [`HistogramKind::to_stored`].
    fn to_absolute(buckets: &mut [u64]);
    /// An absolute bucket count as a float.
    fn to_float(bits: u64) -> f64;
    /// A count of observations as a float.
    fn count_to_float(bits: u64) -> f64;
}

/// Integer counts; buckets are stored as differences to the bucket before.
#[derive(Debug, Clone, Copy)]
pub struct Integers;

/// Float counts; buckets are stored as they are.
#[derive(Debug, Clone, Copy)]
pub struct Floats;

impl sealed::Sealed for Integers {}
impl sealed::Sealed for Floats {}

impl HistogramKind for Integers {
    type Histogram = Histogram;
    type Field = DeltaField;
    const IS_INTEGER: bool = true;

    fn sample(h: &Histogram) -> Sample<'_> {
        let absolute = |deltas: &[i64]| {
            let mut buckets: Vec<u64> = deltas.iter().map(|d| d.cast_unsigned()).collect();
            Self::to_absolute(&mut buckets);
            buckets
        };
        Sample {
            hint: h.counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            sum: h.sum,
            count: h.count,
            zero_count: h.zero_count,
            positive_spans: (&h.positive_spans).into(),
            negative_spans: (&h.negative_spans).into(),
            positive: absolute(&h.positive_buckets),
            negative: absolute(&h.negative_buckets),
            custom_values: h.custom_values.clone(),
        }
    }

    fn histogram(mut s: Sample<'_>) -> Histogram {
        Self::to_stored(&mut s.positive);
        Self::to_stored(&mut s.negative);
        Histogram {
            counter_reset_hint: s.hint,
            schema: s.schema,
            zero_threshold: s.zero_threshold,
            zero_count: s.zero_count,
            count: s.count,
            sum: s.sum,
            positive_spans: s.positive_spans.into_owned(),
            negative_spans: s.negative_spans.into_owned(),
            positive_buckets: s.positive.into_iter().map(u64::cast_signed).collect(),
            negative_buckets: s.negative.into_iter().map(u64::cast_signed).collect(),
            custom_values: s.custom_values,
        }
    }

    fn is_smaller(a: u64, b: u64) -> bool {
        a < b
    }

    fn to_stored(buckets: &mut [u64]) {
        let mut previous = 0;
        for bucket in buckets {
            let absolute = *bucket;
            *bucket = absolute.wrapping_sub(previous);
            previous = absolute;
        }
    }

    fn to_absolute(buckets: &mut [u64]) {
        let mut previous = 0u64;
        for bucket in buckets {
            *bucket = bucket.wrapping_add(previous);
            previous = *bucket;
        }
    }

    fn to_float(bits: u64) -> f64 {
        bits.cast_signed() as f64
    }

    fn count_to_float(bits: u64) -> f64 {
        bits as f64
    }
}

impl HistogramKind for Floats {
    type Histogram = FloatHistogram;
    type Field = XorField;
    const IS_INTEGER: bool = false;

    fn sample(h: &FloatHistogram) -> Sample<'_> {
        let bits = |counts: &[f64]| counts.iter().map(|c| c.to_bits()).collect();
        Sample {
            hint: h.counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            sum: h.sum,
            count: h.count.to_bits(),
            zero_count: h.zero_count.to_bits(),
            positive_spans: (&h.positive_spans).into(),
            negative_spans: (&h.negative_spans).into(),
            positive: bits(&h.positive_buckets),
            negative: bits(&h.negative_buckets),
            custom_values: h.custom_values.clone(),
        }
    }

    fn histogram(sample: Sample<'_>) -> FloatHistogram {
        sample.into_float::<Self>()
    }

    fn is_smaller(a: u64, b: u64) -> bool {
        f64::from_bits(a) < f64::from_bits(b)
    }

    fn to_stored(_: &mut [u64]) {}

    fn to_absolute(_: &mut [u64]) {}

    fn to_float(bits: u64) -> f64 {
        f64::from_bits(bits)
    }

    fn count_to_float(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
}
