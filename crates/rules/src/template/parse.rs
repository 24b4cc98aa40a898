//! From text to tree. Takes foreign text: nesting is bounded, and every loop consumes input.

use std::collections::HashMap;

/// The deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 100;

/// A parsed template with the templates that it defines.
#[derive(Debug, Default)]
pub(super) struct Template {
    pub(super) body: Vec<Node>,
    pub(super) defined: HashMap<String, Vec<Node>>,
}

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Block),
    With(Block),
    Range(Block),
    Call(String, Option<Pipeline>),
    Break,
    Continue,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// Variables that are set.
    pub(super) variables: Vec<String>,
    /// Whether they exist already (`=` instead of `:=`).
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// An operand and the fields that are taken of it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Variable(String),
    Function(String),
    Nested(Pipeline),
}

/// How a list of nodes ended.
enum Stop {
    Eof,
    End,
    Else,
    /// `else if` or `else with`, whose block is read already.
    ElseBlock(Node),
}

/// A template from its text.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let mut parser = Parser {
        rest: text,
        line: 1,
        depth: 0,
        loops: 0,
        variables: Vec::new(),
        defined: HashMap::new(),
    };
    parser.variables.push(String::new());
    let (body, end) = parser.nodes()?;
    match end {
        Stop::Eof => Ok(Template { body, defined: parser.defined }),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else | Stop::ElseBlock(_) => Err(parser.error("unexpected {{else}}")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
    /// How many `range` blocks are open.
    loops: usize,
    /// The variables that are known, without `$`.
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
}

impl<'a> Parser<'a> {
    fn error(&self, message: impl AsRef<str>) -> String {
        format!("line {}: {}", self.line, message.as_ref())
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Nodes up to the end of their block.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the template is nested too deeply"));
        }
        let mut nodes = Vec::new();
        let known = self.variables.len();
        let end = loop {
            let Some(at) = self.rest.find("{{") else {
                let text = self.take(self.rest.len());
                push_text(&mut nodes, text);
                break Stop::Eof;
            };
            let text = self.take(at);
            self.take(2);
            let trims = self.rest.starts_with("- ") || self.rest.starts_with("-\n");
            push_text(&mut nodes, if trims { text.trim_end() } else { text });
            if trims {
                self.take(1);
            }
            if let Some(end) = self.action(&mut nodes)? {
                break end;
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// One action behind its `{{`.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Stop>, String> {
        self.spaces();
        if self.rest.starts_with("/*") {
            let end = self.rest.find("*/").ok_or_else(|| self.error("unclosed comment"))?;
            self.take(end + 2);
            self.close()?;
            return Ok(None);
        }
        let word = self.peek_word();
        if !KEYWORDS.contains(&word) {
            let pipeline = self.pipeline()?;
            self.close()?;
            nodes.push(Node::Action(pipeline));
            return Ok(None);
        }
        self.take(word.len());
        self.keyword(word, nodes)
    }

    fn keyword(&mut self, word: &str, nodes: &mut Vec<Node>) -> Result<Option<Stop>, String> {
        match word {
            "end" => {
                self.close()?;
                return Ok(Some(Stop::End));
            }
            "else" => return self.otherwise().map(Some),
            "if" | "with" | "range" => nodes.push(self.block(word)?),
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close()?;
                nodes.push(if word == "break" { Node::Break } else { Node::Continue });
            }
            "template" => {
                let name = self.name()?;
                let pipeline = if self.at_close() { None } else { Some(self.pipeline()?) };
                self.close()?;
                nodes.push(Node::Call(name, pipeline));
            }
            "block" => {
                let name = self.name()?;
                let pipeline = self.pipeline()?;
                self.close()?;
                self.define(name.clone())?;
                nodes.push(Node::Call(name, Some(pipeline)));
            }
            _ => {
                let name = self.name()?;
                self.close()?;
                self.define(name)?;
            }
        }
        Ok(None)
    }

    fn define(&mut self, name: String) -> Result<(), String> {
        let (body, end) = self.nodes()?;
        if !matches!(end, Stop::End) {
            return Err(self.error("missing {{end}}"));
        }
        self.defined.insert(name, body);
        Ok(())
    }

    /// Behind `else`.
    fn otherwise(&mut self) -> Result<Stop, String> {
        self.spaces();
        let word = self.peek_word();
        if word == "if" || word == "with" {
            self.take(word.len());
            return self.block(word).map(Stop::ElseBlock);
        }
        self.close()?;
        Ok(Stop::Else)
    }

    /// Behind `if`, `with` or `range`, up to the matching end.
    fn block(&mut self, word: &str) -> Result<Node, String> {
        let known = self.variables.len();
        let pipeline = self.pipeline()?;
        self.close()?;
        self.loops += usize::from(word == "range");
        let (body, end) = self.nodes()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::ElseBlock(node) => vec![node],
            Stop::Else => {
                let (nodes, end) = self.nodes()?;
                if !matches!(end, Stop::End) {
                    return Err(self.error("expected {{end}}"));
                }
                nodes
            }
            Stop::Eof => return Err(self.error("unexpected EOF")),
        };
        self.variables.truncate(known);
        let block = Block { pipeline, body, otherwise };
        Ok(match word {
            "if" => Node::If(block),
            "with" => Node::With(block),
            _ => Node::Range(block),
        })
    }

    fn name(&mut self) -> Result<String, String> {
        self.spaces();
        match self.text_constant()? {
            Some(name) => Ok(name),
            None => Err(self.error("expected the name of a template in quotes")),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, String> {
        let mut pipeline = Pipeline::default();
        self.declaration(&mut pipeline)?;
        loop {
            let mut command = Vec::new();
            loop {
                self.spaces();
                if self.at_close() || self.rest.starts_with(['|', ')']) {
                    break;
                }
                command.push(self.operand()?);
            }
            if command.is_empty() {
                return Err(self.error("missing value for command"));
            }
            pipeline.commands.push(command);
            if !self.rest.starts_with('|') {
                break;
            }
            self.take(1);
        }
        if !pipeline.is_assignment {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        Ok(pipeline)
    }

    /// `$a, $b :=` or `$a =`, if the pipeline begins so.
    fn declaration(&mut self, pipeline: &mut Pipeline) -> Result<(), String> {
        self.spaces();
        let (mut rest, mut names) = (self.rest, Vec::new());
        loop {
            let Some(after) = rest.strip_prefix('$') else { return Ok(()) };
            let length = word_len(after);
            names.push(after[..length].to_owned());
            rest = after[length..].trim_start();
            match rest.strip_prefix(',') {
                Some(after) if names.len() < 2 => rest = after.trim_start(),
                _ => break,
            }
        }
        let is_assignment = !rest.starts_with(":=");
        if is_assignment && (!rest.starts_with('=') || rest.starts_with("==")) {
            return Ok(());
        }
        if is_assignment && let Some(unknown) = names.iter().find(|name| !self.knows(name)) {
            return Err(self.error(format!("undefined variable \"${unknown}\"")));
        }
        self.take(self.rest.len() - rest.len() + if is_assignment { 1 } else { 2 });
        (pipeline.variables, pipeline.is_assignment) = (names, is_assignment);
        Ok(())
    }

    fn knows(&self, variable: &str) -> bool {
        self.variables.iter().any(|known| known == variable)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let base = self.base()?;
        let mut fields = Vec::new();
        // `.a.b`: the first field belongs to the dot.
        if matches!(base, Base::Dot) && word_len(self.rest) > 0 {
            fields.push(self.take(word_len(self.rest)).to_owned());
        }
        while let Some(after) = self.rest.strip_prefix('.') {
            let length = word_len(after);
            if length == 0 {
                return Err(self.error("unexpected <.> in operand"));
            }
            self.take(1);
            fields.push(self.take(length).to_owned());
        }
        let ends = self.rest.starts_with([' ', '\t', '\r', '\n', '|', ')', '(']);
        if self.rest.is_empty() {
            return Err(self.error("unclosed action"));
        }
        if !ends && !self.at_close() {
            let next: String = self.rest.chars().take(1).collect();
            return Err(self.error(format!("unexpected {next:?} in operand")));
        }
        Ok(Operand { base, fields })
    }

    fn base(&mut self) -> Result<Base, String> {
        if let Some(text) = self.text_constant()? {
            return Ok(Base::Str(text));
        }
        let first = self.rest.chars().next().unwrap_or(' ');
        match first {
            '.' if !self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.take(1);
                Ok(Base::Dot)
            }
            '$' => {
                let length = word_len(&self.rest[1..]);
                let name = self.take(1 + length)[1..].to_owned();
                if !self.knows(&name) {
                    return Err(self.error(format!("undefined variable \"${name}\"")));
                }
                Ok(Base::Variable(name))
            }
            '(' => self.nested(),
            '\'' => self.character(),
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number(),
            c if c.is_alphabetic() || c == '_' => self.identifier(),
            _ => Err(self.error(format!("unexpected {first:?} in command"))),
        }
    }

    fn nested(&mut self) -> Result<Base, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the template is nested too deeply"));
        }
        self.take(1);
        let pipeline = self.pipeline()?;
        if !self.rest.starts_with(')') {
            return Err(self.error("unclosed left paren"));
        }
        self.take(1);
        self.depth -= 1;
        Ok(Base::Nested(pipeline))
    }

    fn identifier(&mut self) -> Result<Base, String> {
        let word = self.take(word_len(self.rest));
        match word {
            "true" | "false" => Ok(Base::Bool(word == "true")),
            "nil" => Ok(Base::Nil),
            name if super::functions::exists(name) => Ok(Base::Function(name.to_owned())),
            name => Err(self.error(format!("function {name:?} not defined"))),
        }
    }

    fn number(&mut self) -> Result<Base, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        let mut length = 1;
        for (i, c) in self.rest.char_indices().skip(1) {
            let is_sign = matches!(c, '+' | '-') && self.rest[..i].ends_with(['e', 'E']);
            if !is_part(c) && !is_sign {
                break;
            }
            length = i + c.len_utf8();
        }
        let text = self.take(length);
        let bad = |this: &Self| this.error(format!("bad number syntax: {text:?}"));
        let plain = text.replace('_', "");
        if let Some(hex) = plain.strip_prefix("0x") {
            return i64::from_str_radix(hex, 16).map(Base::Int).map_err(|_| bad(self));
        }
        match plain.parse() {
            Ok(number) => Ok(Base::Int(number)),
            Err(_) => plain.parse().map(Base::Float).map_err(|_| bad(self)),
        }
    }

    fn character(&mut self) -> Result<Base, String> {
        let inner = self.rest[1..].find('\'').map(|end| &self.rest[1..1 + end]);
        let mut chars = inner.unwrap_or_default().chars();
        let (Some(c), None) = (chars.next(), chars.next()) else {
            return Err(self.error("malformed character constant"));
        };
        self.take(2 + c.len_utf8());
        Ok(Base::Int(i64::from(u32::from(c))))
    }

    /// A text in quotes or backquotes, if one comes.
    fn text_constant(&mut self) -> Result<Option<String>, String> {
        if let Some(raw) = self.rest.strip_prefix('`') {
            let end = raw.find('`').ok_or_else(|| self.error("unterminated raw quoted string"))?;
            let text = raw[..end].to_owned();
            self.take(end + 2);
            return Ok(Some(text));
        }
        if !self.rest.starts_with('"') {
            return Ok(None);
        }
        let mut escaped = false;
        let end = self.rest[1..].find(|c: char| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end || c == '\n'
        });
        let end = end.filter(|&end| self.rest[1 + end..].starts_with('"'));
        let end = end.ok_or_else(|| self.error("unterminated quoted string"))?;
        let literal = self.take(end + 2);
        let bytes = promql::strings::unquote(literal.as_bytes())
            .map_err(|_| self.error(format!("bad string constant {literal}")))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn peek_word(&self) -> &'a str {
        &self.rest[..word_len(self.rest)]
    }

    fn spaces(&mut self) {
        let spaces = self.rest.len() - self.rest.trim_start().len();
        // A minus behind spaces may trim what follows the action.
        self.take(spaces);
    }

    fn at_close(&self) -> bool {
        self.rest.starts_with("}}") || self.rest.starts_with("-}}")
    }

    /// `}}`, and the spaces behind `-}}`.
    fn close(&mut self) -> Result<(), String> {
        self.spaces();
        if self.rest.starts_with("-}}") {
            self.take(3);
            self.spaces();
            return Ok(());
        }
        if !self.rest.starts_with("}}") {
            let next: String = self.rest.chars().take(1).collect();
            let message = if next.is_empty() {
                "unclosed action".to_owned()
            } else {
                format!("unexpected {next:?} in action")
            };
            return Err(self.error(message));
        }
        self.take(2);
        Ok(())
    }
}

const KEYWORDS: [&str; 10] =
    ["end", "else", "if", "with", "range", "break", "continue", "template", "block", "define"];

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_owned()));
    }
}

/// The length of the identifier that a text begins with; 0 without one.
fn word_len(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}
