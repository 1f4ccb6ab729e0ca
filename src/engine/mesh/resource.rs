//! Resources: pools, row locks and quotas; who has them, and who waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::pauses::Pauses;
use super::{StrandKey, WaitKey};
use crate::outcome::ResourceOutcome;
use crate::plan::ResourcePlan;
use crate::time::SimSpan;

/// Something shared that handlers hold.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) plan: ResourcePlan,
    /// By key, where each has its own; those that nobody holds or waits for are left out.
    slots: BTreeMap<u32, Slot>,
    /// Keys of which the next one in the queue could hold it now, but for quota, in the order in which those came.
    ready: BTreeSet<(u64, u32)>,
    waiting: u64,
    /// Who came so far.
    came: u64,
    /// When the quota allows the next grant (generic cell rate algorithm), and the time between two.
    theoretical: u64,
    gap: u64,
    /// When it stands still; how many times as slow what is done with it is, and which quotas hold, by number of the fault.
    pub(super) pauses: Pauses,
    pub(super) slows: Vec<(usize, f64)>,
    quotas: Vec<(usize, f64)>,
    /// When the next look at the quota is due.
    refresh: u64,
    pub(super) outcome: ResourceOutcome,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    held: u32,
    waiting: VecDeque<(u64, WaitKey)>,
    /// Its place in `ready`.
    listed: Option<u64>,
}

/// A strand that waits for a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) strand: StrandKey,
    pub(super) resource: usize,
    pub(super) key: u32,
    pub(super) since: u64,
    /// Its number among all who came.
    number: u64,
}

/// What becomes of who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This one is next.
    Grant(WaitKey),
    /// A look at the quota is to be taken then.
    Look(u64),
    /// Nothing until something is let go, or a look is taken that is due.
    Nothing,
}

/// The time between two grants at so many a second.
fn gap(rate: f64) -> u64 {
    SimSpan::from_nanos_f64(1e9 / rate).0
}

impl Resource {
    pub(super) fn new(plan: &ResourcePlan) -> Self {
        Self {
            plan: plan.clone(),
            slots: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: 0,
            came: 0,
            theoretical: 0,
            gap: plan.rate.map_or(0, |(rate, _)| gap(rate)),
            pauses: Pauses::default(),
            slows: Vec::new(),
            quotas: Vec::new(),
            refresh: u64::MAX,
            outcome: ResourceOutcome::default(),
        }
    }

    /// When the quota allows the next grant.
    fn quota(&self) -> u64 {
        let burst = self.plan.rate.map_or(0, |(_, burst)| u64::from(burst.max(1)) - 1);
        self.theoretical.saturating_sub(burst.saturating_mul(self.gap)).max(self.pauses.until())
    }

    /// When to come again: `Retry-After` is in whole seconds.
    pub(super) fn again(&self, now: u64) -> Option<u64> {
        let seconds = self.quota().saturating_sub(now).div_ceil(1_000_000_000);
        self.plan.retry_after.then(|| now.saturating_add(seconds.saturating_mul(1_000_000_000)))
    }

