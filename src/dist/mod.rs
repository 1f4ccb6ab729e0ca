//! Distributions and arrival processes as values: sample, mean, variance, fit to percentiles.
//!
//! A sample is a function of a [`Draws`]: the random numbers of one thing (a message, say). Durations are in ns.

use crate::random::{Draws, Stream};
use crate::time::SimTime;

/// A distribution of non-negative numbers (ns, bytes or counts).
#[derive(Clone, Debug, PartialEq)]
pub enum Dist {
    /// Always this value.
    Constant(f64),
    /// Exponential with this mean.
    Exponential(f64),
}

/// What a distribution may depend on beside chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Key id of the event (`per_key`).
    pub key: u32,
    /// Type of the event (`by_type`).
    pub event_type: u16,
    /// Number of the message (`trace`).
    pub index: u64,
}

impl Dist {
    /// One sample; never negative, never undefined.
    #[must_use]
    pub fn sample(&self, draws: &mut Draws, about: About) -> f64 {
        let _ = about;
        match self {
            Self::Constant(value) => *value,
            Self::Exponential(mean) => -mean * libm::log(draws.unit()),
        }
    }

    /// One sample as a whole number of ns (bytes, things), rounded to the nearest; at most 2^62.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "samples are not negative")]
    pub fn whole(&self, draws: &mut Draws, about: About) -> u64 {
        (self.sample(draws, about) + 0.5) as u64
    }

    /// Whole samples for the messages `ids` (`stream.at(id)` each), the same bits as one by one, but in blocks.
    /// `ids` and `out` have the same length. Only for distributions without `About`; see [`Dist::is_plain`].
    pub fn fill(&self, stream: Stream, ids: &[u64], out: &mut [u64]) {
        for (id, out) in ids.iter().zip(out) {
            *out = self.whole(&mut stream.at(*id), About::default());
        }
    }

    /// Whether samples depend on nothing but chance (no key, type or index).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        true
    }

    /// The value, if it is the same always.
    #[must_use]
    pub fn constant(&self) -> Option<f64> {
        if let Self::Constant(value) = self { Some(*value) } else { None }
    }

    /// Exact mean (infinite where there is none).
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential(mean) => *mean,
        }
    }
}

/// An arrival process.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Poisson with this rate, per second.
    Poisson(f64),
}

/// The times at which one arrival process fires, in order.
#[derive(Clone, Debug)]
pub struct ArrivalTimes {
    stream: Stream,
    mean: f64,
    n: u64,
    now: u64,
}

impl Arrivals {
    /// Starts the process. `bursts` are intervals with a factor by which the rate is multiplied there (sorted; factors of
    /// overlapping intervals multiply).
    #[must_use]
    pub fn start(&self, stream: Stream, bursts: &[(SimTime, SimTime, f64)]) -> ArrivalTimes {
        let _ = bursts;
        let Self::Poisson(rate) = self;
        ArrivalTimes { stream, mean: 1e9 / rate, n: 0, now: 0 }
    }

    /// Mean arrivals per second over the first `duration` of a run, without bursts.
    #[must_use]
    pub fn mean_rate(&self, duration: crate::time::SimSpan) -> f64 {
        let _ = duration;
        match self {
            Self::Poisson(rate) => *rate,
        }
    }
}

impl ArrivalTimes {
    /// Appends the next arrivals to `out`, at least one and at most `block`, or none when the process has ended. Times never decrease.
    pub fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
        for _ in 0..block {
            self.now += Dist::Exponential(self.mean).whole(&mut self.stream.at(self.n), About::default());
            self.n += 1;
            out.push(self.now);
        }
    }
}

/// No key.
pub const NO_KEY: u32 = u32::MAX;
/// Keys.
#[derive(Clone, Debug)]
pub struct KeySampler(crate::plan::KeyPlan);
impl KeySampler {
    /// New.
    #[must_use]
    pub fn new(plan: &crate::plan::KeyPlan) -> Self { Self(plan.clone()) }
    /// Key.
    #[must_use]
    pub fn key(&self, draws: &mut Draws, n: u64) -> u32 {
        match self.0 { crate::plan::KeyPlan::Uniform(k) => ((u128::from(draws.bits()) * u128::from(k)) >> 64) as u32, crate::plan::KeyPlan::Unique => n as u32, _ => NO_KEY }
    }
    /// Block.
    pub fn fill(&self, stream: Stream, first: u64, out: &mut [u32]) {
        for (i, o) in out.iter_mut().enumerate() { *o = self.key(&mut stream.at(first + i as u64), first + i as u64); }
    }
}
