//! Plays the faults of a bus's nodes through before the run: who is noticed to be gone when, and who leads then.
//!
//! ```text
//! strike -> silent --session--> fenced --election--> copies drop out, others lead --restart--> back --catch up--> in sync
//! ```
//!
//! A node that falls silent sends no heartbeats; the controller fences it when its session has run out. It then counts as
//! in sync nowhere (the last copy in sync stays), and what it led is led by the first other copy in sync that is not fenced,
//! or by any copy where the topic allows that. A process that is started again is let in once its old session is over. It
//! follows, is in sync when it has caught up, and gets back what it is to lead at the next check.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::node::Node;
use super::partition::Partition;
use super::seat::Seat;
use super::{Downtime, Struck};
use crate::dist::{About, Dist};
use crate::engine::setup::Rounding;
use crate::engine::timeline::{Occurrence, occurrences};
use crate::plan::{BusId, BusPlan, Effect, FailoverPlan, FaultTarget, Members, Plan, TopicId};
use crate::random::Stream;
use crate::time::SimSpan;

/// What happens next, in this order where it happens at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A fault (by number in `faults`) strikes, for the n-th time.
    Strike { fault: usize, n: usize },
    /// A new process of a node is ready.
    Restart { node: usize },
    /// A node that stood still goes on.
    Resume { node: usize },
    /// The session of a node that has been silent for the n-th time is over.
    Fence { node: usize, silence: u32 },
    /// The others know it.
    Fenced { node: usize, silence: u32 },
    /// A silent node's copies have not caught up for too long.
    Lag { node: usize, silence: u32 },
    /// Partitions without a leader choose a copy on a node that is back.
    Elect { node: usize, silence: u32 },
    /// A node's copies have caught up.
    CaughtUp { node: usize, silence: u32 },
    /// A partition is handed over, by its n-th decision.
    HandOver { seat: usize, term: u32 },
    /// Is everybody led by whom it is to be led by?
    Check,
}

/// One node as the controller and the faults know it.
#[derive(Clone, Debug, Default)]
struct State {
    made: Node,
    /// Crashes that hold it down.
    down: u32,
    paused_until: u64,
    /// Since when it has sent no heartbeats.
    silent: Option<u64>,
    /// Times that it fell silent.
    silences: u32,
    fenced: bool,
    /// Whether its copies are catching up.
    catches_up: bool,
    /// The others know by then that it is fenced.
    known: u64,
    /// The fault that struck it last.
    fault: Option<usize>,
    /// Seats and copies on it.
    copies: Vec<(usize, usize)>,
}

impl State {
    fn runs(&self, now: u64) -> bool {
        self.down == 0 && self.paused_until <= now
    }
}

/// The streams of a bus's nodes.
struct Streams {
    heartbeat: Stream,
    election: Stream,
    startup: Stream,
    catch_up: Stream,
    check: Stream,
    unsynced: Stream,
}

/// Plays the faults of one bus through.
pub(super) struct Controller<'a> {
    plan: &'a Plan,
    failover: &'a FailoverPlan,
    rounding: Rounding,
    streams: Streams,
    /// Numbers in the plan, and occurrences.
    faults: Vec<(usize, Vec<Occurrence>)>,
    calendar: BinaryHeap<Reverse<(u64, Event)>>,
    nodes: Vec<State>,
    seats: Vec<Seat>,
    /// First seat of each topic of the bus.
    first_seat: BTreeMap<usize, usize>,
    /// Draws so far: elections, starts, times that a node caught up, and losses of power.
    draws: [u64; 4],
    checks: bool,
    struck: BTreeMap<usize, Struck>,
}

/// What came out.
pub(super) struct Played {
    pub(super) nodes: Vec<Node>,
    /// By topic.
    pub(super) partitions: BTreeMap<usize, Vec<Partition>>,
    /// By fault.
    pub(super) struck: BTreeMap<usize, Struck>,
}

