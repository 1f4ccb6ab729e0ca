//! Judges what a scenario claims: by its value where there is one run, by the interval across runs where there are more.
//!
//! What a run's end leaves open may decide it either way: then it is undecided (see [`super::unfinished`]).
//!
//! A claim is about *a run*, whatever the number of replications. A count is judged per run, not by its sum over runs. A
//! largest value is one of every run: a claim about it holds when it holds in every run, and fails when it holds in none.

use serde_json::Value;

use super::jackknife::{Measured, contributions_to, interval, needed};
use super::measure::{PERCENTILES, measure_during, nine_decimals};
use super::services;
use super::shares::Shares;
use super::unfinished::{Span, span};
use crate::metrics::is_of_the_worst_run;
use crate::plan::{Comparison, Expectation, Plan};
use crate::summary::{Judged, Verdict, interval_in};

/// One expectation about one metric, with its value in every run so far.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Index in [`Plan::expectations`].
    expectation: usize,
    /// Index in its `metrics`.
    metric: usize,
    /// None: does not apply to that run; infinite: a lag that did not drain.
    values: Vec<Option<Span>>,
}

/// All claims of a plan: each expectation once for each match of its wildcard.
#[must_use]
pub(super) fn claims(plan: &Plan) -> Vec<Claim> {
    let of = |(expectation, e): (usize, &Expectation)| {
        (0..e.metrics.len()).map(move |metric| Claim { expectation, metric, values: Vec::new() }).collect::<Vec<_>>()
    };
    plan.expectations.iter().enumerate().flat_map(of).collect()
}

/// What a plan expects, before any run.
#[must_use]
pub fn expected(plan: &Plan) -> Vec<Judged> {
    claims(plan).iter().map(|claim| claim.open(plan)).collect()
}

impl Claim {
    /// Notes the value in one further run.
    pub(super) fn push(&mut self, plan: &Plan, run: &Measured) {
        self.values.push(self.read(plan, run));
    }

    /// The judgement of all runs, by their figures and what is left of them without each group of runs; of a single run by
    /// the intervals of its batches.
    #[must_use]
    pub(super) fn judge(&self, plan: &Plan, runs: (&Measured, &[Measured]), batches: &Value) -> Judged {
        let (judgement, unfinished) = self.judgement(plan, runs, batches);
        Judged {
            verdict: judgement.verdict,
            value: judgement.value,
            interval: judgement.interval,
            needed: judgement.needed,
            reason: judgement.reason,
            unfinished,
            ..self.open(plan)
        }
    }

    /// Before any run.
    fn open(&self, plan: &Plan) -> Judged {
        let expectation = &plan.expectations[self.expectation];
        Judged {
            text: self.text(expectation),
            limit: expectation.value,
            verdict: Verdict::Undecided,
            value: None,
            interval: None,
            needed: None,
            reason: None,
            unfinished: false,
            place: expectation.place,
            file: expectation.file.clone(),
            path: self.path(plan).to_vec(),
            op: expectation.op,
            during: expectation.during.is_some(),
        }
    }

    /// The judgement, and whether it is open because of what was not finished.
    fn judgement(&self, plan: &Plan, (whole, rests): (&Measured, &[Measured]), batches: &Value) -> (Judgement, bool) {
        let expectation = &plan.expectations[self.expectation];
        let worst = self.path(plan).last().is_some_and(|key| is_of_the_worst_run(key));
        let of_all = self.read(plan, whole);
        let within = |pick: fn(&Span) -> f64| match rests {
            [] => self.of_batches(plan, batches, of_all.as_ref(), pick),
            _ => self.interval(plan, (whole, rests), of_all.as_ref(), pick),
        };
        let measured = within(|span| span.value);
        let judged_at = |pick: fn(&Span) -> f64, interval: Option<(f64, f64)>| {
            let of_runs: Vec<f64> = self.values.iter().map(|span| span.as_ref().map_or(f64::NAN, pick)).collect();
            let figures = Figures {
                of_all: of_all.as_ref().map(pick),
                of_runs: &of_runs,
                interval: interval.filter(|_| !worst),
                groups: rests.len(),
                every_run_counts: worst,
            };
            judge(expectation.op, expectation.value, &figures)
        };
        let judgement = judged_at(|span| span.value, measured);
        let ends: [fn(&Span) -> f64; 2] = [|span| span.low, |span| span.high];
        let ends = ends.map(|end| judged_at(end, within(end)).verdict);
        let either = of_all
            .iter()
            .chain(self.values.iter().flatten())
            .find(|span| span.why.is_some() && (ends != [judgement.verdict; 2] || may_equal(expectation, span)));
        let Some(span) = either else { return (judgement, false) };
        let reasons = judgement.reason.iter().chain(&span.why).cloned().collect::<Vec<_>>();
        let reason = Some(reasons.join(", "));
        (Judgement { verdict: Verdict::Undecided, needed: None, reason, ..judgement }, true)
    }

