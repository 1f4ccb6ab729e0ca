//! Strands: a handler at work, step by step, until one needs time, an answer, a grant or an acknowledgement.

use super::awaits::Awaiting;
use super::pauses::Pauses;
use super::program::{Block, Spend, What};
use super::visit::Asker;
use super::{Event, ForkKey, Mesh, StrandKey, VisitKey};
use crate::dist::About;
use crate::engine::delegate::Doom;
use crate::engine::group::slowed;
use crate::engine::handler::{choice, chosen, spend_draws};

/// Waits before a part of a saga that cannot be undone is tried again: twice as long each time, up to half a minute.
const FORWARD: (u64, u64) = (1_000_000_000, 30_000_000_000);

/// One thread of a handler.
#[derive(Clone, Debug)]
pub(super) struct Strand {
    pub(super) visit: VisitKey,
    /// Who waits for it; none: it is the handler's first.
    pub(super) fork: Option<ForkKey>,
    pub(super) stack: Vec<Level>,
    /// The part of a saga that it was forked from: the saga's number among those of the request, and the part's.
    pub(super) saga: Option<(usize, usize)>,
    /// The step at work: since when, and how long it takes while nothing stands still.
    since: u64,
    needs: u64,
    works: bool,
    commits: bool,
    /// Acknowledgements that it waits for, and whether one will not come.
    pub(super) acks: u32,
    pub(super) unacknowledged: bool,
    /// What it waits for: a call, a grant or an event.
    pub(super) call: Option<super::CallKey>,
    pub(super) wait: Option<super::WaitKey>,
    pub(super) awaits: Option<Awaiting>,
}

/// A block at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) block: Block,
    /// The next step; the one before it is at work.
    pub(super) at: usize,
    pub(super) kind: Kind,
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The whole handler, or a branch of it that runs beside others.
    Main,
    /// A branch that was chosen.
    Chosen,
    /// In place of a step that failed.
    Otherwise,
    /// While a resource is held, of this key, since then.
    Holding { resource: usize, key: u32, since: u64 },
    /// A part of a saga, tried so many times; the run among those of the request.
    Part { saga: usize, run: usize, part: usize, tries: u32 },
    /// Undoes a part of a saga.
    Undo { saga: usize, run: usize, part: usize },
    /// In a transaction of a bus, by its number.
    Transaction(u32),
}

impl Strand {
    /// A branch of a fork, inside this part of a saga.
    pub(super) fn branch(visit: VisitKey, (fork, saga): (ForkKey, Option<(usize, usize)>), stack: Vec<Level>) -> Self {
        Self { fork: Some(fork), saga, ..Self::new(visit, stack) }
    }

    /// The first strand of a handler.
    pub(super) fn new(visit: VisitKey, stack: Vec<Level>) -> Self {
        Self {
            visit,
            fork: None,
            stack,
            saga: None,
            since: 0,
            needs: 0,
            works: false,
            commits: false,
            acks: 0,
            unacknowledged: false,
            call: None,
            wait: None,
            awaits: None,
        }
    }

    /// Whether its step is work, and not only waiting.
    pub(super) fn works(&self) -> bool {
        self.works
    }

    /// The part of the innermost saga that is at work.
    pub(super) fn saga(&self) -> Option<(usize, usize)> {
        let part = |level: &Level| match level.kind {
            Kind::Part { run, part, .. } => Some((run, part)),
            _ => None,
        };
        self.stack.iter().rev().find_map(part).or(self.saga)
    }
}

impl Mesh {
    /// A strand goes on after what it waited for has come, well or not.
    pub(super) fn wake(&mut self, key: StrandKey, how: Result<(), ()>, now: u64) {
        match how {
            Ok(()) => self.run(key, now),
            Err(()) => self.fail(key, now),
        }
    }

    /// The time of a step is over, unless its process, or something that it holds, has stood still meanwhile.
    pub(super) fn spent(&mut self, key: StrandKey, now: u64) {
        let Some(strand) = self.strands.get(key) else { return };
        let visit = &self.visits[strand.visit];
        if strand.works {
            let process = &self.actors[visit.actor].instances[visit.instance].pauses;
            let all = self.holds_of(key).map(|resource| &resource.pauses).chain([process]);
            let frozen = Pauses::frozen(all, strand.since);
            let ends = strand.since.saturating_add(strand.needs).saturating_add(frozen);
            if ends > now {
                return self.schedule(ends, Event::Spent(key));
            }
        }
        let commits = strand.commits;
        self.stop_work(key, now);
        if commits && self.end_transaction(key, now) {
            return self.fail_by_itself(key, now);
        }
        self.run(key, now);
    }

