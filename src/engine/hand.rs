//! What is in hands, by number: a small table for the few of many that are, as quick as it is small.

/// Values by number: open addressing, a power of two of places, at most half of them taken. Its order is never seen.
#[derive(Clone, Debug)]
pub(super) struct Hand<V> {
    places: Vec<Option<(u64, V)>>,
    held: usize,
}

impl<V> Default for Hand<V> {
    fn default() -> Self {
        Self { places: Vec::new(), held: 0 }
    }
}

impl<V> Hand<V> {
    /// Where a number would be if there were no others: the upper bits of its product with 2^64 over the golden ratio.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
    fn home(&self, number: u64) -> usize {
        let bits = self.places.len().trailing_zeros();
        (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// Where a number is.
    #[inline]
    fn find(&self, number: u64) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        let mut place = self.home(number);
        while let Some((other, _)) = &self.places[place] {
            if *other == number {
                return Some(place);
            }
            place = self.after(place);
        }
        None
    }

    /// The value of a number.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let place = self.find(number)?;
        self.places[place].as_mut().map(|(_, value)| value)
    }

    /// Notes the value of a number that has none.
    #[inline]
    pub(super) fn insert(&mut self, number: u64, value: V) {
        if 2 * self.held >= self.places.len() {
            self.grow();
        }
        let mut place = self.home(number);
        while self.places[place].is_some() {
            place = self.after(place);
        }
        self.places[place] = Some((number, value));
        self.held += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let mut places = Vec::new();
        places.resize_with((2 * self.places.len()).max(16), || None);
        self.held = 0;
        for (number, value) in std::mem::replace(&mut self.places, places).into_iter().flatten() {
            self.insert(number, value);
        }
    }

    /// Forgets a number. What lies behind it moves up, so that a search may end at the first free place.
    #[inline]
    pub(super) fn remove(&mut self, number: u64) {
        let Some(mut free) = self.find(number) else { return };
        self.places[free] = None;
        self.held -= 1;
        let mut place = self.after(free);
        while let Some((other, _)) = &self.places[place] {
            // It may move unless its home lies behind the free place, seen from where it is.
            let (home, mask) = (self.home(*other), self.places.len() - 1);
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(free) & mask {
                self.places.swap(free, place);
                free = place;
            }
            place = self.after(place);
        }
    }

    /// All numbers with their values, in no order that means anything.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &V)> {
        self.places.iter().flatten().map(|(number, value)| (*number, value))
    }

    /// All values, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries().map(|(_, value)| value)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use std::collections::BTreeMap;

    #[test]
    fn a_hand_holds_what_a_map_would() {
        let stream = Stream::named(1, "hand");
        let (mut hand, mut map) = (Hand::default(), BTreeMap::new());
        for n in 0..20_000 {
            let number = stream.bits(n) % 60 * (1 << 32);
            if map.remove(&number).is_some() {
                hand.remove(number);
            } else {
                map.insert(number, n);
                hand.insert(number, n);
            }
            assert_eq!(hand.held, map.len());
            let probe = stream.part(1).bits(n) % 60 * (1 << 32);
            assert_eq!(hand.get_mut(probe), map.get_mut(&probe));
        }
        assert_eq!(hand.values().sum::<u64>(), map.values().sum::<u64>());
        hand.clear();
        assert_eq!(hand.get_mut(0), None);
    }
}
