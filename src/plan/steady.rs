//! What changes about a plan while it runs, and where its warm-up comes from.

use super::{Arrivals, FaultPlan, Plan};
use crate::time::SimTime;

/// Where the length of the warm-up comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WarmUp {
    /// It is stated, or there is none.
    #[default]
    Stated,
    /// It has to be found before the first run.
    Wanted,
    /// It was found.
    Found(FoundWarmUp),
}

/// How a warm-up was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundWarmUp {
    /// Runs before the first, from which it was taken.
    pub pilots: u32,
    /// Whose times took longest to come to rest, such as `consumers.email.latency`; none: nobody's did.
    pub longest: Option<String>,
    /// Whose times did not come to rest.
    pub restless: Vec<String>,
}

impl Plan {
    /// Whose arrivals follow a course of their own.
    #[must_use]
    pub fn unsteady_arrivals(&self) -> Option<&str> {
        let producers = self.producers.iter().map(|it| (&it.name, Some(&it.arrivals)));
        let mut all = producers.chain(self.services.iter().map(|it| (&it.name, it.arrivals.as_ref())));
        let moves = |arrivals: Option<&Arrivals>| arrivals.is_some_and(|arrivals| !arrivals.is_steady());
        all.find(|(_, arrivals)| moves(*arrivals)).map(|(name, _)| name.as_str())
    }

    /// Why a part of a run cannot stand for any other, in words; none where nothing is planned to change.
    #[must_use]
    pub fn unsteady(&self) -> Option<String> {
        let arrivals = self.unsteady_arrivals().map(|name| format!("the arrivals of {name} follow a course"));
        let fault = || self.acting().next().map(|fault| format!("the fault {} strikes", fault.name));
        let change = || self.changes.first().map(|change| format!("the change {} is made", change.name));
        let scaled = || self.consumers.iter().find(|consumer| consumer.autoscale.is_some());
        let scaled = || scaled().map(|consumer| format!("the members of {} follow what it has to do", consumer.name));
        arrivals.or_else(fault).or_else(change).or_else(scaled)
    }

    /// Until when nothing is planned to change; none where something does all the time, or at a random time.
    #[must_use]
    pub fn quiet_until(&self) -> Option<SimTime> {
        if self.unsteady_arrivals().is_some() {
            return None;
        }
        let mut until = SimTime(self.duration.0);
        for fault in self.acting() {
            until = until.min(SimTime(crate::time::SimSpan::from_nanos_f64(fault.at.constant()?).0));
        }
        self.changes.iter().for_each(|change| until = until.min(change.at));
        Some(until)
    }

    fn acting(&self) -> impl Iterator<Item = &FaultPlan> {
        self.faults.iter().filter(|fault| fault.effect.may_act())
    }
}
