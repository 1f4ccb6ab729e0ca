//! Resources: pools, row locks and quotas that handlers hold.

use std::collections::{BTreeMap, VecDeque};

use super::program::Block;
use super::strand::{Kind, Level};
use super::{Event, Mesh, StrandKey, WaitKey};
use crate::dist::NO_KEY;
use crate::outcome::ResourceOutcome;
use crate::plan::ResourcePlan;
use crate::time::SimSpan;

/// Something shared that handlers hold.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    plan: ResourcePlan,
    /// By key, where each has its own; those that nobody holds or waits for are left out.
    slots: BTreeMap<u32, Slot>,
    waiting: u64,
    /// When the quota allows the next grant (generic cell rate algorithm), and the time between two.
    theoretical: u64,
    gap: u64,
    pub(super) outcome: ResourceOutcome,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    held: u32,
    waiting: VecDeque<WaitKey>,
}

/// A strand that waits for a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    strand: StrandKey,
    resource: usize,
    key: u32,
    since: u64,
}

impl Resource {
    pub(super) fn new(plan: &ResourcePlan) -> Self {
        let gap = plan.rate.map_or(0, |(rate, _)| SimSpan::from_nanos_f64(1e9 / rate).0);
        Self {
            plan: plan.clone(),
            slots: BTreeMap::new(),
            waiting: 0,
            theoretical: 0,
            gap,
            outcome: ResourceOutcome::default(),
        }
    }

    /// When the quota allows the next grant.
    fn quota(&self) -> u64 {
        let burst = self.plan.rate.map_or(0, |(_, burst)| u64::from(burst.max(1)) - 1);
        self.theoretical.saturating_sub(burst.saturating_mul(self.gap))
    }

    fn has_room(&self, key: u32) -> bool {
        let held = self.slots.get(&key).map_or(0, |slot| slot.held);
        self.plan.capacity.is_none_or(|capacity| held < capacity)
    }

    fn take(&mut self, key: u32, since: u64, now: u64, warm_up: u64) {
        self.slots.entry(key).or_default().held += 1;
        if self.gap > 0 {
            self.theoretical = self.theoretical.max(now).saturating_add(self.gap);
        }
        if since >= warm_up {
            self.outcome.granted += 1;
            self.outcome.wait.record(now - since);
            self.outcome.wait_sum += u128::from(now - since);
        }
    }

    fn tidy(&mut self, key: u32) {
        if self.slots.get(&key).is_some_and(|slot| slot.held == 0 && slot.waiting.is_empty()) {
            self.slots.remove(&key);
        }
    }
}

impl Mesh {
    /// A strand asks for a resource: granted, refused, or it waits.
    pub(super) fn ask(&mut self, strand: StrandKey, resource: usize, now: u64) -> Option<Result<(), ()>> {
        let measured = self.measured(now);
        let key = self.key_at(strand, resource);
        let it = &mut self.resources[resource];
        it.outcome.asked += u64::from(measured);
        let quota = it.quota();
        let first =
            if it.gap > 0 { it.waiting == 0 } else { it.slots.get(&key).is_none_or(|slot| slot.waiting.is_empty()) };
        if first && quota <= now && it.has_room(key) {
            it.take(key, now, now, self.warm_up);
            return Some(Ok(()));
        }
        if it.waiting >= u64::from(it.plan.queue) {
            it.outcome.refused += u64::from(measured);
            return Some(Err(()));
        }
        let wait = self.waits.insert(Wait { strand, resource, key, since: now });
        it.slots.entry(key).or_default().waiting.push_back(wait);
        it.waiting += 1;
        let timeout = it.plan.timeout;
        if quota > now && it.waiting == 1 {
            self.schedule(quota, Event::Refresh(resource));
        }
        if let Some(timeout) = timeout {
            self.schedule(now.saturating_add(timeout.0), Event::GiveUp(wait));
        }
        self.strands[strand].wait = Some(wait);
        None
    }

    /// The part of a resource that a strand asks for.
    fn key_at(&self, strand: StrandKey, resource: usize) -> u32 {
        let key = self.visits[self.strands[strand].visit].key;
        if self.resources[resource].plan.per_key { key } else { NO_KEY }
    }

