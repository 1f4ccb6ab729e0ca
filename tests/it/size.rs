//! The smallest design is that of looking at all designs, on random systems with faults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use edasim::experiment::{self, Judge, Request, Runs};
use edasim::plan::Plan;
use edasim::random::Stream;
use edasim::scenario::{Overrides, load_text};
use edasim::summary::{Finding, Knob, Order, Verdict};

/// A queue with Poisson arrivals, exponential work and one worker that is busy half of the time: events take 1 / (100 - 50)
/// s on average (M/M/1), so that no verdict on whether that is less than 20 ms is right. Runs are so long that the few events
/// under way at their end leave nothing open.
const AT_ITS_LIMIT: &str = "name: queue\nduration: 32s\nwarm_up: 2s\nreplications: 5\n\
    buses: { main: { profile: ideal, topics: { orders: { partitions: 1 } } } }\n\
    producers: { shop: { publishes: orders, arrivals: { poisson: 50/s } } }\n\
    consumers: { email: { subscribes: orders, members: 1, service_time: { exponential: 10ms } } }\n\
    expect: [ email.latency.mean < 20ms ]\n";

#[test]
fn looking_again_decides_no_more_often_by_chance_than_one_look_may() {
    const EXPERIMENTS: u64 = 300;
    let (mut shared, mut plain) = (0, 0);
    for seed in 0..EXPERIMENTS {
        let overrides = Overrides { seed: Some(seed), ..Overrides::default() };
        let plan = load_text("queue.yaml", AT_ITS_LIMIT, Path::new(""), &overrides).expect("a scenario").plan;
        let is_decided = |judged: &[edasim::summary::Judged]| judged[0].verdict != Verdict::Undecided;
        let found = experiment::decide(&plan, 40, &Request::default(), &()).expect("runs");
        shared += u32::from(is_decided(&found.summary.expectations));
        // The same looks, each with all of the 5 %.
        let mut runs = Runs::new(&plan, &Request::default());
        plain += u32::from(experiment::looks(5, 40).any(|look| {
            runs.extend(look, &()).expect("runs");
            is_decided(&runs.found(look).expect("runs").summary.expectations)
        }));
    }
    println!("decided by chance: {shared} of {EXPERIMENTS} experiments, {plain} where each look has the whole error");
    // 15 at most, with a deviation of 3.8 of their number.
    assert!(shared <= 26, "{shared} of {EXPERIMENTS}");
    assert!(plain > 26, "{plain} of {EXPERIMENTS} show nothing");
}

/// A random system of two groups in a row, with two or three knobs and objectives that some of its designs meet.
struct System {
    yaml: String,
    objectives: Vec<String>,
    knobs: Vec<Knob>,
    /// What was found, by values of the knobs.
    seen: RefCell<BTreeMap<Vec<usize>, Finding>>,
}

impl System {
    fn random(case: u64) -> Self {
        let stream = Stream::named(11, "systems").part(case);
        let draw = |n: u64, below: u64| stream.bits(n) % below;
        let pick = |n: u64, from: &[&str]| from[draw(n, from.len() as u64) as usize].to_owned();
        let partitions = 4 + draw(0, 5);
        let yaml = format!(
            "name: random\nseed: {case}\nduration: 20s\nwarm_up: 1s\nreplications: 3\n\
             buses: {{ main: {{ profile: {}, topics: {{ orders: {{ partitions: {partitions} }}, parcels: {{ partitions: 6 }} }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: {}/s }}, key: {{ uniform: 500 }} }} }}\n\
             consumers:\n  \
               email: {{ subscribes: orders, members: 2, service_time: {}, publishes: {{ to: parcels, ack: ignore }} }}\n  \
               ship: {{ subscribes: parcels, members: 2, service_time: {{ gamma: {{ mean: {}ms, cv: 0.7 }} }} }}\n\
             faults: {}\n",
            pick(1, &["ideal", "kafka"]),
            60 + draw(2, 90),
            pick(3, &["{ exponential: 20ms }", "30ms", "{ lognormal: { median: 10ms, p99: 90ms } }"]),
            5 + draw(4, 30),
            pick(
                5,
                &[
                    "[]",
                    "[]",
                    "[{ at: 6s, for: 2s, target: consumers.email, effect: { slow: 4x } }]",
                    "[{ at: 6s, for: 1s, target: consumers.ship, effect: pause }]",
                ]
            ),
        );
        let objectives = [
            format!("email.latency.p90 < {}ms", 60 + draw(6, 10) * draw(6, 10) * 20),
            format!("ship.latency.p90 < {}ms", 100 + draw(7, 10) * draw(7, 10) * 30),
            format!("email.lag.max < {}", 20 + draw(8, 300)),
        ];
        let paths = ["consumers.email.members", "consumers.ship.members", "consumers.email.workers"];
        let knobs = paths.iter().zip(0..2 + draw(9, 2)).map(|(path, n)| {
            let most = if n == 2 { 2 + draw(12, 2) } else { 3 + draw(10 + n, 4) };
            Knob {
                path: (*path).into(),
                values: (1..=most).map(|value| value.to_string()).collect(),
                numbers: (1..=most).map(|value| value as f64).collect(),
                cost: (1 + draw(20 + n, 6)) as f64 / 2.0,
                order: experiment::order_of(path),
                present: None,
            }
        });
        let objectives = objectives[..1 + draw(13, 3) as usize].to_vec();
        Self { yaml, objectives, knobs: knobs.collect(), seen: RefCell::default() }
    }

