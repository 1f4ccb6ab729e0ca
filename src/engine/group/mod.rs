//! The station Group: one subscription - who reads what, how records reach its members, and what becomes of them.
//!
//! A group is a core (fates, meters, conditions of its members, the control timeline) and one dispatch discipline:
//!
//! ```text
//! control timeline --(crash, restart, pause, slow, scale, lag sample)--> Core
//! log --records--> Serial | Polled | Queue --effects--> Meter, ports to other topics
//! ```
//!
//! Control at time t comes after everything before t and before any record at t.

mod away;
mod control;
mod fate;
mod lag;
mod members;
pub(super) mod meter;
pub(super) mod order;
mod outputs;
mod polled;
mod queue;
mod retries;
mod roster;
mod run;
mod scaler;
mod serial;
mod shared;
mod wire;

pub(super) use fate::slowed;

use control::{Control, Timeline, Whom};
use lag::LagMeter;
use members::remove_one;
use meter::Meter;
use polled::Polled;
use queue::Queue;
use roster::{Due, Roster};
use scaler::{Scaler, Seen};
use serial::Serial;
use shared::Core;

use super::delegate::{Ended, Job};
use super::log::Log;
use super::setup::Setup;
use super::timeline::Occurrence;
use super::topic::Inbox;
use crate::outcome::{ConsumerOutcome, FaultOutcome, Story, TraceRecord};
use crate::plan::{Dispatch, Effect, FaultTarget, Membership, Plan, ScaleTarget, Settle};

/// Where a group's partition lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId {
    /// Position of the topic among the group's topics.
    pub(super) slot: usize,
    /// Partition of that topic.
    pub(super) partition: u32,
}

/// Records of a partition that are visible and not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    /// How many.
    pub(super) records: u64,
    /// Creation of the oldest, ns.
    pub(super) oldest: Option<u64>,
}

#[derive(Clone, Debug)]
enum Discipline {
    Serial(Box<Serial>),
    Polled(Box<Polled>),
    Queue(Box<Queue>),
}

macro_rules! each {
    ($discipline:expr, $it:ident => $call:expr) => {
        match $discipline {
            Discipline::Serial($it) => $call,
            Discipline::Polled($it) => $call,
            Discipline::Queue($it) => $call,
        }
    };
}

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Group {
    core: Core,
    discipline: Discipline,
    timeline: Timeline,
    roster: Roster,
    scaler: Option<Box<Scaler>>,
    lag: LagMeter,
    /// When the next thing happens to the group from outside, or its lag is sampled.
    control: u64,
}

/// Options of a run that concern groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupOptions {
    pub(super) trace: bool,
    pub(super) general: bool,
    /// Whether records are taken in the order of time, not partition by partition.
    pub(super) in_order: bool,
}

impl Group {
    pub(super) fn new(plan: &Plan, setup: &Setup, index: usize, options: GroupOptions) -> Self {
        let mut core = Core::new(plan, setup, index, options);
        let consumer = &plan.consumers[index];
        let discipline = match &consumer.dispatch {
            Dispatch::Queue(dispatch) => Discipline::Queue(Box::new(Queue::new(&core, consumer, dispatch))),
            Dispatch::Log(_) if !options.general && is_serial(plan, index, &core) => {
                Discipline::Serial(Box::new(Serial::new(&core)))
            }
            Dispatch::Log(dispatch) => Discipline::Polled(Box::new(Polled::new(&mut core, plan, consumer, dispatch))),
        };
        let (timeline, lag) = (Timeline::new(plan, setup, index), LagMeter::new(plan, setup, index));
        let roster = Roster::new(plan, index, setup.seed);
        let scaler = consumer.autoscale.map(|autoscale| Box::new(Scaler::new(autoscale, consumer.members, setup.end)));
        let mut group = Self { control: 0, timeline, roster, scaler, lag, core, discipline };
        group.control = group.next_control();
        group
    }

    /// When the next thing happens to it from outside, or it is looked at.
    fn next_control(&self) -> u64 {
        let scaler = self.scaler.as_ref().map_or(u64::MAX, |scaler| scaler.next());
        self.timeline.next().min(self.roster.next()).min(scaler).min(self.lag.next())
    }

    /// Topics that it subscribes to.
    pub(super) fn subscribed(&self) -> &[usize] {
        &self.core.topics[..self.core.subscribed]
    }

