//! `edasim size`: the smallest design that meets its objectives, finished ones kept and taken up again.

mod baseline;
mod bench;

use self::bench::Bench;
use super::args::Size as Args;
use super::exit::{Exit, remember};
use super::files::{Place, Prepared};
use super::knobs::knobs;
use super::run::{PAGE, tell_open};
use super::{gate, load_file, quoted, terminal};
use crate::experiment::{self, Found};
use crate::plan::Plan;
use crate::report::{Claims, json, markdown, svg, text};
use crate::scenario::{Explained, Overrides};
use crate::summary::{Against, Knob, Sizing, Verdict};

/// Searches for the smallest design.
pub(super) fn size(args: &Args) -> Result<Exit, Exit> {
    let mut knobs = knobs(&args.minimise, &args.cost).map_err(|why| wrong(&why))?;
    let asked = Overrides { objectives: args.objective.clone(), ..args.scenario.overrides() };
    let whole = load_file(&args.scenario.file, &asked, args.output.quiet)?;
    let variant = asked.variant.clone().or_else(|| whole.variants.first().cloned());
    knobs.iter_mut().for_each(|knob| knob.present = present(&whole.explained, &knob.path));
    let plan = whole.plan;
    let most = most_replications(args, &plan)?;
    has_objectives(args, &plan)?;
    let gates = gate::open_with(&args.gates, &baseline::SEARCH, |it| baseline::fits(it, &plan, &knobs))?;
    let out = args.output.out.as_ref().map(|directory| Place::inside(directory, "size.json")).transpose()?;
    let command = command(args, &plan, most);
    remember(&command);

    let mut bench = Bench::new(args, Overrides { variant, ..asked }, &knobs, most);
    let found = bench.search().inspect_err(|_| out.iter().for_each(Place::leave))?;
    let against = match gates.baseline() {
        Some(earlier) => baseline::against(&mut bench, &found, earlier)?,
        None => None,
    };
    bench.finish();
    let sizing = sizing(args, &plan, knobs.clone(), found, command, most);
    let gate = against.as_ref().map(baseline::as_gate);
    let report = |style| {
        let compared = against.as_ref().map_or_else(String::new, |it| text::against(&sizing, it, style) + "\n");
        compared + &text::sizing(&sizing, style)
    };

    let judged = sizing.shown().map_or(&[][..], |probe| &probe.found.judged);
    let claims = [Claims { name: &sizing.scenario, judged }];
    let page = || markdown::sizing(&sizing, gate.as_ref());
    let mut files = gates.prepare(&claims, page, gate.as_ref(), &[args.scenario.file.display().to_string()])?;
    if let Some(place) = out {
        let named = [("size.json".to_owned(), json::sizing(&sizing)), ("report.txt".to_owned(), report(PAGE))];
        for (name, content) in named.into_iter().chain(svg::sizing(&sizing)) {
            files.push(place.beside(&name).prepare(|to| to.write_all(content.as_bytes()))?);
        }
    }
    files.into_iter().try_for_each(Prepared::publish)?;
    match (args.output.json, args.output.quiet) {
        (true, _) => terminal::print(&json::sizing(&sizing))?,
        (false, true) => tell_quietly(&sizing),
        (false, false) => terminal::print(&report(terminal::style()))?,
    }
    let worse = against.filter(Against::is_worse);
    if let Some(against) = worse.as_ref().filter(|_| args.output.json || args.output.quiet) {
        terminal::tell(text::against(&sizing, against, terminal::error_style()).trim_end());
    }
    Ok(match sizing.verdict() {
        Verdict::Holds if worse.is_some() => Exit::Regression,
        Verdict::Holds => Exit::Done,
        Verdict::Fails | Verdict::Undecided => Exit::Expectation,
    })
}

/// Says what is wrong with the usage.
fn wrong(why: &str) -> Exit {
    terminal::error(why);
    Exit::Input
}