    /// Runs a strand until it needs something.
    pub(super) fn run(&mut self, key: StrandKey, now: u64) {
        loop {
            let Some(strand) = self.strands.get_mut(key) else { return };
            let visit = &mut self.visits[strand.visit];
            let (actor, main, in_saga) = (visit.actor, strand.fork.is_none(), strand.saga().is_some());
            let Some(level) = strand.stack.last_mut() else {
                return match visit.doom {
                    Doom::Fails | Doom::Crashes if main => self.fail_by_itself(key, now),
                    Doom::Hangs if main => {}
                    _ => self.over(key, Ok(()), now),
                };
            };
            let op = self.actors[actor].program.blocks[level.block].get(level.at);
            let spends = matches!(op.map(|op| &op.what), Some(What::Spend(_)));
            // It notices between its steps that nobody waits for it.
            if visit.cancelled && op.is_some() {
                return self.give_up_strand(key, now);
            }
            // A handler that fails by itself does so after its own first work, but leaves no saga half done: at its end then. Of a
            // consumer the end of its transaction is its end: what is committed is done.
            let commits =
                op.is_none() && matches!((level.kind, visit.asker), (Kind::Transaction(_), Asker::Group { .. }));
            if (visit.worked || commits) && main && !spends && !in_saga {
                match visit.doom {
                    Doom::None | Doom::Failed => {}
                    Doom::Hangs => return,
                    Doom::Fails | Doom::Crashes => return self.fail_by_itself(key, now),
                }
            }
            visit.worked |= main && spends;
            let Some(op) = op else {
                let kind = level.kind;
                strand.stack.pop();
                if self.left(key, kind, now) {
                    continue;
                }
                return;
            };
            level.at += 1;
            let what = op.what.clone();
            if self.begin_step(key, &what, now) {
                return;
            }
        }
    }

    /// A strand comes to a step. Whether it must wait, or is not the one to go on.
    fn begin_step(&mut self, key: StrandKey, what: &What, now: u64) -> bool {
        match what {
            What::Spend(spend) => self.spend(key, spend, now),
            What::Choose(number, branches) => {
                let strand = &mut self.strands[key];
                let visit = &self.visits[strand.visit];
                let unit = choice(self.actors[visit.actor].streams.choices, *number, visit.number, visit.attempt);
                if let Some(block) = chosen(branches, unit) {
                    strand.stack.push(Level { block: *block, at: 0, kind: Kind::Chosen });
                }
                false
            }
            What::Publish(number) => self.publish(key, *number, now),
            What::Call(site) => {
                self.begin_call(key, *site, now);
                true
            }
            What::Fork(blocks, quorum) => self.fork(key, blocks, *quorum, now),
            What::Hold(resource, body) => match self.ask(key, *resource, now) {
                Some(Ok(())) => {
                    self.hold(key, *resource, *body, now);
                    false
                }
                Some(Err(())) => {
                    self.fail(key, now);
                    true
                }
                None => true,
            },
            What::Transaction(body) => !self.come_to_transaction(key, *body, now),
            What::Saga(number) => {
                self.begin_saga(key, *number, now);
                false
            }
            What::Await(step) => {
                self.begin_await(key, *step, now);
                true
            }
        }
    }

    /// A step that takes time. Whether the strand must wait for it.
    fn spend(&mut self, key: StrandKey, spend: &Spend, now: u64) -> bool {
        let slow = self.slowed_by(key);
        let strand = &mut self.strands[key];
        let visit = &mut self.visits[strand.visit];
        let service = &self.actors[visit.actor];
        let stream = service.streams.service;
        let mut draws = spend_draws(stream, spend.number, visit.number, visit.attempt);
        let about = About { key: visit.key, event_type: visit.event_type, index: visit.index, stream };
        let instance = &service.instances[visit.instance];
        let mut time = self.rounding.up(spend.time.whole(&mut draws, about));
        if spend.works {
            time = slowed(time, instance.slow(now) * slow);
        }
        if time == 0 {
            let fails = spend.commits && self.end_transaction(key, now);
            if fails {
                self.fail_by_itself(key, now);
            }
            return fails;
        }
        (strand.since, strand.needs) = (now, time);
        (strand.works, strand.commits) = (spend.works, spend.commits);
        if spend.works {
            visit.at_work += 1;
            if visit.at_work == 1 {
                visit.works_since = now;
            }
        }
        self.schedule(now.saturating_add(time), Event::Spent(key));
        true
    }

    /// A strand does not work any more, if it did.
    fn stop_work(&mut self, key: StrandKey, now: u64) {
        let strand = &mut self.strands[key];
        if std::mem::take(&mut strand.works) {
            let visit = strand.visit;
            self.visits[visit].at_work -= 1;
            if self.visits[visit].at_work == 0 {
                self.count_work(visit, now);
            }
        }
    }

