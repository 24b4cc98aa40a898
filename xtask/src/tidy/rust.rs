//! Rules for one Rust file: its first line, its length, the length of its functions, its words.

/// Lines that are not tests; beyond this a file holds more than one concept.
const MAX_FILE_LINES: usize = 1000;
/// Lines of a function.
const MAX_FUNCTION_LINES: usize = 70;
/// Unfinished work; split so that this file does not hold the words.
const BANNED: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:")];

/// Everything that is against the rules in `text`, each with `file` and line.
pub(super) fn problems(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    if !lines.first().is_some_and(|line| line.starts_with("//!") || line.starts_with("#!")) {
        problems.push(format!("{file}:1: the first line must say what the file is (//!)"));
    }
    let is_test_file = file.ends_with("/tests.rs") || file.contains("/tests/");
    let code_lines = lines.iter().position(|l| l.starts_with("mod tests {")).unwrap_or(lines.len());
    if code_lines > MAX_FILE_LINES && !is_test_file {
        problems.push(format!("{file}: {code_lines} lines, more than {MAX_FILE_LINES}"));
    }
    for (start, length) in functions(&lines) {
        if length > MAX_FUNCTION_LINES {
            let limit = MAX_FUNCTION_LINES;
            problems.push(format!("{file}:{}: function of {length} lines (> {limit})", start + 1));
        }
    }
    for (i, line) in lines.iter().enumerate() {
        for word in BANNED.iter().filter(|word| line.contains(**word)) {
            problems.push(format!("{file}:{}: unfinished: {word}", i + 1));
        }
    }
    problems
}

/// Start (from 0) and length of every function with a body, by rustfmt's indentation.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let starts = (0..lines.len()).filter(|&i| is_function_start(lines[i]));
    starts.filter_map(|i| Some((i, function_length(&lines[i..])?))).collect()
}

fn is_function_start(line: &str) -> bool {
    let code = line.trim_start();
    let is_item = ["fn ", "pub ", "pub(", "const fn ", "async fn ", "unsafe fn "]
        .iter()
        .any(|start| code.starts_with(start));
    is_item && code.split('(').next().is_some_and(|head| has_word(head, "fn"))
        || code.starts_with("pub(") && has_word(code, "fn")
}

fn has_word(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|w| w == word)
}

fn function_length(lines: &[&str]) -> Option<usize> {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let end = format!("{}}}", " ".repeat(indent));
    for (i, line) in lines.iter().enumerate() {
        if *line == end {
            return Some(i + 1);
        }
        let is_bodiless = line.ends_with(';') && line.len() - line.trim_start().len() == indent;
        if is_bodiless {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaches_are_found_where_they_are() {
        let long = "    x;\n".repeat(MAX_FUNCTION_LINES);
        let text = format!("//! x\nfn short() {{\n}}\npub(crate) fn long(a: u8) {{\n{long}}}\n");
        let want = format!("a.rs:4: function of {} lines (> 70)", MAX_FUNCTION_LINES + 2);
        assert_eq!(problems("a.rs", &text), [want]);
        assert_eq!(problems("a.rs", "use x;\n").len(), 1);
        assert_eq!(problems("a.rs", &format!("//! {}\n", BANNED[0])).len(), 1);
        let file = "//! x\n".repeat(MAX_FILE_LINES + 1);
        assert_eq!(problems("a.rs", &file).len(), 1);
        assert_eq!(problems("a/tests.rs", &file).len(), 0);
    }
}
