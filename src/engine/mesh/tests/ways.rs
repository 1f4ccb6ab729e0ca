//! Faults of the ways to services, of services that never answer, and of what handlers hold: by hand.

use super::at_hand::{fault, hold, resource, responses, users_at, with_timeout};
use super::*;

/// A fault of the way from a service to another, from the start to the end.
fn on_link(effect: Effect) -> FaultPlan {
    let target = FaultTarget::CallLink(Party::Service(ServiceId(1)), ServiceId(0));
    FaultPlan { at: Dist::Constant(0.0), lasts: None, target, ..fault(0, effect, 0.0, 0.0) }
}

/// The same for some time.
fn on_link_for(effect: Effect, from: f64, lasts: f64) -> FaultPlan {
    FaultPlan { target: on_link(Effect::Pause).target, ..fault(0, effect, from, lasts) }
}

/// A hundred users, one a second, whose requests are calls to a service that takes half a second.
fn hundred(step: CallStep, fault: FaultPlan) -> Outcome {
    let times: Vec<f64> = (1..=100).map(f64::from).collect();
    let shop = users_at(&times, service("shop", vec![Step::Call(step)]));
    let mut plan = plan(200, vec![service("stock", vec![pause(0.5)]), shop]);
    plan.faults = vec![fault];
    outcome(&plan, 1)
}

/// A share of the requests never arrives: with two attempts, both must be lost.
#[test]
fn what_is_dropped_is_missed_by_its_time_out() {
    for attempts in [1, 2] {
        let mut step = with_timeout(0, 0.6);
        step.retry.attempts = attempts;
        let shop = with_users(50.0, service("shop", vec![Step::Call(step)]));
        let mut plan = plan(1_000, vec![service("stock", vec![pause(0.5)]), shop]);
        plan.faults = vec![on_link(Effect::Drop(0.3))];
        let outcome = outcome(&plan, 1);
        let (calls, users) = (ledger(&outcome, 1, 0), outcome.services[1].users);
        let ended = (calls.succeeded + calls.failed) as f64;
        let share = 0.3_f64.powi(i32::try_from(attempts).unwrap());
        let half = 4.0 * (share * (1.0 - share) / ended).sqrt();
        assert!((calls.failed as f64 / ended - share).abs() < half, "{calls:?}");
        assert_eq!(users.failed, calls.failed);
        let (arrived, lost) = (outcome.services[0].visits.arrived, calls.timeouts);
        assert!(calls.attempts - arrived - lost < 100, "{calls:?}: what times out has never arrived ({arrived})");
    }
}

#[test]
fn a_way_that_is_longer_is_so_both_ways() {
    let outcome = hundred(call(0), on_link(Effect::Delay(Dist::Constant(0.05 * SECOND))));
    assert_eq!(responses(&outcome, 1), (600, 60_000));
}

/// What arrives twice is done twice, and answered once.
#[test]
fn a_copy_is_work_for_nobody() {
    for cancels in [false, true] {
        let mut stock = service("stock", vec![pause(0.5)]);
        stock.transport.cancels = cancels;
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        let mut plan = plan(200, vec![stock, users_at(&times, service("shop", vec![Step::Call(call(0))]))]);
        plan.faults = vec![on_link(Effect::Duplicate(1.0))];
        plan.flows = vec![flow(1, &[0, 1])];
        let outcome = outcome(&plan, 1);
        let stock = outcome.services[0].visits;
        assert_eq!((stock.arrived, stock.done, stock.wasted), (200, 200, 100));
        assert_eq!((ledger(&outcome, 1, 0).succeeded, outcome.services[1].users.answered), (100, 100));
        assert_eq!((outcome.flows[0].done, outcome.flows[0].latency.max() / 1_000_000), (100, 500));
    }
}

