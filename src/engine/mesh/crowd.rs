//! How many requests wait at a service while a fault lasts, and until they are as few again as before.

use crate::engine::setup::Setup;
use crate::engine::timeline::{Occurrence, occurrences, restart};
use crate::outcome::Crowd;
use crate::plan::{Effect, Plan};
use crate::time::SimSpan;

/// The requests that wait for a worker of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowding {
    waiting: u64,
    since: u64,
    /// Time in which no fault was followed, ns, and the sum of those that waited over it.
    calm: u64,
    area: u128,
    /// Most that waited in that time.
    most: u64,
    /// Before then none is.
    calm_until: u64,
    watches: Vec<Watch>,
}

/// When an occurrence of a fault begins and ends, and when all processes are back that it ended.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: u64,
    late: u64,
}

/// Follows what one fault does.
#[derive(Clone, Debug)]
struct Watch {
    fault: usize,
    /// Its occurrences, in order and apart.
    spans: Vec<Span>,
    next: usize,
    active: Option<Active>,
    found: Crowd,
}

/// An occurrence that is not over, or after which more wait than before.
#[derive(Clone, Copy, Debug)]
struct Active {
    span: Span,
    /// As many waited before it: on average while no fault was followed, or at that moment, whichever is more.
    before: u64,
}

impl Crowding {
    /// For the faults that may reach a service, by their numbers.
    pub(super) fn of(plan: &Plan, setup: &Setup, faults: &[usize]) -> Self {
        Self::following(faults.iter().map(|fault| Watch::of(plan, setup, *fault)).collect())
    }

    fn following(watches: Vec<Watch>) -> Self {
        let mut crowding = Self { watches, ..Self::default() };
        crowding.calm_until = crowding.next_begin();
        crowding
    }

    /// When the next occurrence begins.
    fn next_begin(&self) -> u64 {
        let begins = self.watches.iter().filter_map(|watch| Some(watch.spans.get(watch.next)?.from));
        begins.min().unwrap_or(u64::MAX)
    }

    /// A request comes, and is turned away or not.
    pub(super) fn comes(&mut self, refused: bool, now: u64) {
        if self.watches.is_empty() {
            return;
        }
        self.look(now);
        if now < self.calm_until {
            return;
        }
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
        self.waiting = self.waiting.checked_add_signed(by).expect("who leaves has waited");
        if now < self.calm_until {
            return;
        }
        for watch in self.watches.iter_mut().filter(|watch| watch.active.is_some()) {
            watch.found.peak = watch.found.peak.max(self.waiting);
        }
    }

    /// Nothing has changed up to `now`.
    fn look(&mut self, now: u64) {
        let calm = now.min(self.calm_until).saturating_sub(self.since);
        self.calm += calm;
        if calm > 0 {
            self.most = self.most.max(self.waiting);
        }
        self.area += u128::from(self.waiting) * u128::from(calm);
        if now >= self.calm_until {
            let mean = u64::try_from(self.area.div_ceil(u128::from(self.calm.max(1)))).unwrap_or(u64::MAX);
            let usual = (mean, self.most);
            self.watches.iter_mut().for_each(|watch| watch.pass((self.waiting, self.since), usual, now));
            let followed = self.watches.iter().any(|watch| watch.active.is_some());
            self.calm_until = if followed { now } else { self.next_begin() };
        }
        self.since = now;
    }

