//! Producers and consumers whose handlers call, hold, or run steps at once: closed forms, through the whole tool.

use edasim::experiment::Request;
use edasim::outcome::Outcome;
use edasim::plan::Plan;

use crate::support::{EIGHT_MINUTES, experiment, once, plan};

/// The 99.9 % interval of a figure over ten runs holds the exact value, and is narrower than so much of it.
fn holds(plan: &Plan, exact: f64, width: f64, figure: impl Fn(&Outcome) -> f64) {
    let values: Vec<f64> = (1..=10).map(|seed| figure(&once(&Plan { seed, ..plan.clone() }))).collect();
    let mean = values.iter().sum::<f64>() / 10.0;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / 9.0;
    // Student's t with nine degrees of freedom.
    let half = 4.781 * (variance / 10.0).sqrt();
    assert!((mean - exact).abs() <= half, "{mean} +- {half} does not hold {exact}");
    assert!(half <= width * exact, "{mean} +- {half} says little about {exact}");
}

/// Mean latency of the only consumer, s.
fn latency(outcome: &Outcome) -> f64 {
    let it = &outcome.consumers[0];
    it.stages.total as f64 / it.latency.count() as f64 / 1e9
}

/// An arrival is told to a service with one worker, and then published to a consumer with one worker: a tandem of two
/// queues, of which each is M/M/1.
#[test]
fn a_producer_that_calls_is_the_first_half_of_a_tandem() {
    let plan = plan(
        "duration: 10h\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers:\n\
        \x20 shop:\n\
        \x20   arrivals: { poisson: 0.5/s }\n\
        \x20   handler: [ { call: fraud }, { publish: orders } ]\n\
         services:\n\
        \x20 fraud: { profile: ideal, workers: 1, queue: unlimited, service_time: { exponential: 1s } }\n\
         consumers: { email: { subscribes: orders, service_time: { exponential: 1s } } }\n",
    );
    // From the arrival, for the business fact exists from then on.
    holds(&plan, 2.0 + 2.0, 0.04, latency);
    holds(&plan, 2.0, 0.04, |outcome| {
        let it = &outcome.producers[0];
        it.publish_latency_sum as f64 / it.publish_latency.count() as f64 / 1e9
    });
}

/// A producer has as many workers as it needs: only the pool makes them wait, as M/M/c.
#[test]
fn a_producer_waits_for_a_pool_as_erlang_says() {
    let plan = plan(
        "duration: 10h\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers:\n\
        \x20 shop:\n\
        \x20   arrivals: { poisson: 1.6/s }\n\
        \x20   handler: [ { hold: { of: db, do: [ { local_commit: { exponential: 1s } } ] } }, { publish: orders } ]\n\
         resources: { db: { capacity: 2 } }\n\
         consumers: { email: { subscribes: orders } }\n",
    );
    // M/M/2 at 80 %: a share of 0.711 waits, 1 / (2 - 1.6) s on average.
    let waits = 1.6 * 1.6 / 2.0 / (1.0 - 0.8) / (1.0 + 1.6 + 1.6 * 1.6 / 2.0 / (1.0 - 0.8));
    holds(&plan, waits / 0.4, 0.08, |outcome| {
        let db = &outcome.resources[0];
        db.wait_sum as f64 / db.wait.count() as f64 / 1e9
    });
    // The fact exists from the commit on: what is published is as old as that.
    assert!(latency(&once(&plan)) < 1e-6);
}

