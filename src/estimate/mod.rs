//! What the theory of queues says of a plan, without simulating it: loads, waits, latencies, and what outages leave behind.
//!
//! ```text
//! Plan --flows--> rates --bus, work--> times of stages --consumers, services--> waits by formula
//!                                                      --fluid--> backlog of outages and of overload
//! ```
//!
//! Formulas are for a steady state of independent times; each estimate says how good its formula is for this plan, and what
//! the formula leaves out ([`Doubt`]). Times are seconds, rates per second.

mod bends;
mod bus;
mod consumers;
mod course;
mod crowds;
mod doubts;
mod flows;
mod fluid;
pub mod formulas;
mod gamma;
mod handling;
mod inputs;
mod law;
mod layout;
pub mod loss;
mod model;
pub mod moments;
mod outages;
mod queues;
mod rates;
mod services;
mod spread;
#[cfg(test)]
mod tests;
mod work;

pub use consumers::{Backlog, Consumer};
pub use doubts::Doubt;
pub use outages::{At, Outage};
pub use services::Service;

use crate::plan::{Plan, ServiceId};
use model::Model;

/// What the formulas say of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimates {
    /// By index of [`Plan::consumers`].
    pub consumers: Vec<Consumer>,
    /// By index of [`Plan::services`].
    pub services: Vec<Service>,
    /// Faults that a fluid can follow, in order of the plan, with each consumer and service that they leave a backlog at.
    pub outages: Vec<Outage>,
}

/// How good a formula is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accuracy {
    /// Exact for this plan.
    Exact,
    /// Known to be close.
    Good,
    /// The right order of magnitude.
    #[default]
    Rough,
}

impl Accuracy {
    /// The part by which a good estimate may be off.
    #[must_use]
    pub fn tolerance(self) -> f64 {
        match self {
            Self::Exact => 0.01,
            Self::Good => 0.2,
            Self::Rough => 0.6,
        }
    }

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Good => "good",
            Self::Rough => "rough",
        }
    }
}

/// The letter of a service time in Kendall's notation.
fn letter(exponential: bool, held: moments::Moments) -> &'static str {
    match exponential {
        true => "M",
        false if held.scv() < 1e-9 => "D",
        false => "G",
    }
}

/// Estimates all that a plan has.
#[must_use]
pub fn estimate(plan: &Plan) -> Estimates {
    let mut model = Model::of(plan);
    let ids = (0..plan.services.len()).map(|index| ServiceId(u32::try_from(index).expect("services fit 32 bits")));
    let mut services: Vec<Service> = ids.filter_map(|id| model.service(id)).collect();
    let mut outages: Vec<Outage> =
        services.iter_mut().flat_map(|service| std::mem::take(&mut service.outages)).collect();
    let mut consumers = Vec::new();
    for index in 0..plan.consumers.len() {
        let (consumer, found) = Consumer::of(&mut model, index);
        consumers.push(consumer);
        outages.extend(found);
    }
    outages.sort_by_key(|outage: &Outage| (outage.fault, outage.at));
    Estimates { consumers, services, outages }
}
