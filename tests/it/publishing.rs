//! Publishing clients: what time-outs, a full buffer and the order of answers do, each with what to expect as a formula.

use edasim::engine::RunOptions;
use edasim::experiment::seed_of;
use edasim::outcome::{ConsumerOutcome, Outcome};
use edasim::plan::Plan;
use edasim::scenario::{Overrides, load_text};
use edasim::stats::confidence::MeanInterval;

use crate::support::{once, plan, run};

/// Constant latencies: one way 1 ms, append 2 ms, replication 3 ms; linger 5 ms.
const STEADY: &str = "{ network: 1ms, append: 2ms, replicate: 3ms }";

/// One topic of one partition on the profile `kafka`, a producer `shop`, a consumer `email` that takes no time.
fn text(minutes: u32, latency: &str, producer: &str, settings: &str, rest: &str) -> String {
    format!(
        "name: publishing\nduration: {minutes}m\n\
         buses:\n  main:\n    profile: kafka\n    latency: {latency}\n\
        \x20   topics: {{ orders: {{ partitions: 1, replication_factor: 3 }} }}\n\
         producers:\n  shop: {{ publishes: orders, {producer}, settings: {{ {settings} }} }}\n\
         consumers: {{ email: {{ subscribes: orders, service_time: 0s }} }}\n{rest}"
    )
}

fn scenario(minutes: u32, latency: &str, producer: &str, settings: &str, rest: &str) -> Plan {
    plan(&text(minutes, latency, producer, settings, rest))
}

fn only(outcome: &Outcome) -> &ConsumerOutcome {
    &outcome.consumers[0]
}

/// Arrivals at a rate that stop after so many minutes.
fn stopping(minutes: u32, rate: &str) -> String {
    format!(
        "arrivals: {{ curve: {{ points: [{{ at: 0s, rate: {rate} }}, {{ at: {minutes}m, rate: {rate} }}, \
         {{ at: {minutes}.01m, rate: 0/s }}] }} }}"
    )
}

/// The books of the producer are those of the subscription: it published nothing else, one message per event.
fn books_agree(outcome: &Outcome) {
    let (shop, ledger) = (&outcome.producers[0], &only(outcome).ledger);
    assert_eq!((shop.created, shop.rejected), (ledger.created, ledger.rejected));
    let answered = shop.publish_latency.count() + shop.rejected + shop.indeterminate + shop.publishing;
    assert_eq!(answered, shop.created);
}

/// 40 s each way, for a message now and then: no answer comes within the 30 s of a request, so the client sends again at 30, 60 and 90 s (and a back-off
/// of 0.7 s +- 20 % in all) until the 120 s of a delivery are over. All four requests arrive; only a bus that recognises
/// what it has keeps one of them.
#[test]
fn a_slow_answer_is_sent_again() {
    let slow = "faults: [ { target: links.shop.main, effect: { delay: 40s } } ]\n";
    for (idempotent, copies) in [(false, 3), (true, 0)] {
        let settings = format!("enable.idempotence: {idempotent}");
        let outcome = once(&scenario(60, STEADY, &stopping(50, "30/h"), &settings, slow));
        let (shop, email) = (&outcome.producers[0], only(&outcome));
        assert!(shop.created > 10 && shop.retries > 0, "{}", shop.created);
        assert_eq!((shop.indeterminate, shop.publish_latency.count()), (shop.created, 0), "nobody hears of success");
        assert_eq!((email.ledger.stored, email.ledger.indeterminate), (email.ledger.created, 0), "all arrive");
        assert_eq!(email.duplicates_log, copies * email.ledger.stored, "idempotence {idempotent}");
    }
}

/// The same answers are in time for who waits for 90 s.
#[test]
fn a_slow_answer_in_time_is_an_answer() {
    let slow = "faults: [ { target: links.shop.main, effect: { delay: 40s } } ]\n";
    let settings = "enable.idempotence: false, request.timeout.ms: 90000";
    let outcome = once(&scenario(60, STEADY, &stopping(50, "30/h"), settings, slow));
    let (shop, email) = (&outcome.producers[0], only(&outcome));
    assert_eq!((shop.retries, shop.indeterminate, email.duplicates_log), (0, 0, 0));
    assert_eq!(shop.publish_latency.count(), shop.created);
    // Who opens a batch waits linger, the way, append, replication and the way back.
    assert_eq!(shop.publish_latency.max(), (5 + 40_001 + 2 + 3 + 40_001) * 1_000_000);
    books_agree(&outcome);
}

