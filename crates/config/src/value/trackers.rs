//! Custom trackers of active series: name to matchers.

use std::collections::BTreeMap;

use model::matcher::parse_matcher_list;

use super::{Kind, StringMap, Value};
use crate::yaml::{Node, Out};

/// Name of a tracker to the matchers of its series, which are valid. On the command line
/// `name:matchers;name:matchers`; a repeated flag adds to the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackerMap(pub BTreeMap<String, String>);

impl Value for TrackerMap {
    fn kind(&self) -> Kind {
        Kind::TextMap
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let added = from_flag(text)?;
        check(&added)?;
        if let Some(name) = added.keys().find(|&name| self.0.contains_key(name)) {
            return Err(format!(
                "matcher {name:?} for active series custom trackers is provided more than once"
            ));
        }
        self.0.extend(added);
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        let mut map = StringMap::default();
        map.set_yaml(node)?;
        check(&map.0)?;
        self.0 = map.0;
        Ok(())
    }

    fn yaml(&self) -> Out {
        StringMap(self.0.clone()).yaml()
    }

    fn show(&self) -> String {
        StringMap(self.0.clone()).show()
    }
}

fn check(trackers: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, matchers) in trackers {
        parse_matcher_list(matchers)
            .map_err(|error| format!("can't build active series matcher {name}: {error}"))?;
    }
    Ok(())
}

fn from_flag(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut trackers = BTreeMap::new();
    for (i, pair) in text.split(';').enumerate() {
        let (name, matchers) = pair.split_once(':').ok_or_else(|| {
            format!(
                "value should be <name>:<matcher>[;<name>:<matcher>]*, but colon was not found in \
                 the value {i}: {pair:?}"
            )
        })?;
        let (name, matchers) = (name.trim(), matchers.trim());
        if name.is_empty() || matchers.is_empty() {
            return Err(format!(
                "semicolon-separated values should be <name>:<matcher>, but one of the sides was \
                 empty in the value {i}: {pair:?}"
            ));
        }
        if trackers.insert(name.to_owned(), matchers.to_owned()).is_some() {
            return Err(format!(
                "matcher {name:?} for active series custom trackers is provided twice"
            ));
        }
    }
    Ok(trackers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(texts: &[&str]) -> Result<String, String> {
        let mut trackers = TrackerMap::default();
        texts.iter().try_for_each(|text| trackers.set_flag(text))?;
        Ok(trackers.show())
    }

    #[test]
    fn trackers_of_flags() {
        let both = r#"{"dev":"{ns=~\"dev-.*\"}","prod":"{ns=\"prod\"}"}"#;
        let (dev, prod) = (r#"dev:{ns=~"dev-.*"}"#, r#" prod : {ns="prod"} "#);
        assert_eq!(flags(&[&format!("{dev};{prod}")]).unwrap(), both);
        assert_eq!(flags(&[dev, prod, ""]).unwrap(), both);
        for (texts, want) in [
            (&[dev, dev][..], "provided more than once"),
            (&["a:b=1;a:b=2"], "provided twice"),
            (&["a"], "colon was not found in the value 0: \"a\""),
            (&["a:b=1;c:"], "one of the sides was empty in the value 1: \"c:\""),
            (&["a:b"], "can't build active series matcher a: bad matcher format: b"),
        ] {
            let error = flags(texts).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
