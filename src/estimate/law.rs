//! The law of a time that is one of several kinds, and its percentiles.

use super::formulas::Wait;
use super::gamma::Gamma;
use super::moments::Moments;
use crate::math::exp;

/// The law of one kind of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Law {
    /// Wait and service in M/M/c: exponential service, after an exponential wait for those that wait.
    Exponential {
        /// Share that waits.
        share: f64,
        /// Mean wait of those that do, s.
        wait: f64,
        /// Mean service, s.
        service: f64,
    },
    /// Two moments of it are known.
    Fitted(Gamma),
}

impl Law {
    /// Wait and exponential service.
    pub(super) fn exponential(wait: Wait, service: f64) -> Self {
        let mean = if wait.share > 0.0 { wait.mean / wait.share } else { 0.0 };
        Self::Exponential { share: wait.share, wait: mean, service }
    }

    /// Something with this mean and variance.
    pub(super) fn fitted(moments: Moments) -> Self {
        Self::Fitted(Gamma::fit(moments))
    }

    /// The chance of a longer time than `t`.
    fn later(&self, t: f64) -> f64 {
        match self {
            Self::Exponential { share, wait, service } => {
                let alone = exp(-t / service);
                if *share <= 0.0 || *wait <= 0.0 {
                    return alone;
                }
                let apart = wait - service;
                let both = if apart.abs() < 1e-9 * service {
                    alone * (1.0 + t / service)
                } else {
                    (wait * exp(-t / wait) - service * alone) / apart
                };
                (1.0 - share) * alone + share * both
            }
            Self::Fitted(gamma) => gamma.later(t),
        }
    }
}

/// The time that a share of all does not exceed, of kinds with their weights; none without any.
pub(super) fn quantile(kinds: &[(f64, Law)], share: f64) -> Option<f64> {
    let all: f64 = kinds.iter().map(|kind| kind.0).sum();
    let later = |t: f64| kinds.iter().map(|(weight, law)| weight * law.later(t)).sum::<f64>() / all;
    if all <= 0.0 || !later(0.0).is_finite() {
        return None;
    }
    let (mut low, mut high) = (0.0, 1e-6);
    while later(high) > 1.0 - share {
        (low, high) = (high, 2.0 * high);
        if high > 1e12 {
            return None;
        }
    }
    for _ in 0..48 {
        let middle = 0.5 * (low + high);
        if later(middle) > 1.0 - share { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::formulas::mmc;
    use crate::math::ln;

    #[test]
    fn the_sojourn_in_mm1_is_exponential() {
        let law = Law::exponential(mmc(1, 0.8, 1.0).unwrap(), 1.0);
        for share in [0.5, 0.9, 0.99] {
            let found = quantile(&[(1.0, law)], share).unwrap();
            assert!((found / (-5.0 * ln(1.0 - share)) - 1.0).abs() < 1e-9, "{share}: {found}");
        }
    }

    /// Wait and service of M/M/2 at load 0.5 have the same mean: the case without a quotient. And its mean by its tail.
    #[test]
    fn the_sojourn_in_mmc() {
        for (servers, load) in [(2_u32, 0.5), (2, 0.8), (8, 0.9)] {
            let wait = mmc(servers, load * f64::from(servers), 1.0).unwrap();
            let law = Law::exponential(wait, 1.0);
            let step = 0.001;
            let mean: f64 = (0..200_000).map(|n| law.later(step * (f64::from(n) + 0.5)) * step).sum();
            assert!((mean - wait.mean - 1.0).abs() < 1e-3, "{servers} {load}: {mean}");
        }
    }

    /// Two hundred servers for one erlang: the chance to wait is below the least number there is.
    #[test]
    fn where_nobody_waits_it_is_the_service() {
        let law = Law::exponential(mmc(200, 100.0, 0.01).unwrap(), 0.01);
        let found = quantile(&[(1.0, law)], 0.99).unwrap();
        assert!((found / (-0.01 * ln(0.01)) - 1.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn kinds_are_mixed_by_weight() {
        let [short, long] = [1.0, 9.0].map(|mean| Law::fitted(Moments::constant(mean)));
        let mixed = [(3.0, short), (1.0, long)];
        assert!((quantile(&mixed, 0.7).unwrap() - 1.0).abs() < 1e-6);
        assert!((quantile(&mixed, 0.8).unwrap() - 9.0).abs() < 1e-6);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
