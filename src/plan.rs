//! The checked, immutable model of a scenario: ids and numbers, ready to run.
//!
//! A [`Plan`] holds no text that still has to be interpreted: names are kept only for reports and for random streams.
//! Everything that separates one bus from another is a policy value here; no vendor is named.

mod journeys;
mod steady;

pub use journeys::{FlowPlan, Goal, MAX_PARTS, Node, OutcomePlan, Party, ReadPlan};
pub use steady::{FoundWarmUp, WarmUp};

pub use crate::dist::KeyPlan;
use crate::dist::{Arrivals, Dist};
use crate::time::{SimSpan, SimTime};

/// Index of a topic or queue in [`Plan::topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// Index of a bus in [`Plan::buses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusId(pub u32);

/// Index of a producer in [`Plan::producers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub u32);

/// Index of a consumer (one subscription, one group) in [`Plan::consumers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u32);

/// Index of a service in [`Plan::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// Index of a resource in [`Plan::resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// One checked scenario. All lists are sorted by name (faults, changes and expectations: as written).
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// Master seed of the experiment.
    pub seed: u64,
    /// Number of independent runs.
    pub replications: u32,
    /// Virtual time of one run.
    pub duration: SimSpan,
    /// Messages created before this are not measured.
    pub warm_up: SimSpan,
    /// Where that comes from.
    pub warm_up_from: WarmUp,
    /// Buses, sorted by name.
    pub buses: Vec<BusPlan>,
    /// Topics and queues of all buses, sorted by full name.
    pub topics: Vec<TopicPlan>,
    /// Producers, sorted by name.
    pub producers: Vec<ProducerPlan>,
    /// Consumers, sorted by name.
    pub consumers: Vec<ConsumerPlan>,
    /// Services, sorted by name.
    pub services: Vec<ServicePlan>,
    /// Resources, sorted by name.
    pub resources: Vec<ResourcePlan>,
    /// Journeys, sorted by name.
    pub flows: Vec<FlowPlan>,
    /// Users who look at what has become of what they did, sorted by name.
    pub reads: Vec<ReadPlan>,
    /// Injected causes.
    pub faults: Vec<FaultPlan>,
    /// What operators do.
    pub changes: Vec<ChangePlan>,
    /// What the scenario claims.
    pub expectations: Vec<Expectation>,
    /// Texts of keys that are not numbers: key id `numeric_keys + i` is `key_labels[i]`.
    pub key_labels: Vec<String>,
    /// Key ids below this are numbers; their text is the decimal number.
    pub numeric_keys: u32,
    /// Event types; an event's type is an index into this list. Index 0 is "no type".
    pub event_types: Vec<String>,
    /// Most messages waiting at one subscription before a run stops (bounded memory).
    pub backlog_bound: u64,
}

/// One bus: its nodes, and what follows when one fails.
#[derive(Clone, Debug, PartialEq)]
pub struct BusPlan {
    /// Name.
    pub name: String,
    /// Nodes.
    pub brokers: u32,
    /// How it notices and survives the loss of a node; none: its nodes do not fail.
    pub failover: Option<FailoverPlan>,
}

/// How a bus whose copies are pulled from a leader notices and survives the loss of a node: a controller hears heartbeats,
/// fences a node that is silent, and lets another in-sync copy lead.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverPlan {
    /// Time between two heartbeats of a node.
    pub heartbeat: SimSpan,
    /// A node without heartbeats for so long is fenced.
    pub session_timeout: SimSpan,
    /// From a decision about leaders until the nodes follow it, ns.
    pub election: Dist,
    /// A copy that has not caught up for so long is not in sync any more.
    pub lag_limit: SimSpan,
    /// From the return of a node until its copies are in sync again, ns.
    pub catch_up: Dist,
    /// From the start of a node until it is ready, ns.
    pub startup: Dist,
    /// Age of the oldest records that are not on a node's disk yet, ns.
    pub unsynced: Dist,
    /// How often leadership is given back to the copies that are to have it; none: never.
    pub rebalance: Option<SimSpan>,
}

