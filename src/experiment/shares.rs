//! Intervals of percentiles: the share of events that are not slower is a mean, and its interval is turned into times.
//!
//! Slow events come in bunches, so the percentile itself spreads unevenly: by chance it lies rather a little too low than
//! much too high. The share at the pooled percentile spreads evenly, and what its interval of, say, 98.8 % to 99.2 % means
//! in times is read off the pooled histogram (Woodruff, J. Am. Stat. Assoc. 47, 1952). Where the interval of the share
//! reaches 100 %, nothing is known of how late the percentile may be: its interval has no upper end.

use std::borrow::Cow;

use super::histograms::histogram;
use super::jackknife::{LEVEL, Measured, contributions};
use crate::plan::Plan;
use crate::stats::Histogram;
use crate::stats::confidence::{MeanInterval, student_t};
use crate::time::SimTime;

/// Times of all runs, and what is left of them without each group of runs.
pub(super) struct Shares<'a> {
    whole: Cow<'a, Histogram>,
    runs: f64,
    rests: Vec<(Cow<'a, Histogram>, f64)>,
}

impl<'a> Shares<'a> {
    /// The times behind the figures at a path; none where it is not about times.
    #[must_use]
    pub(super) fn of_rests(
        plan: &Plan,
        whole: &'a Measured,
        rests: &'a [Measured],
        path: &[&str],
        during: Option<(SimTime, SimTime)>,
    ) -> Option<Self> {
        let times = |part: &'a Measured| Some(histogram(plan, &part.pooled, path, during)?.0);
        let rests: Option<Vec<_>> = rests.iter().map(|rest| Some((times(rest)?, rest.runs()))).collect();
        Some(Self { whole: times(whole)?, runs: whole.runs(), rests: rests? })
    }

    /// Half the width of the interval, at a level of confidence, of the share of events that are not above the percentile of
    /// this share.
    #[must_use]
    pub(super) fn half(&self, share: f64, level: f64) -> Option<f64> {
        let value = self.whole.quantile(share);
        if self.rests.iter().any(|(rest, _)| rest.count() == 0) {
            return None;
        }
        let left: Vec<_> = self.rests.iter().map(|(rest, runs)| (rest.share_to(value), *runs)).collect();
        let parts = contributions(self.whole.share_to(value), self.runs, &left);
        Some(MeanInterval::of(&parts, level)?.half)
    }

    /// How many independent events beyond the percentile of this share would tell as much about it as those that there are:
    /// slow events come in bunches. None where they are the same in all runs.
    #[must_use]
    pub(super) fn independent(&self, share: f64) -> Option<f64> {
        let error = self.half(share, LEVEL)? / student_t(LEVEL, self.rests.len() as f64 - 1.0);
        (error > 0.0).then(|| share * ((1.0 - share) / error).powi(2))
    }

    /// The interval of the percentile of this share at a level of confidence, seconds.
    #[must_use]
    pub(super) fn interval(&self, share: f64, level: f64) -> Option<(f64, f64)> {
        Some(between(&self.whole, share, self.half(share, level)?))
    }
}

/// The times between which a percentile lies, seconds, given half the width of the interval of its share.
#[must_use]
pub(super) fn between(times: &Histogram, share: f64, half: f64) -> (f64, f64) {
    let seconds = |share: f64| times.quantile(share) as f64 / 1e9;
    let high = if share + half < 1.0 { seconds(share + half) } else { f64::INFINITY };
    (seconds((share - half).max(0.0)), high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Shares of runs, given their values: run i as all runs but it.
    fn shares(runs: &[Vec<u64>]) -> Shares<'static> {
        let without = |skipped: Option<usize>| {
            let mut times = Histogram::default();
            let kept = runs.iter().enumerate().filter(|(run, _)| Some(*run) != skipped);
            kept.flat_map(|(_, values)| values).for_each(|value| times.record(*value));
            Cow::Owned(times)
        };
        let left = runs.len() as f64 - 1.0;
        let rests = (0..runs.len()).map(|run| (without(Some(run)), left)).collect();
        Shares { whole: without(None), runs: runs.len() as f64, rests }
    }

    fn shares_of_independent_events(experiment: u64) -> Shares<'static> {
        let noise = Stream::named(experiment, "events");
        let event = |i: u64| noise.bits(i) % 1_000_000_000;
        let runs: Vec<Vec<u64>> = (0..10).map(|run| (0..1_000).map(|i| event(run * 1_000 + i)).collect()).collect();
        shares(&runs)
    }

    /// Independent events, of which the interval of a share is known: about t x sqrt(p (1 - p) / n).
    #[test]
    fn of_independent_events_the_share_spreads_as_it_should() {
        let mut found = 0.0;
        for experiment in 0..200_u64 {
            let shares = shares_of_independent_events(experiment);
            let half = shares.half(0.9, LEVEL).expect("ten runs");
            found += (half / 2.262_157).powi(2);
            let (low, high) = shares.interval(0.9, LEVEL).expect("ten runs");
            assert!((low - (0.9 - half)).abs() < 0.01 && (high - (0.9 + half)).abs() < 0.01, "{low} {high} {half}");
        }
        let independent = shares_of_independent_events(7).independent(0.9).expect("ten runs");
        assert!((300.0..3_000.0).contains(&independent), "1,000 events are beyond p90: {independent}");
        let expected = 0.9 * 0.1 / 10_000.0;
        assert!((found / 200.0 / expected - 1.0).abs() < 0.1, "{found}");
    }

    #[test]
    fn what_is_the_same_in_all_runs_has_no_width_and_what_rests_on_nothing_no_interval() {
        let same: Vec<u64> = (1..=100).map(|i| i * 1_000_000).collect();
        let (low, high) = shares(&vec![same; 5]).interval(0.9, LEVEL).expect("five runs");
        assert!((low / 0.09 - 1.0).abs() < 1.0 / 512.0 && (high - low).abs() < 1e-12, "{low} {high}");
        // One of five runs has all the slow events.
        let mut runs = vec![vec![1_000_000; 100]; 5];
        runs[2] = vec![5_000_000; 100];
        let (low, high) = shares(&runs).interval(0.9, LEVEL).expect("five runs");
        assert!((low / 0.001 - 1.0).abs() < 1.0 / 512.0 && high.is_infinite(), "{low} {high}");
        assert_eq!(shares(&[vec![1], Vec::new()]).interval(0.5, LEVEL), None);
    }
}
