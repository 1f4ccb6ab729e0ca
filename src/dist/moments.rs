//! Exact means and variances, and distributions that are so many times as large.

use std::sync::Arc;

use crate::dist::{ByType, Dist};
use crate::math::{exp, exp_m1, ln, ln_gamma, normal_density};

impl Dist {
    /// Exact mean, not rounded to whole numbers; infinite where there is none. Of `by_type` it is the mean for an event
    /// without a type; see [`Dist::mean_for`].
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean_for(&[])
    }

    /// Exact variance; infinite where there is none. Of `by_type` it is that for an event without a type.
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.variance_for(&[])
    }

    /// Exact mean where event types have these shares (empty: all events are without a type, type 0).
    #[must_use]
    pub fn mean_for(&self, types: &[(u16, f64)]) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential(mean) | Self::Erlang { mean, .. } => *mean,
            Self::Uniform { low, high } => 0.5 * (low + high),
            Self::Triangular { low, mode, high } => (low + mode + high) / 3.0,
            Self::Normal { mean, sd, kept } => mean + sd * (normal_density(mean / sd) / kept),
            Self::Lognormal { mu, sigma } => exp(mu + 0.5 * sigma * sigma),
            Self::Gamma { shape, scale } => shape * scale,
            Self::Weibull { shape, scale } => scale * exp(ln_gamma(1.0 + 1.0 / shape)),
            Self::Pareto { min, alpha, max } => pareto_moment(*min, *alpha, *max, 1.0),
            Self::Percentiles(percentiles) => percentiles.moment(1.0),
            Self::Empirical(values) | Self::Trace(values) => average(values.iter().copied(), values.len()),
            Self::Mixture(parts) => weighted(parts).map(|(share, of)| share * of.mean_for(types)).sum(),
            Self::Shifted(shifted) => shifted.0 + shifted.1.mean_for(types),
            Self::PerKey(of) => of.mean_for(types),
            Self::ByType(by_type) => by_type.shares(types).map(|(share, of)| share * of.mean_for(types)).sum(),
        }
    }

    /// Exact variance where event types have these shares (empty: all events are without a type, type 0).
    #[must_use]
    pub fn variance_for(&self, types: &[(u16, f64)]) -> f64 {
        match self {
            Self::Constant(_) => 0.0,
            Self::Exponential(mean) => mean * mean,
            Self::Uniform { low, high } => (high - low) * (high - low) / 12.0,
            Self::Triangular { low, mode, high } => {
                let (left, right) = (mode - low, high - mode);
                (left * left + left * right + right * right) / 18.0
            }
            Self::Normal { mean, sd, kept } => {
                let hazard = normal_density(mean / sd) / kept;
                sd * sd * (1.0 - hazard * (mean / sd + hazard))
            }
            Self::Lognormal { mu, sigma } => exp_m1(sigma * sigma) * exp(2.0 * mu + sigma * sigma),
            Self::Gamma { shape, scale } => shape * scale * scale,
            Self::Erlang { shape, mean } => mean * mean / f64::from(*shape),
            Self::Weibull { shape, .. } => {
                let mean = self.mean_for(types);
                mean * mean * exp_m1(ln_gamma(1.0 + 2.0 / shape) - 2.0 * ln_gamma(1.0 + 1.0 / shape))
            }
            Self::Pareto { min, alpha, max } => {
                spread(pareto_moment(*min, *alpha, *max, 2.0), pareto_moment(*min, *alpha, *max, 1.0))
            }
            Self::Percentiles(percentiles) => spread(percentiles.moment(2.0), percentiles.moment(1.0)),
            Self::Empirical(values) | Self::Trace(values) => {
                let mean = self.mean_for(types);
                average(values.iter().map(|value| (value - mean) * (value - mean)), values.len())
            }
            Self::Mixture(parts) => pooled(weighted(parts), types),
            Self::Shifted(shifted) => shifted.1.variance_for(types),
            Self::PerKey(of) => of.variance_for(types),
            Self::ByType(by_type) => pooled(by_type.shares(types), types),
        }
    }

    /// The distribution whose samples are `factor` (not negative) times as large.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        if factor <= 0.0 {
            return Self::Constant(0.0);
        }
        let k = factor;
        let all = |values: &[f64]| values.iter().map(|value| k * value).collect();
        match self {
            Self::Constant(value) => Self::Constant(k * value),
            Self::Exponential(mean) => Self::Exponential(k * mean),
            Self::Uniform { low, high } => Self::Uniform { low: k * low, high: k * high },
            Self::Triangular { low, mode, high } => Self::Triangular { low: k * low, mode: k * mode, high: k * high },
            Self::Normal { mean, sd, kept } => Self::Normal { mean: k * mean, sd: k * sd, kept: *kept },
            Self::Lognormal { mu, sigma } => Self::Lognormal { mu: mu + ln(k), sigma: *sigma },
            Self::Gamma { shape, scale } => Self::Gamma { shape: *shape, scale: k * scale },
            Self::Erlang { shape, mean } => Self::Erlang { shape: *shape, mean: k * mean },
            Self::Weibull { shape, scale } => Self::Weibull { shape: *shape, scale: k * scale },
            Self::Pareto { min, alpha, max } => Self::Pareto { min: k * min, alpha: *alpha, max: k * max },
            Self::Percentiles(percentiles) => Self::Percentiles(Arc::new(percentiles.scaled(k))),
            Self::Empirical(values) => Self::Empirical(all(values)),
            Self::Trace(values) => Self::Trace(all(values)),
            Self::Mixture(parts) => Self::Mixture(parts.iter().map(|(upto, of)| (*upto, of.scaled(k))).collect()),
            Self::Shifted(shifted) => Self::Shifted(Arc::new((k * shifted.0, shifted.1.scaled(k)))),
            Self::PerKey(of) => Self::per_key(of.scaled(k)),
            Self::ByType(by_type) => {
                let types = by_type.types.iter().map(|(event_type, of)| (*event_type, of.scaled(k))).collect();
                Self::by_type(types, by_type.other.scaled(k))
            }
        }
    }
}

