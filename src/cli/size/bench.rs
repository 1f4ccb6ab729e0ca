//! Where the designs of a search are simulated: each once, with progress and Ctrl-C, and kept for the next time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{settings, wrong};
use crate::cli::args::Size as Args;
use crate::cli::exit::Exit;
use crate::cli::points::Kept;
use crate::cli::run::tell;
use crate::cli::sweep::MANY;
use crate::cli::watch::{self, Watch};
use crate::cli::{load_point, terminal};
use crate::experiment::{self, Failure, Found, Judge, Request};
use crate::plan::Plan;
use crate::report::json;
use crate::scenario::Overrides;
use crate::summary::{Finding, Knob};
use crate::units::show_seconds;

/// The designs of a search.
pub(super) struct Bench<'a> {
    args: &'a Args,
    overrides: Overrides,
    /// What they differ in.
    pub(super) knobs: &'a [Knob],
    /// Most runs of one design.
    most: u32,
    kept: Kept,
    watch: Watch,
    /// What was found of each plan, by its digest: two designs may be the same plan.
    seen: BTreeMap<String, Finding>,
    /// Designs that were asked for, and those of them that an earlier search had finished.
    asked: usize,
    taken_up: usize,
    /// Designs that this one simulated, and how long that took.
    simulated: u32,
    spent: Duration,
}

impl<'a> Bench<'a> {
    /// None yet; each has so many runs at most.
    pub(super) fn new(args: &'a Args, overrides: Overrides, knobs: &'a [Knob], most: u32) -> Self {
        let kept = Kept::inside(args.output.out.as_ref());
        let watch = Watch::new(0, args.output.quiet);
        let (seen, spent) = (BTreeMap::new(), Duration::ZERO);
        Self { args, overrides, knobs, most, kept, watch, seen, asked: 0, taken_up: 0, simulated: 0, spent }
    }

    /// Searches, once the least and the most of everything have been found to be scenarios.
    pub(super) fn search(&mut self) -> Result<Found, Exit> {
        for at in [0, usize::MAX] {
            self.plan(&self.knobs.iter().map(|knob| at.min(knob.values.len() - 1)).collect::<Vec<_>>())?;
        }
        watch::listen();
        experiment::smallest(self.knobs, self)
    }

    /// The plan of a design; what is wrong with it is told.
    fn plan(&self, at: &[usize]) -> Result<Plan, Exit> {
        let minimise = settings(self.knobs, at);
        load_point(&self.args.scenario.file, &Overrides { minimise, ..self.overrides.clone() })
    }

    /// Whether a finding is one that this search would come to, too.
    fn is_final(&self, plan: &Plan, found: &Finding) -> bool {
        let looks = experiment::looks(plan.replications, self.most);
        looks.into_iter().any(|runs| runs == found.replications)
            && (found.replications >= self.most || !experiment::is_close(&found.judged))
    }

    /// Simulates a design, with progress and Ctrl-C.
    #[expect(clippy::disallowed_methods, reason = "people ask how long it takes, who live in wall-clock time")]
    fn simulate(&mut self, plan: &Plan, at: &[usize]) -> Result<Finding, Exit> {
        let values = settings(self.knobs, at).join(", ");
        self.watch.begin(format!("design {}: {values}", self.asked));
        let request = Request { jobs: self.args.jobs.unwrap_or(0), ..Request::default() };
        let started = Instant::now();
        let found = experiment::decide(plan, self.most, &request, &self.watch).map_err(|failure| {
            self.watch.finish();
            match failure {
                Failure::Interrupted => {
                    let finished = self.asked - 1;
                    let are = if finished == 1 { "design is" } else { "designs are" };
                    self.kept.interrupted(&format!("{finished} {are}"))
                }
                failure => {
                    terminal::tell(&format!("at {values}:"));
                    tell(&failure, plan.replications)
                }
            }
        })?;
        self.simulated += 1;
        self.spent += started.elapsed();
        let summary = found.summary;
        // That something is undecided is in its verdict.
        let warnings = summary.warnings.into_iter().filter(|warning| warning.code != "W005").collect();
        Ok(Finding { replications: summary.replications, judged: summary.expectations, warnings })
    }

    /// Takes the progress away, and tells what was not simulated.
    pub(super) fn finish(&self) {
        self.watch.finish();
        if self.args.output.quiet {
            return;
        }
        if self.taken_up > 0 {
            terminal::note(&format!("{} of {} designs were finished before", self.taken_up, self.asked));
        }
        if self.asked > 1 && self.seen.len() == 1 {
            terminal::note("all designs are the same: what is minimised changes nothing in this version");
        }
    }
}

impl Judge for Bench<'_> {
    type Error = Exit;

    fn judge(&mut self, at: &[usize]) -> Result<Finding, Exit> {
        let plan = self.plan(at)?;
        // The more looks there may be, the wider are the intervals of each.
        let level = experiment::level(plan.replications, self.most);
        let digest = Kept::digest(&plan, &format!("size at {level}"));
        self.asked += 1;
        if let Some(same) = self.seen.get(&digest) {
            return Ok(same.clone());
        }
        let known = self.kept.known(&digest).and_then(|point| json::read_finding(&point, &experiment::expected(&plan)));
        let found = match known.filter(|found| self.is_final(&plan, found)) {
            Some(found) => {
                self.taken_up += 1;
                found
            }
            None => {
                let found = self.simulate(&plan, at)?;
                self.kept.keep(&digest, &json::finding(&found))?;
                found
            }
        };
        self.seen.insert(digest, found.clone());
        Ok(found)
    }

    fn go_on(&mut self, most: usize) -> Result<(), Exit> {
        if most <= MANY || self.args.yes || self.simulated == 0 {
            return Ok(());
        }
        self.watch.finish();
        let each = self.spent.as_secs_f64() / f64::from(self.simulated);
        let time = show_seconds((each * most as f64).min(1e9));
        Err(wrong(&format!(
            "as many as {most} designs may have to be simulated, about {time} as the first {} went\n\
             narrow the ranges, take larger steps (`PATH=4..64..4`), or add `--yes` to go on",
            if self.simulated == 1 { "one".to_owned() } else { self.simulated.to_string() }
        )))
    }
}
