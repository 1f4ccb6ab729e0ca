//! How many members an autoscaled consumer had.

use std::collections::BTreeMap;

use crate::time::SimTime;

/// What came of the autoscaling of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScalingOutcome {
    /// Steps of the autoscaler to more members since the warm-up.
    pub up: u64,
    /// Steps to fewer.
    pub down: u64,
    /// Time for which it should have so many members since the warm-up, ns.
    pub time_at: BTreeMap<u32, u128>,
    /// Members over virtual time, at the samples of the lag: the most in each interval. Of several runs: their sum.
    pub members: Vec<u64>,
    /// The first changes of its size, by whomever; of several runs those of the first.
    pub steps: Vec<ScaleStep>,
}

/// A consumer shall have another number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleStep {
    /// From when on.
    pub at: SimTime,
    /// How many.
    pub members: u32,
}

impl ScalingOutcome {
    /// Adds what came of another run.
    pub fn merge(&mut self, other: Self) {
        self.up += other.up;
        self.down += other.down;
        for (members, time) in other.time_at {
            *self.time_at.entry(members).or_default() += time;
        }
        if self.members.len() < other.members.len() {
            self.members.resize(other.members.len(), 0);
        }
        self.members.iter_mut().zip(other.members).for_each(|(mine, other)| *mine += other);
    }
}
