//! The fields of a YAML map, taken one by one; what is left over in the end is not known.

use config::Node;

use super::FileProblem;

/// A map that is being read.
pub(crate) struct Fields<'a> {
    entries: Vec<(&'a Node, &'a Node)>,
    what: &'static str,
}

type Problems = Vec<FileProblem>;

fn push(problems: &mut Problems, node: &Node, message: String) {
    problems.push(FileProblem { line: node.line, message });
}

impl<'a> Fields<'a> {
    /// The fields of `node`, which should be a map.
    pub(crate) fn new(node: &'a Node, what: &'static str, problems: &mut Problems) -> Self {
        let entries = node.map().map(|entries| entries.iter().map(|(k, v)| (k, v)).collect());
        if entries.is_none() && !node.is_null() {
            push(problems, node, format!("a {what} is a map, not {}", node.describe()));
        }
        Self { entries: entries.unwrap_or_default(), what }
    }

    /// Takes a field that was given a value.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a Node> {
        let at = self.entries.iter().position(|(key, _)| key.scalar() == Some(name))?;
        let (_, value) = self.entries.remove(at);
        (!value.is_null()).then_some(value)
    }

    /// A text and its line.
    pub(crate) fn text(&mut self, name: &str, problems: &mut Problems) -> Option<(String, usize)> {
        let node = self.take(name)?;
        let Some(text) = node.scalar() else {
            push(problems, node, format!("field {name} is a text, not {}", node.describe()));
            return None;
        };
        Some((text.to_owned(), node.line))
    }

    /// A duration, ms.
    pub(crate) fn duration_ms(&mut self, name: &str, problems: &mut Problems) -> Option<i64> {
        let node = self.take(name)?;
        let text = node.scalar().unwrap_or_default();
        let parsed = promql::duration::parse_duration(text);
        parsed.map_err(|error| push(problems, node, format!("field {name}: {error}"))).ok()
    }

    /// A number that is not negative; 0 where none is given.
    pub(crate) fn count(&mut self, name: &str, problems: &mut Problems) -> u64 {
        let Some(node) = self.take(name) else { return 0 };
        let number = node.scalar().and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| {
            push(problems, node, format!("field {name} is a number, not {}", node.describe()));
            0
        })
    }

    /// `true` or `false`; false where none is given.
    pub(crate) fn flag(&mut self, name: &str, problems: &mut Problems) -> bool {
        let Some(node) = self.take(name) else { return false };
        match node.scalar() {
            Some("true") => true,
            Some("false") => false,
            _ => {
                let message = format!("field {name} is true or false, not {}", node.describe());
                push(problems, node, message);
                false
            }
        }
    }

    /// The items of a list.
    pub(crate) fn list(&mut self, name: &str, problems: &mut Problems) -> &'a [Node] {
        let Some(node) = self.take(name) else { return &[] };
        node.list().unwrap_or_else(|| {
            push(problems, node, format!("field {name} is a list, not {}", node.describe()));
            &[]
        })
    }

    /// A list of texts.
    pub(crate) fn text_list(&mut self, name: &str, problems: &mut Problems) -> Vec<String> {
        let mut texts = Vec::new();
        for item in self.list(name, problems) {
            match item.scalar() {
                Some(text) => texts.push(text.to_owned()),
                None => push(problems, item, format!("field {name} is a list of texts")),
            }
        }
        texts
    }

    /// A map of texts, in the order of the file.
    pub(crate) fn texts(&mut self, name: &str, problems: &mut Problems) -> Vec<(String, String)> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let Some(entries) = node.map() else {
            push(problems, node, format!("field {name} is a map, not {}", node.describe()));
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match (key.scalar(), value.scalar()) {
                (Some(key), Some(value)) => texts.push((key.to_owned(), value.to_owned())),
                _ => push(problems, key, format!("field {name} is a map of texts")),
            }
        }
        texts
    }

    /// What was not taken is an error.
    pub(crate) fn refuse_rest(self, problems: &mut Problems) {
        for (key, _) in self.entries {
            push(problems, key, format!("field {} not found in a {}", key.describe(), self.what));
        }
    }
}