    fn plan(&self, at: &[usize]) -> Plan {
        let vary = self.knobs.iter().zip(at).map(|(knob, at)| format!("{}={}", knob.path, knob.values[*at])).collect();
        let overrides = Overrides { objectives: self.objectives.clone(), vary, ..Overrides::default() };
        match load_text("random.yaml", &self.yaml, Path::new(""), &overrides) {
            Ok(loaded) => loaded.plan,
            Err(wrong) => panic!("{}\n{}", wrong.render(false, 120), self.yaml),
        }
    }

    /// What a design is found to be, whoever asks.
    fn find(&self, at: &[usize]) -> Finding {
        if let Some(known) = self.seen.borrow().get(at) {
            return known.clone();
        }
        let found = experiment::decide(&self.plan(at), 12, &Request::default(), &()).expect("runs");
        let summary = found.summary;
        let found =
            Finding { replications: summary.replications, judged: summary.expectations, warnings: summary.warnings };
        self.seen.borrow_mut().insert(at.to_vec(), found.clone());
        found
    }

    /// Every design with its cost, the smallest first; of equal cost, that with less of the first knob.
    fn all(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for knob in &self.knobs {
            let more = |at: &Vec<usize>| (0..knob.values.len()).map(|i| [&at[..], &[i]].concat()).collect::<Vec<_>>();
            all = all.iter().flat_map(more).collect();
        }
        // Costs are halves: sums are exact.
        let cost = |at: &Vec<usize>| self.knobs.iter().zip(at).map(|(k, at)| k.cost * k.numbers[*at]).sum::<f64>();
        all.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then_with(|| a.cmp(b)));
        all
    }

    /// Whether no design that holds has a larger one that does not.
    fn is_monotone(&self, all: &[Vec<usize>]) -> bool {
        let below = |a: &[usize], b: &[usize]| a.iter().zip(b).all(|(a, b)| a <= b);
        let holds: Vec<&Vec<usize>> = all.iter().filter(|at| self.find(at).holds()).collect();
        all.iter().all(|at| self.find(at).holds() || !holds.iter().any(|less| below(less, at)))
    }
}

impl Judge for &System {
    type Error = ();

    fn judge(&mut self, at: &[usize]) -> Result<Finding, ()> {
        Ok(self.find(at))
    }

    fn go_on(&mut self, _: usize) -> Result<(), ()> {
        Ok(())
    }
}

#[test]
fn the_smallest_design_is_that_of_looking_at_all() {
    let (mut found_some, mut found_none, mut spared, mut looked, mut crooked) = (0, 0, 0, 0, Vec::new());
    for case in 0..40 {
        let system = System::random(case);
        let found = experiment::smallest(&system.knobs, &mut &system).expect("never fails");
        looked += system.seen.borrow().len();
        let all = system.all();
        spared += all.len() - system.seen.borrow().len();
        let expected = all.iter().find(|at| system.find(at).holds());
        let answer = found.answer.map(|index| &found.probes[index].at);
        if !system.is_monotone(&all) {
            crooked.push(case);
        }
        assert_eq!(answer, expected, "case {case}: {:?}\n{}", system.objectives, system.yaml);
        match answer {
            Some(_) => found_some += 1,
            None => found_none += 1,
        }
        // What the answer rests on is there: each neighbour with one step less of a knob does not hold.
        for step in &found.smaller {
            assert_ne!(found.probes[step.probe].found.verdict(), Verdict::Holds);
        }
        if found.reversals.is_empty() {
            assert!(found.orders.iter().all(|order| *order == Order::Assumed));
        }
    }
    println!(
        "{found_some} found, {found_none} not; {looked} designs simulated, {spared} not; not monotone: {crooked:?}"
    );
    assert!(found_some >= 15 && found_none >= 3, "{found_some} found, {found_none} not");
    assert!(spared > looked, "{looked} designs were simulated, {spared} were not");
}
