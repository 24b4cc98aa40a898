//! Cardinality calls of the service `cortex.Ingester`: their answers are streams of messages of
//! about a megabyte. The index is locked while it is visited, and must not wait for whoever reads the
//! answer: so what was found is noted first and sent then. Series are noted as their labels, which
//! take what they take in the head, and become messages one by one as they are sent.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Matcher, StorageError, TenantId};
use tonic::{Request, Status};
use wire::client::{ActiveSeries, CardinalityQuery, CountMethod};

use super::server::Shared;
use crate::convert::{labels_out, matchers_in};
use crate::messages::common::{LabelMatcher, Metric};
use crate::messages::ingester::{
    ActiveSeriesRequest, ActiveSeriesResponse, HISTOGRAM_SERIES, LabelNamesAndValuesRequest,
    LabelNamesAndValuesResponse, LabelValueSeriesCount, LabelValues, LabelValuesCardinalityRequest,
    LabelValuesCardinalityResponse,
};
use crate::service::Messages;
use crate::status::tenant_of;

/// A message is sent when it has grown beyond this.
const MESSAGE_BYTES: usize = 1 << 20;

fn counted(method: i32) -> CountMethod {
    if method == 1 { CountMethod::Active } else { CountMethod::InMemory }
}

/// Messages that are there already, as a stream.
fn sent<T: Send + 'static>(messages: Vec<T>) -> Messages<T> {
    Box::pin(futures::stream::iter(messages.into_iter().map(Ok)))
}

/// Whose series are asked for, and which.
struct Question {
    tenant: TenantId,
    matchers: Vec<Matcher>,
    counted: CountMethod,
}

impl Question {
    fn new<T>(
        request: &Request<T>,
        (matchers, method): (&[LabelMatcher], i32),
    ) -> Result<Self, Status> {
        let tenant = tenant_of(request.metadata())?;
        Ok(Self { tenant, matchers: matchers_in(matchers)?, counted: counted(method) })
    }

    fn query(&self) -> CardinalityQuery<'_> {
        CardinalityQuery { tenant: &self.tenant, matchers: &self.matchers, counted: self.counted }
    }
}

pub(super) async fn label_names_and_values(
    shared: Arc<Shared>,
    request: Request<LabelNamesAndValuesRequest>,
) -> Result<Messages<LabelNamesAndValuesResponse>, Status> {
    let asked = request.get_ref();
    let question = Question::new(&request, (&asked.matchers, asked.count_method))?;
    let tenant = question.tenant.clone();
    let job = {
        let shared = Arc::clone(&shared);
        move || names_and_values(&shared, &question)
    };
    Ok(sent(shared.run(&tenant, job).await?))
}

fn names_and_values(
    shared: &Shared,
    question: &Question,
) -> Result<Vec<LabelNamesAndValuesResponse>, StorageError> {
    let (mut messages, mut bytes) = (vec![LabelNamesAndValuesResponse::default()], 0);
    shared.parts.query.label_names_and_values(question.query(), &mut |name, value| {
        if bytes >= MESSAGE_BYTES {
            messages.push(LabelNamesAndValuesResponse::default());
            bytes = 0;
        }
        let Some(message) = messages.last_mut() else { return Ok(()) };
        bytes += value.len() + 4;
        match message.items.last_mut() {
            Some(item) if item.label_name == name => item.values.push(value.to_owned()),
            _ => {
                bytes += name.len() + 8;
                let values = vec![value.to_owned()];
                message.items.push(LabelValues { label_name: name.to_owned(), values });
            }
        }
        Ok(())
    })?;
    Ok(messages)
}

pub(super) async fn label_values_cardinality(
    shared: Arc<Shared>,
    request: Request<LabelValuesCardinalityRequest>,
) -> Result<Messages<LabelValuesCardinalityResponse>, Status> {
    let asked = request.get_ref();
    let question = Question::new(&request, (&asked.matchers, asked.count_method))?;
    let (tenant, names) = (question.tenant.clone(), asked.label_names.clone());
    let job = {
        let shared = Arc::clone(&shared);
        move || {
            let mut messages = Vec::new();
            for name in &names {
                values_of(&shared, (&question, name), &mut messages)?;
            }
            Ok(messages)
        }
    };
    Ok(sent(shared.run(&tenant, job).await?))
}

/// The values of one label with the number of their series.
fn values_of(
    shared: &Shared,
    (question, name): (&Question, &str),
    messages: &mut Vec<LabelValuesCardinalityResponse>,
) -> Result<(), StorageError> {
    let (mut counts, mut bytes) = (HashMap::new(), 0);
    let message = |label_value_series| LabelValuesCardinalityResponse {
        items: vec![LabelValueSeriesCount { label_name: name.to_owned(), label_value_series }],
    };
    shared.parts.query.label_values_cardinality(question.query(), name, &mut |value, count| {
        bytes += value.len() + 12;
        counts.insert(value.to_owned(), count);
        if bytes >= MESSAGE_BYTES {
            messages.push(message(std::mem::take(&mut counts)));
            bytes = 0;
        }
        Ok(())
    })?;
    if !counts.is_empty() {
        messages.push(message(counts));
    }
    Ok(())
}

pub(super) async fn active_series(
    shared: Arc<Shared>,
    request: Request<ActiveSeriesRequest>,
) -> Result<Messages<ActiveSeriesResponse>, Status> {
    let asked = request.get_ref();
    let with_buckets = asked.r#type == HISTOGRAM_SERIES;
    let question = Question::new(&request, (&asked.matchers, 1))?;
    let tenant = question.tenant.clone();
    let job = {
        let shared = Arc::clone(&shared);
        move || {
            let (query, mut found) = (&shared.parts.query, Vec::new());
            let mut see = |series| {
                found.push(series);
                Ok(())
            };
            match with_buckets {
                true => query.active_histogram_series(question.query(), &mut see)?,
                false => query.active_series(question.query(), &mut see)?,
            }
            Ok(found)
        }
    };
    let mut found = shared.run(&tenant, job).await?.into_iter().peekable();
    let messages = std::iter::from_fn(move || {
        found.peek()?;
        Some(Ok(active_message(&mut found, with_buckets)))
    });
    Ok(Box::pin(futures::stream::iter(messages)))
}

/// The next message of series that were found.
fn active_message(
    found: &mut impl Iterator<Item = ActiveSeries>,
    with_buckets: bool,
) -> ActiveSeriesResponse {
    let (mut message, mut bytes) = (ActiveSeriesResponse::default(), 0);
    while bytes < MESSAGE_BYTES {
        let Some(series) = found.next() else { break };
        bytes += series.labels.packed().len() + 16;
        message.metric.push(Metric { labels: labels_out(&series.labels) });
        if with_buckets {
            message.bucket_count.push(u64::from(series.bucket_count.unwrap_or_default()));
        }
    }
    message
}
