//! A block that Prometheus wrote, as if a Prometheus-like system had put it into the bucket.

use std::path::PathBuf;

use model::{Labels, SelectHints};
use serde_json::Value;
use ulid::Ulid;

use crate::testing::{ALL_TIME, World};

const BLOCK: &str = "01M7ZPQCKZY96HW8E6K6G4X4M9";

fn vectors() -> Option<PathBuf> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/tsdb-vectors");
    let path = PathBuf::from(path);
    if !path.is_dir() {
        eprintln!("SKIPPED: {} is missing", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn a_block_of_prometheus_is_answered_from() {
    let Some(vectors) = vectors() else { return };
    let world = World::new();
    world.upload(&vectors.join("block").join(BLOCK), Ulid::from_string(BLOCK).unwrap());
    let all = world.select(ALL_TIME, &[], &SelectHints::default()).unwrap();
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(all.len(), 71);
    let histograms: usize = all.iter().map(|(_, samples)| samples.histograms.len()).sum();
    assert_eq!(histograms, 50);

    let expected = std::fs::read(vectors.join("block-expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    for series in expected.as_array().unwrap() {
        let pairs = series["labels"].as_object().unwrap().iter();
        let labels = Labels::from_pairs(pairs.map(|(n, v)| (n.as_str(), v.as_str().unwrap())));
        let (_, samples) = all.iter().find(|(l, _)| *l == labels).unwrap();
        let base = series["value"].as_str().unwrap().strip_suffix(" + k").unwrap();
        let base: f64 = base.parse().unwrap();
        let (t0, step) = (series["t0"].as_i64().unwrap(), series["step"].as_i64().unwrap());
        let count = series["samples"].as_i64().unwrap();
        let times: Vec<i64> = (0..count).map(|k| t0 + k * step).collect();
        let values: Vec<f64> = (0..count).map(|k| base + k as f64).collect();
        assert_eq!((&samples.float_times, &samples.float_values), (&times, &values));
    }
}
