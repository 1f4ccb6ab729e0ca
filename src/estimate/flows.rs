//! Rates through the whole graph: who publishes how much of what to which topic, and how often each service is asked.

use std::collections::BTreeMap;

use super::course::{Course, Deed};
use super::handling::{own_failure, success};
use super::rates::{Grid, Rates, bursts};
use crate::dist::KeyPlan;
use crate::partition::has_share;
use crate::plan::{ClientPlan, ConsumerPlan, FaultTarget, Plan, ServiceId, Step, TopicId};

/// Rounds after which what still grows is said to grow without end.
const ROUNDS: usize = 64;

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Publisher {
    /// By index of the plan.
    Producer(usize),
    /// By index of the plan.
    Consumer(usize),
    /// By index of the plan.
    Service(usize),
}

/// Events of one kind from one publisher to one topic.
#[derive(Clone, Debug)]
pub(super) struct Flow<'p> {
    pub(super) topic: usize,
    pub(super) publisher: Publisher,
    pub(super) keys: &'p KeyPlan,
    pub(super) event_type: u16,
    pub(super) rates: Rates,
}

/// What tells flows apart: topic, publisher, keys by number, type.
type Kind = (usize, Publisher, usize, u16);

/// Requests to a service by their keys' number and type.
type Visits = BTreeMap<(usize, u16), Rates>;

/// All rates of a plan.
#[derive(Clone, Debug)]
pub(super) struct Flows<'p> {
    /// Events by kind.
    pub(super) flows: Vec<Flow<'p>>,
    /// By service: rates of requests to it, by the type of the event or request that they come from.
    pub(super) visits: Vec<Vec<(u16, Rates)>>,
    /// Whether events or requests that go in a circle become more with each round.
    pub(super) runaway: bool,
}

/// Follows rates until they do not change any more.
struct Tracer<'p, 'g> {
    plan: &'p Plan,
    grid: &'g Grid,
    /// By service: the chance that a request to it fails, by itself or because of those that it asks.
    fails: Vec<f64>,
    /// By service: requests to each service that one request to it brings about, itself included.
    brings: Vec<Vec<f64>>,
    keys: Vec<&'p KeyPlan>,
}

impl<'p> Flows<'p> {
    /// The rates of a plan.
    pub(super) fn of(plan: &'p Plan, grid: &Grid) -> Self {
        let mut tracer = Tracer { plan, grid, fails: failures(plan), brings: Vec::new(), keys: Vec::new() };
        let calls_settle = tracer.follow_calls();
        let (mut found, mut visits) = (BTreeMap::new(), Vec::new());
        let mut runaway = true;
        for _ in 0..ROUNDS {
            let (next, asked) = tracer.round(&found);
            let same = next.len() == found.len()
                && next
                    .iter()
                    .zip(&found)
                    .all(|((a, new), (b, old)): ((&Kind, &Rates), (&Kind, &Rates))| a == b && new.change(old) < 1e-9);
            (found, visits) = (next, asked);
            if same {
                runaway = false;
                break;
            }
        }
        let of_type = |(kind, rates): ((usize, u16), Rates)| (kind.1, rates);
        let visits = visits.into_iter().map(|asked: Visits| asked.into_iter().map(of_type).collect()).collect();
        let flows = found.into_iter().map(|((topic, publisher, keys, event_type), rates)| Flow {
            topic,
            publisher,
            keys: tracer.keys[keys],
            event_type,
            rates,
        });
        Self { flows: flows.collect(), visits, runaway: runaway || !calls_settle }
    }

    /// The flows of which a consumer wants a part.
    pub(super) fn of_consumer<'a>(&'a self, consumer: &'a ConsumerPlan) -> impl Iterator<Item = &'a Flow<'p>> + 'a {
        self.flows.iter().filter(move |flow| wants(consumer, flow.topic, flow.event_type))
    }

    /// The flows of one publisher to one topic.
    pub(super) fn between(&self, publisher: Publisher, topic: usize) -> impl Iterator<Item = &Flow<'p>> {
        self.flows.iter().filter(move |flow| flow.publisher == publisher && flow.topic == topic)
    }
}

/// Whether a consumer takes events of this topic and type.
fn wants(consumer: &ConsumerPlan, topic: usize, event_type: u16) -> bool {
    consumer.subscribes.iter().any(|id| id.0 as usize == topic)
        && consumer.types.as_ref().is_none_or(|types| types.contains(&event_type))
}

/// The client of a publisher for a topic.
pub(super) fn client(plan: &Plan, publisher: Publisher, topic: usize) -> Option<&ClientPlan> {
    let clients = match publisher {
        Publisher::Producer(index) => &plan.producers[index].clients,
        Publisher::Consumer(index) => &plan.consumers[index].clients,
        Publisher::Service(index) => &plan.services[index].clients,
    };
    clients.iter().find(|(to, _)| to.0 as usize == topic).map(|(_, client)| client)
}

