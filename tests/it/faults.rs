//! Faults and changes, each as the scenario format describes it.

use edasim::outcome::{DeliveryResult, LossCause, Outcome};
use edasim::plan::Plan;

use crate::kafka::{longest_gap, only, scenario};
use edasim::experiment::Request;
use edasim::summary::Summary;

use crate::support::{EIGHT_MINUTES, complete, consumer, experiment, lost, once, plan, traced};

/// A consumer `email` on a bus without delays, `rate` arrivals at equal distances for ten minutes.
fn ideal(rate: &str, consumer: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: ideal\nduration: 10m\n\
         buses: {{ main: {{ profile: ideal, topics: {{ orders: {{ partitions: 4 }} }} }} }}\n\
         producers: {{ shop: {{ publishes: orders, arrivals: {{ constant: {rate} }}, key: {{ uniform: 100 }} }} }}\n\
         consumers: {{ email: {{ subscribes: orders, {consumer} }} }}\n{rest}\n"
    ))
}

fn given_up(outcome: &Outcome) -> Vec<u32> {
    outcome.trace.iter().filter(|r| r.result == DeliveryResult::Discarded).map(|r| r.partition).collect()
}

/// Poison is in the event: it is given up as if nothing had happened though its member crashes meanwhile.
#[test]
fn a_crash_cures_no_poison() {
    let plan = scenario(
        2,
        &format!("arrivals: {EIGHT_MINUTES}"),
        "members: 2\nservice_time: 1ms\nretry: { attempts: 5, backoff: 10s }\nsettings: { session.timeout.ms: 6000 }",
        "faults:\n  - { at: 60s, target: consumers.email, effect: { poison: 1 } }\n  \
         - { at: 75s, for: 5s, target: consumers.email, effect: crash }\n",
    );
    let outcome = traced(&plan);
    let email = only(&outcome);
    assert_eq!((given_up(&outcome).len(), email.ledger.discarded), (1, 1));
    assert!(email.cut_off >= 1, "it was in hand");
    assert_eq!(email.ledger.effected + 1, email.ledger.created);
}

/// Five poisoned events in one batch fail that batch, not the next four batches.
#[test]
fn a_batch_holds_several_poisoned_events() {
    let plan = scenario(
        1,
        &format!("arrivals: {EIGHT_MINUTES}"),
        "batch: { max: 50, max_wait: 10s }\nservice_time: 1ms\nretry: { attempts: 3 }",
        "faults: [ { at: 60s, target: consumers.email, effect: { poison: 5 } } ]\n",
    );
    let email = only(&once(&plan)).clone();
    assert_eq!((email.ledger.discarded, email.failures), (50, 3), "one batch, three attempts");
    assert_eq!(email.lost.get(&LossCause::AttemptsExhausted), Some(&50));
}

/// What one member is poisoned with, it takes itself.
#[test]
fn poison_of_one_member_stays_with_it() {
    let poison = "faults: [ { at: 60s, target: consumers.email.members.2, effect: { poison: 3 } } ]";
    for consumer in ["members: 4", "members: 4, settle: before"] {
        let outcome = traced(&ideal("100/s", consumer, poison));
        assert_eq!(given_up(&outcome), [2, 2, 2], "{consumer}");
    }
}

/// A batch fails if any of its events does.
#[test]
fn a_batch_fails_with_any_of_its_events() {
    let plan = scenario(
        1,
        &format!("arrivals: {EIGHT_MINUTES}"),
        "batch: { max: 50, max_wait: 60s }\nservice_time: 1ms\nfailure: { permanent: 1% }\nretry: { attempts: 1 }",
        "",
    );
    let email = only(&once(&plan)).clone();
    let share = email.ledger.discarded as f64 / email.ledger.stored as f64;
    let expected = 1.0 - 0.99_f64.powi(50);
    assert!((share - expected).abs() < 0.07, "{share} instead of {expected}");
}

/// Members that are added while the whole group is down come up with it, and hold nobody up.
#[test]
fn scaling_out_during_a_crash_costs_nothing() {
    let plan = scenario(
        4,
        &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
        "members: 2\nservice_time: 1ms\nstartup: 10s",
        "faults: [ { at: 100s, for: 60s, target: consumers.email, effect: crash } ]\n\
         changes: [ { at: 110s, target: consumers.email, action: { scale: 4 } } ]\n",
    );
    let outcome = traced(&plan);
    for partition in 0..4 {
        let (from, to) = longest_gap(&outcome, partition);
        // Formed anew with all four, who come at one instant: it waits for company twice.
        assert!((99.0..=100.1).contains(&from) && (176.0..=176.1).contains(&to), "{from} to {to}");
    }
    assert!(complete(only(&outcome)));
    let queue = plan_of_a_queue(
        "faults: [ { at: 100s, for: 60s, target: consumers.clerks, effect: crash } ]\n\
         changes: [ { at: 110s, target: consumers.clerks, action: { scale: 4 } } ]\n",
    );
    let outcome = traced(&queue);
    let during = outcome.trace.iter().filter(|r| (100.1..170.0).contains(&r.start.seconds())).count();
    assert_eq!(during, 0, "nobody works while all are down");
}

