//! What a subscription counts at each delivery: latency with its stages, order, duplicates, and where every event ended.

mod copies;
mod plain;

use std::collections::BTreeMap;

use copies::Copies;
use plain::Recent;

use super::order::{Completion, Events, KeyIndex};
use crate::engine::journeys::{News, Notes};
use crate::engine::log::{EventCode, Extra, Record};
use crate::engine::setup::TopicSetup;
use crate::outcome::{
    Again, Chapter, ConsumerOutcome, Defect, Defects, DeliveryResult, EventId, Example, IntervalOutcome, LateCause,
    Ledger, LossCause, OrderOutcome, PathOutcome, Slowest, StageSums, Story, Told, TraceRecord, TwiceCause,
};
use crate::plan::{ConsumerId, IdempotencePlan};
use crate::stats::{Course, Histogram};
use crate::time::{SimSpan, SimTime};

/// When a record reached a member, and its handler began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handed {
    pub(super) arrived: u64,
    pub(super) start: u64,
}

/// The times of one delivery that ended in success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Of the first delivery, where this is a later one.
    pub(super) first: Option<Handed>,
    /// Why it was handed out again before it was settled, if it was: in this delivery, or after it.
    pub(super) again: Option<Again>,
    /// At the member.
    pub(super) arrived: u64,
    /// First attempt's start.
    pub(super) start: u64,
    /// Successful attempt's start.
    pub(super) success: u64,
    /// Whether it is one of a record of a retry topic.
    pub(super) retried: bool,
    /// Whether the group has gone back to read it again.
    pub(super) replayed: bool,
    /// Its end.
    pub(super) done: u64,
}

/// How an event ended for the subscription, the better the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conclusion {
    /// It is not in the log any more.
    Lost(LossCause),
    Waiting,
    InFlight,
    /// The position moved past it.
    Skipped,
    /// Acknowledged before an effect that never came.
    Acknowledged,
    Discarded,
    DeadLettered,
    /// Its transaction was aborted: for who waits for that it has never been.
    Aborted,
    Filtered,
    Effected,
}

impl Conclusion {
    /// What it is called, if it is a loss.
    fn cause(self) -> Option<LossCause> {
        match self {
            Self::Lost(cause) => Some(cause),
            Self::Skipped => Some(LossCause::CommittedBeforeEffect),
            Self::Acknowledged => Some(LossCause::AckedBeforeEffect),
            Self::Discarded => Some(LossCause::AttemptsExhausted),
            Self::Waiting | Self::InFlight | Self::DeadLettered | Self::Aborted | Self::Filtered | Self::Effected => {
                None
            }
        }
    }
}

/// A record that was given up, and may come back until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) how: Conclusion,
    slot: usize,
    event: u32,
    root: u64,
}

impl GivenUp {
    pub(super) fn new(how: Conclusion, slot: usize, record: &Record, extra: Extra) -> Self {
        Self { how, slot, event: record.event, root: extra.lineage.root }
    }
}

