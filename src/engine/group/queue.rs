//! Queue dispatch: members compete for messages, which are pushed to them in turn while they have credit, and settled one
//! by one. What comes back (a nack, a lost connection) takes its old place, near the head.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use super::fate::{End, slowed};
use super::meter::{Conclusion, Times};
use super::{Core, Lag};
use crate::dist::{About, Dist, NO_KEY};
use crate::engine::handler::Action;
use crate::engine::log::Log;
use crate::outcome::DeliveryResult;
use crate::plan::{ConsumerPlan, QueueDispatch, Settle};
use crate::random::Stream;
use crate::time::SimTime;

/// Queue dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    config: Config,
    lanes: Vec<Lane>,
    members: Vec<Member>,
    calendar: BinaryHeap<Reverse<(u64, u64, Due)>>,
    entries: u64,
    /// The member that is offered the next message first.
    turn: usize,
    credit_open: usize,
    held: BTreeMap<u32, u32>,
    woken: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Config {
    network: Dist,
    push: Stream,
    link: Stream,
    prefetch: u32,
    workers: u32,
    settle: Settle,
    dead_letter: Option<usize>,
    startup: Dist,
    startup_stream: Stream,
}

/// One queue of the subscription.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// First record that was never pushed.
    fresh: u64,
    returned: BTreeSet<u64>,
    /// Pushed, not settled; and held back before it returns.
    out: BTreeMap<u64, State>,
    settled: u64,
    /// Of the settled ones, those before this are all settled.
    floor: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    deliveries: u32,
    attempts: u32,
    effected: u64,
    /// Settled before its effect: it will not come again.
    settled: bool,
    /// The subscription's account of it is closed.
    concluded: bool,
    /// How it was given up, if it was.
    given_up: Option<Conclusion>,
    /// Number of the last recorded delivery, where deliveries are recorded one by one.
    trace: u32,
}

#[derive(Clone, Debug)]
struct Member {
    present: bool,
    /// Messages pushed and not settled.
    credit_used: u32,
    /// Everything under way at a lower epoch belongs to an earlier connection.
    epoch: u64,
    last_arrival: u64,
    pushes: u64,
    buffer: VecDeque<Item>,
    /// Pushed, not yet arrived.
    coming: u32,
    runs: Vec<Option<Run>>,
    idle: BinaryHeap<Reverse<u32>>,
    unsettled: BTreeSet<(usize, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    lane: usize,
    offset: u64,
    arrived: u64,
}

#[derive(Clone, Debug)]
struct Run {
    item: Item,
    start: u64,
    success: u64,
    busy_from: u64,
    attempts: u32,
    end: End,
    ends_at: u64,
    actions: Vec<Action>,
    at: usize,
    slow: f64,
    waits: u32,
    id: u64,
    attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A pushed message reaches its member.
    Arrive { member: usize, epoch: u64, item: Item },
    /// A handler goes on or ends.
    Work { member: usize, epoch: u64, worker: u32 },
    /// An acknowledgement, or a refusal, reaches the bus.
    Settle { member: usize, epoch: u64, lane: usize, offset: u64, back: bool },
    /// A message that was held back is ready again.
    Return { lane: usize, offset: u64 },
    /// A process that crashed by itself is ready again.
    Restart { member: usize },
    /// A pause is over.
    Resume { member: usize },
}

impl Queue {
    pub(super) fn new(core: &Core, consumer: &ConsumerPlan, dispatch: &QueueDispatch) -> Self {
        let stream = |purpose: &str| Stream::named(core.seed, &format!("{}/{purpose}", core.name));
        let config = Config {
            network: dispatch.network.clone(),
            push: stream("push"),
            link: stream("link"),
            prefetch: dispatch.prefetch.max(1),
            workers: consumer.workers,
            settle: consumer.settle,
            dead_letter: consumer.dead_letter.map(|topic| topic.0 as usize),
            startup: consumer.startup.clone(),
            startup_stream: stream("restart"),
        };
        let member = |index: usize| Member {
            present: core.members[index].is_up(),
            credit_used: 0,
            epoch: 0,
            last_arrival: 0,
            pushes: 0,
            buffer: VecDeque::new(),
            coming: 0,
            runs: vec![None; consumer.workers as usize],
            idle: (0..consumer.workers).map(Reverse).collect(),
            unsettled: BTreeSet::new(),
        };
        let members: Vec<Member> = (0..core.members.len()).map(member).collect();
        Self {
            credit_open: members.iter().filter(|member| member.present).count(),
            lanes: vec![Lane::default(); core.lanes.len()],
            members,
            calendar: BinaryHeap::new(),
            entries: 0,
            turn: 0,
            held: BTreeMap::new(),
            woken: Vec::new(),
            config,
        }
    }

