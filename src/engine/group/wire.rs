//! The way between the bus and a group's members.

use crate::dist::{About, Dist};
use crate::engine::setup::Rounding;
use crate::engine::timeline::{Link, Verdict};
use crate::random::Stream;

/// The way between the bus and a group's members.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    network: Dist,
    draws: Stream,
    link: Link,
    verdicts: Stream,
    rounding: Rounding,
    /// By member: transmissions so far.
    sent: Vec<u64>,
}

impl Wire {
    /// A way that takes `network`, with the faults of `link`; the streams are those of time and of verdicts.
    pub(super) fn new(network: &Dist, link: Link, streams: [Stream; 2], rounding: Rounding, members: usize) -> Self {
        let [draws, verdicts] = streams;
        Self { network: network.clone(), draws, link, verdicts, rounding, sent: vec![0; members] }
    }

    /// Whether no fault ever touches it.
    pub(super) fn is_clean(&self) -> bool {
        self.link.is_clean()
    }

    /// Something goes to or from a member at `now`: its time on the way, and what it meets.
    pub(super) fn send(&mut self, member: usize, now: u64) -> (u64, Verdict) {
        let own = match self.network.constant() {
            Some(value) => self.rounding.span(value),
            None => {
                let mut draws = self.draws.part(member as u64).at(self.sent[member]);
                self.rounding.up(self.network.whole(&mut draws, About::default()))
            }
        };
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
        self.link.verdict(self.verdicts.part(member as u64), count, now)
    }
}
