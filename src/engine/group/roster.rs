//! Which processes a group has: how many it shall have, those that are starting, and the roll-out of a version.
//!
//! Members are numbered from 0; each has a *seat*, the place of its process in all that is kept by member. A roll-out that
//! starts the new before it stops the old needs more seats than members, and leaves members in other seats than before.
//!
//! A roll-out goes as that of a Deployment of Kubernetes does (`kubernetes.io/docs/concepts/workloads/controllers/deployment`):
//! never more than `max_surge` processes above the size, never fewer than the size less `max_unavailable` that are up; who is
//! to stop is told so and has `grace` to finish, then it is killed; the next one starts at once and counts as up when it is
//! ready, whatever its group makes of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::members::MemberConditions;
use crate::dist::{About, Dist};
use crate::outcome::RolloutOutcome;
use crate::plan::{DeployPlan, Plan};
use crate::random::Stream;
use crate::time::SimSpan;

/// A roll-out that waits for somebody to be up again looks so often, as does a new process that waits until the old one of its
/// seat is done, ns.
const LOOK_AGAIN: u64 = 100_000_000;

/// What the roster has due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The process of a seat is ready.
    Ready(usize),
    /// The process of a seat that was told to stop has had time enough.
    Kill(usize),
    /// A roll-out looks again.
    Look,
}

/// The processes of one group.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    size: u32,
    /// The seat of each number.
    seats: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, Due)>>,
    startup: Dist,
    stream: Stream,
    startups: u64,
    /// Roll-outs to come: of two at a time the second waits.
    rolls: VecDeque<(u64, DeployPlan)>,
    roll: Option<Roll>,
    /// Seats of nobody.
    vacant: VecDeque<usize>,
    /// Seats of those that faults have struck, by occurrence; none: nobody was there.
    struck: BTreeMap<usize, Option<usize>>,
    /// Numbers of those that were drawn of all that were there, by occurrence.
    drawn: BTreeMap<usize, u32>,
    /// Whether nobody knows before the run who is there.
    autoscaled: bool,
    outcome: Option<RolloutOutcome>,
}

/// A roll-out under way.
#[derive(Clone, Debug)]
struct Roll {
    /// When it was planned to begin.
    since: u64,
    plan: DeployPlan,
    /// How many are to be replaced: those of the first numbers.
    total: u32,
    /// Numbers whose old process is to be stopped yet, in order.
    old: VecDeque<u32>,
    /// New processes so far.
    made: u32,
    /// Seats of new ones that are not ready.
    starting: Vec<usize>,
    /// Seats of new ones whose number is an old one's yet.
    ahead: BTreeMap<u32, usize>,
}

impl Roster {
    pub(super) fn new(plan: &Plan, consumer: usize, seed: u64) -> Self {
        let policy = &plan.consumers[consumer];
        let (members, seats) = (plan.most_members(consumer) as usize, plan.most_processes(consumer) as usize);
        Self {
            size: policy.members,
            seats: (0..members).collect(),
            due: BinaryHeap::new(),
            startup: policy.startup.clone(),
            stream: Stream::named(seed, &format!("{}/startup", policy.name)),
            startups: 1 << 32,
            rolls: VecDeque::new(),
            roll: None,
            vacant: (members..seats).collect(),
            struck: BTreeMap::new(),
            drawn: BTreeMap::new(),
            autoscaled: policy.autoscale.is_some(),
            outcome: plan.deploys(consumer).next().map(|_| RolloutOutcome::default()),
        }
    }

