//! Estimates of services: what reaches them through the graph of calls, how long a request holds a worker, how long it waits
//! for one, and how many are refused.

use super::consumers::{Backlog, TAME};
use super::crowds;
use super::doubts::note;
use super::flows::Publisher;
use super::formulas::{Arriving, Wait, erlang_gaps, gigc, mmc, spread_of_mean};
use super::inputs::Requests;
use super::law::{Law, quantile};
use super::loss::{Limited, mmck};
use super::model::Model;
use super::moments::Moments;
use super::outages::Outage;
use super::rates::Rates;
use super::work::Whose;
use super::{Accuracy, Doubt, letter};
use crate::dist::Dist;
use crate::plan::{Balance, Handler, Plan, ServicePlan, Step};

/// What the formulas say of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Requests per second, of users and callers, over the measured time.
    pub rate: f64,
    /// The highest of them in a window of the run.
    pub peak: f64,
    /// Time for which a request holds its worker, waiting for others included; none where no formula tells it.
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
    /// Standard deviation of the mean wait of one run, over the mean.
    pub noise: f64,
    /// Percentiles of the response, s.
    pub p50: Option<f64>,
    /// The 99th.
    pub p99: Option<f64>,
    /// Requests that wait on average while no more comes than can be done; 0 where there is no steady state at all.
    pub usual: f64,
    /// What a fluid leaves waiting; none where the load is below 1 all the time, and no fault takes capacity away.
    pub backlog: Option<Backlog>,
    /// What faults do to it, as a fluid, until [`super::Estimates::outages`] has it.
    pub(super) outages: Vec<Outage>,
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
    fn arriving(&self, all: Arriving) -> Arriving {
        let Arriving { rate, dispersion, clump } = all;
        let rate = self.share * rate;
        if self.in_turn {
            return Arriving { rate, dispersion: dispersion * self.share, clump: (clump * self.share).max(1.0) };
        }
        let thinned = |index: f64| 1.0 + (index - 1.0) * self.share;
        Arriving { rate, dispersion: thinned(dispersion), clump: thinned(clump) }
    }

    /// M/M/c/K, its wait scaled by what the variations of arrivals and service do to a queue without limit. To a queue that
    /// varies so many times as much its room is so many times as small (its backlog in heavy traffic: Kingman 1962).
    fn limited(&self, arriving: Arriving, held: Moments) -> Limited {
        let both = 0.5 * (arriving.dispersion + held.scv());
        let uneven = if both.is_finite() { both.clamp(0.1, 10.0) } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and the cast saturates")]
        let room = (f64::from(self.room) / uneven).round() as u32;
        let found = mmck(self.workers, room, arriving.rate, held.mean);
        if room != self.room && found.refused > NOTHING {
            // As much work waits as in the smaller room of larger steps.
            let wait = Wait { mean: uneven * found.wait.mean, ..found.wait };
            return Limited { wait, square: uneven * uneven * found.square, ..found };
        }
        let found = mmck(self.workers, self.room, arriving.rate, held.mean);
        let (open, general) = (mmc(self.workers, arriving.rate, held.mean), self.open(arriving, held));
        match (open, general) {
            (Some(open), Some(general)) if open.mean > 0.0 => {
                let factor = general.mean / open.mean;
                let wait = Wait { mean: factor * found.wait.mean, share: general.share };
                let square = if found.refused > NOTHING { factor * factor * found.square } else { general.square() };
                Limited { wait, square, ..found }
            }
            _ => found,
        }
    }

    /// Whether more comes than can be done, while there is more room than a run of so many seconds fills.
    fn never_fills(&self, arriving: Arriving, held: Moments, run: f64) -> bool {
        let over = arriving.rate - f64::from(self.workers) / held.mean;
        held.mean > 0.0 && over >= 0.0 && over * run < f64::from(self.room)
    }

    /// The same without a limit. Turns of Poisson arrivals at one server each with exponential service are GI/M/1, whose wait
    /// is known: Erlang gaps of as many stages as there are queues.
    fn open(&self, arriving: Arriving, held: Moments) -> Option<Wait> {
        let exponential = (held.scv() - 1.0).abs() < 1e-9;
        let by_turns = self.in_turn && self.workers == 1 && (arriving.dispersion - self.share).abs() < 1e-9;
        if exponential && by_turns && arriving.rate * held.mean < 1.0 {
            return Some(erlang_gaps(self.count, arriving.rate, held.mean));
        }
        gigc(self.workers, arriving, held)
    }
}

