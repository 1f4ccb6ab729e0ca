//! One partition of a polled group: its positions, and what is known of its records that are not done with.

use std::collections::{BTreeMap, VecDeque};

use super::past::Past;
use crate::engine::group::meter::{GivenUp, Handed, Meter};
use crate::engine::group::run::Item;
use crate::outcome::Again;

/// One partition, as the group knows it. `committed <= polled <= fetched`, and `prefix <= polled`.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) broker: usize,
    /// The member that reads it.
    pub(super) owner: Option<usize>,
    /// Whether its owner has heard that it is to give it back, and whether a member has heard that it may have it.
    pub(super) demanded: bool,
    pub(super) offered: bool,
    /// Why it was last taken from its owner.
    pub(super) left: Again,
    /// Counts its assignments.
    pub(super) assignment: u64,
    pub(super) committed: u64,
    /// All before this are finished in this assignment.
    pub(super) prefix: u64,
    /// From the prefix on: which are finished in this assignment.
    finished: VecDeque<bool>,
    pub(super) polled: u64,
    pub(super) fetched: u64,
    /// A scheduled consumer takes records before this only.
    pub(super) awake: u64,
    /// Highest offset ever handed to a member, plus one.
    pub(super) reached: u64,
    /// The keys of records before this have been recalled.
    pub(super) recalled: u64,
    marks: VecDeque<Mark>,
    pub(super) marks_from: u64,
    /// What is read again later is not forgotten: all from this on, and what has come of it.
    pub(super) hold: u64,
    past: Past,
    /// Where deliveries are recorded one by one: when positions were settled whose delivery had not ended.
    pub(super) settled_early: BTreeMap<u64, u64>,
}

/// What is known of a record that is in hand or not settled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Its first delivery, if a handler has taken it.
    pub(super) first: Option<Handed>,
    pub(super) concluded: bool,
    /// How it was given up, if it was.
    pub(super) given_up: Option<GivenUp>,
    pub(super) effected: u64,
    pub(super) attempts: u32,
    pub(super) trace: u32,
    /// It was settled, and the group has gone back before it and is not done with it again.
    pub(super) replayed: bool,
    /// Why it was handed out again before it was settled, if it was.
    pub(super) again: Option<Again>,
}

impl Mark {
    /// Of a record that has taken effect at a time.
    pub(super) fn effected(at: u64) -> Self {
        Self { first: Some(Handed { arrived: at, start: at }), concluded: true, effected: at, ..Self::default() }
    }
}

impl Lane {
    /// A partition that a broker leads; a scheduled consumer sleeps at first.
    pub(super) fn new(broker: usize, sleeps: bool) -> Self {
        Self {
            broker,
            owner: None,
            demanded: false,
            offered: false,
            left: Again::default(),
            assignment: 0,
            committed: 0,
            prefix: 0,
            finished: VecDeque::new(),
            polled: 0,
            fetched: 0,
            awake: if sleeps { 0 } else { u64::MAX },
            reached: 0,
            recalled: 0,
            marks: VecDeque::new(),
            marks_from: 0,
            hold: u64::MAX,
            past: Past::default(),
            settled_early: BTreeMap::new(),
        }
    }

    /// A new assignment: it starts at the committed position.
    pub(super) fn assign(&mut self, owner: Option<usize>) {
        (self.owner, self.demanded, self.offered) = (owner, false, false);
        self.assignment += 1;
        (self.prefix, self.polled, self.fetched) = (self.committed, self.committed, self.committed);
        self.finished.clear();
    }

    /// It is about to be given out: whether what was handed to a member will be again.
    pub(super) fn is_rewound(&mut self) -> bool {
        let rewound = self.committed < self.reached;
        if rewound {
            let first = usize::try_from(self.committed.saturating_sub(self.marks_from)).unwrap_or(usize::MAX);
            self.marks.iter_mut().skip(first).for_each(|mark| mark.again = Some(self.left));
        }
        self.reached = self.committed;
        rewound
    }

    /// Whether a fetch asks for more of it: nothing is buffered, and its owner is not asleep.
    pub(super) fn wants_more(&self) -> bool {
        self.polled == self.fetched && self.fetched < self.awake
    }

    /// A record is finished in this assignment: the prefix may grow.
    pub(super) fn finish(&mut self, offset: u64) {
        let at = usize::try_from(offset - self.prefix).expect("at most what has been polled");
        if at >= self.finished.len() {
            self.finished.resize(at + 1, false);
        }
        self.finished[at] = true;
        while self.finished.pop_front_if(|finished| *finished).is_some() {
            self.prefix += 1;
        }
    }

    /// The mark of a record, made if it is new.
    #[inline]
    pub(super) fn mark(&mut self, offset: u64) -> &mut Mark {
        let at = usize::try_from(offset - self.marks_from).expect("marks are bounded by what is in hand");
        while at >= self.marks.len() {
            let next = self.marks_from + self.marks.len() as u64;
            self.marks.push_back(self.past.recall(next));
        }
        &mut self.marks[at]
    }

    /// The mark of a record, if there is one (not so for records settled and forgotten, and for new ones).
    pub(super) fn known(&self, offset: u64) -> Option<&Mark> {
        let at = usize::try_from(offset.checked_sub(self.marks_from)?).ok()?;
        self.marks.get(at)
    }

    /// A handler takes a record: whether one had before, and the attempts made so far, as far as is known. What has been
    /// forgotten was taken before.
    pub(super) fn start(&mut self, item: &mut Item, now: u64) -> (bool, u32) {
        if item.offset < self.marks_from {
            return (true, 0);
        }
        let mark = self.mark(item.offset);
        item.first = mark.first;
        mark.first.get_or_insert(Handed { arrived: item.arrived, start: now });
        (item.first.is_some(), mark.attempts)
    }

    /// A handler has made so many attempts at it, with those before.
    pub(super) fn attempted(&mut self, offset: u64, attempts: u32) {
        if offset >= self.marks_from {
            self.mark(offset).attempts = attempts;
        }
    }

    /// Forgets what is both settled and concluded, and not to be done again.
    pub(super) fn forget(&mut self, meter: &mut Meter) {
        while self.marks_from < self.committed
            && let Some(mark) = self.marks.pop_front_if(|mark| mark.concluded && !mark.replayed)
        {
            if self.marks_from >= self.hold {
                // What was there of an earlier replay may end before what is held for the next.
                self.past.forget(self.marks_from.min(self.hold));
                self.past.note(self.marks_from, mark);
            } else if let Some(given_up) = mark.given_up {
                meter.never_done(given_up);
            }
            self.marks_from += 1;
        }
        self.past.forget(self.marks_from.min(self.hold));
    }

    /// The position goes back to `to`, while nobody has anything in hand: what will be read again and did not simply take
    /// effect.
    pub(super) fn rewind(&mut self, to: u64) -> impl Iterator<Item = (u64, &mut Mark)> {
        for (offset, mark) in (self.marks_from..).zip(self.marks.drain(..)) {
            self.past.note(offset, mark);
        }
        self.past.settled = self.past.settled.max(self.committed);
        self.marks_from = self.marks_from.min(to);
        self.committed = to;
        // A scheduled consumer takes it when it next wakes.
        if self.awake != u64::MAX {
            self.awake = self.awake.min(to);
        }
        self.assign(None);
        self.past.kept_from(to)
    }

    /// Whether a record of which there is no mark is done with all the same: its group has gone back before it, and has not
    /// come to it again.
    pub(super) fn is_past(&self, offset: u64) -> bool {
        self.past.recall(offset).concluded
    }
}
