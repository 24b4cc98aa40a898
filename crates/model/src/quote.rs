//! Text quoted as Go's `strconv.Quote` does it, for label sets, error texts and printed PromQL.

use std::fmt::Write as _;

/// `bytes` in double quotes. Bytes that are not UTF-8 become `\xNN`, characters that do not
/// print `\uNNNN` or `\UNNNNNNNN`.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut out, c));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        _ if is_print(c) => out.push(c),
        '\0'..='\x7f' => drop(write!(out, "\\x{:02x}", u32::from(c))),
        '\u{80}'..='\u{ffff}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
        _ => drop(write!(out, "\\U{:08x}", u32::from(c))),
    }
}

/// Whether Go prints `c` as it is: no control, no format character, no space but U+0020.
fn is_print(c: char) -> bool {
    if c.is_control() || c.is_whitespace() {
        return false;
    }
    // `escape_debug` also escapes combining marks, which Go prints; those alone are alphabetic
    // or marks that stay visible, so a `\u{..}` escape of anything else means "not printable".
    let escaped = c.escape_debug().len() > 1;
    !escaped || is_combining_mark(c)
}

fn is_combining_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a
        | 0x64b..=0x65f | 0x93c | 0x94d | 0xe31..=0xe3a | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff
        | 0x20d0..=0x20f0 | 0x302a..=0x302d | 0x3099..=0x309a | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of Go's `strconv.Quote` by its documentation.
    #[test]
    fn as_go_quotes() {
        for (input, want) in [
            (&b"plain"[..], r#""plain""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\n\t\x00\x7f", r#""\n\t\x00\x7f""#),
            (b"\xff\xc3\xa9", "\"\\xff\u{e9}\""),
            ("\u{a0}\u{200b}".as_bytes(), r#""\u00a0\u200b""#),
            ("e\u{301}\u{1f600}".as_bytes(), "\"e\u{301}\u{1f600}\""),
        ] {
            assert_eq!(quote(input), want);
        }
    }
}
