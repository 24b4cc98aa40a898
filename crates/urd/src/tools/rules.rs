//! `urd rules check|test`.

use std::path::Path;

use rules::unit_test::{Files, TestOptions, run_file};
use rules::{ParseOptions, duplicates, parse};

use super::output::Output;
use super::{Arguments, glob, read};

/// Checks rule files; whether all are right.
pub(super) fn check(arguments: &Arguments, output: &mut Output) -> bool {
    let options = ParseOptions {
        parser: arguments.parser_options(),
        ignore_unknown_fields: arguments.ignore_unknown_fields,
        ..ParseOptions::default()
    };
    let mut is_right = true;
    for path in arguments.operands.iter().flat_map(|path| glob(Path::new(path))) {
        let name = path.display();
        output.print(&format!("Checking {name}\n"));
        let parsed = read(&path).map_err(|error| vec![error]).and_then(|text| {
            parse(&text, &options).map_err(|problems| {
                problems.iter().map(|problem| format!("{name}:{problem}")).collect()
            })
        });
        match parsed {
            Ok(file) => {
                let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
                output.print(&format!("  SUCCESS: {count} rules found\n"));
                warn_of_duplicates(&file, output);
            }
            Err(problems) => {
                is_right = false;
                output.error(&format!("  FAILED:\n{}\n", problems.join("\n")));
            }
        }
    }
    is_right
}

fn warn_of_duplicates(file: &rules::RuleFile, output: &mut Output) {
    let found = duplicates(file);
    if found.is_empty() {
        return;
    }
    output.print(&format!("{} duplicate rule(s) found.\n", found.len()));
    for duplicate in &found {
        output.print(&format!("Metric: {}\nLabel(s):\n", duplicate.name));
        for label in duplicate.labels.iter() {
            output.print(&format!("\t{}: {}\n", label.name, label.value));
        }
    }
    output.print("Might cause inconsistency while recording expressions.\n");
}

/// Runs unit tests; whether all pass.
pub(super) fn test(arguments: &Arguments, output: &mut Output) -> bool {
    let options = TestOptions {
        parser: arguments.parser_options(),
        ignore_unknown_fields: arguments.ignore_unknown_fields,
    };
    let files = Files { read: &read, glob: &glob };
    let mut is_right = true;
    for path in arguments.operands.iter().flat_map(|path| glob(Path::new(path))) {
        output.print(&format!("Unit Testing:  {}\n", path.display()));
        match run_file(&path, &files, &options) {
            Ok(()) => output.print("  SUCCESS\n\n"),
            Err(failures) => {
                is_right = false;
                output.error(&format!("  FAILED:\n{}\n\n", failures.join("\n\n")));
            }
        }
    }
    is_right
}
