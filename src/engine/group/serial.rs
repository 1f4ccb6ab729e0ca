//! Serial dispatch: each partition has one owner, who takes records the moment they are visible, one at a time.
//!
//! Between two control events nothing can happen to a member but its own work, so each runs ahead alone: its queue is the
//! recursion `done = max(free, visible) + service` (Lindley), without an event calendar.

use super::fate::{End, Fates, slowed};
use super::meter::{Conclusion, Handed, Times};
use super::{Core, Lag};
use crate::engine::log::{Log, Record};
use crate::outcome::DeliveryResult;
use crate::time::SimTime;

/// Service times drawn at a time, per partition.
const BLOCK: usize = 64;
/// Fewer are drawn one by one.
const FEW: usize = 8;

/// Serial dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Serial {
    lanes: Vec<Lane>,
    /// By partition.
    ahead: Vec<Ahead>,
    members: Vec<Member>,
    /// By member: when it next does something.
    due: Vec<u64>,
    /// Earliest time at which some member does something, as far as is known.
    soonest: u64,
    /// Records seen of each topic.
    seen: Vec<u64>,
    /// Whether a member may hold a record of a partition that is another's by now.
    moved: bool,
    block: Block,
}

/// When the records of one block start and end: kept so that it need not be made anew.
#[derive(Clone, Debug)]
struct Block {
    start: [u64; BLOCK],
    done: [u64; BLOCK],
}

#[derive(Clone, Debug)]
struct Lane {
    owner: Option<usize>,
    /// Next record to begin.
    next: u64,
    /// Records before this are settled.
    settled: u64,
    /// A record whose handler was cut off, until it is begun again.
    cut: Option<(u64, Again)>,
}

/// Service times of consecutive records of one partition, drawn ahead.
#[derive(Clone, Debug)]
struct Ahead {
    from: u64,
    to: u64,
    times: [u64; BLOCK],
}

#[derive(Clone, Debug, Default)]
struct Member {
    lanes: Vec<usize>,
    /// Its partition, where it has one.
    only: Option<usize>,
    free: u64,
    begun: Option<Begun>,
}

/// A record that is delivered again.
#[derive(Clone, Copy, Debug)]
struct Again {
    first: Handed,
    /// When its last handler was cut off.
    arrived: u64,
}

/// A service in progress: it keeps the speed with which it began.
#[derive(Clone, Copy, Debug)]
struct Begun {
    lane: usize,
    offset: u64,
    start: u64,
    /// Start of the successful attempt.
    success: u64,
    done: u64,
    busy_from: u64,
    attempts: u32,
    end: End,
    again: Option<Again>,
}

impl Serial {
    pub(super) fn new(core: &Core) -> Self {
        let lane = Lane { owner: None, next: 0, settled: 0, cut: None };
        let mut serial = Self {
            lanes: vec![lane; core.lanes.len()],
            ahead: vec![Ahead { from: 0, to: 0, times: [0; BLOCK] }; core.lanes.len()],
            members: vec![Member::default(); core.members.len()],
            due: vec![u64::MAX; core.members.len()],
            soonest: u64::MAX,
            seen: vec![0; core.topics.len()],
            moved: false,
            block: Block { start: [0; BLOCK], done: [0; BLOCK] },
        };
        serial.assign(core, 0);
        serial
    }

    /// When something is due, given what the logs hold.
    pub(super) fn next(&mut self, core: &mut Core, logs: &[&Log], control: u64) -> u64 {
        self.notice(core, logs, control);
        self.soonest
    }

    /// Lets members that new records find idle begin them (as far as `limit` allows).
    fn notice(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        for (slot, log) in logs.iter().enumerate() {
            let fresh = log.appended - self.seen[slot];
            if fresh == 0 {
                continue;
            }
            self.seen[slot] = log.appended;
            core.meter.reach(slot, log);
            if fresh > 1 {
                self.look_at_all(core, logs);
                continue;
            }
            let lane = core.first_lane[slot] + log.last_lane as usize;
            let Some(owner) = self.lanes[lane].owner else { continue };
            if self.members[owner].begun.is_none() && core.members[owner].is_up() {
                // Of several partitions another may get a record later that becomes visible before this one.
                if self.members[owner].only.is_some() {
                    self.begin_one(core, logs, owner, limit);
                } else {
                    self.due[owner] = self.due_of(core, logs, owner);
                    self.soonest = self.soonest.min(self.due[owner]);
                }
            }
        }
    }

