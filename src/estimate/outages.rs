//! What faults take from a consumer, as a fluid: how much waits at their end, and how long it takes to work it off. What they
//! take from a service is in `crowds`.

use super::bends;
use super::consumers::{Backlog, Consumer};
use super::fluid::{Event, Fluid, Pipes, Sharing};
use super::handling::{Failing, Handling};
use super::layout;
use super::model::Model;
use super::queues::{Known, members_at};
use super::rates::{is_burst, occurrences};
use crate::outcome::Crowd;
use crate::plan::{ConsumerPlan, DeployPlan, Dispatch, Effect, FaultPlan, FaultTarget, GroupPlan, Members, Protocol};
use crate::time::SimTime;

/// Who a fault leaves something behind at, by index of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// A consumer.
    Consumer(usize),
    /// A service.
    Service(usize),
}

/// What one fault leaves at one consumer or service.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// Index of the fault in the plan.
    pub fault: usize,
    /// Who.
    pub at: At,
    /// Most events that wait or are in hand at a consumer, or requests that wait for a worker of a service, over all its
    /// occurrences.
    pub backlog: f64,
    /// Longest time from its end until they are as few as before, s; none where that does not happen.
    pub drained: Option<f64>,
    /// Share of the requests that a service refuses until then; none at a consumer.
    pub refused: Option<f64>,
    /// Most that come from the beginning of an occurrence until then.
    pub came: f64,
    /// Whether its times are left to chance: the estimate is for their means.
    pub by_chance: bool,
}

/// When one occurrence of a fault begins, ends, and has had all its effects (s).
#[derive(Clone, Copy, Debug)]
pub(super) struct Spell {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) late: f64,
}

/// Follows the backlog of a consumer through the run, where there is a reason to.
pub(super) fn follow(model: &Model<'_>, known: &Known<'_>, found: &Consumer) -> (Option<Backlog>, Vec<Outage>) {
    let overload = found.peak_load.is_some_and(|load| load >= 1.0);
    let mut script = Script::new(model, known);
    let faults = script.faults(known.index);
    if known.policy.schedule.is_some() || (!overload && faults.is_empty()) {
        return (None, Vec::new());
    }
    let course = script.run();
    let (from, end) = (model.plan.warm_up.seconds(), model.plan.duration.seconds());
    // Those that are there in a steady state, in hand or waiting.
    let usual = found.rate * (found.wait.unwrap_or(0.0) + known.handling.held.mean / known.batch);
    let backlog = Backlog {
        most: bends::most(&course, from, end),
        end: bends::at(&course, end),
        delay: bends::area(&course, from, end) / (found.rate * (end - from)),
        overload,
    };
    let outages = faults.into_iter().filter_map(|(fault, spells)| {
        let mut outage = Outage {
            fault,
            at: At::Consumer(known.index),
            backlog: 0.0,
            drained: Some(0.0),
            refused: None,
            came: 0.0,
            by_chance: is_by_chance(&model.plan.faults[fault]),
        };
        for (n, spell) in spells.iter().enumerate() {
            let next = spells.get(n + 1).map_or(end, |next| next.from);
            outage.backlog = outage.backlog.max(usual + bends::most(&course, spell.from, next));
            let back = bends::back(&course, spell.late.min(next), usual);
            let drained = back.map(|back| (back - spell.to).max(0.0)).filter(|_| spell.to < end);
            outage.drained = outage.drained.zip(drained).map(|(longest, this)| longest.max(this));
            outage.came = outage.came.max(found.rate * (back.unwrap_or(next).max(spell.to).min(next) - spell.from));
        }
        // Less than what comes and goes all the time is nothing to tell.
        Crowd::stands_out(usual, outage.backlog).then_some(outage)
    });
    (Some(backlog), outages.collect())
}

/// Whether any of a fault's times is random.
pub(super) fn is_by_chance(fault: &FaultPlan) -> bool {
    let times = [Some(&fault.at), fault.every.as_ref(), fault.lasts.as_ref()];
    times.into_iter().flatten().any(|time| time.constant().is_none())
}

/// All that changes the rates of a consumer, in order of time.
struct Script<'a, 'p> {
    model: &'a Model<'p>,
    known: &'a Known<'p>,
    policy: &'p ConsumerPlan,
    events: Vec<(f64, Event)>,
    most: usize,
}

