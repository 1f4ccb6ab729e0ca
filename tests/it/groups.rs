//! How groups share out their partitions: what a join, a restart and a stuck member cost under each protocol, against the
//! arithmetic of heartbeats.

use edasim::engine::RunOptions;
use edasim::experiment::seed_of;
use edasim::outcome::{DeliveryResult, Outcome};
use edasim::plan::Plan;

use crate::kafka::only;
use crate::support::{lost, plan, run, traced};

const EAGER: &str = "";
const COOPERATIVE: &str = "partition.assignment.strategy: cooperative-sticky";
const INCREMENTAL: &str = "group.protocol: consumer";
const RANGE: &str = "group.protocol: consumer, group.remote.assignor: range";

/// So many partitions with 100 events a second each, for members that hardly work.
fn group(partitions: u32, members: u32, settings: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: group\nduration: 2m\n\
         buses:\n  main:\n    profile: kafka\n    topics: {{ orders: {{ partitions: {partitions} }} }}\n\
         producers:\n  shop: {{ publishes: orders, arrivals: {{ constant: {}/s }}, key: {{ uniform: 5k }} }}\n\
         consumers:\n  email:\n    subscribes: orders\n    members: {members}\n    service_time: 20us\n\
        \x20   settings: {{ {settings} }}\n{rest}",
        100 * partitions
    ))
}

/// One more member: it is ready 10 s later, at 40 s.
fn one_more(members: u32) -> String {
    format!("changes: [ {{ at: 30s, target: consumers.email, action: {{ scale: {} }} }} ]\n", members + 1)
}

fn runs(plan: &Plan, count: u32) -> Vec<Outcome> {
    (0..count)
        .map(|n| run(plan, &RunOptions { seed: seed_of(plan, n), trace: true, ..RunOptions::default() }))
        .collect()
}

/// From when to when each partition had done nothing for longest, seconds.
fn gaps(outcome: &Outcome, partitions: u32) -> Vec<(f64, f64)> {
    (0..partitions).map(|partition| crate::kafka::longest_gap(outcome, partition)).collect()
}

/// How long these gaps are, those below a quarter of a second being chance.
fn pauses(outcome: &Outcome, partitions: u32) -> Vec<f64> {
    let long = gaps(outcome, partitions).into_iter().map(|(from, to)| to - from);
    long.filter(|gap| *gap > 0.25).collect()
}

/// Mean with its 3-sigma interval.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    (mean, 3.0 * (variance / n).sqrt())
}

fn about(what: &str, values: &[f64], expected: f64) {
    let (mean, within) = mean(values);
    assert!((mean - expected).abs() < within + 0.05, "{what}: {mean} +- {within}, not {expected}");
}

/// Nobody sees an event twice, and nothing is lost, whatever the protocol: who gives a partition back has settled it.
fn is_clean(outcome: &Outcome) {
    let email = only(outcome);
    assert_eq!((email.duplicates_deliveries, email.duplicates_effects, email.rewinds, email.overlap), (0, 0, 0, 0));
    assert_eq!((lost(email), email.order.violations), (0, 0));
}

/// Eager: all three members stop, each at its next heartbeat (0 to 3 s), until the last has stopped: a quarter of 3 s on
/// average, the mean of the largest of three uniform times less the mean of one.
#[test]
fn one_more_member_stops_an_eager_group() {
    let mut all = Vec::new();
    for outcome in runs(&group(12, 3, EAGER, &one_more(3)), 25) {
        is_clean(&outcome);
        assert_eq!(only(&outcome).rebalances, 1);
        let found: Vec<f64> = gaps(&outcome, 12).into_iter().map(|(from, to)| to - from).collect();
        // Two of three members wait for the last; of those of one member all wait alike.
        assert!(found.iter().filter(|gap| **gap > 0.1).count() >= 4, "{found:?}");
        all.extend((0..3).map(|member| found[4 * member]));
    }
    about("pause of a member", &all, 0.75);
}

