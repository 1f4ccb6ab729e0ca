//! Serial dispatch: each partition has one owner, who takes records the moment they are visible, one at a time.
//!
//! Between two control events nothing can happen to a member but its own work, so each runs ahead alone: its queue is the
//! recursion `done = max(free, visible) + service` (Lindley), without an event calendar.

mod block;

use std::collections::BTreeMap;

use block::{Ahead, Block};

use super::fate::{End, Fate, slowed};
use super::meter::{Conclusion, GivenUp, Handed, Times};
use super::{Core, Lag, LaneId};
use crate::engine::earliest::Earliest;
use crate::engine::log::{self, Extra, Log, Record};
use crate::outcome::{self, DeliveryResult};
use crate::time::SimTime;

/// Serial dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Serial {
    lanes: Vec<Lane>,
    /// By partition.
    ahead: Vec<Ahead>,
    members: Vec<Member>,
    /// By member: its partitions.
    shares: Vec<Vec<usize>>,
    /// By member: when it next does something, as far as is known.
    due: Earliest,
    /// Records heard of, by topic.
    heard: Vec<u64>,
    /// Whether records are heard of one by one: then there is little to do at a time.
    one_by_one: bool,
    /// Whether a member may hold a record of a partition that is another's by now.
    moved: bool,
    cut: Cut,
    block: Block,
}

#[derive(Clone, Debug)]
struct Lane {
    slot: u32,
    partition: u32,
    owner: Option<u32>,
    /// Next record to begin.
    next: u64,
    /// Records before this are settled.
    settled: u64,
}

impl Lane {
    /// What the log holds of it.
    #[inline(always)]
    fn stored<'a>(&self, logs: &[&'a Log]) -> &'a log::Lane {
        &logs[self.slot as usize].lanes[self.partition as usize]
    }

    fn id(&self) -> LaneId {
        LaneId { slot: self.slot as usize, partition: self.partition }
    }
}

/// All that a step needs to know of a member, side by side.
#[derive(Clone, Debug, Default)]
struct Member {
    begun: Option<Begun>,
    free: u64,
    /// Its partition, where it has one.
    only: Option<u32>,
    pace: Pace,
}

/// The conditions of a member, as far as they matter here.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    slow: f64,
    up: bool,
    /// Records are plain, and nothing but a slow-down touches it.
    plain: bool,
}

/// A record that is delivered again.
#[derive(Clone, Copy, Debug)]
struct Again {
    first: Handed,
    /// When its last handler was cut off.
    arrived: u64,
}

/// The record that a member takes next.
struct Head<'a> {
    lane: usize,
    record: &'a Record,
    /// When it can start.
    start: u64,
}

/// A service in progress: it keeps the speed with which it began.
#[derive(Clone, Copy, Debug)]
struct Begun {
    record: Record,
    offset: u64,
    start: u64,
    /// Start of the successful attempt.
    success: u64,
    done: u64,
    busy_from: u64,
    lane: u32,
    attempts: u32,
    end: End,
    /// Whether its handler was cut off before.
    again: bool,
    /// Whether it is a plain record that succeeds at the first attempt of all.
    plain: bool,
}

/// By partition: the record whose handler was cut off, until it is done.
type Cut = BTreeMap<usize, (u64, Again)>;

impl Begun {
    /// Whether it is plain and all of its time counts.
    #[inline(always)]
    fn is_as_it_began(&self) -> bool {
        self.plain && self.busy_from == self.start
    }
}

