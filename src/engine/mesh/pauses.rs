//! When something stands still.

/// The intervals in which something stands still, in order and apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses {
    spans: Vec<(u64, u64)>,
}

impl Pauses {
    /// Until when it stands still; in the past: it does not.
    pub(super) fn until(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.1)
    }

    /// It stands still from now on. Whether that is longer than it would have anyway.
    pub(super) fn stand_still(&mut self, now: u64, until: u64) -> bool {
        if until <= self.until().max(now) {
            return false;
        }
        match self.spans.last_mut() {
            Some(last) if now <= last.1 => last.1 = until,
            _ => self.spans.push((now, until)),
        }
        true
    }

    /// It goes on at once.
    pub(super) fn end(&mut self, now: u64) {
        if let Some(last) = self.spans.last_mut() {
            last.1 = last.1.min(now);
        }
    }

    /// How long any of several things has stood still since a time, or will have when all go on.
    pub(super) fn frozen<'a>(all: impl Iterator<Item = &'a Self>, since: u64) -> u64 {
        let since_then = |it: &'a Self| it.spans.iter().rev().take_while(move |span| span.1 > since);
        let mut spans: Vec<(u64, u64)> = all.flat_map(since_then).map(|(from, to)| (*from.max(&since), *to)).collect();
        spans.sort_unstable();
        let (mut frozen, mut end) = (0, since);
        for (from, to) in spans {
            frozen += to.saturating_sub(from.max(end));
            end = end.max(to);
        }
        frozen
    }
}

#[cfg(test)]
mod tests {
    use super::Pauses;

    #[test]
    fn pauses_that_overlap_are_one() {
        let mut pauses = Pauses::default();
        assert!(pauses.stand_still(10, 20) && pauses.stand_still(15, 30) && !pauses.stand_still(25, 28));
        assert!(pauses.stand_still(30, 35) && pauses.stand_still(50, 60) && !pauses.stand_still(70, 70));
        let each = |since: u64| (since..100).filter(|t| (10..35).contains(t) || (50..60).contains(t)).count() as u64;
        let frozen = |pauses: &Pauses, since| Pauses::frozen(std::iter::once(pauses), since);
        assert!((0..100).all(|since| frozen(&pauses, since) == each(since)));
        pauses.end(52);
        assert_eq!((pauses.until(), frozen(&pauses, 0)), (52, 27));
    }

    #[test]
    fn what_several_things_stop_is_stopped_once() {
        let spans = [[(10, 20), (40, 50)], [(15, 45), (60, 70)]];
        let [one, other] = spans.map(|spans| Pauses { spans: spans.into() });
        let stopped = |t: u64| spans.as_flattened().iter().any(|(from, to)| (*from..*to).contains(&t));
        for since in 0..80 {
            let each = (since..80).filter(|t| stopped(*t)).count() as u64;
            assert_eq!(Pauses::frozen([&one, &other].into_iter(), since), each);
        }
    }
}
