//! Members of consumers as metrics: how many there were over time, what that is in member-seconds, and the steps of an
//! autoscaler; and those autoscalers that may take their own rebalances for work.

use serde_json::{Map, Value, json};

use super::measure::{level, ratio, seconds};
use super::pool::Pooled;
use crate::outcome::{ConsumerOutcome, ScalingOutcome};
use crate::plan::{ConsumerPlan, Plan, Protocol, ScaleTarget};
use crate::summary::Beside;
use crate::units::{show_count, show_rate, write_duration};

/// The sizes that a consumer should have while it was measured, each with its time in a run, ns.
pub(super) fn sizes_over_time(
    plan: &Plan,
    policy: &ConsumerPlan,
    seen: &ConsumerOutcome,
    pooled: &Pooled,
) -> Vec<(u32, f64)> {
    if let Some(scaling) = &seen.scaling {
        let runs = f64::from(pooled.runs);
        return scaling.time_at.iter().map(|(members, time)| (*members, *time as f64 / runs)).collect();
    }
    let (from, runs) = (plan.warm_up.0, u128::from(pooled.runs));
    let to = u64::try_from(u128::from(from) + pooled.measured / runs.max(1)).unwrap_or(u64::MAX);
    let sizes = plan.sizes(plan.consumers.iter().position(|consumer| consumer.name == policy.name).unwrap_or(0));
    let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
    let time =
        |((start, members), end): (&(u64, u32), u64)| (*members, end.min(to).saturating_sub((*start).max(from)) as f64);
    sizes.iter().zip(ends).map(time).collect()
}

/// How many members an autoscaled consumer should have: on average, at most, over time, and what that is in member-seconds a
/// run.
pub(super) fn members(scaling: &ScalingOutcome, pooled: &Pooled, index: usize) -> Value {
    let all: u128 = scaling.time_at.values().sum();
    let paid: u128 = scaling.time_at.iter().map(|(members, time)| u128::from(*members) * time).sum();
    let most = scaling.time_at.last_key_value().map(|(members, _)| *members);
    let mut metrics = Map::new();
    metrics.insert("mean".into(), ratio(paid as f64, all as f64));
    metrics.insert("max".into(), most.map_or(Value::Null, |most| level(f64::from(most))));
    metrics.insert("time".into(), ratio(paid as f64 / 1e9, f64::from(pooled.runs)));
    if let Some(curve) = pooled.curves.get(index) {
        let means: Vec<Value> = curve.mean_of(&scaling.members).into_iter().map(level).collect();
        let interval = pooled.outcome.consumers[index].lag.interval;
        metrics.insert("series".into(), json!({ "interval": seconds(interval.0), "members": means }));
    }
    metrics.into()
}

/// Steps of the autoscaler in a run.
pub(super) fn scaled(scaling: &ScalingOutcome, pooled: &Pooled) -> Value {
    let a_run = |steps: u64| ratio(steps as f64, f64::from(pooled.runs));
    json!({ "up": a_run(scaling.up), "down": a_run(scaling.down) })
}

/// Whose target of lag is so small that one rebalance, in which all members stand still, leaves more behind: each step may
/// call for the next.
#[must_use]
pub fn restless(plan: &Plan, estimates: &[Beside]) -> Vec<String> {
    plan.consumers.iter().filter_map(|policy| restless_one(policy, estimates)).collect()
}

fn restless_one(policy: &ConsumerPlan, estimates: &[Beside]) -> Option<String> {
    let (autoscale, group) = (policy.autoscale?, policy.membership.group()?);
    let ScaleTarget::Lag(each) = autoscale.target else { return None };
    let estimate = estimates.iter().find(|it| it.section == "consumers" && it.name == policy.name)?;
    let figure = |key: &str| estimate.figure(key).and_then(|figure| figure.estimate);
    let (rate, erlangs) = (figure("rate")?, figure("erlangs")?);
    // The last of them hears of it a heartbeat later, and all wait for the round.
    let pause = group.heartbeat.seconds() + group.join.mean() * 1e-9;
    let members = (erlangs / f64::from(policy.workers)).ceil().max(f64::from(autoscale.min)).max(1.0);
    let (left, wanted) = (rate * pause, each as f64 * members);
    if group.protocol != Protocol::Eager || left <= wanted {
        return None;
    }
    Some(format!(
        "a rebalance of consumers.{}, in which all members stand still for {} or longer, leaves {} records of {} behind, \
         and {} members shall have {} together: each step may call for the next; a larger `lag`, or a group that works on \
         meanwhile, does not",
        policy.name,
        write_duration(crate::time::SimSpan::from_nanos_f64((pause * 10.0).round() * 1e8)),
        show_count(left.round()),
        show_rate(rate),
        show_count(members),
        show_count(wanted),
    ))
}
