//! What a subscription counts at each delivery: latency with its stages, order, duplicates, and where every event ended.

mod plain;

use std::collections::BTreeMap;

use plain::Recent;

use super::order::{Completion, Events, KeyIndex};
use crate::engine::journeys::{News, Notes};
use crate::engine::log::{EventCode, Extra, Record};
use crate::engine::setup::TopicSetup;
use crate::outcome::{
    ConsumerOutcome, DeliveryResult, IntervalOutcome, Ledger, LossCause, OrderOutcome, PathOutcome, StageSums,
    TraceRecord,
};
use crate::plan::{ConsumerId, IdempotencePlan};
use crate::stats::{Course, Histogram};
use crate::time::SimTime;

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
    /// At the member.
    pub(super) arrived: u64,
    /// First attempt's start.
    pub(super) start: u64,
    /// Successful attempt's start.
    pub(super) success: u64,
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
    Filtered,
    Effected,
}

/// A record that was given up, and may come back until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) how: Conclusion,
    event: u32,
    root: u64,
}

impl GivenUp {
    pub(super) fn new(how: Conclusion, record: &Record, extra: Extra) -> Self {
        Self { how, event: record.event, root: extra.lineage.root }
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
    pub(super) duplicates_deliveries: u64,
    pub(super) duplicates_effects: u64,
    pub(super) duplicates_suppressed: u64,
    pub(super) deliveries: u64,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) cut_off: u64,
    pub(super) overlap: u64,
    pub(super) rewinds: u64,
    pub(super) rebalances: u64,
    /// First effects since the warm-up.
    done: u64,
    pub(super) order: OrderOutcome,
    idempotent: Option<IdempotencePlan>,
    slots: Vec<Slot>,
    copies: BTreeMap<(usize, u32), Copies>,
    recent: Recent,
    trace: Option<Vec<TraceRecord>>,
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
    /// By publisher: what has come of its events, where somebody asks.
    events: Vec<Events>,
}

