//! The workers of a polled group's members: a handler takes a record or a batch, and what comes of it.

use super::{Core, Log, Polled};
use crate::dist::NO_KEY;
use crate::engine::delegate::Ended;
use crate::engine::group::fate::End;
use crate::engine::group::meter::{Conclusion, GivenUp, Times};
use crate::engine::group::retries::Subject;
use crate::engine::group::run::{Copying, Item, Next, Run, numbered};
use crate::outcome::{Again, DeliveryResult};
use crate::plan::WorkerOrder;

impl Polled {
    pub(super) fn start_one(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> bool {
        let state = &mut self.members[member];
        if state.idle.is_empty() {
            return false;
        }
        let Some(item) = state.ready.pop_front() else { return false };
        self.start(core, logs, member, item, Vec::new(), now);
        true
    }

    pub(super) fn start_batch(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> bool {
        let Some(batch) = self.config.batch else { return false };
        let state = &mut self.members[member];
        let Some(first) = state.ready.front().copied() else { return false };
        let asleep = state.lanes.iter().all(|lane| self.lanes[*lane].polled >= self.lanes[*lane].awake);
        let full = state.ready.len() >= batch.max as usize;
        let waited = now >= first.arrived.saturating_add(batch.max_wait.0);
        if state.idle.is_empty() || !(full || waited || asleep) {
            return false;
        }
        // Ordered batches run one after the other: a batch holds many keys.
        if self.config.order != WorkerOrder::None && state.running() > 0 {
            return false;
        }
        let count = state.ready.len().min(batch.max as usize);
        let mut items = state.ready.drain(..count);
        let Some(first) = items.next() else { return false };
        let more = items.collect();
        self.start(core, logs, member, first, more, now);
        true
    }

    fn start(&mut self, core: &mut Core, logs: &[&Log], member: usize, mut item: Item, mut more: Vec<Item>, now: u64) {
        let mut attempted = 0;
        core.held.begin();
        for item in std::iter::once(&mut item).chain(&mut more) {
            let (again, mut attempts) = self.lanes[item.lane].start(item, now);
            if let Some(before) = core.taken_again(logs, item) {
                attempts = attempts.max(before);
            }
            attempted = attempted.max(attempts);
            let Subject { slot, record, .. } = core.subject(logs, item.lane, item.offset);
            core.count_delivery(slot, &record, again);
        }
        let first = attempted + 1;
        let worker = self.members[member].idle.pop().expect("an idle worker").0;
        let run = Run::begin(core, logs, (member, worker), (item, more), (first, first), now);
        self.note_attempts(&run);
        let (staged, ends_at) = (run.is_staged(), run.ends_at);
        self.members[member].runs[worker as usize] = Some(run);
        if staged && ends_at == now {
            self.continue_run(core, logs, member, worker, now);
        } else if ends_at != u64::MAX {
            self.members[member].end_at(ends_at, worker);
        }
    }

    /// Notes which attempt at its records is the last that a handler has begun.
    fn note_attempts(&mut self, run: &Run) {
        for item in run.items() {
            self.lanes[item.lane].attempted(item.offset, run.attempt);
        }
    }

    /// An attempt that runs in the mesh has ended.
    pub(in crate::engine::group) fn ended(&mut self, core: &Core, now: u64, ended: Ended) {
        let Ended { member, worker, run, how } = ended;
        let state = &mut self.members[member];
        let at = state.runs[worker as usize].as_mut().and_then(|it| it.back(run, how, now));
        if let Some(at) = at {
            state.end_at(at, worker);
            self.due[member] = self.due_of(core, member);
        }
    }

    /// All handlers that are running.
    pub(in crate::engine::group) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.members.iter().flat_map(|member| member.runs.iter().flatten())
    }

    /// Goes on with a handler until it needs time or an acknowledgement, or is done.
    pub(super) fn continue_run(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, now: u64) {
        let mut run = self.members[member].runs[worker as usize].take().expect("a handler that goes on");
        if run.copying != Copying::None {
            return self.go_on_copying(core, logs, (member, worker), run, now);
        }
        match run.go_on(core, logs, (member, worker), now) {
            Next::At(at) => self.members[member].end_at(at, worker),
            // One that hangs is never told of: whoever watches it waits so long.
            Next::Told if run.ends_at < u64::MAX => self.members[member].end_at(run.ends_at, worker),
            Next::Told => {}
            Next::Asks => return self.take_positions(core, logs, (member, worker), run, now),
            Next::Refused => return self.let_go_refused(core, logs, (member, worker), &run, now),
            Next::Done => return self.complete(core, logs, member, worker, run, now),
        }
        if run.is_away() {
            self.note_attempts(&run);
        }
        self.members[member].runs[worker as usize] = Some(run);
    }

    fn complete(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, run: Run, now: u64) {
        let created = core.subject(logs, run.item.lane, run.item.offset).record.created;
        core.count_attempts(created, run.attempts, run.end);
        if matches!(run.end, End::Crash | End::Hang) {
            if run.end == End::Hang && self.members[member].in_group {
                // Its client has noticed the same.
                self.give_up_group(core, logs, member, now);
            }
            self.members[member].runs[worker as usize] = Some(run);
            return self.crash_itself(core, logs, member, now);
        }
        if run.end == End::Failed && core.is_retried(logs, run.item) {
            return self.copy(core, logs, (member, worker), run, now);
        }
        self.close(core, logs, member, worker, run, now);
    }

    /// A handler is done with its records. What it has committed is done with already.
    pub(super) fn close(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, run: Run, now: u64) {
        core.busy += u128::from(now - run.busy_from.min(now));
        for item in run.items().filter(|_| !run.committed) {
            let current = item.tag == self.lanes[item.lane].assignment && !self.members[member].zombie;
            self.conclude(core, logs, member, *item, &run, (now, current));
        }
        self.members[member].free_worker(worker);
    }

    pub(super) fn conclude(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        member: usize,
        item: Item,
        run: &Run,
        (now, current): (u64, bool),
    ) {
        let Subject { slot, record, extra } = core.subject(logs, item.lane, item.offset);
        let mark = self.lanes[item.lane].known(item.offset);
        let known = mark.is_some();
        let result = if run.end == End::Success {
            let earlier = match mark {
                None => Some(run.start),
                Some(mark) => (mark.effected > 0).then_some(mark.effected),
            };
            if let Some(given_up) = mark.and_then(|mark| mark.given_up) {
                core.meter.retract(slot, &record, given_up.how);
            }
            let instant = self.config.instant && item.first.is_none();
            let arrived = if instant { record.visible } else { item.arrived };
            let retried = core.retries.holds(item.lane);
            let replayed = mark.is_some_and(|mark| mark.replayed);
            let (start, success) = (run.start, run.success);
            // Who goes on with what is another's by now, or was settled by another: its group has gone on without it.
            let ousted = (!current || !known).then_some(self.members[member].ousted);
            let again = mark.and_then(|mark| mark.again).or(ousted);
            let times = Times { first: item.first, again, arrived, start, success, retried, replayed, done: now };
            core.meter.effect(slot, &record, extra, times, earlier)
        } else if run.copying == Copying::Stored {
            DeliveryResult::Retried
        } else if mark.is_none_or(|mark| mark.concluded) {
            DeliveryResult::Discarded
        } else if let Some(topic) = self.config.dead_letter {
            core.dead_letter(member, topic, &record, extra, now);
            core.meter.conclude(slot, &record, Conclusion::DeadLettered);
            DeliveryResult::DeadLettered
        } else {
            core.meter.conclude(slot, &record, Conclusion::Discarded);
            DeliveryResult::Discarded
        };
        if result == DeliveryResult::Effect {
            self.effected(core, logs, item, now);
        }
        let trace = self.let_go(core, logs, item, (member, run.start, now), result);
        if known {
            let mark = self.lanes[item.lane].mark(item.offset);
            mark.trace = trace;
            mark.replayed = false;
            let given_up = |how| Some(GivenUp::new(how, slot, &record, extra));
            match result {
                DeliveryResult::Effect => (mark.effected, mark.given_up) = (now.max(1), None),
                // A window counts from the last effect.
                DeliveryResult::DuplicateEffect => mark.effected = now.max(1),
                DeliveryResult::DeadLettered => mark.given_up = given_up(Conclusion::DeadLettered),
                DeliveryResult::Discarded if !mark.concluded => {
                    mark.given_up = given_up(Conclusion::Discarded);
                }
                _ => {}
            }
            mark.concluded = true;
        }
        self.finished(core, member, item, current, now);
        if let Some(claim) = self.claim_of(core.lanes[item.lane].slot, item, record.key) {
            self.members[member].release(claim);
        }
    }

    /// What at most one handler of a member may hold at a time, if it is in this record: its partition or its key.
    pub(super) fn claim_of(&self, slot: usize, item: Item, key: u32) -> Option<u64> {
        if self.config.workers <= 1 || self.config.batch.is_some() {
            return None;
        }
        match self.config.order {
            WorkerOrder::None => None,
            WorkerOrder::Partition => Some(item.lane as u64),
            WorkerOrder::Key => (key != NO_KEY).then(|| numbered(slot, key)),
        }
    }

    /// A record is done with in the current assignment: the prefix may grow.
    pub(super) fn finished(&mut self, core: &mut Core, member: usize, item: Item, current: bool, now: u64) {
        let state = &mut self.lanes[item.lane];
        if !current || state.owner != Some(member) {
            state.forget(&mut core.meter);
            return;
        }
        state.finish(item.offset);
        if self.config.commit_each {
            let prefix = state.prefix;
            self.commit(core, member, item.lane, prefix, now);
        } else {
            state.forget(&mut core.meter);
        }
    }

    /// A member's handler, which began and ended at these times, holds a record no longer; the number of the delivery's record, where the run keeps them.
    pub(super) fn let_go(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        item: Item,
        by: (usize, u64, u64),
        result: DeliveryResult,
    ) -> u32 {
        let delivery = core.let_go(logs, item, by, result);
        if let Some(at) = self.lanes[item.lane].settled_early.remove(&item.offset) {
            core.meter.settled(delivery, at);
        }
        delivery
    }

    /// Gives up all that a member holds, and why; what its handlers have begun is cut off.
    pub(super) fn drop_hand(&mut self, core: &mut Core, logs: &[&Log], member: usize, why: Again, now: u64) {
        let runs: Vec<Run> = self.members[member].runs.iter_mut().filter_map(Option::take).collect();
        for run in runs {
            core.busy += u128::from(now - run.busy_from.min(now));
            for item in run.items().copied().filter(|_| !run.committed) {
                let record = core.subject(logs, item.lane, item.offset).record;
                core.meter.cut_off += u64::from(record.created >= core.warm_up);
                let _ = self.let_go(core, logs, item, (member, run.start, now), DeliveryResult::CutOff);
                self.lost_if_committed(core, logs, item);
            }
        }
        self.disown(member, why);
        let state = &mut self.members[member];
        let unstarted: Vec<Item> = state.ready.iter().chain(state.claims.values().flatten()).copied().collect();
        for item in unstarted {
            self.lost_if_committed(core, logs, item);
        }
        self.members[member].empty(self.config.workers);
    }

    /// A record in hand whose position has been committed will not come again.
    pub(super) fn lost_if_committed(&mut self, core: &mut Core, logs: &[&Log], item: Item) {
        let state = &mut self.lanes[item.lane];
        if item.offset >= state.committed || state.known(item.offset).is_none() {
            return;
        }
        state.mark(item.offset).replayed = false;
        if !state.mark(item.offset).concluded {
            let Subject { slot, record, extra } = core.subject(logs, item.lane, item.offset);
            let read_again = item.offset >= state.hold && !record.is_copied();
            let mark = state.mark(item.offset);
            mark.concluded = true;
            if read_again {
                mark.given_up = Some(GivenUp::new(Conclusion::Skipped, slot, &record, extra));
                core.meter.conclude(slot, &record, Conclusion::Skipped);
            } else {
                core.meter.miss(slot, &record, extra, Conclusion::Skipped);
            }
            state.forget(&mut core.meter);
        }
    }
}
