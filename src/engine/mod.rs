//! Runs one plan with one seed to an outcome.
//!
//! A topology is a graph of stations, each a small simulator with its own state and its own random streams:
//!
//! ```text
//! Source --appends--> Topic --records--> Group --appends--> Topic ...      Join reads what groups have completed
//! ```
//!
//! A station has one verb, `advance(until)`: handle everything strictly before `until`. A schedule decides how far each
//! may run; it must not change a byte of the outcome. *Begun is state, completed is output*: a service in progress at a
//! boundary is kept, and nothing is counted before its end lies below `until`.

mod ahead;
mod backoff;
mod client;
mod cluster;
mod delegate;
mod earliest;
mod group;
mod hand;
mod handler;
mod join;
mod journeys;
mod lineage;
mod log;
mod mesh;
mod parallel;
mod partitioner;
mod retention;
mod schedule;
mod setup;
mod source;
mod stable;
mod story;
mod timeline;
mod topic;
mod upstream;

#[cfg(test)]
mod machines;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod systems;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transactions;

use group::{Group, GroupOptions};
use join::Join;
use journeys::Journeys;
use log::Log;
use mesh::{Mesh, MeshOutcome};
use retention::Retention;
use schedule::{Order, Station};
use setup::{Publisher, Setup};
use source::Source;
use topic::{Inbox, Topic};

use crate::outcome::{
    ConsumerOutcome, Defect, Ended, EventId, FaultOutcome, Outcome, ProducerOutcome, Story, TopicOutcome, TraceRecord,
    Unpublished,
};
use crate::plan::{BusId, Effect, FaultPlan, FaultTarget, Plan};
use crate::stats::Course;
use crate::time::SimTime;

/// How stations are advanced. The choice must not change a byte of the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Whole windows, station by station in topological order.
    #[default]
    Windowed,
    /// Event by event in global time order: the reference.
    Stepwise,
    /// As windowed, with the stations of one window on several threads. Topologies with cycles run windowed.
    Parallel,
}

/// What a run needs beside the plan.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Seed of this run (the experiment derives one per replication from the master seed).
    pub seed: u64,
    /// How stations are advanced.
    pub schedule: Schedule,
    /// Records per window; 0: chosen by the schedule.
    pub window: u64,
    /// Threads of the parallel schedule; 0: all cores.
    pub threads: usize,
    /// Rounds every drawn time up to a multiple of this many ns, so that ties are the rule; 0 and 1: off.
    pub coarse: u64,
    /// Whether to keep a record of every delivery.
    pub trace: bool,
    /// Sends simple handlers through the general machine (same results, slower).
    pub general: bool,
    /// Tells the distributions of times apart in the parts of the run, too.
    pub in_parts: bool,
    /// Runs the handlers of all consumers at the station of the services, whether they need it or not.
    pub delegate: bool,
    /// The event whose story is told; deliveries of others are not kept then.
    pub watch: Option<EventId>,
}

/// Why a run has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// A bug in the simulator: the run cannot be trusted. What does not hold, with numbers.
    Broken(String),
    /// A publisher of a topic has more events than a run can number.
    TooManyEvents {
        /// Name of the topic.
        topic: String,
        /// Most events of each of its publishers.
        most: u64,
    },
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(invariant) => write!(f, "an invariant does not hold: {invariant}"),
            Self::TooManyEvents { topic, most } => {
                write!(f, "a publisher of {topic} has more than the {most} events that one run can number")
            }
        }
    }
}

/// Hears how far a run has come, and may stop it.
pub trait Progress: Sync {
    /// Virtual time reached; returns false to stop the run (its outcome is then dropped).
    fn reached(&self, now: SimTime) -> bool;
}

/// Records per window: large enough to hide what a station costs per call, small enough for the caches.
const WINDOW: u64 = 2048;
/// The same where threads meet after each window.
const PARALLEL_WINDOW: u64 = 4096;

