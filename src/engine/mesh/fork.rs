//! Strands that run at once: branches of a handler, and who waits for how many of them.

use super::program::Block;
use super::strand::{Kind, Level, Strand};
use super::{Event, ForkKey, Mesh, StrandKey};
use crate::engine::delegate::Doom;

/// Strands that run at once, and who waits for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    pub(super) parent: StrandKey,
    /// So many more must be done; so many more may fail.
    needed: usize,
    spare: usize,
    /// Strands that are not over.
    pub(super) left: usize,
    pub(super) decided: bool,
}

impl Mesh {
    /// Runs blocks at once. Whether the strand must wait for them.
    pub(super) fn fork(&mut self, parent: StrandKey, blocks: &[Block], quorum: usize, now: u64) -> bool {
        if blocks.is_empty() || quorum == 0 {
            return false;
        }
        let (visit, saga) = (self.strands[parent].visit, self.strands[parent].saga());
        let left = blocks.len();
        let fork = Fork { parent, needed: quorum, spare: left - quorum, left, decided: false };
        let fork = self.forks.insert(fork);
        self.visits[visit].strands += u32::try_from(left).expect("branches of a scenario");
        let strands: Vec<StrandKey> = blocks
            .iter()
            .map(|block| {
                let stack = vec![Level { block: *block, at: 0, kind: Kind::Main }];
                self.strands.insert(Strand::branch(visit, (fork, saga), stack))
            })
            .collect();
        for strand in strands {
            self.run(strand, now);
        }
        true
    }

    /// A strand is over.
    pub(super) fn over(&mut self, key: StrandKey, how: Result<(), ()>, now: u64) {
        let Some(strand) = self.strands.get(key) else { return };
        if strand.fork.is_none() && self.visits[strand.visit].doom == Doom::Hangs {
            // It never comes back, whatever became of its steps.
            return;
        }
        let strand = self.strands.remove(key).expect("just seen");
        match strand.fork {
            None => self.end_visit(strand.visit, how, now),
            Some(fork) => self.branch_over(fork, how, now),
        }
        self.strand_over(strand.visit, now);
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
}
