//! Services against closed forms and counts by hand.

mod at_hand;
mod awaits;
mod outbox;
mod random;
mod ways;

use super::Mesh;
use crate::dist::{Arrivals, Dist};
use crate::engine::{RunOptions, Schedule, World, run};
use crate::outcome::{CallLedger, Outcome};
use crate::plan::{
    Backoff, Balance, BreakerPlan, CallRetry, CallStep, Effect, FailurePlan, FaultPlan, FaultTarget, FlowPlan, Goal,
    Handler, KeyPlan, Members, Party, Plan, ResourceId, ResourcePlan, RetryWhen, SagaStep, ServiceId, ServicePlan,
    Step, TransportPlan,
};
use crate::time::{SimSpan, SimTime};

const SECOND: f64 = 1e9;

fn exponential(seconds: f64) -> Dist {
    Dist::Exponential(seconds * SECOND)
}

fn work(seconds: f64) -> Step {
    Step::Work(exponential(seconds))
}

fn pause(seconds: f64) -> Step {
    Step::Work(Dist::Constant(seconds * SECOND))
}

/// A service with room for all, on which nothing costs anything.
pub(in crate::engine) fn service(name: &str, steps: Vec<Step>) -> ServicePlan {
    ServicePlan {
        name: name.into(),
        arrivals: None,
        events_per_arrival: Dist::Constant(1.0),
        key: KeyPlan::None,
        size: Dist::Constant(1024.0),
        types: Vec::new(),
        instances: 1,
        workers: 1_000_000,
        queue: 1_000_000,
        balance: Balance::RoundRobin,
        transport: TransportPlan {
            network: Dist::Constant(0.0),
            handshakes: 0,
            keep_alive: SimSpan::FOREVER,
            multiplexed: false,
            cancels: false,
        },
        handler: Handler { steps },
        failure: FailurePlan::default(),
        startup: Dist::Constant(0.0),
        outbox: None,
        clients: Vec::new(),
    }
}

fn with_users(rate: f64, service: ServicePlan) -> ServicePlan {
    ServicePlan { arrivals: Some(Arrivals::poisson(rate).expect("a rate")), ..service }
}

pub(in crate::engine) fn call(to: u32) -> CallStep {
    CallStep {
        to: ServiceId(to),
        timeout: None,
        retry: CallRetry {
            attempts: 1,
            backoff: Backoff::Drawn(Dist::Constant(0.0)),
            jitter: 0.0,
            when: RetryWhen { timeout: true, refused: true, failed: true },
            budget: None,
        },
        breaker: None,
        hedge: None,
        pool: None,
        otherwise: None,
    }
}

fn plan(seconds: u64, services: Vec<ServicePlan>) -> Plan {
    Plan {
        name: "services".into(),
        seed: 1,
        replications: 1,
        duration: SimSpan::from_seconds(seconds),
        warm_up: SimSpan::ZERO,
        warm_up_from: crate::plan::WarmUp::Stated,
        buses: Vec::new(),
        topics: Vec::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        services,
        resources: Vec::new(),
        flows: Vec::new(),
        reads: Vec::new(),
        faults: Vec::new(),
        changes: Vec::new(),
        expectations: Vec::new(),
        key_labels: Vec::new(),
        numeric_keys: 0,
        event_types: vec![String::new()],
        backlog_bound: 1_000_000,
    }
}

/// A flow from one service until others have done their parts.
fn flow(from: u32, until: &[u32]) -> FlowPlan {
    let service = |id| Party::Service(ServiceId(id));
    let parts = until.iter().map(|id| service(*id)).collect();
    FlowPlan { name: "done".into(), from: service(from), goal: Goal::Parts(parts), deadline: None }
}

struct Nobody;
impl crate::engine::Progress for Nobody {
    fn reached(&self, _now: SimTime) -> bool {
        true
    }
}

/// All services as they are when a run has come to its end.
fn mesh(plan: &Plan, seed: u64, coarse: u64) -> Mesh {
    let options = RunOptions { seed, coarse, ..RunOptions::default() };
    let mut world = World::new(plan, &options, plan.duration.0);
    assert!(world.run(&options, &|_| true), "nobody stops it");
    world.mesh
}

fn outcome(plan: &Plan, seed: u64) -> Outcome {
    let options = RunOptions { seed, ..RunOptions::default() };
    let windowed = run(plan, &options, &Nobody).expect("the books close").expect("nobody stops it");
    if seed == 1 {
        let options = RunOptions { schedule: Schedule::Stepwise, ..options };
        let stepwise = run(plan, &options, &Nobody).expect("the books close").expect("nobody stops it");
        assert_eq!(windowed, stepwise);
    }
    windowed
}

