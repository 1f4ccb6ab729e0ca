//! Why an estimate and a result part, from the plan and the outcome.
//!
//! They part where they differ by more than the interval of the result and the known error of the formula. What the run has
//! and the formula leaves out is then named, the causes that were measured first.

use super::beside::{Found, Setting, name_of};
use super::unfinished::{UNFINISHED, open_in};
use crate::estimate::{Accuracy, At, Consumer, Outage, Service};
use crate::outcome::{Again, Ended};
use crate::plan::{FaultTarget, Party, Plan, Protocol, ServiceId, Step, called};
use crate::summary::{Beside, Figure, number_at};
use crate::units::{show_count, show_number, show_rate, show_seconds, show_share};

/// Causes that are named.
const NAMED: usize = 3;
/// An interval is this many times as wide before an estimate is said to lie outside: of many intervals some miss by chance.
const WIDER: f64 = 2.0;

/// Which way the simulated figure lies from the estimate, if it does clearly. `slack` is what the formula may be off, `least` a
/// difference that nobody would notice.
fn parts(figure: &Figure, slack: f64, least: f64) -> Option<f64> {
    let (estimate, simulated) = figure.estimate.zip(figure.simulated)?;
    let half = figure.interval.map_or(0.0, |(low, high)| 0.5 * (high - low));
    let off = simulated - estimate;
    (off.abs() > WIDER * half + slack * estimate.max(simulated) + least).then_some(off)
}

/// `wait 57.3s, by formula 30.1ms`.
fn both(what: &str, figure: &Figure, theory: Theory) -> String {
    let show = |value: Option<f64>| value.map_or_else(|| "none".into(), |value| shown(figure, value));
    let by = if theory == Theory::Fluid { "by the fluid" } else { "by formula" };
    format!("{what} {}, {by} {}", show(figure.simulated), show(figure.estimate))
}

/// What an estimate is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theory {
    Formula,
    Fluid,
}

fn shown(figure: &Figure, value: f64) -> String {
    use crate::metrics::Unit;
    match figure.unit {
        Unit::Seconds => show_seconds(value),
        Unit::Share => show_share(value),
        Unit::Rate => show_rate(value),
        Unit::Count => show_count(value.round()),
        Unit::Number | Unit::Bytes => show_number(value),
    }
}

/// A remark from what parts and what explains it.
fn remark(theory: Theory, what: &[String], seen: Vec<String>, left_out: Vec<String>) -> Option<String> {
    let what = what.first()?;
    let mut text = format!("{what}.");
    let (it, knows) = match theory {
        Theory::Formula => ("formula", "means and variances"),
        Theory::Fluid => ("fluid", "rates"),
    };
    let room = NAMED.saturating_sub(seen.len());
    if !seen.is_empty() {
        let seen: Vec<String> = seen.into_iter().take(NAMED).collect();
        text += &format!(" In the run, not in the {it}: {}.", seen.join("; "));
    }
    let left_out: Vec<String> = left_out.into_iter().take(room).collect();
    if !left_out.is_empty() {
        text += &format!(" The {it} leaves out {}.", left_out.join("; "));
    }
    if text.len() == what.len() + 1 {
        text += &format!(" Nothing in the plan or in the run explains it: the {it} knows {knows} only.");
    }
    Some(text)
}

