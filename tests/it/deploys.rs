//! Roll-outs of a version: how long they take, how many members are there meanwhile, and what a group makes of each step.

use edasim::engine::RunOptions;
use edasim::experiment::seed_of;
use edasim::outcome::{DeliveryResult, Outcome, RolloutOutcome};
use edasim::plan::Plan;
use edasim::time::SimSpan;

use crate::kafka::{longest_gap, only};
use crate::support::{lost, plan, run, traced};

/// Twelve partitions with 100 events a second each, read by three members that are ready 8 s after their start, and a change.
fn rolled(action: &str, settings: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: deploy\nduration: 3m\n\
         buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 12 }} }} }} }}\n\
         producers:\n  shop: {{ publishes: orders, arrivals: {{ constant: 1200/s }}, key: {{ uniform: 5k }} }}\n\
         consumers:\n  email: {{ subscribes: orders, members: 3, startup: 8s, service_time: 20us, settings: {{ {settings} }} }}\n\
         changes: [ {{ at: 30s, target: consumers.email, action: {action} }} ]\n{rest}"
    ))
}

fn rollout(outcome: &Outcome) -> RolloutOutcome {
    only(outcome).rollout.expect("one is planned")
}

/// Each wave takes the time of a start: three of them where one process at a time may be missing or above, one where all may.
#[test]
fn a_roll_out_takes_a_start_for_each_wave() {
    for (action, waves, rebalances) in [
        ("deploy", 3, 6),
        ("{ deploy: { max_unavailable: 1 } }", 3, 6),
        ("{ deploy: { max_surge: 1 } }", 3, 6),
        ("{ deploy: { max_unavailable: 1, max_surge: 1 } }", 2, 4),
        ("{ deploy: { max_unavailable: 2 } }", 2, 4),
        ("{ deploy: { max_surge: 3 } }", 1, 2),
    ] {
        let outcome = traced(&rolled(action, "", ""));
        let RolloutOutcome { done, open, longest, killed } = rollout(&outcome);
        assert_eq!((done, open, killed, longest), (1, 0, 0, SimSpan::from_seconds(8 * waves)), "{action}");
        let email = only(&outcome);
        assert_eq!(
            (lost(email), email.duplicates_deliveries, email.order.violations, email.overlap),
            (0, 0, 0, 0),
            "{action}"
        );
        // What stops and what starts within one round is one rebalance.
        assert!((waves..=rebalances).contains(&email.rebalances), "{action}: {}", email.rebalances);
    }
}

/// A cooperative group, one that the bus assigns, and members with identities of their own pause less and less: each
/// partition stands still for what moves it, at a fixed member for its start and little more, and for no rebalance at all.
#[test]
fn what_a_roll_out_costs_depends_on_the_protocol() {
    let idle = |settings: &str| {
        let outcome = traced(&rolled("deploy", settings, ""));
        assert_eq!((rollout(&outcome).done, lost(only(&outcome))), (1, 0), "{settings}");
        let gaps = (0..12).map(|partition| longest_gap(&outcome, partition)).map(|(from, to)| to - from);
        (gaps.fold(0.0, f64::max), only(&outcome).rebalances)
    };
    let (fixed, rounds) = idle("group.instance.id: email");
    assert_eq!(rounds, 0);
    assert!((8.0..8.3).contains(&fixed), "a start, and the way back: {fixed}");
    for settings in ["", "partition.assignment.strategy: cooperative-sticky", "group.protocol: consumer"] {
        let (longest, rounds) = idle(settings);
        assert!(rounds >= 3 && longest < 6.0, "{settings}: {rounds} rebalances, idle for {longest}");
    }
}

