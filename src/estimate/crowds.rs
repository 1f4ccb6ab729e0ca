//! What faults take from a service, as a fluid: how many requests wait for a worker meanwhile, how many are refused, and how
//! long it takes until no more wait than before.
//!
//! Requests come and are answered as even streams. While fewer are there than workers, each leaves at the rate of one
//! worker, so that their number runs to its steady value exponentially; where all workers are held, what is too much waits,
//! and what finds no room is refused (Newell 1971, Applications of Queueing Theory; Mandelbaum, Massey and Reiman 1998 for
//! the limit of many workers).

use super::model::Model;
use super::outages::{At, Outage, Spell, is_by_chance, spell};
use super::rates::{Rates, is_burst, occurrences};
use super::services::{Service, requests_at_once};
use super::{bends, consumers::Backlog};
use crate::outcome::Crowd;
use crate::plan::{Balance, Effect, FaultPlan, FaultTarget, Members, ServicePlan, Step};

/// Times closer than this are one, s.
const MOMENT: f64 = 1e-9;
/// Fewer requests than this are none.
const NONE: f64 = 1e-6;
/// Bends after which a fluid is not followed any further.
const MOST_BENDS: usize = 200_000;

/// Something that changes a rate.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Requests of this window begin to come.
    Window(usize),
    /// Something happens to an instance.
    Instance(usize, Change),
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Its own work takes so many times as long as before.
    Slow(f64),
    /// It stands still until then, or goes on.
    Pause(f64),
    Resume,
    /// Its process ends, or is back.
    Crash,
    Back,
}

impl Change {
    fn apply(self, to: &mut Instance) {
        match self {
            Self::Slow(factor) => to.slower *= factor,
            Self::Pause(until) if to.down == 0 => to.paused_until = to.paused_until.max(until),
            Self::Pause(_) | Self::Resume => {}
            // A process that ends does not stand still any more.
            Self::Crash => (to.down, to.paused_until) = (to.down + 1, 0.0),
            Self::Back => to.down -= 1,
        }
    }
}

/// A process of the service.
#[derive(Clone, Copy, Debug)]
struct Instance {
    slower: f64,
    paused_until: f64,
    down: u32,
}

impl Instance {
    fn stands_still(&self, now: f64) -> bool {
        self.paused_until > now + MOMENT
    }

    /// Requests per second that one of its workers answers.
    fn speed(&self, held: Held, now: f64) -> f64 {
        if self.stands_still(now) { 0.0 } else { 1.0 / (held.mean + (self.slower - 1.0) * held.work) }
    }
}

/// Requests at one instance; at all of them, where each goes to one with the fewest.
#[derive(Clone, Debug)]
struct Tank {
    instances: Vec<Instance>,
    /// Instances that are up.
    up: f64,
    /// Whether all of them stand still.
    still: bool,
    /// Their workers; where they stand still, those that were held as they began to: whoever comes waits, or finds no room.
    workers: f64,
    room: f64,
    /// Most that wait here, of those that the room holds: callers have no more requests here at once than workers of their own,
    /// and what comes beyond that waits at them.
    here: f64,
    /// Requests per second that one worker answers, on average over them.
    speed: f64,
    there: f64,
}

impl Tank {
    /// Something has happened to an instance. `callers`: most requests here at once, where only services call.
    fn refit(&mut self, policy: &ServicePlan, held: Held, callers: Option<f64>, now: f64) {
        let up: Vec<&Instance> = self.instances.iter().filter(|it| it.down == 0).collect();
        let (before, count) = (self.up, up.len() as f64);
        let still = up.iter().all(|it| it.stands_still(now));
        // Who has come since then holds none.
        let held_ones = if self.still { self.workers } else { self.there };
        // What was at an instance is gone with it.
        self.there *= if before > 0.0 { (count / before).min(1.0) } else { 0.0 };
        (self.up, self.workers) = (count, count * f64::from(policy.workers));
        (self.room, self.here) = (count * f64::from(policy.queue), f64::INFINITY);
        if let Some(callers) = callers.filter(|callers| *callers < self.workers + self.room) {
            self.workers = self.workers.min(callers);
            self.here = callers - self.workers;
            self.room = f64::INFINITY;
        }
        if still {
            self.workers = self.workers.min(held_ones).min(self.there);
        }
        self.still = still;
        let speeds: f64 = up.iter().map(|it| it.speed(held, now)).sum();
        self.speed = if count > 0.0 { speeds / count } else { 0.0 };
    }