/// Of a consumer.
pub(super) fn of_consumer(setting: &Setting<'_>, found: Found<'_>, it: &Consumer, beside: &Beside) -> Option<String> {
    let index = setting.plan.consumers.iter().position(|consumer| consumer.name == it.name)?;
    let all = it.latency.unwrap_or(0.0).max(beside.figure("latency.mean")?.simulated.unwrap_or(0.0));
    // Several runs have an interval; how much one can say of a mean is known by formula.
    let noise = if found.pooled.runs == 1 { (3.0 * it.noise).min(1.0) } else { 0.0 };
    let slack = it.accuracy.tolerance() + noise;
    let mut what = Vec::new();
    let mut part = |key: &str, name: &str, slack: f64, least: f64| {
        let figure = beside.figure(key)?;
        let off = parts(figure, slack, least)?;
        what.push(both(name, figure, Theory::Formula));
        Some(off)
    };
    let load = part("offered_load", "Load", 0.05 + noise.min(0.05), 0.005);
    let wait = part("wait", "Wait", slack, 0.05 * all);
    let mean = part("latency.mean", "Mean latency", 0.5 * slack, 0.02 * all);
    let tail =
        part("latency.p99", "p99", if it.accuracy == Accuracy::Exact { slack.max(0.02) } else { slack.max(0.3) }, 0.0);
    if it.wait.is_none() && it.load.is_some() {
        return Some(no_steady_state(it, beside));
    }
    let off = wait.or(mean).or(tail).or(load)?;
    let mut seen = Vec::new();
    seen.extend(stopped(found, index));
    let faults = faults_at(setting, found, index, it);
    if !faults.is_empty() && is_explained(it, beside) {
        return remark(Theory::Formula, &what, faults, Vec::new());
    }
    seen.extend(faults);
    seen.extend(thrown_out(found, index));
    seen.extend(rebalances(setting.plan, found, index));
    seen.extend(redelivered(found, index));
    if off < 0.0 {
        seen.extend(unfinished(found, index));
        seen.extend(fewer(beside));
    }
    seen.extend(too_short(setting, it));
    remark(Theory::Formula, &what, seen, it.doubts.iter().map(crate::estimate::Doubt::words).collect())
}

/// There is nothing to compare: what comes of it instead.
fn no_steady_state(it: &Consumer, beside: &Beside) -> String {
    let busiest = it.busiest.unwrap_or(0.0).max(it.load.unwrap_or(0.0));
    let whose = if it.busiest > it.load.map(|load| 1.02 * load) { "its busiest queue" } else { "it" };
    let mut text = if busiest < 1.0 {
        "No formula: the wait depends on the longest service times, which have no variance.".into()
    } else {
        format!("No steady state, and no formula: {whose} is asked for {} of what it can do.", show_share(busiest))
    };
    let Some(end) = beside.figure("lag.end") else { return text };
    if let Some(lag) = end.estimate {
        let beside = end.simulated.map_or_else(String::new, |lag| format!(" (simulated: {})", show_count(lag.round())));
        text += &format!(" By the fluid, lag is {} at the end of the run{beside}.", show_count(lag.round()));
    }
    text
}

fn stopped(found: Found<'_>, index: usize) -> Option<String> {
    let Ended::BacklogBound { at, consumer } = found.pooled.outcome.ended else { return None };
    let whose = if consumer == index { "its backlog" } else { "a backlog" };
    Some(format!("{whose} stopped a run after {}", show_seconds(at.seconds())))
}

/// Faults that this consumer felt, with what the fluid says that they add.
fn faults_at(setting: &Setting<'_>, found: Found<'_>, index: usize, it: &Consumer) -> Vec<String> {
    let plan = setting.plan;
    let own = |target: FaultTarget| match target {
        FaultTarget::Consumer(id, _) | FaultTarget::ConsumerLink(id) => id.0 as usize == index,
        _ => false,
    };
    let felt = plan.faults.iter().enumerate().filter(|(number, fault)| {
        let struck = fault.effect.may_act() && found.pooled.outcome.faults[*number].count > 0;
        struck && (own(fault.target) || found.pooled.notices(*number, index))
    });
    let names: Vec<String> = felt.map(|(_, fault)| format!("`{}`", fault.name)).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let delay = it.backlog.filter(|backlog| !backlog.overload && backlog.delay > 0.01 * it.wait.unwrap_or(0.0));
    let adds = delay.map_or_else(String::new, |backlog| {
        format!(", which by the fluid adds {} to the mean wait", show_seconds(backlog.delay))
    });
    let noun = if names.len() == 1 { "the fault" } else { "the faults" };
    vec![format!("{noun} {}{adds}", names.join(", "))]
}

/// Whether the wait is what the formula and the fluid say together.
fn is_explained(it: &Consumer, beside: &Beside) -> bool {
    let simulated = beside.figure("wait").and_then(|wait| wait.simulated);
    let estimate = it.wait.zip(it.backlog).map(|(wait, backlog)| wait + backlog.delay);
    simulated
        .zip(estimate)
        .is_some_and(|(simulated, estimate)| (simulated - estimate).abs() < 0.35 * simulated.max(estimate))
}

fn thrown_out(found: Found<'_>, index: usize) -> Option<String> {
    let late = *found.pooled.outcome.consumers[index].expelled.get(&Again::PolledTooLate)?;
    let each = late as f64 / f64::from(found.pooled.runs);
    Some(format!("members that did not poll in time and were thrown out of the group ({each:.1} times a run)"))
}

