//! The publishing client of one process for one topic: batches, in-flight window, attempts, retries, idempotence.
//!
//! The client decides what its requests meet on their way (it draws the network, the append and the replication of each
//! request, and whether a fault on the link swallows it), so that it knows every acknowledgement without asking another
//! station; the topic only merges what several clients append.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::ahead::Delays;
use super::lineage::Lineage;
use super::log::{EventCode, Extra, NO_KEY, Record};
use super::partitioner::KeylessLanes;
use super::setup::{ClientSetup, Rounding};
use super::timeline::Verdict;
use super::topic::{Append, NotStored, Port};
use crate::plan::{Acks, ClientBuffer};
use crate::time::SimSpan;

/// One message that is handed to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    /// Event number in its topic.
    pub(super) event: u32,
    /// Number among its publisher's events.
    pub(super) sequence: u32,
    /// Key id, or [`NO_KEY`].
    pub(super) key: u32,
    /// Intended creation, ns.
    pub(super) created: u64,
    /// The journey that it belongs to.
    pub(super) lineage: Lineage,
    /// Event type.
    pub(super) event_type: u16,
    /// Bytes.
    pub(super) bytes: u32,
    /// Who waits for the acknowledgement, if anyone.
    pub(super) waiter: Option<u32>,
}

/// What a client tells its owner.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// The message is acknowledged.
    Acknowledged,
    /// The client has given up after it had sent the message, which may be stored all the same.
    GivenUp,
    /// The message has never left the client, and will not.
    Rejected,
}

#[derive(Clone, Debug)]
struct Batch {
    /// Number among those of its partition.
    id: u64,
    lane: u32,
    messages: Vec<Message>,
    bytes: u64,
    /// Bytes of the buffer that it holds.
    room: u64,
    opened: u64,
    sent: Option<u64>,
    attempts: u32,
    stored: bool,
    copied: bool,
}

/// Batches, or requests, that are not finished, each with its number in the order in which they were opened.
#[derive(Clone, Debug)]
struct Open<T> {
    first: u64,
    /// The first one is there, if any is.
    slots: VecDeque<Option<T>>,
}

impl<T> Open<T> {
    fn new() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }

    /// The number that the next one will have.
    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn open(&mut self, one: T) -> u64 {
        self.slots.push_back(Some(one));
        self.next() - 1
    }

    /// Gives all up; numbers go on.
    fn clear(&mut self) {
        self.first = self.next();
        self.slots.clear();
    }

    fn place(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok())
    }

    fn get(&self, number: u64) -> Option<&T> {
        self.slots.get(self.place(number)?)?.as_ref()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let place = self.place(number)?;
        self.slots.get_mut(place)?.as_mut()
    }

    fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.place(number)?;
        let one = self.slots.get_mut(place)?.take();
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first += 1;
        }
        one
    }

    fn oldest(&self) -> Option<&T> {
        self.slots.front()?.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}

/// Batches of one partition, by number.
#[derive(Clone, Debug, Default)]
struct LaneState {
    open: Option<u64>,
    ready: VecDeque<u64>,
    /// Those that will be sent again.
    waiting: Vec<u64>,
    /// Idempotence: the batch that the bus expects next, and whether the client holds later ones back for it.
    expected: u64,
    held: bool,
    next_id: u64,
    /// When all that was sent so far is visible.
    visible: u64,
}

#[derive(Clone, Debug, Default)]
struct Connection {
    in_flight: u32,
    last_arrival: u64,
    last_append: u64,
    last_answer: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Linger { lane: u32, batch: u64 },
    Answered { request: u64 },
    TimedOut { request: u64 },
    Retry { lane: u32, batch: u64 },
}

#[derive(Clone, Debug)]
struct Request {
    broker: u32,
    batches: Vec<Sent>,
}

/// A batch in a request, by number, and whether the bus refuses it as out of sequence.
#[derive(Clone, Copy, Debug)]
struct Sent {
    batch: u64,
    refused: bool,
}

/// A message whose publish call waits for room in the client's buffer.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    until: u64,
    lane: u32,
    message: Message,
}

/// What the bus does with a request, as far as it does not depend on what is in it.
#[derive(Clone, Copy, Debug)]
struct Journey {
    verdict: Verdict,
    /// Append of a copy that the link makes.
    again: u64,
    appended: u64,
    visible: u64,
    replicated: u64,
    fsync: u64,
    back: u64,
}