/// What was done is done, though nobody hears of it.
#[test]
fn an_answer_that_is_lost_leaves_its_effect() {
    let outcome = hundred(with_timeout(0, 2.0), on_link(Effect::LostResponse(1.0)));
    let (calls, stock) = (ledger(&outcome, 1, 0), outcome.services[0].visits);
    assert_eq!((calls.failed, calls.timeouts, stock.done), (100, 100, 100));
    assert_eq!(stock.wasted, 0, "the callers still waited when it was done");
}

/// Between 20.2 s and 30.2 s neither requests nor answers get through: that of the request of 20 s is lost, too.
#[test]
fn nothing_gets_through_a_partition() {
    let outcome = hundred(with_timeout(0, 2.0), on_link_for(Effect::Partition, 20.2, 10.0));
    let (calls, stock) = (ledger(&outcome, 1, 0), outcome.services[0].visits);
    assert_eq!((calls.succeeded, calls.timeouts, stock.done), (89, 11, 90));
    // Without a time-out whoever calls waits for ever.
    let outcome = hundred(call(0), on_link_for(Effect::Partition, 20.2, 10.0));
    let shop = &outcome.services[1];
    assert_eq!((shop.users.answered, shop.users.open, ledger(&outcome, 1, 0).open), (89, 11, 11));
    let waited: u128 = (20..=30).map(|at| 200 - at).sum();
    assert_eq!(shop.busy, 89 * 500_000_000 + waited * 1_000_000_000, "workers are held by calls without an end");
}

/// It takes all that comes and answers nothing; who chooses by open requests soon sends it no more.
#[test]
fn a_black_hole_swallows_what_comes() {
    let seen = |balance: Balance| {
        let mut stock = ServicePlan { instances: 2, balance, ..service("stock", vec![pause(0.1)]) };
        stock.queue = 0;
        let times: Vec<f64> = (0..1_000).map(|n| 1.0 + 0.05 * f64::from(n)).collect();
        let shop = users_at(&times, service("shop", vec![Step::Call(with_timeout(0, 5.0))]));
        let mut plan = plan(100, vec![stock, shop]);
        let target = FaultTarget::Service(ServiceId(0), Members::One(0));
        plan.faults = vec![FaultPlan { target, ..fault(0, Effect::BlackHole, 20.975, 20.0) }];
        let outcome = outcome(&plan, 1);
        (outcome.services[0].visits.swallowed, ledger(&outcome, 1, 0))
    };
    // Twenty a second for twenty seconds, of which every second one comes to it.
    let (swallowed, calls) = seen(Balance::RoundRobin);
    assert_eq!((swallowed, calls.timeouts, calls.failed, calls.succeeded), (200, 200, 200, 800));
    // Two requests are open elsewhere at any time: it has three of them for each time-out, at most.
    let (swallowed, calls) = seen(Balance::LeastOutstanding);
    assert!((8..=20).contains(&swallowed) && calls.timeouts == swallowed, "{swallowed} {calls:?}");
}

/// When it crashes, its connections break: who waits for an answer knows that there will be none. Its callers wait for ever
/// otherwise.
#[test]
fn a_black_hole_that_crashes_lets_its_callers_go() {
    let stock = service("stock", vec![pause(0.1)]);
    let shop = users_at(&[1.0, 5.0, 6.0, 30.0], service("shop", vec![Step::Call(call(0))]));
    let mut plan = plan(100, vec![stock, shop]);
    plan.faults = vec![fault(0, Effect::BlackHole, 2.0, 10.0)];
    let users = outcome(&plan, 1).services[1].users;
    assert_eq!((users.answered, users.failed, users.open), (2, 0, 2));
    let crash = FaultPlan { stream: "1".into(), ..fault(0, Effect::Crash, 8.0, 1.0) };
    plan.faults.push(crash);
    let outcome = outcome(&plan, 1);
    let (shop, calls) = (&outcome.services[1], ledger(&outcome, 1, 0));
    assert_eq!((shop.users.answered, shop.users.failed, shop.users.open), (2, 2, 0));
    assert_eq!((calls.errors, calls.open, shop.busy), (2, 0, 5_200_000_000), "for three seconds, and for two");
}

