//! The station Topic: takes what publishers append, in time order, and makes it visible in the log.

mod pending;
mod port;

use std::collections::BTreeMap;

use pending::Pending;
pub(super) use port::{Append, NotStored, Port};

use super::earliest::Earliest;
use super::journeys::{Delta, News, Notes};
use super::log::{Column, End, EventCode, Extra, Lane, Log, Record};
use super::retention::Retention;
use super::setup::{Setup, TopicSetup};
use crate::outcome::{Chapter, LossCause, Story, Told, TopicOutcome};
use crate::plan::TopicId;
use crate::time::SimTime;

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
    unpublished: u64,
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
    /// Where it was published in a transaction: its partition, and the number of that.
    watched_in: Option<(usize, u32)>,
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
            unpublished: 0,
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
                NotStored::Unpublished => self.unpublished += u64::from(measured),
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

    /// Measured events that were not stored: refused, given up without an answer, and never published.
    pub(super) fn not_stored(&self) -> [u64; 3] {
        [self.rejected, self.indeterminate, self.unpublished]
    }
}

impl Topic {
    pub(super) fn new(setup: &Setup, index: usize, retention: Option<Retention>) -> Self {
        let (follow, warm_up, watched) = (&setup.follow, setup.warm_up, setup.watched);
        let setup = &setup.topics[index];
        let lane = if setup.transactional { Lane::transactional() } else { Lane::default() };
        let log = Log {
            lanes: vec![lane; setup.partitions as usize],
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
            watched_in: None,
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
    pub(super) fn note(&mut self, inbox: &mut Inbox) {
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
            for Append { append, mut record, extra, lost, bytes, transaction, ends, .. } in appends.iter().copied() {
                if let Some(end) = ends {
                    log.mark(transaction, end, record.visible);
                    if self.watched_in == Some((lane, transaction)) {
                        let told = Told::Decided(end == End::Committed);
                        self.story.push(Chapter { at: SimTime(append), told });
                    }
                    continue;
                }
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
                    self.watched_in = Some((lane, transaction));
                }
                log.push(record, extra, transaction);
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
        let rich = inbox.rich.iter().flat_map(Pending::iter).filter(|append| append.ends.is_none());
        let rich = rich.map(|append| append.record).filter(|r| {
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
