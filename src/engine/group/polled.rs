//! Polled dispatch: each partition has one owner, which fetches by long poll, hands records to its workers and settles by
//! position. Membership changes go through a barrier (see `rounds.rs`).
//!
//! ```text
//! log --fetch response--> buffer --poll--> ready --worker--> effect --> prefix --commit--> committed
//! ```

mod member;
mod rounds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use member::{Chunk, Fetch, Member, Session};
use rounds::Rounds;

use super::fate::End;
use super::meter::{Conclusion, Handed, Meter, Times};
use super::run::{Item, Next, Run, numbered};
use super::{Core, Lag};
use crate::dist::NO_KEY;
use crate::engine::log::Log;
use crate::outcome::DeliveryResult;
use crate::plan::{BatchPlan, ConsumerPlan, LogDispatch, Membership, Plan, Settle, WorkerOrder};

/// Polled dispatch of one group.
#[derive(Clone, Debug)]
pub(super) struct Polled {
    config: Config,
    lanes: Vec<Lane>,
    members: Vec<Member>,
    /// When each member next does something.
    due: Vec<u64>,
    rounds: Rounds,
    /// Next wake of a scheduled consumer.
    wake: u64,
    seen: u64,
    woken: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Config {
    request_timeout: u64,
    max_poll: usize,
    max_fetch: u64,
    commit_each: bool,
    /// Nothing lies between a visible record and an idle worker: what waits, waits for a worker.
    instant: bool,
    settle: Settle,
    workers: u32,
    order: WorkerOrder,
    batch: Option<BatchPlan>,
    every: Option<u64>,
    dead_letter: Option<usize>,
}

/// One partition, as the group knows it. `committed <= polled <= fetched`, and `prefix <= polled`.
#[derive(Clone, Debug)]
struct Lane {
    broker: usize,
    owner: Option<usize>,
    committed: u64,
    /// All before this are finished in this assignment.
    prefix: u64,
    finished: BTreeSet<u64>,
    polled: u64,
    fetched: u64,
    /// A scheduled consumer takes records before this only.
    awake: u64,
    /// Highest offset ever handed to a member, plus one.
    reached: u64,
    marks: VecDeque<Mark>,
    marks_from: u64,
    /// Where deliveries are recorded one by one: when positions were settled whose delivery had not ended.
    settled_early: BTreeMap<u64, u64>,
}

/// What is known of a record that is in hand or not settled.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Its first delivery, if a handler has taken it.
    first: Option<Handed>,
    concluded: bool,
    /// How it was given up, if it was, and which event it is.
    given_up: Option<(Conclusion, u32)>,
    effected: u64,
    attempts: u32,
    trace: u32,
}

impl Polled {
    pub(super) fn new(core: &Core, plan: &Plan, consumer: &ConsumerPlan, dispatch: &LogDispatch) -> Self {
        let rounds = Rounds::new(&consumer.membership, core);
        let config = Config {
            request_timeout: dispatch.request_timeout.0.max(1),
            max_poll: dispatch.max_poll_records as usize,
            max_fetch: u64::from(dispatch.max_fetch_records).max(1),
            commit_each: dispatch.commit_each,
            instant: consumer.membership == Membership::Immediate
                && dispatch.network.constant() == Some(0.0)
                && dispatch.max_poll_records == u32::MAX
                && consumer.batch.is_none()
                && consumer.schedule.is_none()
                && core.wire.is_clean(),
            settle: consumer.settle,
            workers: consumer.workers,
            order: consumer.order,
            batch: consumer.batch,
            every: consumer.schedule.map(|schedule| schedule.every.0.max(1)),
            dead_letter: consumer.dead_letter.map(|topic| topic.0 as usize),
        };
        let lanes = core.lanes.iter().map(|id| {
            let topic = &plan.topics[core.topics[id.slot]];
            Lane {
                // Different topics may live on different buses: their brokers are kept apart.
                broker: id.slot * 10_000 + (id.partition % topic.brokers.max(1)) as usize,
                owner: None,
                committed: 0,
                prefix: 0,
                finished: BTreeSet::new(),
                polled: 0,
                fetched: 0,
                awake: if config.every.is_some() { 0 } else { u64::MAX },
                reached: 0,
                marks: VecDeque::new(),
                marks_from: 0,
                settled_early: BTreeMap::new(),
            }
        });
        let count = core.members.len();
        let mut polled = Self {
            lanes: lanes.collect(),
            members: (0..count).map(|_| Member::new(config.workers)).collect(),
            due: vec![u64::MAX; count],
            wake: consumer.schedule.map_or(u64::MAX, |schedule| schedule.offset.0),
            seen: 0,
            woken: Vec::new(),
            config,
            rounds,
        };
        let live: Vec<usize> = (0..count).filter(|member| core.members[*member].is_up()).collect();
        live.iter().for_each(|member| polled.members[*member].in_group = true);
        polled.give(core, &live);
        for member in live {
            polled.due[member] = 0;
        }
        polled
    }

