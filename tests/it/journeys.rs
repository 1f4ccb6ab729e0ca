//! Journeys in whole scenarios, against closed forms, against what other meters say of the same run, and against a second
//! count from the record of every delivery.

use std::collections::BTreeMap;

use edasim::experiment::{self, Request, seed_of};
use edasim::math;
use edasim::outcome::{DeliveryResult, FlowOutcome, Outcome, ReadOutcome, TraceRecord};
use edasim::plan::Plan;
use edasim::stats::Histogram;
use edasim::stats::confidence::MeanInterval;
use serde_json::Value;

use crate::services::with_services;
use crate::support::{EIGHT_MINUTES, consumer, once, plan, result_document, run, traced};

/// The 99.9 % interval of a figure over ten runs holds the exact value, and is narrower than so much of it.
fn holds(plan: &Plan, what: &str, exact: f64, width: f64, figure: impl Fn(&Outcome) -> f64) {
    let values: Vec<f64> = (0..10)
        .map(|n| {
            let options = edasim::engine::RunOptions { seed: seed_of(plan, n), ..Default::default() };
            figure(&run(plan, &options))
        })
        .collect();
    let found = MeanInterval::of(&values, 0.999).unwrap();
    println!("{what}: exact {exact:.5}, found {:.5} +- {:.5}", found.mean, found.half);
    assert!((found.mean - exact).abs() <= found.half, "{what}: {exact} is outside of {} +- {}", found.mean, found.half);
    assert!(found.half <= width * exact, "{what}: {} +- {} says little", found.mean, found.half);
}

fn mean(flow: &FlowOutcome) -> f64 {
    flow.latency_sum as f64 / flow.latency.count() as f64 / 1e9
}

/// Whether two meters have seen the same times, to the last one.
fn same(a: (&Histogram, u128), b: (&Histogram, u128)) -> bool {
    a == b && a.0.count() > 1_000
}

/// Two M/M/1 queues fed by one stream: their later one is (12 - rho) / 8 times as late as each alone (Nelson and Tantawi,
/// 1988). It is what convergence measures, to the last event.
#[test]
fn a_flow_over_two_subscribers_takes_as_long_as_the_later_one() {
    let plan = plan(
        "duration: 60000s\nwarm_up: 4000s\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 0.7/s } } }\n\
         consumers:\n  a: { subscribes: orders, service_time: { exponential: 1s } }\n  b: { subscribes: orders, service_time: { exponential: 1s } }\n\
         flows: { done: { from: shop, until: [a, b] } }\n",
    );
    holds(&plan, "flow", (12.0 - 0.7) / 8.0 / 0.3, 0.05, |outcome| mean(&outcome.flows[0]));
    let outcome = once(&plan);
    let (flow, topic) = (&outcome.flows[0], &outcome.topics[0]);
    assert!(same((&flow.latency, flow.latency_sum), (&topic.converged, topic.converged_sum)));
    assert_eq!((flow.open, flow.stuck), (topic.not_converged, 0));
}

/// A tandem through a second topic: departures of an M/M/1 queue are Poisson again, and sojourns add up.
#[test]
fn a_flow_through_two_topics_adds_up() {
    let plan = plan(
        "duration: 60000s\nwarm_up: 4000s\n\
         buses: { main: { profile: ideal, topics: { orders: , packed: } } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 0.5/s } } }\n\
         consumers:\n  \
           pack: { subscribes: orders, handler: [ { work: { exponential: 1s } }, { publish: { to: packed, ack: ignore } } ] }\n  \
           ship: { subscribes: packed, service_time: { exponential: 0.8s } }\n\
         flows: { shipped: { from: shop, until: ship }, packed: { from: shop, until: [pack] } }\n",
    );
    // In order of name: packed, shipped.
    holds(&plan, "tandem", 2.0 + 0.8 / 0.6, 0.03, |outcome| mean(&outcome.flows[1]));
    // What is measured counts from its own creation, a journey from its beginning: alike without a warm-up.
    let plan = Plan { warm_up: edasim::time::SimSpan::ZERO, ..plan };
    let outcome = once(&plan);
    let path = consumer(&plan, &outcome, "ship").path.as_ref().unwrap();
    let [packed, shipped] = &outcome.flows[..] else { panic!("two flows") };
    assert!(same((&shipped.latency, shipped.latency_sum), (&path.latency, path.sum)));
    let pack = consumer(&plan, &outcome, "pack");
    assert!(same((&packed.latency, packed.latency_sum), (&pack.latency, pack.stages.total)));
    assert_eq!((packed.stuck, shipped.stuck), (0, 0));
}

