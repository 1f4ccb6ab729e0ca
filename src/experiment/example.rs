//! A small plan and outcomes made by hand, for tests.

use crate::dist::{Arrivals, Dist};
use crate::outcome::{
    CallLedger, ConsumerOutcome, Crowd, Defect, Ended, EventId, Example, FaultOutcome, FlowOutcome, HandlerOutcome,
    IntervalOutcome, LagOutcome, Ledger, LossCause, OrderOutcome, Outcome, PartitionLag, ProducerOutcome,
    ResourceOutcome, SagaLedger, Seen, ServiceOutcome, StageSums, TopicOutcome, Touched, UserLedger, VisitLedger,
};
use crate::plan::*;
use crate::random::Stream;
use crate::stats::Histogram;
use crate::time::{SimSpan, SimTime};

/// One producer, one topic with two partitions, two consumers, one fault that touches the first consumer, one change.
pub(super) fn plan() -> Plan {
    Plan {
        services: Vec::new(),
        resources: Vec::new(),
        flows: Vec::new(),
        reads: Vec::new(),
        name: "example".into(),
        seed: 42,
        replications: 3,
        duration: SimSpan::from_seconds(110),
        warm_up: SimSpan::from_seconds(10),
        warm_up_from: crate::plan::WarmUp::Stated,
        buses: vec![BusPlan { name: "main".into(), brokers: 1, failover: None }],
        topics: vec![topic()],
        producers: vec![producer()],
        consumers: vec![consumer("email", 2, Err("workers keep no order".into())), consumer("fraud", 4, Ok(()))],
        faults: vec![fault()],
        changes: vec![ChangePlan {
            name: "scale email".into(),
            at: SimTime(80_000_000_000),
            lasts: None,
            consumer: ConsumerId(0),
            action: Action::Scale(4),
        }],
        expectations: Vec::new(),
        key_labels: Vec::new(),
        numeric_keys: 100,
        event_types: vec![String::new()],
        backlog_bound: 1_000_000,
    }
}

/// An expectation about one metric, keys separated by `/`.
pub(super) fn expectation(
    text: &str,
    path: &str,
    op: Comparison,
    value: f64,
    during: Option<(u64, u64)>,
) -> Expectation {
    let second = |s: u64| SimTime(s * 1_000_000_000);
    Expectation {
        text: text.into(),
        metrics: vec![path.split('/').map(Into::into).collect()],
        op,
        value,
        during: during.map(|(from, to)| (second(from), second(to))),
        place: (1, 1),
        file: String::new(),
    }
}

/// Two services, a resource and a flow beside the rest: checkout calls payments, holds the database, and has sagas.
pub(super) fn plan_of_services() -> Plan {
    let call = Step::Call(CallStep {
        to: ServiceId(1),
        timeout: Some(SimSpan::from_seconds(1)),
        retry: CallRetry {
            attempts: 2,
            backoff: Backoff::Drawn(Dist::Constant(0.0)),
            jitter: 0.0,
            when: RetryWhen { timeout: true, refused: true, failed: true },
            budget: None,
        },
        breaker: None,
        hedge: None,
        pool: None,
        otherwise: None,
    });
    let saga = Step::Saga(SagaStep { parts: vec![(vec![call], Vec::new())], pivot: None, otherwise: None });
    let hold = Step::Hold { of: ResourceId(0), steps: vec![saga], otherwise: None };
    let resource = ResourcePlan {
        name: "db".into(),
        capacity: Some(10),
        per_key: false,
        rate: None,
        queue: u32::MAX,
        timeout: Some(SimSpan::from_seconds(30)),
        retry_after: false,
    };
    let flow = FlowPlan {
        name: "paid".into(),
        from: Party::Service(ServiceId(0)),
        goal: Goal::Parts(vec![Party::Service(ServiceId(1))]),
        deadline: Some(SimSpan::from_seconds(1)),
    };
    let users = Some(Arrivals::Poisson(10.0));
    Plan {
        services: vec![service("checkout", users, (2, 5), vec![hold]), service("payments", None, (1, 4), Vec::new())],
        resources: vec![resource],
        flows: vec![flow],
        ..plan()
    }
}