/// Names of those that publish to a topic, by their position among them.
#[must_use]
pub fn publishers(plan: &Plan, topic: usize) -> Vec<&str> {
    setup::publishers(plan, topic).into_iter().map(|who| setup::publisher_name(plan, who)).collect()
}

/// Runs a plan. `None`: stopped by `progress`.
///
/// # Errors
/// [`RunError`]: the books of a subscription do not close (a bug in the simulator), or there are too many events.
pub fn run(plan: &Plan, options: &RunOptions, progress: &dyn Progress) -> Result<Option<Outcome>, RunError> {
    let mut end = plan.duration.0;
    let mut ended = Ended::AtDuration;
    loop {
        let mut world = World::new(plan, options, end);
        if !world.run(options, &|now| progress.reached(now)) {
            return Ok(None);
        }
        // The run stops where a bound was first exceeded, whatever the schedule: once more, up to there.
        let Some((at, consumer)) = world.exceeded() else {
            world.check_numbers(plan)?;
            return world.finish(plan, ended).map(Some);
        };
        (end, ended) = (at + 1, Ended::BacklogBound { at: SimTime(at), consumer });
    }
}

/// All stations of one run.
pub(crate) struct World {
    setup: Setup,
    order: Order,
    end: u64,
    sources: Vec<Source>,
    inboxes: Vec<Inbox>,
    topics: Vec<Topic>,
    groups: Vec<Group>,
    mesh: Mesh,
    joins: Vec<Join>,
    journeys: Journeys,
}

impl World {
    fn new(plan: &Plan, options: &RunOptions, end: u64) -> Self {
        let mut setup = Setup::new(plan, options);
        setup.end = end;
        if options.in_parts {
            setup.course = Course::over(plan.warm_up.0, plan.duration.0, true);
        }
        let order = Order::new(&setup, plan.consumers.len());
        setup.find_back_edges(&order);
        setup.watch(options.watch);
        let group_options = GroupOptions {
            trace: options.trace,
            general: options.general,
            in_order: options.schedule == Schedule::Stepwise,
        };
        let joined = |topic: &&(usize, &setup::TopicSetup)| topic.1.has_columns();
        let groups: Vec<_> =
            (0..plan.consumers.len()).map(|index| Group::new(plan, &setup, index, group_options)).collect();
        Self {
            end,
            sources: setup.sources.iter().map(|index| Source::new(plan, &setup, *index)).collect(),
            inboxes: setup.topics.iter().map(Inbox::new).collect(),
            topics: (0..setup.topics.len())
                .map(|topic| Topic::new(&setup, topic, Retention::new(plan, topic, options.seed)))
                .collect(),
            mesh: Mesh::new(plan, &setup),
            groups,
            joins: setup
                .topics
                .iter()
                .enumerate()
                .collect::<Vec<_>>()
                .iter()
                .filter(joined)
                .map(|(index, topic)| Join::new(*index, topic, setup.warm_up))
                .collect(),
            journeys: Journeys::new(plan, &setup),
            order,
            setup,
        }
    }

    fn run(&mut self, options: &RunOptions, keep_going: &dyn Fn(SimTime) -> bool) -> bool {
        let window = |default| if options.window == 0 { default } else { options.window };
        let order = self.order.clone();
        match options.schedule {
            Schedule::Stepwise => schedule::stepwise(self, &order, keep_going),
            // The mesh reads what is awaited outside of the order of stations.
            Schedule::Parallel if order.is_acyclic() && self.setup.awaited.is_empty() => {
                parallel::run(self, window(PARALLEL_WINDOW), options.threads, keep_going)
            }
            Schedule::Windowed | Schedule::Parallel => schedule::windowed(self, &order, window(WINDOW), keep_going),
        }
    }

    /// When a station next does something.
    #[inline(always)]
    fn next(&mut self, station: Station) -> u64 {
        match station {
            Station::Source(index) => self.sources[index].next(),
            Station::Mesh => {
                self.mesh.listen(&self.topics);
                self.mesh.next()
            }
            Station::Topic(index) => self.next_of_topic(index),
            Station::Group(index) => with_logs(&self.topics, &mut self.groups[index], Group::next),
        }
    }

