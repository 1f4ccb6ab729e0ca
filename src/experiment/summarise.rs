//! From outcomes, one by one in the order of the runs, to a summary; knows nothing of how they came about.

use super::Experiment;
use super::batches::Batched;
use super::beside::{Found, beside};
use super::columns::Columns;
use super::expect::{Claim, claims};
use super::jackknife::{Groups, LEVEL, Measured, Rest, intervals};
use super::pool::Pooled;
use super::warnings::Findings;
use crate::outcome::{Outcome, TraceRecord};
use crate::plan::{Plan, WarmUp};
use crate::summary::{ConsumerCurves, Response, Summary, Window};
use crate::time::SimTime;

/// Most occurrences of one fault that pictures shade.
const SHADED_OCCURRENCES: usize = 200;

/// The runs so far, in bounded memory: their sum, the sums of a few groups of them, and a small tree of numbers for each.
#[derive(Clone, Debug)]
pub struct Collected<'p> {
    plan: &'p Plan,
    pooled: Option<Pooled>,
    groups: Groups,
    columns: Columns,
    claims: Vec<Claim>,
    trace: Vec<TraceRecord>,
}

impl<'p> Collected<'p> {
    /// Nothing yet.
    #[must_use]
    pub fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            pooled: None,
            groups: Groups::default(),
            columns: Columns::default(),
            claims: claims(plan),
            trace: Vec::new(),
        }
    }

    /// Adds the next run.
    pub fn push(&mut self, mut outcome: Outcome) {
        // Only one run keeps a trace, and it may be long.
        self.trace.append(&mut outcome.trace);
        let run = Measured::of(self.plan, Pooled::of(self.plan, outcome));
        self.columns.push(&run.metrics);
        self.claims.iter_mut().for_each(|claim| claim.push(self.plan, &run));
        self.groups.push(run.pooled.without_series());
        match &mut self.pooled {
            Some(pooled) => pooled.merge(run.pooled),
            None => self.pooled = Some(run.pooled),
        }
    }

    /// Number of runs so far.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.pooled.as_ref().map_or(0, |pooled| pooled.runs)
    }

    /// The summary of all runs so far, of `asked` that are to be done, with the sums and columns behind it. None without a
    /// run.
    #[must_use]
    pub fn found(&self, asked: u32) -> Option<Experiment> {
        self.judged_at(asked, LEVEL)
    }

    /// The same, with expectations judged at another level of confidence than 95 %. (All other intervals are of 95 %, and so
    /// are those of a single run.)
    #[must_use]
    pub fn judged_at(&self, asked: u32, level: f64) -> Option<Experiment> {
        let Self { plan, pooled, groups, columns: runs, claims, trace } = self;
        let whole = Measured::of(plan, pooled.clone()?);
        let rests = groups.rests(plan);
        let alone = (whole.pooled.runs == 1).then(|| Batched::of(plan, &whole));
        let ci95 = alone.as_ref().map_or_else(|| intervals(plan, &whole, &rests), |it| it.ci95.clone().into());
        let judge = |claim: &Claim| claim.judge(plan, (&whole, &rests), &ci95, level);
        let expectations = claims.iter().map(judge).collect::<Vec<_>>();
        let batches = alone.map(|it| it.about);
        let found = Findings { plan, whole: &whole, rests: &rests, claims, judged: &expectations, asked };
        let warnings = found.warnings(batches.as_ref());
        let Measured { mut pooled, metrics } = whole;
        let summary = Summary {
            scenario: plan.name.clone(),
            seed: plan.seed,
            replications: pooled.runs,
            replications_asked: asked,
            duration: plan.duration,
            warm_up: plan.warm_up,
            warnings,
            estimates: beside(plan, Some(Found { pooled: &pooled, metrics: &metrics, ci95: &ci95 })),
            ci95,
            batches,
            found_warm_up: match &plan.warm_up_from {
                WarmUp::Found(found) => Some(found.clone()),
                WarmUp::Stated | WarmUp::Wanted => None,
            },
            metrics,
            expectations,
            curves: curves(plan, &pooled),
            responses: responses(plan, &pooled),
            windows: windows(plan, &pooled),
            command: format!("edasim run {}.yaml --seed {} --replications {asked}", plan.name, plan.seed),
        };
        pooled.outcome.trace.clone_from(trace);
        let rests = rests.into_iter().map(|rest| Rest { runs: rest.pooled.runs, metrics: rest.metrics }).collect();
        Some(Experiment { summary, pooled, runs: runs.clone(), rests })
    }
}