    /// When the group next does something.
    pub(super) fn next(&mut self, core: &mut Core, logs: &[&Log]) -> u64 {
        self.notice(core, logs);
        self.due.iter().copied().min().unwrap_or(u64::MAX).min(self.rounds.next()).min(self.wake)
    }

    /// Members whose parked fetches may now be answered are due at another time.
    fn notice(&mut self, core: &Core, logs: &[&Log]) {
        let appended = logs.iter().map(|log| log.appended).sum();
        if appended == self.seen {
            return;
        }
        self.seen = appended;
        for member in 0..self.members.len() {
            if self.look_at_fetches(core, logs, member) {
                self.due[member] = self.due_of(core, member);
            }
        }
    }

    /// Finds out anew when the fetches of a member that wait at a broker are answered. Whether there are any.
    fn look_at_fetches(&mut self, core: &Core, logs: &[&Log], member: usize) -> bool {
        let mut parked = false;
        for session in &mut self.members[member].sessions {
            if let Fetch::Parked { from } = session.fetch {
                parked = true;
                session.due = answered_at(&self.lanes, core, logs, &session.asked, from);
            }
        }
        parked
    }

    /// Handles everything strictly before `limit`, in order of time, group first, then members by index.
    pub(super) fn run(&mut self, core: &mut Core, logs: &[&Log], limit: u64) {
        for (slot, log) in logs.iter().enumerate() {
            core.meter.reach(slot, log);
        }
        self.notice(core, logs);
        loop {
            let (mut now, mut who) = (self.rounds.next().min(self.wake), usize::MAX);
            for (member, due) in self.due.iter().enumerate() {
                if *due < now {
                    (now, who) = (*due, member);
                }
            }
            if now >= limit {
                return;
            }
            if who == usize::MAX {
                self.step_group(core, logs, now);
            } else {
                self.step(core, logs, who, now);
                self.due[who] = self.due_of(core, who);
            }
        }
    }

    fn step_group(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if self.wake == now {
            self.wake = now.saturating_add(self.config.every.unwrap_or(u64::MAX));
            for lane in 0..self.lanes.len() {
                let end = core.log_lane(logs, lane).visible_end(self.lanes[lane].committed, now);
                self.lanes[lane].awake = self.lanes[lane].awake.max(end);
            }
            for member in 0..self.members.len() {
                self.look_at_fetches(core, logs, member);
            }
            for member in 0..self.members.len() {
                self.pump(core, logs, member, now);
            }
        }
        if self.rounds.next() == now {
            self.step_rounds(core, logs, now);
        }
        self.look_at_all(core);
    }

    fn look_at_all(&mut self, core: &Core) {
        for member in 0..self.members.len() {
            self.due[member] = self.due_of(core, member);
        }
    }

    fn due_of(&self, core: &Core, member: usize) -> u64 {
        let conditions = &core.members[member];
        let state = &self.members[member];
        if conditions.down > 0 {
            return u64::MAX;
        }
        if !(state.in_group || state.zombie) {
            return core.outputs.next(member);
        }
        let mut due = state.ends.peek().map_or(u64::MAX, |end| end.0.0);
        due = state.sessions.iter().fold(due, |due, session| due.min(session.due));
        due = due.min(core.outputs.next(member)).min(state.notice_at);
        due = due.min(state.late_at(core.progress_timeout));
        if let (Some(batch), Some(first)) = (self.config.batch, state.ready.front())
            && !state.idle.is_empty()
            && state.ready.len() < batch.max as usize
        {
            due = due.min(state.not_seen(first.arrived.saturating_add(batch.max_wait.0)));
        }
        if let Settle::Timer(_) = self.config.settle
            && state.blocked
            && state.lanes.iter().any(|lane| self.lanes[*lane].committed < self.lanes[*lane].polled)
        {
            due = due.min(state.not_seen(state.auto_at));
        }
        if due == u64::MAX { due } else { due.max(conditions.paused_until) }
    }

