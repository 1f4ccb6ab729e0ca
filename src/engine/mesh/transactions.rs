//! Transactions of a bus: what a handler publishes in one, and what a consumer has read, count together or not at all.
//!
//! ```text
//! open --add a partition--> publish ... --flush--> [send positions --> ask the group] --end--> markers in all partitions
//!   \-- its handler fails: abort --/     \-- refused: abort                            \-- the handler goes on
//!   \-- its process ends: left open, until the next one with its id starts, or the coordinator has waited too long
//! ```
//!
//! A request to the coordinator is a way there, a write that is copied, and a way back. What is decided is decided when the end
//! is sent: whatever becomes of the process then, the markers will be written.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::coordinator::Request;
use super::strand::{Kind, Level};
use super::visit::Asker;
use super::{Event, Mesh, StrandKey};
use crate::engine::client::Message;
use crate::engine::delegate::{Ended, How};
use crate::engine::handler::spend_draws;
use crate::engine::log::End;

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Steps of it run.
    Open,
    /// It will end, or be given up, when all that was published in it is answered.
    Flushing,
    Aborting,
    /// Its positions are on their way; and the group is asked to take them.
    Sending,
    Asked,
    /// Its end is on its way.
    Ending(End),
    /// Its process is gone.
    Orphan,
}

/// A transaction that is not over.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    actor: usize,
    instance: usize,
    measured: bool,
    /// Number and attempt of its handler in the streams, and requests to the coordinator so far.
    of: (u64, u32),
    requests: u64,
    /// Worker and number of the attempt, of a consumer.
    asker: Option<(u32, u64)>,
    /// Partitions that it writes to, by port; what waits until some are added.
    lanes: BTreeSet<(usize, u32)>,
    adding: Vec<(usize, u32, Message)>,
    /// Whether the coordinator knows of it, and whether it has given it up.
    known: bool,
    dead: bool,
    /// Messages without an answer, and whether one is not stored for all that is known.
    unanswered: u32,
    failed: bool,
    stage: Stage,
    /// The strand that waits for it, but for acknowledgements.
    pub(super) waiting: Option<StrandKey>,
}

/// A client has one transaction at a time: by process of a producer that has one, the strands that wait for theirs, each with
/// its steps. (A member of a group has one worker.)
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(BTreeMap<(usize, usize), VecDeque<(StrandKey, usize)>>);

impl Turns {
    /// Strands that wait for their turn.
    pub(super) fn waiting(&self) -> impl Iterator<Item = StrandKey> + '_ {
        self.0.values().flatten().map(|(key, _)| *key)
    }
}

impl Mesh {
    /// A strand comes to a transaction. Whether it may begin with it; else it goes on when it is its turn.
    pub(super) fn come_to_transaction(&mut self, key: StrandKey, block: usize, now: u64) -> bool {
        let visit = &self.visits[self.strands[key].visit];
        if !matches!(visit.asker, Asker::Group { .. }) {
            match self.turns.0.entry((visit.actor, visit.instance)) {
                Entry::Occupied(mut busy) => {
                    busy.get_mut().push_back((key, block));
                    return false;
                }
                Entry::Vacant(free) => drop(free.insert(VecDeque::new())),
            }
        }
        self.begin_transaction(key, block, now);
        true
    }

    /// A transaction is over for its process: the next strand has its turn.
    fn next_turn(&mut self, of: &Transaction, now: u64) {
        let process = (of.actor, of.instance);
        if of.asker.is_some() || of.stage == Stage::Orphan {
            return;
        }
        let Some(waiting) = self.turns.0.get_mut(&process) else { return };
        while let Some((key, block)) = waiting.pop_front() {
            if self.strands.contains_key(key) {
                self.begin_transaction(key, block, now);
                return self.schedule(now, Event::Wake(key, Ok(())));
            }
        }
        self.turns.0.remove(&process);
    }

    fn begin_transaction(&mut self, key: StrandKey, block: usize, now: u64) {
        self.begun_transactions += 1;
        let strand = &mut self.strands[key];
        let visit = &self.visits[strand.visit];
        let asker = if let Asker::Group { worker, run } = visit.asker { Some((worker, run)) } else { None };
        let transaction = Transaction {
            actor: visit.actor,
            instance: visit.instance,
            measured: now >= self.warm_up,
            of: (visit.number, visit.attempt),
            requests: 0,
            asker,
            lanes: BTreeSet::new(),
            adding: Vec::new(),
            known: false,
            dead: false,
            unanswered: 0,
            failed: false,
            stage: Stage::Open,
            waiting: None,
        };
        let books = &mut self.actors[visit.actor].outcome.handler.transactions;
        books.begun += u64::from(transaction.measured);
        self.transactions.insert(self.begun_transactions, transaction);
        strand.stack.push(Level { block, at: 0, kind: Kind::Transaction(self.begun_transactions) });
    }

