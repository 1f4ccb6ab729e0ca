//! One member of a polled group: its fetches, its buffer, and its workers with what they hold.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::engine::group::run::{Item, Run};
use crate::engine::hand::Hand;
use crate::outcome::Again;

/// Buffered records of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) lane: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Records before this are passed over: what was to be read next had been deleted.
    pub(super) reset: u64,
    /// Its first record is not due before this.
    pub(super) due: u64,
    /// When the bus answered, and when that arrived.
    pub(super) answered: u64,
    pub(super) arrived: u64,
}

/// The connection to one broker: at most one fetch at a time.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) broker: usize,
    pub(super) lanes: Vec<usize>,
    pub(super) fetch: Fetch,
    /// When something happens to the fetch next, as far as is known.
    pub(super) due: u64,
    /// Partitions that the fetch asks for, each from an offset on; once it is answered, those of which the response brings
    /// something, each up to an offset.
    pub(super) asked: Vec<(usize, u64)>,
    /// While its fetch is parked and another partition is to be asked for: when it is answered though there is nothing.
    pub(super) ends: u64,
}

/// A fetch request's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// None is under way.
    Idle,
    /// At the broker from this time on, answered as soon as one of the partitions has something.
    Parked { from: u64 },
    /// The response is on its way, since this time.
    Arriving { answered: u64 },
}

impl Session {
    /// A connection to a broker that leads nothing yet.
    pub(super) fn new(broker: usize) -> Self {
        Self { broker, lanes: Vec::new(), fetch: Fetch::Idle, due: u64::MAX, asked: Vec::new(), ends: u64::MAX }
    }
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) in_group: bool,
    /// Expelled without knowing it.
    pub(super) zombie: bool,
    /// Why the group last went on without it.
    pub(super) ousted: Again,
    pub(super) leaving: bool,
    /// When it learns of a rebalance, and whether it has.
    pub(super) notice_at: u64,
    pub(super) noticed: bool,
    /// It has rejoined, and the round is not over.
    pub(super) joined: bool,
    /// What it has, in order.
    pub(super) lanes: Vec<usize>,
    /// What it has heard that it is to give back, and of that what it fetches no longer.
    pub(super) demands: Vec<usize>,
    pub(super) giving: Vec<usize>,
    /// It is to rejoin when it has given that back.
    pub(super) rejoins: bool,
    /// What it has heard that it may take up.
    pub(super) coming: Vec<usize>,
    pub(super) sessions: Vec<Session>,
    /// Partitions whose leader it does not know, with when it will look again.
    pub(super) homeless: Vec<(u64, usize)>,
    pub(super) buffer: VecDeque<Chunk>,
    pub(super) ready: VecDeque<Item>,
    /// By key or partition in hand: what waits for it.
    pub(super) claims: Hand<VecDeque<Item>>,
    pub(super) waiting: usize,
    pub(super) runs: Vec<Option<Run>>,
    pub(super) idle: BinaryHeap<Reverse<u32>>,
    pub(super) ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// In poll, with nothing to return.
    pub(super) blocked: bool,
    /// Next automatic commit.
    pub(super) auto_at: u64,
    /// Last call of poll.
    pub(super) polled_at: u64,
    /// Everything before this has been looked at: a deadline in the past is not due again.
    pub(super) looked_at: u64,
}

impl Member {
    pub(super) fn new(workers: u32, auto_at: u64) -> Self {
        Self {
            in_group: false,
            zombie: false,
            ousted: Again::default(),
            leaving: false,
            notice_at: u64::MAX,
            noticed: false,
            joined: false,
            lanes: Vec::new(),
            demands: Vec::new(),
            giving: Vec::new(),
            rejoins: false,
            coming: Vec::new(),
            sessions: Vec::new(),
            homeless: Vec::new(),
            buffer: VecDeque::new(),
            ready: VecDeque::new(),
            claims: Hand::default(),
            waiting: 0,
            runs: vec![None; workers as usize],
            idle: (0..workers).map(Reverse).collect(),
            ends: BinaryHeap::new(),
            blocked: false,
            auto_at,
            polled_at: 0,
            looked_at: 0,
        }
    }

    /// A deadline, unless it lies in what has been looked at: then something else has to happen first.
    pub(super) fn not_seen(&self, deadline: u64) -> u64 {
        if deadline >= self.looked_at { deadline } else { u64::MAX }
    }

    /// When it has not polled for too long: it is in the group, and not inside of poll, as it is while it `waits` for the end
    /// of a round.
    pub(super) fn late_at(&self, progress_timeout: u64, waits: bool) -> u64 {
        let polls = self.blocked || (self.joined && waits) || !self.in_group;
        if polls { u64::MAX } else { self.polled_at.saturating_add(progress_timeout) }
    }

    /// Handlers that are running.
    pub(super) fn running(&self) -> usize {
        self.runs.len() - self.idle.len()
    }

    /// The connection to a broker.
    pub(super) fn session(&mut self, broker: usize) -> &mut Session {
        let at = self.sessions.iter().position(|session| session.broker == broker).unwrap_or_else(|| {
            self.sessions.push(Session::new(broker));
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }

    /// A worker's handler goes on, or ends, at this time.
    pub(super) fn end_at(&mut self, at: u64, worker: u32) {
        self.ends.push(Reverse((at, worker)));
    }

    /// A worker is idle again.
    pub(super) fn free_worker(&mut self, worker: u32) {
        self.idle.push(Reverse(worker));
    }

    /// A key or partition is free: the next record that waited for it is ready, before younger ones.
    pub(super) fn release(&mut self, claim: u64) {
        if let Some(queue) = self.claims.get_mut(claim) {
            match queue.pop_front() {
                Some(item) => {
                    self.waiting -= 1;
                    self.ready.push_front(item);
                }
                None => {
                    self.claims.remove(claim);
                }
            }
        }
    }

    /// It fetches nothing any more, and what it has fetched it will not poll.
    pub(super) fn disconnect(&mut self) {
        self.sessions.clear();
        self.homeless.clear();
        self.buffer.clear();
    }

    /// Nothing is held any more.
    pub(super) fn empty(&mut self, workers: u32) {
        self.disconnect();
        self.ready.clear();
        self.claims.clear();
        self.waiting = 0;
        self.runs.iter_mut().for_each(|run| *run = None);
        self.idle = (0..workers).map(Reverse).collect();
        self.ends.clear();
        self.lanes.clear();
        self.blocked = false;
    }

    /// Everything under way ends so much later.
    pub(super) fn shift(&mut self, by: u64) {
        self.ends = self.ends.drain().map(|Reverse((at, worker))| Reverse((at.saturating_add(by), worker))).collect();
        self.runs.iter_mut().flatten().for_each(|run| run.shift(by));
    }

    /// Offsets of one partition that handlers of this member hold, and its queues, where it is not in the group or `all` count.
    pub(super) fn held_offsets(&self, lane: usize, all: bool) -> impl Iterator<Item = u64> + '_ {
        let runs = self.runs.iter().flatten().flat_map(Run::items);
        let foreign =
            if self.in_group && !all { None } else { Some(self.ready.iter().chain(self.claims.values().flatten())) };
        runs.chain(foreign.into_iter().flatten()).filter(move |item| item.lane == lane).map(|item| item.offset)
    }
}