impl ByType {
    /// The distributions with the shares of the types.
    fn shares<'a>(&'a self, types: &'a [(u16, f64)]) -> impl Iterator<Item = (f64, &'a Dist)> + Clone {
        let untyped = if types.is_empty() { Some((1.0, self.of(0))) } else { None };
        types.iter().map(|(event_type, share)| (*share, self.of(*event_type))).chain(untyped)
    }
}

/// The parts of a mixture with their own shares in place of the sums.
fn weighted(parts: &[(f64, Dist)]) -> impl Iterator<Item = (f64, &Dist)> + Clone {
    let before = std::iter::once(0.0).chain(parts.iter().map(|(upto, _)| *upto));
    parts.iter().zip(before).map(|((upto, of), before)| (upto - before, of))
}

/// The variance of a mixture: that inside of its parts and that between them.
fn pooled<'a>(parts: impl Iterator<Item = (f64, &'a Dist)> + Clone, types: &[(u16, f64)]) -> f64 {
    let mean: f64 = parts.clone().map(|(share, of)| share * of.mean_for(types)).sum();
    if mean.is_infinite() {
        return f64::INFINITY;
    }
    let about_mean = |of: &Dist| {
        let off = of.mean_for(types) - mean;
        of.variance_for(types) + off * off
    };
    parts.map(|(share, of)| share * about_mean(of)).sum()
}

/// Variance from the mean of the squares and the mean.
fn spread(square: f64, mean: f64) -> f64 {
    if square.is_infinite() { f64::INFINITY } else { (square - mean * mean).max(0.0) }
}

fn average(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}

