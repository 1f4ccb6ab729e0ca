//! Judges what a scenario claims: by its value where there is one run, by the interval across runs where there are more.
//!
//! What a run's end leaves open may decide it either way: then it is undecided (see [`super::unfinished`]).
//!
//! A claim is about *a run*, whatever the number of replications. A count is judged per run, not by its sum over runs. A
//! largest value is one of every run: a claim about it holds when it holds in every run, and fails when it holds in none.

use serde_json::Value;

use super::jackknife::{Measured, contributions_to, interval_within};
use super::measure::{PERCENTILES, measure_during};
use super::services;
use super::shares::Shares;
use super::unfinished::{Span, span};
use super::verdict::{Figures, Judgement, between_ends, judge, of_equality};
use crate::metrics::{is_of_the_worst_run, most_of};
use crate::plan::{Comparison, Expectation, Plan};
use crate::summary::{Judged, Verdict, interval_in};

/// One of the values of a figure.
type Pick = fn(&Span) -> f64;

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

    /// The judgement of all runs at a level of confidence, by their figures and what is left of them without each group of
    /// runs; of a single run by the intervals of its batches.
    #[must_use]
    pub(super) fn judge(&self, plan: &Plan, runs: (&Measured, &[Measured]), batches: &Value, level: f64) -> Judged {
        let judgement = self.judgement(plan, runs, batches, level);
        Judged {
            verdict: judgement.verdict,
            value: judgement.value,
            interval: judgement.interval,
            needed: judgement.needed,
            reason: judgement.reason,
            unfinished: judgement.unfinished,
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

    fn judgement(
        &self,
        plan: &Plan,
        (whole, rests): (&Measured, &[Measured]),
        batches: &Value,
        level: f64,
    ) -> Judgement {
        let expectation = &plan.expectations[self.expectation];
        let (op, limit) = (expectation.op, expectation.value);
        let last = self.path(plan).last();
        let worst = last.is_some_and(|key| is_of_the_worst_run(key));
        let of_all = self.read(plan, whole);
        let within = |pick: Pick| match rests {
            [] => self.of_batches(plan, batches, of_all.as_ref(), pick),
            _ => self.interval(plan, (whole, rests), of_all.as_ref(), (pick, level)),
        };
        let judged_at = |pick: Pick| {
            let of_runs: Vec<f64> = self.values.iter().map(|span| span.as_ref().map_or(f64::NAN, pick)).collect();
            let figures = Figures {
                of_all: of_all.as_ref().map(pick),
                of_runs: &of_runs,
                interval: within(pick).filter(|_| !worst),
                level,
                most: last.map_or(f64::INFINITY, |key| most_of(key)),
                groups: rests.len(),
                every_run_counts: worst,
            };
            judge(op, limit, &figures)
        };
        let judgement = judged_at(|span| span.value);
        let mut spans = of_all.iter().chain(self.values.iter().flatten());
        let Some(why) = spans.find_map(|span| span.why.clone()) else { return judgement };
        if matches!(op, Comparison::Equal | Comparison::NotEqual) {
            let runs: Vec<Span> = self.values.iter().flatten().cloned().collect();
            let verdict = of_equality(op, limit, &runs);
            let unfinished = verdict == Verdict::Undecided;
            let reason = if unfinished { Some(why) } else { judgement.reason };
            return Judgement { verdict, unfinished, reason, ..judgement };
        }
        let ends: [Pick; 2] = [|span| span.low, |span| span.high];
        between_ends((op, limit), judgement, ends.map(judged_at), Some(why), worst)
    }

    /// The interval of the figure of all runs, or of an end of what it may still become.
    fn interval(
        &self,
        plan: &Plan,
        (whole, rests): (&Measured, &[Measured]),
        of_all: Option<&Span>,
        (pick, level): (Pick, f64),
    ) -> Option<(f64, f64)> {
        let (path, of_all) = (self.path(plan), of_all?);
        // What is known of all runs is known: a share that counts without some of them is not that of all.
        let pick: Pick = if of_all.why.is_none() { |span| span.value } else { pick };
        let named = |(name, _): &&(&str, f64)| path.last().is_some_and(|last| last == name);
        let Some((_, share)) = PERCENTILES.iter().find(named) else {
            let parts = contributions_to(whole, rests, |part| self.read(plan, part).as_ref().map(pick))?;
            let most = path.last().map_or(f64::INFINITY, |key| most_of(key));
            return interval_within(pick(of_all), &parts, level, most);
        };
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        let times = Shares::of_rests(plan, whole, rests, &keys, plan.expectations[self.expectation].during)?;
        // What a percentile may become is not known run by run: its interval moves with it.
        let by = if of_all.value > 0.0 { pick(of_all) / of_all.value } else { 1.0 };
        times.interval(*share, level).map(|(low, high)| (low * by, high * by))
    }

    /// The same of a single run.
    fn of_batches(&self, plan: &Plan, batches: &Value, of_all: Option<&Span>, pick: Pick) -> Option<(f64, f64)> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INF: f64 = f64::INFINITY;

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
