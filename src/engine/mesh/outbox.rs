//! Outboxes: rows that handlers write in their local transactions, and the relay that publishes them.
//!
//! ```text
//! handler --rows--> transaction --commit--> outbox --relay--> client --requests--> topic
//!                                              ^                |
//!                                              +--- answers ----+
//! ```
//!
//! A relay's client never gives up, so a row ends when it is acknowledged, and is published again only by a relay that was lost
//! before it had noted that. When that may happen is known before the run: so is which rows may be stored more than once.
//!
//! Not modelled is a relay that remembers the highest number that it has seen and passes over rows that are committed later
//! under a lower one: one that polls marks the rows themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Mesh, VisitKey};
use crate::dist::About;
use crate::engine::client::{Answer, Message};
use crate::engine::log::EventCode;
use crate::engine::setup::{Rounding, Setup};
use crate::engine::timeline::occurrences;
use crate::outcome::{OutboxOutcome, ProducerOutcome};
use crate::plan::{Effect, FaultTarget, OutboxPlan, Party, Plan, Relay};
use crate::random::Stream;

/// A row that is written and not committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Its number, where rows are numbered as they are written.
    number: u32,
    /// The port of its topic.
    pub(super) port: usize,
    /// What it holds; the event has no number yet.
    pub(super) message: Message,
}

/// A row that is committed.
#[derive(Clone, Copy, Debug)]
struct Row {
    port: usize,
    message: Message,
    /// When the relay can read it.
    readable: u64,
    /// A client has it.
    out: bool,
    /// The relay has heard that it is stored, and whether it, or one before it, ever had.
    acknowledged: bool,
    heard: bool,
    /// It is in the log, or on its way there.
    stored: bool,
}

/// The outbox of one actor, with its relay.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    relay: Relay,
    delays: Stream,
    rounding: Rounding,
    /// Rows that are not forgotten, in the order in which they are published.
    rows: BTreeMap<u32, Row>,
    /// Rows numbered so far.
    numbered: u32,
    /// A tailing relay: the next row, and when all rows so far can be read.
    cursor: u32,
    readable: u64,
    /// When it looks next, or next stores its position.
    tick: u64,
    /// Rows that its client has, and those that are acknowledged and not forgotten; those of the last look.
    out: u32,
    acknowledged: usize,
    looked: Vec<u32>,
    /// The process that publishes the rows of the last look.
    pub(super) host: Option<usize>,
    /// Crashes of the relay that are not over; before when it does nothing.
    down: u32,
    stands_still: u64,
    /// When it may be lost, in order.
    losses: Vec<u64>,
    outcome: OutboxOutcome,
}

impl Outbox {
    pub(super) fn new(plan: &Plan, setup: &Setup, who: Party, name: &str) -> Option<Self> {
        let OutboxPlan { relay, .. } = plan.outbox_of(who)?.clone();
        let polls = matches!(relay, Relay::Poll { .. });
        let takes = |target| match target {
            FaultTarget::Relay(party) => party == who,
            FaultTarget::Service(id, _) => polls && who == Party::Service(id),
            _ => false,
        };
        let crashes = plan.faults.iter().filter(|fault| fault.effect == Effect::Crash && takes(fault.target));
        let mut losses: Vec<u64> =
            crashes.flat_map(|fault| occurrences(plan, fault, setup.seed)).map(|occurrence| occurrence.from).collect();
        losses.sort_unstable();
        Some(Self {
            relay,
            delays: Stream::named(setup.seed, &format!("{name}/outbox")),
            rounding: setup.rounding,
            rows: BTreeMap::new(),
            numbered: 0,
            cursor: 0,
            readable: 0,
            tick: 0,
            out: 0,
            acknowledged: 0,
            looked: Vec::new(),
            host: None,
            down: 0,
            stands_still: 0,
            losses,
            outcome: OutboxOutcome::default(),
        })
    }

    fn number(&mut self) -> u32 {
        self.numbered = self.numbered.checked_add(1).expect("rows of a run fit 32 bits");
        self.numbered - 1
    }

