//! A polled group's handlers that publish what has failed to a retry topic: their worker is held until that is acknowledged.

use super::{Core, Log, Polled};
use crate::engine::group::meter::Handed;
use crate::engine::group::retries::PUBLISH_AGAIN;
use crate::engine::group::run::{Copying, Run};

impl Run {
    /// The copy of its event has been answered: it is stored, or to be published once more.
    pub(super) fn copy_answered(&mut self, acknowledged: bool, now: u64) {
        if acknowledged {
            (self.copying, self.ends_at) = (Copying::Stored, now);
        } else {
            (self.copying, self.ends_at) = (Copying::Again, now.saturating_add(PUBLISH_AGAIN));
        }
    }
}

impl Polled {
    /// The attempt of a handler has failed, and its event is to be tried again from a retry topic.
    pub(super) fn copy(&mut self, core: &mut Core, logs: &[&Log], who: (usize, u32), mut run: Run, now: u64) {
        let item = run.item;
        let subject = core.subject(logs, item.lane, item.offset);
        let end = match self.lanes[item.lane].known(item.offset) {
            // It was done with and settled before.
            None => Some(Ok(run.start.max(1))),
            Some(mark) => match mark.given_up {
                Some(given_up) => Some(Err(given_up.how)),
                None => mark.concluded.then_some(Ok(mark.effected.max(1))),
            },
        };
        let again = self.lanes[item.lane].known(item.offset).and_then(|mark| mark.again);
        core.meter.retry(subject.slot, &subject.record, end, again);
        if self.lanes[item.lane].known(item.offset).is_some() {
            self.lanes[item.lane].mark(item.offset).given_up = None;
        }
        run.copy_failed = now;
        self.publish_copy(core, logs, who, run, now);
    }

    /// Goes on with a handler whose copy was answered.
    pub(super) fn go_on_copying(&mut self, core: &mut Core, logs: &[&Log], who: (usize, u32), run: Run, now: u64) {
        match run.copying {
            Copying::Stored => self.close(core, logs, who.0, who.1, run, now),
            Copying::Again => self.publish_copy(core, logs, who, run, now),
            Copying::None | Copying::Sent => unreachable!("it goes on when it is answered"),
        }
    }

    fn publish_copy(&mut self, core: &mut Core, logs: &[&Log], who: (usize, u32), mut run: Run, now: u64) {
        (run.copying, run.ends_at) = (Copying::Sent, u64::MAX);
        let arrived = if self.config.instant {
            core.log_lane(logs, run.item.lane).at(run.item.offset).visible
        } else {
            run.item.arrived
        };
        let handed = Handed { arrived, start: run.start };
        core.publish_copy(logs, who, run.item, (handed, run.attempt), (run.copy_failed, now));
        self.members[who.0].runs[who.1 as usize] = Some(run);
    }
}
