//! The earliest of several times, of which few change at once: a tournament.
//!
//! Each node holds the least of the four keys below it, so a change costs one short path to the root, however many there
//! are. A key is a time and a position: of equal times the one at the lower position wins, and the root knows who it is.

use std::hint::select_unpredictable;

/// Times by position, and the earliest of them.
#[derive(Clone, Debug)]
pub(super) struct Earliest {
    least: Key,
    /// The four nodes below the root.
    top: [Key; 4],
    /// The four nodes below each of these: all that few positions need.
    middle: [[Key; 4]; 4],
    /// The four nodes below each further inner node. Those of node n are 4n + 16 to 4n + 19, where the first 16 nodes are
    /// those of the middle; the leaves come after all inner nodes.
    below: Vec<[Key; 4]>,
}

/// Nodes of the middle.
const MIDDLE: usize = 16;

/// A time and who has it, in the order of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    time: u64,
    position: u64,
}

impl Key {
    fn new(time: u64, position: usize) -> Self {
        Self { time, position: position as u64 }
    }

    /// One number in the order of both.
    #[inline(always)]
    fn number(self) -> u128 {
        u128::from(self.time) << 64 | u128::from(self.position)
    }

    /// The lesser of two keys, without a branch: chosen half by half, for the halves of one wide number are chosen by a
    /// branch.
    #[inline(always)]
    fn lesser(self, other: Self) -> Self {
        let less = other.number() < self.number();
        Self {
            time: select_unpredictable(less, other.time, self.time),
            position: select_unpredictable(less, other.position, self.position),
        }
    }
}

/// Puts a key in one of four places; the least of all four. The others are compared first: they are known before the new
/// key is.
#[inline(always)]
fn put(four: &mut [Key; 4], place: usize, key: Key) -> Key {
    let n = place % 4;
    let others = four[n ^ 1].lesser(four[n ^ 2]).lesser(four[n ^ 3]);
    four[n] = key;
    others.lesser(key)
}

impl Earliest {
    /// For so many positions, without a time (`u64::MAX`).
    pub(super) fn new(positions: usize) -> Self {
        let (mut inner, mut leaves) = (0, MIDDLE);
        while leaves < positions {
            (inner, leaves) = (inner + leaves, 4 * leaves);
        }
        // The first leaf below a node is the least of all that lie there.
        let first_leaf = |mut node: usize| {
            while node < inner {
                node = 4 * node + MIDDLE;
            }
            Key::new(u64::MAX, node - inner)
        };
        let four = |first: usize| std::array::from_fn(|n| first_leaf(first + n));
        let middle: [[Key; 4]; 4] = std::array::from_fn(|n| four(4 * n));
        let top = middle.map(|four| four[0]);
        Self { least: top[0], top, middle, below: (0..inner).map(|node| four(4 * node + MIDDLE)).collect() }
    }

    /// The earliest time.
    #[inline(always)]
    pub(super) fn time(&self) -> u64 {
        self.least.time
    }

    /// The first position with the earliest time.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "it was a usize")]
    pub(super) fn position(&self) -> usize {
        self.least.position as usize
    }

    /// Changes the time at a position.
    #[inline]
    pub(super) fn set(&mut self, position: usize, time: u64) {
        let (node, key) = (self.below.len() + position, Key::new(time, position));
        if node < MIDDLE { self.set_near(node, key) } else { self.set_far(node, key) }
    }

    /// Changes a node of the middle. So near to the root it does not pay to ask whether anything has changed: nobody can
    /// foretell the answer.
    #[inline(always)]
    fn set_near(&mut self, node: usize, key: Key) {
        let key = put(&mut self.middle[node / 4], node, key);
        self.least = put(&mut self.top, node / 4, key);
    }

    /// Changes a node below the middle: a function of its own, as the near ones need fewer registers.
    #[inline(never)]
    fn set_far(&mut self, mut node: usize, mut key: Key) {
        while let Some(place) = node.checked_sub(MIDDLE) {
            let four = &mut self.below[place / 4];
            if four[place % 4] == key {
                return;
            }
            key = put(four, place, key);
            node = place / 4;
        }
        self.set_near(node, key);
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
