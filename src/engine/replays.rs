//! Tests of replays: exact cases by hand, and what random systems have of them.

use super::RunOptions;
use super::tests::{Dice, MS, consumer, outcome, plan, producer, topic};
use crate::dist::{Arrivals, Dist};
use crate::outcome::{ConsumerOutcome, Defect, DeliveryResult, LateCause, Outcome, TwiceCause};
use crate::plan::*;
use crate::time::{SimSpan, SimTime};

/// Lets some consumers of logs read again.
pub(super) fn add_some(dice: &mut Dice, p: &mut Plan) {
    let end = p.duration.0;
    for (consumer, id) in p.consumers.iter().zip(0..) {
        if matches!(consumer.dispatch, Dispatch::Queue(_)) || consumer.retry_topics.is_some() || !dice.chance(35) {
            continue;
        }
        for _ in 0..1 + dice.below(2) {
            let at = 1 + dice.below(end - 1);
            let from = if dice.chance(20) { 0 } else { dice.below(at) };
            p.faults.push(replay(id, at, from));
        }
    }
}

pub(super) fn replay(consumer: u32, at: u64, from: u64) -> FaultPlan {
    FaultPlan {
        name: "replay".into(),
        stream: "changes/replay".into(),
        at: Dist::Constant(at as f64),
        every: None,
        lasts: Some(Dist::Constant(0.0)),
        target: FaultTarget::Consumer(ConsumerId(consumer), Members::All),
        effect: Effect::Replay(SimTime(from)),
    }
}

const SECOND: u64 = 1_000_000_000;

/// Ten events a second of one key, each handled in 50 ms; at 10 s the consumer goes back to 4 s.
fn going_back(from: u64) -> Plan {
    let mut p = plan(30);
    p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
    let mut shop = producer("shop", 1.0, KeyPlan::Uniform(1), 0);
    shop.arrivals = Arrivals::Constant(10.0);
    p.producers.push(shop);
    p.consumers.push(consumer("reader", 0, 1, Dist::Constant(50.0 * MS)));
    p.faults.push(replay(0, 10 * SECOND, from));
    p
}

fn ran(plan: &Plan) -> Outcome {
    outcome(plan, &RunOptions { trace: true, ..RunOptions::default() })
}

fn twice(consumer: &ConsumerOutcome) -> u64 {
    consumer.defects.get(&Defect::Twice(TwiceCause::Replayed)).map_or(0, |seen| seen.count)
}

/// Creations of the events with one result, ms.
fn created(outcome: &Outcome, result: DeliveryResult) -> Vec<u64> {
    let of = outcome.trace.iter().filter(|record| record.result == result);
    of.map(|record| record.created.0 / 1_000_000).collect()
}

/// The backlog is what came in the time gone back by: 6 s at 10/s. It is worked off at 20/s while 10/s come: in 6 s. An event
/// created a time t after the replay waits for what is left of that, 3 s - t/2.
#[test]
fn what_is_read_again_is_rate_times_span_and_done_by_the_capacity_to_spare() {
    let seen = ran(&going_back(4 * SECOND));
    let reader = &seen.consumers[0];
    let again = created(&seen, DeliveryResult::DuplicateEffect);
    assert_eq!(again.len(), 60);
    assert_eq!((again.iter().min(), again.iter().max()), (Some(&4_000), Some(&9_900)));
    assert_eq!((reader.duplicates_effects, twice(reader), reader.rewinds), (60, 60, 1));
    assert_eq!((reader.order.violations, reader.lost.len()), (0, 0), "a second effect is not a late one");
    for record in seen.trace.iter().filter(|record| record.result == DeliveryResult::Effect) {
        let (created, done) = (record.created.0 / 1_000_000, record.done.0 / 1_000_000);
        let since = created.saturating_sub(10_000);
        let waits = if created < 10_000 { 0 } else { 3_000_u64.saturating_sub(since / 2) };
        assert_eq!(done - created, 50 + waits, "created at {created} ms");
    }
}