/// The 99.9 % interval of a figure over ten runs holds the exact value, and is narrower than so much of it.
fn holds(plan: &Plan, exact: f64, width: f64, figure: impl Fn(&Outcome) -> f64) {
    let values: Vec<f64> = (1..=10).map(|seed| figure(&outcome(plan, seed))).collect();
    let mean = values.iter().sum::<f64>() / 10.0;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / 9.0;
    // Student's t with nine degrees of freedom.
    let half = 4.781 * (variance / 10.0).sqrt();
    assert!((mean - exact).abs() <= half, "{mean} +- {half} does not hold {exact}");
    assert!(half <= width * exact, "{mean} +- {half} says little about {exact}");
}

fn response(service: usize) -> impl Fn(&Outcome) -> f64 {
    move |outcome| {
        let it = &outcome.services[service];
        it.response_sum as f64 / it.response.count() as f64 / SECOND
    }
}

fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| load * blocked / (f64::from(n) + load * blocked))
}

#[test]
fn several_workers_wait_as_erlang_says() {
    let shop = ServicePlan { workers: 4, ..with_users(3.2, service("shop", vec![work(1.0)])) };
    let blocked = erlang_b(4, 3.2);
    let waits = blocked / (1.0 - 0.8 * (1.0 - blocked));
    holds(&plan(50_000, vec![shop]), 1.0 + waits / (4.0 - 3.2), 0.03, response(0));
}

#[test]
fn without_a_queue_the_lost_share_is_erlangs_whatever_the_service_time() {
    for step in [work(1.0), pause(1.0)] {
        let shop = ServicePlan { workers: 5, queue: 0, ..with_users(4.0, service("shop", vec![step])) };
        let lost =
            |outcome: &Outcome| outcome.services[0].users.refused as f64 / outcome.services[0].users.arrived as f64;
        holds(&plan(20_000, vec![shop]), erlang_b(5, 4.0), 0.02, lost);
    }
}

/// Nelson and Tantawi, "Approximate analysis of fork/join synchronization in parallel queues", 1988: exact for two.
#[test]
fn two_branches_take_as_long_as_the_later_one() {
    let both = Step::Parallel {
        branches: vec![vec![Step::Call(call(0))], vec![Step::Call(call(1))]],
        quorum: 2,
        otherwise: None,
    };
    let server = |name| ServicePlan { workers: 1, ..service(name, vec![work(1.0)]) };
    let services = vec![server("a"), server("b"), with_users(0.7, service("shop", vec![both]))];
    holds(&plan(60_000, services), (12.0 - 0.7) / 8.0 / (1.0 - 0.7), 0.05, response(2));
}

#[test]
fn calls_in_a_row_add_up() {
    let server = |name| ServicePlan { workers: 1, ..service(name, vec![work(1.0)]) };
    let shop = with_users(0.5, service("shop", vec![Step::Call(call(0)), Step::Call(call(1))]));
    // A tandem of two M/M/1 queues: departures are Poisson again.
    holds(&plan(40_000, vec![server("a"), server("b"), shop]), 2.0 * 2.0, 0.03, response(2));
}

#[test]
fn a_caller_is_held_while_it_waits() {
    // One worker that waits for a second: an M/G/1 queue of the sum of the two times.
    let inner = service("inner", vec![pause(0.5)]);
    let shop = ServicePlan { workers: 1, ..with_users(0.5, service("shop", vec![pause(0.5), Step::Call(call(0))])) };
    let plan = plan(40_000, vec![inner, shop]);
    // M/D/1 at half load: wait rho / 2(1 - rho) of a service time.
    holds(&plan, 1.0 + 0.5, 0.02, response(1));
    let outcome = outcome(&plan, 1);
    let shop = &outcome.services[1];
    assert!((shop.busy as f64 / shop.available as f64 - 0.5).abs() < 0.02);
    assert!((shop.handler.working as f64 / shop.available as f64 - 0.25).abs() < 0.01);
}

