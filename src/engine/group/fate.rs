//! What becomes of a delivery, as far as it depends on the message alone: service times, failures, retries.

use crate::dist::{About, Dist, NO_KEY};
use crate::engine::ahead::Ahead;
use crate::engine::backoff::Wait;
use crate::engine::handler::Program;
use crate::engine::log::{EventCode, Extra, Record};
use crate::engine::setup::{Rounding, TopicSetup, plain_work};
use crate::partition::has_share;
use crate::plan::{ConsumerPlan, FailurePlan, Handler, RetryMode, RetryPlan};
use crate::random::Stream;

/// Blocking attempts that are worked out before a message counts as stuck for good.
pub(super) const MOST_BLOCKING_ATTEMPTS: u32 = 100_000;

/// Blocks of service times that are kept: enough for the events between the first and the last of a group's partitions.
const BLOCKS_AHEAD: usize = 64;

/// What a delivery meets besides its own fate, at its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    /// Service takes so many times as long.
    pub(super) slow: f64,
    /// Extra share of attempts that fail.
    pub(super) fail: f64,
    /// The event never succeeds.
    pub(super) poisoned: bool,
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its effect.
    Success,
    /// All attempts of this delivery failed.
    Failed,
    /// The process crashes with the last attempt.
    Crash,
    /// The last attempt never returns.
    Hang,
}

/// What becomes of one delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// From the first attempt's start to the last attempt's start, ns.
    pub(super) lead: u64,
    /// The last attempt, ns.
    pub(super) service: u64,
    /// Attempts made.
    pub(super) attempts: u32,
    /// How it ends.
    pub(super) end: End,
}

/// The fates of one subscription's messages.
#[derive(Clone, Debug)]
pub(super) struct Fates {
    /// Service time, where a handler is one plain `work` step and nothing ever fails.
    plain: Option<Dist>,
    /// Service times of first attempts, where a handler is one plain `work` step: drawn ahead.
    first: Option<Ahead>,
    /// Whether plain times, too, are asked for in the order of events.
    in_order: bool,
    /// The handler.
    pub(super) program: Program,
    failure: FailurePlan,
    fails: bool,
    retry: RetryPlan,
    rounding: Rounding,
    streams: FailureStreams,
    types: Option<Vec<u16>>,
    keys: (f64, f64),
    /// By slot.
    numbers: Vec<Numbers>,
}

/// How the events of one topic are numbered in the streams of a subscription.
#[derive(Clone, Debug)]
struct Numbers {
    code: EventCode,
    /// By publisher: number of its first event.
    first: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct FailureStreams {
    transient: Stream,
    permanent: Stream,
    hang: Stream,
    crash: Stream,
    fault: Stream,
    backoff: Stream,
}

impl Fates {
    pub(super) fn new(
        plan: &ConsumerPlan,
        seed: u64,
        rounding: Rounding,
        topics: &[&TopicSetup],
        in_order: bool,
    ) -> Self {
        let stream = |purpose: &str| Stream::named(seed, &format!("{}/{purpose}", plan.name));
        let fails = plan.failure != FailurePlan::default();
        // What runs in the mesh is compiled there.
        let here = if plan.handler.is_simple() { &plan.handler } else { &Handler::default() };
        let program = Program::new(here, &plan.name, seed, rounding);
        let plain = plain_work(&plan.handler);
        Self {
            first: plain.as_ref().map(|dist| Ahead::new(dist, program.service_stream(), rounding, BLOCKS_AHEAD)),
            plain: plain.filter(|_| !fails),
            in_order,
            program,
            failure: plan.failure,
            fails,
            retry: plan.retry.clone(),
            rounding,
            streams: FailureStreams {
                transient: stream("failure/transient"),
                permanent: stream("failure/permanent"),
                hang: stream("failure/hang"),
                crash: stream("failure/crash"),
                fault: stream("failure/fault"),
                backoff: stream("backoff"),
            },
            types: plan.types.clone(),
            keys: plan.keys,
            numbers: topics
                .iter()
                .map(|topic| Numbers { code: EventCode::new(topic.publishers), first: topic.offsets.clone() })
                .collect(),
        }
    }

    /// Whether every message is wanted.
    pub(super) fn wants_all(&self) -> bool {
        self.types.is_none() && self.keys.0 <= 0.0 && self.keys.1 >= 1.0
    }

    /// Whether this subscription wants a message.
    pub(super) fn wants(&self, record: &Record, extra: Extra) -> bool {
        if self.wants_all() {
            return true;
        }
        let key = record.key == NO_KEY || has_share(self.keys, record.key);
        key && self.types.as_ref().is_none_or(|types| types.contains(&extra.event_type))
    }

    /// The number of an event in this subscription's streams.
    #[inline]
    pub(super) fn id(&self, slot: usize, event: u32) -> u64 {
        let Numbers { code, first } = &self.numbers[slot];
        first[code.publisher(event)].wrapping_add(u64::from(code.sequence(event)))
    }

