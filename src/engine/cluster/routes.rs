//! Who leads, as far as one client knows.
//!
//! A client learns that a leader is gone when its connection is closed, when a request has no answer in time, when another
//! node says so, or when it asks as it does from time to time. Then it asks again and again until somebody leads. So what
//! it knows follows from when it noticed, and is looked up when it is needed.

use super::{Cluster, Partition};
use crate::engine::setup::Rounding;
use crate::plan::Refresh;
use crate::random::Stream;

/// How one client asks who leads.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Refresher {
    stream: Stream,
    plan: Refresh,
    rounding: Rounding,
}

/// What a client knows of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Route {
    /// The reign that it believes in.
    reign: usize,
    /// The one that it will know of next, and when; it has noticed that it must.
    next: Option<(u64, usize)>,
}

impl Refresher {
    /// A client that draws its waits from a stream.
    pub(in crate::engine) fn new(plan: Refresh, stream: Stream, rounding: Rounding) -> Self {
        Self { stream, plan, rounding }
    }

    /// When a client that asks from `noticed` on learns of a reign after `reign`, and of which.
    fn learns(&self, partition: &Partition, reign: usize, noticed: u64) -> Option<(u64, usize)> {
        let waits = self.stream.part(noticed);
        let (mut at, mut wait) = (noticed, self.plan.backoff.0.max(1));
        let longest = self.plan.backoff_max.0.max(wait);
        for n in 0.. {
            let next = partition.next_reign(reign, at)?;
            let from = partition.reigns()[next].from;
            if from <= at {
                return Some((at, next));
            }
            // Once the waits are as long as they get, it may be anywhere between two of them when somebody leads.
            let (share, wait_now) = (waits.unit(n), wait);
            wait = wait.saturating_mul(2).min(longest);
            at = self.rounding.up(if wait_now == longest && from - at > 2 * longest {
                from.saturating_add(scaled(longest, share))
            } else {
                at.saturating_add(scaled(wait_now, 0.8 + 0.4 * share).max(1))
            });
        }
        None
    }

    /// The first of the times at which it asks anyway, from `time` on.
    fn asks_anyway(&self, time: u64) -> u64 {
        let every = self.plan.age.0.max(1);
        let phase = self.rounding.up(scaled(every, self.stream.part(u64::MAX).unit(0)));
        if time <= phase { phase } else { phase.saturating_add((time - phase).div_ceil(every).saturating_mul(every)) }
    }

    /// When a client that nothing tells learns of a reign after `reign`, and of which.
    fn learns_anyway(&self, partition: &Partition, reign: usize) -> Option<(u64, usize)> {
        let mut at = self.asks_anyway(partition.reigns()[reign].to);
        loop {
            let next = partition.next_reign(reign, at)?;
            let from = partition.reigns()[next].from;
            if from <= at {
                return Some((at, next));
            }
            at = self.asks_anyway(from);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, the cast saturates")]
fn scaled(span: u64, by: f64) -> u64 {
    (span as f64 * by) as u64
}

impl Route {
    /// What a client knows that asks at `now`.
    pub(in crate::engine) fn fresh(cluster: &Cluster, refresher: &Refresher, partition: usize, now: u64) -> Self {
        let partition = &cluster.partitions[partition];
        let begun = partition.reigns().partition_point(|reign| reign.from <= now) - 1;
        let mut route = Self { reign: begun, next: None };
        if partition.reigns()[begun].to <= now {
            route.notice(partition, refresher, now);
        }
        route
    }

    /// The reign that the client believes in.
    pub(in crate::engine) fn reign(&self) -> usize {
        self.reign
    }

    /// The node that the client sends to at `now`; none while it looks for one.
    pub(in crate::engine) fn leader(
        &mut self,
        cluster: &Cluster,
        refresher: &Refresher,
        partition: usize,
        now: u64,
    ) -> Option<u32> {
        let partition = &cluster.partitions[partition];
        loop {
            let reign = &partition.reigns()[self.reign];
            if self.next.is_none() && reign.to <= now {
                if let Some(closed) = cluster.nodes[reign.leader as usize].closed(reign.from, now) {
                    self.notice(partition, refresher, closed);
                } else {
                    self.next = refresher.learns_anyway(partition, self.reign).filter(|(at, _)| *at <= now);
                }
            }
            match self.next {
                None => return Some(reign.leader),
                Some((at, _)) if at > now => return None,
                Some((_, next)) => *self = Self { reign: next, next: None },
            }
        }
    }

    /// When a client that looks for a leader will know one.
    pub(in crate::engine) fn known_at(&self) -> Option<u64> {
        self.next.map(|(at, _)| at)
    }

    /// Something makes the client ask at `now` whether its leader leads on.
    pub(in crate::engine) fn notice(&mut self, partition: &Partition, refresher: &Refresher, now: u64) {
        if self.next.is_none() && partition.reigns()[self.reign].to <= now {
            // Where nobody will lead in this run, it looks for someone to the end.
            self.next = refresher.learns(partition, self.reign, now).or(Some((u64::MAX, self.reign)));
        }
    }
}
