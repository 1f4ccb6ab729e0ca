//! Designs side by side: the same seeds run by run, and the interval of each difference about the difference itself.
//!
//! Streams are named by the thing that draws, so what two designs share draws the same numbers in run i of both (common
//! random numbers). The paired difference then has a far smaller variance than that of independent runs.

use serde_json::Value;

use super::jackknife::{LEVEL, contributions, spread};
use super::measure::{nine_decimals, rests_on_few};
use super::precision::{self, Aim, Figure};
use super::{Experiment, Failure, Request, Runs, Watch, warm_up};
use crate::metrics::{Metric, OUTCOMES, catalogue, is_of_the_worst_run, most_of, of_outcome};
use crate::plan::Plan;
use crate::stats::confidence::MeanInterval;
use crate::summary::{Comparison, Contrast, Design, Precision, Relation, Warning};

/// Fewer runs than this give wide intervals.
const FEW_RUNS: u32 = 5;

/// Why there is no comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This design shares no producer, topic or consumer with the first.
    NothingShared {
        /// Index of the design.
        design: usize,
    },
    /// This design has no result.
    Run {
        /// Index of the design.
        design: usize,
        /// Why.
        failure: Failure,
    },
}

/// Runs designs (names and plans, the base first) with common random numbers: all have the seed of the base, and as many
/// runs as the request says, or else the plan of the base; or as many as it takes until differences are known so exactly.
///
/// # Errors
/// [`Refusal`]: two designs have nothing in common, or one has no result.
pub fn compare(
    designs: &[(String, Plan)],
    request: &Request,
    aim: Option<&Aim>,
    watch: &dyn Watch,
) -> Result<(Comparison, Vec<Experiment>, Option<Precision>), Refusal> {
    let Some(((_, base), others)) = designs.split_first() else { return Err(Refusal::NothingShared { design: 0 }) };
    if let Some(stranger) = others.iter().position(|(_, other)| !share_names(base, other)) {
        return Err(Refusal::NothingShared { design: stranger + 1 });
    }
    let plans: Vec<Plan> = designs.iter().map(|(_, plan)| Plan { seed: base.seed, ..plan.clone() }).collect();
    let plans =
        warm_up::settle_all(plans, request, watch).map_err(|(design, failure)| Refusal::Run { design, failure })?;
    let mut runs: Vec<Runs<'_>> = plans.iter().map(|plan| Runs::new(plan, request)).collect();
    let mut to = aim.map_or(request.runs_of(base), |aim| precision::first(request.runs_of(base), aim));
    let mut last = None;
    loop {
        watch.asked(to.saturating_mul(u32::try_from(designs.len()).unwrap_or(u32::MAX)));
        let experiments = match (extend(&mut runs, to, watch), last.take()) {
            (Ok(experiments), _) => experiments,
            // Designs are compared over the same runs: those of the look before.
            (Err(Refusal::Run { failure: Failure::Interrupted, .. }), Some(last)) => return Ok(last),
            (Err(refusal), _) => return Err(refusal),
        };
        let comparison = side_by_side(designs, &experiments);
        let Some(aim) = aim else { return Ok((comparison, experiments, None)) };
        let found = aim.look(&differences(&comparison, aim), to, experiments[0].rests.len());
        let Some(more) = precision::next(&found) else { return Ok((comparison, experiments, Some(found))) };
        (to, last) = (more, Some((comparison, experiments, Some(found))));
    }
}

