//! The station Source: when something happens in the business, and the clients that publish it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::ahead::Ahead;
use super::client::{Answer, Client, Message};
use super::handler::{Action, Program, clamp};
use super::journeys::{News, Notes};
use super::lineage::Lineage;
use super::log::{NO_KEY, Record, leading};
use super::setup::{ClientSetup, Publisher, Rounding, Setup, is_plain_source};
use super::timeline::bursts;
use super::topic::{Inbox, NotStored, Port};
use crate::dist::{About, ArrivalTimes, Dist, KeySampler};
use crate::outcome::ProducerOutcome;
use crate::plan::{FailurePlan, FaultTarget, Plan, ProducerId, TopicId};
use crate::random::{Stream, fnv1a};

/// Arrivals drawn at a time.
const BLOCK: usize = 256;

/// One producer.
#[derive(Clone, Debug)]
pub(super) struct Source {
    arrivals: ArrivalTimes,
    times: Vec<u64>,
    at: usize,
    /// Those in `times` before this are in the meter.
    metered: usize,
    ended: bool,
    keys: KeySampler,
    key_stream: Stream,
    keyed: Vec<u32>,
    /// Number of the first arrival in `times`.
    first: u64,
    meter: Meter,
    kind: Kind,
    setup: SourceSetup,
}

#[derive(Clone, Debug)]
struct SourceSetup {
    warm_up: u64,
    end: u64,
    coarse: super::setup::Rounding,
    instances: u32,
    /// Number of its first journey.
    first_root: u64,
}

#[derive(Clone, Debug)]
struct Meter {
    outcome: ProducerOutcome,
    /// What is told of journeys.
    notes: Notes,
}

impl Meter {
    #[inline]
    fn acknowledged(&mut self, latency: u64) {
        self.outcome.publish_latency.record(latency);
        self.outcome.publish_latency_sum += u128::from(latency);
    }