    fn look_at_all(&mut self, core: &Core, logs: &[&Log]) {
        self.soonest = u64::MAX;
        for member in 0..self.members.len() {
            self.due[member] = self.due_of(core, logs, member);
            self.soonest = self.soonest.min(self.due[member]);
        }
    }

    fn due_of(&self, core: &Core, logs: &[&Log], member: usize) -> u64 {
        let state = &self.members[member];
        if let Some(begun) = &state.begun {
            return begun.done;
        }
        if !core.members[member].is_up() {
            return u64::MAX;
        }
        self.head(core, logs, member).map_or(u64::MAX, |(_, start)| start)
    }

    /// Begins the next record of an idle member, if it starts before `limit`. Nothing is completed.
    fn begin_one(&mut self, core: &mut Core, logs: &[&Log], member: usize, limit: u64) {
        if let Some((lane, start)) = self.head(core, logs, member).filter(|(_, start)| *start < limit) {
            self.begin(core, logs, member, lane, start);
        }
        self.due[member] = self.due_of(core, logs, member);
        self.soonest = self.soonest.min(self.due[member]);
    }

    /// The partition whose record a member takes next (the first to become visible), and when it can start.
    fn head(&self, core: &Core, logs: &[&Log], member: usize) -> Option<(usize, u64)> {
        let state = &self.members[member];
        let visible = |lane: usize| Some(core.log_lane(logs, lane).get(self.lanes[lane].next)?.visible);
        let (visible, lane) = match state.only {
            Some(lane) => (visible(lane)?, lane),
            None => state.lanes.iter().filter_map(|lane| Some((visible(*lane)?, *lane))).min()?,
        };
        Some((lane, visible.max(state.free)))
    }

