//! Where users come in: the requests of one service, in blocks.

use crate::dist::{ArrivalTimes, Dist, KeySampler};
use crate::engine::setup::{Publisher, Rounding, Setup};
use crate::engine::timeline::occurrences;
use crate::plan::{Effect, FaultTarget, Plan, ServiceId};
use crate::random::{Stream, fnv1a};
use crate::time::SimTime;

/// Arrivals drawn at a time.
const BLOCK: usize = 256;

/// The users of one service.
#[derive(Clone, Debug)]
pub(super) struct Users {
    arrivals: ArrivalTimes,
    times: Vec<u64>,
    at: usize,
    /// Number of the first arrival in `times`.
    first: u64,
    end: u64,
    rounding: Rounding,
    keys: KeySampler,
    key_stream: Stream,
    types: Vec<(u16, f64)>,
    type_stream: Stream,
    size: Dist,
    size_stream: Stream,
    count: Dist,
    count_stream: Stream,
    /// Requests so far.
    requests: u64,
    /// Number of the first request in the streams of all services: that of an event that this service publishes.
    offset: u64,
    /// Number of the first journey that begins here.
    first_root: u64,
}

/// One request of a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    /// Number of the journey that it begins.
    pub(super) root: u64,
    pub(super) key: u32,
    pub(super) event_type: u16,
    pub(super) size: u32,
}

impl Users {
    /// The users of a service; none if nobody comes in there.
    pub(super) fn new(plan: &Plan, setup: &Setup, index: usize) -> Option<Self> {
        let service = &plan.services[index];
        let stream = |purpose: &str| Stream::named(setup.seed, &format!("{}/{purpose}", service.name));
        let mut users = Self {
            arrivals: service.arrivals.as_ref()?.start(stream("arrivals"), &bursts(plan, index, setup.seed)),
            times: Vec::new(),
            at: 0,
            first: 0,
            end: setup.end,
            rounding: setup.rounding,
            keys: KeySampler::new(&service.key),
            key_stream: stream("keys"),
            types: service.types.clone(),
            type_stream: stream("types"),
            size: service.size.clone(),
            size_stream: stream("size"),
            count: service.events_per_arrival.clone(),
            count_stream: stream("events_per_arrival"),
            requests: 0,
            offset: fnv1a(service.name.as_bytes()),
            first_root: setup.roots.first(Publisher::Service(index)),
        };
        users.refill();
        Some(users)
    }

    /// When the next ones come.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.times.get(self.at).copied().unwrap_or(u64::MAX)
    }

    /// The requests of the next arrival.
    pub(super) fn take(&mut self, out: &mut Vec<Request>) {
        let number = self.first + self.at as u64;
        self.at += 1;
        if self.at >= self.times.len() {
            self.refill();
        }
        let about = crate::dist::About { index: number, stream: self.count_stream, ..Default::default() };
        let count = self.count.whole(&mut self.count_stream.at(number), about);
        for n in 0..count {
            // The first request of an arrival has the arrival's key; each further one its own.
            let stream = if n == 0 { self.key_stream } else { self.key_stream.part(n) };
            let key = self.keys.key(&mut stream.at(number), number);
            let id = self.requests;
            self.requests += 1;
            let event_type = crate::engine::source::draw_type(&self.types, self.type_stream.unit(id));
            let about = crate::dist::About { key, event_type, index: id, stream: self.size_stream };
            let size = crate::engine::handler::clamp(self.size.whole(&mut self.size_stream.at(id), about));
            let (number, root) = (self.offset.wrapping_add(id), self.first_root + id);
            out.push(Request { number, root, key, event_type, size });
        }
    }

    fn refill(&mut self) {
        self.first += self.times.len() as u64;
        self.times.clear();
        self.at = 0;
        self.arrivals.next_block(BLOCK, &mut self.times);
        for time in &mut self.times {
            *time = self.rounding.up(*time);
        }
        let before_end = self.times.partition_point(|time| *time < self.end);
        self.times.truncate(before_end);
    }
}

fn bursts(plan: &Plan, service: usize, seed: u64) -> Vec<(SimTime, SimTime, f64)> {
    let ours = |target: FaultTarget| matches!(target, FaultTarget::Service(ServiceId(id), _) if id as usize == service);
    let mut bursts = Vec::new();
    for fault in plan.faults.iter().filter(|fault| ours(fault.target)) {
        if let Effect::Burst(factor) = fault.effect {
            bursts.extend(occurrences(plan, fault, seed).iter().map(|o| (SimTime(o.from), SimTime(o.to), factor)));
        }
    }
    bursts.sort_by_key(|burst| (burst.0, burst.1));
    bursts
}
