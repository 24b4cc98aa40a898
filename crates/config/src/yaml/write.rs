//! What dumps write: block style, two spaces a level, in the order given.

use std::fmt::Write as _;

use super::Out;

impl Out {
    /// The document, ending with a line break.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    fn write(&self, text: &mut String, depth: usize) {
        match self {
            Out::Bare(value) => text.push_str(value),
            Out::Text(value) => text.push_str(&quoted(value)),
            Out::List(items) if items.is_empty() => text.push_str("[]"),
            Out::Map(entries) if entries.is_empty() => text.push_str("{}"),
            Out::List(items) => items.iter().for_each(|item| item.write_item(text, depth)),
            Out::Map(entries) => {
                entries.iter().for_each(|(key, value)| value.write_entry(key, text, depth));
            }
        }
    }

    fn write_entry(&self, key: &str, text: &mut String, depth: usize) {
        let _ = write!(text, "{:1$}{2}:", "", depth * 2, quoted(key));
        if self.is_block() {
            text.push('\n');
            self.write(text, depth + 1);
        } else {
            text.push(' ');
            self.write(text, depth);
            text.push('\n');
        }
    }

    fn write_item(&self, text: &mut String, depth: usize) {
        let indent = depth * 2;
        if self.is_block() {
            // The first line of the block moves up behind its dash.
            let mut block = String::new();
            self.write(&mut block, depth + 1);
            let _ = write!(text, "{:indent$}- {}", "", block.trim_start());
        } else {
            let _ = write!(text, "{:indent$}- ", "");
            self.write(text, depth);
            text.push('\n');
        }
    }

    fn is_block(&self) -> bool {
        match self {
            Out::List(items) => !items.is_empty(),
            Out::Map(entries) => !entries.is_empty(),
            Out::Bare(_) | Out::Text(_) => false,
        }
    }
}

/// The text as a YAML scalar that reads back as text: bare only where no reader of YAML 1.1 or 1.2
/// could take it for something else.
fn quoted(text: &str) -> String {
    if is_safe_bare(text) { text.to_owned() } else { double_quoted(text) }
}

fn is_safe_bare(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    let reserved = matches!(
        word.as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf"
    );
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        || text.starts_with("./")
        || is_duration(text);
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./*()!'".contains(c);
    !reserved && starts_well && text.chars().all(bare)
}

/// Digits with units cannot be taken for a number, and durations read better without quotes.
fn is_duration(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y'])
        && text.chars().all(|c| c.is_ascii_digit() || "smhdwy.n".contains(c))
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