impl<'a> Controller<'a> {
    /// The controller of a bus whose nodes can fail; none where no fault ever strikes one.
    pub(super) fn new(plan: &'a Plan, bus: BusId, seed: u64, rounding: Rounding) -> Option<Self> {
        let of = &plan.buses[bus.0 as usize];
        let failover = of.failover.as_ref()?;
        let reaches = |target: FaultTarget| match target {
            FaultTarget::Broker(id, _) => id == bus,
            FaultTarget::Leader(TopicId(topic), _) => plan.topics[topic as usize].bus_id == bus,
            _ => false,
        };
        let faults = plan.faults.iter().enumerate().filter(|(_, fault)| reaches(fault.target));
        let faults: Vec<_> = faults.map(|(number, fault)| (number, occurrences(plan, fault, seed))).collect();
        if faults.iter().all(|(_, occurrences)| occurrences.is_empty()) {
            return None;
        }
        let stream = |purpose: &str| Stream::named(seed, &format!("buses/{}/{purpose}", of.name));
        let mut controller = Self {
            plan,
            failover,
            rounding,
            streams: Streams {
                heartbeat: stream("heartbeat"),
                election: stream("election"),
                startup: stream("startup"),
                catch_up: stream("catch_up"),
                check: stream("check"),
                unsynced: stream("unsynced"),
            },
            faults,
            calendar: BinaryHeap::new(),
            nodes: vec![State::default(); of.brokers as usize],
            seats: Vec::new(),
            first_seat: BTreeMap::new(),
            draws: [0; 4],
            checks: false,
            struck: BTreeMap::new(),
        };
        controller.seat_copies(bus, of);
        Some(controller)
    }

    fn seat_copies(&mut self, bus: BusId, of: &BusPlan) {
        let topics = self.plan.topics.iter().enumerate().filter(|(_, topic)| topic.bus_id == bus);
        for (topic, plan) in topics {
            self.first_seat.insert(topic, self.seats.len());
            for partition in 0..plan.partitions {
                let nodes = (0..plan.copies).map(|copy| ((partition + copy) % of.brokers) as usize);
                for (copy, node) in nodes.clone().enumerate() {
                    self.nodes[node].copies.push((self.seats.len(), copy));
                }
                self.seats.push(Seat::new(topic, nodes));
            }
        }
    }

    /// Plays until nothing happens any more before `end`.
    pub(super) fn play(mut self, end: u64) -> Played {
        for (fault, (number, occurrences)) in self.faults.iter().enumerate() {
            let spans = occurrences.iter().map(|o| (o.from, self.settled(o))).collect();
            let struck = Struck { nodes: vec![None; occurrences.len()], spans, gaps: Vec::new() };
            self.struck.insert(*number, struck);
            self.calendar
                .extend(occurrences.iter().enumerate().map(|(n, o)| Reverse((o.from, Event::Strike { fault, n }))));
        }
        while let Some(Reverse((now, event))) = self.calendar.pop().filter(|next| next.0.0 < end) {
            self.handle(now, event);
        }
        let mut played = Played {
            nodes: self.nodes.into_iter().map(|node| node.made).collect(),
            partitions: BTreeMap::new(),
            struck: self.struck,
        };
        for seat in self.seats {
            note_gaps(&seat, &mut played.struck);
            played.partitions.entry(seat.topic).or_default().push(seat.made);
        }
        played
    }

    /// When all that an occurrence leads to should be over: its node is missed and is back.
    fn settled(&self, o: &Occurrence) -> u64 {
        let mean = |dist: &Dist| SimSpan::from_nanos_f64(2.0 * dist.mean()).0;
        let FailoverPlan { session_timeout, election, startup, catch_up, .. } = self.failover;
        let missed = o.from.saturating_add(session_timeout.0);
        let back = o.to.saturating_add(mean(startup)).saturating_add(mean(catch_up));
        missed.max(back).saturating_add(mean(election))
    }

    fn push(&mut self, at: u64, event: Event) {
        if at < u64::MAX {
            self.calendar.push(Reverse((at, event)));
        }
    }

    fn draw(&mut self, which: usize) -> u64 {
        let Streams { election, startup, catch_up, unsynced, .. } = self.streams;
        let of: [(&Dist, Stream); 4] = [
            (&self.failover.election, election),
            (&self.failover.startup, startup),
            (&self.failover.catch_up, catch_up),
            (&self.failover.unsynced, unsynced),
        ];
        self.draws[which] += 1;
        let (dist, stream) = of[which];
        self.rounding.up(dist.whole(&mut stream.at(self.draws[which]), About::default()))
    }

