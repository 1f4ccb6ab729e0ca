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
pub(super) mod meter;
pub(super) mod order;
mod outputs;
mod polled;
mod queue;
mod retries;
mod run;
mod serial;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) use fate::slowed;

use control::{Control, Timeline};
use fate::{Conditions, Fate, Fates};
use lag::LagMeter;
use meter::{Meter, MeterSetup};
use outputs::Outputs;
use polled::Polled;
use queue::Queue;
use retries::{Retries, Subject};
use run::{Held, Item};
use serial::Serial;
use wire::Wire;

use super::cluster::Cluster;
use super::delegate::{Ended, Job};
use super::journeys::Notes;
use super::log::{EventCode, Extra, Lane, Log, Record};
use super::setup::{Publisher, Rounding, Setup};
use super::timeline::Link;
use super::topic::Inbox;
use crate::dist::{About, Dist};
use crate::outcome::{ConsumerOutcome, DeliveryResult, FaultOutcome, Story, TraceRecord};
use crate::partition::by_range;
use crate::plan::{ConsumerId, ConsumerPlan, Dispatch, Effect, FaultTarget, Membership, Plan, Settle, WorkerOrder};
use crate::random::Stream;
use crate::time::SimTime;

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

/// The outer conditions of one member.
#[derive(Clone, Debug)]
struct MemberConditions {
    /// Part of the group's wanted size.
    wanted: bool,
    /// Crashes that hold it down.
    down: u32,
    /// Service takes so many times as long: the product of all slow-downs.
    slow: f64,
    slows: Vec<(usize, f64)>,
    fails: Vec<(usize, f64)>,
    /// Stands still until then, and since when.
    paused_until: u64,
    paused_since: u64,
    /// So many of the next events that it takes are poisoned.
    poison_left: u64,
    /// Times that a handler took the process with it.
    crashes: u64,
}

impl MemberConditions {
    /// As a run begins.
    fn new(wanted: bool) -> Self {
        Self {
            wanted,
            down: 0,
            slow: 1.0,
            slows: Vec::new(),
            fails: Vec::new(),
            paused_until: 0,
            paused_since: 0,
            poison_left: 0,
            crashes: 0,
        }
    }

    fn is_up(&self) -> bool {
        self.wanted && self.down == 0
    }
}

