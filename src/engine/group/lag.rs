//! Lag over time, and what faults did to it: sampled at 7,200 equal steps of the run, so that results scale with it.

use super::Lag;
use super::meter::Meter;
use crate::engine::setup::{Publisher, Setup};
use crate::engine::timeline::occurrences;
use crate::outcome::{ConsumerOutcome, FaultOutcome, LagOutcome, PartitionLag, Touched};
use crate::plan::{FaultTarget, Plan};
use crate::time::{SimSpan, SimTime};

/// Samples of one run.
const SAMPLES: u64 = 7200;
/// Samples merged into one point of a series.
const MERGED: u64 = 30;

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
    /// All samples of the group's lag: the level before a fault is looked up here.
    history: Vec<u64>,
    trackers: Vec<Tracker>,
}

/// Follows what one fault does to this group.
#[derive(Clone, Debug)]
struct Tracker {
    fault: usize,
    occurrences: Vec<(u64, u64)>,
    at: usize,
    active: Option<Active>,
    touched: Touched,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    to: u64,
    before: u64,
    peak: u64,
    counters: [u64; 3],
}

/// Faults that reach a consumer (its own, those of its publishers and of consumers upstream), with their intervals.
pub(super) fn tracked(plan: &Plan, setup: &Setup, consumer: usize) -> Vec<(usize, Vec<(u64, u64)>)> {
    let upstream = upstream(setup, consumer);
    let reaches = |target: FaultTarget| match target {
        FaultTarget::Consumer(id, _) => upstream.contains(&Publisher::Consumer(id.0 as usize)),
        FaultTarget::ConsumerLink(id) => upstream.contains(&Publisher::Consumer(id.0 as usize)),
        FaultTarget::Producer(id) | FaultTarget::ProducerLink(id) => {
            upstream.contains(&Publisher::Producer(id.0 as usize))
        }
    };
    let faults = plan.faults.iter().enumerate().filter(|(_, fault)| reaches(fault.target));
    faults
        .map(|(number, fault)| {
            let found = occurrences(plan, fault, setup.seed);
            (number, found.iter().map(|o| (o.from, o.to)).collect())
        })
        .collect()
}

/// The consumer itself and all that publish, directly or through others, what it reads.
fn upstream(setup: &Setup, consumer: usize) -> Vec<Publisher> {
    let mut found = vec![Publisher::Consumer(consumer)];
    let mut at = 0;
    while let Some(publisher) = found.get(at).copied() {
        at += 1;
        let Publisher::Consumer(reader) = publisher else { continue };
        for topic in setup.topics.iter().filter(|topic| topic.readers.contains(&reader)) {
            for who in &topic.who {
                if !found.contains(who) {
                    found.push(*who);
                }
            }
        }
    }
    found
}

impl LagMeter {
    pub(super) fn new(plan: &Plan, setup: &Setup, consumer: usize) -> Self {
        let tick = plan.duration.0.div_ceil(SAMPLES).max(1);
        let lanes: usize =
            plan.consumers[consumer].subscribes.iter().map(|t| plan.topics[t.0 as usize].partitions as usize).sum();
        let trackers = tracked(plan, setup, consumer).into_iter().map(|(fault, occurrences)| Tracker {
            fault,
            occurrences,
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
                ..LagOutcome::default()
            },
            exceeded: None,
            bound: plan.backlog_bound,
            history: Vec::new(),
            trackers: trackers.collect(),
        }
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

    /// Takes one sample at `now`.
    pub(super) fn sample(&mut self, now: u64, meter: &Meter, lag: impl Fn(usize) -> Lag) {
        self.next += self.tick;
        let fresh = self.count.is_multiple_of(MERGED);
        self.count += 1;
        let (mut total, mut age) = (0, 0);
        for (lane, partition) in self.out.partitions.iter_mut().enumerate() {
            let one = lag(lane);
            let one_age = one.oldest.map_or(0, |created| now - created.min(now));
            total += one.records;
            age = age.max(one_age);
            partition.max = partition.max.max(one.records);
            partition.end = one.records;
            raise(&mut partition.records, one.records, fresh);
            raise(&mut partition.time, one_age, fresh);
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
        self.out.end = total;
        self.history.push(total);
        for tracker in &mut self.trackers {
            tracker.sample(now, total, meter);
        }
    }

    /// An occurrence of a tracked fault begins.
    pub(super) fn track(&mut self, number: usize, now: u64, meter: &Meter) {
        let tracker = &mut self.trackers[number];
        let Some((from, to)) = tracker.occurrences.get(tracker.at).copied() else { return };
        tracker.at += 1;
        if let Some(active) = tracker.active.take() {
            tracker.touched.not_drained += 1;
            tracker.touched.close(active, meter);
        }
        let ticks = usize::try_from((to.min(self.end) - from).div_ceil(self.tick).max(1))
            .expect("at most the samples of a run");
        let before = self.history.iter().rev().take(ticks).max().copied().unwrap_or(0);
        debug_assert_eq!(from, now);
        tracker.touched.lag_before = tracker.touched.lag_before.max(before);
        tracker.active = Some(Active { to, before, peak: 0, counters: counters(meter) });
    }

    /// The run has ended.
    pub(super) fn close(&mut self, meter: &Meter, end: u64) {
        for tracker in &mut self.trackers {
            if let Some(active) = tracker.active.take() {
                tracker.touched.not_drained += u64::from(active.to < end && active.peak > active.before);
                tracker.touched.close(active, meter);
            }
        }
    }

    /// Writes series and fault traces into outcomes.
    pub(super) fn finish(&mut self, consumer: usize, outcome: &mut ConsumerOutcome, faults: &mut [FaultOutcome]) {
        outcome.lag = std::mem::take(&mut self.out);
        for tracker in &self.trackers {
            faults[tracker.fault].touched.insert(consumer, tracker.touched);
        }
    }
}

impl Tracker {
    fn sample(&mut self, now: u64, total: u64, meter: &Meter) {
        let Some(active) = &mut self.active else { return };
        active.peak = active.peak.max(total);
        if now >= active.to && total <= active.before {
            // Lag that never rose above its level before needs no time to drain.
            let drained = if active.peak > active.before { now - active.to } else { 0 };
            self.touched.drain_time = self.touched.drain_time.max(SimSpan(drained));
            let active = *active;
            self.touched.close(active, meter);
            self.active = None;
        }
    }
}

impl Touched {
    fn close(&mut self, active: Active, meter: &Meter) {
        let [redeliveries, lost, violations] = counters(meter);
        self.lag_peak = self.lag_peak.max(active.peak);
        self.redeliveries += redeliveries - active.counters[0];
        // What was given up may have come back, and taken effect after all.
        self.lost += lost.saturating_sub(active.counters[1]);
        self.violations += violations - active.counters[2];
    }
}

fn counters(meter: &Meter) -> [u64; 3] {
    [meter.duplicates_deliveries, meter.lost.values().sum(), meter.order.violations]
}

fn raise(series: &mut Vec<u64>, value: u64, fresh: bool) {
    match series.last_mut() {
        Some(last) if !fresh => *last = (*last).max(value),
        _ => series.push(value),
    }
}
