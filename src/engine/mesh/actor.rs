//! Who runs handlers: processes of one kind, with their program, their streams and what they publish.

use super::coordinator::Coordinator;
use super::crowd::Crowding;
use super::outbox::Outbox;
use super::program::{Compiler, Program};
use super::publish::Outputs;
use super::server::Instance;
use crate::engine::setup::{Publisher, Setup};
use crate::engine::timeline::{occurrences, united};
use crate::engine::upstream::faults_upstream;
use crate::outcome::{ProducerOutcome, ServiceInterval, ServiceOutcome};
use crate::plan::{FailurePlan, Handler, Plan, ProducerPlan, ServicePlan};
use crate::random::Stream;

/// A service, a consumer, or a producer. (What only services have is a [`Server`](super::server::Server).)
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) program: Program,
    pub(super) instances: Vec<Instance>,
    pub(super) failure: FailurePlan,
    pub(super) outputs: Outputs,
    /// Through which its handlers publish, if it has one.
    pub(super) outbox: Option<Box<Outbox>>,
    /// Of its transactions, if it has any.
    pub(super) coordinator: Option<Box<Coordinator>>,
    /// Whether its handlers have local transactions; and whether they publish beside them, by themselves.
    pub(super) commits: bool,
    pub(super) writes_twice: bool,
    pub(super) streams: Streams,
    pub(super) outcome: ServiceOutcome,
    /// Times of which the outcome tells apart, each as intervals in order; the last of them are those of the faults with
    /// these numbers.
    windows: Vec<Vec<(u64, u64)>>,
    faults: Vec<usize>,
    /// Who waits for a worker, and what faults do to that.
    pub(super) crowding: Crowding,
}

/// The random streams of one actor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) service: Stream,
    pub(super) choices: Stream,
    pub(super) transient: Stream,
    pub(super) permanent: Stream,
    pub(super) fault: Stream,
    pub(super) balance: Stream,
    pub(super) awaits: Stream,
}

impl Streams {
    fn new(seed: u64, name: &str) -> Self {
        let stream = |purpose: &str| Stream::named(seed, &format!("{name}/{purpose}"));
        Self {
            service: stream("service"),
            choices: stream("choices"),
            transient: stream("failure/transient").part(1),
            permanent: stream("failure/permanent"),
            fault: stream("failure/fault").part(1),
            balance: stream("balance"),
            awaits: stream("awaits"),
        }
    }
}

impl Actor {
    /// A service.
    pub(super) fn service(compiler: &mut Compiler<'_>, setup: &Setup, index: usize, plan: &ServicePlan) -> Self {
        let processes = (Publisher::Service(index), plan.instances);
        let mut actor = Self::new(compiler, setup, &plan.name, &plan.handler, processes);
        let whole = compiler.plan();
        let named = whole.intervals_at("services", &plan.name).into_iter().map(|(from, to)| vec![(from.0, to.0)]);
        actor.windows = named.collect();
        let reached = faults_upstream(whole, setup, Publisher::Service(index));
        actor.crowding = Crowding::of(whole, setup, &reached);
        if plan.arrivals.is_some() {
            for fault in reached {
                let struck = occurrences(whole, &whole.faults[fault], setup.seed);
                actor.windows.push(united(struck.iter().map(|o| (o.from, o.to))));
                actor.faults.push(fault);
            }
        }
        actor.outcome.intervals.resize_with(actor.windows.len(), ServiceInterval::default);
        Self { failure: plan.failure, ..actor }
    }

    /// Whether its relay has something to do at a time.
    pub(super) fn relay_due(&self, now: u64) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.next() <= now)
    }

    /// What is told of the intervals that hold a time.
    pub(super) fn intervals_at(&mut self, at: u64) -> impl Iterator<Item = &mut ServiceInterval> {
        let holds = move |spans: &[(u64, u64)]| {
            let begun = spans.partition_point(|(from, _)| *from <= at);
            begun > 0 && at < spans[begun - 1].1
        };
        let within = self.windows.iter().zip(&mut self.outcome.intervals);
        within.filter(move |(spans, _)| holds(spans)).map(|(_, interval)| interval)
    }

    /// Takes what is told of faults out of the outcome, by number of the fault.
    pub(super) fn take_struck(&mut self) -> Vec<(usize, ServiceInterval)> {
        let named = self.outcome.intervals.len() - self.faults.len();
        self.faults.drain(..).zip(self.outcome.intervals.drain(named..)).collect()
    }

    /// A producer. It fails as a service does.
    pub(super) fn producer(compiler: &mut Compiler<'_>, setup: &Setup, index: usize, plan: &ProducerPlan) -> Self {
        let processes = (Publisher::Producer(index), plan.instances.max(1));
        Self { failure: plan.failure, ..Self::new(compiler, setup, &plan.name, &plan.handler, processes) }
    }

    /// A consumer: as many processes as it ever has members. Its group draws how its handlers fail.
    pub(super) fn consumer(compiler: &mut Compiler<'_>, setup: &Setup, index: usize, plan: &Plan) -> Self {
        let consumer = &plan.consumers[index];
        let processes = (Publisher::Consumer(index), plan.most_processes(index));
        Self::new(compiler, setup, &consumer.name, &consumer.handler, processes)
    }

    /// What its publishing and its handlers came to, for a producer.
    pub(super) fn as_producer(&self) -> ProducerOutcome {
        let ServiceOutcome { publish, handler, visits, .. } = &self.outcome;
        ProducerOutcome { failed: visits.failed, open: visits.open, handler: Some(handler.clone()), ..publish.clone() }
    }

    fn new(
        compiler: &mut Compiler<'_>,
        setup: &Setup,
        name: &str,
        handler: &Handler,
        (who, instances): (Publisher, u32),
    ) -> Self {
        let outbox = Outbox::new(compiler.plan(), setup, who.party(), name);
        let commits = handler.commits();
        let clients = setup.clients.iter().filter(|((publisher, _), _)| *publisher == who);
        let transactions = clients.filter_map(|(_, client)| client.plan.transactions).next();
        let stream = Stream::named(setup.seed, &format!("{name}/transactions"));
        let looks = Stream::named(setup.seed, &format!("{name}/transactions/looks"));
        let times = (stream, looks, setup.rounding);
        let coordinator = Coordinator::new(compiler.plan(), handler, transactions, times, instances);
        let consumer = matches!(who, Publisher::Consumer(_));
        Self {
            writes_twice: commits && !consumer && outbox.is_none(),
            commits,
            program: compiler.program(handler, name, who),
            instances: (0..instances).map(|_| Instance::new()).collect(),
            failure: FailurePlan::default(),
            outputs: Outputs::new(setup, who, instances, outbox.is_some()),
            outbox: outbox.map(Box::new),
            coordinator: coordinator.map(Box::new),
            streams: Streams::new(setup.seed, name),
            outcome: ServiceOutcome { course: setup.course.clone(), ..ServiceOutcome::default() },
            windows: Vec::new(),
            faults: Vec::new(),
            crowding: Crowding::default(),
        }
    }
}
