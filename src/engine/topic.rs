//! The station Topic: takes what publishers append, in time order, and makes it visible in the log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::client::Message;
use super::earliest::Earliest;
use super::journeys::{Delta, Follow, News, Notes};
use super::log::{Column, EventCode, Extra, Lane, Log, Record, leading};
use super::retention::Retention;
use super::setup::{ClientSetup, Setup, TopicSetup};
use crate::outcome::{Chapter, LossCause, Story, Told, TopicOutcome};
use crate::plan::TopicId;
use crate::time::SimTime;

/// One record on its way into a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Append {
    /// When the leader appends it, ns.
    pub(super) append: u64,
    /// The record; `visible` is the earliest time, the log keeps it from decreasing.
    pub(super) record: Record,
    /// What some readers need beside it.
    pub(super) extra: Extra,
    /// Partition.
    pub(super) lane: u32,
    /// Size, bytes.
    pub(super) bytes: u32,
    /// When it is lost from the log, and what that is called.
    pub(super) lost: Option<(u64, LossCause)>,
}

/// How an event ended that was never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotStored {
    /// Refused, or dropped by its producer.
    Rejected,
    /// No answer, and not stored.
    Indeterminate,
}

/// What one publisher hands to one topic.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// Records to append.
    pub(super) appends: Vec<Append>,
    /// Creation of the events numbered since the port was last emptied.
    pub(super) events: Vec<u64>,
    /// Events numbered so far.
    numbered: u32,
    /// How events are numbered.
    code: EventCode,
    /// Whether the numbers have run out.
    full: bool,
    /// Measured events among those created since the port was last emptied.
    pub(super) created: u64,
    /// Events given up before they were stored: number, whether measured, how.
    pub(super) not_stored: Vec<(u32, bool, NotStored)>,
    /// What is told of journeys.
    notes: Notes,
    topic: TopicId,
    /// Number of the event that is watched, if it is one of this publisher's, and what is told of it.
    watched: Option<u32>,
    story: Story,
}

impl Port {
    pub(super) fn new(client: &ClientSetup, follow: &Arc<Follow>) -> Self {
        Self {
            appends: Vec::new(),
            events: Vec::new(),
            numbered: 0,
            code: client.code,
            full: false,
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
    pub(super) fn taken(&mut self, message: &Message, now: u64) {
        self.notes.note(now, message.lineage.root, News::Published(self.topic));
        self.tell(std::slice::from_ref(message), message.created, Told::Created(message.key));
    }

    /// Something happens to messages at a client.
    #[inline]
    pub(super) fn tell(&mut self, messages: &[Message], at: u64, told: Told) {
        if let Some(watched) = self.watched
            && messages.iter().any(|message| message.sequence == watched)
        {
            self.story.push(Chapter { at: SimTime(at), told });
        }
    }

    /// A message that a client has taken will never be stored.
    pub(super) fn void(&mut self, message: &Message, measured: bool, how: NotStored, now: u64) {
        self.notes.note(now, message.lineage.root, News::Void(self.topic));
        self.tell(std::slice::from_ref(message), now, Told::GivenUp(how == NotStored::Indeterminate));
        self.not_stored.push((message.sequence, measured, how));
    }

    /// Numbers one more event; none when the numbers have run out, which ends the run without a result.
    pub(super) fn number(&mut self, created: u64, measured: bool) -> Option<u32> {
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
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    fn is_empty(&self) -> bool {
        let idle = self.appends.is_empty() && self.events.is_empty() && self.not_stored.is_empty();
        !self.full && idle && self.notes.is_empty() && self.story.is_empty()
    }
}

/// What has a place in the order of a partition.
trait Placed: Copy {
    /// Sort key, its time first.
    type Key: Ord + Copy;
    fn key(&self) -> Self::Key;
    fn time(&self) -> u64;
}

impl Placed for Record {
    type Key = (u64, u32);

    #[inline]
    fn key(&self) -> (u64, u32) {
        (self.visible, self.event)
    }

    #[inline]
    fn time(&self) -> u64 {
        self.visible
    }
}

impl Placed for Append {
    type Key = (u64, u32, u64);

    fn key(&self) -> (u64, u32, u64) {
        (self.append, self.record.event, self.record.visible)
    }

    fn time(&self) -> u64 {
        self.append
    }
}

/// By its place alone.
#[derive(Clone, Copy, Debug)]
struct ByPlace<T>(T);

impl<T: Placed> Ord for ByPlace<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key().cmp(&other.0.key())
    }
}

impl<T: Placed> PartialOrd for ByPlace<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Placed> PartialEq for ByPlace<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Placed> Eq for ByPlace<T> {}

/// What comes in nearly in order, kept in order: a late comer moves a few places at most, or waits apart.
#[derive(Clone, Debug)]
struct Pending<T> {
    sorted: Vec<T>,
    /// So many of them have been taken.
    taken: usize,
    /// What would have moved further.
    apart: BinaryHeap<Reverse<ByPlace<T>>>,
}

/// Most places that a late comer moves.
const NEAR: usize = 64;

/// What was taken is given up when it is so much: to move the rest costs more than one step.
const TAKEN: usize = 16;

impl<T: Placed> Pending<T> {
    fn new() -> Self {
        Self { sorted: Vec::new(), taken: 0, apart: BinaryHeap::new() }
    }

