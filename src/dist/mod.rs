//! Distributions and arrival processes as values: sample, mean, variance, fit to percentiles.
//!
//! A sample is a function of a [`Draws`]: the random numbers of one thing (a message, say). Durations are in ns. Values
//! of [`Dist`] and [`Arrivals`] come from constructors that refuse impossible parameters in words for the user.

mod alias;
mod arrivals;
#[cfg(test)]
mod arrivals_fit;
mod block;
mod build;
mod expected;
#[cfg(test)]
mod fit;
mod keys;
mod moments;
mod pace;
mod percentiles;
mod times;

pub use arrivals::{Arrivals, Replay};
pub use block::CHUNK;
pub use build::Impossible;
pub use keys::{KeyPlan, KeySampler, NO_KEY};
pub use percentiles::Percentiles;
pub use times::ArrivalTimes;

use std::sync::Arc;

use crate::math::{normal_quantile, quick_exp, quick_ln, sqrt};
use crate::random::{Draws, Stream};

/// The largest whole sample: 2^62 (146 years in ns).
pub const MOST: u64 = 1 << 62;

/// A distribution of non-negative numbers (ns, bytes or counts).
///
/// Cheap to clone: what is long is shared. Samples that are used as whole numbers are rounded to the nearest, so a
/// uniform count from 1 to 3 is 1 in a quarter of the cases.
#[derive(Clone, Debug, PartialEq)]
pub enum Dist {
    /// Always this value.
    Constant(f64),
    /// Exponential with this mean.
    Exponential(f64),
    /// Equally likely between two ends.
    Uniform {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Linear up to the mode, linear down from it.
    Triangular {
        /// Lower end.
        low: f64,
        /// Most likely value.
        mode: f64,
        /// Upper end.
        high: f64,
    },
    /// Normal without its part below 0 (the rest scaled up): what is left has a larger mean, see [`Dist::mean`].
    Normal {
        /// Mean before the cut.
        mean: f64,
        /// Standard deviation before the cut.
        sd: f64,
        /// Share of the uncut distribution that is above 0.
        kept: f64,
    },
    /// The exponential of a normal distribution.
    Lognormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Gamma.
    Gamma {
        /// Shape, `1 / cv^2`.
        shape: f64,
        /// Scale, mean over shape.
        scale: f64,
    },
    /// Sum of `shape` exponential phases.
    Erlang {
        /// Number of phases.
        shape: u32,
        /// Mean of the sum.
        mean: f64,
    },
    /// Weibull.
    Weibull {
        /// Shape: below 1 the tail is heavier than exponential.
        shape: f64,
        /// Scale: the value that 63 % do not exceed.
        scale: f64,
    },
    /// Pareto, cut at `max` (the rest scaled up).
    Pareto {
        /// Smallest value.
        min: f64,
        /// Tail index.
        alpha: f64,
        /// Largest value; infinite: none.
        max: f64,
    },
    /// Through the figures of a dashboard.
    Percentiles(Arc<Percentiles>),
    /// One of these samples (sorted), each equally likely.
    Empirical(Arc<[f64]>),
    /// One of several, with the sum of the shares up to and including each.
    Mixture(Arc<[(f64, Dist)]>),
    /// A constant more than another distribution.
    Shifted(Arc<(f64, Dist)>),
    /// Drawn once for each key; drawn each time where there is no key.
    PerKey(Arc<Dist>),
    /// By the event's type.
    ByType(Arc<ByType>),
    /// The n-th value belongs to the n-th message, again from the start after the end.
    Trace(Arc<[f64]>),
}

/// A distribution for each event type.
#[derive(Clone, Debug, PartialEq)]
pub struct ByType {
    /// Distributions of some types, sorted by type.
    pub types: Vec<(u16, Dist)>,
    /// All other types.
    pub other: Dist,
}

impl ByType {
    /// The distribution of one type.
    #[must_use]
    pub fn of(&self, event_type: u16) -> &Dist {
        let found = self.types.binary_search_by_key(&event_type, |(of, _)| *of);
        found.map_or(&self.other, |at| &self.types[at].1)
    }
}

/// What a distribution may depend on beside chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Key id of the event (`per_key`); [`NO_KEY`]: none.
    pub key: u32,
    /// Type of the event (`by_type`).
    pub event_type: u16,
    /// Number of the message (`trace`).
    pub index: u64,
    /// The run's stream for this purpose (`email/service`): `per_key` draws the values of its keys from a part of it, so
    /// it is the same for every message, attempt and worker.
    pub stream: Stream,
}

impl Default for About {
    /// Nothing is known: no key, no type, message 0.
    fn default() -> Self {
        Self { key: NO_KEY, event_type: 0, index: 0, stream: Stream::default() }
    }
}

