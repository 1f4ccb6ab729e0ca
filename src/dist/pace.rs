//! How fast an arrival process runs, as a function of virtual time: stretches on which the rate is linear.
//!
//! Every process but a list of times is one sequence of gaps (in arrivals, or in ns of the process's own clock) laid
//! over one such function: an arrival falls where the integral of the rate has grown by the next gap. A burst multiplies
//! the rate over an interval; the function itself (the hour of a daily curve, the state of a modulated process) stays
//! on virtual time.

use std::sync::Arc;

use crate::dist::block::to_whole;
use crate::dist::{About, Dist, MOST};
use crate::random::Stream;
use crate::time::{SimSpan, SimTime};

/// The rate, per second, over a stretch of virtual time (ns).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Rate at `from`.
    pub(super) start: f64,
    /// Rate at `to`.
    pub(super) end: f64,
}

impl Segment {
    pub(super) fn steady(from: u64, to: u64, rate: f64) -> Self {
        Self { from, to, start: rate, end: rate }
    }

    #[expect(clippy::float_cmp, reason = "a steady rate is one number twice")]
    pub(super) fn is_steady(&self) -> bool {
        self.start == self.end
    }

    /// Growth of the rate per second.
    pub(super) fn slope(&self) -> f64 {
        if self.is_steady() { 0.0 } else { (self.end - self.start) * 1e9 / (self.to - self.from) as f64 }
    }

    /// The rate `after` seconds from the start.
    pub(super) fn rate(&self, after: f64) -> f64 {
        (self.start + self.slope() * after).max(0.0)
    }

    /// The stretch between two instants inside, at `factor` times the rate.
    fn part(&self, from: u64, to: u64, factor: f64) -> Self {
        let at = |time: u64| match time {
            time if time == self.to => self.end,
            time => self.rate((time - self.from) as f64 * 1e-9),
        };
        if self.is_steady() {
            return Self::steady(from, to, factor * self.start);
        }
        Self { from, to, start: factor * at(from), end: factor * at(to) }
    }

    /// The integral of the rate.
    pub(super) fn integral(&self) -> f64 {
        0.5 * (self.start + self.end) * (self.to - self.from) as f64 * 1e-9
    }
}

/// A rate before bursts.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// The same for ever.
    Steady(f64),
    /// Stretches one after the other, again and again with a period (ns), else once.
    Table { segments: Arc<[Segment]>, period: Option<u64>, next: u64 },
    /// Rates that take turns, each for a stay that is drawn.
    Turns { rates: Arc<[f64]>, stays: Arc<[Dist]>, stream: Stream, first: u64, next: u64 },
}

impl Shape {
    /// The stretches of a curve: linear between points, the last rate for ever or, with a period, back to the first.
    pub(super) fn curve(points: &[(SimTime, f64)], repeat: Option<SimSpan>) -> Self {
        let mut nodes: Vec<(u64, f64)> = points.iter().map(|(at, rate)| (at.0, *rate)).collect();
        let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
        let (before, end) = match repeat {
            None => (first.1, (u64::MAX, last.1)),
            Some(SimSpan(period)) => {
                let width = (period - last.0 + first.0) as f64;
                let share = if width > 0.0 { (period - last.0) as f64 / width } else { 0.0 };
                let seam = last.1 + share * (first.1 - last.1);
                (seam, (period, if period > last.0 { seam } else { last.1 }))
            }
        };
        nodes.insert(0, (0, before));
        nodes.push(end);
        let segments = nodes.windows(2).filter(|pair| pair[1].0 > pair[0].0).map(|pair| Segment {
            from: pair[0].0,
            to: pair[1].0,
            start: pair[0].1,
            end: pair[1].1,
        });
        Self::table(segments.collect(), repeat)
    }

    /// So many arrivals in each interval (ns, not necessarily whole).
    pub(super) fn counts(counts: impl Iterator<Item = f64>, interval: f64, repeat: Option<SimSpan>) -> Self {
        let mut segments = Vec::new();
        let mut from = 0;
        for (at, count) in counts.enumerate() {
            let to = to_whole((at as f64 + 1.0) * interval);
            segments.push(Segment::steady(from, to, count * 1e9 / interval));
            from = to;
        }
        segments.extend(repeat.filter(|period| period.0 > from).map(|period| Segment::steady(from, period.0, 0.0)));
        Self::table(segments, repeat)
    }

    fn table(segments: Vec<Segment>, repeat: Option<SimSpan>) -> Self {
        Self::Table { segments: segments.into(), period: repeat.map(|period| period.0), next: 0 }
    }

