//! Visits: a request at an instance, from the queue to its answer; and the user's request that it comes from.

use std::collections::BTreeSet;

use super::awaits::Heard;
use super::calls::Fail;
use super::facts::Ending;
use super::outbox::Written;
use super::saga::SagaRun;
use super::strand::{Kind, Level, Strand};
use super::{AttemptKey, CallKey, Event, Mesh, RootKey, StrandKey, VisitKey};
use crate::dist::NO_KEY;
use crate::engine::delegate::{Begin, Doom, Ended, How};
use crate::engine::journeys::News;
use crate::engine::lineage::Lineage;
use crate::engine::source::instance_of;
use crate::outcome::UserLedger;
use crate::plan::ConsumerId;
use crate::stats::Histogram;

/// A user's request with all that follows from it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Intended arrival, ns.
    pub(super) created: u64,
    /// Number in the streams.
    pub(super) number: u64,
    /// What it publishes descends from this.
    pub(super) lineage: Lineage,
    /// Visits and attempts that come from it and are not over.
    pub(super) alive: u32,
    /// The consumer that begins it; none: it comes in from outside.
    pub(super) consumer: Option<ConsumerId>,
    /// Pieces of work that are done of it: by whom, and number of the request that asked.
    pub(super) done: Vec<(usize, u64)>,
    pub(super) sagas: Vec<SagaRun>,
}

/// Who waits for the end of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A user.
    User,
    /// A caller: this attempt.
    Call(AttemptKey),
    /// The group of a consumer: this worker of the member, for this attempt.
    Group { worker: u32, run: u64 },
    /// Nobody: it is an event of a producer.
    Nobody,
}

/// A request at an instance.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) actor: usize,
    pub(super) instance: usize,
    pub(super) root: RootKey,
    pub(super) asker: Asker,
    /// Number in the streams of its actor.
    pub(super) number: u64,
    /// Number among what came in where its journey began.
    pub(super) index: u64,
    /// Number of the attempt at it, from 1.
    pub(super) attempt: u32,
    pub(super) key: u32,
    pub(super) event_type: u16,
    pub(super) size: u32,
    pub(super) arrived: u64,
    /// When a worker took it.
    pub(super) began: Option<u64>,
    /// How it goes wrong by itself, and whether it has done its own first work.
    pub(super) doom: Doom,
    pub(super) worked: bool,
    /// Its caller has given up, and the service knows.
    pub(super) cancelled: bool,
    /// Its answer is sent; what is left of it are strands that nobody waits for.
    pub(super) answered: bool,
    /// Strands that are not over.
    pub(super) strands: u32,
    /// Strands whose step is work, and since when there are any.
    pub(super) at_work: u32,
    pub(super) works_since: u64,
    /// The call steps that it has come to, in order, and the calls that are not over.
    pub(super) called: Vec<usize>,
    pub(super) calls: Vec<CallKey>,
    /// Strands that wait for events, those of them that it has heard of and nobody has waited for, and all that it knows.
    pub(super) waiting: Vec<StrandKey>,
    pub(super) heard: Vec<Heard>,
    pub(super) known: Vec<(usize, u32)>,
    /// Itself, where it may wait for events, or the last that it descends from and that may (`Lineage::asked`).
    pub(super) asked: u64,
    /// When its caller shall come again, if it was turned away and told so.
    pub(super) again: Option<u64>,
    /// Its transaction was refused: others have its records.
    pub(super) refused: bool,
    /// Since when the business fact exists, where a commit made it.
    pub(super) fact: Option<u64>,
    /// Rows that are not committed; where there is no outbox, events published before the fact (by port and number), and publish
    /// steps that are still to tell of it.
    pub(super) rows: Vec<Written>,
    pub(super) early: Vec<(usize, u32)>,
    pub(super) owed: Vec<usize>,
}

impl Visit {
    /// One that has not begun, for which nobody waits.
    pub(super) fn new(actor: usize, root: RootKey, now: u64) -> Self {
        Self {
            actor,
            instance: 0,
            root,
            asker: Asker::Nobody,
            number: 0,
            index: 0,
            attempt: 1,
            key: NO_KEY,
            event_type: 0,
            size: 0,
            arrived: now,
            began: None,
            doom: Doom::None,
            worked: false,
            cancelled: false,
            answered: false,
            strands: 0,
            at_work: 0,
            works_since: 0,
            called: Vec::new(),
            calls: Vec::new(),
            waiting: Vec::new(),
            heard: Vec::new(),
            known: Vec::new(),
            asked: 0,
            again: None,
            refused: false,
            fact: None,
            rows: Vec::new(),
            early: Vec::new(),
            owed: Vec::new(),
        }
    }
}

