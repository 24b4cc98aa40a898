//! Tests of the decoder: requests are put together by hand from the protobuf rules.

use model::batch::{HistogramValue, MetricType, SeriesHasher};
use model::{CounterResetHint, Label, Span, WriteBatch};
use proptest::prelude::*;

use super::*;

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

fn bytes_field(number: u64, payload: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(payload.len() as u64), payload.to_vec()].concat()
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn double_field(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_bits().to_le_bytes().to_vec()].concat()
}

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    bytes_field(1, &[bytes_field(1, name), bytes_field(2, value)].concat())
}

fn sample(t: i64, v: f64) -> Vec<u8> {
    bytes_field(2, &[double_field(1, v), varint_field(2, t as u64)].concat())
}

fn series(parts: &[Vec<u8>]) -> Vec<u8> {
    bytes_field(1, &parts.concat())
}

fn decoded(body: &[u8]) -> Result<WriteBatch<'_>, DecodeError> {
    let mut batch = WriteBatch::new(SeriesHasher::new(42));
    decode(body, &mut batch)?;
    Ok(batch)
}

fn labels_of(batch: &WriteBatch<'_>, i: usize) -> Vec<(String, String)> {
    let labels = batch.labels_of(&batch.series[i]);
    labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect()
}

#[test]
fn a_plain_series_is_borrowed_and_hashed() {
    let stale = f64::from_bits(model::sample::STALE_NAN_BITS);
    let body = [
        series(&[label(b"__name__", b"up"), label(b"job", "é".as_bytes()), sample(-5, 1.5)]),
        series(&[label(b"a", b"b"), sample(1, 2.0), sample(2, stale)]),
    ]
    .concat();
    let batch = decoded(&body).unwrap();
    assert_eq!(batch.series.len(), 2);
    assert_eq!(
        labels_of(&batch, 0),
        [("__name__".into(), "up".into()), ("job".into(), "é".into())]
    );
    assert_eq!(batch.samples_of(&batch.series[0])[0].timestamp_ms, -5);
    let last = batch.samples_of(&batch.series[1])[1];
    assert_eq!(last.value.to_bits(), model::sample::STALE_NAN_BITS);
    let name = Label { name: "a", value: "b" };
    assert_eq!(batch.series[1].hash, SeriesHasher::new(42).hash(&[name]));
}

#[test]
fn however_the_labels_arrive_set_and_hash_are_the_same() {
    let canonical = series(&[label(b"a", b"1"), label(b"b", b"2"), sample(1, 1.0)]);
    let long_varint = {
        // The label's length in two bytes instead of one.
        let body = [bytes_field(1, b"b"), bytes_field(2, b"2")].concat();
        [vec![0x0a, body.len() as u8 | 0x80, 0], body].concat()
    };
    let unknown_field =
        bytes_field(1, &[bytes_field(1, b"b"), bytes_field(2, b"2"), varint_field(9, 7)].concat());
    let value_first = bytes_field(1, &[bytes_field(2, b"2"), bytes_field(1, b"b")].concat());
    let variants = [
        series(&[label(b"b", b"2"), label(b"a", b"1"), sample(1, 1.0)]),
        series(&[label(b"a", b"1"), sample(1, 1.0), label(b"b", b"2")]),
        series(&[sample(1, 1.0), label(b"a", b"1"), label(b"b", b"2")]),
        series(&[label(b"a", b"1"), label(b"b", b"2"), label(b"c", b""), sample(1, 1.0)]),
        series(&[label(b"a", b"1"), long_varint, sample(1, 1.0)]),
        series(&[label(b"a", b"1"), unknown_field, sample(1, 1.0)]),
        series(&[label(b"a", b"1"), value_first, sample(1, 1.0)]),
    ];
    let want = decoded(&canonical).unwrap();
    for body in &variants {
        let got = decoded(body).unwrap();
        assert_eq!(labels_of(&got, 0), labels_of(&want, 0));
        assert_eq!(got.series[0].hash, want.series[0].hash);
        assert_eq!(got.samples, want.samples);
    }
}

#[test]
fn repeated_names_stay_for_the_validation_to_see() {
    let body = series(&[label(b"a", b"1"), label(b"a", b"2"), sample(1, 1.0)]);
    let batch = decoded(&body).unwrap();
    assert_eq!(labels_of(&batch, 0), [("a".into(), "1".into()), ("a".into(), "2".into())]);
}

