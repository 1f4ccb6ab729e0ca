//! What a plan has that a formula leaves out.

use super::flows::Publisher;
use super::inputs::Input;
use super::layout::{Exclusive, stations};
use super::model::Model;
use super::queues::Known;
use super::services::doubts_about_steps;
use super::spread::Dealing;
use crate::dist::Dist;
use crate::plan::{Dispatch, RetryMode, Step};
use crate::units::show_share;

/// One thing that the formula does not know, and that makes the real figure another one.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt {
    /// One handler at a time for each key; the busiest key keeps a handler busy for this share of the time.
    KeyOrder(f64),
    /// One handler at a time for each partition, of more partitions than workers.
    PartitionOrder,
    /// Events of one key have one service time.
    KeyedService,
    /// Service times have a large squared variation, or none: single ones decide.
    HeavyTail(f64),
    /// Arrival rates take turns by chance.
    Turns,
    /// The rate changes over the run; the formula takes each moment for itself.
    Course {
        /// Highest rate of a window over the mean.
        peak: f64,
    },
    /// The publishing client holds events back and sends so many at a time.
    Batches(f64),
    /// Events without a key go to one partition until a batch is full, so many in a row.
    Rows(f64),
    /// Events are published by a consumer that wakes on a schedule.
    Waves(String),
    /// Members are pushed so many messages, and keep them however idle the others are.
    Prefetch,
    /// Handlers that hang or take their process with them.
    Breakdowns,
    /// What failed comes back and is delivered again.
    Requeue,
    /// What failed is tried again from a retry topic.
    RetryTopic,
    /// It reads again what it has done.
    Replay,
    /// Each handler call takes a batch: how large it becomes depends on the queue.
    HandlerBatches,
    /// What is published in a transaction is hidden until that has ended.
    Hidden,
    /// A transaction is begun when the coordinator is done with the one before.
    Concurrent,
    /// Reading by polls: what is fetched waits until what was polled before is done.
    Polls,
    /// Events or requests that go in a circle become more each time.
    Runaway,
    /// Second attempts that are sent before there is an answer.
    Hedges,
    /// Calls wait for a place among those of their process.
    Pools,
    /// Breakers stop calls.
    Breakers,
    /// Callers have so many workers: no more requests of theirs can be there at once.
    FewCallers(f64),
    /// A lock for each key.
    Locks,
    /// A share of the calls to a service takes longer than it is waited for.
    TimeOuts {
        /// The service.
        to: String,
        /// By the formula.
        share: f64,
    },
}

impl Doubt {
    /// What the formula does not know, as part of a sentence: "it leaves out ...".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::KeyOrder(load) => format!(
                "that the events of a key are handled one after the other (the most frequent key keeps a handler busy {} of \
                 the time)",
                show_share(*load)
            ),
            Self::PartitionOrder => "that the events of a partition are handled one after the other".into(),
            Self::KeyedService => "that all events of a key take the same time".into(),
            Self::HeavyTail(scv) if scv.is_finite() => {
                format!("how rare the longest service times are (their variation squared is {scv:.1})")
            }
            Self::HeavyTail(_) => "that service times have no variance: a single one decides".into(),
            Self::Turns => "how long the fast and slow turns of the arrivals last".into(),
            Self::Course { peak } => format!(
                "what is left over from one moment to the next (at its peak the rate is {peak:.2} times its mean)"
            ),
            Self::Batches(size) => format!("how the client's batches of about {size:.1} events mix"),
            Self::Rows(size) => format!(
                "that events without a key come to a partition in rows of up to {size:.0}, until a batch is full"
            ),
            Self::Waves(who) => format!("that {who} publishes in waves, on its schedule"),
            Self::Prefetch => "that what was pushed to a busy member waits there".into(),
            Self::Breakdowns => "handlers that hang, or take their process with them".into(),
            Self::Requeue => "where in the queue failed events come back".into(),
            Self::RetryTopic => "that in a retry topic who is due waits behind who is not".into(),
            Self::Replay => "that it goes back and reads again".into(),
            Self::HandlerBatches => "that batches grow while their handler is busy".into(),
            Self::Hidden => "that what is published in a transaction is hidden until that has ended".into(),
            Self::Concurrent => "that a transaction begins when its coordinator is done with the one before".into(),
            Self::Polls => "that what is fetched waits until what was polled before is done".into(),
            Self::Runaway => "that what goes in a circle becomes more each time".into(),
            Self::Hedges => "second attempts that are sent before there is an answer".into(),
            Self::Pools => "calls that wait for a place in their pool".into(),
            Self::Breakers => "breakers".into(),
            Self::FewCallers(most) => format!("that its callers have no more than {most:.0} requests there at once"),
            Self::Locks => "waits for locks that each key has to itself".into(),
            Self::TimeOuts { to, share } => {
                format!("that {} of the calls to {to} take longer than their time-out", show_share(*share))
            }
        }
    }
}

