//! Queue dispatch: members compete for messages, which are pushed to them in turn while they have credit, and settled one
//! by one. What comes back (a nack, a lost connection) takes its old place, near the head.
//!
//! A member's connection outlives no process, but a process outlives its connections. A transmission that is lost breaks
//! the connection without a word: what is pushed into it and what handlers answer is lost too, until both ends notice that
//! the other is silent. Then all that was not settled comes back, while handlers that hold some of it go on, and the member
//! connects anew.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use super::fate::End;
use super::meter::{Conclusion, GivenUp, Handed, Meter, Times};
use super::run::{Item, Next, Run};
use super::{Core, Lag};
use crate::engine::delegate::Ended;
use crate::engine::log::{Extra, Log, Record};
use crate::outcome::{Again, DeliveryResult};
use crate::plan::{ConsumerPlan, QueueDispatch, Settle};

/// Queue dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    config: Config,
    lanes: Vec<Lane>,
    members: Vec<Member>,
    calendar: BinaryHeap<Reverse<(u64, u64, Due)>>,
    entries: u64,
    /// Messages pushed so far.
    pushes: u64,
    /// The member that is offered the next message first.
    turn: usize,
    credit_open: usize,
    woken: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Config {
    prefetch: u32,
    silence: u64,
    reconnect: u64,
    settle: Settle,
    dead_letter: Option<usize>,
}

/// One queue of the subscription.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// First record that was never pushed.
    fresh: u64,
    returned: BTreeSet<u64>,
    /// Pushed, and not yet both settled and out of all hands.
    out: BTreeMap<u64, State>,
    settled: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    deliveries: u32,
    attempts: u32,
    first: Option<Handed>,
    /// Why it last came back before it was settled, if it did.
    again: Option<Again>,
    /// Handlers that hold it.
    hands: u32,
    effected: u64,
    /// It will not be delivered again: its acknowledgement is under way.
    acknowledged: bool,
    /// The bus has forgotten it.
    settled: bool,
    /// The subscription's account of it is closed.
    concluded: bool,
    /// How it was given up, if it was, and which event it is.
    given_up: Option<GivenUp>,
    /// Number of the last recorded delivery, where deliveries are recorded one by one.
    trace: u32,
}

#[derive(Clone, Debug)]
struct Member {
    /// The bus pushes to it.
    taking: bool,
    /// What is sent on its connection arrives.
    intact: bool,
    /// Counts its connections.
    connection: u64,
    /// Messages pushed and not settled, with the number of the push.
    unsettled: BTreeMap<(usize, u64), u64>,
    last_arrival: u64,
    buffer: VecDeque<Item>,
    /// Pushed, not yet arrived.
    coming: u32,
    runs: Vec<Option<Run>>,
    idle: BinaryHeap<Reverse<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A pushed message reaches its member.
    Arrive { member: usize, item: Item },
    /// A handler goes on or ends.
    Work { member: usize, worker: u32, tag: u64 },
    /// An acknowledgement, or a refusal with the wait that follows it, reaches the bus.
    Settle { member: usize, item: Item, back: Option<u64> },
    /// A message that was held back is ready again.
    Return { lane: usize, offset: u64 },
    /// Both ends of a broken connection have missed each other for too long.
    Missed { member: usize, connection: u64 },
    /// A member connects anew.
    Connect { member: usize, connection: u64 },
    /// A process that crashed by itself is ready again.
    Restart { member: usize },
    /// A pause is over.
    Resume { member: usize },
}

impl Queue {
    pub(super) fn new(core: &Core, consumer: &ConsumerPlan, dispatch: &QueueDispatch) -> Self {
        let member = |index: usize| Member {
            taking: core.members[index].is_up(),
            intact: core.members[index].is_up(),
            connection: 0,
            unsettled: BTreeMap::new(),
            last_arrival: 0,
            buffer: VecDeque::new(),
            coming: 0,
            runs: vec![None; consumer.workers as usize],
            idle: (0..consumer.workers).map(Reverse).collect(),
        };
        let members: Vec<Member> = (0..core.members.len()).map(member).collect();
        Self {
            config: Config {
                prefetch: dispatch.prefetch.max(1),
                silence: dispatch.silence.0.max(1),
                reconnect: dispatch.reconnect.0.max(1),
                settle: consumer.settle,
                dead_letter: consumer.dead_letter.map(|topic| topic.0 as usize),
            },
            credit_open: members.iter().filter(|member| member.taking).count(),
            lanes: vec![Lane::default(); core.lanes.len()],
            members,
            calendar: BinaryHeap::new(),
            entries: 0,
            pushes: 0,
            turn: 0,
            woken: Vec::new(),
        }
    }

