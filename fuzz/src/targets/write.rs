//! What a writer sends: the snappy block and the protobuf request in it.

use model::WriteBatch;

/// No decompressed request is larger.
const MAX_BYTES: usize = 1 << 22;

pub(super) fn remote_write(data: &[u8]) {
    let mut batch = WriteBatch::default();
    if wire::remote_write::decode(data, &mut batch).is_err() {
        return;
    }
    for series in &batch.series {
        let labels = &batch.labels[series.labels.range()];
        assert!(labels.is_sorted_by(|a, b| a.name <= b.name), "labels are not sorted");
        assert_eq!(series.hash, batch.hasher.hash(labels), "the hash is not that of the labels");
        let _ = &batch.samples[series.samples.range()];
        let _ = &batch.exemplars[series.exemplars.range()];
        for histogram in &batch.histograms[series.histograms.range()] {
            let _ = histogram.clone();
        }
    }
    for exemplar in &batch.exemplars {
        let _ = &batch.exemplar_labels[exemplar.labels.range()];
    }
}

pub(super) fn snappy(data: &[u8]) {
    let mut out = Vec::new();
    if wire::remote_write::decompress(data, MAX_BYTES, &mut out).is_ok() {
        assert!(out.len() <= MAX_BYTES);
        remote_write(&out);
    }
    assert!(out.capacity() <= MAX_BYTES.max(data.len() * 64 + 64));
}