/// What all designs find with so many runs.
fn extend(runs: &mut [Runs<'_>], to: u32, watch: &dyn Watch) -> Result<Vec<Experiment>, Refusal> {
    let of = runs.len();
    let mut experiments = Vec::new();
    for (design, runs) in runs.iter_mut().enumerate() {
        let part = Part { whole: watch, done: design, of, replications: to };
        let refused = |failure| Refusal::Run { design, failure };
        if !runs.extend(to, &part).map_err(refused)? {
            return Err(refused(Failure::Interrupted));
        }
        experiments.push(runs.found(to).map_err(refused)?);
    }
    Ok(experiments)
}

fn side_by_side(designs: &[(String, Plan)], experiments: &[Experiment]) -> Comparison {
    let (base, others) = experiments.split_first().expect("there is a base");
    let level = 1.0 - (1.0 - LEVEL) / others.len().max(1) as f64;
    Comparison {
        contrasts: others.iter().map(|other| contrasts(base, other, level)).collect(),
        warnings: warnings(designs, base.summary.replications),
        designs: designs
            .iter()
            .zip(experiments)
            .map(|((name, _), found)| Design { name: name.clone(), summary: found.summary.clone() })
            .collect(),
        level,
        command: String::new(),
    }
}

/// The differences that the aim is about, to be held against the larger of the two figures.
fn differences(comparison: &Comparison, aim: &Aim) -> Vec<Figure> {
    let mut found = Vec::new();
    for (design, contrasts) in comparison.designs[1..].iter().zip(&comparison.contrasts) {
        let asked = |contrast: &&Contrast| aim.metrics.iter().any(|metric| metric.path == contrast.path);
        for contrast in contrasts.iter().filter(asked) {
            let name = match comparison.contrasts.len() {
                1 => contrast.name(),
                _ => format!("{}: {}", design.name, contrast.name()),
            };
            let size = [contrast.base, contrast.value].into_iter().flatten().map(f64::abs).fold(0.0, f64::max);
            // With fewer than ten slower events nothing is known of it yet.
            let open = (contrast.relation == Relation::Unclear).then_some((f64::NEG_INFINITY, f64::INFINITY));
            let (interval, value) = (contrast.interval.or(open), contrast.difference.unwrap_or(0.0));
            let most = most_of(contrast.path.last().map_or("", String::as_str));
            found.push(Figure { name, size, interval, value, most });
        }
    }
    found
}

fn share_names(a: &Plan, b: &Plan) -> bool {
    a.names().iter().zip(&b.names()).any(|((_, a), (_, b))| a.iter().any(|name| b.contains(name)))
}

/// What differs between designs beside what is compared.
fn warnings(designs: &[(String, Plan)], replications: u32) -> Vec<Warning> {
    let experiment = |code, text| Warning { code, about: "experiment".into(), text };
    let mut warnings = Vec::new();
    let (first, base) = &designs[0];
    for (name, plan) in &designs[1..] {
        if (plan.duration, plan.warm_up) != (base.duration, base.warm_up) {
            let text = format!(
                "{name} and {first} are not measured over the same time: counts, maxima and the share of a fault in \
                 percentiles differ for that reason alone. Give both the same duration and warm_up."
            );
            warnings.push(experiment("W010", text));
        }
    }
    match replications {
        1 => warnings.push(experiment(
            "W004",
            "One run says nothing about chance: no difference has an interval. Take 5 replications or more.".into(),
        )),
        runs @ 2..FEW_RUNS => warnings
            .push(experiment("W004", format!("With {runs} replications the intervals are wide; take 5 or more."))),
        _ => {}
    }
    warnings
}

/// The progress of one design as its share of all.
struct Part<'w> {
    whole: &'w dyn Watch,
    done: usize,
    of: usize,
    replications: u32,
}

impl Watch for Part<'_> {
    fn reached(&self, share: f64, done: u32) -> bool {
        let before = u32::try_from(self.done).unwrap_or(u32::MAX).saturating_mul(self.replications);
        self.whole.reached((self.done as f64 + share) / self.of as f64, before.saturating_add(done))
    }
}

/// The sections of which things with one name are compared.
const SECTIONS: [&str; 7] = ["consumers", "services", "flows", "reads", "resources", "producers", "topics"];