fn share(read: &ReadOutcome) -> f64 {
    read.stale as f64 / read.looked as f64
}

/// The sojourn in an M/M/1 queue is exponential with rate mu - lambda: so is the chance not to see it after d.
#[test]
fn staleness_behind_a_queue_is_exponential() {
    for after in [0.0, 0.5, 2.0, 4.0] {
        let plan = plan(&format!(
            "duration: 40000s\nwarm_up: 4000s\n\
             buses: {{ main: {{ profile: ideal, topics: {{ orders: }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: 0.5/s }} }} }}\n\
             consumers: {{ page: {{ subscribes: orders, service_time: {{ exponential: 1s }} }} }}\n\
             reads: {{ look: {{ of: page, after: {after}s, poll: 1s }} }}\n"
        ));
        let exact = math::exp(-0.5 * after);
        holds(&plan, &format!("stale after {after} s"), exact, 0.1, |outcome| share(&outcome.reads[0]));
        holds(&plan, &format!("curve at {after} s"), exact, 0.1, |outcome| {
            let read = &outcome.reads[0];
            read.visible.count_above((after * 1e9) as u64) / read.told as f64
        });
        // Looks again until it is there: how often is geometric.
        let looks = 1.0 + exact / (1.0 - math::exp(-0.5));
        holds(&plan, &format!("looks from {after} s on"), looks, 0.1, |outcome| {
            outcome.reads[0].looks as f64 / outcome.reads[0].seen.count() as f64
        });
    }
}

/// In runs of a minute many are told shortly before the end: of them the curve takes no more than is known.
#[test]
fn the_end_of_a_run_is_no_staleness() {
    let plan = plan(
        "duration: 1m\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 40/s } } }\n\
         consumers: { page: { subscribes: orders, workers: 1k, order: none, service_time: { exponential: 2s } } }\n\
         reads: { look: { of: page } }\n",
    );
    let request = Request { replications: 50, ..Request::default() };
    let found = experiment::run(&plan, &request, &()).expect("it runs").summary;
    let curve = found.metrics.pointer("/reads/look/stale/curve").cloned().unwrap_or_default();
    let points: Vec<(f64, f64)> = serde_json::from_value(curve).expect("pairs of numbers");
    for (after, chance) in points.into_iter().filter(|(after, _)| (0.5..15.0).contains(after)) {
        let exact = math::exp(-0.5 * after);
        // Four standard deviations of a share of those who are told at least so long before the end.
        let within = 4.0 * (exact * (1.0 - exact) / (50.0 * 40.0 * (60.0 - after))).sqrt();
        assert!((chance - exact).abs() < within, "after {after} s: {chance}, exact {exact}");
    }
}

/// A user is told when the reply comes: what a queue behind the bus has not done by then is stale, and what the service
/// itself has committed never is.
#[test]
fn what_the_owner_has_committed_is_there_when_it_answers() {
    let plan = plan(
        "duration: 20000s\nwarm_up: 1000s\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         services:\n  shop:\n    arrivals: { poisson: 0.5/s }\n    handler: [ { local_commit: 1s }, { publish: { to: orders, ack: ignore } }, { wait: 3s } ]\n\
         consumers: { page: { subscribes: orders, service_time: { exponential: 1s } } }\n\
         reads: { page: { of: page }, owner: { of: shop } }\n\
         flows: { shown: { from: shop, until: [page, shop] } }\n",
    );
    // Published at 1 s, told at 4 s: the sojourn may take three seconds.
    holds(&plan, "stale when told", math::exp(-1.5), 0.1, |outcome| share(&outcome.reads[1]));
    let outcome = once(&plan);
    assert_eq!((outcome.reads[0].stale, outcome.reads[0].visible.max()), (0, 0));
    assert!(outcome.reads[0].looked > 9_000);
    assert!(outcome.flows[0].latency.min() == 4_000_000_000 && outcome.flows[0].stuck == 0, "the later of the two");
}

