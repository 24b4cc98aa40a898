//! A query over a few samples in memory: `cargo run -p promql --example query`.

use std::error::Error;
use std::sync::Arc;

use model::{Labels, QueryContext};
use promql::memstore::MemoryStorage;
use promql::parser::{ParserOptions, parse_expr};
use promql::{Engine, EngineOptions, QueryKind};

#[expect(clippy::print_stdout, reason = "printing is what this example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut storage = MemoryStorage::new();
    let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", "api")]);
    for sample in 0..10_i32 {
        let time_ms = i64::from(sample) * 15_000;
        storage.append_float(&labels, (time_ms, 0), f64::from(sample) * 30.0)?;
    }
    let expr = parse_expr("sum by (job) (rate(requests_total[1m]))", &ParserOptions::default())?;
    let engine = Engine::new(EngineOptions::default());
    let context = Arc::new(QueryContext::unlimited());
    let kind = QueryKind::Instant { time_ms: 120_000 };
    let result = engine.query(&expr, kind, &storage, &context)?;
    println!("{:?}", result.value);
    Ok(())
}
