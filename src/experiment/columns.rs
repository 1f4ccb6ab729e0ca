//! Every number of every run, metric by metric: what intervals across runs are computed from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::measure::nine_decimals;
use crate::stats::confidence::MeanInterval;

/// Level of the intervals in the result document.
pub(super) const LEVEL: f64 = 0.95;

/// A tree with the shape of the metrics; at each leaf one value per run, in order of the runs. Arrays are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    runs: usize,
    root: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Branch(BTreeMap<String, Node>),
    /// NaN: the metric did not apply to that run.
    Leaf(Vec<f64>),
}

impl Columns {
    /// Adds the metrics of one further run.
    pub(super) fn push(&mut self, metrics: &Value) {
        if let Value::Object(sections) = metrics {
            push_object(&mut self.root, sections, self.runs);
        }
        self.runs += 1;
    }

    /// The metric's value in each run, or none where some run does not have it.
    #[must_use]
    pub fn values(&self, path: &[&str]) -> Option<&[f64]> {
        let (last, branches) = path.split_last()?;
        let parent = branches.iter().try_fold(&self.root, |branch, key| match branch.get(*key)? {
            Node::Branch(inner) => Some(inner),
            Node::Leaf(_) => None,
        })?;
        match parent.get(*last)? {
            Node::Leaf(values) => complete(values, self.runs),
            Node::Branch(_) => None,
        }
    }

    /// The 95 % intervals of the numbers in `metrics` (of the pooled runs), in a tree of the same shape and order, without
    /// what has none: fewer than two runs, or a run to which the metric does not apply. The interval of a count is that
    /// of the sum over runs, so that it brackets the pooled number.
    #[must_use]
    pub fn intervals(&self, metrics: &Value) -> Value {
        match metrics {
            Value::Object(sections) if self.runs > 1 => intervals_of(&self.root, sections, self.runs).into(),
            _ => Value::Object(Map::new()),
        }
    }
}

fn push_object(branch: &mut BTreeMap<String, Node>, object: &Map<String, Value>, run: usize) {
    for (key, value) in object {
        match value {
            Value::Object(inner) => {
                let node = branch.entry(key.clone()).or_insert_with(|| Node::Branch(BTreeMap::new()));
                if let Node::Branch(child) = node {
                    push_object(child, inner, run);
                }
            }
            Value::Number(number) => {
                let node = branch.entry(key.clone()).or_insert_with(|| Node::Leaf(Vec::new()));
                if let Node::Leaf(values) = node {
                    values.resize(run, f64::NAN);
                    values.extend(number.as_f64());
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
        }
    }
}

fn complete(values: &[f64], runs: usize) -> Option<&[f64]> {
    (values.len() == runs && values.iter().all(|v| !v.is_nan())).then_some(values)
}

fn intervals_of(branch: &BTreeMap<String, Node>, metrics: &Map<String, Value>, runs: usize) -> Map<String, Value> {
    let mut intervals = Map::new();
    for (key, metric) in metrics {
        let value = match (branch.get(key), metric) {
            (Some(Node::Branch(child)), Value::Object(inner)) => {
                Some(intervals_of(child, inner, runs)).filter(|inner| !inner.is_empty()).map(Value::Object)
            }
            (Some(Node::Leaf(values)), Value::Number(pooled)) => complete(values, runs).and_then(|values| {
                let scale = if pooled.is_u64() { runs as f64 } else { 1.0 };
                let (low, high) = interval(values)?;
                Some(Value::from(vec![nine_decimals(low * scale), nine_decimals(high * scale)]))
            }),
            _ => None,
        };
        intervals.extend(value.map(|value| (key.clone(), value)));
    }
    intervals
}

/// The 95 % interval of the mean of one value per run. No metric is negative, so the interval ends at 0.
#[must_use]
pub(super) fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let interval = MeanInterval::of(values, LEVEL)?;
    Some((interval.low().max(0.0), interval.high()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(runs: &[Value]) -> Columns {
        let mut columns = Columns::default();
        runs.iter().for_each(|run| columns.push(run));
        columns
    }

    #[test]
    fn intervals_have_the_shape_of_the_metrics() {
        let run = |p99: f64, count: u64| json!({ "z": { "p99": p99, "same": 0.25, "list": [1, 2], "none": null }, "a": { "count": count } });
        let columns = columns(&[run(1.0, 10), run(2.0, 20), run(3.0, 30)]);
        let ci = columns.intervals(&run(2.1, 60));
        assert_eq!(ci["z"]["same"], json!([0.25, 0.25]));
        assert_eq!(ci["z"].get("list"), None);
        assert_eq!(ci["z"].get("none"), None);
        let half = 4.302_652_73 / 3f64.sqrt();
        let (low, high) = (ci["z"]["p99"][0].as_f64().expect("low"), ci["z"]["p99"][1].as_f64().expect("high"));
        assert!((low - 0.0).abs() < 1e-12, "2 - 2.48 is cut at 0: {low}");
        assert!((high - (2.0 + half)).abs() < 1e-8);
        let count = ci["a"]["count"][1].as_f64().expect("high");
        assert!((count - 3.0 * (20.0 + 10.0 * half)).abs() < 1e-6, "a count's interval brackets the sum: {count}");
        assert_eq!(ci.as_object().expect("a map").keys().collect::<Vec<_>>(), ["z", "a"]);
    }

    #[test]
    fn a_metric_that_some_run_lacks_has_no_interval() {
        let columns =
            columns(&[json!({ "a": { "x": 1.0 } }), json!({ "a": { "x": null } }), json!({ "a": { "x": 2.0 } })]);
        assert_eq!(columns.intervals(&json!({ "a": { "x": 1.5 } })), json!({}));
        assert_eq!(columns.values(&["a", "x"]), None);
    }

    #[test]
    fn one_run_has_no_intervals() {
        let columns = columns(&[json!({ "a": { "x": 1.0 } })]);
        assert_eq!(columns.intervals(&json!({ "a": { "x": 1.0 } })), json!({}));
        assert_eq!(columns.values(&["a", "x"]), Some(&[1.0][..]));
    }
}
