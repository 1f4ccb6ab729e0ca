//! Faults on services, all known before the run.

use super::caller::Caller;
use super::calls::Fail;
use super::facts::Ending;
use super::server::Instance;
use super::visit::{Asker, Visit};
use super::{Event, Mesh, VisitKey, small};
use crate::engine::setup::Setup;
use crate::engine::timeline::{Occurrence, occurrences, restart};
use crate::plan::{Effect, FaultTarget, Party, Plan};

/// What happens to instances from outside.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Control {
    /// Measurement begins.
    WarmUp,
    Crash,
    /// Is started again, and ready so much later.
    Restart,
    Pause(u64),
    SlowOn(usize, f64),
    SlowOff(usize),
    FailOn(usize, f64),
    FailOff(usize),
    ColdOn(usize, f64, u64, u64),
    ColdOff(usize),
    HoleOn,
    HoleOff,
    QuotaOn(usize, f64),
    QuotaOff(usize),
}

/// Whom it happens to.
#[derive(Clone, Copy, Debug)]
enum Whom {
    /// An instance of a service; none: all.
    Service(usize, Option<usize>),
    Resource(usize),
    /// The relay of an actor's outbox.
    Relay(usize),
}

#[derive(Clone, Copy, Debug)]
struct Strike {
    at: u64,
    whom: Whom,
    what: Control,
}

/// What is to come, the earliest first.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    strikes: Vec<Strike>,
    next: usize,
}

/// What begins and what ends an occurrence of a fault at a service or resource; none: it does nothing here.
fn controls(effect: &Effect, number: usize, o: &Occurrence) -> Option<(Control, Option<Control>)> {
    Some(match *effect {
        Effect::Crash => (Control::Crash, Some(Control::Restart)),
        Effect::Pause => (Control::Pause(o.to), None),
        Effect::Slow(factor) => (Control::SlowOn(number, factor), Some(Control::SlowOff(number))),
        Effect::Fail(share) => (Control::FailOn(number, share), Some(Control::FailOff(number))),
        Effect::ColdStart(factor) => (Control::ColdOn(number, factor, o.from, o.to), Some(Control::ColdOff(number))),
        Effect::BlackHole => (Control::HoleOn, Some(Control::HoleOff)),
        Effect::Quota(rate) => (Control::QuotaOn(number, rate), Some(Control::QuotaOff(number))),
        _ => return None,
    })
}

/// The actor that has an outbox: services come first, then consumers, then the producers that are here.
fn actor_of(plan: &Plan, setup: &Setup, party: Party) -> usize {
    let others = plan.services.len() + setup.delegating().count();
    match party {
        Party::Service(id) => id.0 as usize,
        Party::Producer(id) => {
            let id = id.0 as usize;
            others + (0..id).filter(|producer| setup.sources.binary_search(producer).is_err()).count()
        }
        Party::Consumer(_) => unreachable!("consumers have no outbox"),
    }
}

impl Timeline {
    pub(super) fn new(plan: &Plan, setup: &Setup) -> Self {
        let mut strikes = Vec::new();
        if !plan.services.is_empty() && setup.warm_up > 0 {
            strikes.push(Strike { at: setup.warm_up, whom: Whom::Service(0, None), what: Control::WarmUp });
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            for (n, o) in occurrences(plan, fault, setup.seed).iter().enumerate() {
                let whom = match fault.target {
                    FaultTarget::Service(id, _) => Whom::Service(id.0 as usize, o.member.map(|member| member as usize)),
                    FaultTarget::Resource(id) => Whom::Resource(id.0 as usize),
                    FaultTarget::Relay(party) => Whom::Relay(actor_of(plan, setup, party)),
                    _ => break,
                };
                let Some((on, off)) = controls(&fault.effect, number, o) else { break };
                strikes.push(Strike { at: o.from, whom, what: on });
                if let Some(what) = off.filter(|_| o.to < setup.end) {
                    let at = if what == Control::Restart { restart(plan, setup, number, (n, o.to)) } else { o.to };
                    strikes.push(Strike { at, whom, what });
                }
            }
        }
        strikes.sort_by_key(|strike| strike.at);
        Self { strikes, next: 0 }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> u64 {
        self.strikes.get(self.next).map_or(u64::MAX, |strike| strike.at)
    }
}

impl Mesh {
    /// Does what is due on the timeline.
    pub(super) fn control(&mut self, now: u64) {
        let strike = self.timeline.strikes[self.timeline.next];
        self.timeline.next += 1;
        if strike.what == Control::WarmUp {
            return (0..self.servers.len()).for_each(|service| self.note_available(service, now));
        }
        match strike.whom {
            Whom::Service(service, instance) => {
                self.note_available(service, now);
                let all = 0..self.actors[service].instances.len();
                let hit = instance.map_or(all, |at| at..at + 1);
                hit.for_each(|instance| self.strike(service, instance, strike.what, now));
            }
            Whom::Resource(resource) => self.strike_resource(resource, strike.what, now),
            Whom::Relay(actor) => match strike.what {
                Control::Crash => self.strike_relay(actor, true, now),
                Control::Restart => self.strike_relay(actor, false, now),
                Control::Pause(until) => self.pause_relay(actor, until),
                _ => {}
            },
        }
    }

