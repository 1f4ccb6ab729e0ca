//! How often 95 % intervals contain the exact value: counted over many seeds of a queue with a closed form.
//!
//! `cargo test --release --test coverage -- --ignored --nocapture` takes 1,000 seeds and prints the counts; the usual suite
//! takes 200, and allows for what chance does to so few.

#![expect(clippy::print_stdout, reason = "the counts are the result")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use edasim::experiment::{self, Aim, Experiment, Request};
use edasim::metrics::Unit;
use edasim::plan::Plan;
use edasim::scenario::{Overrides, load_text};
use edasim::summary::Swept;
use rayon::prelude::*;

/// M/M/1 at 0.7: time in system is exponential with mean S / (1 - rho).
const SERVICE: f64 = 0.01;
const LOAD: f64 = 0.7;

/// What intervals should contain the exact value.
const FIGURES: [&str; 2] = ["mean", "p99"];

fn exact(figure: &str) -> f64 {
    let mean = SERVICE / (1.0 - LOAD);
    if figure == "p99" { mean * edasim::math::ln(100.0) } else { mean }
}

/// Runs of so many seconds after ten in which the queue fills.
fn queue(seconds: u32) -> Plan {
    let yaml = format!(
        "name: queue\nduration: {}s\nwarm_up: 10s\n\
         buses: {{ main: {{ profile: ideal, topics: {{ work: }} }} }}\n\
         producers: {{ source: {{ publishes: work, arrivals: {{ poisson: {}/s }} }} }}\n\
         consumers: {{ server: {{ subscribes: work, service_time: {{ exponential: 10ms }} }} }}\n",
        seconds + 10,
        LOAD / SERVICE
    );
    load_text("queue.yaml", &yaml, Path::new(""), &Overrides::default()).unwrap_or_else(|_| panic!("{yaml}")).plan
}

/// Of so many seeds, those whose interval contains the exact value, by figure.
#[derive(Clone, Copy, Debug)]
struct Counts {
    seeds: u64,
    contain: [u64; 2],
    /// Those without an interval.
    none: [u64; 2],
    /// Those whose interval has no upper end.
    open: [u64; 2],
    /// Those with a warning that the run is too short for its tail.
    warned: u64,
    /// Mean number of runs.
    runs: f64,
}

impl Counts {
    fn of(what: &str, seeds: u64, plan: &Plan, run: &(dyn Fn(&Plan) -> Experiment + Sync)) -> Self {
        let each = |seed: u64| {
            let found = run(&Plan { seed, ..plan.clone() }).summary;
            let interval = FIGURES.map(|figure| found.interval(&["consumers", "server", "latency", figure]));
            let warned = found.warnings.iter().any(|warning| warning.code == "W003");
            (interval, warned, found.replications)
        };
        let found: Vec<_> = (1..=seeds).into_par_iter().map(each).collect();
        let count = |holds: &dyn Fn(&str, (f64, f64)) -> bool| {
            [0, 1].map(|at| {
                let of = |(intervals, ..): &&([Option<(f64, f64)>; 2], bool, u32)| {
                    intervals[at].is_some_and(|interval| holds(FIGURES[at], interval))
                };
                found.iter().filter(of).count() as u64
            })
        };
        let counts = Self {
            seeds,
            contain: count(&|figure, (low, high)| (low..=high).contains(&exact(figure))),
            none: count(&|_, _| true).map(|some| seeds - some),
            open: count(&|_, (_, high)| high.is_infinite()),
            warned: found.iter().filter(|(_, warned, _)| *warned).count() as u64,
            runs: found.iter().map(|(.., runs)| f64::from(*runs)).sum::<f64>() / seeds as f64,
        };
        let share = |count: u64| 100.0 * count as f64 / seeds as f64;
        let of_given = |at: usize| 100.0 * counts.contain[at] as f64 / (seeds - counts.none[at]) as f64;
        println!(
            "{what:44} mean {:5.1}% (none {:.1}%)   p99 {:5.1}% (none {:.1}%, open {:.1}%)   W003 {:.1}%   {:.1} runs",
            of_given(0),
            share(counts.none[0]),
            of_given(1),
            share(counts.none[1]),
            share(counts.open[1]),
            share(counts.warned),
            counts.runs
        );
        counts
    }

    /// Whether both figures are contained between 93 % and 97 % of the time, give or take what chance does to counts
    /// (so many standard deviations of them).
    fn hold(&self, deviations: f64) {
        for ((figure, contain), none) in FIGURES.iter().zip(self.contain).zip(self.none) {
            // Nearly all have one.
            assert!(20 * none <= self.seeds, "{figure}: {none} of {} without an interval", self.seeds);
            let seeds = (self.seeds - none) as f64;
            let apart = |share: f64| deviations * (seeds * share * (1.0 - share)).sqrt();
            let (least, most) = (0.93 * seeds - apart(0.93), 0.97 * seeds + apart(0.97));
            let contain = contain as f64;
            assert!((least..=most).contains(&contain), "{figure}: {contain} of {seeds}, not {least:.1} to {most:.1}");
        }
    }
}

/// So many independent runs.
fn replications(runs: u32) -> impl Fn(&Plan) -> Experiment + Sync {
    move |plan| experiment::run(plan, &Request { replications: runs, jobs: 1, ..Request::default() }, &()).unwrap()
}

/// One run, with intervals from its batches.
fn batches(plan: &Plan) -> Experiment {
    replications(1)(plan)
}

/// As many as it takes until both figures are known so exactly.
fn precision(width: f64) -> impl Fn(&Plan) -> Experiment + Sync {
    let path = |figure: &str| ["consumers", "server", "latency", figure].map(str::to_owned).to_vec();
    let metrics: Vec<Swept> = FIGURES.map(|figure| Swept { path: path(figure), unit: Unit::Seconds }).into();
    let aim = Aim { width, metrics, most: 1_000 };
    move |plan| experiment::run_to(plan, &Request { jobs: 1, ..Request::default() }, &aim, &()).unwrap().0
}

#[test]
fn of_two_hundred_seeds() {
    Counts::of("10 runs of 3 minutes", 200, &queue(180), &replications(10)).hold(3.3);
    Counts::of("one run of 30 minutes, by batches", 200, &queue(1_800), &batches).hold(3.3);
}

#[test]
#[ignore = "minutes: run it in release"]
fn of_a_thousand_seeds() {
    Counts::of("10 runs of 10 seconds", 1_000, &queue(10), &replications(10));
    Counts::of("10 runs of 1 minute", 1_000, &queue(60), &replications(10));
    Counts::of("10 runs of 3 minutes", 1_000, &queue(180), &replications(10)).hold(0.0);
    Counts::of("10 runs of 10 minutes", 1_000, &queue(600), &replications(10)).hold(0.0);
    Counts::of("5 runs of 10 minutes", 1_000, &queue(600), &replications(5)).hold(0.0);
    Counts::of("48 runs of 3 minutes", 1_000, &queue(180), &replications(48)).hold(0.0);
    Counts::of("one run of 3 minutes, by batches", 1_000, &queue(180), &batches);
    Counts::of("one run of 10 minutes, by batches", 1_000, &queue(600), &batches);
    Counts::of("one run of 30 minutes, by batches", 1_000, &queue(1_800), &batches).hold(0.0);
    Counts::of("one run of 2 hours, by batches", 1_000, &queue(7_200), &batches).hold(0.0);
    Counts::of("--precision 5%, runs of 3 minutes", 1_000, &queue(180), &precision(0.05)).hold(0.0);
}
