//! Readers: ask queriers over HTTP, and compare each answer with the truth.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::model::TimestampMs;
use axum::body::Body;
use http::Request;

use self::model::{Bounds, Check};
use crate::checks;
use crate::cluster::{Cluster, ask};
use crate::node::Process;
use crate::setup::{self, Kind};
use crate::truth::SeriesKey;
use crate::world::EPOCH_MS;

/// A reader gives up waiting after this time.
const QUERY_TIMEOUT: Duration = Duration::from_secs(90);

/// How a query ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// The answer is right.
    Right,
    /// It failed.
    Failed(String),
    /// The answer is wrong; it was reported.
    Wrong,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// All samples of a range.
    Samples,
    /// How many they are, by the engine.
    Count,
    /// The sums of the newest samples by group.
    Sums,
}

/// A question about a tenant's samples of `(at - range, at]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) tenant: usize,
    pub(crate) question: Question,
    pub(crate) at_ms: TimestampMs,
    pub(crate) range_ms: i64,
}

impl Query {
    fn text(&self) -> String {
        match self.question {
            Question::Samples => format!("sim_metric[{}ms]", self.range_ms),
            Question::Count => format!("count_over_time(sim_metric[{}ms])", self.range_ms),
            Question::Sums => "sum by (grp) (sim_metric)".to_owned(),
        }
    }
}

/// Asks again and again until it is dropped.
pub(crate) async fn query_for_ever(cluster: Arc<Cluster>, period_ms: u64) {
    let world = Arc::clone(&cluster.shared.world);
    loop {
        let pause = world.between(period_ms / 2, period_ms * 3 / 2);
        rt::time::sleep(Duration::from_millis(pause)).await;
        let query = any(&cluster);
        run(&cluster, query).await;
    }
}

/// Any question.
fn any(cluster: &Cluster) -> Query {
    let world = &cluster.shared.world;
    let now_ms = world.now_ms();
    let question =
        *world.pick(&[Question::Samples, Question::Samples, Question::Count, Question::Sums]);
    let age_ms = world.below(now_ms.abs_diff(EPOCH_MS).max(1)) as i64;
    let at_ms = if world.chance(300) { now_ms } else { now_ms - age_ms };
    let range_ms = *world.pick(&[30_000, 120_000, 600_000, 1_200_000]);
    Query { tenant: world.below(setup::TENANTS as u64) as usize, question, at_ms, range_ms }
}

/// Asks one question, and compares the answer with the truth.
pub(crate) async fn run(cluster: &Arc<Cluster>, query: Query) -> Asked {
    let world = &cluster.shared.world;
    let Some((node, process)) = cluster.any_ready(Kind::Querier) else {
        world.cover("queries without a querier");
        return Asked::Failed("no querier is ready".to_owned());
    };
    let is_calm = checks::is_calm(world);
    let check = Check::begin(&cluster.shared.links.truth.lock(), &query);
    let seen_before = known_ingesters(&process);
    let answer = rt::time::timeout(QUERY_TIMEOUT, get(&process, &query)).await;
    let seen_after = known_ingesters(&process);
    let knows = |node: &str| seen_before.contains(node) && seen_after.contains(node);
    let asked = match answer {
        Err(_) => Asked::Failed("timeout".to_owned()),
        Ok(Err(error)) => Asked::Failed(error),
        Ok(Ok(answer)) => {
            let bounds = Bounds { truth: &cluster.shared.links.truth.lock(), knows: &knows };
            match check.compare(&answer, &bounds) {
                Ok(()) => Asked::Right,
                Err(problem) => {
                    world.violation(format!("{query:?} to {}: {problem}", node.name));
                    Asked::Wrong
                }
            }
        }
    };
    world.log(format_args!("{query:?} to {}: {asked:?}", node.name));
    match &asked {
        Asked::Right => world.cover("queries answered"),
        Asked::Failed(error) => {
            world.cover("queries failed");
            if is_calm && !world.is_disturbed() {
                world.violation(format!("{query:?} failed although nothing was wrong: {error}"));
            }
        }
        Asked::Wrong => {}
    }
    asked
}

/// The ingesters in the ring that a querier sees.
fn known_ingesters(process: &Process) -> std::collections::BTreeSet<String> {
    let Some(view) = &process.ingesters else { return Default::default() };
    view().instances().iter().map(|instance| instance.id.clone()).collect()
}

/// An answer: the values of each series (or group) by time.
pub(crate) type Answered = BTreeMap<Of, Vec<(TimestampMs, f64)>>;

/// What values are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Series(SeriesKey),
    Group(String),
}

async fn get(process: &Arc<Process>, query: &Query) -> Result<Answered, String> {
    let request = request(query)?;
    let (status, body) = ask(process, request).await.ok_or("the connection broke")?;
    let body: serde_json::Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    if !status.is_success() {
        return Err(format!("{}: {}", status.as_u16(), body["error"].as_str().unwrap_or_default()));
    }
    parse(&body["data"]["result"]).ok_or_else(|| "an answer makes no sense".to_owned())
}

fn request(query: &Query) -> Result<Request<Body>, String> {
    let time = format!("{}.{:03}", query.at_ms / 1000, query.at_ms % 1000);
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    parameters.append_pair("query", &query.text()).append_pair("time", &time);
    Request::get(format!("/api/v1/query?{}", parameters.finish()))
        .extension(setup::tenant(query.tenant))
        .body(Body::empty())
        .map_err(|error| error.to_string())
}

fn parse(result: &serde_json::Value) -> Option<Answered> {
    let mut answered = Answered::new();
    for entry in result.as_array()? {
        let metric = entry["metric"].as_object()?;
        let labels = metric.iter().filter_map(|(name, value)| Some((&**name, value.as_str()?)));
        let of = match setup::series_key(labels) {
            Some(key) => Of::Series(key),
            None => Of::Group(metric.get("grp")?.as_str()?.to_owned()),
        };
        let values = match entry.get("values") {
            Some(values) => values.as_array()?.iter().map(point).collect::<Option<_>>()?,
            None => vec![point(&entry["value"])?],
        };
        // The same series twice would be an error of the merge.
        if answered.insert(of, values).is_some() {
            return None;
        }
    }
    Some(answered)
}

fn point(value: &serde_json::Value) -> Option<(TimestampMs, f64)> {
    let time = value.get(0)?.as_f64()?;
    let value = value.get(1)?.as_str()?.parse().ok()?;
    Some(((time * 1000.0).round() as i64, value))
}