fn plan_of_a_queue(rest: &str) -> Plan {
    plan(&format!(
        "name: queue\nduration: 10m\nbuses: {{ main: {{ profile: rabbitmq-classic, queues: {{ jobs: }} }} }}\n\
         producers: {{ shop: {{ publishes: jobs, arrivals: {EIGHT_MINUTES} }} }}\n\
         consumers: {{ clerks: {{ subscribes: jobs, members: 2, service_time: 1ms, startup: 10s }} }}\n{rest}"
    ))
}

/// A crash of no length cuts off what is in hand, and that is all.
#[test]
fn a_crash_may_have_no_length() {
    let crash = "faults: [ { at: 10s, every: 10s, for: 0s, target: consumers.email, effect: crash } ]";
    let email = only(&once(&ideal("100/s", "service_time: 25ms, members: 4", crash))).clone();
    assert!(email.cut_off > 100 && email.cut_off == email.duplicates_deliveries, "{}", email.cut_off);
    assert!(email.ledger.effected + 20 > email.ledger.created, "{:?}", email.ledger);
}

/// Two pauses that overlap are one: work in hand is late by their union.
#[test]
fn overlapping_pauses_unite() {
    let pauses = "faults:\n  - { at: 10s, for: 10s, target: consumers.email, effect: pause }\n  \
                  - { at: 15s, for: 10s, target: consumers.email, effect: pause }\n  \
                  - { at: 16s, for: 1s, target: consumers.email, effect: pause }";
    for consumer in ["service_time: 3s", "service_time: 3s, workers: 2"] {
        let outcome = traced(&ideal("1/s", consumer, pauses));
        let in_hand = outcome.trace.iter().filter(|r| r.start.seconds() < 10.0 && r.done.seconds() > 10.0);
        let lasted: Vec<f64> = in_hand.map(|r| r.done.seconds() - r.start.seconds()).collect();
        assert!(!lasted.is_empty() && lasted.iter().all(|time| (time - 18.0).abs() < 1e-6), "{lasted:?}");
    }
}

/// `members.any` draws one of those that there are at the time.
#[test]
fn any_member_is_one_of_those_there_are() {
    let rest = "faults: [ { at: 20s, every: 10s, for: 1s, target: consumers.email.members.any, effect: crash } ]\n\
                changes: [ { at: 10s, target: consumers.email, action: { scale: 1 } } ]";
    let email = only(&once(&ideal("10/s", "members: 4", rest))).clone();
    // 58 crashes and as many restarts of the one that is left, and three that left before.
    assert_eq!(email.rebalances, 2 * 58 + 3);
    let rest = rest.replace("members.any", "members.each").replace("scale: 1", "scale: 2");
    let email = only(&once(&ideal("10/s", "members: 4", &rest))).clone();
    assert_eq!(email.rebalances, 2 * 2 * 58 + 2);
}

/// When a temporary change ends, what later changes have said holds.
#[test]
fn a_temporary_change_undoes_no_later_one() {
    let rest = "changes:\n  - { at: 100s, for: 200s, target: consumers.email, action: { scale: 4 } }\n  \
                - { at: 200s, target: consumers.email, action: { scale: 2 } }";
    let email = only(&once(&ideal("10/s", "members: 1", rest))).clone();
    assert_eq!(email.available, (100 + 4 * 100 + 2 * 400) * 1_000_000_000);
}

/// A member that is too slow to poll in time leaves its group: its poll is handled again by others.
#[test]
fn a_member_that_does_not_poll_is_evicted() {
    for (interval, evicted) in [("10000", true), ("300000", false)] {
        let plan = scenario(
            2,
            &format!("arrivals: {EIGHT_MINUTES}\nkey: {{ uniform: 1k }}"),
            &format!("members: 2\nservice_time: 5ms\nsettings: {{ max.poll.interval.ms: {interval} }}"),
            "faults: [ { at: 100s, for: 60s, target: consumers.email, effect: { slow: 20x } } ]\n",
        );
        let email = only(&once(&plan)).clone();
        assert_eq!(email.rebalances > 0, evicted, "{interval}");
        assert_eq!(email.duplicates_effects > 0, evicted, "{interval}");
        assert_eq!(lost(&email), 0);
        assert!(complete(&email), "{interval}: {:?}", email.ledger);
    }
}

