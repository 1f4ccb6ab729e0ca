//! Estimates beside results: where a formula is exact they agree within the interval and nothing is remarked; where they part a
//! remark says why.

use edasim::experiment::Request;
use edasim::plan::Plan;
use edasim::summary::{Beside, Figure};

use crate::support::{experiment, plan};

/// What formulas say of a plan beside so many runs of it.
fn besides(plan: &Plan, replications: u32) -> Vec<Beside> {
    experiment(plan, &Request { replications, ..Request::default() }).summary.estimates
}

fn of<'a>(all: &'a [Beside], name: &str) -> &'a Beside {
    all.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("no estimate of {name}"))
}

fn figure<'a>(it: &'a Beside, key: &str) -> &'a Figure {
    it.figure(key).unwrap_or_else(|| panic!("no {key} of {}", it.name))
}

fn pair(it: &Beside, key: &str) -> (f64, f64) {
    let figure = figure(it, key);
    (figure.estimate.expect("an estimate"), figure.simulated.expect("a simulated value"))
}

/// The estimate is off by so many half intervals at most.
fn inside(it: &Beside, key: &str) {
    let (estimate, simulated) = pair(it, key);
    let (low, high) = figure(it, key).interval.expect("an interval");
    // A 95 % interval of twelve runs, made one of 99.9 %.
    let half = 0.5 * (high - low) * 4.44 / 2.2;
    // Histograms round percentiles up by a five-hundredth.
    let rounding = if key.contains(".p") { simulated / 500.0 } else { 0.0 };
    assert!(
        (estimate - simulated).abs() <= half + rounding,
        "{} {key}: {estimate} by {}, {simulated} +- {half} simulated",
        it.name,
        it.formula
    );
    // A wait far shorter than a service is measured against both together.
    let whole = ["latency.mean", "response.mean"].iter().find_map(|key| it.figure(key)?.simulated).unwrap_or(simulated);
    let (scale, share) = match key {
        "wait" => (whole, 0.1),
        key if key.ends_with("p99") => (simulated, 0.25),
        _ => (simulated, 0.1),
    };
    assert!(half < share * scale, "{} {key}: an interval that wide shows nothing", it.name);
}

fn remark(it: &Beside) -> &str {
    it.remark.as_deref().unwrap_or_else(|| panic!("{} parts and nothing is said: {it:#?}", it.name))
}

#[test]
fn exact_formulas_lie_inside_the_interval() {
    let plan = plan(
        "name: exact\nduration: 3h\nwarm_up: 2m\n\
         buses: { main: { profile: ideal, topics: { one: , skewed: { partitions: 4 } }, queues: { shared: , even: } } }\n\
         producers:\n\
        \x20 a: { publishes: one, arrivals: { poisson: 7/s } }\n\
        \x20 b: { publishes: skewed, arrivals: { poisson: 14/s }, key: { weighted: { w: 50%, x: 25%, y: 12.5%, z: 12.5% } } }\n\
        \x20 c: { publishes: shared, arrivals: { poisson: 28/s } }\n\
         consumers:\n\
        \x20 mm1: { subscribes: one, service_time: { exponential: 100ms } }\n\
        \x20 md1: { subscribes: one, service_time: 100ms }\n\
        \x20 mg1: { subscribes: one, service_time: { gamma: { mean: 100ms, cv: 2 } } }\n\
        \x20 retried: { subscribes: one, service_time: { exponential: 50ms }, failure: 50%, retry: { attempts: 50, backoff: 0s } }\n\
        \x20 mm3: { subscribes: one, workers: 3, service_time: { exponential: 350ms } }\n\
        \x20 hot: { subscribes: skewed, members: 4, service_time: { exponential: 100ms } }\n\
        \x20 mm4: { subscribes: shared, members: 4, service_time: { exponential: 100ms }, publishes: even }\n\
        \x20 next: { subscribes: even, members: 2, workers: 2, service_time: { exponential: 110ms } }\n\
         services:\n\
        \x20 desk: { profile: ideal, arrivals: { poisson: 7/s }, workers: 10, queue: 10k, service_time: { exponential: 1s } }\n",
    );
    let all = besides(&plan, 12);
    for (name, formula, tail) in [
        ("mm1", "M/M/1", true),
        ("md1", "M/D/1", false),
        ("mg1", "M/G/1", false),
        ("retried", "M/G/1", false),
        ("mm3", "M/M/3", true),
        ("hot", "4 x M/M/1", true),
        ("mm4", "M/M/4", true),
        ("next", "M/M/4", true),
        ("desk", "M/M/10/10010", true),
    ] {
        let it = of(&all, name);
        assert_eq!((it.formula.as_str(), it.accuracy), (formula, "exact"), "{name}");
        let time = if it.section == "services" { "response" } else { "latency" };
        inside(it, "wait");
        inside(it, "offered_load");
        inside(it, &format!("{time}.mean"));
        if tail {
            inside(it, &format!("{time}.p50"));
            inside(it, &format!("{time}.p99"));
        }
        assert_eq!(it.remark, None, "{name} agrees");
    }
}

