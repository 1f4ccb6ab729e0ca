//! The way between the bus and a group's members.

use crate::dist::{About, Dist};
use crate::engine::ahead::Ahead;
use crate::engine::setup::Rounding;
use crate::engine::timeline::{Link, Verdict};
use crate::random::Stream;

/// The way between the bus and a group's members.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// Time on the way, where it is the same always.
    constant: Option<u64>,
    /// By member: time on the way.
    draws: Vec<Ahead>,
    link: Link,
    verdicts: Stream,
    /// By member: transmissions so far.
    sent: Vec<u64>,
}

impl Wire {
    /// A way that takes `network`, with the faults of `link`; the streams are those of time and of verdicts.
    pub(super) fn new(network: &Dist, link: Link, streams: [Stream; 2], rounding: Rounding, members: usize) -> Self {
        let [draws, verdicts] = streams;
        let ahead = |member: usize| Ahead::new(network, draws.part(member as u64), rounding, 1);
        Self {
            constant: network.constant().map(|value| rounding.span(value)),
            draws: (0..members).map(ahead).collect(),
            link,
            verdicts,
            sent: vec![0; members],
        }
    }

    /// Whether no fault ever touches it.
    pub(super) fn is_clean(&self) -> bool {
        self.link.is_clean()
    }

    /// Something goes to or from a member at `now`: its time on the way, and what it meets.
    pub(super) fn send(&mut self, member: usize, now: u64) -> (u64, Verdict) {
        let own = self.constant.unwrap_or_else(|| self.draws[member].get(self.sent[member], About::default()));
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