    /// When the group next does something.
    #[inline(never)]
    pub(super) fn next(&mut self, core: &mut Core, logs: &[&Log]) -> u64 {
        let own = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
        own.min(self.next_push(core, logs)).min(self.next_output(core))
    }

    fn next_output(&self, core: &Core) -> u64 {
        if core.outputs.is_silent() {
            return u64::MAX;
        }
        (0..self.members.len()).map(|member| output_due(core, member)).min().unwrap_or(u64::MAX)
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
    #[inline(never)]
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        loop {
            let own = self.calendar.peek().map_or(u64::MAX, |entry| entry.0.0);
            let output = self.next_output(core);
            let now = own.min(self.next_push(core, logs)).min(output);
            if now >= limit {
                return;
            }
            core.meter.at(now);
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
            if output_due(core, member) > now {
                continue;
            }
            core.outputs.step(member, now);
            let mut woken = std::mem::take(&mut self.woken);
            core.outputs.woken(member, &mut woken);
            for worker in woken.drain(..) {
                // A process that ends takes its clients with it: whoever waits is there.
                let run = self.members[member].runs[worker as usize].as_mut().expect("a handler that waits");
                if run.acknowledged() {
                    self.work(core, logs, member, worker, now);
                }
            }
            self.woken = woken;
        }
    }

