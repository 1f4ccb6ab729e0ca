//! The publishing client of one process for one topic: batches, in-flight window, attempts, retries, idempotence.
//!
//! The client decides what its requests meet on their way (it draws the network, the append and the replication of each
//! request, and whether a fault on the link swallows it), so that it knows every acknowledgement without asking another
//! station; the topic only merges what several clients append.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::log::{EventCode, Extra, NO_KEY, Record};
use super::setup::{ClientSetup, Rounding};
use super::topic::{Append, NotStored, Port};
use crate::dist::About;
use crate::plan::{Acks, Partitioner};

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
    /// Creation at the start of the path, ns.
    pub(super) origin: u64,
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
    /// The client has given up; the message may be stored all the same.
    GivenUp,
}

#[derive(Clone, Debug)]
struct Batch {
    id: u64,
    lane: u32,
    messages: Vec<Message>,
    bytes: u64,
    opened: u64,
    sent: Option<u64>,
    attempts: u32,
    stored: bool,
    copied: bool,
}

#[derive(Clone, Debug, Default)]
struct LaneState {
    open: Option<Batch>,
    ready: VecDeque<Batch>,
    /// Idempotence: the batch that the bus expects next, and whether the client holds later ones back for it.
    expected: u64,
    held: bool,
    next_id: u64,
}

#[derive(Clone, Debug, Default)]
struct Connection {
    in_flight: u32,
    last_arrival: u64,
    last_append: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Linger { lane: u32, batch: u64 },
    Answered { request: u64 },
    TimedOut { request: u64 },
    Retry { batch: u64 },
}

#[derive(Clone, Debug)]
struct Request {
    broker: u32,
    batches: Vec<(Batch, bool)>,
}

