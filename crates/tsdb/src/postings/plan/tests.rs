//! The plan against asking every series.

use std::collections::BTreeMap;

use model::Labels;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::values::{SERIES_TO_SAMPLE, label_names_for_matchers, label_values_for_matchers};
use super::*;

/// The simplest index: all series in a vector.
struct Naive(Vec<Labels>);

impl Naive {
    fn lists(&self, name: &str) -> BTreeMap<&str, Vec<u32>> {
        let mut lists: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (i, labels) in self.0.iter().enumerate() {
            if let Some(value) = labels.get(name) {
                lists.entry(value).or_default().push(i as u32);
            }
        }
        lists
    }
}

impl IndexPostings for Naive {
    fn all_postings(&self) -> Result<PostingsList<'_>, TsdbError> {
        Ok(PostingsList::Numbers((0..self.0.len() as u32).collect()))
    }

    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError> {
        let list = self.lists(name).remove(value).unwrap_or_default();
        Ok(PostingsList::Numbers(list.into()))
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<PostingsList<'_>>, TsdbError> {
        let lists = self.lists(name).into_iter().filter(|(v, _)| v.starts_with(prefix));
        let lists = lists.filter(|(v, _)| keep(v));
        Ok(lists.map(|(_, list)| PostingsList::Numbers(list.into())).collect())
    }

    fn value_count(&self, name: &str) -> usize {
        self.lists(name).len()
    }

    fn label_names(&self) -> Result<Vec<String>, TsdbError> {
        let mut names: Vec<_> =
            self.0.iter().flat_map(|l| l.iter().map(|l| l.name.to_owned())).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn series_count_with(&self, name: &str) -> Option<usize> {
        // Names with an even length are counted, so that both ways are taken.
        name.len().is_multiple_of(2).then(|| self.lists(name).values().map(Vec::len).sum())
    }
}

impl SeriesLabels for Naive {
    fn series_labels(
        &self,
        series: u32,
        visit: &mut dyn FnMut(&str, &str),
    ) -> Result<(), TsdbError> {
        self.0[series as usize].iter().for_each(|l| visit(l.name, l.value));
        Ok(())
    }
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let name = prop::sample::select(vec!["a", "b", "c", "cc", "zz", "none"]);
    let value = prop::sample::select(vec![
        "",
        "1",
        "2",
        "x1",
        ".*",
        ".+",
        "1|2",
        "x.*",
        "x(1|2)",
        "1|",
        "^1$",
        "[0-9]",
        "(x1)?",
        "nope",
        "",
        ".+",
        "(1|2|3)(4|5|6)(7|8|9)?",
        "1.*",
        "x?[123]?",
    ]);
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

fn series() -> impl Strategy<Value = Vec<Labels>> {
    let value = || prop::sample::select(vec!["", "1", "2", "3", "x1", "x2", "x3", "xy"]);
    let labels = (value(), value(), 0u32..200).prop_map(|(a, b, c)| {
        let c = c.to_string();
        let cc = if c.len() == 2 { c.as_str() } else { "" };
        Labels::from_pairs([("a", a), ("b", b), ("c", c.as_str()), ("cc", cc), ("zz", "z")])
    });
    vec(labels, 0..60).prop_map(|mut series| {
        series.sort();
        series.dedup();
        series
    })
}

proptest! {
    #[test]
    fn the_plan_finds_what_asking_each_series_finds(series in series(), matchers in vec(matcher(), 0..4)) {
        let naive = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.value(m.name())));
        let want: Vec<u32> =
            (0u32..).zip(&series).filter(|(_, l)| naive(l)).map(|(i, _)| i).collect();
        let mut names: Vec<_> = want
            .iter()
            .flat_map(|&i| series[i as usize].iter().map(|l| l.name.to_owned()))
            .collect();
        names.sort_unstable();
        names.dedup();
        let values = |name: &str| {
            let mut values: Vec<_> =
                want.iter().filter_map(|&i| series[i as usize].get(name).map(str::to_owned)).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let (a, c, cc) = (values("a"), values("c"), values("cc"));
        let index = Naive(series);
        prop_assert_eq!(postings_for_matchers(&index, &matchers).unwrap(), want);
        prop_assert_eq!(label_names_for_matchers(&index, &matchers, 0).unwrap(), names);
        prop_assert_eq!(label_values_for_matchers(&index, "a", &matchers, 0).unwrap(), a);
        prop_assert_eq!(label_values_for_matchers(&index, "cc", &matchers, 0).unwrap(), cc);
        let limited = label_values_for_matchers(&index, "c", &matchers, 2).unwrap();
        prop_assert_eq!(limited, &c[..c.len().min(2)]);
    }
}

#[test]
fn names_beyond_the_sample_are_found_by_their_lists() {
    let mut series: Vec<_> = (0..SERIES_TO_SAMPLE + 10)
        .map(|i| Labels::from_pairs([("a", format!("{i:06}").as_str()), ("job", "x")]))
        .collect();
    series.push(Labels::from_pairs([("a", "z"), ("job", "x"), ("late", "1")]));
    series.push(Labels::from_pairs([("other", "1")]));
    let index = Naive(series);
    let names = label_names_for_matchers(&index, &[Matcher::equal("job", "x")], 0).unwrap();
    assert_eq!(names, ["a", "job", "late"]);
}

#[test]
fn values_that_are_not_text_match_no_series() {
    let index = Naive(vec![Labels::from_pairs([("a", "1")])]);
    let find = |op| {
        let matcher = Matcher::new(op, "a", b"\xff").unwrap();
        postings_for_matchers(&index, &[matcher]).unwrap()
    };
    assert_eq!(find(MatchOp::Equal), [] as [u32; 0]);
    assert_eq!(find(MatchOp::NotEqual), [0]);
}
