//! What comes to a consumer: its share of each flow, and how unevenly it reaches each of its queues.

use super::bus::Publishing;
use super::course::{Course, Deed};
use super::flows::{Flow, Publisher, events_of_a_run, processes, wanted};
use super::formulas::Arriving;
use super::layout::{Station, partitions};
use super::model::{Known, Model};
use super::moments::Moments;
use super::rates::Rates;
use super::spread::{Dealing, Spread};
use super::work::Whose;
use crate::dist::Dist;
use crate::plan::{ConsumerPlan, PublishStep, Step};

/// The part of one flow that a consumer wants.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Rate of the whole flow.
    pub(super) rates: Rates,
    pub(super) spread: Spread,
    /// The consumer's number of the topic's first partition.
    first: usize,
    /// Dispersion of the whole flow.
    dispersion: f64,
    /// Mean square over mean of the events of one key that come together, and of those of any keys.
    together: (f64, f64),
    /// From the creation of an event until its handler comes to publish it.
    pub(super) lead: Moments,
    pub(super) publishing: Publishing,
    pub(super) event_type: u16,
    pub(super) publisher: Publisher,
}

/// All that comes to a consumer.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) list: Vec<Input>,
    /// Rate of what is wanted.
    pub(super) rates: Rates,
}

impl Inputs {
    /// Of a consumer of the model.
    pub(super) fn of(model: &mut Model<'_>, index: usize) -> Self {
        let consumer = &model.plan.consumers[index];
        let firsts: Vec<usize> = partitions(model.plan, consumer)
            .iter()
            .scan(0, |sum, count| Some(std::mem::replace(sum, *sum + *count as usize)))
            .collect();
        let flows: Vec<Flow<'_>> = model.flows.of_consumer(consumer).cloned().collect();
        let (mut list, mut rates) = (Vec::new(), model.grid.zero());
        for flow in flows {
            let publishers = f64::from(processes(model.plan, flow.publisher).max(1));
            let each = model.grid.mean(&flow.rates) / publishers;
            let spread = Spread::of(model.plan, &model.texts, &flow, consumer, each);
            rates.add(&flow.rates.times(spread.wanted()));
            let slot = consumer.subscribes.iter().position(|id| id.0 as usize == flow.topic).unwrap_or(0);
            let (dispersion, together) = model.unevenness(&flow);
            let lead = model.lead(&flow);
            list.push(Input {
                first: firsts[slot],
                dispersion,
                together,
                lead,
                publishing: model.publishing(flow.publisher, flow.topic).unwrap_or_else(Publishing::none),
                event_type: flow.event_type,
                publisher: flow.publisher,
                rates: flow.rates,
                spread,
            });
        }
        Self { list, rates }
    }

    /// Shares of the types of what is wanted.
    pub(super) fn types(&self, model: &Model<'_>) -> Vec<(u16, f64)> {
        let mut shares = std::collections::BTreeMap::new();
        let all = model.grid.mean(&self.rates);
        for input in &self.list {
            *shares.entry(input.event_type).or_insert(0.0) += self.weight(model, input) / all;
        }
        shares.into_iter().collect()
    }

    /// Mean rate of the wanted part of an input.
    pub(super) fn weight(&self, model: &Model<'_>, input: &Input) -> f64 {
        model.grid.mean(&input.rates) * input.spread.wanted()
    }

    /// The mean of something over all that is wanted.
    pub(super) fn mean(&self, model: &Model<'_>, of: impl Fn(&Input) -> Moments) -> Moments {
        Moments::mixture(self.list.iter().map(|input| (self.weight(model, input), of(input))))
    }

    /// What comes to one queue in a window.
    pub(super) fn arriving(&self, station: &Station, window: usize) -> Arriving {
        let (mut rate, mut dispersion, mut clump) = (0.0, 0.0, 0.0);
        for input in &self.list {
            let (here, share) = input.shares(station);
            let part = input.rates.at(window) * share;
            let uneven = input.dispersion_of(here);
            // What is pushed in turn is as even as the turns.
            let uneven = if station.in_turn && here > 0.0 { uneven * share / here } else { uneven };
            rate += part;
            dispersion += part * uneven;
            clump += part * input.clump(share);
        }
        if rate <= 0.0 {
            return Arriving::poisson(0.0);
        }
        Arriving { rate, dispersion: dispersion / rate, clump: clump / rate }
    }

