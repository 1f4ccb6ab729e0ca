//! Random systems with services, resources, and consumers and producers that use them, or wait for events: no schedule changes
//! a bit of them.

use super::RunOptions;
use super::tests::{Dice, bare_plan, direct_client, outcome, producer, random_client, random_dist, same};
use crate::dist::{Arrivals, Dist};
use crate::outcome::{Defect, TransactionLedger, TwiceCause};
use crate::plan::*;
use crate::time::SimSpan;

const MS: f64 = 1e6;

fn small(dice: &mut Dice, below: u64) -> u32 {
    u32::try_from(dice.below(below)).expect("small")
}

fn random_transport(dice: &mut Dice) -> TransportPlan {
    TransportPlan {
        network: dice.pick(&[Dist::Constant(0.0), Dist::Exponential(0.3 * MS)]),
        handshakes: small(dice, 3),
        keep_alive: SimSpan::from_millis(100),
        multiplexed: dice.chance(30),
        cancels: dice.chance(40),
    }
}

fn random_service(dice: &mut Dice, plan: &Plan, index: u32, services: u32) -> ServicePlan {
    let mean = MS * (1.0 + dice.below(6) as f64);
    let mut steps = vec![Step::Work(random_dist(dice, mean))];
    // Calls go to later services only: one that comes back would call for ever.
    if index + 1 < services && dice.chance(50) {
        steps.push(random_call(dice, index + 1, services));
    }
    if dice.chance(40) {
        steps.push(random_hold(dice, plan));
    }
    let (mut clients, mut outbox) = (Vec::new(), None);
    if dice.chance(30) {
        if dice.chance(60) {
            steps.push(Step::Commit(random_dist(dice, 2.0 * MS)));
            steps.push(Step::Work(random_dist(dice, 20.0 * MS)));
        }
        let to = small(dice, plan.topics.len() as u64);
        steps.push(rare_publish(dice, to));
        if dice.chance(40) {
            steps.push(random_await(dice, plan.topics.len() as u64));
        }
        clients.push((TopicId(to), random_client(dice)));
        outbox = random_outbox(dice, &mut clients);
    }
    ServicePlan {
        name: format!("s{index}"),
        arrivals: dice.chance(30).then_some(Arrivals::Poisson(40.0)),
        events_per_arrival: Dist::Constant(1.0),
        key: KeyPlan::Uniform(30),
        size: Dist::Constant(1024.0),
        types: Vec::new(),
        instances: 1 + small(dice, 3),
        workers: 1 + small(dice, 4),
        queue: small(dice, 12),
        balance: dice.pick(&[Balance::RoundRobin, Balance::LeastOutstanding, Balance::TwoChoices, Balance::Pinned]),
        transport: random_transport(dice),
        handler: Handler { steps },
        failure: FailurePlan { transient: dice.pick(&[0.0, 0.05]), ..FailurePlan::default() },
        startup: random_dist(dice, 20.0 * MS),
        outbox,
        clients,
    }
}

/// Perhaps an outbox, whose relay waits for acknowledgements.
fn random_outbox(dice: &mut Dice, clients: &mut [(TopicId, ClientPlan)]) -> Option<OutboxPlan> {
    let relay = match dice.below(5) {
        0 | 1 => Relay::Poll { every: SimSpan::from_millis(1 + dice.below(40)), batch: 1 + small(dice, 20) },
        2 => Relay::Tail { delay: random_dist(dice, 5.0 * MS), store_every: SimSpan::from_millis(1 + dice.below(200)) },
        _ => return None,
    };
    for (_, client) in clients.iter_mut().filter(|(_, client)| client.acks == Acks::None) {
        client.acks = Acks::Leader;
    }
    Some(OutboxPlan { relay, startup: random_dist(dice, 10.0 * MS) })
}

/// What strikes the relays of outboxes, if there are any.
fn random_relay_fault(dice: &mut Dice, plan: &Plan) -> Option<FaultPlan> {
    let services = (0..).take(plan.services.len()).map(|id| Party::Service(ServiceId(id)));
    let producers = (0..).take(plan.producers.len()).map(|id| Party::Producer(ProducerId(id)));
    let relays: Vec<Party> = services.chain(producers).filter(|party| plan.outbox_of(*party).is_some()).collect();
    (!relays.is_empty()).then(|| FaultPlan {
        name: "relay".into(),
        stream: "faults/relay".into(),
        at: Dist::Exponential(200.0 * MS),
        every: Some(Dist::Exponential(200.0 * MS)),
        lasts: Some(Dist::Exponential(40.0 * MS)),
        target: FaultTarget::Relay(dice.pick(&relays)),
        effect: dice.pick(&[Effect::Crash, Effect::Crash, Effect::Pause]),
    })
}

