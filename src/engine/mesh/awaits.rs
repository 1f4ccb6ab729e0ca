//! Handlers that wait for an event which descends from what they are about: who waits, what has come, and when it is seen.
//!
//! ```text
//! topic --visible--> every process that awaits its events --network--> the handler whose journey it belongs to
//! ```
//!
//! Each process reads the topics itself, as with a queue for replies of its own. A handler hears what becomes visible after
//! it has begun; what comes before it waits for it is kept. Each event ends one wait of a handler.
//!
//! Any event of its journey may be what a handler waits for, but where a service has several at work in one journey (it is
//! called twice, or again), what descends from one of them is an answer to that one alone.

use super::program::Awaited;
use super::{Event, Mesh, StrandKey, VisitKey};
use crate::dist::{About, Dist};
use crate::engine::lineage::{Lineage, asked, asked_by};
use crate::engine::log::EventCode;
use crate::engine::topic::Topic;
use crate::plan::Plan;
use crate::random::fnv1a;

/// A topic whose events are awaited, as it is read.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    pub(super) topic: usize,
    /// Tells its draws from those of other topics.
    number: u64,
    /// From the bus to a process, ns.
    network: Dist,
    /// By partition: the next record.
    heads: Vec<u64>,
    /// When the next record becomes visible, as far as is known.
    next: u64,
}

/// An event that a handler has heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    ear: usize,
    event_type: u16,
    /// When its process sees it.
    at: u64,
}

/// A wait at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaiting {
    /// Tells it from others of its strand.
    number: u32,
    /// The step, by number in the program.
    step: usize,
    since: u64,
    /// The event that will end it, once that is known.
    event: Option<Heard>,
}

/// Those in one journey that may wait for events.
#[derive(Clone, Debug, Default)]
pub(super) struct Listening {
    handlers: Vec<VisitKey>,
    /// All that have begun since somebody listens: each with the one before it, of which it descends.
    asked: Vec<(u64, u64)>,
}

impl Listening {
    /// A handler, and all that it descends from, the last first. Of those that were over before anybody listened the last is
    /// known.
    fn line(&self, from: u64) -> impl Iterator<Item = u64> {
        let before = |asked: &u64| self.asked.iter().find(|(it, _)| it == asked).map(|(_, before)| *before);
        std::iter::successors(Some(from), before).take_while(|asked| *asked != 0)
    }

    /// Whether an event that descends from `from` may be meant for a handler.
    fn is_for(&self, from: u64, (actor, handler): (usize, u64)) -> bool {
        let mut others = self.line(from).filter(|it| asked_by(*it, actor));
        self.line(from).any(|it| it == handler) || others.all(|it| self.line(handler).any(|above| above == it))
    }
}

impl Ear {
    /// For a topic of a plan.
    pub(super) fn new(plan: &Plan, topic: usize) -> Self {
        let of = &plan.topics[topic];
        let (number, network) = (fnv1a(of.name.as_bytes()), of.store.network.clone());
        Self { topic, number, network, heads: vec![0; of.partitions as usize], next: u64::MAX }
    }

    /// Finds out when there is something to hear.
    fn listen(&mut self, topic: &Topic) {
        let lanes = topic.log.lanes.iter().zip(&self.heads);
        let times = lanes.filter_map(|(lane, head)| lane.get(*head).map(|record| record.visible));
        self.next = times.min().unwrap_or(u64::MAX);
    }
}

impl Awaited {
    /// Whether an event of this type fails the step, or ends it well; none: it is another event.
    fn hears(&self, ear: usize, event_type: u16) -> Option<Result<(), ()>> {
        if ear != self.ear {
            None
        } else if self.unless == Some(event_type) {
            Some(Err(()))
        } else {
            self.event_type.is_none_or(|wanted| wanted == event_type).then_some(Ok(()))
        }
    }
}

impl Mesh {
    /// Looks for what the topics have that are awaited.
    pub(in crate::engine) fn listen(&mut self, topics: &[Topic]) {
        for ear in &mut self.ears {
            ear.listen(&topics[ear.topic]);
        }
    }

    /// When an event becomes visible that may be awaited.
    pub(super) fn next_heard(&self) -> u64 {
        self.ears.iter().map(|ear| ear.next).min().unwrap_or(u64::MAX)
    }

    /// Lowest offset of a topic's partition that is still to be heard.
    pub(in crate::engine) fn keep(&self, topic: usize, partition: usize) -> u64 {
        self.ears.iter().find(|ear| ear.topic == topic).map_or(u64::MAX, |ear| ear.heads[partition])
    }

