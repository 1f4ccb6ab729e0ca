//! Mean and variance of independent times, in seconds: sums, mixtures, repetitions, and the k-th of several.

use crate::dist::Dist;
use crate::estimate::gamma::Gamma;

/// Mean and variance of a time, s and s².
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Variance; infinite where there is none.
    pub variance: f64,
}

impl Moments {
    /// No time at all.
    pub const ZERO: Self = Self { mean: 0.0, variance: 0.0 };

    /// Always so long.
    #[must_use]
    pub fn constant(seconds: f64) -> Self {
        Self { mean: seconds, variance: 0.0 }
    }

    /// Of a distribution in ns, where event types have these shares.
    #[must_use]
    pub fn of(dist: &Dist, types: &[(u16, f64)]) -> Self {
        Self { mean: dist.mean_for(types) * 1e-9, variance: dist.variance_for(types) * 1e-18 }
    }

    /// Squared coefficient of variation; 0 where there is no time.
    #[must_use]
    pub fn scv(&self) -> f64 {
        if self.mean > 0.0 { self.variance / (self.mean * self.mean) } else { 0.0 }
    }

    /// One after the other, independent.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { mean: self.mean + other.mean, variance: self.variance + other.variance }
    }

    /// So many times as long.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { mean: factor * self.mean, variance: factor * factor * self.variance }
    }

    /// Mean of the square.
    fn square(self) -> f64 {
        self.variance + self.mean * self.mean
    }

    /// One of several, by share; shares that do not add up to 1 are scaled. No time without shares.
    #[must_use]
    pub fn mixture(parts: impl IntoIterator<Item = (f64, Self)>) -> Self {
        let (mut shares, mut mean, mut square) = (0.0, 0.0, 0.0);
        for (share, part) in parts.into_iter().filter(|(share, _)| *share > 0.0) {
            shares += share;
            mean += share * part.mean;
            square += share * part.square();
        }
        if shares <= 0.0 {
            return Self::ZERO;
        }
        let (mean, square) = (mean / shares, square / shares);
        Self { mean, variance: (square - mean * mean).max(0.0) }
    }

    /// With this probability, else no time.
    #[must_use]
    pub fn maybe(self, probability: f64) -> Self {
        Self::mixture([(probability, self), (1.0 - probability, Self::ZERO)])
    }

    /// When `quorum` of several that begin at once and are independent are done. Each is taken as gamma with its own mean and
    /// variance, and the law of the k-th is integrated numerically: an approximation, exact for exponential times.
    #[must_use]
    pub fn kth(parts: &[Self], quorum: usize) -> Self {
        match parts {
            [] => return Self::ZERO,
            [one] if quorum == 1 => return *one,
            _ if quorum == 0 => return Self::ZERO,
            _ => {}
        }
        let laws: Vec<Gamma> = parts.iter().map(|part| Gamma::fit(*part)).collect();
        let far = |part: &Self| part.mean + 12.0 * crate::math::sqrt(part.variance);
        let end = parts.iter().map(far).fold(0.0, f64::max);
        if !(end > 0.0 && end.is_finite()) {
            let mean = parts.iter().map(|part| part.mean).fold(0.0, f64::max);
            return Self { mean, variance: if end.is_finite() { 0.0 } else { f64::INFINITY } };
        }
        // Simpson's rule on E[T] = the integral of P(T > t), and on E[T²] = that of 2 t P(T > t).
        const STEPS: u32 = 400;
        let step = end / f64::from(STEPS);
        let (mut mean, mut square) = (0.0, 0.0);
        for n in 0..=STEPS {
            let t = step * f64::from(n);
            let weight = if n == 0 || n == STEPS { 1.0 } else { f64::from(2 + 2 * (n % 2)) };
            let later = fewer_than(quorum, &laws, t);
            mean += weight * later;
            square += weight * 2.0 * t * later;
        }
        let (mean, square) = (mean * step / 3.0, square * step / 3.0);
        Self { mean, variance: (square - mean * mean).max(0.0) }
    }
}

/// The chance that fewer than `quorum` of these are done by `t`.
fn fewer_than(quorum: usize, laws: &[Gamma], t: f64) -> f64 {
    let mut done = vec![0.0; laws.len() + 1];
    done[0] = 1.0;
    for (number, law) in laws.iter().enumerate() {
        let late = law.later(t);
        for count in (0..=number).rev() {
            let stays = done[count] * late;
            done[count + 1] += done[count] - stays;
            done[count] = stays;
        }
    }
    done[..quorum.min(done.len())].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, within: f64) -> bool {
        (a - b).abs() <= within * b.abs().max(1e-12)
    }

    #[test]
    fn sums_and_mixtures() {
        let (a, b) = (Moments { mean: 2.0, variance: 4.0 }, Moments::constant(1.0));
        assert_eq!(a.plus(b), Moments { mean: 3.0, variance: 4.0 });
        assert_eq!(a.times(3.0), Moments { mean: 6.0, variance: 36.0 });
        assert!(near(a.scv(), 1.0, 1e-12) && b.scv() == 0.0);
        // Half exponential with mean 2, half exponential with mean 4: E[X²] = (8 + 32) / 2.
        let mixed = Moments::mixture([(1.0, a), (1.0, Moments { mean: 4.0, variance: 16.0 })]);
        assert_eq!(mixed, Moments { mean: 3.0, variance: 11.0 });
        assert_eq!(Moments::mixture([]), Moments::ZERO);
        assert_eq!(b.maybe(0.25), Moments { mean: 0.25, variance: 0.1875 });
        let dist = Dist::exponential(2e9).unwrap();
        assert!(near(Moments::of(&dist, &[]).variance, 4.0, 1e-12));
    }

    /// The k-th of n exponential times with mean 1 has the mean 1/n + 1/(n-1) + ... + 1/(n-k+1), and the squares as variance.
    #[test]
    fn the_kth_of_exponential_times() {
        let one = Moments { mean: 1.0, variance: 1.0 };
        for (n, k) in [(2_u32, 1_u32), (2, 2), (5, 3), (7, 7)] {
            let terms = || ((n - k + 1)..=n).map(|i| 1.0 / f64::from(i));
            let found = Moments::kth(&vec![one; n as usize], k as usize);
            assert!(near(found.mean, terms().sum(), 1e-3), "{n} {k}: {found:?}");
            assert!(near(found.variance, terms().map(|t| t * t).sum(), 5e-3), "{n} {k}: {found:?}");
        }
    }

    #[test]
    fn the_kth_of_constants_is_the_longest_of_them() {
        let parts = [1.0, 3.0, 2.0].map(Moments::constant);
        for (quorum, mean) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
            let found = Moments::kth(&parts, quorum);
            assert!(near(found.mean, mean, 0.02) && found.variance < 0.01, "{quorum}: {found:?}");
        }
        assert_eq!(Moments::kth(&[], 1), Moments::ZERO);
        assert_eq!(Moments::kth(&[Moments::ZERO; 2], 2), Moments::ZERO);
    }
}