/// Counters of one subscription.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Meter {
    consumer: u32,
    pub(super) warm_up: u64,
    /// Of what is not in a part of the course.
    pub(super) latency: Histogram,
    pub(super) course: Course,
    pub(super) stages: StageSums,
    pub(super) path: Option<PathOutcome>,
    pub(super) intervals: Vec<(u64, u64, IntervalOutcome)>,
    pub(super) ledger: Ledger,
    pub(super) lost: BTreeMap<LossCause, u64>,
    defects: Defects,
    slowest: Option<Slowest>,
    /// Whether records of one partition and key are done in the order of the log, as long as nothing goes wrong.
    in_order: bool,
    pub(super) duplicates_deliveries: u64,
    pub(super) duplicates_effects: u64,
    pub(super) duplicates_suppressed: u64,
    aborted_reads: u64,
    pub(super) deliveries: u64,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) cut_off: u64,
    pub(super) overlap: u64,
    pub(super) rewinds: u64,
    pub(super) rebalances: u64,
    pub(super) expelled: BTreeMap<Again, u64>,
    /// First effects since the warm-up.
    done: u64,
    pub(super) order: OrderOutcome,
    idempotent: Option<IdempotencePlan>,
    slots: Vec<Slot>,
    copies: BTreeMap<(usize, u32), Copies>,
    /// Whether some of these are events that were published to retry topics; copies published so.
    retries: bool,
    pub(super) retried: u64,
    pub(super) dead_letters: u64,
    recent: Recent,
    trace: Option<Vec<TraceRecord>>,
    /// The event of which alone it tells, and what.
    watched: Option<EventId>,
    story: Story,
    /// Of those after it, by key: the first that took effect, and when.
    overtakers: BTreeMap<u32, (SimTime, u32)>,
    /// What is told of journeys, and what time it is for those that end without an effect.
    notes: Notes,
    now: u64,
}

/// What the meter keeps for one subscribed topic.
#[derive(Clone, Debug)]
struct Slot {
    topic: u32,
    code: EventCode,
    key_space: u32,
    key_index: KeyIndex,
    /// By publisher: the number of its first journey, where records carry no extras.
    first_roots: Vec<u64>,
    /// By publisher: whether only the relay of its outbox can store an event twice.
    relayed: Vec<bool>,
    /// By publisher: what has come of its events, where somebody asks.
    events: Vec<Events>,
}

impl Slot {
    fn id(&self, event: u32) -> EventId {
        EventId {
            topic: self.topic,
            publisher: u32::try_from(self.code.publisher(event)).expect("publishers fit 32 bits"),
            number: self.code.sequence(event),
        }
    }

    /// The event of a record, of which something was known at a time.
    fn example(&self, record: &Record, at: u64) -> Example {
        let event = self.id(record.event);
        Example { at: SimTime(at), event, key: record.key, created: SimTime(record.created), run: 0 }
    }
}

/// What the meter is made for.
pub(super) struct MeterSetup<'a> {
    pub(super) consumer: usize,
    pub(super) warm_up: u64,
    pub(super) course: Course,
    pub(super) topics: Vec<(usize, &'a TopicSetup)>,
    pub(super) intervals: Vec<(SimTime, SimTime)>,
    pub(super) idempotent: Option<IdempotencePlan>,
    pub(super) path: bool,
    pub(super) trace: bool,
    pub(super) notes: Notes,
    pub(super) in_order: bool,
    /// Tells of this event alone: by topic, and number.
    pub(super) watched: Option<EventId>,
}

impl Meter {
    pub(super) fn new(setup: MeterSetup<'_>) -> Self {
        let slots = setup.topics.iter().map(|(index, topic)| {
            let judged = topic.judged;
            let key_index = KeyIndex::new(topic.partitions, topic.key_space);
            Slot {
                topic: u32::try_from(*index).expect("topics fit 32 bits"),
                code: EventCode::new(topic.publishers),
                key_space: if judged { topic.key_space } else { 0 },
                events: vec![
                    Events::new(if judged { key_index.size() } else { 0 });
                    if topic.has_columns() { topic.publishers } else { 0 }
                ],
                key_index,
                relayed: topic.relayed.clone(),
                first_roots: topic.first_roots.clone(),
            }
        });
        Self {
            consumer: u32::try_from(setup.consumer).expect("consumers fit 32 bits"),
            warm_up: setup.warm_up,
            latency: Histogram::default(),
            course: setup.course,
            stages: StageSums::default(),
            path: setup.path.then(PathOutcome::default),
            intervals: setup.intervals.iter().map(|(from, to)| (from.0, to.0, IntervalOutcome::default())).collect(),
            ledger: Ledger::default(),
            lost: BTreeMap::new(),
            defects: Defects::new(),
            slowest: None,
            in_order: setup.in_order,
            duplicates_deliveries: 0,
            duplicates_effects: 0,
            duplicates_suppressed: 0,
            aborted_reads: 0,
            deliveries: 0,
            attempts: 0,
            failures: 0,
            cut_off: 0,
            overlap: 0,
            rewinds: 0,
            rebalances: 0,
            expelled: BTreeMap::new(),
            done: 0,
            order: OrderOutcome::default(),
            idempotent: setup.idempotent,
            slots: slots.collect(),
            copies: BTreeMap::new(),
            retries: false,
            retried: 0,
            dead_letters: 0,
            recent: Recent::default(),
            trace: (setup.trace || setup.watched.is_some()).then(Vec::new),
            watched: setup.watched,
            story: Story::new(),
            overtakers: BTreeMap::new(),
            notes: setup.notes,
            now: 0,
        }
    }

