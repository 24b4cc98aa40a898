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
use crate::histograms;
use crate::node::Process;
use crate::setup::{self, Kind};
use crate::truth::{NodeSet, SeriesKey, View};
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
    /// Whether it is about native histograms.
    pub(crate) histograms: bool,
    pub(crate) at_ms: TimestampMs,
    pub(crate) range_ms: i64,
}

impl Query {
    fn text(&self) -> String {
        let (metric, range_ms) = (self.metric(), self.range_ms);
        match self.question {
            Question::Samples => format!("{metric}[{range_ms}ms]"),
            Question::Count => format!("count_over_time({metric}[{range_ms}ms])"),
            Question::Sums if self.histograms => {
                format!("histogram_count(sum by (grp) ({metric}))")
            }
            Question::Sums => format!("sum by (grp) ({metric})"),
        }
    }

    fn metric(&self) -> &'static str {
        if self.histograms { "sim_histogram" } else { "sim_metric" }
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
    let tenant = world.below(setup::TENANTS as u64) as usize;
    Query { tenant, question, histograms: world.chance(250), at_ms, range_ms }
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
    let (seen_before, asked_at_ms) = (known_ingesters(&process), world.now_ms());
    let answer = rt::time::timeout(QUERY_TIMEOUT, get(&process, &query)).await;
    let knows = seen_before.and(known_ingesters(&process));
    let view = View { knows, now_ms: asked_at_ms };
    let asked = match answer {
        Err(_) => Asked::Failed("timeout".to_owned()),
        Ok(Err(NoAnswer::Failed(error))) => Asked::Failed(error),
        Ok(Err(NoAnswer::Wrong(problem))) => {
            world.violation(format!("{query:?} to {}: {problem}", node.name));
            Asked::Wrong
        }
        Ok(Ok(answer)) => {
            let bounds = Bounds { truth: &cluster.shared.links.truth.lock(), view };
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
            if is_calm && checks::is_calm(world) {
                world.violation(format!("{query:?} failed although nothing was wrong: {error}"));
            }
        }
        Asked::Wrong => {}
    }
    asked
}

/// The ingesters in the ring that a querier sees.
fn known_ingesters(process: &Process) -> NodeSet {
    let Some(view) = &process.ingesters else { return NodeSet::default() };
    NodeSet::of(view().instances().iter().map(|instance| instance.id.as_str()))
}

/// An answer: the values of each series (or group) by time.
pub(crate) type Answered = BTreeMap<Of, Vec<(TimestampMs, f64)>>;

/// What values are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Series(SeriesKey),
    Group(String),
}

/// Why there is nothing to compare.
enum NoAnswer {
    Failed(String),
    /// What came makes no sense, or a histogram is another one than was written.
    Wrong(String),
}

async fn get(process: &Arc<Process>, query: &Query) -> Result<Answered, NoAnswer> {
    let request = request(query).map_err(NoAnswer::Failed)?;
    let answer = ask(process, request).await;
    let (status, body) = answer.ok_or_else(|| NoAnswer::Failed("it broke off".to_owned()))?;
    let body: serde_json::Value =
        serde_json::from_slice(&body).map_err(|e| NoAnswer::Failed(e.to_string()))?;
    if !status.is_success() {
        let error = body["error"].as_str().unwrap_or_default();
        return Err(NoAnswer::Failed(format!("{}: {error}", status.as_u16())));
    }
    parse(&body["data"]["result"]).map_err(NoAnswer::Wrong)
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

fn parse(result: &serde_json::Value) -> Result<Answered, String> {
    let mut answered = Answered::new();
    for entry in result.as_array().ok_or("no list of series")? {
        let of =
            of_labels(&entry["metric"]).ok_or_else(|| format!("series {}", entry["metric"]))?;
        let values = match (entry.get("values"), entry.get("histograms"), &of) {
            (Some(values), None, _) => points(values, point)?,
            (None, Some(histograms), Of::Series((_, series))) => {
                points(histograms, |value| histogram_point(*series, value))?
            }
            _ => vec![point(&entry["value"])?],
        };
        // The same series twice would be an error of the merge.
        if answered.insert(of, values).is_some() {
            return Err(format!("{} is there twice", entry["metric"]));
        }
    }
    Ok(answered)
}

fn of_labels(metric: &serde_json::Value) -> Option<Of> {
    let metric = metric.as_object()?;
    let labels = metric.iter().filter_map(|(name, value)| Some((&**name, value.as_str()?)));
    if metric.contains_key("__replica__") {
        return None;
    }
    Some(match setup::series_key(labels) {
        Some(key) => Of::Series(key),
        None => Of::Group(metric.get("grp")?.as_str()?.to_owned()),
    })
}

fn points(
    values: &serde_json::Value,
    point: impl Fn(&serde_json::Value) -> Result<(TimestampMs, f64), String>,
) -> Result<Vec<(TimestampMs, f64)>, String> {
    values.as_array().ok_or("no list of samples")?.iter().map(point).collect()
}

fn at_ms(value: &serde_json::Value) -> Option<TimestampMs> {
    Some((value.get(0)?.as_f64()? * 1000.0).round() as i64)
}

fn point(value: &serde_json::Value) -> Result<(TimestampMs, f64), String> {
    let number = || value.get(1)?.as_str()?.parse().ok();
    at_ms(value).zip(number()).ok_or_else(|| format!("sample {value}"))
}

/// A histogram, compared with what was written; its value is its count.
fn histogram_point(series: usize, value: &serde_json::Value) -> Result<(TimestampMs, f64), String> {
    let at_ms = at_ms(value).ok_or_else(|| format!("histogram {value}"))?;
    Ok((at_ms, histograms::compare(series, at_ms, &value[1])?))
}
