//! Whatever happened to a group, once it is over all is read: nobody is forgotten who stands still, dies or comes back in the
//! middle of a rebalance, and no partition or retry waits behind one that is idle.

use edasim::engine::{RunOptions, Schedule};
use edasim::plan::Plan;

use crate::kafka::only;
use crate::support::{plan, run, traced};

/// A group that could do thirty times what it must, with what is done to it.
fn group(partitions: u32, brokers: u32, settings: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: alive\nduration: 4m\n\
         buses: {{ main: {{ profile: kafka, brokers: {brokers}, topics: {{ a: {{ partitions: {partitions} }} }} }} }}\n\
         producers:\n  shop: {{ publishes: a, arrivals: {{ constant: 120/s }}, key: {{ uniform: 5k }} }}\n\
         consumers:\n  email: {{ subscribes: a, members: 3, service_time: 1ms, startup: 1s, settings: {{ {settings} }} }}\n{rest}"
    ))
}

/// Rebalances, if hardly anything waits at the end.
fn all_is_read(plan: &Plan, what: &str) -> u64 {
    let outcome = traced(plan);
    let email = only(&outcome);
    let waiting = email.ledger.waiting + email.ledger.in_flight;
    assert!(waiting < 10, "{what}: {waiting} events wait, after {} rebalances", email.rebalances);
    email.rebalances
}

fn pause(from: f64, lasts: u32, member: u32) -> String {
    let at = (from * 1000.0).round();
    format!("faults: [ {{ at: {at}ms, for: {lasts}s, target: consumers.email.members.{member}, effect: pause }} ]\n")
}

const PROTOCOLS: [&str; 3] = ["", "partition.assignment.strategy: cooperative-sticky", "group.protocol: consumer"];
const GROWS: &str = "changes: [ { at: 30s, target: consumers.email, action: { scale: 4 } } ]\n";

/// A member that stands still while partitions are handed out takes up its own when it wakes, whenever that began.
#[test]
fn who_stands_still_while_partitions_move_wakes() {
    for settings in PROTOCOLS {
        for step in 0..56 {
            let from = 30.9 + 0.2 * f64::from(step);
            let rest = format!("{GROWS}{}", pause(from, 5, 1));
            all_is_read(&group(6, 6, settings, &rest), &format!("{settings}, from {from}"));
        }
    }
}

/// When a rebalance has waited long enough, and members stand still that have rejoined already, they are still those that
/// they were: they are missed when their sessions run out, and wake to what they have.
#[test]
fn a_rebalance_that_waits_no_longer_forgets_nobody() {
    let faults = "faults:\n  - { at: 30500ms, for: 2m, target: consumers.email.members.0, effect: pause }\n  \
                  - { at: 36s, for: 2m, target: consumers.email.members.1, effect: pause }\n";
    for settings in PROTOCOLS {
        let separator = if settings.is_empty() { "" } else { ", " };
        let limit = format!("{settings}{separator}max.poll.interval.ms: 20000");
        all_is_read(&group(6, 1, &limit, &format!("{GROWS}{faults}")), settings);
    }
}

/// A seat is kept beyond the rebalance time-out, for the session: nobody rebalances for the one who is away, whatever round
/// was under way.
#[test]
fn a_seat_outlasts_a_rebalance() {
    let settings = "max.poll.interval.ms: 10000, group.instance.id: x, session.timeout.ms: 120000";
    let crash = "faults: [ { at: 20s, for: 60s, target: consumers.email.members.1, effect: crash } ]\n";
    assert_eq!(all_is_read(&group(6, 1, settings, &format!("{GROWS}{crash}")), "seat"), 1);
}

/// Whoever dies between the last rejoining and the end of the round has its share all the same: nobody else reads that until
/// its session runs out, and one that takes its seat does.
#[test]
fn who_dies_in_the_middle_of_a_round_has_its_share() {
    for settings in ["", "group.instance.id: email"] {
        let mut rounds = Vec::new();
        for step in 0..150 {
            let at = 31_000 + 20 * step;
            let crash =
                format!("faults: [ {{ at: {at}ms, for: 2s, target: consumers.email.members.1, effect: crash }} ]\n");
            let mut plan = group(6, 1, settings, &format!("{GROWS}{crash}"));
            let edasim::plan::Membership::Group(group) = &mut plan.consumers[0].membership else { panic!("a group") };
            group.join = edasim::dist::Dist::Constant(3e8);
            rounds.push(all_is_read(&plan, &format!("{settings}: at {at} ms")));
        }
        assert!(rounds.iter().all(|rounds| (1..=3).contains(rounds)), "{settings}: {rounds:?}");
    }
}

