//! Attempts: one request on its way over the network, from a place in its caller's pool until its answer has come.

use super::calls::Fail;
use super::visit::{Asker, Visit};
use super::{AttemptKey, CallKey, Event, Mesh, RootKey, VisitKey};
use crate::dist::About;

/// One request on its way, until its answer has come.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Who waits for it; none: nobody any more.
    pub(super) call: Option<CallKey>,
    pub(super) site: usize,
    /// Whether its call counts.
    measured: bool,
    /// The process that calls.
    pub(super) caller: usize,
    pub(super) root: RootKey,
    number: u64,
    index: u64,
    /// Number of the first attempt of its call: all of them ask for the same piece of work.
    pub(super) piece: u64,
    key: u32,
    event_type: u16,
    size: u32,
    /// The last handler that it descends from and that may wait for events.
    asked: u64,
    /// The instance that it goes to.
    instance: Option<usize>,
    pub(super) visit: Option<VisitKey>,
    began: u64,
    /// Whether it has a place in the pool.
    pub(super) placed: bool,
    /// The service has done what was asked, and its answer is on the way.
    done: bool,
    /// What faults do to it: its answer will be lost; it is a second copy, which nobody knows of; nothing will come of it
    /// any more. And how much longer it and its answer take, each.
    answer_lost: bool,
    copy: bool,
    pub(super) lost: bool,
    /// The service has accepted it, and will never answer.
    pub(super) swallowed: bool,
    late: u64,
    /// The part of a saga that it belongs to.
    pub(super) saga: Option<(usize, usize)>,
}

/// The number of a request that comes from another: another one for each site, time that it is come to, and attempt.
fn mixed(number: u64, site: u64, before: u32, attempt: u32) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&site.to_le_bytes());
    bytes[16..20].copy_from_slice(&before.to_le_bytes());
    bytes[20..].copy_from_slice(&attempt.to_le_bytes());
    crate::random::fnv1a(&bytes)
}

impl Mesh {
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
        // What an earlier attempt of the same handler called were other requests.
        let before = before + ((from.attempt - 1) << 16);
        let inherits = self.sites[site].inherits && before == 0;
        let of_site = self.sites[site].number;
        let first = if inherits { from.number } else { mixed(from.number, of_site, before, 1) };
        let attempt = Attempt {
            call: Some(key),
            site,
            measured,
            caller,
            root: from.root,
            number: if made == 1 { first } else { mixed(from.number, of_site, before, made) },
            index: from.index,
            piece: first,
            key: from.key,
            event_type: from.event_type,
            size: from.size,
            asked: from.asked,
            instance: None,
            visit: None,
            began: now,
            placed: false,
            done: false,
            answer_lost: false,
            copy: false,
            lost: false,
            swallowed: false,
            late: 0,
            saga: self.strands[self.calls[key].strand].saga(),
        };
        self.roots[from.root].alive += 1;
        let timeout = plan.timeout;
        let attempt = self.attempts.insert(attempt);
        self.calls[key].live.push(attempt);
        self.ledger(site, measured, |ledger| ledger.attempts += 1);
        if let Some(timeout) = timeout {
            self.calendar.time_out(now, timeout.0, attempt);
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
        let number = attempt.number;
        attempt.instance = server.choose(instances, &mut caller.pinned, (site.balance, number));
        let transport = &server.transport;
        let network = transport.network.whole(&mut site.network.at(number.wrapping_mul(2)), About::default());
        let network = self.rounding.up(network);
        let trips = if caller.connect(now, transport) { 2 * u64::from(transport.handshakes) } else { 0 };
        let verdict = site.link.verdict(site.link_draws, number, now);
        attempt.late = self.rounding.up(verdict.delay);
        attempt.answer_lost = verdict.response_lost;
        let at = now.saturating_add(network.saturating_mul(1 + trips)).saturating_add(attempt.late);
        if verdict.dropped {
            attempt.lost = true;
            return;
        }
        let copy = verdict.duplicated.then(|| Attempt {
            call: None,
            placed: false,
            copy: true,
            saga: None,
            ..attempt.clone()
        });
        self.schedule(at, Event::Deliver(key));
        if let Some(copy) = copy {
            self.roots[copy.root].alive += 1;
            let copy = self.attempts.insert(copy);
            self.schedule(at, Event::Deliver(copy));
        }
    }

    /// A request reaches the service, whether its caller still waits or not.
    pub(super) fn deliver(&mut self, key: AttemptKey, now: u64) {
        let attempt = &self.attempts[key];
        let service = self.sites[attempt.site].plan.to.0 as usize;
        let cancelled = attempt.call.is_none() && !attempt.copy && self.servers[service].transport.cancels;
        let visit = Visit {
            instance: attempt.instance.unwrap_or(0),
            asker: Asker::Call(key),
            number: attempt.number,
            index: attempt.index,
            key: attempt.key,
            event_type: attempt.event_type,
            size: attempt.size,
            asked: attempt.asked,
            cancelled,
            ..Visit::new(service, attempt.root, now)
        };
        let visit = self.enter(visit, attempt.instance.is_some(), now);
        if let Some(attempt) = self.attempts.get_mut(key) {
            attempt.visit = visit;
        }
    }

    /// The service answers an attempt.
    pub(super) fn answer(&mut self, key: AttemptKey, how: Result<(), Fail>, now: u64) {
        let attempt = &mut self.attempts[key];
        attempt.done = how.is_ok();
        let site = &self.sites[attempt.site];
        if attempt.answer_lost || site.link.is_cut(now) {
            return self.lose(key, now);
        }
        let transport = &self.servers[site.plan.to.0 as usize].transport;
        let number = attempt.number.wrapping_mul(2).wrapping_add(1);
        let network = transport.network.whole(&mut site.network.at(number), About::default());
        let at = now.saturating_add(self.rounding.up(network)).saturating_add(attempt.late);
        self.schedule(at, Event::Answer(key, how));
    }

