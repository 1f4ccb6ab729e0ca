//! From added-up outcomes to the metrics of services and resources; the rules of `measure` hold here too.

use serde_json::{Map, Value, json};

use super::measure::{distribution, facts, level, publishing, ratio, seconds};
use super::pool::Pooled;
use crate::outcome::{
    AwaitLedger, CallLedger, Crowd, HandlerOutcome, SagaLedger, ServiceInterval, TransactionLedger, UserLedger,
    VisitLedger,
};
use crate::plan::{Handler, Plan, Step, called};

/// The metrics of one service.
#[must_use]
pub(super) fn service(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let (policy, seen) = (&plan.services[index], &pooled.outcome.services[index]);
    let mut metrics = Map::new();
    let mut put = |name: &str, value: Value| metrics.insert(name.into(), value);
    let users = policy.arrivals.is_some();
    if users {
        put("response", distribution(&seen.response, seen.response_sum).into());
        put("availability", availability(&seen.users));
    }
    put("goodput", ratio((seen.visits.done - seen.visits.wasted) as f64, pooled.measured_seconds()));
    put("throughput", ratio(seen.visits.done as f64, pooled.measured_seconds()));
    put("utilisation", ratio(seen.handler.working as f64, seen.available as f64));
    put("held", ratio(seen.busy as f64, seen.available as f64));
    put("offered_load", offered_load(pooled, index));
    put("wait", distribution(&seen.wait, seen.wait_sum).into());
    put("queue", json!({ "max": level(seen.queue_max as f64) }));
    if users {
        put("users", user_ledger(&seen.users));
    }
    put("visits", visit_ledger(&seen.visits));
    handled(plan, &policy.handler, &seen.handler).into_iter().for_each(|(name, value)| drop(put(name, value)));
    if !policy.clients.is_empty() {
        put("created", seen.publish.created.into());
        put("publish", publishing(&seen.publish, pooled));
        facts(&policy.handler, &seen.publish, pooled).into_iter().for_each(|(name, value)| drop(put(name, value)));
    }
    metrics.into()
}

/// Metrics of the users who came in one interval (`response`, `availability`), and of what was done in it; `null` for
/// anything else.
#[must_use]
pub(super) fn during(pooled: &Pooled, index: usize, interval: usize, span: f64, path: &[&str]) -> Value {
    let Some(seen) = pooled.outcome.services[index].intervals.get(interval) else { return Value::Null };
    let per_second = |count: u64| ratio(count as f64, span * f64::from(pooled.runs));
    match path {
        ["response", rest @ ..] => {
            distribution(&seen.response, seen.response_sum).get(&rest.join(".")).cloned().unwrap_or(Value::Null)
        }
        ["availability"] => availability(&seen.users),
        ["goodput"] => per_second(seen.done - seen.wasted),
        ["throughput"] => per_second(seen.done),
        _ => Value::Null,
    }
}

/// What a fault did at a service: metrics of the users who came while it lasted, if any come there, and of who waited.
#[must_use]
pub(super) fn struck(users: Option<&ServiceInterval>, crowd: Crowd) -> Value {
    let mut metrics = Map::new();
    if let Some(seen) = users {
        metrics.insert("users".into(), user_ledger(&seen.users));
        metrics.insert("availability".into(), availability(&seen.users));
        metrics.insert("response".into(), distribution(&seen.response, seen.response_sum).into());
    }
    let waiting = json!({
        "before": level(crowd.before as f64),
        "usual_peak": level(crowd.usual_peak as f64),
        "peak": level(crowd.peak as f64),
        "drain_time": if crowd.not_drained == 0 { seconds(crowd.drain_time.0) } else { Value::Null },
        "not_drained": crowd.not_drained,
        "refused": ratio(crowd.refused as f64, crowd.arrived as f64),
    });
    metrics.insert("waiting".into(), waiting);
    metrics.into()
}

/// Share of the users' requests with an end that were answered well.
fn availability(users: &UserLedger) -> Value {
    ratio(users.answered as f64, (users.answered + users.failed + users.refused) as f64)
}

/// Worker time that is asked for, over that of the workers that were there: from 1 on they cannot keep up. A request holds its
/// worker through all of its steps, also while it waits for others.
fn offered_load(pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.services[index];
    let hold = seen.busy as f64 / seen.wait.count() as f64;
    let load = seen.visits.arrived as f64 * hold / seen.available as f64;
    if load.is_finite() { level(load) } else { Value::Null }
}

fn user_ledger(users: &UserLedger) -> Value {
    json!({
        "arrived": users.arrived, "answered": users.answered, "failed": users.failed, "refused": users.refused,
        "open": users.open,
    })
}

fn visit_ledger(visits: &VisitLedger) -> Value {
    json!({
        "arrived": visits.arrived, "done": visits.done, "failed": visits.failed, "refused": visits.refused,
        "cut_off": visits.cut_off, "swallowed": visits.swallowed, "cancelled": visits.cancelled, "open": visits.open, "wasted": visits.wasted,
    })
}

