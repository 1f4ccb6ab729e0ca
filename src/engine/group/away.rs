//! A handler whose attempts run in the mesh: one after the other, as its group's retry policy has it.

use super::Core;
use super::fate::{End, MOST_BLOCKING_ATTEMPTS};
use super::run::{Next, Run};
use crate::dist::About;
use crate::engine::delegate::{Begin, Doom, How, Job};
use crate::engine::lineage::Lineage;

/// What a handler in the mesh needs beside what every handler has.
#[derive(Clone, Debug)]
pub(super) struct Away {
    /// Numbers of its events; it goes by the first.
    ids: Vec<u64>,
    about: About,
    lineage: Lineage,
    /// The attempt from which the limit of attempts counts.
    counted: u32,
    /// One of its events never succeeds.
    poisoned: bool,
    /// The group's number of the attempt.
    number: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An attempt is in the mesh.
    Out,
    /// It has come back.
    Back(How),
    /// The next one waits.
    Resting,
}

impl Away {
    /// Before the first attempt.
    pub(super) fn new(ids: &[u64], about: About, lineage: Lineage, counted: u32, poisoned: bool) -> Self {
        Self { ids: ids.to_vec(), about, lineage, counted, poisoned, number: 0, state: State::Resting }
    }
}

impl Run {
    /// Whether its attempts run in the mesh.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether an attempt is in the mesh.
    pub(super) fn is_out(&self) -> bool {
        self.away.as_ref().is_some_and(|away| away.state == State::Out)
    }

    /// Begins an attempt as number `worker` of a member.
    pub(super) fn attempt(&mut self, core: &mut Core, (member, worker): (usize, u32), now: u64) {
        let away = self.away.as_mut().expect("its attempts run in the mesh");
        let mut conditions = core.conditions(member);
        conditions.poisoned = away.poisoned;
        self.end = core.fates.end(&away.ids, self.attempt, conditions);
        self.attempts += 1;
        self.success = now;
        // Whoever watches the process starts it again when it has made no progress for so long.
        let watched = core.progress_timeout;
        let (doom, ends_at) = match self.end {
            End::Success => (Doom::None, u64::MAX),
            End::Failed => (Doom::Fails, u64::MAX),
            End::Crash => (Doom::Crashes, u64::MAX),
            End::Hang => (Doom::Hangs, now.saturating_add(watched)),
        };
        self.ends_at = ends_at;
        core.begun += 1;
        (away.number, away.state) = (core.begun, State::Out);
        let About { key, event_type, index, .. } = away.about;
        let (number, attempt, lineage) = (self.id, self.attempt, away.lineage);
        let begin = Begin { worker, run: core.begun, number, index, attempt, key, event_type, lineage, doom };
        core.tell(member, now, Job::Begin(begin));
    }

    /// An attempt has come back from the mesh; when the handler goes on. None: it is not the one at work.
    pub(super) fn back(&mut self, number: u64, how: How, now: u64) -> Option<u64> {
        let away = self.away.as_mut().filter(|away| away.number == number && away.state == State::Out)?;
        away.state = State::Back(how);
        // What fails in no time and is tried again at once would be so for ever at one instant.
        self.ends_at = if matches!(how, How::Done | How::Asks) { now } else { now.max(self.success + 1) };
        Some(self.ends_at)
    }

    /// The positions that its transaction has sent are taken, or refused: the attempt goes on in the mesh.
    pub(super) fn answer_positions(&mut self, core: &mut Core, (member, worker): (usize, u32), taken: bool, now: u64) {
        let away = self.away.as_mut().expect("its attempts run in the mesh");
        away.state = State::Out;
        self.committed = taken;
        core.tell(member, now, Job::Positions(worker, away.number, taken));
    }

    /// Goes on after an attempt, or with the next.
    pub(super) fn go_on_away(&mut self, core: &mut Core, who: (usize, u32), now: u64) -> Next {
        let away = self.away.as_mut().expect("its attempts run in the mesh");
        match away.state {
            // It hangs, and whoever watches it has waited long enough.
            State::Out => return Next::Done,
            State::Back(How::Done) => return Next::Done,
            State::Back(How::Asks) => return Next::Asks,
            State::Back(How::Refused) => return Next::Refused,
            State::Back(How::Failed) => self.end = End::Failed,
            State::Back(How::ByItself) => {}
            State::Resting => {
                self.attempt += 1;
                self.attempt(core, who, now);
                return Next::Told;
            }
        }
        if self.end != End::Failed || !core.fates.tries_again(self.attempt, away.counted) {
            return Next::Done;
        }
        away.state = State::Resting;
        let stuck = self.attempts >= MOST_BLOCKING_ATTEMPTS;
        let wait = if stuck { u64::MAX } else { core.fates.backoff(self.id, self.attempt) };
        self.ends_at = now.saturating_add(wait);
        Next::At(self.ends_at)
    }
}