    /// Topics that it reads.
    pub(super) fn topics(&self) -> &[usize] {
        &self.core.topics
    }

    /// When the group next does something, given what the logs hold (`u64::MAX`: nothing before new input).
    #[inline(always)]
    pub(super) fn next(&mut self, logs: &[&Log]) -> u64 {
        let control = self.control;
        let core = &mut self.core;
        let own = match &mut self.discipline {
            // What would begin at or after the end never begins.
            Discipline::Serial(serial) => {
                serial.hear(core, logs, control.min(core.end));
                serial.due()
            }
            Discipline::Polled(polled) => polled.next(core, logs),
            Discipline::Queue(queue) => queue.next(core, logs),
        };
        own.min(control)
    }

    /// As [`Group::next`], if that may have changed since it was last asked, but for what the group did itself.
    #[inline(always)]
    pub(super) fn hear(&mut self, logs: &[&Log]) -> Option<u64> {
        match &mut self.discipline {
            Discipline::Serial(serial) => {
                let limit = self.control.min(self.core.end);
                serial.hear(&mut self.core, logs, limit).then(|| serial.due().min(self.control))
            }
            _ => Some(self.next(logs)),
        }
    }

    /// Handles everything strictly before `until`; when the group next does something.
    #[inline(always)]
    pub(super) fn advance(&mut self, logs: &[&Log], until: u64) -> u64 {
        while self.control < until {
            self.advance_to_control(logs);
        }
        let core = &mut self.core;
        let own = match &mut self.discipline {
            Discipline::Serial(serial) => {
                serial.run(core, logs, until);
                serial.due()
            }
            Discipline::Polled(polled) => {
                polled.run(core, logs, until);
                core.retry_lanes().for_each(|lane| core.prune(logs, lane, polled.keep(lane)));
                polled.next(core, logs)
            }
            Discipline::Queue(queue) => {
                queue.run(core, logs, until);
                queue.next(core, logs)
            }
        };
        own.min(self.control)
    }

    /// Whether nobody hears from it: it never publishes, nor tells the mesh anything.
    #[inline]
    pub(super) fn is_silent(&self) -> bool {
        self.core.outputs.is_silent() && !self.core.delegates
    }

    /// Whether it has something to tell the mesh.
    #[inline]
    pub(super) fn has_jobs(&self) -> bool {
        !self.core.jobs.is_empty()
    }