    /// The interval of the figure of all runs, or of an end of what it may still become.
    fn interval(
        &self,
        plan: &Plan,
        (whole, rests): (&Measured, &[Measured]),
        of_all: Option<&Span>,
        pick: fn(&Span) -> f64,
    ) -> Option<(f64, f64)> {
        let (path, of_all) = (self.path(plan), of_all?);
        let named = |(name, _): &&(&str, f64)| path.last().is_some_and(|last| last == name);
        let Some((_, share)) = PERCENTILES.iter().find(named) else {
            let parts = contributions_to(whole, rests, |part| self.read(plan, part).as_ref().map(pick))?;
            return interval(pick(of_all), &parts);
        };
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        let times = Shares::of_rests(plan, whole, rests, &keys, plan.expectations[self.expectation].during)?;
        // What a percentile may become is not known run by run: its interval moves with it.
        let by = if of_all.value > 0.0 { pick(of_all) / of_all.value } else { 1.0 };
        times.interval(*share).map(|(low, high)| (low * by, high * by))
    }

    /// The same of a single run.
    fn of_batches(
        &self,
        plan: &Plan,
        batches: &Value,
        of_all: Option<&Span>,
        pick: fn(&Span) -> f64,
    ) -> Option<(f64, f64)> {
        if plan.expectations[self.expectation].during.is_some() {
            return None;
        }
        let (low, high) = interval_in(descend(batches, self.path(plan))?)?;
        let by = of_all.filter(|span| span.value > 0.0).map_or(1.0, |span| pick(span) / span.value);
        Some((low * by, high * by))
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

    /// The value, of a count that per run, with what it may still become.
    fn read(&self, plan: &Plan, part: &Measured) -> Option<Span> {
        let expectation = &plan.expectations[self.expectation];
        let path = self.path(plan);
        let reading = match expectation.during {
            None => reading(&part.metrics, path),
            Some(during) => {
                let [section, name, metric @ ..] = path else { return None };
                let interval = plan.intervals_at(section, name).iter().position(|i| *i == during)?;
                let metric = metric.iter().map(String::as_str).collect::<Vec<_>>();
                number(&match section.as_str() {
                    "consumers" => {
                        let consumer = plan.consumers.iter().position(|it| it.name == *name)?;
                        measure_during(&part.pooled, consumer, interval, during, &metric)
                    }
                    _ => {
                        let service = plan.services.iter().position(|it| it.name == *name)?;
                        let seconds = (during.1 - during.0).seconds();
                        services::during(&part.pooled, service, interval, seconds, &metric)
                    }
                })
            }
        }?;
        let value = if reading.count { reading.value / f64::from(part.pooled.runs) } else { reading.value };
        Some(span(plan, part, path, expectation.during, (value, reading.count)))
    }
}

/// Whether a claim of equality is open: the figure may still become its limit.
fn may_equal(expectation: &Expectation, span: &Span) -> bool {
    matches!(expectation.op, Comparison::Equal | Comparison::NotEqual)
        && (span.low..=span.high).contains(&expectation.value)
}

/// A metric's value, and whether it is a count that was summed over the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    value: f64,
    count: bool,
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

/// What a claim is judged by.
#[derive(Clone, Debug, Default)]
struct Figures<'a> {
    /// The value of all runs together; of a count, that per run.
    of_all: Option<f64>,
    /// That of each run. NaN: does not apply to it; infinite: a lag that did not drain.
    of_runs: &'a [f64],
    /// The interval of the value of all; none where there is one run, or too little is known.
    interval: Option<(f64, f64)>,
    /// Groups in which runs are told apart.
    groups: usize,
    /// Whether each run is judged for itself.
    every_run_counts: bool,
}

