//! Estimates of whole plans, loaded as a user's file is, against closed forms.

use std::path::Path;

use super::flows::{Flows, Publisher};
use super::rates::Grid;
use super::*;
use crate::scenario::{Overrides, load_text};

/// The plan of a scenario.
pub(super) fn plan_of(yaml: &str) -> Plan {
    match load_text("test.yaml", yaml, Path::new(""), &Overrides::default()) {
        Ok(loaded) => loaded.plan,
        Err(wrong) => panic!("{}\n{yaml}", wrong.render(false, 120)),
    }
}

fn close(what: &str, found: Option<f64>, exact: f64) {
    let found = found.unwrap_or(f64::NAN);
    assert!((found - exact).abs() <= 2e-8 * exact.abs().max(1e-6), "{what}: {found}, exact {exact}");
}

pub(super) fn near(what: &str, found: Option<f64>, exact: f64, within: f64) {
    let found = found.unwrap_or(f64::NAN);
    assert!((found - exact).abs() <= within * exact.abs(), "{what}: {found}, about {exact}");
}

fn consumer<'a>(found: &'a Estimates, name: &str) -> &'a Consumer {
    found.consumers.iter().find(|consumer| consumer.name == name).expect("estimated")
}

fn service<'a>(found: &'a Estimates, name: &str) -> &'a Service {
    found.services.iter().find(|service| service.name == name).expect("estimated")
}

/// One consumer on the profile `ideal`; keys of a map for the topic, the producer and the consumer.
fn station(topic: &str, producer: &str, consumer: &str, rest: &str) -> Plan {
    plan_of(&format!(
        "name: station\nduration: 1h\n\
         buses: {{ main: {{ profile: ideal, {topic} }} }}\n\
         producers: {{ source: {{ publishes: work, {producer} }} }}\n\
         consumers: {{ station: {{ subscribes: work, {consumer} }} }}\n{rest}"
    ))
}

#[test]
fn classic_queues_are_exact() {
    for (topic, consumer, rate, formula, mean) in [
        ("topics: { work: }", "service_time: { exponential: 1s }", 0.8, "M/M/1", 5.0),
        ("topics: { work: }", "service_time: 1s", 0.9, "M/D/1", 5.5),
        ("topics: { work: }", "service_time: { erlang: { shape: 4, mean: 1s } }", 0.8, "M/G/1", 3.5),
        ("topics: { work: }", "workers: 4, service_time: { exponential: 1s }", 3.2, "M/M/4", 1.745_540_59),
        ("queues: { work: }", "members: 8, service_time: { exponential: 1s }", 7.2, "M/M/8", 1.876_916_24),
        (
            "queues: { work: }",
            "members: 4, workers: 4, service_time: { exponential: 1s }",
            15.2,
            "M/M/16",
            1.975_240_58,
        ),
    ] {
        let plan = station(topic, &format!("arrivals: {{ poisson: {rate}/s }}"), consumer, "");
        let found = estimate(&plan);
        let station = &found.consumers[0];
        assert_eq!((station.formula.as_str(), station.accuracy), (formula, Accuracy::Exact), "{consumer}");
        close(formula, station.latency, mean);
        close("service", station.service.map(|service| service.mean), 1.0);
        assert!(station.doubts.is_empty() && station.backlog.is_none(), "{station:?}");
    }
}

#[test]
fn percentiles_of_exponential_service_are_exact() {
    let plan = station("topics: { work: }", "arrivals: { poisson: 0.8/s }", "service_time: { exponential: 1s }", "");
    let found = estimate(&plan);
    close("p50", found.consumers[0].p50, 5.0 * std::f64::consts::LN_2);
    close("p99", found.consumers[0].p99, 5.0 * crate::math::ln(100.0));
}

