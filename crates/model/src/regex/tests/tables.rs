//! Tables of patterns.

use super::*;

#[track_caller]
fn check(pattern: &str, matching: &[&str], other: &[&str]) {
    let regex = regex(pattern);
    for value in matching {
        assert!(regex.is_match(value), "{pattern} should match {value:?}: {regex:?}");
    }
    for value in other {
        assert!(!regex.is_match(value), "{pattern} should not match {value:?}: {regex:?}");
    }
}

/// Where Rust's own syntax differs from Go's.
#[test]
fn go_syntax_not_rusts() {
    check("foo{bar}", &["foo{bar}"], &["foobar"]);
    check(r"\Qa.b\E", &["a.b"], &["axb"]);
    check(r"\Qa.b", &["a.b"], &["axb"]);
    check(r"x\Qab\E+", &["xab", "xabb"], &["xabab"]);
    check("[a[b]", &["[", "a", "b"], &["]", "[]"]);
    check("[a&&b]", &["&", "a", "b"], &["&&"]);
    check(r"[\w--a]", &["-", "."], &["!"]);
    check("[]a]", &["]", "a"], &["[]"]);
    check("[^]a]", &["b", "\n"], &["]", "a"]);
    check("[[.a.]]", &["[]", "a]", ".]"], &["a"]);
    check(r"\d+", &["12"], &["٣", ""]);
    check(r"\w+", &["a_1"], &["é"]);
    check(r"\s", &[" ", "\t", "\n", "\x0c", "\r"], &["\u{a0}", "\x0b"]);
    check(r"[[:space:]]", &["\x0b"], &["\u{a0}"]);
    check(r"\D\W\S", &["é٣x"], &["1  "]);
    check("(?i)k", &["K", "k", "\u{212a}"], &["x"]);
    check(r"(?i)\w", &["\u{212a}", "\u{17f}"], &["é"]);
    check(r"(?i)\W", &["é"], &["\u{212a}", "a"]);
    check("(?i)straße", &["STRAßE", "STRAẞE"], &["strasse"]);
    check("(?i)[a-c]x[^d]", &["BXe"], &["bxD", "dxe"]);
    check(r"\pN\p{Greek}\p{^Lu}\PL", &["٣αa1"], &["aαa1"]);
    check(r"\p{Any}", &["\n", "é"], &["ab"]);
    check(r"\p{Zl}", &["\u{2028}"], &[" "]);
    check("[[:word:][:^alpha:]]", &["a", "_", "é", "1"], &["ab"]);
    check(r"\x{41}\x42\103\07\0", &["ABC\u{7}\0"], &["ABC"]);
    check(r"(?P<n>a)(?<m>b)(?P<n>c)", &["abc"], &["ab"]);
    check(r"\-\_\@\/\ \<", &["-_@/ <"], &[""]);
    check("a{,2}", &["a{,2}"], &["a"]);
    check("a{2", &["a{2"], &["aa"]);
    check("a{02}", &["a{02}"], &["aa"]);
    check("}]", &["}]"], &[]);
    check("a{2}b{1,}c{0}", &["aab", "aabbb"], &["aabc", "ab"]);
    check("(?-s:.)", &["a"], &["\n"]);
    check(".(?-s).(?s).", &["\na\n"], &["a\na"]);
    check("(?m)a$\n^b", &["a\nb"], &["ab"]);
    check("a$\nb|a^b", &[], &["a\nb", "ab"]);
    check("(?U)a+?b*", &["aab", "a"], &["b"]);
    check(r"\bfoo\b.*\Bx", &["foo yx"], &["foox", "foo x"]);
    check(r"\Aa\z", &["a"], &["a\n"]);
    check("^a$", &["a"], &["a\n", "ba"]);
    check("a(?i)b(?-i)c", &["aBc", "abc"], &["Abc", "aBC"]);
    check("(a(?i)b)c", &["aBc"], &["aBC"]);
    check("a(?i)*", &["", "aa"], &["A"]);
    check("a*(?i)*", &["", "aaa"], &["A"]);
    check(r"\x{D800}|a", &["a"], &["\u{fffd}"]);
    check(r"[\x{D7FF}-\x{E000}]", &["\u{d7ff}", "\u{e000}"], &["a"]);
    check("", &[""], &["a"]);
    check("|a", &["", "a"], &["b"]);
    check("(|a)+", &["", "aa"], &["b"]);
    check("a|b|", &["", "a", "b"], &["ab"]);
    check("é|ü", &["é", "ü"], &["e"]);
    check("[é-ü]+", &["éü"], &["e"]);
    check("a**?".replace("**?", "*?").as_str(), &["", "aa"], &["b"]);
}

