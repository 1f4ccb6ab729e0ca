//! A plan made ready for one seed: streams keyed, partitions of keys known, publishers numbered, faults timed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RunOptions;
use super::cluster::{Cluster, Clusters};
use super::journeys::Follow;
use super::lineage::Roots;
use super::log::EventCode;
use super::schedule::{Order, Station};
use super::timeline::Link;
use crate::dist::{Dist, NO_KEY};
use crate::outcome::EventId;
use crate::partition::KeyTexts;
use crate::plan::{
    Acks, ClientPlan, ConsumerId, ConsumerPlan, Effect, FailurePlan, FaultPlan, FaultTarget, Handler, Initiator,
    KeyHash, KeyPlan, Keyless, Party, Plan, ProducerId, ServiceId, Step, StorePolicy, TopicId,
};
use crate::random::{Stream, fnv1a};
use crate::stats::Course;
use crate::time::SimSpan;

/// Key tables are kept up to this many keys; beyond, the partition of a key is computed each time.
const TABLE_KEYS: u32 = 1 << 22;

/// How drawn times are rounded: up to a multiple of so many ns (1: not at all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounding(pub(super) u64);

impl Rounding {
    /// A time, rounded up.
    #[inline]
    pub(super) fn up(self, nanos: u64) -> u64 {
        if self.0 <= 1 { nanos } else { nanos.div_ceil(self.0) * self.0 }
    }
}

/// Who publishes to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Publisher {
    /// A producer, by index.
    Producer(usize),
    /// A consumer, by index.
    Consumer(usize),
    /// By index.
    Service(usize),
    /// A consumer, by index, to its retry topics.
    Retry(usize),
}

impl Publisher {
    /// The publisher that a party of the plan is.
    pub(super) fn of(party: Party) -> Self {
        match party {
            Party::Producer(id) => Self::Producer(id.0 as usize),
            Party::Consumer(id) => Self::Consumer(id.0 as usize),
            Party::Service(id) => Self::Service(id.0 as usize),
        }
    }

    /// The same as a party of the plan.
    pub(super) fn party(self) -> Party {
        let id = |index| u32::try_from(index).expect("things of a plan fit 32 bits");
        match self {
            Self::Producer(index) => Party::Producer(ProducerId(id(index))),
            Self::Consumer(index) | Self::Retry(index) => Party::Consumer(ConsumerId(id(index))),
            Self::Service(index) => Party::Service(ServiceId(id(index))),
        }
    }
}

/// One topic, ready to run.
#[derive(Clone, Debug)]
pub(super) struct TopicSetup {
    pub(super) partitions: u32,
    pub(super) publishers: usize,
    /// Keys below this are judged for order; 0: none.
    pub(super) key_space: u32,
    /// Whether per-key order of its events is judged by anyone.
    pub(super) judged: bool,
    /// Whether it is a retry topic: what it holds are events of another one.
    pub(super) retries: bool,
    /// Whether its events are parts of journeys that somebody follows.
    pub(super) followed: bool,
    /// Whether records carry extras.
    pub(super) rich: bool,
    /// Whether some are published in transactions.
    pub(super) transactional: bool,
    /// Who publishes, in order of publisher number.
    pub(super) who: Vec<Publisher>,
    /// Consumers that read it.
    pub(super) readers: Vec<usize>,
    /// By publisher: the number of its first journey, where records carry no extras.
    pub(super) first_roots: Vec<u64>,
    /// A number for each publisher's first event in the streams of readers.
    pub(super) offsets: Vec<u64>,
    /// By publisher: whether only the relay of its outbox can store an event twice.
    pub(super) relayed: Vec<bool>,
}

/// Streams of one client's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientStreams {
    pub(super) network: Stream,
    pub(super) append: Stream,
    pub(super) replicate: Stream,
    pub(super) fsync: Stream,
    pub(super) backoff: Stream,
    pub(super) sticky: Stream,
    pub(super) link: Stream,
    pub(super) metadata: Stream,
}

