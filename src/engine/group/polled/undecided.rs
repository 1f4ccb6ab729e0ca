//! Effects of records whose transaction had not ended by then: if it is aborted, they were of what has never been.

use std::collections::BTreeMap;

use super::{Core, Log, Polled};
use crate::engine::group::run::Item;

/// Effects of a group that does not wait for transactions to be committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Undecided {
    /// By lane and offset: when those took effect of which it is not known whether they count.
    effects: BTreeMap<(usize, u64), u64>,
    /// By lane: markers that had come when they were last looked at.
    marks: BTreeMap<usize, u64>,
}

impl Undecided {
    /// The first record of a partition of which something is still to be known.
    pub(super) fn keep(&self, lane: usize) -> u64 {
        self.effects.range((lane, 0)..=(lane, u64::MAX)).next().map_or(u64::MAX, |((_, offset), _)| *offset)
    }
}

impl Polled {
    /// A record has taken effect for the first time.
    pub(super) fn effected(&mut self, core: &mut Core, logs: &[&Log], item: Item, done: u64) {
        if !core.transactional || core.committed_only {
            return;
        }
        if !decided(core, logs, (item.lane, item.offset), done) {
            self.undecided.effects.insert((item.lane, item.offset), done);
        }
    }

    /// Counts the effects of which it is known by now that their transaction was aborted.
    pub(super) fn decide_all(&mut self, core: &mut Core, logs: &[&Log]) {
        for lane in 0..self.lanes.len() {
            let marks = core.log_lane(logs, lane).marks();
            if self.undecided.marks.insert(lane, marks).unwrap_or(0) != marks {
                self.decide(core, logs, lane);
            }
        }
    }

    fn decide(&mut self, core: &mut Core, logs: &[&Log], lane: usize) {
        let mut of = self.undecided.effects.split_off(&(lane, 0));
        self.undecided.effects.append(&mut of.split_off(&(lane + 1, 0)));
        of.retain(|place, done| !decided(core, logs, *place, *done));
        self.undecided.effects.append(&mut of);
    }
}

/// Whether it is known if the transaction of a record was aborted; if it was, its effect is counted.
fn decided(core: &mut Core, logs: &[&Log], (lane, offset): (usize, u64), done: u64) -> bool {
    let Some(aborted) = core.log_lane(logs, lane).aborted(offset) else { return false };
    if aborted {
        let subject = core.subject(logs, lane, offset);
        core.meter.aborted_read(subject.slot, &subject.record, done);
    }
    true
}
