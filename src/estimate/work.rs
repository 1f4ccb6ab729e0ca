//! How long handlers take: their steps in a row, with what they wait for.

use super::course::{Course, Deed};
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

/// Why there is no formula for how long something takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Untimed {
    /// Services call each other in a circle.
    Circle,
    /// A resource is held by those who wait for it.
    Held(String),
    /// A service is called for which there is none.
    Callee(String),
    /// A resource is asked for more than it can give.
    Overload(String),
    /// An event of a topic is awaited.
    Event(String),
}

impl std::fmt::Display for Untimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Circle => f.write_str("calls in a circle"),
            Self::Held(name) => write!(f, "who holds {name} may wait for it"),
            Self::Callee(name) => write!(f, "calls {name}"),
            Self::Event(topic) => write!(f, "waits for an event of {topic}"),
            Self::Overload(name) => write!(f, "{name} is overloaded"),
        }
    }
}

impl<'p> Model<'p> {
    /// Time for which steps hold their worker where all goes well.
    ///
    /// # Errors
    /// Why no formula tells it.
    pub(super) fn time(&mut self, steps: &'p [Step], whose: Whose<'_>) -> Result<Moments, Untimed> {
        steps.iter().try_fold(Moments::ZERO, |sum, step| Ok(sum.plus(self.step(step, whose)?)))
    }

    fn step(&mut self, step: &'p Step, whose: Whose<'_>) -> Result<Moments, Untimed> {
        Ok(match step {
            Step::Work(time) | Step::Wait(time) | Step::Commit(time) => Moments::of(time, whose.types),
            Step::Publish(publish) => {
                let publishing = self.publishing(whose.publisher, publish.to.0 as usize);
                let waits = publishing.filter(|_| publish.wait_for_ack);
                waits.map_or(Moments::ZERO, |it| it.buffer.plus(it.ack).maybe(publish.probability))
            }
            Step::Choose(branches) => {
                let each = branches.iter().map(|(share, steps)| Ok((*share, self.time(steps, whose)?)));
                Moments::mixture(each.collect::<Result<Vec<_>, _>>()?)
            }
            Step::Call(call) => self.call(call)?,
            Step::Parallel { branches, quorum, .. } => {
                let each = branches.iter().map(|steps| self.time(steps, whose)).collect::<Result<Vec<_>, _>>()?;
                Moments::kth(&each, *quorum as usize)
            }
            Step::Hold { of, steps, .. } => self.grant(*of)?.plus(self.time(steps, whose)?),
            Step::Transaction(steps) => {
                let requests = self.coordination(steps, whose);
                self.time(steps, whose)?.plus(self.flush(steps, whose)).plus(requests)
            }
            Step::Await(step) => return Err(Untimed::Event(self.plan.topics[step.event.0 as usize].name.clone())),
            Step::Saga(saga) => {
                let parts = saga.parts.iter().map(|(act, _)| act);
                parts.into_iter().try_fold(Moments::ZERO, |sum, act| Ok(sum.plus(self.time(act, whose)?)))?
            }
        })
    }

    /// The end of a transaction waits for what its steps have published and not waited for: once, for they are sent together.
    fn flush(&mut self, steps: &[Step], whose: Whose<'_>) -> Moments {
        let mut silent = None;
        let mut see = |step: &Step| {
            if let Step::Publish(publish) = step {
                silent = silent.or((!publish.wait_for_ack).then_some(publish.to.0 as usize));
            }
        };
        steps.iter().for_each(|step| step.visit(&mut see));
        let publishing = silent.and_then(|topic| self.publishing(whose.publisher, topic));
        publishing.map_or(Moments::ZERO, |it| it.ack)
    }

