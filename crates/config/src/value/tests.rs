//! Values against what Go's `flag`, yaml.v3 and Prometheus' duration parser read and print.

use std::fmt::Debug;

use super::*;

fn flag<V: Value + Default + PartialEq + Debug>(text: &str, expected: Option<&str>) {
    let mut value = V::default();
    let result = value.set_flag(text);
    assert_eq!(result.ok().map(|()| value.show()).as_deref(), expected, "flag {text:?}");
}

fn yaml<V: Value + Default + PartialEq + Debug>(text: &str, expected: Option<&str>) {
    let mut value = V::default();
    let result = match crate::yaml::parse(text).unwrap() {
        Some(node) => value.set_yaml(&node),
        None => Ok(()),
    };
    assert_eq!(result.ok().map(|()| value.show()).as_deref(), expected, "yaml {text:?}");
}

#[test]
fn booleans() {
    for (text, expected) in [("true", "true"), ("T", "true"), ("1", "true"), ("0", "false")] {
        flag::<bool>(text, Some(expected));
    }
    for text in ["yes", "on", "", "2"] {
        flag::<bool>(text, None);
    }
    for (text, expected) in [("true", "true"), ("yes", "true"), ("off", "false"), ("n", "false")] {
        yaml::<bool>(text, Some(expected));
    }
    for text in ["\"true\"", "1", "[true]", "maybe"] {
        yaml::<bool>(text, None);
    }
}

#[test]
fn whole_numbers() {
    for (text, expected) in [
        ("8080", "8080"),
        ("0x10", "16"),
        ("0b101", "5"),
        ("0o17", "15"),
        ("017", "15"),
        ("1_000", "1000"),
        ("+7", "7"),
        ("0", "0"),
    ] {
        flag::<u16>(text, Some(expected));
    }
    for text in ["65536", "-1", "", "1.5", "0x", "--1", "1e3", "ten", "99999999999999999999999"] {
        flag::<u16>(text, None);
    }
    flag::<i64>("-9223372036854775808", Some("-9223372036854775808"));
    flag::<i64>("9223372036854775808", None);
    flag::<u64>("18446744073709551615", Some("18446744073709551615"));
    yaml::<u64>("1e6", Some("1000000"));
    yaml::<u64>("100.0", Some("100"));
    for text in ["1.5", "\"8\"", "-3", "1e300", "x", "{a: 1}", "true"] {
        yaml::<u64>(text, None);
    }
}

#[test]
fn floats() {
    for (text, expected) in
        [("1.5", "1.5"), ("10000", "10000"), ("1e3", "1000"), ("Inf", "inf"), ("-inf", "-inf")]
    {
        flag::<f64>(text, Some(expected));
    }
    for text in ["", "nan", "NaN", "x", "1,5", "infinite"] {
        flag::<f64>(text, None);
    }
    yaml::<f64>(".inf", Some("inf"));
    yaml::<f64>("2", Some("2"));
    for text in ["inf", "'1'", ".nan", "[]"] {
        yaml::<f64>(text, None);
    }
}

#[test]
fn go_durations() {
    for (text, expected) in [
        ("0", "0s"),
        ("0s", "0s"),
        ("1h30m", "1h30m0s"),
        ("90m", "1h30m0s"),
        ("96s", "1m36s"),
        ("1.5h", "1h30m0s"),
        ("300ms", "300ms"),
        ("1.5s", "1.5s"),
        ("100us", "100µs"),
        ("100µs", "100µs"),
        ("1ns", "1ns"),
        ("-1h", "-1h0m0s"),
        ("+5s", "5s"),
        ("1h0.25s", "1h0m0.25s"),
        (".5m", "30s"),
        ("1.ms", "1ms"),
        ("13h0m0s", "13h0m0s"),
        ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
    ] {
        flag::<GoDuration>(text, Some(expected));
        yaml::<GoDuration>(text, Some(expected));
    }
    for text in ["", "5", "1d", "h", "1h5", "-", ".s", "1..5s", "1 s", "9999999h", "1x", "inf"] {
        flag::<GoDuration>(text, None);
    }
    yaml::<GoDuration>("[1h]", None);
}

#[test]
fn prometheus_durations() {
    for (text, expected) in [
        ("0", "0s"),
        ("5m", "5m"),
        ("13h", "13h"),
        ("24h", "1d"),
        ("36h", "36h"),
        ("7d", "1w"),
        ("1w2d", "9d"),
        ("365d", "1y"),
        ("1h30m", "1h30m"),
        ("1d12h30m15s20ms", "36h30m15s20ms"),
        ("100ms", "100ms"),
    ] {
        flag::<PromDuration>(text, Some(expected));
        yaml::<PromDuration>(text, Some(expected));
    }
    for text in ["", "1.5h", "-1h", "5", "1m1h", "1h1h", "1x", "h", "1000000y", "1us"] {
        flag::<PromDuration>(text, None);
    }
}

