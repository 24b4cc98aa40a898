//! Characters in request lines that a URL must not hold but that Go's servers take, and so do
//! those who write `curl 'HOST/api/v1/query?query=up{job="a"}'`: they are escaped before the
//! bytes are parsed.
//!
//! The bytes of the socket are only touched where a request line stands for sure, because to
//! make a body longer would move everything behind it: on a new connection, and behind requests
//! that had no body and were answered before anything else came. From the first other request on
//! all bytes of a connection pass as they are.

/// The end of the headers of a request.
const HEAD_END: [u8; 4] = *b"\r\n\r\n";

/// Follows the bytes that come from one connection.
#[derive(Debug)]
pub(super) struct RequestLines {
    is_on: bool,
    in_line: bool,
    /// The last bytes, to see whether a head has ended.
    tail: [u8; 4],
}

impl Default for RequestLines {
    fn default() -> Self {
        Self { is_on: true, in_line: false, tail: HEAD_END }
    }
}

impl RequestLines {
    /// Whether bytes still have to be looked at.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// From now on all bytes pass.
    pub(super) fn turn_off(&mut self) {
        self.is_on = false;
    }

    /// Appends `bytes`, which came while no request was being answered, to `out`.
    pub(super) fn escape(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.in_line |= self.tail == HEAD_END;
        let mut rest = bytes;
        if self.in_line {
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            self.in_line = end.is_none();
            let (line, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
            line.iter().for_each(|byte| push_escaped(*byte, out));
            rest = behind;
        }
        out.extend_from_slice(rest);
        for byte in &bytes[bytes.len().saturating_sub(self.tail.len())..] {
            self.tail.rotate_left(1);
            self.tail[3] = *byte;
        }
    }
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"%22"),
        b'<' => out.extend_from_slice(b"%3C"),
        b'>' => out.extend_from_slice(b"%3E"),
        // To Go it is a part of the query, not the start of a fragment.
        b'#' => out.extend_from_slice(b"%23"),
        _ => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `len` bytes.
    fn escaped(text: &str, len: usize) -> String {
        let mut lines = RequestLines::default();
        let mut out = Vec::new();
        text.as_bytes().chunks(len).for_each(|piece| lines.escape(piece, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_request_lines_are_escaped() {
        let request = "GET /q?a=x{b=\"c\"}>1#d HTTP/1.1\r\nhost: \"<x>\"\r\n\r\n";
        let want = "GET /q?a=x{b=%22c%22}%3E1%23d HTTP/1.1\r\nhost: \"<x>\"\r\n\r\n";
        for len in [1, 2, 3, 5, 1000] {
            assert_eq!(escaped(request, len), want, "{len}");
        }
        // Two requests, the second one sent when the first one was answered.
        let mut lines = RequestLines::default();
        let mut out = Vec::new();
        lines.escape(request.as_bytes(), &mut out);
        lines.escape(request.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), [want, want].concat());
    }
}
