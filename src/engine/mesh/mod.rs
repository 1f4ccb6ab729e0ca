//! The station Mesh: services that call each other, with what they hold, event by event on one calendar; and the handlers of
//! producers and consumers that call, hold, or run steps at once.
//!
//! ```text
//! users --requests--> visit at an instance --handler--> strands --call--> attempt --request--> visit at another ...
//!                          ^                               |                 ^                       |
//!                      queue, workers             publish, hold, fork        +--------answer---------+
//! ```
//!
//! Calls answer back, so services are coupled both ways: whoever is reachable by calls is in this one station. It hears
//! nobody else but the groups whose handlers it runs (`delegate`), and the topics whose events are awaited (`awaits`). A **visit** is one request at one instance, and holds a
//! worker from its start to its answer. A **strand** is one thread of its handler. An **attempt** is one request on its way,
//! and lives until its answer has come.

mod actor;
mod attempt;
mod audit;
mod awaits;
mod calendar;
mod caller;
mod calls;
mod coordinator;
mod crowd;
mod facts;
mod faults;
mod fork;
mod hold;
mod meter;
mod outbox;
mod pauses;
mod program;
mod publish;
mod resource;
mod saga;
mod server;
mod strand;
#[cfg(test)]
pub(super) mod tests;
mod transactions;
mod users;
mod visit;

use std::collections::{BTreeMap, VecDeque};

use slotmap::{SlotMap, new_key_type};

use actor::Actor;
use attempt::Attempt;
use awaits::{Ear, Listening};
use calendar::Calendar;
use caller::Caller;
use calls::{Call, Fail};
use faults::Timeline;
use fork::Fork;
use program::{Compiler, Site};
use resource::{Resource, Wait};
use server::Server;
use strand::Strand;
use transactions::{Transaction, Turns};
use users::Users;
use visit::{Root, Visit};

use super::delegate::{Ended, Job};
use super::journeys::Notes;
use super::setup::{Rounding, Setup};
use super::topic::{Inbox, Topic};
use crate::outcome::{Crowd, HandlerOutcome, ProducerOutcome, ResourceOutcome, ServiceInterval, ServiceOutcome};
use crate::plan::{ConsumerId, Plan};

new_key_type! {
    /// A user's request with all that follows from it.
    struct RootKey;
    /// A request at an instance.
    struct VisitKey;
    /// A thread of a handler.
    struct StrandKey;
    /// Strands that run at once.
    struct ForkKey;
    /// A call step at work.
    struct CallKey;
    /// A request on its way.
    struct AttemptKey;
    /// Waiting for a resource.
    struct WaitKey;
}

/// What comes at a time of its own.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A step's time is over.
    Spent(StrandKey),
    /// A strand goes on, after what else happens now.
    Wake(StrandKey, Result<(), ()>),
    /// A request reaches the service.
    Deliver(AttemptKey),
    /// An answer reaches the caller.
    Answer(AttemptKey, Result<(), Fail>),
    /// An attempt has had no answer for too long.
    TimeOut(AttemptKey),
    /// The next attempt of a call is due.
    Retry(CallKey),
    /// A second attempt is due.
    Hedge(CallKey),
    /// A handler hears that its caller has given up.
    Cancelled(VisitKey),
    /// Someone has waited too long for a resource.
    GiveUp(WaitKey),
    /// An event that is awaited reaches the handler: the number of the wait, and whether it is the right one.
    Seen(StrandKey, u32, Result<(), ()>),
    /// A handler has waited too long for an event: the number of the wait.
    Unseen(StrandKey, u32),
    /// The coordinator of a transaction has answered.
    Coordinated(u32),
    /// All that was published in a transaction that is to end may be answered.
    Flushed(u32),
    /// The coordinator looks whether a transaction has been open for too long.
    Expired(u32),
    /// A resource may grant again.
    Refresh(u32),
    /// An instance that stood still goes on.
    Resume(u32, u32),
}

/// The index of an actor, instance or resource, as it stands in an event.
fn small(index: usize) -> u32 {
    u32::try_from(index).expect("a plan has fewer things")
}

/// What a run says of all that is here.
#[derive(Clone, Debug)]
pub(super) struct MeshOutcome {
    pub(super) services: Vec<ServiceOutcome>,
    /// Of the producers that are here, by index.
    pub(super) producers: Vec<(usize, ProducerOutcome)>,
    /// Of the consumers that are here, by index: what their handlers did, and how many are at work.
    pub(super) consumers: Vec<(usize, HandlerOutcome, u64)>,
    pub(super) resources: Vec<ResourceOutcome>,
    /// By fault and service: users who came while it lasted.
    pub(super) struck: Vec<(usize, usize, ServiceInterval)>,
    /// By fault and service: who waited for a worker meanwhile.
    pub(super) crowds: Vec<(usize, usize, Crowd)>,
}

