//! Capture groups, and templates that name them.

use std::sync::LazyLock;

use regex_automata::meta;
use regex_automata::util::captures::Captures as Slots;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::ClassUnicode;

use super::lower::{Groups, anchored};
use super::parse::parse;
use super::unicode::class_of_name;

/// An automaton that tells what groups matched.
#[derive(Debug)]
pub(super) struct Captures {
    regex: meta::Regex,
    /// Names of the groups, from group 1 on.
    names: Vec<Option<String>>,
}

impl Captures {
    /// The groups of a pattern that has been parsed before.
    pub(super) fn of_pattern(pattern: &str) -> Self {
        let parsed = parse(pattern).expect("the pattern was parsed when the regex was made");
        let config =
            meta::Config::new().nfa_size_limit(None).hybrid(false).dfa(false).auto_prefilter(false);
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&anchored(&parsed.node, Groups::Kept))
            .expect("a pattern whose automaton exists has one with groups");
        Self { regex, names: parsed.names }
    }

    /// `template` filled in with the groups; `None` if `value` as a whole does not match.
    pub(super) fn expand(&self, value: &str, template: &str) -> Option<String> {
        let mut slots = self.regex.create_captures();
        let input = Input::new(value).anchored(Anchored::Yes);
        self.regex.search_captures(&input, &mut slots);
        slots
            .is_match()
            .then(|| Filling { names: &self.names, slots: &slots, value }.fill(template))
    }
}

/// What a template is filled in with.
struct Filling<'a> {
    names: &'a [Option<String>],
    slots: &'a Slots,
    value: &'a str,
}

impl Filling<'_> {
    fn fill(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                out.push_str(self.group(name));
                rest = after;
            } else {
                // What names no group is text.
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }

    /// What a group matched; nothing for one that does not exist or had no part in the match.
    fn group(&self, name: &str) -> &str {
        if let Some(index) = index(name) {
            return self.text(index).unwrap_or_default();
        }
        let named = |own: &Option<String>| own.as_deref() == Some(name);
        let groups = self.names.iter().enumerate().filter(|(_, own)| named(own));
        groups.map(|(at, _)| self.text(at + 1)).find_map(|text| text).unwrap_or_default()
    }

    fn text(&self, index: usize) -> Option<&str> {
        let span = self.slots.get_group(index)?;
        self.value.get(span.range())
    }
}

/// The name behind a `$`, in braces or as long as it gets, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, braced) = match text.strip_prefix('{') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let end = name.find(|c| !is_name_char(c)).unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    Some((name, rest))
}

/// The number of a group: digits without a leading zero. Any other name is looked up.
fn index(name: &str) -> Option<usize> {
    let leading_zero = name.len() > 1 && name.starts_with('0');
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    (digits && !leading_zero).then(|| name.parse().unwrap_or(usize::MAX))
}

fn is_name_char(c: char) -> bool {
    static NAME_CHARS: LazyLock<ClassUnicode> = LazyLock::new(|| {
        let mut class = class_of_name("L").unwrap_or_else(ClassUnicode::empty);
        class.union(&class_of_name("Nd").unwrap_or_else(ClassUnicode::empty));
        class
    });
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphanumeric();
    }
    NAME_CHARS.iter().any(|range| (range.start()..=range.end()).contains(&c))
}
