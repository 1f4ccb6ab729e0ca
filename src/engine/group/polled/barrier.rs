//! Rebalances behind a barrier.
//!
//! One begins when someone joins, leaves or is expelled. Every member learns of it by its next heartbeat, and rejoins with
//! its next poll; when all have, one join round later the partitions are given out. *Eager*: whoever rejoins has settled
//! and given back all that it had, and waits. *Cooperative*: it works on, without settling until the round is over; what it
//! is to lose it gives back then and rejoins, so that it goes to others with a second round.

use super::hands::Turn;
use super::rounds::State;
use super::{Core, Log, Polled};
use crate::outcome::Again;
use crate::plan::{Protocol, Settle};

impl Polled {
    /// Starts a rebalance, or goes on with the one under way.
    pub(super) fn prepare(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if !matches!(self.rounds.state, State::Preparing(_)) {
            // The wait for company comes first, however short the time-out.
            let deadline = now.saturating_add(self.rounds.rebalance_timeout).max(self.rounds.forming.0);
            self.rounds.state = State::Preparing(deadline);
            for member in 0..self.members.len() {
                if self.members[member].in_group && !self.members[member].joined {
                    self.members[member].notice_at = self.rounds.heartbeat_after(member, now);
                }
            }
        }
        self.check_barrier(core, logs, now);
        self.look_at_all(core);
    }

    /// Does what a rebalance has due at `now`.
    pub(super) fn step_barrier(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        match self.rounds.state {
            State::Completing(at) if at <= now => self.hand_out(core, logs, now),
            State::Preparing(deadline) if deadline <= now => {
                self.rounds.forming = (0, false);
                self.expel_absent(core, now);
                self.all_have_joined(core, logs, now);
            }
            State::Preparing(_) if (1..=now).contains(&self.rounds.forming.0) => {
                let (at, more) = self.rounds.forming;
                self.rounds.forming =
                    if more { (at.saturating_add(self.rounds.initial_delay()), false) } else { (0, false) };
                self.check_barrier(core, logs, now);
            }
            _ => {}
        }
    }

    fn check_barrier(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if !matches!(self.rounds.state, State::Preparing(_)) || self.rounds.forming.0 > 0 {
            return;
        }
        let complete = self.members.iter().all(|member| !member.in_group || member.joined);
        if complete && !self.rounds.waits_for_the_dead() {
            self.all_have_joined(core, logs, now);
        }
    }

    /// All have joined that will.
    fn all_have_joined(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        let round = self.rounds.round(core);
        self.rounds.state = State::Completing(now.saturating_add(round));
        if round == 0 {
            self.hand_out(core, logs, now);
        }
    }

    /// A member has nothing in hand and is to leave its assignment: it settles, and rejoins or goes.
    pub(super) fn part(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let state = &self.members[member];
        let waits = state.joined && self.rounds.stops_all();
        if waits || state.running() > 0 || (self.config.batch.is_none() && state.waiting > 0) {
            return;
        }
        if !state.zombie && self.config.settle != Settle::Before {
            self.commit_now(core, member, now);
        }
        self.drop_hand(core, logs, member, Again::Rebalanced, now);
        let state = &mut self.members[member];
        state.noticed = false;
        if std::mem::take(&mut state.leaving) {
            (state.in_group, state.joined) = (false, false);
            self.depart(core, logs, member, now);
        } else if std::mem::take(&mut state.zombie) {
            if core.members[member].is_up() {
                self.join(core, logs, member, now);
            }
        } else {
            state.joined = true;
            self.check_barrier(core, logs, now);
            self.look_at_all(core);
        }
    }

    /// A member that works on rejoins: what it keeps it keeps.
    pub(super) fn rejoin(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> Turn {
        self.commit_now(core, member, now);
        let state = &mut self.members[member];
        (state.joined, state.noticed, state.rejoins) = (true, false, false);
        state.notice_at = u64::MAX;
        self.prepare(core, logs, now);
        Turn::Again
    }

    /// Settles what may be settled, on a timer or not.
    fn commit_now(&mut self, core: &mut Core, member: usize, now: u64) {
        let interval = std::mem::replace(&mut self.members[member].auto_at, 0);
        self.commit_at_poll(core, member, now);
        self.members[member].auto_at = interval.max(now);
    }

    /// Gives the partitions out and lets everybody poll.
    fn hand_out(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        self.rounds.state = State::Stable;
        self.rounds.completed += 1;
        core.meter.rebalances += 1;
        let live: Vec<usize> = (0..self.members.len()).filter(|member| self.members[*member].in_group).collect();
        // Whoever is gone, and still believed in, keeps or gets a share that nobody reads.
        let mut roster = live.clone();
        roster.extend(self.rounds.believed_in());
        roster.sort_unstable();
        if self.rounds.protocol == Protocol::Cooperative {
            self.adjust(core, &live, &roster);
        } else {
            for lane in 0..self.lanes.len() {
                self.rewound(core, lane);
            }
            self.give(core, &live, &roster, now);
        }
        for member in live {
            self.pump(core, logs, member, now);
        }
        self.look_at_all(core);
    }

    /// Tells members what they have from now on, of which what another has is nobody's for another round.
    fn adjust(&mut self, core: &Core, live: &[usize], roster: &[usize]) {
        let owners = self.assigned(core, roster, &self.rounds.held);
        let lives = |member: usize| live.binary_search(&member).is_ok();
        for member in live {
            let state = &mut self.members[*member];
            (state.joined, state.noticed, state.notice_at) = (false, false, u64::MAX);
        }
        for (lane, owner) in owners.into_iter().enumerate() {
            let holder = self.rounds.held[lane].filter(|holder| roster.binary_search(holder).is_ok());
            let moves = holder.is_some() && holder != owner;
            self.rounds.held[lane] = owner.filter(|_| !moves);
            match (holder, owner) {
                (Some(holder), _) if moves && lives(holder) => {
                    self.demand(holder, lane);
                    self.members[holder].rejoins = true;
                }
                (_, Some(owner)) if !moves && lives(owner) => self.offer(owner, lane),
                _ => {}
            }
        }
    }
}