    /// Rates of the most frequent keys, and the sum of the squared rates of all others, in a window.
    pub(super) fn keys(&self, window: usize) -> (Vec<f64>, f64) {
        let (mut top, mut rest) = (Vec::new(), 0.0);
        for input in &self.list {
            let rate = input.rates.at(window);
            top.extend(input.spread.top.iter().map(|(share, _)| rate * share));
            rest += rate * rate * input.spread.rest;
        }
        (top, rest)
    }

    /// Rates of partitions in a window.
    pub(super) fn lanes(&self, count: usize, window: usize) -> Vec<f64> {
        let mut rates = vec![0.0; count];
        for input in &self.list {
            let lanes = &mut rates[input.first..];
            let all = input.rates.at(window);
            lanes.iter_mut().zip(&input.spread.lanes).for_each(|(rate, share)| *rate += all * share);
        }
        rates
    }
}

impl Input {
    /// The share of the flow in the partitions of a queue, and the share that comes to it.
    fn shares(&self, station: &Station) -> (f64, f64) {
        let known = |lane: usize| lane.checked_sub(self.first).and_then(|at| self.spread.lanes.get(at)).copied();
        station.lanes.iter().fold((0.0, 0.0), |(here, share), (lane, part)| {
            let of = known(*lane).unwrap_or(0.0);
            (here + of, share + of * part)
        })
    }

    /// Dispersion of a part of the flow.
    fn dispersion_of(&self, share: f64) -> f64 {
        let by_chance = 1.0 + (self.dispersion - 1.0) * share;
        match self.spread.dealing {
            Dealing::Chance => by_chance,
            Dealing::Turn => self.dispersion * share,
            Dealing::Rows(events) => self.dispersion * share + events * (1.0 - share),
        }
    }

    /// Mean square over mean of what comes together to a queue with this share of the flow: a batch of the client, copies,
    /// and those of an arrival's events that have their keys there.
    fn clump(&self, share: f64) -> f64 {
        self.publishing.clump + (self.together.0 - 1.0) + share * (self.together.1 - 1.0)
    }

    /// Whether the whole flow is a Poisson process, whose events come one by one. What a service publishes has come through
    /// its queue, of which its dispersion does not tell.
    pub(super) fn is_poisson(&self) -> bool {
        let through_a_queue = matches!(self.publisher, Publisher::Service(_));
        !through_a_queue && (self.dispersion - 1.0).abs() < 1e-9 && self.clump(1.0) <= 1.0
    }
}

