//! What groups and the mesh tell each other about handlers that a group begins and the mesh runs.
//!
//! ```text
//! group --begin, cut off, pause, slow, dead letter, positions--> mesh --ended, asks--> group
//! ```
//!
//! A group keeps all that is delivery: who takes which record when, and what follows from the end of an attempt. The mesh
//! runs the attempt, and has what belongs to a member's process beside: its connections, its breakers, its clients.

use super::lineage::Lineage;

/// How an attempt goes wrong by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// Not at all.
    None,
    /// It fails after its own first work.
    Fails,
    /// It has failed so.
    Failed,
    /// It fails after its own first work, and its process ends with it.
    Crashes,
    /// It never comes back from its own first work.
    Hangs,
}

impl Doom {
    /// Whether it is to fail.
    pub(super) fn fails(self) -> bool {
        matches!(self, Self::Fails | Self::Crashes)
    }
}

/// One attempt at a record, or at a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) worker: u32,
    /// The group's number of the attempt among all.
    pub(super) run: u64,
    /// Number of the event in all streams, and among those of its publisher.
    pub(super) number: u64,
    pub(super) index: u64,
    /// Number of the attempt at this event, from 1.
    pub(super) attempt: u32,
    pub(super) key: u32,
    pub(super) event_type: u16,
    pub(super) lineage: Lineage,
    pub(super) doom: Doom,
}

/// What a group tells the mesh about one of its members.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// A worker begins an attempt.
    Begin(Begin),
    /// The process is gone, with all that it had in hand.
    CutOff,
    /// It stands still until then.
    Pause(u64),
    /// Its work takes so many times as long.
    Slow(f64),
    /// It publishes a dead letter: topic, key, type, journey.
    DeadLetter(usize, u32, u16, Lineage),
    /// Its process is there again.
    Start,
    /// The positions that an attempt (by worker and number) has sent in its transaction are taken, or refused.
    Positions(u32, u64, bool),
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// With its effect.
    Done,
    /// Some step of it failed.
    Failed,
    /// It failed by itself, as it was to.
    ByItself,
    /// It is not over: its transaction is to end, and asks for the positions to be taken.
    Asks,
    /// The positions were refused, and what it has published is given up.
    Refused,
}

/// What the mesh tells a group: an attempt is over, or about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) member: usize,
    pub(super) worker: u32,
    pub(super) run: u64,
    pub(super) how: How,
}