    /// Whether so many wait as are counted here; nobody counts where there is nothing to follow.
    pub(super) fn agrees(&self, waiting: usize) -> bool {
        self.watches.is_empty() || self.waiting == waiting as u64
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
    /// For a fault, by its number.
    fn of(plan: &Plan, setup: &Setup, fault: usize) -> Self {
        let late = |n: usize, to: u64| {
            let crash = plan.faults[fault].effect == Effect::Crash;
            if crash { restart(plan, setup, fault, (n, to)) } else { to }
        };
        let mut spans: Vec<Span> = Vec::new();
        for (n, Occurrence { from, to, .. }) in occurrences(plan, &plan.faults[fault], setup.seed).iter().enumerate() {
            let (from, to, late) = (*from, *to, late(n, *to));
            match spans.last_mut() {
                Some(last) if from <= last.late => (last.to, last.late) = (last.to.max(to), last.late.max(late)),
                _ if from < setup.end => spans.push(Span { from, to, late }),
                _ => {}
            }
        }
        Self { fault, spans, next: 0, active: None, found: Crowd::default() }
    }

    /// So many have waited from `since` to `now`, and `mean` on average and `most` while no fault was followed.
    fn pass(&mut self, (waiting, since): (u64, u64), (mean, most): (u64, u64), now: u64) {
        while let Some(span) = self.spans.get(self.next).copied().filter(|span| span.from <= now) {
            self.next += 1;
            self.drain(waiting, since, span.from);
            self.found.not_drained += u64::from(self.active.is_some());
            // One that begins before all is over as before is followed from where the first began.
            let before = self.active.map_or(waiting.max(mean), |it| it.before);
            self.active = Some(Active { span, before });
            self.found.before = self.found.before.max(before);
            self.found.usual_peak = self.found.usual_peak.max(most);
            self.found.peak = self.found.peak.max(waiting);
        }
        self.drain(waiting, since, now);
    }

    /// So many have waited from `since` to `until`: whether what the fault did is over.
    fn drain(&mut self, waiting: u64, since: u64, until: u64) {
        let is_over = |it: &mut Active| waiting <= it.before && until > it.span.late.max(since);
        if let Some(Active { span, .. }) = self.active.take_if(is_over) {
            let took = SimSpan(span.late.max(since) - span.to);
            self.found.drain_time = self.found.drain_time.max(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows occurrences at these seconds; at each of these, so many more wait.
    fn follow(spans: &[(u64, u64)], changes: &[(u64, i64)], end: u64) -> Crowd {
        let spans = spans.iter().map(|(from, to)| Span { from: *from, to: *to, late: *to }).collect();
        let watch = Watch { fault: 3, spans, next: 0, active: None, found: Crowd::default() };
        let mut crowding = Crowding::following(vec![watch]);
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
        let wanted =
            Crowd { before: 2, usual_peak: 2, peak: 8, drain_time: SimSpan(13), arrived: 5, ..Crowd::default() };
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_mean_before_counts_and_what_is_as_before_at_the_end_has_drained_at_once() {
        // Four waited half of the time, nobody does as it begins.
        let found = follow(&[(10, 20)], &[(0, 4), (5, -4), (15, 2), (17, 0), (30, 1)], 100);
        assert_eq!(found, Crowd { before: 2, usual_peak: 4, peak: 2, arrived: 2, refused: 1, ..Crowd::default() });
    }

    /// What waits because of one fault is no standing queue of the next one.
    #[test]
    fn what_a_fault_leaves_is_not_before_the_next() {
        // Nobody waits but for 100 between 20 and 60, and one since 70: on average a third over 30 s without a fault.
        let found = follow(&[(20, 50), (80, 90)], &[(20, 100), (60, -100), (70, 1), (85, 4), (95, -4)], 100);
        assert_eq!((found.before, found.peak, found.drain_time, found.not_drained), (1, 100, SimSpan(10), 0));
    }

    /// Nobody can wait while all processes are gone: it is over when they are back.
    #[test]
    fn a_crash_is_over_when_the_processes_are_back() {
        let spans = vec![Span { from: 10, to: 20, late: 32 }];
        let mut crowding =
            Crowding::following(vec![Watch { fault: 0, spans, next: 0, active: None, found: Crowd::default() }]);
        for now in [5, 15, 25, 40] {
            crowding.comes(now == 15 || now == 25, now);
        }
        let found = crowding.finish(100)[0].1;
        assert_eq!(found, Crowd { drain_time: SimSpan(12), arrived: 2, refused: 2, ..Crowd::default() });
    }

    #[test]
    fn the_next_occurrence_begins_before_all_is_over() {
        let found = follow(&[(10, 20), (30, 40)], &[(12, 5), (35, 1), (50, -6)], 100);
        assert_eq!((found.before, found.peak, found.not_drained, found.drain_time), (0, 6, 1, SimSpan(10)));
        let found = follow(&[(10, 20)], &[(12, 5)], 100);
        assert_eq!((found.peak, found.not_drained), (5, 1), "it never drains");
    }
}
