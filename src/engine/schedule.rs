//! How far each station may run, and in what order. The choice changes the speed, never a byte.
//!
//! Stations are ordered so that, but for cycles, everyone comes after those it hears from; ties in time are broken by this
//! order. *Windowed* lets each station in turn run a whole window ahead. *Stepwise* always advances the station with the
//! least `(next time, position)` by one instant. A cycle of stations runs stepwise inside the windows of the others.

use super::World;
use super::earliest::Earliest;
use super::setup::Setup;
use crate::time::SimTime;

/// A station, by kind and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Station {
    Source(usize),
    /// All services, and the handlers of producers and consumers that call, hold or run steps at once.
    Mesh,
    Topic(usize),
    Group(usize),
}

/// Stations in order; those of one cycle together.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) components: Vec<Vec<Station>>,
}

impl Order {
    /// Orders the stations of a run.
    pub(super) fn new(setup: &Setup, groups: usize) -> Self {
        let (sources, topics) = (setup.sources.len(), setup.topics.len());
        let number = |station: Station| match station {
            Station::Source(i) => i,
            Station::Mesh => sources,
            Station::Topic(i) => sources + 1 + i,
            Station::Group(i) => sources + 1 + topics + i,
        };
        let mut hears = vec![Vec::new(); sources + 1 + topics + groups];
        for (index, topic) in setup.topics.iter().enumerate() {
            let from = topic.who.iter().map(|who| number(setup.station(*who)));
            hears[number(Station::Topic(index))].extend(from);
            for reader in &topic.readers {
                hears[number(Station::Group(*reader))].push(number(Station::Topic(index)));
            }
        }
        for topic in &setup.awaited {
            hears[number(Station::Mesh)].push(number(Station::Topic(*topic)));
        }
        // A group tells the mesh what its members begin, and hears when that is done.
        for group in setup.delegating() {
            hears[number(Station::Mesh)].push(number(Station::Group(group)));
            hears[number(Station::Group(group))].push(number(Station::Mesh));
        }
        let station = |n: usize| {
            if n < sources {
                Station::Source(n)
            } else if n == sources {
                Station::Mesh
            } else if n <= sources + topics {
                Station::Topic(n - sources - 1)
            } else {
                Station::Group(n - sources - topics - 1)
            }
        };
        let mut components = strongly_connected(&hears);
        components.iter_mut().for_each(|component| component.sort_unstable());
        let components = components.into_iter().map(|list| list.into_iter().map(station).collect());
        Self { components: components.collect() }
    }

    /// Position of each station in the order.
    pub(super) fn position(&self, station: Station) -> usize {
        self.components.iter().flatten().position(|other| *other == station).expect("all stations are ordered")
    }

    /// Whether there is no cycle.
    pub(super) fn is_acyclic(&self) -> bool {
        self.components.iter().all(|component| component.len() == 1)
    }
}

/// Tarjan's algorithm on "hears from" edges: components come out with those they hear from first.
fn strongly_connected(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    struct Search<'a> {
        edges: &'a [Vec<usize>],
        index: Vec<Option<usize>>,
        low: Vec<usize>,
        stack: Vec<usize>,
        found: Vec<Vec<usize>>,
        count: usize,
    }
    impl Search<'_> {
        fn visit(&mut self, at: usize) {
            self.index[at] = Some(self.count);
            self.low[at] = self.count;
            self.count += 1;
            self.stack.push(at);
            for next in &self.edges[at] {
                match self.index[*next] {
                    None => {
                        self.visit(*next);
                        self.low[at] = self.low[at].min(self.low[*next]);
                    }
                    Some(index) if self.stack.contains(next) => self.low[at] = self.low[at].min(index),
                    Some(_) => {}
                }
            }
            if Some(self.low[at]) == self.index[at] {
                let from = self.stack.iter().position(|n| *n == at).expect("on the stack");
                self.found.push(self.stack.split_off(from));
            }
        }
    }
    let count = edges.len();
    let mut search =
        Search { edges, index: vec![None; count], low: vec![0; count], stack: Vec::new(), found: Vec::new(), count: 0 };
    for at in 0..count {
        if search.index[at].is_none() {
            search.visit(at);
        }
    }
    search.found
}

/// Chooses windows by the number of records they hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    width: u64,
    target: u64,
    end: u64,
    now: u64,
    appended: u64,
}

impl Windows {
    pub(super) fn new(target: u64, end: u64) -> Self {
        // From narrow to wide: the first must not hold more than the others, however long the run.
        Self { width: (end >> 24).max(1), target: target.max(1), end, now: 0, appended: 0 }
    }