/// All services of a run, and the handlers of producers and consumers that do more than work, wait, publish and choose.
#[derive(Clone, Debug)]
pub(super) struct Mesh {
    /// All services, by index of the plan; then consumers; then producers.
    actors: Vec<Actor>,
    /// What only services have, in the same order.
    servers: Vec<Server>,
    /// Indices of the consumers and producers, as they stand behind the services.
    consumers: Vec<usize>,
    producers: Vec<usize>,
    /// What comes in from outside, and at which actor.
    users: Vec<(usize, Users)>,
    /// Actors that publish.
    publishers: Vec<usize>,
    resources: Vec<Resource>,
    sites: Vec<Site>,
    /// By site and instance of the caller.
    callers: Vec<Vec<Caller>>,
    roots: SlotMap<RootKey, Root>,
    visits: SlotMap<VisitKey, Visit>,
    strands: SlotMap<StrandKey, Strand>,
    forks: SlotMap<ForkKey, Fork>,
    calls: SlotMap<CallKey, Call>,
    attempts: SlotMap<AttemptKey, Attempt>,
    waits: SlotMap<WaitKey, Wait>,
    /// Topics whose events are awaited; by journey, who may wait for some.
    ears: Vec<Ear>,
    listening: BTreeMap<u64, Listening>,
    /// Strands that wait for acknowledgements, by the number that their messages carry.
    waiters: BTreeMap<u32, StrandKey>,
    next_waiter: u32,
    /// Transactions of a bus that are not over, and how many there were.
    transactions: BTreeMap<u32, Transaction>,
    begun_transactions: u32,
    turns: Turns,
    /// What groups have told: when, of which member, what.
    jobs: VecDeque<(u64, (usize, usize), Job)>,
    /// What groups are to be told: whose, when, what.
    ended: Vec<(usize, u64, Ended)>,
    calendar: Calendar,
    /// Waits for events so far, to tell them apart.
    awaited: u32,
    /// Handlers so far that may wait for events.
    asking: u64,
    /// Nobody stands still from then on, as far as is known.
    stand_still: u64,
    timeline: Timeline,
    /// What is told of journeys.
    notes: Notes,
    /// Kept to spare allocations.
    requests: Vec<users::Request>,
    rounding: Rounding,
    warm_up: u64,
}

