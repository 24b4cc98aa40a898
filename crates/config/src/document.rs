//! A YAML document taken apart into options: every key is known or the document is refused, with
//! its line and the nearest name. Called for the configuration file and for overrides.

use crate::known::{At, known};
use crate::yaml::{self, Node, YamlError};

/// One option as a document has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    /// Its whole path, as in the configuration file.
    pub(crate) path: String,
    pub(crate) node: Node,
}

/// Which part of the configuration a document holds.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    section: &'static str,
}

impl Document {
    /// The configuration file.
    pub(crate) fn config() -> Document {
        Document { section: "" }
    }

    /// What stands below one key of it.
    pub(crate) fn section(section: &'static str) -> Document {
        Document { section }
    }

    /// The options of a text, or everything that is wrong with it.
    pub(crate) fn read(&self, text: &str) -> Result<Vec<Written>, Vec<YamlError>> {
        match yaml::parse(text) {
            Ok(Some(root)) => self.options(&root),
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(vec![error]),
        }
    }

    /// The options of a node, or everything that is wrong with it.
    pub(crate) fn options(&self, root: &Node) -> Result<Vec<Written>, Vec<YamlError>> {
        let mut found = Options::default();
        found.section(self.section, root);
        if found.problems.is_empty() { Ok(found.written) } else { Err(found.problems) }
    }
}

#[derive(Default)]
struct Options {
    written: Vec<Written>,
    problems: Vec<YamlError>,
}

impl Options {
    fn section(&mut self, path: &str, node: &Node) {
        if node.is_null() {
            return;
        }
        let Some(entries) = node.map() else {
            let place = if path.is_empty() { "the configuration" } else { path };
            self.problem(node, format!("cannot use {} as {place}: it is a map", node.describe()));
            return;
        };
        for (key, value) in entries {
            match key.scalar() {
                Some(name) => self.entry(path, key, name, value),
                None => self.problem(key, format!("cannot use {} as a key", key.describe())),
            }
        }
    }

    fn entry(&mut self, section: &str, key: &Node, name: &str, value: &Node) {
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        match known().at(&path) {
            Some(At::Section) => self.section(&path, value),
            Some(At::Ours(_) | At::Foreign(_)) => {
                self.written.push(Written { path, node: value.clone() });
            }
            None => self.problem(key, known().unknown_key(section, name)),
        }
    }

    fn problem(&mut self, node: &Node, message: String) {
        self.problems.push(YamlError { line: node.line, message });
    }
}