    /// Does all that is due at a member by `now`.
    fn step(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        self.members[member].looked_at = now + 1;
        if core.outputs.next(member) <= now {
            core.outputs.step(member, now);
        }
        if !core.outputs.is_silent() {
            self.wake_waiters(core, logs, member, now);
        }
        for session in 0..self.members[member].sessions.len() {
            while self.members[member].sessions[session].due <= now {
                self.step_fetch(core, logs, member, session, now);
            }
        }
        while self.members[member].ends.peek().is_some_and(|end| end.0.0 <= now) {
            let (_, worker) = self.members[member].ends.pop().expect("just seen").0;
            self.continue_run(core, logs, member, worker, now);
            if core.members[member].down > 0 {
                return;
            }
        }
        if self.members[member].notice_at <= now {
            self.members[member].notice_at = u64::MAX;
            self.members[member].noticed = true;
        }
        if let Settle::Timer(interval) = self.config.settle
            && self.members[member].blocked
            && now >= self.members[member].auto_at
        {
            self.commit_polled(core, member, now);
            self.members[member].auto_at = now.saturating_add(interval.0.max(1));
        }
        self.pump(core, logs, member, now);
        if self.members[member].late_at(core.progress_timeout) <= now {
            self.give_up_group(core, logs, member, now);
        }
    }

    fn wake_waiters(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        loop {
            let mut woken = std::mem::take(&mut self.woken);
            core.outputs.woken(member, &mut woken);
            if woken.is_empty() {
                self.woken = woken;
                return;
            }
            for worker in woken.drain(..) {
                // A process that ends takes its clients with it: whoever waits is there.
                let run = self.members[member].runs[worker as usize].as_mut().expect("a handler that waits");
                if run.acknowledged() {
                    self.continue_run(core, logs, member, worker, now);
                }
            }
            self.woken = woken;
        }
    }

    /// When a fetch request that is sent at `now` reaches its broker: one that is lost is sent again.
    fn requested(&self, core: &mut Core, member: usize, mut now: u64) -> u64 {
        while now < core.end {
            let (delay, verdict) = core.wire.send(member, now);
            if !verdict.dropped {
                return now.saturating_add(delay);
            }
            now = now.saturating_add(self.config.request_timeout);
        }
        u64::MAX
    }

    /// Sends fetch requests for partitions of which nothing is buffered.
    fn fetch(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        for at in 0..self.members[member].sessions.len() {
            let session = &mut self.members[member].sessions[at];
            if session.fetch != Fetch::Idle {
                continue;
            }
            session.asked.extend(session.lanes.iter().filter_map(|lane| {
                let state = &self.lanes[*lane];
                (state.polled == state.fetched && state.fetched < state.awake).then_some((*lane, state.fetched))
            }));
            if !session.asked.is_empty() {
                let from = self.requested(core, member, now);
                self.park(core, logs, member, at, from);
            }
        }
    }

    /// A fetch request waits at its broker from `from` on.
    fn park(&mut self, core: &Core, logs: &[&Log], member: usize, session: usize, from: u64) {
        let session = &mut self.members[member].sessions[session];
        session.fetch = Fetch::Parked { from };
        session.due = answered_at(&self.lanes, core, logs, &session.asked, from);
    }

    fn step_fetch(&mut self, core: &mut Core, logs: &[&Log], member: usize, session: usize, now: u64) {
        match self.members[member].sessions[session].fetch {
            Fetch::Idle => {}
            Fetch::Parked { .. } => {
                let (delay, verdict) = core.wire.send(member, now);
                if verdict.response_lost {
                    let again = now.saturating_add(self.config.request_timeout);
                    let from = self.requested(core, member, again);
                    return self.park(core, logs, member, session, from);
                }
                let session = &mut self.members[member].sessions[session];
                session.asked.retain_mut(|(lane, end)| {
                    let state = &self.lanes[*lane];
                    let most = state.awake.min(state.fetched.saturating_add(self.config.max_fetch));
                    *end = core.log_lane(logs, *lane).visible_end(state.fetched, now + 1).min(most);
                    *end > state.fetched
                });
                (session.fetch, session.due) = (Fetch::Arriving, now.saturating_add(delay));
            }
            Fetch::Arriving => {
                let Member { sessions, buffer, .. } = &mut self.members[member];
                let session = &mut sessions[session];
                let arrived = std::mem::replace(&mut session.due, u64::MAX);
                session.fetch = Fetch::Idle;
                for (lane, to) in session.asked.drain(..) {
                    let from = std::mem::replace(&mut self.lanes[lane].fetched, to);
                    buffer.push_back(Chunk { lane, from, to, arrived });
                }
            }
        }
    }

