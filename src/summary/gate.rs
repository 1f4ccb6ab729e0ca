//! What has become worse than an earlier result.

use crate::metrics::Unit;

/// A result held against an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// The file with the earlier result.
    pub baseline: String,
    /// Designs that are not in it: nothing of them was compared.
    pub missing: Vec<String>,
    /// Number of metrics that were compared.
    pub compared: usize,
    /// Those that are better by more than both intervals.
    pub better: usize,
    /// Those that are worse by more than both intervals.
    pub worse: Vec<Worse>,
}

/// One metric that is worse than it was. Counts are per run.
#[derive(Clone, Debug, PartialEq)]
pub struct Worse {
    /// The design that it is about; empty where there is only one.
    pub design: String,
    /// The metric as an expectation writes it, or the expectation itself where it is about an interval of the run.
    pub name: String,
    /// Unit of all its numbers; none where the expectation tells it.
    pub unit: Option<Unit>,
    /// The earlier value.
    pub was: f64,
    /// Its 95 % interval; none of a figure of the worst run.
    pub was_interval: Option<(f64, f64)>,
    /// The value now.
    pub is: f64,
    /// Its 95 % interval.
    pub is_interval: Option<(f64, f64)>,
    /// Where it is expected, if it is: file, line and column.
    pub place: Option<(String, u32, u32)>,
}

impl Gate {
    /// Adds what was found of another design.
    pub fn absorb(&mut self, other: Self) {
        self.missing.extend(other.missing);
        self.compared += other.compared;
        self.better += other.better;
        self.worse.extend(other.worse);
    }
}