#[test]
fn a_resource_is_a_queue_of_its_own() {
    let hold = Step::Hold { of: ResourceId(0), steps: vec![work(1.0)], otherwise: None };
    let resource = at_hand::resource("db");
    let mut plan = plan(40_000, vec![with_users(0.5, service("shop", vec![hold]))]);
    plan.resources = vec![resource.clone()];
    holds(&plan, 2.0, 0.04, response(0));
    let share = outcome(&plan, 1).resources[0].held as f64 / (40_000.0 * SECOND);
    assert!((share - 0.5).abs() < 0.02, "{share}");
    // With a row for each of a hundred keys, hardly anybody waits: each row is a queue at half a hundredth of the load.
    plan.resources = vec![ResourcePlan { per_key: true, ..resource }];
    plan.services[0].key = KeyPlan::Uniform(100);
    holds(&plan, 1.0 / (1.0 - 0.005), 0.02, response(0));
}

#[test]
fn a_quota_spaces_its_grants() {
    let hold = Step::Hold { of: ResourceId(0), steps: Vec::new(), otherwise: None };
    let quota = |queue, burst| ResourcePlan {
        name: "api".into(),
        capacity: None,
        per_key: false,
        rate: Some((10.0, burst)),
        queue,
        timeout: None,
        retry_after: false,
    };
    // An M/D/1 queue without the service itself: rho / 2(1 - rho) of the gap.
    let mut plan = plan(10_000, vec![with_users(5.0, service("shop", vec![hold]))]);
    plan.resources = vec![quota(u32::MAX, 1)];
    holds(&plan, 0.05, 0.03, response(0));
    // Without anyone waiting the quota is a loss system: 1/(1 + a) of all are granted.
    plan.resources = vec![quota(0, 1)];
    holds(&plan, 1.0 / 1.5, 0.02, |outcome| outcome.resources[0].granted as f64 / outcome.resources[0].asked as f64);
}

fn ledger(outcome: &Outcome, from: usize, to: usize) -> CallLedger {
    outcome.services[from].handler.calls[&to]
}

#[test]
fn attempts_are_made_until_one_succeeds() {
    let flaky = ServicePlan {
        failure: FailurePlan { transient: 0.3, ..FailurePlan::default() },
        ..service("flaky", vec![pause(0.001)])
    };
    let mut step = call(0);
    step.retry.attempts = 3;
    let plan = plan(20_000, vec![flaky, with_users(5.0, service("shop", vec![Step::Call(step)]))]);
    holds(&plan, 1.0 - 0.3_f64.powi(3), 0.005, |outcome| {
        let calls = ledger(outcome, 1, 0);
        calls.succeeded as f64 / calls.calls as f64
    });
    holds(&plan, 1.0 + 0.3 + 0.09, 0.01, |outcome| {
        let calls = ledger(outcome, 1, 0);
        calls.attempts as f64 / calls.calls as f64
    });
}

#[test]
fn who_has_given_up_does_not_stop_the_work_unless_told() {
    for cancels in [false, true] {
        let mut slow = ServicePlan { workers: 1, ..service("slow", vec![pause(1.0), pause(1.0)]) };
        slow.transport.cancels = cancels;
        let mut step = call(0);
        step.timeout = Some(SimSpan::from_millis(500));
        step.otherwise = Some(Vec::new());
        let shop = ServicePlan {
            arrivals: Some(Arrivals::constant(0.1).expect("a rate")),
            ..service("shop", vec![Step::Call(step)])
        };
        let outcome = outcome(&plan(1_005, vec![slow, shop]), 1);
        let (slow, shop) = (&outcome.services[0], &outcome.services[1]);
        let calls = ledger(&outcome, 1, 0);
        assert_eq!((calls.timeouts, calls.failed, calls.succeeded), (calls.calls, calls.calls, 0));
        assert_eq!(shop.users.answered, shop.users.arrived, "it goes on without the answer");
        assert_eq!(shop.response.max(), 500_000_000);
        if cancels {
            // Noticed between the two steps.
            assert_eq!((slow.visits.done, slow.visits.cancelled), (0, slow.visits.arrived));
            assert_eq!(slow.handler.working, u128::from(slow.visits.arrived) * 1_000_000_000);
        } else {
            assert_eq!((slow.visits.done, slow.visits.wasted), (slow.visits.arrived, slow.visits.arrived));
        }
    }
}

