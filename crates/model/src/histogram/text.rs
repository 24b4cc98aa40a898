//! Histograms as text: as Prometheus prints them, and as its test scripts write them.

use std::fmt::{self, Write as _};

use super::bucket::Bucket;
use super::types::{CounterResetHint, FloatHistogram, Histogram, Span};

/// Writes a float as Go's `%g` does: the shortest digits that read back, with an exponent below
/// -4 and from 1e+06 on.
pub(super) fn write_g(out: &mut impl fmt::Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        return out.write_str("NaN");
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or_default();
    if value == 0.0 || (-4..6).contains(&power) {
        return write!(out, "{value}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    write!(out, "{digits}e{sign}{:02}", power.unsigned_abs())
}

/// `{count:3, sum:5, (1,2]:3}`: the populated buckets ascending.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{count:")?;
        write_g(f, self.count)?;
        f.write_str(", sum:")?;
        write_g(f, self.sum)?;
        let populated = |bucket: &Bucket| bucket.count != 0.0;
        let negative = self.negative_bucket_iter().rev();
        negative
            .chain(self.zero_bucket())
            .chain(self.positive_bucket_iter())
            .filter(populated)
            .try_for_each(|bucket| write!(f, ", {bucket}"))?;
        f.write_str("}")
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_float(), f)
    }
}

impl FloatHistogram {
    /// The histogram as the test language writes it: `{{schema:1 count:3 buckets:[1 2]}}`.
    ///
    /// Gaps between spans are written out as empty buckets, all of them: this is for tests.
    pub fn test_expression(&self) -> String {
        let mut whole = self.clone();
        whole.compact(usize::MAX);
        let mut fields = vec![];
        if self.schema != 0 {
            fields.push(format!("schema:{}", self.schema));
        }
        for (name, value) in [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ] {
            if value != 0.0 {
                fields.push(format!("{name}:{}", g(value)));
            }
        }
        if self.uses_custom_buckets() {
            fields.push(format!("custom_values:[{}]", joined(&self.custom_values)));
        }
        if let Some(hint) = hint_name(self.counter_reset_hint) {
            fields.push(format!("counter_reset_hint:{hint}"));
        }
        push_side(&mut fields, "", &whole.positive_spans, &whole.positive_buckets);
        push_side(&mut fields, "n_", &whole.negative_spans, &whole.negative_buckets);
        format!("{{{{{}}}}}", fields.join(" "))
    }
}

fn push_side(fields: &mut Vec<String>, prefix: &str, spans: &[Span], buckets: &[f64]) {
    if buckets.is_empty() {
        return;
    }
    let offset: i64 = spans.first().map_or(0, |span| span.offset.into());
    if offset != 0 {
        fields.push(format!("{prefix}offset:{offset}"));
    }
    fields.push(format!("{prefix}buckets:[{}]", joined(buckets)));
}

fn joined(values: &[f64]) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push(' ');
        }
        let _ = text.write_str(&g(*value));
    }
    text
}

fn g(value: f64) -> String {
    let mut text = String::new();
    let _ = write_g(&mut text, value);
    text
}

fn hint_name(hint: CounterResetHint) -> Option<&'static str> {
    match hint {
        CounterResetHint::Unknown => None,
        CounterResetHint::CounterReset => Some("reset"),
        CounterResetHint::NotCounterReset => Some("not_reset"),
        CounterResetHint::Gauge => Some("gauge"),
    }
}
