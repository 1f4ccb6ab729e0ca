//! A log with groups as its users know it: what a crash, a lost answer or a late commit does, each with what to expect as a
//! formula.

use edasim::outcome::{ConsumerOutcome, DeliveryResult, LossCause, Outcome};
use edasim::plan::Plan;

use crate::support::{EIGHT_MINUTES, complete, lost, once, plan, traced};

/// One topic, one producer `shop`, one consumer `email` on the profile `kafka`, all else as given (one key a line).
pub(crate) fn scenario(partitions: u32, producer: &str, consumer: &str, rest: &str) -> Plan {
    let indented = |lines: &str| lines.lines().map(|line| format!("    {}\n", line.trim())).collect::<String>();
    plan(&format!(
        "name: kafka\nduration: 10m\n\
         buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: {partitions} }}, dead: }} }} }}\n\
         producers:\n  shop:\n    publishes: orders\n{}\
         consumers:\n  email:\n    subscribes: orders\n{}{rest}",
        indented(producer),
        indented(consumer)
    ))
}

pub(crate) fn only(outcome: &Outcome) -> &ConsumerOutcome {
    &outcome.consumers[0]
}

/// Start and end of the longest time in which a partition finishes nothing, seconds.
pub(crate) fn longest_gap(outcome: &Outcome, partition: u32) -> (f64, f64) {
    let done = outcome.trace.iter().filter(|r| r.partition == partition && r.result != DeliveryResult::CutOff);
    let mut done: Vec<f64> = done.map(|record| record.done.seconds()).collect();
    done.sort_by(f64::total_cmp);
    let gaps = done.windows(2).map(|pair| (pair[0], pair[1]));
    gaps.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0))).expect("several deliveries")
}

/// Two members more join a group that has settled all it has handled: the members settle before they give partitions
/// away, so that nobody sees an event twice. (A known simulator of such groups counts 1,020 duplicates here.)
#[test]
fn a_join_causes_no_duplicates() {
    for (rate, service) in [("10/s", "1ms"), ("100/s", "15ms"), ("200/s", "{ exponential: 9ms }")] {
        let plan = scenario(
            6,
            &format!("arrivals: {{ poisson: {rate} }}\nkey: {{ uniform: 1k }}"),
            &format!("members: 2\nservice_time: {service}"),
            "changes: [ { at: 3m, target: consumers.email, action: { scale: 4 } } ]\n",
        );
        let outcome = once(&plan);
        let email = only(&outcome);
        assert!(email.rebalances >= 1, "{rate}");
        let duplicates = (email.duplicates_log, email.duplicates_deliveries, email.duplicates_effects);
        assert_eq!(duplicates, (0, 0, 0), "{rate} {service}");
        assert_eq!((lost(email), email.order.violations, email.overlap), (0, 0, 0), "{rate} {service}");
    }
}

/// A member that dies says nothing: its partition waits until the session runs out (45 s from the last heartbeat, which was
/// up to 3 s before), the other members hear of the rebalance with a heartbeat (within 3 s), and one join round follows.
#[test]
fn a_crash_idles_its_partitions_for_the_session() {
    let rate = 50.0;
    let plan = scenario(
        1,
        "arrivals: { constant: 50/s }",
        "members: 2\nservice_time: 1ms",
        "faults: [ { at: 100s, for: 400s, target: consumers.email.members.0, effect: crash } ]\n",
    );
    let outcome = traced(&plan);
    let (from, to) = longest_gap(&outcome, 0);
    assert!((99.9..=100.0).contains(&from), "the partition stops at {from}");
    let idle = to - 100.0;
    assert!((42.0..=45.0 + 3.0 + 0.5).contains(&idle), "idle for {idle} s");
    let email = only(&outcome);
    // The first poll after it returns 500 records of 1 ms; their positions are settled with the next.
    let peak = email.lag.max as f64;
    assert!(peak >= rate * (idle - 0.1) && peak <= rate * (idle + 0.6), "peak lag {peak}, idle for {idle} s");
    assert!((email.latency.max() as f64 / 1e9 - idle).abs() < 0.1, "the longest latency is that of the first to wait");
    assert_eq!((lost(email), email.order.violations), (0, 0));
}

