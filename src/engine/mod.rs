//! Runs one plan with one seed to an outcome.

use crate::outcome::Outcome;
use crate::plan::Plan;

/// How stations are advanced. The choice must not change a byte of the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Whole windows, station by station in topological order.
    #[default]
    Windowed,
    /// Event by event in global time order: the reference.
    Stepwise,
    /// As windowed, with the stations of one window on several threads.
    Parallel,
}

/// What a run needs beside the plan.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Seed of this run (the experiment derives one per replication from the master seed).
    pub seed: u64,
    /// How stations are advanced.
    pub schedule: Schedule,
    /// Records per window; 0: chosen by the schedule.
    pub window: u64,
    /// Threads of the parallel schedule; 0: all cores.
    pub threads: usize,
    /// Rounds every drawn time up to a multiple of this many ns, so that ties are the rule; 0 and 1: off.
    pub coarse: u64,
    /// Whether to keep a record of every delivery.
    pub trace: bool,
    /// Sends simple handlers through the general machine (same results, slower).
    pub general: bool,
}

/// A bug in the simulator: the run cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What does not hold, with numbers.
    pub invariant: String,
}

/// Hears how far a run has come, and may stop it.
pub trait Progress: Sync {
    /// Virtual time reached; returns false to stop the run (its outcome is then dropped).
    fn reached(&self, now: crate::time::SimTime) -> bool;
}

/// Runs a plan. `None`: stopped by `progress`.
///
/// # Errors
/// [`Broken`] when the books of a subscription do not close: a bug in the simulator.
pub fn run(plan: &Plan, options: &RunOptions, progress: &dyn Progress) -> Result<Option<Outcome>, Broken> {
    let _ = (plan, options, progress);
    Err(Broken { invariant: "not built".into() })
}
