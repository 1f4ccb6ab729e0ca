//! Membership of a polled group: who belongs to it, and how a loss is noticed.
//!
//! What follows when the members are others is the protocol's: all meet at a barrier (`barrier.rs`), or the bus tells each
//! member by itself (`incremental.rs`). How a partition changes hands is the same for all (`hands.rs`).
//!
//! A member that is gone without a word is believed in until its session runs out. One that does not poll for too long
//! leaves by itself. Where members have identities of their own, one that is gone keeps its seat until then, and a process
//! that takes its place in time has what it had.

use super::incremental::Targets;
use super::{Core, Log, Polled};
use crate::dist::{About, Dist};
use crate::outcome::Again;
use crate::plan::{Assignor, Membership, Protocol};
use crate::random::Stream;

/// The state of a group's membership.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    pub(super) protocol: Protocol,
    pub(super) assignor: Assignor,
    /// Whether members have identities of their own.
    fixed: bool,
    session_timeout: u64,
    heartbeat: u64,
    pub(super) rebalance_timeout: u64,
    initial_delay: u64,
    initial_delay_grows: bool,
    join: Dist,
    stream: Stream,
    phases: Vec<u64>,
    pub(super) state: State,
    /// Until then an empty group waits for company; 0: it does not. And whether some has come since it was last asked.
    pub(super) forming: (u64, bool),
    /// Members without heartbeats, and when they are expelled.
    silent: Vec<Silent>,
    /// Processes that crashed by themselves, and when they are ready again.
    restarts: Vec<(u64, usize)>,
    /// Processes that operators start again after they had stopped the group, and when they are ready.
    pub(super) starts: Vec<(u64, usize)>,
    /// When members that have taken their seats again hear what they have.
    returns: Vec<(u64, usize)>,
    pub(super) completed: u64,
    /// Whose each partition is, as the group knows it: a member, or, from their number on, a process that is gone.
    pub(super) held: Vec<Option<usize>>,
    /// Processes that are gone, so far.
    gone: usize,
    /// What the bus wants, where it assigns.
    pub(super) targets: Targets,
}

/// A member that the group still believes in, though it sends no heartbeats.
#[derive(Clone, Copy, Debug)]
struct Silent {
    expelled_at: u64,
    member: usize,
    /// As whom the group knows it.
    who: usize,
    /// The process is gone; one that takes its place is another member to the group, unless its seat is kept.
    dead: bool,
}

/// What a group that meets at a barrier is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Stable,
    /// Waiting for all members to rejoin, at most until.
    Preparing(u64),
    /// All have joined: partitions are given out at.
    Completing(u64),
}

