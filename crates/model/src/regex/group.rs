//! What begins with `(?`: flags, groups without capture, groups with a name.

use super::error::{RegexError, RegexErrorKind};
use super::parse::{Flags, Parser, until};

impl Parser<'_> {
    /// Parses from `(?` on.
    pub(super) fn parse_perl_group(&mut self) -> Result<(), RegexError> {
        let rest = self.rest;
        if let Some(name) = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<")) {
            // Go wants at least one byte behind the angle bracket to see a name there.
            if !name.is_empty() {
                return self.parse_named_group(rest.len() - name.len());
            }
        }
        self.parse_flags()
    }

    fn parse_named_group(&mut self, name_start: usize) -> Result<(), RegexError> {
        let rest = self.rest;
        let Some(end) = rest.find('>') else {
            return Err(self.error(RegexErrorKind::InvalidNamedCapture, rest));
        };
        let name = rest.get(name_start..end).unwrap_or_default();
        let valid = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || !name.chars().all(valid) {
            return Err(self.error(RegexErrorKind::InvalidNamedCapture, &rest[..=end]));
        }
        self.open_capture(Some(name.to_owned()));
        self.rest = &rest[end + 1..];
        Ok(())
    }

    /// `(?i)`, `(?i-s:` and the like.
    fn parse_flags(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        let mut rest = start[2..].chars();
        let mut flags = self.flags;
        let (mut set, mut seen) = (true, false);
        for c in rest.by_ref() {
            match c {
                'i' | 'm' | 's' | 'U' => {
                    *flags.named(c) = set;
                    seen = true;
                }
                '-' if set => (set, seen) = (false, false),
                ':' | ')' if set || seen => {
                    self.rest = rest.as_str();
                    if c == ':' {
                        self.open_group(None);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(self.error(RegexErrorKind::InvalidPerlOp, until(start, rest.as_str())))
    }
}

impl Flags {
    fn named(&mut self, name: char) -> &mut bool {
        match name {
            'i' => &mut self.fold_case,
            'm' => &mut self.multi_line,
            's' => &mut self.dot_newline,
            _ => &mut self.swap_greed,
        }
    }
}
