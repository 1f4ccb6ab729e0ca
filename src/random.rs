//! Named random streams whose n-th draw is a function of `n`.
//!
//! A stream belongs to one **entity and purpose** and is selected by a path (`email/service`, `members/3/pause`).
//! Its key comes from ChaCha8 (keyed by the master seed, stream number = a pinned hash of the path), so streams are
//! independent of each other. Inside a stream nothing is consumed: `stream.at(n)` gives the draws of the n-th thing
//! (a message, an arrival, a fault), computed by the SplitMix64 output function (Steele, Lea, Flood: "Fast splittable
//! pseudorandom number generators", OOPSLA 2014) from key and `n`.
//!
//! Why counted and not consumed: a message's service requirement is the same whoever serves it, whenever, in whatever
//! order, and again after a redelivery, without a column that remembers it; a draw that needs several random numbers
//! cannot shift its neighbours, so two designs stay aligned (common random numbers).

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One named sequence of random numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream of `path` under the master seed of one run.
    #[must_use]
    pub fn named(seed: u64, path: &str) -> Self {
        let mut chacha = ChaCha8Rng::seed_from_u64(seed);
        chacha.set_stream(fnv1a(path.as_bytes()));
        Self { key: chacha.next_u64() }
    }

    /// The draws of the n-th thing.
    #[inline]
    #[must_use]
    pub fn at(self, n: u64) -> Draws {
        Draws { state: self.key.wrapping_add(n.wrapping_mul(GOLDEN)), first: true }
    }

    /// A stream of its own for the n-th part of this one (the attempts of one message, say).
    #[inline]
    #[must_use]
    pub fn part(self, n: u64) -> Self {
        Self { key: finalise(finalise(self.key ^ n.wrapping_mul(GOLDEN)).wrapping_add(n)) }
    }

    /// The first 64 bits of the n-th thing: `self.at(n).bits()`.
    #[inline(always)]
    #[must_use]
    pub fn bits(self, n: u64) -> u64 {
        finalise(self.key.wrapping_add(n.wrapping_mul(GOLDEN)))
    }

    /// A uniform number strictly between 0 and 1 for the n-th thing: `self.at(n).unit()`.
    #[inline(always)]
    #[must_use]
    pub fn unit(self, n: u64) -> f64 {
        to_unit(self.bits(n))
    }
}

/// The random numbers of one thing, in order.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    state: u64,
    first: bool,
}

impl Draws {
    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        if self.first {
            self.first = false;
            self.state = finalise(self.state);
            return self.state;
        }
        self.state = self.state.wrapping_add(GOLDEN);
        finalise(self.state ^ 0xD1B5_4A32_D192_ED03)
    }

    /// A uniform number strictly between 0 and 1, see [`to_unit`].
    #[inline]
    pub fn unit(&mut self) -> f64 {
        to_unit(self.bits())
    }
}

/// The middle of one of 2^52 equal cells of (0, 1): never 0, never 1 (with 2^53 cells the last middle would round to 1).
///
/// The bits become a number in [1, 2), from which just less than 1 is subtracted, exactly: no conversion, so blocks
/// of them vectorise.
#[inline(always)]
#[must_use]
pub fn to_unit(bits: u64) -> f64 {
    f64::from_bits((bits >> 12) | 0x3FF0_0000_0000_0000) - (1.0 - f64::EPSILON / 2.0)
}

