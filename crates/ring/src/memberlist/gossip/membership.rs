//! Who is there: what members say of each other, believed, objected to or told on.
//! The rules are those of SWIM as HashiCorp's memberlist has them.

use super::{Gossip, Now};
use crate::memberlist::members::{MAX_MEMBERS, Member, Suspicion, is_plausible};
use crate::memberlist::message::{Accusation, Alive, Message, NodeState};
use crate::memberlist::queue::Subject;

impl Gossip {
    /// Objects to what is said about this member.
    fn refute(&mut self, accused: u32) {
        self.incarnation = self.incarnation.max(accused).saturating_add(1);
        self.probes.worsen(1);
        let alive = self.own_alive();
        if let Some(member) = self.members.0.get_mut(&alive.node) {
            member.alive.incarnation = alive.incarnation;
        }
        self.tell_member(&alive.node.clone(), &Message::Alive(alive));
    }

    pub(super) fn handle_alive(&mut self, alive: Alive, now: Now) {
        if !is_plausible(&alive) {
            return;
        }
        if alive.node == self.options.name {
            return self.hear_of_self(&alive);
        }
        let is_reclaim = match self.members.0.get(&alive.node) {
            None if MAX_MEMBERS <= self.members.0.len() => return,
            None => true,
            Some(member) => {
                let has_moved = member.alive.addr != alive.addr || member.alive.port != alive.port;
                if has_moved && !self.may_move(member, now) {
                    return;
                }
                has_moved
            }
        };
        let name = alive.node.clone();
        if let Some(member) = self.members.0.get(&name)
            && alive.incarnation <= member.alive.incarnation
            && !is_reclaim
        {
            return;
        }
        self.tell_member(&name, &Message::Alive(alive.clone()));
        let changed_ms = now.monotonic_ms;
        let new = || Member {
            alive: alive.clone(),
            state: NodeState::Alive,
            changed_ms,
            suspicion: None,
        };
        let member = self.members.0.entry(name).or_insert_with(new);
        member.alive = alive;
        member.suspicion = None;
        member.set_state(NodeState::Alive, changed_ms);
    }

    /// Whether a name may come back with another address.
    fn may_move(&self, member: &Member, now: Now) -> bool {
        let gone_ms = now.monotonic_ms.saturating_sub(member.changed_ms);
        let reclaim_ms = self.options.dead_node_reclaim_ms;
        member.state == NodeState::Left
            || (member.state == NodeState::Dead && 0 < reclaim_ms && reclaim_ms < gone_ms)
    }

    fn hear_of_self(&mut self, alive: &Alive) {
        if self.has_left || alive.incarnation < self.incarnation || *alive == self.own_alive() {
            return;
        }
        // Somebody else has this name, or remembers an earlier life.
        self.refute(alive.incarnation);
    }

    pub(in crate::memberlist) fn handle_suspect(&mut self, accusation: &Accusation, now: Now) {
        let (members, interval_ms) = (self.members.0.len(), self.options.probe_interval_ms);
        let Some(member) = self.members.0.get_mut(&accusation.node) else { return };
        if accusation.incarnation < member.alive.incarnation {
            return;
        }
        if let Some(suspicion) = &mut member.suspicion {
            if suspicion.confirm(&accusation.from) {
                self.tell_member(&accusation.node, &Message::Suspect(accusation.clone()));
            }
            return;
        }
        if member.state != NodeState::Alive {
            return;
        }
        if accusation.node == self.options.name {
            return self.refute(accusation.incarnation);
        }
        member.alive.incarnation = accusation.incarnation;
        member.set_state(NodeState::Suspect, now.monotonic_ms);
        let from = &accusation.from;
        member.suspicion = Some(Suspicion::new(from, members, interval_ms, now.monotonic_ms));
        self.tell_member(&accusation.node, &Message::Suspect(accusation.clone()));
    }

    /// A suspect did not object in time.
    pub(super) fn declare_dead(&mut self, name: &str, now: Now) {
        let Some(member) = self.members.0.get(name) else { return };
        let accusation = Accusation {
            incarnation: member.alive.incarnation,
            node: name.to_owned(),
            from: self.options.name.clone(),
        };
        tracing::info!(member = name, "member of the gossip does not answer: taken for dead");
        self.handle_dead(&accusation, now);
    }

    pub(super) fn handle_dead(&mut self, accusation: &Accusation, now: Now) {
        let is_self = accusation.node == self.options.name;
        let Some(member) = self.members.0.get_mut(&accusation.node) else { return };
        if accusation.incarnation < member.alive.incarnation {
            return;
        }
        member.suspicion = None;
        if member.is_gone() {
            return;
        }
        if is_self && !self.has_left {
            return self.refute(accusation.incarnation);
        }
        let has_left = accusation.node == accusation.from;
        let state = if has_left { NodeState::Left } else { NodeState::Dead };
        member.alive.incarnation = accusation.incarnation;
        member.set_state(state, now.monotonic_ms);
        self.tell_member(&accusation.node, &Message::Dead(accusation.clone()));
    }

    /// Says that it goes. It is over when [`Self::has_told_leaving`].
    pub fn leave(&mut self, now: Now) {
        self.has_left = true;
        let name = self.options.name.clone();
        let accusation =
            Accusation { incarnation: self.incarnation, node: name.clone(), from: name };
        self.handle_dead(&accusation, now);
    }

    /// Whether there is nobody left to be told that it goes.
    pub fn has_told_leaving(&self) -> bool {
        let is_alone = self.members.present() == 0;
        is_alone || !self.membership.has(&Subject::Member(self.options.name.clone()))
    }
}
