//! The schedule must not matter: random small systems run alike, to the last bit, whatever the schedule and window.

use super::*;
use crate::dist::{Arrivals, Dist, Replay};
use crate::outcome::{Chapter, Defect, Told};
use crate::plan::*;
use crate::stats::STEPS;
use crate::time::SimSpan;

struct Always;
impl Progress for Always {
    fn reached(&self, _: SimTime) -> bool {
        true
    }
}

/// Small random numbers for making plans.
pub(super) struct Dice(pub(super) u64);
impl Dice {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()].clone()
    }
}

pub(super) const MS: f64 = 1e6;

pub(super) fn ideal_store(append: Dist) -> StorePolicy {
    StorePolicy {
        network: Dist::Constant(0.0),
        append,
        replicate: Dist::Constant(0.0),
        fsync: Dist::Constant(0.0),
        visible_when_replicated: false,
    }
}

const REFRESH: Refresh =
    Refresh { age: SimSpan::from_millis(400), backoff: SimSpan::from_millis(5), backoff_max: SimSpan::from_millis(20) };

pub(super) fn direct_client() -> ClientPlan {
    ClientPlan {
        partitioning: Partitioning { hash: Some(KeyHash::Number), keyless: Keyless::Turn },
        fifo_connection: false,
        fifo_answers: false,
        batching: None,
        buffer: None,
        max_in_flight: None,
        acks: Acks::All,
        idempotent: false,
        retry: PublishRetry {
            retries: 0,
            request_timeout: SimSpan::from_millis(50),
            delivery_timeout: SimSpan::from_millis(400),
            backoff: SimSpan::from_millis(5),
            backoff_max: SimSpan::from_millis(20),
        },
        refresh: REFRESH,
        transactions: None,
    }
}

pub(super) fn producer(name: &str, rate: f64, key: KeyPlan, to: u32) -> ProducerPlan {
    let step = PublishStep {
        to: TopicId(to),
        event_type: None,
        key: None,
        size: None,
        count: Dist::Constant(1.0),
        probability: 1.0,
        wait_for_ack: true,
        otherwise: None,
    };
    ProducerPlan {
        name: name.into(),
        arrivals: Arrivals::Poisson(rate),
        events_per_arrival: Dist::Constant(1.0),
        key,
        size: Dist::Constant(1024.0),
        types: Vec::new(),
        instances: 2,
        handler: Handler { steps: vec![Step::Publish(step)] },
        failure: FailurePlan::default(),
        outbox: None,
        clients: vec![(TopicId(to), direct_client())],
    }
}

pub(super) fn consumer(name: &str, topic: u32, members: u32, service: Dist) -> ConsumerPlan {
    ConsumerPlan {
        name: name.into(),
        subscribes: vec![TopicId(topic)],
        types: None,
        keys: (0.0, 1.0),
        members,
        workers: 1,
        order: WorkerOrder::Partition,
        handler: Handler { steps: vec![Step::Work(service)] },
        batch: None,
        schedule: None,
        failure: FailurePlan::default(),
        retry: RetryPlan {
            attempts: 3,
            mode: RetryMode::Blocking,
            backoff: Backoff::Exponential { base: SimSpan::from_millis(1), factor: 2.0, max: SimSpan::from_millis(9) },
            jitter: 0.5,
        },
        retry_topics: None,
        dead_letter: None,
        idempotent: None,
        settle: Settle::After,
        committed_only: false,
        autoscale: None,
        dispatch: Dispatch::Log(LogDispatch {
            network: Dist::Constant(0.0),
            max_poll_records: u32::MAX,
            fetch_max_wait: SimSpan::ZERO,
            max_fetch_records: u32::MAX,
            commit_each: true,
            request_timeout: SimSpan::from_millis(40),
            refresh: REFRESH,
            reset: Reset::Earliest,
        }),
        membership: Membership::Immediate,
        startup: Dist::Constant(0.0),
        clients: Vec::new(),
        key_order: Ok(()),
    }
}

pub(super) fn topic(name: &str, partitions: u32, append: Dist) -> TopicPlan {
    TopicPlan {
        name: name.into(),
        bus: "main".into(),
        fan_out: true,
        partitions,
        bus_id: BusId(0),
        brokers: 2,
        copies: 1,
        min_in_sync: 1,
        unclean_election: false,
        retention: None,
        store: ideal_store(append),
    }
}