/// A saga without a conductor: each step reacts to the event of the one before. Shares are products.
#[test]
fn a_choreographed_saga_ends_with_one_of_its_outcomes() {
    let plan = plan(
        "duration: 600s\n\
         buses: { main: { profile: ideal, topics: { bookings: , rooms: , payments: } } }\n\
         producers: { guest: { publishes: bookings, arrivals: { poisson: 50/s }, key: unique } }\n\
         consumers:\n  \
           hotel:\n    subscribes: bookings\n    workers: 100\n    handler:\n      - work: { exponential: 10ms }\n      \
             - choose: [ { weight: 90%, do: [ { publish: { to: rooms, type: held } } ] }, { weight: 10%, do: [ { publish: { to: rooms, type: full } } ] } ]\n  \
           bank:\n    subscribes: rooms\n    types: held\n    workers: 100\n    failure: { permanent: 5% }\n    handler:\n      - work: { exponential: 20ms }\n      \
             - choose: [ { weight: 80%, do: [ { publish: { to: payments, type: paid } } ] }, { weight: 20%, do: [ { publish: { to: payments, type: refused } } ] } ]\n\
         flows:\n  booked:\n    from: guest\n    outcomes:\n      paid: { event: payments, type: paid }\n      refused: { event: payments, type: refused }\n      full: { event: rooms, type: full }\n",
    );
    let exact = [0.1, 0.9 * 0.95 * 0.8, 0.9 * 0.95 * 0.2];
    for (index, exact) in exact.into_iter().enumerate() {
        holds(&plan, &format!("outcome {index}"), exact, 0.05, |outcome| {
            let flow = &outcome.flows[0];
            flow.outcomes[index] as f64 / (flow.done + flow.stuck) as f64
        });
    }
    let outcome = once(&plan);
    let (flow, bank) = (&outcome.flows[0], consumer(&plan, &outcome, "bank"));
    assert_eq!(flow.stuck, bank.ledger.discarded, "what the bank gives up ends with nothing");
    assert!(flow.begun > 20_000 && flow.open < 20, "{flow:?}");
    let document: Value = serde_json::from_str(&result_document(&plan, &Request::default())).unwrap();
    let paid = document["flows"]["booked"]["outcomes"]["paid"]["share"].as_f64().unwrap();
    assert!((paid - 0.684).abs() < 0.01, "{paid}");
    assert!(document["ci95"]["flows"]["booked"]["outcomes"]["paid"]["share"].is_array());
}

/// First effects of each event of a journey, which the key tells, by consumer: when published, when done.
fn effects(plan: &Plan, outcome: &Outcome, name: &str) -> BTreeMap<u32, Vec<(u64, u64)>> {
    let index = plan.consumers.iter().position(|consumer| consumer.name == name).unwrap() as u32;
    let mut first: BTreeMap<(u32, u32, u32), &TraceRecord> = BTreeMap::new();
    let done = |record: &&TraceRecord| {
        record.consumer == index && matches!(record.result, DeliveryResult::Effect | DeliveryResult::DuplicateEffect)
    };
    for record in outcome.trace.iter().filter(done) {
        let known = first.entry((record.topic, record.publisher, record.event)).or_insert(record);
        if record.done < known.done {
            *known = record;
        }
    }
    let mut found: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for record in first.values() {
        found.entry(record.key).or_default().push((record.created.0, record.done.0));
    }
    found
}

