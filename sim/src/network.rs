//! The simulated network: every message takes its time, and may be lost, held up or refused.
//!
//! Called by what stands between nodes ([`crate::links`], [`crate::kv`], [`crate::objects`]). A
//! request and its answer are two messages: either may get lost, and a request arrives whether or
//! not the sender still waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::world::World;

/// After this time a sender knows that nothing comes any more.
const GIVE_UP: Duration = Duration::from_secs(8);

/// A message did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// All links.
pub(crate) struct Network {
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nodes and zones that reach nobody outside of the same set.
    cut_off: Vec<BTreeSet<String>>,
    /// What messages from and to a node take besides, ms.
    slow_ms: BTreeMap<String, u64>,
    /// How many of a thousand messages from and to a node get lost.
    lossy: BTreeMap<String, u64>,
}

impl Network {
    /// A network in which everything arrives.
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), state: Mutex::default() })
    }

    /// Nobody of `nodes` reaches anybody else.
    pub(crate) fn cut_off(&self, nodes: BTreeSet<String>) {
        self.state.lock().cut_off.push(nodes);
    }

    /// Messages from and to `node` take up to `ms` longer.
    pub(crate) fn slow(&self, node: &str, ms: u64) {
        self.state.lock().slow_ms.insert(node.to_owned(), ms);
    }

    /// So many of a thousand messages from and to `node` get lost.
    pub(crate) fn lossy(&self, node: &str, per_mille: u64) {
        self.state.lock().lossy.insert(node.to_owned(), per_mille);
    }

    /// These nodes reach others again.
    pub(crate) fn join(&self, nodes: &BTreeSet<String>) {
        self.state.lock().cut_off.retain(|cut| cut != nodes);
    }

    /// Nothing is wrong with the links of `node`.
    pub(crate) fn mend(&self, node: &str) {
        let mut state = self.state.lock();
        state.slow_ms.remove(node);
        state.lossy.remove(node);
    }

    /// Whether messages from one to the other can arrive.
    pub(crate) fn connects(&self, from: &str, to: &str) -> bool {
        let state = self.state.lock();
        state.cut_off.iter().all(|cut| cut.contains(from) == cut.contains(to))
    }

    /// Waits as long as a message from one to the other takes; fails when it does not arrive,
    /// sometimes at once and sometimes after a long time.
    pub(crate) async fn carry(&self, from: &str, to: &str) -> Result<(), Lost> {
        let delay_ms = self.delay_ms(from, to);
        self.world.detail(format_args!("{from} -> {to} {delay_ms:?}"));
        let Some(delay_ms) = delay_ms else {
            self.world.cover("messages lost");
            let wait = if self.world.chance(500) { Duration::from_millis(1) } else { GIVE_UP };
            rt::time::sleep(wait).await;
            return Err(Lost);
        };
        rt::time::sleep(Duration::from_millis(delay_ms)).await;
        // The link may have broken meanwhile.
        if self.connects(from, to) { Ok(()) } else { Err(Lost) }
    }

    /// What a message takes; `None` when it does not arrive.
    fn delay_ms(&self, from: &str, to: &str) -> Option<u64> {
        if !self.connects(from, to) {
            return None;
        }
        let state = self.state.lock();
        let loss = [from, to].iter().filter_map(|node| state.lossy.get(*node)).max();
        if loss.is_some_and(|loss| self.world.chance(*loss)) {
            return None;
        }
        let slow = [from, to].iter().filter_map(|node| state.slow_ms.get(*node)).max();
        let usual = 1 + self.world.below(4);
        // A few are held up for long, and overtaken by others.
        let held_up = if self.world.chance(5) { self.world.below(200) } else { 0 };
        Some(usual + held_up + slow.map_or(0, |slow| self.world.below(*slow)))
    }
}