    /// The transaction that a strand is in.
    pub(super) fn transaction_of(&self, key: StrandKey) -> Option<u32> {
        let inside = |level: &Level| if let Kind::Transaction(id) = level.kind { Some(id) } else { None };
        self.strands[key].stack.iter().rev().find_map(inside)
    }

    /// Whether the coordinator has given a transaction up.
    pub(super) fn is_dead(&self, id: u32) -> bool {
        self.transactions[&id].dead
    }

    /// Publishes messages (by port and partition) in a transaction, as soon as it has all their partitions. Whether it has;
    /// else `waiting` goes on when it does.
    pub(super) fn publish_in(
        &mut self,
        id: u32,
        placed: Vec<(usize, u32, Message)>,
        waiting: Option<StrandKey>,
        now: u64,
    ) -> bool {
        let it = self.transactions.get_mut(&id).expect("a strand is in it");
        it.unanswered += u32::try_from(placed.len()).expect("copies of one step fit 32 bits");
        let before = it.lanes.len();
        it.lanes.extend(placed.iter().map(|(port, lane, _)| (*port, *lane)));
        if it.lanes.len() == before {
            self.hand_over(id, placed, now);
            return true;
        }
        (it.adding, it.waiting) = (placed, waiting);
        let request = self.request(id, now);
        self.schedule(request.answered, Event::Coordinated(id));
        false
    }

    fn hand_over(&mut self, id: u32, placed: Vec<(usize, u32, Message)>, now: u64) {
        let Transaction { actor, instance, .. } = self.transactions[&id];
        self.actors[actor].outputs.publish_placed(instance, placed, now);
        self.collect(actor, now);
    }

    /// Asks the coordinator for something. With the first request it knows of the transaction.
    fn request(&mut self, id: u32, now: u64) -> Request {
        let it = self.transactions.get_mut(&id).expect("it is not over");
        let coordinator = self.actors[it.actor].coordinator.as_ref().expect("who has transactions has one");
        let mut draws = spend_draws(coordinator.stream, it.requests, it.of.0, it.of.1);
        it.requests += 1;
        let ready = if it.known { 0 } else { coordinator.done[it.instance] };
        let request = coordinator.request(&mut draws, now, ready);
        if !std::mem::replace(&mut it.known, true) {
            let found = coordinator.finds(it.instance, request.arrived);
            self.schedule(found, Event::Expired(id));
        }
        request
    }

    /// A message that was published in a transaction is answered.
    pub(super) fn answered_in(&mut self, id: u32, acknowledged: bool, now: u64) {
        let Some(it) = self.transactions.get_mut(&id) else { return };
        it.unanswered -= 1;
        it.failed |= !acknowledged;
        if it.unanswered == 0 && matches!(it.stage, Stage::Flushing | Stage::Aborting) {
            self.schedule(now, Event::Flushed(id));
        }
    }

    /// A strand has come to the end of its transaction.
    pub(super) fn commit(&mut self, key: StrandKey, id: u32, now: u64) {
        self.flush(key, id, Stage::Flushing, now);
    }

    /// A strand fails inside of its transaction.
    pub(super) fn abort(&mut self, key: StrandKey, id: u32, now: u64) {
        self.flush(key, id, Stage::Aborting, now);
    }

    fn flush(&mut self, key: StrandKey, id: u32, stage: Stage, now: u64) {
        let it = self.transactions.get_mut(&id).expect("a strand is in it");
        (it.stage, it.waiting) = (stage, Some(key));
        let (actor, instance) = (it.actor, it.instance);
        self.actors[actor].outputs.flush(instance, now);
        self.collect(actor, now);
        self.schedule(now, Event::Flushed(id));
    }

    /// All that was published in a transaction that is to end may be answered.
    pub(super) fn flushed(&mut self, id: u32, now: u64) {
        let Some(it) = self.transactions.get_mut(&id) else { return };
        if it.unanswered > 0 || !matches!(it.stage, Stage::Flushing | Stage::Aborting) {
            return;
        }
        let aborts = it.stage == Stage::Aborting || it.failed;
        if it.dead {
            return self.finish_transaction(id, Err(()), now);
        }
        if aborts && !it.known {
            self.books_of(id, |books| &mut books.aborted);
            return self.finish_transaction(id, Err(()), now);
        }
        if aborts {
            let end = if it.failed { End::Fenced } else { End::Aborted };
            self.books_of(id, |books| &mut books.aborted);
            return self.end_bus_transaction(id, end, now);
        }
        if it.asker.is_some() {
            it.stage = Stage::Sending;
            let first = self.request(id, now);
            let second = self.request(id, first.answered);
            self.schedule(second.answered, Event::Coordinated(id));
        } else if it.lanes.is_empty() {
            self.books_of(id, |books| &mut books.committed);
            self.finish_transaction(id, Ok(()), now);
        } else {
            self.books_of(id, |books| &mut books.committed);
            self.end_bus_transaction(id, End::Committed, now);
        }
    }

