//! What all disciplines of a group share: fates, meters, the conditions of its members, the way to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fate::{self, Conditions, Fate, Fates};
use super::members::MemberConditions;
use super::meter::{Meter, MeterSetup};
use super::outputs::Outputs;
use super::retries::{Retries, Subject};
use super::run::{Held, Item};
use super::wire::Wire;
use super::{GroupOptions, LaneId};
use crate::dist::{About, Dist};
use crate::engine::cluster::Cluster;
use crate::engine::delegate::Job;
use crate::engine::journeys::Notes;
use crate::engine::log::{EventCode, Extra, Lane, Log, Record};
use crate::engine::setup::{Publisher, Rounding, Setup};
use crate::engine::timeline::Link;
use crate::outcome::DeliveryResult;
use crate::partition::by_range;
use crate::plan::{ConsumerId, ConsumerPlan, Dispatch, FaultTarget, Plan, WorkerOrder};
use crate::random::Stream;
use crate::time::SimTime;

/// What all disciplines share.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Core {
    pub(super) index: usize,
    pub(super) warm_up: u64,
    pub(super) end: u64,
    pub(super) rounding: Rounding,
    pub(super) workers: u32,
    pub(super) fates: Fates,
    pub(super) meter: Meter,
    /// Topics read, by slot.
    pub(super) topics: Vec<usize>,
    pub(super) lanes: Vec<LaneId>,
    /// First lane of each slot.
    pub(super) first_lane: Vec<usize>,
    pub(super) members: Vec<MemberConditions>,
    /// So many of the next events that any member takes are poisoned.
    pub(super) poison_left: u64,
    /// Events that never succeed, by slot and number.
    pub(super) poisoned: BTreeSet<(usize, u32)>,
    pub(super) serial_is_plain: bool,
    pub(super) outputs: Outputs,
    /// Topics whose events it subscribes to; those after them are its retry topics.
    pub(super) subscribed: usize,
    pub(super) retries: Retries,
    /// Whether handlers run in the mesh; attempts begun there, and what it has yet to be told: when, of whom, what.
    pub(super) delegates: bool,
    pub(super) begun: u64,
    pub(super) jobs: Vec<(u64, usize, Job)>,
    pub(super) wire: Wire,
    /// By slot: the topic's bus, where its nodes fail.
    pub(super) clusters: Vec<Option<Arc<Cluster>>>,
    pub(super) held: Held,
    /// Whether it sees what is published in transactions only once they are committed.
    pub(super) committed_only: bool,
    /// Whether some of what it reads is published in transactions.
    pub(super) transactional: bool,
    /// Longest time without progress, of a handler that never returns or of a member between two polls.
    pub(super) progress_timeout: u64,
    pub(super) startup: Dist,
    pub(super) restarts: Stream,
    pub(super) seed: u64,
    pub(super) name: String,
    /// Worker time spent since the warm-up, ns.
    pub(super) busy: u128,
    pub(super) available: u128,
    pub(super) available_since: u64,
}

impl Core {
    /// Counts the attempts of a delivery that has ended, whatever its end; those that are cut off have not been made.
    #[inline]
    pub(super) fn count_attempts(&mut self, created: u64, attempts: u32, end: fate::End) {
        if created >= self.warm_up {
            self.meter.attempts += u64::from(attempts);
            self.meter.failures += u64::from(attempts - u32::from(end == fate::End::Success));
        }
    }

    pub(super) fn new(plan: &Plan, setup: &Setup, index: usize, options: GroupOptions) -> Self {
        let consumer = &plan.consumers[index];
        let retry_topics = consumer.retry_topics.iter().flat_map(|retries| retries.topics.iter().flatten());
        let topics: Vec<usize> = consumer.subscribes.iter().chain(retry_topics).map(|topic| topic.0 as usize).collect();
        let subscribed = consumer.subscribes.len();
        let mut lanes = Vec::new();
        let mut first_lane = Vec::new();
        for (slot, topic) in topics.iter().enumerate() {
            first_lane.push(lanes.len());
            lanes.extend((0..setup.topics[*topic].partitions).map(|partition| LaneId { slot, partition }));
        }
        let retries = Retries::new(consumer, first_lane.get(subscribed).copied().unwrap_or(lanes.len()));
        let fed_by_consumers =
            |topic: &usize| setup.topics[*topic].who.iter().any(|w| matches!(w, Publisher::Consumer(_)));
        let meter = Meter::new(MeterSetup {
            consumer: index,
            warm_up: setup.warm_up,
            course: setup.course.clone(),
            topics: topics.iter().map(|topic| (*topic, &setup.topics[*topic])).collect(),
            intervals: plan.intervals_of(index),
            idempotent: consumer.idempotent,
            path: topics[..subscribed].iter().any(fed_by_consumers),
            trace: options.trace,
            notes: Notes::new(&setup.follow, setup.follow.consumers[index]),
            in_order: keeps_order(consumer),
            watched: setup.watched,
        });
        let topic_setups: Vec<_> = topics.iter().map(|topic| &setup.topics[*topic]).collect();
        let fates = Fates::new(consumer, setup.seed, setup.rounding, &topic_setups, options.in_order);
        let members = plan.most_processes(index);
        Self {
            index,
            warm_up: setup.warm_up,
            end: setup.end,
            rounding: setup.rounding,
            workers: consumer.workers,
            serial_is_plain: fates.is_plain() && topics.iter().all(|topic| !setup.topics[*topic].rich),
            fates,
            meter,
            lanes,
            first_lane,
            members: (0..members).map(|member| MemberConditions::new(member < consumer.members)).collect(),
            poison_left: 0,
            poisoned: BTreeSet::new(),
            outputs: Outputs::new(setup, index, members),
            subscribed,
            retries,
            delegates: setup.delegates[index],
            begun: 0,
            jobs: Vec::new(),
            wire: wire(plan, setup, index, members as usize),
            clusters: topics.iter().map(|topic| setup.clusters.topics.get(topic).cloned()).collect(),
            held: Held::default(),
            committed_only: consumer.committed_only,
            transactional: topics.iter().any(|topic| setup.topics[*topic].transactional),
            progress_timeout: consumer.membership.group().map_or(u64::MAX, |group| group.rebalance_timeout.0),
            startup: consumer.startup.clone(),
            restarts: Stream::named(setup.seed, &format!("{}/restart", consumer.name)),
            seed: setup.seed,
            name: consumer.name.clone(),
            busy: 0,
            available: 0,
            available_since: 0,
            topics,
        }
    }

