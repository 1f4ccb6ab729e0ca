//! Rates over the windows of a run: inside each the plan is taken as steady.

use crate::dist::Arrivals;
use crate::plan::{Effect, FaultPlan, FaultTarget, Plan};
use crate::time::SimTime;

/// Windows of equal length into which a run is cut where some mean rate changes all the time.
const WINDOWS: u64 = 240;
/// Most occurrences of one fault that are looked at.
const MOST_OCCURRENCES: u32 = 1000;

/// The windows of a run.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Their bounds, ns.
    bounds: Vec<u64>,
    /// The part of each that is measured, s.
    measured: Vec<f64>,
}

/// A rate per second in each window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rates(Vec<f64>);

impl Grid {
    /// Cut where something about the plan changes.
    pub(super) fn of(plan: &Plan) -> Self {
        let end = plan.duration.0;
        let mut bounds = vec![0, plan.warm_up.0, end];
        let processes = plan.producers.iter().map(|producer| &producer.arrivals);
        let mut processes = processes.chain(plan.services.iter().filter_map(|service| service.arrivals.as_ref()));
        if processes.any(|arrivals| !arrivals.is_steady()) {
            bounds.extend((1..WINDOWS).map(|n| end / WINDOWS * n));
        }
        for fault in plan.faults.iter().filter(|fault| is_burst(fault)) {
            bounds.extend(occurrences(fault, end).into_iter().flat_map(|(from, to)| [from, to]));
        }
        for consumer in 0..plan.consumers.len() {
            bounds.extend(plan.sizes(consumer).into_iter().map(|(at, _)| at));
        }
        bounds.retain(|bound| *bound <= end);
        bounds.sort_unstable();
        bounds.dedup();
        let measured = bounds.windows(2).map(|pair| pair[1].saturating_sub(pair[0].max(plan.warm_up.0)) as f64 * 1e-9);
        Self { measured: measured.collect(), bounds }
    }

    /// Their number.
    pub(super) fn windows(&self) -> usize {
        self.measured.len()
    }

    /// Start of a window, ns.
    pub(super) fn start(&self, window: usize) -> u64 {
        self.bounds[window]
    }

    /// Length of a window, s.
    pub(super) fn length(&self, window: usize) -> f64 {
        (self.bounds[window + 1] - self.bounds[window]) as f64 * 1e-9
    }

    /// The part of a window that is measured, s.
    pub(super) fn measured(&self, window: usize) -> f64 {
        self.measured[window]
    }

    /// The windows of which something is measured.
    pub(super) fn seen(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.windows()).filter(|window| self.measured[*window] > 0.0)
    }

    /// Nothing at any time.
    pub(super) fn zero(&self) -> Rates {
        Rates(vec![0.0; self.windows()])
    }

    /// Mean rate of an arrival process in each window, with the bursts of these faults.
    pub(super) fn arrivals(&self, arrivals: &Arrivals, faults: &[&FaultPlan]) -> Rates {
        let end = self.bounds[self.windows()];
        let mut bursts: Vec<(SimTime, SimTime, f64)> = Vec::new();
        for fault in faults {
            if let Effect::Burst(factor) = fault.effect {
                let times = occurrences(fault, end).into_iter();
                bursts.extend(times.map(|(from, to)| (SimTime(from), SimTime(to), factor)));
            }
        }
        bursts.sort_by_key(|burst| (burst.0, burst.1));
        let expected = arrivals.expected(&self.bounds, &bursts);
        Rates(expected.iter().enumerate().map(|(window, count)| count / self.length(window)).collect())
    }

    /// Mean over the measured time.
    pub(super) fn mean(&self, rates: &Rates) -> f64 {
        let time: f64 = self.measured.iter().sum();
        rates.0.iter().zip(&self.measured).map(|(rate, seconds)| rate * seconds).sum::<f64>() / time
    }

    /// The highest in a measured window.
    pub(super) fn peak(&self, rates: &Rates) -> f64 {
        self.seen().map(|window| rates.at(window)).fold(0.0, f64::max)
    }
}

impl Rates {
    /// That in one window.
    pub(super) fn at(&self, window: usize) -> f64 {
        self.0[window]
    }

    /// So many times as high.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|rate| rate * factor).collect())
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(rate, more)| *rate += more);
    }

    /// The largest difference to others, over the largest rate.
    pub(super) fn change(&self, other: &Self) -> f64 {
        let largest = self.0.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
    }
}

/// From when to when a fault acts (ns), as far as that is not left to chance: random times count with their means.
pub(super) fn occurrences(fault: &FaultPlan, end: u64) -> Vec<(u64, u64)> {
    let whole = |dist: &crate::dist::Dist| crate::time::SimSpan::from_nanos_f64(dist.mean()).0;
    let lasts = fault.lasts.as_ref().map_or(u64::MAX, whole);
    let mut from = whole(&fault.at);
    let mut found = Vec::new();
    for _ in 0..MOST_OCCURRENCES {
        if from >= end {
            break;
        }
        found.push((from, from.saturating_add(lasts).min(end)));
        let Some(every) = &fault.every else { break };
        from = from.saturating_add(whole(every).max(1));
    }
    found
}

/// Whether a fault multiplies arrivals.
pub(super) fn is_burst(fault: &FaultPlan) -> bool {
    matches!(fault.effect, Effect::Burst(_)) && fault.effect.may_act()
}

/// The faults that multiply the arrivals of a target.
pub(super) fn bursts(plan: &Plan, of: impl Fn(FaultTarget) -> bool) -> Vec<&FaultPlan> {
    plan.faults.iter().filter(|fault| of(fault.target) && is_burst(fault)).collect()
}