/// A publish step that feeds nobody faster than it is fed.
fn rare_publish(dice: &mut Dice, to: u32) -> Step {
    let Step::Publish(mut step) = producer("x", 1.0, KeyPlan::None, to).handler.steps.remove(0) else {
        unreachable!("it publishes")
    };
    step.probability = 0.1;
    step.wait_for_ack = dice.chance(50);
    step.otherwise = (step.wait_for_ack && dice.chance(30)).then(Vec::new);
    Step::Publish(step)
}

fn random_otherwise(dice: &mut Dice) -> Otherwise {
    dice.chance(50).then(|| if dice.chance(50) { Vec::new() } else { vec![Step::Work(Dist::Exponential(MS))] })
}

fn random_call(dice: &mut Dice, from: u32, services: u32) -> Step {
    Step::Call(CallStep {
        to: ServiceId(from + small(dice, u64::from(services - from))),
        timeout: dice.chance(60).then(|| SimSpan::from_millis(1 + dice.below(30))),
        retry: CallRetry {
            attempts: 1 + small(dice, 3),
            backoff: Backoff::Drawn(random_dist(dice, 2.0 * MS)),
            jitter: 0.5,
            when: RetryWhen { timeout: true, refused: dice.chance(70), failed: true },
            budget: dice.chance(30).then_some(0.2),
        },
        breaker: dice.chance(30).then(|| BreakerPlan {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow: SimSpan::from_millis(20),
            window: 10,
            min_calls: 5,
            open_for: SimSpan::from_millis(60),
            half_open: 3,
        }),
        hedge: dice.chance(20).then_some(Dist::Constant(5.0 * MS)),
        pool: dice.chance(30).then(|| 1 + small(dice, 3)),
        otherwise: random_otherwise(dice),
    })
}

fn random_hold(dice: &mut Dice, plan: &Plan) -> Step {
    let steps = if dice.chance(30) { Vec::new() } else { vec![Step::Work(random_dist(dice, 2.0 * MS))] };
    let of = ResourceId(small(dice, plan.resources.len() as u64));
    Step::Hold { of, steps, otherwise: random_otherwise(dice) }
}

fn random_await(dice: &mut Dice, topics: u64) -> Step {
    Step::Await(AwaitStep {
        event: TopicId(small(dice, topics)),
        event_type: None,
        unless: dice.chance(20).then_some(0),
        timeout: Some(SimSpan::from_millis(1 + dice.below(60))),
        otherwise: random_otherwise(dice),
    })
}

fn random_resource(dice: &mut Dice, index: u64) -> ResourcePlan {
    let rate = dice.chance(30).then(|| (200.0, 1 + small(dice, 4)));
    ResourcePlan {
        name: format!("r{index}"),
        capacity: (rate.is_none() || dice.chance(50)).then(|| 1 + small(dice, 4)),
        per_key: dice.chance(40),
        rate,
        queue: dice.pick(&[0, 3, u32::MAX]),
        timeout: dice.chance(40).then(|| SimSpan::from_millis(10)),
        retry_after: dice.chance(30),
    }
}

fn random_step(dice: &mut Dice, plan: &Plan) -> Step {
    let services = u32::try_from(plan.services.len()).expect("few");
    let step = |dice: &mut Dice| match dice.below(4) {
        0 => random_hold(dice, plan),
        1 => random_await(dice, plan.topics.len() as u64),
        _ => random_call(dice, 0, services),
    };
    match dice.below(8) {
        0 => Step::Parallel {
            branches: vec![vec![step(dice)], vec![step(dice), Step::Commit(random_dist(dice, MS))]],
            quorum: 1 + small(dice, 2),
            otherwise: random_otherwise(dice),
        },
        1 => Step::Saga(SagaStep {
            parts: vec![(vec![step(dice)], vec![step(dice)]), (vec![step(dice)], Vec::new())],
            pivot: dice.chance(30).then_some(1),
            otherwise: random_otherwise(dice),
        }),
        _ => step(dice),
    }
}

fn enrich(dice: &mut Dice, plan: &Plan, handler: &mut Handler) {
    for _ in 0..1 + dice.below(2) {
        let at = usize::try_from(dice.below(handler.steps.len() as u64 + 1)).expect("few");
        handler.steps.insert(at, random_step(dice, plan));
    }
}

fn random_fault(dice: &mut Dice, plan: &Plan, n: u64) -> FaultPlan {
    let service = small(dice, plan.services.len() as u64);
    let one = small(dice, u64::from(plan.services[service as usize].instances));
    let who = dice.pick(&[Members::All, Members::One(one), Members::Any, Members::Each]);
    let (target, effect) = random_effect(dice, plan, ServiceId(service), who);
    FaultPlan {
        name: format!("s{n}"),
        stream: format!("faults/s{n}"),
        at: Dist::Exponential(400.0 * MS),
        every: dice.chance(50).then_some(Dist::Exponential(500.0 * MS)),
        lasts: Some(Dist::Exponential(100.0 * MS)),
        target,
        effect,
    }
}