    /// The end of the next window; none at the end of the run.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.now >= self.end {
            return None;
        }
        self.now = self.now.saturating_add(self.width).min(self.end);
        Some(self.now)
    }

    /// Adapts the width to what the last window held.
    pub(super) fn adapt(&mut self, appended: u64) {
        let held = appended - self.appended;
        self.appended = appended;
        if held > self.target * 3 / 2 {
            self.width = (self.width / 2).max(1);
        } else if held < self.target * 2 / 3 {
            self.width = self.width.saturating_mul(2).min((self.end / 8).max(1));
        }
    }
}

/// Lets each station in turn run a whole window ahead. False: stopped.
pub(super) fn windowed(world: &mut World, order: &Order, target: u64, keep_going: &dyn Fn(SimTime) -> bool) -> bool {
    let mut windows = Windows::new(target, world.end);
    let mut fronts: Vec<Front> = order.components.iter().map(|stations| Front::new(world, stations)).collect();
    while let Some(until) = windows.next() {
        for front in &mut fronts {
            match front.stations.as_slice() {
                [station] => {
                    world.advance(*station, until);
                }
                _ => {
                    front.look(world);
                    while front.step(world, until).is_some() {}
                }
            }
        }
        world.settle(until);
        windows.adapt(world.appended());
        if world.exceeded().is_some() {
            return true;
        }
        if !keep_going(SimTime(until)) {
            return false;
        }
    }
    true
}

/// Stations that are advanced event by event, in order of time and position.
struct Front {
    stations: Vec<Station>,
    /// By position: the topics, or groups, that hear what it publishes or appends, each with its position.
    hearers: Vec<Vec<(usize, usize)>>,
    /// By position: those that it tells directly, each with its position.
    told: Vec<Vec<(Station, usize)>>,
    due: Earliest,
}

impl Front {
    fn new(world: &World, stations: &[Station]) -> Self {
        let placed = |station: Station| Some((station, stations.iter().position(|other| *other == station)?));
        let index = |(station, at): (Station, usize)| match station {
            Station::Topic(index) | Station::Group(index) => Some((index, at)),
            Station::Source(_) | Station::Mesh => None,
        };
        let hearers = |from: &Station| world.hearers(*from).into_iter().filter_map(placed).filter_map(index).collect();
        let told = |from: &Station| world.told(*from).into_iter().filter_map(placed).collect();
        Self {
            hearers: stations.iter().map(hearers).collect(),
            told: stations.iter().map(told).collect(),
            due: Earliest::new(stations.len()),
            stations: stations.to_vec(),
        }
    }

    /// Finds out when each is due.
    fn look(&mut self, world: &mut World) {
        for (at, station) in self.stations.iter().enumerate() {
            self.due.set(at, world.next(*station));
        }
    }

    /// Advances the one that is due first by one instant, if that lies before `until`; which instant.
    #[inline(always)]
    fn step(&mut self, world: &mut World, until: u64) -> Option<u64> {
        let (now, who) = (self.due.time(), self.due.position());
        if now >= until {
            return None;
        }
        match self.stations[who] {
            // Nobody hears of most events: the fewer questions are asked then, the fewer are guessed wrong.
            Station::Group(index) if world.groups[index].is_silent() => {
                self.due.set(who, world.advance(Station::Group(index), now + 1));
            }
            station @ Station::Topic(_) => {
                self.due.set(who, world.advance(station, now + 1));
                for (group, at) in &self.hearers[who] {
                    if let Some(next) = world.hear(*group) {
                        self.due.set(*at, next);
                    }
                }
                for (station, at) in &self.told[who] {
                    self.due.set(*at, world.next(*station));
                }
            }
            station => {
                self.due.set(who, world.advance(station, now + 1));
                for (topic, at) in &self.hearers[who] {
                    self.due.set(*at, world.next_of_topic(*topic));
                }
                for (station, at) in &self.told[who] {
                    self.due.set(*at, world.next(*station));
                }
            }
        }
        Some(now)
    }
}

/// Advances always the station that is due first, by one instant. False: stopped.
pub(super) fn stepwise(world: &mut World, order: &Order, keep_going: &dyn Fn(SimTime) -> bool) -> bool {
    let stations: Vec<Station> = order.components.iter().flatten().copied().collect();
    let mut front = Front::new(world, &stations);
    front.look(world);
    let mut steps = 0u32;
    while let Some(now) = front.step(world, world.end) {
        steps += 1;
        if steps.is_multiple_of(8192) {
            world.settle(now);
            if world.exceeded().is_some() {
                return true;
            }
            if !keep_going(SimTime(now)) {
                return false;
            }
        }
    }
    for station in &stations {
        world.advance(*station, world.end);
    }
    world.settle(world.end);
    true
}
