//! Positions that a transaction commits: taken with all that is published in it, if its records are still the member's own.

use std::collections::VecDeque;

use super::lane::Lane;
use super::{Core, Log, Polled};
use crate::engine::group::run::{Item, Run};
use crate::outcome::DeliveryResult;

impl Polled {
    /// The transaction of a handler is about to end: here it has its effect, whatever becomes of its process then, or it is
    /// refused, because others have its records by now.
    pub(super) fn take_positions(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        (member, worker): (usize, u32),
        mut run: Run,
        now: u64,
    ) {
        let zombie = self.members[member].zombie;
        let own = run.items().all(|item| {
            let lane = &self.lanes[item.lane];
            item.tag == lane.assignment && lane.owner == Some(member) && !zombie
        });
        if own {
            for item in run.items() {
                self.conclude(core, logs, member, *item, &run, (now, true));
            }
            for item in run.items() {
                let Lane { prefix, committed, .. } = self.lanes[item.lane];
                if prefix > committed {
                    self.settle_to(core, item.lane, prefix, now);
                }
            }
        }
        run.answer_positions(core, (member, worker), own, now);
        self.members[member].runs[worker as usize] = Some(run);
    }

    /// The transaction of a handler was refused: its records are not its own any more, and it lets them go.
    pub(super) fn let_go_refused(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        (member, worker): (usize, u32),
        run: &Run,
        now: u64,
    ) {
        core.busy += u128::from(now - run.busy_from.min(now));
        for item in run.items().copied() {
            let subject = core.subject(logs, item.lane, item.offset);
            core.meter.cut_off += u64::from(subject.record.created >= core.warm_up);
            let _ = self.let_go(core, logs, item, (member, run.start, now), DeliveryResult::CutOff);
            self.lost_if_committed(core, logs, item);
            if let Some(claim) = self.claim_of(subject.slot, item, subject.record.key) {
                self.members[member].release(claim);
            }
        }
        self.members[member].free_worker(worker);
        self.let_go_what_is_lost(core, logs, member);
    }

    /// A member that is told that some of its records are others' by now begins with none of those.
    fn let_go_what_is_lost(&mut self, core: &mut Core, logs: &[&Log], member: usize) {
        let (lanes, zombie) = (&self.lanes, self.members[member].zombie);
        let is_lost = |item: &Item| {
            let lane = &lanes[item.lane];
            zombie || item.tag != lane.assignment || lane.owner != Some(member)
        };
        let (lost, kept): (VecDeque<Item>, VecDeque<Item>) =
            std::mem::take(&mut self.members[member].ready).into_iter().partition(is_lost);
        self.members[member].ready = kept;
        for item in lost {
            self.lost_if_committed(core, logs, item);
        }
    }
}