/// What fails without an `else` fails the handler, and it publishes no more.
#[test]
fn what_a_producer_cannot_call_is_not_published() {
    let text = "duration: 2h\n\
         buses: { main: { profile: ideal, topics: { orders: , late: } } }\n\
         producers:\n\
        \x20 shop:\n\
        \x20   arrivals: { poisson: 1/s }\n\
        \x20   handler: [ { call: { to: fraud, retry: { attempts: 2 } ELSE } }, { publish: orders } ]\n\
         services: { fraud: { profile: ideal, failure: 30% } }\n\
         consumers: { email: { subscribes: [orders, late] } }\n";
    let strict = plan(&text.replace("ELSE", ""));
    holds(&strict, 0.3 * 0.3, 0.2, |outcome| outcome.producers[0].failed as f64 / outcome.producers[0].created as f64);
    let outcome = once(&strict);
    let (shop, orders) = (&outcome.producers[0], &outcome.topics[1]);
    assert_eq!(shop.created, shop.failed + shop.open + orders.created, "what is not published is not there");
    assert!(shop.open <= 2, "at work at the end");
    let calls = shop.handler.as_ref().expect("it calls").calls[&0];
    assert_eq!((calls.calls, calls.failed), (shop.created, shop.failed));
    let lenient = once(&plan(&text.replace("ELSE", ", else: [ { publish: late } ]")));
    let (shop, late) = (&lenient.producers[0], &lenient.topics[0]);
    assert_eq!(shop.failed, 0);
    assert!(late.created > 500 && lenient.topics[1].created + shop.open == shop.created, "{shop:?}");
}

/// A consumer with a worker for everybody, on a bus that takes no time: what its handler does is all there is.
fn with_handler(handler: &str, rest: &str) -> Plan {
    plan(&format!(
        "duration: 10h\n\
         buses: {{ main: {{ profile: ideal, topics: {{ orders: }} }} }}\n\
         producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: 0.5/s }}, key: {{ uniform: 100 }} }} }}\n\
         consumers: {{ email: {{ subscribes: orders, workers: 1000, order: none, handler: {handler} }} }}\n\
         {rest}"
    ))
}

/// The queue of the service called, or of the resource held, is the only one: M/M/1.
#[test]
fn a_consumer_waits_where_it_calls_and_what_it_holds() {
    let service =
        "services: { fraud: { profile: ideal, workers: 1, queue: unlimited, service_time: { exponential: 1s } } }\n";
    holds(&with_handler("[ { call: fraud } ]", service), 2.0, 0.06, latency);
    let hold = "[ { hold: { of: db, do: [ { work: { exponential: 1s } } ] } } ]";
    holds(&with_handler(hold, "resources: { db: { capacity: 1 } }\n"), 2.0, 0.06, latency);
    // A row for each of a hundred keys: hardly anybody waits.
    let rows = with_handler(hold, "resources: { db: { capacity: 1, per_key: true } }\n");
    holds(&rows, 1.0 / (1.0 - 0.005), 0.03, latency);
}

/// One call after the other: a tandem of two queues.
#[test]
fn calls_of_a_consumer_add_up() {
    let server = "{ profile: ideal, workers: 1, queue: unlimited, service_time: { exponential: 1s } }";
    let services = format!("services: {{ fraud: {server}, tax: {server} }}\n");
    holds(&with_handler("[ { call: fraud }, { call: tax } ]", &services), 4.0, 0.06, latency);
}

/// A worker that works for half a second and waits as long for a call is held for a second: M/D/1, of which it works half.
#[test]
fn a_worker_of_a_consumer_is_held_while_it_calls() {
    let plan = plan(
        "duration: 10h\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers: { shop: { publishes: orders, arrivals: { poisson: 0.5/s } } }\n\
         consumers: { email: { subscribes: orders, handler: [ { work: 500ms }, { call: tax } ] } }\n\
         services: { tax: { profile: ideal, service_time: 500ms } }\n",
    );
    holds(&plan, 1.0 + 0.5, 0.03, latency);
    let summary = experiment(&plan, &Request { replications: 3, ..Request::default() }).summary;
    let number = |name| summary.number(&["consumers", "email", name]).unwrap_or_else(|| panic!("no {name}"));
    assert!((number("held") - 0.5).abs() < 0.01 && (number("utilisation") - 0.25).abs() < 0.005);
    assert!((number("offered_load") - 0.5).abs() < 0.01, "{}", number("offered_load"));
    let calls = summary.number(&["consumers", "email", "calls", "tax", "calls"]);
    assert!(calls.is_some_and(|calls| calls > 50_000.0), "{calls:?}");
}

