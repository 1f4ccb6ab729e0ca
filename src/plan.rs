//! The checked, immutable model of a scenario: ids and numbers, ready to run.
//!
//! A [`Plan`] holds no text that still has to be interpreted: names are kept only for reports and for random streams.
//! Everything that separates one bus from another is a policy value here; no vendor is named.

mod autoscale;
mod buses;
mod consumers;
mod faults;
mod handler;
mod journeys;
mod outbox;
mod retries;
mod services;
mod steady;

pub use autoscale::{AutoscalePlan, ScaleTarget};
pub use buses::{
    Acks, Batching, BusPlan, ClientBuffer, ClientPlan, FailoverPlan, KeyHash, Keyless, Partitioning, PublishRetry,
    RetentionPlan, StorePolicy, TopicPlan, TransactionPlan,
};
pub use consumers::{
    Assignor, Backoff, BatchPlan, ConsumerPlan, Dispatch, FailurePlan, GroupPlan, IdempotencePlan, LogDispatch,
    Membership, Protocol, QueueDispatch, Refresh, Reset, RetryMode, RetryPlan, SchedulePlan, Settle, WorkerOrder,
};
pub use faults::{Action, ChangePlan, DeployPlan, Effect, FaultPlan, FaultTarget, Members};
pub use handler::{
    AwaitStep, BreakerPlan, CallRetry, CallStep, Handler, Otherwise, PublishStep, RetryWhen, SagaStep, Step, called,
};
pub use journeys::{FlowPlan, Goal, MAX_PARTS, Node, OutcomePlan, Party, ReadPlan};
pub use outbox::{OutboxPlan, Relay};
pub use retries::RetryTopics;
pub use services::{Balance, ResourcePlan, ServicePlan, TransportPlan};
pub use steady::{FoundWarmUp, WarmUp};

pub use crate::dist::KeyPlan;
use crate::dist::{Arrivals, Dist};
use crate::time::{SimSpan, SimTime};

/// Index of a topic or queue in [`Plan::topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// Index of a bus in [`Plan::buses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusId(pub u32);

/// Index of a producer in [`Plan::producers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub u32);

/// Index of a consumer (one subscription, one group) in [`Plan::consumers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u32);

/// Index of a service in [`Plan::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// Index of a resource in [`Plan::resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// One checked scenario. All lists are sorted by name (faults, changes and expectations: as written).
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// Master seed of the experiment.
    pub seed: u64,
    /// Number of independent runs.
    pub replications: u32,
    /// Virtual time of one run.
    pub duration: SimSpan,
    /// Messages created before this are not measured.
    pub warm_up: SimSpan,
    /// Where that comes from.
    pub warm_up_from: WarmUp,
    /// Buses, sorted by name.
    pub buses: Vec<BusPlan>,
    /// Topics and queues of all buses, sorted by full name.
    pub topics: Vec<TopicPlan>,
    /// Producers, sorted by name.
    pub producers: Vec<ProducerPlan>,
    /// Consumers, sorted by name.
    pub consumers: Vec<ConsumerPlan>,
    /// Services, sorted by name.
    pub services: Vec<ServicePlan>,
    /// Resources, sorted by name.
    pub resources: Vec<ResourcePlan>,
    /// Journeys, sorted by name.
    pub flows: Vec<FlowPlan>,
    /// Users who look at what has become of what they did, sorted by name.
    pub reads: Vec<ReadPlan>,
    /// Injected causes.
    pub faults: Vec<FaultPlan>,
    /// What operators do.
    pub changes: Vec<ChangePlan>,
    /// What the scenario claims.
    pub expectations: Vec<Expectation>,
    /// Texts of keys that are not numbers: key id `numeric_keys + i` is `key_labels[i]`.
    pub key_labels: Vec<String>,
    /// Key ids below this are numbers; their text is the decimal number.
    pub numeric_keys: u32,
    /// Event types; an event's type is an index into this list. Index 0 is "no type".
    pub event_types: Vec<String>,
    /// Most messages waiting at one subscription before a run stops (bounded memory).
    pub backlog_bound: u64,
}