    /// Measurement begins: what is not counted by event starts anew.
    pub(super) fn warm(&mut self) {
        (self.rewinds, self.rebalances) = (0, 0);
        self.expelled.clear();
    }

    /// Recalls what is known of the keys of records that will soon take effect.
    pub(super) fn recall(&self, slot: usize, records: &[Record]) {
        let state = &self.slots[slot];
        let judged = || records.iter().filter(|record| record.key < state.key_space);
        if let [events] = state.events.as_slice() {
            events.recall(judged().map(|record| state.key_index.of(record.key)));
        }
    }

    /// What has come of a publisher's events (by subscribed topic and publisher).
    pub(in crate::engine) fn events(&mut self, topic: usize, publisher: usize) -> Option<&mut Events> {
        self.count_recent();
        let slot = self.slots.iter_mut().find(|slot| slot.topic as usize == topic)?;
        slot.events.get_mut(publisher)
    }

    /// What ends from now on without an effect ends at this time.
    pub(super) fn at(&mut self, now: u64) {
        self.now = now;
    }

    /// What is to be told of journeys.
    pub(in crate::engine) fn notes(&mut self) -> &mut Notes {
        self.count_recent();
        &mut self.notes
    }

    /// A handler has had its effect on a record. `earlier`: when this stored record had taken effect before, if it had.
    pub(super) fn effect(
        &mut self,
        slot: usize,
        record: &Record,
        extra: Extra,
        times: Times,
        earlier: Option<u64>,
    ) -> DeliveryResult {
        self.count_recent();
        let same = earlier.is_some();
        let copies = self.copies_of(slot, record).copied();
        let known = copies.filter(|copies| copies.best == Some(Conclusion::Effected)).map(|copies| copies.effected);
        if let Some(earlier) = earlier.or(known) {
            let state = &self.slots[slot];
            let cause = match copies {
                _ if times.replayed => TwiceCause::Replayed,
                _ if same => TwiceCause::HandedOut(times.again.unwrap_or_default()),
                Some(Copies { retried: true, again, .. }) => {
                    again.or(times.again).map_or(TwiceCause::RetryTopic, TwiceCause::HandedOut)
                }
                _ if state.relayed[state.code.publisher(record.event)] => TwiceCause::PublishedAgain,
                _ => TwiceCause::StoredTwice,
            };
            return self.again(slot, record, times, earlier, cause);
        }
        self.first_effect(slot, record, extra, times);
        self.conclude(slot, record, Conclusion::Effected);
        if let Some(copies) = self.copies_of(slot, record) {
            copies.effected = times.done;
            copies.again = copies.again.or(times.again);
        }
        DeliveryResult::Effect
    }

