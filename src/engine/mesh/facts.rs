//! Business facts and their events: what a local transaction commits, and what comes of it where the two are written apart.
//!
//! Without an outbox a handler writes twice, to its database and to the bus, and may end between the two. Then an event is
//! missing (**unpublished**: the fact was committed, and nobody publishes it any more), or there is one too many (a **phantom**:
//! published, and its fact was never committed). A consumer does neither: its handler is run again.

use std::collections::BTreeSet;

use super::program::{Block, What};
use super::strand::Kind;
use super::{Mesh, StrandKey, VisitKey};
use crate::engine::client::Message;
use crate::engine::handler::{choice, chosen};
use crate::engine::journeys::News;
use crate::engine::lineage::Lineage;
use crate::engine::topic::NotStored;

/// How a handler ends, for its facts and their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Failed,
    CutOff,
}

impl Mesh {
    /// The local transaction of a strand has come to its end: its fact exists, unless the handler is to fail by itself and has
    /// come to nothing else. Whether it does, which rolls the transaction back.
    pub(super) fn end_transaction(&mut self, key: StrandKey, now: u64) -> bool {
        let strand = &self.strands[key];
        let (of, main) = (strand.visit, strand.fork.is_none() && strand.saga().is_none());
        if main && self.visits[of].doom.fails() {
            return true;
        }
        self.visits[of].fact = Some(now);
        let visit = &self.visits[of];
        let root = self.roots[visit.root].lineage.root;
        self.notes.note_service(now, root, visit.actor, News::Committed);
        if self.actors[visit.actor].writes_twice {
            let owed = self.still_to_publish(key);
            let visit = &mut self.visits[of];
            visit.early.clear();
            owed.into_iter().for_each(|step| {
                if !visit.owed.contains(&step) {
                    visit.owed.push(step);
                }
            });
        }
        self.commit_rows(of, now);
        false
    }

    /// A publish step of a handler with an outbox writes rows: key, type and size of each.
    pub(super) fn write_rows(
        &mut self,
        key: StrandKey,
        (port, lineage): (usize, Lineage),
        drawn: &[(u32, u16, u32)],
        now: u64,
    ) {
        let of = self.strands[key].visit;
        let visit = &mut self.visits[of];
        let it = &mut self.actors[visit.actor];
        let outbox = it.outbox.as_mut().expect("it has an outbox");
        for &(key, event_type, bytes) in drawn {
            let message = Message {
                event: 0,
                sequence: 0,
                key,
                created: now,
                lineage,
                event_type,
                bytes,
                waiter: None,
                transaction: 0,
            };
            visit.rows.push(outbox.write(port, message));
        }
        // Without a transaction of its own each row is one.
        if !it.commits || visit.answered {
            self.commit_rows(of, now);
        }
    }

    /// A handler has published these events: by port and number.
    pub(super) fn published(&mut self, key: StrandKey, step: usize, measured: bool, events: &[(usize, u32)]) {
        let visit = &mut self.visits[self.strands[key].visit];
        if self.actors[visit.actor].writes_twice {
            visit.owed.retain(|owed| *owed != step);
            if visit.fact.is_none() && measured {
                visit.early.extend_from_slice(events);
            }
        }
    }

