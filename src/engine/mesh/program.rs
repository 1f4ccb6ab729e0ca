//! A handler, made ready: blocks of steps, each of which may have another block in its place if it fails.

use crate::dist::{Dist, KeySampler};
use crate::engine::handler::Publishing;
use crate::engine::setup::{Publisher, Setup};
use crate::engine::timeline::Link;
use crate::plan::{AwaitStep, CallStep, Handler, Otherwise, Party, Plan, SagaStep, ServiceId, Step};
use crate::random::{Stream, fnv1a};

/// Number of a block of steps.
pub(super) type Block = usize;

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) what: What,
    /// What is done if it fails; none: its block fails.
    pub(super) otherwise: Option<Block>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Takes time.
    Spend(Spend),
    /// Publishes, by number of the publish step.
    Publish(usize),
    /// One of several blocks, by share; number of the choice.
    Choose(u64, Vec<(f64, Block)>),
    /// Calls, by number of the site.
    Call(usize),
    /// Blocks at once, of which so many must be done.
    Fork(Vec<Block>, usize),
    /// Holds a resource, by index, while a block runs.
    Hold(usize, Block),
    /// A block in a transaction of the bus.
    Transaction(Block),
    /// A saga, by number.
    Saga(usize),
    /// Waits for an event, by number.
    Await(usize),
}

/// A step that takes time.
#[derive(Clone, Debug)]
pub(super) struct Spend {
    pub(super) time: Dist,
    /// Number among those of the handler.
    pub(super) number: u64,
    /// Whether the worker works, and does not only wait.
    pub(super) works: bool,
    /// Whether the business fact exists from its end.
    pub(super) commits: bool,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    /// The topic, by number among those whose events are awaited.
    pub(super) ear: usize,
    /// The type that it waits for; none: any.
    pub(super) event_type: Option<u16>,
    /// The type that fails it.
    pub(super) unless: Option<u16>,
    /// How long it waits, ns; none: for ever.
    pub(super) timeout: Option<u64>,
}

/// Blocks of a saga.
#[derive(Clone, Debug)]
pub(super) struct Saga {
    /// What is done, and what undoes it.
    pub(super) parts: Vec<(Block, Block)>,
    /// From here on nothing is undone.
    pub(super) pivot: usize,
}

/// One call step of somebody.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) caller: usize,
    pub(super) plan: CallStep,
    /// A number that no other call step has, whoever else is there.
    pub(super) number: u64,
    /// Whether its requests have the numbers of the requests that they come from.
    pub(super) inherits: bool,
    pub(super) network: Stream,
    pub(super) backoff: Stream,
    pub(super) hedge: Stream,
    pub(super) balance: Stream,
    /// The faults of its way to the service, and their draws.
    pub(super) link: Link,
    pub(super) link_draws: Stream,
}

/// A handler, ready to run.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) blocks: Vec<Vec<Op>>,
    pub(super) main: Block,
    pub(super) publishes: Vec<Publishing>,
    pub(super) sagas: Vec<Saga>,
    pub(super) awaits: Vec<Awaited>,
}

/// Compiles the handlers of all actors, in their order.
pub(super) struct Compiler<'a> {
    plan: &'a Plan,
    seed: u64,
    /// Topics whose events are awaited.
    awaited: &'a [usize],
    /// Whose handler it is.
    who: Party,
    /// Handlers compiled so far.
    actors: usize,
    /// Call steps so far.
    pub(super) sites: Vec<Site>,
    /// By service: whether its requests' numbers are taken: by its users, or by another site.
    taken: Vec<bool>,
}

impl<'a> Compiler<'a> {
    /// For the services of a plan.
    pub(super) fn new(plan: &'a Plan, setup: &'a Setup) -> Self {
        let (seed, awaited) = (setup.seed, setup.awaited.as_slice());
        let taken = plan.services.iter().map(|service| service.arrivals.is_some());
        Self {
            plan,
            seed,
            awaited,
            who: Party::Service(ServiceId(0)),
            actors: 0,
            sites: Vec::new(),
            taken: taken.collect(),
        }
    }

    /// The plan.
    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Compiles the handler of the next actor.
    pub(super) fn program(&mut self, handler: &Handler, name: &str, who: Publisher) -> Program {
        self.who = who.party();
        let mut work = Work { compiler: self, name, program: Program::default(), spends: 0, choices: 0 };
        let main = work.block(&handler.steps);
        let program = Program { main, ..work.program };
        self.actors += 1;
        program
    }
}