/// What judging found.
#[derive(Clone, Debug, PartialEq)]
struct Judgement {
    verdict: Verdict,
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    needed: Option<u64>,
    reason: Option<String>,
}

/// Judges `metric OP limit`.
fn judge(op: Comparison, limit: f64, figures: &Figures<'_>) -> Judgement {
    let runs = figures.of_runs.iter().copied().filter(|v| !v.is_nan()).collect::<Vec<_>>();
    let Some(value) = figures.of_all.filter(|_| !runs.is_empty()) else {
        return Judgement { verdict: Verdict::Fails, value: None, interval: None, needed: None, reason: None };
    };
    let interval = figures.interval.filter(|(low, high)| low.is_finite() && !high.is_nan());
    let interval = interval.map(|(low, high)| (nine_decimals(low), nine_decimals(high)));
    let equality = matches!(op, Comparison::Equal | Comparison::NotEqual);
    let verdict = if equality || figures.every_run_counts {
        match runs.iter().filter(|v| holds(op, **v, limit)).count() {
            all if all == runs.len() => Verdict::Holds,
            some if some > 0 && !equality => Verdict::Undecided,
            _ => Verdict::Fails,
        }
    } else {
        match interval.map(|(low, high)| (holds(op, low, limit), holds(op, high, limit))) {
            None if runs.len() > 1 && value.is_finite() => Verdict::Undecided,
            None => decided(holds(op, value, limit)),
            Some((true, true)) => Verdict::Holds,
            Some((false, false)) => Verdict::Fails,
            Some(_) => Verdict::Undecided,
        }
    };
    let undecided = verdict == Verdict::Undecided;
    let runs_and_groups = (u32::try_from(runs.len()).unwrap_or(u32::MAX), figures.groups);
    let needed = interval.filter(|_| undecided).and_then(|it| needed(value, it, runs_and_groups, limit));
    Judgement {
        verdict,
        value: Some(nine_decimals(value)).filter(|value| value.is_finite()),
        interval,
        needed: needed.filter(|n| *n > runs.len() as u64),
        reason: match interval {
            _ if figures.every_run_counts => reason(&runs, |v| holds(op, v, limit)),
            Some((_, high)) if undecided && high.is_infinite() => {
                Some("too few slower events to tell how late it may be".into())
            }
            Some(_) if undecided && runs.len() == 1 => Some("the interval of its batches includes the limit".into()),
            _ => None,
        },
    }
}

/// In how many runs a lag did not drain, or a claim about every run holds; nothing where all runs agree.
fn reason(runs: &[f64], holds: impl Fn(f64) -> bool) -> Option<String> {
    let not_drained = runs.iter().filter(|v| v.is_infinite()).count();
    let holding = runs.iter().filter(|v| holds(**v)).count();
    match (not_drained, holding, runs.len()) {
        (1, _, 1) => Some("not drained".into()),
        (1.., _, all) => Some(format!("not drained in {not_drained} of {all} runs")),
        (0, holding, all) if (1..all).contains(&holding) => Some(format!("holds in {holding} of {all} runs")),
        _ => None,
    }
}

