//! Numbers written as Go writes them: `%g`, `%.2g` and `strconv.FormatFloat(v, 'f', -1, 64)`.
//!
//! For annotation texts, error texts and the labels that `count_values` makes.

/// `v` as Go's `%g`: the shortest digits that give the value back, with an exponent below
/// 1e-4 and from 1e+06 on.
pub(crate) fn format_g(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let (negative, digits, exponent) = shortest_digits(v);
    layout_g(negative, &digits, exponent, SHORTEST_PRECISION)
}

/// `v` as Go's `%.2g`: two significant digits, trailing zeros removed.
pub(crate) fn format_g2(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = format!("{v:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    layout_g(v.is_sign_negative(), digits, exponent.parse().unwrap_or(0), 2)
}

/// `v` as `strconv.FormatFloat(v, 'f', -1, 64)`: the shortest digits, never an exponent.
pub(crate) fn format_f(v: f64) -> String {
    special(v).map_or_else(|| format!("{v}"), str::to_owned)
}

/// Where Go goes over to an exponent when it prints the shortest digits.
const SHORTEST_PRECISION: usize = 6;

/// `v` as OpenMetrics writes a label of a quantile: as `%g`, but a whole number with `.0`.
pub(crate) fn format_openmetrics(v: f64) -> String {
    let text = format_g(v);
    let is_plain = !text.contains(['.', 'e']) && v.is_finite();
    if is_plain { text + ".0" } else { text }
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Sign, digits without trailing zeros, and the decimal exponent of the first digit.
fn shortest_digits(v: f64) -> (bool, String, i32) {
    let text = format!("{:e}", v.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (v.is_sign_negative(), digits, exponent.parse().unwrap_or(0))
}

fn layout_g(negative: bool, digits: &str, exponent: i32, precision: usize) -> String {
    let sign = if negative { "-" } else { "" };
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{exponent_sign}{:02}", exponent.abs());
    }
    let Ok(whole) = usize::try_from(exponent) else {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    };
    if digits.len() <= whole + 1 {
        return format!("{sign}{digits}{}", "0".repeat(whole + 1 - digits.len()));
    }
    let (integral, fraction) = digits.split_at(whole + 1);
    format!("{sign}{integral}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations from the documentation of Go's fmt and strconv.
    #[test]
    fn as_go_prints() {
        for (v, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1.1, "1.1"),
            (-1.5e-7, "-1.5e-07"),
            (0.000_1, "0.0001"),
            (0.000_05, "5e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(format_g(v), want);
        }
        for (v, want) in [(0.123_4, "0.12"), (10.0, "10"), (100.0, "1e+02"), (0.5, "0.5")] {
            assert_eq!(format_g2(v), want);
        }
        assert_eq!(format_f(1e21), "1000000000000000000000");
        assert_eq!(format_f(0.000_000_1), "0.0000001");
        assert_eq!(format_f(f64::NEG_INFINITY), "-Inf");
    }
}
