//! Membership of a polled group: who belongs to it, how a loss is noticed, and the rebalance behind a barrier.
//!
//! A rebalance begins when someone joins, leaves or is expelled. Every member learns of it by its next heartbeat, finishes
//! what it has polled, settles and gives its partitions back; when all have, one join round later the partitions are given
//! out anew. A member that is gone without a word holds the barrier until its session runs out. One that does not poll for
//! too long leaves by itself.

use super::{Core, Log, Polled};
use crate::dist::{About, Dist};
use crate::plan::Membership;
use crate::random::Stream;

/// The state of a group's membership.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    session_timeout: u64,
    heartbeat: u64,
    rebalance_timeout: u64,
    join: Dist,
    stream: Stream,
    phases: Vec<u64>,
    state: State,
    /// Members without heartbeats, and when they are expelled.
    silent: Vec<Silent>,
    /// Processes that crashed by themselves, and when they are ready again.
    restarts: Vec<(u64, usize)>,
    completed: u64,
}

/// A member that the group still believes in, though it sends no heartbeats.
#[derive(Clone, Copy, Debug)]
struct Silent {
    expelled_at: u64,
    member: usize,
    /// The process is gone; one that takes its place is another member to the group.
    dead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stable,
    /// Waiting for all members to rejoin, at most until.
    Preparing(u64),
    /// All have joined: partitions are given out at.
    Completing(u64),
}

impl Rounds {
    pub(super) fn new(membership: &Membership, core: &Core) -> Self {
        let stream = Stream::named(core.seed, &format!("{}/membership", core.name));
        let (session_timeout, heartbeat, rebalance_timeout, join) = match membership {
            Membership::Immediate => (0, 0, u64::MAX, Dist::Constant(0.0)),
            Membership::Eager { session_timeout, heartbeat, rebalance_timeout, join } => {
                (session_timeout.0, heartbeat.0, rebalance_timeout.0, join.clone())
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below the interval of heartbeats"
        )]
        let phase = |member: usize| (stream.part(1).unit(member as u64) * heartbeat as f64) as u64;
        Self {
            session_timeout,
            heartbeat,
            rebalance_timeout,
            join,
            stream,
            phases: (0..core.members.len()).map(phase).collect(),
            state: State::Stable,
            silent: Vec::new(),
            restarts: Vec::new(),
            completed: 0,
        }
    }

    /// When membership next changes by itself.
    pub(super) fn next(&self) -> u64 {
        let state = match self.state {
            State::Stable => u64::MAX,
            State::Preparing(deadline) => deadline,
            State::Completing(at) => at,
        };
        let silent = self.silent.iter().map(|silent| silent.expelled_at).min().unwrap_or(u64::MAX);
        let restarts = self.restarts.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        silent.min(restarts).min(state)
    }

    /// The member's first heartbeat at or after `now`.
    fn heartbeat_after(&self, member: usize, now: u64) -> u64 {
        if self.heartbeat == 0 {
            return now;
        }
        let phase = self.phases[member];
        if now <= phase { phase } else { phase + (now - phase).div_ceil(self.heartbeat) * self.heartbeat }
    }

    /// When a member that falls silent at `now` is expelled: its session runs from its last heartbeat.
    fn expelled_at(&self, member: usize, now: u64) -> u64 {
        let next = self.heartbeat_after(member, now);
        let last = if next == now { now } else { next.saturating_sub(self.heartbeat) };
        last.saturating_add(self.session_timeout).max(now)
    }

    /// A member stands still: it is expelled if that is too long.
    pub(super) fn paused(&mut self, core: &Core, member: usize, now: u64) {
        let conditions = &core.members[member];
        // Without sessions nobody notices a pause.
        let at = self.expelled_at(member, conditions.paused_since).max(now);
        if self.session_timeout > 0 && at < conditions.paused_until {
            self.silent.push(Silent { expelled_at: at, member, dead: false });
        }
    }
}

impl Polled {
    /// Does what membership has due at `now`.
    pub(super) fn step_rounds(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if let Some(at) = self.rounds.restarts.iter().position(|(due, _)| *due <= now) {
            let (_, member) = self.rounds.restarts.remove(at);
            if core.restart_itself(member, now) {
                self.join(core, logs, member, now);
            }
        } else if let Some(at) = self.rounds.silent.iter().position(|silent| silent.expelled_at <= now) {
            let silent = self.rounds.silent.remove(at);
            self.expel(core, logs, silent, now);
        } else {
            match self.rounds.state {
                State::Completing(at) if at <= now => self.hand_out(core, logs, now),
                State::Preparing(deadline) if deadline <= now => {
                    for member in 0..self.members.len() {
                        if self.members[member].in_group && !self.members[member].joined {
                            self.exclude(member, now);
                        }
                    }
                    self.rounds.silent.clear();
                    self.check_barrier(core, logs, now);
                }
                _ => {}
            }
        }
    }

    fn expel(&mut self, core: &mut Core, logs: &[&Log], silent: Silent, now: u64) {
        let stands_still = core.members[silent.member].paused_until > now;
        if !silent.dead {
            if !stands_still || !self.members[silent.member].in_group {
                return;
            }
            self.exclude(silent.member, now);
        }
        self.trigger(core, logs, now);
    }

    /// The group goes on without a member, whose client hears of it with its next heartbeat: what it has polled it handles,
    /// what it has only fetched it will never poll.
    fn exclude(&mut self, member: usize, now: u64) {
        let notice_at = self.rounds.heartbeat_after(member, now);
        let state = &mut self.members[member];
        (state.in_group, state.joined, state.leaving, state.zombie) = (false, false, false, true);
        (state.noticed, state.notice_at) = (false, notice_at);
        state.disconnect();
    }

