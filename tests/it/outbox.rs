//! Two writes and one: what is lost between a local transaction and the bus, and what an outbox costs in its place.

use edasim::outcome::{Outcome, ProducerOutcome};
use edasim::plan::Plan;

use crate::support::{once, plan};

/// A shop that commits 100 orders a second, and tells the bus 50 ms later; on a bus without delays.
fn shop(outbox: &str, rest: &str) -> Plan {
    plan(&format!(
        "duration: 5m\n\
         buses: {{ main: {{ profile: ideal, topics: {{ orders: {{ partitions: 4 }} }} }} }}\n\
         services:\n\
         \x20 shop:\n\
         \x20   profile: ideal\n\
         \x20   arrivals: {{ poisson: 100/s }}\n\
         \x20   key: {{ uniform: 1k }}\n\
         \x20   startup: 0s\n\
         \x20   handler: [ {{ local_commit: 4ms }}, {{ work: 50ms }}, {{ publish: orders }} ]\n\
         {outbox}\
         consumers: {{ warehouse: {{ subscribes: orders, members: 4 }} }}\n\
         {rest}"
    ))
}

const CRASHES: &str = "faults: [ { at: 10s, every: 10s, for: 100ms, target: services.shop, effect: crash } ]\n";

fn publish(outcome: &Outcome) -> &ProducerOutcome {
    &outcome.services[0].publish
}

/// Each of 29 crashes finds those between their commit and their publish step: 100/s x 50 ms = 5 on average, Poisson. The facts
/// are the same with an outbox, for the commits are; and all of their events are published, in the end.
#[test]
fn a_dual_write_loses_rate_times_window_and_an_outbox_nothing() {
    let two_writes = once(&shop("", CRASHES));
    let lost = publish(&two_writes).crashed_before_publish as f64;
    let expected: f64 = 29.0 * 100.0 * 0.05;
    assert!((lost - expected).abs() < 4.0 * expected.sqrt(), "{lost} lost, {expected} expected");
    let books = &two_writes.consumers[0].ledger;
    assert_eq!(books.created, books.unpublished + books.effected + books.publishing);
    assert_eq!(books.unpublished, publish(&two_writes).crashed_before_publish);
    assert_eq!(two_writes.faults[0].touched[&0].not_stored, books.unpublished, "who reads them notices the crashes");
    for outbox in ["poll: 100ms, batch: 1k", "cdc: 20ms"] {
        let one = once(&shop(&format!("    outbox: {{ {outbox} }}\n"), CRASHES));
        let (seen, warehouse) = (publish(&one), &one.consumers[0]);
        assert_eq!((seen.crashed_before_publish, seen.failed_before_publish, seen.phantoms), (0, 0, 0), "{outbox}");
        let here = &warehouse.ledger;
        assert_eq!(here.created, here.effected + here.publishing, "{outbox}");
        assert_eq!(here.unpublished, 0);
        // What the crash of a process cuts off before its publish step is committed all the same, but for the last 54 ms.
        assert!(here.created.abs_diff(books.created) <= 15, "{outbox}: {} and {} facts", here.created, books.created);
        // A process that has nothing to publish by itself takes no relay's work along on a bus without delays.
        assert_eq!((warehouse.duplicates_log, warehouse.duplicates_effects), (0, 0), "{outbox}");
    }
}

/// Polling waits for half a poll on average, whatever the rate: uniform from nothing to a whole one.
#[test]
fn polling_waits_for_half_a_poll() {
    let found = once(&shop("    outbox: { poll: 1s, batch: 10k }\n", ""));
    let seen = publish(&found);
    let count = seen.publish_latency.count() as f64;
    let mean = seen.publish_latency_sum as f64 / 1e9 / count;
    let error = (1.0_f64 / 12.0 / count).sqrt();
    assert!(count > 25_000.0 && (mean - 0.5).abs() < 4.0 * error, "{mean} s over {count}");
    for (share, least, most) in [(0.1, 0.09, 0.11), (0.5, 0.48, 0.52), (0.9, 0.89, 0.91)] {
        let at = crate::support::quantile(&seen.publish_latency, share) / 1e9;
        assert!(least < at && at < most, "{share}: {at} s");
    }
    assert!(seen.publish_latency.max() <= 1_000_000_001);
}

/// A relay that takes fewer rows than are committed: its backlog grows by the difference.
#[test]
fn a_slow_relay_falls_behind_by_the_difference() {
    let found = once(&shop("    outbox: { poll: 1s, batch: 80 }\n", ""));
    let seen = publish(&found);
    let left = seen.outbox.as_ref().map_or(0, |outbox| outbox.rows_end) as f64;
    let created = seen.created as f64;
    // At 1, 2 ... 299 s 80 rows each, and the rest waits.
    assert!((left - (created - 299.0 * 80.0)).abs() < 1.0, "{left} of {created}");
}

