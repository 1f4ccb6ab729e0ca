//! Tests of retry topics: exact cases by hand, and what random systems have of them.

use super::RunOptions;
use super::tests::{Dice, MS, consumer, direct_client, outcome, plan, producer, random_client, random_dist, topic};
use crate::dist::{Arrivals, Dist};
use crate::outcome::{Again, ConsumerOutcome, Defect, DeliveryResult, LateCause, LossCause, Outcome, TwiceCause};
use crate::plan::*;
use crate::time::SimSpan;

/// Lets some consumers of logs retry from topics.
pub(super) fn add_some(dice: &mut Dice, p: &mut Plan) {
    for consumer in &mut p.consumers {
        let simple = consumer.batch.is_none() && consumer.schedule.is_none();
        if matches!(consumer.dispatch, Dispatch::Queue(_)) || !simple || !dice.chance(40) {
            continue;
        }
        consumer.failure.transient = dice.pick(&[0.05, 0.3]);
        consumer.retry = RetryPlan {
            attempts: 2 + u32::try_from(dice.below(4)).expect("small"),
            mode: RetryMode::RetryTopic,
            backoff: match dice.below(3) {
                0 => Backoff::Drawn(random_dist(dice, 30.0 * MS)),
                1 => Backoff::Steps(vec![SimSpan::from_millis(3), SimSpan::from_millis(dice.below(60))]),
                _ => Backoff::Exponential {
                    base: SimSpan::from_millis(1 + dice.below(20)),
                    factor: 2.0,
                    max: SimSpan::from_millis(50),
                },
            },
            jitter: dice.pick(&[0.0, 0.5]),
        };
        consumer.retry_topics = Some(RetryTopics::new(random_client(dice)));
    }
    p.add_retry_topics();
}

/// One topic, one consumer that retries from topics after 100 ms, 300 ms, 300 ms, ..., with constant times, and two events a
/// second. All attempts that begin in the first 1.5 s fail.
fn retrying(attempts: u32, keys: KeyPlan) -> Plan {
    let mut p = plan(4);
    p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
    let mut shop = producer("shop", 1.0, keys, 0);
    shop.arrivals = Arrivals::Constant(2.0);
    p.producers.push(shop);
    let mut reader = consumer("reader", 0, 1, Dist::Constant(10.0 * MS));
    reader.retry = RetryPlan {
        attempts,
        mode: RetryMode::RetryTopic,
        backoff: Backoff::Steps(vec![SimSpan::from_millis(100), SimSpan::from_millis(300)]),
        jitter: 0.0,
    };
    reader.retry_topics = Some(RetryTopics::new(direct_client()));
    p.consumers.push(reader);
    p.faults.push(fault("failing", 0.0, 1_500.0, Effect::Fail(1.0)));
    p.add_retry_topics();
    p
}

/// A fault of the consumer, from a time for a time in ms.
fn fault(name: &str, at: f64, lasts: f64, effect: Effect) -> FaultPlan {
    FaultPlan {
        name: name.into(),
        stream: format!("faults/{name}"),
        at: Dist::Constant(at * MS),
        every: None,
        lasts: Some(Dist::Constant(lasts * MS)),
        target: FaultTarget::Consumer(ConsumerId(0), Members::All),
        effect,
    }
}

fn ran(plan: &Plan) -> Outcome {
    outcome(plan, &RunOptions { trace: true, ..RunOptions::default() })
}

/// When the first effects of all events came, by their creation, ms.
fn done(outcome: &Outcome) -> Vec<(u64, u64)> {
    let mut done: Vec<_> = outcome.trace.iter().filter(|r| r.result == DeliveryResult::Effect).collect();
    done.sort_by_key(|record| record.created);
    done.iter().map(|record| (record.created.0 / 1_000_000, record.done.0 / 1_000_000)).collect()
}

fn late(consumer: &ConsumerOutcome, cause: LateCause) -> u64 {
    consumer.defects.get(&Defect::Late(cause)).map_or(0, |seen| seen.count)
}

fn twice(consumer: &ConsumerOutcome, cause: TwiceCause) -> u64 {
    consumer.defects.get(&Defect::Twice(cause)).map_or(0, |seen| seen.count)
}