/// What handlers did: their calls by the service called, of all that they may call, and their sagas, if they have any.
pub(super) fn handled(plan: &Plan, handler: &Handler, seen: &HandlerOutcome) -> Vec<(&'static str, Value)> {
    let callees = called(&handler.steps).into_iter().map(|callee| callee.0 as usize);
    let of = |callee: usize| call_ledger(&seen.calls.get(&callee).copied().unwrap_or_default());
    let calls = callees.map(|callee| (plan.services[callee].name.clone(), of(callee))).collect::<Map<_, _>>();
    let mut metrics = vec![("calls", calls.into())];
    let mut has_sagas = false;
    handler.visit(&mut |step| has_sagas |= matches!(step, Step::Saga(_)));
    if has_sagas {
        metrics.push(("saga", sagas(&seen.sagas)));
    }
    if !handler.awaited().is_empty() {
        metrics.push(("awaits", awaits(&seen.awaits)));
    }
    if handler.transaction().is_some() {
        metrics.push(("transactions", transactions(&seen.transactions)));
    }
    metrics
}

/// Transactions by their end.
fn transactions(seen: &TransactionLedger) -> Value {
    json!({
        "begun": seen.begun, "committed": seen.committed, "aborted": seen.aborted, "refused": seen.refused,
        "timed_out": seen.timed_out, "fenced": seen.fenced, "open": seen.open,
    })
}

/// Waits for events by their end; shares are of those with an end of their own.
fn awaits(seen: &AwaitLedger) -> Value {
    let ended = seen.arrived + seen.refused + seen.timeouts;
    let of = |count: u64| json!({ "count": count, "share": ratio(count as f64, ended as f64) });
    json!({
        "begun": seen.begun, "arrived": of(seen.arrived), "refused": of(seen.refused), "timeouts": of(seen.timeouts),
        "left": seen.left, "open": seen.open, "wait": distribution(&seen.wait, seen.wait_sum),
    })
}

fn call_ledger(calls: &CallLedger) -> Value {
    // Each call begins with one attempt, which an open breaker may have stopped.
    let retries = (calls.attempts + calls.broken).saturating_sub(calls.calls + calls.hedges);
    json!({
        "calls": calls.calls, "succeeded": calls.succeeded, "failed": calls.failed, "open": calls.open,
        "attempts": calls.attempts, "retries": retries, "hedges": calls.hedges, "timeouts": calls.timeouts,
        "refused": calls.refused, "errors": calls.errors, "broken": calls.broken, "openings": calls.openings,
        "withheld": calls.withheld,
        "pool": { "waited": calls.waited, "wait": ratio(calls.pool_wait as f64 / 1e9, calls.waited as f64) },
    })
}

/// Sagas by their end; shares are of those with an end.
fn sagas(sagas: &SagaLedger) -> Value {
    let ended = sagas.begun.saturating_sub(sagas.open);
    let of = |count: u64, all: u64| json!({ "count": count, "share": ratio(count as f64, all as f64) });
    json!({
        "begun": sagas.begun,
        "completed": of(sagas.completed, ended),
        "compensated": of(sagas.compensated, ended),
        "stuck": of(sagas.stuck, ended),
        "open": of(sagas.open, sagas.begun),
        "late_success": of(sagas.late_success, ended),
    })
}

/// The metrics of one resource. One of its own for each key has no capacity as a whole.
#[must_use]
pub(super) fn resource(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let (policy, seen) = (&plan.resources[index], &pooled.outcome.resources[index]);
    let capacity = policy.capacity.filter(|_| !policy.per_key).map(f64::from);
    let over = |time: f64, all: f64| capacity.map_or(Value::Null, |capacity| ratio(time, all * capacity));
    json!({
        "utilisation": over(seen.held as f64, seen.time as f64),
        "holders": ratio(seen.held as f64, seen.time as f64),
        "offered_load": resource_load(plan, pooled, index),
        "asked": seen.asked, "granted": seen.granted, "refused": seen.refused, "timeouts": seen.timeouts,
        "left": seen.left, "open": seen.open,
        "wait": distribution(&seen.wait, seen.wait_sum),
    })
}

/// What is asked of a resource over what it can grant, by its capacity or its rate, whichever is tighter.
fn resource_load(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let (policy, seen) = (&plan.resources[index], &pooled.outcome.resources[index]);
    if policy.per_key {
        return Value::Null;
    }
    let asked = seen.asked as f64 / pooled.measured_seconds();
    let hold = seen.held as f64 / 1e9 / seen.granted as f64;
    let by_capacity = policy.capacity.map(|capacity| asked * hold / f64::from(capacity));
    let by_rate = policy.rate.map(|(rate, _)| asked / rate);
    let loads = by_capacity.into_iter().chain(by_rate).filter(|load| load.is_finite());
    loads.reduce(f64::max).map_or(Value::Null, level)
}

