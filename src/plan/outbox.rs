//! Outboxes: publishes go through the local transaction, and a relay takes them from there to the bus.

use crate::dist::Dist;
use crate::time::SimSpan;

/// The outbox of a producer or service.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxPlan {
    /// What publishes from it.
    pub relay: Relay,
    /// From the start of the relay until it is ready, ns.
    pub startup: Dist,
}

impl OutboxPlan {
    /// Most rows that the relay can publish, per second; none: no limit.
    #[must_use]
    pub fn most_per_second(&self) -> Option<f64> {
        match &self.relay {
            Relay::Poll { every, batch } => Some(f64::from(*batch) / every.seconds()),
            Relay::Tail { .. } => None,
        }
    }
}

/// How a relay learns of rows, and what it remembers of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Relay {
    /// One process at a time of the publisher looks for rows that are not marked as sent, takes those with the lowest numbers,
    /// publishes them, and marks them when all are acknowledged. Rows are numbered as they are written, before they are committed.
    Poll {
        /// Time between two looks.
        every: SimSpan,
        /// Most rows that one look takes.
        batch: u32,
    },
    /// A process of its own reads the database's log, in the order of commits, publishes each row as it reads it, and stores from
    /// time to time how far all is acknowledged; it begins there again after a crash.
    Tail {
        /// From the commit until it has read a row, ns.
        delay: Dist,
        /// Time between two stored positions.
        store_every: SimSpan,
    },
}
