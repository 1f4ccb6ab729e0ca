//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine;
use crate::scenario::Overrides;

/// What happens to our event-driven system when...?
///
/// edasim simulates producers, buses and consumers as a scenario file describes them, with their faults, and tells
/// latency, lag, duplicates, losses and disorder. The same file and seed give the same result to the byte.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  edasim init shop.yaml       write a scenario to begin with
  edasim check shop.yaml      find every mistake in it
  edasim run shop.yaml        simulate it and print the report

Exit codes:
  0 done   1 file or system error   2 wrong scenario or usage
  3 an expectation fails or is undecided   5 bug in edasim   130 interrupted")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Simulate a scenario and report what happened
    #[command(after_help = "\
Examples:
  edasim run shop.yaml
  edasim run shop.yaml --replications 10 --out results
  edasim run shop.yaml --duration 5m --set consumers.email.members=12
  edasim run shop.yaml --set 'producers.shop.arrivals={poisson: 2k/s}'
  edasim run shop.yaml --json | jq .consumers.email.latency.p99")]
    Run(Run),
    /// Find every mistake in a scenario without running it
    #[command(after_help = "\
Examples:
  edasim check shop.yaml
  edasim check shop.yaml --explain | grep acks
  edasim check shop.yaml --variant more-members --set duration=2h")]
    Check(Check),
    /// Write a scenario to begin with
    #[command(after_help = "Example:\n  edasim init shop.yaml && edasim run shop.yaml")]
    Init(Init),
}

#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// Runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Speed (never changes the result)")]
    pub(super) jobs: Option<usize>,
    /// How a run is advanced
    #[arg(long, value_enum, default_value_t = Schedule::Windowed)]
    #[arg(help_heading = "Speed (never changes the result)")]
    pub(super) schedule: Schedule,
    /// Threads of one run with --schedule parallel [default: one per core]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Speed (never changes the result)")]
    pub(super) threads: Option<usize>,
    /// Print the result document instead of the report
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Write result.json, report.txt and pictures to this directory too
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) out: Option<PathBuf>,
    /// Write every delivery of the first run to this file
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    pub(super) trace_records: Option<PathBuf>,
    /// Only errors: no report, notes or progress; --json and files stay
    #[arg(long, short, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// A scenario file, and what is changed in it.
#[derive(Args, Debug)]
pub(super) struct Scenario {
    /// Scenario file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Master seed, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    pub(super) seed: Option<u64>,
    /// Change a value of the scenario; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,
    /// Virtual time of one run, such as 30m
    #[arg(long, value_name = "D")]
    pub(super) duration: Option<String>,
    /// Independent runs; several give confidence intervals
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(super) replications: Option<u32>,
    /// Variant of the scenario (its `vary`)
    #[arg(long, value_name = "NAME")]
    pub(super) variant: Option<String>,
}

impl Scenario {
    /// What the command line changes.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            seed: self.seed,
            duration: self.duration.clone(),
            replications: self.replications,
            variant: self.variant.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// List every value and where it comes from
    #[arg(long)]
    pub(super) explain: bool,
}

#[derive(Args, Debug)]
pub(super) struct Init {
    /// File to write; an existing one is left alone
    #[arg(value_name = "FILE", default_value = "scenario.yaml")]
    pub(super) file: PathBuf,
}

/// The schedules by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Schedule {
    /// Station by station, a window at a time
    Windowed,
    /// Event by event: slow, the reference
    Stepwise,
    /// Windows on several threads
    Parallel,
}

impl From<Schedule> for engine::Schedule {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Windowed => Self::Windowed,
            Schedule::Stepwise => Self::Stepwise,
            Schedule::Parallel => Self::Parallel,
        }
    }
}

/// A whole number that is not too large.
fn whole<T: std::str::FromStr + Bounded>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {}", T::MOST))
}

/// The largest number of a kind.
trait Bounded {
    const MOST: u64;
}

impl Bounded for u64 {
    const MOST: u64 = Self::MAX;
}

impl Bounded for u32 {
    const MOST: u64 = Self::MAX as u64;
}

/// A number from 1 to 1,024.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_024) => Ok(number),
        _ => Err("a whole number from 1 to 1024".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help() {
        let mut command = Cli::command().term_width(100);
        command.build();
        insta::assert_snapshot!("help", command.render_help().to_string());
        for name in ["run", "check", "init"] {
            let command = command.find_subcommand_mut(name).unwrap();
            let help = command.clone().term_width(100).render_help().to_string();
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
            insta::assert_snapshot!(format!("help_{name}"), help);
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
