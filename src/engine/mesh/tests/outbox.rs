//! Facts and their events, with an outbox and without one, in systems whose every step can be followed by hand.

use super::at_hand::{fault, hold, resource, users_at};
use super::*;
use crate::engine::tests::{consumer, direct_client, producer, topic};
use crate::outcome::{Defect, TwiceCause};
use crate::plan::{OutboxPlan, Relay, TopicId};

const MS: u64 = 1_000_000;

fn commit(seconds: f64) -> Step {
    Step::Commit(Dist::Constant(seconds * SECOND))
}

fn publish() -> Step {
    producer("any", 1.0, KeyPlan::None, 0).handler.steps.remove(0)
}

fn polling(seconds: f64, batch: u32) -> Option<OutboxPlan> {
    let every = SimSpan::from_nanos_f64(seconds * SECOND);
    Some(OutboxPlan { relay: Relay::Poll { every, batch }, startup: Dist::Constant(0.0) })
}

fn tailing(delay: f64, store_every: f64) -> Option<OutboxPlan> {
    let store_every = SimSpan::from_nanos_f64(store_every * SECOND);
    let relay = Relay::Tail { delay: Dist::Constant(delay * SECOND), store_every };
    Some(OutboxPlan { relay, startup: Dist::Constant(0.0) })
}

/// A shop that publishes to one partition, and a consumer that takes no time. A request takes `wire` s to the bus, and its answer
/// as long.
fn shop(seconds: u64, wire: f64, shop: ServicePlan) -> Plan {
    let mut client = direct_client();
    client.retry.request_timeout = SimSpan::from_seconds(100);
    client.retry.delivery_timeout = SimSpan::from_seconds(1_000);
    let mut plan = plan(seconds, vec![ServicePlan { clients: vec![(TopicId(0), client)], ..shop }]);
    plan.topics = vec![topic("orders", 1, Dist::Constant(0.0))];
    plan.topics[0].store.network = Dist::Constant(wire * SECOND);
    plan.consumers = vec![consumer("warehouse", 0, 1, Dist::Constant(0.0))];
    plan
}

fn relay_fault(effect: Effect, from: f64, lasts: f64) -> FaultPlan {
    FaultPlan { target: FaultTarget::Relay(Party::Service(ServiceId(0))), ..fault(0, effect, from, lasts) }
}

fn every_tenth(from: u32, to: u32) -> Vec<f64> {
    (from..to).map(|n| f64::from(n) / 10.0 + 0.05).collect()
}

/// Rows that are committed at 0.3, 0.9, 1.0, 1.2 and 1.3 s; the relay looks each second for two of them. What is committed when
/// it looks comes too late.
#[test]
fn a_relay_looks_at_fixed_times_and_takes_a_batch() {
    let steps = vec![publish(), commit(0.1)];
    let it = ServicePlan { outbox: polling(1.0, 2), ..service("shop", steps) };
    let plan = shop(10, 0.0, users_at(&[0.2, 0.8, 0.9, 1.1, 1.2], it));
    let outcome = outcome(&plan, 1);
    let seen = &outcome.services[0].publish;
    // Published at 1, 1, 2, 2 and 3 s. (The requests of the mesh take a nanosecond at least.)
    let waits = [700, 100, 1_000, 800, 1_700];
    assert_eq!(seen.publish_latency_sum / u128::from(MS), waits.iter().sum::<u128>());
    assert_eq!(seen.publish_latency.max() / MS, 1_700);
    let outbox = seen.outbox.as_ref().expect("it has one");
    assert_eq!((outbox.rows_max, outbox.rows_end, outbox.again), (3, 0, 0));
    let books = &outcome.consumers[0].ledger;
    assert_eq!((seen.created, books.created, books.effected), (5, 5, 5));
    // Users are answered without waiting for any of this.
    assert_eq!(outcome.services[0].response.max() / MS, 100);
}

/// While a batch is on its way, the relay does not look.
#[test]
fn a_relay_waits_for_all_acknowledgements_of_a_batch() {
    let it = ServicePlan { outbox: polling(1.0, 10), ..service("shop", vec![publish()]) };
    let plan = shop(10, 0.7, users_at(&[0.5, 0.6, 1.5], it));
    // Sent at 1 s, acknowledged at 2.4 s; the third is sent at 3 s.
    let latency = outcome(&plan, 1).services[0].publish.publish_latency_sum / u128::from(MS);
    assert_eq!(latency, 1_900 + 1_800 + 2_900);
}