fn refused(wrong: &str) -> String {
    let loaded = load_text("test.yaml", wrong, std::path::Path::new(""), &Overrides::default());
    match loaded {
        Ok(_) => panic!("not refused: {wrong}"),
        Err(wrong) => wrong.render(false, 160),
    }
}

/// One publisher can number 2^31 events, which at 100k/s is 5 h 57 min.
#[test]
fn more_events_than_numbers_are_refused() {
    let at = |minutes| text(minutes, STEADY, "arrivals: { constant: 100k/s }", "acks: all", "");
    let said = refused(&at(358));
    assert!(said.contains("shop publishes about 2148000000 events to orders"), "{said}");
    assert!(said.contains("one run numbers 2147483648 events of each of its 1 publishers"), "{said}");
    plan(&at(339));
}

/// Nothing gets through, one request at a time, each a message, never repeated: every 30 s one more is sent, the others
/// never leave and expire 35 s after they were handed in.
#[test]
fn what_never_leaves_expires() {
    let settings = "enable.idempotence: false, retries: 0, max.in.flight.requests.per.connection: 1, batch.size: 1024, \
                    delivery.timeout.ms: 35000";
    let lost = "faults: [ { target: links.shop.main, effect: { drop: 100% } } ]\n";
    let outcome = once(&scenario(10, STEADY, "arrivals: { constant: 1/s }, size: 1KiB", settings, lost));
    let (shop, ledger) = (&outcome.producers[0], &only(&outcome).ledger);
    assert_eq!((ledger.stored, ledger.indeterminate, shop.indeterminate), (0, 600 / 30, 600 / 30));
    assert!((34..=36).contains(&shop.publishing), "{}", shop.publishing);
    assert_eq!(shop.rejected, shop.created - shop.indeterminate - shop.publishing);
    books_agree(&outcome);
}

/// One request of one message at a time takes 100 ms, so 10/s leave of 20/s. The buffer holds 20 of them, which is 2 s;
/// in front of it they wait 2 s more, and half are rejected.
#[test]
fn a_full_buffer_blocks_and_then_rejects() {
    let settings =
        "max.in.flight.requests.per.connection: 1, batch.size: 1024, buffer.memory: 20480, max.block.ms: 2000";
    let latency = "{ network: 50ms, append: 0s, replicate: 0s }";
    let outcome = once(&scenario(10, latency, "arrivals: { constant: 20/s }, size: 1KiB", settings, ""));
    let (shop, email) = (&outcome.producers[0], only(&outcome));
    let (leave, wait, held) = (10.0, 2.0, 20.0);
    let acknowledged = shop.publish_latency.count() as f64;
    assert!((acknowledged - 600.0 * leave).abs() <= 2.0, "{acknowledged} of {}", shop.created);
    // What waits at the end: 20 in the buffer, and in front of it what comes in 2 s.
    let rejected = shop.created as f64 - acknowledged - held - wait * 20.0;
    assert!((shop.rejected as f64 - rejected).abs() <= 2.0, "{} rejected, not {rejected}", shop.rejected);
    let longest = shop.publish_latency.max() as f64 / 1e9;
    assert!(longest <= wait + held / leave + 1e-3 && longest > 3.9, "{longest}");
    // Before it is sent: in front of the buffer and in it, but for the message that is on its way.
    let buffer = email.stages.buffer as f64 / email.latency.count() as f64 / 1e9;
    assert!((buffer - (wait + (held - 1.0) / leave)).abs() < 0.1, "{buffer}");
    books_agree(&outcome);
}

/// While messages wait for room, batches do not wait for company: a linger of 10 s costs nothing then.
#[test]
fn a_full_buffer_ends_the_linger() {
    let settings = "linger.ms: 10000, batch.size: 16384, buffer.memory: 16384";
    let outcome = once(&scenario(10, STEADY, &format!("{}, size: 5KiB", stopping(5, "10/s")), settings, ""));
    let shop = &outcome.producers[0];
    assert_eq!((shop.publish_latency.count(), shop.rejected), (shop.created, 0));
    // Three fit, the fourth finds no room: it sends them off.
    let mean = shop.publish_latency_sum as f64 / shop.created as f64 / 1e9;
    assert!((mean - 0.1 * (3.0 + 2.0 + 1.0) / 3.0).abs() < 0.1, "{mean}");
}

#[test]
fn a_buffer_smaller_than_a_batch_is_refused() {
    let said = refused(&text(10, STEADY, "arrivals: { poisson: 1/s }", "buffer.memory: 1000", ""));
    assert!(said.contains("`buffer.memory` (1000 bytes) is less than `batch.size` (16384 bytes)"), "{said}");
}