#[derive(Clone, Copy, Debug)]
struct Copies {
    best: Conclusion,
    effected: u64,
    measured: bool,
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
            duplicates_deliveries: 0,
            duplicates_effects: 0,
            duplicates_suppressed: 0,
            deliveries: 0,
            attempts: 0,
            failures: 0,
            cut_off: 0,
            overlap: 0,
            rewinds: 0,
            rebalances: 0,
            done: 0,
            order: OrderOutcome::default(),
            idempotent: setup.idempotent,
            slots: slots.collect(),
            copies: BTreeMap::new(),
            recent: Recent::default(),
            trace: setup.trace.then(Vec::new),
            notes: setup.notes,
            now: 0,
        }
    }

    /// Measurement begins: what is not counted by event starts anew.
    pub(super) fn warm(&mut self) {
        (self.rewinds, self.rebalances) = (0, 0);
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
        let earlier = earlier.or_else(|| {
            self.copies
                .get(&(slot, EventCode::plain(record.event)))
                .and_then(|copies| (copies.best == Conclusion::Effected).then_some(copies.effected))
        });
        if let Some(earlier) = earlier {
            return self.again(record, times, earlier);
        }
        self.first_effect(slot, record, extra, times);
        self.conclude(slot, record, Conclusion::Effected);
        if record.is_copied()
            && let Some(copies) = self.copies.get_mut(&(slot, EventCode::plain(record.event)))
        {
            copies.effected = times.done;
        }
        DeliveryResult::Effect
    }

    fn again(&mut self, record: &Record, times: Times, earlier: u64) -> DeliveryResult {
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
        if record.is_copied() {
            self.conclude_copy(slot, record, how);
        } else if record.created >= self.warm_up {
            count(&mut self.ledger, &mut self.lost, how);
        }
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
    pub(super) fn never_done(&mut self, slot: usize, given_up: GivenUp) {
        self.close(slot, given_up.event, given_up.root, Completion::NEVER);
    }

    /// Takes a conclusion back: a record that was given up, and had not been settled, was delivered again.
    pub(super) fn retract(&mut self, record: &Record, how: Conclusion) {
        if record.is_copied() || record.created < self.warm_up {
            return;
        }
        match how {
            Conclusion::DeadLettered => self.ledger.dead_lettered -= 1,
            Conclusion::Discarded => {
                self.ledger.discarded -= 1;
                if let Some(lost) = self.lost.get_mut(&LossCause::AttemptsExhausted) {
                    *lost -= 1;
                }
            }
            Conclusion::Lost(cause) => {
                *lost_entry(&mut self.ledger, cause) -= 1;
                if let Some(lost) = self.lost.get_mut(&cause) {
                    *lost -= 1;
                }
            }
            _ => unreachable!("only what was given up can come back"),
        }
    }

    fn conclude_copy(&mut self, slot: usize, record: &Record, how: Conclusion) {
        let measured = record.created >= self.warm_up;
        let key = (slot, EventCode::plain(record.event));
        let copies = self.copies.entry(key).or_insert(Copies { best: Conclusion::Waiting, effected: 0, measured });
        copies.best = copies.best.max(how);
    }

    /// Keeps a record of one delivery, where the run was asked to.
    #[inline]
    pub(super) fn trace(&mut self, make: impl FnOnce() -> TraceRecord) {
        if let Some(trace) = &mut self.trace {
            trace.push(make());
        }
    }

    /// Number of the last record (from 1); 0: none.
    pub(super) fn traced(&self) -> u32 {
        self.trace.as_ref().map_or(0, |trace| u32::try_from(trace.len()).expect("traced runs are short"))
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
        for copies in std::mem::take(&mut self.copies).into_values().filter(|copies| copies.measured) {
            count(&mut self.ledger, &mut self.lost, copies.best);
        }
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
        outcome.duplicates_deliveries = self.duplicates_deliveries;
        outcome.duplicates_effects = self.duplicates_effects;
        outcome.duplicates_suppressed = self.duplicates_suppressed;
        outcome.deliveries = self.deliveries;
        outcome.attempts = self.attempts;
        outcome.failures = self.failures;
        outcome.cut_off = self.cut_off;
        outcome.overlap = self.overlap;
        outcome.rewinds = self.rewinds;
        outcome.rebalances = self.rebalances;
        outcome.done = self.done;
        outcome.order = self.order;
    }
}

/// Where the ledger has what the bus did not hand out.
fn lost_entry(ledger: &mut Ledger, cause: LossCause) -> &mut u64 {
    match cause {
        LossCause::Expired => &mut ledger.expired,
        LossCause::OffsetReset => &mut ledger.skipped,
        _ => &mut ledger.acked_lost,
    }
}

fn count(ledger: &mut Ledger, lost: &mut BTreeMap<LossCause, u64>, how: Conclusion) {
    match how {
        Conclusion::Lost(cause) => {
            *lost_entry(ledger, cause) += 1;
            *lost.entry(cause).or_default() += 1;
        }
        Conclusion::Waiting => ledger.waiting += 1,
        Conclusion::InFlight => ledger.in_flight += 1,
        Conclusion::Filtered => ledger.filtered += 1,
        Conclusion::Effected => ledger.effected += 1,
        Conclusion::DeadLettered => ledger.dead_lettered += 1,
        Conclusion::Skipped => {
            ledger.skipped += 1;
            *lost.entry(LossCause::CommittedBeforeEffect).or_default() += 1;
        }
        Conclusion::Acknowledged => {
            ledger.skipped += 1;
            *lost.entry(LossCause::AckedBeforeEffect).or_default() += 1;
        }
        Conclusion::Discarded => {
            ledger.discarded += 1;
            *lost.entry(LossCause::AttemptsExhausted).or_default() += 1;
        }
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
