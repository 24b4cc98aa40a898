//! `labels`, `label/{name}/values` and `series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use bytes::Bytes;
use model::{Labels, MatchOp, Matcher, Querier, QueryContext, SelectHints, TenantId};

use super::params::Params;
use super::{ApiResult, json_stream};
use crate::QueryService;
use crate::error::ApiError;
use crate::json::{push_labels, push_string};
use crate::limits::result_limit;

/// What a label set takes beside its text: its place in the list and its counters.
const LABELS_OVERHEAD_BYTES: usize = 32;
/// The text of the warning where a result was cut.
const TRUNCATED: &str = "results truncated due to limit";

pub(super) async fn names(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let selectors = params.selectors()?;
    let allowed = service.limits(&tenant).max_label_names_limit;
    let limit = result_limit(params.count("limit")?, allowed);
    let job = move |querier: &dyn Querier, context: &QueryContext| {
        merged(&selectors, limit, |matchers, limit| {
            counted(querier.label_names(matchers, limit)?, context)
        })
    };
    let (texts, is_cut) = service.run_over(tenant, params.range()?, job).await?;
    Ok(json_stream(ListPieces::new(texts, is_cut, push_text)))
}

pub(super) async fn values(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let name = unescape_name(&name);
    let mut selectors = params.selectors()?;
    if let Some(prefix) = params.get("prefix").filter(|prefix| !prefix.is_empty()) {
        with_prefix(&mut selectors, &name, prefix)?;
    }
    let allowed = service.limits(&tenant).max_label_values_limit;
    let limit = result_limit(params.count("limit")?, allowed);
    let job = move |querier: &dyn Querier, context: &QueryContext| {
        merged(&selectors, limit, |matchers, limit| {
            counted(querier.label_values(&name, matchers, limit)?, context)
        })
    };
    let (texts, is_cut) = service.run_over(tenant, params.range()?, job).await?;
    Ok(json_stream(ListPieces::new(texts, is_cut, push_text)))
}