    fn all_acknowledged(&mut self, latency: u64, count: u64) {
        self.outcome.publish_latency.record_many(latency, count);
        self.outcome.publish_latency_sum += u128::from(latency) * u128::from(count);
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Plain(Box<Plain>),
    General(Box<General>),
}

/// One event per arrival, published at once, visible after an independent delay.
#[derive(Clone, Debug)]
struct Plain {
    client: Arc<ClientSetup>,
    delays: Vec<u64>,
    answers: Vec<u64>,
    scratch: Vec<u64>,
    ids: Vec<u64>,
    constant_delay: Option<u64>,
    constant_answer: Option<u64>,
    /// An answer after this is too late.
    timeout: u64,
    bytes: u64,
}

/// Any handler, any client.
#[derive(Clone, Debug)]
struct General {
    name_streams: Streams,
    program: Program,
    failure: FailurePlan,
    sizes: Ahead,
    events_per_arrival: Dist,
    types: Vec<(u16, f64)>,
    /// Clients by topic and instance.
    clients: Vec<(usize, Vec<Client>)>,
    setups: Vec<Arc<ClientSetup>>,
    /// Ports by topic, with the publisher's number there.
    ports: Vec<(usize, usize, Port)>,
    frames: BTreeMap<u32, Frame>,
    next_frame: u32,
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// When a frame goes on, or a client next does something.
    next: u64,
    /// A list that is used again.
    spare: Vec<Action>,
    events: u64,
    /// Number of the first event in the streams of the handler: that of a request of a service of this name.
    offset: u64,
}

#[derive(Clone, Copy, Debug)]
struct Streams {
    size: Stream,
    types: Stream,
    count: Stream,
    failure: Stream,
}

#[derive(Clone, Debug)]
struct Frame {
    id: u64,
    actions: Vec<Action>,
    at: usize,
    key: u32,
    event_type: u16,
    size: u32,
    created: u64,
    instance: u32,
    waits: u32,
}

impl Source {
    pub(super) fn new(plan: &Plan, setup: &Setup, index: usize) -> Self {
        let producer = &plan.producers[index];
        let stream = |purpose: &str| Stream::named(setup.seed, &format!("{}/{purpose}", producer.name));
        let id = ProducerId(u32::try_from(index).expect("producers fit 32 bits"));
        let bursts = bursts(plan, setup.seed, |target| target == FaultTarget::Producer(id));
        let clients: Vec<_> = setup.clients.iter().filter(|((who, _), _)| *who == Publisher::Producer(index)).collect();
        let kind = match clients.as_slice() {
            [((who, topic), client)] if is_plain_source(plan, *who, client) && !setup.topics[*topic].rich => {
                Kind::Plain(Box::new(Plain::new((*client).clone(), producer.size.constant().unwrap_or(0.0))))
            }
            _ => Kind::General(Box::new(General {
                name_streams: Streams {
                    size: stream("size"),
                    types: stream("types"),
                    count: stream("events_per_arrival"),
                    failure: stream("failure"),
                },
                program: Program::new(&producer.handler, &producer.name, setup.seed, setup.rounding),
                spare: Vec::new(),
                next: u64::MAX,
                failure: producer.failure,
                sizes: Ahead::new(&producer.size, stream("size"), Rounding(1), 1),
                events_per_arrival: producer.events_per_arrival.clone(),
                types: producer.types.clone(),
                clients: clients
                    .iter()
                    .map(|((_, topic), client)| {
                        let instances = 0..u64::from(producer.instances);
                        (*topic, instances.map(|instance| Client::new((*client).clone(), instance)).collect())
                    })
                    .collect(),
                setups: clients.iter().map(|(_, client)| (*client).clone()).collect(),
                ports: clients
                    .iter()
                    .map(|((_, topic), client)| (*topic, client.publisher, Port::new(client, &setup.follow)))
                    .collect(),
                frames: BTreeMap::new(),
                next_frame: 0,
                due: BinaryHeap::new(),
                events: 0,
                offset: fnv1a(producer.name.as_bytes()),
            })),
        };
        let mut source = Self {
            arrivals: producer.arrivals.start(stream("arrivals"), &bursts),
            times: Vec::new(),
            at: 0,
            metered: 0,
            ended: false,
            keys: KeySampler::new(&producer.key),
            key_stream: stream("keys"),
            keyed: Vec::new(),
            first: 0,
            meter: Meter {
                outcome: ProducerOutcome::default(),
                notes: Notes::new(&setup.follow, setup.follow.origins[index]),
            },
            kind,
            setup: SourceSetup {
                warm_up: setup.warm_up,
                end: setup.end,
                coarse: setup.rounding,
                instances: producer.instances.max(1),
                first_root: setup.roots.first(Publisher::Producer(index)),
            },
        };
        source.refill();
        source
    }

    /// When the source next does something.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        let arrival = self.times.get(self.at).copied().unwrap_or(u64::MAX);
        match &self.kind {
            Kind::Plain(_) => arrival,
            Kind::General(general) => arrival.min(general.next),
        }
    }

    /// Handles everything strictly before `until`.
    pub(super) fn advance(&mut self, until: u64, inboxes: &mut [Inbox]) {
        match &mut self.kind {
            Kind::Plain(_) => self.advance_plain(until, inboxes),
            Kind::General(_) => self.advance_general(until, inboxes),
        }
    }

    /// Draws the next block of arrivals with all that belongs to them.
    fn refill(&mut self) {
        self.first += self.times.len() as u64;
        self.clear();
        if self.ended {
            return;
        }
        self.arrivals.next_block(BLOCK, &mut self.times);
        for time in &mut self.times {
            *time = self.setup.coarse.up(*time);
        }
        let before_end = self.times.partition_point(|time| *time < self.setup.end);
        self.ended = before_end < self.times.len() || self.times.is_empty();
        self.times.truncate(before_end);
        self.keyed.resize(self.times.len(), 0);
        self.keys.fill(self.key_stream, self.first, &mut self.keyed);
        match &mut self.kind {
            Kind::Plain(plain) => plain.refill(self.first, self.times.len()),
            Kind::General(general) => {
                general.setups.iter().for_each(|setup| setup.recall(&self.keyed));
            }
        }
    }

