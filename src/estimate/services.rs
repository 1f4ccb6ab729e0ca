//! Estimates of services: what reaches them through the graph of calls, how long a request holds a worker, how long it waits
//! for one, and how many are refused.

use super::consumers::TAME;
use super::flows::Publisher;
use super::formulas::{Arriving, Wait, gigc, mmc};
use super::law::{Law, quantile};
use super::loss::{Limited, mmck};
use super::model::Model;
use super::moments::Moments;
use super::rates::Rates;
use super::work::Whose;
use super::{Accuracy, Doubt, letter};
use crate::dist::{Arrivals, Dist};
use crate::plan::{Balance, Plan, ServiceId, ServicePlan, Step, called};

/// What the formulas say of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Requests per second, of users and callers, over the measured time.
    pub rate: f64,
    /// The highest of them in a window of the run.
    pub peak: f64,
    /// Time for which a request holds its worker, waiting for others included; none where calls go in a circle.
    pub held: Option<Moments>,
    /// Workers of all instances.
    pub servers: f64,
    /// Worker time asked for over that there is.
    pub load: Option<f64>,
    /// The same of the busiest instance.
    pub busiest: Option<f64>,
    /// The same at the peak.
    pub peak_load: Option<f64>,
    /// The formula: `2 x M/G/25/125`.
    pub formula: String,
    /// How good it is here.
    pub accuracy: Accuracy,
    /// Mean wait for a worker, s.
    pub wait: Option<f64>,
    /// Share of requests that are refused.
    pub refused: Option<f64>,
    /// From the arrival to the answer, where all goes well.
    pub response: Option<Moments>,
    /// Percentiles of the response, s.
    pub p50: Option<f64>,
    /// The 99th.
    pub p99: Option<f64>,
    /// What the formula leaves out.
    pub doubts: Vec<Doubt>,
}

/// One queue of a service: the share of requests that come to it, its workers and its room.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Desk {
    share: f64,
    workers: u32,
    room: u32,
    /// Whether requests come to it in turn with others, and not by chance.
    in_turn: bool,
    /// So many alike.
    count: f64,
}

impl Desk {
    /// What comes to it of all requests.
    fn arriving(&self, rate: f64, dispersion: f64) -> Arriving {
        let dispersion = if self.in_turn { dispersion * self.share } else { 1.0 + (dispersion - 1.0) * self.share };
        Arriving { rate: self.share * rate, dispersion, clump: 1.0 }
    }

    /// M/M/c/K, its wait scaled by what the variations of arrivals and service do to a queue without limit.
    fn limited(&self, arriving: Arriving, held: Moments) -> Limited {
        let Limited { refused, wait } = mmck(self.workers, self.room, arriving.rate, held.mean);
        let (open, general) = (mmc(self.workers, arriving.rate, held.mean), gigc(self.workers, arriving, held));
        let factor = match (open, general) {
            (Some(open), Some(general)) if open.mean > 0.0 => general.mean / open.mean,
            _ => 1.0,
        };
        Limited { refused, wait: Wait { mean: factor * wait.mean, ..wait } }
    }
}

impl Service {
    /// Of a service of the model.
    pub(super) fn of(model: &mut Model<'_>, index: usize) -> Self {
        let plan = model.plan;
        let policy = &plan.services[index];
        let mut rates = model.grid.zero();
        model.flows.visits[index].iter().for_each(|(_, more)| rates.add(more));
        let types = types_of(model, index);
        let held = model.time(&policy.handler.steps, Whose { publisher: Publisher::Service(index), types: &types });
        let desks = desks(plan, index);
        let servers = f64::from(policy.instances) * f64::from(policy.workers);
        let (rate, peak) = (model.grid.mean(&rates), model.grid.peak(&rates));
        let mut found = Self {
            name: policy.name.clone(),
            rate,
            peak,
            held,
            servers,
            formula: "calls in a circle".into(),
            doubts: doubts(plan, policy),
            ..Self::default()
        };
        if let Some(held) = held {
            found.steady(model, policy, &desks, &rates, held);
        }
        found.look_at_timeouts(model, policy);
        found
    }

    /// What a steady state gives in each window.
    fn steady(&mut self, model: &Model<'_>, policy: &ServicePlan, desks: &[Desk], rates: &Rates, held: Moments) {
        self.load = Some(self.rate * held.mean / self.servers);
        self.peak_load = Some(self.peak * held.mean / self.servers);
        let busiest = desks.iter().map(|desk| desk.share * self.rate * held.mean / f64::from(desk.workers));
        self.busiest = Some(busiest.fold(0.0, f64::max));
        let dispersion = policy.arrivals.as_ref().map_or(1.0, Arrivals::dispersion);
        let exponential = matches!(policy.handler.steps.as_slice(), [Step::Work(Dist::Exponential(_))]);
        let (mut laws, mut waits, mut taken, mut refused) = (Vec::new(), Vec::new(), 0.0, 0.0);
        for window in model.grid.seen() {
            for desk in desks {
                let arriving = desk.arriving(rates.at(window), dispersion);
                let all = desk.count * arriving.rate * model.grid.measured(window);
                let limited = desk.limited(arriving, held);
                let wait = limited.wait.moments();
                let part = all * (1.0 - limited.refused);
                (taken, refused) = (taken + part, refused + all - part);
                waits.push((part, wait));
                let law =
                    if exponential { Law::exponential(limited.wait, held.mean) } else { Law::fitted(wait.plus(held)) };
                laws.push((part, law));
            }
        }
        if taken <= 0.0 {
            return;
        }
        let wait = Moments::mixture(waits);
        self.wait = Some(wait.mean);
        self.refused = Some(refused / (taken + refused));
        self.response = Some(wait.plus(held));
        if held.scv() < TAME {
            (self.p50, self.p99) = (quantile(&laws, 0.5), quantile(&laws, 0.99));
        }
        self.name_formula(desks, held, exponential, dispersion);
    }

