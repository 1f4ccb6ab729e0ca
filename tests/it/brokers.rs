//! Brokers that fail: what a lost leader takes with it, and how long its partitions are without one, as formulas of rate and
//! settings that hold whatever their values.

use edasim::engine::RunOptions;
use edasim::outcome::{LossCause, Outcome};
use edasim::plan::Plan;

use crate::support::{consumer, lost, plan, run};

/// What differs between the clusters of these tests.
#[derive(Clone, Copy)]
struct Cluster {
    rate: &'static str,
    replicate: &'static str,
    /// Settings of the topic and of the producer.
    topic: &'static str,
    producer: &'static str,
    faults: &'static str,
    /// Other stages.
    latency: &'static str,
}

const USUAL: Cluster = Cluster {
    rate: "{ poisson: 1000/s }",
    replicate: "20ms",
    topic: "{}",
    producer: "{}",
    faults: "[ { at: 20s, target: buses.main.topics.orders.partitions.0.leader, effect: crash } ]",
    latency: "append: 50us",
};

impl Cluster {
    /// One partition with three copies; leadership is not given back, for that loses a little, too.
    fn plan(&self) -> Plan {
        let Self { rate, replicate, topic, producer, faults, latency } = self;
        plan(&format!(
            "name: brokers\nduration: 80s\n\
             buses:\n  main:\n    profile: kafka\n    brokers: 3\n    latency: {{ replicate: {replicate}, {latency} }}\n    \
             settings: {{ auto.leader.rebalance.enable: false }}\n    \
             topics: {{ orders: {{ partitions: 1, replication_factor: 3, settings: {topic} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {rate}, key: {{ uniform: 1k }}, settings: {producer} }} }}\n\
             consumers: {{ billing: {{ subscribes: orders, service_time: 50us }} }}\n\
             faults: {faults}\n"
        ))
    }
}