/// A bus of two nodes that can fail.
pub(super) fn bus() -> BusPlan {
    BusPlan {
        name: "main".into(),
        brokers: 2,
        failover: Some(FailoverPlan {
            heartbeat: SimSpan::from_millis(20),
            session_timeout: SimSpan::from_millis(90),
            election: Dist::Exponential(4.0 * MS),
            lag_limit: SimSpan::from_millis(300),
            catch_up: Dist::Exponential(15.0 * MS),
            startup: Dist::Exponential(15.0 * MS),
            unsynced: Dist::Exponential(60.0 * MS),
            rebalance: Some(SimSpan::from_millis(150)),
        }),
    }
}

pub(super) fn plan(seconds: u64) -> Plan {
    Plan {
        services: Vec::new(),
        resources: Vec::new(),
        flows: Vec::new(),
        reads: Vec::new(),
        name: "test".into(),
        seed: 1,
        replications: 1,
        duration: SimSpan::from_seconds(seconds),
        warm_up: SimSpan::ZERO,
        warm_up_from: crate::plan::WarmUp::Stated,
        buses: vec![bus()],
        topics: Vec::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        faults: Vec::new(),
        changes: Vec::new(),
        expectations: Vec::new(),
        key_labels: Vec::new(),
        numeric_keys: u32::MAX,
        event_types: vec![String::new()],
        backlog_bound: 10_000_000,
    }
}

pub(super) fn random_dist(dice: &mut Dice, mean: f64) -> Dist {
    if dice.chance(30) { Dist::Constant(mean) } else { Dist::Exponential(mean) }
}

pub(super) fn random_client(dice: &mut Dice) -> ClientPlan {
    let mut client = direct_client();
    client.retry.retries = 5;
    client.fifo_connection = dice.chance(60);
    client.fifo_answers = client.fifo_connection && dice.chance(50);
    client.partitioning = Partitioning {
        hash: dice.pick(&[
            Some(KeyHash::Number),
            Some(KeyHash::Murmur2),
            Some(KeyHash::Crc32),
            Some(KeyHash::Fnv1a),
            None,
        ]),
        keyless: dice.pick(&[
            Keyless::Turn,
            Keyless::Random,
            Keyless::EmptyKey,
            Keyless::StickyBatch,
            Keyless::StickyFor(SimSpan::from_millis(7)),
        ]),
    };
    if dice.chance(50) {
        client.batching = Some(Batching {
            linger: SimSpan::from_millis(dice.below(8)),
            max_bytes: 1024 * (1 + dice.below(8)),
            max_messages: dice.pick(&[3, u64::MAX]),
        });
        client.max_in_flight = Some(1 + u32::try_from(dice.below(5)).unwrap());
        client.buffer = dice.chance(40).then(|| ClientBuffer {
            bytes: 8 * 1024 * (1 + dice.below(4)),
            messages: dice.pick(&[20, u64::MAX]),
            whole_batches: dice.chance(60),
            max_block: SimSpan::from_millis(dice.below(30)),
        });
        client.idempotent = dice.chance(50);
        client.acks = dice.pick(&[Acks::None, Acks::Leader, Acks::All]);
    }
    client
}

