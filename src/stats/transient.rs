//! How much of the beginning of a series belongs to its start, and whether it comes to rest at all.

use super::confidence::student_t;

/// Values before and after a cut are compared in about so many segments.
const SEGMENTS: usize = 10;
/// How sure it must be that what comes before a cut differs: the cut is where it differs most.
const SURE: f64 = 0.999;
/// Ten values of which the later is the larger so many times more often than not (Kendall's S, at most 45) are rising: of
/// ten without a trend 2 in 10,000 are so.
const RISING: i32 = 35;

/// Where to cut a series so that the mean of the rest is known best: MSER (White, Simulation 69, 1997), the cut `d` of `n`
/// values at which the sum of squares about the mean of the rest is least over `(n - d)^2`. Batches of five values make it
/// MSER-5 (White, Cobb and Spratt, Winter Simulation Conference 2000). The cut in the first half, and whether it is the best
/// of all: if not, the series has not come to rest, or chance says so.
#[must_use]
pub fn cut(series: &[f64]) -> (usize, bool) {
    // From the back, so that each rest has one value more than the one before (Welford's update).
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    let (mut best, mut later) = ((f64::INFINITY, 0), f64::INFINITY);
    for (at, value) in series.iter().enumerate().rev() {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
        let error = squares / (count * count);
        if 2 * at > series.len() {
            // The last few agree by chance.
            later = if count < 5.0 { later } else { error.min(later) };
        } else if error <= best.0 {
            best = (error, at);
        }
    }
    (best.1, best.0 <= later)
}

/// By which share of the mean of the rest the mean of all lies off because of what comes before the cut, where that differs
/// from the rest by more than chance explains.
#[must_use]
pub fn bias(series: &[f64], cut: usize) -> Option<f64> {
    let (start, rest) = series.split_at_checked(cut)?;
    let length = cut.min(rest.len() / SEGMENTS);
    if length == 0 {
        return None;
    }
    let segments: Vec<f64> = rest.chunks_exact(length).map(mean).collect();
    let count = segments.len() as f64;
    let middle = mean(&segments);
    let squares = segments.iter().map(|segment| (segment - middle) * (segment - middle)).sum::<f64>();
    let spread = squares / (count - 1.0);
    let error = (spread * (length as f64 / cut as f64 + 1.0 / count)).sqrt();
    let differs = (mean(start) - mean(rest)).abs() > student_t(SURE, count - 1.0) * error;
    let off = mean(series) / mean(rest) - 1.0;
    (differs && off.is_finite()).then_some(off)
}

/// Whether a series rises from its beginning to its end (Kendall, Biometrika 30, 1938, of the means of ten segments).
#[must_use]
pub fn rises(series: &[f64]) -> bool {
    let length = series.len() / SEGMENTS;
    if length == 0 {
        return false;
    }
    let means: Vec<f64> = series.chunks_exact(length).take(SEGMENTS).map(mean).collect();
    let mut score = 0;
    for (at, later) in means.iter().enumerate() {
        for earlier in &means[..at] {
            score += i32::from(later > earlier) - i32::from(later < earlier);
        }
    }
    score >= RISING
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Correlated noise (an AR(1) process) of a standard deviation about a course.
    fn series(seed: u64, deviation: f64, course: impl Fn(usize) -> f64) -> Vec<f64> {
        let noise = Stream::named(seed, "noise");
        let mut at = 0.0;
        (0..192)
            .map(|i| {
                // The sum of twelve is nearly normal.
                let normal: f64 = (0..12).map(|k| noise.unit(12 * i as u64 + k)).sum::<f64>() - 6.0;
                at = 0.6 * at + 0.8 * normal;
                course(i) + deviation * at
            })
            .collect()
    }

    /// A start that fades as exp(-i / 10): after 40 values 2 % of it are left.
    fn fading(i: usize) -> f64 {
        1.0 - crate::math::exp(-(i as f64) / 10.0)
    }

    #[test]
    fn the_cut_is_where_the_start_has_faded_into_the_noise() {
        let exact: Vec<f64> = (0..192).map(fading).collect();
        assert!(cut(&exact).0 > 60, "without noise there is always something to cut: {:?}", cut(&exact));
        let mut cuts: Vec<usize> = (0..200).map(|seed| cut(&series(seed, 0.1, fading)).0).collect();
        cuts.sort_unstable();
        // What is left of the start is as large as the noise after 23 values.
        assert!((13..=35).contains(&cuts[100]), "{cuts:?}");
        assert!(cuts[20] >= 9 && cuts[180] <= 70, "{cuts:?}");
    }

    #[test]
    fn a_start_that_matters_is_told_and_chance_is_not() {
        let told = |deviation: f64, course: fn(usize) -> f64| {
            let told = |seed: &u64| {
                let series = series(*seed, deviation, course);
                bias(&series, cut(&series).0).is_some()
            };
            (0..500).filter(told).count()
        };
        assert!(told(0.1, fading) >= 490, "{}", told(0.1, fading));
        let by_chance = told(0.1, |_| 1.0);
        assert!(by_chance <= 15, "{by_chance} of 500 without a start");
        let series = series(1, 0.05, fading);
        let off = bias(&series, cut(&series).0).expect("it matters");
        // The start takes 10 of 192 values away.
        assert!((off + 10.0 / 192.0).abs() < 0.02, "{off}");
    }

    #[test]
    fn what_grows_to_the_end_does_not_come_to_rest() {
        let grows = |seed: &u64| {
            let series = series(*seed, 0.1, |i| 1.0 + i as f64 / 50.0);
            !cut(&series).1 && rises(&series)
        };
        assert_eq!((0..100).filter(grows).count(), 100);
        let by_chance = (0..2_000).filter(|seed| rises(&series(*seed, 0.1, |_| 1.0))).count();
        assert!(by_chance <= 8, "{by_chance} of 2,000 without a trend");
        assert!(!rises(&[1.0; 9]) && cut(&[]) == (0, true) && bias(&[1.0; 5], 2).is_none());
    }
}
