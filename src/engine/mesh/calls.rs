//! Calls: what is tried, how often, and what is done about the answers.

use super::{AttemptKey, CallKey, Event, Mesh, StrandKey, VisitKey};
use crate::dist::About;
use crate::engine::backoff::Wait;

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    /// Not accepted: the queue was full, or nobody there.
    Refused,
    /// Answered with an error, or the connection broke.
    Error,
    /// Answered with an error, and when to come again.
    Later(u64),
    /// No answer in time.
    TimeOut,
    /// Stopped by an open breaker.
    Broken,
}

/// A call step at work.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) strand: StrandKey,
    pub(super) site: usize,
    /// Times that its visit had come to this step before.
    pub(super) before: u32,
    /// Attempts made, those included that the breaker stopped.
    pub(super) made: u32,
    /// Attempts of which there may be an answer.
    pub(super) live: Vec<AttemptKey>,
    pub(super) measured: bool,
}

impl Mesh {
    /// A call step begins; its strand waits for it.
    pub(super) fn begin_call(&mut self, strand: StrandKey, site: usize, now: u64) {
        let measured = self.measured(now);
        let visit = self.strands[strand].visit;
        let called = &mut self.visits[visit].called;
        let before = called.iter().filter(|other| **other == site).count();
        let before = u32::try_from(before).expect("as many as attempts");
        called.push(site);
        let key = self.calls.insert(Call { strand, site, before, made: 0, live: Vec::new(), measured });
        self.strands[strand].call = Some(key);
        self.visits[visit].calls.push(key);
        let (caller, _) = self.caller_of(key);
        let plan = &self.sites[site].plan;
        self.callers[site][caller].deposit(plan.retry.budget);
        let hedge = plan.hedge.clone();
        self.ledger(site, measured, |ledger| ledger.calls += 1);
        if let Some(after) = hedge {
            let number = self.visits[visit].number;
            let wait = after.whole(&mut self.sites[site].hedge.at(number), About::default());
            self.schedule(now.saturating_add(self.rounding.up(wait)), Event::Hedge(key));
        }
        self.attempt(key, now);
    }

    /// The process that calls, and the visit for which it does.
    pub(super) fn caller_of(&self, call: CallKey) -> (usize, VisitKey) {
        let visit = self.strands[self.calls[call].strand].visit;
        (self.visits[visit].instance, visit)
    }

    pub(super) fn ledger(&mut self, site: usize, measured: bool, count: impl FnOnce(&mut crate::outcome::CallLedger)) {
        if measured {
            let site = &self.sites[site];
            count(self.actors[site.caller].outcome.handler.calls.entry(site.plan.to.0 as usize).or_default());
        }
    }

    /// An attempt is over, well or not.
    pub(super) fn attempt_over(
        &mut self,
        key: CallKey,
        attempt: AttemptKey,
        how: Result<(), Fail>,
        took: u64,
        now: u64,
    ) {
        let call = &mut self.calls[key];
        call.live.retain(|live| *live != attempt);
        let (site, measured) = (call.site, call.measured);
        let (caller, _) = self.caller_of(key);
        let breaker = self.callers[site][caller].breaker.as_mut();
        let opens = breaker.is_some_and(|breaker| breaker.record(how.is_err(), took, now));
        self.ledger(site, measured, |ledger| {
            ledger.openings += u64::from(opens);
            match how {
                Ok(()) | Err(Fail::Broken) => {}
                Err(Fail::TimeOut) => ledger.timeouts += 1,
                Err(Fail::Refused) => ledger.refused += 1,
                Err(Fail::Error | Fail::Later(_)) => ledger.errors += 1,
            }
        });
        match how {
            Ok(()) => self.resolve(key, Ok(()), now),
            Err(why) => self.fell(key, why, now),
        }
    }

    /// An attempt has failed: another one may follow, or one that is still on its way may do.
    pub(super) fn fell(&mut self, key: CallKey, why: Fail, now: u64) {
        let call = &self.calls[key];
        if !call.live.is_empty() {
            return;
        }
        let (site, made, measured) = (call.site, call.made, call.measured);
        let (caller, visit) = self.caller_of(key);
        let retry = &self.sites[site].plan.retry;
        let wanted = match why {
            Fail::TimeOut => retry.when.timeout,
            Fail::Refused | Fail::Broken => retry.when.refused,
            Fail::Error | Fail::Later(_) => retry.when.failed,
        };
        // A process that nobody waits for any more does not try again.
        if !wanted || made >= retry.attempts || self.visits[visit].cancelled {
            return self.resolve(key, Err(()), now);
        }
        if !self.callers[site][caller].withdraw(retry.budget) {
            self.ledger(site, measured, |ledger| ledger.withheld += 1);
            return self.resolve(key, Err(()), now);
        }
        let wait = Wait { backoff: &retry.backoff, jitter: retry.jitter, rounding: self.rounding };
        let wait = wait.after(made, self.sites[site].backoff, self.visits[visit].number);
        let told = if let Fail::Later(again) = why { again } else { 0 };
        self.schedule(now.saturating_add(wait).max(told), Event::Retry(key));
    }

    /// A call is over.
    fn resolve(&mut self, key: CallKey, how: Result<(), ()>, now: u64) {
        let call = self.end_call(key, now);
        self.ledger(call.site, call.measured, |ledger| match how {
            Ok(()) => ledger.succeeded += 1,
            Err(()) => ledger.failed += 1,
        });
        self.strands[call.strand].call = None;
        self.wake(call.strand, how, now);
    }

    /// A call ends with its strand: requests that are on their way go on without it.
    pub(super) fn drop_call(&mut self, key: CallKey, now: u64) {
        let call = self.end_call(key, now);
        self.ledger(call.site, call.measured, |ledger| ledger.open += 1);
    }

    /// Nobody waits for the attempts of a call any more.
    fn end_call(&mut self, key: CallKey, now: u64) -> Call {
        let (_, visit) = self.caller_of(key);
        self.visits[visit].calls.retain(|call| *call != key);
        let call = self.calls.remove(key).expect("at work");
        for attempt in &call.live {
            self.forget(*attempt, now);
        }
        call
    }

    /// A second attempt, if there is no answer to the first.
    pub(super) fn hedge(&mut self, key: CallKey, now: u64) {
        let Some(call) = self.calls.get(key).filter(|call| call.made == 1 && !call.live.is_empty()) else { return };
        let (site, measured) = (call.site, call.measured);
        self.ledger(site, measured, |ledger| ledger.hedges += 1);
        self.attempt(key, now);
    }

    /// Calls that have no end at the end of the run.
    pub(super) fn close_calls(&mut self) {
        let open: Vec<_> = self.calls.values().map(|call| (call.site, call.measured)).collect();
        for (site, measured) in open {
            self.ledger(site, measured, |ledger| ledger.open += 1);
        }
    }
}
