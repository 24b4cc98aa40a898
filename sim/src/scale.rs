//! The cluster grows and shrinks while it is written and read: ingesters are added, and one leaves
//! for good as the handbook says, with another one in its place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use tsdb::fs::FileSystem as _;

use crate::cluster::{Cluster, ask};
use crate::node::Node;
use crate::setup::{self, Kind};

/// Who operates the cluster looks again after this time.
const AGAIN: Duration = Duration::from_secs(15);
/// What has been flushed can be found by queries after this time: bucket index and store-gateways
/// have been brought up to date, also where the bucket failed meanwhile.
const FOUND_AFTER_MS: i64 = 300_000;
/// A read-only ingester stays for so much longer than it is asked.
const MARGIN: Duration = Duration::from_secs(60);
/// Who stays for so long needs a long run.
const PATIENT_SPAN: Duration = Duration::from_secs(1_500);

/// One more ingester a zone, each at its time.
pub(crate) async fn grow(cluster: Arc<Cluster>, span: Duration) {
    let world = Arc::clone(&cluster.shared.world);
    let seconds = span.as_secs();
    rt::time::sleep(Duration::from_secs(world.between(seconds / 8, seconds / 2))).await;
    for zone in setup::ZONES {
        add(&cluster, &format!("ingester-{zone}-3")).await;
        rt::time::sleep(Duration::from_secs(world.between(5, 60))).await;
    }
}

async fn add(cluster: &Cluster, name: &str) {
    cluster.add(Kind::Ingester, name).start().await;
    cluster.shared.world.cover("ingesters added");
}

/// One ingester leaves for good, half of the time after it took nothing new for as long as
/// ingesters are asked; another one comes.
pub(crate) async fn shrink(cluster: Arc<Cluster>, span: Duration) {
    let world = Arc::clone(&cluster.shared.world);
    let seconds = span.as_secs();
    rt::time::sleep(Duration::from_secs(world.between(seconds / 20, seconds / 5))).await;
    let zone = *world.pick(&setup::ZONES);
    let name = format!("ingester-{zone}-2");
    let Some(node) = cluster.nodes.lock().get(&name).cloned() else { return };
    let is_patient = PATIENT_SPAN < span && world.chance(500);
    if is_patient {
        stay_read_only(&cluster, &node).await;
    }
    leave(&cluster, &node).await;
    let now_ms = world.now_ms();
    let found_from_ms = if is_patient { now_ms } else { now_ms + FOUND_AFTER_MS };
    cluster.shared.links.truth.lock().left(&name, found_from_ms);
    world.cover("ingesters left");
    world.log(format_args!("{name} has left"));
    add(&cluster, &format!("ingester-{zone}-4")).await;
}

/// Sends a request of who operates the cluster; what is answered when it is fulfilled.
async fn post(node: &Node, path: &str) -> Option<Vec<u8>> {
    let request = Request::post(path).body(Body::empty()).ok()?;
    let (status, body) = ask(&node.ready()?, request).await?;
    status.is_success().then_some(body)
}

/// It takes nothing new, for as long as ingesters are asked. Who comes back after it was
/// unregistered has forgotten that: since when it is read-only is another time then.
async fn stay_read_only(cluster: &Cluster, node: &Node) {
    let world = &cluster.shared.world;
    let wanted = Duration::from_millis(setup::INGESTERS_WITHIN_MS.unsigned_abs()) + MARGIN;
    let (mut since, mut told) = (world.elapsed(), Vec::new());
    loop {
        if let Some(answer) = post(node, "/ingester/prepare-instance-ring-downscale").await
            && answer != told
        {
            (since, told) = (world.elapsed(), answer);
        }
        if !told.is_empty() && wanted < world.elapsed() - since {
            world.cover("ingesters stayed read-only");
            return;
        }
        rt::time::sleep(AGAIN).await;
    }
}

/// Stops it until all that it had is in the bucket and it is out of the ring.
async fn leave(cluster: &Cluster, node: &Arc<Node>) {
    loop {
        if post(node, "/ingester/prepare-shutdown").await.is_some() {
            node.set_retired(true);
            node.stop().await;
            if !is_marked(node) && is_out_of_ring(cluster, &node.name).await {
                cluster.nodes.lock().remove(&node.name);
                return;
            }
            cluster.shared.world.cover("ingesters that could not leave at once");
            node.set_retired(false);
            node.start().await;
        }
        rt::time::sleep(AGAIN).await;
    }
}

/// Whether nobody finds it in the ring any more; else it is taken out, as by the page's button.
async fn is_out_of_ring(cluster: &Cluster, name: &str) -> bool {
    let Some((_, process)) = cluster.any_ready(Kind::Ingester) else { return false };
    let Some((client, key)) = &process.ring else { return false };
    match client.get(key).await {
        Ok(Some(ring)) if !ring.ingesters.contains_key(name) => true,
        Ok(Some(_)) => ring::status::forget(client, key, name).await.is_ok(),
        _ => false,
    }
}

/// The mark of a prepared shutdown is taken back when everything has been flushed.
fn is_marked(node: &Node) -> bool {
    node.fs().metadata(Path::new("/tsdb/shutdown-requested.txt")).is_ok()
}
