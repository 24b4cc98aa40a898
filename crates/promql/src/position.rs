//! Byte ranges in a query text and their `line:column` form.
//!
//! Every AST node, parse error and annotation carries a [`PositionRange`]; the text form is made
//! only when a message is printed. Must never assume that a range fits a given text: a range of
//! another query gives `invalid position`, not a panic.

/// A half-open byte range `[start, end)` in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct PositionRange {
    /// First byte, counted from zero.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl PositionRange {
    /// A range from `start` to `end`.
    #[must_use]
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The smallest range that spans from the start of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }

    /// The start as `line:column` (both from one, columns counted in bytes), as Prometheus prints
    /// it in parse errors and annotations.
    #[must_use]
    pub fn start_in(self, query: &[u8]) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.get(..self.start as usize) else {
            return "invalid position".to_owned();
        };
        let (line, column) = line_and_column(before);
        format!("{line}:{column}")
    }
}

fn line_and_column(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, before.len() - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_counts_lines_and_bytes_from_one() {
        let query = "a +\n  é b".as_bytes();
        assert_eq!(PositionRange::new(0, 1).start_in(query), "1:1");
        assert_eq!(PositionRange::new(3, 4).start_in(query), "1:4");
        assert_eq!(PositionRange::new(4, 5).start_in(query), "2:1");
        assert_eq!(PositionRange::new(9, 10).start_in(query), "2:6");
        assert_eq!(PositionRange::new(99, 100).start_in(query), "invalid position");
        assert_eq!(PositionRange::new(0, 0).start_in(b""), "unknown position");
    }
}
