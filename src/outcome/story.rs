//! What went wrong with events and by what mechanism, and the story of one event.

use std::collections::BTreeMap;

use super::{DeliveryResult, LossCause};
use crate::time::{SimSpan, SimTime};

/// One event: the n-th that a publisher has for a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// Topic index.
    pub topic: u32,
    /// Position among the topic's publishers ([`crate::engine::publishers`]).
    pub publisher: u32,
    /// Number among that publisher's events for the topic, from 0.
    pub number: u32,
}

/// What went wrong with an event at a subscription, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// It never took effect and never will.
    Lost(LossCause),
    /// It took effect again.
    Twice(TwiceCause),
    /// It took effect after a later event of its key and publisher.
    Late(LateCause),
    /// It took effect, and its transaction was aborted.
    AbortedRead,
}

/// Why an event took effect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TwiceCause {
    /// Its publisher, or the link, stored it more than once.
    StoredTwice,
    /// The relay of its outbox was lost before it had noted that it is stored, and published it again.
    PublishedAgain,
    /// Its record was handed out again before it was settled.
    HandedOut(Again),
    /// It was published to a retry topic, and its record, or another such copy, was handled too.
    RetryTopic,
    /// Its consumer went back and read it again.
    Replayed,
}

/// Why an event took effect late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LateCause {
    /// It was stored after the other one: by a retry, another process, or in another partition.
    StoredLate,
    /// Attempts that failed held it up.
    Retried,
    /// It waited in a retry topic, and its partition went on.
    RetryTopic,
    /// Another had it first, and had not settled it when its record was handed out again.
    HandedOut(Again),
    /// It was given up at first, and took effect when its consumer went back and read it again.
    Replayed,
    /// Another handler was faster.
    Overtaken,
}

/// Why a record is handed out again before it was settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// The process that had it ended.
    Crashed,
    /// The process that had it stood still for so long that its session, or its connection, was given up.
    SessionTimedOut,
    /// The member that had it did not poll in time: its batch took longer than it may.
    PolledTooLate,
    /// The member that had it did not rejoin within a rebalance.
    RejoinedTooLate,
    /// Its partition was given to another before its position was settled.
    #[default]
    Rebalanced,
    /// The connection that brought it was lost, or what was answered on it.
    ConnectionLost,
}

impl Again {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crashed => "crashed_before_settling",
            Self::SessionTimedOut => "session_timed_out",
            Self::PolledTooLate => "polled_too_late",
            Self::RejoinedTooLate => "rejoined_too_late",
            Self::Rebalanced => "rebalanced_before_settling",
            Self::ConnectionLost => "connection_lost",
        }
    }
}

/// The first event that something happened to, in order of time and then of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// When it was known.
    pub at: SimTime,
    /// Which event.
    pub event: EventId,
    /// Its key id; `u32::MAX` without key.
    pub key: u32,
    /// Its intended creation.
    pub created: SimTime,
    /// Number of the run, from 0.
    pub run: u32,
}

impl Defect {
    /// What it is called, and its cause.
    #[must_use]
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Lost(cause) => ("lost", cause.name()),
            Self::Twice(TwiceCause::StoredTwice) => ("twice", "stored_twice"),
            Self::Twice(TwiceCause::PublishedAgain) => ("twice", "published_again"),
            Self::Twice(TwiceCause::HandedOut(again)) => ("twice", again.name()),
            Self::Twice(TwiceCause::RetryTopic) => ("twice", "retry_topic"),
            Self::Twice(TwiceCause::Replayed) => ("twice", "replayed"),
            Self::Late(LateCause::StoredLate) => ("late", "stored_late"),
            Self::Late(LateCause::Retried) => ("late", "retried"),
            Self::Late(LateCause::RetryTopic) => ("late", "retry_topic"),
            Self::Late(LateCause::HandedOut(again)) => ("late", again.name()),
            Self::Late(LateCause::Replayed) => ("late", "replayed"),
            Self::Late(LateCause::Overtaken) => ("late", "overtaken"),
            Self::AbortedRead => ("aborted_read", "read_uncommitted"),
        }
    }
}

impl LossCause {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CommittedBeforeEffect => "committed_before_effect",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::AckedBeforeEffect => "acked_before_effect",
            Self::LostBeforeReplication => "lost_before_replication",
            Self::UncleanElection => "unclean_election",
            Self::NotSynced => "not_synced",
            Self::Expired => "expired",
            Self::OffsetReset => "offset_reset",
        }
    }
}

impl Example {
    /// The place in the order of time: of two at one time, the lower event.
    fn place(&self) -> (SimTime, EventId) {
        (self.at, self.event)
    }
}

/// How often something happened, and to whom first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub count: u64,
    /// The first of them; none where it was taken back, and those after it are not known any more.
    pub first: Option<Example>,
}

