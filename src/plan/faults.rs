//! What goes wrong with whom and when, and what operators do.

use super::{BusId, ConsumerId, Party, Plan, ProducerId, ResourceId, ServiceId, TopicId};
use crate::dist::Dist;
use crate::time::{SimSpan, SimTime};

/// An injected cause, or something that operators do once and that is followed like one.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Name for reports: as given, or `slow consumers.email`.
    pub name: String,
    /// Path of its random stream: its own name if it has one, else its index in the list.
    pub stream: String,
    /// First time, and the time between two occurrences if it recurs.
    pub at: Dist,
    /// Recurrence.
    pub every: Option<Dist>,
    /// How long; none: to the end.
    pub lasts: Option<Dist>,
    /// Whom.
    pub target: FaultTarget,
    /// What.
    pub effect: Effect,
}

/// Whom a fault touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// Members of a consumer.
    Consumer(ConsumerId, Members),
    /// A producer's arrivals.
    Producer(ProducerId),
    /// The connection from a producer to a topic's bus, one entry per fault; applies to all its clients.
    ProducerLink(ProducerId),
    /// The connection between a consumer's members and its bus.
    ConsumerLink(ConsumerId),
    /// Instances of a service, or (a burst) its arrivals.
    Service(ServiceId, Members),
    /// Nodes of a bus.
    Broker(BusId, Members),
    /// The node that leads a partition of a topic when the fault strikes.
    Leader(TopicId, u32),
    /// Something shared.
    Resource(ResourceId),
    /// The relay of somebody's outbox.
    Relay(Party),
    /// The connection between a service's instances and the buses to which they publish.
    ServiceLink(ServiceId),
    /// The connection between somebody and a service that it calls; both ways, where both call.
    CallLink(Party, ServiceId),
}

impl FaultTarget {
    /// Whether this is the connection over which somebody calls a service.
    #[must_use]
    pub fn carries(self, caller: Party, to: ServiceId) -> bool {
        let Self::CallLink(one, other) = self else { return false };
        (one, other) == (caller, to) || caller == Party::Service(other) && one == Party::Service(to)
    }
}

/// Which members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// All together.
    All,
    /// One, by index.
    One(u32),
    /// One, drawn each time.
    Any,
    /// Each by itself, with its own times.
    Each,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The process ends; handlers in hand are cut off. It starts again at the fault's end.
    Crash,
    /// The same of a node, which loses what is not on its disk yet, too.
    PowerLoss,
    /// Stands still; timers elsewhere run.
    Pause,
    /// Service takes so many times as long.
    Slow(f64),
    /// So many of the attempts fail.
    Fail(f64),
    /// The next n events never succeed.
    Poison(u64),
    /// So many times the arrivals.
    Burst(f64),
    /// Share of requests lost on the way.
    Drop(f64),
    /// Requests and answers take so much longer, one way, ns.
    Delay(Dist),
    /// Share of requests that arrive twice.
    Duplicate(f64),
    /// Share of requests that take effect but whose answer is lost.
    LostResponse(f64),
    /// So many grants a second, if it is not fewer anyway.
    Quota(f64),
    /// Nothing gets through, either way.
    Partition,
    /// Requests are accepted, and nothing is ever done about them.
    BlackHole,
    /// Service takes so many times as long at first, and less and less until the fault's end.
    ColdStart(f64),
    /// Operators stop the group, set its positions back to what they were at a time of the run, though never ahead, and start
    /// it again.
    Replay(SimTime),
}

impl Effect {
    /// Whether it can do anything at all.
    #[must_use]
    pub fn may_act(&self) -> bool {
        match self {
            Self::Crash
            | Self::Pause
            | Self::Quota(_)
            | Self::Partition
            | Self::BlackHole
            | Self::PowerLoss
            | Self::Replay(_) => true,
            Self::Slow(factor) | Self::Burst(factor) | Self::ColdStart(factor) => (factor - 1.0).abs() > 0.0,
            Self::Fail(share) | Self::Drop(share) | Self::Duplicate(share) | Self::LostResponse(share) => *share > 0.0,
            Self::Poison(events) => *events > 0,
            Self::Delay(dist) => dist.constant() != Some(0.0),
        }
    }
}

/// What operators do.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangePlan {
    /// Name for reports.
    pub name: String,
    /// When.
    pub at: SimTime,
    /// For how long; none: for good.
    pub lasts: Option<SimSpan>,
    /// Which consumer.
    pub consumer: ConsumerId,
    /// What.
    pub action: Action,
}

/// What operators do to a consumer.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// New number of members.
    Scale(u32),
    /// All its processes are replaced, some at a time.
    Deploy(DeployPlan),
}

/// How a version is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployPlan {
    /// At most so many members fewer than wanted are up, if no fault takes more.
    pub max_unavailable: u32,
    /// At most so many processes more than members are there.
    pub max_surge: u32,
    /// How long a process that is told to stop may take before it is killed.
    pub grace: SimSpan,
}

impl Plan {
    /// When the positions of a consumer are set back, and to what time.
    pub fn replays(&self, consumer: usize) -> impl Iterator<Item = (SimTime, SimTime)> {
        let own =
            move |fault: &&FaultPlan| matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == consumer);
        self.faults.iter().filter(own).filter_map(|fault| match fault.effect {
            Effect::Replay(from) => fault.at.constant().map(|at| (SimTime(SimSpan::from_nanos_f64(at).0), from)),
            _ => None,
        })
    }
}