    fn advance_plain(&mut self, until: u64, inboxes: &mut [Inbox]) {
        loop {
            let due = self.at + leading(&self.times[self.at..], |time| *time < until);
            if due > self.at {
                self.emit_plain(due, inboxes);
            }
            if self.at < self.times.len() || self.times.is_empty() {
                return;
            }
            self.refill();
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "event numbers are bounded by the event code")]
    fn emit_plain(&mut self, due: usize, inboxes: &mut [Inbox]) {
        let Kind::Plain(plain) = &mut self.kind else { return };
        let client = &*plain.client;
        let inbox = &mut inboxes[client.topic];
        let (from, warm_up) = (self.at, self.setup.warm_up);
        let code = inbox.code;
        if self.first + due as u64 > code.capacity() {
            inbox.full = true;
            return self.stop();
        }
        let modulo = u64::from(client.partitions);
        for i in from..due {
            let (created, key) = (self.times[i], self.keyed[i]);
            let number = self.first + i as u64;
            let lane = if key == NO_KEY { (number % modulo) as u32 } else { client.lane_of(key) };
            let visible = created + plain.constant_delay.unwrap_or_else(|| plain.delays[i]);
            let event = code.event(client.publisher as u32, number as u32);
            inbox.accept_plain(lane, Record { visible, created, key, event });
        }
        if self.meter.notes.speaks() {
            let what = News::BegunBy(TopicId(client.topic as u32));
            for (time, number) in self.times[from..due].iter().zip(self.first + from as u64..) {
                self.meter.notes.note(*time, self.setup.first_root + number, what);
            }
        }
        let measured = self.times[from..due].iter().filter(|time| **time >= warm_up).count() as u64;
        inbox.number_plain(client.publisher, &self.times[from..due], measured, plain.bytes);
        self.at = due;
    }

    /// Counts what was emitted, and how it was answered: for a whole block at once.
    fn count_plain(&mut self) {
        let Kind::Plain(plain) = &self.kind else { return };
        let (all, warm_up) = (std::mem::replace(&mut self.metered, self.at)..self.at, self.setup.warm_up);
        let times = self.times[all.clone()].iter().filter(|created| **created >= warm_up);
        let measured = times.clone().count() as u64;
        self.meter.outcome.created += measured;
        // What is not answered before the end of the run is still on its way then.
        if let Some(answer) = plain.constant_answer {
            let settled = answer.min(plain.timeout);
            let late = times.filter(|created| **created + settled >= self.setup.end).count() as u64;
            self.meter.outcome.publishing += late;
            if answer <= plain.timeout {
                self.meter.all_acknowledged(answer, measured - late);
            } else {
                self.meter.outcome.indeterminate += measured - late;
            }
        } else {
            let answers = self.times[all.clone()].iter().zip(&plain.answers[all]);
            for (created, answer) in answers.filter(|(created, _)| **created >= warm_up) {
                if created + answer.min(&plain.timeout) >= self.setup.end {
                    self.meter.outcome.publishing += 1;
                } else if *answer <= plain.timeout {
                    self.meter.acknowledged(*answer);
                } else {
                    self.meter.outcome.indeterminate += 1;
                }
            }
        }
    }

    fn advance_general(&mut self, until: u64, inboxes: &mut [Inbox]) {
        loop {
            let now = self.next();
            if now >= until {
                break;
            }
            if self.times.get(self.at) == Some(&now) {
                self.arrive(now);
            } else if let Kind::General(general) = &mut self.kind {
                general.step(now, &mut self.meter, &self.setup);
                general.look();
            }
        }
        if let Kind::General(general) = &mut self.kind {
            for (topic, publisher, port) in &mut general.ports {
                inboxes[*topic].absorb(*publisher, port);
            }
            if general.ports.iter().any(|(.., port)| port.is_full()) {
                self.stop();
            }
        }
    }

