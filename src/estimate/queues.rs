//! The queues of a consumer in each window of a run: who waits there, and how long.

use super::bus::batch;
use super::flows::events_of_a_run;
use super::formulas::{Arriving, Wait, gigc, reached_within, relaxation, spread_of_mean};
use super::handling::{Failing, Handling};
use super::inputs::Inputs;
use super::law::Law;
use super::layout::{self, Exclusive, Station};
use super::model::Model;
use super::moments::Moments;
use crate::dist::Dist;
use crate::plan::{ConsumerPlan, Dispatch, Membership, Step};

/// What is known of a consumer before its queues are looked at.
pub(super) struct Known<'p> {
    pub(super) index: usize,
    pub(super) policy: &'p ConsumerPlan,
    pub(super) inputs: Inputs,
    /// Of one attempt of the handler, and of all that is done about an event.
    pub(super) attempt: Moments,
    pub(super) handling: Handling,
    /// Events of a run.
    pub(super) batch: f64,
    /// Whether that is one exponential time.
    pub(super) exponential: bool,
    /// Whether rates or members change over the measured time.
    pub(super) varies: bool,
    /// Stages before the wait: in the client, on the bus, and from there to the member.
    pub(super) before: Moments,
    pub(super) network: Moments,
}

/// A wait, and the queue that it is in where there is nothing else to wait for.
#[derive(Clone, Copy)]
struct Waiting {
    moments: Moments,
    queue: Option<Wait>,
}

impl Waiting {
    fn of(queue: Wait) -> Self {
        Self { moments: queue.moments(), queue: Some(queue) }
    }

    /// The same with a mean of at most so many seconds.
    fn at_most(self, most: f64) -> Self {
        match self.queue {
            Some(queue) if queue.mean > most => Self::of(Wait { mean: most, ..queue }),
            _ => self,
        }
    }
}

/// What the order within keys or partitions does.
#[derive(Clone, Copy, Default)]
pub(super) struct Ordered {
    /// The wait for the one before, as a mean over all.
    wait: Wait,
    /// Load of the busiest of them.
    pub(super) busiest: f64,
}

/// Waits, added up over queues and windows.
#[derive(Default)]
pub(super) struct Sums {
    /// Events, and of those the ones that come to queues with a load of 1 or more.
    pub(super) events: f64,
    pub(super) overloaded: f64,
    pub(super) waits: Vec<(f64, Moments)>,
    pub(super) laws: Vec<(f64, Law)>,
    /// Handlers over time, and by queue its load over time.
    pub(super) servers: f64,
    pub(super) loads: Vec<f64>,
    /// The same of the busiest key or partition, where one is handled at a time.
    pub(super) key_load: f64,
    pub(super) peak_load: f64,
    pub(super) seconds: f64,
    /// Waits of all events, and the variance of their sum over runs.
    total: (f64, f64),
    pub(super) memory: f64,
    /// Whether there is a queue whose wait no formula tells, although its load is below 1.
    pub(super) unknown: bool,
}

impl Sums {
    /// Standard deviation of the mean wait of one run, over the mean.
    pub(super) fn noise(&self) -> f64 {
        let (sum, variance) = self.total;
        if sum > 0.0 { crate::math::sqrt(variance) / sum } else { 0.0 }
    }
}

impl<'p> Known<'p> {
    /// Time for which one event holds a handler, retries included; its share where a handler takes a batch.
    pub(super) fn each(&self) -> Moments {
        self.handling.held.times(self.handling.deliveries / self.batch)
    }

    pub(super) fn new(model: &Model<'p>, index: usize, inputs: Inputs, attempt: Moments) -> Self {
        let policy = &model.plan.consumers[index];
        let batch = events_of_a_run(policy, model.grid.mean(&inputs.rates));
        let handling = Handling::of(attempt, Failing::of(&policy.failure, batch, 0.0), &policy.retry);
        let network = match &policy.dispatch {
            Dispatch::Log(log) => Moments::of(&log.network, &[]),
            Dispatch::Queue(queue) => Moments::of(&queue.network, &[]),
        };
        let before = inputs.mean(model, |input| input.publishing.buffer.plus(input.publishing.store).plus(input.lead));
        let exponential = is_exponential(&policy.handler.steps, attempt) && handling.success >= 1.0 && batch <= 1.0;
        let varies = varies(model, index, &inputs);
        Self { index, policy, inputs, attempt, handling, batch, exponential, varies, before, network }
    }

