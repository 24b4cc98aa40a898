//! Tests: templates and what Prometheus makes of them, from its documentation and its behaviour.

use model::Labels;
use promql::value::{SampleValue, VectorSample};
use proptest::prelude::*;

use super::*;

fn sample(instance: &str, value: f64) -> VectorSample {
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", instance)]);
    VectorSample { labels, timestamp_ms: 0, value: SampleValue::Float(value) }
}

fn query(text: &str) -> Result<Vec<VectorSample>, String> {
    match text {
        "up" => Ok(vec![sample("b:9090", 1.0), sample("a.example.org:80", 0.5)]),
        "none" => Ok(Vec::new()),
        _ => Err("no such query".to_owned()),
    }
}

fn expanded(text: &str, value: f64) -> Result<String, TemplateError> {
    let labels = Labels::from_pairs([("instance", "host.example.org:9100"), ("job", "node")]);
    let external = Labels::from_pairs([("cluster", "eu")]);
    let url = "http://prom.example.org/path";
    let data = alert_data(&labels, &external, url, &SampleValue::Float(value));
    let cx = TemplateContext {
        name: "__alert_X",
        time_ms: 1_435_781_451_781,
        external_url: url,
        query: &query,
    };
    expand_alert(text, &data, &cx)
}

fn check(text: &str, value: f64, want: &str) {
    assert_eq!(expanded(text, value).as_deref(), Ok(want), "{text}");
}

#[test]
fn variables_fields_and_pipes() {
    check("{{ $labels.job }}: {{ $value }}", 1.5, "node: 1.5");
    check("{{ .Labels.instance }}{{ .Labels.missing }}|", 0.0, "host.example.org:9100|");
    check(
        "{{ $externalLabels.cluster }} {{ $externalURL }}",
        0.0,
        "eu http://prom.example.org/path",
    );
    check("{{ $value | humanize | printf \"%s!\" }}", 12345.0, "12.35k!");
    check("{{ $x := 1 }}{{ $x = 2 }}{{ $x }}{{ ($labels).job }}", 0.0, "2node");
    check("{{ $labels }}", 0.0, "map[instance:host.example.org:9100 job:node]");
    check("a {{- \" b \" -}} c {{/* nothing */}}d", 0.0, "a b c d");
    check("{{ $value }}", 123_456_789.0, "1.23456789e+08");
}

#[test]
fn conditions_and_loops() {
    check(
        "{{ if gt $value 5.0 }}high{{ else if gt $value 1.0 }}mid{{ else }}low{{ end }}",
        3.0,
        "mid",
    );
    check("{{ with $labels.missing }}x{{ else }}none{{ end }}", 0.0, "none");
    check(
        "{{ range query \"up\" }}{{ .Labels.instance }}={{ .Value }};{{ end }}",
        0.0,
        "b:9090=1;a.example.org:80=0.5;",
    );
    check(
        "{{ range $i, $s := query \"up\" | sortByLabel \"instance\" }}{{ $i }}{{ $s | value }} {{ end }}",
        0.0,
        "00.5 11 ",
    );
    check("{{ range query \"none\" }}x{{ else }}empty{{ end }}", 0.0, "empty");
    check(
        "{{ range $k, $v := $labels }}{{ $k }}:{{ $v }},{{ end }}",
        0.0,
        "instance:host.example.org:9100,job:node,",
    );
    check(
        "{{ range query \"up\" }}{{ if eq .Value 1.0 }}{{ continue }}{{ end }}{{ .Value }}{{ break }}{{ end }}",
        0.0,
        "0.5",
    );
    check(
        "{{ with query \"up\" }}{{ . | first | value | humanizePercentage }}{{ end }}",
        0.0,
        "100%",
    );
    check("{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" $labels.job }}", 0.0, "<node>");
    check(
        "{{ if and (eq $labels.job \"node\") (not (match \"^x\" $labels.job)) }}y{{ end }}",
        0.0,
        "y",
    );
}

