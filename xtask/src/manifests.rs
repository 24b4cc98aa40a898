//! `cargo xtask manifests`: the Kubernetes manifests against the published schemas, by a validator
//! from PyPI in an environment of its own below `target`.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::commands::{root, run, say};

const VALIDATOR: &str = "kubernetes-validate==1.37.0";
/// Versions of Kubernetes that the manifests are checked for: the oldest and the newest meant.
const VERSIONS: [&str; 2] = ["1.28", "1.37"];

/// Checks every manifest. Without Python or a registry it says so and succeeds: the machine is
/// not what is checked.
pub(crate) fn run_unless_missing() -> Result<()> {
    match validator() {
        Ok(()) => check(),
        Err(error) => {
            say(&format!("SKIPPED: manifests are not checked: {error:#}"));
            Ok(())
        }
    }
}

/// Checks every manifest.
pub(crate) fn run_always() -> Result<()> {
    validator()?;
    check()
}

fn environment() -> std::path::PathBuf {
    root().join("target/servers/kubernetes-validate")
}

fn validator() -> Result<()> {
    let dir = environment();
    if dir.join("bin/kubernetes-validate").is_file() {
        return Ok(());
    }
    say("installing kubernetes-validate with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir)).context("make an environment")?;
    let mut install = Command::new("timeout");
    install.arg("240").arg(dir.join("bin/pip")).args(["install", "--quiet", VALIDATOR]);
    run(&mut install).context("install the validator")
}

fn check() -> Result<()> {
    let dir = root().join("docs/operate/kubernetes");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
    let mut files: Vec<_> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    if files.is_empty() {
        bail!("there are no manifests in {}", dir.display());
    }
    for version in VERSIONS {
        let mut validate = Command::new(environment().join("bin/kubernetes-validate"));
        validate.args(["--strict", "--quiet", "-k", version]).args(&files);
        run(&mut validate).with_context(|| format!("Kubernetes {version}"))?;
    }
    Ok(())
}