/// Four partitions that are not alike, total rate 1.6: mean time in the system.
#[test]
fn skewed_partitions_are_queues_of_their_own() {
    for (shares, mean, busiest) in [
        ("a: 50%, b: 25%, c: 12.5%, d: 12.5%", 3.229_166_67, 0.8),
        ("a: 40%, b: 30%, c: 20%, d: 10%", 2.101_199_45, 0.64),
        ("a: 25%, b: 25%, c: 25%, d: 25%", 1.666_666_67, 0.4),
    ] {
        let producer = format!("arrivals: {{ poisson: 1.6/s }}, key: {{ weighted: {{ {shares} }} }}");
        let consumer = "members: 4, service_time: { exponential: 1s }";
        let found = estimate(&station("topics: { work: { partitions: 4 } }", &producer, consumer, ""));
        let station = &found.consumers[0];
        close(shares, station.latency, mean);
        close("busiest", station.busiest, busiest);
        close("load", station.load, 0.4);
        assert_eq!((station.formula.as_str(), station.accuracy), ("4 x M/M/1", Accuracy::Exact));
    }
    let producer = "arrivals: { poisson: 2.4/s }, key: { weighted: { a: 50%, b: 25%, c: 12.5%, d: 12.5% } }";
    let consumer = "members: 4, service_time: { exponential: 1s }";
    let found = estimate(&station("topics: { work: { partitions: 4 } }", producer, consumer, ""));
    let station = &found.consumers[0];
    assert_eq!((station.wait, station.latency, station.p99), (None, None, None), "one partition is overloaded");
    // 1.2 come and 1 is done each second.
    near("lag at the end", station.backlog.map(|backlog| backlog.end), 0.2 * 3600.0, 1e-6);
}

/// Without keys `ideal` deals events to partitions in turn: each gets every n-th, which are Erlang gaps.
#[test]
fn events_that_are_dealt_in_turn_wait_less() {
    let (topic, consumer) = ("topics: { work: { partitions: 4 } }", "members: 4, service_time: { exponential: 1s }");
    let dealt = estimate(&station(topic, "arrivals: { poisson: 3.2/s }", consumer, ""));
    let by_key = estimate(&station(topic, "arrivals: { poisson: 3.2/s }, key: { uniform: 30k }", consumer, ""));
    let (dealt, by_key) = (&dealt.consumers[0], &by_key.consumers[0]);
    // E4/M/1 at load 0.8: the root of sigma = (1 + (1 - sigma) / (4 rho))^-4 gives a wait of 2.267 services.
    near("E4/M/1", dealt.wait, 2.267, 0.03);
    near("M/M/1", by_key.wait, 4.0, 0.02);
    assert_eq!((dealt.formula.as_str(), by_key.formula.as_str()), ("4 x G/M/1", "4 x M/M/1"));
}

#[test]
fn a_tandem_is_two_queues() {
    let plan = plan_of(
        "name: tandem\nduration: 1h\n\
         buses: { main: { profile: ideal, topics: { first: , second: } } }\n\
         producers: { source: { publishes: first, arrivals: { poisson: 0.5/s } } }\n\
         consumers:\n\
        \x20 a: { subscribes: first, service_time: { exponential: 1s }, publishes: second }\n\
        \x20 b: { subscribes: second, service_time: { exponential: 1250ms } }\n",
    );
    let found = estimate(&plan);
    close("first", consumer(&found, "a").latency, 2.0);
    close("second", consumer(&found, "b").latency, 1.0 / 0.3);
    assert_eq!(consumer(&found, "b").accuracy, Accuracy::Exact, "what leaves M/M/1 is Poisson (Burke 1956)");
}

/// Rate in, capacity, outage: what waits at its end, and how long it takes to work it off.
#[test]
fn outages_leave_what_came_meanwhile() {
    let plan = station(
        "topics: { work: }",
        "arrivals: { constant: 10/s }",
        "service_time: 40ms",
        "faults: [ { at: 100s, for: 60s, target: consumers.station, effect: crash } ]\n",
    );
    let found = estimate(&plan);
    let outage = &found.outages[0];
    near("backlog", Some(outage.backlog), 600.0, 0.01);
    near("drained", outage.drained, 40.0, 0.01);
    // Summed delay a T² k / (2 (k - a)) over all 36,000 events.
    let delay = 10.0 * 60.0 * 60.0 * 25.0 / (2.0 * 15.0) / 36_000.0;
    close("delay", found.consumers[0].backlog.map(|backlog| backlog.delay), delay);
    assert_eq!(found.consumers[0].formula, "G/D/1");
}

