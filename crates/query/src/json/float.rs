//! Numbers as Prometheus writes them: the shortest digits that give the same float again, in plain
//! notation from 1e-6 up to 1e21 and with an exponent (`1e-07`, `1e+21`) outside.

/// Integers below this are exact in a float and have no digits to search for.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// Appends `value` in quotes.
pub(crate) fn push_quoted_float(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_float(out, value);
    out.push(b'"');
}

/// Appends `value`.
fn push_float(out: &mut Vec<u8>, value: f64) {
    if value.fract() == 0.0 && value.abs() < EXACT_INTEGERS {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        push_integer(out, value as i64);
    } else if value.is_finite() {
        push_finite(out, value);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
}

/// Appends an integer.
pub(super) fn push_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a time in milliseconds as seconds, with three decimals where there are any.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let ms = timestamp_ms.unsigned_abs();
    push_integer(out, (ms / 1000) as i64);
    let fraction = (ms % 1000) as u32;
    if fraction > 0 {
        let digit = |n: u32| b'0' + (n % 10) as u8;
        out.extend([b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)]);
    }
}

/// `ryu` finds the digits; its notation is turned into Go's.
fn push_finite(out: &mut Vec<u8>, value: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.extend_from_slice(sign.as_bytes());
    if (1e-6..1e21).contains(&value.abs()) {
        push_plain(out, mantissa, exponent);
    } else {
        out.extend_from_slice(mantissa.strip_suffix(".0").unwrap_or(mantissa).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
    }
}

/// Appends `mantissa` (`d` or `d.ddd`) times ten to the `exponent` without an exponent.
fn push_plain(out: &mut Vec<u8>, mantissa: &str, exponent: i32) {
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(&digits);
        return;
    }
    let integer_digits = exponent as usize + 1;
    if digits.len() <= integer_digits {
        out.extend_from_slice(&digits);
        out.resize(out.len() + integer_digits - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..integer_digits]);
        out.push(b'.');
        out.extend_from_slice(&digits[integer_digits..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    /// What Go prints for these by `strconv.FormatFloat(v, 'f' or 'e', -1, 64)`.
    #[test]
    fn as_prometheus_prints() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.5, "-17.5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123_456_789.123, "123456789.123"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (9.99e-7, "9.99e-07"),
            (1e-7, "1e-07"),
            (-1.25e-10, "-1.25e-10"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1.234_567_890_123_456_7e20, "123456789012345670000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(value), want);
        }
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        for (ms, want) in [
            (1_435_781_430_781, "1435781430.781"),
            (1_435_781_430_000, "1435781430"),
            (1_010, "1.010"),
            (-1_500, "-1.500"),
            (7, "0.007"),
        ] {
            let mut out = Vec::new();
            push_timestamp(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back_as_itself(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let back: f64 = text(value).parse().unwrap();
            prop_assert_eq!(back.to_bits(), value.to_bits());
        }
    }
}