/// A queue, or a log with groups.
fn random_dispatch(dice: &mut Dice, c: &mut ConsumerPlan) {
    if dice.chance(30) {
        c.dispatch = Dispatch::Queue(QueueDispatch {
            network: random_dist(dice, 0.3 * MS),
            prefetch: 1 + u32::try_from(dice.below(9)).unwrap(),
            silence: SimSpan::from_millis(70),
            reconnect: SimSpan::from_millis(15),
        });
        c.settle = dice.pick(&[Settle::After, Settle::Before]);
        c.retry.mode = dice.pick(&[RetryMode::Blocking, RetryMode::Requeue]);
    } else {
        c.dispatch = Dispatch::Log(LogDispatch {
            network: random_dist(dice, 0.3 * MS),
            max_poll_records: 1 + u32::try_from(dice.below(20)).unwrap(),
            fetch_max_wait: SimSpan::ZERO,
            max_fetch_records: 1 + u32::try_from(dice.below(40)).unwrap(),
            commit_each: false,
            request_timeout: SimSpan::from_millis(40),
            refresh: REFRESH,
            reset: dice.pick(&[Reset::Earliest, Reset::Latest]),
        });
        c.membership = Membership::Group(GroupPlan {
            protocol: dice.pick(&[Protocol::Eager, Protocol::Cooperative, Protocol::Incremental]),
            assignor: dice.pick(&[Assignor::Range, Assignor::Turn, Assignor::Sticky, Assignor::Sticky]),
            fixed: dice.chance(30),
            session_timeout: SimSpan::from_millis(150),
            heartbeat: SimSpan::from_millis(30),
            rebalance_timeout: SimSpan::from_millis(dice.pick(&[40, 150, 500])),
            join: dice.pick(&[Dist::Constant(0.0), Dist::Constant(3.0 * MS), Dist::Exponential(3.0 * MS)]),
            initial_delay: SimSpan::from_millis(dice.pick(&[0, 20])),
            initial_delay_grows: dice.chance(50),
            assignment_interval: SimSpan::from_millis(dice.pick(&[0, 25])),
        });
        if dice.chance(25) {
            c.batch = Some(BatchPlan { max: 5, max_wait: SimSpan::from_millis(dice.below(20)) });
        }
        if dice.chance(20) {
            c.schedule = Some(SchedulePlan { every: SimSpan::from_millis(170), offset: SimSpan::from_millis(60) });
        }
    }
}

fn random_consumer(dice: &mut Dice, index: u64, topic: u32, topics: u32) -> ConsumerPlan {
    let members = 1 + u32::try_from(dice.below(4)).unwrap();
    let mean = MS * (1.0 + dice.below(12) as f64);
    let service = random_dist(dice, mean);
    let mut c = consumer(&format!("c{index}"), topic, members, service);
    if dice.chance(60) {
        c.workers = 1 + u32::try_from(dice.below(3)).unwrap();
        c.order = dice.pick(&[WorkerOrder::Partition, WorkerOrder::Key, WorkerOrder::None]);
        c.startup = random_dist(dice, 20.0 * MS);
        c.settle = dice.pick(&[Settle::After, Settle::Before, Settle::Timer(SimSpan::from_millis(70))]);
        random_dispatch(dice, &mut c);
    }
    if dice.chance(40) {
        c.failure =
            FailurePlan { transient: 0.05, permanent: 0.01, hang: 0.0, crash: if c.workers > 1 { 0.002 } else { 0.0 } };
    }
    if dice.chance(30) {
        c.idempotent = Some(IdempotencePlan { window: SimSpan::from_millis(300), same_transaction: dice.chance(50) });
    }
    if dice.chance(10) && c.membership.group().is_some() {
        c.failure.hang = 0.003;
    }
    if dice.chance(15) {
        c.keys = (0.2, 0.7);
    }
    let forward = topic + 1 < topics;
    if forward && dice.chance(50) || dice.chance(10) {
        let to = if forward { topic + 1 } else { 0 };
        let mut step = match &producer("x", 1.0, KeyPlan::None, to).handler.steps[0] {
            Step::Publish(step) => step.clone(),
            _ => unreachable!(),
        };
        step.probability = if to == 0 { 0.3 } else { 0.9 };
        step.wait_for_ack = dice.chance(50);
        c.handler.steps.push(Step::Publish(step));
        if dice.chance(30) {
            c.handler.steps.push(Step::Wait(random_dist(dice, MS)));
        }
        c.clients.push((TopicId(to), random_client(dice)));
    }
    if forward && dice.chance(20) {
        let to = TopicId(topic + 1);
        c.dead_letter = Some(to);
        if c.clients.iter().all(|(topic, _)| *topic != to) {
            c.clients.push((to, random_client(dice)));
        }
    }
    c
}

