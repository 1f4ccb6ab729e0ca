//! Autoscaling: decisions recomputed from what was there at each look, what they reach, what they cost, and what they go with.

use std::collections::BTreeMap;
use std::path::Path;

use edasim::engine::RunOptions;
use edasim::experiment::{Request, estimates, restless, seed_of};
use edasim::outcome::{ConsumerOutcome, Outcome, ScalingOutcome, TraceRecord};
use edasim::plan::{AutoscalePlan, Plan, ScaleTarget};
use edasim::scenario::{Overrides, load_text};
use edasim::time::{SimSpan, SimTime};

use crate::kafka::only;
use crate::support::{experiment, lost, plan, run, traced};

/// A group on Kafka with 24 partitions whose members do 20 events a second each.
fn group(arrivals: &str, autoscale: &str, settings: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: scaled\nduration: 30m\n\
         buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 24 }} }} }} }}\n\
         producers:\n  shop: {{ publishes: orders, arrivals: {arrivals}, key: {{ uniform: 5k }} }}\n\
         consumers:\n  worker: {{ subscribes: orders, startup: 12s, service_time: 50ms, settings: {{ max.poll.records: 20, {settings} }}, \
         autoscale: {{ {autoscale} }} }}\n{rest}"
    ))
}

/// A queue without delays, whose members do ten messages a second each.
fn queue(arrivals: &str, autoscale: &str, rest: &str) -> Plan {
    plan(&format!(
        "name: scaled\nduration: 20m\n\
         buses: {{ main: {{ profile: ideal, queues: {{ work: }} }} }}\n\
         producers:\n  shop: {{ publishes: work, arrivals: {arrivals} }}\n\
         consumers:\n  worker: {{ subscribes: work, startup: 5s, service_time: 100ms, autoscale: {{ {autoscale} }} }}\n{rest}"
    ))
}

/// A rush from minute 5 to 15, and nothing from minute 25 on.
const RUSH: &str = "{ curve: { points: [ { at: 0s, rate: 50/s }, { at: 5m, rate: 50/s }, { at: 5m1s, rate: 220/s }, \
                    { at: 15m, rate: 220/s }, { at: 15m1s, rate: 50/s }, { at: 25m, rate: 50/s }, { at: 25m1s, rate: 0/s } ] } }";

fn scaling(outcome: &Outcome) -> &ScalingOutcome {
    only(outcome).scaling.as_ref().expect("it is autoscaled")
}

/// The sizes from the start on: from when, and how many.
fn sizes(plan: &Plan, outcome: &Outcome) -> Vec<(u64, u32)> {
    let steps = scaling(outcome).steps.iter().map(|step| (step.at.0, step.members));
    [(0, plan.consumers[0].members)].into_iter().chain(steps).collect()
}

fn size_at(sizes: &[(u64, u32)], time: u64) -> u32 {
    sizes.iter().rev().find(|(at, _)| *at <= time).expect("there is one at the start").1
}

/// Records of a run, each with when it was visible and when it was settled, from the deliveries alone.
struct Records(Vec<(SimTime, SimTime)>);

impl Records {
    fn of(outcome: &Outcome) -> Self {
        let mut records: BTreeMap<(u32, u64), (SimTime, SimTime)> = BTreeMap::new();
        for TraceRecord { partition, offset, visible, settled, .. } in &outcome.trace {
            let known = records.entry((*partition, *offset)).or_insert((*visible, *settled));
            known.1 = known.1.min(*settled);
        }
        Self(records.into_values().collect())
    }

    /// Those that were visible and not settled just before a time.
    fn lag(&self, time: u64) -> u64 {
        self.0.iter().filter(|(visible, settled)| visible.0 <= time && settled.0 >= time).count() as u64
    }
}

