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
    #[inline]
    #[must_use]
    pub fn bits(self, n: u64) -> u64 {
        finalise(self.key.wrapping_add(n.wrapping_mul(GOLDEN)))
    }

    /// A uniform number strictly between 0 and 1 for the n-th thing: `self.at(n).unit()`.
    #[inline]
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
#[inline]
#[must_use]
pub fn to_unit(bits: u64) -> f64 {
    f64::from_bits((bits >> 12) | 0x3FF0_0000_0000_0000) - (1.0 - f64::EPSILON / 2.0)
}

/// The SplitMix64 output function.
#[inline]
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
