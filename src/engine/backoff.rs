//! The wait between two attempts.

use super::setup::Rounding;
use crate::dist::About;
use crate::plan::Backoff;
use crate::random::Stream;

/// How long who has failed waits before the next attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait<'a> {
    pub(super) backoff: &'a Backoff,
    /// Share of the wait that is random: the wait is `w x (1 - share x u)`, u uniform in 0..1.
    pub(super) jitter: f64,
    pub(super) rounding: Rounding,
}

impl Wait<'_> {
    /// The wait after failed attempt number `attempt` (from 1) at thing `id`, ns.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "waits are not negative; casts saturate"
    )]
    pub(super) fn after(self, attempt: u32, stream: Stream, id: u64) -> u64 {
        let stream = stream.part(u64::from(attempt));
        let wait = match self.backoff {
            Backoff::Drawn(dist) => dist.whole(&mut stream.at(id), About::default()),
            Backoff::Steps(steps) => steps.get(attempt as usize - 1).or(steps.last()).map_or(0, |span| span.0),
            Backoff::Exponential { base, factor, max } => {
                let grown = crate::math::pow(*factor, f64::from((attempt - 1).min(1000))) * base.0 as f64;
                (grown as u64).min(max.0)
            }
        };
        if self.jitter <= 0.0 {
            return self.rounding.up(wait);
        }
        let unit = stream.part(1).unit(id);
        self.rounding.span(wait as f64 * (1.0 - self.jitter * unit))
    }
}