struct Work<'a, 'p> {
    compiler: &'a mut Compiler<'p>,
    name: &'a str,
    program: Program,
    spends: u64,
    choices: u64,
}

impl Work<'_, '_> {
    fn block(&mut self, steps: &[Step]) -> Block {
        let ops = steps.iter().map(|step| self.op(step)).collect();
        self.program.blocks.push(ops);
        self.program.blocks.len() - 1
    }

    fn otherwise(&mut self, otherwise: &Otherwise) -> Option<Block> {
        otherwise.as_ref().map(|steps| self.block(steps))
    }

    fn op(&mut self, step: &Step) -> Op {
        let plain = |what| Op { what, otherwise: None };
        match step {
            Step::Work(time) => plain(self.spend(time, true, false)),
            Step::Wait(time) => plain(self.spend(time, false, false)),
            Step::Commit(time) => plain(self.spend(time, true, true)),
            Step::Publish(plan) => {
                let number = self.program.publishes.len();
                let stream = Stream::named(self.compiler.seed, &format!("{}/publishes/{number}", self.name));
                let keys = plan.key.as_ref().map(KeySampler::new);
                self.program.publishes.push(Publishing::new(plan.clone(), keys, stream));
                Op { what: What::Publish(number), otherwise: self.otherwise(&plan.otherwise) }
            }
            Step::Choose(branches) => {
                self.choices += 1;
                let number = self.choices - 1;
                let branches = branches.iter().map(|(share, steps)| (*share, self.block(steps))).collect();
                plain(What::Choose(number, branches))
            }
            Step::Call(plan) => {
                let site = self.site(plan);
                Op { what: What::Call(site), otherwise: self.otherwise(&plan.otherwise) }
            }
            Step::Parallel { branches, quorum, otherwise } => {
                let blocks = branches.iter().map(|steps| self.block(steps)).collect();
                Op { what: What::Fork(blocks, *quorum as usize), otherwise: self.otherwise(otherwise) }
            }
            Step::Hold { of, steps, otherwise } => {
                let body = self.block(steps);
                Op { what: What::Hold(of.0 as usize, body), otherwise: self.otherwise(otherwise) }
            }
            Step::Transaction(steps) => {
                let body = self.block(steps);
                plain(What::Transaction(body))
            }
            Step::Saga(plan) => {
                let saga = self.saga(plan);
                self.program.sagas.push(saga);
                let number = self.program.sagas.len() - 1;
                Op { what: What::Saga(number), otherwise: self.otherwise(&plan.otherwise) }
            }
            Step::Await(plan) => {
                let number = self.awaited(plan);
                Op { what: What::Await(number), otherwise: self.otherwise(&plan.otherwise) }
            }
        }
    }

    fn spend(&mut self, time: &Dist, works: bool, commits: bool) -> What {
        self.spends += 1;
        What::Spend(Spend { time: time.clone(), number: self.spends - 1, works, commits })
    }

    fn awaited(&mut self, plan: &AwaitStep) -> usize {
        let topic = plan.event.0 as usize;
        let ear = self.compiler.awaited.binary_search(&topic).expect("topics that are awaited are known");
        let AwaitStep { event_type, unless, timeout, .. } = *plan;
        let timeout = timeout.map(|timeout| timeout.0);
        self.program.awaits.push(Awaited { ear, event_type, unless, timeout });
        self.program.awaits.len() - 1
    }

    fn saga(&mut self, plan: &SagaStep) -> Saga {
        let parts = plan.parts.iter().map(|(act, undo)| (self.block(act), self.block(undo))).collect();
        Saga { parts, pivot: plan.pivot.unwrap_or(usize::MAX) }
    }

    fn site(&mut self, plan: &CallStep) -> usize {
        let number = self.compiler.sites.len();
        let inherits = !std::mem::replace(&mut self.compiler.taken[plan.to.0 as usize], true);
        let own = self.compiler.sites.iter().filter(|site| site.caller == self.compiler.actors).count();
        let stream = |purpose: &str| Stream::named(self.compiler.seed, &format!("{}/calls/{own}/{purpose}", self.name));
        self.compiler.sites.push(Site {
            caller: self.compiler.actors,
            plan: plan.clone(),
            number: fnv1a(format!("{}/calls/{own}", self.name).as_bytes()),
            inherits,
            network: stream("network"),
            backoff: stream("backoff"),
            hedge: stream("hedge"),
            balance: stream("balance"),
            link: Link::of(self.compiler.plan, self.compiler.seed, |target| target.carries(self.compiler.who, plan.to)),
            link_draws: stream("link"),
        });
        number
    }
}
