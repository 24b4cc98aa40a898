//! The head and the tenant database, as their users see them.

#![expect(clippy::unwrap_used, reason = "tests, also their helper functions")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

#[path = "db/appends.rs"]
mod appends;
#[path = "db/compacted_blocks.rs"]
mod compacted_blocks;
#[path = "db/compactions.rs"]
mod compactions;
#[path = "db/counting.rs"]
mod counting;
#[path = "db/deletes.rs"]
mod deletes;
#[path = "db/exemplars.rs"]
mod exemplars;
#[path = "db/histograms.rs"]
mod histograms;
#[path = "db/out_of_order.rs"]
mod out_of_order;
#[path = "db/power_cuts.rs"]
mod power_cuts;
#[path = "db/restarts.rs"]
mod restarts;
#[path = "db/selecting.rs"]
mod selecting;
#[path = "db/snapshots.rs"]
mod snapshots;
#[path = "db/start_times.rs"]
mod start_times;
#[path = "db/support.rs"]
mod support;
#[path = "db/threads.rs"]
mod threads;
#[path = "db/vectors.rs"]
mod vectors;
