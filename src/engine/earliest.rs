//! The earliest of several times, of which few change at once: a tournament.
//!
//! Each node holds the least of the four keys below it, so a change costs one short path to the root, however many there
//! are. A key is a time and a position: of equal times the one at the lower position wins, and the root knows who it is.

use std::hint::select_unpredictable;

/// Times by position, and the earliest of them.
#[derive(Clone, Debug)]
pub(super) struct Earliest {
    least: u128,
    /// The four nodes below the root.
    top: [u128; 4],
    /// By inner node: the four nodes below it. Those of node n are 4n + 4 to 4n + 7, where the four of the top are the first;
    /// the leaves come after all inner nodes.
    below: Vec<[u128; 4]>,
}

/// Nodes so near to the root that it does not pay to ask whether they have changed: nobody can foretell the answer.
const TOP: usize = 4 + 16;

/// One number for a time and who has it, in the order of both.
#[inline(always)]
fn key(time: u64, position: usize) -> u128 {
    u128::from(time) << 64 | position as u128
}

/// The time of a key.
#[inline(always)]
fn time(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The lesser of two keys, without a branch.
#[inline(always)]
fn lesser(a: u128, b: u128) -> u128 {
    select_unpredictable(b < a, b, a)
}

/// Puts a key in one of four places; the least of all four. The others are compared first: they are known before the new
/// key is.
#[inline(always)]
fn put(four: &mut [u128; 4], place: usize, key: u128) -> u128 {
    let n = place % 4;
    let others = lesser(lesser(four[n ^ 1], four[n ^ 2]), four[n ^ 3]);
    four[n] = key;
    lesser(others, key)
}

impl Earliest {
    /// For so many positions, without a time (`u64::MAX`).
    pub(super) fn new(positions: usize) -> Self {
        let (mut inner, mut leaves) = (0, 4);
        while leaves < positions {
            (inner, leaves) = (inner + leaves, 4 * leaves);
        }
        // The first leaf below a node is the least of all that lie there.
        let first_leaf = |mut node: usize| {
            while node < inner {
                node = 4 * node + 4;
            }
            key(u64::MAX, node - inner)
        };
        let four = |first: usize| std::array::from_fn(|n| first_leaf(first + n));
        Self { least: key(u64::MAX, 0), top: four(0), below: (0..inner).map(|node| four(4 * node + 4)).collect() }
    }

    /// The earliest time.
    #[inline(always)]
    pub(super) fn time(&self) -> u64 {
        time(self.least)
    }

    /// The first position with the earliest time.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low half of a key is a position")]
    pub(super) fn position(&self) -> usize {
        self.least as u64 as usize
    }

    /// Changes the time at a position.
    #[inline]
    pub(super) fn set(&mut self, position: usize, time: u64) {
        let (mut node, mut key) = (self.below.len() + position, key(time, position));
        while let Some(place) = node.checked_sub(4) {
            let four = &mut self.below[place / 4];
            if node >= TOP && four[place % 4] == key {
                return;
            }
            key = put(four, place, key);
            node = place / 4;
        }
        self.least = put(&mut self.top, node, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn it_is_the_first_of_the_least() {
        let stream = Stream::named(1, "times");
        for count in 1..70 {
            let (mut earliest, mut times) = (Earliest::new(count), vec![u64::MAX; count]);
            for n in 0..300 {
                let at = usize::try_from(stream.bits(2 * n)).expect("64 bits") % count;
                times[at] = if n % 7 == 0 { u64::MAX } else { stream.bits(2 * n + 1) % 16 };
                earliest.set(at, times[at]);
                let least = (0..count).min_by_key(|at| times[*at]).expect("there are some");
                assert_eq!((earliest.time(), earliest.position()), (times[least], least), "{times:?}");
            }
        }
    }
}
