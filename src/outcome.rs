//! What one run measured: integers and counts only, so that outcomes of several runs add up in any order.
//!
//! Everything is about *measured* events (created at or after the end of the warm-up) unless it says otherwise.

mod scaling;
mod story;

use std::collections::BTreeMap;

pub use scaling::{ScaleStep, ScalingOutcome};
pub use story::{Again, Chapter, Defect, Defects, EventId, Example, LateCause, Seen, Slowest, Story, Told, TwiceCause};

use crate::stats::{Course, Histogram};
use crate::time::{SimSpan, SimTime};

/// The result of one run of a plan with one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How the run ended.
    pub ended: Ended,
    /// By index of [`crate::plan::Plan::producers`].
    pub producers: Vec<ProducerOutcome>,
    /// By index of [`crate::plan::Plan::topics`].
    pub topics: Vec<TopicOutcome>,
    /// By index of [`crate::plan::Plan::consumers`].
    pub consumers: Vec<ConsumerOutcome>,
    /// By index of [`crate::plan::Plan::services`].
    pub services: Vec<ServiceOutcome>,
    /// By index of [`crate::plan::Plan::resources`].
    pub resources: Vec<ResourceOutcome>,
    /// By index of [`crate::plan::Plan::flows`].
    pub flows: Vec<FlowOutcome>,
    /// By index of [`crate::plan::Plan::reads`].
    pub reads: Vec<ReadOutcome>,
    /// What each fault did, by index of [`crate::plan::Plan::faults`].
    pub faults: Vec<FaultOutcome>,
    /// Per-delivery records, where the run was asked for them.
    pub trace: Vec<TraceRecord>,
    /// What happened to the event that the run was asked to watch.
    pub story: Story,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At its duration.
    AtDuration,
    /// Stopped early: a subscription's backlog reached the plan's bound.
    BacklogBound {
        /// Virtual time of the stop.
        at: SimTime,
        /// Index of the consumer.
        consumer: usize,
    },
}

/// What one producer's clients saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProducerOutcome {
    /// Events created.
    pub created: u64,
    /// Intended arrival to publish acknowledgement of acknowledged events.
    pub publish_latency: Histogram,
    /// Sum of the same, ns.
    pub publish_latency_sum: u128,
    /// Events whose client gave up after an explicit refusal.
    pub rejected: u64,
    /// Events whose client gave up without an answer (stored or not).
    pub indeterminate: u64,
    /// Events still on their way to the bus when the run ended.
    pub publishing: u64,
    /// Publish requests sent again.
    pub retries: u64,
    /// Of those created: their handlers failed, and published no more.
    pub failed: u64,
    /// Their handlers were at work when the run ended.
    pub open: u64,
    /// Events of facts that were committed, and then the process ended before they had left it.
    pub crashed_before_publish: u64,
    /// The same of handlers that failed before their publish steps.
    pub failed_before_publish: u64,
    /// Events published of facts that were rolled back, or never committed.
    pub phantoms: u64,
    /// What its outbox saw, if it has one.
    pub outbox: Option<OutboxOutcome>,
    /// What a producer's handlers did, where they do more than work, wait, publish and choose.
    pub handler: Option<HandlerOutcome>,
}

/// What an outbox and its relay saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxOutcome {
    /// Most rows that were committed and not acknowledged at one time, in any run.
    pub rows_max: u64,
    /// Measured ones at the end of the run.
    pub rows_end: u64,
    /// Measured rows published again because the relay was lost before it had noted that they are stored.
    pub again: u64,
}

/// What handlers did that call others, hold resources, or run steps at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandlerOutcome {
    /// Time in which they worked since the warm-up, and did not only wait, ns.
    pub working: u128,
    /// Their calls, by index of the service called.
    pub calls: BTreeMap<usize, CallLedger>,
    /// Their sagas.
    pub sagas: SagaLedger,
    /// What they waited for.
    pub awaits: AwaitLedger,
    /// Their transactions of a bus.
    pub transactions: TransactionLedger,
}

