//! The fluid of services against arithmetic.

use super::super::tests::{near, plan_of};
use crate::estimate::{At, Estimates, Outage, estimate};
use crate::math::ln;

/// A service `s` at which users arrive as `rate` says, and a fault.
fn struck(rate: &str, service: &str, fault: &str) -> Estimates {
    estimate(&plan_of(&format!(
        "name: struck\nduration: 1h\nservices:\n  s: {{ profile: ideal, arrivals: {rate}, {service} }}\n\
         faults: [ {{ at: 10m, {fault} }} ]\n"
    )))
}

/// The only outage: most that wait, time to drain, and share refused.
fn only(found: &Estimates, wanted: [f64; 3], within: f64) {
    let [Outage { at, backlog, drained, refused, .. }] = &found.outages[..] else { panic!("{:?}", found.outages) };
    assert_eq!(*at, At::Service(0));
    near("backlog", Some(*backlog), wanted[0], within);
    near("drained", *drained, wanted[1], within);
    near("refused", *refused, wanted[2], within);
}

/// Six workers of ten are held, and twenty-four would be: nobody waits until all ten are.
#[test]
fn what_is_there_runs_to_its_steady_value_until_all_workers_are_held() {
    let found = struck(
        "{ poisson: 60/s }",
        "workers: 10, queue: 100k, service_time: { exponential: 100ms }",
        "for: 1m, target: services.s, effect: { slow: 4x }",
    );
    let most = 35.0 * (60.0 - 0.4 * ln((24.0 - 6.0) / (24.0 - 10.0)));
    only(&found, [most, most / 40.0, 0.0], 1e-3);
    near("to the moment", Some(found.outages[0].backlog), most, 1e-9);
}

/// 25/s done of 50/s: the queue is full after 40 s, and what comes in the other 260 s waits or is refused, half of it each.
#[test]
fn what_finds_no_room_is_refused() {
    let found = struck(
        "{ constant: 50/s }",
        "workers: 1, queue: 1k, service_time: 10ms",
        "for: 5m, target: services.s, effect: { slow: 4x }",
    );
    only(&found, [1000.0, 20.0, 25.0 * 260.0 / (50.0 * 320.0)], 0.001);
}

/// Three workers of four are held; two of them go with their instance, and what they had in hand. What waits at the other
/// one waits there, or goes to whoever has the fewest.
#[test]
fn a_crash_takes_workers_until_the_process_is_back() {
    // 33.3/s too many for 60 s, of which 15 s are after the end of the fault; then 66.7/s done of 50/s, or 133.3/s of 100/s.
    for (balance, too_few) in [("round_robin", 50.0 / 3.0), ("least_outstanding", 100.0 / 3.0)] {
        let service =
            format!("balance: {balance}, instances: 2, workers: 2, queue: 100k, service_time: 30ms, startup: 15s");
        let found = struck("{ constant: 100/s }", &service, "for: 45s, target: services.s.instances.1, effect: crash");
        only(&found, [2000.0, 2000.0 / too_few + 15.0, 0.0], 0.002);
    }
}

/// All that comes meanwhile waits, or finds no room, whether workers are free or not: nobody is there to take it.
#[test]
fn a_pause_keeps_all_that_comes() {
    let service = "instances: 2, workers: 2, queue: 100k, service_time: 30ms";
    let found = struck("{ constant: 100/s }", service, "for: 1m, target: services.s, effect: pause");
    only(&found, [6000.0, 6000.0 / (4.0 / 0.03 - 100.0), 0.0], 1e-3);
    near("to the event", Some(found.outages[0].backlog), 6000.0, 1e-6);
    let service = "workers: 200, queue: 100k, service_time: 100ms";
    let found = struck("{ constant: 10/s }", service, "for: 10s, target: services.s, effect: pause");
    only(&found, [100.0, 0.0, 0.0], 1e-6);
    let service = "workers: 200, queue: 0, service_time: 100ms";
    let found = struck("{ constant: 10/s }", service, "for: 10s, target: services.s, effect: pause");
    only(&found, [0.0, 0.0, 1.0], 1e-6);
}

