//! Retry topics of a group: what has failed is published there as a further copy of its event, and tried again when its
//! wait is over. A partition of a retry topic is read up to its head that is not due yet.
//!
//! ```text
//! topic --> handler --fails--> client --> retry topic --due--> handler --fails--> ... --> dead letters, or nothing
//! ```
//!
//! A record of a retry topic stands for an event of another one: who counts, judges or draws goes by that event.

use std::collections::BTreeMap;

use super::Core;
use super::meter::Handed;
use super::run::Item;
use crate::engine::log::{Extra, Log, Record};
use crate::plan::ConsumerPlan;

/// A copy that could not be published is published again after so long, ns: an assumption (see [`crate::plan::RetryTopics`]).
pub(super) const PUBLISH_AGAIN: u64 = 1_000_000_000;

/// What a record of a retry topic stands for.
#[derive(Clone, Copy, Debug)]
struct Origin {
    subject: Subject,
    /// When it first reached a member, and its handler began.
    first: Handed,
    /// Times that it has been published to retry topics, this one included.
    hops: u32,
    /// Number of the attempt that failed last.
    attempt: u32,
    /// When its wait is over.
    due: u64,
}

/// The event that a record stands for: where it was published, its record there, and what that carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) slot: usize,
    pub(super) record: Record,
    pub(super) extra: Extra,
}

/// What a group knows of its retry topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    /// Lanes from this on are those of retry topics.
    first_lane: usize,
    /// By slot of a subscribed topic: the slots of its retry topics.
    slots: Vec<Vec<usize>>,
    /// By failed attempts: which of them.
    steps: Vec<usize>,
    /// By slot: what the records of a retry topic stand for, by their number.
    origins: Vec<BTreeMap<u32, Origin>>,
    /// By lane of a retry topic: what stands before this is forgotten.
    pruned: Vec<u64>,
}

impl Retries {
    /// Of a consumer that reads so many partitions besides.
    pub(super) fn new(consumer: &ConsumerPlan, first_lane: usize) -> Self {
        let Some(retries) = &consumer.retry_topics else { return Self::default() };
        let mut next = consumer.subscribes.len();
        let slots = retries.topics.iter().map(|own| {
            next += own.len();
            (next - own.len()..next).collect()
        });
        let slots = slots.collect();
        Self {
            first_lane,
            slots,
            steps: consumer.retry.retry_topics(),
            origins: vec![BTreeMap::new(); next],
            pruned: Vec::new(),
        }
    }

    /// Which of the retry topics of the topic at a slot another slot is, from 1; 0: it is none.
    pub(super) fn number(&self, slot: usize, other: usize) -> u32 {
        let at = self.slots.get(slot).and_then(|own| own.iter().position(|retry| *retry == other));
        at.map_or(0, |at| u32::try_from(at + 1).expect("few"))
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether a lane is one of a retry topic.
    #[inline]
    pub(super) fn holds(&self, lane: usize) -> bool {
        self.any() && lane >= self.first_lane
    }
}

impl Core {
    #[inline]
    fn origin(&self, logs: &[&Log], lane: usize, offset: u64) -> Option<&Origin> {
        if !self.retries.holds(lane) {
            return None;
        }
        let slot = self.lanes[lane].slot;
        let number = logs[slot].code.sequence(self.log_lane(logs, lane).at(offset).event);
        Some(self.retries.origins[slot].get(&number).expect("kept as long as its record"))
    }

    /// What a record stands for.
    #[inline]
    pub(super) fn subject(&self, logs: &[&Log], lane: usize, offset: u64) -> Subject {
        match self.origin(logs, lane, offset) {
            Some(origin) => origin.subject,
            None => {
                let mut record = *self.log_lane(logs, lane).at(offset);
                if self.committed_only {
                    record.visible = self.seen_at(logs, lane, offset);
                }
                Subject { slot: self.lanes[lane].slot, record, extra: self.extra(logs, lane, offset) }
            }
        }
    }

    /// When the wait of a record is over; 0: it does not wait.
    pub(super) fn due(&self, logs: &[&Log], lane: usize, offset: u64) -> u64 {
        self.origin(logs, lane, offset).map_or(0, |origin| origin.due)
    }

    /// A handler takes a record that has been published to a retry topic: its first delivery was elsewhere, and it arrived
    /// when its wait was over. The number of the last attempt.
    pub(super) fn taken_again(&self, logs: &[&Log], item: &mut Item) -> Option<u32> {
        let origin = self.origin(logs, item.lane, item.offset)?;
        item.first = Some(origin.first);
        item.arrived = item.arrived.max(origin.due);
        Some(origin.attempt)
    }

    /// Whether an event whose attempt has failed is to be tried again from a retry topic.
    pub(super) fn is_retried(&self, logs: &[&Log], item: Item) -> bool {
        let hops = self.origin(logs, item.lane, item.offset).map_or(0, |origin| origin.hops);
        self.retries.any() && hops.saturating_add(1) < self.fates.attempts()
    }

    /// A member publishes a copy of an event whose attempt has failed; its worker waits for the answer. `handed`:
    /// when this delivery reached the member.
    pub(super) fn publish_copy(
        &mut self,
        logs: &[&Log],
        (member, worker): (usize, u32),
        item: Item,
        (handed, attempt): (Handed, u32),
        (failed, now): (u64, u64),
    ) {
        let hops = self.origin(logs, item.lane, item.offset).map_or(0, |origin| origin.hops);
        let subject = self.subject(logs, item.lane, item.offset);
        let step = self.retries.steps[(hops as usize).min(self.retries.steps.len() - 1)];
        let slot = self.retries.slots[subject.slot][step];
        let wait = self.fates.backoff(self.fates.id(subject.slot, subject.record.event), hops + 1);
        let Subject { record, extra, .. } = subject;
        let what = (record.key, extra.event_type, 1024);
        let number = self.outputs.publish(member, self.topics[slot], now, what, extra.lineage, Some(worker));
        if let Some(number) = number {
            let origin = Origin {
                subject,
                first: item.first.unwrap_or(handed),
                hops: hops + 1,
                attempt,
                due: failed.saturating_add(wait),
            };
            self.retries.origins[slot].insert(number, origin);
        }
    }

    /// Forgets what the records of a retry topic stood for that nobody needs any more: those before `keep`.
    pub(super) fn prune(&mut self, logs: &[&Log], lane: usize, keep: u64) {
        let at = lane - self.retries.first_lane;
        if at >= self.retries.pruned.len() {
            self.retries.pruned.resize(at + 1, 0);
        }
        let (slot, log_lane) = (self.lanes[lane].slot, self.log_lane(logs, lane));
        for offset in self.retries.pruned[at].max(log_lane.base())..keep.min(log_lane.end()) {
            let record = log_lane.at(offset);
            // Another copy of it may come.
            if !record.is_copied() {
                self.retries.origins[slot].remove(&logs[slot].code.sequence(record.event));
            }
        }
        self.retries.pruned[at] = keep;
    }

    /// Lanes of retry topics.
    pub(super) fn retry_lanes(&self) -> std::ops::Range<usize> {
        if self.retries.any() { self.retries.first_lane..self.lanes.len() } else { 0..0 }
    }
}
