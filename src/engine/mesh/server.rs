//! The side of a service that is called: instances, their workers and queues, and the choice among them.

use std::collections::VecDeque;

use super::VisitKey;
use super::pauses::Pauses;
use crate::plan::{Balance, ServicePlan, TransportPlan};
use crate::random::Stream;

/// What only services have.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Requests at work at once, and waiting, at one instance.
    pub(super) workers: u32,
    pub(super) queue: u32,
    balance: Balance,
    /// Choices made in turn.
    turn: u64,
    pub(super) transport: TransportPlan,
    /// Since when the worker time that was available is not counted.
    pub(super) available_since: u64,
}

impl Server {
    pub(super) fn new(plan: &ServicePlan) -> Self {
        Self {
            workers: plan.workers,
            queue: plan.queue,
            balance: plan.balance,
            turn: 0,
            transport: plan.transport.clone(),
            available_since: 0,
        }
    }

    /// Chooses one of these instances that is up; `pinned` is the one that the caller keeps to.
    pub(super) fn choose(
        &mut self,
        instances: &[Instance],
        pinned: &mut Option<usize>,
        draw: (Stream, u64),
    ) -> Option<usize> {
        let up = |at: &usize| instances[*at].is_up();
        let count = (0..instances.len()).filter(up).count();
        if count == 0 {
            return None;
        }
        let nth = |n: usize| (0..instances.len()).filter(up).nth(n % count);
        let below =
            |n: u64, of: usize| usize::try_from((u128::from(draw.0.part(n).bits(draw.1)) * of as u128) >> 64).ok();
        let in_turn = |turn: &mut u64| {
            // The turn goes through all instances, so that one that comes back takes up its place.
            for _ in 0..instances.len() {
                let at = usize::try_from(*turn % instances.len() as u64).expect("below the instances");
                *turn += 1;
                if up(&at) {
                    return Some(at);
                }
            }
            None
        };
        match self.balance {
            Balance::RoundRobin => in_turn(&mut self.turn),
            Balance::LeastOutstanding => (0..instances.len()).filter(up).min_by_key(|at| (instances[*at].load(), *at)),
            Balance::TwoChoices => {
                let first = below(0, count)?;
                let second = if count > 1 { (first + 1 + below(1, count - 1)?) % count } else { first };
                [nth(first)?, nth(second)?].into_iter().min_by_key(|at| instances[*at].load())
            }
            Balance::Pinned => {
                if pinned.is_none_or(|at| !instances[at].is_up()) {
                    *pinned = in_turn(&mut self.turn);
                }
                *pinned
            }
        }
    }
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// Crashes that hold it down.
    pub(super) down: u32,
    /// Workers held.
    pub(super) busy: u32,
    /// Who waits for a worker.
    pub(super) queue: VecDeque<VisitKey>,
    pub(super) pauses: Pauses,
    /// Slow-downs and failures by number of the fault, in this order.
    pub(super) slows: Vec<(usize, f64)>,
    pub(super) fails: Vec<(usize, f64)>,
    /// Cold starts by number of the fault: so many times as slow at first, from when, until when.
    pub(super) colds: Vec<(usize, (f64, u64, u64))>,
    /// Faults for which it accepts requests and does nothing about them; those of which callers still hope for an answer.
    pub(super) holes: u32,
    pub(super) swallowed: u32,
}

impl Instance {
    pub(super) fn new() -> Self {
        Self {
            down: 0,
            busy: 0,
            queue: VecDeque::new(),
            pauses: Pauses::default(),
            slows: Vec::new(),
            fails: Vec::new(),
            colds: Vec::new(),
            holes: 0,
            swallowed: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.down == 0
    }

    /// Work that begins now takes so many times as long.
    pub(super) fn slow(&self, now: u64) -> f64 {
        let cold = |(_, (factor, from, to)): &(usize, (f64, u64, u64))| {
            let left = to.saturating_sub(now) as f64 / (to - from).max(1) as f64;
            1.0 + (factor - 1.0) * left.min(1.0)
        };
        self.slows.iter().map(|(_, factor)| *factor).chain(self.colds.iter().map(cold)).product()
    }

    /// Extra share of requests that fail.
    pub(super) fn fail(&self) -> f64 {
        1.0 - self.fails.iter().map(|(_, share)| 1.0 - share).product::<f64>()
    }

    fn load(&self) -> u64 {
        u64::from(self.busy) + self.queue.len() as u64 + u64::from(self.swallowed)
    }

    /// Notes a fault in the order of the faults, so that the product rounds alike whatever came first.
    pub(super) fn note<V>(list: &mut Vec<(usize, V)>, fault: usize, value: V) {
        let at = list.partition_point(|(other, _)| *other <= fault);
        list.insert(at, (fault, value));
    }

    pub(super) fn forget<V>(list: &mut Vec<(usize, V)>, fault: usize) {
        if let Some(at) = list.iter().position(|(other, _)| *other == fault) {
            list.remove(at);
        }
    }
}