#[cfg(test)]
mod tests {
    use super::super::example::{self, expectation};
    use super::super::summarise::summarise;
    use crate::plan::Comparison::{AtLeast, Less};
    use crate::plan::Plan;
    use crate::report::json::document;
    use crate::report::text::{Style, render};
    use crate::summary::{Summary, Verdict};

    fn summary(plan: &Plan, runs: u32) -> Summary {
        let outcomes = (0..runs).map(|seed| example::outcome_of_services(plan, u64::from(seed)));
        summarise(plan, runs, outcomes).expect("runs")
    }

    /// Worked out by hand: 100 s measured, 10 requests a second, 2 x 5 workers held for half a second each.
    #[test]
    fn figures_by_hand() {
        let plan = example::plan_of_services();
        let summary = summary(&plan, 1);
        let near = |path: &[&str], expected: f64| {
            let value = summary.number(path).unwrap_or_else(|| panic!("{path:?}"));
            assert!((value / expected - 1.0).abs() < 1.0 / 512.0, "{path:?}: {value}, expected {expected}");
        };
        near(&["services", "checkout", "response", "p99"], 0.891);
        near(&["services", "checkout", "response", "mean"], 0.4505);
        near(&["services", "checkout", "availability"], 900.0 / 990.0);
        near(&["services", "checkout", "goodput"], 9.0);
        near(&["services", "checkout", "utilisation"], 0.096);
        near(&["services", "checkout", "held"], 0.48);
        near(&["services", "checkout", "offered_load"], 0.5);
        near(&["services", "checkout", "queue", "max"], 7.0);
        near(&["services", "checkout", "calls", "payments", "retries"], 200.0);
        near(&["services", "checkout", "saga", "compensated", "share"], 7.0 / 98.0);
        near(&["services", "payments", "goodput"], 9.0);
        near(&["services", "payments", "throughput"], 10.0);
        near(&["services", "payments", "offered_load"], 11.5 * 396.0 / 1110.0 / 4.0);
        near(&["resources", "db", "utilisation"], 0.099);
        near(&["resources", "db", "holders"], 0.99);
        near(&["resources", "db", "offered_load"], 0.1);
        near(&["flows", "paid", "late", "share"], 0.02);
        near(&["flows", "paid", "stuck", "share"], 40.0 / 990.0);
        assert_eq!(summary.number(&["services", "payments", "response", "p99"]), None);
        assert_eq!(summary.responses.len(), 1);
    }

    #[test]
    fn services_are_warned_about() {
        let plan = example::plan_of_services();
        let summary = summary(&plan, 1);
        let codes: Vec<_> = summary.warnings.iter().map(|w| (w.code, w.about.as_str())).collect();
        for expected in [("W001", "services.payments"), ("W002", "services.checkout"), ("W003", "services.checkout")] {
            assert!(codes.contains(&expected), "{codes:?}");
        }
        assert!(!codes.iter().any(|(_, about)| *about == "resources.db"), "{codes:?}");
    }

    #[test]
    fn claims_about_services_are_judged() {
        let mut plan = example::plan_of_services();
        plan.expectations = vec![
            expectation("", "services/checkout/calls/payments/timeouts", Less, 300.0, None),
            expectation("", "services/checkout/availability", AtLeast, 0.95, None),
            expectation("", "services/checkout/queue/max", Less, 107.0, None),
            expectation("", "resources/db/wait/p99", Less, 1.0, None),
            expectation("", "flows/paid/stuck/count", Less, 1.0, None),
        ];
        let verdicts: Vec<Verdict> = summary(&plan, 5).expectations.iter().map(|judged| judged.verdict).collect();
        assert_eq!(verdicts, [Verdict::Holds, Verdict::Fails, Verdict::Holds, Verdict::Holds, Verdict::Fails]);
    }

    #[test]
    fn the_document_of_three_runs_is_as_it_was() {
        let document = document(&summary(&example::plan_of_services(), 3));
        let from = document.find("  \"services\"").expect("there");
        let to = document.find("  \"reads\"").expect("there");
        insta::assert_snapshot!(&document[from..to]);
        assert!(document[to..].contains("\"checkout\""), "intervals of services");
    }

    #[test]
    fn the_report_is_as_it_was() {
        let mut summary = summary(&example::plan_of_services(), 3);
        for section in ["consumers", "producers", "topics", "faults"] {
            summary.metrics[section] = serde_json::json!({});
        }
        summary.curves.clear();
        summary.warnings.retain(|warning| warning.about.starts_with("services."));
        for width in [100, 80, 60, 40] {
            let text = render(&summary, Style { color: false, width });
            let foot = |line: &&str| line.starts_with("digest") || line.starts_with("repeat");
            let lines: Vec<&str> = text.lines().filter(|line| !foot(line)).collect();
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{text}");
            if width == 100 {
                insta::assert_snapshot!(lines.join("\n"));
            }
        }
    }
}
