//! Consumers: who is handed which message when, what follows a failure, and what is settled.

use super::{AutoscalePlan, ClientPlan, Handler, RetryTopics, TopicId};
use crate::dist::Dist;
use crate::time::SimSpan;

/// One subscription: who reads what, how, and what is done with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerPlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// Topics and queues read, sorted.
    pub subscribes: Vec<TopicId>,
    /// Event types wanted; none: all.
    pub types: Option<Vec<u16>>,
    /// Share of the keys wanted, as an interval of the key hash: from, to (0 to 1). `(0.0, 1.0)`: all.
    pub keys: (f64, f64),
    /// Processes at the start.
    pub members: u32,
    /// How their number follows what there is to do; none: it does not.
    pub autoscale: Option<AutoscalePlan>,
    /// Handlers at once in one member.
    pub workers: u32,
    /// What a member's workers keep.
    pub order: WorkerOrder,
    /// What is done for one message, or for one batch.
    pub handler: Handler,
    /// One handler call for several messages.
    pub batch: Option<BatchPlan>,
    /// Wakes, takes what is there, sleeps.
    pub schedule: Option<SchedulePlan>,
    /// How attempts fail.
    pub failure: FailurePlan,
    /// What follows a failed attempt.
    pub retry: RetryPlan,
    /// Where a failed message waits, in the mode of retry topics.
    pub retry_topics: Option<RetryTopics>,
    /// Where a message goes that is given up; none: it is discarded.
    pub dead_letter: Option<TopicId>,
    /// Duplicates inside the window have no effect.
    pub idempotent: Option<IdempotencePlan>,
    /// When a delivery is recorded as done.
    pub settle: Settle,
    /// Whether it sees what is published in transactions only once they are committed.
    pub committed_only: bool,
    /// How records reach the members.
    pub dispatch: Dispatch,
    /// How members are known, lost and replaced.
    pub membership: Membership,
    /// From the start of a process until it is ready.
    pub startup: Dist,
    /// Client settings, one per topic that the handler publishes to, and for the dead-letter topic.
    pub clients: Vec<(TopicId, ClientPlan)>,
    /// Whether this configuration promises that the events of a key take effect in publish order, and if not, why not.
    pub key_order: Result<(), String>,
}

/// What a member's workers keep in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerOrder {
    /// One message of a partition at a time.
    Partition,
    /// One message of a key at a time.
    Key,
    /// Nothing.
    None,
}

/// One handler call for several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// Most messages in a call.
    pub max: u32,
    /// How long a batch waits for company after its first message.
    pub max_wait: SimSpan,
}

/// When a scheduled consumer wakes: `offset + k x every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulePlan {
    /// Time between two wakes.
    pub every: SimSpan,
    /// The first wake (default: one interval after the start).
    pub offset: SimSpan,
}

/// Shares of handler attempts that go wrong. All zero: nothing fails. An attempt at a batch goes wrong if it does for any
/// of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FailurePlan {
    /// The attempt fails; the next may succeed.
    pub transient: f64,
    /// The event's own fault: every attempt fails.
    pub permanent: f64,
    /// The handler never returns.
    pub hang: f64,
    /// The handler takes its process with it.
    pub crash: f64,
}

/// What follows a failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPlan {
    /// Attempts, the first included; `u32::MAX`: without end.
    pub attempts: u32,
    /// Where the message waits for its next attempt.
    pub mode: RetryMode,
    /// How long it waits.
    pub backoff: Backoff,
    /// Share of the wait that is random: the wait is `w x (1 - share x u)`, u uniform in 0..1. Full jitter is 1.
    pub jitter: f64,
}

impl RetryPlan {
    /// The longest wait between two attempts; none where there is one attempt, or a wait is drawn.
    #[must_use]
    pub fn longest_wait(&self) -> Option<SimSpan> {
        let waits = self.attempts.checked_sub(1).filter(|waits| *waits > 0)?;
        match &self.backoff {
            Backoff::Drawn(wait) => wait.constant().map(SimSpan::from_nanos_f64),
            Backoff::Steps(steps) => steps.iter().take(waits as usize).max().copied(),
            Backoff::Exponential { base, factor, max } => {
                let grown = |wait: f64, _| (wait * factor).min(max.0 as f64);
                // After so many steps it is the longest, or does not grow.
                Some(SimSpan::from_nanos_f64((1..waits.min(10_000)).fold(base.0 as f64, grown)))
            }
        }
    }
}

/// Where a failed message waits for its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryMode {
    /// In the handler: its worker is held.
    Blocking,
    /// Back in its queue, at its old place or near the head.
    Requeue,
    /// In a topic of its own, of which each partition is read up to its head that is not due yet.
    RetryTopic,
}

