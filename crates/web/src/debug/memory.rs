//! What jemalloc says about the process' memory: as metrics and as a page.

use axum::response::Response;
use rt::Metrics;
use tikv_jemalloc_ctl::{Result, epoch, stats};

use crate::reply::typed;

type Statistic = (&'static str, &'static str, fn() -> Result<usize>);

const STATISTICS: &[Statistic] = &[
    ("allocated", "Bytes that the program holds", stats::allocated::read),
    ("active", "Bytes of pages with something that the program holds", stats::active::read),
    ("resident", "Bytes of pages that are in memory", stats::resident::read),
    ("metadata", "Bytes that the allocator needs for itself", stats::metadata::read),
    ("mapped", "Bytes of pages that are mapped", stats::mapped::read),
    ("retained", "Bytes of addresses that are kept without memory", stats::retained::read),
];

/// Registers `urd_allocator_<statistic>_bytes`.
pub fn register_memory_metrics(metrics: &Metrics) {
    for (name, help, read) in STATISTICS {
        metrics.gauge_fn(&format!("urd_allocator_{name}_bytes"), help, move || value(*read) as f64);
    }
}

/// The page.
pub(super) async fn statistics() -> Response {
    let lines = STATISTICS
        .iter()
        .map(|(name, help, read)| format!("{name:<10} {:>16}  {help}\n", value(*read)));
    typed("text/plain; charset=utf-8", lines.collect::<String>())
}

/// 0 where the process runs on another allocator.
fn value(read: fn() -> Result<usize>) -> usize {
    // The numbers stand still until the epoch is advanced.
    let _ = epoch::advance();
    read().unwrap_or(0)
}