    /// Takes one in; whether it is the first now.
    #[inline]
    fn insert(&mut self, one: T) -> bool {
        match &self.sorted[self.taken..] {
            [.., last] if last.key() <= one.key() => {
                self.sorted.push(one);
                false
            }
            _ => self.insert_late(one),
        }
    }

    /// As [`Pending::insert`], for one that does not come after all others.
    fn insert_late(&mut self, one: T) -> bool {
        let (key, mut at) = (one.key(), self.sorted.len());
        if at > self.taken + NEAR && self.sorted[at - NEAR].key() > key {
            self.apart.push(Reverse(ByPlace(one)));
        } else {
            self.sorted.push(one);
            while at > self.taken && self.sorted[at - 1].key() > key {
                self.sorted[at] = self.sorted[at - 1];
                at -= 1;
            }
            self.sorted[at] = one;
        }
        self.first() == one.time()
    }

    /// The earliest time.
    #[inline]
    fn first(&self) -> u64 {
        let sorted = self.sorted.get(self.taken).map_or(u64::MAX, Placed::time);
        sorted.min(self.apart.peek().map_or(u64::MAX, |one| one.0.0.time()))
    }

    /// Takes all that come strictly before `until`.
    #[inline]
    fn take(&mut self, until: u64, take: impl FnOnce(&[T])) {
        if self.apart.peek().is_some_and(|one| one.0.0.time() < until) {
            self.merge(until);
        }
        let from = self.taken;
        self.taken += leading(&self.sorted[from..], |one| one.time() < until);
        take(&self.sorted[from..self.taken]);
        if self.taken >= TAKEN {
            self.sorted.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Brings all that come strictly before `until` and wait apart to where they belong.
    #[cold]
    fn merge(&mut self, until: u64) {
        let mut from = self.taken;
        let due = from + self.sorted[from..].partition_point(|one| one.time() < until);
        let mut merged = Vec::with_capacity(2 * (due - from));
        while let Some(Reverse(ByPlace(next))) = self.apart.peek().copied().filter(|one| one.0.0.time() < until) {
            self.apart.pop();
            let to = from + self.sorted[from..due].partition_point(|one| one.key() < next.key());
            merged.extend_from_slice(&self.sorted[from..to]);
            merged.push(next);
            from = to;
        }
        merged.extend_from_slice(&self.sorted[from..due]);
        self.sorted.splice(self.taken..due, merged);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.sorted[self.taken..].iter().chain(self.apart.iter().map(|one| &one.0.0))
    }
}

/// What publishers have handed in for one topic, in order of append time.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    plain: Vec<Pending<Record>>,
    rich: Vec<Pending<Append>>,
    /// By partition: the earliest append still pending.
    due: Earliest,
    /// How events are numbered.
    pub(super) code: EventCode,
    /// Whether a publisher has more events than there are numbers: the run has no result.
    pub(super) full: bool,
    /// By publisher: creation of the events numbered since the last release (where needed).
    created_at: Vec<Vec<u64>>,
    void: Vec<u32>,
    created: u64,
    rejected: u64,
    indeterminate: u64,
    bytes: u64,
    bytes_each: u64,
    /// What publishers have told of journeys.
    told: Vec<Delta>,
    /// What they have told of the event that is watched.
    story: Story,
}

/// The log of one topic, and what was ever stored in it.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// What readers see.
    pub(super) log: Log,
    /// Copied events, and whether a copy has been stored.
    copied: BTreeMap<u32, bool>,
    warm_up: u64,
    stored: u64,
    /// Copies of measured events beyond the first.
    pub(super) surplus: u64,
    notes: Notes,
    id: TopicId,
    /// Measured events by the time at which they are lost from the log.
    lost: BTreeMap<u64, u64>,
    /// What deletes old records, if anything does.
    retention: Option<Box<Retention>>,
    /// The event that is watched, by its number in the log, and what there is to tell of it.
    watched: Option<u32>,
    story: Story,
}

impl Inbox {
    pub(super) fn new(setup: &TopicSetup) -> Self {
        let lanes = setup.partitions as usize;
        let several = setup.readers.len() > 1;
        let (plain, rich) = if setup.rich {
            (Vec::new(), vec![Pending::new(); lanes])
        } else {
            (vec![Pending::new(); lanes], Vec::new())
        };
        Self {
            plain,
            rich,
            due: Earliest::new(lanes),
            code: EventCode::new(setup.publishers),
            full: false,
            created_at: vec![Vec::new(); if several { setup.publishers } else { 0 }],
            void: Vec::new(),
            created: 0,
            rejected: 0,
            indeterminate: 0,
            bytes: 0,
            bytes_each: 0,
            told: Vec::new(),
            story: Story::new(),
        }
    }

