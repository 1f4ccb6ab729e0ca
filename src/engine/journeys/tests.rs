//! Journeys of random systems, for the tests of all schedules; and what is told of them, by hand.

use super::super::tests::{Dice, MS, consumer, outcome, plan, producer, random_client, random_dist, topic};
use crate::dist::{Arrivals, Dist};
use crate::engine::RunOptions;
use crate::engine::mesh::tests::{call, service};
use crate::plan::{
    Acks, FailurePlan, FlowPlan, Goal, Node, OutcomePlan, Party, Plan, PublishStep, ReadPlan, ServicePlan, Step,
    TopicId,
};
use crate::time::SimSpan;

/// A step that publishes what is in hand.
fn publish(to: TopicId) -> PublishStep {
    match producer("x", 1.0, crate::dist::KeyPlan::None, to.0).handler.steps.remove(0) {
        Step::Publish(step) => step,
        _ => unreachable!("a producer publishes"),
    }
}

/// Services that publish, and flows and reads through all that there is.
pub(in crate::engine) fn add_some(dice: &mut Dice, p: &mut Plan) {
    if dice.chance(50) {
        add_services(dice, p);
    }
    for n in 0..dice.below(4) {
        let from = dice.pick(&p.origins());
        let reached: Vec<Node> = p.reached_from(from).into_iter().collect();
        let deadline = dice.chance(40).then(|| SimSpan::from_millis(5 + dice.below(100)));
        let goal = random_goal(dice, &reached);
        p.flows.extend(goal.map(|goal| FlowPlan { name: format!("f{n}"), from, goal, deadline }));
        let parties: Vec<Party> = reached.iter().filter_map(party).collect();
        p.reads.push(ReadPlan {
            name: format!("r{n}"),
            of: dice.pick(&parties),
            after: random_dist(dice, 5.0 * MS),
            poll: dice.chance(50).then(|| random_dist(dice, 8.0 * MS)),
        });
    }
}

fn party(node: &Node) -> Option<Party> {
    if let Node::Party(party) = node { Some(*party) } else { None }
}

fn random_goal(dice: &mut Dice, reached: &[Node]) -> Option<Goal> {
    let topics = reached.iter().filter_map(|node| if let Node::Topic(topic) = node { Some(*topic) } else { None });
    let topics: Vec<TopicId> = topics.collect();
    if dice.chance(30) && !topics.is_empty() {
        let end = OutcomePlan { name: "o".into(), event: dice.pick(&topics), event_type: None };
        return Some(Goal::Outcomes(vec![end]));
    }
    let parts = reached.iter().filter_map(party).filter(|party| !matches!(party, Party::Producer(_)));
    let parts: Vec<Party> = parts.filter(|_| dice.chance(60)).collect();
    (!parts.is_empty()).then_some(Goal::Parts(parts))
}

/// A service with users that calls another; both publish.
fn add_services(dice: &mut Dice, p: &mut Plan) {
    let topics = p.topics.len() as u64;
    let mut to = || TopicId(u32::try_from(dice.below(topics)).unwrap());
    let (first, second) = (publish(to()), publish(to()));
    let first = PublishStep { wait_for_ack: dice.chance(50), probability: 0.8, ..first };
    let mut asks = call(0);
    asks.timeout = dice.chance(70).then(|| SimSpan::from_millis(4 + dice.below(20)));
    asks.retry.attempts = 1 + u32::try_from(dice.below(3)).unwrap();
    asks.otherwise = dice.chance(50).then(Vec::new);
    let commit = dice.chance(50).then(|| Step::Commit(random_dist(dice, MS)));
    let steps = [Step::Work(random_dist(dice, 2.0 * MS))].into_iter().chain(commit);
    let steps = steps.chain([Step::Publish(first.clone()), Step::Call(asks)]).collect();
    let back = vec![Step::Work(random_dist(dice, 6.0 * MS)), Step::Publish(second.clone())];
    let made = |name, steps, client, to| ServicePlan {
        workers: 2,
        queue: 5,
        failure: FailurePlan { transient: 0.05, ..FailurePlan::default() },
        clients: vec![(to, client)],
        ..service(name, steps)
    };
    p.services.push(made("back", back, random_client(dice), second.to));
    let front = made("front", steps, random_client(dice), first.to);
    p.services.push(ServicePlan { arrivals: Some(Arrivals::Poisson(120.0)), instances: 2, ..front });
    if dice.chance(30) {
        p.producers[0].handler.steps.push(Step::Call(call(0)));
    }
}

/// A producer whose events come by the second, a consumer that passes each on, and one that reads that.
fn chain() -> Plan {
    let mut p = plan(101);
    p.topics = ["orders", "packed"].map(|name| topic(name, 2, Dist::Constant(0.0))).into();
    p.producers = vec![producer("shop", 1.0, crate::dist::KeyPlan::Unique, 0)];
    p.producers[0].arrivals = Arrivals::constant(1.0).unwrap();
    p.consumers =
        vec![consumer("pack", 0, 2, Dist::Constant(100.0 * MS)), consumer("ship", 1, 2, Dist::Constant(50.0 * MS))];
    p.consumers[0].handler.steps.push(Step::Publish(publish(TopicId(1))));
    p.consumers[0].clients = p.producers[0].clients.iter().map(|(_, client)| (TopicId(1), client.clone())).collect();
    p
}

