//! Strands: a handler at work, step by step, until one needs time, an answer, a grant or an acknowledgement.

use super::program::{Block, Spend, What};
use super::visit::SagaRun;
use super::{Event, ForkKey, Mesh, StrandKey, VisitKey};
use crate::dist::About;
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
    /// The step at work: since when, and how long its instance had stood still by then.
    since: u64,
    frozen: u64,
    works: bool,
    commits: bool,
    /// Acknowledgements that it waits for, and whether one will not come.
    pub(super) acks: u32,
    pub(super) unacknowledged: bool,
    /// What it waits for: a call or a grant.
    pub(super) call: Option<super::CallKey>,
    pub(super) wait: Option<super::WaitKey>,
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
}

/// Strands that run at once, and who waits for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    parent: StrandKey,
    /// So many more must be done; so many more may fail.
    needed: usize,
    spare: usize,
    /// Strands that are not over.
    left: usize,
    decided: bool,
}

impl Strand {
    pub(super) fn new(visit: VisitKey, fork: Option<ForkKey>, stack: Vec<Level>) -> Self {
        Self {
            visit,
            fork,
            stack,
            since: 0,
            frozen: 0,
            works: false,
            commits: false,
            acks: 0,
            unacknowledged: false,
            call: None,
            wait: None,
        }
    }

    /// The innermost saga that is at work, by its number among those of the request.
    pub(super) fn saga(&self) -> Option<usize> {
        self.stack.iter().rev().find_map(|level| match level.kind {
            Kind::Part { run, .. } => Some(run),
            _ => None,
        })
    }
}

impl Mesh {
    /// A strand goes on after what it waited for has come, well or not; when its process stands still, later.
    pub(super) fn wake(&mut self, key: StrandKey, how: Result<(), ()>, now: u64) {
        let Some(strand) = self.strands.get(key) else { return };
        let paused_until = self.paused_until(&self.visits[strand.visit]);
        if paused_until > now {
            return self.schedule(paused_until, Event::Wake(key, how));
        }
        match how {
            Ok(()) => self.run(key, now),
            Err(()) => self.fail(key, now),
        }
    }

    /// The time of a step is over, unless its process has stood still meanwhile.
    pub(super) fn spent(&mut self, key: StrandKey, now: u64) {
        let Some(strand) = self.strands.get_mut(key) else { return };
        let visit = &mut self.visits[strand.visit];
        let frozen = self.actors[visit.actor].instances[visit.instance].frozen;
        if strand.works && frozen > strand.frozen {
            let longer = frozen - strand.frozen;
            strand.frozen = frozen;
            return self.schedule(now.saturating_add(longer), Event::Spent(key));
        }
        if strand.commits {
            visit.fact = Some(now);
        }
        if strand.works {
            let (since, actor) = (strand.since, visit.actor);
            let worked = self.measured_span(since, now);
            self.actors[actor].outcome.handler.working += worked;
            self.strands[key].works = false;
        }
        self.wake(key, Ok(()), now);
    }

