//! What handlers publish: a client for each instance and topic, and who waits for its answers.

use std::collections::BTreeSet;

use super::actor::Actor;
use super::outbox::count_answer;
use super::visit::Visit;
use super::{Mesh, StrandKey};
use crate::dist::About;
use crate::engine::client::{Answer, Client, Message};
use crate::engine::lineage::Lineage;
use crate::engine::log::End;
use crate::engine::setup::{Publisher, Setup};
use crate::engine::topic::{Append, Inbox, NotStored, Port};
use crate::outcome::ProducerOutcome;

/// Ports and clients of one actor.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    ports: Vec<OutPort>,
    /// Until when each process stands still, with its clients.
    stand_still: Vec<u64>,
    /// The last of the clients, where a relay publishes.
    relay: Option<usize>,
}

#[derive(Clone, Debug)]
struct OutPort {
    topic: usize,
    publisher: usize,
    port: Port,
    clients: Vec<Client>,
}

/// When a client does what is next, if its process stands still until some time.
fn due((client, stands_still): (&Client, &u64)) -> u64 {
    client.next().max(*stands_still)
}

impl Outputs {
    /// Clients of so many processes, and one more of the relay, where there is one.
    pub(super) fn new(setup: &Setup, who: Publisher, instances: u32, relay: bool) -> Self {
        let processes = instances + u32::from(relay);
        let clients = setup.clients.iter().filter(|((publisher, _), _)| *publisher == who);
        let ports = clients.map(|((_, topic), client)| OutPort {
            topic: *topic,
            publisher: client.publisher,
            port: Port::new(client, &setup.follow),
            clients: (0..u64::from(processes)).map(|process| Client::new(client.clone(), process)).collect(),
        });
        let relay = relay.then_some(instances as usize);
        Self { ports: ports.collect(), stand_still: vec![0; processes as usize], relay }
    }

    /// Whether there is any topic that it publishes to.
    pub(super) fn publishes(&self) -> bool {
        !self.ports.is_empty()
    }

    /// When a client next does something: what is due while its process stands still is done when that goes on.
    pub(super) fn next(&self) -> u64 {
        let next = |out: &OutPort| out.clients.iter().zip(&self.stand_still).map(due).min();
        self.ports.iter().filter_map(next).min().unwrap_or(u64::MAX)
    }

    /// A process stands still until then.
    pub(super) fn stand_still(&mut self, instance: usize, until: u64) {
        self.stand_still[instance] = until;
    }

    /// Hands everything to the topics.
    pub(super) fn deliver(&mut self, inboxes: &mut [Inbox]) {
        for out in &mut self.ports {
            inboxes[out.topic].absorb(out.publisher, &mut out.port);
        }
    }

    /// Measured events of each topic that sit in clients of handlers, not appended.
    pub(super) fn unsent(&self, warm_up: u64) -> Vec<(usize, u64)> {
        let unsent = |out: &OutPort| out.own(self.relay).map(|client| client.unsent(warm_up)).sum();
        self.ports.iter().map(|out| (out.topic, unsent(out))).collect()
    }

    /// A process is gone, with all that its clients had not sent: events by port and number. `how` says how they end.
    pub(super) fn abandon(
        &mut self,
        instance: usize,
        now: u64,
        how: impl Fn((usize, u32)) -> NotStored,
    ) -> Vec<(usize, Message)> {
        let mut dropped = Vec::new();
        for (port, out) in self.ports.iter_mut().enumerate() {
            let client = &mut out.clients[instance];
            dropped.extend(client.unsent_messages().map(|message| (port, *message)));
            client.abandon(&mut out.port, now, |message| how((port, message.sequence)));
        }
        dropped
    }

    /// What is still on its way at the end of the run, and what was sent again.
    pub(super) fn close(&self, outcome: &mut ProducerOutcome, warm_up: u64) {
        let own = self.ports.iter().flat_map(|out| out.own(self.relay));
        outcome.publishing += own.map(|client| client.unanswered(warm_up)).sum::<u64>();
        outcome.retries = self.ports.iter().flat_map(|out| &out.clients).map(|client| client.retries).sum();
    }

    /// Numbers one more event; none when the numbers have run out.
    pub(super) fn number(&mut self, port: usize, created: u64, measured: bool) -> Option<(u32, u32)> {
        let out = &mut self.ports[port];
        let sequence = out.port.number(created, measured)?;
        out.clients.first().map(|client| (client.event(sequence), sequence))
    }

    /// An event is in the outbox from now on.
    pub(super) fn promise(&mut self, port: usize, message: &Message, now: u64) {
        self.ports[port].port.begin(message, now);
    }

    /// An event will never be published.
    pub(super) fn forgo(&mut self, port: usize, sequence: u32, measured: bool) {
        self.ports[port].port.not_stored.push((sequence, measured, NotStored::Unpublished));
    }

    /// A client takes a message that is to be published in a transaction: the partition that is chosen for it.
    fn place(&mut self, port: usize, instance: usize, message: &Message, now: u64) -> u32 {
        let out = &mut self.ports[port];
        out.clients[instance].place(now, message, &mut out.port)
    }

