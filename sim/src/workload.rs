//! Writers: each sends the samples of a tenant again and again, as Prometheus does, and notes what
//! was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use model::batch::BatchSample;
use model::{Label, TimestampMs, WriteBatch};

use crate::checks;
use crate::cluster::{Cluster, ask};
use crate::setup::{self, Kind};
use crate::truth::SeriesKey;

/// A sender gives up waiting after this time.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a write that failed is sent again.
const MAX_SENDS: u32 = 4;
/// Of a thousand writes of the late tenant so many are late.
const LATE: u64 = 150;

/// A sample on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) key: SeriesKey,
    pub(crate) at_ms: TimestampMs,
    pub(crate) value: f64,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Acked,
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
        write(&cluster, tenant, &samples).await;
        let took = (world.elapsed() - took).as_millis() as u64;
        let pause = world.between(period_ms / 2, period_ms * 3 / 2).saturating_sub(took);
        rt::time::sleep(Duration::from_millis(pause.max(1))).await;
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
    let value = |series: usize| (at_ms % 10_000_000) as f64 + series as f64 / 8.0;
    let written = |series| Written { key: (tenant, series), at_ms, value: value(series) };
    (0..setup::SERIES).map(written).collect()
}

/// Writes samples, over again while it is not known how it ended.
pub(crate) async fn write(cluster: &Cluster, tenant: usize, samples: &[Written]) -> End {
    let (world, links) = (&cluster.shared.world, &cluster.shared.links);
    {
        let mut truth = links.truth.lock();
        let is_taken = |w: &Written| truth.written(w.key, w.at_ms).is_some();
        if samples.iter().any(is_taken) {
            return End::Refused; // Two different values at one moment cannot both be stored.
        }
        samples.iter().for_each(|w| truth.attempted(w.key, w.at_ms, w.value));
    }
    let is_calm = checks::is_calm(world);
    let mut end = End::Unknown;
    for attempt in 0..MAX_SENDS {
        let sent = rt::time::timeout(SEND_TIMEOUT, send(cluster, tenant, samples)).await;
        end = sent.unwrap_or(End::Unknown);
        if end != End::Unknown {
            break;
        }
        world.cover("writes sent again");
        rt::time::sleep(Duration::from_millis(500 << attempt)).await;
    }
    match end {
        End::Acked => {
            let mut truth = links.truth.lock();
            samples.iter().for_each(|w| truth.acked(w.key, w.at_ms));
            world.cover("writes acknowledged");
        }
        End::Refused => world.cover("writes refused"),
        End::Unknown => world.cover("writes failed"),
    }
    if is_calm && end == End::Unknown && !world.is_disturbed() {
        world.violation(format!("team-{tenant} could not write although nothing was wrong"));
    }
    end
}

async fn send(cluster: &Cluster, tenant: usize, samples: &[Written]) -> End {
    let Some((node, process)) = cluster.any_ready(Kind::Distributor) else { return End::Unknown };
    let request = Request::post("/api/v1/push")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .extension(setup::tenant(tenant))
        .body(Body::from(body(samples)));
    let Ok(request) = request else { return End::Refused };
    let answer = ask(&process, request).await;
    let world = &cluster.shared.world;
    let status = answer.as_ref().map(|(status, _)| status.as_u16());
    world.log(format_args!(
        "write team-{tenant} at {} to {} {status:?}",
        node.name, samples[0].at_ms
    ));
    match answer {
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
fn body(samples: &[Written]) -> Vec<u8> {
    let labels: Vec<_> = samples.iter().map(|written| setup::labels(written.key)).collect();
    let mut batch = WriteBatch::default();
    for (written, labels) in samples.iter().zip(&labels) {
        let labels = labels.each_ref().map(|(name, value)| Label { name, value });
        let sample = BatchSample { timestamp_ms: written.at_ms, value: written.value };
        batch.push_float(&labels, sample);
    }
    let mut message = Vec::new();
    wire::remote_write::encode(&batch, batch.series.iter().copied(), [], &mut message);
    snap::raw::Encoder::new().compress_vec(&message).unwrap_or_default()
}