/// Cooperative: only what moves stands still, from the end of the first round to that of the second: the three old members
/// rejoin at once, for each has given something back, and the new one at its next heartbeat (0 to 3 s).
#[test]
fn one_more_member_moves_what_it_gets_of_a_cooperative_group() {
    let mut all = Vec::new();
    for outcome in runs(&group(12, 3, COOPERATIVE, &one_more(3)), 25) {
        is_clean(&outcome);
        assert_eq!(only(&outcome).rebalances, 2);
        let found = pauses(&outcome, 12);
        assert!(found.len() <= 3, "three partitions move: {found:?}");
        all.push(found.iter().copied().fold(0.0, f64::max));
    }
    about("pause of a partition that moves", &all, 1.5);
}

/// What each partition's events went through, in order, until they were done.
fn stories(outcome: &Outcome, partitions: u32) -> Vec<Vec<[u64; 4]>> {
    let of = |partition| {
        let its = outcome.trace.iter().filter(move |record| record.partition == partition);
        its.map(|r| [r.offset, r.visible.0, r.start.0, r.done.0]).collect()
    };
    (0..partitions).map(of).collect()
}

/// Beside a run in which nobody joins, members that keep all they have do not notice, to the nanosecond, unless the
/// protocol is eager: then everything stands still, at least for the join round, here 300 ms. (They settle later, for
/// nobody settles between rejoining and the end of the round.)
#[test]
fn only_an_eager_group_stops_those_who_keep_what_they_have() {
    let outcome = |settings: &str, rest: &str| {
        let mut plan = group(5, 3, settings, rest);
        let edasim::plan::Membership::Group(group) = &mut plan.consumers[0].membership else { panic!("a group") };
        group.join = edasim::dist::Dist::Constant(3e8);
        traced(&plan)
    };
    // 2, 2, 1 becomes 2, 1, 1, 1: one partition moves, and one stays with the member that gives it back.
    for (settings, untouched, moved) in [(EAGER, 0, 5), (COOPERATIVE, 3, 1), (INCREMENTAL, 3, 1)] {
        let (calm, joined) = (outcome(settings, ""), outcome(settings, &one_more(3)));
        let stories = stories(&calm, 5).into_iter().zip(stories(&joined, 5));
        let same = stories.filter(|(calm, joined)| calm == joined).count();
        assert_eq!(same, untouched, "{settings}: partitions of which nothing is another");
        let stopped = gaps(&joined, 5).into_iter().filter(|(from, to)| to - from >= 0.3).count();
        assert_eq!(stopped, moved, "{settings}: {:?}", gaps(&joined, 5));
        assert!(gaps(&calm, 5).into_iter().all(|(from, to)| to - from < 0.3), "{settings}");
    }
}

/// Assigned by the bus: an old owner hears at its next heartbeat (0 to 5 s) and gives back at once, the new member hears 5 s
/// after it has joined; each partition that moves stands still between the two.
#[test]
fn one_more_member_moves_what_it_gets_one_by_one() {
    let mut all = Vec::new();
    for outcome in runs(&group(12, 3, INCREMENTAL, &one_more(3)), 25) {
        is_clean(&outcome);
        assert_eq!(only(&outcome).rebalances, 1);
        let mut found: Vec<(f64, f64)> = gaps(&outcome, 12);
        found.sort_by(|a, b| (b.1 - b.0).total_cmp(&(a.1 - a.0)));
        assert!(found[3..].iter().all(|(from, to)| to - from < 0.25), "three partitions move: {found:?}");
        for (from, to) in &found[..3] {
            all.push(to - from);
            let moved = (39.9..45.1).contains(from) && (44.9..45.2).contains(to);
            assert!(moved || to - from < 0.25, "from {from} to {to}");
        }
    }
    about("pause of a partition that moves", &all, 2.5);
}