    /// A process publishes messages that have been placed: by port and partition.
    pub(super) fn publish_placed(&mut self, instance: usize, placed: Vec<(usize, u32, Message)>, now: u64) {
        for (port, lane, message) in placed {
            let out = &mut self.ports[port];
            out.clients[instance].publish_to(lane, now, message, &mut out.port);
        }
    }

    /// A process waits for no company any more.
    pub(super) fn flush(&mut self, instance: usize, now: u64) {
        self.ports.iter_mut().for_each(|out| out.clients[instance].flush(now, &mut out.port));
    }

    /// The marker of a transaction's end is written to a partition, as often as it must be: it is sent and copied at these times
    /// where no node fails. When it is stored; none: not in this run.
    pub(super) fn mark(
        &mut self,
        instance: usize,
        port: usize,
        lane: u32,
        what: (u32, End),
        times: (u64, u64),
    ) -> Option<u64> {
        let out = &mut self.ports[port];
        let (appended, visible) = out.clients[instance].insist(lane, times)?;
        out.port.appends.push(Append::marker(lane, what.0, what.1, (appended, visible)));
        Some(visible)
    }

    /// A message that has been placed is never published.
    pub(super) fn void(&mut self, port: usize, message: &Message, now: u64) {
        let out = &mut self.ports[port];
        let measured = out.clients.first().is_some_and(|client| client.measures(message));
        out.port.void(message, measured, NotStored::Rejected, now);
    }

    /// The topic of a port.
    pub(super) fn topic_of(&self, port: usize) -> usize {
        self.ports[port].topic
    }

    /// The port of a topic.
    pub(super) fn port_of(&self, topic: usize) -> usize {
        self.ports.iter().position(|out| out.topic == topic).expect("a port for every topic published to")
    }

    /// The relay publishes a row.
    pub(super) fn relay(&mut self, port: usize, message: Message, now: u64) {
        let relay = self.relay.expect("there is one");
        let out = &mut self.ports[port];
        out.clients[relay].publish(now, message, &mut out.port);
    }

    /// The relay's clients are lost: by port and number, what they had not sent.
    pub(super) fn lose_relay(&mut self, now: u64) -> BTreeSet<(usize, u32)> {
        let relay = self.relay.expect("there is one");
        self.stand_still[relay] = now;
        let mut unsent = BTreeSet::new();
        for (port, out) in self.ports.iter_mut().enumerate() {
            unsent.extend(out.clients[relay].unsent_messages().map(|message| (port, message.sequence)));
            out.clients[relay].forget();
        }
        unsent
    }

    /// The relay's clients stand still until then.
    pub(super) fn pause_relay(&mut self, until: u64) {
        let relay = self.relay.expect("there is one");
        self.stand_still[relay] = until;
    }

    /// By port: its topic, and the numbers of the events that the relay's client has not sent.
    pub(super) fn in_relay(&self) -> impl Iterator<Item = (usize, usize, Vec<u32>)> {
        let relay = self.relay.expect("there is one");
        self.ports.iter().enumerate().map(move |(port, out)| {
            (port, out.topic, out.clients[relay].unsent_messages().map(|message| message.sequence).collect())
        })
    }
}

impl OutPort {
    /// The clients of handlers.
    fn own(&self, relay: Option<usize>) -> impl Iterator<Item = &Client> {
        self.clients.iter().take(relay.unwrap_or(self.clients.len()))
    }
}

impl Actor {
    /// Events that a publish step of a visit makes.
    pub(super) fn copies(&self, step: usize, visit: &Visit) -> u64 {
        let about =
            About { key: visit.key, event_type: visit.event_type, index: visit.index, stream: self.streams.service };
        self.program.publishes[step].copies(visit.number, about).unwrap_or(0)
    }
}

