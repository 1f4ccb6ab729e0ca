//! How a partition changes hands: what a member is told to give back it stops fetching at its next poll, finishes what it
//! has in hand of it, settles and gives it back; what it is offered it takes up at its next poll.

use super::member::{Fetch, Member};
use super::{Core, Log, Polled};
use crate::engine::group::LaneId;
use crate::engine::group::run::{Item, Run};
use crate::outcome::Again;
use crate::partition;
use crate::plan::{Protocol, Settle};

/// What a member does at a poll, when it has heard its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It polls.
    Poll,
    /// Things have changed: it looks again.
    Again,
    /// It does nothing more.
    Stop,
}

impl Polled {
    /// The owners that the group's assignor chooses among `who` (in order), whose the partitions have been `before`.
    pub(super) fn assigned(&self, core: &Core, who: &[usize], before: &[Option<usize>]) -> Vec<Option<usize>> {
        let mut partitions = vec![0; core.topics.len()];
        core.lanes.iter().for_each(|lane| partitions[lane.slot] += 1);
        let before: Vec<Option<usize>> =
            before.iter().map(|owner| owner.and_then(|owner| who.binary_search(&owner).ok())).collect();
        let owners = partition::owners(self.rounds.assignor, &partitions, &before, who.len());
        owners.into_iter().map(|owner| owner.map(|place| who[place])).collect()
    }

    /// Shares all partitions out among the `roster`, of which `live` take theirs up, each at the committed position.
    pub(super) fn give(&mut self, core: &mut Core, live: &[usize], roster: &[usize], now: u64) {
        let owners = self.assigned(core, roster, &self.rounds.held);
        for member in live {
            self.disown(*member, Again::Rebalanced);
            let state = &mut self.members[*member];
            (state.joined, state.noticed, state.notice_at) = (false, false, u64::MAX);
            state.lanes.clear();
            state.disconnect();
        }
        for (lane, owner) in owners.iter().enumerate() {
            match owner.filter(|owner| live.binary_search(owner).is_ok()) {
                Some(owner) => self.grant(core, owner, lane, now),
                None => self.lanes[lane].assign(None),
            }
        }
        self.rounds.held = owners;
    }

    /// A partition is a member's from now on.
    fn grant(&mut self, core: &mut Core, member: usize, lane: usize, now: u64) {
        let LaneId { slot, partition } = core.lanes[lane];
        core.meter.given((slot, partition), member, now);
        self.lanes[lane].assign(Some(member));
        let lanes = &mut self.members[member].lanes;
        lanes.insert(lanes.partition_point(|other| *other < lane), lane);
        if let Some(leaders) = &mut self.leaders {
            leaders.ask(member, lane, now);
        }
        self.place(member, lane, now);
    }

    /// A partition is about to be given out: notes whether what was handed to a member will be again.
    pub(super) fn rewound(&mut self, core: &mut Core, lane: usize) {
        core.meter.rewinds += u64::from(self.lanes[lane].is_rewound());
    }

    /// What a member had is its own no longer, whatever it has in hand, and why.
    pub(super) fn disown(&mut self, member: usize, why: Again) {
        let state = &mut self.members[member];
        for lane in &state.lanes {
            let lane = &mut self.lanes[*lane];
            if lane.owner == Some(member) {
                (lane.owner, lane.demanded, lane.left) = (None, false, why);
            }
        }
        state.coming.drain(..).for_each(|lane| self.lanes[lane].offered = false);
        (state.demands, state.giving, state.rejoins) = (Vec::new(), Vec::new(), false);
    }

    /// A member hears that a partition is to be its own.
    pub(super) fn offer(&mut self, member: usize, lane: usize) {
        let state = &mut self.lanes[lane];
        if state.owner != Some(member) && !std::mem::replace(&mut state.offered, true) {
            self.members[member].coming.push(lane);
        }
    }

