//! A queue as a fluid: what comes and what is done are even streams, and what is too much waits.
//!
//! Exact for even arrivals and service; for random ones it is the mean course of a backlog that is large against their
//! ups and downs (Newell 1971, Applications of Queueing Theory). Between two events all rates are constant, so backlogs are
//! straight lines, which are followed from bend to bend.

use super::layout::Station;

/// Something that changes a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// Arrivals of this window begin.
    Window(usize),
    /// A member (none: all) works so many times as fast.
    Speed(Option<usize>, f64),
    /// A member does nothing any more; may be said several times.
    Stop(usize),
    /// And goes on, if said as often.
    Go(usize),
    /// A member leaves the group.
    Leave(usize),
    /// A member joins the group.
    Join(usize),
    /// The group shares out its partitions anew, with the members that it has.
    Regroup,
    /// A member stops for a rebalance.
    Halt(usize),
    /// The rebalance is over.
    HandOut,
}

/// How a group shares out its partitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sharing {
    /// At once.
    AtOnce,
    /// All stop, each when it has heard of it and has done what it had polled.
    Barrier {
        /// Between two heartbeats, s.
        heartbeat: f64,
        /// One round of joining, s.
        join: f64,
        /// Most events of a poll.
        poll: f64,
    },
}

/// What a fluid runs through.
pub(super) struct Pipes<'a> {
    /// Rate of each partition in a window.
    pub(super) rates: &'a dyn Fn(usize) -> Vec<f64>,
    /// Queues of so many members.
    pub(super) stations: &'a dyn Fn(usize) -> Vec<Station>,
    /// Events per second of one handler.
    pub(super) speed: f64,
    /// Handlers of one member, where all members share one queue.
    pub(super) handlers: f64,
    /// Most that a queue of one member holds; what is too much goes to the others.
    pub(super) credit: f64,
    pub(super) sharing: Sharing,
}

/// One queue.
#[derive(Clone, Debug)]
struct Tank {
    station: Station,
    /// The member behind it, by number.
    member: Option<usize>,
    /// What waits, by its partitions.
    waiting: Vec<f64>,
    /// What comes, by its partitions.
    coming: Vec<f64>,
}

/// A fluid at work.
pub(super) struct Fluid<'a> {
    pipes: Pipes<'a>,
    events: Vec<(f64, Event)>,
    now: f64,
    window: usize,
    speeds: Vec<f64>,
    stops: Vec<u32>,
    halted: Vec<bool>,
    group: Vec<usize>,
    regrouping: bool,
    tanks: Vec<Tank>,
    /// All that waited, at each bend.
    course: Vec<(f64, f64)>,
}

/// Times closer than this are one, s.
const MOMENT: f64 = 1e-9;
/// Bends after which a fluid is not followed any further.
const MOST_BENDS: usize = 200_000;