    /// When the group next does something.
    pub(super) fn next(&mut self, core: &mut Core, logs: &[&Log]) -> u64 {
        let own = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
        own.min(self.next_push(core, logs)).min(self.next_output(core))
    }

    fn next_output(&self, core: &Core) -> u64 {
        if core.outputs.is_silent() {
            return u64::MAX;
        }
        (0..self.members.len()).map(|member| core.outputs.next(member)).min().unwrap_or(u64::MAX)
    }

    /// When a message that was never pushed can be: at once for one that waits, if anyone has credit.
    fn next_push(&self, core: &Core, logs: &[&Log]) -> u64 {
        if self.credit_open == 0 {
            return u64::MAX;
        }
        let heads = self.lanes.iter().enumerate();
        heads
            .filter_map(|(lane, state)| Some(core.log_lane(logs, lane).get(state.fresh)?.visible))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Handles everything strictly before `limit`.
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        for (slot, log) in logs.iter().enumerate() {
            core.meter.reach(slot, log);
        }
        loop {
            let own = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
            let output = self.next_output(core);
            let now = own.min(self.next_push(core, logs)).min(output);
            if now >= limit {
                return;
            }
            if output == now {
                self.step_outputs(core, logs, now);
            } else if own == now {
                let Reverse((_, _, due)) = self.calendar.pop().expect("just seen");
                self.step(core, logs, now, due);
            }
            self.push_ready(core, logs, now);
        }
    }

    fn schedule(&mut self, at: u64, due: Due) {
        self.entries += 1;
        self.calendar.push(Reverse((at, self.entries, due)));
    }

    fn step_outputs(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        for member in 0..self.members.len() {
            if core.outputs.next(member) > now {
                continue;
            }
            core.outputs.step(member, now);
            let mut woken = std::mem::take(&mut self.woken);
            core.outputs.woken(member, &mut woken);
            for worker in woken.drain(..) {
                let Some(run) = &mut self.members[member].runs[worker as usize] else { continue };
                run.waits = run.waits.saturating_sub(1);
                if run.waits == 0 {
                    self.work(core, logs, member, worker, now);
                }
            }
            self.woken = woken;
        }
    }

    fn step(&mut self, core: &mut Core, logs: &[&Log], now: u64, due: Due) {
        match due {
            Due::Arrive { member, epoch, item } => {
                if self.members[member].epoch == epoch {
                    self.members[member].coming -= 1;
                    self.members[member].buffer.push_back(item);
                    self.start_idle(core, logs, member, now);
                }
            }
            Due::Work { member, epoch, worker } => {
                let ends_at = self.members[member].runs[worker as usize].as_ref().map(|run| run.ends_at);
                if self.members[member].epoch == epoch && ends_at == Some(now) {
                    self.work(core, logs, member, worker, now);
                }
            }
            Due::Settle { member, epoch, lane, offset, back } => {
                self.settle(core, member, epoch, (lane, offset, back), now);
            }
            Due::Resume { member } => self.start_idle(core, logs, member, now),
            Due::Return { lane, offset } => {
                self.lanes[lane].returned.insert(offset);
            }
            Due::Restart { member } => {
                core.note_available(now);
                core.members[member].down -= 1;
                if core.members[member].is_up() {
                    self.join(core, logs, member, now);
                }
            }
        }
    }

