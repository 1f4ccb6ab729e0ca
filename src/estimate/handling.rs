//! What becomes of a delivery: attempts, waits between them, and how long its worker is held by all of them.

use crate::estimate::moments::Moments;
use crate::plan::{Backoff, ConsumerPlan, FailurePlan, RetryMode, RetryPlan};

/// Most attempts that are looked at, as many as a run makes.
const MOST_ATTEMPTS: u32 = 100_000;

/// What it takes to be done with one event, or with one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Handling {
    /// Time for which one delivery holds its worker.
    pub(super) held: Moments,
    /// From the first attempt's start to the end of the one that succeeds, the waits between them included; but for those in
    /// the queue, where failed ones come back to it, or in a retry topic behind others.
    pub(super) served: Moments,
    /// Deliveries until it is done with; more than 1 where failed ones come back.
    pub(super) deliveries: f64,
    /// Share that succeeds in the end.
    pub(super) success: f64,
}

/// Shares of attempts that fail: each by itself, and all those of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Failing {
    pub(super) transient: f64,
    pub(super) permanent: f64,
}

impl Failing {
    /// Of attempts at `events` events at once, which fail if any of them does; `more` fail by a fault.
    pub(super) fn of(plan: &FailurePlan, events: f64, more: f64) -> Self {
        let any = |share: f64| 1.0 - crate::math::pow(1.0 - share.min(1.0), events);
        let transient = 1.0 - (1.0 - plan.transient) * (1.0 - more);
        Self { transient: any(transient), permanent: any(plan.permanent) }
    }

    /// The chance that more than `n` attempts would fail.
    fn left(self, n: u32) -> f64 {
        self.permanent + (1.0 - self.permanent) * crate::math::pow(self.transient, f64::from(n))
    }
}

impl Handling {
    /// Mean worker time until it is done with, s.
    pub(super) fn work(&self) -> f64 {
        self.held.mean * self.deliveries
    }

    /// Of attempts that take this long each, with the retries of a consumer.
    pub(super) fn of(attempt: Moments, failing: Failing, retry: &RetryPlan) -> Self {
        if failing.transient <= 0.0 && failing.permanent <= 0.0 {
            return Self { held: attempt, served: attempt, deliveries: 1.0, success: 1.0 };
        }
        let most = retry.attempts.clamp(1, MOST_ATTEMPTS);
        let (mut after, mut made) = (attempt, 0.0);
        let (mut ends, mut successes) = (Vec::new(), Vec::new());
        for n in 1..=most {
            let (before, left) = (if n == 1 { 1.0 } else { failing.left(n - 1) }, failing.left(n));
            made += before;
            successes.push((before - left, after));
            ends.push((if n == most { before } else { before - left }, after));
            if left < 1e-15 {
                break;
            }
            after = after.plus(backoff(retry, n)).plus(attempt);
        }
        let success = 1.0 - failing.left(most);
        match retry.mode {
            RetryMode::Blocking => {
                Self { held: Moments::mixture(ends), served: Moments::mixture(successes), deliveries: 1.0, success }
            }
            RetryMode::Requeue | RetryMode::RetryTopic => {
                Self { held: attempt, served: Moments::mixture(successes), deliveries: made, success }
            }
        }
    }
}

/// The share of requests that fail by themselves.
pub(super) fn own_failure(failure: &FailurePlan) -> f64 {
    1.0 - (1.0 - failure.transient) * (1.0 - failure.permanent)
}

/// The share of events that a consumer is done with well.
pub(super) fn success(consumer: &ConsumerPlan) -> f64 {
    let failing = Failing::of(&consumer.failure, 1.0, 0.0);
    Handling::of(Moments::ZERO, failing, &consumer.retry).success
}