/// A call that takes 100 ms takes a second for a minute: two workers who wait for it do two events a second of the ten that
/// come, and twenty when it is over. What is slow is the service, and what falls behind is the group.
#[test]
fn a_slow_service_shows_as_lag_of_who_calls_it() {
    let plan = plan(
        "duration: 10m\n\
         buses: { main: { profile: ideal, topics: { orders: } } }\n\
         producers: { shop: { publishes: orders, arrivals: { constant: 10/s } } }\n\
         consumers: { email: { subscribes: orders, workers: 2, order: none, handler: [ { call: provider } ] } }\n\
         services: { provider: { profile: ideal, workers: 100, service_time: 100ms } }\n\
         faults: [ { at: 2m, for: 1m, target: services.provider, effect: { slow: 10x } } ]\n",
    );
    let outcome = once(&plan);
    let touched = outcome.faults[0].touched[&0];
    let (peak, drained) = (touched.lag_peak as f64, touched.drain_time.seconds());
    assert!((peak - 60.0 * (10.0 - 2.0)).abs() < 5.0, "{touched:?}");
    assert!((drained - 480.0 / (20.0 - 10.0)).abs() < 2.0, "{touched:?}");
    let summary = experiment(&plan, &Request { replications: 1, ..Request::default() }).summary;
    let number = |path: &[&str]| summary.number(path).unwrap_or_else(|| panic!("no {path:?}"));
    // Two workers are held all the time for 1 m and 48 s, and half of it else; they never work.
    let held = (108.0 + 0.5 * 492.0) / 600.0;
    assert!((number(&["consumers", "email", "held"]) - held).abs() < 0.01);
    assert!(number(&["consumers", "email", "utilisation"]).abs() < 1e-9);
}

/// What a handler waits for counts for the longest time between two polls: beyond it, its member is expelled, and another
/// delivers the event again.
#[test]
fn a_call_that_outlasts_the_poll_interval_costs_the_membership() {
    let with = |interval: u32| {
        once(&plan(&format!(
            "duration: 10m\n\
             buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 2 }} }} }} }}\n\
             producers: {{ shop: {{ publishes: orders, arrivals: {{ constant: 1/min }}, key: {{ uniform: 1 }} }} }}\n\
             consumers:\n\
            \x20 email:\n\
            \x20   subscribes: orders\n\
            \x20   members: 2\n\
            \x20   handler: [ {{ call: provider }} ]\n\
            \x20   settings: {{ max.poll.interval.ms: {interval}, session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }}\n\
             services: {{ provider: {{ profile: ideal, service_time: 10s }} }}\n"
        )))
    };
    let (patient, strict) = (with(12_000), with(8_000));
    let (patient, strict) = (&patient.consumers[0], &strict.consumers[0]);
    assert_eq!((patient.duplicates_deliveries, patient.rebalances), (0, 0), "{patient:?}");
    assert!(strict.duplicates_deliveries >= 8 && strict.rebalances >= 8, "{strict:?}");
}