#[test]
fn durations_in_other_units() {
    let duration = GoDuration::parse("1.5s").unwrap();
    assert_eq!((duration.nanos(), duration.millis()), (1_500_000_000, 1_500));
    assert_eq!(duration.std(), std::time::Duration::from_millis(1_500));
    assert_eq!(duration.secs_f64(), 1.5);
    assert_eq!(GoDuration::parse("-1s").unwrap().std(), std::time::Duration::ZERO);
    assert!(!GoDuration::parse("-1s").unwrap().is_positive());
    assert_eq!(PromDuration::parse("1d").unwrap().millis(), 86_400_000);
}

#[test]
fn sizes() {
    for (text, expected) in [
        ("0", "0"),
        ("1048576", "1048576"),
        ("1MiB", "1048576"),
        ("64k", "65536"),
        ("1.5K", "1536"),
    ] {
        flag::<ByteSize>(text, Some(expected));
        yaml::<ByteSize>(text, Some(expected));
    }
    for text in ["", "-1", "1XB", "MiB", "99999999TiB", "1.2.3"] {
        flag::<ByteSize>(text, None);
    }
}

#[test]
fn lists() {
    let mut list = StringList::default();
    list.set_yaml(&crate::yaml::parse("[a, 'b,c']").unwrap().unwrap()).unwrap();
    list.set_flag("d,e").unwrap();
    assert_eq!(list.0, ["a", "b,c", "d,e"]);
    let mut comma = CommaList::default();
    comma.set_flag("a, b,,").unwrap();
    comma.set_flag("c,d").unwrap();
    assert_eq!(comma.0, ["c", "d"]);
    yaml::<CommaList>("a,b", Some("a,b"));
    yaml::<CommaList>("[a, b]", Some("a,b"));
    yaml::<DurationList>("[2h, 12h]", Some("2h0m0s,12h0m0s"));
    flag::<DurationList>("2h,24h", Some("2h0m0s,24h0m0s"));
    flag::<DurationList>("2h,x", None);
    yaml::<StringList>("{a: b}", None);
}

#[test]
fn maps() {
    yaml::<StringMap>(
        "{a: x, b: '{__name__=~\"b.*\"}'}",
        Some(r#"{"a":"x","b":"{__name__=~\"b.*\"}"}"#),
    );
    yaml::<NumberMap>("{a: 1, b: 2.5}", Some(r#"{"a":1.0,"b":2.5}"#));
    flag::<NumberMap>(r#"{"a": 3}"#, Some(r#"{"a":3.0}"#));
    flag::<StringMap>("{}", Some("{}"));
    flag::<NumberMap>(r#"{"a": "x"}"#, None);
    flag::<NumberMap>("a=1", None);
    yaml::<NumberMap>("[1]", None);
}

#[test]
fn a_failed_set_changes_nothing() {
    let mut port: u16 = 80;
    assert!(port.set_flag("x").is_err());
    assert_eq!(port, 80);
    let mut duration = GoDuration::from_secs(5);
    assert!(duration.set_flag("5").is_err());
    assert_eq!(duration, GoDuration::from_secs(5));
}

#[test]
fn secrets_are_never_shown() {
    let mut secret = Secret::default();
    secret.set_flag("hunter2").unwrap();
    assert_eq!(secret.expose(), "hunter2");
    let shown = format!("{secret:?} {} {}", secret.show(), secret.yaml().render());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(Secret::default().show(), "");
}

proptest::proptest! {
    #[test]
    fn go_durations_read_back(nanos in -i64::MAX..i64::MAX) {
        let duration = GoDuration::from_nanos(nanos);
        proptest::prop_assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
    }

    #[test]
    fn prometheus_durations_read_back(millis in 0..i64::MAX / 1_000_000) {
        let duration = PromDuration::from_millis(millis);
        proptest::prop_assert_eq!(PromDuration::parse(&duration.to_string()), Ok(duration));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9a-zµ._ ]{0,24}") {
        let _ = GoDuration::parse(&text);
        let _ = PromDuration::parse(&text);
        let _ = ByteSize::parse(&text);
        let _ = u64::default().set_flag(&text);
        let _ = i64::default().set_flag(&text);
        let _ = f64::default().set_flag(&text);
    }
}