impl<'a> Fluid<'a> {
    /// Runs from 0 to `end` with so many members at first and `most` at a time; all that waits at each bend.
    pub(super) fn run(
        pipes: Pipes<'a>,
        (members, most): (usize, usize),
        mut events: Vec<(f64, Event)>,
        end: f64,
    ) -> Vec<(f64, f64)> {
        events.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut fluid = Self {
            pipes,
            events,
            now: 0.0,
            window: 0,
            speeds: vec![1.0; most],
            stops: vec![0; most],
            halted: vec![false; most],
            group: (0..members).collect(),
            regrouping: false,
            tanks: Vec::new(),
            course: vec![(0.0, 0.0)],
        };
        fluid.share_out();
        while fluid.course.len() < MOST_BENDS {
            let due = fluid.events.last().map_or(f64::INFINITY, |event| event.0);
            if due > end {
                break;
            }
            fluid.advance(due.max(fluid.now));
            if let Some((_, event)) = fluid.events.pop() {
                fluid.apply(event);
            }
        }
        fluid.advance(end);
        fluid.course
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Window(window) => {
                self.window = window;
                self.refill();
            }
            Event::Speed(Some(member), factor) => self.speeds[member] *= factor,
            Event::Speed(None, factor) => self.speeds.iter_mut().for_each(|speed| *speed *= factor),
            Event::Stop(member) => self.stops[member] += 1,
            Event::Go(member) => self.stops[member] = self.stops[member].saturating_sub(1),
            Event::Leave(member) => {
                self.group.retain(|other| *other != member);
                self.regroup();
            }
            Event::Join(member) => {
                if !self.group.contains(&member) {
                    self.group.push(member);
                    self.group.sort_unstable();
                }
                self.regroup();
            }
            Event::Regroup => self.regroup(),
            Event::Halt(member) => self.halted[member] = self.regrouping,
            Event::HandOut => {
                self.regrouping = false;
                self.halted.iter_mut().for_each(|halted| *halted = false);
                self.share_out();
            }
        }
    }

    /// A rebalance begins, unless one is under way.
    fn regroup(&mut self) {
        let Sharing::Barrier { heartbeat, join, poll } = self.pipes.sharing else { return self.share_out() };
        if std::mem::replace(&mut self.regrouping, true) {
            return;
        }
        // Half of a poll is left to do, on average, where more than that waits.
        let left = |member: usize| {
            let tanks = self.tanks.iter().filter(|tank| tank.member == Some(member));
            let left = tanks.map(|tank| {
                let capacity = self.capacity(tank);
                let polled = 0.5 * tank.waiting.iter().sum::<f64>().min(poll);
                if capacity > 0.0 { polled / capacity } else { 0.0 }
            });
            left.fold(0.0, f64::max)
        };
        let members = self.group.len() as f64;
        let longest = self.group.iter().map(|member| left(*member)).fold(0.0, f64::max);
        let over = self.now + heartbeat * members / (members + 1.0) + longest + join;
        let halts: Vec<_> =
            self.group.iter().map(|m| (self.now + 0.5 * heartbeat + left(*m), Event::Halt(*m))).collect();
        for event in halts.into_iter().chain([(over, Event::HandOut)]) {
            let at = self.events.partition_point(|other| other.0 > event.0);
            self.events.insert(at, event);
        }
    }

    /// Gives the partitions, with what waits in them, to the members of the group.
    fn share_out(&mut self) {
        let lanes = (self.pipes.rates)(self.window).len();
        let mut waiting = vec![0.0; lanes];
        for tank in &self.tanks {
            tank.station.lanes.iter().zip(&tank.waiting).for_each(|((lane, _), events)| waiting[*lane] += events);
        }
        let stations = (self.pipes.stations)(self.group.len());
        if stations.is_empty() {
            // Nobody is there: all waits at the bus.
            let all = Station {
                lanes: (0..lanes).map(|lane| (lane, 1.0)).collect(),
                servers: 0,
                member: None,
                exclusive: super::layout::Exclusive::Nothing,
                in_turn: false,
            };
            self.tanks = vec![Tank { station: all, member: None, waiting, coming: Vec::new() }];
        } else {
            let tank = |station: Station| Tank {
                member: station.member.map(|place| self.group[place]),
                waiting: station.lanes.iter().map(|(lane, share)| waiting[*lane] * share).collect(),
                coming: Vec::new(),
                station,
            };
            self.tanks = stations.into_iter().map(tank).collect();
        }
        self.refill();
    }

    fn refill(&mut self) {
        let rates = (self.pipes.rates)(self.window);
        for tank in &mut self.tanks {
            tank.coming = tank.station.lanes.iter().map(|(lane, share)| rates[*lane] * share).collect();
        }
    }

    /// Events per second that a queue can get done.
    fn capacity(&self, tank: &Tank) -> f64 {
        let works = |member: usize| {
            let stands = self.stops[member] > 0 || self.halted[member];
            if stands { 0.0 } else { self.speeds[member] }
        };
        let handlers = match tank.member {
            Some(member) => works(member) * f64::from(tank.station.servers),
            None if tank.station.servers == 0 => 0.0,
            None => self.group.iter().map(|m| works(*m)).sum::<f64>() * self.pipes.handlers,
        };
        // Handlers that take no time have no limit, but those that stand still have.
        if handlers > 0.0 { handlers * self.pipes.speed } else { 0.0 }
    }

    /// Follows the backlogs up to `until`, from bend to bend.
    fn advance(&mut self, until: f64) {
        while until - self.now > MOMENT && self.course.len() < MOST_BENDS {
            let capacities: Vec<f64> = self.tanks.iter().map(|tank| self.capacity(tank)).collect();
            let full: Vec<bool> = self.tanks.iter().map(|tank| self.is_full(tank)).collect();
            let sums =
                |part: fn(&Tank) -> &[f64]| self.tanks.iter().map(|t| part(t).iter().sum()).collect::<Vec<f64>>();
            let (mut coming, waiting) = (sums(|tank| &tank.coming), sums(|tank| &tank.waiting));
            turn_away(&mut coming, &capacities, &full);
            let mut span = until - self.now;
            for at in 0..self.tanks.len() {
                let net = coming[at] - capacities[at];
                if net < 0.0 && waiting[at] > 0.0 {
                    span = span.min((waiting[at] / -net).max(MOMENT));
                }
                if net > 0.0 && self.tanks[at].station.in_turn && !full[at] && self.pipes.credit.is_finite() {
                    span = span.min(((self.pipes.credit - waiting[at]) / net).max(MOMENT));
                }
            }
            for (at, tank) in self.tanks.iter_mut().enumerate() {
                let (before, came) = (waiting[at], coming[at] * span);
                let left = (before + came - capacities[at] * span).max(0.0);
                tank.keep(if before + came > 0.0 { left / (before + came) } else { 0.0 }, (span, coming[at]));
            }
            self.now += span;
            self.course.push((self.now, self.tanks.iter().flat_map(|tank| &tank.waiting).sum()));
        }
        self.now = self.now.max(until);
    }

    fn is_full(&self, tank: &Tank) -> bool {
        tank.station.in_turn && tank.waiting.iter().sum::<f64>() >= self.pipes.credit - MOMENT
    }
}

impl Tank {
    /// Keeps a share of what waits and of what has come, of each partition alike.
    fn keep(&mut self, share: f64, (span, coming): (f64, f64)) {
        let planned: f64 = self.coming.iter().sum();
        let scale = if planned > 0.0 { coming / planned } else { 0.0 };
        for (waiting, rate) in self.waiting.iter_mut().zip(&self.coming) {
            *waiting = (*waiting + rate * scale * span) * share;
        }
    }
}

/// What full queues cannot take goes to the others, as long as there are any.
fn turn_away(coming: &mut [f64], capacities: &[f64], full: &[bool]) {
    let open = full.iter().filter(|full| !**full).count() as f64;
    if open <= 0.0 {
        return;
    }
    let mut over = 0.0;
    for at in 0..coming.len() {
        if full[at] && coming[at] > capacities[at] {
            over += coming[at] - capacities[at];
            coming[at] = capacities[at];
        }
    }
    coming.iter_mut().zip(full).filter(|(_, full)| !**full).for_each(|(coming, _)| *coming += over / open);
}

#[cfg(test)]
mod tests;