fn random_fault(dice: &mut Dice, plan: &Plan, n: u64) -> FaultPlan {
    let consumer = u32::try_from(dice.below(plan.consumers.len() as u64)).unwrap();
    let members = plan.consumers[consumer as usize].members;
    let one = u32::try_from(dice.below(u64::from(members))).unwrap();
    let who = dice.pick(&[Members::All, Members::One(one), Members::Any, Members::Each]);
    let target = FaultTarget::Consumer(ConsumerId(consumer), who);
    let producer = FaultTarget::ProducerLink(ProducerId(0));
    let reader = FaultTarget::ConsumerLink(ConsumerId(consumer));
    let delay = Effect::Delay(Dist::Constant(2.0 * MS));
    let (target, effect) = match dice.below(18) {
        0..=2 => (target, Effect::Crash),
        3..=4 => (target, Effect::Pause),
        5 => (target, Effect::Slow(5.0)),
        6 => (target, Effect::Fail(0.3)),
        7..=8 => (target, Effect::Poison(3)),
        9 => (reader, delay),
        10 => (reader, Effect::Drop(dice.pick(&[0.02, 0.3, 1.0]))),
        11 => (reader, Effect::LostResponse(dice.pick(&[0.02, 0.3, 1.0]))),
        12 => (reader, Effect::Duplicate(0.2)),
        13 => (producer, delay),
        14 => (producer, Effect::Drop(0.1)),
        15 => (producer, Effect::LostResponse(0.1)),
        16 => (producer, Effect::Duplicate(0.1)),
        _ => (FaultTarget::Producer(ProducerId(0)), Effect::Burst(3.0)),
    };
    FaultPlan {
        name: format!("f{n}"),
        stream: format!("faults/f{n}"),
        at: Dist::Exponential(400.0 * MS),
        every: dice.chance(50).then_some(Dist::Exponential(500.0 * MS)),
        lasts: dice.chance(90).then_some(dice.pick(&[
            Dist::Exponential(120.0 * MS),
            Dist::Exponential(120.0 * MS),
            Dist::Constant(0.0),
        ])),
        target,
        effect,
    }
}

/// Three or four nodes with copies on several, which crash and stand still.
pub(super) fn fail_brokers(dice: &mut Dice, p: &mut Plan) {
    let brokers = 3 + u32::try_from(dice.below(2)).unwrap();
    p.buses[0].brokers = brokers;
    let failover = p.buses[0].failover.as_mut().unwrap();
    failover.lag_limit = SimSpan::from_millis(dice.pick(&[50, 300]));
    failover.rebalance = failover.rebalance.filter(|_| dice.chance(70));
    for topic in &mut p.topics {
        topic.brokers = brokers;
        topic.copies = 1 + u32::try_from(dice.below(3)).unwrap();
        topic.min_in_sync = 1 + u32::try_from(dice.below(u64::from(topic.copies))).unwrap();
        topic.unclean_election = dice.chance(30);
        topic.store.visible_when_replicated |= dice.chance(70);
        topic.store.replicate = random_dist(dice, 4.0 * MS);
    }
    for n in 0..1 + dice.below(3) {
        let one = u32::try_from(dice.below(u64::from(brokers))).unwrap();
        let who = dice.pick(&[Members::All, Members::One(one), Members::Any, Members::Any, Members::Each]);
        let broker = FaultTarget::Broker(BusId(0), who);
        let target = if dice.chance(30) { FaultTarget::Leader(TopicId(0), 0) } else { broker };
        p.faults.push(FaultPlan {
            name: format!("b{n}"),
            stream: format!("faults/b{n}"),
            at: Dist::Exponential(300.0 * MS),
            every: dice.chance(60).then_some(Dist::Exponential(400.0 * MS)),
            lasts: dice.chance(90).then_some(Dist::Exponential(dice.pick(&[20.0, 150.0]) * MS)),
            target,
            effect: dice.pick(&[Effect::Crash, Effect::Pause, Effect::PowerLoss]),
        });
    }
}

pub(super) fn random_plan(dice: &mut Dice) -> Plan {
    let mut p = bare_plan(dice);
    super::retries::add_some(&mut Dice(dice.0), &mut p);
    super::replays::add_some(&mut Dice(dice.0 ^ 1), &mut p);
    p
}