    fn again(&mut self, slot: usize, record: &Record, times: Times, earlier: u64, cause: TwiceCause) -> DeliveryResult {
        let stopped = self.idempotent.is_some_and(|plan| {
            // A store of its own is checked when the handler starts: a duplicate that started before the effect was
            // recorded passes.
            times.done.saturating_sub(earlier) <= plan.window.0 && (plan.same_transaction || times.start >= earlier)
        });
        let measured = u64::from(record.created >= self.warm_up);
        if stopped {
            self.duplicates_suppressed += measured;
            return DeliveryResult::Suppressed;
        }
        self.duplicates_effects += measured;
        if measured > 0 {
            let example = self.slots[slot].example(record, times.done);
            self.defects.entry(Defect::Twice(cause)).or_default().note(example);
        }
        DeliveryResult::DuplicateEffect
    }

    fn first_effect(&mut self, slot: usize, record: &Record, extra: Extra, times: Times) {
        let state = &mut self.slots[slot];
        if let Some(events) = state.events.get_mut(state.code.publisher(record.event)) {
            let sequence = state.code.sequence(record.event);
            if self.notes.speaks() {
                let consumer = ConsumerId(self.consumer);
                let what = if events.is_open(sequence) { News::Effected(consumer) } else { News::Late(consumer) };
                self.notes.note(times.done, extra.lineage.root, what);
            }
            let place = (record.key < state.key_space).then(|| state.key_index.of(record.key));
            let late = events.done(sequence, place, times.done);
            if let Some(late) = late.filter(|_| record.created >= self.warm_up) {
                self.order.note(late);
                let since = times.done.saturating_sub(late.time());
                let cause = if times.retried {
                    LateCause::RetryTopic
                } else if times.replayed {
                    LateCause::Replayed
                } else if let (Some(again), Some(_)) = (times.again, times.first) {
                    LateCause::HandedOut(again)
                } else if times.success > times.start || times.first.is_some() {
                    LateCause::Retried
                } else if self.in_order || record.visible >= since {
                    LateCause::StoredLate
                } else {
                    LateCause::Overtaken
                };
                let example = self.slots[slot].example(record, times.done);
                self.defects.entry(Defect::Late(cause)).or_default().note(example);
            }
        }
        self.done += u64::from(times.done >= self.warm_up);
        if !self.intervals.is_empty() {
            note_intervals(&mut self.intervals, self.warm_up, record.created, times.done);
        }
        if record.created < self.warm_up {
            return;
        }
        let latency = times.done - record.created;
        if let Some(step) = self.course.step_of(record.created) {
            self.course.add(step, 1, u128::from(latency));
            self.course.part_of(step).unwrap_or(&mut self.latency).record(latency);
        }
        if latency >= self.longest() {
            self.note_slow(slot, record, times.done);
        }
        let sent = extra.sent.clamp(record.created, record.visible);
        let arrived = times.arrived.max(record.visible);
        // What lies between the first handler's start and the last arrival, a later delivery waits for the failure, the
        // crash or the lost connection of an earlier one. (One that came before that start has only waited for its worker.)
        let first = times.first.filter(|first| first.start <= arrived).unwrap_or(Handed { arrived, start: arrived });
        let reached = first.arrived.max(record.visible);
        self.stages.total += u128::from(latency);
        self.stages.buffer += u128::from(sent - record.created);
        self.stages.publish += u128::from(record.visible - sent);
        self.stages.dispatch += u128::from(reached - record.visible);
        self.stages.wait += u128::from(first.start - reached) + u128::from(times.start - arrived);
        self.stages.retry += u128::from(arrived - first.start) + u128::from(times.success - times.start);
        if let Some(path) = &mut self.path {
            path.latency.record(times.done - extra.lineage.created);
            path.sum += u128::from(times.done - extra.lineage.created);
        }
    }

    /// The longest latency so far.
    #[inline]
    fn longest(&self) -> u64 {
        self.slowest.map_or(0, |slowest| slowest.latency.0)
    }

    /// No event that was noted before had a longer latency than this one.
    #[cold]
    fn note_slow(&mut self, slot: usize, record: &Record, done: u64) {
        let example = self.slots[slot].example(record, done);
        let found = Slowest { latency: SimSpan(done - record.created), example };
        self.slowest = Some(self.slowest.map_or(found, |slowest| slowest.or(found)));
    }