/// When the last of a journey's events had taken effect that were published before the journey was over: what a handler
/// publishes again after that, because its event came a second time, belongs to nobody any more.
fn over(events: &mut [(u64, u64)]) -> u64 {
    events.sort_unstable();
    let mut over = events[0].1;
    for (published, done) in events.iter().copied() {
        if published <= over {
            over = over.max(done);
        }
    }
    over
}

/// Members die, handlers run again and publish again: the latency of each journey, counted from the record of every
/// delivery, in which the key tells the journey.
#[test]
fn journeys_are_what_the_deliveries_say() {
    let plan = plan(&format!(
        "duration: 600s\nwarm_up: 10s\n\
         buses: {{ main: {{ profile: kafka, brokers: 3, topics: {{ orders: {{ partitions: 6 }}, packed: {{ partitions: 6 }} }} }} }}\n\
         producers: {{ shop: {{ publishes: orders, arrivals: {EIGHT_MINUTES}, key: unique }} }}\n\
         consumers:\n  \
           pack:\n    subscribes: orders\n    members: 3\n    handler: [ {{ work: {{ exponential: 8ms }} }}, {{ publish: {{ to: packed, count: 2 }} }} ]\n  \
           ship: {{ subscribes: packed, members: 3, service_time: {{ exponential: 5ms }} }}\n  \
           bill: {{ subscribes: orders, members: 2, service_time: {{ exponential: 10ms }} }}\n\
         flows: {{ done: {{ from: shop, until: [pack, ship], deadline: 1s }}, billed: {{ from: shop, until: bill }} }}\n\
         faults:\n  \
           - {{ at: 30s, every: 60s, for: 5s, target: consumers.pack.members.any, effect: crash }}\n  \
           - {{ at: 50s, every: 90s, for: 5s, target: consumers.ship.members.0, effect: crash }}\n"
    ));
    let outcome = traced(&plan);
    let [packed, shipped] = ["pack", "ship"].map(|name| effects(&plan, &outcome, name));
    let (mut latency, mut sum, mut late, mut again) = (Histogram::default(), 0, 0, 0);
    for (key, pack) in &packed {
        let created = pack[0].0;
        let mut events = pack.clone();
        events.extend(&shipped[key]);
        let all = events.iter().map(|event| event.1).max().unwrap();
        let done = over(&mut events);
        again += u64::from(all > done);
        if created >= plan.warm_up.0 {
            latency.record(done - created);
            sum += u128::from(done - created);
            late += u64::from(done - created > 1_000_000_000);
        }
    }
    // In order of name: billed, done.
    let flow = &outcome.flows[1];
    assert!(again > 5, "some effects come after the end of their journey: {again}");
    assert!(flow.late > 100 && flow.done > 40_000, "{flow:?}");
    // What nobody had taken by the end has missed its deadline.
    let waiting = consumer(&plan, &outcome, "pack").ledger.waiting;
    assert_eq!((flow.done, flow.stuck, flow.open, flow.late), (latency.count(), waiting, 0, late));
    assert!(same((&flow.latency, flow.latency_sum), (&latency, sum)));
    let (billed, bill) = (&outcome.flows[0], consumer(&plan, &outcome, "bill"));
    assert!(
        same((&billed.latency, billed.latency_sum), (&bill.latency, bill.stages.total)),
        "nobody else is waited for"
    );
}

/// Who asks what becomes of journeys changes nothing of what becomes of them.
#[test]
fn to_ask_changes_nothing() {
    let asked = with_services();
    let mut alone = asked.clone();
    let all = alone.as_object_mut().unwrap();
    assert!(all.remove("flows").is_some() && all.remove("reads").is_some());
    let [asked, alone] = [asked, alone].map(|scenario| {
        let plan = plan(&scenario.to_string());
        let mut document: Value = serde_json::from_str(&result_document(&plan, &Request::default())).unwrap();
        for section in ["flows", "reads", "digest"] {
            document[section] = Value::Null;
            document["ci95"][section] = Value::Null;
        }
        document
    });
    assert!(asked == alone);
}