/// A process that comes where one stood still is another: it does not stand still.
#[test]
fn a_new_process_does_not_stand_still() {
    let rest = format!(
        "changes:\n  - {{ at: 40s, target: consumers.email, action: {{ scale: 2 }} }}\n  \
         - {{ at: 50s, target: consumers.email, action: {{ scale: 3 }} }}\n{}",
        pause(30.0, 100, 2)
    );
    for settings in ["session.timeout.ms: 6000", "group.protocol: consumer"] {
        all_is_read(&group(6, 6, settings, &rest), settings);
    }
}

/// A partition with a backlog is asked for again within `fetch.max.wait.ms`, though the other of its broker has nothing:
/// a backlog of 1500 (5 s at 300/s) is below 700, which is 0.7 s of work, after 800 / (1000/s - 300/s), if nothing waits; and if
/// each poll of 500 waits all that it may, 500 are done in 1 s (or 0.6 s), so after 800 / 200/s (or 530/s) and one such round more.
#[test]
fn a_fetch_that_waits_for_one_partition_does_not_keep_another_waiting() {
    for (wait, drained) in [("500", 800.0 / 200.0 + 1.0), ("100", 800.0 / 530.0 + 0.6)] {
        let mut plan = group(
            2,
            1,
            &format!("fetch.max.wait.ms: {wait}"),
            "faults: [ { at: 20s, for: 5s, target: consumers.email, effect: pause } ]\n",
        );
        plan.producers[0].arrivals = edasim::dist::Arrivals::Constant(300.0);
        plan.producers[0].handler.steps.iter_mut().for_each(|step| {
            if let edasim::plan::Step::Publish(publish) = step {
                publish.key = Some(edasim::plan::KeyPlan::Uniform(1));
            }
        });
        plan.consumers[0].members = 1;
        all_is_read(&plan, wait);
        let outcome = traced(&plan);
        let late = outcome
            .trace
            .iter()
            .filter(|record| record.done - record.visible > edasim::time::SimSpan::from_millis(700));
        let last = late.map(|record| record.done.seconds()).fold(0.0, f64::max);
        assert!(outcome.trace.iter().all(|record| record.partition == outcome.trace[0].partition), "one has it all");
        assert!((25.0 + 800.0 / 700.0..25.0 + drained).contains(&last), "{wait}: until {last}");
    }
}

/// The same with retries: those of one partition of a retry topic do not wait for another.
#[test]
fn a_retry_does_not_wait_for_another_partition() {
    let plan = plan(
        "name: retries\nduration: 2m\n\
         buses: { main: { profile: kafka, brokers: 1, topics: { a: { partitions: 2 } } } }\n\
         producers:\n  shop: { publishes: a, arrivals: { constant: 20/s }, key: { uniform: 1 } }\n\
         consumers:\n  email: { subscribes: a, service_time: 3ms, retry: { mode: retry_topic, attempts: 3, backoff: [20s] } }\n\
         faults:\n  - { at: 20s, for: 2s, target: consumers.email, effect: { fail: 100% } }\n  \
         - { at: 25s, for: 40ms, target: consumers.email, effect: { fail: 100% } }\n  \
         - { at: 32s, for: 45ms, target: consumers.email, effect: { fail: 100% } }\n",
    );
    let outcome = traced(&plan);
    assert!(only(&outcome).retried >= 40, "{}", only(&outcome).retried);
    let late = outcome.trace.iter().map(|record| (record.done - record.visible).seconds()).fold(0.0, f64::max);
    assert!((19.9..20.6).contains(&late), "{late}");
    all_is_read(&plan, "retries");
}

/// What has been settled before it is done, and is in the hands of one that the group goes on without, is kept for it.
#[test]
fn what_waits_for_a_worker_is_kept() {
    for (kind, records) in
        [("retry: { mode: retry_topic, attempts: 3, backoff: [1s, 10s] }", 500), ("retry: { attempts: 2 }", 50)]
    {
        let plan = plan(&format!(
            "name: kept\nduration: 3m\n\
             buses: {{ main: {{ profile: kafka, topics: {{ a: {{ partitions: 2 }}, dead: {{}} }} }} }}\n\
             producers: {{ shop: {{ publishes: a, arrivals: {{ poisson: 200/s }}, key: {{ uniform: 3 }} }} }}\n\
             consumers:\n  email:\n    subscribes: a\n    members: 3\n    service_time: 1ms\n    startup: 5s\n    settle: before\n\
            \x20   {kind}\n    failure: {{ transient: 5% }}\n    dead_letter: dead\n\
            \x20   settings: {{ partition.assignment.strategy: cooperative-sticky, session.timeout.ms: 6000, \
             max.poll.interval.ms: 20000, max.poll.records: {records} }}\n\
             changes: [ {{ at: 132323ms, target: consumers.email, action: {{ scale: 2 }} }} ]\n\
             faults:\n  - {{ at: 83967ms, for: 1ms, target: consumers.email.members.1, effect: crash }}\n  \
             - {{ at: 89595ms, for: 80s, target: consumers.email, effect: pause }}\n"
        ));
        // The books close, which the end of every run checks.
        assert!(only(&traced(&plan)).ledger.effected > 10_000, "{kind}");
    }
}

