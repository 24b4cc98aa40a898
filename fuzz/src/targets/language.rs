//! PromQL and series descriptions: parsed, printed, parsed again.

use promql::parser::{ParserOptions, parse_expr, parse_metric, parse_metric_selector};
use promql::series_desc::parse_series_desc;

pub(super) fn parse(data: &[u8]) {
    let _ = parse_metric(data);
    let _ = parse_metric_selector(data);
    let _ = parse_expr(data, &ParserOptions::default());
    let Ok(expr) = parse_expr(data, &ParserOptions::all()) else { return };
    let position = expr.position();
    assert!(position.start <= position.end && position.end as usize <= data.len());
    let printed = expr.to_string();
    // As in Prometheus a duration below a millisecond is printed as 0s, which is none, and the
    // selector `{}`, which only `info()` takes, as nothing.
    if printed.contains("[0s") || printed.contains(":0s") || printed.contains(", )") {
        return;
    }
    let again = parse_expr(&printed, &ParserOptions::all())
        .unwrap_or_else(|e| panic!("what was printed cannot be read: {printed:?}: {e}"));
    assert_eq!(printed, again.to_string(), "printed once more it differs");
    let _ = promql::ast_json::to_json(&expr);
    if let Ok(pretty) = promql::prettier::prettify(&expr) {
        let again = parse_expr(&pretty, &ParserOptions::all())
            .unwrap_or_else(|e| panic!("what was formatted cannot be read: {pretty:?}: {e}"));
        assert_eq!(printed, again.to_string(), "formatted it means something else");
    }
}

pub(super) fn series(data: &[u8]) {
    let Ok(series) = parse_series_desc(data) else { return };
    assert!(series.values.len() <= promql::series_desc::MAX_VALUES);
}
