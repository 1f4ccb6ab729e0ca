//! What a search for the smallest design found: the design, those that were simulated on the way, and what they missed.

use super::{Judged, Verdict, Warning};
use crate::time::SimSpan;

/// A search among designs that differ in a few values, each of which costs something.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// Name of the scenario.
    pub scenario: String,
    /// Master seed, that of all designs.
    pub seed: u64,
    /// Runs of a design at first.
    pub replications: u32,
    /// Most runs of a design whose verdict is close.
    pub max_replications: u32,
    /// Confidence of the intervals that a design is judged by, each time it is looked at: so high that its verdict has 95 %,
    /// however often that is.
    pub level: f64,
    /// Virtual time of one run.
    pub duration: SimSpan,
    /// What is to be small.
    pub knobs: Vec<Knob>,
    /// The designs that were simulated, the cheapest first.
    pub probes: Vec<Probe>,
    /// The cheapest design that meets every objective, of those simulated.
    pub answer: Option<usize>,
    /// Where there is none: the design that came closest.
    pub closest: Option<usize>,
    /// Designs that have less of one knob than the answer: one step less, and further down as long as they are undecided.
    pub smaller: Vec<Step>,
    /// Cheaper designs that rule out all others that are cheaper than the answer (than any, where there is none).
    pub rests_on: Vec<usize>,
    /// Where more of a knob was worse.
    pub reversals: Vec<Reversal>,
    /// The command that repeats the search.
    pub command: String,
    /// The command that runs the answer, or the closest design.
    pub run: String,
}

/// One value that is to be small.
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    /// Its path in the scenario.
    pub path: String,
    /// What it may be, as written, the smallest first.
    pub values: Vec<String>,
    /// The same as numbers.
    pub numbers: Vec<f64>,
    /// Cost of one of it.
    pub cost: f64,
    /// What is known of more of it.
    pub order: Order,
    /// What the scenario has, as written, where it says so.
    pub present: Option<String>,
}

/// Whether a design that fails rules out those with less of a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// More of it is taken to be no worse, as of members; what was simulated does not speak against it.
    Assumed,
    /// Nobody knows: it is tried value by value.
    Unknown,
    /// More of it was worse somewhere: it is tried value by value.
    Refuted,
}

/// A design that was simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The index of its value of each knob.
    pub at: Vec<usize>,
    /// What it costs.
    pub cost: f64,
    /// What it was found to be.
    pub found: Finding,
}

/// What a design was found to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its runs.
    pub replications: u32,
    /// The objectives, judged.
    pub judged: Vec<Judged>,
    /// What would mislead a reader who skipped it.
    pub warnings: Vec<Warning>,
}

/// A design with less of one knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The knob.
    pub knob: usize,
    /// The design.
    pub probe: usize,
}

/// Two designs of which the larger one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The smaller design.
    pub less: usize,
    /// The larger one.
    pub more: usize,
    /// The objective that the larger one does not meet, and is further from.
    pub objective: usize,
}

/// The answer beside that of an earlier search.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// The file with the earlier document.
    pub baseline: String,
    /// What the earlier answer cost.
    pub was: f64,
    /// What this one costs.
    pub is: f64,
    /// Where this one is dearer: the index of the earlier answer's value of each knob, and what it is found to be now.
    pub earlier: Option<(Vec<usize>, Finding)>,
}

impl Against {
    /// Whether it takes more than it did: the answer is dearer, and the earlier one is shown to fail.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.earlier.as_ref().is_some_and(|(_, found)| found.verdict() == Verdict::Fails)
    }
}

impl Finding {
    /// The verdict on all objectives together.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::of_all(self.judged.iter().map(|judged| judged.verdict)).unwrap_or(Verdict::Holds)
    }

    /// Whether it meets every objective.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdict() == Verdict::Holds
    }
}

impl Sizing {
    /// Number of designs in all.
    #[must_use]
    pub fn designs(&self) -> usize {
        self.knobs.iter().map(|knob| knob.values.len()).product()
    }

    /// A design's values as they were written, knob by knob.
    #[must_use]
    pub fn values(&self, probe: &Probe) -> Vec<&str> {
        self.knobs.iter().zip(&probe.at).map(|(knob, at)| knob.values[*at].as_str()).collect()
    }

    /// The answer, or the design that came closest to one.
    #[must_use]
    pub fn shown(&self) -> Option<&Probe> {
        self.answer.or(self.closest).map(|index| &self.probes[index])
    }

    /// What became of the search: it found a design, cannot tell whether there is one, or found that there is none.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.answer {
            Some(_) => Verdict::Holds,
            None if self.undecided() > 0 => Verdict::Undecided,
            None => Verdict::Fails,
        }
    }

    /// Of the designs that the answer rests on, the number of those that are undecided.
    #[must_use]
    pub fn undecided(&self) -> usize {
        let open = |index: &&usize| self.probes[**index].found.verdict() == Verdict::Undecided;
        self.rests_on.iter().filter(open).count()
    }
}
