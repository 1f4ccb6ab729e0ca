//! What a group publishes: one port per topic, one client per member.

use std::sync::Arc;

use crate::engine::client::{Answer, Client, Message};
use crate::engine::lineage::Lineage;
use crate::engine::setup::{ClientSetup, Publisher, Setup};
use crate::engine::topic::{Inbox, NotStored, Port};

/// Ports and clients of a group.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Outputs {
    ports: Vec<OutPort>,
    warm_up: u64,
}

#[derive(Clone, Debug)]
struct OutPort {
    topic: usize,
    publisher: usize,
    setup: Arc<ClientSetup>,
    port: Port,
    clients: Vec<Client>,
    /// Whether it is a retry topic.
    retries: bool,
}

impl Outputs {
    pub(super) fn new(setup: &Setup, consumer: usize, members: u32) -> Self {
        // Where handlers run in the mesh, their clients are there, too.
        let here = |who: Publisher| match who {
            Publisher::Retry(index) => index == consumer,
            _ => who == Publisher::Consumer(consumer) && !setup.delegates[consumer],
        };
        let clients = setup.clients.iter().filter(|((who, _), _)| here(*who));
        let ports = clients.map(|((_, topic), client)| OutPort {
            topic: *topic,
            publisher: client.publisher,
            setup: client.clone(),
            port: Port::new(client, &setup.follow),
            retries: setup.topics[*topic].retries,
            clients: (0..u64::from(members)).map(|member| Client::new(client.clone(), member)).collect(),
        });
        Self { ports: ports.collect(), warm_up: setup.warm_up }
    }

    /// Whether nothing is ever published.
    pub(super) fn is_silent(&self) -> bool {
        self.ports.is_empty()
    }

    /// When a member's clients next do something.
    pub(super) fn next(&self, member: usize) -> u64 {
        self.ports.iter().map(|port| port.clients[member].next()).min().unwrap_or(u64::MAX)
    }

    /// Lets a member's clients do what is due at `now`; answers who may stop waiting.
    pub(super) fn step(&mut self, member: usize, now: u64) {
        for out in &mut self.ports {
            while out.clients[member].next() <= now {
                out.clients[member].step(now, &mut out.port);
            }
        }
    }

    /// Waiters whose messages are acknowledged, given up or rejected since the last call.
    pub(super) fn woken(&mut self, member: usize, woken: &mut Vec<u32>) {
        for out in self.ports.iter_mut().filter(|out| !out.retries) {
            woken.extend(out.clients[member].answers.drain(..).filter_map(|(_, message, _)| message.waiter));
        }
    }

    /// Workers whose copies for retry topics have been answered since the last call, and whether they are acknowledged.
    pub(super) fn answered(&mut self, member: usize, answered: &mut Vec<(u32, bool)>) {
        for out in self.ports.iter_mut().filter(|out| out.retries) {
            answered.extend(
                out.clients[member]
                    .answers
                    .drain(..)
                    .filter_map(|(_, message, answer)| Some((message.waiter?, matches!(answer, Answer::Acknowledged)))),
            );
        }
    }

    /// Publishes one message of a member at `now`: key, type, size, journey, waiter; its number.
    /// Without one the run has no result, and it does not matter who waits.
    pub(super) fn publish(
        &mut self,
        member: usize,
        topic: usize,
        now: u64,
        (key, event_type, bytes): (u32, u16, u32),
        lineage: Lineage,
        waiter: Option<u32>,
    ) -> Option<u32> {
        let out = self.ports.iter_mut().find(|out| out.topic == topic).expect("a port for every topic published to");
        let sequence = out.port.number(now, now >= self.warm_up)?;
        let event = out.setup.event(sequence);
        let message =
            Message { event, sequence, key, created: now, lineage, event_type, bytes, waiter, transaction: 0 };
        out.clients[member].publish(now, message, &mut out.port);
        Some(sequence)
    }

    /// A member's process is gone, with all that its clients had not sent.
    pub(super) fn abandon(&mut self, member: usize, now: u64) {
        for out in &mut self.ports {
            out.clients[member].abandon(&mut out.port, now, |_| NotStored::Rejected);
        }
    }

    /// Hands everything to the topics.
    #[inline]
    pub(super) fn deliver(&mut self, inboxes: &mut [Inbox]) {
        for out in &mut self.ports {
            inboxes[out.topic].absorb(out.publisher, &mut out.port);
        }
    }

    /// Measured events of each topic that sit in clients, not appended.
    pub(super) fn unsent(&self, warm_up: u64) -> Vec<(usize, u64)> {
        let unsent = |out: &OutPort| out.clients.iter().map(|client| client.unsent(warm_up)).sum();
        self.ports.iter().map(|out| (out.topic, unsent(out))).collect()
    }
}