#[test]
fn a_slow_spell_and_a_burst_are_overload_for_a_while() {
    let slow = station(
        "topics: { work: }",
        "arrivals: { poisson: 50/s }",
        "service_time: 10ms",
        "faults: [ { at: 10m, for: 5m, target: consumers.station, effect: { slow: 4x } } ]\n",
    );
    // 25/s done of 50/s for 300 s; then 100/s.
    let found = estimate(&slow);
    near("backlog", Some(found.outages[0].backlog), 7500.0, 0.01);
    near("drained", found.outages[0].drained, 150.0, 0.01);
    let burst = station(
        "topics: { work: }",
        "arrivals: { poisson: 50/s }",
        "service_time: 10ms",
        "faults: [ { at: 10m, for: 5m, target: producers.source, effect: { burst: 3x } } ]\n",
    );
    let found = estimate(&burst);
    near("backlog", Some(found.outages[0].backlog), 50.0 * 300.0, 0.02);
    near("drained", found.outages[0].drained, 300.0, 0.02);
    near("peak load", found.consumers[0].peak_load, 1.5, 1e-6);
    assert!(found.consumers[0].backlog.is_some_and(|backlog| backlog.overload));
    let mild = station(
        "topics: { work: }",
        "arrivals: { poisson: 50/s }",
        "service_time: 10ms",
        "faults: [ { at: 10m, for: 5m, target: consumers.station, effect: { slow: 1.5x } } ]\n",
    );
    assert!(estimate(&mild).outages.is_empty(), "still below its capacity: nothing piles up");
}

/// One of two members dies: its partition waits until the session runs out, and all for the barrier.
#[test]
fn a_dead_member_is_missed_after_its_session() {
    let plan = plan_of(
        "name: crash\nduration: 20m\n\
         buses: { main: { profile: kafka, topics: { t: { partitions: 2 } } } }\n\
         producers: { p: { publishes: t, arrivals: { poisson: 100/s }, key: { uniform: 20k } } }\n\
         consumers: { c: { subscribes: t, members: 2, service_time: 2ms } }\n\
         faults: [ { at: 5m, for: 2m, target: consumers.c.members.1, effect: crash } ]\n",
    );
    let found = estimate(&plan);
    // 50/s for 45 s less half a heartbeat, and then until the other has heard of it.
    near("backlog", Some(found.outages[0].backlog), 50.0 * 45.0, 0.05);
    near("drained before the end", found.outages[0].drained, 0.0, 0.0);
}

fn rates(plan: &Plan) -> Vec<(String, Publisher, f64)> {
    let grid = Grid::of(plan);
    let flows = Flows::of(plan, &grid);
    let named = flows.flows.iter();
    named.map(|flow| (plan.topics[flow.topic].name.clone(), flow.publisher, grid.mean(&flow.rates))).collect()
}

#[test]
fn rates_follow_the_graph() {
    let plan = plan_of(
        "name: graph\nduration: 1h\n\
         buses: { main: { profile: ideal, topics: { a: , b: , c: , dead: } } }\n\
         producers:\n\
        \x20 p: { publishes: a, arrivals: { poisson: 100/s }, events_per_arrival: 2, type: { view: 75%, click: 25% }, failure: 10% }\n\
         consumers:\n\
        \x20 clicks: { subscribes: a, types: [ click ], publishes: { to: b, probability: 50%, count: 3 } }\n\
        \x20 all: { subscribes: a, failure: 10%, retry: { attempts: 2 }, dead_letter: dead, handler: [ { choose: [ { weight: 20%, do: [ { publish: c } ] }, { weight: 80%, do: [] } ] } ] }\n\
        \x20 loop: { subscribes: [ b, c ], publishes: { to: c, probability: 50% } }\n\
        \x20 end: { subscribes: dead }\n",
    );
    let found = estimate(&plan);
    let of = |name: &str| Some(consumer(&found, name).rate);
    close("a tenth is never published", of("all"), 180.0);
    close("a quarter are clicks", of("clicks"), 45.0);
    // 67.5 to b; to c a fifth of what succeeds; and half of all again.
    close("a loop adds up", of("loop"), (67.5 + 0.2 * 0.99 * 180.0) / 0.5);
    close("a hundredth fails twice", of("end"), 1.8);
    let runaway = plan_of(
        "name: runaway\nduration: 1h\nbuses: { main: { profile: ideal, topics: { a: } } }\n\
         producers: { p: { publishes: a, arrivals: { poisson: 1/s } } }\n\
         consumers: { echo: { subscribes: a, publishes: a, service_time: 1ms } }\n",
    );
    let found = estimate(&runaway);
    assert!(found.consumers[0].doubts.contains(&Doubt::Runaway), "{:?}", rates(&runaway));
}