/// Every metric that both have, and its difference with an interval of this level. Both must have been run as often, with
/// the same seeds (else the intervals are too narrow or too wide).
#[must_use]
pub fn contrasts(base: &Experiment, other: &Experiment, level: f64) -> Vec<Contrast> {
    let metrics = catalogue();
    let mut found = Vec::new();
    for section in SECTIONS {
        let things = |of: &Experiment| of.summary.metrics.get(section).and_then(Value::as_object).cloned();
        let (Some(mine), Some(theirs)) = (things(base), things(other)) else { continue };
        for name in mine.keys().filter(|name| theirs.contains_key(*name)) {
            let of_section = metrics.iter().filter(|metric| metric.section == section);
            found.extend(of_section.filter_map(|metric| contrast(base, other, metric, Some(name), level)));
            let outcomes = mine[name].get(OUTCOMES).and_then(Value::as_object).into_iter().flatten();
            let of_outcomes = outcomes.flat_map(|(outcome, _)| of_outcome(outcome));
            found.extend(of_outcomes.filter_map(|metric| contrast(base, other, &metric, Some(name), level)));
        }
    }
    let of_events = metrics.iter().filter(|metric| metric.section == "events");
    found.extend(of_events.filter_map(|metric| contrast(base, other, metric, None, level)));
    found
}

fn contrast(
    base: &Experiment,
    other: &Experiment,
    metric: &Metric,
    name: Option<&String>,
    level: f64,
) -> Option<Contrast> {
    let last = metric.keys.last()?;
    // When a largest value was reached says nothing about a design.
    if last == "max_at" {
        return None;
    }
    let path: Vec<String> =
        [metric.section.to_owned()].into_iter().chain(name.cloned()).chain(metric.keys.iter().cloned()).collect();
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let by_run = is_of_the_worst_run(last);
    let pair = if by_run { by_runs(base, other, &keys) } else { pooled(base, other, &keys) }?;
    let same_runs = same(&base.runs, &other.runs, &keys);
    let difference = pair.base.zip(pair.value).map(|(base, value)| value - base);
    let relation = match difference {
        Some(difference) => relation(difference, &pair.parts, same_runs, level),
        // Neither drains, in the same runs.
        None if same_runs && pair.base.is_none() && pair.value.is_none() => Relation::Identical,
        None => Relation::NoValue,
    };
    let few = [base, other].iter().any(|of| rests_on_few(&of.summary.metrics, &keys));
    let few = few && !matches!(relation, Relation::Identical | Relation::NoValue | Relation::OneRun);
    let relation = if few { Relation::Unclear } else { relation };
    let interval =
        difference.zip(MeanInterval::of(&pair.parts, level)).filter(|_| !few).map(|(difference, interval)| {
            let most = most_of(last);
            let (low, high) = (difference - interval.half, difference + interval.half);
            (nine_decimals(low.max(-most.max(-difference))), nine_decimals(high.min(most.max(difference))))
        });
    let spread = spread(&pair.parts, base.summary.replications).filter(|_| relation == Relation::Unclear && !few);
    let needed = difference.zip(spread).and_then(|(difference, spread)| spread.runs_for(difference.abs(), level));
    Some(Contrast {
        path,
        unit: metric.unit,
        by_run,
        count: pair.count,
        base: pair.base.map(nine_decimals),
        value: pair.value.map(nine_decimals),
        difference: difference.map(nine_decimals),
        interval,
        relation,
        needed: needed.filter(|needed| *needed > u64::from(base.summary.replications)),
        reason: pair.reason.or_else(|| few.then(|| "fewer than ten events are slower".to_owned())),
    })
}

/// One metric of both, and what each group of runs contributes to the difference.
#[derive(Debug, Default)]
struct Paired {
    base: Option<f64>,
    value: Option<f64>,
    count: bool,
    parts: Vec<f64>,
    reason: Option<String>,
}

/// A figure of all runs; of a count, that per run.
fn pooled(base: &Experiment, other: &Experiment, keys: &[&str]) -> Option<Paired> {
    let of = |experiment: &Experiment| read(&experiment.summary.metrics, experiment.summary.replications, keys);
    let (mine, theirs) = (of(base), of(other));
    let count = [mine, theirs].iter().flatten().any(|(_, count)| *count);
    let (Some((mine, _)), Some((theirs, _))) = (mine, theirs) else {
        let (base, value) = (mine.map(|(value, _)| value), theirs.map(|(value, _)| value));
        return (base.is_some() || value.is_some()).then(|| Paired { base, value, count, ..Paired::default() });
    };
    let rests = base.rests.iter().zip(&other.rests).map(|(mine, theirs)| {
        let (left, _) = read(&mine.metrics, mine.runs, keys)?;
        let (right, _) = read(&theirs.metrics, theirs.runs, keys)?;
        Some((right - left, f64::from(mine.runs)))
    });
    let rests: Option<Vec<(f64, f64)>> = rests.collect();
    let runs = f64::from(base.summary.replications);
    let parts = rests.map_or_else(Vec::new, |rests| contributions(theirs - mine, runs, &rests));
    Some(Paired { base: Some(mine), value: Some(theirs), count, parts, reason: None })
}