    /// Handles everything strictly before `limit`.
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        for (slot, log) in logs.iter().enumerate() {
            if log.appended != self.seen[slot] {
                self.seen[slot] = log.appended;
                core.meter.reach(slot, log);
                self.look_at_all(core, logs);
            }
        }
        if self.soonest < limit {
            self.run_members(core, logs, limit);
        }
        debug_assert!(
            (0..self.members.len()).all(|member| self.due_of(core, logs, member) >= limit),
            "a member was due before {limit}"
        );
    }

    fn run_members(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        self.complete_moved(core, logs, limit);
        for member in 0..self.members.len() {
            if self.due[member] < limit {
                self.run_member(core, logs, member, limit);
                self.due[member] = self.due_of(core, logs, member);
            }
        }
        self.soonest = least(&self.due);
    }

    /// Records in hand of partitions that have moved on come first: their new owners wait for them.
    fn complete_moved(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        if !std::mem::take(&mut self.moved) {
            return;
        }
        for member in 0..self.members.len() {
            let Some(begun) = self.members[member].begun else { continue };
            if self.lanes[begun.lane].owner == Some(member) {
                continue;
            }
            if begun.done < limit {
                self.complete(core, logs, member, begun);
                self.due[member] = self.due_of(core, logs, member);
            } else {
                self.moved = true;
            }
        }
    }

    fn run_member(&mut self, core: &mut Core, logs: &[&Log], member: usize, limit: u64) {
        loop {
            if let Some(begun) = self.members[member].begun {
                if begun.done >= limit {
                    return;
                }
                self.complete(core, logs, member, begun);
            }
            if !core.members[member].is_up() {
                return;
            }
            let Some((lane, start)) = self.head(core, logs, member).filter(|(_, start)| *start < limit) else { return };
            self.begin(core, logs, member, lane, start);
            // Where the first record ends in time, there is reason to expect more.
            if self.members[member].only.is_some() && core.is_calm(member) && core.serial_is_plain {
                let Some(begun) = self.members[member].begun.filter(|begun| begun.done < limit) else { return };
                self.complete(core, logs, member, begun);
                self.run_lane(core, logs, member, lane, limit);
                return;
            }
        }
    }

    /// The hot loop: one member, one partition, plain messages; a block of them at a time, so that each pass is short.
    fn run_lane(&mut self, core: &mut Core, logs: &[&Log], member: usize, lane: usize, limit: u64) {
        let id = core.lanes[lane];
        let log = logs[id.slot];
        let mut records = log.lanes[id.partition as usize].from(self.lanes[lane].next);
        let slow = core.members[member].slow;
        let traces = core.meter.traces();
        if records.is_empty() {
            return;
        }
        let Self { lanes, ahead, members, block, .. } = self;
        let (state, ahead, owner) = (&mut lanes[lane], &mut ahead[lane], &mut members[member]);
        let mut measured = 0;
        let mut traced = Vec::new();
        let mut run = core.meter.plain_run(id.slot);
        while !records.is_empty() && owner.begun.is_none() {
            let offset = state.next;
            let times = ahead.times(&core.fates, id.slot, offset, records);
            let taken = &records[..times.len()];
            let started = block.serve(taken, times, slow, owner.free, limit);
            let complete = if started > 0 && block.done[started - 1] >= limit { started - 1 } else { started };
            if let Some(last) = complete.checked_sub(1) {
                measured += run.effects(&taken[..complete], &block.start, &block.done);
                owner.free = block.done[last];
                core.busy += u128::from(block.busy(complete));
            }
            if complete < started {
                let start = block.start[complete];
                owner.begun = Some(Begun {
                    lane,
                    offset: offset + complete as u64,
                    start,
                    success: start,
                    done: block.done[complete],
                    busy_from: start,
                    attempts: 1,
                    end: End::Success,
                    again: None,
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
        core.meter.deliveries += measured;
        core.meter.attempts += measured;
        core.meter.ledger.effected += measured;
        for (offset, record, start, done) in traced {
            trace(core, &id, offset, &record, (start, done));
        }
    }

    fn begin(&mut self, core: &mut Core, logs: &[&Log], member: usize, lane: usize, start: u64) {
        let id = core.lanes[lane];
        let offset = self.lanes[lane].next;
        let record = *core.log_lane(logs, lane).at(offset);
        let again = self.lanes[lane].cut.take_if(|cut| cut.0 == offset).map(|cut| cut.1);
        core.meter.duplicates_deliveries += u64::from(again.is_some() && record.created >= core.warm_up);
        let event = core.fates.id(id.slot, record.event);
        let (lead, service, attempts, end) = if core.serial_is_plain && core.is_calm(member) {
            (0, slowed(core.fates.plain_time(event), core.members[member].slow), 1, End::Success)
        } else {
            let extra = core.log_lane(logs, lane).extra(offset);
            let about = core.fates.about(id.slot, &record, extra);
            let conditions = core.conditions(member);
            let fate = core.fates.fate(&[event], about, (1, 1), conditions);
            (fate.lead, fate.service, fate.attempts, fate.end)
        };
        let success = start.saturating_add(lead);
        let done = success.saturating_add(service);
        let begun = Begun { lane, offset, start, success, done, busy_from: start, attempts, end, again };
        self.members[member].begun = Some(begun);
        self.lanes[lane].next = offset + 1;
    }

    fn complete(&mut self, core: &mut Core, logs: &[&Log], member: usize, begun: Begun) {
        let id = core.lanes[begun.lane];
        let lane = core.log_lane(logs, begun.lane);
        let record = lane.at(begun.offset);
        core.meter.deliveries += u64::from(record.created >= core.warm_up);
        core.count_attempts(record.created, begun.attempts, begun.end);
        core.busy += u128::from(begun.done - begun.busy_from.min(begun.done));
        let mut result = DeliveryResult::Effect;
        if begun.end != End::Success {
            core.meter.conclude(id.slot, record, Conclusion::Discarded);
            core.meter.never_done(id.slot, record.event);
            result = DeliveryResult::Discarded;
        } else if core.serial_is_plain && begun.attempts == 1 && begun.again.is_none() {
            let mut run = core.meter.plain_run(id.slot);
            let measured = run.effects(std::slice::from_ref(record), &[begun.start], &[begun.done]);
            core.meter.ledger.effected += measured;
        } else {
            let times = Times {
                first: begun.again.map(|again| again.first),
                arrived: begun.again.map_or(record.visible, |again| again.arrived),
                start: begun.start,
                success: begun.success,
                done: begun.done,
            };
            result = core.meter.effect(id.slot, record, lane.extra(begun.offset), times, None);
        }
        if core.meter.traces() {
            let mut trace = core.meter.trace_of(id.slot, id.partition, begun.offset, record);
            (trace.start, trace.done, trace.settled) = (SimTime(begun.start), SimTime(begun.done), SimTime(begun.done));
            trace.result = result;
            core.meter.trace(|| trace);
        }
        self.lanes[begun.lane].settled = begun.offset + 1;
        self.members[member].begun = None;
        self.members[member].free = self.members[member].free.max(begun.done);
    }

    /// Gives every partition to a live member.
    fn assign(&mut self, core: &Core, now: u64) {
        let live: Vec<usize> = (0..self.members.len()).filter(|m| core.members[*m].is_up()).collect();
        let owners = core.assign(&live);
        for member in &mut self.members {
            member.lanes.clear();
        }
        for (lane, owner) in owners.into_iter().enumerate() {
            self.lanes[lane].owner = owner;
            let Some(owner) = owner else { continue };
            self.members[owner].lanes.push(lane);
            // A record still in hand at an earlier owner keeps its partition until it is done.
            let others = self.members.iter().enumerate().filter(|(other, _)| *other != owner);
            if let Some(begun) = others.filter_map(|(_, other)| other.begun).find(|begun| begun.lane == lane) {
                self.members[owner].free = self.members[owner].free.max(begun.done);
                self.moved = true;
            }
        }
        for member in &mut self.members {
            member.free = member.free.max(now);
            member.only = if let [lane] = member.lanes[..] { Some(lane) } else { None };
        }
    }

    /// A process ends: what it has in hand is cut off, its partitions go to others at once.
    pub(super) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if let Some(begun) = self.members[member].begun.take() {
            let id = core.lanes[begun.lane];
            let record = *core.log_lane(logs, begun.lane).at(begun.offset);
            core.busy += u128::from(now - begun.busy_from.min(now));
            let measured = u64::from(record.created >= core.warm_up);
            core.meter.cut_off += measured;
            core.meter.deliveries += measured;
            self.lanes[begun.lane].next = begun.offset;
            let first = Handed { arrived: record.visible, start: begun.start };
            let first = begun.again.map_or(first, |again| again.first);
            self.lanes[begun.lane].cut = Some((begun.offset, Again { first, arrived: now }));
            if core.meter.traces() {
                let mut trace = core.meter.trace_of(id.slot, id.partition, begun.offset, &record);
                (trace.start, trace.done) = (SimTime(begun.start), SimTime(now));
                core.meter.trace(|| trace);
            }
        }
        self.members[member].free = now;
        self.regroup(core, logs, now);
    }

    /// Whether a member has something in hand.
    pub(super) fn lingers(&self, member: usize) -> bool {
        self.members[member].begun.is_some()
    }

    /// Membership has changed.
    pub(super) fn regroup(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        core.meter.rebalances += 1;
        self.assign(core, now);
        self.look_at_all(core, logs);
    }

    /// A member stands still until the time that its conditions say; what is in hand is late by `shift`.
    pub(super) fn pause(&mut self, core: &Core, logs: &[&Log], member: usize, _now: u64, shift: u64) {
        let state = &mut self.members[member];
        if let Some(begun) = &mut state.begun {
            begun.done = begun.done.saturating_add(shift);
            begun.busy_from = begun.busy_from.saturating_add(shift);
        }
        state.free = state.free.max(core.members[member].paused_until);
        // A partition that has moved on meanwhile waits for the record in hand.
        if let Some((begun, owner)) = state.begun.and_then(|begun| Some((begun, self.lanes[begun.lane].owner?)))
            && owner != member
        {
            self.members[owner].free = self.members[owner].free.max(begun.done);
        }
        self.look_at_all(core, logs);
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for begun in self.members.iter_mut().filter_map(|member| member.begun.as_mut()) {
            begun.busy_from = begun.busy_from.max(now);
        }
    }

    /// Records not settled of one partition at `now`, and the creation of the oldest.
    pub(super) fn lag(&self, lane: usize, log_lane: &crate::engine::log::Lane, now: u64) -> Lag {
        let settled = self.lanes[lane].settled;
        let end = log_lane.visible_end(settled, now);
        Lag { records: end - settled, oldest: (end > settled).then(|| log_lane.at(settled).created) }
    }

    /// Lowest offset that is still needed.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        self.lanes[lane].settled
    }

    /// Settles the accounts of what was not finished.
    pub(super) fn finish(&mut self, core: &mut Core, logs: &[&Log], end: u64) {
        for lane in 0..self.lanes.len() {
            let id = core.lanes[lane];
            let log_lane = core.log_lane(logs, lane);
            let begun: Vec<u64> =
                self.members.iter().filter_map(|m| m.begun).filter(|b| b.lane == lane).map(|b| b.offset).collect();
            for offset in self.lanes[lane].settled..log_lane.end() {
                let how = if begun.contains(&offset) { Conclusion::InFlight } else { Conclusion::Waiting };
                core.meter.conclude(id.slot, log_lane.at(offset), how);
            }
        }
        for begun in self.members.iter().filter_map(|member| member.begun) {
            core.busy += u128::from(end.saturating_sub(begun.busy_from));
            let created = core.log_lane(logs, begun.lane).at(begun.offset).created;
            core.meter.deliveries += u64::from(created >= core.warm_up);
        }
    }
}

impl Block {
    /// Serves records one after the other, from when the server is free: Lindley's recursion. How many start before
    /// `limit`; the last of them may end later.
    #[inline]
    fn serve(&mut self, records: &[Record], times: &[u64], slow: f64, mut free: u64, limit: u64) -> usize {
        let slots = self.start.iter_mut().zip(&mut self.done);
        let mut started = 0;
        for ((record, time), (start, done)) in records.iter().zip(times).zip(slots) {
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
    fn times(&mut self, fates: &Fates, slot: usize, offset: u64, records: &[Record]) -> &[u64] {
        if !(self.from..self.to).contains(&offset) {
            self.draw(fates, slot, offset, records);
        }
        let known = &self.times[place(offset, self.from)..place(self.to, self.from)];
        &known[..known.len().min(records.len())]
    }

    /// Draws the service times of records, which begin at `offset`.
    #[cold]
    fn draw(&mut self, fates: &Fates, slot: usize, offset: u64, records: &[Record]) {
        let count = records.len().min(BLOCK);
        let ids = records.iter().map(|record| fates.id(slot, record.event));
        if count < FEW {
            self.times.iter_mut().zip(ids).for_each(|(time, id)| *time = fates.plain_time(id));
        } else {
            let mut places = [0; BLOCK];
            places.iter_mut().zip(ids).for_each(|(place, id)| *place = id);
            fates.plain_times(&places[..count], &mut self.times[..count]);
        }
        (self.from, self.to) = (offset, offset + count as u64);
    }
}

/// The least of these times; several at once, because each comparison waits for the one before.
#[inline]
fn least(times: &[u64]) -> u64 {
    let (fours, rest) = times.as_chunks::<4>();
    let mut least = [u64::MAX; 4];
    for four in fours {
        least.iter_mut().zip(four).for_each(|(least, time)| *least = (*least).min(*time));
    }
    rest.iter().chain(&least).copied().min().unwrap_or(u64::MAX)
}

/// Where an offset lies in a block.
fn place(offset: u64, from: u64) -> usize {
    usize::try_from(offset - from).expect("inside of a block")
}

#[cold]
fn trace(core: &mut Core, id: &super::LaneId, offset: u64, record: &Record, (start, done): (u64, u64)) {
    let mut trace = core.meter.trace_of(id.slot, id.partition, offset, record);
    (trace.start, trace.done, trace.settled) = (SimTime(start), SimTime(done), SimTime(done));
    trace.result = DeliveryResult::Effect;
    core.meter.trace(|| trace);
}