fn service(name: &str, arrivals: Option<Arrivals>, (instances, workers): (u32, u32), steps: Vec<Step>) -> ServicePlan {
    ServicePlan {
        name: name.into(),
        arrivals,
        events_per_arrival: Dist::Constant(1.0),
        key: KeyPlan::None,
        size: Dist::Constant(1024.0),
        types: Vec::new(),
        instances,
        workers,
        queue: 100,
        balance: Balance::RoundRobin,
        transport: TransportPlan {
            network: Dist::Constant(0.0),
            handshakes: 0,
            keep_alive: SimSpan::FOREVER,
            multiplexed: true,
            cancels: false,
        },
        handler: Handler { steps },
        failure: FailurePlan::default(),
        startup: Dist::Constant(0.0),
        outbox: None,
        clients: Vec::new(),
    }
}

/// An outcome of the plan with services; seed 0 is the one whose metrics are worked out by hand.
pub(super) fn outcome_of_services(plan: &Plan, seed: u64) -> Outcome {
    let extra = if seed == 0 { 0 } else { Stream::named(seed, "example").bits(1) % 100 };
    let calls = CallLedger {
        calls: 960,
        succeeded: 900,
        failed: 60,
        attempts: 1150 + extra,
        timeouts: 100 + extra,
        refused: 30,
        errors: 80,
        broken: 20,
        openings: 2,
        withheld: 5,
        hedges: 10,
        ..CallLedger::default()
    };
    let checkout = ServiceOutcome {
        users: UserLedger { arrived: 1000 + extra, answered: 900 + extra, failed: 60, refused: 30, open: 10 },
        response: ramp(900, 1_000_000 + extra),
        response_sum: ramp_sum(900, 1_000_000 + extra),
        visits: VisitLedger {
            arrived: 1000 + extra,
            done: 900 + extra,
            failed: 60,
            refused: 30,
            open: 10,
            ..VisitLedger::default()
        },
        wait: ramp(960, 1_000),
        wait_sum: ramp_sum(960, 1_000),
        busy: 480_000_000_000,
        available: 1_000_000_000_000,
        queue_max: 7 + extra,
        handler: HandlerOutcome {
            working: 96_000_000_000,
            calls: [(1, calls)].into(),
            sagas: SagaLedger { begun: 100, completed: 90, compensated: 7, stuck: 1, open: 2, late_success: 1 },
            ..HandlerOutcome::default()
        },
        ..ServiceOutcome::default()
    };
    let db = ResourceOutcome {
        asked: 1000,
        granted: 990,
        refused: 3,
        timeouts: 5,
        left: 1,
        open: 1,
        wait: ramp(990, 10_000),
        wait_sum: ramp_sum(990, 10_000),
        held: 99_000_000_000,
        time: 100_000_000_000,
    };
    let paid = FlowOutcome {
        begun: 1000,
        done: 950,
        late: 19,
        stuck: 40,
        open: 10,
        latency: ramp(950, 1_000_000),
        latency_sum: ramp_sum(950, 1_000_000),
        outcomes: Vec::new(),
    };
    let mut out =
        Outcome { services: vec![checkout, payments()], resources: vec![db], flows: vec![paid], ..outcome(plan, seed) };
    let drain_time = SimSpan(7_500_000_000 + seed % 1000);
    let crowd =
        Crowd { before: 2, usual_peak: 5, peak: 30 + seed, drain_time, not_drained: 0, arrived: 400, refused: 50 };
    out.faults.iter_mut().for_each(|fault| fault.crowds = [(1, crowd)].into());
    out
}

fn payments() -> ServiceOutcome {
    ServiceOutcome {
        visits: VisitLedger {
            arrived: 1150,
            done: 1000,
            failed: 80,
            refused: 30,
            cancelled: 30,
            open: 10,
            wasted: 100,
            ..VisitLedger::default()
        },
        wait: ramp(1110, 1_000_000),
        wait_sum: ramp_sum(1110, 1_000_000),
        busy: 396_000_000_000,
        handler: HandlerOutcome { working: 396_000_000_000, ..HandlerOutcome::default() },
        available: 400_000_000_000,
        queue_max: 100,
        ..ServiceOutcome::default()
    }
}