/// Leaves only values that begin with `prefix`: for the completion of what a user types. Storage
/// looks such a prefix up without reading the other values.
fn with_prefix(
    selectors: &mut Vec<Vec<Matcher>>,
    name: &str,
    prefix: &str,
) -> Result<(), ApiError> {
    let mut pattern = String::with_capacity(prefix.len() + 4);
    for c in prefix.chars() {
        if c.is_ascii_punctuation() && c != '_' {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str(".*");
    let matcher = Matcher::new(MatchOp::Regex, name, &pattern)
        .map_err(|error| ApiError::invalid_parameter("prefix", error))?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    selectors.iter_mut().for_each(|matchers| matchers.push(matcher.clone()));
    Ok(())
}

/// What any of the selectors gives, sorted, each once; whether there was more than `limit`
/// (0 = all).
fn merged(
    selectors: &[Vec<Matcher>],
    limit: usize,
    ask: impl Fn(&[Matcher], usize) -> Result<Vec<String>, ApiError>,
) -> Result<(Vec<String>, bool), ApiError> {
    // One more than the limit tells whether something was cut.
    let ask_limit = if limit == 0 { 0 } else { limit + 1 };
    let mut texts = match selectors {
        [] => ask(&[], ask_limit)?,
        [one] => ask(one, ask_limit)?,
        many => {
            let mut all = BTreeSet::new();
            for matchers in many {
                all.extend(ask(matchers, ask_limit)?);
            }
            all.into_iter().collect()
        }
    };
    let is_cut = limit > 0 && texts.len() > limit;
    if is_cut {
        texts.truncate(limit);
    }
    Ok((texts, is_cut))
}

/// Counts the memory of texts.
fn counted(texts: Vec<String>, context: &QueryContext) -> Result<Vec<String>, ApiError> {
    let bytes: usize = texts.iter().map(|text| text.len() + size_of::<String>()).sum();
    context.reserve_memory(bytes as u64).map_err(model::StorageError::from)?;
    Ok(texts)
}

pub(super) async fn series(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let selectors = params.selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let limit =
        result_limit(params.count("limit")?, service.limits(&tenant).max_series_query_limit);
    let job = move |querier: &dyn Querier, context: &QueryContext| {
        let hints = SelectHints {
            start_ms_incl: range.0,
            end_ms_incl: range.1,
            function: "series".to_owned(),
            labels_only: true,
            limit: if limit == 0 { 0 } else { limit + 1 },
            ..SelectHints::default()
        };
        series_of(querier, context, &selectors, &hints)
    };
    let mut sets = service.run_over(tenant, range, job).await?;
    let is_cut = limit > 0 && sets.len() > limit;
    if is_cut {
        sets.truncate(limit);
    }
    Ok(json_stream(ListPieces::new(sets, is_cut, push_labels)))
}

/// The label sets of series that any of the selectors selects, in label order, each once.
fn series_of(
    querier: &dyn Querier,
    context: &QueryContext,
    selectors: &[Vec<Matcher>],
    hints: &SelectHints,
) -> Result<Vec<Labels>, ApiError> {
    let mut sets: Vec<Labels> = Vec::new();
    for matchers in selectors {
        let mut set = querier.select(matchers, hints)?;
        let mut count = 0;
        while let Some(series) = set.next_series()? {
            context.check().map_err(model::StorageError::from)?;
            let bytes = (series.labels.packed().len() + LABELS_OVERHEAD_BYTES) as u64;
            context.reserve_memory(bytes).map_err(model::StorageError::from)?;
            sets.push(series.labels);
            count += 1;
            if hints.limit > 0 && count >= hints.limit {
                break;
            }
        }
    }
    if selectors.len() > 1 {
        sets.sort();
        sets.dedup();
    }
    Ok(sets)
}

#[expect(clippy::ptr_arg, reason = "what a list of texts holds")]
fn push_text(out: &mut Vec<u8>, text: &String) {
    push_string(out, text);
}

/// An answer that is a list, written piece by piece while it is sent.
struct ListPieces<T> {
    /// What is left; `None` when the end is written.
    items: Option<std::vec::IntoIter<T>>,
    push: fn(&mut Vec<u8>, &T),
    is_first: bool,
    is_cut: bool,
}

impl<T> ListPieces<T> {
    fn new(items: Vec<T>, is_cut: bool, push: fn(&mut Vec<u8>, &T)) -> Self {
        Self { items: Some(items.into_iter()), push, is_first: true, is_cut }
    }
}

impl<T> Iterator for ListPieces<T> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        const PIECE_BYTES: usize = 64 << 10;
        let items = self.items.as_mut()?;
        let mut out = Vec::new();
        if self.is_first {
            out.extend_from_slice(br#"{"status":"success","data":["#);
        }
        for item in items.by_ref() {
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            (self.push)(&mut out, &item);
            if out.len() >= PIECE_BYTES {
                return Some(out.into());
            }
        }
        self.items = None;
        out.push(b']');
        if self.is_cut {
            out.extend_from_slice(format!(",\"warnings\":[\"{TRUNCATED}\"]").as_bytes());
        }
        out.push(b'}');
        Some(out.into())
    }
}

/// Undoes Prometheus' `U__` escaping of names in a path: `_HEX_` is a character, `__` is `_`.
fn unescape_name(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let code = rest.split_once('_').and_then(|(hex, after)| {
            Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, after))
        });
        let Some((character, after)) = code else { return name.to_owned() };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_as_the_naming_specification_shows_them() {
        for (escaped, want) in [
            ("plain", "plain"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U__bad_zz", "U__bad_zz"),
        ] {
            assert_eq!(unescape_name(escaped), want);
        }
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        let mut selectors = vec![vec![Matcher::equal("job", "x")], Vec::new()];
        with_prefix(&mut selectors, "path", "/a.b[").unwrap();
        for matchers in &selectors {
            let matcher = matchers.last().unwrap();
            assert!(matcher.matches("/a.b[0]") && !matcher.matches("/aXb[0]"));
        }
        let mut none = Vec::new();
        with_prefix(&mut none, "path", "/").unwrap();
        assert_eq!(none.len(), 1);
    }

    #[test]
    fn a_result_over_the_limit_is_cut_with_a_warning() {
        let ask = |matchers: &[Matcher], limit: usize| {
            let mut all: Vec<String> = if matchers[0].value() == b"1" {
                vec!["a".to_owned(), "c".to_owned()]
            } else {
                vec!["b".to_owned(), "c".to_owned()]
            };
            all.truncate(if limit == 0 { 9 } else { limit });
            Ok(all)
        };
        let selectors = [vec![Matcher::equal("x", "1")], vec![Matcher::equal("x", "2")]];
        let (all, is_cut) = merged(&selectors, 0, ask).unwrap();
        assert_eq!((all.join(""), is_cut), ("abc".to_owned(), false));
        let (cut, is_cut) = merged(&selectors, 2, ask).unwrap();
        assert_eq!((cut.join(""), is_cut), ("ab".to_owned(), true));
        assert_eq!(
            written(cut, true),
            r#"{"status":"success","data":["a","b"],"warnings":["results truncated due to limit"]}"#
        );
    }

    fn written(texts: Vec<String>, is_cut: bool) -> String {
        let pieces: Vec<Bytes> = ListPieces::new(texts, is_cut, push_text).collect();
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn lists_of_any_length_are_written_whole() {
        assert_eq!(written(Vec::new(), false), r#"{"status":"success","data":[]}"#);
        // Each as long as a piece, and many that make several pieces.
        for texts in [vec!["x".repeat(70_000); 3], vec!["some \"text\"".to_owned(); 20_000]] {
            let json: serde_json::Value =
                serde_json::from_str(&written(texts.clone(), false)).unwrap();
            assert_eq!(json["data"], serde_json::Value::from(texts));
        }
    }
}