/// One topic (every subscription gets every event) or queue (every event goes to one consumer).
#[derive(Clone, Debug, PartialEq)]
pub struct TopicPlan {
    /// Name as used in paths and reports; `bus/topic` where two buses have the same topic name.
    pub name: String,
    /// Name of the bus.
    pub bus: String,
    /// The bus.
    pub bus_id: BusId,
    /// Whether every subscription gets every event.
    pub fan_out: bool,
    /// Ordered lanes.
    pub partitions: u32,
    /// Nodes that lead the partitions: partition p is led by broker `p % brokers`.
    pub brokers: u32,
    /// Copies of each partition; those of partition p are on the brokers from `p % brokers` on.
    pub copies: u32,
    /// Copies in sync without which nothing is stored that is to be acknowledged by all.
    pub min_in_sync: u32,
    /// Whether a copy that is not in sync may lead when no other can.
    pub unclean_election: bool,
    /// How records are stored and become visible.
    pub store: StorePolicy,
    /// What is deleted; none: nothing in the time of a run.
    pub retention: Option<RetentionPlan>,
}

/// How long records are kept. What goes are whole segments, when the log is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPlan {
    /// A segment goes whose youngest record is older.
    pub time: SimSpan,
    /// The oldest goes while the others hold so many bytes; none: no limit.
    pub bytes: Option<u64>,
    /// A segment is closed before it holds more bytes.
    pub segment_bytes: u64,
    /// Or when its first record was appended so long ago, and another comes.
    pub segment_age: SimSpan,
    /// Time between two looks.
    pub check: SimSpan,
}

/// Time from a request's arrival at the bus until its records are visible and acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct StorePolicy {
    /// One way between a client and the bus, ns.
    pub network: Dist,
    /// Append at the leader, ns.
    pub append: Dist,
    /// From the append until enough copies exist, ns. Constant 0 where there is one copy.
    pub replicate: Dist,
    /// Sync to disk, ns; delays the acknowledgement, not the visibility.
    pub fsync: Dist,
    /// Whether records can be seen only when replicated (a high watermark), or from the append on.
    pub visible_when_replicated: bool,
}

/// Which copy a publish acknowledgement speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// The client does not wait for an answer.
    None,
    /// The leader has appended it.
    Leader,
    /// It is replicated (and synced, where the bus syncs).
    All,
}

/// How a client chooses partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// For an event with a key; none: keys are ignored.
    pub hash: Option<KeyHash>,
    /// For an event without one.
    pub keyless: Keyless,
}

/// What of a key, modulo the partitions, is its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyHash {
    /// Its number.
    Number,
    /// murmur2 of its text, without the sign.
    Murmur2,
    /// CRC-32 of its text.
    Crc32,
    /// FNV-1a of its text, 32 bits, without the sign.
    Fnv1a,
}

/// Partitions of events without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyless {
    /// One after the other.
    Turn,
    /// Drawn for each event.
    Random,
    /// That of the empty key.
    EmptyKey,
    /// Drawn, and kept until a batch is full.
    StickyBatch,
    /// Drawn, and kept for so long.
    StickyFor(SimSpan),
}

/// The publishing client of one producer or consumer for one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPlan {
    /// How partitions are chosen.
    pub partitioning: Partitioning,
    /// Whether requests on one connection arrive in the order sent.
    pub fifo_connection: bool,
    /// Whether they are also answered in that order.
    pub fifo_answers: bool,
    /// Batching; none: every message is a request.
    pub batching: Option<Batching>,
    /// The client's buffer; none: unlimited.
    pub buffer: Option<ClientBuffer>,
    /// Requests without an answer that one connection may have; none: unlimited.
    pub max_in_flight: Option<u32>,
    /// What is waited for.
    pub acks: Acks,
    /// Whether the bus recognises a batch that it has already stored, and refuses batches out of sequence.
    pub idempotent: bool,
    /// What happens after a request without an answer.
    pub retry: PublishRetry,
    /// How it learns of new leaders.
    pub refresh: Refresh,
}

/// Client-side batching, per partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Batching {
    /// How long a batch waits for company after its first message.
    pub linger: SimSpan,
    /// A batch leaves when it holds this many bytes.
    pub max_bytes: u64,
    /// Or so many messages.
    pub max_messages: u64,
}

