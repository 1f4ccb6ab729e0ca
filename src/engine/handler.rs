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
    Spend(Dist),
    Publish(usize),
    Choose(Vec<(f64, Vec<Compiled>)>),
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
        let mut publishes = Vec::new();
        let steps = compile(&handler.steps, name, seed, &mut publishes);
        Self {
            steps,
            publishes,
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
        let mut draws = self.service_draws(id, attempt);
        let mut choices = self.choices.part(u64::from(attempt)).at(id);
        self.walk(&self.steps, &mut draws, &mut choices, about, id, out);
    }

    /// Time that one attempt holds its worker when nothing waits for acknowledgements, ns.
    pub(super) fn time(&self, id: u64, attempt: u32, about: About) -> u64 {
        if let [Compiled::Spend(dist)] = self.steps.as_slice() {
            return self.rounding.up(dist.whole(&mut self.service_draws(id, attempt), about));
        }
        let mut actions = Vec::new();
        self.actions(id, attempt, about, &mut actions);
        actions.iter().map(|action| if let Action::Spend(span) = action { *span } else { 0 }).sum()
    }

    fn service_draws(&self, id: u64, attempt: u32) -> Draws {
        if attempt <= 1 { self.service.at(id) } else { self.service.part(u64::from(attempt)).at(id) }
    }

    fn walk(
        &self,
        steps: &[Compiled],
        draws: &mut Draws,
        choices: &mut Draws,
        about: About,
        id: u64,
        out: &mut Vec<Action>,
    ) {
        for step in steps {
            match step {
                Compiled::Spend(dist) => out.push(Action::Spend(self.rounding.up(dist.whole(draws, about)))),
                Compiled::Publish(index) => {
                    if let Some(copies) = self.publishes[*index].copies(id, about) {
                        out.push(Action::Publish { step: *index, copies });
                    }
                }
                Compiled::Choose(branches) => {
                    let mut left = choices.unit();
                    let chosen = branches.iter().find(|(share, _)| {
                        left -= share;
                        left < 0.0
                    });
                    if let Some((_, steps)) = chosen.or(branches.last()) {
                        self.walk(steps, draws, choices, about, id, out);
                    }
                }
            }
        }
    }
}

fn compile(steps: &[Step], name: &str, seed: u64, publishes: &mut Vec<Publishing>) -> Vec<Compiled> {
    let mut compiled = Vec::new();
    for step in steps {
        compiled.push(match step {
            Step::Work(dist) | Step::Wait(dist) => Compiled::Spend(dist.clone()),
            Step::Publish(plan) => {
                let stream = Stream::named(seed, &format!("{name}/publishes/{}", publishes.len()));
                let keys = plan.key.as_ref().map(KeySampler::new);
                publishes.push(Publishing::new(plan.clone(), keys, stream));
                Compiled::Publish(publishes.len() - 1)
            }
            Step::Choose(branches) => Compiled::Choose(
                branches.iter().map(|(share, steps)| (*share, compile(steps, name, seed, publishes))).collect(),
            ),
            _ => unreachable!("the loader leaves this step to services"),
        });
    }
    compiled
}
