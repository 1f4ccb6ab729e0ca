//! Many runs of a plan: replications in parallel, their summary, and judgement of expectations.

use crate::engine::{RunError, Schedule};
use crate::outcome::TraceRecord;
use crate::plan::Plan;
use crate::random::Stream;
use crate::summary::Summary;

mod batches;
mod beside;
mod columns;
mod compare;
mod expect;
mod explain;
mod gate;
mod growth;
mod histograms;
mod jackknife;
mod journeys;
mod measure;
mod pool;
mod precision;
mod remarks;
mod runs;
mod scaling;
mod services;
mod shares;
mod size;
mod summarise;
mod sweep;
mod unfinished;
mod verdict;
mod warm_up;
mod warnings;

#[cfg(test)]
mod example;

pub use beside::estimates;
pub use columns::Columns;
pub use compare::{Refusal, compare, contrasts};
pub use expect::expected;
pub use explain::{Explained, Unexplained, Wanted, event_name, explain};
pub use gate::gate;
pub use jackknife::Rest;
pub use pool::{CurveSums, Pooled};
pub use precision::{Aim, run_to};
pub use runs::Runs;
pub use scaling::restless;
pub use size::{Found, Judge, MOST_DESIGNS, decide, is_close, level, looks, order_of, smallest};
pub use summarise::{Collected, summarise};
pub use sweep::{Grid, Lost, knee, numbers, positions, sweep};

/// What an experiment needs beside the plan. Nothing of it but `replications` and `coarse` may change the result.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Number of independent runs; 0: as the plan says.
    pub replications: u32,
    /// Runs at a time; 0: one per core.
    pub jobs: usize,
    /// How stations are advanced.
    pub schedule: Schedule,
    /// Records per window; 0: chosen by the schedule.
    pub window: u64,
    /// Threads of the parallel schedule where there is one run; 0: one per core.
    pub threads: usize,
    /// Rounds every drawn time up to a multiple of this many ns; 0 and 1: off.
    pub coarse: u64,
    /// Whether to keep a record of every delivery of the first run.
    pub trace: bool,
    /// Sends simple handlers through the general machine.
    pub general: bool,
}

impl Request {
    /// The number of runs that it asks for.
    #[must_use]
    pub fn runs_of(&self, plan: &Plan) -> u32 {
        if self.replications == 0 { plan.replications } else { self.replications }
    }
}

/// Hears how far an experiment has come, and may stop it. Called from several threads.
pub trait Watch: Sync {
    /// `share` (0 to 1) of all virtual time is simulated, and `done` runs are finished. Returns false to stop: finished
    /// runs are summarised, the others are dropped.
    fn reached(&self, share: f64, done: u32) -> bool;

    /// There shall be so many runs: from here on `share` is that of all of them.
    fn asked(&self, _runs: u32) {}
}

/// Nobody watches.
impl Watch for () {
    fn reached(&self, _share: f64, _done: u32) -> bool {
        true
    }
}

/// What an experiment found.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The result, ready to be rendered.
    pub summary: Summary,
    /// All runs added up (its histograms are what standard histogram files are written from).
    pub pooled: Pooled,
    /// Every number of every run, for paired comparisons.
    pub runs: Columns,
    /// What is left of all runs without each group of them, for intervals of differences.
    pub rests: Vec<Rest>,
}

impl Experiment {
    /// The deliveries of the first run, where they were asked for.
    #[must_use]
    pub fn trace(&self) -> &[TraceRecord] {
        &self.pooled.outcome.trace
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A run has no outcome. The lowest such run, which any number of threads finds.
    Run {
        /// Why.
        error: RunError,
        /// Seed of the run.
        seed: u64,
        /// Its number, from 0.
        replication: u32,
    },
    /// Stopped by the watch before any run was finished.
    Interrupted,
    /// The threads could not be started; try again with fewer jobs.
    Threads(String),
}

/// The seed of the i-th run.
#[must_use]
pub fn seed_of(plan: &Plan, replication: u32) -> u64 {
    Stream::named(plan.seed, "replications").bits(u64::from(replication))
}

/// Runs a plan as often as asked and summarises the runs.
///
/// # Errors
/// [`Failure`]: a run without an outcome, no run finished, or no threads.
pub fn run(plan: &Plan, request: &Request, watch: &dyn Watch) -> Result<Experiment, Failure> {
    let asked = request.runs_of(plan);
    let plan = warm_up::settle(plan, request, watch)?;
    let mut runs = Runs::new(&plan, request);
    runs.extend(asked, watch)?;
    runs.found(asked)
}
