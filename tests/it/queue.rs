//! Queues as their users know them: what a returned message, a broken connection or a process that stands still does.

use edasim::outcome::{ConsumerOutcome, DeliveryResult, LossCause, Outcome};
use edasim::plan::Plan;

use crate::support::{EIGHT_MINUTES, complete, consumer, lost, once, plan, traced};

/// A queue `jobs`, a producer `shop`, a consumer group `clerks`.
fn queue(consumer: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: queue\nduration: 10m\n\
         buses: {{ main: {{ profile: rabbitmq-classic, queues: {{ jobs: }} }} }}\n\
         producers: {{ shop: {{ publishes: jobs, arrivals: {EIGHT_MINUTES} }} }}\n\
         consumers: {{ clerks: {{ subscribes: jobs, {consumer} }} }}\n{rest}"
    ))
}

/// A connection that closes gives back what it had not settled, at once and in its old place: at most the prefetch.
#[test]
fn a_closed_connection_returns_its_prefetch_at_once() {
    let plan = queue(
        "members: 2, service_time: 19.9ms, settings: { prefetch: 10 }",
        "faults: [ { at: 100s, for: 30s, target: consumers.clerks.members.0, effect: crash } ]\n",
    );
    let outcome = traced(&plan);
    let clerks = consumer(&plan, &outcome, "clerks");
    assert!((1..=10).contains(&clerks.duplicates_deliveries), "{}", clerks.duplicates_deliveries);
    assert_eq!((clerks.cut_off, lost(clerks)), (1, 0));
    assert!(complete(clerks), "{:?}", clerks.ledger);
    let cut = outcome.trace.iter().find(|r| r.result == DeliveryResult::CutOff).expect("one was in hand");
    let again = outcome.trace.iter().find(|r| r.offset == cut.offset && r.start > cut.start).expect("it came back");
    // Behind what the other member holds already: ten of 19.9 ms, and the way there.
    let waited = (again.start - cut.done).seconds();
    assert!(waited <= 11.0 * 0.0199 + 0.02, "handled again after {waited} s");
}

/// A nack puts a message back until it succeeds: more deliveries, no loss, no second effect.
#[test]
fn requeued_messages_keep_coming_back() {
    let plan = queue("members: 2, service_time: 5ms, failure: 30%, settings: { prefetch: 10 }", "");
    let outcome = once(&plan);
    let clerks = consumer(&plan, &outcome, "clerks");
    assert!(complete(clerks), "{:?}", clerks.ledger);
    assert_eq!((lost(clerks), clerks.duplicates_effects), (0, 0));
    assert_eq!(clerks.duplicates_deliveries, clerks.failures);
    assert_eq!(clerks.deliveries, clerks.ledger.effected + clerks.failures);
    // Each message needs a geometric number of attempts: 0.3 / 0.7 failures on average.
    let (n, mean) = (clerks.ledger.effected as f64, 0.3 / 0.7);
    let deviation = (n * 0.3 / (0.7 * 0.7)).sqrt();
    assert!((clerks.failures as f64 - n * mean).abs() < 4.0 * deviation, "{} failures of {n}", clerks.failures);
}

/// The run of [`queue`], each delivery recorded, and what `clerks` saw.
fn clerks(consumer: &str, rest: &str) -> (Outcome, ConsumerOutcome) {
    let plan = queue(consumer, rest);
    let outcome = traced(&plan);
    let clerks = self::consumer(&plan, &outcome, "clerks").clone();
    (outcome, clerks)
}

/// Start and end of the longest time in which nothing takes effect, seconds.
fn longest_gap(outcome: &Outcome) -> (f64, f64) {
    let mut done: Vec<f64> = outcome.trace.iter().map(|record| record.done.seconds()).collect();
    done.sort_by(f64::total_cmp);
    let gaps = done.windows(2).map(|pair| (pair[0], pair[1]));
    gaps.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0))).expect("several deliveries")
}

