//! Positions that a transaction commits: taken with all that is published in it, if its records are still the member's own.

use super::lane::Lane;
use super::{Core, Log, Polled};
use crate::engine::group::run::Run;
use crate::outcome::DeliveryResult;

impl Polled {
    /// The transaction of a handler is about to end: from here on its records are done, or it is refused, because others have
    /// them by now.
    pub(super) fn take_positions(&mut self, core: &mut Core, (member, worker): (usize, u32), mut run: Run, now: u64) {
        let zombie = self.members[member].zombie;
        let own = run.items().all(|item| {
            let lane = &self.lanes[item.lane];
            item.tag == lane.assignment && lane.owner == Some(member) && !zombie
        });
        if own {
            for item in run.items() {
                self.lanes[item.lane].finish(item.offset);
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
    }
}