    #[inline]
    pub(super) fn log_lane<'a>(&self, logs: &[&'a Log], lane: usize) -> &'a Lane {
        let id = self.lanes[lane];
        &logs[id.slot].lanes[id.partition as usize]
    }

    /// When a record that has been handed out was seen.
    #[inline]
    pub(super) fn seen_at(&self, logs: &[&Log], lane: usize, offset: u64) -> u64 {
        let seen = self.log_lane(logs, lane).seen_at(offset, self.committed_only);
        seen.expect("what is handed out is in the log")
    }

    /// What a record carries beside what every reader needs.
    pub(super) fn extra(&self, logs: &[&Log], lane: usize, offset: u64) -> Extra {
        let id = self.lanes[lane];
        logs[id.slot].extra(id.partition, offset)
    }

    pub(super) fn note_available(&mut self, now: u64) {
        let up = self.members.iter().filter(|member| member.is_up()).count() as u128;
        self.available += up * u128::from(self.workers) * u128::from(now.min(self.end) - self.available_since.min(now));
        self.available_since = now;
    }

    /// Whether messages are plain, and nothing but slow-downs touches a member.
    #[inline]
    pub(super) fn is_plain(&self, member: usize) -> bool {
        self.serial_is_plain && self.members[member].fails.is_empty()
    }

    /// What a delivery that starts now at a member meets, whatever its event.
    pub(super) fn conditions(&self, member: usize) -> Conditions {
        let state = &self.members[member];
        if state.fails.is_empty() {
            return Conditions { slow: state.slow, fail: 0.0, poisoned: false };
        }
        // Failing for several reasons at once: the chance that none of them strikes is the product.
        let fail = 1.0 - state.fails.iter().map(|(_, share)| 1.0 - share).product::<f64>();
        Conditions { slow: state.slow, fail, poisoned: false }
    }

    /// What becomes of a record that a member takes now, for the first time.
    #[inline(never)]
    pub(super) fn fate(&mut self, slot: usize, record: &Record, extra: Extra, member: usize) -> Fate {
        let about = self.fates.about(slot, record, extra);
        let (id, conditions) = (self.fates.id(slot, record.event), self.conditions(member));
        self.fates.fate(&[id], about, (1, 1), conditions)
    }

    /// Whether an event that a member's handler takes never succeeds: once poisoned it stays so, wherever it goes.
    pub(super) fn is_poisoned(&mut self, member: usize, slot: usize, event: u32) -> bool {
        let event = (slot, EventCode::plain(event));
        let own = &mut self.members[member].poison_left;
        let left = if self.poison_left > 0 { &mut self.poison_left } else { own };
        if *left == 0 && self.poisoned.is_empty() {
            return false;
        }
        if *left > 0 && self.poisoned.insert(event) {
            *left -= 1;
        }
        self.poisoned.contains(&event)
    }

    /// A handler takes its process with it; when the next one is ready.
    pub(super) fn crash_itself(&mut self, member: usize, now: u64) -> u64 {
        self.note_available(now);
        self.process_ends(member, now);
        let state = &mut self.members[member];
        state.down += 1;
        state.crashes += 1;
        let mut draws = self.restarts.part(member as u64).at(state.crashes);
        now.saturating_add(self.rounding.up(self.startup.whole(&mut draws, About::default())).max(1))
    }

    /// Operators start a process again that they had stopped, for the `number`-th time (from 1); when it is ready.
    pub(super) fn start_again(&self, member: usize, number: u64, now: u64) -> u64 {
        let mut draws = self.restarts.part((1 << 32) + member as u64).at(number);
        now.saturating_add(self.rounding.up(self.startup.whole(&mut draws, About::default())))
    }

    /// A process is gone, with all that its clients had not sent and all that it had begun in the mesh.
    pub(super) fn process_ends(&mut self, member: usize, now: u64) {
        self.outputs.abandon(member, now);
        self.tell(member, now, Job::CutOff);
    }

    /// Tells the mesh of a member, where it runs its handlers.
    #[inline]
    pub(super) fn tell(&mut self, member: usize, now: u64, job: Job) {
        if self.delegates {
            self.jobs.push((now, member, job));
        }
    }

    /// The slow-downs of a member are others.
    pub(super) fn slow_changes(&mut self, member: usize, now: u64) {
        self.members[member].refresh();
        self.tell(member, now, Job::Slow(self.members[member].slow));
    }

    /// A member publishes what it has given up.
    pub(super) fn dead_letter(&mut self, member: usize, topic: usize, record: &Record, extra: Extra, now: u64) {
        self.meter.dead_letters += u64::from(record.created >= self.warm_up);
        if self.delegates {
            self.tell(member, now, Job::DeadLetter(topic, record.key, extra.event_type, extra.lineage));
        } else {
            let what = (record.key, extra.event_type, 1024);
            let _ = self.outputs.publish(member, topic, now, what, extra.lineage, None);
        }
    }

    /// The next process is ready; whether it is to join.
    pub(super) fn restart_itself(&mut self, member: usize, now: u64) -> bool {
        self.note_available(now);
        self.members[member].down -= 1;
        let up = self.members[member].is_up();
        if up {
            self.tell(member, now, Job::Start);
        }
        up
    }

    /// A process that operators have started again is ready; whether it is to join.
    pub(super) fn go_on_after_stop(&mut self, member: usize, now: u64) -> bool {
        self.note_available(now);
        self.members[member].stopped = false;
        let up = self.members[member].is_up();
        if up {
            self.tell(member, now, Job::Start);
        }
        up
    }

    /// Counts a handler's taking a record, `again` if one had before.
    pub(super) fn count_delivery(&mut self, slot: usize, record: &Record, again: bool) {
        let measured = u64::from(record.created >= self.warm_up);
        self.meter.duplicates_deliveries += measured * u64::from(again);
        self.meter.deliveries += measured;
        self.meter.overlap += measured * u64::from(self.held.take(slot, record.key));
    }

    /// A handler that has ended or was cut off holds its record no longer: keeps a record of the delivery, where the run
    /// was asked to. Its number, or 0.
    pub(super) fn let_go(
        &mut self,
        logs: &[&Log],
        item: Item,
        (member, start, done): (usize, u64, u64),
        result: DeliveryResult,
    ) -> u32 {
        let id = self.lanes[item.lane];
        let Subject { slot, record, .. } = self.subject(logs, item.lane, item.offset);
        self.held.release(slot, record.key);
        if self.meter.traces() {
            let mut trace = self.meter.trace_of(slot, id.partition, item.offset, &record);
            trace.visible = SimTime(self.seen_at(logs, item.lane, item.offset));
            trace.retry = self.retries.number(slot, id.slot);
            trace.member = u32::try_from(member).expect("members fit 32 bits");
            (trace.start, trace.done, trace.result) = (SimTime(start), SimTime(done), result);
            return self.meter.trace(trace);
        }
        0
    }

    /// Partitions given to live members.
    pub(super) fn assign(&self, live: &[usize]) -> Vec<Option<usize>> {
        let mut partitions = vec![0; self.topics.len()];
        self.lanes.iter().for_each(|lane| partitions[lane.slot] += 1);
        by_range(&partitions, live.len()).into_iter().map(|owner| owner.map(|place| live[place])).collect()
    }
}

/// Whether what one partition holds of a key is done in order, as long as nothing goes wrong.
fn keeps_order(consumer: &ConsumerPlan) -> bool {
    match consumer.dispatch {
        Dispatch::Log(_) => consumer.workers <= 1 || consumer.order != WorkerOrder::None || consumer.batch.is_some(),
        Dispatch::Queue(_) => false,
    }
}

/// The way between a consumer's bus and its members.
fn wire(plan: &Plan, setup: &Setup, index: usize, members: usize) -> Wire {
    let consumer = &plan.consumers[index];
    let stream = |purpose: &str| Stream::named(setup.seed, &format!("{}/{purpose}", consumer.name));
    let (network, draws) = match &consumer.dispatch {
        Dispatch::Log(dispatch) => (&dispatch.network, stream("fetch")),
        Dispatch::Queue(dispatch) => (&dispatch.network, stream("push")),
    };
    let id = ConsumerId(u32::try_from(index).expect("consumers fit 32 bits"));
    let link = Link::of(plan, setup.seed, |target| target == FaultTarget::ConsumerLink(id));
    Wire::new(network, link, [draws, stream("link")], setup.rounding, members)
}