    /// When the topic next appends something.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.due.time()
    }

    /// Takes one record of a publisher whose records are visible when appended and carry no extra. The hot path.
    #[inline]
    pub(super) fn accept_plain(&mut self, lane: u32, record: Record) {
        if self.plain[lane as usize].insert(record) {
            self.due.set(lane as usize, record.visible);
        }
    }

    /// Notes the numbering of plain events: creation in order, how many are measured, bytes of each.
    pub(super) fn number_plain(&mut self, publisher: usize, times: &[u64], measured: u64, bytes: u64) {
        if let Some(noted) = self.created_at.get_mut(publisher) {
            noted.extend_from_slice(times);
        }
        self.created += measured;
        self.bytes_each = bytes;
    }

    /// Takes all that a publisher has for this topic.
    pub(super) fn absorb(&mut self, publisher: usize, port: &mut Port) {
        if port.is_empty() {
            return;
        }
        self.full |= port.full;
        port.notes.tell(&mut self.told);
        self.story.append(&mut port.story);
        if let Some(noted) = self.created_at.get_mut(publisher) {
            noted.extend_from_slice(&port.events);
        }
        port.events.clear();
        self.created += std::mem::take(&mut port.created);
        for (number, measured, how) in port.not_stored.drain(..) {
            self.void.push(self.code.event(publisher_number(publisher), number));
            match how {
                NotStored::Rejected => self.rejected += u64::from(measured),
                NotStored::Indeterminate => self.indeterminate += u64::from(measured),
            }
        }
        for append in port.appends.drain(..) {
            self.accept(append);
        }
    }

    fn accept(&mut self, append: Append) {
        self.bytes += u64::from(append.bytes);
        if self.rich.is_empty() {
            return self.accept_plain(append.lane, append.record);
        }
        if self.rich[append.lane as usize].insert(append) {
            self.due.set(append.lane as usize, append.append);
        }
    }

    /// Hands over what publishers have told of journeys.
    pub(super) fn tell(&mut self, to: &mut Vec<Delta>) {
        to.append(&mut self.told);
    }

    /// What publishers have told of the event that is watched.
    pub(super) fn take_story(&mut self) -> Story {
        std::mem::take(&mut self.story)
    }

    /// Measured events refused or given up without an answer and not stored.
    pub(super) fn not_stored(&self) -> (u64, u64) {
        (self.rejected, self.indeterminate)
    }
}