/// Shares below this are none.
const NOTHING: f64 = 1e-6;

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
        let mut found =
            Self { name: policy.name.clone(), rate, peak, servers, doubts: doubts(plan, policy), ..Self::default() };
        match held {
            Ok(held) => {
                found.held = Some(held);
                let requests = model.requests(index);
                found.steady(model, (policy, requests), &desks, &rates, held);
                (found.backlog, found.outages) = crowds::follow(model, index, &rates, &found);
                found.add_backlog();
            }
            Err(untimed) => found.formula = untimed.to_string(),
        }
        found.look_at_timeouts(model, policy);
        found.look_at_callers(plan, index);
        found
    }

    /// What a steady state gives in each window.
    fn steady(
        &mut self,
        model: &Model<'_>,
        (policy, requests): (&ServicePlan, Requests),
        desks: &[Desk],
        rates: &Rates,
        held: Moments,
    ) {
        self.load = Some(self.rate * held.mean / self.servers);
        self.peak_load = Some(self.peak * held.mean / self.servers);
        let busiest = desks.iter().map(|desk| desk.share * self.rate * held.mean / f64::from(desk.workers));
        self.busiest = Some(busiest.fold(0.0, f64::max));
        let exponential = matches!(policy.handler.steps.as_slice(), [Step::Work(Dist::Exponential(_))]);
        let (mut laws, mut waits, mut taken, mut refused) = (Vec::new(), Vec::new(), 0.0, 0.0);
        let (mut waited, mut calm) = (0.0, 0.0);
        let run = model.plan.duration.seconds();
        for window in model.grid.seen() {
            let keeps_up = rates.at(window) * held.mean < self.servers;
            calm += if keeps_up { model.grid.measured(window) } else { 0.0 };
            for desk in desks {
                let Requests { dispersion, clump, .. } = requests;
                let arriving = desk.arriving(Arriving { rate: rates.at(window), dispersion, clump });
                let all = desk.count * arriving.rate * model.grid.measured(window);
                if all <= 0.0 {
                    continue;
                }
                if desk.never_fills(arriving, held, run) {
                    self.formula = "no steady state".into();
                    return;
                }
                let limited = desk.limited(arriving, held);
                let mean = limited.wait.mean;
                let wait = Moments { mean, variance: (limited.square - mean * mean).max(0.0) };
                let part = all * (1.0 - limited.refused);
                waited += if keeps_up { part * mean } else { 0.0 };
                (taken, refused) = (taken + part, refused + all - part);
                waits.push((part, wait));
                // The wait of those that wait is exponential, but for what a limit cuts off.
                let law = if exponential && limited.refused <= NOTHING {
                    Law::exponential(limited.wait, held.mean)
                } else {
                    Law::fitted(wait.plus(held))
                };
                laws.push((part, law));
            }
        }
        if taken <= 0.0 {
            self.formula = "nothing comes".into();
            // Who is called never, or hardly ever, answers at once.
            self.response = Some(held);
            return;
        }
        self.usual = if calm > 0.0 { waited / calm } else { 0.0 };
        let wait = Moments::mixture(waits);
        self.wait = Some(wait.mean);
        self.refused = Some(refused / (taken + refused));
        self.response = Some(wait.plus(held));
        let all = Arriving { rate: self.rate, dispersion: requests.dispersion, clump: requests.clump };
        self.noise = spread_of_mean(taken, self.busiest.unwrap_or(0.0), all.dispersion, held);
        if held.scv() < TAME {
            (self.p50, self.p99) = (quantile(&laws, 0.5), quantile(&laws, 0.99));
        }
        self.name_formula(desks, held, exponential, requests);
    }

    /// Where there is no steady state, what waits by the fluid is what is waited for.
    fn add_backlog(&mut self) {
        if let Some(backlog) = self.backlog.filter(|backlog| backlog.overload && self.wait.is_none()) {
            self.wait = Some(backlog.delay);
        }
    }

    fn name_formula(&mut self, desks: &[Desk], held: Moments, exponential: bool, requests: Requests) {
        let [first, ..] = desks else { return };
        let law = letter(exponential, held);
        let arrivals = if first.in_turn || !requests.is_poisson() { "G" } else { "M" };
        let count: f64 = desks.iter().map(|desk| desk.count).sum();
        let times = if count > 1.0 { format!("{count} x ") } else { String::new() };
        let total = u64::from(first.workers) + u64::from(first.room);
        self.formula = format!("{times}{arrivals}/{law}/{}/{total}", first.workers);
        let by_chance = arrivals == "M" && !requests.called;
        let refuses = self.refused.is_some_and(|refused| refused > NOTHING);
        let exact = by_chance && exponential && count < 2.0 && !refuses && self.doubts.is_empty();
        // Of who is refused two moments tell little.
        let known = exponential || !refuses;
        let steady = self.peak_load.zip(self.load).is_some_and(|(peak, mean)| peak < 1.0 && peak < 1.05 * mean);
        self.accuracy = match () {
            () if exact && steady => Accuracy::Exact,
            () if steady && known => Accuracy::Good,
            () => Accuracy::Rough,
        };
    }

    /// Callers that are few: each of their workers asks one thing at a time.
    fn look_at_callers(&mut self, plan: &Plan, index: usize) {
        let few = requests_at_once(plan, index).filter(|most| *most < 5.0 * self.servers);
        if let Some(most) = few.filter(|_| self.load.is_some_and(|load| load > 0.3)) {
            self.doubts.push(Doubt::FewCallers(most));
        }
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
            // Its two moments say nothing of its tail.
            if !response.scv().is_finite() {
                continue;
            }
            let late = super::gamma::Gamma::fit(response).later(timeout);
            if late > 0.001 {
                self.doubts.push(Doubt::TimeOuts { to: model.plan.services[to.0 as usize].name.clone(), share: late });
            }
        }
    }
}