/// The stages of requests.
#[derive(Clone, Debug)]
struct Stages {
    network: Delays,
    append: Delays,
    replicate: Delays,
    fsync: Delays,
}

impl Stages {
    fn new(setup: &ClientSetup) -> Self {
        let (store, streams) = (&setup.store, &setup.streams);
        Self {
            network: Delays::new(&setup.network, streams.network, setup.rounding),
            append: Delays::new(&store.append, streams.append, setup.rounding),
            replicate: Delays::new(&store.replicate, streams.replicate, setup.rounding),
            fsync: Delays::new(&store.fsync, streams.fsync, setup.rounding),
        }
    }
}

/// The client's state.
#[derive(Clone, Debug)]
pub(super) struct Client {
    setup: std::sync::Arc<ClientSetup>,
    instance: u64,
    stages: Stages,
    /// Neither acknowledged nor given up.
    batches: Open<Batch>,
    lanes: Vec<LaneState>,
    connections: Vec<Connection>,
    calendar: BinaryHeap<Reverse<(u64, u64, Due)>>,
    entries: u64,
    requests: Open<Request>,
    /// Lists that are used again.
    messages: Vec<Vec<Message>>,
    sent: Vec<Vec<Sent>>,
    /// Bytes and messages that the buffer holds, and messages that wait for room in it.
    held_bytes: u64,
    held_messages: u64,
    blocked: VecDeque<Blocked>,
    keyless: KeylessLanes,
    /// Publish requests sent again.
    pub(super) retries: u64,
    /// Answers since they were last taken: when, for which message, what.
    pub(super) answers: Vec<(u64, Message, Answer)>,
}

impl Client {
    /// A new client of process number `instance`.
    pub(super) fn new(setup: std::sync::Arc<ClientSetup>, instance: u64) -> Self {
        let lanes = vec![LaneState::default(); setup.partitions as usize];
        let connections = vec![Connection::default(); setup.brokers.max(1) as usize];
        Self {
            stages: Stages::new(&setup),
            keyless: KeylessLanes::new(setup.plan.partitioning, setup.partitions, setup.streams.sticky.part(instance)),
            setup,
            instance,
            batches: Open::new(),
            lanes,
            connections,
            calendar: BinaryHeap::new(),
            entries: 0,
            requests: Open::new(),
            messages: Vec::new(),
            sent: Vec::new(),
            held_bytes: 0,
            held_messages: 0,
            blocked: VecDeque::new(),
            retries: 0,
            answers: Vec::new(),
        }
    }

    /// The event number of the publisher's n-th event.
    pub(super) fn event(&self, sequence: u32) -> u32 {
        self.setup.event(sequence)
    }

    /// When the client next does something by itself.
    pub(super) fn next(&self) -> u64 {
        let entry = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
        entry.min(self.next_expiry()).min(self.next_unblocked())
    }

    /// When the oldest batch has failed for good.
    fn next_expiry(&self) -> u64 {
        let timeout = self.setup.plan.retry.delivery_timeout.0;
        self.batches.oldest().map_or(u64::MAX, |batch| batch.opened.saturating_add(timeout))
    }

    /// When the first message that waits for room has waited too long.
    fn next_unblocked(&self) -> u64 {
        self.blocked.front().map_or(u64::MAX, |blocked| blocked.until)
    }

    /// Takes one message at `now`; without room in the buffer it waits in front of it.
    pub(super) fn publish(&mut self, now: u64, message: Message, port: &mut Port) {
        port.taken(&message, now);
        let lane = self.choose_lane(&message, now);
        let Some(buffer) = self.setup.plan.buffer else { return self.enter(lane, message, now, port) };
        if self.blocked.is_empty() && self.has_room(&buffer, lane, &message) {
            return self.enter(lane, message, now, port);
        }
        if buffer.max_block == SimSpan::ZERO || self.room_for(lane, &message) > buffer.bytes {
            return self.reject(&message, now, port);
        }
        self.blocked.push_back(Blocked { until: now.saturating_add(buffer.max_block.0), lane, message });
        if self.blocked.len() == 1 {
            // While anyone waits for room, no batch waits for company.
            (0..self.setup.brokers).for_each(|broker| self.send_ready(broker, now, port));
        }
    }

