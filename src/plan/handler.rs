//! What is done for one message or request: steps, and the steps in them.

use super::{Backoff, KeyPlan, ResourceId, ServiceId, TopicId};
use crate::dist::Dist;
use crate::time::SimSpan;

/// A handler: steps run in order, the worker held through all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handler {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Handler {
    /// Whether it only works, waits, publishes and chooses, whatever comes of that: no step waits for others, and none
    /// fails it.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        let mut simple = true;
        self.visit(&mut |step| {
            simple &= match step {
                Step::Work(_) | Step::Wait(_) | Step::Choose(_) => true,
                Step::Publish(publish) => publish.otherwise.is_none(),
                _ => false,
            };
        });
        simple
    }

    /// Whether it waits for a time.
    #[must_use]
    pub fn waits(&self) -> bool {
        let mut found = false;
        self.visit(&mut |step| found |= matches!(step, Step::Wait(_)));
        found
    }

    /// Whether it has a local transaction.
    #[must_use]
    pub fn commits(&self) -> bool {
        let mut found = false;
        self.visit(&mut |step| found |= matches!(step, Step::Commit(_)));
        found
    }

    /// Its transaction of the bus, if it has one.
    #[must_use]
    pub fn transaction(&self) -> Option<&[Step]> {
        let mut found = None;
        self.visit(&mut |step| {
            if let Step::Transaction(steps) = step {
                found = Some(steps.as_slice());
            }
        });
        found
    }

    /// The topics whose events it awaits, in the order of its steps.
    #[must_use]
    pub fn awaited(&self) -> Vec<TopicId> {
        let mut topics = Vec::new();
        self.visit(&mut |step| {
            if let Step::Await(step) = step {
                topics.push(step.event);
            }
        });
        topics
    }

    /// All of its steps, the outer before the inner.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Step)) {
        self.steps.iter().for_each(|step| step.visit(see));
    }
}

/// One step of a handler.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Busy for so long, ns.
    Work(Dist),
    /// Idle for so long, worker held, ns.
    Wait(Dist),
    /// Publishes.
    Publish(PublishStep),
    /// One branch, by share (shares add up to 1).
    Choose(Vec<(f64, Vec<Step>)>),
    /// Calls a service and waits for its answer.
    Call(CallStep),
    /// Runs branches at once; goes on when `quorum` of them are done.
    Parallel {
        /// The branches.
        branches: Vec<Vec<Step>>,
        /// How many must be done.
        quorum: u32,
        /// What is done if so many cannot be.
        otherwise: Otherwise,
    },
    /// Waits for a resource and holds it.
    Hold {
        /// The resource.
        of: ResourceId,
        /// What is done while it is held.
        steps: Vec<Step>,
        /// What is done if it is refused, or `steps` fail.
        otherwise: Otherwise,
    },
    /// The local transaction, ns: the business fact exists from its end.
    Commit(Dist),
    /// Steps with compensations.
    Saga(SagaStep),
    /// Waits for an event that descends from what the handler is about.
    Await(AwaitStep),
    /// A transaction of the bus: what is published in it, and of a consumer what it has read, become visible together.
    Transaction(Vec<Step>),
}

/// What is done in place of a step that has failed; none: the handler fails.
pub type Otherwise = Option<Vec<Step>>;

/// A call step.
#[derive(Clone, Debug, PartialEq)]
pub struct CallStep {
    /// Whom.
    pub to: ServiceId,
    /// An attempt without an answer for so long has failed; none: it waits for ever.
    pub timeout: Option<SimSpan>,
    /// What follows a failed attempt.
    pub retry: CallRetry,
    /// Stops calling where calls fail.
    pub breaker: Option<BreakerPlan>,
    /// A second attempt is sent when the first has no answer for so long.
    pub hedge: Option<Dist>,
    /// Most calls at once of one process of the caller; none: no limit.
    pub pool: Option<u32>,
    /// What is done if the call fails.
    pub otherwise: Otherwise,
}

/// Retries of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRetry {
    /// Attempts, the first included.
    pub attempts: u32,
    /// Wait before the next.
    pub backoff: Backoff,
    /// Share of the wait that is random, as in [`RetryPlan::jitter`].
    pub jitter: f64,
    /// Which failures are tried again.
    pub when: RetryWhen,
    /// Retries per call that are allowed on average; none: no limit.
    pub budget: Option<f64>,
}

/// Which failures of a call are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryWhen {
    /// No answer in time.
    pub timeout: bool,
    /// Not accepted: queue full, or no process.
    pub refused: bool,
    /// Answered with an error.
    pub failed: bool,
}