/// Processes of a publisher.
pub(super) fn processes(plan: &Plan, publisher: Publisher) -> u32 {
    match publisher {
        Publisher::Producer(index) => plan.producers[index].instances,
        Publisher::Consumer(index) => plan.consumers[index].members,
        Publisher::Service(index) => plan.services[index].instances,
    }
}

/// The share of keys that a consumer wants: counted where they are few, else the share that is asked for.
pub(super) fn wanted(consumer: &ConsumerPlan, keys: &KeyPlan) -> f64 {
    let share = consumer.keys;
    if share.0 <= 0.0 && share.1 >= 1.0 {
        return 1.0;
    }
    match keys {
        KeyPlan::None => 1.0,
        KeyPlan::Weighted(shares) => {
            shares.iter().filter(|(key, _)| has_share(share, *key)).map(|(_, weight)| weight).sum()
        }
        _ => share.1 - share.0,
    }
}

/// By service: the chance that a request fails, by itself or because of those that it asks.
fn failures(plan: &Plan) -> Vec<f64> {
    let mut fails: Vec<f64> = plan.services.iter().map(|service| own_failure(&service.failure)).collect();
    // Failures come up one call deeper with each round; a circle of calls settles like any other.
    for _ in 0..ROUNDS {
        let next: Vec<f64> = plan
            .services
            .iter()
            .map(|service| {
                let well = 1.0 - own_failure(&service.failure);
                let known = |id: ServiceId| fails[id.0 as usize];
                1.0 - Course { fails: &known, see: &mut |_, _| {} }.follow(&service.handler.steps, well)
            })
            .collect();
        let same = next.iter().zip(&fails).all(|(a, b)| (a - b).abs() < 1e-12);
        fails = next;
        if same {
            break;
        }
    }
    fails
}

