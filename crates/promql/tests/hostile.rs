//! Queries that want too much: each ends with the error of its limit, soon, and the memory that
//! it reserves stays near its bound.

use std::sync::Arc;

use model::env::ManualClock;
use model::{Labels, QueryContext, QueryLimits, SampleBuffer};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, QueryKind};

const SERIES: usize = 200;
const SCRAPES: i64 = 240;
const MAX_SAMPLES: u64 = 2_000_000;
const MAX_MEMORY_BYTES: u64 = 32 << 20;

fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for index in 0..SERIES {
        let mut samples = SampleBuffer::default();
        for scrape in 0..SCRAPES {
            // All values differ.
            samples.push_float(scrape * 15_000, (index as i64 * SCRAPES + scrape) as f64 + 0.5);
        }
        let number = index.to_string();
        let labels = [("__name__", "big"), ("i", &*number), ("long", "aaaaaaaaaaaaaaaaaaaaaaaab")];
        storage.insert(Labels::from_pairs(labels), samples);
    }
    storage
}

/// The error of a query, or how many bytes it had reserved.
fn ask(query: &str, kind: QueryKind) -> Result<u64, String> {
    let expr = parse_expr(query, &ParserOptions::all()).map_err(|e| e.to_string())?;
    let limits = QueryLimits { max_memory_bytes: MAX_MEMORY_BYTES, ..QueryLimits::default() };
    let context = Arc::new(QueryContext::new(limits, Arc::new(ManualClock::new(0))));
    let engine =
        Engine::new(EngineOptions { max_samples: MAX_SAMPLES, ..EngineOptions::default() });
    let result = engine.query(&expr, kind, &storage(), &context);
    let peak = context.usage().peak_memory_bytes;
    assert!(peak <= 2 * MAX_MEMORY_BYTES, "{query}: {peak} bytes");
    result.map(|_| peak).map_err(|e| e.to_string())
}

const INSTANT: QueryKind = QueryKind::Instant { time_ms: 3_600_000 };
/// As many steps as the HTTP API allows.
const RANGE: QueryKind = QueryKind::Range { start_ms: 0, end_ms: 3_600_000, step_ms: 328 };

fn refused(query: &str, kind: QueryKind, why: &str) {
    let shown: String = query.chars().take(120).collect();
    match ask(query, kind) {
        Ok(_) => panic!("{shown}: is answered"),
        Err(error) => assert!(error.contains(why), "{shown}: {error}"),
    }
}

/// Samples, memory or the length of a label value: whichever is reached first.
fn too_large(query: &str, kind: QueryKind) {
    let shown: String = query.chars().take(120).collect();
    match ask(query, kind) {
        Ok(peak) => panic!("{shown}: is answered with {peak} bytes"),
        Err(error) => assert!(
            error.contains("too many samples")
                || error.contains("err-mimir-max-estimated-memory-consumption-per-query")
                || error.contains("a label value of"),
            "{shown}: {error}"
        ),
    }
}

#[test]
fn nesting_has_a_bound() {
    let nested = |open: &str, close: &str| open.repeat(20_000) + "big" + &close.repeat(20_000);
    refused(&nested("(", ")"), INSTANT, "nested");
    refused(&nested("sum(", ")"), INSTANT, "nested");
    refused(&nested("-", ""), INSTANT, "nested");
    refused(&nested("max_over_time((", ")[1m:1s])"), INSTANT, "nested");
}

#[test]
fn long_chains_are_answered() {
    let chain = "big".to_owned() + &" + big".repeat(300);
    assert!(ask(&chain, INSTANT).is_ok());
    let chain = "1".to_owned() + &" + 1".repeat(50_000);
    assert!(ask(&chain, INSTANT).is_ok());
}

#[test]
fn absurd_resolutions_are_too_large() {
    for kind in [INSTANT, RANGE] {
        too_large("max_over_time(big[1h:1ms])", kind);
        too_large("count_over_time(vector(1)[100y:1ms])", kind);
        too_large("count_over_time((big > 1)[290y:1ms])", kind);
        too_large("sum_over_time(vector(time())[200y:1ms])", kind);
        too_large("absent_over_time(absent(none)[100y:1ms])", kind);
        too_large("max_over_time(max_over_time(big[1h:1s])[1h:1ms])", kind);
    }
}

