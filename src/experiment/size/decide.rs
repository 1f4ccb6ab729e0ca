//! The verdict on one design, with more runs where it is close.
//!
//! Who looks again and again until something is decided errs more often than in the 5 % of one look. So each look judges at a
//! level at which all of them together err in 5 % of cases at most, whatever they have to do with each other (Bonferroni): of
//! 4 looks, 98.75 %. (Bounds that know how looks depend on each other, as Pocock's, Biometrika 64, 1977, are narrower by less
//! than a tenth, but hold for means of many runs only.)

use crate::experiment::jackknife::LEVEL;
use crate::experiment::{Experiment, Failure, Request, Runs, Watch, warm_up};
use crate::metrics::is_of_the_worst_run;
use crate::plan::Plan;
use crate::summary::{Judged, Verdict};

/// Runs a plan as often as it says, and twice as often again and again as long as that may decide what it expects, up to
/// `most` runs. Expectations are judged at the [`level`] of one look.
///
/// # Errors
/// [`Failure`]: a run without an outcome, no threads, or stopped by the watch.
pub fn decide(plan: &Plan, most: u32, request: &Request, watch: &dyn Watch) -> Result<Experiment, Failure> {
    let first = request.runs_of(plan);
    let plan = warm_up::settle(plan, request, watch)?;
    let mut runs = Runs::new(&plan, request);
    let level = level(first, most);
    for wanted in looks(first, most) {
        if !runs.extend(wanted, watch)? {
            break;
        }
        let found = runs.judged_at(wanted, level)?;
        if wanted >= most || !is_close(&found.summary.expectations) {
            return Ok(found);
        }
    }
    Err(Failure::Interrupted)
}

/// The numbers of runs after which a design is looked at: doubled each time, `most` at last. One run alone, which says nothing
/// about chance, is looked at where there are to be no more.
pub fn looks(first: u32, most: u32) -> impl Iterator<Item = u32> {
    let most = most.max(first);
    let first = first.max(most.min(2));
    std::iter::successors(Some(first), move |runs| (*runs < most).then(|| runs.saturating_mul(2).min(most)))
}

/// The level of confidence at which each look judges, so that the last verdict has the usual one.
#[must_use]
pub fn level(first: u32, most: u32) -> f64 {
    1.0 - (1.0 - LEVEL) / looks(first, most).count() as f64
}

/// Whether more runs may decide what is undecided, and nothing else keeps the design from holding.
///
/// What is judged run by run and did not hold in all of them will not hold in more. What the end of a run left open is as
/// open in the next one, unless chance leaves open what may become of it, too.
#[must_use]
pub fn is_close(judged: &[Judged]) -> bool {
    let may_change = |judged: &Judged| match judged.verdict {
        Verdict::Holds => true,
        Verdict::Fails => false,
        Verdict::Undecided => {
            let worst = judged.path.last().is_some_and(|key| is_of_the_worst_run(key));
            !worst && !judged.unfinished
        }
    };
    judged.iter().all(may_change) && judged.iter().any(|judged| judged.verdict == Verdict::Undecided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::size::tests::judged;

    #[test]
    fn runs_double_up_to_the_limit() {
        let of = |first, most| looks(first, most).collect::<Vec<_>>();
        assert_eq!(of(5, 40), [5, 10, 20, 40]);
        assert_eq!(of(5, 50), [5, 10, 20, 40, 50]);
        assert_eq!(of(10, 10), [10]);
        assert_eq!(of(10, 3), [10], "a design has its runs at least");
        assert_eq!((of(1, 1), of(1, 8)), (vec![1], vec![2, 4, 8]), "one run is not looked at before others");
    }

    #[test]
    fn the_error_is_shared_by_the_looks() {
        for (first, most, expected) in [(10, 10, 0.95), (1, 1, 0.95), (5, 10, 0.975), (5, 40, 0.9875)] {
            assert!((level(first, most) - expected).abs() < 1e-12, "{first} {most}");
        }
    }

    #[test]
    fn more_runs_are_for_what_they_may_decide() {
        use Verdict::{Fails, Holds, Undecided};
        let open = || judged(Undecided);
        let unfinished = Judged { unfinished: true, ..open() };
        let worst = Judged { path: vec!["consumers".into(), "email".into(), "drain_time".into()], ..open() };
        for (claims, expected) in [
            (vec![judged(Holds)], false),
            (vec![judged(Holds), open()], true),
            (vec![judged(Fails), open()], false),
            (vec![open(), unfinished.clone()], false),
            (vec![unfinished.clone()], false),
            (vec![Judged { interval: Some((1.9, 2.1)), ..unfinished }], false),
            (vec![worst], false),
        ] {
            assert_eq!(is_close(&claims), expected, "{claims:?}");
        }
    }
}
