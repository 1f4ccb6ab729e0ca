//! `edasim compare`: scenarios or variants side by side, with the same random numbers.

use std::path::Path;

use super::args::Compare;
use super::exit::{Exit, remember};
use super::files::{Place, Prepared};
use super::run::{PAGE, tell, tell_open};
use super::watch::{self, Watch};
use super::{gate, load_file, metrics, quoted, terminal};
use crate::experiment::{self, Aim, Experiment, Refusal, Request};
use crate::plan::Plan;
use crate::report::{Claims, Named, json, markdown, svg, text};
use crate::scenario::{Loaded, Overrides};
use crate::summary::{Comparison, Precision};

/// One design as it was loaded.
struct Candidate {
    name: String,
    loaded: Loaded,
}

/// Compares designs.
pub(super) fn compare(args: &Compare) -> Result<Exit, Exit> {
    let candidates = candidates(args)?;
    let plans: Vec<(String, &Plan)> =
        candidates.iter().map(|candidate| (candidate.name.clone(), &candidate.loaded.plan)).collect();
    let gates = gate::open(&args.gates, &plans)?;
    let out = args.output.out.as_ref().map(|directory| Place::inside(directory, "compare.json")).transpose()?;
    let designs: Vec<(String, Plan)> =
        candidates.iter().map(|candidate| (candidate.name.clone(), candidate.loaded.plan.clone())).collect();
    let base = &candidates[0].loaded.plan;
    let aim = aim(args, base)?;
    if aim.is_none() {
        remember(&command(args, base, base.replications));
    }

    let (mut comparison, experiments, precision) = simulate(args, &designs, aim.as_ref())?;
    comparison.command = command(args, base, experiments[0].summary.replications);
    let judged: Vec<(&str, &Experiment)> = designs.iter().map(|(name, _)| name.as_str()).zip(&experiments).collect();
    let gate = gates.judge(&judged);
    let named: Vec<Named<'_>> =
        comparison.designs.iter().map(|design| Named { name: &design.name, summary: &design.summary }).collect();
    let scenarios: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
    let report = |style| {
        let compared = gate.as_ref().map_or_else(String::new, |gate| text::gate(gate, style) + "\n");
        let reached = precision.as_ref().map_or_else(String::new, |reached| text::precision(reached, style) + "\n");
        compared + &reached + &text::comparison(&comparison, style)
    };

    let claims: Vec<Claims<'_>> = named.iter().map(Named::claims).collect();
    let page = || markdown::document(&named, Some(&comparison), gate.as_ref());
    let mut files = gates.prepare(&claims, page, gate.as_ref(), &scenarios)?;
    if let Some(place) = out {
        let named =
            [("compare.json".to_owned(), json::comparison(&comparison)), ("report.txt".to_owned(), report(PAGE))];
        for (name, content) in named.into_iter().chain(svg::overlays(&comparison)) {
            files.push(place.beside(&name).prepare(|to| to.write_all(content.as_bytes()))?);
        }
    }
    files.into_iter().try_for_each(Prepared::publish)?;
    match (args.output.json, args.output.quiet) {
        (true, _) => terminal::print(&json::comparison(&comparison))?,
        (false, true) => {}
        (false, false) => terminal::print(&report(terminal::style()))?,
    }
    if args.output.quiet {
        for design in &comparison.designs {
            tell_open(&design.summary.expectations, &format!("{}: ", design.name));
        }
    }
    let told = !args.output.json && !args.output.quiet;
    gate::tell(gate.as_ref(), told);
    metrics::tell(precision.as_ref(), told);
    if watch::interrupted() {
        let runs = experiments[0].summary.replications;
        terminal::tell(&format!("interrupted: the comparison is that of {runs} runs of each design"));
        return Ok(Exit::Interrupted);
    }
    Ok(match gate {
        _ if !comparison.holds() => Exit::Expectation,
        Some(gate) if !gate.worse.is_empty() => Exit::Regression,
        _ => Exit::Done,
    })
}

/// The designs, the base first.
fn candidates(args: &Compare) -> Result<Vec<Candidate>, Exit> {
    let mut found = match args.files.as_slice() {
        [file] => variants(args, file)?,
        files => {
            if !args.variant.is_empty() {
                terminal::error("`--variant` picks variants of one file, and there are several files");
                return Err(Exit::Input);
            }
            let load = |file: &std::path::PathBuf| {
                let name =
                    file.file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
                Ok(Candidate { name, loaded: load_file(file, &overrides(args, None), args.output.quiet)? })
            };
            files.iter().map(load).collect::<Result<Vec<_>, Exit>>()?
        }
    };
    let mut taken = std::collections::BTreeSet::new();
    for candidate in &mut found {
        let (plain, mut n) = (candidate.name.clone(), 2);
        while !taken.insert(candidate.name.clone()) {
            candidate.name = format!("{plain}-{n}");
            n += 1;
        }
    }
    let (base, others) = found.split_first().expect("there is a file");
    for other in others.iter().filter(|_| !args.output.quiet) {
        let (mine, theirs) = (&base.loaded.plan, &other.loaded.plan);
        let (name, first) = (&other.name, &base.name);
        if theirs.seed != mine.seed {
            let (seed, own) = (mine.seed, theirs.seed);
            terminal::note(&format!("{name} runs with seed {seed} of {first}, not with its own ({own})"));
        }
        if theirs.replications != mine.replications {
            let (runs, own) = (mine.replications, theirs.replications);
            terminal::note(&format!("{name} has {runs} replications as {first} has, not its own {own}"));
        }
    }
    Ok(found)
}