/// How transactions since the warm-up ended: `begun = committed + aborted + refused + timed_out + fenced + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionLedger {
    /// Begun.
    pub begun: u64,
    /// All that was published in them counts.
    pub committed: u64,
    /// Given up by their handlers, which had failed.
    pub aborted: u64,
    /// Given up because the positions were refused: others have the records.
    pub refused: u64,
    /// Given up by the coordinator, which had waited too long for their end.
    pub timed_out: u64,
    /// Left open by a process that ended, and given up for the one after it.
    pub fenced: u64,
    /// Without an end when the run ended.
    pub open: u64,
}

impl TransactionLedger {
    /// Those that have ended, one way or the other.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.committed + self.aborted + self.refused + self.timed_out + self.fenced
    }
}

/// Waits for events that descend from what the handler is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AwaitLedger {
    /// All that began.
    pub begun: u64,
    /// The event came.
    pub arrived: u64,
    /// Another came, which fails the step.
    pub refused: u64,
    /// None came in time.
    pub timeouts: u64,
    /// The handler was cut off, or not wanted any more.
    pub left: u64,
    /// Without an end at the end of the run.
    pub open: u64,
    /// How long those waited whose event came.
    pub wait: Histogram,
    /// Sum of the same, ns.
    pub wait_sum: u128,
}

/// What one topic stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicOutcome {
    /// Distinct events created for it.
    pub created: u64,
    /// Distinct events stored.
    pub stored: u64,
    /// Of the measured records stored, those that were lost from the log again (whoever had read them before).
    pub lost: u64,
    /// Records stored by partition (copies included, warm-up included).
    pub records: Vec<u64>,
    /// Events whose publisher gave them up, refused or without an answer, and that were not stored.
    pub not_stored: u64,
    /// Surplus copies of measured events.
    pub copies: u64,
    /// Bytes stored (copies included, warm-up included).
    pub bytes: u64,
    /// Bytes kept over time, of a topic that deletes what is old.
    pub storage: Option<StorageOutcome>,
    /// Creation to the last first effect, of events that took effect at *every* subscription. Empty with one subscription or none.
    pub converged: Histogram,
    /// Sum of the same, ns.
    pub converged_sum: u128,
    /// Stored events that some subscription had not (or never will have) effected when the run ended.
    pub not_converged: u64,
}

/// Bytes that one copy of a topic keeps, over virtual time. Sample `i` was taken at `interval x (i + 1)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageOutcome {
    /// Time between two samples.
    pub interval: SimSpan,
    /// Largest value of all runs at each time.
    pub samples: Vec<u64>,
    /// At the end, summed over runs.
    pub end: u64,
    /// Largest of all.
    pub max: u64,
}

