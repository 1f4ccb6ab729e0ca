//! The meters against a second opinion: from the record of every delivery a few lines that share nothing with the engine
//! count again what it says, and agree with it exactly.

use std::collections::{BTreeMap, BTreeSet};

use edasim::outcome::{ConsumerOutcome, DeliveryResult, LagOutcome, Outcome, TraceRecord};
use edasim::plan::Plan;
use edasim::stats::Histogram;

use crate::support::{consumer, plan, traced};

/// Samples of the lag in one run.
const SAMPLES: u64 = 7200;
/// Samples that make one point of a series.
const MERGED: usize = 30;
const PARTITION_MERGED: usize = 120;

/// All deliveries of one consumer.
struct Deliveries<'a> {
    plan: &'a Plan,
    records: Vec<&'a TraceRecord>,
    outcome: &'a ConsumerOutcome,
}

/// A stored record: when it became visible, was created, was settled, ns.
type Place = (u64, u64, u64);

/// An event as its subscription knows it: topic, publisher, number.
type Event = (u32, u32, u32);

fn event(record: &TraceRecord) -> Event {
    (record.topic, record.publisher, record.event)
}

fn has_effect(record: &&&TraceRecord) -> bool {
    matches!(record.result, DeliveryResult::Effect | DeliveryResult::DuplicateEffect)
}

impl<'a> Deliveries<'a> {
    fn of(plan: &'a Plan, outcome: &'a Outcome, name: &str) -> Self {
        let index = plan.consumers.iter().position(|consumer| consumer.name == name).expect("declared") as u32;
        let records = outcome.trace.iter().filter(|record| record.consumer == index).collect();
        Self { plan, records, outcome: consumer(plan, outcome, name) }
    }

    fn is_measured(&self, record: &TraceRecord) -> bool {
        record.created.0 >= self.plan.warm_up.0
    }