/// An event that needs k attempts takes its waits and k services; those behind it do not wait, and overtake it.
#[test]
fn an_event_takes_its_waits_and_the_others_go_on() {
    let seen = ran(&retrying(5, KeyPlan::Uniform(1)));
    let on_time = [1_500, 2_000, 2_500, 3_000, 3_500].map(|at| (at, at + 10));
    assert_eq!(done(&seen), [&[(500, 1_550), (1_000, 1_740)], on_time.as_slice()].concat());
    let reader = &seen.consumers[0];
    assert_eq!((reader.attempts, reader.failures, reader.retried), (14, 7, 7));
    assert_eq!((reader.order.violations, late(reader, LateCause::RetryTopic)), (2, 2));
    assert_eq!((reader.lag.max, reader.duplicates_effects, reader.duplicates_deliveries), (1, 0, 0));
    // The failed attempts and the waits: 1,040 and 730 ms of 1,050 and 740.
    assert_eq!((reader.stages.retry, reader.stages.wait), (1_770 * 1_000_000, 0));
    let [first, second] = [1, 2].map(|topic: usize| seen.topics[topic].created);
    assert_eq!((first, second), (2, 5), "each event waits in the first retry topic once, and then in the second");
    // The same, but in its handler.
    let mut blocking = retrying(5, KeyPlan::Uniform(1));
    blocking.topics.truncate(1);
    (blocking.consumers[0].retry.mode, blocking.consumers[0].retry_topics) = (RetryMode::Blocking, None);
    let seen = ran(&blocking);
    assert_eq!((seen.consumers[0].order.violations, seen.consumers[0].lag.max), (0, 3));
}

/// After the last attempt an event is given up.
#[test]
fn what_never_succeeds_is_given_up() {
    let mut p = retrying(3, KeyPlan::Uniform(1));
    let seen = ran(&p);
    // Those of 0.5 s and 1 s have failed three times by 0.93 s and 1.43 s.
    assert_eq!(seen.consumers[0].lost[&LossCause::AttemptsExhausted], 2);
    assert_eq!((seen.consumers[0].ledger.discarded, seen.consumers[0].retried), (2, 4));
    p.topics.push(topic("dead", 1, Dist::Constant(0.0)));
    p.consumers[0].dead_letter = Some(TopicId(3));
    p.consumers[0].clients.push((TopicId(3), direct_client()));
    let seen = ran(&p);
    assert_eq!((seen.consumers[0].ledger.dead_lettered, seen.topics[3].stored), (2, 2));
    assert!(seen.consumers[0].lost.is_empty());
}

/// Of attempts that fail with probability p, all n of an event do with p^n.
#[test]
fn the_share_that_is_given_up_is_a_power() {
    for (attempts, share) in [(2, 0.3_f64), (3, 0.3), (4, 0.5)] {
        let mut p = retrying(attempts, KeyPlan::Uniform(100));
        p.faults.clear();
        (p.duration, p.producers[0].arrivals) = (SimSpan::from_seconds(60), Arrivals::Poisson(1_000.0));
        p.consumers[0].handler = Handler { steps: vec![Step::Work(Dist::Exponential(0.2 * MS))] };
        p.consumers[0].failure.transient = share;
        let seen = &outcome(&p, &RunOptions::default()).consumers[0];
        let of = (seen.ledger.effected + seen.ledger.discarded) as f64;
        let power = crate::math::pow(share, f64::from(attempts));
        let deviation = (power * (1.0 - power) / of).sqrt();
        let found = seen.ledger.discarded as f64 / of;
        assert!((found - power).abs() < 4.0 * deviation, "{attempts} attempts at {share}: {found} against {power}");
    }
}