/// What one subscription saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerOutcome {
    /// Creation to the end of the first effect.
    pub latency: Histogram,
    /// The same over the time at which events were created.
    pub course: Course,
    /// Exact sums of the latency and of its stages, ns.
    pub stages: StageSums,
    /// Creation of the event at the start of the path to the end of the first effect; only where the topic is fed by consumers.
    pub path: Option<PathOutcome>,
    /// Latency of events created inside each interval that an expectation names, in the order of `ConsumerSetup::intervals`.
    pub intervals: Vec<IntervalOutcome>,
    /// Where every event ended.
    pub ledger: Ledger,
    /// Events not effected, by cause, that are true losses.
    pub lost: BTreeMap<LossCause, u64>,
    /// Lost, done twice, or late: by what, how often, and who was the first.
    pub defects: Defects,
    /// The event with the longest latency.
    pub slowest: Option<Slowest>,
    /// Stored more than once (D1): surplus copies handed to this subscription's log.
    pub duplicates_log: u64,
    /// Delivered again (D2): hand-overs of a stored record beyond its first.
    pub duplicates_deliveries: u64,
    /// Took effect again (D3).
    pub duplicates_effects: u64,
    /// Duplicates that the idempotence window stopped.
    pub duplicates_suppressed: u64,
    /// First effects of events whose transaction was aborted.
    pub aborted_reads: u64,
    /// Hand-overs to a handler.
    pub deliveries: u64,
    /// Handler attempts, and those that failed.
    pub attempts: u64,
    /// Handler attempts that failed.
    pub failures: u64,
    /// Copies of events that were published to retry topics.
    pub retried: u64,
    /// Dead letters: one for each time that an event was given up so.
    pub dead_letters: u64,
    /// Per-key order of first effects.
    pub order: OrderOutcome,
    /// Handlers that began an event of a key while another handler held one of the same key.
    pub overlap: u64,
    /// Times that a delivered position went backwards (redelivery after a group change).
    pub rewinds: u64,
    /// Rebalances of the group.
    pub rebalances: u64,
    /// Members that the group went on without, by what they had exceeded.
    pub expelled: BTreeMap<Again, u64>,
    /// Worker time spent on handlers since the warm-up, ns.
    pub busy: u128,
    /// Worker time available since the warm-up (members that are up x workers), ns.
    pub available: u128,
    /// First effects since the warm-up, whenever their events were created.
    pub done: u64,
    /// Events wanted by this subscription that became visible since the warm-up, and until the end.
    pub arrived: u64,
    /// Lag over time.
    pub lag: LagOutcome,
    /// Surplus work cut off: handler runs dropped by a crash.
    pub cut_off: u64,
    /// What its handlers did, where they do more than work, wait, publish and choose.
    pub handler: Option<HandlerOutcome>,
    /// What came of its roll-outs, where some are planned.
    pub rollout: Option<RolloutOutcome>,
    /// How many members it had, where it is autoscaled.
    pub scaling: Option<ScalingOutcome>,
}

/// What came of the roll-outs of a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolloutOutcome {
    /// All processes are new and ready.
    pub done: u64,
    /// Not so at the end of the run, or not begun.
    pub open: u64,
    /// Longest time from the beginning of one that is done, or is planned to begin, until then.
    pub longest: SimSpan,
    /// Processes that were killed, for they were not done when their time was over.
    pub killed: u64,
}

impl RolloutOutcome {
    /// Adds what came of others.
    pub fn merge(&mut self, other: Self) {
        self.done += other.done;
        self.open += other.open;
        self.longest = self.longest.max(other.longest);
        self.killed += other.killed;
    }
}

/// What one service saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceOutcome {
    /// What users saw who came in here.
    pub users: UserLedger,
    /// From the intended arrival of a user's request to its good answer.
    pub response: Histogram,
    /// Sum of the same, ns.
    pub response_sum: u128,
    /// The same over the time of the intended arrivals.
    pub course: Course,
    /// What reached its instances, from users and callers.
    pub visits: VisitLedger,
    /// Time in the queue of visits that began, ns.
    pub wait: Histogram,
    /// Sum of the same, ns.
    pub wait_sum: u128,
    /// Time that workers were held since the warm-up, ns.
    pub busy: u128,
    /// Worker time available since the warm-up (instances that are up x workers), ns.
    pub available: u128,
    /// Most visits that waited at one instance.
    pub queue_max: u64,
    /// What its handlers did: worked of the time that they held workers, called, ...
    pub handler: HandlerOutcome,
    /// Events created by its publish steps, and what became of them.
    pub publish: ProducerOutcome,
    /// What happened in each interval that an expectation about it names, in the order of `Plan::intervals_at`.
    pub intervals: Vec<ServiceInterval>,
}

/// What happened at a service in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceInterval {
    /// The users who came in it, however late they were answered.
    pub users: UserLedger,
    /// How long they waited for their good answers.
    pub response: Histogram,
    /// Sum of the same, ns.
    pub response_sum: u128,
    /// Visits done in it, whenever they came.
    pub done: u64,
    /// Of those done: nobody waited for the answer any more.
    pub wasted: u64,
}

/// Where every measured request of users ended: `arrived = answered + failed + refused + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLedger {
    /// Requests.
    pub arrived: u64,
    /// Well.
    pub answered: u64,
    /// With an error, or cut off.
    pub failed: u64,
    /// Not accepted: the queue was full, or nobody there.
    pub refused: u64,
    /// Not answered when the run ended.
    pub open: u64,
}

