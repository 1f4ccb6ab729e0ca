//! Runs of one plan, by several workers, to which more can be added at any time.
//!
//! The result does not depend on the number of threads: each run has its own seed, and outcomes are added up in the
//! order of the runs. An outcome that is ready before its turn is held back, and no run starts that is too far ahead, so
//! that memory does not grow with the number of runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Collected, Experiment, Failure, Request, Watch, seed_of};
use crate::engine::{self, Progress, RunError, RunOptions};
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::time::SimTime;

/// What runs a plan once: the engine, or a stand-in for it in tests.
type Engine<'e> = &'e (dyn Fn(&Plan, &RunOptions, &dyn Progress) -> Result<Option<Outcome>, RunError> + Sync);

/// The first runs of a plan, added up. Run i is the same however many there are, and whenever it was added.
pub struct Runs<'p> {
    plan: &'p Plan,
    request: Request,
    engine: Engine<'p>,
    collected: Collected<'p>,
}

impl<'p> Runs<'p> {
    /// None yet. How many there will be is not a matter of the request here.
    #[must_use]
    pub fn new(plan: &'p Plan, request: &Request) -> Self {
        Self::with(plan, request, &engine::run)
    }

    pub(super) fn with(plan: &'p Plan, request: &Request, engine: Engine<'p>) -> Self {
        Self { plan, request: request.clone(), engine, collected: Collected::new(plan) }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.collected.runs()
    }

    /// Adds runs until there are so many, and says whether there are: where the watch stops it, those that were finished
    /// without a gap before them stay.
    ///
    /// # Errors
    /// [`Failure`]: a run without an outcome, or no threads.
    pub fn extend(&mut self, to: u32, watch: &dyn Watch) -> Result<bool, Failure> {
        let more = to.saturating_sub(self.count()) as usize;
        if more == 0 {
            return Ok(true);
        }
        let jobs = if self.request.jobs == 0 { rayon::current_num_threads() } else { self.request.jobs };
        let jobs = jobs.clamp(1, more);
        self.with_crew(to, jobs, watch, |crew| {
            if jobs == 1 {
                crew.work();
                return Ok(());
            }
            let threads = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
            let threads = threads.map_err(|error| Failure::Threads(error.to_string()))?;
            threads.broadcast(|_| crew.work());
            Ok(())
        })
    }

    /// The same by workers that somebody else calls: `call` has to let each of `jobs` of them work, and to wait for them.
    pub(super) fn with_crew(
        &mut self,
        to: u32,
        jobs: usize,
        watch: &dyn Watch,
        call: impl FnOnce(&Crew<'_, 'p>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let crew = Crew::new(self, to, jobs, watch);
        call(&crew)?;
        let desk = crew.desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        // After an interruption there may be gaps in the numbers: what lies beyond is dropped, so that asking for as many
        // runs gives the same result.
        match desk.failed {
            Some((replication, error)) => {
                Err(Failure::Run { error, seed: seed_of(self.plan, replication), replication })
            }
            None => Ok(self.count() >= to),
        }
    }

    /// What they found, of `asked` that were to be done.
    ///
    /// # Errors
    /// [`Failure::Interrupted`]: there is none.
    pub fn found(&self, asked: u32) -> Result<Experiment, Failure> {
        self.collected.found(asked).ok_or(Failure::Interrupted)
    }

    /// The same, with expectations judged at another level of confidence than 95 %.
    ///
    /// # Errors
    /// [`Failure::Interrupted`]: there is none.
    pub fn judged_at(&self, asked: u32, level: f64) -> Result<Experiment, Failure> {
        self.collected.judged_at(asked, level).ok_or(Failure::Interrupted)
    }
}

/// The workers of some runs and what they share.
pub(super) struct Crew<'a, 'p> {
    plan: &'a Plan,
    request: &'a Request,
    /// Runs there are to be in the end.
    to: u32,
    jobs: usize,
    watch: &'a dyn Watch,
    engine: Engine<'a>,
    desk: Mutex<Desk<'a, 'p>>,
    /// Rung when an outcome was added up.
    progressed: Condvar,
    stopped: AtomicBool,
    done: AtomicU32,
    /// Virtual time simulated by all runs together, us.
    simulated: AtomicU64,
}

/// Where outcomes are handed in.
struct Desk<'a, 'p> {
    /// The next run to start.
    next: u32,
    /// The next run to add up.
    turn: u32,
    /// Outcomes that are ready before their turn.
    early: BTreeMap<u32, Outcome>,
    collected: &'a mut Collected<'p>,
    /// The lowest run that failed: runs start in order and those begun are finished, so it does not depend on luck.
    failed: Option<(u32, RunError)>,
}

impl<'a, 'p> Crew<'a, 'p> {
    fn new(runs: &'a mut Runs<'p>, to: u32, jobs: usize, watch: &'a dyn Watch) -> Self {
        let Runs { plan, request, engine, collected } = runs;
        let from = collected.runs();
        let done = plan.duration.0 / 1000 * u64::from(from);
        let desk = Desk { next: from, turn: from, early: BTreeMap::new(), collected, failed: None };
        Self {
            plan,
            request,
            to,
            jobs,
            watch,
            engine: *engine,
            desk: Mutex::new(desk),
            progressed: Condvar::new(),
            stopped: AtomicBool::new(false),
            done: AtomicU32::new(from),
            simulated: AtomicU64::new(done),
        }
    }

