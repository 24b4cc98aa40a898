//! What goes wrong: drawn from the seed, one after the other and at the same time.
//!
//! Bounds that the guarantees of a cluster rest on: disks are lost in one zone alone; what keeps
//! blocks from their way to the bucket is over long before ingesters are not asked any more; clocks
//! are off by less than the time that answers of ingesters and blocks overlap.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::node::{DiskLoss, Node};
use crate::objects::Mood;
use crate::setup::{self, Kind};
use crate::truth::zone_of;

/// No fault lasts longer, seconds.
const LONGEST_S: u64 = 75;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A process is killed.
    Kill,
    /// A machine dies, with what it had not synced.
    MachineDeath,
    /// A node loses its disk.
    DiskLoss,
    /// A process is killed in the middle of what it writes to its disk.
    TornWrite,
    /// A process is stopped in order and started again.
    Restart,
    /// A node reaches nobody.
    CutOff,
    /// A zone reaches nobody outside.
    ZoneCutOff,
    /// A node's messages take long, and overtake each other.
    Slow,
    /// A node's messages get lost.
    Lossy,
    /// The bucket fails now and then.
    BadBucket,
    /// The bucket is slow.
    SlowBucket,
    /// The bucket does nothing at all.
    NoBucket,
    /// A clock jumps, forward or back.
    ClockJump,
    /// A disk refuses to sync or to write.
    BadDisk,
}

const ALL: [Fault; 14] = [
    Fault::Kill,
    Fault::MachineDeath,
    Fault::DiskLoss,
    Fault::TornWrite,
    Fault::Restart,
    Fault::CutOff,
    Fault::ZoneCutOff,
    Fault::Slow,
    Fault::Lossy,
    Fault::BadBucket,
    Fault::SlowBucket,
    Fault::NoBucket,
    Fault::ClockJump,
    Fault::BadDisk,
];

impl Fault {
    /// As it is counted.
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "fault: process killed",
            Self::MachineDeath => "fault: machine died",
            Self::DiskLoss => "fault: disk lost",
            Self::TornWrite => "fault: killed while it wrote",
            Self::Restart => "fault: restarted in order",
            Self::CutOff => "fault: node cut off",
            Self::ZoneCutOff => "fault: zone cut off",
            Self::Slow => "fault: slow links",
            Self::Lossy => "fault: messages lost",
            Self::BadBucket => "fault: failing bucket",
            Self::SlowBucket => "fault: slow bucket",
            Self::NoBucket => "fault: bucket down",
            Self::ClockJump => "fault: clock jumped",
            Self::BadDisk => "fault: failing disk",
        }
    }
}

/// Lets `count` faults happen within `span`, and returns when they are over.
pub(crate) async fn happen(cluster: Arc<Cluster>, count: u64, span: Duration) {
    let world = &cluster.shared.world;
    let span_ms = span.as_millis() as u64;
    let lost_zone = *world.pick(&setup::ZONES);
    // The first is a restart, so that there is one in each seed.
    let draw = |number| if number == 0 { Fault::Restart } else { *world.pick(&ALL) };
    let mut plan: Vec<_> = (0..count).map(|n| (world.below(span_ms), draw(n))).collect();
    plan.sort_by_key(|(at_ms, _)| *at_ms);
    let begin = world.elapsed();
    let faults = plan.into_iter().map(|(at_ms, fault)| {
        let cluster = Arc::clone(&cluster);
        async move {
            let world = &cluster.shared.world;
            let at = begin + Duration::from_millis(at_ms);
            rt::time::sleep(at.saturating_sub(world.elapsed())).await;
            world.fault_begins();
            world.cover("faults");
            world.cover(fault.word());
            let driver = Driver { cluster: &cluster, lost_zone };
            driver.run(fault).await;
            world.fault_ends();
        }
    });
    futures::future::join_all(faults).await;
}

struct Driver<'a> {
    cluster: &'a Arc<Cluster>,
    /// The zone whose disks may be lost.
    lost_zone: &'static str,
}

