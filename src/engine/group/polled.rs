//! Polled dispatch: each partition has one owner, which fetches by long poll, hands records to its workers and settles by
//! position. What a member does next is kept, so that a step looks at one member only.
//!
//! ```text
//! log --fetch response--> buffer --poll--> ready --worker--> effect --> prefix --commit--> committed
//!          fetch.rs                poll.rs            work.rs                    poll.rs
//! ```
//!
//! `lane.rs` and `member.rs` are the state of one partition and of one member. Who belongs to the group is in `rounds.rs`;
//! partitions change hands (`hands.rs`) behind a barrier (`barrier.rs`), or as the bus tells each member (`incremental.rs`). A
//! replay stops them all (`replay.rs`).

mod barrier;
mod copies;
mod fetch;
mod hands;
mod incremental;
mod lane;
mod leaders;
mod member;
mod past;
mod poll;
mod positions;
mod replay;
mod rounds;
mod undecided;
mod work;

use std::collections::BTreeSet;

use lane::Lane;
use leaders::{BROKERS, Leaders};
use member::Member;
use replay::Replays;
use rounds::Rounds;
use undecided::Undecided;

use super::meter::Conclusion;
use super::{Core, Lag};
use crate::engine::log::Log;
use crate::plan::{BatchPlan, ConsumerPlan, LogDispatch, Membership, Plan, Reset, Settle, WorkerOrder};
use crate::random::Stream;

/// Polled dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Polled {
    config: Config,
    lanes: Vec<Lane>,
    members: Vec<Member>,
    /// When each member next does something.
    due: Vec<u64>,
    rounds: Rounds,
    replays: Replays,
    /// Who leads, where nodes fail.
    leaders: Option<Box<Leaders>>,
    /// What was done last, and when: nothing is due before.
    reached: u64,
    /// Next wake of a scheduled consumer.
    wake: u64,
    seen: u64,
    woken: Vec<u32>,
    undecided: Undecided,
}

#[derive(Clone, Debug)]
struct Config {
    request_timeout: u64,
    /// How long a fetch waits for a record while there is more to ask for.
    fetch_max_wait: u64,
    max_poll: usize,
    max_fetch: u64,
    commit_each: bool,
    /// Nothing lies between a visible record and an idle worker: what waits, waits for a worker.
    instant: bool,
    settle: Settle,
    workers: u32,
    order: WorkerOrder,
    batch: Option<BatchPlan>,
    every: Option<u64>,
    reset: Reset,
    dead_letter: Option<usize>,
}

impl Polled {
    pub(super) fn new(core: &mut Core, plan: &Plan, consumer: &ConsumerPlan, dispatch: &LogDispatch) -> Self {
        let rounds = Rounds::new(&consumer.membership, core);
        let config = Config {
            request_timeout: dispatch.request_timeout.0.max(1),
            fetch_max_wait: dispatch.fetch_max_wait.0.max(1),
            max_poll: dispatch.max_poll_records as usize,
            max_fetch: u64::from(dispatch.max_fetch_records).max(1),
            commit_each: dispatch.commit_each,
            instant: consumer.membership == Membership::Immediate
                && dispatch.network.constant() == Some(0.0)
                && dispatch.max_poll_records == u32::MAX
                && consumer.batch.is_none()
                && consumer.schedule.is_none()
                && core.wire.is_clean(),
            settle: consumer.settle,
            workers: consumer.workers,
            order: consumer.order,
            batch: consumer.batch,
            every: consumer.schedule.map(|schedule| schedule.every.0.max(1)),
            reset: dispatch.reset,
            dead_letter: consumer.dead_letter.map(|topic| topic.0 as usize),
        };
        let lanes = core.lanes.iter().map(|id| {
            let topic = &plan.topics[core.topics[id.slot]];
            // Different topics may live on different buses: their brokers are kept apart.
            let broker = id.slot * BROKERS + (id.partition % topic.brokers.max(1)) as usize;
            Lane::new(broker, config.every.is_some())
        });
        let count = core.members.len();
        let mut polled = Self {
            lanes: lanes.collect(),
            members: (0..count)
                .map(|member| Member::new(config.workers, first_settled(core, config.settle, member)))
                .collect(),
            due: vec![u64::MAX; count],
            reached: 0,
            wake: consumer.schedule.map_or(u64::MAX, |schedule| schedule.offset.0),
            seen: 0,
            woken: Vec::new(),
            undecided: Undecided::default(),
            config,
            leaders: Leaders::new(core, dispatch).map(Box::new),
            rounds,
            replays: Replays::default(),
        };
        let live: Vec<usize> = (0..count).filter(|member| core.members[*member].is_up()).collect();
        live.iter().for_each(|member| polled.members[*member].in_group = true);
        polled.give(core, &live, &live, 0);
        polled.rounds.targets.target.clone_from(&polled.rounds.held);
        for member in live {
            polled.due[member] = 0;
        }
        polled
    }