    /// When a topic next appends something, or looks for what it may delete.
    #[inline(always)]
    fn next_of_topic(&self, topic: usize) -> u64 {
        self.inboxes[topic].next().min(self.topics[topic].next_look())
    }

    /// When a group next does something, if what a topic has appended since it was last asked may have changed that.
    #[inline(always)]
    fn hear(&mut self, group: usize) -> Option<u64> {
        with_logs(&self.topics, &mut self.groups[group], Group::hear)
    }

    /// Lets a station handle everything strictly before `until`; when it next does something.
    #[inline(always)]
    fn advance(&mut self, station: Station, until: u64) -> u64 {
        match station {
            Station::Source(index) => {
                let source = &mut self.sources[index];
                source.advance(until, &mut self.inboxes);
                source.next()
            }
            Station::Topic(index) => {
                self.topics[index].release(&mut self.inboxes[index], until);
                self.next_of_topic(index)
            }
            Station::Mesh => {
                self.mesh.advance(until, &self.topics, &mut self.inboxes);
                for (consumer, at, ended) in self.mesh.ended() {
                    self.groups[consumer].ended(at, ended);
                }
                self.mesh.next()
            }
            Station::Group(index) => {
                let group = &mut self.groups[index];
                let next = with_logs(&self.topics, group, |group, logs| group.advance(logs, until));
                group.deliver(&mut self.inboxes);
                if group.has_jobs() {
                    self.mesh.hear(index, group.jobs());
                }
                next
            }
        }
    }

    /// The groups that read a topic, or the topics to which another station publishes: their next time may change when it is
    /// advanced.
    fn hearers(&self, station: Station) -> Vec<Station> {
        if let Station::Topic(index) = station {
            return self.setup.topics[index].readers.iter().map(|reader| Station::Group(*reader)).collect();
        }
        let publishes = |topic: &setup::TopicSetup| topic.who.iter().any(|who| self.setup.station(*who) == station);
        let topics = self.setup.topics.iter().zip(0..).filter(|(topic, _)| publishes(topic));
        topics.map(|(_, index)| Station::Topic(index)).collect()
    }

    /// Those that a station tells directly: groups whose handlers run in the mesh, and the mesh, which also hears of events that
    /// are awaited.
    fn told(&self, station: Station) -> Vec<Station> {
        match station {
            Station::Mesh => self.setup.delegating().map(Station::Group).collect(),
            Station::Group(index) if self.setup.delegates[index] => vec![Station::Mesh],
            Station::Topic(index) if self.setup.awaited.contains(&index) => vec![Station::Mesh],
            _ => Vec::new(),
        }
    }

    /// Follows events through all their groups, and journeys as far as all stations have come, and trims what nobody needs
    /// any more.
    fn settle(&mut self, until: u64) {
        self.follow_journeys(until);
        for join in &mut self.joins {
            join.advance(&mut self.topics, &mut self.groups);
        }
        for (index, topic) in self.topics.iter_mut().enumerate() {
            let readers = &self.setup.topics[index].readers;
            for partition in 0..topic.log.lanes.len() {
                let keep = readers.iter().map(|reader| {
                    let group = &self.groups[*reader];
                    let slot = group.topics().iter().position(|topic| *topic == index).expect("a reader reads it");
                    group.keep(slot, partition)
                });
                let keep = keep.min().unwrap_or(u64::MAX).min(self.mesh.keep(index, partition));
                topic.log.lanes[partition].trim(keep);
            }
        }
    }

    fn follow_journeys(&mut self, until: u64) {
        if self.journeys.is_idle() {
            return;
        }
        let told = &mut self.journeys.told;
        self.sources.iter_mut().for_each(|source| source.notes().tell(told));
        self.mesh.notes().tell(told);
        self.inboxes.iter_mut().for_each(|inbox| inbox.tell(told));
        self.topics.iter_mut().for_each(|topic| topic.notes().tell(told));
        self.groups.iter_mut().for_each(|group| group.meter().notes().tell(told));
        self.journeys.settle(until);
    }

