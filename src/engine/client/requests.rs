//! Requests of a client: which batches they take along, what the bus does with them, and what follows the answer.

use super::{Acks, Answer, Batch, Client, Due};
use crate::engine::ahead::Delays;
use crate::engine::log::{EventCode, Extra, Record};
use crate::engine::setup::ClientSetup;
use crate::engine::timeline::Verdict;
use crate::engine::topic::{Append, Port};
use crate::outcome::{LossCause, Told};

/// A request that has no answer yet.
#[derive(Clone, Debug)]
pub(super) struct Request {
    broker: u32,
    batches: Vec<Sent>,
}

/// A batch in a request, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    batch: u64,
    /// Whether the bus refuses it as out of sequence.
    early: bool,
    /// Whether it refuses it for now, or cannot acknowledge it.
    refused: bool,
}

/// What the bus does with a request, as far as it does not depend on what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journey {
    verdict: Verdict,
    /// Whether it is appended anywhere.
    arrives: bool,
    /// When the connection is closed, if it is.
    closed: Option<u64>,
    /// Append of a copy that the link makes.
    again: u64,
    pub(super) appended: u64,
    visible: u64,
    pub(super) replicated: u64,
    pub(super) fsync: u64,
    back: u64,
}

/// What the bus does with one batch of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// When readers may see it.
    pub(super) visible: u64,
    /// When the bus knows what it answers.
    pub(super) known: u64,
    /// Whether it is in the log, or was acknowledged.
    pub(super) stored: bool,
    /// Whether the answer says that it must be sent again.
    pub(super) refused: bool,
    /// When it is lost from the log, and what that is called.
    pub(super) lost: Option<(u64, LossCause)>,
}

/// The stages of requests.
#[derive(Clone, Debug)]
pub(super) struct Stages {
    network: Delays,
    append: Delays,
    replicate: Delays,
    fsync: Delays,
}

impl Stages {
    pub(super) fn new(setup: &ClientSetup) -> Self {
        let (store, streams) = (&setup.store, &setup.streams);
        Self {
            network: Delays::new(&setup.network, streams.network, setup.rounding),
            append: Delays::new(&store.append, streams.append, setup.rounding),
            replicate: Delays::new(&store.replicate, streams.replicate, setup.rounding),
            fsync: Delays::new(&store.fsync, streams.fsync, setup.rounding),
        }
    }
}

impl Client {
    /// Sends requests on the connection to a broker while its window allows.
    pub(super) fn send_ready(&mut self, broker: u32, now: u64, port: &mut Port) {
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
        let step = self.setup.brokers.max(1) as usize;
        let mut taken = self.sent.pop().unwrap_or_default();
        if self.leaders.is_none() {
            for lane in (broker as usize..self.lanes.len()).step_by(step) {
                taken.extend(self.take_batch(lane, now));
            }
        } else {
            for lane in 0..self.setup.partitions {
                if self.leader(lane, now) == Some(broker) {
                    taken.extend(self.take_batch(lane as usize, now));
                }
            }
        }
        taken
    }

    /// The next batch of a partition, if it is ready.
    #[inline]
    fn take_batch(&mut self, lane: usize, now: u64) -> Option<Sent> {
        let lane = &mut self.lanes[lane];
        let next = lane.ready.front().copied().or(lane.open)?;
        // A batch that waits to be sent again holds up its partition: later ones do not overtake it in the client.
        if lane.waiting.iter().any(|waiting| *waiting < next) {
            return None;
        }
        let linger = self.setup.plan.batching.as_ref().map_or(0, |batching| batching.linger.0);
        let (idempotent, hurried) = (self.setup.plan.idempotent, !self.blocked.is_empty());
        let batch = self.batches.get(next).expect("what is ready or open is not finished");
        let lingers = lane.open == Some(next) && !hurried && now < batch.opened.saturating_add(linger);
        if lingers || idempotent && lane.held && batch.id != lane.expected {
            return None;
        }
        if lane.ready.pop_front().is_none() {
            lane.open = None;
        }
        lane.held = false;
        Some(Sent { batch: next, early: false, refused: false })
    }