    /// A row is written inside a transaction.
    pub(super) fn write(&mut self, port: usize, message: Message) -> Written {
        let number = if self.polls() { self.number() } else { 0 };
        Written { number, port, message }
    }

    fn polls(&self) -> bool {
        matches!(self.relay, Relay::Poll { .. })
    }

    /// The transaction of a row is committed.
    fn commit(&mut self, written: Written, now: u64) {
        let Written { number, port, message } = written;
        let number = match &self.relay {
            Relay::Poll { .. } => {
                if self.out == 0 && self.rows.is_empty() {
                    self.tick = self.next_tick(now);
                }
                number
            }
            Relay::Tail { delay, .. } => {
                let (index, stream) = (u64::from(self.numbered), self.delays);
                let about = About { index, stream, ..About::default() };
                let delay = self.rounding.up(delay.whole(&mut stream.at(index), about));
                self.readable = self.readable.max(now.saturating_add(delay));
                self.number()
            }
        };
        let row = Row {
            port,
            message: Message { waiter: Some(number), ..message },
            readable: self.readable,
            out: false,
            acknowledged: false,
            heard: false,
            stored: false,
        };
        self.rows.insert(number, row);
        let waiting = (self.rows.len() - self.acknowledged) as u64;
        self.outcome.rows_max = self.outcome.rows_max.max(waiting);
    }

    /// The next multiple of the relay's interval after `now`.
    fn next_tick(&self, now: u64) -> u64 {
        let every = match self.relay {
            Relay::Poll { every, .. } | Relay::Tail { store_every: every, .. } => every.0.max(1),
        };
        (now / every).saturating_add(1).saturating_mul(every)
    }

    /// When the relay next does something by itself.
    pub(super) fn next(&self) -> u64 {
        if self.down > 0 || self.rows.is_empty() {
            return u64::MAX;
        }
        let next = match self.relay {
            Relay::Poll { .. } if self.out > 0 => return u64::MAX,
            Relay::Poll { .. } => self.tick,
            Relay::Tail { .. } => {
                let read = self.rows.get(&self.cursor).map_or(u64::MAX, |row| row.readable);
                let store = self.rows.first_key_value().is_some_and(|(_, row)| row.acknowledged);
                if store { read.min(self.tick) } else { read }
            }
        };
        next.max(self.stands_still)
    }

    /// Takes rows to be published now, in order.
    fn take(&mut self, now: u64, host: Option<usize>) -> Vec<(usize, Message)> {
        let numbers: Vec<u32> = match self.relay {
            Relay::Poll { batch, .. } => {
                self.host = host;
                let batch = if host.is_some() { batch as usize } else { 0 };
                self.tick = self.next_tick(now);
                self.rows.keys().take(batch).copied().collect()
            }
            Relay::Tail { .. } => {
                if self.tick <= now {
                    self.store(now);
                }
                let due = self.rows.range(self.cursor..).take_while(|(_, row)| row.readable <= now);
                due.map(|(number, _)| *number).collect()
            }
        };
        self.looked.clone_from(&numbers);
        let may_be_lost = self.losses.last().is_some_and(|last| *last > now);
        let mut taken = Vec::with_capacity(numbers.len());
        for number in numbers {
            let row = self.rows.get_mut(&number).expect("just listed");
            (row.out, row.acknowledged) = (true, false);
            if may_be_lost || row.stored {
                row.message.event = EventCode::copied(row.message.event);
            }
            self.out += 1;
            self.cursor = self.cursor.max(number + 1);
            taken.push((row.port, row.message));
        }
        taken
    }

    /// Stores how far all is acknowledged, and forgets what lies before.
    fn store(&mut self, now: u64) {
        self.tick = self.next_tick(now);
        while let Some(row) = self.rows.first_entry().filter(|row| row.get().acknowledged) {
            row.remove();
            self.acknowledged -= 1;
        }
    }