impl Mesh {
    /// A publish step. Whether the strand must wait for its acknowledgements.
    pub(super) fn publish(&mut self, key: StrandKey, step: usize, now: u64) -> bool {
        let strand = &self.strands[key];
        let visit = &self.visits[strand.visit];
        // Without a commit the fact is there when it comes from outside; a consumer makes one as it publishes.
        let begun = if self.is_consumer(visit.actor) { now } else { self.roots[visit.root].created };
        let created = visit.fact.unwrap_or(begun);
        let lineage = Lineage { asked: visit.asked, ..self.roots[visit.root].lineage };
        let (number, instance) = (visit.number, visit.instance);
        let inherited = (visit.key, visit.event_type, visit.size);
        let measured = created >= self.warm_up;
        // What a producer creates is counted as it arrives.
        let is_service = self.is_service(visit.actor);
        let it = &mut self.actors[visit.actor];
        let copies = it.copies(step, visit);
        let publishing = &it.program.publishes[step];
        let port = it.outputs.port_of(publishing.plan.to.0 as usize);
        if it.outbox.is_some() {
            let drawn: Vec<_> = (0..copies).map(|n| publishing.draw(number, n, inherited)).collect();
            self.write_rows(key, (port, lineage), &drawn, now);
            return false;
        }
        let waits = publishing.plan.wait_for_ack;
        let transaction = self.transaction_of(key);
        if transaction.is_some_and(|id| self.is_dead(id)) {
            // Its client hears that the coordinator has given it up.
            self.schedule(now, super::Event::Wake(key, Err(())));
            return true;
        }
        let waiter = waits.then(|| {
            self.next_waiter = self.next_waiter.wrapping_add(1);
            self.next_waiter
        });
        let it = &mut self.actors[visit.actor];
        let publishing = &it.program.publishes[step];
        let (mut sent, mut placed) = (Vec::new(), Vec::new());
        for n in 0..copies {
            let (event_key, event_type, bytes) = publishing.draw(number, n, inherited);
            let out = &mut it.outputs.ports[port];
            let Some(sequence) = out.port.number(created, measured) else { break };
            let event = out.clients[instance].event(sequence);
            let transaction = transaction.unwrap_or(0);
            let (key, created) = (event_key, created);
            let message = Message { event, sequence, key, created, lineage, event_type, bytes, waiter, transaction };
            it.outcome.publish.created += u64::from(measured && is_service);
            if transaction > 0 {
                placed.push((port, it.outputs.place(port, instance, &message, now), message));
            } else {
                out.clients[instance].publish(now, message, &mut out.port);
            }
            sent.push((port, sequence));
        }
        let actor = visit.actor;
        self.published(key, step, measured, &sent);
        let sent = u32::try_from(sent.len()).expect("copies of one step fit 32 bits");
        if let (Some(waiter), true) = (waiter, sent > 0) {
            self.waiters.insert(waiter, key);
            let strand = &mut self.strands[key];
            (strand.acks, strand.unacknowledged) = (sent, false);
        }
        if let Some(id) = transaction.filter(|_| sent > 0) {
            let has_all = self.publish_in(id, placed, (!waits).then_some(key), now);
            return waits || !has_all;
        }
        // What is answered at once wakes its strand by the calendar, so that it has begun to wait by then.
        self.collect(actor, now);
        waits && sent > 0
    }

    /// A member publishes what its group has given up: topic, key, type, journey.
    pub(super) fn dead_letter(
        &mut self,
        (actor, member): (usize, usize),
        (topic, key, event_type, lineage): (usize, u32, u16, Lineage),
        now: u64,
    ) {
        let outputs = &mut self.actors[actor].outputs;
        let port = outputs.port_of(topic);
        let out = &mut outputs.ports[port];
        let Some(sequence) = out.port.number(now, now >= self.warm_up) else { return };
        let event = out.clients[member].event(sequence);
        let message = Message {
            event,
            sequence,
            key,
            created: now,
            lineage,
            event_type,
            bytes: 1024,
            waiter: None,
            transaction: 0,
        };
        out.clients[member].publish(now, message, &mut out.port);
        self.collect(actor, now);
    }

    /// Lets the clients of an actor do what is due.
    pub(super) fn publish_step(&mut self, actor: usize, now: u64) {
        let Outputs { ports, stand_still, .. } = &mut self.actors[actor].outputs;
        for out in ports {
            let clients = out.clients.iter_mut().zip(&*stand_still);
            for (client, _) in clients.filter(|(client, until)| due((&**client, until)) <= now) {
                client.step(now, &mut out.port);
            }
        }
        self.collect(actor, now);
    }

    /// Takes the answers that the clients of an actor have.
    pub(super) fn collect(&mut self, actor: usize, now: u64) {
        let (mut woken, mut relayed, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        let it = &mut self.actors[actor];
        let relay = it.outputs.relay;
        for out in &mut it.outputs.ports {
            for (process, client) in out.clients.iter_mut().enumerate() {
                if Some(process) == relay {
                    relayed.append(&mut client.answers);
                    continue;
                }
                for (at, message, answer) in client.answers.drain(..) {
                    let measured = message.created >= self.warm_up;
                    count_answer(&mut it.outcome.publish, answer, measured, at - message.created);
                    if message.transaction > 0 {
                        inside.push((message.transaction, matches!(answer, Answer::Acknowledged)));
                    }
                    woken.extend(message.waiter.map(|waiter| (waiter, matches!(answer, Answer::Acknowledged))));
                }
            }
        }
        for answer in relayed {
            self.relayed(actor, answer, now);
        }
        for (id, acknowledged) in inside {
            self.answered_in(id, acknowledged, now);
        }
        for (waiter, acknowledged) in woken {
            let Some(key) = self.waiters.get(&waiter).copied() else { continue };
            let strand = &mut self.strands[key];
            strand.acks -= 1;
            strand.unacknowledged |= !acknowledged;
            if strand.acks == 0 {
                let how = if strand.unacknowledged { Err(()) } else { Ok(()) };
                self.waiters.remove(&waiter);
                self.schedule(now, super::Event::Wake(key, how));
            }
        }
    }
}
