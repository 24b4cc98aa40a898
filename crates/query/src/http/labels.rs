//! `labels`, `label/{name}/values` and `series`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use bytes::Bytes;
use model::storage::TextSet;
use model::{Labels, MatchOp, Matcher, Querier, QueryContext, SelectHints, TenantId};
use tsdb::merge::merge_text_sets;

use super::params::Params;
use super::{ApiResult, json_pieces, json_stream};
use crate::QueryService;
use crate::error::ApiError;
use crate::json::{PIECE_BYTES, push_labels, push_string};
use crate::limits::ResultLimit;

/// What a label set takes beside its text: its place in the list and its counters.
const LABELS_OVERHEAD_BYTES: usize = 32;
/// An answer is written in pieces of so many bytes.
const TEXT_PIECE_BYTES: usize = 256 << 10;

pub(super) async fn names(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let selectors = params.label_selectors()?;
    let allowed = service.limits(&tenant).max_label_names_limit;
    let limit = ResultLimit::new(params.list_limit()?, allowed, "querier.max-label-names-limit");
    let job = move |querier: &dyn Querier, context: &QueryContext| {
        let ask = |matchers: &[Matcher], limit| Ok(querier.label_name_set(matchers, limit)?);
        write_texts(merged(&selectors, limit.limit, ask)?, &limit, context)
    };
    let pieces = service.run_over(tenant, params.range()?, job).await?;
    Ok(json_pieces(pieces))
}

pub(super) async fn values(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    name: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> ApiResult {
    let Ok(Path(name)) = name else {
        // It is not UTF-8.
        let path = request.uri().path();
        let name = path.rsplit('/').nth(1).unwrap_or_default();
        let name = model::quote::quote(&unescaped(name));
        return Err(ApiError::bad_data(format!("invalid label name: {name}")));
    };
    let params = Params::read(request, service.frontend.max_body_size).await?;
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let name = unescape_name(&name);
    let mut selectors = params.label_selectors()?;
    if let Some(prefix) = params.get("prefix").filter(|prefix| !prefix.is_empty()) {
        with_prefix(&mut selectors, &name, prefix)?;
    }
    let allowed = service.limits(&tenant).max_label_values_limit;
    let limit = ResultLimit::new(params.list_limit()?, allowed, "querier.max-label-values-limit");
    let job = move |querier: &dyn Querier, context: &QueryContext| {
        let ask =
            |matchers: &[Matcher], limit| Ok(querier.label_value_set(&name, matchers, limit)?);
        write_texts(merged(&selectors, limit.limit, ask)?, &limit, context)
    };
    let pieces = service.run_over(tenant, params.range()?, job).await?;
    Ok(json_pieces(pieces))
}

/// The bytes of a part of a path.
fn unescaped(part: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(part).collect()
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

/// What any of the selectors gives, sorted, each once; one more than `limit` (0 = all), which
/// tells whether something is cut.
fn merged(
    selectors: &[Vec<Matcher>],
    limit: usize,
    ask: impl Fn(&[Matcher], usize) -> Result<Box<dyn TextSet>, ApiError>,
) -> Result<Box<dyn TextSet>, ApiError> {
    let ask_limit = if limit == 0 { 0 } else { limit + 1 };
    let mut sets = Vec::with_capacity(selectors.len().max(1));
    if selectors.is_empty() {
        sets.push(ask(&[], ask_limit)?);
    }
    for matchers in selectors {
        sets.push(ask(matchers, ask_limit)?);
    }
    Ok(merge_text_sets(sets, ask_limit))
}

/// The answer in pieces, written while the texts come: they are never in memory as such. The
/// memory of the answer counts until it is written.
fn write_texts(
    mut set: Box<dyn TextSet>,
    limit: &ResultLimit,
    context: &QueryContext,
) -> Result<Vec<Bytes>, ApiError> {
    let mut pieces = Pieces { done: Vec::new(), current: Vec::new(), context, held_bytes: 0 };
    pieces.current.extend_from_slice(br#"{"status":"success","data":["#);
    let (mut count, mut is_cut) = (0, false);
    while let Some(text) = set.next_text()? {
        if limit.limit > 0 && count == limit.limit {
            is_cut = true;
            break;
        }
        if count > 0 {
            pieces.current.push(b',');
        }
        push_string(&mut pieces.current, text);
        count += 1;
        pieces.next_if_full()?;
    }
    pieces.current.push(b']');
    push_end(&mut pieces.current, is_cut.then_some(&limit.warning));
    pieces.done.push(std::mem::take(&mut pieces.current).into());
    Ok(std::mem::take(&mut pieces.done))
}

/// An answer that grows.
struct Pieces<'a> {
    done: Vec<Bytes>,
    current: Vec<u8>,
    context: &'a QueryContext,
    held_bytes: u64,
}

impl Pieces<'_> {
    fn next_if_full(&mut self) -> Result<(), ApiError> {
        if self.current.len() < TEXT_PIECE_BYTES {
            return Ok(());
        }
        self.context.check().map_err(model::StorageError::from)?;
        let bytes = self.current.len() as u64;
        self.held_bytes += bytes;
        self.context.reserve_memory(bytes).map_err(model::StorageError::from)?;
        let next = Vec::with_capacity(TEXT_PIECE_BYTES + TEXT_PIECE_BYTES / 8);
        self.done.push(std::mem::replace(&mut self.current, next).into());
        Ok(())
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        self.context.release_memory(self.held_bytes);
    }
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
    let allowed = service.limits(&tenant).max_series_query_limit;
    let bound = ResultLimit::new(params.list_limit()?, allowed, "querier.max-series-query-limit");
    let limit = bound.limit;
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
    let mut sets = service.run_over(tenant.clone(), range, job).await?;
    let is_cut = limit > 0 && sets.len() > limit;
    if is_cut {
        sets.truncate(limit);
    }
    let warning = is_cut.then_some(bound.warning);
    Ok(json_stream(&service, tenant, ListPieces::new(sets, warning, push_labels)))
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

/// An answer that is a list, written piece by piece while it is sent.
struct ListPieces<T> {
    /// What is left; `None` when the end is written.
    items: Option<std::vec::IntoIter<T>>,
    push: fn(&mut Vec<u8>, &T),
    is_first: bool,
    /// Said behind the list.
    warning: Option<String>,
}

impl<T> ListPieces<T> {
    fn new(items: Vec<T>, warning: Option<String>, push: fn(&mut Vec<u8>, &T)) -> Self {
        Self { items: Some(items.into_iter()), push, is_first: true, warning }
    }
}

impl<T> Iterator for ListPieces<T> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
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
        push_end(&mut out, self.warning.as_ref());
        Some(out.into())
    }
}

