//! What a sweep found: one metric after the other at every point of a grid.

use super::Verdict;
use crate::metrics::Unit;
use crate::time::SimSpan;

/// A grid of scenarios that differ in a few values, each simulated with the same seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Name of the scenario.
    pub scenario: String,
    /// Master seed.
    pub seed: u64,
    /// Runs at each point.
    pub replications: u32,
    /// Virtual time of one run.
    pub duration: SimSpan,
    /// What is varied; the last one varies fastest.
    pub axes: Vec<Axis>,
    /// What is measured.
    pub metrics: Vec<Swept>,
    /// The points of the grid.
    pub points: Vec<Point>,
    /// Where the growth of each metric bends: the index of the value, where there is one axis of numbers and a knee.
    pub knees: Vec<Option<usize>>,
    /// The command that repeats the sweep.
    pub command: String,
}

/// One value that is varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its path in the scenario.
    pub path: String,
    /// What stands there, as written.
    pub values: Vec<String>,
    /// The values as numbers in a common unit, where they all are.
    pub positions: Option<Vec<f64>>,
}

/// One metric of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Swept {
    /// Path in the result document.
    pub path: Vec<String>,
    /// Unit of its values.
    pub unit: Unit,
}

/// What was found at one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Each metric in order; none where it has no value.
    pub readings: Vec<Option<Reading>>,
    /// Verdict of the scenario's expectations together; none without expectations.
    pub verdict: Option<Verdict>,
    /// Codes of the warnings, each once.
    pub warnings: Vec<String>,
}

/// A metric at a point. Counts are per run; figures of the worst run are means over the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Its value.
    pub value: f64,
    /// The 95 % interval across runs; none with one run.
    pub interval: Option<(f64, f64)>,
}

impl Swept {
    /// The path as an expectation writes it, without the section.
    #[must_use]
    pub fn name(&self) -> String {
        let from = usize::from(self.path.first().is_some_and(|section| section != "events"));
        self.path[from..].join(".")
    }
}

impl Sweep {
    /// The first and the last value of an axis with this path, where it is varied: points then differ in it.
    #[must_use]
    pub fn varied(&self, path: &str) -> Option<(&str, &str)> {
        let axis = self.axes.iter().find(|axis| axis.path == path)?;
        Some((axis.values.first()?, axis.values.last()?))
    }

    /// The indices of a point's values, axis by axis.
    #[must_use]
    pub fn place(&self, point: usize) -> Vec<usize> {
        place(self.axes.iter().map(|axis| axis.values.len()), point)
    }

    /// A point's values as they were written, axis by axis.
    #[must_use]
    pub fn values(&self, point: usize) -> Vec<&str> {
        self.axes.iter().zip(self.place(point)).map(|(axis, at)| axis.values[at].as_str()).collect()
    }
}

/// The indices along axes of these lengths of the n-th point, the last axis varying fastest.
#[must_use]
pub fn place(lengths: impl DoubleEndedIterator<Item = usize>, mut point: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = Vec::new();
    for length in lengths.rev() {
        indices.push(point % length);
        point /= length;
    }
    indices.reverse();
    indices
}
