//! The verdict on one design, with more runs where it is close.

use crate::experiment::{Experiment, Failure, Request, Runs, Watch, warm_up};
use crate::metrics::is_of_the_worst_run;
use crate::plan::Plan;
use crate::summary::{Judged, Verdict};

/// Runs a plan as often as it says, and twice as often again and again as long as that may decide what it expects, up to
/// `most` runs.
///
/// # Errors
/// [`Failure`]: a run without an outcome, no threads, or stopped by the watch.
pub fn decide(plan: &Plan, most: u32, request: &Request, watch: &dyn Watch) -> Result<Experiment, Failure> {
    let first = request.runs_of(plan);
    let plan = warm_up::settle(plan, request, watch)?;
    let mut runs = Runs::new(&plan, request);
    for wanted in looks(first, most) {
        if !runs.extend(wanted, watch)? {
            break;
        }
        let found = runs.found(wanted)?;
        if wanted >= most || !is_close(&found.summary.expectations) {
            return Ok(found);
        }
    }
    Err(Failure::Interrupted)
}

/// The numbers of runs after which a design is looked at: doubled each time, `most` at last.
pub fn looks(first: u32, most: u32) -> impl Iterator<Item = u32> {
    let most = most.max(first);
    std::iter::successors(Some(first), move |runs| (*runs < most).then(|| runs.saturating_mul(2).min(most)))
}

/// Whether more runs may decide what is undecided, and nothing else keeps the design from holding.
///
/// What is judged run by run and did not hold in all of them will not hold in more. What the end of a run left open is as
/// open in the next one, unless chance alone would leave it open, too.
#[must_use]
pub fn is_close(judged: &[Judged]) -> bool {
    let may_change = |judged: &Judged| match judged.verdict {
        Verdict::Holds => true,
        Verdict::Fails => false,
        Verdict::Undecided => {
            let by_chance = || judged.interval.is_some_and(|(low, high)| low < judged.limit && judged.limit < high);
            let worst = judged.path.last().is_some_and(|key| is_of_the_worst_run(key));
            !worst && (!judged.unfinished || by_chance())
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
            (vec![Judged { interval: Some((1.9, 2.1)), ..unfinished.clone() }], true),
            (vec![Judged { interval: Some((1.7, 1.9)), ..unfinished }], false),
            (vec![worst], false),
        ] {
            assert_eq!(is_close(&claims), expected, "{claims:?}");
        }
    }
}
