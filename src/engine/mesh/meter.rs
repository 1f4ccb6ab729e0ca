//! Journeys, and the books of services, calls, sagas and resources.

use super::visit::{Asker, Root};
use super::{Mesh, MeshOutcome, RootKey};
use crate::outcome::FlowOutcome;
use crate::plan::FlowPlan;

/// Follows one journey.
#[derive(Clone, Debug)]
pub(super) struct FlowMeter {
    pub(super) from: usize,
    until: Vec<usize>,
    deadline: u64,
    pub(super) outcome: FlowOutcome,
}

impl FlowMeter {
    pub(super) fn new(plan: &FlowPlan) -> Self {
        Self {
            from: plan.from.0 as usize,
            until: plan.until.iter().map(|service| service.0 as usize).collect(),
            deadline: plan.deadline.map_or(u64::MAX, |span| span.0),
            outcome: FlowOutcome::default(),
        }
    }

    fn all(&self) -> u64 {
        if self.until.len() >= 64 { u64::MAX } else { (1 << self.until.len()) - 1 }
    }
}

impl Mesh {
    /// A service has done its part of a user's request.
    pub(super) fn part_done(&mut self, key: RootKey, service: usize, now: u64) {
        let root = &mut self.roots[key];
        for (index, done) in &mut root.flows {
            let flow = &mut self.flows[*index];
            let Some(part) = flow.until.iter().position(|until| *until == service) else { continue };
            let before = *done;
            *done |= 1 << part;
            if *done == flow.all() && before != *done && root.created >= self.warm_up {
                let latency = now - root.created;
                flow.outcome.done += 1;
                flow.outcome.late += u64::from(latency > flow.deadline);
                flow.outcome.latency.record(latency);
                flow.outcome.latency_sum += u128::from(latency);
            }
        }
    }

    /// Nothing more comes of a user's request.
    pub(super) fn judge_flows(&mut self, root: &Root) {
        for (index, done) in &root.flows {
            let flow = &mut self.flows[*index];
            if *done != flow.all() && root.created >= self.warm_up {
                flow.outcome.stuck += 1;
            }
        }
    }

    /// The run is over: what is not.
    pub(super) fn close(&mut self, end: u64) {
        for service in 0..self.servers.len() {
            self.note_available(service, end);
        }
        let working: Vec<_> = self.visits.iter().filter(|(_, visit)| visit.at_work > 0).map(|(key, _)| key).collect();
        working.into_iter().for_each(|visit| self.count_work(visit, end));
        self.close_resources(end);
        self.close_calls();
        for visit in self.visits.values() {
            if let (Some(began), false) = (visit.began, visit.answered) {
                let busy = u128::from(end.saturating_sub(began.max(self.warm_up)));
                self.actors[visit.actor].outcome.busy += busy;
            }
            let outcome = &mut self.actors[visit.actor].outcome;
            outcome.visits.open += u64::from(!visit.answered && visit.arrived >= self.warm_up);
            let root = &self.roots[visit.root];
            let user = visit.asker == Asker::User && !visit.answered;
            outcome.users.open += u64::from(user && root.created >= self.warm_up);
        }
        for root in self.roots.values().filter(|root| root.created >= self.warm_up) {
            for (index, done) in &root.flows {
                let flow = &mut self.flows[*index];
                flow.outcome.open += u64::from(*done != flow.all());
            }
        }
        for actor in &mut self.actors {
            let sagas = &mut actor.outcome.handler.sagas;
            sagas.open = sagas.begun - sagas.completed - sagas.compensated - sagas.stuck;
            actor.outputs.close(&mut actor.outcome.publish, self.warm_up);
        }
    }
}

impl Mesh {
    /// Checks that all that was asked of each actor has an end, and all its calls.
    ///
    /// # Errors
    /// What does not add up, with numbers.
    pub(super) fn check_actors(&self) -> Result<(), String> {
        for (index, actor) in self.actors.iter().enumerate() {
            let v = &actor.outcome.visits;
            if v.arrived != v.done + v.failed + v.refused + v.cut_off + v.cancelled + v.open {
                return Err(format!("the visits of actor {index} do not add up: {v:?}"));
            }
            for (to, calls) in &actor.outcome.handler.calls {
                if calls.calls != calls.succeeded + calls.failed + calls.open {
                    return Err(format!("the calls of actor {index} to service {to} do not add up: {calls:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Checks that the books close.
///
/// # Errors
/// What does not add up, with numbers.
pub(super) fn check(outcome: &MeshOutcome) -> Result<(), String> {
    for (index, service) in outcome.services.iter().enumerate() {
        let u = &service.users;
        if u.arrived != u.answered + u.failed + u.refused + u.open || u.answered != service.response.count() {
            return Err(format!("the users of service {index} do not add up: {u:?}"));
        }
        let (worked, held, all) = (service.handler.working, service.busy, service.available);
        if worked > held || held > all {
            return Err(format!("service {index} worked {worked} ns, was held for {held} ns, and had {all} ns"));
        }
    }
    for (index, r) in outcome.resources.iter().enumerate() {
        if r.asked != r.granted + r.refused + r.timeouts + r.left + r.open {
            return Err(format!("the grants of resource {index} do not add up: {r:?}"));
        }
    }
    for (index, f) in outcome.flows.iter().enumerate() {
        if f.begun != f.done + f.stuck + f.open {
            return Err(format!("flow {index} does not add up: {f:?}"));
        }
    }
    Ok(())
}