    /// The publish steps that come after the one at work, as far as they can be foreseen: those of the branches that are
    /// chosen, and none after a transaction that is still to come.
    fn still_to_publish(&self, key: StrandKey) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = Some(key);
        while let Some(strand) = at.and_then(|key| self.strands.get(key)) {
            for level in strand.stack.iter().rev() {
                if self.foresee(strand.visit, level.block, level.at, &mut found) {
                    return found;
                }
                if let Kind::Part { saga, part, .. } = level.kind {
                    let parts = &self.actors[self.visits[strand.visit].actor].program.sagas[saga].parts;
                    if parts.iter().skip(part + 1).any(|(act, _)| self.foresee(strand.visit, *act, 0, &mut found)) {
                        return found;
                    }
                }
            }
            at = strand.fork.and_then(|fork| self.forks.get(fork)).map(|fork| fork.parent);
        }
        found
    }

    /// Adds the publish steps of a block from a step on. Whether a transaction is still to come.
    fn foresee(&self, of: VisitKey, block: Block, from: usize, found: &mut Vec<usize>) -> bool {
        let visit = &self.visits[of];
        let it = &self.actors[visit.actor];
        it.program.blocks[block].iter().skip(from).any(|op| match &op.what {
            What::Publish(step) => {
                found.push(*step);
                false
            }
            What::Spend(spend) => spend.commits,
            What::Choose(number, branches) => {
                let unit = choice(it.streams.choices, *number, visit.number, visit.attempt);
                chosen(branches, unit).is_some_and(|block| self.foresee(of, *block, 0, found))
            }
            What::Fork(blocks, _) => blocks.iter().any(|block| self.foresee(of, *block, 0, found)),
            What::Hold(_, body) | What::Transaction(body) => self.foresee(of, *body, 0, found),
            What::Saga(saga) => it.program.sagas[*saga].parts.iter().any(|(act, _)| self.foresee(of, *act, 0, found)),
            What::Call(_) | What::Await(_) => false,
        })
    }

    /// A handler ends, and with it what it was still to publish of its facts. `dropped`: events that its client never sent, by
    /// port and number.
    pub(super) fn close_facts(&mut self, of: VisitKey, how: Ending, dropped: &BTreeSet<(usize, u32)>, now: u64) {
        let visit = &mut self.visits[of];
        let (owed, early) = (std::mem::take(&mut visit.owed), std::mem::take(&mut visit.early));
        if how == Ending::Done {
            return self.commit_rows(of, now);
        }
        let actor = visit.actor;
        visit.rows.clear();
        if visit.fact.is_none() {
            let phantoms = early.iter().filter(|event| !dropped.contains(event)).count() as u64;
            self.actors[actor].outcome.publish.phantoms += phantoms;
            return;
        }
        owed.into_iter().for_each(|step| self.forgo(of, step, how));
    }

    /// A publish step will not come any more, and the fact that it was to tell of is there.
    fn forgo(&mut self, of: VisitKey, step: usize, how: Ending) {
        let visit = &self.visits[of];
        let created = visit.fact.expect("it is committed");
        let measured = created >= self.warm_up;
        let is_service = self.is_service(visit.actor);
        let it = &mut self.actors[visit.actor];
        let copies = it.copies(step, visit);
        let port = it.outputs.port_of(it.program.publishes[step].plan.to.0 as usize);
        for _ in 0..copies {
            let Some((_, sequence)) = it.outputs.number(port, created, measured) else { return };
            it.outputs.forgo(port, sequence, measured);
            let publish = &mut it.outcome.publish;
            publish.created += u64::from(measured && is_service);
            let lost = if how == Ending::CutOff {
                &mut publish.crashed_before_publish
            } else {
                &mut publish.failed_before_publish
            };
            *lost += u64::from(measured);
        }
    }

    /// A process ends: what its clients had not sent is gone. By port and number of these events.
    pub(super) fn drop_unsent(&mut self, actor: usize, instance: usize, now: u64) -> BTreeSet<(usize, u32)> {
        let is_here = |visit: &&super::visit::Visit| visit.actor == actor && visit.instance == instance;
        let uncommitted = self.visits.values().filter(is_here).filter(|visit| visit.fact.is_none());
        let early: BTreeSet<(usize, u32)> = uncommitted.flat_map(|visit| visit.early.iter().copied()).collect();
        let it = &mut self.actors[actor];
        let twice = it.writes_twice;
        let how = |event| if twice && !early.contains(&event) { NotStored::Unpublished } else { NotStored::Rejected };
        let dropped = it.outputs.abandon(instance, now, how);
        let lost = dropped.iter().filter(|(port, message)| {
            message.created >= self.warm_up && how((*port, message.sequence)) == NotStored::Unpublished
        });
        it.outcome.publish.crashed_before_publish += lost.count() as u64;
        dropped.into_iter().map(|(port, message)| (port, message.sequence)).collect()
    }
}
