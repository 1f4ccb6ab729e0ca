//! Judges what a scenario claims: by its value where there is one run, by the interval across runs where there are more.
//!
//! A claim is about *a run*, whatever the number of replications: a count is judged per run, not by its sum over runs.

use serde_json::Value;

use super::columns::{LEVEL, interval};
use super::measure::{measure_during, nine_decimals};
use super::pool::Pooled;
use crate::plan::{Comparison, Expectation, Plan};
use crate::stats::confidence::replications_needed;
use crate::summary::{Judged, Verdict};

/// One expectation about one metric, with its value in every run so far.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Index in [`Plan::expectations`].
    expectation: usize,
    /// Index in its `metrics`.
    metric: usize,
    /// NaN: does not apply to that run; infinite: a lag that did not drain.
    values: Vec<f64>,
}

/// A metric's value, and whether it is a count that was summed over the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    value: f64,
    count: bool,
}

/// All claims of a plan: each expectation once for each match of its wildcard.
#[must_use]
pub(super) fn claims(plan: &Plan) -> Vec<Claim> {
    let of = |(expectation, e): (usize, &Expectation)| {
        (0..e.metrics.len()).map(move |metric| Claim { expectation, metric, values: Vec::new() }).collect::<Vec<_>>()
    };
    plan.expectations.iter().enumerate().flat_map(of).collect()
}

impl Claim {
    /// Notes the value in one further run.
    pub(super) fn push(&mut self, plan: &Plan, run: &Pooled, metrics: &Value) {
        self.values.push(self.read(plan, run, metrics).map_or(f64::NAN, |reading| reading.value));
    }

    /// The judgement of all runs.
    #[must_use]
    pub(super) fn judge(&self, plan: &Plan, pooled: &Pooled, metrics: &Value) -> Judged {
        let expectation = &plan.expectations[self.expectation];
        let judgement = judge(expectation.op, expectation.value, self.read(plan, pooled, metrics), &self.values);
        let text = self.text(expectation);
        Judged {
            text,
            verdict: judgement.verdict,
            value: judgement.value,
            interval: judgement.interval,
            needed: judgement.needed,
            place: expectation.place,
        }
    }

    /// The path of the metric in the result document.
    #[must_use]
    pub(super) fn path<'p>(&self, plan: &'p Plan) -> &'p [String] {
        &plan.expectations[self.expectation].metrics[self.metric]
    }

    /// As written, with `*` replaced by the name it stands for.
    fn text(&self, expectation: &Expectation) -> String {
        match expectation.metrics[self.metric].get(1) {
            Some(name) if expectation.text.contains('*') => expectation.text.replacen('*', name, 1),
            _ => expectation.text.clone(),
        }
    }

    fn read(&self, plan: &Plan, pooled: &Pooled, metrics: &Value) -> Option<Reading> {
        let expectation = &plan.expectations[self.expectation];
        let path = self.path(plan);
        let Some(during) = expectation.during else { return reading(metrics, path) };
        let [_, name, metric @ ..] = path else { return None };
        let consumer = plan.consumers.iter().position(|c| c.name == *name).filter(|_| path[0] == "consumers")?;
        let interval = plan.intervals_of(consumer).iter().position(|i| *i == during)?;
        let metric = metric.iter().map(String::as_str).collect::<Vec<_>>();
        number(&measure_during(pooled, consumer, interval, during, &metric))
    }
}

/// The number at a path of the metrics. A section stands for its total; a drain time is 0 where no fault touched the
/// consumer, and infinite where it did not drain.
fn reading(metrics: &Value, path: &[String]) -> Option<Reading> {
    let node = descend(metrics, path)?;
    if node.is_null() && path.last().is_some_and(|key| key == "drain_time") {
        let beside = descend(metrics, &path[..path.len() - 1])?;
        let not_drained = beside.get("not_drained").and_then(Value::as_u64).unwrap_or(0);
        return Some(Reading { value: if not_drained > 0 { f64::INFINITY } else { 0.0 }, count: false });
    }
    let anomaly = path.iter().any(|key| key == "anomalies").then(|| node.get("count")).flatten();
    number(node).or_else(|| number(node.get("total").or(anomaly)?))
}

fn number(node: &Value) -> Option<Reading> {
    Some(Reading { value: node.as_f64()?, count: node.is_u64() })
}

