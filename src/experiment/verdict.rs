//! The verdict on `metric OP limit`: by an interval where chance has a say, by the values of every run where each counts, and
//! by the least and the most that the figure may still become.

use super::jackknife::{half_towards, needed};
use super::measure::nine_decimals;
use super::unfinished::Span;
use crate::plan::Comparison;
use crate::summary::Verdict;

/// What a claim is judged by.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures<'a> {
    /// The value of all runs together; of a count, that per run.
    pub(super) of_all: Option<f64>,
    /// That of each run. NaN: does not apply to it; infinite: a lag that did not drain.
    pub(super) of_runs: &'a [f64],
    /// The interval of the value of all; none where there is one run, or too little is known.
    pub(super) interval: Option<(f64, f64)>,
    /// Confidence of the interval.
    pub(super) level: f64,
    /// The most that the figure can be, whatever it is.
    pub(super) most: f64,
    /// Groups in which runs are told apart.
    pub(super) groups: usize,
    /// Whether each run is judged for itself.
    pub(super) every_run_counts: bool,
}

/// What judging found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    /// The verdict.
    pub(super) verdict: Verdict,
    /// The figure; none where it does not apply, or has no bound.
    pub(super) value: Option<f64>,
    /// Its interval.
    pub(super) interval: Option<(f64, f64)>,
    /// About how many runs would decide it, where that is known.
    pub(super) needed: Option<u64>,
    /// Why it is so.
    pub(super) reason: Option<String>,
    /// Whether it is undecided whatever the number of runs: because of what they did not see to their end.
    pub(super) unfinished: bool,
}