/// Where every visit since the warm-up ended: `arrived = done + failed + refused + cut_off +
/// swallowed + cancelled + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VisitLedger {
    /// Reached an instance, or found none.
    pub arrived: u64,
    /// Handled.
    pub done: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Not accepted: the queue was full, or nobody there.
    pub refused: u64,
    /// Dropped by a crash.
    pub cut_off: u64,
    /// Accepted by a black hole, which does nothing about them.
    pub swallowed: u64,
    /// Not handled, or not to the end, because the caller had given up.
    pub cancelled: u64,
    /// Waiting or at work when the run ended.
    pub open: u64,
    /// Of those done: nobody waited for the answer any more.
    pub wasted: u64,
}

/// Where every call since the warm-up ended: `calls = succeeded + failed + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLedger {
    /// Call steps begun.
    pub calls: u64,
    /// Well, after one attempt or more.
    pub succeeded: u64,
    /// Given up.
    pub failed: u64,
    /// Without an end when the run ended, or cut off with their caller.
    pub open: u64,
    /// Attempts sent.
    pub attempts: u64,
    /// Attempts without an answer in time.
    pub timeouts: u64,
    /// Attempts refused.
    pub refused: u64,
    /// Attempts answered with an error.
    pub errors: u64,
    /// Attempts that an open breaker stopped.
    pub broken: u64,
    /// Times that a breaker opened.
    pub openings: u64,
    /// Retries that the budget did not allow.
    pub withheld: u64,
    /// Second attempts sent before an answer to the first.
    pub hedges: u64,
    /// Attempts that waited for a place in their caller's pool of connections, whether they got one or not.
    pub waited: u64,
    /// For how long they did, together, ns.
    pub pool_wait: u128,
}

/// How sagas since the warm-up ended: `begun = completed + compensated + stuck + open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SagaLedger {
    /// Begun.
    pub begun: u64,
    /// All parts done.
    pub completed: u64,
    /// Undone, back to the start.
    pub compensated: u64,
    /// Half done for good: an undo failed, or the process is gone.
    pub stuck: u64,
    /// Neither when the run ended.
    pub open: u64,
    /// Compensated although a call that had been given up succeeded in the end.
    pub late_success: u64,
}

/// What one resource saw since the warm-up: `asked = granted + refused + timeouts + left + open`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceOutcome {
    /// Asked for.
    pub asked: u64,
    /// Granted.
    pub granted: u64,
    /// Not accepted: too many waited.
    pub refused: u64,
    /// Waited too long.
    pub timeouts: u64,
    /// Cut off while they waited.
    pub left: u64,
    /// Waiting when the run ended.
    pub open: u64,
    /// Time until granted.
    pub wait: Histogram,
    /// Sum of the same, ns.
    pub wait_sum: u128,
    /// Time held since the warm-up, summed over holders, ns.
    pub held: u128,
    /// Time measured, ns.
    pub time: u128,
}

/// What one flow saw: `begun = done + stuck + open`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowOutcome {
    /// Requests that began it.
    pub begun: u64,
    /// All parts done.
    pub done: u64,
    /// Of those, after the deadline.
    pub late: u64,
    /// Ended without all parts done.
    pub stuck: u64,
    /// Neither when the run ended.
    pub open: u64,
    /// From the intended arrival until the last part was done.
    pub latency: Histogram,
    /// Sum of the same, ns.
    pub latency_sum: u128,
    /// Those done with each outcome, by index of [`crate::plan::Goal::Outcomes`].
    pub outcomes: Vec<u64>,
}

impl FlowOutcome {
    /// Whether every journey has ended once, or not yet.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let ended = self.outcomes.is_empty() || self.outcomes.iter().sum::<u64>() == self.done;
        self.begun == self.done + self.stuck + self.open && self.latency.count() == self.done && ended
    }
}

