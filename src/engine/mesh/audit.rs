//! What is at work when a run ends must fit together: nothing is lost from sight, held by nobody, or waits for nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{AttemptKey, CallKey, Event, Mesh, RootKey, StrandKey, VisitKey};
use crate::engine::delegate::Doom;

/// What is still to come, by whom it is for.
#[derive(Default)]
struct Coming {
    strands: BTreeSet<StrandKey>,
    calls: BTreeSet<CallKey>,
    attempts: BTreeSet<AttemptKey>,
}

impl Mesh {
    /// Looks through all that is at work.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn audit(&self, end: u64) -> Result<(), String> {
        let coming = self.coming();
        self.audit_instances()?;
        self.audit_strands(&coming)?;
        self.audit_calls(&coming)?;
        self.audit_awaits()?;
        self.audit_outboxes()?;
        self.audit_transactions()?;
        self.audit_resources(end)
    }

    fn coming(&self) -> Coming {
        let mut coming = Coming::default();
        for event in self.calendar.events() {
            match event {
                Event::Spent(strand) | Event::Wake(strand, _) => drop(coming.strands.insert(strand)),
                Event::Retry(call) => drop(coming.calls.insert(call)),
                Event::Deliver(attempt) | Event::Answer(attempt, _) => drop(coming.attempts.insert(attempt)),
                _ => {}
            }
        }
        coming
    }

    /// Workers are held by visits, queues hold visits, and what a user has begun lives as long as something comes of it.
    fn audit_instances(&self) -> Result<(), String> {
        let mut held: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        let mut alive: BTreeMap<RootKey, u32> = BTreeMap::new();
        let mut queued: BTreeSet<VisitKey> = BTreeSet::new();
        for (key, visit) in &self.visits {
            *alive.entry(visit.root).or_default() += 1;
            if visit.began.is_none() {
                queued.insert(key);
            } else if !visit.answered {
                *held.entry((visit.actor, visit.instance)).or_default() += 1;
            }
        }
        for attempt in self.attempts.values() {
            *alive.entry(attempt.root).or_default() += 1;
        }
        for (actor, it) in self.actors.iter().enumerate() {
            let workers = self.servers.get(actor).map_or(0, |server| server.workers);
            if !it.crowding.agrees(it.instances.iter().map(|instance| instance.queue.len()).sum()) {
                return Err(format!("not as many wait at actor {actor} as were counted"));
            }
            for (index, instance) in it.instances.iter().enumerate() {
                let busy = held.get(&(actor, index)).copied().unwrap_or(0);
                let idle = instance.is_up() && instance.busy < workers && !instance.queue.is_empty();
                let at_rest = !self.calendar.events().any(|event| matches!(event, Event::Resume(..)));
                if instance.busy != busy || idle && at_rest || !instance.queue.iter().all(|key| queued.remove(key)) {
                    let (busy, queue) = (instance.busy, instance.queue.len());
                    return Err(format!("instance {index} of actor {actor}: {busy} at work, {queue} wait"));
                }
            }
        }
        let lost = self.roots.iter().find(|(key, root)| alive.get(key).copied() != Some(root.alive));
        match lost {
            _ if !queued.is_empty() => Err(format!("{} visits wait in no queue", queued.len())),
            Some((_, root)) => Err(format!("a request of {} ns is lost: {} parts of it", root.created, root.alive)),
            None => Ok(()),
        }
    }

    /// Every strand belongs to a visit, and waits for something that comes.
    fn audit_strands(&self, coming: &Coming) -> Result<(), String> {
        let mut strands: BTreeMap<VisitKey, u32> = BTreeMap::new();
        let mut branches = BTreeMap::new();
        for strand in self.strands.values() {
            *strands.entry(strand.visit).or_default() += 1;
            if let Some(fork) = strand.fork {
                *branches.entry(fork).or_insert(0) += 1;
            }
        }
        let waits: BTreeSet<StrandKey> = self.waits.values().map(|wait| wait.strand).collect();
        let forked: BTreeSet<StrandKey> =
            self.forks.values().filter(|fork| !fork.decided).map(|fork| fork.parent).collect();
        let published: BTreeSet<StrandKey> = self.waiters.values().copied().collect();
        let mut inside: BTreeSet<StrandKey> = self.transactions.values().filter_map(|it| it.waiting).collect();
        inside.extend(self.turns.waiting());
        let wakes = |key: &StrandKey| {
            inside.contains(key)
                || coming.strands.contains(key)
                || waits.contains(key)
                || forked.contains(key)
                || published.contains(key)
        };
        for (key, strand) in &self.strands {
            let hangs = strand.fork.is_none() && self.visits[strand.visit].doom == Doom::Hangs;
            if strand.call.is_none() && strand.awaits.is_none() && !wakes(&key) && !hangs {
                return Err(format!("a strand waits for nothing: {strand:?}"));
            }
        }
        let visits = self.visits.iter().find(|(key, visit)| strands.get(key).copied().unwrap_or(0) != visit.strands);
        let forks = self.forks.iter().find(|(key, fork)| branches.get(key).copied().unwrap_or(0) != fork.left);
        match (visits, forks) {
            (Some((_, visit)), _) => Err(format!("the strands of a visit do not add up: {visit:?}")),
            (_, Some((_, fork))) => Err(format!("the branches of a fork do not add up: {fork:?}")),
            _ => Ok(()),
        }
    }

    /// Every call has attempts or makes one; every attempt is somewhere; places in pools are held by attempts.
    fn audit_calls(&self, coming: &Coming) -> Result<(), String> {
        for (key, call) in &self.calls {
            let known = self.strands.get(call.strand).is_some_and(|strand| strand.call == Some(key));
            let live = call.live.iter().all(|attempt| self.attempts.get(*attempt).is_some_and(|a| a.call == Some(key)));
            if !known || !live || call.live.is_empty() && !coming.calls.contains(&key) {
                return Err(format!("a call is lost: {call:?}"));
            }
        }
        let waiting: BTreeSet<AttemptKey> =
            self.callers.iter().flatten().flat_map(|caller| &caller.waiting).copied().collect();
        let mut placed: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for (key, attempt) in &self.attempts {
            *placed.entry((attempt.site, attempt.caller)).or_default() += u32::from(attempt.placed);
            let visited = attempt.visit.is_some_and(|visit| self.visits.contains_key(visit));
            let called = attempt.call.is_none_or(|call| self.calls.contains_key(call));
            let lost = attempt.lost && attempt.call.is_some();
            if !called || !(visited || lost || waiting.contains(&key) || coming.attempts.contains(&key)) {
                return Err(format!("an attempt is lost: {attempt:?}"));
            }
        }
        for (site, callers) in self.callers.iter().enumerate() {
            for (index, caller) in callers.iter().enumerate() {
                let used = placed.get(&(site, index)).copied().unwrap_or(0);
                let full = self.sites[site].plan.pool.is_some_and(|pool| used >= pool);
                if caller.in_use != used || !full && !caller.waiting.is_empty() {
                    let (used, waiting) = (caller.in_use, caller.waiting.len());
                    return Err(format!("call step {site}, process {index}: {used} places taken, {waiting} wait"));
                }
            }
        }
        Ok(())
    }

    /// What is held is held by strands, and nobody waits for what is free.
    fn audit_resources(&self, end: u64) -> Result<(), String> {
        let mut held = vec![0; self.resources.len()];
        self.held().into_iter().for_each(|(resource, _)| held[resource] += 1);
        for (index, (resource, holders)) in self.resources.iter().zip(held).enumerate() {
            if resource.holders() != holders || !resource.keeps_nobody_waiting(end) {
                return Err(format!("resource {index} is held by {holders}: {resource:?}"));
            }
        }
        Ok(())
    }
}