    /// Bytes of the buffer that a message takes: its own, or where batches take all that they may grow to, none in a batch
    /// with room and else those of a whole one.
    fn room_for(&self, lane: u32, message: &Message) -> u64 {
        let bytes = u64::from(message.bytes);
        if self.setup.plan.buffer.is_some_and(|buffer| !buffer.whole_batches) {
            return bytes;
        }
        let max = self.setup.plan.batching.as_ref().map_or(0, |batching| batching.max_bytes);
        let open = self.lanes[lane as usize].open.and_then(|open| self.batches.get(open));
        if open.is_some_and(|open| open.bytes + bytes <= max) { 0 } else { max.max(bytes) }
    }

    fn has_room(&self, buffer: &ClientBuffer, lane: u32, message: &Message) -> bool {
        self.held_bytes + self.room_for(lane, message) <= buffer.bytes && self.held_messages < buffer.messages
    }

    /// Lets messages that wait for room into the buffer, in order.
    fn unblock(&mut self, now: u64, port: &mut Port) {
        let Some(buffer) = self.setup.plan.buffer else { return };
        while let Some(Blocked { lane, message, .. }) = self.blocked.front().copied() {
            if !self.has_room(&buffer, lane, &message) {
                return;
            }
            self.blocked.pop_front();
            self.enter(lane, message, now, port);
        }
    }

    /// Puts a message into the open batch of its partition.
    fn enter(&mut self, lane: u32, message: Message, now: u64, port: &mut Port) {
        let bytes = u64::from(message.bytes);
        let Some(batching) = self.setup.plan.batching.clone() else {
            self.add(lane, message, now);
            self.close(lane);
            return self.send_ready(lane % self.setup.brokers, now, port);
        };
        let open = self.lanes[lane as usize].open.and_then(|open| self.batches.get(open));
        if open.is_some_and(|open| open.bytes + bytes > batching.max_bytes) {
            self.close(lane);
        }
        let opened = self.lanes[lane as usize].open.is_none();
        let (batch, held, messages) = self.add(lane, message, now);
        let full = held >= batching.max_bytes || messages >= batching.max_messages;
        if full {
            self.close(lane);
        } else if opened {
            self.schedule(now.saturating_add(batching.linger.0), Due::Linger { lane, batch });
        }
        if full || !self.lanes[lane as usize].ready.is_empty() {
            self.send_ready(lane % self.setup.brokers, now, port);
        }
    }

    /// Does what is due next, at or before `now`. An answer at the moment of a time-out is in time.
    pub(super) fn step(&mut self, now: u64, port: &mut Port) {
        let entry = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
        if self.next_unblocked() < entry.min(self.next_expiry()) {
            if let Some(Blocked { message, .. }) = self.blocked.pop_front() {
                self.reject(&message, now, port);
                // What it was too large for may be room enough for the next.
                self.unblock(now, port);
            }
        } else if self.next_expiry() < entry {
            self.expire(now, port);
        } else if let Some(Reverse((_, _, due))) = self.calendar.pop() {
            self.do_due(due, now, port);
        }
    }

    fn do_due(&mut self, due: Due, now: u64, port: &mut Port) {
        match due {
            Due::Linger { lane, batch } => {
                if self.lanes[lane as usize].open == Some(batch) {
                    self.send_ready(lane % self.setup.brokers, now, port);
                }
            }
            Due::Answered { request } => self.answered(request, now, port),
            Due::TimedOut { request } => self.timed_out(request, now, port),
            Due::Retry { lane, batch } => {
                let waiting = &mut self.lanes[lane as usize].waiting;
                if let Some(at) = waiting.iter().position(|number| *number == batch) {
                    waiting.remove(at);
                    self.requeue(lane, batch);
                    self.send_ready(lane % self.setup.brokers, now, port);
                }
            }
        }
    }

    /// The process is gone: what was not appended never will be. Waiters are not told.
    pub(super) fn abandon(&mut self, port: &mut Port, now: u64) {
        for message in self.unsent_messages() {
            port.void(message, message.created >= self.setup.warm_up, NotStored::Rejected, now);
        }
        self.batches.clear();
        self.blocked.clear();
        (self.held_bytes, self.held_messages) = (0, 0);
        self.requests.clear();
        self.calendar.clear();
        self.answers.clear();
        self.connections.iter_mut().for_each(|connection| connection.in_flight = 0);
        for lane in &mut self.lanes {
            let (next_id, visible) = (lane.next_id, lane.visible);
            *lane = LaneState { expected: next_id, next_id, visible, ..LaneState::default() };
        }
    }

    /// Messages that are not appended, nor on their way to be.
    fn unsent_messages(&self) -> impl Iterator<Item = &Message> {
        let batches = self.batches.iter().filter(|batch| !batch.stored).flat_map(|batch| &batch.messages);
        batches.chain(self.blocked.iter().map(|blocked| &blocked.message))
    }

