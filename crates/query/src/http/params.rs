//! Parameters of the query API, from the URL and from a form in the body.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use model::{Matcher, TimestampMs};
use promql::parser::{MAX_AUTOMATA_BYTES, parse_metric_selector};

use crate::error::{ApiError, ErrorType};

/// Times that Prometheus reads as "the earliest" and "the latest".
const MIN_TIME_MS: TimestampMs = i64::MIN / 1_000_000 / 2;
const MAX_TIME_MS: TimestampMs = i64::MAX / 1_000_000 / 2;

/// The parameters of one request, in order; names may be repeated. And its headers.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>, HeaderMap);

impl Params {
    /// Reads the URL's query string, and the body of a POST where it is a form of at most
    /// `max_bytes`.
    pub(super) async fn read(request: Request<Body>, max_bytes: u64) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut pairs = Vec::new();
        if parts.method == Method::POST && is_form(&parts.headers) {
            let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
            let body = Limited::new(body, max_bytes).collect().await.map_err(body_error)?;
            push_pairs(&mut pairs, &body.to_bytes())?;
        }
        push_pairs(&mut pairs, parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(Self(pairs, parts.headers))
    }

    /// The headers with these names, as `name=value`, for the log.
    pub(super) fn headers_text(&self, names: &[String]) -> String {
        let pair = |name: &String| {
            let value = self.1.get(name)?.to_str().ok()?;
            Some(format!("{}={value}", name.to_ascii_lowercase().replace('-', "_")))
        };
        names.iter().filter_map(pair).collect::<Vec<_>>().join(" ")
    }

    /// The header `name`, where it is readable.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.1.get(name)?.to_str().ok()
    }

    /// The first value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value that is there and not empty.
    fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value that must be given.
    fn required(&self, name: &str) -> Result<&str, ApiError> {
        let missing = || ApiError::bad_data(format!("missing required parameter \"{name}\""));
        self.given(name).ok_or_else(missing)
    }

    /// A time that must be given, ms.
    pub(super) fn time(&self, name: &str) -> Result<TimestampMs, ApiError> {
        let text = self.required(name)?;
        parse_time(text).map_err(|reason| ApiError::invalid_parameter(name, reason))
    }

    /// A time, or `default` where none is given, ms.
    pub(super) fn time_or(
        &self,
        name: &str,
        default: TimestampMs,
    ) -> Result<TimestampMs, ApiError> {
        if self.given(name).is_some() { self.time(name) } else { Ok(default) }
    }

    /// `start` and `end` of a label or series request; without them all of time.
    pub(super) fn range(&self) -> Result<(TimestampMs, TimestampMs), ApiError> {
        let backwards =
            || ApiError::invalid_parameter("end", "end timestamp must not be before start time");
        self.range_or(backwards)
    }

    /// The same with another error for an end before the start.
    pub(super) fn range_or_error(
        &self,
        backwards: &str,
    ) -> Result<(TimestampMs, TimestampMs), ApiError> {
        self.range_or(|| ApiError::bad_data(backwards))
    }

    fn range_or(
        &self,
        backwards: impl FnOnce() -> ApiError,
    ) -> Result<(TimestampMs, TimestampMs), ApiError> {
        let start = self.time_or("start", MIN_TIME_MS)?;
        let end = self.time_or("end", MAX_TIME_MS)?;
        if end < start { Err(backwards()) } else { Ok((start, end)) }
    }

    /// A duration that must be given, ms.
    pub(super) fn duration_ms(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.required(name)?;
        parse_duration_ms(text).map_err(|reason| ApiError::invalid_parameter(name, reason))
    }

    /// A duration where one is given, ms.
    pub(super) fn optional_duration_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.given(name).map(|_| self.duration_ms(name)).transpose()
    }

    /// `timeout`.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        let ms = self.optional_duration_ms("timeout")?;
        Ok(ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    /// A count that is not negative; 0 where none is given.
    pub(super) fn count(&self, name: &str) -> Result<usize, ApiError> {
        let Some(text) = self.given(name) else { return Ok(0) };
        let number: i64 = text.parse().map_err(|_| {
            ApiError::invalid_parameter(name, format!("cannot parse {text:?} to a valid number"))
        })?;
        usize::try_from(number)
            .map_err(|_| ApiError::invalid_parameter(name, format!("{name} must be non-negative")))
    }

    /// `limit` of a label or series request; 0 where none is given.
    pub(super) fn list_limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.given("limit") else { return Ok(0) };
        text.parse().map_err(|_| {
            let wanted = "limit parameter must be greater than or equal to 0";
            ApiError::bad_data(format!("{wanted}, got {text}"))
        })
    }

    /// The selectors of `match[]` of a series request, each with at least one matcher that is not
    /// empty.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        self.label_selectors()
            .map_err(|error| ApiError::invalid_parameter("match[]", error.message))
    }

    /// The same for label requests, whose errors do not say which parameter they are about.
    pub(super) fn label_selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let parse = |text: &str| {
            let matchers = parse_metric_selector(text)
                .map_err(|error| ApiError::bad_data(error.to_string()))?;
            if matchers.iter().all(Matcher::matches_empty) {
                let reason = "match[] must contain at least one non-empty matcher";
                return Err(ApiError::bad_data(reason));
            }
            Ok(matchers)
        };
        let mut automata_bytes = 0;
        let mut selectors = Vec::new();
        for text in self.all("match[]") {
            let matchers = parse(text)?;
            let regexes = matchers.iter().filter_map(Matcher::regex);
            automata_bytes += regexes.map(model::regex::Regex::automaton_bytes).sum::<usize>();
            if automata_bytes > MAX_AUTOMATA_BYTES {
                return Err(ApiError::bad_data("the regular expressions are too large together"));
            }
            selectors.push(matchers);
        }
        Ok(selectors)
    }
}