fn decided(holds: bool) -> Verdict {
    if holds { Verdict::Holds } else { Verdict::Fails }
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

    /// Figures of runs whose mean is the value, each run contributing its own.
    fn means(values: &[f64]) -> Figures<'_> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let interval = interval(mean, values);
        Figures { of_all: Some(mean), of_runs: values, interval, groups: values.len(), every_run_counts: false }
    }

    /// Figures of runs whose largest is the value.
    fn maxima(values: &[f64]) -> Figures<'_> {
        let largest = values.iter().copied().reduce(f64::max);
        Figures { of_all: largest, of_runs: values, interval: None, groups: values.len(), every_run_counts: true }
    }

    #[test]
    fn verdicts() {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        use Verdict::{Fails, Holds, Undecided};
        let table = [
            // One run: its value.
            (Less, 2.0, vec![1.9], Holds),
            (Less, 2.0, vec![2.0], Fails),
            (AtMost, 2.0, vec![2.0], Holds),
            (Greater, 2.0, vec![2.0], Fails),
            (AtLeast, 2.0, vec![2.0], Holds),
            // Several runs: the interval, here 1 +- 0.25 (t = 4.303, s = 0.1, n = 3).
            (Less, 1.3, vec![0.9, 1.0, 1.1], Holds),
            (Less, 1.2, vec![0.9, 1.0, 1.1], Undecided),
            (Less, 0.8, vec![0.9, 1.0, 1.1], Undecided),
            (Less, 0.7, vec![0.9, 1.0, 1.1], Fails),
            (Greater, 0.7, vec![0.9, 1.0, 1.1], Holds),
            (Greater, 0.8, vec![0.9, 1.0, 1.1], Undecided),
            (Greater, 1.3, vec![0.9, 1.0, 1.1], Fails),
            // The same in all runs: no width.
            (AtMost, 1.0, vec![1.0; 5], Holds),
            (Less, 1.0, vec![1.0; 5], Fails),
            // Equality is about every run.
            (Equal, 0.0, vec![0.0; 5], Holds),
            (Equal, 0.0, vec![0.0, 0.0, 1.0], Fails),
            (NotEqual, 0.0, vec![1.0, 2.0, 3.0], Holds),
            (NotEqual, 0.0, vec![1.0, 0.0, 3.0], Fails),
        ];
        for (op, limit, values, expected) in table {
            assert_eq!(judge(op, limit, &means(&values)).verdict, expected, "{values:?} {op:?} {limit}");
        }
    }

    #[test]
    fn verdicts_about_every_run() {
        use Comparison::{Equal, Greater, Less};
        use Verdict::{Fails, Holds, Undecided};
        let some = Some("holds in 2 of 3 runs");
        let table = [
            (Less, 1.2, vec![0.9, 1.0, 1.1], Holds, Some(1.1), None),
            (Less, 1.1, vec![0.9, 1.0, 1.1], Undecided, Some(1.1), some),
            (Less, 0.9, vec![0.9, 1.0, 1.1], Fails, Some(1.1), None),
            (Greater, 0.9, vec![0.9, 1.0, 1.1], Undecided, Some(1.1), some),
            (Equal, 0.0, vec![0.0, 0.0, 1.0], Fails, Some(1.0), some),
            // Not drained.
            (Less, 900.0, vec![INF], Fails, None, Some("not drained")),
            (Less, 900.0, vec![INF, INF], Fails, None, Some("not drained in 2 of 2 runs")),
            (Less, 900.0, vec![10.0, INF, 20.0], Undecided, None, Some("not drained in 1 of 3 runs")),
            (Greater, 900.0, vec![INF, INF], Holds, None, Some("not drained in 2 of 2 runs")),
            (Greater, 900.0, vec![INF, 5.0], Undecided, None, Some("not drained in 1 of 2 runs")),
        ];
        for (op, limit, values, verdict, value, reason) in table {
            let judged = judge(op, limit, &maxima(&values));
            assert_eq!((judged.verdict, judged.value), (verdict, value), "{values:?} {op:?} {limit}");
            assert_eq!((judged.reason.as_deref(), judged.interval), (reason, None), "{values:?} {op:?} {limit}");
        }
    }

    #[test]
    fn what_is_undecided_says_how_many_runs_would_decide() {
        let judged = judge(Comparison::Less, 1.2, &means(&[0.9, 1.0, 1.1]));
        assert_eq!((judged.verdict, judged.needed), (Verdict::Undecided, Some(4)));
    }

    #[test]
    fn what_does_not_apply_fails_without_a_value() {
        let judged = judge(Comparison::Greater, 0.0, &Figures { of_runs: &[f64::NAN], ..Figures::default() });
        assert_eq!((judged.verdict, judged.value), (Verdict::Fails, None));
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
