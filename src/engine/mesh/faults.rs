//! Faults on services, all known before the run.

use super::Mesh;
use super::server::Instance;
use crate::dist::About;
use crate::engine::setup::Setup;
use crate::engine::timeline::occurrences;
use crate::plan::{Effect, FaultTarget, Plan};

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
}

#[derive(Clone, Copy, Debug)]
struct Strike {
    at: u64,
    service: usize,
    /// None: all.
    instance: Option<usize>,
    what: Control,
}

/// What is to come, the earliest first.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    strikes: Vec<Strike>,
    next: usize,
}

impl Timeline {
    pub(super) fn new(plan: &Plan, setup: &Setup) -> Self {
        let mut strikes = Vec::new();
        if !plan.services.is_empty() && setup.warm_up > 0 {
            strikes.push(Strike { at: setup.warm_up, service: 0, instance: None, what: Control::WarmUp });
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            let FaultTarget::Service(id, _) = fault.target else { continue };
            let service = id.0 as usize;
            let startup = crate::random::Stream::named(setup.seed, &format!("{}/startup", plan.services[service].name));
            for (n, o) in occurrences(plan, fault, setup.seed).iter().enumerate() {
                let (on, off) = match fault.effect {
                    Effect::Crash => (Control::Crash, Some(Control::Restart)),
                    Effect::Pause => (Control::Pause(o.to), None),
                    Effect::Slow(factor) => (Control::SlowOn(number, factor), Some(Control::SlowOff(number))),
                    Effect::Fail(share) => (Control::FailOn(number, share), Some(Control::FailOff(number))),
                    _ => continue,
                };
                let instance = o.member.map(|member| member as usize);
                strikes.push(Strike { at: o.from, service, instance, what: on });
                if let Some(what) = off.filter(|_| o.to < setup.end) {
                    let late = if what == Control::Restart {
                        let stream = startup.part(number as u64);
                        plan.services[service].startup.whole(&mut stream.at(n as u64), About::default())
                    } else {
                        0
                    };
                    strikes.push(Strike { at: o.to.saturating_add(setup.rounding.up(late)), service, instance, what });
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
        self.note_available(strike.service, now);
        let all = 0..self.actors[strike.service].instances.len();
        let hit = strike.instance.map_or(all, |at| at..at + 1);
        hit.for_each(|instance| self.strike(strike.service, instance, strike.what, now));
    }

    fn strike(&mut self, service: usize, instance: usize, what: Control, now: u64) {
        let at = &mut self.actors[service].instances[instance];
        match what {
            Control::WarmUp => {}
            Control::Crash => {
                at.down += 1;
                // A pause ends with the process that stood still.
                at.paused_until = 0;
                if at.down == 1 {
                    self.actors[service].outputs.abandon(instance, self.warm_up);
                    self.cut_off(service, instance, now);
                }
            }
            Control::Restart => at.down -= 1,
            Control::Pause(until) => {
                let from = at.paused_until.max(now);
                if until > from && at.is_up() {
                    at.frozen = at.frozen.saturating_add(until - from);
                    at.paused_until = until;
                    self.resume_at(service, instance, until);
                }
            }
            Control::SlowOn(fault, factor) => Instance::note(&mut at.slows, fault, factor),
            Control::SlowOff(fault) => Instance::forget(&mut at.slows, fault),
            Control::FailOn(fault, share) => Instance::note(&mut at.fails, fault, share),
            Control::FailOff(fault) => Instance::forget(&mut at.fails, fault),
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