/// One kind of client (one producer or consumer, one topic), ready to run.
#[derive(Clone, Debug)]
pub(super) struct ClientSetup {
    pub(super) plan: ClientPlan,
    pub(super) topic: usize,
    pub(super) publisher: usize,
    pub(super) partitions: u32,
    pub(super) brokers: u32,
    pub(super) network: Dist,
    pub(super) store: StorePolicy,
    pub(super) streams: ClientStreams,
    pub(super) link: Link,
    /// The topic's bus, where its nodes fail.
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) rounding: Rounding,
    pub(super) warm_up: u64,
    /// What is published arrives 1 ns later at least: the topic comes before its publisher in the order of stations, or
    /// might.
    pub(super) back_edge: bool,
    pub(super) code: EventCode,
    /// Number of the event that is watched, if it is one of this publisher's.
    pub(super) watched: Option<u32>,
    /// Whether a relay publishes its events from an outbox.
    pub(super) outbox: bool,
    lanes: Arc<Vec<u32>>,
    keys: Arc<KeyTexts>,
}

impl ClientSetup {
    /// The partition of a key.
    #[inline]
    pub(super) fn lane_of(&self, key: u32) -> u32 {
        match self.lanes.get(key as usize) {
            Some(lane) => *lane,
            None => self.plan.partitioning.hash.map_or(0, |hash| self.keys.lane(hash, key, self.partitions)),
        }
    }

    /// Reads the partitions of keys for nothing but to have them at hand: together, because one by one each would wait for
    /// memory.
    pub(super) fn recall(&self, keys: &[u32]) {
        let known = |key: &u32| self.lanes.get(*key as usize).copied().unwrap_or(0);
        std::hint::black_box(keys.iter().map(known).fold(0, |all, one| all ^ one));
    }

    /// The event number of this publisher's n-th event.
    pub(super) fn event(&self, sequence: u32) -> u32 {
        self.code.event(super::topic::publisher_number(self.publisher), sequence)
    }

    /// Whether a message is visible and acknowledged, or given up, after a time that depends on nothing else.
    pub(super) fn is_direct(&self) -> bool {
        let unreplicated = self.store.replicate.constant().is_some_and(|value| value <= 0.0);
        self.plan.batching.is_none()
            && self.plan.max_in_flight.is_none()
            && self.plan.buffer.is_none()
            && !self.plan.fifo_connection
            && self.plan.retry.retries == 0
            && self.link.is_clean()
            && self.cluster.is_none()
            && (self.store.visible_when_replicated || unreplicated)
            && self.plan.acks == Acks::All
            && self.plan.partitioning.keyless == Keyless::Turn
            && self.plan.partitioning.hash.is_some()
    }
}

/// Everything that stations share.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) rounding: Rounding,
    pub(super) warm_up: u64,
    pub(super) end: u64,
    /// Of what meters follow over time: nothing yet.
    pub(super) course: Course,
    pub(super) topics: Vec<TopicSetup>,
    /// How journeys are numbered.
    pub(super) roots: Roots,
    /// Which of them somebody follows, and where.
    pub(super) follow: Arc<Follow>,
    /// Buses whose nodes fail.
    pub(super) clusters: Clusters,
    /// Clients by publisher and topic.
    pub(super) clients: BTreeMap<(Publisher, usize), Arc<ClientSetup>>,
    /// The event that is watched, if one is.
    pub(super) watched: Option<EventId>,
    /// Producers that are stations of their own, in order; the handlers of the others run in the mesh.
    pub(super) sources: Vec<usize>,
    /// By consumer: whether its handlers run in the mesh.
    pub(super) delegates: Vec<bool>,
    /// Topics whose events are awaited, in order.
    pub(super) awaited: Vec<usize>,
}

