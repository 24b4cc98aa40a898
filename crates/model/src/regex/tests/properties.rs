//! Every way of matching against an automaton that is built straight from `regex-automata`'s
//! own parser, on patterns that mean the same in both.

use regex_automata::meta;
use regex_automata::util::syntax;

use super::*;

/// Rust's engine and parser, for patterns of ASCII.
fn oracle(pattern: &str) -> meta::Regex {
    meta::Builder::new()
        .syntax(syntax::Config::new().dot_matches_new_line(true))
        .build(&format!("^(?:{pattern})$"))
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// Patterns in which `.` and its neighbours, alternatives and repetitions are mixed.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        8 => "[a-cA]{1,3}",
        2 => Just("é".to_owned()),
        3 => Just(".*".to_owned()),
        3 => Just(".+".to_owned()),
        2 => Just(".".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just("(?i:ab)".to_owned()),
        1 => Just(String::new()),
        1 => Just("(?:^|a)".to_owned()),
        1 => Just("(?:$|b)".to_owned()),
        1 => Just(r"(?-u:\b)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            3 => prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            2 => inner.clone().prop_map(|part| format!("({part})")),
            1 => (inner.clone(), prop::sample::select(vec!["*", "+", "?", "{2}", "{1,2}", "{0}"]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
            1 => inner.prop_map(|part| format!("^{part}$")),
        ]
    })
}

fn value() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "A", "é", "\n", "ab"]), 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn matching_is_that_of_a_plain_automaton(
        pattern in pattern(),
        values in prop::collection::vec(value(), 8),
    ) {
        let expected = oracle(&pattern);
        let regex = regex(&pattern.replace("(?-u:\\b)", "\\b"));
        for value in values {
            prop_assert_eq!(regex.is_match(&value), expected.is_match(&value), "{} {:?}", pattern, value);
            if regex.is_match(&value) {
                prop_assert!(value.starts_with(regex.prefix().unwrap_or_default()));
                if let Some(set) = regex.set_matches() {
                    prop_assert!(set.contains(&value));
                }
            }
            if regex.matches_everything() {
                prop_assert!(expected.is_match(&value));
            }
            if regex.matches_all_but_empty() {
                prop_assert_eq!(expected.is_match(&value), !value.is_empty());
            }
        }
        for value in regex.set_matches().unwrap_or_default() {
            prop_assert!(expected.is_match(value), "{} {:?}", pattern, value);
        }
    }

    #[test]
    fn groups_are_those_of_a_plain_automaton(pattern in pattern(), value in value()) {
        let expected = oracle(&pattern);
        let regex = regex(&pattern.replace("(?-u:\\b)", "\\b"));
        let mut groups = expected.create_captures();
        expected.captures(&value, &mut groups);
        let text = |index| groups.get_group(index).map_or("", |span| &value[span.range()]);
        let expected = groups.is_match().then(|| format!("{}|{}", text(1), text(2)));
        prop_assert_eq!(regex.captures_expand(&value, "${1}|$2"), expected);
    }

    #[test]
    fn no_pattern_is_too_much(pattern in r"[\[\](){}?*+|\\^$.a-cPpQEx<>:iU0-9,&-]{0,30}", value in value()) {
        if let Ok(regex) = Regex::new(pattern.as_bytes()) {
            let matched = regex.is_match(&value);
            prop_assert_eq!(regex.captures_expand(&value, "$1").is_some(), matched);
        }
    }
}