/// Real buses: client batches, polls, credit. The formulas are good, and nothing is said.
#[test]
fn nothing_is_said_where_estimates_are_good() {
    let plan = plan(
        "name: good\nduration: 20m\nwarm_up: 1m\n\
         buses:\n\
        \x20 log: { profile: kafka, topics: { orders: { partitions: 12 } } }\n\
        \x20 mail: { profile: rabbitmq-classic, queues: { letters: } }\n\
         producers:\n\
        \x20 shop: { publishes: orders, instances: 2, arrivals: { poisson: 300/s }, key: { uniform: 20k } }\n\
        \x20 post: { publishes: letters, arrivals: { poisson: 60/s } }\n\
         consumers:\n\
        \x20 billing: { subscribes: orders, members: 6, service_time: { gamma: { mean: 14ms, cv: 0.5 } } }\n\
        \x20 email: { subscribes: orders, members: 3, workers: 16, order: key, service_time: { exponential: 130ms } }\n\
        \x20 index: { subscribes: orders, members: 2, batch: { max: 200, max_wait: 500ms }, service_time: 30ms }\n\
        \x20 nightly: { subscribes: orders, schedule: { every: 1m }, service_time: 1ms }\n\
        \x20 printer: { subscribes: letters, members: 4, settings: { prefetch: 1 }, service_time: { exponential: 50ms } }\n",
    );
    for it in besides(&plan, 4) {
        assert!(it.accuracy != "exact" && it.is_simulated(), "{it:?}");
        assert_eq!(it.remark, None, "{it:#?}");
        let (estimate, simulated) = pair(&it, "latency.mean");
        assert!((estimate / simulated - 1.0).abs() < 0.15, "{}: {estimate} {simulated}", it.name);
    }
}

#[test]
fn a_fault_is_named_with_what_the_fluid_says_of_it() {
    let plan = plan(
        "name: outage\nduration: 30m\n\
         buses: { main: { profile: kafka, topics: { orders: { partitions: 6 } } } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 100/s }, key: { uniform: 20k } } }\n\
         consumers:\n\
        \x20 email: { subscribes: orders, members: 3, workers: 4, order: key, service_time: { exponential: 60ms } }\n\
        \x20 audit: { subscribes: orders, members: 3, service_time: { exponential: 5ms } }\n\
         faults: [ { name: provider, at: 10m, for: 3m, target: consumers.email, effect: { slow: 10x } } ]\n",
    );
    let all = besides(&plan, 4);
    let email = of(&all, "email");
    assert!(remark(email).contains("the fault `provider`, which by the fluid adds"), "{}", remark(email));
    assert_eq!(of(&all, "audit").remark, None, "who does not notice has nothing to explain");
    // 80/s too much for 180 s; then 200/s done of 100/s that come.
    let outage = of(&all, "provider");
    for (key, exact) in [("backlog", 80.0 * 180.0), ("drain_time", 144.0)] {
        let (estimate, simulated) = pair(outage, key);
        assert!((estimate / exact - 1.0).abs() < 0.02, "{key}: {estimate}, by hand {exact}");
        assert!((simulated / estimate - 1.0).abs() < 0.2, "{key}: {simulated} simulated, {estimate} by the fluid");
    }
    assert_eq!(outage.remark, None);
}

/// A roll-out of four of eight members at a time leaves four for two starts of 20 s: 280/s come and 200/s are done; then 400/s.
/// (The fault, which takes a thousandth, has the fluid look at that time.)
#[test]
fn what_a_roll_out_takes_is_in_the_fluid() {
    let plan = plan(
        "name: rolled\nduration: 15m\n\
         buses: { main: { profile: kafka, topics: { orders: { partitions: 48 } } } }\n\
         producers: { shop: { publishes: orders, arrivals: { constant: 280/s }, key: { uniform: 100k } } }\n\
         consumers:\n\
        \x20 worker: { subscribes: orders, members: 8, startup: 20s, service_time: 20ms, settings: { group.protocol: consumer } }\n\
         changes: [ { at: 5m, target: consumers.worker, action: { deploy: { max_unavailable: 4 } } } ]\n\
         faults: [ { name: seen, at: 5m, for: 40s, target: consumers.worker, effect: { slow: 1.001x } } ]\n",
    );
    let all = besides(&plan, 2);
    let outage = of(&all, "seen");
    for (key, exact) in [("backlog", 80.0 * 40.0), ("drain_time", 80.0 * 40.0 / 120.0)] {
        let (estimate, simulated) = pair(outage, key);
        assert!((estimate / exact - 1.0).abs() < 0.03, "{key}: {estimate}, by hand {exact}");
        // What moves stands still for up to two heartbeats of 5 s, twice.
        assert!(simulated > 0.9 * exact && simulated < exact + 280.0 * 20.0, "{key}: {simulated}");
    }
}

