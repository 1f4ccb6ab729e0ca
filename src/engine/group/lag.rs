//! Lag over time, and what faults did to it: sampled at 7,200 equal steps of the run, so that results scale with it.

use std::ops::Range;

use super::Lag;
use super::control;
use super::meter::Meter;
use crate::dist::Dist;
use crate::engine::setup::{Publisher, Setup};
use crate::engine::timeline::{Occurrence, occurrences, restart};
use crate::engine::upstream::{faults_upstream, upstream};
use crate::outcome::{ConsumerOutcome, FaultOutcome, LagOutcome, PartitionLag, Touched};
use crate::plan::{
    ClientPlan, ConsumerPlan, Dispatch, Effect, FaultTarget, GroupPlan, Party, Plan, Protocol, Settle, TopicId,
};
use crate::time::{SimSpan, SimTime};

/// Samples of one run.
const SAMPLES: u64 = 7200;
/// Samples merged into one point of a series.
pub(super) const MERGED: u64 = 30;
/// Samples merged into one point of a partition's series.
const PARTITION_MERGED: u64 = 120;

/// Samples the lag of one group.
#[derive(Clone, Debug)]
pub(super) struct LagMeter {
    tick: u64,
    next: u64,
    count: u64,
    end: u64,
    out: LagOutcome,
    /// The first sample above the plan's bound.
    exceeded: Option<u64>,
    bound: u64,
    /// All samples of the group's lag, with what waits in its retry topics: the level before a fault is looked up here.
    history: Vec<u64>,
    /// Number of the first sample since which nobody follows a fault any more.
    quiet: usize,
    /// The level before the latest fault.
    level: u64,
    /// Period of the lag.
    period: u64,
    trackers: Vec<Tracker>,
    /// Events that a poisoning fault will still hit.
    poison_left: u64,
}

/// A fault that reaches a group.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    fault: usize,
    /// Whether it poisons events of this very group.
    poisons: bool,
    /// Its occurrences.
    pub(super) windows: Vec<Window>,
}

/// One occurrence of a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// When it strikes.
    pub(super) from: u64,
    /// When it ends; what strikes in an instant ends at once.
    to: u64,
    /// By when all that it causes has begun: the group has shared out the partitions anew, and delivered again what it must.
    late: u64,
}

/// Follows what one fault does to this group.
#[derive(Clone, Debug)]
struct Tracker {
    tracked: Tracked,
    at: usize,
    active: Option<Active>,
    touched: Touched,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    window: Window,
    before: u64,
    peak: u64,
    /// Since when lag has been back at its level before, the fault being over.
    back: Option<u64>,
    counters: Counters,
}

/// What a fault may do to deliveries, counted since the start of the run.
#[derive(Clone, Copy, Debug)]
struct Counters {
    redeliveries: u64,
    lost: u64,
    violations: u64,
    effects: u64,
    suppressed: u64,
    dead_letters: u64,
}

impl Counters {
    fn of(meter: &mut Meter) -> Self {
        meter.count_recent();
        Self {
            redeliveries: meter.duplicates_deliveries,
            lost: meter.lost.values().sum(),
            violations: meter.order.violations,
            effects: meter.duplicates_effects,
            suppressed: meter.duplicates_suppressed,
            dead_letters: meter.dead_letters,
        }
    }
}

/// Faults that reach a consumer (its own, those of its publishers and of consumers upstream), with their intervals.
pub(super) fn tracked(plan: &Plan, setup: &Setup, consumer: usize) -> Vec<Tracked> {
    let own = |target: FaultTarget| matches!(target, FaultTarget::Consumer(id, _) if id.0 as usize == consumer);
    let faults = faults_upstream(plan, setup, Publisher::Consumer(consumer)).into_iter().map(|number| {
        let fault = &plan.faults[number];
        Tracked {
            fault: number,
            poisons: matches!(fault.effect, Effect::Poison(_)) && own(fault.target),
            windows: windows(plan, setup, number),
        }
    });
    faults.collect()
}

