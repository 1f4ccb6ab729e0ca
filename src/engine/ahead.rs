//! Draws of one purpose, computed a block ahead: who asks for one number soon asks for its neighbours, and a block costs
//! little more than a few single draws.

use super::setup::Rounding;
use crate::dist::{About, Dist};
use crate::random::Stream;

/// Draws computed together.
const BLOCK: usize = 32;

/// Rounded whole samples of one distribution, by number.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    dist: Dist,
    stream: Stream,
    rounding: Rounding,
    /// Whether neighbours may be drawn without knowing what they are about.
    plain: bool,
    /// Places for blocks, a power of two: block `n` is in place `n` modulo places, if `held` says so.
    places: usize,
    held: Vec<u64>,
    drawn: Vec<u64>,
}

impl Ahead {
    /// For numbers that come in order, or nearly so: the last `places` (a power of two) blocks are kept.
    pub(super) fn new(dist: &Dist, stream: Stream, rounding: Rounding, places: usize) -> Self {
        debug_assert!(places.is_power_of_two(), "places are found by a mask");
        let plain = dist.is_plain() && dist.constant().is_none();
        Self { dist: dist.clone(), stream, rounding, plain, places, held: Vec::new(), drawn: Vec::new() }
    }

    /// The draw of the n-th thing.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits select a place")]
    pub(super) fn get(&mut self, n: u64, about: About) -> u64 {
        if !self.plain {
            return self.rounding.up(self.dist.whole(&mut self.stream.at(n), about));
        }
        let block = n / BLOCK as u64;
        let place = block as usize & (self.places - 1);
        if self.held.get(place) != Some(&block) {
            self.refill(place, block);
        }
        self.drawn[place * BLOCK + n as usize % BLOCK]
    }

    #[inline(never)]
    fn refill(&mut self, place: usize, block: u64) {
        if self.held.is_empty() {
            // No number is in this block.
            self.held.resize(self.places, u64::MAX);
            self.drawn.resize(self.places * BLOCK, 0);
        }
        self.held[place] = block;
        let drawn = &mut self.drawn[place * BLOCK..][..BLOCK];
        self.dist.fill_from(self.stream, block * BLOCK as u64, drawn);
        if self.rounding.0 > 1 {
            drawn.iter_mut().for_each(|draw| *draw = self.rounding.up(*draw));
        }
    }
}

/// Times on the way, by number.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    constant: Option<u64>,
    drawn: Ahead,
}

impl Delays {
    /// For numbers that come in order.
    pub(super) fn new(dist: &Dist, stream: Stream, rounding: Rounding) -> Self {
        let constant = dist.constant().map(|value| rounding.span(value));
        Self { constant, drawn: Ahead::new(dist, stream, rounding, 1) }
    }

    /// The n-th time.
    #[inline]
    pub(super) fn get(&mut self, n: u64) -> u64 {
        self.constant.unwrap_or_else(|| self.drawn.get(n, About::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_ahead_has_the_bits_of_a_single_one() {
        let stream = Stream::named(3, "ahead");
        let trace = Dist::trace(vec![4.0, 2.0, 9.0]).unwrap();
        for dist in [Dist::Exponential(1e6), Dist::gamma(1e6, 0.6).unwrap(), Dist::Constant(7.0), trace] {
            for places in [1, 4] {
                let mut ahead = Ahead::new(&dist, stream, Rounding(10), places);
                for n in [0, 1, 40, 2, 1000, u64::MAX, 41, u64::MAX - 1, 127, 128, 0] {
                    let about = About { index: n, stream, ..About::default() };
                    assert_eq!(ahead.get(n, about), Rounding(10).up(dist.whole(&mut stream.at(n), about)), "{n}");
                }
            }
        }
    }
}