    /// When it next has something to do.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.due.peek().map_or(u64::MAX, |due| due.0.0)
    }

    /// What it has to do next.
    pub(super) fn take(&mut self) -> Option<Due> {
        self.due.pop().map(|due| due.0.1)
    }

    /// Where a member sits that an occurrence of a fault strikes, or sat when it did; none: nobody is hit.
    pub(super) fn struck(&mut self, number: u32, occurrence: usize) -> Option<usize> {
        let seat = self.seats[number as usize];
        if self.vacant.is_empty() && self.roll.is_none() && !self.autoscaled {
            // Members are where they were.
            return Some(seat);
        }
        let there = !self.autoscaled || number < self.size;
        *self.struck.entry(occurrence).or_insert(there.then_some(seat))
    }

    /// The same of one of those that are there when it strikes, by a share of 2^32.
    pub(super) fn struck_any(&mut self, share: u32, occurrence: usize) -> Option<usize> {
        let number = u32::try_from((u64::from(share) * u64::from(self.size)) >> 32).expect("below the size");
        let number = *self.drawn.entry(occurrence).or_insert(number);
        self.struck(number, occurrence)
    }

    /// The number that was drawn when an occurrence struck one of those that were there.
    pub(super) fn drawn(&self, occurrence: usize) -> Option<u32> {
        self.drawn.get(&occurrence).copied()
    }

    /// Whether an occurrence struck a member that was there.
    pub(super) fn hit(&self, occurrence: usize) -> bool {
        self.struck.get(&occurrence).is_some_and(Option::is_some)
    }

    /// The process of a seat starts.
    fn start(&mut self, seat: usize, now: u64) {
        if !self.due.iter().any(|due| due.0.1 == Due::Ready(seat)) {
            self.startups += 1;
            let startup = self.startup.whole(&mut self.stream.at(self.startups), About::default());
            self.due.push(Reverse((now.saturating_add(startup), Due::Ready(seat))));
        }
    }

    /// A process is ready, and waits for the old one of its seat to be done.
    pub(super) fn wait(&mut self, seat: usize, now: u64) {
        self.due.push(Reverse((now + LOOK_AGAIN, Due::Ready(seat))));
    }

    /// A process is there.
    pub(super) fn ready(&mut self, seat: usize) {
        self.due.retain(|due| due.0.1 != Due::Kill(seat));
        if let Some(roll) = &mut self.roll {
            roll.starting.retain(|other| *other != seat);
        }
    }

    /// The group shall have another size. Seats whose process is to stop.
    pub(super) fn resize(&mut self, size: u32, members: &[MemberConditions], now: u64) -> Vec<usize> {
        self.size = size;
        let (stay, go) = self.seats.split_at(size as usize);
        let (stay, mut go) = (stay.to_vec(), go.to_vec());
        if let Some(roll) = &mut self.roll {
            roll.total = roll.total.min(size);
            roll.old.retain(|number| *number < size);
            let ahead: Vec<usize> = roll.ahead.split_off(&size).into_values().collect();
            self.vacant.extend(&ahead);
            go.extend(ahead);
            roll.starting.retain(|seat| !go.contains(seat));
        }
        self.due.retain(|due| !matches!(due.0.1, Due::Ready(seat) if go.contains(&seat)));
        for seat in stay.into_iter().filter(|seat| !members[*seat].wanted) {
            self.start(seat, now);
        }
        go.retain(|seat| members[*seat].wanted);
        go
    }

    /// A new version is rolled out.
    pub(super) fn deploy(&mut self, plan: DeployPlan, now: u64) {
        self.rolls.push_back((now, plan));
    }

    /// A process that was told to stop is killed.
    pub(super) fn killed(&mut self) {
        self.outcome.get_or_insert_default().killed += 1;
    }

    /// What came of its roll-outs, where some were planned.
    pub(super) fn finish(&mut self) -> Option<RolloutOutcome> {
        let open = self.rolls.len() + usize::from(self.roll.is_some());
        self.outcome.map(|outcome| RolloutOutcome { open: open as u64, ..outcome })
    }

    /// Does what the roll-out may do now. Seats whose process is to stop.
    pub(super) fn roll_on(&mut self, members: &[MemberConditions], now: u64) -> Vec<usize> {
        let mut stopped: Vec<usize> = Vec::new();
        loop {
            if self.roll.is_none()
                && let Some((since, plan)) = self.rolls.pop_front()
            {
                let (total, old) = (self.size, (0..self.size).collect());
                self.roll =
                    Some(Roll { since, plan, total, old, made: 0, starting: Vec::new(), ahead: BTreeMap::new() });
            }
            let Some(mut roll) = self.roll.take() else { return stopped };
            while self.replace_one(&mut roll, members, &mut stopped, now) {}
            if !(roll.old.is_empty() && roll.made >= roll.total && roll.starting.is_empty()) {
                if roll.starting.is_empty() {
                    self.due.retain(|due| due.0.1 != Due::Look);
                    self.due.push(Reverse((now + LOOK_AGAIN, Due::Look)));
                }
                self.roll = Some(roll);
                return stopped;
            }
            let outcome = self.outcome.get_or_insert_default();
            outcome.done += 1;
            outcome.longest = outcome.longest.max(SimSpan(now - roll.since));
        }
    }

    /// Starts a new process or stops an old one, if it may.
    fn replace_one(
        &mut self,
        roll: &mut Roll,
        members: &[MemberConditions],
        stopped: &mut Vec<usize>,
        now: u64,
    ) -> bool {
        let there = u32::try_from(roll.old.len()).expect("members fit 32 bits") + roll.made;
        if roll.made < roll.total
            && there < roll.total + roll.plan.max_surge
            && let Some(seat) = self.vacant.pop_front()
        {
            let number = roll.made;
            roll.made += 1;
            if roll.old.contains(&number) {
                roll.ahead.insert(number, seat);
            } else {
                self.seats[number as usize] = seat;
            }
            roll.starting.push(seat);
            self.start(seat, now);
            return true;
        }
        let Some(number) = roll.old.front().copied() else { return false };
        let seat = self.seats[number as usize];
        let up = |seat: &usize| members[*seat].is_up() && !stopped.contains(seat);
        let available = (0..members.len()).filter(up).count();
        let enough = self.size.saturating_sub(roll.plan.max_unavailable) as usize;
        if up(&seat) && available <= enough {
            return false;
        }
        roll.old.pop_front();
        if let Some(ahead) = roll.ahead.remove(&number) {
            self.seats[number as usize] = ahead;
        }
        self.vacant.push_back(seat);
        self.due.push(Reverse((now.saturating_add(roll.plan.grace.0), Due::Kill(seat))));
        stopped.push(seat);
        true
    }
}
