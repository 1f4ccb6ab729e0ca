//! What has come of records that a group will go back to: eight bytes for each that took effect, more for the few others.

use std::collections::{BTreeMap, VecDeque};

use super::lane::Mark;

/// It is done with, and took no effect: it was not wanted.
const PASSED: u64 = u64::MAX;
/// More is known than fits.
const KEPT: u64 = 0;

/// What has come of the records of one partition, from an offset on.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    from: u64,
    /// When each took effect, ns, or one of the above.
    ends: VecDeque<u64>,
    kept: BTreeMap<u64, Mark>,
    /// Records before this had been settled when the group went back.
    pub(super) settled: u64,
}

impl Past {
    /// Keeps what is known of a record: the next one, or one that was read again.
    pub(super) fn note(&mut self, offset: u64, mark: Mark) {
        if self.ends.is_empty() {
            self.from = offset;
        }
        let at = self.at(offset).expect("not before the first");
        if at == self.ends.len() {
            self.ends.push_back(KEPT);
        }
        self.kept.remove(&offset);
        self.ends[at] = match mark {
            Mark { concluded: true, given_up: None, effected: 0, .. } => PASSED,
            Mark { concluded: true, given_up: None, effected, .. } => effected,
            _ => {
                self.kept.insert(offset, mark);
                KEPT
            }
        };
    }

    fn at(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.from)?).ok()
    }

    /// What is known of a record that may be read again.
    pub(super) fn recall(&self, offset: u64) -> Mark {
        let mark = match self.at(offset).and_then(|at| self.ends.get(at)) {
            None => return Mark::default(),
            Some(&KEPT) => self.kept.get(&offset).copied().unwrap_or_default(),
            Some(&PASSED) => Mark { concluded: true, ..Mark::default() },
            Some(&effected) => Mark::effected(effected),
        };
        Mark { replayed: offset < self.settled, trace: 0, ..mark }
    }

    /// Those from an offset on of which more is known than that they took effect.
    pub(super) fn kept_from(&mut self, offset: u64) -> impl Iterator<Item = (u64, &mut Mark)> {
        self.kept.range_mut(offset..).map(|(offset, mark)| (*offset, mark))
    }

    /// Nobody will go back to what is before an offset.
    #[inline]
    pub(super) fn forget(&mut self, before: u64) {
        while self.from < before && self.ends.pop_front().is_some() {
            self.kept.remove(&self.from);
            self.from += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_recalled_and_marked_as_read_again() {
        let mut past = Past::default();
        past.note(7, Mark::effected(30));
        past.note(8, Mark { concluded: true, ..Mark::default() });
        past.note(9, Mark { attempts: 3, ..Mark::default() });
        past.settled = 9;
        let seen = |past: &Past, offset| {
            let Mark { concluded, effected, attempts, replayed, .. } = past.recall(offset);
            (concluded, effected, attempts, replayed)
        };
        assert_eq!(seen(&past, 7), (true, 30, 0, true));
        assert_eq!(seen(&past, 8), (true, 0, 0, true));
        assert_eq!(seen(&past, 9), (false, 0, 3, false), "it was not settled, and would have come again anyway");
        assert_eq!([6, 10].map(|offset| seen(&past, offset)), [(false, 0, 0, false); 2], "nothing is known");
        past.note(9, Mark::effected(40));
        assert_eq!((seen(&past, 9), past.kept_from(0).count()), ((true, 40, 0, false), 0));
        past.forget(8);
        assert_eq!((seen(&past, 7).0, seen(&past, 8).0, past.ends.len()), (false, true, 2));
    }
}
