//! Label sets: one packed, shared buffer a set, cheap to clone, compare and hash.
//!
//! Layout of the buffer: for each label, sorted by name, `len name len value`, where a length
//! below 255 is one byte and a longer one is the byte 255 followed by four bytes little-endian.

mod builder;
mod packed;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

pub use builder::LabelsBuilder;

use crate::METRIC_NAME_LABEL;

/// One label, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<'a> {
    /// The label's name.
    pub name: &'a str,
    /// The label's value.
    pub value: &'a str,
}

/// A set of labels, sorted by name (bytewise), names unique, values not empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// A set of pairs that are sorted by name already, with unique names. Pairs with an empty
    /// value are left out.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut data = Vec::with_capacity(256);
        let mut previous: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(previous.is_none_or(|p| p < name), "labels must be sorted and unique");
            previous = Some(name);
            if !value.is_empty() {
                packed::push(&mut data, name);
                packed::push(&mut data, value);
            }
        }
        Self(Arc::from(data))
    }

    /// A set of pairs in any order; of a repeated name the last one counts.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The labels in order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        for label in self.iter() {
            match label.name.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(label.value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of the label `name`, or the empty string.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The metric's name.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME_LABEL)
    }

    /// The number of labels. Linear.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packed buffer: equal for equal sets and only for those. Its layout is not persisted.
    pub fn packed(&self) -> &[u8] {
        &self.0
    }

    /// Prometheus' `StableHash`: xxhash64 over `name 0xFF value 0xFF` for all labels. The hash
    /// of query sharding and of the compactor's split.
    pub fn stable_hash(&self) -> u64 {
        let mut buffer = Vec::with_capacity(self.0.len());
        for label in self.iter() {
            buffer.extend_from_slice(label.name.as_bytes());
            buffer.push(0xff);
            buffer.extend_from_slice(label.value.as_bytes());
            buffer.push(0xff);
        }
        xxhash_rust::xxh64::xxh64(&buffer, 0)
    }

    /// The set without the metric's name.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        if self.metric_name().is_none() {
            return self.clone();
        }
        self.retain(|name| name != METRIC_NAME_LABEL)
    }

    /// The labels whose names `keep` accepts.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|l| keep(l.name)).map(|l| (l.name, l.value)))
    }

    pub(crate) fn from_packed(data: &[u8]) -> Self {
        Self(Arc::from(data))
    }
}

/// The labels of a set in order of their names.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = packed::take(self.rest);
        let (value, rest) = packed::take(rest);
        self.rest = rest;
        Some(Label { name, value })
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = Label<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// By names and values, label by label; a set that is a prefix of another comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As Prometheus prints a label set: `{a="b", c="d"}`, names that are no identifiers quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, label) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(label.name) {
                f.write_str(label.name)?;
            } else {
                f.write_str(&crate::quote::quote(label.name.as_bytes()))?;
            }
            write!(f, "={}", crate::quote::quote(label.value.as_bytes()))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests;