    /// What a service time may depend on.
    pub(super) fn about(&self, slot: usize, record: &Record, extra: Extra) -> About {
        About {
            key: record.key,
            event_type: extra.event_type,
            index: u64::from(self.numbers[slot].code.sequence(record.event)),
            stream: self.program.service_stream(),
        }
    }

    /// Service times of plain messages (no failures, one `work` step), in blocks. `None`: not of this kind.
    pub(super) fn plain_times(&self, ids: &[u64], out: &mut [u64]) -> bool {
        let Some(dist) = &self.plain else { return false };
        match dist.constant() {
            Some(value) => out.fill(self.rounding.span(value)),
            None => {
                dist.fill(self.program.service_stream(), ids, out);
                if self.rounding.0 > 1 {
                    out.iter_mut().for_each(|time| *time = self.rounding.up(*time));
                }
            }
        }
        true
    }

    /// The service time of one plain message, with the bits of [`Fates::plain_times`].
    #[inline(always)]
    pub(super) fn plain_time(&mut self, id: u64) -> u64 {
        let ahead = self.first.as_mut().filter(|_| self.in_order);
        ahead.and_then(|times| times.plain(id)).unwrap_or_else(|| self.single_time(id))
    }

    #[inline(never)]
    fn single_time(&self, id: u64) -> u64 {
        let Some(dist) = &self.plain else { unreachable!("asked of plain messages only") };
        if let Some(value) = dist.constant() {
            return self.rounding.span(value);
        }
        let stream = self.program.service_stream();
        self.rounding.up(dist.whole(&mut stream.at(id), About { index: id, stream, ..About::default() }))
    }

    /// Whether service times are plain.
    pub(super) fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    /// Retries wait in the handler.
    pub(super) fn blocks(&self) -> bool {
        self.retry.mode == RetryMode::Blocking
    }

    /// Attempts allowed.
    pub(super) fn attempts(&self) -> u32 {
        self.retry.attempts
    }

    /// What becomes of a delivery, or of a batch of several events, that begins with attempt number `first` (from 1);
    /// attempts are limited as if number `counted` had been the first. A batch takes the time of its first event, and an
    /// attempt at it goes wrong if it does for any of its events.
    pub(super) fn fate(
        &mut self,
        ids: &[u64],
        about: About,
        (first, counted): (u32, u32),
        conditions: Conditions,
    ) -> Fate {
        let id = ids[0];
        let mut lead = 0u64;
        let mut attempt = first;
        loop {
            let time = match &mut self.first {
                Some(times) if attempt == 1 => times.get(id, about),
                _ => self.program.time(id, attempt, about),
            };
            let service = slowed(time, conditions.slow);
            let made = attempt - first + 1;
            let end = self.end(ids, attempt, conditions);
            if end != End::Failed || !self.tries_again(attempt, counted) {
                return Fate { lead, service, attempts: made, end };
            }
            if made >= MOST_BLOCKING_ATTEMPTS {
                return Fate { lead, service: u64::MAX / 4, attempts: made, end: End::Failed };
            }
            lead = lead.saturating_add(service).saturating_add(self.backoff(id, attempt)).min(u64::MAX / 4);
            attempt += 1;
        }
    }

    /// Whether a handler tries again by itself after this attempt, if it fails.
    pub(super) fn tries_again(&self, attempt: u32, counted: u32) -> bool {
        self.blocks() && attempt - counted + 1 < self.retry.attempts
    }

    /// How an attempt at an event, or at several together, ends by itself.
    pub(super) fn end(&self, ids: &[u64], attempt: u32, conditions: Conditions) -> End {
        if conditions.poisoned {
            return End::Failed;
        }
        let n = u64::from(attempt);
        let any = |stream: Stream, share: f64| ids.iter().any(|id| stream.unit(*id) < share);
        let of_attempt = |stream: Stream, share: f64| share > 0.0 && any(stream.part(n), share);
        let (failure, streams) = (&self.failure, &self.streams);
        if self.fails {
            if of_attempt(streams.crash, failure.crash) {
                return End::Crash;
            }
            if of_attempt(streams.hang, failure.hang) {
                return End::Hang;
            }
            let permanent = failure.permanent > 0.0 && any(streams.permanent, failure.permanent);
            if permanent || of_attempt(streams.transient, failure.transient) {
                return End::Failed;
            }
        }
        if of_attempt(streams.fault, conditions.fail) { End::Failed } else { End::Success }
    }

    /// Wait after failed attempt number `attempt`, ns.
    pub(super) fn backoff(&self, id: u64, attempt: u32) -> u64 {
        let wait = Wait { backoff: &self.retry.backoff, jitter: self.retry.jitter, rounding: self.rounding };
        wait.after(attempt, self.streams.backoff, id)
    }
}

/// A service time under a slow-down.
#[inline]
#[expect(clippy::float_cmp, reason = "the factor of a calm member is exactly one")]
pub(in crate::engine) fn slowed(time: u64, factor: f64) -> u64 {
    if factor == 1.0 { time } else { crate::time::SimSpan::from_nanos_f64(time as f64 * factor).0 }
}
