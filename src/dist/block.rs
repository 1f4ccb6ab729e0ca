//! Samples in blocks: the hot path of a run, with the bits of one sample at a time.
//!
//! Every hot distribution is a sequence of passes over at most [`CHUNK`] numbers that stay in the first-level cache. A
//! pass has no branch and no call, so the compiler computes several numbers at once, as many as the machine allows. That
//! changes no bit: each number goes through the same additions, multiplications, divisions and roots, each rounded as
//! IEEE 754 says, and nothing is fused.

use pulp::Arch;

use crate::dist::{About, Dist, MOST};
use crate::math::{normal_quantiles, quick_exp, quick_ln};
use crate::random::Stream;

/// Samples computed together at most.
pub const CHUNK: usize = 256;

/// Those that are rounded together: few, for the room that they take is made new for each call.
const PASS: usize = 64;

/// Adding 2^52 to a smaller number leaves it, rounded to the nearest, in the low bits.
const TWO_52: f64 = 4_503_599_627_370_496.0;
/// Numbers from here on (26 days in ns) are rounded without that trick.
pub(super) const BIG: f64 = TWO_52 / 2.0;
const FRACTION: u64 = (1 << 52) - 1;

/// Rounds a non-negative number to the nearest whole one, halves to the even one; at most [`MOST`].
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
pub(super) fn to_whole(x: f64) -> u64 {
    if x < BIG { (x + TWO_52).to_bits() & FRACTION } else { (x.round_ties_even() as u64).min(MOST) }
}

/// [`to_whole`] for a block. Returns whether all were below [`BIG`]; if not, the big ones are wrong.
#[inline]
pub(super) fn to_small_wholes(samples: impl ExactSizeIterator<Item = f64>, out: &mut [u64]) -> bool {
    let mut small = true;
    for (x, out) in samples.zip(out) {
        *out = (x + TWO_52).to_bits() & FRACTION;
        small &= x < BIG;
    }
    small
}

fn to_wholes(samples: &[f64], out: &mut [u64]) {
    if !to_small_wholes(samples.iter().copied(), out) {
        samples.iter().zip(out).for_each(|(x, out)| *out = to_whole(*x));
    }
}

/// Uniform numbers of the things `ids`.
#[inline(always)]
fn units(stream: Stream, ids: &[u64], out: &mut [f64]) {
    for (id, out) in ids.iter().zip(out) {
        *out = stream.unit(*id);
    }
}

/// Quantiles of the standard normal distribution for the things `ids`.
#[inline(always)]
fn normals(stream: Stream, ids: &[u64], out: &mut [f64]) {
    units(stream, ids, out);
    normal_quantiles(out);
}

impl Dist {
    /// Whole samples for the messages `ids` (`stream.at(id)` each), the same bits as [`Dist::whole`] one by one, but in
    /// blocks. `ids` and `out` have the same length. Only for distributions without `About`; see [`Dist::is_plain`].
    pub fn fill(&self, stream: Stream, ids: &[u64], out: &mut [u64]) {
        debug_assert_eq!(ids.len(), out.len(), "one sample for each message");
        if let Self::Constant(value) = self {
            return out.fill(to_whole(*value));
        }
        let mut samples = [0.0; PASS];
        for (ids, out) in ids.chunks(PASS).zip(out.chunks_mut(PASS)) {
            let samples = &mut samples[..ids.len()];
            self.samples(stream, ids, samples);
            to_wholes(samples, out);
        }
    }

    /// [`Dist::fill`] for the messages `first`, `first + 1`, ...
    pub fn fill_from(&self, stream: Stream, first: u64, out: &mut [u64]) {
        let mut ids = [0; PASS];
        for (chunk, out) in out.chunks_mut(PASS).enumerate() {
            let (start, ids) = (first.wrapping_add((chunk * PASS) as u64), &mut ids[..out.len()]);
            // Numbers may go around: a publisher's first one is a hash.
            ids.iter_mut().zip(0_u64..).for_each(|(id, n)| *id = start.wrapping_add(n));
            self.fill(stream, ids, out);
        }
    }