/// A lost push breaks the connection without a word: both ends notice after the heartbeat time-out of 60 s, and the member
/// tries to connect every 5 s until it is let through. Handlers in hand are not cut off.
#[test]
fn a_lost_push_costs_the_heartbeat_and_the_reconnect() {
    let run = |lasts: &str, settings: &str| {
        let faults =
            format!("faults: [ {{ at: 100s, for: {lasts}, target: links.clerks.main, effect: {{ drop: 100% }} }} ]");
        let (outcome, clerks) = clerks(&format!("service_time: 1ms, settings: {{ {settings} }}"), &faults);
        assert!(complete(&clerks), "{lasts}: {:?}", clerks.ledger);
        assert_eq!((lost(&clerks), clerks.cut_off), (0, 0), "{lasts}");
        longest_gap(&outcome)
    };
    let (from, to) = run("10s", "prefetch: 10");
    assert!((99.9..=100.1).contains(&from) && (165.0..165.1).contains(&to), "{from} {to}");
    let (_, to) = run("2m", "prefetch: 10");
    assert!((220.0..=225.1).contains(&to), "let through at {to}");
    let (_, to) = run("10s", "prefetch: 0, heartbeat: 10, network_recovery_interval: 1000");
    assert!((111.0..111.1).contains(&to), "{to}");
}

/// On a bus without any delay a link that drops everything costs time as well.
#[test]
fn a_dead_link_stops_no_clock() {
    let plan = plan(
        "name: dead\nduration: 10m\nbuses: { main: { profile: ideal, queues: { jobs: } } }\n\
         producers: { shop: { publishes: jobs, arrivals: { poisson: 10/s } } }\n\
         consumers: { clerks: { subscribes: jobs, members: 3 } }\n\
         faults: [ { at: 10s, target: links.clerks.main, effect: { drop: 100% } } ]\n",
    );
    let outcome = once(&plan);
    let clerks = consumer(&plan, &outcome, "clerks");
    assert!(clerks.ledger.effected > 50 && clerks.ledger.waiting > 5000, "{:?}", clerks.ledger);
}

/// An acknowledgement that is lost takes its connection along. The handlers of the process go on, so what comes back takes
/// effect again.
#[test]
fn a_lost_acknowledgement_repeats_effects() {
    let (_, clerks) = clerks(
        "service_time: 5ms, settings: { prefetch: 10 }",
        "faults: [ { at: 100s, for: 1s, target: links.clerks.main, effect: { lost_response: 100% } } ]",
    );
    assert!(complete(&clerks), "{:?}", clerks.ledger);
    assert!((1..=10).contains(&clerks.duplicates_effects), "{}", clerks.duplicates_effects);
    assert_eq!((clerks.cut_off, clerks.duplicates_effects), (0, clerks.duplicates_deliveries));
}

/// A process that stands still for longer than its heartbeats allow loses its connection, and what it had not settled goes
/// to the others; it finishes what it had in hand all the same.
#[test]
fn a_process_that_stands_still_is_missed() {
    let (outcome, seen) = clerks(
        "members: 4, service_time: { exponential: 30ms }, settings: { prefetch: 10, heartbeat: 10 }",
        "faults: [ { at: 2m, for: 3m, target: consumers.clerks.members.0, effect: pause } ]\n",
    );
    assert!(complete(&seen), "{:?}", seen.ledger);
    assert_eq!((lost(&seen), seen.duplicates_effects), (0, 1), "the one in hand takes its effect twice");
    let oldest = outcome.trace.iter().map(|record| (record.done.0 - record.created.0) / 1_000_000_000).max();
    assert!(oldest >= Some(179), "the handler in hand ends after the pause: {oldest:?}");
    // What was only held waits until the bus has missed the process, and no longer.
    let late = seen.latency.max();
    assert!((9_900_000_000..12_000_000_000).contains(&late), "{late}");
    let short = clerks(
        "members: 4, service_time: { exponential: 30ms }, settings: { prefetch: 10, heartbeat: 10 }",
        "faults: [ { at: 2m, for: 9s, target: consumers.clerks.members.0, effect: pause } ]\n",
    );
    assert_eq!(short.1.duplicates_deliveries, 0, "not yet missed");
}

