//! `kill -9` at any moment loses nothing that was acknowledged.
//!
//! Writers push samples whose times run far ahead of the clock, so that heads are cut and
//! truncated, logs checkpointed, blocks uploaded and deleted several times a second. The process
//! is killed at a random moment, of its start too, and started again; then all samples that were
//! ever acknowledged must be answered. On every other directory there is a window for samples that
//! come out of order, and half of the samples do. `cargo xtask crash --rounds N` runs the same with
//! more rounds.

mod check;
mod writers;

use std::path::Path;
use std::time::Duration;

use model::Random;
use model::env::SeededRandom;

use crate::harness::{self, Server};
use writers::Fleet;

/// Rounds without an order from outside.
const DEFAULT_ROUNDS: u64 = 20;
/// After so many rounds on one directory a new one is begun, so that the last rounds are not
/// spent on reading the blocks of the first ones.
const ROUNDS_PER_DIRECTORY: u64 = 50;

/// Everything that happens in the background happens all the time.
const OPTIONS: &[&str] = &[
    "-blocks-storage.tsdb.head-compaction-interval=60ms",
    "-blocks-storage.tsdb.ship-interval=90ms",
    "-blocks-storage.tsdb.retention-period=20s",
    "-blocks-storage.tsdb.wal-segment-size-bytes=65536",
    "-blocks-storage.tsdb.wal-fsync-interval=50ms",
    "-blocks-storage.bucket-store.sync-interval=1s",
    "-blocks-storage.bucket-store.ignore-blocks-within=0s",
    // Local blocks go after 20 s: the bucket index must know them by then.
    "-compactor.cleanup-interval=1s",
];

/// What a directory with samples out of order has besides.
const LATE_OPTIONS: &[&str] =
    &["-ingester.out-of-order-time-window=3h", "-blocks-storage.tsdb.out-of-order-capacity-max=5"];

#[test]
fn acknowledged_samples_survive_kill_9() {
    let rounds = order("URD_CRASH_ROUNDS").unwrap_or(DEFAULT_ROUNDS);
    let seed = order("URD_CRASH_SEED").unwrap_or(1);
    let random = SeededRandom::new(seed);
    let mut totals = Totals::default();
    let mut left = rounds;
    let mut is_late = false;
    while left > 0 {
        let count = left.min(ROUNDS_PER_DIRECTORY).min(rounds.div_ceil(2));
        run_on_one_directory((&random, is_late), count, &mut totals);
        left -= count;
        is_late = !is_late;
        eprintln!("crash: {} of {rounds} rounds, seed {seed}: {totals:?}", rounds - left);
    }
    assert!(totals.acknowledged > rounds * 20, "hardly anything was written: {totals:?}");
}

/// What all rounds together did.
#[derive(Debug, Default)]
struct Totals {
    /// Requests that were answered with success.
    acknowledged: u64,
    /// Rounds in which the process was killed while it started.
    killed_at_start: u64,
    /// Those of them on directories with samples out of order.
    acknowledged_late: u64,
    /// Blocks that had been written to the bucket, over all directories.
    blocks: u64,
}

fn run_on_one_directory(
    (random, is_late): (&SeededRandom, bool),
    rounds: u64,
    totals: &mut Totals,
) {
    let mut dir = tempfile::tempdir().unwrap();
    // Kept for inspection when something is missing.
    dir.disable_cleanup(true);
    let mut fleet = Fleet::new(random, is_late);
    for _ in 0..rounds {
        if random.below(8) == 0 {
            kill_at_start(dir.path(), (random, is_late));
            totals.killed_at_start += 1;
        }
        let mut server = start(dir.path(), (random, is_late));
        check::recent(&server, &fleet);
        fleet.write_until_killed(&mut server, Duration::from_millis(random.below(700)));
    }
    let server = start(dir.path(), (random, is_late));
    check::everything(&server, &fleet);
    totals.acknowledged += fleet.acknowledged();
    totals.acknowledged_late += if is_late { fleet.acknowledged() } else { 0 };
    totals.blocks += blocks_in(&dir.path().join("blocks/anonymous"));
    drop(server);
    dir.disable_cleanup(false);
}

fn start(dir: &Path, (random, is_late): (&SeededRandom, bool)) -> Server {
    let server = harness::urd_starting(dir, &options(random, is_late));
    server.wait_ready();
    server
}

fn kill_at_start(dir: &Path, (random, is_late): (&SeededRandom, bool)) {
    let mut server = harness::urd_starting(dir, &options(random, is_late));
    std::thread::park_timeout(Duration::from_millis(random.below(60)));
    server.kill();
}

/// What may change from one start to the next.
fn options(random: &SeededRandom, is_late: bool) -> Vec<&'static str> {
    let mut options = OPTIONS.to_vec();
    if is_late {
        options.extend(LATE_OPTIONS);
    }
    if random.below(3) == 0 {
        options.push("-blocks-storage.tsdb.wal-compression-enabled=true");
    }
    options
}

fn blocks_in(bucket: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(bucket) else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().path().join("meta.json").is_file()).count()
        as u64
}

/// A number that `cargo xtask crash` hands over.
fn order(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}
