//! PromQL: lexer, parser, printer, planner, engine, functions and the test-script runner.

pub mod ast;
pub mod functions_table;
pub mod parser;
pub mod position;