#[test]
fn labels_longer_than_two_length_bytes() {
    let value = "x".repeat(40_000);
    let body = series(&[label(b"a", value.as_bytes()), sample(1, 1.0)]);
    let batch = decoded(&body).unwrap();
    assert_eq!(batch.labels[0].value.len(), 40_000);
    let want = Label { name: "a", value: &value };
    assert_eq!(batch.series[0].hash, SeriesHasher::new(42).hash(&[want]));
}

#[test]
fn histograms_exemplars_metadata_and_created_timestamps() {
    let span =
        |offset: u64, length: u64| [varint_field(1, offset), varint_field(2, length)].concat();
    let histogram = [
        varint_field(1, 7),
        double_field(3, 1.5),
        varint_field(4, 5), // zigzag of -3
        double_field(5, 0.001),
        varint_field(6, 2),
        bytes_field(11, &span(2, 2)), // zigzag of 1
        bytes_field(12, &[2, 1]),     // 1, -1
        varint_field(14, 2),
        varint_field(15, 1000),
    ]
    .concat();
    let float = [
        double_field(2, 2.5),
        double_field(7, 0.5),
        bytes_field(8, &span(0, 1)),
        bytes_field(10, &2.0f64.to_le_bytes()),
        bytes_field(16, &3.0f64.to_le_bytes()),
    ]
    .concat();
    let exemplar = [label(b"trace", b"x"), double_field(2, 4.0), varint_field(3, 9)].concat();
    let metadata =
        [varint_field(1, 1), bytes_field(2, b"up"), bytes_field(4, b"h"), bytes_field(5, b"u")];
    let body = [
        series(&[
            label(b"a", b"1"),
            bytes_field(4, &histogram),
            bytes_field(4, &float),
            bytes_field(3, &exemplar),
            varint_field(6, 77),
        ]),
        bytes_field(3, &metadata.concat()),
    ]
    .concat();
    let batch = decoded(&body).unwrap();
    assert_eq!(batch.series[0].created_timestamp_ms, 77);
    let HistogramValue::Int(int) = &batch.histograms[0].value else { panic!("an integer one") };
    assert_eq!((int.count, int.schema, int.zero_count, int.sum), (7, -3, 2, 1.5));
    assert_eq!(int.positive_spans, [Span { offset: 1, length: 2 }]);
    assert_eq!(int.positive_buckets, [1, -1]);
    assert_eq!(int.counter_reset_hint, CounterResetHint::NotCounterReset);
    assert_eq!(batch.histograms[0].timestamp_ms, 1000);
    let HistogramValue::Float(float) = &batch.histograms[1].value else { panic!("a float one") };
    assert_eq!((float.count, float.zero_count), (2.5, 0.5));
    assert_eq!((&float.negative_buckets[..], &float.custom_values[..]), (&[2.0][..], &[3.0][..]));
    assert_eq!((batch.exemplars[0].value, batch.exemplars[0].timestamp_ms), (4.0, 9));
    assert_eq!(batch.exemplar_labels[0], Label { name: "trace", value: "x" });
    let meta = batch.metadata[0];
    assert_eq!((meta.family, meta.help, meta.unit), ("up", "h", "u"));
    assert_eq!(meta.metric_type, MetricType::Counter);
}

#[test]
fn damaged_requests_are_errors() {
    let good = series(&[label(b"a", b"1"), sample(1, 1.0)]);
    for (body, want) in [
        (good[..good.len() - 1].to_vec(), DecodeError::UnexpectedEnd),
        (vec![0x0b, 0], DecodeError::IllegalTag(0x0b)),
        (vec![0x02, 0], DecodeError::IllegalTag(2)),
        ([vec![0x10], vec![0xff; 10]].concat(), DecodeError::VarintOverflow),
        (
            varint_field(1, 5),
            DecodeError::WrongWireType { message: "WriteRequest", field: 1, wire_type: 0 },
        ),
        (bytes_field(1, &[]).repeat(1_000_000), DecodeError::TooManyItems),
        (bytes_field(3, &[]).repeat(1_000_000), DecodeError::TooManyItems),
        (series(&[bytes_field(1, &[]).repeat(1_000_000)]), DecodeError::InvalidUtf8("")),
    ] {
        let got = decoded(&body).map(|_| ());
        if want == DecodeError::InvalidUtf8("") {
            assert_eq!(got, Ok(()), "empty labels are dropped");
        } else {
            assert_eq!(got, Err(want));
        }
    }
}

