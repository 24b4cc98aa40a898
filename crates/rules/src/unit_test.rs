//! promtool's unit tests of rules: series, the times at which alerts are looked at, queries, and
//! what must come out.
//!
//! Files are read by the caller, so that the library does no IO. Results are told in promtool's
//! words.

mod file;
mod report;
mod run;
mod storage;

use std::path::{Path, PathBuf};

use promql::parser::ParserOptions;

use crate::file::{ParseOptions, RuleFile, parse};

/// Access to the files that a test names.
pub struct Files<'a> {
    /// The text of a file.
    pub read: &'a dyn Fn(&Path) -> Result<String, String>,
    /// The files that a pattern means, sorted; the pattern itself where it is no pattern.
    pub glob: &'a dyn Fn(&Path) -> Vec<PathBuf>,
}

/// How tests are run.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestOptions {
    /// What the language allows.
    pub parser: ParserOptions,
    /// Keys that nobody knows are passed over.
    pub ignore_unknown_fields: bool,
}

/// Runs all tests of a file.
///
/// # Errors
/// What did not pass, or why the tests cannot be run.
pub fn run_file(path: &Path, files: &Files<'_>, options: &TestOptions) -> Result<(), Vec<String>> {
    let text = (files.read)(path).map_err(|error| vec![error])?;
    let test_file = file::parse(&text, options.ignore_unknown_fields)?;
    let rule_files = read_rules(path, &test_file.rule_files, files, options)?;
    if let Some(twice) = repeated(&test_file.group_eval_order) {
        return Err(vec![format!("group name repeated in evaluation order: {twice}")]);
    }
    let mut failures = Vec::new();
    for group in &test_file.tests {
        failures.append(&mut run::run(group, &test_file, &rule_files, options));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, name)| name)
}

fn read_rules(
    test_path: &Path,
    patterns: &[String],
    files: &Files<'_>,
    options: &TestOptions,
) -> Result<Vec<RuleFile>, Vec<String>> {
    let parse_options = ParseOptions {
        parser: options.parser,
        ignore_unknown_fields: options.ignore_unknown_fields,
        ..ParseOptions::default()
    };
    let dir = test_path.parent().unwrap_or_else(|| Path::new(""));
    let mut parsed = Vec::new();
    for pattern in patterns {
        for path in (files.glob)(&dir.join(pattern)) {
            let text = (files.read)(&path).map_err(|error| vec![error])?;
            let file = parse(&text, &parse_options).map_err(|problems| {
                let shown = problems.iter().map(|problem| format!("{}: {problem}", path.display()));
                shown.collect::<Vec<_>>()
            })?;
            parsed.push(file);
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