/// What was given up in the queue of a service that learns of it costs no worker, and is over: nothing is left of it. What
/// a worker is at when its caller gives up, it does to the end of the step.
#[test]
fn what_is_given_up_in_the_queue_is_over() {
    let mut slow = ServicePlan { workers: 1, ..service("slow", vec![pause(10.0)]) };
    slow.transport.cancels = true;
    let mut step = call(0);
    step.timeout = Some(SimSpan::from_seconds(1));
    step.otherwise = Some(Vec::new());
    let shop = ServicePlan {
        arrivals: Some(Arrivals::constant(1.0).expect("a rate")),
        ..service("shop", vec![Step::Call(step)])
    };
    let mut plan = plan(1_000, vec![slow, shop]);
    plan.flows = vec![flow(1, &[0])];
    let outcome = outcome(&plan, 1);
    let slow = &outcome.services[0];
    assert_eq!((slow.visits.wasted, slow.wait.count()), (99, 100), "one begins every ten seconds: {:?}", slow.visits);
    assert!(slow.visits.cancelled > 880, "{:?}", slow.visits);
    let flow = &outcome.flows[0];
    assert!(flow.open < 15 && flow.stuck > 880, "what was given up does not stay open: {flow:?}");
}

#[test]
fn a_pool_lets_so_many_go() {
    let inner = service("inner", vec![work(1.0)]);
    let mut step = call(0);
    step.pool = Some(1);
    let plan = plan(40_000, vec![inner, with_users(0.5, service("shop", vec![Step::Call(step)]))]);
    holds(&plan, 2.0, 0.04, response(1));
}

#[test]
fn a_new_connection_costs_its_round_trips() {
    let mut inner = service("inner", vec![]);
    inner.transport = TransportPlan {
        network: Dist::Constant(0.01 * SECOND),
        handshakes: 2,
        keep_alive: SimSpan::from_seconds(60),
        multiplexed: false,
        cancels: false,
    };
    let shop = |gap: f64| ServicePlan {
        arrivals: Some(Arrivals::renewal(Dist::Constant(gap * SECOND)).expect("gaps")),
        ..service("shop", vec![Step::Call(call(0))])
    };
    let slowest = |gap: f64| {
        let it = outcome(&plan(1000, vec![inner.clone(), shop(gap)]), 1).services[1].clone();
        (it.response.min(), it.response.max())
    };
    assert_eq!(slowest(1.0), (20_000_000, 60_000_000), "the first pays, the others find a connection");
    assert_eq!(slowest(90.0), (60_000_000, 60_000_000), "each finds it closed");
}

#[test]
fn a_second_attempt_overtakes_a_slow_first() {
    let slow = Dist::Mixture(vec![(0.9, Dist::Constant(0.01 * SECOND)), (1.0, Dist::Constant(SECOND))].into());
    let mut step = call(0);
    step.hedge = Some(Dist::Constant(0.1 * SECOND));
    let services =
        vec![service("inner", vec![Step::Work(slow)]), with_users(5.0, service("shop", vec![Step::Call(step)]))];
    let plan = plan(10_000, services);
    // 90 % at 10 ms; 9 % at 110 ms, by the second attempt; 1 % at a second.
    holds(&plan, 0.9 * 0.01 + 0.09 * 0.11 + 0.01, 0.1, response(1));
    holds(&plan, 0.1, 0.05, |outcome| {
        let calls = ledger(outcome, 1, 0);
        calls.hedges as f64 / calls.calls as f64
    });
}

#[test]
fn a_saga_ends_done_or_undone() {
    let failing = |name, share| ServicePlan {
        failure: FailurePlan { transient: share, ..FailurePlan::default() },
        ..service(name, vec![pause(0.01)])
    };
    let step = |to| vec![Step::Call(call(to))];
    let saga = |pivot| {
        Step::Saga(SagaStep {
            parts: vec![(step(0), step(2)), (step(1), Vec::new())],
            pivot,
            otherwise: Some(Vec::new()),
        })
    };
    let services = |pivot| {
        vec![
            failing("inventory", 0.1),
            failing("payments", 0.2),
            failing("undo", 0.0),
            with_users(5.0, service("shop", vec![saga(pivot)])),
        ]
    };
    let undone = plan(10_000, services(None));
    holds(&undone, 0.9 * 0.8, 0.01, |outcome| {
        let sagas = outcome.services[3].handler.sagas;
        sagas.completed as f64 / sagas.begun as f64
    });
    let outcome = outcome(&undone, 1);
    let sagas = outcome.services[3].handler.sagas;
    assert_eq!(
        ledger(&outcome, 3, 2).calls,
        sagas.compensated - ledger(&outcome, 3, 0).failed,
        "what was done is undone"
    );
    assert_eq!(outcome.services[3].users.failed, 0);
    let forward = self::outcome(&plan(10_000, services(Some(1))), 1);
    let sagas = forward.services[3].handler.sagas;
    assert_eq!(sagas.compensated, ledger(&forward, 3, 0).failed, "after the pivot nothing is undone");
    assert!(sagas.open < 20);
}

