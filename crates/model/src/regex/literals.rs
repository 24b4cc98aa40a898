//! What can be said of a pattern without an automaton: the values that match, if they are
//! finitely many, and what all of them begin and end with.

use regex_syntax::hir::{ClassUnicode, Look};

use super::ast::Node;

/// How many values may come of sequences, classes and repetitions; alternatives that are
/// written out are not bounded.
const MAX_PRODUCT: usize = 256;
/// How many bytes all values may have.
const MAX_SET_BYTES: usize = 4 << 20;

/// All values that a pattern matches, if they are few.
pub(super) fn finite_set(node: &Node) -> Option<Vec<String>> {
    let nodes = strip_anchors(node);
    number(nodes)?;
    values(nodes)
}

/// A pattern that begins with `^` or ends with `$` says what is true anyway.
pub(super) fn strip_anchors(node: &Node) -> &[Node] {
    let Node::Concat(nodes) = node else {
        return std::slice::from_ref(node);
    };
    let start = |node: &&Node| matches!(node, Node::Look(Look::Start));
    let end = |node: &&Node| matches!(node, Node::Look(Look::End));
    let nodes = &nodes[nodes.iter().take_while(start).count()..];
    &nodes[..nodes.len() - nodes.iter().rev().take_while(end).count()]
}

/// How many values a sequence has, if they are few: told before any is made.
fn number(nodes: &[Node]) -> Option<usize> {
    nodes.iter().try_fold(1, |all, node| number_of_pairs(all, number_of(node)?))
}

fn number_of(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Literal { fold: false, .. } => Some(1),
        Node::Never => Some(0),
        Node::Class(class) => {
            let number = class.ranges().iter().map(|range| range.len()).sum();
            (number <= MAX_PRODUCT).then_some(number)
        }
        Node::Capture { sub, .. } => number_of(sub),
        Node::Concat(nodes) => number(nodes),
        Node::Alternate(nodes) => {
            nodes.iter().try_fold(0_usize, |all, node| all.checked_add(number_of(node)?))
        }
        Node::Repeat { min, max: Some(max), sub, .. } => {
            let (once, mut copies, mut all) = (number_of(sub)?, 1, 0_usize);
            for count in 0..=*max {
                if count > 0 {
                    copies = number_of_pairs(copies, once)?;
                }
                all += if count >= *min { copies } else { 0 };
                if all > MAX_PRODUCT {
                    return None;
                }
            }
            Some(all)
        }
        Node::Literal { fold: true, .. }
        | Node::AnyChar
        | Node::AnyCharNotNewline
        | Node::Look(_)
        | Node::Repeat { max: None, .. } => None,
    }
}

fn number_of_pairs(left: usize, right: usize) -> Option<usize> {
    let pairs = left.checked_mul(right)?;
    (left <= 1 || right <= 1 || pairs <= MAX_PRODUCT).then_some(pairs)
}

/// The values of a sequence.
fn values(nodes: &[Node]) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    for node in nodes {
        all = product(all, &values_of(node)?)?;
    }
    Some(all)
}

fn values_of(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Never => Some(vec![]),
        Node::Literal { text, fold: false } => Some(vec![text.clone()]),
        Node::Class(class) => class_values(class),
        Node::Capture { sub, .. } => values_of(sub),
        Node::Concat(nodes) => values(nodes),
        Node::Alternate(nodes) => {
            let mut all = vec![];
            for node in nodes {
                all.append(&mut values_of(node)?);
            }
            (bytes(&all) <= MAX_SET_BYTES).then_some(all)
        }
        Node::Repeat { min, max: Some(max), sub, .. } => repeat_values(*min, *max, sub),
        Node::Literal { fold: true, .. }
        | Node::AnyChar
        | Node::AnyCharNotNewline
        | Node::Look(_)
        | Node::Repeat { max: None, .. } => None,
    }
}

fn class_values(class: &ClassUnicode) -> Option<Vec<String>> {
    let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
    Some(chars.map(String::from).collect())
}

