//! From added-up outcomes to the metrics of flows and reads; the rules of `measure` hold here too.

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
        "open": seen.open,
    });
    if plan.reads[index].poll.is_some() {
        metrics["seen"] = distribution(&seen.seen, seen.seen_sum).into();
        metrics["looks"] = json!({ "mean": ratio(seen.looks as f64, seen.seen.count() as f64) });
    }
    metrics
}

/// The chance that a look so long after being told does not see it, at times that go from 0 by 1, 2, 5, 10 and so on until
/// all have seen it that ever will. For those who had not seen it at the end of the run it counts as not there.
fn curve(seen: &ReadOutcome) -> Value {
    let missing = (seen.never + seen.open) as f64;
    let point = |at: u64| {
        let stale = ratio(seen.visible.count_above(at) + missing, seen.told as f64);
        json!([level(at as f64 / 1e9), stale])
    };
    let steps: Vec<u64> = (3..19).flat_map(|decade| [1, 2, 5].map(|digit| digit * 10_u64.pow(decade))).collect();
    // From the last step before anyone sees it who had not at 0, to the first at which all do.
    let from = steps.partition_point(|at| seen.visible.count_above(*at) >= seen.visible.count_above(0)).max(1) - 1;
    let to = steps.partition_point(|at| *at < seen.visible.max()).min(steps.len() - 1);
    let later = if seen.visible.max() > 0 { &steps[from..=to] } else { &[] };
    std::iter::once(0).chain(later.iter().copied()).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_what_is_left() {
        let mut seen = ReadOutcome { told: 100, never: 5, open: 5, ..ReadOutcome::default() };
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
}