impl Mesh {
    pub(super) fn new(plan: &Plan, setup: &Setup) -> Self {
        let mut compiler = Compiler::new(plan, setup);
        let producers: Vec<usize> = (0..plan.producers.len()).filter(|index| !setup.sources.contains(index)).collect();
        let services = plan.services.iter().enumerate();
        let mut actors: Vec<Actor> =
            services.map(|(index, service)| Actor::service(&mut compiler, setup, index, service)).collect();
        let consumers: Vec<usize> = setup.delegating().collect();
        actors.extend(consumers.iter().map(|index| Actor::consumer(&mut compiler, setup, *index, plan)));
        let of_producer = |index: &usize| Actor::producer(&mut compiler, setup, *index, &plan.producers[*index]);
        actors.extend(producers.iter().map(of_producer));
        let users = (0..plan.services.len()).filter_map(|index| Some((index, Users::of_service(plan, setup, index)?)));
        let first = plan.services.len() + consumers.len();
        let events = producers.iter().zip(first..).map(|(index, at)| (at, Users::of_producer(plan, setup, *index)));
        let publishers = actors.iter().zip(0..).filter(|(actor, _)| actor.outputs.publishes()).map(|(_, at)| at);
        let sites = compiler.sites;
        let callers = sites.iter().map(|site| vec![Caller::new(&site.plan); actors[site.caller].instances.len()]);
        Self {
            users: users.chain(events).collect(),
            publishers: publishers.collect(),
            producers,
            consumers,
            jobs: VecDeque::new(),
            ended: Vec::new(),
            resources: plan.resources.iter().map(Resource::new).collect(),
            callers: callers.collect(),
            sites,
            roots: SlotMap::with_key(),
            visits: SlotMap::with_key(),
            strands: SlotMap::with_key(),
            forks: SlotMap::with_key(),
            calls: SlotMap::with_key(),
            attempts: SlotMap::with_key(),
            waits: SlotMap::with_key(),
            ears: setup.awaited.iter().map(|topic| Ear::new(plan, *topic)).collect(),
            listening: BTreeMap::new(),
            waiters: BTreeMap::new(),
            next_waiter: 0,
            transactions: BTreeMap::new(),
            begun_transactions: 0,
            turns: Turns::default(),
            calendar: Calendar::default(),
            awaited: 0,
            asking: 0,
            stand_still: 0,
            timeline: Timeline::new(plan, setup),
            notes: Notes::new(&setup.follow, true),
            requests: Vec::new(),
            rounding: setup.rounding,
            warm_up: setup.warm_up,
            servers: plan.services.iter().map(Server::new).collect(),
            actors,
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> u64 {
        let users = self.users.iter().map(|(_, users)| users.next()).min().unwrap_or(u64::MAX);
        let clients = self.publishers.iter().map(|actor| self.actors[*actor].outputs.next()).min().unwrap_or(u64::MAX);
        users
            .min(clients)
            .min(self.calendar.next())
            .min(self.next_job())
            .min(self.next_heard())
            .min(self.timeline.next())
            .min(self.next_relay())
    }

    fn next_job(&self) -> u64 {
        self.jobs.front().map_or(u64::MAX, |job| job.0)
    }

    /// Hears what a consumer's group tells: when, of which member, what.
    pub(super) fn hear(&mut self, consumer: usize, jobs: impl Iterator<Item = (u64, usize, Job)>) {
        let mut jobs = jobs.peekable();
        if jobs.peek().is_some() {
            let at = self.consumers.iter().position(|index| *index == consumer).expect("one that is here");
            let actor = self.servers.len() + at;
            self.jobs.extend(jobs.map(|(at, member, job)| (at, (actor, member), job)));
        }
    }

    /// What groups are to be told since they last were: whose, when, what.
    pub(super) fn ended(&mut self) -> Vec<(usize, u64, Ended)> {
        std::mem::take(&mut self.ended)
    }

    fn do_job(&mut self, (actor, member): (usize, usize), job: Job, now: u64) {
        match job {
            Job::Begin(begin) => self.begin_attempt((actor, member), &begin, now),
            Job::CutOff => self.cut_off(actor, member, now),
            Job::Start => self.fence((actor, member), now),
            Job::Positions(worker, run, taken) => self.positions((actor, member), (worker, run), taken, now),
            Job::Pause(until) => self.pause((actor, member), until, now),
            Job::Slow(factor) => self.actors[actor].instances[member].slows = vec![(0, factor)],
            Job::DeadLetter(topic, key, event_type, lineage) => {
                self.dead_letter((actor, member), (topic, key, event_type, lineage), now);
            }
        }
    }

    /// The consumer that an actor is.
    fn consumer_of(&self, actor: usize) -> ConsumerId {
        ConsumerId(u32::try_from(self.consumers[actor - self.servers.len()]).expect("consumers fit 32 bits"))
    }

    fn is_service(&self, actor: usize) -> bool {
        actor < self.servers.len()
    }

    fn is_consumer(&self, actor: usize) -> bool {
        (self.servers.len()..self.servers.len() + self.consumers.len()).contains(&actor)
    }

    /// Handles everything strictly before `until`. At one time faults come first, then what groups tell, then events that are
    /// awaited, then what comes from outside, then clients, then relays, then the calendar.
    pub(super) fn advance(&mut self, until: u64, topics: &[Topic], inboxes: &mut [Inbox]) {
        self.listen(topics);
        loop {
            self.calendar.forget(|attempt| !self.attempts.contains_key(attempt));
            let now = self.next();
            if now >= until {
                break;
            }
            if self.timeline.next() == now {
                self.control(now);
            } else if let Some((_, who, job)) = self.jobs.pop_front_if(|job| job.0 == now) {
                self.do_job(who, job, now);
            } else if self.next_heard() == now {
                self.hear_events(topics, now);
            } else if let Some(of) = self.users.iter().position(|(_, users)| users.next() == now) {
                self.arrive(of, now);
            } else if let Some(actor) =
                self.publishers.iter().copied().find(|actor| self.actors[*actor].outputs.next() <= now)
            {
                self.publish_step(actor, now);
            } else if let Some(actor) = self.publishers.iter().copied().find(|actor| self.actors[*actor].relay_due(now))
            {
                self.relay_step(actor, now);
            } else if let Some(event) = self.calendar.pop() {
                self.happen(event, now);
            }
        }
        for actor in &mut self.actors {
            actor.outputs.deliver(inboxes);
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.calendar.schedule(at, event);
    }

    fn happen(&mut self, event: Event, now: u64) {
        let process = if self.stand_still > now { self.process_of(event) } else { None };
        let stands_still = process.map_or(0, |(actor, at)| self.actors[actor].instances[at].pauses.until());
        if stands_still > now {
            // What comes meanwhile is found when the process goes on, in the order in which it came.
            return self.schedule(stands_still, event);
        }
        match event {
            Event::Spent(strand) => self.spent(strand, now),
            Event::Wake(strand, how) => self.wake(strand, how, now),
            Event::Deliver(attempt) => self.deliver(attempt, now),
            Event::Answer(attempt, answer) => self.answered(attempt, answer, now),
            Event::TimeOut(attempt) => self.timed_out(attempt, now),
            Event::Retry(call) => self.attempt(call, now),
            Event::Hedge(call) => self.hedge(call, now),
            Event::Cancelled(visit) => self.stop_calling(visit, now),
            Event::GiveUp(wait) => self.give_up(wait, now),
            Event::Seen(strand, number, how) => self.seen(strand, number, how, now),
            Event::Unseen(strand, number) => self.unseen(strand, number, now),
            Event::Coordinated(id) => self.coordinated(id, now),
            Event::Flushed(id) => self.flushed(id, now),
            Event::Expired(id) => self.expired(id, now),
            Event::Refresh(resource) => self.grant_next(resource as usize, now),
            Event::Resume(actor, instance) => self.start_next(actor as usize, instance as usize, now),
        }
    }

    /// The process without which an event does not happen: its actor and instance; none: there is no such process, or
    /// nobody of it cares any more.
    fn process_of(&self, event: Event) -> Option<(usize, usize)> {
        let of_attempt = |attempt| {
            let attempt: &Attempt = self.attempts.get(attempt)?;
            attempt.call.map(|_| (self.sites[attempt.site].caller, attempt.caller))
        };
        let visit = match event {
            Event::Answer(attempt, _) | Event::TimeOut(attempt) => return of_attempt(attempt),
            // Work that its process has not done takes longer: that is seen when its time is over.
            Event::Spent(strand) if self.strands.get(strand).is_some_and(Strand::works) => return None,
            Event::Spent(strand) | Event::Wake(strand, _) | Event::Seen(strand, ..) | Event::Unseen(strand, _) => {
                self.strands.get(strand)?.visit
            }
            Event::Retry(call) | Event::Hedge(call) => self.strands[self.calls.get(call)?.strand].visit,
            Event::Cancelled(visit) => visit,
            Event::GiveUp(wait) => self.strands[self.waits.get(wait)?.strand].visit,
            Event::Coordinated(id) | Event::Flushed(id) => return self.process_of_transaction(id),
            Event::Deliver(_) | Event::Refresh(_) | Event::Resume(..) | Event::Expired(_) => return None,
        };
        self.visits.get(visit).map(|visit| (visit.actor, visit.instance))
    }

    /// What is to be told of journeys.
    pub(super) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Measured events of each topic that sit in clients, not appended.
    pub(super) fn unsent(&self) -> Vec<(usize, u64)> {
        let clients = self.actors.iter().flat_map(|actor| actor.outputs.unsent(self.warm_up));
        let adding = self.in_transactions().map(|(_, topic, count)| (topic, count));
        clients.chain(self.in_outboxes()).chain(adding).collect()
    }

    /// Whether something that begins at this time is measured.
    fn measured(&self, at: u64) -> bool {
        at >= self.warm_up
    }

    /// Of the time from `from` to `to`, what lies after the warm-up.
    fn measured_span(&self, from: u64, to: u64) -> u128 {
        u128::from(to.saturating_sub(from.max(self.warm_up)))
    }

    /// Closes the accounts at the end of the run.
    ///
    /// # Errors
    /// What does not add up.
    pub(super) fn finish(&mut self, end: u64) -> Result<MeshOutcome, String> {
        self.audit(end)?;
        self.close(end);
        let actors = self.actors.iter_mut().take(self.servers.len()).enumerate();
        let struck = actors.flat_map(|(index, actor)| {
            actor.take_struck().into_iter().map(move |(fault, interval)| (fault, index, interval))
        });
        let struck: Vec<_> = struck.collect();
        let crowds = self.actors.iter_mut().enumerate().flat_map(|(index, actor)| {
            actor.crowding.finish(end).into_iter().map(move |(fault, crowd)| (fault, index, crowd))
        });
        let crowds: Vec<_> = crowds.collect();
        let (services, others) = self.actors.split_at(self.servers.len());
        let services: Vec<_> = services.iter().map(|actor| actor.outcome.clone()).collect();
        let (consumers, producers) = others.split_at(self.consumers.len());
        let consumers = self.consumers.iter().zip(consumers).zip(self.servers.len()..);
        let at_work = |of| self.visits.values().filter(|visit| visit.actor == of && !visit.answered).count() as u64;
        let consumers = consumers.map(|((index, it), actor)| (*index, it.outcome.handler.clone(), at_work(actor)));
        let consumers: Vec<_> = consumers.collect();
        let producers: Vec<_> = self.producers.iter().copied().zip(producers.iter().map(Actor::as_producer)).collect();
        let resources: Vec<_> = self.resources.iter().map(|resource| resource.outcome.clone()).collect();
        let outcome = MeshOutcome { services, producers, consumers, resources, struck, crowds };
        self.check_actors()?;
        meter::check(&outcome)?;
        Ok(outcome)
    }
}