    /// The first effect of each event, in order of time.
    fn first_effects(&self) -> Vec<&'a TraceRecord> {
        let mut first: BTreeMap<Event, &TraceRecord> = BTreeMap::new();
        for record in self.records.iter().filter(has_effect) {
            let known = first.entry(event(record)).or_insert(record);
            if record.done < known.done {
                *known = record;
            }
        }
        let mut effects: Vec<_> = first.into_values().collect();
        effects.sort_by_key(|record| record.done);
        effects
    }

    fn count(&self, what: impl Fn(&TraceRecord) -> bool) -> u64 {
        self.records.iter().filter(|record| self.is_measured(record) && what(record)).count() as u64
    }

    fn latency_agrees(&self) {
        let mut latency = Histogram::default();
        let mut sum = 0;
        for record in self.first_effects().into_iter().filter(|record| self.is_measured(record)) {
            assert_eq!(record.result, DeliveryResult::Effect, "the earliest effect is the first: {record:?}");
            latency.record(record.done.0 - record.created.0);
            sum += u128::from(record.done.0 - record.created.0);
        }
        assert!(latency.count() > 1000, "a test of something: {}", latency.count());
        assert_eq!((latency.count(), latency.max()), (self.outcome.latency.count(), self.outcome.latency.max()));
        assert_eq!(sum, self.outcome.stages.total);
        assert_eq!(latency.iter().collect::<Vec<_>>(), self.outcome.latency.iter().collect::<Vec<_>>());
        assert_eq!(self.outcome.ledger.effected, latency.count());
    }

    /// RFC 4737 for each key and publisher: an event is reordered if a later one came before it; its extent is how many
    /// came since the earliest of those.
    fn order_agrees(&self) {
        let mut keys: BTreeMap<(u32, u32, u32), Vec<&TraceRecord>> = BTreeMap::new();
        for record in self.first_effects() {
            keys.entry((record.topic, record.publisher, record.key)).or_default().push(record);
        }
        let (mut violations, mut extents, mut extent_max, mut late, mut late_max) = (0, 0, 0, 0u128, 0);
        for effects in keys.values() {
            let mut next_expected = 0;
            for (at, record) in effects.iter().enumerate() {
                if record.event >= next_expected {
                    next_expected = record.event + 1;
                } else if self.is_measured(record) {
                    let overtaker = effects.iter().position(|other| other.event > record.event).expect("one is larger");
                    let extent = (at - overtaker) as u64;
                    let time = record.done.0 - effects[overtaker].done.0;
                    violations += 1;
                    extents += extent;
                    extent_max = extent_max.max(extent);
                    late += u128::from(time);
                    late_max = late_max.max(time);
                }
            }
        }
        let order = &self.outcome.order;
        assert_eq!(order.violations, violations, "violations");
        assert_eq!((order.extent_sum, order.extent_max), (extents, extent_max), "extents");
        assert_eq!((order.late_time_sum, order.late_time_max), (late, late_max), "late times");
    }

    fn duplicates_agree(&self) {
        let measured: Vec<&TraceRecord> = self.records.iter().copied().filter(|r| self.is_measured(r)).collect();
        let positions: BTreeSet<_> = measured.iter().map(|r| (r.topic, r.partition, r.offset)).collect();
        let delivered = measured.len();
        assert_eq!(self.outcome.deliveries, delivered as u64, "deliveries");
        assert_eq!(self.outcome.duplicates_deliveries, (delivered - positions.len()) as u64, "redeliveries");
        let effects = measured.iter().filter(has_effect).count();
        let effected = self.first_effects().into_iter().filter(|r| self.is_measured(r)).count();
        assert_eq!(self.outcome.duplicates_effects, (effects - effected) as u64, "effects beyond the first");
        let events: BTreeSet<Event> = measured.iter().map(|r| event(r)).collect();
        assert_eq!(self.outcome.duplicates_log, (positions.len() - events.len()) as u64, "surplus copies");
        assert_eq!(self.outcome.duplicates_suppressed, self.count(|r| r.result == DeliveryResult::Suppressed));
        assert_eq!(self.outcome.cut_off, self.count(|r| r.result == DeliveryResult::CutOff));
    }

    /// Lag at each sample: what was visible before it, less what was settled before it.
    fn lag_agrees(&self, outcome: &Outcome) {
        let mut settled: BTreeMap<(u32, u32), BTreeMap<u64, Place>> = BTreeMap::new();
        for record in &self.records {
            let lane = settled.entry((record.topic, record.partition)).or_default();
            let place = lane.entry(record.offset).or_insert((record.visible.0, record.created.0, u64::MAX));
            place.2 = place.2.min(record.settled.0);
        }
        let read = |topic: u32| settled.keys().any(|lane| lane.0 == topic);
        let topics = outcome.topics.iter().zip(0..).filter(|(_, index)| read(*index));
        let stored: u64 = topics.flat_map(|(topic, _)| &topic.records).sum();
        let found: usize = settled.values().map(BTreeMap::len).sum();
        assert_eq!(found as u64, stored, "every record was delivered, or the lag cannot be told from deliveries");
        let lanes = outcome
            .topics
            .iter()
            .enumerate()
            .filter(|(topic, _)| read(*topic as u32))
            .flat_map(|(topic, t)| (0..t.records.len()).map(move |p| (topic as u32, p as u32)));
        let lanes: Vec<Vec<Place>> = lanes
            .map(|lane| settled.get(&lane).map_or_else(Vec::new, |lane| lane.values().copied().collect()))
            .collect();
        let tick = self.plan.duration.0.div_ceil(SAMPLES);
        let seen = &self.outcome.lag;
        let mut recount = LagOutcome {
            interval: seen.interval,
            partition_interval: seen.partition_interval,
            ..LagOutcome::default()
        };
        recount.partitions.resize(lanes.len(), edasim::outcome::PartitionLag::default());
        for (number, now) in (1..).map(|n| n * tick).take_while(|now| *now < self.plan.duration.0).enumerate() {
            let fresh = number % MERGED == 0;
            let fresh_partition = number % PARTITION_MERGED == 0;
            let measured = now >= self.plan.warm_up.0;
            let (mut total, mut age) = (0, 0);
            for (lane, partition) in lanes.iter().zip(&mut recount.partitions) {
                let open = || lane.iter().filter(|(visible, _, settled)| *visible < now && *settled >= now);
                let records = open().count() as u64;
                let one_age = open().next().map_or(0, |(_, created, _)| now - created);
                raise(&mut partition.records, records, fresh_partition);
                raise(&mut partition.time, one_age, fresh_partition);
                if measured {
                    partition.max = partition.max.max(records);
                    partition.time_max = partition.time_max.max(one_age);
                }
                partition.end = records;
                total += records;
                age = age.max(one_age);
            }
            raise(&mut recount.records, total, fresh);
            raise(&mut recount.time, age, fresh);
            if measured && total > recount.max {
                (recount.max, recount.max_at.0) = (total, now);
            }
            if measured && age > recount.time_max {
                (recount.time_max, recount.time_max_at.0) = (age, now);
            }
            recount.end = total;
        }
        assert!(recount.max > 0, "a test of something");
        assert_eq!(recount.records, self.outcome.lag.records, "lag");
        assert_eq!(recount.time, self.outcome.lag.time, "age of the oldest");
        assert_eq!(recount, self.outcome.lag);
    }
}