impl Model<'_> {
    /// Dispersion of a flow, and mean square over mean of the events of one key, and of any keys, that come together in it.
    fn unevenness(&mut self, flow: &Flow<'_>) -> (f64, (f64, f64)) {
        let rate = self.grid.mean(&flow.rates);
        let mut arrival = 1.0;
        let (dispersion, all, steps) = match flow.publisher {
            Publisher::Producer(index) => {
                let it = &self.plan.producers[index];
                let several = &it.events_per_arrival;
                arrival = square_over_mean(several);
                let arrivals = self.grid.mean(&self.grid.arrivals(&it.arrivals, &[]));
                (compound(it.arrivals.dispersion(), several), arrivals * several.mean(), &it.handler.steps)
            }
            Publisher::Service(index) => {
                let requests = self.requests(index);
                arrival = requests.clump;
                (requests.dispersion, self.runs(flow.publisher), &self.plan.services[index].handler.steps)
            }
            Publisher::Consumer(index) => {
                let inputs = self.flows.of_consumer(&self.plan.consumers[index]);
                let all = inputs.map(|flow| self.grid.mean(&flow.rates)).sum();
                (self.departure(index), all, &self.plan.consumers[index].handler.steps)
            }
        };
        let kept = if all > 0.0 { (rate / all).min(1.0) } else { 1.0 };
        let together = copies(steps, flow.topic).map_or(1.0, |count| square_over_mean(&count));
        let thinned = 1.0 + (dispersion - 1.0) * kept;
        (thinned * together, (together, 1.0 + (arrival - 1.0) * kept))
    }

    /// From the creation of a flow's events (the arrival, or the commit after it) until they are published.
    fn lead(&mut self, flow: &Flow<'_>) -> Moments {
        let (steps, types) = match flow.publisher {
            Publisher::Producer(index) => {
                (&self.plan.producers[index].handler.steps, &self.plan.producers[index].types)
            }
            Publisher::Service(index) => (&self.plan.services[index].handler.steps, &self.plan.services[index].types),
            // What a consumer publishes is created then.
            Publisher::Consumer(_) => return Moments::ZERO,
        };
        let whose = Whose { publisher: flow.publisher, types };
        let mut lead = Moments::ZERO;
        for step in steps {
            if publishes(step, flow.topic) {
                break;
            }
            lead = match step {
                Step::Commit(_) => Moments::ZERO,
                _ => lead.plus(self.time(std::slice::from_ref(step), whose).unwrap_or(Moments::ZERO)),
            };
        }
        lead
    }

    /// Dispersion of the events that a consumer is done with: between that of what comes and that of its service, the more
    /// of the latter the busier it is (Whitt 1983, The Queueing Network Analyzer). 1 where it depends on itself.
    fn departure(&mut self, index: usize) -> f64 {
        match self.departures[index] {
            Known::Found(dispersion) => return dispersion,
            Known::Asked => return 1.0,
            Known::NotYet => self.departures[index] = Known::Asked,
        }
        let found = self.find_departure(index).unwrap_or(1.0);
        self.departures[index] = Known::Found(found);
        found
    }

    fn find_departure(&mut self, index: usize) -> Option<f64> {
        let plan = self.plan;
        let consumer: &ConsumerPlan = &plan.consumers[index];
        let inputs = Inputs::of(self, index);
        let types = inputs.types(self);
        let whose = Whose { publisher: Publisher::Consumer(index), types: &types };
        let service = self.time(&consumer.handler.steps, whose).ok()?;
        let stations = super::layout::stations(plan, consumer, consumer.members as usize);
        let window = self.grid.seen().next()?;
        let (mut sum, mut weight) = (0.0, 0.0);
        for station in &stations {
            let arriving = inputs.arriving(station, window);
            let servers = f64::from(station.servers);
            let load = (arriving.rate * service.mean / servers).min(1.0);
            let square = load * load;
            let of_service = square * (service.scv().max(0.2) - 1.0) / crate::math::sqrt(servers);
            let own = 1.0 + (1.0 - square) * (arriving.dispersion - 1.0) + of_service;
            sum += arriving.rate * own;
            weight += arriving.rate;
        }
        (weight > 0.0).then(|| sum / weight)
    }
}

/// How requests come to a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Requests {
    /// Index of dispersion of all of them.
    pub(super) dispersion: f64,
    /// Mean square over mean of those that come at one moment.
    pub(super) clump: f64,
    /// Whether others call it: then they have come through queues.
    pub(super) called: bool,
}

impl Requests {
    /// Whether they are, but for what the queues of callers do to them, a Poisson process.
    pub(super) fn is_poisson(&self) -> bool {
        (self.dispersion - 1.0).abs() < 1e-9 && (self.clump - 1.0).abs() < 1e-9
    }
}

