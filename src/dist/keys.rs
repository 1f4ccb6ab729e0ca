//! Which key the n-th arrival has.

use std::sync::Arc;

use crate::dist::alias::Alias;
use crate::dist::{below, wrapped};
use crate::math::{exp, exp_m1, ln, ln_1p};
use crate::random::{Draws, Stream};

/// The key id of an event without a key.
pub const NO_KEY: u32 = u32::MAX;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyPlan {
    /// No key, no order.
    None,
    /// A new key for every message.
    Unique,
    /// One of `0..n`, equally likely.
    Uniform(u32),
    /// Key `i` of `0..keys` with weight `(i + 1)^-exponent`.
    Zipf {
        /// Number of keys.
        keys: u32,
        /// Skew; 0 is uniform.
        exponent: f64,
    },
    /// Key ids with their shares (which add up to 1).
    Weighted(Vec<(u32, f64)>),
    /// The n-th arrival has the n-th key id of the list, again from the start after the end.
    Trace(Vec<u32>),
}

/// Up to so many keys a Zipf distribution is a table (8 bytes a key); beyond, a rejection loop.
const TABLE: u32 = 1 << 22;

/// Draws keys as a [`KeyPlan`] says. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeySampler {
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    None,
    Unique,
    Uniform(u32),
    Ranks(Arc<Alias>),
    Weighted(Arc<(Vec<u32>, Alias)>),
    Zipf(Zipf),
    Trace(Arc<[u32]>),
}

impl KeySampler {
    /// Prepares the tables. A plan without any key to give (no keys, no weight, an empty list) gives [`NO_KEY`].
    #[must_use]
    pub fn new(plan: &KeyPlan) -> Self {
        let method = match plan {
            KeyPlan::Unique => Method::Unique,
            KeyPlan::Uniform(keys) if *keys > 0 => Method::Uniform(*keys),
            KeyPlan::Zipf { keys, .. } if *keys == 0 => Method::None,
            KeyPlan::Zipf { keys, exponent } if *exponent <= 0.0 => Method::Uniform(*keys),
            KeyPlan::Zipf { keys, exponent } if *keys <= TABLE => {
                let weights: Vec<f64> = (1..=*keys).map(|rank| exp(-exponent * ln(f64::from(rank)))).collect();
                Method::Ranks(Arc::new(Alias::new(&weights)))
            }
            KeyPlan::Zipf { keys, exponent } => Method::Zipf(Zipf::new(*keys, *exponent)),
            KeyPlan::Weighted(shares) if shares.iter().any(|(_, share)| *share > 0.0) => {
                let (keys, weights): (Vec<u32>, Vec<f64>) =
                    shares.iter().map(|(key, share)| (*key, share.max(0.0))).unzip();
                Method::Weighted(Arc::new((keys, Alias::new(&weights))))
            }
            KeyPlan::Trace(keys) if !keys.is_empty() => Method::Trace(keys.as_slice().into()),
            KeyPlan::None | KeyPlan::Uniform(_) | KeyPlan::Weighted(_) | KeyPlan::Trace(_) => Method::None,
        };
        Self { method }
    }

    /// The key of one arrival.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "remainders and ranks below 2^32")]
    pub fn key(&self, draws: &mut Draws, arrival_index: u64) -> u32 {
        match &self.method {
            Method::None => NO_KEY,
            Method::Unique => (arrival_index % u64::from(NO_KEY)) as u32,
            Method::Uniform(keys) => below(*keys as usize, draws.bits()) as u32,
            Method::Ranks(alias) => alias.pick(draws.bits()),
            Method::Weighted(weighted) => weighted.0[weighted.1.pick(draws.bits()) as usize],
            Method::Zipf(zipf) => zipf.key(draws),
            Method::Trace(keys) => keys[wrapped(arrival_index, keys.len())],
        }
    }