impl Driver<'_> {
    async fn run(&self, fault: Fault) {
        let node = self.node_for(fault);
        self.log(fault, &node.name);
        match fault {
            Fault::Kill => self.down(&node, DiskLoss::None).await,
            Fault::MachineDeath => self.down(&node, DiskLoss::Unsynced).await,
            Fault::DiskLoss => self.down(&node, DiskLoss::All).await,
            Fault::TornWrite => self.torn(&node).await,
            Fault::Restart => {
                node.stop().await;
                node.start().await;
            }
            Fault::CutOff => self.cut_off([node.name.clone()].into()).await,
            Fault::ZoneCutOff => self.zone_cut_off(zone_of(&node.name)).await,
            Fault::Slow => self.bad_links(&node, |n, name| n.slow(name, 3_000)).await,
            Fault::Lossy => self.bad_links(&node, |n, name| n.lossy(name, 300)).await,
            Fault::BadBucket => {
                self.mood(Mood { fails: 300, loses_answers: 200, slow_ms: 50 }).await;
            }
            Fault::SlowBucket => self.mood(Mood { slow_ms: 4_000, ..Mood::default() }).await,
            Fault::NoBucket => self.mood(Mood { fails: 1000, ..Mood::default() }).await,
            Fault::ClockJump => self.clock_jump(&node).await,
            Fault::BadDisk => self.bad_disk(&node).await,
        }
    }

    fn log(&self, fault: Fault, node: &str) {
        self.cluster.shared.world.log(format_args!("FAULT {fault:?} {node}"));
    }

    /// The node that is hit, mostly an ingester.
    fn node_for(&self, fault: Fault) -> Arc<Node> {
        let world = &self.cluster.shared.world;
        let kinds: &[Kind] = match fault {
            Fault::MachineDeath | Fault::TornWrite | Fault::DiskLoss | Fault::BadDisk => {
                &[Kind::Ingester]
            }
            _ => &[
                Kind::Ingester,
                Kind::Ingester,
                Kind::Ingester,
                Kind::Distributor,
                Kind::Querier,
                Kind::Gateway,
                Kind::Compactor,
            ],
        };
        let mut nodes = self.cluster.of(*world.pick(kinds));
        if fault == Fault::DiskLoss {
            nodes.retain(|node| zone_of(&node.name) == self.lost_zone);
        }
        Arc::clone(world.pick(&nodes))
    }

    /// Waits as long as a fault lasts.
    async fn last(&self) {
        let seconds = self.cluster.shared.world.between(3, LONGEST_S);
        rt::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn down(&self, node: &Arc<Node>, loss: DiskLoss) {
        node.kill(loss);
        self.last().await;
        node.start().await;
    }

    async fn torn(&self, node: &Arc<Node>) {
        let world = &self.cluster.shared.world;
        let fs = node.fs();
        let changes = world.below(120);
        let stop_at = fs.counts().changes + changes;
        fs.stop_after(changes);
        for _ in 0..200 {
            rt::time::sleep(Duration::from_millis(100)).await;
            if stop_at < fs.counts().changes {
                world.cover("disks stopped in the middle");
                break;
            }
        }
        let loss = if world.chance(500) { DiskLoss::None } else { DiskLoss::Unsynced };
        self.down(node, loss).await;
    }

    async fn cut_off(&self, nodes: BTreeSet<String>) {
        let network = &self.cluster.shared.links.network;
        network.cut_off(nodes.clone());
        self.last().await;
        network.join(&nodes);
    }

    async fn zone_cut_off(&self, zone: &str) {
        let nodes = self.cluster.all().into_iter().map(|node| node.name.clone());
        self.cut_off(nodes.filter(|name| zone_of(name) == zone).collect()).await;
    }

    async fn bad_links(&self, node: &Node, make: fn(&crate::network::Network, &str)) {
        let network = &self.cluster.shared.links.network;
        make(network, &node.name);
        self.last().await;
        network.mend(&node.name);
    }

    async fn mood(&self, mood: Mood) {
        let objects = &self.cluster.shared.objects;
        objects.set_mood(mood);
        self.last().await;
        objects.set_mood(Mood::default());
    }

    async fn clock_jump(&self, node: &Node) {
        let world = &self.cluster.shared.world;
        let off_ms = world.between(1_000, 20_000) as i64;
        node.clock.set_offset_ms(if world.chance(500) { off_ms } else { -off_ms });
        self.last().await;
        node.clock.set_offset_ms(0);
    }

    /// A few operations fail; a process may end of it.
    async fn bad_disk(&self, node: &Node) {
        let (world, fs) = (&self.cluster.shared.world, node.fs());
        match world.below(3) {
            0 => fs.fail_writes(world.between(1, 6) as u32),
            1 => fs.fail_syncs(world.between(1, 6) as u32),
            _ => fs.fail_creates(world.between(1, 3) as u32),
        }
        self.last().await;
    }
}
