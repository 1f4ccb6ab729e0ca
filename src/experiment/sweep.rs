//! A grid of plans, all points and all their replications in one pool of threads.
//!
//! Every point has the same seeds, so that neighbours differ by what is varied and not by chance. A point is a plan of its
//! own and its figures depend on nothing else: neither the order of points nor the threads nor what was known before can
//! change them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rayon::prelude::*;
use serde_json::Value;

use super::compare::drain_times;
use super::jackknife::LEVEL;
use super::measure::nine_decimals;
use super::{Experiment, Failure, Request, Runs, Watch, warm_up};
use crate::metrics::is_of_the_worst_run;
use crate::plan::Plan;
use crate::stats::confidence::MeanInterval;
use crate::summary::{Point, Reading, Swept, Verdict};
use crate::units;

/// The part of the way from the lowest to the highest value by which a knee lies off the straight line.
const BEND: f64 = 0.1;

/// Where points come from, and where they go when they are finished. Called from several threads.
pub trait Grid: Sync {
    /// The plan of a point; asked for once, when its turn has come.
    fn plan(&self, point: usize) -> Plan;
    /// A point is finished. Returns false to stop.
    fn finished(&self, point: usize, found: &Point) -> bool;
}

/// A sweep that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The lowest point that has no result.
    pub point: usize,
    /// Why.
    pub failure: Failure,
}

/// Simulates points of a grid, in any order; those found come in the order asked for.
///
/// # Errors
/// [`Lost`]: some point has no result. What was finished has been handed to the grid.
pub fn sweep(
    grid: &dyn Grid,
    points: &[usize],
    metrics: &[Swept],
    request: &Request,
    watch: &dyn Watch,
) -> Result<Vec<Point>, Lost> {
    let jobs = if request.jobs == 0 { rayon::current_num_threads() } else { request.jobs };
    let lost = |point| move |failure| Lost { point, failure };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
    let threads = threads.map_err(|error| lost(0)(Failure::Threads(error.to_string())))?;
    let pool = Pool {
        grid,
        metrics,
        request,
        watch,
        jobs,
        points: points.len(),
        begun: AtomicU32::new(0),
        simulated: AtomicU64::new(0),
        done: AtomicU32::new(0),
        stopped: AtomicBool::new(false),
    };
    let found: Vec<Result<Point, Lost>> = threads
        .install(|| points.par_iter().with_max_len(1).map(|point| pool.point(*point).map_err(lost(*point))).collect());
    // An interruption loses many points; a run that fails is what to tell of.
    let failed = found.iter().filter_map(|result| result.as_ref().err());
    let worst = failed.min_by_key(|lost| (lost.failure == Failure::Interrupted, lost.point)).cloned();
    worst.map_or_else(|| found.into_iter().collect(), Err)
}

/// What the threads share.
struct Pool<'a> {
    grid: &'a dyn Grid,
    metrics: &'a [Swept],
    request: &'a Request,
    watch: &'a dyn Watch,
    jobs: usize,
    points: usize,
    /// Points begun.
    begun: AtomicU32,
    /// Millionths of points simulated.
    simulated: AtomicU64,
    /// Runs finished.
    done: AtomicU32,
    stopped: AtomicBool,
}

impl Pool<'_> {
    fn point(&self, point: usize) -> Result<Point, Failure> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        let plan = self.grid.plan(point);
        let begun = self.begun.fetch_add(1, Ordering::Relaxed) as usize + 1;
        // As long as there are points enough, each has one thread; the last ones share theirs.
        let helpers = if self.points - begun < self.jobs { self.jobs - 1 } else { 0 };
        let asked = self.request.runs_of(&plan);
        let part = Part { pool: self, share: AtomicU64::new(0), done: AtomicU32::new(0) };
        let alone = Request { jobs: 1, ..self.request.clone() };
        let plan = warm_up::settle(&plan, &alone, &part)?;
        let mut runs = Runs::new(&plan, self.request);
        let complete = runs.with_crew(asked, helpers + 1, &part, |crew| {
            rayon::scope(|scope| {
                for _ in 0..helpers {
                    scope.spawn(|_| crew.work());
                }
                crew.work();
            });
            Ok(())
        })?;
        if !complete {
            return Err(Failure::Interrupted);
        }
        let found = reduce(&runs.found(asked)?, self.metrics);
        if !self.grid.finished(point, &found) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }
}

/// The progress of one point as its part of the whole.
struct Part<'p, 'a> {
    pool: &'p Pool<'a>,
    /// Millionths of the point simulated.
    share: AtomicU64,
    done: AtomicU32,
}

