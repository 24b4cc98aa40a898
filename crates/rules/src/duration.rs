//! Durations as Prometheus and Go print them.

use std::fmt::Write as _;

/// As Prometheus prints a duration: `1h30m`, `0s`. Weeks and years only where nothing is left
/// over.
pub(crate) fn prometheus_text(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = duration_ms.unsigned_abs();
    if duration_ms < 0 {
        text.push('-');
    }
    for (unit, unit_ms, is_exact) in [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ] {
        if is_exact && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        let count = rest / unit_ms;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
            rest %= unit_ms;
        }
    }
    text
}

/// As Go prints a duration: `1h30m0s`, `1.5s`, `0s`.
pub(crate) fn go_text(duration_ns: i64) -> String {
    let magnitude = duration_ns.unsigned_abs();
    let sign = if duration_ns < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".to_owned();
    }
    for (unit, unit_ns, next_ns) in
        [("ns", 1, 1_000), ("µs", 1_000, 1_000_000), ("ms", 1_000_000, 1_000_000_000)]
    {
        if magnitude < next_ns {
            return format!("{sign}{}{unit}", decimal(magnitude, unit_ns));
        }
    }
    let minutes = magnitude / 60_000_000_000;
    let seconds = decimal(magnitude % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / unit` with as many decimals as there are.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_prometheus_prints_them() {
        for (ms, want) in [
            (0, "0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (1_500, "1s500ms"),
        ] {
            assert_eq!(prometheus_text(ms), want);
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (ns, want) in [
            (0, "0s"),
            (1_500_000, "1.5ms"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(go_text(ns), want);
        }
    }
}
