//! Walking through records. Every iterator borrows from the record, allocates nothing but what
//! it returns, checks every bound, and ends after its first error.
//!
//! Used by the replay and the checkpoint. Items with labels are handed out by `next_item`,
//! because the labels stand in a scratch that the next call reuses.

use model::{FloatHistogram, Histogram, TimestampMs};

use super::encode::{HELP_FIELD, UNIT_FIELD};
use super::histogram::{read_float_histogram, read_histogram};
use super::reduce::{known_float_schema, known_schema};
use super::{
    ExemplarRecord, FloatHistogramRecord, HistogramRecord, IntHistogramRecord, MetadataRecord,
    MetricType, MmapMarkerRecord, SampleRecord, SeriesRecord, TombstoneRecord,
};
use crate::encoding::Decoder;
use crate::error::DecodeError;

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The series of a record.
#[derive(Debug, Clone)]
pub struct SeriesIter<'a> {
    input: Decoder<'a>,
    labels: Pairs<'a>,
}

impl<'a> SeriesIter<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { input: Decoder::new(body), labels: Vec::new() }
    }

    /// The next series; `None` at the end.
    pub fn next_item(&mut self) -> Option<Result<SeriesRecord<'a, '_>, DecodeError>> {
        if self.input.is_empty() {
            return None;
        }
        let series_ref = self.input.be64();
        let read =
            series_ref.and_then(|r| read_labels(&mut self.input, &mut self.labels).map(|()| r));
        Some(match read {
            Ok(series_ref) => Ok(SeriesRecord { series_ref, labels: &self.labels }),
            Err(e) => {
                self.input = Decoder::new(&[]);
                Err(e)
            }
        })
    }
}

/// The exemplars of a record.
#[derive(Debug, Clone)]
pub struct ExemplarIter<'a> {
    columns: Columns<'a>,
    labels: Pairs<'a>,
}

impl<'a> ExemplarIter<'a> {
    /// The exemplars of a record's body, which stands behind the type.
    pub(crate) fn new(body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { columns: Columns::v1(body)?, labels: Vec::new() })
    }

    /// The next exemplar; `None` at the end.
    pub fn next_item(&mut self) -> Option<Result<ExemplarRecord<'a, '_>, DecodeError>> {
        if self.columns.input.is_empty() {
            return None;
        }
        let read = self.columns.key().and_then(|key| {
            let value = self.columns.input.be64_float()?;
            read_labels(&mut self.columns.input, &mut self.labels)?;
            Ok((key, value))
        });
        Some(match read {
            Ok((key, value)) => {
                let (series_ref, t) = (key.series_ref, key.t);
                Ok(ExemplarRecord { series_ref, t, value, labels: &self.labels })
            }
            Err(e) => {
                self.columns.input = Decoder::new(&[]);
                Err(e)
            }
        })
    }
}

/// The float samples of a record.
#[derive(Debug, Clone)]
pub struct SampleIter<'a>(Columns<'a>);

impl<'a> SampleIter<'a> {
    pub(super) fn v1(body: &'a [u8]) -> Result<Self, DecodeError> {
        Columns::v1(body).map(Self)
    }

    pub(super) fn v2(body: &'a [u8]) -> Self {
        Self(Columns::v2(body))
    }

    #[inline]
    fn read(&mut self) -> Result<SampleRecord, DecodeError> {
        let Key { series_ref, t, start_t } = self.0.key()?;
        Ok(SampleRecord { series_ref, t, start_t, value: self.0.input.be64_float()? })
    }
}

impl Iterator for SampleIter<'_> {
    type Item = Result<SampleRecord, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.input.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0.input = Decoder::new(&[]);
        }
        Some(read)
    }
}

