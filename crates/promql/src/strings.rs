//! Go's notations, which PromQL's texts follow: quoted strings and characters, unquoting, floats.
//!
//! Strings are byte strings: `"\xff"` is one byte. Used by the lexer, the printer, error messages
//! and the test scripts.

pub use model::quote::quote;
use thiserror::Error;

/// A quoted text that is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("invalid syntax")]
pub struct UnquoteError;

/// The bytes that a PromQL string means; `quoted` includes its quotes (`"`, `'` or a backquote).
///
/// # Errors
/// If the quotes do not match, an escape is unknown, or a line ends within `"…"` or `'…'`.
pub fn unquote(quoted: &[u8]) -> Result<Vec<u8>, UnquoteError> {
    let [quote, inner @ .., last] = quoted else { return Err(UnquoteError) };
    if quote != last || !matches!(quote, b'"' | b'\'' | b'`') {
        return Err(UnquoteError);
    }
    let forbidden = |byte: &u8| byte == quote || (*byte == b'\n' && *quote != b'`');
    if *quote == b'`' || !inner.contains(&b'\\') {
        return if inner.iter().any(forbidden) { Err(UnquoteError) } else { Ok(inner.to_vec()) };
    }
    unescape(inner, *quote)
}

fn unescape(mut rest: &[u8], quote: u8) -> Result<Vec<u8>, UnquoteError> {
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => rest = unescape_one(rest, quote, &mut out)?,
            b'\n' => return Err(UnquoteError),
            _ if byte == quote => return Err(UnquoteError),
            _ => out.push(byte),
        }
    }
    Ok(out)
}

/// Appends what the escape at the start of `rest` (behind its backslash) means; returns what
/// follows it.
fn unescape_one<'a>(
    rest: &'a [u8],
    quote: u8,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], UnquoteError> {
    let (&kind, tail) = rest.split_first().ok_or(UnquoteError)?;
    match kind {
        b'a' => out.push(0x07),
        b'b' => out.push(0x08),
        b'f' => out.push(0x0c),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(0x0b),
        b'\\' => out.push(b'\\'),
        b'\'' | b'"' if kind == quote => out.push(kind),
        b'0'..=b'7' => return push_byte(rest, 3, 8, out),
        b'x' => return push_byte(tail, 2, 16, out),
        b'u' => return push_char(tail, 4, out),
        b'U' => return push_char(tail, 8, out),
        _ => return Err(UnquoteError),
    }
    Ok(tail)
}

fn push_byte<'a>(
    digits: &'a [u8],
    count: usize,
    radix: u32,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], UnquoteError> {
    let (value, tail) = fixed_digits(digits, count, radix)?;
    out.push(u8::try_from(value).map_err(|_| UnquoteError)?);
    Ok(tail)
}

fn push_char<'a>(
    digits: &'a [u8],
    count: usize,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], UnquoteError> {
    let (value, tail) = fixed_digits(digits, count, 16)?;
    let c = char::from_u32(value).ok_or(UnquoteError)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(tail)
}

fn fixed_digits(bytes: &[u8], count: usize, radix: u32) -> Result<(u32, &[u8]), UnquoteError> {
    let (digits, tail) = bytes.split_at_checked(count).ok_or(UnquoteError)?;
    let mut value = 0_u32;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix).ok_or(UnquoteError)?;
        value = value.checked_mul(radix).ok_or(UnquoteError)?;
        value = value.checked_add(digit).ok_or(UnquoteError)?;
    }
    Ok((value, tail))
}

/// A character in single quotes as Go's `%q` prints it; `None` (end of input) prints as U+FFFD.
pub(crate) fn quote_char(c: Option<char>) -> String {
    match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote(c.encode_utf8(&mut [0; 4]).as_bytes());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// A character as Go's `%#U` prints it: `U+0041 'A'`, without the second part if it does not print.
pub(crate) fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    let quoted = quote(c.encode_utf8(&mut [0; 4]).as_bytes());
    let is_printable = matches!(c, '"' | '\\') || quoted.chars().count() == 3;
    if is_printable { format!("{number} '{c}'") } else { number }
}

/// At most ten characters of a text, quoted, with an ellipsis behind the quotes if it is longer.
pub(crate) fn quote_shortened(text: &[u8]) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    format!("{}...", quote(first_chars(text, 10)))
}

fn first_chars(text: &[u8], count: usize) -> &[u8] {
    let mut end = 0;
    for _ in 0..count {
        end += decode_char(&text[end..]).map_or(0, |(_, width)| width);
    }
    &text[..end]
}

/// The first character of `bytes` and its width. A byte that is not UTF-8 is U+FFFD of width 1.
pub(crate) fn decode_char(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let window = &bytes[..bytes.len().min(4)];
    let chunk = window.utf8_chunks().next()?;
    Some(match chunk.valid().chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    })
}

/// A float in decimal notation without exponent, shortest form that reads back the same.
pub(crate) fn format_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() { "NaN".to_owned() } else { format!("{value}") }
}

/// A float as Go's `%v` prints it: [`format_float`], but very large and very small values with an
/// exponent of at least two digits.
pub(crate) fn format_float_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return format_float(value);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquote_knows_gos_escapes_and_keeps_bytes() {
        for (quoted, want) in [
            (&br#""a\tb""#[..], Some(&b"a\tb"[..])),
            (br#"'\x41\377\u00e9'"#, Some(b"A\xff\xc3\xa9")),
            (br#""\U0001f600""#, Some(b"\xf0\x9f\x98\x80")),
            (b"`a\\d\n`", Some(b"a\\d\n")),
            (br#"'it\'s'"#, Some(b"it's")),
            (br#""\'""#, None),
            (br#""\400""#, None),
            (br#""\ud800""#, None),
            (br#""\x4""#, None),
            (b"\"a\nb\"", None),
            (b"\"a'", None),
            (b"\"", None),
            (b"", None),
        ] {
            assert_eq!(unquote(quoted).ok().as_deref(), want, "{}", quote(quoted));
        }
    }

    #[test]
    fn characters_print_as_gos_verbs_do() {
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(quote_char(Some('"')), "'\"'");
        assert_eq!(quote_char(Some('\u{b}')), r"'\v'");
        assert_eq!(quote_char(None), "'\u{fffd}'");
        assert_eq!(code_point('q'), "U+0071 'q'");
        assert_eq!(code_point('"'), "U+0022 '\"'");
        assert_eq!(code_point('\n'), "U+000A");
        assert_eq!(quote_shortened("ééééééééééé".as_bytes()), "\"éééééééééé\"...");
        assert_eq!(quote_shortened(b"0123456789"), "\"0123456789\"");
    }

    #[test]
    fn floats_print_as_gos_shortest_forms() {
        for (value, plain, general) in [
            (1e21, "1000000000000000000000", "1e+21"),
            (1.5e-7, "0.00000015", "1.5e-07"),
            (0.0001, "0.0001", "0.0001"),
            (-0.0, "-0", "-0"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(format_float(value), plain);
            assert_eq!(format_float_general(value), general);
        }
    }
}
