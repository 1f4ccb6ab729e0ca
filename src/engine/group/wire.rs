//! The way between the bus and a group's members.

use crate::dist::Dist;
use crate::engine::ahead::Delays;
use crate::engine::setup::Rounding;
use crate::engine::timeline::{Link, Verdict};
use crate::random::Stream;

/// The way between the bus and a group's members.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// By member: time on the way.
    delays: Vec<Delays>,
    link: Link,
    verdicts: Stream,
    /// By member: transmissions so far.
    sent: Vec<u64>,
}

impl Wire {
    /// A way that takes `network`, with the faults of `link`; the streams are those of time and of verdicts.
    pub(super) fn new(network: &Dist, link: Link, streams: [Stream; 2], rounding: Rounding, members: usize) -> Self {
        let [draws, verdicts] = streams;
        let delays = |member: usize| Delays::new(network, draws.part(member as u64), rounding);
        Self { delays: (0..members).map(delays).collect(), link, verdicts, sent: vec![0; members] }
    }

    /// Whether no fault ever touches it.
    pub(super) fn is_clean(&self) -> bool {
        self.link.is_clean()
    }

    /// Something goes to or from a member at `now`: its time on the way, and what it meets.
    pub(super) fn send(&mut self, member: usize, now: u64) -> (u64, Verdict) {
        let own = self.delays[member].get(self.sent[member]);
        let verdict = self.verdict(member, now);
        (own.saturating_add(verdict.delay), verdict)
    }

    /// What something meets that goes to or from a member at `now` and whose time on the way does not matter.
    pub(super) fn meet(&mut self, member: usize, now: u64) -> Verdict {
        if self.is_clean() { Verdict::default() } else { self.verdict(member, now) }
    }

    fn verdict(&mut self, member: usize, now: u64) -> Verdict {
        let count = self.sent[member];
        self.sent[member] += 1;
        if self.is_clean() {
            return Verdict::default();
        }
        self.link.verdict(self.verdicts.part(member as u64), count, now)
    }
}