/// The size after each look, by the rules of the Horizontal Pod Autoscaler, written down plainly.
fn decided(policy: &AutoscalePlan, (start, end): (u32, u64), lag: impl Fn(u64) -> u64) -> Vec<(u64, u32)> {
    let ScaleTarget::Lag(each) = policy.target else { panic!("by lag") };
    let (mut size, mut recommendations, mut changes) = (start, vec![(0, start)], Vec::<(u64, i64)>::new());
    let mut found = vec![(0, start)];
    for now in (1..).map(|n| n * policy.every.0).take_while(|now| *now < end) {
        let lag = lag(now);
        let ratio = lag as f64 / (each as f64 * f64::from(size));
        let close = size > 0 && (ratio - 1.0).abs() <= policy.tolerance;
        let wanted = match (close, size) {
            (true, _) => size,
            (false, 0) => u32::from(lag > 0),
            (false, _) => (lag as f64 / each as f64).ceil() as u32,
        };
        recommendations.push((now, wanted));
        let recent = recommendations.iter().filter(|(at, _)| now - at < policy.cooldown.0).map(|(_, wanted)| *wanted);
        let highest = recent.max().unwrap_or(wanted).max(wanted);
        let stable = if wanted > size { wanted } else { size.min(highest) };
        let before = i64::from(size)
            - changes.iter().filter(|(at, _)| now - at < 15_000_000_000).map(|(_, change)| *change).sum::<i64>();
        let limit = if size == 0 { 1 } else { (2 * before).max(before + 4).max(i64::from(size)) };
        let next = i64::from(stable).min(limit).clamp(i64::from(policy.min), i64::from(policy.max));
        if next != i64::from(size) {
            changes.push((now, next - i64::from(size)));
            size = u32::try_from(next).expect("within bounds");
            found.push((now, size));
        }
    }
    found
}

#[test]
fn decisions_are_those_of_the_formula() {
    let (mut up, mut down, mut held) = (0, 0, 0);
    for (autoscale, settings) in [
        ("lag: 100, min: 3, max: 24", ""),
        ("lag: 100, min: 3, max: 24, cooldown: 45s", "partition.assignment.strategy: cooperative-sticky"),
        ("lag: 300, min: 1, max: 20, cooldown: 2m, tolerance: 0%", "group.protocol: consumer"),
        ("lag: 40, min: 2, max: 24, every: 5s, cooldown: 30s", ""),
        ("lag: 500, min: 4, max: 9, every: 40s, cooldown: 0s, tolerance: 30%", ""),
        ("lag: 80, min: 0, max: 24, every: 30s, cooldown: 1m", ""),
    ] {
        let plan = group(RUSH, autoscale, settings, "");
        let outcome = traced(&plan);
        let worker = only(&outcome);
        assert_eq!((lost(worker), worker.ledger.waiting, worker.ledger.in_flight), (0, 0, 0), "{autoscale}");
        let policy = plan.consumers[0].autoscale.expect("it is");
        let start = plan.consumers[0].members;
        let records = Records::of(&outcome);
        let expected = decided(&policy, (start, plan.duration.0), |now| records.lag(now));
        assert_eq!(sizes(&plan, &outcome), expected, "{autoscale}");
        let found = scaling(&outcome);
        let steps = expected.windows(2).map(|pair| pair[1].1 > pair[0].1);
        let ups = steps.filter(|up| *up).count() as u64;
        assert_eq!((found.up, found.down), (ups, expected.len() as u64 - 1 - ups), "{autoscale}");
        up += found.up;
        down += found.down;
        // Up by no more than the limit, though far more are wanted.
        held += expected.windows(2).filter(|pair| pair[1].1 == (pair[0].1 + 4).max(2 * pair[0].1)).count();
    }
    assert!(up > 15 && down > 10 && held > 5, "{up} up, {down} down, {held} held back");
}

