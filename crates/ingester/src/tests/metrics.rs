//! The names of the metrics against those that Mimir's dashboards and alerts ask for.

use std::collections::BTreeSet;

use super::fixture::{Fixture, START_MS};

/// Asked for by the dashboards, and not there yet, each with its reason.
const NOT_YET: &[(&str, &str)] = &[
    ("cortex_ingester_active_native_histogram_", "shown only where there are histograms"),
    ("cortex_ingester_active_series_loading", "counts are right at once, nothing is ever loading"),
    (
        "cortex_ingester_client_request_duration_seconds",
        "of the distributor and the querier, see `rpc`",
    ),
    ("cortex_ingester_tsdb_symbol_table_size_bytes", "the TSDB does not tell it yet"),
];

/// Lines of the conformance file: name, labels, and where it is used.
fn asked_for() -> Option<Vec<(String, Vec<String>)>> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/mixin-metrics.tsv");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: {path} is missing, metric names are not compared");
        return None;
    };
    let ours = text.lines().filter(|line| line.starts_with("cortex_ingester_"));
    let parse = |line: &str| {
        let mut columns = line.split('\t');
        let name = columns.next().unwrap_or_default().to_owned();
        let labels = columns.next().unwrap_or_default().split(',');
        (name, labels.filter(|label| !label.is_empty()).map(str::to_owned).collect())
    };
    Some(ours.map(parse).collect())
}

#[tokio::test]
async fn dashboards_find_their_metrics() {
    let Some(asked_for) = asked_for() else { return };
    assert!(asked_for.len() > 50, "the file has lost its lines");
    let f = Fixture::running(|s| {
        s.config.instance_limits.max_tenants = 1;
        let tracker = ("up".to_owned(), "__name__=up".to_owned());
        s.limits.active_series_custom_trackers.0.extend([tracker]);
    })
    .await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    f.push("a", START_MS - 1, &[("up", 1.0)]).unwrap_err();
    f.push("b", START_MS, &[("up", 1.0)]).unwrap_err();
    f.query("a");
    f.ingester.update_active_series().await;
    f.ingester.flush(None).await.unwrap();
    let gathered = f.metrics.gather().unwrap();
    let mut missing = BTreeSet::new();
    let mut needless: BTreeSet<&str> = NOT_YET.iter().map(|(prefix, _)| *prefix).collect();
    for (name, labels) in &asked_for {
        let has_labels = |sample: &rt::metrics::GatheredSample| {
            labels.iter().all(|want| sample.labels.iter().any(|(label, _)| label == want))
        };
        // In the names of recording rules counters stand without their ending.
        let total = format!("{name}_total");
        let has_name = |s: &&rt::metrics::GatheredSample| s.name == *name || s.name == total;
        let is_there = gathered.samples.iter().filter(has_name).any(has_labels)
            // The name of a histogram itself carries no sample but in its native form.
            || gathered.families.iter().any(|family| family.name == *name && family.kind == "histogram");
        let not_yet = NOT_YET.iter().find(|(prefix, _)| name.starts_with(prefix));
        match (is_there, not_yet) {
            (false, None) => _ = missing.insert(name),
            (false, Some((prefix, _))) => _ = needless.remove(prefix),
            (true, _) => {}
        }
    }
    assert!(missing.is_empty(), "asked for and not registered: {missing:#?}");
    assert!(needless.is_empty(), "listed as missing although it is there: {needless:#?}");
}