impl Member {
    /// The record that it takes next: the first to become visible.
    #[inline(always)]
    fn head<'a>(&self, share: &[usize], lanes: &[Lane], logs: &[&'a Log]) -> Option<Head<'a>> {
        let record = |lane: usize| lanes[lane].stored(logs).get(lanes[lane].next);
        let lane = match self.only {
            Some(lane) => lane as usize,
            None => share.iter().filter_map(|lane| Some((record(*lane)?.visible, *lane))).min()?.1,
        };
        let record = record(lane)?;
        Some(Head { lane, record, start: record.visible.max(self.free) })
    }

    /// Takes a record in hand, as number `member`; when it is done.
    #[inline(always)]
    fn begin(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        (member, lanes, cut): (usize, &mut [Lane], &Cut),
        head: Head<'_>,
    ) -> u64 {
        let Head { lane, record, start } = head;
        let state = &mut lanes[lane];
        let (slot, offset) = (state.slot as usize, state.next);
        state.next += 1;
        let again = cut.get(&lane).is_some_and(|cut| cut.0 == offset);
        core.meter.duplicates_deliveries += u64::from(again && record.created >= core.warm_up);
        let fate = if self.pace.plain {
            let service = core.fates.plain_time(core.fates.id(slot, record.event));
            Fate { lead: 0, service: slowed(service, self.pace.slow), attempts: 1, end: End::Success }
        } else {
            core.fate(slot, record, core.extra(logs, lane, offset), member)
        };
        let success = start.saturating_add(fate.lead);
        let done = success.saturating_add(fate.service);
        let Fate { attempts, end, .. } = fate;
        let plain = core.serial_is_plain && attempts == 1 && end == End::Success && !again;
        let (record, lane, busy_from) = (*record, number(lane), start);
        self.begun = Some(Begun { record, offset, start, success, done, busy_from, lane, attempts, end, again, plain });
        done
    }

    /// Has done what it has in hand.
    #[inline(always)]
    fn complete(&mut self, core: &mut Core, logs: &[&Log], (member, lanes, cut): (usize, &mut [Lane], &mut Cut)) {
        let Some(begun) = &self.begun else { return };
        let &Begun { offset, ref record, start, done, busy_from, plain, .. } = begun;
        let lane = begun.lane as usize;
        self.free = self.free.max(done);
        core.busy += u128::from(done - busy_from.min(done));
        let state = &mut lanes[lane];
        state.settled = offset + 1;
        let result = if plain {
            core.meter.plain_effect(state.slot as usize, record, start, done);
            DeliveryResult::Effect
        } else {
            let again = if begun.again { cut.remove(&lane).map(|cut| cut.1) } else { None };
            conclude(core, core.extra(logs, lane, offset), begun, again)
        };
        if core.meter.traces() {
            trace(core, (state.id(), member), offset, record, (start, done), result);
        }
        self.begun = None;
    }
}

impl Serial {
    pub(super) fn new(core: &Core) -> Self {
        let lane = |id: &LaneId| {
            let slot = u32::try_from(id.slot).expect("topics fit 32 bits");
            Lane { slot, partition: id.partition, owner: None, next: 0, settled: 0 }
        };
        let mut serial = Self {
            lanes: core.lanes.iter().map(lane).collect(),
            ahead: vec![Ahead::default(); core.lanes.len()],
            members: vec![Member::default(); core.members.len()],
            shares: vec![Vec::new(); core.members.len()],
            due: Earliest::new(core.members.len()),
            heard: vec![0; core.topics.len()],
            one_by_one: false,
            moved: false,
            cut: BTreeMap::new(),
            block: Block::default(),
        };
        serial.heed(core);
        serial.assign(core, 0);
        serial
    }

    /// When something is due, given what was heard of the logs.
    #[inline(always)]
    pub(super) fn due(&self) -> u64 {
        self.due.time()
    }

    /// Whether there are records that have not been heard of.
    #[inline]
    fn is_news(&self, logs: &[&Log]) -> bool {
        if let ([log], [heard]) = (logs, self.heard.as_slice()) {
            return log.appended != *heard;
        }
        logs.iter().zip(&self.heard).any(|(log, heard)| log.appended != *heard)
    }

    /// Lets members that new records find idle begin them (as far as `limit` allows); whether there are any.
    #[inline]
    pub(super) fn hear(&mut self, core: &mut Core, logs: &[&Log], limit: u64) -> bool {
        let mut found = false;
        self.one_by_one = true;
        for (slot, log) in logs.iter().enumerate() {
            let fresh = log.appended - std::mem::replace(&mut self.heard[slot], log.appended);
            if fresh > 1 {
                self.look_at_all(logs);
                found = true;
            } else if fresh == 1
                && let Some(owner) = self.lanes[core.first_lane[slot] + log.last_lane as usize].owner
                && let Member { begun: None, pace: Pace { up: true, .. }, .. } = self.members[owner as usize]
            {
                self.begin_early(core, logs, owner as usize, limit);
                found = true;
            }
        }
        found
    }

    /// Takes note of the conditions of the members.
    pub(super) fn heed(&mut self, core: &Core) {
        for (member, (state, conditions)) in self.members.iter_mut().zip(&core.members).enumerate() {
            state.pace = Pace { slow: conditions.slow, up: conditions.is_up(), plain: core.is_plain(member) };
        }
    }

