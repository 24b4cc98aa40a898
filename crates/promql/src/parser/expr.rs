//! Expressions: operators by precedence.
//!
//! The parser does not recurse: what is open (a parenthesis, a call, a sign, an operator that waits
//! for its right side) stands on a stack of its own, whose height is the depth of the query and is
//! limited. The loop changes between two places: in front of an operand, where something may be
//! opened, and behind one, where an operator may follow or something is closed.

use super::MAX_DEPTH;
use super::cursor::{Parsed, Parser};
use super::matching::BinaryModifiers;
use super::operand::{Closed, Open};
use crate::ast::{BinaryExpr, BinaryOp, Expr, UnaryExpr, UnaryOp};
use crate::lexer::TokenKind;
use crate::position::PositionRange;

/// An operator that waits for its right operand.
pub(super) struct PendingBinary {
    op: BinaryOp,
    lhs: Expr,
    modifiers: BinaryModifiers,
}

impl Parser<'_> {
    /// The whole text as one expression.
    pub(super) fn parse_whole_expr(&mut self) -> Parsed<Expr> {
        if self.peek()?.kind == TokenKind::Eof {
            return Err(self.error(PositionRange::default(), "no expression found in input"));
        }
        let expr = self.parse_expr()?;
        self.expect_end()?;
        Ok(expr)
    }

    fn parse_expr(&mut self) -> Parsed<Expr> {
        let mut open = Vec::new();
        let mut operand = self.parse_operand(&mut open)?;
        loop {
            if let TokenKind::Op(op) = self.peek()?.kind {
                operand = self.apply_tighter(&mut open, operand, op)?;
                self.next()?;
                let modifiers = self.parse_binary_modifiers()?;
                open.push(Open::Binary(Box::new(PendingBinary { op, lhs: operand, modifiers })));
                operand = self.parse_operand(&mut open)?;
                continue;
            }
            operand = self.apply_all(&mut open, operand)?;
            let Some(innermost) = open.pop() else { return Ok(operand) };
            operand = match self.close(innermost, operand)? {
                Closed::Operand(closed) => self.parse_modifiers(closed)?,
                Closed::NextArgument(call) => {
                    open.push(call);
                    self.parse_operand(&mut open)?
                }
            };
        }
    }

    /// Opens what stands in front of an operand and reads the operand with its modifiers.
    fn parse_operand(&mut self, open: &mut Vec<Open>) -> Parsed<Expr> {
        loop {
            if open.len() > MAX_DEPTH {
                return Err(self.too_deep());
            }
            self.count_part()?;
            if let Some(operand) = self.start_operand(open)? {
                return self.parse_modifiers(operand);
            }
        }
    }

    /// Applies the signs and operators on the stack that bind `operand` before `next` does.
    fn apply_tighter(
        &self,
        open: &mut Vec<Open>,
        mut operand: Expr,
        next: BinaryOp,
    ) -> Parsed<Expr> {
        while let Some(innermost) = open.pop_if(|innermost| binds_before(innermost, next)) {
            operand = self.apply(innermost, operand)?;
        }
        Ok(operand)
    }

    /// Applies the signs and operators up to the innermost parenthesis.
    fn apply_all(&self, open: &mut Vec<Open>, mut operand: Expr) -> Parsed<Expr> {
        let is_operator = |open: &mut Open| matches!(open, Open::Binary(_) | Open::Sign(..));
        while let Some(innermost) = open.pop_if(is_operator) {
            operand = self.apply(innermost, operand)?;
        }
        Ok(operand)
    }

    fn apply(&self, operator: Open, operand: Expr) -> Parsed<Expr> {
        match operator {
            Open::Binary(pending) => self.new_binary(*pending, operand),
            Open::Sign(op, sign) => Ok(new_unary(op, sign, operand)),
            _ => Ok(operand),
        }
    }

    fn new_binary(&self, pending: PendingBinary, rhs: Expr) -> Parsed<Expr> {
        let PendingBinary { op, lhs, modifiers } = pending;
        let mut binary = BinaryExpr::new(op, lhs, rhs);
        let fill = modifiers.matching.fill;
        let has_fill = fill.lhs.is_some() || fill.rhs.is_some();
        if has_fill && !self.options.enable_binop_fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.error(binary.pos, message));
        }
        binary.return_bool = modifiers.return_bool;
        binary.matching = Some(modifiers.matching);
        Ok(Expr::Binary(Box::new(binary)))
    }
}

/// Whether an operator on the stack takes the operand behind it before `next`, which follows the
/// operand, can. A sign binds as `*` does, so `-a^b` is `-(a^b)`.
fn binds_before(open: &Open, next: BinaryOp) -> bool {
    let precedence = match open {
        Open::Binary(pending) => pending.op.precedence(),
        Open::Sign(..) => BinaryOp::Mul.precedence(),
        _ => return false,
    };
    let is_right_associative = next == BinaryOp::Pow;
    precedence > next.precedence() || (precedence == next.precedence() && !is_right_associative)
}

fn new_unary(op: UnaryOp, sign: PositionRange, operand: Expr) -> Expr {
    let pos = sign.to(operand.position());
    if let Expr::NumberLiteral(mut number) = operand {
        number.value = if op == UnaryOp::Minus { -number.value } else { number.value };
        number.pos = pos;
        return Expr::NumberLiteral(number);
    }
    Expr::Unary(Box::new(UnaryExpr { op, expr: operand, pos }))
}
