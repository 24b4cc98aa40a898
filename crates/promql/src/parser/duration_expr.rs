//! Durations of ranges, steps and offsets, with arithmetic.

use super::MAX_DEPTH;
use super::cursor::{Parsed, Parser};
use super::operand::unary_op;
use crate::ast::{
    BinaryOp, DurationExpr, DurationOp, DurationOpExpr, DurationSpec, MAX_DURATION_SECONDS,
    NumberLiteral, UnaryOp,
};
use crate::lexer::{Keyword, Token, TokenKind};
use crate::position::PositionRange;

const NANOS_PER_MS: i64 = 1_000_000;

impl Parser<'_> {
    /// The duration of a range or a step. A constant one must be greater than zero.
    pub(super) fn parse_positive_duration(&mut self) -> Parsed<DurationSpec> {
        self.duration_op_count = 0;
        match self.parse_duration_binary(BinaryOp::Add.precedence())? {
            DurationExpr::Number(number) if number.value <= 0.0 => {
                Err(self.error(number.pos, "duration must be greater than 0"))
            }
            DurationExpr::Number(number) => {
                Ok(DurationSpec::Fixed(whole_nanos(number.value) / NANOS_PER_MS))
            }
            DurationExpr::Op(expr) => Ok(DurationSpec::Expr(expr)),
        }
    }

    /// The duration of an offset; `None` if it is zero.
    ///
    /// A number, a call or a parenthesis with a sign ends the offset: in `x offset 5m + 1` the sum
    /// is of the vector. A parenthesis without a sign, and a second sign, start an expression that
    /// goes on as far as it can, as in Prometheus' grammar.
    pub(super) fn parse_offset_duration(&mut self) -> Parsed<Option<DurationSpec>> {
        self.duration_op_count = 0;
        let duration = match unary_op(self.peek()?.kind) {
            Some(op) => self.parse_signed_offset(op)?,
            None if self.peek()?.kind == TokenKind::LeftParen => {
                self.parse_duration_binary(BinaryOp::Add.precedence())?
            }
            None => self.parse_duration_operand()?,
        };
        Ok(match duration {
            DurationExpr::Op(expr) => Some(DurationSpec::Expr(expr)),
            DurationExpr::Number(number) => match whole_nanos(number.value) {
                0 => None,
                nanos => Some(DurationSpec::Fixed(nanos / NANOS_PER_MS)),
            },
        })
    }

    fn parse_signed_offset(&mut self, op: UnaryOp) -> Parsed<DurationExpr> {
        let sign = self.next()?;
        if let TokenKind::Keyword(keyword) = self.peek()?.kind {
            // Here alone a plus in front of a call stays in the tree.
            let op = if op == UnaryOp::Minus { DurationOp::Sub } else { DurationOp::Add };
            let call = self.parse_duration_call(keyword)?;
            let pos = sign.pos.to(call.position());
            return Ok(new_op(op, None, Some(call), pos));
        }
        if unary_op(self.peek()?.kind).is_none() {
            let operand = self.parse_duration_operand()?;
            return self.apply_sign(sign, op, operand);
        }
        let operand = self.parse_duration_binary(BinaryOp::Pow.precedence())?;
        let signed = self.apply_sign(sign, op, operand)?;
        self.parse_duration_ops(signed, BinaryOp::Add.precedence())
    }

    /// Operands joined by operators that bind at least as tightly as `loosest`. Unlike expressions
    /// this recurses, up to the depth limit.
    fn parse_duration_binary(&mut self, loosest: u8) -> Parsed<DurationExpr> {
        self.duration_depth += 1;
        if self.duration_depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let first = match unary_op(self.peek()?.kind) {
            Some(op) => self.parse_signed_duration(op)?,
            None => self.parse_duration_operand()?,
        };
        let duration = self.parse_duration_ops(first, loosest)?;
        self.duration_depth -= 1;
        Ok(duration)
    }

    fn parse_signed_duration(&mut self, op: UnaryOp) -> Parsed<DurationExpr> {
        let sign = self.next()?;
        let operand = self.parse_duration_binary(BinaryOp::Pow.precedence())?;
        self.apply_sign(sign, op, operand)
    }

    /// Operators behind `lhs` that bind at least as tightly as `loosest`.
    fn parse_duration_ops(&mut self, mut lhs: DurationExpr, loosest: u8) -> Parsed<DurationExpr> {
        while let TokenKind::Op(binary_op) = self.peek()?.kind {
            let Some(op) = duration_op(binary_op) else { break };
            if binary_op.precedence() < loosest {
                break;
            }
            let op_pos = self.next()?.pos;
            let is_right_associative = binary_op == BinaryOp::Pow;
            let tighter = binary_op.precedence() + u8::from(!is_right_associative);
            let rhs = self.parse_duration_binary(tighter)?;
            lhs = self.new_duration_op(op, op_pos, lhs, rhs)?;
        }
        Ok(lhs)
    }

    fn new_duration_op(
        &mut self,
        op: DurationOp,
        op_pos: PositionRange,
        lhs: DurationExpr,
        rhs: DurationExpr,
    ) -> Parsed<DurationExpr> {
        self.check_duration_expr_enabled(lhs.position())?;
        self.count_duration_op()?;
        if matches!(&rhs, DurationExpr::Number(number) if number.value == 0.0) {
            match op {
                DurationOp::Div => return Err(self.error(op_pos, "division by zero")),
                DurationOp::Mod => return Err(self.error(op_pos, "modulo by zero")),
                _ => {}
            }
        }
        let pos = lhs.position().to(rhs.position());
        Ok(new_op(op, Some(lhs), Some(rhs), pos))
    }

    /// A chain of operators nests to the left, so its length is limited like a depth.
    fn count_duration_op(&mut self) -> Parsed<()> {
        self.duration_op_count += 1;
        if self.duration_op_count > MAX_DEPTH { Err(self.too_deep()) } else { Ok(()) }
    }

    fn parse_duration_operand(&mut self) -> Parsed<DurationExpr> {
        match self.peek()?.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.parse_number_literal()?;
                self.check_duration_range(&number, number.pos)?;
                Ok(DurationExpr::Number(number))
            }
            TokenKind::LeftParen => self.parse_duration_paren(),
            TokenKind::Keyword(keyword) => self.parse_duration_call(keyword),
            _ => Err(self.unexpected()),
        }
    }

    fn parse_duration_paren(&mut self) -> Parsed<DurationExpr> {
        let left = self.next()?.pos;
        let inner = self.parse_duration_binary(BinaryOp::Add.precedence())?;
        let right = self.expect(TokenKind::RightParen)?.pos;
        self.check_duration_expr_enabled(inner.position())?;
        Ok(wrap(inner, left.to(right)))
    }

    fn parse_duration_call(&mut self, keyword: Keyword) -> Parsed<DurationExpr> {
        let (op, has_args) = match keyword {
            Keyword::Step => (DurationOp::Step, false),
            Keyword::Range => (DurationOp::Range, false),
            Keyword::MinOf => (DurationOp::MinOf, true),
            Keyword::MaxOf => (DurationOp::MaxOf, true),
            _ => return Err(self.unexpected()),
        };
        let name = self.next()?.pos;
        self.expect(TokenKind::LeftParen)?;
        let (mut lhs, mut rhs) = (None, None);
        if has_args {
            lhs = Some(self.parse_duration_binary(BinaryOp::Add.precedence())?);
            self.expect(TokenKind::Comma)?;
            rhs = Some(self.parse_duration_binary(BinaryOp::Add.precedence())?);
        }
        let right = self.expect(TokenKind::RightParen)?.pos;
        let pos = name.to(right);
        self.check_duration_expr_enabled(pos)?;
        Ok(new_op(op, lhs, rhs, pos))
    }

    fn apply_sign(
        &mut self,
        sign: Token,
        op: UnaryOp,
        operand: DurationExpr,
    ) -> Parsed<DurationExpr> {
        let pos = sign.pos.to(operand.position());
        match operand {
            DurationExpr::Number(mut number) => {
                number.value = if op == UnaryOp::Minus { -number.value } else { number.value };
                number.pos = pos;
                self.check_duration_range(&number, sign.pos)?;
                Ok(DurationExpr::Number(number))
            }
            DurationExpr::Op(_) if op == UnaryOp::Plus => Ok(operand),
            DurationExpr::Op(_) => Ok(new_op(DurationOp::Sub, None, Some(operand), pos)),
        }
    }

    fn check_duration_range(&self, number: &NumberLiteral, pos: PositionRange) -> Parsed<()> {
        if number.value.abs() > MAX_DURATION_SECONDS {
            return Err(self.error(pos, "duration out of range"));
        }
        Ok(())
    }

    fn check_duration_expr_enabled(&self, pos: PositionRange) -> Parsed<()> {
        if !self.options.enable_duration_expressions {
            return Err(self.error(pos, "experimental duration expression is not enabled"));
        }
        Ok(())
    }
}

fn new_op(
    op: DurationOp,
    lhs: Option<DurationExpr>,
    rhs: Option<DurationExpr>,
    pos: PositionRange,
) -> DurationExpr {
    DurationExpr::Op(Box::new(DurationOpExpr { op, lhs, rhs, wrapped: false, pos }))
}

/// `inner` in parentheses. A number becomes the operand of a plus, which is not printed.
fn wrap(inner: DurationExpr, pos: PositionRange) -> DurationExpr {
    let mut wrapped = match inner {
        DurationExpr::Op(expr) => expr,
        DurationExpr::Number(_) => Box::new(DurationOpExpr {
            op: DurationOp::Add,
            lhs: None,
            rhs: Some(inner),
            wrapped: true,
            pos,
        }),
    };
    wrapped.wrapped = true;
    DurationExpr::Op(wrapped)
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}

/// Seconds as nanoseconds, rounded; the range has been checked.
#[expect(clippy::cast_possible_truncation, reason = "saturates at 292 years")]
fn whole_nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}
