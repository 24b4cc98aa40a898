//! Tests: requests are put together by hand, answers are read with the decoder of remote write,
//! whose `TimeSeries` is the same message.

use std::sync::Arc;

use model::batch::{BatchHistogram, BatchSample, HistogramValue, SeriesHasher};
use model::{
    CounterResetHint, EncodedChunk, FloatHistogram, Histogram, Labels, MatchOp, Span, WriteBatch,
};
use proptest::prelude::*;

use super::*;
use crate::remote_write::protobuf::Reader;

fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, payload.len() as u8], payload].concat()
}

#[test]
fn a_request_is_read() {
    let matcher = [&[8, 2][..], &field(2, b"job"), &field(3, b"a|b")].concat();
    let hints = [&[8, 15][..], &field(2, b"rate"), &[24, 7, 32, 9]].concat();
    let query = [&[8, 5, 16, 50][..], &field(3, &matcher), &field(4, &hints)].concat();
    let body = [field(1, &query), field(2, &[1, 0])].concat();
    let request = decode_request(&body).unwrap();
    assert_eq!(request.response_type(), Some(ResponseType::StreamedXorChunks));
    let want = ReadQuery {
        start_ms_incl: 5,
        end_ms_incl: 50,
        matchers: vec![ReadMatcher {
            op: Some(MatchOp::Regex),
            name: "job".to_owned(),
            value: "a|b".to_owned(),
        }],
        hint_start_ms: 7,
        hint_end_ms: 9,
    };
    assert_eq!(request.queries, [want]);
}

#[test]
fn the_first_kind_that_is_known_is_chosen() {
    for (accepted, want) in [
        (vec![], Some(ResponseType::Samples)),
        (vec![7, 0, 1], Some(ResponseType::Samples)),
        (vec![9, 1, 0], Some(ResponseType::StreamedXorChunks)),
        (vec![2], None),
    ] {
        let request = ReadRequest { accepted_response_types: accepted, ..Default::default() };
        assert_eq!(request.response_type(), want);
    }
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", "é")])
}

fn int_histogram() -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::NotCounterReset,
        schema: -4,
        zero_threshold: 0.001,
        zero_count: 0,
        count: 9,
        sum: -3.5,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 2 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![1, 2, -1],
        negative_buckets: vec![3],
        custom_values: Arc::from([]),
    }
}

#[test]
fn samples_and_histograms_are_read_again_by_the_decoder_of_remote_write() {
    let stale = model::stale_nan();
    let samples = [(-5, -0.0), (0, 0.0), (7, stale)]
        .map(|(timestamp_ms, value)| BatchSample { timestamp_ms, value });
    let float = FloatHistogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![0.5, 1.0],
        custom_values: Arc::from([1.0]),
        ..Default::default()
    };
    let histograms = [
        BatchHistogram { timestamp_ms: 8, value: HistogramValue::Int(Box::new(int_histogram())) },
        BatchHistogram { timestamp_ms: 9, value: HistogramValue::Float(Box::new(float)) },
    ];
    let mut result = Vec::new();
    put_series(&mut result, &labels(), &samples, &histograms);
    let mut batch = WriteBatch::new(SeriesHasher::new(1));
    crate::remote_write::decode(&result, &mut batch).unwrap();
    let bits = |s: &BatchSample| (s.timestamp_ms, s.value.to_bits());
    assert!(batch.samples.iter().map(bits).eq(samples.iter().map(bits)));
    assert_eq!(batch.histograms, histograms);
    let names: Vec<_> = batch.labels.iter().map(|l| (l.name, l.value)).collect();
    assert_eq!(names, [("__name__", "up"), ("job", "é")]);
}

fn chunk(t: i64, length: usize) -> EncodedChunk {
    EncodedChunk {
        min_time_ms: t,
        max_time_ms: t + 9,
        encoding: 1,
        data: vec![t as u8; length].into(),
    }
}

/// Reads frames: query index, and the start times of chunks.
fn frames(mut bytes: &[u8]) -> Vec<(u64, Vec<i64>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut reader = Reader::new(bytes);
        let length = reader.varint().unwrap() as usize;
        let (crc, rest) = reader.rest().split_at(4);
        let (message, rest) = rest.split_at(length);
        assert_eq!(crc, bitwise_crc32c(message).to_be_bytes());
        bytes = rest;
        all.push(read_message(message));
    }
    all
}

fn read_message(message: &[u8]) -> (u64, Vec<i64>) {
    let (mut index, mut times) = (0, Vec::new());
    let mut reader = Reader::new(message);
    while let Some((number, _)) = reader.next_tag().unwrap() {
        if number == 2 {
            index = reader.varint().unwrap();
            continue;
        }
        let mut series = Reader::new(reader.bytes().unwrap());
        let mut label_count = 0;
        while let Some((number, _)) = series.next_tag().unwrap() {
            let part = series.bytes().unwrap();
            if number == 1 {
                label_count += 1;
                continue;
            }
            let mut chunk = Reader::new(part);
            assert_eq!(chunk.next_tag().unwrap().unwrap().0, 1);
            times.push(chunk.varint().unwrap() as i64);
        }
        assert_eq!(label_count, 2, "every frame has the labels");
    }
    (index, times)
}

/// The checksum bit by bit, from its polynomial.
fn bitwise_crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    let byte = |crc: u32, b: &u8| (0..8).fold(crc ^ u32::from(*b), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

#[test]
fn a_series_with_many_chunks_stands_in_several_frames() {
    let builder = FrameBuilder::new(3, 1000);
    let chunks: Vec<_> = (1..=5).map(|i| chunk(i * 10, 400)).collect();
    let mut out = Vec::new();
    builder.push_series(&mut out, &labels(), &chunks);
    builder.push_series(&mut out, &labels(), &[]);
    builder.push_series(&mut out, &labels(), &[chunk(60, 5000)]);
    let want = [vec![10, 20, 30], vec![40, 50], vec![60]].map(|times| (3, times));
    assert_eq!(frames(&out), want);
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(body: Vec<u8>) {
        let _ = decode_request(&body);
    }
}
