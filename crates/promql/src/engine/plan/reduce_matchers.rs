//! Fewer and cheaper matchers that select the same series.
//!
//! ```text
//! x=~"a"        x="a"            x=~".*"           (nothing)
//! x!~"a"        x!="a"           x=~".+"           x!=""
//! x="a",x=~"a|b"  x="a"          x="a",x!="b"      x="a"
//! ```

use model::{MatchOp, Matcher};

use super::Plan;

/// Reduces the matchers of all selectors.
pub(super) fn run(plan: &mut Plan) {
    for select in plan.nodes.iter_mut().flat_map(super::PlanNode::selects_mut) {
        select.matchers = reduced(&select.matchers);
    }
}

/// Matchers that every series satisfies or fails exactly as `matchers`.
fn reduced(matchers: &[Matcher]) -> Vec<Matcher> {
    let mut seen = Set::default();
    let mut kept: Vec<Matcher> = matchers.iter().map(simplified).collect();
    kept.retain(|matcher| seen.insert(matcher.clone()));
    let equals = text_equals(&kept);
    kept.retain(|matcher| !matches_all(matcher) && !is_implied(matcher, &equals));
    // Storage is never asked without a condition.
    if kept.is_empty() { matchers.to_vec() } else { kept }
}

type Set = hashbrown::HashSet<Matcher, foldhash::fast::FixedState>;
type ByName = hashbrown::HashMap<String, Vec<Matcher>, foldhash::fast::FixedState>;

/// The first few matchers for one value of each label: with two no series is left, and many would
/// be compared with many.
fn text_equals(matchers: &[Matcher]) -> ByName {
    const OF_A_LABEL: usize = 4;
    let mut equals = ByName::default();
    for matcher in matchers {
        let is_text = std::str::from_utf8(matcher.value()).is_ok();
        if matcher.op() == MatchOp::Equal && is_text {
            let of_label = equals.entry(matcher.name().to_owned()).or_default();
            if of_label.len() < OF_A_LABEL {
                of_label.push(matcher.clone());
            }
        }
    }
    equals
}

fn matches_all(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Regex && matcher.regex().is_some_and(|r| r.matches_everything())
}

/// Whether a matcher for one value of the same label says it already.
fn is_implied(matcher: &Matcher, equals: &ByName) -> bool {
    equals.get(matcher.name()).into_iter().flatten().any(|equal| {
        equal != matcher
            && std::str::from_utf8(equal.value()).is_ok_and(|value| matcher.matches(value))
    })
}

/// The same condition without a regular expression, where there is one.
fn simplified(matcher: &Matcher) -> Matcher {
    let (Some(regex), positive) = (matcher.regex(), matcher.op() == MatchOp::Regex) else {
        return matcher.clone();
    };
    let compared = if regex.matches_all_but_empty() {
        let op = if positive { MatchOp::NotEqual } else { MatchOp::Equal };
        Matcher::new(op, matcher.name(), "")
    } else if let Some([value]) = regex.set_matches() {
        let op = if positive { MatchOp::Equal } else { MatchOp::NotEqual };
        Matcher::new(op, matcher.name(), value)
    } else {
        return matcher.clone();
    };
    compared.unwrap_or_else(|_| matcher.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse_metric_selector;

    fn check(selector: &str, want: &str) {
        let matchers = parse_metric_selector(selector).unwrap();
        let texts: Vec<String> = reduced(&matchers).iter().map(ToString::to_string).collect();
        assert_eq!(texts.join(","), want, "{selector}");
    }

    #[test]
    fn matchers_that_say_nothing_new_go() {
        check(r#"{a="1",a="1",b=~".*"}"#, r#"a="1""#);
        check(r#"{a="1",a=~"1|2",a!="3",a!~"4.*"}"#, r#"a="1""#);
        check(r#"{a=~"1",b!~"2",c=~".+"}"#, r#"a="1",b!="2",c!="""#);
        check(r#"{a="1",a="2"}"#, r#"a="1",a="2""#);
        check(r#"{a="1",a!="1"}"#, r#"a="1",a!="1""#);
        check(r#"{a=~"1|2",b=~"x.+"}"#, r#"a=~"1|2",b=~"x.+""#);
    }

    #[test]
    fn the_same_values_are_selected() {
        let selectors = [
            r#"{a=~".+"}"#,
            r#"{a!~".+",a=~".*"}"#,
            r#"{a="1",a=~"1|"}"#,
            r#"{a=~"|1",a!="2"}"#,
            r#"{a=~"1.*|",a!~"12"}"#,
            r#"{a!~".*"}"#,
            r#"{a="1",a!~"2|1"}"#,
        ];
        for selector in selectors {
            let matchers = model_matchers(selector);
            let fewer = reduced(&matchers);
            for value in ["", "1", "2", "12", "1\n", "x"] {
                let all = |matchers: &[Matcher]| matchers.iter().all(|m| m.matches(value));
                assert_eq!(all(&matchers), all(&fewer), "{selector} of {value:?}: {fewer:?}");
            }
        }
    }

    fn model_matchers(selector: &str) -> Vec<Matcher> {
        parse_metric_selector(selector.replace('}', ",z=\"\"}")).map_or_else(
            |_| {
                let with_name = selector.replace('{', "{keep=\"x\",");
                let all = parse_metric_selector(with_name).unwrap();
                all.into_iter().filter(|m| m.name() != "keep").collect()
            },
            |all| all.into_iter().filter(|m| m.name() != "z").collect(),
        )
    }

    /// Compared one with another they would take half a minute.
    #[test]
    fn a_hundred_thousand_matchers_are_reduced_in_linear_time() {
        let not = |i| Matcher::new(MatchOp::NotEqual, "a", format!("{i}")).unwrap();
        let mut matchers: Vec<Matcher> = (0..50_000).map(not).collect();
        matchers.extend((0..50_000).map(|i| Matcher::equal("b", &i.to_string())));
        assert_eq!(reduced(&matchers).len(), 100_000);
        matchers.push(Matcher::equal("a", "none"));
        assert_eq!(reduced(&matchers).len(), 50_001);
    }
}