/// A fetch that is lost is sent again after the client's own time-out.
#[test]
fn a_lost_fetch_waits_for_its_time_out() {
    for (timeout, seconds) in [("5000", 5.0), ("30000", 30.0)] {
        let plan = scenario(
            1,
            &format!("arrivals: {EIGHT_MINUTES}"),
            &format!("service_time: 1ms\nsettings: {{ request.timeout.ms: {timeout} }}"),
            "faults: [ { at: 60s, for: 100ms, target: links.email.main, effect: { drop: 100% } } ]\n",
        );
        let outcome = traced(&plan);
        let (from, to) = longest_gap(&outcome, 0);
        assert!((59.9..60.2).contains(&from) && (to - from - seconds).abs() < 0.2, "{from} to {to}");
    }
}

/// A link acts both ways: also on what a consumer publishes.
#[test]
fn a_consumers_link_carries_what_it_publishes() {
    let yaml = format!(
        "name: chain\nduration: 10m\n\
         buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 2 }}, shipped: }} }} }}\n\
         producers: {{ shop: {{ publishes: orders, arrivals: {EIGHT_MINUTES} }} }}\n\
         consumers:\n  warehouse:\n    subscribes: orders\n    publishes: {{ to: shipped, ack: ignore }}\n    \
         settings: {{ enable.idempotence: false }}\n  tracking: {{ subscribes: shipped }}\n\
         faults: [ {{ at: 60s, for: 60s, target: links.warehouse.main, effect: {{ duplicate: 10% }} }} ]\n"
    );
    let plan = plan(&yaml);
    let outcome = once(&plan);
    assert!(consumer(&plan, &outcome, "tracking").duplicates_log > 0);
    assert_eq!(consumer(&plan, &outcome, "warehouse").duplicates_log, 0);
}

/// One handler that holds several events of one key does not meet itself.
#[test]
fn a_batch_does_not_overlap_with_itself() {
    let batches = |members: u32| {
        let plan = plan(&format!(
            "name: batches\nduration: 60s\n\
             buses: {{ main: {{ profile: ideal, topics: {{ orders: {{ partitions: 1 }} }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: 100/s }}, key: {{ uniform: 5 }} }} }}\n\
             consumers:\n  packer:\n    subscribes: orders\n    workers: {members}\n    order: none\n\
             \x20   batch: {{ max: 10, max_wait: 100ms }}\n    service_time: 60ms\n"
        ));
        let outcome = once(&plan);
        consumer(&plan, &outcome, "packer").overlap
    };
    assert_eq!(batches(1), 0);
    assert!(batches(2) > 100, "two at once hold events of five keys");
}

/// The keys of one topic are not those of another.
#[test]
fn keys_of_two_topics_do_not_overlap() {
    let plan = plan(
        "name: two\nduration: 1m\nbuses: { main: { profile: ideal, topics: { a:, b: } } }\n\
         producers:\n  one: { publishes: a, arrivals: { constant: 100/s }, key: { uniform: 1 } }\n  \
         two: { publishes: b, arrivals: { constant: 100/s }, key: { uniform: 1 } }\n\
         consumers: { both: { subscribes: [a, b], workers: 2, order: key, service_time: 8ms } }\n",
    );
    let outcome = once(&plan);
    let both = consumer(&plan, &outcome, "both");
    assert_eq!(both.overlap, 0);
    // Each topic has a worker of its own: 80 % busy, where one at a time for the key of both would take 160 %.
    assert!(both.ledger.effected + 10 > both.ledger.created, "{:?}", both.ledger);
}

fn summary(plan: &Plan) -> Summary {
    experiment(plan, &Request { replications: 1, ..Request::default() }).summary
}

/// A member whose offsets are committed by a timer dies for a moment: its group notices late, the process comes back later
/// still, and what both rebalances deliver again is the crash's, as is the lag that they cause.
#[test]
fn a_crash_is_followed_until_all_that_it_causes_has_come() {
    for seed in 1..=6 {
        let plan = plan(&format!(
            "name: attr\nduration: 10m\nseed: {seed}\n\
             buses: {{ main: {{ profile: kafka, topics: {{ a: {{ partitions: 4 }} }} }} }}\n\
             producers: {{ p: {{ publishes: a, arrivals: {{ poisson: 300/s }}, key: {{ uniform: 10k }} }} }}\n\
             consumers: {{ c: {{ subscribes: a, members: 4, service_time: 5ms, settle: auto, \
             settings: {{ session.timeout.ms: 6s }} }} }}\n\
             faults: [ {{ at: 3m, for: 3s, target: consumers.c.members.1, effect: crash }} ]\n"
        ));
        let outcome = once(&plan);
        let (seen, touched) = (only(&outcome), outcome.faults[0].touched[&0]);
        assert!(touched.redeliveries > 0 && touched.effects > 0, "seed {seed}: {touched:?}");
        assert_eq!(touched.redeliveries, seen.duplicates_deliveries, "seed {seed}");
        assert_eq!(touched.effects, seen.duplicates_effects, "seed {seed}");
        assert_eq!(touched.lag_peak, seen.lag.max, "seed {seed}");
        // Nobody serves its partition before the session has run out.
        assert!(touched.drain_time.seconds() > 3.0, "seed {seed}: {touched:?}");
    }
}

