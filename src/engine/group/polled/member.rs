//! One member of a polled group: its fetches, its buffer, and its workers with what they hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::engine::group::fate::End;
use crate::engine::handler::Action;

/// Buffered records of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) lane: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) arrived: u64,
}

/// One polled record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) lane: usize,
    pub(super) offset: u64,
    pub(super) arrived: u64,
}

/// The connection to one broker: at most one fetch at a time.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) lanes: Vec<usize>,
    pub(super) fetch: Fetch,
}

/// A fetch request's state.
#[derive(Clone, Debug)]
pub(super) enum Fetch {
    /// None is under way.
    Idle,
    /// At the broker from this time on, answered as soon as one of the partitions has something.
    Parked { from: u64, lanes: Vec<usize> },
    /// The response is on its way: partitions with the end of what it brings.
    Arriving { at: u64, ends: Vec<(usize, u64)> },
}

impl Session {
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.fetch, Fetch::Parked { .. })
    }
}

/// A running handler.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) item: Item,
    /// Further records of a batch.
    pub(super) more: Vec<Item>,
    pub(super) generation: u64,
    pub(super) start: u64,
    pub(super) success: u64,
    pub(super) busy_from: u64,
    pub(super) attempts: u32,
    pub(super) end: End,
    pub(super) actions: Vec<Action>,
    pub(super) at: usize,
    pub(super) slow: f64,
    pub(super) waits: u32,
    pub(super) id: u64,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Counts its assignments.
    pub(super) generation: u64,
    pub(super) in_group: bool,
    /// Expelled without knowing it.
    pub(super) zombie: bool,
    pub(super) leaving: bool,
    /// When it learns of a rebalance, and whether it has.
    pub(super) notice_at: u64,
    pub(super) noticed: bool,
    pub(super) joined: bool,
    pub(super) lanes: Vec<usize>,
    pub(super) sessions: Vec<Session>,
    pub(super) buffer: VecDeque<Chunk>,
    pub(super) ready: VecDeque<Item>,
    /// By key or partition in hand: what waits for it.
    pub(super) claims: BTreeMap<u64, VecDeque<Item>>,
    pub(super) waiting: usize,
    pub(super) runs: Vec<Option<Run>>,
    pub(super) idle: BinaryHeap<Reverse<u32>>,
    pub(super) ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// In poll, with nothing to return.
    pub(super) blocked: bool,
    /// Next automatic commit.
    pub(super) auto_at: u64,
    /// Requests sent.
    pub(super) fetches: u64,
    /// Everything before this has been looked at: a deadline in the past is not due again.
    pub(super) looked_at: u64,
}

impl Member {
    pub(super) fn new(workers: u32) -> Self {
        Self {
            generation: 0,
            in_group: false,
            zombie: false,
            leaving: false,
            notice_at: u64::MAX,
            noticed: false,
            joined: false,
            lanes: Vec::new(),
            sessions: Vec::new(),
            buffer: VecDeque::new(),
            ready: VecDeque::new(),
            claims: BTreeMap::new(),
            waiting: 0,
            runs: vec![None; workers as usize],
            idle: (0..workers).map(Reverse).collect(),
            ends: BinaryHeap::new(),
            blocked: false,
            auto_at: 0,
            fetches: 0,
            looked_at: 0,
        }
    }

    /// A deadline, unless it lies in what has been looked at: then something else has to happen first.
    pub(super) fn not_seen(&self, deadline: u64) -> u64 {
        if deadline >= self.looked_at { deadline } else { u64::MAX }
    }

    /// Handlers that are running.
    pub(super) fn running(&self) -> usize {
        self.runs.len() - self.idle.len()
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
        if let Some(queue) = self.claims.get_mut(&claim) {
            match queue.pop_front() {
                Some(item) => {
                    self.waiting -= 1;
                    self.ready.push_front(item);
                }
                None => {
                    self.claims.remove(&claim);
                }
            }
        }
    }

    /// Nothing is held any more.
    pub(super) fn empty(&mut self, workers: u32) {
        self.buffer.clear();
        self.ready.clear();
        self.claims.clear();
        self.waiting = 0;
        self.runs.iter_mut().for_each(|run| *run = None);
        self.idle = (0..workers).map(Reverse).collect();
        self.ends.clear();
        self.sessions.clear();
        self.lanes.clear();
        self.blocked = false;
    }

    /// Everything under way ends so much later.
    pub(super) fn shift(&mut self, by: u64) {
        self.ends = self.ends.drain().map(|Reverse((at, worker))| Reverse((at.saturating_add(by), worker))).collect();
        for run in self.runs.iter_mut().flatten() {
            run.busy_from = run.busy_from.saturating_add(by);
        }
    }

    /// Offsets of one partition that handlers and queues of this member hold.
    pub(super) fn held_offsets(&self, lane: usize) -> impl Iterator<Item = u64> + '_ {
        let runs = self.runs.iter().flatten().flat_map(|run| std::iter::once(&run.item).chain(&run.more));
        let foreign = if self.zombie || !self.in_group { Some(&self.ready) } else { None };
        runs.chain(foreign.into_iter().flatten()).filter(move |item| item.lane == lane).map(|item| item.offset)
    }
}
