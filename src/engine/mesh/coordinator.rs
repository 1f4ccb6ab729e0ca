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
    /// By process with one transaction at a time: when the coordinator is done with its last one, and since when it looks for
    /// those that are open for too long: each process has a coordinator of its own, and these were not started at one time.
    pub(super) done: Vec<u64>,
    phases: Vec<u64>,
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
        (stream, looks, rounding): (Stream, Stream, Rounding),
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
        let plan = transactions?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below the interval"
        )]
        let phase = |process: u32| (looks.unit(u64::from(process)) * plan.scan.0 as f64) as u64;
        Some(Self {
            plan,
            network: store.network.clone(),
            append: store.append.clone(),
            replicate: store.replicate.clone(),
            copied: store.visible_when_replicated,
            stream,
            rounding,
            done: vec![0; processes as usize],
            phases: (0..processes).map(phase).collect(),
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
        if arrived < ready {
            let again = (back + self.plan.backoff.0 + there).max(1);
            arrived = arrived.saturating_add((ready - arrived).div_ceil(again).saturating_mul(again));
        }
        // What is published in the mesh arrives later than it is sent.
        let appended = arrived.saturating_add(append).max(now + 1);
        let written = appended.saturating_add(replicate);
        Request { arrived, appended, written, answered: written.saturating_add(back) }
    }

    /// The first time at which it finds that one of a process has been open for too long.
    pub(super) fn finds(&self, process: usize, opened: u64) -> u64 {
        let (scan, phase) = (self.plan.scan.0.max(1), self.phases[process]);
        let due = opened.saturating_add(self.plan.timeout.0);
        let looks = due.checked_sub(phase).map_or(0, |since| since / scan + 1);
        phase.saturating_add(looks.saturating_mul(scan))
    }
}