impl Known<'_> {
    /// What the formulas leave out about arrivals.
    pub(super) fn doubts_about_arrivals(&self) -> Vec<Doubt> {
        let rows = |input: &Input| match input.spread.dealing {
            Dealing::Rows(events) if events > 1.0 && input.spread.lanes.len() > 1 => Some(Doubt::Rows(events)),
            _ => None,
        };
        self.inputs.list.iter().find_map(rows).into_iter().collect()
    }

    /// What the plan has that the formulas leave out.
    pub(super) fn doubts(&self, model: &Model<'_>, peak: f64) -> Vec<Doubt> {
        let (plan, policy) = (model.plan, self.policy);
        let mut found = self.doubts_about_arrivals();
        if peak > 1.05 {
            found.push(Doubt::Course { peak });
        }
        if model.flows.runaway {
            found.push(Doubt::Runaway);
        }
        for input in &self.inputs.list {
            match input.publisher {
                Publisher::Producer(at) if plan.producers[at].arrivals.swing() > 1.0 => note(&mut found, Doubt::Turns),
                Publisher::Consumer(at) if plan.consumers[at].schedule.is_some() => {
                    note(&mut found, Doubt::Waves(plan.consumers[at].name.clone()));
                }
                _ => {}
            }
            let handler = match input.publisher {
                Publisher::Producer(at) => &plan.producers[at].handler,
                Publisher::Consumer(at) => &plan.consumers[at].handler,
                Publisher::Service(at) => &plan.services[at].handler,
            };
            if policy.committed_only && handler.transaction().is_some() {
                note(&mut found, Doubt::Hidden);
            }
            if input.publishing.clump > 1.2 {
                note(&mut found, Doubt::Batches(input.publishing.clump));
            }
        }
        if policy.handler.transaction().is_some() {
            found.push(Doubt::Concurrent);
        }
        if policy.failure.hang > 0.0 || policy.failure.crash > 0.0 {
            found.push(Doubt::Breakdowns);
        }
        if plan.replays(self.index).next().is_some() {
            found.push(Doubt::Replay);
        }
        if self.handling.deliveries > 1.0 {
            match policy.retry.mode {
                RetryMode::Blocking => {}
                RetryMode::Requeue => found.push(Doubt::Requeue),
                RetryMode::RetryTopic => found.push(Doubt::RetryTopic),
            }
        }
        if policy.handler.steps.iter().any(is_keyed) {
            found.push(Doubt::KeyedService);
        }
        let scv = self.handling.held.scv();
        if scv > 4.0 {
            found.push(Doubt::HeavyTail(scv));
        }
        self.doubts_about_order(model, &mut found);
        doubts_about_steps(plan, &policy.handler).into_iter().for_each(|doubt| note(&mut found, doubt));
        found
    }

    fn doubts_about_order(&self, model: &Model<'_>, found: &mut Vec<Doubt>) {
        let policy = self.policy;
        let stations = stations(model.plan, policy, policy.members as usize);
        let has = |exclusive| stations.iter().any(|station| station.exclusive == exclusive);
        if policy.batch.is_some() && policy.schedule.is_none() {
            found.push(Doubt::HandlerBatches);
        }
        if has(Exclusive::Key) {
            let window = model.grid.seen().next().unwrap_or(0);
            let busiest = self.order(model, &stations, window).busiest;
            if busiest > 0.1 {
                found.push(Doubt::KeyOrder(busiest));
            }
        }
        if has(Exclusive::Partition) {
            found.push(Doubt::PartitionOrder);
        }
        match &policy.dispatch {
            Dispatch::Queue(queue) if queue.prefetch > policy.workers && policy.members > 1 => {
                found.push(Doubt::Prefetch);
            }
            Dispatch::Log(_) if !self.is_instant() && policy.schedule.is_none() => found.push(Doubt::Polls),
            _ => {}
        }
    }
}

/// Adds a doubt that is not there yet.
pub(super) fn note(found: &mut Vec<Doubt>, doubt: Doubt) {
    if !found.contains(&doubt) {
        found.push(doubt);
    }
}

/// Whether a step's time is that of the key.
fn is_keyed(step: &Step) -> bool {
    let mut found = false;
    let mut see = |step: &Step| {
        found |=
            matches!(step, Step::Work(Dist::PerKey(_)) | Step::Wait(Dist::PerKey(_)) | Step::Commit(Dist::PerKey(_)));
    };
    step.visit(&mut see);
    found
}