    /// Nothing arrives any more.
    fn stop(&mut self) {
        self.ended = true;
        self.clear();
    }

    /// Gives up the block of arrivals.
    fn clear(&mut self) {
        self.count_plain();
        self.times.clear();
        (self.at, self.metered) = (0, 0);
    }

    fn arrive(&mut self, now: u64) {
        let number = self.first + self.at as u64;
        let key = self.keyed[self.at];
        self.at += 1;
        if self.at >= self.times.len() {
            self.refill();
        }
        let Kind::General(general) = &mut self.kind else { return };
        let about = About { key, event_type: 0, index: number, stream: general.name_streams.count };
        let count = general.events_per_arrival.whole(&mut general.name_streams.count.at(number), about);
        for n in 0..count {
            // The first event of an arrival has the arrival's key; each further one its own.
            let key = if n == 0 { key } else { self.keys.key(&mut self.key_stream.part(n).at(number), number) };
            general.begin(now, key, &mut self.meter, &self.setup);
        }
        general.look();
    }

    /// What is to be told of journeys.
    pub(super) fn notes(&mut self) -> &mut Notes {
        &mut self.meter.notes
    }

    /// What the run says of this producer.
    pub(super) fn outcome(&mut self) -> ProducerOutcome {
        self.count_plain();
        let mut outcome = self.meter.outcome.clone();
        if let Kind::General(general) = &self.kind {
            let clients = || general.clients.iter().flat_map(|(_, clients)| clients);
            outcome.publishing += clients().map(|client| client.unanswered(self.setup.warm_up)).sum::<u64>();
            outcome.retries = clients().map(|client| client.retries).sum();
        }
        outcome
    }

    /// Measured events of each topic that sit in a client, not appended.
    pub(super) fn unsent(&self) -> Vec<(usize, u64)> {
        match &self.kind {
            Kind::Plain(_) => Vec::new(),
            Kind::General(general) => general
                .clients
                .iter()
                .map(|(topic, clients)| (*topic, clients.iter().map(|c| c.unsent(self.setup.warm_up)).sum()))
                .collect(),
        }
    }
}

impl Plain {
    fn new(client: Arc<ClientSetup>, bytes: f64) -> Self {
        let rounding = client.rounding;
        let constant = |dists: &[&Dist]| -> Option<u64> {
            dists.iter().map(|dist| dist.constant().map(|value| rounding.span(value))).sum()
        };
        let store = &client.store;
        let constant_delay = constant(&[&client.network, &store.append, &store.replicate]);
        let constant_answer =
            constant(&[&client.network, &store.append, &store.replicate, &store.fsync, &client.network]);
        Self {
            delays: Vec::new(),
            answers: Vec::new(),
            scratch: vec![0; BLOCK],
            ids: Vec::new(),
            constant_delay,
            constant_answer,
            timeout: client.plan.retry.request_timeout.0.min(client.plan.retry.delivery_timeout.0),
            bytes: u64::from(clamp(crate::time::SimSpan::from_nanos_f64(bytes).0)),
            client,
        }
    }

    /// Draws delay and answer of the arrivals from `first` on.
    fn refill(&mut self, first: u64, count: usize) {
        if self.constant_answer.is_some() {
            return;
        }
        let client = self.client.clone();
        let numbers = |step: u64, offset: u64| (first..first + count as u64).map(move |n| step * n + offset);
        self.delays.clear();
        self.delays.resize(count, 0);
        let (store, streams) = (&client.store, &client.streams);
        self.ids.clear();
        self.ids.extend(numbers(2, 0));
        self.add(&client.network, streams.network);
        self.ids.clear();
        self.ids.extend(numbers(1, 0));
        self.add(&store.append, streams.append);
        self.add(&store.replicate, streams.replicate);
        let visible = self.delays.clone();
        self.add(&store.fsync, streams.fsync);
        self.ids.clear();
        self.ids.extend(numbers(2, 1));
        self.add(&client.network, streams.network);
        self.answers = std::mem::replace(&mut self.delays, visible);
    }

