//! Two machines run handlers: a small one at sources and groups, and that of the mesh. What both can run must come to the
//! same, to the bit.

use super::tests::{outcome, plan, producer, topic};
use super::{Plan, RunOptions};
use crate::dist::Dist;
use crate::outcome::Outcome;
use crate::plan::{Handler, KeyPlan, ResourceId, ResourcePlan, Step};

const MS: f64 = 1e6;

/// A step that does nothing, and that only the mesh knows.
fn nothing() -> Step {
    Step::Hold { of: ResourceId(0), steps: Vec::new(), otherwise: None }
}

fn resource() -> ResourcePlan {
    ResourcePlan { name: "nothing".into(), capacity: None, per_key: false, rate: None, queue: 0, timeout: None }
}

/// Outcomes of a plan, and of the same with `handlers` sent through the mesh.
fn both(plan: &Plan, seed: u64, handlers: impl Fn(&mut Plan) -> Vec<&mut Handler>) -> [Outcome; 2] {
    let mut other = plan.clone();
    other.resources.push(resource());
    handlers(&mut other).into_iter().for_each(|handler| handler.steps.insert(0, nothing()));
    [plan, &other].map(|plan| outcome(plan, &RunOptions { seed, ..RunOptions::default() }))
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