    /// Records appended so far, in all topics.
    fn appended(&self) -> u64 {
        self.topics.iter().map(|topic| topic.log.appended).sum()
    }

    /// Where a backlog first exceeded its bound, and whose, if there is more to simulate after that. Stations that run
    /// behind others may yet find an earlier one.
    fn exceeded(&self) -> Option<(u64, usize)> {
        let groups = self.groups.iter().enumerate();
        let first = groups.filter_map(|(index, group)| Some((group.exceeded()?, index))).min();
        first.filter(|(at, _)| at + 1 < self.end)
    }

    fn check_numbers(&self, plan: &Plan) -> Result<(), RunError> {
        match self.inboxes.iter().zip(&plan.topics).find(|(inbox, _)| inbox.full) {
            None => Ok(()),
            Some((inbox, topic)) => {
                Err(RunError::TooManyEvents { topic: topic.name.clone(), most: inbox.code.capacity() })
            }
        }
    }

    fn finish(mut self, plan: &Plan, ended: Ended) -> Result<Outcome, RunError> {
        let end = self.end;
        let mut faults: Vec<FaultOutcome> =
            (0..plan.faults.len()).map(|number| self.fault_outcome(plan, number)).collect();
        let mut topics: Vec<_> =
            self.topics.iter().zip(&self.inboxes).map(|(topic, inbox)| topic.outcome(inbox, end)).collect();
        for ((outcome, inbox), topic) in topics.iter_mut().zip(&self.inboxes).zip(&self.topics) {
            (outcome.not_stored, outcome.copies) = (inbox.not_stored().iter().sum(), topic.surplus);
        }
        // What was heard last of events that are never stored holds up nobody.
        self.topics.iter_mut().zip(&mut self.inboxes).for_each(|(topic, inbox)| topic.note(inbox));
        for join in &mut self.joins {
            join.advance(&mut self.topics, &mut self.groups);
            join.finish(&mut topics);
        }
        let mut unsent = vec![0; topics.len()];
        let sources = self.sources.iter().flat_map(Source::unsent);
        let groups = self.groups.iter().flat_map(Group::unsent);
        for (topic, count) in sources.chain(groups).chain(self.mesh.unsent()) {
            unsent[topic] += count;
        }
        let MeshOutcome { services, producers: in_mesh, consumers: handlers, resources, struck, crowds } =
            self.mesh.finish(end).map_err(RunError::Broken)?;
        for (fault, service, interval) in struck {
            faults[fault].services.insert(service, interval);
        }
        for (fault, service, crowd) in crowds {
            faults[fault].crowds.insert(service, crowd);
        }
        let mut consumers = Vec::with_capacity(self.groups.len());
        let mut trace = Vec::new();
        for group in &mut self.groups {
            let mut outcome = with_logs(&self.topics, group, |group, logs| group.finish(logs, end, &mut faults));
            for topic in group.subscribed().iter().copied() {
                let [rejected, indeterminate, unpublished] = self.inboxes[topic].not_stored();
                outcome.ledger.created += topics[topic].created;
                outcome.ledger.rejected += rejected;
                outcome.ledger.indeterminate += indeterminate;
                outcome.ledger.unpublished += unpublished;
                outcome.ledger.publishing += self.topics[topic].pending(&self.inboxes[topic]) + unsent[topic];
                outcome.ledger.stored += topics[topic].stored;
                outcome.duplicates_log += self.topics[topic].surplus;
            }
            outcome.arrived = outcome.ledger.stored - outcome.ledger.filtered.min(outcome.ledger.stored);
            trace.extend(group.take_trace());
            consumers.push(outcome);
        }
        for (consumer, outcome) in plan.consumers.iter().zip(&consumers) {
            check_books(&consumer.name, outcome)?;
        }
        trace.sort_by_key(|record| {
            (record.consumer, record.topic, record.retry, record.partition, record.offset, record.start, record.done)
        });
        for (index, handler, out) in handlers {
            self.groups[index].check_out(out).map_err(RunError::Broken)?;
            consumers[index].handler = Some(handler);
        }
        let sources = self.setup.sources.iter().copied().zip(self.sources.iter_mut().map(Source::outcome));
        let mut producers: Vec<(usize, ProducerOutcome)> = sources.chain(in_mesh).collect();
        producers.sort_unstable_by_key(|(index, _)| *index);
        let producers: Vec<ProducerOutcome> = producers.into_iter().map(|(_, outcome)| outcome).collect();
        for (fault, outcome) in plan.faults.iter().zip(&mut faults) {
            self.note_unpublished(plan, fault, outcome, &producers, &topics);
        }
        let story = self.story(&trace);
        let (flows, reads) = self.journeys.finish(end).map_err(RunError::Broken)?;
        Ok(Outcome { ended, producers, topics, consumers, services, resources, flows, reads, faults, trace, story })
    }