    /// Sends one request and decides all that happens to it.
    fn send(&mut self, broker: u32, mut batches: Vec<Sent>, now: u64, port: &mut Port) {
        let id = self.requests.next();
        let journey = self.journey(broker, id, now);
        let plan = &self.setup.plan;
        let deadline = now.saturating_add(plan.retry.request_timeout.0);
        if journey.arrives && plan.fifo_connection {
            for sent in &batches {
                let lane = &mut self.lanes[self.batches.get(sent.batch).expect("just taken").lane as usize];
                lane.visible = lane.visible.max(journey.visible);
            }
        }
        let answer = self.answer(broker, &batches, &journey, now);
        let answered = answer.filter(|answer| *answer <= deadline);
        for sent in &mut batches {
            self.deliver(sent, broker, &journey, (now, answered.is_some()), port);
        }
        match answered {
            Some(answer) => self.schedule(answer, Due::Answered { request: id }),
            None => {
                let closed = journey.closed.map(|closed| closed.max(now).saturating_add(journey.back));
                self.schedule(closed.unwrap_or(u64::MAX).min(deadline), Due::TimedOut { request: id });
            }
        }
        self.connections[broker as usize].in_flight += 1;
        self.requests.open(Request { broker, batches });
    }

    /// What the bus does with a batch of a request that is sent at `now`, and whether the client hears of it in time.
    #[inline]
    fn deliver(&mut self, sent: &mut Sent, broker: u32, journey: &Journey, (now, heard): (u64, bool), port: &mut Port) {
        let lane = self.batches.get(sent.batch).expect("just taken").lane;
        let fate = self.fate(lane, broker, journey);
        let (idempotent, acks) = (self.setup.plan.idempotent, self.setup.plan.acks);
        let batch = self.batches.get_mut(sent.batch).expect("just taken");
        batch.attempts += 1;
        batch.sent.get_or_insert(now);
        self.retries += u64::from(batch.attempts > 1);
        port.tell(&batch.messages, now, Told::Sent { broker, attempt: batch.attempts });
        if batch.lost.is_some_and(|lost| lost <= journey.appended) {
            (batch.stored, batch.lost) = (false, None);
        }
        let state = &mut self.lanes[lane as usize];
        let known = idempotent && batch.stored;
        sent.refused = fate.refused;
        sent.early = journey.arrives && !known && fate.stored && idempotent && batch.id > state.expected;
        if acks == Acks::None && journey.arrives && fate.refused {
            // A node that does not lead closes the connection.
            return self.schedule(journey.appended.saturating_add(journey.back), Due::Told { lane });
        }
        let acked = acks == Acks::None || heard && !fate.refused;
        // What is lost before anybody sees it, and not acknowledged, is sent again as if it had never been there.
        let vain = fate.lost.is_some_and(|(at, _)| at <= fate.visible) && !acked;
        if !journey.arrives || known || sent.early || !fate.stored || vain {
            return;
        }
        state.expected = state.expected.max(batch.id + 1);
        let twice = journey.verdict.duplicated && !idempotent && fate.lost.is_none();
        // Without an answer in time the client stores the batch again, unless the bus recognises it.
        batch.copied |= twice || !acked && (!idempotent || fate.lost.is_some());
        (batch.written, batch.stored, batch.lost) = (true, true, fate.lost.map(|(at, _)| at));
        append_batch(batch, journey.appended, fate.visible, fate.lost, port);
        if twice {
            let again = journey.again.max(journey.appended);
            append_batch(batch, again, again.max(fate.visible), None, port);
        }
    }

    /// What the bus does with a batch of a partition.
    #[inline]
    fn fate(&mut self, lane: u32, broker: u32, journey: &Journey) -> Fate {
        if self.leaders.is_some()
            && journey.arrives
            && let Some(fate) = self.meet_leader(lane, broker, journey)
        {
            return fate;
        }
        let known = match self.setup.plan.acks {
            Acks::None | Acks::Leader => journey.appended,
            Acks::All => self.lanes[lane as usize].visible.max(journey.replicated) + journey.fsync,
        };
        Fate { visible: journey.visible, known, stored: true, refused: false, lost: None }
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
        let (mut arrives, mut closed) = (!verdict.dropped, None);
        if let Some(leaders) = &self.leaders {
            let node = &leaders.cluster.nodes[broker as usize];
            closed = node.closed(now, u64::MAX);
            match node.serves(arrival) {
                Some(served) => appended = served,
                None => arrives = false,
            }
        }
        if arrives {
            appended =
                if setup.plan.fifo_connection { appended.max(connection.last_append) } else { appended } + append;
            arrives = closed.is_none_or(|closed| appended < closed);
        }
        if arrives {
            connection.last_append = appended;
        }
        let replicated = appended + replicate;
        let visible = if setup.store.visible_when_replicated { replicated } else { appended };
        Journey { verdict, arrives, closed, again: now + there + there, appended, visible, replicated, fsync, back }
    }

