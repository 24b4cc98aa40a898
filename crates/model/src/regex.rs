//! Regular expressions with RE2's meaning (Go's `regexp`), anchored as `^(?s:...)$`.

/// Why a pattern was refused; prints Go's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {message}")]
pub struct RegexError {
    message: String,
}

/// A compiled, fully anchored expression.
#[derive(Debug)]
pub struct Regex {
    engine: regex_automata::meta::Regex,
}

impl Regex {
    /// Compiles `pattern`, which must match the whole of a value.
    pub fn new(pattern: &[u8]) -> Result<Self, RegexError> {
        let text = std::str::from_utf8(pattern)
            .map_err(|_| RegexError { message: "invalid UTF-8".to_owned() })?;
        let engine = regex_automata::meta::Regex::new(&format!("^(?s:{text})$"))
            .map_err(|e| RegexError { message: e.to_string() })?;
        Ok(Self { engine })
    }

    /// Whether `value` as a whole matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.engine.is_match(value)
    }
}