    /// The next stretch, which begins at `from`; none when there is never an arrival again.
    pub(super) fn next(&mut self, from: u64) -> Option<Segment> {
        if from >= MOST || self.is_dead() {
            return None;
        }
        match self {
            Self::Steady(rate) => Some(Segment::steady(from, u64::MAX, *rate)),
            Self::Table { segments, period, next } => {
                let (round, at) = (*next / segments.len() as u64, super::wrapped(*next, segments.len()));
                let base = if round == 0 { 0 } else { round.checked_mul((*period)?)? };
                *next += 1;
                let Segment { from, to, start, end } = segments[at];
                Some(Segment { from: base + from, to: base.saturating_add(to), start, end })
            }
            Self::Turns { rates, stays, stream, first, next } => {
                let at = super::wrapped(*first + *next, rates.len());
                *next += 1;
                let about = About { index: *next, stream: *stream, ..About::default() };
                let stay = stays[at].whole(&mut stream.at(*next), about).max(1);
                Some(Segment::steady(from, from.saturating_add(stay), rates[at]))
            }
        }
    }

    /// Whether there is never an arrival, so that a search for one would not end.
    fn is_dead(&self) -> bool {
        match self {
            Self::Steady(rate) => *rate <= 0.0,
            Self::Table { segments, next, .. } => {
                *next % segments.len() as u64 == 0 && segments.iter().all(|segment| segment.integral() <= 0.0)
            }
            Self::Turns { rates, .. } => rates.iter().all(|rate| *rate <= 0.0),
        }
    }
}

/// Bursts as one piecewise-constant factor.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// Ends (ns) and factors, in order; the last one is endless.
    steps: Arc<[(u64, f64)]>,
    at: usize,
}

impl Factors {
    /// From intervals sorted by their start; the factors of overlapping ones multiply. Intervals without effect leave no
    /// trace, not even in rounding.
    #[expect(clippy::float_cmp, reason = "without effect is a factor of exactly 1, or exactly the one before")]
    pub(super) fn new(bursts: &[(SimTime, SimTime, f64)]) -> Self {
        let bursts: Vec<_> = bursts.iter().filter(|burst| burst.2 != 1.0 && burst.1 > burst.0).collect();
        let mut bounds: Vec<u64> = bursts.iter().flat_map(|(from, to, _)| [from.0, to.0]).collect();
        bounds.push(u64::MAX);
        bounds.sort_unstable();
        bounds.dedup();
        let (mut open, mut waiting, mut from) = (Vec::new(), bursts.iter().peekable(), 0);
        let mut steps: Vec<(u64, f64)> = Vec::with_capacity(bounds.len());
        for to in bounds.into_iter().filter(|to| *to > 0) {
            while let Some(burst) = waiting.next_if(|burst| burst.0.0 <= from) {
                open.push(burst);
            }
            open.retain(|burst| burst.1.0 > from);
            let factor = open.iter().map(|burst| burst.2.max(0.0)).product();
            match steps.last_mut() {
                Some(last) if last.1 == factor => last.0 = to,
                _ => steps.push((to, factor)),
            }
            from = to;
        }
        Self { steps: steps.into(), at: 0 }
    }

    /// The factor at `time`, and until when it holds. Times never decrease from call to call.
    pub(super) fn at(&mut self, time: u64) -> (u64, f64) {
        while self.at + 1 < self.steps.len() && self.steps[self.at].0 <= time {
            self.at += 1;
        }
        self.steps[self.at]
    }
}

/// A rate with its bursts, as stretches in order of time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    shape: Shape,
    factors: Factors,
    segment: Segment,
    now: u64,
}

impl Pace {
    pub(super) fn new(shape: Shape, factors: Factors) -> Self {
        Self { shape, factors, segment: Segment::steady(0, 0, 0.0), now: 0 }
    }