/// With the session time-out of older clients the same crash costs 10 s.
#[test]
fn a_shorter_session_idles_less() {
    let plan = scenario(
        1,
        "arrivals: { constant: 50/s }",
        "members: 2\nservice_time: 1ms\nsettings: { session.timeout.ms: 10000 }",
        "faults: [ { at: 100s, for: 400s, target: consumers.email.members.0, effect: crash } ]\n",
    );
    let (_, to) = longest_gap(&traced(&plan), 0);
    assert!((107.0..=113.5).contains(&to), "{to}");
}

/// Positions are settled on a timer of 5 s: a kill repeats what was handled since, and loses nothing, since the timer
/// settles only what earlier polls returned.
#[test]
fn auto_commit_repeats_at_most_its_interval() {
    for (at, service) in [("101.3s", "2ms"), ("103.9s", "{ exponential: 5ms }"), ("107s", "9ms")] {
        let plan = scenario(
            1,
            "arrivals: { poisson: 100/s }",
            &format!("members: 2\nsettle: auto\nservice_time: {service}"),
            &format!("faults: [ {{ at: {at}, for: 300s, target: consumers.email.members.0, effect: crash }} ]\n"),
        );
        let outcome = traced(&plan);
        let email = only(&outcome);
        // The longest poll loop is what one poll may return, here never more than 100 records.
        let most: f64 = 100.0 * (5.0 + 100.0 * 0.009);
        let repeated = email.duplicates_deliveries;
        assert!(repeated > 0 && (repeated as f64) < most + 4.0 * most.sqrt(), "{at} {service}: {repeated} repeated");
        assert_eq!(lost(email), 0, "{at} {service}");
        assert!(email.duplicates_effects + 1 >= repeated, "what was handled takes effect again");
    }
}

/// Settled before the effect: what a poll has returned is gone with the process. Settled after: never.
#[test]
fn settling_before_the_effect_loses() {
    for (settle, loses) in [("before", true), ("after", false)] {
        let plan = scenario(
            2,
            &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
            &format!(
                "members: 2\nsettle: {settle}\nservice_time: {{ exponential: 15ms }}\nsettings: {{ session.timeout.ms: 6000 }}"
            ),
            "faults: [ { at: 100s, every: 70s, for: 5s, target: consumers.email.members.any, effect: crash } ]\n",
        );
        let outcome = once(&plan);
        let email = only(&outcome);
        assert_eq!(lost(email) > 0, loses, "{settle}: {:?}", email.lost);
        assert_eq!(email.lost.get(&LossCause::CommittedBeforeEffect).copied().unwrap_or(0), email.ledger.skipped);
        assert_eq!(email.duplicates_effects > 0, !loses, "{settle}: at most once, or at least once");
        assert_eq!(complete(email), !loses, "{:?}", email.ledger);
    }
}

fn behind_a_bad_link(settings: &str, effect: &str) -> Outcome {
    let plan = scenario(
        1,
        &format!(
            "arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 20 }}\nsettings: {{ request.timeout.ms: 500, {settings} }}"
        ),
        "service_time: 1ms",
        &format!("faults: [ {{ at: 60s, for: 120s, target: links.shop.main, effect: {effect} }} ]\n"),
    );
    once(&plan)
}

/// An answer that is lost makes the client send again what is stored already.
#[test]
fn a_lost_answer_duplicates_unless_the_producer_is_idempotent() {
    let plain = behind_a_bad_link("enable.idempotence: false", "{ lost_response: 5% }");
    assert!(only(&plain).duplicates_log > 0);
    assert_eq!(only(&plain).duplicates_effects, only(&plain).duplicates_log);
    assert!(complete(only(&plain)), "{:?}", only(&plain).ledger);
    let stored: u64 = plain.topics.iter().flat_map(|topic| &topic.records).sum();
    assert_eq!(stored, only(&plain).ledger.stored + only(&plain).duplicates_log);
    let idempotent = behind_a_bad_link("enable.idempotence: true", "{ lost_response: 5% }");
    assert_eq!((only(&idempotent).duplicates_log, only(&idempotent).duplicates_effects), (0, 0));
    assert!(complete(only(&idempotent)) && idempotent.producers[0].retries > 0);
}

