//! `edasim run`: scenario to plan, plan to summary, summary to where it is wanted.

use super::args::{Run, Scenario};
use super::exit::{Exit, bug, remember};
use super::files::{Place, Prepared};
use super::watch::{self, Watch};
use super::{gate, load, metrics, quoted, terminal};
use crate::engine::RunError;
use crate::experiment::{self, Aim, Experiment, Failure, Request};
use crate::plan::Plan;
use crate::report::text::Style;
use crate::report::{Named, json, markdown, svg, text, trace};
use crate::summary::{Judged, Precision, Summary, Verdict};

/// Width of report.txt.
pub(super) const PAGE: Style = Style { color: false, width: 100 };

/// Runs a scenario.
pub(super) fn run(args: &Run) -> Result<Exit, Exit> {
    let loaded = load(&args.scenario, args.output.quiet)?;
    let gates = gate::open(&args.gates, &[(String::new(), &loaded.plan)])?;
    let out = args.output.out.as_ref().map(|directory| Place::inside(directory, "result.json")).transpose()?;
    let records = args.trace_records.as_ref().map(|path| Place::file(path)).transpose()?;
    let aim = metrics::aim(&args.precision, &loaded.plan)?;
    let repeats = |replications| command(&args.scenario, &loaded.plan, replications);
    if aim.is_none() {
        remember(&repeats(loaded.plan.replications));
    }

    let (mut found, precision) = match simulate(args, &loaded.plan, aim.as_ref()) {
        Ok(found) => found,
        Err(exit) => {
            out.iter().chain(&records).for_each(Place::leave);
            return Err(exit);
        }
    };
    found.summary.command = repeats(found.summary.replications);
    let gate = gates.judge(&[("", &found)]);
    let Experiment { summary, pooled, .. } = found;
    let report = |style| {
        let compared = gate.as_ref().map_or_else(String::new, |gate| text::gate(gate, style) + "\n");
        let reached = precision.as_ref().map_or_else(String::new, |reached| text::precision(reached, style) + "\n");
        text::question(&loaded.question, style) + &compared + &reached + &text::render(&summary, style)
    };

    let named = [Named { name: &summary.scenario, summary: &summary }];
    let page = || markdown::document(&named, None, gate.as_ref());
    let scenarios = [args.scenario.file.display().to_string()];
    let mut files = gates.prepare(&named.map(|it| it.claims()), page, gate.as_ref(), &scenarios)?;
    if let Some(place) = out {
        prepare(&mut files, &place, &summary, report(PAGE))?;
    }
    if let Some(place) = records {
        let names = names(&loaded.plan);
        files.push(place.prepare(|to| trace::write(&pooled.outcome.trace, &names, to))?);
    }
    files.into_iter().try_for_each(Prepared::publish)?;
    match (args.output.json, args.output.quiet) {
        (true, _) => terminal::print(&json::document(&summary))?,
        (false, true) => {}
        (false, false) => terminal::print(&report(terminal::style()))?,
    }
    let told = !args.output.json && !args.output.quiet;
    gate::tell(gate.as_ref(), told);
    metrics::tell(precision.as_ref(), told);
    let worse = gate.is_some_and(|gate| !gate.worse.is_empty());
    Ok(match verdict(&summary, args.output.quiet) {
        Exit::Done if worse => Exit::Regression,
        exit => exit,
    })
}

/// The command that repeats the experiment: what can change the result, nothing else.
fn command(scenario: &Scenario, plan: &Plan, replications: u32) -> String {
    let mut words = vec!["edasim".into(), "run".into(), quoted(&scenario.file.display().to_string())];
    scenario.variant.iter().for_each(|variant| words.extend(["--variant".to_owned(), quoted(variant)]));
    words.extend(scenario.changes.words(plan, replications));
    words.join(" ")
}