/// Most runs of one design.
fn most_replications(args: &Args, plan: &Plan) -> Result<u32, Exit> {
    match args.max_replications {
        Some(most) if most < plan.replications => Err(wrong(&format!(
            "`--max-replications {most}` is less than the {} runs that each design has\nlower `--replications`, too",
            plan.replications
        ))),
        Some(most) => Ok(most),
        // More runs than the one that was asked for would be another question.
        None if plan.replications == 1 => Ok(1),
        None => Ok(plan.replications.saturating_mul(8)),
    }
}

fn has_objectives(args: &Args, plan: &Plan) -> Result<(), Exit> {
    if !experiment::expected(plan).is_empty() {
        return Ok(());
    }
    if !args.objective.is_empty() {
        return Err(wrong("no objective is left: all are about a time after the end of the run"));
    }
    let consumer = plan.consumers.first().map(|consumer| format!("{}.latency.p99 < 2s", consumer.name));
    let service = plan.services.first().map(|service| format!("{}.availability > 99.9%", service.name));
    let example = consumer.or(service).unwrap_or_else(|| "email.latency.p99 < 2s".into());
    Err(wrong(&format!(
        "there is nothing to meet: the scenario expects nothing\nadd for example `--objective '{example}'`"
    )))
}

/// What the scenario has at a path.
fn present(explained: &Explained, path: &str) -> Option<String> {
    explained.values.iter().find(|value| value.path == path).map(|value| value.value.clone())
}

/// The command that repeats the search.
fn command(args: &Args, plan: &Plan, most: u32) -> String {
    let mut words = vec!["edasim".to_owned(), "size".to_owned(), quoted(&args.scenario.file.display().to_string())];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
    args.objective.iter().for_each(|objective| option("--objective", objective));
    args.minimise.iter().for_each(|knob| option("--minimise", knob));
    args.cost.iter().for_each(|cost| option("--cost", cost));
    args.scenario.variant.iter().for_each(|variant| option("--variant", variant));
    option("--max-replications", &most.to_string());
    words.extend(args.scenario.changes.words(plan, plan.replications));
    words.join(" ")
}

/// The command that runs one design.
fn run_of(args: &Args, plan: &Plan, values: &[String], replications: u32) -> String {
    let mut words = vec!["edasim".to_owned(), "run".to_owned(), quoted(&args.scenario.file.display().to_string())];
    args.scenario.variant.iter().for_each(|variant| words.extend(["--variant".to_owned(), quoted(variant)]));
    words.extend(args.scenario.changes.words(plan, replications));
    values.iter().for_each(|value| words.extend(["--set".to_owned(), quoted(value)]));
    words.join(" ")
}

fn sizing(args: &Args, plan: &Plan, mut knobs: Vec<Knob>, found: Found, command: String, most: u32) -> Sizing {
    knobs.iter_mut().zip(&found.orders).for_each(|(knob, order)| knob.order = *order);
    let shown = found.answer.or(found.closest).map(|index| &found.probes[index]);
    let run = shown.map(|probe| run_of(args, plan, &settings(&knobs, &probe.at), probe.found.replications));
    Sizing {
        scenario: plan.name.clone(),
        seed: plan.seed,
        replications: plan.replications,
        max_replications: most,
        level: experiment::level(plan.replications, most),
        duration: plan.duration,
        run: run.unwrap_or_default(),
        knobs,
        probes: found.probes,
        answer: found.answer,
        closest: found.closest,
        smaller: found.smaller,
        rests_on: found.rests_on,
        reversals: found.reversals,
        command,
    }
}

/// `PATH=VALUE` of each knob.
fn settings(knobs: &[Knob], at: &[usize]) -> Vec<String> {
    knobs.iter().zip(at).map(|(knob, at)| format!("{}={}", knob.path, knob.values[*at])).collect()
}

/// Tells what the design that came closest does not meet.
fn tell_quietly(sizing: &Sizing) {
    if let Some(probe) = sizing.shown().filter(|_| sizing.answer.is_none()) {
        tell_open(&probe.found.judged, &format!("{}: ", settings(&sizing.knobs, &probe.at).join(", ")));
    }
}