/// The level before an occurrence is not that of the one before, and its peak is that of the rebalance after the restart, too.
#[test]
fn an_occurrence_is_not_measured_by_the_one_before() {
    let plan = scenario(
        4,
        "arrivals: { poisson: 200/s }",
        "members: 4\nservice_time: { exponential: 10ms }\nsettings: { session.timeout.ms: 6s, heartbeat.interval.ms: 1s }",
        "faults: [ { at: 1m, every: 50s, for: 20s, target: consumers.email.members.1, effect: crash } ]\n",
    );
    let outcome = once(&plan);
    let touched = outcome.faults[0].touched[&0];
    assert!(touched.lag_before < 150, "{touched:?}");
    assert_eq!(touched.lag_peak, only(&outcome).lag.max);
}

/// What publishers could not publish, and what was stored or done twice, is noticed.
#[test]
fn faults_of_publishing_are_noticed() {
    let plan = plan(
        "name: nobody\nduration: 4m\n\
         buses: { main: { profile: kafka, topics: { t: { partitions: 4 } } }, mq: { profile: rabbitmq-classic, queues: { q: } } }\n\
         producers:\n  \
         lossy: { publishes: t, arrivals: { poisson: 200/s }, settings: { retries: 0, enable.idempotence: false, request.timeout.ms: 1s } }\n  \
         twice: { publishes: q, arrivals: { poisson: 200/s } }\n\
         consumers:\n  hit: { subscribes: t, members: 4, service_time: 1ms }\n  two: { subscribes: q, members: 4, service_time: 1ms }\n\
         faults:\n  - { at: 1m, for: 1m, target: links.lossy.main, effect: { drop: 50% } }\n  \
         - { at: 1m, for: 1m, target: links.twice.mq, effect: { duplicate: 50% } }\n",
    );
    let summary = summary(&plan);
    let faults = &summary.metrics["faults"];
    assert_eq!(faults[0]["noticed"], serde_json::json!(["hit"]));
    assert_eq!(faults[1]["noticed"], serde_json::json!(["two"]));
    assert!(faults[0]["producers"]["lossy"]["indeterminate"].as_u64() > Some(1_000), "{faults}");
    assert!(faults[1]["touched"]["two"]["duplicates"]["effects"].as_u64() > Some(1_000), "{faults}");
    let warning = summary.warnings.iter().find(|warning| warning.code == "W008").unwrap();
    assert_eq!(warning.about, "producers.lossy");
    let never = summary.number(&["consumers", "hit", "ledger", "indeterminate"]).unwrap();
    assert!(warning.text.contains(&format!("({never} of ")), "{}", warning.text);
    let text = edasim::report::text::render(&summary, edasim::report::text::Style { color: false, width: 100 });
    assert!(!text.contains("nobody noticed") && text.contains("publishing  lossy: "), "{text}");
    assert!(text.contains("not stored  hit: "), "{text}");
}

/// Two faults that one consumer feels at once are marked as such; which members they struck is said.
#[test]
fn faults_at_the_same_time_are_marked() {
    let crash = |at: &str, name: &str| {
        format!("  - {{ name: {name}, at: {at}, for: 30s, target: consumers.email.members.any, effect: crash }}\n")
    };
    let faults = format!("faults:\n{}{}{}", crash("1m", "one"), crash("80s", "two"), crash("8m", "three"));
    let summary = summary(&scenario(4, "arrivals: { poisson: 200/s }", "members: 4\nservice_time: 10ms", &faults));
    let faults = &summary.metrics["faults"];
    assert_eq!(faults[0]["overlaps"], serde_json::json!({ "email": ["two"] }));
    assert_eq!(faults[1]["overlaps"], serde_json::json!({ "email": ["one"] }));
    assert_eq!(faults[2]["overlaps"], serde_json::json!({}));
    assert!(faults[0]["members"][0].as_u64() < Some(4), "{faults}");
}