/// What holds the batches of one client until they are acknowledged or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientBuffer {
    /// Bytes.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Whether a batch takes as many bytes as it may grow to, or only those of its messages.
    pub whole_batches: bool,
    /// A message that has waited so long for room is rejected.
    pub max_block: SimSpan,
}

/// Retries of publish requests inside the client.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishRetry {
    /// Attempts after the first.
    pub retries: u32,
    /// An attempt without an answer for so long has failed.
    pub request_timeout: SimSpan,
    /// The message has failed for good so long after it was handed to the client.
    pub delivery_timeout: SimSpan,
    /// Wait before the first retry; doubles each time, with a jitter of +-20 %.
    pub backoff: SimSpan,
    /// Longest wait between attempts.
    pub backoff_max: SimSpan,
}

/// Where events begin.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerPlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// When something happens in the business.
    pub arrivals: Arrivals,
    /// Messages handled per arrival, each by itself.
    pub events_per_arrival: Dist,
    /// Key of each event.
    pub key: KeyPlan,
    /// Size of each event, bytes.
    pub size: Dist,
    /// Shares of event types (index into [`Plan::event_types`]); empty: all have type 0.
    pub types: Vec<(u16, f64)>,
    /// Processes. A key stays with one instance; without keys they take turns.
    pub instances: u32,
    /// What is done for each event.
    pub handler: Handler,
    /// How attempts fail.
    pub failure: FailurePlan,
    /// Client settings, one per topic that the handler publishes to.
    pub clients: Vec<(TopicId, ClientPlan)>,
}

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
    /// Where a message goes that is given up; none: it is discarded.
    pub dead_letter: Option<TopicId>,
    /// Duplicates inside the window have no effect.
    pub idempotent: Option<IdempotencePlan>,
    /// When a delivery is recorded as done.
    pub settle: Settle,
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

/// Where a failed message waits for its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryMode {
    /// In the handler: its worker is held.
    Blocking,
    /// Back in its queue, at its old place or near the head.
    Requeue,
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
    /// A group with heartbeats and rebalances behind a barrier (eager).
    Eager {
        /// A member without heartbeats for so long is expelled.
        session_timeout: SimSpan,
        /// Time between two heartbeats; a member notices a rebalance by its next one.
        heartbeat: SimSpan,
        /// Longest wait for all members to rejoin; also the longest time between two polls.
        rebalance_timeout: SimSpan,
        /// One join and sync round: from the last member's rejoin until all have their assignment, ns.
        join: Dist,
    },
}

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
    /// Shares of event types (index into [`Plan::event_types`]); empty: all have type 0.
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

/// A handler: steps run in order, the worker held through all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handler {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Handler {
    /// Whether it only works, waits, publishes and chooses, whatever comes of that: no step waits for others, and none
    /// fails it.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        let mut simple = true;
        self.visit(&mut |step| {
            simple &= match step {
                Step::Work(_) | Step::Wait(_) | Step::Choose(_) => true,
                Step::Publish(publish) => publish.otherwise.is_none(),
                _ => false,
            };
        });
        simple
    }

    /// The topics whose events it awaits, in the order of its steps.
    #[must_use]
    pub fn awaited(&self) -> Vec<TopicId> {
        let mut topics = Vec::new();
        self.visit(&mut |step| {
            if let Step::Await(step) = step {
                topics.push(step.event);
            }
        });
        topics
    }

    /// All of its steps, the outer before the inner.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Step)) {
        self.steps.iter().for_each(|step| step.visit(see));
    }
}

