//! What is expected of an arrival process without drawing it: how many arrive when, and how unevenly.

use crate::dist::pace::{Factors, Pace, Segment, Shape};
use crate::dist::{Arrivals, Dist};
use crate::random::Stream;
use crate::time::{SimSpan, SimTime};

impl Arrivals {
    /// Mean number of arrivals between each two of these instants (ns, in order), `bursts` as in [`Arrivals::start`]. Renewal
    /// processes and those whose rates take turns count with their mean in the long run.
    #[must_use]
    pub fn expected(&self, bounds: &[u64], bursts: &[(SimTime, SimTime, f64)]) -> Vec<f64> {
        let mut found = vec![0.0; bounds.len().saturating_sub(1)];
        let Some(end) = bounds.last().copied() else { return found };
        if let Self::Times { times, replay } = self {
            let mut factors = Factors::new(bursts);
            let period = replay.period().map_or(u64::MAX, |period| period.0);
            let mut base = 0_u64;
            while base < end {
                for time in times.iter().map(|time| base.saturating_add(replay.to_virtual(*time))) {
                    let window = bounds.partition_point(|bound| *bound <= time);
                    if (1..bounds.len()).contains(&window) {
                        found[window - 1] += replay.scale * factors.at(time).1;
                    }
                }
                base = base.saturating_add(period);
            }
            return found;
        }
        let mut pace = Pace::new(self.mean_shape(), Factors::new(bursts));
        let mut window = 0;
        while let Some(segment) = pace.next() {
            if segment.from >= end {
                break;
            }
            while window < found.len() && bounds[window + 1] <= segment.from {
                window += 1;
            }
            let inside = (window..found.len()).take_while(|at| bounds[*at] < segment.to);
            inside.for_each(|at| found[at] += within(&segment, bounds[at], bounds[at + 1]));
        }
        found
    }

    /// The rate over time, that in the long run where it is drawn.
    fn mean_shape(&self) -> Shape {
        match self {
            Self::Renewal(_) | Self::Mmpp { .. } | Self::Bursts { .. } => Shape::Steady(self.mean_rate(SimSpan::ZERO)),
            _ => self.shape(Stream::default()),
        }
    }

    /// The highest rate of the process over its mean rate, where that takes turns by chance; 1 for all others.
    #[must_use]
    pub fn swing(&self) -> f64 {
        let highest = match self {
            Self::Mmpp { rates, .. } => rates.iter().copied().fold(0.0, f64::max),
            Self::Bursts { rate, .. } => *rate,
            _ => return 1.0,
        };
        highest / self.mean_rate(SimSpan::ZERO)
    }

    /// Whether the mean rate is the same all the time.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        !matches!(self, Self::Curve { .. } | Self::Times { .. } | Self::Counts { .. })
    }

    /// Index of dispersion: variance over mean of the number that arrive in a long time, beyond what the course of the mean
    /// rate brings. 1 for Poisson, 0 where they are paced. For rates that take turns it grows with the length of the turns
    /// (asymptotic variance of a renewal reward process; Smith 1955).
    #[must_use]
    pub fn dispersion(&self) -> f64 {
        let turns = |turns: &[(f64, f64, f64)]| {
            let mean = self.mean_rate(SimSpan::ZERO);
            let cycle: f64 = turns.iter().map(|turn| turn.1).sum();
            let spread: f64 = turns.iter().map(|(rate, _, variance)| (rate - mean) * (rate - mean) * variance).sum();
            1.0 + spread / (cycle * mean)
        };
        let stay = |rate: f64, stay: &Dist| (rate, stay.mean() * 1e-9, stay.variance() * 1e-18);
        match self {
            Self::Poisson(_) | Self::Curve { .. } | Self::Counts { .. } | Self::Times { .. } => 1.0,
            Self::Constant(_) => 0.0,
            Self::Renewal(gap) => gap.variance() / (gap.mean() * gap.mean()),
            Self::Mmpp { rates, stays } => {
                let each = rates.iter().zip(stays).map(|(rate, mean)| (*rate, mean * 1e-9, mean * mean * 1e-18));
                turns(&each.collect::<Vec<_>>())
            }
            Self::Bursts { rate, busy, idle } => turns(&[stay(*rate, busy), stay(0.0, idle)]),
        }
    }
}