    /// A strand holds a resource while a block runs.
    pub(super) fn hold(&mut self, strand: StrandKey, resource: usize, body: Block, now: u64) {
        let key = self.key_at(strand, resource);
        let kind = Kind::Holding { resource, key, since: now };
        self.strands[strand].stack.push(Level { block: body, at: 0, kind });
    }

    /// A resource is let go; the next one has it.
    pub(super) fn release(&mut self, resource: usize, key: u32, since: u64, now: u64) {
        let held = self.measured_span(since, now);
        let it = &mut self.resources[resource];
        it.outcome.held += held;
        if let Some(slot) = it.slots.get_mut(&key) {
            slot.held -= 1;
        }
        it.tidy(key);
        self.grant_next(resource, now);
    }

    /// Grants what can be granted to those that wait, the first come first. Strands go on after what happens now.
    pub(super) fn grant_next(&mut self, resource: usize, now: u64) {
        loop {
            let it = &self.resources[resource];
            if it.waiting == 0 {
                return;
            }
            let ready = |(key, slot): (&u32, &Slot)| {
                let first = slot.waiting.front()?;
                it.has_room(*key).then(|| (self.waits[*first].since, *first))
            };
            let Some((_, wait)) = it.slots.iter().filter_map(ready).min() else { return };
            let quota = it.quota();
            if quota > now {
                return self.schedule(quota, Event::Refresh(resource));
            }
            let Wait { strand, key, since, .. } = self.leave_queue(wait);
            self.resources[resource].take(key, since, now, self.warm_up);
            self.strands[strand].wait = None;
            // The grant is the strand's from now on.
            if let Some(body) = self.waiting_body(strand) {
                self.hold(strand, resource, body, now);
            }
            self.schedule(now, Event::Wake(strand, Ok(())));
        }
    }

    /// The block of the hold step at which a strand waits.
    fn waiting_body(&self, strand: StrandKey) -> Option<Block> {
        let it = &self.strands[strand];
        let level = it.stack.last()?;
        let program = &self.actors[self.visits[it.visit].actor].program;
        match program.blocks[level.block][level.at - 1].what {
            super::program::What::Hold(_, body) => Some(body),
            _ => None,
        }
    }

    fn leave_queue(&mut self, key: WaitKey) -> Wait {
        let wait = self.waits.remove(key).expect("it waits");
        let it = &mut self.resources[wait.resource];
        if let Some(slot) = it.slots.get_mut(&wait.key) {
            slot.waiting.retain(|other| *other != key);
        }
        it.waiting -= 1;
        it.tidy(wait.key);
        wait
    }

    /// Someone has waited too long.
    pub(super) fn give_up(&mut self, key: WaitKey, now: u64) {
        if !self.waits.contains_key(key) {
            return;
        }
        let wait = self.leave_queue(key);
        self.resources[wait.resource].outcome.timeouts += u64::from(wait.since >= self.warm_up);
        self.strands[wait.strand].wait = None;
        self.wake(wait.strand, Err(()), now);
    }

    /// Someone stops waiting because it is cut off.
    pub(super) fn drop_wait(&mut self, key: WaitKey) {
        if self.waits.contains_key(key) {
            let wait = self.leave_queue(key);
            self.resources[wait.resource].outcome.left += u64::from(wait.since >= self.warm_up);
        }
    }

    /// What is held and waited for at the end of the run.
    pub(super) fn close_resources(&mut self, end: u64) {
        for wait in self.waits.values() {
            self.resources[wait.resource].outcome.open += u64::from(wait.since >= self.warm_up);
        }
        let held: Vec<(usize, u64)> = self
            .strands
            .values()
            .flat_map(|strand| &strand.stack)
            .filter_map(|level| match level.kind {
                Kind::Holding { resource, since, .. } => Some((resource, since)),
                _ => None,
            })
            .collect();
        for (resource, since) in held {
            let held = self.measured_span(since, end);
            self.resources[resource].outcome.held += held;
        }
        for it in &mut self.resources {
            it.outcome.time = u128::from(end.saturating_sub(self.warm_up));
        }
    }
}
