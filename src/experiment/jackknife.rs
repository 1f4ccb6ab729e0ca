//! 95 % intervals of pooled figures: what each run contributes is seen by leaving it out (the jackknife).
//!
//! For a sum or a mean this is Student's interval of the runs. For a quotient it is about the pooled figure itself, not about
//! the mean of the runs' figures, so the figure that is shown always lies inside. That of a percentile is taken from shares
//! of events (see [`super::shares`]).

use serde_json::{Map, Value};

use super::measure::{PERCENTILES, measure, nine_decimals};
use super::pool::Pooled;
use super::shares::Shares;
use crate::metrics::{is_of_the_worst_run, most_of};
use crate::plan::Plan;
use crate::stats::confidence::{MeanInterval, Spread};

/// Level of the intervals in the result document.
pub(super) const LEVEL: f64 = 0.95;

/// Runs that are left out one by one; further ones join these in turn, so that memory does not grow with their number.
pub(super) const GROUPS: usize = 32;

/// Added-up runs with their metrics.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// The runs.
    pub(super) pooled: Pooled,
    /// Their metrics.
    pub(super) metrics: Value,
}

impl Measured {
    /// Measures added-up runs.
    #[must_use]
    pub(super) fn of(plan: &Plan, pooled: Pooled) -> Self {
        Self { metrics: measure(plan, &pooled), pooled }
    }

    pub(super) fn runs(&self) -> f64 {
        f64::from(self.pooled.runs)
    }
}

/// The metrics of all runs but one group.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Number of runs that are left.
    pub runs: u32,
    /// Their metrics, without series.
    pub metrics: Value,
}

/// The runs so far in groups of about the same size: of one run each while there are few.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Pooled>,
    runs: usize,
}

impl Groups {
    /// Adds the next run.
    pub(super) fn push(&mut self, run: Pooled) {
        match self.groups.get_mut(self.runs % GROUPS) {
            Some(group) => group.merge(run),
            None => self.groups.push(run),
        }
        self.runs += 1;
    }

    /// What is left of all runs without each group in turn; nothing with fewer than two groups.
    #[must_use]
    pub(super) fn rests(&self, plan: &Plan) -> Vec<Measured> {
        without_each(&self.groups, None).into_iter().map(|rest| Measured::of(plan, rest)).collect()
    }
}

