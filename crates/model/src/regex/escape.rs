//! What begins with a backslash.

use regex_syntax::hir::Look;

use super::class::perl_class;
use super::error::{RegexError, RegexErrorKind};
use super::parse::{Parser, until};

impl<'p> Parser<'p> {
    /// Parses from a backslash outside classes on.
    pub(super) fn parse_backslash(&mut self) -> Result<(), RegexError> {
        let rest = self.rest;
        let look = match rest.as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            Some(b'Q') => return self.parse_quoted(),
            Some(b'p' | b'P') => {
                let (class, rest) = self.unicode_class(rest)?;
                self.rest = rest;
                return self.push_class(class);
            }
            _ => None,
        };
        if let Some(look) = look {
            self.rest = &rest[2..];
            self.push_look(look);
            return Ok(());
        }
        if let Some(class) = perl_class(rest, self.flags.fold_case) {
            self.rest = &rest[2..];
            return self.push_class(class);
        }
        let (code_point, rest) = self.escaped(rest)?;
        self.rest = rest;
        self.push_code_point(code_point);
        Ok(())
    }

    /// `\Q...\E`: literal to the end mark, or to the end.
    fn parse_quoted(&mut self) -> Result<(), RegexError> {
        let quoted = &self.rest[2..];
        let (literal, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        literal.chars().for_each(|c| self.push_char(c));
        self.rest = rest;
        Ok(())
    }

    /// The code point of an escape at the beginning of `text`, and what follows.
    pub(super) fn escaped(&self, text: &'p str) -> Result<(u32, &'p str), RegexError> {
        let mut rest = text[1..].chars();
        let Some(c) = rest.next() else {
            return Err(self.error(RegexErrorKind::TrailingBackslash, ""));
        };
        let after = rest.as_str();
        let code_point = match c {
            '0'..='7' => match octal(c, after) {
                Some(octal) => return Ok(octal),
                None => Err(after),
            },
            'x' => match hexadecimal(after) {
                Ok(hexadecimal) => return Ok(hexadecimal),
                Err(rest) => Err(rest),
            },
            'a' => Ok(0x07),
            'f' => Ok(0x0c),
            'n' => Ok(0x0a),
            'r' => Ok(0x0d),
            't' => Ok(0x09),
            'v' => Ok(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(u32::from(c)),
            _ => Err(after),
        };
        match code_point {
            Ok(code_point) => Ok((code_point, after)),
            Err(rest) => Err(self.error(RegexErrorKind::InvalidEscape, until(text, rest))),
        }
    }
}

/// `\07`, `\123`: up to three digits. A single one that is not zero would be a reference to a
/// group, which does not exist.
fn octal(first: char, after: &str) -> Option<(u32, &str)> {
    let more = after.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
    if first != '0' && more == 0 {
        return None;
    }
    let (digits, rest) = after.split_at(more);
    let value = |value: u32, digit: u32| value * 8 + digit;
    let digits = digits.chars().filter_map(|digit| digit.to_digit(8));
    Some((digits.fold(first.to_digit(8)?, value), rest))
}

/// `\x41` or `\x{10FFFF}`, from behind the `x`. The error is what is left unread.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let mut rest = text.chars();
    let first = rest.next().ok_or(text)?;
    if first == '{' {
        return braced(rest);
    }
    let second = rest.next().ok_or(rest.as_str())?;
    match (first.to_digit(16), second.to_digit(16)) {
        (Some(high), Some(low)) => Ok((high * 16 + low, rest.as_str())),
        _ => Err(rest.as_str()),
    }
}

fn braced(mut rest: std::str::Chars<'_>) -> Result<(u32, &str), &str> {
    let mut value: Option<u32> = None;
    while let Some(c) = rest.next() {
        if c == '}' {
            return value.map(|value| (value, rest.as_str())).ok_or(rest.as_str());
        }
        let next = c.to_digit(16).map(|digit| value.unwrap_or(0) * 16 + digit);
        match next {
            Some(next) if next <= u32::from(char::MAX) => value = Some(next),
            _ => break,
        }
    }
    Err(rest.as_str())
}
