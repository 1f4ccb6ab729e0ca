//! The distribution through the figures of a dashboard.

use crate::math::{exp, ln, normal_cdf, normal_quantile, quick_exp};

/// A distribution through given percentiles.
///
/// Between two percentiles it is the lognormal distribution through both: the logarithm of the value is linear in the
/// normal quantile of the probability. Two percentiles alone thus give exactly that lognormal distribution, and the
/// percentiles of a lognormal give it back. Beyond the outermost percentile the last piece goes on, unless a minimum or
/// a maximum is given: these count as the least and the greatest of a million values (of ten times as many as the
/// outermost percentile speaks of, if that is more), and nothing lies beyond them.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles {
    low: f64,
    high: f64,
    pieces: Vec<Piece>,
}

/// Between the normal quantiles `from` and `to` the logarithm of the value is `intercept + slope x quantile`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    from: f64,
    to: f64,
    intercept: f64,
    slope: f64,
}

/// The probability that stands for a minimum, and its complement for a maximum.
const ONE_IN_A_MILLION: f64 = 1e-6;

impl Percentiles {
    /// Through at least two points (probability, value), both rising, values above 0; probability 0 is the minimum, 1 the
    /// maximum. See [`crate::dist::Dist::percentiles`], which checks.
    pub(super) fn through(points: &[(f64, f64)]) -> Self {
        let has_min = points.first().is_some_and(|(p, _)| *p <= 0.0);
        let has_max = points.last().is_some_and(|(p, _)| *p >= 1.0);
        let inner = &points[usize::from(has_min)..points.len() - usize::from(has_max)];
        let least = inner.first().map_or(1.0, |(p, _)| *p).min(10.0 * ONE_IN_A_MILLION) / 10.0;
        let most = inner.last().map_or(1.0, |(p, _)| 1.0 - p).min(10.0 * ONE_IN_A_MILLION) / 10.0;
        let quantile = |p: f64| match p {
            p if p <= 0.0 => normal_quantile(least),
            p if p >= 1.0 => -normal_quantile(most),
            p => normal_quantile(p),
        };
        let nodes: Vec<(f64, f64)> = points.iter().map(|(p, value)| (quantile(*p), ln(*value))).collect();
        let mut pieces: Vec<Piece> = nodes.windows(2).map(|pair| Piece::between(pair[0], pair[1])).collect();
        let (first, last) = (points[0].1, points[points.len() - 1].1);
        if !has_min && let Some(piece) = pieces.first_mut() {
            piece.from = f64::NEG_INFINITY;
        }
        if !has_max && let Some(piece) = pieces.last_mut() {
            piece.to = f64::INFINITY;
        }
        Self { low: if has_min { first } else { 0.0 }, high: if has_max { last } else { f64::INFINITY }, pieces }
    }

    /// The value that a share `probability` (strictly between 0 and 1) does not exceed.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        let z = normal_quantile(probability);
        let at = self.pieces.partition_point(|piece| piece.to < z).min(self.pieces.len() - 1);
        let piece = &self.pieces[at];
        quick_exp(piece.intercept + piece.slope * z.clamp(piece.from, piece.to)).clamp(self.low, self.high)
    }

    /// Mean of the k-th power, exact.
    pub(super) fn moment(&self, k: f64) -> f64 {
        let inner: f64 = self.pieces.iter().map(|piece| piece.moment(k)).sum();
        let ends = [(self.low, normal_cdf(self.start())), (self.high, normal_cdf(-self.end()))];
        let atoms: f64 = ends.iter().filter(|(_, p)| *p > 0.0).map(|(value, p)| exp(k * ln(*value)) * p).sum();
        inner + atoms
    }

    fn start(&self) -> f64 {
        self.pieces[0].from
    }

    fn end(&self) -> f64 {
        self.pieces[self.pieces.len() - 1].to
    }

    /// All values `factor` times as large.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let more = ln(factor);
        let pieces = self.pieces.iter().map(|piece| Piece { intercept: piece.intercept + more, ..*piece }).collect();
        Self { low: self.low * factor, high: self.high * factor, pieces }
    }

    /// The share of values that do not exceed `value`.
    #[cfg(test)]
    pub(super) fn cdf(&self, value: f64) -> f64 {
        if value >= self.high {
            return 1.0;
        }
        let ends_above = |piece: &&Piece| piece.intercept + piece.slope * piece.to > ln(value);
        let z = self
            .pieces
            .iter()
            .find(ends_above)
            .map_or(f64::INFINITY, |piece| ((ln(value) - piece.intercept) / piece.slope).max(piece.from));
        if value < self.low { 0.0 } else { normal_cdf(z) }
    }
}

