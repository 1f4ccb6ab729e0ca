//! Confidence intervals across independent runs: Student's t, mean and half-width, replications that would decide.

/// Most replications that [`Spread::runs_for`] looks for.
const MOST_REPLICATIONS: u64 = 1_000_000;

/// The factor t of a two-sided confidence interval: a Student-t variable with so many degrees of freedom lies within
/// `-t..t` with probability `level`.
///
/// The two tails together are the regularised incomplete beta function I(x; df/2, 1/2) at x = df / (df + t^2)
/// (Abramowitz and Stegun 26.5.27, 26.7.1), which is inverted by bisection.
///
/// # Panics
/// Unless `0 < level < 1` and `degrees > 0`.
#[must_use]
pub fn student_t(level: f64, degrees: f64) -> f64 {
    assert!(level > 0.0 && level < 1.0 && degrees > 0.0, "no t for level {level} and {degrees} degrees of freedom");
    let tails = |t: f64| {
        let square = t * t;
        incomplete_beta(degrees / (degrees + square), square / (degrees + square), degrees / 2.0, 0.5)
    };
    let (mut low, mut high) = (0.0, 1.0);
    while tails(high) > 1.0 - level {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-14 * high {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if tails(middle) > 1.0 - level {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + (high - low) / 2.0
}

/// The regularised incomplete beta function I(x; a, b), `y` being `1 - x` (given apart, so that neither loses digits).
fn incomplete_beta(x: f64, y: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let scale =
        libm::exp(libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log(y));
    // The continued fraction converges fast on its own side of the mean; the other side is its mirror image.
    if x < (a + 1.0) / (a + b + 2.0) {
        scale * beta_fraction(x, a, b) / a
    } else {
        1.0 - scale * beta_fraction(y, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8) by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..20_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = c * d;
            value *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// Mean of independent values and the half-width of its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// Mean.
    pub mean: f64,
    /// The interval is `mean - half ..= mean + half`.
    pub half: f64,
}

impl MeanInterval {
    /// The mean of `values` (one per run) with its interval at `level`; none with fewer than two values.
    /// Values that are all the same have exactly that mean, and no width.
    #[must_use]
    pub fn of(values: &[f64], level: f64) -> Option<Self> {
        let (mean, deviation) = mean_and_deviation(values)?;
        if deviation <= 0.0 {
            return Some(Self { mean, half: 0.0 });
        }
        let n = values.len() as f64;
        Some(Self { mean, half: student_t(level, n - 1.0) * deviation / n.sqrt() })
    }

    /// Lower end.
    #[must_use]
    pub fn low(self) -> f64 {
        self.mean - self.half
    }

    /// Upper end.
    #[must_use]
    pub fn high(self) -> f64 {
        self.mean + self.half
    }
}

/// Mean and sample standard deviation of at least two values.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let (first, rest) = values.split_first()?;
    if rest.is_empty() {
        return None;
    }
    if rest.iter().all(|v| v.to_bits() == first.to_bits()) {
        return Some((*first, 0.0));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    Some((mean, (squares / (n - 1.0)).sqrt()))
}

/// How widely the runs spread about a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Standard deviation of what one run contributes.
    pub deviation: f64,
    /// Groups in which runs are told apart, at most: an interval has one degree of freedom less.
    pub most_groups: u64,
}

impl Spread {
    /// The spread of `runs` runs of which each of `values` is a group; none with fewer than two groups.
    #[must_use]
    pub fn of(values: &[f64], runs: u64, most_groups: u64) -> Option<Self> {
        let (_, deviation) = mean_and_deviation(values)?;
        Some(Self { deviation: deviation * (runs as f64 / values.len() as f64).sqrt(), most_groups })
    }

    /// The spread of runs, told apart in so many groups, whose interval has this half-width.
    #[must_use]
    pub fn from_half(half: f64, (runs, groups): (u64, u64), most_groups: u64, level: f64) -> Option<Self> {
        let deviation =
            half * (runs as f64).sqrt() / student_t(level, groups.checked_sub(1).filter(|df| *df > 0)? as f64);
        Some(Self { deviation, most_groups })
    }

    /// Half the width of the interval that so many runs give, 2 or more, if they spread as these do.
    #[must_use]
    pub fn half(self, runs: u64, level: f64) -> f64 {
        let groups = runs.min(self.most_groups).max(2);
        student_t(level, groups as f64 - 1.0) * self.deviation / (runs as f64).sqrt()
    }

    /// About how many runs in all give an interval of less than this half-width. None where more than a million would be
    /// needed.
    #[must_use]
    pub fn runs_for(self, half: f64, level: f64) -> Option<u64> {
        let enough_are = |runs: u64| self.half(runs, level) < half;
        if half.is_nan() || half <= 0.0 || !half.is_finite() || !enough_are(MOST_REPLICATIONS) {
            return None;
        }
        let (mut few, mut enough) = (1, MOST_REPLICATIONS);
        while enough - few > 1 {
            let middle = few + (enough - few) / 2;
            if enough_are(middle) { enough = middle } else { few = middle }
        }
        Some(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two-sided critical values: NIST/SEMATECH e-Handbook 1.3.6.7.2 gives three decimals; the closed forms of one, two
    /// and four degrees of freedom and standard tables of ten give the further digits.
    #[test]
    fn student_t_agrees_with_tables() {
        let table = [
            (0.95, 1.0, 12.706_205),
            (0.95, 2.0, 4.302_653),
            (0.95, 4.0, 2.776_445),
            (0.95, 9.0, 2.262_157),
            (0.95, 29.0, 2.045_230),
            (0.95, 99.0, 1.984_217),
            (0.90, 5.0, 2.015_048),
            (0.99, 10.0, 3.169_273),
            (0.999, 1.0, 636.619_249),
            (0.999, 2.0, 31.599_055),
            (0.999, 9.0, 4.780_913),
            (0.999, 30.0, 3.645_959),
        ];
        for (level, degrees, expected) in table {
            let t = student_t(level, degrees);
            assert!((t / expected - 1.0).abs() < 5e-7, "level {level}, {degrees} degrees: {t}, table {expected}");
        }
    }

    #[test]
    fn student_t_has_closed_forms_for_one_and_two_degrees() {
        for level in [0.1, 0.5, 0.8, 0.95, 0.999, 0.999_99] {
            let one = (std::f64::consts::FRAC_PI_2 * level).tan();
            let two = level * (2.0 / (1.0 - level * level)).sqrt();
            assert!((student_t(level, 1.0) / one - 1.0).abs() < 1e-10, "{level}");
            assert!((student_t(level, 2.0) / two - 1.0).abs() < 1e-10, "{level}");
        }
    }

    #[test]
    fn student_t_becomes_normal() {
        assert!((student_t(0.95, 1e6) - 1.959_966).abs() < 2e-6);
        assert!((student_t(0.999, 1e6) - 3.290_537).abs() < 5e-6);
    }

    #[test]
    fn intervals_of_small_samples() {
        let interval = MeanInterval::of(&[1.0, 2.0, 3.0], 0.95).expect("three values");
        assert!((interval.mean - 2.0).abs() < 1e-15);
        assert!((interval.half - 4.302_652_73 / 3f64.sqrt()).abs() < 1e-7);
        assert_eq!(MeanInterval::of(&[0.1; 7], 0.95), Some(MeanInterval { mean: 0.1, half: 0.0 }));
        assert_eq!(MeanInterval::of(&[1.0], 0.95), None);
        assert_eq!(MeanInterval::of(&[], 0.95), None);
    }

    #[test]
    fn the_runs_for_a_width_are_the_first_that_give_it() {
        let values = [9.0, 11.0, 10.0, 10.5, 9.5];
        let spread = Spread::of(&values, 5, 32).expect("five values");
        let deviation = (2.5f64 / 4.0).sqrt();
        assert!((spread.deviation - deviation).abs() < 1e-12);
        let needed = spread.runs_for(0.5, 0.95).expect("a width of 0.5");
        let half = |n: f64| student_t(0.95, n - 1.0) * deviation / n.sqrt();
        assert!(half(needed as f64) < 0.5 && half(needed as f64 - 1.0) >= 0.5, "{needed}");
        assert_eq!(spread.runs_for(0.0, 0.95), None);
        assert_eq!(Spread::of(&[1.0], 1, 32), None);
        let back = Spread::from_half(spread.half(7, 0.95), (7, 7), 32, 0.95).expect("seven runs");
        assert!((back.deviation - deviation).abs() < 1e-12);
    }

    #[test]
    fn groups_of_runs_spread_less_than_runs() {
        let one_by_one = Spread::of(&[9.0, 11.0, 10.0, 10.5, 9.5], 5, 5).expect("five values");
        let in_groups = Spread::of(&[9.0, 11.0, 10.0, 10.5, 9.5], 45, 5).expect("five groups of nine runs");
        assert!((in_groups.deviation / one_by_one.deviation - 3.0).abs() < 1e-12);
        // However many runs there are, there are five groups.
        let half = student_t(0.95, 4.0) * in_groups.deviation / 10.0;
        assert!((in_groups.half(100, 0.95) - half).abs() < 1e-12);
    }
}