/// The wait after failed attempt number `n`.
fn backoff(retry: &RetryPlan, n: u32) -> Moments {
    let wait = match &retry.backoff {
        Backoff::Drawn(dist) => Moments::of(dist, &[]),
        Backoff::Steps(steps) => {
            let step = steps.get(n as usize - 1).or(steps.last());
            Moments::constant(step.map_or(0.0, |span| span.seconds()))
        }
        Backoff::Exponential { base, factor, max } => {
            let grown = base.seconds() * crate::math::pow(*factor, f64::from(n - 1));
            Moments::constant(grown.min(max.seconds()))
        }
    };
    // w (1 - share u), u uniform and independent of w.
    let (shrink, spread) = (1.0 - 0.5 * retry.jitter, retry.jitter * retry.jitter / 12.0);
    let square = (wait.variance + wait.mean * wait.mean) * (shrink * shrink + spread);
    let mean = wait.mean * shrink;
    Moments { mean, variance: (square - mean * mean).max(0.0) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;
    use crate::time::SimSpan;

    fn retry(attempts: u32, mode: RetryMode, backoff: Backoff, jitter: f64) -> RetryPlan {
        RetryPlan { attempts, mode, backoff, jitter }
    }

    fn failing(transient: f64, permanent: f64) -> Failing {
        Failing { transient, permanent }
    }

    fn second(seconds: u64) -> Backoff {
        Backoff::Steps(vec![SimSpan::from_seconds(seconds)])
    }

    #[test]
    fn nothing_fails() {
        let attempt = Moments { mean: 2.0, variance: 3.0 };
        let found = Handling::of(attempt, failing(0.0, 0.0), &retry(5, RetryMode::Blocking, second(1), 0.0));
        assert_eq!(found, Handling { held: attempt, served: attempt, deliveries: 1.0, success: 1.0 });
    }

    /// Half of the attempts fail, two are made: one second, or one second, three of waiting and one more.
    #[test]
    fn blocking_retries_hold_the_worker() {
        let plan = retry(2, RetryMode::Blocking, second(3), 0.0);
        let found = Handling::of(Moments::constant(1.0), failing(0.5, 0.0), &plan);
        assert!((found.held.mean - 3.0).abs() < 1e-12 && (found.held.variance - 4.0).abs() < 1e-12, "{found:?}");
        // Of those that succeed two thirds do at once.
        assert!((found.served.mean - (1.0 + 4.0 / 3.0)).abs() < 1e-12, "{found:?}");
        assert!((found.success - 0.75).abs() < 1e-12);
    }

    /// Without end: a geometric number of exponential attempts is exponential with their summed mean.
    #[test]
    fn endless_retries_of_exponential_attempts() {
        let plan = retry(u32::MAX, RetryMode::Blocking, second(0), 0.0);
        let found = Handling::of(Moments { mean: 1.0, variance: 1.0 }, failing(0.75, 0.0), &plan);
        assert!((found.held.mean - 4.0).abs() < 1e-9 && (found.held.variance - 16.0).abs() < 1e-6, "{found:?}");
        assert!((found.success - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_comes_back_is_delivered_again() {
        let found =
            Handling::of(Moments::constant(1.0), failing(0.5, 0.0), &retry(3, RetryMode::Requeue, second(2), 0.0));
        assert!((found.deliveries - 1.75).abs() < 1e-12, "{found:?}");
        // Of 7/8 that succeed 4/7 take 1 s, 2/7 take 1 + 2 + 1 and 1/7 another 2 + 1.
        assert!((found.served.mean - (4.0 + 2.0 * 4.0 + 7.0) / 7.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.held, Moments::constant(1.0));
    }

    #[test]
    fn an_event_that_never_succeeds_uses_all_attempts() {
        let plan = retry(4, RetryMode::Blocking, second(0), 0.0);
        let found = Handling::of(Moments::constant(1.0), failing(0.0, 0.1), &plan);
        assert!((found.held.mean - 1.3).abs() < 1e-12 && (found.success - 0.9).abs() < 1e-12, "{found:?}");
        assert_eq!(found.served.mean, 1.0);
    }

    #[test]
    fn waits_grow_and_are_jittered() {
        let (base, max) = (SimSpan::from_seconds(1), SimSpan::from_seconds(5));
        let plan = retry(9, RetryMode::Blocking, Backoff::Exponential { base, factor: 2.0, max }, 1.0);
        let waits = [1, 2, 3, 4].map(|n| backoff(&plan, n).mean);
        assert_eq!(waits, [0.5, 1.0, 2.0, 2.5], "full jitter halves 1, 2, 4 and 5 s");
        // Uniform on 0..1: a twelfth.
        assert!((backoff(&plan, 1).variance - 1.0 / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_fails_if_one_of_its_events_does() {
        let failure = FailurePlan { transient: 0.1, ..FailurePlan::default() };
        assert!((Failing::of(&failure, 2.0, 0.0).transient - 0.19).abs() < 1e-12);
        assert!((Failing::of(&failure, 1.0, 0.5).transient - 0.55).abs() < 1e-12);
    }
}