impl Mesh {
    /// Requests or events come in from outside, at this one of the actors where some do.
    pub(super) fn arrive(&mut self, of: usize, now: u64) {
        let mut requests = std::mem::take(&mut self.requests);
        let (actor, users) = &mut self.users[of];
        let actor = *actor;
        users.take(&mut requests);
        for request in requests.drain(..) {
            self.notes.note(now, request.root, News::Begun);
            let measured = now >= self.warm_up;
            let root = self.roots.insert(Root {
                created: now,
                number: request.number,
                lineage: Lineage { root: request.root, created: now, asked: 0 },
                alive: 0,
                consumer: None,
                done: Vec::new(),
                sagas: Vec::new(),
            });
            let visit = Visit {
                number: request.number,
                index: request.index,
                key: request.key,
                event_type: request.event_type,
                size: request.size,
                ..Visit::new(actor, root, now)
            };
            if self.is_service(actor) {
                self.ask_service(visit, measured, now);
            } else {
                self.begin_event(visit, measured, now);
            }
        }
        self.requests = requests;
    }

    /// A user's request goes to an instance of a service.
    fn ask_service(&mut self, visit: Visit, measured: bool, now: u64) {
        let it = &mut self.actors[visit.actor];
        it.outcome.users.arrived += u64::from(measured);
        it.intervals_at(now).for_each(|interval| interval.users.arrived += u64::from(measured));
        let draw = (it.streams.balance, visit.number);
        let chosen = self.servers[visit.actor].choose(&it.instances, &mut None, draw);
        let visit = Visit { instance: chosen.unwrap_or(0), asker: Asker::User, ..visit };
        self.enter(visit, chosen.is_some(), now);
    }

    /// A producer, which has as many workers as it needs, begins with an event.
    fn begin_event(&mut self, visit: Visit, measured: bool, now: u64) {
        let it = &mut self.actors[visit.actor];
        it.outcome.publish.created += u64::from(measured);
        let instances = u32::try_from(it.instances.len()).expect("processes of a scenario");
        let instance = instance_of(visit.key, visit.index, instances) as usize;
        let visit = Visit { instance, ..visit };
        self.count_visit(&visit, now);
        let visit = self.visits.insert(visit);
        self.begin(visit, now);
    }

    /// A worker of a consumer's member begins an attempt.
    pub(super) fn begin_attempt(&mut self, (actor, member): (usize, usize), begin: &Begin, now: u64) {
        let consumer = self.consumer_of(actor);
        self.notes.note(now, begin.lineage.root, News::Taken(consumer));
        let root = self.roots.insert(Root {
            created: now,
            number: begin.number,
            lineage: begin.lineage,
            alive: 0,
            consumer: Some(consumer),
            done: Vec::new(),
            sagas: Vec::new(),
        });
        let visit = Visit {
            instance: member,
            asker: Asker::Group { worker: begin.worker, run: begin.run },
            number: begin.number,
            index: begin.index,
            attempt: begin.attempt,
            key: begin.key,
            event_type: begin.event_type,
            // What a consumer publishes has a size of its own, or this one.
            size: 1024,
            doom: begin.doom,
            asked: begin.lineage.asked,
            ..Visit::new(actor, root, now)
        };
        self.count_visit(&visit, now);
        let visit = self.visits.insert(visit);
        self.begin(visit, now);
    }

    /// A request reaches an instance, if there is one: it is begun, waits, or is refused.
    pub(super) fn enter(&mut self, visit: Visit, reachable: bool, now: u64) -> Option<VisitKey> {
        let (actor, instance) = (visit.actor, visit.instance);
        let measured = self.measured(now);
        self.count_visit(&visit, now);
        let it = &mut self.actors[actor];
        let (at, server) = (&it.instances[instance], &self.servers[actor]);
        let reachable = reachable && at.is_up();
        if reachable && at.holes > 0 {
            it.crowding.comes(false, now);
            self.swallow(&visit, now);
            return None;
        }
        let free = at.busy < server.workers && at.pauses.until() <= now;
        if !reachable || (!free && at.queue.len() >= server.queue as usize) {
            it.outcome.visits.refused += u64::from(measured);
            it.crowding.comes(true, now);
            self.reply(&visit, Err(Fail::Refused), now);
            self.let_go(visit.root, now);
            return None;
        }
        it.crowding.comes(false, now);
        let key = self.visits.insert(visit);
        if free {
            self.begin(key, now);
        } else {
            let it = &mut self.actors[actor];
            it.instances[instance].queue.push_back(key);
            it.crowding.change(1, now);
            let waiting = it.instances[instance].queue.len() as u64;
            if measured {
                it.outcome.queue_max = it.outcome.queue_max.max(waiting);
            }
        }
        Some(key)
    }

