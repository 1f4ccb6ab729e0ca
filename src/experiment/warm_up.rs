//! How long things take to come to rest: found in runs of their own for `warm_up: auto`, and looked after where it is stated.
//!
//! Times are taken as a series over the run, the mean of what began in each step of it, pooled over all runs; MSER-5 says
//! where to cut it (see [`transient`]). Faults and changes are no warm-up, and neither is load that has a course of its own:
//! runs that look for a warm-up go without the first two, and a plan with the last has none to find.

use std::borrow::Cow;

use super::pool::Pooled;
use super::{Failure, Request, Runs, Watch};
use crate::outcome::Outcome;
use crate::plan::{FoundWarmUp, Plan, WarmUp};
use crate::random::Stream;
use crate::stats::{Course, STEPS, transient};
use crate::summary::Warning;
use crate::time::{SimSpan, SimTime};
use crate::units::{show_seconds, show_share};

/// Runs from which a warm-up is found.
const PILOTS: u32 = 5;
/// Steps in a batch: the five of MSER-5.
const BATCH: usize = 5;
/// A start that moves a mean by less than this share is not worth a warning.
const BIAS: f64 = 0.02;
/// MSER cuts where what is left of a start is as large as the noise; so much later little is. (Of queues with a load of 0.9
/// that begin empty its cut leaves 40 % of the bias, twice as long a one 20 to 30 %.)
const LONGER: usize = 2;
/// Fewer batches than this show nothing.
const FEWEST: usize = 40;

/// A plan whose warm-up is known: the plan itself, unless it has to be found.
///
/// # Errors
/// [`Failure`] of a run.
pub(super) fn settle<'p>(plan: &'p Plan, request: &Request, watch: &dyn Watch) -> Result<Cow<'p, Plan>, Failure> {
    if plan.warm_up_from != WarmUp::Wanted {
        return Ok(Cow::Borrowed(plan));
    }
    let (warm_up, found) = find(plan, request, watch)?;
    Ok(Cow::Owned(Plan { warm_up, warm_up_from: WarmUp::Found(found), ..plan.clone() }))
}

/// Plans that are compared, each with its warm-up: one that has to be found is the longest of all that were, or are stated.
///
/// # Errors
/// [`Failure`] of a run, with the number of the plan.
pub(super) fn settle_all(
    plans: Vec<Plan>,
    request: &Request,
    watch: &dyn Watch,
) -> Result<Vec<Plan>, (usize, Failure)> {
    let one = |(at, plan): (usize, &Plan)| settle(plan, request, watch).map(Cow::into_owned).map_err(|why| (at, why));
    let mut plans = plans.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    let longest = plans.iter().map(|plan| plan.warm_up).max().unwrap_or_default();
    for plan in plans.iter_mut().filter(|plan| plan.warm_up_from != WarmUp::Stated) {
        plan.warm_up = longest.min(SimSpan(plan.duration.0 / 2));
    }
    Ok(plans)
}

fn find(plan: &Plan, request: &Request, watch: &dyn Watch) -> Result<(SimSpan, FoundWarmUp), Failure> {
    let pilot = Plan {
        seed: Stream::named(plan.seed, "pilots").bits(0),
        replications: PILOTS,
        warm_up: SimSpan::ZERO,
        warm_up_from: WarmUp::Stated,
        faults: Vec::new(),
        changes: Vec::new(),
        expectations: Vec::new(),
        ..plan.clone()
    };
    let request = Request { replications: PILOTS, trace: false, ..request.clone() };
    let mut runs = Runs::new(&pilot, &request);
    if !runs.extend(PILOTS, &Quiet(watch))? {
        return Err(Failure::Interrupted);
    }
    let seen = runs.found(PILOTS)?.pooled.outcome;
    let mut found = FoundWarmUp { pilots: PILOTS, longest: None, restless: Vec::new() };
    let mut longest = SimSpan::ZERO;
    for (name, course) in courses(&pilot, &seen) {
        match Transient::of(course, SimTime(pilot.duration.0)) {
            None => {}
            Some(transient) if transient.rises => found.restless.push(name),
            Some(transient) if transient.cut > longest => (longest, found.longest) = (transient.cut, Some(name)),
            Some(_) => {}
        }
    }
    Ok((round_up(longest), found))
}

/// Passes on only that it shall stop.
struct Quiet<'w>(&'w dyn Watch);

impl Watch for Quiet<'_> {
    fn reached(&self, _share: f64, _done: u32) -> bool {
        self.0.reached(0.0, 0)
    }
}

