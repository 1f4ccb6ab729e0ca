//! The publishing client of one process for one topic: batches, in-flight window, attempts, retries, idempotence.
//!
//! The client decides what its requests meet on their way (it draws the network, the append and the replication of each
//! request, and whether a fault on the link swallows it), so that it knows every acknowledgement without asking another
//! station; the topic only merges what several clients append.

mod leaders;
mod open;
mod requests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use leaders::Leaders;
use open::Open;
use requests::{Request, Sent, Stages};

use super::lineage::Lineage;
use super::log::NO_KEY;
use super::partitioner::KeylessLanes;
use super::setup::{ClientSetup, Rounding};
use super::topic::{NotStored, Port};
use crate::outcome::Told;
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
    /// The transaction that it is part of; 0: none.
    pub(super) transaction: u32,
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
    /// Whether a copy has been written to the log, and whether the bus still has one.
    written: bool,
    stored: bool,
    /// When the copy that is stored is lost from the log.
    lost: Option<u64>,
    copied: bool,
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
    Linger {
        lane: u32,
        batch: u64,
    },
    Answered {
        request: u64,
    },
    TimedOut {
        request: u64,
    },
    Retry {
        lane: u32,
        batch: u64,
    },
    /// The client knows who leads.
    Known {
        lane: u32,
    },
    /// It hears that someone does not.
    Told {
        lane: u32,
    },
}

/// A message whose publish call waits for room in the client's buffer.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    until: u64,
    lane: u32,
    message: Message,
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
    /// Who leads, where nodes fail.
    leaders: Option<Box<Leaders>>,
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
            leaders: Leaders::new(&setup, instance).map(Box::new),
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

    /// Whether a message is measured.
    pub(super) fn measures(&self, message: &Message) -> bool {
        message.created >= self.setup.warm_up
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
        let lane = self.place(now, &message, port);
        self.publish_to(lane, now, message, port);
    }

    /// Takes one message, to be published later to the partition that is chosen for it.
    pub(super) fn place(&mut self, now: u64, message: &Message, port: &mut Port) -> u32 {
        port.taken(message, now);
        self.choose_lane(message, now)
    }

    /// Publishes a message that has been placed.
    pub(super) fn publish_to(&mut self, lane: u32, now: u64, message: Message, port: &mut Port) {
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
            return self.send_lane(lane, now, port);
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
            self.send_lane(lane, now, port);
        }
    }

    /// No batch waits for company any more.
    pub(super) fn flush(&mut self, now: u64, port: &mut Port) {
        for lane in 0..self.setup.partitions {
            if self.lanes[lane as usize].open.is_some() {
                self.close(lane);
                self.send_lane(lane, now, port);
            }
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
                    self.send_lane(lane, now, port);
                }
            }
            Due::Answered { request } => self.answered(request, now, port),
            Due::TimedOut { request } => self.timed_out(request, now, port),
            Due::Retry { lane, batch } => {
                let waiting = &mut self.lanes[lane as usize].waiting;
                if let Some(at) = waiting.iter().position(|number| *number == batch) {
                    waiting.remove(at);
                    self.requeue(lane, batch);
                    self.send_lane(lane, now, port);
                }
            }
            Due::Known { lane } => self.know(lane, now, port),
            Due::Told { lane } => self.notice(lane, now),
        }
    }

    /// The process is gone: what was not appended never will be, and ends in one way or the other. Waiters are not told.
    pub(super) fn abandon(&mut self, port: &mut Port, now: u64, how: impl Fn(&Message) -> NotStored) {
        for message in self.unsent_messages() {
            port.void(message, message.created >= self.setup.warm_up, how(message), now);
        }
        self.forget();
    }

    /// Gives up all that it has in hand, and tells nobody.
    pub(super) fn forget(&mut self) {
        self.batches.clear();
        self.blocked.clear();
        (self.held_bytes, self.held_messages) = (0, 0);
        self.requests.clear();
        self.calendar.clear();
        if let Some(leaders) = &mut self.leaders {
            leaders.forget();
        }
        self.answers.clear();
        self.connections.iter_mut().for_each(|connection| connection.in_flight = 0);
        for lane in &mut self.lanes {
            let (next_id, visible) = (lane.next_id, lane.visible);
            *lane = LaneState { expected: next_id, next_id, visible, ..LaneState::default() };
        }
    }

    /// Messages that are not appended, nor on their way to be.
    pub(super) fn unsent_messages(&self) -> impl Iterator<Item = &Message> {
        let batches = self.batches.iter().filter(|batch| !batch.written).flat_map(|batch| &batch.messages);
        batches.chain(self.blocked.iter().map(|blocked| &blocked.message))
    }

    /// Measured messages that are neither appended nor given up.
    pub(super) fn unsent(&self, warm_up: u64) -> u64 {
        self.unsent_messages().filter(|message| message.created >= warm_up).count() as u64
    }

    /// Measured messages that are not acknowledged yet.
    pub(super) fn unanswered(&self, warm_up: u64) -> u64 {
        let sent = self.batches.iter().filter(|batch| batch.written).flat_map(|batch| &batch.messages);
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
                written: false,
                stored: false,
                lost: None,
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
        self.send_lane(lane, now, port);
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
            if batch.written {
                port.tell(std::slice::from_ref(message), now, Told::GivenUp(true));
            } else {
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
