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
    /// Places for blocks, a power of two.
    places: usize,
    /// By place; none before the first draw. Block `n` has place `n` modulo places.
    blocks: Vec<Block>,
}

/// Draws of neighbours.
#[derive(Clone, Debug)]
struct Block {
    number: u64,
    draws: [u64; BLOCK],
}

impl Ahead {
    /// For numbers that come in order, or nearly so: the last `places` (a power of two) blocks are kept.
    pub(super) fn new(dist: &Dist, stream: Stream, rounding: Rounding, places: usize) -> Self {
        debug_assert!(places.is_power_of_two(), "places are found by a mask");
        let plain = dist.is_plain() && dist.constant().is_none();
        Self { dist: dist.clone(), stream, rounding, plain, places, blocks: Vec::new() }
    }

    /// The draw of the n-th thing.
    #[inline]
    pub(super) fn get(&mut self, n: u64, about: About) -> u64 {
        self.plain(n).unwrap_or_else(|| self.rounding.up(self.dist.whole(&mut self.stream.at(n), about)))
    }

    /// The draw of the n-th thing, where it depends on nothing but chance.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits select a place")]
    pub(super) fn plain(&mut self, n: u64) -> Option<u64> {
        if !self.plain {
            return None;
        }
        let block = n / BLOCK as u64;
        let (place, within) = (block as usize & (self.places - 1), n as usize % BLOCK);
        Some(match self.blocks.get(place) {
            Some(known) if known.number == block => known.draws[within],
            _ => self.refill(place, block)[within],
        })
    }

    #[cold]
    fn refill(&mut self, place: usize, number: u64) -> &[u64; BLOCK] {
        // No thing's number is in this block.
        self.blocks.resize(self.places, Block { number: u64::MAX, draws: [0; BLOCK] });
        let block = &mut self.blocks[place];
        block.number = number;
        self.dist.fill_from(self.stream, number * BLOCK as u64, &mut block.draws);
        if self.rounding.0 > 1 {
            block.draws.iter_mut().for_each(|draw| *draw = self.rounding.up(*draw));
        }
        &block.draws
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
