//! Merging against a naive model.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::storage::DecodedSamples;
use model::{FloatHistogram, SampleBuffer, SampleReader};
use proptest::prelude::*;

use super::*;

/// Hands out batches of samples as they are.
struct Batches(Vec<SampleBuffer>);

impl SampleReader for Batches {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        if self.0.is_empty() {
            return Ok(false);
        }
        DecodedSamples::new(self.0.remove(0)).read_batch(out)
    }
}

struct Sets(Vec<(Labels, Vec<SampleBuffer>)>);

impl SeriesSet for Sets {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (labels, batches) = self.0.remove(0);
        Ok(Some(SeriesEntry { labels, samples: Box::new(Batches(batches)) }))
    }
}

/// One source: for each series its samples by time; true = a histogram.
type Source = BTreeMap<u8, BTreeMap<i64, bool>>;

fn labels(series: u8) -> Labels {
    Labels::from_pairs([("s", format!("{series:03}").as_str())])
}

/// Samples tell their source by their value.
fn batches(source: usize, samples: &BTreeMap<i64, bool>, batch_len: usize) -> Vec<SampleBuffer> {
    let all: Vec<(i64, bool)> = samples.iter().map(|(&t, &h)| (t, h)).collect();
    let mut batches = Vec::new();
    for run in all.chunks(batch_len) {
        let mut buffer = SampleBuffer::default();
        for &(t, is_histogram) in run {
            if is_histogram {
                let histogram = FloatHistogram { sum: source as f64, ..Default::default() };
                buffer.push_histogram(t, Arc::new(histogram));
            } else {
                buffer.push_float_with_start(t, source as f64, t % 3);
            }
        }
        batches.push(buffer);
    }
    batches
}

fn sources() -> impl Strategy<Value = Vec<Source>> {
    let samples = prop::collection::btree_map(0i64..60, any::<bool>(), 0..30);
    let source = prop::collection::btree_map(0u8..6, samples, 0..6);
    prop::collection::vec(source, 0..5)
}

proptest! {
    #[test]
    fn merges_as_maps_do(sources in sources(), batch_len in 1usize..12) {
        let mut want: BTreeMap<u8, BTreeMap<i64, (bool, usize)>> = BTreeMap::new();
        for (i, source) in sources.iter().enumerate() {
            for (&series, samples) in source {
                let merged = want.entry(series).or_default();
                for (&t, &h) in samples {
                    merged.entry(t).or_insert((h, i));
                }
            }
        }
        let sets = sources.iter().enumerate().map(|(i, source)| {
            let series = source.iter();
            let series = series.map(|(&s, samples)| (labels(s), batches(i, samples, batch_len)));
            Box::new(Sets(series.collect())) as Box<dyn SeriesSet>
        });
        let mut merged = merge_series_sets(sets.collect());
        for (series, samples) in &want {
            let mut entry = merged.next_series().unwrap().expect("a series is missing");
            prop_assert_eq!(&entry.labels, &labels(*series));
            let mut got = SampleBuffer::default();
            entry.samples.read_all(&mut got).unwrap();
            let floats = got.float_times.iter().zip(&got.float_values);
            let floats = floats.map(|(&t, &v)| (t, (false, v as usize)));
            let histograms = got.histogram_times.iter().zip(&got.histograms);
            let histograms = histograms.map(|(&t, h)| (t, (true, h.sum as usize)));
            let got_map: BTreeMap<i64, (bool, usize)> = floats.chain(histograms).collect();
            prop_assert_eq!(&got_map, samples);
            prop_assert_eq!(got.len(), samples.len());
            for (i, start) in got.float_start_times.iter().enumerate() {
                prop_assert_eq!(*start, got.float_times[i] % 3);
            }
        }
        prop_assert!(merged.next_series().unwrap().is_none());
        prop_assert!(merged.next_series().unwrap().is_none());
    }
}

#[test]
fn label_strings_are_merged_sorted_and_limited() {
    struct Fixed(Vec<&'static str>);
    impl Querier for Fixed {
        fn select(
            &self,
            _: &[Matcher],
            _: &SelectHints,
        ) -> Result<Box<dyn SeriesSet>, StorageError> {
            Ok(Box::new(EmptySeriesSet))
        }
        fn label_values(
            &self,
            _: &str,
            _: &[Matcher],
            _: usize,
        ) -> Result<Vec<String>, StorageError> {
            Ok(self.0.iter().map(ToString::to_string).collect())
        }
        fn label_names(&self, _: &[Matcher], _: usize) -> Result<Vec<String>, StorageError> {
            self.label_values("", &[], 0)
        }
    }
    let merged = MergeQuerier::new(vec![
        Box::new(Fixed(vec!["a", "c", "d"])),
        Box::new(Fixed(vec!["b", "c"])),
    ]);
    assert_eq!(merged.label_values("x", &[], 0).unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(merged.label_names(&[], 3).unwrap(), ["a", "b", "c"]);
}