    /// Pushes what is ready to members with credit, each in turn.
    fn push_ready(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        while self.credit_open > 0 {
            let Some((lane, offset)) = self.take_ready(core, logs, now) else { return };
            let member = self.next_with_credit();
            self.push(core, logs, member, lane, offset, now);
        }
    }

    /// The next message: what came back first (the oldest), then the first to become visible.
    fn take_ready(&mut self, core: &mut Core, logs: &[&Log], now: u64) -> Option<(usize, u64)> {
        loop {
            for (lane, state) in self.lanes.iter_mut().enumerate() {
                if let Some(offset) = state.returned.pop_first() {
                    return Some((lane, offset));
                }
            }
            let heads = self.lanes.iter().enumerate().filter_map(|(lane, state)| {
                let visible = core.log_lane(logs, lane).get(state.fresh)?.visible;
                (visible <= now).then_some((visible, lane))
            });
            let (_, lane) = heads.min()?;
            let offset = self.lanes[lane].fresh;
            self.lanes[lane].fresh += 1;
            if core.fates.wants_all() {
                return Some((lane, offset));
            }
            // The bus filters: what nobody wants never reaches the queue.
            let log_lane = core.log_lane(logs, lane);
            let record = *log_lane.at(offset);
            if core.fates.wants(&record, log_lane.extra(offset)) {
                return Some((lane, offset));
            }
            core.meter.conclude(core.lanes[lane].slot, &record, Conclusion::Filtered);
            self.lanes[lane].out.insert(offset, State::default());
            self.lanes[lane].settled_one(offset);
        }
    }

    fn next_with_credit(&mut self) -> usize {
        loop {
            let member = self.turn;
            self.turn = (self.turn + 1) % self.members.len();
            if self.members[member].present && self.members[member].credit_used < self.config.prefetch {
                return member;
            }
        }
    }

    fn take_credit(&mut self, member: usize) {
        self.members[member].credit_used += 1;
        self.credit_open -= usize::from(self.members[member].credit_used == self.config.prefetch);
    }

    fn give_credit(&mut self, member: usize) {
        self.credit_open += usize::from(self.members[member].credit_used == self.config.prefetch);
        self.members[member].credit_used -= 1;
    }

    fn push(&mut self, core: &mut Core, logs: &[&Log], member: usize, lane: usize, offset: u64, now: u64) {
        self.take_credit(member);
        self.lanes[lane].out.entry(offset).or_default();
        self.members[member].unsettled.insert((lane, offset));
        let (delay, dropped) = self.network(core, member, now);
        let state = &mut self.members[member];
        let arrived = now.saturating_add(delay).max(state.last_arrival);
        state.last_arrival = arrived;
        let (epoch, item) = (state.epoch, Item { lane, offset, arrived });
        if dropped {
            return self.disconnect(core, logs, member, now);
        }
        if arrived == now && state.coming == 0 {
            state.buffer.push_back(item);
            self.start_idle(core, logs, member, now);
        } else {
            state.coming += 1;
            self.schedule(arrived, Due::Arrive { member, epoch, item });
        }
    }

    /// Time on the way for the next transmission of a member, and whether it is lost.
    fn network(&mut self, core: &Core, member: usize, now: u64) -> (u64, bool) {
        let count = self.members[member].pushes;
        self.members[member].pushes += 1;
        let own = match self.config.network.constant() {
            Some(value) => core.rounding.span(value),
            None => {
                let mut draws = self.config.push.part(member as u64).at(count);
                core.rounding.up(self.config.network.whole(&mut draws, About::default()))
            }
        };
        if core.link.is_clean() {
            return (own, false);
        }
        let verdict = core.link.verdict(self.config.link.part(member as u64), count, now);
        (own + verdict.delay, verdict.dropped)
    }