    /// Hears all that becomes visible at `now`, in the order of topics and partitions.
    pub(super) fn hear_events(&mut self, topics: &[Topic], now: u64) {
        for ear in 0..self.ears.len() {
            if self.ears[ear].next > now {
                continue;
            }
            let topic = &topics[self.ears[ear].topic];
            for (lane, partition) in topic.log.lanes.iter().zip(0..) {
                let head = self.ears[ear].heads[partition as usize];
                let end = lane.visible_end(head, now + 1);
                self.ears[ear].heads[partition as usize] = end;
                for offset in head..end {
                    let extra = topic.log.extra(partition, offset);
                    let event = EventCode::plain(lane.at(offset).event);
                    self.hear_event(ear, (event, extra.event_type), extra.lineage, now);
                }
            }
            self.ears[ear].listen(topic);
        }
    }

    /// An event becomes visible: the handlers at work of its journey that care will see it.
    fn hear_event(&mut self, ear: usize, (event, event_type): (u32, u16), lineage: Lineage, now: u64) {
        let Some(listening) = self.listening.get(&lineage.root) else { return };
        let meant = |key: &VisitKey| {
            let visit = &self.visits[*key];
            listening.is_for(lineage.asked, (visit.actor, visit.asked))
        };
        for key in listening.handlers.iter().copied().filter(meant).collect::<Vec<_>>() {
            let visit = &mut self.visits[key];
            let actor = &self.actors[visit.actor];
            let cares = actor.program.awaits.iter().any(|step| step.hears(ear, event_type).is_some());
            if !cares || visit.known.contains(&(ear, event)) {
                continue;
            }
            // A second copy of an event is the same event.
            visit.known.push((ear, event));
            let mut draws = actor.streams.awaits.part(self.ears[ear].number).at(u64::from(event));
            let delay = self.rounding.up(self.ears[ear].network.whole(&mut draws, About::default()));
            self.offer(key, Heard { ear, event_type, at: now.saturating_add(delay) }, now);
        }
    }

    /// An event is for the first strand of a handler that waits for such a one, or is kept.
    fn offer(&mut self, key: VisitKey, heard: Heard, now: u64) {
        let visit = &self.visits[key];
        let awaits = &self.actors[visit.actor].program.awaits;
        let waits = |strand: &&StrandKey| {
            let wait = self.strands[**strand].awaits.filter(|wait| wait.event.is_none());
            wait.is_some_and(|wait| awaits[wait.step].hears(heard.ear, heard.event_type).is_some())
        };
        match visit.waiting.iter().find(waits).copied() {
            Some(strand) => self.will_see(strand, heard, now),
            None => self.visits[key].heard.push(heard),
        }
    }

    /// A strand that waits will see an event that ends its wait.
    fn will_see(&mut self, key: StrandKey, heard: Heard, now: u64) {
        let strand = &mut self.strands[key];
        let Some(wait) = &mut strand.awaits else { return };
        wait.event = Some(heard);
        let (number, step) = (wait.number, wait.step);
        let steps = &self.actors[self.visits[strand.visit].actor].program.awaits;
        let how = steps[step].hears(heard.ear, heard.event_type).unwrap_or(Ok(()));
        self.schedule(heard.at.max(now), Event::Seen(key, number, how));
    }

    /// A handler that may wait for events begins to hear them.
    pub(super) fn begin_to_hear(&mut self, key: VisitKey) {
        let visit = &mut self.visits[key];
        if !self.actors[visit.actor].program.awaits.is_empty() {
            self.asking += 1;
            let before = std::mem::replace(&mut visit.asked, asked(visit.actor, self.asking));
            let listening = self.listening.entry(self.roots[visit.root].lineage.root).or_default();
            listening.handlers.push(key);
            listening.asked.push((visit.asked, before));
        }
    }

    /// A handler is over, or cut off: it hears no more.
    pub(super) fn hear_no_more(&mut self, key: VisitKey) {
        let visit = &self.visits[key];
        let root = self.roots[visit.root].lineage.root;
        if let Some(listening) = self.listening.get_mut(&root) {
            listening.handlers.retain(|other| *other != key);
            if listening.handlers.is_empty() {
                self.listening.remove(&root);
            }
        }
    }