    /// Starts a rebalance, or goes on with the one under way.
    fn trigger(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if !matches!(self.rounds.state, State::Preparing(_)) {
            self.rounds.state = State::Preparing(now.saturating_add(self.rounds.rebalance_timeout));
            for member in 0..self.members.len() {
                if self.members[member].in_group && !self.members[member].joined {
                    self.members[member].notice_at = self.rounds.heartbeat_after(member, now);
                }
            }
        }
        self.check_barrier(core, logs, now);
        self.look_at_all(core);
    }

    fn check_barrier(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if !matches!(self.rounds.state, State::Preparing(_)) {
            return;
        }
        let complete = self.members.iter().all(|member| !member.in_group || member.joined);
        let gone = self.rounds.silent.iter().any(|silent| silent.dead);
        if complete && !gone {
            let draw = self.rounds.join.whole(&mut self.rounds.stream.at(self.rounds.completed), About::default());
            self.rounds.state = State::Completing(now.saturating_add(core.rounding.up(draw)));
            if draw == 0 {
                self.hand_out(core, logs, now);
            }
        }
    }

    /// A member has nothing in hand and is to leave its assignment: it settles, and rejoins or goes.
    pub(super) fn part(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let state = &self.members[member];
        if state.joined || state.running() > 0 || (self.config.batch.is_none() && state.waiting > 0) {
            return;
        }
        if !state.zombie && self.config.settle != crate::plan::Settle::Before {
            let interval = std::mem::replace(&mut self.members[member].auto_at, 0);
            self.commit_at_poll(core, member, now);
            self.members[member].auto_at = interval.max(now);
        }
        self.drop_hand(core, logs, member, now);
        let state = &mut self.members[member];
        state.noticed = false;
        if std::mem::take(&mut state.leaving) {
            state.in_group = false;
            self.trigger(core, logs, now);
        } else if std::mem::take(&mut state.zombie) {
            if core.members[member].wanted {
                self.join(core, logs, member, now);
            }
        } else {
            state.joined = true;
            self.check_barrier(core, logs, now);
            self.look_at_all(core);
        }
    }

    /// Gives the partitions out and lets everybody poll.
    fn hand_out(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        self.rounds.state = State::Stable;
        self.rounds.completed += 1;
        core.meter.rebalances += 1;
        for lane in &mut self.lanes {
            core.meter.rewinds += u64::from(lane.committed < lane.reached);
            lane.reached = lane.committed;
        }
        let live: Vec<usize> = (0..self.members.len()).filter(|member| self.members[*member].in_group).collect();
        self.give(core, &live, now);
        for member in live {
            self.pump(core, logs, member, now);
        }
        self.look_at_all(core);
    }

    /// Makes `live` the owners of all partitions; each starts at the committed position.
    pub(super) fn give(&mut self, core: &Core, live: &[usize], now: u64) {
        let owners = core.assign(live);
        for member in live {
            let state = &mut self.members[*member];
            state.generation += 1;
            (state.joined, state.noticed, state.notice_at) = (false, false, u64::MAX);
            state.lanes.clear();
            state.disconnect();
        }
        for (lane, owner) in owners.into_iter().enumerate() {
            self.lanes[lane].assign(owner);
            let Some(owner) = owner else { continue };
            self.members[owner].lanes.push(lane);
            if let Some(leaders) = &mut self.leaders {
                leaders.ask(owner, lane, now);
            }
            self.place(owner, lane, now);
        }
    }

    /// A process is ready: it joins the group.
    pub(in crate::engine::group) fn join(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let state = &mut self.members[member];
        if state.in_group {
            // It was about to leave, or stands in the group still.
            state.leaving = false;
            return;
        }
        (state.in_group, state.joined, state.zombie, state.leaving) = (true, true, false, false);
        (state.noticed, state.notice_at) = (false, u64::MAX);
        self.trigger(core, logs, now);
    }

    /// A member is not wanted any more: it finishes what its handlers hold, settles and leaves.
    pub(in crate::engine::group) fn leave(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if !self.members[member].in_group {
            return;
        }
        if self.members[member].joined {
            (self.members[member].in_group, self.members[member].joined) = (false, false);
            return self.trigger(core, logs, now);
        }
        self.members[member].leaving = true;
        self.pump(core, logs, member, now);
        self.due[member] = self.due_of(core, member);
    }

    /// A member has not polled for too long: its client leaves the group. Its handlers go on, and when they are done its
    /// next poll joins again; what they held is with others by then.
    pub(super) fn give_up_group(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.exclude(member, now);
        self.trigger(core, logs, now);
    }

    /// A process ends without a word.
    pub(in crate::engine::group) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.drop_hand(core, logs, member, now);
        let state = &mut self.members[member];
        let known = std::mem::take(&mut state.in_group);
        (state.joined, state.noticed, state.leaving, state.notice_at) = (false, false, false, u64::MAX);
        let zombie = std::mem::take(&mut state.zombie);
        if known && !zombie {
            let at = self.rounds.expelled_at(member, now);
            self.rounds.silent.retain(|silent| silent.member != member || silent.dead);
            if at <= now {
                self.trigger(core, logs, now);
            } else {
                self.rounds.silent.push(Silent { expelled_at: at, member, dead: true });
            }
        }
        self.look_at_all(core);
    }

    /// A handler takes its process with it; it is started again.
    pub(super) fn crash_itself(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let ready = core.crash_itself(member, now);
        self.crash(core, logs, member, now);
        self.rounds.restarts.push((ready, member));
    }
}