    /// As [`Serial::hear`], but begins nothing.
    #[inline(never)]
    fn hear_all(&mut self, logs: &[&Log]) {
        self.one_by_one = false;
        self.heard.iter_mut().zip(logs).for_each(|(heard, log)| *heard = log.appended);
        self.look_at_all(logs);
    }

    fn look_at_all(&mut self, logs: &[&Log]) {
        for member in 0..self.members.len() {
            self.due.set(member, self.due_of(logs, member));
        }
    }

    fn due_of(&self, logs: &[&Log], member: usize) -> u64 {
        let state = &self.members[member];
        if let Some(begun) = &state.begun {
            return begun.done;
        }
        if !state.pace.up {
            return u64::MAX;
        }
        state.head(&self.shares[member], &self.lanes, logs).map_or(u64::MAX, |head| head.start)
    }

    /// Begins the next record of an idle member, if it starts before `limit`. Nothing is completed.
    #[inline(never)]
    fn begin_early(&mut self, core: &mut Core, logs: &[&Log], member: usize, limit: u64) {
        let Self { lanes, members, shares, cut, due, .. } = self;
        let owner = &mut members[member];
        let Some(head) = owner.head(&shares[member], lanes, logs) else { return };
        // Of several partitions another may get a record later that becomes visible before this one.
        let begins = head.start < limit && owner.only.is_some();
        due.set(member, if begins { owner.begin(core, logs, (member, lanes, cut), head) } else { head.start });
    }

    /// Handles everything strictly before `limit`. A function of its own, with all the registers to itself.
    #[inline(never)]
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        if self.is_news(logs) {
            self.hear_all(logs);
        }
        if self.moved && self.due.time() < limit {
            self.complete_moved(core, logs, limit);
        }
        while self.due.time() < limit {
            let member = self.due.position();
            let due = self.run_member(core, logs, member, limit);
            self.due.set(member, due);
        }
        debug_assert!(
            (0..self.members.len()).all(|member| self.due_of(logs, member) >= limit),
            "a member was due before {limit}"
        );
    }

    /// Records in hand of partitions that have moved on come first: their new owners wait for them.
    #[cold]
    fn complete_moved(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        self.moved = false;
        for member in 0..self.members.len() {
            let Some(begun) = &self.members[member].begun else { continue };
            if self.lanes[begun.lane as usize].owner.is_some_and(|owner| owner as usize == member) {
                continue;
            }
            if begun.done < limit {
                self.members[member].complete(core, logs, (member, &mut self.lanes, &mut self.cut));
                self.due.set(member, self.due_of(logs, member));
            } else {
                self.moved = true;
            }
        }
    }

    /// One member up to `limit`; when it next does something.
    #[inline(always)]
    fn run_member(&mut self, core: &mut Core, logs: &[&Log], member: usize, limit: u64) -> u64 {
        let Self { lanes, members, shares, cut, one_by_one, .. } = self;
        let owner = &mut members[member];
        // Where a record has begun and ended in time, there is reason to expect more.
        let mut more = !*one_by_one || owner.begun.is_none();
        loop {
            if let Some(begun) = &owner.begun {
                if begun.done >= limit {
                    return begun.done;
                }
                if more && owner.pace.plain && begun.is_as_it_began() && owner.only == Some(begun.lane) {
                    let lane = begun.lane as usize;
                    self.run_lane(core, logs, member, lane, limit);
                    return self.due_of(logs, member);
                }
                owner.complete(core, logs, (member, lanes, cut));
                more = true;
            }
            if !owner.pace.up {
                return u64::MAX;
            }
            let Some(head) = owner.head(&shares[member], lanes, logs) else { return u64::MAX };
            if head.start >= limit {
                return head.start;
            }
            owner.begin(core, logs, (member, lanes, cut), head);
        }
    }

    /// Gives every partition to a live member.
    fn assign(&mut self, core: &Core, now: u64) {
        let live: Vec<usize> = (0..self.members.len()).filter(|m| core.members[*m].is_up()).collect();
        let owners = core.assign(&live);
        self.shares.iter_mut().for_each(Vec::clear);
        for (lane, owner) in owners.into_iter().enumerate() {
            self.lanes[lane].owner = owner.map(number);
            let Some(owner) = owner else { continue };
            self.shares[owner].push(lane);
            // A record still in hand at an earlier owner keeps its partition until it is done.
            let others = self.members.iter().enumerate().filter(|(other, _)| *other != owner);
            if let Some(begun) = others.filter_map(|(_, other)| other.begun).find(|begun| begun.lane as usize == lane) {
                self.members[owner].free = self.members[owner].free.max(begun.done);
                self.moved = true;
            }
        }
        for (member, share) in self.members.iter_mut().zip(&self.shares) {
            member.free = member.free.max(now);
            member.only = if let [lane] = share[..] { Some(number(lane)) } else { None };
        }
    }

    /// A process ends: what it has in hand is cut off, its partitions go to others at once.
    pub(super) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if let Some(begun) = self.members[member].begun.take() {
            let (lane, record) = (begun.lane as usize, begun.record);
            let id = core.lanes[lane];
            core.busy += u128::from(now - begun.busy_from.min(now));
            let measured = u64::from(record.created >= core.warm_up);
            core.meter.cut_off += measured;
            core.meter.deliveries += measured;
            self.lanes[lane].next = begun.offset;
            let first = Handed { arrived: record.visible, start: begun.start };
            let first = if begun.again { self.cut.get(&lane).map_or(first, |cut| cut.1.first) } else { first };
            self.cut.insert(lane, (begun.offset, Again { first, arrived: now }));
            if core.meter.traces() {
                let mut trace = core.meter.trace_of(id.slot, id.partition, begun.offset, &record);
                (trace.start, trace.done, trace.member) = (SimTime(begun.start), SimTime(now), number(member));
                core.meter.trace(trace);
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
        self.heed(core);
        self.assign(core, now);
        self.look_at_all(logs);
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
        if let Some((begun, owner)) =
            state.begun.and_then(|begun| Some((begun, self.lanes[begun.lane as usize].owner? as usize)))
            && owner != member
        {
            self.members[owner].free = self.members[owner].free.max(begun.done);
        }
        self.look_at_all(logs);
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for begun in self.members.iter_mut().filter_map(|member| member.begun.as_mut()) {
            begun.busy_from = begun.busy_from.max(now);
        }
    }

    /// Worker time that handlers at work have spent so far, ns.
    pub(super) fn busy(&self, now: u64) -> u128 {
        let begun = self.members.iter().filter_map(|member| member.begun.as_ref());
        begun.map(|begun| u128::from(now.saturating_sub(begun.busy_from))).sum()
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
            let begun: Vec<u64> = self
                .members
                .iter()
                .filter_map(|m| m.begun)
                .filter(|b| b.lane as usize == lane)
                .map(|b| b.offset)
                .collect();
            for offset in self.lanes[lane].settled..log_lane.end() {
                let how = if begun.contains(&offset) { Conclusion::InFlight } else { Conclusion::Waiting };
                core.meter.conclude(id.slot, log_lane.at(offset), how);
            }
        }
        for begun in self.members.iter().filter_map(|member| member.begun) {
            core.busy += u128::from(end.saturating_sub(begun.busy_from));
            let created = begun.record.created;
            core.meter.deliveries += u64::from(created >= core.warm_up);
        }
    }
}

