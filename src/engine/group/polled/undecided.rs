//! Effects of records whose transaction had not ended by then: if it is aborted, they were of what has never been.

use super::{Core, Log, Polled};
use crate::engine::group::run::Item;

/// An effect of which it is not known whether its event counts.
#[derive(Clone, Copy, Debug)]
struct Effect {
    lane: usize,
    offset: u64,
    done: u64,
}

/// Effects of a group that does not wait for transactions to be committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Undecided {
    list: Vec<Effect>,
}

impl Undecided {
    /// The first record of a partition of which something is still to be known.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        let here = self.list.iter().filter(|effect| effect.lane == lane);
        here.map(|effect| effect.offset).min().unwrap_or(u64::MAX)
    }
}

impl Polled {
    /// A record has taken effect for the first time.
    pub(super) fn effected(&mut self, core: &mut Core, logs: &[&Log], item: Item, done: u64) {
        if core.transactional && !core.committed_only {
            self.undecided.list.push(Effect { lane: item.lane, offset: item.offset, done });
            self.decide(core, logs);
        }
    }

    /// Counts the effects of which it is known by now that their transaction was aborted.
    pub(super) fn decide(&mut self, core: &mut Core, logs: &[&Log]) {
        self.undecided.list.retain(|effect| {
            let Some(aborted) = core.log_lane(logs, effect.lane).aborted(effect.offset) else { return true };
            if aborted {
                let subject = core.subject(logs, effect.lane, effect.offset);
                core.meter.aborted_read(subject.slot, &subject.record, effect.done);
            }
            false
        });
    }
}
