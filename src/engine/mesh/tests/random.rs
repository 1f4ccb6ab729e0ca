//! Random systems with faults: their accounts close whenever they end, and when all has drained nothing is left.

use super::*;
use crate::engine::tests::Dice;
use crate::plan::called;

const MS: f64 = 1e6;
/// Users come for so long, faults strike, and then there is time to drain.
const BUSY: u64 = 20;
const ALL: u64 = 20_000;

fn millis(dice: &mut Dice, most: u64) -> SimSpan {
    SimSpan::from_millis(1 + dice.below(most))
}

fn time(dice: &mut Dice, mean: f64) -> Dist {
    let mean = mean * (0.5 + dice.below(100) as f64 / 100.0);
    if dice.chance(40) { Dist::Constant(mean) } else { Dist::Exponential(mean) }
}

/// Steps of service number `own`: it calls only those before it, so that every call ends.
fn steps(dice: &mut Dice, own: u32, resources: u32, depth: u32) -> Vec<Step> {
    (0..1 + dice.below(3)).map(|_| step(dice, own, resources, depth)).collect()
}

fn otherwise(dice: &mut Dice, own: u32, resources: u32, depth: u32) -> Option<Vec<Step>> {
    dice.chance(40).then(|| if dice.chance(50) { Vec::new() } else { steps(dice, own, resources, depth + 1) })
}

fn step(dice: &mut Dice, own: u32, resources: u32, depth: u32) -> Step {
    let nested = depth < 3;
    match dice.below(10) {
        0..=1 => Step::Work(time(dice, 8.0 * MS)),
        2 => Step::Wait(time(dice, 8.0 * MS)),
        3..=5 if own > 0 => Step::Call(random_call(dice, own, resources, depth)),
        6 if nested => Step::Parallel {
            branches: (0..3).map(|_| steps(dice, own, resources, depth + 1)).collect(),
            quorum: 1 + u32::try_from(dice.below(3)).unwrap(),
            otherwise: otherwise(dice, own, resources, depth),
        },
        // Who holds a resource asks nobody else for anything, so that nobody waits for ever.
        7 if resources > 0 && depth == 0 => {
            let of = u32::try_from(dice.below(u64::from(resources))).unwrap();
            let steps = steps(dice, 0, 0, depth + 1);
            Step::Hold { of: ResourceId(of), steps, otherwise: otherwise(dice, own, 0, depth) }
        }
        8 if nested => {
            let parts = (0..3).map(|_| (steps(dice, own, 0, depth + 1), vec![Step::Work(time(dice, MS))]));
            let mut parts: Vec<(Vec<Step>, Vec<Step>)> = parts.collect();
            let pivot = (own > 0 && dice.chance(30)).then_some(2);
            if pivot.is_some() {
                // Tried until it succeeds: that must be possible.
                parts[2] = (vec![Step::Call(call(0))], Vec::new());
            }
            Step::Saga(SagaStep { parts, pivot, otherwise: otherwise(dice, own, 0, depth) })
        }
        9 if nested => {
            Step::Choose(vec![(0.4, steps(dice, own, resources, depth + 1)), (0.6, vec![Step::Work(time(dice, MS))])])
        }
        _ => Step::Commit(time(dice, 2.0 * MS)),
    }
}

fn random_call(dice: &mut Dice, own: u32, resources: u32, depth: u32) -> CallStep {
    let to = u32::try_from(dice.below(u64::from(own))).unwrap();
    CallStep {
        timeout: dice.chance(70).then(|| millis(dice, 60)),
        retry: CallRetry {
            attempts: 1 + u32::try_from(dice.below(4)).unwrap(),
            backoff: Backoff::Drawn(time(dice, 10.0 * MS)),
            jitter: dice.pick(&[0.0, 0.5, 1.0]),
            when: RetryWhen { timeout: dice.chance(80), refused: dice.chance(80), failed: dice.chance(80) },
            budget: dice.chance(40).then_some(0.2),
        },
        breaker: dice.chance(40).then(|| BreakerPlan {
            failure_rate: 0.5,
            slow_rate: dice.pick(&[0.5, 1.0]),
            slow: millis(dice, 60),
            window: 10,
            min_calls: 5,
            open_for: millis(dice, 500),
            half_open: 3,
        }),
        hedge: dice.chance(30).then(|| time(dice, 15.0 * MS)),
        pool: dice.chance(40).then(|| 1 + u32::try_from(dice.below(5)).unwrap()),
        otherwise: otherwise(dice, own, resources, depth),
        ..call(to)
    }
}