impl Piece {
    fn between(a: (f64, f64), b: (f64, f64)) -> Self {
        let slope = (b.1 - a.1) / (b.0 - a.0);
        Self { from: a.0, to: b.0, intercept: a.1 - slope * a.0, slope }
    }

    /// Its part of the mean of the k-th power: a lognormal moment between two bounds.
    fn moment(&self, k: f64) -> f64 {
        let slope = k * self.slope;
        exp(k * self.intercept + slope * slope / 2.0) * normal_between(self.from - slope, self.to - slope)
    }
}

/// The probability of a standard normal variable between two bounds, exact in both tails.
fn normal_between(from: f64, to: f64) -> f64 {
    if from > 0.0 { normal_cdf(-from) - normal_cdf(-to) } else { normal_cdf(to) - normal_cdf(from) }
}

#[cfg(test)]
mod tests {
    use crate::dist::Dist;
    use crate::math::normal_quantile;

    fn quantile(dist: &Dist, p: f64) -> f64 {
        let Dist::Percentiles(percentiles) = dist else { panic!("{dist:?}") };
        percentiles.quantile(p)
    }

    #[test]
    fn every_given_figure_is_hit() {
        let points = [(0.0, 1e6), (0.5, 12e6), (0.9, 40e6), (0.99, 250e6), (0.999, 900e6), (1.0, 4e9)];
        let dist = Dist::percentiles(&points).unwrap();
        for (p, value) in &points[1..5] {
            assert!((quantile(&dist, *p) / value - 1.0).abs() < 1e-12, "{p}");
        }
        assert!((quantile(&dist, 1e-9) - 1e6).abs() < 1e-3 && (quantile(&dist, 1.0 - 1e-9) - 4e9).abs() < 1e-3);
        assert!(quantile(&dist, 0.9999) < 1.6e9);
    }

    #[test]
    fn percentiles_of_a_lognormal_give_it_back() {
        let (mu, sigma) = (16.0, 0.8);
        let value = |p: f64| crate::math::exp(mu + sigma * normal_quantile(p));
        let dist = Dist::percentiles(&[0.5, 0.9, 0.99].map(|p| (p, value(p)))).unwrap();
        let lognormal = Dist::Lognormal { mu, sigma };
        assert!((dist.mean() / lognormal.mean() - 1.0).abs() < 1e-12);
        assert!((dist.variance() / lognormal.variance() - 1.0).abs() < 1e-12);
        for p in [1e-9, 0.3, 0.95, 0.99999] {
            assert!((quantile(&dist, p) / value(p) - 1.0).abs() < 1e-12, "{p}");
        }
    }

    #[test]
    fn a_minimum_of_zero_is_none_and_a_flat_piece_is_an_atom() {
        let dist = Dist::percentiles(&[(0.0, 0.0), (0.5, 10.0), (0.9, 10.0), (0.99, 20.0)]).unwrap();
        assert!((quantile(&dist, 0.7) - 10.0).abs() < 1e-9 && (quantile(&dist, 0.01) - 10.0).abs() < 1e-9);
        assert!(quantile(&dist, 0.999) > 20.0);
    }
}