    /// The next stretch, which begins where the last one ended; none when there is never an arrival again.
    pub(super) fn next(&mut self) -> Option<Segment> {
        while self.now >= self.segment.to {
            self.segment = self.shape.next(self.segment.to)?;
        }
        let (until, factor) = self.factors.at(self.now);
        if until == u64::MAX && factor <= 0.0 {
            return None;
        }
        let (from, to) = (self.now, self.segment.to.min(until));
        self.now = to;
        Some(self.segment.part(from, to, factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime(seconds * 1_000_000_000)
    }

    fn seconds(pace: &mut Pace) -> Option<(f64, f64, f64, f64)> {
        pace.next().map(|s| (s.from as f64 / 1e9, s.to as f64 / 1e9, s.start, s.end))
    }

    #[test]
    fn bursts_split_the_rate_and_overlaps_multiply() {
        let factors = Factors::new(&[(at(10), at(40), 3.0), (at(20), at(30), 2.0), (at(50), at(60), 0.0)]);
        let mut pace = Pace::new(Shape::Steady(5.0), factors);
        for expected in [
            (0.0, 10.0, 5.0),
            (10.0, 20.0, 15.0),
            (20.0, 30.0, 30.0),
            (30.0, 40.0, 15.0),
            (40.0, 50.0, 5.0),
            (50.0, 60.0, 0.0),
        ] {
            assert_eq!(seconds(&mut pace), Some((expected.0, expected.1, expected.2, expected.2)));
        }
        assert_eq!(pace.next().map(|s| (s.from, s.to)), Some((at(60).0, u64::MAX)));
        assert_eq!(pace.next(), None);
    }

    #[test]
    fn a_burst_from_the_start_and_one_for_ever() {
        let mut pace =
            Pace::new(Shape::Steady(1.0), Factors::new(&[(at(0), at(5), 4.0), (at(5), SimTime::NEVER, 2.0)]));
        assert_eq!(seconds(&mut pace), Some((0.0, 5.0, 4.0, 4.0)));
        assert_eq!(pace.next().map(|s| s.start), Some(2.0));
        let mut silent = Pace::new(Shape::Steady(1.0), Factors::new(&[(at(0), SimTime::NEVER, 0.0)]));
        assert_eq!(silent.next(), None);
    }

    #[test]
    fn curves_hold_or_return_to_their_start() {
        let points = [(at(10), 2.0), (at(30), 6.0)];
        let mut held = Pace::new(Shape::curve(&points, None), Factors::new(&[(at(20), at(30), 10.0)]));
        for expected in [(0.0, 10.0, 2.0, 2.0), (10.0, 20.0, 2.0, 4.0), (20.0, 30.0, 40.0, 60.0)] {
            assert_eq!(seconds(&mut held), Some(expected));
        }
        assert_eq!(held.next().map(|s| (s.from, s.start, s.end)), Some((at(30).0, 6.0, 6.0)));
        let mut daily = Pace::new(Shape::curve(&points, Some(SimSpan::from_seconds(40))), Factors::new(&[]));
        for expected in [(0.0, 10.0, 4.0, 2.0), (10.0, 30.0, 2.0, 6.0), (30.0, 40.0, 6.0, 4.0), (40.0, 50.0, 4.0, 2.0)]
        {
            assert_eq!(seconds(&mut daily), Some(expected));
        }
    }

    #[test]
    fn steps_in_a_curve_are_points_at_one_instant() {
        let points = [(at(0), 1.0), (at(5), 1.0), (at(5), 3.0), (at(10), 3.0)];
        let mut pace = Pace::new(Shape::curve(&points, Some(SimSpan::from_seconds(10))), Factors::new(&[]));
        for expected in [(0.0, 5.0, 1.0, 1.0), (5.0, 10.0, 3.0, 3.0), (10.0, 15.0, 1.0, 1.0)] {
            assert_eq!(seconds(&mut pace), Some(expected));
        }
    }

    #[test]
    fn counts_end_or_repeat() {
        let counts = |repeat| Shape::counts([12.0, 0.0].into_iter(), 2e9, repeat);
        let mut once = Pace::new(counts(None), Factors::new(&[]));
        assert_eq!(seconds(&mut once), Some((0.0, 2.0, 6.0, 6.0)));
        assert_eq!(seconds(&mut once), Some((2.0, 4.0, 0.0, 0.0)));
        assert_eq!(seconds(&mut once), None);
        let mut again = Pace::new(counts(Some(SimSpan::from_seconds(5))), Factors::new(&[]));
        let stretches: Vec<_> = (0..4).filter_map(|_| seconds(&mut again)).collect();
        assert_eq!(stretches[1..], [(2.0, 4.0, 0.0, 0.0), (4.0, 5.0, 0.0, 0.0), (5.0, 7.0, 6.0, 6.0)]);
    }

    #[test]
    fn what_never_arrives_ends() {
        let nothing = [(at(0), 0.0), (at(10), 0.0)];
        for repeat in [None, Some(SimSpan::from_seconds(10))] {
            assert_eq!(Pace::new(Shape::curve(&nothing, repeat), Factors::new(&[])).next(), None);
        }
        assert_eq!(Pace::new(Shape::Steady(0.0), Factors::new(&[])).next(), None);
    }
}