    /// Measured messages that are neither appended nor given up.
    pub(super) fn unsent(&self, warm_up: u64) -> u64 {
        self.unsent_messages().filter(|message| message.created >= warm_up).count() as u64
    }

    /// Measured messages that are not acknowledged yet.
    pub(super) fn unanswered(&self, warm_up: u64) -> u64 {
        let sent = self.batches.iter().filter(|batch| batch.stored).flat_map(|batch| &batch.messages);
        self.unsent(warm_up) + sent.filter(|message| message.created >= warm_up).count() as u64
    }

    fn schedule(&mut self, at: u64, due: Due) {
        self.entries += 1;
        self.calendar.push(Reverse((at, self.entries, due)));
    }

    fn choose_lane(&mut self, message: &Message, now: u64) -> u32 {
        if message.key != NO_KEY && self.setup.plan.partitioning.hash.is_some() {
            return self.setup.lane_of(message.key);
        }
        let limit = self.setup.plan.batching.as_ref().map_or(0, |batching| batching.max_bytes);
        self.keyless.choose(now, message.sequence, u64::from(message.bytes), limit)
    }

    /// Adds a message to the open batch, which is opened if there is none: its number, bytes and messages.
    fn add(&mut self, lane: u32, message: Message, now: u64) -> (u64, u64, u64) {
        let room = self.room_for(lane, &message);
        let state = &mut self.lanes[lane as usize];
        let number = *state.open.get_or_insert_with(|| {
            state.next_id += 1;
            self.batches.open(Batch {
                id: state.next_id - 1,
                lane,
                messages: self.messages.pop().unwrap_or_default(),
                bytes: 0,
                room: 0,
                opened: now,
                sent: None,
                attempts: 0,
                stored: false,
                copied: false,
            })
        });
        let batch = self.batches.get_mut(number).expect("an open batch is not finished");
        batch.messages.push(message);
        batch.bytes += u64::from(message.bytes);
        batch.room += room;
        self.held_bytes += room;
        self.held_messages += 1;
        (number, batch.bytes, batch.messages.len() as u64)
    }

    fn close(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        state.ready.extend(state.open.take());
    }

    /// Puts a batch back among those of its partition, in order.
    fn requeue(&mut self, lane: u32, batch: u64) {
        let ready = &mut self.lanes[lane as usize].ready;
        let at = ready.partition_point(|other| *other < batch);
        ready.insert(at, batch);
    }

    /// Sends requests on the connection to a broker while its window allows.
    fn send_ready(&mut self, broker: u32, now: u64, port: &mut Port) {
        while self.setup.plan.max_in_flight.is_none_or(|max| self.connections[broker as usize].in_flight < max) {
            let batches = self.take_ready(broker, now);
            if batches.is_empty() {
                return self.sent.push(batches);
            }
            self.send(broker, batches, now, port);
        }
    }

    /// One batch of each partition that this broker leads, if it is ready.
    fn take_ready(&mut self, broker: u32, now: u64) -> Vec<Sent> {
        let linger = self.setup.plan.batching.as_ref().map_or(0, |batching| batching.linger.0);
        let (idempotent, hurried) = (self.setup.plan.idempotent, !self.blocked.is_empty());
        let step = self.setup.brokers.max(1) as usize;
        let mut taken = self.sent.pop().unwrap_or_default();
        for lane in self.lanes.iter_mut().skip(broker as usize).step_by(step) {
            let Some(next) = lane.ready.front().copied().or(lane.open) else { continue };
            // A batch that waits to be sent again holds up its partition: later ones do not overtake it in the client.
            if lane.waiting.iter().any(|waiting| *waiting < next) {
                continue;
            }
            let batch = self.batches.get(next).expect("what is ready or open is not finished");
            let lingers = lane.open == Some(next) && !hurried && now < batch.opened.saturating_add(linger);
            if lingers || idempotent && lane.held && batch.id != lane.expected {
                continue;
            }
            if lane.ready.pop_front().is_none() {
                lane.open = None;
            }
            lane.held = false;
            taken.push(Sent { batch: next, refused: false });
        }
        taken
    }

