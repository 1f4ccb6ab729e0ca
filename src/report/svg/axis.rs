//! Axes: from values to page units, with round numbers for ticks.

use crate::metrics::Unit;
use crate::report::show;

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    /// Equal ratios are equal distances.
    Log,
    /// Every nine of a percentile takes the same room: 0, 90 %, 99 %, 99.9 %.
    Nines,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    /// Page units at `from` and `to`.
    pixels: (f64, f64),
    /// Values with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Steps of axes of time, in seconds, beyond those of 1, 2, 5 times a power of ten.
const STEPS: [f64; 18] = [
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
];

/// Round latencies in seconds, each decade's first first.
const DECADES: [f64; 17] = [
    1e-9,
    1e-8,
    1e-7,
    1e-6,
    1e-5,
    1e-4,
    1e-3,
    0.01,
    0.1,
    1.0,
    10.0,
    60.0,
    600.0,
    3_600.0,
    36_000.0,
    864_000.0,
    8_640_000.0,
];

/// Round latencies between them.
const BETWEEN: [f64; 33] = [
    2e-9,
    5e-9,
    2e-8,
    5e-8,
    2e-7,
    5e-7,
    2e-6,
    5e-6,
    2e-5,
    5e-5,
    2e-4,
    5e-4,
    2e-3,
    5e-3,
    0.02,
    0.05,
    0.2,
    0.5,
    2.0,
    5.0,
    20.0,
    30.0,
    120.0,
    300.0,
    1_200.0,
    1_800.0,
    7_200.0,
    18_000.0,
    86_400.0,
    172_800.0,
    432_000.0,
    1_728_000.0,
    4_320_000.0,
];

impl Axis {
    /// Virtual time from the start of a run.
    pub(super) fn time(to: f64, pixels: (f64, f64)) -> Self {
        let to = to.max(1e-9);
        Self { scale: Scale::Linear, from: 0.0, to, pixels, ticks: ticks(to, time_step(to, 8.0), show::axis_seconds) }
    }

    /// Counts from 0 to at least `to`, ending at a tick.
    pub(super) fn count(to: f64, pixels: (f64, f64)) -> Self {
        let step = step(to.max(1.0), 5.0).max(1.0);
        Self::from_zero(to.max(1.0), step, pixels, show::axis_count)
    }

    /// Spans of time from 0 to at least `to`, ending at a tick.
    pub(super) fn span(to: f64, pixels: (f64, f64)) -> Self {
        let to = to.max(1e-9);
        Self::from_zero(to, time_step(to, 5.0), pixels, show::axis_seconds)
    }

    /// Shares from 0 to at least `to`, ending at a tick.
    pub(super) fn share(to: f64, pixels: (f64, f64)) -> Self {
        Self::from_zero(to, step(to, 5.0), pixels, show::share_of)
    }

    /// Values of a unit from 0 to at least `to`, ending at a tick.
    pub(super) fn of(unit: Unit, to: f64, pixels: (f64, f64)) -> Self {
        let label: fn(f64) -> String = match unit {
            Unit::Seconds => return Self::span(to, pixels),
            Unit::Share => return Self::share(to.max(1e-6), pixels),
            Unit::Count => return Self::count(to, pixels),
            Unit::Number => show::number_of,
            Unit::Bytes => show::bytes_of,
            Unit::Rate => show::rate_of,
        };
        Self::from_zero(to.max(1e-6), step(to.max(1e-6), 5.0), pixels, label)
    }

    /// Given positions, rising or falling, with a label at each.
    pub(super) fn points(positions: &[f64], labels: &[String], pixels: (f64, f64)) -> Self {
        let (first, last) = (positions.first().copied().unwrap_or(0.0), positions.last().copied().unwrap_or(0.0));
        let ticks = positions.iter().copied().zip(labels.iter().cloned()).collect();
        let single = (last - first).abs() <= 0.0;
        let (from, to) = if single { (first - 1.0, first + 1.0) } else { (first, last) };
        Self { scale: Scale::Linear, from, to, pixels, ticks }
    }

    fn from_zero(to: f64, step: f64, pixels: (f64, f64), label: fn(f64) -> String) -> Self {
        let to = (to / step).ceil() * step;
        Self { scale: Scale::Linear, from: 0.0, to, pixels, ticks: ticks(to, step, label) }
    }