/// What is not a series takes room as well: the samples of a subquery's window, and the scalars of
/// an expression, all of which are there at once.
#[test]
fn windows_and_scalars_of_many_steps_count() {
    too_large("count_over_time(big{i=\"1\"}[1100s:1ms])", INSTANT);
    assert!(ask("count_over_time(big{i=\"1\"}[600s:1ms])", INSTANT).is_ok());
    let scalars = |count: usize| {
        let open: String = (1..count).map(|i| format!("(time() + {i}) * (")).collect();
        format!("max_over_time(vector({open}time(){})[300s:1ms])", ")".repeat(count - 1))
    };
    too_large(&scalars(10), INSTANT);
    assert!(ask(&scalars(2), INSTANT).is_ok());
}

#[test]
fn results_that_explode_are_too_large() {
    too_large("count_values(\"v\", {__name__=~\".+\"})", RANGE);
    too_large("count_values without () (\"v\", big * 3)", RANGE);
    too_large("label_join(big, \"x\", \",\", \"i\") or big * 2 or big * 3 or -big", RANGE);
    too_large("topk(1e9, big) or topk(1e9, big * 2)", RANGE);
}

#[test]
fn joins_of_everything_with_everything_are_refused() {
    refused("big * on () big", INSTANT, "many-to-many matching not allowed");
    refused("big * on () group_left () big", INSTANT, "many-to-many matching not allowed");
    refused("sum(big) * on () big", INSTANT, "many-to-many matching not allowed");
}

#[test]
fn labels_cannot_grow_without_bound() {
    let mut query = "label_replace(big, \"a\", \"$0$0$0$0\", \"long\", \".*\")".to_owned();
    for _ in 0..20 {
        query = format!("label_replace({query}, \"a\", \"$0$0$0$0$0$0$0$0\", \"a\", \".*\")");
    }
    too_large(&query, INSTANT);
    let mut query = "label_join(big, \"a\", \"\", \"long\", \"long\")".to_owned();
    for _ in 0..40 {
        query = format!("label_join({query}, \"a\", \"\", \"a\", \"a\", \"a\", \"a\")");
    }
    too_large(&query, INSTANT);
    let template = "$0".repeat(200_000);
    too_large(&format!("label_replace(big, \"a\", \"{template}\", \"long\", \".*\")"), INSTANT);
}

#[test]
fn patterns_that_backtrack_elsewhere_are_answered() {
    for pattern in
        ["(a*)*c", "(a|a)*b", "(a+)+$", "(.*)(.*)(.*)(.*)(.*)c", "(a?){24}a{24}", "([a-z]+)*[0-9]"]
    {
        assert!(ask(&format!("big{{long=~\"{pattern}\"}}"), INSTANT).is_ok(), "{pattern}");
        let replace = format!("label_replace(big, \"x\", \"$1\", \"long\", \"{pattern}\")");
        assert!(ask(&replace, INSTANT).is_ok(), "{pattern}");
    }
    refused("big{long=~\"((a{1,100}){1,100}){1,100}\"}", INSTANT, "repeat");
}

#[test]
fn many_matchers_and_long_literals_are_answered_or_refused() {
    let matchers: Vec<String> = (0..5_000).map(|i| format!("i!=\"x{i}\"")).collect();
    assert!(ask(&format!("big{{{}}}", matchers.join(",")), INSTANT).is_ok());
    let alternatives: Vec<String> = (0..50_000).map(|i| format!("x{i}")).collect();
    assert!(ask(&format!("big{{i=~\"{}\"}}", alternatives.join("|")), INSTANT).is_ok());
    refused(&"9".repeat(100_000), INSTANT, "parse error");
    assert!(ask(&("0.".to_owned() + &"9".repeat(100_000)), INSTANT).is_ok());
}

#[test]
fn durations_out_of_range_are_refused() {
    refused("big[9^9^9]", INSTANT, "infinite");
    refused("big[9^12]", INSTANT, "out of range");
    refused("big[1/0]", INSTANT, "division by zero");
    refused("big[-(1h)]", INSTANT, "greater than 0");
    refused("big offset 1e300", INSTANT, "parse error");
    for query in ["count_over_time(big[290y])", "big offset 290y", "big offset -290y"] {
        assert!(ask(query, INSTANT).is_ok(), "{query}");
    }
}