/// Mean of the k-th power: the integral of `alpha min^alpha x^(k - alpha - 1)` from min to max over what is not cut.
fn pareto_moment(min: f64, alpha: f64, max: f64, k: f64) -> f64 {
    let power = exp(k * ln(min));
    let excess = k - alpha;
    if max.is_infinite() {
        return if excess < 0.0 { alpha * power / -excess } else { f64::INFINITY };
    }
    let width = ln(max / min);
    let kept = -exp_m1(-alpha * width);
    let integral = if excess.abs() * width < 1e-12 { width } else { exp_m1(excess * width) / excess };
    alpha * power * integral / kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::About;
    use crate::dist::fit::zoo;
    use crate::random::Stream;

    #[test]
    fn means_and_variances_lie_in_the_interval_of_a_million_samples() {
        for (name, dist) in zoo() {
            let stream = Stream::named(11, name);
            let (mean, variance) = (dist.mean(), dist.variance());
            let count = 400_000;
            let (mut sum, mut squares, mut fourths) = (0.0, 0.0, 0.0);
            for n in 0..count {
                let about = About { index: n, key: (n % 100_003) as u32, stream, ..About::default() };
                let off = dist.sample(&mut stream.at(n), about) - mean;
                sum += off;
                squares += off * off;
                fourths += off * off * off * off;
            }
            let count = count as f64;
            // 3.9 standard errors: one in ten thousand beyond.
            let slack = 3.9 * (variance / count).sqrt() + 1e-9 * mean;
            assert!((sum / count).abs() <= slack, "{name}: mean off by {} of {slack}", sum / count);
            let slack = 3.9 * ((fourths / count - variance * variance).max(0.0) / count).sqrt() + 1e-9 * mean * mean;
            assert!((squares / count - variance).abs() <= slack, "{name}: {} for {variance}", squares / count);
        }
    }

    #[test]
    fn textbook_moments() {
        let near =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} for {expected}");
        near(Dist::gamma(15e6, 0.6).unwrap().variance(), 81e12);
        near(Dist::lognormal(3.0, 2.0).unwrap().mean(), 3.0);
        near(Dist::lognormal(3.0, 2.0).unwrap().variance(), 36.0);
        near(Dist::hyperexponential_balanced(5.0, 2.0).unwrap().mean(), 5.0);
        near(Dist::hyperexponential_balanced(5.0, 2.0).unwrap().variance(), 100.0);
        near(Dist::Normal { mean: 0.0, sd: 2.0, kept: 0.5 }.mean(), 2.0 * (2.0 / std::f64::consts::PI).sqrt());
        near(Dist::pareto(2.0, 3.0, None).unwrap().mean(), 3.0);
        near(Dist::pareto(2.0, 3.0, None).unwrap().variance(), 3.0);
        near(Dist::pareto(1.0, 1.0, Some(std::f64::consts::E)).unwrap().mean(), 1.0 / (1.0 - exp(-1.0)));
        assert!(Dist::pareto(2.0, 1.0, None).unwrap().mean().is_infinite());
        assert!(Dist::pareto(2.0, 2.0, None).unwrap().variance().is_infinite());
        let lognormal = Dist::lognormal_through((0.5, 200e6), (0.99, 900e6)).unwrap();
        near(lognormal.mean(), 200e6 * exp(0.5 * (ln(4.5) / 2.326_347_874_040_841).powi(2)));
    }

    #[test]
    fn types_weigh_by_their_shares() {
        let dist = Dist::by_type(vec![(2, Dist::Constant(10.0)), (1, Dist::Constant(4.0))], Dist::Constant(1.0));
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        near(dist.mean(), 1.0);
        near(dist.mean_for(&[(1, 0.5), (2, 0.25), (7, 0.25)]), 4.75);
        near(dist.variance_for(&[(1, 0.5), (2, 0.5)]), 9.0);
    }

    #[test]
    fn scaling_scales_every_sample() {
        for (name, dist) in zoo() {
            let (stream, tripled) = (Stream::named(12, name), dist.scaled(3.0));
            for n in 0..500 {
                let about = About { index: n, stream, ..About::default() };
                let (one, three) = (dist.sample(&mut stream.at(n), about), tripled.sample(&mut stream.at(n), about));
                assert!((three - 3.0 * one).abs() <= 1e-12 * three, "{name}: {one} became {three}");
            }
            assert!((tripled.mean() / 3.0 - dist.mean()).abs() <= 1e-12 * dist.mean(), "{name}");
        }
        assert_eq!(Dist::Exponential(1.0).scaled(0.0).constant(), Some(0.0));
    }
}