    /// A request is accepted, and nothing is ever done about it: a user gets no answer, and a caller waits for one.
    fn swallow(&mut self, visit: &Visit, now: u64) {
        let measured = self.measured(now);
        let it = &mut self.actors[visit.actor];
        it.outcome.visits.swallowed += u64::from(measured);
        match visit.asker {
            Asker::Call(attempt) => {
                let request = &mut self.attempts[attempt];
                // Whoever chooses by the requests that are open sees those that will stay so.
                if request.call.is_some() {
                    request.swallowed = true;
                    it.instances[visit.instance].swallowed += 1;
                }
                self.lose(attempt, now);
            }
            _ => self.reply(visit, Err(Fail::Error), now),
        }
        self.let_go(visit.root, now);
    }

    /// Something is asked of an actor.
    fn count_visit(&mut self, visit: &Visit, now: u64) {
        let measured = self.measured(now);
        self.roots[visit.root].alive += 1;
        self.actors[visit.actor].outcome.visits.arrived += u64::from(measured);
    }

    /// A worker takes a request.
    fn begin(&mut self, key: VisitKey, now: u64) {
        let visit = &mut self.visits[key];
        let it = &mut self.actors[visit.actor];
        let instance = &mut it.instances[visit.instance];
        instance.busy += 1;
        visit.began = Some(now);
        visit.strands = 1;
        let fails = it.streams.transient.unit(visit.number) < it.failure.transient
            || it.streams.permanent.unit(self.roots[visit.root].number) < it.failure.permanent
            || it.streams.fault.unit(visit.number) < instance.fail();
        if fails {
            visit.doom = Doom::Fails;
        }
        if visit.arrived >= self.warm_up {
            it.outcome.wait.record(now - visit.arrived);
            it.outcome.wait_sum += u128::from(now - visit.arrived);
        }
        let stack = vec![Level { block: it.program.main, at: 0, kind: Kind::Main }];
        self.begin_to_hear(key);
        let strand = self.strands.insert(Strand::new(key, stack));
        self.run(strand, now);
    }

    /// Workers of an instance that are free take who waits.
    pub(super) fn start_next(&mut self, actor: usize, instance: usize, now: u64) {
        loop {
            let Some(server) = self.servers.get(actor) else { return };
            let workers = server.workers;
            let at = &mut self.actors[actor].instances[instance];
            if !at.is_up() || at.busy >= workers || at.pauses.until() > now {
                return;
            }
            let Some(key) = at.queue.pop_front() else { return };
            self.actors[actor].crowding.change(-1, now);
            if self.visits[key].cancelled {
                // Nobody wants the answer: no worker is spent on it.
                let visit = self.visits.remove(key).expect("in the queue");
                self.actors[actor].outcome.visits.cancelled += u64::from(visit.arrived >= self.warm_up);
                self.reply(&visit, Err(Fail::Error), now);
                self.let_go(visit.root, now);
            } else {
                self.begin(key, now);
            }
        }
    }

    /// The caller of a visit has given up, and the service knows: so do those that it calls in turn.
    pub(super) fn cancel(&mut self, key: VisitKey, now: u64) {
        let Some(visit) = self.visits.get_mut(key) else { return };
        visit.cancelled = true;
        if !(visit.calls.is_empty() && visit.waiting.is_empty()) {
            self.schedule(now, Event::Cancelled(key));
        }
    }

    /// A handler hears that nobody waits for it: it does not wait for answers and events of others either.
    pub(super) fn stop_calling(&mut self, key: VisitKey, now: u64) {
        let Some(visit) = self.visits.get(key) else { return };
        for call in visit.calls.clone() {
            if let Some(call) = self.calls.get(call) {
                self.give_up_strand(call.strand, now);
            }
        }
        let waiting = self.visits.get(key).map_or_else(Vec::new, |visit| visit.waiting.clone());
        for strand in waiting {
            if self.strands.get(strand).is_some_and(|strand| strand.awaits.is_some()) {
                self.give_up_strand(strand, now);
            }
        }
    }

    /// Counts the time until now in which a worker of the visit has worked; after its answer it holds none.
    pub(super) fn count_work(&mut self, key: VisitKey, now: u64) {
        let visit = &self.visits[key];
        if !visit.answered {
            let worked = self.measured_span(visit.works_since, now);
            self.actors[visit.actor].outcome.handler.working += worked;
        }
    }