/// A process that crashes between publishing a copy and the commit: the record is delivered again, and the copy too. An
/// idempotent consumer takes one of them.
#[test]
fn a_crash_before_the_commit_makes_a_second_effect() {
    let mut p = retrying(3, KeyPlan::Uniform(1));
    p.topics.iter_mut().for_each(|topic| topic.store.append = Dist::Constant(200.0 * MS));
    p.faults[0].lasts = Some(Dist::Constant(720.0 * MS));
    // Handled from 700 to 710 ms, the copy is on its way until 910 ms.
    p.faults.push(fault("crash", 800.0, 50.0, Effect::Crash));
    for (idempotent, effects, suppressed) in [(false, 1, 0), (true, 0, 1)] {
        let window = IdempotencePlan { window: SimSpan::from_seconds(60), same_transaction: true };
        p.consumers[0].idempotent = idempotent.then_some(window);
        let seen = ran(&p);
        let reader = &seen.consumers[0];
        assert_eq!((reader.duplicates_effects, reader.duplicates_suppressed), (effects, suppressed));
        let crashed = TwiceCause::HandedOut(Again::Crashed);
        assert_eq!((twice(reader, crashed), reader.cut_off, reader.retried), (effects, 1, 1));
        assert_eq!(done(&seen)[0], (500, 860));
    }
}

/// A copy that cannot be published keeps its handler until it can.
#[test]
fn a_copy_that_is_not_acknowledged_is_published_again() {
    let mut p = retrying(3, KeyPlan::Uniform(1));
    p.faults[0].lasts = Some(Dist::Constant(600.0 * MS));
    let mut cut = fault("cut", 505.0, 100.0, Effect::Partition);
    cut.target = FaultTarget::ConsumerLink(ConsumerId(0));
    p.faults.push(cut);
    let seen = ran(&p);
    let reader = &seen.consumers[0];
    let first = seen.trace.iter().find(|record| record.result == DeliveryResult::Retried).expect("one was retried");
    let waited = p.consumers[0].retry_topics.as_ref().expect("has some").client.retry.request_timeout;
    // A nanosecond: the topic is read by who publishes to it.
    assert_eq!(first.done.0, 510_000_000 + waited.0 + 1_000_000_000 + 1);
    assert_eq!((reader.retried, reader.ledger.effected, seen.topics[1].stored), (1, 7, 1));
    // Its wait was over before it was stored; the event of 1 s has been at the member for long.
    assert_eq!(done(&seen)[0].1, first.done.0 / 1_000_000 + 20);
}

/// Records of a retry topic are taken in its order, none before its wait is over.
#[test]
fn a_retry_topic_is_read_up_to_its_head() {
    let mut p = retrying(2, KeyPlan::Uniform(50));
    p.faults.clear();
    p.producers[0].arrivals = Arrivals::Poisson(300.0);
    p.consumers[0].handler = Handler { steps: vec![Step::Work(Dist::Exponential(MS))] };
    p.consumers[0].failure.transient = 0.3;
    p.consumers[0].retry.backoff = Backoff::Drawn(Dist::Exponential(50.0 * MS));
    let seen = ran(&p);
    let retried: Vec<_> = seen.trace.iter().filter(|record| record.retry == 1).collect();
    assert!(retried.len() > 200 && retried.is_sorted_by_key(|record| (record.offset, record.start)));
    // Who is due waits for the head: the mean is well above that of the waits.
    let waits = retried.iter().map(|record| (record.start.0 - record.visible.0) as f64);
    assert!(waits.sum::<f64>() / retried.len() as f64 > 100.0 * MS);
}

/// What the random systems have of retry topics, so that their sameness says something.
#[test]
fn random_systems_retry_from_topics() {
    let mut seen = [0; 6];
    for case in 0..150_u64 {
        let p = super::tests::random_plan(&mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 12345));
        for consumer in outcome(&p, &RunOptions { seed: case + 1, ..RunOptions::default() }).consumers {
            let retries = consumer.retried > 0;
            let counts = [
                consumer.retried,
                late(&consumer, LateCause::RetryTopic),
                twice(&consumer, TwiceCause::RetryTopic),
                u64::from(retries) * consumer.ledger.acked_lost,
                u64::from(retries) * (consumer.ledger.discarded + consumer.ledger.dead_lettered),
                u64::from(retries) * consumer.rebalances,
            ];
            seen.iter_mut().zip(counts).for_each(|(seen, count)| *seen += count);
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
