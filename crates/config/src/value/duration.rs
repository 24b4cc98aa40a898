//! Durations in Go's form (`1h30m0s`) and in Prometheus' form (`1d12h`). Both hold signed
//! nanoseconds, because Mimir's options do: a negative value switches some of them off.

use std::fmt;
use std::time::Duration;

use super::{Kind, Value, scalar};
use crate::yaml::{Node, Out};

/// A duration that is read and shown as Go's `time.Duration` is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// A duration that is read and shown as Prometheus' `model.Duration` is; never negative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromDuration(i64);

const NANOSECOND: i64 = 1;
const MICROSECOND: i64 = 1_000 * NANOSECOND;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
const YEAR: i64 = 365 * DAY;

macro_rules! duration_access {
    ($name:ident) => {
        impl $name {
            /// No time at all; for most options this means off.
            pub const ZERO: $name = $name(0);

            /// From signed nanoseconds.
            pub const fn from_nanos(nanos: i64) -> Self {
                $name(nanos)
            }

            /// From whole milliseconds; beyond 292 years it stays at the greatest value.
            pub const fn from_millis(millis: i64) -> Self {
                $name(millis.saturating_mul(MILLISECOND))
            }

            /// From whole seconds; beyond 292 years it stays at the greatest value.
            pub const fn from_secs(seconds: i64) -> Self {
                $name(seconds.saturating_mul(SECOND))
            }

            /// Signed nanoseconds.
            pub const fn nanos(self) -> i64 {
                self.0
            }

            /// Signed milliseconds, the unit of every timestamp; parts of one are cut off.
            pub const fn millis(self) -> i64 {
                self.0 / MILLISECOND
            }

            /// Seconds with their fraction.
            pub fn secs_f64(self) -> f64 {
                self.0 as f64 / SECOND as f64
            }

            /// As the standard library's type; a negative duration is none there: zero.
            pub const fn std(self) -> Duration {
                Duration::from_nanos(if self.0 < 0 { 0 } else { self.0.unsigned_abs() })
            }

            /// Whether it is exactly zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// Whether it is greater than zero, which is how Mimir asks if a feature is on.
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

duration_access!(GoDuration);
duration_access!(PromDuration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write_go(f, self.0.unsigned_abs())
    }
}

/// Below a second one unit with a fraction, above it hours, minutes and seconds.
fn write_go(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    const SMALL: [(u64, &str); 3] =
        [(NANOSECOND as u64, "ns"), (MICROSECOND as u64, "µs"), (MILLISECOND as u64, "ms")];
    if nanos < SECOND as u64 {
        let (unit, name) =
            *SMALL.iter().rev().find(|(unit, _)| *unit <= nanos).unwrap_or(&SMALL[0]);
        return write!(f, "{}{name}", decimal(nanos, unit));
    }
    let (hours, minutes) = (nanos / HOUR as u64, nanos % HOUR as u64 / MINUTE as u64);
    if 0 < hours {
        write!(f, "{hours}h")?;
    }
    if 0 < hours || 0 < minutes {
        write!(f, "{minutes}m")?;
    }
    write!(f, "{}s", decimal(nanos % MINUTE as u64, SECOND as u64))
}

/// `value / unit` with all its decimals and no trailing zero; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

impl fmt::Display for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years, weeks and days are written only where nothing remains, as Prometheus does.
        const EXACT: [(i64, &str); 3] = [(YEAR, "y"), (WEEK, "w"), (DAY, "d")];
        const REST: [(i64, &str); 4] =
            [(HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (MILLISECOND, "ms")];
        if self.0 < MILLISECOND {
            return f.write_str("0s");
        }
        if let Some((unit, name)) = EXACT.iter().find(|(unit, _)| self.0 % unit == 0) {
            return write!(f, "{}{name}", self.0 / unit);
        }
        let mut rest = self.0;
        for (unit, name) in REST {
            if unit <= rest {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl GoDuration {
    /// Reads `300ms`, `-1.5h` or `2h45m`, as Go's `time.ParseDuration`.
    pub fn parse(text: &str) -> Result<GoDuration, String> {
        let wrong = || format!("time: invalid duration \"{text}\"");
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(GoDuration(0));
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let (nanos, tail) = go_term(rest, text)?;
            total = total.checked_add(nanos).ok_or_else(wrong)?;
            rest = tail;
        }
        Ok(GoDuration(if negative { -total } else { total }))
    }
}

/// One number with its unit from the front of `rest`, in nanoseconds, and what follows it.
fn go_term<'a>(rest: &'a str, text: &str) -> Result<(i64, &'a str), String> {
    let wrong = || format!("time: invalid duration \"{text}\"");
    let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, tail) = rest.split_at(number_len);
    let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
    let (unit, after) = tail.split_at(unit_len);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(wrong());
    }
    if unit.is_empty() {
        return Err(format!("time: missing unit in duration \"{text}\""));
    }
    let Some(unit_nanos) = go_unit(unit) else {
        return Err(format!("time: unknown unit \"{unit}\" in duration \"{text}\""));
    };
    let whole_nanos = match whole {
        "" => 0,
        _ => whole.parse::<i64>().ok().and_then(|n| n.checked_mul(unit_nanos)).ok_or_else(wrong)?,
    };
    let nanos = whole_nanos.checked_add(fraction_nanos(fraction, unit_nanos)).ok_or_else(wrong)?;
    Ok((nanos, after))
}

/// The digits after the point, as nanoseconds; what is below one nanosecond is cut off.
fn fraction_nanos(digits: &str, unit_nanos: i64) -> i64 {
    // 15 digits of an hour are below a nanosecond: the rest cannot matter.
    let digits = &digits[..digits.len().min(15)];
    let value: i128 = digits.parse().unwrap_or(0);
    let scale = 10_i128.pow(digits.len() as u32);
    i64::try_from(value * i128::from(unit_nanos) / scale).unwrap_or(0)
}

fn go_unit(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => NANOSECOND,
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

impl PromDuration {
    /// Reads `5m`, `1d12h` or `0`, as Prometheus' `model.ParseDuration`: whole numbers, each unit
    /// at most once, from the greatest to the smallest.
    pub fn parse(text: &str) -> Result<PromDuration, String> {
        const UNITS: [(&str, i64); 7] = [
            ("y", YEAR),
            ("w", WEEK),
            ("d", DAY),
            ("h", HOUR),
            ("m", MINUTE),
            ("s", SECOND),
            ("ms", MILLISECOND),
        ];
        let wrong = || format!("not a valid duration string: \"{text}\"");
        if text.is_empty() {
            return Err("empty duration string".to_owned());
        }
        if text == "0" {
            return Ok(PromDuration(0));
        }
        let (mut rest, mut total, mut next_unit) = (text, 0_i64, 0);
        while !rest.is_empty() {
            let number_len = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(number_len);
            let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, after) = tail.split_at(unit_len);
            let at = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            if at < next_unit || number.is_empty() {
                return Err(wrong());
            }
            let nanos = number.parse::<i64>().ok().and_then(|n| n.checked_mul(UNITS[at].1));
            total = nanos.and_then(|n| total.checked_add(n)).ok_or("duration out of range")?;
            (rest, next_unit) = (after, at + 1);
        }
        Ok(PromDuration(total))
    }
}

macro_rules! duration_value {
    ($name:ident) => {
        impl Value for $name {
            fn kind(&self) -> Kind {
                Kind::$name
            }

            fn set_flag(&mut self, text: &str) -> Result<(), String> {
                *self = $name::parse(text)?;
                Ok(())
            }

            fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
                *self = $name::parse(scalar(node, "a duration")?)?;
                Ok(())
            }

            fn yaml(&self) -> Out {
                Out::text(&self.to_string())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}

duration_value!(GoDuration);
duration_value!(PromDuration);
