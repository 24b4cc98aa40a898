//! A `WriteRequest` from a batch: what a distributor sends to an ingester in another process.
//!
//! Start timestamps of single samples have no place in the message; that of the series has.

use model::batch::{BatchRange, BatchSeries, MetricMetadata};
use model::{Label, WriteBatch};

use crate::protobuf_writer::{put_bytes, put_double, put_message, put_number, put_string};
use crate::remote_read::put_histogram;

/// Appends the request with these series of `batch` and this metadata to `out`.
pub fn encode<'a>(
    batch: &WriteBatch<'_>,
    series: impl IntoIterator<Item = BatchSeries>,
    metadata: impl IntoIterator<Item = MetricMetadata<'a>>,
    out: &mut Vec<u8>,
) {
    for series in series {
        put_message(out, 1, |out| put_series(out, batch, &series));
    }
    for metadata in metadata {
        put_message(out, 3, |out| put_metadata(out, &metadata));
    }
}

fn put_series(out: &mut Vec<u8>, batch: &WriteBatch<'_>, series: &BatchSeries) {
    put_labels(out, batch.labels_of(series));
    for sample in batch.samples_of(series) {
        put_message(out, 2, |out| {
            put_double(out, 1, sample.value);
            put_number(out, 2, sample.timestamp_ms.cast_unsigned());
        });
    }
    for exemplar in batch.exemplars_of(series) {
        put_message(out, 3, |out| {
            put_labels(out, exemplar_labels(batch, exemplar.labels));
            put_double(out, 2, exemplar.value);
            put_number(out, 3, exemplar.timestamp_ms.cast_unsigned());
        });
    }
    for histogram in batch.histograms_of(series) {
        put_message(out, 4, |out| put_histogram(out, histogram));
    }
    put_number(out, 6, series.created_timestamp_ms.cast_unsigned());
}

fn exemplar_labels<'b, 'a>(batch: &'b WriteBatch<'a>, labels: BatchRange) -> &'b [Label<'a>] {
    &batch.exemplar_labels[labels.range()]
}

fn put_labels(out: &mut Vec<u8>, labels: &[Label<'_>]) {
    for label in labels {
        put_message(out, 1, |out| {
            put_bytes(out, 1, label.name.as_bytes());
            put_bytes(out, 2, label.value.as_bytes());
        });
    }
}

fn put_metadata(out: &mut Vec<u8>, metadata: &MetricMetadata<'_>) {
    put_number(out, 1, metadata.metric_type as u64);
    put_string(out, 2, metadata.family);
    put_string(out, 4, metadata.help);
    put_string(out, 5, metadata.unit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_write::decode;

    /// A request with samples, an exemplar, metadata, a start timestamp and an integer histogram,
    /// written by hand after the message definitions.
    fn request() -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            for (name, value) in [("__name__", "up"), ("job", "api")] {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 2, value.as_bytes());
                });
            }
            for t in [1_000_u64, 2_000] {
                put_message(out, 2, |out| {
                    put_double(out, 1, 1.5);
                    put_number(out, 2, t);
                });
            }
            put_message(out, 3, |out| {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, b"trace_id");
                    put_bytes(out, 2, b"abc");
                });
                put_double(out, 2, 7.0);
                put_number(out, 3, 1_500);
            });
            put_number(out, 6, 900);
        });
        put_message(&mut out, 3, |out| {
            put_number(out, 1, 2);
            put_string(out, 2, "up");
            put_string(out, 4, "Whether it is up.");
            put_string(out, 5, "bool");
        });
        out
    }

    #[test]
    fn what_was_decoded_is_encoded_as_it_was() {
        let request = request();
        let mut batch = WriteBatch::default();
        decode(&request, &mut batch).unwrap();
        let mut again = Vec::new();
        let metadata = batch.metadata.iter().copied();
        encode(&batch, batch.series.iter().copied(), metadata, &mut again);
        assert_eq!(again, request);
    }

    #[test]
    fn only_the_chosen_series_are_encoded() {
        let request = [request(), request()].concat();
        let mut batch = WriteBatch::default();
        decode(&request, &mut batch).unwrap();
        let mut one = Vec::new();
        encode(&batch, batch.series.iter().copied().take(1), [], &mut one);
        let mut read = WriteBatch::default();
        decode(&one, &mut read).unwrap();
        assert_eq!((read.series.len(), read.samples.len(), read.metadata.len()), (1, 2, 0));
    }
}