/// A random plan without topics that belong to consumers.
pub(super) fn bare_plan(dice: &mut Dice) -> Plan {
    let mut p = plan(2);
    let topics = 1 + u32::try_from(dice.below(3)).unwrap();
    for t in 0..topics {
        let append = if dice.chance(40) { Dist::Constant(0.0) } else { random_dist(dice, 2.0 * MS) };
        let mut made = topic(&format!("t{t}"), 1 + u32::try_from(dice.below(6)).unwrap(), append);
        if dice.chance(40) {
            made.store.network = random_dist(dice, 0.2 * MS);
            made.store.replicate = random_dist(dice, MS);
            made.store.visible_when_replicated = true;
        }
        p.topics.push(made);
    }
    let key = dice.pick(&[KeyPlan::None, KeyPlan::Uniform(20), KeyPlan::Uniform(500), KeyPlan::Unique]);
    let mut first = producer("p0", 150.0 + dice.below(300) as f64, key, 0);
    if dice.chance(50) {
        first.clients[0].1 = random_client(dice);
    }
    p.producers.push(first);
    if dice.chance(30) {
        p.producers.push(producer("p1", 100.0, KeyPlan::Uniform(20), topics - 1));
    }
    for c in 0..1 + dice.below(4) {
        let topic = u32::try_from(dice.below(u64::from(topics))).unwrap();
        let made = random_consumer(dice, c, topic, topics);
        p.consumers.push(made);
    }
    for n in 0..dice.below(4) {
        let fault = random_fault(dice, &p, n);
        p.faults.push(fault);
    }
    for _ in 0..dice.below(4) {
        p.changes.push(ChangePlan {
            name: "scale".into(),
            at: SimTime(1_000_000 * dice.below(1800)),
            lasts: dice.chance(50).then_some(SimSpan::from_millis(400)),
            consumer: ConsumerId(0),
            action: Action::Scale(1 + u32::try_from(dice.below(5)).unwrap()),
        });
    }
    if dice.chance(30) {
        p.warm_up = SimSpan::from_millis(300);
    }
    super::journeys::tests::add_some(dice, &mut p);
    if dice.chance(25) {
        for topic in &mut p.topics {
            topic.retention = Some(RetentionPlan {
                time: SimSpan::from_millis(dice.pick(&[100, 400])),
                bytes: dice.chance(40).then_some(40_000),
                segment_bytes: 1024 * (1 + dice.below(12)),
                segment_age: SimSpan::from_millis(60),
                check: SimSpan::from_millis(dice.pick(&[7, 50])),
            });
        }
    }
    let queues = p.consumers.iter().any(|c| matches!(c.dispatch, Dispatch::Queue(_)));
    if !queues && dice.chance(40) {
        fail_brokers(dice, &mut p);
    }
    if dice.chance(30) {
        p.changes.push(random_deploy(dice));
    }
    for consumer in &mut p.consumers {
        if let Dispatch::Log(log) = &mut consumer.dispatch {
            log.fetch_max_wait = SimSpan::from_millis(dice.pick(&[5, 50, 500]));
        }
    }
    autoscale_some(dice, &mut p);
    p
}

fn autoscale_some(dice: &mut Dice, p: &mut Plan) {
    for consumer in &mut p.consumers {
        if dice.chance(30) {
            autoscale(dice, consumer);
        }
    }
}

/// Scales a consumer by what it has to do.
fn autoscale(dice: &mut Dice, consumer: &mut ConsumerPlan) {
    let by_lag = dice.chance(60);
    let target = if by_lag {
        ScaleTarget::Lag(1 + dice.below(40))
    } else {
        ScaleTarget::Utilisation(dice.pick(&[10, 30, 70, 100]) as f64 / 100.0)
    };
    let min = u32::try_from(dice.below(3)).unwrap().max(u32::from(!by_lag));
    consumer.members = consumer.members.max(min);
    let max = consumer.members + u32::try_from(dice.below(5)).unwrap();
    consumer.autoscale = Some(AutoscalePlan {
        target,
        min,
        max,
        every: SimSpan::from_millis(dice.pick(&[10, 50, 200])),
        cooldown: SimSpan::from_millis(dice.pick(&[0, 100, 600])),
        tolerance: dice.pick(&[0, 10]) as f64 / 100.0,
    });
}