fn windows(plan: &Plan, setup: &Setup, number: usize) -> Vec<Window> {
    let fault = &plan.faults[number];
    let group = match fault.target {
        FaultTarget::Consumer(id, _) => Some(id.0 as usize),
        _ => None,
    };
    let ready = group.and_then(|group| control::restarts(plan, setup, group).remove(&number));
    let late = |n: usize, from: u64, to: u64| {
        if let (Effect::Replay(_), Some(group)) = (&fault.effect, group) {
            return to.saturating_add(full_stop(plan, &plan.consumers[group]));
        }
        if let Some(struck) = setup.clusters.struck.get(&number) {
            return struck.over(n).max(to);
        }
        if let FaultTarget::Relay(party) = fault.target {
            let ready = if fault.effect == Effect::Crash { restart(plan, setup, number, (n, to)) } else { to };
            return ready.saturating_add(way_from(plan, party));
        }
        let Some(policy) = group.map(|group| &plan.consumers[group]) else { return to };
        let Some(membership) = policy.membership.group() else { return to };
        let expelled = from.saturating_add(membership.session_timeout.0);
        match (&fault.effect, &ready) {
            // Whoever takes a seat that is kept has what it had.
            (Effect::Crash, Some(ready)) if membership.fixed && ready[n] < expelled => {
                ready[n].saturating_add(regrouping(plan, policy))
            }
            (Effect::Crash, Some(ready)) => ready[n].max(expelled).saturating_add(regrouping(plan, policy)),
            (Effect::Pause, _) if expelled <= to => to.saturating_add(regrouping(plan, policy)),
            _ => to,
        }
    };
    let window = |(n, o): (usize, &Occurrence)| {
        let to = if matches!(fault.effect, Effect::Poison(_)) { o.from } else { o.to };
        Window { from: o.from, to, late: late(n, o.from, to) }
    };
    occurrences(plan, fault, setup.seed).iter().enumerate().map(window).collect()
}

/// How long what an outbox's relay publishes takes, usually at most, until it can be seen: twice the means of all stages.
fn way_from(plan: &Plan, party: Party) -> u64 {
    let clients = match party {
        Party::Producer(id) => &plan.producers[id.0 as usize].clients,
        Party::Service(id) => &plan.services[id.0 as usize].clients,
        Party::Consumer(id) => &plan.consumers[id.0 as usize].clients,
    };
    let way = |(topic, client): &(TopicId, ClientPlan)| {
        let store = &plan.topics[topic.0 as usize].store;
        let stages = [&store.network, &store.append, &store.replicate].map(Dist::mean);
        let linger = client.batching.as_ref().map_or(0, |batching| batching.linger.0);
        linger.saturating_add(SimSpan::from_nanos_f64(stages.iter().sum()).0).saturating_mul(2)
    };
    clients.iter().map(way).max().unwrap_or(0)
}

/// How long a group takes, usually at most, from the news about a member until it has delivered again what it must: all
/// hear of it, end the poll in hand, join, and begin with what the polls of the members that are gone had held.
fn regrouping(plan: &Plan, policy: &ConsumerPlan) -> u64 {
    let Some(GroupPlan { heartbeat, rebalance_timeout, join, protocol, assignment_interval, .. }) =
        policy.membership.group()
    else {
        return 0;
    };
    let Dispatch::Log(log) = &policy.dispatch else { return 0 };
    let work = plan.mean_time(&policy.handler);
    let poll = SimSpan::from_nanos_f64(work * f64::from(log.max_poll_records)).0.min(rebalance_timeout.0);
    let join = SimSpan::from_nanos_f64(2.0 * join.mean()).0;
    let round = [heartbeat.0, poll, join].into_iter().fold(0, u64::saturating_add);
    let rounds = match protocol {
        Protocol::Eager => round,
        // What moves between members moves with a second round, or with the heartbeat of a second member.
        Protocol::Cooperative => round.saturating_mul(2),
        Protocol::Incremental => round.saturating_mul(2).saturating_add(assignment_interval.0),
    };
    rounds.saturating_add(poll)
}

/// How long a group takes, usually at most, until it reads again after operators have stopped all of it: seats that are kept
/// are waited for, and processes start in twice their mean time.
fn full_stop(plan: &Plan, policy: &ConsumerPlan) -> u64 {
    let startup = SimSpan::from_nanos_f64(2.0 * policy.startup.mean()).0;
    let group = policy.membership.group().map_or(0, |group| {
        let seats = if group.fixed { group.session_timeout.0 } else { 0 };
        seats.saturating_add(group.initial_delay.0).saturating_add(regrouping(plan, policy))
    });
    group.saturating_add(startup)
}