    /// When a request is answered, if it ever is: not before what it speaks of, and where the connection is so, not
    /// before an earlier one. (What other clients append meanwhile is not known here: a copy that waits for one of
    /// theirs to become visible is acknowledged as if it did not.)
    fn answer(&mut self, broker: u32, batches: &[Sent], journey: &Journey, now: u64) -> Option<u64> {
        if self.setup.plan.acks == Acks::None {
            return Some(now);
        }
        if !journey.arrives || journey.verdict.response_lost {
            return None;
        }
        let mut known = 0;
        for sent in batches {
            let lane = self.batches.get(sent.batch).expect("just taken").lane;
            known = known.max(self.fate(lane, broker, journey).known);
        }
        if let Some(leaders) = &self.leaders {
            // Who answers must be there still.
            known = leaders.cluster.nodes[broker as usize].serves(known)?;
            if journey.closed.is_some_and(|closed| closed <= known) {
                return None;
            }
        }
        let mut answer = known + journey.back;
        if self.setup.plan.fifo_answers {
            let connection = &mut self.connections[broker as usize];
            answer = answer.max(connection.last_answer);
            connection.last_answer = answer;
        }
        Some(answer)
    }

    pub(super) fn answered(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(mut request) = self.requests.remove(request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        for Sent { batch: number, early, refused } in request.batches.drain(..) {
            // What has expired meanwhile is not waited for any more.
            let Some(batch) = self.batches.get(number) else { continue };
            let (lane, stored) = (batch.lane, batch.stored);
            if early || refused && self.setup.plan.acks != Acks::None {
                port.tell(&batch.messages, now, Told::Refused);
            }
            if early {
                // Out of sequence: held back until the one before it has been stored.
                self.lanes[lane as usize].held = true;
                self.requeue(lane, number);
            } else if refused && self.setup.plan.acks != Acks::None {
                self.notice(lane, now);
                self.try_again(number, now, port);
            } else if stored {
                let mut messages = self.finish(number).messages;
                port.tell(&messages, now, Told::Acknowledged);
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

    pub(super) fn timed_out(&mut self, request: u64, now: u64, port: &mut Port) {
        let Some(request) = self.requests.remove(request) else { return };
        self.connections[request.broker as usize].in_flight -= 1;
        self.notice_silence(request.broker, now);
        for Sent { batch: number, .. } in request.batches {
            if let Some(batch) = self.batches.get(number) {
                port.tell(&batch.messages, now, Told::Unanswered);
            }
            self.try_again(number, now, port);
        }
        self.unblock(now, port);
        self.send_ready(request.broker, now, port);
    }

    /// Sends a batch again after a while, if it may be.
    fn try_again(&mut self, number: u64, now: u64, port: &mut Port) {
        let Some(batch) = self.batches.get(number) else { return };
        if batch.attempts > self.setup.plan.retry.retries {
            return self.give_up(number, now, port);
        }
        let (lane, wait) = (batch.lane, self.backoff(batch));
        self.lanes[lane as usize].waiting.push(number);
        self.schedule(now + wait, Due::Retry { lane, batch: number });
    }
}

fn append_batch(batch: &Batch, append: u64, visible: u64, lost: Option<(u64, LossCause)>, port: &mut Port) {
    for message in &batch.messages {
        let event = if batch.copied { EventCode::copied(message.event) } else { message.event };
        let record = Record { visible, created: message.created, key: message.key, event };
        let sent = batch.sent.unwrap_or(message.created).max(message.created);
        let extra = Extra { sent, lineage: message.lineage, event_type: message.event_type };
        let (bytes, transaction) = (message.bytes, message.transaction);
        port.appends.push(Append { append, record, extra, lane: batch.lane, bytes, lost, transaction, ends: None });
    }
}