/// Times over the course of a run, with the paths of their figures.
fn courses<'a>(plan: &'a Plan, seen: &'a Outcome) -> impl Iterator<Item = (String, &'a Course)> {
    let consumers = plan.consumers.iter().zip(&seen.consumers);
    let services = plan.services.iter().zip(&seen.services).filter(|(policy, _)| policy.arrivals.is_some());
    let consumers = consumers.map(|(policy, seen)| (format!("consumers.{}.latency", policy.name), &seen.course));
    consumers.chain(services.map(|(policy, seen)| (format!("services.{}.response", policy.name), &seen.course)))
}

/// Times that have not come to rest when measurement begins, or do not at all.
#[must_use]
pub(super) fn warnings(plan: &Plan, pooled: &Pooled) -> Vec<Warning> {
    let Some(until) = plan.quiet_until().filter(|_| pooled.stopped == 0) else { return Vec::new() };
    let of = |(path, course): (String, &Course)| {
        let about = path.rsplit_once('.').map_or("experiment", |(thing, _)| thing).to_owned();
        let found = Transient::of(course, until)?;
        let text = match found.bias {
            _ if found.rises => {
                "It does not come to rest: its times grow from the beginning of the run to its end. All its \
                                 figures depend on how long the run is."
                    .into()
            }
            Some(bias) if bias.abs() >= BIAS => format!(
                "The warm-up is too short: its mean time is {} {} because of the first {} that are measured. \
                 `warm_up: auto` finds out how long it takes.",
                show_share(bias.abs()),
                if bias > 0.0 { "longer" } else { "shorter" },
                show_seconds(round_up(found.cut).seconds()),
            ),
            _ => return None,
        };
        Some(Warning { code: "W011", about, text })
    };
    courses(plan, &pooled.outcome).filter_map(of).collect()
}

/// What the beginning of a course does to its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transient {
    /// Where to cut it, from its beginning.
    cut: SimSpan,
    /// By which share of the mean of the rest the mean of all lies off, if by more than chance.
    bias: Option<f64>,
    /// It rises from beginning to end, and does not come to rest.
    rises: bool,
}

impl Transient {
    /// What a course shows until a time; none where that is too little.
    fn of(course: &Course, until: SimTime) -> Option<Self> {
        let width = course.step() * BATCH as u64;
        let batches = until.0.saturating_sub(course.from()).checked_div(width)?;
        let batches = usize::try_from(batches).ok()?.min(STEPS / BATCH);
        // Where nothing began there is nothing to see.
        let means: Vec<(u64, f64)> = (0..)
            .zip(course.sums(BATCH).into_iter().take(batches))
            .filter_map(|(batch, sum)| Some((batch, sum.mean()?)))
            .collect();
        let series: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
        if series.len() < FEWEST {
            return None;
        }
        let (at, rests) = transient::cut(&series);
        let at = (LONGER * at).min(series.len() / 2);
        Some(Self {
            cut: SimSpan(if at == 0 { 0 } else { means[at].0 * width }),
            bias: transient::bias(&series, at),
            rises: !rests && transient::rises(&series),
        })
    }
}

/// Up to the next length of two digits: of a figure that is left to chance, more say nothing.
fn round_up(span: SimSpan) -> SimSpan {
    let mut unit = 1;
    while span.0 / unit >= 100 {
        unit *= 10;
    }
    SimSpan(span.0.div_ceil(unit) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_digits() {
        for (span, rounded) in [(0, 0), (7, 7), (99, 99), (101, 110), (12_345, 13_000), (99_001, 100_000)] {
            assert_eq!(round_up(SimSpan(span)), SimSpan(rounded), "{span}");
        }
    }

    /// Values that fade from 11 to 1 within a tenth of the run, one in each step.
    #[test]
    fn a_course_is_cut_where_its_start_has_faded() {
        let mut course = Course::over(1_000, 961_000, false);
        let value = |step: u64| 1_000_000 + if step < 96 { 10_000_000 / 96 * (96 - step) } else { step % 7 };
        (0..960).for_each(|step| course.note(1_000 + step * 1_000, value(step)));
        let found = Transient::of(&course, SimTime(961_000)).expect("enough");
        assert!((180_000..=240_000).contains(&found.cut.0) && !found.rises, "{found:?}");
        assert!(found.bias.is_some_and(|bias| (bias - 0.5).abs() < 0.1), "{found:?}");
        // Only what lies before a fault counts, and it may be too little.
        assert!(Transient::of(&course, SimTime(400_000)).is_some());
        assert_eq!(Transient::of(&course, SimTime(100_000)), None);
        let mut later = Course::over(101_000, 961_000, false);
        (0..960).for_each(|step| later.note(101_000 + step * 896, value(100 + step)));
        assert_eq!(Transient::of(&later, SimTime(961_000)).expect("enough").bias, None);
    }
}
