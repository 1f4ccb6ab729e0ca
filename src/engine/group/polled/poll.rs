//! The poll loop of a polled group's members: what is buffered goes to the workers, and positions are settled.

use std::collections::VecDeque;

use super::fetch::MANY;
use super::hands::Turn;
use super::lane::Lane;
use super::member::Chunk;
use super::{Core, Log, Polled};
use crate::engine::group::meter::{Conclusion, GivenUp};
use crate::engine::group::retries::Subject;
use crate::engine::group::run::Item;
use crate::outcome::LossCause;
use crate::plan::Settle;

impl Polled {
    /// Lets idle workers begin what they may, and polls for more while that helps.
    pub(super) fn pump(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let conditions = &core.members[member];
        let present = self.members[member].in_group || self.members[member].zombie;
        if conditions.down > 0 || now < conditions.paused_until || !present {
            return;
        }
        loop {
            if self.config.batch.is_none() {
                while self.start_one(core, logs, member, now) {}
            }
            if self.may_poll(member) {
                match self.attend(core, logs, member, now) {
                    Turn::Stop => return,
                    Turn::Again => continue,
                    Turn::Poll => {}
                }
                if self.poll(core, logs, member, now) {
                    continue;
                }
            }
            if self.config.batch.is_none() || !self.start_batch(core, logs, member, now) {
                return;
            }
        }
    }

    fn may_poll(&self, member: usize) -> bool {
        let state = &self.members[member];
        if state.idle.is_empty() {
            return false;
        }
        if let Some(batch) = self.config.batch {
            return state.ready.len() < batch.max as usize;
        }
        // A bounded queue behind the poll loop: what waits for a busy key or partition may fill one poll, not more.
        state.ready.is_empty() && state.waiting < self.config.max_poll
    }