    fn waiting(&self) -> f64 {
        let over = self.there - self.workers;
        if over > NONE { over.min(self.here) } else { 0.0 }
    }

    /// Whether all workers are held and stay so, where so many requests come per second.
    fn is_held(&self, coming: f64) -> bool {
        let over = self.there - self.workers;
        over > NONE || (over >= -NONE && coming >= self.workers * self.speed)
    }

    /// How long until the way ends, straight or exponential, on which the number of requests is.
    fn bend(&self, coming: f64) -> f64 {
        let net = coming - self.workers * self.speed;
        let over = self.there - self.workers;
        match () {
            () if self.is_held(coming) => {
                let ahead = [0.0, self.here, self.room].into_iter().map(|at| at - over);
                let ahead = ahead.filter(|way| way.abs() > NONE && way * net > 0.0).map(|way| way / net);
                ahead.fold(f64::INFINITY, f64::min)
            }
            () if net <= 0.0 => f64::INFINITY,
            () if self.speed <= 0.0 => (self.workers - self.there) / coming,
            () => {
                let rest = coming / self.speed;
                crate::math::ln((rest - self.there) / (rest - self.workers)) / self.speed
            }
        }
    }

    /// Follows it for a time within one such way; how many are refused.
    fn follow(&mut self, coming: f64, span: f64) -> f64 {
        if self.is_held(coming) {
            let all = self.there + (coming - self.workers * self.speed) * span;
            self.there = all.clamp(self.workers, self.workers + self.room);
            return (all - self.workers - self.room).max(0.0);
        }
        self.there = if self.speed > 0.0 {
            let rest = coming / self.speed;
            rest + (self.there - rest) * crate::math::exp(-self.speed * span)
        } else {
            self.there + coming * span
        };
        0.0
    }
}

/// How long a request holds its worker, s, and how much of that is the handler's own work, which slows down with it.
#[derive(Clone, Copy, Debug)]
struct Held {
    mean: f64,
    work: f64,
}