/// One step of a handler.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Busy for so long, ns.
    Work(Dist),
    /// Idle for so long, worker held, ns.
    Wait(Dist),
    /// Publishes.
    Publish(PublishStep),
    /// One branch, by share (shares add up to 1).
    Choose(Vec<(f64, Vec<Step>)>),
    /// Calls a service and waits for its answer.
    Call(CallStep),
    /// Runs branches at once; goes on when `quorum` of them are done.
    Parallel {
        /// The branches.
        branches: Vec<Vec<Step>>,
        /// How many must be done.
        quorum: u32,
        /// What is done if so many cannot be.
        otherwise: Otherwise,
    },
    /// Waits for a resource and holds it.
    Hold {
        /// The resource.
        of: ResourceId,
        /// What is done while it is held.
        steps: Vec<Step>,
        /// What is done if it is refused, or `steps` fail.
        otherwise: Otherwise,
    },
    /// The local transaction, ns: the business fact exists from its end.
    Commit(Dist),
    /// Steps with compensations.
    Saga(SagaStep),
    /// Waits for an event that descends from what the handler is about.
    Await(AwaitStep),
}

/// What is done in place of a step that has failed; none: the handler fails.
pub type Otherwise = Option<Vec<Step>>;

/// A call step.
#[derive(Clone, Debug, PartialEq)]
pub struct CallStep {
    /// Whom.
    pub to: ServiceId,
    /// An attempt without an answer for so long has failed; none: it waits for ever.
    pub timeout: Option<SimSpan>,
    /// What follows a failed attempt.
    pub retry: CallRetry,
    /// Stops calling where calls fail.
    pub breaker: Option<BreakerPlan>,
    /// A second attempt is sent when the first has no answer for so long.
    pub hedge: Option<Dist>,
    /// Most calls at once of one process of the caller; none: no limit.
    pub pool: Option<u32>,
    /// What is done if the call fails.
    pub otherwise: Otherwise,
}

/// Retries of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRetry {
    /// Attempts, the first included.
    pub attempts: u32,
    /// Wait before the next.
    pub backoff: Backoff,
    /// Share of the wait that is random, as in [`RetryPlan::jitter`].
    pub jitter: f64,
    /// Which failures are tried again.
    pub when: RetryWhen,
    /// Retries per call that are allowed on average; none: no limit.
    pub budget: Option<f64>,
}

/// Which failures of a call are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryWhen {
    /// No answer in time.
    pub timeout: bool,
    /// Not accepted: queue full, or no process.
    pub refused: bool,
    /// Answered with an error.
    pub failed: bool,
}

/// A circuit breaker over the last calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPlan {
    /// Opens at this share of failed calls.
    pub failure_rate: f64,
    /// Opens at this share of slow calls.
    pub slow_rate: f64,
    /// A call is slow from here on.
    pub slow: SimSpan,
    /// Calls that are looked at.
    pub window: u32,
    /// Calls before it may open.
    pub min_calls: u32,
    /// Time until it lets calls through again.
    pub open_for: SimSpan,
    /// So many of them decide.
    pub half_open: u32,
}

/// An await step. Events of the same journey end it that become visible after the handler has begun, each of them one wait.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitStep {
    /// Where the event is stored.
    pub event: TopicId,
    /// Of which type (index into [`Plan::event_types`]); none: of any.
    pub event_type: Option<u16>,
    /// Of which type one is that fails the step.
    pub unless: Option<u16>,
    /// How long it waits; none: for ever.
    pub timeout: Option<SimSpan>,
    /// What is done if it fails, or no event comes in time.
    pub otherwise: Otherwise,
}

/// Steps of which each can be undone.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaStep {
    /// What is done, and what undoes it.
    pub parts: Vec<(Vec<Step>, Vec<Step>)>,
    /// From this part on (counted from 0) nothing is undone, only tried again.
    pub pivot: Option<usize>,
    /// What is done after it was undone.
    pub otherwise: Otherwise,
}

impl Step {
    /// The lists of steps inside this one.
    #[must_use]
    pub fn nested(&self) -> Vec<&[Step]> {
        let lists: Vec<&Vec<Step>> = match self {
            Self::Work(_) | Self::Wait(_) | Self::Commit(_) => Vec::new(),
            Self::Publish(publish) => publish.otherwise.iter().collect(),
            Self::Await(step) => step.otherwise.iter().collect(),
            Self::Choose(branches) => branches.iter().map(|(_, steps)| steps).collect(),
            Self::Call(call) => call.otherwise.iter().collect(),
            Self::Parallel { branches, otherwise, .. } => branches.iter().chain(otherwise).collect(),
            Self::Hold { steps, otherwise, .. } => std::iter::once(steps).chain(otherwise).collect(),
            Self::Saga(saga) => saga.parts.iter().flat_map(|(act, undo)| [act, undo]).chain(&saga.otherwise).collect(),
        };
        lists.into_iter().map(Vec::as_slice).collect()
    }

