//! What comes in nearly in order, kept in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::port::Append;
use crate::engine::log::{Record, leading};

/// What has a place in the order of a partition.
pub(super) trait Placed: Copy {
    /// Sort key, its time first.
    type Key: Ord + Copy;
    fn key(&self) -> Self::Key;
    fn time(&self) -> u64;
}

impl Placed for Record {
    type Key = (u64, u32);

    #[inline]
    fn key(&self) -> (u64, u32) {
        (self.visible, self.event)
    }

    #[inline]
    fn time(&self) -> u64 {
        self.visible
    }
}

impl Placed for Append {
    type Key = (u64, u32, u64);

    fn key(&self) -> (u64, u32, u64) {
        (self.append, self.record.event, self.record.visible)
    }

    fn time(&self) -> u64 {
        self.append
    }
}

/// By its place alone.
#[derive(Clone, Copy, Debug)]
struct ByPlace<T>(T);

impl<T: Placed> Ord for ByPlace<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key().cmp(&other.0.key())
    }
}

impl<T: Placed> PartialOrd for ByPlace<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Placed> PartialEq for ByPlace<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Placed> Eq for ByPlace<T> {}

/// What comes in nearly in order, kept in order: a late comer moves a few places at most, or waits apart.
#[derive(Clone, Debug)]
pub(super) struct Pending<T> {
    sorted: Vec<T>,
    /// So many of them have been taken.
    taken: usize,
    /// What would have moved further.
    apart: BinaryHeap<Reverse<ByPlace<T>>>,
}

/// Most places that a late comer moves.
const NEAR: usize = 64;

/// What was taken is given up when it is so much: to move the rest costs more than one step.
const TAKEN: usize = 16;

impl<T: Placed> Pending<T> {
    pub(super) fn new() -> Self {
        Self { sorted: Vec::new(), taken: 0, apart: BinaryHeap::new() }
    }

    /// Takes one in; whether it is the first now.
    #[inline]
    pub(super) fn insert(&mut self, one: T) -> bool {
        match &self.sorted[self.taken..] {
            [.., last] if last.key() <= one.key() => {
                self.sorted.push(one);
                false
            }
            _ => self.insert_late(one),
        }
    }

    /// As [`Pending::insert`], for one that does not come after all others.
    fn insert_late(&mut self, one: T) -> bool {
        let (key, mut at) = (one.key(), self.sorted.len());
        if at > self.taken + NEAR && self.sorted[at - NEAR].key() > key {
            self.apart.push(Reverse(ByPlace(one)));
        } else {
            self.sorted.push(one);
            while at > self.taken && self.sorted[at - 1].key() > key {
                self.sorted[at] = self.sorted[at - 1];
                at -= 1;
            }
            self.sorted[at] = one;
        }
        self.first() == one.time()
    }

    /// The earliest time.
    #[inline]
    pub(super) fn first(&self) -> u64 {
        let sorted = self.sorted.get(self.taken).map_or(u64::MAX, Placed::time);
        sorted.min(self.apart.peek().map_or(u64::MAX, |one| one.0.0.time()))
    }

    /// Takes all that come strictly before `until`.
    #[inline]
    pub(super) fn take(&mut self, until: u64, take: impl FnOnce(&[T])) {
        if self.apart.peek().is_some_and(|one| one.0.0.time() < until) {
            self.merge(until);
        }
        let from = self.taken;
        self.taken += leading(&self.sorted[from..], |one| one.time() < until);
        take(&self.sorted[from..self.taken]);
        if self.taken >= TAKEN {
            self.sorted.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Brings all that come strictly before `until` and wait apart to where they belong.
    #[cold]
    fn merge(&mut self, until: u64) {
        let mut from = self.taken;
        let due = from + self.sorted[from..].partition_point(|one| one.time() < until);
        let mut merged = Vec::with_capacity(2 * (due - from));
        while let Some(Reverse(ByPlace(next))) = self.apart.peek().copied().filter(|one| one.0.0.time() < until) {
            self.apart.pop();
            let to = from + self.sorted[from..due].partition_point(|one| one.key() < next.key());
            merged.extend_from_slice(&self.sorted[from..to]);
            merged.push(next);
            from = to;
        }
        merged.extend_from_slice(&self.sorted[from..due]);
        self.sorted.splice(self.taken..due, merged);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.sorted[self.taken..].iter().chain(self.apart.iter().map(|one| &one.0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pending, Record};
    use crate::random::Stream;

    /// Delays of some seconds that have no bound, at 100k/s: all that comes later overtakes half a million records. Moved one
    /// by one that would be 10^12 moves.
    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delays are positive, the cast saturates"
    )]
    fn late_comers_are_not_carried_far() {
        let stream = Stream::named(1, "late");
        let records = (0..2_000_000_u32).map(|event| {
            let delay = 1e9 / (1.0 - stream.unit(u64::from(event)));
            Record { visible: u64::from(event) * 10_000 + delay as u64, event, ..Record::default() }
        });
        let (mut pending, mut taken) = (Pending::new(), Vec::new());
        let mut take = |pending: &mut Pending<Record>, until| {
            pending.take(until, |due| taken.extend(due.iter().map(|one| (one.visible, one.event))));
        };
        let mut all: Vec<(u64, u32)> = Vec::new();
        for record in records {
            pending.insert(record);
            all.push((record.visible, record.event));
            if record.event % 2_048 == 0 {
                take(&mut pending, u64::from(record.event) * 10_000);
            }
        }
        take(&mut pending, u64::MAX);
        assert!(pending.first() == u64::MAX && pending.iter().next().is_none());
        all.sort_unstable();
        assert!(taken == all);
    }
}