    /// A member hears that a partition is to be its own no longer. Whether it has it.
    pub(super) fn demand(&mut self, member: usize, lane: usize) -> bool {
        let state = &mut self.lanes[lane];
        if std::mem::take(&mut state.offered) {
            self.members[member].coming.retain(|other| *other != lane);
        }
        if state.owner != Some(member) {
            return false;
        }
        if !std::mem::replace(&mut state.demanded, true) {
            self.members[member].demands.push(lane);
        }
        true
    }

    /// At a poll a member does what its group has asked of it.
    pub(super) fn attend(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> Turn {
        let state = &self.members[member];
        if state.zombie || state.leaving || (state.noticed && self.rounds.stops_all()) {
            self.part(core, logs, member, now);
            return Turn::Stop;
        }
        if !self.members[member].demands.is_empty() {
            self.withdraw(core, logs, member);
        }
        if !self.members[member].giving.is_empty() {
            if self.has_in_hand(member) {
                return Turn::Poll;
            }
            self.give_back(core, member, now);
        }
        if !self.members[member].coming.is_empty() {
            self.take_up(core, logs, member, now);
        }
        let state = &self.members[member];
        if self.rounds.protocol == Protocol::Cooperative && (state.noticed || state.rejoins) {
            return self.rejoin(core, logs, member, now);
        }
        Turn::Poll
    }

    /// What is demanded is neither fetched nor polled any more. What only waits for its batch is dropped.
    fn withdraw(&mut self, core: &mut Core, logs: &[&Log], member: usize) {
        let Member { sessions, homeless, buffer, demands, giving, ready, .. } = &mut self.members[member];
        giving.append(demands);
        let lanes = &self.lanes;
        let stays = |lane: usize| !lanes[lane].demanded;
        for session in sessions {
            session.lanes.retain(|lane| stays(*lane));
            session.asked.retain(|(lane, _)| stays(*lane));
            if session.asked.is_empty() && matches!(session.fetch, Fetch::Parked { .. }) {
                (session.fetch, session.due) = (Fetch::Idle, u64::MAX);
            }
        }
        homeless.retain(|(_, lane)| stays(*lane));
        buffer.retain(|chunk| stays(chunk.lane));
        let dropped: Vec<Item> = if self.config.batch.is_some() {
            let dropped = ready.iter().filter(|item| !stays(item.lane)).copied().collect();
            ready.retain(|item| stays(item.lane));
            dropped
        } else {
            Vec::new()
        };
        for item in dropped {
            self.lost_if_committed(core, logs, item);
        }
        self.look_at_fetches(core, logs, member);
    }

    /// Whether a member's handlers hold something of what it is to give back, or something waits for them.
    fn has_in_hand(&self, member: usize) -> bool {
        let state = &self.members[member];
        let running = state.runs.iter().flatten().flat_map(Run::items);
        let waiting = state.ready.iter().chain(state.claims.values().flatten());
        running.chain(waiting).any(|item| self.lanes[item.lane].demanded)
    }

    /// Settles what a member is to give back, and gives it back. With a barrier, the timer has settled when it rejoined, and
    /// does not again.
    fn give_back(&mut self, core: &mut Core, member: usize, now: u64) {
        let given = std::mem::take(&mut self.members[member].giving);
        for lane in &given {
            let state = &self.lanes[*lane];
            match self.config.settle {
                Settle::After => self.commit(core, member, *lane, state.prefix, now),
                Settle::Timer(_) if self.rounds.protocol == Protocol::Incremental => {
                    self.commit(core, member, *lane, state.polled, now);
                }
                Settle::Timer(_) | Settle::Before => {}
            }
            self.lanes[*lane].left = Again::Rebalanced;
            self.lanes[*lane].assign(None);
        }
        let lanes = &self.lanes;
        self.members[member].lanes.retain(|lane| lanes[*lane].owner == Some(member));
        self.report(core, member, &given, now);
    }

    fn take_up(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let coming = std::mem::take(&mut self.members[member].coming);
        for lane in &coming {
            self.rewound(core, *lane);
            self.grant(core, member, *lane, now);
        }
        self.ask_too(core, logs, member, &coming, now);
    }
}
