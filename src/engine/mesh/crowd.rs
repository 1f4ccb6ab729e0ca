//! How many requests wait at a service while a fault lasts, and until they are as few again as before.

use crate::engine::setup::{Publisher, Setup};
use crate::engine::timeline::{occurrences, united};
use crate::engine::upstream::{reaches, upstream};
use crate::outcome::Crowd;
use crate::plan::Plan;
use crate::time::SimSpan;

/// The requests that wait for a worker of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowding {
    waiting: u64,
    /// Sum of those that waited over time, ns, up to `since`.
    area: u128,
    since: u64,
    watches: Vec<Watch>,
}

/// Follows what one fault does.
#[derive(Clone, Debug)]
struct Watch {
    fault: usize,
    /// Its occurrences, in order and apart.
    spans: Vec<(u64, u64)>,
    next: usize,
    active: Option<Active>,
    found: Crowd,
}

/// An occurrence that is not over, or after which more wait than before.
#[derive(Clone, Copy, Debug)]
struct Active {
    to: u64,
    /// As many waited before it: on average, or at that moment, whichever is more.
    before: u64,
}

impl Crowding {
    /// For the faults that may reach a service.
    pub(super) fn of(plan: &Plan, setup: &Setup, service: usize) -> Self {
        let upstream = upstream(plan, setup, Publisher::Service(service));
        let faults = plan.faults.iter().enumerate().filter(|(_, fault)| reaches(plan, &upstream, fault.target));
        let watches = faults.map(|(number, fault)| Watch {
            fault: number,
            spans: united(occurrences(plan, fault, setup.seed).iter().map(|o| (o.from, o.to))),
            next: 0,
            active: None,
            found: Crowd::default(),
        });
        Self { watches: watches.collect(), ..Self::default() }
    }

    /// A request comes, and is turned away or not.
    pub(super) fn comes(&mut self, refused: bool, now: u64) {
        if self.watches.is_empty() {
            return;
        }
        self.look(now);
        for watch in self.watches.iter_mut().filter(|watch| watch.active.is_some()) {
            watch.found.arrived += 1;
            watch.found.refused += u64::from(refused);
        }
    }

    /// So many more wait, or fewer.
    pub(super) fn change(&mut self, by: i64, now: u64) {
        if self.watches.is_empty() {
            return;
        }
        self.look(now);
        self.waiting = self.waiting.saturating_add_signed(by);
        for watch in self.watches.iter_mut().filter(|watch| watch.active.is_some()) {
            watch.found.peak = watch.found.peak.max(self.waiting);
        }
    }

    /// Nothing has changed up to `now`.
    fn look(&mut self, now: u64) {
        for watch in &mut self.watches {
            watch.pass((self.waiting, self.area, self.since), now);
        }
        self.area += u128::from(self.waiting) * u128::from(now - self.since);
        self.since = now;
    }

    /// What was found by the end of the run, by number of the fault.
    pub(super) fn finish(&mut self, end: u64) -> Vec<(usize, Crowd)> {
        self.look(end);
        let found = self.watches.drain(..).map(|mut watch| {
            watch.found.not_drained += u64::from(watch.active.is_some());
            (watch.fault, watch.found)
        });
        found.collect()
    }
}

impl Watch {
    /// So many have waited from `since` to `now`, and before that `area` over time.
    fn pass(&mut self, (waiting, area, since): (u64, u128, u64), now: u64) {
        while let Some((from, to)) = self.spans.get(self.next).copied().filter(|span| span.0 <= now) {
            self.next += 1;
            self.drain(waiting, since, from);
            self.found.not_drained += u64::from(self.active.is_some());
            let area = area + u128::from(waiting) * u128::from(from.saturating_sub(since));
            let mean = area.div_ceil(u128::from(from.max(1)));
            // One that begins before all is over as before is followed from where the first began.
            let before = self.active.map_or(waiting.max(u64::try_from(mean).unwrap_or(u64::MAX)), |it| it.before);
            self.active = Some(Active { to, before });
            self.found.before = self.found.before.max(before);
            self.found.peak = self.found.peak.max(waiting);
        }
        self.drain(waiting, since, now);
    }

    /// So many have waited from `since` to `until`: whether what the fault did is over.
    fn drain(&mut self, waiting: u64, since: u64, until: u64) {
        let is_over = |it: &mut Active| waiting <= it.before && until > it.to.max(since);
        if let Some(active) = self.active.take_if(is_over) {
            let took = SimSpan(active.to.max(since) - active.to);
            self.found.drain_time = self.found.drain_time.max(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows occurrences at these seconds; at each of these, so many more wait.
    fn follow(spans: &[(u64, u64)], changes: &[(u64, i64)], end: u64) -> Crowd {
        let watch = Watch { fault: 3, spans: spans.to_vec(), next: 0, active: None, found: Crowd::default() };
        let mut crowding = Crowding { watches: vec![watch], ..Crowding::default() };
        for (at, by) in changes {
            crowding.comes(*by == 0, *at);
            crowding.change(*by, *at);
        }
        let found = crowding.finish(end);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 3);
        found[0].1
    }

    #[test]
    fn a_crowd_is_followed_until_it_is_as_small_as_before() {
        // Two wait from 5 on, eight at most, and two again since 33.
        let changes = [(5, 2), (12, 4), (18, 2), (25, -1), (31, -3), (33, -2), (40, -2)];
        let found = follow(&[(10, 20)], &changes, 100);
        let wanted = Crowd { before: 2, peak: 8, drain_time: SimSpan(13), not_drained: 0, arrived: 5, refused: 0 };
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_mean_before_counts_and_what_is_as_before_at_the_end_has_drained_at_once() {
        // Four waited half of the time, nobody does as it begins.
        let found = follow(&[(10, 20)], &[(0, 4), (5, -4), (15, 2), (17, 0), (30, 1)], 100);
        assert_eq!(found, Crowd { before: 2, peak: 2, arrived: 2, refused: 1, ..Crowd::default() });
    }

    #[test]
    fn the_next_occurrence_begins_before_all_is_over() {
        let found = follow(&[(10, 20), (30, 40)], &[(12, 5), (35, 1), (50, -6)], 100);
        assert_eq!((found.before, found.peak, found.not_drained, found.drain_time), (0, 6, 1, SimSpan(10)));
        let found = follow(&[(10, 20)], &[(12, 5)], 100);
        assert_eq!((found.peak, found.not_drained), (5, 1), "it never drains");
    }
}
