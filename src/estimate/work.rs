//! How long handlers take: their steps in a row, with what they wait for.

use super::course::Deed;
use super::flows::Publisher;
use super::formulas::{Arriving, gigc, mmc};
use super::handling::{Failing, Handling, own_failure};
use super::model::{Known, Model};
use super::moments::Moments;
use super::services::Service;
use crate::plan::{CallStep, ResourceId, RetryMode, RetryPlan, ServiceId, Step};

/// Whose handler it is, and the types of the events or requests that it handles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub(super) publisher: Publisher,
    pub(super) types: &'a [(u16, f64)],
}

impl<'p> Model<'p> {
    /// Time for which steps hold their worker where all goes well; none where services call each other in a circle.
    pub(super) fn time(&mut self, steps: &'p [Step], whose: Whose<'_>) -> Option<Moments> {
        steps.iter().try_fold(Moments::ZERO, |sum, step| Some(sum.plus(self.step(step, whose)?)))
    }

    fn step(&mut self, step: &'p Step, whose: Whose<'_>) -> Option<Moments> {
        Some(match step {
            Step::Work(time) | Step::Wait(time) | Step::Commit(time) => Moments::of(time, whose.types),
            Step::Publish(publish) => {
                let publishing = self.publishing(whose.publisher, publish.to.0 as usize);
                let waits = publishing.filter(|_| publish.wait_for_ack);
                waits.map_or(Moments::ZERO, |it| it.buffer.plus(it.ack).maybe(publish.probability))
            }
            Step::Choose(branches) => {
                let each = branches.iter().map(|(share, steps)| Some((*share, self.time(steps, whose)?)));
                Moments::mixture(each.collect::<Option<Vec<_>>>()?)
            }
            Step::Call(call) => self.call(call)?,
            Step::Parallel { branches, quorum, .. } => {
                let each = branches.iter().map(|steps| self.time(steps, whose)).collect::<Option<Vec<_>>>()?;
                Moments::kth(&each, *quorum as usize)
            }
            Step::Hold { of, steps, .. } => self.grant(*of)?.plus(self.time(steps, whose)?),
            Step::Saga(saga) => {
                let parts = saga.parts.iter().map(|(act, _)| act);
                parts.into_iter().try_fold(Moments::ZERO, |sum, act| Some(sum.plus(self.time(act, whose)?)))?
            }
        })
    }

    /// From a call to its good answer, failed attempts before it included.
    fn call(&mut self, call: &CallStep) -> Option<Moments> {
        let network = Moments::of(&self.plan.services[call.to.0 as usize].transport.network, &[]);
        let answer = self.service(call.to)?.response?;
        let attempt = network.plus(answer).plus(network);
        let fails = own_failure(&self.plan.services[call.to.0 as usize].failure);
        let retry = RetryPlan {
            attempts: if call.retry.when.failed { call.retry.attempts } else { 1 },
            mode: RetryMode::Blocking,
            backoff: call.retry.backoff.clone(),
            jitter: call.retry.jitter,
        };
        Some(Handling::of(attempt, Failing { transient: fails, permanent: 0.0 }, &retry).served)
    }

    /// The estimate of a service; none while it is being found out.
    pub(super) fn service(&mut self, id: ServiceId) -> Option<Service> {
        let index = id.0 as usize;
        match &self.services[index] {
            Known::Found(service) => return Some(service.clone()),
            Known::Asked => return None,
            Known::NotYet => self.services[index] = Known::Asked,
        }
        let found = Service::of(self, index);
        self.services[index] = Known::Found(found.clone());
        Some(found)
    }

    /// The wait for a resource. One of its own for each key is taken as free.
    fn grant(&mut self, id: ResourceId) -> Option<Moments> {
        let policy = &self.plan.resources[id.0 as usize];
        if policy.per_key {
            return Some(Moments::ZERO);
        }
        let mut uses = Vec::new();
        for (index, service) in self.plan.services.iter().enumerate() {
            let asked: f64 = self.flows.visits[index].iter().map(|(_, rates)| self.grid.mean(rates)).sum();
            let mut see = |deed: Deed<'p>, times: f64| {
                if let Deed::Hold(of, steps) = deed
                    && of == id
                {
                    uses.push((asked * times, index, steps));
                }
            };
            super::course::Course { fails: &|_| 0.0, see: &mut see }.follow(&service.handler.steps, 1.0);
        }
        let rate: f64 = uses.iter().map(|(rate, ..)| rate).sum();
        let mut wait = Moments::ZERO;
        if let Some((quota, burst)) = policy.rate {
            // A token bucket with room for more than one passes most of what comes at once.
            let servers = Moments::constant(1.0 / quota);
            let paced = gigc(1, Arriving::poisson(rate), servers)?;
            wait = wait.plus(paced.moments().times(1.0 / f64::from(burst.max(1))));
        }
        if let Some(capacity) = policy.capacity {
            let mut held = Vec::new();
            for (rate, index, steps) in uses {
                let types = &self.plan.services[index].types;
                held.push((rate, self.time(steps, Whose { publisher: Publisher::Service(index), types })?));
            }
            let held = Moments::mixture(held);
            wait = wait.plus(mmc(capacity, rate, held.mean)?.moments().times(0.5 * (1.0 + held.scv())));
        }
        Some(wait)
    }
}
