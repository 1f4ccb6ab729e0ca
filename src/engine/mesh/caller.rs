//! The side of a service that calls: connections, the circuit breaker and the retry budget of one process at one site.

use std::collections::VecDeque;

use super::AttemptKey;
use crate::plan::{BreakerPlan, CallStep, TransportPlan};

/// What one process of a caller keeps for one of its call steps.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// When each idle connection was last used, the latest last. A multiplexed connection is never taken out.
    idle: Vec<u64>,
    /// Calls that hold a place in the pool.
    pub(super) in_use: u32,
    /// Attempts that wait for a place.
    pub(super) waiting: VecDeque<AttemptKey>,
    pub(super) breaker: Option<Breaker>,
    /// Retries that are allowed, in millionths.
    tokens: u64,
    /// The instance that it keeps to.
    pub(super) pinned: Option<usize>,
}

/// Retries that may come in a row, in millionths: the token count that gRPC's retry throttling recommends as a start.
const MOST_TOKENS: u64 = 10_000_000;

impl Caller {
    pub(super) fn new(call: &CallStep) -> Self {
        Self {
            idle: Vec::new(),
            in_use: 0,
            waiting: VecDeque::new(),
            breaker: call.breaker.map(Breaker::new),
            tokens: MOST_TOKENS,
            pinned: None,
        }
    }

    /// A call begins: it adds its share of a retry.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a million")]
    pub(super) fn deposit(&mut self, budget: Option<f64>) {
        if let Some(share) = budget {
            self.tokens = (self.tokens + (share * 1e6) as u64).min(MOST_TOKENS);
        }
    }

    /// Whether a retry is allowed; it is then taken from the budget.
    pub(super) fn withdraw(&mut self, budget: Option<f64>) -> bool {
        if budget.is_none() {
            return true;
        }
        let allowed = self.tokens >= 1_000_000;
        self.tokens -= if allowed { 1_000_000 } else { 0 };
        allowed
    }

    /// Takes a connection; whether it is a new one.
    pub(super) fn connect(&mut self, now: u64, transport: &TransportPlan) -> bool {
        let fresh = |last: &u64| now.saturating_sub(*last) < transport.keep_alive.0;
        if transport.multiplexed {
            let open = self.idle.last().is_some_and(fresh);
            self.idle = vec![now];
            return !open;
        }
        match self.idle.pop() {
            Some(last) if fresh(&last) => false,
            _ => {
                // All others were used even earlier.
                self.idle.clear();
                true
            }
        }
    }

    /// A connection is free again.
    pub(super) fn keep(&mut self, now: u64, transport: &TransportPlan) {
        if transport.multiplexed {
            self.idle = vec![now];
        } else if transport.handshakes > 0 {
            self.idle.push(now);
        }
    }
}

/// A circuit breaker over the last calls, as Resilience4j describes it.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    plan: BreakerPlan,
    state: State,
    /// Whether each of the last calls failed, and whether it was slow.
    last: VecDeque<(bool, bool)>,
    failed: u32,
    slow: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: u64 },
    HalfOpen { permitted: u32 },
}

impl Breaker {
    fn new(plan: BreakerPlan) -> Self {
        Self { plan, state: State::Closed, last: VecDeque::new(), failed: 0, slow: 0 }
    }

    /// Whether a call may go.
    pub(super) fn permits(&mut self, now: u64) -> bool {
        if let State::Open { until } = self.state {
            if now < until {
                return false;
            }
            self.state = State::HalfOpen { permitted: self.plan.half_open };
            self.forget();
        }
        match &mut self.state {
            State::HalfOpen { permitted: 0 } => false,
            State::HalfOpen { permitted } => {
                *permitted -= 1;
                true
            }
            _ => true,
        }
    }

    /// A call that was let go will never end: another may try in its place.
    pub(super) fn release(&mut self) {
        if let State::HalfOpen { permitted } = &mut self.state {
            *permitted = (*permitted + 1).min(self.plan.half_open);
        }
    }

    /// A call has ended. Whether the breaker opens.
    pub(super) fn record(&mut self, failed: bool, took: u64, now: u64) -> bool {
        let (looked_at, least) = match self.state {
            State::Open { .. } => return false,
            State::Closed => (self.plan.window, self.plan.min_calls.min(self.plan.window)),
            State::HalfOpen { .. } => (self.plan.half_open, self.plan.half_open),
        };
        let slow = took >= self.plan.slow.0;
        self.last.push_back((failed, slow));
        self.failed += u32::from(failed);
        self.slow += u32::from(slow);
        if self.last.len() > looked_at as usize
            && let Some((failed, slow)) = self.last.pop_front()
        {
            self.failed -= u32::from(failed);
            self.slow -= u32::from(slow);
        }
        let seen = u32::try_from(self.last.len()).expect("no more than the window");
        if seen < least {
            return false;
        }
        let reaches = |count: u32, rate: f64| f64::from(count) >= rate * f64::from(seen);
        if reaches(self.failed, self.plan.failure_rate) || reaches(self.slow, self.plan.slow_rate) {
            self.state = State::Open { until: now.saturating_add(self.plan.open_for.0) };
            self.forget();
            return true;
        }
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Closed;
            self.forget();
        }
        false
    }

    fn forget(&mut self) {
        self.last.clear();
        (self.failed, self.slow) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimSpan;

    fn breaker() -> Breaker {
        Breaker::new(BreakerPlan {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow: SimSpan(1000),
            window: 4,
            min_calls: 4,
            open_for: SimSpan(100),
            half_open: 2,
        })
    }

    #[test]
    fn it_opens_at_its_rate_and_lets_some_try_again() {
        let mut breaker = breaker();
        assert!(!breaker.record(true, 1, 0) && !breaker.record(true, 1, 0) && !breaker.record(false, 1, 0));
        assert!(breaker.permits(1), "three calls are too few to judge");
        assert!(breaker.record(false, 1, 1), "two of four");
        assert!(!breaker.permits(100));
        assert!(breaker.permits(101) && breaker.permits(101) && !breaker.permits(101), "half open: two may try");
        assert!(!breaker.record(false, 1, 102));
        assert!(breaker.record(true, 1, 103), "one of two is half of them");
        assert!(!breaker.permits(202));
        assert!(breaker.permits(203) && breaker.permits(203));
        assert!(!breaker.record(false, 1, 204) && !breaker.record(false, 1, 204));
        assert!(breaker.permits(205) && breaker.permits(205) && breaker.permits(205), "closed");
    }

    #[test]
    fn a_call_without_an_end_makes_room_for_another() {
        let mut breaker = breaker();
        assert!((0..4).any(|_| breaker.record(true, 1, 0)));
        assert!(breaker.permits(100) && breaker.permits(100) && !breaker.permits(100));
        breaker.release();
        assert!(breaker.permits(100) && !breaker.permits(100));
        assert!(!breaker.record(false, 1, 101) && !breaker.record(false, 1, 101));
        assert!((0..3).all(|_| breaker.permits(102)), "closed");
    }

    #[test]
    fn slow_calls_open_it_too() {
        let mut breaker = breaker();
        assert!((0..3).all(|_| !breaker.record(false, 1000, 0)));
        assert!(breaker.record(false, 1000, 0));
    }
}