fn flow(parts: &[u32]) -> FlowPlan {
    let party = |id: &u32| Party::Consumer(crate::plan::ConsumerId(*id));
    let from = Party::Producer(crate::plan::ProducerId(0));
    FlowPlan { name: "done".into(), from, goal: Goal::Parts(parts.iter().map(party).collect()), deadline: None }
}

/// What of the journey is published before a handler's end keeps it open, whatever is done meanwhile; a part is done with
/// its last piece.
#[test]
fn a_part_is_done_with_its_last_piece() {
    let mut p = chain();
    let Step::Publish(step) = &mut p.consumers[0].handler.steps[1] else { unreachable!() };
    step.count = Dist::Constant(3.0);
    p.topics[1].partitions = 1;
    p.flows = vec![flow(&[0, 1]), flow(&[0])];
    let seen = outcome(&p, &RunOptions::default());
    let done = |index: usize| (seen.flows[index].latency.min(), seen.flows[index].latency.max());
    assert_eq!(done(0), (250_000_000, 250_000_000), "100 ms, and three times 50 ms by one member");
    assert_eq!(done(1), (100_000_000, 100_000_000), "what only the other part waits for is not waited for");
    assert_eq!((seen.flows[0].begun, seen.flows[0].open + seen.flows[0].done), (100, 100));
}

/// What is given up, filtered, or never stored, will not come: its journey is stuck as soon as that is known.
#[test]
fn what_will_not_come_leaves_a_journey_stuck() {
    let mut p = chain();
    p.flows = vec![flow(&[1])];
    p.consumers[0].failure.permanent = 0.2;
    p.consumers[1].keys = (0.0, 0.5);
    let seen = outcome(&p, &RunOptions::default());
    let [pack, ship] = &seen.consumers[..] else { unreachable!() };
    let (given_up, filtered) = (pack.ledger.discarded, ship.ledger.filtered);
    assert!(given_up > 5 && filtered > 20, "{given_up} {filtered}");
    assert_eq!((seen.flows[0].stuck, seen.flows[0].done), (given_up + filtered, ship.ledger.effected));
    // A client without an answer, and without a second attempt, gives up what was not stored.
    let mut p = chain();
    p.flows = vec![flow(&[0])];
    p.producers[0].clients[0].1.acks = Acks::Leader;
    p.faults = vec![crate::plan::FaultPlan {
        name: "lost".into(),
        stream: "lost".into(),
        at: Dist::Constant(0.0),
        every: None,
        lasts: None,
        target: crate::plan::FaultTarget::ProducerLink(crate::plan::ProducerId(0)),
        effect: crate::plan::Effect::Drop(0.3),
    }];
    let seen = outcome(&p, &RunOptions::default());
    let lost = seen.producers[0].indeterminate;
    assert!(lost > 15, "{lost}");
    assert_eq!((seen.flows[0].stuck, seen.flows[0].done), (lost, 100 - lost));
}

/// A journey that has not come to its end is open, or stuck if its deadline has passed.
#[test]
fn the_end_of_the_run_is_not_the_end_of_a_journey() {
    let mut p = chain();
    // Half as fast as what comes: the n-th comes at n and is done at 2 n + 1.
    p.consumers[0] = consumer("pack", 0, 1, Dist::Constant(2000.0 * MS));
    p.flows = vec![flow(&[0]), FlowPlan { deadline: Some(SimSpan::from_seconds(20)), ..flow(&[0]) }];
    let seen = outcome(&p, &RunOptions::default());
    let count = |index: usize| {
        let it = &seen.flows[index];
        (it.begun, it.done, it.late, it.stuck, it.open)
    };
    assert_eq!(count(0), (100, 49, 0, 0, 51));
    assert_eq!(count(1), (100, 49, 30, 31, 20));
}

/// Reads of a consumer: each event takes effect 100 ms after it was created.
#[test]
fn users_see_what_has_been_applied_when_they_look() {
    let mut p = chain();
    let read = |after: f64, poll: Option<f64>| ReadPlan {
        name: "page".into(),
        of: Party::Consumer(crate::plan::ConsumerId(0)),
        after: Dist::Constant(after * MS),
        poll: poll.map(|poll| Dist::Constant(poll * MS)),
    };
    p.reads =
        vec![read(99.0, None), read(100.0, None), read(10.0, Some(40.0)), read(10.0, Some(45.0)), read(0.0, None)];
    p.reads[4].of = Party::Producer(crate::plan::ProducerId(0));
    let seen = outcome(&p, &RunOptions::default());
    let stale: Vec<(u64, u64)> = seen.reads.iter().map(|read| (read.stale, read.looked)).collect();
    assert_eq!(stale, [(100, 100), (0, 100), (100, 100), (100, 100), (0, 100)]);
    let visible: Vec<(u64, u64)> = seen.reads.iter().map(|read| (read.visible.min(), read.visible.max())).collect();
    assert_eq!(visible, [(100_000_000, 100_000_000); 4].into_iter().chain([(0, 0)]).collect::<Vec<_>>());
    let polls = [2, 3].map(|index| (seen.reads[index].seen.max() / 1_000_000, seen.reads[index].looks));
    assert_eq!(polls, [(130, 400), (100, 300)]);
}