    /// What it has to tell the mesh since it was last asked: when, of which member, what.
    pub(super) fn jobs(&mut self) -> std::vec::Drain<'_, (u64, usize, Job)> {
        self.core.jobs.drain(..)
    }

    /// An attempt that runs in the mesh has ended.
    pub(super) fn ended(&mut self, now: u64, ended: Ended) {
        let core = &mut self.core;
        match &mut self.discipline {
            Discipline::Serial(_) => unreachable!("handlers of a serial group run here"),
            Discipline::Polled(polled) => polled.ended(core, now, ended),
            Discipline::Queue(queue) => queue.ended(now, ended),
        }
    }

    /// Checks that so many attempts are at work as the mesh knows of.
    ///
    /// # Errors
    /// Both numbers.
    pub(super) fn check_out(&self, known: u64) -> Result<(), String> {
        let out = match &self.discipline {
            Discipline::Serial(_) => 0,
            Discipline::Polled(polled) => polled.runs().filter(|run| run.is_out()).count(),
            Discipline::Queue(queue) => queue.runs().filter(|run| run.is_out()).count(),
        };
        let name = &self.core.name;
        if out as u64 == known { Ok(()) } else { Err(format!("{name} waits for {out} attempts, of which {known} run")) }
    }

    /// Handles everything up to what next happens from outside, that included.
    #[inline(never)]
    fn advance_to_control(&mut self, logs: &[&Log]) {
        let control = self.control;
        each!(&mut self.discipline, it => it.run(&mut self.core, logs, control));
        self.core.meter.at(control);
        let (outside, scales) = (self.timeline.next() == control, self.scaler.as_ref().map(|scaler| scaler.next()));
        if outside || self.roster.next() == control || scales == Some(control) {
            self.core.note_available(control);
            if outside {
                let event = self.timeline.take();
                self.apply(logs, control, event);
            } else if self.roster.next() > control {
                self.autoscale(logs, control);
            } else if let Some(due) = self.roster.take() {
                self.attend(logs, control, due);
            }
            if let Discipline::Serial(serial) = &mut self.discipline {
                serial.heed(&self.core);
            }
        } else {
            self.sample(logs, control);
        }
        self.control = self.next_control();
    }

    /// Hands all that the group has published to the topics.
    #[inline]
    pub(super) fn deliver(&mut self, inboxes: &mut [Inbox]) {
        self.core.outputs.deliver(inboxes);
    }

    fn sample(&mut self, logs: &[&Log], now: u64) {
        let Self { core, discipline, lag, scaler, .. } = self;
        if let Some(scaler) = scaler {
            scaler.sample();
        }
        lag.poison_left(core.poison_left);
        let log_lane = |lane: usize| &logs[core.lanes[lane].slot].lanes[core.lanes[lane].partition as usize];
        let retries = core.retry_lanes();
        each!(discipline, it => lag.sample(now, &mut core.meter, retries, |lane| it.lag(lane, log_lane(lane), now)));
    }

    #[cold]
    fn apply(&mut self, logs: &[&Log], now: u64, event: Control) {
        match event {
            Control::WarmUp => {
                let work = (self.busy(now), self.core.available);
                if let Some(scaler) = &mut self.scaler {
                    scaler.warm(now, work);
                }
                self.core.busy = 0;
                self.core.available = 0;
                self.core.meter.warm();
                self.lag.warm();
                each!(&mut self.discipline, it => it.warm(now));
            }
            Control::Track(tracker) => self.lag.track(tracker, now, &mut self.core.meter),
            Control::Crash(member) => self.each_member(member, |group, m| group.crash(logs, now, m)),
            Control::Restart(member) => {
                self.each_member(member, |group, m| group.restart(logs, now, m));
                self.roll_on(logs, now);
            }
            Control::Pause(member, until) => self.each_member(member, |group, m| group.pause(logs, now, m, until)),
            Control::SlowOn(member, fault, factor) => self.each_member(member, |group, m| {
                group.core.members[m].slows.push((fault, factor));
                group.core.slow_changes(m, now);
            }),
            Control::SlowOff(member, fault) => self.each_member(member, |group, m| {
                remove_one(&mut group.core.members[m].slows, fault);
                group.core.slow_changes(m, now);
            }),
            Control::FailOn(member, fault, share) => {
                self.each_member(member, |group, m| group.core.members[m].fails.push((fault, share)));
            }
            Control::FailOff(member, fault) => {
                self.each_member(member, |group, m| remove_one(&mut group.core.members[m].fails, fault));
            }
            Control::Poison(Whom::All, count) => self.core.poison_left += count,
            Control::Poison(member, count) => {
                self.each_member(member, |group, m| group.core.members[m].poison_left += count);
            }
            Control::Scale(size) => self.resize(logs, now, size),
            Control::Deploy(plan) => {
                self.roster.deploy(plan, now);
                self.roll_on(logs, now);
            }
            Control::Hold(number) => self.of_polled(|polled, core| polled.hold(core, logs, number, now)),
            Control::Replay(number) => self.of_polled(|polled, core| polled.replay(core, logs, number, now)),
        }
    }

    /// The group shall have another size.
    fn resize(&mut self, logs: &[&Log], now: u64, size: u32) {
        if let Some(scaler) = &mut self.scaler {
            scaler.resized(now, size);
        }
        let stopped = self.roster.resize(size, &self.core.members, now);
        self.stop(logs, now, stopped);
    }

    /// The autoscaler looks at what there is to do.
    fn autoscale(&mut self, logs: &[&Log], now: u64) {
        let Some(target) = self.scaler.as_ref().map(|scaler| scaler.target()) else { return };
        let seen = match target {
            ScaleTarget::Lag(_) => Seen::Lag(self.records_behind(logs, now)),
            ScaleTarget::Utilisation(_) => {
                let up = self.core.members.iter().map(|member| u32::from(member.is_up())).sum();
                Seen::Work(self.busy(now), self.core.available, up)
            }
        };
        let Some(scaler) = &mut self.scaler else { return };
        let (before, size) = (scaler.size(), scaler.look(now, seen));
        if size != before {
            self.resize(logs, now, size);
        }
    }

    /// Records of its topics that are not settled.
    fn records_behind(&self, logs: &[&Log], now: u64) -> u64 {
        let core = &self.core;
        let lanes = core.lanes.iter().take_while(|id| id.slot < core.subscribed).enumerate();
        let behind = lanes.map(|(lane, id)| {
            let log_lane = &logs[id.slot].lanes[id.partition as usize];
            each!(&self.discipline, it => it.lag(lane, log_lane, now)).records
        });
        behind.sum()
    }

    /// Worker time spent since the warm-up, what is in hand included, ns.
    fn busy(&self, now: u64) -> u128 {
        self.core.busy + each!(&self.discipline, it => it.busy(now))
    }

    fn of_polled(&mut self, act: impl FnOnce(&mut Polled, &mut Core)) {
        match &mut self.discipline {
            Discipline::Polled(polled) => act(polled, &mut self.core),
            Discipline::Serial(_) | Discipline::Queue(_) => {
                unreachable!("only what is polled has positions to set back")
            }
        }
    }

    /// Does what the roster has due.
    fn attend(&mut self, logs: &[&Log], now: u64, due: Due) {
        match due {
            Due::Ready(member) => {
                let wanted = self.core.members[member].wanted;
                if !wanted && each!(&self.discipline, it => it.lingers(member)) {
                    return self.roster.wait(member, now);
                }
                self.roster.ready(member);
                if !wanted && self.core.members[member].paused_until > now {
                    // Another process: what stands still is the one before.
                    self.core.members[member].paused_until = 0;
                    self.core.process_ends(member, now);
                }
                self.core.members[member].wanted = true;
                // One that a crash holds down joins when it is started again.
                if !wanted && self.core.members[member].is_up() {
                    self.core.tell(member, now, Job::Start);
                    self.joined(logs, now, member);
                }
            }
            Due::Kill(member) => {
                if !self.core.members[member].wanted && each!(&self.discipline, it => it.lingers(member)) {
                    self.roster.killed();
                    self.core.process_ends(member, now);
                    let core = &mut self.core;
                    each!(&mut self.discipline, it => it.crash(core, logs, member, now));
                }
            }
            Due::Look => {}
        }
        self.roll_on(logs, now);
    }

    fn roll_on(&mut self, logs: &[&Log], now: u64) {
        let stopped = self.roster.roll_on(&self.core.members, now);
        self.stop(logs, now, stopped);
    }

    fn each_member(&mut self, whom: Whom, act: impl Fn(&mut Self, usize)) {
        let member = match whom {
            Whom::All => return (0..self.core.members.len()).for_each(|member| act(self, member)),
            Whom::Number(number, occurrence) => self.roster.struck(number, occurrence),
            Whom::Any(share, occurrence) => self.roster.struck_any(share, occurrence),
        };
        if let Some(member) = member {
            act(self, member);
        }
    }

    /// Work in hand is late by what the pause adds to one that holds already.
    fn pause(&mut self, logs: &[&Log], now: u64, member: usize, until: u64) {
        let state = &mut self.core.members[member];
        let from = state.paused_until.max(now);
        if until <= from {
            return;
        }
        if state.paused_until <= now {
            state.paused_since = now;
        }
        state.paused_until = until;
        self.core.tell(member, now, Job::Pause(until));
        let core = &mut self.core;
        each!(&mut self.discipline, it => it.pause(core, logs, member, now, until - from));
    }

    fn crash(&mut self, logs: &[&Log], now: u64, member: usize) {
        let state = &mut self.core.members[member];
        // One that is not wanted any more may still have something to finish.
        let lives =
            state.down == 0 && ((state.wanted && !state.stopped) || each!(&self.discipline, it => it.lingers(member)));
        state.down += 1;
        // A pause ends with the process that stood still.
        state.paused_until = 0;
        self.core.process_ends(member, now);
        if lives {
            let core = &mut self.core;
            each!(&mut self.discipline, it => it.crash(core, logs, member, now));
        }
    }

    fn restart(&mut self, logs: &[&Log], now: u64, member: usize) {
        self.core.members[member].down -= 1;
        if self.core.members[member].is_up() {
            self.core.tell(member, now, Job::Start);
            self.joined(logs, now, member);
        }
    }

    fn joined(&mut self, logs: &[&Log], now: u64, member: usize) {
        let core = &mut self.core;
        match &mut self.discipline {
            Discipline::Serial(serial) => serial.regroup(core, logs, now),
            Discipline::Polled(polled) => polled.join(core, logs, member, now),
            Discipline::Queue(queue) => queue.join(core, logs, member, now),
        }
    }

    /// Processes are told to stop.
    fn stop(&mut self, logs: &[&Log], now: u64, members: Vec<usize>) {
        for member in members {
            self.core.members[member].wanted = false;
            let core = &mut self.core;
            match &mut self.discipline {
                Discipline::Serial(serial) => serial.regroup(core, logs, now),
                Discipline::Polled(polled) => polled.leave(core, logs, member, now),
                Discipline::Queue(queue) => queue.leave(core, logs, member, now),
            }
        }
    }

    /// Lowest offset of a topic's partition that the group still needs.
    pub(super) fn keep(&self, slot: usize, partition: usize) -> u64 {
        let lane = self.core.first_lane[slot] + partition;
        each!(&self.discipline, it => it.keep(lane))
    }

    /// Keeps those occurrences of a fault that struck somebody, with the number of whom, where nobody knew before the run.
    pub(super) fn tell_whom(&self, plan: &Plan, seed: u64, fault: usize, found: &mut Vec<Occurrence>) {
        if !plan.is_autoscaled(self.core.index) {
            return;
        }
        let mut number = control::first_occurrence(plan, seed, self.core.index, fault);
        found.retain_mut(|occurrence| {
            if let Some(drawn) = self.roster.drawn(number) {
                occurrence.member = Some(drawn);
            }
            number += 1;
            occurrence.member.is_none() || self.roster.hit(number - 1)
        });
    }

    /// The meter, for what spans groups.
    pub(super) fn meter(&mut self) -> &mut Meter {
        &mut self.core.meter
    }

    /// When the backlog first exceeded the plan's bound.
    pub(super) fn exceeded(&self) -> Option<u64> {
        self.lag.exceeded()
    }

    /// Records handed over one by one.
    pub(super) fn take_trace(&mut self) -> Vec<TraceRecord> {
        self.core.meter.take_trace()
    }

    /// What there is to tell of the event that is watched.
    pub(super) fn take_story(&mut self) -> Story {
        self.core.meter.take_story()
    }

    /// Measured events of each topic that sit in this group's clients, not appended.
    pub(super) fn unsent(&self) -> Vec<(usize, u64)> {
        self.core.outputs.unsent(self.core.warm_up)
    }

    /// Closes the accounts at the end of the run.
    pub(super) fn finish(&mut self, logs: &[&Log], end: u64, faults: &mut [FaultOutcome]) -> ConsumerOutcome {
        self.core.note_available(end);
        self.core.meter.at(end);
        each!(&mut self.discipline, it => it.finish(&mut self.core, logs, end));
        self.lag.close(&mut self.core.meter);
        let mut outcome = ConsumerOutcome::default();
        self.core.meter.finish(&mut outcome);
        outcome.busy = self.core.busy;
        outcome.available = self.core.available;
        outcome.rollout = self.roster.finish();
        outcome.scaling = self.scaler.as_mut().map(|scaler| scaler.finish(end));
        self.lag.finish(self.core.index, &mut outcome, faults);
        outcome
    }
}

/// Whether the serial discipline does all that this consumer asks for.
fn is_serial(plan: &Plan, index: usize, core: &Core) -> bool {
    let consumer = &plan.consumers[index];
    let Dispatch::Log(dispatch) = &consumer.dispatch else { return false };
    !core.delegates
        && consumer.membership == Membership::Immediate
        && dispatch.network.constant().is_some_and(|delay| delay <= 0.0)
        && dispatch.commit_each
        && consumer.settle == Settle::After
        && consumer.workers == 1
        && consumer.batch.is_none()
        && consumer.schedule.is_none()
        && consumer.dead_letter.is_none()
        && plan.replays(index).next().is_none()
        && core.fates.wants_all()
        && core.fates.blocks()
        && core.fates.program.is_silent()
        && consumer.failure.hang <= 0.0
        && consumer.failure.crash <= 0.0
        && core.wire.is_clean()
        && core.clusters.iter().all(Option::is_none)
        && !core.transactional
        && consumer.subscribes.iter().all(|topic| plan.topics[topic.0 as usize].retention.is_none())
        // Which event is the next to be taken, and so poisoned, depends on all members together.
        && !plan.faults.iter().any(|fault| {
            matches!(fault.effect, Effect::Poison(_))
                && matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == index)
        })
}
