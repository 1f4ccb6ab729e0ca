//! What transactions hide in one partition from readers who wait until they are committed.
//!
//! ```text
//! offset     0   1   2   3   4   5   6
//! record     a   T1  b   T2  T1  c   d        markers: T2 committed at 20, T1 aborted at 30
//! seen at    a   30  30  30  30  30  d        1 and 4 are passed over
//! ```
//!
//! The first record of the earliest transaction that is open hides all that comes after it, whoever published that. A marker
//! takes no offset here: it says when, and how, its transaction has ended. What is not known yet lies after all that the topic has
//! appended, so no schedule can matter.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{End, Record, leading};

/// What is open in one partition, and when its records are seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Stable {
    base: u64,
    /// From the base on: when each record is seen. Those that are hidden are missing at the end.
    released: Vec<u64>,
    end: u64,
    /// By transaction that is open here: the offsets of its records.
    open: BTreeMap<u32, Vec<u64>>,
    /// Offsets of records whose transaction was aborted.
    aborted: BTreeSet<u64>,
    /// Transactions that were aborted without the knowledge of those who had begun them.
    fenced: BTreeSet<u32>,
    last_mark: u64,
    /// Markers so far.
    marks: u64,
}

impl Stable {
    /// A record is appended, in a transaction or in none (0).
    pub(super) fn push(&mut self, offset: u64, visible: u64, transaction: u32) {
        self.end = offset + 1;
        if self.fenced.contains(&transaction) {
            self.aborted.insert(offset);
        } else if transaction > 0 {
            self.open.entry(transaction).or_default().push(offset);
        }
        if self.open.is_empty() {
            self.released.push(visible.max(self.released.last().copied().unwrap_or(0)));
        }
    }

    /// A transaction ends, and what it has hidden alone is seen from `visible` on. `records`: all from the base on.
    pub(super) fn mark(&mut self, transaction: u32, end: End, visible: u64, records: &[Record]) {
        self.last_mark = self.last_mark.max(visible);
        self.marks += 1;
        let offsets = self.open.remove(&transaction).unwrap_or_default();
        if end != End::Committed {
            self.aborted.extend(offsets);
        }
        if end == End::Fenced {
            self.fenced.insert(transaction);
        }
        let hidden = self.open.values().filter_map(|offsets| offsets.first()).min().copied().unwrap_or(self.end);
        let shown =
            records.iter().skip(self.released.len()).take(self.place(hidden).saturating_sub(self.released.len()));
        self.released.extend(shown.map(|record| record.visible.max(visible)));
    }

    /// When the record at `offset` is seen; `u64::MAX`: that is not known yet.
    #[inline]
    pub(super) fn released(&self, offset: u64) -> u64 {
        self.released.get(self.place(offset)).copied().unwrap_or(u64::MAX)
    }

    /// Offset of the first record at or after `from` that is not seen before `time`.
    pub(super) fn end(&self, from: u64, time: u64) -> u64 {
        let known = self.released.get(self.place(from)..).unwrap_or(&[]);
        from + leading(known, |released| *released < time) as u64
    }

    /// Whether the transaction of the record at `offset` was aborted; none: that is not known yet.
    pub(super) fn aborted(&self, offset: u64) -> Option<bool> {
        if self.aborted.contains(&offset) {
            return Some(true);
        }
        let open = || self.open.values().any(|offsets| offsets.binary_search(&offset).is_ok());
        (self.place(offset) < self.released.len() || !open()).then_some(false)
    }

    /// Markers so far.
    pub(super) fn marks(&self) -> u64 {
        self.marks
    }

    /// When the last marker is seen; 0: there was none.
    pub(super) fn last_mark(&self) -> u64 {
        self.last_mark
    }

    /// Records before `base` are not asked for any more.
    pub(super) fn trim(&mut self, base: u64) {
        let gone = self.place(base).min(self.released.len());
        self.released.drain(..gone);
        self.aborted = self.aborted.split_off(&base);
        self.base = base;
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "offsets above the base are bounded by memory")]
    fn place(&self, offset: u64) -> usize {
        offset.saturating_sub(self.base) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table at the top of this file.
    #[test]
    fn what_is_hidden_is_seen_when_all_that_began_before_it_has_ended() {
        let visible = [5, 6, 7, 8, 9, 40, 41];
        let records = visible.map(|visible| Record { visible, ..Record::default() });
        let mut stable = Stable::default();
        for (offset, transaction) in [(0, 0), (1, 1), (2, 0), (3, 2), (4, 1)] {
            stable.push(offset, visible[usize::try_from(offset).expect("small")], transaction);
        }
        assert_eq!(
            (0..5).map(|at| stable.released(at)).collect::<Vec<_>>(),
            [5, u64::MAX, u64::MAX, u64::MAX, u64::MAX]
        );
        stable.mark(2, End::Committed, 20, &records[..5]);
        assert_eq!((stable.released(3), stable.end(0, 1_000), stable.aborted(1)), (u64::MAX, 1, None));
        stable.mark(1, End::Aborted, 30, &records[..5]);
        stable.push(5, 40, 0);
        stable.push(6, 41, 0);
        assert_eq!((0..7).map(|at| stable.released(at)).collect::<Vec<_>>(), [5, 30, 30, 30, 30, 40, 41]);
        assert_eq!((0..7).filter(|at| stable.aborted(*at) == Some(true)).collect::<Vec<_>>(), [1, 4]);
        assert_eq!((stable.end(0, 30), stable.end(0, 31)), (1, 5));
        stable.trim(4);
        assert_eq!((stable.released(4), stable.released(6), stable.end(4, 41)), (30, 41, 6));
    }

    /// What comes of a transaction that was ended for who had begun it does not open it again.
    #[test]
    fn a_late_record_hides_nothing() {
        let record = Record { visible: 3, ..Record::default() };
        let mut stable = Stable::default();
        stable.push(0, 3, 7);
        stable.mark(7, End::Fenced, 10, &[record]);
        stable.push(1, 12, 7);
        assert_eq!((stable.released(1), stable.aborted(1)), (12, Some(true)));
    }
}