    /// As [`Step::nested`], to be changed.
    pub fn nested_mut(&mut self) -> Vec<&mut Vec<Step>> {
        match self {
            Self::Work(_) | Self::Wait(_) | Self::Commit(_) => Vec::new(),
            Self::Publish(publish) => publish.otherwise.iter_mut().collect(),
            Self::Await(step) => step.otherwise.iter_mut().collect(),
            Self::Choose(branches) => branches.iter_mut().map(|(_, steps)| steps).collect(),
            Self::Call(call) => call.otherwise.iter_mut().collect(),
            Self::Parallel { branches, otherwise, .. } => branches.iter_mut().chain(otherwise).collect(),
            Self::Hold { steps, otherwise, .. } => std::iter::once(steps).chain(otherwise).collect(),
            Self::Saga(saga) => {
                saga.parts.iter_mut().flat_map(|(act, undo)| [act, undo]).chain(&mut saga.otherwise).collect()
            }
        }
    }

    /// This step and all inside of it, the outer before the inner.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Step)) {
        see(self);
        self.nested().into_iter().flatten().for_each(|step| step.visit(see));
    }
}

/// A publish step.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishStep {
    /// Where to.
    pub to: TopicId,
    /// Type of the published event; none: that of the event in hand.
    pub event_type: Option<u16>,
    /// Key; none: that of the event in hand.
    pub key: Option<KeyPlan>,
    /// Size, bytes; none: that of the event in hand (for a consumer: 1 KiB).
    pub size: Option<Dist>,
    /// Copies.
    pub count: Dist,
    /// Chance that it is done at all.
    pub probability: f64,
    /// Whether the worker waits for the acknowledgement.
    pub wait_for_ack: bool,
    /// What is done if it is not acknowledged (services only).
    pub otherwise: Otherwise,
}

/// An injected cause.
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
}

impl Effect {
    /// Whether it can do anything at all.
    #[must_use]
    pub fn may_act(&self) -> bool {
        match self {
            Self::Crash | Self::Pause | Self::Quota(_) | Self::Partition | Self::BlackHole | Self::PowerLoss => true,
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
    /// New number of members.
    pub members: u32,
}

/// One line of `expect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As written.
    pub text: String,
    /// Path of the metric in the result document, one entry per match of a wildcard, each a list of keys.
    pub metrics: Vec<Vec<String>>,
    /// Comparison.
    pub op: Comparison,
    /// Right-hand side in the metric's base unit (seconds, bytes, counts, shares 0 to 1).
    pub value: f64,
    /// Only for events created, or samples taken, in this interval.
    pub during: Option<(SimTime, SimTime)>,
    /// Where it stands in the file, for reports that point there: line, column (from 1).
    pub place: (u32, u32),
    /// That file, or the option of the command line where it was written there.
    pub file: String,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Whose handler makes a request in the first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A user's, who comes in at this service.
    User(ServiceId),
    /// A producer's.
    Producer(ProducerId),
    /// A consumer's.
    Consumer(ConsumerId),
}

/// So many calls one inside the other are followed where calls may go in a circle.
const MOST_CALLS: u32 = 8;

/// The services that steps call, sorted, each once.
#[must_use]
pub fn called(steps: &[Step]) -> Vec<ServiceId> {
    let mut found = std::collections::BTreeSet::new();
    let mut see = |step: &Step| {
        if let Step::Call(call) = step {
            found.insert(call.to);
        }
    };
    steps.iter().for_each(|step| step.visit(&mut see));
    found.into_iter().collect()
}

/// Bits that number the events of one publisher in one topic: of 31, those that tell the topic's publishers apart.
#[must_use]
pub fn sequence_bits(publishers: usize) -> u32 {
    31 - (usize::BITS - publishers.saturating_sub(1).leading_zeros())
}

impl Plan {
    /// The text of a key id; none without key.
    #[must_use]
    pub fn key_text(&self, key: u32) -> Option<String> {
        match key {
            crate::dist::NO_KEY => None,
            key if key < self.numeric_keys => Some(key.to_string()),
            key => Some(
                self.key_labels.get((key - self.numeric_keys) as usize).cloned().unwrap_or_else(|| key.to_string()),
            ),
        }
    }