    /// Sends one request and decides all that happens to it.
    fn send(&mut self, broker: u32, mut batches: Vec<Sent>, now: u64, port: &mut Port) {
        let id = self.requests.next();
        let journey = self.journey(broker, id, now);
        let plan = &self.setup.plan;
        let (lost, idempotent, acks) = (journey.verdict.dropped, plan.idempotent, plan.acks);
        let deadline = now.saturating_add(plan.retry.request_timeout.0);
        if !lost && plan.fifo_connection {
            for sent in &batches {
                let lane = &mut self.lanes[self.batches.get(sent.batch).expect("just taken").lane as usize];
                lane.visible = lane.visible.max(journey.visible);
            }
        }
        let answer = self.answer(broker, &batches, journey, now);
        let answered = answer.filter(|answer| *answer <= deadline);
        for sent in &mut batches {
            let batch = self.batches.get_mut(sent.batch).expect("just taken");
            batch.attempts += 1;
            batch.sent.get_or_insert(now);
            self.retries += u64::from(batch.attempts > 1);
            let lane = &mut self.lanes[batch.lane as usize];
            let known = idempotent && batch.stored;
            sent.refused = !lost && !known && idempotent && batch.id > lane.expected;
            if lost || known || sent.refused {
                continue;
            }
            lane.expected = lane.expected.max(batch.id + 1);
            let twice = journey.verdict.duplicated && !idempotent;
            // Without an answer in time the client stores the batch again, unless the bus recognises it.
            let again = answered.is_none() && !idempotent && acks != Acks::None;
            batch.copied |= twice || again;
            append_batch(batch, journey.appended, journey.visible, port);
            if twice {
                append_batch(batch, journey.again.max(journey.appended), journey.again.max(journey.visible), port);
            }
            batch.stored = true;
        }
        match answered {
            Some(answer) => self.schedule(answer, Due::Answered { request: id }),
            None => self.schedule(deadline, Due::TimedOut { request: id }),
        }
        self.connections[broker as usize].in_flight += 1;
        self.requests.open(Request { broker, batches });
    }

    /// Draws what a request sent at `now` meets.
    fn journey(&mut self, broker: u32, id: u64, now: u64) -> Journey {
        let setup = &self.setup;
        let number = setup.request_number(self.instance, id);
        let verdict = if setup.link.is_clean() {
            Verdict::default()
        } else {
            setup.link.verdict(setup.streams.link.part(self.instance), id, now)
        };
        let there = self.stages.network.get(2 * number) + verdict.delay;
        let back = self.stages.network.get(2 * number + 1) + verdict.delay;
        let append = self.stages.append.get(number);
        let replicate = self.stages.replicate.get(number);
        let fsync = self.stages.fsync.get(number);
        let connection = &mut self.connections[broker as usize];
        let mut arrival = now.saturating_add(there).max(now + u64::from(setup.back_edge));
        if setup.plan.fifo_connection {
            arrival = arrival.max(connection.last_arrival);
            connection.last_arrival = arrival;
        }
        let mut appended = arrival;
        if !verdict.dropped {
            appended =
                if setup.plan.fifo_connection { appended.max(connection.last_append) } else { appended } + append;
            connection.last_append = appended;
        }
        let replicated = appended + replicate;
        let visible = if setup.store.visible_when_replicated { replicated } else { appended };
        Journey { verdict, again: now + there + there, appended, visible, replicated, fsync, back }
    }

    /// When a request is answered, if it ever is: not before what it speaks of, and where the connection is so, not
    /// before an earlier one. (What other clients append meanwhile is not known here: a copy that waits for one of
    /// theirs to become visible is acknowledged as if it did not.)
    fn answer(&mut self, broker: u32, batches: &[Sent], journey: Journey, now: u64) -> Option<u64> {
        let plan = &self.setup.plan;
        if plan.acks == Acks::None {
            return Some(now);
        }
        if journey.verdict.dropped || journey.verdict.response_lost {
            return None;
        }
        let lanes = batches.iter().map(|sent| self.batches.get(sent.batch).expect("just taken").lane);
        let visible = lanes.map(|lane| self.lanes[lane as usize].visible).max().unwrap_or(0);
        let known = match plan.acks {
            Acks::None | Acks::Leader => journey.appended,
            Acks::All => visible.max(journey.replicated) + journey.fsync,
        };
        let mut answer = known + journey.back;
        if plan.fifo_answers {
            let connection = &mut self.connections[broker as usize];
            answer = answer.max(connection.last_answer);
            connection.last_answer = answer;
        }
        Some(answer)
    }

