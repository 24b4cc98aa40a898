//! Where buckets begin and end.
//!
//! The bounds of exponential buckets are what every client library and Prometheus use, to the
//! last bit: they meet in tests for equality and in printed answers.

use super::types::CUSTOM_BUCKETS_SCHEMA;

/// `2^(2^-schema)` for schema 1 to 8, the first rounded down as the original table has it.
const FACTORS: [f64; 8] = [
    std::f64::consts::SQRT_2.next_down(),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// The bounds of schema 8 in [0.5, 1). Each coarser schema's are among them.
const FRACTIONS: [f64; 256] = fractions();

/// Each schema keeps the bounds of the one before and puts between two of them the lower one
/// times its own factor; the rounding errors of this very order are part of the format.
const fn fractions() -> [f64; 256] {
    let mut bounds = [0.5; 256];
    let mut schema = 0;
    while schema < 8 {
        let step = 128 >> schema;
        let mut at = 0;
        while at < 256 {
            bounds[at + step] = bounds[at] * FACTORS[schema];
            at += 2 * step;
        }
        schema += 1;
    }
    bounds
}

/// The upper bound of the positive bucket at `index`; the lower one is that of `index - 1`.
/// Negative buckets mirror them.
pub(super) fn upper_bound(index: i64, schema: i32, custom_values: &[f64]) -> f64 {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return custom_bound(index, custom_values);
    }
    exponential_bound(index, schema)
}

/// The upper bound of the exponential bucket at `index`.
///
/// The last bucket of finite observations ends at the greatest float; the one after it holds
/// the infinite ones.
pub(super) fn exponential_bound(index: i64, schema: i32) -> f64 {
    match schema {
        ..=0 => {
            // Indexes are sums of 32-bit numbers: they have room for this shift.
            let exponent = index.saturating_mul(1 << schema.unsigned_abs().min(30));
            scaled(0.5, exponent.saturating_add(1))
        }
        1..=8 => {
            let position = (index & ((1 << schema) - 1)) << (8 - schema);
            let fraction = FRACTIONS[usize::try_from(position).unwrap_or_default()];
            scaled(fraction, (index >> schema) + 1)
        }
        _ => (index as f64 / f64::from(schema).exp2()).exp2(),
    }
}

fn custom_bound(index: i64, custom_values: &[f64]) -> f64 {
    match usize::try_from(index) {
        Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// `fraction * 2^exponent` for a fraction in [0.5, 1), rounded once; 2^1024 becomes the
/// greatest float.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    match exponent {
        1025 if fraction == 0.5 => f64::MAX,
        1025.. => f64::INFINITY,
        -1020..=1024 => fraction * 2.0 * power_of_two(exponent - 1),
        -1200..=-1021 => fraction * power_of_two(-500) * power_of_two(exponent + 500),
        _ => 0.0,
    }
}

/// 2^exponent for the exponents of normal floats, -1022 to 1023.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or_default() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Powers of two are exact in every schema, down to the subnormal numbers.
    #[test]
    fn bounds_are_powers_of_two_where_they_must_be() {
        for schema in -4..=8_i32 {
            for power in (-1072..1024_i32).step_by(16) {
                let index = if schema < 0 {
                    i64::from(power) >> -schema
                } else {
                    i64::from(power) << schema
                };
                assert_eq!(
                    exponential_bound(index, schema),
                    f64::from(power).exp2(),
                    "schema {schema}, power {power}"
                );
            }
        }
    }

    #[test]
    fn bounds_rise_and_stay_near_the_exact_root() {
        for schema in 1..=8_i32 {
            for index in 1..(1_i64 << schema) {
                let exact = (index as f64 / f64::from(schema).exp2()).exp2();
                let bound = exponential_bound(index, schema);
                assert!((bound - exact).abs() <= 4.0 * f64::EPSILON * exact, "{bound} {exact}");
                assert!(exponential_bound(index - 1, schema) < bound);
            }
        }
    }

    /// Values of the published table of bounds.
    #[test]
    fn bounds_have_the_published_rounding() {
        assert_eq!(exponential_bound(1, 1).to_string(), "1.414213562373095");
        assert_eq!(exponential_bound(-1, 1), 0.7071067811865475);
        assert_eq!(exponential_bound(3, 2), 2.0 * 0.8408964152537144);
        assert_eq!(exponential_bound(255, 8), 2.0 * 0.9972960560854698);
        assert_eq!(exponential_bound(129, 8), 2.0 * 0.7090239421602076);
    }

    #[test]
    fn the_last_finite_bucket_ends_at_the_greatest_float() {
        for schema in -4..=8_i32 {
            let last = if schema < 0 { 1024 >> -schema } else { 1024 << schema };
            assert_eq!(exponential_bound(last, schema), f64::MAX);
            assert_eq!(exponential_bound(last + 1, schema), f64::INFINITY);
            assert_eq!(exponential_bound(i64::from(i32::MAX) * 4, schema), f64::INFINITY);
            assert_eq!(exponential_bound(i64::from(i32::MIN) * 4, schema), 0.0);
        }
    }
}