/// Where events begin.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerPlan {
    /// Name; also the path of its random streams.
    pub name: String,
    /// When something happens in the business.
    pub arrivals: Arrivals,
    /// Messages handled per arrival, each by itself.
    pub events_per_arrival: Dist,
    /// Key of each event.
    pub key: KeyPlan,
    /// Size of each event, bytes.
    pub size: Dist,
    /// Shares of event types (index into [`Plan::event_types`]); empty: all have type 0.
    pub types: Vec<(u16, f64)>,
    /// Processes. A key stays with one instance; without keys they take turns.
    pub instances: u32,
    /// What is done for each event.
    pub handler: Handler,
    /// How attempts fail.
    pub failure: FailurePlan,
    /// Through which its handlers publish; none: they publish themselves.
    pub outbox: Option<OutboxPlan>,
    /// Client settings, one per topic that the handler publishes to.
    pub clients: Vec<(TopicId, ClientPlan)>,
}

/// One line of `expect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As written.
    pub text: String,
    /// Path of the metric in the result document, one entry per match of a wildcard, each a list of keys.
    pub metrics: Vec<Vec<String>>,
    /// Comparison.
    pub op: Comparison,
    /// Right-hand side in the metric's base unit (seconds, bytes, counts, shares 0 to 1).
    pub value: f64,
    /// Only for events created, or samples taken, in this interval.
    pub during: Option<(SimTime, SimTime)>,
    /// Where it stands in the file, for reports that point there: line, column (from 1).
    pub place: (u32, u32),
    /// That file, or the option of the command line where it was written there.
    pub file: String,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Whose handler makes a request in the first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A user's, who comes in at this service.
    User(ServiceId),
    /// A producer's.
    Producer(ProducerId),
    /// A consumer's.
    Consumer(ConsumerId),
}

/// So many calls one inside the other are followed where calls may go in a circle.
const MOST_CALLS: u32 = 8;

/// Bits that number the events of one publisher in one topic: of 31, those that tell the topic's publishers apart.
#[must_use]
pub fn sequence_bits(publishers: usize) -> u32 {
    31 - (usize::BITS - publishers.saturating_sub(1).leading_zeros())
}

impl Plan {
    /// The text of a key id; none without key.
    #[must_use]
    pub fn key_text(&self, key: u32) -> Option<String> {
        match key {
            crate::dist::NO_KEY => None,
            key if key < self.numeric_keys => Some(key.to_string()),
            key => Some(
                self.key_labels.get((key - self.numeric_keys) as usize).cloned().unwrap_or_else(|| key.to_string()),
            ),
        }
    }

