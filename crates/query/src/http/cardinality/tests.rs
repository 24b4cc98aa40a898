//! Requests against a list of series; the answers and texts are Mimir's.

use futures::FutureExt as _;
use model::{Labels, Queryable};
use serde_json::{Value, json};
use wire::client::{
    ActiveSeries, CountVisitor, MetadataFilter, OwnedMetadata, SeriesVisitor, UserStats,
    ValueVisitor,
};

use super::*;

/// Series with their buckets; those of the job "idle" are not active.
struct Listed(Vec<(Labels, Option<u32>)>);

impl Listed {
    fn counted(&self, query: &CardinalityQuery<'_>) -> Vec<&Labels> {
        let is_counted = |labels: &&Labels| {
            query.matchers.iter().all(|m| m.matches(labels.value(m.name())))
                && (query.counted == CountMethod::InMemory || labels.value("job") != "idle")
        };
        self.0.iter().map(|(labels, _)| labels).filter(is_counted).collect()
    }

    fn counts(&self, query: &CardinalityQuery<'_>) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for label in self.counted(query).into_iter().flat_map(|labels| labels.iter()) {
            *counts.entry((label.name.to_owned(), label.value.to_owned())).or_default() += 1;
        }
        counts
    }
}

impl IngesterQuery for Listed {
    fn queryable(&self, _: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        Ok(None)
    }

    fn metadata(
        &self,
        _: &TenantId,
        _: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        Ok(Vec::new())
    }

    fn user_stats(&self, _: &TenantId) -> Result<UserStats, StorageError> {
        Ok(UserStats::default())
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.counts(&query).keys().try_for_each(|(name, value)| visit(name, value))
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        let counts = self.counts(&query);
        let mut of_name = counts.iter().filter(|((n, _), _)| n == name);
        of_name.try_for_each(|((_, value), count)| visit(value, *count))
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        Ok(self.counted(&CardinalityQuery { matchers: &[], ..query }).len() as u64)
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        let counted = self.counted(&query);
        let mut active = self.0.iter().filter(|(labels, _)| counted.contains(&labels));
        active.try_for_each(|(labels, bucket_count)| {
            visit(ActiveSeries { labels: labels.clone(), bucket_count: *bucket_count })
        })
    }
}

fn question(change: impl FnOnce(&mut Limits)) -> Question {
    let series = |name: &str, job: &str, pod: &str, buckets| {
        (Labels::from_pairs([("__name__", name), ("job", job), ("pod", pod)]), buckets)
    };
    let mut limits = config::Config::default().limits;
    change(&mut limits);
    Question {
        ingester: Arc::new(Listed(vec![
            series("h", "a", "p1", Some(4)),
            series("h", "b", "p2", Some(7)),
            series("up", "a", "p1", None),
            series("up", "a", "p2", None),
            series("up", "idle", "p3", None),
        ])),
        tenant: TenantId::new("t").unwrap(),
        limits: Arc::new(limits),
    }
}

fn params(text: &str) -> Params {
    let text = text.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    let request = Request::builder().uri(format!("/?{text}")).body(Body::empty()).unwrap();
    Params::read(request, 0).now_or_never().unwrap().unwrap()
}

fn ask<R>(
    question: &Question,
    text: &str,
    decode: impl FnOnce(&Params, &Limits) -> Result<R, String>,
    job: impl FnOnce(&Question, &R) -> Result<Vec<u8>, PlainError>,
) -> Result<Value, PlainError> {
    let decoded = decode(&params(text), &question.limits).map_err(PlainError::bad_request)?;
    Ok(serde_json::from_slice(&job(question, &decoded)?).unwrap())
}

fn names(text: &str) -> Result<Value, PlainError> {
    ask(&question(|_| {}), text, LabelNamesRequest::decode, count_names)
}

fn values(text: &str) -> Result<Value, PlainError> {
    ask(&question(|_| {}), text, LabelValuesRequest::decode, count_values)
}