impl<'p> Tracer<'p, '_> {
    /// Follows calls from service to service; whether they come to an end.
    fn follow_calls(&mut self) -> bool {
        let count = self.plan.services.len();
        let direct: Vec<Vec<f64>> =
            self.plan.services.iter().map(|service| self.calls(&service.handler.steps)).collect();
        let well: Vec<f64> = self.plan.services.iter().map(|service| 1.0 - own_failure(&service.failure)).collect();
        let mut settled = true;
        for root in 0..count {
            let (mut asked, mut done) = (vec![0.0; count], false);
            for _ in 0..ROUNDS {
                let mut next = vec![0.0; count];
                next[root] = 1.0;
                for (caller, times) in asked.iter().enumerate() {
                    next.iter_mut().zip(&direct[caller]).for_each(|(sum, often)| *sum += times * well[caller] * often);
                }
                done = next.iter().zip(&asked).all(|(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * a.abs());
                asked = next;
                if done {
                    break;
                }
            }
            settled &= done;
            self.brings.push(asked);
        }
        settled
    }

    /// By service: how often one run of a handler calls it.
    fn calls(&self, steps: &'p [Step]) -> Vec<f64> {
        let mut often = vec![0.0; self.plan.services.len()];
        let mut see = |deed: Deed<'p>, times: f64| {
            if let Deed::Call(call) = deed {
                often[call.to.0 as usize] += times;
            }
        };
        Course { fails: &|id| self.fails[id.0 as usize], see: &mut see }.follow(steps, 1.0);
        often
    }

    /// Adds the requests that come of a handler that runs at a rate.
    fn ask(&mut self, steps: &'p [Step], keys: &'p KeyPlan, of: (u16, &Rates), visits: &mut [Visits]) {
        let direct = self.calls(steps);
        let keys = self.number(keys);
        for (first, often) in direct.into_iter().enumerate().filter(|(_, often)| *often > 0.0) {
            self.visit(first, keys, (of.0, &of.1.times(often)), visits);
        }
    }

    /// Adds requests to a service, with all that they bring about.
    fn visit(&self, first: usize, keys: usize, (event_type, rates): (u16, &Rates), visits: &mut [Visits]) {
        for (service, times) in self.brings[first].iter().enumerate().filter(|(_, times)| **times > 0.0) {
            let more = rates.times(*times);
            match visits[service].get_mut(&(keys, event_type)) {
                Some(sum) => sum.add(&more),
                None => drop(visits[service].insert((keys, event_type), more)),
            }
        }
    }

    fn number(&mut self, keys: &'p KeyPlan) -> usize {
        let known = self.keys.iter().position(|known| std::ptr::eq(*known, keys));
        known.unwrap_or_else(|| {
            self.keys.push(keys);
            self.keys.len() - 1
        })
    }

    /// All that is published, and asked, where consumers read these flows.
    fn round(&mut self, before: &BTreeMap<Kind, Rates>) -> (BTreeMap<Kind, Rates>, Vec<Visits>) {
        let mut found = BTreeMap::new();
        let mut visits = vec![Visits::new(); self.plan.services.len()];
        for (index, producer) in self.plan.producers.iter().enumerate() {
            let ours = |target| matches!(target, FaultTarget::Producer(id) if id.0 as usize == index);
            let rates = self.grid.arrivals(&producer.arrivals, &bursts(self.plan, ours));
            let well = producer.events_per_arrival.mean() * (1.0 - own_failure(&producer.failure));
            let runs = rates.times(well);
            for (event_type, share) in shares(&producer.types) {
                self.ask(&producer.handler.steps, &producer.key, (event_type, &runs.times(share)), &mut visits);
            }
            let from = (Publisher::Producer(index), &producer.key, runs);
            self.publish(&producer.handler.steps, from, &producer.types, &mut found);
        }
        for (index, consumer) in self.plan.consumers.iter().enumerate() {
            self.pass_on(index, consumer, before, (&mut found, &mut visits));
        }
        for (index, service) in self.plan.services.iter().enumerate() {
            let Some(arrivals) = &service.arrivals else { continue };
            let ours = |target| matches!(target, FaultTarget::Service(ServiceId(id), _) if id as usize == index);
            let users = self.grid.arrivals(arrivals, &bursts(self.plan, ours)).times(service.events_per_arrival.mean());
            let keys = self.number(&service.key);
            for (event_type, share) in shares(&service.types) {
                self.visit(index, keys, (event_type, &users.times(share)), &mut visits);
            }
        }
        for (index, service) in self.plan.services.iter().enumerate() {
            let well = 1.0 - own_failure(&service.failure);
            for ((keys, event_type), rates) in visits[index].clone() {
                let from = (Publisher::Service(index), self.keys[keys], rates.times(well));
                self.publish(&service.handler.steps, from, &[(event_type, 1.0)], &mut found);
            }
        }
        (found, visits)
    }

    /// What a consumer publishes of what it takes.
    fn pass_on(
        &mut self,
        index: usize,
        consumer: &'p ConsumerPlan,
        before: &BTreeMap<Kind, Rates>,
        (found, visits): (&mut BTreeMap<Kind, Rates>, &mut [Visits]),
    ) {
        let well = success(consumer);
        let publisher = Publisher::Consumer(index);
        let ours = before.iter().filter(|((topic, _, _, event_type), _)| wants(consumer, *topic, *event_type));
        let ours = ours.map(|((_, _, keys, event_type), rates)| {
            (keys, event_type, rates.times(wanted(consumer, self.keys[*keys])))
        });
        let ours: Vec<_> = ours.collect();
        let all = ours.iter().map(|(.., taken)| self.grid.mean(taken)).sum();
        for (keys, event_type, taken) in ours {
            let plan = self.keys[*keys];
            let runs = taken.times(well / events_of_a_run(consumer, all));
            self.ask(&consumer.handler.steps, plan, (*event_type, &runs), visits);
            self.publish(&consumer.handler.steps, (publisher, plan, runs), &[(*event_type, 1.0)], found);
            if let Some(TopicId(dead)) = consumer.dead_letter.filter(|_| well < 1.0) {
                let rates = taken.times(1.0 - well);
                add(found, (dead as usize, publisher, *keys, *event_type), &rates);
            }
        }
    }

    /// Adds what a handler publishes that runs at a rate.
    fn publish(
        &mut self,
        steps: &'p [Step],
        (publisher, keys, rates): (Publisher, &'p KeyPlan, Rates),
        types: &[(u16, f64)],
        found: &mut BTreeMap<Kind, Rates>,
    ) {
        let mut published = Vec::new();
        let known: Vec<f64> = self.fails.clone();
        let mut see = |deed: Deed<'p>, times: f64| {
            if let Deed::Publish(step) = deed {
                published.push((step, times));
            }
        };
        Course { fails: &|id| known[id.0 as usize], see: &mut see }.follow(steps, 1.0);
        for (step, times) in published.into_iter().filter(|(_, times)| *times > 0.0) {
            let number = self.number(step.key.as_ref().unwrap_or(keys));
            for (event_type, share) in shares(types) {
                let kind = (step.to.0 as usize, publisher, number, step.event_type.unwrap_or(event_type));
                add(found, kind, &rates.times(times * share));
            }
        }
    }
}

/// Shares of types; all are of type 0 where there are none.
fn shares(types: &[(u16, f64)]) -> impl Iterator<Item = (u16, f64)> {
    let untyped = if types.is_empty() { Some((0, 1.0)) } else { None };
    types.iter().copied().chain(untyped)
}

fn add(found: &mut BTreeMap<Kind, Rates>, kind: Kind, rates: &Rates) {
    match found.get_mut(&kind) {
        Some(sum) => sum.add(rates),
        None => drop(found.insert(kind, rates.clone())),
    }
}

/// Events of one run of a consumer's handler, where so many arrive per second in all: more than one in a batch.
pub(super) fn events_of_a_run(consumer: &ConsumerPlan, rate: f64) -> f64 {
    let Some(batch) = consumer.batch else { return 1.0 };
    let (most, each) = (f64::from(batch.max), rate / f64::from(consumer.members.max(1)));
    match consumer.schedule {
        // What has come since the last wake is taken in batches that are full, but for the last.
        Some(schedule) => {
            let waiting = (each * schedule.every.seconds()).max(1.0);
            waiting / (waiting / most).ceil()
        }
        None => (1.0 + each * batch.max_wait.seconds()).min(most),
    }
}
