//! Handlers that wait for events, against closed forms and counts by hand.

use super::at_hand::{fault, responses, users_at};
use super::*;
use crate::engine::tests::{consumer, direct_client, producer, topic};
use crate::math;
use crate::outcome::AwaitLedger;
use crate::plan::{AwaitStep, ConsumerPlan, TopicId, TopicPlan};

fn publish(to: u32, event_type: Option<u16>) -> Step {
    let Step::Publish(mut step) = producer("any", 1.0, KeyPlan::None, to).handler.steps.remove(0) else {
        unreachable!("it publishes")
    };
    (step.event_type, step.wait_for_ack) = (event_type, false);
    Step::Publish(step)
}

fn awaited(event: u32) -> AwaitStep {
    AwaitStep { event: TopicId(event), event_type: None, unless: None, timeout: None, otherwise: None }
}

/// Reads one topic, and answers in another.
fn clerk(name: &str, from: u32, to: u32, service: Dist) -> ConsumerPlan {
    let mut clerk = consumer(name, from, 1, service);
    clerk.handler.steps.push(publish(to, None));
    clerk.clients = vec![(TopicId(to), direct_client())];
    clerk
}

fn asks(steps: Vec<Step>) -> ServicePlan {
    ServicePlan { clients: vec![(TopicId(0), direct_client())], ..service("shop", steps) }
}

fn topics(count: u32) -> Vec<TopicPlan> {
    (0..count).map(|n| topic(&format!("t{n}"), 1, Dist::Constant(0.0))).collect()
}

/// A shop that asks in one topic, and a clerk that answers in the next.
fn office(seconds: u64, shop: ServicePlan, service: Dist) -> Plan {
    let mut plan = plan(seconds, vec![shop]);
    plan.topics = topics(2);
    plan.consumers = vec![clerk("clerk", 0, 1, service)];
    plan
}

fn ledger(outcome: &Outcome) -> &AwaitLedger {
    &outcome.services[0].handler.awaits
}

/// The latest answer and the sum of all, to the millisecond: what goes in a circle takes some nanoseconds on top.
fn about(millis: (u64, u128), latest: u64, all: u128) {
    assert_eq!(millis, (latest, all));
}

#[test]
fn an_answer_takes_the_bus_both_ways() {
    let shop = users_at(&[1.0, 11.0], asks(vec![publish(0, None), Step::Await(awaited(1))]));
    let mut plan = office(60, shop, Dist::Constant(2.0 * SECOND));
    about(responses(&outcome(&plan, 1), 0), 2_000, 4_000);
    for topic in &mut plan.topics {
        topic.store.network = Dist::Constant(0.5 * SECOND);
    }
    let outcome = outcome(&plan, 1);
    // To the bus, (the clerk fetches in no time) two seconds of work, back to the bus, and to the shop.
    about(responses(&outcome, 0), 3_500, 7_000);
    let it = ledger(&outcome);
    assert_eq!((it.begun, it.arrived, it.wait.count(), it.wait_sum / 1_000_000), (2, 2, 2, 7_000));
    let service = &outcome.services[0];
    assert_eq!((service.busy / 1_000_000, service.handler.working), (7_000, 0), "held, and idle");
}

#[test]
fn each_event_ends_one_wait_and_what_came_before_is_kept() {
    let wait = || Step::Await(awaited(1));
    let twice = vec![publish(0, None), publish(0, None), pause(5.0), wait(), wait()];
    about(responses(&outcome(&office(60, users_at(&[1.0], asks(twice)), Dist::Constant(SECOND)), 1), 0), 5_000, 5_000);
    let twice = vec![publish(0, None), publish(0, None), wait(), wait()];
    about(responses(&outcome(&office(60, users_at(&[1.0], asks(twice)), Dist::Constant(SECOND)), 1), 0), 2_000, 2_000);
    let thrice = vec![publish(0, None), publish(0, None), wait(), wait(), wait()];
    let outcome = outcome(&office(60, users_at(&[1.0], asks(thrice)), Dist::Constant(SECOND)), 1);
    let it = ledger(&outcome);
    assert_eq!((it.begun, it.arrived, it.open, outcome.services[0].users.open), (3, 2, 1, 1), "for ever");
}

