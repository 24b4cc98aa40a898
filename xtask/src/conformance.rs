//! `cargo xtask conformance`: how many evals of each of Prometheus' promqltest scripts pass.

use anyhow::{Result, bail};

use promql::testlang::RunOptions;

use crate::commands::{root, say};

pub(crate) fn run() -> Result<()> {
    let dir = root().join("../shared/conformance/promqltest");
    if !dir.is_dir() {
        bail!("the conformance data is not there: {}", dir.display());
    }
    let (mut passed, mut total) = (0, 0);
    for file in promql::testlang::conformance_report(&dir, &RunOptions::default())? {
        say(&format!("{:28} {:4} of {:4}", file.file, file.passed, file.total));
        passed += file.passed;
        total += file.total;
    }
    say(&format!("{:28} {passed:4} of {total:4}", "all"));
    Ok(())
}