    /// What a transaction asks of its coordinator, each a round trip with a write: to take in a partition (here for each
    /// publish step), the positions of a consumer (twice), and its end.
    fn coordination(&self, steps: &[Step], whose: Whose<'_>) -> Moments {
        let mut published = Vec::new();
        let mut see = |step: &Step| {
            if let Step::Publish(publish) = step {
                published.push(publish.to.0 as usize);
            }
        };
        steps.iter().for_each(|step| step.visit(&mut see));
        let Some(topic) = published.first() else { return Moments::ZERO };
        let store = &self.plan.topics[*topic].store;
        let [network, append, replicate] =
            [&store.network, &store.append, &store.replicate].map(|time| Moments::of(time, &[]));
        let request = network.plus(append).plus(replicate).plus(network);
        let positions = if matches!(whose.publisher, Publisher::Consumer(_)) { 2 } else { 0 };
        (0..published.len() + positions + 1).fold(Moments::ZERO, |sum, _| sum.plus(request))
    }

    /// From a call to its good answer, failed attempts before it included.
    fn call(&mut self, call: &CallStep) -> Result<Moments, Untimed> {
        let policy = &self.plan.services[call.to.0 as usize];
        let network = Moments::of(&policy.transport.network, &[]);
        let callee = self.service(call.to).ok_or(Untimed::Circle)?;
        let answer = callee.response.ok_or_else(|| Untimed::Callee(policy.name.clone()))?;
        let attempt = network.plus(answer).plus(network);
        let fails = own_failure(&policy.failure);
        let retry = RetryPlan {
            attempts: if call.retry.when.failed { call.retry.attempts } else { 1 },
            mode: RetryMode::Blocking,
            backoff: call.retry.backoff.clone(),
            jitter: call.retry.jitter,
        };
        Ok(Handling::of(attempt, Failing { transient: fails, permanent: 0.0 }, &retry).served)
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

    /// The wait for a resource.
    fn grant(&mut self, id: ResourceId) -> Result<Moments, Untimed> {
        let index = id.0 as usize;
        match &self.grants[index] {
            Known::Found(wait) => return wait.clone(),
            Known::Asked => return Err(Untimed::Held(self.plan.resources[index].name.clone())),
            Known::NotYet => self.grants[index] = Known::Asked,
        }
        let found = self.find_grant(id);
        self.grants[index] = Known::Found(found.clone());
        found
    }

    /// One of its own for each key is taken as free.
    fn find_grant(&mut self, id: ResourceId) -> Result<Moments, Untimed> {
        let policy = &self.plan.resources[id.0 as usize];
        if policy.per_key {
            return Ok(Moments::ZERO);
        }
        let too_much = || Untimed::Overload(policy.name.clone());
        let mut uses = Vec::new();
        for publisher in self.publishers() {
            let asked = self.runs(publisher);
            let mut see = |deed: Deed<'p>, times: f64| {
                if let Deed::Hold(of, steps) = deed
                    && of == id
                {
                    uses.push((asked * times, publisher, steps));
                }
            };
            Course { fails: &|_| 0.0, see: &mut see }.follow(self.steps_of(publisher), 1.0);
        }
        let rate: f64 = uses.iter().map(|(rate, ..)| rate).sum();
        let mut wait = Moments::ZERO;
        if let Some((quota, burst)) = policy.rate {
            // A token bucket with room for more than one passes most of what comes at once.
            let servers = Moments::constant(1.0 / quota);
            let paced = gigc(1, Arriving::poisson(rate), servers).ok_or_else(too_much)?;
            wait = wait.plus(paced.moments().times(1.0 / f64::from(burst.max(1))));
        }
        if let Some(capacity) = policy.capacity {
            let mut held = Vec::new();
            for (rate, publisher, steps) in uses {
                let types = match publisher {
                    Publisher::Producer(index) => &self.plan.producers[index].types[..],
                    Publisher::Service(index) => &self.plan.services[index].types,
                    Publisher::Consumer(_) => &[],
                };
                held.push((rate, self.time(steps, Whose { publisher, types })?));
            }
            let held = Moments::mixture(held);
            let queue = mmc(capacity, rate, held.mean).ok_or_else(too_much)?;
            wait = wait.plus(queue.moments().times(0.5 * (1.0 + held.scv())));
        }
        Ok(wait)
    }
}