impl Setup {
    pub(super) fn new(plan: &Plan, options: &RunOptions) -> Self {
        let RunOptions { seed, coarse, delegate, .. } = *options;
        let rounding = Rounding(coarse.max(1));
        let (roots, follow) = (Roots::new(plan.producers.len()), Arc::new(Follow::new(plan)));
        let mut topics: Vec<TopicSetup> = (0..plan.topics.len()).map(|topic| topic_setup(plan, topic)).collect();
        spread_key_spaces(plan, &mut topics);
        let keys = Arc::new(KeyTexts::of(plan));
        let clusters = Clusters::new(plan, seed, rounding);
        let mut clients = BTreeMap::new();
        let mut tables = BTreeMap::new();
        for (index, topic) in topics.iter().enumerate() {
            for (publisher, who) in topic.who.iter().enumerate() {
                let mut client =
                    client_setup(plan, seed, rounding, index, topic, (publisher, *who), &keys, &mut tables);
                if let Some(cluster) = clusters.topics.get(&index) {
                    client.brokers = plan.topics[index].brokers;
                    client.cluster = Some(cluster.clone());
                }
                clients.insert((*who, index), Arc::new(client));
            }
        }
        for (index, topic) in topics.iter_mut().enumerate() {
            let alone = |client: &ClientSetup| client.outbox && (client.plan.idempotent || client.link.is_clean());
            topic.relayed = topic.who.iter().map(|who| alone(&clients[&(*who, index)])).collect();
            topic.judged = topic.key_space > 0 && !topic.readers.is_empty() && !topic.retries;
            topic.followed = follow.topics[index] && !topic.readers.is_empty();
            topic.rich = plan.topics[index].retention.is_some();
            topic.rich |= topic.who.iter().any(|who| !is_plain_source(plan, *who, &clients[&(*who, index)]));
            if !topic.rich {
                topic.first_roots = topic.who.iter().map(|who| roots.first(*who)).collect();
            }
        }
        let delegates = (0..plan.consumers.len()).map(|index| delegate || needs_mesh(plan, index)).collect();
        let alone =
            |index: &usize| plan.producers[*index].handler.is_simple() && plan.producers[*index].outbox.is_none();
        let sources = (0..plan.producers.len()).filter(alone).collect();
        let awaited = plan.awaited().into_iter().map(|topic| topic.0 as usize).collect();
        let (warm_up, end) = (plan.warm_up.0, plan.duration.0);
        let course = Course::over(warm_up, end, false);
        Self {
            seed,
            rounding,
            warm_up,
            end,
            course,
            topics,
            roots,
            follow,
            clusters,
            clients,
            watched: None,
            sources,
            delegates,
            awaited,
        }
    }
}

/// Whether a consumer's handlers must run in the mesh: steps wait for others, or a handler only waits as its process stands
/// still. That goes on when the wait is over, unless the pause is longer; a group knows no more than the sum of its times.
fn needs_mesh(plan: &Plan, consumer: usize) -> bool {
    let handler = &plan.consumers[consumer].handler;
    let strikes = |fault: &FaultPlan| {
        fault.effect == Effect::Pause
            && matches!(fault.target, FaultTarget::Consumer(id, _) if id.0 as usize == consumer)
    };
    !handler.is_simple() || (handler.waits() && plan.faults.iter().any(strikes))
}

impl TopicSetup {
    /// Whether readers keep what has come of each event.
    pub(super) fn has_columns(&self) -> bool {
        self.judged || self.followed || self.readers.len() > 1
    }
}

impl Setup {
    /// The station at which a publisher's clients are.
    pub(super) fn station(&self, who: Publisher) -> Station {
        match who {
            Publisher::Producer(index) => self.sources.binary_search(&index).map_or(Station::Mesh, Station::Source),
            Publisher::Consumer(index) if !self.delegates[index] => Station::Group(index),
            Publisher::Retry(index) => Station::Group(index),
            Publisher::Consumer(_) | Publisher::Service(_) => Station::Mesh,
        }
    }

    /// The consumers whose handlers run in the mesh.
    pub(super) fn delegating(&self) -> impl Iterator<Item = usize> {
        (0..self.delegates.len()).filter(|consumer| self.delegates[*consumer])
    }

