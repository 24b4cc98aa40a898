//! Rule unit tests with the outcome that promtool has on the same files. Skipped, loudly, where
//! promtool is not installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

use rules::unit_test::{Files, TestOptions, run_file};

/// Rules, and tests of them of which some do not pass.
const RULES: &str = include_str!("rules/all.rules.yml");
const TESTS: &[(&str, &str)] = &[
    ("alerts", include_str!("rules/alerts.test.yml")),
    ("recording", include_str!("rules/recording.test.yml")),
    ("templates", include_str!("rules/templates.test.yml")),
    ("failing", include_str!("rules/failing.test.yml")),
    ("errors", include_str!("rules/errors.test.yml")),
];

/// Words of a text, so that spaces and line ends do not matter.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn outcomes_are_those_of_promtool() {
    let found = Command::new("promtool").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: promtool is not installed; `cargo xtask deps` installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.rules.yml"), RULES).unwrap();
    for (name, text) in TESTS {
        let path = dir.path().join(format!("{name}.test.yml"));
        std::fs::write(&path, text).unwrap();
        let (passes, output) = promtool(&path);
        let got = own(&path);
        assert_eq!(got.is_ok(), passes, "{name}: {output}\n{got:?}");
        // Each failure stands word by word in what promtool prints.
        let output = words(&output).join(" ");
        for failure in got.err().into_iter().flatten() {
            let failure = words(&failure).join(" ");
            assert!(output.contains(&failure), "{name}:\n{failure}\nnot in\n{output}");
        }
    }
}

fn promtool(path: &Path) -> (bool, String) {
    let output = Command::new("promtool").args(["test", "rules"]).arg(path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn own(path: &Path) -> Result<(), Vec<String>> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let files = Files { read: &read, glob: &|path| vec![path.to_owned()] };
    run_file(path, &files, &TestOptions::default())
}
