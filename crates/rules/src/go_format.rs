//! Numbers as Go's `fmt` writes them: `%g`, `%e`, `%f` with and without a precision.

/// `%e`: `1.5e+06`.
pub(crate) fn e(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}{}", exponent_text(exponent.parse().unwrap_or(0)))
}

/// `%f`; without a precision the shortest digits, never an exponent.
pub(crate) fn f(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    match precision {
        Some(precision) => format!("{value:.precision$}"),
        None => format!("{value}"),
    }
}

/// `%g`; without a precision the shortest digits, with an exponent below 1e-4 and from 1e+06 on.
pub(crate) fn g(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let (text, threshold) = match precision {
        Some(precision) => {
            let precision = precision.max(1);
            (format!("{value:.*e}", precision - 1), precision)
        }
        None => (format!("{value:e}"), SHORTEST_THRESHOLD),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let negative = mantissa.starts_with('-');
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    let sign = if negative { "-" } else { "" };
    if exponent < -4 || exponent >= threshold as i32 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}{}", exponent_text(exponent));
    }
    format!("{sign}{}", plain(digits, exponent))
}

/// Where Go goes over to an exponent for the shortest digits.
const SHORTEST_THRESHOLD: usize = 6;

/// Digits with the first at 10^exponent, without an exponent.
fn plain(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (before, after) = digits.split_at(whole);
    format!("{before}.{after}")
}

fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.abs())
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_as_the_humanizing_functions_want_them() {
        for (value, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.23456, "1.235"),
            (999.96, "1000"),
            (12345.0, "1.234e+04"),
            (0.00012345, "0.0001234"),
            (0.000012345, "1.234e-05"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(g(value, Some(4)), want, "{value}");
        }
    }

    #[test]
    fn other_forms() {
        assert_eq!(e(1_234_567.0, Some(2)), "1.23e+06");
        assert_eq!(f(1.005, Some(2)), "1.00");
        assert_eq!(g(123_456_789.0, None), "1.23456789e+08");
        assert_eq!(g(100.0, None), "100");
        assert_eq!(g(0.1, None), "0.1");
    }
}
