//! The handler language as a small machine: steps become actions with all chance resolved.

use crate::dist::{About, Dist, KeySampler};
use crate::plan::{Handler, PublishStep, Step};
use crate::random::{Draws, Stream};

use super::setup::Rounding;

/// What a running handler does next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Holds its worker for so long, ns.
    Spend(u64),
    /// Publishes so many copies.
    Publish {
        /// Index of the publish step among the handler's.
        step: usize,
        /// Copies.
        copies: u64,
    },
}

/// A handler, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Compiled>,
    /// Its publish steps.
    pub(super) publishes: Vec<Publishing>,
    service: Stream,
    choices: Stream,
    rounding: Rounding,
}

#[derive(Clone, Debug)]
enum Compiled {
    /// By number among those of the handler, as choices are, too.
    Spend(u64, Dist),
    Publish(usize),
    Choose(u64, Vec<(f64, Vec<Compiled>)>),
}

/// One publish step, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Publishing {
    /// As planned.
    pub(super) plan: PublishStep,
    keys: Option<KeySampler>,
    stream: Stream,
}

impl Publishing {
    /// A publish step with its own keys, if it has any, and its stream.
    pub(super) fn new(plan: PublishStep, keys: Option<KeySampler>, stream: Stream) -> Self {
        Self { plan, keys, stream }
    }

    /// Copies that it publishes for event `id`, if chance lets it.
    pub(super) fn copies(&self, id: u64, about: About) -> Option<u64> {
        let mut own = self.stream.at(id);
        let done = self.plan.probability >= 1.0 || own.unit() < self.plan.probability;
        done.then(|| self.plan.count.whole(&mut own, about))
    }

    /// Key, type and size of one published copy: number `n` of those that this step publishes for event `id`.
    pub(super) fn draw(&self, id: u64, n: u64, inherited: (u32, u16, u32)) -> (u32, u16, u32) {
        let mut draws = self.stream.part(n + 1).at(id);
        let key = self.keys.as_ref().map_or(inherited.0, |keys| keys.key(&mut draws, id));
        let event_type = self.plan.event_type.unwrap_or(inherited.1);
        let about = About { key, event_type, index: id, stream: self.stream };
        let size = self.plan.size.as_ref().map_or(inherited.2, |size| clamp(size.whole(&mut draws, about)));
        (key, event_type, size)
    }
}

pub(super) fn clamp(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl Program {
    /// Compiles the handler of the thing called `name`.
    pub(super) fn new(handler: &Handler, name: &str, seed: u64, rounding: Rounding) -> Self {
        let mut compiler = Compiler { name, seed, publishes: Vec::new(), spends: 0, choices: 0 };
        let steps = compiler.steps(&handler.steps);
        Self {
            steps,
            publishes: compiler.publishes,
            service: Stream::named(seed, &format!("{name}/service")),
            choices: Stream::named(seed, &format!("{name}/choices")),
            rounding,
        }
    }

    /// The stream of service requirements.
    pub(super) fn service_stream(&self) -> Stream {
        self.service
    }

    /// Whether it never publishes.
    pub(super) fn is_silent(&self) -> bool {
        self.publishes.is_empty()
    }

    /// The actions of one attempt (counted from 1) at event `id`.
    pub(super) fn actions(&self, id: u64, attempt: u32, about: About, out: &mut Vec<Action>) {
        out.clear();
        self.walk(&self.steps, (id, attempt), about, out);
    }

    /// Time that one attempt holds its worker when nothing waits for acknowledgements, ns.
    pub(super) fn time(&self, id: u64, attempt: u32, about: About) -> u64 {
        if let [Compiled::Spend(number, dist)] = self.steps.as_slice() {
            return self.rounding.up(dist.whole(&mut spend_draws(self.service, *number, id, attempt), about));
        }
        let mut actions = Vec::new();
        self.actions(id, attempt, about, &mut actions);
        actions.iter().map(|action| if let Action::Spend(span) = action { *span } else { 0 }).sum()
    }

    fn walk(&self, steps: &[Compiled], (id, attempt): (u64, u32), about: About, out: &mut Vec<Action>) {
        for step in steps {
            match step {
                Compiled::Spend(number, dist) => {
                    let mut draws = spend_draws(self.service, *number, id, attempt);
                    out.push(Action::Spend(self.rounding.up(dist.whole(&mut draws, about))));
                }
                Compiled::Publish(index) => {
                    if let Some(copies) = self.publishes[*index].copies(id, about) {
                        out.push(Action::Publish { step: *index, copies });
                    }
                }
                Compiled::Choose(number, branches) => {
                    let unit = choice(self.choices, *number, id, attempt);
                    if let Some(steps) = chosen(branches, unit) {
                        self.walk(steps, (id, attempt), about, out);
                    }
                }
            }
        }
    }
}

/// The draws of step number `number` of those of a handler that take time, in one attempt (from 1) at event `id`. Each step
/// has its own, so that another one beside it changes nothing.
pub(super) fn spend_draws(service: Stream, number: u64, id: u64, attempt: u32) -> Draws {
    let stream = if attempt <= 1 { service } else { service.part(u64::from(attempt)) };
    if number == 0 { stream.at(id) } else { stream.part(1 << 40 | number).at(id) }
}

/// What choice number `number` of a handler goes by in one attempt at event `id`.
pub(super) fn choice(choices: Stream, number: u64, id: u64, attempt: u32) -> f64 {
    choices.part(u64::from(attempt.max(1))).part(number).unit(id)
}

/// The branch that a number between 0 and 1 chooses, by share.
pub(super) fn chosen<T>(branches: &[(f64, T)], unit: f64) -> Option<&T> {
    let mut left = unit;
    let chosen = branches.iter().find(|(share, _)| {
        left -= share;
        left < 0.0
    });
    chosen.or(branches.last()).map(|(_, branch)| branch)
}

/// Compiles the steps of one handler.
struct Compiler<'a> {
    name: &'a str,
    seed: u64,
    publishes: Vec<Publishing>,
    spends: u64,
    choices: u64,
}

impl Compiler<'_> {
    fn steps(&mut self, steps: &[Step]) -> Vec<Compiled> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Step) -> Compiled {
        match step {
            Step::Work(dist) | Step::Wait(dist) => {
                self.spends += 1;
                Compiled::Spend(self.spends - 1, dist.clone())
            }
            Step::Publish(plan) => {
                let stream = Stream::named(self.seed, &format!("{}/publishes/{}", self.name, self.publishes.len()));
                let keys = plan.key.as_ref().map(KeySampler::new);
                self.publishes.push(Publishing::new(plan.clone(), keys, stream));
                Compiled::Publish(self.publishes.len() - 1)
            }
            Step::Choose(branches) => {
                self.choices += 1;
                let number = self.choices - 1;
                let branches = branches.iter().map(|(share, steps)| (*share, self.steps(steps))).collect();
                Compiled::Choose(number, branches)
            }
            _ => unreachable!("handlers with other steps run in the mesh"),
        }
    }
}
