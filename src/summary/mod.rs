//! What an experiment found: one tree of named metrics that serves the terminal, JSON, expectations and pictures alike.

mod batches;
mod beside;
mod comparison;
mod gate;
mod precision;
mod sizing;
mod sweep;

use serde_json::Value;

pub use batches::Batches;
pub use beside::{Beside, Figure};
pub use comparison::{Comparison, Contrast, Design, Relation};
pub use gate::{Gate, Worse};
pub use precision::{Precise, Precision, Width};
pub use sizing::{Against, Finding, Knob, Order, Probe, Reversal, Sizing, Step};
pub use sweep::{Axis, Point, Reading, Sweep, Swept, place};

use crate::plan;
use crate::stats::Histogram;
use crate::time::{SimSpan, SimTime};

/// The result of an experiment, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// Master seed.
    pub seed: u64,
    /// Runs that were finished.
    pub replications: u32,
    /// Runs that were asked for (more than `replications` when interrupted).
    pub replications_asked: u32,
    /// Virtual time of one run.
    pub duration: SimSpan,
    /// Start of measurement.
    pub warm_up: SimSpan,
    /// What would mislead a reader who skipped it, most important first.
    pub warnings: Vec<Warning>,
    /// The sections `producers`, `topics`, `consumers`, `services`, `resources`, `reads`, `flows`, `faults`, `events` of the
    /// result document: numbers at the leaves (seconds, bytes, counts, shares 0 to 1; `null`: does not apply).
    pub metrics: Value,
    /// For each number in `metrics`: `[low, high]`, its 95 % confidence interval across runs, `high` being `null` where nothing
    /// is known of how large it may be. The largest value of all runs has none. Empty with one run.
    pub ci95: Value,
    /// Where the intervals of a single run come from; none with several.
    pub batches: Option<Batches>,
    /// How the warm-up was found, where it was not stated.
    pub found_warm_up: Option<plan::FoundWarmUp>,
    /// What formulas say, beside the metrics: consumers, services and faults, in this order.
    pub estimates: Vec<Beside>,
    /// The scenario's claims, judged.
    pub expectations: Vec<Judged>,
    /// Curves per consumer, in order of name.
    pub curves: Vec<ConsumerCurves>,
    /// Response times of the services where users come in, in order of name.
    pub responses: Vec<Response>,
    /// Fault and change windows, for shading and for the text.
    pub windows: Vec<Window>,
    /// The command that repeats the experiment.
    pub command: String,
}

/// Something that would mislead a reader who did not know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable code, one of [`Warning::CODES`]: `W001` overload, `W002` unfinished work, `W003` too short for the tail asked for, `W004` too few
    /// replications, `W005` undecided expectation, `W006` stopped at the backlog bound, `W007` interrupted,
    /// `W008` events that were never stored, `W009` behind for a while, `W010` designs that are not measured alike,
    /// `W011` warm-up too short, `W012` members thrown out of their group for not polling in time.
    pub code: &'static str,
    /// Path of the thing concerned (`consumers.email`), or `experiment`.
    pub about: String,
    /// One or two sentences.
    pub text: String,
}

impl Warning {
    /// All codes there are.
    pub const CODES: [&str; 12] =
        ["W001", "W002", "W003", "W004", "W005", "W006", "W007", "W008", "W009", "W010", "W011", "W012"];

    /// The code that is written so.
    #[must_use]
    pub fn known(code: &str) -> Option<&'static str> {
        Self::CODES.into_iter().find(|known| *known == code)
    }
}

/// One judged expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// As written, with the wildcard resolved.
    pub text: String,
    /// Its right-hand side, in the metric's base unit.
    pub limit: f64,
    /// The judgement.
    pub verdict: Verdict,
    /// The metric's value (pooled, of a maximum the largest of all runs); none where it does not apply.
    pub value: Option<f64>,
    /// Its 95 % interval across runs.
    pub interval: Option<(f64, f64)>,
    /// Replications that would decide it, where it is undecided (an estimate).
    pub needed: Option<u64>,
    /// Why there is no value, or in how many runs it holds where each is judged for itself.
    pub reason: Option<String>,
    /// Whether it is undecided because of what the runs did not see to its end, and not by chance: more of them would not
    /// decide it.
    pub unfinished: bool,
    /// Line and column in the file.
    pub place: (u32, u32),
    /// The file, or the option of the command line.
    pub file: String,
    /// Path of the metric in the result document.
    pub path: Vec<String>,
    /// What the value is compared by.
    pub op: plan::Comparison,
    /// Whether it is about an interval of the run only.
    pub during: bool,
}

