//! Who is elected and who was seen, as one distributor knows it: a pure state machine. Requests,
//! views of the store and the time come in; verdicts and proposals for the store come out.
//!
//! The store decides: [`elect`] says what a proposal makes of the value that stands there.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::desc::ReplicaDesc;

/// The timeouts of a tenant, ms. `update_ms` has the jitter in it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// So old may the time in the store become before it is brought up to date.
    pub(crate) update_ms: i64,
    /// So long must the elected replica have been silent before another one is elected.
    pub(crate) failover_ms: i64,
    /// So far must the samples of the other one be beyond the last request of the elected one;
    /// 0 switches this off.
    pub(crate) failover_sample_ms: i64,
}

impl Timeouts {
    fn is_fresh(&self, now_ms: i64, received_at: i64) -> bool {
        now_ms.saturating_sub(received_at) < self.update_ms
    }
}

/// A request, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) replica: &'a str,
    pub(crate) now_ms: i64,
    /// The earliest sample, or the time now.
    pub(crate) sample_ms: i64,
}

impl Sighting<'_> {
    /// What it proposes where nothing is known of its cluster.
    pub(crate) fn proposal(&self) -> Proposal {
        Proposal {
            replica: self.replica.to_owned(),
            received_at: self.now_ms,
            sample_ms: self.sample_ms,
        }
    }
}

/// Whether the samples of a request are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are of the elected replica.
    Elected,
    /// Another replica is elected.
    Other { elected: String },
    /// Nothing is known of the cluster; the tenant has so many others.
    Unknown { clusters: usize },
}

/// What is to be put into the store, if the store agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) replica: String,
    /// When the replica was seen.
    pub(crate) received_at: i64,
    pub(crate) sample_ms: i64,
}

/// What a view of the store changed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Learned {
    /// The replica is the same as before.
    Same,
    /// Another replica is elected; the former one, empty for none.
    Elected { former: String },
}

/// One cluster.
#[derive(Debug, Clone, Default)]
struct Cluster {
    /// The last view of the store.
    elected: ReplicaDesc,
    /// When a request of the elected replica came here; 0 for not known.
    elected_seen_ms: i64,
    other: String,
    other_seen_ms: i64,
    other_sample_ms: i64,
}

/// All clusters of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    tenants: HashMap<String, BTreeMap<String, Cluster>>,
}

impl Clusters {
    /// Notes a request, and says whether it is to be taken.
    pub(crate) fn see(&mut self, tenant: &str, seen: Sighting<'_>) -> Verdict {
        let Some(clusters) = self.tenants.get_mut(tenant) else {
            return Verdict::Unknown { clusters: 0 };
        };
        let known = clusters.len();
        let Some(cluster) = clusters.get_mut(seen.cluster) else {
            return Verdict::Unknown { clusters: known };
        };
        if cluster.elected.replica == seen.replica {
            cluster.elected_seen_ms = seen.now_ms;
            return Verdict::Elected;
        }
        seen.replica.clone_into(&mut cluster.other);
        cluster.other_seen_ms = seen.now_ms;
        cluster.other_sample_ms = seen.sample_ms;
        Verdict::Other { elected: cluster.elected.replica.clone() }
    }

    /// Takes over what stands in the store.
    pub(crate) fn learn(&mut self, tenant: &str, cluster: &str, desc: ReplicaDesc) -> Learned {
        let clusters = self.tenants.entry_ref(tenant).or_default();
        let cluster = clusters.entry(cluster.to_owned()).or_default();
        let former = std::mem::replace(&mut cluster.elected, desc);
        if former.replica == cluster.elected.replica {
            return Learned::Same;
        }
        // Where it was not the one that was seen here, nobody knows here when it was.
        let was_seen = cluster.other == cluster.elected.replica;
        cluster.elected_seen_ms = if was_seen { cluster.other_seen_ms } else { 0 };
        Learned::Elected { former: former.replica }
    }

    /// Forgets a cluster; its elected replica, if it was there.
    pub(crate) fn forget(&mut self, tenant: &str, cluster: &str) -> Option<String> {
        let clusters = self.tenants.get_mut(tenant)?;
        let forgotten = clusters.remove(cluster);
        if clusters.is_empty() {
            self.tenants.remove(tenant);
        }
        forgotten.map(|forgotten| forgotten.elected.replica)
    }

    /// The clusters of which the store has an old time and this distributor a newer one: their
    /// tenants and names, and what is to be proposed.
    pub(crate) fn due(
        &self,
        now_ms: i64,
        mut timeouts: impl FnMut(&str) -> Timeouts,
    ) -> Vec<(String, String, Proposal)> {
        let mut due = Vec::new();
        for (tenant, clusters) in &self.tenants {
            let timeouts = timeouts(tenant);
            for (name, cluster) in clusters {
                if let Some(proposal) = cluster.proposal(now_ms, timeouts) {
                    due.push((tenant.clone(), name.clone(), proposal));
                }
            }
        }
        due.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        due
    }

    /// All clusters by tenant and name, with what the store says.
    pub(crate) fn all(&self) -> Vec<(String, String, ReplicaDesc)> {
        let mut all = Vec::new();
        for (tenant, clusters) in &self.tenants {
            for (name, cluster) in clusters {
                all.push((tenant.clone(), name.clone(), cluster.elected.clone()));
            }
        }
        all.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }
}

impl Cluster {
    fn proposal(&self, now_ms: i64, timeouts: Timeouts) -> Option<Proposal> {
        if timeouts.is_fresh(now_ms, self.elected.received_at) {
            return None; // Another distributor was faster.
        }
        if timeouts.is_fresh(now_ms, self.elected_seen_ms) {
            let replica = self.elected.replica.clone();
            return Some(Proposal {
                replica,
                received_at: self.elected_seen_ms,
                sample_ms: now_ms,
            });
        }
        timeouts.is_fresh(now_ms, self.other_seen_ms).then(|| Proposal {
            replica: self.other.clone(),
            received_at: self.other_seen_ms,
            sample_ms: if timeouts.failover_sample_ms > 0 { self.other_sample_ms } else { now_ms },
        })
    }
}

/// What a proposal makes of the value in the store; `None` leaves it as it is.
pub(crate) fn elect(
    current: Option<&ReplicaDesc>,
    proposal: &Proposal,
    (timeouts, now_ms): (Timeouts, i64),
) -> Option<ReplicaDesc> {
    let elected = |elected_at: i64, elected_changes: i64| ReplicaDesc {
        replica: proposal.replica.clone(),
        received_at: proposal.received_at,
        deleted_at: 0,
        elected_at,
        elected_changes,
    };
    let Some(current) = current.filter(|current| !current.is_deleted()) else {
        return Some(elected(now_ms, 0));
    };
    if timeouts.is_fresh(now_ms, current.received_at) {
        return None;
    }
    if current.replica == proposal.replica {
        // Very old entries of Mimir's were made without the time of their election.
        let elected_at = if current.elected_at == 0 { now_ms } else { current.elected_at };
        return Some(elected(elected_at, current.elected_changes));
    }
    let silent_ms = now_ms.saturating_sub(current.received_at);
    let ahead_ms = proposal.sample_ms.saturating_sub(current.received_at);
    let is_early = silent_ms < timeouts.failover_ms
        || (timeouts.failover_sample_ms > 0 && ahead_ms < timeouts.failover_sample_ms);
    (!is_early).then(|| elected(now_ms, current.elected_changes.saturating_add(1)))
}
