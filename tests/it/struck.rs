//! Faults of services and of the ways to them, through the whole tool: what users met while they lasted.

use edasim::experiment::Request;
use edasim::summary::{Summary, Verdict};

use crate::support::{experiment, plan};

/// Ten users a second for five minutes, whose requests are calls; a fault in the third minute.
fn shop(fault: &str, expect: &str) -> Summary {
    let plan = plan(&format!(
        "name: struck\n\
         duration: 5m\n\
         services:\n\
        \x20 web:\n\
        \x20   profile: ideal\n\
        \x20   arrivals: {{ constant: 10/s }}\n\
        \x20   handler: [ {{ call: {{ to: pay, timeout: 1s }} }} ]\n\
        \x20 pay: {{ profile: ideal, instances: 2, handler: [ {{ hold: {{ of: db, do: [ {{ work: 100ms }} ] }} }} ] }}\n\
        \x20 other: {{ profile: ideal, arrivals: {{ constant: 1/s }}, service_time: 1ms }}\n\
         resources: {{ db: {{ capacity: 50 }} }}\n\
         faults: [ {{ name: it, at: 2m, for: 1m, {fault} }} ]\n\
         expect: [ {expect} ]\n"
    ));
    experiment(&plan, &Request { replications: 2, ..Request::default() }).summary
}

/// Of the users who came while it lasted: how many, the share that was answered, and their largest response.
fn met(summary: &Summary) -> (f64, f64, Option<f64>) {
    let of = |service: &str, path: &[&str]| {
        path.iter().fold(&summary.metrics["faults"][0]["services"][service], |node, key| &node[*key]).as_f64()
    };
    assert_eq!(of("other", &["users", "arrived"]), None, "it is out of reach");
    let arrived = of("web", &["users", "arrived"]).expect("users came") / 2.0;
    (arrived, of("web", &["availability"]).expect("they were told"), of("web", &["response", "max"]))
}

#[test]
fn users_meet_what_strikes_the_services_behind() {
    let near = |found: f64, exact: f64| (found - exact).abs() < 0.01 * exact.max(1.0);
    for (fault, answered, slowest) in [
        ("target: services.pay, effect: black_hole", 0.0, None),
        ("target: services.pay.instances.1, effect: black_hole", 0.5, Some(0.1)),
        ("target: links.web.pay, effect: partition", 0.0, None),
        ("target: links.pay.web, effect: { delay: 200ms }", 1.0, Some(0.5)),
        ("target: links.web.pay, effect: { duplicate: 50% }", 1.0, Some(0.1)),
        ("target: resources.db, effect: { slow: 4x }", 1.0, Some(0.4)),
        ("target: services.pay, effect: { cold_start: 5x }", 1.0, Some(0.5)),
    ] {
        let (arrived, share, most) = met(&shop(fault, ""));
        assert!(near(arrived, 600.0) && near(share, answered), "{fault}: {arrived} came, {share} answered");
        assert_eq!(most.is_some(), slowest.is_some(), "{fault}");
        let fits = most.zip(slowest).is_none_or(|(most, exact)| (most / exact - 1.0).abs() < 0.02);
        assert!(fits, "{fault}: {most:?} instead of {slowest:?}");
    }
}

/// A grant in five seconds is enough for a twentieth of a second's users: all others time out.
#[test]
fn a_quota_turns_most_away() {
    let (_, share, _) = met(&shop("target: resources.db, effect: { quota: 0.2/s }", ""));
    assert!(share < 0.03, "{share}");
}

#[test]
fn claims_about_an_interval_are_about_it() {
    let summary = shop(
        "target: services.pay, effect: black_hole",
        "web.availability > 99% during 0s..2m, web.availability < 1% during 2m..3m, web.availability > 99% during 3m..5m, \
         web.availability > 99% during 2m..3m, \
         web.response.p99 < 110ms during 3m..4m, web.response.p99 > 110ms during 3m..4m, web.response.count > 590 during 1m..2m, \
         pay.throughput > 9.9/s during 3m..4m, pay.throughput < 0.1/s during 2m1s..3m, web.goodput < 0.1/s during 2m2s..3m",
    );
    let verdicts: Vec<Verdict> = summary.expectations.iter().map(|judged| judged.verdict).collect();
    let (yes, no) = (Verdict::Holds, Verdict::Fails);
    assert_eq!(verdicts, [yes, yes, yes, no, yes, no, yes, yes, yes, yes], "{:#?}", summary.expectations);
}
