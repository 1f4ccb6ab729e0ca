//! As many runs as it takes until figures are known as exactly as asked for.
//!
//! The rule: there are as many runs as the plan says, but not fewer than ten, because the width of an interval of fewer is
//! itself left to chance. Then, as long as some interval is too wide, there are as many as would do if the figures spread on
//! as they do so far, which is a quarter more at least and twice as many at most. So there are few looks, and those at which
//! it may end are about where it should end: stopping at an interval that is narrow by luck hardly ever happens.
//! It ends before that where the limit would not do by far.

use super::jackknife::{GROUPS, LEVEL};
use super::{Experiment, Failure, Request, Runs, Watch, warm_up};
use crate::metrics::{is_of_the_worst_run, most_of};
use crate::plan::Plan;
use crate::stats::confidence::Spread;
use crate::summary::{Precise, Precision, Swept, Width};

/// Runs with which it begins at least.
const FEWEST: u32 = 10;

/// How exactly figures are to be known.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// Half-width of the 95 % interval, as a share of the figure.
    pub width: f64,
    /// Which figures; none: those of the plan's expectations.
    pub metrics: Vec<Swept>,
    /// Most runs.
    pub most: u32,
}

/// Runs a plan until figures are known as exactly as asked for, or the limit would not do.
///
/// # Errors
/// [`Failure`]: a run without an outcome, no run finished, or no threads.
pub fn run_to(
    plan: &Plan,
    request: &Request,
    aim: &Aim,
    watch: &dyn Watch,
) -> Result<(Experiment, Precision), Failure> {
    let plan = warm_up::settle(plan, request, watch)?;
    let mut runs = Runs::new(&plan, request);
    let mut to = first(request.runs_of(&plan), aim);
    loop {
        watch.asked(to);
        let complete = runs.extend(to, watch)?;
        let found = runs.found(to)?;
        let precision = aim.look(&figures(&found, aim), runs.count(), found.rests.len());
        match next(&precision).filter(|_| complete) {
            Some(more) => to = more,
            None => return Ok((found, precision)),
        }
    }
}

/// A figure with its interval; none where it never has one.
pub(super) struct Figure {
    pub(super) name: String,
    /// What the interval is held against.
    pub(super) size: f64,
    pub(super) interval: Option<(f64, f64)>,
    /// What the interval is about.
    pub(super) value: f64,
    /// The most that it can be.
    pub(super) most: f64,
}

impl Aim {
    /// How exactly figures of so many runs, told apart in so many groups, are known.
    pub(super) fn look(&self, figures: &[Figure], runs: u32, groups: usize) -> Precision {
        let known: Vec<(Precise, Option<u64>)> =
            figures.iter().map(|figure| self.width(figure, runs, groups)).collect();
        let open = known.iter().filter(|(precise, _)| !precise.is_within(self.width));
        let needed =
            open.map(|(_, needed)| *needed).collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
        let figures = known.into_iter().map(|(precise, _)| precise).collect();
        Precision { aim: self.width, figures, runs, most: self.most, needed }
    }

    fn width(&self, figure: &Figure, runs: u32, groups: usize) -> (Precise, Option<u64>) {
        let named = |width| Precise { name: figure.name.clone(), width };
        let Some((low, high)) = figure.interval else { return (named(Width::Never), None) };
        if high.is_infinite() {
            return (named(Width::Open), None);
        }
        // An interval that ends where the figure cannot be beyond is cut off there.
        let cut = low <= 0.0 || high >= figure.most;
        let half = if cut { (figure.value - low).max(high - figure.value) } else { (high - low) / 2.0 };
        let share = if half > 0.0 { half / figure.size.abs() } else { 0.0 };
        let spread = Spread::from_half(half, (u64::from(runs), groups as u64), GROUPS as u64, LEVEL);
        let needed = spread.and_then(|spread| spread.runs_for(self.width * figure.size.abs(), LEVEL));
        (named(Width::Share(share)), needed)
    }
}

/// The number of runs at the first look.
pub(super) fn first(asked: u32, aim: &Aim) -> u32 {
    asked.max(FEWEST).min(aim.most).max(1)
}