    /// Adds one stage's draws to the delays.
    fn add(&mut self, dist: &Dist, stream: Stream) {
        let rounding = self.client.rounding;
        if let Some(value) = dist.constant() {
            let value = rounding.span(value);
            if value > 0 {
                self.delays.iter_mut().for_each(|delay| *delay += value);
            }
            return;
        }
        let count = self.delays.len();
        dist.fill(stream, &self.ids, &mut self.scratch[..count]);
        for (delay, drawn) in self.delays.iter_mut().zip(&self.scratch) {
            *delay += rounding.up(*drawn);
        }
    }
}

impl General {
    /// All that is due at `now` has been done.
    fn look(&mut self) {
        let clients = self.clients.iter().flat_map(|(_, clients)| clients).map(Client::next).min().unwrap_or(u64::MAX);
        self.next = self.due.peek().map_or(u64::MAX, |due| due.0.0).min(clients);
    }

    fn begin(&mut self, now: u64, key: u32, meter: &mut Meter, setup: &SourceSetup) {
        let id = self.events;
        self.events += 1;
        let number = self.offset.wrapping_add(id);
        let event_type = draw_type(&self.types, self.name_streams.types.unit(id));
        let about = About { key, event_type, index: id, stream: self.program.service_stream() };
        let size_about = About { stream: self.name_streams.size, ..about };
        let size = clamp(self.sizes.get(id, size_about));
        let instance = instance_of(key, id, setup.instances);
        let mut actions = std::mem::take(&mut self.spare);
        self.program.actions(number, 1, about, &mut actions);
        meter.outcome.created += u64::from(now >= setup.warm_up);
        meter.notes.note(now, setup.first_root + id, News::Begun);
        let frame = Frame { id, actions, at: 0, key, event_type, size, created: now, instance, waits: 0 };
        let number = self.next_frame;
        self.next_frame = self.next_frame.wrapping_add(1);
        self.run(number, frame, now, meter, setup);
        self.collect(meter, setup, now);
    }

    fn step(&mut self, now: u64, meter: &mut Meter, setup: &SourceSetup) {
        if self.due.peek().is_some_and(|due| due.0.0 == now) {
            if let Some(Reverse((_, frame))) = self.due.pop() {
                self.resume(frame, now, meter, setup);
            }
        } else {
            for (clients, port) in self.clients.iter_mut().zip(&mut self.ports) {
                for client in clients.1.iter_mut().filter(|client| client.next() == now) {
                    client.step(now, &mut port.2);
                }
            }
        }
        self.collect(meter, setup, now);
    }

    /// Takes the answers that clients have, and lets those who waited for them go on.
    fn collect(&mut self, meter: &mut Meter, setup: &SourceSetup, now: u64) {
        loop {
            let mut woken = Vec::new();
            for client in self.clients.iter_mut().flat_map(|(_, clients)| clients) {
                for (at, message, answer) in client.answers.drain(..) {
                    let measured = message.created >= setup.warm_up;
                    match answer {
                        Answer::Acknowledged if measured => meter.acknowledged(at - message.created),
                        Answer::GivenUp => meter.outcome.indeterminate += u64::from(measured),
                        Answer::Rejected => meter.outcome.rejected += u64::from(measured),
                        Answer::Acknowledged => {}
                    }
                    woken.extend(message.waiter);
                }
            }
            if woken.is_empty() {
                return;
            }
            for waiter in woken {
                let done = self.frames.get_mut(&waiter).is_some_and(|frame| {
                    frame.waits -= 1;
                    frame.waits == 0
                });
                if done {
                    self.resume(waiter, now, meter, setup);
                }
            }
        }
    }