    fn step(&mut self, core: &mut Core, logs: &[&Log], now: u64, due: Due) {
        match due {
            Due::Arrive { member, item } => {
                if self.members[member].holds(item) {
                    self.members[member].coming -= 1;
                    self.members[member].buffer.push_back(item);
                    self.start_idle(core, logs, member, now);
                }
            }
            Due::Work { member, worker, tag } => {
                let run = self.members[member].runs[worker as usize].as_ref();
                if run.is_some_and(|run| run.item.tag == tag && run.ends_at == now) {
                    self.work(core, logs, member, worker, now);
                }
            }
            Due::Settle { member, item, back } => self.settle(core, member, item, back, now),
            Due::Resume { member } => self.start_idle(core, logs, member, now),
            Due::Return { lane, offset } => {
                self.lanes[lane].returned.insert(offset);
            }
            Due::Missed { member, connection } => {
                if self.members[member].connection == connection {
                    let stands_still = core.members[member].paused_until > now;
                    let why = if stands_still { Again::SessionTimedOut } else { Again::ConnectionLost };
                    self.disconnect(core, member, why);
                    self.connect_again(member, now);
                }
            }
            Due::Connect { member, connection } => {
                if self.members[member].connection == connection && core.members[member].is_up() {
                    self.connect(core, member, now);
                }
            }
            Due::Restart { member } => {
                if core.restart_itself(member, now) {
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
            self.push(core, logs, member, (lane, offset), now);
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
            let extra = core.extra(logs, lane, offset);
            if core.fates.wants(&record, extra) {
                return Some((lane, offset));
            }
            core.meter.miss(core.lanes[lane].slot, &record, extra, Conclusion::Filtered);
            self.lanes[lane].settle(&mut core.meter, offset);
        }
    }

    fn next_with_credit(&mut self) -> usize {
        loop {
            let member = self.turn;
            self.turn = (self.turn + 1) % self.members.len();
            if self.members[member].taking && self.has_credit(member) {
                return member;
            }
        }
    }

    fn has_credit(&self, member: usize) -> bool {
        self.members[member].unsettled.len() < self.config.prefetch as usize
    }

    /// The bus begins or ceases to push to a member.
    fn set_taking(&mut self, member: usize, taking: bool) {
        if std::mem::replace(&mut self.members[member].taking, taking) != taking && self.has_credit(member) {
            if taking { self.credit_open += 1 } else { self.credit_open -= 1 }
        }
    }

    /// A message is settled, or comes back: its credit is free again.
    fn take_back(&mut self, member: usize, lane: usize, offset: u64) {
        let had_credit = self.has_credit(member);
        self.members[member].unsettled.remove(&(lane, offset));
        self.credit_open += usize::from(self.members[member].taking && !had_credit && self.has_credit(member));
    }

    fn push(&mut self, core: &mut Core, logs: &[&Log], member: usize, (lane, offset): (usize, u64), now: u64) {
        self.pushes += 1;
        let tag = self.pushes;
        self.lanes[lane].out.entry(offset).or_default();
        self.members[member].unsettled.insert((lane, offset), tag);
        self.credit_open -= usize::from(!self.has_credit(member));
        let (delay, verdict) = core.wire.send(member, now);
        if verdict.dropped {
            self.break_connection(member, now);
        }
        let state = &mut self.members[member];
        if !state.intact {
            return;
        }
        let arrived = now.saturating_add(delay).max(state.last_arrival);
        state.last_arrival = arrived;
        let item = Item { lane, offset, arrived, tag, first: None };
        if arrived == now && state.coming == 0 {
            state.buffer.push_back(item);
            self.start_idle(core, logs, member, now);
        } else {
            state.coming += 1;
            self.schedule(arrived, Due::Arrive { member, item });
        }
    }

    fn start_idle(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        while now >= core.members[member].paused_until && !self.members[member].idle.is_empty() {
            let Some(item) = self.members[member].buffer.pop_front() else { return };
            self.start(core, logs, member, item, now);
        }
    }

    fn start(&mut self, core: &mut Core, logs: &[&Log], member: usize, mut item: Item, now: u64) {
        let record = *core.log_lane(logs, item.lane).at(item.offset);
        let state = self.lanes[item.lane].out.entry(item.offset).or_default();
        core.held.begin();
        core.count_delivery(core.lanes[item.lane].slot, &record, state.deliveries > 0);
        state.deliveries += 1;
        state.hands += 1;
        item.first = state.first;
        state.first.get_or_insert(Handed { arrived: item.arrived, start: now });
        let worker = self.members[member].idle.pop().expect("an idle worker").0;
        let who = (member, worker);
        let mut run = Run::begin(core, logs, who, (item, Vec::new()), (state.attempts + 1, 1), now);
        state.attempts = run.attempt;
        if run.end == End::Failed && !core.fates.blocks() && !run.is_away() {
            // What fails in no time and goes back at once would come back for ever at one instant.
            run.ends_at = run.ends_at.max(now + 1);
        }
        if self.config.settle == Settle::Before && self.send_settle(core, member, item, None, now) {
            self.lanes[item.lane].acknowledge(item.offset);
        }
        if run.ends_at != u64::MAX {
            self.schedule(run.ends_at, Due::Work { member, worker, tag: item.tag });
        }
        self.members[member].runs[worker as usize] = Some(run);
    }

    /// Goes on with a handler until it needs time or an acknowledgement, or is done.
    fn work(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, now: u64) {
        let mut run = self.members[member].runs[worker as usize].take().expect("a handler that goes on");
        match run.go_on(core, logs, (member, worker), now) {
            Next::At(at) => self.schedule(at, Due::Work { member, worker, tag: run.item.tag }),
            Next::Told => {}
            Next::Asks | Next::Refused => unreachable!("queues have no transactions"),
            Next::Done => return self.complete(core, logs, (member, worker), run, now),
        }
        if run.is_away() {
            let state = self.lanes[run.item.lane].out.get_mut(&run.item.offset);
            state.expect("a message in hand is known").attempts = run.attempt;
        }
        self.members[member].runs[worker as usize] = Some(run);
    }

    /// An attempt that runs in the mesh has ended.
    pub(super) fn ended(&mut self, now: u64, ended: Ended) {
        let Ended { member, worker, run, how } = ended;
        let Some(it) = self.members[member].runs[worker as usize].as_mut() else { return };
        let tag = it.item.tag;
        if let Some(at) = it.back(run, how, now) {
            self.schedule(at, Due::Work { member, worker, tag });
        }
    }

    /// All handlers that are running.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.members.iter().flat_map(|member| member.runs.iter().flatten())
    }

    fn complete(&mut self, core: &mut Core, logs: &[&Log], (member, worker): (usize, u32), run: Run, now: u64) {
        let item = run.item;
        core.count_attempts(core.log_lane(logs, item.lane).at(item.offset).created, run.attempts, run.end);
        if run.end == End::Crash {
            self.members[member].runs[worker as usize] = Some(run);
            let ready = core.crash_itself(member, now);
            self.crash(core, logs, member, now);
            return self.schedule(ready, Due::Restart { member });
        }
        core.busy += u128::from(now - run.busy_from.min(now));
        let result = self.conclude(core, logs, member, &run, now);
        let trace = core.let_go(logs, item, (member, run.start, now), result);
        if let Some(state) = self.lanes[item.lane].out.get_mut(&item.offset) {
            state.trace = trace;
        }
        self.let_go(core, logs, item);
        if self.config.settle != Settle::Before {
            let back = (result == DeliveryResult::Requeued).then(|| core.fates.backoff(run.id, run.attempt));
            self.send_settle(core, member, item, back, now);
        }
        self.members[member].idle.push(Reverse(worker));
        self.start_idle(core, logs, member, now);
    }

    /// What the end of a handler means for the subscription.
    fn conclude(&mut self, core: &mut Core, logs: &[&Log], member: usize, run: &Run, now: u64) -> DeliveryResult {
        let Item { lane, offset, arrived, first, .. } = run.item;
        let slot = core.lanes[lane].slot;
        let (record, extra) = (*core.log_lane(logs, lane).at(offset), core.extra(logs, lane, offset));
        let state = self.lanes[lane].out.get_mut(&offset).expect("a message in hand is known");
        if run.end == End::Success {
            if let Some(given_up) = state.given_up {
                core.meter.retract(slot, &record, given_up.how);
            }
            let (start, success) = (run.start, run.success);
            let (again, retried, replayed) = (state.again, false, false);
            let times = Times { first, again, arrived, start, success, retried, replayed, done: now };
            let earlier = (state.effected > 0).then_some(state.effected);
            let result = core.meter.effect(slot, &record, extra, times, earlier);
            state.concluded = true;
            if result == DeliveryResult::Effect {
                (state.effected, state.given_up) = (now.max(1), None);
            }
            return result;
        }
        if !core.fates.blocks() && run.attempt < core.fates.attempts() {
            // What was acknowledged before cannot come back: it is lost once nobody holds it.
            let lost = self.config.settle == Settle::Before;
            return if lost { DeliveryResult::Discarded } else { DeliveryResult::Requeued };
        }
        let open = !std::mem::replace(&mut state.concluded, true);
        let (how, result) = match self.config.dead_letter {
            Some(_) => (Conclusion::DeadLettered, DeliveryResult::DeadLettered),
            None => (Conclusion::Discarded, DeliveryResult::Discarded),
        };
        if open {
            state.given_up = Some(GivenUp::new(how, slot, &record, extra));
            core.meter.conclude(slot, &record, how);
        }
        self.dead_letter(core, member, &record, extra, now);
        result
    }

    fn dead_letter(&self, core: &mut Core, member: usize, record: &Record, extra: Extra, now: u64) {
        if let Some(topic) = self.config.dead_letter {
            core.dead_letter(member, topic, record, extra, now);
        }
    }

    /// A handler holds a message no longer. One that will not come again and is in no hand is lost without an effect.
    fn let_go(&mut self, core: &mut Core, logs: &[&Log], item: Item) {
        let lane = &mut self.lanes[item.lane];
        let state = lane.out.get_mut(&item.offset).expect("a message in hand is known");
        state.hands -= 1;
        if state.hands == 0 && state.acknowledged && !std::mem::replace(&mut state.concluded, true) {
            let record = core.log_lane(logs, item.lane).at(item.offset);
            let extra = core.extra(logs, item.lane, item.offset);
            core.meter.miss(core.lanes[item.lane].slot, record, extra, Conclusion::Acknowledged);
        }
        lane.forget(&mut core.meter, item.offset);
    }

    /// The member tells the bus what became of a message. Whether it will hear: not on another connection than the one
    /// that brought the message, nor on one that is broken.
    fn send_settle(&mut self, core: &mut Core, member: usize, item: Item, back: Option<u64>, now: u64) -> bool {
        if !self.members[member].holds(item) || !self.members[member].intact {
            return false;
        }
        let (delay, verdict) = core.wire.send(member, now);
        if verdict.response_lost {
            self.break_connection(member, now);
            return false;
        }
        if delay == 0 {
            self.settle(core, member, item, back, now);
        } else {
            self.schedule(now.saturating_add(delay), Due::Settle { member, item, back });
        }
        true
    }

    fn settle(&mut self, core: &mut Core, member: usize, item: Item, back: Option<u64>, now: u64) {
        if !self.members[member].holds(item) {
            return;
        }
        self.take_back(member, item.lane, item.offset);
        let lane = &mut self.lanes[item.lane];
        match back {
            None => {
                core.meter.settled(lane.out.get(&item.offset).map_or(0, |state| state.trace), now);
                lane.settle(&mut core.meter, item.offset);
            }
            Some(0) => drop(lane.returned.insert(item.offset)),
            Some(wait) => {
                self.schedule(now.saturating_add(wait), Due::Return { lane: item.lane, offset: item.offset });
            }
        }
    }

    /// Something is lost on a member's connection: nothing more gets through, and nobody knows yet.
    fn break_connection(&mut self, member: usize, now: u64) {
        if std::mem::take(&mut self.members[member].intact) {
            let connection = self.members[member].connection;
            self.schedule(now.saturating_add(self.config.silence), Due::Missed { member, connection });
        }
    }

    /// A connection is gone: what it held and had not settled comes back at once, in its old order.
    fn disconnect(&mut self, core: &mut Core, member: usize, why: Again) {
        self.set_taking(member, false);
        let state = &mut self.members[member];
        state.intact = false;
        state.connection += 1;
        state.coming = 0;
        state.buffer.clear();
        for (lane, offset) in std::mem::take(&mut state.unsettled).into_keys() {
            self.lanes[lane].come_back(&mut core.meter, offset, Some(why));
        }
    }

    /// A member connects, if it is let through; else it tries again.
    fn connect(&mut self, core: &mut Core, member: usize, now: u64) {
        let paused_until = core.members[member].paused_until;
        if paused_until > now {
            let connection = self.members[member].connection;
            return self.schedule(paused_until, Due::Connect { member, connection });
        }
        if core.wire.meet(member, now).dropped {
            return self.connect_again(member, now);
        }
        let state = &mut self.members[member];
        state.intact = true;
        state.connection += 1;
        state.last_arrival = now;
        self.set_taking(member, true);
    }

    fn connect_again(&mut self, member: usize, now: u64) {
        let connection = self.members[member].connection;
        self.schedule(now.saturating_add(self.config.reconnect), Due::Connect { member, connection });
    }

    /// A process ends: its handlers are cut off, and its connection closes with it.
    pub(super) fn crash(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let runs: Vec<Run> = self.members[member].runs.iter_mut().filter_map(Option::take).collect();
        self.members[member].idle = (0..core.workers).map(Reverse).collect();
        for run in runs {
            core.busy += u128::from(now - run.busy_from.min(now));
            let created = core.log_lane(logs, run.item.lane).at(run.item.offset).created;
            core.meter.cut_off += u64::from(created >= core.warm_up);
            let _ = core.let_go(logs, run.item, (member, run.start, now), DeliveryResult::CutOff);
            self.let_go(core, logs, run.item);
        }
        self.disconnect(core, member, Again::Crashed);
        self.push_ready(core, logs, now);
    }

    /// A process is ready: it connects.
    pub(super) fn join(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        // One that was about to leave goes on with the connection that it has.
        if !self.members[member].intact {
            self.disconnect(core, member, Again::ConnectionLost);
        }
        self.connect(core, member, now);
        self.push_ready(core, logs, now);
    }

    /// A member is not wanted any more: what it has not begun comes back at once, and its connection stays until its
    /// handlers are done.
    pub(super) fn leave(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.set_taking(member, false);
        let state = &mut self.members[member];
        state.buffer.clear();
        state.coming = 0;
        let begun: BTreeSet<u64> = state.runs.iter().flatten().map(|run| run.item.tag).collect();
        let (kept, back) = std::mem::take(&mut state.unsettled).into_iter().partition(|(_, tag)| begun.contains(tag));
        state.unsettled = kept;
        let back: BTreeMap<(usize, u64), u64> = back;
        for (lane, offset) in back.into_keys() {
            self.lanes[lane].come_back(&mut core.meter, offset, None);
        }
        self.push_ready(core, logs, now);
    }

    /// Whether a member's process has something to finish.
    pub(super) fn lingers(&self, member: usize) -> bool {
        let state = &self.members[member];
        !state.unsettled.is_empty() || state.runs.iter().any(Option::is_some)
    }

    /// A member stands still until the time that its conditions say; what is in hand is late by `shift`. When the bus has
    /// not heard of it for too long, it takes the connection for dead.
    pub(super) fn pause(&mut self, core: &mut Core, _: &[&Log], member: usize, now: u64, shift: u64) {
        let missed = core.members[member].paused_since.saturating_add(self.config.silence);
        if missed < core.members[member].paused_until {
            let connection = self.members[member].connection;
            self.schedule(missed.max(now), Due::Missed { member, connection });
        }
        let mut moved = Vec::new();
        for (worker, run) in (0..).zip(&mut self.members[member].runs) {
            let Some(run) = run else { continue };
            run.shift(shift);
            if run.ends_at != u64::MAX {
                moved.push((run.ends_at, Due::Work { member, worker, tag: run.item.tag }));
            }
        }
        for (at, due) in moved {
            self.schedule(at, due);
        }
        self.schedule(core.members[member].paused_until, Due::Resume { member });
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for run in self.members.iter_mut().flat_map(|member| member.runs.iter_mut().flatten()) {
            run.busy_from = run.busy_from.max(now);
        }
    }

    /// Worker time that handlers at work have spent so far, ns.
    pub(super) fn busy(&self, now: u64) -> u128 {
        self.runs().map(|run| u128::from(now.saturating_sub(run.busy_from))).sum()
    }

    /// Messages not settled of one queue at `now`, and the creation of the oldest.
    pub(super) fn lag(&self, lane: usize, log_lane: &crate::engine::log::Lane, now: u64) -> Lag {
        let state = &self.lanes[lane];
        let end = log_lane.visible_end(state.known_from(), now);
        let records = end - state.settled.min(end);
        let oldest = state.out.iter().find(|(_, state)| !state.settled).map_or(state.fresh, |(offset, _)| *offset);
        Lag { records, oldest: (records > 0 && oldest < end).then(|| log_lane.at(oldest).created) }
    }

    /// Lowest offset that is still needed.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        self.lanes[lane].known_from()
    }