fn random_deploy(dice: &mut Dice) -> ChangePlan {
    let max_surge = u32::try_from(dice.below(3)).unwrap();
    let max_unavailable = u32::try_from(dice.below(3)).unwrap().max(u32::from(max_surge == 0));
    let grace = SimSpan::from_millis(dice.pick(&[0, 50, 5000]));
    ChangePlan {
        name: "deploy".into(),
        at: SimTime(1_000_000 * dice.below(1800)),
        lasts: None,
        consumer: ConsumerId(0),
        action: Action::Deploy(DeployPlan { max_unavailable, max_surge, grace }),
    }
}

pub(super) fn outcome(plan: &Plan, options: &RunOptions) -> Outcome {
    run(plan, options, &Always).unwrap_or_else(|error| panic!("{error} {options:?} {plan:#?}")).expect("never stopped")
}

pub(super) fn same(plan: &Plan, case: u64, seed: u64, coarse: u64) {
    let base = RunOptions { seed, coarse, trace: true, in_parts: case.is_multiple_of(2), ..RunOptions::default() };
    let windowed = outcome(plan, &base);
    for consumer in &windowed.consumers {
        let all = consumer.course.sums(STEPS)[0];
        assert_eq!((all.count, all.sum), (consumer.latency.count(), consumer.stages.total), "case {case}");
    }
    for (schedule, window) in
        [(Schedule::Windowed, 7), (Schedule::Windowed, 100_000), (Schedule::Stepwise, 0), (Schedule::Parallel, 50)]
    {
        let other = outcome(plan, &RunOptions { schedule, window, threads: 2, ..base.clone() });
        for (index, (a, b)) in windowed.consumers.iter().zip(&other.consumers).enumerate() {
            if a != b {
                let differs =
                    windowed.trace.iter().zip(&other.trace).filter(|(a, b)| a != b).take(2).collect::<Vec<_>>();
                eprintln!("{differs:#?} {:?}\n{:?}\n{:?}", windowed.faults, a.lag.partitions, b.lag.partitions);
                let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
                let first = a.lines().zip(b.lines()).filter(|(a, b)| a != b).take(6).collect::<Vec<_>>();
                panic!(
                    "case {case} seed {seed} coarse {coarse} {schedule:?} {window}: consumer {index}: {first:#?} of {plan:#?}"
                );
            }
        }
        if let Some((a, b)) = windowed.trace.iter().zip(&other.trace).find(|(a, b)| a != b) {
            panic!("case {case} {schedule:?}: {a:?}\n{b:?}");
        }
        assert_eq!(windowed.faults, other.faults, "case {case} seed {seed} coarse {coarse} {schedule:?} {window}");
        assert_eq!(
            windowed.producers, other.producers,
            "case {case} seed {seed} coarse {coarse} {schedule:?} {window}"
        );
        if windowed != other {
            let (a, b) = (format!("{windowed:#?}"), format!("{other:#?}"));
            let first = a.lines().zip(b.lines()).enumerate().find(|(_, (a, b))| a != b);
            let at = first.map_or(0, |(at, _)| at);
            // The fields that it is in: lines before it that are less and less indented.
            let mut depth = usize::MAX;
            let before: Vec<&str> = a.lines().take(at + 1).collect();
            let within = before.into_iter().rev().filter(|line| {
                let indent = line.len() - line.trim_start().len();
                let outer = indent < depth;
                depth = depth.min(indent);
                outer
            });
            let within: Vec<&str> = within.map(str::trim).collect();
            panic!(
                "case {case} seed {seed} coarse {coarse} {schedule:?} {window}: {first:?} in {within:?} of {plan:#?}"
            );
        }
    }
}

fn sweep(cases: std::ops::Range<u64>) {
    for case in cases {
        eprintln!("case {case}");
        let plan = random_plan(&mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 12345));
        for coarse in [0, 20_000, 1_000_000] {
            same(&plan, case, case + 1, coarse);
        }
    }
}

#[test]
fn schedules_give_the_same_bytes() {
    sweep(0..60);
}

