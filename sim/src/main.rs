//! `sim`: runs seeds, prints what was covered and what was found.
//!
//! ```text
//! sim --seeds 0..1000 [--short] [--bug NAME] [--jobs N]
//! sim --seed 7 [--short] [--bug NAME]           with its whole log
//! ```

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Bug, Options, Outcome, Size, run};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "sim --seeds A..B | --seed N  [--short] [--bug NAME] [--jobs N] [--trace]";

/// What is asked for.
struct Asked {
    seeds: std::ops::Range<u64>,
    options: Options,
    jobs: u64,
    traces: bool,
}

/// What all seeds together have shown.
#[derive(Default)]
struct Total {
    seeds: u64,
    coverage: BTreeMap<&'static str, u64>,
    failed: Vec<(u64, Vec<String>)>,
    /// Seeds in which something that each must have did not happen.
    thin: Vec<(u64, &'static str)>,
    simulated_s: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(asked) = parse(&args) else {
        say(USAGE);
        return ExitCode::FAILURE;
    };
    if asked.traces {
        tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    }
    let total = run_all(&asked);
    report(&total);
    if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(args: &[String]) -> Option<Asked> {
    let options = Options { size: Size::FULL, bug: None, keeps_log: false };
    let mut asked = Asked { seeds: 0..0, options, jobs: 1, traces: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => {
                let (from, to) = args.next()?.split_once("..")?;
                asked.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            "--seed" => {
                let seed = args.next()?.parse().ok()?;
                asked.seeds = seed..seed + 1;
                asked.options.keeps_log = true;
            }
            "--short" => asked.options.size = Size::SHORT,
            "--bug" => asked.options.bug = Some(Bug::parse(args.next()?)?),
            "--jobs" => asked.jobs = args.next()?.parse().ok()?,
            "--trace" => asked.traces = true,
            _ => return None,
        }
    }
    (!asked.seeds.is_empty()).then_some(asked)
}

/// Runs all seeds, on as many threads as asked for: each seed is on one.
fn run_all(asked: &Asked) -> Total {
    let next = AtomicU64::new(asked.seeds.start);
    let total = parking_lot::Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..asked.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if asked.seeds.end <= seed {
                        return;
                    }
                    let outcome = run(seed, &asked.options);
                    tell(seed, &outcome, asked.options.keeps_log);
                    total.lock().add(seed, outcome, asked.options.size);
                }
            });
        }
    });
    total.into_inner()
}

fn tell(seed: u64, outcome: &Outcome, with_log: bool) {
    if with_log || !outcome.violations.is_empty() {
        outcome.lines.iter().for_each(|line| say(line));
    }
    for violation in &outcome.violations {
        say(&format!("seed {seed}: {violation}"));
    }
    if with_log {
        say(&format!("seed {seed}: digest {:016x}", outcome.digest));
    }
}

impl Total {
    fn add(&mut self, seed: u64, outcome: Outcome, size: Size) {
        self.seeds += 1;
        self.simulated_s += outcome.simulated.as_secs();
        if size == Size::FULL {
            let thin = outcome.missing().into_iter().map(|what| (seed, what));
            self.thin.extend(thin);
        }
        for (what, count) in outcome.coverage {
            *self.coverage.entry(what).or_default() += count;
        }
        if !outcome.violations.is_empty() {
            self.failed.push((seed, outcome.violations));
        }
    }
}

fn report(total: &Total) {
    for (what, count) in &total.coverage {
        let each = *count as f64 / total.seeds.max(1) as f64;
        say(&format!("{count:>12}  {each:>10.2} a seed  {what}"));
    }
    let minutes = total.simulated_s as f64 / 60.0 / total.seeds.max(1) as f64;
    say(&format!("{} seeds of {minutes:.1} simulated minutes", total.seeds));
    for (seed, what) in &total.thin {
        say(&format!("seed {seed} is too thin: {what}"));
    }
    for (seed, violations) in &total.failed {
        say(&format!("seed {seed} FAILED: {}", violations.first().map_or("", |v| v)));
    }
    say(&format!("{} seeds failed, {} were too thin", total.failed.len(), total.thin.len()));
}

/// Writes a line.
fn say(line: &str) {
    // A reader that went away does not matter.
    let _ = writeln!(std::io::stdout(), "{line}");
}
