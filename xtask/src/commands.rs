//! The commands that run other programs: cargo, and apt-get for the test servers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Programs that the end-to-end tests start, and the Debian package of each.
const SERVERS: &[(&str, &str)] = &[
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("memcached", "memcached"),
    ("etcd", "etcd-server"),
];
/// Azurite, which npm has.
const AZURITE: &str = "azurite@3.35.0";

/// The project's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(|| manifest.to_owned(), Path::to_owned)
}

/// Writes a line for the person at the terminal.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn test() -> Result<()> {
    deps()?;
    crate::manifests::run_unless_missing()?;
    ci()
}

pub(crate) fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    crate::tidy::run()?;
    crate::docs::run(true)?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let fuzzer = ["--package", "fuzz", "--features", "libfuzzer", "--bin", "coverage"];
    cargo(&[&["clippy"], &fuzzer[..], &["--", "-D", "warnings"]].concat())?;
    cargo(&["test", "--workspace", "--no-fail-fast"])?;
    cargo_with(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])
}

pub(crate) fn bench(options: &[&str]) -> Result<()> {
    let smoke = options.contains(&"--smoke");
    let crates: Vec<&str> = options.iter().copied().filter(|o| *o != "--smoke").collect();
    let crates = if crates.is_empty() { vec!["tsdb", "promql"] } else { crates };
    for name in crates {
        let mut args = vec!["bench", "--package", name, "--benches"];
        if smoke {
            args.extend(["--", "--test"]);
        }
        cargo(&args)?;
    }
    Ok(())
}

/// Kills `urd` at random moments; the end-to-end test with more rounds than CI has.
pub(crate) fn crash(options: &[&str]) -> Result<()> {
    let mut env = vec![("URD_CRASH_ROUNDS", "1000")];
    for pair in options.chunks(2) {
        match pair {
            ["--rounds", rounds] => env[0].1 = rounds,
            ["--seed", seed] => env.push(("URD_CRASH_SEED", seed)),
            // Absolute, since the test has another working directory.
            ["--binary", path] => env.push(("URD_E2E_BINARY", path)),
            _ => bail!("unknown option {pair:?} of crash"),
        }
    }
    let test = ["acknowledged_samples_survive_kill_9", "--nocapture"];
    let build = ["test", "--package", "urd", "--test", "e2e", "--"];
    cargo_with(&[&build[..], &test[..]].concat(), &env)
}

/// Days of samples in object storage; the end-to-end test with more of them than CI has.
pub(crate) fn long_term(options: &[&str]) -> Result<()> {
    let mut env = vec![
        ("URD_LONG_TERM_DAYS", "14"),
        ("URD_LONG_TERM_SERIES", "5000"),
        ("URD_LONG_TERM_MEMCACHED_MB", "2048"),
    ];
    for pair in options.chunks(2) {
        match pair {
            ["--days", days] => env[0].1 = days,
            ["--series", series] => env[1].1 = series,
            // Absolute, since the test has another working directory.
            ["--binary", path] => env.push(("URD_E2E_BINARY", path)),
            _ => bail!("unknown option {pair:?} of long-term"),
        }
    }
    deps()?;
    let build = ["test", "--release", "--package", "urd", "--test", "e2e", "--"];
    let test = ["days_in_object_storage_are_answered_as_by_prometheus", "--nocapture"];
    cargo_with(&[&build[..], &test[..]].concat(), &env)
}

/// Installs what is missing of the servers that tests start.
pub(crate) fn deps() -> Result<()> {
    debian_packages()?;
    azurite();
    Ok(())
}

/// Azurite is not Debian's, so that its test can do without: it says that it was skipped.
fn azurite() {
    let dir = root().join("target/servers");
    if dir.join("node_modules/.bin/azurite-blob").is_file() {
        return;
    }
    say("installing azurite with npm");
    // A registry that does not answer must not hold up everything else.
    let mut install = Command::new("timeout");
    install.args(["240", "npm", "install", "--no-audit", "--no-fund", "--prefix"]);
    install.arg(&dir).arg(AZURITE);
    if let Err(error) = run(&mut install) {
        say(&format!("SKIPPED: azurite is not installed, its test will be skipped: {error:#}"));
    }
}

/// Installs what is missing of [`SERVERS`].
fn debian_packages() -> Result<()> {
    let missing: Vec<&str> =
        SERVERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, p)| *p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(", ")));
    run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(&missing);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

fn cargo(args: &[&str]) -> Result<()> {
    cargo_with(args, &[])
}

fn cargo_with(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    say(&format!("cargo {}", args.join(" ")));
    run(Command::new("cargo").current_dir(root()).args(args).envs(env.iter().copied()))
}

/// More cases of the engine against its naive twin.
pub(crate) fn naive(cases: &str) -> Result<()> {
    let args = ["test", "--release", "--package", "promql", "--test", "naive"];
    cargo_with(&args, &[("URD_NAIVE_CASES", cases)])
}

/// Random queries to Urd and to a real Prometheus.
pub(crate) fn differential(options: &[&str]) -> Result<()> {
    let (queries, seed) = match options {
        [] => ("2000", "1"),
        ["--queries", queries] => (*queries, "1"),
        ["--queries", queries, "--seed", seed] => (*queries, *seed),
        _ => bail!("cargo xtask differential [--queries N [--seed S]]"),
    };
    deps()?;
    let args = ["test", "--package", "urd", "--test", "e2e", "--", "differential", "--nocapture"];
    let env = [("URD_DIFFERENTIAL_QUERIES", queries), ("URD_DIFFERENTIAL_SEED", seed)];
    cargo_with(&args, &env)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(["metadata", "--no-deps", "--format-version=1"]);
    let output = command.output().context("run cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"].as_str().context("no target directory")?;
    Ok(PathBuf::from(folder))
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