/// What users saw who looked for what had become of what they did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOutcome {
    /// Users who were told of success.
    pub told: u64,
    /// From then until what they look for is there: 0 if it was before.
    pub visible: Histogram,
    /// Sum of the same, ns.
    pub visible_sum: u128,
    /// Those for whom it never will be.
    pub never: u64,
    /// From being told until the end of the run, for those for whom it was not there by then, and may come.
    pub open: Histogram,
    /// Users who looked before the run ended.
    pub looked: u64,
    /// Those of them who did not see it at their first look.
    pub stale: u64,
    /// From being told until a look that sees it, where they look again.
    pub seen: Histogram,
    /// Sum of the same, ns.
    pub seen_sum: u128,
    /// Looks of these users.
    pub looks: u64,
}

impl ReadOutcome {
    /// Whether each user has an end, or none yet.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.told == self.visible.count() + self.never + self.open.count()
            && self.stale <= self.looked
            && self.looked <= self.told
            && self.seen.count() <= self.looked
    }
}

/// Sums over first effects, ns. The stages add up to `total` exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageSums {
    /// Latency.
    pub total: u128,
    /// Client batch and linger: creation to the first send.
    pub buffer: u128,
    /// First send to stored and visible: network, append, replication, and publish retries.
    pub publish: u128,
    /// Visible to the first arrival at a member: poll or push.
    pub dispatch: u128,
    /// Arrived to the start of the first attempt: of the first delivery and, if it is another, of the one that took effect.
    pub wait: u128,
    /// The successful attempt.
    pub service: u128,
    /// From the first attempt's start to the successful attempt's start, without the waiting of the delivery that took
    /// effect: failed attempts, back-off, and whatever it takes until a record that was cut off is delivered again.
    pub retry: u128,
}

/// Latency from the start of the path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathOutcome {
    /// Distribution.
    pub latency: Histogram,
    /// Exact sum, ns.
    pub sum: u128,
}

/// What happened in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervalOutcome {
    /// Latency of the events created in it.
    pub latency: Histogram,
    /// Exact sum, ns.
    pub sum: u128,
    /// First effects in it, whenever their events were created.
    pub done: u64,
}

/// Where every measured event of a subscription ended. The books close:
/// `created = rejected + indeterminate + unpublished + publishing + stored` and
/// `stored = effected + filtered + aborted + acked_lost + expired + skipped + discarded + dead_lettered + waiting +
/// in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events published for the subscription's topics.
    pub created: u64,
    /// Refused, and the producer was told.
    pub rejected: u64,
    /// The producer gave up without an answer, and it was not stored.
    pub indeterminate: u64,
    /// Its fact was committed, and its publisher ended or failed before it was published.
    pub unpublished: u64,
    /// On its way when the run ended.
    pub publishing: u64,
    /// Stored, once or more.
    pub stored: u64,
    /// Took effect, once or more.
    pub effected: u64,
    /// Not for this subscription (types, keys).
    pub filtered: u64,
    /// Passed over, because its transaction was aborted.
    pub aborted: u64,
    /// Taken from the log before its effect: the bus lost it.
    pub acked_lost: u64,
    /// Deleted before it was read.
    pub expired: u64,
    /// The position moved past it, or it was acknowledged, without an effect.
    pub skipped: u64,
    /// Given up, nowhere kept.
    pub discarded: u64,
    /// Given up, kept in the dead-letter topic.
    pub dead_lettered: u64,
    /// Not yet delivered when the run ended.
    pub waiting: u64,
    /// Delivered, not settled, when the run ended.
    pub in_flight: u64,
}

/// Why an event never took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossCause {
    /// Its position was committed before its effect, and the effect never came.
    CommittedBeforeEffect,
    /// Attempts exhausted, no dead-letter target.
    AttemptsExhausted,
    /// It was acknowledged to its queue before its effect, and the effect never came.
    AckedBeforeEffect,
    /// Its leader was lost before another copy had it.
    LostBeforeReplication,
    /// A copy that had not been in sync became the leader.
    UncleanElection,
    /// Its copies were on no disk when the power failed.
    NotSynced,
    /// It was deleted before it was read.
    Expired,
    /// It was passed over because what was to be read next had been deleted.
    OffsetReset,
}