    /// Goes on with a frame that has waited.
    fn resume(&mut self, number: u32, now: u64, meter: &mut Meter, setup: &SourceSetup) {
        if let Some(frame) = self.frames.remove(&number) {
            self.run(number, frame, now, meter, setup);
        }
    }

    /// Runs a frame until it needs time or an acknowledgement; then it is kept.
    fn run(&mut self, number: u32, mut frame: Frame, now: u64, meter: &mut Meter, setup: &SourceSetup) {
        while let Some(action) = frame.actions.get(frame.at).cloned() {
            frame.at += 1;
            match action {
                Action::Spend(0) => {}
                Action::Spend(span) => {
                    self.due.push(Reverse((now.saturating_add(span), number)));
                    self.frames.insert(number, frame);
                    return;
                }
                Action::Publish { step, copies } => {
                    let last = frame.at == frame.actions.len();
                    self.publish(&mut frame, step, copies, (now, number, last), meter, setup);
                    if frame.waits > 0 {
                        self.frames.insert(number, frame);
                        return;
                    }
                }
            }
        }
        meter.notes.note(now, setup.first_root + frame.id, News::Left);
        self.spare = frame.actions;
    }

    fn publish(
        &mut self,
        frame: &mut Frame,
        step: usize,
        copies: u64,
        (now, number, last): (u64, u32, bool),
        meter: &mut Meter,
        setup: &SourceSetup,
    ) {
        let publishing = &self.program.publishes[step];
        let topic = publishing.plan.to.0 as usize;
        let at = self.ports.iter().position(|port| port.0 == topic).expect("a port for every topic published to");
        let failed = self.failure.transient + self.failure.permanent;
        let fails = failed > 0.0 && self.name_streams.failure.unit(frame.id) < failed;
        for n in 0..copies {
            let inherited = (frame.key, frame.event_type, frame.size);
            let (key, event_type, bytes) = publishing.draw(self.offset.wrapping_add(frame.id), n, inherited);
            let port = &mut self.ports[at].2;
            let measured = frame.created >= setup.warm_up;
            let Some(sequence) = port.number(frame.created, measured) else { return };
            if fails {
                meter.outcome.rejected += u64::from(measured);
                port.not_stored.push((sequence, measured, NotStored::Rejected));
                continue;
            }
            let client = &mut self.clients[at].1[frame.instance as usize];
            let event = client.event(sequence);
            // Nobody waits for the last step of a producer.
            let waits = publishing.plan.wait_for_ack && !last;
            frame.waits += u32::from(waits);
            let message = Message {
                event,
                sequence,
                key,
                created: frame.created,
                lineage: Lineage { root: setup.first_root + frame.id, created: frame.created, asked: 0 },
                event_type,
                bytes,
                waiter: waits.then_some(number),
                transaction: 0,
            };
            client.publish(now, message, port);
        }
    }
}

/// The type of an event, by share.
pub(super) fn draw_type(types: &[(u16, f64)], unit: f64) -> u16 {
    let mut left = unit;
    let chosen = types.iter().find(|(_, share)| {
        left -= share;
        left < 0.0
    });
    chosen.or(types.last()).map_or(0, |(event_type, _)| *event_type)
}

/// The instance of a producer that has an event: that of its key; without keys they take turns.
pub(super) fn instance_of(key: u32, number: u64, instances: u32) -> u32 {
    if key == NO_KEY {
        return u32::try_from(number % u64::from(instances)).expect("below instances");
    }
    // Independent of the partitioner.
    let spread = (key ^ (key >> 15)).wrapping_mul(0x2C1B_3C6D).rotate_left(13).wrapping_mul(0x297A_2D39) >> 8;
    spread % instances
}
