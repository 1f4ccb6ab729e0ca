//! Whether a result is worse than an earlier one, by more than chance explains.
//!
//! Worse is a figure whose interval lies wholly on the wrong side of the earlier interval. A figure of the worst run has
//! none: it is worse where every run is worse than the worst run was, and never told to be better. Looked at are latencies,
//! lags and losses, and all that the scenario expects something of.

use serde_json::Value;

use super::Experiment;
use super::measure::rests_on_few;
use crate::metrics::{Metric, catalogue, is_of_the_worst_run};
use crate::plan::Comparison;
use crate::summary::{Gate, Judged, Worse, interval_in};

/// Metrics that are looked at whatever the scenario expects.
const WATCHED: [&str; 12] = [
    "availability",
    "response.",
    "latency.",
    "path_latency.",
    "lag.",
    "drain_time",
    "lost.total",
    "publish.latency.",
    "publish.rejected",
    "publish.indeterminate",
    "converged.",
    "stale.probability",
];

/// Holds the runs of a design against the sections of an earlier document with so many runs.
#[must_use]
pub fn gate(earlier: &Value, earlier_runs: u32, now: &Experiment, design: &str) -> Gate {
    let mut gate = Gate::default();
    let mut seen: Vec<Vec<String>> = Vec::new();
    let sides = Sides { earlier, earlier_runs, now, design };
    let claims = &now.summary.expectations;
    for claim in claims.iter().filter(|claim| claim.op != Comparison::NotEqual) {
        if claim.during {
            sides.expected(claim, &mut gate);
        } else if !seen.contains(&claim.path) {
            seen.push(claim.path.clone());
            sides.metric(&claim.path, lower_is_better(claim.op), Some(claim), &mut gate);
        }
    }
    for metric in catalogue().iter().filter(|metric| is_watched(metric)) {
        let section = now.summary.metrics.get(metric.section).and_then(Value::as_object);
        let names: Vec<Option<&String>> = if metric.section == "events" {
            vec![None]
        } else {
            section.into_iter().flat_map(|map| map.keys()).map(Some).collect()
        };
        for name in names {
            let keys = [metric.section.to_owned()].into_iter().chain(name.cloned()).chain(metric.keys.iter().cloned());
            let path: Vec<String> = keys.collect();
            if !seen.contains(&path) {
                sides.metric(&path, metric.path() != "availability", None, &mut gate);
            }
        }
    }
    gate
}

fn is_watched(metric: &Metric) -> bool {
    let path = metric.path();
    let last = metric.keys.last().map_or("", String::as_str);
    WATCHED.iter().any(|watched| path.starts_with(watched))
        && !matches!(last, "count" | "max_at")
        && !path.contains("stages")
}

/// `< 2s` and `== 0` are about what should be small.
fn lower_is_better(op: Comparison) -> bool {
    !matches!(op, Comparison::Greater | Comparison::AtLeast)
}

/// A value with its interval.
type Figure = (f64, (f64, f64));

/// The two results.
struct Sides<'a> {
    earlier: &'a Value,
    earlier_runs: u32,
    now: &'a Experiment,
    design: &'a str,
}

impl Sides<'_> {
    /// Judges the metric at a path.
    fn metric(&self, path: &[String], lower_is_better: bool, claim: Option<&Judged>, gate: &mut Gate) {
        let Some(last) = path.last() else { return };
        let unit = catalogue().into_iter().find(|metric| {
            path.first().is_some_and(|section| section == metric.section) && path.ends_with(&metric.keys)
        });
        let unit = unit.map(|metric| metric.unit);
        let from = usize::from(path.first().is_some_and(|section| section != "events"));
        let name = path[from..].join(".");
        let place = claim.map(|claim| (claim.file.clone(), claim.place.0, claim.place.1));
        if is_of_the_worst_run(last) {
            // The earlier document has the largest value of all its runs, and says nothing about the others.
            let Some((was, runs)) = self.worst(path).filter(|_| lower_is_better) else { return };
            gate.compared += 1;
            if runs.iter().all(|value| *value > was) {
                let (design, is) = (self.design.to_owned(), runs.into_iter().fold(was, f64::max));
                gate.worse.push(Worse { design, name, unit, was, was_interval: None, is, is_interval: None, place });
            }
            return;
        }
        let Some((was, is)) = self.pooled(path) else { return };
        self.note(gate, lower_is_better, (was, is), |worse| Worse { name, unit, place, ..worse });
    }

    /// Judges an expectation about an interval of the run, by what the earlier document says of it.
    fn expected(&self, claim: &Judged, gate: &mut Gate) {
        let entries = self.earlier.get("expect").and_then(Value::as_array);
        let same = |entry: &&Value| entry.get("text").is_some_and(|text| *text == claim.text);
        let Some(entry) = entries.into_iter().flatten().find(same) else { return };
        let was = entry.get("value").and_then(Value::as_f64).zip(entry.get("interval").and_then(interval_in));
        let (Some(was), Some(is)) = (was, claim.value.zip(claim.interval)) else { return };
        let place = Some((claim.file.clone(), claim.place.0, claim.place.1));
        let name = claim.text.clone();
        self.note(gate, lower_is_better(claim.op), (was, is), |worse| Worse { name, place, ..worse });
    }

    fn note(
        &self,
        gate: &mut Gate,
        lower_is_better: bool,
        (was, is): (Figure, Figure),
        with: impl FnOnce(Worse) -> Worse,
    ) {
        gate.compared += 1;
        let (above, below) = (is.1.0 > was.1.1, is.1.1 < was.1.0);
        gate.better += usize::from(if lower_is_better { below } else { above });
        if if lower_is_better { above } else { below } {
            gate.worse.push(with(Worse {
                design: self.design.to_owned(),
                name: String::new(),
                unit: None,
                was: was.0,
                was_interval: Some(was.1),
                is: is.0,
                is_interval: Some(is.1),
                place: None,
            }));
        }
    }

    /// The two values of a metric with their intervals; of a count, those per run.
    fn pooled(&self, path: &[String]) -> Option<(Figure, Figure)> {
        let summary = &self.now.summary;
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        if rests_on_few(self.earlier, &keys) || rests_on_few(&summary.metrics, &keys) {
            return None;
        }
        let leaf = descend(&summary.metrics, path)?;
        let per = |runs: u32| if leaf.is_u64() { f64::from(runs) } else { 1.0 };
        let figure = |metrics: &Value, intervals: &Value, per: f64| {
            let (low, high) = interval_in(descend(intervals, path)?)?;
            Some((descend(metrics, path)?.as_f64()? / per, (low / per, high / per)))
        };
        let was = figure(self.earlier, self.earlier.get("ci95")?, per(self.earlier_runs))?;
        let is = figure(&summary.metrics, &summary.ci95, per(summary.replications))?;
        Some((was, is))
    }

    /// The earlier value of the worst run, and that of each run now; a lag that does not drain takes for ever.
    fn worst(&self, path: &[String]) -> Option<(f64, Vec<f64>)> {
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        let was = descend(self.earlier, path)?;
        if keys.last() != Some(&"drain_time") {
            return Some((was.as_f64()?, self.now.runs.values(&keys)?.to_vec()));
        }
        let runs = super::compare::drain_times(self.now, &keys)?;
        let not_drained = descend(self.earlier, &path[..path.len() - 1])?.get("not_drained")?.as_u64()?;
        Some((if not_drained > 0 { f64::INFINITY } else { was.as_f64()? }, runs))
    }
}

fn descend<'v>(tree: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(tree, |node, key| node.get(key))
}