    /// Samples that are not rounded, for at most [`CHUNK`] things.
    pub(super) fn samples(&self, stream: Stream, ids: &[u64], out: &mut [f64]) {
        match self {
            Self::Constant(value) => out.fill(*value),
            Self::Shifted(shifted) => {
                shifted.1.samples(stream, ids, out);
                out.iter_mut().for_each(|x| *x = (shifted.0 + *x).min(f64::MAX));
            }
            Self::Exponential(_) | Self::Uniform { .. } | Self::Lognormal { .. } => {
                Arch::new().dispatch(|| self.passes(stream, ids, out));
            }
            _ => {
                for (id, out) in ids.iter().zip(out) {
                    *out = self.sample(&mut stream.at(*id), About { index: *id, stream, ..About::default() });
                }
            }
        }
    }

    /// The distributions that are computed by passes; inlined where the machine's instructions are known.
    #[inline(always)]
    fn passes(&self, stream: Stream, ids: &[u64], out: &mut [f64]) {
        match self {
            Self::Exponential(mean) => {
                units(stream, ids, out);
                out.iter_mut().for_each(|x| *x = -mean * quick_ln(*x));
            }
            Self::Uniform { low, high } => {
                units(stream, ids, out);
                out.iter_mut().for_each(|x| *x = low + (high - low) * *x);
            }
            Self::Lognormal { mu, sigma } => {
                normals(stream, ids, out);
                out.iter_mut().for_each(|x| *x = quick_exp(mu + sigma * *x));
            }
            _ => unreachable!("only those above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::fit::zoo;

    #[test]
    fn every_distribution_fills_the_bits_of_single_samples() {
        let stream = Stream::named(7, "block");
        let ids: Vec<u64> = (0..1000).map(|n| n * 3 + n % 7).collect();
        for (name, dist) in zoo() {
            let mut filled = vec![0; ids.len()];
            dist.fill(stream, &ids, &mut filled);
            for (id, whole) in ids.iter().zip(&filled) {
                let about = About { index: *id, stream, ..About::default() };
                assert_eq!(dist.whole(&mut stream.at(*id), about), *whole, "{name}, message {id}");
            }
            let mut consecutive = vec![0; 600];
            dist.fill_from(stream, 41, &mut consecutive);
            let consecutive_ids: Vec<u64> = (41..641).collect();
            let mut again = vec![0; 600];
            dist.fill(stream, &consecutive_ids, &mut again);
            assert_eq!(consecutive, again, "{name}");
        }
    }

    #[test]
    fn samples_beyond_the_rounding_trick_are_right_too() {
        let stream = Stream::named(7, "big");
        let dist = Dist::Exponential(3e15);
        let mut filled = vec![0; 5000];
        dist.fill_from(stream, 0, &mut filled);
        for (id, whole) in (0..).zip(&filled) {
            let sample = dist.sample(&mut stream.at(id), About::default());
            assert!((*whole as f64 - sample).abs() <= 0.5, "{sample} became {whole}");
        }
    }

    #[test]
    fn wholes_are_rounded_to_the_nearest_and_bounded() {
        let cases =
            [(0.0, 0), (0.49, 0), (0.5, 0), (1.5, 2), (2.5, 2), (1e9 + 0.75, 1_000_000_001), (BIG - 0.5, 1 << 51)];
        for (x, whole) in cases.into_iter().chain([(BIG, 1 << 51), (TWO_52 - 0.5, 1 << 52), (1e300, MOST)]) {
            assert_eq!(to_whole(x), whole, "{x}");
        }
    }

    #[test]
    #[ignore = "prints what a sample costs: run it by hand, optimised"]
    #[expect(clippy::disallowed_methods, reason = "measures the machine, not the model")]
    fn cost_of_a_sample() {
        let stream = Stream::named(1, "cost");
        let ids: Vec<u64> = (0..512).collect();
        let mut out = vec![0; ids.len()];
        for (name, dist) in zoo() {
            let best = (0..200).map(|_| {
                let start = std::time::Instant::now();
                for _ in 0..20 {
                    dist.fill(std::hint::black_box(stream), &ids, &mut out);
                    std::hint::black_box(&out);
                }
                start.elapsed().as_nanos()
            });
            println!("{name:16} {:6.2} ns", best.min().unwrap_or(0) as f64 / (20 * ids.len()) as f64);
        }
    }
}