fn read(metrics: &Value, runs: u32, keys: &[&str]) -> Option<(f64, bool)> {
    let node = keys.iter().try_fold(metrics, |node, key| node.get(*key))?;
    let count = node.is_u64();
    Some((if count { node.as_f64()? / f64::from(runs) } else { node.as_f64()? }, count))
}

/// A figure of the worst run: the mean over runs, so that the difference shown is that of pairs of runs.
fn by_runs(base: &Experiment, other: &Experiment, keys: &[&str]) -> Option<Paired> {
    let of = |experiment: &Experiment| match keys {
        [.., "drain_time"] => drain_times(experiment, keys),
        _ => experiment.runs.values(keys).map(<[f64]>::to_vec),
    };
    let (mine, theirs) = (of(base), of(other));
    let mean =
        |values: &Vec<f64>| Some(values.iter().sum::<f64>() / values.len() as f64).filter(|mean| mean.is_finite());
    let (first, second) = (mine.as_ref().and_then(mean), theirs.as_ref().and_then(mean));
    let reasons: Vec<String> = [("the base", &mine), ("this design", &theirs)]
        .into_iter()
        .filter_map(|(who, values)| not_drained(values.as_deref()?).map(|why| format!("{who} {why}")))
        .collect();
    if first.is_none() && second.is_none() && reasons.is_empty() {
        return None;
    }
    let mut paired = Paired { base: first, value: second, ..Paired::default() };
    paired.reason = Some(reasons.join(", ")).filter(|reason| !reason.is_empty());
    if let (Some(_), Some(_), Some(mine), Some(theirs)) = (first, second, mine, theirs) {
        paired.parts = mine.iter().zip(&theirs).map(|(mine, theirs)| theirs - mine).collect();
    }
    Some(paired)
}

/// The drain time of each run: infinite where lag did not drain; none where no fault touched it in some run.
pub(super) fn drain_times(experiment: &Experiment, keys: &[&str]) -> Option<Vec<f64>> {
    let (_, before) = keys.split_last()?;
    let beside: Vec<&str> = before.iter().copied().chain(["not_drained"]).collect();
    let not_drained = experiment.runs.values(&beside)?;
    let times = experiment.runs.values_or_nan(keys).unwrap_or_else(|| vec![f64::NAN; not_drained.len()]);
    let time = |(time, not_drained): (f64, &f64)| if *not_drained > 0.0 { Some(f64::INFINITY) } else { Some(time) };
    times.into_iter().zip(not_drained).map(time).map(|time| time.filter(|time| !time.is_nan())).collect()
}

fn not_drained(values: &[f64]) -> Option<String> {
    let count = values.iter().filter(|value| value.is_infinite()).count();
    (count > 0).then(|| format!("does not drain in {count} of {} runs", values.len()))
}

/// Whether a metric is the same, to the bit, in each run.
fn same(base: &super::Columns, other: &super::Columns, keys: &[&str]) -> bool {
    let bits = |columns: &super::Columns| -> Option<Vec<u64>> {
        Some(columns.values_or_nan(keys)?.into_iter().map(f64::to_bits).collect())
    };
    bits(base) == bits(other)
}

fn relation(difference: f64, parts: &[f64], same_runs: bool, level: f64) -> Relation {
    let nothing = difference.abs() <= 0.0 && parts.iter().all(|part| part.abs() <= 0.0);
    if nothing && same_runs {
        return Relation::Identical;
    }
    match MeanInterval::of(parts, level) {
        None => Relation::OneRun,
        Some(interval) if difference + interval.half < 0.0 => Relation::Lower,
        Some(interval) if difference - interval.half > 0.0 => Relation::Higher,
        Some(_) => Relation::Unclear,
    }
}