/// Between two old members: the old owner hears at its heartbeat, U(0, 5 s), the new one at its own after that, U(0, 5 s).
#[test]
fn what_moves_between_old_members_takes_two_heartbeats() {
    let (mut until, mut pause) = (Vec::new(), Vec::new());
    for outcome in runs(&group(6, 2, RANGE, &one_more(2)), 60) {
        is_clean(&outcome);
        // By range 0, 1, 2 | 3, 4, 5 becomes 0, 1 | 2, 3 | 4, 5.
        let found = gaps(&outcome, 6);
        assert!([0, 1, 3].into_iter().all(|stays: usize| found[stays].1 - found[stays].0 < 0.25), "{found:?}");
        if found[2].1 - found[2].0 > 0.25 {
            until.push(found[2].1 - 40.0);
        }
        pause.push(found[2].1 - found[2].0);
    }
    about("pause", &pause, 2.5);
    // Those that moved within a quarter of a second are not seen: 1 in 20.
    let (mean, within) = mean(&until);
    assert!((mean - 5.0).abs() < within + 0.25, "until it has moved: {mean} +- {within}");
    assert!(until.iter().all(|at| *at < 10.1) && until.iter().any(|at| *at > 7.0), "{until:?}");
}

/// The bus makes a new assignment at most once an interval: of two members that join within it the second waits.
#[test]
fn assignments_of_the_bus_keep_their_distance() {
    for (interval, expected) in [("0", 45.5), ("20000", 65.0)] {
        let mut plan = group(
            12,
            2,
            INCREMENTAL,
            "changes:\n  - { at: 30s, target: consumers.email, action: { scale: 3 } }\n  \
             - { at: 30500ms, target: consumers.email, action: { scale: 4 } }\n",
        );
        let edasim::plan::Membership::Group(group) = &mut plan.consumers[0].membership else { panic!("a group") };
        group.assignment_interval = edasim::units::parse_duration(&format!("{interval}ms")).unwrap();
        let outcome = traced(&plan);
        assert_eq!(only(&outcome).rebalances, 2);
        let last = gaps(&outcome, 12).into_iter().filter(|(from, to)| to - from > 0.25).map(|gap| gap.1);
        let last = last.fold(0.0, f64::max);
        assert!((last - expected).abs() < 5.3, "{interval}: the last moves at {last}");
    }
}

/// A member that stands still (less than its session) while another joins: at a barrier all wait for it, the bus waits for
/// its partitions only.
#[test]
fn a_stuck_member_blocks_all_or_its_own() {
    let rest = format!(
        "{}faults: [ {{ at: 35s, for: 30s, target: consumers.email.members.0, effect: pause }} ]\n",
        one_more(3)
    );
    for (settings, stuck) in [(EAGER, 12), (COOPERATIVE, 4), (INCREMENTAL, 4)] {
        let outcome = traced(&group(12, 3, settings, &rest));
        is_clean(&outcome);
        let long = pauses(&outcome, 12).into_iter().filter(|pause| *pause > 20.0).count();
        assert_eq!(long, stuck, "{settings}: {:?}", gaps(&outcome, 12));
    }
}

/// A crash of member 1 at 20 s, for so long, and 10 s of start.
fn restart(settings: &str, lasts: &str) -> Outcome {
    let rest = format!("faults: [ {{ at: 20s, for: {lasts}, target: consumers.email.members.1, effect: crash }} ]\n");
    let outcome = traced(&group(12, 3, settings, &rest));
    assert_eq!((lost(only(&outcome)), only(&outcome).overlap), (0, 0), "{settings}");
    outcome
}

