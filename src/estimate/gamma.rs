//! The gamma distribution with a given mean and variance: the law by which tails are estimated.

use crate::estimate::moments::Moments;
use crate::math::{exp, ln, ln_gamma};

/// A gamma distribution, or a constant where there is no variance.
///
/// A time that is a sum of many independent parts, none of which rules, is close to it (two-moment fit, Tijms 1994, A First
/// Course in Stochastic Models, appendix B); an exponential time is exactly it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gamma {
    shape: f64,
    scale: f64,
    mean: f64,
}

/// Squared coefficients of variation below this are taken as none: the law is a step to all who look.
const NO_SPREAD: f64 = 1e-5;

impl Gamma {
    /// With this mean and variance.
    pub(super) fn fit(moments: Moments) -> Self {
        let Moments { mean, variance } = moments;
        if moments.scv() < NO_SPREAD {
            return Self { shape: f64::INFINITY, scale: 0.0, mean };
        }
        Self { shape: mean * mean / variance, scale: variance / mean, mean }
    }

    /// The chance of a longer time than `t`.
    pub(super) fn later(&self, t: f64) -> f64 {
        if self.shape.is_infinite() {
            return if t < self.mean { 1.0 } else { 0.0 };
        }
        upper(self.shape, t / self.scale)
    }
}

/// The regularised upper incomplete gamma function Q(a, x) (Abramowitz and Stegun 6.5): its series below `a + 1`, its
/// continued fraction above (6.5.29 and 6.5.31, by Lentz's method).
fn upper(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = exp(a * ln(x) - x - ln_gamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-15 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut value = d;
    for n in 1..10_000 {
        let n = f64::from(n);
        let factor = n * (a - n);
        b += 2.0;
        d = 1.0 / away_from_zero(b + factor * d, TINY);
        c = away_from_zero(b + factor / c, TINY);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-14 {
            break;
        }
    }
    (front * value).clamp(0.0, 1.0)
}

fn away_from_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;

    /// For whole a it is the Poisson distribution function: Q(a, x) = sum of e^-x x^k / k! for k < a.
    #[test]
    fn the_tail_of_whole_shapes_is_a_poisson_sum() {
        for (a, x) in [(1_u32, 0.1), (1, 4.6), (3, 2.0), (3, 9.0), (12, 5.0), (12, 30.0), (100, 130.0)] {
            let terms = (0..a).scan(exp(-x), |term, k| {
                let this = *term;
                *term *= x / f64::from(k + 1);
                Some(this)
            });
            let sum: f64 = terms.sum();
            let found = upper(f64::from(a), x);
            assert!((found - sum).abs() < 1e-12, "{a} {x}: {found} {sum}");
        }
    }

    /// Half-integer shapes: Q(1/2, x) = erfc(sqrt x).
    #[test]
    fn the_tail_of_one_half_is_that_of_a_square() {
        for x in [0.01_f64, 0.3, 1.0, 5.0] {
            let exact = 2.0 * crate::math::normal_cdf(-(2.0 * x).sqrt());
            assert!((upper(0.5, x) - exact).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn constants_are_steps_and_exponential_times_are_exact() {
        let step = Gamma::fit(Moments::constant(3.0));
        assert_eq!([step.later(2.9), step.later(3.0)], [1.0, 0.0]);
        let exponential = Gamma::fit(Moments { mean: 2.0, variance: 4.0 });
        assert!((exponential.later(3.0) - exp(-1.5)).abs() < 1e-12);
        assert_eq!(exponential.later(-1.0), 1.0);
    }
}