    /// The subscription is done with a record that takes no effect.
    pub(super) fn miss(&mut self, slot: usize, record: &Record, extra: Extra, how: Conclusion) {
        let closed = if how == Conclusion::Filtered { Completion::NOT_WANTED } else { Completion::NEVER };
        // Where one copy of an event is gone, another may still come.
        if !(record.is_copied() && matches!(how, Conclusion::Lost(_))) {
            self.close(slot, record.event, extra.lineage.root, closed);
        }
        self.conclude(slot, record, how);
    }

    /// Notes how a stored record ended for the subscription, as far as is known: what was given up may come back, until it
    /// is settled.
    pub(super) fn conclude(&mut self, slot: usize, record: &Record, how: Conclusion) {
        if self.watched.is_some() {
            self.tell_end(slot, record, how);
        }
        if record.is_copied() || self.copies_of(slot, record).is_some() {
            self.conclude_copy(slot, record, how);
        } else if record.created >= self.warm_up {
            *entry_of(&mut self.ledger, how) += 1;
            if let Some(cause) = how.cause() {
                self.note_loss(cause, self.slots[slot].example(record, self.now));
            }
        }
    }

    /// An effect was of an event whose transaction has been aborted since, or had been.
    pub(super) fn aborted_read(&mut self, slot: usize, record: &Record, done: u64) {
        if record.created >= self.warm_up {
            self.aborted_reads += 1;
            let example = self.slots[slot].example(record, done);
            self.defects.entry(Defect::AbortedRead).or_default().note(example);
        }
    }

    fn note_loss(&mut self, cause: LossCause, example: Example) {
        *self.lost.entry(cause).or_default() += 1;
        self.defects.entry(Defect::Lost(cause)).or_default().note(example);
    }

    fn close(&mut self, slot: usize, event: u32, root: u64, completion: Completion) {
        let state = &mut self.slots[slot];
        if let Some(events) = state.events.get_mut(state.code.publisher(event))
            && events.close(state.code.sequence(event), completion)
        {
            self.notes.note(self.now, root, News::Missed(ConsumerId(self.consumer)));
        }
    }

    /// An event that was given up will not come back any more.
    pub(super) fn never_done(&mut self, given_up: GivenUp) {
        self.close(given_up.slot, given_up.event, given_up.root, Completion::NEVER);
    }

    /// Takes a conclusion back: a record that was given up, and had not been settled, was delivered again.
    pub(super) fn retract(&mut self, slot: usize, record: &Record, how: Conclusion) {
        if record.is_copied() || record.created < self.warm_up || self.copies_of(slot, record).is_some() {
            return;
        }
        debug_assert!(
            matches!(how, Conclusion::DeadLettered | Conclusion::Discarded | Conclusion::Skipped | Conclusion::Lost(_)),
            "{how:?} cannot be taken back"
        );
        *entry_of(&mut self.ledger, how) -= 1;
        if let Some(cause) = how.cause() {
            if let Some(lost) = self.lost.get_mut(&cause) {
                *lost -= 1;
            }
            let event = self.slots[slot].id(record.event);
            if let Some(seen) = self.defects.get_mut(&Defect::Lost(cause)) {
                seen.retract(event);
            }
        }
    }

    /// Keeps a record of one delivery, where the run was asked to: its number (from 1); 0: none is kept.
    pub(super) fn trace(&mut self, record: TraceRecord) -> u32 {
        let TraceRecord { topic, publisher, event: number, .. } = record;
        let event = EventId { topic, publisher, number };
        let watched = self.watched.is_none_or(|watched| watched == event);
        if self.watched.is_some() && record.result == DeliveryResult::Effect {
            self.note_overtaking(&record, event, watched);
        }
        let Some(trace) = self.trace.as_mut().filter(|_| watched) else { return 0 };
        trace.push(record);
        u32::try_from(trace.len()).expect("traced runs are short")
    }

