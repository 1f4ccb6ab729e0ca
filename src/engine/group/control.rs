//! The control timeline of a group: faults and planned changes, sorted by time, known before the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::dist::{About, Dist};
use crate::engine::setup::Setup;
use crate::engine::timeline::{occurrences, sizes};
use crate::plan::{ConsumerId, Effect, FaultPlan, FaultTarget, Plan};
use crate::random::Stream;

/// One thing that happens to a group from outside. A member of `None` is all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Control {
    /// Measurement begins.
    WarmUp,
    /// A fault whose traces this group follows begins: number of the tracker.
    Track(usize),
    /// The process ends.
    Crash(Option<u32>),
    /// The process is ready again.
    Restart(Option<u32>),
    /// It stands still until this time.
    Pause(Option<u32>, u64),
    /// It slows down: fault, factor.
    SlowOn(Option<u32>, usize, f64),
    /// That ends.
    SlowOff(Option<u32>, usize),
    /// Attempts fail: fault, share.
    FailOn(Option<u32>, usize, f64),
    /// That ends.
    FailOff(Option<u32>, usize),
    /// So many of the next events that it takes never succeed.
    Poison(Option<u32>, u64),
    /// The group shall have so many members.
    Scale(u32),
    /// A new member is ready.
    Join(usize),
}

/// Control events in order of time; those of one time in the order of the plan.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    planned: Vec<(u64, Control)>,
    at: usize,
    joins: BinaryHeap<Reverse<(u64, usize)>>,
    startup: Dist,
    startup_stream: Stream,
    startups: u64,
}

/// When the processes that crashes of a consumer end are ready again, by fault and occurrence.
pub(super) fn restarts(plan: &Plan, setup: &Setup, consumer: usize) -> BTreeMap<usize, Vec<u64>> {
    let policy = &plan.consumers[consumer];
    let stream = Stream::named(setup.seed, &format!("{}/startup", policy.name));
    let mut number = 0;
    let mut ready = |ends: u64| {
        number += 1;
        let startup = policy.startup.whole(&mut stream.at(number), About::default());
        ends.saturating_add(setup.rounding.up(startup))
    };
    let own = |fault: &FaultPlan| matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == consumer);
    let crashes = plan.faults.iter().enumerate().filter(|(_, fault)| fault.effect == Effect::Crash && own(fault));
    crashes
        .map(|(fault, policy)| (fault, occurrences(plan, policy, setup.seed).iter().map(|o| ready(o.to)).collect()))
        .collect()
}

impl Timeline {
    pub(super) fn new(plan: &Plan, setup: &Setup, consumer: usize) -> Self {
        let startup_stream = Stream::named(setup.seed, &format!("{}/startup", plan.consumers[consumer].name));
        let mut timeline = Self {
            planned: Vec::new(),
            at: 0,
            joins: BinaryHeap::new(),
            startup: plan.consumers[consumer].startup.clone(),
            startup_stream,
            startups: 1 << 32,
        };
        timeline.add_trackers(plan, setup, consumer);
        if setup.warm_up > 0 {
            timeline.push(setup.warm_up, Control::WarmUp);
        }
        timeline.add_faults(plan, setup, consumer);
        timeline.add_changes(plan, consumer);
        timeline.planned.retain(|(at, _)| *at < setup.end);
        timeline.planned.sort_by_key(|(at, _)| *at);
        timeline
    }

    fn add_trackers(&mut self, plan: &Plan, setup: &Setup, consumer: usize) {
        for (tracker, starts) in super::lag::tracked(plan, setup, consumer).into_iter().enumerate() {
            for window in starts.windows {
                self.push(window.from, Control::Track(tracker));
            }
        }
    }

    fn add_faults(&mut self, plan: &Plan, setup: &Setup, consumer: usize) {
        let id = ConsumerId(u32::try_from(consumer).expect("consumers fit 32 bits"));
        let restarts = restarts(plan, setup, consumer);
        for (number, fault) in plan.faults.iter().enumerate() {
            if !matches!(fault.target, FaultTarget::Consumer(target, _) if target == id) {
                continue;
            }
            for (n, o) in occurrences(plan, fault, setup.seed).into_iter().enumerate() {
                let m = o.member;
                // What begins an occurrence stands before what ends it, also where it has no length.
                match fault.effect {
                    Effect::Crash => {
                        self.push(o.from, Control::Crash(m));
                        self.push(restarts[&number][n], Control::Restart(m));
                    }
                    Effect::Pause => self.push(o.from, Control::Pause(m, o.to)),
                    Effect::Slow(factor) => {
                        self.push(o.from, Control::SlowOn(m, number, factor));
                        self.push(o.to, Control::SlowOff(m, number));
                    }
                    Effect::Fail(share) => {
                        self.push(o.from, Control::FailOn(m, number, share));
                        self.push(o.to, Control::FailOff(m, number));
                    }
                    Effect::Poison(count) => self.push(o.from, Control::Poison(m, count)),
                    _ => {}
                }
            }
        }
    }

    fn add_changes(&mut self, plan: &Plan, consumer: usize) {
        let id = ConsumerId(u32::try_from(consumer).expect("consumers fit 32 bits"));
        let mut members = plan.consumers[consumer].members;
        for (at, size) in sizes(plan, id) {
            if std::mem::replace(&mut members, size) != size {
                self.push(at, Control::Scale(size));
            }
        }
    }

    fn push(&mut self, at: u64, event: Control) {
        self.planned.push((at, event));
    }

    /// Time of the next event.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        let planned = self.planned.get(self.at).map_or(u64::MAX, |event| event.0);
        self.joins.peek().map_or(planned, |join| planned.min(join.0.0))
    }

    /// The next event.
    pub(super) fn take(&mut self) -> Control {
        let planned = self.planned.get(self.at).map_or(u64::MAX, |event| event.0);
        if self.joins.peek().is_some_and(|join| join.0.0 < planned) {
            let Reverse((_, member)) = self.joins.pop().expect("just seen");
            return Control::Join(member);
        }
        self.at += 1;
        self.planned[self.at - 1].1
    }

    /// A new member starts at `now` and joins when it is ready.
    pub(super) fn join_after_startup(&mut self, member: usize, now: u64) {
        if self.joins.iter().any(|join| join.0.1 == member) {
            return;
        }
        self.startups += 1;
        let startup = self.startup.whole(&mut self.startup_stream.at(self.startups), About::default());
        self.joins.push(Reverse((now.saturating_add(startup), member)));
    }

    /// A member that has not joined yet is not wanted any more.
    pub(super) fn cancel_joins(&mut self, member: usize) {
        self.joins.retain(|join| join.0.1 != member);
    }
}
