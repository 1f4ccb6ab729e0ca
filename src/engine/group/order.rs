//! What has come of events, and order within keys, as RFC 4737 judges it: an event is late when a later one of its key
//! and publisher took effect before it.

use crate::engine::log::Column;
use crate::outcome::OrderOutcome;

/// What a subscription has come to with an event, in 8 bytes: open (the default), not wanted, never done, or done at a
/// time. In this order, so that the latest completion of several is their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Completion(u64);

impl Completion {
    /// Nothing has come of it yet.
    pub(in crate::engine) const OPEN: Self = Self(0);
    /// Not wanted by this subscription.
    pub(in crate::engine) const NOT_WANTED: Self = Self(1);
    /// Will never take effect.
    pub(in crate::engine) const NEVER: Self = Self(2);

    /// Done at a time.
    #[inline]
    pub(in crate::engine) fn at(time: u64) -> Self {
        Self(time + 3)
    }

    /// When it was done, if it was.
    #[inline]
    pub(in crate::engine) fn time(self) -> Option<u64> {
        self.0.checked_sub(3)
    }
}

/// What has been done of one key: the highest event so far and the last one, each plus one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    highest: u32,
    last: u32,
}

/// What is known of one event: side by side, because a cache line is what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Known {
    /// What has come of it.
    pub(in crate::engine) completion: Completion,
    /// What had been done of its key before it. So the events of a key are linked in the order of their effects.
    before: Done,
}

/// What a subscription has done with the events of one publisher.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Events {
    known: Column<Known>,
    /// By place of the key; none where order is not judged.
    keys: Vec<Done>,
}

/// An event that took effect late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// Events of its key that took effect since the first one that overtook it, that one included.
    extent: u64,
    /// Time since then, ns.
    time: u64,
}

impl Late {
    /// Time since an event of its key first overtook it, ns.
    pub(super) fn time(self) -> u64 {
        self.time
    }
}

impl OrderOutcome {
    /// Counts an event that took effect late.
    pub(super) fn note(&mut self, late: Late) {
        self.violations += 1;
        self.extent_sum += late.extent;
        self.extent_max = self.extent_max.max(late.extent);
        self.late_time_sum += u128::from(late.time);
        self.late_time_max = self.late_time_max.max(late.time);
    }
}

impl Events {
    /// For so many places of keys; none: order is not judged.
    pub(super) fn new(keys: usize) -> Self {
        Self { keys: vec![Done::default(); keys], ..Self::default() }
    }

    /// What has come of each event.
    pub(in crate::engine) fn known(&self) -> &Column<Known> {
        &self.known
    }

    /// Gives up the events before `keep`.
    pub(in crate::engine) fn trim(&mut self, keep: u32) {
        self.known.trim(keep);
    }

    /// Whether nothing has come of an event yet.
    pub(super) fn is_open(&mut self, event: u32) -> bool {
        self.known.get_mut(event).is_some_and(|known| known.completion == Completion::OPEN)
    }

    /// An open event will take no effect, it seems; whether it was open. What is said first stays: whoever follows events
    /// has moved on.
    pub(super) fn close(&mut self, event: u32, completion: Completion) -> bool {
        let open = self.known.get_mut(event).filter(|known| known.completion == Completion::OPEN);
        open.map(|open| open.completion = completion).is_some()
    }

    /// Reads what is known of keys by their places, for nothing but to have it at hand: together, because one by one each
    /// would wait for memory.
    pub(super) fn recall(&self, places: impl Iterator<Item = usize>) {
        let known = |place: usize| self.keys.get(place).map_or(0, |key| key.highest);
        std::hint::black_box(places.map(known).fold(0, |all, one| all ^ one));
    }

