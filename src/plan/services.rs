//! Services that answer requests, the way to them, and what they share.

use super::{ClientPlan, FailurePlan, Handler, KeyPlan, OutboxPlan, TopicId};
use crate::dist::{Arrivals, Dist};
use crate::time::SimSpan;

/// What answers calls.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// When users come in; none: it is only called by others.
    pub arrivals: Option<Arrivals>,
    /// Requests per arrival, each by itself.
    pub events_per_arrival: Dist,
    /// Key of each user's request.
    pub key: KeyPlan,
    /// Size of what it publishes, bytes.
    pub size: Dist,
    /// Shares of event types (index into [`Plan::event_types`](super::Plan::event_types)); empty: all have type 0.
    pub types: Vec<(u16, f64)>,
    /// Processes.
    pub instances: u32,
    /// Requests that one instance handles at once.
    pub workers: u32,
    /// Requests that may wait for a worker of one instance; the rest is refused.
    pub queue: u32,
    /// How callers choose an instance.
    pub balance: Balance,
    /// How requests reach it.
    pub transport: TransportPlan,
    /// What is done for each request.
    pub handler: Handler,
    /// How requests fail, by themselves.
    pub failure: FailurePlan,
    /// From the start of a process until it is ready.
    pub startup: Dist,
    /// Through which its handlers publish; none: they publish themselves.
    pub outbox: Option<OutboxPlan>,
    /// Client settings, one per topic that the handler publishes to.
    pub clients: Vec<(TopicId, ClientPlan)>,
}

/// How callers choose an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests at work or waiting; the first of several.
    LeastOutstanding,
    /// The less loaded of two drawn at random.
    TwoChoices,
    /// Each process of a caller keeps to one.
    Pinned,
}

/// How requests reach a service and answers come back.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportPlan {
    /// One way between a caller and the service, ns, drawn for each request and each answer.
    pub network: Dist,
    /// Round trips before the first request on a new connection.
    pub handshakes: u32,
    /// A connection without a call for so long is closed.
    pub keep_alive: SimSpan,
    /// Whether one connection carries many calls at a time.
    pub multiplexed: bool,
    /// Whether the service learns that its caller has given up, and stops.
    pub cancels: bool,
}

/// Something shared that handlers hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourcePlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// Holders at once; none: as many as come.
    pub capacity: Option<u32>,
    /// Whether each key has its own.
    pub per_key: bool,
    /// Grants per second, and how many may come at one instant after a pause.
    pub rate: Option<(f64, u32)>,
    /// Who may wait; the rest is refused.
    pub queue: u32,
    /// Longest wait.
    pub timeout: Option<SimSpan>,
    /// Whether who is turned away is told when to come again, and callers pass it on (HTTP `Retry-After`).
    pub retry_after: bool,
}
