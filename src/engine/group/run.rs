//! A handler at work: what it holds, and how it goes on.

use super::Core;
use super::away::Away;
use super::fate::{End, slowed};
use super::meter::Handed;
use super::retries::Subject;
use crate::dist::NO_KEY;
use crate::engine::hand::Hand;
use crate::engine::handler::Action;

use crate::engine::log::{Log, Record};

/// A record in a member's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) lane: usize,
    pub(super) offset: u64,
    /// When it reached the member.
    pub(super) arrived: u64,
    /// The assignment, or the push, that brought it.
    pub(super) tag: u64,
    /// Its first delivery, where this is a later one (known once a handler takes it).
    pub(super) first: Option<Handed>,
}

/// A running handler.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) item: Item,
    /// Further records of a batch.
    pub(super) more: Vec<Item>,
    pub(super) start: u64,
    /// Start of the last attempt.
    pub(super) success: u64,
    pub(super) busy_from: u64,
    /// When it goes on or ends; `u64::MAX` while it waits for acknowledgements.
    pub(super) ends_at: u64,
    pub(super) attempts: u32,
    /// Number of the last attempt among all at this record.
    pub(super) attempt: u32,
    pub(super) end: End,
    /// Number of the event (of a batch: of its first).
    pub(super) id: u64,
    actions: Vec<Action>,
    at: usize,
    slow: f64,
    waits: u32,
    /// What else it needs where its attempts run in the mesh.
    pub(super) away: Option<Box<Away>>,
    /// The copy of its event for a retry topic, and when the attempt failed.
    pub(super) copying: Copying,
    pub(super) copy_failed: u64,
    /// The positions of its records are committed, in its transaction.
    pub(super) committed: bool,
}

/// Where the copy of a handler's event for a retry topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// There is none.
    None,
    /// Published, and not answered.
    Sent,
    /// Not stored, as far as is known: to be published again.
    Again,
    /// Acknowledged.
    Stored,
}

/// What a handler needs to go on.
pub(super) enum Next {
    /// Nothing but time.
    At(u64),
    /// To be told: that what it has published is acknowledged, or that its attempt in the mesh is over.
    Told,
    /// Nothing: it is done.
    Done,
    /// An answer to its transaction: whether the positions of its records are taken.
    Asks,
    /// Nothing: its transaction was refused, and others have its records.
    Refused,
}

impl Run {
    /// A member's handler takes a record, or a batch. `first` is the number of its next attempt, `counted` the one from
    /// which the limit of attempts counts.
    pub(super) fn begin(
        core: &mut Core,
        logs: &[&Log],
        (member, worker): (usize, u32),
        (item, more): (Item, Vec<Item>),
        (first, counted): (u32, u32),
        now: u64,
    ) -> Self {
        let mut conditions = core.conditions(member);
        let mut id_of = |item: &Item| {
            let Subject { slot, record: Record { event, .. }, .. } = core.subject(logs, item.lane, item.offset);
            conditions.poisoned |= core.is_poisoned(member, slot, event);
            core.fates.id(slot, event)
        };
        let id = id_of(&item);
        let batch: Vec<u64>;
        let ids = if more.is_empty() {
            std::slice::from_ref(&id)
        } else {
            batch = std::iter::once(id).chain(more.iter().map(id_of)).collect();
            &batch
        };
        let Subject { slot, record, extra } = core.subject(logs, item.lane, item.offset);
        let about = core.fates.about(slot, &record, extra);
        let mut run = Self {
            item,
            more: Vec::new(),
            start: now,
            success: now,
            busy_from: now,
            ends_at: now,
            attempts: 0,
            attempt: first,
            end: End::Success,
            id,
            actions: Vec::new(),
            at: 0,
            slow: conditions.slow,
            waits: 0,
            away: None,
            copying: Copying::None,
            copy_failed: 0,
            committed: false,
        };
        if core.delegates {
            run.away = Some(Box::new(Away::new(ids, about, extra.lineage, counted, conditions.poisoned)));
            run.attempt(core, (member, worker), now);
            return Self { more, ..run };
        }
        let mut fate = core.fates.fate(ids, about, (first, counted), conditions);
        if fate.end == End::Hang {
            // The handler never returns; whoever watches the process starts it again when it has made no progress so long.
            fate.service = core.progress_timeout;
        }
        run.success = now.saturating_add(fate.lead);
        run.ends_at = run.success.saturating_add(fate.service);
        (run.attempts, run.attempt, run.end) = (fate.attempts, first + fate.attempts - 1, fate.end);
        if fate.end == End::Success && !core.fates.program.is_silent() {
            core.fates.program.actions(id, run.attempt, about, &mut run.actions);
            run.ends_at = run.success;
        }
        Self { more, ..run }
    }