    /// An open event takes its effect; its key has a `place` where order is judged.
    #[inline]
    pub(super) fn done(&mut self, event: u32, place: Option<usize>, time: u64) -> Option<Late> {
        let open = self.known.get_mut(event).filter(|known| known.completion == Completion::OPEN)?;
        open.completion = Completion::at(time);
        let key = self.keys.get_mut(place?)?;
        let before = *key;
        key.last = event + 1;
        open.before = before;
        if event >= before.highest {
            key.highest = event + 1;
            return None;
        }
        Some(self.late(event, before, time))
    }

    /// Walks back through the effects of the key to the first one that overtook the event.
    #[cold]
    fn late(&self, event: u32, mut done: Done, time: u64) -> Late {
        let (mut extent, mut earliest) = (0, time);
        while let Some(last) = done.last.checked_sub(1).filter(|_| done.highest > event) {
            extent += 1;
            let known = self.known.get(last);
            earliest = known.completion.time().unwrap_or(earliest);
            done = known.before;
        }
        Late { extent, time: time.saturating_sub(earliest) }
    }
}

/// Places keys so that those of one partition (key modulo partitions) lie side by side: a run over one partition then
/// stays in the nearest cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyIndex {
    partitions: u32,
    each: u32,
    /// 2^32 / partitions, rounded up: `key x reciprocal / 2^32` is `key / partitions` for all keys of the space.
    reciprocal: u64,
}

impl KeyIndex {
    /// For keys below `keys`, in so many partitions.
    pub(super) fn new(partitions: u32, keys: u32) -> Self {
        // Beyond this the quotient could be off by one: keys are then placed as they come.
        let exact = u64::from(partitions) * u64::from(keys) < 1 << 32;
        let partitions = if exact { partitions.max(1) } else { 1 };
        Self { partitions, each: keys.div_ceil(partitions), reciprocal: (1u64 << 32).div_ceil(u64::from(partitions)) }
    }

    /// Places.
    pub(super) fn size(self) -> usize {
        self.each as usize * self.partitions as usize
    }

    /// The place of a key.
    #[inline]
    pub(super) fn of(self, key: u32) -> usize {
        let quotient = (u64::from(key) * self.reciprocal) >> 32;
        let partition = u64::from(key) - quotient * u64::from(self.partitions);
        usize::try_from(partition * u64::from(self.each) + quotient).expect("below the size")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_place_of_its_own() {
        for (partitions, keys) in [(1, 1), (12, 10_000), (7, 50), (1000, 999), (100_000, 4_000_000)] {
            let index = KeyIndex::new(partitions, keys);
            let mut seen = vec![false; index.size()];
            for key in 0..keys {
                assert!(!std::mem::replace(&mut seen[index.of(key)], true), "{partitions} {keys} {key}");
            }
        }
    }

    #[test]
    fn a_late_event_is_measured_from_the_first_that_overtook_it() {
        let mut events = Events::new(2);
        // Key 0: 0, 3, 1, 4, 2; key 1 in between.
        assert_eq!(events.done(0, Some(0), 10), None);
        assert_eq!(events.done(3, Some(0), 20), None);
        assert_eq!(events.done(6, Some(1), 25), None);
        assert_eq!(events.done(1, Some(0), 30), Some(Late { extent: 1, time: 10 }));
        assert_eq!(events.done(4, Some(0), 40), None);
        // Overtaken by 3, then 1 and 4 came.
        assert_eq!(events.done(2, Some(0), 50), Some(Late { extent: 3, time: 30 }));
        assert_eq!(events.done(5, Some(1), 60), Some(Late { extent: 1, time: 35 }));
        assert_eq!(events.done(7, None, 60), None);
    }

    #[test]
    fn what_was_given_up_stays_so() {
        let mut events = Events::new(1);
        events.close(0, Completion::NEVER);
        assert_eq!(events.done(1, Some(0), 10), None);
        assert_eq!(events.done(0, Some(0), 20), None, "no violation either");
        events.close(1, Completion::NEVER);
        let known: Vec<_> = events.known().from(0).iter().take(3).map(|known| known.completion.time()).collect();
        assert_eq!(known, [None, Some(10), None]);
    }
}