/// Events at 5/s for 100 s, and time enough to be done with them.
fn a_while(consumers: &str, bus: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: alive\nduration: 6m\n\
         buses:\n  main: {{ profile: kafka, settings: {{ group.initial.rebalance.delay.ms: 0, {bus} }}, topics: {{ in: {{ partitions: 4 }}, out: }} }}\n\
         producers:\n  p: {{ publishes: in, key: {{ uniform: 100 }}, arrivals: {{ curve: {{ points: [\
            {{ at: 0s, rate: 5/s }}, {{ at: 100s, rate: 5/s }}, {{ at: 101s, rate: 0/s }} ] }} }} }}\n\
         consumers:\n  enrich: {{ subscribes: in, startup: 1s, {consumers} }}\n  reader: {{ subscribes: out, service_time: 100us }}\n{rest}"
    ))
}

fn all_is_done(plan: &Plan, options: &RunOptions, what: &str) {
    let outcome = run(plan, options);
    let ledger = outcome.consumers[0].ledger;
    assert_eq!(ledger.waiting + ledger.in_flight, 0, "{what}, seed {}: {ledger:?}", options.seed);
}

/// What one member gives up, or is not to have, another hears of with its next heartbeat, though it has nothing to do: the same
/// in each schedule, and never in the past.
#[test]
fn a_member_without_work_hears_of_what_is_free() {
    let consumer = "members: 3, handler: [ { work: { exponential: 200ms } }, { publish: out } ], \
                    settings: { group.protocol: consumer, max.poll.interval.ms: 20000, max.poll.records: 1 }";
    let bus = "group.consumer.session.timeout.ms: 6000, group.consumer.heartbeat.interval.ms: 3000";
    let rest = "faults: [ { at: 74s, for: 8s, target: consumers.enrich.members.2, effect: pause } ]\n";
    let plan = a_while(consumer, bus, rest);
    for seed in 1..=40 {
        let options = |schedule| RunOptions { seed, schedule, window: 7, threads: 2, ..RunOptions::default() };
        all_is_done(&plan, &options(Schedule::Windowed), "windowed");
        let [windowed, stepwise] = [Schedule::Windowed, Schedule::Stepwise].map(|it| run(&plan, &options(it)));
        assert!(windowed == stepwise, "seed {seed}: the schedules differ");
    }
}

/// Operators wait for a process that stands still, and that ends by a roll-out or a crash after its group has gone on without it.
#[test]
fn a_replay_waits_for_nobody_who_is_dead() {
    let consumer = "members: 3, service_time: 10ms, settings: { max.poll.records: 1, \
                    session.timeout.ms: 4500, heartbeat.interval.ms: 500, max.poll.interval.ms: 60000 }";
    let pause = "{ at: 20s, for: 60s, target: consumers.enrich.members.2, effect: pause }";
    let replay = "{ at: 30s, target: consumers.enrich, action: { replay: { from: 25s } } }";
    let deploy = "{ at: 40s, target: consumers.enrich, action: { deploy: { max_unavailable: 3, grace: 10ms } } }";
    let crash = "{ at: 40s, for: 5s, target: consumers.enrich.members.2, effect: crash }";
    for protocol in ["", ", group.instance.id: own", ", group.protocol: consumer"] {
        let consumer = match protocol {
            ", group.protocol: consumer" => {
                "members: 3, service_time: 10ms, settings: { max.poll.records: 1, group.protocol: consumer }".to_owned()
            }
            own => consumer.replace("max.poll.records: 1", &format!("max.poll.records: 1{own}")),
        };
        for rest in [
            format!("faults: [ {pause} ]\nchanges: [ {replay}, {deploy} ]\n"),
            format!("faults: [ {pause}, {crash} ]\nchanges: [ {replay} ]\n"),
        ] {
            all_is_done(&a_while(&consumer, "", &rest), &RunOptions { seed: 1, ..RunOptions::default() }, &rest);
        }
    }
}

/// A handler that hangs at any attempt is noticed by whoever watches its process, wherever it runs.
#[test]
fn a_hang_at_any_attempt_is_noticed() {
    for handler in ["{ work: 2ms }", "{ work: 1ms }, { hold: { of: door, do: [ { work: 1ms } ] } }"] {
        let consumer = format!(
            "members: 3, handler: [ {handler} ], failure: {{ transient: 50%, hang: 0.5% }}, \
             retry: {{ mode: blocking, attempts: 100, backoff: 10ms }}, \
             settings: {{ max.poll.interval.ms: 10000, session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }}"
        );
        let plan = a_while(&consumer, "", "resources: { door: { capacity: 10 } }\n");
        for seed in 1..=5 {
            all_is_done(&plan, &RunOptions { seed, ..RunOptions::default() }, handler);
        }
    }
}