impl<'a, 'p> Script<'a, 'p> {
    fn new(model: &'a Model<'p>, known: &'a Known<'p>) -> Self {
        let policy = known.policy;
        let mut script = Self { model, known, policy, events: Vec::new(), most: 0 };
        let windows = (0..model.grid.windows()).map(|at| (model.grid.start(at) as f64 * 1e-9, Event::Window(at)));
        script.events.extend(windows);
        script.changes();
        script
    }

    /// What operators do.
    fn changes(&mut self) {
        let sizes = self.model.plan.sizes(self.known.index);
        self.most = sizes.iter().map(|(_, size)| *size as usize).max().unwrap_or(0).max(self.policy.members as usize);
        let startup = self.policy.startup.mean() * 1e-9;
        let mut members = self.policy.members as usize;
        for (at, size) in sizes {
            let (at, size) = (at as f64 * 1e-9, size as usize);
            self.events.extend((size..members).map(|member| (at, Event::Leave(member))));
            self.events.extend((members..size).map(|member| (at + startup, Event::Join(member))));
            members = size;
        }
        for (at, deploy) in self.model.plan.deploys(self.known.index) {
            self.roll_out(at, deploy, startup);
        }
    }

    /// A version is rolled out, in waves of a start each. Whose place is taken before they go is not missed.
    fn roll_out(&mut self, at: SimTime, deploy: DeployPlan, startup: f64) {
        let DeployPlan { max_unavailable, max_surge, .. } = deploy;
        let size = members_at(self.model, self.known.index, at.0);
        let wave = (max_unavailable + max_surge) as usize;
        for (n, first) in (0..size).step_by(wave).enumerate() {
            let begins = at.seconds() + startup * n as f64;
            for member in (first..size.min(first + wave)).skip(max_surge as usize) {
                self.events.push((begins, Event::Leave(member)));
                self.events.push((begins + startup, Event::Join(member)));
            }
        }
    }

    /// The faults that the fluid can follow, with their spells.
    fn faults(&mut self, consumer: usize) -> Vec<(usize, Vec<Spell>)> {
        let plan = self.model.plan;
        let mut found = Vec::new();
        for (number, fault) in plan.faults.iter().enumerate().filter(|(_, fault)| fault.effect.may_act()) {
            let times = occurrences(fault, plan.duration.0);
            let spells: Vec<Spell> = match fault.target {
                FaultTarget::Consumer(id, members) if id.0 as usize == consumer => {
                    times.iter().filter_map(|times| self.strike(fault, members, *times)).collect()
                }
                FaultTarget::Producer(_) | FaultTarget::Service(..)
                    if is_burst(fault) && self.comes_from(fault.target) =>
                {
                    times.iter().map(|(from, to)| spell(*from, *to)).collect()
                }
                _ => Vec::new(),
            };
            if !spells.is_empty() {
                found.push((number, spells));
            }
        }
        found
    }

    /// Whether what arrives at a target comes to the consumer at once.
    fn comes_from(&self, target: FaultTarget) -> bool {
        use super::flows::Publisher;
        self.known.inputs.list.iter().any(|input| match (input.publisher, target) {
            (Publisher::Producer(at), FaultTarget::Producer(id)) => at == id.0 as usize,
            (Publisher::Service(at), FaultTarget::Service(id, _)) => at == id.0 as usize,
            _ => false,
        })
    }

    /// One occurrence of a fault at members of the consumer. None where it takes no capacity, or nobody knows whose.
    fn strike(&mut self, fault: &FaultPlan, members: Members, (from, to): (u64, u64)) -> Option<Spell> {
        let hit: Vec<usize> = match members {
            Members::All => (0..members_at(self.model, self.known.index, from)).collect(),
            Members::One(member) => vec![member as usize],
            // Whoever it is, it is one of equals.
            Members::Any => vec![0],
            Members::Each => return None,
        };
        let all = members == Members::All;
        let mut spell = spell(from, to);
        match fault.effect {
            Effect::Crash => spell.late = self.crash(&hit, all, spell),
            Effect::Pause => spell.late = self.pause(&hit, all, spell),
            Effect::Slow(factor) => self.speed(&hit, all, spell, 1.0 / factor),
            Effect::Fail(share) => {
                let worse = Failing::of(&self.policy.failure, self.known.batch, share);
                let after = Handling::of(self.known.attempt, worse, &self.policy.retry).work();
                let factor = if after > 0.0 { self.known.handling.work() / after } else { 1.0 };
                self.speed(&hit, all, spell, factor);
            }
            _ => return None,
        }
        Some(spell)
    }