/// The part of a stream that `per_key` draws from ("per_key" in ASCII).
const PER_KEY: u64 = 0x0070_6572_5F6B_6579;

impl Dist {
    /// One sample; never negative, never undefined.
    #[inline(always)]
    #[must_use]
    pub fn sample(&self, draws: &mut Draws, about: About) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential(mean) => -mean * quick_ln(draws.unit()),
            Self::Uniform { low, high } => low + (high - low) * draws.unit(),
            Self::Lognormal { mu, sigma } => quick_exp(mu + sigma * normal_quantile(draws.unit())),
            _ => self.sample_rare(draws, about).min(f64::MAX),
        }
    }

    fn sample_rare(&self, draws: &mut Draws, about: About) -> f64 {
        match self {
            Self::Constant(_) | Self::Exponential(_) | Self::Uniform { .. } | Self::Lognormal { .. } => {
                self.sample(draws, about)
            }
            Self::Triangular { low, mode, high } => triangular(*low, *mode, *high, draws.unit()),
            Self::Normal { mean, sd, kept } => (mean - sd * normal_quantile(draws.unit() * kept)).max(0.0),
            Self::Gamma { shape, scale } => scale * standard_gamma(*shape, draws),
            Self::Erlang { shape, mean } => mean / f64::from(*shape) * standard_erlang(*shape, draws),
            Self::Weibull { shape, scale } => scale * quick_exp(quick_ln(-quick_ln(draws.unit())) / shape),
            Self::Pareto { min, alpha, max } => pareto(*min, *alpha, *max, draws.unit()),
            Self::Percentiles(percentiles) => percentiles.quantile(draws.unit()),
            Self::Empirical(samples) => samples[below(samples.len(), draws.bits())],
            Self::Mixture(parts) => part(parts, draws.unit()).sample(draws, about),
            Self::Shifted(shifted) => shifted.0 + shifted.1.sample(draws, about),
            Self::PerKey(of) if about.key == NO_KEY => of.sample(draws, about),
            Self::PerKey(of) => of.sample(&mut about.stream.part(PER_KEY).at(u64::from(about.key)), about),
            Self::ByType(by_type) => by_type.of(about.event_type).sample(draws, about),
            Self::Trace(values) => values[wrapped(about.index, values.len())],
        }
    }

    /// One sample as a whole number of ns (bytes, things), rounded to the nearest (halves to the even one); at most
    /// [`MOST`].
    #[inline]
    #[must_use]
    pub fn whole(&self, draws: &mut Draws, about: About) -> u64 {
        block::to_whole(self.sample(draws, about))
    }

    /// Whether samples depend on nothing but chance (no key, type or index).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self {
            Self::PerKey(_) | Self::ByType(_) | Self::Trace(_) => false,
            Self::Shifted(shifted) => shifted.1.is_plain(),
            Self::Mixture(parts) => parts.iter().all(|(_, of)| of.is_plain()),
            _ => true,
        }
    }

    /// The value, if it is the same always.
    #[must_use]
    pub fn constant(&self) -> Option<f64> {
        if let Self::Constant(value) = self { Some(*value) } else { None }
    }
}

/// A whole number below `count`, from 64 random bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below `count`")]
fn below(count: usize, bits: u64) -> usize {
    ((u128::from(bits) * count as u128) >> 64) as usize
}

/// The n-th place of a list that starts again after its end.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a length")]
fn wrapped(n: u64, length: usize) -> usize {
    (n % length as u64) as usize
}

/// The part of a mixture that a number between 0 and 1 selects.
fn part(parts: &[(f64, Dist)], unit: f64) -> &Dist {
    let at = parts.partition_point(|(upto, _)| *upto <= unit);
    &parts[at.min(parts.len() - 1)].1
}

fn triangular(low: f64, mode: f64, high: f64, unit: f64) -> f64 {
    let (width, left) = (high - low, mode - low);
    if unit * width < left {
        low + sqrt(unit * width * left)
    } else {
        high - sqrt((1.0 - unit) * width * (high - mode))
    }
}

fn pareto(min: f64, alpha: f64, max: f64, unit: f64) -> f64 {
    // The share of the uncut distribution that is above `max`.
    let beyond = if max.is_finite() { quick_exp(alpha * quick_ln(min / max)) } else { 0.0 };
    let above = beyond + unit * (1.0 - beyond);
    (min * quick_exp(-quick_ln(above) / alpha)).min(max)
}