/// Acknowledged by all copies in sync, of which alone one may lead: whatever brokers do, nothing is lost.
#[test]
fn what_all_copies_acknowledge_is_kept() {
    let (mut ran, mut moved) = (0, 0);
    for case in 0..170_u64 {
        let mut p = bare_plan(&mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 99));
        if p.faults.iter().all(|fault| !fault.name.starts_with('b')) {
            continue;
        }
        p.topics.iter_mut().for_each(|topic| topic.unclean_election = false);
        p.faults.iter_mut().filter(|it| it.effect == Effect::PowerLoss).for_each(|it| it.effect = Effect::Crash);
        let producers = p.producers.iter_mut().flat_map(|producer| &mut producer.clients);
        let consumers = p.consumers.iter_mut().flat_map(|consumer| &mut consumer.clients);
        let services = p.services.iter_mut().flat_map(|service| &mut service.clients);
        producers.chain(consumers).chain(services).for_each(|(_, client)| client.acks = Acks::All);
        let outcome = outcome(&p, &RunOptions { seed: case, ..RunOptions::default() });
        assert!(outcome.consumers.iter().all(|consumer| consumer.ledger.acked_lost == 0), "case {case}: {p:#?}");
        ran += 1;
        moved += outcome.faults.iter().flat_map(|fault| fault.partitions.values()).map(|hit| hit.unserved).sum::<u64>();
    }
    assert!(ran > 20 && moved > 100, "{ran} runs, {moved} partitions without a leader");
}

/// Every defect has a cause, and every cause a first event whose story all schedules tell alike; to watch changes nothing.
#[test]
fn every_defect_has_a_cause_and_every_cause_a_story() {
    let mut told = [0; 3];
    for case in 0..60_u64 {
        let plan = random_plan(&mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 4711));
        let options = RunOptions { seed: case, ..RunOptions::default() };
        let seen = outcome(&plan, &options);
        for consumer in &seen.consumers {
            let of = |which: fn(&Defect) -> bool| {
                let causes = consumer.defects.iter().filter(|(defect, _)| which(defect));
                causes.map(|(_, seen)| seen.count).sum::<u64>()
            };
            let by_cause = [
                of(|defect| matches!(defect, Defect::Lost(_))),
                of(|defect| matches!(defect, Defect::Twice(_))),
                of(|defect| matches!(defect, Defect::Late(_))),
            ];
            let counted = [consumer.lost.values().sum(), consumer.duplicates_effects, consumer.order.violations];
            assert_eq!(by_cause, counted, "case {case}");
            (0..3).for_each(|kind| told[kind] += by_cause[kind]);
            assert_eq!(consumer.slowest.map_or(0, |slowest| slowest.latency.0), consumer.latency.max(), "case {case}");
        }
        let firsts = seen.consumers.iter().flat_map(|it| it.defects.values().filter_map(|seen| seen.first));
        let slowest = seen.consumers.iter().filter_map(|it| Some(it.slowest?.example));
        for example in firsts.chain(slowest).take(3) {
            let watched = RunOptions { watch: Some(example.event), ..options.clone() };
            let windowed = outcome(&plan, &watched);
            let story = &windowed.story;
            let created = Chapter { at: example.created, told: Told::Created(example.key) };
            assert_eq!(story.iter().find(|chapter| matches!(chapter.told, Told::Created(_))), Some(&created));
            let known = story.iter().any(|it| it.at == example.at && !matches!(it.told, Told::Created(_)));
            assert!(known, "case {case}: nothing happened when {example:?} was known: {story:#?}");
            for schedule in [Schedule::Stepwise, Schedule::Parallel] {
                let other = outcome(&plan, &RunOptions { schedule, threads: 2, ..watched.clone() });
                assert!(other == windowed, "case {case} {schedule:?}: {:#?} {story:#?}", other.story);
            }
            let unwatched = Outcome { story: Vec::new(), trace: Vec::new(), ..windowed };
            assert!(unwatched == seen, "case {case}: who watches changes nothing");
        }
    }
    assert!(told.iter().all(|defects| *defects > 100), "{told:?}");
}

#[test]
#[ignore = "a long soak"]
fn schedules_give_the_same_bytes_soak() {
    sweep(60..5_000);
}

#[test]
#[ignore = "repeats the case of the environment variable CASE"]
fn one_case() {
    let case: u64 = std::env::var("CASE").unwrap().parse().unwrap();
    sweep(case..case + 1);
}

