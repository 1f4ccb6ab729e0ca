//! The station Topic: takes what publishers append, in time order, and makes it visible in the log.

use std::collections::BTreeMap;

use super::log::{Column, EventCode, Extra, Lane, Log, Record};
use super::setup::TopicSetup;
use crate::outcome::TopicOutcome;

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
#[derive(Clone, Debug, Default)]
pub(super) struct Port {
    /// Records to append.
    pub(super) appends: Vec<Append>,
    /// Key and creation of the events numbered since the port was last emptied.
    pub(super) events: Vec<(u32, u64)>,
    /// Events numbered so far.
    pub(super) numbered: u32,
    /// Measured events among those created since the port was last emptied.
    pub(super) created: u64,
    /// Events given up before they were stored: number, whether measured, how.
    pub(super) not_stored: Vec<(u32, bool, NotStored)>,
}

impl Port {
    /// Numbers one more event.
    pub(super) fn number(&mut self, key: u32, created: u64, measured: bool) -> u32 {
        self.events.push((key, created));
        self.created += u64::from(measured);
        self.numbered += 1;
        self.numbered - 1
    }

    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.events.is_empty() && self.not_stored.is_empty()
    }
}

/// The publish side and the log of one topic.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// What readers see.
    pub(super) log: Log,
    plain: Vec<Vec<Record>>,
    rich: Vec<Vec<Append>>,
    /// Earliest append still pending.
    next: u64,
    /// Copied events, and whether a copy has been stored.
    copied: BTreeMap<u32, bool>,
    warm_up: u64,
    created: u64,
    rejected: u64,
    indeterminate: u64,
    stored: u64,
    bytes: u64,
    bytes_each: u64,
}

impl Topic {
    pub(super) fn new(setup: &TopicSetup, warm_up: u64) -> Self {
        let lanes = setup.partitions as usize;
        let log = Log {
            lanes: vec![Lane::default(); lanes],
            code: EventCode::new(setup.publishers),
            numbered: vec![0; setup.publishers],
            keys: vec![Column::default(); if setup.judged { setup.publishers } else { 0 }],
            created: vec![Column::default(); if setup.readers.len() > 1 { setup.publishers } else { 0 }],
            void: std::collections::BTreeSet::new(),
            appended: 0,
            last_lane: 0,
        };
        let (plain, rich) = if setup.rich { (Vec::new(), vec![Vec::new(); lanes]) } else { (vec![Vec::new(); lanes], Vec::new()) };
        Self {
            log,
            plain,
            rich,
            next: u64::MAX,
            copied: BTreeMap::new(),
            warm_up,
            created: 0,
            rejected: 0,
            indeterminate: 0,
            stored: 0,
            bytes: 0,
            bytes_each: 0,
        }
    }

    /// When the topic next appends something.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes one record of a publisher whose records are visible when appended and carry no extra. The hot path.
    #[inline]
    pub(super) fn accept_plain(&mut self, lane: u32, record: Record) {
        self.next = self.next.min(record.visible);
        let pending = &mut self.plain[lane as usize];
        let mut at = pending.len();
        pending.push(record);
        while at > 0 && (pending[at - 1].visible, pending[at - 1].event) > (record.visible, record.event) {
            pending[at] = pending[at - 1];
            at -= 1;
        }
        pending[at] = record;
    }

    /// Notes the numbering of plain events: key and creation in order, how many are measured, bytes of each.
    pub(super) fn numbered_plain(&mut self, publisher: usize, keys: &[u32], times: &[u64], measured: u64, bytes: u64) {
        self.note(publisher, keys.iter().copied().zip(times.iter().copied()));
        self.created += measured;
        self.bytes_each = bytes;
    }

    /// Notes key and creation of a publisher's next events, where someone needs them.
    fn note(&mut self, publisher: usize, events: impl ExactSizeIterator<Item = (u32, u64)> + Clone) {
        let first = self.log.numbered[publisher];
        let end = first + publisher_number(events.len());
        self.log.numbered[publisher] = end;
        if let Some(keys) = self.log.keys.get_mut(publisher) {
            keys.extend(events.clone().map(|event| event.0));
        }
        if let Some(created) = self.log.created.get_mut(publisher) {
            created.extend(events.map(|event| event.1));
        }
    }