    /// When the group next does something.
    #[inline(never)]
    pub(super) fn next(&mut self, core: &mut Core, logs: &[&Log]) -> u64 {
        self.notice(core, logs);
        self.due.iter().copied().min().unwrap_or(u64::MAX).min(self.rounds.next()).min(self.wake)
    }

    /// Handles everything strictly before `limit`, in order of time, group first, then members by index.
    #[inline(never)]
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        self.notice(core, logs);
        loop {
            let (mut now, mut who) = (self.rounds.next().min(self.wake), usize::MAX);
            for (member, due) in self.due.iter().enumerate() {
                if *due < now {
                    (now, who) = (*due, member);
                }
            }
            if now >= limit {
                return;
            }
            debug_assert!(self.reached <= now, "the time of a group only moves forward");
            self.reached = now;
            core.meter.at(now);
            if who == usize::MAX {
                self.step_group(core, logs, now);
            } else {
                self.step(core, logs, who, now);
                self.due[who] = self.due_of(core, who);
            }
            self.go_back_if_alone(core, logs, now);
        }
    }

    fn step_group(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if self.wake == now {
            self.wake = now.saturating_add(self.config.every.unwrap_or(u64::MAX));
            for lane in 0..self.lanes.len() {
                let from = self.lanes[lane].committed;
                let end = core.log_lane(logs, lane).seen_end(from, now, core.committed_only);
                self.lanes[lane].awake = self.lanes[lane].awake.max(end);
            }
            for member in 0..self.members.len() {
                self.look_at_fetches(core, logs, member);
            }
            for member in 0..self.members.len() {
                self.pump(core, logs, member, now);
            }
        }
        if self.rounds.next() == now {
            self.step_rounds(core, logs, now);
        }
        self.look_at_all(core);
    }

    fn look_at_all(&mut self, core: &Core) {
        for member in 0..self.members.len() {
            self.due[member] = self.due_of(core, member);
        }
    }

    fn due_of(&self, core: &Core, member: usize) -> u64 {
        let conditions = &core.members[member];
        let state = &self.members[member];
        if conditions.down > 0 {
            return u64::MAX;
        }
        if !(state.in_group || state.zombie) {
            return core.outputs.next(member);
        }
        let mut due = state.ends.peek().map_or(u64::MAX, |end| end.0.0);
        due = state.sessions.iter().fold(due, |due, session| due.min(session.due));
        due = state.homeless.iter().fold(due, |due, (at, _)| due.min(state.not_seen(*at)));
        due = due.min(core.outputs.next(member)).min(state.notice_at);
        if core.retries.any() {
            due = state.buffer.iter().fold(due, |due, chunk| due.min(state.not_seen(chunk.due)));
        }
        due = due.min(state.late_at(core.progress_timeout, self.rounds.stops_all()));
        if let (Some(batch), Some(first)) = (self.config.batch, state.ready.front())
            && !state.idle.is_empty()
            && state.ready.len() < batch.max as usize
        {
            due = due.min(state.not_seen(first.arrived.saturating_add(batch.max_wait.0)));
        }
        // A member that the group goes on without commits nothing.
        if let Settle::Timer(_) = self.config.settle
            && state.blocked
            && !state.zombie
            && state.lanes.iter().any(|lane| self.lanes[*lane].committed < self.lanes[*lane].polled)
        {
            due = due.min(state.not_seen(state.auto_at));
        }
        // It goes on when it wakes, with whatever it has been given meanwhile.
        if conditions.paused_until > 0 {
            due = due.min(state.not_seen(conditions.paused_until));
        }
        if due == u64::MAX { due } else { due.max(conditions.paused_until) }
    }

    /// Does all that is due at a member by `now`.
    fn step(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        debug_assert!(self.members[member].looked_at <= now + 1, "time only moves forward");
        self.members[member].looked_at = now + 1;
        if core.outputs.next(member) <= now {
            core.outputs.step(member, now);
        }
        if !core.outputs.is_silent() {
            self.wake_waiters(core, logs, member, now);
            if core.retries.any() {
                self.hear_of_copies(core, logs, member, now);
            }
        }
        for session in 0..self.members[member].sessions.len() {
            while self.members[member].sessions[session].due <= now {
                self.step_fetch(core, logs, member, session, now);
            }
        }
        while self.members[member].ends.peek().is_some_and(|end| end.0.0 <= now) {
            let (_, worker) = self.members[member].ends.pop().expect("just seen").0;
            self.continue_run(core, logs, member, worker, now);
            if core.members[member].down > 0 {
                return;
            }
        }
        if self.members[member].notice_at <= now {
            self.notice_group(core, member, now);
        }
        if let Settle::Timer(interval) = self.config.settle
            && self.members[member].blocked
            && now >= self.members[member].auto_at
        {
            self.commit_polled(core, member, now);
            self.members[member].auto_at = now.saturating_add(interval.0.max(1));
        }
        self.pump(core, logs, member, now);
        if self.members[member].late_at(core.progress_timeout, self.rounds.stops_all()) <= now {
            self.give_up_group(core, logs, member, now);
        }
    }

    fn wake_waiters(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        loop {
            let mut woken = std::mem::take(&mut self.woken);
            core.outputs.woken(member, &mut woken);
            if woken.is_empty() {
                self.woken = woken;
                return;
            }
            for worker in woken.drain(..) {
                // A process that ends takes its clients with it: whoever waits is there.
                let run = self.members[member].runs[worker as usize].as_mut().expect("a handler that waits");
                if run.acknowledged() {
                    self.continue_run(core, logs, member, worker, now);
                }
            }
            self.woken = woken;
        }
    }

    /// Goes on with the handlers whose copies for retry topics have been answered.
    fn hear_of_copies(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let mut answered = Vec::new();
        loop {
            core.outputs.answered(member, &mut answered);
            if answered.is_empty() {
                return;
            }
            for (worker, acknowledged) in answered.drain(..) {
                let run = self.members[member].runs[worker as usize].as_mut().expect("a handler that waits");
                run.copy_answered(acknowledged, now);
                let ends_at = run.ends_at;
                if ends_at <= now {
                    self.continue_run(core, logs, member, worker, now);
                } else {
                    self.members[member].end_at(ends_at, worker);
                }
            }
        }
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for run in self.members.iter_mut().flat_map(|member| member.runs.iter_mut().flatten()) {
            run.busy_from = run.busy_from.max(now);
        }
    }

    /// Whether a member's process has something to finish.
    pub(super) fn lingers(&self, member: usize) -> bool {
        self.members[member].in_group || self.members[member].zombie
    }

    /// A member stands still until the time that its conditions say; what is in hand is late by `shift`.
    pub(super) fn pause(&mut self, core: &mut Core, _: &[&Log], member: usize, now: u64, shift: u64) {
        self.members[member].shift(shift);
        self.rounds.paused(core, member, now);
        self.due[member] = self.due_of(core, member);
    }

    /// Records not settled of one partition at `now`, and the creation of the oldest.
    pub(super) fn lag(&self, lane: usize, log_lane: &crate::engine::log::Lane, now: u64) -> Lag {
        let committed = self.lanes[lane].committed;
        // As its monitors have it: what an open transaction hides waits, too, whoever may not see it yet.
        let end = log_lane.visible_end(committed, now);
        let (records, first) = log_lane.there(committed, end, now);
        Lag { records, oldest: first.map(|first| log_lane.at(first).created) }
    }

    /// Worker time that handlers at work have spent so far, ns.
    pub(super) fn busy(&self, now: u64) -> u128 {
        self.runs().map(|run| u128::from(now.saturating_sub(run.busy_from))).sum()
    }

    /// Lowest offset that is still needed: the oldest that is not settled, or that a handler or a queue before one holds.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        // Members of the group hold nothing that is settled, unless it is settled before it is done.
        let early = self.config.settle != Settle::After;
        let held = self.members.iter().flat_map(|member| member.held_offsets(lane, early)).min();
        self.lanes[lane]
            .marks_from
            .min(held.unwrap_or(u64::MAX))
            .min(self.lanes[lane].committed)
            .min(self.lanes[lane].hold)
            .min(self.undecided.keep(lane))
    }

    /// Settles the accounts of what was not finished.
    pub(super) fn finish(&mut self, core: &mut Core, logs: &[&Log], end: u64) {
        self.decide_all(core, logs);
        let mut running = BTreeSet::new();
        for run in self.members.iter().flat_map(|member| member.runs.iter().flatten()) {
            core.busy += u128::from(end.saturating_sub(run.busy_from));
            running.extend(run.items().map(|item| (item.lane, item.offset)));
        }
        for lane in 0..self.lanes.len() {
            let log_lane = core.log_lane(logs, lane);
            for offset in self.lanes[lane].marks_from.min(self.lanes[lane].committed)..log_lane.end() {
                let mark = self.lanes[lane].known(offset);
                let how = match mark {
                    None if offset < self.lanes[lane].marks_from => continue,
                    Some(mark) if mark.concluded => continue,
                    None if self.lanes[lane].is_past(offset) => continue,
                    _ if running.contains(&(lane, offset)) => Conclusion::InFlight,
                    _ => log_lane.taken(offset, end.saturating_sub(1)).map_or(Conclusion::Waiting, Conclusion::Lost),
                };
                let subject = core.subject(logs, lane, offset);
                core.meter.conclude(subject.slot, &subject.record, how);
            }
        }
    }
}

/// When a member that has been there since before the run settles by its timer for the first time: processes were not all
/// started at one time.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below the interval")]
fn first_settled(core: &Core, settle: Settle, member: usize) -> u64 {
    let Settle::Timer(interval) = settle else { return 0 };
    let phases = Stream::named(core.seed, &format!("{}/settle", core.name));
    (phases.unit(member as u64) * interval.0 as f64) as u64
}
