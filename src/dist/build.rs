//! Constructors of [`Dist`]: parameters as people write them, and what is said when they cannot be.

use std::fmt;
use std::sync::Arc;

use crate::dist::{ByType, Dist, Percentiles};
use crate::math::{exp, exp_m1, ln, ln_1p, ln_gamma, normal_cdf, normal_quantile, sqrt};

/// Why parameters describe nothing. The text is written for whoever wrote the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// A parameter must be greater than 0.
    NotPositive(&'static str),
    /// A parameter must not be below 0.
    Negative(&'static str),
    /// The first parameter must not be below the second.
    Below(String, String),
    /// There is nothing to choose from.
    Empty(&'static str),
    /// Anything else, in words.
    Other(&'static str),
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositive(name) => write!(f, "`{name}` must be greater than 0"),
            Self::Negative(name) => write!(f, "`{name}` must not be negative"),
            Self::Below(larger, smaller) => write!(f, "`{larger}` must not be below `{smaller}`"),
            Self::Empty(name) => write!(f, "`{name}` must not be empty"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Impossible {}

/// `value`, if it is a number above 0.
pub(super) fn positive(name: &'static str, value: f64) -> Result<f64, Impossible> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(Impossible::NotPositive(name)) }
}

/// `value`, if it is a number and not below 0.
pub(super) fn not_negative(name: &'static str, value: f64) -> Result<f64, Impossible> {
    if value >= 0.0 && value.is_finite() { Ok(value) } else { Err(Impossible::Negative(name)) }
}

/// Refuses a `larger` parameter that is below a `smaller` one.
fn ordered(smaller: (&str, f64), larger: (&str, f64)) -> Result<(), Impossible> {
    if larger.1 >= smaller.1 { Ok(()) } else { Err(Impossible::Below(larger.0.into(), smaller.0.into())) }
}

/// The scenario's name of a percentile: `median`, `p99.9`; `min` and `max` for 0 and 1.
pub(super) fn percentile_name(probability: f64) -> String {
    match probability {
        0.0 => "min".into(),
        0.5 => "median".into(),
        1.0 => "max".into(),
        p => format!("p{}", (p * 1e8).round() / 1e6),
    }
}

impl Dist {
    /// Exponential.
    ///
    /// # Errors
    /// When the mean is negative.
    pub fn exponential(mean: f64) -> Result<Self, Impossible> {
        let mean = not_negative("mean", mean)?;
        Ok(if mean > 0.0 { Self::Exponential(mean) } else { Self::Constant(0.0) })
    }

    /// Uniform between two ends.
    ///
    /// # Errors
    /// When an end is negative or they are the wrong way round.
    pub fn uniform(low: f64, high: f64) -> Result<Self, Impossible> {
        not_negative("low", low)?;
        not_negative("high", high)?;
        ordered(("low", low), ("high", high))?;
        Ok(if high > low { Self::Uniform { low, high } } else { Self::Constant(low) })
    }

    /// Triangular.
    ///
    /// # Errors
    /// When an end is negative or the three are not in order.
    pub fn triangular(low: f64, mode: f64, high: f64) -> Result<Self, Impossible> {
        not_negative("low", low)?;
        not_negative("high", high)?;
        ordered(("low", low), ("mode", mode))?;
        ordered(("mode", mode), ("high", high))?;
        Ok(if high > low { Self::Triangular { low, mode, high } } else { Self::Constant(low) })
    }

    /// Normal, cut at 0: `mean` and `sd` are those before the cut. What is below 0 is taken away (not moved to 0), so the
    /// mean of what is left is `mean + sd x h`, h being density over probability at `mean / sd`: 1.05 times `mean` at
    /// `sd = mean / 2`, 1.29 times at `sd = mean`.
    ///
    /// # Errors
    /// When a parameter is negative.
    pub fn normal(mean: f64, sd: f64) -> Result<Self, Impossible> {
        not_negative("mean", mean)?;
        not_negative("sd", sd)?;
        Ok(if sd > 0.0 { Self::Normal { mean, sd, kept: normal_cdf(mean / sd) } } else { Self::Constant(mean) })
    }

    /// Lognormal through two percentiles, each a probability (0.99) and its value.
    ///
    /// # Errors
    /// When a value is not positive or the higher percentile has the lower value.
    pub fn lognormal_through(one: (f64, f64), other: (f64, f64)) -> Result<Self, Impossible> {
        let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        if !(low.0 > 0.0 && low.0 < high.0 && high.0 < 1.0) {
            return Err(Impossible::Other("two different percentiles are needed"));
        }
        positive("percentiles", low.1)?;
        positive("percentiles", high.1)?;
        ordered((&percentile_name(low.0), low.1), (&percentile_name(high.0), high.1))?;
        let (z_low, z_high) = (normal_quantile(low.0), normal_quantile(high.0));
        let sigma = (ln(high.1) - ln(low.1)) / (z_high - z_low);
        Ok(if sigma > 0.0 { Self::Lognormal { mu: ln(low.1) - sigma * z_low, sigma } } else { Self::Constant(low.1) })
    }

    /// Lognormal with this mean and coefficient of variation (standard deviation over mean).
    ///
    /// # Errors
    /// When the mean is not positive or `cv` is negative.
    pub fn lognormal(mean: f64, cv: f64) -> Result<Self, Impossible> {
        positive("mean", mean)?;
        not_negative("cv", cv)?;
        let square = ln_1p(cv * cv);
        Ok(if cv > 0.0 {
            Self::Lognormal { mu: ln(mean) - square / 2.0, sigma: sqrt(square) }
        } else {
            Self::Constant(mean)
        })
    }

    /// Gamma with this mean and coefficient of variation.
    ///
    /// # Errors
    /// When the mean is not positive or `cv` is negative.
    pub fn gamma(mean: f64, cv: f64) -> Result<Self, Impossible> {
        positive("mean", mean)?;
        not_negative("cv", cv)?;
        Ok(if cv > 0.0 { Self::Gamma { shape: 1.0 / (cv * cv), scale: mean * cv * cv } } else { Self::Constant(mean) })
    }

    /// Erlang: the sum of `shape` exponential phases with this mean together.
    ///
    /// # Errors
    /// When a parameter is not positive.
    pub fn erlang(shape: u32, mean: f64) -> Result<Self, Impossible> {
        positive("shape", f64::from(shape))?;
        positive("mean", mean)?;
        Ok(Self::Erlang { shape, mean })
    }

    /// Hyperexponential: one of several exponential branches, each a weight and a mean.
    ///
    /// # Errors
    /// As for [`Dist::mixture`] and [`Dist::exponential`].
    pub fn hyperexponential(branches: &[(f64, f64)]) -> Result<Self, Impossible> {
        let branch = |(weight, mean): &(f64, f64)| Ok((*weight, Self::exponential(*mean)?));
        Self::mixture(branches.iter().map(branch).collect::<Result<_, _>>()?)
    }

    /// Hyperexponential with two branches that contribute equally to the mean (balanced means).
    ///
    /// # Errors
    /// When the mean is not positive or `cv` is below 1.
    pub fn hyperexponential_balanced(mean: f64, cv: f64) -> Result<Self, Impossible> {
        positive("mean", mean)?;
        if !(cv >= 1.0 && cv.is_finite()) {
            let text = "`cv` of a hyperexponential distribution must be at least 1 (`gamma` takes any)";
            return Err(Impossible::Other(text));
        }
        let square = cv * cv;
        let first = 0.5 * (1.0 + sqrt((square - 1.0) / (square + 1.0)));
        let second = 1.0 - first;
        Self::hyperexponential(&[(first, mean / (2.0 * first)), (second, mean / (2.0 * second))])
    }

    /// Weibull with this shape and scale.
    ///
    /// # Errors
    /// When a parameter is not positive.
    pub fn weibull(shape: f64, scale: f64) -> Result<Self, Impossible> {
        Ok(Self::Weibull { shape: positive("shape", shape)?, scale: positive("scale", scale)? })
    }

    /// Weibull with this mean and coefficient of variation.
    ///
    /// # Errors
    /// When the mean is not positive, or `cv` is outside of 0.002 to 1000 (0 is a constant).
    pub fn weibull_mean(mean: f64, cv: f64) -> Result<Self, Impossible> {
        positive("mean", mean)?;
        not_negative("cv", cv)?;
        if cv <= 0.0 {
            return Ok(Self::Constant(mean));
        }
        if !(0.002..=1000.0).contains(&cv) {
            return Err(Impossible::Other("`cv` of a Weibull distribution must be between 0.002 and 1000"));
        }
        let shape = weibull_shape(cv);
        Ok(Self::Weibull { shape, scale: mean / exp(ln_gamma(1.0 + 1.0 / shape)) })
    }

    /// Pareto from `min`, with tail index `alpha`, cut at `max`.
    ///
    /// # Errors
    /// When a parameter is not positive or `max` is below `min`.
    pub fn pareto(min: f64, alpha: f64, max: Option<f64>) -> Result<Self, Impossible> {
        positive("min", min)?;
        positive("alpha", alpha)?;
        let max = max.unwrap_or(f64::INFINITY);
        ordered(("min", min), ("max", max))?;
        Ok(if max > min { Self::Pareto { min, alpha, max } } else { Self::Constant(min) })
    }

    /// Through percentiles, each a probability and its value; probability 0 is the minimum, 1 the maximum. What lies
    /// between and beyond them is said at [`Percentiles`].
    ///
    /// # Errors
    /// When there are fewer than two, one is given twice, a value is not positive (a minimum of 0 counts as not given),
    /// or a higher percentile has a lower value.
    pub fn percentiles(points: &[(f64, f64)]) -> Result<Self, Impossible> {
        let mut points: Vec<_> = points.iter().copied().filter(|(p, value)| *p > 0.0 || *value > 0.0).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.iter().any(|(p, _)| !(0.0..=1.0).contains(p)) {
            return Err(Impossible::Other("percentiles must be between 0 and 100 %"));
        }
        for (_, value) in &points {
            positive("percentiles", *value)?;
        }
        for pair in points.windows(2) {
            ordered((&percentile_name(pair[0].0), pair[0].1), (&percentile_name(pair[1].0), pair[1].1))?;
            if pair[1].0 <= pair[0].0 {
                return Err(Impossible::Other("a percentile is given twice"));
            }
        }
        match points.as_slice() {
            [] | [_] => Err(Impossible::Other("at least two percentiles are needed")),
            [first, .., last] if last.1 <= first.1 => Ok(Self::Constant(first.1)),
            points => Ok(Self::Percentiles(Arc::new(Percentiles::through(points)))),
        }
    }

    /// One of these samples.
    ///
    /// # Errors
    /// When there are none, or one is negative.
    pub fn empirical(mut samples: Vec<f64>) -> Result<Self, Impossible> {
        checked_list("samples", &samples)?;
        samples.sort_by(f64::total_cmp);
        Ok(Self::Empirical(samples.into()))
    }

    /// One of several distributions, each with its weight (any scale; the weights need not add up to 1).
    ///
    /// # Errors
    /// When a weight is negative or all are 0.
    pub fn mixture(parts: Vec<(f64, Self)>) -> Result<Self, Impossible> {
        let mut sum = 0.0;
        for (weight, _) in &parts {
            sum += not_negative("weight", *weight)?;
        }
        positive("weight", sum)?;
        let mut seen = 0.0;
        let parts = parts.into_iter().filter(|(weight, _)| *weight > 0.0).map(|(weight, of)| {
            seen += weight;
            (seen / sum, of)
        });
        Ok(Self::Mixture(parts.collect()))
    }

    /// `by` more than another distribution.
    ///
    /// # Errors
    /// When `by` is negative.
    pub fn shifted(by: f64, of: Self) -> Result<Self, Impossible> {
        not_negative("by", by)?;
        Ok(match of {
            Self::Constant(value) => Self::Constant(by + value),
            of => Self::Shifted(Arc::new((by, of))),
        })
    }

    /// Drawn once for each key.
    #[must_use]
    pub fn per_key(of: Self) -> Self {
        Self::PerKey(Arc::new(of))
    }

    /// By the event's type. Of two entries for one type the first counts.
    #[must_use]
    pub fn by_type(mut types: Vec<(u16, Self)>, other: Self) -> Self {
        types.sort_by_key(|(event_type, _)| *event_type);
        types.dedup_by_key(|(event_type, _)| *event_type);
        Self::ByType(Arc::new(ByType { types, other }))
    }

    /// The n-th value belongs to the n-th message.
    ///
    /// # Errors
    /// When there are no values, or one is negative.
    pub fn trace(values: Vec<f64>) -> Result<Self, Impossible> {
        checked_list("values", &values)?;
        Ok(Self::Trace(values.into()))
    }
}

fn checked_list(name: &'static str, values: &[f64]) -> Result<(), Impossible> {
    if values.is_empty() {
        return Err(Impossible::Empty(name));
    }
    values.iter().try_for_each(|value| not_negative(name, *value).map(|_| ()))
}

/// The Weibull shape with a given `cv`, by bisection on its logarithm: `cv` falls as the shape grows.
fn weibull_shape(cv: f64) -> f64 {
    let square = |shape: f64| exp_m1(ln_gamma(1.0 + 2.0 / shape) - 2.0 * ln_gamma(1.0 + 1.0 / shape));
    let (mut low, mut high) = (ln(0.05), ln(1000.0));
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if square(exp(middle)) > cv * cv { low = middle } else { high = middle }
    }
    exp(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_parameters_are_refused_in_words() {
        let said = |dist: Result<Dist, Impossible>| dist.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(said(Dist::gamma(5.0, -1.0)), "`cv` must not be negative");
        assert_eq!(said(Dist::gamma(0.0, 1.0)), "`mean` must be greater than 0");
        assert_eq!(said(Dist::lognormal_through((0.99, 1.0), (0.5, 2.0))), "`p99` must not be below `median`");
        assert_eq!(said(Dist::lognormal_through((0.5, 1.0), (0.5, 2.0))), "two different percentiles are needed");
        assert_eq!(said(Dist::percentiles(&[(0.5, 3.0), (0.999, 2.0)])), "`p99.9` must not be below `median`");
        assert_eq!(said(Dist::percentiles(&[(0.9, 3.0), (1.0, 2.0)])), "`max` must not be below `p90`");
        assert_eq!(said(Dist::percentiles(&[(0.5, 3.0)])), "at least two percentiles are needed");
        assert_eq!(said(Dist::uniform(2.0, 1.0)), "`high` must not be below `low`");
        assert_eq!(said(Dist::triangular(1.0, 3.0, 2.0)), "`high` must not be below `mode`");
        assert_eq!(said(Dist::pareto(2.0, 1.5, Some(1.0))), "`max` must not be below `min`");
        assert_eq!(said(Dist::empirical(Vec::new())), "`samples` must not be empty");
        assert_eq!(said(Dist::mixture(vec![(0.0, Dist::Constant(1.0))])), "`weight` must be greater than 0");
        assert!(said(Dist::hyperexponential_balanced(1.0, 0.5)).contains("at least 1"));
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(
                Dist::exponential(bad).is_err() && Dist::weibull(1.0, bad).is_err() && Dist::erlang(2, bad).is_err()
            );
            assert!(
                Dist::normal(1.0, bad).is_err()
                    && Dist::trace(vec![bad]).is_err()
                    && Dist::lognormal(bad, 1.0).is_err()
            );
        }
    }

    #[test]
    fn without_spread_every_family_is_a_constant() {
        let seven = Some(7.0);
        assert_eq!(Dist::gamma(7.0, 0.0).unwrap().constant(), seven);
        assert_eq!(Dist::lognormal(7.0, 0.0).unwrap().constant(), seven);
        assert_eq!(Dist::weibull_mean(7.0, 0.0).unwrap().constant(), seven);
        assert_eq!(Dist::normal(7.0, 0.0).unwrap().constant(), seven);
        assert_eq!(Dist::uniform(7.0, 7.0).unwrap().constant(), seven);
        assert_eq!(Dist::percentiles(&[(0.5, 7.0), (0.9, 7.0)]).unwrap().constant(), seven);
        assert_eq!(Dist::shifted(3.0, Dist::Constant(4.0)).unwrap().constant(), seven);
    }

    #[test]
    fn weibull_shapes_solve_for_cv() {
        assert!((weibull_shape(1.0) - 1.0).abs() < 1e-9);
        assert!((weibull_shape(sqrt(5.0)) - 0.5).abs() < 1e-9);
        for cv in [0.002, 0.1, 3.0, 1000.0] {
            let dist = Dist::weibull_mean(2.0, cv).unwrap();
            let found = sqrt(dist.variance()) / dist.mean();
            assert!((found / cv - 1.0).abs() < 1e-6 && (dist.mean() - 2.0).abs() < 1e-9, "{cv}: {found}");
        }
    }
}