/// Follows the requests at a service through the run, where there is a reason to.
pub(super) fn follow(
    model: &Model<'_>,
    index: usize,
    rates: &Rates,
    found: &Service,
) -> (Option<Backlog>, Vec<Outage>) {
    let Some(held) = found.held.filter(|held| held.mean > 0.0) else { return (None, Vec::new()) };
    let policy = &model.plan.services[index];
    let mut events: Vec<(f64, Event)> =
        (0..model.grid.windows()).map(|at| (model.grid.start(at) as f64 * 1e-9, Event::Window(at))).collect();
    let faults = faults(model, index, rates, &mut events);
    let overload = found.peak_load.is_some_and(|load| load >= 1.0);
    if faults.is_empty() && !overload {
        return (None, Vec::new());
    }
    let work = (own_work(&policy.handler.steps) * 1e-9).min(held.mean);
    let (from, end) = (model.plan.warm_up.seconds(), model.plan.duration.seconds());
    let callers = requests_at_once(model.plan, index);
    let fluid = run(policy, (Held { mean: held.mean, work }, callers), rates, events, end);
    let during = |course: &[(f64, f64)], from: f64, to: f64| bends::at(course, to) - bends::at(course, from);
    let taken = during(&fluid.came, from, end) - during(&fluid.refused, from, end);
    let backlog = Backlog {
        most: bends::most(&fluid.waiting, from, end),
        end: bends::at(&fluid.waiting, end),
        delay: if taken > 0.0 { bends::area(&fluid.waiting, from, end) / taken } else { 0.0 },
        overload,
    };
    let outages = faults.into_iter().filter_map(|(fault, spells)| {
        let mut outage = Outage {
            fault,
            at: At::Service(index),
            backlog: 0.0,
            drained: Some(0.0),
            refused: Some(0.0),
            came: 0.0,
            by_chance: is_by_chance(&model.plan.faults[fault]),
        };
        let (mut refused, mut came, mut level) = (0.0, 0.0, None);
        for (n, spell) in spells.iter().enumerate() {
            let next = spells.get(n + 1).map_or(end, |next| next.from);
            let most = bends::most(&fluid.waiting, spell.from, next);
            outage.backlog = outage.backlog.max(most);
            let late = spell.late.min(next);
            // One that begins before all is over as before is followed from where the first began.
            let usual = level.unwrap_or(found.usual.max(bends::at(&fluid.waiting, spell.from)));
            let back = if most > usual { bends::back(&fluid.waiting, late, usual) } else { Some(late) };
            level = Some(usual).filter(|_| back.is_none_or(|back| back >= next));
            let drained = back.map(|back| (back - spell.to).max(0.0)).filter(|_| spell.to < end);
            outage.drained = outage.drained.zip(drained).map(|(longest, this)| longest.max(this));
            let over = back.unwrap_or(next).max(late).min(next);
            refused += during(&fluid.refused, spell.from, over);
            let these = during(&fluid.came, spell.from, over);
            came += these;
            outage.came = outage.came.max(these);
        }
        outage.refused = (came > 0.0).then(|| refused / came);
        (Crowd::stands_out(found.usual, outage.backlog) || refused > Crowd::REFUSED * came).then_some(outage)
    });
    let outages = outages.collect();
    (Some(backlog), outages)
}

/// Time that a handler works by itself, and that a slow process makes longer, ns.
fn own_work(steps: &[Step]) -> f64 {
    let of = |step: &Step| match step {
        Step::Work(time) | Step::Commit(time) => time.mean(),
        Step::Wait(_) | Step::Call(_) | Step::Publish(_) | Step::Await(_) => 0.0,
        Step::Choose(branches) => branches.iter().map(|(share, steps)| share * own_work(steps)).sum(),
        Step::Parallel { branches, .. } => branches.iter().map(|branch| own_work(branch)).fold(0.0, f64::max),
        Step::Hold { steps, .. } | Step::Transaction(steps) => own_work(steps),
        Step::Saga(saga) => saga.parts.iter().map(|(act, _)| own_work(act)).sum(),
    };
    steps.iter().map(of).sum()
}

/// The faults that the fluid can follow, with their spells: those of the service itself, and bursts of those who come.
fn faults(model: &Model<'_>, index: usize, rates: &Rates, events: &mut Vec<(f64, Event)>) -> Vec<(usize, Vec<Spell>)> {
    let plan = model.plan;
    let mut found = Vec::new();
    for (number, fault) in plan.faults.iter().enumerate().filter(|(_, fault)| fault.effect.may_act()) {
        let times = occurrences(fault, plan.duration.0).into_iter().map(|(from, to)| spell(from, to));
        let spells: Vec<Spell> = match fault.target {
            _ if is_burst(fault) => times.filter(|spell| rises(model, rates, spell.from)).collect(),
            FaultTarget::Service(id, members) if id.0 as usize == index => {
                times.filter_map(|spell| strike(&plan.services[index], fault, members, spell, events)).collect()
            }
            _ => Vec::new(),
        };
        if !spells.is_empty() {
            found.push((number, spells));
        }
    }
    found
}

/// Whether more comes from a time on.
fn rises(model: &Model<'_>, rates: &Rates, at: f64) -> bool {
    let from = (0..model.grid.windows()).rev().find(|window| model.grid.start(*window) as f64 * 1e-9 <= at + MOMENT);
    from.is_some_and(|window| window > 0 && rates.at(window) > 1.001 * rates.at(window - 1))
}