#[test]
fn shares_of_the_keys_divide_a_topic() {
    let plan = plan_of(
        "name: shares\nduration: 1h\n\
         buses: { main: { profile: ideal, topics: { a: { partitions: 4 } } } }\n\
         producers: { p: { publishes: a, arrivals: { poisson: 100/s }, key: { uniform: 20k } } }\n\
         consumers: { gold: { subscribes: a, keys: 20% }, others: { subscribes: a, keys: 80% } }\n",
    );
    let found = estimate(&plan);
    near("a fifth", Some(consumer(&found, "gold").rate), 20.0, 0.03);
    close("all", Some(consumer(&found, "gold").rate + consumer(&found, "others").rate), 100.0);
}

#[test]
fn what_is_done_again_is_work() {
    let queue = |consumer: &str| {
        let plan = station("queues: { work: }", "arrivals: { poisson: 10/s }", consumer, "");
        estimate(&plan).consumers.remove(0)
    };
    let blocking = queue("service_time: 10ms, failure: 50%, retry: { attempts: 100, backoff: 20ms, mode: blocking }");
    // Two attempts and one wait on average.
    close("held", blocking.service.map(|service| service.mean), 0.04);
    close("load", blocking.load, 0.4);
    let requeue = queue("service_time: 10ms, failure: 50%, retry: { attempts: 100, backoff: 20ms, mode: requeue }");
    close("held, without the wait", requeue.service.map(|service| service.mean), 0.02);
    assert!(requeue.doubts.contains(&Doubt::Requeue));
}

#[test]
fn batches_wait_for_company_and_schedules_for_their_time() {
    let batched = station(
        "topics: { work: }",
        "arrivals: { poisson: 100/s }",
        "batch: { max: 500, max_wait: 200ms }, service_time: 1ms",
        "",
    );
    let found = estimate(&batched).consumers.remove(0);
    // 20 join the first: (0.2 + 20 x 0.1) / 21.
    near("company", found.wait, 2.2 / 21.0, 0.001);
    near("load", found.load, 100.0 * 0.001 / 21.0, 1e-6);
    let woken =
        station("topics: { work: }", "arrivals: { poisson: 50/s }", "schedule: { every: 5m }, service_time: 4ms", "");
    // Half an interval, and half of the 15,000 events x 4 ms that come in one.
    close("woken", estimate(&woken).consumers[0].wait, 150.0 + 30.0);
}

#[test]
fn one_handler_for_each_key_makes_the_busiest_key_a_queue() {
    let consumer = "workers: 50, order: key, service_time: { exponential: 1s }";
    let one = "arrivals: { poisson: 2/s }, key: { weighted: { hot: 40%, a: 20%, b: 20%, c: 20% } }";
    let found = estimate(&station("topics: { work: }", one, consumer, "")).consumers.remove(0);
    // Four M/M/1 in which nobody waits for a worker: W = sum of share x rate / (1 - rate).
    let wait = 0.4 * 0.8 / 0.2 + 3.0 * 0.2 * 0.4 / 0.6;
    near("keys are queues", found.wait, wait, 1e-6);
    close("busiest", found.busiest, 0.8);
    let more = "arrivals: { poisson: 3/s }, key: { weighted: { hot: 40%, a: 20%, b: 20%, c: 20% } }";
    let found = estimate(&station("topics: { work: }", more, consumer, "")).consumers.remove(0);
    assert_eq!(found.wait, None, "the hot key is asked for 120 %");
}

