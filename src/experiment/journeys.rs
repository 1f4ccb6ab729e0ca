//! From added-up outcomes to the metrics of flows and reads; the rules of `measure` hold here too.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::measure::{distribution, level, ratio};
use super::pool::Pooled;
use crate::outcome::{FlowOutcome, ReadOutcome};
use crate::plan::{Goal, Plan};

/// A count, and its share of all.
fn share(count: u64, all: u64) -> Value {
    json!({ "count": count, "share": ratio(count as f64, all as f64) })
}

/// The metrics of one flow; shares are of those with an end.
#[must_use]
pub(super) fn flow(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen: &FlowOutcome = &pooled.outcome.flows[index];
    let mut metrics = json!({
        "latency": distribution(&seen.latency, seen.latency_sum),
        "begun": seen.begun,
        "done": seen.done,
        "late": share(seen.late, seen.done),
        "stuck": share(seen.stuck, seen.done + seen.stuck),
        "open": seen.open,
    });
    if let Goal::Outcomes(ends) = &plan.flows[index].goal {
        let outcomes = ends.iter().zip(&seen.outcomes);
        let outcomes: Map<String, Value> =
            outcomes.map(|(end, count)| (end.name.clone(), share(*count, seen.done + seen.stuck))).collect();
        metrics["outcomes"] = outcomes.into();
    }
    metrics
}

/// The metrics of one read. What users see who look again is measured where they do.
#[must_use]
pub(super) fn read(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen: &ReadOutcome = &pooled.outcome.reads[index];
    let mut metrics = json!({
        "told": seen.told,
        "looked": seen.looked,
        "stale": {
            "count": seen.stale,
            "probability": ratio(seen.stale as f64, seen.looked as f64),
            "curve": curve(seen),
        },
        "visible": distribution(&seen.visible, seen.visible_sum),
        "never": seen.never,
        "open": seen.open.count(),
    });
    if plan.reads[index].poll.is_some() {
        metrics["seen"] = distribution(&seen.seen, seen.seen_sum).into();
        metrics["looks"] = json!({ "mean": ratio(seen.looks as f64, seen.seen.count() as f64) });
    }
    metrics
}

/// The chance that a look so long after being told does not see it, at times that go from 0 by 1, 2, 5, 10 and so on until
/// all have seen it that ever will.
fn curve(seen: &ReadOutcome) -> Value {
    let missing = Missing::of(seen);
    let point = |at: u64| json!([level(at as f64 / 1e9), ratio(missing.after(at), missing.told)]);
    let steps: Vec<u64> = (3..19).flat_map(|decade| [1, 2, 5].map(|digit| digit * 10_u64.pow(decade))).collect();
    // From the last step before anyone sees it who had not at 0, to the first at which all do.
    let from = steps.partition_point(|at| seen.visible.count_above(*at) >= seen.visible.count_above(0)).max(1) - 1;
    let to = steps.partition_point(|at| *at < seen.visible.max()).min(steps.len() - 1);
    let later = if seen.visible.max() > 0 { &steps[from..=to] } else { &[] };
    std::iter::once(0).chain(later.iter().copied()).map(point).collect()
}

/// How many of those who were told do not see it yet, by the time since then. Of a user for whom the run ended before, it is
/// known that it took longer than that, and no more (Kaplan and Meier, Journal of the American Statistical Association 53, 1958;
/// within one bucket of a histogram as in a life table: half of them are at risk).
struct Missing {
    told: f64,
    /// By bucket in which somebody sees it: its bounds, and how many do not before it and after it.
    steps: Vec<(u64, u64, f64, f64)>,
}

impl Missing {
    fn of(seen: &ReadOutcome) -> Self {
        let mut buckets: BTreeMap<u64, (u64, f64, f64)> = BTreeMap::new();
        for (low, high, count) in seen.visible.iter() {
            let (low, high) = (low.max(seen.visible.min()), high.min(seen.visible.max()));
            buckets.entry(low).or_insert((high, 0.0, 0.0)).1 = count as f64;
        }
        for (low, high, count) in seen.open.iter() {
            buckets.entry(low).or_insert((high, 0.0, 0.0)).2 = count as f64;
        }
        let told = seen.told as f64;
        let (mut at_risk, mut missing, mut steps) = (told, told, Vec::new());
        for (low, (high, visible, open)) in buckets {
            let before = missing;
            missing *= if visible > 0.0 { 1.0 - visible / (at_risk - 0.5 * open) } else { 1.0 };
            at_risk -= visible + open;
            if visible > 0.0 {
                steps.push((low, high, before, missing));
            }
        }
        Self { told, steps }
    }

    /// Those of a bucket taken as evenly spread over it.
    fn after(&self, at: u64) -> f64 {
        let begun = self.steps.partition_point(|(low, ..)| *low <= at);
        let Some((low, high, before, after)) = begun.checked_sub(1).map(|last| self.steps[last]) else {
            return self.told;
        };
        let share = (at.min(high) - low + 1) as f64 / (high - low + 1) as f64;
        before + (after - before) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_what_is_left() {
        let mut seen = ReadOutcome { told: 100, never: 10, ..ReadOutcome::default() };
        assert_eq!(curve(&ReadOutcome::default()), json!([[0.0, null]]));
        seen.visible.record_many(0, 30);
        // 60 spread evenly up to 60 ms.
        (1..=60).for_each(|millis| seen.visible.record(millis * 1_000_000));
        let curve = curve(&seen);
        let points: Vec<(f64, f64)> = serde_json::from_value(curve).expect("pairs of numbers");
        let at: Vec<f64> = points.iter().map(|point| point.0).collect();
        assert_eq!(at, [0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]);
        for ((at, stale), left) in points.iter().zip([60, 60, 59, 58, 55, 50, 40, 10, 0]) {
            // A value is anywhere in its bucket.
            assert!((stale - (f64::from(left) + 10.0) / 100.0).abs() < 0.01, "{at}: {stale}, {left} left");
        }
    }

    /// Half of those who need 10 to 20 ms are told 15 ms before the end: the others say what becomes of them.
    #[test]
    fn a_user_who_is_told_just_before_the_end_says_nothing_of_later() {
        let mut seen = ReadOutcome { told: 200, ..ReadOutcome::default() };
        seen.visible.record_many(10_000_000, 100);
        seen.visible.record_many(20_000_000, 50);
        seen.open.record_many(15_000_000, 50);
        let missing = Missing::of(&seen);
        let shares = [0, 9, 11, 16, 19, 21, 1000].map(|millis| missing.after(millis * 1_000_000) / 200.0);
        for (share, exact) in shares.into_iter().zip([1.0, 1.0, 0.5, 0.5, 0.5, 0.0, 0.0]) {
            assert!((share - exact).abs() < 1e-9, "{shares:?}");
        }
    }
}