fn topic() -> TopicPlan {
    let nothing = || Dist::Constant(0.0);
    TopicPlan {
        name: "orders".into(),
        bus: "main".into(),
        bus_id: BusId(0),
        fan_out: true,
        partitions: 2,
        brokers: 1,
        copies: 1,
        min_in_sync: 1,
        unclean_election: false,
        retention: None,
        store: StorePolicy {
            network: nothing(),
            append: nothing(),
            replicate: nothing(),
            fsync: nothing(),
            visible_when_replicated: true,
        },
    }
}

fn producer() -> ProducerPlan {
    let client = ClientPlan {
        partitioning: Partitioning { hash: Some(KeyHash::Number), keyless: Keyless::Turn },
        fifo_connection: true,
        fifo_answers: false,
        batching: None,
        buffer: None,
        max_in_flight: None,
        acks: Acks::All,
        idempotent: true,
        retry: PublishRetry {
            retries: 0,
            request_timeout: SimSpan::FOREVER,
            delivery_timeout: SimSpan::FOREVER,
            backoff: SimSpan::ZERO,
            backoff_max: SimSpan::ZERO,
        },
        refresh: Refresh { age: SimSpan::FOREVER, backoff: SimSpan::ZERO, backoff_max: SimSpan::ZERO },
        transactions: None,
    };
    let publish = PublishStep {
        to: TopicId(0),
        event_type: None,
        key: None,
        size: None,
        count: Dist::Constant(1.0),
        probability: 1.0,
        wait_for_ack: true,
        otherwise: None,
    };
    ProducerPlan {
        name: "shop".into(),
        arrivals: Arrivals::Poisson(1.0),
        events_per_arrival: Dist::Constant(1.0),
        key: KeyPlan::Uniform(100),
        size: Dist::Constant(1024.0),
        types: Vec::new(),
        instances: 1,
        handler: Handler { steps: vec![Step::Publish(publish)] },
        failure: FailurePlan::default(),
        outbox: None,
        clients: vec![(TopicId(0), client)],
    }
}

fn consumer(name: &str, workers: u32, key_order: Result<(), String>) -> ConsumerPlan {
    ConsumerPlan {
        name: name.into(),
        subscribes: vec![TopicId(0)],
        types: None,
        keys: (0.0, 1.0),
        members: 1,
        workers,
        order: WorkerOrder::None,
        handler: Handler { steps: vec![Step::Work(Dist::Exponential(1.5e9))] },
        batch: None,
        schedule: None,
        failure: FailurePlan::default(),
        retry: RetryPlan {
            attempts: 1,
            mode: RetryMode::Blocking,
            backoff: Backoff::Drawn(Dist::Constant(0.0)),
            jitter: 0.0,
        },
        retry_topics: None,
        dead_letter: None,
        idempotent: None,
        settle: Settle::After,
        committed_only: false,
        autoscale: None,
        dispatch: Dispatch::Queue(QueueDispatch {
            network: Dist::Constant(0.0),
            prefetch: 1,
            silence: SimSpan::ZERO,
            reconnect: SimSpan::ZERO,
        }),
        membership: Membership::Immediate,
        startup: Dist::Constant(0.0),
        clients: Vec::new(),
        key_order,
    }
}

fn fault() -> FaultPlan {
    FaultPlan {
        name: "lunch".into(),
        stream: "0".into(),
        at: Dist::Constant(50e9),
        every: None,
        lasts: Some(Dist::Constant(10e9)),
        target: FaultTarget::Consumer(ConsumerId(0), Members::All),
        effect: Effect::Slow(10.0),
    }
}

