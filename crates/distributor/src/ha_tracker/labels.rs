//! What the tracker does to a batch: looks for its earliest sample, and takes a label away.

use model::{TimestampMs, WriteBatch};

/// The earliest of the first samples of all series, at most `now_ms`.
pub(super) fn earliest_ms(batch: &WriteBatch<'_>, now_ms: TimestampMs) -> TimestampMs {
    let first_times = batch.series.iter().flat_map(|series| {
        let sample = batch.samples_of(series).first().map(|sample| sample.timestamp_ms);
        let histogram = batch.histograms_of(series).first().map(|sample| sample.timestamp_ms);
        sample.into_iter().chain(histogram)
    });
    first_times.fold(now_ms, TimestampMs::min)
}

/// Takes the label `name` away from every series that has it. The series are hashed anew, and
/// their lists of names do not hold any more.
pub(super) fn remove(batch: &mut WriteBatch<'_>, name: &str) {
    for series in &mut batch.series {
        let labels = &mut batch.labels[series.labels.range()];
        let Some(at) = labels.iter().position(|label| label.name == name) else { continue };
        labels[at..].rotate_left(1);
        series.labels.end -= 1;
        series.name_list = None;
        series.hash = batch.hasher.hash(&batch.labels[series.labels.range()]);
    }
}

#[cfg(test)]
mod tests {
    use model::Label;
    use model::batch::{BatchSample, SeriesHasher};

    use super::*;

    #[test]
    fn a_label_is_removed_and_the_series_is_the_one_without_it() {
        let label = |name, value| Label { name, value };
        let with = [label("__name__", "up"), label("__replica__", "a"), label("job", "x")];
        let without = [with[0], with[2]];
        let sample = |timestamp_ms| BatchSample { timestamp_ms, value: 1.0 };
        let hasher = SeriesHasher::new(5);
        let (mut batch, mut plain) = (WriteBatch::new(hasher), WriteBatch::new(hasher));
        for (time, labels) in [(40, &with[..]), (30, &without[..]), (50, &with[..])] {
            batch.push_float(labels, sample(time));
            plain.push_float(&without, sample(time));
        }
        assert_eq!(earliest_ms(&batch, 45), 30);
        assert_eq!(earliest_ms(&batch, 20), 20);
        remove(&mut batch, "__replica__");
        for (stripped, plain_series) in batch.series.iter().zip(&plain.series) {
            assert_eq!(batch.labels_of(stripped), plain.labels_of(plain_series));
            assert_eq!(stripped.hash, plain_series.hash);
        }
    }
}
