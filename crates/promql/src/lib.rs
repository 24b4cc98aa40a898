//! PromQL: lexer, parser, printer, planner, engine, functions and the test-script runner.

pub mod annotations;
pub mod ast;
pub mod engine;
pub mod functions_table;
mod gofmt;
pub mod parser;
pub mod position;
pub mod value;

pub use engine::{Engine, EngineOptions, ErrorKind, QueryError, QueryKind, QueryResult};