/// A handler that takes longer than the time to finish is cut off with its process, and what it held is delivered again when
/// its session is over: an event for each of three members, which work for 100 s at a time.
#[test]
fn who_does_not_finish_in_time_is_killed() {
    let slow = |action: &str| {
        let mut plan = rolled(action, "", "");
        plan.consumers[0].handler.steps = vec![edasim::plan::Step::Work(edasim::dist::Dist::Constant(1e11))];
        plan.duration = SimSpan::from_seconds(600);
        run(&plan, &RunOptions { seed: seed_of(&plan, 0), trace: true, ..RunOptions::default() })
    };
    let outcome = slow("{ deploy: { grace: 20s } }");
    let cut = |outcome: &Outcome| {
        let cut = outcome.trace.iter().filter(|record| record.result == DeliveryResult::CutOff);
        cut.map(|record| record.done.seconds()).collect::<Vec<_>>()
    };
    // Each is told to stop when the one before is ready, and killed 20 s later; its successor has waited for that.
    let found = cut(&outcome);
    assert_eq!((rollout(&outcome).killed, found.len()), (3, 3), "{found:?}");
    for (n, at) in found.iter().enumerate() {
        let expected = 50.0 + 20.0 * n as f64;
        assert!((expected..expected + 0.11 * (n + 1) as f64).contains(at), "{n}: {at}");
    }
    assert_eq!(only(&outcome).cut_off, 3);
    let patient = slow("{ deploy: { grace: 10m } }");
    assert_eq!((rollout(&patient).killed, cut(&patient).len()), (0, 0));
}

/// Numbers stay those of members, whatever seats a surge has left them in: a crash of one is that of one that is there.
#[test]
fn a_number_is_a_member_after_a_surge() {
    for member in 0..3 {
        let fault =
            format!("faults: [ {{ at: 90s, for: 5s, target: consumers.email.members.{member}, effect: crash }} ]\n");
        let outcome = traced(&rolled("{ deploy: { max_surge: 1 } }", "", &fault));
        let struck = |partition: &u32| {
            let (from, to) = longest_gap(&outcome, *partition);
            (89.0..91.0).contains(&from) && to - from > 20.0
        };
        assert_eq!((0..12).filter(struck).count(), 4, "member {member}");
    }
}

/// Who is to go for good goes, who is to come comes, and the roll-out ends all the same.
#[test]
fn a_group_can_be_scaled_while_it_is_rolled_out() {
    for (size, action) in
        [(2, "deploy"), (1, "{ deploy: { max_surge: 2 } }"), (5, "deploy"), (6, "{ deploy: { max_surge: 1 } }")]
    {
        let mut plan = rolled(action, "", "");
        let scale = edasim::plan::ChangePlan {
            at: edasim::time::SimTime(42_000_000_000),
            action: edasim::plan::Action::Scale(size),
            ..plan.changes[0].clone()
        };
        plan.changes.push(scale);
        let outcome = traced(&plan);
        let email = only(&outcome);
        assert_eq!((rollout(&outcome).done, rollout(&outcome).open, lost(email)), (1, 0, 0), "{size}");
        // Members that are there at the end, from the time that they have had since.
        let quiet = plan.clone();
        let share = |until: u64| {
            let mut plan = quiet.clone();
            plan.duration = SimSpan::from_seconds(until);
            only(&traced(&plan)).available
        };
        let members = (share(170) - share(160)) / 10_000_000_000;
        assert_eq!(members, u128::from(size), "{action}");
    }
}

/// Of two roll-outs at a time the second waits for the first; one that the end of the run cuts short is open.
#[test]
fn roll_outs_wait_for_each_other() {
    let mut plan = rolled("deploy", "", "");
    let second = edasim::plan::ChangePlan { at: edasim::time::SimTime(35_000_000_000), ..plan.changes[0].clone() };
    plan.changes.push(second);
    let found = rollout(&traced(&plan));
    assert_eq!((found.done, found.open, found.longest), (2, 0, SimSpan::from_seconds(43)));
    plan.duration = SimSpan::from_seconds(60);
    let found = rollout(&traced(&plan));
    assert_eq!((found.done, found.open, found.longest), (1, 1, SimSpan::from_seconds(24)));
}