fn rebalances(plan: &Plan, found: Found<'_>, index: usize) -> Option<String> {
    let count = found.pooled.outcome.consumers[index].rebalances;
    let runs = u64::from(found.pooled.runs);
    (count >= runs && count > 0).then(|| {
        let each = count as f64 / runs as f64;
        let noun = if each < 1.5 { "a rebalance" } else { "rebalances" };
        let eager = plan.consumers[index].membership.group().is_some_and(|group| group.protocol == Protocol::Eager);
        let halt = if eager { ", in which all members stand still" } else { "" };
        format!("{noun}{halt} ({each:.1} a run)")
    })
}

fn redelivered(found: Found<'_>, index: usize) -> Option<String> {
    let seen = &found.pooled.outcome.consumers[index];
    let share = seen.duplicates_deliveries as f64 / seen.deliveries.max(1) as f64;
    (share > 0.001).then(|| format!("{} of the deliveries were not the first of their event", show_share(share)))
}

fn unfinished(found: Found<'_>, index: usize) -> Option<String> {
    let books = &found.pooled.outcome.consumers[index].ledger;
    let share = open_in(books) as f64 / books.created.max(1) as f64;
    (share > UNFINISHED)
        .then(|| format!("{} of its events were not done at the end, and are missing", show_share(share)))
}

/// Less came than was to come.
fn fewer(beside: &Beside) -> Option<String> {
    let figure = beside.figure("rate")?;
    parts(figure, 0.05, 0.0).filter(|off| *off < 0.0)?;
    Some(format!("only {} came", show_rate(figure.simulated?)))
}

/// The run is short against the time in which the queue changes.
fn too_short(setting: &Setting<'_>, it: &Consumer) -> Option<String> {
    let (run, warm_up) = (setting.plan.duration.seconds(), setting.plan.warm_up.seconds());
    let forgets = warm_up > 3.0 * it.memory || run > 30.0 * it.memory;
    (!forgets).then(|| format!("a queue that begins empty, and needs about {} to forget it", show_seconds(it.memory)))
}

/// Of a service.
pub(super) fn of_service(setting: &Setting<'_>, found: Found<'_>, it: &Service, beside: &Beside) -> Option<String> {
    let index = setting.plan.services.iter().position(|service| service.name == it.name)?;
    if let Some(backlog) = it.backlog.filter(|backlog| backlog.overload && it.response.is_none()) {
        let load = match it.busiest.or(it.load).unwrap_or(0.0) {
            load if load >= 1.0 => show_share(load),
            _ => format!("{} at the peak", show_share(it.peak_load.unwrap_or(0.0))),
        };
        let (most, left) = (show_count(backlog.most.round()), show_count(backlog.end.round()));
        return Some(format!(
            "No steady state, and no formula: it is asked for {load} of what it can do, and its queue has more room than a run \
             fills. By the fluid {most} wait at most, and {left} at the end."
        ));
    }
    let noise = if found.pooled.runs == 1 { (3.0 * it.noise).min(1.0) } else { 0.0 };
    let slack = it.accuracy.tolerance() + noise;
    let held = it.held.map_or(0.0, |held| held.mean);
    let mut what = Vec::new();
    let mut part = |key: &str, name: &str, slack: f64, least: f64| {
        let figure = beside.figure(key)?;
        let off = parts(figure, slack, least)?;
        what.push(both(name, figure, Theory::Formula));
        Some(off)
    };
    let _ = part("response.mean", "Mean response", 0.5 * slack, 0.0);
    let _ = part("refused", "Refused", 0.5, 0.005);
    let came = part("rate", "Requests", 0.05, 0.0);
    let _ = part("offered_load", "Load", 0.1, 0.01);
    let _ = part("wait", "Wait", slack, 0.1 * held);
    let _ = part("response.p99", "p99", slack.max(0.3), 0.0);
    if what.is_empty() {
        return None;
    }
    let mut seen = Vec::new();
    seen.extend(faults_near(setting, index));
    if came.is_none_or(|off| off > 0.0) {
        seen.extend(retried(setting, found, index));
    } else {
        seen.extend(refused_before(setting, found, index));
    }
    seen.extend(withheld(setting, found, index));
    if what.len() > 1 || came.is_none() {
        seen.extend(fewer(beside));
    }
    seen.extend(failed_calls(setting, found, index));
    remark(Theory::Formula, &what, seen, it.doubts.iter().map(crate::estimate::Doubt::words).collect())
}