/// Runs the plan, with progress and Ctrl-C.
fn simulate(args: &Run, plan: &Plan, aim: Option<&Aim>) -> Result<(Experiment, Option<Precision>), Exit> {
    let request = Request {
        jobs: args.jobs.unwrap_or(0),
        schedule: args.schedule.into(),
        threads: args.threads.unwrap_or(0),
        trace: args.trace_records.is_some(),
        ..Request::default()
    };
    let watch = Watch::new(plan.replications, args.output.quiet);
    watch::listen();
    let result = match aim {
        Some(aim) => experiment::run_to(plan, &request, aim, &watch).map(|(found, precision)| (found, Some(precision))),
        None => experiment::run(plan, &request, &watch).map(|found| (found, None)),
    };
    watch.finish();
    result.map_err(|failure| tell(&failure, watch.runs()))
}

/// Says why there is no result.
pub(super) fn tell(failure: &Failure, replications: u32) -> Exit {
    match failure {
        Failure::Run { error, seed, replication } => {
            let what = format!("run {} of {replications}: {error}", replication + 1);
            match error {
                RunError::Broken(_) => bug(&what, Some(*seed)),
                RunError::TooManyEvents { .. } => {
                    terminal::error(&format!("{what}; shorten the run or lower the rates"));
                    Exit::Input
                }
            }
        }
        Failure::Interrupted => {
            terminal::tell("interrupted before the first run was finished: there is no result");
            Exit::Interrupted
        }
        Failure::Threads(why) => {
            terminal::error(&format!("cannot start the threads: {why}; try --jobs 1"));
            Exit::System
        }
    }
}

/// The files of `--out`, complete and without their names yet.
fn prepare(files: &mut Vec<Prepared>, place: &Place, summary: &Summary, report: String) -> Result<(), Exit> {
    let named = [("result.json".to_owned(), json::document(summary)), ("report.txt".to_owned(), report)];
    for (name, content) in named.into_iter().chain(svg::plots(summary)) {
        files.push(place.beside(&name).prepare(|to| to.write_all(content.as_bytes()))?);
    }
    Ok(())
}

fn names(plan: &Plan) -> trace::Names<'_> {
    trace::Names {
        consumers: plan.consumers.iter().map(|consumer| consumer.name.as_str()).collect(),
        topics: plan.topics.iter().map(|topic| topic.name.as_str()).collect(),
        numeric_keys: plan.numeric_keys,
        key_labels: &plan.key_labels,
    }
}

/// What the exit code says about the result.
fn verdict(summary: &Summary, quiet: bool) -> Exit {
    if watch::interrupted() && summary.replications < summary.replications_asked {
        terminal::tell(&format!(
            "interrupted: the result is that of {} of {} runs",
            summary.replications, summary.replications_asked
        ));
        return Exit::Interrupted;
    }
    if quiet {
        tell_open(&summary.expectations, "");
    }
    let holds = summary.expectations.iter().all(|judged| judged.verdict == Verdict::Holds);
    if holds { Exit::Done } else { Exit::Expectation }
}

/// Tells which expectations do not hold, each after a label.
pub(super) fn tell_open(judged: &[Judged], label: &str) {
    for judged in judged.iter().filter(|judged| judged.verdict != Verdict::Holds) {
        let verdict = if judged.verdict == Verdict::Fails { "fails" } else { "is undecided" };
        terminal::tell(&format!("{label}{} {verdict}", judged.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_invariant_is_exit_5() {
        let failure = |error| Failure::Run { error, seed: 7, replication: 0 };
        let exit = tell(&failure(RunError::Broken("the books of email do not close".to_owned())), 3);
        assert_eq!((exit, exit as i32), (Exit::Bug, 5));
        assert_eq!(tell(&failure(RunError::TooManyEvents { topic: "orders".to_owned(), most: 9 }), 3) as i32, 2);
        assert_eq!(tell(&Failure::Interrupted, 3) as i32, 130);
        assert_eq!(tell(&Failure::Threads("no memory".to_owned()), 3) as i32, 1);
    }
}