/// Answers go to who has asked, however many ask at a time: with a clerk for all, each waits for its own.
#[test]
fn everybody_gets_the_answer_to_its_own_question() {
    let shop = users_at(&[1.0, 2.0, 2.5], asks(vec![publish(0, None), Step::Await(awaited(1))]));
    // Done at 11, 21 and 31.
    about(
        responses(&outcome(&office(60, shop, Dist::Constant(10.0 * SECOND)), 1), 0),
        28_500,
        10_000 + 19_000 + 28_500,
    );
}

#[test]
fn a_chain_of_queues_takes_as_long_as_they_do() {
    let shop = with_users(0.5, asks(vec![publish(0, None), Step::Await(awaited(2))]));
    let mut plan = office(40_000, shop, exponential(1.0));
    plan.topics = topics(3);
    // Two M/M/1 queues in a row: departures are Poisson again.
    plan.consumers.push(clerk("other", 1, 2, exponential(0.8)));
    holds(&plan, 1.0 / (1.0 - 0.5) + 1.0 / (1.0 / 0.8 - 0.5), 0.03, response(0));
}

/// The sojourn time of M/M/1 is exponential with the rate that is left over.
#[test]
fn who_waits_for_so_long_gives_up_as_often_as_the_queue_takes_longer() {
    let step = AwaitStep { timeout: Some(SimSpan::from_seconds(3)), otherwise: Some(Vec::new()), ..awaited(1) };
    let shop = with_users(0.5, asks(vec![publish(0, None), Step::Await(step)]));
    let plan = office(80_000, shop, exponential(1.0));
    let late = |outcome: &Outcome| {
        let it = ledger(outcome);
        it.timeouts as f64 / (it.arrived + it.timeouts) as f64
    };
    holds(&plan, math::exp(-1.5), 0.05, late);
    holds(&plan, (1.0 - math::exp(-1.5)) / 0.5, 0.03, response(0));
}

#[test]
fn another_event_fails_the_step() {
    let step = AwaitStep { event_type: Some(1), unless: Some(2), ..awaited(1) };
    let shop = with_users(5.0, asks(vec![publish(0, None), Step::Await(step)]));
    let mut plan = office(4_000, shop, exponential(0.1));
    plan.event_types = ["", "yes", "no", "perhaps"].map(String::from).to_vec();
    let said = |share: f64, what: u16| (share, vec![publish(1, Some(what))]);
    // What is neither is passed over.
    plan.consumers[0].handler.steps[1] = Step::Choose(vec![said(0.3, 2), said(0.7, 1)]);
    plan.consumers[0].handler.steps.insert(1, publish(1, Some(3)));
    holds(&plan, 0.3, 0.03, |outcome| {
        let (it, users) = (ledger(outcome), outcome.services[0].users);
        assert_eq!((it.refused, it.arrived), (users.failed, users.answered));
        users.failed as f64 / (users.failed + users.answered) as f64
    });
}

#[test]
fn the_worker_of_a_consumer_is_held_while_it_waits() {
    let mut plan = office(60, service("nobody", Vec::new()), Dist::Constant(2.0 * SECOND));
    plan.topics = topics(3);
    plan.producers = vec![producer("shop", 1.0, KeyPlan::None, 2)];
    plan.producers[0].arrivals = super::at_hand::at(&[1.0, 1.5]).expect("arrivals");
    let mut reader = consumer("reader", 2, 1, Dist::Constant(0.0));
    reader.handler.steps = vec![publish(0, None), Step::Await(awaited(1))];
    reader.clients = vec![(TopicId(0), direct_client())];
    plan.consumers.push(reader);
    let outcome = outcome(&plan, 1);
    let it = &outcome.consumers[1];
    let seen = (it.latency.count(), it.latency.max() / 1_000_000, it.stages.total / 1_000_000);
    assert_eq!(seen, (2, 3_500, 5_500), "from 1 to 3, and from 1.5 to 5");
    assert_eq!((it.busy / 1_000_000, it.handler.as_ref().map(|handler| handler.awaits.arrived)), (4_000, Some(2)));
}

