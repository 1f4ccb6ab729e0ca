//! Many runs of a plan: replications in parallel, their summary, and judgement of expectations.
//!
//! The result does not depend on the number of threads: each run has its own seed, and outcomes are added up in the
//! order of the runs. An outcome that is ready before its turn is held back, and no run starts that is too far ahead, so
//! that memory does not grow with the number of runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::engine::{self, Progress, RunError, RunOptions, Schedule};
use crate::outcome::{Outcome, TraceRecord};
use crate::plan::Plan;
use crate::random::Stream;
use crate::summary::Summary;
use crate::time::SimTime;

mod columns;
mod compare;
mod expect;
mod gate;
mod jackknife;
mod measure;
mod pool;
mod services;
mod summarise;
mod sweep;
mod unfinished;
mod warnings;

#[cfg(test)]
mod example;

pub use columns::Columns;
pub use compare::{Refusal, compare, contrasts};
pub use gate::gate;
pub use jackknife::Rest;
pub use pool::{CurveSums, Pooled};
pub use summarise::{Collected, summarise};
pub use sweep::{Grid, Lost, knee, positions, sweep};

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

/// Hears how far an experiment has come, and may stop it. Called from several threads.
pub trait Watch: Sync {
    /// `share` (0 to 1) of all virtual time is simulated, and `done` runs are finished. Returns false to stop: finished
    /// runs are summarised, the others are dropped.
    fn reached(&self, share: f64, done: u32) -> bool;
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
    run_with(plan, request, watch, &engine::run)
}

/// What runs a plan once: the engine, or a stand-in for it in tests.
type Engine<'e> = &'e (dyn Fn(&Plan, &RunOptions, &dyn Progress) -> Result<Option<Outcome>, RunError> + Sync);

fn run_with(plan: &Plan, request: &Request, watch: &dyn Watch, engine: Engine<'_>) -> Result<Experiment, Failure> {
    let asked = if request.replications == 0 { plan.replications } else { request.replications };
    let jobs = if request.jobs == 0 { rayon::current_num_threads() } else { request.jobs };
    let jobs = jobs.clamp(1, (asked as usize).max(1));
    let crew = Crew::new(plan, request, asked, jobs, watch, engine);
    if jobs == 1 {
        crew.work();
    } else {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
        let threads = threads.map_err(|error| Failure::Threads(error.to_string()))?;
        threads.broadcast(|_| crew.work());
    }
    crew.finish()
}

/// The workers of one experiment and what they share.
struct Crew<'a> {
    plan: &'a Plan,
    request: &'a Request,
    asked: u32,
    jobs: usize,
    watch: &'a dyn Watch,
    engine: Engine<'a>,
    desk: Mutex<Desk<'a>>,
    /// Rung when an outcome was added up.
    progressed: Condvar,
    stopped: AtomicBool,
    done: AtomicU32,
    /// Virtual time simulated by all runs together, us.
    simulated: AtomicU64,
}

/// Where outcomes are handed in.
struct Desk<'a> {
    /// The next run to start.
    next: u32,
    /// The next run to add up.
    turn: u32,
    /// Outcomes that are ready before their turn.
    early: BTreeMap<u32, Outcome>,
    collected: Collected<'a>,
    /// The lowest run that failed: runs start in order and those begun are finished, so it does not depend on luck.
    failed: Option<(u32, RunError)>,
}

impl<'a> Crew<'a> {
    fn new(
        plan: &'a Plan,
        request: &'a Request,
        asked: u32,
        jobs: usize,
        watch: &'a dyn Watch,
        engine: Engine<'a>,
    ) -> Self {
        let desk = Desk { next: 0, turn: 0, early: BTreeMap::new(), collected: Collected::new(plan), failed: None };
        Self {
            plan,
            request,
            asked,
            jobs,
            watch,
            engine,
            desk: Mutex::new(desk),
            progressed: Condvar::new(),
            stopped: AtomicBool::new(false),
            done: AtomicU32::new(0),
            simulated: AtomicU64::new(0),
        }
    }

    /// Takes one run after the other until none is left.
    fn work(&self) {
        let _alarm = Alarm(self);
        while let Some(replication) = self.take() {
            let progress = RunProgress { crew: self, reached: AtomicU64::new(0) };
            let result = (self.engine)(self.plan, &self.options(replication), &progress);
            if let Ok(Some(_)) = result {
                self.done.fetch_add(1, Ordering::Relaxed);
                progress.reached(SimTime(self.plan.duration.0));
            }
            self.hand_in(replication, result);
        }
    }