    /// The names of all that is measured by name, by the section of the result document in which it stands.
    #[must_use]
    pub fn names(&self) -> [(&'static str, Vec<&str>); 7] {
        [
            ("consumers", self.consumers.iter().map(|consumer| consumer.name.as_str()).collect()),
            ("services", self.services.iter().map(|service| service.name.as_str()).collect()),
            ("flows", self.flows.iter().map(|flow| flow.name.as_str()).collect()),
            ("reads", self.reads.iter().map(|read| read.name.as_str()).collect()),
            ("resources", self.resources.iter().map(|resource| resource.name.as_str()).collect()),
            ("producers", self.producers.iter().map(|producer| producer.name.as_str()).collect()),
            ("topics", self.topics.iter().map(|topic| topic.name.as_str()).collect()),
        ]
    }

    /// The handlers of all producers, consumers and services.
    pub fn handlers(&self) -> impl Iterator<Item = &Handler> {
        let producers = self.producers.iter().map(|producer| &producer.handler);
        let consumers = self.consumers.iter().map(|consumer| &consumer.handler);
        producers.chain(consumers).chain(self.services.iter().map(|service| &service.handler))
    }

    /// The handler of a thing, by its section of the result document and its name; none: it has none.
    #[must_use]
    pub fn handler_of(&self, section: &str, name: &str) -> Option<&Handler> {
        match section {
            "consumers" => self.consumers.iter().find(|it| it.name == name).map(|it| &it.handler),
            "producers" => self.producers.iter().find(|it| it.name == name).map(|it| &it.handler),
            "services" => self.services.iter().find(|it| it.name == name).map(|it| &it.handler),
            _ => None,
        }
    }

    /// The outbox of a party.
    #[must_use]
    pub fn outbox_of(&self, party: Party) -> Option<&OutboxPlan> {
        match party {
            Party::Producer(id) => self.producers[id.0 as usize].outbox.as_ref(),
            Party::Service(id) => self.services[id.0 as usize].outbox.as_ref(),
            Party::Consumer(_) => None,
        }
    }

    /// Whether a consumer reads events of facts that local transactions commit.
    #[must_use]
    pub fn reads_of_facts(&self, consumer: usize) -> bool {
        let topics = &self.consumers[consumer].subscribes;
        let tells = |handler: &Handler, clients: &[(TopicId, ClientPlan)]| {
            handler.commits() && clients.iter().any(|(topic, _)| topics.contains(topic))
        };
        self.producers.iter().any(|it| tells(&it.handler, &it.clients))
            || self.services.iter().any(|it| tells(&it.handler, &it.clients))
    }

    /// Whether a consumer reads events that are published in transactions of the bus.
    #[must_use]
    pub fn reads_of_transactions(&self, consumer: usize) -> bool {
        let topics = &self.consumers[consumer].subscribes;
        let mut found = false;
        let mut see = |step: &Step| found |= matches!(step, Step::Publish(publish) if topics.contains(&publish.to));
        self.handlers().filter_map(Handler::transaction).flatten().for_each(|step| step.visit(&mut see));
        found
    }

    /// The handler of a party.
    #[must_use]
    pub fn handler_of_party(&self, party: Party) -> &Handler {
        match party {
            Party::Producer(id) => &self.producers[id.0 as usize].handler,
            Party::Consumer(id) => &self.consumers[id.0 as usize].handler,
            Party::Service(id) => &self.services[id.0 as usize].handler,
        }
    }

    /// Whether a handler holds a resource.
    #[must_use]
    pub fn holds(&self, party: Party, resource: ResourceId) -> bool {
        let mut held = false;
        let see = &mut |step: &Step| held |= matches!(step, Step::Hold { of, .. } if *of == resource);
        self.handler_of_party(party).visit(see);
        held
    }

    /// Whether two wait for each other at times: both call some service, or hold some resource.
    #[must_use]
    pub fn meet(&self, one: Party, other: Party) -> bool {
        let [ours, theirs] = [one, other].map(|party| called(&self.handler_of_party(party).steps));
        let both_hold = |resource| self.holds(one, resource) && self.holds(other, resource);
        ours.iter().any(|service| theirs.contains(service))
            || (0..).take(self.resources.len()).map(ResourceId).any(both_hold)
    }

    /// The topics whose events somebody awaits, sorted, each once.
    #[must_use]
    pub fn awaited(&self) -> Vec<TopicId> {
        let mut topics: Vec<TopicId> = self.handlers().flat_map(Handler::awaited).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Mean time of a handler with what it calls, without waiting for a turn anywhere, ns.
    #[must_use]
    pub fn mean_time(&self, handler: &Handler) -> f64 {
        self.mean_of(&handler.steps, 0)
    }

    /// Of steps so many calls away from the first. Calls may go in a circle: then they are not followed for ever.
    fn mean_of(&self, steps: &[Step], depth: u32) -> f64 {
        let of = |step: &Step| match step {
            Step::Work(time) | Step::Wait(time) | Step::Commit(time) => time.mean(),
            Step::Publish(_) | Step::Await(_) => 0.0,
            Step::Choose(branches) => {
                branches.iter().map(|(share, steps)| share * self.mean_of(steps, depth)).sum::<f64>()
            }
            Step::Call(_) if depth >= MOST_CALLS => 0.0,
            Step::Call(call) => self.mean_of(&self.services[call.to.0 as usize].handler.steps, depth + 1),
            Step::Parallel { branches, .. } => {
                branches.iter().map(|steps| self.mean_of(steps, depth)).fold(0.0, f64::max)
            }
            Step::Hold { steps, .. } | Step::Transaction(steps) => self.mean_of(steps, depth),
            Step::Saga(saga) => saga.parts.iter().map(|(act, _)| self.mean_of(act, depth)).sum(),
        };
        steps.iter().map(of).sum()
    }

    /// By service: whose requests reach it in the end. Each once, users first.
    #[must_use]
    pub fn initiators(&self) -> Vec<Vec<Initiator>> {
        let calls: Vec<Vec<ServiceId>> = self.services.iter().map(|service| called(&service.handler.steps)).collect();
        let mut initiators = vec![Vec::new(); self.services.len()];
        let mut spread = |initiator: Initiator, mut open: Vec<ServiceId>| {
            while let Some(at) = open.pop() {
                let known: &mut Vec<Initiator> = &mut initiators[at.0 as usize];
                if known.last() != Some(&initiator) {
                    known.push(initiator);
                    open.extend(&calls[at.0 as usize]);
                }
            }
        };
        for (_, id) in self.services.iter().zip(0..).filter(|(service, _)| service.arrivals.is_some()) {
            spread(Initiator::User(ServiceId(id)), vec![ServiceId(id)]);
        }
        for (producer, id) in self.producers.iter().zip(0..) {
            spread(Initiator::Producer(ProducerId(id)), called(&producer.handler.steps));
        }
        for (consumer, id) in self.consumers.iter().zip(0..) {
            spread(Initiator::Consumer(ConsumerId(id)), called(&consumer.handler.steps));
        }
        initiators
    }

    /// Whether the number of members of a consumer follows what there is to do.
    #[must_use]
    pub fn is_autoscaled(&self, consumer: usize) -> bool {
        self.consumers[consumer].autoscale.is_some()
    }

    /// Most members that a consumer ever has.
    #[must_use]
    pub fn most_members(&self, consumer: usize) -> u32 {
        let planned = self.sizes(consumer).into_iter().map(|(_, size)| size).max().unwrap_or(1);
        planned.max(self.consumers[consumer].autoscale.map_or(0, |autoscale| autoscale.max))
    }

    /// Most processes that a consumer ever has: while a version is rolled out there may be more than members.
    #[must_use]
    pub fn most_processes(&self, consumer: usize) -> u32 {
        let surges = self.deploys(consumer).map(|(_, deploy)| deploy.max_surge);
        self.most_members(consumer) + surges.max().unwrap_or(0)
    }

    /// When a consumer is rolled out anew, and how.
    pub fn deploys(&self, consumer: usize) -> impl Iterator<Item = (SimTime, DeployPlan)> {
        let own = self.changes.iter().filter(move |change| change.consumer.0 as usize == consumer);
        own.filter_map(|change| match change.action {
            Action::Deploy(deploy) => Some((change.at, deploy)),
            Action::Scale(_) => None,
        })
    }

    /// The sizes that a consumer shall have: from when on (ns), and how many members. Of the changes that hold at a time, the
    /// one that began last counts. Where it is autoscaled, what operators want, which holds until it is looked at next.
    #[must_use]
    pub fn sizes(&self, consumer: usize) -> Vec<(u64, u32)> {
        let changes: Vec<(u64, u64, u32)> = self
            .changes
            .iter()
            .filter(|change| change.consumer.0 as usize == consumer)
            .filter_map(|change| {
                let Action::Scale(members) = change.action else { return None };
                let to = change.lasts.map_or(u64::MAX, |lasts| change.at.0.saturating_add(lasts.0));
                Some((change.at.0, to, members))
            })
            .collect();
        let mut times: Vec<u64> = changes.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        times.push(0);
        times.sort_unstable();
        times.dedup();
        let at = |time: u64| {
            let hold = changes.iter().filter(|(from, to, _)| *from <= time && time < *to);
            hold.max_by_key(|(from, ..)| *from).map_or(self.consumers[consumer].members, |change| change.2)
        };
        let mut sizes: Vec<(u64, u32)> = times.into_iter().map(|time| (time, at(time))).collect();
        sizes.dedup_by_key(|(_, size)| *size);
        sizes
    }

    /// The intervals for which expectations ask about a consumer, each once, in order of appearance.
    #[must_use]
    pub fn intervals_of(&self, consumer: usize) -> Vec<(SimTime, SimTime)> {
        self.intervals_at("consumers", &self.consumers[consumer].name)
    }

    /// The same about a thing, by its section of the result document and its name.
    #[must_use]
    pub fn intervals_at(&self, section: &str, name: &str) -> Vec<(SimTime, SimTime)> {
        let mut found = Vec::new();
        for expectation in &self.expectations {
            let about = expectation.metrics.iter().any(|path| path.len() > 1 && path[0] == section && path[1] == name);
            if let Some(interval) = expectation.during.filter(|_| about)
                && !found.contains(&interval)
            {
                found.push(interval);
            }
        }
        found
    }
}
