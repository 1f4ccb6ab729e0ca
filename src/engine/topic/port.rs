//! What one publisher hands to one topic.

use std::sync::Arc;

use crate::engine::client::Message;
use crate::engine::journeys::{Follow, News, Notes};
use crate::engine::log::{End, EventCode, Extra, Record};
use crate::engine::setup::ClientSetup;
use crate::outcome::{Chapter, LossCause, Story, Told};
use crate::plan::TopicId;
use crate::time::SimTime;

/// One record on its way into a partition.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Append {
    /// When the leader appends it, ns.
    pub(in crate::engine) append: u64,
    /// The record; `visible` is the earliest time, the log keeps it from decreasing.
    pub(in crate::engine) record: Record,
    /// What some readers need beside it.
    pub(in crate::engine) extra: Extra,
    /// Partition.
    pub(in crate::engine) lane: u32,
    /// Size, bytes.
    pub(in crate::engine) bytes: u32,
    /// When it is lost from the log, and what that is called.
    pub(in crate::engine) lost: Option<(u64, LossCause)>,
    /// The transaction that it is part of; 0: none.
    pub(in crate::engine) transaction: u32,
    /// It is no record, but ends its transaction so.
    pub(in crate::engine) ends: Option<End>,
}

impl Append {
    /// The marker that ends a transaction in a partition: when it is appended, and when readers may see it.
    pub(in crate::engine) fn marker(lane: u32, transaction: u32, end: End, (append, visible): (u64, u64)) -> Self {
        // Of what is appended at one time it comes last.
        let record = Record { visible, created: append, key: u32::MAX, event: u32::MAX };
        let (extra, bytes, lost) = (Extra::default(), 0, None);
        Self { append, record, extra, lane, bytes, lost, transaction, ends: Some(end) }
    }
}

/// How an event ended that was never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum NotStored {
    /// Refused, or dropped by its producer.
    Rejected,
    /// No answer, and not stored.
    Indeterminate,
    /// Its fact was committed, and then its process ended or its handler failed before it was published.
    Unpublished,
}

/// What one publisher hands to one topic.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Port {
    /// Records to append.
    pub(in crate::engine) appends: Vec<Append>,
    /// Creation of the events numbered since the port was last emptied.
    pub(in crate::engine) events: Vec<u64>,
    /// Events numbered so far.
    numbered: u32,
    /// How events are numbered.
    code: EventCode,
    /// Whether the numbers have run out.
    pub(super) full: bool,
    /// Whether its events are in an outbox before a client takes them.
    outbox: bool,
    /// Measured events among those created since the port was last emptied.
    pub(in crate::engine) created: u64,
    /// Events given up before they were stored: number, whether measured, how.
    pub(in crate::engine) not_stored: Vec<(u32, bool, NotStored)>,
    /// What is told of journeys.
    pub(super) notes: Notes,
    topic: TopicId,
    /// Number of the event that is watched, if it is one of this publisher's, and what is told of it.
    watched: Option<u32>,
    pub(super) story: Story,
}

impl Port {
    pub(in crate::engine) fn new(client: &ClientSetup, follow: &Arc<Follow>) -> Self {
        Self {
            appends: Vec::new(),
            events: Vec::new(),
            numbered: 0,
            code: client.code,
            full: false,
            outbox: client.outbox,
            created: 0,
            not_stored: Vec::new(),
            notes: Notes::new(follow, follow.topics[client.topic]),
            watched: client.watched,
            story: Story::new(),
            topic: TopicId(u32::try_from(client.topic).expect("topics fit 32 bits")),
        }
    }

    /// A client takes a message.
    #[inline]
    pub(in crate::engine) fn taken(&mut self, message: &Message, now: u64) {
        if !self.outbox {
            self.begin(message, now);
        }
    }

    /// From now on an event is to be published.
    pub(in crate::engine) fn begin(&mut self, message: &Message, now: u64) {
        self.notes.note(now, message.lineage.root, News::Published(self.topic));
        self.tell(std::slice::from_ref(message), message.created, Told::Created(message.key));
    }

    /// Something happens to messages at a client.
    #[inline]
    pub(in crate::engine) fn tell(&mut self, messages: &[Message], at: u64, told: Told) {
        if let Some(watched) = self.watched
            && messages.iter().any(|message| message.sequence == watched)
        {
            self.story.push(Chapter { at: SimTime(at), told });
        }
    }

    /// A message that a client has taken will never be stored.
    pub(in crate::engine) fn void(&mut self, message: &Message, measured: bool, how: NotStored, now: u64) {
        self.notes.note(now, message.lineage.root, News::Void(self.topic));
        self.tell(std::slice::from_ref(message), now, Told::GivenUp(how == NotStored::Indeterminate));
        self.not_stored.push((message.sequence, measured, how));
    }

    /// Numbers one more event; none when the numbers have run out, which ends the run without a result.
    pub(in crate::engine) fn number(&mut self, created: u64, measured: bool) -> Option<u32> {
        self.full = u64::from(self.numbered) >= self.code.capacity();
        if self.full {
            return None;
        }
        self.events.push(created);
        self.created += u64::from(measured);
        self.numbered += 1;
        Some(self.numbered - 1)
    }

    /// Whether the numbers have run out.
    pub(in crate::engine) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn is_empty(&self) -> bool {
        let idle = self.appends.is_empty() && self.events.is_empty() && self.not_stored.is_empty();
        !self.full && idle && self.notes.is_empty() && self.story.is_empty()
    }
}
