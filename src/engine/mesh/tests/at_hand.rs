//! Small systems whose every step can be followed by hand.

use super::*;
use crate::dist::{Arrivals, Replay};
use crate::engine::tests::{consumer, direct_client, topic};
use crate::plan::{Batching, PublishStep, TopicId};

pub(super) fn at(seconds: &[f64]) -> Option<Arrivals> {
    let times = seconds.iter().map(|at| SimSpan::from_nanos_f64(at * SECOND).0).collect();
    Some(Arrivals::times(times, Replay::default()).expect("in order"))
}

pub(super) fn users_at(seconds: &[f64], service: ServicePlan) -> ServicePlan {
    ServicePlan { arrivals: at(seconds), ..service }
}

pub(super) fn fault(target: u32, effect: Effect, from: f64, lasts: f64) -> FaultPlan {
    FaultPlan {
        name: "fault".into(),
        stream: "0".into(),
        at: Dist::Constant(from * SECOND),
        every: None,
        lasts: Some(Dist::Constant(lasts * SECOND)),
        target: FaultTarget::Service(ServiceId(target), Members::All),
        effect,
    }
}

pub(super) fn with_timeout(to: u32, seconds: f64) -> CallStep {
    CallStep { timeout: Some(SimSpan::from_nanos_f64(seconds * SECOND)), ..call(to) }
}

pub(super) fn resource(name: &str) -> ResourcePlan {
    ResourcePlan {
        name: name.into(),
        capacity: Some(1),
        per_key: false,
        rate: None,
        queue: u32::MAX,
        timeout: None,
        retry_after: false,
    }
}

pub(super) fn hold(of: u32, steps: Vec<Step>) -> Step {
    Step::Hold { of: ResourceId(of), steps, otherwise: None }
}

/// Latest answer to a user of a service, and the sum of all, in milliseconds.
pub(super) fn responses(outcome: &Outcome, service: usize) -> (u64, u128) {
    let it = &outcome.services[service];
    (it.response.max() / 1_000_000, it.response_sum / 1_000_000)
}

/// Who is cancelled cancels what it waits for: nobody further down works on.
#[test]
fn a_cancelled_call_cancels_what_it_calls() {
    for cancels in [false, true] {
        let mut deep = service("deep", vec![pause(1.0), pause(1.0)]);
        let mut middle = service("middle", vec![Step::Call(call(0)), pause(1.0)]);
        deep.transport.cancels = cancels;
        middle.transport.cancels = cancels;
        let step = CallStep { otherwise: Some(Vec::new()), ..with_timeout(1, 0.5) };
        let shop = users_at(&[1.0, 11.0, 21.0], service("shop", vec![Step::Call(step)]));
        let outcome = outcome(&plan(30, vec![deep, middle, shop]), 1);
        let (deep, middle) = (&outcome.services[0], &outcome.services[1]);
        assert_eq!(responses(&outcome, 2), (500, 1_500));
        if cancels {
            assert_eq!((middle.visits.cancelled, middle.busy), (3, 1_500_000_000), "let go at once");
            assert_eq!(
                (deep.visits.cancelled, deep.handler.working),
                (3, 3_000_000_000),
                "noticed after the first step"
            );
            assert_eq!(ledger(&outcome, 1, 0).open, 3, "calls that end with their caller");
        } else {
            assert_eq!((middle.visits.wasted, middle.busy), (3, 9_000_000_000));
            assert_eq!((deep.visits.done, deep.visits.wasted), (3, 0), "the one in the middle still waits");
        }
    }
}

/// What reaches a process that stands still is found when it goes on, in the order in which it came.
#[test]
fn a_process_that_stands_still_neither_hears_nor_sends() {
    let run = |takes: f64, attempts: u32| {
        let inner = service("inner", vec![pause(takes)]);
        let mut step = with_timeout(0, 2.0);
        step.retry.attempts = attempts;
        step.otherwise = Some(Vec::new());
        let shop = users_at(&[10.0], service("shop", vec![Step::Call(step)]));
        let mut plan = plan(60, vec![inner, shop]);
        plan.faults = vec![fault(1, Effect::Pause, 10.5, 3.5)];
        outcome(&plan, 1)
    };
    let answered = run(1.0, 3);
    let calls = ledger(&answered, 1, 0);
    assert_eq!(
        (calls.succeeded, calls.attempts, calls.timeouts),
        (1, 1, 0),
        "the answer was there before its time was up"
    );
    assert_eq!(responses(&answered, 1).0, 4_000);
    let late = run(3.0, 2);
    let calls = ledger(&late, 1, 0);
    assert_eq!((calls.failed, calls.attempts, calls.timeouts), (1, 2, 2));
    assert_eq!(responses(&late, 1).0, 6_000, "the second attempt begins when the process goes on");
}

#[test]
fn clients_stand_still_with_their_process() {
    let step = PublishStep {
        to: TopicId(0),
        event_type: None,
        key: None,
        size: None,
        count: Dist::Constant(1.0),
        probability: 1.0,
        wait_for_ack: false,
        otherwise: None,
    };
    let mut shop = users_at(&[10.0], service("shop", vec![Step::Publish(step)]));
    let mut client = direct_client();
    client.batching = Some(Batching { linger: SimSpan::from_seconds(2), max_bytes: 1 << 20, max_messages: u64::MAX });
    client.retry.delivery_timeout = SimSpan::from_seconds(60);
    shop.clients = vec![(TopicId(0), client)];
    let mut plan = plan(60, vec![shop]);
    plan.topics = vec![topic("sold", 1, Dist::Constant(0.0))];
    plan.consumers = vec![consumer("books", 0, 1, Dist::Constant(0.0))];
    plan.faults = vec![fault(0, Effect::Pause, 11.0, 4.0)];
    // What is published here is stored a nanosecond later at least.
    assert_eq!(outcome(&plan, 1).consumers[0].latency.max(), 5_000_000_001, "sent when the process goes on");
}

