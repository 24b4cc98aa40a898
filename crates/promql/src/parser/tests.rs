//! Tests of the parser beyond the corpora: positions, limits, entry points, robustness.

use proptest::prelude::*;

use super::*;
use crate::ast::{BinaryOp, DurationContext, DurationSpec, ValueType, Visit};
use crate::position::PositionRange;
use crate::{ast_json, prettier};

fn parse(query: &str) -> Expr {
    parse_expr(query, &ParserOptions::all()).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn error(query: impl AsRef<[u8]>) -> String {
    parse_expr(query, &ParserOptions::all()).unwrap_err().to_string()
}

/// Runs `test` on a thread with the stack of a worker thread.
fn with_2_mib_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

/// Does with a query what a server does with it, apart from evaluation.
fn exercise(query: &[u8]) -> Option<String> {
    let expr = parse_expr(query, &ParserOptions::all()).ok()?;
    let text = expr.to_string();
    assert_eq!(expr.clone(), expr);
    let _ = ast_json::to_json(&expr);
    let _ = prettier::prettify(&expr);
    let mut nodes = 0_usize;
    expr.visit(&mut |_| {
        nodes += 1;
        Visit::Children
    });
    assert!(nodes <= query.len());
    Some(text)
}

#[test]
fn nodes_know_their_bytes() {
    let query = "sum by (a) (rate(x{e=\"ü\"}[5m] offset 1m)) /\n  - (y @ 5)";
    let mut texts = Vec::new();
    parse(query).visit(&mut |expr| {
        let PositionRange { start, end } = expr.position();
        texts.push(query.as_bytes()[start as usize..end as usize].to_vec());
        Visit::Children
    });
    let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let want = [
        query,
        "sum by (a) (rate(x{e=\"ü\"}[5m] offset 1m))",
        "rate(x{e=\"ü\"}[5m] offset 1m)",
        "x{e=\"ü\"}[5m] offset 1m",
        "- (y @ 5)",
        "(y @ 5)",
        "y @ 5",
    ];
    assert_eq!(texts, want);
}

#[test]
fn strings_keep_bytes() {
    let Expr::StringLiteral(text) = parse(r#""\xff\u00e9""#) else { panic!("no string") };
    assert_eq!(text.value, b"\xff\xc3\xa9");
    assert_eq!(Expr::StringLiteral(text).to_string(), r#""\xffé""#);
}

#[test]
fn errors_have_positions_and_messages() {
    let parse_error = parse_expr("a +\n  é", &ParserOptions::default()).unwrap_err();
    assert_eq!(parse_error.pos().start, 6);
    assert_eq!(parse_error.location(), "2:3");
    assert_eq!(parse_error.message(), "unexpected character: 'é'");
    assert_eq!(parse_error.to_string(), "2:3: parse error: unexpected character: 'é'");
    assert_eq!(error(b"a\xff"), "1:2: parse error: unexpected character: '\u{fffd}'");
}

#[test]
fn deep_nesting_is_refused_and_shallow_enough_nesting_is_not() {
    with_2_mib_stack(|| {
        let too_deep = "expression is nested too deeply, the limit is 1000 levels";
        let calls = |depth: usize| format!("{}x{}", "abs(".repeat(depth), ")".repeat(depth));
        let parens = |depth: usize| format!("{}x{}", "(".repeat(depth), ")".repeat(depth));
        let rights = |depth: usize| format!("{}x", "x ^ ".repeat(depth));
        let signs = |depth: usize| format!("{}x", "-".repeat(depth));
        let sums =
            |depth: usize| format!("{}x{}", "sum by (a) (1 + ".repeat(depth), ")".repeat(depth));
        let mixed = |depth: usize| {
            let open = "a or b and c == d + e * f ^ -(".repeat(depth);
            format!("{open}x{}", ")".repeat(depth))
        };
        let subqueries = |depth: usize| {
            format!("{}x{}", "rate((1 + ".repeat(depth / 2), ")[1m:])".repeat(depth / 2))
        };
        let durations = |depth: usize| format!("x[{}1m{}]", "(".repeat(depth), ")".repeat(depth));
        let minuses = |depth: usize| format!("x offset {}1m", "-".repeat(depth));
        let bars: [&dyn Fn(usize) -> String; 9] =
            [&calls, &parens, &rights, &signs, &sums, &mixed, &subqueries, &durations, &minuses];
        for query in bars {
            assert!(error(query(20_000)).contains(too_deep), "{}", &query(2));
            assert!(exercise(query(120).as_bytes()).is_some(), "{}", &query(2));
        }
        let deepest: [(&dyn Fn(usize) -> String, usize); 8] = [
            (&calls, 999),
            (&parens, 999),
            (&rights, 999),
            (&signs, 999),
            (&durations, 999),
            (&sums, 499),
            (&mixed, 124),
            (&subqueries, 499),
        ];
        for (query, depth) in deepest {
            assert!(exercise(query(depth).as_bytes()).is_some(), "{}", &query(2));
        }
        assert!(error("(".repeat(20_000)).contains(too_deep));
        assert_eq!(error("[".repeat(20_000)), "1:1: parse error: unexpected \"[\"");
        assert!(error(format!("x{}", "[1m:]".repeat(20_000))).contains(too_deep));
        assert!(error(format!("x[1m{}]", " + 1m".repeat(20_000))).contains(too_deep));
        assert!(error(format!("x{}", "[1m:]".repeat(900))).contains("got matrix instead"));
    });
}

#[test]
fn long_chains_are_linear_and_need_no_stack() {
    with_2_mib_stack(|| {
        let chain = format!("x{}", " + x".repeat(20_000));
        assert_eq!(exercise(chain.as_bytes()), Some(chain.clone()));
        let ors = format!("x{}", " or on (a) rate(x[5m])".repeat(20_000));
        assert_eq!(exercise(ors.as_bytes()), Some(ors.clone()));
        let products = format!("1{}", " * 2 + 1".repeat(20_000));
        assert_eq!(exercise(products.as_bytes()), Some(products.clone()));
        let expr = parse(&chain);
        let Expr::Binary(binary) = &expr else { panic!("no operation") };
        assert_eq!(binary.left_chain().count(), 20_000);
        assert!(format!("{expr:?}").len() > 20_000);
    });
}

/// A quarter of a megabyte of anything must be refused or accepted in well under a second; a quadratic parser
/// would run for hours here.
#[test]
fn large_queries_end() {
    let size = 1 << 18;
    let signs = format!("{}x + ", "-".repeat(990));
    let parens = format!("{}x{} + ", "-(".repeat(450), ")".repeat(450));
    for piece in [
        &*signs,
        &parens,
        "x{a=\"b\"} + ",
        "sum(",
        "x,",
        "{a=\"b\",",
        "((((",
        "a b ",
        "\"",
        "1 + ",
        "- ",
        "#\n",
    ] {
        exercise((piece.repeat(size / piece.len()) + "x").as_bytes());
        // Fewer than there may be operands.
        let query = piece.repeat(size / 4 / piece.len()) + "x";
        let is_query = piece.ends_with("+ ") || piece.starts_with('#');
        assert_eq!(exercise(query.as_bytes()).is_some(), is_query, "{piece}");
    }
    let labels = (0..50_000).map(|i| format!("l{i}=\"v\",")).collect::<String>();
    assert!(exercise(format!("x{{{labels}}}").as_bytes()).is_some());
    let on = (0..50_000).map(|i| format!("l{i},")).collect::<String>();
    assert!(
        exercise(format!("x * on({on}) group_left(x,{}) y", on.replace('l', "m")).as_bytes())
            .is_some()
    );
    let args = "\"a\",".repeat(90_000);
    assert!(exercise(format!("label_join(x, {args} \"b\")").as_bytes()).is_some());
}

/// What a query holds before it runs is bounded: 100,000 operands take about 50 MB, and a pattern
/// of a few bytes may stand for an automaton of 4 MB.
#[test]
fn queries_that_would_take_too_much_memory_are_refused() {
    let too_long = "parse error: expression is too long, the limit is 100000 operands";
    for query in [
        format!("1{}", "+1".repeat(100_000)),
        format!("x{{{}}}", "a=\"b\",".repeat(100_001)),
        format!("label_join(x{})", ",\"a\"".repeat(100_000)),
    ] {
        assert!(error(query).ends_with(too_long));
    }
    let patterns = |count: usize| {
        let matcher = |i| format!("a=~\"x{i}(.{{1,900}}[a-z]{{1,900}})\",");
        format!("x{{{}}}", (0..count).map(matcher).collect::<String>())
    };
    assert!(exercise(patterns(1).as_bytes()).is_some());
    assert!(error(patterns(1000)).ends_with("the regular expressions are too large together"));
}

#[test]
fn formatted_queries_split_long_lines() {
    for (query, want) in
        [("sum(rate(x[5m]))by(a)", "sum by (a) (rate(x[5m]))"), ("-x{a=\"b\"}", "-x{a=\"b\"}")]
    {
        assert_eq!(prettier::prettify(&parse(query)).unwrap(), want);
    }
    let long = "a".repeat(60);
    for (query, want) in [
        (
            format!("topk(5, rate({long}{{l=\"v\"}}[5m] offset 1h)) / -abs({long} + {long})"),
            format!(
                "  topk(5, rate({long}{{l=\"v\"}}[5m] offset 1h))\n/\n  -abs(\n      {long}\n    +\n      {long}\n  )"
            ),
        ),
        (
            format!("(b + c + {long} == bool on (d) {long})[5m:]"),
            format!("(\n    b + c + {long}\n  == bool on (d)\n    {long}\n)[5m:]"),
        ),
        (
            format!("sum without (q) ({long}{{l=\"v\"}} + {long}{{l=\"v\"}})"),
            format!("sum without (q) (\n    {long}{{l=\"v\"}}\n  +\n    {long}{{l=\"v\"}}\n)"),
        ),
    ] {
        assert_eq!(prettier::prettify(&parse(&query)).unwrap(), want, "{query}");
    }
    let slope = parse(&format!("x{}", " + xxxxxxxxxxxxxxxxxxxx".repeat(20_000)));
    assert_eq!(prettier::prettify(&slope), Err(prettier::FormattedTooLarge));
}

#[test]
fn durations_resolve_when_the_query_runs() {
    let ctx = DurationContext { step_ms: 15_000, range_ms: 3_600_000 };
    let resolve = |query: &str| {
        let Expr::MatrixSelector(matrix) = parse(query) else { panic!("no range: {query}") };
        matrix.range.resolve_positive_ms(ctx).map_err(|error| error.to_string())
    };
    for (query, want) in [
        ("x[5m]", Ok(300_000)),
        ("x[step() * 4]", Ok(60_000)),
        ("x[max_of(range() / 2, 5m)]", Ok(1_800_000)),
        ("x[-2 ^ 2 + 10]", Ok(6_000)),
        ("x[7 % 4 - 1.5]", Ok(1_500)),
        ("x[step() - 15]", Err("2:13: duration must be greater than 0")),
        ("x[1 / (step() - 15)]", Err("2:18: division by zero")),
        ("x[1 % (step() - 15)]", Err("2:18: modulo by zero")),
        ("x[(0 - 1) ^ 0.5]", Err("3:15: duration is NaN or infinite")),
        ("x[1e9 * step()]", Err("2:14: duration is out of range")),
    ] {
        assert_eq!(resolve(query), want.map_err(str::to_owned), "{query}");
    }
    let Expr::VectorSelector(selector) = parse("x offset -step()") else { panic!("no selector") };
    let offset: &DurationSpec = selector.offset.as_ref().unwrap();
    assert_eq!(offset.resolve_signed_ms(ctx), Ok(-15_000));
}

/// The extent of an offset follows Prometheus' grammar: one operand, unless it starts with a
/// parenthesis or two signs.
#[test]
fn offsets_end_where_prometheus_ends_them() {
    let is_sum = |query: &str| matches!(parse(query), Expr::Binary(_));
    for query in
        ["x offset 5m + 1", "x offset -5m + 1", "x offset -(5m) + 1", "x offset step() + 1"]
    {
        assert!(is_sum(query), "{query}");
    }
    for query in ["x offset (5m) + 1", "x offset --5m + 1"] {
        assert!(!is_sum(query), "{query}");
    }
}

#[test]
fn types_are_known() {
    for (query, want) in [
        ("1 + 2", ValueType::Scalar),
        ("1 + x", ValueType::Vector),
        ("-(1 + 2)", ValueType::Scalar),
        ("\"a\"", ValueType::String),
        ("x[5m]", ValueType::Matrix),
        ("x[5m:]", ValueType::Matrix),
        ("time()", ValueType::Scalar),
    ] {
        assert_eq!(parse(query).value_type(), want, "{query}");
    }
    let Expr::Binary(binary) = parse("a - b - c") else { panic!("no operation") };
    assert_eq!(binary.op, BinaryOp::Sub);
    assert!(matches!(binary.lhs, Expr::Binary(_)));
}

#[test]
fn metrics_and_selectors_have_entry_points() {
    let labels = parse_metric(r#"a{c="d", "é"="f"}"#).unwrap();
    let labels: Vec<_> = labels.iter().map(|label| (label.name, label.value)).collect();
    assert_eq!(labels, [("__name__", "a"), ("c", "d"), ("é", "f")]);
    assert_eq!(parse_metric("").unwrap(), Labels::empty());
    let text = |selector: &str| {
        let matchers = parse_metric_selector(selector).map_err(|error| error.to_string())?;
        Ok::<_, String>(matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    assert_eq!(text(r#"x{a!="b"}"#).unwrap(), r#"a!="b",__name__="x""#);
    assert_eq!(text(r#"{"x"}"#).unwrap(), r#"__name__="x""#);
    assert_eq!(text("{}").unwrap(), "");
    for (selector, want) in [
        ("x[5m]", "1:2: parse error: unexpected \"[\""),
        ("x offset 5m", "1:3: parse error: unexpected <offset>"),
        ("1", "1:1: parse error: unexpected number \"1\""),
        ("", "unknown position: parse error: unexpected end of input"),
        ("x y", "1:3: parse error: unexpected identifier \"y\""),
    ] {
        assert_eq!(text(selector).unwrap_err(), want, "{selector}");
    }
    for (metric, want) in [
        ("a{b=1}", "1:5: parse error: unexpected character inside braces: '1'"),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label set, expected \"=\""),
        ("a{b=\"\\xff\"}", "1:5: parse error: label names and values must be valid UTF-8"),
    ] {
        assert_eq!(parse_metric(metric).unwrap_err().to_string(), want, "{metric}");
    }
}

const SEEDS: [&str; 24] = [
    "sum by (job, \"é\") (rate(http_requests_total{job=~\"a.*\",x!=\"\"}[5m] offset -1m))",
    "a + on (b) group_left (c) fill_right (-1.5) d",
    "x[1h:30s] @ end() offset 2d",
    "x[step() * 2 + min_of(1m, range())] smoothed",
    "histogram_quantile(0.9, x) >bool 5 and ignoring () y unless z",
    "label_replace(x, \"a\", '$1', `b\\d`, \"\\x41\\u00e9\\377\")",
    "-2 ^ -x ^ 3 % 4 atan2 5",
    "topk without (a) (5, x) </ 3 >/ 4",
    "x offset -(1m + 2) or y offset --3",
    "{\"metric.name\", a=\"b\",} # comment\n * 0x1F",
    "count_values(\"v\", x) != 1_000.5e3",
    "info(x, {a=\"b\"})",
    "Inf + NaN - 1h30m5s7ms",
    "quantile_over_time(0.5, x[5m:])",
    "time() == bool vector(1)",
    "(((x)))[5m:1m]",
    "start() - end()",
    "x @ -1.5 anchored",
    "absent(sum(x) by (y))",
    "a </ b >/ c <= d",
    "sum(offset) by (offset) offset",
    "x{a=\"\u{1f600}\"}",
    "group(x) fill (3)",
    "limit_ratio(-0.5, x)",
];

const PIECES: [&str; 40] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "`",
    "\\",
    "#",
    "\n",
    " ",
    "@",
    "offset ",
    "-",
    "+",
    "^",
    "==",
    "!",
    "=~",
    "5m",
    "0x",
    "1e",
    "._",
    "step()",
    "by",
    "on(",
    "bool ",
    "inf",
    "\u{fffd}",
    "é",
    "\0",
    "sum",
    "start()",
    "min_of(",
    "smoothed",
    "group_left",
];

/// `--3 * 31` is one offset, `3 * 31` an offset and a product.
#[test]
fn printed_offsets_mean_the_same() {
    for (query, printed) in [
        ("y offset --3 * 0x1F", "y offset (3 * 31)"),
        ("y offset 3 * 31", "y offset 3s * 31"),
        ("y offset -step() * 2", "y offset -step() * 2"),
    ] {
        let text = parse(query).to_string();
        assert_eq!(text, printed);
        assert_eq!(parse(&text).to_string(), printed, "read again");
    }
}

/// A seed with pieces inserted, bytes changed and parts cut out.
fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let edit =
        (0_usize..4, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    let edits = prop::collection::vec(edit, 0..8);
    (0..SEEDS.len(), 0..SEEDS.len(), edits).prop_map(|(seed, other, edits)| {
        let mut text = SEEDS[seed].as_bytes().to_vec();
        for (kind, at, pick, byte) in edits {
            let at = at.index(text.len() + 1);
            match kind {
                0 => drop(text.splice(at..at, PIECES[pick.index(PIECES.len())].bytes())),
                1 if at < text.len() => text[at] = byte,
                2 => drop(text.drain(at..text.len().min(at + 1 + usize::from(byte % 8)))),
                _ => text
                    .splice(at.., SEEDS[other].bytes().skip(pick.index(SEEDS[other].len())))
                    .for_each(drop),
            }
        }
        text
    })
}

/// Well-formed expressions of vectors, scalars and durations.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "x",
        "{a=\"b\"}",
        "x{c!~\"d+\"}",
        "x offset 1h",
        "x @ 5",
        "x offset -step()",
        "sum",
        "x smoothed",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 60, 3, |inner| {
        let op = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "==",
            "!= bool",
            "</",
            "and",
            "or on (a)",
            "unless ignoring (b)",
            "* on (a, \"b.c\") group_left (d)",
            "- fill_left (2)",
        ]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("sum by (a) ({a})")),
            inner.clone().prop_map(|a| format!("topk(3, {a})")),
            inner.clone().prop_map(|a| format!("rate({a}[5m:1m] offset 1m)")),
            inner.clone().prop_map(|a| format!("(({a}) + 2 ^ 1.5 * 3m)")),
            inner.prop_map(|a| format!("label_replace({a}, \"a\", \"\\xff\", `b`, \"c\")")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Any bytes give an answer, and what is accepted prints as something that is accepted and
    /// prints alike.
    #[test]
    fn mutants_do_no_harm(query in mutant()) {
        if let Some(text) = exercise(&query) {
            // Known to print as something else, here as in Prometheus.
            prop_assume!(!text.contains(", )") && !text.contains("info( "));
            prop_assume!(!text.contains("Inf ^"));
            prop_assert_eq!(exercise(text.as_bytes()), Some(text));
        }
        let _ = parse_metric(&query);
        let _ = parse_metric_selector(&query);
        let _ = crate::series_desc::parse_series_desc(&query);
    }

    /// Printing and parsing again gives the same tree but for positions.
    #[test]
    fn printed_expressions_parse_to_the_same(query in expression()) {
        let expr = parse_expr(&query, &ParserOptions::all());
        if let Ok(expr) = expr {
            let text = expr.to_string();
            let again = parse(&text);
            let json = ast_json::to_json(&expr).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            prop_assert_eq!(json, ast_json::to_json(&again).unwrap());
            prop_assert_eq!(&text, &again.to_string());
            let pretty = prettier::prettify(&expr).unwrap();
            prop_assert_eq!(&text, &parse(&pretty).to_string());
        }
    }
}