    /// Runs a strand until it needs something.
    pub(super) fn run(&mut self, key: StrandKey, now: u64) {
        loop {
            let Some(strand) = self.strands.get_mut(key) else { return };
            let visit = &mut self.visits[strand.visit];
            let (actor, main, in_saga) = (visit.actor, strand.fork.is_none(), strand.saga().is_some());
            let Some(level) = strand.stack.last_mut() else {
                let how = if main && visit.doomed { Err(()) } else { Ok(()) };
                return self.over(key, how, now);
            };
            let op = self.actors[actor].program.blocks[level.block].get(level.at);
            let spends = matches!(op.map(|op| &op.what), Some(What::Spend(_)));
            // A handler that fails by itself does so after its own first work, but leaves no saga half done: at its end then.
            let fails = visit.doomed && visit.worked && main && !spends && !in_saga;
            // It notices between its steps that nobody waits for it.
            if visit.cancelled || fails {
                return self.give_up_strand(key, now);
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
            match &op.what {
                What::Spend(spend) => {
                    let spend = spend.clone();
                    if self.spend(key, &spend, now) {
                        return;
                    }
                }
                What::Choose(number, branches) => {
                    let unit = choice(self.actors[actor].streams.choices, *number, visit.number, visit.attempt);
                    if let Some(block) = chosen(branches, unit) {
                        strand.stack.push(Level { block: *block, at: 0, kind: Kind::Chosen });
                    }
                }
                What::Publish(number) => {
                    let number = *number;
                    if self.publish(key, number, now) {
                        return;
                    }
                }
                What::Call(site) => {
                    let site = *site;
                    return self.begin_call(key, site, now);
                }
                What::Fork(blocks, quorum) => {
                    let (blocks, quorum) = (blocks.clone(), *quorum);
                    if self.fork(key, &blocks, quorum, now) {
                        return;
                    }
                }
                What::Hold(resource, body) => {
                    let (resource, body) = (*resource, *body);
                    match self.ask(key, resource, now) {
                        Some(Ok(())) => self.hold(key, resource, body, now),
                        Some(Err(())) => return self.fail(key, now),
                        None => return,
                    }
                }
                What::Saga(number) => {
                    let number = *number;
                    self.begin_saga(key, number, now);
                }
            }
        }
    }

    /// A step that takes time. Whether the strand must wait for it.
    fn spend(&mut self, key: StrandKey, spend: &Spend, now: u64) -> bool {
        let strand = &mut self.strands[key];
        let visit = &mut self.visits[strand.visit];
        let actor = &self.actors[visit.actor];
        let stream = actor.streams.service;
        let mut draws = spend_draws(stream, spend.number, visit.number, visit.attempt);
        let about = About { key: visit.key, event_type: visit.event_type, index: visit.index, stream };
        let instance = &actor.instances[visit.instance];
        let mut time = self.rounding.up(spend.time.whole(&mut draws, about));
        if spend.works {
            time = slowed(time, instance.slow());
        }
        if time == 0 {
            if spend.commits {
                visit.fact = Some(now);
            }
            return false;
        }
        (strand.since, strand.frozen) = (now, instance.frozen);
        (strand.works, strand.commits) = (spend.works, spend.commits);
        self.schedule(now.saturating_add(time), Event::Spent(key));
        true
    }

    /// A block has come to its end. Whether the strand can go on at once.
    fn left(&mut self, key: StrandKey, kind: Kind, now: u64) -> bool {
        match kind {
            Kind::Main | Kind::Chosen | Kind::Otherwise => true,
            Kind::Holding { resource, key: of, since } => {
                self.release(resource, of, since, now);
                true
            }
            Kind::Part { saga, run, part, .. } => {
                let actor = self.visits[self.strands[key].visit].actor;
                match self.actors[actor].program.sagas[saga].parts.get(part + 1).copied() {
                    Some((block, _)) => {
                        let kind = Kind::Part { saga, run, part: part + 1, tries: 1 };
                        self.strands[key].stack.push(Level { block, at: 0, kind });
                    }
                    None => {
                        let measured = self.saga_run(key, run).measured;
                        self.actors[actor].outcome.handler.sagas.completed += u64::from(measured);
                    }
                }
                true
            }
            Kind::Undo { saga, run, part } => {
                if !self.undo(key, saga, run, part) {
                    self.compensated(key, run);
                    self.fail(key, now);
                    return false;
                }
                true
            }
        }
    }

    fn begin_saga(&mut self, key: StrandKey, number: usize, now: u64) {
        let measured = self.measured(now);
        let visit = &self.visits[self.strands[key].visit];
        let actor = visit.actor;
        let runs = &mut self.roots[visit.root].sagas;
        runs.push(SagaRun { actor, measured, compensated: false, late: false });
        let run = runs.len() - 1;
        let it = &mut self.actors[actor];
        it.outcome.handler.sagas.begun += u64::from(measured);
        match it.program.sagas[number].parts.first() {
            Some((block, _)) => {
                let kind = Kind::Part { saga: number, run, part: 0, tries: 1 };
                self.strands[key].stack.push(Level { block: *block, at: 0, kind });
            }
            None => it.outcome.handler.sagas.completed += u64::from(measured),
        }
    }

    /// Begins to undo what came before a part of a saga; false: that was the first.
    fn undo(&mut self, key: StrandKey, saga: usize, run: usize, part: usize) -> bool {
        let Some(before) = part.checked_sub(1) else { return false };
        let actor = self.visits[self.strands[key].visit].actor;
        let (_, block) = self.actors[actor].program.sagas[saga].parts[before];
        self.strands[key].stack.push(Level { block, at: 0, kind: Kind::Undo { saga, run, part: before } });
        true
    }

    fn saga_run(&mut self, key: StrandKey, run: usize) -> &mut SagaRun {
        let root = self.visits[self.strands[key].visit].root;
        &mut self.roots[root].sagas[run]
    }

    fn compensated(&mut self, key: StrandKey, run: usize) {
        let it = self.saga_run(key, run);
        it.compensated = true;
        let (actor, measured, late) = (it.actor, u64::from(it.measured), u64::from(it.late));
        let sagas = &mut self.actors[actor].outcome.handler.sagas;
        sagas.compensated += measured;
        sagas.late_success += measured * late;
    }

    /// A step has failed: what is done in its place, or what its block does about it.
    pub(super) fn fail(&mut self, key: StrandKey, now: u64) {
        let mut replaceable = true;
        loop {
            let Some(strand) = self.strands.get_mut(key) else { return };
            let Some(level) = strand.stack.last().copied() else { return self.over(key, Err(()), now) };
            let actor = self.visits[strand.visit].actor;
            let otherwise = self.actors[actor].program.blocks[level.block][level.at - 1].otherwise;
            if let Some(block) = otherwise.filter(|_| replaceable) {
                strand.stack.push(Level { block, at: 0, kind: Kind::Otherwise });
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
                    if self.undo(key, saga, run, part) {
                        return self.run(key, now);
                    }
                    self.compensated(key, run);
                }
                Kind::Undo { run, .. } => self.stuck(key, run),
            }
        }
    }