fn random_service(dice: &mut Dice, own: u32, resources: u32) -> ServicePlan {
    let transport = TransportPlan {
        network: if dice.chance(30) { Dist::Constant(0.0) } else { time(dice, 0.5 * MS) },
        handshakes: u32::try_from(dice.below(3)).unwrap(),
        keep_alive: millis(dice, 200),
        multiplexed: dice.chance(50),
        cancels: dice.chance(50),
    };
    let failure = FailurePlan {
        transient: dice.pick(&[0.0, 0.1]),
        permanent: if own == 0 { 0.0 } else { dice.pick(&[0.0, 0.05]) },
        ..FailurePlan::default()
    };
    let mut made = ServicePlan {
        key: KeyPlan::Uniform(5),
        instances: 1 + u32::try_from(dice.below(3)).unwrap(),
        workers: 1 + u32::try_from(dice.below(8)).unwrap(),
        queue: u32::try_from(dice.below(20)).unwrap(),
        balance: dice.pick(&[Balance::RoundRobin, Balance::LeastOutstanding, Balance::TwoChoices, Balance::Pinned]),
        transport,
        failure,
        startup: time(dice, 50.0 * MS),
        ..service(&format!("s{own}"), steps(dice, own, resources, 0))
    };
    if own == 0 || dice.chance(50) {
        let rate = 20.0 + dice.below(150) as f64;
        let stop = SimTime(BUSY * 1_000_000_000);
        let points = vec![(SimTime::ZERO, rate), (stop, rate), (stop, 0.0)];
        made.arrivals = Some(Arrivals::Curve { points, repeat: None });
    }
    made
}

fn random_fault(dice: &mut Dice, plan: &Plan, n: u64) -> FaultPlan {
    let service = u32::try_from(dice.below(plan.services.len() as u64)).unwrap();
    let one = u32::try_from(dice.below(u64::from(plan.services[service as usize].instances))).unwrap();
    let who = dice.pick(&[Members::All, Members::One(one), Members::Any, Members::Each]);
    let (target, effect) = random_effect(dice, plan, ServiceId(service), who);
    FaultPlan {
        name: format!("f{n}"),
        stream: format!("f{n}"),
        at: Dist::Exponential(4.0 * SECOND),
        every: dice.chance(60).then_some(Dist::Exponential(2.0 * SECOND)),
        lasts: Some(Dist::Exponential(0.4 * SECOND)),
        target,
        effect,
    }
}

/// What strikes a service, its way to another, or a resource.
fn random_effect(dice: &mut Dice, plan: &Plan, service: ServiceId, who: Members) -> (FaultTarget, Effect) {
    let called = called(&plan.services[service.0 as usize].handler.steps);
    if dice.chance(25) && !called.is_empty() {
        let effects = [
            Effect::Drop(0.3),
            Effect::LostResponse(0.3),
            Effect::Partition,
            Effect::Duplicate(0.4),
            Effect::Delay(time(dice, 20.0 * MS)),
        ];
        return (FaultTarget::CallLink(Party::Service(service), dice.pick(&called)), dice.pick(&effects));
    }
    if dice.chance(20) && !plan.resources.is_empty() {
        let resource = ResourceId(u32::try_from(dice.below(plan.resources.len() as u64)).unwrap());
        let effects = [Effect::Pause, Effect::Slow(5.0), Effect::Quota(30.0)];
        return (FaultTarget::Resource(resource), dice.pick(&effects));
    }
    let effects = [
        Effect::Crash,
        Effect::Crash,
        Effect::Pause,
        Effect::Pause,
        Effect::Slow(8.0),
        Effect::Fail(0.5),
        Effect::ColdStart(9.0),
        Effect::BlackHole,
    ];
    (FaultTarget::Service(service, who), dice.pick(&effects))
}

/// Whether something may never come, for which somebody waits without a time-out.
fn waits_for_ever(plan: &Plan) -> bool {
    let loses = |fault: &FaultPlan| {
        matches!(fault.effect, Effect::Drop(_) | Effect::LostResponse(_) | Effect::Partition | Effect::BlackHole)
    };
    let mut patient = false;
    let mut see = |step: &Step| patient |= matches!(step, Step::Call(call) if call.timeout.is_none());
    plan.services.iter().for_each(|service| service.handler.visit(&mut see));
    patient && plan.faults.iter().any(loses)
}

