//! The parameters of cardinality requests, with Mimir's rules and texts.

use config::Limits;
use model::Matcher;
use promql::parser::parse_metric_selector;
use wire::client::CountMethod;

use super::super::params::Params;

/// How many items an answer has where the request does not say.
const DEFAULT_LIMIT: usize = 20;
/// The most that a request may ask for where the tenant has no limit of its own.
const MAX_LIMIT: usize = 500;

/// A request for the label names with the most values.
#[derive(Debug)]
pub(super) struct LabelNamesRequest {
    pub(super) matchers: Vec<Matcher>,
    pub(super) counted: CountMethod,
    pub(super) limit: usize,
}

/// A request for the values of some labels with the most series.
#[derive(Debug)]
pub(super) struct LabelValuesRequest {
    /// Ascending.
    pub(super) names: Vec<String>,
    pub(super) matchers: Vec<Matcher>,
    pub(super) counted: CountMethod,
    pub(super) limit: usize,
}

/// A request for active series.
#[derive(Debug)]
pub(super) struct ActiveSeriesRequest {
    pub(super) matchers: Vec<Matcher>,
}

impl LabelNamesRequest {
    pub(super) fn decode(params: &Params, limits: &Limits) -> Result<Self, String> {
        let matchers = selector(params)?.unwrap_or_default();
        let limit = item_limit(params, limits)?;
        Ok(Self { matchers, limit, counted: count_method(params)? })
    }
}

impl LabelValuesRequest {
    pub(super) fn decode(params: &Params, limits: &Limits) -> Result<Self, String> {
        let names = label_names(params)?;
        let matchers = selector(params)?.unwrap_or_default();
        let limit = item_limit(params, limits)?;
        Ok(Self { names, matchers, limit, counted: count_method(params)? })
    }
}

impl ActiveSeriesRequest {
    pub(super) fn decode(params: &Params, _: &Limits) -> Result<Self, String> {
        let matchers = selector(params)?;
        let matchers = matchers.ok_or_else(|| "missing 'selector' parameter".to_owned())?;
        Ok(Self { matchers })
    }
}

fn selector(params: &Params) -> Result<Option<Vec<Matcher>>, String> {
    let Some(text) = only(params, "selector")? else { return Ok(None) };
    parse_metric_selector(text)
        .map(Some)
        .map_err(|error| format!("failed to parse selector: {error}"))
}

/// The value of a parameter that may be given once.
fn only<'p>(params: &'p Params, name: &'p str) -> Result<Option<&'p str>, String> {
    let mut values = params.all(name);
    let first = values.next();
    match values.next() {
        Some(_) => Err(format!("multiple '{name}' params are not allowed")),
        None => Ok(first),
    }
}

fn item_limit(params: &Params, limits: &Limits) -> Result<usize, String> {
    let Some(text) = only(params, "limit")? else { return Ok(DEFAULT_LIMIT) };
    let limit: i64 =
        text.parse().map_err(|_| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))?;
    let limit =
        usize::try_from(limit).map_err(|_| "'limit' param cannot be less than '0'".to_owned())?;
    let most = match usize::try_from(limits.cardinality_analysis_max_results) {
        Ok(0) => MAX_LIMIT,
        Ok(most) => most,
        Err(_) => usize::MAX,
    };
    if limit > most {
        return Err(format!("'limit' param cannot be greater than '{most}'"));
    }
    Ok(limit)
}

fn label_names(params: &Params) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = params.all("label_names[]").map(str::to_owned).collect();
    if names.is_empty() {
        return Err("'label_names[]' param is required".to_owned());
    }
    if names.iter().any(String::is_empty) {
        return Err("invalid 'label_names' param ''".to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn count_method(params: &Params) -> Result<CountMethod, String> {
    match params.all("count_method").next() {
        None | Some("inmemory") => Ok(CountMethod::InMemory),
        Some("active") => Ok(CountMethod::Active),
        Some(other) => Err(format!(
            "invalid 'count_method' param '{other}'. valid options are: [active,inmemory]"
        )),
    }
}
