//! Query text over several lines, as the HTTP API's `format_query` gives it.
//!
//! The layout is Prometheus': what is longer than 100 bytes on one line is split, with two spaces
//! for each level. The left side of an operator is indented more than the operator, so a long chain
//! of operators becomes a slope; the size of the result is therefore limited.

use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::ast::{AggregateExpr, BinaryExpr, Call, Expr};
use crate::printer::{AggregateHead, OperatorHead, SubqueryTail};

const MAX_LINE_BYTES: usize = 100;
const INDENT_WIDTH: usize = 2;
const BLANKS: &str = "                                                                ";

/// The most bytes that a formatted query may have.
pub const MAX_FORMATTED_BYTES: usize = 16 << 20;

/// The formatted query would have more than [`MAX_FORMATTED_BYTES`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("formatted query would be larger than {MAX_FORMATTED_BYTES} bytes")]
pub struct FormattedTooLarge;

/// `expr` over as many lines as it needs.
///
/// # Errors
/// If the result would be too large.
pub fn prettify(expr: &Expr) -> Result<String, FormattedTooLarge> {
    let mut out = Pretty::default();
    out.expr(expr, 0).map_err(|_| FormattedTooLarge)?;
    Ok(out.text)
}

#[derive(Default)]
struct Pretty {
    text: String,
    /// The next indentation is left out, because a sign stands in front of it.
    skips_indent: bool,
}

impl fmt::Write for Pretty {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > MAX_FORMATTED_BYTES {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl Pretty {
    fn indent(&mut self, level: usize) -> fmt::Result {
        let mut blanks_left = level * INDENT_WIDTH;
        if std::mem::take(&mut self.skips_indent) {
            blanks_left = 0;
        }
        while blanks_left > 0 {
            let count = blanks_left.min(BLANKS.len());
            self.write_str(&BLANKS[..count])?;
            blanks_left -= count;
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        match expr {
            Expr::Unary(node) => {
                self.indent(level)?;
                self.write_str(node.op.symbol())?;
                self.skips_indent = true;
                self.expr(&node.expr, level)
            }
            // A subquery that fits on the line is not indented by Prometheus either.
            Expr::Subquery(_) if fits(expr) => {
                self.skips_indent = false;
                write!(self, "{expr}")
            }
            Expr::Subquery(node) => {
                self.expr(&node.expr, level)?;
                write!(self, "{}", SubqueryTail(node))
            }
            Expr::Binary(node) => self.binary(node, level),
            _ => {
                self.indent(level)?;
                self.unindented(expr, level)
            }
        }
    }

    /// An expression whose indentation has been written.
    fn unindented(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        match expr {
            Expr::Call(call) if !fits(expr) => self.call(call, level),
            Expr::Aggregate(aggregate) if !fits(expr) => self.aggregate(aggregate, level),
            Expr::Paren(paren) if !fits(expr) => {
                self.write_str("(\n")?;
                self.expr(&paren.expr, level + 1)?;
                self.close(level)
            }
            _ => write!(self, "{expr}"),
        }
    }

    fn close(&mut self, level: usize) -> fmt::Result {
        self.write_str("\n")?;
        self.indent(level)?;
        self.write_str(")")
    }

    fn call(&mut self, call: &Call, level: usize) -> fmt::Result {
        writeln!(self, "{}(", call.func.name)?;
        for (index, arg) in call.args.iter().enumerate() {
            self.write_str(if index == 0 { "" } else { ",\n" })?;
            self.expr(arg, level + 1)?;
        }
        self.close(level)
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr, level: usize) -> fmt::Result {
        writeln!(self, "{}(", AggregateHead(aggregate))?;
        if let Some(param) = &aggregate.param {
            self.expr(param, level + 1)?;
            self.write_str(",\n")?;
        }
        self.expr(&aggregate.expr, level + 1)?;
        self.close(level)
    }

    /// A chain of operators: the innermost nodes that fit on one line together, then one operator
    /// and operand after the other.
    fn binary(&mut self, outermost: &BinaryExpr, level: usize) -> fmt::Result {
        let chain: Vec<_> = outermost.left_chain().collect();
        let Some(innermost) = chain.last() else { return Ok(()) };
        let innermost_level = level + chain.len();
        let mut line = Line::default();
        let mut fitting = 0;
        if write!(line, "{}", innermost.lhs).is_ok() {
            let nodes = chain.iter().rev();
            fitting = nodes.take_while(|node| line.append_operation(node).is_ok()).count();
        }
        if fitting == 0 {
            self.expr(&innermost.lhs, innermost_level)?;
        } else {
            self.indent(innermost_level - fitting)?;
            write!(self, "{}", innermost.lhs)?;
        }
        for (index, node) in chain.iter().rev().enumerate() {
            if index < fitting {
                write!(self, " {} {}", OperatorHead(node), node.rhs)?;
                continue;
            }
            let level = innermost_level - index - 1;
            self.write_str("\n")?;
            self.indent(level)?;
            writeln!(self, "{}", OperatorHead(node))?;
            self.expr(&node.rhs, level + 1)?;
        }
        Ok(())
    }
}

/// A line that takes no more than [`MAX_LINE_BYTES`].
#[derive(Default)]
struct Line {
    length: usize,
}

impl Line {
    fn append_operation(&mut self, node: &BinaryExpr) -> fmt::Result {
        write!(self, " {} {}", OperatorHead(node), node.rhs)
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        if self.length > MAX_LINE_BYTES { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Whether an expression needs no splitting. Stops printing as soon as it is known.
fn fits(expr: &Expr) -> bool {
    write!(Line::default(), "{expr}").is_ok()
}
