//! The earliest of several times, of which few change at once: a tournament.
//!
//! Each node holds the least of the four times below it, so a change costs one short path to the root, however many there
//! are. Of equal times the one at the lower position wins.

/// Times by position, and the earliest of them.
#[derive(Clone, Debug)]
pub(super) struct Earliest {
    /// The root: node 0.
    least: u64,
    /// By inner node: the four nodes below it. Those of node n are 4n + 1 to 4n + 4; the leaves come after all inner nodes.
    below: Vec<[u64; 4]>,
}

impl Earliest {
    /// For so many positions, without a time (`u64::MAX`).
    pub(super) fn new(positions: usize) -> Self {
        let (mut inner, mut leaves) = (0, 1);
        while leaves < positions {
            (inner, leaves) = (inner + leaves, 4 * leaves);
        }
        Self { least: u64::MAX, below: vec![[u64::MAX; 4]; inner] }
    }

    /// The earliest time.
    #[inline]
    pub(super) fn time(&self) -> u64 {
        self.least
    }

    /// The first position with the earliest time.
    #[inline]
    pub(super) fn position(&self) -> usize {
        let mut node = 0;
        while let Some([a, b, c, _]) = self.below.get(node) {
            let least = self.least;
            node = 4 * node
                + if *a == least {
                    1
                } else if *b == least {
                    2
                } else if *c == least {
                    3
                } else {
                    4
                };
        }
        node - self.below.len()
    }

    /// The time at a position.
    #[inline]
    pub(super) fn at(&self, position: usize) -> u64 {
        match self.below.len() + position {
            0 => self.least,
            leaf => self.below[(leaf - 1) / 4][(leaf - 1) % 4],
        }
    }

    /// Changes the time at a position.
    #[inline]
    pub(super) fn set(&mut self, position: usize, mut time: u64) {
        let mut node = self.below.len() + position;
        while node > 0 {
            node -= 1;
            let four = &mut self.below[node / 4];
            if std::mem::replace(&mut four[node % 4], time) == time {
                return;
            }
            time = four[0].min(four[1]).min(four[2].min(four[3]));
            node /= 4;
        }
        self.least = time;
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
                assert_eq!(earliest.at(at), times[at]);
            }
        }
    }
}
