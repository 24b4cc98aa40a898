//! Function calls.

use super::cursor::{Parsed, Parser};
use crate::ast::{Call, Expr};
use crate::functions_table;
use crate::lexer::Token;
use crate::position::PositionRange;
use crate::strings::quote;

impl Parser<'_> {
    /// A call whose closing parenthesis has been taken.
    pub(super) fn finish_call(&self, name_token: Token, args: Vec<Expr>) -> Parsed<Expr> {
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
        let pos = PositionRange::new(name_token.pos.start, self.last_end);
        Ok(Expr::Call(Box::new(Call { func, args, pos })))
    }
}
