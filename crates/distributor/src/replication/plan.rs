//! Which ingester gets which series of a push.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use model::fnv::Fnv1;
use model::{TenantId, WriteBatch};
use ring::{InstanceDesc, Operation, Replicas, Ring, RingError, hash};

use super::Request;
use super::quorum::Quorum;

/// What one ingester gets: keys below the number of series are series, the others metadata.
pub(super) struct Share {
    pub(super) instance: Arc<InstanceDesc>,
    pub(super) keys: Vec<u32>,
}

/// A push, divided.
pub(super) struct Plan {
    pub(super) shares: Vec<Share>,
    pub(super) quorum: Quorum,
}

impl Plan {
    /// Divides `batch` among the ingesters of `ring`, the tenant's shard, at `now_s`.
    pub(super) fn new(
        ring: &Ring,
        (tenant, now_s): (&TenantId, i64),
        batch: &WriteBatch<'_>,
    ) -> Result<Self, RingError> {
        let mut planner = Planner {
            ring,
            now_s,
            share_of: HashMap::new(),
            shares: Vec::new(),
            quorum: Quorum::default(),
            replicas: Replicas::new(),
        };
        let tenant_state: Fnv1 = hash::tenant_state(tenant.as_str());
        for series in &batch.series {
            let labels = batch.labels_of(series).iter().map(|label| (label.name, label.value));
            planner.add(hash::series_token_after(tenant_state, labels))?;
        }
        for metadata in &batch.metadata {
            planner.add(hash::metadata_token(tenant.as_str(), metadata.family))?;
        }
        Ok(Self { shares: planner.shares, quorum: planner.quorum })
    }
}

struct Planner<'r> {
    ring: &'r Ring,
    now_s: i64,
    /// Places in `shares` by the instance's number.
    share_of: HashMap<u32, usize>,
    shares: Vec<Share>,
    quorum: Quorum,
    replicas: Replicas,
}

impl Planner<'_> {
    /// Adds the next key.
    fn add(&mut self, token: u32) -> Result<(), RingError> {
        let (ring, op) = (self.ring, Operation::WRITE_NO_EXTEND);
        let max_errors = ring.find(token, op, self.now_s, &mut self.replicas)?;
        let key = self.quorum.len() as u32;
        self.quorum.add_key(self.replicas.len(), max_errors);
        for number in &self.replicas {
            let place = *self.share_of.entry(*number).or_insert_with(|| {
                let instance = Arc::clone(ring.instance(*number));
                self.shares.push(Share { instance, keys: Vec::new() });
                self.shares.len() - 1
            });
            self.shares[place].keys.push(key);
        }
        Ok(())
    }
}

/// The requests of a push. Ingesters with the same keys share the bytes of their message.
pub(super) fn requests(batch: &WriteBatch<'_>, shares: Vec<Share>) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::with_capacity(shares.len());
    for Share { instance, keys } in shares {
        let same = requests.iter().find(|request| request.keys == keys);
        let message = same.map_or_else(|| message(batch, &keys), |same| same.message.clone());
        requests.push(Request { instance, message, keys });
    }
    requests
}

fn message(batch: &WriteBatch<'_>, keys: &[u32]) -> Bytes {
    let split = keys.partition_point(|key| (*key as usize) < batch.series.len());
    let (series, metadata) = keys.split_at(split);
    let series = series.iter().map(|key| batch.series[*key as usize]);
    let metadata = metadata.iter().map(|key| batch.metadata[*key as usize - batch.series.len()]);
    let mut out = Vec::new();
    wire::remote_write::encode(batch, series, metadata, &mut out);
    out.into()
}
