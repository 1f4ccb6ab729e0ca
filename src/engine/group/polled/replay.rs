//! Replay: operators stop a group, set its positions back to what they were at a time, and start it again.
//!
//! A bus sets positions back only while nobody reads, so a replay costs what a full stop costs: every member finishes what
//! it has polled, settles and leaves; what the group still believes in is waited for; then all processes are started, and join.
//!
//! What is to be read again is kept in the log from its visibility on, and so is what has come of it (`past.rs`): an effect
//! makes the next one a second, and what was given up is open again.

use super::{Core, Log, Polled};

/// A replay of which the first record is known.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    number: usize,
    /// By lane: where it begins.
    from: Vec<u64>,
    /// Whether the group is being stopped for it.
    due: bool,
}

/// The replays of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Replays {
    /// Those to come, of which something is there already.
    ahead: Vec<Replay>,
    /// How often the group has been started again.
    starts: u64,
}

impl Polled {
    /// What becomes visible from `now` on is read again later.
    pub(in crate::engine::group) fn hold(&mut self, core: &Core, logs: &[&Log], number: usize, now: u64) {
        let lanes = self.lanes.iter().enumerate();
        let from = lanes.map(|(lane, state)| core.log_lane(logs, lane).visible_end(state.marks_from, now)).collect();
        self.replays.ahead.push(Replay { number, from, due: false });
        self.hold_on();
    }

    /// Operators stop the group.
    pub(in crate::engine::group) fn replay(&mut self, core: &mut Core, logs: &[&Log], number: usize, now: u64) {
        self.replays.ahead.iter_mut().filter(|replay| replay.number == number).for_each(|replay| replay.due = true);
        for member in 0..self.members.len() {
            core.members[member].stopped = true;
            self.leave(core, logs, member, now);
        }
        self.go_back_if_alone(core, logs, now);
        self.look_at_all(core);
    }

    /// Sets the positions back if operators wait for that, and nobody reads any more.
    #[inline(always)]
    pub(super) fn go_back_if_alone(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        if !self.replays.ahead.is_empty() && self.replays.ahead.iter().any(|replay| replay.due) && self.is_alone(core) {
            self.go_back(core, logs, now);
        }
    }

    /// Whether all processes have ended with all that they had to publish, and the group knows it.
    fn is_alone(&self, core: &Core) -> bool {
        let here = |member: usize| {
            let state = &self.members[member];
            state.in_group || state.zombie || (core.members[member].down == 0 && core.outputs.next(member) < u64::MAX)
        };
        !(0..self.members.len()).any(here) && !self.rounds.waits_for_the_dead()
    }

    #[cold]
    fn go_back(&mut self, core: &mut Core, logs: &[&Log], now: u64) {
        let (due, later) = std::mem::take(&mut self.replays.ahead).into_iter().partition(|replay| replay.due);
        self.replays.ahead = later;
        for Replay { from, .. } in due {
            for (lane, from) in from.into_iter().enumerate() {
                // Not behind what is deleted.
                let to = from.max(core.log_lane(logs, lane).start(now));
                self.set_back(core, logs, lane, to);
            }
        }
        self.hold_on();
        self.replays.starts += 1;
        let ready = |member| (core.start_again(member, self.replays.starts, now), member);
        self.rounds.starts = (0..self.members.len()).map(ready).collect();
    }

    /// The position goes back, and never ahead.
    fn set_back(&mut self, core: &mut Core, logs: &[&Log], lane: usize, to: u64) {
        let state = &mut self.lanes[lane];
        if to >= state.committed {
            return;
        }
        for (offset, mark) in state.rewind(to) {
            if let Some(given_up) = mark.given_up.take() {
                mark.concluded = false;
                let subject = core.subject(logs, lane, offset);
                core.meter.retract(subject.slot, &subject.record, given_up.how);
            }
        }
    }

    /// Forgets nothing that a replay to come reads.
    fn hold_on(&mut self) {
        for (lane, state) in self.lanes.iter_mut().enumerate() {
            state.hold = self.replays.ahead.iter().map(|replay| replay.from[lane]).min().unwrap_or(u64::MAX);
        }
    }
}
