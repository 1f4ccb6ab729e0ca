//! What a comparison of designs found: each design's own summary, and the difference of every metric to the first design.

use super::{Summary, Verdict, Warning};
use crate::metrics::Unit;

/// Designs run side by side with common random numbers.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The designs; the first one is the base.
    pub designs: Vec<Design>,
    /// For each further design, in order, how its metrics differ from those of the base.
    pub contrasts: Vec<Vec<Contrast>>,
    /// Confidence of each interval of a difference: more than 95 % where several designs are compared with the base, so
    /// that all intervals of one metric hold together with 95 %.
    pub level: f64,
    /// What would mislead a reader who skipped it, about the comparison itself.
    pub warnings: Vec<Warning>,
    /// The command that repeats the comparison.
    pub command: String,
}

/// One design of a comparison.
#[derive(Clone, Debug)]
pub struct Design {
    /// Its name: that of the file, or of the variant.
    pub name: String,
    /// What its runs found.
    pub summary: Summary,
}

/// One metric of a design beside that of the base. Counts are per run.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// Path in the result document.
    pub path: Vec<String>,
    /// Unit of all its numbers.
    pub unit: Unit,
    /// Whether the values are means over the runs (figures of the worst run, which are compared run by run), and not
    /// those of all runs pooled.
    pub by_run: bool,
    /// Whether it is a count, shown per run.
    pub count: bool,
    /// Value of the base.
    pub base: Option<f64>,
    /// Value of the design.
    pub value: Option<f64>,
    /// Value of the design less that of the base.
    pub difference: Option<f64>,
    /// Interval of the difference, paired run by run; none with one run.
    pub interval: Option<(f64, f64)>,
    /// What can be said of it.
    pub relation: Relation,
    /// Replications that would show a difference of this size, where none can be seen (an estimate).
    pub needed: Option<u64>,
    /// Why there is no difference to show.
    pub reason: Option<String>,
}

/// How a metric of a design relates to that of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same in every run.
    Identical,
    /// Lower: the whole interval is below 0.
    Lower,
    /// Higher: the whole interval is above 0.
    Higher,
    /// The interval includes 0.
    Unclear,
    /// The values differ, and one run says nothing about chance.
    OneRun,
    /// One of the two has no value.
    NoValue,
}

impl Contrast {
    /// The path as an expectation writes it, without the section.
    #[must_use]
    pub fn name(&self) -> String {
        let from = usize::from(self.path.first().is_some_and(|section| section != "events"));
        self.path[from..].join(".")
    }

    /// Half the width of the interval.
    #[must_use]
    pub fn half(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (high - low) / 2.0)
    }
}

impl Comparison {
    /// Whether every expectation of every design holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.designs.iter().flat_map(|design| &design.summary.expectations).all(|claim| claim.verdict == Verdict::Holds)
    }
}
