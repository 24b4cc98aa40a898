//! Character classes: `[...]`, `\d`, `[:alpha:]`, and case folding.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::error::{RegexError, RegexErrorKind};
use super::parse::{Parser, until};

/// The letters, digits and so on that a name in `[:name:]` stands for; all ASCII.
const POSIX_CLASSES: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// `\d`, `\s`, `\w` and their opposites at the beginning of `text`. They are ASCII; `\s` has no
/// vertical tab.
pub(super) fn perl_class(text: &str, fold: bool) -> Option<ClassUnicode> {
    let ranges: &[(char, char)] = match text.as_bytes().get(1)?.to_ascii_lowercase() {
        b'd' => &[('0', '9')],
        b's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        b'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        _ => return None,
    };
    let negated = text.as_bytes()[1].is_ascii_uppercase();
    text.starts_with('\\').then(|| group(ranges, fold, negated))
}

/// A named group: folded first, negated then.
fn group(ranges: &[(char, char)], fold: bool, negated: bool) -> ClassUnicode {
    let ranges = ranges.iter().map(|&(start, end)| ClassUnicodeRange::new(start, end));
    finished(ClassUnicode::new(ranges), fold, negated)
}

/// Folds and negates as asked.
pub(super) fn finished(mut class: ClassUnicode, fold: bool, negated: bool) -> ClassUnicode {
    if fold {
        // Fails only where the tables of case are left out of the build, which they are not.
        let _ = class.try_case_fold_simple();
    }
    if negated {
        class.negate();
    }
    class
}

/// Whether `c` has another case.
pub(super) fn has_case(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    folded_char(c).ranges().iter().map(|range| range.len()).sum::<usize>() > 1
}

/// All cases of `c`.
pub(super) fn folded_char(c: char) -> ClassUnicode {
    finished(ClassUnicode::new([ClassUnicodeRange::new(c, c)]), true, false)
}

/// A class in the making.
#[derive(Default)]
struct Members {
    /// Characters and ranges, which ignore case if the flags say so.
    written: Vec<ClassUnicodeRange>,
    /// Those of groups, which have done it.
    grouped: Vec<ClassUnicodeRange>,
}

impl Members {
    fn add_range(&mut self, start: u32, end: u32) {
        let surrogates = 0xd800..=0xdfff;
        let start = if surrogates.contains(&start) { 0xe000 } else { start };
        let end = if surrogates.contains(&end) { 0xd7ff } else { end };
        if let (Some(start), Some(end)) = (char::from_u32(start), char::from_u32(end))
            && start <= end
        {
            self.written.push(ClassUnicodeRange::new(start, end));
        }
    }

    fn add_class(&mut self, class: &ClassUnicode) {
        self.grouped.extend_from_slice(class.ranges());
    }

    fn class(self, fold: bool, negated: bool) -> ClassUnicode {
        let mut class = finished(ClassUnicode::new(self.written), fold, false);
        class.union(&ClassUnicode::new(self.grouped));
        finished(class, false, negated)
    }
}

impl<'p> Parser<'p> {
    /// Parses from `[` on.
    pub(super) fn parse_class(&mut self) -> Result<(), RegexError> {
        let whole = self.rest;
        let inner = &whole[1..];
        let negated = inner.starts_with('^');
        let mut rest = if negated { &inner[1..] } else { inner };
        let mut members = Members::default();
        // A bracket directly at the beginning is a member.
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            rest = self.parse_member(rest, whole, &mut members)?;
        }
        self.rest = &rest[1..];
        let class = members.class(self.flags.fold_case, negated);
        self.push_class(class)
    }

    fn parse_member(
        &mut self,
        text: &'p str,
        whole: &str,
        members: &mut Members,
    ) -> Result<&'p str, RegexError> {
        if let Some((class, rest)) = self.posix_class(text)? {
            self.count_ranges(&class)?;
            members.add_class(&class);
            return Ok(rest);
        }
        if text.starts_with("\\p") || text.starts_with("\\P") {
            let (class, rest) = self.unicode_class(text)?;
            self.count_ranges(&class)?;
            members.add_class(&class);
            return Ok(rest);
        }
        if text.starts_with('\\')
            && let Some(class) = perl_class(text, self.flags.fold_case)
        {
            self.count_ranges(&class)?;
            members.add_class(&class);
            return Ok(&text[2..]);
        }
        let (start, mut rest) = self.class_char(text, whole)?;
        let mut end = start;
        if let Some(range) = rest.strip_prefix('-')
            && !range.is_empty()
            && !range.starts_with(']')
        {
            (end, rest) = self.class_char(range, whole)?;
            if end < start {
                return Err(self.error(RegexErrorKind::InvalidCharRange, until(text, rest)));
            }
        }
        members.add_range(start, end);
        Ok(rest)
    }

    /// One character, escaped or not.
    fn class_char(&self, text: &'p str, whole: &str) -> Result<(u32, &'p str), RegexError> {
        if text.starts_with('\\') {
            return self.escaped(text);
        }
        let mut rest = text.chars();
        match rest.next() {
            Some(c) => Ok((u32::from(c), rest.as_str())),
            None => Err(self.error(RegexErrorKind::MissingBracket, whole)),
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`.
    fn posix_class(&self, text: &'p str) -> Result<Option<(ClassUnicode, &'p str)>, RegexError> {
        let Some(named) = text.strip_prefix("[:") else {
            return Ok(None);
        };
        let Some((name, rest)) = named.split_once(":]") else {
            return Ok(None);
        };
        let (negated, positive) = match name.strip_prefix('^') {
            Some(positive) => (true, positive),
            None => (false, name),
        };
        let known = POSIX_CLASSES.iter().find(|(known, _)| *known == positive);
        let Some((_, ranges)) = known else {
            return Err(self.error(RegexErrorKind::InvalidCharRange, until(text, rest)));
        };
        Ok(Some((group(ranges, self.flags.fold_case, negated), rest)))
    }
}
