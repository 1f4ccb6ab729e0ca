//! Calls: attempts over the network, time-outs, retries, hedges, and the breaker and pool before them.

use super::visit::{Asker, Visit};
use super::{AttemptKey, CallKey, Event, Mesh, RootKey, StrandKey, VisitKey};
use crate::dist::About;
use crate::engine::backoff::Wait;

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    /// Not accepted: the queue was full, or nobody there.
    Refused,
    /// Answered with an error, or the connection broke.
    Error,
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
    before: u32,
    /// Attempts made, those included that the breaker stopped.
    made: u32,
    /// Attempts of which there may be an answer.
    live: Vec<AttemptKey>,
    measured: bool,
}

/// One request on its way, until its answer has come.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Who waits for it; none: nobody any more.
    pub(super) call: Option<CallKey>,
    site: usize,
    /// The process that calls.
    caller: usize,
    pub(super) root: RootKey,
    number: u64,
    index: u64,
    key: u32,
    event_type: u16,
    size: u32,
    /// The instance that it goes to.
    instance: Option<usize>,
    pub(super) visit: Option<VisitKey>,
    began: u64,
    /// Whether it has a place in the pool.
    placed: bool,
    /// The saga run that it belongs to.
    pub(super) saga: Option<usize>,
}

/// The number of a request that comes from another: another one for each site, time that it is come to, and attempt.
fn mixed(number: u64, site: usize, before: u32, attempt: u32) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&(site as u64).to_le_bytes());
    bytes[16..20].copy_from_slice(&before.to_le_bytes());
    bytes[20..].copy_from_slice(&attempt.to_le_bytes());
    crate::random::fnv1a(&bytes)
}

impl Mesh {
    /// A call step begins; its strand waits for it.
    pub(super) fn begin_call(&mut self, strand: StrandKey, site: usize, now: u64) {
        let measured = self.measured(now);
        let called = &mut self.visits[self.strands[strand].visit].called;
        let before = called.iter().filter(|other| **other == site).count();
        let before = u32::try_from(before).expect("as many as attempts");
        called.push(site);
        let key = self.calls.insert(Call { strand, site, before, made: 0, live: Vec::new(), measured });
        self.strands[strand].call = Some(key);
        let (caller, _) = self.caller_of(key);
        let plan = &self.sites[site].plan;
        self.callers[site][caller].deposit(plan.retry.budget);
        let hedge = plan.hedge.clone();
        self.ledger(site, measured, |ledger| ledger.calls += 1);
        if let Some(after) = hedge {
            let number = self.visits[self.strands[strand].visit].number;
            let wait = after.whole(&mut self.sites[site].hedge.at(number), About::default());
            self.schedule(now.saturating_add(self.rounding.up(wait)), Event::Hedge(key));
        }
        self.attempt(key, now);
    }

    /// The process that calls, and the visit for which it does.
    fn caller_of(&self, call: CallKey) -> (usize, VisitKey) {
        let visit = self.strands[self.calls[call].strand].visit;
        (self.visits[visit].instance, visit)
    }

    fn ledger(&mut self, site: usize, measured: bool, count: impl FnOnce(&mut crate::outcome::CallLedger)) {
        if measured {
            let site = &self.sites[site];
            count(self.actors[site.caller].outcome.handler.calls.entry(site.plan.to.0 as usize).or_default());
        }
    }