impl Seen {
    /// Counts one more.
    pub fn note(&mut self, example: Example) {
        if self.count == 0 || self.first.is_some_and(|first| example.place() < first.place()) {
            self.first = Some(example);
        }
        self.count += 1;
    }

    /// Takes back one that was noted.
    pub fn retract(&mut self, event: EventId) {
        self.count -= 1;
        self.first = self.first.filter(|first| first.event != event && self.count > 0);
    }

    /// Adds other runs: the first is that of the lowest run.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first = self.first.into_iter().chain(other.first).min_by_key(|first| (first.run, first.place()));
    }
}

/// Defects of one subscription.
pub type Defects = BTreeMap<Defect, Seen>;

/// The event with the longest latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowest {
    /// Creation to the end of its first effect.
    pub latency: SimSpan,
    /// Which.
    pub example: Example,
}

impl Slowest {
    /// The slower of two, the first of equals.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let place = |slowest: &Self| (slowest.example.run, slowest.example.place());
        let before = place(&other) < place(&self);
        if other.latency > self.latency || other.latency == self.latency && before { other } else { self }
    }
}

/// The story of one event, in order of time.
pub type Story = Vec<Chapter>;

/// Something that happened to a watched event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// When.
    pub at: SimTime,
    /// What.
    pub told: Told,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Its publisher created it, with this key id.
    Created(u32),
    /// Its client sent it to a broker, for the n-th time.
    Sent {
        /// To which.
        broker: u32,
        /// From 1.
        attempt: u32,
    },
    /// It was appended to a log.
    Stored {
        /// Partition.
        partition: u32,
        /// Position there.
        offset: u64,
        /// When readers may see it.
        visible: SimTime,
        /// Whether it had been stored before.
        again: bool,
    },
    /// The broker refused it for now.
    Refused,
    /// No answer came in time, or the connection was closed.
    Unanswered,
    /// Its client heard that it is stored.
    Acknowledged,
    /// Its client gave it up; whether it had ever been sent.
    GivenUp(bool),
    /// A stored copy of it is gone from the log.
    Gone(LossCause),
    /// A consumer that waits for transactions may see it: what hid it is over.
    Seen(u32),
    /// A handler of a consumer began.
    Begun {
        /// Index of the consumer.
        consumer: u32,
        /// Whose, from 0.
        member: u32,
        /// 0: from its topic; n: from the n-th retry topic.
        retry: u32,
        /// Partition and offset that it was read from.
        from: (u32, u64),
    },
    /// That handler ended.
    Ended {
        /// Index of the consumer.
        consumer: u32,
        /// Whose, from 0.
        member: u32,
        /// How.
        result: DeliveryResult,
    },
    /// Its position was committed, or it was acknowledged.
    Settled(u32),
    /// The transaction that it was published in has ended; whether it was committed.
    Decided(bool),
    /// A consumer does not want it.
    Unwanted(u32),
    /// A consumer passes over it, because its transaction was aborted.
    PassedOver(u32),
    /// A consumer will never take it, and why.
    Missed(u32, LossCause),
    /// A later event of its key took effect at a consumer before it.
    Overtaken {
        /// Index of the consumer.
        consumer: u32,
        /// Which.
        by: EventId,
    },
    /// A consumer's group went on without a member.
    Expelled {
        /// Index of the consumer.
        consumer: u32,
        /// Whom, from 0.
        member: u32,
        /// What it had exceeded.
        why: Again,
    },
    /// The partition that it is in was given to a member of a consumer's group.
    Given {
        /// Index of the consumer.
        consumer: u32,
        /// Which.
        partition: u32,
        /// To whom, from 0.
        member: u32,
    },
    /// The run ended before a consumer was done with it; whether a handler had it.
    Left(u32, bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever came first is known, unless it was taken back: then nobody after it passes for the first.
    #[test]
    fn the_first_is_not_one_that_came_later() {
        let example = |at: u64, number: u32| Example {
            at: SimTime(at),
            event: EventId { topic: 0, publisher: 0, number },
            key: 0,
            created: SimTime(0),
            run: 0,
        };
        let mut seen = Seen::default();
        [example(5, 1), example(3, 2), example(4, 3)].into_iter().for_each(|one| seen.note(one));
        assert_eq!((seen.count, seen.first), (3, Some(example(3, 2))));
        seen.retract(example(4, 3).event);
        assert_eq!((seen.count, seen.first), (2, Some(example(3, 2))), "another is taken back");
        seen.retract(example(3, 2).event);
        seen.note(example(9, 4));
        assert_eq!((seen.count, seen.first), (2, None), "the one at 5 was before");
        [1, 4].into_iter().for_each(|number| seen.retract(example(0, number).event));
        seen.note(example(11, 5));
        assert_eq!((seen.count, seen.first), (1, Some(example(11, 5))));
    }
}
