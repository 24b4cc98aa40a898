//! How two views of one ring become one, so that every member of the gossip arrives at the same
//! ring whatever order the messages came in.
//!
//! The newest heartbeat of an instance wins; among equals, having left wins. Who is missing from
//! the result of a local change has been taken out and stays behind as a mark (`LEFT`) until it
//! is old. A token that two instances claim goes to one of them by a rule.

use std::any::Any;
use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use prost::Message;

use super::{Desc, InstanceDesc, InstanceState};
use crate::kv::{MergeOrigin, Value};

impl Desc {
    /// Tokens sorted and once each; none for those who have left.
    pub(crate) fn normalize(&mut self) {
        for instance in self.ingesters.values_mut() {
            if instance.is_in(InstanceState::Left) {
                instance.tokens.clear();
            }
            if !instance.tokens.is_sorted() {
                instance.tokens.sort_unstable();
            }
            instance.tokens.dedup();
        }
    }

    /// Takes over what is newer in `other`; returns the instances that changed, `None` when
    /// nothing did. `other` must be normalized.
    pub fn merge(&mut self, mut other: Desc, origin: MergeOrigin, now_s: i64) -> Option<Desc> {
        other.normalize();
        let left = match origin {
            MergeOrigin::Local => self.leave_missing(&other, now_s),
            MergeOrigin::Remote => Vec::new(),
        };
        let (mut updated, tokens_changed) = self.take_newer(other);
        updated.extend(left);
        if updated.is_empty() {
            return None;
        }
        if tokens_changed && has_conflict(&self.ingesters) {
            resolve_conflicts(&mut self.ingesters);
        }
        let changed = |id: String| Some((id.clone(), self.ingesters.get(&id)?.clone()));
        Some(Desc { ingesters: updated.into_iter().filter_map(changed).collect() })
    }

    /// Who is not in `other` any more leaves.
    fn leave_missing(&mut self, other: &Desc, now_s: i64) -> Vec<String> {
        let mut left = Vec::new();
        for (id, instance) in &mut self.ingesters {
            if !other.ingesters.contains_key(id) && !instance.is_in(InstanceState::Left) {
                instance.state = InstanceState::Left as i32;
                instance.tokens.clear();
                instance.timestamp = now_s;
                left.push(id.clone());
            }
        }
        left
    }

    /// The instances that were taken over, and whether anybody's tokens are others now.
    fn take_newer(&mut self, other: Desc) -> (Vec<String>, bool) {
        let (mut updated, mut tokens_changed) = (Vec::new(), false);
        let unknown = InstanceDesc::default();
        for (id, theirs) in other.ingesters {
            let ours = self.ingesters.get(&id).unwrap_or(&unknown);
            let is_newer = ours.timestamp < theirs.timestamp;
            let has_left = theirs.timestamp == ours.timestamp
                && theirs.is_in(InstanceState::Left)
                && !ours.is_in(InstanceState::Left);
            if is_newer || has_left {
                tokens_changed |= is_newer && ours.tokens != theirs.tokens;
                updated.push(id.clone());
                self.ingesters.insert(id, theirs);
            }
        }
        (updated, tokens_changed)
    }
}

fn has_conflict(instances: &BTreeMap<String, InstanceDesc>) -> bool {
    let count = instances.values().map(|instance| instance.tokens.len()).sum();
    let mut seen = HashSet::with_capacity(count);
    instances.values().flat_map(|instance| &instance.tokens).any(|token| !seen.insert(*token))
}

/// Every token goes to one owner: never to one that leaves while another stays, else to the one
/// whose name is smaller.
fn resolve_conflicts(instances: &mut BTreeMap<String, InstanceDesc>) {
    let mut owners: HashMap<u32, &str> = HashMap::new();
    for (id, instance) in instances.iter() {
        for token in &instance.tokens {
            let owner = owners.entry(*token).or_insert(id);
            let is_leaving = |id: &str| instances[id].is_in(InstanceState::Leaving);
            // The names come in order: the first one keeps it unless it alone is leaving.
            if is_leaving(owner) && !is_leaving(id) {
                *owner = id;
            }
        }
    }
    let owners: HashMap<u32, String> =
        owners.into_iter().map(|(token, id)| (token, id.to_owned())).collect();
    for (id, instance) in instances.iter_mut() {
        instance.tokens.retain(|token| owners.get(token).is_some_and(|owner| owner == id));
    }
}

impl Value for Desc {
    fn codec_id(&self) -> &'static str {
        "ringDesc"
    }

    fn encode(&self) -> Vec<u8> {
        crate::kv::compress(&self.encode_to_vec())
    }

    fn merge(
        &mut self,
        other: Box<dyn Value>,
        origin: MergeOrigin,
        now_s: i64,
    ) -> Option<Box<dyn Value>> {
        let other = other.into_any().downcast::<Desc>().ok()?;
        Desc::merge(self, *other, origin, now_s).map(|change| Box::new(change) as Box<dyn Value>)
    }

    fn is_renewed_by(&self, other: &dyn Value) -> bool {
        let Some(other) = other.as_any().downcast_ref::<Desc>() else { return false };
        other.ingesters.iter().all(|(id, theirs)| {
            self.ingesters.get(id).is_some_and(|ours| ours.differs_in_time_alone(theirs))
        })
    }

    fn content(&self) -> Vec<String> {
        self.ingesters.keys().cloned().collect()
    }

    fn remove_tombstones(&mut self, before_s: Option<i64>) -> (usize, usize) {
        let count = |instances: &BTreeMap<String, InstanceDesc>| {
            instances.values().filter(|instance| instance.is_in(InstanceState::Left)).count()
        };
        let total = count(&self.ingesters);
        self.ingesters.retain(|_, instance| {
            let is_old = before_s.is_none_or(|before_s| instance.timestamp < before_s);
            !(instance.is_in(InstanceState::Left) && is_old)
        });
        let kept = count(&self.ingesters);
        (kept, total - kept)
    }

    fn clone_boxed(&self) -> Box<dyn Value> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn describe(&self) -> String {
        format!("{self:#?}")
    }
}