/// The verdict where figures may still become others: `ends` are the judgements of the least and of the most that they may
/// become, and `why` says why they differ.
///
/// What fails at the end that is kindest to the claim has failed, and what holds at the other end holds, whatever else is
/// open. More runs may decide it as long as it is chance that leaves one of both ends undecided.
#[must_use]
pub(super) fn between_ends(
    (op, limit): (Comparison, f64),
    measured: Judgement,
    [low, high]: [Judgement; 2],
    why: Option<String>,
    every_run_counts: bool,
) -> Judgement {
    if [low.verdict, high.verdict] == [measured.verdict; 2] {
        return measured;
    }
    let (kind, unkind) = match op {
        Comparison::Less | Comparison::AtMost => (low, high),
        _ => (high, low),
    };
    let verdict = match (kind.verdict, unkind.verdict) {
        (_, Verdict::Holds) => Verdict::Holds,
        (Verdict::Fails, _) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    if verdict != Verdict::Undecided {
        let reason = measured.reason.filter(|_| measured.verdict == verdict);
        return Judgement { verdict, needed: None, reason, ..measured };
    }
    let by_chance = !every_run_counts && [&kind, &unkind].iter().any(|end| end.verdict == Verdict::Undecided);
    let when = |end: &Judgement, it: bool| end.needed.filter(|_| end.value.is_some_and(|v| holds(op, v, limit) == it));
    Judgement {
        verdict,
        needed: when(&unkind, true).or(when(&kind, false)),
        reason: Some(measured.reason.iter().chain(&why).cloned().collect::<Vec<_>>().join(", ")),
        unfinished: !by_chance,
        ..measured
    }
}

/// The verdict on a claim of equality, which is about every run: it fails where a run cannot meet it any more, and holds where
/// no run can miss it.
#[must_use]
pub(super) fn of_equality(op: Comparison, limit: f64, runs: &[Span]) -> Verdict {
    let equals = op == Comparison::Equal;
    let of_run = |span: &Span| match (span.low..=span.high).contains(&limit) {
        false => decided(!equals),
        true if span.why.is_none() => decided(equals),
        true => Verdict::Undecided,
    };
    Verdict::of_all(runs.iter().map(of_run)).unwrap_or(Verdict::Fails)
}

/// Judges `metric OP limit`.
#[must_use]
pub(super) fn judge(op: Comparison, limit: f64, figures: &Figures<'_>) -> Judgement {
    let runs = figures.of_runs.iter().copied().filter(|v| !v.is_nan()).collect::<Vec<_>>();
    let Some(value) = figures.of_all.filter(|_| !runs.is_empty()) else {
        let (interval, needed, reason) = (None, None, None);
        return Judgement { verdict: Verdict::Fails, value: None, interval, needed, reason, unfinished: false };
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
    let half = |it| half_towards(limit, value, it, figures.most);
    let by = |it| needed((value - limit).abs(), half(it), runs_and_groups, figures.level);
    let needed = interval.filter(|_| undecided).and_then(by);
    Judgement {
        verdict,
        value: Some(nine_decimals(value)).filter(|value| value.is_finite()),
        interval,
        needed: needed.map(|n| n.max(runs.len() as u64 + 1)),
        reason: match interval {
            _ if figures.every_run_counts => reason(&runs, |v| holds(op, v, limit)),
            Some((_, high)) if undecided && high.is_infinite() => {
                Some("too few slower events to tell how late it may be".into())
            }
            Some(_) if undecided && runs.len() == 1 => Some("the interval of its batches includes the limit".into()),
            None if undecided && !equality => Some("too few of the runs have a value for an interval".into()),
            _ => None,
        },
        unfinished: false,
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
    use super::super::jackknife::{LEVEL, interval};
    use super::*;

    const INF: f64 = f64::INFINITY;

    /// Figures of runs whose mean is the value, each run contributing its own.
    fn means(values: &[f64]) -> Figures<'_> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let interval = interval(mean, values);
        Figures {
            of_all: Some(mean),
            of_runs: values,
            interval,
            level: LEVEL,
            most: INF,
            groups: values.len(),
            every_run_counts: false,
        }
    }

    /// Figures of runs whose largest is the value.
    fn maxima(values: &[f64]) -> Figures<'_> {
        let largest = values.iter().copied().reduce(f64::max);
        Figures {
            of_all: largest,
            of_runs: values,
            interval: None,
            level: LEVEL,
            most: INF,
            groups: values.len(),
            every_run_counts: true,
        }
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

    fn ends(op: Comparison, limit: f64, low: &[f64], high: &[f64]) -> Judgement {
        let of = |values: &[f64]| judge(op, limit, &means(values));
        between_ends((op, limit), of(low), [of(low), of(high)], Some("2% were not done".into()), false)
    }

    #[test]
    fn what_fails_at_its_kindest_end_has_failed_and_what_holds_at_the_other_holds() {
        use Comparison::{Greater, Less};
        use Verdict::{Fails, Holds, Undecided};
        let about = |x: f64| [x - 0.1, x, x + 0.1];
        // Intervals are +- 0.25; an end without bound has none.
        for (op, limit, low, high, verdict, unfinished) in [
            (Less, 1.0, about(2.0), [INF; 3], Fails, false),
            (Less, 1.0, about(2.0), about(2.9), Fails, false),
            (Less, 1.0, about(0.2), about(0.5), Holds, false),
            (Less, 1.0, about(0.2), about(0.9), Undecided, false),
            (Less, 1.0, about(0.2), about(2.9), Undecided, true),
            (Less, 1.0, about(0.2), [INF; 3], Undecided, true),
            (Less, 1.0, about(1.1), [INF; 3], Undecided, false),
            (Greater, 1.0, about(2.0), [INF; 3], Holds, false),
            (Greater, 1.0, about(0.2), about(0.5), Fails, false),
            (Greater, 1.0, about(0.2), about(0.9), Undecided, false),
            (Greater, 1.0, about(0.2), about(2.9), Undecided, true),
            (Greater, 1.0, about(0.9), [INF; 3], Undecided, false),
        ] {
            let judged = ends(op, limit, &low, &high);
            assert_eq!((judged.verdict, judged.unfinished), (verdict, unfinished), "{op:?} {low:?} {high:?}");
            assert_eq!(judged.reason.is_some(), verdict == Undecided, "{op:?} {low:?} {high:?}");
        }
    }

    #[test]
    fn runs_that_would_decide_are_those_of_the_end_that_can_be_decided() {
        let judged = ends(Comparison::Less, 1.0, &[0.1, 0.2, 0.3], &[0.8, 0.9, 1.0]);
        let alone = judge(Comparison::Less, 1.0, &means(&[0.8, 0.9, 1.0]));
        assert!(judged.needed.is_some() && judged.needed == alone.needed, "shown to hold: {judged:?}");
        let judged = ends(Comparison::Less, 1.0, &[1.0, 1.1, 1.2], &[INF; 3]);
        assert!(judged.needed.is_some(), "shown to fail: {judged:?}");
        // More runs would show that it holds as measured, which says nothing.
        assert_eq!(ends(Comparison::Less, 1.0, &[0.8, 0.9, 1.0], &[INF; 3]).needed, None);
    }

    #[test]
    fn one_run_that_cannot_be_equal_fails_a_claim_of_equality() {
        use Comparison::{Equal, NotEqual};
        use Verdict::{Fails, Holds, Undecided};
        let grows = |low: f64| Span { low, value: low, high: INF, why: Some("the run stopped early".into()) };
        for (runs, equal, not_equal) in [
            (vec![Span::known(0.0); 2], Holds, Fails),
            (vec![Span::known(0.0), grows(0.0)], Undecided, Fails),
            (vec![grows(5.0), grows(0.0)], Fails, Undecided),
            (vec![grows(5.0), Span::known(1.0)], Fails, Holds),
        ] {
            assert_eq!(of_equality(Equal, 0.0, &runs), equal, "{runs:?}");
            assert_eq!(of_equality(NotEqual, 0.0, &runs), not_equal, "{runs:?}");
        }
    }

    #[test]
    fn an_interval_that_is_cut_off_is_as_wide_as_its_other_side() {
        // A share of 97 % +- 5 points, and a limit of 99 %.
        let cut = Figures {
            of_all: Some(0.97),
            of_runs: &[0.97; 5],
            interval: Some((0.92, 1.0)),
            level: LEVEL,
            most: 1.0,
            groups: 5,
            every_run_counts: false,
        };
        let whole = Figures { interval: Some((0.92, 1.02)), most: INF, ..cut.clone() };
        let needed = |figures| judge(Comparison::Less, 0.99, figures).needed;
        assert!(needed(&whole).is_some_and(|runs| runs > 5));
        assert_eq!(needed(&cut), needed(&whole));
    }
}