/// Replication takes an exponential time of mean m, a request leaves every d: answered in order, a request waits for the
/// slowest of those before it, `P(T <= x) = prod_k F(x + k d)`; and it is answered when it can be seen, one way later.
#[test]
fn answers_come_in_order_and_not_before_visibility() {
    let settings = "enable.idempotence: false, max.in.flight.requests.per.connection: 100000, batch.size: 1024";
    let latency = "{ network: 1ms, append: 0s, replicate: { exponential: 10ms } }";
    let outcome = once(&scenario(10, latency, &format!("{}, size: 1KiB", stopping(5, "1k/s")), settings, ""));
    let (shop, email) = (&outcome.producers[0], only(&outcome));
    assert_eq!((shop.publish_latency.count(), email.latency.count()), (shop.created, shop.created));
    let until_visible = email.stages.buffer + email.stages.publish;
    assert_eq!(shop.publish_latency_sum, until_visible + u128::from(shop.created) * 1_000_000);

    let constant = once(&scenario(10, latency, "arrivals: { constant: 1k/s }, size: 1KiB", settings, ""));
    let shop = &constant.producers[0];
    let (mean, every, step) = (10.0, 1.0, 0.01);
    let later = |x: f64| {
        let in_time: f64 = (0..400).map(|k| 1.0 - edasim::math::exp(-(x + every * f64::from(k)) / mean)).product();
        1.0 - in_time
    };
    let slowest: f64 = (0..30_000).map(|i| step * later(step * (f64::from(i) + 0.5))).sum();
    let found = shop.publish_latency_sum as f64 / shop.publish_latency.count() as f64 / 1e6;
    assert!((found - (slowest + 2.0)).abs() < 0.01 * found, "{found} ms, not {}", slowest + 2.0);
}

/// What a producer fails to publish is rejected, in its own books and in those of the subscription.
#[test]
fn what_a_producer_fails_to_publish_is_rejected() {
    let producer = format!("{}, failure: 10%", stopping(5, "100/s"));
    let outcome = once(&scenario(10, STEADY, &producer, "acks: all", ""));
    let shop = &outcome.producers[0];
    let (n, p) = (shop.created as f64, 0.1);
    assert!((shop.rejected as f64 - n * p).abs() < 4.0 * (n * p * (1.0 - p)).sqrt(), "{} of {n}", shop.rejected);
    books_agree(&outcome);
}

/// The mean wait in a batch that leaves with its n-th message, or `linger` after its first, seconds. The k-th further message
/// of a batch comes at the k-th event of a Poisson process N; while the batch is open it holds 1 + N(u) messages, so that all
/// of them together wait for the integral of that, and for `j <= n - 2`, `int_0^T P(N(u) = j) du = P(N(T) > j) / rate`.
fn mean_wait_in_a_batch(rate: f64, messages: u32, linger: f64) -> f64 {
    let mut term = edasim::math::exp(-rate * linger);
    let (mut at_most, mut waits, mut held) = (0.0, 0.0, 1.0);
    for j in 0..messages - 1 {
        at_most += term;
        waits += f64::from(1 + j) * (1.0 - at_most) / rate;
        held += 1.0 - at_most;
        term *= rate * linger / f64::from(j + 1);
    }
    waits / held
}

/// Poisson arrivals into batches of n messages or a time-out, whichever is first, from batches that are always full to such
/// that never are.
#[test]
fn batches_wait_as_the_closed_form_says() {
    for (rate, messages, linger) in [(1000.0, 5, 20), (1000.0, 10, 10), (300.0, 10, 5), (100.0, 2, 8), (2000.0, 20, 7)]
    {
        let settings = format!(
            "enable.idempotence: false, max.in.flight.requests.per.connection: 100000, linger.ms: {linger}, \
             batch.size: {}",
            1024 * messages
        );
        let plan = scenario(3, STEADY, &format!("arrivals: {{ poisson: {rate}/s }}, size: 1KiB"), &settings, "");
        let waits: Vec<f64> = (0..12)
            .map(|replication| {
                let outcome = run(&plan, &RunOptions { seed: seed_of(&plan, replication), ..RunOptions::default() });
                let email = only(&outcome);
                email.stages.buffer as f64 / email.latency.count() as f64 / 1e9
            })
            .collect();
        let found = MeanInterval::of(&waits, 0.999).expect("several runs");
        let exact = mean_wait_in_a_batch(rate, messages, f64::from(linger) / 1e3);
        let line = format!("{rate}/s, {messages}, {linger} ms: {exact} s, found {} +- {}", found.mean, found.half);
        assert!((found.mean - exact).abs() <= found.half && found.half < 0.01 * exact, "{line}");
    }
}
