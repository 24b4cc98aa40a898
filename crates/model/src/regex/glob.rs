//! Patterns of literals with `.*` or `.+` between them, as most patterns of dashboards are:
//! matched by searching for the literals.

use memchr::arch::all::{is_prefix, is_suffix};
use memchr::memmem::Finder;

use super::ast::Node;
use super::literals::strip_anchors;

/// Into how many globs a pattern with alternatives may fall; more are left to an automaton.
const MAX_GLOBS: usize = 16;

/// Literals with gaps between them.
#[derive(Debug)]
pub(super) struct Glob {
    /// What a value begins with.
    prefix: Box<[u8]>,
    /// What follows, in order, each behind a gap.
    middles: Vec<(Gap, Finder<'static>)>,
    /// What a value ends with, behind a last gap; `None` if the prefix is all of it.
    end: Option<(Gap, Box<[u8]>)>,
}

/// How many bytes a gap has at least: `.*` 0, `.+` 1. Literals begin and end at whole
/// characters, so a gap of one byte is one of a character.
type Gap = usize;

/// A glob in the making.
#[derive(Debug, Clone, Default)]
struct Pieces {
    prefix: String,
    /// Gaps and what follows each.
    gaps: Vec<(Gap, String)>,
}

impl Pieces {
    fn push_text(&mut self, text: &str) {
        match self.gaps.last_mut() {
            Some((_, last)) => last.push_str(text),
            None => self.prefix.push_str(text),
        }
    }

    /// False where the gap would have to be of two characters.
    fn push_gap(&mut self, gap: Gap) -> bool {
        match self.gaps.last_mut() {
            Some((last, text)) if text.is_empty() => {
                let fits = *last + gap <= 1;
                *last += gap;
                fits
            }
            _ => {
                self.gaps.push((gap, String::new()));
                true
            }
        }
    }
}

/// The globs of which one matches exactly the values that the pattern matches, if there are
/// few.
pub(super) fn globs(node: &Node) -> Option<Vec<Glob>> {
    let mut all = vec![Pieces::default()];
    for node in strip_anchors(node) {
        all = extended(all, node)?;
    }
    Some(all.into_iter().map(Glob::new).collect())
}

/// All globs followed by all that a part of the pattern can be.
fn extended(mut globs: Vec<Pieces>, node: &Node) -> Option<Vec<Pieces>> {
    match node {
        Node::Empty => Some(globs),
        Node::Literal { text, fold: false } => {
            globs.iter_mut().for_each(|glob| glob.push_text(text));
            Some(globs)
        }
        Node::Capture { sub, .. } => extended(globs, sub),
        Node::Concat(nodes) => nodes.iter().try_fold(globs, extended),
        Node::Repeat { min: gap @ (0 | 1), max: None, sub, .. }
            if matches!(**sub, Node::AnyChar) =>
        {
            globs.iter_mut().all(|glob| glob.push_gap(*gap as Gap)).then_some(globs)
        }
        Node::Alternate(nodes) => {
            if globs.len() * nodes.len() > MAX_GLOBS {
                return None;
            }
            let mut all = vec![];
            for node in nodes {
                all.append(&mut extended(globs.clone(), node)?);
            }
            (all.len() <= MAX_GLOBS).then_some(all)
        }
        Node::Repeat { min: 0, max: Some(1), sub, .. } if globs.len() * 2 <= MAX_GLOBS => {
            let mut all = globs.clone();
            all.append(&mut extended(globs, sub)?);
            (all.len() <= MAX_GLOBS).then_some(all)
        }
        _ => None,
    }
}

impl Glob {
    fn new(pieces: Pieces) -> Self {
        let mut gaps = pieces.gaps;
        let bytes = |text: String| text.into_bytes().into_boxed_slice();
        let end = gaps.pop().map(|(gap, text)| (gap, bytes(text)));
        let finder = |text: String| Finder::new(text.as_bytes()).into_owned();
        let middles = gaps.into_iter().map(|(gap, text)| (gap, finder(text))).collect();
        Self { prefix: bytes(pieces.prefix), middles, end }
    }

    /// Whether the whole of `value` matches. The first place where a literal fits is as good as
    /// any later one.
    pub(super) fn matches(&self, value: &str) -> bool {
        let value = value.as_bytes();
        if !is_prefix(value, &self.prefix) {
            return false;
        }
        let mut rest = &value[self.prefix.len()..];
        let Some((last_gap, suffix)) = &self.end else {
            return rest.is_empty();
        };
        if !is_suffix(rest, suffix) {
            return false;
        }
        rest = &rest[..rest.len() - suffix.len()];
        for (gap, finder) in &self.middles {
            let found = rest.get(*gap..).and_then(|from| finder.find(from));
            let Some(at) = found else {
                return false;
            };
            rest = &rest[gap + at + finder.needle().len()..];
        }
        rest.len() >= *last_gap
    }

    /// Whether this is `.*`.
    pub(super) fn matches_everything(&self) -> bool {
        self.is_one_gap(0)
    }

    /// Whether this is `.+`.
    pub(super) fn matches_all_but_empty(&self) -> bool {
        self.is_one_gap(1)
    }

    fn is_one_gap(&self, gap: Gap) -> bool {
        let one = self.prefix.is_empty() && self.middles.is_empty();
        one && self.end.as_ref().is_some_and(|(own, suffix)| *own == gap && suffix.is_empty())
    }
}
