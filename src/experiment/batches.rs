//! 95 % intervals of a single run: batches of it in place of runs (batch means).
//!
//! A run of which no part differs from another by plan is cut into batches of equal length. Where these do not depend on
//! each other their figures spread as those of short runs do (Conway, Management Science 10, 1963; Schmeiser, Operations
//! Research 30, 1982, for their number). Whether they do is seen from each one and the next: batches are made longer until
//! their correlation is no more than chance explains. Where ten are left that still depend on each other, or 30 are very much
//! alike, there is no interval. Means and percentiles of times have one; counts and largest values of a single run have none.

use std::cell::LazyCell;

use serde_json::{Map, Value};

use super::jackknife::{LEVEL, Measured, contributions, interval};
use super::measure::{PERCENTILES, nine_decimals};
use super::shares::between;
use crate::plan::Plan;
use crate::stats::confidence::MeanInterval;
use crate::stats::{Course, Histogram, PARTS, STEPS, Sum};
use crate::summary::Batches;

/// Parts that are taken together, until batches do not depend on each other: 30, 20, 15 and 10 batches.
const TOGETHER: [usize; 4] = [2, 3, 4, 6];
/// Fewer values than this in a batch say little.
const FEWEST: u64 = 10;
/// Where 30 batches are more alike than this from one to the next, ten are so few and so alike that no test would tell.
const TOO_ALIKE: f64 = 0.5;
/// The correlation that independent batches exceed once in ten times, in standard deviations (von Neumann's ratio; Fishman,
/// Management Science 24, 1978).
const BY_CHANCE: f64 = 1.281_551_6;

/// What the batches of a single run say.
#[derive(Clone, Debug, Default)]
pub(super) struct Batched {
    /// The intervals, in a tree like that of metrics.
    pub(super) ci95: Map<String, Value>,
    /// Where they come from.
    pub(super) about: Batches,
}

impl Batched {
    /// The intervals of a single run of a plan that does not change, or why there are none.
    #[must_use]
    pub(super) fn of(plan: &Plan, whole: &Measured) -> Self {
        let without = |why: String| Self {
            about: Batches { counts: Map::new().into(), none: Some(why), ..Batches::default() },
            ..Self::default()
        };
        if let Some(why) = plan.unsteady() {
            return without(why);
        }
        if whole.pooled.stopped > 0 {
            return without("the run stopped early".into());
        }
        let seen = &whole.pooled.outcome;
        let mut found = Sections::default();
        for (policy, seen) in plan.consumers.iter().zip(&seen.consumers) {
            found.add(whole, ["consumers", &policy.name, "latency"], (&seen.latency, &seen.course));
        }
        for (policy, seen) in plan.services.iter().zip(&seen.services).filter(|(policy, _)| policy.arrivals.is_some()) {
            found.add(whole, ["services", &policy.name, "response"], (&seen.response, &seen.course));
        }
        if found.ci95.is_empty() && found.correlated.is_empty() {
            return without("too few events".into());
        }
        let about = Batches { counts: found.counts.into(), none: None, correlated: found.correlated };
        Self { ci95: found.ci95, about }
    }
}

/// Trees in the making.
#[derive(Default)]
struct Sections {
    ci95: Map<String, Value>,
    counts: Map<String, Value>,
    correlated: Vec<String>,
}

impl Sections {
    /// Adds the figures below a path, of times.
    fn add(&mut self, whole: &Measured, path: [&str; 3], (all, course): (&Histogram, &Course)) {
        let figures = path.iter().try_fold(&whole.metrics, |node, key| node.get(key)).and_then(Value::as_object);
        // Most often the shortest will do.
        let batches = TOGETHER.map(|parts| LazyCell::new(move || Batch::all(course, parts)));
        let shortest = &*batches[0];
        if shortest.iter().any(|batch| batch.count < FEWEST) || shortest.is_empty() {
            return;
        }
        let (mut ci95, mut counts) = (Map::new(), Map::new());
        for key in figures.into_iter().flatten().map(|(key, _)| key) {
            let share = PERCENTILES.iter().find(|(name, _)| name == key).map(|(_, share)| *share);
            if share.is_none() && key != "mean" {
                continue;
            }
            let first = Figure::of(shortest, all, share);
            let longer = batches[1..].iter().map(|batches| Figure::of(batches, all, share));
            let found = if alike(&first.contributions) > TOO_ALIKE {
                None
            } else {
                std::iter::once(first).chain(longer).find(|figure| !depend(&figure.contributions))
            };
            let Some(found) = found else {
                self.correlated.push(format!("{}.{}.{key}", path[1], path[2]));
                continue;
            };
            if let Some((low, high)) = found.interval(all, share) {
                ci95.insert(key.clone(), Value::from(vec![nine_decimals(low), nine_decimals(high)]));
                counts.insert(key.clone(), found.contributions.len().into());
            }
        }
        insert(&mut self.ci95, path, ci95);
        insert(&mut self.counts, path, counts);
    }
}

fn insert(tree: &mut Map<String, Value>, [section, name, of]: [&str; 3], leaves: Map<String, Value>) {
    if !leaves.is_empty() {
        let things = tree.entry(section).or_insert_with(|| Map::new().into());
        things[name] = Value::from(Map::from_iter([(of.to_owned(), Value::Object(leaves))]));
    }
}