/// The variants of a file, the baseline first.
fn variants(args: &Compare, file: &Path) -> Result<Vec<Candidate>, Exit> {
    let whole = load_file(file, &overrides(args, None), args.output.quiet)?;
    if whole.variants.len() < 2 {
        terminal::error(&format!(
            "there is nothing to compare {} with: it has no variants\n\
             name a second file, or add for example `vary: {{ base: {{}}, more: {{ consumers.email.members: 12 }} }}`",
            file.display()
        ));
        return Err(Exit::Input);
    }
    let (base, others) = whole.variants.split_first().expect("at least two");
    if let Some(stranger) = args.variant.iter().find(|name| !whole.variants.contains(name)) {
        terminal::error(&format!("there is no variant `{stranger}`: the file has {}", whole.variants.join(", ")));
        return Err(Exit::Input);
    }
    let wanted = others.iter().filter(|name| args.variant.is_empty() || args.variant.contains(name));
    let names: Vec<&String> = std::iter::once(base).chain(wanted).collect();
    if names.len() < 2 {
        terminal::error(&format!("`{base}` is the baseline: name one of the other variants too"));
        return Err(Exit::Input);
    }
    let load = |name: &String| {
        // The notes of the file itself have been told.
        let quiet = args.output.quiet || name == base;
        Ok(Candidate { name: name.clone(), loaded: load_file(file, &overrides(args, Some(name)), quiet)? })
    };
    names.into_iter().map(load).collect()
}

fn overrides(args: &Compare, variant: Option<&String>) -> Overrides {
    Overrides { variant: variant.cloned(), ..args.changes.overrides() }
}

/// How exactly which differences are to be known, where it was asked for.
fn aim(args: &Compare, base: &Plan) -> Result<Option<Aim>, Exit> {
    let mut aim = metrics::aim(&args.precision, base)?;
    if let Some(aim) = aim.as_mut().filter(|aim| aim.metrics.is_empty()) {
        aim.metrics = metrics::named(base, &metrics::claimed(base))?;
    }
    Ok(aim)
}

/// The command that repeats the comparison with so many replications.
fn command(args: &Compare, base: &Plan, replications: u32) -> String {
    let mut words = vec!["edasim".to_owned(), "compare".to_owned()];
    words.extend(args.files.iter().map(|file| quoted(&file.display().to_string())));
    args.variant.iter().for_each(|variant| words.extend(["--variant".to_owned(), quoted(variant)]));
    words.extend(args.changes.words(base, replications));
    words.join(" ")
}

fn simulate(
    args: &Compare,
    designs: &[(String, Plan)],
    aim: Option<&Aim>,
) -> Result<(Comparison, Vec<Experiment>, Option<Precision>), Exit> {
    let replications = designs[0].1.replications;
    let request = Request { jobs: args.jobs.unwrap_or(0), ..Request::default() };
    let designs_count = u32::try_from(designs.len()).unwrap_or(u32::MAX);
    let watch = Watch::new(replications.saturating_mul(designs_count), args.output.quiet);
    watch::listen();
    let result = experiment::compare(designs, &request, aim, &watch);
    watch.finish();
    match result {
        Ok(found) => Ok(found),
        Err(Refusal::NothingShared { design }) => Err(tell_strangers(&designs[0], &designs[design])),
        Err(Refusal::Run { failure: experiment::Failure::Interrupted, .. }) => {
            terminal::tell("interrupted before all designs were finished: there is no comparison");
            Err(Exit::Interrupted)
        }
        Err(Refusal::Run { design, failure }) => {
            terminal::tell(&format!("in {}:", designs[design].0));
            Err(tell(&failure, replications))
        }
    }
}

/// Says that two designs have no name in common.
fn tell_strangers(first: &(String, Plan), other: &(String, Plan)) -> Exit {
    let names = |plan: &Plan| {
        let sections = plan.names().into_iter().filter(|(_, names)| !names.is_empty());
        sections.map(|(section, names)| format!("{section} {}", names.join(", "))).collect::<Vec<_>>().join("; ")
    };
    terminal::error(&format!(
        "{a} and {b} have nothing of the same name: there is nothing to compare\n  {a} has {}\n  {b} has {}\n\
         give what is to be compared the same name in both",
        names(&first.1),
        names(&other.1),
        a = first.0,
        b = other.0
    ));
    Exit::Input
}
