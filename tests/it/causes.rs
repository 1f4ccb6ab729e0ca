//! Each second effect and each late one is told with the mechanism that made it, told apart by a run that has that mechanism
//! only, and by an independent look at who had the event before.

use std::collections::BTreeMap;

use edasim::experiment::{Wanted, explain};
use edasim::outcome::{Again, Defect, DeliveryResult, LateCause, Outcome, Told, TwiceCause};
use edasim::plan::Plan;

use crate::kafka::only;
use crate::support::{plan, traced};

/// One topic, one producer `shop`, one consumer `email` with three members.
fn group(consumer: &str, rest: &str) -> Plan {
    system("{ profile: kafka, topics: { a: { partitions: 6 } } }", "settings: { linger.ms: 500 }", consumer, rest)
}

fn queue(consumer: &str, rest: &str) -> Plan {
    system("{ profile: rabbitmq-classic, topics: { a: } }", "", consumer, rest)
}

fn system(bus: &str, producer: &str, consumer: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: causes\nduration: 6m\n\
         buses: {{ main: {bus} }}\n\
         producers:\n  shop: {{ publishes: a, arrivals: {{ constant: 120/s }}, key: {{ uniform: 200 }}, {producer} }}\n\
         consumers:\n  email: {{ subscribes: a, members: 3, service_time: 20ms, startup: 1s, {consumer} }}\n{rest}"
    ))
}

/// By what events took effect twice, and how often.
fn twice(outcome: &Outcome) -> Vec<(TwiceCause, u64)> {
    let of = |(defect, count)| match defect {
        Defect::Twice(cause) => Some((cause, count)),
        _ => None,
    };
    only(outcome).defects.iter().map(|(defect, seen)| (*defect, seen.count)).filter_map(of).collect()
}

/// All second effects of a run are by one cause, and there are so many as its deliveries tell.
fn all_by(plan: &Plan, why: Again) -> Outcome {
    let outcome = traced(plan);
    let second = outcome.trace.iter().filter(|it| it.result == DeliveryResult::DuplicateEffect).count() as u64;
    assert!(second > 0, "{why:?}: no second effect");
    assert_eq!(twice(&outcome), [(TwiceCause::HandedOut(why), second)]);
    outcome
}

/// The members whose second effects these are, and those that had the first.
fn whose(outcome: &Outcome) -> Vec<(u32, u32)> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    let mut trace = outcome.trace.clone();
    trace.sort_by_key(|it| it.done);
    for it in trace {
        match it.result {
            DeliveryResult::Effect => drop(first.insert(it.event, it.member)),
            DeliveryResult::DuplicateEffect => found.push((first[&it.event], it.member)),
            _ => {}
        }
    }
    found
}

const PROTOCOLS: [&str; 3] = ["", "partition.assignment.strategy: cooperative-sticky,", "group.protocol: consumer,"];

#[test]
fn a_process_that_ends_hands_on_what_it_had_done() {
    for protocol in PROTOCOLS {
        let fault = "faults: [ { at: 100s, for: 2m, target: consumers.email.members.1, effect: crash } ]\n";
        let outcome = all_by(&group(&format!("settings: {{ {protocol} }}"), fault), Again::Crashed);
        assert!(whose(&outcome).iter().all(|(first, second)| *first == 1 && *second != 1), "{protocol}");
        let expelled: Vec<_> = only(&outcome).expelled.iter().map(|(why, count)| (*why, *count)).collect();
        assert_eq!(expelled, [(Again::SessionTimedOut, 1)], "who is gone is missed by its session");
    }
}

/// Others do again what it had not settled, and it wakes and does again what it had in hand.
#[test]
fn a_process_that_stands_still_does_again_what_others_have_done() {
    for protocol in PROTOCOLS {
        let rest = "faults: [ { at: 100s, for: 2m, target: consumers.email.members.1, effect: pause } ]\n";
        let outcome = all_by(&group(&format!("settings: {{ {protocol} }}"), rest), Again::SessionTimedOut);
        let whose = whose(&outcome);
        assert!(whose.iter().all(|(first, second)| (*first == 1) != (*second == 1)), "{protocol}: {whose:?}");
        let own = whose.iter().filter(|(_, second)| *second == 1).count();
        assert!((1..whose.len()).contains(&own), "{protocol}: {whose:?}");
    }
}

