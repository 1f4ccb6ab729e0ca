//! Buses: their nodes, topics and queues, what is kept, and the clients that publish to them.

use super::{BusId, Refresh};
use crate::dist::Dist;
use crate::time::SimSpan;

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
    /// How the transactions of its handlers end; none: its bus has none.
    pub transactions: Option<TransactionPlan>,
}

/// Transactions of a bus, as one client has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPlan {
    /// The coordinator ends one that has been open for longer.
    pub timeout: SimSpan,
    /// It looks for these so often.
    pub scan: SimSpan,
    /// Whether a process has the id of the one before it, and so ends what that has left open when it starts.
    pub same_id: bool,
    /// Wait before the next attempt to begin, where the coordinator is not done with the one before.
    pub backoff: SimSpan,
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