fn runs(plan: &Plan, seeds: u64) -> Vec<Outcome> {
    (0..seeds).map(|seed| run(plan, &RunOptions { seed, ..RunOptions::default() })).collect()
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn assert_near(values: &[f64], expected: f64, what: &str) {
    let (mean, error) = mean(values);
    assert!((mean - expected).abs() < 4.0 * error + 0.01 * expected, "{what}: {mean} ± {error}, expected {expected}");
}

/// What is acknowledged by the leader alone is lost if no follower had it when the leader died: rate x time of copying.
#[test]
fn a_leader_takes_with_it_what_only_it_had() {
    for (rate, per_second, replicate, time) in [
        ("{ poisson: 300/s }", 300.0, "40ms", 0.04),
        ("{ poisson: 3000/s }", 3000.0, "5ms", 0.005),
        ("{ poisson: 3000/s }", 3000.0, "40ms", 0.04),
    ] {
        let plan = Cluster { rate, replicate, producer: "{ acks: 1, linger.ms: 0 }", ..USUAL }.plan();
        let outcomes = runs(&plan, 30);
        let losses: Vec<f64> = outcomes.iter().map(|outcome| lost(&outcome.consumers[0]) as f64).collect();
        assert_near(&losses, per_second * time, &format!("{per_second}/s x {time} s"));
        for outcome in &outcomes {
            let billing = consumer(&plan, outcome, "billing");
            assert_eq!(billing.ledger.acked_lost, billing.lost[&LossCause::LostBeforeReplication]);
            assert_eq!((billing.ledger.acked_lost, outcome.topics[0].lost), (lost(billing), lost(billing)));
            assert_eq!(billing.duplicates_log, 0, "what was not appended is sent again, once");
        }
    }
}

/// A follower that had caught up has everything.
#[test]
fn nothing_is_lost_that_was_copied() {
    let quiet =
        "{ curve: { points: [{ at: 0s, rate: 1000/s }, { at: 19s, rate: 1000/s }, { at: 19100ms, rate: 0/s }] } }";
    let plan = Cluster { rate: quiet, producer: "{ acks: 1 }", ..USUAL }.plan();
    for outcome in runs(&plan, 5) {
        let billing = consumer(&plan, &outcome, "billing");
        assert_eq!((lost(billing), billing.ledger.effected), (0, billing.ledger.created));
    }
}

/// Acknowledged by all copies in sync: nothing is lost, nothing is stored twice, and nobody can publish from 7 to 9 s (the
/// session, less the time since the last heartbeat) plus the election; then clients look again within a second.
#[test]
fn what_all_copies_have_survives_and_the_partition_is_gone_for_a_session() {
    let plan = Cluster { topic: "{ min.insync.replicas: 2 }", ..USUAL }.plan();
    let mut times = Vec::new();
    for outcome in runs(&plan, 20) {
        let billing = consumer(&plan, &outcome, "billing");
        assert_eq!((lost(billing), billing.duplicates_log, billing.order.violations), (0, 0, 0));
        let ends = (outcome.producers[0].rejected, outcome.producers[0].indeterminate);
        assert_eq!((ends, outcome.topics[0].lost), ((0, 0), 0));
        let hit = outcome.faults[0].partitions[&0];
        assert_eq!((hit.unserved, outcome.faults[0].members.as_slice()), (1, [Some(0)].as_slice()));
        let (gone, longest) = (hit.unserved_longest.seconds(), outcome.producers[0].publish_latency.max() as f64 / 1e9);
        // The election takes up to about a second; an event may have waited for its batch before.
        assert!((7.0..10.5).contains(&gone), "{gone}");
        assert!((gone - 0.1..gone + 1.5).contains(&longest), "{longest} after {gone}");
        times.push(gone);
    }
    // The last heartbeat was 0 to 2 s before; the election has a mean of 0.08 s.
    assert_near(&times, 8.08, "time without a leader");
}

/// A leader whose records are synced before they are acknowledged dies with some that are copied and not acknowledged: a
/// client that the bus does not recognise stores them again.
#[test]
fn a_copy_that_survived_unacknowledged_is_stored_again() {
    let synced = Cluster { latency: "fsync: 100ms, append: 50us", topic: "{ min.insync.replicas: 2 }", ..USUAL };
    let plan = Cluster {
        producer: "{ enable.idempotence: false, linger.ms: 0, max.in.flight.requests.per.connection: 1000 }",
        ..synced
    }
    .plan();
    let copies: Vec<f64> = runs(&plan, 30).iter().map(|outcome| outcome.topics[0].copies as f64).collect();
    assert_near(&copies, 1000.0 * 0.1, "copies in the log");
    let recognised =
        Cluster { latency: "fsync: 100ms, append: 50us", topic: "{ min.insync.replicas: 2 }", ..USUAL }.plan();
    for outcome in runs(&recognised, 5) {
        assert_eq!((outcome.topics[0].copies, lost(&outcome.consumers[0])), (0, 0));
    }
}

const ALONE: &str = "[ { at: 10s, for: 40s, target: buses.main.brokers.1, effect: crash }, \
     { at: 10s, for: 40s, target: buses.main.brokers.2, effect: crash }, \
     { at: 40s, target: buses.main.brokers.0, effect: crash } ]";

/// Acknowledged by all in sync, which is the leader alone: what it has stored since the others left is lost when it dies and
/// one of them may lead without having been in sync. A consumer that keeps up had read it before; the log lacks it all the same.
#[test]
fn all_is_one_when_only_one_is_in_sync() {
    let unclean = Cluster { topic: "{ unclean.leader.election.enable: true }", faults: ALONE, ..USUAL };
    let plan = unclean.plan();
    let outcomes = runs(&plan, 10);
    let gone: Vec<f64> = outcomes.iter().map(|outcome| outcome.topics[0].lost as f64).collect();
    assert_near(&gone, 1000.0 * 30.02, "stored since the others had everything");
    for outcome in &outcomes {
        let billing = consumer(&plan, outcome, "billing");
        assert!(lost(billing) < 200, "it had read nearly all of it: {}", lost(billing));
    }
    let asleep = Cluster {
        topic: "{ unclean.leader.election.enable: true }",
        faults: "[ { at: 10s, for: 40s, target: buses.main.brokers.1, effect: crash }, \
             { at: 10s, for: 40s, target: buses.main.brokers.2, effect: crash }, \
             { at: 40s, target: buses.main.brokers.0, effect: crash }, \
             { at: 5s, for: 40s, target: consumers.billing, effect: crash } ]",
        ..USUAL
    };
    let plan = asleep.plan();
    for outcome in runs(&plan, 3) {
        let billing = consumer(&plan, &outcome, "billing");
        assert_eq!(billing.lost[&LossCause::UncleanElection], outcome.topics[0].lost);
    }
}

/// Acknowledged by all copies is in their memory, not on their disks: power that fails everywhere takes what is too young to
/// be there, though three copies had it. Where one node alone loses it, or processes end with the system going on, nothing is
/// lost.
#[test]
fn power_that_fails_everywhere_takes_what_is_on_no_disk() {
    let of = |faults, seeds| {
        let plan = Cluster { topic: "{ min.insync.replicas: 2 }", faults, ..USUAL }.plan();
        (runs(&plan, seeds), plan)
    };
    let (outcomes, _) = of("[ { at: 40s, for: 5s, target: buses.main, effect: power_loss } ]", 20);
    let gone: Vec<f64> = outcomes.iter().map(|outcome| outcome.topics[0].lost as f64).collect();
    assert_near(&gone, 1000.0 * 32.5, "30 to 35 s");
    let away = "[ { at: 40s, for: 5s, target: buses.main, effect: power_loss }, \
         { at: 5s, for: 60s, target: consumers.billing, effect: crash } ]";
    let (outcomes, plan) = of(away, 3);
    for outcome in outcomes {
        let billing = consumer(&plan, &outcome, "billing");
        assert_eq!(billing.lost[&LossCause::NotSynced], outcome.topics[0].lost);
    }
    for faults in [
        "[ { at: 40s, for: 5s, target: buses.main.brokers.0, effect: power_loss } ]",
        "[ { at: 40s, for: 5s, target: buses.main, effect: crash } ]",
    ] {
        assert!(of(faults, 5).0.iter().all(|outcome| outcome.topics[0].lost == 0), "{faults}");
    }
}

/// The same where only copies in sync may lead: the partition waits for its last leader, and nothing is lost. With two copies
/// in sync asked for, the leader that is alone stores nothing.
#[test]
fn a_partition_waits_for_its_last_copy_in_sync() {
    let clean = Cluster { faults: ALONE, ..USUAL }.plan();
    for outcome in runs(&clean, 5) {
        let hit = outcome.faults[2].partitions[&0];
        assert_eq!((outcome.topics[0].lost, hit.unserved, hit.unserved_longest.seconds()), (0, 1, 40.0));
    }
    let two = Cluster { topic: "{ min.insync.replicas: 2 }", faults: ALONE, ..USUAL }.plan();
    for outcome in runs(&two, 5) {
        let refused: u64 =
            outcome.faults.iter().flat_map(|fault| fault.partitions.values()).map(|hit| hit.refused).sum();
        assert_eq!(
            (outcome.topics[0].lost, refused),
            (0, 1),
            "from the second broker that is missed to the leader's end"
        );
    }
}

/// A follower that is gone holds up what all are to acknowledge until it is missed; the leader alone goes on.
#[test]
fn a_dead_follower_is_waited_for() {
    let follower = "[ { at: 20s, target: buses.main.brokers.1, effect: crash } ]";
    for (acks, waits) in [("{ acks: all }", true), ("{ acks: 1 }", false)] {
        let plan = Cluster { faults: follower, producer: acks, ..USUAL }.plan();
        for outcome in runs(&plan, 5) {
            let longest = outcome.producers[0].publish_latency.max() as f64 / 1e9;
            let billing = consumer(&plan, &outcome, "billing");
            assert_eq!((lost(billing), outcome.faults[0].partitions.len()), (0, 0));
            assert!(if waits { (6.9..10.5).contains(&longest) } else { longest < 1.0 }, "{acks} {longest}");
            // Nobody sees what is not copied, whoever was told of it.
            let latest = billing.latency.max() as f64 / 1e9;
            assert!((6.9..11.0).contains(&latest), "{acks} {latest}");
        }
    }
}

/// A leader that stands still for less than its session leads on: clients wait, and those that give up on a request store it
/// twice unless the bus recognises it.
#[test]
fn a_pause_within_the_session_moves_nobody() {
    let pause = "[ { at: 20s, for: 5s, target: buses.main.brokers.0, effect: pause } ]";
    for (settings, twice) in [
        ("{ request.timeout.ms: 2000, enable.idempotence: false }", true),
        ("{ request.timeout.ms: 2000 }", false),
        ("{ enable.idempotence: false }", false),
    ] {
        let plan = Cluster { faults: pause, producer: settings, ..USUAL }.plan();
        let outcome = run(&plan, &RunOptions { seed: 3, ..RunOptions::default() });
        let hit = outcome.faults[0].partitions[&0];
        assert_eq!((hit.unserved, hit.unserved_longest.seconds(), lost(&outcome.consumers[0])), (1, 5.0, 0));
        assert_eq!(outcome.topics[0].copies > 0, twice, "{settings}: {}", outcome.topics[0].copies);
    }
}

/// One that stands still for longer is replaced, but a client that waits for an answer does not know: it goes on waiting for
/// its request's time-out, where a closed connection would have told it.
#[test]
fn a_hanging_leader_costs_the_time_of_a_request() {
    let pause = "[ { at: 20s, for: 50s, target: buses.main.brokers.0, effect: pause } ]";
    for (settings, timeout) in [("{}", 30.0), ("{ request.timeout.ms: 15000 }", 15.0)] {
        let plan = Cluster { faults: pause, producer: settings, ..USUAL }.plan();
        for outcome in runs(&plan, 5) {
            let longest = outcome.producers[0].publish_latency.max() as f64 / 1e9;
            assert!((timeout - 0.1..timeout + 2.0).contains(&longest), "{settings} {longest}");
            assert_eq!((lost(&outcome.consumers[0]), outcome.topics[0].copies), (0, 0));
        }
    }
}

/// Nobody is told of what acks=0 loses: what is sent to a dead leader until the client notices, and what only that had.
#[test]
fn without_acknowledgements_losses_have_no_witness() {
    let plan = Cluster { producer: "{ acks: 0, linger.ms: 0 }", ..USUAL }.plan();
    let outcomes = runs(&plan, 30);
    let losses: Vec<f64> = outcomes.iter().map(|outcome| lost(&outcome.consumers[0]) as f64).collect();
    assert_near(&losses, 1000.0 * 0.02, "appended, not copied");
    assert!(outcomes.iter().all(|outcome| outcome.producers[0].indeterminate < 5), "on the way when the leader died");
}

/// A fault that is over before anything comes leaves no trace but itself.
#[test]
fn a_crash_before_the_first_event_changes_nothing() {
    // Clients that have asked anew; times on the way are constant, for the number of fetches before differs.
    let late = "{ curve: { points: [{ at: 0s, rate: 0/s }, { at: 60s, rate: 0/s }, { at: 61s, rate: 1000/s }] } }";
    let usual = Cluster { rate: late, latency: "append: 50us, network: 0.1ms", ..USUAL };
    let at = |faults: &'static str| {
        let mut plan = Cluster { faults, producer: "{ metadata.max.age.ms: 5000 }", ..usual }.plan();
        plan.buses[0].failover.as_mut().unwrap().rebalance = Some(edasim::time::SimSpan::from_seconds(5));
        let mut outcome = run(&plan, &RunOptions { seed: 5, trace: true, ..RunOptions::default() });
        outcome.faults.clear();
        outcome
    };
    let never = at("[]");
    assert!(never.consumers[0].ledger.effected > 10_000);
    for fault in [
        "[ { at: 5s, for: 10s, target: buses.main.brokers.0, effect: crash } ]",
        "[ { at: 5s, for: 5s, target: buses.main.brokers, effect: pause } ]",
        "[ { at: 5s, for: 20s, target: buses.main.topics.orders.partitions.0.leader, effect: pause } ]",
    ] {
        let struck = at(fault);
        assert!(struck == never, "{fault}");
    }
}