/// Faults of a service, and of all that it is tied to by calls: one that fails or waits sends others less, or more.
fn faults_near(setting: &Setting<'_>, index: usize) -> Option<String> {
    let plan = setting.plan;
    let near = tied(plan, index);
    let faults = plan.faults.iter().filter(|fault| fault.effect.may_act()).filter(|fault| match fault.target {
        FaultTarget::Resource(id) => {
            near.iter().any(|at| plan.holds(Party::Service(ServiceId(u32::try_from(*at).unwrap_or(u32::MAX))), id))
        }
        FaultTarget::Service(id, _) | FaultTarget::ServiceLink(id) | FaultTarget::CallLink(_, id) => {
            near.contains(&(id.0 as usize))
        }
        _ => false,
    });
    let names: Vec<String> = faults.map(|fault| format!("`{}`", fault.name)).collect();
    let noun = if names.len() == 1 { "the fault" } else { "the faults" };
    (!names.is_empty()).then(|| format!("{noun} {}, and what it set off", names.join(", ")))
}

/// A service, and all services that calls tie to it, either way.
fn tied(plan: &Plan, index: usize) -> Vec<usize> {
    let calls: Vec<Vec<ServiceId>> = plan.services.iter().map(|service| called(&service.handler.steps)).collect();
    let asks = |from: usize, to: usize| calls[from].iter().any(|id| id.0 as usize == to);
    let mut found = vec![index];
    let mut at = 0;
    while let Some(one) = found.get(at).copied() {
        let more = (0..plan.services.len()).filter(|other| asks(one, *other) || asks(*other, one));
        let more: Vec<usize> = more.filter(|other| !found.contains(other)).collect();
        found.extend(more);
        at += 1;
    }
    found
}

/// Who calls a service: section of the metrics, and name.
fn callers(plan: &Plan, index: usize) -> impl Iterator<Item = (&'static str, &str)> {
    let asks = move |steps: &[Step]| called(steps).iter().any(|id| id.0 as usize == index);
    let producers = plan.producers.iter().map(|it| ("producers", it.name.as_str(), &it.handler));
    let consumers = plan.consumers.iter().map(|it| ("consumers", it.name.as_str(), &it.handler));
    let services = plan.services.iter().map(|it| ("services", it.name.as_str(), &it.handler));
    let all = producers.chain(consumers).chain(services);
    all.filter(move |(.., handler)| asks(&handler.steps)).map(|(section, name, _)| (section, name))
}

/// The share of the requests to a service that are attempts after the first.
fn retried(setting: &Setting<'_>, found: Found<'_>, index: usize) -> Option<String> {
    let name = setting.plan.services[index].name.as_str();
    let again: f64 = callers(setting.plan, index)
        .filter_map(|(section, caller)| {
            let ledger = |key: &str| number_at(found.metrics, &[section, caller, "calls", name, key]);
            Some(ledger("retries")? + ledger("hedges")?)
        })
        .sum();
    let visits = number_at(found.metrics, &["services", name, "visits", "arrived"])?;
    let share = again / visits.max(1.0);
    (share > 0.02).then(|| format!("{} of the requests to it are attempts after the first", show_share(share.min(1.0))))
}

/// Callers that refuse their own requests: these never come to it.
fn refused_before(setting: &Setting<'_>, found: Found<'_>, index: usize) -> Vec<String> {
    let told = callers(setting.plan, index).filter_map(|(section, caller)| {
        let visits = |key: &str| number_at(found.metrics, &[section, caller, "visits", key]);
        let share = visits("refused")? / visits("arrived")?.max(1.0);
        (share > 0.001).then(|| format!("{caller} refuses {} of what comes to it", show_share(share)))
    });
    told.collect()
}

/// Attempts that callers, or the service itself, had no budget for.
fn withheld(setting: &Setting<'_>, found: Found<'_>, index: usize) -> Option<String> {
    let own = setting.plan.services[index].name.as_str();
    let near = std::iter::once(("services", own)).chain(callers(setting.plan, index));
    let ledgers = near.filter_map(|(section, name)| found.metrics.get(section)?.get(name)?.get("calls")?.as_object());
    let count =
        |key: &str, ledger: &serde_json::Value| ledger.get(key).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let (mut stopped, mut attempts) = (0.0, 0.0);
    for ledger in ledgers.flat_map(serde_json::Map::values) {
        stopped += count("withheld", ledger);
        attempts += count("attempts", ledger);
    }
    let share = stopped / (stopped + attempts).max(1.0);
    (share > 0.01).then(|| format!("{} of the attempts were not made, for want of a retry budget", show_share(share)))
}