/// Most requests of its callers that are at a service at once, where only services call it: each of their workers asks one
/// thing at a time.
pub(super) fn requests_at_once(plan: &Plan, index: usize) -> Option<f64> {
    let endless = plan.services[index].arrivals.is_some()
        || plan.producers.iter().any(|it| call_steps(&it.handler.steps, index) > 0)
        || plan.consumers.iter().any(|it| call_steps(&it.handler.steps, index) > 0);
    let at_once = |it: &ServicePlan| {
        f64::from(it.instances) * f64::from(it.workers) * f64::from(call_steps(&it.handler.steps, index))
    };
    let most: f64 = plan.services.iter().map(at_once).sum();
    (!endless && most > 0.0).then_some(most)
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
    // Each process keeps to an instance for each of its call steps.
    let services = plan.services.iter().map(|it| (it.instances, &it.handler.steps));
    let producers = plan.producers.iter().map(|it| (it.instances, &it.handler.steps));
    let consumers = plan.consumers.iter().map(|it| (it.members, &it.handler.steps));
    let all = services.chain(producers).chain(consumers);
    let callers: u32 = all.map(|(processes, steps)| processes * call_steps(steps, index)).sum();
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

/// Steps that call a service.
fn call_steps(steps: &[Step], index: usize) -> u32 {
    let mut count = 0;
    let mut see = |step: &Step| count += u32::from(matches!(step, Step::Call(call) if call.to.0 as usize == index));
    steps.iter().for_each(|step| step.visit(&mut see));
    count
}

/// What a plan has that the formula leaves out.
fn doubts(plan: &Plan, policy: &ServicePlan) -> Vec<Doubt> {
    let mut found = doubts_about_steps(plan, &policy.handler);
    if policy.arrivals.as_ref().is_some_and(|arrivals| arrivals.swing() > 1.0) {
        found.push(Doubt::Turns);
    }
    found
}

/// What a handler has that the formula leaves out, of a service or a consumer.
pub(super) fn doubts_about_steps(plan: &Plan, handler: &Handler) -> Vec<Doubt> {
    let mut found = Vec::new();
    let mut see = |step: &Step| match step {
        Step::Call(call) => {
            let has = [
                (call.hedge.is_some(), Doubt::Hedges),
                (call.pool.is_some(), Doubt::Pools),
                (call.breaker.is_some(), Doubt::Breakers),
            ];
            has.into_iter().filter(|(has, _)| *has).for_each(|(_, doubt)| note(&mut found, doubt));
        }
        Step::Hold { of, .. } if plan.resources[of.0 as usize].per_key => note(&mut found, Doubt::Locks),
        _ => {}
    };
    handler.visit(&mut see);
    found
}