/// As of consumers, so of services: what waits, how long it takes to answer it, and how many find no room.
#[test]
fn what_a_fault_leaves_at_a_service_is_what_the_fluid_says() {
    let plan = plan(
        "name: outage\nduration: 30m\n\
         services:\n\
        \x20 web: { profile: ideal, arrivals: { poisson: 100/s }, workers: 6, queue: 20k, service_time: { exponential: 40ms } }\n\
        \x20 api: { profile: ideal, arrivals: { poisson: 100/s }, workers: 6, queue: 2k, service_time: { exponential: 40ms } }\n\
         faults:\n\
        \x20 - { name: slow, at: 10m, for: 3m, target: services.web, effect: { slow: 4x } }\n\
        \x20 - { name: stop, at: 10m, for: 1m, target: services.api, effect: pause }\n",
    );
    let all = besides(&plan, 4);
    // 62.5/s too many for 180 s, then 50/s too few. 2,000 wait after 20 s, and 40 s of the arrivals find no room.
    // Each with its standard deviation: as many come and go as are counted, 100 + 37.5 a second while it is slow, and 100 + 150
    // while what waits is worked off. Of `stop`, 6,000 +- 77 come in its minute, and 4,000 of the 10,000 until it is over find no room.
    let slow = [
        (62.5 * 180.0, (137.5 * 180.0_f64).sqrt()),
        (225.0, (137.5 * 180.0 + 250.0 * 225.0_f64).sqrt() / 50.0),
        (0.0, 0.0),
    ];
    let stop = [(2000.0, 0.0), (40.0, (250.0 * 40.0_f64).sqrt() / 50.0), (0.4, 77.0 / 10_000.0)];
    for (fault, wanted) in [("slow", slow), ("stop", stop)] {
        let it = of(&all, fault);
        for (key, (exact, spread)) in ["backlog", "drain_time", "refused"].into_iter().zip(wanted) {
            let (estimate, simulated) = pair(it, key);
            assert!((estimate - exact).abs() <= 0.02 * exact, "{fault} {key}: {estimate}, by hand {exact}");
            // The largest of four runs.
            assert!((simulated - exact).abs() <= 4.0 * spread, "{fault} {key}: {simulated} simulated, by hand {exact}");
        }
        assert_eq!(it.remark, None);
    }
}

#[test]
fn overload_has_no_formula_and_is_told() {
    let plan = plan(
        "name: overload\nduration: 10m\n\
         buses: { main: { profile: ideal, topics: { sales: { partitions: 4 } } } }\n\
         producers: { tills: { publishes: sales, arrivals: { poisson: 40/s }, key: { weighted: { hot: 40%, b: 20%, c: 20%, d: 20% } } } }\n\
         consumers: { billing: { subscribes: sales, members: 4, service_time: { exponential: 80ms } } }\n",
    );
    let all = besides(&plan, 4);
    let billing = of(&all, "billing");
    assert_eq!(figure(billing, "wait").estimate, None);
    assert!(remark(billing).starts_with("No steady state, and no formula: its busiest queue is asked for 128%"));
    // 16/s for the one that does 12.5/s.
    let (estimate, simulated) = pair(billing, "lag.end");
    assert!((estimate - 3.5 * 600.0).abs() < 1.0 && (simulated / estimate - 1.0).abs() < 0.1, "{estimate} {simulated}");
}

#[test]
fn a_service_that_never_keeps_up_is_told_with_what_its_fluid_leaves() {
    let plan = plan(
        "name: overload\nduration: 10m\n\
         services: { shop: { profile: ideal, arrivals: { poisson: 60/s }, workers: 1, queue: 1M, service_time: { exponential: 20ms } } }\n",
    );
    let all = besides(&plan, 3);
    let shop = of(&all, "shop");
    let told = "it is asked for 120% of what it can do, and its queue has more room than a run fills";
    // 10/s too many for 600 s.
    assert!(remark(shop).contains(told) && remark(shop).contains("6000 at the end"), "{}", remark(shop));
    let (estimate, simulated) = pair(shop, "wait");
    // What waits at t has a variance of (60 + 50) t, and its integral over 600 s one of 110 x 600^3 / 3, which is spread over 36,000
    // requests, and is the mean of three runs.
    let spread = (110.0 * 600.0_f64.powi(3) / 3.0 / 3.0).sqrt() / 36_000.0;
    assert!((estimate - 50.0).abs() < 0.5 && (simulated - estimate).abs() < 4.0 * spread, "{estimate} {simulated}");
}