#[test]
fn the_functions_of_prometheus() {
    for (text, value, want) in [
        ("{{ humanize $value }}", 0.0, "0"),
        ("{{ humanize $value }}", 1_234_567.0, "1.235M"),
        ("{{ humanize $value }}", 0.00021, "210u"),
        ("{{ humanize1024 $value }}", 1_048_576.0, "1Mi"),
        ("{{ humanizeDuration $value }}", 0.0, "0s"),
        ("{{ humanizeDuration $value }}", 1.0, "1s"),
        ("{{ humanizeDuration $value }}", 90_061.0, "1d 1h 1m 1s"),
        ("{{ humanizeDuration $value }}", -3661.0, "-1h 1m 1s"),
        ("{{ humanizeDuration $value }}", 0.0123, "12.3ms"),
        ("{{ humanizePercentage $value }}", 0.12345, "12.35%"),
        ("{{ humanizeTimestamp $value }}", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ toUpper $labels.job }}{{ title \"aa bB\" }}", 0.0, "NODEAa BB"),
        ("{{ reReplaceAll \"(.*):9100\" \"$1\" $labels.instance }}", 0.0, "host.example.org"),
        (
            "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}",
            0.0,
            "host.example.org host:9100",
        ),
        ("{{ graphLink \"up == 0\" }}", 0.0, "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
        ("{{ pathPrefix }} {{ now }}", 0.0, "/path 1.435781451781e+09"),
        ("{{ parseDuration \"1h30m\" }} {{ toDuration 90 }}", 0.0, "5400 1m30s"),
        ("{{ len $labels }} {{ index $labels \"job\" }} {{ slice \"abc\" 1 2 }}", 0.0, "2 node b"),
        ("{{ args 1 \"x\" }} {{ (args 1 \"x\").arg1 }}", 0.0, "map[arg0:1 arg1:x] x"),
    ] {
        check(text, value, want);
    }
}

#[test]
fn printf_as_go_does_it() {
    for (text, want) in [
        ("{{ printf \"%.2f|%5.1f|%-6.1f|\" $value $value $value }}", "3.24|  3.2|3.2   |"),
        ("{{ printf \"%d%%\" 5 }}", "5%"),
        ("{{ printf \"%d\" $value }}", "%!d(float64=3.24159)"),
        ("{{ printf \"%s\" $value }}", "%!s(float64=3.24159)"),
        ("{{ printf \"%s %v %q\" \"a\" true \"b\" }}", "a true \"b\""),
        ("{{ printf \"%d\" }}{{ printf \"x\" 1 }}", "%!d(MISSING)x%!(EXTRA int=1)"),
        ("{{ printf \"%05d %+d %x %e\" 42 42 255 $value }}", "00042 +42 ff 3.241590e+00"),
        ("{{ printf \"%.3g %g\" $value 1e9 }}", "3.24 1e+09"),
    ] {
        check(text, 3.24159, want);
    }
    check("{{ print 1 2 \"a\" \"b\" }}{{ println 1 \"a\" }}", 0.0, "1 2ab1 a\n");
}

#[test]
fn mistakes_are_errors() {
    for (text, part) in [
        ("{{ $labels.job", "unclosed action"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ if true }}", "unexpected EOF"),
        ("{{ nofunction 1 }}", "function \"nofunction\" not defined"),
        ("{{ $unknown }}", "undefined variable \"$unknown\""),
        ("{{ \"abc }}", "unterminated quoted string"),
        ("{{ break }}", "outside {{range}}"),
    ] {
        let error = expanded(text, 0.0).unwrap_err();
        assert!(matches!(error, TemplateError::Parse { .. }), "{text}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    for (text, part) in [
        (
            "{{ query \"none\" | first }}",
            "error calling first: first() called on vector with no elements",
        ),
        ("{{ gt $value 5 }}", "error calling gt: incompatible types for comparison"),
        ("{{ .Nothing }}", "can't evaluate field Nothing"),
        (
            "{{ humanize \"x\" }}",
            "error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        ("{{ query \"bad\" }}", "error calling query: no such query"),
    ] {
        let error = expanded(text, 0.0).unwrap_err();
        assert!(error.to_string().starts_with("error executing template __alert_X: "), "{error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn nothing_runs_away() {
    let nested = "{{ if true }}".repeat(5000);
    assert!(expanded(&nested, 0.0).is_err());
    assert!(expanded(&format!("{{{{ {} }}}}", "(".repeat(5000)), 0.0).is_err());
    let recursive = "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}";
    assert!(expanded(recursive, 0.0).is_err());
    let long = "{{ range query \"up\" }}".repeat(25) + "aaaaaaaa" + &"{{ end }}".repeat(25);
    assert!(expanded(&long, 0.0).is_err());
}

proptest! {
    #[test]
    fn foreign_templates_never_panic(text in "[{}$.|()a-z\"`%0-9 -]{0,60}", inner in "[ $.|()a-z\"%0-9:=,-]{0,30}") {
        let _ = expanded(&text, 1.0);
        let _ = expanded(&format!("{{{{{inner}}}}}"), 1.0);
        let _ = expanded(&format!("{{{{range query \"up\"}}}}{{{{{inner}}}}}{{{{end}}}}"), 1.0);
    }
}