    fn name_formula(&mut self, desks: &[Desk], held: Moments, exponential: bool, dispersion: f64) {
        let [first, ..] = desks else { return };
        let even = first.in_turn;
        let law = letter(exponential, held);
        let arrivals = if even || (dispersion - 1.0).abs() > 1e-9 { "G" } else { "M" };
        let count: f64 = desks.iter().map(|desk| desk.count).sum();
        let times = if count > 1.0 { format!("{count} x ") } else { String::new() };
        let total = u64::from(first.workers) + u64::from(first.room);
        self.formula = format!("{times}{arrivals}/{law}/{}/{total}", first.workers);
        let exact = arrivals == "M" && exponential && count < 2.0 && self.doubts.is_empty();
        let steady = self.peak_load.zip(self.load).is_some_and(|(peak, mean)| peak < 1.0 && peak < 1.05 * mean);
        self.accuracy = match () {
            () if exact && steady => Accuracy::Exact,
            () if steady => Accuracy::Good,
            () => Accuracy::Rough,
        };
    }

    /// Calls that are often given up before they are answered.
    fn look_at_timeouts(&mut self, model: &mut Model<'_>, policy: &ServicePlan) {
        let mut calls = Vec::new();
        let mut see = |step: &Step| {
            if let Step::Call(call) = step {
                calls.extend(call.timeout.map(|timeout| (call.to, timeout.seconds())));
            }
        };
        policy.handler.steps.iter().for_each(|step| step.visit(&mut see));
        for (to, timeout) in calls {
            let Some(response) = model.service(to).and_then(|service| service.response) else { continue };
            let late = super::gamma::Gamma::fit(response).later(timeout);
            if late > 0.001 {
                self.doubts.push(Doubt::TimeOuts { to: model.plan.services[to.0 as usize].name.clone(), share: late });
            }
        }
    }
}

/// Shares of the types of the requests that reach a service.
fn types_of(model: &Model<'_>, index: usize) -> Vec<(u16, f64)> {
    let mut shares = std::collections::BTreeMap::new();
    let mut all = 0.0;
    for (event_type, rates) in &model.flows.visits[index] {
        let rate = model.grid.mean(rates);
        all += rate;
        *shares.entry(*event_type).or_insert(0.0) += rate;
    }
    shares.into_iter().map(|(event_type, rate)| (event_type, rate / all)).collect()
}

/// The queues of a service.
fn desks(plan: &Plan, index: usize) -> Vec<Desk> {
    let ServicePlan { instances, workers, queue, balance, .. } = plan.services[index];
    let count = f64::from(instances.max(1));
    let each = Desk { share: 1.0 / count, workers, room: queue, in_turn: instances > 1, count };
    match balance {
        _ if instances <= 1 => vec![each],
        Balance::RoundRobin => vec![each],
        // Whoever comes finds a free worker if there is one anywhere.
        Balance::LeastOutstanding | Balance::TwoChoices => {
            let (workers, room) = (workers.saturating_mul(instances), queue.saturating_mul(instances));
            vec![Desk { share: 1.0, workers, room, in_turn: false, count: 1.0 }]
        }
        Balance::Pinned => pinned(plan, index, each),
    }
}

/// Callers that each keep to one instance, taken in turn: some instances may have one caller more than others.
fn pinned(plan: &Plan, index: usize, each: Desk) -> Vec<Desk> {
    let calls = plan.services.iter().filter(|service| called(&service.handler.steps).contains(&ServiceId(id(index))));
    let callers: u32 = calls.map(|service| service.instances).sum();
    let instances = plan.services[index].instances;
    if callers == 0 || plan.services[index].arrivals.is_some() {
        return vec![each];
    }
    let (share, extra) = (callers / instances, callers % instances);
    let desk = |callers_here: u32, count: u32| Desk {
        share: f64::from(callers_here) / f64::from(callers),
        in_turn: false,
        count: f64::from(count),
        ..each
    };
    let desks = [desk(share + 1, extra), desk(share, instances - extra)];
    desks.into_iter().filter(|desk| desk.count > 0.0 && desk.share > 0.0).collect()
}

fn id(index: usize) -> u32 {
    u32::try_from(index).expect("services fit 32 bits")
}

/// What a plan has that the formula leaves out.
fn doubts(plan: &Plan, policy: &ServicePlan) -> Vec<Doubt> {
    let mut found = Vec::new();
    let mut see = |step: &Step| match step {
        Step::Call(call) if call.hedge.is_some() => found.push(Doubt::Hedges),
        Step::Call(call) if call.pool.is_some() => found.push(Doubt::Pools),
        Step::Call(call) if call.breaker.is_some() => found.push(Doubt::Breakers),
        Step::Hold { of, .. } if plan.resources[of.0 as usize].per_key => found.push(Doubt::Locks),
        _ => {}
    };
    policy.handler.steps.iter().for_each(|step| step.visit(&mut see));
    if policy.arrivals.as_ref().is_some_and(|arrivals| arrivals.swing() > 1.0) {
        found.push(Doubt::Turns);
    }
    found.dedup();
    found
}