    fn start_idle(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        while now >= core.members[member].paused_until && !self.members[member].idle.is_empty() {
            let Some(item) = self.members[member].buffer.pop_front() else { return };
            self.start(core, logs, member, item, now);
        }
    }

    fn start(&mut self, core: &mut Core, logs: &[&Log], member: usize, item: Item, now: u64) {
        let conditions = core.conditions(member);
        let slot = core.lanes[item.lane].slot;
        let log_lane = core.log_lane(logs, item.lane);
        let (record, extra) = (*log_lane.at(item.offset), log_lane.extra(item.offset));
        let measured = u64::from(record.created >= core.warm_up);
        let state = self.lanes[item.lane].out.entry(item.offset).or_default();
        core.meter.duplicates_deliveries += measured * u64::from(state.deliveries > 0);
        core.meter.deliveries += measured;
        state.deliveries += 1;
        let id = core.fates.id(slot, record.event);
        let about = core.fates.about(slot, &record, extra);
        let first = state.attempts + 1;
        let fate = core.fates.fate(id, about, (first, 1), conditions);
        state.attempts += fate.attempts;
        let attempt = state.attempts;
        if record.key != NO_KEY {
            let holders = self.held.entry(record.key).or_default();
            core.meter.overlap += measured * u64::from(*holders > 0);
            *holders += 1;
        }
        if self.config.settle == Settle::Before {
            self.lanes[item.lane].out.entry(item.offset).or_default().settled = true;
            self.send_settle(core, logs, member, item, false, now);
        }
        let worker = self.members[member].idle.pop().expect("an idle worker").0;
        let success = now.saturating_add(fate.lead);
        let mut run = Run {
            item,
            start: now,
            success,
            busy_from: now,
            attempts: fate.attempts,
            end: fate.end,
            ends_at: success.saturating_add(fate.service),
            actions: Vec::new(),
            at: 0,
            slow: conditions.slow,
            waits: 0,
            id,
            attempt,
        };
        if fate.end == End::Success && !core.fates.program.is_silent() {
            core.fates.program.actions(id, attempt, about, &mut run.actions);
            run.ends_at = success;
        }
        let (epoch, ends_at) = (self.members[member].epoch, run.ends_at);
        self.members[member].runs[worker as usize] = Some(run);
        self.schedule(ends_at, Due::Work { member, epoch, worker });
    }

    /// Goes on with a handler until it needs time or an acknowledgement, or is done.
    fn work(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, now: u64) {
        let Some(mut run) = self.members[member].runs[worker as usize].take() else { return };
        while let Some(action) = run.actions.get(run.at).cloned() {
            run.at += 1;
            match action {
                Action::Spend(0) => {}
                Action::Spend(span) => {
                    run.ends_at = now.saturating_add(slowed(span, run.slow));
                    let (epoch, ends_at) = (self.members[member].epoch, run.ends_at);
                    self.members[member].runs[worker as usize] = Some(run);
                    return self.schedule(ends_at, Due::Work { member, epoch, worker });
                }
                Action::Publish { step, copies } => {
                    let log_lane = core.log_lane(logs, run.item.lane);
                    let (record, extra) = (*log_lane.at(run.item.offset), log_lane.extra(run.item.offset));
                    for n in 0..copies {
                        let publishing = &core.fates.program.publishes[step];
                        let (topic, waits) = (publishing.plan.to.0 as usize, publishing.plan.wait_for_ack);
                        let drawn = publishing.draw(run.id, n, (record.key, extra.event_type, 1024));
                        run.waits += u32::from(waits);
                        core.outputs.publish(member, topic, now, drawn, extra.origin, waits.then_some(worker));
                    }
                    if run.waits > 0 {
                        run.ends_at = u64::MAX;
                        self.members[member].runs[worker as usize] = Some(run);
                        return;
                    }
                }
            }
        }
        self.complete(core, logs, member, worker, &run, now);
    }