impl Rounds {
    pub(super) fn new(membership: &Membership, core: &Core) -> Self {
        let stream = Stream::named(core.seed, &format!("{}/membership", core.name));
        let group = membership.group();
        let span = |of: Option<crate::time::SimSpan>| of.map_or(0, |span| span.0);
        let heartbeat = span(group.map(|group| group.heartbeat));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below the interval of heartbeats"
        )]
        let phase = |member: usize| (stream.part(1).unit(member as u64) * heartbeat as f64) as u64;
        Self {
            protocol: group.map_or(Protocol::Eager, |group| group.protocol),
            assignor: group.map_or(Assignor::Range, |group| group.assignor),
            fixed: group.is_some_and(|group| group.fixed),
            session_timeout: span(group.map(|group| group.session_timeout)),
            heartbeat,
            rebalance_timeout: group.map_or(u64::MAX, |group| group.rebalance_timeout.0),
            initial_delay: span(group.map(|group| group.initial_delay)),
            initial_delay_grows: group.is_some_and(|group| group.initial_delay_grows),
            join: group.map_or(Dist::Constant(0.0), |group| group.join.clone()),
            stream,
            phases: (0..core.members.len()).map(phase).collect(),
            state: State::Stable,
            forming: (0, false),
            silent: Vec::new(),
            restarts: Vec::new(),
            starts: Vec::new(),
            returns: Vec::new(),
            completed: 0,
            held: vec![None; core.lanes.len()],
            gone: 0,
            targets: Targets::new(core.lanes.len(), span(group.map(|group| group.assignment_interval))),
        }
    }

    /// When membership next changes by itself.
    pub(super) fn next(&self) -> u64 {
        let state = match self.state {
            State::Stable => u64::MAX,
            State::Preparing(deadline) if self.forming.0 > 0 => deadline.min(self.forming.0),
            State::Preparing(deadline) => deadline,
            State::Completing(at) => at,
        };
        let silent = self.silent.iter().map(|silent| silent.expelled_at).min().unwrap_or(u64::MAX);
        let first = |of: &[(u64, usize)]| of.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        silent
            .min(first(&self.restarts))
            .min(first(&self.starts))
            .min(first(&self.returns))
            .min(state)
            .min(self.targets.due)
    }

    /// Whether a rebalance stops everybody.
    pub(super) fn stops_all(&self) -> bool {
        self.protocol == Protocol::Eager
    }

    /// How long an empty group waits for company.
    pub(super) fn initial_delay(&self) -> u64 {
        self.initial_delay
    }

    /// The member's first heartbeat at or after `now`.
    pub(super) fn heartbeat_after(&self, member: usize, now: u64) -> u64 {
        if self.heartbeat == 0 {
            return now;
        }
        let phase = self.phases[member];
        if now <= phase { phase } else { phase + (now - phase).div_ceil(self.heartbeat) * self.heartbeat }
    }

    /// A member sends a heartbeat out of turn: the next one follows an interval later.
    pub(super) fn beat(&mut self, member: usize, now: u64) {
        self.phases[member] = now.saturating_add(self.heartbeat);
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
            self.silent.push(Silent { expelled_at: at, member, who: member, dead: false });
        }
    }

    /// How long a join and sync round takes.
    pub(super) fn round(&self, core: &Core) -> u64 {
        core.rounding.up(self.join.whole(&mut self.stream.at(self.completed), About::default()))
    }

    /// Whether the group waits for a process that is gone.
    pub(super) fn waits_for_the_dead(&self) -> bool {
        self.silent.iter().any(|silent| silent.dead)
    }

    /// As whom the group knows processes that are gone.
    pub(super) fn believed_in(&self) -> impl Iterator<Item = usize> + '_ {
        self.silent.iter().filter(|silent| silent.dead).map(|silent| silent.who)
    }

    /// What was somebody's is nobody's.
    fn free(&mut self, who: usize) {
        for of in [&mut self.held, &mut self.targets.target] {
            of.iter_mut().filter(|owner| **owner == Some(who)).for_each(|owner| *owner = None);
        }
    }

    /// A process is gone: as whom the group will know it. What is its own, and is not kept for the next one, is under that name.
    fn buried(&mut self, member: usize) -> usize {
        if self.fixed {
            return member;
        }
        let who = self.phases.len() + self.gone;
        self.gone += 1;
        for of in [&mut self.held, &mut self.targets.target] {
            of.iter_mut().filter(|owner| **owner == Some(member)).for_each(|owner| *owner = Some(who));
        }
        who
    }

    /// Whether a member's seat is kept, which it takes.
    fn takes_seat(&mut self, member: usize) -> bool {
        let before = self.silent.len();
        self.silent.retain(|silent| !(silent.dead && silent.who == member));
        self.silent.len() < before
    }

    /// A member stops its heartbeats without a word, and its seat is kept until it is missed.
    fn keep_seat(&mut self, member: usize, now: u64) {
        let expelled_at = self.expelled_at(member, now);
        self.silent.retain(|silent| silent.member != member);
        self.silent.push(Silent { expelled_at, member, who: member, dead: true });
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
        } else if let Some(at) = self.rounds.starts.iter().position(|(due, _)| *due <= now) {
            let (_, member) = self.rounds.starts.remove(at);
            if core.go_on_after_stop(member, now) {
                self.join(core, logs, member, now);
            }
        } else if let Some(at) = self.rounds.silent.iter().position(|silent| silent.expelled_at <= now) {
            let silent = self.rounds.silent.remove(at);
            self.expel(core, logs, silent, now);
        } else if let Some(at) = self.rounds.returns.iter().position(|(due, _)| *due <= now) {
            let (_, member) = self.rounds.returns.remove(at);
            self.sit_down(core, logs, member, now);
        } else if self.rounds.targets.due <= now {
            self.retarget(core, now);
        } else {
            self.step_barrier(core, logs, now);
        }
    }

    /// The rebalance has waited long enough: it goes on without those who are not there. Seats that are kept are kept until
    /// their sessions run out.
    pub(super) fn expel_absent(&mut self, core: &mut Core, now: u64) {
        for member in 0..self.members.len() {
            if self.members[member].in_group && !self.members[member].joined {
                if self.rounds.fixed {
                    self.rounds.keep_seat(member, now);
                    self.estrange(core, member, Again::RejoinedTooLate, now);
                } else {
                    self.exclude(core, member, Again::RejoinedTooLate, now);
                }
            }
        }
        if !self.rounds.fixed {
            let (gone, here): (Vec<_>, Vec<_>) = self.rounds.silent.drain(..).partition(|silent| silent.dead);
            self.rounds.silent = here;
            for silent in gone {
                core.meter.expelled(silent.member, Again::RejoinedTooLate, now);
                self.rounds.free(silent.who);
            }
        }
    }

    fn expel(&mut self, core: &mut Core, logs: &[&Log], silent: Silent, now: u64) {
        let stands_still = core.members[silent.member].paused_until > now;
        if silent.dead {
            core.meter.expelled(silent.member, Again::SessionTimedOut, now);
            self.rounds.free(silent.who);
        } else {
            if !stands_still || !self.members[silent.member].in_group {
                return;
            }
            self.exclude(core, silent.member, Again::SessionTimedOut, now);
        }
        self.regroup(core, logs, now);
    }

    /// The group goes on without a member, whose client hears of it with its next heartbeat: what it has polled it handles,
    /// what it has only fetched it will never poll.
    fn exclude(&mut self, core: &mut Core, member: usize, why: Again, now: u64) {
        self.rounds.free(member);
        self.estrange(core, member, why, now);
    }

    /// A member does not belong to the group any more, and does not know it.
    fn estrange(&mut self, core: &mut Core, member: usize, why: Again, now: u64) {
        core.meter.expelled(member, why, now);
        self.disown(member, why);
        let notice_at = self.rounds.heartbeat_after(member, now);
        let state = &mut self.members[member];
        (state.in_group, state.joined, state.leaving, state.zombie) = (false, false, false, true);
        state.ousted = why;
        (state.noticed, state.notice_at) = (false, notice_at);
        state.disconnect();
    }

    /// The members are others: the group shares out its partitions anew.
    fn regroup(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        match self.rounds.protocol {
            Protocol::Eager | Protocol::Cooperative => self.prepare(core, logs, now),
            Protocol::Incremental => self.retarget_soon(core, now),
        }
    }

    /// A process is ready: it joins the group.
    pub(in crate::engine::group) fn join(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if self.members[member].in_group {
            // It was about to leave, or stands in the group still.
            self.members[member].leaving = false;
            return;
        }
        let seated = self.rounds.takes_seat(member);
        let empty = !self.rounds.waits_for_the_dead() && self.members.iter().all(|member| !member.in_group);
        let state = &mut self.members[member];
        (state.in_group, state.joined, state.zombie, state.leaving) = (true, false, false, false);
        (state.noticed, state.notice_at) = (false, u64::MAX);
        if seated || !self.rounds.stops_all() {
            // It polls from now on, though it has nothing yet.
            state.polled_at = now;
        }
        if self.rounds.protocol == Protocol::Incremental {
            self.rounds.beat(member, now);
            if !seated {
                self.retarget_soon(core, now);
            }
            self.hear(member, now);
            self.tell_all(now);
            self.pump(core, logs, member, now);
            return self.look_at_all(core);
        }
        if seated && self.rounds.state == State::Stable {
            let at = now.saturating_add(self.rounds.round(core));
            self.rounds.returns.push((at, member));
            self.pump(core, logs, member, now);
            return self.look_at_all(core);
        }
        self.members[member].joined = true;
        if empty && self.rounds.initial_delay > 0 {
            self.rounds.forming = (now.saturating_add(self.rounds.initial_delay), false);
        } else {
            self.rounds.forming.1 = self.rounds.initial_delay_grows;
        }
        self.regroup(core, logs, now);
        if !self.rounds.stops_all() {
            self.pump(core, logs, member, now);
            self.look_at_all(core);
        }
    }

    /// A member that has taken its seat again hears what it has, unless a rebalance has begun meanwhile.
    fn sit_down(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let state = &self.members[member];
        if state.in_group && !state.joined && self.rounds.state == State::Stable {
            for lane in 0..self.lanes.len() {
                if self.rounds.held[lane] == Some(member) {
                    self.offer(member, lane);
                }
            }
            self.pump(core, logs, member, now);
        }
    }

    /// A member is not wanted any more: it finishes what its handlers hold, settles and leaves.
    pub(in crate::engine::group) fn leave(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if !self.members[member].in_group {
            return;
        }
        if self.members[member].joined && self.rounds.stops_all() {
            (self.members[member].in_group, self.members[member].joined) = (false, false);
            return self.depart(core, logs, member, now);
        }
        self.members[member].leaving = true;
        self.pump(core, logs, member, now);
        self.due[member] = self.due_of(core, member);
    }

    /// A member has gone, and says so, unless its seat is kept.
    pub(super) fn depart(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if self.rounds.fixed {
            self.rounds.keep_seat(member, now);
            return self.look_at_all(core);
        }
        self.rounds.free(member);
        self.regroup(core, logs, now);
    }

    /// A member has not polled for too long: its client leaves the group, or, where it has an identity of its own, stops its
    /// heartbeats. Its handlers go on, and when they are done its next poll joins again; what they held is handed out again.
    pub(super) fn give_up_group(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if self.rounds.fixed {
            self.rounds.keep_seat(member, now);
            self.estrange(core, member, Again::PolledTooLate, now);
            return self.look_at_all(core);
        }
        self.exclude(core, member, Again::PolledTooLate, now);
        self.regroup(core, logs, now);
    }

    /// A process ends without a word.
    pub(in crate::engine::group) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.drop_hand(core, logs, member, Again::Crashed, now);
        let state = &mut self.members[member];
        let known = std::mem::take(&mut state.in_group);
        (state.joined, state.noticed, state.leaving, state.notice_at) = (false, false, false, u64::MAX);
        let zombie = std::mem::take(&mut state.zombie);
        self.rounds.returns.retain(|(_, other)| *other != member);
        if known && !zombie {
            let at = self.rounds.expelled_at(member, now);
            self.rounds.silent.retain(|silent| silent.member != member || silent.dead);
            let who = self.rounds.buried(member);
            if at <= now {
                core.meter.expelled(member, Again::SessionTimedOut, now);
                self.rounds.free(who);
                self.regroup(core, logs, now);
            } else {
                self.rounds.silent.push(Silent { expelled_at: at, member, who, dead: true });
            }
        }
        // It may have been the last that operators wait for.
        self.go_back_if_alone(core, logs, now);
        self.look_at_all(core);
    }

    /// A handler takes its process with it; it is started again.
    pub(super) fn crash_itself(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let ready = core.crash_itself(member, now);
        self.crash(core, logs, member, now);
        self.rounds.restarts.push((ready, member));
    }
}