    /// Whether nothing lies between a visible event and an idle handler, and each event is published by itself.
    pub(super) fn is_instant(&self) -> bool {
        let at_once = match &self.policy.dispatch {
            Dispatch::Log(log) => log.max_poll_records == u32::MAX && self.policy.membership == Membership::Immediate,
            Dispatch::Queue(queue) => queue.prefetch <= self.policy.workers,
        };
        at_once && self.network.mean <= 0.0 && self.inputs.list.iter().all(|input| input.publishing.alone)
    }

    /// Servers of the queue that has most of them.
    pub(super) fn most_servers(&self, stations: &[Station]) -> u32 {
        stations.iter().map(|station| station.servers).max().unwrap_or(0)
    }

    /// Whether arrivals are about as uneven as by chance.
    pub(super) fn is_mild(&self, stations: &[Station], window: usize) -> bool {
        self.doubts_about_arrivals().is_empty()
            && stations.iter().all(|station| {
                let Arriving { dispersion, clump, .. } = self.inputs.arriving(station, window);
                (0.5..=1.5).contains(&dispersion) && clump < 1.5
            })
    }

    /// Adds what happens at all queues in one window.
    pub(super) fn window(&self, model: &Model<'_>, stations: &[Station], window: usize, sums: &mut Sums) {
        let seconds = model.grid.measured(window);
        sums.seconds += seconds;
        sums.servers += seconds * layout::servers(stations);
        sums.loads.resize(sums.loads.len().max(stations.len()), 0.0);
        let order = self.order(model, stations, window);
        let lasted = self.lasted(model, window);
        sums.key_load += seconds * order.busiest;
        sums.peak_load = sums.peak_load.max(order.busiest);
        for (at, station) in stations.iter().enumerate() {
            let arriving = self.inputs.arriving(station, window);
            if arriving.rate <= 0.0 {
                continue;
            }
            let (events, load) = (arriving.rate * seconds, self.load(station, arriving.rate));
            let (servers, dispersion, held) = (station.servers, arriving.dispersion, self.handling.held);
            sums.events += events;
            sums.loads[at] += seconds * load;
            sums.peak_load = sums.peak_load.max(load);
            let queues = self.policy.schedule.is_none();
            let wait = self.wait(station, arriving);
            if let Some(wait) = wait.filter(|_| load < 1.0 && queues) {
                let sum = events * wait.moments.mean;
                let spread = sum * spread_of_mean(events, load, dispersion, held);
                sums.total = (sums.total.0 + sum, sums.total.1 + spread * spread);
                sums.memory = sums.memory.max(relaxation(servers, load, dispersion, held));
            }
            let too_much = load >= 1.0 || order.busiest >= 1.0 || (wait.is_none() && !queues);
            sums.overloaded += if too_much { events } else { 0.0 };
            sums.unknown |= wait.is_none() && !too_much;
            let most = (self.varies && queues).then(|| reached_within(lasted, servers, dispersion, held));
            let wait = match (wait, most) {
                (Some(wait), Some(most)) => wait.at_most(most),
                (Some(wait), None) => wait,
                (None, Some(most)) => Waiting::of(Wait { mean: most, share: 1.0 }),
                (None, None) => continue,
            };
            let ordered = if station.exclusive == Exclusive::Nothing { Moments::ZERO } else { order.wait.moments() };
            sums.waits.push((events, wait.moments.plus(ordered)));
            sums.laws.push((events, self.law(wait, ordered)));
        }
    }

    /// For how long about as much has come as in this window, at its end: what a queue can have built up.
    fn lasted(&self, model: &Model<'_>, window: usize) -> f64 {
        let enough = 0.9 * self.inputs.rates.at(window);
        let same = (0..=window).rev().take_while(|at| self.inputs.rates.at(*at) >= enough);
        same.map(|at| model.grid.length(at)).sum()
    }

    /// The law of the latency after such a wait, and after one for the order within keys or partitions.
    fn law(&self, wait: Waiting, ordered: Moments) -> Law {
        let before = self.before.plus(self.network).plus(ordered);
        match wait.queue {
            Some(queue) if self.exponential && before.mean <= 0.0 => Law::exponential(queue, self.handling.held.mean),
            _ => Law::fitted(before.plus(wait.moments).plus(self.handling.served)),
        }
    }