/// Handlers that become so slow that a poll takes longer than it may: all that was polled is done by two, again and again.
#[test]
fn a_member_that_polls_too_late_is_thrown_out() {
    for protocol in PROTOCOLS {
        let settings = format!("settings: {{ {protocol} max.poll.interval.ms: 10000, max.poll.records: 50 }}");
        let rest = "faults: [ { at: 100s, for: 1m, target: consumers.email.members.1, effect: { slow: 40x } } ]\n";
        let outcome = all_by(&group(&settings, rest), Again::PolledTooLate);
        let late = only(&outcome).expelled.get(&Again::PolledTooLate).copied().unwrap_or(0);
        assert!((1..=6).contains(&late), "{late} times in a minute of 10 s each");
    }
}

/// A member that stands still, for less than its session, while others wait for it in a rebalance: they go on without it.
#[test]
fn a_member_that_does_not_rejoin_is_left_behind() {
    let settings = "settings: { max.poll.interval.ms: 10000, session.timeout.ms: 60000 }";
    let rest = "changes: [ { at: 101s, target: consumers.email, action: { scale: 4 } } ]\n\
                faults: [ { at: 100s, for: 40s, target: consumers.email.members.1, effect: pause } ]\n";
    let outcome = all_by(&group(settings, rest), Again::RejoinedTooLate);
    assert_eq!(only(&outcome).expelled.get(&Again::RejoinedTooLate), Some(&1));
}

/// Who works on during a rebalance settles when it rejoins and not again: what it does until it gives a partition back is done
/// again, and nothing is where all stop first.
#[test]
fn a_partition_that_moves_before_it_is_settled() {
    let rest = "changes: [ { at: 101s, target: consumers.email, action: { scale: 4 } } ]\n";
    let settings = |protocol| format!("settle: auto, settings: {{ {protocol} }}");
    all_by(&group(&settings(PROTOCOLS[1]), rest), Again::Rebalanced);
    assert_eq!(twice(&traced(&group(&settings(PROTOCOLS[0]), rest))), []);
}

/// What a queue pushed into a connection that is lost comes back, and so it does when a process stands still.
#[test]
fn a_connection_that_is_lost_brings_back_what_it_held() {
    let answers = "faults: [ { at: 100s, for: 1s, target: links.email.main, effect: { lost_response: 100% } } ]\n";
    all_by(&queue("workers: 1", answers), Again::ConnectionLost);
    let pause = "faults: [ { at: 100s, for: 3m, target: consumers.email.members.1, effect: pause } ]\n";
    let outcome = all_by(&queue("workers: 1", pause), Again::SessionTimedOut);
    assert!(whose(&outcome).iter().all(|(first, second)| *first != 1 && *second == 1));
}

/// A copy for a retry topic that was stored before its process ended is not the retry topic's fault.
#[test]
fn a_crash_between_a_copy_and_its_commit_is_a_crash() {
    let consumer = "failure: { transient: 10% }, retry: { mode: retry_topic, attempts: 4, backoff: [ 1s, 5s ] }";
    let fault =
        "faults: [ { every: 71300ms, at: 60300ms, for: 5s, target: consumers.email.members.1, effect: crash } ]\n";
    let outcome = all_by(&group(consumer, fault), Again::Crashed);
    let copied = outcome.trace.iter().filter(|it| it.retry > 0 && it.result == DeliveryResult::DuplicateEffect).count();
    assert!(copied > 0, "no second effect came from a retry topic");
}

/// What fails in an outage and waits in retry topics is the outage's, though its topic has no lag any more: all that is late
/// and all dead letters come after it has begun, and are told with it.
#[test]
fn an_outage_is_not_over_while_retries_wait() {
    let consumer = "workers: 4, retry: { mode: retry_topic, attempts: 3, backoff: [ 1s, 20s ] }, dead_letter: dead";
    let bus = "{ profile: kafka, topics: { a: { partitions: 6 }, dead: } }";
    let fault = "faults: [ { at: 100s, for: 30s, target: consumers.email, effect: { fail: 100% } } ]\n";
    let outcome = traced(&system(bus, "", consumer, fault));
    let (email, touched) = (only(&outcome), outcome.faults[0].touched[&0]);
    assert!(
        email.order.violations > 500 && email.dead_letters > 100,
        "{} {}",
        email.order.violations,
        email.dead_letters
    );
    assert_eq!((touched.violations, touched.dead_letters), (email.order.violations, email.dead_letters));
    // What fails in its last seconds waits for 20 s after its second attempt.
    let drained = touched.drain_time.seconds();
    assert!((18.0..=24.0).contains(&drained), "drained in {drained} s");
    assert!(touched.lag_peak >= email.lag.retrying_max && email.lag.retrying_max > 1000, "{}", email.lag.retrying_max);
}