/// The client's state.
#[derive(Clone, Debug)]
pub(super) struct Client {
    setup: std::sync::Arc<ClientSetup>,
    instance: u64,
    lanes: Vec<LaneState>,
    connections: Vec<Connection>,
    calendar: BinaryHeap<Reverse<(u64, u64, Due)>>,
    entries: u64,
    requests: BTreeMap<u64, Request>,
    request_count: u64,
    waiting: BTreeMap<u64, Batch>,
    sticky: u32,
    sticky_bytes: u64,
    sticky_turn: u64,
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
            setup,
            instance,
            lanes,
            connections,
            calendar: BinaryHeap::new(),
            entries: 0,
            requests: BTreeMap::new(),
            request_count: 0,
            waiting: BTreeMap::new(),
            sticky: u32::MAX,
            sticky_bytes: 0,
            sticky_turn: 0,
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
        self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0)
    }

    /// Takes one message at `now`.
    pub(super) fn publish(&mut self, now: u64, message: Message, port: &mut Port) {
        let lane = self.choose_lane(&message);
        let Some(batching) = self.setup.plan.batching.clone() else {
            self.open(lane, now).messages.push(message);
            self.close(lane);
            return self.send_ready(lane % self.setup.brokers, now, port);
        };
        let bytes = u64::from(message.bytes);
        if self.lanes[lane as usize].open.as_ref().is_some_and(|b| b.bytes + bytes > batching.max_bytes) {
            self.close(lane);
        }
        let opened = self.lanes[lane as usize].open.is_none();
        let batch = self.open(lane, now);
        batch.messages.push(message);
        batch.bytes += bytes;
        let (id, full) = (batch.id, batch.bytes >= batching.max_bytes);
        if full {
            self.close(lane);
        } else if opened {
            self.schedule(now.saturating_add(batching.linger.0), Due::Linger { lane, batch: id });
        }
        if full || !self.lanes[lane as usize].ready.is_empty() {
            self.send_ready(lane % self.setup.brokers, now, port);
        }
    }

    /// Does what is due at `now`, which is [`Client::next`].
    pub(super) fn step(&mut self, now: u64, port: &mut Port) {
        let Some(Reverse((_, _, due))) = self.calendar.pop() else { return };
        match due {
            Due::Linger { lane, batch } => {
                if self.lanes[lane as usize].open.as_ref().is_some_and(|open| open.id == batch) {
                    self.send_ready(lane % self.setup.brokers, now, port);
                }
            }
            Due::Answered { request } => self.answered(request, now, port),
            Due::TimedOut { request } => self.timed_out(request, now, port),
            Due::Retry { batch } => {
                if let Some(batch) = self.waiting.remove(&batch) {
                    let lane = batch.lane;
                    self.requeue(batch);
                    self.send_ready(lane % self.setup.brokers, now, port);
                }
            }
        }
    }

    /// The process is gone: what was not appended never will be. Waiters are not told.
    pub(super) fn abandon(&mut self, port: &mut Port, warm_up: u64) {
        let lanes = self.lanes.iter_mut().flat_map(|lane| lane.open.take().into_iter().chain(lane.ready.drain(..)));
        let sent = std::mem::take(&mut self.requests).into_values().flat_map(|r| r.batches).map(|(batch, _)| batch);
        let waiting = std::mem::take(&mut self.waiting).into_values();
        for batch in lanes.chain(sent).chain(waiting).filter(|batch| !batch.stored) {
            for message in &batch.messages {
                port.not_stored.push((message.sequence, message.created >= warm_up, NotStored::Rejected));
            }
        }
        self.calendar.clear();
        self.answers.clear();
        self.connections.iter_mut().for_each(|c| c.in_flight = 0);
        self.lanes.iter_mut().for_each(|lane| (lane.held, lane.expected) = (false, lane.next_id));
    }

    /// Measured messages that are neither appended nor given up.
    pub(super) fn unsent(&self, warm_up: u64) -> u64 {
        let lanes = self.lanes.iter().flat_map(|lane| lane.open.iter().chain(&lane.ready));
        let sent = self.requests.values().flat_map(|request| &request.batches).map(|(batch, _)| batch);
        let batches = lanes.chain(sent).chain(self.waiting.values()).filter(|batch| !batch.stored);
        batches.flat_map(|batch| &batch.messages).filter(|m| m.created >= warm_up).count() as u64
    }

    /// Measured messages that are not acknowledged yet.
    pub(super) fn unanswered(&self, warm_up: u64) -> u64 {
        let lanes = self.lanes.iter().flat_map(|lane| lane.open.iter().chain(&lane.ready));
        let sent = self.requests.values().flat_map(|request| &request.batches).map(|(batch, _)| batch);
        let batches = lanes.chain(sent).chain(self.waiting.values());
        batches.flat_map(|batch| &batch.messages).filter(|m| m.created >= warm_up).count() as u64
    }

    fn schedule(&mut self, at: u64, due: Due) {
        self.entries += 1;
        self.calendar.push(Reverse((at, self.entries, due)));
    }

    fn choose_lane(&mut self, message: &Message) -> u32 {
        let partitions = self.setup.partitions;
        if message.key != NO_KEY {
            return self.setup.lane_of(message.key);
        }
        match self.setup.plan.partitioner {
            Partitioner::Modulo => message.sequence % partitions,
            Partitioner::Murmur2Sticky => {
                let limit = self.setup.plan.batching.as_ref().map_or(0, |batching| batching.max_bytes);
                if self.sticky == u32::MAX || self.sticky_bytes + u64::from(message.bytes) > limit {
                    let draw = self.setup.streams.sticky.part(self.instance).bits(self.sticky_turn);
                    self.sticky =
                        u32::try_from((u128::from(draw) * u128::from(partitions)) >> 64).expect("below partitions");
                    (self.sticky_bytes, self.sticky_turn) = (0, self.sticky_turn + 1);
                }
                self.sticky_bytes += u64::from(message.bytes);
                self.sticky
            }
        }
    }

    fn open(&mut self, lane: u32, now: u64) -> &mut Batch {
        let state = &mut self.lanes[lane as usize];
        let next_id = &mut state.next_id;
        state.open.get_or_insert_with(|| {
            *next_id += 1;
            Batch {
                id: *next_id - 1,
                lane,
                messages: Vec::new(),
                bytes: 0,
                opened: now,
                sent: None,
                attempts: 0,
                stored: false,
                copied: false,
            }
        })
    }

    fn close(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        if let Some(batch) = state.open.take() {
            state.ready.push_back(batch);
        }
    }

    /// Puts a batch back among those of its partition, in order.
    fn requeue(&mut self, batch: Batch) {
        let ready = &mut self.lanes[batch.lane as usize].ready;
        let at = ready.partition_point(|other| other.id < batch.id);
        ready.insert(at, batch);
    }

    /// Sends requests on the connection to a broker while its window allows.
    fn send_ready(&mut self, broker: u32, now: u64, port: &mut Port) {
        while self.setup.plan.max_in_flight.is_none_or(|max| self.connections[broker as usize].in_flight < max) {
            let batches = self.take_ready(broker, now);
            if batches.is_empty() {
                return;
            }
            self.send(broker, batches, now, port);
        }
    }

    /// One batch of each partition that this broker leads, if it is ready.
    fn take_ready(&mut self, broker: u32, now: u64) -> Vec<Batch> {
        let (linger, idempotent) =
            (self.setup.plan.batching.as_ref().map_or(0, |b| b.linger.0), self.setup.plan.idempotent);
        let step = self.setup.brokers.max(1) as usize;
        let waiting = &self.waiting;
        let mut batches = Vec::new();
        for (number, lane) in self.lanes.iter_mut().enumerate().skip(broker as usize).step_by(step) {
            // A batch that waits to be sent again holds up its partition: later ones do not overtake it in the client.
            let first = (number as u64) << 32;
            let next = lane.ready.front().or(lane.open.as_ref()).map_or(0, |batch| batch.id);
            if waiting.range(first..first + next).next().is_some() {
                continue;
            }
            if lane.ready.is_empty() && lane.open.as_ref().is_some_and(|open| now >= open.opened.saturating_add(linger))
            {
                lane.ready.extend(lane.open.take());
            }
            let waits = idempotent && lane.held && lane.ready.front().is_some_and(|batch| batch.id != lane.expected);
            if waits {
                continue;
            }
            if let Some(batch) = lane.ready.pop_front() {
                lane.held = false;
                batches.push(batch);
            }
        }
        batches
    }

    /// Sends one request and decides all that happens to it.
    fn send(&mut self, broker: u32, mut batches: Vec<Batch>, now: u64, port: &mut Port) {
        let (id, setup) = (self.request_count, self.setup.clone());
        self.request_count += 1;
        let number = setup.request_number(self.instance, id);
        let verdict = setup.link.verdict(setup.streams.link.part(self.instance), id, now);
        let there = setup.draw(&setup.network, setup.streams.network, 2 * number) + verdict.delay;
        let back = setup.draw(&setup.network, setup.streams.network, 2 * number + 1) + verdict.delay;
        let append = setup.draw(&setup.store.append, setup.streams.append, number);
        let replicate = setup.draw(&setup.store.replicate, setup.streams.replicate, number);
        let fsync = setup.draw(&setup.store.fsync, setup.streams.fsync, number);
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
        let visible = appended + if setup.store.visible_when_replicated { replicate } else { 0 };
        let mut refused = Vec::with_capacity(batches.len());
        for batch in &mut batches {
            batch.attempts += 1;
            batch.sent.get_or_insert(now);
            self.retries += u64::from(batch.attempts > 1);
            let lane = &mut self.lanes[batch.lane as usize];
            let known = setup.plan.idempotent && batch.id < lane.expected;
            let refuse = setup.plan.idempotent && batch.id > lane.expected;
            refused.push(refuse && !verdict.dropped);
            if verdict.dropped || known || refuse {
                continue;
            }
            if setup.plan.idempotent {
                lane.expected = batch.id + 1;
            }
            let twice = verdict.duplicated && !setup.plan.idempotent;
            // A response that is lost makes the client store the batch again, unless the bus recognises it.
            let again = verdict.response_lost && !setup.plan.idempotent && setup.plan.acks != Acks::None;
            batch.copied |= twice || again;
            append_batch(batch, appended, visible, port);
            if twice {
                append_batch(batch, appended.max(now + there + there), visible.max(now + there + there), port);
            }
            batch.stored = true;
        }
        let answer = match setup.plan.acks {
            Acks::None => now,
            Acks::Leader => appended + back,
            Acks::All => appended + replicate + fsync + back,
        };
        let silent = (verdict.dropped || verdict.response_lost) && setup.plan.acks != Acks::None;
        if silent {
            let deadline = now.saturating_add(setup.plan.retry.request_timeout.0);
            self.schedule(deadline, Due::TimedOut { request: id });
        } else {
            self.schedule(answer, Due::Answered { request: id });
        }
        self.connections[broker as usize].in_flight += 1;
        self.requests.insert(id, Request { broker, batches: batches.into_iter().zip(refused).collect() });
    }

    fn answered(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(request) = self.requests.remove(&request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        for (batch, refused) in request.batches {
            if refused {
                // Out of sequence: held back until the one before it has been stored.
                self.lanes[batch.lane as usize].held = true;
                self.requeue(batch);
            } else if batch.stored || self.setup.plan.acks != Acks::None {
                self.answers.extend(batch.messages.iter().map(|message| (now, *message, Answer::Acknowledged)));
            } else {
                self.give_up(&batch, now, port);
            }
        }
        self.send_ready(request.broker, now, port);
    }

    fn timed_out(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(request) = self.requests.remove(&request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        let retry = self.setup.plan.retry.clone();
        for (batch, _) in request.batches {
            let wait = self.backoff(&batch);
            let late = now.saturating_add(wait) > batch.opened.saturating_add(retry.delivery_timeout.0);
            if batch.attempts > retry.retries || late {
                let lane = &mut self.lanes[batch.lane as usize];
                lane.expected = lane.expected.max(batch.id + 1);
                self.give_up(&batch, now, port);
            } else {
                let key = (u64::from(batch.lane) << 32) | batch.id;
                self.waiting.insert(key, batch);
                self.schedule(now + wait, Due::Retry { batch: key });
            }
        }
        self.send_ready(request.broker, now, port);
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

    fn give_up(&mut self, batch: &Batch, now: u64, port: &mut Port) {
        for message in &batch.messages {
            self.answers.push((now, *message, Answer::GivenUp));
            if !batch.stored {
                let measured = message.created >= self.setup.warm_up;
                port.not_stored.push((message.sequence, measured, NotStored::Indeterminate));
            }
        }
    }
}

fn append_batch(batch: &Batch, append: u64, visible: u64, port: &mut Port) {
    for message in &batch.messages {
        let event = if batch.copied { EventCode::copied(message.event) } else { message.event };
        let record = Record { visible, created: message.created, key: message.key, event };
        let sent = batch.sent.unwrap_or(message.created).max(message.created);
        let extra = Extra { sent, origin: message.origin, event_type: message.event_type };
        port.appends.push(Append { append, record, extra, lane: batch.lane, bytes: message.bytes });
    }
}

impl ClientSetup {
    /// One draw of a stage, rounded.
    fn draw(&self, dist: &crate::dist::Dist, stream: crate::random::Stream, number: u64) -> u64 {
        match dist.constant() {
            Some(value) => self.rounding.span(value),
            None => self.rounding.up(dist.whole(&mut stream.at(number), About::default())),
        }
    }

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