    fn handle(&mut self, now: u64, event: Event) {
        let still = |state: &State, silence: u32| state.silent.is_some() && state.silences == silence;
        let back = |state: &State, silence: u32| state.silent.is_none() && state.silences == silence;
        match event {
            Event::Strike { fault, n } => self.strike(fault, n, now),
            Event::Restart { node } => {
                self.nodes[node].down -= 1;
                self.go_on(node, now);
            }
            Event::Resume { node } => self.go_on(node, now),
            Event::Fence { node, silence } if still(&self.nodes[node], silence) => {
                let known = now.saturating_add(self.draw(ELECTION));
                (self.nodes[node].fenced, self.nodes[node].known) = (true, known);
                self.push(known, Event::Fenced { node, silence });
            }
            Event::Fenced { node, silence } if still(&self.nodes[node], silence) => {
                self.drop_out(node, now);
                self.go_on(node, now);
            }
            Event::Lag { node, silence } if still(&self.nodes[node], silence) => self.lag(node, now),
            Event::Elect { node, silence } if back(&self.nodes[node], silence) => {
                self.each_copy(node, now, |it, seat, _| {
                    if it.seats[seat].leader.is_none() {
                        it.choose(seat, now);
                    }
                });
            }
            Event::CaughtUp { node, silence } if back(&self.nodes[node], silence) => self.caught_up(node, now),
            Event::HandOver { seat, term } => self.hand_over(seat, term, now),
            Event::Check => self.check(now),
            _ => {}
        }
    }

    /// Does something with each copy of a node, and notes what has changed.
    fn each_copy(&mut self, node: usize, now: u64, act: impl Fn(&mut Self, usize, usize)) {
        let copies = std::mem::take(&mut self.nodes[node].copies);
        for (seat, copy) in &copies {
            act(self, *seat, *copy);
            self.note(*seat, now, self.nodes[node].fault);
        }
        self.nodes[node].copies = copies;
    }

    fn note(&mut self, seat: usize, now: u64, fault: Option<usize>) {
        let it = &mut self.seats[seat];
        let serving = it.leading().is_some_and(|node| self.nodes[node].silent.is_none());
        let least = self.plan.topics[it.topic].min_in_sync;
        it.note(now, serving, least, fault);
    }

    fn strike(&mut self, fault: usize, n: usize, now: u64) {
        let (number, ref occurrences) = self.faults[fault];
        let Occurrence { to, member, .. } = occurrences[n];
        let plan = &self.plan.faults[number];
        let whom: Vec<usize> = match plan.target {
            FaultTarget::Leader(topic, partition) => {
                let seat = self.first_seat[&(topic.0 as usize)] + partition as usize;
                self.seats[seat].leading().into_iter().collect()
            }
            FaultTarget::Broker(_, Members::All) => (0..self.nodes.len()).collect(),
            _ => member.into_iter().map(|node| node as usize).collect(),
        };
        if let [one] = whom[..] {
            let struck = self.struck.get_mut(&number).expect("an entry for each fault");
            struck.nodes[n] = Some(u32::try_from(one).expect("nodes fit 32 bits"));
        }
        for node in whom {
            self.nodes[node].fault = Some(number);
            match plan.effect {
                Effect::Crash => self.crash(node, now, to),
                Effect::PowerLoss => {
                    self.crash(node, now, to);
                    let since = now.saturating_sub(self.draw(UNSYNCED));
                    self.each_copy(node, now, |it, seat, copy| it.seats[seat].forget(copy, since));
                }
                Effect::Pause => self.pause(node, now, to),
                _ => {}
            }
        }
    }

    /// A process ends; the next one is started at `until`.
    fn crash(&mut self, node: usize, now: u64, until: u64) {
        if until < u64::MAX {
            let ready = until.saturating_add(self.draw(STARTUP));
            self.push(ready, Event::Restart { node });
        }
        let state = &mut self.nodes[node];
        state.down += 1;
        if state.made.down.last().is_some_and(|(_, to)| *to == u64::MAX) {
            return;
        }
        state.made.down.push((now, u64::MAX));
        if state.paused_until > now {
            state.paused_until = now;
            if let Some(pause) = state.made.paused.last_mut() {
                pause.1 = now;
            }
            state.made.paused.pop_if(|(from, to)| from == to);
        }
        let since = state.silent.unwrap_or(now);
        self.fall_silent(node, now);
        self.each_copy(node, now, |it, seat, copy| {
            if it.seats[seat].leader == Some(copy) {
                it.seats[seat].leave(since);
            }
        });
    }

    fn pause(&mut self, node: usize, now: u64, until: u64) {
        let state = &mut self.nodes[node];
        let from = state.paused_until.max(now);
        // A process that is not there cannot stand still.
        if until <= from || state.made.down.last().is_some_and(|(_, to)| *to == u64::MAX) {
            return;
        }
        match state.made.paused.last_mut().filter(|(_, to)| *to >= now) {
            Some(pause) => pause.1 = until,
            None => state.made.paused.push((now, until)),
        }
        state.paused_until = until;
        self.push(until, Event::Resume { node });
        self.fall_silent(node, now);
    }

