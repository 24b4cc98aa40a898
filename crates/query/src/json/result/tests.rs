//! Tests of answers: shapes are those of the HTTP API's documentation.

use std::sync::Arc;

use model::FloatHistogram;
use promql::value::{FloatPoint, HistogramPoint};

use super::*;

fn json(value: Value) -> String {
    let answer = Answer { value, warnings: vec![], infos: vec![], stats: None };
    let bytes: Vec<u8> = AnswerChunks::new(answer).flatten().collect();
    String::from_utf8(bytes).unwrap()
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", "a\"b")])
}

fn floats(count: i64) -> Vec<FloatPoint> {
    (0..count).map(|i| FloatPoint { timestamp_ms: i * 1000, value: i as f64 / 2.0 }).collect()
}

#[test]
fn instant_results_of_every_type() {
    let vector = Value::Vector(vec![VectorSample {
        labels: labels(),
        timestamp_ms: 1_435_781_451_781,
        value: SampleValue::Float(1.0),
    }]);
    assert_eq!(
        json(vector),
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1435781451.781,"1"]}]}}"#
    );
    assert_eq!(
        json(Value::Scalar(FloatPoint { timestamp_ms: 0, value: f64::NAN })),
        r#"{"status":"success","data":{"resultType":"scalar","result":[0,"NaN"]}}"#
    );
    assert_eq!(
        json(Value::String { timestamp_ms: 1500, value: b"x\xff".to_vec() }),
        "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1.500,\"x\u{fffd}\"]}}"
    );
    assert_eq!(
        json(Value::Vector(vec![])),
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#
    );
}

#[test]
fn a_matrix_with_floats_and_histograms() {
    let histogram = HistogramPoint {
        timestamp_ms: 5000,
        histogram: Arc::new(FloatHistogram { count: 2.0, sum: 1.5, ..Default::default() }),
    };
    let both =
        MatrixSeries { labels: labels(), floats: floats(2), histograms: vec![histogram.clone()] };
    let only =
        MatrixSeries { labels: Labels::empty(), floats: vec![], histograms: vec![histogram] };
    assert_eq!(
        json(Value::Matrix(vec![both, only])),
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":["#,
            r#"{"metric":{"__name__":"up","job":"a\"b"},"values":[[0,"0"],[1,"0.5"]],"#,
            r#""histograms":[[5,{"count":"2","sum":"1.5"}]]},"#,
            r#"{"metric":{},"histograms":[[5,{"count":"2","sum":"1.5"}]]}]}}"#
        )
    );
}

#[test]
fn annotations_follow_the_data() {
    let answer = Answer {
        value: Value::Vector(vec![]),
        warnings: vec!["w".to_owned()],
        infos: vec!["i".to_owned(), "j".to_owned()],
        stats: None,
    };
    let bytes: Vec<u8> = AnswerChunks::new(answer).flatten().collect();
    assert!(
        String::from_utf8(bytes).unwrap().ends_with(r#"},"warnings":["w"],"infos":["i","j"]}"#)
    );
}

#[test]
fn a_large_result_comes_in_bounded_pieces_that_are_one_document() {
    let series = |n| MatrixSeries { labels: labels(), floats: floats(n), histograms: vec![] };
    let value = Value::Matrix(vec![series(50_000), series(0), series(3)]);
    let answer = Answer { value, warnings: vec![], infos: vec![], stats: None };
    let chunks: Vec<Bytes> = AnswerChunks::new(answer).collect();
    assert!(chunks.len() > 10 && chunks.iter().all(|c| c.len() < PIECE_BYTES + 1024));
    let document: serde_json::Value = serde_json::from_slice(&chunks.concat()).unwrap();
    let result = &document["data"]["result"];
    assert_eq!(result[0]["values"].as_array().unwrap().len(), 50_000);
    assert_eq!(result[0]["values"][49_999], serde_json::json!([49_999, "24999.5"]));
    assert_eq!(result[1], serde_json::json!({"metric": {"__name__": "up", "job": "a\"b"}}));
    assert_eq!(result[2]["values"].as_array().unwrap().len(), 3);
}