/// What strikes a service, what it publishes, a way on which it is called, or a resource.
fn random_effect(dice: &mut Dice, plan: &Plan, service: ServiceId, who: Members) -> (FaultTarget, Effect) {
    let links = [
        Effect::Drop(0.2),
        Effect::LostResponse(0.2),
        Effect::Partition,
        Effect::Duplicate(0.3),
        Effect::Delay(random_dist(dice, 3.0 * MS)),
    ];
    let consumers = (0..).take(plan.consumers.len()).map(|id| Party::Consumer(ConsumerId(id)));
    let callers: Vec<Party> =
        consumers.filter(|caller| called(&plan.handler_of_party(*caller).steps).contains(&service)).collect();
    match dice.below(8) {
        0 | 1 if !callers.is_empty() => (FaultTarget::CallLink(dice.pick(&callers), service), dice.pick(&links)),
        2 => (FaultTarget::ServiceLink(service), dice.pick(&links)),
        3 => {
            let resource = ResourceId(small(dice, plan.resources.len() as u64));
            (FaultTarget::Resource(resource), dice.pick(&[Effect::Pause, Effect::Slow(5.0), Effect::Quota(50.0)]))
        }
        _ => {
            let effects = [
                Effect::Crash,
                Effect::Pause,
                Effect::Slow(5.0),
                Effect::Fail(0.3),
                Effect::ColdStart(8.0),
                Effect::BlackHole,
            ];
            (FaultTarget::Service(service, who), dice.pick(&effects))
        }
    }
}

/// A random plan in which some consumers and producers call, hold, or run steps at once.
pub(super) fn random_system(dice: &mut Dice) -> Plan {
    let mut p = bare_plan(dice);
    p.resources = (0..1 + dice.below(2)).map(|index| random_resource(dice, index)).collect();
    let services = 1 + small(dice, 3);
    for index in 0..services {
        let made = random_service(dice, &p, index, services);
        p.services.push(made);
    }
    let whole = p.clone();
    for consumer in &mut p.consumers {
        if dice.chance(65) {
            enrich(dice, &whole, &mut consumer.handler);
            // A process that hangs where nobody notices would stop its group.
            if dice.chance(20) && consumer.membership.group().is_some() {
                consumer.failure.hang = 0.003;
            }
        }
    }
    for producer in &mut p.producers {
        if dice.chance(50) {
            enrich(dice, &whole, &mut producer.handler);
        }
        if dice.chance(30) {
            producer.clients[0].1 = direct_client();
        }
        if dice.chance(30) {
            producer.outbox = random_outbox(dice, &mut producer.clients);
        }
        if dice.chance(30) {
            producer.handler.steps.insert(0, Step::Commit(random_dist(dice, MS)));
            producer.failure.transient = dice.pick(&[0.0, 0.1]);
        }
    }
    for n in 0..dice.below(4) {
        let fault = random_fault(dice, &p, n);
        p.faults.push(fault);
    }
    add_transactions(&mut Dice(dice.0 ^ 0x7A), &mut p);
    let relay = random_relay_fault(dice, &p);
    p.faults.extend(relay.filter(|_| dice.chance(70)));
    super::retries::add_some(&mut Dice(dice.0), &mut p);
    super::replays::add_some(&mut Dice(dice.0 ^ 1), &mut p);
    p
}

/// Whether a step runs nothing beside it.
fn stands_alone(step: &Step) -> bool {
    let mut alone = true;
    step.visit(&mut |step| alone &= !matches!(step, Step::Parallel { .. } | Step::Saga(_) | Step::Await(_)));
    alone
}