    /// Another quota holds, or one holds no more: what is used of the burst is as large a part of it as it was.
    pub(super) fn limit(&mut self, change: impl FnOnce(&mut Vec<(usize, f64)>), now: u64) {
        change(&mut self.quotas);
        let rates = self.quotas.iter().map(|(_, rate)| *rate).chain(self.plan.rate.map(|(rate, _)| rate));
        let gap = rates.map(gap).max().unwrap_or(0);
        let ahead = u128::from(self.theoretical.saturating_sub(now)) * u128::from(gap) / u128::from(self.gap.max(1));
        self.theoretical = now.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX));
        self.gap = gap;
    }

    /// What is done with it takes so many times as long.
    pub(super) fn slow(&self) -> f64 {
        self.slows.iter().map(|(_, factor)| factor).product()
    }

    /// Whether who comes now need not wait: there is room, the quota allows it, and nobody comes first.
    pub(super) fn is_free(&self, key: u32, now: u64) -> bool {
        let slot = self.slots.get(&key);
        let first = slot.is_none_or(|slot| slot.waiting.is_empty()) && self.ready.is_empty();
        first && self.quota() <= now && self.has_room(slot)
    }

    /// Whether one more may wait.
    pub(super) fn may_wait(&self) -> bool {
        self.waiting < u64::from(self.plan.queue)
    }

    fn has_room(&self, slot: Option<&Slot>) -> bool {
        self.plan.capacity.is_none_or(|capacity| slot.map_or(0, |slot| slot.held) < capacity)
    }

    /// Someone takes it, who came at `since`.
    pub(super) fn take(&mut self, key: u32, since: u64, now: u64, warm_up: u64) {
        self.slots.entry(key).or_default().held += 1;
        self.list(key);
        if self.gap > 0 {
            self.theoretical = self.theoretical.max(now).saturating_add(self.gap);
        }
        if since >= warm_up {
            self.outcome.granted += 1;
            self.outcome.wait.record(now - since);
            self.outcome.wait_sum += u128::from(now - since);
        }
    }

    /// Someone lets it go.
    pub(super) fn put_back(&mut self, key: u32) {
        self.slots.get_mut(&key).expect("it is held").held -= 1;
        self.list(key);
    }

    /// A new wait of a strand.
    pub(super) fn wait(&mut self, strand: StrandKey, (resource, key): (usize, u32), since: u64) -> Wait {
        self.came += 1;
        Wait { strand, resource, key, since, number: self.came }
    }

    /// Someone begins to wait.
    pub(super) fn join_queue(&mut self, key: WaitKey, wait: &Wait) {
        self.slots.entry(wait.key).or_default().waiting.push_back((wait.number, key));
        self.waiting += 1;
        self.list(wait.key);
    }

    /// Someone waits no more.
    pub(super) fn leave_queue(&mut self, wait: &Wait) {
        let slot = self.slots.get_mut(&wait.key).expect("someone waits");
        let at = slot.waiting.binary_search_by_key(&wait.number, |(number, _)| *number).expect("in order");
        slot.waiting.remove(at);
        self.waiting -= 1;
        self.list(wait.key);
    }

    /// Notes whether the first in the queue of a key could have it, and forgets a key that nobody cares for.
    fn list(&mut self, key: u32) {
        let Some(slot) = self.slots.get(&key) else { return };
        let first = slot.waiting.front().map(|(number, _)| *number).filter(|_| self.has_room(Some(slot)));
        let (listed, idle) = (slot.listed, slot.held == 0 && slot.waiting.is_empty());
        if first != listed {
            listed.map(|number| self.ready.remove(&(number, key)));
            self.ready.extend(first.map(|number| (number, key)));
        }
        if idle {
            self.slots.remove(&key);
        } else if let Some(slot) = self.slots.get_mut(&key) {
            slot.listed = first;
        }
    }

    /// Who is next, of all keys the one who came first; or when to look again.
    pub(super) fn next(&mut self, now: u64) -> Next {
        let Some((_, key)) = self.ready.first() else { return Next::Nothing };
        let quota = self.quota();
        if quota <= now {
            return Next::Grant(self.slots[key].waiting[0].1);
        }
        if self.refresh > now && self.refresh <= quota {
            return Next::Nothing;
        }
        self.refresh = quota;
        Next::Look(quota)
    }

    /// How many hold it.
    pub(super) fn holders(&self) -> u64 {
        self.slots.values().map(|slot| u64::from(slot.held)).sum()
    }

    /// Whether nobody waits who could have had it before `now`.
    pub(super) fn keeps_nobody_waiting(&self, now: u64) -> bool {
        self.ready.is_empty() || self.quota() >= now && self.refresh <= self.quota()
    }
}
