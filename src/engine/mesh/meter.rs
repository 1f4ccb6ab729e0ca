//! The books of services, calls, sagas and resources.

use super::visit::Asker;
use super::{Mesh, MeshOutcome};

impl Mesh {
    /// The run is over: what is not.
    pub(super) fn close(&mut self, end: u64) {
        for service in 0..self.servers.len() {
            self.note_available(service, end);
        }
        let working: Vec<_> = self.visits.iter().filter(|(_, visit)| visit.at_work > 0).map(|(key, _)| key).collect();
        working.into_iter().for_each(|visit| self.count_work(visit, end));
        self.close_resources(end);
        self.close_calls();
        self.close_pools(end);
        self.close_awaits();
        for visit in self.visits.values() {
            if let (Some(began), false) = (visit.began, visit.answered) {
                let busy = u128::from(end.saturating_sub(began.max(self.warm_up)));
                self.actors[visit.actor].outcome.busy += busy;
            }
            let created = self.roots[visit.root].created;
            let user = visit.asker == Asker::User && !visit.answered && created >= self.warm_up;
            let it = &mut self.actors[visit.actor];
            it.outcome.visits.open += u64::from(!visit.answered && visit.arrived >= self.warm_up);
            it.outcome.users.open += u64::from(user);
            it.intervals_at(created).for_each(|interval| interval.users.open += u64::from(user));
        }
        self.close_outboxes();
        self.close_transactions();
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
            if v.arrived != v.done + v.failed + v.refused + v.cut_off + v.swallowed + v.cancelled + v.open {
                return Err(format!("the visits of actor {index} do not add up: {v:?}"));
            }
            let a = &actor.outcome.handler.awaits;
            if a.begun != a.arrived + a.refused + a.timeouts + a.left + a.open || a.arrived != a.wait.count() {
                return Err(format!("what actor {index} awaited does not add up: {a:?}"));
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
    Ok(())
}
