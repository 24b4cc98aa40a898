//! Tests of label sets.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

#[test]
fn pairs_are_sorted_and_the_last_of_a_name_counts() {
    let set = labels(&[("b", "2"), ("a", "1"), ("b", "3"), ("c", "")]);
    assert_eq!(set.to_string(), r#"{a="1", b="3"}"#);
    assert_eq!((set.get("b"), set.get("c"), set.value("z")), (Some("3"), None, ""));
}

#[test]
fn long_values_keep_their_bytes() {
    for len in [0, 1, 254, 255, 256, 70_000] {
        let value = "é".repeat(len / 2) + &"x".repeat(len % 2);
        let set = labels(&[("a", &value), ("b", "end")]);
        assert_eq!(set.value("a"), value);
        assert_eq!(set.value("b"), "end");
    }
}

#[test]
fn order_is_by_label_and_a_prefix_comes_first() {
    let ordered = [
        labels(&[]),
        labels(&[("a", "1")]),
        labels(&[("a", "1"), ("b", "1")]),
        labels(&[("a", "1"), ("c", "0")]),
        labels(&[("a", "10")]),
        labels(&[("a", "2")]),
        labels(&[("aa", "1")]),
    ];
    for pair in ordered.windows(2) {
        assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
    }
}

#[test]
fn names_that_are_no_identifiers_are_printed_quoted() {
    assert_eq!(labels(&[("a.b", "x\"y\n")]).to_string(), r#"{"a.b"="x\"y\n"}"#);
}

#[test]
fn stable_hash_is_xxhash64_of_separated_text() {
    // Independent: the definition in words, over the concrete bytes.
    let want = xxhash_rust::xxh64::xxh64(b"__name__\xffup\xffjob\xffx\xff", 0);
    assert_eq!(labels(&[("job", "x"), ("__name__", "up")]).stable_hash(), want);
}

#[test]
fn the_builder_sets_removes_and_keeps_order() {
    let mut builder = LabelsBuilder::new(&labels(&[("b", "1"), ("d", "2")]));
    builder.set("c", "3").set("a", "4").remove("d").remove("none");
    assert_eq!(builder.build(), labels(&[("a", "4"), ("b", "1"), ("c", "3")]));
    assert_eq!(
        labels(&[("__name__", "n"), ("a", "1")]).without_metric_name(),
        labels(&[("a", "1")])
    );
}