/// All `parts` and `others` but one part, for each part: half of the parts is added up for the other half, and so on down.
fn without_each(parts: &[Pooled], others: Option<Pooled>) -> Vec<Pooled> {
    if parts.len() < 2 {
        return others.into_iter().collect();
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    let and = |more: &[Pooled]| {
        let mut parts = others.iter().chain(more).cloned();
        let mut sum = parts.next()?;
        parts.for_each(|part| sum.merge(part));
        Some(sum)
    };
    let mut rests = without_each(left, and(right));
    rests.extend(without_each(right, and(left)));
    rests
}

/// What each group of runs contributes to a figure, given without each of them: values about the figure of all runs,
/// whose spread is that of independent runs. For a mean they are the runs' own values.
///
/// Groups differ by a run where the runs do not fill all of them alike. A larger one spreads less and counts for more: its
/// value is set as far from the figure as one of the mean size would be.
#[must_use]
pub(super) fn contributions(figure: f64, runs: f64, rests: &[(f64, f64)]) -> Vec<f64> {
    let share = |left: f64| (runs - left) / runs;
    let pulls: Vec<f64> = rests.iter().map(|(rest, left)| (figure - rest) * left / (runs - left)).collect();
    let mean = pulls.iter().zip(rests).map(|(pull, (_, left))| pull * share(*left)).sum::<f64>();
    let groups = rests.len() as f64;
    let scaled = |(pull, (_, left)): (&f64, &(f64, f64))| figure + (pull - mean) * (share(*left) * groups).sqrt();
    pulls.iter().zip(rests).map(scaled).collect()
}

/// How widely runs with these contributions spread; none with fewer than two.
#[must_use]
pub(super) fn spread(contributions: &[f64], runs: u32) -> Option<Spread> {
    Spread::of(contributions, u64::from(runs), GROUPS as u64)
}

/// Half the width of the interval of a figure that is at most so much, towards `to`.
#[must_use]
pub(super) fn half_towards(to: f64, figure: f64, (low, high): (f64, f64), most: f64) -> f64 {
    let (below, above) = (figure - low, high - figure);
    // An interval that ends where the figure cannot be beyond is cut off there: the other side tells how wide it is.
    if low <= 0.0 || high >= most {
        return below.max(above);
    }
    if to < figure { below } else { above }
}

/// About how many runs in all would move a limit that is so far away out of an interval of this half-width and level of a
/// figure of so many runs, told apart in so many groups, if the figure stays as it is and intervals narrow as they do.
#[must_use]
pub(super) fn needed(distance: f64, half: f64, (runs, groups): (u32, usize), level: f64) -> Option<u64> {
    let spread = Spread::from_half(half, (u64::from(runs), groups as u64), GROUPS as u64, level)?;
    spread.runs_for(distance, level)
}

/// What each group contributes to a figure of all runs, `read` as a value per run; none where some rest lacks it.
#[must_use]
pub(super) fn contributions_to(
    whole: &Measured,
    rests: &[Measured],
    read: impl Fn(&Measured) -> Option<f64>,
) -> Option<Vec<f64>> {
    let left: Option<Vec<_>> = rests.iter().map(|rest| Some((read(rest)?, rest.runs()))).collect();
    Some(contributions(read(whole)?, whole.runs(), &left?))
}

/// The 95 % interval of a figure with these contributions. No metric is negative, so the interval ends at 0.
#[must_use]
pub(super) fn interval(figure: f64, contributions: &[f64]) -> Option<(f64, f64)> {
    interval_within(figure, contributions, LEVEL, f64::INFINITY)
}

/// The same at another level, of a figure that is at most so much. What an interval loses at a bound that the figure cannot
/// pass holds none of its values, so its confidence stays what it is.
#[must_use]
pub(super) fn interval_within(figure: f64, contributions: &[f64], level: f64, most: f64) -> Option<(f64, f64)> {
    let half = MeanInterval::of(contributions, level)?.half;
    Some(((figure - half).max(0.0), (figure + half).min(most.max(figure))))
}

/// The intervals of all numbers in the metrics of the whole, in a tree of the same shape and order, without what has none:
/// figures of the worst run, and what some rest lacks. That of a count is about the sum over all runs; that of a percentile
/// may have no upper end (`null`).
#[must_use]
pub(super) fn intervals(plan: &Plan, whole: &Measured, rests: &[Measured]) -> Value {
    let left: Vec<(&Value, f64)> = rests.iter().map(|rest| (&rest.metrics, rest.runs())).collect();
    let shares = |path: &[&str]| Shares::of_rests(plan, whole, rests, path, None);
    of_map(&mut Vec::new(), &whole.metrics, whole.runs(), &left, &shares).into()
}

fn of_map<'v>(
    path: &mut Vec<&'v str>,
    node: &'v Value,
    runs: f64,
    rests: &[(&'v Value, f64)],
    shares: &dyn Fn(&[&str]) -> Option<Shares<'v>>,
) -> Map<String, Value> {
    let mut found = Map::new();
    let times = node.get(PERCENTILES[0].0).and_then(|_| shares(path));
    for (key, child) in node.as_object().into_iter().flatten() {
        let rests: Option<Vec<_>> = rests.iter().map(|(rest, left)| Some((rest.get(key)?, *left))).collect();
        let Some(rests) = rests else { continue };
        let percentile = PERCENTILES.iter().find(|(name, _)| name == key).zip(times.as_ref());
        let interval = match (child, percentile) {
            (Value::Object(_), _) => {
                path.push(key);
                let inner = of_map(path, child, runs, &rests, shares);
                path.pop();
                Some(inner).filter(|inner| !inner.is_empty()).map(Value::Object)
            }
            (Value::Number(_), Some(((_, share), times))) => times.interval(*share, LEVEL).map(pair),
            (Value::Number(_), None) if !is_of_the_worst_run(key) => of_number(child, runs, &rests, most_of(key)),
            _ => None,
        };
        found.extend(interval.map(|interval| (key.clone(), interval)));
    }
    found
}

fn pair((low, high): (f64, f64)) -> Value {
    Value::from(vec![nine_decimals(low), nine_decimals(high)])
}

fn of_number(leaf: &Value, runs: f64, rests: &[(&Value, f64)], most: f64) -> Option<Value> {
    // A count is a sum over runs: per run it is comparable with that of fewer runs.
    let runs_in = |n: f64| if leaf.is_u64() { n } else { 1.0 };
    let left: Option<Vec<_>> = rests.iter().map(|(rest, n)| Some((rest.as_f64()? / runs_in(*n), *n))).collect();
    let figure = leaf.as_f64()?;
    let contributions = contributions(figure / runs_in(runs), runs, &left?);
    let summed: Vec<f64> = contributions.into_iter().map(|value| value * runs_in(runs)).collect();
    interval_within(figure, &summed, LEVEL, most).map(pair)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::example;

    /// The intervals of a tree, given the trees without each of three runs.
    fn intervals_of(whole: &Value, rests: &[Value]) -> Value {
        let rests: Vec<_> = rests.iter().map(|rest| (rest, 2.0)).collect();
        of_map(&mut Vec::new(), whole, 3.0, &rests, &|_| None).into()
    }

    #[test]
    fn of_means_and_counts_they_are_students() {
        // Runs of 1, 2, 3 and counts of 10, 20, 30.
        let tree = |mean: f64, count: u64| json!({ "z": { "mean": mean, "max": mean, "same": 0.25, "list": [1], "none": null }, "a": { "count": count } });
        let ci = intervals_of(&tree(2.0, 60), &[tree(2.5, 50), tree(2.0, 40), tree(1.5, 30)]);
        assert_eq!(ci["z"]["same"], json!([0.25, 0.25]));
        assert_eq!(ci["z"].as_object().expect("a map").keys().collect::<Vec<_>>(), ["mean", "same"]);
        let half = 4.302_652_73 / 3f64.sqrt();
        let near = |node: &Value, expected: f64| (node.as_f64().expect("a number") - expected).abs() < 1e-6;
        assert!(near(&ci["z"]["mean"][0], 0.0), "2 - 2.48 is cut at 0: {ci}");
        assert!(near(&ci["z"]["mean"][1], 2.0 + half), "{ci}");
        assert!(near(&ci["a"]["count"][1], 3.0 * (20.0 + 10.0 * half)), "about the sum: {ci}");
        assert_eq!(ci.as_object().expect("a map").keys().collect::<Vec<_>>(), ["z", "a"]);
    }

    #[test]
    fn without_a_figure_in_some_rest_there_is_no_interval() {
        let tree = |x: Value| json!({ "a": { "x": x } });
        assert_eq!(
            intervals_of(&tree(json!(1.5)), &[tree(json!(1.0)), tree(json!(null)), tree(json!(2.0))]),
            json!({})
        );
        assert_eq!(intervals_of(&tree(json!(1.5)), &[]), json!({}));
    }

    /// Means of 48 runs in 32 groups, a half of them of two runs: the interval is as wide as that of 48 runs apart, on
    /// average.
    #[test]
    fn groups_of_unequal_size_give_the_width_of_the_runs() {
        let (mut grouped, mut apart) = (0.0, 0.0);
        for experiment in 0..400 {
            let noise = crate::random::Stream::named(experiment, "runs");
            let runs: Vec<f64> = (0..48).map(|run| noise.unit(run)).collect();
            let figure = runs.iter().sum::<f64>() / 48.0;
            let rests: Vec<(f64, f64)> = (0..32)
                .map(|group| {
                    let rest: Vec<f64> = (0..48).filter(|run| run % 32 != group).map(|run: usize| runs[run]).collect();
                    (rest.iter().sum::<f64>() / rest.len() as f64, rest.len() as f64)
                })
                .collect();
            let spread = spread(&contributions(figure, 48.0, &rests), 48).expect("32 groups");
            grouped += spread.deviation.powi(2);
            apart += Spread::of(&runs, 48, 48).expect("48 runs").deviation.powi(2);
        }
        assert!((grouped / apart - 1.0).abs() < 0.02, "{grouped} {apart}");
    }

    #[test]
    fn each_rest_is_the_sum_of_the_others() {
        let plan = example::plan();
        let runs: Vec<Pooled> = (0..5).map(|seed| Pooled::of(&plan, example::outcome(&plan, seed))).collect();
        let created = |pooled: &Pooled| pooled.outcome.producers[0].created;
        let all: u64 = runs.iter().map(created).sum();
        let rests = without_each(&runs, None);
        assert_eq!(rests.len(), 5);
        for (rest, run) in rests.iter().zip(&runs) {
            assert_eq!((created(rest), rest.runs), (all - created(run), 4));
        }
        assert!(without_each(&runs[..1], None).is_empty());
    }

    #[test]
    fn many_runs_share_groups() {
        let plan = example::plan();
        let mut groups = Groups::default();
        (0..100).for_each(|seed| groups.push(Pooled::of(&plan, example::outcome(&plan, seed))));
        let rests = groups.rests(&plan);
        assert_eq!(rests.len(), GROUPS);
        assert!(rests.iter().all(|rest| (96..=97).contains(&rest.pooled.runs)));
    }
}