    /// Takes one run after the other until none is left.
    pub(super) fn work(&self) {
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

    fn desk(&self) -> MutexGuard<'_, Desk<'a, 'p>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next run to start, once it is not too far ahead of the one whose turn it is.
    fn take(&self) -> Option<u32> {
        let mut desk = self.desk();
        loop {
            if desk.next >= self.to || desk.failed.is_some() || self.stopped.load(Ordering::Relaxed) {
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
            threads: if self.to == 1 { request.threads } else { 1 },
            coarse: request.coarse,
            trace: request.trace && replication == 0,
            general: request.general,
            in_parts: self.to == 1 && self.plan.unsteady().is_none(),
            delegate: false,
            watch: None,
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
struct Alarm<'c, 'a, 'p>(&'c Crew<'a, 'p>);

impl Drop for Alarm<'_, '_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _desk = self.0.desk();
            self.0.stopped.store(true, Ordering::Relaxed);
            self.0.progressed.notify_all();
        }
    }
}

/// The progress of one run, as its share of the experiment's.
struct RunProgress<'c, 'a, 'p> {
    crew: &'c Crew<'a, 'p>,
    /// Virtual time reached, us.
    reached: AtomicU64,
}

impl Progress for RunProgress<'_, '_, '_> {
    fn reached(&self, now: SimTime) -> bool {
        let crew = self.crew;
        let micros = now.0 / 1000;
        let before = self.reached.fetch_max(micros, Ordering::Relaxed);
        let further = micros.saturating_sub(before);
        let simulated = crew.simulated.fetch_add(further, Ordering::Relaxed) + further;
        let share = simulated as f64 * 1e-6 / (crew.plan.duration.seconds() * f64::from(crew.to));
        if !crew.watch.reached(share.min(1.0), crew.done.load(Ordering::Relaxed)) {
            crew.stopped.store(true, Ordering::Relaxed);
        }
        !crew.stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Schedule;
    use crate::experiment::{example, run, summarise};
    use crate::report::json::document;

    fn run_with(plan: &Plan, request: &Request, watch: &dyn Watch, engine: Engine<'_>) -> Result<Experiment, Failure> {
        let mut runs = Runs::with(plan, request, engine);
        runs.extend(request.replications, watch)?;
        runs.found(request.replications)
    }

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

    #[test]
    fn runs_that_are_added_later_are_those_that_would_have_been_there() {
        let plan = example::plan();
        let mut runs = Runs::with(&plan, &request(0, 2), &fake);
        for to in [1, 4, 4, 2, 13] {
            assert_eq!(runs.extend(to, &()), Ok(true));
            let at_once = run_with(&plan, &request(runs.count(), 1), &(), &fake).expect("runs");
            let found = runs.found(runs.count()).expect("runs");
            assert_eq!((found.pooled, found.runs), (at_once.pooled, at_once.runs));
            assert_eq!(document(&found.summary), document(&at_once.summary));
        }
        assert_eq!(runs.extend(20, &After(15)), Ok(false));
        assert!((13..20).contains(&runs.count()), "what is finished stays");
    }
}