    /// What there is to tell of the event that is watched, by the deliveries of it too.
    fn story(&mut self, trace: &[TraceRecord]) -> Story {
        let Some(watched) = self.setup.watched else { return Story::new() };
        let topic = watched.topic as usize;
        let mut story = self.topics[topic].take_story();
        story.append(&mut self.inboxes[topic].take_story());
        self.groups.iter_mut().for_each(|group| story.append(&mut group.take_story()));
        story::put_together(story, trace, self.end)
    }

    fn fault_outcome(&self, plan: &Plan, number: usize) -> FaultOutcome {
        // A run that was stopped has seen nothing of what was to strike later.
        let mut found = timeline::occurrences(plan, &plan.faults[number], self.setup.seed);
        found.retain(|o| o.from < self.end);
        if let FaultTarget::Consumer(id, _) = plan.faults[number].target {
            self.groups[id.0 as usize].tell_whom(plan, self.setup.seed, number, &mut found);
        }
        let shown = || found.iter().take(1000);
        let struck = self.setup.clusters.struck.get(&number);
        FaultOutcome {
            occurrences: shown().map(|o| (SimTime(o.from), SimTime(o.to.min(self.end)))).collect(),
            members: match struck {
                Some(struck) => struck.nodes.iter().take(found.len().min(1000)).copied().collect(),
                None => shown().map(|o| o.member).collect(),
            },
            count: found.len() as u64,
            partitions: struck.map(|struck| struck.partitions(self.end)).unwrap_or_default(),
            ..FaultOutcome::default()
        }
    }

    /// What a fault that disturbs publishing may have done to its publisher, and to the readers of what that publishes. It
    /// is of the whole run: when an event was refused is known to its client alone.
    fn note_unpublished(
        &self,
        plan: &Plan,
        fault: &FaultPlan,
        outcome: &mut FaultOutcome,
        producers: &[ProducerOutcome],
        topics: &[TopicOutcome],
    ) {
        if outcome.count == 0 {
            return;
        }
        let on_bus = |bus: BusId| plan.topics.iter().map(|topic| topic.bus_id == bus).collect::<Vec<bool>>();
        let publishes = |publisher: Publisher| {
            self.setup.topics.iter().map(|topic| topic.who.contains(&publisher)).collect::<Vec<bool>>()
        };
        let (of, disturbed) = match (fault.target, &fault.effect) {
            (FaultTarget::ProducerLink(id), _) | (FaultTarget::Producer(id), Effect::Burst(_)) => {
                let publisher = Publisher::Producer(id.0 as usize);
                (Some(publisher), publishes(publisher))
            }
            (FaultTarget::ConsumerLink(id), _) => {
                let publisher = Publisher::Consumer(id.0 as usize);
                (Some(publisher), publishes(publisher))
            }
            (FaultTarget::ServiceLink(id), _) | (FaultTarget::Service(id, _), Effect::Crash) => {
                let publisher = Publisher::Service(id.0 as usize);
                (Some(publisher), publishes(publisher))
            }
            (FaultTarget::Relay(party), _) => {
                let publisher = Publisher::of(party);
                (Some(publisher), publishes(publisher))
            }
            (FaultTarget::Broker(bus, _), _) => (None, on_bus(bus)),
            (FaultTarget::Leader(topic, _), _) => (None, on_bus(plan.topics[topic.0 as usize].bus_id)),
            _ => return,
        };
        for ((setup, seen), _) in self.setup.topics.iter().zip(topics).zip(&disturbed).filter(|(_, hit)| **hit) {
            for who in setup.who.iter().filter(|who| of.is_none_or(|of| of == **who)) {
                let Publisher::Producer(index) = *who else { continue };
                let seen = &producers[index];
                if seen.rejected + seen.indeterminate > 0 {
                    let unpublished = Unpublished { rejected: seen.rejected, indeterminate: seen.indeterminate };
                    outcome.producers.insert(index, unpublished);
                }
            }
            for reader in setup.readers.iter().filter(|_| seen.copies + seen.not_stored > 0) {
                let touched = outcome.touched.entry(*reader).or_default();
                touched.copies += seen.copies;
                touched.not_stored += seen.not_stored;
            }
        }
    }
}