    /// Makes the next attempt of a call, if the breaker lets it.
    pub(super) fn attempt(&mut self, key: CallKey, now: u64) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.made += 1;
        let (site, made, measured) = (call.site, call.made, call.measured);
        let before = call.before;
        let (caller, visit) = self.caller_of(key);
        let it = &mut self.callers[site][caller];
        if it.breaker.as_mut().is_some_and(|breaker| !breaker.permits(now)) {
            self.ledger(site, measured, |ledger| ledger.broken += 1);
            return self.fell(key, Fail::Broken, now);
        }
        let plan = &self.sites[site].plan;
        let full = plan.pool.is_some_and(|pool| it.in_use >= pool);
        let from = &self.visits[visit];
        let inherits = self.sites[site].inherits && made == 1 && before == 0;
        let strand = &self.strands[self.calls[key].strand];
        let attempt = Attempt {
            call: Some(key),
            site,
            caller,
            root: from.root,
            number: if inherits { from.number } else { mixed(from.number, site, before, made) },
            index: from.index,
            key: from.key,
            event_type: from.event_type,
            size: from.size,
            instance: None,
            visit: None,
            began: now,
            placed: false,
            saga: strand.saga(),
        };
        self.roots[from.root].alive += 1;
        let timeout = plan.timeout;
        let attempt = self.attempts.insert(attempt);
        self.calls[key].live.push(attempt);
        self.ledger(site, measured, |ledger| ledger.attempts += 1);
        if let Some(timeout) = timeout {
            self.schedule(now.saturating_add(timeout.0), Event::TimeOut(attempt));
        }
        if full {
            self.callers[site][caller].waiting.push_back(attempt);
        } else {
            self.send(attempt, now);
        }
    }

    /// Sends a request that has a place in the pool.
    fn send(&mut self, key: AttemptKey, now: u64) {
        let attempt = &mut self.attempts[key];
        let site = &self.sites[attempt.site];
        let caller = &mut self.callers[attempt.site][attempt.caller];
        caller.in_use += 1;
        attempt.placed = true;
        let to = site.plan.to.0 as usize;
        let (server, instances) = (&mut self.servers[to], &self.actors[to].instances);
        attempt.instance = server.choose(instances, &mut caller.pinned, (site.balance, attempt.number));
        let transport = &server.transport;
        let network = transport.network.whole(&mut site.network.at(attempt.number.wrapping_mul(2)), About::default());
        let network = self.rounding.up(network);
        let trips = if caller.connect(now, transport) { 2 * u64::from(transport.handshakes) } else { 0 };
        let at = now.saturating_add(network.saturating_mul(1 + trips));
        self.schedule(at, Event::Deliver(key));
    }

    /// A request reaches the service.
    pub(super) fn deliver(&mut self, key: AttemptKey, now: u64) {
        // It may have ended with a process that it came from: the request is on its way all the same.
        let Some(attempt) = self.attempts.get(key) else { return };
        let service = self.sites[attempt.site].plan.to.0 as usize;
        let cancelled = attempt.call.is_none() && self.servers[service].transport.cancels;
        let visit = Visit {
            instance: attempt.instance.unwrap_or(0),
            asker: Asker::Call(key),
            number: attempt.number,
            index: attempt.index,
            key: attempt.key,
            event_type: attempt.event_type,
            size: attempt.size,
            cancelled,
            ..Visit::new(service, attempt.root, now)
        };
        let reachable = attempt.instance.is_some();
        let visit = self.enter(visit, reachable, now);
        if let Some(attempt) = self.attempts.get_mut(key) {
            attempt.visit = visit;
        }
    }

    /// The service answers an attempt.
    pub(super) fn answer(&mut self, key: AttemptKey, how: Result<(), Fail>, now: u64) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        attempt.visit = None;
        let site = &self.sites[attempt.site];
        let transport = &self.servers[site.plan.to.0 as usize].transport;
        let number = attempt.number.wrapping_mul(2).wrapping_add(1);
        let network = transport.network.whole(&mut site.network.at(number), About::default());
        self.schedule(now.saturating_add(self.rounding.up(network)), Event::Answer(key, how));
    }

    /// An answer reaches the caller.
    pub(super) fn answered(&mut self, key: AttemptKey, how: Result<(), Fail>, now: u64) {
        let Some(attempt) = self.attempts.remove(key) else { return };
        self.leave_pool(&attempt, true, now);
        if let Some(call) = attempt.call {
            self.attempt_over(call, key, how, now - attempt.began, now);
        }
        self.let_go(attempt.root);
    }

    /// An attempt gives its place in the pool to who waits for one.
    fn leave_pool(&mut self, attempt: &Attempt, keep: bool, now: u64) {
        if !attempt.placed {
            return;
        }
        let site = attempt.site;
        let transport = &self.servers[self.sites[site].plan.to.0 as usize].transport;
        let caller = &mut self.callers[site][attempt.caller];
        caller.in_use = caller.in_use.saturating_sub(1);
        if keep {
            caller.keep(now, transport);
        }
        while let Some(next) = caller.waiting.pop_front() {
            // Those that have waited too long are gone.
            if self.attempts.get(next).is_some_and(|attempt| attempt.call.is_some()) {
                return self.send(next, now);
            }
        }
    }

    /// No answer in time: the caller goes on without it. The request goes on, too, unless its service learns of it.
    pub(super) fn timed_out(&mut self, key: AttemptKey, now: u64) {
        let Some(call) = self.attempts.get(key).and_then(|attempt| attempt.call) else { return };
        let took = now - self.attempts[key].began;
        self.disown(key, now);
        self.attempt_over(call, key, Err(Fail::TimeOut), took, now);
    }

    /// Nobody waits for an attempt any more: its connection is closed, and a service that can hear of it does.
    fn disown(&mut self, key: AttemptKey, now: u64) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        attempt.call = None;
        let visit = attempt.visit;
        if !attempt.placed {
            // It has never left.
            let attempt = self.attempts.remove(key).expect("just seen");
            return self.let_go(attempt.root);
        }
        let gone = attempt.clone();
        attempt.placed = false;
        let transport = &self.servers[self.sites[gone.site].plan.to.0 as usize].transport;
        let (cancels, keep) = (transport.cancels, transport.multiplexed);
        self.leave_pool(&gone, keep, now);
        if let Some(visit) = visit.and_then(|visit| self.visits.get_mut(visit)).filter(|_| cancels) {
            visit.cancelled = true;
        }
    }

    /// Nobody waits for an attempt any more, and its breaker never hears how it ended.
    fn forget(&mut self, key: AttemptKey, now: u64) {
        let Some(attempt) = self.attempts.get(key) else { return };
        if let Some(breaker) = &mut self.callers[attempt.site][attempt.caller].breaker {
            breaker.release();
        }
        self.disown(key, now);
    }

    /// An attempt is over, well or not.
    fn attempt_over(&mut self, key: CallKey, attempt: AttemptKey, how: Result<(), Fail>, took: u64, now: u64) {
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
                Err(Fail::Error) => ledger.errors += 1,
            }
        });
        match how {
            Ok(()) => self.resolve(key, Ok(()), now),
            Err(why) => self.fell(key, why, now),
        }
    }

    /// An attempt has failed: another one may follow, or one that is still on its way may do.
    fn fell(&mut self, key: CallKey, why: Fail, now: u64) {
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
            Fail::Error => retry.when.failed,
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
        self.schedule(now.saturating_add(wait), Event::Retry(key));
    }

    /// A call is over.
    fn resolve(&mut self, key: CallKey, how: Result<(), ()>, now: u64) {
        let call = self.calls.remove(key).expect("at work");
        for attempt in &call.live {
            self.forget(*attempt, now);
        }
        self.ledger(call.site, call.measured, |ledger| match how {
            Ok(()) => ledger.succeeded += 1,
            Err(()) => ledger.failed += 1,
        });
        if let Some(strand) = self.strands.get_mut(call.strand) {
            strand.call = None;
        }
        self.wake(call.strand, how, now);
    }

    /// A second attempt, if there is no answer to the first.
    pub(super) fn hedge(&mut self, key: CallKey, now: u64) {
        let Some(call) = self.calls.get(key).filter(|call| call.made == 1 && !call.live.is_empty()) else { return };
        let (site, measured) = (call.site, call.measured);
        self.ledger(site, measured, |ledger| ledger.hedges += 1);
        self.attempt(key, now);
    }

    /// A call ends with its strand: requests that are on their way go on without it.
    pub(super) fn drop_call(&mut self, key: CallKey, now: u64) {
        let Some(call) = self.calls.remove(key) else { return };
        for attempt in call.live {
            self.forget(attempt, now);
        }
        self.ledger(call.site, call.measured, |ledger| ledger.open += 1);
    }

    /// A request that had been given up succeeded all the same: if it belongs to a saga, that may be too late.
    pub(super) fn late_success(&mut self, visit: &Visit) {
        let Asker::Call(attempt) = visit.asker else { return };
        let saga = self.attempts.get(attempt).and_then(|attempt| attempt.saga);
        let Some(run) = saga.and_then(|run| self.roots.get_mut(visit.root)?.sagas.get_mut(run)) else { return };
        if !std::mem::replace(&mut run.late, true) && run.compensated {
            self.actors[run.actor].outcome.handler.sagas.late_success += u64::from(run.measured);
        }
    }

    /// Calls that have no end at the end of the run.
    pub(super) fn close_calls(&mut self) {
        let open: Vec<_> = self.calls.values().map(|call| (call.site, call.measured)).collect();
        for (site, measured) in open {
            self.ledger(site, measured, |ledger| ledger.open += 1);
        }
    }
}
