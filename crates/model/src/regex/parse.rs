//! The parser of Go's syntax (`regexp/syntax` with the flags `Perl | DotNL`).
//!
//! It reads from left to right, like Go's, so that of several errors the same one is reported.
//! Open groups stand on a stack of our own: nesting costs no stack of the thread. The finished
//! tree is walked recursively, though; its height is bounded for that.

use regex_syntax::hir::{ClassUnicode, Look};

use super::ast::Node;
use super::class::has_case;
use super::error::{RegexError, RegexErrorKind};

/// The greatest repetition, also by nesting.
const MAX_REPEAT: u32 = 1000;
/// The greatest height of a tree.
const MAX_HEIGHT: u32 = 250;
/// How many ranges all classes of a pattern may have together.
const MAX_CLASS_RANGES: usize = 500_000;
/// How many parts may be moved when groups within groups dissolve: each level moves them again.
const MAX_MOVED: usize = 5_000_000;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// Names of the capture groups, from group 1 on.
    pub(super) names: Vec<Option<String>>,
}

/// Parses a pattern.
pub(super) fn parse(pattern: &str) -> Result<Parsed, RegexError> {
    let mut parser = Parser::new(pattern);
    while !parser.rest.is_empty() {
        parser.parse_element()?;
    }
    parser.finish()
}

/// What `(?...)` switches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_newline: bool,
    pub(super) swap_greed: bool,
}

/// A part of the pattern that repetitions can apply to.
#[derive(Debug)]
struct Item {
    node: Node,
    /// How often the innermost part may be repeated by nested repetitions.
    weight: u32,
    height: u32,
    /// A run of characters: more may be added, and a repetition applies to the last one alone.
    run: bool,
}

impl Item {
    fn leaf(node: Node) -> Self {
        Self { node, weight: 1, height: 1, run: false }
    }
}

/// A group that is still open; the first is the whole pattern.
#[derive(Debug)]
struct Group {
    /// The flags to return to.
    outer_flags: Flags,
    capture: Option<u32>,
    branches: Vec<Item>,
    items: Vec<Item>,
}

pub(super) struct Parser<'p> {
    whole: &'p str,
    pub(super) rest: &'p str,
    pub(super) flags: Flags,
    groups: Vec<Group>,
    names: Vec<Option<String>>,
    class_ranges: usize,
    moved: usize,
    /// The pattern from the repetition on that has just been read.
    last_repeat: Option<&'p str>,
}

impl<'p> Parser<'p> {
    fn new(whole: &'p str) -> Self {
        let flags =
            Flags { fold_case: false, multi_line: false, dot_newline: true, swap_greed: false };
        let mut parser = Self {
            whole,
            rest: whole,
            flags,
            groups: vec![],
            names: vec![],
            class_ranges: 0,
            moved: 0,
            last_repeat: None,
        };
        parser.open_group(None);
        parser
    }