/// The connector stores its position each minute and crashes half a minute later, for 5 s: what came in that half is published
/// again, 3000 orders on average, and none is lost. While it is away 5 s of orders wait.
#[test]
fn a_connector_publishes_again_what_came_since_it_stored_its_position() {
    let crash = "faults: [ { at: 150s, for: 5s, target: services.shop.outbox, effect: crash } ]\n";
    let setting = "settings: { offset.flush.interval.ms: 20000 }";
    for (settings, since) in [(String::new(), 30.0), (format!(", {setting}"), 10.0)] {
        let outbox = format!("    outbox: {{ cdc: 10ms{settings} }}\n");
        let found = once(&shop(&outbox, crash));
        let (seen, warehouse) = (publish(&found), &found.consumers[0]);
        let expected: f64 = 100.0 * since;
        let again = warehouse.duplicates_log as f64;
        assert!((again - expected).abs() < 4.0 * expected.sqrt(), "{again} again, {expected} expected");
        assert_eq!(seen.outbox.as_ref().map(|outbox| outbox.again), Some(warehouse.duplicates_log));
        assert_eq!(warehouse.ledger.created, warehouse.ledger.effected + warehouse.ledger.publishing);
        // It is back after 5 s, and the 10 s that its process takes to start.
        let most = seen.publish_latency.max() as f64 / 1e9;
        assert!((14.9..15.02).contains(&most), "{most} s");
    }
}

/// What a crash of a connector does to a reader comes when it is back, which is after the crash is over: 15 s of orders at once,
/// and those since its position again.
#[test]
fn a_crash_of_a_connector_is_followed_until_what_it_held_back_has_come() {
    let mut it = shop(
        "    outbox: { cdc: 10ms }\n",
        "faults: [ { at: 150s, for: 5s, target: services.shop.outbox, effect: crash } ]\n",
    );
    it.consumers[0].handler.steps = vec![edasim::plan::Step::Work(edasim::dist::Dist::Constant(20e6))];
    let found = once(&it);
    let touched = &found.faults[0].touched[&0];
    // 1500 orders of 15 s and 3000 of 30 s, which four members do at 200/s while 100/s come: at once they are 4500.
    let expected: f64 = 4500.0;
    let peak = touched.lag_peak as f64;
    assert!((peak - expected).abs() < 4.0 * expected.sqrt() + 20.0, "{peak}");
    assert_eq!(touched.not_drained, 0);
    // At 100/s, from 10 s after the end of the crash on.
    let drained = touched.drain_time.seconds();
    assert!((drained - 55.0).abs() < 4.0 * expected.sqrt() / 100.0 + 1.0, "{drained} s");
}

/// With `acks` there is a time between publishing and marking, and a process that crashes then leaves its batch to the next:
/// as many as came since the poll before. A request takes 50 ms to the bus and back; polls are each 100 ms.
#[test]
fn rows_that_were_not_marked_are_published_again() {
    let slow = "    outbox: { poll: 100ms, batch: 1k }\n";
    let text = shop(
        slow,
        "faults: [ { at: { exponential: 1s }, every: { exponential: 1s }, for: 1ms, target: services.shop, effect: crash } ]\n",
    );
    let mut it = text;
    it.topics[0].store.network = edasim::dist::Dist::Constant(25e6);
    let found = once(&it);
    let warehouse = &found.consumers[0];
    // One a second on average: each of 3000 polls has a crash in its 50 ms with a chance of h = 1 - exp(-0.05). It finds B = N + C
    // rows: those of 100 ms, N, Poisson with a mean of 10 and a mean square of 110; and with the chance h those that the poll before
    // did not come to mark, C. So E B = 10 / (1 - h), and E B^2 = (110 + 2 x 10 h E B) / (1 - h).
    let hit = 1.0 - edasim::math::exp(-0.05);
    let rows = 10.0 / (1.0 - hit);
    let square = (110.0 + 20.0 * hit * rows) / (1.0 - hit);
    let (expected, spread) = (3000.0 * hit * rows, (3000.0 * hit * square).sqrt());
    let again = warehouse.duplicates_log as f64;
    assert!((again - expected).abs() < 3.0 * spread, "{again} again, {expected} expected");
    assert_eq!(warehouse.ledger.created, warehouse.ledger.effected + warehouse.ledger.publishing);
}

/// Users do not wait for a relay; those of a dual write wait for the bus.
#[test]
fn users_wait_for_one_write_only() {
    let mut means = Vec::new();
    for outbox in ["", "    outbox: { poll: 1s, batch: 1k }\n"] {
        let mut it = shop(outbox, "");
        it.topics[0].store.network = edasim::dist::Dist::Constant(25e6);
        let found = once(&it);
        means.push(found.services[0].response_sum as f64 / 1e6 / found.services[0].response.count() as f64);
    }
    assert!((means[0] - 104.0).abs() < 0.01 && (means[1] - 54.0).abs() < 0.01, "{means:?} ms");
}

/// The formula adds half a poll to what an event takes, and nothing to what a user waits for.
#[test]
fn the_estimate_knows_of_the_relay() {
    let found = edasim::estimate::estimate(&shop("    outbox: { poll: 1s, batch: 10k }\n", ""));
    let users = found.services[0].response.expect("there is a formula").mean;
    assert!((users - 0.054).abs() < 1e-6, "{users} s");
    let without = edasim::estimate::estimate(&shop("", ""));
    let [with, without] = [found, without].map(|it| it.consumers[0].latency.expect("there is a formula"));
    // From the commit: half a poll, or the 50 ms until the handler publishes.
    assert!((with - 0.5).abs() < 1e-6 && (without - 0.05).abs() < 1e-6, "{with} s and {without} s");
}