    /// Settles the accounts of what was not finished.
    pub(super) fn finish(&mut self, core: &mut Core, logs: &[&Log], end: u64) {
        for run in self.members.iter().flat_map(|member| member.runs.iter().flatten()) {
            core.busy += u128::from(end.saturating_sub(run.busy_from));
        }
        for (lane, state) in self.lanes.iter().enumerate() {
            let log_lane = core.log_lane(logs, lane);
            let slot = core.lanes[lane].slot;
            for (offset, state) in state.out.iter().filter(|(_, state)| !state.concluded) {
                let how = if state.hands > 0 { Conclusion::InFlight } else { Conclusion::Waiting };
                core.meter.conclude(slot, log_lane.at(*offset), how);
            }
            for offset in state.fresh..log_lane.end() {
                core.meter.conclude(slot, log_lane.at(offset), Conclusion::Waiting);
            }
        }
    }
}

/// When a member's clients next do something: they stand still with it.
fn output_due(core: &Core, member: usize) -> u64 {
    let due = core.outputs.next(member);
    if due == u64::MAX { due } else { due.max(core.members[member].paused_until) }
}

impl Member {
    /// Whether this push is open.
    fn holds(&self, item: Item) -> bool {
        self.unsettled.get(&(item.lane, item.offset)) == Some(&item.tag)
    }
}

