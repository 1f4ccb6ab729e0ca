//! Plain records of one partition, a block at a time.

use super::{Begun, Serial, trace};
use crate::engine::group::Core;
use crate::engine::group::fate::{End, Fates, slowed};
use crate::engine::log::{Log, Record};
use crate::outcome::DeliveryResult;

/// Service times drawn at a time, per partition.
const BLOCK: usize = 64;
/// Fewer are drawn one by one.
const FEW: usize = 8;

/// When the records of one block start and end: kept so that it need not be made anew.
#[derive(Clone, Debug)]
pub(super) struct Block {
    start: [u64; BLOCK],
    done: [u64; BLOCK],
}

/// Service times of consecutive records of one partition, drawn ahead.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    from: u64,
    to: u64,
    times: [u64; BLOCK],
}

impl Default for Block {
    fn default() -> Self {
        Self { start: [0; BLOCK], done: [0; BLOCK] }
    }
}

impl Default for Ahead {
    fn default() -> Self {
        Self { from: 0, to: 0, times: [0; BLOCK] }
    }
}

impl Serial {
    /// The hot loop: one member, one partition, plain messages; a block of them at a time, so that each pass is short. The
    /// first of them may be in hand.
    #[inline(never)]
    pub(super) fn run_lane(&mut self, core: &mut Core, logs: &[&Log], member: usize, lane: usize, limit: u64) {
        let id = core.lanes[lane];
        let log = logs[id.slot];
        let mut in_hand = self.members[member].begun.take();
        let next = in_hand.map_or(self.lanes[lane].next, |begun| begun.offset);
        let mut records = log.lanes[id.partition as usize].from(next);
        let slow = self.members[member].pace.slow;
        let traces = core.meter.traces();
        if records.is_empty() {
            return;
        }
        let Self { lanes, ahead, members, block, .. } = self;
        let (state, ahead, owner) = (&mut lanes[lane], &mut ahead[lane], &mut members[member]);
        let mut traced = Vec::new();
        state.next = next;
        while !records.is_empty() && owner.begun.is_none() {
            let offset = state.next;
            let times = ahead.times(&mut core.fates, id.slot, offset, records);
            let taken = &records[..times.len()];
            let first = in_hand.take().map(|begun| (begun.start, begun.done));
            let started = block.serve(taken, times, slow, (first, owner.free), limit);
            let complete = if started > 0 && block.done[started - 1] >= limit { started - 1 } else { started };
            if let Some(last) = complete.checked_sub(1) {
                core.meter.plain_effects(id.slot, &taken[..complete], &block.start, &block.done);
                owner.free = owner.free.max(block.done[last]);
                core.busy += u128::from(block.busy(complete));
            }
            if complete < started {
                let start = block.start[complete];
                owner.begun = Some(Begun {
                    lane: super::number(lane),
                    offset: offset + complete as u64,
                    record: taken[complete],
                    start,
                    success: start,
                    done: block.done[complete],
                    busy_from: start,
                    attempts: 1,
                    end: End::Success,
                    again: false,
                    plain: true,
                });
            }
            state.settled = offset + complete as u64;
            state.next = state.settled + u64::from(owner.begun.is_some());
            if traces {
                let all = taken.iter().zip(&block.start).zip(&block.done).take(complete);
                traced.extend(
                    (offset..).zip(all).map(|(offset, ((record, start), done))| (offset, *record, *start, *done)),
                );
            }
            records = &records[complete..];
            if complete < taken.len() {
                break;
            }
        }
        for (offset, record, start, done) in traced {
            trace(core, (id, member), offset, &record, (start, done), DeliveryResult::Effect);
        }
    }
}

impl Block {
    /// Serves records one after the other, from when the server is free: Lindley's recursion. The start and the end of the
    /// first may be known. How many start before `limit`; the last of them may end later.
    #[inline]
    fn serve(
        &mut self,
        records: &[Record],
        times: &[u64],
        slow: f64,
        (first, mut free): (Option<(u64, u64)>, u64),
        limit: u64,
    ) -> usize {
        let mut started = 0;
        if let Some((start, done)) = first {
            (self.start[0], self.done[0]) = (start, done);
            free = free.max(done);
            started = 1;
        }
        let slots = self.start[started..].iter_mut().zip(&mut self.done[started..]);
        for ((record, time), (start, done)) in records[started..].iter().zip(&times[started..]).zip(slots) {
            *start = free.max(record.visible);
            if *start >= limit {
                break;
            }
            free = *start + slowed(*time, slow);
            *done = free;
            started += 1;
        }
        started
    }

    /// Time spent on the first `count` records.
    fn busy(&self, count: usize) -> u64 {
        self.start.iter().zip(&self.done).take(count).map(|(start, done)| done - start).sum()
    }
}

impl Ahead {
    /// The service times of some of these records, which begin at `offset`; at least of the first.
    #[inline]
    fn times(&mut self, fates: &mut Fates, slot: usize, offset: u64, records: &[Record]) -> &[u64] {
        if !(self.from..self.to).contains(&offset) {
            self.draw(fates, slot, offset, records);
        }
        let known = &self.times[place(offset, self.from)..place(self.to, self.from)];
        &known[..known.len().min(records.len())]
    }

    /// Draws the service times of records, which begin at `offset`.
    #[cold]
    fn draw(&mut self, fates: &mut Fates, slot: usize, offset: u64, records: &[Record]) {
        let count = records.len().min(BLOCK);
        let mut ids = [0; BLOCK];
        ids.iter_mut().zip(records).for_each(|(id, record)| *id = fates.id(slot, record.event));
        let (ids, times) = (&ids[..count], &mut self.times[..count]);
        if count < FEW {
            times.iter_mut().zip(ids).for_each(|(time, id)| *time = fates.plain_time(*id));
        } else {
            fates.plain_times(ids, times);
        }
        (self.from, self.to) = (offset, offset + count as u64);
    }
}

/// Where an offset lies in a block.
fn place(offset: u64, from: u64) -> usize {
    usize::try_from(offset - from).expect("inside of a block")
}