/// The node at a path; keys that hold dots may be given in parts, elements of a list by index or `name`.
fn descend<'v>(node: &'v Value, path: &[String]) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(node);
    }
    (1..=path.len()).rev().find_map(|parts| {
        let key = path[..parts].join(".");
        let child = match node {
            Value::Array(items) => match key.parse::<usize>() {
                Ok(index) => items.get(index),
                Err(_) => items.iter().find(|item| item.get("name").is_some_and(|name| *name == key)),
            },
            _ => node.get(&key),
        };
        descend(child?, &path[parts..])
    })
}

/// What judging found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Judgement {
    verdict: Verdict,
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    needed: Option<u64>,
}

/// Judges `metric OP limit` by its pooled value and its value in every run.
fn judge(op: Comparison, limit: f64, pooled: Option<Reading>, values: &[f64]) -> Judgement {
    let nothing = Judgement { verdict: Verdict::Fails, value: None, interval: None, needed: None };
    let known = values.iter().copied().filter(|v| !v.is_nan()).collect::<Vec<_>>();
    let Some(pooled) = pooled.filter(|_| !known.is_empty()) else { return nothing };
    if known.iter().any(|v| v.is_infinite()) {
        let all = known.iter().all(|v| holds(op, *v, limit));
        let any = known.iter().any(|v| holds(op, *v, limit));
        let upward = matches!(op, Comparison::Greater | Comparison::AtLeast);
        let verdict = match (all, any && upward) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Undecided,
            (false, false) => Verdict::Fails,
        };
        return Judgement { verdict, ..nothing };
    }
    let value = if pooled.count { mean(&known) } else { pooled.value };
    let interval = interval(&known).map(|(low, high)| (nine_decimals(low), nine_decimals(high)));
    let verdict = match (op, interval) {
        (Comparison::Equal | Comparison::NotEqual, _) if known.iter().all(|v| holds(op, *v, limit)) => Verdict::Holds,
        (Comparison::Equal | Comparison::NotEqual, _) => Verdict::Fails,
        (_, None) => decided(holds(op, value, limit)),
        (_, Some((low, high))) => match (holds(op, low, limit), holds(op, high, limit), holds(op, value, limit)) {
            (true, true, true) => Verdict::Holds,
            (false, false, false) => Verdict::Fails,
            // The value shown may lie outside of the interval: the largest of all runs, say. What contradicts it is no verdict.
            _ => Verdict::Undecided,
        },
    };
    let needed = (verdict == Verdict::Undecided).then(|| replications_needed(&known, limit, LEVEL)).flatten();
    Judgement {
        verdict,
        value: Some(nine_decimals(value)),
        interval,
        needed: needed.filter(|n| *n > known.len() as u64),
    }
}

