//! `expect fail|warn|info|no_warn|no_info`: what is checked besides the value.

use regex_automata::meta::Regex;

use crate::annotations::{Annotations, Severity};

/// One `expect` line.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) kind: ExpectationKind,
    /// Without one anything will do.
    pub(super) pattern: Option<Pattern>,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectationKind {
    Fail,
    Warning,
    NoWarning,
    Info,
    NoInfo,
    /// `eval_warn`: any warnings, but some.
    SomeWarning,
    /// `eval_info`: any infos, but some.
    SomeInfo,
}

/// A text to be found.
#[derive(Debug)]
pub(super) enum Pattern {
    /// All of it.
    Text(String),
    /// Anywhere within.
    Regex(Regex),
}

impl Expectation {
    pub(super) fn any(kind: ExpectationKind) -> Self {
        Self { kind, pattern: None }
    }

    fn matches(&self, text: &str) -> bool {
        match &self.pattern {
            None => true,
            Some(Pattern::Text(want)) => want == text,
            Some(Pattern::Regex(regex)) => regex.is_match(text),
        }
    }
}

/// Whether a failure is expected.
pub(super) fn expects_failure(expectations: &[Expectation]) -> bool {
    expectations.iter().any(|e| e.kind == ExpectationKind::Fail)
}

/// Compares the text of a failure that is expected.
pub(super) fn check_failure(expectations: &[Expectation], message: &str) -> Result<(), String> {
    let mut failures = expectations.iter().filter(|e| e.kind == ExpectationKind::Fail);
    match failures.next() {
        Some(expected) if !expected.matches(message) => {
            Err(format!("expected error matching {:?}, but got: {message}", expected.pattern))
        }
        _ => Ok(()),
    }
}

/// Compares the annotations of `query`.
pub(super) fn check_annotations(
    expectations: &[Expectation],
    annotations: &Annotations,
    query: &str,
) -> Result<(), String> {
    use ExpectationKind as Kind;
    let warnings = annotations.texts(Severity::Warning, query, 0);
    let infos = annotations.texts(Severity::Info, query, 0);
    check_kind(expectations, (Kind::Warning, Kind::NoWarning, Kind::SomeWarning), &warnings)?;
    check_kind(expectations, (Kind::Info, Kind::NoInfo, Kind::SomeInfo), &infos)
}

fn check_kind(
    expectations: &[Expectation],
    (wanted, unwanted, some): (ExpectationKind, ExpectationKind, ExpectationKind),
    texts: &[String],
) -> Result<(), String> {
    let has = |kind| expectations.iter().any(|e| e.kind == kind);
    if has(some) && texts.is_empty() {
        return Err(format!("expected {some:?}, but got none"));
    }
    if has(unwanted) && !texts.is_empty() {
        return Err(format!("unexpected annotations: {texts:?}"));
    }
    let wanted: Vec<_> = expectations.iter().filter(|e| e.kind == wanted).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for expected in &wanted {
        if !texts.iter().any(|text| expected.matches(text)) {
            let (kind, pattern) = (expected.kind, &expected.pattern);
            return Err(format!("expected {kind:?} {pattern:?}, but got {texts:?}"));
        }
    }
    match texts.iter().find(|text| !wanted.iter().any(|expected| expected.matches(text))) {
        Some(text) => Err(format!("unexpected annotation {text:?}")),
        None => Ok(()),
    }
}
