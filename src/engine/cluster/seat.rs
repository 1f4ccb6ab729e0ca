//! The copies of one partition while its timeline is made: who leads, who is in sync, who follows.

use super::node::Spans;
use super::partition::{Has, Partition, Reign};

/// One copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    /// On which node.
    pub(super) node: usize,
    /// Whether it counts as in sync.
    pub(super) in_sync: bool,
    /// Whether it fetches from the leader, and has caught up.
    pub(super) follows: bool,
    /// What it has; of one that follows, as of the last leader's end.
    pub(super) has: Has,
    /// What it would have if its node's power had not failed.
    had: Has,
}

impl Copy {
    /// It has so much.
    fn hold(&mut self, has: Has) {
        (self.has, self.had) = (has, has);
    }
}

/// When a partition did not do all that it should, and the fault behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) fault: usize,
}

/// The copies of one partition.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) topic: usize,
    /// Those that are to lead first.
    pub(super) copies: Vec<Copy>,
    /// Which copy leads, or shall.
    pub(super) leader: Option<usize>,
    /// Whether it does.
    pub(super) reigning: bool,
    /// Decisions about its leader so far.
    pub(super) term: u32,
    pub(super) made: Partition,
    stalled: bool,
    /// Nobody served.
    pub(super) unserved: Vec<Gap>,
    /// Too few copies were in sync for what is to be acknowledged by all.
    pub(super) refused: Vec<Gap>,
}

impl Seat {
    /// A partition with copies on these nodes, of which the first leads from the start.
    pub(super) fn new(topic: usize, nodes: impl Iterator<Item = usize>) -> Self {
        let has = Has { reign: 0, until: 0 };
        let copies: Vec<Copy> = nodes.map(|node| Copy { node, in_sync: true, follows: true, has, had: has }).collect();
        let mut made = Partition::default();
        made.in_sync.push((0, u32::try_from(copies.len()).expect("copies are few")));
        let mut seat = Self {
            topic,
            copies,
            leader: Some(0),
            reigning: false,
            term: 0,
            made,
            stalled: false,
            unserved: Vec::new(),
            refused: Vec::new(),
        };
        seat.open(0);
        seat
    }

    /// The node whose copy leads, or shall.
    pub(super) fn leading(&self) -> Option<usize> {
        self.leader.map(|leader| self.copies[leader].node)
    }

    /// Copies in sync.
    pub(super) fn in_sync(&self) -> u32 {
        u32::try_from(self.copies.iter().filter(|copy| copy.in_sync).count()).expect("copies are few")
    }

    /// The leader begins to serve.
    pub(super) fn open(&mut self, now: u64) {
        let Some(leader) = self.leader else { return };
        let Copy { node, in_sync, has, had, .. } = self.copies[leader];
        debug_assert!(in_sync, "an elected copy is the log");
        if let Some(last) = self.made.reigns.last_mut() {
            (last.kept, last.had) = (has, had);
        }
        self.made.reigns.push(Reign {
            leader: u32::try_from(node).expect("nodes fit 32 bits"),
            from: now,
            to: u64::MAX,
            kept: Has { reign: 0, until: 0 },
            had: Has { reign: 0, until: 0 },
            unclean: false,
        });
        self.reigning = true;
    }

    /// The leader serves no more since `to`: what every copy has is settled.
    pub(super) fn leave(&mut self, to: u64) {
        let Some(leader) = self.leader.filter(|_| std::mem::take(&mut self.reigning)) else { return };
        let reign = self.made.reigns.len() - 1;
        self.made.reigns[reign].to = to;
        for (at, copy) in self.copies.iter_mut().enumerate() {
            if at == leader {
                copy.hold(Has { reign, until: u64::MAX });
            } else if copy.follows {
                copy.hold(Has { reign, until: to });
            }
        }
    }

    /// A copy has lost touch with its leader, which has been silent itself since `leader_silent`, if it is.
    pub(super) fn lose_touch(&mut self, copy: usize, now: u64, leader_silent: Option<u64>) {
        let reign = self.made.reigns.len() - 1;
        let reigning = self.reigning;
        let copy = &mut self.copies[copy];
        if std::mem::take(&mut copy.follows) && reigning {
            copy.hold(Has { reign, until: leader_silent.unwrap_or(now).min(now) });
        }
    }

    /// What a copy has got since a time is gone.
    pub(super) fn forget(&mut self, copy: usize, since: u64) {
        let reign = self.made.reigns.iter().rposition(|reign| reign.from <= since).unwrap_or(0);
        let copy = &mut self.copies[copy];
        copy.has = copy.has.min(Has { reign, until: since });
    }

    /// A copy counts as in sync no more; the last one stays.
    pub(super) fn drop_out(&mut self, copy: usize) {
        if self.in_sync() > 1 {
            self.copies[copy].in_sync = false;
            self.copies[copy].follows = false;
        }
    }

    /// Notes what has changed by `now`, and the fault behind it: `serving`, whether the leader moves; `least`, the copies in
    /// sync that a publisher may ask for.
    pub(super) fn note(&mut self, now: u64, serving: bool, least: u32, fault: Option<usize>) {
        let serving = serving && self.reigning;
        let waits = |(at, copy): (usize, &Copy)| copy.in_sync && !copy.follows && Some(at) != self.leader;
        let stalled = !serving || self.copies.iter().enumerate().any(waits);
        if std::mem::replace(&mut self.stalled, stalled) != stalled {
            set(&mut self.made.stalls, stalled, now);
        }
        let in_sync = self.in_sync();
        let steps = &mut self.made.in_sync;
        if steps.last().is_some_and(|(_, copies)| *copies != in_sync) {
            steps.pop_if(|(from, _)| *from == now);
            steps.push((now, in_sync));
        }
        mark(&mut self.unserved, !serving, now, fault);
        mark(&mut self.refused, serving && in_sync < least, now, fault);
    }
}

/// Begins or ends the last interval.
fn set(spans: &mut Spans, begins: bool, now: u64) {
    if begins {
        match spans.last_mut().filter(|last| last.1 == now) {
            Some(last) => last.1 = u64::MAX,
            None => spans.push((now, u64::MAX)),
        }
    } else if spans.pop_if(|last| last.0 == now).is_none()
        && let Some(last) = spans.last_mut()
    {
        last.1 = now;
    }
}

/// Begins or ends a gap, if that is news; those that no fault has made are not kept.
fn mark(gaps: &mut Vec<Gap>, open: bool, now: u64, fault: Option<usize>) {
    let last = gaps.last_mut().filter(|gap| gap.to == u64::MAX);
    match (last, open) {
        (None, true) => gaps.extend(fault.map(|fault| Gap { from: now, to: u64::MAX, fault })),
        (Some(gap), false) => gap.to = now,
        _ => {}
    }
}