/// The summary of the outcomes of `asked` runs, given in the order of the runs. None without an outcome.
#[must_use]
pub fn summarise(plan: &Plan, asked: u32, outcomes: impl IntoIterator<Item = Outcome>) -> Option<Summary> {
    let mut collected = Collected::new(plan);
    outcomes.into_iter().for_each(|outcome| collected.push(outcome));
    Some(collected.found(asked)?.summary)
}

fn curves(plan: &Plan, pooled: &Pooled) -> Vec<ConsumerCurves> {
    let consumers = plan.consumers.iter().zip(&pooled.outcome.consumers).zip(&pooled.curves);
    consumers
        .map(|((policy, seen), sums)| ConsumerCurves {
            name: policy.name.clone(),
            latency: seen.latency.clone(),
            interval: seen.lag.interval,
            lag: sums.mean_records(),
            lag_max: seen.lag.records.iter().map(|v| *v as f64).collect(),
            lag_time: sums.mean_time().into_iter().map(|nanos| nanos as f64 / 1e9).collect(),
            members: seen.scaling.iter().flat_map(|scaling| sums.mean_of(&scaling.members)).collect(),
        })
        .collect()
}

/// Response times of the services where users come in.
fn responses(plan: &Plan, pooled: &Pooled) -> Vec<Response> {
    let services = plan.services.iter().zip(&pooled.outcome.services).filter(|(policy, _)| policy.arrivals.is_some());
    services.map(|(policy, seen)| Response { name: policy.name.clone(), time: seen.response.clone() }).collect()
}

