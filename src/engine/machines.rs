//! Two machines run handlers: a small one at sources and groups, and that of the mesh. What both can run must come to the
//! same, to the bit.

use super::tests::{Dice, consumer, outcome, plan, producer, random_plan, topic};
use super::{Plan, RunOptions};
use crate::dist::Dist;
use crate::outcome::Outcome;
use crate::plan::{
    BatchPlan, ConsumerId, ConsumerPlan, Effect, FailurePlan, FaultPlan, FaultTarget, Handler, KeyPlan, Members,
    ResourceId, ResourcePlan, RetryMode, Step,
};
use crate::time::SimSpan;

const MS: f64 = 1e6;

/// A step that does nothing, and that only the mesh knows.
fn nothing() -> Step {
    Step::Hold { of: ResourceId(0), steps: Vec::new(), otherwise: None }
}

fn resource() -> ResourcePlan {
    ResourcePlan {
        name: "nothing".into(),
        capacity: None,
        per_key: false,
        rate: None,
        queue: 0,
        timeout: None,
        retry_after: false,
    }
}

/// Outcomes of a plan, and of the same with `handlers` sent through the mesh.
fn both(plan: &Plan, seed: u64, handlers: impl Fn(&mut Plan) -> Vec<&mut Handler>) -> [Outcome; 2] {
    let mut other = plan.clone();
    other.resources.push(resource());
    handlers(&mut other).into_iter().for_each(|handler| handler.steps.insert(0, nothing()));
    [plan, &other].map(|plan| outcome(plan, &RunOptions { seed, ..RunOptions::default() }))
}

/// Both saw the same; else the first things that differ.
fn alike(one: &Outcome, other: &Outcome, case: u64) {
    if let Some((one, other)) = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other) {
        panic!("case {case}: {one:?}\n{other:?}");
    }
    if one != other {
        let [one, other] = [one, other].map(|outcome| format!("{outcome:#?}"));
        let lines: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(9).collect();
        panic!("case {case}: {lines:#?}");
    }
}

/// A producer publishes the same events at the same times, whichever machine runs its handler.
#[test]
fn a_producer_is_the_same_in_both() {
    for seed in 1..4 {
        let mut p = plan(20);
        p.topics.push(topic("orders", 4, Dist::Exponential(MS)));
        p.topics[0].store.network = Dist::Exponential(0.2 * MS);
        let mut shop = producer("shop", 200.0, KeyPlan::Uniform(50), 0);
        let Step::Publish(mut step) = shop.handler.steps.remove(0) else { unreachable!("it publishes") };
        step.key = Some(KeyPlan::Uniform(7));
        step.count = Dist::Exponential(1.0);
        let publish = |probability: f64| {
            let mut step = step.clone();
            step.probability = probability;
            Step::Publish(step)
        };
        let branches = vec![(0.3, vec![Step::Work(Dist::Exponential(MS)), publish(0.5)]), (0.7, Vec::new())];
        shop.handler.steps = vec![
            Step::Work(Dist::Exponential(5.0 * MS)),
            publish(0.8),
            Step::Wait(Dist::Exponential(2.0 * MS)),
            Step::Choose(branches),
            publish(1.0),
        ];
        p.producers.push(shop);
        let [one, other] = both(&p, seed, |plan| vec![&mut plan.producers[0].handler]);
        assert!(one.topics[0].created > 5_000, "{}", one.topics[0].created);
        assert_eq!(one.topics, other.topics);
        let mut seen = other.producers[0].clone();
        assert!(seen.handler.take().is_some_and(|handler| handler.working > 0) && seen.open < 10);
        seen.open = 0;
        assert_eq!(one.producers[0], seen);
    }
}

/// A consumer handles the same events at the same times, whichever machine runs its handlers: what its group does about
/// members, workers, order, batches, failures and retries does not depend on that.
#[test]
fn a_consumer_is_the_same_in_both() {
    let mut seen = [0; 4];
    for case in 0..300 {
        let mut p = random_plan(&mut Dice(case * 7919 + 1));
        p.consumers.iter_mut().for_each(comparable);
        p.faults.retain(comparable_fault);
        for consumer in p.consumers.iter_mut().filter(|consumer| consumer.failure != FailurePlan::default()) {
            seen[0] += 1;
            // What is delivered again goes on with the next attempt. While another handler is at it, the small machine
            // knows how many that one will make, and the mesh how many it has begun.
            if consumer.retry.mode == RetryMode::Blocking {
                consumer.retry.attempts = 1;
            }
        }
        seen[1] += u64::from(!p.faults.is_empty());
        let [mut one, mut other] = [false, true].map(|delegate| {
            outcome(&p, &RunOptions { seed: case, trace: true, delegate, general: true, ..RunOptions::default() })
        });
        for consumer in &mut one.consumers {
            // It waits where a pause may strike: no group runs that.
            seen[3] += u64::from(consumer.handler.take().is_none());
        }
        for consumer in &mut other.consumers {
            let handler = consumer.handler.take().expect("its handlers run in the mesh");
            seen[2] += u64::from(handler.working > 0);
        }
        alike(&one, &other, case);
    }
    assert!(seen.into_iter().all(|count| count > 50), "{seen:?}");
}

