//! What each bus, and each kind of server, promises, as data.
//!
//! A [`BusProfile`] is a set of neutral values (`linger`, `session_timeout`), each with its source, and a table that says
//! which official setting of the vendor sets which of them. Presets are YAML files in this folder; a scenario may name
//! a file of its own in the same format. Two systems that differ by a number or by a choice among known mechanisms
//! differ in data.

mod server;

use std::collections::BTreeMap;

pub use server::{BALANCES, SERVER_VALUES, SERVERS, ServerProfile, USUAL_SERVER};

use crate::dist::Dist;
use crate::time::SimSpan;

/// The built-in profiles: name and text.
pub const PRESETS: [(&str, &str); 5] = [
    ("ideal", include_str!("presets/ideal.yaml")),
    ("kafka", include_str!("presets/kafka.yaml")),
    ("kafka-2", include_str!("presets/kafka-2.yaml")),
    ("kafka-3", include_str!("presets/kafka-3.yaml")),
    ("rabbitmq-classic", include_str!("presets/rabbitmq-classic.yaml")),
];

/// The built-in kinds of client, beside the one that a bus's own profile describes: name and text.
pub const CLIENTS: [(&str, &str); 1] = [("librdkafka", include_str!("clients/librdkafka.yaml"))];

/// The built-in kinds of relay that read the log of a database: name and text.
pub const RELAYS: [(&str, &str); 1] = [("debezium", include_str!("relays/debezium.yaml"))];

/// The kind of a relay that names none.
pub const USUAL_RELAY: &str = "debezium";

/// One kind of bus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BusProfile {
    /// Its name.
    pub name: String,
    /// What it stands for, in one sentence.
    pub about: String,
    /// What a bus of this kind may declare (`topics`, `queues`), with the dispatch discipline of each.
    pub holds: BTreeMap<String, Discipline>,
    /// Neutral values by name; see [`VALUES`].
    pub values: BTreeMap<String, ProfileValue>,
    /// Vendor settings by scope and official name.
    pub settings: BTreeMap<(Scope, String), Setting>,
    /// Beginnings of official names that change neither time nor delivery (`ssl.`).
    pub ignored: Vec<String>,
    /// Kinds of client that there are; the values describe the first.
    pub clients: Vec<String>,
}

/// Another kind of client: what it does otherwise, and its own names of settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientProfile {
    /// Its name.
    pub name: String,
    /// What it stands for, in one sentence.
    pub about: String,
    /// Neutral values by name, in place of those of the bus.
    pub values: BTreeMap<String, ProfileValue>,
    /// Its settings, in place of all those of clients.
    pub settings: BTreeMap<(Scope, String), Setting>,
    /// As [`BusProfile::ignored`].
    pub ignored: Vec<String>,
}

/// The two dispatch disciplines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Partitions with one owner each, settled by position.
    Log,
    /// Competing members, settled one by one.
    Queue,
}

/// What a vendor setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The bus itself.
    Bus,
    /// A topic or queue.
    Topic,
    /// A publishing client.
    Producer,
    /// A reading client.
    Consumer,
}

/// A neutral value of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileValue {
    /// The value.
    pub quantity: Quantity,
    /// The value as written.
    pub text: String,
    /// Document and version, or that no figure is published.
    pub source: String,
}

/// A value of one of the kinds that profiles have.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A duration.
    Span(SimSpan),
    /// Bytes.
    Size(u64),
    /// A count.
    Count(u64),
    /// No limit, for counts.
    Unlimited,
    /// One of a few words.
    Word(&'static str),
    /// Several of them, in order of preference.
    Words(Vec<&'static str>),
    /// A distribution of durations, ns.
    Dist(Dist),
}

/// The kind of a neutral value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A duration.
    Span,
    /// Bytes.
    Size,
    /// A count.
    Count,
    /// A count or `unlimited`.
    CountOrUnlimited,
    /// Bytes or `unlimited`.
    SizeOrUnlimited,
    /// A distribution of durations.
    Dist,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, in order of preference.
    Words(&'static [&'static str]),
}

/// How partitions are chosen: the hash of a key, and after `_` what is done without one.
pub const PARTITIONERS: &[&str] = &[
    "modulo",
    "murmur2",
    "murmur2_sticky",
    "murmur2_random",
    "crc32",
    "crc32_random",
    "fnv1a",
    "fnv1a_random",
    "random",
    "turn",
];

const FLAG: Kind = Kind::Word(&["true", "false"]);