/// Iterators whose `read` returns an item, or nothing for one that is to be left out.
macro_rules! impl_iterator {
    ($name:ident, $item:ty, $input:ident $(. $inner:ident)?) => {
        impl Iterator for $name<'_> {
            type Item = Result<$item, DecodeError>;

            fn next(&mut self) -> Option<Self::Item> {
                while !self.$input$(.$inner)?.is_empty() {
                    match self.read() {
                        Ok(Some(item)) => return Some(Ok(item)),
                        Ok(None) => {}
                        Err(e) => {
                            self.$input$(.$inner)? = Decoder::new(&[]);
                            return Some(Err(e));
                        }
                    }
                }
                None
            }
        }
    };
}

/// The histograms with integer counts of a record. Those with a schema that nobody knows are
/// left out; those with a finer one than `model` knows are reduced.
#[derive(Debug, Clone)]
pub struct HistogramIter<'a> {
    columns: Columns<'a>,
}

impl<'a> HistogramIter<'a> {
    pub(super) fn v1(body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { columns: Columns::v1(body)? })
    }

    pub(super) fn v2(body: &'a [u8]) -> Self {
        Self { columns: Columns::v2(body) }
    }

    fn read(&mut self) -> Result<Option<IntHistogramRecord>, DecodeError> {
        let key = self.columns.key()?;
        let histogram: Histogram = read_histogram(&mut self.columns.input)?;
        Ok(known_schema(histogram)?.map(|histogram| key.with(histogram)))
    }
}

impl_iterator!(HistogramIter, IntHistogramRecord, columns.input);

/// The histograms with float counts of a record; schemas as in [`HistogramIter`].
#[derive(Debug, Clone)]
pub struct FloatHistogramIter<'a> {
    columns: Columns<'a>,
}

impl<'a> FloatHistogramIter<'a> {
    pub(super) fn v1(body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { columns: Columns::v1(body)? })
    }

    pub(super) fn v2(body: &'a [u8]) -> Self {
        Self { columns: Columns::v2(body) }
    }

    fn read(&mut self) -> Result<Option<FloatHistogramRecord>, DecodeError> {
        let key = self.columns.key()?;
        let histogram: FloatHistogram = read_float_histogram(&mut self.columns.input)?;
        Ok(known_float_schema(histogram)?.map(|histogram| key.with(histogram)))
    }
}

impl_iterator!(FloatHistogramIter, FloatHistogramRecord, columns.input);

/// The tombstones of a record.
#[derive(Debug, Clone)]
pub struct TombstoneIter<'a> {
    input: Decoder<'a>,
}

impl<'a> TombstoneIter<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { input: Decoder::new(body) }
    }

    fn read(&mut self) -> Result<Option<TombstoneRecord>, DecodeError> {
        let input = &mut self.input;
        let series_ref = input.be64()?;
        let (mint, maxt_incl) = (input.varint()?, input.varint()?);
        Ok(Some(TombstoneRecord { series_ref, mint, maxt_incl }))
    }
}

impl_iterator!(TombstoneIter, TombstoneRecord, input);

/// The mmap markers of a record.
#[derive(Debug, Clone)]
pub struct MmapMarkerIter<'a> {
    input: Decoder<'a>,
}

impl<'a> MmapMarkerIter<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { input: Decoder::new(body) }
    }

    fn read(&mut self) -> Result<Option<MmapMarkerRecord>, DecodeError> {
        let series_ref = self.input.be64()?;
        Ok(Some(MmapMarkerRecord { series_ref, chunk_ref: self.input.be64()? }))
    }
}

impl_iterator!(MmapMarkerIter, MmapMarkerRecord, input);

/// The metadata of a record.
#[derive(Debug, Clone)]
pub struct MetadataIter<'a> {
    input: Decoder<'a>,
}