fn raise(series: &mut Vec<u64>, value: u64, fresh: bool) {
    match series.last_mut() {
        Some(last) if !fresh => *last = value.max(*last),
        _ => series.push(value),
    }
}

/// Everything that can be counted again, of every consumer of a scenario.
fn agrees(yaml: &str) -> Outcome {
    let plan = plan(yaml);
    let outcome = traced(&plan);
    for consumer in &plan.consumers {
        let deliveries = Deliveries::of(&plan, &outcome, &consumer.name);
        deliveries.latency_agrees();
        deliveries.order_agrees();
        deliveries.duplicates_agree();
        deliveries.lag_agrees(&outcome);
    }
    converged_agrees(&plan, &outcome);
    outcome
}

/// An event has converged when the last of its subscriptions has its first effect.
fn converged_agrees(plan: &Plan, outcome: &Outcome) {
    if plan.consumers.len() < 2 {
        return;
    }
    let mut last: BTreeMap<Event, (u64, u64, usize)> = BTreeMap::new();
    for consumer in &plan.consumers {
        for record in Deliveries::of(plan, outcome, &consumer.name).first_effects() {
            let seen = last.entry(event(record)).or_insert((record.created.0, 0, 0));
            (seen.1, seen.2) = (seen.1.max(record.done.0), seen.2 + 1);
        }
    }
    let mut converged = Histogram::default();
    let measured = last.values().filter(|(created, _, _)| *created >= plan.warm_up.0);
    measured
        .filter(|seen| seen.2 == plan.consumers.len())
        .for_each(|(created, done, _)| converged.record(done - created));
    assert_eq!(converged.iter().collect::<Vec<_>>(), outcome.topics[0].converged.iter().collect::<Vec<_>>());
    assert_eq!(converged.max(), outcome.topics[0].converged.max());
}

/// Arrivals that stop a good while before the end, so that every record is delivered and settled by then.
const ARRIVALS: &str =
    "{ curve: { points: [{ at: 0s, rate: 60/s }, { at: 200s, rate: 60/s }, { at: 201s, rate: 0/s }] } }";

#[test]
fn serial_with_overtaking() {
    let outcome = agrees(&format!(
        "name: overtaking\n\
         duration: 300s\n\
         warm_up: 20s\n\
         buses: {{ main: {{ profile: ideal, latency: {{ append: {{ exponential: 300ms }} }}, topics: {{ work: {{ partitions: 4 }} }} }} }}\n\
         producers: {{ source: {{ publishes: work, arrivals: {ARRIVALS}, key: {{ uniform: 20 }} }} }}\n\
         consumers:\n\
        \x20 fast: {{ subscribes: work, members: 2, service_time: {{ exponential: 5ms }} }}\n\
        \x20 slow: {{ subscribes: work, members: 3, service_time: {{ exponential: 30ms }} }}\n\
         faults:\n\
        \x20 - {{ at: 50s, for: 10s, target: consumers.slow.members.0, effect: crash }}\n\
        \x20 - {{ at: 100s, for: 10s, target: consumers.slow, effect: {{ slow: 5x }} }}\n\
        \x20 - {{ at: 150s, for: 3s, target: consumers.fast, effect: pause }}\n"
    ));
    assert!(outcome.consumers.iter().all(|consumer| consumer.order.violations > 100 && consumer.order.extent_max > 1));
    assert!(outcome.consumers[1].duplicates_deliveries > 0);
}