/// A process that ends leaves its waits behind; one that is cancelled does not wait on.
#[test]
fn a_wait_ends_with_its_handler() {
    let shop = users_at(&[1.0, 20.0], asks(vec![publish(0, None), Step::Await(awaited(1))]));
    let mut plan = office(60, shop, Dist::Constant(4.0 * SECOND));
    plan.faults = vec![fault(0, Effect::Crash, 2.0, 1.0)];
    let outcome = outcome(&plan, 1);
    let (it, users) = (ledger(&outcome), outcome.services[0].users);
    assert_eq!((it.begun, it.left, it.arrived, users.failed, users.answered), (2, 1, 1, 1, 1));
}

#[test]
fn a_cancelled_wait_is_over() {
    let mut back = asks(vec![publish(0, None), Step::Await(awaited(1))]);
    back.transport.cancels = true;
    let step = CallStep { otherwise: Some(Vec::new()), ..super::at_hand::with_timeout(0, 1.0) };
    let front = users_at(&[1.0], ServicePlan { name: "front".into(), ..service("front", vec![Step::Call(step)]) });
    let mut plan = office(60, back, Dist::Constant(4.0 * SECOND));
    plan.services.push(front);
    let outcome = outcome(&plan, 1);
    let it = &outcome.services[0];
    assert_eq!((it.handler.awaits.left, it.visits.cancelled, it.busy / 1_000_000), (1, 1, 1_000));
}

/// A front that calls a shop which asks and waits; its clerk needs ten seconds for each.
fn front(steps: Vec<Step>) -> Plan {
    let shop = asks(vec![publish(0, None), Step::Await(awaited(1))]);
    let mut plan = office(60, shop, Dist::Constant(10.0 * SECOND));
    plan.services.push(users_at(&[1.0], ServicePlan { name: "front".into(), ..service("front", steps) }));
    plan
}

/// Both are of one journey, but each has an answer of its own: after ten seconds and after twenty.
#[test]
fn of_two_calls_in_one_journey_each_waits_for_its_own_answer() {
    let branches = vec![vec![Step::Call(call(0))], vec![Step::Call(call(0))]];
    let outcome = outcome(&front(vec![Step::Parallel { branches, quorum: 2, otherwise: None }]), 1);
    about(responses(&outcome, 1), 20_000, 20_000);
    let it = ledger(&outcome);
    assert_eq!((it.arrived, it.wait_sum / 1_000_000), (2, 30_000));
}

/// The answer to the first attempt, which is still at work, is no answer to the second.
#[test]
fn another_attempt_waits_for_an_answer_of_its_own() {
    let mut step = super::at_hand::with_timeout(0, 7.0);
    step.retry.attempts = 2;
    let outcome = outcome(&front(vec![Step::Call(step)]), 1);
    let it = ledger(&outcome);
    // Asked at 1 and at 8, answered at 11 and at 21; the caller gives up at 15.
    assert_eq!((it.arrived, it.wait_sum / 1_000_000), (2, 10_000 + 13_000));
    assert_eq!(outcome.services[1].users.failed, 1);
}

/// An event that is on its way as a wait gives up is seen by the next one.
#[test]
fn what_comes_too_late_for_one_wait_is_for_the_next() {
    let first = AwaitStep { timeout: Some(SimSpan::from_seconds(6)), otherwise: Some(Vec::new()), ..awaited(1) };
    let shop = asks(vec![publish(0, None), Step::Await(first), Step::Await(awaited(1))]);
    let mut plan = office(60, users_at(&[1.0], shop), Dist::Constant(SECOND));
    for topic in &mut plan.topics {
        topic.store.network = Dist::Constant(2.0 * SECOND);
    }
    let outcome = outcome(&plan, 1);
    // Two seconds there, one of work, two back; visible then, and seen two seconds later.
    about(responses(&outcome, 0), 7_000, 7_000);
    let it = ledger(&outcome);
    assert_eq!((it.timeouts, it.arrived, it.wait_sum / 1_000_000), (1, 1, 1_000));
}