    /// An answer to a row. Whether it is the first.
    fn answered(&mut self, message: &Message, now: u64) -> bool {
        let number = message.waiter.expect("a relay waits for every answer");
        let row = self.rows.get_mut(&number).expect("a row is kept until it is answered");
        (row.out, row.acknowledged, row.stored) = (false, true, true);
        let first = !std::mem::replace(&mut row.heard, true);
        (self.out, self.acknowledged) = (self.out - 1, self.acknowledged + 1);
        match self.relay {
            Relay::Poll { .. } if self.out == 0 => {
                // All of them are marked at once.
                (self.host, self.acknowledged) = (None, 0);
                for number in self.looked.drain(..) {
                    self.rows.remove(&number);
                }
                self.tick = self.next_tick(now);
            }
            Relay::Poll { .. } => {}
            Relay::Tail { .. } => self.tick = self.next_tick(now),
        }
        first
    }

    /// The relay is lost, and what it has not noted. `unsent`: what its client had not sent.
    fn lose(&mut self, unsent: &BTreeSet<(usize, u32)>, now: u64) {
        for row in self.rows.values_mut().filter(|row| row.out || row.acknowledged) {
            let sent = !unsent.contains(&(row.port, row.message.sequence));
            row.stored |= row.acknowledged || sent;
            (row.out, row.acknowledged) = (false, false);
        }
        (self.out, self.acknowledged, self.host) = (0, 0, None);
        // A pause ends with who stood still, and nothing is done in the past.
        self.stands_still = now;
        self.cursor = self.rows.first_key_value().map_or(self.numbered, |(number, _)| *number);
        self.tick = self.next_tick(now);
    }

    /// What is left at the end of the run: rows that no client has sent.
    fn unsent(&self, port: usize, warm_up: u64, in_client: impl Iterator<Item = u32>) -> u64 {
        let waits = |row: &&Row| row.port == port && !row.out && !row.stored && row.message.created >= warm_up;
        let waiting = self.rows.values().filter(waits).count() as u64;
        let known: BTreeMap<u32, &Row> =
            self.rows.values().filter(|row| row.port == port).map(|row| (row.message.sequence, row)).collect();
        let unsent =
            |sequence: &u32| known.get(sequence).is_some_and(|row| !row.stored && row.message.created >= warm_up);
        waiting + in_client.filter(unsent).count() as u64
    }

    fn close(&mut self, warm_up: u64) -> OutboxOutcome {
        let waits = |row: &&Row| !row.heard && row.message.created >= warm_up;
        self.outcome.rows_end = self.rows.values().filter(waits).count() as u64;
        self.outcome.clone()
    }
}

impl Mesh {
    /// When some relay next does something.
    pub(super) fn next_relay(&self) -> u64 {
        let relays = self.publishers.iter().filter_map(|actor| self.actors[*actor].outbox.as_deref());
        relays.map(Outbox::next).min().unwrap_or(u64::MAX)
    }

    /// The rows of a handler are committed: their events exist from now on.
    pub(super) fn commit_rows(&mut self, key: VisitKey, now: u64) {
        let visit = &mut self.visits[key];
        let rows = std::mem::take(&mut visit.rows);
        if rows.is_empty() {
            return;
        }
        let (actor, begun) = (visit.actor, self.roots[visit.root].created);
        let created = visit.fact.unwrap_or(begun);
        let measured = created >= self.warm_up;
        let is_service = self.is_service(actor);
        let it = &mut self.actors[actor];
        let outbox = it.outbox.as_mut().expect("who writes rows has an outbox");
        for mut row in rows {
            let Some((event, sequence)) = it.outputs.number(row.port, created, measured) else { return };
            row.message = Message { event, sequence, created, ..row.message };
            it.outputs.promise(row.port, &row.message, now);
            it.outcome.publish.created += u64::from(measured && is_service);
            outbox.commit(row, now);
        }
    }

