//! Who runs handlers: processes of one kind, with their program, their streams and what they publish.

use super::program::{Compiler, Program};
use super::publish::Outputs;
use super::server::Instance;
use crate::engine::setup::{Publisher, Setup};
use crate::outcome::{ProducerOutcome, ServiceOutcome};
use crate::plan::{FailurePlan, Handler, Plan, ProducerPlan, ServicePlan};
use crate::random::Stream;

/// A service, a consumer, or a producer. (What only services have is a [`Server`](super::server::Server).)
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) program: Program,
    pub(super) instances: Vec<Instance>,
    pub(super) failure: FailurePlan,
    pub(super) outputs: Outputs,
    pub(super) streams: Streams,
    pub(super) outcome: ServiceOutcome,
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
        }
    }
}

impl Actor {
    /// A service.
    pub(super) fn service(compiler: &mut Compiler, setup: &Setup, index: usize, plan: &ServicePlan) -> Self {
        let processes = (Publisher::Service(index), plan.instances);
        Self { failure: plan.failure, ..Self::new(compiler, setup, &plan.name, &plan.handler, processes) }
    }

    /// A producer. It fails as a service does.
    pub(super) fn producer(compiler: &mut Compiler, setup: &Setup, index: usize, plan: &ProducerPlan) -> Self {
        let processes = (Publisher::Producer(index), plan.instances.max(1));
        Self { failure: plan.failure, ..Self::new(compiler, setup, &plan.name, &plan.handler, processes) }
    }

    /// A consumer: as many processes as it ever has members. Its group draws how its handlers fail.
    pub(super) fn consumer(compiler: &mut Compiler, setup: &Setup, index: usize, plan: &Plan) -> Self {
        let consumer = &plan.consumers[index];
        let processes = (Publisher::Consumer(index), plan.most_members(index));
        Self::new(compiler, setup, &consumer.name, &consumer.handler, processes)
    }

    /// What its publishing and its handlers came to, for a producer.
    pub(super) fn as_producer(&self) -> ProducerOutcome {
        let ServiceOutcome { publish, handler, visits, .. } = &self.outcome;
        ProducerOutcome { failed: visits.failed, open: visits.open, handler: Some(handler.clone()), ..publish.clone() }
    }

    fn new(
        compiler: &mut Compiler,
        setup: &Setup,
        name: &str,
        handler: &Handler,
        (who, instances): (Publisher, u32),
    ) -> Self {
        Self {
            program: compiler.program(handler, name),
            instances: (0..instances).map(|_| Instance::new()).collect(),
            failure: FailurePlan::default(),
            outputs: Outputs::new(setup, who, instances),
            streams: Streams::new(setup.seed, name),
            outcome: ServiceOutcome::default(),
        }
    }
}