/// A circuit breaker over the last calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPlan {
    /// Opens at this share of failed calls.
    pub failure_rate: f64,
    /// Opens at this share of slow calls.
    pub slow_rate: f64,
    /// A call is slow from here on.
    pub slow: SimSpan,
    /// Calls that are looked at.
    pub window: u32,
    /// Calls before it may open.
    pub min_calls: u32,
    /// Time until it lets calls through again.
    pub open_for: SimSpan,
    /// So many of them decide.
    pub half_open: u32,
}

/// An await step. Events of the same journey end it that become visible after the handler has begun. In one handler each of
/// them ends one wait. Of several handlers of one service in one journey it is for that from which it descends, if it does so
/// from any.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitStep {
    /// Where the event is stored.
    pub event: TopicId,
    /// Of which type (index into [`Plan::event_types`](super::Plan::event_types)); none: of any.
    pub event_type: Option<u16>,
    /// Of which type one is that fails the step.
    pub unless: Option<u16>,
    /// How long it waits; none: for ever.
    pub timeout: Option<SimSpan>,
    /// What is done if it fails, or no event comes in time.
    pub otherwise: Otherwise,
}

/// Steps of which each can be undone.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaStep {
    /// What is done, and what undoes it.
    pub parts: Vec<(Vec<Step>, Vec<Step>)>,
    /// From this part on (counted from 0) nothing is undone, only tried again.
    pub pivot: Option<usize>,
    /// What is done after it was undone.
    pub otherwise: Otherwise,
}

impl Step {
    /// The lists of steps inside this one.
    #[must_use]
    pub fn nested(&self) -> Vec<&[Step]> {
        let lists: Vec<&Vec<Step>> = match self {
            Self::Work(_) | Self::Wait(_) | Self::Commit(_) => Vec::new(),
            Self::Publish(publish) => publish.otherwise.iter().collect(),
            Self::Await(step) => step.otherwise.iter().collect(),
            Self::Choose(branches) => branches.iter().map(|(_, steps)| steps).collect(),
            Self::Call(call) => call.otherwise.iter().collect(),
            Self::Parallel { branches, otherwise, .. } => branches.iter().chain(otherwise).collect(),
            Self::Hold { steps, otherwise, .. } => std::iter::once(steps).chain(otherwise).collect(),
            Self::Transaction(steps) => vec![steps],
            Self::Saga(saga) => saga.parts.iter().flat_map(|(act, undo)| [act, undo]).chain(&saga.otherwise).collect(),
        };
        lists.into_iter().map(Vec::as_slice).collect()
    }

    /// As [`Step::nested`], to be changed.
    pub fn nested_mut(&mut self) -> Vec<&mut Vec<Step>> {
        match self {
            Self::Work(_) | Self::Wait(_) | Self::Commit(_) => Vec::new(),
            Self::Publish(publish) => publish.otherwise.iter_mut().collect(),
            Self::Await(step) => step.otherwise.iter_mut().collect(),
            Self::Choose(branches) => branches.iter_mut().map(|(_, steps)| steps).collect(),
            Self::Call(call) => call.otherwise.iter_mut().collect(),
            Self::Parallel { branches, otherwise, .. } => branches.iter_mut().chain(otherwise).collect(),
            Self::Hold { steps, otherwise, .. } => std::iter::once(steps).chain(otherwise).collect(),
            Self::Transaction(steps) => vec![steps],
            Self::Saga(saga) => {
                saga.parts.iter_mut().flat_map(|(act, undo)| [act, undo]).chain(&mut saga.otherwise).collect()
            }
        }
    }

    /// This step and all inside of it, the outer before the inner.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Step)) {
        see(self);
        self.nested().into_iter().flatten().for_each(|step| step.visit(see));
    }
}

/// A publish step.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishStep {
    /// Where to.
    pub to: TopicId,
    /// Type of the published event; none: that of the event in hand.
    pub event_type: Option<u16>,
    /// Key; none: that of the event in hand.
    pub key: Option<KeyPlan>,
    /// Size, bytes; none: that of the event in hand (for a consumer: 1 KiB).
    pub size: Option<Dist>,
    /// Copies.
    pub count: Dist,
    /// Chance that it is done at all.
    pub probability: f64,
    /// Whether the worker waits for the acknowledgement.
    pub wait_for_ack: bool,
    /// What is done if it is not acknowledged (services only).
    pub otherwise: Otherwise,
}

/// The services that steps call, sorted, each once.
#[must_use]
pub fn called(steps: &[Step]) -> Vec<ServiceId> {
    let mut found = std::collections::BTreeSet::new();
    let mut see = |step: &Step| {
        if let Step::Call(call) = step {
            found.insert(call.to);
        }
    };
    steps.iter().for_each(|step| step.visit(&mut see));
    found.into_iter().collect()
}