    fn speed(&mut self, hit: &[usize], all: bool, spell: Spell, factor: f64) {
        let whom: Vec<Option<usize>> = if all { vec![None] } else { hit.iter().map(|member| Some(*member)).collect() };
        for member in whom {
            self.events.push((spell.from, Event::Speed(member, factor)));
            self.events.push((spell.to, Event::Speed(member, 1.0 / factor)));
        }
    }

    /// When a member that falls silent is missed, on average: its session runs from its last heartbeat.
    fn missed(&self, from: f64) -> Option<f64> {
        let group = self.policy.membership.group()?;
        Some(from + group.session_timeout.seconds() - 0.5 * group.heartbeat.seconds())
    }

    /// Processes end and are started again; when all that follows has begun.
    fn crash(&mut self, hit: &[usize], all: bool, spell: Spell) -> f64 {
        let ready = spell.to + self.policy.startup.mean() * 1e-9;
        let missed = self.missed(spell.from);
        if self.policy.membership.group().is_some_and(|group| group.fixed) && missed.is_some_and(|at| at >= ready) {
            // Its seat was kept: it has what it had.
            for member in hit {
                self.events.push((spell.from, Event::Stop(*member)));
                self.events.push((ready, Event::Go(*member)));
            }
            return ready;
        }
        let back = match missed {
            Some(missed) if all || missed > ready => missed.max(ready),
            _ => ready,
        };
        for member in hit {
            self.events.push((spell.from, Event::Stop(*member)));
            self.events.push((back, Event::Go(*member)));
            match missed {
                Some(missed) if missed < ready && !all => {
                    self.events.push((missed, Event::Leave(*member)));
                    self.events.push((ready, Event::Join(*member)));
                }
                Some(_) => {}
                None => {
                    self.events.push((spell.from, Event::Leave(*member)));
                    self.events.push((ready, Event::Join(*member)));
                }
            }
        }
        if missed.is_some_and(|missed| all || missed >= ready) {
            self.events.push((back, Event::Regroup));
        }
        back
    }

    /// Processes stand still; when all that follows has begun.
    fn pause(&mut self, hit: &[usize], all: bool, spell: Spell) -> f64 {
        let expelled = self.missed(spell.from).filter(|missed| *missed < spell.to);
        for member in hit {
            self.events.push((spell.from, Event::Stop(*member)));
            self.events.push((spell.to, Event::Go(*member)));
            if let Some(expelled) = expelled.filter(|_| !all) {
                self.events.push((expelled, Event::Leave(*member)));
                self.events.push((spell.to, Event::Join(*member)));
            }
        }
        if all && expelled.is_some() {
            self.events.push((spell.to, Event::Regroup));
        }
        spell.to
    }

    /// Runs the fluid.
    fn run(self) -> Vec<(f64, f64)> {
        let (model, known, policy) = (self.model, self.known, self.policy);
        let count: usize = layout::partitions(model.plan, policy).iter().map(|count| *count as usize).sum();
        let rates = |window: usize| known.inputs.lanes(count, window);
        let stations = |members: usize| layout::stations(model.plan, policy, members);
        let (poll, credit, handlers) = match &policy.dispatch {
            Dispatch::Log(log) => (f64::from(log.max_poll_records), f64::INFINITY, 1.0),
            Dispatch::Queue(queue) => {
                let credit = if queue.prefetch == u32::MAX { f64::INFINITY } else { f64::from(queue.prefetch) };
                (f64::INFINITY, credit, f64::from(policy.workers.min(queue.prefetch)))
            }
        };
        let sharing = match policy.membership.group() {
            Some(GroupPlan { protocol: Protocol::Eager, heartbeat, join, .. }) => {
                Sharing::Barrier { heartbeat: heartbeat.seconds(), join: join.mean() * 1e-9, poll }
            }
            // Members work on: only what moves waits, and that for a few heartbeats.
            _ => Sharing::AtOnce,
        };
        // A batch may hold more events while there are more to do.
        let events = policy.batch.map_or(1.0, |batch| f64::from(batch.max));
        let speed = events / known.handling.work();
        let pipes = Pipes { rates: &rates, stations: &stations, speed, handlers, credit, sharing };
        Fluid::run(pipes, (policy.members as usize, self.most), self.events, model.plan.duration.seconds())
    }
}

pub(super) fn spell(from: u64, to: u64) -> Spell {
    let [from, to] = [from, to].map(|time| time as f64 * 1e-9);
    Spell { from, to, late: to }
}