/// Gamma with mean `shape`, by rejection (Marsaglia and Tsang, ACM Transactions on Mathematical Software 26, 2000).
fn standard_gamma(shape: f64, draws: &mut Draws) -> f64 {
    if shape < 1.0 {
        let boost = quick_exp(quick_ln(draws.unit()) / shape);
        return standard_gamma(shape + 1.0, draws) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (3.0 * sqrt(d));
    loop {
        let x = normal_quantile(draws.unit());
        let unit = draws.unit();
        let root = 1.0 + c * x;
        let v = root * root * root;
        if root > 0.0 && quick_ln(unit) < 0.5 * x * x + d * (1.0 - v + quick_ln(v)) {
            return d * v;
        }
    }
}

/// Sum of `shape` exponential variables with mean 1; above 64 of them by the gamma distribution.
fn standard_erlang(shape: u32, draws: &mut Draws) -> f64 {
    if shape > 64 {
        return standard_gamma(f64::from(shape), draws);
    }
    let (mut sum, mut product) = (0.0, 1.0);
    for phase in 1..=shape {
        product *= draws.unit();
        // Sixteen factors of at least 2^-53 are still a normal number.
        if phase % 16 == 0 || phase == shape {
            sum -= quick_ln(product);
            product = 1.0;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(key: u32, stream: Stream) -> About {
        About { key, stream, ..About::default() }
    }

    #[test]
    fn a_distribution_is_small() {
        assert!(size_of::<Dist>() <= 32, "{}", size_of::<Dist>());
    }

    #[test]
    fn a_key_keeps_its_value_and_another_run_gives_it_another() {
        let dist = Dist::per_key(Dist::Exponential(1e6));
        let (one, two) = (Stream::named(1, "email/service"), Stream::named(2, "email/service"));
        let value = |stream: Stream, key: u32, n: u64| dist.whole(&mut stream.at(n), about(key, stream));
        assert_eq!(value(one, 5, 0), value(one, 5, 77));
        assert_ne!(value(one, 5, 0), value(one, 6, 0));
        assert_ne!(value(one, 5, 0), value(two, 5, 0));
        assert_ne!(value(one, NO_KEY, 0), value(one, NO_KEY, 1), "without a key every event is drawn");
        let keys = (0..50_000).map(|key| dist.sample(&mut one.at(0), about(key, one))).collect();
        assert!(fit::kolmogorov(keys, |x| 1.0 - crate::math::exp(-x / 1e6)) < 1.949);
        assert!(!dist.is_plain() && (dist.mean() - 1e6).abs() < 1e-9);
    }

    #[test]
    fn types_and_traces_select_their_values() {
        let stream = Stream::named(1, "select");
        let by_type = Dist::by_type(vec![(3, Dist::Constant(7.0)), (1, Dist::Constant(5.0))], Dist::Constant(1.0));
        let of = |event_type| by_type.whole(&mut stream.at(0), About { event_type, ..About::default() });
        assert_eq!([of(0), of(1), of(2), of(3)], [1, 5, 1, 7]);
        let trace = Dist::trace(vec![4.0, 2.0, 9.0]).unwrap();
        let at = |index| trace.whole(&mut stream.at(0), About { index, ..About::default() });
        assert_eq!([at(0), at(1), at(2), at(3), at(1_000_000)], [4, 2, 9, 4, 2]);
        assert!(!by_type.is_plain() && !trace.is_plain());
        assert!(!Dist::shifted(1.0, trace.clone()).unwrap().is_plain());
        assert!(!Dist::mixture(vec![(1.0, by_type), (1.0, Dist::Constant(1.0))]).unwrap().is_plain());
        assert!(Dist::mixture(vec![(1.0, Dist::Exponential(1.0))]).unwrap().is_plain());
    }

    #[test]
    fn extreme_parameters_give_no_nonsense() {
        let stream = Stream::named(1, "extreme");
        let extreme = [
            Dist::gamma(1e9, 100.0).unwrap(),
            Dist::gamma(1e9, 1e-6).unwrap(),
            Dist::weibull(0.01, 1e9).unwrap(),
            Dist::pareto(1e9, 0.001, None).unwrap(),
            Dist::pareto(1e-3, 50.0, Some(1e18)).unwrap(),
            Dist::lognormal(1e18, 1e6).unwrap(),
            Dist::normal(0.0, 1e9).unwrap(),
            Dist::percentiles(&[(0.5, 1e-3), (0.51, 1e18)]).unwrap(),
            Dist::Exponential(1e300),
        ];
        for dist in extreme {
            for n in 0..20_000 {
                let sample = dist.sample(&mut stream.at(n), About::default());
                assert!(sample >= 0.0 && sample.is_finite(), "{dist:?}: {sample}");
                assert!(dist.whole(&mut stream.at(n), About::default()) <= MOST);
            }
        }
    }
}