    /// A node sends no heartbeats any more, and its copies do not follow.
    fn fall_silent(&mut self, node: usize, now: u64) {
        let state = &mut self.nodes[node];
        if state.silent.is_some() {
            return;
        }
        state.silent = Some(now);
        state.silences += 1;
        state.catches_up = false;
        let silence = state.silences;
        let last = self.last_heartbeat(node, now);
        self.push(last.saturating_add(self.failover.session_timeout.0).max(now), Event::Fence { node, silence });
        self.push(now.saturating_add(self.failover.lag_limit.0), Event::Lag { node, silence });
        self.each_copy(node, now, |it, seat, copy| {
            if it.seats[seat].leader != Some(copy) {
                let silent = it.seats[seat].leading().and_then(|leader| it.nodes[leader].silent);
                it.seats[seat].lose_touch(copy, now, silent);
            }
        });
    }

    /// The last heartbeat before a time: they have a phase of their own.
    fn last_heartbeat(&self, node: usize, now: u64) -> u64 {
        let every = self.failover.heartbeat.0.max(1);
        let phase = part_of(self.streams.heartbeat.unit(node as u64), every);
        if now < phase { 0 } else { now - (now - phase) % every }
    }

    /// A silent node may go on, if nothing holds it: at once, or when what it was is forgotten.
    fn go_on(&mut self, node: usize, now: u64) {
        let state = &mut self.nodes[node];
        if !state.runs(now) || state.silent.is_none() {
            return;
        }
        let was_down = state.made.down.last().is_some_and(|(_, to)| *to == u64::MAX);
        if !state.fenced && !was_down {
            state.silent = None;
            return self.each_copy(node, now, |it, seat, copy| it.touch(seat, copy, now));
        }
        if !state.fenced || now < state.known {
            return;
        }
        if was_down && let Some(down) = state.made.down.last_mut() {
            down.1 = now;
        }
        (state.silent, state.fenced) = (None, false);
        let silence = state.silences;
        let elected = now.saturating_add(self.draw(ELECTION));
        self.push(elected, Event::Elect { node, silence });
        self.catch_up(node, now);
    }

    /// A copy on a node that stood still for a short time goes on where it was.
    fn touch(&mut self, seat: usize, copy: usize, now: u64) {
        let it = &self.seats[seat];
        if it.leader == Some(copy) {
            if it.reigning { self.gather(seat, now) } else { self.open(seat, now) }
        } else if it.reigning && it.leading().is_some_and(|leader| self.nodes[leader].silent.is_none()) {
            self.gather(seat, now);
        }
    }

    /// Those who are there follow a leader: at once if they count as in sync, else when they have caught up.
    fn gather(&mut self, seat: usize, now: u64) {
        let it = &mut self.seats[seat];
        let mut behind = Vec::new();
        for (at, copy) in it.copies.iter_mut().enumerate() {
            if Some(at) == it.leader || self.nodes[copy.node].silent.is_some() {
                continue;
            }
            copy.follows = copy.in_sync;
            if !copy.in_sync {
                behind.push(copy.node);
            }
        }
        behind.into_iter().for_each(|node| self.catch_up(node, now));
    }

    /// All copies of a node that are not in sync begin to catch up, if they have not begun.
    fn catch_up(&mut self, node: usize, now: u64) {
        if std::mem::replace(&mut self.nodes[node].catches_up, true) {
            return;
        }
        let silence = self.nodes[node].silences;
        let caught_up = now.saturating_add(self.draw(CATCH_UP));
        self.push(caught_up, Event::CaughtUp { node, silence });
    }

    /// The others know that a node is gone.
    fn drop_out(&mut self, node: usize, now: u64) {
        let since = self.nodes[node].silent.unwrap_or(now);
        self.each_copy(node, now, |it, seat, copy| {
            it.seats[seat].drop_out(copy);
            if it.seats[seat].leader == Some(copy) {
                it.seats[seat].leave(since);
                it.choose(seat, now);
            }
        });
    }

    /// Copies that have not caught up for too long are in sync no more; their leaders see to that.
    fn lag(&mut self, node: usize, now: u64) {
        self.each_copy(node, now, |it, seat, copy| {
            let leader = it.seats[seat].leading().filter(|_| it.seats[seat].leader != Some(copy));
            if leader.is_some_and(|leader| it.nodes[leader].silent.is_none()) {
                it.seats[seat].drop_out(copy);
            }
        });
    }

