//! The coordinator of transactions, as their clients meet it: how long its answers take, and when it has waited too long.

use crate::dist::{About, Dist};
use crate::engine::setup::Rounding;
use crate::plan::{Handler, Plan, Step, TransactionPlan};
use crate::random::{Draws, Stream};

/// The coordinator of the transactions of an actor, as far as it is told apart.
#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    pub(super) plan: TransactionPlan,
    network: Dist,
    pub(super) append: Dist,
    pub(super) replicate: Dist,
    /// Whether a marker is seen only when it is copied.
    pub(super) copied: bool,
    pub(super) stream: Stream,
    rounding: Rounding,
    /// By process with one worker: when the coordinator is done with its last transaction.
    pub(super) done: Vec<u64>,
}

/// The times of one request: when it arrives, is appended and copied, and is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) arrived: u64,
    pub(super) appended: u64,
    pub(super) written: u64,
    pub(super) answered: u64,
}

impl Coordinator {
    /// Of a handler that has transactions.
    pub(super) fn new(
        plan: &Plan,
        handler: &Handler,
        transactions: Option<TransactionPlan>,
        (stream, rounding): (Stream, Rounding),
        processes: u32,
    ) -> Option<Self> {
        let mut first = None;
        let mut see = |step: &Step| {
            if let Step::Publish(publish) = step {
                first = first.or(Some(publish.to));
            }
        };
        handler.transaction()?.iter().for_each(|step| step.visit(&mut see));
        let store = &plan.topics[first?.0 as usize].store;
        Some(Self {
            plan: transactions?,
            network: store.network.clone(),
            append: store.append.clone(),
            replicate: store.replicate.clone(),
            copied: store.visible_when_replicated,
            stream,
            rounding,
            done: vec![0; processes as usize],
        })
    }

    /// A time.
    pub(super) fn draw(&self, time: &Dist, draws: &mut Draws) -> u64 {
        self.rounding.up(time.whole(draws, About::default()))
    }

    /// A request that is sent at a time; one to begin is refused until the coordinator is done with what was before.
    pub(super) fn request(&self, draws: &mut Draws, now: u64, ready: u64) -> Request {
        let [there, append, replicate, back] =
            [&self.network, &self.append, &self.replicate, &self.network].map(|time| self.draw(time, draws));
        let mut arrived = now.saturating_add(there);
        while arrived < ready {
            arrived += (back + self.plan.backoff.0 + there).max(1);
        }
        // What is published in the mesh arrives later than it is sent.
        let appended = arrived.saturating_add(append).max(now + 1);
        let written = appended.saturating_add(replicate);
        Request { arrived, appended, written, answered: written.saturating_add(back) }
    }

    /// The first time at which it finds that one has been open for too long.
    pub(super) fn finds(&self, opened: u64) -> u64 {
        let scan = self.plan.scan.0.max(1);
        (opened.saturating_add(self.plan.timeout.0) / scan).saturating_add(1).saturating_mul(scan)
    }
}