/// Requests of users and callers to services.
impl<'p> Model<'p> {
    /// All whose handlers run.
    pub(super) fn publishers(&self) -> impl Iterator<Item = Publisher> + use<'p> {
        let plan = self.plan;
        let producers = (0..plan.producers.len()).map(Publisher::Producer);
        let consumers = (0..plan.consumers.len()).map(Publisher::Consumer);
        producers.chain(consumers).chain((0..plan.services.len()).map(Publisher::Service))
    }

    /// The handler of one of them.
    pub(super) fn steps_of(&self, publisher: Publisher) -> &'p [Step] {
        match publisher {
            Publisher::Producer(index) => &self.plan.producers[index].handler.steps,
            Publisher::Consumer(index) => &self.plan.consumers[index].handler.steps,
            Publisher::Service(index) => &self.plan.services[index].handler.steps,
        }
    }

    /// How often its handler runs, per second.
    pub(super) fn runs(&self, publisher: Publisher) -> f64 {
        match publisher {
            Publisher::Producer(index) => {
                let it = &self.plan.producers[index];
                self.grid.mean(&self.grid.arrivals(&it.arrivals, &[])) * it.events_per_arrival.mean()
            }
            Publisher::Consumer(index) => {
                let consumer = &self.plan.consumers[index];
                let flows = self.flows.of_consumer(consumer);
                let all: f64 = flows.map(|flow| self.grid.mean(&flow.rates) * wanted(consumer, flow.keys)).sum();
                all / events_of_a_run(consumer, all)
            }
            Publisher::Service(index) => self.flows.visits[index].iter().map(|(_, rates)| self.grid.mean(rates)).sum(),
        }
    }

    /// How requests come to a service. Over a long time as many leave a stable queue as have come to it, so callers pass
    /// the dispersion on of what comes to them.
    pub(super) fn requests(&mut self, index: usize) -> Requests {
        match self.requests[index] {
            Known::Found(requests) => return requests,
            Known::Asked => return Requests { dispersion: 1.0, clump: 1.0, called: true },
            Known::NotYet => self.requests[index] = Known::Asked,
        }
        let found = self.find_requests(index);
        self.requests[index] = Known::Found(found);
        found
    }

    fn find_requests(&mut self, index: usize) -> Requests {
        let mut parts = Vec::new();
        let service = &self.plan.services[index];
        if let Some(arrivals) = &service.arrivals {
            let several = &service.events_per_arrival;
            let rate = self.grid.mean(&self.grid.arrivals(arrivals, &[])) * several.mean();
            parts.push((rate, compound(arrivals.dispersion(), several), square_over_mean(several)));
        }
        let users = parts.len();
        for caller in self.publishers() {
            let mut often = 0.0;
            let mut see = |deed: Deed<'p>, times: f64| {
                often += if matches!(deed, Deed::Call(call) if call.to.0 as usize == index) { times } else { 0.0 };
            };
            Course { fails: &|_| 0.0, see: &mut see }.follow(self.steps_of(caller), 1.0);
            if often > 0.0 {
                let passed = match caller {
                    Publisher::Producer(at) => {
                        let it = &self.plan.producers[at];
                        compound(it.arrivals.dispersion(), &it.events_per_arrival)
                    }
                    Publisher::Consumer(at) => self.departure(at),
                    Publisher::Service(at) => self.requests(at).dispersion,
                };
                parts.push((self.runs(caller) * often, 1.0 + (passed - 1.0) * often.min(1.0), 1.0));
            }
        }
        let all: f64 = parts.iter().map(|(rate, ..)| rate).sum();
        let called = parts.len() > users;
        if all <= 0.0 {
            return Requests { dispersion: 1.0, clump: 1.0, called };
        }
        let mean = |of: fn(&(f64, f64, f64)) -> f64| parts.iter().map(|part| part.0 * of(part)).sum::<f64>() / all;
        Requests { dispersion: mean(|part| part.1), clump: mean(|part| part.2), called }
    }
}

/// Dispersion where each arrival is so many events.
fn compound(dispersion: f64, several: &Dist) -> f64 {
    let mean = several.mean();
    if mean <= 0.0 { dispersion } else { dispersion * mean + several.variance() / mean }
}

fn square_over_mean(count: &Dist) -> f64 {
    let mean = count.mean();
    if mean <= 0.0 { 1.0 } else { (mean + count.variance() / mean).max(1.0) }
}

/// How many copies of one key a handler publishes to a topic at once.
fn copies(steps: &[Step], topic: usize) -> Option<Dist> {
    let mut found = None;
    let mut see = |step: &Step| {
        if let Step::Publish(PublishStep { to, count, key: None, .. }) = step
            && to.0 as usize == topic
        {
            found = Some(count.clone());
        }
    };
    steps.iter().for_each(|step| step.visit(&mut see));
    found
}

fn publishes(step: &Step, topic: usize) -> bool {
    let mut found = false;
    step.visit(&mut |step| found |= matches!(step, Step::Publish(publish) if publish.to.0 as usize == topic));
    found
}
