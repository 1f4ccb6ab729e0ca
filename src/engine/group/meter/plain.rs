//! First effects of plain records, counted many at a time: the hot path of a subscription that nothing goes wrong in.

use super::{Meter, Slot, note_intervals};
use crate::engine::journeys::News;
use crate::engine::log::Record;
use crate::outcome::{Defect, LateCause};
use crate::plan::ConsumerId;
use crate::stats::Span;

/// Effects that are counted together.
const BLOCK: usize = 64;

/// A record that was never copied and taken once, with the start and the end of its handler.
#[derive(Clone, Copy, Debug)]
struct Effect {
    record: Record,
    start: u64,
    done: u64,
}

/// Records of a block that came late, and when they were done: most often none.
#[derive(Default)]
struct Misplaced(Vec<(Record, u64)>);

impl Misplaced {
    #[cold]
    fn add(&mut self, record: Record, done: u64) {
        self.0.push((record, done));
    }
}

/// Effects that came one by one and are not counted yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    slot: usize,
    effects: Vec<Effect>,
}

impl Meter {
    /// First effect of a record of one topic that was never copied and taken once. It is counted with others: whoever
    /// looks at what is counted calls [`Meter::count_recent`] first.
    #[inline]
    pub(in crate::engine::group) fn plain_effect(&mut self, slot: usize, record: &Record, start: u64, done: u64) {
        if slot != self.recent.slot || self.recent.effects.len() >= BLOCK {
            self.count_recent();
            self.recent.slot = slot;
        }
        self.recent.effects.push(Effect { record: *record, start, done });
    }

    /// Counts the effects that came one by one.
    pub(in crate::engine::group) fn count_recent(&mut self) {
        if self.recent.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.recent.effects);
        self.plain(self.recent.slot, effects.iter().map(|effect| (&effect.record, effect.start, effect.done)));
        effects.clear();
        self.recent.effects = effects;
    }

    /// First effects of records of one topic that started and ended at these times, were never copied and taken once.
    #[inline]
    pub(in crate::engine::group) fn plain_effects(
        &mut self,
        slot: usize,
        records: &[Record],
        starts: &[u64],
        dones: &[u64],
    ) {
        self.count_recent();
        let times = starts.iter().copied().zip(dones.iter().copied());
        self.plain(slot, records.iter().zip(times).map(|(record, (start, done))| (record, start, done)));
    }

    #[inline]
    fn plain<'a>(&mut self, slot: usize, effects: impl Iterator<Item = (&'a Record, u64, u64)> + Clone) {
        let Slot { code, key_space, key_index, events, .. } = &mut self.slots[slot];
        let judged = effects.clone().map(|(record, _, done)| {
            let place = (record.key < *key_space).then(|| key_index.of(record.key));
            (record, code.sequence(record.event), place, done)
        });
        let mut misplaced = Misplaced::default();
        // A loop of its own for the usual topic, which has one publisher.
        if let [events] = &mut events[..] {
            for (record, sequence, place, done) in judged {
                let late = events.done(sequence, place, done);
                if let Some(late) = late.filter(|_| record.created >= self.warm_up) {
                    self.order.note(late);
                    misplaced.add(*record, done);
                }
            }
        } else if !events.is_empty() {
            for (record, sequence, place, done) in judged {
                let late = events[code.publisher(record.event)].done(sequence, place, done);
                if let Some(late) = late.filter(|_| record.created >= self.warm_up) {
                    self.order.note(late);
                    misplaced.add(*record, done);
                }
            }
        }
        for (record, done) in misplaced.0 {
            // Whoever takes them one by one finds them so in the log.
            let example = self.slots[slot].example(&record, done);
            self.defects.entry(Defect::Late(LateCause::StoredLate)).or_default().note(example);
        }
        if self.notes.speaks() {
            self.note_plain(slot, effects.clone());
        }
        let longest = self.measure(effects.clone());
        if longest >= self.longest() {
            self.note_longest(slot, effects.clone());
        }
        if !self.intervals.is_empty() {
            for (record, _, done) in effects {
                note_intervals(&mut self.intervals, self.warm_up, record.created, done);
            }
        }
    }

    /// Keeps the slowest of plain records, if none before was slower.
    #[cold]
    fn note_longest<'a>(&mut self, slot: usize, effects: impl Iterator<Item = (&'a Record, u64, u64)>) {
        let warm_up = self.warm_up;
        for (record, _, done) in effects.filter(|(record, ..)| record.created >= warm_up) {
            if done - record.created >= self.longest() {
                self.note_slow(slot, record, done);
            }
        }
    }

    /// Tells of journeys of which plain records are parts.
    #[cold]
    fn note_plain<'a>(&mut self, slot: usize, effects: impl Iterator<Item = (&'a Record, u64, u64)>) {
        let Slot { code, first_roots, .. } = &self.slots[slot];
        for (record, _, done) in effects {
            let root = first_roots[code.publisher(record.event)] + u64::from(code.sequence(record.event));
            self.notes.note(done, root, News::Effected(ConsumerId(self.consumer)));
        }
    }

    /// Latency and stages of those that are measured, step by step of the course; the longest latency.
    #[inline(always)]
    fn measure<'a>(&mut self, mut all: impl Iterator<Item = (&'a Record, u64, u64)>) -> u64 {
        let (mut next, mut longest) = (all.next(), 0);
        while let Some(first) = next {
            if let Some((step, span)) = self.course.step_around(first.0.created) {
                let max;
                (next, max) = self.measure_in(step, span, first, &mut all);
                longest = max.max(longest);
            } else {
                self.done += u64::from(first.2 >= self.warm_up);
                next = all.next();
            }
        }
        longest
    }

    /// The same of those that began in one step, which is so long: the first and those that follow it, up to one that began
    /// in another.
    #[inline(always)]
    fn measure_in<'a, T: Iterator<Item = (&'a Record, u64, u64)>>(
        &mut self,
        step: usize,
        span: Span,
        first: T::Item,
        all: &mut T,
    ) -> (Option<T::Item>, u64) {
        let latencies = self.course.part_of(step).unwrap_or(&mut self.latency);
        let (mut effects, mut total, mut publish, mut wait, mut min, mut max) = (0, 0, 0, 0, u64::MAX, 0);
        let mut next = Some(first);
        while let Some((record, start, done)) = next.filter(|next| span.holds(next.0.created)) {
            let latency = done - record.created;
            latencies.tally(latency);
            effects += 1;
            total += latency;
            publish += record.visible - record.created;
            wait += start - record.visible;
            (min, max) = (latency.min(min), latency.max(max));
            next = all.next();
        }
        latencies.account(effects, min, max);
        self.course.add(step, effects, u128::from(total));
        self.deliveries += effects;
        self.attempts += effects;
        self.ledger.effected += effects;
        self.done += effects;
        self.stages.total += u128::from(total);
        self.stages.publish += u128::from(publish);
        self.stages.wait += u128::from(wait);
        (next, max)
    }
}