/// The SplitMix64 output function.
#[inline(always)]
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a, 64 bits: the pinned hash that turns a name into a number.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const COUNT: u64 = 100_000;

    #[test]
    fn a_uniform_number_is_never_zero_nor_one() {
        assert!(to_unit(0) > 0.0 && to_unit(u64::MAX) < 1.0);
        assert!((to_unit(u64::MAX) + to_unit(0) - 1.0).abs() < f64::EPSILON / 4.0, "symmetric about one half");
    }

    #[test]
    fn the_short_ways_are_the_first_draw() {
        let stream = Stream::named(3, "short");
        for n in (0..1000).chain([u64::MAX - 1, u64::MAX]) {
            assert_eq!(stream.bits(n), stream.at(n).bits());
            assert_eq!(stream.unit(n).to_bits(), stream.at(n).unit().to_bits());
        }
    }

    #[test]
    fn known_answers() {
        let mut draws = Stream::named(42, "email/service").at(7);
        let bits = [draws.bits(), draws.bits(), draws.bits()];
        assert_eq!(bits, [15_565_682_460_640_899_723, 8_282_607_097_667_928_333, 2_003_174_064_144_492_042]);
        assert_eq!(Stream::named(42, "email/service").part(3).bits(7), 7_440_269_932_021_083_244);
        assert_eq!(fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C);
        // SplitMix64 seeded with 1234567, as published with its reference code.
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([1, 2, 3].map(|n| Stream { key: 1_234_567 }.bits(n)), published);
    }

    /// Every bit is set in half of the numbers, and two neighbouring bits agree in half: within 4.5 standard errors.
    fn assert_even(bits: impl Fn(u64) -> u64) {
        let mut counts = [[0_i64; 2]; 64];
        for number in (0..COUNT).map(bits) {
            let agree = number ^ number.rotate_right(1);
            for (bit, count) in counts.iter_mut().enumerate() {
                count[0] += i64::from(number >> bit & 1 == 1);
                count[1] += i64::from(agree >> bit & 1 == 1);
            }
        }
        let slack = 4.5 * (COUNT as f64 / 4.0).sqrt();
        for count in counts.iter().flatten() {
            assert!((*count as f64 - COUNT as f64 / 2.0).abs() < slack, "{counts:?}");
        }
    }

    #[test]
    fn bits_are_even_across_things_draws_parts_and_between_neighbours() {
        let stream = Stream::named(1, "even");
        assert_even(|n| stream.bits(n));
        assert_even(|n| stream.part(n).bits(0));
        assert_even(|n| stream.bits(n) ^ stream.bits(n + 1));
        assert_even(|n| stream.bits(n) ^ stream.part(n).bits(n));
        for later in 1..5 {
            assert_even(|n| {
                let mut draws = stream.at(n);
                let first = draws.bits();
                let last = (0..later).map(|_| draws.bits()).fold(0, |_, bits| bits);
                last ^ first
            });
        }
    }

    #[test]
    fn uniform_numbers_are_equidistributed_in_the_square() {
        let stream = Stream::named(1, "square");
        let mut cells = [0_u64; 1024];
        for n in 0..COUNT {
            let mut draws = stream.at(n);
            let (x, y) = (draws.bits() >> 59, draws.bits() >> 59);
            cells[usize::try_from(32 * x + y).unwrap()] += 1;
        }
        let expected = COUNT as f64 / 1024.0;
        let statistic: f64 = cells.iter().map(|seen| (*seen as f64 - expected).powi(2) / expected).sum();
        // The 0.05 % and 99.95 % quantiles of chi-square with 1023 degrees of freedom.
        assert!((880.0..1180.0).contains(&statistic), "{statistic}");
    }

    #[test]
    fn parts_and_names_are_distinct() {
        let stream = Stream::named(1, "parts");
        let parts = (0..COUNT).map(|n| stream.part(n).key);
        let parts_of_parts = (0..1000).flat_map(|n| (0..100).map(move |m| stream.part(n).part(m).key));
        let named = (0..1000).map(|n| Stream::named(1, &format!("members/{n}/pause")).key);
        let seeded = (0..1000).map(|seed| Stream::named(seed, "members/3/pause").key);
        let keys: Vec<u64> = parts.chain(parts_of_parts).chain(named).chain(seeded).collect();
        // Seed 1 of `members/3/pause` is there twice.
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len() - 1);
    }

    #[test]
    fn streams_of_different_names_seeds_and_parts_are_uncorrelated() {
        let base = Stream::named(1, "email/service");
        let others = [Stream::named(1, "email/retry"), Stream::named(2, "email/service"), base.part(0), base.part(1)];
        for (which, other) in others.into_iter().enumerate() {
            for lag in [0, 1, 2, 1000] {
                let product = |n: u64| (base.unit(n) - 0.5) * (other.unit(n + lag) - 0.5) * 12.0;
                let correlation = (0..COUNT).map(product).sum::<f64>() / COUNT as f64;
                assert!(correlation.abs() < 3.9 / (COUNT as f64).sqrt(), "stream {which}, lag {lag}: {correlation}");
            }
        }
    }
}