/// The period of a lag that rises and falls in turn, a little more; 0: it does not. Lag is at its level before when it has
/// been there for so long.
fn period(plan: &Plan, setup: &Setup, consumer: usize) -> u64 {
    let commits = match plan.consumers[consumer].settle {
        Settle::Timer(every) => every.0,
        Settle::After | Settle::Before => 0,
    };
    let groups =
        upstream(plan, setup, Publisher::Consumer(consumer)).into_iter().filter_map(|publisher| match publisher {
            Publisher::Consumer(group) | Publisher::Retry(group) => plan.consumers[group].schedule,
            Publisher::Producer(_) | Publisher::Service(_) => None,
        });
    let longest = groups.map(|schedule| schedule.every.0).max().unwrap_or(0).max(commits);
    longest.saturating_add(longest / 4)
}

impl LagMeter {
    pub(super) fn new(plan: &Plan, setup: &Setup, consumer: usize) -> Self {
        let tick = plan.duration.0.div_ceil(SAMPLES).max(1);
        let lanes: usize =
            plan.consumers[consumer].subscribes.iter().map(|t| plan.topics[t.0 as usize].partitions as usize).sum();
        let trackers = tracked(plan, setup, consumer).into_iter().map(|tracked| Tracker {
            tracked,
            at: 0,
            active: None,
            touched: Touched::default(),
        });
        Self {
            tick,
            next: tick,
            count: 0,
            end: setup.end,
            out: LagOutcome {
                interval: SimSpan(tick * MERGED),
                partitions: vec![PartitionLag::default(); lanes],
                partition_interval: SimSpan(tick * PARTITION_MERGED),
                ..LagOutcome::default()
            },
            exceeded: None,
            bound: plan.backlog_bound,
            history: Vec::new(),
            quiet: 0,
            level: 0,
            period: period(plan, setup, consumer),
            trackers: trackers.collect(),
            poison_left: 0,
        }
    }

    /// Measurement begins: what was largest before does not count.
    pub(super) fn warm(&mut self) {
        (self.out.max, self.out.max_at) = (0, SimTime::ZERO);
        (self.out.time_max, self.out.time_max_at) = (0, SimTime::ZERO);
        self.out.retrying_max = 0;
        for partition in &mut self.out.partitions {
            (partition.max, partition.time_max) = (0, 0);
        }
    }

    /// How many events a poisoning fault will still hit.
    #[inline]
    pub(super) fn poison_left(&mut self, events: u64) {
        self.poison_left = events;
    }

    /// Time of the next sample; none at or after the end but the last.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        if self.next >= self.end { u64::MAX } else { self.next }
    }

    /// When the lag first exceeded the plan's bound.
    pub(super) fn exceeded(&self) -> Option<u64> {
        self.exceeded
    }

    /// Takes one sample at `now`; `retries` are the lanes of retry topics.
    pub(super) fn sample(&mut self, now: u64, meter: &mut Meter, retries: Range<usize>, lag: impl Fn(usize) -> Lag) {
        self.next += self.tick;
        let fresh = self.count.is_multiple_of(MERGED);
        let fresh_partition = self.count.is_multiple_of(PARTITION_MERGED);
        let series = self.out.partitions.len() <= PartitionLag::MOST_SERIES;
        self.count += 1;
        let (mut total, mut age) = (0, 0);
        for (lane, partition) in self.out.partitions.iter_mut().enumerate() {
            let one = lag(lane);
            let one_age = one.oldest.map_or(0, |created| now - created.min(now));
            total += one.records;
            age = age.max(one_age);
            partition.max = partition.max.max(one.records);
            partition.time_max = partition.time_max.max(one_age);
            partition.end = one.records;
            if series {
                raise(&mut partition.records, one.records, fresh_partition);
                raise(&mut partition.time, one_age, fresh_partition);
            }
        }
        raise(&mut self.out.records, total, fresh);
        raise(&mut self.out.time, age, fresh);
        if total > self.out.max {
            (self.out.max, self.out.max_at) = (total, SimTime(now));
        }
        if age > self.out.time_max {
            (self.out.time_max, self.out.time_max_at) = (age, SimTime(now));
        }
        if total > self.bound && self.exceeded.is_none() {
            self.exceeded = Some(now);
        }
        (self.out.end, self.out.time_end) = (total, age);
        // What a fault made fail is not over while it waits to be tried again.
        let retrying: u64 = retries.map(|lane| lag(lane).records).sum();
        (self.out.retrying_max, self.out.retrying_end) = (self.out.retrying_max.max(retrying), retrying);
        total += retrying;
        self.history.push(total);
        for tracker in &mut self.trackers {
            let poisoned = tracker.tracked.poisons && self.poison_left > 0;
            if tracker.sample((now, self.tick), total, (poisoned, self.period), meter) {
                self.quiet = self.history.len();
            }
        }
    }

    /// An occurrence of a tracked fault begins.
    pub(super) fn track(&mut self, number: usize, now: u64, meter: &mut Meter) {
        let Some(window) = self.trackers[number].tracked.windows.get(self.trackers[number].at).copied() else { return };
        debug_assert_eq!(window.from, now);
        self.level = self.level_before(window);
        let before = self.level;
        let tracker = &mut self.trackers[number];
        tracker.at += 1;
        tracker.close(now, meter);
        tracker.touched.lag_before = tracker.touched.lag_before.max(before);
        tracker.active = Some(Active { window, before, peak: 0, back: None, counters: Counters::of(meter) });
    }

    /// The largest sample in as long a time before as the occurrence lasts, and not less than 30 samples or two periods; but
    /// not of the time in which another is followed: then, and where there are few samples since, its level before counts.
    fn level_before(&self, window: Window) -> u64 {
        let lasts = (window.to.min(self.end) - window.from).max(self.period.saturating_mul(2)).div_ceil(self.tick);
        let wanted = usize::try_from(lasts.max(MERGED)).expect("at most the samples of a run");
        let followed = self.trackers.iter().any(|tracker| tracker.active.is_some());
        let quiet = &self.history[if followed { self.history.len() } else { self.quiet }..];
        let seen = quiet.iter().rev().take(wanted).max().copied().unwrap_or(0);
        // A lag that rises and falls does so partition by partition: how high all of them come together changes slowly.
        if quiet.len() < wanted || self.period > 0 { seen.max(self.level) } else { seen }
    }

    /// The run has ended.
    pub(super) fn close(&mut self, meter: &mut Meter) {
        let end = self.end;
        self.trackers.iter_mut().for_each(|tracker| tracker.close(end, meter));
    }

    /// Writes series and fault traces into outcomes.
    pub(super) fn finish(&mut self, consumer: usize, outcome: &mut ConsumerOutcome, faults: &mut [FaultOutcome]) {
        outcome.lag = std::mem::take(&mut self.out);
        for tracker in &self.trackers {
            faults[tracker.tracked.fault].touched.insert(consumer, tracker.touched);
        }
    }
}

