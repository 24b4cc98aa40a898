//! Several sets of texts seen as one: label names and values of several sources.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::StorageError;
use model::storage::{TextSet, Texts};

/// The merged set of any number of sets, each text once, at most `limit` (0 = all).
pub fn merge_text_sets(mut sets: Vec<Box<dyn TextSet>>, limit: usize) -> Box<dyn TextSet> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    match sets.len() {
        0 => Box::new(Texts::default()),
        1 if limit == usize::MAX => sets.remove(0),
        count => {
            let pending = (0..count).map(|source| (source, String::new())).collect();
            Box::new(MergeTextSet { sets, pending, heap: BinaryHeap::new(), left: limit })
        }
    }
}

/// Several sets seen as one.
struct MergeTextSet {
    sets: Vec<Box<dyn TextSet>>,
    /// Sources whose next text is not known, each with a buffer for it. The first one holds the
    /// text that was handed out last.
    pending: Vec<(usize, String)>,
    /// The next text of each source.
    heap: BinaryHeap<Reverse<(String, usize)>>,
    left: usize,
}

impl TextSet for MergeTextSet {
    fn next_text(&mut self) -> Result<Option<&str>, StorageError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        for (source, mut buffer) in self.pending.drain(..) {
            if let Some(text) = self.sets[source].next_text()? {
                buffer.clear();
                buffer.push_str(text);
                self.heap.push(Reverse((buffer, source)));
            }
        }
        let Some(Reverse((first, source))) = self.heap.pop() else { return Ok(None) };
        self.pending.push((source, first));
        while let Some(Reverse((text, _))) = self.heap.peek()
            && *text == self.pending[0].1
        {
            let Some(Reverse((text, source))) = self.heap.pop() else { break };
            self.pending.push((source, text));
        }
        Ok(Some(&self.pending[0].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(sets: &[&[&str]], limit: usize) -> String {
        let set = |texts: &&[&str]| {
            let texts = texts.iter().map(|&text| text.to_owned()).collect();
            Box::new(Texts::new(texts)) as Box<dyn TextSet>
        };
        let mut merged = merge_text_sets(sets.iter().map(set).collect(), limit);
        let mut all = Vec::new();
        while let Some(text) = merged.next_text().unwrap() {
            all.push(text.to_owned());
        }
        assert_eq!(merged.next_text().unwrap(), None);
        all.join(" ")
    }

    #[test]
    fn texts_come_in_order_each_once() {
        let sets: &[&[&str]] = &[&["a", "c", "d"], &[], &["b", "c"], &["c", "e"]];
        assert_eq!(merged(sets, 0), "a b c d e");
        assert_eq!(merged(sets, 3), "a b c");
        assert_eq!(merged(&[&["a", "b"]], 0), "a b");
        assert_eq!(merged(&[&["a", "b"]], 1), "a");
        assert_eq!(merged(&[], 0), "");
    }
}
