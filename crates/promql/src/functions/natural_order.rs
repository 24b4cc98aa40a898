//! Natural order of texts: runs of digits compare as numbers, so that `a2` comes before `a10`.

use std::cmp::Ordering;

/// Compares chunk by chunk: digits with digits as numbers (of equal ones the text with fewer
/// leading zeros is smaller), everything else bytewise.
pub(super) fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (chunk_a, rest_a) = split_chunk(a);
        let (chunk_b, rest_b) = split_chunk(b);
        let order = cmp_chunks(chunk_a, chunk_b);
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The run of digits or of other bytes that `text`, which is not empty, begins with.
fn split_chunk(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text[0].is_ascii_digit();
    let len = text.iter().position(|b| b.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(len)
}

fn cmp_chunks(a: &[u8], b: &[u8]) -> Ordering {
    if !(a[0].is_ascii_digit() && b[0].is_ascii_digit()) {
        return a.cmp(b);
    }
    let (number_a, number_b) = (significant(a), significant(b));
    number_a
        .len()
        .cmp(&number_b.len())
        .then_with(|| number_a.cmp(number_b))
        .then_with(|| a.len().cmp(&b.len()))
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_texts_are_numbers() {
        let ordered = ["", "1", "2", "10", "a", "a1", "a2", "a2b", "a10", "a10b3", "b", "cpu-9"];
        for pair in ordered.windows(2) {
            assert_eq!(natural_cmp(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(natural_cmp(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(natural_cmp("a007", "a7"), Ordering::Greater);
    }
}