fn decided(holds: bool) -> Verdict {
    if holds { Verdict::Holds } else { Verdict::Fails }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[expect(clippy::float_cmp, reason = "counts are whole numbers, and `==` on anything else is what was written")]
fn holds(op: Comparison, value: f64, limit: f64) -> bool {
    match op {
        Comparison::Less => value < limit,
        Comparison::AtMost => value <= limit,
        Comparison::Greater => value > limit,
        Comparison::AtLeast => value >= limit,
        Comparison::Equal => value == limit,
        Comparison::NotEqual => value != limit,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INF: f64 = f64::INFINITY;

    fn verdict(op: Comparison, limit: f64, pooled: f64, values: &[f64]) -> Verdict {
        judge(op, limit, Some(Reading { value: pooled, count: false }), values).verdict
    }

    #[test]
    fn verdicts() {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        use Verdict::{Fails, Holds, Undecided};
        let table = [
            // One run: its value.
            (Less, 2.0, vec![1.9], 1.9, Holds),
            (Less, 2.0, vec![2.0], 2.0, Fails),
            (AtMost, 2.0, vec![2.0], 2.0, Holds),
            (Greater, 2.0, vec![2.0], 2.0, Fails),
            (AtLeast, 2.0, vec![2.0], 2.0, Holds),
            // Several runs: the interval, here 1 +- 0.25 (t = 4.303, s = 0.1, n = 3).
            (Less, 1.3, vec![0.9, 1.0, 1.1], 1.0, Holds),
            (Less, 1.2, vec![0.9, 1.0, 1.1], 1.0, Undecided),
            (Less, 0.8, vec![0.9, 1.0, 1.1], 1.0, Undecided),
            (Less, 0.7, vec![0.9, 1.0, 1.1], 1.0, Fails),
            (Greater, 0.7, vec![0.9, 1.0, 1.1], 1.0, Holds),
            (Greater, 0.8, vec![0.9, 1.0, 1.1], 1.0, Undecided),
            (Greater, 1.3, vec![0.9, 1.0, 1.1], 1.0, Fails),
            // The interval holds, but the value shown (the largest of all runs) does not.
            (Less, 1.3, vec![0.9, 1.0, 1.1], 1.4, Undecided),
            // The same in all runs: no width.
            (AtMost, 1.0, vec![1.0; 5], 1.0, Holds),
            (Less, 1.0, vec![1.0; 5], 1.0, Fails),
            // Equality is about every run.
            (Equal, 0.0, vec![0.0; 5], 0.0, Holds),
            (Equal, 0.0, vec![0.0, 0.0, 1.0], 1.0, Fails),
            (NotEqual, 0.0, vec![1.0, 2.0, 3.0], 6.0, Holds),
            (NotEqual, 0.0, vec![1.0, 0.0, 3.0], 4.0, Fails),
            // Not drained.
            (Less, 900.0, vec![INF], INF, Fails),
            (Less, 900.0, vec![10.0, INF, 20.0], INF, Fails),
            (Greater, 900.0, vec![INF, INF], INF, Holds),
            (Greater, 900.0, vec![INF, 5.0], INF, Undecided),
        ];
        for (op, limit, values, pooled, expected) in table {
            assert_eq!(verdict(op, limit, pooled, &values), expected, "{values:?} (pooled {pooled}) {op:?} {limit}");
        }
    }

    #[test]
    fn counts_are_judged_per_run() {
        let total = Some(Reading { value: 40.0, count: true });
        let judged = judge(Comparison::Less, 20.0, total, &[12.0, 13.0, 14.0]);
        assert_eq!((judged.verdict, judged.value), (Verdict::Holds, Some(13.0)));
    }

    #[test]
    fn what_is_undecided_says_how_many_runs_would_decide() {
        let one = Some(Reading { value: 1.0, count: false });
        let judged = judge(Comparison::Less, 1.2, one, &[0.9, 1.0, 1.1]);
        assert_eq!((judged.verdict, judged.needed), (Verdict::Undecided, Some(4)));
    }

    #[test]
    fn what_does_not_apply_fails_without_a_value() {
        let judged = judge(Comparison::Greater, 0.0, None, &[f64::NAN]);
        assert_eq!((judged.verdict, judged.value), (Verdict::Fails, None));
        let infinite = judge(Comparison::Less, 9.0, Some(Reading { value: INF, count: false }), &[INF]);
        assert_eq!((infinite.verdict, infinite.value), (Verdict::Fails, None));
    }

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(Into::into).collect()
    }

    #[test]
    fn readings() {
        let metrics = json!({
            "consumers": {
                "a": { "lost": { "total": 3 }, "latency": { "p99.9": 0.25, "count": 9 }, "drain_time": null, "not_drained": 2,
                       "anomalies": { "duplicate": { "count": 4, "allowed": true } } },
                "b": { "drain_time": null, "not_drained": 0 },
            },
            "faults": [{ "name": "lunch", "touched": { "a": { "drain_time": 7.5, "not_drained": 0 } } }],
        });
        let at = |text: &str| reading(&metrics, &path(text)).map(|r| (r.value, r.count));
        assert_eq!(at("consumers/a/lost"), Some((3.0, true)));
        assert_eq!(at("consumers/a/latency/p99.9"), Some((0.25, false)));
        assert_eq!(at("consumers/a/latency/p99/9"), Some((0.25, false)));
        assert_eq!(at("consumers/a/latency"), None);
        assert_eq!(at("consumers/a/drain_time"), Some((INF, false)));
        assert_eq!(at("consumers/b/drain_time"), Some((0.0, false)));
        assert_eq!(at("consumers/a/anomalies/duplicate"), Some((4.0, true)));
        assert_eq!(at("faults/0/touched/a/drain_time"), Some((7.5, false)));
        assert_eq!(at("faults/lunch/touched/a/drain_time"), Some((7.5, false)));
        assert_eq!(at("consumers/c/lost"), None);
    }
}
