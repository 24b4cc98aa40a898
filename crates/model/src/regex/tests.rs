//! Tests: tables of what Go does, and every way of matching against a plain automaton.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

mod properties;
mod tables;

fn regex(pattern: &str) -> Regex {
    match Regex::new(pattern.as_bytes()) {
        Ok(regex) => regex,
        Err(error) => panic!("{:.60}: {:.100}", pattern, error.to_string()),
    }
}

fn error(pattern: &str) -> String {
    match Regex::new(pattern.as_bytes()) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}