impl Lane {
    /// Offset of the oldest message that is not settled, or still in some hand.
    fn known_from(&self) -> u64 {
        self.out.first_key_value().map_or(self.fresh, |(offset, _)| *offset)
    }

    /// The bus will forget a message, whatever comes of it.
    fn acknowledge(&mut self, offset: u64) {
        self.out.entry(offset).or_default().acknowledged = true;
    }

    /// The bus forgets a message.
    fn settle(&mut self, meter: &mut Meter, offset: u64) {
        let state = self.out.entry(offset).or_default();
        (state.acknowledged, state.settled) = (true, true);
        self.settled += 1;
        self.forget(meter, offset);
    }

    /// A connection that held a message is gone, or does not want it any more: why it comes back, if it was held.
    fn come_back(&mut self, meter: &mut Meter, offset: u64, why: Option<Again>) {
        let state = self.out.entry(offset).or_default();
        if state.acknowledged {
            self.settle(meter, offset);
        } else {
            state.again = why.or(state.again);
            self.returned.insert(offset);
        }
    }

    /// Nothing more can come of a message that is settled and in no hand.
    fn forget(&mut self, meter: &mut Meter, offset: u64) {
        if let Entry::Occupied(state) = self.out.entry(offset)
            && state.get().settled
            && state.get().hands == 0
            && let Some(given_up) = state.remove().given_up
        {
            meter.never_done(given_up);
        }
    }
}
