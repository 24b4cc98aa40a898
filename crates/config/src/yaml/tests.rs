//! Documents as Go's yaml.v3 reads them, and what is refused.

use super::{Out, parse};

/// The document in a compact form: scalars bare, quoted ones in quotes.
fn shape(node: &super::Node) -> String {
    match &node.data {
        super::Data::Scalar { text, plain: true } => text.clone(),
        super::Data::Scalar { text, .. } => format!("'{text}'"),
        super::Data::List(items) => {
            format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(","))
        }
        super::Data::Map(entries) => {
            let entry = |(key, value): &(_, _)| format!("{}:{}", shape(key), shape(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

fn check(text: &str, expected: &str) {
    let node = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(node.as_ref().map_or_else(|| "none".to_owned(), shape), expected, "{text:?}");
}

fn refused(text: &str, line: usize, message: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.line, line, "{text:?}: {error}");
    assert!(error.message.contains(message), "{text:?}: {error}");
}

#[test]
fn documents() {
    check("", "none");
    check("# only a comment\n", "none");
    check("---\n...\n", "none");
    check("a: 1\nb: 'x'\nc:\n", "{a:1,b:'x',c:~}");
    check("- a\n- b: [1, 2]\n", "[a,{b:[1,2]}]");
    check("a: 1\n---\nb: 2\n", "{a:1}");
    check("a: |\n  two\n  lines\n", "{a:'two\nlines\n'}");
    check("a: !!str 5\n", "{a:'5'}");
}

#[test]
fn anchors_and_merge_keys() {
    check("a: &x {k: 1}\nb: *x\n", "{a:{k:1},b:{k:1}}");
    check("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n", "{a:{k:1,l:2},b:{k:3,l:2}}");
    check("a: &x {k: 1}\nb: &y {l: 2}\nc:\n  <<: [*x, *y]\n", "{a:{k:1},b:{l:2},c:{k:1,l:2}}");
    refused("a:\n  <<: 5\n", 2, "map merge requires");
    refused("a: &x [*x]\n", 1, "alias");
}

#[test]
fn wrong_documents_name_their_line() {
    refused("a: 1\nb: 2\na: 3\n", 3, "mapping key \"a\" already defined");
    refused("a: [1, 2\nb: 3\n", 2, "");
    refused("a:\n\t- b\n", 2, "");
    refused("a: *nobody\n", 1, "");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let uses = vec![format!("*a{}", i - 1); 9].join(",");
        text.push_str(&format!("a{i}: &a{i} [{uses}]\n"));
    }
    let error = parse(&text).unwrap_err();
    assert!(error.message.contains("more than"), "{error}");
}

#[test]
fn deep_nesting_is_refused() {
    let error = parse(&"[".repeat(20_000)).unwrap_err();
    assert!(!error.message.is_empty());
    let text: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(parse(&text).is_err());
}

#[test]
fn what_is_written_reads_back_as_text() {
    for text in [
        "",
        "a",
        "true",
        "yes",
        "1",
        "1.5",
        "0x10",
        "null",
        "~",
        "1h30m0s",
        "15s",
        "1d",
        "-",
        "- a",
        "a: b",
        "a#b",
        " a",
        "\"q\"",
        "'",
        "line\nbreak",
        "tab\t",
        "ü",
        "*",
        "&a",
        "!t",
        "%",
        "@",
        "{a}",
        "[a]",
        "1e5",
        ".inf",
        "2001-01-01",
        "12:30",
        "./data",
        "/prometheus",
        "<hostname>",
        "collectors/",
        "a,b",
        "\u{7f}\u{1}",
        "5y",
        "1_000",
    ] {
        let written = Out::Map(vec![(text.to_owned(), Out::text(text))]).render();
        let node = parse(&written).unwrap().unwrap();
        let (key, value) = &node.map().unwrap()[0];
        for node in [key, value] {
            let read = if node.is_null() { "read as null" } else { node.scalar().unwrap() };
            assert_eq!(read, text, "{written:?}");
            let numeric = text.parse::<f64>().is_ok() || matches!(text, "true" | "yes");
            assert!(!(node.is_plain() && numeric), "{written:?} reads as another type");
        }
    }
}

#[test]
fn blocks_are_indented() {
    let out = Out::Map(vec![
        ("a".to_owned(), Out::Map(vec![("b".to_owned(), Out::Bare("1".to_owned()))])),
        ("c".to_owned(), Out::List(vec![Out::text("x"), Out::text("z")])),
        ("d".to_owned(), Out::List(Vec::new())),
        (
            "e".to_owned(),
            Out::List(vec![Out::Map(vec![
                ("f".to_owned(), Out::text("1")),
                ("g".to_owned(), Out::Map(Vec::new())),
            ])]),
        ),
    ]);
    let text = out.render();
    assert_eq!(text, "a:\n  b: 1\nc:\n  - x\n  - z\nd: []\ne:\n  - f: \"1\"\n    g: {}\n");
    check(&text, "{a:{b:1},c:[x,z],d:[],e:[{f:'1',g:{}}]}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c0-9:\\[\\]{},&*!|>%@#'\" \n\t~<?.\\\\]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_text_reads_back(text in proptest::prelude::any::<String>()) {
        let written = Out::Map(vec![("k".to_owned(), Out::text(&text))]).render();
        let node = parse(&written).unwrap().unwrap();
        proptest::prop_assert_eq!(node.map().unwrap()[0].1.scalar(), Some(text.as_str()));
    }
}