/// What all disciplines share.
#[derive(Clone, Debug)]
pub(super) struct Core {
    index: usize,
    warm_up: u64,
    end: u64,
    rounding: Rounding,
    workers: u32,
    fates: Fates,
    meter: Meter,
    /// Topics read, by slot.
    topics: Vec<usize>,
    lanes: Vec<LaneId>,
    /// First lane of each slot.
    first_lane: Vec<usize>,
    members: Vec<MemberConditions>,
    /// So many of the next events that any member takes are poisoned.
    poison_left: u64,
    /// Events that never succeed, by slot and number.
    poisoned: BTreeSet<(usize, u32)>,
    serial_is_plain: bool,
    outputs: Outputs,
    /// Topics whose events it subscribes to; those after them are its retry topics.
    subscribed: usize,
    retries: Retries,
    /// Whether handlers run in the mesh; attempts begun there, and what it has yet to be told: when, of whom, what.
    delegates: bool,
    begun: u64,
    jobs: Vec<(u64, usize, Job)>,
    wire: Wire,
    /// By slot: the topic's bus, where its nodes fail.
    clusters: Vec<Option<Arc<Cluster>>>,
    held: Held,
    /// Longest time without progress, of a handler that never returns or of a member between two polls.
    progress_timeout: u64,
    startup: Dist,
    restarts: Stream,
    seed: u64,
    name: String,
    /// Worker time spent since the warm-up, ns.
    busy: u128,
    available: u128,
    available_since: u64,
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
        let core = Core::new(plan, setup, index, options);
        let consumer = &plan.consumers[index];
        let discipline = match &consumer.dispatch {
            Dispatch::Queue(dispatch) => Discipline::Queue(Box::new(Queue::new(&core, consumer, dispatch))),
            Dispatch::Log(_) if !options.general && is_serial(plan, index, &core) => {
                Discipline::Serial(Box::new(Serial::new(&core)))
            }
            Dispatch::Log(dispatch) => Discipline::Polled(Box::new(Polled::new(&core, plan, consumer, dispatch))),
        };
        let (timeline, lag) = (Timeline::new(plan, setup, index), LagMeter::new(plan, setup, index));
        Self { control: timeline.next().min(lag.next()), timeline, lag, core, discipline }
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
        if self.timeline.next() == control {
            let event = self.timeline.take();
            self.apply(logs, control, event);
            if let Discipline::Serial(serial) = &mut self.discipline {
                serial.heed(&self.core);
            }
        } else {
            self.sample(logs, control);
        }
        self.control = self.timeline.next().min(self.lag.next());
    }

    /// Hands all that the group has published to the topics.
    #[inline]
    pub(super) fn deliver(&mut self, inboxes: &mut [Inbox]) {
        self.core.outputs.deliver(inboxes);
    }

    fn sample(&mut self, logs: &[&Log], now: u64) {
        let Self { core, discipline, lag, .. } = self;
        lag.poison_left(core.poison_left);
        let log_lane = |lane: usize| &logs[core.lanes[lane].slot].lanes[core.lanes[lane].partition as usize];
        match discipline {
            Discipline::Serial(it) => lag.sample(now, &mut core.meter, |lane| it.lag(lane, log_lane(lane), now)),
            Discipline::Polled(it) => lag.sample(now, &mut core.meter, |lane| it.lag(lane, log_lane(lane), now)),
            Discipline::Queue(it) => lag.sample(now, &mut core.meter, |lane| it.lag(lane, log_lane(lane), now)),
        }
    }

    #[cold]
    fn apply(&mut self, logs: &[&Log], now: u64, event: Control) {
        self.core.note_available(now);
        match event {
            Control::WarmUp => {
                self.core.busy = 0;
                self.core.available = 0;
                self.core.meter.warm();
                self.lag.warm();
                each!(&mut self.discipline, it => it.warm(now));
            }
            Control::Track(tracker) => self.lag.track(tracker, now, &mut self.core.meter),
            Control::Crash(member) => self.each_member(member, |group, m| group.crash(logs, now, m)),
            Control::Restart(member) => self.each_member(member, |group, m| group.restart(logs, now, m)),
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
            Control::Poison(None, count) => self.core.poison_left += count,
            Control::Poison(Some(member), count) => self.core.members[member as usize].poison_left += count,
            Control::Scale(size) => self.scale(logs, now, size as usize),
            Control::Join(member) => {
                // One that a crash holds down joins when it is started again.
                if !std::mem::replace(&mut self.core.members[member].wanted, true) && self.core.members[member].is_up()
                {
                    self.joined(logs, now, member);
                }
            }
        }
    }

    fn each_member(&mut self, member: Option<u32>, act: impl Fn(&mut Self, usize)) {
        match member {
            Some(member) => act(self, member as usize),
            None => (0..self.core.members.len()).for_each(|member| act(self, member)),
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
        let lives = state.down == 0 && (state.wanted || each!(&self.discipline, it => it.lingers(member)));
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

    fn scale(&mut self, logs: &[&Log], now: u64, size: usize) {
        for member in size..self.core.members.len() {
            if std::mem::take(&mut self.core.members[member].wanted) {
                let core = &mut self.core;
                match &mut self.discipline {
                    Discipline::Serial(serial) => serial.regroup(core, logs, now),
                    Discipline::Polled(polled) => polled.leave(core, logs, member, now),
                    Discipline::Queue(queue) => queue.leave(core, logs, member, now),
                }
            }
            self.timeline.cancel_joins(member);
        }
        for member in 0..size {
            if !self.core.members[member].wanted {
                self.timeline.join_after_startup(member, now);
            }
        }
    }

    /// Lowest offset of a topic's partition that the group still needs.
    pub(super) fn keep(&self, slot: usize, partition: usize) -> u64 {
        let lane = self.core.first_lane[slot] + partition;
        each!(&self.discipline, it => it.keep(lane))
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
        self.lag.finish(self.core.index, &mut outcome, faults);
        outcome
    }
}

fn remove_one(list: &mut Vec<(usize, f64)>, fault: usize) {
    if let Some(at) = list.iter().position(|(f, _)| *f == fault) {
        list.remove(at);
    }
}

impl MemberConditions {
    /// The product of all factors, in the order of the faults (the same rounding whatever came first).
    fn refresh(&mut self) {
        self.slows.sort_by_key(|(fault, _)| *fault);
        self.slow = self.slows.iter().map(|(_, factor)| factor).product();
    }
}

impl Core {
    /// Counts the attempts of a delivery that has ended, whatever its end; those that are cut off have not been made.
    #[inline]
    fn count_attempts(&mut self, created: u64, attempts: u32, end: fate::End) {
        if created >= self.warm_up {
            self.meter.attempts += u64::from(attempts);
            self.meter.failures += u64::from(attempts - u32::from(end == fate::End::Success));
        }
    }

    fn new(plan: &Plan, setup: &Setup, index: usize, options: GroupOptions) -> Self {
        let consumer = &plan.consumers[index];
        let retry_topics = consumer.retry_topics.iter().flat_map(|retries| retries.topics.iter().flatten());
        let topics: Vec<usize> = consumer.subscribes.iter().chain(retry_topics).map(|topic| topic.0 as usize).collect();
        let subscribed = consumer.subscribes.len();
        let mut lanes = Vec::new();
        let mut first_lane = Vec::new();
        for (slot, topic) in topics.iter().enumerate() {
            first_lane.push(lanes.len());
            lanes.extend((0..setup.topics[*topic].partitions).map(|partition| LaneId { slot, partition }));
        }
        let retries = Retries::new(consumer, first_lane.get(subscribed).copied().unwrap_or(lanes.len()));
        let fed_by_consumers =
            |topic: &usize| setup.topics[*topic].who.iter().any(|w| matches!(w, Publisher::Consumer(_)));
        let meter = Meter::new(MeterSetup {
            consumer: index,
            warm_up: setup.warm_up,
            course: setup.course.clone(),
            topics: topics.iter().map(|topic| (*topic, &setup.topics[*topic])).collect(),
            intervals: plan.intervals_of(index),
            idempotent: consumer.idempotent,
            path: topics[..subscribed].iter().any(fed_by_consumers),
            trace: options.trace,
            notes: Notes::new(&setup.follow, setup.follow.consumers[index]),
            in_order: keeps_order(consumer),
            watched: setup.watched,
        });
        let topic_setups: Vec<_> = topics.iter().map(|topic| &setup.topics[*topic]).collect();
        let fates = Fates::new(consumer, setup.seed, setup.rounding, &topic_setups, options.in_order);
        let members = plan.most_members(index);
        Self {
            index,
            warm_up: setup.warm_up,
            end: setup.end,
            rounding: setup.rounding,
            workers: consumer.workers,
            serial_is_plain: fates.is_plain() && topics.iter().all(|topic| !setup.topics[*topic].rich),
            fates,
            meter,
            lanes,
            first_lane,
            members: (0..members).map(|member| MemberConditions::new(member < consumer.members)).collect(),
            poison_left: 0,
            poisoned: BTreeSet::new(),
            outputs: Outputs::new(setup, index, members),
            subscribed,
            retries,
            delegates: setup.delegates[index],
            begun: 0,
            jobs: Vec::new(),
            wire: wire(plan, setup, index, members as usize),
            clusters: topics.iter().map(|topic| setup.clusters.topics.get(topic).cloned()).collect(),
            held: Held::default(),
            progress_timeout: match &consumer.membership {
                Membership::Immediate => u64::MAX,
                Membership::Eager { rebalance_timeout, .. } => rebalance_timeout.0,
            },
            startup: consumer.startup.clone(),
            restarts: Stream::named(setup.seed, &format!("{}/restart", consumer.name)),
            seed: setup.seed,
            name: consumer.name.clone(),
            busy: 0,
            available: 0,
            available_since: 0,
            topics,
        }
    }

    #[inline]
    fn log_lane<'a>(&self, logs: &[&'a Log], lane: usize) -> &'a Lane {
        let id = self.lanes[lane];
        &logs[id.slot].lanes[id.partition as usize]
    }

    /// What a record carries beside what every reader needs.
    fn extra(&self, logs: &[&Log], lane: usize, offset: u64) -> Extra {
        let id = self.lanes[lane];
        logs[id.slot].extra(id.partition, offset)
    }

    fn note_available(&mut self, now: u64) {
        let up = self.members.iter().filter(|member| member.is_up()).count() as u128;
        self.available += up * u128::from(self.workers) * u128::from(now.min(self.end) - self.available_since.min(now));
        self.available_since = now;
    }

    /// Whether messages are plain, and nothing but slow-downs touches a member.
    #[inline]
    fn is_plain(&self, member: usize) -> bool {
        self.serial_is_plain && self.members[member].fails.is_empty()
    }

    /// What a delivery that starts now at a member meets, whatever its event.
    fn conditions(&self, member: usize) -> Conditions {
        let state = &self.members[member];
        if state.fails.is_empty() {
            return Conditions { slow: state.slow, fail: 0.0, poisoned: false };
        }
        // Failing for several reasons at once: the chance that none of them strikes is the product.
        let fail = 1.0 - state.fails.iter().map(|(_, share)| 1.0 - share).product::<f64>();
        Conditions { slow: state.slow, fail, poisoned: false }
    }

    /// What becomes of a record that a member takes now, for the first time.
    #[inline(never)]
    fn fate(&mut self, slot: usize, record: &Record, extra: Extra, member: usize) -> Fate {
        let about = self.fates.about(slot, record, extra);
        let (id, conditions) = (self.fates.id(slot, record.event), self.conditions(member));
        self.fates.fate(&[id], about, (1, 1), conditions)
    }

    /// Whether an event that a member's handler takes never succeeds: once poisoned it stays so, wherever it goes.
    fn is_poisoned(&mut self, member: usize, slot: usize, event: u32) -> bool {
        let event = (slot, EventCode::plain(event));
        let own = &mut self.members[member].poison_left;
        let left = if self.poison_left > 0 { &mut self.poison_left } else { own };
        if *left == 0 && self.poisoned.is_empty() {
            return false;
        }
        if *left > 0 && self.poisoned.insert(event) {
            *left -= 1;
        }
        self.poisoned.contains(&event)
    }

    /// A handler takes its process with it; when the next one is ready.
    fn crash_itself(&mut self, member: usize, now: u64) -> u64 {
        self.note_available(now);
        self.process_ends(member, now);
        let state = &mut self.members[member];
        state.down += 1;
        state.crashes += 1;
        let mut draws = self.restarts.part(member as u64).at(state.crashes);
        now.saturating_add(self.rounding.up(self.startup.whole(&mut draws, About::default())).max(1))
    }

    /// A process is gone, with all that its clients had not sent and all that it had begun in the mesh.
    fn process_ends(&mut self, member: usize, now: u64) {
        self.outputs.abandon(member, now);
        self.tell(member, now, Job::CutOff);
    }

    /// Tells the mesh of a member, where it runs its handlers.
    #[inline]
    fn tell(&mut self, member: usize, now: u64, job: Job) {
        if self.delegates {
            self.jobs.push((now, member, job));
        }
    }

    /// The slow-downs of a member are others.
    fn slow_changes(&mut self, member: usize, now: u64) {
        self.members[member].refresh();
        self.tell(member, now, Job::Slow(self.members[member].slow));
    }

    /// A member publishes what it has given up.
    fn dead_letter(&mut self, member: usize, topic: usize, record: &Record, extra: Extra, now: u64) {
        if self.delegates {
            self.tell(member, now, Job::DeadLetter(topic, record.key, extra.event_type, extra.lineage));
        } else {
            let what = (record.key, extra.event_type, 1024);
            let _ = self.outputs.publish(member, topic, now, what, extra.lineage, None);
        }
    }

    /// The next process is ready; whether it is to join.
    fn restart_itself(&mut self, member: usize, now: u64) -> bool {
        self.note_available(now);
        self.members[member].down -= 1;
        self.members[member].is_up()
    }

    /// Counts a handler's taking a record, `again` if one had before.
    fn count_delivery(&mut self, slot: usize, record: &Record, again: bool) {
        let measured = u64::from(record.created >= self.warm_up);
        self.meter.duplicates_deliveries += measured * u64::from(again);
        self.meter.deliveries += measured;
        self.meter.overlap += measured * u64::from(self.held.take(slot, record.key));
    }

    /// A handler that has ended or was cut off holds its record no longer: keeps a record of the delivery, where the run
    /// was asked to. Its number, or 0.
    fn let_go(&mut self, logs: &[&Log], item: Item, (start, done): (u64, u64), result: DeliveryResult) -> u32 {
        let id = self.lanes[item.lane];
        let Subject { slot, record, .. } = self.subject(logs, item.lane, item.offset);
        self.held.release(slot, record.key);
        if self.meter.traces() {
            let mut trace = self.meter.trace_of(slot, id.partition, item.offset, &record);
            trace.visible = SimTime(self.log_lane(logs, item.lane).at(item.offset).visible);
            trace.retry = self.retries.number(slot, id.slot);
            (trace.start, trace.done, trace.result) = (SimTime(start), SimTime(done), result);
            return self.meter.trace(trace);
        }
        0
    }

    /// Partitions given to live members.
    fn assign(&self, live: &[usize]) -> Vec<Option<usize>> {
        let mut partitions = vec![0; self.topics.len()];
        self.lanes.iter().for_each(|lane| partitions[lane.slot] += 1);
        by_range(&partitions, live.len()).into_iter().map(|owner| owner.map(|place| live[place])).collect()
    }
}