/// Transactions of some who publish, and readers who wait until these are committed.
fn add_transactions(dice: &mut Dice, p: &mut Plan) {
    let transact = |dice: &mut Dice, handler: &mut Handler, clients: &mut Vec<(TopicId, ClientPlan)>| {
        let publishes = |step: &Step| matches!(step, Step::Publish(_));
        let Some(at) = handler.steps.iter().position(publishes).filter(|_| dice.chance(60)) else { return };
        let mut inside: Vec<Step> = handler.steps.drain(at..).filter(stands_alone).collect();
        if dice.chance(40) {
            inside.push(Step::Work(random_dist(dice, MS)));
        }
        if dice.chance(40) {
            inside.push(inside[0].clone());
        }
        for step in &mut inside {
            if let Step::Publish(publish) = step {
                publish.wait_for_ack = publish.otherwise.is_some() || dice.chance(50);
            }
        }
        handler.steps.push(Step::Transaction(inside));
        let plan = TransactionPlan {
            timeout: SimSpan::from_millis(dice.pick(&[30, 100, 400])),
            scan: SimSpan::from_millis(dice.pick(&[10, 70])),
            same_id: dice.chance(70),
            backoff: SimSpan::from_millis(dice.pick(&[1, 4])),
        };
        for (_, client) in clients {
            (client.acks, client.idempotent) = (Acks::All, true);
            client.transactions = Some(plan);
        }
    };
    for producer in p.producers.iter_mut().filter(|producer| producer.outbox.is_none()) {
        transact(dice, &mut producer.handler, &mut producer.clients);
    }
    for consumer in &mut p.consumers {
        let polls = matches!(consumer.dispatch, Dispatch::Log(_));
        if polls && consumer.retry_topics.is_none() && !consumer.handler.waits() {
            let workers = std::mem::replace(&mut consumer.workers, 1);
            let settle = std::mem::replace(&mut consumer.settle, Settle::After);
            transact(dice, &mut consumer.handler, &mut consumer.clients);
            if consumer.handler.transaction().is_none() {
                (consumer.workers, consumer.settle) = (workers, settle);
            }
        }
        consumer.committed_only = polls && dice.chance(50);
    }
}

fn system(case: u64) -> Plan {
    random_system(&mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 777))
}

fn sweep(cases: std::ops::Range<u64>) {
    for case in cases {
        let plan = system(case);
        for coarse in [0, 20_000, 1_000_000] {
            same(&plan, case, case + 1, coarse);
        }
    }
}

#[test]
fn schedules_give_the_same_bytes_with_services() {
    sweep(0..60);
}

/// What happens in these systems, so that their sameness says something.
#[test]
fn much_happens_in_random_systems() {
    let mut seen = [0; 29];
    for case in 0..600 {
        let outcome = outcome(&system(case), &RunOptions { seed: case + 1, ..RunOptions::default() });
        let mut note = |what: usize, count: u64| seen[what] += count;
        for consumer in outcome.consumers.iter().filter(|consumer| consumer.handler.is_some()) {
            note(0, consumer.ledger.effected);
            note(1, consumer.cut_off);
            note(2, consumer.rebalances);
            note(3, consumer.duplicates_deliveries);
            note(4, consumer.failures);
        }
        let handlers = outcome.consumers.iter().filter_map(|it| it.handler.as_ref());
        for awaits in handlers.chain(outcome.services.iter().map(|it| &it.handler)).map(|handler| &handler.awaits) {
            note(12, awaits.arrived);
            note(13, awaits.refused);
            note(14, awaits.timeouts);
            note(15, awaits.left);
        }
        let producers = outcome.producers.iter();
        for handler in outcome.consumers.iter().filter_map(|it| it.handler.as_ref()) {
            for calls in handler.calls.values() {
                note(5, calls.succeeded);
                note(6, calls.failed);
                note(7, calls.open);
                note(8, calls.timeouts);
            }
            note(9, handler.sagas.compensated);
        }
        let publishers = outcome.services.iter().map(|it| &it.publish).chain(&outcome.producers);
        for publish in publishers {
            note(16, publish.crashed_before_publish + publish.failed_before_publish);
            note(17, publish.phantoms);
            note(18, publish.outbox.as_ref().map_or(0, |outbox| outbox.again));
            note(19, publish.outbox.as_ref().map_or(0, |_| publish.publish_latency.count()));
        }
        note(20, outcome.consumers.iter().map(|it| it.ledger.unpublished).sum());
        let again = Defect::Twice(TwiceCause::PublishedAgain);
        note(21, outcome.consumers.iter().filter_map(|it| it.defects.get(&again)).map(|seen| seen.count).sum());
        note(27, outcome.consumers.iter().map(|it| it.ledger.aborted).sum());
        note(28, outcome.consumers.iter().map(|it| it.aborted_reads).sum());
        let handlers = outcome.consumers.iter().filter_map(|it| it.handler.as_ref());
        for books in handlers.chain(producers.clone().filter_map(|it| it.handler.as_ref())).map(|it| it.transactions) {
            let TransactionLedger { committed, aborted, refused, timed_out, fenced, .. } = books;
            (22..).zip([committed, aborted, refused, timed_out, fenced]).for_each(|(what, count)| note(what, count));
        }
        note(10, producers.map(|producer| producer.failed).sum());
        note(11, outcome.resources.iter().map(|resource| resource.left).sum());
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
#[ignore = "a long soak"]
fn schedules_give_the_same_bytes_with_services_soak() {
    sweep(60..3_000);
}

#[test]
#[ignore = "repeats the case of the environment variable CASE"]
fn one_case() {
    let case: u64 = std::env::var("CASE").unwrap().parse().unwrap();
    sweep(case..case + 1);
}