/// An outcome of the plan: 100 events in 100 s, every figure a plain function of the event's number and the seed. Seed 0
/// is the one whose metrics are worked out by hand.
pub(super) fn outcome(plan: &Plan, seed: u64) -> Outcome {
    let extra = if seed == 0 { 0 } else { Stream::named(seed, "example").bits(0) % 1000 };
    let consumers = (0..2).map(|i| consumer_outcome(plan, i, extra)).collect();
    let ledger_created = 100 + extra;
    Outcome {
        services: Vec::new(),
        resources: Vec::new(),
        flows: Vec::new(),
        reads: Vec::new(),
        ended: Ended::AtDuration,
        producers: vec![ProducerOutcome {
            created: ledger_created,
            publish_latency: ramp(100, 2_000_000),
            publish_latency_sum: ramp_sum(100, 2_000_000),
            retries: extra % 7,
            ..ProducerOutcome::default()
        }],
        topics: vec![TopicOutcome {
            created: ledger_created,
            stored: ledger_created,
            lost: 0,
            records: vec![30, 70 + extra],
            not_stored: 0,
            copies: 0,
            bytes: 102_400,
            storage: None,
            converged: ramp(90, 10_000_000),
            converged_sum: ramp_sum(90, 10_000_000),
            not_converged: 10,
        }],
        consumers,
        faults: vec![FaultOutcome {
            occurrences: vec![(SimTime(50_000_000_000 + extra), SimTime(60_000_000_000))],
            members: vec![None],
            partitions: std::collections::BTreeMap::new(),
            count: 1,
            producers: std::collections::BTreeMap::new(),
            touched: [(0, touched(extra))].into(),
            services: std::collections::BTreeMap::new(),
            crowds: std::collections::BTreeMap::new(),
        }],
        trace: Vec::new(),
        story: Vec::new(),
    }
}

fn touched(extra: u64) -> Touched {
    Touched { lag_before: 4, lag_peak: 40 + extra, drain_time: SimSpan(12_500_000_000 + extra), ..Touched::default() }
}

/// `step`, `2 step`, ..., `count step`.
fn ramp(count: u64, step: u64) -> Histogram {
    let mut histogram = Histogram::default();
    (1..=count).for_each(|i| histogram.record(i * step));
    histogram
}

fn ramp_sum(count: u64, step: u64) -> u128 {
    u128::from(count * (count + 1) / 2 * step)
}

fn consumer_outcome(plan: &Plan, index: usize, extra: u64) -> ConsumerOutcome {
    let step = 10_000_000 + extra;
    let total = ramp_sum(90, step);
    let service = total / 2 + 1;
    let wait = total / 3 + 1;
    let event = EventId { topic: 0, publisher: 0, number: 7 };
    let first = Example { at: SimTime(9_000_000_000), event, key: 3, created: SimTime(8_000_000_000), run: 0 };
    ConsumerOutcome {
        latency: ramp(90, step),
        stages: StageSums { total, service, wait, dispatch: total - service - wait, ..StageSums::default() },
        intervals: plan
            .intervals_of(index)
            .iter()
            .map(|_| IntervalOutcome { latency: ramp(10, step), sum: ramp_sum(10, step), done: 12 })
            .collect(),
        ledger: Ledger {
            created: 100 + extra,
            stored: 100 + extra,
            effected: 90,
            discarded: 4,
            waiting: 6 + extra,
            ..Ledger::default()
        },
        lost: [(LossCause::AttemptsExhausted, 4)].into(),
        defects: [(Defect::Lost(LossCause::AttemptsExhausted), Seen { count: 4, first: Some(first) })].into(),
        duplicates_deliveries: 2 + extra % 3,
        deliveries: 96 + extra % 3,
        attempts: 96,
        failures: 6,
        order: OrderOutcome {
            judged: 90,
            violations: 3,
            extent_sum: 6,
            extent_max: 3 + extra,
            late_time_sum: 7_000_000,
            late_time_max: 5_000_000,
        },
        busy: 4_500_000_000,
        available: 100_000_000_000 * u128::from(plan.consumers[index].workers),
        done: 90,
        arrived: 100 + extra,
        lag: lag(extra),
        ..ConsumerOutcome::default()
    }
}

fn lag(extra: u64) -> LagOutcome {
    LagOutcome {
        interval: SimSpan::from_seconds(10),
        records: vec![1, 2, 3, 4, 4, 40 + extra, 20, 8, 3, 4, 6],
        time: (1..=11).map(|i| i * 100_000_000).collect(),
        max: 40 + extra,
        max_at: SimTime(60_000_000_000),
        time_max: 1_100_000_000,
        time_max_at: SimTime(110_000_000_000),
        end: 6 + extra,
        time_end: 1_100_000_000,
        retrying_max: 0,
        retrying_end: 0,
        partitions: [(4, 2), (40 + extra, 4)]
            .map(|(max, end)| PartitionLag { records: vec![max], time: vec![max], max, time_max: max, end })
            .into(),
        partition_interval: SimSpan::from_seconds(110),
    }
}
