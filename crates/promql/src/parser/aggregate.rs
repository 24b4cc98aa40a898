//! Aggregations and the lists of labels in parentheses.

use super::cursor::{Context, Parsed, Parser};
use super::operand::Open;
use crate::ast::{AggregateExpr, AggregateOp, BinaryOp, Expr};
use crate::lexer::{Keyword, TokenKind};
use crate::position::PositionRange;
use crate::strings::quote;

/// What unexpected tokens anywhere within an aggregation are told, unless something within it
/// knows better.
const IN_AGGREGATION: Context = Context { place: "aggregation", expected: "" };

/// A `by` or `without` clause.
#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

/// An aggregation that waits for an argument.
pub(super) struct OpenAggregate {
    op: AggregateOp,
    op_pos: PositionRange,
    /// The clause in front of the arguments.
    grouping: Option<Grouping>,
    pub(super) args: Vec<Expr>,
    outer_context: Context,
}

impl Parser<'_> {
    /// Opens an aggregation, or reads a selector of a metric that is named like one.
    pub(super) fn start_aggregate_or_selector(
        &mut self,
        op: AggregateOp,
        open: &mut Vec<Open>,
    ) -> Parsed<Option<Expr>> {
        let op_token = self.next()?;
        let next = self.peek()?.kind;
        if next != TokenKind::LeftParen && !is_grouping_keyword(next) {
            return self.parse_selector_from(op_token).map(Some);
        }
        let outer_context = std::mem::replace(&mut self.context, IN_AGGREGATION);
        let grouping = if is_grouping_keyword(next) { Some(self.parse_grouping()?) } else { None };
        self.expect(TokenKind::LeftParen)?;
        let op_pos = op_token.pos;
        let aggregate = OpenAggregate { op, op_pos, grouping, args: Vec::new(), outer_context };
        if self.accept(TokenKind::RightParen)?.is_some() {
            return self.finish_aggregate(aggregate).map(Some);
        }
        open.push(Open::Aggregate(Box::new(aggregate)));
        Ok(None)
    }

    /// An aggregation whose closing parenthesis has been taken; the clause may follow it.
    pub(super) fn finish_aggregate(&mut self, open: OpenAggregate) -> Parsed<Expr> {
        let Grouping { labels, without } = match open.grouping {
            Some(grouping) => grouping,
            None if is_grouping_keyword(self.peek()?.kind) => self.parse_grouping()?,
            None => Grouping::default(),
        };
        self.context = open.outer_context;
        let pos = PositionRange::new(open.op_pos.start, self.last_end);
        let (param, expr) = self.check_aggregate_args(open.op, open.args, pos)?;
        let op = open.op;
        let aggregate = AggregateExpr { op, expr, param, grouping: labels, without, pos };
        Ok(Expr::Aggregate(Box::new(aggregate)))
    }

    fn parse_grouping(&mut self) -> Parsed<Grouping> {
        let keyword = self.next()?.kind;
        let labels = self.parse_grouping_labels()?;
        Ok(Grouping { labels, without: keyword == TokenKind::Keyword(Keyword::Without) })
    }

    fn check_aggregate_args(
        &self,
        op: AggregateOp,
        args: Vec<Expr>,
        pos: PositionRange,
    ) -> Parsed<(Option<Expr>, Expr)> {
        if args.is_empty() {
            return Err(self.error(pos, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.enable_experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.name()
            );
            return Err(self.error(pos, message));
        }
        let got = args.len();
        let want = if op.has_param() { 2 } else { 1 };
        let mut args = args.into_iter();
        match (got == want, args.next(), args.next()) {
            (true, Some(param), Some(expr)) => Ok((Some(param), expr)),
            (true, Some(expr), None) => Ok((None, expr)),
            _ => Err(self.error(
                pos,
                format!(
                    "wrong number of arguments for aggregate expression provided, \
                     expected {want}, got {got}"
                ),
            )),
        }
    }

    /// Labels in parentheses, as of `by`, `on` and `group_left`.
    pub(super) fn parse_grouping_labels(&mut self) -> Parsed<Vec<String>> {
        if self.accept(TokenKind::LeftParen)?.is_none() {
            return Err(self.expected("grouping opts", "\"(\""));
        }
        let mut labels = Vec::new();
        loop {
            // A comma may stand behind the last label, but not alone.
            if self.accept(TokenKind::RightParen)?.is_some() {
                return Ok(labels);
            }
            labels.push(self.parse_grouping_label()?);
            if self.accept(TokenKind::RightParen)?.is_some() {
                return Ok(labels);
            }
            if self.accept(TokenKind::Comma)?.is_none() {
                return Err(self.expected("grouping opts", "\",\" or \")\""));
            }
        }
    }

    fn parse_grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek()?;
        if !is_label(token.kind) {
            return Err(self.expected("grouping opts", "label"));
        }
        self.next()?;
        let name = match token.kind {
            TokenKind::String => self.unquote_token(token)?,
            _ => self.text(token).to_vec(),
        };
        match String::from_utf8(name) {
            Ok(name) if !name.is_empty() => Ok(name),
            other => {
                let name = other.map_or_else(|error| error.into_bytes(), String::into_bytes);
                let message = format!("invalid label name for grouping: {}", quote(&name));
                Err(self.error(token.pos, message))
            }
        }
    }
}

fn is_grouping_keyword(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Keyword(Keyword::By | Keyword::Without))
}

fn is_label(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::String
        | TokenKind::Aggregate(_) => true,
        TokenKind::Op(op) => op.is_set() || op == BinaryOp::Atan2,
        TokenKind::Keyword(keyword) => keyword != Keyword::Without,
        _ => false,
    }
}