impl Tracker {
    /// One sample of the lag; `poisoned`: events that the fault will hit are still to come. Whether this was the last.
    fn sample(
        &mut self,
        (now, tick): (u64, u64),
        total: u64,
        (poisoned, period): (bool, u64),
        meter: &mut Meter,
    ) -> bool {
        let Some(active) = &mut self.active else { return false };
        active.peak = active.peak.max(total);
        if now < active.window.to || total > active.before {
            // A little above is where chance takes a lag that is back, too.
            if now < active.window.to || total > active.before + active.before / 8 + 3 {
                active.back = None;
            }
            return false;
        }
        let back = *active.back.get_or_insert(now);
        let over = now >= active.window.late.saturating_add(tick) && now - back >= period && !poisoned;
        if over {
            self.close(now, meter);
        }
        over
    }

    /// All that the occurrence caused is over, or nobody follows it further.
    fn close(&mut self, now: u64, meter: &mut Meter) {
        let Some(active) = self.active.take() else { return };
        match active.back {
            None => {
                let followed = SimSpan(now.saturating_sub(active.window.to));
                self.touched.not_drained += 1;
                self.touched.undrained = self.touched.undrained.max(followed);
            }
            // Lag that never rose above its level before needs no time to drain.
            Some(_) if active.peak <= active.before => {}
            Some(back) => self.touched.drain_time = self.touched.drain_time.max(SimSpan(back - active.window.to)),
        }
        let (then, counters) = (active.counters, Counters::of(meter));
        self.touched.lag_peak = self.touched.lag_peak.max(active.peak);
        self.touched.redeliveries += counters.redeliveries - then.redeliveries;
        // What was given up may have come back, and taken effect after all.
        self.touched.lost += counters.lost.saturating_sub(then.lost);
        self.touched.violations += counters.violations - then.violations;
        self.touched.effects += counters.effects - then.effects;
        self.touched.suppressed += counters.suppressed - then.suppressed;
        self.touched.dead_letters += counters.dead_letters - then.dead_letters;
    }
}

fn raise(series: &mut Vec<u64>, value: u64, fresh: bool) {
    match series.last_mut() {
        Some(last) if !fresh => *last = (*last).max(value),
        _ => series.push(value),
    }
}