impl Watch for Part<'_, '_> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share in millionths")]
    fn reached(&self, share: f64, done: u32) -> bool {
        let millionths = (share.clamp(0.0, 1.0) * 1e6) as u64;
        let further = millionths.saturating_sub(self.share.fetch_max(millionths, Ordering::Relaxed));
        let all = self.pool.simulated.fetch_add(further, Ordering::Relaxed) + further;
        let more = done.saturating_sub(self.done.fetch_max(done, Ordering::Relaxed));
        let runs = self.pool.done.fetch_add(more, Ordering::Relaxed) + more;
        let whole = all as f64 * 1e-6 / self.pool.points as f64;
        if !self.pool.watch.reached(whole.min(1.0), runs) {
            self.pool.stopped.store(true, Ordering::Relaxed);
        }
        !self.pool.stopped.load(Ordering::Relaxed)
    }
}

/// What a sweep keeps of an experiment.
fn reduce(found: &Experiment, metrics: &[Swept]) -> Point {
    let summary = &found.summary;
    let verdict = Verdict::of_all(summary.expectations.iter().map(|judged| judged.verdict));
    let mut warnings: Vec<String> = summary.warnings.iter().map(|warning| warning.code.to_owned()).collect();
    warnings.sort();
    warnings.dedup();
    Point { readings: metrics.iter().map(|metric| read(found, metric)).collect(), verdict, warnings }
}

fn read(found: &Experiment, metric: &Swept) -> Option<Reading> {
    let keys: Vec<&str> = metric.path.iter().map(String::as_str).collect();
    if is_of_the_worst_run(keys.last()?) {
        let runs = match keys.as_slice() {
            [.., "drain_time"] => drain_times(found, &keys)?,
            _ => found.runs.values(&keys)?.to_vec(),
        };
        let mean = runs.iter().sum::<f64>() / runs.len() as f64;
        let interval = MeanInterval::of(&runs, LEVEL).map(|interval| (interval.low().max(0.0), interval.high()));
        return Some(reading(mean, interval)).filter(|reading| reading.value.is_finite());
    }
    let node = keys.iter().try_fold(&found.summary.metrics, |node, key| node.get(*key))?;
    let runs = if node.is_u64() { f64::from(found.summary.replications) } else { 1.0 };
    let interval = found.summary.interval(&keys).map(|(low, high)| (low / runs, high / runs));
    Some(reading(Value::as_f64(node)? / runs, interval))
}

fn reading(value: f64, interval: Option<(f64, f64)>) -> Reading {
    let interval = interval.map(|(low, high)| (nine_decimals(low), nine_decimals(high)));
    Reading { value: nine_decimals(value), interval }
}

/// Values as written, as numbers in a common unit, where all are of one kind.
#[must_use]
pub fn numbers(values: &[String]) -> Option<Vec<f64>> {
    let kinds: [fn(&str) -> Option<f64>; 7] = [
        |text| units::parse_number(text).ok(),
        |text| units::parse_count(text).ok().map(|count| count as f64),
        |text| units::parse_duration(text).ok().map(|span| span.seconds()),
        |text| units::parse_rate(text).ok(),
        |text| units::parse_size(text).ok().map(|bytes| bytes as f64),
        |text| units::parse_share(text).ok(),
        |text| units::parse_factor(text).ok(),
    ];
    kinds.iter().find_map(|kind| values.iter().map(|value| kind(value)).collect::<Option<Vec<f64>>>())
}

/// The same where they rise or fall throughout.
#[must_use]
pub fn positions(values: &[String]) -> Option<Vec<f64>> {
    let numbers = numbers(values)?;
    let rises = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let falls = numbers.windows(2).all(|pair| pair[0] > pair[1]);
    (rises || falls).then_some(numbers)
}

/// Where the growth of a metric bends: the point that lies farthest from the straight line between the first and the last,
/// with both axes scaled to 0 to 1. There is a knee if that is at least a tenth of the way from the lowest to the highest
/// value, and more than half the point's own interval. So a straight line has none, noise has none, and what bends both
/// ways has the sharper bend. What rises and falls again has none either: the top of a hump is no bend on the way to
/// somewhere (Satopää and others, Finding a "Kneedle" in a Haystack, ICDCS workshops 2011, ask for the same).
#[must_use]
pub fn knee(positions: &[f64], readings: &[Option<Reading>]) -> Option<usize> {
    let known: Vec<(usize, f64, Reading)> = readings
        .iter()
        .zip(positions)
        .enumerate()
        .filter_map(|(i, (reading, at))| Some((i, *at, (*reading)?)))
        .collect();
    let ((_, from, first), (_, to, last)) = (known.first()?, known.last()?);
    let values = || known.iter().map(|(.., reading)| reading.value);
    let height = values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min);
    let off = |at: f64, value: f64| {
        let straight = first.value + (last.value - first.value) * (at - from) / (to - from);
        (value - straight).abs()
    };
    if turns(&known.iter().map(|(.., reading)| *reading).collect::<Vec<_>>(), BEND * height) {
        return None;
    }
    let mut best: Option<(usize, f64)> = None;
    for (index, at, reading) in &known {
        let (off, half) = (off(*at, reading.value), half(reading));
        if off >= BEND * height && off > half && best.is_none_or(|(_, most)| off > most) {
            best = Some((*index, off));
        }
    }
    best.map(|(index, _)| index).filter(|_| height > 0.0)
}

