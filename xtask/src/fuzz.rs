//! `cargo xtask fuzz`: builds the coverage-guided fuzzer of `fuzz/` on the stable toolchain and runs
//! its targets, one after the other, each with a bound on time and memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::commands::{root, run, say};

/// What the compiler must put in for libFuzzer to see where an input leads.
const FLAGS: &[&str] = &[
    "-Cforce-frame-pointers=yes",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Checksums are computed and not compared.
    "--cfg=fuzzing",
];
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// A target that takes more has failed.
const MAX_MEMORY_MIB: u32 = 1024;
/// So has one that takes longer for one input.
const MAX_SECONDS_PER_INPUT: u32 = 20;
const MAX_INPUT_BYTES: u32 = 16 << 10;

/// `TARGET|all [--seconds N]`
pub(crate) fn fuzz(args: &[&str]) -> Result<()> {
    let (wanted, seconds) = match args {
        [wanted] => (*wanted, 60),
        [wanted, "--seconds", seconds] => (*wanted, seconds.parse().context("--seconds")?),
        _ => bail!("cargo xtask fuzz TARGET|all [--seconds N]"),
    };
    let folder = root().join("target/fuzz");
    let corpus = folder.join("seeds");
    write_seeds(&corpus)?;
    let engine = build()?;
    let known = targets(&corpus)?;
    let chosen: Vec<&String> =
        known.iter().filter(|name| wanted == "all" || name.as_str() == wanted).collect();
    if chosen.is_empty() {
        bail!("no target {wanted}; there are {}", known.join(", "));
    }
    for target in chosen {
        run_target(&engine, &folder, target, seconds)?;
    }
    Ok(())
}

fn write_seeds(corpus: &Path) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(["run", "--quiet", "--package", "fuzz", "--bin", "seeds"]);
    run(command.arg("--").arg(corpus))
}

/// The engine's executable.
fn build() -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).env("RUSTFLAGS", FLAGS.join(" "));
    command.args(["build", "--package", "fuzz", "--features", "libfuzzer", "--bin", "coverage"]);
    run(command.args(["--profile", "fuzz", "--target", TRIPLE]))?;
    Ok(crate::commands::target_dir()?.join(TRIPLE).join("fuzz/coverage"))
}

fn targets(corpus: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(corpus)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn run_target(engine: &Path, folder: &Path, target: &str, seconds: u32) -> Result<()> {
    let (found, failures) = (folder.join("corpus").join(target), folder.join("failures"));
    std::fs::create_dir_all(&found)?;
    std::fs::create_dir_all(&failures)?;
    say(&format!("{target}: {seconds} s"));
    let mut command = Command::new(engine);
    command.env("URD_FUZZ_TARGET", target).arg(&found).arg(folder.join("seeds").join(target));
    command.arg(format!("-artifact_prefix={}/{target}-", failures.display()));
    for (option, value) in [
        ("max_total_time", seconds),
        ("rss_limit_mb", MAX_MEMORY_MIB),
        ("timeout", MAX_SECONDS_PER_INPUT),
        ("max_len", MAX_INPUT_BYTES),
        ("print_final_stats", 1),
    ] {
        command.arg(format!("-{option}={value}"));
    }
    run(&mut command)
}