    fn parse_element(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        let last_repeat = self.last_repeat.take();
        let Some(first) = before.chars().next() else {
            return Ok(());
        };
        match first {
            '*' | '+' | '?' => return self.parse_operator(first, last_repeat),
            '{' => return self.parse_counted(last_repeat),
            '(' if before.starts_with("(?") => return self.parse_perl_group(),
            '[' => return self.parse_class(),
            '\\' => return self.parse_backslash(),
            _ => {}
        }
        self.rest = &before[first.len_utf8()..];
        match first {
            '(' => self.open_capture(None),
            '|' => self.next_branch()?,
            ')' => self.close_group()?,
            '^' => self.push_look(if self.flags.multi_line { Look::StartLF } else { Look::Start }),
            '$' => self.push_look(if self.flags.multi_line { Look::EndLF } else { Look::End }),
            '.' if self.flags.dot_newline => self.push(Item::leaf(Node::AnyChar)),
            '.' => self.push(Item::leaf(Node::AnyCharNotNewline)),
            other => self.push_char(other),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Parsed, RegexError> {
        let last = self.groups.pop();
        match last {
            Some(group) if self.groups.is_empty() => {
                let node = self.group_item(group.items, group.branches)?.node;
                Ok(Parsed { node, names: self.names })
            }
            _ => Err(self.error(RegexErrorKind::MissingParen, self.whole)),
        }
    }

    pub(super) fn error(&self, kind: RegexErrorKind, expression: &str) -> RegexError {
        RegexError::new(kind, expression)
    }

    /// Opens a group without capture; its flags may be changed after.
    pub(super) fn open_group(&mut self, capture: Option<u32>) {
        let outer_flags = self.flags;
        self.groups.push(Group { outer_flags, capture, branches: vec![], items: vec![] });
    }

    /// Opens a capture group.
    pub(super) fn open_capture(&mut self, name: Option<String>) {
        self.names.push(name);
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.open_group(Some(index));
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the group of the whole pattern is only popped at the end")
    }

    fn next_branch(&mut self) -> Result<(), RegexError> {
        let items = std::mem::take(&mut self.group().items);
        let branch = self.concat(items)?;
        self.group().branches.push(branch);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        if self.groups.len() < 2 {
            return Err(self.error(RegexErrorKind::UnexpectedParen, self.whole));
        }
        let Some(group) = self.groups.pop() else {
            return Ok(());
        };
        let mut item = self.group_item(group.items, group.branches)?;
        self.flags = group.outer_flags;
        if let Some(index) = group.capture {
            item.node = Node::Capture { index, sub: Box::new(item.node) };
            item.height += 1;
            self.check_height(item.height)?;
        }
        item.run = false;
        self.push(item);
        Ok(())
    }

    fn group_item(
        &mut self,
        items: Vec<Item>,
        mut branches: Vec<Item>,
    ) -> Result<Item, RegexError> {
        let last = self.concat(items)?;
        if branches.is_empty() {
            return Ok(last);
        }
        branches.push(last);
        self.join(branches, Joint::Alternate)
    }

    fn concat(&mut self, mut items: Vec<Item>) -> Result<Item, RegexError> {
        match items.len() {
            0 => Ok(Item::leaf(Node::Empty)),
            1 => Ok(items.remove(0)),
            _ => self.join(items, Joint::Concat),
        }
    }

    /// Joins items; those that are of the same kind dissolve in the new one.
    fn join(&mut self, items: Vec<Item>, joint: Joint) -> Result<Item, RegexError> {
        let mut nodes = Vec::with_capacity(items.len());
        let (mut weight, mut height) = (1, 1);
        for item in items {
            weight = item.weight.max(weight);
            match (joint, item.node) {
                (Joint::Concat, Node::Concat(inner))
                | (Joint::Alternate, Node::Alternate(inner)) => {
                    height = item.height.max(height);
                    self.moved += inner.len();
                    inner.into_iter().for_each(|node| push_merged(&mut nodes, node, joint));
                }
                (_, node) => {
                    height = (item.height + 1).max(height);
                    push_merged(&mut nodes, node, joint);
                }
            }
        }
        if self.moved > MAX_MOVED {
            return Err(self.error(RegexErrorKind::TooLarge, self.whole));
        }
        self.check_height(height)?;
        let node = match (joint, nodes.len()) {
            (_, 1) => nodes.remove(0),
            (Joint::Concat, _) => Node::Concat(nodes),
            (Joint::Alternate, _) => Node::Alternate(nodes),
        };
        Ok(Item { node, weight, height, run: false })
    }

    fn check_height(&self, height: u32) -> Result<(), RegexError> {
        if height > MAX_HEIGHT {
            return Err(self.error(RegexErrorKind::NestingDepth, self.whole));
        }
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.group().items.push(item);
    }

    /// Adds a condition.
    pub(super) fn push_look(&mut self, look: Look) {
        self.push(Item::leaf(Node::Look(look)));
    }

    /// Adds a character, under the current flags.
    pub(super) fn push_char(&mut self, c: char) {
        let fold = self.flags.fold_case && has_case(c);
        self.push_char_as(c, fold);
    }

    fn push_char_as(&mut self, c: char, fold: bool) {
        let items = &mut self.group().items;
        if let Some(Item { node: Node::Literal { text, fold: open }, run: true, .. }) =
            items.last_mut()
            && *open == fold
        {
            return text.push(c);
        }
        let node = Node::Literal { text: c.into(), fold };
        items.push(Item { node, weight: 1, height: 1, run: true });
    }

    /// Adds a number that an escape named: no character where it is half of a surrogate pair.
    pub(super) fn push_code_point(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(c) => self.push_char(c),
            None => self.push(Item::leaf(Node::Never)),
        }
    }

    /// Adds a class. One of a single character is a literal.
    pub(super) fn push_class(&mut self, class: ClassUnicode) -> Result<(), RegexError> {
        self.count_ranges(&class)?;
        match class.ranges() {
            [] => self.push(Item::leaf(Node::Never)),
            [range] if range.start() == range.end() => self.push_char_as(range.start(), false),
            _ => self.push(Item::leaf(Node::Class(class))),
        }
        Ok(())
    }

    /// Adds up what classes cost.
    pub(super) fn count_ranges(&mut self, class: &ClassUnicode) -> Result<(), RegexError> {
        self.class_ranges += class.ranges().len();
        if self.class_ranges > MAX_CLASS_RANGES {
            return Err(self.error(RegexErrorKind::TooLarge, self.whole));
        }
        Ok(())
    }

    fn parse_operator(
        &mut self,
        operator: char,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        let (min, max) = match operator {
            '*' => (0, None),
            '+' => (1, None),
            _ => (0, Some(1)),
        };
        let before = self.rest;
        self.rest = &before[1..];
        self.repeat((min, max), before, last_repeat)
    }

    fn parse_counted(&mut self, last_repeat: Option<&'p str>) -> Result<(), RegexError> {
        let before = self.rest;
        let Some((counts, rest)) = counts(before) else {
            self.rest = &before[1..];
            self.push_char('{');
            return Ok(());
        };
        self.rest = rest;
        let (min, max) = counts;
        let too_great = min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min);
        if too_great {
            return Err(self.error(RegexErrorKind::InvalidRepeatSize, until(before, rest)));
        }
        self.repeat((min, max), before, last_repeat)
    }

