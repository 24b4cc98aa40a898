//! PromQL: lexer, parser, printer, planner, engine, functions and the test-script runner.

mod aggregations;
pub mod annotations;
pub mod ast;
pub mod ast_json;
mod binops;
pub mod duration;
pub mod engine;
mod functions;
pub mod functions_table;
mod gofmt;
mod lexer;
pub mod memstore;
pub mod parser;
pub mod position;
pub mod prettier;
pub mod printer;
pub mod series_desc;
pub mod strings;
pub mod testlang;
mod typecheck;
pub mod value;

pub use engine::{
    Analysis, Engine, EngineOptions, ErrorKind, Explanation, Measured, Operator, Passes,
    QueryError, QueryKind, QueryResult, analyze, explain,
};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
