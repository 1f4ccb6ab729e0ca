//! Brokers that fail: which nodes of a bus are up, who leads which partition, and what is in sync, all known before the run.
//!
//! ```text
//! faults --controller--> timelines of nodes and partitions --routes--> clients that publish, groups that fetch
//! ```
//!
//! A leader's copies are pulled by followers, and a record may be seen once all copies in sync have it. So what comes of a
//! record is a function of its leader, of when it was appended, and of how long copying takes: whoever sends a request can
//! tell, and nobody needs to ask.

mod controller;
mod node;
mod partition;
mod routes;
mod seat;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use node::Node;
pub(super) use partition::{Landing, Partition};
pub(super) use routes::{Refresher, Route};

use controller::Controller;

use super::setup::Rounding;
use crate::outcome::PartitionsHit;
use crate::plan::{BusId, Plan};
use crate::time::SimSpan;

/// One topic on a bus whose nodes fail in this run.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// The nodes of the bus.
    pub(super) nodes: Arc<Vec<Node>>,
    /// The topic's partitions.
    pub(super) partitions: Vec<Partition>,
    /// Copies in sync without which nothing is stored that is to be acknowledged by all.
    pub(super) min_in_sync: u32,
}

/// What a fault of nodes did to partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Struck {
    /// By occurrence: the node, where it was one.
    pub(super) nodes: Vec<Option<u32>>,
    /// By occurrence: when it struck, in order, and when all that it led to should be over.
    spans: Vec<(u64, u64)>,
    gaps: Vec<Downtime>,
}

impl Struck {
    /// When all that an occurrence led to should be over: leaders are there again, and clients know them.
    pub(super) fn over(&self, n: usize) -> u64 {
        self.spans.get(n).map_or(0, |(_, over)| *over)
    }

    /// What became of partitions in a run of this length, by topic.
    pub(super) fn partitions(&self, end: u64) -> BTreeMap<usize, PartitionsHit> {
        let mut topics: BTreeMap<usize, PartitionsHit> = BTreeMap::new();
        for gap in self.gaps.iter().filter(|gap| gap.from < end) {
            let time = SimSpan(gap.to.min(end) - gap.from);
            let of = topics.entry(gap.topic).or_default();
            let (count, longest, sum) = if gap.refused {
                (&mut of.refused, &mut of.refused_longest, &mut of.refused_sum)
            } else {
                (&mut of.unserved, &mut of.unserved_longest, &mut of.unserved_sum)
            };
            *count += 1;
            *longest = time.max(*longest);
            *sum = *sum + time;
        }
        topics
    }
}

/// When one partition did not serve, or refused what all copies were to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Downtime {
    pub(super) topic: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Too few copies were in sync; else nobody served.
    pub(super) refused: bool,
}

/// All buses of a plan whose nodes fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Clusters {
    /// By topic.
    pub(super) topics: BTreeMap<usize, Arc<Cluster>>,
    /// By fault.
    pub(super) struck: BTreeMap<usize, Struck>,
}

impl Clusters {
    pub(super) fn new(plan: &Plan, seed: u64, rounding: Rounding) -> Self {
        let mut clusters = Self::default();
        for (bus, _) in (0..).zip(&plan.buses) {
            let Some(controller) = Controller::new(plan, BusId(bus), seed, rounding) else { continue };
            let played = controller.play(plan.duration.0);
            let nodes = Arc::new(played.nodes);
            for (topic, partitions) in played.partitions {
                let min_in_sync = plan.topics[topic].min_in_sync;
                let cluster = Cluster { nodes: nodes.clone(), partitions, min_in_sync };
                clusters.topics.insert(topic, Arc::new(cluster));
            }
            clusters.struck.extend(played.struck);
        }
        clusters
    }
}