    /// What all of them found, once they have ended.
    fn finish(self) -> Result<Experiment, Failure> {
        let desk = self.desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((replication, error)) = desk.failed {
            return Err(Failure::Run { error, seed: seed_of(self.plan, replication), replication });
        }
        // After an interruption there may be gaps in the numbers: what lies beyond is dropped, so that asking for as many
        // runs gives the same result.
        desk.collected.finish(self.asked).ok_or(Failure::Interrupted)
    }

    fn desk(&self) -> MutexGuard<'_, Desk<'a>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next run to start, once it is not too far ahead of the one whose turn it is.
    fn take(&self) -> Option<u32> {
        let mut desk = self.desk();
        loop {
            if desk.next >= self.asked || desk.failed.is_some() || self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            if ((desk.next - desk.turn) as usize) < 2 * self.jobs {
                desk.next += 1;
                return Some(desk.next - 1);
            }
            desk = self.progressed.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn options(&self, replication: u32) -> RunOptions {
        let request = self.request;
        RunOptions {
            seed: seed_of(self.plan, replication),
            schedule: request.schedule,
            window: request.window,
            threads: if self.asked == 1 { request.threads } else { 1 },
            coarse: request.coarse,
            trace: request.trace && replication == 0,
            general: request.general,
        }
    }

    fn hand_in(&self, replication: u32, result: Result<Option<Outcome>, RunError>) {
        let mut desk = self.desk();
        let desk = &mut *desk;
        match result {
            Ok(Some(outcome)) => {
                desk.early.insert(replication, outcome);
                while let Some(outcome) = desk.early.remove(&desk.turn) {
                    desk.collected.push(outcome);
                    desk.turn += 1;
                }
            }
            Ok(None) => self.stopped.store(true, Ordering::Relaxed),
            Err(error) => {
                if desk.failed.as_ref().is_none_or(|(lowest, _)| replication < *lowest) {
                    desk.failed = Some((replication, error));
                }
            }
        }
        self.progressed.notify_all();
    }
}

/// Stops the others when a run panics: they may be waiting for its outcome.
struct Alarm<'c, 'a>(&'c Crew<'a>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _desk = self.0.desk();
            self.0.stopped.store(true, Ordering::Relaxed);
            self.0.progressed.notify_all();
        }
    }
}

/// The progress of one run, as its share of the experiment's.
struct RunProgress<'c, 'a> {
    crew: &'c Crew<'a>,
    /// Virtual time reached, us.
    reached: AtomicU64,
}