/// What stands after the list: the warning that it was cut, if it was.
fn push_end(out: &mut Vec<u8>, warning: Option<&String>) {
    if let Some(warning) = warning {
        out.extend_from_slice(b",\"warnings\":[");
        push_string(out, warning);
        out.push(b']');
    }
    out.push(b'}');
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
    use model::storage::Texts;

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
    fn parts_of_paths_that_are_no_text() {
        for (part, want) in
            [("%FFa%2f", &b"\xffa/"[..]), ("a%zz%4", b"a%zz%4"), ("é%", "é%".as_bytes())]
        {
            assert_eq!(unescaped(part), want);
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
            Ok(Box::new(Texts::new(all)) as Box<dyn TextSet>)
        };
        let selectors = [vec![Matcher::equal("x", "1")], vec![Matcher::equal("x", "2")]];
        let context = QueryContext::unlimited();
        let answer = |limit| {
            let bound = ResultLimit::new(limit, 0, "");
            let pieces = write_texts(merged(&selectors, limit, ask).unwrap(), &bound, &context);
            String::from_utf8(pieces.unwrap().concat()).unwrap()
        };
        assert_eq!(answer(0), r#"{"status":"success","data":["a","b","c"]}"#);
        assert_eq!(answer(3), answer(0));
        assert_eq!(
            answer(2),
            r#"{"status":"success","data":["a","b"],"warnings":["results truncated due to limit"]}"#
        );
    }

    #[test]
    fn a_long_answer_comes_in_pieces_and_its_memory_counts() {
        let all: Vec<String> = (0..100_000).map(|i| format!("{i:09}")).collect();
        let ask = || Box::new(Texts::new(all.clone())) as Box<dyn TextSet>;
        let context = QueryContext::unlimited();
        let pieces = write_texts(ask(), &ResultLimit::new(0, 0, ""), &context).unwrap();
        let expected = format!(r#"{{"status":"success","data":["{}"]}}"#, all.join(r#"",""#));
        assert_eq!(pieces.concat(), expected.as_bytes());
        assert_eq!(pieces.len(), 5);
        assert_eq!(context.usage().memory_bytes, 0);
        assert!(context.usage().peak_memory_bytes > 1_000_000);
    }

    #[test]
    fn lists_of_any_length_are_written_whole() {
        let written = |sets: Vec<Labels>, is_cut: bool| {
            let warning = is_cut.then(|| "results truncated due to limit".to_owned());
            let pieces: Vec<Bytes> = ListPieces::new(sets, warning, push_labels).collect();
            String::from_utf8(pieces.concat()).unwrap()
        };
        assert_eq!(written(Vec::new(), false), r#"{"status":"success","data":[]}"#);
        assert!(
            written(Vec::new(), true)
                .ends_with(r#""warnings":["results truncated due to limit"]}"#)
        );
        let set = Labels::from_pairs([("name", "x".repeat(70).as_str())]);
        let json = written(vec![set; 5000], false);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["data"].as_array().unwrap().len(), 5000);
    }
}
