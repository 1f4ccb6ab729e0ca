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

    /// How long it has stood still since a time, or will have when it goes on.
    pub(super) fn frozen(&self, since: u64) -> u64 {
        let since_then = self.spans.iter().rev().take_while(|span| span.1 > since);
        since_then.map(|(from, to)| to - from.max(&since)).sum()
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
        assert!((0..100).all(|since| pauses.frozen(since) == each(since)));
        pauses.end(52);
        assert_eq!((pauses.until(), pauses.frozen(0)), (52, 27));
    }
}
