//! Writers: each sends the samples of a tenant again and again, as Prometheus does, and notes what
//! was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use model::batch::{BatchHistogram, BatchSample, HistogramValue};
use model::{Label, TimestampMs, WriteBatch};

use crate::checks;
use crate::cluster::{Cluster, ask};
use crate::histograms;
use crate::setup::{self, Kind};
use crate::truth::SeriesKey;

/// A sender gives up waiting after this time.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a write that failed is sent again.
const MAX_SENDS: u32 = 4;
/// Of a thousand writes of the late tenant so many are late.
const LATE: u64 = 150;
/// Of a thousand writes of a replica so many are its last ones for a while.
const REPLICA_DIES: u64 = 6;
/// Where a replica has been elected, another one is not before this time. The store may be behind by
/// an update and its jitter, so that it is less than the time of a failover. How soon the two follow
/// each other tells nothing: an election may pass while the next update of the store is due.
const ELECTED_MS: u64 = setup::HA_FAILOVER_MS as u64 / 2;

/// A sample on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) key: SeriesKey,
    pub(crate) at_ms: TimestampMs,
    pub(crate) value: f64,
}

/// What is written together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) tenant: usize,
    /// Which of a pair of senders sends it.
    pub(crate) replica: Option<usize>,
    pub(crate) samples: &'a [Written],
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Acked,
    /// Another replica's samples are taken.
    NotElected,
    /// It was refused for good.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// Writes a tenant's samples, one round after the other, until it is dropped.
pub(crate) async fn write_for_ever(cluster: Arc<Cluster>, tenant: usize, period_ms: u64) {
    let world = Arc::clone(&cluster.shared.world);
    let mut last_ms = 0;
    loop {
        let now_ms = world.now_ms().max(last_ms + 1);
        last_ms = now_ms;
        let samples = round(&cluster, tenant, now_ms);
        let took = world.elapsed();
        write(&cluster, Batch { tenant, replica: None, samples: &samples }).await;
        let took = (world.elapsed() - took).as_millis() as u64;
        let pause = world.between(period_ms / 2, period_ms * 3 / 2).saturating_sub(took);
        rt::time::sleep(Duration::from_millis(pause.max(1))).await;
    }
}

/// Writes as one of two replicas that see the same, each at its own times, until it is dropped.
/// Now and then it dies, and comes back.
pub(crate) async fn write_as_replica(cluster: Arc<Cluster>, replica: usize, period_ms: u64) {
    let world = Arc::clone(&cluster.shared.world);
    let mut last_ms = 0;
    loop {
        let pause_ms = if world.chance(REPLICA_DIES) {
            world.log(format_args!("replica {replica} dies"));
            world.cover("replicas of a sender died");
            world.between(30_000, 90_000)
        } else {
            world.between(period_ms / 2, period_ms * 3 / 2)
        };
        rt::time::sleep(Duration::from_millis(pause_ms)).await;
        // The times tell whose a sample is.
        let now_ms = world.now_ms().max(last_ms + 2);
        last_ms = now_ms - now_ms % 2 + replica as i64;
        let samples = round(&cluster, setup::HA_TENANT, last_ms);
        let batch = Batch { tenant: setup::HA_TENANT, replica: Some(replica), samples: &samples };
        write(&cluster, batch).await;
    }
}

/// The samples of one round.
fn round(cluster: &Cluster, tenant: usize, now_ms: TimestampMs) -> Vec<Written> {
    let world = &cluster.shared.world;
    let is_late = tenant == setup::LATE_TENANT && world.chance(LATE);
    let at_ms = if is_late { now_ms - world.between(1_000, 60_000) as i64 } else { now_ms };
    if is_late {
        world.cover("late writes");
    }
    let value = |series: usize| match series {
        setup::FIRST_HISTOGRAM.. => histograms::count(series, at_ms),
        _ => (at_ms % 10_000_000) as f64 + series as f64 / 8.0,
    };
    let written = |series| Written { key: (tenant, series), at_ms, value: value(series) };
    (0..setup::SERIES).map(written).collect()
}