    fn complete(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, run: &Run, now: u64) {
        let created = core.log_lane(logs, run.item.lane).at(run.item.offset).created;
        core.count_attempts(created, run.attempts, run.end);
        if run.end == End::Crash {
            self.members[member].runs[worker as usize] = Some(run.clone());
            return self.crash_itself(core, logs, member, now);
        }
        core.busy += u128::from(now - run.busy_from.min(now));
        let (item, epoch) = (run.item, self.members[member].epoch);
        let id = core.lanes[item.lane];
        let log_lane = core.log_lane(logs, item.lane);
        let (record, extra) = (*log_lane.at(item.offset), log_lane.extra(item.offset));
        self.release_key(record.key);
        let mut back = false;
        let result = match run.end {
            End::Success => {
                let known = self.lanes[item.lane].out.get(&item.offset).copied();
                if let Some(how) = known.and_then(|state| state.given_up) {
                    core.meter.retract(&record, how);
                }
                let earlier = known.map_or(0, |state| state.effected);
                let times = Times { arrived: item.arrived, start: run.start, success: run.success, done: now };
                let result = core.meter.effect(id.slot, &record, extra, times, (earlier > 0).then_some(earlier));
                if let Some(state) = self.lanes[item.lane].out.get_mut(&item.offset) {
                    state.concluded = true;
                    if result == DeliveryResult::Effect {
                        (state.effected, state.given_up) = (now.max(1), None);
                    }
                }
                result
            }
            _ if !core.fates.blocks()
                && run.attempt < core.fates.attempts()
                && self.config.settle == Settle::Before =>
            {
                // It was settled before: it cannot come back.
                core.meter.conclude(id.slot, &record, Conclusion::Skipped);
                DeliveryResult::Discarded
            }
            _ if !core.fates.blocks() && run.attempt < core.fates.attempts() => {
                back = true;
                DeliveryResult::Requeued
            }
            _ => {
                let open = self.lanes[item.lane].out.get(&item.offset).is_none_or(|state| !state.concluded);
                let how = self.give_up(core, member, (id.slot, &record, extra), open, now);
                if let Some(state) = self.lanes[item.lane].out.get_mut(&item.offset).filter(|_| open) {
                    let dead = how == DeliveryResult::DeadLettered;
                    state.given_up = Some(if dead { Conclusion::DeadLettered } else { Conclusion::Discarded });
                    state.concluded = true;
                }
                how
            }
        };
        self.traced(core, logs, run, now, result);
        if let Some(state) = self.lanes[item.lane].out.get_mut(&item.offset) {
            state.trace = core.meter.traced();
        }
        if self.config.settle != Settle::Before {
            self.send_settle(core, logs, member, item, back, now);
        }
        // A connection that drops with the answer frees all workers.
        if self.members[member].epoch == epoch {
            self.members[member].idle.push(Reverse(worker));
        }
        self.start_idle(core, logs, member, now);
    }

    fn give_up(
        &mut self,
        core: &mut Core,
        member: usize,
        (slot, record, extra): (usize, &crate::engine::log::Record, crate::engine::log::Extra),
        open: bool,
        now: u64,
    ) -> DeliveryResult {
        if let Some(topic) = self.config.dead_letter {
            core.outputs.publish(member, topic, now, (record.key, extra.event_type, 1024), extra.origin, None);
            if open {
                core.meter.conclude(slot, record, Conclusion::DeadLettered);
            }
            return DeliveryResult::DeadLettered;
        }
        if open {
            core.meter.conclude(slot, record, Conclusion::Discarded);
        }
        DeliveryResult::Discarded
    }

    fn release_key(&mut self, key: u32) {
        if let Some(holders) = self.held.get_mut(&key) {
            *holders -= 1;
            if *holders == 0 {
                self.held.remove(&key);
            }
        }
    }

    fn traced(&self, core: &mut Core, logs: &[&Log], run: &Run, done: u64, result: DeliveryResult) {
        if core.meter.traces() {
            let id = core.lanes[run.item.lane];
            let record = core.log_lane(logs, run.item.lane).at(run.item.offset);
            let mut trace = core.meter.trace_of(id.slot, id.partition, run.item.offset, record);
            (trace.start, trace.done, trace.result) = (SimTime(run.start), SimTime(done), result);
            core.meter.trace(|| trace);
        }
    }