    /// A resource that stands still is granted to nobody, and nothing goes on that is done with it.
    fn strike_resource(&mut self, resource: usize, what: Control, now: u64) {
        let it = &mut self.resources[resource];
        match what {
            Control::Pause(until) => drop(it.pauses.stand_still(now, until)),
            Control::SlowOn(fault, factor) => Instance::note(&mut it.slows, fault, factor),
            Control::SlowOff(fault) => Instance::forget(&mut it.slows, fault),
            Control::QuotaOn(fault, rate) => it.limit(|quotas| Instance::note(quotas, fault, rate), now),
            Control::QuotaOff(fault) => it.limit(|quotas| Instance::forget(quotas, fault), now),
            _ => {}
        }
        self.grant_next(resource, now);
    }

    fn strike(&mut self, service: usize, instance: usize, what: Control, now: u64) {
        let at = &mut self.actors[service].instances[instance];
        match what {
            Control::WarmUp => {}
            Control::Crash => {
                at.down += 1;
                self.cut_off(service, instance, now);
            }
            Control::Restart => at.down -= 1,
            Control::Pause(until) => self.pause((service, instance), until, now),
            Control::SlowOn(fault, factor) => Instance::note(&mut at.slows, fault, factor),
            Control::SlowOff(fault) => Instance::forget(&mut at.slows, fault),
            Control::FailOn(fault, share) => Instance::note(&mut at.fails, fault, share),
            Control::FailOff(fault) => Instance::forget(&mut at.fails, fault),
            Control::ColdOn(fault, factor, from, to) => Instance::note(&mut at.colds, fault, (factor, from, to)),
            Control::ColdOff(fault) => Instance::forget(&mut at.colds, fault),
            Control::HoleOn => at.holes += 1,
            Control::HoleOff => at.holes -= 1,
            Control::QuotaOn(..) | Control::QuotaOff(_) => {}
        }
    }

    /// A process stands still until then, or as long as it would have anyway.
    pub(super) fn pause(&mut self, (actor, instance): (usize, usize), until: u64, now: u64) {
        let at = &mut self.actors[actor].instances[instance];
        if at.is_up() && at.pauses.stand_still(now, until) {
            self.actors[actor].outputs.stand_still(instance, until);
            if self.actors[actor].outbox.as_ref().is_some_and(|outbox| outbox.host == Some(instance)) {
                self.pause_relay(actor, until);
            }
            self.stand_still = self.stand_still.max(until);
            self.schedule(until, Event::Resume(small(actor), small(instance)));
        }
    }

    /// A process ends: all that it has in hand is dropped, and who waits for it is told by its connections. A pause ends with
    /// the process that stood still.
    pub(super) fn cut_off(&mut self, actor: usize, instance: usize, now: u64) {
        self.actors[actor].instances[instance].pauses.end(now);
        self.actors[actor].outputs.stand_still(instance, now);
        let dropped = self.drop_unsent(actor, instance, now);
        self.orphan(actor, instance, now);
        if self.actors[actor].outbox.as_ref().is_some_and(|outbox| outbox.host == Some(instance)) {
            self.lose_relay(actor, now);
        }
        let is_here = |visit: &Visit| visit.actor == actor && visit.instance == instance;
        let here: Vec<VisitKey> = self.visits.iter().filter(|(_, visit)| is_here(visit)).map(|(key, _)| key).collect();
        let strands: Vec<_> =
            self.strands.iter().filter(|(_, strand)| is_here(&self.visits[strand.visit])).map(|(key, _)| key).collect();
        // Nobody of this process takes a place in a pool any more, or is granted what another lets go.
        let Self { callers, sites, .. } = self;
        for (_, callers) in sites.iter().zip(callers).filter(|(site, _)| site.caller == actor) {
            callers[instance].waiting.clear();
        }
        for strand in &strands {
            self.stop_waiting(*strand, now);
        }
        for strand in strands {
            self.abandon_strand(strand, now);
        }
        for key in here {
            self.hear_no_more(key);
            if !self.visits[key].answered {
                self.close_facts(key, Ending::CutOff, &dropped, now);
            }
            let visit = self.visits.remove(key).expect("just listed");
            if !visit.answered {
                if let Some(began) = visit.began {
                    let busy = self.measured_span(began, now);
                    self.actors[actor].outcome.busy += busy;
                }
                self.actors[actor].outcome.visits.cut_off += u64::from(visit.arrived >= self.warm_up);
                // A group has cut off itself what it waited for.
                if !matches!(visit.asker, Asker::Group { .. }) {
                    self.reply(&visit, Err(Fail::Error), now);
                }
            }
            self.let_go(visit.root, now);
        }
        self.reset_swallowed(actor, instance, now);
        let it = &mut self.actors[actor];
        let gone = i64::try_from(it.instances[instance].queue.len()).expect("a queue fits in memory");
        it.crowding.change(-gone, now);
        let at = &mut it.instances[instance];
        at.busy = 0;
        at.queue.clear();
        let Self { callers, sites, .. } = self;
        for (site, callers) in sites.iter().zip(callers).filter(|(site, _)| site.caller == actor) {
            callers[instance] = Caller::new(&site.plan);
        }
    }

    /// Counts the worker time that was available until now.
    pub(super) fn note_available(&mut self, service: usize, now: u64) {
        let up = self.actors[service].instances.iter().filter(|instance| instance.is_up()).count() as u128;
        let span = self.measured_span(self.servers[service].available_since, now);
        let server = &mut self.servers[service];
        server.available_since = now;
        self.actors[service].outcome.available += span * up * u128::from(server.workers);
    }
}