#[test]
fn polled_group_with_crashes() {
    let kinds = [
        ("20ms", "90ms", ""),
        ("80ms", "400ms", "workers: 4\n    order: key"),
        ("80ms", "400ms", "workers: 4\n    order: none"),
        ("80ms", "400ms", "batch: { max: 20, max_wait: 50ms }"),
    ];
    for (median, p99, more) in kinds {
        let outcome = agrees(&format!(
            "name: crash\n\
             duration: 300s\n\
             warm_up: 20s\n\
             buses: {{ main: {{ profile: kafka, topics: {{ work: {{ partitions: 6 }} }} }} }}\n\
             producers:\n\
            \x20 source: {{ publishes: work, arrivals: {ARRIVALS}, key: {{ zipf: {{ keys: 200, exponent: 0.8 }} }} }}\n\
             consumers:\n\
            \x20 group:\n\
            \x20   subscribes: work\n\
            \x20   members: 3\n\
            \x20   service_time: {{ lognormal: {{ median: {median}, p99: {p99} }} }}\n\
            \x20   failure: 1%\n\
            \x20   startup: 3s\n\
            \x20   settings: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }}\n\
            \x20   {more}\n\
             faults:\n\
            \x20 - {{ at: 60s, for: 20s, target: consumers.group.members.1, effect: crash }}\n\
            \x20 - {{ at: 120s, for: 15s, target: consumers.group.members.0, effect: pause }}\n\
             changes: [ {{ at: 160s, target: consumers.group, action: {{ scale: 5 }} }} ]\n"
        ));
        let group = &outcome.consumers[0];
        assert!(group.duplicates_deliveries > 0 && group.duplicates_effects > 0 && group.rebalances > 1, "{more}");
        assert_eq!(group.order.violations > 0, more.contains("none"), "{more}: {:?}", group.order);
    }
}

#[test]
fn polled_group_behind_a_bad_link() {
    let outcome = agrees(&format!(
        "name: link\n\
         duration: 300s\n\
         buses: {{ main: {{ profile: kafka, topics: {{ work: {{ partitions: 3 }} }} }} }}\n\
         producers:\n\
        \x20 source:\n\
        \x20   publishes: work\n\
        \x20   arrivals: {ARRIVALS}\n\
        \x20   key: {{ uniform: 30 }}\n\
        \x20   settings: {{ enable.idempotence: false, request.timeout.ms: 400, linger.ms: 0 }}\n\
         consumers:\n\
        \x20 plain: {{ subscribes: work, service_time: {{ exponential: 5ms }} }}\n\
        \x20 once:  {{ subscribes: work, service_time: {{ exponential: 5ms }}, idempotent: {{ window: 10s }} }}\n\
         faults:\n\
        \x20 - {{ at: 20s, for: 40s, target: links.source.main, effect: {{ drop: 5% }} }}\n\
        \x20 - {{ at: 80s, for: 40s, target: links.source.main, effect: {{ lost_response: 5% }} }}\n\
        \x20 - {{ at: 140s, for: 40s, target: links.source.main, effect: {{ duplicate: 5% }} }}\n"
    ));
    let [once, plain] = &outcome.consumers[..] else { panic!("two consumers") };
    assert!(plain.order.violations > 0 && plain.duplicates_log > 0, "{plain:?}");
    assert_eq!((plain.duplicates_effects, plain.duplicates_suppressed), (plain.duplicates_log, 0));
    assert_eq!((once.duplicates_effects, once.duplicates_suppressed), (0, once.duplicates_log));
}