impl Topic {
    pub(super) fn new(setup: &Setup, index: usize, retention: Option<Retention>) -> Self {
        let (follow, warm_up, watched) = (&setup.follow, setup.warm_up, setup.watched);
        let setup = &setup.topics[index];
        let log = Log {
            lanes: vec![Lane::default(); setup.partitions as usize],
            code: EventCode::new(setup.publishers),
            created: vec![Column::default(); if setup.readers.len() > 1 { setup.publishers } else { 0 }],
            void: std::collections::BTreeSet::new(),
            appended: 0,
            last_lane: 0,
            first_roots: setup.first_roots.clone(),
        };
        Self {
            log,
            copied: BTreeMap::new(),
            warm_up,
            stored: 0,
            surplus: 0,
            notes: Notes::new(follow, follow.stored[index]),
            id: TopicId(u32::try_from(index).expect("topics fit 32 bits")),
            lost: BTreeMap::new(),
            retention: retention.map(Box::new),
            watched: watched
                .filter(|watched| watched.topic as usize == index)
                .map(|watched| EventCode::new(setup.publishers).event(watched.publisher, watched.number)),
            story: Story::new(),
        }
    }

    /// What there is to tell of the event that is watched.
    pub(super) fn take_story(&mut self) -> Story {
        std::mem::take(&mut self.story)
    }

    /// What is to be told of journeys.
    pub(super) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Appends everything that is due strictly before `until`.
    pub(super) fn release(&mut self, inbox: &mut Inbox, until: u64) {
        self.note(inbox);
        while inbox.due.time() < until {
            let lane = inbox.due.position();
            let next = if let Some(pending) = inbox.plain.get_mut(lane) {
                self.release_plain(pending, lane, until)
            } else {
                self.release_rich(&mut inbox.rich[lane], lane, until)
            };
            inbox.due.set(lane, next);
        }
        self.look(until);
    }

    /// When it next looks for what it may delete.
    #[inline]
    pub(super) fn next_look(&self) -> u64 {
        self.retention.as_ref().map_or(u64::MAX, |retention| retention.next())
    }

    /// Deletes what may go of all partitions, strictly before `until`.
    fn look(&mut self, until: u64) {
        let Some(retention) = &mut self.retention else { return };
        while retention.next() < until {
            let (now, lane) = (retention.next(), retention.position());
            retention.look(lane, &mut self.log.lanes[lane], now);
        }
    }

    /// What readers need to know of events whether or not they are appended yet.
    fn note(&mut self, inbox: &mut Inbox) {
        for (column, created) in self.log.created.iter_mut().zip(&mut inbox.created_at) {
            column.extend(created.iter().copied());
            created.clear();
        }
        for event in inbox.void.drain(..) {
            self.log.void.insert(event);
        }
    }

    /// Appends what is due of one partition; when the next of it is.
    fn release_plain(&mut self, pending: &mut Pending<Record>, lane: usize, until: u64) -> u64 {
        pending.take(until, |records| {
            self.stored += records.iter().filter(|record| record.created >= self.warm_up).count() as u64;
            if self.notes.speaks() {
                for record in records {
                    let Extra { lineage, event_type, .. } = self.log.plain_extra(record);
                    self.notes.note(record.visible, lineage.root, News::Stored(self.id, event_type));
                }
            }
            if let Some(watched) = self.watched
                && let Some(at) = records.iter().position(|record| record.event == watched)
            {
                let offset = self.log.lanes[lane].end() + at as u64;
                let place = (u32::try_from(lane).expect("partitions fit 32 bits"), offset);
                tell_stored(&mut self.story, &records[at], records[at].visible, place, None);
            }
            self.log.lanes[lane].extend(records);
            self.grown(lane, records.len());
        });
        pending.first()
    }

    fn release_rich(&mut self, pending: &mut Pending<Append>, lane: usize, until: u64) -> u64 {
        pending.take(until, |appends| {
            let log = &mut self.log.lanes[lane];
            for Append { append, mut record, extra, lost, bytes, .. } in appends.iter().copied() {
                record.visible = record.visible.max(log.last_visible());
                if let Some(retention) = &mut self.retention {
                    while retention.next_of(lane) <= append {
                        let now = retention.next_of(lane);
                        retention.look(lane, log, now);
                    }
                    retention.append(lane, log.end(), (u64::from(bytes), record.created), append);
                }
                let measured = record.created >= self.warm_up;
                if let Some((at, cause)) = lost {
                    log.lose(at, cause);
                    *self.lost.entry(at).or_default() += u64::from(measured);
                }
                if self.watched == Some(EventCode::plain(record.event)) {
                    let place = (u32::try_from(lane).expect("partitions fit 32 bits"), log.end());
                    tell_stored(&mut self.story, &record, append, place, lost);
                }
                log.push(record, extra);
                let first = !record.is_copied()
                    || !std::mem::replace(self.copied.entry(EventCode::plain(record.event)).or_default(), true);
                if first {
                    self.notes.note(append, extra.lineage.root, News::Stored(self.id, extra.event_type));
                }
                self.stored += u64::from(first && measured);
                self.surplus += u64::from(!first && measured);
            }
            self.grown(lane, appends.len());
        });
        pending.first()
    }

