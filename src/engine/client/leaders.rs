//! A client on a bus whose nodes fail: whom it sends to, and what a leader does with a batch.

use std::sync::Arc;

use super::requests::{Fate, Journey};
use super::{Acks, Client, Due};
use crate::engine::cluster::{Cluster, Landing, Refresher, Route};
use crate::engine::setup::ClientSetup;
use crate::engine::topic::Port;

/// Who leads, as far as the client knows.
#[derive(Clone, Debug)]
pub(super) struct Leaders {
    pub(super) cluster: Arc<Cluster>,
    refresher: Refresher,
    /// By partition.
    ways: Vec<Way>,
}

/// The way to one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    route: Route,
    /// Whether the calendar says when it will be known.
    awaited: bool,
    /// All that was sent in this reign so far is copied by then.
    copied: (usize, u64),
}

impl Leaders {
    /// Of process number `instance`; none where no node of the bus ever fails.
    pub(super) fn new(setup: &ClientSetup, instance: u64) -> Option<Self> {
        let cluster = setup.cluster.clone()?;
        let refresher = Refresher::new(setup.plan.refresh, setup.streams.metadata.part(instance), setup.rounding);
        Some(Self { ways: vec![Way::default(); cluster.partitions.len()], refresher, cluster })
    }

    /// The process is gone, and with it its calendar.
    pub(super) fn forget(&mut self) {
        self.ways.iter_mut().for_each(|way| way.awaited = false);
    }

    /// What comes of a record that is appended in a reign and would be copied by `copied`; where requests arrive in order,
    /// not before what was sent earlier.
    fn land(&mut self, lane: usize, reign: usize, mut copied: u64, ordered: bool) -> Landing {
        let way = &mut self.ways[lane];
        if ordered {
            if way.copied.0 == reign {
                copied = copied.max(way.copied.1);
            }
            way.copied = (reign, copied);
        }
        self.cluster.partitions[lane].land(reign, copied)
    }
}

impl Client {
    /// When a record that the bus itself writes to a partition, however often it must, is appended and seen: it is sent at
    /// `appended` and copied by `visible` where no node fails. None: not in this run.
    pub(in crate::engine) fn insist(&self, lane: u32, (appended, visible): (u64, u64)) -> Option<(u64, u64)> {
        let Some(Leaders { cluster, .. }) = self.leaders.as_deref() else { return Some((appended, visible)) };
        cluster.partitions[lane as usize].insist(appended, visible - appended, cluster.min_in_sync)
    }

    /// The node that the client takes for the leader of a partition; none while it looks for one.
    pub(super) fn leader(&mut self, lane: u32, now: u64) -> Option<u32> {
        let Some(Leaders { cluster, refresher, ways }) = self.leaders.as_deref_mut() else {
            return Some(lane % self.setup.brokers);
        };
        let way = &mut ways[lane as usize];
        let before = way.route.reign();
        let leader = way.route.leader(cluster, refresher, lane as usize, now);
        // What waits for the connection to another node goes on this one.
        let moved = (way.route.reign() != before).then_some(now);
        let known = if leader.is_some() { moved } else { way.route.known_at() };
        if let Some(at) = known.filter(|at| *at < u64::MAX)
            && !std::mem::replace(&mut way.awaited, true)
        {
            self.schedule(at, Due::Known { lane });
        }
        leader
    }

    /// The client knows who leads a partition.
    pub(super) fn know(&mut self, lane: u32, now: u64, port: &mut Port) {
        if let Some(leaders) = &mut self.leaders {
            leaders.ways[lane as usize].awaited = false;
        }
        self.send_lane(lane, now, port);
    }

    /// Sends what is ready to the leader of a partition.
    pub(super) fn send_lane(&mut self, lane: u32, now: u64, port: &mut Port) {
        if let Some(broker) = self.leader(lane, now) {
            self.send_ready(broker, now, port);
        }
    }

    /// Something makes the client ask at `now` whether a partition is led by whom it thinks.
    pub(super) fn notice(&mut self, lane: u32, now: u64) {
        if let Some(Leaders { cluster, refresher, ways }) = self.leaders.as_deref_mut() {
            ways[lane as usize].route.notice(&cluster.partitions[lane as usize], refresher, now);
        }
    }

    /// A node has not answered: the client asks who leads what it has sent there.
    pub(super) fn notice_silence(&mut self, broker: u32, now: u64) {
        let Some(Leaders { cluster, refresher, ways }) = self.leaders.as_deref_mut() else { return };
        for (way, partition) in ways.iter_mut().zip(&cluster.partitions) {
            if partition.reigns()[way.route.reign()].leader == broker {
                way.route.notice(partition, refresher, now);
            }
        }
    }

    /// What a node does with a batch of a partition in a request that it appends at `journey.appended`.
    pub(super) fn meet_leader(&mut self, lane: u32, broker: u32, journey: &Journey) -> Option<Fate> {
        let (acks, appended) = (self.setup.plan.acks, journey.appended);
        let leaders = self.leaders.as_mut()?;
        let refused = Fate { visible: appended, known: appended, stored: false, refused: true, lost: None };
        let partition = &leaders.cluster.partitions[lane as usize];
        let least = if acks == Acks::All { leaders.cluster.min_in_sync } else { 0 };
        let in_sync = partition.in_sync(appended);
        let Some(reign) = partition.reign_of(broker, appended).filter(|_| in_sync >= least) else {
            return Some(refused);
        };
        // A leader that is alone in sync waits for nobody.
        let copied = if in_sync > 1 { journey.replicated } else { appended };
        let Landing { visible, lost } = leaders.land(lane as usize, reign, copied, self.setup.plan.fifo_connection);
        let partition = &leaders.cluster.partitions[lane as usize];
        let end = partition.reigns()[reign].to;
        let known = match acks {
            Acks::None | Acks::Leader => appended,
            Acks::All => visible.saturating_add(journey.fsync),
        };
        // Once it leads no more it cannot acknowledge, and says so if it is there to say it.
        let refused = known >= end || partition.in_sync(visible) < least;
        let seen = if self.setup.store.visible_when_replicated { visible } else { appended };
        let unseen = lost.map(|(at, _)| at).filter(|at| *at <= seen);
        Some(Fate {
            visible: unseen.unwrap_or(seen),
            known: known.min(end),
            stored: unseen.is_none() || !refused,
            refused,
            lost,
        })
    }
}
