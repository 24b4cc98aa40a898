//! Quoted strings: found and validated here, unquoted by the parser.

use super::{LexError, LexResult, Lexer, TokenKind};
use crate::strings::code_point;

impl Lexer<'_> {
    /// The rest of a string whose opening quote has been read.
    pub(super) fn lex_string(&mut self, quote: char) -> LexResult {
        loop {
            match self.next_char() {
                // A replacement character in the query is refused like bytes that are not UTF-8.
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune"),
                Some(c) if c == quote => return Ok(TokenKind::String),
                None if quote == '`' => return self.error("unterminated raw string"),
                None => return self.error("unterminated quoted string"),
                Some(_) if quote == '`' => {}
                Some('\n') => return self.error("unterminated quoted string"),
                Some('\\') => self.lex_escape(quote)?,
                Some(_) => {}
            }
        }
    }

    fn lex_escape(&mut self, quote: char) -> Result<(), LexError> {
        let (digits, radix, max) = match self.next_char() {
            None => return self.error("escape sequence not terminated"),
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.at -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            Some(c) => return self.error(&format!("unknown escape sequence {}", code_point(c))),
        };
        let value = self.lex_escape_digits(digits, radix)?;
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.error("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }

    fn lex_escape_digits(&mut self, digits: u32, radix: u32) -> Result<u32, LexError> {
        let mut value = 0_u32;
        for _ in 0..digits {
            let Some(c) = self.next_char() else {
                return self.error("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(radix) else {
                let c = code_point(c);
                return self.error(&format!("illegal character {c} in escape sequence"));
            };
            // At most eight hexadecimal digits.
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(value)
    }
}