#[test]
fn rates_that_change_are_taken_moment_by_moment() {
    let curve =
        "arrivals: { curve: { points: [ { at: 0s, rate: 20/s }, { at: 30m, rate: 20/s }, { at: 30m, rate: 80/s } ] } }";
    let found =
        estimate(&station("topics: { work: }", curve, "service_time: { exponential: 10ms }", "")).consumers.remove(0);
    // A fifth of the events at load 0.2, four fifths at 0.8.
    near("pointwise", found.wait, 0.01 * (0.2 * 0.25 + 0.8 * 4.0), 0.01);
    close("mean load", found.load, 0.5);
    near("peak load", found.peak_load, 0.8, 1e-6);
    assert!(found.doubts.iter().any(|doubt| matches!(doubt, Doubt::Course { .. })));
}

#[test]
fn a_client_s_batches_and_the_bus_take_their_time() {
    let plan = plan_of(
        "name: bus\nduration: 1h\n\
         buses: { main: { profile: ideal, latency: { network: 1ms, append: 2ms, replicate: 4ms }, topics: { work: } } }\n\
         producers: { p: { publishes: work, arrivals: { poisson: 10/s } } }\n\
         consumers: { c: { subscribes: work, service_time: 8ms } }\n",
    );
    let found = estimate(&plan).consumers.remove(0);
    // To the bus, append, to the member; replication delays the acknowledgement only.
    let wait = 0.08 * 0.008 / (2.0 * 0.92);
    near("latency", found.latency, 0.001 + 0.002 + 0.001 + wait + 0.008, 0.02);
}

#[test]
fn calls_add_up_and_hold_their_callers() {
    let plan = plan_of(
        "name: calls\nduration: 1h\n\
         services:\n\
        \x20 shop:\n\
        \x20   profile: ideal\n\
        \x20   arrivals: { poisson: 10/s }\n\
        \x20   handler:\n\
        \x20     - work: 5ms\n\
        \x20     - call: stock\n\
        \x20     - parallel: [ { call: tax }, { call: tax } ]\n\
        \x20     - choose: [ { weight: 25%, do: [ { call: gift } ] }, { weight: 75%, do: [] } ]\n\
        \x20 stock: { profile: ideal, workers: 1000, service_time: 20ms, failure: 10% }\n\
        \x20 tax: { profile: ideal, workers: 1000, service_time: { exponential: 10ms } }\n\
        \x20 gift: { profile: ideal, workers: 1, queue: 0, service_time: { exponential: 40ms } }\n",
    );
    let found = estimate(&plan);
    close("all come to stock", Some(service(&found, "stock").rate), 10.0);
    close("a tenth goes no further", Some(service(&found, "tax").rate), 18.0);
    close("a quarter of them", Some(service(&found, "gift").rate), 2.25);
    // The longer of two exponential times is 1.5 times their mean.
    let response = 0.005 + 0.020 + 0.015 + 0.25 * 0.040;
    near("response", service(&found, "shop").response.map(|response| response.mean), response, 0.001);
    let offered = 2.25 * 0.04;
    close("Erlang's loss", service(&found, "gift").refused, offered / (1.0 + offered));
}

#[test]
fn services_are_classic_queues() {
    let one = |service: &str| {
        let plan = plan_of(&format!(
            "name: one\nduration: 1h\nservices: {{ s: {{ profile: ideal, arrivals: {{ poisson: 8/s }}, {service} }} }}\n"
        ));
        estimate(&plan).services.remove(0)
    };
    let mmc = one("workers: 10, queue: 100k, service_time: { exponential: 1s }");
    close("M/M/10", mmc.wait, formulas::mmc(10, 8.0, 1.0).map_or(0.0, |wait| wait.mean));
    assert_eq!((mmc.formula.as_str(), mmc.accuracy), ("M/M/10/100010", Accuracy::Exact));
    let loss = one("workers: 10, queue: 0, service_time: { exponential: 1s }");
    close("table of Erlang B", loss.refused, 0.121_661_064_3);
    let two = one("instances: 2, workers: 5, queue: 100k, service_time: { exponential: 1s }");
    assert_eq!(two.formula, "2 x G/M/5/100005");
    // Every other request: less than M/M/5, more than M/M/10.
    let wait = |servers, rate| formulas::mmc(servers, rate, 1.0).map_or(0.0, |wait| wait.mean);
    assert!(two.wait.is_some_and(|found| found > wait(10, 8.0) && found < wait(5, 4.0)), "{two:?}");
}