impl Progress for RunProgress<'_, '_> {
    fn reached(&self, now: SimTime) -> bool {
        let crew = self.crew;
        let micros = now.0 / 1000;
        let before = self.reached.fetch_max(micros, Ordering::Relaxed);
        let further = micros.saturating_sub(before);
        let simulated = crew.simulated.fetch_add(further, Ordering::Relaxed) + further;
        let share = simulated as f64 * 1e-6 / (crew.plan.duration.seconds() * f64::from(crew.asked));
        if !crew.watch.reached(share.min(1.0), crew.done.load(Ordering::Relaxed)) {
            crew.stopped.store(true, Ordering::Relaxed);
        }
        !crew.stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::document;

    /// Stands in for the engine: an outcome made from the seed. Even runs take longer, so that they come in out of order.
    fn fake(plan: &Plan, options: &RunOptions, progress: &dyn Progress) -> Result<Option<Outcome>, RunError> {
        for step in 1..=10 {
            if !progress.reached(SimTime(plan.duration.0 / 10 * step)) {
                return Ok(None);
            }
            let spins = if options.seed.is_multiple_of(2) { 200_000 } else { 1 };
            std::hint::black_box((0..spins).fold(options.seed, |a, i| a.wrapping_mul(31) ^ i));
        }
        Ok(Some(example::outcome(plan, options.seed)))
    }

    fn request(replications: u32, jobs: usize) -> Request {
        Request { replications, jobs, ..Request::default() }
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let plan = example::plan();
        let results = [1, 2, 5, 0].map(|jobs| run_with(&plan, &request(13, jobs), &(), &fake).expect("runs"));
        for result in &results[1..] {
            assert_eq!(result.pooled, results[0].pooled);
            assert_eq!(result.runs, results[0].runs);
            assert_eq!(document(&result.summary), document(&results[0].summary));
        }
    }

    #[test]
    fn replications_have_the_seeds_of_their_numbers() {
        let plan = example::plan();
        let whole = run_with(&plan, &request(3, 2), &(), &fake).expect("runs");
        let by_hand = (0..3).map(|i| example::outcome(&plan, seed_of(&plan, i)));
        let summary = summarise(&plan, 3, by_hand).expect("three outcomes");
        assert_eq!(document(&whole.summary), document(&summary));
    }

    #[test]
    fn a_broken_run_is_the_lowest_whatever_the_threads() {
        let plan = example::plan();
        let bad = [seed_of(&plan, 4), seed_of(&plan, 5)];
        let breaks = |plan: &Plan, options: &RunOptions, progress: &dyn Progress| {
            if bad.contains(&options.seed) {
                return Err(RunError::Broken("books".into()));
            }
            fake(plan, options, progress)
        };
        for jobs in [1, 2, 4] {
            let failure = run_with(&plan, &request(20, jobs), &(), &breaks).expect_err("run 4 breaks");
            assert!(matches!(failure, Failure::Run { replication: 4, seed, .. } if seed == bad[0]), "{failure:?}");
        }
    }

    #[test]
    #[should_panic(expected = "a bug in the engine")]
    fn a_panic_reaches_the_caller() {
        let plan = example::plan();
        let first = seed_of(&plan, 0);
        let panics = |plan: &Plan, options: &RunOptions, progress: &dyn Progress| {
            assert_ne!(options.seed, first, "a bug in the engine");
            fake(plan, options, progress)
        };
        let _ = run_with(&plan, &request(50, 2), &(), &panics);
    }

    #[test]
    fn the_engine_gives_the_same_document_whatever_the_schedule_and_the_threads() {
        let plan = example::plan();
        let with = |schedule, jobs| {
            let request = Request { schedule, ..request(4, jobs) };
            document(&run(&plan, &request, &()).expect("books close").summary)
        };
        let reference = with(Schedule::Windowed, 1);
        assert!(!reference.contains("\"created\": 0"), "{reference}");
        assert_eq!(with(Schedule::Windowed, 3), reference);
        assert_eq!(with(Schedule::Stepwise, 2), reference);
        assert_eq!(with(Schedule::Parallel, 2), reference);
    }

    /// Stops once so many runs are done.
    struct After(u32);
    impl Watch for After {
        fn reached(&self, share: f64, done: u32) -> bool {
            assert!((0.0..=1.0).contains(&share));
            done < self.0
        }
    }

    #[test]
    fn interruption_keeps_what_is_finished() {
        let plan = example::plan();
        let result = run_with(&plan, &request(50, 1), &After(3), &fake).expect("three runs");
        assert_eq!((result.summary.replications, result.summary.replications_asked), (3, 50));
        assert!(result.summary.warnings.iter().any(|w| w.code == "W007"));
        let expected = summarise(&plan, 50, (0..3).map(|i| example::outcome(&plan, seed_of(&plan, i)))).expect("three");
        assert_eq!(document(&result.summary), document(&expected));
        let fewer = run_with(&plan, &request(3, 1), &(), &fake).expect("three runs");
        assert_eq!(document(&result.summary), document(&fewer.summary), "to the byte");
        assert!(matches!(run_with(&plan, &request(50, 2), &After(0), &fake), Err(Failure::Interrupted)));
    }

    #[test]
    fn progress_reaches_one() {
        struct Last(Mutex<(f64, u32)>);
        impl Watch for Last {
            fn reached(&self, share: f64, done: u32) -> bool {
                let mut last = self.0.lock().expect("no panic");
                *last = (last.0.max(share), last.1.max(done));
                true
            }
        }
        let last = Last(Mutex::new((0.0, 0)));
        run_with(&example::plan(), &request(4, 2), &last, &fake).expect("runs");
        let (share, done) = *last.0.lock().expect("no panic");
        assert!((share - 1.0).abs() < 1e-6 && done == 4, "{share} {done}");
    }
}
