//! Of which journeys somebody asks, and which of their events can still lead to what is asked for.

use std::collections::BTreeSet;

use super::delta::{Follow, News};
use crate::plan::{ConsumerId, FlowPlan, Goal, Node, Party, Plan, ReadPlan, TopicId};

/// What one flow or read follows.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// By origin.
    pub(super) origins: Vec<bool>,
    producers: usize,
    /// By topic: for how much each of its events counts: once for each consumer that matters, and once where it matters that
    /// it is stored.
    weights: Vec<u32>,
    /// By topic: whether it matters that its events are stored.
    stored: Vec<bool>,
    /// By consumer: whether what becomes of an event there matters, and which part its effect is, as a bit.
    consumers: Vec<(bool, u64)>,
    /// Whether its handlers call, hold or await something, and matter.
    works: Vec<bool>,
    /// By service: which part of it is what it does, and what it commits.
    services: Vec<(u64, u64)>,
    /// The part that the beginning is.
    beginning: u64,
}

impl Scope {
    /// What a flow follows. Its parts are numbered as they are listed.
    pub(super) fn of_flow(plan: &Plan, flow: &FlowPlan) -> Self {
        let mut scope = match &flow.goal {
            Goal::Parts(parts) => Self::new(plan, &parts.iter().copied().map(Node::Party).collect()),
            Goal::Outcomes(ends) => Self::new(plan, &ends.iter().map(|end| Node::Topic(end.event)).collect()),
        };
        if let Goal::Parts(parts) = &flow.goal {
            for (part, party) in parts.iter().enumerate() {
                match party {
                    Party::Consumer(id) => scope.consumers[id.0 as usize].1 = 1 << part,
                    Party::Service(id) => scope.services[id.0 as usize].0 = 1 << part,
                    Party::Producer(_) => {}
                }
            }
        }
        scope.begin_at(plan, |party| party == flow.from);
        scope
    }

    /// What a read follows: all journeys that can come to where it looks. Its only part is what is applied there.
    pub(super) fn of_read(plan: &Plan, read: &ReadPlan) -> Self {
        let target = Node::Party(read.of);
        let mut scope = Self::new(plan, &BTreeSet::from([target]));
        match read.of {
            Party::Consumer(id) => scope.consumers[id.0 as usize].1 = 1,
            // What is committed can be seen; where nothing is, what is done.
            Party::Service(id) if plan.services[id.0 as usize].handler.commits() => {
                scope.services[id.0 as usize].1 = 1;
            }
            Party::Service(id) => scope.services[id.0 as usize].0 = 1,
            // Who has made it sees it.
            Party::Producer(_) => scope.beginning = 1,
        }
        scope.begin_at(plan, |party| plan.reached_from(party).contains(&target));
        scope
    }

    /// What matters for someone who asks for these.
    fn new(plan: &Plan, targets: &BTreeSet<Node>) -> Self {
        let consumers = (0..).take(plan.consumers.len()).map(crate::plan::ConsumerId);
        let leads = |party| !plan.reached_from(party).is_disjoint(targets);
        let consumers: Vec<(bool, u64)> = consumers.map(|id| (leads(Party::Consumer(id)), 0)).collect();
        let topics = || (0..).take(plan.topics.len()).map(TopicId);
        let stored: Vec<bool> = topics().map(|topic| targets.contains(&Node::Topic(topic))).collect();
        let weight = |topic: TopicId| {
            let readers = plan.consumers.iter().zip(&consumers).filter(|(plan, _)| plan.subscribes.contains(&topic));
            let matter = readers.filter(|(_, (matters, _))| *matters).count();
            u32::try_from(matter).expect("consumers fit 32 bits") + u32::from(stored[topic.0 as usize])
        };
        let works =
            consumers.iter().zip(&plan.consumers).map(|((matters, _), plan)| *matters && !plan.handler.is_simple());
        Self {
            works: works.collect(),
            origins: vec![false; plan.producers.len() + plan.services.len()],
            producers: plan.producers.len(),
            weights: topics().map(weight).collect(),
            stored,
            consumers,
            services: vec![(0, 0); plan.services.len()],
            beginning: 0,
        }
    }

    fn begin_at(&mut self, plan: &Plan, wanted: impl Fn(Party) -> bool) {
        for party in plan.origins().into_iter().filter(|party| wanted(*party)) {
            let origin = match party {
                Party::Producer(id) => id.0 as usize,
                Party::Service(id) => plan.producers.len() + id.0 as usize,
                Party::Consumer(_) => continue,
            };
            self.origins[origin] = true;
        }
    }

    /// Whether an origin is a producer.
    pub(super) fn is_producer(&self, origin: usize) -> bool {
        origin < self.producers
    }

    /// The part that this brings nearer to its end, as a bit; none: 0.
    pub(super) fn part(&self, what: News) -> u64 {
        match what {
            News::Begun | News::BegunBy(_) => self.beginning,
            News::Done(service) => self.services[service.0 as usize].0,
            News::Committed(service) => self.services[service.0 as usize].1,
            News::Effected(consumer) | News::Late(consumer) => self.consumers[consumer.0 as usize].1,
            _ => 0,
        }
    }

    /// For how much counts what a consumer does at the station of services: one that calls nobody does nothing there of which
    /// something is left when its handler ends, wherever that runs.
    pub(super) fn work(&self, consumer: ConsumerId) -> i64 {
        i64::from(self.works[consumer.0 as usize])
    }

    /// How many more parts of events are under way after this, or how many fewer.
    pub(super) fn events(&self, what: News) -> i64 {
        let weight = |topic: TopicId| i64::from(self.weights[topic.0 as usize]);
        match what {
            News::BegunBy(topic) | News::Published(topic) => weight(topic),
            News::Void(topic) => -weight(topic),
            News::Stored(topic, _) => -i64::from(self.stored[topic.0 as usize]),
            News::Effected(consumer) | News::Missed(consumer) => -i64::from(self.consumers[consumer.0 as usize].0),
            _ => 0,
        }
    }
}

impl Follow {
    /// All that is asked for in a plan.
    pub(in crate::engine) fn new(plan: &Plan) -> Self {
        let flows = plan.flows.iter().map(|flow| Scope::of_flow(plan, flow));
        let scopes: Vec<Scope> = flows.chain(plan.reads.iter().map(|read| Scope::of_read(plan, read))).collect();
        let any = |count: usize, asks: &dyn Fn(&Scope, usize) -> bool| -> Vec<bool> {
            (0..count).map(|index| scopes.iter().any(|scope| asks(scope, index))).collect()
        };
        Self {
            origins: any(plan.producers.len() + plan.services.len(), &|scope, origin| scope.origins[origin]),
            topics: any(plan.topics.len(), &|scope, topic| scope.weights[topic] > 0),
            stored: any(plan.topics.len(), &|scope, topic| scope.stored[topic]),
            consumers: any(plan.consumers.len(), &|scope, consumer| scope.consumers[consumer].0),
            services: any(plan.services.len(), &|scope, service| scope.services[service] != (0, 0)),
        }
    }
}
