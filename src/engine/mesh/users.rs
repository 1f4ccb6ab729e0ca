//! What comes in from outside: the requests of the users of a service, the events of a producer, in blocks.

use crate::dist::{ArrivalTimes, Arrivals, Dist, KeySampler};
use crate::engine::setup::{Publisher, Rounding, Setup};
use crate::engine::timeline::bursts;
use crate::plan::{FaultTarget, KeyPlan, Plan, ProducerId, ServiceId};
use crate::random::{Stream, fnv1a};
use crate::time::SimTime;

/// Arrivals drawn at a time.
const BLOCK: usize = 256;

/// What comes in at one service or producer.
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
    /// Number of the first request in all streams: that of an event that is published there.
    offset: u64,
    /// Number of the first journey that begins here.
    first_root: u64,
}

/// What the requests of one arrival are like.
struct Requests<'a> {
    key: &'a KeyPlan,
    types: &'a [(u16, f64)],
    size: &'a Dist,
    count: &'a Dist,
}

/// One request of a user, or event of a producer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Number in the streams of all that it reaches.
    pub(super) number: u64,
    /// Number among those that come in here.
    pub(super) index: u64,
    /// Number of the journey that it begins.
    pub(super) root: u64,
    pub(super) key: u32,
    pub(super) event_type: u16,
    pub(super) size: u32,
}

impl Users {
    /// The users of a service; none if nobody comes in there.
    pub(super) fn of_service(plan: &Plan, setup: &Setup, index: usize) -> Option<Self> {
        let it = &plan.services[index];
        let ours = |target| matches!(target, FaultTarget::Service(ServiceId(id), _) if id as usize == index);
        let bursts = bursts(plan, setup.seed, ours);
        let requests = Requests { key: &it.key, types: &it.types, size: &it.size, count: &it.events_per_arrival };
        Some(Self::new(setup, Publisher::Service(index), &it.name, (it.arrivals.as_ref()?, &bursts), requests))
    }

    /// What arrives at a producer.
    pub(super) fn of_producer(plan: &Plan, setup: &Setup, index: usize) -> Self {
        let it = &plan.producers[index];
        let ours = |target| matches!(target, FaultTarget::Producer(ProducerId(id)) if id as usize == index);
        let bursts = bursts(plan, setup.seed, ours);
        let requests = Requests { key: &it.key, types: &it.types, size: &it.size, count: &it.events_per_arrival };
        Self::new(setup, Publisher::Producer(index), &it.name, (&it.arrivals, &bursts), requests)
    }

    fn new(
        setup: &Setup,
        who: Publisher,
        name: &str,
        (arrivals, bursts): (&Arrivals, &[(SimTime, SimTime, f64)]),
        requests: Requests<'_>,
    ) -> Self {
        let stream = |purpose: &str| Stream::named(setup.seed, &format!("{name}/{purpose}"));
        let mut users = Self {
            arrivals: arrivals.start(stream("arrivals"), bursts),
            times: Vec::new(),
            at: 0,
            first: 0,
            end: setup.end,
            rounding: setup.rounding,
            keys: KeySampler::new(requests.key),
            key_stream: stream("keys"),
            types: requests.types.to_vec(),
            type_stream: stream("types"),
            size: requests.size.clone(),
            size_stream: stream("size"),
            count: requests.count.clone(),
            count_stream: stream("events_per_arrival"),
            requests: 0,
            offset: fnv1a(name.as_bytes()),
            first_root: setup.roots.first(who),
        };
        users.refill();
        users
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
            out.push(Request { number, index: id, root, key, event_type, size });
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
