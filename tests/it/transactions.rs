//! Transactions of a bus as their users meet them: who ends what a process has left open, what brokers that fail do to markers,
//! and what waits behind an open one.

use edasim::outcome::TransactionLedger;
use edasim::plan::Plan;

use crate::support::{consumer, plan, traced};

/// `enrich` publishes to `out` in slow transactions, `other` publishes there behind them, `strict` reads what is committed.
fn slow(rest: &str) -> Plan {
    plan(&format!(
        "name: slow\nduration: 4m\n\
         buses: {{ main: {{ profile: kafka, topics: {{ in: {{ partitions: 4 }}, out: {{ partitions: 4 }} }} }} }}\n\
         producers:\n  shop: {{ publishes: in, arrivals: {{ constant: 0.2/s }}, key: {{ uniform: 100 }} }}\n  \
         other: {{ publishes: out, arrivals: {{ constant: 10/s }}, key: {{ uniform: 100 }} }}\n\
         consumers:\n  enrich:\n    subscribes: in\n    members: 4\n    startup: 1s\n    \
         handler: [ {{ transaction: [ {{ publish: {{ to: out, ack: ignore }} }}, {{ work: 8s }} ] }} ]\n  \
         strict: {{ subscribes: out, service_time: 1ms, settings: {{ isolation.level: read_committed }} }}\n{rest}"
    ))
}

/// How the transactions ended, and the longest latency of who reads what is committed, seconds.
fn ended(plan: &Plan) -> (TransactionLedger, f64) {
    let outcome = traced(plan);
    let books = consumer(plan, &outcome, "enrich").handler.as_ref().expect("it runs in the mesh").transactions;
    (books, consumer(plan, &outcome, "strict").latency.max() as f64 / 1e9)
}

/// Whoever starts a process again: it has the id of the one before, and ends what that has left open.
#[test]
fn every_start_ends_what_was_left_open() {
    let (calm, normal) = ended(&slow(""));
    assert!(calm.fenced + calm.timed_out == 0 && (8.0..9.0).contains(&normal), "{calm:?} {normal}");
    let killed = "faults: [ { at: 62s, for: 10s, target: consumers.enrich, effect: crash } ]\n";
    let change = |action: &str| format!("changes: [ {{ at: 62s, target: consumers.enrich, action: {action} }} ]\n");
    for rest in [
        killed.to_owned(),
        format!(
            "{killed}changes: [ {{ at: 65s, target: consumers.enrich, action: {{ replay: {{ from: 55s }} }} }} ]\n"
        ),
        change("{ deploy: { max_unavailable: 4, grace: 1s } }"),
        change("{ deploy: { max_unavailable: 1, grace: 1s } }"),
    ] {
        let (books, longest) = ended(&slow(&rest));
        assert_eq!((books.timed_out, books.fenced.min(1)), (0, 1), "{rest}: {books:?}");
        // The work of a transaction, the time until the next process is there, and the work of its first. A replay starts nobody
        // before the sessions of the dead have run out.
        let sessions = if rest.contains("replay") { 45.0 } else { 0.0 };
        assert!(longest < 8.0 + 11.0 + 9.0 + sessions, "{rest}: {longest}");
    }
}

/// The looks of the coordinators for what is open for too long are not those of the clock: what an id that is another each time
/// costs differs from run to run, between the time-out and one look more.
#[test]
fn coordinators_look_when_they_do() {
    let rest = "faults: [ { at: 62s, for: 10s, target: consumers.enrich, effect: crash } ]\n";
    let with_settings = slow(rest);
    let mut plan = with_settings;
    let enrich = plan.consumers.iter_mut().find(|it| it.name == "enrich").expect("it is there");
    enrich.clients.iter_mut().for_each(|(_, client)| client.transactions.as_mut().expect("it has").same_id = false);
    let longest: Vec<f64> = (1..=12)
        .map(|seed| {
            plan.seed = seed;
            let (books, longest) = ended(&plan);
            assert!(books.fenced == 0 && books.timed_out > 0, "{books:?}");
            longest
        })
        .collect();
    let within = |at: &f64| (52.0..71.0).contains(at);
    assert!(longest.iter().all(within), "{longest:?}");
    let (low, high) = longest.iter().fold((f64::MAX, 0.0_f64), |(low, high), at| (low.min(*at), high.max(*at)));
    assert!(high - low > 2.0, "{longest:?}");
}

/// A marker is written by who leads: the partition whose leader has died shows nothing that came into it since, and the process
/// begins no other transaction, until another leads.
#[test]
fn a_marker_waits_for_a_leader() {
    let text = "name: marker\nduration: 2m\n\
         buses:\n  main:\n    profile: kafka\n    topics:\n      \
         in: { partitions: 1, replication_factor: 3, settings: { min.insync.replicas: 2 } }\n      \
         out: { partitions: 1, replication_factor: 3, settings: { min.insync.replicas: 2 } }\n\
         producers:\n  shop: { publishes: in, arrivals: { constant: 0.4/s }, key: { uniform: 100 } }\n\
         consumers:\n  enrich: { subscribes: in, handler: [ { transaction: [ { publish: out }, { work: 2s } ] } ] }\n  \
         strict: { subscribes: out, service_time: 1ms, settings: { isolation.level: read_committed } }\n\
         faults: [ { at: 61s, for: 30s, target: buses.main.topics.out.partitions.0.leader, effect: crash } ]\n";
    let plan = plan(text);
    let outcome = traced(&plan);
    let downtime = outcome.faults[0].partitions.values().map(|hit| hit.unserved_longest.seconds()).fold(0.0, f64::max);
    assert!((5.0..15.0).contains(&downtime), "led by nobody for {downtime} s");
    let back = 61.0 + downtime;
    let strict = plan.consumers.iter().position(|it| it.name == "strict").unwrap();
    let mut starts: Vec<f64> = Vec::new();
    for it in outcome.trace.iter().filter(|it| it.consumer as usize == strict) {
        starts.push(it.start.seconds());
    }
    starts.sort_by(f64::total_cmp);
    assert!(!starts.iter().any(|at| (61.1..back).contains(at)), "{starts:?}, {back}");
    assert!(starts.iter().any(|at| (back..back + 2.0).contains(at)), "{starts:?}, {back}");
    assert_eq!(consumer(&plan, &outcome, "strict").aborted_reads, 0);
}

/// What an open transaction hides waits all the same: lag grows with what comes, as its monitors see it, though nobody may read it.
#[test]
fn what_is_hidden_is_lag() {
    let plan = slow("faults: [ { at: 62s, for: 30s, target: consumers.enrich, effect: crash } ]\n");
    let outcome = traced(&plan);
    let lag = &consumer(&plan, &outcome, "strict").lag;
    // Partitions with an open transaction, some of four, get 2.5 events a second each, for 30 s and the time to start.
    let (least, most) = (2.5 * 30.0, 4.0 * 2.5 * 42.0);
    assert!((least..most).contains(&(lag.max as f64)), "{}", lag.max);
    let at = lag.max_at.seconds();
    assert!((90.0..104.0).contains(&at), "most at {at}");
    let oldest = lag.time_max as f64 / 1e9;
    assert!((28.0..45.0).contains(&oldest), "the oldest is {oldest} s old");
    let touched = outcome.faults[0].touched.values().map(|hit| hit.lag_peak).max();
    assert!(touched >= Some(75), "{touched:?}");
}
