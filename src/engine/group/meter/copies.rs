//! Events of which there are several copies: stored more than once, or published to retry topics. The best end of all of
//! them is the event's.

use super::{Conclusion, Meter, entry_of};
use crate::engine::log::{EventCode, Record};
use crate::outcome::{Again, Example};

/// What has come of the copies of one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    /// None: no copy has ended.
    pub(super) best: Option<Conclusion>,
    pub(super) effected: u64,
    /// Whether its end is to be counted.
    pub(super) measured: bool,
    /// Whether it was published to a retry topic.
    pub(super) retried: bool,
    /// Why its record was handed out again before it was settled, if it was.
    pub(super) again: Option<Again>,
    /// Who it is, and when the best end was known.
    pub(super) example: Example,
}

impl Meter {
    /// What has come of the copies of an event that has some.
    #[inline]
    pub(super) fn copies_of(&mut self, slot: usize, record: &Record) -> Option<&mut Copies> {
        if !record.is_copied() && !self.retries {
            return None;
        }
        self.copies.get_mut(&(slot, EventCode::plain(record.event)))
    }

    /// A further copy of an event goes to a retry topic. What was known of it so far: `None`: it has no end yet;
    /// `Some(Ok(done))`: it took effect; `Some(Err(how))`: it was given up. And why its record was handed out again, if it was.
    pub(in crate::engine::group) fn retry(
        &mut self,
        slot: usize,
        record: &Record,
        end: Option<Result<u64, Conclusion>>,
        again: Option<Again>,
    ) {
        self.retries = true;
        let measured = record.created >= self.warm_up;
        self.retried += u64::from(measured);
        let example = self.slots[slot].example(record, self.now);
        let key = (slot, EventCode::plain(record.event));
        if let Some(copies) = self.copies.get_mut(&key) {
            copies.retried = true;
            copies.again = copies.again.or(again);
            return;
        }
        let mut copies = Copies { best: None, effected: 0, measured, retried: true, again, example };
        match end {
            None => {}
            // It has been counted.
            Some(Ok(done)) => {
                (copies.best, copies.effected, copies.measured) = (Some(Conclusion::Effected), done, false);
            }
            Some(Err(how)) => {
                self.retract(slot, record, how);
                copies.best = Some(how);
            }
        }
        self.copies.insert(key, copies);
    }

    /// One of the copies of an event has ended.
    pub(super) fn conclude_copy(&mut self, slot: usize, record: &Record, how: Conclusion) {
        let measured = record.created >= self.warm_up;
        let key = (slot, EventCode::plain(record.event));
        let example = self.slots[slot].example(record, self.now);
        let none =
            Copies { best: Some(Conclusion::Waiting), effected: 0, measured, retried: false, again: None, example };
        let copies = self.copies.entry(key).or_insert(none);
        if Some(how) >= copies.best {
            (copies.best, copies.example) = (Some(how), example);
        }
    }

    /// Counts each event that has copies by the best of them.
    pub(super) fn count_copies(&mut self) {
        for copies in std::mem::take(&mut self.copies).into_values().filter(|copies| copies.measured) {
            let best = copies.best.unwrap_or(Conclusion::Waiting);
            *entry_of(&mut self.ledger, best) += 1;
            if let Some(cause) = best.cause() {
                self.note_loss(cause, copies.example);
            }
        }
    }
}