fn random_plan(dice: &mut Dice) -> Plan {
    let resources = u32::try_from(dice.below(4)).unwrap();
    let services = 1 + u32::try_from(dice.below(5)).unwrap();
    let mut plan = plan(BUSY, (0..services).map(|own| random_service(dice, own, resources)).collect());
    plan.resources = (0..resources)
        .map(|n| ResourcePlan {
            name: format!("r{n}"),
            capacity: dice.chance(70).then(|| 1 + u32::try_from(dice.below(4)).unwrap()),
            per_key: dice.chance(40),
            rate: dice.chance(50).then(|| (20.0 + dice.below(200) as f64, 1 + u32::try_from(dice.below(5)).unwrap())),
            queue: dice.pick(&[0, 3, u32::MAX]),
            timeout: dice.chance(50).then(|| millis(dice, 50)),
            retry_after: dice.chance(30),
        })
        .collect();
    for n in 0..dice.below(5) {
        let fault = random_fault(dice, &plan, n);
        plan.faults.push(fault);
    }
    let until = u32::try_from(plan.services.len()).unwrap();
    let from = plan.services.iter().rposition(|service| service.arrivals.is_some()).expect("the first has users");
    plan.flows = vec![flow(u32::try_from(from).unwrap(), &(0..until).collect::<Vec<u32>>())];
    plan.numeric_keys = u32::MAX;
    plan.warm_up = SimSpan::from_millis(dice.pick(&[0, 3_000]));
    plan
}

/// At any end the books close (which every run checks), whichever way it is run; and drained it holds nothing.
fn check(case: u64) {
    let mut dice = Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 77);
    let mut plan = random_plan(&mut dice);
    for coarse in [0, 20_000, 1_000_000] {
        same_on_all_schedules(&plan, case, coarse);
    }
    // All faults are over, and no more users come, long before the end.
    plan.duration = SimSpan::from_seconds(ALL);
    for fault in &mut plan.faults {
        fault.every = None;
    }
    if waits_for_ever(&plan) {
        return;
    }
    let mut mesh = mesh(&plan, case, 0);
    let left = format!("case {case}: {} {} {}", mesh.roots.len(), mesh.visits.len(), mesh.strands.len());
    assert!(mesh.roots.is_empty() && mesh.visits.is_empty() && mesh.strands.is_empty(), "{left}");
    assert!(mesh.forks.is_empty() && mesh.calls.is_empty() && mesh.attempts.is_empty(), "{left}");
    assert!(mesh.waits.is_empty() && mesh.waiters.is_empty(), "{left}");
    let callers = mesh.callers.iter().flatten();
    assert!(callers.map(|caller| (caller.in_use, caller.waiting.len())).all(|left| left == (0, 0)), "{left}");
    assert!(mesh.resources.iter().all(|resource| resource.holders() == 0), "{left}");
    assert!(mesh.calendar.is_empty(), "case {case}: {:?}", mesh.calendar);
    let outcome = mesh.finish(plan.duration.0).expect("the books close");
    for service in &outcome.services {
        assert_eq!((service.users.open, service.visits.open, service.handler.sagas.open), (0, 0, 0), "case {case}");
    }
    assert!(outcome.resources.iter().all(|r| r.open == 0));
    let outcome = run(&plan, &RunOptions { seed: case, ..RunOptions::default() }, &Nobody);
    let outcome = outcome.expect("the books close").expect("never stopped");
    assert!(outcome.flows.iter().all(|flow| flow.open == 0), "case {case}: {:?}", outcome.flows);
}

fn same_on_all_schedules(plan: &Plan, seed: u64, coarse: u64) {
    let run = |schedule, window| {
        let options = RunOptions { seed, coarse, schedule, window, threads: 2, ..RunOptions::default() };
        crate::engine::run(plan, &options, &Nobody)
            .unwrap_or_else(|error| panic!("case {seed}: {error}"))
            .expect("never stopped")
    };
    let windowed = run(Schedule::Windowed, 7);
    assert!(windowed == run(Schedule::Stepwise, 0), "case {seed}, coarse {coarse}");
}

#[test]
fn accounts_close_and_nothing_leaks() {
    (0..60).for_each(check);
}

#[test]
#[ignore = "a long soak"]
fn accounts_close_and_nothing_leaks_soak() {
    (60..5_000).for_each(check);
}

#[test]
#[ignore = "repeats the case of the environment variable CASE"]
fn one_case() {
    check(std::env::var("CASE").unwrap().parse().unwrap());
}