#[test]
fn text_that_is_not_utf8_takes_its_series_out_alone() {
    let body = [
        series(&[label(b"__name__", b"m"), label(b"a", b"1"), sample(1, 1.0)]),
        series(&[label(b"__name__", b"m"), label(b"a", b"\xff"), sample(2, 1.0), sample(3, 1.0)]),
        series(&[label(b"\xc3", b"1"), label(b"a", b"2"), label(b"b", b"")]),
        series(&[label(b"__name__", b"m"), label(b"a", b"3"), sample(4, 1.0)]),
    ]
    .concat();
    let batch = decoded(&body).unwrap();
    assert_eq!(batch.series.len(), 2);
    assert_eq!(labels_of(&batch, 1), [("__name__".into(), "m".into()), ("a".into(), "3".into())]);
    assert_eq!(batch.samples_of(&batch.series[1])[0].timestamp_ms, 4);
    for series in &batch.series {
        assert_eq!(series.hash, SeriesHasher::new(42).hash(batch.labels_of(series)));
    }
    let [value, name] = batch.undecodable.series[..] else { panic!("two series") };
    assert_eq!((value.position, value.sample_count), (1, 2));
    assert_eq!((name.position, name.sample_count), (1, 0));
    let raw = |name, value| model::batch::RawLabel { name, value };
    let labels = batch.undecodable.labels_of(&value);
    assert_eq!(labels, [raw(b"__name__", b"m"), raw(b"a", b"\xff")]);
    assert_eq!(batch.undecodable.labels_of(&name), [raw(b"a", b"2"), raw(b"\xc3", b"1")]);
    assert!(batch.recycle().undecodable.is_empty());
}

#[test]
fn exemplars_and_metadata_with_text_that_is_not_utf8() {
    let exemplar = |value: &[u8]| {
        let parts = [label(b"trace", value), label(b"span", b"x"), varint_field(3, 9)];
        bytes_field(3, &parts.concat())
    };
    let metadata = |family: &[u8], help: &[u8]| {
        bytes_field(3, &[bytes_field(2, family), bytes_field(4, help)].concat())
    };
    let body = [
        series(&[label(b"a", b"1"), exemplar(b"\xff"), exemplar(b"1")]),
        metadata(b"up\xff", b"h"),
        metadata(b"up", b"ok\xffno"),
    ]
    .concat();
    let batch = decoded(&body).unwrap();
    let counts: Vec<usize> = batch.exemplars.iter().map(|e| e.labels.len()).collect();
    assert_eq!(counts, [0, 2]);
    let [meta] = batch.metadata[..] else { panic!("one of a name that can be") };
    assert_eq!((meta.family, meta.help), ("up", "ok"));
}

#[test]
fn snappy_blocks_are_bounded_and_checked() {
    let mut out = Vec::new();
    let data = b"hello hello hello hello".repeat(10);
    let block = snap::raw::Encoder::new().compress_vec(&data).unwrap();
    decompress(&block, data.len(), &mut out).unwrap();
    assert_eq!(out, data);
    let too_large = SnappyError::TooLarge { size_bytes: data.len(), max_bytes: data.len() - 1 };
    assert_eq!(decompress(&block, data.len() - 1, &mut out), Err(too_large));
    assert_eq!(decompress(&block[..block.len() - 1], 1 << 20, &mut out), Err(SnappyError::Corrupt));
    let claims_a_gigabyte = [varint(1 << 30), vec![0; 8]].concat();
    assert_eq!(decompress(&claims_a_gigabyte, 1 << 31, &mut out), Err(SnappyError::Corrupt));
    assert_eq!(decompress(&[], 1 << 20, &mut out), Err(SnappyError::Corrupt));
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decoded(&body);
        let _ = decompress(&body, 1 << 16, &mut Vec::new());
    }

    #[test]
    fn no_damage_makes_it_panic(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
        let mut body = [
            series(&[label(b"__name__", b"up"), label(b"job", b"x"), sample(1, 1.0)]),
            series(&[label(b"b", b"2"), label(b"a", b"1"), bytes_field(4, &varint_field(1, 3))]),
        ].concat();
        let len = body.len();
        body[at % len] = byte;
        body.truncate(len - cut % len);
        let _ = decoded(&body);
    }

    #[test]
    fn any_labels_come_out_sorted_with_the_hash_of_the_set(
        pairs in proptest::collection::btree_map("[a-zé]{1,12}", "[ -~é]{1,20}", 0..12),
        swap in any::<prop::sample::Index>(),
    ) {
        let mut parts: Vec<Vec<u8>> =
            pairs.iter().map(|(n, v)| label(n.as_bytes(), v.as_bytes())).collect();
        if !parts.is_empty() {
            let at = swap.index(parts.len());
            parts.swap(0, at);
        }
        let body = series(&parts);
        let batch = decoded(&body).unwrap();
        let want: Vec<(String, String)> = pairs.into_iter().collect();
        prop_assert_eq!(labels_of(&batch, 0), want);
        let hash = batch.hasher.hash(batch.labels_of(&batch.series[0]));
        prop_assert_eq!(batch.series[0].hash, hash);
    }
}