    /// The coordinator has answered.
    pub(super) fn coordinated(&mut self, id: u32, now: u64) {
        let Some(it) = self.transactions.get_mut(&id) else { return };
        match it.stage {
            Stage::Open => {
                let (placed, waiting) = (std::mem::take(&mut it.adding), it.waiting.take());
                self.hand_over(id, placed, now);
                if let Some(key) = waiting {
                    self.run(key, now);
                }
            }
            Stage::Sending if it.dead => self.finish_transaction(id, Err(()), now),
            Stage::Sending => {
                it.stage = Stage::Asked;
                let (worker, run) = it.asker.expect("a consumer sends positions");
                let (actor, member) = (it.actor, it.instance);
                let consumer = self.consumer_of(actor).0 as usize;
                self.ended.push((consumer, now, Ended { member, worker, run, how: How::Asks }));
            }
            Stage::Ending(end) => {
                let how = if end == End::Committed { Ok(()) } else { Err(()) };
                let it = self.transactions.remove(&id).expect("just seen");
                self.next_turn(&it, now);
                if let Some(key) = it.waiting {
                    self.wake(key, how, now);
                }
            }
            Stage::Flushing | Stage::Aborting | Stage::Asked | Stage::Orphan => {}
        }
    }

    /// The group has taken the positions that an attempt has sent, or others have its records.
    pub(super) fn positions(&mut self, who: (usize, usize), asker: (u32, u64), taken: bool, now: u64) {
        let asks =
            |it: &Transaction| (it.actor, it.instance) == who && it.asker == Some(asker) && it.stage == Stage::Asked;
        let Some((id, waiting)) = self.transactions.iter().find(|(_, it)| asks(it)).map(|(id, it)| (*id, it.waiting))
        else {
            return;
        };
        if taken {
            self.books_of(id, |books| &mut books.committed);
            return self.end_bus_transaction(id, End::Committed, now);
        }
        if let Some(key) = waiting {
            let visit = self.strands[key].visit;
            self.visits[visit].refused = true;
        }
        self.books_of(id, |books| &mut books.refused);
        self.end_bus_transaction(id, End::Aborted, now);
    }

    /// The end of a transaction is sent: it is decided.
    fn end_bus_transaction(&mut self, id: u32, end: End, now: u64) {
        let request = self.request(id, now);
        self.write_markers(id, end, request.written);
        self.transactions.get_mut(&id).expect("it is not over").stage = Stage::Ending(end);
        self.schedule(request.answered, Event::Coordinated(id));
    }

    /// The coordinator, which has decided, writes to all partitions, and is done when it has noted that.
    fn write_markers(&mut self, id: u32, end: End, decided: u64) {
        let it = self.transactions.get_mut(&id).expect("it is not over");
        let actor = &mut self.actors[it.actor];
        let coordinator = actor.coordinator.as_mut().expect("who has transactions has one");
        let mut draws = spend_draws(coordinator.stream, it.requests, it.of.0, it.of.1);
        it.requests += 1;
        let marking = coordinator.request(&mut draws, decided, 0);
        let noted = coordinator.draw(&coordinator.append, &mut draws);
        let visible = if coordinator.copied { marking.written } else { marking.appended };
        let mut stored = marking.written;
        for (port, lane) in &it.lanes {
            let times = (marking.appended, visible);
            // One that nobody takes in this run keeps its process from beginning another.
            stored = stored.max(actor.outputs.mark(it.instance, *port, *lane, (id, end), times).unwrap_or(u64::MAX));
        }
        let back = marking.answered - marking.written;
        coordinator.done[it.instance] = stored.saturating_add(back).saturating_add(noted);
    }

    fn books_of(&mut self, id: u32, entry: impl Fn(&mut crate::outcome::TransactionLedger) -> &mut u64) {
        let it = &self.transactions[&id];
        *entry(&mut self.actors[it.actor].outcome.handler.transactions) += u64::from(it.measured);
    }

    /// A transaction is over, and its coordinator has nothing more to do with it.
    fn finish_transaction(&mut self, id: u32, how: Result<(), ()>, now: u64) {
        let it = self.transactions.remove(&id).expect("it is not over");
        self.next_turn(&it, now);
        if let Some(key) = it.waiting {
            self.schedule(now, Event::Wake(key, how));
        }
    }

