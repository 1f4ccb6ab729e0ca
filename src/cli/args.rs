//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::quoted;
use crate::engine;
use crate::plan::Plan;
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
  edasim compare shop.yaml    what its variants change
  edasim sweep shop.yaml --vary consumers.email.members=1..8
  edasim size shop.yaml --minimise consumers.email.members=1..32
  edasim explain shop.yaml --first lost

Exit codes:
  0 done   1 file or system error   2 wrong scenario or usage
  3 an expectation fails or is undecided   4 worse than the baseline
  5 bug in edasim   130 interrupted")]
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
  edasim run shop.yaml --precision 2% --metric email.latency.p99
  edasim run shop.yaml --duration 5m --set consumers.email.members=12
  edasim run shop.yaml --set 'producers.shop.arrivals={poisson: 2k/s}'
  edasim run shop.yaml --json | jq .consumers.email.latency.p99
  edasim run shop.yaml --baseline base.json --junit junit.xml --markdown summary.md")]
    Run(Run),
    /// Find every mistake in a scenario without running it
    #[command(after_help = "\
Examples:
  edasim check shop.yaml
  edasim check shop.yaml --explain | grep acks
  edasim check shop.yaml --estimates
  edasim check shop.yaml --variant more-members --set duration=2h")]
    Check(Check),
    /// Run designs side by side with the same random numbers and tell what differs
    #[command(after_help = "\
The first file, or the variant written `{}`, is the base. Run i of every design has the same seed,
and what has the same name draws the same numbers: the differences are those of the designs, not
of chance.

Examples:
  edasim compare rest.yaml bus.yaml
  edasim compare shop.yaml                         all variants of its `vary`
  edasim compare shop.yaml --variant more-members --replications 20 --out results
  edasim compare shop.yaml --precision 1% --metric email.latency.p99
  edasim compare a.yaml b.yaml --json | jq .differences.b.consumers.email.latency.p99")]
    Compare(Compare),
    /// Simulate a grid of values and tell where it bends
    #[command(after_help = "\
Values are written as in the scenario: a list `a,b,c`, a range `1..16` or `10ms..100ms..10ms`, or
both. A path is what --set takes. Every point has the same seeds. With --out, finished points are
kept, and the same command goes on after an interruption.

Examples:
  edasim sweep shop.yaml --vary consumers.email.members=1..16
  edasim sweep shop.yaml --vary producers.shop.arrivals.poisson=100/s..900/s..100/s --csv
  edasim sweep shop.yaml --vary consumers.email.members=2,4 --vary consumers.email.workers=1..8
  edasim sweep shop.yaml --vary duration=1h,2h --metric email.latency.p99 --out results")]
    Sweep(Sweep),
    /// Find the smallest design that meets its objectives
    #[command(after_help = "\
A path is what --set takes. Its values are a range `1..32`, with a step `4..64..4`, or a list of
numbers. Of all designs the cheapest that meets every objective is found, each judged by its 95 %
interval; of equal cost, that with less of the first knob. A design whose verdict is close has more
runs, twice as many each time. More members, workers, partitions, instances or brokers are taken to
be no worse, unless what is simulated speaks against it; anything else is tried value by value.
With --out, finished designs are kept, and the same command goes on after an interruption. With
--baseline, the document of an earlier search, worse is what costs more while the earlier design
fails.

Examples:
  edasim size shop.yaml --minimise consumers.email.members=1..32 --objective 'email.lag.max < 1k'
  edasim size shop.yaml --minimise consumers.email.members=1..9 --minimise consumers.email.workers=1..9 \\
      --cost consumers.email.members=2.5 --out results
  edasim size shop.yaml --minimise services.api.instances=2..8 --json | jq .design.at")]
    Size(Size),
    /// Tell the story of one event
    #[command(after_help = "\
What happened to it, in order of time: at its publisher, on the bus, and at each consumer, with the
faults that lasted meanwhile. Events are named by their publisher and a number, as the report of a
run names the first that something went wrong with.

Examples:
  edasim explain shop.yaml --first lost
  edasim explain shop.yaml --slowest --consumer email
  edasim explain shop.yaml --event shop#1717 --run 3")]
    Explain(Explain),
    /// Write a scenario to begin with
    #[command(after_help = "Example:\n  edasim init shop.yaml && edasim run shop.yaml")]
    Init(Init),
}

#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    #[command(flatten)]
    pub(super) precision: Precision,
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
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) gates: Gates,
    /// Write every delivery of the first run to this file
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    pub(super) trace_records: Option<PathBuf>,
}

/// How exactly figures are to be known.
#[derive(Args, Debug)]
pub(super) struct Precision {
    /// Add replications until 95 % intervals, of differences as a share of the figures, are this narrow, such as 2%; or say
    /// how many it would take
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Precision")]
    pub(super) precision: Option<f64>,
    /// Whose intervals, as in `expect`; may be repeated [default: what `expect` names, else mean and p99 of all latencies]
    #[arg(long, value_name = "PATH", requires = "precision", help_heading = "Precision")]
    pub(super) metric: Vec<String>,
    /// Most replications that --precision may take [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "precision")]
    #[arg(help_heading = "Precision")]
    pub(super) max_replications: Option<u32>,
}

/// Where results go.
#[derive(Args, Debug)]
pub(super) struct Output {
    /// Print the result document instead of the report
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Write the document, the report and pictures to this directory too
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) out: Option<PathBuf>,
    /// Only errors: no report, notes or progress; --json and files stay
    #[arg(long, short, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// What a build server needs.