/// For users, too, who get no answer.
#[test]
fn users_of_a_black_hole_are_not_answered() {
    let times: Vec<f64> = (1..=100).map(f64::from).collect();
    let mut plan = plan(200, vec![users_at(&times, service("shop", vec![pause(0.5)]))]);
    plan.faults = vec![fault(0, Effect::BlackHole, 20.2, 10.0)];
    plan.flows = vec![flow(0, &[0])];
    let outcome = outcome(&plan, 1);
    let shop = &outcome.services[0];
    assert_eq!((shop.users.answered, shop.users.failed, shop.visits.swallowed), (90, 10, 10));
    assert_eq!((outcome.flows[0].done, outcome.flows[0].stuck), (90, 10));
}

/// Eleven times as slow at first, and less and less for ten seconds.
#[test]
fn a_cold_start_warms_up() {
    let times: Vec<f64> = (1..=30).map(f64::from).collect();
    let mut plan = plan(60, vec![users_at(&times, service("shop", vec![pause(0.1)]))]);
    plan.faults = vec![fault(0, Effect::ColdStart(11.0), 10.0, 10.0)];
    // 1,100 ms at first, 100 ms less each second.
    let cold: u128 = (0..10).map(|second| 1_100 - 100 * second).sum();
    assert_eq!(responses(&outcome(&plan, 1), 0), (1_100, cold + 20 * 100));
}

/// Three requests for a table whose queries take a second: what is done with it slows down, or stands still, with it.
#[test]
fn what_is_held_slows_and_stops_what_is_done_with_it() {
    let query = vec![hold(0, vec![pause(1.0)]), pause(0.25)];
    let mut plan = plan(60, vec![users_at(&[10.0, 10.5, 20.0], service("shop", query))]);
    plan.resources = vec![resource("table")];
    let target = FaultTarget::Resource(ResourceId(0));
    let with = |plan: &Plan, effect: Effect, from: f64, lasts: f64| {
        let plan = Plan { faults: vec![FaultPlan { target, ..fault(0, effect, from, lasts) }], ..plan.clone() };
        responses(&outcome(&plan, 1), 0)
    };
    // 10 to 11, 11 to 12 and 20 to 21, each with a quarter of a second after it.
    assert_eq!(responses(&outcome(&plan, 1), 0), (1_750, 1_250 + 1_750 + 1_250));
    // The first goes on at 13.4, for 0.6 s; then the second begins.
    assert_eq!(with(&plan, Effect::Pause, 10.4, 3.0), (4_750, 4_250 + 4_750 + 1_250));
    // The second begins while it is slow and takes three seconds.
    assert_eq!(with(&plan, Effect::Slow(3.0), 10.9, 1.0), (3_750, 1_250 + 3_750 + 1_250));
}

/// Ten grants a second are enough for four requests a second; two are not: after ten seconds twenty wait, and then they
/// go at ten a second.
#[test]
fn a_quota_holds_for_a_time() {
    let times: Vec<f64> = (0..240).map(|n| 10.0 + 0.25 * f64::from(n)).collect();
    let mut plan = plan(100, vec![users_at(&times, service("shop", vec![hold(0, Vec::new())]))]);
    plan.resources = vec![ResourcePlan { capacity: None, rate: Some((10.0, 1)), ..resource("api") }];
    let target = FaultTarget::Resource(ResourceId(0));
    plan.faults = vec![FaultPlan { target, ..fault(0, Effect::Quota(2.0), 19.99, 10.0) }];
    let outcome = outcome(&plan, 1);
    let api = &outcome.resources[0];
    assert_eq!((api.granted, api.wait.count()), (240, 240));
    // The n-th since 20.0 comes at 20 + n / 4 and is granted at 20 + n / 2 until 29.99; those left go on every 100 ms.
    let mut granted: Vec<f64> = (0..20).map(|n| 20.0 + 0.5 * f64::from(n)).collect();
    let mut free: f64 = 29.5 + 0.49 + 0.01 / 5.0;
    for n in 20..240 {
        let came = 20.0 + 0.25 * f64::from(n);
        let at = if came < free { free } else { came };
        granted.push(at);
        free = at + 0.1;
    }
    let exact: f64 = granted.iter().zip(0..).map(|(at, n)| at - (20.0 + 0.25 * f64::from(n))).sum();
    let waited = api.wait_sum as f64 / SECOND;
    assert!((waited - exact).abs() < 0.02 * exact, "{waited} s instead of {exact} s");
}