/// Whether what one partition holds of a key is done in order, as long as nothing goes wrong.
fn keeps_order(consumer: &ConsumerPlan) -> bool {
    match consumer.dispatch {
        Dispatch::Log(_) => consumer.workers <= 1 || consumer.order != WorkerOrder::None || consumer.batch.is_some(),
        Dispatch::Queue(_) => false,
    }
}

/// The way between a consumer's bus and its members.
fn wire(plan: &Plan, setup: &Setup, index: usize, members: usize) -> Wire {
    let consumer = &plan.consumers[index];
    let stream = |purpose: &str| Stream::named(setup.seed, &format!("{}/{purpose}", consumer.name));
    let (network, draws) = match &consumer.dispatch {
        Dispatch::Log(dispatch) => (&dispatch.network, stream("fetch")),
        Dispatch::Queue(dispatch) => (&dispatch.network, stream("push")),
    };
    let id = ConsumerId(u32::try_from(index).expect("consumers fit 32 bits"));
    let link = Link::of(plan, setup.seed, |target| target == FaultTarget::ConsumerLink(id));
    Wire::new(network, link, [draws, stream("link")], setup.rounding, members)
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
        && core.fates.wants_all()
        && core.fates.blocks()
        && core.fates.program.is_silent()
        && consumer.failure.hang <= 0.0
        && consumer.failure.crash <= 0.0
        && core.wire.is_clean()
        && core.clusters.iter().all(Option::is_none)
        && consumer.subscribes.iter().all(|topic| plan.topics[topic.0 as usize].retention.is_none())
        // Which event is the next to be taken, and so poisoned, depends on all members together.
        && !plan.faults.iter().any(|fault| {
            matches!(fault.effect, Effect::Poison(_))
                && matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == index)
        })
}