    /// Its records.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        std::iter::once(&self.item).chain(&self.more)
    }

    /// Whether it publishes.
    pub(super) fn is_staged(&self) -> bool {
        !self.actions.is_empty()
    }

    /// One of the acknowledgements that it waits for has come; whether it was the last.
    pub(super) fn acknowledged(&mut self) -> bool {
        self.waits -= 1;
        self.waits == 0
    }

    /// Goes on until it needs something, as number `worker` of a member.
    pub(super) fn go_on(&mut self, core: &mut Core, logs: &[&Log], (member, worker): (usize, u32), now: u64) -> Next {
        if self.away.is_some() {
            return self.go_on_away(core, (member, worker), now);
        }
        while let Some(action) = self.actions.get(self.at).cloned() {
            self.at += 1;
            match action {
                Action::Spend(0) => {}
                Action::Spend(span) => {
                    self.ends_at = now.saturating_add(slowed(span, self.slow));
                    return Next::At(self.ends_at);
                }
                Action::Publish { step, copies } => {
                    let Subject { record, extra, .. } = core.subject(logs, self.item.lane, self.item.offset);
                    for n in 0..copies {
                        let publishing = &core.fates.program.publishes[step];
                        let (topic, waits) = (publishing.plan.to.0 as usize, publishing.plan.wait_for_ack);
                        let drawn = publishing.draw(self.id, n, (record.key, extra.event_type, 1024));
                        self.waits += u32::from(waits);
                        let waiter = waits.then_some(worker);
                        let _ = core.outputs.publish(member, topic, now, drawn, extra.lineage, waiter);
                    }
                    if self.waits > 0 {
                        self.ends_at = u64::MAX;
                        return Next::Told;
                    }
                }
            }
        }
        Next::Done
    }

    /// The process stands still for so long.
    pub(super) fn shift(&mut self, by: u64) {
        self.ends_at = self.ends_at.saturating_add(by);
        self.busy_from = self.busy_from.saturating_add(by);
    }
}

/// Keys in handlers' hands, by topic: those of another topic are other keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// How many records of each key are in hands, and in which handler's alone; none: in several's.
    holders: Hand<(u32, Option<u64>)>,
    /// Handlers begun so far.
    handlers: u64,
}

impl Held {
    /// A handler begins: what is taken from now on is in its hands.
    pub(super) fn begin(&mut self) {
        self.handlers += 1;
    }

    /// The handler that began last takes a record; whether another holds one of its key.
    pub(super) fn take(&mut self, slot: usize, key: u32) -> bool {
        if key == NO_KEY {
            return false;
        }
        let number = numbered(slot, key);
        let Some((held, whose)) = self.holders.get_mut(number) else {
            self.holders.insert(number, (1, Some(self.handlers)));
            return false;
        };
        *held += 1;
        // A batch may hold several of one key.
        if *whose == Some(self.handlers) {
            return false;
        }
        *whose = None;
        true
    }

    /// A handler is done with a record.
    pub(super) fn release(&mut self, slot: usize, key: u32) {
        let number = numbered(slot, key);
        let Some((held, _)) = self.holders.get_mut(number) else { return };
        *held -= 1;
        if *held == 0 {
            self.holders.remove(number);
        }
    }
}

/// One number for a topic (by slot) and a key.
#[inline]
pub(super) fn numbered(slot: usize, key: u32) -> u64 {
    ((slot as u64) << 32) | u64::from(key)
}