/// For several rates the lag is back after what waits over the capacity to spare.
#[test]
fn a_group_is_behind_for_the_backlog_over_the_capacity_to_spare() {
    for rate in [4.0, 8.0, 12.0, 16.0] {
        let mut p = going_back(4 * SECOND);
        p.duration = SimSpan::from_seconds(60);
        p.producers[0].arrivals = Arrivals::Constant(rate);
        let seen = ran(&p);
        let touched = &seen.faults[0].touched[&0];
        let (backlog, spare) = (6.0 * rate, 20.0 - rate);
        let drained = touched.drain_time.seconds();
        // One more or one less is there before, and as it ends.
        assert!((drained - backlog / spare).abs() <= 1.0 / spare + 0.1, "{rate}: {drained}");
        assert!((touched.lag_peak as f64 - backlog).abs() <= 1.0, "{rate}: {}", touched.lag_peak);
        assert_eq!((touched.effects, touched.not_drained), (touched.redeliveries, 0));
    }
}

/// Operators stop the group first: its processes start in 2 s, an empty group waits 1 s for company, and a round of joining
/// takes 200 ms. Where seats are kept, the group is not empty before the session of 4 s has run out, counted from a heartbeat.
#[test]
fn a_full_stop_is_paid() {
    for protocol in [Protocol::Eager, Protocol::Cooperative, Protocol::Incremental] {
        for fixed in [false, true] {
            let mut p = going_back(4 * SECOND);
            p.consumers[0].startup = Dist::Constant(2_000.0 * MS);
            p.consumers[0].membership = Membership::Group(GroupPlan {
                protocol,
                assignor: Assignor::Range,
                fixed,
                session_timeout: SimSpan::from_seconds(4),
                heartbeat: SimSpan::from_seconds(1),
                rebalance_timeout: SimSpan::from_seconds(30),
                join: Dist::Constant(200.0 * MS),
                initial_delay: SimSpan::from_seconds(1),
                initial_delay_grows: false,
                assignment_interval: SimSpan::from_millis(0),
            });
            let seen = ran(&p);
            let again = seen.trace.iter().filter(|record| record.result == DeliveryResult::DuplicateEffect);
            let first = again.clone().map(|record| record.start.0 / 1_000_000).min().unwrap();
            // Where the bus assigns, it does so with the first heartbeat.
            let started = if protocol == Protocol::Incremental { 12_000 } else { 13_200 };
            if fixed {
                assert!((started + 3_000..=started + 4_000).contains(&first), "{protocol:?}: {first}");
            } else {
                assert_eq!(first, started, "{protocol:?}");
            }
            assert_eq!((again.count(), seen.consumers[0].order.violations), (60, 0));
        }
    }
}

/// A process that ends between commit and effect skips what it had in hand; who goes back behind that takes it after all.
#[test]
fn what_was_committed_before_its_effect_is_open_again() {
    let mut p = going_back(4 * SECOND);
    p.consumers[0].settle = Settle::Before;
    p.faults.push(FaultPlan {
        name: "crash".into(),
        stream: "faults/crash".into(),
        at: Dist::Constant(5_020.0 * MS),
        every: None,
        lasts: Some(Dist::Constant(10.0 * MS)),
        target: FaultTarget::Consumer(ConsumerId(0), Members::All),
        effect: Effect::Crash,
    });
    let reader = &ran(&p).consumers[0];
    assert_eq!((reader.lost.values().sum::<u64>(), reader.ledger.skipped, reader.ledger.effected), (0, 0, 299));
    assert_eq!((reader.duplicates_effects, twice(reader)), (59, 59));
    p.faults.remove(0);
    let reader = &ran(&p).consumers[0];
    assert_eq!((reader.lost.values().sum::<u64>(), reader.ledger.skipped, reader.ledger.effected), (1, 1, 298));
}

/// At 15 s, before all is read that the replay at 10 s has gone back to and what came since, it goes back to 4 s once more: by
/// then 100 events have taken effect. A window counts from the last effect: of 5.5 s it stops the first time the 50 events
/// that are done again less than that later, and the second time the 10 others, and 40 that took effect since; each of them
/// comes 5 s later.
#[test]
fn going_back_twice_does_all_three_times() {
    let mut p = going_back(4 * SECOND);
    p.faults.push(replay(0, 15 * SECOND, 4 * SECOND));
    let Dispatch::Log(log) = &mut p.consumers[0].dispatch else { panic!("it reads from a log") };
    log.max_poll_records = 1;
    let reader = &ran(&p).consumers[0];
    assert_eq!((reader.duplicates_effects, twice(reader), reader.rewinds), (60 + 100, 60 + 100, 2));
    p.consumers[0].idempotent = Some(IdempotencePlan { window: SimSpan::from_millis(5_500), same_transaction: true });
    let reader = &ran(&p).consumers[0];
    assert_eq!((reader.duplicates_effects, reader.duplicates_suppressed), (10 + 50, 50 + 10 + 40));
}