/// A request that is lost is sent again after later ones have arrived.
#[test]
fn a_lost_request_reorders_unless_the_producer_is_idempotent_or_waits() {
    let violations = |settings: &str| {
        let outcome = behind_a_bad_link(settings, "{ drop: 5% }");
        assert!(
            complete(only(&outcome)) && outcome.producers[0].retries > 0,
            "{settings}: {:?}",
            only(&outcome).ledger
        );
        assert_eq!(only(&outcome).duplicates_log, 0, "{settings}");
        only(&outcome).order.violations
    };
    assert!(violations("enable.idempotence: false, max.in.flight.requests.per.connection: 5") > 0);
    assert_eq!(violations("enable.idempotence: false, max.in.flight.requests.per.connection: 1"), 0);
    assert_eq!(violations("enable.idempotence: true, max.in.flight.requests.per.connection: 5"), 0);
    assert_eq!(violations("enable.idempotence: true, max.in.flight.requests.per.connection: 1"), 0);
}

/// On an idle topic a long poll waits at the broker: a record takes linger, network, append, replication and network again,
/// not a polling interval.
#[test]
fn an_idle_topic_is_fast() {
    let plan = plan(
        "name: idle\nduration: 1h\n\
         buses:\n  main:\n    profile: kafka\n\
        \x20   latency: { network: 1ms, append: 2ms, replicate: 3ms }\n\
        \x20   topics: { orders: { partitions: 3, replication_factor: 3 } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 1/min }, key: { uniform: 10 } } }\n\
         consumers: { email: { subscribes: orders, members: 2, service_time: 4ms } }\n",
    );
    let outcome = traced(&plan);
    assert!(outcome.trace.len() > 30);
    // Linger 5, network 1, append 2, replication 3, network 1, service 4; two records may share a batch, or a worker.
    let exact = outcome.trace.iter().filter(|record| (record.done - record.created).0 == 16_000_000).count();
    assert!(exact + 1 >= outcome.trace.len(), "{exact} of {:?}", &outcome.trace[..3]);
    let usual = scenario(3, "arrivals: { poisson: 6/min }", "service_time: 0s", "");
    let outcome = once(&usual);
    assert!(
        outcome.consumers[0].latency.quantile(0.99) < 60_000_000,
        "{}",
        outcome.consumers[0].latency.quantile(0.99)
    );
    assert!(outcome.consumers[0].latency.min() >= 5_000_000, "no record leaves before its linger");
}

/// Without keys a batch goes to one partition, the next to another, drawn evenly.
#[test]
fn batches_without_keys_spread_evenly() {
    let plan = scenario(6, "arrivals: { constant: 4k/s }\nsize: 1KiB", "members: 6\nservice_time: 0s", "");
    let outcome = once(&plan);
    let topic = plan.topics.iter().position(|topic| topic.name == "orders").expect("declared");
    let records = &outcome.topics[topic].records;
    let total: u64 = records.iter().sum();
    // 16 records of 1 KiB fill a batch: chi-square of as many throws as there were batches.
    let batches: Vec<f64> = records.iter().map(|records| *records as f64 / 16.0).collect();
    let expected = total as f64 / 16.0 / 6.0;
    let chi_square: f64 = batches.iter().map(|found| (found - expected) * (found - expected) / expected).sum();
    assert!(chi_square < 20.5, "{records:?}: chi-square {chi_square} with 5 degrees of freedom");
    assert!(records.iter().all(|records| *records > 0) && total > 2_000_000);
}

