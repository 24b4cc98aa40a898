//! Lists and maps. Maps keep their keys sorted, so that dumps are the same on every run.

use std::collections::BTreeMap;

use super::{GoDuration, Kind, Value, scalar};
use crate::yaml::{Node, Out};

/// Texts in one text, `a,b`: a repeated flag replaces what stood before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

/// Texts: each use of the flag adds one, after those of the YAML list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringList(pub Vec<String>);

/// Durations in Go's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationList(pub Vec<GoDuration>);

/// Text to text. On the command line `{"name":"value"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap(pub BTreeMap<String, String>);

/// Text to number. On the command line `{"name":1}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberMap(pub BTreeMap<String, f64>);

/// The non-empty parts between commas.
fn comma_parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The scalars of a YAML list, or the parts of one scalar with commas.
fn texts(node: &Node, wanted: &str) -> Result<Vec<String>, String> {
    match node.list() {
        Some(items) => {
            items.iter().map(|item| scalar(item, "a string").map(str::to_owned)).collect()
        }
        None => Ok(comma_parts(scalar(node, wanted)?).map(str::to_owned).collect()),
    }
}

impl Value for CommaList {
    fn kind(&self) -> Kind {
        Kind::Text
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        self.0 = comma_parts(text).map(str::to_owned).collect();
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        self.0 = texts(node, "a string")?;
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::text(&self.show())
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

impl Value for StringList {
    fn kind(&self) -> Kind {
        Kind::TextList
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        self.0.push(text.to_owned());
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        self.0 = texts(node, "a list of strings")?;
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::List(self.0.iter().map(|text| Out::text(text)).collect())
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

impl Value for DurationList {
    fn kind(&self) -> Kind {
        Kind::DurationList
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        self.0 = comma_parts(text).map(GoDuration::parse).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        let parts = texts(node, "a list of durations")?;
        self.0 = parts.iter().map(|part| GoDuration::parse(part)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::List(self.0.iter().map(|item| Out::text(&item.to_string())).collect())
    }

    fn show(&self) -> String {
        self.0.iter().map(GoDuration::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The pairs of a YAML map with scalar keys.
fn pairs<'a>(node: &'a Node, wanted: &str) -> Result<Vec<(&'a str, &'a Node)>, String> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let entries =
        node.map().ok_or_else(|| format!("cannot use {} as {wanted}", node.describe()))?;
    entries.iter().map(|(key, value)| Ok((scalar(key, "a key")?, value))).collect()
}

macro_rules! map_value {
    ($name:ident, $kind:ident, $wanted:literal, $item:ty, $json:expr) => {
        impl Value for $name {
            fn kind(&self) -> Kind {
                Kind::$kind
            }

            fn set_flag(&mut self, text: &str) -> Result<(), String> {
                let parsed: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(text).map_err(|error| error.to_string())?;
                let convert = $json;
                self.0 = parsed
                    .iter()
                    .map(|(key, value)| {
                        let item: Option<$item> = convert(value);
                        item.map(|item| (key.clone(), item))
                            .ok_or_else(|| format!("{value} is not usable in {}", $wanted))
                    })
                    .collect::<Result<_, _>>()?;
                Ok(())
            }

            fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
                let mut map = BTreeMap::new();
                for (key, value) in pairs(node, $wanted)? {
                    let mut item = <$item>::default();
                    item.set_yaml(value)?;
                    map.insert(key.to_owned(), item);
                }
                self.0 = map;
                Ok(())
            }

            fn yaml(&self) -> Out {
                Out::Map(self.0.iter().map(|(key, item)| (key.clone(), item.yaml())).collect())
            }

            fn show(&self) -> String {
                serde_json::to_string(&self.0).unwrap_or_default()
            }
        }
    };
}

map_value!(StringMap, TextMap, "a map of string to string", String, |value: &serde_json::Value| {
    value.as_str().map(str::to_owned)
});
map_value!(NumberMap, NumberMap, "a map of string to number", f64, serde_json::Value::as_f64);