/// A wait of ten seconds that begins at 20 s, and a pause of five in the middle of it, which takes nothing; one that begins at
/// 40 s, and a pause from 49 to 54 s. Work is late by all of both.
#[test]
fn a_wait_is_late_by_what_is_left_of_a_pause() {
    let seconds = |seconds: f64| Dist::Constant(seconds * 1000.0 * MS);
    let ends = |step: fn(Dist) -> Step| {
        let mut p = plan(60);
        p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
        let mut shop = producer("shop", 1.0, KeyPlan::None, 0);
        shop.arrivals = crate::dist::Arrivals::Constant(0.05);
        p.producers.push(shop);
        let mut reader = consumer("reader", 0, 1, seconds(1.0));
        reader.handler.steps = vec![step(seconds(10.0))];
        p.consumers.push(reader);
        let pause = |at: f64| FaultPlan {
            name: "pause".into(),
            stream: "0".into(),
            at: seconds(at),
            every: None,
            lasts: Some(seconds(5.0)),
            target: FaultTarget::Consumer(ConsumerId(0), Members::All),
            effect: Effect::Pause,
        };
        p.faults = vec![pause(23.0), pause(49.0)];
        let outcome = outcome(&p, &RunOptions { trace: true, ..RunOptions::default() });
        outcome.trace.iter().map(|record| (record.done.0 - record.start.0) / 1_000_000).collect::<Vec<_>>()
    };
    assert_eq!(ends(Step::Wait), [10_000, 14_000]);
    assert_eq!(ends(Step::Work), [15_000, 15_000]);
}

/// Where attempts fail and are made again at once, the retries are the same, too.
#[test]
fn retries_in_place_are_the_same_in_both() {
    for case in 0..40 {
        let mut p = plan(5);
        p.topics.push(topic("orders", 3, Dist::Exponential(MS)));
        p.producers.push(producer("shop", 100.0, KeyPlan::Uniform(20), 0));
        let mut reader = consumer("reader", 0, 2, Dist::Exponential(3.0 * MS));
        reader.workers = 1 + u32::try_from(case % 3).expect("small");
        reader.retry.attempts = 1 + u32::try_from(case % 5).expect("small");
        reader.failure = FailurePlan { transient: 0.3, permanent: 0.02, ..FailurePlan::default() };
        reader.handler.steps.push(Step::Wait(Dist::Exponential(MS)));
        reader.batch = (case % 2 == 0).then_some(BatchPlan { max: 4, max_wait: SimSpan::from_millis(20) });
        p.consumers.push(reader);
        let [one, mut other] = [false, true].map(|delegate| {
            outcome(&p, &RunOptions { seed: case, trace: true, delegate, general: true, ..RunOptions::default() })
        });
        assert!(one.consumers[0].failures > 50);
        other.consumers[0].handler = None;
        alike(&one, &other, case);
    }
}

/// Leaves out what the two machines do at other times, and are meant to: see the comments.
fn comparable(consumer: &mut ConsumerPlan) {
    // What is published from the mesh arrives 1 ns later where the bus takes no time.
    consumer.handler.steps.retain(|step| !matches!(step, Step::Publish(_)));
    consumer.dead_letter = None;
    consumer.clients.clear();
    // Work that takes no time, or the same time at several workers, ends at one instant: who is first is decided otherwise.
    for step in &mut consumer.handler.steps {
        if let Step::Work(time) | Step::Wait(time) = step
            && let Some(mean) = time.constant()
        {
            *time = Dist::Exponential(mean);
        }
    }
}

/// Slow-downs and failures that begin or end in the middle of a delivery: the small machine goes by what holds when the
/// first attempt begins, the mesh by what holds when each step, or attempt, does.
fn comparable_fault(fault: &FaultPlan) -> bool {
    !matches!(fault.effect, Effect::Slow(_) | Effect::Fail(_) | Effect::Poison(_))
}