/// Event number i of those read again takes its second effect 6 s - 50 ms i after its first.
#[test]
fn a_window_stops_what_comes_within_it() {
    for (window, stopped) in [(6_000, 60), (5_000, 40), (3_000, 0)] {
        let mut p = going_back(4 * SECOND);
        let window = SimSpan::from_millis(window);
        p.consumers[0].idempotent = Some(IdempotencePlan { window, same_transaction: true });
        let reader = &ran(&p).consumers[0];
        assert_eq!((reader.duplicates_suppressed, reader.duplicates_effects), (stopped, 60 - stopped));
        assert_eq!(twice(reader), 60 - stopped);
    }
}

/// What has been deleted is not read again, and not lost: it was done.
#[test]
fn retention_bounds_what_is_still_there() {
    let mut p = going_back(0);
    p.topics[0].retention = Some(RetentionPlan {
        time: SimSpan::from_seconds(2),
        bytes: None,
        segment_bytes: 1 << 30,
        segment_age: SimSpan::from_seconds(1),
        check: SimSpan::from_millis(100),
    });
    let seen = ran(&p);
    let reader = &seen.consumers[0];
    let first = created(&seen, DeliveryResult::DuplicateEffect).into_iter().min().unwrap();
    // A segment of a second goes when its last event is 2 s old, at the next look.
    assert!((6_800..=8_000).contains(&first), "{first}");
    assert_eq!(reader.duplicates_effects, (10_000 - first) / 100);
    assert!(reader.lost.is_empty());
    p.topics[0].retention = None;
    assert_eq!(ran(&p).consumers[0].duplicates_effects, 99, "the first comes at 100 ms");
}

/// What failed as long as a fault lasted takes effect when it is read again, and late.
#[test]
fn what_was_given_up_is_open_again() {
    let mut p = going_back(0);
    p.consumers[0].retry.attempts = 1;
    p.faults.push(FaultPlan {
        name: "failing".into(),
        stream: "faults/failing".into(),
        at: Dist::Constant(2.0 * SECOND as f64),
        every: None,
        lasts: Some(Dist::Constant(3.0 * SECOND as f64)),
        target: FaultTarget::Consumer(ConsumerId(0), Members::All),
        effect: Effect::Fail(1.0),
    });
    let seen = ran(&p);
    let reader = &seen.consumers[0];
    let failed = created(&seen, DeliveryResult::Discarded);
    assert_eq!(failed.len(), 30);
    assert_eq!((reader.ledger.discarded, reader.ledger.effected, reader.lost.values().sum::<u64>()), (0, 299, 0));
    assert_eq!((reader.duplicates_effects, twice(reader)), (99 - 30, 99 - 30));
    let late = reader.defects.get(&Defect::Late(LateCause::Replayed)).map_or(0, |seen| seen.count);
    assert_eq!((reader.order.violations, late), (30, 30));
    // Without the replay they are lost.
    p.faults.retain(|fault| !matches!(fault.effect, Effect::Replay(_)));
    assert_eq!(ran(&p).consumers[0].ledger.discarded, 30);
}

/// With an unbounded window in the transaction of the effect nothing happens twice, whatever else goes wrong.
#[test]
fn an_unbounded_window_stops_all() {
    let mut read_again = 0;
    for case in 0..60 {
        let mut p = super::tests::random_plan(&mut Dice(9_000 + case));
        for consumer in &mut p.consumers {
            consumer.idempotent = Some(IdempotencePlan { window: SimSpan::FOREVER, same_transaction: true });
        }
        for reader in outcome(&p, &RunOptions::default()).consumers {
            assert_eq!((reader.duplicates_effects, twice(&reader)), (0, 0), "case {case}");
            read_again += reader.rewinds * u64::from(reader.duplicates_suppressed > 0);
        }
    }
    assert!(read_again > 20, "{read_again}");
}