/// The neutral values that profiles give, sorted by name, with what they mean.
pub const VALUES: [(&str, Kind, &str); 81] = [
    ("acks", Kind::Word(&["none", "leader", "all"]), "which copy a publish acknowledgement speaks of"),
    ("append", Kind::Dist, "append at the leader"),
    ("assignment_interval", Kind::Span, "least time between two assignments, where the bus assigns"),
    (
        "assignors",
        Kind::Words(&["range", "turn", "sticky", "cooperative"]),
        "who gets which partition behind a barrier; if all are `cooperative`, members work on meanwhile",
    ),
    ("attempts", Kind::CountOrUnlimited, "handler attempts, the first included"),
    ("auto_settle", FLAG, "settling on the client's timer"),
    ("auto_settle_every", Kind::Span, "the client's timer for settling"),
    ("backoff", Kind::Dist, "wait between handler attempts"),
    ("batch_bytes", Kind::Size, "a client batch leaves when it holds so much; without it nothing is batched"),
    ("batch_messages", Kind::CountOrUnlimited, "or so many messages; without it as many as come"),
    ("broker_heartbeat", Kind::Span, "time between heartbeats of a node"),
    ("broker_session_timeout", Kind::Span, "a node without heartbeats for so long is fenced, and others lead"),
    ("broker_startup", Kind::Dist, "start of a node until it is ready"),
    ("brokers", Kind::Count, "nodes"),
    ("buffer_bytes", Kind::Size, "what a client may hold that is not acknowledged; without it there is no limit"),
    (
        "buffer_grain",
        Kind::Word(&["batch", "message"]),
        "whether a batch takes all that it may grow to of the buffer (`batch`, the usual), or what is in it (`message`)",
    ),
    ("buffer_messages", Kind::CountOrUnlimited, "most messages that a client may hold; without it there is no limit"),
    ("bus_assignor", Kind::Word(&["sticky", "range"]), "who gets which partition, where the bus assigns"),
    ("bus_heartbeat", Kind::Span, "time between heartbeats of a member, where the bus assigns"),
    ("bus_session_timeout", Kind::Span, "a member without heartbeats for so long is expelled, where the bus assigns"),
    ("catch_up", Kind::Dist, "from the return of a node until its copies are in sync again"),
    ("commit_each", FLAG, "whether every effect is committed at once, or at the next poll"),
    (
        "connection",
        Kind::Word(&["pipelined", "fifo", "independent"]),
        "whether requests on one connection arrive in the order sent (`fifo`) and are answered so too (`pipelined`)",
    ),
    (
        "connection_timeout",
        Kind::Span,
        "both ends of a broken connection notice after so long that the other is silent",
    ),
    ("delivery_timeout", Kind::Span, "from handing a message to the client until it has failed for good"),
    ("election", Kind::Dist, "from a decision about leaders until all nodes follow it"),
    ("fetch_max_wait", Kind::Span, "how long a fetch waits for a record before it asks for other partitions, too"),
    ("fixed_members", FLAG, "whether a member has an identity of its own, for which its seat in the group is kept"),
    ("fsync", Kind::Dist, "sync to disk; delays the acknowledgement only"),
    ("heartbeat", Kind::Span, "time between heartbeats of a member"),
    ("idempotent", FLAG, "whether the bus recognises batches it has stored"),
    ("idempotent_in_flight", Kind::Count, "most requests in flight of an idempotent client"),
    ("ignore_keys", FLAG, "whether keys do not choose partitions"),
    ("initial_delay", Kind::Span, "how long an empty group waits for company"),
    ("initial_delay_grows", FLAG, "whether it waits as long again where more have come meanwhile"),
    (
        "isolation",
        Kind::Word(&["uncommitted", "committed"]),
        "whether a reader sees what is published in transactions before they are committed",
    ),
    ("join", Kind::Dist, "one join and sync round of a rebalance"),
    ("lag_limit", Kind::Span, "a copy that has not caught up for so long is not in sync any more"),
    ("leader_check", Kind::Span, "time between two looks for partitions that are led by another than their first copy"),
    ("leader_rebalance", FLAG, "whether these are then given back"),
    ("linger", Kind::Span, "how long a client batch waits for company"),
    ("max_block", Kind::Span, "a message that has waited so long for room in the client's buffer is rejected"),
    ("max_fetch_bytes", Kind::Size, "most bytes of one partition in one fetch"),
    ("max_in_flight", Kind::CountOrUnlimited, "publish requests without an answer on one connection"),
    ("max_poll_records", Kind::CountOrUnlimited, "most records that one poll returns"),
    (
        "membership",
        Kind::Word(&["immediate", "barrier", "incremental"]),
        "members are known at once, or by heartbeats, and meet at a barrier or are told by the bus one by one",
    ),
    ("metadata_age", Kind::Span, "how often a client asks who leads, if nothing makes it"),
    ("min_in_sync", Kind::Count, "copies that an acknowledgement of all needs at least"),
    ("network", Kind::Dist, "one way between a client and the bus"),
    (
        "offset_reset",
        Kind::Word(&["earliest", "latest"]),
        "where a reader goes on when what it is to read next has been deleted",
    ),
    ("order", Kind::Word(&["partition", "key", "none"]), "what a member's workers keep"),
    ("partitioner", Kind::Word(PARTITIONERS), "how a key selects a partition, and what is done without a key"),
    ("partitions", Kind::Count, "ordered lanes"),
    ("prefetch", Kind::CountOrUnlimited, "deliveries that a member may hold unsettled; 0: as many as it can work on"),
    ("progress_timeout", Kind::Span, "longest time between two polls; also the rebalance timeout"),
    ("reconnect", Kind::Span, "wait before each attempt of a member to connect anew"),
    ("replicate", Kind::Dist, "from the append until enough copies exist"),
    (
        "replication",
        Kind::Word(&["none", "pull"]),
        "whether followers pull copies from a leader that a controller chooses (`pull`), or nodes do not fail",
    ),
    ("replication_factor", Kind::Count, "copies of a partition"),
    ("request_timeout", Kind::Span, "a request of a client without an answer for so long has failed"),
    ("retention", Kind::Span, "how long records are kept"),
    ("retention_bytes", Kind::SizeOrUnlimited, "or how many bytes of each partition"),
    ("retention_check", Kind::Span, "time between two looks for what may be deleted"),
    ("retries", Kind::CountOrUnlimited, "publish attempts after the first"),
    ("retry_backoff", Kind::Span, "wait before the first publish retry"),
    ("retry_backoff_max", Kind::Span, "longest wait between publish attempts"),
    ("retry_mode", Kind::Word(&["blocking", "requeue"]), "where a failed message waits"),
    ("segment_age", Kind::Span, "a segment is closed when its first record is so old"),
    ("segment_bytes", Kind::Size, "or before it holds more bytes; what is deleted are whole segments"),
    ("session_timeout", Kind::Span, "a member without heartbeats for so long is expelled"),
    ("startup", Kind::Dist, "start of a process until it is ready"),
    (
        "sticky_for",
        Kind::Span,
        "events without a key go to one partition for so long, whatever the partitioner; 0s: as the partitioner says",
    ),
    ("store_every", Kind::Span, "time between two positions that a relay stores"),
    ("transaction_backoff", Kind::Span, "wait of a client whose last transaction is not done yet"),
    ("transaction_max_timeout", Kind::Span, "longest `transaction_timeout` that a bus allows"),
    ("transaction_scan", Kind::Span, "time between two looks for transactions that are open for too long"),
    ("transaction_timeout", Kind::Span, "a transaction that is open for longer is ended; without it there are none"),
    (
        "transactional_id",
        Kind::Word(&["kept", "random"]),
        "whether a process has the id of the one before it (`kept`), and ends what that has left open, or a new one",
    ),
    ("unclean_election", FLAG, "whether a copy that is not in sync may lead when no other can"),
    ("unsynced", Kind::Dist, "age of the oldest records that are not on a node's disk yet"),
    ("visible", Kind::Word(&["appended", "replicated"]), "when a record may be seen"),
];

