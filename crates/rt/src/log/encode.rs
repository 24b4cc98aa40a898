//! One log line as logfmt (`key=value key="two words"`) or as a JSON object.

use std::fmt::Write;

use model::TimestampMs;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `ts=... caller=... level=... msg=... key=value`
    Logfmt,
    /// The same keys as one JSON object of strings.
    Json,
}

impl LogFormat {
    /// The format of a word of `-log.format`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A line that is being written.
pub(super) struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, text: String::with_capacity(256) }
    }

    pub(super) fn push_time(&mut self, ms: TimestampMs) {
        self.push("ts", &rfc3339(ms));
    }

    pub(super) fn push(&mut self, key: &str, value: &str) {
        match self.format {
            LogFormat::Logfmt => self.push_logfmt(key, value),
            LogFormat::Json => self.push_json(key, value),
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        }
        self.text.push('\n');
        self.text
    }

    fn push_logfmt(&mut self, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        if value.chars().any(|c| c <= ' ' || matches!(c, '=' | '"' | '\u{7f}' | '\u{fffd}')) {
            push_quoted(&mut self.text, value);
        } else {
            self.text.push_str(value);
        }
    }

    fn push_json(&mut self, key: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        push_quoted(&mut self.text, key);
        self.text.push(':');
        push_quoted(&mut self.text, value);
    }
}

/// A JSON string, which is also how logfmt quotes. A value cannot begin a line of its own.
fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c)); // A String takes everything.
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// UTC with milliseconds, like `2026-01-02T03:04:05.678Z`.
fn rfc3339(ms: TimestampMs) -> String {
    const MS_PER_DAY: i64 = 86_400_000;
    let (days, in_day) = (ms.div_euclid(MS_PER_DAY), ms.rem_euclid(MS_PER_DAY));
    let (year, month, day) = civil_date(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, millisecond) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// The date of a day number since 1970-01-01, by counting 400-year eras whose years begin in
/// March, so that the leap day is the last one.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(DAYS_PER_ERA);
    let day_of_era = from_march_0000.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations from `date -u -d @SECONDS +%FT%T`.
    #[test]
    fn times_as_date_prints_them() {
        for (ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_704_067_199_999, "2023-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), want);
        }
    }
}