/// 100 a second come to two members who do 20: at each look as many as the backlog is worth, but no more than the limit lets.
/// Then 20 do 200 a second, and what waits is gone at the rate by which they are more.
#[test]
fn a_backlog_drains_by_what_members_do_more() {
    let plan = queue("{ constant: 100/s }", "lag: 100, min: 2, max: 20, cooldown: 10m", "");
    let outcome = traced(&plan);
    let found = sizes(&plan, &outcome);
    // By the fluid: 80 a second more wait until 6 are ready at 20 s, then 40 a second; 12 are at 35 s, 20 at 50 s.
    let looks: Vec<(u64, u32)> = found.iter().map(|(at, size)| (at / 1_000_000_000, *size)).take(4).collect();
    assert_eq!(looks, [(0, 2), (15, 6), (30, 12), (45, 20)]);
    let backlog = 80.0 * 20.0 + 40.0 * 15.0 - 20.0 * 15.0;
    let drained = 50.0 + backlog / (200.0 - 100.0);
    let records = Records::of(&outcome);
    let lag = |second: f64| records.lag((second * 1e9) as u64) as f64;
    assert!((lag(50.0) - backlog).abs() < 25.0, "{} and not {backlog}", lag(50.0));
    for (second, left) in [(drained - 10.0, 1000.0), (drained - 5.0, 500.0)] {
        assert!((lag(second) - left).abs() < 25.0, "{} left at {second}, and not {left}", lag(second));
    }
    assert!(lag(drained + 1.0) < 25.0);
    // Ten are enough, and so lag is about ten: once the cooldown is over the fewest are left, and all begins again.
    let down = found.iter().find(|(at, size)| *at > 60_000_000_000 && *size < 20).expect("it ends");
    let last =
        (1..).map(|n| n * 15).find(|at| lag(f64::from(*at)) < 1700.0 && f64::from(*at) > 50.0).expect("it drains");
    assert!(down.0 >= 600_000_000_000 && down.1 < 20, "{down:?}, last above at {last}");
}

/// A hundred events a second of 35 ms each keep five members busy for 70 % of the time, on the dot.
#[test]
fn what_is_within_tolerance_is_left_alone() {
    for (autoscale, members) in [
        ("utilisation: 70%, min: 5, max: 20", 5),
        ("utilisation: 65%, min: 5, max: 20", 5),
        ("utilisation: 65%, min: 5, max: 20, tolerance: 5%", 6),
        ("utilisation: 60%, min: 5, max: 20", 6),
        ("utilisation: 75%, min: 1, max: 5, tolerance: 20%, cooldown: 0s", 5),
        ("utilisation: 90%, min: 1, max: 5, cooldown: 0s", 4),
    ] {
        let mut plan = queue("{ constant: 100/s }", autoscale, "");
        plan.consumers[0].members = 5;
        plan.consumers[0].handler.steps = vec![edasim::plan::Step::Work(edasim::dist::Dist::Constant(35e6))];
        let outcome = traced(&plan);
        let found = sizes(&plan, &outcome);
        assert_eq!(found.last().expect("one at least").1, members, "{autoscale}: {found:?}");
        assert!(found.len() <= 2, "{autoscale}: {found:?}");
    }
}

/// From one member on it comes to rest where lambda x s / members is at the target: at the next whole number above.
#[test]
fn utilisation_comes_to_rest_at_the_offered_load_over_the_target() {
    for (rate, share) in [(30.0, 0.7), (50.0, 0.7), (80.0, 0.5), (120.0, 0.8), (47.0, 0.9)] {
        let autoscale = format!("utilisation: {}%, min: 1, max: 40, cooldown: 1m", (share * 100.0_f64).round());
        let plan = queue(&format!("{{ poisson: {rate}/s }}"), &autoscale, "warm_up: 10m\n");
        let erlangs = rate * 0.1;
        let outcome = traced(&plan);
        let time_at = &scaling(&outcome).time_at;
        let (mean, busy) = (mean(time_at), only(&outcome).busy as f64 / 600e9);
        assert!((busy / erlangs - 1.0).abs() < 0.05, "{busy} of {erlangs}");
        // No fewer than the tolerance lets, no more than one above what is needed by the most that chance makes of a look.
        let (least, most) = (erlangs / share / 1.1, (1.15 * erlangs / share).ceil() + 1.0);
        assert!((least..=most).contains(&mean), "{rate}/s at {share}: {mean} is not in {least} to {most}: {time_at:?}");
        let utilisation = only(&outcome).busy as f64 / only(&outcome).available as f64;
        assert!((utilisation * mean / erlangs - 1.0).abs() < 0.05, "{utilisation} of {mean}");
    }
}