    /// A relay does what is due.
    pub(super) fn relay_step(&mut self, actor: usize, now: u64) {
        let it = &mut self.actors[actor];
        let standing = |at: &super::server::Instance| at.is_up() && at.pauses.until() <= now;
        let host = it.instances.iter().position(standing);
        let outbox = it.outbox.as_mut().expect("it has something to do");
        for (port, message) in outbox.take(now, host) {
            let again = outbox.rows[&message.waiter.expect("a relay waits for every answer")].stored;
            outbox.outcome.again += u64::from(again && message.created >= self.warm_up);
            it.outputs.relay(port, message, now);
        }
        self.collect(actor, now);
    }

    /// A relay hears of a row.
    pub(super) fn relayed(&mut self, actor: usize, (at, message, answer): (u64, Message, Answer), now: u64) {
        let it = &mut self.actors[actor];
        let outbox = it.outbox.as_mut().expect("a relay's client has answered");
        let first = outbox.answered(&message, now);
        let measured = first && message.created >= self.warm_up;
        count_answer(&mut it.outcome.publish, answer, measured, at - message.created);
    }

    /// The relay of an actor is lost, with its client.
    pub(super) fn lose_relay(&mut self, actor: usize, now: u64) {
        let it = &mut self.actors[actor];
        if let Some(outbox) = &mut it.outbox {
            outbox.lose(&it.outputs.lose_relay(now), now);
        }
    }

    /// The relay of an actor crashes, or is there again.
    pub(super) fn strike_relay(&mut self, actor: usize, crashes: bool, now: u64) {
        if crashes {
            self.lose_relay(actor, now);
        }
        if let Some(outbox) = &mut self.actors[actor].outbox {
            outbox.down = if crashes { outbox.down + 1 } else { outbox.down - 1 };
            (outbox.stands_still, outbox.tick) = (now, outbox.next_tick(now));
        }
    }

    /// The relay of an actor stands still.
    pub(super) fn pause_relay(&mut self, actor: usize, until: u64) {
        let it = &mut self.actors[actor];
        if let Some(outbox) = it.outbox.as_mut().filter(|outbox| outbox.down == 0) {
            outbox.stands_still = outbox.stands_still.max(until);
            it.outputs.pause_relay(outbox.stands_still);
        }
    }

    /// Measured events of each topic that are in outboxes and not appended.
    pub(super) fn in_outboxes(&self) -> Vec<(usize, u64)> {
        let mut found = Vec::new();
        for actor in &self.actors {
            let Some(outbox) = &actor.outbox else { continue };
            for (port, topic, sequences) in actor.outputs.in_relay() {
                found.push((topic, outbox.unsent(port, self.warm_up, sequences.into_iter())));
            }
        }
        found
    }

    /// Closes the accounts of the outboxes.
    pub(super) fn close_outboxes(&mut self) {
        for actor in &mut self.actors {
            if let Some(outbox) = &mut actor.outbox {
                let outcome = outbox.close(self.warm_up);
                actor.outcome.publish.publishing += outcome.rows_end;
                actor.outcome.publish.outbox = Some(outcome);
            }
        }
    }

    /// What relays have in hand must be what they count.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn audit_outboxes(&self) -> Result<(), String> {
        let all = self.actors.iter().enumerate().filter_map(|(index, actor)| Some((index, actor.outbox.as_ref()?)));
        for (actor, outbox) in all {
            let out = outbox.rows.values().filter(|row| row.out).count();
            if out != outbox.out as usize {
                return Err(format!("the relay of actor {actor} has {out} rows in hand, and counts {}", outbox.out));
            }
        }
        Ok(())
    }
}

/// Counts how a client has answered, so long after the event came to be.
pub(super) fn count_answer(publish: &mut ProducerOutcome, answer: Answer, measured: bool, latency: u64) {
    match answer {
        Answer::Acknowledged if measured => {
            publish.publish_latency.record(latency);
            publish.publish_latency_sum += u128::from(latency);
        }
        Answer::GivenUp => publish.indeterminate += u64::from(measured),
        Answer::Rejected => publish.rejected += u64::from(measured),
        Answer::Acknowledged => {}
    }
}
