//! Numbers and durations as they look; whether they mean something is the parser's matter.

use super::{LexResult, Lexer, TokenKind, is_alphanumeric};
use crate::strings::quote;

const DECIMAL_DIGITS: &[u8] = b"0123456789";
const HEX_DIGITS: &[u8] = b"0123456789abcdefABCDEF";

impl Lexer<'_> {
    pub(super) fn lex_number_or_duration(&mut self) -> LexResult {
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        if self.scan_rest_of_duration() {
            return Ok(TokenKind::Duration);
        }
        self.bad_syntax("bad number or duration syntax")
    }

    pub(super) fn lex_number(&mut self) -> LexResult {
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        self.bad_syntax("bad number syntax")
    }

    fn bad_syntax(&self, what: &str) -> LexResult {
        self.error(&format!("{what}: {}", quote(self.token_text())))
    }

    /// Reads `1`, `.5`, `0x1F`, `1e3`, `1_000`; false if what was read is no number. What was read
    /// then may still be the start of a duration, and is quoted in the error if not.
    fn scan_number(&mut self) -> bool {
        let start = self.at;
        // Series descriptions have no hexadecimal numbers: `0x5` is six zeros.
        let is_hex =
            !self.is_series_description && self.accept(b'0') && self.accept_any(b"xX") && {
                self.accept(b'_');
                true
            };
        let digits = if is_hex { HEX_DIGITS } else { DECIMAL_DIGITS };
        self.accept(b'.');
        self.accept_any(digits);
        if !self.scan_number_tail(digits) || self.at == start {
            return false;
        }
        let next = self.peek_char().map(|(c, _)| c);
        let is_repetition = self.is_series_description && next == Some('x');
        is_repetition || !next.is_some_and(is_alphanumeric)
    }

    fn scan_number_tail(&mut self, digits: &[u8]) -> bool {
        let mut has_dot = false;
        let mut has_exponent = false;
        while let Some(byte) = self.peek_byte() {
            match byte {
                b'.' => {
                    self.at += 1;
                    // Hexadecimal numbers have no fraction, and nothing but digits may follow.
                    if has_dot || self.accept_any(b"_.") || digits == HEX_DIGITS {
                        return false;
                    }
                    has_dot = true;
                }
                b'e' | b'E' => {
                    self.at += 1;
                    if has_exponent {
                        return false;
                    }
                    self.accept_any(b"+-");
                    if self.ends_number() {
                        return false;
                    }
                    has_exponent = true;
                }
                b'_' => {
                    self.at += 1;
                    if self.ends_number() {
                        return false;
                    }
                }
                _ if digits.contains(&byte) => while self.accept_any(digits) {},
                _ => break,
            }
        }
        true
    }

    /// Whether a number cannot go on here, behind an exponent's or separator's sign.
    fn ends_number(&mut self) -> bool {
        self.accept_any(b"._eE") || self.at == self.source.len()
    }

    /// Reads the unit behind a number and further numbers with units; false if it is no duration.
    /// Units like `hs` pass and are found out when the duration is parsed.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept_any(b"smhdwy") {
            return false;
        }
        self.accept(b's');
        while self.accept_any(DECIMAL_DIGITS) {
            while self.accept_any(DECIMAL_DIGITS) {}
            // Years always come first.
            if !self.accept_any(b"smhdw") {
                return false;
            }
            self.accept(b's');
        }
        let behind = self.at;
        let is_complete = !self.next_char().is_some_and(is_alphanumeric);
        if is_complete {
            self.at = behind;
        }
        is_complete
    }
}