fn mean(time_at: &BTreeMap<u32, u128>) -> f64 {
    let paid: u128 = time_at.iter().map(|(members, time)| u128::from(*members) * time).sum();
    paid as f64 / time_at.values().sum::<u128>() as f64
}

/// Member-seconds are the sizes times their times, and what is up is as much less as starts take.
#[test]
fn the_cost_is_members_times_time() {
    let plan = queue("{ constant: 90/s }", "lag: 60, min: 2, max: 30, cooldown: 90s", "warm_up: 100s\n");
    let outcome = traced(&plan);
    let sizes = sizes(&plan, &outcome);
    let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([plan.duration.0]);
    let measured = |(from, to): (u64, u64)| to.saturating_sub(from.max(plan.warm_up.0)) as f64 / 1e9;
    let spans: Vec<_> = sizes.iter().zip(ends).map(|((from, size), to)| (*size, measured((*from, to)))).collect();
    let paid: f64 = spans.iter().map(|(size, time)| f64::from(*size) * time).sum();
    let summary = experiment(&plan, &Request { replications: 1, ..Request::default() }).summary;
    let metric = |path: &str| summary.metrics.pointer(&format!("/consumers/worker/{path}")).and_then(|it| it.as_f64());
    let time = metric("members/time").expect("it is measured");
    assert!((time - paid).abs() < 1e-6, "{time} and not {paid}");
    assert!((metric("members/mean").expect("measured") - paid / 1100.0).abs() < 1e-6);
    let most = spans.iter().filter(|(_, time)| *time > 0.0).map(|(size, _)| *size).max().map(f64::from);
    assert_eq!(metric("members/max"), most);
    assert!(scaling(&outcome).up > 3 && scaling(&outcome).down > 3);
    assert_eq!(metric("scaled/up"), Some(scaling(&outcome).up as f64));
    // Each new process is up 5 s after it was wanted.
    let mut starting = 0.0;
    for pair in sizes.windows(2) {
        let new = pair[1].1.saturating_sub(pair[0].1);
        let (from, to) = (pair[1].0, pair[1].0 + 5_000_000_000);
        starting += f64::from(new) * measured((from, to.min(plan.duration.0)));
    }
    let up = only(&outcome).available as f64 / 1e9;
    assert!((up - (paid - starting)).abs() < 1e-6, "{up} of {paid}, {starting} in starts");
}

/// What operators make of the size holds until the next look: it is brought back into bounds, or to what was recommended.
#[test]
fn a_planned_size_holds_until_the_next_look() {
    for (planned, back) in [(30, &[(615, 12), (630, 4)][..]), (1, &[(615, 4)]), (10, &[(615, 4)])] {
        let rest = format!("changes: [ {{ at: 10m7s, target: consumers.worker, action: {{ scale: {planned} }} }} ]\n");
        let plan = group("{ constant: 50/s }", "lag: 200, min: 4, max: 12", "", &rest);
        let found = sizes(&plan, &traced(&plan));
        let seconds: Vec<(u64, u32)> = found.iter().map(|(at, size)| (at / 1_000_000_000, *size)).collect();
        assert_eq!(seconds, [&[(0, 4), (607, planned)], back].concat());
    }
    // Also the size of the start, which is not that of the moment.
    let rest = "changes: [ { at: 12m7s, target: consumers.worker, action: { scale: 3 } } ]\n";
    let plan = group(RUSH, "lag: 100, min: 3, max: 24", "", rest);
    let found = sizes(&plan, &traced(&plan));
    assert!(size_at(&found, 726_000_000_000) > 10 && found.contains(&(727_000_000_000, 3)), "{found:?}");
}