    /// Latencies in seconds on a logarithmic scale, widened to round numbers.
    pub(super) fn latency(from: f64, to: f64, pixels: (f64, f64)) -> Self {
        let mut round: Vec<f64> = DECADES.into_iter().chain(BETWEEN).collect();
        round.sort_by(f64::total_cmp);
        let (from, to) = (from.max(1e-9), to.max(1.01e-9));
        let low = round.iter().copied().rfind(|value| *value <= from * 1.000_001).unwrap_or(from);
        let high = round.iter().copied().find(|value| *value >= to * 0.999_999 && *value > low).unwrap_or(to);
        let inside = |value: &f64| (low..=high).contains(value);
        let coarse: Vec<f64> = DECADES.into_iter().filter(inside).collect();
        let shown = if coarse.len() >= 4 { coarse } else { round.into_iter().filter(inside).collect() };
        let ticks = shown.into_iter().map(|value| (value, show::axis_seconds(value))).collect();
        Self { scale: Scale::Log, from: low, to: high, pixels, ticks }
    }

    /// Percentiles from 0 to the one with `events` events at most as slow as the slowest ten.
    pub(super) fn percentiles(to: f64, pixels: (f64, f64)) -> Self {
        let all = [0.0, 0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99, 0.999_999, 0.999_999_9];
        let label =
            |share: f64| format!("{}%", format!("{:.5}", share * 100.0).trim_end_matches('0').trim_end_matches('.'));
        let ticks = all.into_iter().filter(|share| *share <= to).map(|share| (share, label(share))).collect();
        Self { scale: Scale::Nines, from: 0.0, to, pixels, ticks }
    }

    /// Page units of a value; values outside lie on the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => libm::log(value.max(1e-12) / self.from) / libm::log(self.to / self.from),
            Scale::Nines => libm::log(1.0 - value) / libm::log(1.0 - self.to),
        };
        self.pixels.0 + share.clamp(0.0, 1.0) * (self.pixels.1 - self.pixels.0)
    }

    /// The value that lies at a share of the axis.
    pub(super) fn value(&self, share: f64) -> f64 {
        match self.scale {
            Scale::Linear => self.from + share * (self.to - self.from),
            Scale::Log => self.from * libm::pow(self.to / self.from, share),
            Scale::Nines => 1.0 - libm::pow(1.0 - self.to, share),
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that there are at most `most` of them up to `to`.
fn step(to: f64, most: f64) -> f64 {
    let least = (to / most).max(1e-12);
    let power = libm::pow(10.0, libm::log10(least).floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999_999).unwrap_or(10.0);
    factor * power
}

/// The same for seconds: minutes, hours and days have steps of their own.
fn time_step(to: f64, most: f64) -> f64 {
    let plain = step(to, most);
    if plain < 10.0 {
        return plain;
    }
    STEPS.into_iter().find(|step| *step >= to / most).unwrap_or(plain)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a dozen ticks")]
fn ticks(to: f64, step: f64, label: fn(f64) -> String) -> Vec<(f64, String)> {
    let count = (to / step + 1e-6) as usize;
    (0..=count).map(|i| i as f64 * step).map(|value| (value, label(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            labels(&Axis::time(7_200.0, (0.0, 1.0))),
            ["0s", "15m", "30m", "45m", "1h", "1h15m", "1h30m", "1h45m", "2h"]
        );
        assert_eq!(labels(&Axis::count(142_011.0, (0.0, 1.0))), ["0", "50k", "100k", "150k"]);
        assert_eq!(labels(&Axis::count(0.0, (0.0, 1.0))), ["0", "1"]);
        assert_eq!(labels(&Axis::span(286.0, (0.0, 1.0))), ["0s", "1m", "2m", "3m", "4m", "5m"]);
        assert_eq!(labels(&Axis::span(0.037, (0.0, 1.0))), ["0s", "10ms", "20ms", "30ms", "40ms"]);
        assert_eq!(labels(&Axis::latency(0.012, 3.4, (0.0, 1.0))).first(), Some(&"10ms"));
        assert_eq!(labels(&Axis::percentiles(0.9995, (0.0, 1.0))), ["0%", "50%", "90%", "99%", "99.9%"]);
    }

    #[test]
    fn every_nine_takes_the_same_room() {
        let axis = Axis::percentiles(0.9999, (0.0, 400.0));
        for (share, at) in [(0.0, 0.0), (0.9, 100.0), (0.99, 200.0), (0.9999, 400.0)] {
            assert!((axis.at(share) - at).abs() < 1e-6, "{share}");
            assert!((axis.value(at / 400.0) - share).abs() < 1e-9, "{share}");
        }
    }

    #[test]
    fn a_single_latency_still_has_an_axis() {
        let axis = Axis::latency(0.01, 0.01, (0.0, 1.0));
        assert!(axis.ticks.len() >= 2 && axis.at(0.01) < 0.5);
    }
}