/// Writes samples, over again while it is not known how it ended.
pub(crate) async fn write(cluster: &Cluster, batch: Batch<'_>) -> End {
    let (world, links) = (&cluster.shared.world, &cluster.shared.links);
    {
        let mut truth = links.truth.lock();
        let is_taken = |w: &Written| truth.written(w.key, w.at_ms).is_some();
        if batch.samples.iter().any(is_taken) {
            return End::Refused; // Two different values at one moment cannot both be stored.
        }
        batch.samples.iter().for_each(|w| truth.attempted(w.key, w.at_ms, w.value));
    }
    let is_calm = checks::is_calm(world);
    let (mut end, mut is_certain) = (End::Unknown, true);
    for attempt in 0..MAX_SENDS {
        let sent = rt::time::timeout(SEND_TIMEOUT, send(cluster, batch)).await;
        end = sent.unwrap_or(End::Unknown);
        if end != End::Unknown {
            break;
        }
        is_certain = false;
        world.cover("writes sent again");
        rt::time::sleep(Duration::from_millis(500 << attempt)).await;
    }
    note(cluster, batch, (end, is_certain));
    if is_calm && end == End::Unknown && checks::is_calm(world) {
        let tenant = batch.tenant;
        world.violation(format!("team-{tenant} could not write although nothing was wrong"));
    }
    end
}

/// Notes how a write ended, and whether no try before may have been taken.
fn note(cluster: &Cluster, batch: Batch<'_>, (end, is_certain): (End, bool)) {
    let (world, links) = (&cluster.shared.world, &cluster.shared.links);
    match end {
        End::Acked => {
            let mut truth = links.truth.lock();
            batch.samples.iter().for_each(|w| truth.acked(w.key, w.at_ms));
            drop(truth);
            world.cover("writes acknowledged");
            if let Some(replica) = batch.replica {
                was_elected(cluster, replica);
            }
        }
        End::NotElected => {
            world.cover("writes of replicas that are not elected");
            if is_certain {
                let mut truth = links.truth.lock();
                batch.samples.iter().for_each(|w| truth.refused(w.key, w.at_ms));
            }
        }
        End::Refused => world.cover("writes refused"),
        End::Unknown => world.cover("writes failed"),
    }
}

/// Samples of a replica were taken, and not in turn with those of the other one.
fn was_elected(cluster: &Cluster, replica: usize) {
    let world = &cluster.shared.world;
    let now = world.elapsed();
    let mut elected = cluster.shared.links.elected.lock();
    let Some((before, since)) = *elected else {
        *elected = Some((replica, now));
        return;
    };
    if before == replica {
        return;
    }
    *elected = Some((replica, now));
    world.cover("other replicas of a sender elected");
    let is_early = now.saturating_sub(since) < Duration::from_millis(ELECTED_MS);
    if is_early && checks::is_calm(world) {
        let before = now - since;
        world.violation(format!("replica {replica} was elected {before:?} after the other one"));
    }
}

async fn send(cluster: &Cluster, batch: Batch<'_>) -> End {
    let Some((node, process)) = cluster.any_ready(Kind::Distributor) else { return End::Unknown };
    let request = Request::post("/api/v1/push")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .extension(setup::tenant(batch.tenant))
        .body(Body::from(body(batch)));
    let Ok(request) = request else { return End::Refused };
    let answer = ask(&process, request).await;
    let world = &cluster.shared.world;
    let status = answer.as_ref().map(|(status, _)| status.as_u16());
    let (tenant, at_ms) = (batch.tenant, batch.samples[0].at_ms);
    world.log(format_args!("write team-{tenant} at {} to {at_ms} {status:?}", node.name));
    match answer {
        Some((StatusCode::ACCEPTED, _)) => End::NotElected,
        Some((status, _)) if status.is_success() => End::Acked,
        Some((status, body))
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
        {
            world.log(format_args!("refused: {}", String::from_utf8_lossy(&body).trim_end()));
            End::Refused
        }
        _ => End::Unknown,
    }
}

/// The samples as a remote-write request.
fn body(written: Batch<'_>) -> Vec<u8> {
    let samples = written.samples;
    let replica = written.replica.map(|replica| format!("replica-{replica}"));
    let labels: Vec<_> = samples.iter().map(|written| setup::labels(written.key)).collect();
    let mut batch = WriteBatch::default();
    for (written, labels) in samples.iter().zip(&labels) {
        let mut labels: Vec<Label<'_>> =
            labels.iter().map(|(name, value)| Label { name, value }).collect();
        if let Some(replica) = &replica {
            labels.insert(1, Label { name: "__replica__", value: replica });
            labels.insert(2, Label { name: "cluster", value: "pair" });
        }
        let (series, timestamp_ms) = (written.key.1, written.at_ms);
        if series < setup::FIRST_HISTOGRAM {
            batch.push_float(&labels, BatchSample { timestamp_ms, value: written.value });
        } else {
            let value = HistogramValue::Int(Box::new(histograms::written(series, timestamp_ms)));
            batch.push_histogram(&labels, BatchHistogram { timestamp_ms, value });
        }
    }
    let mut message = Vec::new();
    wire::remote_write::encode(&batch, batch.series.iter().copied(), [], &mut message);
    snap::raw::Encoder::new().compress_vec(&message).unwrap_or_default()
}