/// A rate of one in two seconds, and no queue. Who comes 0.7 s after a grant is told to come again in two seconds, which is
/// 1.3 s in whole ones; without being told, a second attempt comes at once.
#[test]
fn who_is_turned_away_comes_again_when_told() {
    for (retry_after, response) in [(true, 2_000), (false, 0)] {
        let api = service("api", vec![hold(0, Vec::new())]);
        let mut step = call(0);
        step.retry.attempts = 2;
        let mut plan = plan(60, vec![api, users_at(&[10.0, 10.7], service("shop", vec![Step::Call(step)]))]);
        let rate = Some((0.5, 1));
        plan.resources = vec![ResourcePlan { capacity: None, rate, queue: 0, retry_after, ..resource("quota") }];
        let outcome = outcome(&plan, 1);
        let (users, calls) = (outcome.services[1].users, ledger(&outcome, 1, 0));
        assert_eq!((users.answered, calls.errors), if retry_after { (2, 1) } else { (1, 2) });
        assert_eq!(responses(&outcome, 1).0, response);
    }
}

/// Turned away by the first quota, which says when to come again, it goes another way, and fails there: its caller is not
/// told, and tries again at once, while the first quota still has nothing.
#[test]
fn who_has_another_way_tells_nobody_to_come_again() {
    let other_way = Step::Hold { of: ResourceId(0), steps: Vec::new(), otherwise: Some(Vec::new()) };
    let api = service("api", vec![other_way, hold(1, Vec::new())]);
    let mut step = call(0);
    step.retry.attempts = 2;
    let mut plan = plan(60, vec![api, users_at(&[10.0, 10.7], service("shop", vec![Step::Call(step)]))]);
    let quota = |rate, retry_after| ResourcePlan {
        capacity: None,
        rate: Some((rate, 1)),
        queue: 0,
        retry_after,
        ..resource("quota")
    };
    plan.resources = vec![quota(0.5, true), quota(0.01, false)];
    let outcome = outcome(&plan, 1);
    assert_eq!((outcome.services[1].users.answered, ledger(&outcome, 1, 0).errors), (1, 2));
    assert_eq!((outcome.resources[0].granted, outcome.resources[0].refused), (1, 2));
}

/// One connection, taken from 10 s on by the first user for 30 s. The second waits for it: until the end of the run, until the
/// first has given up, or until their process is gone.
#[test]
fn waits_for_a_connection_count_however_they_end() {
    for (until, timeout, crash, waited) in [(20, None, None, 9), (60, Some(4.0), None, 3), (60, None, Some(16.0), 5)] {
        let mut step = CallStep { pool: Some(1), ..call(0) };
        step.timeout = timeout.map(|seconds| SimSpan::from_nanos_f64(seconds * SECOND));
        let shop = users_at(&[10.0, 11.0], service("shop", vec![Step::Call(step)]));
        let mut plan = plan(until, vec![service("back", vec![pause(30.0)]), shop]);
        plan.faults = crash.map(|at| fault(1, Effect::Crash, at, 1.0)).into_iter().collect();
        let calls = ledger(&outcome(&plan, 1), 1, 0);
        assert_eq!((calls.waited, calls.pool_wait), (1, waited * 1_000_000_000), "{timeout:?} {crash:?}");
    }
}
