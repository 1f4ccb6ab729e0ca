//! Journeys: who takes part in them, what ends them, and what leads to what.

use std::collections::BTreeSet;

use super::{ConsumerId, Plan, ProducerId, ServiceId, Step, TopicId, called};
use crate::dist::Dist;
use crate::time::SimSpan;

/// Who takes part in a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Publishes what begins outside.
    Producer(ProducerId),
    /// Has its effect on events.
    Consumer(ConsumerId),
    /// Answers users and callers.
    Service(ServiceId),
}

/// A journey from a user's request, or a producer's event, through all that descends from it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowPlan {
    /// Name.
    pub name: String,
    /// Where it begins: a producer, or a service with users.
    pub from: Party,
    /// What ends it.
    pub goal: Goal,
    /// Later than this it is late.
    pub deadline: Option<SimSpan>,
}

/// What ends a journey.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// Each of these services and consumers has done its part. Sorted.
    Parts(Vec<Party>),
    /// Whichever of these events is stored first.
    Outcomes(Vec<OutcomePlan>),
}

/// An event that ends a journey.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomePlan {
    /// What it is called.
    pub name: String,
    /// Where it is stored.
    pub event: TopicId,
    /// Of which type (index into [`Plan::event_types`]); none: of any.
    pub event_type: Option<u16>,
}

/// Users who have been told of success, and look for what somebody has made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// At whose state they look: a consumer's or a service's.
    pub of: Party,
    /// How long after they were told, ns.
    pub after: Dist,
    /// Time between their looks, ns, drawn once for each user; none: they look once.
    pub poll: Option<Dist>,
}

/// Most parts of a flow.
pub const MAX_PARTS: usize = 64;

/// Something that leads to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A producer, consumer or service.
    Party(Party),
    /// A topic or queue.
    Topic(TopicId),
}

/// The topics that steps publish to.
fn published(steps: &[Step]) -> BTreeSet<TopicId> {
    let mut found = BTreeSet::new();
    let mut see = |step: &Step| {
        if let Step::Publish(publish) = step {
            found.insert(publish.to);
        }
    };
    steps.iter().for_each(|step| step.visit(&mut see));
    found
}

impl Plan {
    /// Where journeys begin: producers, and services with users.
    #[must_use]
    pub fn origins(&self) -> Vec<Party> {
        let producers = (0..).take(self.producers.len()).map(|id| Party::Producer(ProducerId(id)));
        let services = (0..).zip(&self.services).filter(|(_, service)| service.arrivals.is_some());
        producers.chain(services.map(|(id, _)| Party::Service(ServiceId(id)))).collect()
    }

    /// What hears of a node at once: of a party, the topics that it publishes to and the services that it calls; of a topic,
    /// its consumers.
    fn hears(&self, node: Node) -> Vec<Node> {
        let does = |steps: &[Step]| -> Vec<Node> {
            let services = called(steps).into_iter().map(|id| Node::Party(Party::Service(id)));
            published(steps).into_iter().map(Node::Topic).chain(services).collect()
        };
        match node {
            Node::Party(Party::Producer(id)) => does(&self.producers[id.0 as usize].handler.steps),
            Node::Party(Party::Service(id)) => does(&self.services[id.0 as usize].handler.steps),
            Node::Party(Party::Consumer(id)) => {
                let consumer = &self.consumers[id.0 as usize];
                let dead = consumer.dead_letter.map(Node::Topic);
                does(&consumer.handler.steps).into_iter().chain(dead).collect()
            }
            Node::Topic(topic) => {
                let readers = (0..).zip(&self.consumers).filter(|(_, consumer)| consumer.subscribes.contains(&topic));
                readers.map(|(id, _)| Node::Party(Party::Consumer(ConsumerId(id)))).collect()
            }
        }
    }

    /// All that a journey through a party may come to, the party itself included.
    #[must_use]
    pub fn reached_from(&self, party: Party) -> BTreeSet<Node> {
        let mut reached = BTreeSet::new();
        let mut open = vec![Node::Party(party)];
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(self.hears(node));
            }
        }
        reached
    }

    /// The name of a party.
    #[must_use]
    pub fn party_name(&self, party: Party) -> &str {
        match party {
            Party::Producer(id) => &self.producers[id.0 as usize].name,
            Party::Consumer(id) => &self.consumers[id.0 as usize].name,
            Party::Service(id) => &self.services[id.0 as usize].name,
        }
    }
}