#[test]
fn queue_with_requeue_and_crashes() {
    for profile in ["rabbitmq-classic", "ideal"] {
        let outcome = agrees(&format!(
            "name: requeue\n\
             duration: 300s\n\
             warm_up: 20s\n\
             buses: {{ main: {{ profile: {profile}, queues: {{ work: }} }} }}\n\
             producers: {{ source: {{ publishes: work, arrivals: {ARRIVALS}, key: {{ uniform: 50 }} }} }}\n\
             consumers:\n\
            \x20 group:\n\
            \x20   subscribes: work\n\
            \x20   members: 3\n\
            \x20   workers: 2\n\
            \x20   service_time: {{ exponential: 60ms }}\n\
            \x20   failure: 5%\n\
            \x20   retry: {{ attempts: 5, mode: requeue, backoff: {{ exponential: 100ms }} }}\n\
             faults:\n\
            \x20 - {{ at: 60s, for: 20s, target: consumers.group.members.1, effect: crash }}\n\
            \x20 - {{ at: 100s, for: 5s, target: consumers.group, effect: crash }}\n"
        ));
        let group = &outcome.consumers[0];
        assert!(group.duplicates_deliveries > 100 && group.order.violations > 0 && group.cut_off > 0, "{group:?}");
        assert_eq!((group.duplicates_effects, group.lost.values().sum::<u64>()), (0, group.ledger.discarded));
    }
}

/// Members crash, stand still and are added while their handlers are out: holding a row, calling, publishing.
#[test]
fn groups_whose_handlers_call_and_hold() {
    let buses = [
        "{ profile: kafka, topics: { work: { partitions: 6 }, done: } }",
        "{ profile: rabbitmq-classic, queues: { work: , done: } }",
        "{ profile: ideal, topics: { work: { partitions: 6 }, done: } }",
    ];
    for bus in buses {
        let queue = bus.contains("rabbit");
        // A group that misses a member only after its session gets over few crashes in its time.
        let crashes = if bus.contains("kafka") { "for: 20s" } else { "every: 25s, for: 5s" };
        let settings = if bus.contains("kafka") {
            "settings: { session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }"
        } else {
            "idempotent: { window: 1m }"
        };
        let outcome = agrees(&format!(
            "name: away\n\
             duration: 300s\n\
             warm_up: 20s\n\
             buses: {{ main: {bus} }}\n\
             producers: {{ source: {{ publishes: work, arrivals: {ARRIVALS}, key: {{ uniform: 200 }} }} }}\n\
             consumers:\n\
            \x20 group:\n\
            \x20   subscribes: work\n\
            \x20   members: 3\n\
            \x20   workers: 4\n\
            \x20   handler:\n\
            \x20     - hold: {{ of: rows, do: [ {{ work: {{ exponential: 10ms }} }} ] }}\n\
            \x20     - call: {{ to: provider, timeout: 1s, retry: {{ attempts: 2 }}, pool: 3 }}\n\
            \x20     - publish: done\n\
            \x20   failure: 1%\n\
            \x20   retry: {{ attempts: 5, backoff: {{ exponential: 20ms }}, mode: {} }}\n\
            \x20   startup: 3s\n\
            \x20   {settings}\n\
             services:\n\
            \x20 provider: {{ workers: 8, service_time: {{ lognormal: {{ median: 30ms, p99: 300ms }} }}, failure: 2% }}\n\
             resources: {{ rows: {{ capacity: 1, per_key: true }} }}\n\
             faults:\n\
            \x20 - {{ at: 60s, {crashes}, target: consumers.group.members.1, effect: crash }}\n\
            \x20 - {{ at: 120s, for: 15s, target: consumers.group.members.0, effect: pause }}\n\
            \x20 - {{ at: 150s, for: 5s, target: services.provider, effect: {{ slow: 5x }} }}\n\
             changes: [ {{ at: 160s, target: consumers.group, action: {{ scale: 5 }} }} ]\n",
            if queue { "requeue" } else { "blocking" }
        ));
        let group = &outcome.consumers[0];
        assert!(group.duplicates_deliveries > 0 && group.cut_off > 0 && group.failures > 80, "{bus}: {group:?}");
        let handler = group.handler.as_ref().expect("its handlers run in the mesh");
        let calls = handler.calls[&0];
        assert!(calls.open > 0 && calls.succeeded > 10_000, "calls are cut off with their process: {calls:?}");
        let done = outcome.topics.iter().map(|topic| topic.created).min().expect("two topics");
        assert!(done >= group.ledger.effected, "every effect has published: {done}");
    }
}
