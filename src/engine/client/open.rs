//! Batches and requests of a client that are not finished, numbered in the order in which they were opened.

use std::collections::VecDeque;

/// Things that are not finished, each with its number in the order in which they were opened.
#[derive(Clone, Debug)]
pub(super) struct Open<T> {
    /// The number of the first slot.
    pub(super) first: u64,
    /// The first one is there, if any is.
    slots: VecDeque<Option<T>>,
}

impl<T> Open<T> {
    pub(super) fn new() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }

    /// The number that the next one will have.
    pub(super) fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn open(&mut self, one: T) -> u64 {
        self.slots.push_back(Some(one));
        self.next() - 1
    }

    /// Gives all up; numbers go on.
    pub(super) fn clear(&mut self) {
        self.first = self.next();
        self.slots.clear();
    }

    fn place(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok())
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.slots.get(self.place(number)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let place = self.place(number)?;
        self.slots.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.place(number)?;
        let one = self.slots.get_mut(place)?.take();
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first += 1;
        }
        one
    }

    pub(super) fn oldest(&self) -> Option<&T> {
        self.slots.front()?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}