fn repeat_values(min: u32, max: u32, sub: &Node) -> Option<Vec<String>> {
    let once = values_of(sub)?;
    let mut all = vec![];
    let mut copies = vec![String::new()];
    for count in 0..=max {
        if count > 0 {
            copies = product(copies, &once)?;
        }
        if count >= min {
            all.extend_from_slice(&copies);
        }
        if bytes(&all) > MAX_SET_BYTES {
            return None;
        }
    }
    Some(all)
}

/// Every one of `left` followed by every one of `right`.
fn product(mut left: Vec<String>, right: &[String]) -> Option<Vec<String>> {
    match right {
        [] => return Some(vec![]),
        [only] => {
            left.iter_mut().for_each(|value| value.push_str(only));
            return (bytes(&left) <= MAX_SET_BYTES).then_some(left);
        }
        _ => {}
    }
    if let [only] = left.as_slice() {
        let values = right.iter().map(|value| format!("{only}{value}")).collect::<Vec<_>>();
        return (bytes(&values) <= MAX_SET_BYTES).then_some(values);
    }
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| format!("{a}{b}")));
    Some(pairs.collect())
}

fn bytes(values: &[String]) -> usize {
    values.iter().map(|value| value.len() + size_of::<String>()).sum()
}

/// What every value that matches begins with.
pub(super) fn prefix(node: &Node) -> String {
    edge(node, Edge::Start).text
}

/// What every value that matches ends with.
pub(super) fn suffix(node: &Node) -> String {
    edge(node, Edge::End).text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

/// What all matches of a part have at one edge.
struct Known {
    text: String,
    /// Whether the part matches nothing else.
    whole: bool,
}

fn edge(node: &Node, at: Edge) -> Known {
    let nothing = |whole| Known { text: String::new(), whole };
    match node {
        // A condition takes no characters: what follows it still has to follow.
        Node::Empty | Node::Look(_) => nothing(true),
        Node::Literal { text, fold: false } => Known { text: text.clone(), whole: true },
        Node::Capture { sub, .. } => edge(sub, at),
        Node::Repeat { min, sub, .. } if *min > 0 => Known { whole: false, ..edge(sub, at) },
        Node::Concat(nodes) => edge_of_sequence(nodes, at),
        Node::Alternate(nodes) => Known { text: edge_of_alternatives(nodes, at), whole: false },
        Node::Never
        | Node::Literal { fold: true, .. }
        | Node::Class(_)
        | Node::AnyChar
        | Node::AnyCharNotNewline
        | Node::Repeat { .. } => nothing(false),
    }
}

fn edge_of_sequence(nodes: &[Node], at: Edge) -> Known {
    let mut known = Known { text: String::new(), whole: true };
    let mut add = |node| {
        let next = edge(node, at);
        match at {
            Edge::Start => known.text.push_str(&next.text),
            Edge::End => known.text.insert_str(0, &next.text),
        }
        known.whole = next.whole;
        next.whole
    };
    match at {
        Edge::Start => nodes.iter().all(&mut add),
        Edge::End => nodes.iter().rev().all(&mut add),
    };
    known
}

fn edge_of_alternatives(nodes: &[Node], at: Edge) -> String {
    let mut common: Option<String> = None;
    for node in nodes {
        let next = edge(node, at).text;
        let shared = match common {
            None => next,
            Some(common) => match at {
                Edge::Start => common_prefix(&common, &next).to_owned(),
                Edge::End => common_suffix(&common, &next).to_owned(),
            },
        };
        if shared.is_empty() {
            return shared;
        }
        common = Some(shared);
    }
    common.unwrap_or_default()
}

/// The longest common prefix of two texts.
pub(super) fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b);
    match same {
        Some(((end, _), _)) => &a[..end],
        None => &a[..a.len().min(b.len())],
    }
}

fn common_suffix<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.char_indices().rev().zip(b.chars().rev()).find(|((_, a), b)| a != b);
    match same {
        Some(((at, c), _)) => &a[at + c.len_utf8()..],
        None => &a[a.len() - a.len().min(b.len())..],
    }
}