#[test]
fn a_crash_drops_what_is_in_hand_and_a_pause_does_not() {
    let fault = |effect| FaultPlan {
        name: "fault".into(),
        stream: "0".into(),
        at: Dist::Constant(100.5 * SECOND),
        every: None,
        lasts: Some(Dist::Constant(10.0 * SECOND)),
        target: FaultTarget::Service(ServiceId(0), Members::One(0)),
        effect,
    };
    let shop = ServicePlan {
        arrivals: Some(Arrivals::constant(1.0).expect("a rate")),
        workers: 2,
        ..service("shop", vec![pause(1.5)])
    };
    let run = |effect| {
        let mut plan = plan(300, vec![shop.clone()]);
        plan.faults = vec![fault(effect)];
        outcome(&plan, 1).services[0].clone()
    };
    let crashed = run(Effect::Crash);
    assert_eq!(crashed.visits.cut_off, crashed.users.failed);
    assert!((1..=2).contains(&crashed.users.failed), "{:?}", crashed.users);
    assert_eq!(crashed.users.refused, 10, "one a second finds nobody there");
    assert_eq!(crashed.available, u128::from(2 * 290_u64) * 1_000_000_000);
    let paused = run(Effect::Pause);
    assert_eq!((paused.users.failed, paused.users.refused), (0, 0));
    assert_eq!(paused.queue_max, 10);
    assert!((11_000_000_000..12_000_000_000).contains(&paused.response.max()), "{}", paused.response.max());
    let failing = run(Effect::Fail(1.0));
    assert_eq!((failing.users.failed, failing.users.refused), (10, 0));
    let slow = run(Effect::Slow(2.0));
    assert!(slow.response.max() >= 3_000_000_000 && slow.users.failed == 0);
}

/// Section 11b of the reference: with failures fed back into the queue, load stays high after its cause is gone.
#[test]
fn retries_keep_an_overload_alive_and_a_budget_or_a_breaker_ends_it() {
    let answered_late = |change: &dyn Fn(&mut CallStep)| {
        let mut step = call(0);
        step.timeout = Some(SimSpan::from_seconds(1));
        step.retry.attempts = 4;
        change(&mut step);
        let inner = ServicePlan { workers: 10, queue: 1000, ..service("inner", vec![work(0.1)]) };
        let mut plan = plan(1200, vec![inner, with_users(60.0, service("shop", vec![Step::Call(step)]))]);
        plan.warm_up = SimSpan::from_seconds(900);
        plan.faults = vec![FaultPlan {
            name: "slow".into(),
            stream: "0".into(),
            at: Dist::Constant(300.0 * SECOND),
            every: None,
            lasts: Some(Dist::Constant(60.0 * SECOND)),
            target: FaultTarget::Service(ServiceId(0), Members::All),
            effect: Effect::Slow(4.0),
        }];
        let users = outcome(&plan, 1).services[1].users;
        users.answered as f64 / users.arrived as f64
    };
    let storm = answered_late(&|_| {});
    assert!(storm < 0.3, "ten minutes after the fault {storm} are answered");
    let budget = answered_late(&|step| step.retry.budget = Some(0.1));
    assert!(budget > 0.99, "{budget}");
    let breaker = answered_late(&|step| {
        step.breaker = Some(BreakerPlan {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow: SimSpan::from_seconds(60),
            window: 100,
            min_calls: 100,
            open_for: SimSpan::from_seconds(30),
            half_open: 10,
        });
    });
    assert!(breaker > 0.99, "{breaker}");
}

#[test]
fn a_journey_ends_with_its_last_part() {
    let both = Step::Parallel {
        branches: vec![vec![Step::Call(call(0))], vec![Step::Call(call(1))]],
        quorum: 1,
        otherwise: None,
    };
    let shop = ServicePlan { arrivals: Some(Arrivals::constant(1.0).expect("a rate")), ..service("shop", vec![both]) };
    let mut plan = plan(100, vec![service("a", vec![pause(0.2)]), service("b", vec![pause(0.7)]), shop]);
    plan.flows = vec![FlowPlan { deadline: Some(SimSpan::from_millis(500)), ..flow(2, &[0, 1]) }];
    let outcome = outcome(&plan, 1);
    let flow = &outcome.flows[0];
    assert_eq!((flow.latency.min(), flow.latency.max()), (700_000_000, 700_000_000));
    assert_eq!((flow.late, flow.stuck), (flow.done, 0));
    assert_eq!(outcome.services[2].response.max(), 200_000_000, "the user has the first answer");
}