    /// A strand comes to an await step.
    pub(super) fn begin_await(&mut self, key: StrandKey, step: usize, now: u64) {
        self.awaited = self.awaited.wrapping_add(1);
        let (number, visit) = (self.awaited, self.strands[key].visit);
        self.strands[key].awaits = Some(Awaiting { number, step, since: now, event: None });
        let visit = &mut self.visits[visit];
        visit.waiting.push(key);
        let actor = &mut self.actors[visit.actor];
        let awaited = &actor.program.awaits[step];
        let timeout = awaited.timeout;
        let there = visit.heard.iter().position(|heard| awaited.hears(heard.ear, heard.event_type).is_some());
        let heard = there.map(|at| visit.heard.remove(at));
        actor.outcome.handler.awaits.begun += u64::from(now >= self.warm_up);
        if let Some(heard) = heard {
            self.will_see(key, heard, now);
        }
        if let Some(timeout) = timeout {
            self.schedule(now.saturating_add(timeout), Event::Unseen(key, number));
        }
    }

    /// A strand sees the event that it waits for, or the one that fails it.
    pub(super) fn seen(&mut self, key: StrandKey, number: u32, how: Result<(), ()>, now: u64) {
        let Some(since) = self.end_await(key, number) else { return };
        if since >= self.warm_up {
            let ledger = &mut self.actors[self.visits[self.strands[key].visit].actor].outcome.handler.awaits;
            match how {
                Ok(()) => {
                    ledger.arrived += 1;
                    ledger.wait.record(now - since);
                    ledger.wait_sum += u128::from(now - since);
                }
                Err(()) => ledger.refused += 1,
            }
        }
        self.wake(key, how, now);
    }

    /// A strand has waited too long; what it would have seen later, another wait may see.
    pub(super) fn unseen(&mut self, key: StrandKey, number: u32, now: u64) {
        let late = self.strands.get(key).and_then(|strand| strand.awaits.filter(|wait| wait.number == number)?.event);
        let Some(since) = self.end_await(key, number) else { return };
        let visit = self.strands[key].visit;
        let actor = self.visits[visit].actor;
        self.actors[actor].outcome.handler.awaits.timeouts += u64::from(since >= self.warm_up);
        if let Some(late) = late {
            self.offer(visit, late, now);
        }
        self.wake(key, Err(()), now);
    }

    /// A strand does not wait any more, if it still did; since when it had.
    fn end_await(&mut self, key: StrandKey, number: u32) -> Option<u64> {
        let strand = self.strands.get_mut(key)?;
        let wait = strand.awaits.take_if(|wait| wait.number == number)?;
        self.visits[strand.visit].waiting.retain(|other| *other != key);
        Some(wait.since)
    }

    /// A wait ends with its strand.
    pub(super) fn drop_await(&mut self, key: StrandKey) {
        let Some(Awaiting { number, since, .. }) = self.strands[key].awaits else { return };
        self.end_await(key, number);
        let actor = self.visits[self.strands[key].visit].actor;
        self.actors[actor].outcome.handler.awaits.left += u64::from(since >= self.warm_up);
    }

    /// Waits that have no end at the end of the run.
    pub(super) fn close_awaits(&mut self) {
        for strand in self.strands.values() {
            if strand.awaits.is_some_and(|wait| wait.since >= self.warm_up) {
                self.actors[self.visits[strand.visit].actor].outcome.handler.awaits.open += 1;
            }
        }
    }

    /// Whoever waits is known to its handler, and that to its journey.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn audit_awaits(&self) -> Result<(), String> {
        for (key, strand) in self.strands.iter().filter(|(_, strand)| strand.awaits.is_some()) {
            let visit = &self.visits[strand.visit];
            let listening = self.listening.get(&self.roots[visit.root].lineage.root);
            let heard = listening.is_some_and(|listening| listening.handlers.contains(&strand.visit));
            if !heard || !visit.waiting.contains(&key) {
                return Err(format!("a strand waits for an event and does not hear: {strand:?}"));
            }
        }
        let waits = |key: &StrandKey| self.strands.get(*key).is_some_and(|strand| strand.awaits.is_some());
        let waiting = self.visits.values().find(|visit| !visit.waiting.iter().all(waits));
        let gone = self.listening.values().flat_map(|it| &it.handlers).any(|key| !self.visits.contains_key(*key));
        match waiting {
            Some(visit) => Err(format!("a handler does not wait for what it seems to: {visit:?}")),
            None if gone => Err("a handler that is over hears events".into()),
            None => Ok(()),
        }
    }
}