/// Decodes `a=b&c=d`; as Go it refuses what is not escaped as it should be.
fn push_pairs(pairs: &mut Vec<(String, String)>, form: &[u8]) -> Result<(), ApiError> {
    if form.contains(&b';') {
        return Err(ApiError::bad_data("invalid semicolon separator in query"));
    }
    for (at, _) in form.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let escape = &form[at..form.len().min(at + 3)];
        if escape.len() < 3 || !escape[1..].iter().all(u8::is_ascii_hexdigit) {
            let escape = model::quote::quote(escape);
            return Err(ApiError::bad_data(format!("invalid URL escape {escape}")));
        }
    }
    pairs.extend(form_urlencoded::parse(form).into_owned());
    Ok(())
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> ApiError {
    if error.is::<LengthLimitError>() {
        ApiError::new(ErrorType::TooLargeEntry, "http: request body too large")
    } else {
        ApiError::bad_data(format!("error parsing form values: {error}"))
    }
}

/// Seconds since the epoch with a fraction, or RFC 3339.
fn parse_time(text: &str) -> Result<TimestampMs, String> {
    let invalid =
        || format!("cannot parse {} to a valid timestamp", model::quote::quote(text.as_bytes()));
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        return if ms.is_finite() && ms.abs() < 9.2e18 { Ok(ms as i64) } else { Err(invalid()) };
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    Ok(time.as_millisecond())
}

/// Seconds with a fraction, or Prometheus' form of a duration.
fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let invalid =
        || format!("cannot parse {} to a valid duration", model::quote::quote(text.as_bytes()));
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        let fits = ms.abs() < 9.2e15; // False for NaN.
        return if fits {
            Ok(ms as i64)
        } else {
            Err(format!("{}. It overflows int64", invalid()))
        };
    }
    promql::duration::parse_duration(text).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect(), HeaderMap::new())
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, want) in [
            ("0", 0),
            ("1435781430.781", 1_435_781_430_781),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.781+02:00", 1_435_781_451_781),
        ] {
            assert_eq!(parse_time(text), Ok(want), "{text}");
        }
        for text in ["", "x", "Inf", "NaN", "2015-13-01T00:00:00Z"] {
            let want = format!("cannot parse \"{text}\" to a valid timestamp");
            assert_eq!(parse_time(text), Err(want));
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        for (text, want) in [("15", 15_000), ("0.5", 500), ("5m", 300_000), ("1h30m", 5_400_000)] {
            assert_eq!(parse_duration_ms(text), Ok(want), "{text}");
        }
        for text in ["", "5", "m5", "1e300"] {
            assert_eq!(parse_duration_ms(text).is_err(), text != "5", "{text}");
        }
    }

    #[test]
    fn a_range_without_times_is_all_of_time_and_never_backwards() {
        assert_eq!(params("").range().unwrap(), (MIN_TIME_MS, MAX_TIME_MS));
        assert_eq!(params("start=1&end=2").range().unwrap(), (1000, 2000));
        let error = params("start=3&end=2").range().unwrap_err();
        assert_eq!(
            error.message,
            r#"invalid parameter "end": end timestamp must not be before start time"#
        );
    }

    #[test]
    fn what_is_not_escaped_as_it_should_be_is_refused() {
        let error = |form: &str| {
            let mut pairs = Vec::new();
            push_pairs(&mut pairs, form.as_bytes()).map(|()| pairs).map_err(|e| e.message)
        };
        let two = vec![("a".to_owned(), "1+\"".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(error("a=1%2b\"&b="), Ok(two));
        for (form, want) in [
            ("a=%zz", "invalid URL escape \"%zz\""),
            ("a=%4", "invalid URL escape \"%4\""),
            ("a=%", "invalid URL escape \"%\""),
            ("a=1;b=2", "invalid semicolon separator in query"),
        ] {
            assert_eq!(error(form), Err(want.to_owned()));
        }
    }

    #[test]
    fn errors_are_those_of_mimir() {
        let messages = |query: &str| {
            let params = params(query);
            let of = |result: Result<(), ApiError>| result.err().map(|e| e.message);
            [
                of(params.duration_ms("step").map(drop)),
                of(params.list_limit().map(drop)),
                of(params.label_selectors().map(drop)),
                of(params.selectors().map(drop)),
            ]
        };
        let empty = "match[] must contain at least one non-empty matcher";
        assert_eq!(
            messages("limit=-1&match[]={}").map(Option::unwrap),
            [
                "missing required parameter \"step\"".to_owned(),
                "limit parameter must be greater than or equal to 0, got -1".to_owned(),
                empty.to_owned(),
                format!("invalid parameter \"match[]\": {empty}"),
            ]
        );
        assert_eq!(messages("step=5&limit=7&match[]=up"), [const { None }; 4]);
        let limit = messages("limit=a")[1].clone().unwrap();
        assert_eq!(limit, "limit parameter must be greater than or equal to 0, got a");
    }

    #[test]
    fn selectors_must_select_something() {
        let two = params("match[]=up&match%5B%5D=%7Ba%3D%22b%22%7D").selectors().unwrap();
        assert_eq!(two.len(), 2);
        assert!(params("match[]={a=\"\"}").selectors().is_err());
        assert!(params("match[]=up{").selectors().is_err());
        assert!(params("match[]=rate(up[5m])").selectors().is_err());
    }
}