    /// From now on an event is watched: whoever meets it tells what happens to it.
    pub(super) fn watch(&mut self, event: Option<EventId>) {
        let Some(watched) = event else { return };
        self.watched = event;
        for ((_, topic), client) in &mut self.clients {
            if *topic == watched.topic as usize && client.publisher == watched.publisher as usize {
                Arc::make_mut(client).watched = Some(watched.number);
            }
        }
    }

    /// Marks the clients whose topics come before them in the order of stations, and those in the mesh, whose topics may
    /// be read by those who wait for it: who reads a topic must not matter to others.
    pub(super) fn find_back_edges(&mut self, order: &Order) {
        let stations: Vec<Station> = self.clients.keys().map(|(who, _)| self.station(*who)).collect();
        for (((_, topic), client), station) in self.clients.iter_mut().zip(stations) {
            let back = order.position(Station::Topic(*topic)) < order.position(station);
            Arc::make_mut(client).back_edge = back || station == Station::Mesh;
        }
    }
}

/// Whether a publisher is a producer that only publishes one plain event per arrival, at once.
pub(super) fn is_plain_source(plan: &Plan, who: Publisher, client: &ClientSetup) -> bool {
    let Publisher::Producer(index) = who else { return false };
    let producer = &plan.producers[index];
    let [Step::Publish(step)] = producer.handler.steps.as_slice() else { return false };
    client.is_direct()
        && step.otherwise.is_none()
        && step.key.is_none()
        && step.event_type.is_none()
        && step.size.is_none()
        && step.count == Dist::Constant(1.0)
        && step.probability >= 1.0
        && producer.events_per_arrival == Dist::Constant(1.0)
        && producer.size.constant().is_some()
        && producer.types.is_empty()
        && producer.failure == FailurePlan::default()
        && producer.outbox.is_none()
}

/// Who publishes to a topic.
pub(super) fn publishers(plan: &Plan, topic: usize) -> Vec<Publisher> {
    let id = TopicId(u32::try_from(topic).expect("topics fit 32 bits"));
    let mut who = Vec::new();
    let producers = plan.producers.iter().enumerate().filter(|(_, p)| publishes(&p.handler, id));
    who.extend(producers.map(|(index, _)| Publisher::Producer(index)));
    let consumers = plan.consumers.iter().enumerate();
    let consumers = consumers.filter(|(_, c)| publishes(&c.handler, id) || c.dead_letter == Some(id));
    who.extend(consumers.map(|(index, _)| Publisher::Consumer(index)));
    let services = plan.services.iter().enumerate().filter(|(_, s)| publishes(&s.handler, id));
    who.extend(services.map(|(index, _)| Publisher::Service(index)));
    who.extend(retrying(plan, id).map(Publisher::Retry));
    who
}

/// The consumer whose retry topic this is.
fn retrying(plan: &Plan, topic: TopicId) -> impl Iterator<Item = usize> {
    let consumers = plan.consumers.iter().enumerate();
    let own = move |consumer: &ConsumerPlan| {
        consumer.retry_topics.iter().any(|retries| retries.topics.iter().flatten().any(|own| *own == topic))
    };
    consumers.filter(move |(_, consumer)| own(consumer)).map(|(index, _)| index)
}

fn topic_setup(plan: &Plan, topic: usize) -> TopicSetup {
    let id = TopicId(u32::try_from(topic).expect("topics fit 32 bits"));
    let who = publishers(plan, topic);
    let readers = plan.consumers.iter().enumerate().filter(|(_, c)| c.subscribes.contains(&id)).map(|(index, _)| index);
    let retrying: Vec<usize> = retrying(plan, id).collect();
    let offsets = who.iter().map(|who| fnv1a(publisher_name(plan, *who).as_bytes())).collect();
    TopicSetup {
        partitions: plan.topics[topic].partitions,
        publishers: who.len().max(1),
        key_space: 0,
        judged: false,
        followed: false,
        rich: false,
        transactional: plan.handlers().any(|handler| publishes_in(handler.transaction().unwrap_or(&[]), id)),
        first_roots: Vec::new(),
        retries: !retrying.is_empty(),
        readers: readers.chain(retrying).collect(),
        relayed: Vec::new(),
        offsets,
        who,
    }
}

