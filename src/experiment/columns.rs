//! Every number of every run, metric by metric: what two designs are compared by, run by run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

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
        complete(self.leaf(path)?, self.runs)
    }

    /// The metric's value in each run, NaN where a run does not have it; none where no run has it.
    #[must_use]
    pub fn values_or_nan(&self, path: &[&str]) -> Option<Vec<f64>> {
        let mut values = self.leaf(path)?.to_vec();
        values.resize(self.runs, f64::NAN);
        Some(values)
    }

    fn leaf(&self, path: &[&str]) -> Option<&[f64]> {
        let (last, branches) = path.split_last()?;
        let parent = branches.iter().try_fold(&self.root, |branch, key| match branch.get(*key)? {
            Node::Branch(inner) => Some(inner),
            Node::Leaf(_) => None,
        })?;
        match parent.get(*last)? {
            Node::Leaf(values) => Some(values),
            Node::Branch(_) => None,
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
    fn a_metric_that_some_run_lacks_has_no_column() {
        let columns =
            columns(&[json!({ "a": { "x": 1.0 } }), json!({ "a": { "x": null } }), json!({ "a": { "x": 2.0 } })]);
        assert_eq!(columns.values(&["a", "x"]), None);
        let values = columns.values_or_nan(&["a", "x"]).expect("some runs have it");
        assert_eq!(format!("{values:?}"), "[1.0, NaN, 2.0]");
        assert_eq!(columns.values_or_nan(&["a", "y"]), None);
    }

    #[test]
    fn a_column_has_the_value_of_each_run() {
        let columns = columns(&[1.0, 3.0].map(|x| json!({ "a": { "x": x } })));
        assert_eq!(columns.values(&["a", "x"]), Some(&[1.0, 3.0][..]));
    }
}