    /// The handler of a visit has come to its end: the answer goes out, and the worker is free.
    pub(super) fn end_visit(&mut self, key: VisitKey, how: Result<(), ()>, now: u64) {
        if self.visits[key].at_work > 0 {
            self.count_work(key, now);
        }
        let ending = if how.is_ok() { Ending::Done } else { Ending::Failed };
        self.close_facts(key, ending, &BTreeSet::new(), now);
        let visit = &mut self.visits[key];
        visit.answered = true;
        let (actor, instance, began) = (visit.actor, visit.instance, visit.began.unwrap_or(now));
        let measured = visit.arrived >= self.warm_up;
        let visit = visit.clone();
        let busy = self.measured_span(began, now);
        let asked = if let Asker::Call(attempt) = visit.asker { self.attempts.get(attempt) } else { None };
        let (wasted, saga) = (asked.is_some_and(|attempt| attempt.call.is_none()), asked.and_then(|it| it.saga));
        let it = &mut self.actors[actor];
        it.outcome.busy += busy;
        it.instances[instance].busy -= 1;
        if measured {
            let visits = &mut it.outcome.visits;
            match how {
                Ok(()) => visits.done += 1,
                Err(()) if visit.cancelled => visits.cancelled += 1,
                Err(()) => visits.failed += 1,
            }
            visits.wasted += u64::from(how.is_ok() && wasted);
            for interval in it.intervals_at(now).filter(|_| how.is_ok()) {
                interval.done += 1;
                interval.wasted += u64::from(wasted);
            }
        }
        if how.is_ok() {
            self.piece_done(&visit, now);
            if wasted {
                self.late_success(visit.root, saga);
            }
        }
        self.reply(&visit, how.map_err(|()| visit.again.map_or(Fail::Error, Fail::Later)), now);
        self.start_next(actor, instance, now);
    }

    /// A piece of work is done: what is done again, because an attempt was given up, is the same.
    fn piece_done(&mut self, visit: &Visit, now: u64) {
        let attempt = if let Asker::Call(attempt) = visit.asker { self.attempts.get(attempt) } else { None };
        let piece = (visit.actor, attempt.map_or(visit.number, |attempt| attempt.piece));
        let root = &mut self.roots[visit.root];
        if !root.done.contains(&piece) {
            root.done.push(piece);
            self.notes.note_service(now, root.lineage.root, visit.actor, News::Done);
        }
    }

    /// Tells who waits for a visit: at once a user, over the network a caller.
    pub(super) fn reply(&mut self, visit: &Visit, how: Result<(), Fail>, now: u64) {
        match visit.asker {
            Asker::Call(attempt) => self.answer(attempt, how, now),
            Asker::Group { worker, run } => {
                let how = match how {
                    Ok(()) => How::Done,
                    Err(_) if visit.refused => How::Refused,
                    Err(_) if visit.doom == Doom::Failed => How::ByItself,
                    Err(_) => How::Failed,
                };
                let consumer = self.consumer_of(visit.actor).0 as usize;
                self.ended.push((consumer, now, Ended { member: visit.instance, worker, run, how }));
            }
            Asker::Nobody => {}
            Asker::User => {
                let Root { created, lineage, .. } = self.roots[visit.root];
                self.notes.note(now, lineage.root, News::Told(how.is_ok()));
                if created < self.warm_up {
                    return;
                }
                let it = &mut self.actors[visit.actor];
                let outcome = &mut it.outcome;
                count_user(&mut outcome.users, (&mut outcome.response, &mut outcome.response_sum), how, now - created);
                if how.is_ok() {
                    outcome.course.note(created, now - created);
                }
                for interval in it.intervals_at(created) {
                    let response = (&mut interval.response, &mut interval.response_sum);
                    count_user(&mut interval.users, response, how, now - created);
                }
            }
        }
    }

    /// One strand of a visit is over; the visit with the last one.
    pub(super) fn strand_over(&mut self, key: VisitKey, now: u64) {
        let Some(visit) = self.visits.get_mut(key) else { return };
        visit.strands -= 1;
        if visit.strands == 0 && visit.answered {
            let root = visit.root;
            self.hear_no_more(key);
            self.visits.remove(key);
            self.let_go(root, now);
        }
    }

    /// Something that came from a user's request is over; it is forgotten when all is.
    pub(super) fn let_go(&mut self, key: RootKey, now: u64) {
        let Some(root) = self.roots.get_mut(key) else { return };
        root.alive -= 1;
        if root.alive == 0 {
            let root = self.roots.remove(key).expect("just seen");
            self.notes.note(now, root.lineage.root, root.consumer.map_or(News::Left, News::LetGo));
        }
    }
}

/// Counts how a user's request has ended, after so long.
fn count_user(users: &mut UserLedger, response: (&mut Histogram, &mut u128), how: Result<(), Fail>, took: u64) {
    match how {
        Ok(()) => {
            users.answered += 1;
            response.0.record(took);
            *response.1 += u128::from(took);
        }
        Err(Fail::Refused) => users.refused += 1,
        Err(_) => users.failed += 1,
    }
}
