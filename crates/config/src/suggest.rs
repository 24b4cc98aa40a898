//! The nearest known name to one that nobody knows. Called for error messages alone.

/// The candidate with the fewest edits to `name`, unless even that one is far away.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let bound = (name.chars().count() / 3).max(2);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let far = best.map_or(bound + 1, |(distance, _)| distance);
        if name.len().abs_diff(candidate.len()) < far {
            let distance = edits(name, candidate);
            if distance < far {
                best = Some((distance, candidate));
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `, did you mean "x"?` or nothing.
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!(", did you mean {near}?"))
}

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_candidate_with_the_fewest_edits() {
        let names = ["server.http-listen-port", "server.grpc-listen-port", "target"];
        assert_eq!(nearest("server.http-listn-port", names), Some("server.http-listen-port"));
        assert_eq!(nearest("tagret", names), Some("target"));
        assert_eq!(nearest("completely-different", names), None);
    }

    #[test]
    fn counts_edits() {
        for (a, b, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(edits(a, b), expected, "{a} -> {b}");
            assert_eq!(edits(b, a), expected, "{b} -> {a}");
        }
    }
}