/// While a process stands still, its handlers do not go on, also not those that wait for an acknowledgement.
#[test]
fn a_pause_stops_handlers_that_wait() {
    let plan = plan(&format!(
        "name: queue\nduration: 10m\n\
         buses: {{ main: {{ profile: rabbitmq-classic, queues: {{ jobs:, done: }} }} }}\n\
         producers: {{ shop: {{ publishes: jobs, arrivals: {EIGHT_MINUTES} }} }}\n\
         consumers:\n  clerks: {{ subscribes: jobs, workers: 4, handler: [ {{ publish: done }}, {{ work: 3ms }} ] }}\n  \
         readers: {{ subscribes: done }}\n\
         faults: [ {{ at: 60s, every: 7s, for: 2s, target: consumers.clerks, effect: pause }} ]\n"
    ));
    let outcome = traced(&plan);
    let ends = outcome.trace.iter().filter(|record| record.consumer == 0).map(|record| record.done.seconds());
    let during = |end: f64| end > 60.0 && (end - 60.0) % 7.0 > 0.0 && (end - 60.0) % 7.0 < 2.0;
    assert_eq!(ends.filter(|end| during(*end)).count(), 0);
    assert!(complete(consumer(&plan, &outcome, "clerks")) && complete(consumer(&plan, &outcome, "readers")));
}

/// A poisoned message never succeeds, however often it comes back: for ever without a limit, else as often as it says.
#[test]
fn poison_stays_poison() {
    let poison = "faults: [ { at: 60s, target: consumers.clerks, effect: { poison: 2 } } ]";
    let (_, forever) = clerks("members: 2, service_time: 5ms, retry: { backoff: 1s }", poison);
    assert_eq!(forever.ledger.effected + 2, forever.ledger.created);
    assert_eq!(forever.ledger.waiting + forever.ledger.in_flight, 2);
    assert!((1060..=1080).contains(&forever.failures), "two messages fail each second: {}", forever.failures);
    let (_, limited) = clerks("members: 2, service_time: 5ms, retry: { attempts: 5 }", poison);
    assert_eq!((limited.ledger.discarded, limited.failures), (2, 10));
}

/// A message that was acknowledged before its effect is lost with the process that holds it.
#[test]
fn acknowledging_before_the_effect_loses() {
    let (_, clerks) = clerks(
        "workers: 2, settle: before, service_time: 15ms, settings: { prefetch: 10 }",
        "faults: [ { at: 100s, every: 60s, for: 1s, target: consumers.clerks, effect: crash } ]",
    );
    assert!(lost(&clerks) > 0 && clerks.duplicates_effects == 0, "{:?}", clerks.ledger);
    assert_eq!(clerks.lost.get(&LossCause::AckedBeforeEffect), Some(&clerks.ledger.skipped));
    assert_eq!(clerks.lost.get(&LossCause::CommittedBeforeEffect), None);
}

/// A member that is not wanted any more finishes what it has begun.
#[test]
fn scaling_in_cuts_nothing_off() {
    let (_, clerks) = clerks(
        "members: 4, workers: 2, service_time: { exponential: 50ms }, settings: { prefetch: 10 }",
        "changes: [ { at: 100s, for: 1m, target: consumers.clerks, action: { scale: 1 } } ]",
    );
    assert!(complete(&clerks), "{:?}", clerks.ledger);
    assert_eq!((clerks.cut_off, clerks.duplicates_deliveries, clerks.duplicates_effects), (0, 0, 0));
}

/// The wait of a message that failed, until it is delivered again, is part of its retries and not of its dispatch.
#[test]
fn what_comes_back_waits_as_a_retry() {
    let (_, clerks) =
        clerks("workers: 50, service_time: 5ms, failure: 20%, retry: { backoff: 2s }, settings: { prefetch: 200 }", "");
    let n = clerks.ledger.effected as f64;
    let (retry, dispatch) = (clerks.stages.retry as f64 / n / 1e9, clerks.stages.dispatch as f64 / n / 1e9);
    // 0.2 / 0.8 failures on average, 2 s each.
    assert!((retry - 0.5).abs() < 0.02 && dispatch < 0.005, "retry {retry} s, dispatch {dispatch} s");
}