/// A row of the table of vendor settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Sets a neutral value.
    Sets {
        /// Name of the neutral value.
        value: &'static str,
        /// Unit of a bare number: ns of a duration, bytes of a size; 1 for anything else.
        unit: u64,
        /// The bare number that means "no limit".
        unlimited: Option<String>,
        /// Vendor words and what they mean.
        words: BTreeMap<String, &'static str>,
    },
    /// Only these values are built; others would change results.
    Only {
        /// The values, as the vendor writes them.
        values: Vec<String>,
        /// What is missing for others.
        why: String,
    },
    /// Changes neither time nor delivery.
    Ignored(String),
}

impl BusProfile {
    /// The same bus, used with another kind of client.
    #[must_use]
    pub fn with_client(&self, client: &ClientProfile) -> Self {
        let mut profile = self.clone();
        profile.name = format!("{} with {}", self.name, client.name);
        profile.values.extend(client.values.clone());
        profile.settings.retain(|(scope, _), _| matches!(scope, Scope::Bus | Scope::Topic));
        profile.settings.extend(client.settings.clone());
        profile.ignored.clone_from(&client.ignored);
        profile
    }

    /// The official name of the setting that sets a neutral value, for messages.
    #[must_use]
    pub fn official<'a>(&'a self, scope: Scope, neutral: &'a str) -> &'a str {
        let row = self.settings.iter().find(|((of, _), setting)| {
            *of == scope && matches!(setting, Setting::Sets { value, .. } if *value == neutral)
        });
        row.map_or(neutral, |((_, name), _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted() {
        assert!(VALUES.is_sorted_by_key(|(name, ..)| *name));
        assert!(PRESETS.is_sorted_by_key(|(name, _)| *name));
    }
}