    /// A partition gets a leader, if it can.
    fn choose(&mut self, seat: usize, now: u64) {
        let may = |copy: &&usize| !self.nodes[self.seats[seat].copies[**copy].node].fenced;
        let all: Vec<usize> = (0..self.seats[seat].copies.len()).collect();
        let clean = all.iter().filter(|copy| self.seats[seat].copies[**copy].in_sync).find(may).copied();
        let unclean = self.plan.topics[self.seats[seat].topic].unclean_election;
        let any = all.iter().filter(|_| unclean).find(may).copied();
        let it = &mut self.seats[seat];
        it.term += 1;
        it.leader = clean.or(any);
        let Some(leader) = it.leader else { return };
        it.made.reigns.last_mut().expect("a partition is led from the start").unclean = clean.is_none();
        if clean.is_none() {
            it.copies.iter_mut().for_each(|copy| (copy.in_sync, copy.follows) = (false, false));
            it.copies[leader].in_sync = true;
        }
        // One that stands still, or is gone without being missed yet, leads nothing.
        if self.nodes[it.copies[leader].node].silent.is_none() {
            self.open(seat, now);
        }
    }

    /// A partition's leader begins to serve.
    fn open(&mut self, seat: usize, now: u64) {
        self.seats[seat].open(now);
        self.gather(seat, now);
        if self.seats[seat].leader != Some(0) {
            self.check_later(now);
        }
    }

    fn caught_up(&mut self, node: usize, now: u64) {
        self.nodes[node].catches_up = false;
        self.each_copy(node, now, |it, seat, copy| {
            let serving = it.seats[seat].leading().is_some_and(|leader| it.nodes[leader].silent.is_none());
            let seat = &mut it.seats[seat];
            if seat.reigning && serving && seat.leader != Some(copy) {
                (seat.copies[copy].in_sync, seat.copies[copy].follows) = (true, true);
            }
        });
    }

    /// Sees to it that there is a check.
    fn check_later(&mut self, now: u64) {
        let Some(every) = self.failover.rebalance.map(|every| every.0.max(1)) else { return };
        if !std::mem::replace(&mut self.checks, true) {
            let phase = part_of(self.streams.check.unit(0), every);
            let at = if now < phase { phase } else { now.saturating_add(every - (now - phase) % every) };
            self.push(at, Event::Check);
        }
    }

    /// Partitions go back to the copies that are to lead them, where these are in sync.
    fn check(&mut self, now: u64) {
        self.checks = false;
        let opens = now.saturating_add(self.draw(ELECTION));
        let mut displaced = false;
        for seat in 0..self.seats.len() {
            let it = &mut self.seats[seat];
            if it.leader == Some(0) {
                continue;
            }
            displaced = true;
            let ready = it.copies[0].in_sync && it.copies[0].follows && self.nodes[it.copies[0].node].silent.is_none();
            let serving = it.leading().is_some_and(|leader| self.nodes[leader].silent.is_none());
            if ready && serving && it.reigning {
                it.leave(now);
                it.leader = Some(0);
                it.term += 1;
                let term = it.term;
                self.push(opens, Event::HandOver { seat, term });
                self.note(seat, now, None);
            }
        }
        if displaced {
            self.check_later(now);
        }
    }

    fn hand_over(&mut self, seat: usize, term: u32, now: u64) {
        let it = &self.seats[seat];
        let moves = it.leading().is_some_and(|node| self.nodes[node].silent.is_none());
        if it.term == term && !it.reigning && moves {
            self.open(seat, now);
            self.note(seat, now, None);
        }
    }
}

/// Draws by purpose.
const ELECTION: usize = 0;
const STARTUP: usize = 1;
const CATCH_UP: usize = 2;
const UNSYNCED: usize = 3;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below the whole")]
fn part_of(share: f64, whole: u64) -> u64 {
    (share * whole as f64) as u64
}

/// Adds what a fault kept from a partition.
fn note_gaps(seat: &Seat, struck: &mut BTreeMap<usize, Struck>) {
    for (gaps, refused) in [(&seat.unserved, false), (&seat.refused, true)] {
        for gap in gaps {
            let of = struck.get_mut(&gap.fault).expect("an entry for each fault");
            of.gaps.push(Downtime { topic: seat.topic, from: gap.from, to: gap.to, refused });
        }
    }
}
