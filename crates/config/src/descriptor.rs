//! Mimir's published option descriptor (a JSON tree of names, flags, types and defaults): read to
//! compare with Urd's own table, and to make the list of names in `known_mimir.txt`. Called by
//! tests and by `cargo xtask docs`; the running process never sees the descriptor.

mod check;
mod list;

pub use check::{Report, check};
pub use list::known_list;
pub(crate) use list::{dashed, is_off};

use serde_json::Value;

/// One option of Mimir.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// YAML path, keys joined by dots.
    pub(crate) path: String,
    /// Flag without dashes; empty when the option exists in YAML only.
    pub(crate) flag: String,
    /// The descriptor's word for the type.
    pub(crate) kind: String,
    /// The default in the form that a user would write; empty, `false` and `0` as such.
    pub(crate) default: String,
    /// basic, advanced, experimental or deprecated.
    pub(crate) category: String,
}

/// A block or a field of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Block { name: String, entries: Vec<Entry> },
    Leaf { name: String, field: Field },
}

/// Reads the tree.
pub(crate) fn read(json: &str) -> Result<Vec<Entry>, String> {
    let root: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    entries(&root, "")
}

/// Every field of the tree, in its order.
pub(crate) fn fields(entries: &[Entry]) -> Vec<&Field> {
    let mut all = Vec::new();
    for entry in entries {
        match entry {
            Entry::Block { entries, .. } => all.extend(fields(entries)),
            Entry::Leaf { field, .. } => all.push(field),
        }
    }
    all
}

fn entries(block: &Value, path: &str) -> Result<Vec<Entry>, String> {
    let items = block["blockEntries"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(|item| entry(item, path)).collect()
}

fn entry(item: &Value, parent: &str) -> Result<Entry, String> {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
    let has_entries = item["blockEntries"].as_array().is_some_and(|items| !items.is_empty());
    match (item["kind"].as_str(), has_entries) {
        (Some("block"), true) => Ok(Entry::Block { name, entries: entries(item, &path)? }),
        // A block without entries is a secret whose type the descriptor does not open.
        (Some("block"), false) => Ok(Entry::Leaf { name, field: secret(path) }),
        (Some("field"), _) => {
            let kind = text("fieldType");
            let default = default_text(&item["fieldDefaultValue"], &kind);
            let category = match text("fieldCategory").as_str() {
                "" => "basic".to_owned(),
                named => named.to_owned(),
            };
            Ok(Entry::Leaf {
                name,
                field: Field { path, flag: text("fieldFlag"), kind, default, category },
            })
        }
        _ => Err(format!("{path}: neither block nor field")),
    }
}

fn secret(path: String) -> Field {
    Field {
        path,
        flag: String::new(),
        kind: "string".to_owned(),
        default: String::new(),
        category: "basic".to_owned(),
    }
}

fn default_text(value: &Value, kind: &str) -> String {
    match value {
        Value::Number(number) if kind == "duration" => number
            .as_i64()
            .map_or_else(String::new, |nanos| crate::GoDuration::from_nanos(nanos).to_string()),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// The reference descriptor where the checkout has it beside itself.
#[cfg(test)]
pub(crate) fn reference_descriptor() -> Option<String> {
    const PATH: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/mimir-config-descriptor.json"
    );
    let text = std::fs::read_to_string(PATH).ok();
    if text.is_none() {
        eprintln!("SKIPPED: no descriptor to compare with at {PATH}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_of_names_is_that_of_the_descriptor() {
        let Some(json) = super::reference_descriptor() else { return };
        let expected = super::known_list(&json).unwrap();
        assert!(crate::known::LIST == expected, "known_mimir.txt is stale: run `cargo xtask docs`");
    }
}