/// A roll-out replaces those that there are, while their number changes under it.
#[test]
fn a_version_is_rolled_out_while_members_come_and_go() {
    for action in ["deploy", "{ deploy: { max_surge: 2 } }", "{ deploy: { max_unavailable: 3 } }"] {
        for at in ["4m", "5m30s", "12m", "15m30s"] {
            let rest = format!("changes: [ {{ at: {at}, target: consumers.worker, action: {action} }} ]\n");
            let plan = group(RUSH, "lag: 100, min: 3, max: 24, cooldown: 2m", "", &rest);
            let outcome = traced(&plan);
            let worker = only(&outcome);
            let rollout = worker.rollout.expect("one is planned");
            assert_eq!((rollout.done, rollout.open, lost(worker)), (1, 0, 0), "{action} at {at}");
            assert_eq!((worker.ledger.waiting, worker.ledger.in_flight), (0, 0), "{action} at {at}");
            let policy = plan.consumers[0].autoscale.expect("it is");
            let records = Records::of(&outcome);
            let expected = decided(&policy, (3, plan.duration.0), |now| records.lag(now));
            assert_eq!(sizes(&plan, &outcome), expected, "{action} at {at}");
        }
    }
}

/// Whom a fault strikes is one of those that are there, and who is not there is not struck.
#[test]
fn faults_strike_those_that_are_there() {
    let any = "faults: [ { at: 1m, every: { exponential: 40s }, for: 5s, target: consumers.worker.members.any, effect: crash } ]\n";
    let plan = group(RUSH, "lag: 100, min: 3, max: 24, cooldown: 2m", "", any);
    let outcome = traced(&plan);
    let sizes = sizes(&plan, &outcome);
    let fault = &outcome.faults[0];
    assert!(fault.count > 25, "{}", fault.count);
    let mut high = 0;
    for ((from, _), member) in fault.occurrences.iter().zip(&fault.members) {
        let (member, size) = (member.expect("somebody was there"), size_at(&sizes, from.0));
        assert!(member < size, "{member} of {size} at {from:?}");
        high += u32::from(member >= 3);
    }
    assert!(high > 5, "also those who came: {high}");
    assert!(only(&outcome).cut_off > 0);
    // Members that are never there.
    let quiet = group("{ constant: 30/s }", "lag: 500, min: 3, max: 24", "", "");
    for effect in ["crash", "pause", "{ slow: 100x }", "{ fail: 100% }"] {
        let fault =
            format!("faults: [ {{ at: 5m, for: 5m, target: consumers.worker.members.20, effect: {effect} }} ]\n");
        let struck = group("{ constant: 30/s }", "lag: 500, min: 3, max: 24", "", &fault);
        let (with, without) = (traced(&struck), traced(&quiet));
        assert_eq!((with.faults[0].count, &with.faults[0].members[..]), (0, &[][..]), "{effect}");
        assert_eq!(with.trace, without.trace, "{effect}");
        assert_eq!(summed(only(&with)), summed(only(&without)), "{effect}");
    }
}

fn summed(seen: &ConsumerOutcome) -> (u128, u128, u64, u64) {
    (seen.busy, seen.available, seen.attempts, seen.cut_off)
}

/// Nobody is left when nothing has come for the cooldown; the first event is waited for by one, who is ready a look and a
/// start later.
#[test]
fn a_group_of_nobody_wakes_up() {
    let arrivals = "{ curve: { points: [ { at: 0s, rate: 20/s }, { at: 2m, rate: 20/s }, { at: 2m1s, rate: 0/s }, \
                    { at: 15m, rate: 0/s }, { at: 15m1s, rate: 10/s }, { at: 20m, rate: 10/s }, { at: 20m1s, rate: 0/s } ] } }";
    for settings in ["", "partition.assignment.strategy: cooperative-sticky", "group.protocol: consumer"] {
        let plan = group(arrivals, "lag: 1k, min: 0, max: 10", settings, "");
        let outcome = traced(&plan);
        let found = sizes(&plan, &outcome);
        let [start, gone, back, again] = found[..] else { panic!("{found:?}") };
        assert_eq!((start.1, gone.1, back.1, again.1), (1, 0, 1, 0), "{settings}: {found:?}");
        assert!((420..=450).contains(&(gone.0 / 1_000_000_000)), "{found:?}");
        assert!((900..=915).contains(&(back.0 / 1_000_000_000)), "{found:?}");
        let first = outcome.trace.iter().filter(|record| record.visible.0 > 900_000_000_000).map(|it| it.start).min();
        let woken = (first.expect("some came").0 - back.0) as f64 / 1e9;
        assert!((12.0..20.0).contains(&woken), "{settings}: begun after {woken}");
        let worker = only(&outcome);
        assert_eq!((lost(worker), worker.ledger.waiting, worker.ledger.in_flight), (0, 0, 0), "{settings}");
        assert_eq!(worker.duplicates_deliveries, 0, "{settings}");
    }
}

