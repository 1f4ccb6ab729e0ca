//! The station Join: when *all* subscriptions of an event have had its effect; and what nobody needs any more.

use super::group::Group;
use super::group::order::{Completion, Known};
use super::log::Column;
use super::setup::TopicSetup;
use super::topic::Topic;
use crate::outcome::TopicOutcome;
use crate::stats::Histogram;

/// Events looked at in one go.
const BLOCK: usize = 512;

/// Fewest events between two looks for what may be given up.
const TRIM: u32 = 1024;

/// Follows the events of one topic through all groups that read it.
#[derive(Clone, Debug)]
pub(super) struct Join {
    topic: usize,
    readers: Vec<usize>,
    /// By publisher: events before this have been seen to their end.
    at: Vec<u32>,
    /// By publisher: once that many have, it is worth looking for what may be given up.
    trim_at: Vec<u32>,
    warm_up: u64,
    converged: Histogram,
    sum: u128,
    unwanted: u64,
    latest: Vec<Completion>,
    never: Vec<bool>,
}

impl Join {
    pub(super) fn new(topic: usize, setup: &TopicSetup, warm_up: u64) -> Self {
        Self {
            topic,
            readers: setup.readers.clone(),
            at: vec![0; setup.publishers],
            trim_at: vec![TRIM; setup.publishers],
            warm_up,
            converged: Histogram::default(),
            sum: 0,
            unwanted: 0,
            latest: Vec::new(),
            never: Vec::new(),
        }
    }

    /// Follows events as far as all groups have finished them, and gives up what is known of them.
    pub(super) fn advance(&mut self, topics: &mut [Topic], groups: &mut [Group]) {
        let topic = &mut topics[self.topic];
        for publisher in 0..self.at.len() {
            while self.block(publisher, topic, groups) {}
            if self.at[publisher] >= self.trim_at[publisher] {
                self.trim(publisher, topic, groups);
            }
        }
    }

    /// Gives up what is known of events that no later effect can be compared with.
    fn trim(&mut self, publisher: usize, topic: &mut Topic, groups: &mut [Group]) {
        let at = self.at[publisher];
        let (mut keep, mut kept) = (at, 0);
        for reader in &self.readers {
            if let Some(events) = groups[*reader].meter().events(self.topic, publisher) {
                let column = events.known();
                keep = keep.min(needed(column, at));
                kept = kept.max(column.from(column.base()).len());
            }
        }
        for reader in &self.readers {
            if let Some(events) = groups[*reader].meter().events(self.topic, publisher) {
                events.trim(keep);
            }
        }
        if let Some(created) = topic.log.created.get_mut(publisher) {
            created.trim(keep);
        }
        // To look costs as much as is kept: not again before as much again is behind.
        self.trim_at[publisher] = at + TRIM.max(u32::try_from(kept / 4).expect("event numbers fit 31 bits"));
    }

    /// One block of events; whether there may be more.
    fn block(&mut self, publisher: usize, topic: &mut Topic, groups: &mut [Group]) -> bool {
        let at = self.at[publisher];
        let mut limit = BLOCK;
        self.latest.clear();
        self.latest.resize(BLOCK, Completion::NOT_WANTED);
        self.never.clear();
        self.never.resize(BLOCK, false);
        for reader in &self.readers {
            let Some(events) = groups[*reader].meter().events(self.topic, publisher) else { return false };
            let done = events.known().from(at);
            limit = limit.min(done.len());
            for (i, known) in done[..limit].iter().enumerate() {
                let done = &known.completion;
                if *done == Completion::OPEN {
                    limit = i;
                    break;
                }
                self.latest[i] = self.latest[i].max(*done);
                self.never[i] |= *done == Completion::NEVER;
            }
        }
        self.count(publisher, topic, limit);
        self.at[publisher] = at + u32::try_from(limit).expect("a block");
        if limit == BLOCK {
            return true;
        }
        // An event that was never stored holds up nobody.
        topic.log.void.remove(&topic.log.code.event(super::topic::publisher_number(publisher), self.at[publisher])) && {
            self.at[publisher] += 1;
            true
        }
    }

    fn count(&mut self, publisher: usize, topic: &Topic, limit: usize) {
        let Some(created) = topic.log.created.get(publisher) else { return };
        let created = created.from(self.at[publisher]);
        let events = created.iter().zip(&self.latest).zip(&self.never).take(limit);
        for ((created, latest), never) in events {
            if *created < self.warm_up || *never {
                continue;
            }
            let Some(done) = latest.time() else {
                self.unwanted += 1;
                continue;
            };
            let latency = done.saturating_sub(*created);
            self.converged.record(latency);
            self.sum += u128::from(latency);
        }
    }

    /// Writes what was seen into the topic's outcome.
    pub(super) fn finish(&mut self, outcomes: &mut [TopicOutcome]) {
        let outcome = &mut outcomes[self.topic];
        if self.readers.len() < 2 {
            return;
        }
        outcome.not_converged = outcome.stored.saturating_sub(self.converged.count() + self.unwanted);
        outcome.converged = std::mem::take(&mut self.converged);
        outcome.converged_sum = self.sum;
    }
}

/// The first event of a publisher that a late one may still be compared with. Of those before `at`, which are all done,
/// that is one that was done after the earliest that has overtaken some event at or after `at`: it lies between the two.
fn needed(column: &Column<Known>, at: u32) -> u32 {
    let done = column.from(at).iter().map(|known| known.completion).filter(|done| *done > Completion::NEVER);
    let Some(overtaker) = done.min() else { return at };
    let kept = column.from(column.base());
    // Events that were never stored may lie beyond its end.
    let before = &kept[..kept.len().min((at - column.base()) as usize)];
    let first = before.iter().position(|known| known.completion >= overtaker).unwrap_or(before.len());
    column.base() + u32::try_from(first).expect("event numbers fit 31 bits")
}