/// A member or a partition as it is stored.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("members and partitions fit 32 bits")
}

/// What comes of a record that has been done, after attempts that failed or handlers that were cut off.
#[inline(never)]
fn conclude(core: &mut Core, extra: Extra, begun: &Begun, again: Option<Again>) -> DeliveryResult {
    let (slot, record) = (core.lanes[begun.lane as usize].slot, &begun.record);
    core.meter.deliveries += u64::from(record.created >= core.warm_up);
    core.count_attempts(record.created, begun.attempts, begun.end);
    if begun.end != End::Success {
        core.meter.at(begun.done);
        core.meter.conclude(slot, record, Conclusion::Discarded);
        core.meter.never_done(GivenUp::new(Conclusion::Discarded, slot, record, extra));
        return DeliveryResult::Discarded;
    }
    let times = Times {
        first: again.map(|again| again.first),
        again: again.map(|_| outcome::Again::Crashed),
        arrived: again.map_or(record.visible, |again| again.arrived),
        start: begun.start,
        success: begun.success,
        retried: false,
        replayed: false,
        done: begun.done,
    };
    core.meter.effect(slot, record, extra, times, None)
}

/// Keeps a record of one delivery.
#[cold]
fn trace(
    core: &mut Core,
    (id, member): (LaneId, usize),
    offset: u64,
    record: &Record,
    (start, done): (u64, u64),
    result: DeliveryResult,
) {
    let mut trace = core.meter.trace_of(id.slot, id.partition, offset, record);
    (trace.start, trace.done, trace.settled) = (SimTime(start), SimTime(done), SimTime(done));
    (trace.member, trace.result) = (number(member), result);
    core.meter.trace(trace);
}