    /// The names of all that is measured by name, by the section of the result document in which it stands.
    #[must_use]
    pub fn names(&self) -> [(&'static str, Vec<&str>); 7] {
        [
            ("consumers", self.consumers.iter().map(|consumer| consumer.name.as_str()).collect()),
            ("services", self.services.iter().map(|service| service.name.as_str()).collect()),
            ("flows", self.flows.iter().map(|flow| flow.name.as_str()).collect()),
            ("reads", self.reads.iter().map(|read| read.name.as_str()).collect()),
            ("resources", self.resources.iter().map(|resource| resource.name.as_str()).collect()),
            ("producers", self.producers.iter().map(|producer| producer.name.as_str()).collect()),
            ("topics", self.topics.iter().map(|topic| topic.name.as_str()).collect()),
        ]
    }

    /// The handlers of all producers, consumers and services.
    pub fn handlers(&self) -> impl Iterator<Item = &Handler> {
        let producers = self.producers.iter().map(|producer| &producer.handler);
        let consumers = self.consumers.iter().map(|consumer| &consumer.handler);
        producers.chain(consumers).chain(self.services.iter().map(|service| &service.handler))
    }

    /// The handler of a thing, by its section of the result document and its name; none: it has none.
    #[must_use]
    pub fn handler_of(&self, section: &str, name: &str) -> Option<&Handler> {
        match section {
            "consumers" => self.consumers.iter().find(|it| it.name == name).map(|it| &it.handler),
            "producers" => self.producers.iter().find(|it| it.name == name).map(|it| &it.handler),
            "services" => self.services.iter().find(|it| it.name == name).map(|it| &it.handler),
            _ => None,
        }
    }

    /// The handler of a party.
    #[must_use]
    pub fn handler_of_party(&self, party: Party) -> &Handler {
        match party {
            Party::Producer(id) => &self.producers[id.0 as usize].handler,
            Party::Consumer(id) => &self.consumers[id.0 as usize].handler,
            Party::Service(id) => &self.services[id.0 as usize].handler,
        }
    }

    /// Whether a handler holds a resource.
    #[must_use]
    pub fn holds(&self, party: Party, resource: ResourceId) -> bool {
        let mut held = false;
        let see = &mut |step: &Step| held |= matches!(step, Step::Hold { of, .. } if *of == resource);
        self.handler_of_party(party).visit(see);
        held
    }

    /// Whether two wait for each other at times: both call some service, or hold some resource.
    #[must_use]
    pub fn meet(&self, one: Party, other: Party) -> bool {
        let [ours, theirs] = [one, other].map(|party| called(&self.handler_of_party(party).steps));
        let both_hold = |resource| self.holds(one, resource) && self.holds(other, resource);
        ours.iter().any(|service| theirs.contains(service))
            || (0..).take(self.resources.len()).map(ResourceId).any(both_hold)
    }

    /// The topics whose events somebody awaits, sorted, each once.
    #[must_use]
    pub fn awaited(&self) -> Vec<TopicId> {
        let mut topics: Vec<TopicId> = self.handlers().flat_map(Handler::awaited).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Mean time of a handler with what it calls, without waiting for a turn anywhere, ns.
    #[must_use]
    pub fn mean_time(&self, handler: &Handler) -> f64 {
        self.mean_of(&handler.steps, 0)
    }

    /// Of steps so many calls away from the first. Calls may go in a circle: then they are not followed for ever.
    fn mean_of(&self, steps: &[Step], depth: u32) -> f64 {
        let of = |step: &Step| match step {
            Step::Work(time) | Step::Wait(time) | Step::Commit(time) => time.mean(),
            Step::Publish(_) | Step::Await(_) => 0.0,
            Step::Choose(branches) => {
                branches.iter().map(|(share, steps)| share * self.mean_of(steps, depth)).sum::<f64>()
            }
            Step::Call(_) if depth >= MOST_CALLS => 0.0,
            Step::Call(call) => self.mean_of(&self.services[call.to.0 as usize].handler.steps, depth + 1),
            Step::Parallel { branches, .. } => {
                branches.iter().map(|steps| self.mean_of(steps, depth)).fold(0.0, f64::max)
            }
            Step::Hold { steps, .. } => self.mean_of(steps, depth),
            Step::Saga(saga) => saga.parts.iter().map(|(act, _)| self.mean_of(act, depth)).sum(),
        };
        steps.iter().map(of).sum()
    }

    /// By service: whose requests reach it in the end. Each once, users first.
    #[must_use]
    pub fn initiators(&self) -> Vec<Vec<Initiator>> {
        let calls: Vec<Vec<ServiceId>> = self.services.iter().map(|service| called(&service.handler.steps)).collect();
        let mut initiators = vec![Vec::new(); self.services.len()];
        let mut spread = |initiator: Initiator, mut open: Vec<ServiceId>| {
            while let Some(at) = open.pop() {
                let known: &mut Vec<Initiator> = &mut initiators[at.0 as usize];
                if known.last() != Some(&initiator) {
                    known.push(initiator);
                    open.extend(&calls[at.0 as usize]);
                }
            }
        };
        for (_, id) in self.services.iter().zip(0..).filter(|(service, _)| service.arrivals.is_some()) {
            spread(Initiator::User(ServiceId(id)), vec![ServiceId(id)]);
        }
        for (producer, id) in self.producers.iter().zip(0..) {
            spread(Initiator::Producer(ProducerId(id)), called(&producer.handler.steps));
        }
        for (consumer, id) in self.consumers.iter().zip(0..) {
            spread(Initiator::Consumer(ConsumerId(id)), called(&consumer.handler.steps));
        }
        initiators
    }

    /// Most members that a consumer ever has.
    #[must_use]
    pub fn most_members(&self, consumer: usize) -> u32 {
        let changes = self.changes.iter().filter(|change| change.consumer.0 as usize == consumer);
        changes.map(|change| change.members).chain([self.consumers[consumer].members]).max().unwrap_or(1)
    }

    /// The sizes that a consumer shall have: from when on (ns), and how many members. Of the changes that hold at a time, the
    /// one that began last counts.
    #[must_use]
    pub fn sizes(&self, consumer: usize) -> Vec<(u64, u32)> {
        let changes: Vec<(u64, u64, u32)> = self
            .changes
            .iter()
            .filter(|change| change.consumer.0 as usize == consumer)
            .map(|change| {
                let to = change.lasts.map_or(u64::MAX, |lasts| change.at.0.saturating_add(lasts.0));
                (change.at.0, to, change.members)
            })
            .collect();
        let mut times: Vec<u64> = changes.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        times.push(0);
        times.sort_unstable();
        times.dedup();
        let at = |time: u64| {
            let hold = changes.iter().filter(|(from, to, _)| *from <= time && time < *to);
            hold.max_by_key(|(from, ..)| *from).map_or(self.consumers[consumer].members, |change| change.2)
        };
        let mut sizes: Vec<(u64, u32)> = times.into_iter().map(|time| (time, at(time))).collect();
        sizes.dedup_by_key(|(_, size)| *size);
        sizes
    }

    /// The intervals for which expectations ask about a consumer, each once, in order of appearance.
    #[must_use]
    pub fn intervals_of(&self, consumer: usize) -> Vec<(SimTime, SimTime)> {
        self.intervals_at("consumers", &self.consumers[consumer].name)
    }

    /// The same about a thing, by its section of the result document and its name.
    #[must_use]
    pub fn intervals_at(&self, section: &str, name: &str) -> Vec<(SimTime, SimTime)> {
        let mut found = Vec::new();
        for expectation in &self.expectations {
            let about = expectation.metrics.iter().any(|path| path.len() > 1 && path[0] == section && path[1] == name);
            if let Some(interval) = expectation.during.filter(|_| about)
                && !found.contains(&interval)
            {
                found.push(interval);
            }
        }
        found
    }
}
