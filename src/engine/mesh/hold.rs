//! Strands that ask for resources, wait for them, hold them and let them go.

use super::program::Block;
use super::resource::{Next, Resource, Wait};
use super::strand::{Kind, Level};
use super::{Event, Mesh, StrandKey, WaitKey, small};
use crate::dist::NO_KEY;

impl Mesh {
    /// A strand asks for a resource: granted, refused, or it waits.
    pub(super) fn ask(&mut self, strand: StrandKey, resource: usize, now: u64) -> Option<Result<(), ()>> {
        let measured = self.measured(now);
        let key = self.key_at(strand, resource);
        let it = &mut self.resources[resource];
        it.outcome.asked += u64::from(measured);
        if it.is_free(key, now) {
            it.take(key, now, now, self.warm_up);
            return Some(Ok(()));
        }
        if !it.may_wait() {
            it.outcome.refused += u64::from(measured);
            self.turn_away(strand, resource, now);
            return Some(Err(()));
        }
        let wait = it.wait(strand, (resource, key), now);
        let number = self.waits.insert(wait);
        it.join_queue(number, &wait);
        if let Some(timeout) = it.plan.timeout {
            self.schedule(now.saturating_add(timeout.0), Event::GiveUp(number));
        }
        self.strands[strand].wait = Some(number);
        self.grant_next(resource, now);
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
        it.put_back(key);
        self.grant_next(resource, now);
    }

    /// Grants what can be granted to those that wait, the first come first. Strands go on after what happens now.
    pub(super) fn grant_next(&mut self, resource: usize, now: u64) {
        loop {
            match self.resources[resource].next(now) {
                Next::Nothing => return,
                Next::Look(at) => return self.schedule(at, Event::Refresh(small(resource))),
                Next::Grant(wait) => {
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
        self.resources[wait.resource].leave_queue(&wait);
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
        self.turn_away(wait.strand, wait.resource, now);
        self.wake(wait.strand, Err(()), now);
    }

    /// Someone does not get a resource, and is told when to come again where it says so.
    fn turn_away(&mut self, strand: StrandKey, resource: usize, now: u64) {
        if let Some(again) = self.resources[resource].again(now) {
            self.visits[self.strands[strand].visit].again = Some(again);
        }
    }

    /// What is done while a strand holds something takes so many times as long.
    pub(super) fn slowed_by(&self, strand: StrandKey) -> f64 {
        self.holds_of(strand).map(|resource| resource.slow()).product()
    }

    /// What a strand holds.
    pub(super) fn holds_of(&self, strand: StrandKey) -> impl Iterator<Item = &Resource> {
        let held = self.strands[strand].stack.iter().filter_map(|level| match level.kind {
            Kind::Holding { resource, .. } => Some(resource),
            _ => None,
        });
        held.map(|resource| &self.resources[resource])
    }

    /// Someone stops waiting because it is cut off.
    pub(super) fn drop_wait(&mut self, key: WaitKey) {
        let wait = self.leave_queue(key);
        self.resources[wait.resource].outcome.left += u64::from(wait.since >= self.warm_up);
    }

    /// What is held and waited for at the end of the run.
    pub(super) fn close_resources(&mut self, end: u64) {
        for wait in self.waits.values() {
            self.resources[wait.resource].outcome.open += u64::from(wait.since >= self.warm_up);
        }
        for (resource, since) in self.held() {
            let held = self.measured_span(since, end);
            self.resources[resource].outcome.held += held;
        }
        for it in &mut self.resources {
            it.outcome.time = u128::from(end.saturating_sub(self.warm_up));
        }
    }

    /// What strands hold, each with the time since when.
    pub(super) fn held(&self) -> Vec<(usize, u64)> {
        let levels = self.strands.values().flat_map(|strand| &strand.stack);
        let held = levels.filter_map(|level| match level.kind {
            Kind::Holding { resource, since, .. } => Some((resource, since)),
            _ => None,
        });
        held.collect()
    }
}