/// Lets a group act on the logs of the topics that it reads, without allocating for the usual one.
#[inline(always)]
fn with_logs<T>(topics: &[Topic], group: &mut Group, act: impl FnOnce(&mut Group, &[&Log]) -> T) -> T {
    let (one, several);
    let logs = match *group.topics() {
        [topic] => {
            one = [&topics[topic].log];
            one.as_slice()
        }
        ref many => {
            several = many.iter().map(|topic| &topics[*topic].log).collect::<Vec<_>>();
            several.as_slice()
        }
    };
    act(group, logs)
}

/// The books of a subscription: every event ends somewhere, exactly once.
fn check_books(name: &str, outcome: &ConsumerOutcome) -> Result<(), RunError> {
    let l = &outcome.ledger;
    let published = l.rejected + l.indeterminate + l.unpublished + l.publishing + l.stored;
    let given_up = l.acked_lost + l.expired + l.skipped + l.discarded + l.dead_lettered;
    let ends = l.effected + l.filtered + l.aborted + given_up + l.waiting + l.in_flight;
    if l.created != published || l.stored != ends || l.effected != outcome.latency.count() {
        let effects = outcome.latency.count();
        return Err(RunError::Broken(format!(
            "the books of {name} do not close: created {} against {published}, stored {} against {ends}, effected {} \
             against {effects} latencies; {l:?}",
            l.created, l.stored, l.effected
        )));
    }
    let s = &outcome.stages;
    let stages = s.buffer + s.publish + s.dispatch + s.wait + s.service + s.retry;
    if stages != s.total {
        let invariant = format!("the stages of {name} add up to {stages} ns, its latency to {} ns", s.total);
        return Err(RunError::Broken(invariant));
    }
    check_causes(name, outcome)
}

/// Every loss, second effect and late event has one cause.
fn check_causes(name: &str, outcome: &ConsumerOutcome) -> Result<(), RunError> {
    let (mut lost, mut twice, mut late, mut aborted) = (0, 0, 0, 0);
    for (defect, seen) in &outcome.defects {
        let sum = match defect {
            Defect::Lost(_) => &mut lost,
            Defect::Twice(_) => &mut twice,
            Defect::Late(_) => &mut late,
            Defect::AbortedRead => &mut aborted,
        };
        *sum += seen.count;
    }
    let causes = [lost, twice, late, aborted];
    let lost = outcome.lost.values().sum();
    let defects = [lost, outcome.duplicates_effects, outcome.order.violations, outcome.aborted_reads];
    if causes == defects {
        Ok(())
    } else {
        Err(RunError::Broken(format!(
            "of {name}, lost, done twice, late and aborted events are {defects:?}, those with a cause {causes:?}"
        )))
    }
}
