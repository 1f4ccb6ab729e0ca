//! Arguments, files, terminal, exit codes; the one place that prints.

mod args;
mod compare;
mod exit;
mod explain;
mod files;
mod gate;
mod knobs;
mod metrics;
mod points;
mod run;
mod size;
mod sweep;
mod terminal;
mod vary;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Check, Cli, Command, Init, Scenario};
use self::exit::Exit;
use self::files::Place;
use crate::experiment;
use crate::plan::Plan;
use crate::report::text;
use crate::scenario::{self, Diagnostics, Loaded, Overrides};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    exit::catch_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is no error; nobody may be reading it.
            let _ = error.print();
            return if error.use_stderr() { Exit::Input.into() } else { Exit::Done.into() };
        }
    };
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check(args),
        Command::Compare(args) => compare::compare(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::Size(args) => size::size(args),
        Command::Explain(args) => explain::explain(args),
        Command::Init(args) => init(args),
    };
    result.unwrap_or_else(|exit| exit).into()
}

/// Checks a scenario.
fn check(args: &Check) -> Result<Exit, Exit> {
    let loaded = load(&args.scenario, false)?;
    let estimates = experiment::estimates(&loaded.plan);
    text::overloads(&estimates).iter().for_each(|note| terminal::note(note));
    experiment::restless(&loaded.plan, &estimates).iter().for_each(|note| terminal::note(note));
    if args.explain {
        terminal::print(&loaded.explained.render(terminal::style().width))?;
    } else if args.estimates {
        terminal::print(&text::estimates(&estimates, terminal::style()))?;
    } else {
        terminal::print(&format!("{}: no mistakes; {}\n", args.scenario.file.display(), inventory(&loaded.plan)))?;
    }
    Ok(Exit::Done)
}

/// What a plan has: `1 topic, 1 producer, 2 consumers`.
fn inventory(plan: &Plan) -> String {
    let counts = [
        ("topic", plan.topics.len()),
        ("producer", plan.producers.len()),
        ("consumer", plan.consumers.len()),
        ("service", plan.services.len()),
        ("resource", plan.resources.len()),
        ("flow", plan.flows.len()),
        ("read", plan.reads.len()),
        ("fault", plan.faults.len()),
        ("change", plan.changes.len()),
        ("expectation", plan.expectations.len()),
    ];
    let words = counts.iter().filter(|(_, count)| *count > 0);
    let words = words.map(|(what, count)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" }));
    words.collect::<Vec<_>>().join(", ")
}

/// Writes a scenario to begin with.
fn init(args: &Init) -> Result<Exit, Exit> {
    let place = Place::file(&args.file)?;
    place.prepare(|to| to.write_all(scenario::STARTER.as_bytes()))?.publish_new()?;
    let file = quoted(&args.file.display().to_string());
    terminal::print(&format!("wrote {file}; now try: edasim run {file}\n"))?;
    Ok(Exit::Done)
}

/// Loads a scenario; what is wrong or worth knowing is told.
fn load(scenario: &Scenario, quiet: bool) -> Result<Loaded, Exit> {
    load_file(&scenario.file, &scenario.overrides(), quiet)
}

/// The same of a file with what is changed in it.
fn load_file(file: &Path, overrides: &Overrides, quiet: bool) -> Result<Loaded, Exit> {
    match scenario::load(file, overrides) {
        Ok(loaded) => {
            loaded.notes.iter().filter(|_| !quiet).for_each(|note| terminal::note(note));
            Ok(loaded)
        }
        Err(diagnostics) => Err(tell_diagnostics(&diagnostics)),
    }
}

/// The plan of one of many points, of which there is nothing to note; what is wrong with it is told.
fn load_point(file: &Path, overrides: &Overrides) -> Result<Plan, Exit> {
    scenario::load(file, overrides).map(|loaded| loaded.plan).map_err(|wrong| tell_diagnostics(&wrong))
}

/// Tells what is wrong with a scenario or a path into it.
fn tell_diagnostics(diagnostics: &Diagnostics) -> Exit {
    let style = terminal::error_style();
    terminal::tell(diagnostics.render(style.color, style.width).trim_end());
    if diagnostics.is_io() { Exit::System } else { Exit::Input }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("consumers.email.members=12"), "consumers.email.members=12");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