pub(super) fn publisher_name(plan: &Plan, who: Publisher) -> &str {
    match who {
        Publisher::Producer(index) => &plan.producers[index].name,
        Publisher::Consumer(index) | Publisher::Retry(index) => &plan.consumers[index].name,
        Publisher::Service(index) => &plan.services[index].name,
    }
}

/// Whether a handler publishes to a topic.
fn publishes(handler: &Handler, topic: TopicId) -> bool {
    publishes_in(&handler.steps, topic)
}

/// Whether some of these steps publish to a topic.
fn publishes_in(steps: &[Step], topic: TopicId) -> bool {
    let mut found = false;
    let mut see = |step: &Step| found |= matches!(step, Step::Publish(publish) if publish.to == topic);
    steps.iter().for_each(|step| step.visit(&mut see));
    found
}

fn own_key_space(key: &KeyPlan) -> u32 {
    match key {
        KeyPlan::None | KeyPlan::Unique => 0,
        KeyPlan::Uniform(keys) | KeyPlan::Zipf { keys, .. } => *keys,
        KeyPlan::Weighted(shares) => shares.iter().map(|(key, _)| key + 1).max().unwrap_or(0),
        KeyPlan::Trace(keys) => keys.iter().filter(|key| **key != NO_KEY).map(|key| key + 1).max().unwrap_or(0),
    }
}

/// Largest key space of the keys that a handler gives to a topic; `inherited` where it passes on those of what it has in
/// hand.
fn key_space(handler: &Handler, topic: TopicId, inherited: u32) -> u32 {
    let mut largest = 0;
    handler.visit(&mut |step| {
        if let Step::Publish(publish) = step
            && publish.to == topic
        {
            largest = largest.max(publish.key.as_ref().map_or(inherited, own_key_space));
        }
    });
    largest
}

/// Largest key space of what a handler there has in hand.
fn space_of(plan: &Plan, topics: &[TopicSetup], initiator: Initiator) -> u32 {
    match initiator {
        Initiator::User(id) => own_key_space(&plan.services[id.0 as usize].key),
        Initiator::Producer(id) => own_key_space(&plan.producers[id.0 as usize].key),
        Initiator::Consumer(id) => {
            let read = plan.consumers[id.0 as usize].subscribes.iter();
            read.map(|from| topics[from.0 as usize].key_space).max().unwrap_or(0)
        }
    }
}

/// Consumers pass keys on: repeat until nothing grows (a key space can only take values that some key plan has).
fn spread_key_spaces(plan: &Plan, topics: &mut [TopicSetup]) {
    let initiators = plan.initiators();
    loop {
        let mut grown = false;
        for topic in 0..topics.len() {
            let id = TopicId(u32::try_from(topic).expect("topics fit 32 bits"));
            let space = topics[topic].who.iter().map(|who| match *who {
                Publisher::Producer(index) => {
                    let producer = &plan.producers[index];
                    key_space(&producer.handler, id, own_key_space(&producer.key))
                }
                Publisher::Consumer(index) => {
                    let consumer = &plan.consumers[index];
                    let itself = ConsumerId(u32::try_from(index).expect("consumers fit 32 bits"));
                    let inherited = space_of(plan, topics, Initiator::Consumer(itself));
                    let dead = if consumer.dead_letter == Some(id) { inherited } else { 0 };
                    key_space(&consumer.handler, id, inherited).max(dead)
                }
                Publisher::Retry(index) => {
                    let itself = ConsumerId(u32::try_from(index).expect("consumers fit 32 bits"));
                    space_of(plan, topics, Initiator::Consumer(itself))
                }
                Publisher::Service(index) => {
                    let keys = initiators[index].iter().map(|initiator| space_of(plan, topics, *initiator));
                    key_space(&plan.services[index].handler, id, keys.max().unwrap_or(0))
                }
            });
            let space = space.max().unwrap_or(0);
            grown |= space > topics[topic].key_space;
            topics[topic].key_space = topics[topic].key_space.max(space);
        }
        if !grown {
            return;
        }
    }
}

