//! The station Topic: takes what publishers append, in time order, and makes it visible in the log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::earliest::Earliest;
use super::log::{Column, EventCode, Extra, Lane, Log, Record};
use super::retention::Retention;
use super::setup::TopicSetup;
use crate::outcome::{LossCause, TopicOutcome};

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
}

impl Port {
    pub(super) fn new(code: EventCode) -> Self {
        Self {
            appends: Vec::new(),
            events: Vec::new(),
            numbered: 0,
            code,
            full: false,
            created: 0,
            not_stored: Vec::new(),
        }
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
        !self.full && self.appends.is_empty() && self.events.is_empty() && self.not_stored.is_empty()
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
    /// What would have moved further.
    apart: BinaryHeap<Reverse<ByPlace<T>>>,
}

/// Most places that a late comer moves.
const NEAR: usize = 64;

impl<T: Placed> Pending<T> {
    fn new() -> Self {
        Self { sorted: Vec::new(), apart: BinaryHeap::new() }
    }

    #[inline]
    fn insert(&mut self, one: T) {
        let (key, mut at) = (one.key(), self.sorted.len());
        if at > NEAR && self.sorted[at - NEAR].key() > key {
            return self.apart.push(Reverse(ByPlace(one)));
        }
        self.sorted.push(one);
        while at > 0 && self.sorted[at - 1].key() > key {
            self.sorted[at] = self.sorted[at - 1];
            at -= 1;
        }
        self.sorted[at] = one;
    }

    /// The earliest time.
    fn first(&self) -> Option<u64> {
        let apart = self.apart.peek().map(|one| one.0.0.time());
        self.sorted.first().map(Placed::time).into_iter().chain(apart).min()
    }

    /// How many come strictly before `until`: from now on all of them lie at the start of `sorted`.
    fn due(&mut self, until: u64) -> usize {
        let due = self.sorted.partition_point(|one| one.time() < until);
        if self.apart.peek().is_none_or(|one| one.0.0.time() >= until) {
            return due;
        }
        let mut merged = Vec::with_capacity(2 * due);
        let mut from = 0;
        while let Some(Reverse(ByPlace(next))) = self.apart.peek().copied().filter(|one| one.0.0.time() < until) {
            self.apart.pop();
            let to = from + self.sorted[from..due].partition_point(|one| one.key() < next.key());
            merged.extend_from_slice(&self.sorted[from..to]);
            merged.push(next);
            from = to;
        }
        merged.extend_from_slice(&self.sorted[from..due]);
        let all = merged.len();
        self.sorted.splice(..due, merged);
        all
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.sorted.iter().chain(self.apart.iter().map(|one| &one.0.0))
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
    /// Measured events by the time at which they are lost from the log.
    lost: BTreeMap<u64, u64>,
    /// What deletes old records, if anything does.
    retention: Option<Box<Retention>>,
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
        self.note(lane as usize, record.visible);
        self.plain[lane as usize].insert(record);
    }

    #[inline]
    fn note(&mut self, lane: usize, append: u64) {
        if append < self.due.at(lane) {
            self.due.set(lane, append);
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
        self.note(append.lane as usize, append.append);
        self.rich[append.lane as usize].insert(append);
    }

    /// Measured events refused or given up without an answer and not stored.
    pub(super) fn not_stored(&self) -> (u64, u64) {
        (self.rejected, self.indeterminate)
    }
}

impl Topic {
    pub(super) fn new(setup: &TopicSetup, warm_up: u64, retention: Option<Retention>) -> Self {
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
            lost: BTreeMap::new(),
            retention: retention.map(Box::new),
        }
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
            column.extend(created.drain(..));
        }
        for event in inbox.void.drain(..) {
            self.log.void.insert(event);
        }
    }

    /// Appends what is due of one partition; when the next of it is.
    fn release_plain(&mut self, pending: &mut Pending<Record>, lane: usize, until: u64) -> u64 {
        let due = pending.due(until);
        let warm_up = self.warm_up;
        self.stored += pending.sorted[..due].iter().filter(|record| record.created >= warm_up).count() as u64;
        self.log.lanes[lane].extend(pending.sorted.drain(..due));
        self.grown(lane, due);
        pending.first().unwrap_or(u64::MAX)
    }

    fn release_rich(&mut self, pending: &mut Pending<Append>, lane: usize, until: u64) -> u64 {
        let due = pending.due(until);
        let log = &mut self.log.lanes[lane];
        for Append { mut record, extra, lost, append, bytes, .. } in pending.sorted.drain(..due) {
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
            log.push(record, extra);
            let first = !record.is_copied()
                || !std::mem::replace(self.copied.entry(EventCode::plain(record.event)).or_default(), true);
            self.stored += u64::from(first && measured);
            self.surplus += u64::from(!first && measured);
        }
        self.grown(lane, due);
        pending.first().unwrap_or(u64::MAX)
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
            let due = pending.due(until);
            taken.extend(pending.sorted.drain(..due).map(|one| (one.visible, one.event)));
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
        assert!(pending.first().is_none() && pending.iter().next().is_none());
        all.sort_unstable();
        assert!(taken == all);
    }
}