#[test]
fn series_with_the_same_names_share_a_list() {
    let ab = |v: &[u8]| series(&[label(b"a", v), label(b"b", b"x"), sample(1, 1.0)]);
    let late = series(&[label(b"a", b"1"), sample(1, 1.0), label(b"c", b"2")]);
    let c = series(&[label(b"a", b"1"), label(b"c", b"x"), sample(1, 1.0)]);
    let unsorted = series(&[label(b"b", b"1"), label(b"a", b"x"), sample(1, 1.0)]);
    let body = [late, ab(b"1"), ab(b"22"), unsorted, c, ab(b"333")].concat();
    let batch = decoded(&body).unwrap();
    let lists: Vec<_> = batch.series.iter().map(|s| s.name_list.map(|l| l.index())).collect();
    assert_eq!(lists, [None, Some(0), Some(0), None, Some(1), Some(0)]);
    for (i, series) in batch.series.iter().enumerate() {
        let Some(list) = series.name_list else { continue };
        let names =
            |labels: &[Label<'_>]| labels.iter().map(|l| l.name).collect::<Vec<_>>().join(",");
        let of_list = &batch.labels[batch.name_lists[list.index()].range()];
        assert_eq!(names(of_list), names(batch.labels_of(series)), "series {i}");
    }
}

#[test]
fn a_request_of_many_different_names_is_decoded() {
    let names: Vec<String> = (0..200).map(|i| format!("name_{i:03}")).collect();
    let body: Vec<u8> = (0..400)
        .flat_map(|i| series(&[label(names[i % 200].as_bytes(), b"x"), sample(1, 1.0)]))
        .collect();
    let batch = decoded(&body).unwrap();
    for (i, series) in batch.series.iter().enumerate() {
        assert_eq!(batch.labels_of(series)[0].name, names[i % 200]);
    }
}

proptest! {
    /// Labels that are taken from the series before are those of the message.
    #[test]
    fn neighbours_are_decoded_as_if_alone(
        requested in proptest::collection::vec(
            proptest::collection::vec(
                (prop::sample::select(vec!["a", "ab", "b", "c", "é"]), value_of_label()), 0..6,
            ),
            1..20,
        ),
        sorted in any::<bool>(),
    ) {
        let parts: Vec<Vec<u8>> = requested
            .into_iter()
            .map(|mut labels| {
                if sorted {
                    labels.sort_by_key(|label| label.0);
                    labels.dedup_by_key(|label| label.0);
                }
                let labels = labels.iter().map(|(n, v)| label(n.as_bytes(), v.as_bytes()));
                series(&labels.chain([sample(1, 1.0)]).collect::<Vec<_>>())
            })
            .collect();
        let body = parts.concat();
        let batch = decoded(&body).unwrap();
        for (i, part) in parts.iter().enumerate() {
            let alone = decoded(part).unwrap();
            prop_assert_eq!(labels_of(&batch, i), labels_of(&alone, 0));
            prop_assert_eq!(batch.series[i].hash, alone.series[0].hash);
            let list = batch.series[i].name_list.map(|list| batch.name_lists[list.index()]);
            if let Some(list) = list {
                let names = |labels: &[Label<'_>]| labels.iter().map(|l| l.name.to_owned()).collect();
                let (of_list, own): (Vec<String>, Vec<String>) = (
                    names(&batch.labels[list.range()]),
                    names(batch.labels_of(&batch.series[i])),
                );
                prop_assert_eq!(of_list, own);
            }
        }
    }
}

/// Few values, so that neighbours share some; some are long, some not there.
fn value_of_label() -> impl Strategy<Value = String> {
    let long = "x".repeat(200);
    prop::sample::select(vec![
        String::new(),
        "1".into(),
        "12345678".into(),
        "123456789".into(),
        "é€".into(),
        format!("{long}1"),
        format!("{long}2"),
    ])
}