type LaneTables = BTreeMap<(u32, Option<KeyHash>, u32), Arc<Vec<u32>>>;

#[expect(clippy::too_many_arguments, reason = "one place that joins all that a client needs")]
fn client_setup(
    plan: &Plan,
    seed: u64,
    rounding: Rounding,
    index: usize,
    topic: &TopicSetup,
    (publisher, who): (usize, Publisher),
    keys: &Arc<KeyTexts>,
    tables: &mut LaneTables,
) -> ClientSetup {
    let id = TopicId(u32::try_from(index).expect("topics fit 32 bits"));
    let topic_plan = &plan.topics[index];
    let (list, link) = match who {
        Publisher::Producer(producer) => {
            let link = FaultTarget::ProducerLink(ProducerId(u32::try_from(producer).expect("producers fit 32 bits")));
            (&plan.producers[producer].clients, Link::of(plan, seed, |target| target == link))
        }
        Publisher::Consumer(consumer) | Publisher::Retry(consumer) => {
            let link = FaultTarget::ConsumerLink(ConsumerId(u32::try_from(consumer).expect("consumers fit 32 bits")));
            (&plan.consumers[consumer].clients, Link::of(plan, seed, |target| target == link))
        }
        Publisher::Service(service) => {
            let link = FaultTarget::ServiceLink(ServiceId(u32::try_from(service).expect("services fit 32 bits")));
            (&plan.services[service].clients, Link::of(plan, seed, |target| target == link))
        }
    };
    let client = match who {
        Publisher::Retry(consumer) => plan.consumers[consumer].retry_topics.as_ref().map(|it| it.client.clone()),
        _ => list.iter().find(|(to, _)| *to == id).map(|(_, client)| client.clone()),
    };
    let client = client.expect("a plan has client settings for every topic that is published to");
    let outbox = plan.outbox_of(who.party()).is_some();
    let stream = |purpose: &str| {
        Stream::named(seed, &format!("{}/publish/{}/{purpose}", publisher_name(plan, who), topic_plan.name))
    };
    let streams = ClientStreams {
        network: stream("network"),
        append: stream("append"),
        replicate: stream("replicate"),
        fsync: stream("fsync"),
        backoff: stream("backoff"),
        sticky: stream("sticky"),
        link: stream("link"),
        metadata: stream("metadata"),
    };
    let size = topic.key_space.min(TABLE_KEYS);
    let hash = client.partitioning.hash;
    let lanes = tables.entry((topic.partitions, hash, size)).or_insert_with(|| {
        let lane = |key| hash.map_or(0, |hash| keys.lane(hash, key, topic.partitions));
        Arc::new((0..size).map(lane).collect())
    });
    ClientSetup {
        topic: index,
        publisher,
        partitions: topic.partitions,
        brokers: topic_plan.brokers.clamp(1, topic.partitions),
        network: topic_plan.store.network.clone(),
        store: topic_plan.store.clone(),
        streams,
        link,
        cluster: None,
        rounding,
        warm_up: plan.warm_up.0,
        back_edge: false,
        code: EventCode::new(topic.publishers),
        watched: None,
        outbox,
        lanes: lanes.clone(),
        keys: keys.clone(),
        plan: if outbox { patient(client) } else { client },
    }
}

/// A client as a relay uses it: what it gave up, it would find in the outbox and begin with again.
fn patient(mut client: ClientPlan) -> ClientPlan {
    (client.retry.retries, client.retry.delivery_timeout) = (u32::MAX, SimSpan::FOREVER);
    if let Some(buffer) = &mut client.buffer {
        buffer.max_block = SimSpan::FOREVER;
    }
    client
}

/// A handler that is one `work` step whose time depends on nothing but chance.
pub(super) fn plain_work(handler: &Handler) -> Option<Dist> {
    match handler.steps.as_slice() {
        [] => Some(Dist::Constant(0.0)),
        [Step::Work(dist)] if dist.is_plain() => Some(dist.clone()),
        _ => None,
    }
}
