//! From the tree of a pattern to the form that automata are built from.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::ast::Node;
use super::class::folded_char;

/// Whether groups are to be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    /// Only whether a value matches is asked.
    Dropped,
    /// What groups matched is asked.
    Kept,
}

/// The whole pattern, which must end where the value ends. That it begins where the value
/// begins is up to the search.
pub(super) fn anchored(node: &Node, groups: Groups) -> Hir {
    Hir::concat(vec![lower(node, groups), Hir::look(Look::End)])
}

fn lower(node: &Node, groups: Groups) -> Hir {
    let all = |nodes: &[Node]| nodes.iter().map(|node| lower(node, groups)).collect();
    match node {
        Node::Empty => Hir::empty(),
        Node::Never => Hir::fail(),
        Node::Literal { text, fold: false } => Hir::literal(text.as_bytes()),
        Node::Literal { text, fold: true } => {
            let class = |c| Hir::class(Class::Unicode(folded_char(c)));
            Hir::concat(text.chars().map(class).collect())
        }
        Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
        Node::AnyChar => Hir::class(Class::Unicode(any_char())),
        Node::AnyCharNotNewline => {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]);
            class.negate();
            Hir::class(Class::Unicode(class))
        }
        Node::Look(look) => Hir::look(*look),
        Node::Repeat { min, max, greedy, sub } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: *greedy,
            sub: Box::new(lower(sub, groups)),
        }),
        Node::Capture { sub, .. } if groups == Groups::Dropped => lower(sub, groups),
        Node::Capture { index, sub } => {
            Hir::capture(Capture { index: *index, name: None, sub: Box::new(lower(sub, groups)) })
        }
        Node::Concat(nodes) => Hir::concat(all(nodes)),
        Node::Alternate(nodes) => Hir::alternation(all(nodes)),
    }
}

fn any_char() -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])
}