/// What became of the calls of a service, or of those of who asks it.
fn failed_calls(setting: &Setting<'_>, found: Found<'_>, index: usize) -> Vec<String> {
    let own = std::iter::once(("services", setting.plan.services[index].name.as_str()));
    let near = own.chain(callers(setting.plan, index).filter(|(_, name)| *name != setting.plan.services[index].name));
    let told = near.filter_map(|(section, name)| {
        let calls = found.metrics.get(section)?.get(name)?.get("calls")?.as_object()?;
        let sum = |key: &str| calls.values().filter_map(|ledger| ledger.get(key)?.as_f64()).sum::<f64>();
        let (attempts, late) = (sum("attempts"), sum("timeouts") + sum("refused"));
        let (calls, failed) = (sum("calls"), sum("failed"));
        let mut told = Vec::new();
        if late > 0.001 * attempts {
            let share = show_share(late / attempts);
            told.push(format!("{share} of the attempts of {name} had no answer in time, or were refused"));
        }
        if failed > 0.001 * calls {
            told.push(format!("{} of the calls of {name} failed", show_share(failed / calls)));
        }
        (!told.is_empty()).then(|| told.join(", and "))
    });
    told.collect()
}

/// Of what a fault leaves behind.
pub(super) fn of_outage(setting: &Setting<'_>, found: Found<'_>, it: &Outage, beside: &Beside) -> Option<String> {
    const SLACK: f64 = 0.35;
    let (backlog, drained) = (beside.figure("backlog")?, beside.figure("drain_time")?);
    let mut what = Vec::new();
    let in_words =
        |value: Option<f64>| value.map_or_else(|| "never".into(), |time| format!("in {}", show_seconds(time)));
    let drains = || format!("Drained {}, by the fluid {}", in_words(drained.simulated), in_words(drained.estimate));
    if drained.estimate.is_some() != drained.simulated.is_some() {
        what.push(drains());
    }
    if parts(backlog, SLACK, 20.0).is_some() {
        what.push(both("Backlog", backlog, Theory::Fluid));
    }
    // The lag of a consumer is sampled, and what waits at a service is counted.
    let soon = if matches!(it.at, At::Service(_)) { 2.0 } else { 15.0 };
    if parts(drained, SLACK, soon).is_some() {
        what.push(drains());
    }
    if let Some(refused) = beside.figure("refused").filter(|refused| parts(refused, SLACK, 0.02).is_some()) {
        what.push(both("Refused", refused, Theory::Fluid));
    }
    if what.is_empty() || backlog.simulated.is_none() {
        return None;
    }
    let at = name_of(setting.plan, it.at);
    let fault = found.metrics.get("faults")?.get(it.fault)?;
    let mut seen = Vec::new();
    let overlaps = fault.get("overlaps").and_then(|with| with.get(at)?.as_array()).map_or(0, Vec::len);
    if overlaps > 0 && matches!(it.at, At::Consumer(_)) {
        seen.push("other faults at the same time, which cannot be told apart".into());
    }
    if let At::Service(index) = it.at {
        seen.extend(retried(setting, found, index));
        seen.extend(failed_calls(setting, found, index));
    }
    if let At::Consumer(index) = it.at {
        seen.extend(thrown_out(found, index));
    }
    if it.by_chance {
        seen.push("times left to chance: what is shown is the worst of all, the fluid is for their means".into());
    }
    // The worst of some runs lies above their mean, by some standard deviations of as many as come in that time.
    let chance = 5.0 * crate::math::sqrt(it.came);
    let above = backlog.simulated.zip(backlog.estimate).map_or(0.0, |(seen, fluid)| seen - fluid);
    let worst = above > 0.0 && above < chance;
    if found.pooled.runs > 1 && !it.by_chance && worst {
        seen.push(format!("the ups and downs of {} runs, of which the worst is shown", found.pooled.runs));
    }
    remark(Theory::Fluid, &what, seen, Vec::new())
}
