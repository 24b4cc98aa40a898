//! Function calls and argument lists.

use super::cursor::{Parsed, Parser};
use super::expr::starts_expr;
use crate::ast::{Call, Expr};
use crate::functions_table;
use crate::lexer::{Token, TokenKind};
use crate::strings::quote;

impl Parser<'_> {
    /// A call whose name has been taken and whose parenthesis stands next.
    pub(super) fn parse_call(&mut self, name_token: Token) -> Parsed<Expr> {
        let args = self.parse_args()?;
        let name = self.ascii_text(name_token);
        let quoted = quote(name.as_bytes());
        let Some(func) = functions_table::lookup(name) else {
            let message = format!("unknown function with name {quoted}");
            return Err(self.error(name_token.pos, message));
        };
        if func.experimental && !self.options.enable_experimental_functions {
            let message = format!("function {quoted} is not enabled");
            return Err(self.error(name_token.pos, message));
        }
        let mut pos = name_token.pos;
        pos.end = self.last_end;
        Ok(Expr::Call(Box::new(Call { func, args, pos })))
    }

    /// Arguments in parentheses.
    pub(super) fn parse_args(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if self.accept(TokenKind::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.parse_expr()?);
            if self.accept(TokenKind::RightParen)?.is_some() {
                return Ok(args);
            }
            let comma = self.expect(TokenKind::Comma)?;
            if !starts_expr(self.peek()?.kind) {
                let message = "trailing commas not allowed in function call args";
                return Err(self.error(comma.pos, message));
            }
        }
    }
}
