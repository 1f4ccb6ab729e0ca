//! What a topic deletes: whole segments, when it looks and they are old, or the others hold enough.

use std::collections::VecDeque;

use super::earliest::Earliest;
use super::log::Lane;
use crate::outcome::StorageOutcome;
use crate::plan::{Plan, RetentionPlan};
use crate::random::Stream;
use crate::time::SimSpan;

/// Samples of what is stored in one run.
const SAMPLES: u64 = 240;

/// A run of records that goes as a whole.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Its first record.
    first: u64,
    bytes: u64,
    /// When that was appended.
    begun: u64,
    /// Creation of its youngest record.
    youngest: u64,
}

/// The segments of one partition.
#[derive(Clone, Debug, Default)]
struct Segments {
    /// The last one is open.
    kept: VecDeque<Segment>,
    bytes: u64,
    /// Samples taken so far.
    sampled: usize,
    /// When it is looked at next.
    look_at: u64,
}

/// What deletes the segments of one topic.
#[derive(Clone, Debug)]
pub(super) struct Retention {
    plan: RetentionPlan,
    lanes: Vec<Segments>,
    /// By partition: when it is looked at next.
    due: Earliest,
    interval: u64,
    /// Bytes stored in all partitions at equal steps of the run.
    samples: Vec<u64>,
}

impl Retention {
    /// Of a topic that deletes something in a run; its brokers look at times of their own.
    pub(super) fn new(plan: &Plan, topic: usize, seed: u64) -> Option<Self> {
        let of = &plan.topics[topic];
        let retention = of.retention.clone()?;
        let stream = Stream::named(seed, &format!("buses/{}/retention", of.bus));
        let segments = |lane: u32| {
            let share = stream.unit(u64::from(lane % of.brokers));
            let look_at = SimSpan::from_nanos_f64(share * retention.check.0 as f64).0;
            Segments { look_at, ..Segments::default() }
        };
        let lanes: Vec<Segments> = (0..of.partitions).map(segments).collect();
        let mut due = Earliest::new(lanes.len());
        lanes.iter().enumerate().for_each(|(lane, segments)| due.set(lane, segments.look_at));
        let interval = plan.duration.0.div_ceil(SAMPLES).max(1);
        let samples = usize::try_from(plan.duration.0 / interval).expect("few");
        Some(Self { lanes, plan: retention, due, interval, samples: vec![0; samples] })
    }

    /// When it next looks at a partition.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.due.time()
    }

    /// The partition that it looks at then.
    pub(super) fn position(&self) -> usize {
        self.due.position()
    }

    /// When it next looks at this partition.
    pub(super) fn next_of(&self, lane: usize) -> u64 {
        self.lanes[lane].look_at
    }

    /// A record is appended at `now` as number `offset`.
    pub(super) fn append(&mut self, lane: usize, offset: u64, (bytes, created): (u64, u64), now: u64) {
        self.sample(lane, now);
        let of = &mut self.lanes[lane];
        let full = of.kept.back().is_none_or(|open| {
            open.bytes + bytes > self.plan.segment_bytes || now - open.begun >= self.plan.segment_age.0
        });
        if full {
            of.kept.push_back(Segment { first: offset, bytes: 0, begun: now, youngest: created });
        }
        let open = of.kept.back_mut().expect("one is open");
        open.bytes += bytes;
        open.youngest = open.youngest.max(created);
        of.bytes += bytes;
    }

    /// Looks at a partition at `now`, and deletes what may go.
    pub(super) fn look(&mut self, lane: usize, log: &mut Lane, now: u64) {
        let next = now.saturating_add(self.plan.check.0.max(1));
        self.lanes[lane].look_at = next;
        self.due.set(lane, next);
        self.sample(lane, now);
        let Some(oldest) = self.lanes[lane].kept.front() else { return };
        // What nobody may see yet stays.
        let seen = log.visible_end(oldest.first.max(log.base()), now);
        let RetentionPlan { time, bytes, .. } = self.plan;
        let Segments { kept, bytes: held, .. } = &mut self.lanes[lane];
        let mut start = None;
        while let Some(segment) = kept.front() {
            let end = kept.get(1).map_or(log.end(), |next| next.first);
            // The open segment goes when all of it is old, too.
            let old = now.saturating_sub(segment.youngest) > time.0;
            let many = kept.len() > 1 && bytes.is_some_and(|bytes| *held - segment.bytes >= bytes);
            if end > seen || !(old || many) {
                break;
            }
            *held -= segment.bytes;
            start = Some(end);
            kept.pop_front();
        }
        if let Some(start) = start {
            log.expire(now, start);
        }
    }

    /// Notes what a partition has held at the samples up to `now`.
    fn sample(&mut self, lane: usize, now: u64) {
        let of = &mut self.lanes[lane];
        while let Some(sample) = self.samples.get_mut(of.sampled)
            && (of.sampled as u64 + 1) * self.interval <= now
        {
            *sample += of.bytes;
            of.sampled += 1;
        }
    }

    /// What was stored over time, of a run that ended at `end`.
    pub(super) fn outcome(&self, end: u64) -> StorageOutcome {
        let mut it = self.clone();
        (0..it.lanes.len()).for_each(|lane| it.sample(lane, end));
        let held = it.lanes.iter().map(|lane| lane.bytes).sum();
        let max = it.samples.iter().copied().max().unwrap_or(0).max(held);
        StorageOutcome { interval: SimSpan(self.interval), samples: it.samples, end: held, max }
    }
}