    fn answered(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(mut request) = self.requests.remove(request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        for Sent { batch: number, refused } in request.batches.drain(..) {
            // What has expired meanwhile is not waited for any more.
            let Some(batch) = self.batches.get(number) else { continue };
            let (lane, stored) = (batch.lane, batch.stored);
            if refused {
                // Out of sequence: held back until the one before it has been stored.
                self.lanes[lane as usize].held = true;
                self.requeue(lane, number);
            } else if stored {
                let mut messages = self.finish(number).messages;
                self.answers.extend(messages.drain(..).map(|message| (now, message, Answer::Acknowledged)));
                self.messages.push(messages);
            } else {
                self.give_up(number, now, port);
            }
        }
        self.sent.push(request.batches);
        self.unblock(now, port);
        self.send_ready(request.broker, now, port);
    }

    fn timed_out(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(request) = self.requests.remove(request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        for Sent { batch: number, .. } in request.batches {
            let Some(batch) = self.batches.get(number) else { continue };
            if batch.attempts > self.setup.plan.retry.retries {
                self.give_up(number, now, port);
            } else {
                let (lane, wait) = (batch.lane, self.backoff(batch));
                self.lanes[lane as usize].waiting.push(number);
                self.schedule(now + wait, Due::Retry { lane, batch: number });
            }
        }
        self.unblock(now, port);
        self.send_ready(request.broker, now, port);
    }

    /// The oldest batch has been in the client for too long, wherever it is.
    fn expire(&mut self, now: u64, port: &mut Port) {
        let (number, Some(batch)) = (self.batches.first, self.batches.oldest()) else { return };
        let lane = batch.lane;
        let state = &mut self.lanes[lane as usize];
        state.open.take_if(|open| *open == number);
        state.ready.retain(|ready| *ready != number);
        state.waiting.retain(|waiting| *waiting != number);
        self.give_up(number, now, port);
        self.unblock(now, port);
        self.send_ready(lane % self.setup.brokers, now, port);
    }

    /// Exponential with base 2, jittered by 20 % either way.
    fn backoff(&self, batch: &Batch) -> u64 {
        let retry = &self.setup.plan.retry;
        let doubled = retry.backoff.0.saturating_mul(1 << (batch.attempts - 1).min(20));
        let wait = doubled.min(retry.backoff_max.0.max(retry.backoff.0));
        let number = self.setup.request_number(self.instance, batch.id) ^ (u64::from(batch.lane) << 32);
        let unit = self.setup.streams.backoff.part(u64::from(batch.attempts)).unit(number);
        self.setup.rounding.span(wait as f64 * (0.8 + 0.4 * unit))
    }

    /// A batch leaves the client, and the buffer.
    fn finish(&mut self, number: u64) -> Batch {
        let batch = self.batches.remove(number).expect("a batch is finished once");
        self.held_bytes -= batch.room;
        self.held_messages -= batch.messages.len() as u64;
        batch
    }

    fn give_up(&mut self, number: u64, now: u64, port: &mut Port) {
        let batch = self.finish(number);
        let lane = &mut self.lanes[batch.lane as usize];
        lane.expected = lane.expected.max(batch.id + 1);
        for message in &batch.messages {
            if batch.attempts == 0 {
                self.reject(message, now, port);
                continue;
            }
            self.answers.push((now, *message, Answer::GivenUp));
            if !batch.stored {
                let measured = message.created >= self.setup.warm_up;
                port.void(message, measured, NotStored::Indeterminate, now);
            }
        }
    }

    /// A message is dropped that has never left.
    fn reject(&mut self, message: &Message, now: u64, port: &mut Port) {
        self.answers.push((now, *message, Answer::Rejected));
        port.void(message, message.created >= self.setup.warm_up, NotStored::Rejected, now);
    }
}

fn append_batch(batch: &Batch, append: u64, visible: u64, port: &mut Port) {
    for message in &batch.messages {
        let event = if batch.copied { EventCode::copied(message.event) } else { message.event };
        let record = Record { visible, created: message.created, key: message.key, event };
        let sent = batch.sent.unwrap_or(message.created).max(message.created);
        let extra = Extra { sent, lineage: message.lineage, event_type: message.event_type };
        port.appends.push(Append { append, record, extra, lane: batch.lane, bytes: message.bytes });
    }
}

impl ClientSetup {
    /// A number for the n-th request of a process that no other process of the same name uses.
    fn request_number(&self, instance: u64, request: u64) -> u64 {
        (instance << 40) + request
    }
}

impl Rounding {
    /// A drawn time, rounded.
    pub(super) fn span(self, nanos: f64) -> u64 {
        self.up(crate::time::SimSpan::from_nanos_f64(nanos).0)
    }
}