/// Events that are dead letters, and come to be so again, or are done after all.
#[test]
fn dead_letters_too_many_are_counted() {
    let consumer = "settle: auto, failure: { transient: 20%, permanent: 5% }, dead_letter: dead, \
                    retry: { mode: retry_topic, attempts: 2, backoff: 1s }";
    let bus = "{ profile: kafka, topics: { a: { partitions: 6 }, dead: } }";
    let fault = "faults: [ { at: 100s, for: 2m, target: consumers.email.members.1, effect: crash } ]\n";
    for (fault, expected) in [("", false), (fault, true)] {
        let outcome = traced(&system(bus, "", consumer, fault));
        let email = only(&outcome);
        let letters = outcome.trace.iter().filter(|it| it.result == DeliveryResult::DeadLettered).count() as u64;
        let stored = outcome.topics.iter().map(|topic| topic.created).min();
        assert_eq!((email.dead_letters, Some(letters)), (letters, stored), "each is published once");
        assert_eq!(email.dead_letters > email.ledger.dead_lettered, expected, "{letters}");
    }
}

/// What goes back to its queue by itself is late because it was tried again, not because it was handed out again.
#[test]
fn a_refusal_is_another_attempt() {
    let outcome = traced(&queue("failure: { transient: 10% }, retry: { attempts: 5, backoff: 1s }", ""));
    let late: Vec<_> = only(&outcome).defects.keys().filter(|defect| matches!(defect, Defect::Late(_))).collect();
    assert!(late.contains(&&Defect::Late(LateCause::Retried)), "{late:?}");
    assert!(!late.iter().any(|defect| matches!(defect, Defect::Late(LateCause::HandedOut(_)))), "{late:?}");
}

/// The story of an event names the members that had it, why its group went on without one, and who overtook it.
#[test]
fn a_story_tells_of_the_group() {
    let rest = "faults: [ { at: 100s, for: 2m, target: consumers.email.members.1, effect: pause } ]\n";
    let plan = group("settings: {}", rest);
    let story = explain(&plan, &Wanted::Duplicate, None, None, &|| true).expect("there is one").outcome.story;
    let at = |wanted: &dyn Fn(Told) -> bool| story.iter().position(|chapter| wanted(chapter.told));
    let places = [
        at(&|told| matches!(told, Told::Begun { member: 1, .. })),
        at(&|told| matches!(told, Told::Ended { member: 1, result: DeliveryResult::Effect, .. })),
        at(&|told| matches!(told, Told::Expelled { member: 1, why: Again::SessionTimedOut, .. })),
        at(&|told| matches!(told, Told::Given { member: 0 | 2, .. })),
        at(&|told| matches!(told, Told::Begun { member: 0 | 2, .. })),
        at(&|told| matches!(told, Told::Ended { member: 0 | 2, result: DeliveryResult::DuplicateEffect, .. })),
    ];
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{story:?}");

    let retried = "failure: { transient: 10% }, retry: { mode: retry_topic, attempts: 4, backoff: [ 30s ] }";
    let late = explain(&group(retried, ""), &Wanted::Violation, None, None, &|| true).expect("there is one");
    let overtaken = late.outcome.story.iter().find_map(|chapter| match chapter.told {
        Told::Overtaken { by, .. } => Some((chapter.at, by)),
        _ => None,
    });
    let (at, by) = overtaken.expect("somebody overtook it");
    assert!(by.number > late.event.number);
    let effect = |told: Told| matches!(told, Told::Ended { result: DeliveryResult::Effect, .. });
    assert!(late.outcome.story.iter().any(|chapter| effect(chapter.told) && chapter.at > at));
    let other = explain(&group(retried, ""), &Wanted::Event(format!("shop#{}", by.number)), None, None, &|| true);
    let done = other.expect("it is there").outcome.story.into_iter().find(|chapter| effect(chapter.told));
    assert_eq!(done.map(|chapter| chapter.at), Some(at), "it took effect then");
}