    /// A block has come to its end. Whether the strand can go on at once.
    fn left(&mut self, key: StrandKey, kind: Kind, now: u64) -> bool {
        match kind {
            Kind::Main | Kind::Chosen | Kind::Otherwise => true,
            Kind::Holding { resource, key: of, since } => {
                self.release(resource, of, since, now);
                true
            }
            Kind::Transaction(id) => {
                self.commit(key, id, now);
                false
            }
            Kind::Part { saga, run, part, .. } => {
                self.next_part(key, saga, run, part);
                true
            }
            Kind::Undo { saga, run, part } => {
                let more = self.undo_before(key, saga, run, part);
                if !more {
                    self.fail(key, now);
                }
                more
            }
        }
    }

    /// A step has failed: what is done in its place, or what its block does about it.
    pub(super) fn fail(&mut self, key: StrandKey, now: u64) {
        let Some(strand) = self.strands.get(key) else { return };
        if self.visits[strand.visit].cancelled {
            return self.give_up_strand(key, now);
        }
        let mut replaceable = true;
        loop {
            let strand = &mut self.strands[key];
            let Some(level) = strand.stack.last().copied() else { return self.over(key, Err(()), now) };
            let actor = self.visits[strand.visit].actor;
            let otherwise = self.actors[actor].program.blocks[level.block][level.at - 1].otherwise;
            if let Some(block) = otherwise.filter(|_| replaceable) {
                strand.stack.push(Level { block, at: 0, kind: Kind::Otherwise });
                // Who has another way does not ask its caller to come again.
                let visit = strand.visit;
                self.visits[visit].again = None;
                return self.run(key, now);
            }
            strand.stack.pop();
            replaceable = true;
            match level.kind {
                Kind::Main | Kind::Chosen => {}
                // The step has failed for good.
                Kind::Otherwise => replaceable = false,
                Kind::Holding { resource, key: of, since } => self.release(resource, of, since, now),
                Kind::Part { saga, run, part, tries } => {
                    if part >= self.actors[actor].program.sagas[saga].pivot {
                        let kind = Kind::Part { saga, run, part, tries: tries.saturating_add(1) };
                        let strand = &mut self.strands[key];
                        strand.stack.push(Level { at: 0, kind, ..level });
                        let wait = FORWARD.0.saturating_mul(1 << (tries - 1).min(6)).min(FORWARD.1);
                        return self.schedule(now + wait, Event::Wake(key, Ok(())));
                    }
                    if self.part_failed(key, saga, run, part) {
                        return self.run(key, now);
                    }
                }
                Kind::Undo { run, .. } => self.stuck(key, run),
                Kind::Transaction(id) => return self.abort(key, id, now),
            }
        }
    }

    /// A handler fails as it was to.
    fn fail_by_itself(&mut self, key: StrandKey, now: u64) {
        let doom = &mut self.visits[self.strands[key].visit].doom;
        let crashes = std::mem::replace(doom, Doom::Failed) == Doom::Crashes;
        // A process that ends with it does not end its transaction.
        let Some(id) = self.transaction_of(key).filter(|_| !crashes) else { return self.give_up_strand(key, now) };
        self.unwind(key, now);
        self.strands[key].stack.clear();
        self.abort(key, id, now);
    }

    /// A strand ends before its end, and all that it holds is let go: its handler has failed, or nobody wants it any more.
    pub(super) fn give_up_strand(&mut self, key: StrandKey, now: u64) {
        self.unwind(key, now);
        self.strands[key].stack.clear();
        self.over(key, Err(()), now);
    }

    /// A strand ends with its process.
    pub(super) fn abandon_strand(&mut self, key: StrandKey, now: u64) {
        self.unwind(key, now);
        self.stop_work(key, now);
        let strand = self.strands.remove(key).expect("listed");
        if let Some(fork) = strand.fork {
            self.forks.remove(fork);
        }
        self.waiters.retain(|_, waiter| *waiter != key);
    }

    /// A strand does not wait any more for a call, a grant or an event.
    pub(super) fn stop_waiting(&mut self, key: StrandKey, now: u64) {
        self.drop_await(key);
        let strand = &mut self.strands[key];
        let (call, wait) = (strand.call.take(), strand.wait.take());
        if let Some(call) = call {
            self.drop_call(call, now);
        }
        if let Some(wait) = wait {
            self.drop_wait(wait);
        }
    }

    /// Lets go of what a strand holds and waits for.
    fn unwind(&mut self, key: StrandKey, now: u64) {
        self.stop_waiting(key, now);
        for level in self.strands[key].stack.clone().into_iter().rev() {
            match level.kind {
                Kind::Holding { resource, key: of, since } => self.release(resource, of, since, now),
                Kind::Part { run, .. } | Kind::Undo { run, .. } => self.stuck(key, run),
                Kind::Main | Kind::Chosen | Kind::Otherwise | Kind::Transaction(_) => {}
            }
        }
    }
}