/// Judgement of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval, or the largest value of every run, lies on the right side.
    Holds,
    /// The interval, or the largest value of every run, lies on the wrong side.
    Fails,
    /// The interval includes the limit, runs lie on either side of it, or what was unfinished may be on the other side.
    Undecided,
}

impl Judged {
    /// By what part of its limit the value is on the wrong side (negative: on the right one); where the limit is 0, by how
    /// much. None without a value, and of claims of inequality.
    #[must_use]
    pub fn excess(&self) -> Option<f64> {
        let over = self.value? - self.limit;
        let over = match self.op {
            plan::Comparison::Less | plan::Comparison::AtMost => over,
            plan::Comparison::Greater | plan::Comparison::AtLeast => -over,
            plan::Comparison::Equal => over.abs(),
            plan::Comparison::NotEqual => return None,
        };
        Some(if self.limit > 0.0 { over / self.limit } else { over })
    }
}

impl Verdict {
    /// The verdict on some claims together; none without claims.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |verdict: &Self| match verdict {
            Self::Holds => 0,
            Self::Undecided => 1,
            Self::Fails => 2,
        };
        verdicts.into_iter().max_by_key(rank)
    }

    /// `holds`, `fails` or `undecided`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
        }
    }

    /// The verdict that is called so.
    #[must_use]
    pub fn called(word: &str) -> Option<Self> {
        [Self::Holds, Self::Fails, Self::Undecided].into_iter().find(|verdict| verdict.word() == word)
    }
}

/// What the pictures of one consumer need.
#[derive(Clone, Debug)]
pub struct ConsumerCurves {
    /// Name of the consumer.
    pub name: String,
    /// Latency of all runs, ns.
    pub latency: Histogram,
    /// Time between two points of the lag curves.
    pub interval: SimSpan,
    /// Lag in records: mean over runs at each point.
    pub lag: Vec<f64>,
    /// Lag in records: largest of all runs at each point.
    pub lag_max: Vec<f64>,
    /// Age of the oldest unsettled record, seconds: mean over runs at each point.
    pub lag_time: Vec<f64>,
    /// Members that it should have: mean over runs at each point; empty where it is not autoscaled.
    pub members: Vec<f64>,
}

/// What the pictures of one service need.
#[derive(Clone, Debug)]
pub struct Response {
    /// Name of the service.
    pub name: String,
    /// From the intended arrival of a user's request to its good answer, of all runs, ns.
    pub time: Histogram,
}

/// A fault or change as an interval of virtual time (those of the first run where times are random).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Name of the fault or change.
    pub name: String,
    /// Whether it is a fault (else a planned change).
    pub fault: bool,
    /// Names of the consumers it touches.
    pub touches: Vec<String>,
    /// Start.
    pub from: SimTime,
    /// End.
    pub to: SimTime,
}

impl Summary {
    /// The number at a path of `metrics`, if there is one.
    #[must_use]
    pub fn number(&self, path: &[&str]) -> Option<f64> {
        number_at(&self.metrics, path)
    }

    /// The 95 % interval of the number at a path of `metrics`, if there is one; infinite where it has no upper end.
    #[must_use]
    pub fn interval(&self, path: &[&str]) -> Option<(f64, f64)> {
        interval_in(path.iter().try_fold(&self.ci95, |node, key| node.get(key))?)
    }
}

/// The interval that a document writes as `[low, high]`, or as `[low, null]` where it has no upper end.
#[must_use]
pub fn interval_in(pair: &Value) -> Option<(f64, f64)> {
    interval_of(pair.get(0)?, pair.get(1)?)
}

/// The same of its ends.
#[must_use]
pub fn interval_of(low: &Value, high: &Value) -> Option<(f64, f64)> {
    Some((low.as_f64()?, if high.is_null() { f64::INFINITY } else { high.as_f64()? }))
}

/// The number at a path of a tree of metrics.
#[must_use]
pub fn number_at(tree: &Value, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(tree, |node, key| node.get(key))?.as_f64()
}
