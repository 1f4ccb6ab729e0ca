//! Assignment by the bus, without a barrier.
//!
//! The bus keeps a target: whose each partition is to be. It makes a new one when the members are others, at most so often.
//! Each member hears with its own heartbeat what it is to give back; it has settled and given that back before it is given
//! anything, and says so at once. What is free its new owner hears of with its own next heartbeat. So a member that does not
//! answer holds up nothing but its own partitions.

use super::{Core, Polled};
use crate::plan::Protocol;

/// What the bus wants.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// Whose each partition is to be.
    pub(super) target: Vec<Option<usize>>,
    /// Least time between two targets.
    interval: u64,
    /// When the last was made, if any was since the start.
    made_at: Option<u64>,
    /// When the next is made.
    pub(super) due: u64,
}

impl Targets {
    pub(super) fn new(lanes: usize, interval: u64) -> Self {
        Self { target: vec![None; lanes], interval, made_at: None, due: u64::MAX }
    }
}

impl Polled {
    /// The members are others: there will be a new target, at once if the last one is old enough.
    pub(super) fn retarget_soon(&mut self, core: &mut Core, now: u64) {
        let targets = &mut self.rounds.targets;
        targets.due = targets.made_at.map_or(now, |at| at.saturating_add(targets.interval).max(now));
        if targets.due <= now {
            self.retarget(core, now);
        }
        // What somebody had may be free.
        self.tell_all(now);
        self.look_at_all(core);
    }

    /// Makes a new target for all that the group believes in.
    pub(super) fn retarget(&mut self, core: &mut Core, now: u64) {
        (self.rounds.targets.made_at, self.rounds.targets.due) = (Some(now), u64::MAX);
        self.rounds.completed += 1;
        core.meter.rebalances += 1;
        let mut roster: Vec<usize> = (0..self.members.len()).filter(|member| self.members[*member].in_group).collect();
        roster.extend(self.rounds.believed_in());
        roster.sort_unstable();
        self.rounds.targets.target = self.assigned(core, &roster, &self.rounds.targets.target);
        self.tell_all(now);
        self.look_at_all(core);
    }

    /// Members that the bus has something to tell hear it with their next heartbeats.
    pub(super) fn tell_all(&mut self, now: u64) {
        let mut concerned = vec![false; self.members.len()];
        for (held, target) in self.rounds.held.iter().zip(&self.rounds.targets.target).filter(|(held, to)| held != to) {
            // What is still held is first demanded back, then offered.
            let whose = held.or(*target).filter(|who| *who < concerned.len());
            whose.into_iter().for_each(|member| concerned[member] = true);
        }
        for member in (0..self.members.len()).filter(|member| concerned[*member]) {
            let state = &self.members[member];
            // Who has something to give back hears more when it says that it has.
            let owes = !(state.demands.is_empty() && state.giving.is_empty());
            if state.in_group && !owes && state.notice_at == u64::MAX {
                self.members[member].notice_at = self.rounds.heartbeat_after(member, now);
            }
        }
    }

    /// The answer to a member's heartbeat: what it is to give back, or else what it may have.
    pub(super) fn hear(&mut self, member: usize, now: u64) {
        let mut owes = false;
        for lane in 0..self.lanes.len() {
            if self.rounds.held[lane] == Some(member) && self.rounds.targets.target[lane] != Some(member) {
                owes |= self.demand(member, lane);
                if self.lanes[lane].owner != Some(member) {
                    self.rounds.held[lane] = None;
                }
            }
        }
        for lane in 0..self.lanes.len() {
            let held = self.rounds.held[lane];
            if !owes && self.rounds.targets.target[lane] == Some(member) && held.unwrap_or(member) == member {
                self.rounds.held[lane] = Some(member);
                self.offer(member, lane);
            }
        }
        self.tell_all(now);
    }

    /// A member has given partitions back, which it says at once.
    pub(super) fn report(&mut self, core: &Core, member: usize, given: &[usize], now: u64) {
        if self.rounds.protocol != Protocol::Incremental {
            return;
        }
        for lane in given {
            self.rounds.held[*lane] = None;
        }
        self.rounds.beat(member, now);
        self.members[member].notice_at = u64::MAX;
        self.hear(member, now);
        self.look_at_all(core);
    }

    /// A member's heartbeat is due at which it hears something.
    pub(super) fn notice_group(&mut self, core: &Core, member: usize, now: u64) {
        self.members[member].notice_at = u64::MAX;
        if self.rounds.protocol == Protocol::Incremental && !self.members[member].zombie {
            self.hear(member, now);
            // What it has given up, or may not have, another hears of.
            self.look_at_all(core);
        } else {
            self.members[member].noticed = true;
        }
    }
}