    /// The keys of the arrivals `first_index`, `first_index + 1`, ...: [`KeySampler::key`] of `stream.at(n)` each.
    pub fn fill(&self, stream: Stream, first_index: u64, out: &mut [u32]) {
        for (n, out) in (first_index..).zip(out) {
            *out = self.key(&mut stream.at(n), n);
        }
    }
}

/// Zipf distribution without a table: rejection-inversion (Hörmann and Derflinger, ACM Transactions on Modeling and
/// Computer Simulation 6, 1996). Ranks count from 1; less than 1.1 rounds on average.
#[derive(Clone, Copy, Debug)]
struct Zipf {
    ranks: f64,
    exponent: f64,
    /// The integral of the hat at the left end of the first rank (moved so that rank 1 is never rejected), and at the end.
    start: f64,
    end: f64,
    /// Below this distance from the rank no test is needed.
    squeeze: f64,
}

impl Zipf {
    fn new(keys: u32, exponent: f64) -> Self {
        let mut zipf = Self { ranks: f64::from(keys), exponent, start: 0.0, end: 0.0, squeeze: 0.0 };
        zipf.start = zipf.integral(1.5) - 1.0;
        zipf.end = zipf.integral(zipf.ranks + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank from 1 to a u32")]
    fn key(&self, draws: &mut Draws) -> u32 {
        loop {
            let area = self.end + draws.unit() * (self.start - self.end);
            let x = self.inverse(area);
            let rank = (x + 0.5).floor().clamp(1.0, self.ranks);
            if rank - x <= self.squeeze || area >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u32 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        exp(-self.exponent * ln(x))
    }

    /// An antiderivative of `x^-exponent` that has no break at exponent 1.
    fn integral(&self, x: f64) -> f64 {
        let log = ln(x);
        let t = (1.0 - self.exponent) * log;
        log * if t.abs() > 1e-8 { exp_m1(t) / t } else { 1.0 + t / 2.0 }
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = ((1.0 - self.exponent) * area).max(-1.0);
        exp(area * if t.abs() > 1e-8 { ln_1p(t) / t } else { 1.0 - t / 2.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::fit::fingerprint;

    fn keys(plan: &KeyPlan, count: usize) -> Vec<u32> {
        let mut keys = vec![0; count];
        KeySampler::new(plan).fill(Stream::named(5, "shop/key"), 0, &mut keys);
        keys
    }

    /// Pearson's statistic must stay below its 99.9 % quantile (Wilson and Hilferty's approximation).
    fn assert_fits(observed: &[u64], shares: &[f64]) {
        let total = observed.iter().sum::<u64>() as f64;
        let statistic: f64 = observed
            .iter()
            .zip(shares)
            .map(|(seen, share)| (*seen as f64 - total * share).powi(2) / (total * share))
            .sum();
        let freedom = (shares.len() - 1) as f64;
        let cube = 1.0 - 2.0 / (9.0 * freedom) + 3.090_232 * (2.0 / (9.0 * freedom)).sqrt();
        assert!(statistic < freedom * cube.powi(3), "{statistic} with {freedom} degrees of freedom");
    }

    /// Counts of ranks in groups: each of the first `single`, then groups that double in width.
    fn zipf_groups(ranks: u32, exponent: f64, single: u32, seen: &[u32]) -> (Vec<u64>, Vec<f64>) {
        let mut bounds: Vec<u32> = (0..=single.min(ranks)).collect();
        while bounds[bounds.len() - 1] < ranks {
            bounds.push((bounds[bounds.len() - 1].saturating_mul(2)).min(ranks));
        }
        let weight = |rank: u32| exp(-exponent * ln(f64::from(rank) + 1.0));
        let shares: Vec<f64> = bounds.windows(2).map(|pair| (pair[0]..pair[1]).map(weight).sum()).collect();
        let sum: f64 = shares.iter().sum();
        let mut observed = vec![0; shares.len()];
        seen.iter().for_each(|key| observed[bounds.partition_point(|bound| bound <= key) - 1] += 1);
        (observed, shares.iter().map(|share| share / sum).collect())
    }

    #[test]
    fn uniform_keys_are_uniform() {
        let mut observed = vec![0; 1000];
        keys(&KeyPlan::Uniform(1000), 1_000_000).iter().for_each(|key| observed[*key as usize] += 1);
        assert_fits(&observed, &[0.001; 1000]);
    }

    #[test]
    fn zipf_keys_have_their_weights_by_table_and_by_rejection() {
        for exponent in [0.6, 1.0, 1.3] {
            for ranks in [10, 200_000] {
                let plan = KeyPlan::Zipf { keys: ranks, exponent };
                let (observed, shares) = zipf_groups(ranks, exponent, 20, &keys(&plan, 500_000));
                assert_fits(&observed, &shares);
            }
            let ranks = TABLE + 1_000_000;
            let (observed, shares) =
                zipf_groups(ranks, exponent, 20, &keys(&KeyPlan::Zipf { keys: ranks, exponent }, 300_000));
            assert_fits(&observed, &shares);
            // The same few ranks without a table.
            let (zipf, stream) = (Zipf::new(10, exponent), Stream::named(6, "zipf"));
            let seen: Vec<u32> = (0..300_000).map(|n| zipf.key(&mut stream.at(n))).collect();
            let (observed, shares) = zipf_groups(10, exponent, 10, &seen);
            assert_fits(&observed, &shares);
        }
    }

    #[test]
    fn weighted_keys_have_their_shares() {
        let shares = [(7, 0.5), (3, 0.3), (9, 0.2)];
        let seen = keys(&KeyPlan::Weighted(shares.to_vec()), 200_000);
        let count = |key: u32| seen.iter().filter(|seen| **seen == key).count() as u64;
        assert_fits(&[count(7), count(3), count(9)], &[0.5, 0.3, 0.2]);
        assert_eq!(count(7) + count(3) + count(9), 200_000);
    }

    #[test]
    fn keys_without_chance() {
        assert_eq!(keys(&KeyPlan::None, 2), [NO_KEY, NO_KEY]);
        assert_eq!(keys(&KeyPlan::Unique, 3), [0, 1, 2]);
        assert_eq!(keys(&KeyPlan::Trace(vec![4, 2]), 5), [4, 2, 4, 2, 4]);
        assert_eq!(keys(&KeyPlan::Zipf { keys: 1, exponent: 2.0 }, 2), [0, 0]);
        let unique = KeySampler::new(&KeyPlan::Unique);
        let wraps = unique.key(&mut Stream::named(1, "").at(0), u64::from(NO_KEY));
        assert_eq!(wraps, 0, "a key is never taken for none");
        for nothing in [KeyPlan::Uniform(0), KeyPlan::Trace(vec![]), KeyPlan::Weighted(vec![(1, 0.0)])] {
            assert_eq!(keys(&nothing, 1), [NO_KEY]);
        }
    }

    #[test]
    fn known_answers() {
        let print = |plan: KeyPlan| {
            let keys: Vec<u64> = keys(&plan, 1000).into_iter().map(u64::from).collect();
            [keys[0], keys[1], fingerprint(&keys)]
        };
        assert_eq!(print(KeyPlan::Uniform(10_000)), [4200, 3759, 4_353_103_353_067_597_306]);
        assert_eq!(print(KeyPlan::Zipf { keys: 200_000, exponent: 0.6 }), [81, 32, 6_986_348_552_951_386_358]);
        assert_eq!(
            print(KeyPlan::Zipf { keys: 1 << 30, exponent: 0.99 }),
            [233_138, 584_424, 6_912_705_753_938_657_012]
        );
        assert_eq!(print(KeyPlan::Weighted(vec![(0, 0.1), (1, 0.9)])), [1, 1, 16_463_430_183_183_065_893]);
    }
}