    /// An event took effect in a run that watches one.
    #[cold]
    fn note_overtaking(&mut self, record: &TraceRecord, event: EventId, is_watched: bool) {
        let TraceRecord { key, done, .. } = *record;
        if is_watched {
            let overtaker = self.overtakers.get(&key).filter(|(at, _)| *at < done);
            self.story.extend(overtaker.map(|(at, number)| {
                let by = EventId { number: *number, ..event };
                Chapter { at: *at, told: Told::Overtaken { consumer: self.consumer, by } }
            }));
        } else if self
            .watched
            .is_some_and(|it| it < event && (it.topic, it.publisher) == (event.topic, event.publisher))
            && key < u32::MAX
        {
            let first = self.overtakers.entry(key).or_insert((done, event.number));
            *first = (*first).min((done, event.number));
        }
    }

    /// How the event that is watched ended without a handler.
    #[cold]
    fn tell_end(&mut self, slot: usize, record: &Record, how: Conclusion) {
        if self.watched != Some(self.slots[slot].id(record.event)) {
            return;
        }
        let consumer = self.consumer;
        let told = match how {
            Conclusion::Waiting => Told::Left(consumer, false),
            Conclusion::InFlight => Told::Left(consumer, true),
            Conclusion::Filtered => Told::Unwanted(consumer),
            Conclusion::Aborted => Told::PassedOver(consumer),
            // A handler ended so, or there was an effect.
            Conclusion::Discarded | Conclusion::DeadLettered | Conclusion::Effected => return,
            Conclusion::Lost(_) | Conclusion::Skipped | Conclusion::Acknowledged => {
                Told::Missed(consumer, how.cause().expect("it is lost"))
            }
        };
        self.story.push(Chapter { at: SimTime(self.now), told });
    }

    /// The group goes on without a member.
    pub(super) fn expelled(&mut self, member: usize, why: Again, now: u64) {
        *self.expelled.entry(why).or_default() += 1;
        self.tell_of_group(now, |consumer| Told::Expelled { consumer, member: number(member), why });
    }

    /// A partition of the topic at a slot is a member's from now on.
    #[inline]
    pub(super) fn given(&mut self, (slot, partition): (usize, u32), member: usize, now: u64) {
        let topic = self.slots.get(slot).map(|slot| slot.topic);
        if self.watched.is_some_and(|watched| Some(watched.topic) == topic) {
            self.tell_of_group(now, |consumer| Told::Given { consumer, partition, member: number(member) });
        }
    }

    fn tell_of_group(&mut self, now: u64, told: impl FnOnce(u32) -> Told) {
        if self.watched.is_some() {
            self.story.push(Chapter { at: SimTime(now), told: told(self.consumer) });
        }
    }

    /// What there was to tell of the event that is watched.
    pub(in crate::engine) fn take_story(&mut self) -> Story {
        std::mem::take(&mut self.story)
    }

    /// Notes when the delivery of a record (by its number) was settled.
    pub(super) fn settled(&mut self, number: u32, now: u64) {
        let record = self.trace.as_mut().and_then(|trace| trace.get_mut((number as usize).checked_sub(1)?));
        if let Some(record) = record {
            record.settled = SimTime(now);
        }
    }

    /// Whether deliveries are recorded one by one.
    pub(super) fn traces(&self) -> bool {
        self.trace.is_some()
    }

    /// A trace record with what the meter knows.
    pub(super) fn trace_of(&self, slot: usize, partition: u32, offset: u64, record: &Record) -> TraceRecord {
        let state = &self.slots[slot];
        TraceRecord {
            consumer: self.consumer,
            topic: state.topic,
            member: 0,
            retry: 0,
            partition,
            offset,
            publisher: u32::try_from(state.code.publisher(record.event)).expect("publishers fit 32 bits"),
            event: state.code.sequence(record.event),
            key: record.key,
            created: SimTime(record.created),
            visible: SimTime(record.visible),
            start: SimTime::NEVER,
            done: SimTime::NEVER,
            settled: SimTime::NEVER,
            result: DeliveryResult::CutOff,
        }
    }