/// A caller with 30 workers has no more than 30 requests there: ten at work, and what else comes waits at the caller.
#[test]
fn no_more_wait_than_the_callers_have_workers() {
    let found = estimate(&plan_of(
        "name: callers\nduration: 1h\nservices:\n\
        \x20 front: { profile: ideal, arrivals: { constant: 80/s }, workers: 30, queue: 100k, handler: [ { call: back } ] }\n\
        \x20 back: { profile: ideal, workers: 10, queue: 1k, service_time: 100ms }\n\
         faults: [ { at: 10m, for: 30s, target: services.back, effect: { slow: 4x } } ]\n",
    ));
    // 25/s done of 80/s: (80 - 25) * 30 = 1650 too many, worked off at 20/s, until none is left that waits here.
    let outage = found.outages.iter().find(|outage| outage.at == At::Service(0)).expect("it shows at `back`");
    near("backlog", Some(outage.backlog), 20.0, 1e-6);
    near("drained", outage.drained, 1650.0 / 20.0, 0.005);
    assert_eq!(outage.refused, Some(0.0));
}

/// Another fault that begins while it stands still gives nobody a worker.
#[test]
fn who_stands_still_takes_nobody_whatever_else_begins() {
    let service = "workers: 200, queue: 100k, service_time: 100ms";
    let both =
        "for: 20s, target: services.s, effect: pause }, { at: 605s, for: 5s, target: services.s, effect: { slow: 2x }";
    let found = struck("{ constant: 10/s }", service, both);
    near("backlog", Some(found.outages[0].backlog), 200.0, 1e-6);
}

/// A process that ends while it stands still is back at work when it is back.
#[test]
fn a_crash_ends_a_pause() {
    let service = "workers: 1, queue: 100k, service_time: 10ms";
    let crash = "for: 5m, target: services.s, effect: pause }, { at: 11m, for: 1m, target: services.s, effect: crash";
    let found = struck("{ constant: 50/s }", service, crash);
    // What came in the first minute is gone with the process, and what comes in the second is refused.
    let [pause, crash] = &found.outages[..] else { panic!("{:?}", found.outages) };
    near("paused", Some(pause.backlog), 50.0 * 60.0, 1e-3);
    near("down", crash.refused, 1.0, 1e-3);
    assert!(pause.drained.is_some_and(|drained| drained < 1.0), "{pause:?}");
}

/// Only its own work takes longer: 5 ms of 100, of ten workers at 50/s. With 50 ms of its own each is held 250 ms.
#[test]
fn what_is_waited_for_is_no_slower() {
    let waits = |own: u32| {
        let steps = format!("[ {{ work: {own}ms }}, {{ wait: {}ms }} ]", 100 - own);
        let service = format!("workers: 10, queue: 100k, handler: {steps}");
        struck("{ constant: 50/s }", &service, "for: 5m, target: services.s, effect: { slow: 4x }")
    };
    assert!(waits(5).outages.is_empty(), "{:?}", waits(5).outages);
    only(&waits(50), [10.0 * 300.0, 10.0 * 300.0 / 50.0, 0.0], 0.002);
}

/// Twice as many as can be done, and then half.
#[test]
fn a_burst_is_overload_for_a_while() {
    let service = "workers: 1, queue: 100k, service_time: 10ms";
    let found = struck("{ poisson: 50/s }", service, "for: 5m, target: services.s, effect: { burst: 4x }");
    only(&found, [100.0 * 300.0, 600.0, 0.0], 0.001);
    let mild = struck("{ poisson: 50/s }", service, "for: 5m, target: services.s, effect: { burst: 1.5x }");
    assert!(mild.outages.is_empty(), "still below its capacity: nothing piles up");
}

/// Who takes turns keeps sending half of all to the one that has become slow; who looks for the fewest does not.
#[test]
fn turns_are_taken_at_the_slow_one_too() {
    let service =
        |balance: &str| format!("balance: {balance}, instances: 2, workers: 1, queue: 100k, service_time: 10ms");
    let fault = "for: 1m, target: services.s.instances.0, effect: { slow: 4x }";
    let turns = struck("{ constant: 100/s }", &service("round_robin"), fault);
    only(&turns, [25.0 * 60.0, 25.0 * 60.0 / 50.0, 0.0], 0.002);
    let fewest = struck("{ constant: 100/s }", &service("least_outstanding"), fault);
    assert!(fewest.outages.is_empty(), "{:?}", fewest.outages);
}

/// Asked for 120 % all the time: what waits at the end of an hour, and on average.
#[test]
fn a_service_that_never_keeps_up_has_a_backlog() {
    let yaml = "name: over\nduration: 1h\n\
                services: { s: { profile: ideal, arrivals: { constant: 60/s }, workers: 1, queue: 10M, service_time: 20ms } }\n";
    let found = estimate(&plan_of(yaml));
    let backlog = found.services[0].backlog.expect("overload is followed");
    near("end", Some(backlog.end), 10.0 * 3600.0, 0.001);
    near("wait", found.services[0].wait, 0.5 * 3600.0 * 10.0 / 60.0, 0.001);
}
