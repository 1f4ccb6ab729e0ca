//! The calendar of the mesh: what happens when, in order of time, and of things of one time as they were noted.
//!
//! Nearly every attempt is answered long before its time-out. Time-outs of one length are due in the order in which attempts
//! begin, so each length has a queue of its own, and those that nobody waits for any more leave it at its head: they never
//! pass through the heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{AttemptKey, Event};

/// An entry: in order of time, those of one time as they were noted.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// Time-outs of one length, in the order of their entries.
#[derive(Clone, Debug)]
struct TimeOuts {
    after: u64,
    due: VecDeque<(u64, u64, AttemptKey)>,
}

/// What is to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    heap: BinaryHeap<Reverse<Entry>>,
    time_outs: Vec<TimeOuts>,
    entries: u64,
}

impl Calendar {
    /// Notes what happens at a time.
    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.entries += 1;
        self.heap.push(Reverse(Entry { at, number: self.entries, event }));
    }

    /// Notes that an attempt which begins now has had no answer for too long `after` from now.
    pub(super) fn time_out(&mut self, now: u64, after: u64, attempt: AttemptKey) {
        self.entries += 1;
        let of = self.time_outs.iter().position(|it| it.after == after).unwrap_or_else(|| {
            self.time_outs.push(TimeOuts { after, due: VecDeque::new() });
            self.time_outs.len() - 1
        });
        self.time_outs[of].due.push_back((now.saturating_add(after), self.entries, attempt));
    }

    /// Leaves out the time-outs of attempts that are over, as far as they stand at the head of their queue.
    #[inline]
    pub(super) fn forget(&mut self, is_over: impl Fn(AttemptKey) -> bool) {
        for it in &mut self.time_outs {
            while it.due.pop_front_if(|due| is_over(due.2)).is_some() {}
        }
    }

    /// When something happens next.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        let time_outs = self.time_outs.iter().filter_map(|it| it.due.front()).map(|due| due.0);
        time_outs.chain(self.heap.peek().map(|entry| entry.0.at)).min().unwrap_or(u64::MAX)
    }

    /// What happens next.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Event> {
        let heads = self.time_outs.iter().enumerate();
        let heads = heads.filter_map(|(of, it)| it.due.front().map(|due| (due.0, due.1, of)));
        let entry = self.heap.peek().map(|entry| (entry.0.at, entry.0.number));
        match heads.min() {
            Some((at, number, of)) if entry.is_none_or(|entry| (at, number) < entry) => {
                self.time_outs[of].due.pop_front().map(|due| Event::TimeOut(due.2))
            }
            _ => self.heap.pop().map(|entry| entry.0.event),
        }
    }

    /// All that is noted but for what is in queues of time-outs, in no order.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        self.heap.iter().map(|entry| entry.0.event)
    }

    /// Whether nothing is to come.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty() && self.time_outs.iter().all(|it| it.due.is_empty())
    }

    /// What was noted so far.
    #[cfg(test)]
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::engine::tests::Dice;

    /// Against one list that is searched anew each time.
    #[test]
    fn entries_come_in_order_whatever_queue_they_are_in() {
        let mut keys = SlotMap::<AttemptKey, ()>::with_key();
        let mut calendar = Calendar::default();
        let mut list: Vec<(u64, u32, Option<AttemptKey>)> = Vec::new();
        let mut dice = Dice(7);
        let (mut now, mut seen) = (0, 0);
        for number in 0..20_000 {
            match dice.below(6) {
                0 | 1 => {
                    let at = now + dice.below(5);
                    calendar.schedule(at, Event::Refresh(number));
                    list.push((at, number, None));
                }
                2 | 3 => {
                    let (after, key) = (dice.pick(&[3, 7, 20]), keys.insert(()));
                    calendar.time_out(now, after, key);
                    list.push((now + after, number, Some(key)));
                }
                4 => {
                    // An attempt is over before its time.
                    let over = list.iter().position(|entry| entry.2.is_some() && dice.below(3) == 0);
                    if let Some(key) = over.and_then(|at| list.remove(at).2) {
                        keys.remove(key);
                    }
                }
                _ => {
                    calendar.forget(|key| !keys.contains_key(key));
                    let least = list.iter().enumerate().min_by_key(|(_, entry)| (entry.0, entry.1));
                    let Some((at, &(time, number, key))) = least else { continue };
                    assert_eq!(calendar.next(), time);
                    match (calendar.pop(), key) {
                        (Some(Event::Refresh(other)), None) => assert_eq!(other, number),
                        (Some(Event::TimeOut(other)), Some(key)) => assert_eq!(other, key),
                        other => panic!("{other:?}"),
                    }
                    list.remove(at);
                    (now, seen) = (time, seen + 1);
                }
            }
        }
        assert!(seen > 3_000);
    }
}