/// A call that fails fails the attempt; what follows is the consumer's policy: here, back to the queue for ten seconds, and
/// given up after three.
#[test]
fn what_a_consumer_cannot_call_goes_back_to_its_queue() {
    let plan = plan(
        "duration: 10h\n\
         buses: { main: { profile: ideal, queues: { hooks: , dead: } } }\n\
         producers: { shop: { publishes: hooks, arrivals: { poisson: 0.5/s } } }\n\
         consumers:\n\
        \x20 hooks-out:\n\
        \x20   subscribes: hooks\n\
        \x20   workers: 100\n\
        \x20   handler: [ { call: { to: customer, timeout: 4s } } ]\n\
        \x20   retry: { attempts: 3, mode: requeue, backoff: [10s, 20s] }\n\
        \x20   dead_letter: dead\n\
         services: { customer: { profile: ideal, failure: 30% } }\n",
    );
    let of = |count: fn(&Outcome) -> u64| {
        move |outcome: &Outcome| {
            let it = &outcome.consumers[0];
            let ended = it.ledger.effected + it.ledger.dead_lettered;
            count(outcome) as f64 / ended as f64
        }
    };
    holds(&plan, 0.027, 0.15, of(|outcome| outcome.consumers[0].ledger.dead_lettered));
    holds(&plan, 1.39, 0.01, of(|outcome| outcome.consumers[0].attempts));
    // The second attempt comes after 10 s, the third 20 s later.
    holds(&plan, (0.21 * 10.0 + 0.063 * 30.0) / 0.973, 0.04, |outcome| {
        let it = &outcome.consumers[0];
        it.stages.retry as f64 / it.latency.count() as f64 / 1e9
    });
    let outcome = once(&plan);
    let (it, dead) = (&outcome.consumers[0], &outcome.topics[0]);
    assert_eq!(it.ledger.dead_lettered, dead.created);
    let calls = it.handler.as_ref().expect("it calls").calls[&0];
    assert!(
        calls.calls == calls.succeeded + calls.failed + calls.open && calls.failed == it.failures,
        "{calls:?} {it:?}"
    );
}

/// The same requests, whether e-mail is a service that is called or a consumer of what is published: it and what it calls
/// work as long for each of them.
#[test]
fn a_consumer_and_a_service_of_one_name_draw_alike() {
    let text = |checkout: &str, email: &str| {
        plan(&format!(
            "duration: 10m\n\
             buses: {{ main: {{ profile: ideal, topics: {{ orders: }} }} }}\n\
             services:\n\
            \x20 checkout: {{ profile: ideal, arrivals: {EIGHT_MINUTES}, handler: [ {checkout} ] }}\n\
            \x20 provider: {{ profile: ideal, service_time: {{ exponential: 30ms }}, failure: 5% }}\n\
             {email}"
        ))
    };
    let handler = "handler: [ { work: { exponential: 20ms } }, { call: { to: provider, retry: { attempts: 3 } } } ]";
    let rest = text("{ call: email }", &format!("\x20 email: {{ profile: ideal, {handler} }}\n"));
    let consumer = format!(
        "consumers: {{ email: {{ subscribes: orders, workers: 1000, order: none, retry: {{ attempts: 1 }}, {handler} }} }}\n"
    );
    let bus = text("{ publish: orders }", &consumer);
    let [rest, bus] = [once(&rest), once(&bus)];
    let provider = |outcome: &Outcome| outcome.services.last().expect("the last by name").handler.working;
    assert_eq!(provider(&rest), provider(&bus));
    let email = bus.consumers[0].handler.as_ref().expect("it calls");
    assert_eq!(rest.services[1].handler.working, email.working);
    assert_eq!(rest.services[1].handler.calls[&2], email.calls[&1]);
}

/// Callers that share one connection to a service that has workers enough: their waits for it are those of M/M/1 at a half.
#[test]
fn waits_for_a_connection_are_those_of_a_queue() {
    let plan = plan(
        "duration: 4000s\n\
         services:\n\
        \x20 back: { profile: ideal, workers: 100, service_time: { exponential: 10ms } }\n\
        \x20 front: { profile: ideal, arrivals: { poisson: 50/s }, workers: 1000, handler: [ { call: { to: back, pool: 1 } } ] }\n",
    );
    let calls = |outcome: &Outcome| outcome.services[1].handler.calls[&0];
    holds(&plan, 0.5, 0.02, |outcome| calls(outcome).waited as f64 / calls(outcome).attempts as f64);
    // Who waits does so for 1 / (100 - 50) s.
    holds(&plan, 0.02, 0.04, |outcome| calls(outcome).pool_wait as f64 / 1e9 / calls(outcome).waited as f64);
}