#[test]
fn names_with_the_most_values_come_first() {
    let name = |name: &str, count: u64| json!({"label_name": name, "label_values_count": count});
    let want = json!({
        "label_values_count_total": 8,
        "label_names_count": 3,
        "cardinality": [name("job", 3), name("pod", 3)],
    });
    assert_eq!(names("limit=2").unwrap(), want);
    let want = json!({
        "label_values_count_total": 4,
        "label_names_count": 3,
        "cardinality": [name("pod", 2), name("__name__", 1), name("job", 1)],
    });
    assert_eq!(names("count_method=active&selector={__name__=\"up\"}").unwrap(), want);
    let small = question(|limits| limits.label_names_and_values_results_max_size_bytes = 20);
    let error = ask(&small, "", LabelNamesRequest::decode, count_names).unwrap_err();
    let text = "size of distinct label names and values is greater than 20 bytes";
    assert_eq!(error, PlainError(StatusCode::INTERNAL_SERVER_ERROR, text.to_owned()));
}

#[test]
fn values_with_the_most_series_come_first() {
    let value = |value: &str, count: u64| json!({"label_value": value, "series_count": count});
    let label = |name: &str, values: u64, series: u64, cardinality: Value| {
        json!({
            "label_name": name,
            "label_values_count": values,
            "series_count": series,
            "cardinality": cardinality,
        })
    };
    let want = json!({
        "series_count_total": 5,
        "labels": [
            label("job", 3, 5, json!([value("a", 3)])),
            label("pod", 3, 5, json!([value("p1", 2)])),
        ],
    });
    let asked = "label_names[]=pod&label_names[]=job&label_names[]=none&limit=1";
    assert_eq!(values(asked).unwrap(), want);
    let want = json!({
        "series_count_total": 4,
        "labels": [label("pod", 2, 2, json!([value("p1", 1), value("p2", 1)]))],
    });
    let asked = "label_names[]=pod&count_method=active&selector=up";
    assert_eq!(values(asked).unwrap(), want);
    let one = question(|limits| limits.label_values_max_cardinality_label_names_per_request = 1);
    let asked = "label_names[]=a&label_names[]=b";
    let error = ask(&one, asked, LabelValuesRequest::decode, count_values).unwrap_err();
    let text = "label values cardinality request label names limit (limit: 1 actual: 2) exceeded";
    assert_eq!(error, PlainError::bad_request(text));
}

#[test]
fn active_series_and_buckets_of_metrics() {
    let listed = question(|_| {});
    let found = ask(&listed, "selector=up", ActiveSeriesRequest::decode, list_active).unwrap();
    let series = |pod: &str| json!({"__name__": "up", "job": "a", "pod": pod});
    assert_eq!(found, json!({"data": [series("p1"), series("p2")]}));
    let found =
        ask(&listed, "selector={job!=\"\"}", ActiveSeriesRequest::decode, count_buckets).unwrap();
    let want = json!({"data": [{
        "metric": "h",
        "series_count": 2,
        "bucket_count": 11,
        "avg_bucket_count": 5.5,
        "min_bucket_count": 4,
        "max_bucket_count": 7,
    }]});
    assert_eq!(found, want);
    let small = question(|limits| limits.active_series_results_max_size_bytes = 30);
    for job in [list_active, count_buckets] {
        let error = ask(&small, "selector=h", ActiveSeriesRequest::decode, job).unwrap_err();
        let text = "response too large: try increasing the requested shard count";
        assert_eq!(error, PlainError(StatusCode::PAYLOAD_TOO_LARGE, text.to_owned()));
    }
}

#[test]
fn parameters_that_are_wrong_say_why() {
    for (asked, want) in [
        ("limit=501", "'limit' param cannot be greater than '500'"),
        ("limit=-1", "'limit' param cannot be less than '0'"),
        ("limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("limit=1&limit=2", "multiple 'limit' params are not allowed"),
        ("selector=a&selector=b", "multiple 'selector' params are not allowed"),
        (
            "count_method=all",
            "invalid 'count_method' param 'all'. valid options are: [active,inmemory]",
        ),
    ] {
        assert_eq!(names(asked).unwrap_err(), PlainError::bad_request(want));
    }
    assert!(names("selector={").unwrap_err().1.starts_with("failed to parse selector: "));
    let error = values("limit=3").unwrap_err();
    assert_eq!(error, PlainError::bad_request("'label_names[]' param is required"));
    let error = values("label_names[]=").unwrap_err();
    assert_eq!(error, PlainError::bad_request("invalid 'label_names' param ''"));
    let error = ask(&question(|_| {}), "", ActiveSeriesRequest::decode, list_active).unwrap_err();
    assert_eq!(error, PlainError::bad_request("missing 'selector' parameter"));
}