/// Error texts of Go for errors of every kind.
#[test]
fn errors_are_gos() {
    for (pattern, expected) in [
        ("(foo", "missing closing ): `(foo`"),
        ("a)b", "unexpected ): `a)b`"),
        ("x|(a|b", "missing closing ): `x|(a|b`"),
        ("[a-z", "missing closing ]: `[a-z`"),
        ("x[a-", "missing closing ]: `[a-`"),
        ("[]", "missing closing ]: `[]`"),
        ("[^", "missing closing ]: `[^`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        (r"[\x41-\x{40}]", r"invalid character class range: `\x41-\x{40}`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"\p{latin}", r"invalid character class range: `\p{latin}`"),
        (r"\p{Script=Greek}", r"invalid character class range: `\p{Script=Greek}`"),
        (r"\p{Grek}x", r"invalid character class range: `\p{Grek}`"),
        (r"\p{}", r"invalid character class range: `\p{}`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"\pX", r"invalid character class range: `\pX`"),
        (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("(?i)?", "missing argument to repetition operator: `?`"),
        ("({2}?)", "missing argument to repetition operator: `{2}?`"),
        ("x**", "invalid nested repetition operator: `**`"),
        ("x*+", "invalid nested repetition operator: `*+`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("x*???", "invalid nested repetition operator: `*???`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{1,1001}", "invalid repeat count: `{1,1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("a{99999999999999}?", "invalid repeat count: `{99999999999999}`"),
        ("(?:a{0,100}){0,100}", "invalid repeat count: `{0,100}`"),
        ("(((a{100}){1}){11})", "invalid repeat count: `{11}`"),
        ("(?:(?:x{20,}){20,}y){3}z", "invalid repeat count: `{3}`"),
        (r"\", "trailing backslash at end of expression: ``"),
        (r"[a\", "trailing backslash at end of expression: ``"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"a\1b", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"\x", r"invalid escape sequence: `\x`"),
        (r"\x4", r"invalid escape sequence: `\x4`"),
        (r"\x4g", r"invalid escape sequence: `\x4g`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{41", r"invalid escape sequence: `\x{41`"),
        (r"\x{4z}", r"invalid escape sequence: `\x{4z`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x) a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?i--s)a", "invalid or unsupported Perl syntax: `(?i--`"),
        ("(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?P", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
        ("(?P<>x)", "invalid named capture: `(?P<>`"),
        ("x(?<n", "invalid named capture: `(?<n`"),
        ("(?P<n x)", "invalid named capture: `(?P<n x)`"),
    ] {
        assert_eq!(error(pattern), format!("error parsing regexp: {expected}"), "{pattern}");
    }
}

#[test]
fn repetitions_up_to_a_thousand_are_fine() {
    check("a{1000}", &[&"a".repeat(1000)], &[&"a".repeat(999)]);
    check("(?:a{10}){100}", &[&"a".repeat(1000)], &[""]);
    check("(?:a{1000}){0}(?:b{0}){1000}", &[""], &["a"]);
    check("(?:a{2,}){1,500}", &["aaaa"], &["a"]);
}

#[test]
fn bytes_that_are_not_utf8() {
    let plain = Regex::new(b"a|\xff|b").unwrap();
    assert_eq!(plain.set_matches().unwrap(), ["a", "b"]);
    let error = Regex::new(b"a.\xffb").unwrap_err();
    assert_eq!(error.kind, RegexErrorKind::InvalidUtf8);
    assert_eq!(error.to_string(), "error parsing regexp: invalid UTF-8: `\u{fffd}b`");
}

/// Patterns that could cost much give an error, or cost little.
#[test]
fn bombs() {
    for pattern in [
        "(".repeat(20_000),
        ")".repeat(20_000),
        format!("{}{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{}x{}", "(a".repeat(20_000), ")?".repeat(20_000)),
        "[".repeat(20_000),
        "a".repeat(MAX_PATTERN_BYTES + 1),
        r"\pL{1000}".repeat(200),
        r"\pL".repeat(100_000),
        format!("[{}]", r"\pL".repeat(100_000)),
        format!("{}x{}", "(?:a|".repeat(100_000), ")".repeat(100_000)),
        format!("({}){{1000}}", "[a-zà-ü]x".repeat(1000)),
    ] {
        assert_ne!(error(&pattern), "no error", "{}", &pattern[..20]);
        assert!(error(&pattern).len() < 10_000);
    }
    let nested = format!("{}x{}", "(?:".repeat(20_000), ")".repeat(20_000));
    assert!(regex(&nested).is_match("x"), "groups that say nothing are no nesting");
    let nested = format!("{}x{}", "(?:a|".repeat(2_000), ")".repeat(2_000));
    assert!(regex(&nested).is_match("x"), "nor are alternatives of alternatives");
    let heavy = regex("(a*)*(a|aa)+(.*.*)*b(a{1,100}){1,10}$");
    assert!(!heavy.is_match(&"a".repeat(50_000)));
    let states = regex("(?:a|b)*a(?:a|b){500}c");
    let value = "ab".repeat(5_000);
    assert!(!states.is_match(&value));
}

#[test]
fn deep_patterns_fit_the_stack() {
    let shapes = [("(", "a)"), ("(a|", ")"), ("(a", ")?"), ("(?:a(b|", ")c)+")];
    for (open, close) in shapes {
        for depth in [60, 120, 240, 249] {
            let pattern = format!("{}x{}", open.repeat(depth), close.repeat(depth));
            if let Ok(regex) = Regex::new(pattern.as_bytes()) {
                regex.is_match("x");
                regex.captures_expand(&"a".repeat(depth), "$1");
            }
        }
    }
}

#[track_caller]
fn check_set(pattern: &str, expected: &[&str]) {
    let regex = regex(pattern);
    assert_eq!(regex.set_matches().unwrap_or_default(), expected, "{pattern}");
    for value in expected {
        assert!(regex.is_match(value));
    }
}

#[test]
fn finite_sets() {
    check_set("foo", &["foo"]);
    check_set("foo|bar|foo", &["bar", "foo"]);
    check_set("^(foo|bar)$", &["bar", "foo"]);
    check_set("(?:foo|ba(r|z))", &["bar", "baz", "foo"]);
    check_set("a[bc]d?", &["ab", "abd", "ac", "acd"]);
    check_set("prod-(eu|us)-[12]", &["prod-eu-1", "prod-eu-2", "prod-us-1", "prod-us-2"]);
    check_set(r"10\.0\.0\.1", &["10.0.0.1"]);
    check_set("", &[""]);
    check_set("|a", &["", "a"]);
    check_set("x{2,3}", &["xx", "xxx"]);
    for endless in ["a.", "a*", "(?i)a|b", "[a-z]{2}", r"\bfoo", "a(^b)", r"\d{3}"] {
        assert!(regex(endless).set_matches().is_none(), "{endless}");
    }
    let many: Vec<String> = (0..5000).map(|i| format!("pod-{i}")).collect();
    let regex = regex(&many.join("|"));
    assert_eq!(regex.set_matches().unwrap().len(), 5000);
    assert!(many.iter().all(|value| regex.is_match(value)) && !regex.is_match("pod-5000"));
    assert_eq!(regex.prefix(), Some("pod-"));
}

#[test]
fn prefixes() {
    for (pattern, expected) in [
        ("foo.*", Some("foo")),
        ("foo|fox", Some("fo")),
        ("(foo|fox)[a-z]+", Some("fo")),
        ("foo[a-z]?bar", Some("foo")),
        ("(foo)+x", Some("foo")),
        ("(foo)*x", None),
        ("(?i)foo.*", None),
        (".*foo", None),
        ("é.*|è.*", None),
        (r"\bfoo\b.*", Some("foo")),
        ("foo.*|", None),
    ] {
        assert_eq!(regex(pattern).prefix(), expected, "{pattern}");
    }
}

#[test]
fn whole_and_nonempty() {
    assert!(regex(".*").matches_everything() && regex("^.*$").matches_everything());
    assert!(regex("(.*)|a").matches_everything() && !regex("a.*").matches_everything());
    assert!(regex(".+").matches_all_but_empty() && !regex(".*").matches_all_but_empty());
    assert!(!regex("(.+)?").matches_all_but_empty() && !regex(".*").matches_all_but_empty());
    assert!(!regex("(?-s:.*)").matches_everything());
    check("(?-s:.*)", &["a"], &["\n"]);
    check(".+", &["\n"], &[""]);
}

#[test]
fn literals_with_gaps() {
    check("foo.*", &["foo", "foobar"], &["fo", "xfoo"]);
    check(".*foo", &["foo", "xfoo"], &["foox"]);
    check(".*foo.*", &["foo", "xfoox"], &["fo"]);
    check("foo.+bar", &["foo-bar", "fooébar"], &["foobar"]);
    check("foo.*foo", &["foofoo", "foo foo"], &["foo"]);
    check("a.+a.*a", &["abaa", "aaaa"], &["aaa", "aba"]);
    check("(api|web)-.*", &["api-", "web-x"], &["api", "db-x"]);
    check("(api|web).*-(eu|us)", &["api-eu", "web1-us"], &["api-"]);
    check("foo(-.+)?", &["foo", "foo-x"], &["foo-"]);
    check(".+.+", &["ab", "éé"], &["a", "é"]);
    check(".*.+.*", &["a"], &[""]);
    check(".", &["a", "é"], &["", "ab"]);
}

#[track_caller]
fn check_expand(pattern: &str, value: &str, template: &str, expected: Option<&str>) {
    assert_eq!(regex(pattern).captures_expand(value, template).as_deref(), expected);
}

#[test]
fn templates() {
    check_expand("(.*)-(.*)", "a-b-c", "$2/$1", Some("c/a-b"));
    check_expand("(.*?)-(.*)", "a-b-c", "$2/$1", Some("b-c/a"));
    check_expand("a(.*)b", "a\nb", "[$1]", Some("[\n]"));
    check_expand("(a)(b)?", "a", "$1$2$3$4x", Some("a"));
    check_expand("(a)(b)?", "a", "${1}x$$1$", Some("ax$1$"));
    check_expand("(a)(b)?", "a", "$1x", Some(""));
    check_expand("(a)(b)?", "a", "$01$-${1${}$ é", Some("$-${1${}$ é"));
    check_expand("(?P<first>a+)(?<rest>.*)", "aab", "${rest}$first", Some("baa"));
    check_expand("(?P<n>x)?(?P<n>y)", "y", "$n", Some("y"));
    check_expand("(a)", "a", "$0-$1", Some("a-a"));
    check_expand("(a)", "b", "$1", None);
    check_expand("foo", "foo", "bar", Some("bar"));
    check_expand("foo", "foo", "", Some(""));
    check_expand("(é+)", "éé", "$1é", Some(""));
    check_expand("(é+)", "éé", "${1}é", Some("ééé"));
    check_expand("((a)|(b))*", "ab", "$1,$2,$3", Some("b,a,b"));
    check_expand("a{0}(b){0}(c)", "c", "$1.$2", Some(".c"));
    check_expand("(a|ab)(c|bcd)(d*)", "abcd", "$1.$2.$3", Some("a.bcd."));
}

/// The parser corpus' regex errors, which are part of PromQL's messages.
#[test]
fn errors_of_the_corpus() {
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/parser/hand.jsonl");
    let Ok(text) = std::fs::read_to_string(folder) else {
        eprintln!("SKIPPED: {folder} is missing");
        return;
    };
    let mut seen = 0;
    for line in text.lines() {
        let expression = field(line, "expr").unwrap_or_default();
        let Some(pattern) = raw_pattern(&expression) else {
            continue;
        };
        let message = field(line, "error").unwrap_or_default();
        match message.split_once("error parsing regexp: ") {
            Some((_, expected)) => {
                assert_eq!(error(pattern), format!("error parsing regexp: {expected}"));
                seen += 1;
            }
            None => assert_eq!(error(pattern), "no error", "{pattern}"),
        }
    }
    assert!(seen > 20, "{seen} errors");
}

/// The pattern of an expression like ``{a=~`...`}``.
fn raw_pattern(expression: &str) -> Option<&str> {
    expression.strip_prefix("{a=~`")?.strip_suffix("`}")
}

/// A string field of a JSON object on one line, with the escapes that occur.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(&format!("\"{name}\": \""))?;
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let _ =
                        write!(out, "{}", char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}