#[derive(Args, Debug)]
pub(super) struct Gates {
    /// Fail with exit code 4 where a metric is worse than in this earlier result by more than both intervals
    #[arg(long, value_name = "result.json", help_heading = "Gate in CI")]
    pub(super) baseline: Option<PathBuf>,
    /// Write the expectations as test cases to this file
    #[arg(long, value_name = "FILE.xml", help_heading = "Gate in CI")]
    pub(super) junit: Option<PathBuf>,
    /// Write what does not hold, with its line in the scenario, to this file (SARIF 2.1.0)
    #[arg(long, value_name = "FILE.sarif", help_heading = "Gate in CI")]
    pub(super) sarif: Option<PathBuf>,
    /// Write a summary for a pull request to this file
    #[arg(long, value_name = "FILE.md", help_heading = "Gate in CI")]
    pub(super) markdown: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Compare {
    /// Scenario files, the base first; or one file with variants
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) changes: Changes,
    /// Compare only this variant with the baseline; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) variant: Vec<String>,
    #[command(flatten)]
    pub(super) precision: Precision,
    /// Runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Speed (never changes the result)")]
    pub(super) jobs: Option<usize>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) gates: Gates,
}

/// A scenario file, and what is changed in it.
#[derive(Args, Debug)]
pub(super) struct Scenario {
    /// Scenario file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) changes: Changes,
    /// Variant of the scenario (its `vary`)
    #[arg(long, value_name = "NAME")]
    pub(super) variant: Option<String>,
}

/// What is changed in a scenario.
#[derive(Args, Debug)]
pub(super) struct Changes {
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
}

impl Changes {
    /// The same for the loader.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            seed: self.seed,
            duration: self.duration.clone(),
            replications: self.replications,
            variant: None,
            vary: Vec::new(),
            minimise: Vec::new(),
            objectives: Vec::new(),
        }
    }

    /// The words that repeat the changes with so many replications; the seed is that of the plan.
    pub(super) fn words(&self, plan: &Plan, replications: u32) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
        self.set.iter().for_each(|set| option("--set", set));
        self.duration.iter().for_each(|duration| option("--duration", duration));
        option("--seed", &plan.seed.to_string());
        option("--replications", &replications.to_string());
        words
    }
}

impl Scenario {
    /// What the command line changes.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides { variant: self.variant.clone(), ..self.changes.overrides() }
    }
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["event", "first", "slowest"])))]
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// The event with this name
    #[arg(long, value_name = "ID")]
    pub(super) event: Option<String>,
    /// The first event that something went wrong with
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(super) first: Option<First>,
    /// The event with the longest latency in the run
    #[arg(long)]
    pub(super) slowest: bool,
    /// At this consumer [default: at any]
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: Option<String>,
    /// In the run with this number [default: the first that has such an event; at most as many as there are replications]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) run: Option<u32>,
    /// No notes
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What may go wrong with an event.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum First {
    /// It never took effect, and never will
    Lost,
    /// It took effect again
    Duplicate,
    /// It took effect after a later event of its key
    Violation,
}

#[derive(Args, Debug)]
pub(super) struct Sweep {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// Values of one axis of the grid; may be repeated
    #[arg(long, value_name = "PATH=VALUES", required = true)]
    pub(super) vary: Vec<String>,
    /// What to measure, as in `expect`; may be repeated [default: what `expect` names, else p99 and lag of each consumer]
    #[arg(long, value_name = "PATH")]
    pub(super) metric: Vec<String>,
    /// Simulate more than 10,000 points
    #[arg(long)]
    pub(super) yes: bool,
    /// Runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Speed (never changes the result)")]
    pub(super) jobs: Option<usize>,
    #[command(flatten)]
    pub(super) output: Output,
    /// Print a table for other programs instead of the report
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(super) csv: bool,
}

#[derive(Args, Debug)]
pub(super) struct Size {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// What is to be small, and the values it may have; may be repeated
    #[arg(long, alias = "minimize", value_name = "PATH=VALUES", required = true)]
    pub(super) minimise: Vec<String>,
    /// What the design is to meet, written as in `expect`; may be repeated [default: what the scenario expects]
    #[arg(long, value_name = "CLAIM")]
    pub(super) objective: Vec<String>,
    /// What one of it costs; may be repeated [default: 1]
    #[arg(long, value_name = "PATH=NUMBER")]
    pub(super) cost: Vec<String>,
    /// Most runs of a design whose verdict is close [default: 8 times --replications]
    #[arg(long, value_name = "N", value_parser = whole::<u32>, allow_negative_numbers = true)]
    pub(super) max_replications: Option<u32>,
    /// Simulate more than 10,000 designs
    #[arg(long)]
    pub(super) yes: bool,
    /// Runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Speed (never changes the result)")]
    pub(super) jobs: Option<usize>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) gates: Gates,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) scenario: Scenario,
    /// List every value and where it comes from
    #[arg(long)]
    pub(super) explain: bool,
    /// Show what formulas say of it: loads, waits, latencies, and what outages leave behind
    #[arg(long, conflicts_with = "explain")]
    pub(super) estimates: bool,
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

/// A share above nothing: half the width of an interval over its figure.
fn share(text: &str) -> Result<f64, String> {
    match crate::units::parse_share(text) {
        Ok(share) if share > 0.0 => Ok(share),
        _ => Err("a share above 0%, written like `2%` or `0.5%`".into()),
    }
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
        for name in ["run", "check", "compare", "sweep", "size", "init"] {
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