    fn stuck(&mut self, key: StrandKey, run: usize) {
        let it = self.saga_run(key, run);
        let (actor, measured) = (it.actor, it.measured);
        self.actors[actor].outcome.handler.sagas.stuck += u64::from(measured);
    }

    /// Runs blocks at once. Whether the strand must wait for them.
    fn fork(&mut self, parent: StrandKey, blocks: &[Block], quorum: usize, now: u64) -> bool {
        if blocks.is_empty() || quorum == 0 {
            return false;
        }
        let visit = self.strands[parent].visit;
        let left = blocks.len();
        let fork = Fork { parent, needed: quorum, spare: left - quorum, left, decided: false };
        let fork = self.forks.insert(fork);
        self.visits[visit].strands += u32::try_from(left).expect("branches of a scenario");
        let strands: Vec<StrandKey> = blocks
            .iter()
            .map(|block| {
                let stack = vec![Level { block: *block, at: 0, kind: Kind::Main }];
                self.strands.insert(Strand::new(visit, Some(fork), stack))
            })
            .collect();
        for strand in strands {
            self.run(strand, now);
        }
        true
    }

    /// A strand is over.
    fn over(&mut self, key: StrandKey, how: Result<(), ()>, now: u64) {
        let Some(strand) = self.strands.remove(key) else { return };
        match strand.fork {
            None => self.end_visit(strand.visit, how, now),
            Some(fork) => self.branch_over(fork, how, now),
        }
        self.strand_over(strand.visit);
    }

    fn branch_over(&mut self, key: ForkKey, how: Result<(), ()>, now: u64) {
        let Some(fork) = self.forks.get_mut(key) else { return };
        fork.left -= 1;
        let decision = match how {
            Ok(()) => {
                fork.needed = fork.needed.saturating_sub(1);
                (fork.needed == 0).then_some(Ok(()))
            }
            Err(()) if fork.spare == 0 => Some(Err(())),
            Err(()) => {
                fork.spare -= 1;
                None
            }
        };
        let parent = fork.parent;
        let decision = decision.filter(|_| !fork.decided);
        fork.decided |= decision.is_some();
        if fork.left == 0 {
            self.forks.remove(key);
        }
        if let Some(how) = decision {
            // Later, so that branches that begin at one moment all begin.
            self.schedule(now, Event::Wake(parent, how));
        }
    }

    /// A strand ends before its end, and all that it holds is let go: its handler has failed, or nobody wants it any more.
    fn give_up_strand(&mut self, key: StrandKey, now: u64) {
        self.unwind(key, now);
        self.strands[key].stack.clear();
        self.over(key, Err(()), now);
    }

    /// A strand ends with its process.
    pub(super) fn abandon_strand(&mut self, key: StrandKey, now: u64) {
        self.unwind(key, now);
        let strand = self.strands.remove(key).expect("listed");
        if let Some(fork) = strand.fork {
            self.forks.remove(fork);
        }
        if strand.works {
            let actor = self.visits[strand.visit].actor;
            let worked = self.measured_span(strand.since, now);
            self.actors[actor].outcome.handler.working += worked;
        }
        self.waiters.retain(|_, waiter| *waiter != key);
    }

    /// Lets go of what a strand holds and waits for.
    fn unwind(&mut self, key: StrandKey, now: u64) {
        let strand = &mut self.strands[key];
        let (call, wait) = (strand.call.take(), strand.wait.take());
        if let Some(call) = call {
            self.drop_call(call, now);
        }
        if let Some(wait) = wait {
            self.drop_wait(wait);
        }
        for level in self.strands[key].stack.clone().into_iter().rev() {
            match level.kind {
                Kind::Holding { resource, key: of, since } => self.release(resource, of, since, now),
                Kind::Part { run, .. } | Kind::Undo { run, .. } => self.stuck(key, run),
                Kind::Main | Kind::Chosen | Kind::Otherwise => {}
            }
        }
    }

    /// Time worked by strands that are at work at the end of the run.
    pub(super) fn close_work(&mut self, end: u64) {
        let working: Vec<_> = self.strands.values().filter(|strand| strand.works).map(|s| (s.visit, s.since)).collect();
        for (visit, since) in working {
            let worked = self.measured_span(since, end);
            self.actors[self.visits[visit].actor].outcome.handler.working += worked;
        }
    }
}