#[test]
fn a_storm_of_retries_is_told_from_a_load() {
    let plan = plan(
        "name: storm\nduration: 10m\nwarm_up: 5m\n\
         services:\n\
        \x20 shop: { arrivals: { poisson: 30/s }, workers: 5k, queue: 5k, handler: [ { call: { to: pricing, timeout: 1s, retry: { attempts: 4, backoff: 0s } } } ] }\n\
        \x20 pricing: { profile: ideal, workers: 5, queue: 1k, service_time: { exponential: 100ms } }\n\
         faults: [ { name: spell, at: 1m, for: 1m, target: services.pricing, effect: { slow: 4x } } ]\n",
    );
    let all = besides(&plan, 3);
    let pricing = remark(of(&all, "pricing"));
    assert!(pricing.starts_with("Requests ") && pricing.contains("by formula 30"), "{pricing}");
    assert!(pricing.contains("of the requests to it are attempts after the first"), "{pricing}");
    assert!(pricing.contains("the fault `spell`, and what it set off"), "{pricing}");
}

/// What the formula does not know of, and the plan has, is what explains a difference that no event of the run does.
#[test]
fn what_the_formula_leaves_out_is_named() {
    let plan = plan(
        "name: doubts\nduration: 20m\nwarm_up: 1m\n\
         buses: { main: { profile: rabbitmq-classic, queues: { work: } } }\n\
         producers: { p: { publishes: work, arrivals: { poisson: 136/s } } }\n\
         consumers: { c: { subscribes: work, members: 2, workers: 8, settings: { prefetch: 20 }, service_time: { lognormal: { mean: 100ms, cv: 2 } } } }\n",
    );
    let all = besides(&plan, 6);
    let found = remark(of(&all, "c"));
    assert!(found.contains("The formula leaves out that what was pushed to a busy member waits there"), "{found}");
}

#[test]
fn a_run_that_is_too_short_is_told() {
    let scenario = |duration: &str| {
        plan(&format!(
            "name: short\nduration: {duration}\n\
             buses: {{ main: {{ profile: ideal, topics: {{ work: }} }} }}\n\
             producers: {{ p: {{ publishes: work, arrivals: {{ poisson: 9.7/s }} }} }}\n\
             consumers: {{ c: {{ subscribes: work, service_time: {{ exponential: 100ms }} }} }}\n"
        ))
    };
    let all = besides(&scenario("1m"), 40);
    let found = remark(of(&all, "c"));
    // Relaxation of M/M/1: 0.1 s / (1 - sqrt 0.97)².
    assert!(found.contains("a queue that begins empty, and needs about 7m 1"), "{found}");
    assert_eq!(of(&besides(&scenario("10h"), 10), "c").remark, None);
}

/// The section of the document: what is known before a run is known after it, and the same.
#[test]
fn estimates_do_not_depend_on_the_run() {
    let plan = plan(
        "name: same\nduration: 1m\n\
         buses: { main: { profile: kafka, topics: { work: { partitions: 3 } } } }\n\
         producers: { p: { publishes: work, arrivals: { poisson: 50/s }, key: { uniform: 1k } } }\n\
         consumers: { c: { subscribes: work, members: 2, service_time: { exponential: 10ms } } }\n\
         services: { s: { arrivals: { poisson: 5/s }, service_time: 20ms } }\n",
    );
    let before = edasim::experiment::estimates(&plan);
    let after = besides(&plan, 2);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.name, &before.formula, before.accuracy), (&after.name, &after.formula, after.accuracy));
        let estimates = |it: &Beside| it.figures.iter().map(|figure| (figure.key, figure.estimate)).collect::<Vec<_>>();
        assert_eq!(estimates(before), estimates(after));
        assert!(!before.is_simulated() && after.is_simulated() && before.remark.is_none());
    }
}

/// Who holds one thing asks for the other, and the other way round: there is no formula, and it is said why.
#[test]
fn locks_in_a_circle_have_no_formula() {
    for (first, second) in [("x", "y"), ("x", "x")] {
        let plan = plan(&format!(
            "duration: 1m\n\
             resources: {{ x: {{ capacity: 2 }}, y: {{ capacity: 2 }} }}\n\
             services:\n\
            \x20 a: {{ arrivals: {{ poisson: 1/s }}, handler: [ {{ hold: {{ of: {first}, do: [ {{ hold: {second} }}, {{ work: 1ms }} ] }} }} ] }}\n\
            \x20 b: {{ arrivals: {{ poisson: 1/s }}, handler: [ {{ hold: {{ of: {second}, do: [ {{ hold: {first} }}, {{ work: 1ms }} ] }} }} ] }}\n"
        ));
        let all = besides(&plan, 1);
        let said = format!("{:?}", of(&all, "a"));
        assert!(said.contains("may wait for it"), "{said}");
    }
}