/// A batch of a run.
struct Batch {
    count: u64,
    sum: f64,
    times: Histogram,
}

impl Batch {
    fn all(course: &Course, parts: usize) -> Vec<Self> {
        let sums = course.sums(STEPS / PARTS * parts);
        let of = |(sum, times): (Sum, Histogram)| Self { count: sum.count, sum: sum.sum as f64, times };
        sums.into_iter().zip(course.distributions(parts)).map(of).collect()
    }
}

/// A mean, or the share of values that are not above the percentile of a share, and what each batch contributes to it.
struct Figure {
    ratio: f64,
    contributions: Vec<f64>,
}

impl Figure {
    /// The mean, or what belongs to the percentile of a share.
    fn of(batches: &[Batch], all: &Histogram, share: Option<f64>) -> Self {
        let value = share.map(|share| all.quantile(share));
        let total = |batch: &Batch| match value {
            Some(value) => batch.times.share_to(value) * batch.count as f64,
            None => batch.sum / 1e9,
        };
        let (ratio, contributions) =
            quotient(&batches.iter().map(|batch| (total(batch), batch.count as f64)).collect::<Vec<_>>());
        Self { ratio, contributions }
    }

    /// The interval of the mean, or of the percentile of a share, seconds, if it has one: where the batches do not depend on
    /// each other.
    fn interval(&self, all: &Histogram, share: Option<f64>) -> Option<(f64, f64)> {
        match share {
            Some(share) => MeanInterval::of(&self.contributions, LEVEL).map(|it| between(all, share, it.half)),
            None => interval(self.ratio, &self.contributions),
        }
    }
}

/// The quotient of two sums, and what each batch contributes to it.
fn quotient(parts: &[(f64, f64)]) -> (f64, Vec<f64>) {
    let (above, below) = parts.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    let batches = parts.len() as f64;
    let rests: Vec<(f64, f64)> =
        parts.iter().map(|part| ((above - part.0) / (below - part.1), batches - 1.0)).collect();
    (above / below, contributions(above / below, batches, &rests))
}

/// Whether values that follow each other are more alike than chance explains.
fn depend(values: &[f64]) -> bool {
    let count = values.len() as f64;
    alike(values) + 1.0 / count > BY_CHANCE * ((count - 2.0) / (count * count - 1.0)).sqrt()
}

/// How much each value is like the next (correlation); -1 where they are all the same.
fn alike(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let pairs = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
    if squares > 0.0 { pairs / squares } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn noise(seed: u64, keeps: f64, count: u64) -> Vec<f64> {
        let stream = Stream::named(seed, "batches");
        let mut at = 0.0;
        (0..count)
            .map(|i| {
                at = keeps * at + (stream.unit(i) - 0.5);
                at
            })
            .collect()
    }

    #[test]
    fn batches_that_depend_on_each_other_are_told() {
        for count in [10, 15, 20, 30] {
            let told = |keeps: f64| (0..2_000).filter(|seed| depend(&noise(*seed, keeps, count))).count();
            let by_chance = told(0.0);
            assert!((120..=260).contains(&by_chance), "{by_chance} of 2,000 sets of {count}");
            assert!(told(0.7) > 1_000, "{} of {count}", told(0.7));
        }
        assert!(!depend(&[3.0; 10]));
    }

    /// Of a quotient of sums the contributions spread as its error does (linearised: (a - r b) / mean b).
    #[test]
    fn a_quotient_spreads_as_its_parts() {
        let parts: Vec<(f64, f64)> =
            noise(3, 0.0, 30).iter().zip(noise(4, 0.0, 30)).map(|(a, b)| (50.0 + a, 100.0 + b)).collect();
        let (ratio, contributions) = quotient(&parts);
        let below = parts.iter().map(|part| part.1).sum::<f64>() / 30.0;
        for (part, contribution) in parts.iter().zip(&contributions) {
            let expected = ratio + (part.0 - ratio * part.1) / below;
            assert!((contribution - expected).abs() < 1e-4, "{contribution} {expected}");
        }
    }

    /// Independent times: the interval of the mean is Student's of the batches' means, as they have about the same number.
    #[test]
    fn intervals_of_a_run_of_independent_times() {
        let mut course = Course::over(0, 960_000, true);
        let mut all = Histogram::default();
        let stream = Stream::named(5, "times");
        for i in 0..96_000 {
            let value = 1_000_000 + stream.bits(i) % 1_000_000_000;
            course.note(i * 10, value);
            all.record(value);
        }
        let batches = Batch::all(&course, 2);
        assert_eq!((batches.len(), batches[0].count), (30, 3_200));
        let of = |share: Option<f64>| {
            let figure = Figure::of(&batches, &all, share);
            assert!(!depend(&figure.contributions));
            figure.interval(&all, share).expect("an interval")
        };
        let (low, high) = of(None);
        let expected = 2.045 * (1.0 / 12f64).sqrt() / 96_000f64.sqrt();
        assert!((0.6..1.5).contains(&((high - low) / 2.0 / expected)), "{low} {high}");
        assert!((low..=high).contains(&0.501), "{low} {high}");
        let (low, high) = of(Some(0.9));
        assert!((low..=high).contains(&0.901) && high - low < 0.01, "{low} {high}");
    }
}
