//! Tools for those who write queries and rules, and for those who look after a bucket: `urd promql
//! ...`, `urd rules ...` and `urd bucket ...`. They serve nothing and tell by their exit code
//! whether everything is right.
//!
//! ```text
//! urd promql test FILE...      runs test scripts
//! urd promql format QUERY      prints a query in several lines
//! urd promql parse QUERY       prints the syntax tree as JSON
//! urd promql explain QUERY     prints the plan of an instant query at the time 0
//! urd rules check FILE...      checks rule files
//! urd rules test FILE...       runs unit tests of rules, in promtool's format
//! urd bucket list|block|verify|rebuild-index ...   see `bucket`
//! ```

mod bucket;
mod output;
mod promql;
mod rules;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use output::Output;

const USAGE: &str = "\
usage:
  urd promql test FILE...      run test scripts
  urd promql format QUERY      print a query in several lines; `-` reads it from the standard input
  urd promql parse QUERY       print the syntax tree as JSON
  urd promql explain QUERY     print the plan; times are relative to that of the query
  urd rules check FILE...      check rule files
  urd rules test FILE...       run unit tests of rules

options behind the command:
  --enable-experimental        allow experimental functions, modifiers and range selectors
  --ignore-unknown-fields      pass over keys of rule and test files that nobody knows
";

/// What stands on the command line of a tool.
struct Arguments {
    enable_experimental: bool,
    ignore_unknown_fields: bool,
    /// Files, or a query.
    operands: Vec<String>,
}

/// Runs the tool that the arguments name; `None` where they name none.
pub(crate) fn run(args: &[String]) -> Option<ExitCode> {
    let tool = args.first().map(String::as_str)?;
    if !["promql", "rules", "bucket"].contains(&tool) {
        return None;
    }
    let mut output = Output::standard();
    let command = args.get(1).map_or("", String::as_str);
    if tool == "bucket" {
        let passed = bucket::run(command, args.get(2..).unwrap_or_default(), &mut output);
        return Some(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if args[1..].iter().any(|arg| ["-h", "-help", "--help"].contains(&&**arg)) {
        output.print(USAGE);
        return Some(ExitCode::SUCCESS);
    }
    let arguments = match parse_arguments(args.get(2..).unwrap_or_default()) {
        Ok(arguments) => arguments,
        Err(error) => {
            output.error(&format!("urd: {error}\n{USAGE}"));
            return Some(ExitCode::FAILURE);
        }
    };
    let passed = match (tool, command) {
        ("promql", "test") => promql::test(&arguments, &mut output),
        ("promql", "format") => promql::format(&arguments, &mut output),
        ("promql", "explain") => promql::explain(&arguments, &mut output),
        ("promql", "parse") => promql::parse(&arguments, &mut output),
        ("rules", "check") => rules::check(&arguments, &mut output),
        ("rules", "test") => rules::test(&arguments, &mut output),
        _ => {
            output.error(USAGE);
            false
        }
    };
    Some(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse_arguments(args: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        enable_experimental: false,
        ignore_unknown_fields: false,
        operands: Vec::new(),
    };
    let mut only_operands = false;
    for arg in args {
        let name = arg.trim_start_matches('-');
        match name {
            _ if only_operands || !arg.starts_with('-') => arguments.operands.push(arg.clone()),
            "" if arg == "--" => only_operands = true,
            "enable-experimental" => arguments.enable_experimental = true,
            "ignore-unknown-fields" => arguments.ignore_unknown_fields = true,
            // A query may begin with a sign.
            _ if args.len() == 1 => arguments.operands.push(arg.clone()),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    if arguments.operands.is_empty() {
        return Err("nothing was given to work on".to_owned());
    }
    Ok(arguments)
}

impl Arguments {
    fn parser_options(&self) -> ::promql::parser::ParserOptions {
        if self.enable_experimental {
            ::promql::parser::ParserOptions::all()
        } else {
            ::promql::parser::ParserOptions::default()
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The files that a pattern means: `*` and `?` stand for anything inside of one part of the path.
/// The pattern itself where it has neither.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let is_pattern = |text: &str| text.contains(['*', '?']);
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let Some(text) = part.to_str().filter(|text| is_pattern(text)) else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let mut matching = Vec::new();
        for dir in &found {
            let listed = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            let entries = std::fs::read_dir(listed).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            matching.extend(names.filter(|name| matches(text, name)).map(|name| dir.join(name)));
        }
        found = matching;
    }
    found.sort();
    found
}

/// Whether `name` is what `pattern` says.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            ends.into_iter().any(|end| matches(rest.as_str(), &name[end..]))
        }
        Some(wanted) => {
            let mut characters = name.chars();
            characters.next().is_some_and(|c| {
                (wanted == '?' || wanted == c) && matches(rest.as_str(), characters.as_str())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, want) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?c*", "abcd", true),
            ("a?c", "ac", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn options_and_operands() {
        let parse = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            parse_arguments(&args).map(|a| (a.enable_experimental, a.operands))
        };
        assert_eq!(parse(&["--enable-experimental", "x"]), Ok((true, vec!["x".to_owned()])));
        assert_eq!(parse(&["-up"]), Ok((false, vec!["-up".to_owned()])));
        assert!(parse(&["--nonsense", "x"]).is_err());
        assert!(parse(&[]).is_err());
    }
}