/// A row that is free is not kept from who asks for it by those who wait for another row.
#[test]
fn who_waits_for_one_row_holds_up_no_other() {
    let mut shop = users_at(&[1.0, 2.0, 3.0], service("shop", vec![hold(0, vec![pause(10.0)])]));
    shop.key = KeyPlan::Trace(vec![0, 0, 1]);
    let mut plan = plan(60, vec![shop]);
    plan.numeric_keys = u32::MAX;
    plan.resources = vec![ResourcePlan { per_key: true, rate: Some((10.0, 1)), ..resource("rows") }];
    assert_eq!(responses(&outcome(&plan, 1), 0), (19_000, 39_000));
}

/// A crowd before a quota costs one look at it for each grant, however many let go of it meanwhile.
#[test]
fn a_crowd_is_looked_at_once_for_each_grant() {
    let shop = ServicePlan {
        arrivals: Some(Arrivals::constant(20.0).expect("a rate")),
        ..service("shop", vec![hold(0, vec![pause(0.5)])])
    };
    let mut plan = plan(500, vec![shop]);
    plan.resources = vec![ResourcePlan { capacity: Some(50), rate: Some((10.0, 1)), ..resource("api") }];
    let mesh = mesh(&plan, 1, 0);
    // A look, a wake and the end of the work for each of 5,000 grants.
    assert!(mesh.calendar.entries() < 3 * 5_010, "{}", mesh.calendar.entries());
}

#[test]
fn one_worker_is_at_work_once() {
    let both = Step::Parallel { branches: vec![vec![pause(1.0)], vec![pause(3.0)]], quorum: 1, otherwise: None };
    let shop = ServicePlan { workers: 1, ..users_at(&[1.0, 2.0], service("shop", vec![both, pause(1.0)])) };
    let it = &outcome(&plan(60, vec![shop]), 1).services[0];
    assert_eq!((it.busy, it.handler.working), (4_000_000_000, 4_000_000_000));
}

#[test]
fn what_fails_holds_what_it_needs_before() {
    let shop = ServicePlan {
        failure: FailurePlan { transient: 1.0, ..FailurePlan::default() },
        ..users_at(&[1.0, 2.0], service("shop", vec![hold(0, vec![pause(0.5)]), Step::Call(call(1))]))
    };
    let mut plan = plan(60, vec![shop, service("z", vec![])]);
    plan.resources = vec![resource("db")];
    let outcome = outcome(&plan, 1);
    assert_eq!((outcome.resources[0].granted, outcome.resources[0].held), (2, 1_000_000_000));
    assert_eq!((outcome.services[0].users.failed, outcome.services[1].visits.arrived), (2, 0));
}

/// What a process holds when it crashes goes to who waits elsewhere, not to others of the same process.
#[test]
fn a_crash_lets_go_for_others() {
    let shop = |name, when: &[f64]| users_at(when, service(name, vec![hold(0, vec![pause(10.0)])]));
    let mut plan = plan(60, vec![shop("a", &[1.0, 2.0, 3.0]), shop("b", &[4.0])]);
    plan.resources = vec![resource("db")];
    plan.faults = vec![fault(0, Effect::Crash, 5.0, 1.0)];
    let outcome = outcome(&plan, 1);
    let db = &outcome.resources[0];
    assert_eq!((db.asked, db.granted, db.left, db.held), (4, 2, 2, 14_000_000_000));
    assert_eq!(responses(&outcome, 1).0, 11_000, "granted at the crash");
}

/// An effect of a call that had been given up is undone with its part, if it came in time for that.
#[test]
fn an_effect_is_late_when_nothing_undoes_it() {
    let run = |first: f64, second: f64, undo: f64| {
        let part = |to, seconds| CallStep { otherwise: Some(Vec::new()), ..with_timeout(to, seconds) };
        let strict = with_timeout(1, 1.0);
        let parts = vec![(vec![Step::Call(part(0, 1.0))], vec![pause(undo)]), (vec![Step::Call(strict)], Vec::new())];
        let saga = Step::Saga(SagaStep { parts, pivot: None, otherwise: Some(Vec::new()) });
        let stock = service("stock", vec![pause(first)]);
        let pay = service("pay", vec![pause(second)]);
        let shop = users_at(&[10.0], service("shop", vec![saga]));
        outcome(&plan(100, vec![stock, pay, shop]), 1).services[2].handler.sagas
    };
    // The second part fails two seconds after the beginning, and the first is undone then.
    let sagas = run(0.5, 9.0, 1.0);
    assert_eq!((sagas.compensated, sagas.late_success), (1, 1), "what fails takes effect in the end");
    let sagas = run(1.5, 0.5, 1.0);
    assert_eq!((sagas.completed, sagas.late_success), (1, 0));
    // What the second part asks for is not done before the run ends: what becomes of the first decides.
    assert_eq!(run(1.5, 200.0, 1.0).late_success, 0, "undone with its part");
    assert_eq!(run(2.5, 200.0, 1.0).late_success, 1, "it comes while the part is being undone");
    assert_eq!(run(5.0, 200.0, 1.0).late_success, 1, "it comes after the part was undone");
}