    /// The member tells the bus what became of a message.
    fn send_settle(&mut self, core: &mut Core, logs: &[&Log], member: usize, item: Item, back: bool, now: u64) {
        let (delay, dropped) = self.network(core, member, now);
        if dropped {
            return self.disconnect(core, logs, member, now);
        }
        let epoch = self.members[member].epoch;
        if delay == 0 {
            self.settle(core, member, epoch, (item.lane, item.offset, back), now);
        } else {
            self.schedule(
                now.saturating_add(delay),
                Due::Settle { member, epoch, lane: item.lane, offset: item.offset, back },
            );
        }
    }

    fn settle(
        &mut self,
        core: &mut Core,
        member: usize,
        epoch: u64,
        (lane, offset, back): (usize, u64, bool),
        now: u64,
    ) {
        if self.members[member].epoch != epoch || !self.members[member].unsettled.remove(&(lane, offset)) {
            return;
        }
        self.give_credit(member);
        if !back {
            let delivery = self.lanes[lane].out.get(&offset).map_or(0, |state| state.trace);
            core.meter.settled(delivery, now);
            self.lanes[lane].settled_one(offset);
            return;
        }
        let attempts = self.lanes[lane].out.get(&offset).map_or(1, |state| state.attempts);
        let wait = core.fates.backoff(offset, attempts.max(1));
        if wait == 0 {
            self.lanes[lane].returned.insert(offset);
        } else {
            self.schedule(now.saturating_add(wait), Due::Return { lane, offset });
        }
    }

    /// A connection drops: what it held and had not settled comes back at once, in its old order.
    fn disconnect(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let runs: Vec<Run> = self.members[member].runs.iter_mut().filter_map(Option::take).collect();
        for run in runs {
            core.busy += u128::from(now - run.busy_from.min(now));
            let record = *core.log_lane(logs, run.item.lane).at(run.item.offset);
            core.meter.cut_off += u64::from(record.created >= core.warm_up);
            self.release_key(record.key);
            self.traced(core, logs, &run, now, DeliveryResult::CutOff);
            let state = self.lanes[run.item.lane].out.get(&run.item.offset).copied().unwrap_or_default();
            if self.config.settle == Settle::Before && state.effected == 0 {
                core.meter.conclude(core.lanes[run.item.lane].slot, &record, Conclusion::Skipped);
            }
        }
        let settle_before = self.config.settle == Settle::Before;
        let unsettled = std::mem::take(&mut self.members[member].unsettled);
        for (lane, offset) in unsettled {
            let settled = self.lanes[lane].out.get(&offset).is_some_and(|state| state.settled);
            if settle_before && settled {
                self.lanes[lane].settled_one(offset);
            } else {
                self.lanes[lane].returned.insert(offset);
            }
        }
        let was_full = self.members[member].credit_used == self.config.prefetch;
        let state = &mut self.members[member];
        self.credit_open += usize::from(state.present && was_full);
        (state.credit_used, state.coming) = (0, 0);
        state.epoch += 1;
        state.buffer.clear();
        state.idle = (0..self.config.workers).map(Reverse).collect();
    }

    /// A process ends; its connection drops with it.
    pub(super) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if self.members[member].present {
            self.disconnect(core, logs, member, now);
            self.members[member].present = false;
            self.credit_open -= 1;
            self.push_ready(core, logs, now);
        }
    }

    fn crash_itself(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        core.note_available(now);
        core.members[member].down += 1;
        core.outputs.abandon(member, core.warm_up);
        self.crash(core, logs, member, now);
        let startup = self.config.startup_stream.at(self.members[member].epoch ^ ((member as u64) << 32));
        let startup = self.config.startup.whole(&mut { startup }, About::default());
        self.schedule(now.saturating_add(core.rounding.up(startup).max(1)), Due::Restart { member });
    }

