//! Changing a label set: a base, names to drop, names to set.

use super::{Labels, packed};

/// Collects labels in any order and builds the sorted set.
#[derive(Debug, Default, Clone)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from the labels of `base`.
    pub fn new(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect() }
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(i) if value.is_empty() => drop(self.pairs.remove(i)),
            Ok(i) => value.clone_into(&mut self.pairs[i].1),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the label `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of `name` as it stands.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.pairs[found].1)
    }

    /// Keeps the labels whose names `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> &mut Self {
        self.pairs.retain(|(name, _)| keep(name));
        self
    }

    /// The set.
    pub fn build(&self) -> Labels {
        let mut data = Vec::with_capacity(256);
        for (name, value) in &self.pairs {
            packed::push(&mut data, name);
            packed::push(&mut data, value);
        }
        Labels::from_packed(&data)
    }
}
