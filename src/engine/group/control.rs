//! The control timeline of a group: faults and planned changes, sorted by time, known before the run.

use std::collections::BTreeMap;

use crate::dist::About;
use crate::engine::setup::Setup;
use crate::engine::timeline::{occurrences, sizes};
use crate::plan::{Action, ConsumerId, DeployPlan, Effect, FaultPlan, FaultTarget, Members, Plan};
use crate::random::Stream;

/// Whom a fault strikes: all, or a member by its number, or one of those that there are, by a share of 2^32; as one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    All,
    Number(u32, usize),
    Any(u32, usize),
}

/// One thing that happens to a group from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Control {
    /// Measurement begins.
    WarmUp,
    /// A fault whose traces this group follows begins: number of the tracker.
    Track(usize),
    /// The process ends.
    Crash(Whom),
    /// The process is ready again.
    Restart(Whom),
    /// It stands still until this time.
    Pause(Whom, u64),
    /// It slows down: fault, factor.
    SlowOn(Whom, usize, f64),
    /// That ends.
    SlowOff(Whom, usize),
    /// Attempts fail: fault, share.
    FailOn(Whom, usize, f64),
    /// That ends.
    FailOff(Whom, usize),
    /// So many of the next events that it takes never succeed.
    Poison(Whom, u64),
    /// What a replay of this number reads again is visible from now on.
    Hold(usize),
    /// Operators stop the group, to set its positions back.
    Replay(usize),
    /// The group shall have so many members.
    Scale(u32),
    /// A version is rolled out.
    Deploy(DeployPlan),
}

/// Control events in order of time; those of one time in the order of the plan.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    planned: Vec<(u64, Control)>,
    at: usize,
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

/// The number of a fault's first occurrence among all that strike a consumer.
pub(super) fn first_occurrence(plan: &Plan, seed: u64, consumer: usize, fault: usize) -> usize {
    let own = |fault: &&FaultPlan| matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == consumer);
    plan.faults[..fault].iter().filter(own).map(|fault| occurrences(plan, fault, seed).len()).sum::<usize>() + 1
}

impl Timeline {
    pub(super) fn new(plan: &Plan, setup: &Setup, consumer: usize) -> Self {
        let mut timeline = Self { planned: Vec::new(), at: 0 };
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
            let first = first_occurrence(plan, setup.seed, consumer, number);
            for (n, o) in occurrences(plan, fault, setup.seed).into_iter().enumerate() {
                let occurrence = first + n;
                let m = match (o.member, fault.target) {
                    (None, _) => Whom::All,
                    (Some(share), FaultTarget::Consumer(_, Members::Any)) if plan.is_autoscaled(consumer) => {
                        Whom::Any(share, occurrence)
                    }
                    (Some(number), _) => Whom::Number(number, occurrence),
                };
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
        if plan.is_autoscaled(consumer) {
            // How many there are by then is not known.
            for change in plan.changes.iter().filter(|change| change.consumer == id) {
                if let Action::Scale(size) = change.action {
                    self.push(change.at.0, Control::Scale(size));
                }
            }
        } else {
            let mut members = plan.consumers[consumer].members;
            for (at, size) in sizes(plan, id) {
                if std::mem::replace(&mut members, size) != size {
                    self.push(at, Control::Scale(size));
                }
            }
        }
        for (at, deploy) in plan.deploys(consumer) {
            self.push(at.0, Control::Deploy(deploy));
        }
        for (number, (at, from)) in plan.replays(consumer).enumerate() {
            self.push(from.0, Control::Hold(number));
            self.push(at.0, Control::Replay(number));
        }
    }

    fn push(&mut self, at: u64, event: Control) {
        self.planned.push((at, event));
    }

    /// Time of the next event.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.planned.get(self.at).map_or(u64::MAX, |event| event.0)
    }

    /// The next event.
    pub(super) fn take(&mut self) -> Control {
        self.at += 1;
        self.planned[self.at - 1].1
    }
}