/// The integral of a stretch's rate between two instants, as far as they lie in it.
fn within(segment: &Segment, from: u64, to: u64) -> f64 {
    let (from, to) = (from.max(segment.from), to.min(segment.to));
    if to <= from {
        return 0.0;
    }
    let at = |time: u64| segment.rate((time - segment.from) as f64 * 1e-9);
    0.5 * (at(from) + at(to)) * (to - from) as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;
    use crate::dist::Replay;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> SimTime {
        SimTime(seconds * SECOND)
    }

    fn bounds(seconds: &[u64]) -> Vec<u64> {
        seconds.iter().map(|second| second * SECOND).collect()
    }

    fn close(found: &[f64], exact: &[f64]) {
        assert_eq!(found.len(), exact.len());
        assert!(found.iter().zip(exact).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {exact:?}");
    }

    #[test]
    fn steady_rates_with_a_burst() {
        let poisson = Arrivals::poisson(10.0).unwrap();
        close(&poisson.expected(&bounds(&[0, 5, 20]), &[]), &[50.0, 150.0]);
        close(&poisson.expected(&bounds(&[0, 10, 20, 40]), &[(at(5), at(20), 3.0)]), &[200.0, 300.0, 200.0]);
        let bursts = Arrivals::bursts(8.0, Dist::Exponential(1e9), Dist::Constant(3e9)).unwrap();
        close(&bursts.expected(&bounds(&[10, 20]), &[]), &[20.0]);
        assert!((bursts.swing() - 4.0).abs() < 1e-12 && poisson.swing() == 1.0);
    }

    #[test]
    fn curves_counts_and_times() {
        let curve = Arrivals::curve(vec![(at(0), 0.0), (at(10), 10.0)], None).unwrap();
        close(&curve.expected(&bounds(&[0, 5, 10, 12]), &[]), &[12.5, 37.5, 20.0]);
        let replay = Replay { repeat: Some(SimSpan(10 * SECOND)), ..Replay::default() };
        let counts = Arrivals::counts(vec![4.0, 8.0], SimSpan(5 * SECOND), replay).unwrap();
        close(&counts.expected(&bounds(&[0, 5, 10, 15, 20]), &[]), &[4.0, 8.0, 4.0, 8.0]);
        let replay = Replay { speed: 2.0, scale: 3.0, repeat: Some(SimSpan(20 * SECOND)) };
        let times = Arrivals::times(vec![2 * SECOND, 4 * SECOND, 18 * SECOND], replay).unwrap();
        close(&times.expected(&bounds(&[0, 3, 10, 13]), &[(at(0), at(2), 2.0)]), &[9.0, 3.0, 6.0]);
        assert!(!times.is_steady() && Arrivals::poisson(1.0).unwrap().is_steady());
    }

    /// All windows of any process together are its mean.
    #[test]
    fn windows_add_up_to_the_mean_rate() {
        let curve = Arrivals::curve(vec![(at(3), 5.0), (at(9), 1.0)], Some(SimSpan(11 * SECOND))).unwrap();
        let mmpp = Arrivals::mmpp(vec![1.0, 9.0], vec![3e9, 1e9]).unwrap();
        for process in [curve, mmpp, Arrivals::constant(7.0).unwrap()] {
            let sum: f64 = process.expected(&bounds(&[0, 4, 17, 50]), &[]).iter().sum();
            assert!((sum - 50.0 * process.mean_rate(SimSpan(50 * SECOND))).abs() < 1e-6, "{process:?}");
        }
    }

    /// Two states that take turns: Var N / E N of a long time is known in closed form (Fischer and Meier-Hellstern 1993).
    #[test]
    fn dispersion_of_turns() {
        let (a, b, x, y) = (1.0_f64, 9.0_f64, 3.0_f64, 1.0_f64);
        let (to_b, to_a) = (1.0 / x, 1.0 / y);
        let exact =
            1.0 + 2.0 * (a - b) * (a - b) * to_b * to_a / ((to_b + to_a) * (to_b + to_a) * (a * to_a + b * to_b));
        let mmpp = Arrivals::mmpp(vec![a, b], vec![x * 1e9, y * 1e9]).unwrap();
        assert!((mmpp.dispersion() - exact).abs() < 1e-9, "{} {exact}", mmpp.dispersion());
        assert_eq!(Arrivals::constant(3.0).unwrap().dispersion(), 0.0);
        let erlang = Arrivals::renewal(Dist::erlang(4, 1e9).unwrap()).unwrap();
        assert!((erlang.dispersion() - 0.25).abs() < 1e-12);
    }
}