    /// Lets idle workers begin what they may, and polls for more while that helps.
    fn pump(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
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
                if self.members[member].noticed || self.members[member].zombie || self.members[member].leaving {
                    self.part(core, logs, member, now);
                    return;
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
        let tag = self.members[member].generation;
        if self.config.instant {
            taken += self.take_by_time(core, logs, member);
        }
        while taken < room {
            let Some(chunk) = self.members[member].buffer.front_mut() else { break };
            let left = usize::try_from(chunk.to - chunk.from).unwrap_or(usize::MAX);
            let count = left.min(room - taken);
            let (lane, from, arrived) = (chunk.lane, chunk.from, chunk.arrived);
            chunk.from += count as u64;
            if chunk.from == chunk.to {
                self.members[member].buffer.pop_front();
            }
            for offset in from..from + count as u64 {
                self.take(core, logs, member, Item { lane, offset, arrived, tag, first: None });
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
    fn take_by_time(&mut self, core: &mut Core, logs: &[&Log], member: usize) -> usize {
        let mut items = Vec::new();
        let tag = self.members[member].generation;
        for Chunk { lane, from, to, arrived } in self.members[member].buffer.drain(..) {
            let log_lane = core.log_lane(logs, lane);
            let item = |offset| Item { lane, offset, arrived, tag, first: None };
            items.extend((from..to).map(|offset| (log_lane.at(offset).visible, item(offset))));
        }
        items.sort_by_key(|(visible, item)| (*visible, item.lane, item.offset));
        for (_, item) in &items {
            self.take(core, logs, member, *item);
        }
        items.len()
    }

    fn take(&mut self, core: &mut Core, logs: &[&Log], member: usize, item: Item) {
        let state = &mut self.lanes[item.lane];
        state.polled = item.offset + 1;
        state.reached = state.reached.max(item.offset + 1);
        state.mark(item.offset);
        let slot = core.lanes[item.lane].slot;
        let log_lane = core.log_lane(logs, item.lane);
        if !core.fates.wants_all() {
            let record = *log_lane.at(item.offset);
            if !core.fates.wants(&record, log_lane.extra(item.offset)) {
                if !std::mem::replace(&mut state.mark(item.offset).concluded, true) {
                    core.meter.conclude(slot, &record, Conclusion::Filtered);
                }
                self.finished(core, member, item, true, 0);
                return;
            }
        }
        let claim = self.claim_of(slot, item, log_lane.at(item.offset).key);
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

    fn commit_at_poll(&mut self, core: &mut Core, member: usize, now: u64) {
        match self.config.settle {
            Settle::After => {
                for at in 0..self.members[member].lanes.len() {
                    let lane = self.members[member].lanes[at];
                    let prefix = self.lanes[lane].prefix;
                    self.commit(core, member, lane, prefix, now);
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

    fn commit_polled(&mut self, core: &mut Core, member: usize, now: u64) {
        for at in 0..self.members[member].lanes.len() {
            let lane = self.members[member].lanes[at];
            let polled = self.lanes[lane].polled;
            self.commit(core, member, lane, polled, now);
        }
    }

    fn commit(&mut self, core: &mut Core, member: usize, lane: usize, to: u64, now: u64) {
        let state = &mut self.lanes[lane];
        if to <= state.committed || state.owner != Some(member) || self.members[member].zombie {
            return;
        }
        if core.wire.meet(member, now).dropped {
            return;
        }
        if core.meter.traces() {
            for offset in state.committed..to {
                match state.mark(offset).trace {
                    0 => drop(state.settled_early.insert(offset, now)),
                    delivery => core.meter.settled(delivery, now),
                }
            }
        }
        state.committed = to;
        state.forget(&mut core.meter, core.lanes[lane].slot);
    }

    fn start_one(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> bool {
        let state = &mut self.members[member];
        if state.idle.is_empty() {
            return false;
        }
        let Some(item) = state.ready.pop_front() else { return false };
        self.start(core, logs, member, item, Vec::new(), now);
        true
    }

    fn start_batch(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) -> bool {
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
        let mut items: Vec<Item> = state.ready.drain(..count).collect();
        let more = items.split_off(1);
        self.start(core, logs, member, items[0], more, now);
        true
    }

    fn start(&mut self, core: &mut Core, logs: &[&Log], member: usize, mut item: Item, mut more: Vec<Item>, now: u64) {
        let mut attempted = 0;
        for item in std::iter::once(&mut item).chain(&mut more) {
            let record = core.log_lane(logs, item.lane).at(item.offset);
            let lane = &mut self.lanes[item.lane];
            attempted = attempted.max(lane.known(item.offset).map_or(0, |mark| mark.attempts));
            let again = lane.start(item, now);
            core.count_delivery(core.lanes[item.lane].slot, record, again);
        }
        let first = attempted + 1;
        let run = Run::begin(core, logs, member, (item, more), (first, first), now);
        for item in run.items() {
            self.lanes[item.lane].attempted(item.offset, run.attempt);
        }
        let worker = self.members[member].idle.pop().expect("an idle worker").0;
        let (staged, ends_at) = (run.is_staged(), run.ends_at);
        self.members[member].runs[worker as usize] = Some(run);
        if staged && ends_at == now {
            self.continue_run(core, logs, member, worker, now);
        } else {
            self.members[member].end_at(ends_at, worker);
        }
    }

    /// Goes on with a handler until it needs time or an acknowledgement, or is done.
    fn continue_run(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, now: u64) {
        let mut run = self.members[member].runs[worker as usize].take().expect("a handler that goes on");
        match run.go_on(core, logs, (member, worker), now) {
            Next::At(at) => self.members[member].end_at(at, worker),
            Next::Acknowledged => {}
            Next::Done => return self.complete(core, logs, member, worker, run, now),
        }
        self.members[member].runs[worker as usize] = Some(run);
    }

    fn complete(&mut self, core: &mut Core, logs: &[&Log], member: usize, worker: u32, run: Run, now: u64) {
        core.busy += u128::from(now - run.busy_from.min(now));
        let created = core.log_lane(logs, run.item.lane).at(run.item.offset).created;
        core.count_attempts(created, run.attempts, run.end);
        if matches!(run.end, End::Crash | End::Hang) {
            if run.end == End::Hang && self.members[member].in_group {
                // Its client has noticed the same.
                self.give_up_group(core, logs, member, now);
            }
            self.members[member].runs[worker as usize] = Some(run);
            return self.crash_itself(core, logs, member, now);
        }
        let current = run.item.tag == self.members[member].generation && !self.members[member].zombie;
        for item in run.items() {
            self.conclude(core, logs, member, *item, &run, (now, current));
        }
        self.members[member].free_worker(worker);
    }

    fn conclude(
        &mut self,
        core: &mut Core,
        logs: &[&Log],
        member: usize,
        item: Item,
        run: &Run,
        (now, current): (u64, bool),
    ) {
        let id = core.lanes[item.lane];
        let lane = core.log_lane(logs, item.lane);
        let (record, extra) = (*lane.at(item.offset), lane.extra(item.offset));
        let mark = self.lanes[item.lane].known(item.offset);
        let result = if run.end == End::Success {
            let earlier = match mark {
                None => Some(run.start),
                Some(mark) => (mark.effected > 0).then_some(mark.effected),
            };
            if let Some((how, _)) = mark.and_then(|mark| mark.given_up) {
                core.meter.retract(&record, how);
            }
            let instant = self.config.instant && item.first.is_none();
            let arrived = if instant { record.visible } else { item.arrived };
            let times = Times { first: item.first, arrived, start: run.start, success: run.success, done: now };
            core.meter.effect(id.slot, &record, extra, times, earlier)
        } else if mark.is_none_or(|mark| mark.concluded) {
            DeliveryResult::Discarded
        } else if let Some(topic) = self.config.dead_letter {
            core.outputs.publish(member, topic, now, (record.key, extra.event_type, 1024), extra.origin, None);
            core.meter.conclude(id.slot, &record, Conclusion::DeadLettered);
            DeliveryResult::DeadLettered
        } else {
            core.meter.conclude(id.slot, &record, Conclusion::Discarded);
            DeliveryResult::Discarded
        };
        let trace = self.let_go(core, logs, item, (run.start, now), result);
        if mark.is_some() {
            let mark = self.lanes[item.lane].mark(item.offset);
            mark.trace = trace;
            match result {
                DeliveryResult::Effect => (mark.effected, mark.given_up) = (now.max(1), None),
                DeliveryResult::DeadLettered => mark.given_up = Some((Conclusion::DeadLettered, record.event)),
                DeliveryResult::Discarded if !mark.concluded => {
                    mark.given_up = Some((Conclusion::Discarded, record.event));
                }
                _ => {}
            }
            mark.concluded = true;
        }
        self.finished(core, member, item, current, now);
        if let Some(claim) = self.claim_of(id.slot, item, record.key) {
            self.members[member].release(claim);
        }
    }

    /// What at most one handler of a member may hold at a time, if it is in this record: its partition or its key.
    fn claim_of(&self, slot: usize, item: Item, key: u32) -> Option<u64> {
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
    fn finished(&mut self, core: &mut Core, member: usize, item: Item, current: bool, now: u64) {
        let state = &mut self.lanes[item.lane];
        if !current || state.owner != Some(member) {
            state.forget(&mut core.meter, core.lanes[item.lane].slot);
            return;
        }
        if item.offset == state.prefix {
            state.prefix += 1;
            while state.finished.remove(&state.prefix) {
                state.prefix += 1;
            }
        } else {
            state.finished.insert(item.offset);
        }
        if self.config.commit_each {
            let prefix = state.prefix;
            self.commit(core, member, item.lane, prefix, now);
        } else {
            state.forget(&mut core.meter, core.lanes[item.lane].slot);
        }
    }

    /// A handler holds a record no longer; the number of the delivery's record, where the run keeps them.
    fn let_go(&mut self, core: &mut Core, logs: &[&Log], item: Item, times: (u64, u64), result: DeliveryResult) -> u32 {
        let delivery = core.let_go(logs, item, times, result);
        if let Some(at) = self.lanes[item.lane].settled_early.remove(&item.offset) {
            core.meter.settled(delivery, at);
        }
        delivery
    }

    /// Gives up all that a member holds; what its handlers have begun is cut off.
    fn drop_hand(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        let runs: Vec<Run> = self.members[member].runs.iter_mut().filter_map(Option::take).collect();
        for run in runs {
            core.busy += u128::from(now - run.busy_from.min(now));
            for item in run.items().copied() {
                let record = *core.log_lane(logs, item.lane).at(item.offset);
                core.meter.cut_off += u64::from(record.created >= core.warm_up);
                let _ = self.let_go(core, logs, item, (run.start, now), DeliveryResult::CutOff);
                self.lost_if_committed(core, core.lanes[item.lane].slot, item, &record);
            }
        }
        let state = &mut self.members[member];
        let unstarted: Vec<Item> = state.ready.iter().chain(state.claims.values().flatten()).copied().collect();
        for item in unstarted {
            let record = *core.log_lane(logs, item.lane).at(item.offset);
            self.lost_if_committed(core, core.lanes[item.lane].slot, item, &record);
        }
        self.members[member].empty(self.config.workers);
    }

    /// A record in hand whose position has been committed will not come again.
    fn lost_if_committed(&mut self, core: &mut Core, slot: usize, item: Item, record: &crate::engine::log::Record) {
        let state = &mut self.lanes[item.lane];
        if item.offset < state.committed && state.known(item.offset).is_some_and(|mark| !mark.concluded) {
            state.mark(item.offset).concluded = true;
            core.meter.conclude(slot, record, Conclusion::Skipped);
            state.forget(&mut core.meter, core.lanes[item.lane].slot);
        }
    }

    /// From now on busy time counts.
    pub(super) fn warm(&mut self, now: u64) {
        for run in self.members.iter_mut().flat_map(|member| member.runs.iter_mut().flatten()) {
            run.busy_from = run.busy_from.max(now);
        }
    }

    /// Whether a member's process has something to finish.
    pub(super) fn lingers(&self, member: usize) -> bool {
        self.members[member].in_group || self.members[member].zombie
    }

    /// A member stands still until the time that its conditions say; what is in hand is late by `shift`.
    pub(super) fn pause(&mut self, core: &mut Core, _: &[&Log], member: usize, now: u64, shift: u64) {
        self.members[member].shift(shift);
        self.rounds.paused(core, member, now);
        self.due[member] = self.due_of(core, member);
    }

    /// Records not settled of one partition at `now`, and the creation of the oldest.
    pub(super) fn lag(&self, lane: usize, log_lane: &crate::engine::log::Lane, now: u64) -> Lag {
        let committed = self.lanes[lane].committed;
        let end = log_lane.visible_end(committed, now);
        Lag { records: end - committed, oldest: (end > committed).then(|| log_lane.at(committed).created) }
    }

    /// Lowest offset that is still needed: the oldest that is not settled, or whose handler has not come back.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        let held = self.members.iter().flat_map(|member| member.held_offsets(lane)).min();
        self.lanes[lane].marks_from.min(held.unwrap_or(u64::MAX)).min(self.lanes[lane].committed)
    }

    /// Settles the accounts of what was not finished.
    pub(super) fn finish(&mut self, core: &mut Core, logs: &[&Log], end: u64) {
        let mut running = BTreeSet::new();
        for run in self.members.iter().flat_map(|member| member.runs.iter().flatten()) {
            core.busy += u128::from(end.saturating_sub(run.busy_from));
            running.extend(run.items().map(|item| (item.lane, item.offset)));
        }
        for lane in 0..self.lanes.len() {
            let log_lane = core.log_lane(logs, lane);
            let slot = core.lanes[lane].slot;
            for offset in self.lanes[lane].marks_from.min(self.lanes[lane].committed)..log_lane.end() {
                let mark = self.lanes[lane].known(offset);
                let how = match mark {
                    None if offset < self.lanes[lane].marks_from => continue,
                    Some(mark) if mark.concluded => continue,
                    _ if running.contains(&(lane, offset)) => Conclusion::InFlight,
                    _ => Conclusion::Waiting,
                };
                core.meter.conclude(slot, log_lane.at(offset), how);
            }
        }
    }
}

/// When a fetch that is at its broker from `from` on is answered: as soon as one of the partitions has something.
fn answered_at(lanes: &[Lane], core: &Core, logs: &[&Log], asked: &[(usize, u64)], from: u64) -> u64 {
    let heads = asked.iter().filter_map(|(lane, fetched)| {
        let head = core.log_lane(logs, *lane).get(*fetched)?;
        (*fetched < lanes[*lane].awake).then_some(head.visible)
    });
    heads.min().map_or(u64::MAX, |visible| visible.max(from))
}

impl Lane {
    /// The mark of a record, made if it is new.
    fn mark(&mut self, offset: u64) -> &mut Mark {
        let at = usize::try_from(offset - self.marks_from).expect("marks are bounded by what is in hand");
        if at >= self.marks.len() {
            self.marks.resize(at + 1, Mark::default());
        }
        &mut self.marks[at]
    }

    /// The mark of a record, if there is one (not so for records settled and forgotten, and for new ones).
    fn known(&self, offset: u64) -> Option<Mark> {
        let at = usize::try_from(offset.checked_sub(self.marks_from)?).ok()?;
        self.marks.get(at).copied()
    }

    /// A handler takes a record; whether one had before. What has been forgotten was taken before.
    fn start(&mut self, item: &mut Item, now: u64) -> bool {
        if item.offset < self.marks_from {
            return true;
        }
        let mark = self.mark(item.offset);
        item.first = mark.first;
        mark.first.get_or_insert(Handed { arrived: item.arrived, start: now });
        item.first.is_some()
    }

    /// A handler has made so many attempts at it, with those before.
    fn attempted(&mut self, offset: u64, attempts: u32) {
        if offset >= self.marks_from {
            self.mark(offset).attempts = attempts;
        }
    }

    /// Forgets what is both settled and concluded.
    fn forget(&mut self, meter: &mut Meter, slot: usize) {
        while self.marks_from < self.committed
            && let Some(mark) = self.marks.pop_front_if(|mark| mark.concluded)
        {
            self.marks_from += 1;
            if let Some((_, event)) = mark.given_up {
                meter.never_done(slot, event);
            }
        }
    }
}