/// Per-key order of first effects, in the terms of RFC 4737.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderOutcome {
    /// First effects that were judged (events with a key).
    pub judged: u64,
    /// Reordered: effected after a later event of the same key (and publisher).
    pub violations: u64,
    /// Sum of the extents: effects of the key between the earliest overtaker and this one.
    pub extent_sum: u64,
    /// Largest extent.
    pub extent_max: u64,
    /// Sum of the late times: from the earliest overtaker's effect to this one's, ns.
    pub late_time_sum: u128,
    /// Largest late time, ns.
    pub late_time_max: u64,
}

/// Lag over virtual time. Point `i` of a series ends at `interval x (i + 1)`. Series are of the whole run, largest values of
/// the time since the warm-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LagOutcome {
    /// Time between two points.
    pub interval: SimSpan,
    /// Largest number of records between log end and committed position in each interval, summed over partitions at each sample.
    pub records: Vec<u64>,
    /// Largest age of the oldest unsettled record in each interval, ns.
    pub time: Vec<u64>,
    /// Largest value of all samples, and when.
    pub max: u64,
    /// When `max` was first seen.
    pub max_at: SimTime,
    /// Largest age, ns.
    pub time_max: u64,
    /// When `time_max` was first seen.
    pub time_max_at: SimTime,
    /// At the end of the run.
    pub end: u64,
    /// Age of the oldest unsettled record at the end of the run, ns.
    pub time_end: u64,
    /// Most records of retry topics that were not settled.
    pub retrying_max: u64,
    /// At the end of the run.
    pub retrying_end: u64,
    /// The same by partition (topics of the subscription in order, their partitions in order).
    pub partitions: Vec<PartitionLag>,
    /// Time between two points of a partition's series.
    pub partition_interval: SimSpan,
}

/// Lag of one partition. A subscription to more than [`PartitionLag::MOST_SERIES`] partitions keeps no series of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionLag {
    /// Largest value in each interval.
    pub records: Vec<u64>,
    /// Largest age of the oldest unsettled record in each interval, ns.
    pub time: Vec<u64>,
    /// Largest of all samples.
    pub max: u64,
    /// Largest age, ns.
    pub time_max: u64,
    /// At the end of the run.
    pub end: u64,
}

impl PartitionLag {
    /// Partitions of a subscription up to which series are kept.
    pub const MOST_SERIES: usize = 256;
}

/// What one fault did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultOutcome {
    /// When it struck and ended (the end of the run where it lasted), at most the first 1,000.
    pub occurrences: Vec<(SimTime, SimTime)>,
    /// Number of occurrences.
    pub count: u64,
    /// Whom each of these struck: the member or node, where it was one.
    pub members: Vec<Option<u32>>,
    /// By topic of the bus whose nodes it strikes: what became of its partitions.
    pub partitions: BTreeMap<usize, PartitionsHit>,
    /// By producer whose publishing the fault disturbs: what came of it.
    pub producers: BTreeMap<usize, Unpublished>,
    /// By consumer that the fault's target or something downstream of it touches: what was seen there.
    pub touched: BTreeMap<usize, Touched>,
    /// By service with users whose requests the fault can reach: those who came while it lasted.
    pub services: BTreeMap<usize, ServiceInterval>,
    /// By service that the fault can reach: the requests that waited there for a worker.
    pub crowds: BTreeMap<usize, Crowd>,
}

/// The requests that wait for a worker of a service while a fault lasts, and until they are as few again as before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// As many waited before it: on average while no fault was followed, or as it began, whichever is more.
    pub before: u64,
    /// Most that waited before it while no fault was followed.
    pub usual_peak: u64,
    /// Most that waited, over all its occurrences.
    pub peak: u64,
    /// Longest time from the end of an occurrence until no more waited than before it, and the processes were back that it
    /// ended.
    pub drain_time: SimSpan,
    /// Occurrences after which they were not as few again before the next one or the end of the run.
    pub not_drained: u64,
    /// Requests that came in that time.
    pub arrived: u64,
    /// Of those refused.
    pub refused: u64,
}

impl Crowd {
    /// A larger share of refused requests is told.
    pub const REFUSED: f64 = 0.001;