    /// A process is ready and connects.
    pub(super) fn join(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if !self.members[member].present {
            self.members[member].present = true;
            self.members[member].last_arrival = now;
            self.credit_open += 1;
            self.push_ready(core, logs, now);
        }
    }

    /// A member is not wanted any more: its connection closes, what it had not begun comes back; handlers are cut off.
    pub(super) fn leave(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.crash(core, logs, member, now);
    }

    /// A member stands still until `until`.
    pub(super) fn pause(&mut self, _: &mut Core, _: &[&Log], member: usize, now: u64, until: u64) {
        let (shift, epoch) = (until.saturating_sub(now), self.members[member].epoch);
        let mut moved = Vec::new();
        for (worker, run) in self.members[member].runs.iter_mut().enumerate() {
            if let Some(run) = run.as_mut().filter(|run| run.ends_at != u64::MAX) {
                run.ends_at = run.ends_at.saturating_add(shift);
                run.busy_from = run.busy_from.saturating_add(shift);
                moved.push((run.ends_at, u32::try_from(worker).expect("workers fit 32 bits")));
            }
        }
        for (at, worker) in moved {
            self.schedule(at, Due::Work { member, epoch, worker });
        }
        self.schedule(until, Due::Resume { member });
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for run in self.members.iter_mut().flat_map(|member| member.runs.iter_mut().flatten()) {
            run.busy_from = run.busy_from.max(now);
        }
    }

    /// Messages not settled of one queue at `now`, and the creation of the oldest.
    pub(super) fn lag(&self, lane: usize, log_lane: &crate::engine::log::Lane, now: u64) -> Lag {
        let state = &self.lanes[lane];
        let end = log_lane.visible_end(state.floor, now);
        let records = end - state.settled.min(end);
        let oldest = state.oldest();
        Lag { records, oldest: (records > 0 && oldest < end).then(|| log_lane.at(oldest).created) }
    }

    /// Lowest offset that is still needed.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        let held = self.members.iter().flat_map(|member| member.runs.iter().flatten());
        let held = held.filter(|run| run.item.lane == lane).map(|run| run.item.offset).min();
        self.lanes[lane].floor.min(self.lanes[lane].oldest()).min(held.unwrap_or(u64::MAX))
    }

    /// Settles the accounts of what was not finished.
    pub(super) fn finish(&mut self, core: &mut Core, logs: &[&Log], end: u64) {
        let mut running = BTreeSet::new();
        for run in self.members.iter().flat_map(|member| member.runs.iter().flatten()) {
            core.busy += u128::from(end.saturating_sub(run.busy_from));
            running.insert((run.item.lane, run.item.offset));
        }
        for (lane, offset) in &running {
            let open = self.lanes[*lane].out.get(offset).is_none_or(|state| !state.concluded);
            if open {
                core.meter.conclude(
                    core.lanes[*lane].slot,
                    core.log_lane(logs, *lane).at(*offset),
                    Conclusion::InFlight,
                );
            }
        }
        for lane in 0..self.lanes.len() {
            let log_lane = core.log_lane(logs, lane);
            let slot = core.lanes[lane].slot;
            let open = self.lanes[lane].out.iter().filter(|(_, state)| !state.concluded);
            for (offset, _) in open.filter(|(offset, _)| !running.contains(&(lane, **offset))) {
                core.meter.conclude(slot, log_lane.at(*offset), Conclusion::Waiting);
            }
            for offset in self.lanes[lane].fresh..log_lane.end() {
                core.meter.conclude(slot, log_lane.at(offset), Conclusion::Waiting);
            }
        }
    }
}

impl Lane {
    /// Offset of the oldest message that is not settled.
    fn oldest(&self) -> u64 {
        self.out.first_key_value().map_or(self.fresh, |(offset, _)| *offset)
    }

    fn settled_one(&mut self, offset: u64) {
        self.out.remove(&offset);
        self.settled += 1;
        self.floor = self.oldest();
    }
}