    /// Takes all that a publisher has for this topic.
    pub(super) fn absorb(&mut self, publisher: usize, port: &mut Port) {
        if port.is_empty() {
            return;
        }
        self.note(publisher, port.events.iter().copied());
        port.events.clear();
        self.created += std::mem::take(&mut port.created);
        for (number, measured, how) in port.not_stored.drain(..) {
            self.log.void.insert(self.log.code.event(publisher_number(publisher), number));
            if measured {
                match how {
                    NotStored::Rejected => self.rejected += 1,
                    NotStored::Indeterminate => self.indeterminate += 1,
                }
            }
        }
        for append in port.appends.drain(..) {
            self.accept(append);
        }
    }

    fn accept(&mut self, append: Append) {
        if self.rich.is_empty() {
            self.bytes += u64::from(append.bytes);
            return self.accept_plain(append.lane, append.record);
        }
        self.next = self.next.min(append.append);
        if append.record.is_copied() {
            self.copied.entry(EventCode::plain(append.record.event)).or_insert(false);
        }
        let pending = &mut self.rich[append.lane as usize];
        let order = |a: &Append| (a.append, a.record.event);
        let mut at = pending.len();
        while at > 0 && order(&pending[at - 1]) > order(&append) {
            at -= 1;
        }
        pending.insert(at, append);
    }

    /// Appends everything that is due strictly before `until`.
    pub(super) fn release(&mut self, until: u64) {
        if self.next >= until {
            return;
        }
        self.next = u64::MAX;
        for lane in 0..self.plain.len() {
            self.release_plain(lane, until);
        }
        for lane in 0..self.rich.len() {
            self.release_rich(lane, until);
        }
    }

    fn release_plain(&mut self, lane: usize, until: u64) {
        let pending = &mut self.plain[lane];
        let Some(first) = pending.first() else { return };
        if first.visible >= until {
            self.next = self.next.min(first.visible);
            return;
        }
        let mut due = pending.len();
        while pending[due - 1].visible >= until {
            due -= 1;
        }
        let warm_up = self.warm_up;
        self.stored += pending[..due].iter().filter(|record| record.created >= warm_up).count() as u64;
        self.log.appended += due as u64;
        self.log.last_lane = u32::try_from(lane).expect("partitions fit 32 bits");
        self.log.lanes[lane].extend(pending.drain(..due));
        if let Some(first) = pending.first() {
            self.next = self.next.min(first.visible);
        }
    }

    fn release_rich(&mut self, lane: usize, until: u64) {
        let due = self.rich[lane].partition_point(|append| append.append < until);
        let log = &mut self.log.lanes[lane];
        for Append { mut record, extra, bytes, .. } in self.rich[lane].drain(..due) {
            record.visible = record.visible.max(log.last_visible());
            log.push(record, extra);
            self.bytes += u64::from(bytes);
            let first = !record.is_copied()
                || !std::mem::replace(self.copied.entry(EventCode::plain(record.event)).or_default(), true);
            self.stored += u64::from(first && record.created >= self.warm_up);
        }
        if due > 0 {
            self.log.appended += due as u64;
            self.log.last_lane = u32::try_from(lane).expect("partitions fit 32 bits");
        }
        if let Some(first) = self.rich[lane].first() {
            self.next = self.next.min(first.append);
        }
    }

    /// Distinct measured events that are on their way into the log and not stored yet.
    pub(super) fn pending(&self) -> u64 {
        let plain = self.plain.iter().flatten().filter(|r| r.created >= self.warm_up).count();
        let mut copied = std::collections::BTreeSet::new();
        let rich = self.rich.iter().flatten().map(|append| append.record).filter(|r| {
            let event = EventCode::plain(r.event);
            r.created >= self.warm_up
                && (!r.is_copied() || (self.copied.get(&event) != Some(&true) && copied.insert(event)))
        });
        (plain + rich.count()) as u64
    }

    /// Measured events refused or given up without an answer and not stored.
    pub(super) fn not_stored(&self) -> (u64, u64) {
        (self.rejected, self.indeterminate)
    }

    /// The topic's own part of the outcome.
    pub(super) fn outcome(&self) -> TopicOutcome {
        let records: Vec<u64> = self.log.lanes.iter().map(Lane::end).collect();
        let bytes = self.bytes + if self.rich.is_empty() { records.iter().sum::<u64>() * self.bytes_each } else { 0 };
        TopicOutcome { created: self.created, stored: self.stored, records, bytes, ..TopicOutcome::default() }
    }
}

/// A publisher's position as it stands in event numbers.
pub(super) fn publisher_number(publisher: usize) -> u32 {
    u32::try_from(publisher).expect("publishers fit 32 bits")
}