    /// Notes that a partition has grown by so many records.
    fn grown(&mut self, lane: usize, records: usize) {
        if records > 0 {
            self.log.appended += records as u64;
            self.log.last_lane = u32::try_from(lane).expect("partitions fit 32 bits");
        }
    }

    /// Distinct measured events that are on their way into the log and not stored yet.
    pub(super) fn pending(&self, inbox: &Inbox) -> u64 {
        let plain = inbox.plain.iter().flat_map(Pending::iter).filter(|r| r.created >= self.warm_up).count();
        let mut copied = std::collections::BTreeSet::new();
        let rich = inbox.rich.iter().flat_map(Pending::iter).map(|append| append.record).filter(|r| {
            let event = EventCode::plain(r.event);
            r.created >= self.warm_up
                && (!r.is_copied() || (self.copied.get(&event) != Some(&true) && copied.insert(event)))
        });
        (plain + rich.count()) as u64
    }

    /// The topic's own part of the outcome.
    pub(super) fn outcome(&self, inbox: &Inbox, end: u64) -> TopicOutcome {
        let records: Vec<u64> = self.log.lanes.iter().map(Lane::end).collect();
        let bytes = inbox.bytes + inbox.bytes_each * records.iter().sum::<u64>();
        let lost = self.lost.range(..end).map(|(_, events)| events).sum();
        let storage = self.retention.as_ref().map(|retention| retention.outcome(end));
        let (created, stored) = (inbox.created, self.stored);
        TopicOutcome { created, stored, lost, records, bytes, storage, ..TopicOutcome::default() }
    }
}

/// Tells that a record is stored, and when it is gone again.
#[cold]
fn tell_stored(
    story: &mut Story,
    record: &Record,
    append: u64,
    (partition, offset): (u32, u64),
    lost: Option<(u64, LossCause)>,
) {
    let stored = |chapter: &Chapter| matches!(chapter.told, Told::Stored { .. });
    let again = story.iter().any(stored);
    let visible = SimTime(record.visible);
    let told = Told::Stored { partition, offset, visible, again };
    story.push(Chapter { at: SimTime(record.created), told: Told::Created(record.key) });
    story.push(Chapter { at: SimTime(append), told });
    story.extend(lost.map(|(at, cause)| Chapter { at: SimTime(at), told: Told::Gone(cause) }));
}

/// A publisher's position as it stands in event numbers.
pub(super) fn publisher_number(publisher: usize) -> u32 {
    u32::try_from(publisher).expect("publishers fit 32 bits")
}

#[cfg(test)]
mod tests {
    use super::{Pending, Record};
    use crate::random::Stream;

    /// Delays of some seconds that have no bound, at 100k/s: all that comes later overtakes half a million records. Moved one
    /// by one that would be 10^12 moves.
    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delays are positive, the cast saturates"
    )]
    fn late_comers_are_not_carried_far() {
        let stream = Stream::named(1, "late");
        let records = (0..2_000_000_u32).map(|event| {
            let delay = 1e9 / (1.0 - stream.unit(u64::from(event)));
            Record { visible: u64::from(event) * 10_000 + delay as u64, event, ..Record::default() }
        });
        let (mut pending, mut taken) = (Pending::new(), Vec::new());
        let mut take = |pending: &mut Pending<Record>, until| {
            pending.take(until, |due| taken.extend(due.iter().map(|one| (one.visible, one.event))));
        };
        let mut all: Vec<(u64, u32)> = Vec::new();
        for record in records {
            pending.insert(record);
            all.push((record.visible, record.event));
            if record.event % 2_048 == 0 {
                take(&mut pending, u64::from(record.event) * 10_000);
            }
        }
        take(&mut pending, u64::MAX);
        assert!(pending.first() == u64::MAX && pending.iter().next().is_none());
        all.sort_unstable();
        assert!(taken == all);
    }
}