/// Ten a second, and no relay from 10 s to 15 s: 50 rows more. It takes 20 a second: those are gone after five seconds more.
#[test]
fn a_backlog_grows_without_a_relay_and_drains_by_arithmetic() {
    let it = ServicePlan { outbox: polling(1.0, 20), ..service("shop", vec![publish()]) };
    let mut plan = shop(30, 0.0, users_at(&every_tenth(0, 300), it));
    plan.faults = vec![relay_fault(Effect::Crash, 9.5, 5.0)];
    let outcome = outcome(&plan, 1);
    let seen = &outcome.services[0].publish;
    // The last look was at 9 s and the next is at 15 s: then 60 rows wait, and at 15, 16 ... 19 s twenty of them go and ten
    // come. At 20 s it is as it was.
    let outbox = seen.outbox.as_ref().expect("it has one");
    assert_eq!((outbox.rows_max, outbox.again), (60, 0));
    // Row n is created at 0.05 + n / 10 s.
    let look = |n: u32| if !(90..200).contains(&n) { n / 10 + 1 } else { 15 + (n - 90) / 20 };
    let expected: f64 = (0..290).map(|n| f64::from(look(n)) - 0.05 - f64::from(n) / 10.0).sum();
    let measured = seen.publish_latency_sum as f64 / SECOND;
    assert!((measured - expected).abs() < 1e-3, "{measured} s, by arithmetic {expected} s");
    assert_eq!((seen.publish_latency.count(), outbox.rows_end), (290, 10));
}

/// The process that polls crashes after it has sent a batch of three, and before that is acknowledged: the next process sends
/// them again. A process that has nothing in hands leaves nothing behind.
#[test]
fn rows_in_hand_are_published_again() {
    for (crash, again) in [(1.5, 3), (2.5, 0)] {
        let it = ServicePlan { outbox: polling(1.0, 10), instances: 2, ..service("shop", vec![publish()]) };
        let mut plan = shop(20, 0.5, users_at(&[0.1, 0.2, 0.3], it));
        let one = FaultTarget::Service(ServiceId(0), Members::One(0));
        plan.faults = vec![FaultPlan { target: one, ..fault(0, Effect::Crash, crash, 5.0) }];
        let outcome = outcome(&plan, 1);
        let (publish, warehouse) = (&outcome.services[0].publish, &outcome.consumers[0]);
        let outbox = publish.outbox.as_ref().expect("it has one");
        assert_eq!((outbox.again, warehouse.duplicates_log, warehouse.duplicates_effects), (again, again, again));
        let cause = warehouse.defects.get(&Defect::Twice(TwiceCause::PublishedAgain));
        assert_eq!(cause.map_or(0, |seen| seen.count), again);
        assert_eq!((warehouse.ledger.effected, publish.publish_latency.count(), outbox.rows_end), (3, 3, 0));
    }
}

/// The connector stores its position every 10 s, and crashes at 25 s: what came since 20 s is published again.
#[test]
fn a_connector_begins_again_where_it_stored_its_position() {
    let it = ServicePlan { outbox: tailing(0.2, 10.0), ..service("shop", vec![publish()]) };
    let mut plan = shop(60, 0.0, users_at(&every_tenth(0, 400), it));
    plan.faults = vec![relay_fault(Effect::Crash, 25.0, 1.0)];
    let outcome = outcome(&plan, 1);
    let (publish, warehouse) = (&outcome.services[0].publish, &outcome.consumers[0]);
    // Read 0.2 s after they came: those of 19.85 s are read at 20.05 s, after the position was stored. So are all until 24.75 s.
    let again = 50;
    let outbox = publish.outbox.as_ref().expect("it has one");
    assert_eq!((outbox.again, warehouse.duplicates_log), (again, again));
    assert_eq!((warehouse.ledger.effected, warehouse.ledger.created), (400, 400));
    // Those of 24.85 to 25.75 s wait until 26 s, all others for 0.2 s; the first acknowledgement counts.
    let late: f64 = (0..10).map(|n| 26.0 - 24.85 - f64::from(n) / 10.0).sum();
    let measured = publish.publish_latency_sum as f64 / SECOND;
    assert!((measured - (390.0 * 0.2 + late)).abs() < 1e-3, "{measured} s");
}

/// A row has its number when it is written. One that is committed late is found late, but it is found; the connector reads
/// in the order of commits.
#[test]
fn a_late_commit_of_a_low_number_is_found() {
    for (outbox, expected) in [(polling(1.0, 1), 500 + 1_000), (tailing(0.0, 10.0), 0)] {
        // Two at once; the first has the lower number, and holds its lock for two seconds.
        let steps = vec![publish(), hold(0, vec![commit(1.5)])];
        let it = ServicePlan { outbox, ..service("shop", steps) };
        let mut plan = shop(20, 0.0, users_at(&[0.0, 0.4], it));
        plan.resources = vec![resource("row")];
        let outcome = outcome(&plan, 1);
        let seen = &outcome.services[0].publish;
        // Committed at 1.5 and 3.0 s; found at 2 and 4 s (what is committed at the time of a look is found by the next).
        assert_eq!((seen.publish_latency_sum / u128::from(MS), seen.publish_latency.count()), (expected, 2));
    }
}

