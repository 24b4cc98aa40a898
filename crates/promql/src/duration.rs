//! Prometheus' duration text: `1h30m`, `5ms`, `2w`.
//!
//! Used by the parser for literals, by the HTTP API for parameters and by the test scripts. Units
//! must go from large to small, each once; there are no fractions and no signs.

use thiserror::Error;

use crate::strings::quote;

const NANOS_PER_MS: i64 = 1_000_000;

/// Units from large to small, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no duration; prints Prometheus' message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationParseError {
    /// Nothing was given.
    #[error("empty duration string")]
    Empty,
    /// No digits, no unit, or units in the wrong order.
    #[error("not a valid duration string: {}", quote(.0.as_bytes()))]
    Invalid(String),
    /// A unit that does not exist.
    #[error("unknown unit {} in duration {}", quote(unit.as_bytes()), quote(text.as_bytes()))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Longer than about 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

/// The milliseconds of a duration text. `0` needs no unit.
///
/// # Errors
/// If the text is no duration, or one of more than 292 years.
pub fn parse_duration(text: &str) -> Result<i64, DurationParseError> {
    match text {
        "0" => return Ok(0),
        "" => return Err(DurationParseError::Empty),
        _ => {}
    }
    let invalid = || DurationParseError::Invalid(text.to_owned());
    let mut rest = text;
    let mut total_ms = 0_i64;
    let mut units_left = UNITS.as_slice();
    while !rest.is_empty() {
        let (digits, after_digits) = split_where(rest, |byte| !byte.is_ascii_digit());
        let (unit, after_unit) = split_where(after_digits, |byte| byte.is_ascii_digit());
        rest = after_unit;
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        let unit_ms = take_unit(&mut units_left, unit, text)?;
        total_ms = add_checked(total_ms, count, unit_ms).ok_or(DurationParseError::OutOfRange)?;
    }
    Ok(total_ms)
}

fn split_where(text: &str, is_end: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(is_end).unwrap_or(text.len()))
}

/// The milliseconds of `unit`, which must still be among `units_left`; it and all larger ones are
/// then used up.
fn take_unit(
    units_left: &mut &[(&str, i64)],
    unit: &str,
    text: &str,
) -> Result<i64, DurationParseError> {
    if let Some(at) = units_left.iter().position(|(name, _)| *name == unit) {
        let unit_ms = units_left[at].1;
        *units_left = &units_left[at + 1..];
        return Ok(unit_ms);
    }
    let is_known = UNITS.iter().any(|(name, _)| *name == unit);
    Err(if is_known {
        DurationParseError::Invalid(text.to_owned())
    } else {
        DurationParseError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }
    })
}

fn add_checked(total_ms: i64, count: u64, unit_ms: i64) -> Option<i64> {
    let sum_ms = i64::try_from(count).ok()?.checked_mul(unit_ms)?.checked_add(total_ms)?;
    sum_ms.checked_mul(NANOS_PER_MS).map(|_| sum_ms)
}

/// Milliseconds as duration text. Years and weeks are used only if nothing remains (`90d`, not
/// `12w6d`).
#[must_use]
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = if ms < 0 { "-".to_owned() } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let is_exact_only = matches!(unit, "y" | "w");
        if rest < unit_ms || (is_exact_only && !rest.is_multiple_of(unit_ms)) {
            continue;
        }
        out.push_str(&format!("{}{unit}", rest / unit_ms));
        rest %= unit_ms;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_prometheus_parses() {
        for (text, want) in [
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("1ms", Ok(1)),
            ("1y2w3d4h5m6s7ms", Ok(33_019_506_007)),
            ("292y", Ok(292 * 365 * 86_400_000)),
            ("293y", Err("duration out of range")),
            (
                "99999999999999999999s",
                Err("not a valid duration string: \"99999999999999999999s\""),
            ),
            ("", Err("empty duration string")),
            ("1", Err("not a valid duration string: \"1\"")),
            ("-1s", Err("not a valid duration string: \"-1s\"")),
            ("5m1h", Err("not a valid duration string: \"5m1h\"")),
            ("5m5m", Err("not a valid duration string: \"5m5m\"")),
            ("1hs", Err("unknown unit \"hs\" in duration \"1hs\"")),
            ("1.5h", Err("unknown unit \".\" in duration \"1.5h\"")),
        ] {
            let got = parse_duration(text).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn formats_back() {
        for text in ["0s", "1ms", "1s500ms", "90d", "13w", "1y", "366d", "1h30m", "2d1h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text.to_owned());
        }
        assert_eq!(format_duration(-90_000), "-1m30s");
    }
}