/// Half the width of a reading's interval. Where that has no upper end the lower side tells how wide it is.
fn half(reading: &Reading) -> f64 {
    let half = |(low, high): (f64, f64)| if high.is_finite() { (high - low) / 2.0 } else { reading.value - low };
    reading.interval.map_or(0.0, half)
}

/// Whether values go back on their way from the first to the last, by more than `least` and more than both intervals.
fn turns(readings: &[Reading], least: f64) -> bool {
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return false };
    let sign = if last.value >= first.value { 1.0 } else { -1.0 };
    let mut furthest = *first;
    readings.iter().any(|reading| {
        let back = (furthest.value - reading.value) * sign;
        if back < 0.0 {
            furthest = *reading;
        }
        back > least && back > half(&furthest) + half(reading)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(values: &[f64], half: f64) -> Vec<Option<Reading>> {
        values
            .iter()
            .map(|value| Some(Reading { value: *value, interval: Some((value - half, value + half)) }))
            .collect()
    }

    fn knee_of(values: &[f64], half: f64) -> Option<usize> {
        let positions: Vec<f64> = (0..values.len()).map(|i| i as f64).collect();
        knee(&positions, &readings(values, half))
    }

    #[test]
    fn an_interval_without_an_upper_end_is_as_wide_as_its_lower_side() {
        let mut bent = readings(&[1.0, 1.0, 1.0, 5.0], 0.5);
        bent[2].as_mut().expect("a reading").interval = Some((0.5, f64::INFINITY));
        let positions = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(knee(&positions, &bent), Some(2));
        bent[2].as_mut().expect("a reading").interval = Some((-4.0, f64::INFINITY));
        assert_eq!(knee(&positions, &bent), Some(1));
    }

    #[test]
    fn a_knee_is_where_growth_bends() {
        assert_eq!(knee_of(&[1.0, 1.0, 1.1, 1.2, 9.0, 20.0], 0.1), Some(3), "a queue that overflows");
        assert_eq!(knee_of(&[20.0, 9.0, 1.2, 1.1, 1.0, 1.0], 0.1), Some(2), "members that help, then do not");
        assert_eq!(knee_of(&[1.0, 5.0, 9.0, 9.5, 9.6, 9.7], 0.1), Some(2), "a throughput that saturates");
        assert_eq!(knee_of(&[1.0, 2.0, 3.0, 4.1, 5.0], 0.1), None, "a straight line");
        assert_eq!(knee_of(&[1.0, 1.0, 1.1, 1.2, 9.0, 20.0], 30.0), None, "less than the intervals tell");
        assert_eq!(knee_of(&[3.0, 3.0, 3.0], 0.0), None, "nothing happens");
        assert_eq!(knee_of(&[1.0, 5.0, 9.0, 5.0, 1.5], 0.1), None, "the top of a hump");
        assert_eq!(knee_of(&[9.0, 3.0, 1.0, 4.0, 8.0], 0.1), None, "the bottom of a valley");
        assert_eq!(knee_of(&[1.0, 1.2, 0.9, 1.1, 9.0, 20.0], 0.3), Some(3), "noise is no turn");
        assert_eq!(knee_of(&[1.0, 7.0], 0.0), None, "two points are a line");
        assert_eq!(knee_of(&[], 0.0), None);
    }

    #[test]
    fn values_become_numbers_in_a_common_unit() {
        let of = |values: &[&str]| positions(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["1", "2", "16"]), Some(vec![1.0, 2.0, 16.0]));
        assert_eq!(of(&["500ms", "1s"]), Some(vec![0.5, 1.0]));
        assert_eq!(of(&["100/s", "1k/s"]), Some(vec![100.0, 1000.0]));
        assert_eq!(of(&["key", "none"]), None);
        assert_eq!(of(&["1", "3", "2"]), None, "neither rising nor falling");
        assert_eq!(of(&["1s", "2"]), None);
    }
}
