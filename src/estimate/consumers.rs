//! Estimates of consumers: how long an event waits for a handler, and how long it takes from its creation to its effect.

use super::doubts::Doubt;
use super::flows::Publisher;
use super::inputs::{Input, Inputs};
use super::law::quantile;
use super::layout::{Exclusive, stations};
use super::model::Model;
use super::moments::Moments;
use super::outages::{self, Outage};
use super::queues::{Known, Sums, members_at};
use super::work::Whose;
use super::{Accuracy, letter};
use crate::units::{show_number, write_duration};

/// What the formulas say of one consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumer {
    /// Name.
    pub name: String,
    /// Events that it wants, per second, over the measured time.
    pub rate: f64,
    /// The highest of them in a window of the run.
    pub peak: f64,
    /// Time for which one event holds a handler, retries included; its share where a handler takes a batch. None where the
    /// services that it calls call each other in a circle.
    pub service: Option<Moments>,
    /// Handlers that can be at work at once, over the measured time.
    pub servers: f64,
    /// Work that arrives over what they can do.
    pub load: Option<f64>,
    /// The same of the busiest of its queues (or keys, where one is handled at a time).
    pub busiest: Option<f64>,
    /// The largest load of any of its queues in a window of the run.
    pub peak_load: Option<f64>,
    /// The formula: `12 x M/G/1`.
    pub formula: String,
    /// How good it is here.
    pub accuracy: Accuracy,
    /// Whether the percentiles are exact, too.
    pub exact_tail: bool,
    /// Mean time from being visible until a handler begins, s; none without a steady state.
    pub wait: Option<f64>,
    /// Mean time from the creation to the end of the first effect, s.
    pub latency: Option<f64>,
    /// Its median, s.
    pub p50: Option<f64>,
    /// Its 99th percentile, s.
    pub p99: Option<f64>,
    /// What a fluid leaves behind; none where the load is below 1 all the time, and no fault takes capacity away.
    pub backlog: Option<Backlog>,
    /// Standard deviation of the mean wait of one run, over the mean.
    pub noise: f64,
    /// How long its busiest queue needs to forget that it was empty, s.
    pub memory: f64,
    /// What the formula leaves out.
    pub doubts: Vec<Doubt>,
}

/// Events that wait because more came than could be done, by the fluid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// Most of them at a time, since the warm-up.
    pub most: f64,
    /// At the end of the run.
    pub end: f64,
    /// Wait that they add to the mean over all events, s.
    pub delay: f64,
    /// Whether it comes from the load alone, and not from a fault.
    pub overload: bool,
}

/// Percentiles of service times whose squared variation is larger depend on more than that.
pub(super) const TAME: f64 = 1.5;

impl Consumer {
    /// Of a consumer of the model, with what outages leave at it.
    pub(super) fn of(model: &mut Model<'_>, index: usize) -> (Self, Vec<Outage>) {
        let policy = &model.plan.consumers[index];
        let inputs = Inputs::of(model, index);
        let (rate, peak) = (model.grid.mean(&inputs.rates), model.grid.peak(&inputs.rates));
        let mut found = Self { name: policy.name.clone(), rate, peak, ..Self::default() };
        if rate <= 0.0 {
            found.formula = "nothing comes".into();
            return (found, Vec::new());
        }
        let types = inputs.types(model);
        let whose = Whose { publisher: Publisher::Consumer(index), types: &types };
        let attempt = match model.time(&policy.handler.steps, whose) {
            Ok(attempt) => attempt,
            Err(untimed) => {
                found.formula = untimed.to_string();
                return (found, Vec::new());
            }
        };
        let known = Known::new(model, index, inputs, attempt);
        if policy.autoscale.is_some() {
            // How many serve is what the run shows.
            found.service = Some(known.each());
            found.formula = "as many members as there is work for".into();
            return (found, Vec::new());
        }
        found.doubts = known.doubts(model, peak / rate);
        found.steady(model, &known);
        let (backlog, outages) = outages::follow(model, &known, &found);
        found.backlog = backlog;
        found.add_backlog();
        (found, outages)
    }

    /// What a steady state gives in each window.
    fn steady(&mut self, model: &Model<'_>, known: &Known<'_>) {
        let mut sums = Sums::default();
        for window in model.grid.seen() {
            let members = members_at(model, known.index, model.grid.start(window));
            known.window(model, &stations(model.plan, known.policy, members), window, &mut sums);
        }
        let each = known.each();
        self.service = Some(each);
        self.servers = sums.servers / sums.seconds;
        self.load = Some(self.rate * each.mean / self.servers);
        self.busiest = Some(sums.loads.iter().copied().fold(sums.key_load, f64::max) / sums.seconds);
        self.peak_load = Some(sums.peak_load);
        (self.noise, self.memory) = (sums.noise(), sums.memory);
        self.name_formula(model, known);
        if sums.unknown || sums.overloaded > 0.0 && (!known.varies || sums.overloaded > 0.5 * sums.events) {
            return;
        }
        let wait = known.network.plus(Moments::mixture(sums.waits));
        self.wait = Some(wait.mean);
        let again = (known.handling.deliveries - 1.0) * wait.mean;
        self.latency = Some(known.before.mean + wait.mean + known.handling.served.mean + again);
        let queues = known.policy.batch.is_none() && known.policy.schedule.is_none();
        if sums.overloaded <= 0.0 && queues && known.handling.held.scv() < TAME {
            (self.p50, self.p99) = (quantile(&sums.laws, 0.5), quantile(&sums.laws, 0.99));
        }
    }

    /// Where there is no steady state all the time, what the fluid leaves waiting comes on top.
    fn add_backlog(&mut self) {
        let Some(backlog) = self.backlog.filter(|backlog| backlog.overload) else { return };
        for time in [&mut self.wait, &mut self.latency].into_iter().flatten() {
            *time += backlog.delay;
        }
    }

    fn name_formula(&mut self, model: &Model<'_>, known: &Known<'_>) {
        let stations = stations(model.plan, known.policy, known.policy.members as usize);
        let times = if stations.len() > 1 { format!("{} x ", stations.len()) } else { String::new() };
        if let Some(schedule) = known.policy.schedule {
            self.formula = format!("every {}", write_duration(schedule.every));
            self.accuracy = Accuracy::Good;
            return;
        }
        if known.policy.batch.is_some() {
            self.formula = format!("{times}batch {}", show_number(known.batch));
            self.accuracy =
                if self.peak_load.is_some_and(|load| load < 0.5) { Accuracy::Good } else { Accuracy::Rough };
            return;
        }
        let window = model.grid.seen().next().unwrap_or(0);
        let split = |station| known.inputs.arriving(station, window).is_poisson();
        let by_chance = known.inputs.list.iter().all(Input::is_poisson) && stations.iter().all(split);
        let arrivals = if by_chance { "M" } else { "G" };
        let (law, servers) = (letter(known.exponential, known.handling.held), known.most_servers(&stations));
        self.formula = format!("{times}{arrivals}/{law}/{servers}");
        let by_formula = arrivals == "M" && (servers == 1 || law == "M") && known.is_instant();
        let coupled = stations.iter().any(|station| station.exclusive != Exclusive::Nothing);
        self.accuracy = match () {
            () if known.varies => Accuracy::Rough,
            () if by_formula && !coupled && self.doubts.is_empty() => Accuracy::Exact,
            () if known.is_mild(&stations, window) => Accuracy::Good,
            () => Accuracy::Rough,
        };
        self.exact_tail = self.accuracy == Accuracy::Exact && law == "M" && known.before.mean <= 0.0;
    }
}
