//! What formulas say, beside what was simulated.

use crate::metrics::Unit;

/// One thing with its estimates.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// `consumers`, `services` or `faults`.
    pub section: &'static str,
    /// Name of the thing.
    pub name: String,
    /// Of a fault: the consumer or service at which it leaves something behind.
    pub at: Option<String>,
    /// The formula.
    pub formula: String,
    /// How good it is for this plan: `exact`, `good` or `rough`.
    pub accuracy: &'static str,
    /// Figures in the order in which they are read.
    pub figures: Vec<Figure>,
    /// Why they part, where they part by more than chance and formula justify.
    pub remark: Option<String>,
}

/// One figure, estimated and simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Its key, as in the metrics where it is one of them.
    pub key: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// By formula; none where that has no value.
    pub estimate: Option<f64>,
    /// As simulated; none before a run, and where nothing of the kind is measured.
    pub simulated: Option<f64>,
    /// The 95 % interval of the simulated value.
    pub interval: Option<(f64, f64)>,
}

impl Beside {
    /// The figure with this key.
    #[must_use]
    pub fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }

    /// Whether anything of it was simulated.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.figures.iter().any(|figure| figure.simulated.is_some())
    }
}
