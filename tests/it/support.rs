//! What all modules need: scenarios from text, runs of them, and intervals across runs.

use std::path::Path;

use edasim::engine::{self, Progress, RunOptions};
use edasim::experiment::{self, Experiment, Request, seed_of};
use edasim::outcome::{ConsumerOutcome, Outcome};
use edasim::plan::Plan;
use edasim::report::json::document;
use edasim::scenario::{Overrides, load_text};
use edasim::stats::Histogram;
use edasim::time::SimTime;

/// Arrivals of 100/s that stop two minutes before the end of a run of ten.
pub(crate) const EIGHT_MINUTES: &str =
    "{ curve: { points: [{ at: 0s, rate: 100/s }, { at: 480s, rate: 100/s }, { at: 481s, rate: 0/s }] } }";

/// Nobody watches, nobody stops.
pub(crate) struct Always;

impl Progress for Always {
    fn reached(&self, _: SimTime) -> bool {
        true
    }
}

/// The plan of a scenario, loaded as a user's file is.
pub(crate) fn plan(yaml: &str) -> Plan {
    match load_text("test.yaml", yaml, Path::new(""), &Overrides::default()) {
        Ok(loaded) => loaded.plan,
        Err(wrong) => panic!("{}\n{yaml}", wrong.render(false, 120)),
    }
}

/// Outcome of one run of a plan, with the seed of its first replication.
pub(crate) fn once(plan: &Plan) -> Outcome {
    run(plan, &RunOptions { seed: seed_of(plan, 0), ..RunOptions::default() })
}

/// The same with a record of every delivery.
pub(crate) fn traced(plan: &Plan) -> Outcome {
    run(plan, &RunOptions { seed: seed_of(plan, 0), trace: true, ..RunOptions::default() })
}

/// Outcome of one run.
pub(crate) fn run(plan: &Plan, options: &RunOptions) -> Outcome {
    engine::run(plan, options, &Always).unwrap_or_else(|error| panic!("{error}")).expect("never stopped")
}

/// A whole experiment.
pub(crate) fn experiment(plan: &Plan, request: &Request) -> Experiment {
    experiment::run(plan, request, &()).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// The result document of an experiment with so many runs.
pub(crate) fn result_document(plan: &Plan, request: &Request) -> String {
    document(&experiment(plan, request).summary)
}

/// What one consumer saw.
pub(crate) fn consumer<'a>(plan: &Plan, outcome: &'a Outcome, name: &str) -> &'a ConsumerOutcome {
    let at = plan.consumers.iter().position(|consumer| consumer.name == name);
    &outcome.consumers[at.unwrap_or_else(|| panic!("no consumer {name}"))]
}

/// Quantile of a histogram, linear inside its bucket: the bucket's own rounding (upwards, up to 1/512) would show in long
/// runs.
pub(crate) fn quantile(histogram: &Histogram, q: f64) -> f64 {
    let rank = q * histogram.count() as f64;
    let mut below = 0.0;
    for (low, high, count) in histogram.iter() {
        let count = count as f64;
        if below + count >= rank {
            return low as f64 + (rank - below) / count * (high + 1 - low) as f64;
        }
        below += count;
    }
    histogram.max() as f64
}

pub(crate) fn lost(consumer: &ConsumerOutcome) -> u64 {
    consumer.lost.values().sum()
}

/// Everything stored has taken effect.
pub(crate) fn complete(consumer: &ConsumerOutcome) -> bool {
    consumer.ledger.effected == consumer.ledger.created && consumer.ledger.created > 0
}