/// What can never succeed goes to the dead letters after its attempts, and nothing else does.
#[test]
fn what_never_succeeds_is_dead_lettered() {
    let plan = scenario(
        3,
        &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
        "members: 3\nservice_time: { exponential: 2ms }\nfailure: { permanent: 5% }\nretry: { attempts: 3 }\ndead_letter: dead",
        "",
    );
    let outcome = once(&plan);
    let email = only(&outcome);
    let (total, dead) = (email.ledger.stored as f64, email.ledger.dead_lettered);
    assert!((dead as f64 - 0.05 * total).abs() < 4.0 * (0.05 * 0.95 * total).sqrt(), "{dead} of {total}");
    let topic = plan.topics.iter().position(|topic| topic.name == "dead").expect("declared");
    assert_eq!(outcome.topics[topic].stored, dead);
    assert_eq!(email.attempts, email.ledger.effected + 3 * dead);
    assert_eq!(email.failures, 3 * dead);
    assert_eq!(email.ledger.effected + dead, email.ledger.created);
    assert_eq!((lost(email), email.order.violations), (0, 0), "kept is not lost");
}

/// Three events that never succeed block their partitions for ten attempts each, and are then lost.
#[test]
fn poison_blocks_and_is_given_up() {
    let plan = scenario(
        3,
        &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
        "members: 3\nservice_time: 20ms\nretry: { backoff: 1s }",
        "faults: [ { at: 60s, target: consumers.email, effect: { poison: 3 } } ]\n",
    );
    let outcome = once(&plan);
    let email = only(&outcome);
    assert_eq!((email.ledger.discarded, lost(email)), (3, 3));
    assert_eq!(email.lost.get(&LossCause::AttemptsExhausted), Some(&3));
    assert_eq!((email.failures, email.attempts), (30, email.ledger.effected + 30));
    // Ten attempts of 20 ms and nine waits of 1 s hold up those behind.
    assert!(email.latency.max() >= 9_200_000_000, "{}", email.latency.max());
    assert_eq!(email.ledger.effected + 3, email.ledger.created);
}

/// What a crash repeats has no second effect inside the window, and one after it.
#[test]
fn a_window_stops_duplicate_effects() {
    let run = |idempotent: &str| {
        let plan = scenario(
            2,
            &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
            &format!("members: 2\nsettle: auto\nservice_time: {{ exponential: 5ms }}\n{idempotent}"),
            "faults: [ { at: 100s, every: 90s, for: 5s, target: consumers.email.members.any, effect: crash } ]\n",
        );
        let outcome = once(&plan);
        let email = only(&outcome).clone();
        assert!(email.duplicates_deliveries > 10 && complete(&email), "{idempotent}");
        email
    };
    let without = run("");
    assert!(without.duplicates_effects > 0 && without.duplicates_suppressed == 0);
    let window = run("idempotent: { window: 1h }");
    assert_eq!((window.duplicates_effects, window.duplicates_suppressed), (0, without.duplicates_effects));
    // The session takes 42 s to run out: all are remembered for a second in vain.
    let short = run("idempotent: { window: 1s }");
    assert_eq!((short.duplicates_effects, short.duplicates_suppressed), (without.duplicates_effects, 0));
}

/// A member that stands still too long is expelled, its records are handled by others, and what it had in hand ends when it
/// comes back: the same event in two hands.
#[test]
fn a_pause_longer_than_the_session_overlaps() {
    for (pause, expelled) in [("60s", true), ("30s", false)] {
        let plan = scenario(
            2,
            &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 20 }}"),
            "members: 2\nservice_time: 18ms",
            &format!("faults: [ {{ at: 100s, for: {pause}, target: consumers.email.members.0, effect: pause }} ]\n"),
        );
        let outcome = traced(&plan);
        let email = only(&outcome);
        assert_eq!(email.rebalances > 0, expelled, "{pause}");
        assert_eq!(email.duplicates_deliveries > 0, expelled, "{pause}");
        assert_eq!(email.overlap > 0, expelled, "{pause}");
        assert_eq!(lost(email), 0);
        assert!(complete(email), "{pause}: {:?}", email.ledger);
    }
}
