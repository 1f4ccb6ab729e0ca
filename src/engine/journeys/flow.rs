//! One flow: journeys that are done when each party has done its part, or by whichever event is stored first.

use super::{Journey, News};
use crate::outcome::FlowOutcome;
use crate::plan::{FlowPlan, Goal, OutcomePlan};

/// Judges the journeys of one flow.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Its parts, as bits; none where an event ends it.
    all: u64,
    ends: Vec<OutcomePlan>,
    deadline: u64,
    warm_up: u64,
    pub(super) outcome: FlowOutcome,
}

impl Flow {
    pub(super) fn new(plan: &FlowPlan, warm_up: u64) -> Self {
        let (all, ends) = match &plan.goal {
            Goal::Parts(parts) => ((0..parts.len()).fold(0, |bits, part| bits | 1 << part), Vec::new()),
            Goal::Outcomes(ends) => (0, ends.clone()),
        };
        let outcome = FlowOutcome { outcomes: vec![0; ends.len()], ..FlowOutcome::default() };
        Self { all, ends, deadline: plan.deadline.map_or(u64::MAX, |span| span.0), warm_up, outcome }
    }

    /// A journey begins.
    pub(super) fn begun(&mut self, created: u64) {
        self.outcome.begun += u64::from(created >= self.warm_up);
    }

    /// The outcome that this is, if it is one.
    pub(super) fn end(&self, what: News) -> Option<usize> {
        let News::Stored(topic, event_type) = what else { return None };
        self.ends.iter().position(|end| end.event == topic && end.event_type.is_none_or(|wanted| wanted == event_type))
    }

    /// A journey ends with an outcome.
    pub(super) fn ended(&mut self, journey: &Journey, at: u64, end: usize) {
        if journey.created >= self.warm_up {
            self.outcome.outcomes[end] += 1;
            self.done(at - journey.created);
        }
    }

    /// Nothing more comes of a journey.
    pub(super) fn over(&mut self, journey: &Journey) {
        if journey.created < self.warm_up {
            return;
        }
        if self.is_complete(journey) {
            self.done(journey.latest - journey.created);
        } else {
            self.outcome.stuck += 1;
        }
    }

    fn is_complete(&self, journey: &Journey) -> bool {
        self.ends.is_empty() && journey.parts == self.all
    }

    fn done(&mut self, latency: u64) {
        self.outcome.done += 1;
        self.outcome.late += u64::from(latency > self.deadline);
        self.outcome.latency.record(latency);
        self.outcome.latency_sum += u128::from(latency);
    }

    /// A journey that was not over when the run was. One whose parts are all done waits for nothing but answers to requests
    /// that were given up; one that is beyond its deadline has missed it, whatever may come of it.
    pub(super) fn unfinished(&mut self, journey: &Journey, end: u64) {
        if journey.events == 0 && self.is_complete(journey) {
            return self.over(journey);
        }
        if journey.created >= self.warm_up {
            let missed = journey.created.saturating_add(self.deadline) < end;
            self.outcome.stuck += u64::from(missed);
            self.outcome.open += u64::from(!missed);
        }
    }
}
