//! Strings with their lengths in one byte buffer; the layout is drawn in `labels.rs`.

/// A length that does not fit one byte is announced by this one.
const LONG: u8 = 255;

/// Appends `text`.
pub(super) fn push(data: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(len) if len < LONG => data.push(len),
        _ => {
            let len = u32::try_from(text.len()).expect("a label is bounded far below 4 GiB");
            data.push(LONG);
            data.extend_from_slice(&len.to_le_bytes());
        }
    }
    data.extend_from_slice(text.as_bytes());
}

/// The first string of `data` and what follows it. `data` must have been made by [`push`].
#[inline]
#[expect(unsafe_code, reason = "validating UTF-8 again at each access costs more than the access")]
pub(super) fn take(data: &[u8]) -> (&str, &[u8]) {
    let (len, rest) = match data {
        [LONG, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [len, rest @ ..] => (usize::from(*len), rest),
        [] => (0, data),
    };
    let (text, rest) = rest.split_at(len);
    // SAFETY: the buffer is private to `Labels` and only ever filled by `push` with whole
    // `&str`s, each preceded by its exact length, so `text` is one of those strings.
    (unsafe { std::str::from_utf8_unchecked(text) }, rest)
}