    /// Nothing will come of an attempt any more, but who waits for it does not know.
    pub(super) fn lose(&mut self, key: AttemptKey, now: u64) {
        let attempt = &mut self.attempts[key];
        attempt.lost = true;
        if attempt.call.is_none() {
            let root = attempt.root;
            self.attempts.remove(key);
            self.let_go(root, now);
        }
    }

    /// An answer reaches the caller.
    pub(super) fn answered(&mut self, key: AttemptKey, how: Result<(), Fail>, now: u64) {
        let attempt = self.attempts.remove(key).expect("it lives until its answer");
        self.leave_pool(&attempt, true, now);
        if let Some(call) = attempt.call {
            self.attempt_over(call, key, how, now - attempt.began, now);
        }
        self.let_go(attempt.root, now);
    }

    /// An attempt gives its place in the pool to who waits for one.
    fn leave_pool(&mut self, attempt: &Attempt, keep: bool, now: u64) {
        if !attempt.placed {
            return;
        }
        let site = attempt.site;
        let transport = &self.servers[self.sites[site].plan.to.0 as usize].transport;
        let caller = &mut self.callers[site][attempt.caller];
        caller.in_use -= 1;
        if keep {
            caller.keep(now, transport);
        }
        if let Some(next) = caller.waiting.pop_front() {
            self.waited(next, now);
            self.send(next, now);
        }
    }

    /// An attempt has waited for a place in the pool until now.
    fn waited(&mut self, key: AttemptKey, now: u64) {
        let Attempt { site, measured, began, .. } = self.attempts[key];
        self.ledger(site, measured, |ledger| {
            ledger.waited += 1;
            ledger.pool_wait += u128::from(now - began);
        });
    }

    /// The end of the run: who still waits for a place in a pool has waited until now.
    pub(super) fn close_pools(&mut self, end: u64) {
        let waiting = self.callers.iter().flatten().flat_map(|caller| caller.waiting.iter().copied());
        for key in waiting.collect::<Vec<AttemptKey>>() {
            self.waited(key, end);
        }
    }

    /// No answer in time: the caller goes on without it. The request goes on, too, unless its service learns of it.
    pub(super) fn timed_out(&mut self, key: AttemptKey, now: u64) {
        let Some(call) = self.attempts.get(key).and_then(|attempt| attempt.call) else { return };
        let took = now - self.attempts[key].began;
        self.disown(key, now);
        self.attempt_over(call, key, Err(Fail::TimeOut), took, now);
    }

    /// A process ends: the connections break on which it has accepted requests that it would never have answered.
    pub(super) fn reset_swallowed(&mut self, actor: usize, instance: usize, now: u64) {
        let here = |attempt: &Attempt| {
            attempt.swallowed
                && attempt.instance == Some(instance)
                && self.sites[attempt.site].plan.to.0 as usize == actor
        };
        let broken = self.attempts.iter().filter(|(_, attempt)| here(attempt)).map(|(key, _)| key);
        for key in broken.collect::<Vec<AttemptKey>>() {
            let attempt = &mut self.attempts[key];
            (attempt.swallowed, attempt.lost) = (false, false);
            self.actors[actor].instances[instance].swallowed -= 1;
            self.answer(key, Err(Fail::Error), now);
        }
    }

    /// Nobody waits any more for an attempt of which nothing would have come.
    fn forget_swallowed(&mut self, gone: &Attempt, now: u64) {
        if let Some(instance) = gone.instance.filter(|_| gone.swallowed) {
            let to = self.sites[gone.site].plan.to.0 as usize;
            self.actors[to].instances[instance].swallowed -= 1;
        }
        self.let_go(gone.root, now);
    }

    /// Nobody waits for an attempt any more, and its breaker never hears how it ended.
    pub(super) fn forget(&mut self, key: AttemptKey, now: u64) {
        let attempt = &self.attempts[key];
        if let Some(breaker) = &mut self.callers[attempt.site][attempt.caller].breaker {
            breaker.release();
        }
        self.disown(key, now);
    }

    /// Nobody waits for an attempt any more: its connection is closed, and a service that can hear of it does.
    fn disown(&mut self, key: AttemptKey, now: u64) {
        if !self.attempts[key].placed {
            self.waited(key, now);
        }
        let attempt = &mut self.attempts[key];
        attempt.call = None;
        if !attempt.placed {
            // It has never left.
            let attempt = self.attempts.remove(key).expect("just seen");
            let waiting = &mut self.callers[attempt.site][attempt.caller].waiting;
            if let Some(at) = waiting.iter().position(|other| *other == key) {
                waiting.remove(at);
            }
            return self.let_go(attempt.root, now);
        }
        let gone = attempt.clone();
        attempt.placed = false;
        let transport = &self.servers[self.sites[gone.site].plan.to.0 as usize].transport;
        let (cancels, keep) = (transport.cancels, transport.multiplexed);
        self.leave_pool(&gone, keep, now);
        if gone.done {
            self.late_success(gone.root, gone.saga);
        }
        if gone.lost {
            self.attempts.remove(key);
            return self.forget_swallowed(&gone, now);
        }
        if gone.done {
            return;
        }
        if let Some(visit) = gone.visit.filter(|_| cancels) {
            self.cancel(visit, now);
        }
    }
}
