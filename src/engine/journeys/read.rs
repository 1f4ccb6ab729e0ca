//! One read: users who have been told of success, and look for what has become of it.

use super::Journey;
use crate::dist::{About, Dist};
use crate::engine::lineage::{number, origin};
use crate::engine::setup::{Rounding, Setup};
use crate::outcome::ReadOutcome;
use crate::plan::{Plan, ReadPlan};
use crate::random::{Stream, fnv1a};

/// Follows the users of one read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    after: Drawn,
    poll: Option<Drawn>,
    /// By origin: a number for its first user in the streams.
    offsets: Vec<u64>,
    end: u64,
    warm_up: u64,
    pub(super) outcome: ReadOutcome,
}

/// A time that is drawn for each user.
#[derive(Clone, Debug)]
struct Drawn {
    time: Dist,
    stream: Stream,
    rounding: Rounding,
}

impl Drawn {
    fn of(&self, user: u64) -> u64 {
        let about = About { index: user, stream: self.stream, ..About::default() };
        self.rounding.up(self.time.whole(&mut self.stream.at(user), about))
    }
}

impl Read {
    pub(super) fn new(plan: &Plan, read: &ReadPlan, setup: &Setup) -> Self {
        let origins = plan.producers.iter().map(|producer| &producer.name);
        let origins = origins.chain(plan.services.iter().map(|service| &service.name));
        let drawn = |time: &Dist, purpose| Drawn {
            time: time.clone(),
            stream: Stream::named(setup.seed, &format!("reads/{}/{purpose}", read.name)),
            rounding: setup.rounding,
        };
        Self {
            after: drawn(&read.after, "after"),
            offsets: origins.map(|name| fnv1a(name.as_bytes())).collect(),
            poll: read.poll.as_ref().map(|poll| drawn(poll, "poll")),
            end: setup.end,
            warm_up: setup.warm_up,
            outcome: ReadOutcome::default(),
        }
    }

    /// Nothing more comes of a journey: what is not there by now never will be.
    pub(super) fn over(&mut self, root: u64, journey: &Journey) {
        if !self.asks(journey) {
            return;
        }
        if journey.parts == 0 {
            self.outcome.never += 1;
            return self.look(root, journey.told, None);
        }
        let late = journey.latest.saturating_sub(journey.told);
        self.outcome.visible.record(late);
        self.outcome.visible_sum += u128::from(late);
        self.look(root, journey.told, Some(late));
    }

    /// A journey that was not over when the run was. One of which no event is under way waits for nothing but answers to
    /// requests that were given up.
    pub(super) fn unfinished(&mut self, root: u64, journey: &Journey) {
        if journey.events == 0 && journey.parts != 0 {
            return self.over(root, journey);
        }
        if self.asks(journey) {
            self.outcome.open.record(self.end.saturating_sub(journey.told));
            self.look(root, journey.told, None);
        }
    }

    /// Whether its user was told of success, and is measured.
    fn asks(&mut self, journey: &Journey) -> bool {
        let asks = journey.told != u64::MAX && journey.created >= self.warm_up;
        self.outcome.told += u64::from(asks);
        asks
    }

    /// The user who was told at `told` looks, within the run: it is there so much `late` after that, or never.
    fn look(&mut self, root: u64, told: u64, late: Option<u64>) {
        // Others' users are others: who else there is does not matter.
        let user = self.offsets[origin(root)].wrapping_add(number(root));
        let after = self.after.of(user);
        if told.saturating_add(after) >= self.end {
            return;
        }
        let missing = late.map(|late| late.saturating_sub(after));
        self.outcome.looked += 1;
        self.outcome.stale += u64::from(missing != Some(0));
        let (Some(poll), Some(missing)) = (&self.poll, missing) else { return };
        let poll = poll.of(user).max(1);
        let again = missing.div_ceil(poll);
        let seen = again.saturating_mul(poll).saturating_add(after);
        if told.saturating_add(seen) < self.end {
            self.outcome.seen.record(seen);
            self.outcome.seen_sum += u128::from(seen);
            self.outcome.looks += 1 + again;
        }
    }
}