impl<'a> MetadataIter<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { input: Decoder::new(body) }
    }

    fn read(&mut self) -> Result<MetadataRecord<'a>, DecodeError> {
        let input = &mut self.input;
        let series_ref = input.uvarint()?;
        let metric_type = MetricType::from_number(input.byte()?.into());
        let (mut unit, mut help) = ("", "");
        for _ in 0..input.uvarint_len()? {
            let (name, value) = (input.uvarint_str()?, input.uvarint_str()?);
            match name {
                UNIT_FIELD => unit = value,
                HELP_FIELD => help = value,
                _ => {}
            }
        }
        Ok(MetadataRecord { series_ref, metric_type, unit, help })
    }
}

impl<'a> Iterator for MetadataIter<'a> {
    type Item = Result<MetadataRecord<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.input = Decoder::new(&[]);
        }
        Some(read)
    }
}

/// Series and times of a record's items, in one of two layouts: V1 tells both as the distance to
/// the header; V2 the series as the distance to the item before, times to the first item.
#[derive(Debug, Clone)]
struct Columns<'a> {
    input: Decoder<'a>,
    layout: Layout,
    /// V1: the header. V2: `t` and `start_t` of the first item, `series_ref` of the one before.
    base: Key,
    previous_start_t: TimestampMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    V1,
    V2First,
    V2,
}

#[derive(Debug, Clone, Copy, Default)]
struct Key {
    series_ref: u64,
    t: TimestampMs,
    start_t: TimestampMs,
}

impl Key {
    fn with<H>(self, histogram: H) -> HistogramRecord<H> {
        let Self { series_ref, t, start_t } = self;
        HistogramRecord { series_ref, t, start_t, histogram }
    }
}

impl<'a> Columns<'a> {
    /// A record without items has no header either.
    fn v1(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(body);
        let mut base = Key::default();
        if !input.is_empty() {
            base.series_ref = input.be64()?;
            base.t = input.be64()?.cast_signed();
        }
        Ok(Self { input, layout: Layout::V1, base, previous_start_t: 0 })
    }

    fn v2(body: &'a [u8]) -> Self {
        let input = Decoder::new(body);
        Self { input, layout: Layout::V2First, base: Key::default(), previous_start_t: 0 }
    }

    #[inline]
    fn key(&mut self) -> Result<Key, DecodeError> {
        if self.layout == Layout::V1 {
            let series_ref = self.base.series_ref.wrapping_add_signed(self.input.varint()?);
            let t = self.base.t.wrapping_add(self.input.varint()?);
            return Ok(Key { series_ref, t, start_t: 0 });
        }
        self.key_v2()
    }

    fn key_v2(&mut self) -> Result<Key, DecodeError> {
        let input = &mut self.input;
        if self.layout == Layout::V2First {
            let series_ref = input.varint()?.cast_unsigned();
            self.base = Key { series_ref, t: input.varint()?, start_t: input.varint()? };
            self.previous_start_t = self.base.start_t;
            self.layout = Layout::V2;
            return Ok(self.base);
        }
        self.base.series_ref = self.base.series_ref.wrapping_add_signed(input.varint()?);
        let t = self.base.t.wrapping_add(input.varint()?);
        let start_t = match input.byte()? {
            0 => 0,
            1 => self.previous_start_t,
            2 => self.base.start_t.wrapping_add(input.varint()?),
            _ => return Err(DecodeError::Invalid("unknown start timestamp marker")),
        };
        self.previous_start_t = start_t;
        Ok(Key { series_ref: self.base.series_ref, t, start_t })
    }
}

/// Reads the number of labels and the labels into the scratch.
pub(crate) fn read_labels<'a>(
    input: &mut Decoder<'a>,
    labels: &mut Pairs<'a>,
) -> Result<(), DecodeError> {
    labels.clear();
    let count = input.uvarint_len()?;
    // A pair takes two bytes at least, which bounds the reservation.
    if count > input.len() / 2 {
        return Err(DecodeError::Truncated);
    }
    labels.reserve(count);
    for _ in 0..count {
        labels.push((input.uvarint_str()?, input.uvarint_str()?));
    }
    Ok(())
}
