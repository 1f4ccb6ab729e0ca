//! How exactly figures are known, where so much was asked for.

/// What was asked for, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Precision {
    /// The half-width of 95 % intervals that was asked for, as a share of the figure.
    pub aim: f64,
    /// The figures that it was asked of.
    pub figures: Vec<Precise>,
    /// Runs that there are.
    pub runs: u32,
    /// Runs that there may be.
    pub most: u32,
    /// About how many runs in all would do, where these do not; none where nobody can tell.
    pub needed: Option<u64>,
}

/// How exactly one figure is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Precise {
    /// The figure as an expectation writes it.
    pub name: String,
    /// How far it may be off.
    pub width: Width,
}

/// The half-width of a 95 % interval as a share of its figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Width {
    /// So much.
    Share(f64),
    /// Nothing is known of how large the figure may be.
    Open,
    /// It has no interval, however many runs there are: it is a figure of the worst run, or has no value.
    Never,
}

impl Precise {
    /// Whether it is known as exactly as was asked for; what has no interval is no obstacle.
    #[must_use]
    pub fn is_within(&self, aim: f64) -> bool {
        match self.width {
            Width::Share(share) => share <= aim,
            Width::Open => false,
            Width::Never => true,
        }
    }
}

impl Precision {
    /// Whether all figures are known as exactly as was asked for.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_within(self.aim))
    }
}