/// The process ends between the commit and the publish step: the fact is there, and nobody hears of it. With an outbox they do.
#[test]
fn a_crash_between_two_writes_loses_the_event() {
    for outbox in [None, polling(1.0, 10), tailing(0.1, 1.0)] {
        let with = outbox.is_some();
        let steps = match with {
            false => vec![commit(1.0), pause(1.0), publish()],
            true => vec![publish(), commit(1.0), pause(1.0)],
        };
        let it = ServicePlan { outbox, ..service("shop", steps) };
        // At 10 s: one in its transaction, one after it, one done.
        let mut plan = shop(20, 0.0, users_at(&[7.0, 8.5, 9.5], it));
        plan.faults = vec![fault(0, Effect::Crash, 10.0, 1.0)];
        let outcome = outcome(&plan, 1);
        let (publish, books) = (&outcome.services[0].publish, &outcome.consumers[0].ledger);
        assert_eq!((publish.crashed_before_publish, publish.phantoms), (u64::from(!with), 0));
        assert_eq!((books.created, books.unpublished, books.effected), (2, u64::from(!with), 1 + u64::from(with)));
    }
}

/// What sits in the client of a process when that ends is not published either.
#[test]
fn a_crash_takes_what_its_client_has_not_sent() {
    let mut plan = shop(20, 0.0, users_at(&[1.0, 8.5], service("shop", vec![commit(1.0), publish()])));
    plan.services[0].clients[0].1.batching =
        Some(crate::plan::Batching { linger: SimSpan::from_seconds(1), max_bytes: 1 << 20, max_messages: 100 });
    plan.faults = vec![fault(0, Effect::Crash, 10.0, 1.0)];
    let outcome = outcome(&plan, 1);
    let (publish, books) = (&outcome.services[0].publish, &outcome.consumers[0].ledger);
    assert_eq!((publish.crashed_before_publish, books.unpublished, books.effected, books.rejected), (1, 1, 1, 0));
}

/// Published first, and the transaction is rolled back or never comes: an event of a fact that never was.
#[test]
fn an_event_before_its_fact_may_be_a_phantom() {
    for (outbox, phantoms) in [(None, 1), (polling(1.0, 10), 0)] {
        let it = ServicePlan { outbox, ..service("shop", vec![publish(), commit(1.0)]) };
        let mut plan = shop(20, 0.0, users_at(&[7.0, 9.5], it));
        plan.faults = vec![fault(0, Effect::Crash, 10.0, 1.0)];
        let crashed = outcome(&plan, 1);
        let (publish, books) = (&crashed.services[0].publish, &crashed.consumers[0].ledger);
        assert_eq!((publish.phantoms, books.created, books.effected), (phantoms, 1 + phantoms, 1 + phantoms));
        // The same where the handler fails by itself: its own work is the transaction.
        plan.faults.clear();
        plan.services[0].failure.transient = 1.0;
        let failed = outcome(&plan, 1);
        let (publish, books) = (&failed.services[0].publish, &failed.consumers[0].ledger);
        assert_eq!(
            (publish.phantoms, books.created, failed.services[0].visits.failed),
            (2 * phantoms, 2 * phantoms, 2)
        );
    }
}

/// A handler that fails after its transaction owes the events that it would have published, of the branch that it would have
/// taken; one that publishes in time owes nothing.
#[test]
fn a_failing_handler_owes_what_it_would_have_published() {
    let mut failing = service("failing", vec![pause(0.1)]);
    failing.failure.transient = 1.0;
    let choice = Step::Choose(vec![(1.0, vec![publish(), publish()]), (0.0, vec![publish()])]);
    let steps = vec![hold(0, vec![commit(0.5)]), publish(), Step::Call(call(1)), choice];
    let mut plan = shop(20, 0.0, users_at(&[1.0, 4.0], service("shop", steps)));
    plan.services.push(failing);
    plan.resources = vec![resource("db")];
    let outcome = outcome(&plan, 1);
    let (publish, books) = (&outcome.services[0].publish, &outcome.consumers[0].ledger);
    assert_eq!((publish.failed_before_publish, publish.crashed_before_publish), (4, 0));
    assert_eq!((books.created, books.unpublished, books.effected), (6, 4, 2));
}
