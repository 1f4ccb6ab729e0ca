//! Sagas: parts in a row, undone in reverse when one fails; and effects that come too late to be undone.

use super::strand::{Kind, Level};
use super::{Mesh, RootKey, StrandKey};

/// A saga of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SagaRun {
    /// Who runs it.
    actor: usize,
    measured: bool,
    compensated: bool,
    /// Parts that took effect after their caller had given up, a bit for each.
    late_parts: u64,
    /// From this part on nothing will be undone any more: it failed, or it is being undone.
    beyond: usize,
    /// An effect stands that came too late to be undone.
    stands: bool,
}

/// The bit of a part; those of a saga with more than 64 share the last one.
fn bit(part: usize) -> u64 {
    1 << part.min(63)
}

impl Mesh {
    pub(super) fn begin_saga(&mut self, key: StrandKey, number: usize, now: u64) {
        let measured = self.measured(now);
        let visit = &self.visits[self.strands[key].visit];
        let actor = visit.actor;
        let runs = &mut self.roots[visit.root].sagas;
        let begun = SagaRun { actor, measured, compensated: false, late_parts: 0, beyond: usize::MAX, stands: false };
        runs.push(begun);
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

    /// A part of a saga is done: the next one begins, or the saga is complete.
    pub(super) fn next_part(&mut self, key: StrandKey, saga: usize, run: usize, done: usize) {
        let actor = self.visits[self.strands[key].visit].actor;
        match self.actors[actor].program.sagas[saga].parts.get(done + 1).copied() {
            Some((block, _)) => {
                let kind = Kind::Part { saga, run, part: done + 1, tries: 1 };
                self.strands[key].stack.push(Level { block, at: 0, kind });
            }
            None => {
                let measured = self.saga_run(key, run).measured;
                self.actors[actor].outcome.handler.sagas.completed += u64::from(measured);
            }
        }
    }

    /// A part has failed, and what came before it is undone. Whether there is anything to undo.
    pub(super) fn part_failed(&mut self, key: StrandKey, saga: usize, run: usize, part: usize) -> bool {
        let it = self.saga_run(key, run);
        it.beyond = part;
        it.stands |= it.late_parts & bit(part) != 0;
        self.undo_before(key, saga, run, part)
    }

    /// Begins to undo the part before another; if that was the first, all is undone. Whether there is anything to undo.
    pub(super) fn undo_before(&mut self, key: StrandKey, saga: usize, run: usize, part: usize) -> bool {
        let Some(before) = part.checked_sub(1) else {
            self.compensated(key, run);
            return false;
        };
        self.saga_run(key, run).beyond = before;
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
        let (actor, measured, stands) = (it.actor, u64::from(it.measured), u64::from(it.stands));
        let sagas = &mut self.actors[actor].outcome.handler.sagas;
        sagas.compensated += measured;
        sagas.late_success += measured * stands;
    }

    /// A saga is half done for good.
    pub(super) fn stuck(&mut self, key: StrandKey, run: usize) {
        let it = self.saga_run(key, run);
        let (actor, measured) = (it.actor, it.measured);
        self.actors[actor].outcome.handler.sagas.stuck += u64::from(measured);
    }

    /// A request that had been given up took effect all the same. If its part of a saga is undone later, so is this; if
    /// the part has failed, or is being undone, it stands.
    pub(super) fn late_success(&mut self, root: RootKey, saga: Option<(usize, usize)>) {
        let Some((run, part)) = saga else { return };
        let Some(it) = self.roots.get_mut(root).and_then(|root| root.sagas.get_mut(run)) else { return };
        it.late_parts |= bit(part);
        if part < it.beyond || std::mem::replace(&mut it.stands, true) || !it.compensated {
            return;
        }
        self.actors[it.actor].outcome.handler.sagas.late_success += u64::from(it.measured);
    }
}