    /// Repeats the last item. `before` is the pattern from the operator on.
    fn repeat(
        &mut self,
        (min, max): (u32, Option<u32>),
        before: &'p str,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        let lazy = self.rest.starts_with('?');
        if lazy {
            self.rest = &self.rest[1..];
        }
        let greedy = lazy == self.flags.swap_greed;
        if let Some(last) = last_repeat {
            return Err(self.error(RegexErrorKind::InvalidRepeatOp, until(last, self.rest)));
        }
        let Some(item) = self.pop_repeated() else {
            return Err(self.error(RegexErrorKind::MissingRepeatArgument, until(before, self.rest)));
        };
        let weight = match max.unwrap_or(min) {
            0 if max.is_some() => 1,
            copies => item.weight.saturating_mul(copies.max(1)),
        };
        if weight > MAX_REPEAT && (min >= 2 || max.is_some_and(|max| max >= 2)) {
            return Err(self.error(RegexErrorKind::InvalidRepeatSize, until(before, self.rest)));
        }
        let height = item.height + 1;
        self.check_height(height)?;
        self.last_repeat = Some(before);
        let node = repeated(item.node, (min, max), greedy);
        self.push(Item { node, weight, height, run: false });
        Ok(())
    }

    /// Takes the last item, of a run of characters only the last one.
    fn pop_repeated(&mut self) -> Option<Item> {
        let mut item = self.group().items.pop()?;
        if let Node::Literal { text, fold } = &mut item.node
            && item.run
            && let Some(c) = text.pop()
        {
            let node = Node::Literal { text: c.into(), fold: *fold };
            if !text.is_empty() {
                item.run = false;
                self.push(item);
            }
            return Some(Item::leaf(node));
        }
        Some(item)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Concat,
    Alternate,
}

/// Neighbouring literals of a sequence become one; empty parts of it vanish.
fn push_merged(nodes: &mut Vec<Node>, node: Node, joint: Joint) {
    if joint == Joint::Alternate {
        return nodes.push(node);
    }
    match (nodes.last_mut(), node) {
        (Some(_), Node::Empty) => {}
        (Some(last @ Node::Empty), node) => *last = node,
        (Some(Node::Literal { text, fold }), Node::Literal { text: more, fold: other })
            if *fold == other =>
        {
            text.push_str(&more);
        }
        (_, node) => nodes.push(node),
    }
}

fn repeated(node: Node, (min, max): (u32, Option<u32>), greedy: bool) -> Node {
    match (min, max) {
        (_, Some(0)) => Node::Empty,
        (1, Some(1)) => node,
        _ => Node::Repeat { min, max, greedy, sub: Box::new(node) },
    }
}

/// The part of `from` before `rest`, which is its end.
pub(super) fn until<'p>(from: &'p str, rest: &str) -> &'p str {
    &from[..from.len() - rest.len()]
}

/// The numbers of `{2}`, `{2,}` or `{2,3}` and what follows; `None` if it is none of them, and
/// so literal. Numbers too great for any purpose are `u32::MAX`.
fn counts(text: &str) -> Option<((u32, Option<u32>), &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some(((min, Some(min)), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some(((min, None), rest));
    }
    let (max, rest) = count(rest)?;
    Some(((min, Some(max)), rest.strip_prefix('}')?))
}

/// A number without leading zeros.
fn count(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() || (number.len() > 1 && number.starts_with('0')) {
        return None;
    }
    Some((number.parse().unwrap_or(u32::MAX), rest))
}