/// Faults (of the first run, with the consumers that noticed them in any run) and changes, by their start.
fn windows(plan: &Plan, pooled: &Pooled) -> Vec<Window> {
    let name = |index: usize| plan.consumers[index].name.clone();
    let mut windows = Vec::new();
    for (index, (fault, seen)) in plan.faults.iter().zip(&pooled.outcome.faults).enumerate() {
        let touches = (0..plan.consumers.len()).filter(|i| pooled.notices(index, *i)).map(name).collect::<Vec<_>>();
        windows.extend(seen.occurrences.iter().take(SHADED_OCCURRENCES).map(|(from, to)| Window {
            name: fault.name.clone(),
            fault: true,
            touches: touches.clone(),
            from: *from,
            to: *to,
        }));
    }
    let end = SimTime(plan.duration.0);
    windows.extend(plan.changes.iter().map(|change| Window {
        name: change.name.clone(),
        fault: false,
        touches: vec![name(change.consumer.0 as usize)],
        from: change.at,
        to: change.lasts.map_or(end, |lasts| end.min(change.at + lasts)),
    }));
    windows.sort_by_key(|window| window.from);
    windows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::example::{self, expectation};
    use crate::outcome::Ended;
    use crate::plan::Comparison::{AtMost, Equal, Greater, Less};
    use crate::report::json::document;
    use crate::summary::{Judged, Verdict};
    use crate::time::SimSpan;

    fn one(plan: &Plan) -> Summary {
        summarise(plan, 1, [example::outcome(plan, 0)]).expect("one outcome")
    }

    fn codes(summary: &Summary) -> Vec<(&str, &str)> {
        summary.warnings.iter().map(|w| (w.code, w.about.as_str())).collect()
    }

    #[test]
    fn the_metrics_of_one_run_are_as_they_were() {
        insta::assert_snapshot!(document(&one(&example::plan())));
    }

    #[test]
    fn the_metrics_of_three_runs_are_as_they_were() {
        let plan = example::plan();
        insta::assert_snapshot!(document(
            &summarise(&plan, 3, (0..3).map(|i| example::outcome(&plan, i))).expect("three")
        ));
    }

    /// Worked out by hand from the figures of the example: 90 latencies of 10 ms, 20 ms, ... 900 ms; 100 s measured.
    #[test]
    fn figures_by_hand() {
        let summary = one(&example::plan());
        let email = &summary.metrics["consumers"]["email"];
        let near = |path: &str, expected: f64| {
            let value = email.pointer(path).and_then(serde_json::Value::as_f64).expect(path);
            assert!((value / expected - 1.0).abs() < 1.0 / 512.0, "{path}: {value}, expected {expected}");
        };
        near("/latency/mean", 0.455);
        near("/latency/p50", 0.45);
        near("/latency/p99", 0.90);
        near("/throughput", 0.9);
        assert_eq!(email["lag"]["partitions"]["lags"][1]["series"]["records_max"], json!([40.0]));
        near("/utilisation", 4.5 / 200.0);
        // One a second, 4.5 s of work on 94 events, two workers with a credit of one message.
        near("/offered_load", 1.0 * 4.5 / 94.0);
        near("/lag/end", 6.0);
        near("/drain_time", 12.5);
        near("/reordered/ratio", 3.0 / 90.0);
        near("/reordered/extent/mean", 2.0);
        assert_eq!(
            email["anomalies"]["reordered"],
            json!({ "count": 3, "allowed": true, "reason": "workers keep no order" })
        );
        assert_eq!(
            summary.metrics["consumers"]["fraud"]["anomalies"]["reordered"],
            json!({ "count": 3, "allowed": false })
        );
        assert_eq!(summary.metrics["consumers"]["fraud"]["drain_time"], json!(null));
        assert_eq!(summary.metrics["faults"][0]["noticed"], json!(["email"]));
        assert_eq!(summary.metrics["faults"][0]["out_of_reach"], json!(["fraud"]));
        let hot = json!({ "partition": 1.0, "share": 0.7, "lag": { "max": 40.0, "median": 4.0 } });
        assert_eq!(summary.metrics["topics"]["orders"]["hot_partition"], hot);
    }

    #[test]
    fn stage_means_add_up_to_the_latency_mean() {
        let plan = example::plan();
        for seed in 0..50 {
            let summary = summarise(&plan, 1, [example::outcome(&plan, seed)]).expect("one");
            let latency = &summary.metrics["consumers"]["email"]["latency"];
            let nanos = |value: &serde_json::Value| (value.as_f64().expect("a time") * 1e9).round();
            let stages = latency["stages"].as_object().expect("a map").values().map(|stage| nanos(&stage["mean"]));
            assert!((stages.sum::<f64>() - nanos(&latency["mean"])).abs() < 0.5, "seed {seed}");
        }
    }

    #[test]
    fn counts_add_up_and_levels_do_not() {
        let plan = example::plan();
        let summary = summarise(&plan, 4, (0..4).map(|_| example::outcome(&plan, 0))).expect("four");
        let single = one(&plan);
        for (path, factor) in [
            (&["consumers", "email", "ledger", "created"][..], 4.0),
            (&["consumers", "email", "latency", "count"], 4.0),
            (&["consumers", "email", "lost", "total"], 4.0),
            (&["consumers", "email", "lag", "end"], 1.0),
            (&["consumers", "email", "throughput"], 1.0),
            (&["consumers", "email", "offered_load"], 1.0),
            (&["topics", "orders", "partitions"], 1.0),
            (&["consumers", "email", "latency", "mean"], 1.0),
            (&["producers", "shop", "publish", "rate"], 1.0),
        ] {
            let (all, alone) = (summary.number(path).expect("there"), single.number(path).expect("there"));
            assert!((all - factor * alone).abs() < 1e-12, "{path:?}: {all}, one run {alone}");
            assert_eq!(summary.interval(path), Some((all, all)), "{path:?}: the same in all runs");
        }
        assert_eq!(single.interval(&["consumers", "email", "lag", "end"]), None);
    }

    #[test]
    fn expectations_are_judged() {
        let mut plan = example::plan();
        plan.expectations = vec![
            expectation("email.latency.p99 < 1s", "consumers/email/latency/p99", Less, 1.0, None),
            expectation("*.lost == 0", "consumers/email/lost", Equal, 0.0, None),
            expectation("fraud.drain_time <= 0s", "consumers/fraud/drain_time", AtMost, 0.0, None),
            expectation(
                "email.latency.max < 1s during 20s..40s",
                "consumers/email/latency/max",
                Less,
                0.2,
                Some((20, 40)),
            ),
            expectation("email.lag.max < 30 during 20s..40s", "consumers/email/lag/max", Less, 30.0, Some((20, 40))),
            expectation(
                "email.throughput == 0.6/s during 20s..40s",
                "consumers/email/throughput",
                Equal,
                0.6,
                Some((20, 40)),
            ),
            expectation("email.overlap == 0 during 20s..40s", "consumers/email/overlap", Equal, 0.0, Some((20, 40))),
        ];
        let mut outcome = example::outcome(&plan, 0);
        // All was done, but for what was given up.
        outcome.consumers.iter_mut().for_each(|consumer| (consumer.ledger.waiting, consumer.lag.time_end) = (0, 0));
        let judged = summarise(&plan, 1, [outcome]).expect("one").expectations;
        let found = judged.iter().map(|j| (j.text.as_str(), j.verdict, j.value)).collect::<Vec<_>>();
        assert_eq!(found[0], ("email.latency.p99 < 1s", Verdict::Holds, Some(0.9)));
        assert_eq!(found[1], ("email.lost == 0", Verdict::Fails, Some(4.0)));
        assert_eq!((found[2].1, found[2].2), (Verdict::Holds, Some(0.0)));
        assert_eq!((found[3].1, found[3].2), (Verdict::Holds, Some(0.1)));
        assert_eq!((found[4].1, found[4].2), (Verdict::Holds, Some(4.0)), "points from 20 s to 40 s: 3, 4");
        assert_eq!((found[5].1, found[5].2), (Verdict::Holds, Some(0.6)));
        assert_eq!((found[6].1, found[6].2), (Verdict::Fails, None), "not measured during an interval");
    }

    /// What is judged about one run of which so many of 10,000 events were not done.
    fn judged_with_open(open: u64, text: &str, path: &str, op: crate::plan::Comparison, limit: f64) -> Judged {
        let mut plan = example::plan();
        plan.expectations = vec![expectation(text, path, op, limit, None)];
        let mut outcome = example::outcome(&plan, 0);
        outcome.consumers[0].latency = crate::stats::Histogram::default();
        (0..10_000 - open).for_each(|i| outcome.consumers[0].latency.record(1_000_000 * (i + 1)));
        outcome.consumers[0].ledger.waiting = open;
        summarise(&plan, 1, [outcome]).expect("one").expectations.remove(0)
    }

    #[test]
    fn what_unfinished_events_may_overturn_is_undecided() {
        use Verdict::{Fails, Holds, Undecided};
        let (p99, max) = ("consumers/email/latency/p99", "consumers/email/latency/max");
        for (open, path, op, limit, verdict) in [
            (7_650, p99, Less, 100.0, Undecided),
            (7_650, p99, Less, 1.0, Fails),
            (7_650, p99, Greater, 1.0, Holds),
            (7_650, p99, Greater, 100.0, Undecided),
            (7_650, p99, Equal, 100.0, Undecided),
            (7_650, p99, Equal, 1.0, Fails),
            (7_650, "consumers/email/latency/count", Less, 5_000.0, Holds),
            (5, p99, Less, 100.0, Holds),
            (5, max, Less, 100.0, Holds),
            (200, max, Less, 100.0, Undecided),
            (200, max, Less, 1.0, Fails),
            (200, "consumers/email/latency/p90", Less, 100.0, Holds),
            (200, "consumers/email/latency/mean", AtMost, 100.0, Undecided),
            (200, "consumers/email/lost", Equal, 4.0, Holds),
        ] {
            let judged = judged_with_open(open, "as written", path, op, limit);
            assert_eq!(judged.verdict, verdict, "{open} open: {path} {op:?} {limit}: {judged:?}");
            assert_eq!(judged.unfinished, verdict == Undecided);
        }
        let judged = judged_with_open(7_650, "email.latency.p99 < 100s", p99, Less, 100.0);
        assert_eq!(judged.reason.as_deref(), Some("76.5% of the events were not done"));
    }

    #[test]
    fn what_unfinished_events_may_overturn_in_an_interval_is_undecided() {
        let mut plan = example::plan();
        let claim = |during| expectation("", "consumers/email/latency/p99", Less, 1.0, Some(during));
        plan.expectations = vec![claim((20, 40)), claim((80, 105))];
        let mut outcome = example::outcome(&plan, 0);
        outcome.consumers[0].lag.time_end = 10_000_000_000;
        let judged = summarise(&plan, 1, [outcome]).expect("one").expectations;
        // The oldest of what is open was created at 100 s.
        assert_eq!(judged.iter().map(|j| j.verdict).collect::<Vec<_>>(), [Verdict::Holds, Verdict::Undecided]);
    }

    #[test]
    fn a_run_that_stopped_early_decides_only_what_can_only_grow() {
        use Verdict::{Fails, Holds, Undecided};
        for (path, op, limit, verdict) in [
            ("consumers/email/latency/p99", Less, 100.0, Undecided),
            ("consumers/email/latency/p99", Less, 0.1, Undecided),
            ("consumers/email/throughput", Greater, 0.1, Undecided),
            ("consumers/email/lag/max", Greater, 30.0, Holds),
            ("consumers/email/lag/max", Greater, 300.0, Undecided),
            ("consumers/email/lag/max", Less, 30.0, Fails),
            ("consumers/email/duplicates/effects", Equal, 0.0, Undecided),
        ] {
            let mut plan = example::plan();
            plan.expectations = vec![expectation("", path, op, limit, None)];
            let outcomes = (0..2).map(|_| {
                let mut outcome = example::outcome(&plan, 0);
                outcome.ended = Ended::BacklogBound { at: SimTime(90_000_000_000), consumer: 0 };
                outcome
            });
            let judged = &summarise(&plan, 2, outcomes).expect("two").expectations[0];
            assert_eq!(judged.verdict, verdict, "{path} {op:?} {limit}: {judged:?}");
            let why = (verdict == Undecided).then_some("2 of 2 runs stopped early");
            assert_eq!(judged.reason.as_deref(), why, "{path} {op:?} {limit}");
        }
    }

    #[test]
    fn a_lag_that_did_not_drain_decides_what_is_shorter_than_it_was_followed() {
        use Verdict::{Fails, Holds, Undecided};
        for (op, limit, verdict) in
            [(Less, 20.0, Fails), (Less, 300.0, Undecided), (Greater, 20.0, Holds), (Greater, 300.0, Undecided)]
        {
            let mut plan = example::plan();
            plan.expectations = vec![expectation("", "consumers/email/drain_time", op, limit, None)];
            let mut outcome = example::outcome(&plan, 0);
            let touched = outcome.faults[0].touched.get_mut(&0).expect("touched");
            (touched.not_drained, touched.undrained) = (1, SimSpan::from_seconds(50));
            let judged = &summarise(&plan, 1, [outcome]).expect("one").expectations[0];
            assert_eq!(judged.verdict, verdict, "{op:?} {limit}: {judged:?}");
        }
    }

    #[test]
    fn intervals_of_a_consumer_are_those_of_its_expectations() {
        let mut plan = example::plan();
        plan.expectations = vec![
            expectation("", "consumers/fraud/latency/p99", Less, 1.0, Some((30, 40))),
            expectation("", "consumers/email/latency/p99", Less, 1.0, Some((20, 40))),
            expectation("", "consumers/email/latency/p50", Less, 1.0, None),
            expectation("", "consumers/email/lag/max", Less, 1.0, Some((10, 20))),
            expectation("", "consumers/email/latency/p50", Less, 1.0, Some((20, 40))),
        ];
        let second = |s: u64| SimTime(s * 1_000_000_000);
        assert_eq!(plan.intervals_of(0), [(second(20), second(40)), (second(10), second(20))]);
        assert_eq!(plan.intervals_of(1), [(second(30), second(40))]);
    }

    #[test]
    fn warnings_of_a_run() {
        let plan = example::plan();
        let expected = [
            ("W002", "consumers.email"),
            ("W002", "consumers.fraud"),
            ("W003", "consumers.email"),
            ("W003", "consumers.fraud"),
        ];
        assert_eq!(codes(&one(&plan)), expected);
    }

    #[test]
    fn warnings_of_several_runs_and_of_trouble() {
        let mut plan = example::plan();
        plan.expectations = vec![expectation("email.lag.max < 700", "consumers/email/lag/max", Less, 700.0, None)];
        let outcomes = (0..3).map(|seed| {
            let mut outcome = example::outcome(&plan, seed);
            for consumer in &mut outcome.consumers {
                consumer.ledger.waiting = 0;
                consumer.latency = (0..20_000).fold(crate::stats::Histogram::default(), |mut h, i| {
                    h.record(i);
                    h
                });
            }
            outcome.consumers[1].busy = 500_000_000_000;
            outcome.ended = Ended::BacklogBound { at: SimTime(90_000_000_000), consumer: 0 };
            outcome
        });
        let summary = summarise(&plan, 5, outcomes).expect("three outcomes");
        let expected = [
            ("W006", "consumers.email"),
            ("W007", "experiment"),
            ("W001", "consumers.fraud"),
            ("W005", "consumers.email"),
            ("W004", "experiment"),
        ];
        assert_eq!(codes(&summary), expected, "{:#?}", summary.warnings);
    }

    #[test]
    fn a_growing_lag_is_an_overload_and_says_since_when() {
        let mut plan = example::plan();
        plan.duration = SimSpan::from_seconds(200);
        let mut outcome = example::outcome(&plan, 0);
        outcome.consumers[0].lag.interval = SimSpan::from_seconds(1);
        outcome.consumers[0].lag.records = (0..200u64).map(|i| 5 + i % 3 + i.saturating_sub(100) * 20).collect();
        let summary = summarise(&plan, 1, [outcome]).expect("one");
        let warning = summary.warnings.iter().find(|w| w.code == "W001").expect("overload");
        assert_eq!(warning.about, "consumers.email");
        let since = crate::units::show_seconds(102.0);
        assert!(warning.text.contains(&format!("lag grows from {since} ")), "{}", warning.text);
    }

    #[test]
    fn windows_and_curves() {
        let summary = one(&example::plan());
        let windows = summary.windows.iter().map(|w| (w.name.as_str(), w.fault, w.from.seconds(), w.to.seconds()));
        assert_eq!(windows.collect::<Vec<_>>(), [("lunch", true, 50.0, 60.0), ("scale email", false, 80.0, 110.0)]);
        assert_eq!(summary.windows[0].touches, ["email"]);
        assert_eq!(summary.curves[0].lag[5].to_bits(), 40f64.to_bits());
        assert_eq!(summary.curves[0].lag_time.len(), 11);
    }

    #[test]
    fn nothing_finished_is_no_summary() {
        assert!(summarise(&example::plan(), 3, []).is_none());
    }
}
