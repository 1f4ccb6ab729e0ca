//! Autoscaling: how many members a consumer has, by what it has to do.

use crate::time::SimSpan;

/// How the number of members follows what there is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoscalePlan {
    /// What each member shall have.
    pub target: ScaleTarget,
    /// Fewest members.
    pub min: u32,
    /// Most members.
    pub max: u32,
    /// Time between two looks; the first is one after the start.
    pub every: SimSpan,
    /// No fewer members than the most that were recommended within this time.
    pub cooldown: SimSpan,
    /// Nothing is done while what each member has is that close to the target, as a share of it.
    pub tolerance: f64,
}

/// What each member of an autoscaled consumer shall have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScaleTarget {
    /// So many records that are not settled.
    Lag(u64),
    /// This share of its workers' time in hand.
    Utilisation(f64),
}