/// A release while the load is constant and there are members enough: where all stand still in each rebalance, what waits
/// looks like more work, and new members rebalance again. Where what stays works on, nobody is called.
#[test]
fn an_eager_group_takes_its_own_pauses_for_work() {
    let found = |strategy: &str| {
        let rest = "warm_up: 1m\nchanges: [ { at: 3m, target: consumers.worker, action: deploy } ]\n";
        let plan = group("{ poisson: 150/s }", "lag: 25, min: 12, max: 24", strategy, rest);
        let runs = (0..4).map(|n| run(&plan, &RunOptions { seed: seed_of(&plan, n), ..RunOptions::default() }));
        runs.map(|outcome| {
            assert_eq!(lost(only(&outcome)), 0);
            (scaling(&outcome).up, only(&outcome).rebalances, mean(&scaling(&outcome).time_at))
        })
        .collect::<Vec<_>>()
    };
    let (eager, cooperative) = (found(""), found("partition.assignment.strategy: cooperative-sticky"));
    let sum = |of: &[(u64, u64, f64)]| of.iter().map(|(up, ..)| *up).sum::<u64>();
    assert!(sum(&eager) >= 4 && sum(&eager) > 3 * sum(&cooperative), "{eager:?} {cooperative:?}");
}

/// What there is to say of a plan before it runs.
#[test]
fn members_above_the_partitions_are_noted() {
    let notes = |autoscale: &str| {
        let yaml = format!(
            "name: noted\nduration: 5m\nbuses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 6 }} }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: 10/s }} }} }}\n\
             consumers: {{ worker: {{ subscribes: orders, autoscale: {{ {autoscale} }} }} }}\n"
        );
        let loaded = load_text("test.yaml", &yaml, Path::new(""), &Overrides::default());
        let loaded = loaded.unwrap_or_else(|wrong| panic!("{}", wrong.render(false, 120)));
        let policy = loaded.plan.consumers[0].autoscale.expect("it is autoscaled");
        (loaded.notes.join("\n"), policy)
    };
    let (text, policy) = notes("lag: 5, max: 7");
    assert!(text.contains("`consumers.worker.autoscale.max` is 7, and there is work for 6 at most"), "{text}");
    assert_eq!(policy.max, 7);
    let (text, policy) = notes("lag: 5");
    assert_eq!((text.as_str(), policy.min, policy.max), ("", 1, 6));
    let defaults = (policy.every, policy.cooldown, policy.tolerance.to_bits());
    assert_eq!(defaults, (SimSpan::from_seconds(15), SimSpan::from_seconds(300), 0.1_f64.to_bits()));
}

/// A rebalance stops 150/s for 3 s and a little: more than ten for each of twelve members, less than fifty.
#[test]
fn a_target_that_a_rebalance_reaches_is_noted() {
    let noted = |lag: u32, strategy: &str| {
        let plan = group("{ poisson: 150/s }", &format!("lag: {lag}, min: 12, max: 24"), strategy, "");
        restless(&plan, &estimates(&plan))
    };
    let [note] = &noted(10, "")[..] else { panic!("one note") };
    assert!(note.contains("12 members shall have 120 together"), "{note}");
    assert!(noted(50, "").is_empty());
    assert!(noted(10, "partition.assignment.strategy: cooperative-sticky").is_empty());
}