    /// Load of a queue.
    fn load(&self, station: &Station, rate: f64) -> f64 {
        rate * self.handling.deliveries * self.handling.held.mean / self.batch / f64::from(station.servers)
    }

    /// The wait in a queue.
    fn wait(&self, station: &Station, arriving: Arriving) -> Option<Waiting> {
        let held = self.handling.held;
        if let Some(schedule) = self.policy.schedule {
            return self.until_woken(station, arriving, schedule.every.seconds());
        }
        if let Some(plan) = self.policy.batch {
            let (company, _) = batch(arriving.rate, plan.max_wait.seconds(), f64::from(plan.max));
            let runs = Arriving { rate: arriving.rate / self.batch, dispersion: 1.0 / self.batch, clump: 1.0 };
            let queue = gigc(station.servers, runs, held)?;
            return Some(Waiting { moments: company.plus(queue.moments()), queue: None });
        }
        // Credit is held until the acknowledgement has come back.
        let held = match &self.policy.dispatch {
            Dispatch::Queue(queue) if queue.prefetch <= self.policy.workers => {
                held.plus(self.network).plus(self.network)
            }
            _ => held,
        };
        let again = Arriving { rate: arriving.rate * self.handling.deliveries, ..arriving };
        gigc(station.servers, again, held).map(Waiting::of)
    }

    /// Events wait for half an interval on average, and then for those before them. None if they are not done by the next wake.
    fn until_woken(&self, station: &Station, arriving: Arriving, every: f64) -> Option<Waiting> {
        let each = self.handling.held.mean / self.batch / f64::from(station.servers);
        let all = arriving.rate * every * each;
        let moments = Moments { mean: 0.5 * (every + all), variance: (every * every + all * all) / 12.0 };
        (all < every).then_some(Waiting { moments, queue: None })
    }

    /// What the order within keys or partitions adds, each of them being a queue of its own (Pollaczek and Khinchine).
    pub(super) fn order(&self, model: &Model<'_>, stations: &[Station], window: usize) -> Ordered {
        let by_key = stations.iter().any(|station| station.exclusive == Exclusive::Key);
        let by_lane = stations.iter().any(|station| station.exclusive == Exclusive::Partition);
        let (rates, rest) = match () {
            () if by_key => self.inputs.keys(window),
            () if by_lane => {
                let count = layout::partitions(model.plan, self.policy).iter().map(|count| *count as usize).sum();
                (self.inputs.lanes(count, window), 0.0)
            }
            () => return Ordered::default(),
        };
        let (held, all) = (self.handling.held, self.inputs.rates.at(window));
        if all <= 0.0 {
            return Ordered::default();
        }
        let square = held.variance + held.mean * held.mean;
        let waits = rates.iter().map(|rate| rate * rate / (1.0 - rate * held.mean).max(0.02)).sum::<f64>() + rest;
        let meets = rates.iter().map(|rate| rate * (rate * held.mean).min(1.0)).sum::<f64>() + rest * held.mean;
        Ordered {
            wait: Wait { mean: waits * square / 2.0 / all, share: (meets / all).min(1.0) },
            busiest: rates.iter().copied().fold(0.0, f64::max) * held.mean,
        }
    }
}

/// Whether an attempt is one exponential time, and publishes in no time if it does.
fn is_exponential(steps: &[Step], attempt: Moments) -> bool {
    let mut others = steps.iter().filter(|step| !matches!(step, Step::Publish(_)));
    let (first, second) = (others.next(), others.next());
    let Some(Step::Work(Dist::Exponential(mean))) = first else { return false };
    second.is_none() && (attempt.mean - mean * 1e-9).abs() <= 1e-12 * attempt.mean
}

/// Whether rates or members change over the measured time.
fn varies(model: &Model<'_>, index: usize, inputs: &Inputs) -> bool {
    let rates = model.grid.seen().map(|window| inputs.rates.at(window));
    let (low, high) = rates.fold((f64::INFINITY, 0.0_f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    let mut sizes = model.grid.seen().map(|window| members_at(model, index, model.grid.start(window)));
    let first = sizes.next();
    high > 1.001 * low || sizes.any(|size| Some(size) != first)
}

/// Members that a consumer shall have at a time.
pub(super) fn members_at(model: &Model<'_>, consumer: usize, time: u64) -> usize {
    let sizes = model.plan.sizes(consumer);
    sizes.iter().rev().find(|(at, _)| *at <= time).map_or(0, |(_, members)| *members as usize)
}