/// Wait before attempt n + 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// Drawn each time.
    Drawn(Dist),
    /// The n-th of the list; the last one again and again.
    Steps(Vec<SimSpan>),
    /// `base x factor^(n-1)`, at most `max`.
    Exponential {
        /// First wait.
        base: SimSpan,
        /// Growth.
        factor: f64,
        /// Longest wait.
        max: SimSpan,
    },
}

/// Duplicates inside the window have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencePlan {
    /// How long an effect is remembered.
    pub window: SimSpan,
    /// Recorded in the same transaction as the effect (exact), or in a store of its own (concurrent deliveries both pass).
    pub same_transaction: bool,
}

/// When a delivery is recorded as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// After its effect.
    After,
    /// Before its effect: at most once.
    Before,
    /// On the client's timer: at the next poll after this time, what earlier polls returned.
    Timer(SimSpan),
}

/// The two dispatch disciplines.
#[derive(Clone, Debug, PartialEq)]
pub enum Dispatch {
    /// Each partition has one owner, which fetches in order and settles by position.
    Log(LogDispatch),
    /// Members compete for messages, which are pushed to them within their credit and settled one by one.
    Queue(QueueDispatch),
}

/// Reading a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogDispatch {
    /// One way between the bus and a member, ns, drawn per fetch response.
    pub network: Dist,
    /// Most records that one poll returns. `u32::MAX`: no limit.
    pub max_poll_records: u32,
    /// How long a fetch waits at a broker before it is answered with nothing, so that it can ask for more.
    pub fetch_max_wait: SimSpan,
    /// Most bytes of one partition in one fetch response, in records of the mean size.
    pub max_fetch_records: u32,
    /// Whether every effect is committed at once (else: at the next poll).
    pub commit_each: bool,
    /// A fetch without an answer for so long is sent again.
    pub request_timeout: SimSpan,
    /// How a member learns of new leaders.
    pub refresh: Refresh,
    /// Where a member goes on when what it is to read next has been deleted.
    pub reset: Reset,
}

/// Where a reader goes on whose position has been deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// With the oldest record that is kept.
    Earliest,
    /// With the next one that comes.
    Latest,
}

/// How a client learns of new leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// How often it asks, if nothing makes it.
    pub age: SimSpan,
    /// Wait before it asks again in vain; doubles each time, with a jitter of +-20 %.
    pub backoff: SimSpan,
    /// Longest wait.
    pub backoff_max: SimSpan,
}

/// Reading a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueDispatch {
    /// One way between the bus and a member, ns, drawn per delivery.
    pub network: Dist,
    /// Deliveries that a member may hold unsettled. `u32::MAX`: no limit.
    pub prefetch: u32,
    /// Both ends of a broken connection notice after so long that the other is silent.
    pub silence: SimSpan,
    /// A member waits so long before each attempt to connect anew.
    pub reconnect: SimSpan,
}

/// How members are known, lost and replaced.
#[derive(Clone, Debug, PartialEq)]
pub enum Membership {
    /// A member that stops is noticed at once (a closed connection), and what it held is given to others at once.
    Immediate,
    /// A group with heartbeats, which shares out its partitions whenever its members are others.
    Group(GroupPlan),
}

impl Membership {
    /// The group with heartbeats, if it is one.
    #[must_use]
    pub fn group(&self) -> Option<&GroupPlan> {
        match self {
            Self::Immediate => None,
            Self::Group(group) => Some(group),
        }
    }
}

/// A group with heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPlan {
    /// How partitions come from one member to another.
    pub protocol: Protocol,
    /// Who gets which.
    pub assignor: Assignor,
    /// Whether each member has an identity of its own that outlives its process: one that comes back before it is missed
    /// has what it had, and one that goes does not say so.
    pub fixed: bool,
    /// A member without heartbeats for so long is expelled.
    pub session_timeout: SimSpan,
    /// Time between two heartbeats; a member learns by its next one what is asked of it.
    pub heartbeat: SimSpan,
    /// Longest wait for all members to rejoin; also the longest time between two polls.
    pub rebalance_timeout: SimSpan,
    /// One join and sync round: from the last member's rejoin until all have their assignment, ns.
    pub join: Dist,
    /// An empty group waits so long for company after the first member has joined.
    pub initial_delay: SimSpan,
    /// Whether it waits as long again where more have come meanwhile, as long as that is within the rebalance timeout.
    pub initial_delay_grows: bool,
    /// Least time between two assignments of the bus.
    pub assignment_interval: SimSpan,
}

/// How partitions come from one member of a group to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// All members give back all they have and meet at a barrier.
    Eager,
    /// All meet at a barrier, but work on meanwhile; what is to move is given back after it, and moves with the next.
    Cooperative,
    /// The bus assigns, and tells each member by itself, with its heartbeats: there is no barrier.
    Incremental,
}

/// Who gets which partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Contiguous shares of each topic.
    Range,
    /// One after the other, all topics together.
    Turn,
    /// Evenly, with as few as possible that move.
    Sticky,
}