#[test]
fn resources_are_waited_for() {
    let plan = plan_of(
        "name: pool\nduration: 1h\n\
         services:\n\
        \x20 s: { profile: ideal, workers: 1k, arrivals: { poisson: 8/s }, handler: [ { hold: { of: db, do: [ { work: { exponential: 1s } } ] } } ] }\n\
         resources: { db: { capacity: 10 } }\n",
    );
    let found = estimate(&plan).services.remove(0);
    let wait = formulas::mmc(10, 8.0, 1.0).map_or(0.0, |wait| wait.mean);
    close("hold", found.response.map(|response| response.mean), 1.0 + wait);
}

#[test]
fn services_in_a_circle_have_no_estimate() {
    let plan = plan_of(
        "name: circle\nduration: 1h\n\
         services:\n\
        \x20 a: { arrivals: { poisson: 1/s }, handler: [ { work: 1ms }, { choose: [ { weight: 50%, do: [ { call: b } ] }, { weight: 50%, do: [] } ] } ] }\n\
        \x20 b: { handler: [ { work: 1ms }, { call: a } ] }\n",
    );
    let found = estimate(&plan);
    close("rates are known all the same", Some(service(&found, "a").rate), 2.0);
    assert!(service(&found, "a").response.is_none() && service(&found, "b").load.is_none());
}

/// Nothing that the loader accepts makes an estimate panic, and no figure is undefined.
#[test]
fn estimates_are_numbers_or_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["scenarios", "tests/scenarios"] {
        for file in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            let Ok(loaded) = crate::scenario::load(&path, &Overrides::default()) else { continue };
            let found = estimate(&loaded.plan);
            let of_consumers = found
                .consumers
                .iter()
                .flat_map(|it| [Some(it.rate), it.load, it.busiest, it.peak_load, it.wait, it.latency, it.p50, it.p99]);
            let of_services =
                found.services.iter().flat_map(|it| [Some(it.rate), it.load, it.wait, it.refused, it.p50, it.p99]);
            let of_outages = found.outages.iter().flat_map(|it| [Some(it.backlog), it.drained]);
            for value in of_consumers.chain(of_services).chain(of_outages).flatten() {
                assert!(value.is_finite() && value >= 0.0, "{}: {found:#?}", path.display());
            }
        }
    }
}

fn services_of(services: &str) -> Estimates {
    estimate(&plan_of(&format!("name: services\nduration: 1h\nservices:\n{services}")))
}

/// Ten requests at a time at one server, load 0.8: the wait of a Poisson process and 4.5 services / 0.2 on top (Gaver 1959).
#[test]
fn users_that_come_in_groups_wait_for_each_other() {
    let found = services_of(
        "  s: { profile: ideal, arrivals: { poisson: 10/s }, events_per_arrival: 10, workers: 1, queue: 100k,\n\
             service_time: { exponential: 8ms } }\n",
    );
    let it = &found.services[0];
    close("wait", it.wait, 0.008 * (0.8 + 4.5) / 0.2);
    assert_eq!((it.formula.as_str(), it.accuracy), ("G/M/1/100001", Accuracy::Good));
}

/// What is called is never exact, and as even as its callers are asked: D/M/1 waits 5.6 ms at load 0.8, M/M/1 32 ms.
#[test]
fn callers_pass_their_arrivals_on() {
    let found = services_of(
        "  front: { profile: ideal, arrivals: { constant: 100/s }, handler: [ { call: back } ] }\n\
         \u{20} back: { profile: ideal, workers: 1, queue: 100k, service_time: { exponential: 8ms } }\n",
    );
    let back = service(&found, "back");
    near("wait", back.wait, 0.013_55, 0.15);
    assert_ne!(back.accuracy, Accuracy::Exact);
    assert!(back.formula.starts_with("G/M/1"), "{}", back.formula);
}

