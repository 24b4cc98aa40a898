//! `cargo xtask`: the one door to the project's checks, tests, benchmarks and generated documents.
//! What runs here is what CI runs.

mod commands;
mod conformance;
mod docs;
mod fairness;
mod fuzz;
mod manifests;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  test          everything: ci, and the end-to-end tests against real servers
  ci            fmt, clippy, tidy, docs --check, unit and integration tests, documentation
  tidy          the structure rules of CONTRIBUTING.md
  docs [--check]  generate docs/reference, or fail when it is stale
  conformance   how many evals of each promqltest script pass
  bench [--smoke] [CRATE...]  the micro benchmarks
  fuzz TARGET|all [--seconds N]  coverage-guided fuzzing of the decoders (60 s each)
  naive N       N random queries to the engine and to its naive twin
  differential [--queries N [--seed S]]  random queries to Urd and to a real Prometheus
  crash [--rounds N] [--seed N] [--binary PATH]
                kill -9 at random moments under load, again and again (1,000 rounds unless told)
  long-term [--days N] [--series N] [--binary PATH]
                days of samples in an S3 server beside Prometheus (14 days of 5,000 unless told)
  fairness      how a tenant's queries fare beside a hostile tenant's, on a running server
  manifests     check docs/operate/kubernetes against the schemas of Kubernetes (PyPI)
  deps          install the servers that the end-to-end tests start (Debian)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => commands::test(),
        ["ci"] => commands::ci(),
        ["tidy"] => tidy::run(),
        ["docs"] => docs::run(false),
        ["docs", "--check"] => docs::run(true),
        ["conformance"] => conformance::run(),
        ["bench", options @ ..] => commands::bench(options),
        ["fuzz", options @ ..] => fuzz::fuzz(options),
        ["naive", cases] => commands::naive(cases),
        ["differential", options @ ..] => commands::differential(options),
        ["crash", options @ ..] => commands::crash(options),
        ["long-term", options @ ..] => commands::long_term(options),
        ["fairness", options @ ..] => fairness::fairness(options),
        ["manifests"] => manifests::run_always(),
        ["deps"] => commands::deps(),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