    /// The records of all deliveries so far.
    pub(in crate::engine) fn take_trace(&mut self) -> Vec<TraceRecord> {
        self.trace.take().unwrap_or_default()
    }

    /// Writes all counters into an outcome. Copied events are settled here: each counts once, by the best of its copies.
    pub(super) fn finish(&mut self, outcome: &mut ConsumerOutcome) {
        self.count_recent();
        self.count_copies();
        // Each other stage is summed where it happens; what is left of the total is the successful attempts.
        let rest =
            self.stages.buffer + self.stages.publish + self.stages.dispatch + self.stages.wait + self.stages.retry;
        self.stages.service = self.stages.total - rest;
        self.course.parts().iter().for_each(|part| self.latency.merge(part));
        let judged = self.slots.iter().any(|slot| slot.key_space > 0);
        self.order.judged = if judged { self.latency.count() } else { 0 };
        outcome.latency = std::mem::take(&mut self.latency);
        outcome.course = std::mem::take(&mut self.course);
        outcome.stages = self.stages;
        outcome.path = self.path.take();
        outcome.intervals = self.intervals.drain(..).map(|(_, _, interval)| interval).collect();
        outcome.ledger = self.ledger;
        outcome.lost = std::mem::take(&mut self.lost);
        outcome.defects = std::mem::take(&mut self.defects);
        outcome.defects.retain(|_, seen| seen.count > 0);
        outcome.slowest = self.slowest;
        outcome.duplicates_deliveries = self.duplicates_deliveries;
        outcome.duplicates_effects = self.duplicates_effects;
        outcome.duplicates_suppressed = self.duplicates_suppressed;
        outcome.aborted_reads = self.aborted_reads;
        outcome.deliveries = self.deliveries;
        outcome.attempts = self.attempts;
        outcome.failures = self.failures;
        outcome.retried = self.retried;
        outcome.dead_letters = self.dead_letters;
        outcome.cut_off = self.cut_off;
        outcome.overlap = self.overlap;
        outcome.rewinds = self.rewinds;
        outcome.rebalances = self.rebalances;
        outcome.expelled = std::mem::take(&mut self.expelled);
        outcome.done = self.done;
        outcome.order = self.order;
    }
}

/// A member as it is told of.
fn number(member: usize) -> u32 {
    u32::try_from(member).expect("members fit 32 bits")
}

/// Where the ledger counts what ended so.
fn entry_of(ledger: &mut Ledger, how: Conclusion) -> &mut u64 {
    match how {
        Conclusion::Lost(LossCause::Expired) => &mut ledger.expired,
        Conclusion::Lost(LossCause::OffsetReset) | Conclusion::Skipped | Conclusion::Acknowledged => {
            &mut ledger.skipped
        }
        Conclusion::Lost(_) => &mut ledger.acked_lost,
        Conclusion::Waiting => &mut ledger.waiting,
        Conclusion::InFlight => &mut ledger.in_flight,
        Conclusion::Aborted => &mut ledger.aborted,
        Conclusion::Filtered => &mut ledger.filtered,
        Conclusion::Effected => &mut ledger.effected,
        Conclusion::DeadLettered => &mut ledger.dead_lettered,
        Conclusion::Discarded => &mut ledger.discarded,
    }
}

#[cold]
fn note_intervals(intervals: &mut [(u64, u64, IntervalOutcome)], warm_up: u64, created: u64, done: u64) {
    for (from, to, outcome) in intervals {
        outcome.done += u64::from((*from..*to).contains(&done));
        if created >= warm_up && (*from..*to).contains(&created) {
            outcome.latency.record(done - created);
            outcome.sum += u128::from(done - created);
        }
    }
}