/// Two hundred workers for one erlang: nobody waits, and the answer takes as long as the work.
#[test]
fn the_plainest_service_has_percentiles() {
    let found =
        services_of("  s: { profile: ideal, arrivals: { poisson: 100/s }, service_time: { exponential: 10ms } }\n");
    close("p99", found.services[0].p99, 0.01 * crate::math::ln(100.0));
}

/// Poisson users in turn at two instances with one worker each: GI/M/1, whose response is exponential.
#[test]
fn taking_turns_is_known() {
    let found = services_of(
        "  s: { profile: ideal, balance: round_robin, arrivals: { poisson: 140/s }, instances: 2, workers: 1, queue: 100k,\n\
             service_time: { exponential: 10ms } }\n",
    );
    let it = &found.services[0];
    let mean = it.response.map(|response| response.mean);
    near("mean", mean, 0.026_03, 0.001);
    close("p99", it.p99, mean.unwrap_or(0.0) * crate::math::ln(100.0));
}

/// M/M/1/5 at load 0.9: who is let in finds 0 to 4 others with chances of 0.9^n.
#[test]
fn a_limit_cuts_the_tail_off() {
    let found = services_of(
        "  s: { profile: ideal, arrivals: { poisson: 90/s }, workers: 1, queue: 4, service_time: { exponential: 10ms } }\n",
    );
    let it = &found.services[0];
    let chances: Vec<f64> = (0..5).map(|n| 0.9_f64.powi(n)).collect();
    let found_before = [0.0, 1.0, 2.0, 3.0, 4.0];
    let sum = |of: fn(f64) -> f64| chances.iter().zip(found_before).map(|(chance, n)| chance * of(n)).sum::<f64>();
    close("wait", it.wait, 0.01 * sum(|n| n) / sum(|_| 1.0));
    // Exact for the mean, two moments for the rest.
    near("p99", it.p99, 0.095_16, 0.08);
    assert_eq!(it.accuracy, Accuracy::Good);
}

#[test]
fn why_there_is_no_formula() {
    let found = estimate(&plan_of(
        "name: limited\nduration: 1h\nresources: { lim: { rate: 20/s, queue: 100 } }\nservices:\n\
         \u{20} api: { arrivals: { poisson: 30/s }, handler: [ { hold: { of: lim, do: [ { work: 10ms } ] } } ] }\n\
         \u{20} front: { arrivals: { poisson: 1/s }, handler: [ { call: api } ] }\n\
         \u{20} idle: { service_time: 5ms }\n\
         \u{20} full: { profile: ideal, arrivals: { poisson: 110/s }, workers: 1, queue: 1M, service_time: { exponential: 10ms } }\n",
    ));
    let formula = |name: &str| service(&found, name).formula.clone();
    assert_eq!(
        ["api", "front", "idle", "full"].map(formula),
        ["lim is overloaded", "calls api", "nothing comes", "no steady state"]
    );
}

/// A wait after a failure in the queue counts once: at low load two deliveries and one wait of 20 ms on average.
#[test]
fn a_wait_in_the_queue_counts_once() {
    let consumer = "service_time: 10ms, failure: 50%, retry: { attempts: 100, backoff: 20ms, mode: requeue }";
    let found = estimate(&station("queues: { work: }", "arrivals: { poisson: 0.1/s }", consumer, ""));
    near("latency", found.consumers[0].latency, 0.04, 0.01);
}

/// Handlers that take no time have a backlog, too, while they stand still.
#[test]
fn what_takes_no_time_can_stand_still() {
    let faults = "faults: [ { at: 30m, for: 1m, target: consumers.station, effect: pause } ]\n";
    let found = estimate(&station("topics: { work: }", "arrivals: { poisson: 100/s }", "members: 1", faults));
    near("backlog", found.outages.first().map(|outage| outage.backlog), 6000.0, 0.01);
}