/// One occurrence of a fault at instances of the service. None where it takes no capacity, or nobody knows whose.
fn strike(
    policy: &ServicePlan,
    fault: &FaultPlan,
    members: Members,
    mut spell: Spell,
    events: &mut Vec<(f64, Event)>,
) -> Option<Spell> {
    let hit = match members {
        Members::All => 0..policy.instances as usize,
        Members::One(instance) => instance as usize..instance as usize + 1,
        // Whoever it is, it is one of equals.
        Members::Any => 0..1,
        Members::Each => return None,
    };
    let (on, off) = match fault.effect {
        Effect::Slow(factor) => (Change::Slow(factor), Change::Slow(1.0 / factor)),
        Effect::Pause => (Change::Pause(spell.to), Change::Resume),
        Effect::Crash => {
            spell.late = spell.to + policy.startup.mean() * 1e-9;
            (Change::Crash, Change::Back)
        }
        _ => return None,
    };
    for instance in hit {
        events.push((spell.from, Event::Instance(instance, on)));
        events.push((spell.late, Event::Instance(instance, off)));
    }
    Some(spell)
}

/// What a fluid came to: at each bend those that wait, and those that have come and have been refused so far.
struct Course {
    waiting: Vec<(f64, f64)>,
    came: Vec<(f64, f64)>,
    refused: Vec<(f64, f64)>,
}

/// Runs the fluid from 0 to `end`.
fn run(
    policy: &ServicePlan,
    (held, callers): (Held, Option<f64>),
    rates: &Rates,
    mut events: Vec<(f64, Event)>,
    end: f64,
) -> Course {
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let instance = Instance { slower: 1.0, paused_until: 0.0, down: 0 };
    let (count, together) = match policy.balance {
        Balance::LeastOutstanding | Balance::TwoChoices => (1, policy.instances),
        Balance::RoundRobin | Balance::Pinned => (policy.instances, 1),
    };
    let instances = vec![instance; together as usize];
    let tank = Tank { instances, up: 0.0, still: false, workers: 0.0, room: 0.0, here: 0.0, speed: 0.0, there: 0.0 };
    let mut tanks = vec![tank; count as usize];
    let callers = callers.map(|callers| callers / f64::from(count));
    tanks.iter_mut().for_each(|tank| tank.refit(policy, held, callers, 0.0));
    let mut course = Course { waiting: vec![(0.0, 0.0)], came: vec![(0.0, 0.0)], refused: vec![(0.0, 0.0)] };
    let (mut now, mut window, mut came, mut refused) = (0.0, 0, 0.0, 0.0);
    let mut events = events.into_iter().peekable();
    while now < end && course.waiting.len() < MOST_BENDS {
        while let Some((_, event)) = events.next_if(|event| event.0 <= now + MOMENT) {
            match event {
                Event::Window(at) => window = at,
                Event::Instance(at, change) => {
                    let tank = &mut tanks[at / together as usize];
                    change.apply(&mut tank.instances[at % together as usize]);
                    tank.refit(policy, held, callers, now);
                }
            }
        }
        // Who waits may fall at once: a process is gone, or takes all that has come while it stood still.
        course.waiting.push((now, tanks.iter().map(Tank::waiting).sum()));
        let until = events.peek().map_or(end, |event| event.0.min(end));
        let (rate, up) = (rates.at(window), tanks.iter().filter(|tank| tank.up > 0.0).count() as f64);
        let coming = |tank: &Tank| if tank.up > 0.0 { rate / up } else { 0.0 };
        let bend = tanks.iter().map(|tank| tank.bend(coming(tank))).fold(f64::INFINITY, f64::min);
        let span = bend.max(MOMENT).min(until - now);
        refused += tanks.iter_mut().map(|tank| tank.follow(coming(tank), span)).sum::<f64>();
        refused += if up > 0.0 { 0.0 } else { rate * span };
        came += rate * span;
        now += span;
        course.waiting.push((now, tanks.iter().map(Tank::waiting).sum()));
        course.came.push((now, came));
        course.refused.push((now, refused));
    }
    course
}

#[cfg(test)]
mod tests;