    /// A process is gone: its transactions stay open, but for those whose end was sent, or that nobody else knows of.
    pub(super) fn orphan(&mut self, actor: usize, instance: usize, now: u64) {
        self.turns.0.remove(&(actor, instance));
        let here = |it: &Transaction| (it.actor, it.instance) == (actor, instance) && it.stage != Stage::Orphan;
        let ids: Vec<u32> = self.transactions.iter().filter(|(_, it)| here(it)).map(|(id, _)| *id).collect();
        for id in ids {
            let it = self.transactions.get_mut(&id).expect("just listed");
            it.waiting = None;
            for (port, _, message) in std::mem::take(&mut it.adding) {
                self.actors[actor].outputs.void(port, &message, now);
            }
            let it = &self.transactions[&id];
            let over = matches!(it.stage, Stage::Ending(_)) || it.dead;
            if !over && it.known {
                self.transactions.get_mut(&id).expect("just seen").stage = Stage::Orphan;
                continue;
            }
            if !over {
                self.books_of(id, |books| &mut books.aborted);
            }
            self.transactions.remove(&id);
        }
    }

    /// A process starts: what the one before it with its id has left open is given up at once.
    pub(super) fn fence(&mut self, (actor, instance): (usize, usize), now: u64) {
        let Some(coordinator) = &mut self.actors[actor].coordinator else { return };
        if !coordinator.plan.same_id {
            // Nobody knows it, and nothing of what it begins waits.
            coordinator.done[instance] = 0;
            return;
        }
        let left = |it: &Transaction| (it.actor, it.instance) == (actor, instance) && it.stage == Stage::Orphan;
        let ids: Vec<u32> = self.transactions.iter().filter(|(_, it)| left(it)).map(|(id, _)| *id).collect();
        for id in ids {
            let request = self.request(id, now);
            self.write_markers(id, End::Fenced, request.written);
            self.books_of(id, |books| &mut books.fenced);
            self.transactions.remove(&id);
        }
    }

    /// The coordinator finds a transaction open for too long, if it still is.
    pub(super) fn expired(&mut self, id: u32, now: u64) {
        let Some(it) = self.transactions.get_mut(&id) else { return };
        if it.dead || matches!(it.stage, Stage::Asked | Stage::Ending(_)) {
            return;
        }
        let coordinator = self.actors[it.actor].coordinator.as_ref().expect("who has transactions has one");
        let mut draws = spend_draws(coordinator.stream, it.requests, it.of.0, it.of.1);
        it.requests += 1;
        let written =
            coordinator.draw(&coordinator.append, &mut draws) + coordinator.draw(&coordinator.replicate, &mut draws);
        (it.dead, it.known) = (true, true);
        let gone = it.stage == Stage::Orphan;
        self.write_markers(id, End::Fenced, now.saturating_add(written));
        self.books_of(id, |books| &mut books.timed_out);
        if gone {
            self.transactions.remove(&id);
        }
    }

    /// The process that a transaction's answers come to.
    pub(super) fn process_of_transaction(&self, id: u32) -> Option<(usize, usize)> {
        self.transactions.get(&id).filter(|it| it.stage != Stage::Orphan).map(|it| (it.actor, it.instance))
    }

    /// Messages that wait until their partitions are added: by actor, topic, and how many are measured.
    pub(super) fn in_transactions(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        let adding = |it: &'_ Transaction| {
            it.adding.iter().map(|(port, _, message)| (it.actor, *port, message.created)).collect::<Vec<_>>()
        };
        let all = self.transactions.values().flat_map(adding);
        all.map(|(actor, port, created)| {
            (actor, self.actors[actor].outputs.topic_of(port), u64::from(created >= self.warm_up))
        })
    }

    /// Closes the books of transactions.
    pub(super) fn close_transactions(&mut self) {
        let waiting: Vec<_> = self.in_transactions().collect();
        waiting.into_iter().for_each(|(actor, _, count)| self.actors[actor].outcome.publish.publishing += count);
        for actor in &mut self.actors {
            let books = &mut actor.outcome.handler.transactions;
            books.open = books.begun - books.ended();
        }
    }

    /// Every transaction that has no end is one of those that are counted as open.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn audit_transactions(&self) -> Result<(), String> {
        for process in self.turns.0.keys() {
            let has_one = |it: &Transaction| (it.actor, it.instance) == *process && it.stage != Stage::Orphan;
            if !self.transactions.values().any(has_one) {
                return Err(format!("who waits for the transaction of process {process:?} waits for none"));
            }
        }
        for (actor, it) in self.actors.iter().enumerate() {
            let books = &it.outcome.handler.transactions;
            let is_open = |it: &&Transaction| {
                it.actor == actor && it.measured && !it.dead && !matches!(it.stage, Stage::Ending(_))
            };
            let open = self.transactions.values().filter(is_open).count() as u64;
            if books.begun != books.ended() + open {
                return Err(format!("the transactions of actor {actor} do not add up: {open} open, {books:?}"));
            }
        }
        Ok(())
    }
}