/// Members with identities of their own: one that is back within its session has what it had, nobody else notices.
#[test]
fn a_seat_is_kept_for_a_quick_restart() {
    for protocol in [EAGER, COOPERATIVE, INCREMENTAL] {
        let fixed = format!("{protocol}{}group.instance.id: email", if protocol.is_empty() { "" } else { ", " });
        let quick = restart(&fixed, "5s");
        assert_eq!(only(&quick).rebalances, 0, "{fixed}");
        let idle = pauses(&quick, 12);
        assert_eq!(idle.len(), 4, "{fixed}: those of one member: {idle:?}");
        assert!(idle.iter().all(|idle| (14.9..15.4).contains(idle)), "{fixed}: {idle:?}");
        // Without one, its partitions wait for the session to run out: 42 to 45 s, or for 5 s less 5 s.
        let dynamic = restart(protocol, "5s");
        assert!(only(&dynamic).rebalances > 0, "{protocol}");
        let longest = pauses(&dynamic, 12).into_iter().fold(0.0, f64::max);
        assert!((40.0..=55.5).contains(&longest), "{protocol}: {longest}");
        // And beyond the session a seat is given away: out and in.
        let slow = restart(&fixed, "60s");
        assert!(only(&slow).rebalances >= 2, "{fixed}: {}", only(&slow).rebalances);
        let longest = pauses(&slow, 12).into_iter().fold(0.0, f64::max);
        assert!((40.0..=55.5).contains(&longest), "{fixed}: {longest}");
    }
}

/// Whoever has an identity of its own does not say that it goes: what it had waits for its session.
#[test]
fn a_seat_is_kept_for_one_who_goes() {
    let fewer = "changes: [ { at: 20s, target: consumers.email, action: { scale: 2 } } ]\n";
    for (settings, idle) in [("group.instance.id: email", (42.0, 48.5)), (EAGER, (0.0, 3.5))] {
        let outcome = traced(&group(12, 3, settings, fewer));
        is_clean(&outcome);
        let longest = gaps(&outcome, 12).into_iter().map(|gap| gap.1 - gap.0).fold(0.0, f64::max);
        assert!((idle.0..idle.1).contains(&longest), "{settings}: {longest}");
    }
}

/// The timer settles when a member rejoins, and a cooperative client polls on: what it has done since of a partition that
/// it then gives back is done again. Eager members have stopped by then, and the bus lets a member settle first.
#[test]
fn a_timer_and_a_cooperative_group_repeat_what_moves() {
    for (settings, repeats) in [(EAGER, false), (COOPERATIVE, true), (INCREMENTAL, false)] {
        let mut plan = group(12, 3, settings, &one_more(3));
        plan.consumers[0].settle = edasim::plan::Settle::Timer(edasim::time::SimSpan::from_seconds(5));
        let repeated: u64 = runs(&plan, 3).iter().map(|outcome| only(outcome).duplicates_deliveries).sum();
        assert_eq!(repeated > 0, repeats, "{settings}: {repeated}");
    }
}

/// When all are gone and missed, whoever comes first waits 3 s for company. If more come meanwhile it is 3 s again, but not
/// beyond the rebalance time-out; before 4.0 that was so at the very first time only.
#[test]
fn an_empty_group_waits_for_company() {
    let none = "group.initial.rebalance.delay.ms: 0";
    for (profile, members, delay, limit, back) in [
        ("kafka", 1, "", "", 3.0),
        ("kafka", 2, "", "", 6.0),
        ("kafka", 2, "", "max.poll.interval.ms: 4000", 4.0),
        ("kafka", 2, "", "max.poll.interval.ms: 2000", 3.0),
        ("kafka", 2, none, "", 0.0),
        ("kafka-3", 2, "", "", 3.0),
    ] {
        let plan = plan(&format!(
            "name: empty\nduration: 3m\n\
             buses: {{ main: {{ profile: {profile}, settings: {{ {delay} }}, topics: {{ orders: {{ partitions: 4 }} }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ constant: 400/s }}, key: {{ uniform: 1k }} }} }}\n\
             consumers:\n  email: {{ subscribes: orders, members: {members}, service_time: 20us, startup: 5s, settings: {{ {limit} }} }}\n\
             faults: [ {{ at: 20s, for: 60s, target: consumers.email, effect: crash }} ]\n"
        ));
        let outcome = traced(&plan);
        let first = outcome.trace.iter().filter(|record| record.result != DeliveryResult::CutOff);
        let first = first.map(|record| record.start.seconds()).filter(|at| *at > 21.0).fold(f64::MAX, f64::min);
        assert!((first - 85.0 - back).abs() < 0.2, "{profile} {members} {delay} {limit}: back at {first}");
    }
}