/// A publisher that runs out of numbers ends the run, whichever way it publishes.
#[test]
fn too_many_events_end_the_run() {
    const PUBLISHERS: u32 = 1 << 12;
    let most = 1 << (31 - 12);
    for (direct, events, fits) in [(true, most, true), (true, most + 1, false), (false, most + 1, false)] {
        let mut p = plan(1);
        p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
        for n in 0..PUBLISHERS {
            let mut made = producer(&format!("p{n}"), 1e-6, KeyPlan::None, 0);
            made.clients[0].1.fifo_connection = !direct;
            p.producers.push(made);
        }
        p.producers[7].arrivals = Arrivals::times((0..events).collect(), Replay::default()).unwrap();
        let error = run(&p, &RunOptions::default(), &Always).err();
        let expected = RunError::TooManyEvents { topic: "orders".into(), most };
        assert_eq!(error, (!fits).then_some(expected), "{direct} {events}");
    }
}

/// Time 0 is a time like any other: what is done there is done.
#[test]
fn done_at_time_zero_is_done() {
    let mut p = plan(1);
    p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
    p.producers.push(producer("shop", 1.0, KeyPlan::Uniform(2), 0));
    p.producers[0].arrivals = Arrivals::times(vec![0, 1, 2, 3, 500], Replay::default()).unwrap();
    for name in ["a", "b"] {
        p.consumers.push(consumer(name, 0, 1, Dist::Constant(0.0)));
    }
    let orders = outcome(&p, &RunOptions::default()).topics.remove(0);
    assert_eq!((orders.converged.count(), orders.not_converged, orders.converged_sum), (5, 0, 0));
}

fn w2(seconds: u64) -> Plan {
    let mut p = plan(seconds);
    p.topics.push(topic("orders", 12, Dist::Exponential(2.2e6)));
    p.producers.push(producer("shop", 10_000.0, KeyPlan::Uniform(10_000), 0));
    for (index, rho) in [0.30, 0.42, 0.54, 0.66, 0.78, 0.90].into_iter().enumerate() {
        p.consumers.push(consumer(&format!("g{index}"), 0, 12, Dist::Exponential(rho * 1e5 * 12.0)));
    }
    p
}

fn w1(seconds: u64) -> Plan {
    let mut p = plan(seconds);
    p.topics.push(topic("orders", 1, Dist::Constant(0.0)));
    p.producers.push(producer("shop", 800.0, KeyPlan::None, 0));
    p.consumers.push(consumer("mm1", 0, 1, Dist::Exponential(1e6)));
    p
}

#[test]
#[ignore = "prints speeds"]
#[expect(clippy::disallowed_methods, reason = "measures wall time")]
fn speeds() {
    for (name, plan) in [("w1", w1(2500)), ("w2", w2(100))] {
        for schedule in [Schedule::Windowed, Schedule::Stepwise, Schedule::Parallel] {
            let start = std::time::Instant::now();
            let outcome = outcome(&plan, &RunOptions { seed: 1, schedule, threads: 2, ..RunOptions::default() });
            let wall = start.elapsed().as_secs_f64();
            let n = outcome.consumers[0].latency.count() as f64;
            let means: Vec<f64> =
                outcome.consumers.iter().map(|c| c.stages.total as f64 / c.latency.count() as f64 / 1e6).collect();
            println!(
                "{name} {schedule:?}: {:.2} M/s {means:?} {}",
                n / wall / 1e6,
                outcome.consumers[0].order.violations
            );
        }
    }
}

#[test]
fn books_that_do_not_close_are_a_bug() {
    let mut outcome = ConsumerOutcome::default();
    assert_eq!(check_books("email", &outcome), Ok(()));
    outcome.ledger.created = 5;
    outcome.ledger.stored = 4;
    outcome.ledger.waiting = 4;
    let broken = check_books("email", &outcome).unwrap_err().to_string();
    assert!(broken.contains("the books of email do not close: created 5 against 4"), "{broken}");
    outcome.ledger.publishing = 1;
    assert_eq!(check_books("email", &outcome), Ok(()));
    outcome.stages.total = 7;
    let broken = check_books("email", &outcome).unwrap_err();
    assert_eq!(broken, RunError::Broken("the stages of email add up to 0 ns, its latency to 7 ns".to_owned()));
}
