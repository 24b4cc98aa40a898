//! Matchers against a naive filter.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::shards::Location;
use super::*;

type LabelMap = BTreeMap<&'static str, &'static str>;

const NAMES: [&str; 3] = ["a", "b", "c"];
const VALUES: [&str; 4] = ["x", "y", "xy", "z"];

fn label_maps() -> impl Strategy<Value = Vec<LabelMap>> {
    let map = prop::collection::btree_map(
        prop::sample::select(&NAMES[..]),
        prop::sample::select(&VALUES[..]),
        0..4,
    );
    prop::collection::vec(map, 0..60)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let plain = (
        prop::sample::select(vec!["a", "b", "c", "d"]),
        prop::sample::select(vec!["", "x", "y", "nothing"]),
        any::<bool>(),
    );
    let plain = plain.prop_map(|(name, value, negate)| {
        let op = if negate { MatchOp::NotEqual } else { MatchOp::Equal };
        Matcher::new(op, name, value).unwrap()
    });
    let patterns = vec!["", ".*", ".+", "x|y", "x.*", "x?", "[^x]*", "xy|"];
    let regex = (
        prop::sample::select(vec!["a", "b", "c", "d"]),
        prop::sample::select(patterns),
        any::<bool>(),
    );
    let regex = regex.prop_map(|(name, pattern, negate)| {
        let op = if negate { MatchOp::NotRegex } else { MatchOp::Regex };
        Matcher::new(op, name, pattern).unwrap()
    });
    prop::collection::vec(prop_oneof![plain, regex], 0..4)
}

proptest! {
    #[test]
    fn matches_as_a_filter_does(series in label_maps(), matchers in matchers()) {
        let mut symbols = Symbols::new(0);
        let mut postings = Postings::default();
        for (i, labels) in series.iter().enumerate() {
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (symbols.intern(n), symbols.intern(v))).collect();
            postings.add(Location::new(0, i as u32), pairs.into_iter());
        }
        let satisfies = |labels: &LabelMap| {
            matchers.iter().all(|m| m.matches(labels.get(m.name()).copied().unwrap_or("")))
        };
        let want: Vec<u32> =
            (0..series.len()).filter(|&i| satisfies(&series[i])).map(|i| i as u32).collect();
        prop_assert_eq!(matching_numbers(&symbols, &postings, &matchers), want);
    }

    #[test]
    fn common_numbers_by_walking_and_by_galloping(
        few in prop::collection::btree_set(0u32..5000, 0..20),
        many in prop::collection::btree_set(0u32..5000, 0..2000),
    ) {
        let many: Vec<u32> = many.into_iter().collect();
        let want: Vec<u32> = few.iter().copied().filter(|n| many.contains(n)).collect();
        let mut common: Vec<u32> = few.iter().copied().collect();
        keep_common(&mut common, &many);
        prop_assert_eq!(&common, &want);
        let mut removed: Vec<u32> = few.iter().copied().collect();
        remove_common(&mut removed, &many);
        prop_assert_eq!(removed.len() + common.len(), few.len());
        prop_assert!(removed.iter().all(|n| !many.contains(n)));
    }
}
