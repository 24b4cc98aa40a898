//! Text to nodes: one document, anchors and merge keys resolved, duplicate keys refused. What a
//! file can make it allocate is bounded (`MAX_NODES`), aliases included.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::{Data, Node};

/// Nodes of one document, each use of an alias counted anew: enough for the overrides of tens of
/// thousands of tenants, too few for a bomb of aliases.
const MAX_NODES: usize = 1_000_000;

/// How deep maps and lists may stand in each other.
const MAX_DEPTH: usize = 64;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct YamlError {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Reads the first document; `None` when there is none or it is null.
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let root = reader.document()?;
    Ok(root.filter(|node| !node.is_null()))
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, YamlError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::Comment(..) => {}
                Event::DocumentEnd => return Ok(None),
                event => return self.node(event, span, 0).map(Some),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next() {
            Some(Ok(pair)) => Ok(pair),
            Some(Err(error)) => Err(fail(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        if MAX_DEPTH <= depth {
            return Err(fail(line, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let before = self.nodes;
        self.count(1, line)?;
        let (data, anchor) = match event {
            Event::Alias(id) => return self.alias(id, line),
            Event::Scalar(text, style, anchor, tag) => {
                // A `!!str` tag makes text of what would be a number.
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (Data::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            other => return Err(fail(line, format!("unexpected {other:?}"))),
        };
        let node = Node { line, data };
        if 0 < anchor {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes += nodes;
        if MAX_NODES < self.nodes {
            return Err(fail(line, format!("more than {MAX_NODES} nodes")));
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<Node, YamlError> {
        let Some(size) = self.anchors.get(&id).map(|(_, size)| *size) else {
            return Err(fail(line, "an alias to itself or to nothing"));
        };
        // Counted before it is copied, so that the bound holds for the memory too.
        self.count(size, line)?;
        Ok(self.anchors[&id].0.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Data, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Data::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Data, YamlError> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        let mut keys = HashSet::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => break,
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if key.is_plain() && key.scalar() == Some("<<") {
                merged.push(value);
                continue;
            }
            let name = key.scalar().map(str::to_owned);
            if name.as_ref().is_some_and(|name| !keys.insert(name.clone())) {
                let message = format!("mapping key {} already defined", key.describe());
                return Err(fail(key.line, message));
            }
            entries.push((key, value));
        }
        for source in merged {
            merge(&mut entries, &mut keys, source)?;
        }
        Ok(Data::Map(entries))
    }
}

/// Adds what `<<` names: a map or a list of maps; keys that stand already win.
fn merge(
    entries: &mut Vec<(Node, Node)>,
    keys: &mut HashSet<String>,
    source: Node,
) -> Result<(), YamlError> {
    let line = source.line;
    match source.data {
        Data::Map(more) => {
            for (key, value) in more {
                if key.scalar().is_some_and(|name| keys.insert(name.to_owned())) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Data::List(sources) => {
            sources.into_iter().try_for_each(|source| merge(entries, keys, source))
        }
        Data::Scalar { .. } => {
            Err(fail(line, "map merge requires map or sequence of maps as the value"))
        }
    }
}

fn fail(line: usize, message: impl Into<String>) -> YamlError {
    YamlError { line, message: message.into() }
}