/// The number of runs at the next look; none where there is nothing more to do.
pub(super) fn next(precision: &Precision) -> Option<u32> {
    let (runs, most) = (u64::from(precision.runs), u64::from(precision.most));
    // As long as nobody can tell, there is hope.
    let needed = precision.needed.unwrap_or(2 * runs);
    if precision.is_reached() || runs >= most || needed > 2 * most {
        return None;
    }
    let to = needed.clamp((runs + runs.div_ceil(4)).min(2 * runs), 2 * runs).min(most);
    u32::try_from(to).ok()
}

/// The figures that the aim is about.
fn figures(found: &Experiment, aim: &Aim) -> Vec<Figure> {
    let summary = &found.summary;
    if aim.metrics.is_empty() {
        let of = |judged: &crate::summary::Judged| Figure {
            name: judged.text.clone(),
            size: judged.value.unwrap_or(0.0),
            interval: judged.interval,
            value: judged.value.unwrap_or(0.0),
            most: judged.path.last().map_or(f64::INFINITY, |key| most_of(key)),
        };
        return summary.expectations.iter().map(of).collect();
    }
    let of = |metric: &Swept| {
        let keys: Vec<&str> = metric.path.iter().map(String::as_str).collect();
        let most = keys.last().map_or(f64::INFINITY, |key| most_of(key));
        let never = keys.last().is_some_and(|key| is_of_the_worst_run(key));
        let value = summary.number(&keys);
        let interval = summary.interval(&keys).filter(|_| !never && value.is_some());
        Figure { name: metric.name(), size: value.unwrap_or(0.0), interval, value: value.unwrap_or(0.0), most }
    };
    aim.metrics.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim(width: f64, most: u32) -> Aim {
        Aim { width, metrics: Vec::new(), most }
    }

    fn figure(value: f64, interval: Option<(f64, f64)>) -> Figure {
        Figure { name: "email.latency.p99".into(), size: value, interval, value, most: f64::INFINITY }
    }

    #[test]
    fn runs_are_added_in_steps_until_the_interval_is_narrow() {
        let steps = |relative: f64, most: u32| {
            // An interval that narrows as intervals do.
            let spread = Spread::from_half(relative, (10, 10), 32, LEVEL).expect("ten runs");
            let aim = aim(0.02, most);
            let mut steps = vec![first(10, &aim)];
            while let Some(to) = steps.last().and_then(|runs| {
                let half = spread.half(u64::from(*runs), LEVEL);
                next(&aim.look(&[figure(1.0, Some((1.0 - half, 1.0 + half)))], *runs, (*runs as usize).min(32)))
            }) {
                steps.push(to);
            }
            steps
        };
        assert_eq!(steps(0.019, 1_000), [10]);
        assert_eq!(steps(0.021, 1_000), [10, 13], "a quarter more at least");
        assert_eq!(steps(0.05, 1_000), [10, 20, 40, 51], "twice as many at most");
        assert_eq!(steps(0.05, 45), [10, 20, 40, 45], "up to the limit");
        assert_eq!(steps(0.2, 45), [10], "the limit would not do by far");
    }

    #[test]
    fn what_has_no_interval_does_not_hold_back_and_what_is_open_does() {
        let aim = aim(0.02, 1_000);
        let look = |figures: &[Figure]| aim.look(figures, 10, 10);
        let never = look(&[figure(5.0, None)]);
        assert_eq!((never.is_reached(), next(&never)), (true, None));
        let open = look(&[figure(5.0, Some((4.0, f64::INFINITY))), figure(1.0, Some((0.9, 1.1)))]);
        assert_eq!((open.is_reached(), open.needed, next(&open)), (false, None, Some(20)));
        let nothing = look(&[figure(0.0, Some((0.0, 0.0)))]);
        assert!(nothing.is_reached(), "no losses in any run are known exactly");
        let cut = look(&[figure(0.5, Some((0.0, 2.0)))]);
        assert_eq!(cut.figures[0].width, Width::Share(3.0), "cut off at 0");
        let cut = look(&[Figure { most: 1.0, ..figure(0.8, Some((0.4, 1.0))) }]);
        assert_eq!(cut.figures[0].width, Width::Share(0.5), "a share, cut off at 1");
    }

    #[test]
    fn the_fewest_runs_are_ten_unless_there_may_not_be_so_many() {
        assert_eq!(first(3, &aim(0.1, 1_000)), 10);
        assert_eq!(first(30, &aim(0.1, 1_000)), 30);
        assert_eq!(first(3, &aim(0.1, 5)), 5);
    }
}
