//! Producers and consumers whose handlers call, hold, or run steps at once: closed forms, through the whole tool.

use edasim::outcome::Outcome;
use edasim::plan::Plan;

use crate::support::{once, plan};

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