    /// Whether so many at most are more than come and go all the time, where so many are usual.
    #[must_use]
    pub fn stands_out(usual: f64, most: f64) -> bool {
        most > 2.0 * usual + 5.0
    }
}

/// What a fault of nodes did to the partitions of one topic, in the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionsHit {
    /// Times that a partition was served by nobody.
    pub unserved: u64,
    /// Longest time of these.
    pub unserved_longest: SimSpan,
    /// Sum of these over partitions.
    pub unserved_sum: SimSpan,
    /// Times that a partition had too few copies in sync for what is to be acknowledged by all.
    pub refused: u64,
    /// Longest time of these.
    pub refused_longest: SimSpan,
    /// Sum of these over partitions.
    pub refused_sum: SimSpan,
}

/// Measured events of a producer that were not published, in the whole run: what a fault of its link or a burst may cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpublished {
    /// Its client gave up after a refusal.
    pub rejected: u64,
    /// Its client gave up without an answer; some may be stored.
    pub indeterminate: u64,
}

/// What a fault did to one consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Largest lag from the start of an occurrence until it had drained, with what waits in retry topics.
    pub lag_peak: u64,
    /// Lag level before it: the largest sample in as long a time before the fault as the fault lasted, and not less than 30
    /// samples or two periods of a lag that rises and falls; without the time in which another occurrence is followed.
    pub lag_before: u64,
    /// Longest time from the end of an occurrence until lag was back at its level before it, to stay about there until all
    /// that the occurrence causes has come (a crash may be noticed late and its process come back later, a poisoned event be
    /// handled late), and for a period of a lag that rises and falls.
    pub drain_time: SimSpan,
    /// Occurrences after which lag was not back before the end of the run (or the next occurrence); one that lasts to the
    /// end of the run is among them.
    pub not_drained: u64,
    /// Longest time that lag was followed after an occurrence that it did not drain from.
    pub undrained: SimSpan,
    /// Redeliveries, losses and order violations between an occurrence's start and its draining.
    pub redeliveries: u64,
    /// Losses, as above.
    pub lost: u64,
    /// Order violations, as above.
    pub violations: u64,
    /// Second effects, as above.
    pub effects: u64,
    /// Duplicates that were suppressed, as above.
    pub suppressed: u64,
    /// Dead letters, as above.
    pub dead_letters: u64,
    /// Of the whole run, where the fault disturbs the publishing of what the consumer reads: surplus copies in the log.
    pub copies: u64,
    /// Likewise: measured events that were never stored.
    pub not_stored: u64,
}

/// One hand-over of one record to a handler, for independent re-computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// Index of the consumer.
    pub consumer: u32,
    /// The member whose handler it was, from 0.
    pub member: u32,
    /// Topic index.
    pub topic: u32,
    /// Where it is read from: 0 the topic itself, n the n-th of the consumer's retry topics for it.
    pub retry: u32,
    /// Partition.
    pub partition: u32,
    /// Position in the partition.
    pub offset: u64,
    /// Publisher of the event: position among the topic's publishers.
    pub publisher: u32,
    /// Number of the event among those of its publisher for this topic.
    pub event: u32,
    /// Key id; `u32::MAX` without key.
    pub key: u32,
    /// Intended creation.
    pub created: SimTime,
    /// Visible to the subscription.
    pub visible: SimTime,
    /// Start of the first attempt of this delivery.
    pub start: SimTime,
    /// End of the delivery: effect, giving up, or being cut off.
    pub done: SimTime,
    /// When the position or the delivery was settled; `NEVER`: not by this delivery.
    pub settled: SimTime,
    /// What came of it.
    pub result: DeliveryResult,
}

/// What came of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryResult {
    /// First effect of the event.
    Effect,
    /// A second or later effect.
    DuplicateEffect,
    /// Stopped by the idempotence window.
    Suppressed,
    /// Given up, to the dead-letter topic.
    DeadLettered,
    /// Given up.
    Discarded,
    /// Back in its queue.
    Requeued,
    /// Failed, and published to a retry topic.
    Retried,
    /// Dropped by a crash.
    CutOff,
}