    /// One call of poll: commits, takes buffered records, fetches more. Whether any were taken.
    fn poll(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> bool {
        self.members[member].polled_at = now;
        self.commit_at_poll(core, member, now);
        let room = match self.config.batch {
            Some(batch) => self.config.max_poll.min(batch.max as usize - self.members[member].ready.len()),
            None => self.config.max_poll,
        };
        let mut taken = 0;
        if self.config.instant {
            taken += self.take_by_time(core, logs, member, now);
        }
        let mut place = 0;
        while taken < room {
            let Some(chunk) = self.members[member].buffer.get_mut(place) else { break };
            // The partition of a retry topic is paused up to its head that is not due.
            if chunk.due > now {
                place += 1;
                continue;
            }
            let Chunk { lane, from, reset, answered, arrived, .. } = *chunk;
            let tag = self.lanes[lane].assignment;
            let (to, due) = due_part(core, logs, chunk, now);
            let left = usize::try_from(to - from).unwrap_or(usize::MAX);
            let count = left.min(room - taken);
            chunk.from += count as u64;
            if count == left {
                chunk.due = due;
            }
            if chunk.from == chunk.to {
                self.members[member].buffer.remove(place);
            }
            if count as u64 >= MANY {
                let records = &core.log_lane(logs, lane).from(from)[..count];
                core.meter.recall(core.lanes[lane].slot, records);
            }
            for offset in from..from + count as u64 {
                self.take(core, logs, member, Item { lane, offset, arrived, tag, first: None }, (answered, reset));
            }
            taken += count;
        }
        self.fetch(core, logs, member, now);
        self.members[member].blocked = taken == 0;
        if self.config.settle == Settle::Before && taken > 0 {
            self.commit_polled(core, member, now);
        }
        taken > 0
    }

    /// Takes all that is buffered in the order in which it became visible. How many.
    fn take_by_time(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> usize {
        let mut items = Vec::new();
        let lanes = &self.lanes;
        self.members[member].buffer.retain_mut(|chunk| {
            let Chunk { lane, from, to, reset, answered, arrived, .. } = *chunk;
            let tag = lanes[lane].assignment;
            let (due_to, due) = due_part(core, logs, chunk, now);
            (chunk.from, chunk.due) = (due_to, due);
            let item = |offset| Item { lane, offset, arrived, tag, first: None };
            // Who is due waits for those before it in its partition.
            let mut since = 0;
            let mut since = |offset| {
                since = core.seen_at(logs, lane, offset).max(core.due(logs, lane, offset)).max(since);
                since
            };
            items.extend((from..due_to).map(|offset| (since(offset), item(offset), (answered, reset))));
            due_to < to
        });
        items.sort_by_key(|(visible, item, _)| (*visible, item.lane, item.offset));
        for (_, item, known) in &items {
            self.take(core, logs, member, *item, *known);
        }
        items.len()
    }

    /// Takes a record that the bus handed out at `answered`: if it was there still, is not passed over (before `reset`), and
    /// is wanted.
    fn take(&mut self, core: &mut Core, logs: &[&Log], member: usize, item: Item, (answered, reset): (u64, u64)) {
        let state = &mut self.lanes[item.lane];
        state.polled = item.offset + 1;
        state.reached = state.reached.max(item.offset + 1);
        state.mark(item.offset);
        let log_lane = core.log_lane(logs, item.lane);
        let Subject { slot, record, extra } = core.subject(logs, item.lane, item.offset);
        let unwanted = !core.fates.wants_all() && !core.fates.wants(&record, extra);
        let gone = log_lane.taken(item.offset, answered);
        let gone = gone.or_else(|| (item.offset < reset).then_some(LossCause::OffsetReset));
        // What is known by then never to have counted is not lost, whoever has deleted it.
        let known = || log_lane.seen_at(item.offset, true).is_some_and(|seen| seen <= answered);
        let aborted = core.committed_only && log_lane.aborted(item.offset) == Some(true) && known();
        let gone = gone.filter(|_| !aborted);
        let missed = gone.map(Conclusion::Lost).or(aborted.then_some(Conclusion::Aborted));
        if let Some(how) = missed.or(unwanted.then_some(Conclusion::Filtered)) {
            let mark = state.mark(item.offset);
            mark.replayed = false;
            if !std::mem::replace(&mut mark.concluded, true) {
                if gone.is_some() && !record.is_copied() {
                    // A handler of an earlier owner may have it in hands, and be done with it yet.
                    mark.given_up = Some(GivenUp::new(how, slot, &record, extra));
                    core.meter.conclude(slot, &record, how);
                } else {
                    core.meter.miss(slot, &record, extra, how);
                }
            }
            return self.finished(core, member, item, true, 0);
        }
        let claim = self.claim_of(core.lanes[item.lane].slot, item, record.key);
        let member = &mut self.members[member];
        if let Some(claim) = claim {
            if let Some(queue) = member.claims.get_mut(claim) {
                queue.push_back(item);
                member.waiting += 1;
                return;
            }
            member.claims.insert(claim, VecDeque::new());
        }
        member.ready.push_back(item);
    }

    pub(super) fn commit_at_poll(&mut self, core: &mut Core, member: usize, now: u64) {
        match self.config.settle {
            Settle::After => {
                for at in 0..self.members[member].lanes.len() {
                    let lane = self.members[member].lanes[at];
                    let Lane { prefix, committed, .. } = self.lanes[lane];
                    if prefix > committed {
                        self.commit(core, member, lane, prefix, now);
                    }
                }
            }
            Settle::Timer(interval) => {
                if now >= self.members[member].auto_at {
                    self.commit_polled(core, member, now);
                    self.members[member].auto_at = now.saturating_add(interval.0);
                }
            }
            Settle::Before => {}
        }
    }

    pub(super) fn commit_polled(&mut self, core: &mut Core, member: usize, now: u64) {
        for at in 0..self.members[member].lanes.len() {
            let lane = self.members[member].lanes[at];
            let polled = self.lanes[lane].polled;
            self.commit(core, member, lane, polled, now);
        }
    }

    pub(super) fn commit(&mut self, core: &mut Core, member: usize, lane: usize, to: u64, now: u64) {
        let state = &mut self.lanes[lane];
        if to <= state.committed || state.owner != Some(member) || self.members[member].zombie {
            return;
        }
        // Between its rejoining and the end of the round a client that works on does not settle.
        if self.members[member].joined && !self.rounds.stops_all() {
            return;
        }
        if core.wire.meet(member, now).dropped {
            return;
        }
        self.settle_to(core, lane, to, now);
    }

    /// The position of a partition is committed.
    pub(super) fn settle_to(&mut self, core: &mut Core, lane: usize, to: u64, now: u64) {
        let state = &mut self.lanes[lane];
        if core.meter.traces() {
            for offset in state.committed..to {
                match state.mark(offset).trace {
                    0 => drop(state.settled_early.insert(offset, now)),
                    delivery => core.meter.settled(delivery, now),
                }
            }
        }
        state.committed = to;
        state.forget(&mut core.meter);
    }
}

/// Up to where the records of a chunk are due at `now`, and when the next one is.
fn due_part(core: &Core, logs: &[&Log], chunk: &Chunk, now: u64) -> (u64, u64) {
    if !core.retries.holds(chunk.lane) {
        return (chunk.to, 0);
    }
    let dues = (chunk.from..chunk.to).map(|offset| (offset, core.due(logs, chunk.lane, offset)));
    dues.into_iter().find(|(_, due)| *due > now).unwrap_or((chunk.to, 0))
}
